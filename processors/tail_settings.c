/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_sampling's keys, the rules between them, and the memory they ask for.
 *
 * The Collector finds most mistakes in policies only when it starts, some only when it panics; here
 * check() finds them all.
 */
#include "processors/tail_settings.h"

#include <math.h>
#include <stdio.h>

#include "component/extension.h"
#include "ottl/ottl.h"
#include "platform/clock.h"
#include "processors/tail_cache.h"
#include "processors/tail_explain.h"
#include "processors/tail_policy.h"
#include "processors/tail_wheel.h"

/* ---- policies ---- */

static const struct key latency_keys[] = {
    KEY_INT(struct latency_settings, threshold_ms, "0", 1, 0, "Traces that took longer than this are kept; in milliseconds."),
    KEY_INT(struct latency_settings, upper_threshold_ms, "0", 1, 0, "And no longer than this; 0: no upper bound."),
    KEY_END,
};

static const struct key numeric_keys[] = {
    KEY_STR(struct numeric_settings, key, "", "Attribute looked for on resources and spans."),
    KEY_INT(struct numeric_settings, min_value, "0", 1, 0, "Least value that matches; 0: no least value."),
    KEY_INT(struct numeric_settings, max_value, "0", 1, 0, "Greatest value that matches; 0: no greatest value."),
    KEY_BOOL(struct numeric_settings, invert_match, "false", "Keep traces in which nothing matches."),
    KEY_END,
};

static const struct key probabilistic_keys[] = {
    KEY_STR(struct probabilistic_settings, hash_salt, "", "Makes the choice independent of samplers with another salt."),
    KEY_DOUBLE(struct probabilistic_settings, sampling_percentage, "0", 1, 0, "Share of traces that is kept, 0 to 100."),
    KEY_END,
};

static const struct key status_keys[] = {
    KEY_STRS(struct status_settings, status_codes, NULL, "Any of OK, ERROR, UNSET: a span with one of them keeps its trace."),
    KEY_END,
};

static const struct key string_keys[] = {
    KEY_STR(struct string_settings, key, "", "Attribute looked for on resources and spans."),
    KEY_STRS(struct string_settings, values, NULL, "Values that match, or expressions of which one is found in the value."),
    KEY_BOOL(struct string_settings, enabled_regex_matching, "false", "Values are regular expressions (RE2, not anchored)."),
    KEY_INT(struct string_settings, cache_max_size, "0", 1, 0, "Accepted; expressions are fast enough not to need their results cached."),
    KEY_BOOL(struct string_settings, invert_match, "false", "Keep traces in which nothing matches."),
    KEY_END,
};

static const struct key boolean_keys[] = {
    KEY_STR(struct boolean_settings, key, "", "Attribute looked for on resources and spans."),
    KEY_BOOL(struct boolean_settings, value, "false", "Value that matches; attributes of other types count as false."),
    KEY_BOOL(struct boolean_settings, invert_match, "false", "Keep traces in which nothing matches."),
    KEY_END,
};

static const struct key count_keys[] = {
    KEY_INT(struct count_settings, min_spans, "0", -2147483648.0, 2147483647.0, "Least number of spans of a kept trace."),
    KEY_INT(struct count_settings, max_spans, "0", -2147483648.0, 2147483647.0, "Greatest number of spans; 0: no bound."),
    KEY_END,
};

static const struct key rate_keys[] = {
    KEY_INT(struct rate_settings, spans_per_second, "0", 1, 0, "Spans kept per second, of whole traces; for all workers together."),
    KEY_INT(struct rate_settings, burst_capacity, "0", 1, 0, "Spans that may be kept at once; 0: twice spans_per_second."),
    KEY_END,
};

static const struct key bytes_keys[] = {
    KEY_INT(struct bytes_settings, bytes_per_second, "0", 1, 0, "Encoded bytes kept per second, of whole traces; for all workers together."),
    KEY_INT(struct bytes_settings, burst_capacity, "0", 1, 0, "Bytes that may be kept at once; 0: twice bytes_per_second."),
    KEY_END,
};

