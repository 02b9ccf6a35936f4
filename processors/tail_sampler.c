/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler: see tail_sampler.h.
 * Order: sharing, releasing spans, deciding, sending, room, filing, time, life.
 */
#include "processors/tail_sampler.h"

#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/hash.h"

enum {
    NO_TRACE = -1,         /* owner of records that only pass through */
    CLOCK_EVERY = 64,      /* decisions of which one is timed */
    LOOK_AT_CLOCK = 64,    /* decisions between two looks at the clock */
    RUN_BYTES = 64 << 10,  /* a run's records are cut there, so that batches can be bounded */
};

static struct trace *at(const struct tail_sampler *s, uint32_t index)
{
    return trace_at(&s->table, index);
}

/* ---- what the workers share ---- */

/* Most of what receivers may fill: the rest is for requests and for what goes out. */
static uint64_t default_held_bytes(const struct budget *b)
{
    uint64_t soft = budget_soft(b);

    return soft / 5 * 4;
}

int tail_shared_new(const struct tail_settings *s, const struct budget *b, struct tail_shared **out,
                    struct err *err)
{
    struct tail_shared *sh = mem_alloc(sizeof(*sh));

    sh->policies = tail_policies_new(s, err);
    sh->max_held_bytes = s->buffer_limit_mib ? s->buffer_limit_mib << 20 : default_held_bytes(b);
    *out = sh;
    if (sh->policies)
        return 0;
    tail_shared_free(out);
    return -1;
}

void tail_shared_free(struct tail_shared **shp)
{
    struct tail_shared *sh = *shp;

    *shp = NULL;
    if (!sh)
        return;
    tail_policies_free(&sh->policies);
    free(sh);
}

static uint64_t own_bytes(const struct tail_sampler *s)
{
    return seg_log_held_bytes(&s->log) + s->in.bytes;
}

static void gauge_move(struct series *g, uint64_t *published, uint64_t now)
{
    series_add(g, now - *published);
    *published = now;
}

/* Tells the others and the gauges. */
static void publish(struct tail_sampler *s)
{
    uint64_t bytes = own_bytes(s);

    atomic_fetch_add_explicit(&s->shared->held_bytes, bytes - s->published_bytes, memory_order_relaxed);
    gauge_move(s->metrics.held_bytes, &s->published_bytes, bytes);
    gauge_move(s->metrics.held_spans, &s->published_spans, s->held_spans);
    gauge_move(s->metrics.segments, &s->published_segments, s->log.in_use);
}

/* ---- releasing spans ---- */

/* Frees a trace's records. Returns how many spans they held. */
static uint64_t chain_free(struct tail_sampler *s, struct trace *tr)
{
    uint64_t n = 0;

    for (uint32_t ref = tr->first; ref;) {
        const struct record *r = seg_at(&s->log, ref);
        uint32_t next = r->next, scope = r->scope;

        n += r->n_spans & ~REC_MORE;
        seg_drop(&s->log, ref);
        intern_unref(&s->in, scope);
        ref = next;
    }
    tr->first = tr->last = 0;
    s->held_spans -= n;
    return n;
}

static uint64_t chain_bytes(const struct tail_sampler *s, const struct trace *tr)
{
    uint64_t bytes = 0;

    for (uint32_t ref = tr->first; ref; ref = seg_at(&s->log, ref)->next)
        bytes += seg_at(&s->log, ref)->len;
    return bytes;
}

/* The trace leaves the table; it is on no list. */
static void forget(struct tail_sampler *s, uint32_t index)
{
    series_observe(s->metrics.removal_age, s->wheel.now - at(s, index)->born_tick);
    trace_table_remove(&s->table, index);
}

/* A decided trace whose spans are gone: remembered here, unless a cache does or it must go. */
static void settle(struct tail_sampler *s, uint32_t index)
{
    if (at(s, index)->flags & TRACE_FORGET)
        forget(s, index);
    else
        trace_list_add(&s->table, &s->decided, index);
}

/* ---- deciding ---- */

