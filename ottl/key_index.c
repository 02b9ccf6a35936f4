/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a map by hash. See key_index.h. */
#include "ottl/key_index.h"

#include "platform/hash.h"

#define FEW 32

static size_t slot_of(const struct key_index *x, struct slice key)
{
    size_t at = hash_bytes(key.p, key.len) & x->mask;

    while (x->slots[at] && !slice_eq(x->m->v[x->slots[at] - 1].key, key))
        at = (at + 1) & x->mask;
    return at;
}

/* A table for twice as many as there are. */
static bool grow(struct key_index *x)
{
    size_t size = 4 * FEW;

    while (size < 4 * x->n)
        size *= 2;
    x->slots = (uint32_t *)(void *)draft_room(x->e, x->m, size * sizeof(*x->slots));
    if (!x->slots)
        return false;
    memset(x->slots, 0, size * sizeof(*x->slots));
    x->mask = size - 1;
    for (size_t i = 0; i < x->n; i++) {
        size_t at = slot_of(x, x->m->v[i].key);

        if (!x->slots[at])
            x->slots[at] = (uint32_t)i + 1;
    }
    return true;
}

struct attr_entry *key_index_find(const struct key_index *x, struct slice key)
{
    if (x->slots) {
        uint32_t at = x->slots[slot_of(x, key)];

        return at ? &x->m->v[at - 1] : NULL;
    }
    for (size_t i = 0; i < x->n; i++)
        if (slice_eq(x->m->v[i].key, key))
            return &x->m->v[i];
    return NULL;
}

bool key_index_more(struct key_index *x)
{
    struct slice key = x->m->v[x->n].key;
    size_t at;

    if (!x->slots) {
        x->repeats |= key_index_find(x, key) != NULL;
        x->n++;
        return x->n <= FEW || grow(x);
    }
    at = slot_of(x, key);
    if (x->slots[at])
        x->repeats = true;
    else
        x->slots[at] = (uint32_t)x->n + 1;
    x->n++;
    return 2 * x->n <= x->mask || grow(x);
}

bool key_index_of(struct key_index *x, struct ottl_eval *e, struct attr_map *m, size_t n)
{
    *x = (struct key_index){.e = e, .m = m};
    while (x->n < n)
        if (!key_index_more(x))
            return false;
    return true;
}

bool key_index_put(struct key_index *x, struct slice key, struct slice value)
{
    struct attr_entry *at = key_index_find(x, key);

    if (at) {
        attr_map_set(x->m, at, value);
        return true;
    }
    attr_map_append(x->m, key, value);
    return map_fine(x->e, x->m) && key_index_more(x);
}
