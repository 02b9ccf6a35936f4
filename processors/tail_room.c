/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room: what may be held and what may go out, so that neither starves what comes after us.
 *
 *   0 ------------------- soft ----------- ceiling ----------- limit
 *     receivers admit         spans are filed     left to those who
 *     requests                and sent on         work on what was sent
 *
 * Sent spans stay charged until the backend has them, and the processors on their way there need room
 * for copies. So sending stops while the budget is used to its ceiling, and goes on by timer as the
 * use falls; kept traces wait in the log. One batch may be under way in any case, when none is: the
 * room above the ceiling is some times as large as all workers' batches.
 * Who files asks before it takes anything; what has been taken is filed, whatever the budget says.
 */
#include "processors/tail_sampler_priv.h"

enum {
    SPARE_PARTS = 16,   /* of the limit: one at least is left above the ceiling */
    BATCHES_SPARE = 8,  /* of every worker's find room there */
    SLICES_FOR_ROOM = 4, /* of sending and freeing, for one request */
};

/* Above the ceiling; 0: no limit. */
static uint64_t spare_bytes(const struct budget *b)
{
    uint64_t limit = budget_limit(b), half = (limit - budget_soft(b)) / 2;

    return half > limit / SPARE_PARTS ? half : limit / SPARE_PARTS;
}

static uint64_t ceiling(const struct budget *b)
{
    return budget_limit(b) ? budget_limit(b) - spare_bytes(b) : UINT64_MAX;
}

uint64_t tail_emit_bytes(const struct budget *b, unsigned n_workers)
{
    uint64_t share = spare_bytes(b) / BATCHES_SPARE / n_workers;

    if (!budget_limit(b) || share > EMIT_BYTES)
        return EMIT_BYTES;
    return share < EMIT_BYTES_LEAST ? EMIT_BYTES_LEAST : share;
}

static bool below_ceiling(const struct tail_sampler *s, uint64_t more)
{
    uint64_t used = budget_used(s->host->budget), max = ceiling(s->host->budget);

    return used <= max && more <= max - used;
}

/* Spans of this pipeline on this worker that are not held here: sent and not finished. */
bool tail_none_under_way(const struct tail_sampler *s)
{
    return s->host->ledger->held <= (int64_t)(s->held_spans + s->waiting_spans);
}

/* What is sent may be copied once before it shrinks. */
bool tail_may_emit(const struct tail_sampler *s)
{
    if (host_room(s->host, 0, 0) >= ROOM_NO) /* kept traces wait in the log */
        return false;
    return below_ceiling(s, 2 * tail_emit_cost(&s->emit)) || tail_none_under_way(s);
}

/* ---- the log ---- */

static void on_moved(void *ctx, uint32_t owner, uint32_t from, uint32_t to)
{
    struct tail_sampler *s = ctx;
    bool passing = owner >= TAIL_PASSING;
    uint32_t *first = passing ? &s->passing_first : &tail_at(s, owner)->first;
    uint32_t *last = passing ? &s->passing_last : trace_last(&s->table, tail_at(s, owner));

    if (*first == from)
        *first = to;
    if (*last == from)
        *last = to;
}

/* Records that the emitter knows must not move, nor those of traces that are not there any more. */
void tail_compact(struct tail_sampler *s, uint32_t num, uint32_t den)
{
    CHECK(!s->n_graves);
    if (!s->emit.n_items && !s->doomed.first)
        seg_log_compact(&s->log, num, den, on_moved, s);
}

/* Would they fit below the ceiling? Every span may be a trace of its own. */
static bool fits_budget(const struct tail_sampler *s, uint64_t bytes, uint64_t n_spans)
{
    uint64_t segments = seg_log_segments_for(&s->log, bytes, n_spans);
    uint64_t more = segments > s->log.n_pool ? (segments - s->log.n_pool) * SEG_BYTES : 0;

    return below_ceiling(s, more + n_spans * trace_table_entry_bytes(&s->table));
}

