/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of traces: judged, sent on or let go, in time or early. See tail_sampler.h.
 *
 * Records of traces that are not kept are freed for many traces in turn: their chains are scattered
 * over the log, so while one record is waited for the next chain's is fetched already. What is left of a long
 * chain then waits for slices of its own: a trace may be a million records.
 * Order: releasing spans, deciding, sending. When there is room for what is sent: tail_room.c.
 */
#include "processors/tail_sampler_priv.h"
#include "processors/tail_state.h"

#include <string.h>

#include "component/gates.h"
#include "model/otlp_walk.h"
#include "model/wire.h"
#include "platform/clock.h"

enum { CLOCK_EVERY = 64 /* decisions of which one is timed */ };

/* ---- releasing spans ---- */

static void record_free(struct tail_sampler *s, uint32_t ref)
{
    const struct record *r = seg_at(&s->log, ref);
    uint32_t scope = r->scope, stored = rec_stored(r);

    seg_drop(&s->log, ref);
    intern_unref(&s->in, scope);
    if (stored)
        tail_store_unref(s->store, stored);
}

/* Joins the doomed. Links back do not matter any more. */
static void doom(struct tail_sampler *s, struct tail_grave g)
{
    if (s->doomed.first)
        seg_at(&s->log, s->doomed.last)->next = g.first;
    else
        s->doomed.first = g.first;
    s->doomed.last = g.last;
}

