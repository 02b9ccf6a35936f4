/* SPDX-License-Identifier: Apache-2.0 */
/* Maps with unique keys. See map_build.h. One thread. */
#include "ottl/map_build.h"

#include <stdlib.h>

#include "ottl/value.h"
#include "platform/hash.h"
#include "platform/mem.h"

#define FEW 16

static struct slice body(const struct map_build *m)
{
    return m->out->len > m->start ? slice_of(m->out->p + m->start, m->out->len - m->start)
                                  : (struct slice){0};
}

/* The entry that begins `offset` behind the map's start. */
static struct attr entry_at(const struct map_build *m, size_t offset)
{
    struct slice s = body(m);
    struct attr_iter it = attr_iter(slice_of(s.p + offset, s.len - offset), OTTL_MAP_FIELD);
    struct attr a;
    bool found = attr_next(&it, &a);

    CHECK(found);
    return a;
}

/* Where the key's entry is noted, or is to be. */
static uint32_t *slot_of(const struct map_build *m, struct slice key)
{
    uint32_t i = (uint32_t)hash_bytes(key.p, key.len) & (m->n_slots - 1);

    while (m->slots[i] && !slice_eq(entry_at(m, m->slots[i] - 1).key, key))
        i = (i + 1) & (m->n_slots - 1);
    return &m->slots[i];
}

/* A table of twice the size with all entries; of a key the last one. */
static int grow(struct map_build *m)
{
    uint32_t n_slots = m->n_slots ? 2 * m->n_slots : 4 * FEW;
    uint32_t *slots = mem_try(n_slots * sizeof(*slots));
    struct attr_iter it = attr_iter(body(m), OTTL_MAP_FIELD);
    struct attr a;

    if (!slots)
        return -1;
    memset(slots, 0, n_slots * sizeof(*slots));
    free(m->slots);
    m->slots = slots;
    m->n_slots = n_slots;
    while (attr_next(&it, &a))
        *slot_of(m, a.key) = (uint32_t)(a.rec.p - body(m).p) + 1;
    return 0;
}

/* Among few: the earlier entry goes at once. */
static void forget(struct map_build *m, struct slice key)
{
    struct attr a;
    size_t at;

    if (!attr_find(body(m), OTTL_MAP_FIELD, key, &a))
        return;
    at = (size_t)(a.rec.p - m->out->p);
    memmove(m->out->p + at, m->out->p + at + a.rec.len, m->out->len - at - a.rec.len);
    m->out->len -= a.rec.len;
    m->n--;
}

int map_put(struct map_build *m, struct slice key, const struct any *value)
{
    size_t at = m->out->len - m->start;
    uint32_t *slot;

    if (m->n < FEW && !m->slots) {
        forget(m, key);
        m->n++;
        return attr_put(m->out, OTTL_MAP_FIELD, key, value);
    }
    if (2 * (m->n + 1) > m->n_slots && grow(m))
        return -1;
    slot = slot_of(m, key);
    m->repeated |= *slot != 0;
    m->n += *slot == 0;
    *slot = (uint32_t)at + 1;
    return attr_put(m->out, OTTL_MAP_FIELD, key, value);
}

static int by_offset(const void *x, const void *y)
{
    const uint32_t *a = (const uint32_t *)x, *b = (const uint32_t *)y;

    return (*a > *b) - (*a < *b);
}

/* Closes the gaps that replaced entries leave: those in the table move together, in their order. */
static void drop_replaced(struct map_build *m)
{
    size_t to = m->start;
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_slots; i++)
        if (m->slots[i])
            m->slots[n++] = m->slots[i];
    qsort(m->slots, n, sizeof(*m->slots), by_offset);
    for (uint32_t i = 0; i < n; i++) {
        struct attr a = entry_at(m, m->slots[i] - 1);

        memmove(m->out->p + to, a.rec.p, a.rec.len);
        to += a.rec.len;
    }
    m->out->len = to;
}

void map_finish(struct map_build *m)
{
    if (m->repeated)
        drop_replaced(m);
    free(m->slots);
    m->slots = NULL;
}
