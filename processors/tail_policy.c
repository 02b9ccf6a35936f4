/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling policies and judging by them: see tail_policy.h.
 * Order: types, leaves, entries, layout of the facts, life, judging. The facts are kept up in
 * tail_facts.c.
 */
#include "processors/tail_policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "component/gates.h"
#include "processors/tail_policy_ottl.h"

/* ---- types: where each may stand (the reference, 1.4) ---- */

enum { AT_TOP = 1, IN_AND = 2, IN_NOT = 4, IN_COMPOSITE = 8, NOT_YET = 16, LEAF = AT_TOP | IN_AND | IN_NOT | IN_COMPOSITE };

static const struct {
    const char *name;
    unsigned where;
} types[] = {
    {"always_sample", LEAF},
    {"latency", LEAF},
    {"numeric_attribute", LEAF},
    {"probabilistic", LEAF},
    {"status_code", LEAF},
    {"string_attribute", LEAF},
    {"boolean_attribute", LEAF},
    {"span_count", LEAF},
    {"trace_flags", LEAF},
    {"rate_limiting", LEAF},
    {"bytes_limiting", LEAF},
    {"trace_state", LEAF},
    {"ottl_condition", LEAF},
    {"and", AT_TOP | IN_COMPOSITE},
    {"drop", AT_TOP},
    {"not", AT_TOP | IN_AND},
    {"composite", AT_TOP},
};

/* 0: not a type that may stand there. */
static unsigned type_at(const char *name, unsigned where)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].where & where ? types[i].where : 0;
    return 0;
}

/* ---- the set while it is built ---- */

struct compiler {
    struct tail_policies *set;
    uint32_t cap_policies, cap_terms, cap_conditions, cap_composites, cap_subs, cap_limiters;
    const char **keys; /* of attribute conditions: by condition; NULL: none */
    struct policy_fault *fault;
    struct err *err;
};

static int fault_at(struct compiler *k, const char *path, const char *leaf)
{
    snprintf(k->fault->path, sizeof(k->fault->path), "%s%s", path, leaf);
    return -1;
}

static void *room(void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    *cap = *cap ? *cap * 2 : 8;
    return mem_grow(array, *cap * size);
}

static struct condition *condition_add(struct compiler *k)
{
    struct tail_policies *set = k->set;
    uint32_t cap = k->cap_conditions;

    set->conditions = room(set->conditions, set->n_conditions, &k->cap_conditions,
                           sizeof(*set->conditions));
    if (cap != k->cap_conditions)
        k->keys = mem_grow(k->keys, k->cap_conditions * sizeof(*k->keys));
    k->keys[set->n_conditions] = NULL;
    struct condition *c = &set->conditions[set->n_conditions++];
    *c = (struct condition){0};
    return c;
}

/* ---- leaves ---- */

static int status_codes(struct condition *c, const struct str_list *codes, struct err *err)
{
    static const char *const names[] = {"UNSET", "OK", "ERROR"};

    c->type = COND_STATUS;
    if (codes->n == 0)
        return err_set(err, "expected at least one status code to filter on");
    for (size_t i = 0; i < codes->n; i++) {
        unsigned code = 0;

        while (code < ARRAY_LEN(names) && strcmp(names[code], codes->v[i]) != 0)
            code++;
        if (code == ARRAY_LEN(names))
            return err_set(err, "unknown status code \"%s\", supported: OK, ERROR, UNSET", codes->v[i]);
        c->u.status.codes |= (uint8_t)(1u << code);
    }
    return 0;
}

/* Capacity of the bucket: as set, else twice the rate. */
static int64_t burst_of(int64_t per_second, int64_t set)
{
    int64_t twice;

    if (set > 0)
        return set;
    if (__builtin_mul_overflow(per_second, 2, &twice))
        return per_second > 0 ? INT64_MAX : INT64_MIN;
    return twice;
}

