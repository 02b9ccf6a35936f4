/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of one size, named by an index (never 0) for their life: in chunks of 256, so that a
 * large pool grows without being copied and gives back what empties.
 *
 * Memory: charged as MEM_TAIL. Threads: one. Limit: 2^32 - 256 entries.
 */
#ifndef TAILRACE_PROCESSORS_ENTRY_POOL_H
#define TAILRACE_PROCESSORS_ENTRY_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/mem.h"

struct entry_chunk {
    uint32_t n_used;
    uint32_t free_head; /* index within the chunk + 1, chained through the entries' first bytes; 0:
                           none */
    uint32_t open_prev, open_next; /* among the chunks with a free entry; number + 1 */
    _Alignas(8) uint8_t entries[];
};

struct entry_pool {
    struct budget *budget;
    struct entry_chunk **chunks; /* by index / 256; NULL: not there */
    uint32_t n_chunks, cap_chunks,
        n_holes;          /* holes: numbers below n_chunks of chunks that are not there */
    uint32_t entry_bytes; /* a multiple of what an entry is aligned to, 8 at most */
    uint32_t open;        /* first chunk with a free entry, + 1; 0: none */
    uint64_t n_free;      /* entries free in all chunks */
};

void entry_pool_init(struct entry_pool *p, struct budget *b, size_t entry_bytes);
void entry_pool_fini(struct entry_pool *p);

/* Room for one more entry, so that the next entry_take() succeeds. -1: the budget refuses, or with
 * force, which does not ask it, the system. */
int entry_pool_reserve(struct entry_pool *p, bool force) MUST_USE;
void entry_pool_ensure(
    struct entry_pool *p); /* the same, but it cannot be refused: a chunk is small */
uint32_t entry_take(struct entry_pool *p); /* zeroed */
void entry_give(struct entry_pool *p, uint32_t index);

/* Entries get another size: the first head_bytes stay and carry.bytes of the others, what is new is
 * zero. Indexes stay. Memory is charged without asking. */
struct entry_carry {
    uint32_t from, to, bytes; /* offsets behind the head, before and after */
};
void entry_pool_refit(struct entry_pool *p, size_t entry_bytes, size_t head_bytes,
                      struct entry_carry carry);

static inline void *entry_at(const struct entry_pool *p, uint32_t index)
{
    return p->chunks[index >> 8]->entries + (size_t)(index & 255) * p->entry_bytes;
}

#endif
