/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traces that are held or remembered, by trace id.
 *
 *   slots   open addressing, linear probing, keyed hash: 8 bytes each, no tombstones
 *   traces  entries of one size in chunks of 256; an index (never 0) names one for its life
 *
 * An entry is `struct trace` and, behind it, the facts that the compiled policies ask for. Entries
 * stand on one of two lists, each in order of arrival or of decision.
 *
 * Memory: charged as MEM_TAIL; chunks that empty are given back. Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TRACE_TABLE_H
#define TAILRACE_PROCESSORS_TRACE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/mem.h"

enum trace_state {
    TRACE_UNDECIDED,
    TRACE_SAMPLED,     /* spans that are still chained wait to be sent on */
    TRACE_NOT_SAMPLED,
    TRACE_DROPPED,     /* not sampled, because a drop policy said so */
};

enum trace_flag {
    TRACE_IN_QUEUE = 1, /* on the list of traces whose spans are to be sent */
    TRACE_FORGET = 2,   /* leaves the table as soon as its spans are gone */
    TRACE_TOO_LARGE = 4, /* decided by its size */
    TRACE_ON_DISK = 16,  /* with storage: spans of it are on disk too, */
    TRACE_IN_MEMORY = 32, /* or only in memory */
    TRACE_CUT = 64,      /* both: that is noted on disk */
    TRACE_RECALLED = 128, /* decided by the process before */
};

struct trace {
    uint8_t id[16];
    uint32_t first, last;             /* records; 0: none */
    uint32_t n_spans;                 /* received */
    uint32_t older, newer;            /* neighbours on its list */
    uint32_t ring_prev, ring_next;    /* neighbours of its wheel slot, or of the sending queue */
    uint32_t at_tick;                 /* undecided: when to decide; decided: when it was */
    uint32_t born_tick;
    uint8_t state, flags;
    uint16_t policy;                  /* that kept it, + 1; 0: none, or not known */
    uint64_t facts[];
};

struct trace_list {
    uint32_t oldest, newest, n;
};

struct trace_slot {
    uint32_t tag; /* low half of the hash */
    uint32_t index; /* 0: free */
};

struct trace_chunk;

struct trace_table {
    struct budget *budget;
    struct trace_slot *slots;
    uint32_t n_slots; /* a power of two, or 0 */
    uint32_t n_traces;
    uint32_t entry_bytes;
    struct trace_chunk **chunks; /* by index / 256; NULL: not there */
    uint32_t n_chunks, cap_chunks;
    uint32_t open; /* first chunk with a free entry, + 1; 0: none */
    uint64_t n_free; /* entries free in all chunks */
};

void trace_table_init(struct trace_table *t, struct budget *b, uint32_t facts_bytes);
void trace_table_fini(struct trace_table *t);

/* The table holds this many bytes for n traces when it is full of them. */
uint64_t trace_table_bytes_for(uint64_t n_traces, uint32_t facts_bytes);

/* Entries get room for other facts, all zero but for carry_bytes of the old ones; indexes stay. Memory is
 * charged without asking. */
struct facts_carry {
    uint32_t from, to, bytes; /* offsets within the facts, before and after */
};
void trace_table_refit(struct trace_table *t, uint32_t facts_bytes, struct facts_carry carry);

/* Room for one more trace, so that the next trace_table_add() succeeds. -1: the budget refuses. */
int trace_table_reserve(struct trace_table *t) MUST_USE;
/* The same without asking the budget. -1: the system has no memory, or 2^30 traces. */
int trace_table_force(struct trace_table *t) MUST_USE;

/* The index, or 0. hash is hash_u128(id). */
uint32_t trace_table_find(const struct trace_table *t, const uint8_t id[static 16], uint64_t hash);
/* A new entry, zeroed but for its id; not on any list. The id is not in the table. */
uint32_t trace_table_add(struct trace_table *t, const uint8_t id[static 16], uint64_t hash);
void trace_table_remove(struct trace_table *t, uint32_t index); /* off its lists already */

/* For fetching ahead: the slot; then the entry that is probably meant, and its index (0: none). */
void trace_table_prefetch(const struct trace_table *t, uint64_t hash);
void trace_table_prefetch_entry(const struct trace_table *t, uint64_t hash);
static inline uint32_t trace_table_peek(const struct trace_table *t, uint64_t hash)
{
    return t->n_slots ? t->slots[(uint32_t)hash & (t->n_slots - 1)].index : 0;
}

struct trace_chunk {
    uint32_t n_used;
    uint32_t free_head; /* index within the chunk + 1; chained through trace.first; 0: none */
    uint32_t open_prev, open_next; /* among the chunks with a free entry; number + 1 */
    _Alignas(16) uint8_t entries[];
};

static inline struct trace *trace_at(const struct trace_table *t, uint32_t index)
{
    return (struct trace *)(void *)(t->chunks[index >> 8]->entries +
                                    (size_t)(index & 255) * t->entry_bytes);
}

void trace_list_add(struct trace_table *t, struct trace_list *l, uint32_t index); /* as the newest */
void trace_list_del(struct trace_table *t, struct trace_list *l, uint32_t index);

/* Rings: the wheel's slots and the sending queue. *first is the oldest; 0: empty. */
void trace_ring_add(struct trace_table *t, uint32_t *first, uint32_t index); /* as the last */
void trace_ring_del(struct trace_table *t, uint32_t *first, uint32_t index);
void trace_ring_splice(struct trace_table *t, uint32_t *to, uint32_t *from); /* from becomes empty */

#endif
