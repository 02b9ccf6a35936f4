/* SPDX-License-Identifier: Apache-2.0 */
/* What pieces of a pattern need, put together. See redaction_pieces.h. */
#include "processors/redaction_pieces.h"

#include <ctype.h>
#include <string.h>

/* ---- classes ---- */

double class_frequency(const struct byte_class *c)
{
    double f = 0;

    for (unsigned b = 0; b < 256; b++) {
        if (!class_has(c, (uint8_t)b))
            continue;
        if (islower((int)b))
            f += 0.03;
        else if (b < 128 && (isdigit((int)b) || strchr("./-_: ", (int)b)) && b)
            f += 0.02;
        else if (b < 128 && isupper((int)b))
            f += 0.004;
        else
            f += 0.001;
    }
    return f < 1 ? f : 1;
}

double window_frequency(const struct window *w)
{
    double f = 1;

    for (unsigned i = 0; i < w->len; i++)
        f *= class_frequency(&w->c[i]);
    return f;
}

/* ---- lists of sequences ---- */

static struct seqs one_empty(struct arena *arena)
{
    return (struct seqs){arena_alloc(arena, sizeof(struct seq)), 1};
}

static struct piece piece_exact(struct seqs s)
{
    return (struct piece){.exact = true, .first = s, .cost = NO_WINDOWS};
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

            if (a->v[i].len + b->v[k].len > SEQ_LEN)
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

/* ---- windows ---- */

/* The rarest stretch of a sequence. */
static struct window rarest(const struct seq *s)
{
    struct window best = {0};
    double least = 2;

    for (unsigned from = 0; from == 0 || from + WINDOW_LEN <= s->len; from++) {
        struct window w = {.len = s->len < WINDOW_LEN ? s->len : WINDOW_LEN};
        double f;

        memcpy(w.c, s->c + from, w.len * sizeof(w.c[0]));
        f = window_frequency(&w);
        if (f < least) {
            least = f;
            best = w;
        }
    }
    return best;
}

static bool same(const struct window *a, const struct window *b)
{
    return a->len == b->len && memcmp(a->c, b->c, a->len * sizeof(a->c[0])) == 0;
}

static bool known(const struct windows *ws, const struct window *w)
{
    for (size_t i = 0; i < ws->n; i++)
        if (same(&ws->v[i], w))
            return true;
    return false;
}

/* Every match contains one of these sequences: good windows? */
static void offer(struct arena *arena, struct piece *p, const struct seqs *s)
{
    struct windows ws = {arena_alloc(arena, s->n * sizeof(struct window)), 0};
    double cost = 0;

    if (s->n == 0 || has_empty(s))
        return;
    for (size_t i = 0; i < s->n; i++) {
        struct window w = rarest(&s->v[i]);

        if (known(&ws, &w))
            continue;
        ws.v[ws.n++] = w;
        cost += window_frequency(&w);
    }
    if (cost < p->cost) {
        p->cost = cost;
        p->best = ws;
    }
}

static void offer_windows(struct piece *p, const struct piece *of)
{
    if (of->cost < p->cost) {
        p->cost = of->cost;
        p->best = of->best;
    }
}

/* ---- putting pieces together ---- */

struct piece piece_then(struct arena *arena, const struct piece *a, const struct piece *b)
{
    struct piece out = {.cost = NO_WINDOWS};
    const struct seqs *tail = a->exact ? &a->first : &a->last;
    struct seqs middle = cross(arena, tail, &b->first);

    if (a->exact && b->exact && middle.n)
        return piece_exact(middle);
    offer_windows(&out, a);
    offer_windows(&out, b);
    offer(arena, &out, tail);
    offer(arena, &out, &b->first);
    if (middle.n)
        offer(arena, &out, &middle);
    out.first = a->exact && middle.n ? middle : a->first;
    if (!b->exact)
        out.last = b->last;
    else
        out.last = middle.n ? middle : b->first;
    return out;
}

struct piece piece_either(struct arena *arena, struct piece *a, struct piece *b)
{
    struct piece out = {.cost = NO_WINDOWS};
    struct windows ws;

    if (a->exact && b->exact) {
        struct seqs all = join(arena, &a->first, &b->first);

        if (all.n)
            return piece_exact(all);
    }
    offer(arena, a, &a->first);
    offer(arena, b, &b->first);
    if (a->best.n && b->best.n) {
        ws = (struct windows){arena_alloc(arena, (a->best.n + b->best.n) * sizeof(struct window)), 0};
        memcpy(ws.v, a->best.v, a->best.n * sizeof(struct window));
        memcpy(ws.v + a->best.n, b->best.v, b->best.n * sizeof(struct window));
        ws.n = a->best.n + b->best.n;
        out.best = ws;
        out.cost = a->cost + b->cost;
    }
    out.first = one_empty(arena);
    out.last = one_empty(arena);
    return out;
}

struct piece piece_repeat(struct arena *arena, struct piece *x, unsigned min, bool once, bool more)
{
    struct piece out = piece_empty(arena);
    struct piece any = piece_unknown(arena);

    if (min == 0 && once) {
        struct piece none = piece_empty(arena);

        return piece_either(arena, x, &none);
    }
    for (unsigned i = 0; i < min && i < SEQ_LEN; i++)
        out = piece_then(arena, &out, x);
    if (min > SEQ_LEN || more)
        out = piece_then(arena, &out, &any);
    /* Whatever came between, the last round ends as x ends. */
    if (min > 0 && !out.exact) {
        const struct seqs *end = x->exact ? &x->first : &x->last;

        if (has_empty(&out.last))
            out.last = *end;
    }
    return out;
}

void piece_finish(struct arena *arena, struct piece *p)
{
    offer(arena, p, &p->first);
    if (!p->exact)
        offer(arena, p, &p->last);
}