static int limiter_fill(struct compiler *k, struct condition *c, enum condition_type type, int64_t per_second,
                        int64_t burst)
{
    struct tail_policies *set = k->set;

    c->type = type;
    c->u.limiter.bucket = set->n_limiters;
    set->limiters = room(set->limiters, set->n_limiters, &k->cap_limiters, sizeof(*set->limiters));
    set->limiters[set->n_limiters++] = (struct limiter){per_second, burst_of(per_second, burst)};
    return 0;
}

static int leaf_fill(struct compiler *k, struct condition *c, const struct leaf_settings *s, const char **key,
                     struct err *err)
{
    if (strcmp(s->type, "always_sample") == 0) {
        c->type = COND_ALWAYS;
    } else if (strcmp(s->type, "trace_flags") == 0) {
        c->type = COND_FLAGS;
    } else if (strcmp(s->type, "latency") == 0) {
        c->type = COND_LATENCY;
        c->u.latency.above_ms = s->latency.threshold_ms;
        c->u.latency.up_to_ms = s->latency.upper_threshold_ms;
    } else if (strcmp(s->type, "span_count") == 0) {
        c->type = COND_SPAN_COUNT;
        c->u.count.min = s->span_count.min_spans;
        c->u.count.max = s->span_count.max_spans;
    } else if (strcmp(s->type, "status_code") == 0) {
        return status_codes(c, &s->status_code.status_codes, err);
    } else if (strcmp(s->type, "probabilistic") == 0) {
        return tail_condition_probabilistic(c, &s->probabilistic, err);
    } else if (strcmp(s->type, "rate_limiting") == 0) {
        return limiter_fill(k, c, COND_RATE_SPANS, s->rate_limiting.spans_per_second, s->rate_limiting.burst_capacity);
    } else if (strcmp(s->type, "bytes_limiting") == 0) {
        return limiter_fill(k, c, COND_RATE_BYTES, s->bytes_limiting.bytes_per_second, s->bytes_limiting.burst_capacity);
    } else if (strcmp(s->type, "trace_state") == 0) {
        return tail_condition_state(c, &s->trace_state);
    } else if (strcmp(s->type, "ottl_condition") == 0) {
        return tail_condition_ottl(k->set, c, &s->ottl_condition, err);
    } else {
        return tail_condition_attribute(c, s, key, err);
    }
    return 0;
}

/* The key within a leaf's block that its error is about. */
static const char *fault_key(const char *type)
{
    static const struct {
        const char *type, *path;
    } keys[] = {{"status_code", ".status_code.status_codes"},
                {"probabilistic", ".probabilistic.sampling_percentage"},
                {"string_attribute", ".string_attribute.values"},
                {"numeric_attribute", ".numeric_attribute"},
                {"ottl_condition", ".ottl_condition"}};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i].type, type) == 0)
            return keys[i].path;
    return ".type";
}

static int type_check(struct compiler *k, const char *type, unsigned where, const char *path)
{
    unsigned found = type_at(type, where);

    if (found && !(found & NOT_YET))
        return 0;
    k->fault->unsupported = found != 0;
    if (found)
        err_set(k->err, "policy type \"%s\" is not supported yet", type);
    else
        err_set(k->err, "unknown sampling policy type %s", type);
    return fault_at(k, path, ".type");
}

static void term_add(struct compiler *k, bool negated)
{
    struct tail_policies *set = k->set;

    set->terms = room(set->terms, set->n_terms, &k->cap_terms, sizeof(*set->terms));
    set->terms[set->n_terms++] = (struct policy_term){set->n_conditions - 1, negated};
}

static int leaf_add(struct compiler *k, const struct leaf_settings *s, bool negated, const char *path)
{
    struct condition *c = condition_add(k);

    if (leaf_fill(k, c, s, &k->keys[k->set->n_conditions - 1], k->err) != 0)
        return fault_at(k, path, fault_key(s->type));
    term_add(k, negated);
    return 0;
}

/* ---- entries ---- */

