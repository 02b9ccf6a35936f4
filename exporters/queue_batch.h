/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sending_queue.batch: merges what comes off the queue until there is enough, cuts what is too much.
 * Private to the sending queue. No loop, no clock: the caller brings the time.
 *
 * Batches of different pipelines are never merged (their books differ), nor those of different
 * partitions. Nothing is kept of a partition that holds nothing.
 */
#ifndef TAILRACE_EXPORTERS_QUEUE_BATCH_H
#define TAILRACE_EXPORTERS_QUEUE_BATCH_H

#include "exporters/send_queue.h"

enum queue_sizer { SIZER_REQUESTS, SIZER_ITEMS, SIZER_BYTES };
enum queue_sizer queue_sizer_of(const char *name);
/* The batcher's sizer: its own key, else the queue's if that was written, else items. */
const char *queue_batch_sizer(const struct queue_settings *q);
int64_t queue_size_of(const struct batch *b, enum queue_sizer sizer);

/* Rows of send_queue_metrics. */
enum queue_row { ROW_SENT, ROW_FAILED, ROW_ENQUEUE_FAILED, ROW_SIZE, ROW_CAPACITY, ROW_IN_FLIGHT, ROW_BATCH_SPANS, ROW_BATCH_BYTES };

/* ---- who waits for a batch that was merged and cut ---- */

struct queue_waiters; /* a list; each waiter is answered when the last piece of his spans ended */
struct queue_waiters *queue_waiters_new(struct waiter w) MUST_USE; /* NULL when nobody waits */
void queue_waiters_join(struct queue_waiters **to, struct queue_waiters **take);
struct queue_waiters *queue_waiters_share(struct queue_waiters *w) MUST_USE; /* for another piece; NULL gives NULL */
/* One piece ended so; the worst answer of all pieces goes out with the last. NULLs. Fine on NULL. */
void queue_waiters_end(struct queue_waiters **w, const struct answer_detail *d);

/* ---- merging and cutting ---- */

struct queue_batcher;
/* Both are called from within add, tick and flush, and must not call back into the batcher. */
struct queue_batcher_ops {
    /* A batch is ready to be sent. units: what it gives back to the queue when it ends. */
    void (*ready)(void *ctx, struct batch **take, int64_t units, struct queue_waiters *w);
    /* The one span of this batch is larger than max_size. */
    void (*too_large)(void *ctx, struct batch **take, int64_t units, struct queue_waiters *w);
};
struct queue_batcher *queue_batcher_new(const struct queue_settings *q, const struct queue_batcher_ops *ops,
                                        void *ctx) MUST_USE;
void queue_batcher_free(struct queue_batcher **b); /* CHECKs that it is empty; fine on NULL */

void queue_batcher_add(struct queue_batcher *bt, struct batch **take, int64_t units, struct queue_waiters *w,
                       uint64_t now_ns);
uint64_t queue_batcher_due_ns(const struct queue_batcher *bt); /* UINT64_MAX: nothing waits */
void queue_batcher_tick(struct queue_batcher *bt, uint64_t now_ns); /* makes ready what is due */
void queue_batcher_flush(struct queue_batcher *bt);

#endif