void tail_bury(struct tail_sampler *s)
{
    uint32_t n = s->n_graves, left = TAIL_GRAVES;

    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(seg_at(&s->log, s->graves[i].first));
    while (n && left) {
        for (uint32_t i = 0; i < n && left; left--) {
            uint32_t ref = s->graves[i].first, next = seg_at(&s->log, ref)->next;

            if (next)
                __builtin_prefetch(seg_at(&s->log, next));
            record_free(s, ref);
            if (next)
                s->graves[i++].first = next;
            else
                s->graves[i] = s->graves[--n];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        doom(s, s->graves[i]);
    s->n_graves = 0;
}

bool tail_bury_doomed(struct tail_sampler *s, uint32_t n)
{
    for (uint32_t ref; n && (ref = s->doomed.first); n--) {
        s->doomed.first = seg_at(&s->log, ref)->next;
        if (s->doomed.first)
            __builtin_prefetch(seg_at(&s->log, s->doomed.first));
        record_free(s, ref);
    }
    return !s->doomed.first;
}

/* The chain's spans are booked already; its records are freed soon. */
static void chain_bury(struct tail_sampler *s, uint32_t *first, uint32_t *last)
{
    if (!*first)
        return;
    if (s->n_graves == ARRAY_LEN(s->graves))
        tail_bury(s);
    s->graves[s->n_graves++] = (struct tail_grave){*first, *last};
    *first = *last = 0;
}

static void grave_add(struct tail_sampler *s, struct trace *tr)
{
    chain_bury(s, &tr->first, trace_last(&s->table, tr));
}

/* Spans of a chain that are on disk as well. */
static uint64_t chain_on_disk(const struct tail_sampler *s, uint32_t first)
{
    uint64_t n = 0;
    bool stored = false, more = false;

    for (uint32_t ref = first; ref; ref = seg_at(&s->log, ref)->next) {
        const struct record *r = seg_at(&s->log, ref);

        stored = more ? stored : r->on_disk;
        more = r->more;
        n += stored ? r->n_spans : 0;
    }
    return n;
}

/* Of its records, until there are as many as `enough`. */
static uint64_t chain_bytes(const struct tail_sampler *s, const struct trace *tr, uint64_t enough)
{
    uint64_t bytes = 0;

    for (uint32_t ref = tr->first; ref && bytes < enough; ref = seg_at(&s->log, ref)->next)
        bytes += seg_at(&s->log, ref)->len;
    return bytes;
}

/* The trace leaves the table; it is on no list. */
void tail_forget(struct tail_sampler *s, uint32_t index)
{
    uint32_t ticks = s->wheel.now - tail_at(s, index)->born_tick;

    series_observe(s->metrics.removal_age, ticks ? ticks - 1 : 0); /* whole seconds: it came between two ticks */
    trace_table_remove(&s->table, index);
}

/* A decided trace whose spans are gone: remembered here, unless a cache does or it must go. */
static void settle(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);

    if (tr->flags & TRACE_FORGET) {
        tail_forget(s, index);
        return;
    }
    trace_list_add(&s->table, &s->decided, index);
}

void tail_unsettle(struct tail_sampler *s, uint32_t index)
{
    trace_list_del(&s->table, &s->decided, index);
}

/* ---- deciding ---- */

/* Of a trace whose size is kept. */
static const struct tail_size *size_of(const struct tail_sampler *s, const struct trace *tr)
{
    return tail_facts_size(s->policies, trace_more(&s->table, tr)->facts);
}

static struct tail_subject subject_of(struct tail_sampler *s, struct trace *tr)
{
    const struct tail_size *size = s->policies->sized ? size_of(s, tr) : NULL;
    uint64_t *all = tr->flags & TRACE_MORE ? trace_more(&s->table, tr)->facts : NULL;

    return (struct tail_subject){.id = tr->id, .n_spans = tail_n_spans(s, tr), .facts = tail_facts_judged(s, tr), .limits = s->shared->limits,
                                 .randomness = s->policies->randomness && all ? *tail_facts_randomness(s->policies, all) : 0,
                                 .n_bytes = size ? tail_size_whole(size) : 0,
                                 .n_item_bytes = size ? tail_size_bodies(size) : 0};
}

static enum vote vote(struct tail_sampler *s, uint32_t policy, const struct tail_subject *t, bool timed)
{
    struct tail_policy_series *ps = &s->metrics.policies[policy];
    uint64_t from_ns = timed ? clock_mono_ns() : 0;
    enum vote v = tail_policy_vote(s->policies, policy, t);

    if (timed)
        ps->sampled_ns += (clock_mono_ns() - from_ns) * CLOCK_EVERY;
    ps->executed++;
    if (UNLIKELY(v == VOTE_ERROR)) {
        series_add(s->metrics.evaluation_errors, 1);
        return v;
    }
    series_add(ps->votes[v], 1);
    if (ps->spans[v])
        series_add(ps->spans[v], t->n_spans);
    if (ps->bytes[v])
        series_add(ps->bytes[v], t->n_item_bytes);
    return v;
}

/* Any drop drops; else any sample samples. All policies are asked, for their counters' sake, unless
 * the first match decides. */
static enum vote judge(struct tail_sampler *s, struct trace *tr)
{
    const struct tail_policies *p = s->policies;
    struct tail_subject t = subject_of(s, tr);
    uint64_t threshold = UINT64_MAX;

    s->stamp = (struct tail_stamp){0};
    t.composite_sub = &s->stamp.composite_sub;
    bool timed = s->decisions++ % CLOCK_EVERY == 0;
    enum vote result = VOTE_NOT_SAMPLED;

    tail_explain_begin(&s->explain);
    for (uint32_t i = 0; i < p->n_policies; i++) {
        enum vote v = vote(s, i, &t, timed);

        tail_explain_vote(&s->explain, i, v);

        if (v == VOTE_DROPPED)
            return v;
        if (v == VOTE_SAMPLED) {
            result = v;
            if (p->policies[i].threshold < threshold) {
                threshold = p->policies[i].threshold;
                s->stamp.policy = i + 1;
            }
            if (p->first_match)
                break;
        }
    }
    return result;
}

static void remember(const struct tail_sampler *s, struct tail_cache *cache, struct trace *tr)
{
    if (!cache->max)
        return;
    if (tail_cache_put(cache, tr->id))
        tail_cache_set_note(cache, s->stamp.policy);
    tr->flags |= TRACE_FORGET;
}

/* With more decisions due than are kept, those would push it out at once: its spans need not be looked at. */
static void note(struct tail_sampler *s, struct trace *tr, enum vote v, enum explain_why why)
{
    if (s->explain.cap && s->wheel.due.n <= s->explain.cap)
        tail_explain_add(&s->explain, tr, tail_facts_whole(s, tr), &s->log, &s->in,
                         (struct explained){.born_s = s->tick_wall_s - (s->wheel.now - tr->born_tick),
                                            .decided_s = s->tick_wall_s, .n_spans = tail_n_spans(s, tr),
                                            .n_bytes = s->policies->sized ? tail_size_whole(size_of(s, tr)) : 0,
                                            .policy = s->stamp.policy, .sub = s->stamp.composite_sub,
                                            .restored = (int32_t)tr->born_tick < 0, .cut = tr->flags & TRACE_CUT,
                                            .result = (uint8_t)v, .why = (uint8_t)why});
}

void tail_queue_add(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);

    tr->flags |= TRACE_IN_QUEUE;
    if (tr->flags & TRACE_FORGET)
        s->n_leaving++;
    trace_ring_add(&s->table, &s->sending, index);
}

