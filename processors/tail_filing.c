/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans in: runs of spans of one trace are found, looked up once, copied into the log, and noted in
 * the trace's facts. See tail_sampler.h.
 *
 * A look-up at random in a large table waits for memory four times (slot, entry, its rest, last record), so a
 * few dozen runs are looked at together: what they will touch is fetched before they are filed.
 */
#include "processors/tail_sampler_priv.h"

#include <stdlib.h>
#include <string.h>

#include "component/gates.h"
#include "platform/hash.h"
#include "processors/tail_exchange.h"

enum {
    RUN_BYTES = 64 << 10, /* a run's records are cut there, so that batches can be bounded */
    RUNS_AHEAD = 32,      /* looked at together */
};

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

static uint32_t payload_number(struct tail_sampler *s, uint32_t part)
{
    if (part && s->parts[part].payload == s->parts[part - 1].payload)
        return s->part_info[part - 1].payload;
    if (++s->n_payloads == 0)
        s->n_payloads = 1;
    return s->n_payloads;
}

/* first_scope + scope of the payload is the place in scopes[]. */
static bool scopes_intern_part(struct tail_sampler *s, uint32_t part)
{
    const struct part *pt = &s->parts[part];
    uint32_t first = pt->payload->spans[pt->first].scope;
    uint32_t last = pt->payload->spans[pt->first + pt->n - 1].scope;

    scopes_fit(s, s->n_scopes + last - first + 1);
    s->part_info[part] = (struct tail_part){s->n_scopes - first, payload_number(s, part)};
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
    if (s->n_parts > s->cap_parts) {
        s->cap_parts = s->n_parts + 8;
        s->part_info = mem_grow(s->part_info, s->cap_parts * sizeof(*s->part_info));
    }
    for (uint32_t i = 0; i < s->n_parts; i++)
        if (!scopes_intern_part(s, i)) {
            scopes_release(s);
            return false;
        }
    return true;
}

int tail_sampler_prepare(struct tail_sampler *s, const struct part *parts, uint32_t n_parts,
                         uint64_t n_bytes, uint64_t n_spans, bool promised)
{
    s->parts = parts;
    s->n_parts = n_parts;
    s->in.promised = promised;
    if (!scopes_intern(s) && (!tail_make_room(s, n_bytes, n_spans) || !scopes_intern(s)))
        return -1;
    if (tail_make_room(s, n_bytes, n_spans))
        return 0;
    scopes_release(s);
    return -1;
}

static uint32_t scope_of(const struct tail_sampler *s, uint32_t part, uint32_t scope)
{
    return s->scopes[s->part_info[part].first_scope + scope];
}

