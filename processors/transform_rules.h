/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What transform does: its settings, their rules, the compiled form. Immutable after the build,
 * shared by all workers.
 */
#ifndef TAILRACE_PROCESSORS_TRANSFORM_RULES_H
#define TAILRACE_PROCESSORS_TRANSFORM_RULES_H

#include "component/component.h"
#include "ottl/ottl.h"

struct transform_settings {
    const char *error_mode;
    struct value trace_statements;
    bool flatten_data;
};

extern const struct key transform_keys[];
void transform_check(const void *settings, struct check *c);

/* Statements on one kind of thing, one after the other, where any condition holds or there is none.
 */
struct transform_group {
    enum ottl_context context;
    enum ottl_error_mode mode;
    const unsigned *conditions, *statements; /* numbers in the program */
    size_t n_conditions, n_statements;
};

/*
 * Groups that go over the batch together: each thing goes through all of them before the next one.
 * That is the same as group by group when none of them writes to what several spans share, so
 * groups on spans and events that write to those alone are one pass; any other group is one by
 * itself.
 */
struct transform_pass {
    const struct transform_group *groups;
    size_t n;
    enum ottl_context context; /* resource, scope, or span (and its events) */
};

struct transform_rules {
    struct arena *arena;
    struct ottl_program *program;
    struct transform_group *groups; /* in the order they work */
    struct transform_pass *passes;
    size_t n_groups, n_passes;
};

/* The settings have passed transform_check. */
struct transform_rules *transform_rules_new(const struct transform_settings *s,
                                            struct err *err) MUST_USE;
void transform_rules_free(struct transform_rules **r); /* fine on NULL */

/* Does the pass look at, or write to, resources or scopes? */
bool transform_reads_shared(const struct transform_rules *r, const struct transform_pass *p);
bool transform_writes_shared(const struct transform_rules *r, const struct transform_pass *p);

#endif
