/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the sending queue. send_queue.c moves batches, send_end.c ends them, send_store.c keeps them on disk.
 */
#ifndef TAILRACE_EXPORTERS_SEND_QUEUE_PRIV_H
#define TAILRACE_EXPORTERS_SEND_QUEUE_PRIV_H

#include "exporters/queue_batch.h"
#include "exporters/queue_store.h"
#include "exporters/send_queue.h"

#define POLL_MS    20 /* for room that another worker frees, and for the drain's deadline */
#define SEND_BYTES (sizeof(struct send) + sizeof(struct batch)) /* charged per batch held */

enum phase {
    PHASE_BLOCKED,
    PHASE_READY,
    PHASE_RUNNING,
    PHASE_ABORTING,
    PHASE_PAUSING,
    PHASE_TOO_LARGE,
    PHASE_PARKED
};

struct send_queue {
    struct host *host;
    struct send_config cfg;
    enum queue_sizer sizer;
    struct send_shared *shared, own_shared;
    struct queue_batcher *batcher;                          /* NULL: no batching */
    struct list blocked, ready, running, aborting, pausing; /* pausing: by due_ns */
    uint32_t slots, n_slots_used; /* slots UINT32_MAX: no queue, no limit */
    uint64_t held_spans;
    int64_t held_units;
    uint64_t rng;
    struct timer *timer;
    uint64_t armed_ns; /* UINT64_MAX: not */
    bool stepping, draining, drained, deadline;
    bool said_full; /* send_queue_room: somebody waits to hear of room */
    struct queue_store *store; /* NULL: in memory */
    struct list restored, parked; /* on disk only: from before this process, since then */
    bool load_later;           /* a parked batch found no memory */
    bool handing_over;         /* a drain found the backend away: the successor gets the rest */
    bool leave_stored;         /* a drain found the backend away: what is on disk stays there */
    struct deferred finish;
    void (*done)(void *exporter);
    struct metric_label *labels; /* of sent and failed spans, with the exporter's */
    size_t n_labels;
    struct series *sent, *failed, *enqueue_failed, *size, *capacity, *in_flight;
    struct series *batch_spans, *batch_bytes; /* NULL: below the detailed level */
};

static inline bool queue_is_on(const struct send_queue *q)
{
    return q->cfg.queue != NULL;
}

/* ---- send_queue.c ---- */

struct send *send_new(struct send_queue *q, struct batch **take, int64_t units, struct queue_waiters *w) MUST_USE;
void send_to(struct send *s, enum phase phase, struct list *l);
/* Everything but the batch itself, which the caller ends. A blocked one has no units yet. */
struct batch *send_free(struct send *s) MUST_USE;
/* The batch goes on in another send or in the batcher: it keeps its units, and counts as held. */
struct batch *send_unwrap(struct send *s) MUST_USE;
void send_add_units(struct send_queue *q, int64_t units);
/* To the batcher, or to the ready ones. w: who else waits, or NULL; stored: it is on disk. */
void send_go_on(struct send_queue *q, struct batch **take, int64_t units, struct queue_waiters *w, bool stored);

/* ---- send_end.c ---- */

/* The last word on a batch that was not delivered. */
void send_end_failed(struct send *s, enum drop_reason reason, const char *error, const struct send_result *r);
/* Taken, perhaps without some: those are dropped, the rest is exported. */
void send_end_delivered(struct send *s, uint64_t rejected_spans);
/* Not delivered by this process: it stays on disk. */
void send_end_stored(struct send *s);
/* To the component that a reload put in this one's place. False: there is none, or it is on disk. */
bool send_hand_over(struct send *s);
/* Turned away at the door. */
void send_reject(struct send_queue *q, struct batch *b, enum drop_reason reason, enum answer answer, const char *error);

/* ---- send_store.c: all of it does nothing when there is no store ---- */

/* A batch that has its room: on disk from now on, and either on its way or parked. False: the disk says no. */
bool stored_take(struct send_queue *q, struct batch *b, int64_t units) MUST_USE;
/* Takes up what is left from before, brings parked batches back when their turn comes. */
void stored_step(struct send_queue *q, uint64_t now_ns);
uint64_t stored_due_ns(const struct send_queue *q, uint64_t now_ns);
/* Ends what is on disk and not under way: it stays there. */
void stored_leave(struct send_queue *q);
bool stored_idle(const struct send_queue *q);

#endif