static int not_add(struct compiler *k, const struct policy_settings *s, const char *path)
{
    const struct leaf_settings *sub = &s->not.not_sub_policy;
    char at[80];

    snprintf(at, sizeof(at), "%s.not.not_sub_policy", path);
    return type_check(k, sub->type, IN_NOT, at) == 0 ? leaf_add(k, sub, true, at) : -1;
}

static int subs_add(struct compiler *k, const struct item_list *subs, const char *list)
{
    const struct policy_settings *s = subs->v;

    for (size_t i = 0; i < subs->n; i++) {
        char at[64];

        snprintf(at, sizeof(at), "%s[%zu]", list, i);
        if (type_check(k, s[i].leaf.type, IN_AND, at) != 0)
            return -1;
        if (strcmp(s[i].leaf.type, "not") == 0 ? not_add(k, &s[i], at) != 0
                                               : leaf_add(k, &s[i].leaf, false, at) != 0)
            return -1;
    }
    return 0;
}

/* The last allocation of that name; 0: none. */
static int64_t percent_of(const struct composite_settings *s, const char *name)
{
    const struct allocation_settings *a = s->rate_allocation.v;
    int64_t percent = 0;

    for (size_t i = 0; i < s->rate_allocation.n; i++)
        if (strcmp(a[i].policy, name) == 0)
            percent = a[i].percent;
    return percent;
}

/* Listed with a percentage: that part; else an equal share. Doubles, cut: 29 % of 200 are 57. */
static int64_t share_of(const struct composite_settings *s, const char *name)
{
    double max = (double)s->max_total_spans_per_second;
    int64_t percent = percent_of(s, name);
    double share = percent > 0 ? (double)percent / 100 * max : max / (double)s->composite_sub_policy.n;

    return share >= 0x1p63 ? INT64_MAX : share <= -0x1p63 ? INT64_MIN : (int64_t)share;
}

static int and_add(struct compiler *k, const struct policy_settings *s, const char *path)
{
    char list[96];

    snprintf(list, sizeof(list), "%s.and.and_sub_policy", path);
    return subs_add(k, &s->and.and_sub_policy, list);
}

static int composite_sub_add(struct compiler *k, const struct composite_settings *s, const struct policy_settings *sub,
                             const char *path)
{
    struct tail_policies *set = k->set;
    uint32_t first = set->n_terms;

    if (type_check(k, sub->leaf.type, IN_COMPOSITE, path) != 0)
        return -1;
    if (strcmp(sub->leaf.type, "and") == 0 ? and_add(k, sub, path) != 0 : leaf_add(k, &sub->leaf, false, path) != 0)
        return -1;
    set->subs = room(set->subs, set->n_subs, &k->cap_subs, sizeof(*set->subs));
    set->subs[set->n_subs++] = (struct composite_sub){.name = sub->leaf.name, .first_term = first,
                                                      .n_terms = set->n_terms - first,
                                                      .share = share_of(s, sub->leaf.name)};
    return 0;
}

static int composite_add(struct compiler *k, const struct composite_settings *s)
{
    struct tail_policies *set = k->set;
    const struct policy_settings *subs = s->composite_sub_policy.v;
    uint32_t first = set->n_subs;

    for (size_t i = 0; i < s->composite_sub_policy.n; i++) {
        char at[64];

        snprintf(at, sizeof(at), ".composite.composite_sub_policy[%zu]", i);
        if (composite_sub_add(k, s, &subs[i], at) != 0)
            return -1;
    }
    set->composites = room(set->composites, set->n_composites, &k->cap_composites, sizeof(*set->composites));
    set->composites[set->n_composites++] = (struct composite){s->max_total_spans_per_second, first, set->n_subs - first};
    return 0;
}