static const struct key state_keys[] = {
    KEY_STR(struct state_settings, key, "", "Key looked for in the spans' tracestate."),
    KEY_STRS(struct state_settings, values, NULL, "Values that match."),
    KEY_END,
};

static const struct key ottl_keys[] = {
    {.name = "error_mode", .type = KEY_T_ENUM, .offset = KEY_AT(const char *, struct ottl_settings, error_mode),
     .dflt = "silent", KEY_ANY, .choices = ottl_error_mode_names, .any_case = true,
     .doc = "When a condition cannot be evaluated: ignore logs it and goes on, silent goes on, propagate makes the policy an error."},
    KEY_STRS(struct ottl_settings, span, NULL, "Conditions on spans; any that holds for any span keeps the trace."),
    KEY_STRS(struct ottl_settings, spanevent, NULL, "Conditions on span events; any that holds for any event keeps the trace."),
    KEY_END,
};

/* Policies without settings; some write the empty block all the same. */
static const struct key no_keys[] = {KEY_END};
#define NO_SETTINGS(name_) \
    { .name = name_, .type = KEY_T_SECTION, .sub = no_keys, KEY_ANY, .doc = "Accepted; there is nothing to set." }

#define LEAF_ROWS \
    KEY_STR(struct leaf_settings, name, "", "Name of the policy, in metrics."), \
    KEY_STR(struct leaf_settings, type, "", "Policy type; its settings stand in the block of the same name."), \
    KEY_SECTION(struct leaf_settings, latency, latency_keys, "Keeps slow traces: from the first start to the last end."), \
    KEY_SECTION(struct leaf_settings, numeric_attribute, numeric_keys, "Keeps traces with an integer attribute in a range."), \
    KEY_SECTION(struct leaf_settings, probabilistic, probabilistic_keys, "Keeps a share of all traces, chosen by trace id."), \
    KEY_SECTION(struct leaf_settings, status_code, status_keys, "Keeps traces with a span of one of the status codes."), \
    KEY_SECTION(struct leaf_settings, string_attribute, string_keys, "Keeps traces with a string attribute of certain values."), \
    KEY_SECTION(struct leaf_settings, boolean_attribute, boolean_keys, "Keeps traces with a boolean attribute of one value."), \
    KEY_SECTION(struct leaf_settings, span_count, count_keys, "Keeps traces by their number of spans."), \
    KEY_SECTION(struct leaf_settings, rate_limiting, rate_keys, "Keeps so many spans per second, in whole traces, as they are decided."), \
    KEY_SECTION(struct leaf_settings, bytes_limiting, bytes_keys, "Keeps so many bytes per second, in whole traces, as they are decided."), \
    KEY_SECTION(struct leaf_settings, trace_state, state_keys, "Keeps traces with a span whose tracestate has a value under a key."), \
    KEY_SECTION(struct leaf_settings, ottl_condition, ottl_keys, "Keeps traces with a span or event that meets a condition."), \
    NO_SETTINGS("always_sample"), NO_SETTINGS("trace_flags")

static const struct key leaf_keys[] = {LEAF_ROWS, KEY_END};

static const struct key not_keys[] = {
    KEY_SECTION(struct not_settings, not_sub_policy, leaf_keys, "The policy that is turned round."),
    KEY_END,
};

#define NOT_ROW KEY_SECTION(struct policy_settings, not, not_keys, "Keeps what its sub-policy would not keep.")

static const struct key sub_keys[] = {LEAF_ROWS, NOT_ROW, KEY_END};

static const struct key and_keys[] = {
    KEY_LIST(struct and_settings, and_sub_policy, struct policy_settings, sub_keys, "Policies that must all keep the trace."),
    KEY_END,
};

static const struct key drop_keys[] = {
    KEY_LIST(struct drop_settings, drop_sub_policy, struct policy_settings, sub_keys, "Policies that must all match for the trace to be dropped."),
    KEY_END,
};

