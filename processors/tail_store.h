/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window outside the process: what one worker's sampler holds, also in files.
 *
 *   spans-W/   requests as they came (OTLP), written before their sender is answered
 *   notes-W/   decided: trace, verdict, time      ended: spans of a request that were delivered
 *
 * A request stays on disk as long as spans of it are held, or are on their way and not delivered.
 * Its runs of spans in the log carry its number here; when the last has gone the record is dropped.
 * Spans that another worker owns are counted there as foreign, and given back to their origin when
 * they have gone. Notes say what need not be done again while others of the same request still
 * wait.
 *
 * A disk that cannot be written costs nothing but safety: the request is held in memory only. A
 * trace that is partly on disk is noted as cut, so that the next process does not take it for
 * whole.
 *
 * Memory: 48 bytes a request, 16 for each run on its way, 32 a batch of notes; charged as MEM_TAIL.
 * What the journals map is page cache, see platform/journal.h. Threads: a store is its worker's;
 * others only give back (an atomic list). The shelf that the workers of one processor share is made
 * and freed on main, and does not change in between but for one counter.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_STORE_H
#define TAILRACE_PROCESSORS_TAIL_STORE_H

#include <stdatomic.h>

#include "component/host.h"
#include "component/storage.h"
#include "model/otlp_encode.h"
#include "platform/journal.h"
#include "processors/tail_metrics.h"
#include "processors/trace_table.h"

/* What is remembered of a trace, and stands in notes. */
enum note_code {
    NOTE_NOT_SAMPLED,
    NOTE_SAMPLED,
    NOTE_DROPPED,
    NOTE_TOO_LARGE,
    NOTE_CUT, /* partly on disk */
    NOTE_OVER /* not sampled, and forgotten at once: span-ingest */
};

struct note {
    uint8_t id[16];
    uint64_t time_ns;
    uint8_t code, cut; /* cut: only in memory */
    uint16_t policy;   /* of its name: tail_note_policy() */
    uint32_t unused;
};
struct ended {
    uint64_t request_ns; /* which request */
    uint64_t key;        /* which trace of it */
    uint64_t n_spans;
};
_Static_assert(sizeof(struct note) == 32 && sizeof(struct ended) == 24, "they stand in files");

enum { STORE_REQUEST = 1, NOTES_DECIDED = 1, NOTES_ENDED = 2 };

/* Before the bytes of a request. */
struct request_head {
    uint64_t time_ns; /* the shelf's clock: never goes back, no two alike */
    uint64_t boot_ns; /* since the machine started */
    uint64_t boot;    /* which start of which machine */
};

struct tail_store;

/* A request with spans here. */
struct stored {
    struct journal *journal; /* NULL: foreign, origin and ref's low half say whose; both NULL: free */
    struct tail_store *origin;
    journal_ref ref;
    uint64_t time_ns;
    uint32_t refs;
    uint32_t next_free;
    bool left; /* spans of it are for the next process */
};

struct note_batch {
    struct journal *journal;
    journal_ref ref;
    uint64_t n;
    uint64_t newest_ns; /* ended: of their requests */
};
struct note_queue {
    struct budget *budget;
    struct note_batch *v;
    uint32_t first, n, cap; /* a ring; cap is a power of two */
    uint64_t total;         /* notes in all batches */
};

struct leaving_run {
    uint32_t stored;
    uint32_t n_spans;
    uint64_t key;
};

/* A batch of kept spans on its way. */
struct flight {
    struct ledger books; /* first: what becomes of the batch */
    struct tail_store *store;
    struct flight *prev, *next;
    uint32_t n;
    struct leaving_run runs[];
};

struct release {
    struct release *next;
    uint32_t stored;
};

/* What the workers of one processor in one pipeline share. */
struct tail_shelf {
    struct tail_shelf *next; /* of the processor's other pipelines */
    struct tail_shelf **home;
    char *pipeline;
    unsigned refs, n_workers;
    struct storage_place place;
    struct err error; /* of the first journal that could not be opened */
    uint64_t boot;
    uint64_t offset_ns;         /* the shelf's clock minus the machine's */
    uint64_t notes_bytes_each;  /* what one worker's notes may take of max_bytes */
    struct tail_store **stores; /* by worker */
    struct shelf_journal *journals;
    size_t n_journals;
    _Atomic uint32_t restoring; /* workers and messages that still bring back what was held */
    struct budget *budget;
    struct note *noted; /* from before, by id and time; both until everything has come back */
    size_t n_noted;
    struct ended *ended; /* by request and key */
    size_t n_ended;
    size_t notes_bytes; /* charged for them */
};

struct tail_store {
    struct tail_shelf *shelf;
    struct host *host;
    struct tail_metrics *metrics;
    struct journal *spans, *notes; /* NULL: could not be opened */
    struct journal **old;          /* all journals of spans that may hold something from before */
    size_t n_old, reading;
    uint64_t last_ns;
    bool working, leaving;
    uint32_t pause_ticks; /* after a fault the disk is left alone: nothing goes to and fro between
                             disk and memory */