static enum vote vote(struct tail_sampler *s, uint32_t policy, const struct trace *tr, bool timed)
{
    struct tail_policy_series *ps = &s->metrics.policies[policy];
    uint64_t from_ns = timed ? clock_mono_ns() : 0;
    enum vote v = tail_policy_vote(s->policies, policy, tr->id, tr->n_spans, tr->facts);

    if (timed)
        ps->sampled_ns += (clock_mono_ns() - from_ns) * CLOCK_EVERY;
    ps->executed++;
    series_add(ps->votes[v], 1);
    return v;
}

/* Any drop drops; else any sample samples. All policies are asked, for their counters' sake, unless
 * the first match decides. */
static enum vote judge(struct tail_sampler *s, const struct trace *tr)
{
    const struct tail_policies *p = s->policies;
    bool timed = s->decisions++ % CLOCK_EVERY == 0;
    enum vote result = VOTE_NOT_SAMPLED;

    for (uint32_t i = 0; i < p->n_policies; i++) {
        enum vote v = vote(s, i, tr, timed);

        if (v == VOTE_DROPPED)
            return v;
        if (v == VOTE_SAMPLED) {
            result = v;
            if (p->first_match)
                break;
        }
    }
    return result;
}

static void remember(struct tail_cache *cache, struct trace *tr)
{
    if (!cache->max)
        return;
    tail_cache_put(cache, tr->id);
    tr->flags |= TRACE_FORGET;
}

static void queue_add(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = at(s, index);

    tr->flags |= TRACE_IN_QUEUE;
    if (tr->flags & TRACE_FORGET)
        s->n_leaving++;
    trace_ring_add(&s->table, &s->sending, index);
}

static void decide(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = at(s, index);

    tail_wheel_del(&s->wheel, &s->table, index);
    trace_list_del(&s->table, &s->undecided, index);
    enum vote v = judge(s, tr);
    series_add(s->metrics.decisions[v], 1);
    tr->at_tick = s->wheel.now;
    tr->state = v == VOTE_SAMPLED ? TRACE_SAMPLED : v == VOTE_DROPPED ? TRACE_DROPPED : TRACE_NOT_SAMPLED;
    remember(v == VOTE_SAMPLED ? &s->sampled : &s->non_sampled, tr);
    if (v == VOTE_SAMPLED) {
        queue_add(s, index);
        return;
    }
    ledger_end(s->host->ledger, chain_free(s, tr), FATE_SAMPLED_OUT, DROP_NONE);
    settle(s, index);
}

static void decide_early(struct tail_sampler *s, uint32_t index, enum early_reason why)
{
    series_add(s->metrics.early[why], 1);
    series_add(s->metrics.decided_early, 1);
    decide(s, index);
}

/* An undecided trace that is not to be decided any more. */
static void drop(struct tail_sampler *s, uint32_t index)
{
    tail_wheel_del(&s->wheel, &s->table, index);
    trace_list_del(&s->table, &s->undecided, index);
    ledger_end(s->host->ledger, chain_free(s, at(s, index)), FATE_DROPPED, DROP_SHUTDOWN);
    forget(s, index);
}

/* Decides the oldest until so many bytes of spans are free, or will be once they are sent. */
static void shed(struct tail_sampler *s, uint64_t bytes)
{
    uint64_t freed = 0;

    while (s->undecided.n && freed < bytes) {
        freed += chain_bytes(s, at(s, s->undecided.oldest));
        decide_early(s, s->undecided.oldest, EARLY_BUFFER);
    }
}

/* ---- sending ---- */

static void on_payload(void *ctx, struct payload **take)
{
    struct tail_sampler *s = ctx;
    struct batch *b = batch_new(take, NULL);

    s->held_spans -= b->n_spans;
    b->ledger = s->host->ledger; /* where they are booked as held since they came */
    host_emit(s->host, &b);
}

static void queue_del(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = at(s, index);

    trace_ring_del(&s->table, &s->sending, index);
    tr->flags &= (uint8_t)~TRACE_IN_QUEUE;
    if (tr->flags & TRACE_FORGET)
        s->n_leaving--;
    settle(s, index);
}

