/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of entries: see entry_pool.h. */
#include "processors/entry_pool.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_ENTRIES = 256 };

static size_t chunk_bytes(const struct entry_pool *p)
{
    return sizeof(struct entry_chunk) + (size_t)CHUNK_ENTRIES * p->entry_bytes;
}

void entry_pool_init(struct entry_pool *p, struct budget *b, size_t entry_bytes)
{
    *p = (struct entry_pool){.budget = b, .entry_bytes = (uint32_t)entry_bytes};
}

/* ---- chunks with a free entry ---- */

static void open_add(struct entry_pool *p, uint32_t c)
{
    struct entry_chunk *chunk = p->chunks[c];

    chunk->open_prev = 0;
    chunk->open_next = p->open;
    if (p->open)
        p->chunks[p->open - 1]->open_prev = c + 1;
    p->open = c + 1;
}

static void open_del(struct entry_pool *p, uint32_t c)
{
    struct entry_chunk *chunk = p->chunks[c];

    if (chunk->open_prev)
        p->chunks[chunk->open_prev - 1]->open_next = chunk->open_next;
    else
        p->open = chunk->open_next;
    if (chunk->open_next)
        p->chunks[chunk->open_next - 1]->open_prev = chunk->open_prev;
}

/* ---- chunks ---- */

static void chunk_release(struct entry_pool *p, uint32_t c)
{
    free(p->chunks[c]);
    p->chunks[c] = NULL;
    p->n_holes++;
    budget_release(p->budget, MEM_TAIL, chunk_bytes(p));
    p->n_free -= CHUNK_ENTRIES;
}

void entry_pool_fini(struct entry_pool *p)
{
    for (uint32_t c = 0; c < p->n_chunks; c++)
        if (p->chunks[c])
            chunk_release(p, c);
    free(p->chunks);
    *p = (struct entry_pool){.budget = p->budget, .entry_bytes = p->entry_bytes};
}

/* The index of a chunk that is not there, with room for it in the array. */
static uint32_t chunk_number(struct entry_pool *p)
{
    for (uint32_t c = 0; p->n_holes; c++)
        if (!p->chunks[c]) {
            p->n_holes--;
            return c;
        }
    if (p->n_chunks == p->cap_chunks) {
        p->cap_chunks = p->cap_chunks ? p->cap_chunks * 2 : 16;
        p->chunks = mem_grow(p->chunks, p->cap_chunks * sizeof(struct entry_chunk *));
    }
    p->chunks[p->n_chunks] = NULL;
    return p->n_chunks++;
}

static void *entry_of(const struct entry_pool *p, struct entry_chunk *c, uint32_t i)
{
    return c->entries + (size_t)i * p->entry_bytes;
}

static void free_push(const struct entry_pool *p, struct entry_chunk *c, uint32_t i)
{
    memcpy(entry_of(p, c, i), &c->free_head, sizeof(c->free_head));
    c->free_head = i + 1;
}

static void chunk_add(struct entry_pool *p, struct entry_chunk *c)
{
    uint32_t n = chunk_number(p);
    *c = (struct entry_chunk){0};
    /* Index 0 means "none", so the first entry of the first chunk is never handed out. */
    for (uint32_t i = CHUNK_ENTRIES; i-- > (n == 0 ? 1 : 0);)
        free_push(p, c, i);
    p->chunks[n] = c;
    open_add(p, n);
    p->n_free += CHUNK_ENTRIES;
}

int entry_pool_reserve(struct entry_pool *p, bool force)
{
    if (p->open)
        return 0;
    if (force)
        budget_force(p->budget, MEM_TAIL, chunk_bytes(p));
    else if (!budget_charge(p->budget, MEM_TAIL, chunk_bytes(p)))
        return -1;
    struct entry_chunk *c = mem_try(chunk_bytes(p));
    if (c)
        chunk_add(p, c);
    else
        budget_release(p->budget, MEM_TAIL, chunk_bytes(p));
    return c ? 0 : -1;
}

void entry_pool_ensure(struct entry_pool *p)
{
    if (p->open)
        return;
    budget_force(p->budget, MEM_TAIL, chunk_bytes(p));
    chunk_add(p, mem_alloc(chunk_bytes(p)));
}

/* ---- entries ---- */

uint32_t entry_take(struct entry_pool *p)
{
    CHECK(p->open);
    uint32_t n = p->open - 1;
    struct entry_chunk *c = p->chunks[n];
    uint32_t i = c->free_head - 1;
    uint8_t *e = entry_of(p, c, i);

    memcpy(&c->free_head, e, sizeof(c->free_head));
    c->n_used++;
    p->n_free--;
    if (!c->free_head)
        open_del(p, n);
    memset(e, 0, p->entry_bytes);
    return n * CHUNK_ENTRIES + i;
}

void entry_give(struct entry_pool *p, uint32_t index)
{
    uint32_t n = index / CHUNK_ENTRIES;
    struct entry_chunk *c = p->chunks[n];

    if (!c->free_head)
        open_add(p, n);
    free_push(p, c, index % CHUNK_ENTRIES);
    p->n_free++;
    if (--c->n_used == 0 && p->n_free >= 3ull * CHUNK_ENTRIES) {
        open_del(p, n);
        chunk_release(p, n);
    }
}

/* ---- another size ---- */

/* The entries that are free keep their chain: it stands in the head. */
static struct entry_chunk *chunk_refit(const struct entry_pool *p, const struct entry_chunk *old,
                                       size_t old_entry_bytes, size_t head_bytes,
                                       struct entry_carry carry)
{
    struct entry_chunk *c = mem_alloc(chunk_bytes(p));

    memcpy(c, old, offsetof(struct entry_chunk, entries));
    for (uint32_t i = 0; i < CHUNK_ENTRIES; i++) {
        const uint8_t *from = old->entries + i * old_entry_bytes;
        uint8_t *to = entry_of(p, c, i);

        memcpy(to, from, head_bytes);
        memcpy(to + head_bytes + carry.to, from + head_bytes + carry.from, carry.bytes);
    }
    return c;
}

void entry_pool_refit(struct entry_pool *p, size_t entry_bytes, size_t head_bytes,
                      struct entry_carry carry)
{
    size_t bytes_before = chunk_bytes(p), entry_before = p->entry_bytes;

    p->entry_bytes = (uint32_t)entry_bytes;
    for (uint32_t c = 0; c < p->n_chunks; c++) {
        struct entry_chunk *old = p->chunks[c];

        if (!old)
            continue;
        budget_force(p->budget, MEM_TAIL, chunk_bytes(p));
        p->chunks[c] = chunk_refit(p, old, entry_before, head_bytes, carry);
        free(old);
        budget_release(p->budget, MEM_TAIL, bytes_before);
    }
}