static int terms_of(struct compiler *k, const struct policy_settings *s)
{
    const char *type = s->leaf.type;

    if (strcmp(type, "and") == 0)
        return and_add(k, s, "");
    if (strcmp(type, "drop") == 0)
        return subs_add(k, &s->drop.drop_sub_policy, ".drop.drop_sub_policy");
    if (strcmp(type, "not") == 0)
        return not_add(k, s, "");
    if (strcmp(type, "composite") == 0)
        return composite_add(k, &s->composite);
    return leaf_add(k, &s->leaf, false, "");
}

/* Of several terms the largest; what is negated has none. */
static uint64_t threshold_of(const struct tail_policies *set, uint32_t first, uint32_t n)
{
    uint64_t most = 0;

    for (uint32_t i = first; i < first + n; i++) {
        const struct condition *c = &set->conditions[set->terms[i].condition];

        if (c->type == COND_PROBABILISTIC && !set->terms[i].negated && c->u.probabilistic.threshold > most)
            most = c->u.probabilistic.threshold;
    }
    return most;
}

static int entry_add(struct compiler *k, const struct policy_settings *s)
{
    struct tail_policies *set = k->set;
    uint32_t first = set->n_terms, composites = set->n_composites;

    if (type_check(k, s->leaf.type, AT_TOP, "") != 0 || terms_of(k, s) != 0)
        return -1;
    set->policies = room(set->policies, set->n_policies, &k->cap_policies, sizeof(*set->policies));
    set->policies[set->n_policies++] = (struct policy){.name = s->leaf.name,
                                                       .drop = strcmp(s->leaf.type, "drop") == 0,
                                                       .first_term = first,
                                                       .n_terms = set->n_terms - first,
                                                       .composite = set->n_composites > composites ? set->n_composites : 0};
    struct policy *pol = &set->policies[set->n_policies - 1];
    pol->threshold = pol->composite ? 0 : threshold_of(set, pol->first_term, pol->n_terms);
    return 0;
}

/* ---- layout of the facts ---- */

static void assign_bits(struct tail_policies *set)
{
    for (uint32_t i = 0; i < set->n_conditions; i++)
        if (set->conditions[i].type >= COND_LATENCY) {
            set->conditions[i].bit = set->n_bits;
            set->n_bits += set->conditions[i].type == COND_OTTL ? 2 : 1;
        }
    set->n_words = (set->n_bits + 63) / 64;
    set->attribute_bits = mem_alloc_array(set->n_words + 1, sizeof(uint64_t));
    set->status_bits = mem_alloc_array(3 * (size_t)set->n_words + 1, sizeof(uint64_t));
    set->flags_bits = mem_alloc_array(set->n_words + 1, sizeof(uint64_t));
}

static void set_bit(uint64_t *words, uint32_t bit)
{
    words[bit / 64] |= 1ull << (bit % 64);
}

static void note_bits(struct tail_policies *set, const struct condition *c)
{
    switch (c->type) {
    case COND_LATENCY:
        set->latency[set->n_latency++] = *c;
        break;
    case COND_STATUS:
        for (uint32_t code = 0; code < 3; code++)
            if (c->u.status.codes & 1u << code)
                set_bit(set->status_bits + (size_t)code * set->n_words, c->bit);
        break;
    case COND_FLAGS:
        set->any_flags = true;
        set_bit(set->flags_bits, c->bit);
        break;
    case COND_STATE:
        set->n_states++;
        break;
    case COND_RATE_BYTES:
        set->sized = true;
        break;
    case COND_STRING:
    case COND_REGEX:
    case COND_NUMERIC:
    case COND_BOOLEAN:
        set_bit(set->attribute_bits, c->bit);
        break;
    default:
        break;
    }
}

/* Distinct keys, and the conditions of each in a chain. */
static void assign_keys(struct tail_policies *set, const char *const *keys)
{
    const char **distinct = mem_alloc_array(set->n_conditions + 1, sizeof(*distinct));

    CHECK(keys || set->n_conditions == 0);
    set->first_of_key = mem_alloc_array(set->n_conditions + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < set->n_conditions; i++) {
        uint32_t k = 0;

        if (!keys[i])
            continue;
        while (k < set->n_keys && strcmp(distinct[k], keys[i]) != 0)
            k++;
        if (k == set->n_keys)
            distinct[set->n_keys++] = keys[i];
        set->conditions[i].next_same_key = set->first_of_key[k];
        set->first_of_key[k] = i + 1;
    }
    set->keys = keyset_new(distinct, set->n_keys);
    free(distinct);
}