/* `not`, `drop` and `composite` may not stand in a composite. */
static const struct key composite_sub_keys[] = {
    LEAF_ROWS,
    KEY_SECTION(struct policy_settings, and, and_keys, "Keeps traces that all its sub-policies keep."),
    KEY_END,
};

static const struct key allocation_keys[] = {
    KEY_STR(struct allocation_settings, policy, "", "Name of a sub-policy."),
    KEY_INT(struct allocation_settings, percent, "0", 1, 0, "Its part of max_total_spans_per_second."),
    KEY_END,
};

static const struct key composite_keys[] = {
    KEY_INT(struct composite_settings, max_total_spans_per_second, "0", 1, 0,
            "Most spans per second of each sub-policy; what rate_allocation shares out."),
    KEY_STRS(struct composite_settings, policy_order, NULL, "Accepted; sub-policies are asked in the order of composite_sub_policy, as in the Collector."),
    KEY_LIST(struct composite_settings, composite_sub_policy, struct policy_settings, composite_sub_keys,
             "Policies asked in turn; the first that keeps the trace decides, if its share of this second lasts."),
    KEY_LIST(struct composite_settings, rate_allocation, struct allocation_settings, allocation_keys,
             "Shares of the sub-policies; one that is not listed gets an equal share."),
    KEY_END,
};

static const struct key policy_keys[] = {
    LEAF_ROWS,
    NOT_ROW,
    KEY_SECTION(struct policy_settings, and, and_keys, "Keeps traces that all its sub-policies keep."),
    KEY_SECTION(struct policy_settings, drop, drop_keys, "Drops traces that all its sub-policies match, whatever the others say."),
    KEY_SECTION(struct policy_settings, composite, composite_keys, "Asks sub-policies in turn, each with its share of a rate."),
    KEY_END,
};

/* ---- the processor ---- */

static const struct key cache_keys[] = {
    KEY_INT(struct cache_settings, sampled_cache_size, "0", 1, 0, "Ids of kept traces to remember after they left the table; 0: none."),
    KEY_INT(struct cache_settings, non_sampled_cache_size, "0", 1, 0, "Ids of traces that were not kept to remember; 0: none."),
    KEY_END,
};

const struct key tail_keys[] = {
    KEY_DURATION(struct tail_settings, decision_wait, "30s", 1, 0,
                 "How long a trace is held after its first span; whole seconds count, at least one."),
    KEY_DURATION(struct tail_settings, decision_wait_after_root_received, "0s", 1, 0,
                 "Decide this long after the root span came, if that is sooner; 0: do not look at roots."),
    KEY_UINT(struct tail_settings, num_traces, "50000", 1, 0,
             "Traces kept track of, decided ones included; past this decided traces are forgotten, then the oldest decided early."),
    KEY_UINT(struct tail_settings, expected_new_traces_per_sec, "0", 1, 0, "Accepted; tables grow as needed."),
    KEY_LIST(struct tail_settings, policies, struct policy_settings, policy_keys,
             "What is kept: a trace that any policy keeps and no drop policy drops."),
    KEY_SECTION(struct tail_settings, decision_cache, cache_keys, "Remembering decisions for late spans."),
    KEY_BOOL(struct tail_settings, sample_on_first_match, "false", "Stop at the first policy that keeps the trace."),
    KEY_STR(struct tail_settings, sampling_strategy, "trace-complete",
            "trace-complete: policies judge a trace when its time has come; span-ingest: each request's spans of a trace as they come, and the first that is kept keeps the trace."),
    KEY_BOOL(struct tail_settings, drop_pending_traces_on_shutdown, "false",
             "Drop undecided traces at shutdown (counted) instead of deciding them with what is there."),
    {.name = "maximum_trace_size_bytes", .type = KEY_T_UINT, .unit = "bytes", .dflt = "0", KEY_ANY,
     .offset = KEY_AT(uint64_t, struct tail_settings, maximum_trace_size_bytes),
     .doc = "An undecided trace that grows past this is dropped at once (counted, reason too_large); 0: no bound."},
    {.name = "buffer_limit_mib", .type = KEY_T_UINT, .unit = "MiB", .dflt = "0", KEY_ANY,
     .offset = KEY_AT(uint64_t, struct tail_settings, buffer_limit_mib),
     .doc = "Memory for the spans of undecided traces; past this the oldest are decided early. 0: four fifths of the memory limit. Not a key of the Collector."},
    KEY_UINT(struct tail_settings, explain_decisions, "1000", 0, 16777216,
             "Decisions that tailrace explain and /debug/traces/ID can tell about, the last ones; 0: none. Not a key of the Collector."),
    KEY_EXTENSION(struct tail_settings, storage, EXT_STORAGE,
                  "Storage extension whose files keep what is held, and what was decided, over the end of the process; none: memory only. Not a key of the Collector."),
    KEY_UINT(struct tail_settings, num_shards, "1", 1, 0, "Accepted; traces are spread over the workers."),
    KEY_IGNORED("block_on_overflow", false,
                "Accepted; nothing is thrown away at num_traces that blocking would save: the oldest traces are decided early."),
    KEY_IGNORED("mutates_data", false, "Accepted; spans are always copied once."),
    KEY_NOT_YET("tail_storage", "An extension that stores the spans of undecided traces."),
    KEY_END,
};

