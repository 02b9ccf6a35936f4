/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every exporter has in common: sending_queue (with its batcher), retry_on_failure, timeout,
 * their metrics and log lines, and the books of what was sent and what was lost.
 *
 *   push -> [room?] -> [merge and cut] -> ready -> slot (attempt, wait, attempt, ...) -> ended
 *
 * The exporter brings one function that makes one attempt to deliver one batch. Everything else,
 * including the end of the batch, happens here.
 *
 * Settings struct of an exporter (the names are what the key rows expect):
 *     bool sending_queue_enabled;    struct queue_settings sending_queue;
 *     bool retry_on_failure_enabled; struct retry_settings retry_on_failure;
 *
 * Memory: queued batches keep their payloads (charged at the door) and a few hundred bytes each of
 * bookkeeping (MEM_QUEUE). Nothing is encoded before a slot sends it.
 * Threads: one queue per exporter and worker, on that worker's loop. queue_size holds for the
 * exporter as a whole: the workers share one atomic count (struct send_shared).
 */
#ifndef TAILRACE_EXPORTERS_SEND_QUEUE_H
#define TAILRACE_EXPORTERS_SEND_QUEUE_H

#include "component/component.h"
#include "exporters/retry.h"
#include "platform/list.h"

struct queue_batch_settings {
    int64_t flush_timeout_ns;
    int64_t min_size;
    int64_t max_size;
    const char *sizer; /* NULL: by the rules of queue_batch_sizer */
    struct queue_partition_settings {
        struct str_list metadata_keys;
    } partition;
};

struct queue_settings {
    int64_t num_consumers;
    int64_t queue_size;
    const char *sizer;
    bool sizer_set;
    bool block_on_overflow;
    bool wait_for_result;
    const char *storage; /* id of an extension; NULL: in memory */
    bool batch_enabled;
    struct queue_batch_settings batch;
};

extern const struct key queue_keys[];

/* Rows for the exporter's own table. queue_mode: SECTION_ON, or SECTION_DEFAULT_OFF (debug). */
#define SEND_QUEUE_KEYS(T, queue_mode) \
    KEY_OPTIONAL(T, sending_queue, queue_mode, queue_keys, \
                 "Holds batches until they are sent, so that a slow or absent backend does not hold up the pipeline."), \
    KEY_OPTIONAL(T, retry_on_failure, SECTION_ON, retry_keys, \
                 "Repeats attempts that failed for a passing reason, with growing pauses.")

/* For the exporter's check(): the rules of both sections. r NULL: it has no retry section. */
void send_queue_check(const struct queue_settings *q, bool q_enabled, const struct retry_settings *r,
                      struct check *c);

/* Shared by the workers of one exporter; send_shared_create fits component_type.shared_create. */
struct send_shared {
    _Atomic int64_t size; /* in units of the sizer */
};
int send_shared_create(const void *settings, struct host *host, void **shared, struct err *err);
void send_shared_destroy(void **shared);

/* Rows for component_type.metrics of an exporter that uses this queue. Ends with name NULL. */
extern const struct metric_row send_queue_metrics[];

/* ---- the exporter's part ---- */

enum send_outcome {
    SEND_OK,        /* taken, perhaps without `rejected_spans` of them */
    SEND_RETRY,     /* may work later */
    SEND_PERMANENT, /* will never work */
};

struct send_result {
    enum send_outcome outcome;
    uint64_t hint_ns;        /* RETRY: the server asked for this long a pause */
    bool throttled;          /* RETRY: hint_ns came from the server ("Throttle" in the log) */
    uint64_t rejected_spans; /* OK: partial success */
    int grpc_code;           /* failures: the backend's status; 0: none. For whoever waits, and a label */
    const char *text;        /* what went wrong, or the message of a partial success; valid during the call */
    enum drop_reason reason; /* failures: DROP_NONE for the usual one (not retryable, retries ended) */
};

/* One batch on its way out. */
struct send {
    struct batch *batch; /* what to deliver: borrowed, unchanged while the send lives */
    void *state;         /* the exporter's own, kept from attempt to attempt */

    /* private to send_queue.c */
    struct list node;
    struct send_queue *q;
    int64_t units;
    struct queue_waiters *waiters;
    struct retry retry;
    uint64_t due_ns;
    uint8_t phase;
    bool timed_out;   /* the attempt ran into the timeout */
    bool in_slot;     /* counts as a consumer at work */
    bool stored;      /* all of it is on disk */
    struct stored_item *item; /* parked: where */
};

struct send_ops {
    /* One attempt. Exactly one send_done(s) answers it, perhaps before this returns. */
    void (*send)(void *exporter, struct send *s);
    /* Give the running attempt up: send_done(s) follows soon, with any result. NULL when send always
     * answers before it returns. */
    void (*abort)(void *exporter, struct send *s);
    /* The send is over, whatever came of it: free s->state. Once per send. May be NULL. */
    void (*forget)(void *exporter, struct send *s);
};

struct send_config {
    const struct queue_settings *queue; /* NULL: off */
    const struct retry_settings *retry; /* NULL: off */
    int64_t timeout_ns;                 /* one attempt; 0: no limit */
    const struct metric_label *labels;  /* of sent and failed spans, beside `exporter`; copied */
    size_t n_labels;
    const struct send_ops *ops;
    void *exporter;
};

struct send_queue;
/* Never NULL. h->shared is a struct send_shared, or NULL (the queue counts for itself). The settings
 * must outlive the queue. */
struct send_queue *send_queue_new(struct host *h, const struct send_config *cfg) MUST_USE;
/* In the exporter's start, on main: takes up the queue's files, where the settings name a storage. -1 with err: they
 * cannot be had. */
int send_queue_open(struct send_queue *q, struct err *err) MUST_USE;
/* After the drain finished, or before anything was pushed; what is left is dropped and counted. */
void send_queue_free(struct send_queue **q);

void send_queue_push(struct send_queue *q, struct batch **take);
void send_done(struct send *s, const struct send_result *r);

/* One last attempt for all that is held, until the host's deadline; then `done`, once (usually
 * host_drained through the exporter). Twice is harmless. */
void send_queue_drain(struct send_queue *q, void (*done)(void *exporter));

/* For component_type.room. */
enum room send_queue_room(struct send_queue *q, uint64_t n_spans, uint64_t n_bytes);

uint64_t send_queue_held_spans(const struct send_queue *q);

#endif
