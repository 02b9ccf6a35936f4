/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies, compiled. A set of policies becomes a list of conditions and a layout of facts: what must
 * be known of a trace to judge it, a few bytes updated as its spans arrive. Judging then looks at
 * the facts only, however many spans there were.
 *
 *   policy      name, sample or drop, and the terms that must all hold; or a composite: sub-policies with
 *               terms of their own and a share of its spans a second
 *   term        a condition, perhaps negated (policy type `not`)
 *   condition   always, by id (probabilistic), by count (span_count), by what is left in a bucket
 *               (rate_limiting, bytes_limiting), or a bit of the facts
 *
 * Bits: bit i of trace->facts says that condition i has been met by some span so far; the order in
 * which spans came cannot change it, but for latency with an upper bound, and for ottl_condition under
 * propagate, where the first span to hold or to fail decides: as in the Collector (the reference, 4.2, 4.13).
 * Attribute conditions are answered by one walk over a span's attributes for all of them, and once for
 * each distinct resource.
 *
 * Immutable after tail_policies_new(): one set serves all workers. What limits have left to spend is
 * kept apart (tail_limits.h). Memory: bounded by configuration.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_POLICY_H
#define TAILRACE_PROCESSORS_TAIL_POLICY_H

#include "model/match.h"
#include "model/payload.h"
#include "ottl/ottl.h"
#include "platform/err.h"
#include "platform/regex.h"
#include "processors/tail_limits.h"
#include "processors/tail_settings.h"
#include "processors/tail_size.h"

enum condition_type {
    COND_ALWAYS,
    COND_PROBABILISTIC,
    COND_SPAN_COUNT,
    COND_RATE_SPANS,
    COND_RATE_BYTES,
    COND_LATENCY, /* this and what follows: a bit of the facts */
    COND_STATUS,
    COND_FLAGS,
    COND_STRING,
    COND_REGEX,
    COND_NUMERIC,
    COND_BOOLEAN,
    COND_STATE,
    COND_OTTL, /* two bits: it holds, it failed; see tail_policy_ottl.c */
};

/* Conditions of the set's program, one after the other. */
struct ottl_range {
    uint32_t first, n;
};

struct condition {
    enum condition_type type;
    bool invert; /* attributes: holds when nothing matched */
    uint32_t bit; /* types from COND_LATENCY on */
    uint32_t next_same_key; /* attributes: next condition on this key, + 1 */
    union {
        struct {
            uint64_t fnv_salted; /* state of the hash after the salt */
            uint64_t limit;
            uint64_t threshold;
        } probabilistic;
        struct {
            int64_t min, max; /* max 0: none */
        } count;
        struct {
            int64_t above_ms, up_to_ms; /* up_to 0: none */
        } latency;
        struct {
            uint8_t codes; /* bit per code */
        } status;
        struct {
            uint32_t bucket;
        } limiter;
        struct {
            struct slice key; /* COND_STATE */
            struct slice *values;
            size_t n;
            struct regex_set *regexes; /* COND_REGEX; NULL: no value, nothing matches */
        } string;
        struct {
            int64_t min, max;
        } numeric;
        struct {
            bool value;
        } boolean;
        struct {
            struct ottl_range span, event;
            enum ottl_error_mode mode;
        } ottl;
    } u;
};

struct policy_term {
    uint32_t condition;
    bool negated;
};

struct policy {
    const char *name; /* the settings' */
    bool drop;
    uint32_t first_term, n_terms;
    uint32_t composite; /* + 1; 0: none, the terms count */
    uint64_t threshold; /* of 2^56 ids, how many it does not keep; 0 unless probabilistic */
};

struct composite_sub {
    const char *name;
    uint32_t first_term, n_terms;
    int64_t share; /* spans a second */
};
struct composite {
    int64_t max; /* spans a second, of each sub-policy */
    uint32_t first_sub, n_subs;
};

/* A bucket's shape. */
struct limiter {
    int64_t per_second, burst;
};

struct tail_policies {
    struct policy *policies; /* drop policies first, otherwise as configured */
    uint32_t n_policies, n_drop;
    struct policy_term *terms;
    uint32_t n_terms;
    struct condition *conditions;
    uint32_t n_conditions;
    struct composite *composites;
    uint32_t n_composites;
    struct composite_sub *subs; /* of all composites */
    uint32_t n_subs;
    struct limiter *limiters;
    uint32_t n_limiters;
    bool first_match;
    uint64_t max_trace_bytes; /* 0: no bound */
    bool ingest;              /* span-ingest: items are judged as they come */
    uint32_t gates;           /* the process's */

    /* layout of the facts: bit words, then the times if latency is asked for, then the randomness, the size */
    uint32_t n_words, n_bits;
    bool any_flags, sized;
    bool randomness; /* with the gate usetracestate: what tracestate says of it, a word */
    uint32_t n_states; /* trace_state conditions */
    struct ottl_program *ottl; /* of all ottl_conditions; NULL: none */
    struct condition *latency; /* copies of the latency conditions, together */
    uint32_t n_latency;
    struct keyset *keys;      /* of all attribute conditions */
    uint32_t *first_of_key;   /* condition + 1 */
    uint32_t n_keys;
    uint64_t *attribute_bits; /* n_words: those that attributes may set; NULL: none */
    uint64_t *status_bits;    /* 3 times n_words: by status code */
    uint64_t *flags_bits;     /* n_words: when the span is flagged as sampled */
};