/* Hands a queued trace's records to the emitter. False: the emitter is full and cannot flush. */
static bool send_trace(struct tail_sampler *s, uint32_t index)
{
    struct trace *tr = at(s, index);

    while (tr->first) {
        if (tail_emit_full(&s->emit) && tail_emit_flush(&s->emit) != 0)
            return false;
        tr->first = tail_emit_add(&s->emit, tr->first);
        if (tr->first)
            seg_at(&s->log, tr->first)->prev = 0;
    }
    tr->last = 0;
    queue_del(s, index);
    return true;
}

/* Sends what is queued; `all`: also what does not fill a batch. False: memory is short. */
static bool send(struct tail_sampler *s, bool all)
{
    while (s->sending)
        if (!send_trace(s, s->sending))
            return false;
    return (!all && !tail_emit_full(&s->emit)) || tail_emit_flush(&s->emit) == 0;
}

/* ---- room ---- */

static void on_moved(void *ctx, uint32_t owner, uint32_t from, uint32_t to)
{
    struct trace *tr = at(ctx, owner);

    if (tr->first == from)
        tr->first = to;
    if (tr->last == from)
        tr->last = to;
}

/* Records that the emitter knows must not move. */
static void compact(struct tail_sampler *s, uint32_t num, uint32_t den)
{
    if (!s->emit.n_items)
        seg_log_compact(&s->log, num, den, on_moved, s);
}

static bool fits(struct tail_sampler *s, uint64_t bytes, uint64_t n_records)
{
    uint64_t more = seg_log_segments_for(&s->log, bytes, n_records) * SEG_BYTES;
    uint64_t max = s->shared->max_held_bytes;
    uint64_t others = atomic_load_explicit(&s->shared->held_bytes, memory_order_relaxed) - s->published_bytes;

    if (max && more && others + own_bytes(s) + more > max)
        return false;
    return seg_log_reserve(&s->log, bytes, n_records) == 0;
}

/* Room for more spans, by deciding the oldest traces early when it must be. */
static bool make_room(struct tail_sampler *s, uint64_t bytes, uint64_t n_records)
{
    if (LIKELY(fits(s, bytes, n_records)))
        return true;
    do {
        shed(s, bytes + SEG_BYTES);
        bool sent = send(s, true);
        compact(s, 1, 2);
        if (fits(s, bytes, n_records))
            return true;
        if (!sent)
            return false;
    } while (s->undecided.n);
    intern_trim(&s->in);
    /* Nothing of ours is left to decide: the bound may be passed, the budget may not. */
    return seg_log_reserve(&s->log, bytes, n_records) == 0;
}

/* A place in the table, by forgetting or deciding the oldest when it must be. */
static void evict_one(struct tail_sampler *s)
{
    uint32_t index = s->decided.oldest;

    if (index) {
        trace_list_del(&s->table, &s->decided, index);
        forget(s, index);
        return;
    }
    index = s->undecided.oldest;
    at(s, index)->flags |= TRACE_FORGET;
    decide_early(s, index, EARLY_NUM_TRACES);
    send(s, false);
}

static bool make_place(struct tail_sampler *s)
{
    while (s->table.n_traces - s->n_leaving >= s->max_traces && (s->decided.n || s->undecided.n))
        evict_one(s);
    while (trace_table_reserve(&s->table) != 0) {
        if (!s->decided.n && !s->undecided.n)
            return false;
        evict_one(s);
    }
    return true;
}

/* ---- filing ---- */

static void scopes_release(struct tail_sampler *s)
{
    for (uint32_t i = 0; i < s->n_scopes; i++)
        intern_unref(&s->in, s->scopes[i]);
    s->n_scopes = 0;
}

static void scopes_fit(struct tail_sampler *s, uint32_t n)
{
    if (n <= s->cap_scopes)
        return;
    uint32_t cap = n > 2 * s->cap_scopes ? n : 2 * s->cap_scopes;
    budget_force(s->host->budget, MEM_TAIL, (cap - s->cap_scopes) * sizeof(*s->scopes));
    s->scopes = mem_grow(s->scopes, cap * sizeof(*s->scopes));
    s->cap_scopes = cap;
}