static void layout(struct tail_policies *set, const char *const *keys)
{
    assign_bits(set);
    set->latency = mem_alloc_array(set->n_conditions + 1, sizeof(*set->latency));
    for (uint32_t i = 0; i < set->n_conditions; i++)
        note_bits(set, &set->conditions[i]);
    assign_keys(set, keys);
}

/* ---- life ---- */

int tail_policy_try(const struct policy_settings *s, struct policy_fault *fault, struct err *err)
{
    struct tail_policies *set = mem_alloc(sizeof(*set));
    struct compiler k = {.set = set, .fault = fault, .err = err};
    int rc = entry_add(&k, s);

    free(k.keys);
    tail_policies_free(&set);
    return rc;
}

static int entries_add(struct compiler *k, const struct tail_settings *s, bool drop)
{
    const struct policy_settings *entries = s->policies.v;

    for (size_t i = 0; i < s->policies.n; i++) {
        if ((strcmp(entries[i].leaf.type, "drop") == 0) != drop)
            continue;
        if (entry_add(k, &entries[i]) != 0)
            return err_wrap(k->err, "failed to create policy evaluator for \"%s\"",
                            entries[i].leaf.name);
    }
    return 0;
}

struct tail_policies *tail_policies_new(const struct tail_settings *s, struct err *err)
{
    struct tail_policies *set = mem_alloc(sizeof(*set));
    struct policy_fault fault = {.path = ""};
    struct compiler k = {.set = set, .fault = &fault, .err = err};

    set->first_match = s->sample_on_first_match;
    set->max_trace_bytes = s->maximum_trace_size_bytes;
    set->ingest = strcmp(s->sampling_strategy, "span-ingest") == 0;
    set->sized = set->max_trace_bytes != 0;
    int rc = entries_add(&k, s, true);
    set->n_drop = set->n_policies;
    if (rc == 0)
        rc = entries_add(&k, s, false);
    if (rc == 0)
        layout(set, k.keys);
    if (rc == 0 && set->ottl)
        ottl_program_seal(set->ottl);
    free(k.keys);
    if (rc != 0)
        tail_policies_free(&set);
    return set;
}

static bool terms_stateful(const struct tail_policies *p, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        const struct condition *c = &p->conditions[p->terms[i].condition];

        if (c->type == COND_RATE_SPANS || c->type == COND_RATE_BYTES ||
            (c->type == COND_LATENCY && c->u.latency.up_to_ms > 0) || (c->type == COND_SPAN_COUNT && c->u.count.max > 0))
            return true;
    }
    return false;
}

bool tail_policy_stateful(const struct tail_policies *p, uint32_t policy)
{
    const struct policy *pol = &p->policies[policy];
    const struct composite *c = pol->composite ? &p->composites[pol->composite - 1] : NULL;

    if (!c)
        return terms_stateful(p, pol->first_term, pol->n_terms);
    for (uint32_t i = c->first_sub; i < c->first_sub + c->n_subs; i++)
        if (terms_stateful(p, p->subs[i].first_term, p->subs[i].n_terms))
            return true;
    return false;
}

void tail_policies_set_gates(struct tail_policies *p, uint32_t gates)
{
    p->gates = gates;
    if (gates & GATE_BIT(GATE_TAIL_COUNT_BYTES))
        p->sized = true;
    p->randomness = gates & GATE_BIT(GATE_TAIL_TRACE_STATE);
}

