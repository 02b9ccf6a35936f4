/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of tail_sampling, as decoded by the key tables in tail_settings.c. */
#ifndef TAILRACE_PROCESSORS_TAIL_SETTINGS_H
#define TAILRACE_PROCESSORS_TAIL_SETTINGS_H

#include "component/component.h"

struct latency_settings {
    int64_t threshold_ms, upper_threshold_ms;
};
struct numeric_settings {
    const char *key;
    int64_t min_value, max_value; /* 0: unset */
    bool invert_match;
};
struct probabilistic_settings {
    const char *hash_salt;
    double sampling_percentage;
};
struct status_settings {
    struct str_list status_codes;
};
struct string_settings {
    const char *key;
    struct str_list values;
    bool enabled_regex_matching;
    int64_t cache_max_size;
    bool invert_match;
};
struct boolean_settings {
    const char *key;
    bool value;
    bool invert_match;
};
struct count_settings {
    int64_t min_spans, max_spans;
};

struct rate_settings {
    int64_t spans_per_second, burst_capacity;
};
struct bytes_settings {
    int64_t bytes_per_second, burst_capacity;
};
struct state_settings {
    const char *key;
    struct str_list values;
};

struct ottl_settings {
    const char *error_mode;
    struct str_list span, spanevent;
};

/* A policy that judges by itself. */
struct leaf_settings {
    const char *name, *type;
    struct latency_settings latency;
    struct numeric_settings numeric_attribute;
    struct probabilistic_settings probabilistic;
    struct status_settings status_code;
    struct string_settings string_attribute;
    struct boolean_settings boolean_attribute;
    struct count_settings span_count;
    struct rate_settings rate_limiting;
    struct bytes_settings bytes_limiting;
    struct state_settings trace_state;
    struct ottl_settings ottl_condition;
};

struct not_settings {
    struct leaf_settings not_sub_policy;
};
struct and_settings {
    struct item_list and_sub_policy; /* struct policy_settings */
};
struct drop_settings {
    struct item_list drop_sub_policy; /* struct policy_settings */
};

struct allocation_settings {
    const char *policy;
    int64_t percent;
};
struct composite_settings {
    int64_t max_total_spans_per_second;
    struct str_list policy_order;
    struct item_list composite_sub_policy; /* struct policy_settings */
    struct item_list rate_allocation;      /* struct allocation_settings */
};

/* Any policy; the leaf comes first, so that the leaf's key rows serve both. */
struct policy_settings {
    struct leaf_settings leaf;
    struct not_settings not;
    struct and_settings and;
    struct drop_settings drop;
    struct composite_settings composite;
};
_Static_assert(offsetof(struct policy_settings, leaf) == 0, "leaf rows are used for policies too");

struct cache_settings {
    int64_t sampled_cache_size, non_sampled_cache_size;
};

struct tail_settings {
    int64_t decision_wait_ns, decision_wait_after_root_received_ns;
    uint64_t num_traces, expected_new_traces_per_sec, num_shards, maximum_trace_size_bytes;
    uint64_t buffer_limit_mib, explain_decisions;
    struct item_list policies; /* struct policy_settings */
    struct cache_settings decision_cache;
    bool sample_on_first_match, drop_pending_traces_on_shutdown;
    const char *sampling_strategy;
    const char *storage; /* NULL: none */
};

extern const struct key tail_keys[];
void tail_settings_check(const void *settings, struct check *c);
size_t tail_settings_memory(const void *settings, unsigned n_workers, struct memory_term *terms,
                            size_t max);
size_t tail_settings_gates_memory(const void *settings, unsigned n_workers, uint32_t gates, struct memory_term *terms,
                                  size_t max);

/* A share of a count for one worker; at least 1 unless the count is 0. */
uint64_t tail_share(uint64_t count, unsigned n_workers);

#endif