/* first_scope[i] + scope of the payload is the place in scopes[]. */
static bool scopes_intern_part(struct tail_sampler *s, uint32_t part)
{
    const struct part *pt = &s->parts[part];
    uint32_t first = pt->payload->spans[pt->first].scope;
    uint32_t last = pt->payload->spans[pt->first + pt->n - 1].scope;

    scopes_fit(s, s->n_scopes + last - first + 1);
    s->first_scope[part] = s->n_scopes - first;
    for (uint32_t i = first; i <= last; i++) {
        uint32_t x = intern_scope(&s->in, pt->payload, i);

        if (!x)
            return false;
        s->scopes[s->n_scopes++] = x;
    }
    return true;
}

static bool scopes_intern(struct tail_sampler *s)
{
    if (s->n_parts > s->cap_first) {
        s->cap_first = s->n_parts + 8;
        s->first_scope = mem_grow(s->first_scope, s->cap_first * sizeof(*s->first_scope));
    }
    for (uint32_t i = 0; i < s->n_parts; i++)
        if (!scopes_intern_part(s, i)) {
            scopes_release(s);
            return false;
        }
    return true;
}

int tail_sampler_prepare(struct tail_sampler *s, const struct part *parts, uint32_t n_parts,
                         uint64_t n_bytes, uint64_t n_spans)
{
    s->parts = parts;
    s->n_parts = n_parts;
    if (tail_emit_full(&s->emit) && !send(s, false))
        return -1;
    if (!scopes_intern(s) && (!make_room(s, n_bytes, n_spans) || !scopes_intern(s)))
        return -1;
    if (make_room(s, n_bytes, n_spans))
        return 0;
    scopes_release(s);
    return -1;
}

void tail_sampler_prefetch(const struct tail_sampler *s, const uint8_t id[static 16])
{
    trace_table_prefetch(&s->table, hash_u128(id));
}

static uint32_t scope_of(const struct tail_sampler *s, uint32_t part, uint32_t scope)
{
    return s->scopes[s->first_scope[part] + scope];
}

/* Neighbours in the request are copied at once. Returns how many spans went in. */
static uint32_t write_spans(struct seg_writer *w, const struct span *sp, uint32_t n)
{
    uint32_t i = 0;

    while (i < n && sp[i].scope == sp[0].scope && w->n_bytes < RUN_BYTES) {
        uint32_t first = i, len = sp[i].rec_len;

        for (i++; i < n && sp[i].scope == sp[0].scope && sp[i].rec == sp[first].rec + len &&
                  len < RUN_BYTES; i++)
            len += sp[i].rec_len;
        seg_write(w, sp[first].rec, len, i - first);
    }
    return i;
}

/* Writes spans of one scope to the log; returns how many. */
static uint32_t log_spans(struct tail_sampler *s, struct seg_writer *w, uint32_t owner, uint32_t part,
                          const struct span *sp, uint32_t n)
{
    uint32_t scope = scope_of(s, part, sp->scope);

    seg_begin(w, &s->log, owner, scope);
    uint32_t done = write_spans(w, sp, n);
    seg_end(w);
    intern_at(&s->in, scope)->refs += w->n_records;
    s->held_spans += done;
    return done;
}

static void chain_append(struct tail_sampler *s, struct trace *tr, const struct seg_writer *w)
{
    if (tr->last) {
        seg_at(&s->log, tr->last)->next = w->first;
        seg_at(&s->log, w->first)->prev = tr->last;
    } else {
        tr->first = w->first;
    }
    tr->last = w->last;
}

static void append(struct tail_sampler *s, uint32_t index, uint32_t part, const struct span *sp, uint32_t n)
{
    struct trace *tr = at(s, index);
    struct seg_writer w;

    tr->n_spans += n;
    for (uint32_t done; n; sp += done, n -= done) {
        done = log_spans(s, &w, index, part, sp, n);
        chain_append(s, tr, &w);
    }
}

/* Facts follow the order of arrival: a resource's bits, then each of its spans. */
static bool note_facts(struct tail_sampler *s, struct trace *tr, uint32_t part, const struct span *sp,
                       uint32_t n)
{
    const struct tail_policies *p = s->policies;
    uint32_t scope = UINT32_MAX;
    bool root = false;

    for (uint32_t i = 0; i < n; i++) {
        if (p->n_keys && sp[i].scope != scope) {
            scope = sp[i].scope;
            uint32_t resource = intern_at(&s->in, scope_of(s, part, scope))->resource;
            tail_facts_merge(p, tr->facts, intern_at(&s->in, resource)->facts);
        }
        tail_facts_span(p, tr->facts, &sp[i]);
        root |= sp[i].flags & SPAN_ROOT;
    }
    return root;
}

