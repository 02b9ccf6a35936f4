/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log that holds the bytes of undecided traces.
 *
 *   segment | rec | rec | rec | ... |      fixed size, written front to back, never in place
 *
 * A record is a piece of one trace's spans that share a scope: whole span records (tag, length, body)
 * one after the other. A trace's records form a chain in order of arrival. Spans that do not fit into
 * what is left of a segment go on in the next record (`more`), so no byte of a segment is wasted
 * and no span is too large.
 *
 * Traces are decided in about the order in which they began, so whole segments die from the oldest
 * end and go back to a pool. What outlives its segment is moved when little else is left there.
 *
 * Memory: every segment is charged as MEM_TAIL while it is mapped, the pool's included. Writing
 * cannot fail after seg_log_reserve(). Threads: one. Limit: 32 GiB a log.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_SEGMENT_H
#define TAILRACE_PROCESSORS_TAIL_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/mem.h"

#define SEG_BYTES   (256u << 10)
#define SEG_OFF_BITS 15 /* offsets count 8 bytes */
#define SEG_LEN_BITS 18

/* A ref names a record: segment number and offset. 0: none. It changes only in seg_log_compact().
 * What most records of one-span traces do not have stands behind the others, in this order, if at all: the ref
 * before it in its chain; the request it came in. */
struct record {
    uint32_t next;  /* ref, in the trace's chain */
    uint32_t owner; /* the trace's index; 0: dead */
    uint32_t scope; /* interned scope */
    uint32_t len : SEG_LEN_BITS; /* bytes that follow */
    uint32_t n_spans : 10;       /* exact for a run, not for each of its records */
    uint32_t more : 1;           /* the chain's next record goes on with this one's bytes */
    uint32_t plain : 1;          /* kept, but not by what judged it: it carries no mark of it */
    uint32_t chained : 1;        /* written behind another of its trace */
    uint32_t on_disk : 1;        /* a run's first record: its request is in the tail_store */
    uint32_t rest[];
};
#define SEG_RUN_SPANS 1023u /* the most spans of a run */

struct segment {
    uint8_t *base; /* NULL: number not in use */
    uint32_t used;
    uint32_t live_bytes, live_records;
};

struct seg_log {
    struct budget *budget;
    struct segment *segs; /* [0] is never used */
    uint32_t n_segs, cap_segs;
    uint32_t *free_numbers;
    uint32_t n_free_numbers;
    uint32_t head[2]; /* being written: fresh spans, survivors; 0: none */
    uint32_t in_use;  /* segments that hold or take records */
    uint32_t stored;  /* what the runs being written get as theirs */
    uint64_t live_bytes;
    uint8_t **pool;
    uint32_t n_pool, cap_pool;
    uint32_t pool_low; /* fewest in the pool since the last trim */
};

void seg_log_init(struct seg_log *l, struct budget *b);
void seg_log_fini(struct seg_log *l); /* records need not be dead */

/* Room for `bytes` of span bytes in at most n_records separate records. 0, or -1 when the budget
 * refuses; then nothing changed that matters. */
int seg_log_reserve(struct seg_log *l, uint64_t bytes, uint64_t n_records) MUST_USE;
/* The same for what was promised room: the budget is not asked. -1: the system has no memory. */
int seg_log_force(struct seg_log *l, uint64_t bytes, uint64_t n_records) MUST_USE;
/* How many segments that would take beyond those being written. */
uint64_t seg_log_segments_for(const struct seg_log *l, uint64_t bytes, uint64_t n_records);

/* Writing one run: begin, write any number of times, end. The records of a run are chained, and all
 * but the last say `more`: they belong together. prev: the last record of the trace, which the run is
 * chained to; 0: none. */
struct seg_writer {
    struct seg_log *log;
    uint32_t owner, scope;
    uint32_t first, last; /* refs; last before the first is written: prev */
    struct record *rec;   /* of last */
    uint32_t room;        /* bytes left for it in its segment */
    uint32_t n_records;
    uint32_t n_bytes; /* written */
};
void seg_begin(struct seg_writer *w, struct seg_log *l, uint32_t owner, uint32_t scope, uint32_t prev);
void seg_write(struct seg_writer *w, const uint8_t *p, uint32_t len, uint32_t n_spans);
void seg_end(struct seg_writer *w);

static inline struct record *seg_at(const struct seg_log *l, uint32_t ref)
{
    return (struct record *)(void *)(l->segs[ref >> SEG_OFF_BITS].base +
                                     ((size_t)(ref & ((1u << SEG_OFF_BITS) - 1)) << 3));
}
static inline uint32_t rec_head_bytes(const struct record *r)
{
    return (uint32_t)sizeof(*r) + ((uint32_t)r->chained + r->on_disk) * (uint32_t)sizeof(r->rest[0]);
}
static inline const uint8_t *rec_bytes(const struct record *r)
{
    return (const uint8_t *)r + rec_head_bytes(r);
}
static inline uint32_t rec_prev(const struct record *r)
{
    return r->chained ? r->rest[0] : 0;
}
static inline uint32_t rec_stored(const struct record *r) /* the request's number in the tail_store; 0: none */
{
    return r->on_disk ? r->rest[r->chained] : 0;
}
static inline void rec_set_prev(struct record *r, uint32_t prev) /* another one for one that has one; or 0 */
{
    CHECK(r->chained || !prev);
    if (r->chained)
        r->rest[0] = prev;
}

/* The record is dead; its segment goes when it was the last. The caller has unlinked it. */
void seg_drop(struct seg_log *l, uint32_t ref);

/* Moves the records of segments that hold less than SEG_BYTES * num / den live bytes. moved() is told
 * of every record that was first or last of its chain. Returns how many segments came free. */
uint32_t seg_log_compact(struct seg_log *l, uint32_t num, uint32_t den,
                         void (*moved)(void *ctx, uint32_t owner, uint32_t from, uint32_t to), void *ctx);

/* Once a second: gives back a part (1/32) of the pooled segments that were not needed since the last call;
 * the next burst finds the others with their pages. */
void seg_log_trim(struct seg_log *l);
void seg_log_trim_all(struct seg_log *l);

static inline uint64_t seg_log_held_bytes(const struct seg_log *l)
{
    return (uint64_t)l->in_use * SEG_BYTES;
}

#endif