/* Neighbours in the request are copied at once. Returns how many spans went in. */
static uint32_t write_spans(struct seg_writer *w, const struct span *sp, uint32_t n)
{
    uint32_t i = 0;

    n = n < SEG_RUN_SPANS ? n : SEG_RUN_SPANS;
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
static uint32_t log_spans(struct tail_sampler *s, struct seg_writer *w, uint32_t owner, uint32_t prev, uint32_t part,
                          const struct span *sp, uint32_t n)
{
    uint32_t scope = scope_of(s, part, sp->scope);

    seg_begin(w, &s->log, owner, scope, prev);
    uint32_t done = write_spans(w, sp, n);
    seg_end(w);
    intern_at(&s->in, scope)->refs += w->n_records;
    if (s->log.stored)
        tail_store_ref(s->store, s->log.stored);
    s->held_spans += done;
    return done;
}

/* A run that was chained to *last. */
static void chain_append(uint32_t *first, uint32_t *last, const struct seg_writer *w)
{
    if (!*last)
        *first = w->first;
    *last = w->last;
}

static void append(struct tail_sampler *s, uint32_t index, uint32_t part, const struct span *sp, uint32_t n)
{
    struct trace *tr = tail_at(s, index);
    uint32_t *last = trace_last(&s->table, tr);
    struct seg_writer w;

    if (UNLIKELY(s->store != NULL))
        tail_store_mark(s->store, tr, s->log.stored);
    for (uint32_t done; n; sp += done, n -= done) {
        done = log_spans(s, &w, index, *last, part, sp, n);
        chain_append(&tr->first, last, &w);
    }
}

/* Payloads of a batch are numbered: the n-th ResourceSpans of a payload is one item of a trace. */
static uint64_t item_key(const struct tail_sampler *s, uint32_t part, const struct span *sp)
{
    return (uint64_t)s->part_info[part].payload << 32 | s->parts[part].payload->scopes[sp->scope].resource;
}

static void note_size(struct tail_sampler *s, uint64_t *facts, uint32_t part, const struct span *sp)
{
    const struct interned *scope = intern_at(&s->in, scope_of(s, part, sp->scope));
    struct tail_place at = {.key = item_key(s, part, sp),
                            .scope_key = sp->scope,
                            .resource_bytes = intern_at(&s->in, scope->resource)->size,
                            .scope_bytes = scope->size};

    tail_size_add(tail_facts_size(s->policies, facts), &at, tail_size_span(span_body(sp)));
}

/* Facts follow the order of arrival: a resource's bits, then each of its spans. */
static bool note_facts(struct tail_sampler *s, uint64_t *facts, uint32_t part, const struct span *sp, uint32_t n)
{
    const struct tail_policies *p = s->policies;
    uint32_t scope = UINT32_MAX;
    bool root = false;

    for (uint32_t i = 0; i < n; i++) {
        if ((p->n_keys || p->ottl) && sp[i].scope != scope) {
            scope = sp[i].scope;
            uint32_t interned = scope_of(s, part, scope), resource = intern_at(&s->in, interned)->resource;
            if (p->n_keys)
                tail_facts_merge(p, facts, intern_at(&s->in, resource)->facts);
            if (p->ottl)
                tail_ottl_scope(s->ottl, intern_body(&s->in, resource), intern_body(&s->in, interned));
        }
        tail_facts_span(p, facts, &sp[i]);
        if (p->ottl)
            tail_ottl_span(p, s->ottl, facts, &sp[i]);
        if (p->sized)
            note_size(s, facts, part, &sp[i]);
        root |= sp[i].flags & SPAN_ROOT;
    }
    return root;
}

/* These spans are not held: they are booked, and over for the store. */
static void not_held(struct tail_sampler *s, const struct span *sp, uint32_t n, enum ledger_fate fate, enum drop_reason reason)
{
    ledger_end(s->host->ledger, n, fate, reason);
    if (s->log.stored)
        tail_store_over(s->store, s->log.stored, n, tail_store_key(sp->trace_id));
}

/* Once for each resource they stand in, as each is an item of its own. */
static void late_age(struct tail_sampler *s, uint32_t index, uint32_t part, const struct span *sp, uint32_t n)
{
    uint32_t age_s = s->wheel.now - tail_at(s, index)->at_tick;

    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || sp[i].scope != sp[i - 1].scope)
            tail_late_add(&s->late, (struct late_run){item_key(s, part, &sp[i]), index, age_s});
}

static void late(struct tail_sampler *s, uint32_t index, uint32_t part, const struct span *sp, uint32_t n)
{
    struct trace *tr = tail_at(s, index);

    series_add(s->metrics.late_spans[tr->state == TRACE_SAMPLED], n);
    if (tr->flags & TRACE_TOO_LARGE) {
        not_held(s, sp, n, FATE_DROPPED, DROP_TOO_LARGE);
        return;
    }
    late_age(s, index, part, sp, n);
    if (tr->state != TRACE_SAMPLED) {
        not_held(s, sp, n, FATE_SAMPLED_OUT, DROP_NONE);
        return;
    }
    append(s, index, part, sp, n);
    if (!(tr->flags & TRACE_IN_QUEUE)) {
        tail_unsettle(s, index);
        tail_queue_add(s, index);
    }
}

/* Spans of a trace that was kept and is not in the table: on their way at once. */
static void pass_on(struct tail_sampler *s, uint32_t part, const struct span *sp, uint32_t n, struct tail_stamp stamp)
{
    struct seg_writer w;

    for (uint32_t done; n; sp += done, n -= done) {
        done = log_spans(s, &w, tail_passing(stamp.policy), s->passing_last, part, sp, n);
        if (s->policies->gates & GATE_BIT(GATE_TAIL_RECORD_POLICY))
            tail_record(&s->log, &s->in, w.first, s->policies, stamp);
        chain_append(&s->passing_first, &s->passing_last, &w);
    }
}

