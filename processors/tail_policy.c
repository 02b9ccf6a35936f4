/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling policies and judging by them: see tail_policy.h.
 * Order: types, leaves, entries, layout of the facts, life, judging. The facts are kept up in
 * tail_facts.c.
 */
#include "processors/tail_policy.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- types: where each may stand (the reference, 1.4) ---- */

enum { AT_TOP = 1, IN_AND = 2, IN_NOT = 4, NOT_YET = 8 };

static const struct {
    const char *name;
    unsigned where;
} types[] = {
    {"always_sample", AT_TOP | IN_AND | IN_NOT},
    {"latency", AT_TOP | IN_AND | IN_NOT},
    {"numeric_attribute", AT_TOP | IN_AND | IN_NOT},
    {"probabilistic", AT_TOP | IN_AND | IN_NOT},
    {"status_code", AT_TOP | IN_AND | IN_NOT},
    {"string_attribute", AT_TOP | IN_AND | IN_NOT},
    {"boolean_attribute", AT_TOP | IN_AND | IN_NOT},
    {"span_count", AT_TOP | IN_AND | IN_NOT},
    {"trace_flags", AT_TOP | IN_AND | IN_NOT},
    {"rate_limiting", AT_TOP | IN_AND | IN_NOT | NOT_YET},
    {"bytes_limiting", AT_TOP | IN_AND | IN_NOT | NOT_YET},
    {"trace_state", AT_TOP | IN_AND | IN_NOT | NOT_YET},
    {"ottl_condition", AT_TOP | IN_AND | IN_NOT | NOT_YET},
    {"and", AT_TOP},
    {"drop", AT_TOP},
    {"not", AT_TOP | IN_AND},
    {"composite", AT_TOP | NOT_YET},
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
    uint32_t cap_policies, cap_terms, cap_conditions;
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

static int leaf_fill(struct condition *c, const struct leaf_settings *s, const char **key,
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
                {"numeric_attribute", ".numeric_attribute"}};

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

    if (leaf_fill(c, s, &k->keys[k->set->n_conditions - 1], k->err) != 0)
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

static int terms_of(struct compiler *k, const struct policy_settings *s)
{
    const char *type = s->leaf.type;

    if (strcmp(type, "and") == 0)
        return subs_add(k, &s->and.and_sub_policy, ".and.and_sub_policy");
    if (strcmp(type, "drop") == 0)
        return subs_add(k, &s->drop.drop_sub_policy, ".drop.drop_sub_policy");
    if (strcmp(type, "not") == 0)
        return not_add(k, s, "");
    return leaf_add(k, &s->leaf, false, "");
}

static int entry_add(struct compiler *k, const struct policy_settings *s)
{
    struct tail_policies *set = k->set;
    uint32_t first = set->n_terms;

    if (type_check(k, s->leaf.type, AT_TOP, "") != 0 || terms_of(k, s) != 0)
        return -1;
    set->policies = room(set->policies, set->n_policies, &k->cap_policies, sizeof(*set->policies));
    set->policies[set->n_policies++] = (struct policy){.name = s->leaf.name,
                                                       .drop = strcmp(s->leaf.type, "drop") == 0,
                                                       .first_term = first,
                                                       .n_terms = set->n_terms - first};
    return 0;
}

/* ---- layout of the facts ---- */

static void assign_bits(struct tail_policies *set)
{
    for (uint32_t i = 0; i < set->n_conditions; i++)
        if (set->conditions[i].type >= COND_LATENCY)
            set->conditions[i].bit = set->n_bits++;
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
    int rc = entries_add(&k, s, true);
    set->n_drop = set->n_policies;
    if (rc == 0)
        rc = entries_add(&k, s, false);
    if (rc == 0)
        layout(set, k.keys);
    free(k.keys);
    if (rc != 0)
        tail_policies_free(&set);
    return set;
}

void tail_policies_free(struct tail_policies **sp)
{
    struct tail_policies *set = *sp;

    *sp = NULL;
    if (!set)
        return;
    for (uint32_t i = 0; i < set->n_conditions; i++) {
        struct condition *c = &set->conditions[i];

        if (c->type == COND_STRING)
            free(c->u.string.values);
        else if (c->type == COND_REGEX)
            regex_set_free(&c->u.string.regexes);
    }
    keyset_free(&set->keys);
    free(set->policies);
    free(set->terms);
    free(set->conditions);
    free(set->latency);
    free(set->first_of_key);
    free(set->attribute_bits);
    free(set->status_bits);
    free(set->flags_bits);
    free(set);
}

/* ---- judging ---- */

static bool count_within(const struct condition *c, uint64_t n_spans)
{
    int64_t n = n_spans > INT64_MAX ? INT64_MAX : (int64_t)n_spans;

    return n >= c->u.count.min && (c->u.count.max == 0 || n <= c->u.count.max);
}

static bool holds(const struct condition *c, const uint8_t id[static 16], uint64_t n_spans,
                  const uint64_t *facts)
{
    switch (c->type) {
    case COND_ALWAYS:
        return true;
    case COND_PROBABILISTIC:
        return tail_probabilistic_keeps(c, id);
    case COND_SPAN_COUNT:
        return count_within(c, n_spans);
    default:
        return (facts[c->bit / 64] >> (c->bit % 64) & 1) != c->invert;
    }
}

enum vote tail_policy_vote(const struct tail_policies *p, uint32_t policy, const uint8_t id[static 16],
                           uint64_t n_spans, const uint64_t *facts)
{
    const struct policy *pol = &p->policies[policy];
    const struct policy_term *t = p->terms + pol->first_term;

    for (uint32_t i = 0; i < pol->n_terms; i++)
        if (holds(&p->conditions[t[i].condition], id, n_spans, facts) == t[i].negated)
            return VOTE_NOT_SAMPLED;
    return pol->drop ? VOTE_DROPPED : VOTE_SAMPLED;
}