uint64_t tail_share(uint64_t count, unsigned n_workers)
{
    return count / n_workers + (count % n_workers != 0);
}

/* ---- check ---- */

static void check_name(const struct tail_settings *s, size_t i, struct check *c)
{
    const struct policy_settings *p = s->policies.v;
    char path[64];

    snprintf(path, sizeof(path), "policies[%zu].name", i);
    if (!*p[i].leaf.name) {
        check_error(c, path, "policy name cannot be empty");
        return;
    }
    for (size_t k = 0; k < i; k++)
        if (strcmp(p[k].leaf.name, p[i].leaf.name) == 0) {
            check_error(c, path, "duplicate policy name \"%s\"", p[i].leaf.name);
            return;
        }
}

static bool is_type(const struct leaf_settings *s, const char *type)
{
    return strcmp(s->type, type) == 0;
}

/* What is legal but surely not meant. */
static void warn_leaf(const struct leaf_settings *s, const char *at, struct check *c)
{
    char path[160];
    double percent = s->probabilistic.sampling_percentage;
    const struct count_settings *n = &s->span_count;

    if (is_type(s, "latency") && s->latency.threshold_ms == 0 && s->latency.upper_threshold_ms == 0) {
        snprintf(path, sizeof(path), "%s.latency.threshold_ms", at);
        check_warn(c, path, "no threshold is set: every trace of 1 ms and more matches");
    }
    if (is_type(s, "probabilistic") && !isnan(percent) && (percent <= 0 || percent > 100)) {
        snprintf(path, sizeof(path), "%s.probabilistic.sampling_percentage", at);
        check_warn(c, path, "%g is %s", percent, percent > 100 ? "over 100: every trace matches" : "not above 0: no trace matches");
    }
    if (is_type(s, "rate_limiting") && s->rate_limiting.spans_per_second <= 0) {
        snprintf(path, sizeof(path), "%s.rate_limiting.spans_per_second", at);
        check_warn(c, path, "not above 0: nothing matches once the burst is spent");
    }
    if (is_type(s, "bytes_limiting") && s->bytes_limiting.bytes_per_second <= 0) {
        snprintf(path, sizeof(path), "%s.bytes_limiting.bytes_per_second", at);
        check_warn(c, path, "not above 0: nothing matches once the burst is spent");
    }
    if (is_type(s, "span_count") && n->max_spans != 0 && n->max_spans < n->min_spans) {
        snprintf(path, sizeof(path), "%s.span_count.max_spans", at);
        check_warn(c, path, "below min_spans: no trace matches");
    }
    if (is_type(s, "numeric_attribute") && s->numeric_attribute.max_value != 0 &&
        s->numeric_attribute.min_value > s->numeric_attribute.max_value) {
        snprintf(path, sizeof(path), "%s.numeric_attribute.max_value", at);
        check_warn(c, path, "below min_value: nothing matches");
    }
}

