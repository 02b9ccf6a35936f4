/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of tail_sampling for tests, as decoding would make them: no string is NULL. */
#ifndef TAILRACE_TESTS_TAIL_BUILD_H
#define TAILRACE_TESTS_TAIL_BUILD_H

#include "processors/tail_settings.h"

#define TB_S(n) ((int64_t)(n) * 1000000000ll)
#define TB_STRS(...) (struct str_list){(const char *const[]){__VA_ARGS__}, \
                                       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)}

static inline struct leaf_settings tb_leaf(const char *name, const char *type)
{
    return (struct leaf_settings){.name = name, .type = type, .numeric_attribute.key = "",
                                  .string_attribute.key = "", .boolean_attribute.key = "",
                                  .probabilistic.hash_salt = "", .trace_state.key = "",
                                  .ottl_condition.error_mode = "silent"};
}

static inline struct policy_settings tb_policy(const char *name, const char *type)
{
    return (struct policy_settings){.leaf = tb_leaf(name, type), .not.not_sub_policy = tb_leaf("", "")};
}

static inline struct policy_settings tb_latency(const char *name, int64_t above_ms, int64_t up_to_ms)
{
    struct policy_settings p = tb_policy(name, "latency");

    p.leaf.latency = (struct latency_settings){above_ms, up_to_ms};
    return p;
}

static inline struct policy_settings tb_status(const char *name, struct str_list codes)
{
    struct policy_settings p = tb_policy(name, "status_code");

    p.leaf.status_code.status_codes = codes;
    return p;
}

static inline struct policy_settings tb_percent(const char *name, const char *salt, double percent)
{
    struct policy_settings p = tb_policy(name, "probabilistic");

    p.leaf.probabilistic = (struct probabilistic_settings){salt, percent};
    return p;
}

static inline struct policy_settings tb_string(const char *name, const char *key, struct str_list values,
                                               bool regex, bool invert)
{
    struct policy_settings p = tb_policy(name, "string_attribute");

    p.leaf.string_attribute = (struct string_settings){
        .key = key, .values = values, .enabled_regex_matching = regex, .invert_match = invert};
    return p;
}

static inline struct policy_settings tb_numeric(const char *name, const char *key, int64_t min, int64_t max,
                                                bool invert)
{
    struct policy_settings p = tb_policy(name, "numeric_attribute");

    p.leaf.numeric_attribute = (struct numeric_settings){key, min, max, invert};
    return p;
}

static inline struct policy_settings tb_boolean(const char *name, const char *key, bool value, bool invert)
{
    struct policy_settings p = tb_policy(name, "boolean_attribute");

    p.leaf.boolean_attribute = (struct boolean_settings){key, value, invert};
    return p;
}

static inline struct policy_settings tb_count(const char *name, int64_t min, int64_t max)
{
    struct policy_settings p = tb_policy(name, "span_count");

    p.leaf.span_count = (struct count_settings){min, max};
    return p;
}

static inline struct policy_settings tb_rate(const char *name, int64_t per_second, int64_t burst)
{
    struct policy_settings p = tb_policy(name, "rate_limiting");

    p.leaf.rate_limiting = (struct rate_settings){per_second, burst};
    return p;
}

static inline struct policy_settings tb_bytes(const char *name, int64_t per_second, int64_t burst)
{
    struct policy_settings p = tb_policy(name, "bytes_limiting");

    p.leaf.bytes_limiting = (struct bytes_settings){per_second, burst};
    return p;
}

static inline struct policy_settings tb_state(const char *name, const char *key, struct str_list values)
{
    struct policy_settings p = tb_policy(name, "trace_state");

    p.leaf.trace_state = (struct state_settings){key, values};
    return p;
}

static inline struct policy_settings tb_composite(const char *name, int64_t max, const struct policy_settings *subs, size_t n,
                                                  const struct allocation_settings *shares, size_t n_shares)
{
    struct policy_settings p = tb_policy(name, "composite");

    p.composite = (struct composite_settings){.max_total_spans_per_second = max, .composite_sub_policy = {subs, n},
                                              .rate_allocation = {shares, n_shares}};
    return p;
}

static inline struct policy_settings tb_and(const char *name, const struct policy_settings *subs, size_t n)
{
    struct policy_settings p = tb_policy(name, "and");

    p.and.and_sub_policy = (struct item_list){subs, n};
    return p;
}

static inline struct policy_settings tb_drop(const char *name, const struct policy_settings *subs, size_t n)
{
    struct policy_settings p = tb_policy(name, "drop");

    p.drop.drop_sub_policy = (struct item_list){subs, n};
    return p;
}

static inline struct policy_settings tb_not(const char *name, struct policy_settings sub)
{
    struct policy_settings p = tb_policy(name, "not");

    p.not.not_sub_policy = sub.leaf;
    return p;
}

/* wait 1 s, 1000 traces, no caches. */
static inline struct tail_settings tb_settings(const struct policy_settings *p, size_t n)
{
    return (struct tail_settings){.decision_wait_ns = TB_S(1), .num_traces = 1000, .policies = {p, n},
                                  .sampling_strategy = "trace-complete"};
}

#endif
