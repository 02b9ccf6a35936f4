/* SPDX-License-Identifier: Apache-2.0 */
/* What pieces of a pattern need, put together. See redaction_pieces.h. */
#include "processors/redaction_pieces.h"

#include <ctype.h>
#include <string.h>

/* ---- classes ---- */

/* Of keys and values as they are, and the tags and lengths of the wire format between them: a line
 * feed, 0x12 and J are the tags of an attribute's parts. */
const double byte_often[256] = {
    [0x00 ... 0x09] = 0.003,
    [0x0a] = 0.03,
    [0x0b ... 0x11] = 0.003,
    [0x12] = 0.03,
    [0x13 ... 0x1f] = 0.003,
    [' '] = 0.02,
    ['!' ... ','] = 0.001,
    ['-' ... ':'] = 0.02,
    [';' ... '@'] = 0.001,
    ['A' ... 'I'] = 0.004,
    ['J'] = 0.02,
    ['K' ... 'Z'] = 0.004,
    ['[' ... '^'] = 0.001,
    ['_'] = 0.02,
    ['`'] = 0.001,
    ['a'] = 0.04,
    ['b'] = 0.01,
    ['c' ... 'd'] = 0.025,
    ['e'] = 0.04,
    ['f'] = 0.01,
    ['g' ... 'h'] = 0.025,
    ['i'] = 0.04,
    ['j' ... 'k'] = 0.01,
    ['l' ... 'm'] = 0.025,
    ['n' ... 'o'] = 0.04,
    ['p'] = 0.025,
    ['q'] = 0.01,
    ['r' ... 't'] = 0.04,
    ['u'] = 0.025,
    ['v' ... 'z'] = 0.01,
    ['{' ... 0x7f] = 0.001,
    [0x80 ... 0xff] = 0.0008,
};

double class_frequency(const struct byte_class *c)
{
    double f = 0;

    for (unsigned b = 0; b < 256; b++)
        if (class_has(c, (uint8_t)b))
            f += byte_often[b];
    return f < 1 ? f : 1;
}

static double stretch_frequency(const struct byte_class *c, unsigned len)
{
    double f = 1;

    for (unsigned i = 0; i < len; i++)
        f *= class_frequency(&c[i]);
    return f;
}

double anchor_frequency(const struct window *w)
{
    return stretch_frequency(w->c + w->anchor, anchor_len(w));
}

/* ---- lists of sequences ---- */

static struct seqs one_empty(struct arena *arena)
{
    return (struct seqs){arena_alloc(arena, sizeof(struct seq)), 1};
}

static struct piece piece_exact(struct seqs s)
{
    return (struct piece){.exact = true, .first = s};
}

struct piece piece_empty(struct arena *arena)
{
    return piece_exact(one_empty(arena));
}

struct piece piece_unknown(struct arena *arena)
{
    struct piece p = piece_empty(arena);

    p.exact = false;
    p.last = one_empty(arena);
    return p;
}

struct piece piece_class(struct arena *arena, const struct byte_class *c)
{
    struct piece p = piece_empty(arena);

    p.first.v[0].len = 1;
    p.first.v[0].c[0] = *c;
    return p;
}

struct piece piece_ends(struct arena *arena, const struct byte_class *first,
                        const struct byte_class *last)
{
    struct piece begin = piece_class(arena, first), end = piece_class(arena, last);

    begin.exact = false;
    begin.last = end.first;
    return begin;
}

struct piece piece_bytes(struct arena *arena, const char *bytes, size_t len)
{
    struct piece p = piece_empty(arena);

    for (size_t i = 0; i < len; i++)
        class_add(&p.first.v[0].c[p.first.v[0].len++], (uint8_t)bytes[i]);
    return p;
}

static bool has_empty(const struct seqs *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].len == 0)
            return true;
    return false;
}

/* All of a followed by all of b; n is 0 when that is too much. */
static struct seqs cross(struct arena *arena, const struct seqs *a, const struct seqs *b)
{
    struct seqs out = {0};

    if (a->n * b->n > MOST_SEQS)
        return out;
    out.v = arena_alloc(arena, a->n * b->n * sizeof(struct seq));
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++) {
            struct seq *s = &out.v[out.n];

            if (a->v[i].len + b->v[k].len > WINDOW_MOST)
                return (struct seqs){0};
            *s = a->v[i];
            memcpy(s->c + s->len, b->v[k].c, b->v[k].len * sizeof(s->c[0]));
            s->len = (uint8_t)(s->len + b->v[k].len);
            out.n++;
        }
    return out;
}