static void warn_subs(const struct item_list *subs, const char *at, const char *empty, struct check *c)
{
    const struct policy_settings *s = subs->v;
    char path[128];

    if (subs->n == 0)
        check_warn(c, at, "%s", empty);
    for (size_t i = 0; i < subs->n; i++) {
        snprintf(path, sizeof(path), "%s[%zu]", at, i);
        warn_leaf(&s[i].leaf, path, c);
    }
}

static void warn_policy(const struct policy_settings *p, const char *at, struct check *c)
{
    char path[96];

    warn_leaf(&p->leaf, at, c);
    if (is_type(&p->leaf, "and")) {
        snprintf(path, sizeof(path), "%s.and.and_sub_policy", at);
        warn_subs(&p->and.and_sub_policy, path, "without sub-policies every trace is kept", c);
    } else if (is_type(&p->leaf, "drop")) {
        snprintf(path, sizeof(path), "%s.drop.drop_sub_policy", at);
        warn_subs(&p->drop.drop_sub_policy, path, "without sub-policies every trace is dropped", c);
    } else if (is_type(&p->leaf, "composite")) {
        snprintf(path, sizeof(path), "%s.composite.composite_sub_policy", at);
        warn_subs(&p->composite.composite_sub_policy, path, "without sub-policies nothing is kept", c);
    } else if (is_type(&p->leaf, "not")) {
        snprintf(path, sizeof(path), "%s.not.not_sub_policy", at);
        warn_leaf(&p->not.not_sub_policy, path, c);
    }
}

static void check_policy(const struct policy_settings *p, size_t i, struct check *c)
{
    struct policy_fault fault = {.path = ""};
    struct err err = {""};
    char at[32], path[160];

    snprintf(at, sizeof(at), "policies[%zu]", i);
    if (tail_policy_try(p, &fault, &err) == 0) {
        warn_policy(p, at, c);
        return;
    }
    snprintf(path, sizeof(path), "%s%s", at, fault.path);
    if (fault.unsupported)
        check_error(c, path, "%s", err.text);
    else
        check_error(c, path, "failed to create policy evaluator for \"%s\": %s", p->leaf.name, err.text);
}

static void check_policies(const struct tail_settings *s, struct check *c)
{
    const struct policy_settings *p = s->policies.v;
    size_t n_drop = 0;

    for (size_t i = 0; i < s->policies.n; i++) {
        check_name(s, i, c);
        check_policy(&p[i], i, c);
        n_drop += is_type(&p[i].leaf, "drop");
    }
    if (s->policies.n == n_drop)
        check_warn(c, "policies", "no policy keeps anything: every trace is sampled out");
}

static void check_strategy(const char *strategy, struct check *c)
{
    if (strcmp(strategy, "span-ingest") != 0 && strcmp(strategy, "trace-complete") != 0)
        check_error(c, "sampling_strategy",
                    "invalid sampling_strategy \"%s\", expected one of \"trace-complete\" or \"span-ingest\"",
                    strategy);
}

/* Needs policies that compile: what is wrong with others was said. */
static void check_stateless(const struct tail_settings *s, struct check *c)
{
    const struct policy_settings *entries = s->policies.v;
    struct err err = {""};
    struct tail_policies *p = strcmp(s->sampling_strategy, "span-ingest") == 0 ? tail_policies_new(s, &err) : NULL;
    char path[64];

    for (uint32_t i = 0; p && i < p->n_policies; i++)
        for (size_t k = 0; k < s->policies.n; k++)
            if (entries[k].leaf.name == p->policies[i].name && tail_policy_stateful(p, i)) {
                snprintf(path, sizeof(path), "policies[%zu]", k);
                check_error(c, path, "sampling_strategy \"span-ingest\" requires all policies to be stateless, but policy \"%s\" is stateful",
                            p->policies[i].name);
            }
    if (p && p->n_drop)
        check_warn(c, "policies", "with span-ingest a drop policy that does not drop keeps the others from being asked: nothing is kept");
    tail_policies_free(&p);
}

