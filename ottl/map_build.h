/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps with unique keys, built record by record into a buffer: {key: value} replaces an earlier
 * entry of the key. Few entries are compared one by one; with more a table of keys is kept, so that
 * time stays in proportion to the input whatever it is.
 *
 *   struct map_build m = map_build(&out);
 *   ... map_put(&m, key, &value) ...
 *   map_finish(&m);          also after a failure
 */
#ifndef TAILRACE_OTTL_MAP_BUILD_H
#define TAILRACE_OTTL_MAP_BUILD_H

#include "model/attr.h"

struct map_build {
    struct buf *out;
    size_t start;    /* of the map in out */
    uint32_t *slots; /* offsets from start, plus 1; 0: free. NULL while there are few entries */
    uint32_t n_slots, n;
    bool repeated; /* entries are there that a later one replaces */
};

static inline struct map_build map_build(struct buf *out)
{
    return (struct map_build){.out = out, .start = out->len};
}

/* -1: too long, or no memory. */
int map_put(struct map_build *m, struct slice key, const struct any *value) MUST_USE;
void map_finish(struct map_build *m);

#endif