static struct seqs join(struct arena *arena, const struct seqs *a, const struct seqs *b)
{
    struct seqs out = {0};

    if (a->n + b->n > MOST_SEQS)
        return out;
    out.v = arena_alloc(arena, (a->n + b->n) * sizeof(struct seq));
    memcpy(out.v, a->v, a->n * sizeof(struct seq));
    memcpy(out.v + a->n, b->v, b->n * sizeof(struct seq));
    out.n = a->n + b->n;
    return out;
}

/* ---- needs ---- */

#define ANCHOR_WORTH                                                                               \
    0.25 /* to find an anchor and go on costs this much of a text that has to be asked about */
#define MANY_WINDOWS 8 /* in one need; more are joined where their anchors are the same */
#define MOST_WINDOWS 2000 /* of a need: beyond, the pattern is asked about every text */

static struct window window_of(const struct seq *s)
{
    struct window w = {.len = s->len};
    double least = 2;

    memcpy(w.c, s->c, s->len * sizeof(w.c[0]));
    for (unsigned from = 0; from == 0 || from + ANCHOR_LEN <= s->len; from++) {
        struct window at = w;

        at.anchor = (uint8_t)from;
        if (anchor_frequency(&at) < least) {
            least = anchor_frequency(&at);
            w.anchor = (uint8_t)from;
        }
    }
    return w;
}

static bool same(const struct window *a, const struct window *b)
{
    return a->len == b->len && a->anchor == b->anchor &&
           memcmp(a->c, b->c, a->len * sizeof(a->c[0])) == 0;
}

static bool same_anchor(const struct window *a, const struct window *b)
{
    return anchor_len(a) == anchor_len(b) &&
           memcmp(a->c + a->anchor, b->c + b->anchor, anchor_len(a) * sizeof(a->c[0])) == 0;
}

/* One window for both, as long as both reach. Their anchors are the same. */
static struct window joined(const struct window *a, const struct window *b)
{
    unsigned before = a->anchor < b->anchor ? a->anchor : b->anchor;
    unsigned behind_a = a->len - a->anchor, behind_b = b->len - b->anchor;
    struct window w = {.len = (uint8_t)(before + (behind_a < behind_b ? behind_a : behind_b)),
                       .anchor = (uint8_t)before};

    for (unsigned i = 0; i < w.len; i++)
        for (int k = 0; k < 4; k++)
            w.c[i].bits[k] =
                a->c[a->anchor - before + i].bits[k] | b->c[b->anchor - before + i].bits[k];
    return w;
}

/* Adds the window, or joins it to one that is there. */
static void need_add(struct need *n, const struct window *w, bool join)
{
    for (size_t i = 0; i < n->n; i++) {
        if (same(&n->v[i], w))
            return;
        if (join && same_anchor(&n->v[i], w)) {
            n->v[i] = joined(&n->v[i], w);
            return;
        }
    }
    n->v[n->n++] = *w;
}

static void need_cost(struct need *n)
{
    n->cost = 0;
    for (size_t i = 0; i < n->n; i++) {
        double all = stretch_frequency(n->v[i].c, n->v[i].len),
               anchor = anchor_frequency(&n->v[i]) * ANCHOR_WORTH;

        n->cost += all > anchor ? all : anchor;
    }
}

static bool need_same(const struct need *a, const struct need *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same(&a->v[i], &b->v[i]))
            return false;
    return true;
}

/* Among the best, if it is. */
static void needs_add(struct needs *ns, const struct need *n)
{
    size_t at = 0;

    for (size_t i = 0; i < ns->n; i++)
        if (need_same(&ns->v[i], n))
            return;
    while (at < ns->n && ns->v[at].cost <= n->cost)
        at++;
    if (at == NEEDS_MOST)
        return;
    if (ns->n < NEEDS_MOST)
        ns->n++;
    memmove(ns->v + at + 1, ns->v + at, (ns->n - 1 - at) * sizeof(ns->v[0]));
    ns->v[at] = *n;
}

