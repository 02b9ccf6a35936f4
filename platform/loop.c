/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop over libuv. One turn is
 *
 *   poll (I/O callbacks, posts, rings) -> check: deferred -> close callbacks -> timers
 *     -> prepare: deferred, end of the turn -> poll ...
 *
 * Deferred work runs at both ends, so nothing deferred is left when the loop blocks. Work that
 * defers itself again and again gets a few rounds per turn and then goes round through poll, so
 * that it starves nobody. A timer that starts itself with no delay does the same: libuv alone would
 * call it again and again before it polls.
 *
 * The clock is read lazily, once per turn. A turn is watched from poll's return (libuv notes that
 * instant) to the end of prepare; callbacks the loop calls itself are timed with the coarse clock.
 *
 * Threads: all of it belongs to the loop's thread, but for the list of posts (under a mutex).
 * Limits: a stall is noticed when it is over, not while it lasts.
 */
#include "platform/loop.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "platform/clock.h"
#include "platform/list.h"
#include "platform/loop_priv.h"
#include "platform/mem.h"

enum { STALL_MS = 100, DEFER_ROUNDS = 8, CLOSE_WAIT_MS = 10000 };

struct post {
    struct post *next;
    void (*fn)(void *ctx);
    void *ctx;
};

struct signal_watch {
    uv_signal_t uv; /* data: this */
    struct signal_watch *next;
    void (*fn)(void *ctx, int signum);
    void *ctx;
};

struct timer {
    uv_timer_t uv; /* data: this */
    struct loop *loop;
    struct list node; /* in loop->timers until closed */
    struct list soon; /* in loop->soon: starts at the end of this turn */
    const char *site;
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop {
    uv_loop_t uv; /* data: this */
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    char *name;
    bool running;

    pthread_mutex_t posts_lock;
    struct post *posts, **posts_tail;

    struct deferred *deferred, **deferred_tail;
    unsigned n_deferred;

    struct list timers;
    struct list soon;
    bool in_timer;
    struct signal_watch *signals;

    uint64_t now_ns;        /* 0: not read in this turn */
    uint64_t turn_start_ns; /* poll's return */
    uint64_t stalls;
    const char *worst_site;
    uint64_t worst_ms;
    void (*on_stall)(void *ctx, const char *site, uint64_t ms);
    void *on_stall_ctx;
};

static uint64_t coarse_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / NS_PER_MS;
}

uint64_t loop_call_begin(void)
{
    return coarse_ms();
}

void loop_call_end(struct loop *l, const char *site, uint64_t began_ms)
{
    uint64_t ms = coarse_ms() - began_ms;

    if (UNLIKELY(ms > l->worst_ms)) {
        l->worst_ms = ms;
        l->worst_site = site;
    }
}

static void run_posts(struct loop *l)
{
    struct post *p, *next;

    pthread_mutex_lock(&l->posts_lock);
    p = l->posts;
    l->posts = NULL;
    l->posts_tail = &l->posts;
    pthread_mutex_unlock(&l->posts_lock);
    for (; p; p = next) {
        uint64_t began = loop_call_begin();

        next = p->next;
        p->fn(p->ctx);
        free(p);
        loop_call_end(l, "posted", began);
    }
}

static void on_wake(uv_async_t *a)
{
    run_posts((struct loop *)a->data);
}

/* What waits now; work deferred meanwhile waits for the next round. */
static void run_deferred_round(struct loop *l)
{
    for (unsigned n = l->n_deferred; n && l->deferred; n--) {
        struct deferred *d = l->deferred;
        uint64_t began = loop_call_begin();

        loop_undefer(l, d);
        d->fn(d->ctx); /* may free d */
        loop_call_end(l, "deferred", began);
    }
}

static void run_deferred(struct loop *l)
{
    for (int i = 0; i < DEFER_ROUNDS && l->deferred; i++)
        run_deferred_round(l);
}

static void on_check(uv_check_t *c)
{
    struct loop *l = (struct loop *)c->data;

    l->turn_start_ns = uv_now(&l->uv) * NS_PER_MS;
    run_deferred(l);
}

static void watch_turn(struct loop *l)
{
    uint64_t took_ms = 0, now = clock_mono_ns();

    if (now > l->turn_start_ns)
        took_ms = (now - l->turn_start_ns) / NS_PER_MS;
    if (UNLIKELY(took_ms > STALL_MS)) {
        l->stalls++;
        if (l->on_stall)
            l->on_stall(l->on_stall_ctx, l->worst_ms * 2 > took_ms ? l->worst_site : "i/o", took_ms);
    }
    l->worst_ms = 0;
    l->worst_site = "i/o";
}

static void start_soon(struct loop *l);

static void on_prepare(uv_prepare_t *p)
{
    struct loop *l = (struct loop *)p->data;

    run_deferred(l);
    start_soon(l);
    if (l->deferred)
        uv_async_send(&l->wake); /* poll must not block */
    watch_turn(l);
    l->now_ns = 0;
}