static bool answered_by_cache(struct tail_sampler *s, uint32_t part, const struct span *sp, uint32_t n)
{
    if (s->sampled.n && tail_cache_hit(&s->sampled, sp->trace_id)) {
        series_add(s->metrics.cache_releases[1], n);
        series_add(s->metrics.late_spans[1], n);
        pass_on(s, part, sp, n, (struct tail_stamp){.policy = tail_cache_note(&s->sampled), .cached = true});
        return true;
    }
    if (s->non_sampled.n && tail_cache_hit(&s->non_sampled, sp->trace_id)) {
        series_add(s->metrics.cache_releases[0], n);
        series_add(s->metrics.late_spans[0], n);
        not_held(s, sp, n, FATE_SAMPLED_OUT, DROP_NONE);
        return true;
    }
    return false;
}

/* 0: no place in the table. */
static uint32_t begin_trace(struct tail_sampler *s, const uint8_t id[static 16], uint64_t hash)
{
    if (!tail_make_place(s))
        return 0;
    uint32_t index = trace_table_add(&s->table, id, hash);
    if (UNLIKELY(s->policies->ingest)) /* items are noted in the facts before their spans are there */
        trace_more_add(&s->table, tail_at(s, index));
    tail_wheel_add(&s->wheel, &s->table, index);
    return index;
}

static bool too_large(const struct tail_sampler *s, uint64_t *facts)
{
    return tail_size_bodies(tail_facts_size(s->policies, facts)) > s->policies->max_trace_bytes;
}

/* ---- span-ingest ---- */

static struct tail_item *item_of(const struct tail_sampler *s, const struct trace *tr)
{
    return tail_facts_item(s->policies, trace_more(&s->table, tr)->facts);
}

static void touch(struct tail_sampler *s, const uint8_t *id)
{
    if (s->n_touched == s->cap_touched) {
        uint32_t more = s->cap_touched ? s->cap_touched : 64;

        budget_force(s->host->budget, MEM_TAIL, more * sizeof(*s->touched));
        s->cap_touched += more;
        s->touched = mem_grow(s->touched, s->cap_touched * sizeof(*s->touched));
    }
    s->touched[s->n_touched++] = id;
}

/* These spans belong to the trace's item under way, or to a new one: then the one before is judged. True: that
 * decided the trace. */
static bool item_begins(struct tail_sampler *s, uint32_t index, uint32_t part, const struct span *sp)
{
    struct trace *tr = tail_at(s, index);
    struct tail_item *item = item_of(s, tr);
    uint64_t key = item_key(s, part, sp);

    if (item->key == key)
        return false;
    if (item->key && tail_judge_item(s, index))
        return true;
    *item = (struct tail_item){.key = key};
    touch(s, sp->trace_id);
    return false;
}

static void item_records(struct tail_sampler *s, uint32_t index, uint32_t last_before)
{
    struct trace *tr = tail_at(s, index);
    struct tail_item *item = item_of(s, tr);

    if (!item->first)
        item->first = last_before ? seg_at(&s->log, last_before)->next : tr->first;
}

/* The request is filed: its items are whole. */
static void items_judge(struct tail_sampler *s)
{
    for (uint32_t i = 0; i < s->n_touched; i++) {
        uint32_t index = trace_table_find(&s->table, s->touched[i], hash_u128(s->touched[i]));

        if (!index || tail_at(s, index)->state != TRACE_UNDECIDED || !item_of(s, tail_at(s, index))->key)
            continue;
        if (!tail_judge_item(s, index) && s->ended)
            s->dropping ? tail_drop(s, index) : tail_decide(s, index);
    }
    s->n_touched = 0;
}

/* ---- a run ---- */

static void file_spans(struct tail_sampler *s, const struct tail_run *run, uint64_t hash);

