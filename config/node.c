/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: see node.h. Pure; any thread. */
#include "config/node.h"

#include <string.h>

const char *node_type_name(const struct node *n)
{
    static const char *const names[] = {
        [NODE_NULL] = "null",      [NODE_BOOL] = "a boolean", [NODE_INT] = "an integer",
        [NODE_FLOAT] = "a number", [NODE_TIME] = "a date",    [NODE_STR] = "a string",
        [NODE_SEQ] = "a list",     [NODE_MAP] = "a map",      [NODE_BAD] = "nothing",
    };
    return names[n->type];
}

const struct entry *node_find(const struct node *n, const char *key)
{
    if (!n || n->type != NODE_MAP)
        return NULL;
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->entries[i].key, key) == 0)
            return &n->entries[i];
    return NULL;
}

struct node *node_new(struct arena *a, enum node_type type, struct pos at)
{
    struct node *n = arena_alloc(a, sizeof(*n));
    n->type = type;
    n->at = at;
    n->weight = 1;
    return n;
}

static bool grow_by(struct node *n, const struct node *child)
{
    n->weight += child->weight;
    if (child->depth >= n->depth)
        n->depth = child->depth + 1;
    return n->weight <= NODE_MAX_WEIGHT && n->depth <= NODE_MAX_DEPTH;
}

struct node *node_map(struct arena *a, struct pos at, const struct entry *entries, size_t count)
{
    struct node *n = node_new(a, NODE_MAP, at);
    struct entry *copy = arena_alloc(a, (count + 1) * sizeof(*copy));
    if (count)
        memcpy(copy, entries, count * sizeof(*copy));
    n->entries = copy;
    n->n = count;
    for (size_t i = 0; i < count; i++)
        if (!grow_by(n, entries[i].value))
            return NULL;
    return n;
}

struct node *node_seq(struct arena *a, struct pos at, const struct node *const *items, size_t count)
{
    struct node *n = node_new(a, NODE_SEQ, at);
    const struct node **copy = arena_alloc(a, (count + 1) * sizeof(*copy));
    if (count)
        memcpy(copy, items, count * sizeof(*copy));
    n->items = copy;
    n->n = count;
    for (size_t i = 0; i < count; i++)
        if (!grow_by(n, items[i]))
            return NULL;
    return n;
}