struct loop *loop_new(const char *name)
{
    struct loop *l = (struct loop *)mem_alloc(sizeof(*l));

    l->name = mem_dup(name);
    l->posts_tail = &l->posts;
    l->deferred_tail = &l->deferred;
    l->worst_site = "i/o";
    list_init(&l->timers);
    list_init(&l->soon);
    CHECK(pthread_mutex_init(&l->posts_lock, NULL) == 0);
    CHECK(uv_loop_init(&l->uv) == 0);
    CHECK(uv_async_init(&l->uv, &l->wake, on_wake) == 0);
    CHECK(uv_prepare_init(&l->uv, &l->prepare) == 0);
    CHECK(uv_check_init(&l->uv, &l->check) == 0);
    l->uv.data = l->wake.data = l->prepare.data = l->check.data = l;
    CHECK(uv_prepare_start(&l->prepare, on_prepare) == 0);
    CHECK(uv_check_start(&l->check, on_check) == 0);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    return l;
}

void loop_run(struct loop *l)
{
    uv_update_time(&l->uv);
    l->turn_start_ns = uv_now(&l->uv) * NS_PER_MS;
    l->now_ns = 0;
    l->running = true;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->running = false;
    l->now_ns = 0;
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

uint64_t loop_now_ns(const struct loop *l)
{
    struct loop *m = (struct loop *)l; /* a cache: the caller sees no change */

    if (!m->now_ns || !m->running)
        m->now_ns = clock_mono_ns();
    return m->now_ns;
}

void *loop_uv(struct loop *l)
{
    return &l->uv;
}

uint64_t loop_stalls(const struct loop *l)
{
    return l->stalls;
}

void loop_on_stall(struct loop *l, void (*fn)(void *ctx, const char *site, uint64_t ms), void *ctx)
{
    l->on_stall = fn;
    l->on_stall_ctx = ctx;
}

void loop_post(struct loop *l, void (*fn)(void *ctx), void *ctx)
{
    struct post *p = (struct post *)mem_alloc(sizeof(*p));

    p->fn = fn;
    p->ctx = ctx;
    pthread_mutex_lock(&l->posts_lock);
    *l->posts_tail = p;
    l->posts_tail = &p->next;
    pthread_mutex_unlock(&l->posts_lock);
    uv_async_send(&l->wake);
}

struct work {
    uv_work_t uv;
    struct loop *loop;
    void (*fn)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void work_run(uv_work_t *uv)
{
    struct work *w = (struct work *)uv->data;

    w->fn(w->ctx);
}

static void work_done(uv_work_t *uv, int status)
{
    struct work *w = (struct work *)uv->data;
    uint64_t began = loop_call_begin();

    (void)status; /* it is never cancelled */
    w->done(w->ctx);
    loop_call_end(w->loop, "work", began);
    free(w);
}

void loop_work(struct loop *l, void (*fn)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct work *w = (struct work *)mem_alloc(sizeof(*w));

    w->loop = l;
    w->fn = fn;
    w->done = done;
    w->ctx = ctx;
    w->uv.data = w;
    CHECK(uv_queue_work(&l->uv, &w->uv, work_run, work_done) == 0);
}

void loop_defer(struct loop *l, struct deferred *d)
{
    if (d->waiting)
        return;
    d->waiting = true;
    d->next = NULL;
    *l->deferred_tail = d;
    l->deferred_tail = &d->next;
    l->n_deferred++;
}

void loop_undefer(struct loop *l, struct deferred *d)
{
    struct deferred **at = &l->deferred;

    if (!d->waiting)
        return;
    while (*at && *at != d)
        at = &(*at)->next;
    CHECK(*at == d);
    *at = d->next;
    if (!d->next)
        l->deferred_tail = at;
    d->waiting = false;
    l->n_deferred--;
}

static void on_timer(uv_timer_t *uv)
{
    struct timer *t = (struct timer *)uv->data;
    struct loop *l = t->loop;
    const char *site = t->site;
    uint64_t began = loop_call_begin();

    l->in_timer = true;
    t->fn(t->ctx); /* may free t */
    l->in_timer = false;
    loop_call_end(l, site, began);
}

struct timer *timer_new(struct loop *l, const char *site, void (*fn)(void *ctx), void *ctx)
{
    struct timer *t = (struct timer *)mem_alloc(sizeof(*t));

    t->loop = l;
    t->site = site;
    t->fn = fn;
    t->ctx = ctx;
    CHECK(uv_timer_init(&l->uv, &t->uv) == 0);
    t->uv.data = t;
    list_init(&t->soon);
    list_add_tail(&l->timers, &t->node);
    return t;
}

static void start_soon(struct loop *l)
{
    while (!list_empty(&l->soon)) {
        struct timer *t = CONTAINER_OF(list_pop(&l->soon), struct timer, soon);

        CHECK(uv_timer_start(&t->uv, on_timer, 0, 0) == 0);
    }
}

void timer_start(struct timer *t, uint64_t delay_ms, uint64_t repeat_ms)
{
    if (!t->loop->running)
        uv_update_time(&t->loop->uv); /* or time spent setting up would count as waited */
    list_del(&t->soon);
    if (t->loop->in_timer && delay_ms == 0 && repeat_ms == 0) {
        uv_timer_stop(&t->uv);
        list_add_tail(&t->loop->soon, &t->soon);
        return;
    }
    CHECK(uv_timer_start(&t->uv, on_timer, delay_ms, repeat_ms) == 0);
}

void timer_stop(struct timer *t)
{
    list_del(&t->soon);
    uv_timer_stop(&t->uv);
}

bool timer_active(const struct timer *t)
{
    return uv_is_active((const uv_handle_t *)&t->uv) || !list_empty(&t->soon);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct timer *t = (struct timer *)h->data;

    list_del(&t->node);
    free(t);
}

void timer_free(struct timer **t)
{
    if (!*t)
        return;
    timer_stop(*t);
    uv_close((uv_handle_t *)&(*t)->uv, on_timer_closed);
    *t = NULL;
}

static void on_signal(uv_signal_t *uv, int signum)
{
    struct signal_watch *w = (struct signal_watch *)uv->data;

    w->fn(w->ctx, signum);
}

void loop_on_signal(struct loop *l, int signum, void (*fn)(void *ctx, int signum), void *ctx)
{
    struct signal_watch *w = (struct signal_watch *)mem_alloc(sizeof(*w));

    w->fn = fn;
    w->ctx = ctx;
    w->next = l->signals;
    l->signals = w;
    CHECK(uv_signal_init(&l->uv, &w->uv) == 0);
    w->uv.data = w;
    CHECK(uv_signal_start(&w->uv, on_signal, signum) == 0);
    uv_unref((uv_handle_t *)&w->uv);
}

/* Closing down. */

struct census {
    struct loop *loop;
    unsigned open, closing;
    bool report;
};

static bool is_own(struct loop *l, uv_handle_t *h)
{
    if (h == (uv_handle_t *)&l->wake || h == (uv_handle_t *)&l->prepare || h == (uv_handle_t *)&l->check)
        return true;
    for (struct signal_watch *w = l->signals; w; w = w->next)
        if (h == (uv_handle_t *)&w->uv)
            return true;
    return false;
}

static const char *site_of(struct loop *l, uv_handle_t *h)
{
    for (struct list *n = l->timers.next; n != &l->timers; n = n->next) {
        struct timer *t = CONTAINER_OF(n, struct timer, node);

        if (h == (uv_handle_t *)&t->uv)
            return t->site;
    }
    return "?";
}

static void count_handle(uv_handle_t *h, void *arg)
{
    struct census *c = (struct census *)arg;

    if (uv_is_closing(h)) {
        c->closing++;
        return;
    }
    if (is_own(c->loop, h))
        return;
    c->open++;
    if (!c->report)
        return;
    fprintf(stderr, "tailrace: loop %s: leaked %s handle, opened in %s\n", c->loop->name,
            uv_handle_type_name(h->type), site_of(c->loop, h));
    uv_close(h, NULL);
}

static struct census take_census(struct loop *l, bool report)
{
    struct census c = {.loop = l, .report = report};

    uv_walk(&l->uv, count_handle, &c);
    return c;
}

/* Turns without waiting, until nothing is closing, posted, deferred or under way any more. */
static void settle(struct loop *l)
{
    uint64_t deadline = clock_mono_ns() + CLOSE_WAIT_MS * NS_PER_MS;

    for (;;) {
        run_posts(l);
        uv_run(&l->uv, UV_RUN_NOWAIT);
        if (!take_census(l, false).closing && !l->uv.active_reqs.count && !l->posts && !l->deferred)
            return;
        if (clock_mono_ns() > deadline)
            return;
        if (l->uv.active_reqs.count)
            nanosleep(&(struct timespec){.tv_nsec = NS_PER_MS}, NULL);
    }
}

static void close_own(struct loop *l)
{
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    for (struct signal_watch *w = l->signals; w; w = w->next)
        uv_close((uv_handle_t *)&w->uv, NULL);
    while (take_census(l, false).closing)
        uv_run(&l->uv, UV_RUN_NOWAIT);
}

unsigned loop_free(struct loop **lp)
{
    struct loop *l = *lp;
    struct signal_watch *w, *next;
    unsigned leaked;

    settle(l);
    leaked = take_census(l, true).open;
    close_own(l);
    CHECK(uv_loop_close(&l->uv) == 0);
    for (w = l->signals; w; w = next) {
        next = w->next;
        free(w);
    }
    pthread_mutex_destroy(&l->posts_lock);
    free(l->name);
    free(l);
    *lp = NULL; /* not before: what settled may still have used it */
    return leaked;
}
