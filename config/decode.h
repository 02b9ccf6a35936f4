/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of nodes into settings structs, guided by key rows (component/key.h). One thread. */
#ifndef TAILRACE_CONFIG_DECODE_H
#define TAILRACE_CONFIG_DECODE_H

#include "component/key.h"
#include "config/diag.h"
#include "config/node.h"

struct decoder {
    struct arena *arena; /* of the settings: the plan's */
    struct diags *diags;
    struct arena *scratch; /* for what ends with the load; NULL: the other one */
    const struct key *whole; /* the component's whole table, to find misplaced keys; may be NULL */
};

/* Where in the configuration we are: a chain up the stack. */
struct path {
    const struct path *up;
    const char *name; /* NULL: an element of a list */
    size_t index;
};
const char *path_text(struct arena *a, const struct path *p);

/*
 * Fills the struct at `to` (zeroed memory): defaults, then what n says. n NULL or null: defaults
 * only. at: the place to name when something is missing. Whatever is wrong goes to the diags, and
 * the field keeps its default.
 */
void decode_struct(const struct decoder *d, const struct path *path, struct pos at,
                   const struct key *keys, const struct node *n, void *to);

/* Any node as a plain value. */
struct value decode_any(const struct decoder *d, const struct node *n);

/* The string a string field gets from n: false when n is not a string. A null is "". */
bool decode_string(const struct node *n, const char **s);

/* The row of this name (or old name); NULL: none. */
const struct key *key_find(const struct key *keys, const char *name);

#endif
