/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other settings for a sampler that holds traces. A new sampler is made in the old one's place and gets
 * what the old one has: log, table, resources, decisions. Only what depends on policies is made anew: bits of
 * resources, and the facts of undecided traces, from their spans in the order of arrival.
 *
 * The sizes that bytes policies ask for are carried over; when none were kept before they are
 * reckoned from the runs of spans that lie in the log, which may count an envelope more than once.
 * Threads: the sampler's, or main while it is parked. It takes about as long as the spans took to come in.
 */
#include "processors/tail_sampler_priv.h"

#include <stdlib.h>
#include <string.h>

#include "model/otlp_walk.h"
#include "model/wire.h"

/* ---- facts from spans ---- */

struct recount {
    struct tail_sampler *s;
    const struct trace *tr;
    uint64_t *facts; /* of tr */
    struct buf more; /* a run that lies in several records */
    uint64_t n_runs;
    bool sizes; /* to be reckoned */
};

static void note_size(struct recount *r, const struct interned *scope, struct slice span)
{
    struct tail_place at = {.key = r->n_runs << 32 | 1,
                            .scope_key = 1,
                            .resource_bytes = intern_at(&r->s->in, scope->resource)->size,
                            .scope_bytes = scope->size};

    tail_size_add(tail_facts_size(r->s->policies, r->facts), &at, tail_size_span(span));
}

static const uint8_t *note_span(struct recount *r, const struct interned *scope, const uint8_t *from,
                                const uint8_t *to)
{
    struct span sp = {.rec = from};
    const uint8_t *end = NULL;
    uint32_t tag;
    const uint8_t *p = wire_u32(from, to, &tag);
    const uint8_t *body = p ? wire_body(p, to, &end) : NULL;

    CHECK(body && tag == WIRE_TAG(2, WIRE_LEN));
    CHECK(otlp_span_facts(slice_of(body, (size_t)(end - body)), &sp) == 0);
    sp.rec_len = (uint32_t)(end - from);
    sp.hdr_len = (uint8_t)(body - from);
    tail_facts_span(r->s->policies, r->facts, &sp);
    if (r->s->policies->ottl)
        tail_ottl_span(r->s->policies, r->s->ottl, r->facts, &sp);
    if (r->sizes)
        note_size(r, scope, span_body(&sp));
    return end;
}

static void note_run(struct recount *r, uint32_t scope_number, struct slice spans)
{
    const struct interned *scope = intern_at(&r->s->in, scope_number);
    const uint8_t *at = spans.p, *end = spans.p + spans.len;

    r->n_runs++;
    if (r->s->policies->n_keys)
        tail_facts_merge(r->s->policies, r->facts, intern_at(&r->s->in, scope->resource)->facts);
    if (r->s->policies->ottl)
        tail_ottl_scope(r->s->ottl, intern_body(&r->s->in, scope->resource),
                        intern_body(&r->s->in, scope_number));
    while (at < end)
        at = note_span(r, scope, at, end);
}

static void note_trace(struct recount *r)
{
    const struct seg_log *log = &r->s->log;

    for (uint32_t ref = r->tr->first; ref; ref = seg_at(log, ref)->next) {
        const struct record *rec = seg_at(log, ref);
        bool more = rec->more;

        if (!more && !r->more.len) {
            note_run(r, rec->scope, slice_of(rec_bytes(rec), rec->len));
            continue;
        }
        buf_put(&r->more, rec_bytes(rec), rec->len);
        if (more)
            continue;
        note_run(r, rec->scope, slice_of(r->more.p, r->more.len));
        buf_clear(&r->more);
    }
}

static void note_anew(void *ctx, struct trace *tr)
{
    struct recount *r = ctx;

    r->tr = tr;
    r->facts = tail_note_anew(r->s, tr);
    note_trace(r);
    tail_note_end(r->s, tr);
}

static void note_all(struct tail_sampler *s, bool sizes)
{
    struct recount r = {.s = s, .sizes = sizes};

    tail_wheel_each(&s->wheel, &s->table, note_anew, &r);
    buf_free(&r.more);
}

/* ---- from the old sampler to the new one ---- */

static void judge_resource(void *ctx, struct slice resource, uint64_t *facts)
{
    tail_facts_resource(ctx, resource, facts);
}

static void take_table(struct tail_sampler *s, struct tail_sampler *old)
{
    const struct tail_policies *now = s->policies, *before = old->policies;
    struct entry_carry carry = {0};

    if (now->sized && before->sized)
        carry = (struct entry_carry){
            .from = tail_facts_head(before) * (uint32_t)sizeof(uint64_t),
            .to = tail_facts_head(now) * (uint32_t)sizeof(uint64_t),
            .bytes = sizeof(struct tail_size),
        };
    trace_table_fini(&s->table);
    s->table = old->table;
    trace_table_refit(&s->table, tail_facts_bytes(now), carry);
}

