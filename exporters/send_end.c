/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How batches of the sending queue end: books, metrics, log lines in the Collector's words, and
 * last the answer to whoever waits. See send_queue.c.
 */
#include <stdio.h>
#include <string.h>

#include "exporters/send_queue_priv.h"
#include "net/grpc.h"
#include "platform/clock.h"

/* Ends the batch as dropped and tells whoever waits; the sender hears of it last. */
static void end_batch_failed(struct batch *b, struct queue_waiters *w, bool answered,
                             enum drop_reason reason, const struct answer_detail *d)
{
    struct waiter sender = b->waiter;

    if (!answered && (sender.fn != NULL || w != NULL) && d->answer != ANSWER_REJECTED)
        reason = DROP_RETURNED;
    b->waiter = (struct waiter){0};
    batch_drop(&b, reason, d->text);
    queue_waiters_end(&w, d);
    if (sender.fn != NULL)
        sender.fn(sender.ctx, d);
}

static void count_failed(struct send_queue *q, uint64_t n_spans, const struct send_result *r)
{
    struct metric_label labels[12];
    size_t n = 0;

    if (q->host->metric_level < METRIC_DETAILED) {
        series_add(q->failed, n_spans);
        return;
    }
    for (; n < q->n_labels && n < 10; n++)
        labels[n] = q->labels[n];
    labels[n++] = (struct metric_label){"error_type",
                                        r->grpc_code > 0 ? grpc_code_name(r->grpc_code) : "_OTHER"};
    labels[n++] =
        (struct metric_label){"error_permanent", r->outcome == SEND_PERMANENT ? "true" : "false"};
    series_add(metric_series(q->host->metrics, &send_queue_metrics[ROW_FAILED], labels, n),
               n_spans);
}

static void log_failure(struct send_queue *q, const char *message, const char *error,
                        const char *count_key, uint64_t n_spans)
{
    char msg[256];

    snprintf(msg, sizeof(msg), "%s%s%s", message,
             q->cfg.retry == NULL
                 ? " Try enabling retry_on_failure config option to retry on retryable errors."
                 : "",
             queue_is_on(q) ? "" : " Try enabling sending_queue to survive temporary failures.");
    log_error(&q->host->log, msg, LOG_STR("error", error), LOG_UINT(count_key, n_spans));
}

void send_end_failed(struct send *s, enum drop_reason reason, const char *error,
                     const struct send_result *r)
{
    struct send_queue *q = s->q;
    struct queue_waiters *w = s->waiters;
    uint64_t n_spans = s->batch->n_spans;
    bool answered = s->stored; /* what waits is the file */
    struct answer_detail d = {
        .answer = r->outcome == SEND_PERMANENT ? ANSWER_REJECTED : ANSWER_RETRY,
        .grpc_code = r->grpc_code,
        .retry_after_ms = r->throttled ? r->hint_ns / NS_PER_MS : 0,
        .text = error,
    };

    count_failed(q, n_spans, r);
    if (queue_is_on(q))
        log_failure(q, "Exporting failed. Dropping data.", error, "dropped_items", n_spans);
    else
        log_failure(q, "Exporting failed. Rejecting data.", error, "rejected_items", n_spans);
    end_batch_failed(send_free(s), w, answered, reason, &d);
}

void send_end_delivered(struct send *s, uint64_t rejected_spans)
{
    static const struct answer_detail ok = {.answer = ANSWER_OK};
    struct send_queue *q = s->q;
    struct queue_waiters *w = s->waiters;
    struct batch *b = send_free(s);
    struct batch *rejected;

    series_add(q->sent, b->n_spans); /* as the Collector counts: the request was taken */
    if (rejected_spans >= b->n_spans) {
        batch_answer_ok(b);
        batch_drop(&b, DROP_PARTIAL_SUCCESS, NULL);
    } else if (rejected_spans > 0) {
        rejected = batch_split(b, rejected_spans);
        batch_drop(&rejected, DROP_PARTIAL_SUCCESS, NULL);
        batch_exported(&b);
    } else {
        batch_exported(&b);
    }
    queue_waiters_end(&w, &ok);
}

/* Neither delivered nor lost: no failure is counted. Whoever waits for its pieces leaves the file
 * alone. */
void send_end_stored(struct send *s)
{
    static const struct answer_detail later = {.answer = ANSWER_RETRY, .text = "left on disk"};
    struct queue_waiters *w = s->waiters;
    struct batch *b = send_free(s);

    batch_end(&b, FATE_STORED, NULL);
    queue_waiters_end(&w, &later);
}

/* Whoever waits for pieces of what was merged. */
static void on_handed_over(void *ctx, const struct answer_detail *d)
{
    struct queue_waiters *w = ctx;

    queue_waiters_end(&w, d);
}

bool send_hand_over(struct send *s)
{
    struct component *next = s->stored ? NULL : host_successor(s->q->host);
    struct queue_waiters *w = s->waiters;
    struct batch *b;

    if (next == NULL || (w != NULL && s->batch->waiter.fn != NULL))
        return false;
    b = send_free(s);
    if (w != NULL)
        b->waiter = (struct waiter){on_handed_over, w};
    b->must_wait = b->waiter.fn == NULL; /* it had its room */
    next->type->push(next, &b);
    return true;
}

void send_reject(struct send_queue *q, struct batch *b, enum drop_reason reason, enum answer answer,
                 const char *error)
{
    uint64_t n_spans = b->n_spans;
    struct answer_detail d = {.answer = answer, .text = error};

    series_add(q->enqueue_failed, n_spans);
    log_failure(q, "Exporting failed. Rejecting data.", error, "rejected_items", n_spans);
    end_batch_failed(b, NULL, false, reason, &d);
}