static enum note_code note_code(const struct tail_sampler *s, enum vote v)
{
    if (v == VOTE_SAMPLED)
        return NOTE_SAMPLED;
    if (v == VOTE_DROPPED)
        return NOTE_DROPPED;
    return s->policies->ingest ? NOTE_OVER : NOTE_NOT_SAMPLED;
}

/* For the next process. */
static void note_decision(struct tail_sampler *s, const struct trace *tr, enum note_code code)
{
    const char *policy = s->stamp.policy ? s->policies->policies[s->stamp.policy - 1].name : NULL;

    if (s->store)
        tail_store_decided(s->store, tr->id, code, policy ? tail_note_policy(policy) : 0);
}

/* Records before `from`. */
static void mark_plain(const struct tail_sampler *s, uint32_t ref, uint32_t from)
{
    for (; ref && ref != from; ref = seg_at(&s->log, ref)->next)
        seg_at(&s->log, ref)->plain = 1;
}

/* What was kept up to judge it by is not needed any more. Returns how many spans it has. */
static uint64_t settled_as(struct tail_sampler *s, uint32_t index, enum trace_state state)
{
    struct trace *tr = tail_at(s, index);
    uint64_t n_spans = tail_n_spans(s, tr);

    tail_wheel_del(&s->wheel, &s->table, index);
    trace_more_del(&s->table, tr);
    tr->at_tick = s->wheel.now;
    tr->state = (uint8_t)state;
    tr->policy = 0;
    return n_spans;
}

/* Records from `from` on are those that the deciding policy saw. */
static void decide_as(struct tail_sampler *s, uint32_t index, enum vote v, uint32_t from)
{
    struct trace *tr = tail_at(s, index);

    note(s, tr, v, s->why);
    series_add(s->metrics.decisions[v], 1);
    uint64_t n_spans = settled_as(s, index, v == VOTE_SAMPLED ? TRACE_SAMPLED : v == VOTE_DROPPED ? TRACE_DROPPED : TRACE_NOT_SAMPLED);
    tr->policy = s->stamp.policy <= UINT16_MAX ? (uint16_t)s->stamp.policy : 0;
    note_decision(s, tr, note_code(s, v));
    remember(s, v == VOTE_SAMPLED ? &s->sampled : &s->non_sampled, tr);
    if (v == VOTE_SAMPLED) {
        if (UNLIKELY(s->emit.wants_policies))
            mark_plain(s, tr->first, from);
        if (s->policies->gates & GATE_BIT(GATE_TAIL_RECORD_POLICY))
            tail_record(&s->log, &s->in, from, s->policies, s->stamp);
        tail_queue_add(s, index);
        return;
    }
    ledger_end(s->host->ledger, n_spans, FATE_SAMPLED_OUT, DROP_NONE);
    s->held_spans -= n_spans;
    grave_add(s, tr);
    settle(s, index);
}

/* span-ingest: a drop policy that does not drop keeps the others from being asked, as in the Collector. */
static enum vote item_vote(struct tail_sampler *s, struct trace *tr)
{
    const struct tail_policies *p = s->policies;
    struct tail_subject t = subject_of(s, tr);
    bool timed = s->decisions++ % CLOCK_EVERY == 0, asked = false;

    s->stamp = (struct tail_stamp){0};
    t.composite_sub = &s->stamp.composite_sub;
    tail_explain_begin(&s->explain);
    for (uint32_t i = 0; i < p->n_policies && (i < p->n_drop || !asked); i++) {
        enum vote v = vote(s, i, &t, timed);

        tail_explain_vote(&s->explain, i, v);
        asked |= i < p->n_drop && v != VOTE_ERROR;
        if (v == VOTE_SAMPLED)
            s->stamp.policy = i + 1;
        if (v == VOTE_SAMPLED || v == VOTE_DROPPED)
            return v;
    }
    return VOTE_NOT_SAMPLED;
}

