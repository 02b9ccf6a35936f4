/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facts of a trace, kept up as its spans arrive. This runs for every span: what no policy asks
 * for is not looked at, and attributes are not walked once all their conditions are met.
 */
#include "model/attr.h"
#include "processors/tail_policy.h"
#include "processors/trace_state.h"

static void set_bit(uint64_t *facts, uint32_t bit)
{
    facts[bit / 64] |= 1ull << (bit % 64);
}

static bool has_bit(const uint64_t *facts, uint32_t bit)
{
    return facts[bit / 64] >> (bit % 64) & 1;
}

/* ---- latency ---- */

/* min and max of the trace so far; 0 counts as unset, so a span without a start moves min up again
 * and the duration may shrink: each condition is tried after every span that moves one. */
static void latency(const struct tail_policies *p, uint64_t *facts, const struct span *s)
{
    uint64_t *min = &facts[p->n_words], *max = min + 1;
    bool starts = *min == 0 || s->start_ns < *min, ends = *max == 0 || s->end_ns > *max;

    if (LIKELY(!starts && !ends))
        return;
    if (starts)
        *min = s->start_ns;
    if (ends)
        *max = s->end_ns;
    int64_t ms = (int64_t)(*max - *min) / 1000000;
    for (uint32_t i = 0; i < p->n_latency; i++) {
        const struct condition *c = &p->latency[i];

        if (ms > c->u.latency.above_ms && (c->u.latency.up_to_ms == 0 || ms <= c->u.latency.up_to_ms))
            set_bit(facts, c->bit);
    }
}

/* ---- attributes ---- */

static void try_conditions(const struct tail_policies *p, uint64_t *facts, uint32_t first,
                           struct slice value, bool on_resource)
{
    for (uint32_t i = first; i; i = p->conditions[i - 1].next_same_key) {
        const struct condition *c = &p->conditions[i - 1];

        if (!has_bit(facts, c->bit) && tail_attribute_match(c, value, on_resource))
            set_bit(facts, c->bit);
    }
}

/* Only the first entry of a repeated key counts. Keys past the 64th are looked up again to see. */
static bool is_first(struct slice message, uint32_t field, const struct attr *a, int key, uint64_t *seen)
{
    if (key < 64) {
        bool first = !(*seen >> key & 1);

        *seen |= 1ull << key;
        return first;
    }
    struct attr first;
    return attr_find(message, field, a->key, &first) && first.rec.p == a->rec.p;
}

static void attributes(const struct tail_policies *p, uint64_t *facts, struct slice message,
                       uint32_t field, bool on_resource)
{
    struct attr_iter it = attr_iter(message, field);
    struct attr a;
    uint64_t seen = 0;

    while (attr_next(&it, &a)) {
        int key = keyset_find(p->keys, a.key);

        if (key >= 0 && is_first(message, field, &a, key, &seen))
            try_conditions(p, facts, p->first_of_key[key], a.value, on_resource);
    }
}

/* Is there an attribute condition that is not met yet? */
static bool wants_attributes(const struct tail_policies *p, const uint64_t *facts)
{
    for (uint32_t i = 0; i < p->n_words; i++)
        if (p->attribute_bits[i] & ~facts[i])
            return true;
    return false;
}

void tail_facts_resource(const struct tail_policies *p, struct slice resource, uint64_t *bits)
{
    if (wants_attributes(p, bits))
        attributes(p, bits, resource, RESOURCE_ATTRIBUTES, true);
}

/* ---- tracestate ---- */

static void states(const struct tail_policies *p, uint64_t *facts, const struct span *s)
{
    struct slice header = field_bytes(span_body(s), SPAN_TRACE_STATE);

    for (uint32_t i = 0; i < p->n_conditions; i++) {
        const struct condition *c = &p->conditions[i];

        if (c->type == COND_STATE && !has_bit(facts, c->bit) && tail_state_match(c, header))
            set_bit(facts, c->bit);
    }
}

/* The first `rv` counts. */
static void randomness(const struct tail_policies *p, uint64_t *facts, const struct span *s)
{
    uint64_t *word = tail_facts_randomness(p, facts);
    struct trace_state ts;

    if (*word & RANDOM_GIVEN || !trace_state_parse(&ts, field_bytes(span_body(s), SPAN_TRACE_STATE)))
        return;
    if (ts.has_rv)
        *word = RANDOM_SAID | RANDOM_GIVEN | ts.rv;
    else if (ts.has_th)
        *word |= RANDOM_SAID;
}

/* ---- a span ---- */

void tail_facts_span(const struct tail_policies *p, uint64_t *facts, const struct span *s)
{
    if (s->status < 3)
        tail_facts_merge(p, facts, p->status_bits + (size_t)s->status * p->n_words);
    if (p->any_flags && s->w3c_flags & 1)
        tail_facts_merge(p, facts, p->flags_bits);
    if (p->n_latency)
        latency(p, facts, s);
    if (p->n_states && s->flags & SPAN_HAS_STATE)
        states(p, facts, s);
    if (UNLIKELY(p->randomness) && s->flags & SPAN_HAS_STATE)
        randomness(p, facts, s);
    if (wants_attributes(p, facts))
        attributes(p, facts, span_body(s), SPAN_ATTRIBUTES, false);
}
