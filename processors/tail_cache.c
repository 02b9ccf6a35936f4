/* SPDX-License-Identifier: Apache-2.0 */
/* Decision caches: see tail_cache.h. */
#include "processors/tail_cache.h"

#include <stdlib.h>
#include <string.h>

#include "platform/hash.h"

enum { FIRST_IDS = 255, MAX_IDS = 1 << 30 };

struct cached_id {
    uint64_t key;
    uint32_t chain;        /* next in the same slot */
    uint32_t older, newer; /* by use */
    uint32_t note;
};

static uint32_t slots_for(uint32_t ids)
{
    uint32_t n = 64;

    while (n < ids)
        n *= 2;
    return n;
}

static uint64_t bytes_of(uint32_t ids)
{
    return (ids + 1ull) * sizeof(struct cached_id) + slots_for(ids) * sizeof(uint32_t);
}

uint64_t tail_cache_bytes_for(uint64_t max_ids)
{
    return max_ids == 0 ? 0 : bytes_of(max_ids > MAX_IDS ? MAX_IDS : (uint32_t)max_ids);
}

void tail_cache_init(struct tail_cache *c, struct budget *b, uint64_t max_ids)
{
    *c = (struct tail_cache){.budget = b, .max = max_ids > MAX_IDS ? MAX_IDS : (uint32_t)max_ids};
}

void tail_cache_fini(struct tail_cache *c)
{
    free(c->ids);
    free(c->slots);
    if (c->cap)
        budget_release(c->budget, MEM_TAIL, bytes_of(c->cap));
    *c = (struct tail_cache){.budget = c->budget};
}

static uint64_t key_of(const uint8_t id[static 16])
{
    uint64_t key;

    memcpy(&key, id + 8, sizeof(key));
    return key;
}

static uint32_t *slot_of(const struct tail_cache *c, uint64_t key)
{
    return &c->slots[hash_bytes(&key, sizeof(key)) & (c->n_slots - 1)];
}

static uint32_t find(const struct tail_cache *c, uint64_t key)
{
    uint32_t i = c->n ? *slot_of(c, key) : 0;

    while (i && c->ids[i].key != key)
        i = c->ids[i].chain;
    return i;
}

/* ---- order of use ---- */

static void use_add(struct tail_cache *c, uint32_t i)
{
    c->ids[i].older = c->newest;
    c->ids[i].newer = 0;
    if (c->newest)
        c->ids[c->newest].newer = i;
    else
        c->oldest = i;
    c->newest = i;
}

static void use_del(struct tail_cache *c, uint32_t i)
{
    const struct cached_id *id = &c->ids[i];

    if (id->older)
        c->ids[id->older].newer = id->newer;
    else
        c->oldest = id->newer;
    if (id->newer)
        c->ids[id->newer].older = id->older;
    else
        c->newest = id->older;
}

/* ---- growing, putting ---- */

static void rebuild_slots(struct tail_cache *c)
{
    for (uint32_t i = 1; i <= c->n; i++) {
        uint32_t *slot = slot_of(c, c->ids[i].key);

        c->ids[i].chain = *slot;
        *slot = i;
    }
}

/* Room for more ids; stays as it is when that may not be. */
static void grow(struct tail_cache *c)
{
    uint32_t cap = c->cap ? c->cap * 2 : FIRST_IDS;

    if (cap > c->max)
        cap = c->max;
    if (!budget_charge(c->budget, MEM_TAIL, bytes_of(cap)))
        return;
    struct cached_id *ids = mem_try((cap + 1ull) * sizeof(*ids));
    uint32_t *slots = calloc(slots_for(cap), sizeof(*slots));
    if (!ids || !slots) {
        free(ids);
        free(slots);
        budget_release(c->budget, MEM_TAIL, bytes_of(cap));
        return;
    }
    if (c->cap) {
        memcpy(ids, c->ids, (c->n + 1ull) * sizeof(*ids));
        budget_release(c->budget, MEM_TAIL, bytes_of(c->cap));
    }
    free(c->ids);
    free(c->slots);
    c->ids = ids;
    c->slots = slots;
    c->cap = cap;
    c->n_slots = slots_for(cap);
    rebuild_slots(c);
}

static void chain_del(struct tail_cache *c, uint32_t i)
{
    uint32_t *at = slot_of(c, c->ids[i].key);

    while (*at != i)
        at = &c->ids[*at].chain;
    *at = c->ids[i].chain;
}

/* A place for a new id: a fresh one, or the oldest's; 0 when there is no memory for any. */
static uint32_t place_take(struct tail_cache *c)
{
    if (c->n == c->cap && c->cap < c->max)
        grow(c);
    if (c->n < c->cap)
        return ++c->n;
    uint32_t i = c->oldest;
    if (i) {
        chain_del(c, i);
        use_del(c, i);
    }
    return i;
}

bool tail_cache_put(struct tail_cache *c, const uint8_t id[static 16])
{
    if (!c->max || tail_cache_hit(c, id))
        return c->max;
    uint64_t key = key_of(id);
    uint32_t i = place_take(c);
    if (!i)
        return false;
    uint32_t *slot = slot_of(c, key);
    c->ids[i] = (struct cached_id){.key = key, .chain = *slot};
    *slot = i;
    use_add(c, i);
    return true;
}

void tail_cache_set_note(struct tail_cache *c, uint32_t note)
{
    c->ids[c->newest].note = note;
}

uint32_t tail_cache_note(const struct tail_cache *c)
{
    return c->ids[c->newest].note;
}

bool tail_cache_hit(struct tail_cache *c, const uint8_t id[static 16])
{
    uint32_t i = find(c, key_of(id));

    if (!i)
        return false;
    if (i != c->newest) {
        use_del(c, i);
        use_add(c, i);
    }
    return true;
}

bool tail_cache_knows(const struct tail_cache *c, const uint8_t id[static 16], uint32_t *note)
{
    uint32_t i = find(c, key_of(id));

    *note = i ? c->ids[i].note : 0;
    return i != 0;
}

void tail_cache_take(struct tail_cache *c, struct tail_cache *from, const uint32_t *notes)
{
    for (uint32_t i = 1; i <= from->n; i++)
        from->ids[i].note = notes[from->ids[i].note];
    if (c->max == from->max) {
        struct tail_cache empty = *c;

        *c = *from;
        *from = empty;
        return;
    }
    for (uint32_t i = from->oldest; i; i = from->ids[i].newer) {
        uint8_t id[16] = {0};

        memcpy(id + 8, &from->ids[i].key, sizeof(from->ids[i].key));
        if (tail_cache_put(c, id))
            tail_cache_set_note(c, from->ids[i].note);
    }
    tail_cache_fini(from);
}
