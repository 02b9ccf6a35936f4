/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up keys of a map while it is made anew, in constant time however many there are: few are
 * compared one by one, many get a hash table in the map's memory. One worker. */
#ifndef TAILRACE_OTTL_KEY_INDEX_H
#define TAILRACE_OTTL_KEY_INDEX_H

#include "ottl/draft.h"

struct key_index {
    struct ottl_eval *e;
    struct attr_map *m;
    uint32_t *slots; /* position + 1; NULL while there are few */
    size_t mask, n;  /* n: of entries, from the first on */
    bool repeats;    /* a key was there twice */
};

/* Of the map's first n entries. False: no room, the error is set. */
bool key_index_of(struct key_index *x, struct ottl_eval *e, struct attr_map *m, size_t n) MUST_USE;
/* First entry with the key; NULL: none. */
struct attr_entry *key_index_find(const struct key_index *x, struct slice key);
/* Takes in entry number x->n of the map. */
bool key_index_more(struct key_index *x) MUST_USE;
/* Sets the entry's value, or appends it, as attr_map_put does. */
bool key_index_put(struct key_index *x, struct slice key, struct slice value) MUST_USE;

#endif
