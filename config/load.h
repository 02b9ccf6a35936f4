/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: the command line's configuration to a checked plan. `validate`, start and reload all
 * call this and nothing else. One thread; opens only the named files.
 */
#ifndef TAILRACE_CONFIG_LOAD_H
#define TAILRACE_CONFIG_LOAD_H

#include "config/diag.h"
#include "config/resolve.h"
#include "pipeline/plan.h"

struct load_options {
    struct config_args args;
    const struct component_type *const *types; /* NULL: the registry */
    size_t n_types;
    uint64_t total_bytes; /* what the process may use; 0: mem_total_bytes() */
    const char *instance_id; /* of the process, where the file names none; NULL: a new one */
    bool keep_faulty;     /* return the plan in spite of errors (print-config --validate=false) */
};

/* The plan (plan_free it), or NULL when there are errors. Warnings may stand in d either way. */
struct plan *config_load(const struct load_options *o, struct diags *d) MUST_USE;

/* Without a memory_limiter: the share of total memory at which receivers refuse, and the ceiling.
 */
#define LOAD_SOFT_PERCENT  70
#define LOAD_LIMIT_PERCENT 80

#endif