bool tail_judge_item(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);
    uint64_t *facts = trace_more(&s->table, tr)->facts;
    struct tail_item *item = tail_facts_item(s->policies, facts);
    uint64_t from_ns = clock_mono_ns();
    enum vote v = item_vote(s, tr);
    uint64_t took_ms = (clock_mono_ns() - from_ns) / NS_PER_MS; /* whole ones, as the Collector counts */
    uint32_t first = item->first;

    series_observe(s->metrics.timer_latency, (double)took_ms);

    *item = (struct tail_item){0};
    if (v == VOTE_NOT_SAMPLED) {
        tail_facts_reset(s->policies, facts);
        return false;
    }
    enum explain_why why = s->why;
    s->why = WHY_ITEM;
    decide_as(s, index, v, first);
    s->why = why;
    return true;
}

/* span-ingest: a trace that nothing has decided by now is not sampled, and forgotten. */
static void slot_over(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);

    tr->flags |= TRACE_FORGET;
    if (tail_facts_item(s->policies, trace_more(&s->table, tr)->facts)->key && tail_judge_item(s, index))
        return;
    s->stamp = (struct tail_stamp){0};
    tail_explain_begin(&s->explain);
    decide_as(s, index, VOTE_NOT_SAMPLED, 0);
}

void tail_decide(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);

    if (s->policies->ingest)
        slot_over(s, index);
    else
        decide_as(s, index, judge(s, tr), tr->first);
}

void tail_drop_too_large(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);

    series_add(s->metrics.too_large, 1);
    s->stamp = (struct tail_stamp){0};
    tail_explain_begin(&s->explain);
    note(s, tr, VOTE_NOT_SAMPLED, WHY_TOO_LARGE);
    uint64_t n_spans = settled_as(s, index, TRACE_NOT_SAMPLED);
    tr->flags |= TRACE_TOO_LARGE;
    note_decision(s, tr, NOTE_TOO_LARGE);
    remember(s, &s->non_sampled, tr);
    ledger_end(s->host->ledger, n_spans, FATE_DROPPED, DROP_TOO_LARGE);
    s->held_spans -= n_spans;
    grave_add(s, tr);
    settle(s, index);
}

void tail_decide_early(struct tail_sampler *s, uint32_t index, enum early_reason why)
{
    series_add(s->metrics.early[why], 1);
    series_add(s->metrics.decided_early, 1);
    series_observe(s->metrics.early_age, s->wheel.now - tail_at(s, index)->born_tick);
    s->why = why == EARLY_NUM_TRACES ? WHY_NUM_TRACES : WHY_BUFFER;
    tail_decide(s, index);
    s->why = s->ended ? WHY_SHUTDOWN : WHY_TIME;
}

/* Spans that stay on disk when this process is over are not lost. */
static void book_left(struct tail_sampler *s, uint64_t n, uint64_t on_disk)
{
    ledger_end(s->host->ledger, on_disk, FATE_STORED, DROP_NONE);
    ledger_end(s->host->ledger, n - on_disk, FATE_DROPPED, DROP_SHUTDOWN);
}

/* An undecided trace that is not to be decided any more. */
void tail_drop(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);
    uint64_t n_spans = settled_as(s, index, TRACE_NOT_SAMPLED);

    book_left(s, n_spans, s->store && s->store->leaving ? chain_on_disk(s, tr->first) : 0);
    s->held_spans -= n_spans;
    grave_add(s, tr);
    tail_forget(s, index);
}

/* Decides the oldest until so many bytes of spans are free, or will be once they are sent. */
void tail_shed(struct tail_sampler *s, uint64_t bytes)
{
    uint64_t freed = 0;

    while (s->wheel.n && freed < bytes) {
        uint32_t index = tail_wheel_first(&s->wheel, &s->table);

        freed += chain_bytes(s, tail_at(s, index), bytes - freed);
        tail_decide_early(s, index, EARLY_BUFFER);
    }
    tail_bury(s);
}

/* ---- sending ---- */

