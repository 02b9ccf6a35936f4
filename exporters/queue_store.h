/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending queue's files (sending_queue.storage): what is in the queue is on disk before its sender is answered,
 * and is deleted when the backend has it, or when it was dropped for good.
 *
 *   <place>/0, 1, 2, ...   a journal for each worker's queue (platform/journal.h); each is locked by who has it open
 *
 * A queue writes to the first one that is free. What stands in others that nobody has open (of more workers than
 * there are now, of an exporter that a reload replaced, of a process before) is taken over by the first worker's
 * queue, sent, and removed.
 *
 * One record is one batch as it came: number of spans, client metadata, the OTLP request.
 *
 * A disk that cannot be written to is not the end: put() says so, the caller keeps the batch and its sender waiting, and
 * the next put() tries again.
 *
 * Threads: the worker's; open on main. Files are written through mappings; with fsync the waiting is done in
 * libuv's thread pool.
 */
#ifndef TAILRACE_EXPORTERS_QUEUE_STORE_H
#define TAILRACE_EXPORTERS_QUEUE_STORE_H

#include "component/component.h"

struct queue_store;

/* owner: handed back by queue_store_owner(). NULL with err: the storage cannot be had (in use, not there). */
struct queue_store *queue_store_open(struct host *h, const char *extension_id, void *owner, struct err *err) MUST_USE;
/* Items must have been given back, and nothing be waited for (queue_store_idle). Fine on NULL. */
void queue_store_close(struct queue_store **st);

/* A batch on disk. Ends with done (deleted) or leave (stays for the next process). */
struct stored_item;
struct stored_item *queue_store_put(struct queue_store *st, const struct batch *b) MUST_USE; /* NULL: the disk says no */
void queue_store_done(struct stored_item **item);
void queue_store_leave(struct stored_item **item);
void *queue_store_owner(const struct stored_item *item);

enum load_result { LOAD_OK, LOAD_LATER /* no memory now */, LOAD_DAMAGED };
/* The bytes again, as a payload with an index. */
enum load_result queue_store_load(const struct stored_item *item, uint64_t n_spans, struct payload **out) MUST_USE;

struct restored {
    struct stored_item *item;
    uint64_t n_spans, n_bytes;
    struct request_info *info; /* a reference, or NULL */
};
/* The next batch that was there before this process: true; false: none now. */
bool queue_store_next(struct queue_store *st, struct restored *out) MUST_USE;
bool queue_store_more(const struct queue_store *st); /* queue_store_next() has not said false */

/* Looks for what others left, and for a disk that is back. When it wants to be called. */
void queue_store_tick(struct queue_store *st, uint64_t now_ns);
uint64_t queue_store_due_ns(const struct queue_store *st);

/* Answers ANSWER_OK when everything put so far is as safe as the user asked: at once, or with fsync after it;
 * ANSWER_RETRY when the disk fails at that. */
void queue_store_when_safe(struct queue_store *st, struct waiter w);
bool queue_store_idle(const struct queue_store *st);

/* Would a batch of about this size find room on disk? */
bool queue_store_has_room(const struct queue_store *st, uint64_t n_bytes);

enum store_row { ROW_STORE_BYTES, ROW_STORE_ERRORS, ROW_STORE_RESTORED, ROW_STORE_CORRUPT, ROW_STORE_ASIDE, STORE_ROWS };
#define STORE_METRIC_ROWS \
    {.name = "tailrace_storage_bytes", .type = METRIC_GAUGE, .level = METRIC_BASIC, .from_start = true, .unit = "By", \
     .help = "Size of the files of a persistent sending queue."}, \
    {.name = "tailrace_storage_errors", .type = METRIC_COUNTER, .level = METRIC_BASIC, .from_start = true, .unit = "{errors}", \
     .help = "Batches that a persistent sending queue could not store: they stayed in memory, their senders unanswered."}, \
    {.name = "tailrace_storage_restored_spans", .type = METRIC_COUNTER, .level = METRIC_BASIC, .from_start = true, .unit = "{spans}", \
     .help = "Spans found on disk by a persistent sending queue, and taken up again."}, \
    {.name = "tailrace_storage_corrupt_records", .type = METRIC_COUNTER, .level = METRIC_BASIC, .from_start = true, .unit = "{records}", \
     .help = "Damaged places found in the files of a persistent sending queue; what stood there is lost."}, \
    {.name = "tailrace_storage_set_aside_files", .type = METRIC_COUNTER, .level = METRIC_BASIC, .from_start = true, .unit = "{files}", \
     .help = "Files of a persistent sending queue that could not be read at all and were renamed."}

/* Memory beside the budget: mapped files. For component_type.memory. */
struct queue_settings;
size_t queue_store_memory(const struct queue_settings *q, bool q_enabled, unsigned n_workers, struct memory_term *terms,
                          size_t max);

#endif