/* Every match contains one of these sequences, which do not grow any more. */
static void offer(struct arena *arena, struct needs *ns, const struct seqs *s)
{
    struct need n = {.v = arena_alloc(arena, s->n * sizeof(struct window))};

    if (s->n == 0 || has_empty(s))
        return;
    for (size_t i = 0; i < s->n; i++) {
        struct window w = window_of(&s->v[i]);

        need_add(&n, &w, s->n > MANY_WINDOWS);
    }
    need_cost(&n);
    needs_add(ns, &n);
}

static void needs_add_all(struct needs *ns, const struct needs *more)
{
    for (size_t i = 0; i < more->n; i++)
        needs_add(ns, &more->v[i]);
}

/* What the piece needs if nothing is joined to it. */
static struct needs closed(struct arena *arena, const struct piece *p)
{
    struct needs ns = p->needs;

    offer(arena, &ns, &p->first);
    if (!p->exact)
        offer(arena, &ns, &p->last);
    return ns;
}

/* The best of one or the best of the other. */
static struct needs needs_either(struct arena *arena, const struct needs *a, const struct needs *b)
{
    struct needs out = {0};
    struct need n = {0};

    if (a->n == 0 || b->n == 0 || a->v[0].n + b->v[0].n > MOST_WINDOWS)
        return out;
    n.v = arena_alloc(arena, (a->v[0].n + b->v[0].n) * sizeof(struct window));
    for (size_t i = 0; i < a->v[0].n; i++)
        need_add(&n, &a->v[0].v[i], false);
    for (size_t i = 0; i < b->v[0].n; i++)
        need_add(&n, &b->v[0].v[i], false);
    need_cost(&n);
    needs_add(&out, &n);
    return out;
}

/* ---- putting pieces together ---- */

/* The seam did not grow together: what stood at it is as long as it gets. */
static void close_seam(struct arena *arena, struct piece *out, const struct piece *a,
                       const struct piece *b)
{
    if (!a->exact)
        offer(arena, &out->needs, &a->last);
    if (!b->exact)
        offer(arena, &out->needs, &b->first);
}

struct piece piece_then(struct arena *arena, const struct piece *a, const struct piece *b)
{
    struct seqs middle = cross(arena, a->exact ? &a->first : &a->last, &b->first);
    struct piece out = {.needs = a->needs};

    if (a->exact && b->exact && middle.n)
        return piece_exact(middle);
    needs_add_all(&out.needs, &b->needs);
    if (middle.n == 0)
        close_seam(arena, &out, a, b);
    else if (!a->exact && !b->exact)
        offer(arena, &out.needs, &middle);
    out.first = a->exact && middle.n ? middle : a->first;
    if (!b->exact)
        out.last = b->last;
    else
        out.last = middle.n ? middle : b->first;
    return out;
}

/* Those of both, or nothing known. */
static struct seqs either_of(struct arena *arena, const struct seqs *a, const struct seqs *b)
{
    struct seqs all = join(arena, a, b);

    return all.n ? all : one_empty(arena);
}

struct piece piece_either(struct arena *arena, const struct piece *a, const struct piece *b)
{
    struct piece out = {0};
    struct needs needs_a, needs_b;

    if (a->exact && b->exact) {
        struct seqs all = join(arena, &a->first, &b->first);

        if (all.n)
            return piece_exact(all);
    }
    needs_a = closed(arena, a);
    needs_b = closed(arena, b);
    out.needs = needs_either(arena, &needs_a, &needs_b);
    out.first = either_of(arena, &a->first, &b->first);
    out.last = either_of(arena, a->exact ? &a->first : &a->last, b->exact ? &b->first : &b->last);
    return out;
}

struct piece piece_repeat(struct arena *arena, const struct piece *x, unsigned min, bool once,
                          bool more)
{
    struct piece out = piece_empty(arena);
    struct piece any = piece_unknown(arena);

    if (min == 0 && once)
        return piece_either(arena, x, &out);
    for (unsigned i = 0; i < min && i < WINDOW_MOST; i++)
        out = piece_then(arena, &out, x);
    if (min > WINDOW_MOST || more)
        out = piece_then(arena, &out, &any);
    /* Whatever came between, the last round ends as x ends. */
    if (min > 0 && !out.exact && has_empty(&out.last))
        out.last = x->exact ? x->first : x->last;
    return out;
}

void piece_finish(struct arena *arena, struct piece *p)
{
    p->needs = closed(arena, p);
}
