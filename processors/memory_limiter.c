/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_limiter: refuses data while the daemon holds more than its soft limit.
 *
 * Problem: a Collector measures its heap now and then and refuses everything while the last
 * measurement was too high. Here every byte that the load decides is charged before it is held, so
 * this processor reads one number at each batch: no sampling, no interval, nothing that can be
 * overrun between two looks. The settings become the limits of the process's budget
 * (memory_limits); receivers refuse at the door by the same budget, before a body is read.
 *
 * The instances of one id on all workers share one flag, so that going over and coming back is one
 * log line each. Coming back is noticed at the next batch.
 * Threads: push on the worker; the shared flags are atomic.
 */
#include <stdlib.h>

#include "processors/items.h"
#include "processors/processors.h"

#define MIB (1024ull * 1024)
#define UINT32_MAX_D 4294967295.0

struct limiter_settings {
    int64_t check_interval_ns;
    uint64_t limit_mib, spike_limit_mib;
    uint64_t limit_percentage, spike_limit_percentage;
    int64_t min_gc_interval_when_soft_limited_ns, min_gc_interval_when_hard_limited_ns;
    int64_t max_gc_interval_when_soft_limited_ns, max_gc_interval_when_hard_limited_ns;
};

#define S struct limiter_settings
static const struct key limiter_keys[] = {
    KEY_DURATION(S, check_interval, "0s", 1, 0,
                 "Must be greater than zero, as in the Collector; memory is counted exactly here, so "
                 "nothing is done at this interval."),
    KEY_UINT(S, limit_mib, "0", 0, UINT32_MAX_D,
             "Hard limit of what the daemon may hold, in MiB; wins over limit_percentage."),
    KEY_UINT(S, spike_limit_mib, "0", 0, UINT32_MAX_D,
             "Data is refused from limit_mib minus this on; 0 means 20 % of the limit."),
    KEY_UINT(S, limit_percentage, "0", 0, UINT32_MAX_D,
             "Hard limit in percent of the memory this process may use (cgroup limit, else physical memory)."),
    KEY_UINT(S, spike_limit_percentage, "0", 0, UINT32_MAX_D,
             "Data is refused from limit_percentage minus this on; 0 means 20 % of the limit."),
    KEY_DURATION(S, min_gc_interval_when_soft_limited, "10s", 1, 0,
                 "Accepted and checked; there is no garbage collector here, so it has no effect."),
    KEY_DURATION(S, min_gc_interval_when_hard_limited, "0s", 1, 0,
                 "Accepted and checked; there is no garbage collector here, so it has no effect."),
    KEY_DURATION(S, max_gc_interval_when_soft_limited, "30s", 1, 0,
                 "Accepted and checked; there is no garbage collector here, so it has no effect."),
    KEY_DURATION(S, max_gc_interval_when_hard_limited, "30s", 1, 0,
                 "Accepted and checked; there is no garbage collector here, so it has no effect."),
    KEY_END,
};
#undef S

enum { ROW_ACCEPTED, ROW_REFUSED };
static const struct metric_row limiter_rows[] = {
    [ROW_ACCEPTED] = {.name = "otelcol_processor_memory_limiter_accepted_spans",
                      .type = METRIC_COUNTER,
                      .level = METRIC_BASIC,
                      .unit = "{spans}",
                      .help = "Number of spans successfully pushed into the next component in the pipeline. [Alpha]"},
    [ROW_REFUSED] = {.name = "otelcol_processor_memory_limiter_refused_spans",
                     .type = METRIC_COUNTER,
                     .level = METRIC_BASIC,
                     .unit = "{spans}",
                     .help = "Number of spans that were rejected by the next component in the pipeline. [Alpha]"},
    ITEMS_ROW_INCOMING,
    ITEMS_ROW_OUTGOING,
    {.name = NULL},
};

struct limiter_shared {
    _Atomic bool refusing;
    _Atomic bool announced;
};