/* One condition from the settings of one policy; see the families' files. */
int tail_condition_attribute(struct condition *c, const struct leaf_settings *s, const char **key,
                             struct err *err) MUST_USE;
int tail_condition_state(struct condition *c, const struct state_settings *s) MUST_USE;
int tail_condition_probabilistic(struct condition *c, const struct probabilistic_settings *s,
                                 struct err *err) MUST_USE;

/* NULL with err: what check() would have said. The settings must outlive the set. */
struct tail_policies *tail_policies_new(const struct tail_settings *s, struct err *err) MUST_USE;
/* Does its vote depend on more than what an item may add? Such a policy cannot judge items. */
bool tail_policy_stateful(const struct tail_policies *p, uint32_t policy);
/* The feature gates that are on; before anything is laid out by tail_facts_bytes(). */
void tail_policies_set_gates(struct tail_policies *p, uint32_t gates);
void tail_policies_free(struct tail_policies **p);

/* For check(): one policy entry alone. On -1 path (relative to the entry) names the key at fault. */
struct policy_fault {
    char path[96];
    bool unsupported; /* a type of the Collector's that is not here yet */
};
int tail_policy_try(const struct policy_settings *s, struct policy_fault *fault, struct err *err) MUST_USE;

/* ---- facts ---- */

/* span-ingest: the item of a trace that is being filed. */
struct tail_item {
    uint64_t key;       /* as in struct tail_place; 0: none */
    uint32_t first;     /* its first record */
    uint32_t unused;
};

/* Words of 8 bytes before the size: bits, times, randomness. */
static inline uint32_t tail_facts_head(const struct tail_policies *p)
{
    return p->n_words + (p->n_latency ? 2 : 0) + p->randomness;
}

static inline uint32_t tail_facts_bytes(const struct tail_policies *p)
{
    return tail_facts_head(p) * (uint32_t)sizeof(uint64_t) +
           (p->sized ? (uint32_t)sizeof(struct tail_size) : 0) +
           (p->ingest ? (uint32_t)sizeof(struct tail_item) : 0);
}

static inline bool tail_has_bit(const uint64_t *facts, uint32_t bit)
{
    return facts[bit / 64] >> (bit % 64) & 1;
}

/* Only if p->sized. */
static inline struct tail_size *tail_facts_size(const struct tail_policies *p, uint64_t *facts)
{
    return (struct tail_size *)(void *)(facts + tail_facts_head(p));
}

/* The word of randomness: RANDOM_SAID when some span's tracestate has `rv` or `th`, with RANDOM_GIVEN the first
 * `rv` in the order of arrival as well. */
#define RANDOM_SAID  ((uint64_t)1 << 63)
#define RANDOM_GIVEN ((uint64_t)1 << 62)
/* Only if p->randomness. */
static inline uint64_t *tail_facts_randomness(const struct tail_policies *p, uint64_t *facts)
{
    return facts + tail_facts_head(p) - 1;
}

/* The times of the first span, as tail_facts_span() notes them. Only if p->n_latency. */
static inline void tail_facts_times(const struct tail_policies *p, uint64_t *facts, const struct span *s)
{
    facts[p->n_words] = s->start_ns;
    facts[p->n_words + 1] = s->end_ns;
}

/* A span of the trace; facts were zero before the first. */
void tail_facts_span(const struct tail_policies *p, uint64_t *facts, const struct span *s);
/* The bits of a resource, and adding them to a trace that has spans of it. */
void tail_facts_resource(const struct tail_policies *p, struct slice resource, uint64_t *bits);
static inline void tail_facts_merge(const struct tail_policies *p, uint64_t *facts, const uint64_t *bits)
{
    for (uint32_t i = 0; i < p->n_words; i++)
        facts[i] |= bits[i];
}

/* Only if p->ingest. */
static inline struct tail_item *tail_facts_item(const struct tail_policies *p, uint64_t *facts)
{
    return (struct tail_item *)(void *)((uint8_t *)facts + tail_facts_bytes(p) - sizeof(struct tail_item));
}
/* Forgets the bits and times, for the next item. */
static inline void tail_facts_reset(const struct tail_policies *p, uint64_t *facts)
{
    for (uint32_t i = 0; i < tail_facts_head(p); i++)
        facts[i] = 0;
}

/* ---- judging ---- */

enum vote { VOTE_NOT_SAMPLED, VOTE_SAMPLED, VOTE_DROPPED, VOTE_ERROR /* could not say: no vote */ };

/* Who is judged. */
struct tail_subject {
    const uint8_t *id;
    uint64_t n_spans, n_bytes; /* bytes: if p->sized */
    uint64_t n_item_bytes;     /* the same without the envelopes of its items */
    const uint64_t *facts;
    uint64_t randomness; /* the facts' word; 0: tracestate says nothing */
    struct tail_limits *limits;
    uint32_t *composite_sub; /* + 1: set when a composite grants; NULL: nobody asks */
};

/* What one policy says. */
enum vote tail_policy_vote(const struct tail_policies *p, uint32_t policy, const struct tail_subject *t);

/* tail_policy_attr.c: is the condition met by this value, on a span or on a resource? */
bool tail_attribute_match(const struct condition *c, struct slice any_value, bool on_resource);
/* tail_policy_state.c: has the tracestate header one of the values? */
bool tail_state_match(const struct condition *c, struct slice header);
/* tail_policy_probabilistic.c */
bool tail_probabilistic_keeps(const struct condition *c, const uint8_t id[static 16], uint64_t randomness);
uint64_t tail_probabilistic_limit(double percentage);

#endif