/* index 0: there was no place. */
static void file_in_table(struct tail_sampler *s, const struct tail_run *run, uint32_t index)
{
    const struct span *sp = s->parts[run->part].payload->spans + run->first;
    uint32_t part = run->part, n = run->n;
    bool ingest = s->policies->ingest;

    if (UNLIKELY(!index)) {
        not_held(s, sp, n, FATE_DROPPED, DROP_MEMORY);
        return;
    }
    if (tail_at(s, index)->state != TRACE_UNDECIDED) {
        late(s, index, part, sp, n);
        return;
    }
    if (UNLIKELY(ingest) && item_begins(s, index, part, sp)) {
        file_spans(s, run, hash_u128(sp->trace_id)); /* decided just now: these come late, if the trace is still here */
        return;
    }
    struct trace *tr = tail_at(s, index);
    uint64_t *facts = tail_note_begin(s, tr, n);
    uint32_t last_before = *trace_last(&s->table, tr);
    append(s, index, part, sp, n);
    if (UNLIKELY(ingest))
        item_records(s, index, last_before);
    bool root = note_facts(s, facts, part, sp, n);
    tail_note_end(s, tr);
    if (root)
        tail_wheel_root(&s->wheel, &s->table, index);
    if (UNLIKELY(s->policies->max_trace_bytes) && too_large(s, facts))
        tail_drop_too_large(s, index);
    else if (UNLIKELY(s->ended && !ingest))
        s->dropping ? tail_drop(s, index) : tail_decide(s, index);
}

static void file_spans(struct tail_sampler *s, const struct tail_run *run, uint64_t hash)
{
    const struct span *sp = s->parts[run->part].payload->spans + run->first;

    if (answered_by_cache(s, run->part, sp, run->n))
        return;
    uint32_t index = trace_table_find(&s->table, sp->trace_id, hash);
    if (!index && (index = begin_trace(s, sp->trace_id, hash)))
        series_add(s->metrics.new_traces, 1);
    file_in_table(s, run, index);
}

/* An item ends with its resource: the first of the run, which loses it. */
static struct tail_run item_off(const struct tail_sampler *s, struct tail_run *run)
{
    const struct payload *p = s->parts[run->part].payload;
    const struct span *sp = &p->spans[run->first];
    struct tail_run item = {run->part, run->first, 1};

    while (item.n < run->n && p->scopes[sp[item.n].scope].resource == p->scopes[sp->scope].resource)
        item.n++;
    run->first += item.n;
    run->n -= item.n;
    return item;
}

static void file_items(struct tail_sampler *s, struct tail_run run, uint64_t hash)
{
    while (run.n) {
        struct tail_run item = item_off(s, &run);

        file_spans(s, &item, hash);
    }
}

static void file_run(struct tail_sampler *s, const struct tail_run *run, uint64_t hash)
{
    if (UNLIKELY(s->policies->ingest))
        file_items(s, *run, hash);
    else
        file_spans(s, run, hash);
}

static void prefetch_rest(const struct tail_sampler *s, uint32_t index)
{
    const struct trace *tr = tail_at(s, index);

    if (tr->flags & TRACE_MORE)
        __builtin_prefetch(trace_more(&s->table, tr), 1);
    else if (tr->first)
        __builtin_prefetch(seg_at(&s->log, tr->first), 1);
}

static void prefetch_last_record(const struct tail_sampler *s, uint32_t index)
{
    const struct trace *tr = tail_at(s, index);
    uint32_t last = tr->flags & TRACE_MORE ? trace_more(&s->table, tr)->last : 0;

    if (last)
        __builtin_prefetch(seg_at(&s->log, last), 1);
}

/* Up to RUNS_AHEAD of them. */
static void file_together(struct tail_sampler *s, const struct tail_run *runs, uint32_t n)
{
    uint64_t hashes[RUNS_AHEAD];
    uint32_t known[RUNS_AHEAD], n_known = 0;

    for (uint32_t i = 0; i < n; i++) {
        hashes[i] = hash_u128(s->parts[runs[i].part].payload->spans[runs[i].first].trace_id);
        trace_table_prefetch(&s->table, hashes[i]);
    }
    for (uint32_t i = 0; i < n; i++)
        if ((known[n_known] = trace_table_peek(&s->table, hashes[i])))
            trace_table_prefetch_entry(&s->table, known[n_known++]);
    for (uint32_t i = 0; i < n_known; i++)
        prefetch_rest(s, known[i]);
    for (uint32_t i = 0; i < n_known; i++)
        prefetch_last_record(s, known[i]);
    for (uint32_t i = 0; i < n; i++)
        file_run(s, &runs[i], hashes[i]);
}