static void late(struct tail_sampler *s, uint32_t index, uint32_t part, const struct span *sp, uint32_t n)
{
    struct trace *tr = at(s, index);

    series_observe(s->metrics.late_age, s->wheel.now - tr->at_tick);
    if (tr->state != TRACE_SAMPLED) {
        ledger_end(s->host->ledger, n, FATE_SAMPLED_OUT, DROP_NONE);
        return;
    }
    append(s, index, part, sp, n);
    if (!(tr->flags & TRACE_IN_QUEUE)) {
        trace_list_del(&s->table, &s->decided, index);
        queue_add(s, index);
    }
}

/* Spans of a trace that the sampled cache remembers go straight to the emitter. */
static void pass_on(struct tail_sampler *s, uint32_t part, const struct span *sp, uint32_t n)
{
    struct seg_writer w;

    for (uint32_t done; n; sp += done, n -= done) {
        done = log_spans(s, &w, (uint32_t)NO_TRACE, part, sp, n);
        tail_emit_add(&s->emit, w.first);
    }
}

static bool answered_by_cache(struct tail_sampler *s, uint32_t part, const struct span *sp, uint32_t n)
{
    if (s->sampled.n && tail_cache_hit(&s->sampled, sp->trace_id)) {
        series_add(s->metrics.cache_releases[1], n);
        pass_on(s, part, sp, n);
        return true;
    }
    if (s->non_sampled.n && tail_cache_hit(&s->non_sampled, sp->trace_id)) {
        series_add(s->metrics.cache_releases[0], n);
        ledger_end(s->host->ledger, n, FATE_SAMPLED_OUT, DROP_NONE);
        return true;
    }
    return false;
}

/* 0: no place in the table. */
static uint32_t begin_trace(struct tail_sampler *s, const uint8_t id[static 16], uint64_t hash)
{
    if (!make_place(s))
        return 0;
    uint32_t index = trace_table_add(&s->table, id, hash);
    tail_wheel_add(&s->wheel, &s->table, index);
    trace_list_add(&s->table, &s->undecided, index);
    series_add(s->metrics.new_traces, 1);
    return index;
}

void tail_sampler_file(struct tail_sampler *s, uint32_t part, uint32_t first, uint32_t n)
{
    const struct span *sp = s->parts[part].payload->spans + first;
    uint64_t hash = hash_u128(sp->trace_id);

    if (answered_by_cache(s, part, sp, n))
        return;
    uint32_t index = trace_table_find(&s->table, sp->trace_id, hash);
    if (!index)
        index = begin_trace(s, sp->trace_id, hash);
    if (UNLIKELY(!index)) {
        ledger_end(s->host->ledger, n, FATE_DROPPED, DROP_MEMORY);
        return;
    }
    if (at(s, index)->state != TRACE_UNDECIDED) {
        late(s, index, part, sp, n);
        return;
    }
    append(s, index, part, sp, n);
    if (note_facts(s, at(s, index), part, sp, n))
        tail_wheel_root(&s->wheel, &s->table, index);
    if (UNLIKELY(s->ended))
        s->dropping ? drop(s, index) : decide(s, index);
}

/* Late spans do not wait for the next tick. When they cannot go now, work() tries again. */
void tail_sampler_done(struct tail_sampler *s)
{
    scopes_release(s);
    if (s->sending || s->emit.n_items)
        send(s, true);
    publish(s);
}

/* ---- time ---- */

/* Receivers turn requests away while the budget is over its soft limit: then no push would ever make
 * room. When most of that memory is ours, the oldest traces go. */
static void relieve(struct tail_sampler *s)
{
    const struct budget *b = s->host->budget;

    if (budget_over_soft(b) && budget_used_by(b, MEM_TAIL) > budget_soft(b) / 2)
        shed(s, s->log.live_bytes / 16 + SEG_BYTES);
}

