/* SPDX-License-Identifier: Apache-2.0 */
/* All --config and --set arguments to one tree: fetched, merged, substituted. One thread. */
#ifndef TAILRACE_CONFIG_RESOLVE_H
#define TAILRACE_CONFIG_RESOLVE_H

#include "config/diag.h"
#include "config/node.h"

/* What the command line says about the configuration. Strings are borrowed. */
struct config_args {
    const char *const *uris; /* --config, in order: a path, file:, env:, yaml: */
    size_t n_uris;
    const char *const *sets; /* --set, in order: "a.b=value" */
    size_t n_sets;
};

/*
 * The whole configuration. Parts that could not be resolved are NODE_BAD and stand in d.
 * NULL: a document could not be read at all, so looking further would only mislead.
 */
const struct node *resolve_config(struct arena *a, const struct config_args *args,
                                  struct diags *d) MUST_USE;

#endif