static bool fits_bound(const struct tail_sampler *s, uint64_t bytes, uint64_t n_spans)
{
    uint64_t more = seg_log_segments_for(&s->log, bytes, n_spans) * SEG_BYTES;
    uint64_t max = s->shared->max_held_bytes;
    uint64_t others = atomic_load_explicit(&s->shared->held_bytes, memory_order_relaxed) - s->published_bytes;

    return !max || !more || others + tail_own_bytes(s) + more <= max;
}

static bool fits(struct tail_sampler *s, uint64_t bytes, uint64_t n_spans)
{
    if (!fits_bound(s, bytes, n_spans))
        return false;
    if (s->in.promised)
        return seg_log_force(&s->log, bytes, n_spans) == 0;
    return fits_budget(s, bytes, n_spans) && seg_log_reserve(&s->log, bytes, n_spans) == 0;
}

/* What is decided goes, until the rest fits or that took as long as it may here. True: all of it has gone. */
static bool clear_decided(struct tail_sampler *s, uint64_t bytes, uint64_t n_spans)
{
    bool clear = false;

    for (int i = 0; i < SLICES_FOR_ROOM && !clear && (i == 0 || !fits(s, bytes, n_spans)); i++) {
        bool buried = tail_bury_doomed(s, TAIL_GRAVES);

        clear = tail_send(s, true, TAIL_FLUSHES) && buried;
        if (s->blocked && buried)
            break;
    }
    tail_compact(s, 1, 2);
    if (!fits_budget(s, bytes, n_spans)) /* free segments are ours still: they count as used */
        seg_log_trim_all(&s->log);
    return clear;
}

bool tail_make_room(struct tail_sampler *s, uint64_t bytes, uint64_t n_spans)
{
    if (LIKELY(fits(s, bytes, n_spans)))
        return true;
    bool sent = clear_decided(s, bytes, n_spans); /* first: deciding more would not help */
    while (sent && s->wheel.n && !fits(s, bytes, n_spans)) {
        tail_shed(s, bytes + SEG_BYTES);
        sent = clear_decided(s, bytes, n_spans);
    }
    if (fits(s, bytes, n_spans))
        return true;
    intern_trim(&s->in);
    /* With nothing of ours left to decide the bound may be passed, the ceiling may not. */
    if (s->in.promised)
        return seg_log_force(&s->log, bytes, n_spans) == 0;
    return sent && fits_budget(s, bytes, n_spans) && seg_log_reserve(&s->log, bytes, n_spans) == 0;
}

void tail_relieve(struct tail_sampler *s)
{
    const struct budget *b = s->host->budget;

    if (!budget_over_soft(b))
        return;
    seg_log_trim_all(&s->log);
    if (!s->sending && budget_used_by(b, MEM_TAIL) > budget_soft(b) / 2)
        tail_shed(s, s->log.live_bytes / 16 + SEG_BYTES);
}

/* ---- the table ---- */

/* A place in the table, by forgetting or deciding the oldest when it must be. */
static void evict_one(struct tail_sampler *s)
{
    uint32_t index = s->decided.oldest;

    if (index) {
        tail_unsettle(s, index);
        tail_forget(s, index);
        return;
    }
    index = tail_wheel_first(&s->wheel, &s->table);
    tail_at(s, index)->flags |= TRACE_FORGET;
    tail_decide_early(s, index, EARLY_NUM_TRACES);
    tail_bury(s);
    tail_send(s, false, TAIL_FLUSHES);
}

bool tail_make_place(struct tail_sampler *s)
{
    while (s->table.n_traces - s->n_leaving >= s->max_traces && (s->decided.n || s->wheel.n))
        evict_one(s);
    while (trace_table_reserve(&s->table) != 0) {
        if (!s->decided.n)
            return trace_table_force(&s->table) == 0;
        evict_one(s);
    }
    return true;
}