void tail_sampler_tick(struct tail_sampler *s)
{
    tail_wheel_tick(&s->wheel, &s->table);
    relieve(s);
    s->tick_open = true;
}

/* All decisions of the tick are made and sent. */
static void tick_close(struct tail_sampler *s)
{
    s->tick_open = false;
    compact(s, 1, 4);
    seg_log_trim(&s->log);
    tail_metrics_tick(&s->metrics);
    gauge_move(s->metrics.on_memory, &s->published_traces, s->table.n_traces);
    series_observe(s->metrics.timer_latency, (double)s->tick_ns / NS_PER_MS);
    s->tick_ns = 0;
}

enum tail_work tail_sampler_work(struct tail_sampler *s, uint64_t max_ns)
{
    uint64_t from_ns = clock_mono_ns(), ns = 0;

    while (s->wheel.due && ns < max_ns) {
        for (int i = 0; i < LOOK_AT_CLOCK && s->wheel.due; i++)
            decide(s, s->wheel.due);
        if (!send(s, false))
            break;
        ns = clock_mono_ns() - from_ns;
    }
    bool sent = send(s, !s->wheel.due);
    s->tick_ns += clock_mono_ns() - from_ns;
    if (sent && !s->wheel.due && s->tick_open)
        tick_close(s);
    publish(s);
    return !sent ? TAIL_BLOCKED : s->wheel.due ? TAIL_MORE : TAIL_IDLE;
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
    trace_table_init(&s->table, h->budget, tail_facts_bytes(p));
    tail_wheel_init(&s->wheel, set->decision_wait_ns, set->decision_wait_after_root_received_ns);
    tail_cache_init(&s->sampled, h->budget,
                    tail_share(cache->sampled_cache_size > 0 ? (uint64_t)cache->sampled_cache_size : 0,
                               h->n_workers));
    tail_cache_init(&s->non_sampled, h->budget,
                    tail_share(cache->non_sampled_cache_size > 0 ? (uint64_t)cache->non_sampled_cache_size : 0,
                               h->n_workers));
    tail_emit_init(&s->emit, &s->log, &s->in, h->budget, on_payload, s);
    tail_metrics_init(&s->metrics, h->metrics, h->id, p);
}

/* Everything that waits becomes due, in the order of its tick. */
static void all_due(struct tail_sampler *s)
{
    for (uint32_t i = 1; i <= s->wheel.n_slots; i++)
        trace_ring_splice(&s->table, &s->wheel.due,
                          &s->wheel.slots[(s->wheel.now + i) & (s->wheel.n_slots - 1)]);
    for (uint32_t i = s->undecided.oldest; i; i = at(s, i)->newer)
        at(s, i)->at_tick = s->wheel.now;
}

static void drop_undecided(struct tail_sampler *s)
{
    while (s->undecided.n)
        drop(s, s->undecided.oldest);
}

void tail_sampler_end(struct tail_sampler *s, bool drop_pending)
{
    s->ended = true;
    s->dropping = drop_pending;
    if (drop_pending)
        drop_undecided(s);
    else
        all_due(s);
    s->tick_open = true;
}

void tail_sampler_abandon(struct tail_sampler *s)
{
    drop_undecided(s);
    while (s->sending) {
        uint32_t index = s->sending;

        ledger_end(s->host->ledger, chain_free(s, at(s, index)), FATE_DROPPED, DROP_SHUTDOWN);
        queue_del(s, index);
    }
    uint64_t n = tail_emit_discard(&s->emit);
    s->held_spans -= n;
    ledger_end(s->host->ledger, n, FATE_DROPPED, DROP_SHUTDOWN);
    publish(s);
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
    tail_metrics_fini(&s->metrics);
    tail_cache_fini(&s->sampled);
    tail_cache_fini(&s->non_sampled);
    tail_wheel_fini(&s->wheel);
    trace_table_fini(&s->table);
    intern_fini(&s->in);
    seg_log_fini(&s->log);
    budget_release(s->host->budget, MEM_TAIL, s->cap_scopes * sizeof(*s->scopes));
    free(s->scopes);
    free(s->first_scope);
    s->shared = NULL;
}