void tail_policies_free(struct tail_policies **sp)
{
    struct tail_policies *set = *sp;

    *sp = NULL;
    if (!set)
        return;
    for (uint32_t i = 0; i < set->n_conditions; i++) {
        struct condition *c = &set->conditions[i];

        if (c->type == COND_STRING || c->type == COND_STATE)
            free(c->u.string.values);
        else if (c->type == COND_REGEX)
            regex_set_free(&c->u.string.regexes);
    }
    keyset_free(&set->keys);
    ottl_program_free(&set->ottl);
    free(set->policies);
    free(set->terms);
    free(set->conditions);
    free(set->composites);
    free(set->subs);
    free(set->limiters);
    free(set->latency);
    free(set->first_of_key);
    free(set->attribute_bits);
    free(set->status_bits);
    free(set->flags_bits);
    free(set);
}

/* ---- judging ---- */

static bool count_within(const struct condition *c, int64_t n)
{
    return n >= c->u.count.min && (c->u.count.max == 0 || n <= c->u.count.max);
}

static int64_t count_of(uint64_t n)
{
    return n > INT64_MAX ? INT64_MAX : (int64_t)n;
}

static bool holds(const struct condition *c, const struct tail_subject *t)
{
    switch (c->type) {
    case COND_ALWAYS:
        return true;
    case COND_PROBABILISTIC:
        return tail_probabilistic_keeps(c, t->id, t->randomness);
    case COND_SPAN_COUNT:
        return count_within(c, count_of(t->n_spans));
    case COND_RATE_SPANS:
        return tail_limits_take(t->limits, c->u.limiter.bucket, count_of(t->n_spans));
    case COND_RATE_BYTES:
        return tail_limits_take(t->limits, c->u.limiter.bucket, count_of(t->n_bytes));
    default:
        return (t->facts[c->bit / 64] >> (c->bit % 64) & 1) != c->invert;
    }
}

static enum vote condition_vote(const struct condition *c, const struct tail_subject *t)
{
    if (c->type == COND_OTTL && tail_has_bit(t->facts, c->bit + 1))
        return VOTE_ERROR;
    return holds(c, t) ? VOTE_SAMPLED : VOTE_NOT_SAMPLED;
}

/* In order, up to the first that does not say yes. */
static enum vote terms_vote(const struct tail_policies *p, uint32_t first, uint32_t n, const struct tail_subject *t)
{
    for (uint32_t i = first; i < first + n; i++) {
        const struct policy_term *term = &p->terms[i];
        enum vote v = condition_vote(&p->conditions[term->condition], t);

        if (v == VOTE_ERROR || (v == VOTE_SAMPLED) == term->negated)
            return v == VOTE_ERROR ? v : VOTE_NOT_SAMPLED;
    }
    return VOTE_SAMPLED;
}

/* The first sub-policy that would keep it decides: what its share refuses goes to no other. */
static enum vote composite_vote(const struct tail_policies *p, uint32_t composite, const struct tail_subject *t)
{
    const struct composite *c = &p->composites[composite];

    for (uint32_t i = 0; i < c->n_subs; i++) {
        const struct composite_sub *sub = &p->subs[c->first_sub + i];
        enum vote v = terms_vote(p, sub->first_term, sub->n_terms, t);

        if (v == VOTE_ERROR)
            return v;
        if (v != VOTE_SAMPLED)
            continue;
        if (!tail_limits_grant(t->limits, composite, i, count_of(t->n_spans), sub->share, c->max))
            return VOTE_NOT_SAMPLED;
        if (t->composite_sub)
            *t->composite_sub = c->first_sub + i + 1;
        return VOTE_SAMPLED;
    }
    return VOTE_NOT_SAMPLED;
}

enum vote tail_policy_vote(const struct tail_policies *p, uint32_t policy, const struct tail_subject *t)
{
    const struct policy *pol = &p->policies[policy];

    if (pol->composite)
        return composite_vote(p, pol->composite - 1, t);
    enum vote v = terms_vote(p, pol->first_term, pol->n_terms, t);
    return v == VOTE_SAMPLED && pol->drop ? VOTE_DROPPED : v;
}