struct limiter {
    struct component c;
    const struct limiter_settings *s;
    struct limiter_shared *shared;
    struct items items;
    struct series *accepted, *refused;
    bool drained;
};

static struct limiter *limiter_of(struct component *c)
{
    CHECK(c->type == &memory_limiter_type);
    return CONTAINER_OF(c, struct limiter, c);
}

/* ---- settings ---- */

static void check_percentages(const struct limiter_settings *s, struct check *c)
{
    if (s->limit_percentage > 100 || s->spike_limit_percentage > 100)
        check_error(c, s->limit_percentage > 100 ? "limit_percentage" : "spike_limit_percentage",
                    "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less "
                    "than or equal to hundred");
    if (s->limit_percentage > 0 && s->spike_limit_percentage >= s->limit_percentage)
        check_error(c, "spike_limit_percentage",
                    "'spike_limit_percentage' must be smaller than 'limit_percentage'");
}

static void check_gc_intervals(const struct limiter_settings *s, struct check *c)
{
    int64_t min_soft = s->min_gc_interval_when_soft_limited_ns;
    int64_t min_hard = s->min_gc_interval_when_hard_limited_ns;
    int64_t max_soft = s->max_gc_interval_when_soft_limited_ns;
    int64_t max_hard = s->max_gc_interval_when_hard_limited_ns;

    if (min_soft < min_hard)
        check_error(c, "min_gc_interval_when_soft_limited",
                    "'min_gc_interval_when_soft_limited' should be larger than "
                    "'min_gc_interval_when_hard_limited'");
    if (max_soft != 0 && max_soft < min_soft)
        check_error(c, "max_gc_interval_when_soft_limited",
                    "'max_gc_interval_when_soft_limited' must be greater than or equal to "
                    "'min_gc_interval_when_soft_limited' (or 0 to disable)");
    if (max_hard != 0 && max_hard < min_hard)
        check_error(c, "max_gc_interval_when_hard_limited",
                    "'max_gc_interval_when_hard_limited' must be greater than or equal to "
                    "'min_gc_interval_when_hard_limited' (or 0 to disable)");
    if (max_soft != 0 && max_hard != 0 && max_soft < max_hard)
        check_error(c, "max_gc_interval_when_soft_limited",
                    "'max_gc_interval_when_soft_limited' should be larger than or equal to "
                    "'max_gc_interval_when_hard_limited' (when both are set)");
}

static void limiter_check(const void *settings, struct check *c)
{
    const struct limiter_settings *s = settings;

    if (s->check_interval_ns <= 0)
        check_error(c, "check_interval", "'check_interval' must be greater than zero");
    if (s->limit_mib == 0 && s->limit_percentage == 0)
        check_error(c, "", "'limit_mib' or 'limit_percentage' must be greater than zero");
    if (s->limit_mib > 0 && s->spike_limit_mib >= s->limit_mib)
        check_error(c, "spike_limit_mib", "'spike_limit_mib' must be smaller than 'limit_mib'");
    check_percentages(s, c);
    check_gc_intervals(s, c);
}

static void limiter_limits(const void *settings, uint64_t total_bytes, uint64_t *soft_bytes, uint64_t *limit_bytes)
{
    const struct limiter_settings *s = settings;
    uint64_t limit, spike;

    if (s->limit_mib > 0) {
        limit = s->limit_mib * MIB;
        spike = s->spike_limit_mib * MIB;
    } else {
        limit = total_bytes / 100 * s->limit_percentage;
        spike = total_bytes / 100 * s->spike_limit_percentage;
    }
    if (spike == 0)
        spike = limit / 5;
    *limit_bytes = limit;
    *soft_bytes = limit - spike;
}

/* ---- life ---- */

static int limiter_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    (void)settings, (void)host, (void)err;
    *shared = mem_alloc(sizeof(struct limiter_shared));
    return 0;
}

static void limiter_shared_destroy(void **shared)
{
    free(*shared);
    *shared = NULL;
}

