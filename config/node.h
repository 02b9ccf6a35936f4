/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: a configuration as a tree whose every part knows where it was written. Built by yaml.c,
 * merged and expanded by resolve.c, read by decode.c and load.c. Nodes are immutable once built and
 * may be shared (aliases); they live in the arena of the load.
 */
#ifndef TAILRACE_CONFIG_NODE_H
#define TAILRACE_CONFIG_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/mem.h"

struct pos {
    const char *file;   /* "collector.yaml", "--set batch.timeout=5"; NULL: nowhere */
    uint32_t line, col; /* from 1; line 0: the file as a whole */
    const char *via;    /* the substitution a value came from: "${env:PORT}"; NULL: none */
};

enum node_type {
    NODE_NULL,
    NODE_BOOL,
    NODE_INT,
    NODE_FLOAT,
    NODE_TIME,
    NODE_STR,
    NODE_SEQ,
    NODE_MAP,
    NODE_BAD /* could not be resolved, which was reported: whatever it is, it is not wrong again */
};

struct node;
struct entry {
    const char *key;
    struct pos at; /* of the key */
    const struct node *value;
};

struct node {
    enum node_type type;
    struct pos at;
    const char *text; /* scalars: as written, without quotes; else NULL */
    const char *raw;  /* a value that is one whole substitution: its source text, which is what a
                         string field gets; else NULL */
    bool big;         /* INT: above INT64_MAX, see u */
    int64_t i;        /* INT; BOOL: 0 or 1 */
    uint64_t u;       /* INT, never negative ones */
    double d;         /* FLOAT */
    size_t n;
    const struct node *const *items; /* SEQ */
    const struct entry *entries;     /* MAP, in file order */
    size_t weight;                   /* nodes in here, aliases counted as often as they stand */
    unsigned depth;                  /* levels below this one */
};

#define NODE_MAX_DEPTH  100
#define NODE_MAX_WEIGHT 200000
#define NODE_MAX_KEYS   10000 /* of one map */

const char *node_type_name(const struct node *n); /* "a string", "a list", ... */

/* The entry of this key in a map; NULL when absent, or when n is not a map. */
const struct entry *node_find(const struct node *n, const char *key);

struct node *node_new(struct arena *a, enum node_type type, struct pos at);
/* A map or list of these parts, which are copied. NULL when it would be too deep or too heavy. */
struct node *node_map(struct arena *a, struct pos at, const struct entry *entries, size_t n);
struct node *node_seq(struct arena *a, struct pos at, const struct node *const *items, size_t n);

#endif