void tail_settings_check(const void *settings, struct check *c)
{
    const struct tail_settings *s = settings;

    if (s->num_shards > 256)
        check_error(c, "num_shards", "num_shards (%llu) must not exceed 256",
                    (unsigned long long)s->num_shards);
    check_strategy(s->sampling_strategy, c);
    if (s->storage && s->drop_pending_traces_on_shutdown)
        check_warn(c, "drop_pending_traces_on_shutdown", "with storage undecided traces stay on disk; only those that are not there are dropped");
    if (s->buffer_limit_mib > UINT64_MAX >> 20)
        check_error(c, "buffer_limit_mib", "%llu MiB is more than any machine has",
                    (unsigned long long)s->buffer_limit_mib);
    if (s->decision_wait_ns >= (int64_t)NS_PER_MS && s->decision_wait_ns % (int64_t)NS_PER_SEC)
        check_warn(c, "decision_wait", "only whole seconds count, at least one");
    check_policies(s, c);
    check_stateless(s, c);
}

/* ---- memory ---- */

static struct memory_term term(uint64_t bytes, const char *what, uint64_t n)
{
    struct memory_term t = {.bytes = bytes};

    snprintf(t.text, sizeof(t.text), "%s (%llu)", what, (unsigned long long)n);
    return t;
}

static uint64_t ids(int64_t size)
{
    return size > 0 ? (uint64_t)size : 0;
}

static uint64_t table_bytes(const struct tail_settings *s, const struct tail_policies *p, unsigned n_workers)
{
    return trace_table_bytes_for(tail_share(s->num_traces, n_workers), tail_facts_bytes(p)) * n_workers;
}

static size_t put_terms(const struct memory_term *all, size_t n_all, struct memory_term *terms, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < n_all && n < max; i++)
        if (all[i].bytes)
            terms[n++] = all[i];
    return n;
}

size_t tail_settings_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    const struct tail_settings *s = settings;
    struct err err;
    struct tail_policies *p = tail_policies_new(s, &err);
    uint64_t n_ids = ids(s->decision_cache.sampled_cache_size) + ids(s->decision_cache.non_sampled_cache_size);
    struct memory_term all[] = {
        term(p ? table_bytes(s, p, n_workers) : 0, "table of traces, by num_traces", s->num_traces),
        term(tail_cache_bytes_for(n_ids), "ids in decision_cache", n_ids),
        term(tail_wheel_bytes_for(s->decision_wait_ns) * n_workers, "timer wheels, one a worker", n_workers),
        term(p ? tail_explain_bytes_for(p, s->explain_decisions) : 0, "last decisions, by explain_decisions", s->explain_decisions),
        term(s->buffer_limit_mib << 20, "spans of undecided traces, by buffer_limit_mib", s->buffer_limit_mib),
    };

    tail_policies_free(&p);
    return put_terms(all, ARRAY_LEN(all), terms, max);
}

/* What gates make policies note of each trace. */
size_t tail_settings_gates_memory(const void *settings, unsigned n_workers, uint32_t gates, struct memory_term *terms, size_t max)
{
    const struct tail_settings *s = settings;
    struct err err;
    struct tail_policies *p = tail_policies_new(s, &err);

    if (!p)
        return 0;
    uint64_t table = table_bytes(s, p, n_workers), explained = tail_explain_bytes_for(p, s->explain_decisions);
    tail_policies_set_gates(p, gates);
    struct memory_term all[] = {
        term(table_bytes(s, p, n_workers) - table, "what feature gates note of traces, by num_traces", s->num_traces),
        term(tail_explain_bytes_for(p, s->explain_decisions) - explained, "the same, by explain_decisions", s->explain_decisions),
    };
    tail_policies_free(&p);
    return put_terms(all, ARRAY_LEN(all), terms, max);
}
