/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parking: every worker stands still between two of its events, so that main may change what is
 * theirs without a lock on the data path. A worker that does not come in time is let go on as soon as
 * it does come.
 * Threads: main parks; each worker waits. The block lives until the last of them has let go of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "pipeline/graph.h"
#include "platform/clock.h"

struct park {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned expected, parked;
    unsigned refs;
    bool go_on;
};

/* Under the lock, which it gives up. */
static void let_go(struct park *p)
{
    bool last = --p->refs == 0;

    pthread_mutex_unlock(&p->lock);
    if (!last)
        return;
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void stand_still(void *ctx)
{
    struct park *p = ctx;

    pthread_mutex_lock(&p->lock);
    p->parked++;
    pthread_cond_broadcast(&p->changed);
    while (!p->go_on)
        pthread_cond_wait(&p->changed, &p->lock);
    let_go(p);
}

static struct park *park_new(unsigned n_workers)
{
    struct park *p = mem_alloc(sizeof(*p));
    pthread_condattr_t a;

    CHECK(pthread_condattr_init(&a) == 0 && pthread_condattr_setclock(&a, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0 && pthread_cond_init(&p->changed, &a) == 0);
    pthread_condattr_destroy(&a);
    p->expected = n_workers;
    p->refs = n_workers + 1;
    return p;
}

void unpark_workers(struct park **pp)
{
    struct park *p = *pp;

    *pp = NULL;
    pthread_mutex_lock(&p->lock);
    p->go_on = true;
    pthread_cond_broadcast(&p->changed);
    let_go(p);
}

bool park_workers(struct graph *g, struct park **pp, uint64_t timeout_ms)
{
    struct park *p = *pp = park_new(g->o.n_workers);
    uint64_t until = clock_mono_ns() + timeout_ms * NS_PER_MS;
    struct timespec ts = {(time_t)(until / NS_PER_SEC), (long)(until % NS_PER_SEC)};
    bool all;

    for (unsigned i = 0; i < g->o.n_workers; i++)
        loop_post(g->workers[i].loop, stand_still, p);
    pthread_mutex_lock(&p->lock);
    while (p->parked < p->expected &&
           pthread_cond_timedwait(&p->changed, &p->lock, &ts) != ETIMEDOUT)
        ;
    all = p->parked == p->expected;
    pthread_mutex_unlock(&p->lock);
    if (!all)
        unpark_workers(pp);
    return all;
}
