/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets and windows: see tail_limits.h. The arithmetic is the Collector's (the reference, 4.9, 4.17). */
#include "processors/tail_limits.h"

#include <math.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "processors/tail_policy.h"

static uint64_t mono_ns(const struct tail_limits *l)
{
    return l->now_ns ? l->now_ns : clock_mono_ns();
}

static uint64_t wall_second(const struct tail_limits *l)
{
    return (l->now_ns ? l->now_ns : clock_wall_ns()) / NS_PER_SEC;
}

struct tail_limits *tail_limits_new(const struct tail_policies *p)
{
    struct tail_limits *l = mem_alloc(sizeof(*l));

    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    l->n_buckets = p->n_limiters;
    l->buckets = mem_alloc_array(p->n_limiters + 1, sizeof(*l->buckets));
    for (uint32_t i = 0; i < p->n_limiters; i++) {
        const struct limiter *shape = &p->limiters[i];

        l->buckets[i] = (struct tail_bucket){(double)shape->per_second, shape->burst, (double)shape->burst,
                                             clock_mono_ns()};
    }
    l->n_windows = p->n_composites;
    l->windows = mem_alloc_array(p->n_composites + 1, sizeof(*l->windows));
    for (uint32_t i = 0; i < p->n_composites; i++) {
        l->windows[i].n = p->composites[i].n_subs;
        l->windows[i].used = mem_alloc_array(l->windows[i].n + 1, sizeof(int64_t));
    }
    return l;
}

void tail_limits_free(struct tail_limits **lp)
{
    struct tail_limits *l = *lp;

    *lp = NULL;
    if (!l)
        return;
    for (uint32_t i = 0; i < l->n_windows; i++)
        free(l->windows[i].used);
    free(l->windows);
    free(l->buckets);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static double seconds(uint64_t ns)
{
    uint64_t whole = ns / NS_PER_SEC;

    return (double)whole + (double)(ns % NS_PER_SEC) / 1e9;
}

/* Filled up to now; another worker may have been here with a later clock. */
static double tokens_at(const struct tail_bucket *b, uint64_t now_ns)
{
    double more = now_ns > b->last_ns && b->per_second > 0 ? seconds(now_ns - b->last_ns) * b->per_second : 0;

    return fmin((double)b->burst, b->tokens + more);
}

/* What is short by less than a nanosecond's worth is not short. */
static bool take(struct tail_bucket *b, uint64_t now_ns, int64_t n)
{
    double rest = tokens_at(b, now_ns) - (double)n;

    if (n > b->burst)
        return false;
    if (rest < 0 && (b->per_second <= 0 || -rest / b->per_second * 1e9 >= 1))
        return false;
    b->tokens = rest;
    b->last_ns = now_ns;
    return true;
}

bool tail_limits_take(struct tail_limits *l, uint32_t bucket, int64_t n)
{
    pthread_mutex_lock(&l->lock);
    bool ok = take(&l->buckets[bucket], mono_ns(l), n);
    pthread_mutex_unlock(&l->lock);
    return ok;
}

static void turn(struct tail_window *w, uint64_t second)
{
    if (w->second == second)
        return;
    w->second = second;
    for (uint32_t i = 0; i < w->n; i++)
        w->used[i] = 0;
}

bool tail_limits_grant(struct tail_limits *l, uint32_t composite, uint32_t sub, int64_t n, int64_t share, int64_t max)
{
    struct tail_window *w = &l->windows[composite];

    pthread_mutex_lock(&l->lock);
    turn(w, wall_second(l));
    bool ok = n <= share - w->used[sub] && n <= max - w->used[sub];
    if (ok)
        w->used[sub] += n;
    pthread_mutex_unlock(&l->lock);
    return ok;
}