    struct stored *items; /* [0] is never used */
    uint32_t n_items, cap_items, free_item;
    _Atomic(struct release *) released;
    _Atomic uint64_t oldest_ns; /* of its requests */

    struct encoded encoded;
    struct iovec *iov;
    size_t cap_iov;

    struct buf decided, ended; /* to be written */
    uint64_t ended_newest_ns, decided_ns;
    struct note_queue decided_q, ended_q;
    uint64_t max_decided;

    struct leaving_run *runs; /* of the batch that is being made */
    uint32_t n_runs, cap_runs;
    struct flight *flights;

    bool restored;              /* nothing is left to bring back */
    struct journal_record read; /* the next request; p NULL: none */
    struct payload *request;    /* walked, and not filed yet */
    uint32_t request_stored;
    uint64_t request_age_s;

    uint64_t published_bytes, published_faults, published_corrupt, published_torn;
};

/* ---- life: tail_shelf.c; on main ---- */

/* The store of this worker. shelves: of the same processor, for its workers to meet. max_decided:
 * decisions to remember. NULL with err: the storage has no place for it. A disk that cannot be
 * written is no error: the store holds nothing then, has said so, and costs little. */
struct tail_store *tail_store_new(struct host *h, const char *storage_id,
                                  struct tail_shelf **shelves, uint64_t max_decided,
                                  struct tail_metrics *m, struct err *err) MUST_USE;
void tail_store_free(struct tail_store **s);
/* The processor's list of shelves is another now, and the storage's limits may be; for each worker. */
void tail_store_change(struct tail_store *s, const char *storage_id, struct tail_shelf **shelves);

/* From before; NULL, 0: nothing. Own traces only. */
/* The decision about spans of that request: the first one after it, else the last (they came late). */
const struct note *tail_shelf_noted(const struct tail_shelf *w, const uint8_t id[static 16],
                                    uint64_t request_ns);
/* Is it the last decision about its trace? */
bool tail_shelf_last(const struct tail_shelf *w, const struct note *n);
bool tail_shelf_was_cut(const struct tail_shelf *w, const uint8_t id[static 16]);
/* Of these n spans of a request, is it known that they were delivered? Asked once for each run. */
bool tail_shelf_ended(struct tail_shelf *w, uint64_t request_ns, const uint8_t id[static 16],
                      uint32_t n);
/* Everything has come back. */
void tail_shelf_forget(struct tail_shelf *w);
uint64_t tail_shelf_now(const struct tail_shelf *w);
/* How long ago that was, in seconds, whatever clocks did. */
uint64_t tail_shelf_age_s(const struct tail_shelf *w, const struct request_head *h);
static inline bool tail_shelf_restoring(const struct tail_shelf *w)
{
    return atomic_load_explicit(&w->restoring, memory_order_acquire) != 0;
}

/* ---- requests: tail_store.c ---- */

/* Writes the spans of a batch. Its number, with a reference; 0: it is in memory only. */
uint32_t tail_store_append(struct tail_store *s, const struct batch *b);
/* A request that stands in a journal already; and spans of one that lies with another worker. With
 * a reference. */
uint32_t tail_store_take(struct tail_store *s, struct journal *j, journal_ref ref,
                         uint64_t time_ns);
uint32_t tail_store_foreign(struct tail_store *s, struct tail_store *origin, uint32_t number,
                            uint64_t time_ns);
static inline void tail_store_ref(struct tail_store *s, uint32_t number)
{
    s->items[number].refs++;
}
void tail_store_unref(struct tail_store *s, uint32_t number); /* 0 is fine */

/* ---- what is kept, and delivered ---- */

/* Which trace of a request: the same in every process. */
uint64_t tail_store_key(const uint8_t id[static 16]);
/* A run goes into the batch that is being made; its reference comes along. */
void tail_store_leaves(struct tail_store *s, uint32_t number, uint32_t n_spans, uint64_t key);
/* Spans of this request were not held: late ones of a trace that was not kept. */
void tail_store_over(struct tail_store *s, uint32_t number, uint32_t n_spans, uint64_t key);
/* The batch is made: what becomes of it decides about its runs. */
void tail_store_fly(struct tail_store *s, struct batch *b);
/* It is not made. Returns how many of its spans are on disk. */
uint64_t tail_store_ground(struct tail_store *s);

/* ---- notes ---- */

uint16_t tail_note_policy(const char *name);
void tail_store_decided(struct tail_store *s, const uint8_t id[static 16], enum note_code code,
                        uint16_t policy);
/* Spans of the trace were filed, on disk or not: notes it when they differ. */
void tail_store_mark(struct tail_store *s, struct trace *tr, bool on_disk);
/* Writes what was noted. Before anything is sent, and at the end of whatever decides. */
void tail_store_flush(struct tail_store *s);
void tail_store_queue(struct note_queue *q, struct note_batch b);
void tail_store_queue_free(struct note_queue *q);

/* Once a second: notes that nobody needs go, gauges are set. */
void tail_store_tick(struct tail_store *s);
/* From here on what is let go stays on disk; what is on its way may still arrive. */
void tail_store_leave(struct tail_store *s);

#endif