static void take_resources(struct tail_sampler *s, struct tail_sampler *old)
{
    struct tail_policies *p = s->shared->policies;

    intern_fini(&s->in);
    s->in = old->in;
    intern_rejudge(&s->in, p->n_keys ? p->n_words : 0, p->sized, judge_resource, p);
}

static void take_wheel(struct tail_sampler *s, struct tail_sampler *old)
{
    tail_wheel_take(&s->wheel, &s->table, &old->wheel);
    tail_wheel_fini(&old->wheel);
}

static void take_books(struct tail_sampler *s, const struct tail_sampler *old)
{
    s->published_bytes = old->published_bytes;
    s->published_spans = old->published_spans;
    s->published_segments = old->published_segments;
    s->published_traces = old->published_traces;
    atomic_fetch_add_explicit(&s->shared->held_bytes, old->published_bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&old->shared->held_bytes, old->published_bytes, memory_order_relaxed);
}

/* What does not depend on settings. */
static void take_rest(struct tail_sampler *s, const struct tail_sampler *old)
{
    s->store = old->store;
    if (s->store)
        tail_metrics_storage(&s->metrics, s->host->metrics);
    s->sending = old->sending;
    s->passing_first = old->passing_first;
    s->passing_last = old->passing_last;
    s->blocked = old->blocked;
    s->waiting_spans = old->waiting_spans;
    s->n_leaving = old->n_leaving;
    s->held_spans = old->held_spans;
    s->decisions = old->decisions;
    s->tick_wall_s = old->tick_wall_s;
    s->tick_ns = old->tick_ns;
    s->tick_open = old->tick_open;
    s->scopes = old->scopes;
    s->cap_scopes = old->cap_scopes;
    s->part_info = old->part_info;
    s->cap_parts = old->cap_parts;
    s->n_payloads = old->n_payloads;
    s->late = old->late;
}

/* Notes name the policy that decided, by its place. */
static uint32_t place_of(const struct tail_policies *p, const char *name)
{
    for (uint32_t i = 0; i < p->n_policies; i++)
        if (strcmp(p->policies[i].name, name) == 0)
            return i + 1;
    return 0;
}

/* What is on its way out as well. */
static void renote(struct tail_sampler *s, const uint32_t *notes)
{
    for (uint32_t i = s->decided.oldest; i; i = tail_at(s, i)->newer)
        tail_at(s, i)->policy = (uint16_t)notes[tail_at(s, i)->policy];
    for (uint32_t i = s->sending; i; i = tail_at(s, i)->newer == s->sending ? 0 : tail_at(s, i)->newer)
        tail_at(s, i)->policy = (uint16_t)notes[tail_at(s, i)->policy];
    for (uint32_t ref = s->passing_first; ref; ref = seg_at(&s->log, ref)->next)
        seg_at(&s->log, ref)->owner = tail_passing(notes[seg_at(&s->log, ref)->owner - TAIL_PASSING]);
    for (uint32_t i = 0; i < s->emit.n_items; i++)
        s->emit.items[i].policy = notes[s->emit.items[i].policy];
}

static void take_caches(struct tail_sampler *s, struct tail_sampler *old)
{
    uint32_t *notes = mem_alloc_array(old->policies->n_policies + 1, sizeof(*notes));

    for (uint32_t i = 0; i < old->policies->n_policies; i++)
        notes[i + 1] = place_of(s->policies, old->policies->policies[i].name);
    renote(s, notes);
    tail_cache_take(&s->sampled, &old->sampled, notes);
    tail_cache_take(&s->non_sampled, &old->non_sampled, notes);
    tail_cache_fini(&old->sampled);
    tail_cache_fini(&old->non_sampled);
    free(notes);
}

void tail_sampler_change(struct tail_sampler *s, const struct tail_settings *set,
                         struct tail_shared *shared)
{
    struct tail_sampler old;

    tail_bury(s);
    if (s->store)
        tail_store_change(s->store, set->storage, &shared->shelves);
    CHECK(s->n_scopes == 0 && !s->ended);
    tail_metrics_tick(&s->metrics);
    old = *s;
    tail_sampler_init(s, old.host, set, shared);
    seg_log_fini(&s->log);
    s->log = old.log;
    take_resources(s, &old);
    take_table(s, &old);
    s->decided = old.decided;
    take_wheel(s, &old);
    take_rest(s, &old);
    take_books(s, &old);
    tail_emit_fini(&s->emit);
    s->emit = old.emit; /* it knows this sampler's parts by their place */
    take_caches(s, &old);
    tail_metrics_fini(&old.metrics);
    tail_ottl_free(&old.ottl);
    free(old.facts);
    tail_explain_fini(&old.explain); /* its verdicts are of policies that go */
    note_all(s, s->policies->sized && !old.policies->sized);
    tail_publish(s);
}
