/* SPDX-License-Identifier: Apache-2.0 */
/* The section sending_queue: its keys, the rules between them, and the metrics of the queue. */
#include <string.h>

#include "component/extension.h"
#include "component/size_buckets.h"
#include "exporters/queue_batch.h"
#include "exporters/queue_store.h"

static const char *const queue_sizers[] = {"requests", "items", "bytes", NULL};

static const struct key partition_keys[] = {
    KEY_STRS(struct queue_partition_settings, metadata_keys, NULL,
             "Requests are merged only when these request headers are equal (the receiver needs include_metadata)."),
    KEY_END};

static const struct key batch_keys[] = {
    {.name = "flush_timeout", .type = KEY_T_DURATION,
     .offset = KEY_AT(int64_t, struct queue_batch_settings, flush_timeout_ns), .dflt = "200ms", KEY_ANY,
     .doc = "A batch that is too small is sent this long after its first part came."},
    KEY_INT(struct queue_batch_settings, min_size, "8192", 1, 0, "A batch of this size is sent at once."),
    KEY_INT(struct queue_batch_settings, max_size, "0", 1, 0, "A batch is cut so that no piece is larger; 0: never."),
    KEY_ENUM(struct queue_batch_settings, sizer, NULL, queue_sizers,
             "What min_size and max_size count: items (spans) or bytes. Default: sizer of the queue where that is "
             "written, else items."),
    KEY_SECTION(struct queue_batch_settings, partition, partition_keys, "What must not be merged."),
    KEY_END};

const struct key queue_keys[] = {
    KEY_INT(struct queue_settings, num_consumers, "10", 1, 0,
            "Batches in flight at the same time, waits for a retry included."),
    KEY_INT(struct queue_settings, queue_size, "1000", 1, 0,
            "How much may be held, in units of sizer, in flight included."),
    {.name = "sizer", .type = KEY_T_ENUM, .offset = KEY_AT(const char *, struct queue_settings, sizer),
     .dflt = "requests", .choices = queue_sizers, KEY_ANY, .set_offset_valid = true,
     .set_offset = KEY_AT(bool, struct queue_settings, sizer_set),
     .doc = "What queue_size counts: requests, items (spans) or bytes."},
    KEY_BOOL(struct queue_settings, block_on_overflow, "false",
             "A full queue lets the sender wait for room instead of refusing."),
    KEY_BOOL(struct queue_settings, wait_for_result, "false",
             "The sender is answered when the backend has answered, not when the batch is queued."),
    KEY_EXTENSION(struct queue_settings, storage, EXT_STORAGE,
                  "Keeps the queue in files: senders are answered when their spans are on disk, and a restart goes on with "
                  "what was there."),
    KEY_OPTIONAL(struct queue_settings, batch, SECTION_DEFAULT_OFF, batch_keys,
                 "Merges small batches and cuts large ones before they are sent."),
    KEY_END};

static bool batch_sizer_bad(const struct queue_settings *q)
{
    return strcmp(queue_batch_sizer(q), "requests") == 0;
}

static void batch_check(const struct queue_settings *q, struct check *c)
{
    const struct queue_batch_settings *b = &q->batch;

    if (b->flush_timeout_ns <= 0)
        check_error(c, "sending_queue.batch.flush_timeout", "`flush_timeout` must be positive, found %lld%s",
                    (long long)b->flush_timeout_ns, b->flush_timeout_ns != 0 ? "ns" : "");
    if (b->min_size < 0)
        check_error(c, "sending_queue.batch.min_size", "`min_size` must be non-negative, found %lld",
                    (long long)b->min_size);
    if (b->max_size < 0)
        check_error(c, "sending_queue.batch.max_size", "`max_size` must be non-negative, found %lld",
                    (long long)b->max_size);
    if (b->max_size > 0 && b->max_size < b->min_size)
        check_error(c, "sending_queue.batch.max_size", "`max_size` (%lld) must be greater or equal to `min_size` (%lld)",
                    (long long)b->max_size, (long long)b->min_size);
    if (batch_sizer_bad(q))
        check_error(c, "sending_queue.batch.sizer",
                    "`batch` supports only `items` or `bytes` sizer, found \"requests\"");
    else if (strcmp(queue_batch_sizer(q), q->sizer) == 0 && b->min_size > q->queue_size)
        check_error(c, "sending_queue.batch.min_size", "`min_size` must be less than or equal to `queue_size`");
}

void send_queue_check(const struct queue_settings *q, bool q_enabled, const struct retry_settings *r, struct check *c)
{
    if (r != NULL)
        retry_check(r, "retry_on_failure", c);
    if (!q_enabled)
        return;
    if (q->num_consumers <= 0)
        check_error(c, "sending_queue.num_consumers", "`num_consumers` must be positive");
    if (q->queue_size <= 0)
        check_error(c, "sending_queue.queue_size", "`queue_size` must be positive");
    if (q->storage != NULL && q->wait_for_result)
        check_error(c, "sending_queue.wait_for_result",
                    "`wait_for_result` is not supported with a persistent queue configured with `storage`");
    if (q->batch_enabled)
        batch_check(q, c);
}

/* Order: enum queue_row in queue_batch.h. */
const struct metric_row send_queue_metrics[] = {
    {.name = "otelcol_exporter_sent_spans", .type = METRIC_COUNTER, .level = METRIC_BASIC, .unit = "{spans}",
     .help = "Number of spans successfully sent to destination."},
    {.name = "otelcol_exporter_send_failed_spans", .type = METRIC_COUNTER, .level = METRIC_BASIC, .unit = "{spans}",
     .help = "Number of spans in failed attempts to send to destination, after all retries."},
    {.name = "otelcol_exporter_enqueue_failed_spans", .type = METRIC_COUNTER, .level = METRIC_BASIC,
     .unit = "{spans}", .help = "Number of spans that found no room in the sending queue."},
    {.name = "otelcol_exporter_queue_size", .type = METRIC_GAUGE, .level = METRIC_BASIC, .unit = "{batches}",
     .help = "Current size of the sending queue, in units of its sizer.", .from_start = true},
    {.name = "otelcol_exporter_queue_capacity", .type = METRIC_GAUGE, .level = METRIC_BASIC, .unit = "{batches}",
     .help = "Fixed capacity of the sending queue, in units of its sizer.", .from_start = true},
    {.name = "otelcol_exporter_in_flight_requests", .type = METRIC_GAUGE, .level = METRIC_BASIC,
     .unit = "{requests}", .help = "Batches being sent or waiting for their next attempt.", .from_start = true},
    {.name = "otelcol_exporter_queue_batch_send_size", .type = METRIC_HISTOGRAM, .level = METRIC_DETAILED,
     .unit = "{units}", .help = "Number of spans in each batch sent.",
     .bounds = size_buckets_spans, .n_bounds = ARRAY_LEN(size_buckets_spans)},
    {.name = "otelcol_exporter_queue_batch_send_size_bytes", .type = METRIC_HISTOGRAM, .level = METRIC_DETAILED,
     .unit = "By", .help = "Size of each batch sent, before compression.",
     .bounds = size_buckets_bytes, .n_bounds = ARRAY_LEN(size_buckets_bytes)},
    STORE_METRIC_ROWS,
    {0}};
