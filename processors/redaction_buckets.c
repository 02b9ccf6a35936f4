/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing buckets. See redaction_buckets.h. */
#include "processors/redaction_buckets.h"

#include <stdlib.h>
#include <string.h>

/* Buckets that are compared with each other; anchors beyond that go where they add least at once.
 */
#define MOST_COMPARED 96
#define ROUNDS        8

struct group {
    struct bucket_shape shape;
    double through;
    size_t id; /* what its anchors are marked with */
};

struct groups {
    struct group v[MOST_COMPARED];
    size_t n;
    double costs[MOST_COMPARED][MOST_COMPARED]; /* to join i with k, i < k */
};

struct bucket_shape shape_of(const struct window *w)
{
    struct bucket_shape s;

    for (unsigned k = 0; k < ANCHOR_LEN; k++) {
        bool any = k >= anchor_len(w);

        s.low[k] = s.high[k] = any ? 0xffff : 0;
        for (unsigned b = 0; !any && b < 256; b++)
            if (class_has(&w->c[w->anchor + k], (uint8_t)b)) {
                s.low[k] |= (uint16_t)(1u << (b & 15));
                s.high[k] |= (uint16_t)(1u << (b >> 4));
            }
    }
    return s;
}

struct bucket_shape shape_with(const struct bucket_shape *a, const struct bucket_shape *b)
{
    struct bucket_shape s;

    for (unsigned k = 0; k < ANCHOR_LEN; k++) {
        s.low[k] = a->low[k] | b->low[k];
        s.high[k] = a->high[k] | b->high[k];
    }
    return s;
}

/* How often, roughly, at a byte of telemetry. */
static double let_through(const struct bucket_shape *s)
{
    double all = 1;

    for (unsigned k = 0; k < ANCHOR_LEN; k++) {
        double f = 0;

        for (unsigned high = s->high[k]; high; high &= high - 1)
            for (unsigned low = s->low[k]; low; low &= low - 1)
                f += byte_often[__builtin_ctz(high) << 4 | __builtin_ctz(low)];
        all *= f < 1 ? f : 1;
    }
    return all;
}

static double join_cost(const struct group *a, const struct group *b)
{
    struct bucket_shape s = shape_with(&a->shape, &b->shape);

    return let_through(&s) - a->through - b->through;
}

static void compare(struct groups *g, size_t i)
{
    for (size_t k = 0; k < g->n; k++) {
        if (k < i)
            g->costs[k][i] = join_cost(&g->v[k], &g->v[i]);
        else if (k > i)
            g->costs[i][k] = join_cost(&g->v[i], &g->v[k]);
    }
}

static void cheapest(const struct groups *g, size_t *a, size_t *b)
{
    double least = 2;

    for (size_t i = 0; i < g->n; i++)
        for (size_t k = i + 1; k < g->n; k++)
            if (g->costs[i][k] < least) {
                least = g->costs[i][k];
                *a = i;
                *b = k;
            }
}

/* Group b becomes part of a; the last one takes its place. Returns b's id. */
static size_t join(struct groups *g, size_t a, size_t b)
{
    size_t gone = g->v[b].id;

    g->v[a].shape = shape_with(&g->v[a].shape, &g->v[b].shape);
    g->v[a].through = let_through(&g->v[a].shape);
    g->v[b] = g->v[--g->n];
    if (b < g->n)
        compare(g, b);
    compare(g, a);
    return gone;
}

static void add(struct groups *g, const struct window *w, size_t id)
{
    struct group *new = &g->v[g->n];

    *new = (struct group){.shape = shape_of(w), .id = id};
    new->through = let_through(&new->shape);
    compare(g, g->n++);
}

static void mark(size_t *ids, size_t n, size_t from, size_t to)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == from)
            ids[i] = to;
}

static void join_cheapest(struct groups *g, size_t *ids, size_t n)
{
    size_t a = 0, b = 1, to;

    cheapest(g, &a, &b);
    to = g->v[a].id;
    mark(ids, n, join(g, a, b), to);
}

/* The buckets' shapes without window `but`. */
static void shapes_without(const struct bucket_shape *shapes, const uint8_t *of, size_t n,
                           size_t but, struct bucket_shape all[static BUCKETS])
{
    memset(all, 0, BUCKETS * sizeof(all[0]));
    for (size_t i = 0; i < n; i++)
        if (i != but)
            all[of[i]] = shape_with(&all[of[i]], &shapes[i]);
}

/* Puts window i, with the anchor that suits it, where it adds least. */
static bool move(struct window *w, struct bucket_shape *shapes, uint8_t *of, size_t n, size_t i)
{
    struct bucket_shape others[BUCKETS], here = shapes[i], best = here;
    uint8_t was_anchor = w->anchor, anchor = w->anchor, bucket = of[i];
    double least = 2, now = 2;

    shapes_without(shapes, of, n, i, others);
    for (unsigned a = 0; a == 0 || a + ANCHOR_LEN <= w->len; a++) {
        w->anchor = (uint8_t)a;
        here = shape_of(w);
        for (unsigned b = 0; b < BUCKETS; b++) {
            struct bucket_shape all = shape_with(&others[b], &here);
            double more = let_through(&all) - let_through(&others[b]);

            if (a == was_anchor && b == of[i])
                now = more;
            if (more < least) {
                least = more;
                best = here;
                anchor = (uint8_t)a;
                bucket = (uint8_t)b;
            }
        }
    }
    if (least > now * 0.999) {
        w->anchor = was_anchor;
        return false;
    }
    w->anchor = anchor;
    of[i] = bucket;
    shapes[i] = best;
    return true;
}

/* Joining never parts again what it joined early: many windows have a better place in the end. */
static void improve(struct window *const *w, size_t n, uint8_t *of)
{
    struct bucket_shape *shapes = mem_alloc_array(n, sizeof(*shapes));
    bool moved = true;

    for (size_t i = 0; i < n; i++)
        shapes[i] = shape_of(w[i]);
    for (int round = 0; moved && round < ROUNDS; round++) {
        moved = false;
        for (size_t i = 0; i < n; i++)
            moved |= move(w[i], shapes, of, n, i);
    }
    free(shapes);
}

void buckets_choose(struct window *const *w, size_t n, uint8_t *of)
{
    struct groups *g = mem_alloc(sizeof(*g));
    size_t *ids = mem_alloc_array(n, sizeof(*ids));

    for (size_t i = 0; i < n; i++) {
        ids[i] = i;
        if (g->n == MOST_COMPARED)
            join_cheapest(g, ids, i);
        add(g, w[i], i);
    }
    while (g->n > BUCKETS)
        join_cheapest(g, ids, n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < g->n; k++)
            if (g->v[k].id == ids[i])
                of[i] = (uint8_t)k;
    free(ids);
    free(g);
    if (n <= MOST_COMPARED)
        improve(w, n, of);
}
