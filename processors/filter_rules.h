/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What filter drops: its settings, their rules, the compiled form. Immutable after the build,
 * shared by all workers.
 */
#ifndef TAILRACE_PROCESSORS_FILTER_RULES_H
#define TAILRACE_PROCESSORS_FILTER_RULES_H

#include "component/component.h"
#include "ottl/ottl.h"
#include "processors/span_match.h"

struct filter_traces {
    struct str_list resource, span, spanevent;
};
struct filter_spans {
    struct match_settings include, exclude;
    bool include_enabled, exclude_enabled;
};
struct filter_settings {
    const char *error_mode;
    struct filter_traces traces;
    struct value trace_conditions;
    struct filter_spans spans;
};

extern const struct key filter_keys[];
void filter_check(const void *settings, struct check *c);

/* Conditions that are tried one after the other on one kind of thing; the first that holds drops
 * it. */
struct filter_stage {
    enum ottl_context context;
    enum ottl_error_mode mode;
    const unsigned *conditions;
    size_t n;
};

struct filter_rules {
    struct arena *arena;
    struct ottl_program *program;
    struct filter_stage *stages; /* in the order they work */
    size_t n_stages;
    struct match *include, *exclude; /* NULL: none */
};

/* The settings have passed filter_check. */
struct filter_rules *filter_rules_new(const struct filter_settings *s, struct err *err) MUST_USE;
void filter_rules_free(struct filter_rules **r); /* fine on NULL */

#endif
