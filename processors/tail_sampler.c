/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler's clock and life: see tail_sampler.h. Order: sharing, time, life.
 */
#include "processors/tail_sampler_priv.h"

#include <stdlib.h>

#include "platform/clock.h"

enum {
    LOOK_AT_CLOCK = 64, /* decisions between two looks at the clock */
};

/* ---- what the workers share ---- */

/* Most of what receivers may fill: the rest is for requests and for what goes out. */
static uint64_t default_held_bytes(const struct budget *b)
{
    uint64_t soft = budget_soft(b);

    return soft / 5 * 4;
}

int tail_shared_new(const struct tail_settings *s, const struct budget *b, uint32_t gates, struct tail_shared **out,
                    struct err *err)
{
    struct tail_shared *sh = mem_alloc(sizeof(*sh));

    sh->policies = tail_policies_new(s, err);
    sh->max_held_bytes = s->buffer_limit_mib ? s->buffer_limit_mib << 20 : default_held_bytes(b);
    *out = sh;
    if (sh->policies) {
        tail_policies_set_gates(sh->policies, gates);
        sh->limits = tail_limits_new(sh->policies);
        return 0;
    }
    tail_shared_free(out);
    return -1;
}

void tail_shared_free(struct tail_shared **shp)
{
    struct tail_shared *sh = *shp;

    *shp = NULL;
    if (!sh)
        return;
    tail_limits_free(&sh->limits);
    tail_policies_free(&sh->policies);
    free(sh);
}

static void gauge_move(struct series *g, uint64_t *published, uint64_t now)
{
    series_add(g, now - *published);
    *published = now;
}

/* Tells the others and the gauges. */
void tail_publish(struct tail_sampler *s)
{
    uint64_t bytes = tail_own_bytes(s);

    atomic_fetch_add_explicit(&s->shared->held_bytes, bytes - s->published_bytes, memory_order_relaxed);
    gauge_move(s->metrics.held_bytes, &s->published_bytes, bytes);
    gauge_move(s->metrics.held_spans, &s->published_spans, s->held_spans);
    gauge_move(s->metrics.segments, &s->published_segments, s->log.in_use);
}

/* ---- time ---- */

void tail_sampler_tick(struct tail_sampler *s)
{
    tail_wheel_tick(&s->wheel, &s->table);
    s->tick_wall_s = clock_wall_ns() / NS_PER_SEC;
    tail_relieve(s);
    if (s->store)
        tail_store_tick(s->store);
    s->tick_open = true;
}

/* All decisions of the tick are made and sent. */
static void tick_close(struct tail_sampler *s)
{
    s->tick_open = false;
    tail_compact(s, 1, 4);
    seg_log_trim(&s->log);
    tail_metrics_tick(&s->metrics);
    gauge_move(s->metrics.on_memory, &s->published_traces, s->table.n_traces);
    series_observe(s->metrics.timer_latency, (double)s->tick_ns / NS_PER_MS);
    s->tick_ns = 0;
}

static bool due(const struct tail_sampler *s, bool wait)
{
    return s->wheel.due.ring && !wait;
}

enum tail_work tail_sampler_work(struct tail_sampler *s, uint64_t max_ns)
{
    uint64_t from_ns = clock_mono_ns();
    bool sent, buried, wait = s->store && tail_shelf_restoring(s->store->shelf); /* traces may not be whole yet */

    do { /* without room to send it goes on deciding: what is not kept makes room */
        for (int i = 0; i < LOOK_AT_CLOCK && due(s, wait); i++)
            tail_decide(s, s->wheel.due.ring);
        tail_bury(s);
        buried = tail_bury_doomed(s, TAIL_GRAVES);
        sent = tail_send(s, !due(s, wait), TAIL_FLUSHES);
    } while ((due(s, wait) || !buried || (!sent && !s->blocked)) && clock_mono_ns() - from_ns < max_ns);
    s->tick_ns += clock_mono_ns() - from_ns;
    if (sent && buried && !due(s, wait) && s->tick_open)
        tick_close(s);
    if (s->store)
        tail_store_flush(s->store);
    tail_publish(s);
    if (due(s, wait) || !buried || (!sent && !s->blocked))
        return TAIL_MORE;
    return sent ? TAIL_IDLE : TAIL_BLOCKED;
}

/* ---- life ---- */

static void judge_resource(void *ctx, struct slice resource, uint64_t *facts)
{
    tail_facts_resource(ctx, resource, facts);
}