void tail_sampler_file_runs(struct tail_sampler *s, const struct tail_run *runs, uint32_t n)
{
    for (uint32_t i = 0, some; i < n; i += some) {
        some = n - i < RUNS_AHEAD ? n - i : RUNS_AHEAD;
        file_together(s, runs + i, some);
    }
}

static uint32_t run_length(const struct span *sp, uint32_t n)
{
    uint32_t i = 1;

    while (i < n && memcmp(sp[i].trace_id, sp[0].trace_id, 16) == 0)
        i++;
    return i;
}

void tail_sampler_file(struct tail_sampler *s, uint32_t part, uint32_t first, uint32_t n,
                       struct tail_exchange *x)
{
    struct payload *p = s->parts[part].payload;
    struct tail_run runs[RUNS_AHEAD];
    uint32_t n_runs = 0;

    for (uint32_t i = first, end = first + n, len; i < end; i += len) {
        const uint8_t *id = p->spans[i].trace_id;

        len = run_length(&p->spans[i], end - i);
        unsigned owner = x ? tail_owner(id, s->host->n_workers) : s->host->worker;
        if (owner != s->host->worker) {
            tail_exchange_add(x, owner, p, i, len);
            continue;
        }
        runs[n_runs++] = (struct tail_run){part, i, len};
        if (n_runs == RUNS_AHEAD) {
            file_together(s, runs, n_runs);
            n_runs = 0;
        }
    }
    file_together(s, runs, n_runs);
}

/* ---- what the process before held ---- */

void tail_file_kept(struct tail_sampler *s, const struct tail_run *run, uint32_t policy)
{
    pass_on(s, run->part, s->parts[run->part].payload->spans + run->first, run->n, (struct tail_stamp){.policy = policy});
}

static void file_restored(struct tail_sampler *s, const struct tail_run *run, bool known, bool cut)
{
    const struct span *sp = s->parts[run->part].payload->spans + run->first;
    uint64_t hash = hash_u128(sp->trace_id);
    uint32_t index = trace_table_find(&s->table, sp->trace_id, hash);

    if (!known && answered_by_cache(s, run->part, sp, run->n))
        return;
    if (index && tail_at(s, index)->flags & TRACE_RECALLED) {
        tail_unsettle(s, index);
        tail_forget(s, index);
        index = 0;
    }
    if (index && tail_at(s, index)->state == TRACE_UNDECIDED) {
        tail_wheel_older(&s->wheel, &s->table, index);
    } else if (!index && (index = begin_trace(s, sp->trace_id, hash))) {
        series_add(s->metrics.restored_traces, 1);
        if (cut) {
            tail_at(s, index)->flags |= TRACE_CUT;
            series_add(s->metrics.restored_cut, 1);
        }
    }
    file_in_table(s, run, index);
}

/* An old decision about the same id does not count for spans that came after it and were held. */
void tail_file_restored(struct tail_sampler *s, const struct tail_run *run, bool known, bool cut)
{
    struct tail_run rest = *run;

    if (!s->policies->ingest) {
        file_restored(s, run, known, cut);
        return;
    }
    while (rest.n) {
        struct tail_run item = item_off(s, &rest);

        file_restored(s, &item, known, cut);
    }
}

void tail_recall(struct tail_sampler *s, const uint8_t id[static 16], enum trace_state state, unsigned flags, uint32_t age_ticks)
{
    uint64_t hash = hash_u128(id);

    if (trace_table_find(&s->table, id, hash) || !tail_make_place(s))
        return;
    uint32_t index = trace_table_add(&s->table, id, hash);
    struct trace *tr = tail_at(s, index);
    tr->state = (uint8_t)state;
    tr->flags = (uint8_t)(flags | TRACE_RECALLED);
    tr->born_tick = tr->at_tick = s->wheel.now - age_ticks;
    trace_list_add(&s->table, &s->decided, index);
}

/* Late spans do not wait for the next tick. What cannot go now is left to work(). */
void tail_sampler_done(struct tail_sampler *s)
{
    if (UNLIKELY(s->n_touched))
        items_judge(s);
    if (UNLIKELY(s->late.n))
        tail_late_count(&s->late, s->metrics.late_age);
    tail_bury(s);
    scopes_release(s);
    if (s->sending || s->passing_first || s->emit.n_items)
        tail_send(s, true, TAIL_FLUSHES);
    if (s->store)
        tail_store_flush(s->store);
    tail_publish(s);
}