void tail_emit_to(void *sampler, struct payload **take)
{
    struct tail_sampler *s = sampler;
    struct batch *b = batch_new(take, NULL);

    if (UNLIKELY(s->emit.wants_policies))
        tail_state_write(b, s->emit.policies, s->policies, s->metrics.unparseable);
    s->held_spans -= b->n_spans;
    if (s->store)
        tail_store_fly(s->store, b);
    b->ledger = s->host->ledger; /* where they are booked as held since they came */
    host_emit(s->host, &b);
}

static void queue_del(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = tail_at(s, index);

    trace_ring_del(&s->table, &s->sending, index);
    tr->flags &= (uint8_t)~TRACE_IN_QUEUE;
    if (tr->flags & TRACE_FORGET)
        s->n_leaving--;
    settle(s, index);
}

/* One batch on its way, if there is room for it. */
static bool flush(struct tail_sampler *s)
{
    s->blocked = s->emit.n_items && (!tail_may_emit(s) || tail_emit_flush(&s->emit) != 0);
    return !s->blocked;
}

/* A run of spans goes to the emitter. id: its trace; NULL: to be seen in the spans. */
static void note_leaving(struct tail_sampler *s, uint32_t ref, const uint8_t *id)
{
    const struct record *r = seg_at(&s->log, ref);
    uint32_t stored = rec_stored(r), n = r->n_spans;
    struct span first = {0};

    if (!stored)
        return;
    if (!id) {
        tail_first_span(s, ref, &first);
        id = first.trace_id;
    }
    while (r->more) {
        r = seg_at(&s->log, r->next);
        n += r->n_spans;
    }
    tail_store_leaves(s->store, stored, n, tail_store_key(id));
}

static uint32_t kept_by(const struct tail_sampler *s, const struct record *r)
{
    if (r->plain)
        return 0;
    return r->owner >= TAIL_PASSING ? r->owner - TAIL_PASSING : tail_at(s, r->owner)->policy;
}

/* Hands a chain of records to the emitter. False: the emitter is full and cannot flush, or has as
 * often as it should. */
static bool send_chain(struct tail_sampler *s, uint32_t *first, uint32_t *last, const uint8_t *id, unsigned *flushes)
{
    while (*first) {
        if (tail_emit_full(&s->emit) && ((*flushes)-- == 0 || !flush(s)))
            return false;
        if (s->store)
            note_leaving(s, *first, id);
        *first = tail_emit_add(&s->emit, *first, kept_by(s, seg_at(&s->log, *first)));
        if (*first)
            rec_set_prev(seg_at(&s->log, *first), 0);
    }
    *last = 0;
    return true;
}

bool tail_send(struct tail_sampler *s, bool all, unsigned flushes)
{
    s->blocked = false;
    if (!send_chain(s, &s->passing_first, &s->passing_last, NULL, &flushes))
        return false;
    while (s->sending) {
        struct trace *tr = tail_at(s, s->sending);

        if (!send_chain(s, &tr->first, trace_last(&s->table, tr), tr->id, &flushes))
            return false;
        queue_del(s, s->sending);
    }
    return (!all && !tail_emit_full(&s->emit)) || flush(s);
}

/* Spans of a queued trace, from its records: some may be gone already. */
static uint64_t chain_spans(const struct tail_sampler *s, uint32_t first)
{
    uint64_t n = 0;

    for (uint32_t ref = first; ref; ref = seg_at(&s->log, ref)->next)
        n += seg_at(&s->log, ref)->n_spans;
    return n;
}

void tail_unsend(struct tail_sampler *s)
{
    uint64_t n = tail_emit_discard(&s->emit) + chain_spans(s, s->passing_first), on_disk = 0;

    if (s->store)
        on_disk = tail_store_ground(s->store) + chain_on_disk(s, s->passing_first);

    chain_bury(s, &s->passing_first, &s->passing_last);
    while (s->sending) {
        uint32_t index = s->sending;

        n += chain_spans(s, tail_at(s, index)->first);
        on_disk += s->store ? chain_on_disk(s, tail_at(s, index)->first) : 0;
        grave_add(s, tail_at(s, index));
        queue_del(s, index);
    }
    tail_bury(s);
    tail_bury_doomed(s, UINT32_MAX);
    s->held_spans -= n;
    book_left(s, n, on_disk);
}