void tail_sampler_init(struct tail_sampler *s, struct host *h, const struct tail_settings *set,
                       struct tail_shared *shared)
{
    const struct cache_settings *cache = &set->decision_cache;
    struct tail_policies *p = shared->policies;

    *s = (struct tail_sampler){.host = h, .shared = shared, .policies = p};
    s->max_traces = tail_share(set->num_traces, h->n_workers);
    if (s->max_traces == 0)
        s->max_traces = 1;
    seg_log_init(&s->log, h->budget);
    intern_init(&s->in, h->budget, p->n_keys ? p->n_words : 0, judge_resource, p);
    s->in.sized = p->sized;
    trace_table_init(&s->table, h->budget, tail_facts_bytes(p));
    tail_wheel_init(&s->wheel, set->decision_wait_ns, set->decision_wait_after_root_received_ns);
    tail_cache_init(&s->sampled, h->budget,
                    tail_share(cache->sampled_cache_size > 0 ? (uint64_t)cache->sampled_cache_size : 0,
                               h->n_workers));
    tail_cache_init(&s->non_sampled, h->budget,
                    tail_share(cache->non_sampled_cache_size > 0 ? (uint64_t)cache->non_sampled_cache_size : 0,
                               h->n_workers));
    tail_emit_init(&s->emit, &s->log, &s->in, h->budget, tail_emit_bytes(h->budget, h->n_workers),
                   tail_emit_to, s);
    s->emit.wants_policies = p->randomness;
    tail_metrics_init(&s->metrics, h->metrics, h->id, p);
    tail_explain_init(&s->explain, h->budget, p, tail_share(set->explain_decisions, h->n_workers));
    tail_late_init(&s->late, h->budget);
    s->tick_wall_s = clock_wall_ns() / NS_PER_SEC;
    s->ottl = tail_ottl_new(p, &h->log);
    s->lean = tail_lean(p);
    s->facts = mem_alloc(tail_facts_bytes(p) + sizeof(*s->facts)); /* bits have a place even if there are none */
}

/* Everything that waits becomes due, in the order of its tick. */
static void all_due(struct tail_sampler *s)
{
    tail_wheel_hasten(&s->wheel, &s->table, 0);
}

static void drop_undecided(struct tail_sampler *s)
{
    while (s->wheel.n)
        tail_drop(s, tail_wheel_first(&s->wheel, &s->table));
    tail_bury(s);
}

void tail_sampler_end(struct tail_sampler *s, bool drop_pending)
{
    s->ended = true;
    s->why = WHY_SHUTDOWN;
    s->dropping = drop_pending;
    if (drop_pending)
        drop_undecided(s);
    else
        all_due(s);
    s->tick_open = true;
}

void tail_sampler_leave(struct tail_sampler *s)
{
    s->why = WHY_SHUTDOWN;
    tail_wheel_hasten(&s->wheel, &s->table, TRACE_IN_MEMORY);
    s->tick_open = true;
}

void tail_sampler_abandon(struct tail_sampler *s)
{
    if (s->store)
        tail_store_leave(s->store);
    drop_undecided(s);
    tail_unsend(s);
    tail_publish(s);
}

void tail_sampler_fini(struct tail_sampler *s)
{
    if (!s->shared)
        return;
    tail_sampler_abandon(s);
    atomic_fetch_sub_explicit(&s->shared->held_bytes, s->published_bytes, memory_order_relaxed);
    gauge_move(s->metrics.on_memory, &s->published_traces, 0);
    gauge_move(s->metrics.held_bytes, &s->published_bytes, 0);
    gauge_move(s->metrics.segments, &s->published_segments, 0);
    tail_emit_fini(&s->emit);
    tail_store_free(&s->store);
    tail_metrics_fini(&s->metrics);
    tail_explain_fini(&s->explain);
    tail_late_fini(&s->late);
    tail_ottl_free(&s->ottl);
    free(s->facts);
    tail_cache_fini(&s->sampled);
    tail_cache_fini(&s->non_sampled);
    tail_wheel_fini(&s->wheel);
    trace_table_fini(&s->table);
    intern_fini(&s->in);
    seg_log_fini(&s->log);
    budget_release(s->host->budget, MEM_TAIL, s->cap_scopes * sizeof(*s->scopes));
    free(s->scopes);
    free(s->part_info);
    budget_release(s->host->budget, MEM_TAIL, s->cap_touched * sizeof(*s->touched));
    free(s->touched);
    s->shared = NULL;
}
