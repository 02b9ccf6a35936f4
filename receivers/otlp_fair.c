/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fairness between connections. See otlp_fair.h.
 *
 * CPU: work is counted in bytes (read, unpacked, and a fixed part per request), as time would need a
 * clock at each. A turn of the loop is told by its cached time. Who passed the bound rests: the timer
 * comes back after the loop has polled, takes one turn's worth off each debt, and runs what waits.
 * A request is never cut in two: one of 20 MiB pays with 20 turns of rest, which are short when nobody
 * else has work.
 *
 * Goodput: what each connection used lately is counted, whatever came of it, and what it has in flight. Heavy
 * is who used more than the mean of those that tried, and more than a 64th of all: beside a thousand
 * connections of one request each, nobody who stays is heavy for that. And more than a little: who came after the
 * last tick, while others only asked, would seem to have used more than all. What ended connections used counts on
 * for a while. The sums come from every port's ticks, so a flood on one worker is seen by all. Heavy senders
 * are held back only between "getting short" and "full"; below that they may take whatever is free.
 *
 * Limits: an account is a connection's. A client with many connections has many accounts; clients behind
 * one proxy connection share one.
 * Threads: the port's worker; the sums are relaxed atomics.
 */
#include "receivers/otlp_fair.h"

#include "platform/clock.h"

#define TURN_BYTES     (1 << 20)
#define CONTENDED_NS   (2 * NS_PER_SEC)
#define FRESH_TICKS    8u /* a connection counts for this long after its last request */
#define HEAVY_PARTS    64u
#define LITTLE_BYTES   (16u << 10) /* nobody is heavy for so little; the sums are a tick old */

const struct key fair_keys[] = {
    KEY_UINT(struct fair_settings, max_connection_percentage, "25", 1, 100,
             "Part of the soft memory limit that bodies of one connection's unanswered requests may take while "
             "others are sending."),
    KEY_END};

/* ---- CPU ---- */

static void rest(struct fair *f, struct fair_share *s)
{
    s->is_resting = true;
    list_add_tail(&f->resting, &s->resting);
    if (!timer_active(f->turn))
        timer_start(f->turn, 0, 0);
}

void fair_spend(struct fair *f, struct fair_share *s, uint64_t bytes)
{
    uint64_t now;

    if (!f->all)
        return;
    now = loop_now_ns(f->host->loop);
    if (!s->is_resting && s->turn_ns != now) {
        s->turn_bytes = 0;
        s->turn_ns = now;
    }
    s->turn_bytes += (int64_t)bytes;
    if (UNLIKELY(s->turn_bytes >= TURN_BYTES) && !s->is_resting)
        rest(f, s);
}

static void take_turn(struct fair *f, struct fair_share *s)
{
    s->turn_bytes -= TURN_BYTES;
    while (s->turn_bytes < TURN_BYTES && !list_empty(&s->runs))
        f->run(list_pop(&s->runs));
    if (s->turn_bytes >= TURN_BYTES || !list_empty(&s->runs)) {
        list_add_tail(&f->resting, &s->resting);
        return;
    }
    s->is_resting = false;
    s->turn_ns = loop_now_ns(f->host->loop);
    s->rested(s);
}

static void on_turn(void *ctx)
{
    struct fair *f = ctx;
    struct list turn;

    list_init(&turn);
    while (!list_empty(&f->resting))
        list_add_tail(&turn, list_pop(&f->resting));
    while (!list_empty(&turn))
        take_turn(f, CONTAINER_OF(list_pop(&turn), struct fair_share, resting));
    if (!list_empty(&f->resting))
        timer_start(f->turn, 0, 0);
}

/* ---- memory and goodput ---- */

static uint64_t get(const _Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

static bool over_its_part(const struct fair *f, const struct fair_share *s, uint64_t n)
{
    uint64_t soft = budget_soft(f->host->budget);

    return s->in_flight_bytes > 0 && s->in_flight_bytes + n > soft / 100 * f->set->max_connection_percentage;
}

static bool is_short(const struct fair *f, enum room room)
{
    uint64_t since = get(&f->all->contended_ns), soft = budget_soft(f->host->budget);
    uint64_t now = loop_now_ns(f->host->loop); /* another worker's may be ahead of ours */

    if (since == 0 || (now > since && now - since > CONTENDED_NS))
        return false;
    return room == ROOM_TIGHT || budget_used(f->host->budget) > soft - soft / 4;
}

static bool is_heavy(const struct fair *f, const struct fair_share *s, uint64_t active)
{
    uint64_t all = get(&f->all->used_bytes), parts = active < HEAVY_PARTS ? active : HEAVY_PARTS;

    uint64_t mine = s->recent_bytes + s->in_flight_bytes;

    return mine > LITTLE_BYTES && mine > all / parts;
}

bool fair_admit(struct fair *f, struct fair_share *s, uint64_t n, enum room room)
{
    uint64_t active;

    if (!f->all)
        return true;
    s->fresh_ticks = FRESH_TICKS;
    active = get(&f->all->n_active);
    if (active < 2)
        return true;
    if (over_its_part(f, s, n))
        return false;
    return LIKELY(!is_short(f, room)) || !is_heavy(f, s, active);
}

void fair_refused(struct fair *f)
{
    if (f->all)
        atomic_store_explicit(&f->all->contended_ns, loop_now_ns(f->host->loop), memory_order_relaxed);
}

/* ---- ticks ---- */

static void fade(uint64_t *bytes)
{
    *bytes -= (*bytes + 7) / 8;
}

void fair_tick_begin(struct fair *f)
{
    fade(&f->gone_bytes);
    f->tick_bytes = f->gone_bytes;
    f->tick_active = 0;
}

void fair_tick_share(struct fair *f, struct fair_share *s)
{
    fade(&s->recent_bytes);
    f->tick_bytes += s->recent_bytes + s->in_flight_bytes;
    if (s->fresh_ticks > 0) {
        s->fresh_ticks--;
        f->tick_active++;
    }
}

static void publish(_Atomic uint64_t *sum, uint64_t *published, uint64_t now)
{
    atomic_fetch_add_explicit(sum, now - *published, memory_order_relaxed); /* may wrap: sums do not mind */
    *published = now;
}

void fair_tick_end(struct fair *f)
{
    if (!f->all)
        return;
    publish(&f->all->used_bytes, &f->published_bytes, f->tick_bytes);
    publish(&f->all->n_active, &f->published_active, f->tick_active);
}

/* ---- life ---- */

void fair_init(struct fair *f, struct host *h, struct fair_all *all, const struct fair_settings *set,
               void (*run)(struct list *turn))
{
    *f = (struct fair){.host = h, .all = all, .set = set, .run = run};
    list_init(&f->resting);
    if (all)
        f->turn = timer_new(h->loop, __func__, on_turn, f);
}

void fair_close(struct fair *f)
{
    f->gone_bytes = 0;
    fair_tick_begin(f);
    fair_tick_end(f);
    timer_free(&f->turn);
}

void fair_join(struct fair_share *s, void (*rested)(struct fair_share *s))
{
    list_init(&s->resting);
    list_init(&s->runs);
    s->rested = rested;
}

void fair_leave(struct fair *f, struct fair_share *s)
{
    f->gone_bytes += s->recent_bytes;
    CHECK(list_empty(&s->runs) && s->in_flight_bytes == 0);
    list_del(&s->resting);
}
