/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traces that are held or remembered, by trace id.
 *
 *   slots   open addressing, linear probing, keyed hash: 8 bytes each, no tombstones, 60 to 80 % full once
 *           there are some: they grow by a quarter, in one pass over both from front to back
 *   traces  an entry for each; an index (never 0) names it for its life
 *   more    what only some traces need: how many spans they have, and facts that do not fit into the entry
 *
 * A trace of one span, of which there may be a million, has an entry and nothing more. An entry stands in one place
 * at a time: undecided in a ring of the wheel, then in the ring of those to be sent, then on the list of decided ones.
 *
 * Memory: charged as MEM_TAIL; chunks of entries that empty are given back. Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TRACE_TABLE_H
#define TAILRACE_PROCESSORS_TRACE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "processors/entry_pool.h"

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
    TRACE_MORE = 8,     /* it has a rest */
    TRACE_ON_DISK = 16,  /* with storage: spans of it are on disk too, */
    TRACE_IN_MEMORY = 32, /* or only in memory */
    TRACE_CUT = 64,      /* both: that is noted on disk */
    TRACE_RECALLED = 128, /* decided by the process before */
};

struct trace {
    uint8_t id[16];
    uint32_t first;                   /* record; 0: none */
    uint32_t last_or_more;            /* the last record; of one with TRACE_MORE, the index of its rest */
    uint32_t older, newer;            /* neighbours in its ring or on its list */
    uint32_t at_tick;                 /* undecided: when to decide; decided: when it was */
    uint32_t born_tick;
    union {
        uint16_t bits;                /* undecided, without TRACE_MORE: its facts */
        uint16_t policy;              /* decided: that kept it, + 1; 0: none, or not known */
    };
    uint8_t state, flags;
};

struct trace_more {
    uint32_t n_spans; /* received */
    uint32_t last;    /* record */
    uint64_t facts[];
};

struct trace_list {
    uint32_t oldest, newest, n;
};

struct trace_slot {
    uint32_t tag; /* low half of the hash; its place among n slots is tag / 2^32 * n */
    uint32_t index; /* 0: free */
};

struct trace_table {
    struct budget *budget;
    struct trace_slot *slots;
    uint32_t n_slots;
    uint32_t n_traces;
    struct entry_pool traces, more;
};

void trace_table_init(struct trace_table *t, struct budget *b, uint32_t facts_bytes);
void trace_table_fini(struct trace_table *t);

/* The table holds at most this many bytes for n traces when it is full of them. */
uint64_t trace_table_bytes_for(uint64_t n_traces, uint32_t facts_bytes);
/* What one trace more may take. */
static inline uint64_t trace_table_entry_bytes(const struct trace_table *t)
{
    return t->traces.entry_bytes + t->more.entry_bytes + 2 * sizeof(struct trace_slot);
}

/* The rest of entries gets room for other facts, all zero but for carry.bytes of the old ones; indexes stay.
 * Memory is charged without asking. */
void trace_table_refit(struct trace_table *t, uint32_t facts_bytes, struct entry_carry carry);

/* Room for one more trace and its rest, so that the next trace_table_add() succeeds. -1: the budget refuses. */
int trace_table_reserve(struct trace_table *t) MUST_USE;
/* The same without asking the budget. -1: the system has no memory, or 2^30 traces. */
int trace_table_force(struct trace_table *t) MUST_USE;

/* The index, or 0. hash is hash_u128(id). */
uint32_t trace_table_find(const struct trace_table *t, const uint8_t id[static 16], uint64_t hash);
/* A new entry, zeroed but for its id; not on any list. The id is not in the table. */
uint32_t trace_table_add(struct trace_table *t, const uint8_t id[static 16], uint64_t hash);
void trace_table_remove(struct trace_table *t, uint32_t index); /* off its lists already */

static inline struct trace *trace_at(const struct trace_table *t, uint32_t index)
{
    return entry_at(&t->traces, index);
}

/* The rest of an entry that has one, and giving one to an entry that has none: zeroed, and charged without asking
 * unless trace_table_reserve() did. */
static inline struct trace_more *trace_more(const struct trace_table *t, const struct trace *tr)
{
    return entry_at(&t->more, tr->last_or_more);
}
struct trace_more *trace_more_add(struct trace_table *t, struct trace *tr);
void trace_more_del(struct trace_table *t, struct trace *tr); /* if it has one */
static inline uint32_t *trace_last(const struct trace_table *t, struct trace *tr)
{
    return tr->flags & TRACE_MORE ? &trace_more(t, tr)->last : &tr->last_or_more;
}

/* For fetching ahead: the slot; then the index that is probably meant (0: none), and its entry. */
void trace_table_prefetch(const struct trace_table *t, uint64_t hash);
uint32_t trace_table_peek(const struct trace_table *t, uint64_t hash);
static inline void trace_table_prefetch_entry(const struct trace_table *t, uint32_t index)
{
    __builtin_prefetch(trace_at(t, index));
    __builtin_prefetch((const char *)trace_at(t, index) + sizeof(struct trace) - 1);
}

/* A list, in the order in which entries came. */
void trace_list_add(struct trace_table *t, struct trace_list *l, uint32_t index); /* as the newest */
void trace_list_del(struct trace_table *t, struct trace_list *l, uint32_t index);

/* Rings: the wheel's slots and the sending queue. *first is the oldest; 0: empty. */
void trace_ring_add(struct trace_table *t, uint32_t *first, uint32_t index); /* as the last */
void trace_ring_del(struct trace_table *t, uint32_t *first, uint32_t index);
void trace_ring_splice(struct trace_table *t, uint32_t *to, uint32_t *from); /* from becomes empty */

#endif