static struct component *limiter_create(struct host *h, const void *settings, struct err *err)
{
    struct limiter *m = mem_alloc(sizeof(*m));

    (void)err;
    m->c = (struct component){&memory_limiter_type, h};
    m->s = settings;
    m->shared = h->shared;
    m->items = items_new(h);
    m->accepted = processor_series(h, &limiter_rows[ROW_ACCEPTED]);
    m->refused = processor_series(h, &limiter_rows[ROW_REFUSED]);
    return &m->c;
}

static int limiter_start(struct component *c, struct err *err)
{
    struct limiter *m = limiter_of(c);
    struct host *h = c->host;
    uint64_t limit = budget_limit(h->budget), soft = budget_soft(h->budget);

    (void)err;
    if (atomic_exchange(&m->shared->announced, true))
        return 0;
    if (m->s->limit_mib == 0)
        log_info(&h->log, "Using percentage memory limiter",
                 LOG_UINT("total_memory_mib", mem_total_bytes() / MIB),
                 LOG_UINT("limit_percentage", m->s->limit_percentage),
                 LOG_UINT("spike_limit_percentage", m->s->spike_limit_percentage));
    log_info(&h->log, "Memory limiter configured", LOG_UINT("limit_mib", limit / MIB),
             LOG_UINT("spike_limit_mib", (limit - soft) / MIB),
             LOG_DBL("check_interval", (double)m->s->check_interval_ns / 1e9));
    return 0;
}

/* One line for going over and one for coming back, whichever worker sees it first. */
static void limiter_note(struct limiter *m, bool over)
{
    struct host *h = m->c.host;

    if (LIKELY(atomic_load_explicit(&m->shared->refusing, memory_order_relaxed) == over))
        return;
    if (atomic_exchange(&m->shared->refusing, over) == over)
        return;
    if (over)
        log_warn(&h->log, "Memory usage is above soft limit. Refusing data.",
                 LOG_UINT("cur_mem_mib", budget_used(h->budget) / MIB));
    else
        log_info(&h->log, "Memory usage back within limits. Resuming normal operation.",
                 LOG_UINT("cur_mem_mib", budget_used(h->budget) / MIB));
}

static void limiter_push(struct component *c, struct batch **take)
{
    struct limiter *m = limiter_of(c);
    uint64_t n = (*take)->n_spans;
    bool over = budget_over_soft(c->host->budget);

    series_add(m->items.incoming, n);
    if (m->drained) {
        processor_closed(take);
        return;
    }
    limiter_note(m, over);
    if (over) {
        series_add(m->refused, n);
        batch_refuse(take, &(struct answer_detail){
                               .answer = ANSWER_RETRY, .retry_after_ms = 1000, .text = MEMORY_REFUSAL});
        return;
    }
    series_add(m->accepted, n);
    series_add(m->items.outgoing, n);
    host_emit(c->host, take);
}

static void limiter_drain(struct component *c)
{
    struct limiter *m = limiter_of(c);

    if (m->drained)
        return;
    m->drained = true;
    host_drained(c->host);
}

static void limiter_destroy(struct component **c)
{
    if (!*c)
        return;
    free(limiter_of(*c));
    *c = NULL;
}

const struct component_type memory_limiter_type = {
    .kind = PROCESSOR,
    .name = "memory_limiter",
    .stability = "beta",
    .summary = "Refuses data, with an answer that makes clients try again, while the daemon holds more than its soft limit.",
    .keys = limiter_keys,
    .settings_size = sizeof(struct limiter_settings),
    .metrics = limiter_rows,
    .check = limiter_check,
    .memory_limits = limiter_limits,
    .shared_create = limiter_shared_create,
    .shared_destroy = limiter_shared_destroy,
    .create = limiter_create,
    .start = limiter_start,
    .push = limiter_push,
    .drain = limiter_drain,
    .destroy = limiter_destroy,
};
