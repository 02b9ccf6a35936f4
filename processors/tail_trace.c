/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of an undecided trace: how many spans it has, and its facts. A trace of one span
 * keeps of its facts the bits alone, in its entry; its times are read again from the span if a
 * second one comes. See trace_table.h.
 */
#include "processors/tail_sampler_priv.h"

#include <string.h>

#include "model/otlp_walk.h"
#include "model/wire.h"

enum { BITS = 16 /* of struct trace */ };

bool tail_lean(const struct tail_policies *p)
{
    return !p->sized && !p->ingest && !p->randomness && p->n_bits <= BITS;
}

uint64_t tail_n_spans(const struct tail_sampler *s, const struct trace *tr)
{
    return tr->flags & TRACE_MORE ? trace_more(&s->table, tr)->n_spans : tr->first != 0;
}

static void facts_clear(struct tail_sampler *s)
{
    memset(s->facts, 0, tail_facts_bytes(s->policies));
}

const uint64_t *tail_facts_judged(struct tail_sampler *s, const struct trace *tr)
{
    if (tr->flags & TRACE_MORE)
        return trace_more(&s->table, tr)->facts;
    s->facts[0] = tr->bits;
    return s->facts;
}

/* A span's body in the record of a whole run. */
static void span_of(struct slice run, struct span *out)
{
    const uint8_t *end = NULL;
    uint32_t tag = 0;
    const uint8_t *p = wire_u32(run.p, run.p + run.len, &tag);
    const uint8_t *body = p ? wire_body(p, run.p + run.len, &end) : NULL;

    CHECK(body && otlp_span_facts(slice_of(body, (size_t)(end - body)), out) == 0);
}

void tail_first_span(const struct tail_sampler *s, uint32_t ref, struct span *out)
{
    const struct record *r = seg_at(&s->log, ref);
    struct buf whole = {0};

    if (!r->more) {
        span_of(slice_of(rec_bytes(r), r->len), out);
        return;
    }
    for (;; r = seg_at(&s->log, r->next)) {
        buf_put(&whole, rec_bytes(r), r->len);
        if (!r->more)
            break;
    }
    span_of(slice_of(whole.p, whole.len), out);
    buf_free(&whole);
}

const uint64_t *tail_facts_whole(struct tail_sampler *s, const struct trace *tr)
{
    const struct tail_policies *p = s->policies;
    struct span first = {0};

    if (tr->flags & TRACE_MORE)
        return trace_more(&s->table, tr)->facts;
    facts_clear(s);
    if (p->n_words)
        s->facts[0] = tr->bits;
    if (p->n_latency && tr->first) {
        tail_first_span(s, tr->first, &first);
        tail_facts_times(p, s->facts, &first);
    }
    return s->facts;
}

uint64_t *tail_note_begin(struct tail_sampler *s, struct trace *tr, uint32_t n)
{
    struct trace_more *more;

    if (tr->flags & TRACE_MORE) {
        more = trace_more(&s->table, tr);
        more->n_spans += n;
        return more->facts;
    }
    if (n == 1 && !tr->first && s->lean) {
        facts_clear(s);
        return s->facts;
    }
    if (!tr->first) {
        more = trace_more_add(&s->table, tr);
    } else {
        const uint64_t *facts = tail_facts_whole(s, tr);

        more = trace_more_add(&s->table, tr);
        memcpy(more->facts, facts, tail_facts_bytes(s->policies));
        more->n_spans = 1;
    }
    more->n_spans += n;
    return more->facts;
}

void tail_note_end(const struct tail_sampler *s, struct trace *tr)
{
    if (!(tr->flags & TRACE_MORE) && s->policies->n_words)
        tr->bits = (uint16_t)s->facts[0];
}

uint64_t *tail_note_anew(struct tail_sampler *s, struct trace *tr)
{
    if (!(tr->flags & TRACE_MORE) && s->lean) {
        facts_clear(s);
        return s->facts;
    }
    if (!(tr->flags & TRACE_MORE))
        trace_more_add(&s->table, tr)->n_spans = 1;
    return trace_more(&s->table, tr)->facts;
}
