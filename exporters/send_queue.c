/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending queue: where every batch of an exporter is, from push to its end.
 *
 *   blocked   no room, and block_on_overflow: the sender is not answered yet
 *   parked    on disk only, with sending_queue.storage (send_store.c)
 *   merging   in a partition of the batcher (queue_batch.c)
 *   ready     waits for a free slot
 *   running   an attempt is under way         \ in a slot: num_consumers of them,
 *   pausing   waits for its next attempt      / spread over the workers
 *
 * Every entry (push, done, timer, drain) changes lists and then calls step(), the one place that
 * starts attempts; step() does not nest, so an exporter that answers from within send() costs no
 * stack. One timer serves all deadlines.
 *
 * A batch's end: the exporter forgets its state, the queue gives its units back, the books and
 * metrics are written, and last the sender is answered, who may push again at once.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/send_queue_priv.h"
#include "net/grpc.h"
#include "platform/clock.h"
#include "platform/hash.h"

static void step(struct send_queue *q);

int send_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    (void)settings;
    (void)host;
    (void)err;
    *shared = mem_alloc(sizeof(struct send_shared));
    return 0;
}

void send_shared_destroy(void **shared)
{
    free(*shared);
    *shared = NULL;
}

/* ---- bookkeeping ---- */

static void note_units(struct send_queue *q, int64_t units)
{
    q->held_units += units;
    if (q->size != NULL)
        series_set(q->size, (uint64_t)q->held_units);
}

void send_add_units(struct send_queue *q, int64_t units)
{
    atomic_fetch_add_explicit(&q->shared->size, units, memory_order_relaxed);
    note_units(q, units);
}

static void give_units(struct send_queue *q, int64_t units)
{
    send_add_units(q, -units);
    if (q->said_full)
        host_room_again(q->host);
    q->said_full = false;
}

/* Room for units, taken; false: none taken. */
static bool take_units(struct send_queue *q, int64_t units)
{
    int64_t before = atomic_fetch_add_explicit(&q->shared->size, units, memory_order_relaxed);

    if (before > q->cfg.queue->queue_size - units) {
        atomic_fetch_sub_explicit(&q->shared->size, units, memory_order_relaxed);
        return false;
    }
    note_units(q, units);
    return true;
}

struct send *send_new(struct send_queue *q, struct batch **take, int64_t units,
                      struct queue_waiters *w)
{
    struct send *s = mem_alloc(sizeof(*s));

    s->batch = *take;
    *take = NULL;
    s->q = q;
    s->units = units;
    s->waiters = w;
    list_init(&s->node);
    budget_force(q->host->budget, MEM_QUEUE, SEND_BYTES);
    return s;
}

void send_to(struct send *s, enum phase phase, struct list *l)
{
    list_del(&s->node);
    s->phase = (uint8_t)phase;
    list_add_tail(l, &s->node);
}

static void leave_slot(struct send *s)
{
    struct send_queue *q = s->q;

    if (!s->in_slot)
        return;
    s->in_slot = false;
    q->n_slots_used--;
    series_set(q->in_flight, q->n_slots_used);
}

static void enter_slot(struct send *s)
{
    struct send_queue *q = s->q;

    if (s->in_slot)
        return;
    s->in_slot = true;
    q->n_slots_used++;
    series_set(q->in_flight, q->n_slots_used);
}

struct batch *send_free(struct send *s)
{
    struct send_queue *q = s->q;
    struct batch *b = s->batch;

    if (q->cfg.ops->forget != NULL && s->phase != PHASE_BLOCKED)
        q->cfg.ops->forget(q->cfg.exporter, s);
    leave_slot(s);
    list_del(&s->node);
    if (s->phase != PHASE_BLOCKED)
        give_units(q, s->units);
    q->held_spans -= b->n_spans;
    budget_release(q->host->budget, MEM_QUEUE, SEND_BYTES);
    free(s);
    return b;
}

struct batch *send_unwrap(struct send *s)
{
    struct batch *b = s->batch;

    list_del(&s->node);
    budget_release(s->q->host->budget, MEM_QUEUE, SEND_BYTES);
    free(s);
    return b;
}

/* ---- admission ---- */

void send_go_on(struct send_queue *q, struct batch **take, int64_t units, struct queue_waiters *w,
                bool stored)
{
    struct send *s;

    if (q->batcher != NULL) {
        queue_batcher_add(q->batcher, take, units, w, loop_now_ns(q->host->loop));
        return;
    }
    s = send_new(q, take, units, w);
    s->stored = stored;
    send_to(s, PHASE_READY, &q->ready);
}

/* On disk, it is answered. A disk that says no leaves the sender waiting until the backend has it; such a
 * batch is merged with no other, so that all pieces of what is merged are on disk. */
static void enqueue_stored(struct send_queue *q, struct batch *b, int64_t units)
{
    if (!stored_take(q, b, units))
        send_to(send_new(q, &b, units, NULL), PHASE_READY, &q->ready);
}

/* It has its room. */
static void enqueue(struct send_queue *q, struct batch *b, int64_t units)
{
    struct queue_waiters *w = NULL;
    struct waiter sender = {0};

    q->held_spans += b->n_spans;
    if (q->store != NULL) {
        enqueue_stored(q, b, units);
        return;
    }
    if (queue_is_on(q) && !q->cfg.queue->wait_for_result) {
        sender = b->waiter;
        b->waiter = (struct waiter){0};
    }
    if (q->batcher != NULL) {
        w = queue_waiters_new(b->waiter);
        b->waiter = (struct waiter){0};
    }
    send_go_on(q, &b, units, w, false);
    if (sender.fn != NULL)
        sender.fn(sender.ctx, &(struct answer_detail){.answer = ANSWER_OK});
}

static void block(struct send_queue *q, struct batch *b, int64_t units)
{
    struct send *s;

    q->held_spans += b->n_spans;
    s = send_new(q, &b, units, NULL);
    send_to(s, PHASE_BLOCKED, &q->blocked);
}

/* A blocked batch goes on; its units have been taken. */
static void unblock(struct send_queue *q, struct send *s)
{
    int64_t units = s->units;
    struct batch *b = send_free(s);

    enqueue(q, b, units);
}

/* The bound on disk space is one on the queue. A disk that fails is another matter: enqueue_stored(). */
static bool disk_has_room(const struct send_queue *q, const struct batch *b)
{
    return q->store == NULL || queue_store_has_room(q->store, b->n_bytes);
}

static void unblock_what_fits(struct send_queue *q)
{
    while (!list_empty(&q->blocked)) {
        struct send *s = CONTAINER_OF(q->blocked.next, struct send, node);

        if (q->draining)
            send_add_units(q, s->units);
        else if (!disk_has_room(q, s->batch) || !take_units(q, s->units))
            return;
        list_pop(&q->blocked);
        unblock(q, s);
    }
}

static void admit(struct send_queue *q, struct batch *b)
{
    int64_t units = queue_size_of(b, q->sizer);

    if (q->sizer != SIZER_REQUESTS && units > q->cfg.queue->queue_size)
        send_reject(q, b, DROP_TOO_LARGE, ANSWER_REJECTED, "element size too large");
    else if (list_empty(&q->blocked) && disk_has_room(q, b) && take_units(q, units))
        enqueue(q, b, units);
    else if (q->cfg.queue->block_on_overflow || (b->must_wait && b->waiter.fn == NULL))
        block(q, b, units);
    else
        send_reject(q, b, DROP_QUEUE_FULL, ANSWER_RETRY, "sending queue is full");
}

/* Over three quarters, and not because that much is being sent. */
static bool is_filling_up(const struct send_queue *q, int64_t size)
{
    int64_t capacity = q->cfg.queue->queue_size;

    return size > capacity - capacity / 4 && !list_empty(&q->ready);
}

/* What can never fit is not full: it is refused for its size when it comes. */
enum room send_queue_room(struct send_queue *q, uint64_t n_spans, uint64_t n_bytes)
{
    const uint64_t by_sizer[] = {[SIZER_REQUESTS] = 1, [SIZER_ITEMS] = n_spans, [SIZER_BYTES] = n_bytes};
    uint64_t units, capacity;
    int64_t size;

    if (!queue_is_on(q) || q->drained)
        return ROOM_YES;
    units = by_sizer[q->sizer] > 0 ? by_sizer[q->sizer] : 1;
    capacity = (uint64_t)q->cfg.queue->queue_size;
    size = atomic_load_explicit(&q->shared->size, memory_order_relaxed);
    if (q->store != NULL && !queue_store_has_room(q->store, n_bytes)) {
        q->said_full = true;
        return q->cfg.queue->block_on_overflow ? ROOM_NO_WAIT : ROOM_NO;
    }
    if (units > capacity || (list_empty(&q->blocked) && size <= (int64_t)(capacity - units)))
        return is_filling_up(q, size) ? ROOM_TIGHT : ROOM_YES;
    q->said_full = true;
    return q->cfg.queue->block_on_overflow ? ROOM_NO_WAIT : ROOM_NO;
}

void send_queue_push(struct send_queue *q, struct batch **take)
{
    struct batch *b = *take;

    *take = NULL;
    if (b->n_spans == 0)
        batch_exported(&b);
    else if (q->drained)
        send_reject(q, b, DROP_SHUTDOWN, ANSWER_RETRY, "the exporter is shutting down");
    else if (queue_is_on(q))
        admit(q, b);
    else
        enqueue(q, b, 0);
    step(q);
}

/* ---- from the batcher ---- */

static void on_merged(void *ctx, struct batch **take, int64_t units, struct queue_waiters *w)
{
    struct send_queue *q = ctx;

    struct send *s = send_new(q, take, units, w);

    s->stored = q->store != NULL;
    send_to(s, PHASE_READY, &q->ready);
}

static void on_too_large(void *ctx, struct batch **take, int64_t units, struct queue_waiters *w)
{
    struct send_queue *q = ctx;

    send_to(send_new(q, take, units, w), PHASE_TOO_LARGE, &q->ready);
}

static const struct queue_batcher_ops batcher_ops = {.ready = on_merged, .too_large = on_too_large};

/* ---- attempts ---- */

static void attempt(struct send *s)
{
    struct send_queue *q = s->q;
    uint64_t now = loop_now_ns(q->host->loop);

    s->timed_out = false;
    s->due_ns = q->cfg.timeout_ns > 0 ? now + (uint64_t)q->cfg.timeout_ns : UINT64_MAX;
    send_to(s, PHASE_RUNNING, &q->running);
    q->cfg.ops->send(q->cfg.exporter, s);
}

static void begin(struct send *s)
{
    struct send_queue *q = s->q;

    enter_slot(s);
    if (q->batch_spans != NULL && q->host->metric_level >= METRIC_DETAILED) {
        series_observe(q->batch_spans, (double)s->batch->n_spans);
        series_observe(q->batch_bytes, (double)s->batch->n_bytes);
    }
    if (q->cfg.retry != NULL)
        retry_begin(&s->retry, q->cfg.retry, loop_now_ns(q->host->loop));
    attempt(s);
}

/* By due_ns; pauses differ by jitter, so the place is found from the end. */
static void pause_until(struct send *s, uint64_t due_ns)
{
    struct send_queue *q = s->q;
    struct list *at = q->pausing.prev;

    s->due_ns = due_ns;
    while (at != &q->pausing && CONTAINER_OF(at, struct send, node)->due_ns > due_ns)
        at = at->prev;
    list_del(&s->node);
    s->phase = PHASE_PAUSING;
    list_add_head(at, &s->node);
}

static void duration_text(uint64_t ns, char dst[static 32])
{
    if (ns >= NS_PER_SEC)
        snprintf(dst, 32, "%.9gs", (double)ns / 1e9);
    else
        snprintf(dst, 32, "%.6gms", (double)ns / 1e6);
}

static void log_retry(struct send_queue *q, const char *error, uint64_t delay_ns)
{
    char interval[32];

    duration_text(delay_ns, interval);
    log_info(&q->host->log, "Exporting failed. Will retry the request after interval.",
             LOG_STR("error", error), LOG_STR("interval", interval));
}

/* A drain with a backend that is away: what follows this exporter shall try. */
static bool hand_over(struct send *s, const char *error)
{
    struct send_queue *q = s->q;
    uint64_t n_spans = s->batch->n_spans;

    if (!send_hand_over(s))
        return false;
    log_info(&q->host->log, "Exporting failed. The exporter that follows takes the request over.", LOG_STR("error", error),
             LOG_UINT("items", n_spans));
    q->handing_over = true;
    return true;
}

/* A failure that may pass: pause, or give up. */
static void retry_or_end(struct send *s, const struct send_result *r, const char *error)
{
    struct send_queue *q = s->q;
    uint64_t now = loop_now_ns(q->host->loop);
    char text[640];
    int64_t delay;

    if (q->draining && s->stored) {
        q->leave_stored = true;
        send_end_stored(s);
        return;
    }
    if (q->draining && hand_over(s, error))
        return;
    if (q->draining) {
        snprintf(text, sizeof(text), "interrupted due to shutdown: %s", error);
        send_end_failed(s, DROP_SHUTDOWN, text, r);
        return;
    }
    if (q->cfg.retry == NULL) {
        send_end_failed(s, r->reason != DROP_NONE ? r->reason : DROP_RETRIES_ENDED, error, r);
        return;
    }
    delay = retry_next(&s->retry, q->cfg.retry, now, r->throttled ? r->hint_ns : 0,
                       random_unit(&q->rng));
    if (delay < 0) {
        snprintf(text, sizeof(text), "no more retries left: %s", error);
        send_end_failed(s, r->reason != DROP_NONE ? r->reason : DROP_RETRIES_ENDED, text, r);
        return;
    }
    log_retry(q, error, (uint64_t)delay);
    pause_until(s, now + (uint64_t)delay);
}

/* The error as the Collector words it: permanent and throttled ones say so. */
static void error_text(const struct send *s, const struct send_result *r, char dst[static 512])
{
    char hint[32];

    if (r->outcome == SEND_PERMANENT) {
        snprintf(dst, 512, "%sPermanent error: %s",
                 s->q->cfg.retry != NULL ? "not retryable error: " : "", r->text);
    } else if (r->throttled) {
        duration_text(r->hint_ns, hint);
        snprintf(dst, 512, "Throttle (%s), error: %s", hint, r->text);
    } else {
        snprintf(dst, 512, "%s", r->text);
    }
}

static void log_partial_success(const struct send_queue *q, const struct send_result *r)
{
    if (r->rejected_spans > 0 || (r->text != NULL && r->text[0] != '\0'))
        log_warn(&q->host->log, "Partial success response",
                 LOG_STR("message", r->text != NULL ? r->text : ""),
                 LOG_UINT("dropped_spans", r->rejected_spans));
}

void send_done(struct send *s, const struct send_result *result)
{
    struct send_queue *q = s->q;
    struct send_result r = *result;
    char error[512];

    CHECK(s->phase == PHASE_RUNNING || s->phase == PHASE_ABORTING);
    if (r.text == NULL && r.outcome != SEND_OK)
        r.text = "unknown error";
    if (s->timed_out && r.outcome != SEND_OK)
        r = (struct send_result){
            .outcome = SEND_RETRY,
            .grpc_code = GRPC_DEADLINE_EXCEEDED,
            .text = "rpc error: code = DeadlineExceeded desc = context deadline exceeded"};
    if (r.outcome == SEND_OK) {
        log_partial_success(q, &r);
        send_end_delivered(s, r.rejected_spans);
    } else {
        error_text(s, &r, error);
        if (r.outcome == SEND_PERMANENT)
            send_end_failed(s, r.reason != DROP_NONE ? r.reason : DROP_NOT_RETRYABLE, error, &r);
        else
            retry_or_end(s, &r, error);
    }
    step(q);
}

/* ---- time ---- */

static void abort_attempt(struct send *s, bool timed_out)
{
    struct send_queue *q = s->q;

    CHECK(q->cfg.ops->abort != NULL);
    s->timed_out = timed_out;
    send_to(s, PHASE_ABORTING, &q->aborting);
    q->cfg.ops->abort(q->cfg.exporter, s);
}

static void end_overdue(struct send_queue *q, uint64_t now)
{
    while (!list_empty(&q->running)) {
        struct send *s = CONTAINER_OF(q->running.next, struct send, node);

        if (s->due_ns > now && !q->deadline)
            return;
        abort_attempt(s, !q->deadline);
    }
}

static void resume_due(struct send_queue *q, uint64_t now)
{
    while (!list_empty(&q->pausing)) {
        struct send *s = CONTAINER_OF(q->pausing.next, struct send, node);

        if (s->due_ns > now && !q->draining)
            return;
        attempt(s);
    }
}

static void hand_over_list(struct list *l)
{
    for (struct list *at = l->next, *next; at != l; at = next) {
        struct send *s = CONTAINER_OF(at, struct send, node);

        next = at->next;
        if (s->phase != PHASE_TOO_LARGE)
            send_hand_over(s); /* what stays is on disk, or has no one to go to */
    }
}

static void hand_over_rest(struct send_queue *q)
{
    hand_over_list(&q->ready);
    hand_over_list(&q->pausing);
}

/* The drain's deadline: what has not begun never will. */
static void drop_ready(struct send_queue *q)
{
    static const struct send_result r = {.outcome = SEND_RETRY};

    while (!list_empty(&q->ready))
        send_end_failed(CONTAINER_OF(list_pop(&q->ready), struct send, node), DROP_SHUTDOWN,
                   "interrupted due to shutdown: the deadline passed", &r);
}

static uint64_t earliest(const struct send_queue *q)
{
    uint64_t at = UINT64_MAX, due;

    if (!list_empty(&q->running) &&
        (due = CONTAINER_OF(q->running.next, struct send, node)->due_ns) < at)
        at = due;
    if (!list_empty(&q->pausing) &&
        (due = CONTAINER_OF(q->pausing.next, struct send, node)->due_ns) < at)
        at = due;
    if (q->batcher != NULL && (due = queue_batcher_due_ns(q->batcher)) < at)
        at = due;
    if (q->store != NULL && (due = stored_due_ns(q, loop_now_ns(q->host->loop))) < at)
        at = due;
    due = loop_now_ns(q->host->loop) + POLL_MS * NS_PER_MS;
    if ((!list_empty(&q->blocked) || q->draining) && due < at)
        at = due;
    return at;
}

/* The timer may fire too early (it then arms itself again), never too late. */
static void arm(struct send_queue *q)
{
    uint64_t at = q->drained ? UINT64_MAX : earliest(q);
    uint64_t now = loop_now_ns(q->host->loop);

    if (at == UINT64_MAX) {
        if (q->armed_ns != UINT64_MAX)
            timer_stop(q->timer);
        q->armed_ns = UINT64_MAX;
    } else if (at < q->armed_ns) {
        q->armed_ns = at;
        timer_start(q->timer, at > now ? (at - now + NS_PER_MS - 1) / NS_PER_MS : 0, 0);
    }
}

static void on_timer(void *ctx)
{
    struct send_queue *q = ctx;

    q->armed_ns = UINT64_MAX;
    if (q->draining && host_deadline_passed(q->host))
        q->deadline = true;
    step(q);
}

/* ---- the one place where things move ---- */

static void start_ready(struct send_queue *q)
{
    static const struct send_result r = {.outcome = SEND_PERMANENT};
    char text[96];

    while (!list_empty(&q->ready)) {
        struct send *s = CONTAINER_OF(q->ready.next, struct send, node);

        if (s->phase != PHASE_TOO_LARGE && q->n_slots_used >= q->slots)
            return;
        list_pop(&q->ready);
        if (s->phase == PHASE_TOO_LARGE) {
            snprintf(text, sizeof(text),
                     "one span size is greater than max size, dropping items: %llu",
                     (unsigned long long)s->batch->n_spans);
            send_end_failed(s, DROP_TOO_LARGE, text, &r);
        } else {
            begin(s);
        }
    }
}

static void step(struct send_queue *q)
{
    uint64_t now;

    if (q->stepping)
        return;
    q->stepping = true;
    now = loop_now_ns(q->host->loop);
    end_overdue(q, now);
    unblock_what_fits(q);
    if (q->batcher != NULL && q->draining)
        queue_batcher_flush(q->batcher);
    else if (q->batcher != NULL)
        queue_batcher_tick(q->batcher, now);
    if (q->leave_stored || q->deadline)
        stored_leave(q);
    if (q->handing_over || q->deadline)
        hand_over_rest(q);
    if (q->deadline)
        drop_ready(q);
    resume_due(q, now);
    stored_step(q, now);
    start_ready(q);
    unblock_what_fits(q); /* attempts that ended at once made room */
    q->stepping = false;
    arm(q);
    if (q->leave_stored)
        stored_leave(q);
    if (q->draining && !q->drained && q->held_spans == 0 && stored_idle(q))
        loop_defer(q->host->loop, &q->finish);
}

static void finish(void *ctx)
{
    struct send_queue *q = ctx;

    if (q->drained || q->held_spans > 0 || !stored_idle(q))
        return;
    q->drained = true;
    arm(q);
    q->done(q->cfg.exporter);
}

void send_queue_drain(struct send_queue *q, void (*done)(void *exporter))
{
    if (q->draining)
        return;
    q->draining = true;
    q->done = done;
    if (host_deadline_passed(q->host))
        q->deadline = true;
    step(q);
}

uint64_t send_queue_held_spans(const struct send_queue *q)
{
    return q->held_spans;
}

/* ---- life ---- */

static struct series *series_with(struct send_queue *q, enum queue_row row,
                                  const struct metric_label *l, size_t n)
{
    return metric_series(q->host->metrics, &send_queue_metrics[row], l, n);
}

static void make_series(struct send_queue *q)
{
    const struct metric_label gauge[] = {{"exporter", q->host->id}, {"data_type", "traces"}};

    q->labels = mem_alloc_array(q->cfg.n_labels + 1, sizeof(*q->labels));
    q->labels[0] = (struct metric_label){"exporter", q->host->id};
    for (size_t i = 0; i < q->cfg.n_labels; i++)
        q->labels[i + 1] =
            (struct metric_label){q->cfg.labels[i].name, mem_dup(q->cfg.labels[i].value)};
    q->n_labels = q->cfg.n_labels + 1;
    q->sent = series_with(q, ROW_SENT, q->labels, q->n_labels);
    q->failed = series_with(q, ROW_FAILED, q->labels, q->n_labels);
    q->enqueue_failed = series_with(q, ROW_ENQUEUE_FAILED, gauge, 1);
    q->in_flight = series_with(q, ROW_IN_FLIGHT, gauge, 2);
    if (!queue_is_on(q))
        return;
    q->batch_spans = series_with(q, ROW_BATCH_SPANS, gauge, 1);
    q->batch_bytes = series_with(q, ROW_BATCH_BYTES, gauge, 1);
    q->size = series_with(q, ROW_SIZE, gauge, 2);
    q->capacity = series_with(q, ROW_CAPACITY, gauge, 2);
    /* workers are summed on the page, and the capacity is theirs together */
    series_set(q->capacity, q->host->worker == 0 ? (uint64_t)q->cfg.queue->queue_size : 0);
}

/* This worker's share of num_consumers, at least one. */
static uint32_t slots_of(const struct send_queue *q)
{
    uint64_t n = q->host->n_workers > 0 ? q->host->n_workers : 1;
    uint64_t all = queue_is_on(q) ? (uint64_t)q->cfg.queue->num_consumers : UINT32_MAX;

    return all >= UINT32_MAX ? UINT32_MAX : (uint32_t)((all + n - 1) / n);
}

struct send_queue *send_queue_new(struct host *h, const struct send_config *cfg)
{
    struct send_queue *q = mem_alloc(sizeof(*q));
    struct list *lists[] = {&q->blocked, &q->ready, &q->running, &q->aborting, &q->pausing,
                            &q->restored, &q->parked};

    q->host = h;
    q->cfg = *cfg;
    q->shared = h->shared != NULL ? h->shared : &q->own_shared;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        list_init(lists[i]);
    q->sizer = queue_is_on(q) ? queue_sizer_of(cfg->queue->sizer) : SIZER_REQUESTS;
    q->slots = slots_of(q);
    q->armed_ns = UINT64_MAX;
    random_secure(&q->rng, sizeof(q->rng));
    q->rng |= 1;
    q->finish = (struct deferred){.fn = finish, .ctx = q};
    q->timer = timer_new(h->loop, __func__, on_timer, q);
    if (queue_is_on(q) && cfg->queue->batch_enabled)
        q->batcher = queue_batcher_new(cfg->queue, &batcher_ops, q);
    make_series(q);
    return q;
}

int send_queue_open(struct send_queue *q, struct err *err)
{
    if (!queue_is_on(q) || q->cfg.queue->storage == NULL)
        return 0;
    q->store = queue_store_open(q->host, q->cfg.queue->storage, q, err);
    if (q->store == NULL)
        return -1;
    arm(q);
    return 0;
}

static void drop_list(struct list *l)
{
    static const struct send_result r = {.outcome = SEND_RETRY};

    while (!list_empty(l))
        send_end_failed(CONTAINER_OF(list_pop(l), struct send, node), DROP_SHUTDOWN,
                   "the exporter was closed", &r);
}

void send_queue_free(struct send_queue **qp)
{
    struct send_queue *q = *qp;

    *qp = NULL;
    if (q == NULL)
        return;
    q->stepping = true; /* nothing starts any more */
    CHECK(list_empty(&q->running) &&
          list_empty(&q->aborting)); /* the exporter has ended its attempts */
    if (q->batcher != NULL)
        queue_batcher_flush(q->batcher);
    stored_leave(q);
    drop_list(&q->blocked);
    drop_list(&q->ready);
    drop_list(&q->pausing);
    loop_undefer(q->host->loop, &q->finish);
    timer_free(&q->timer);
    queue_batcher_free(&q->batcher);
    queue_store_close(&q->store);
    for (size_t i = 1; i < q->n_labels; i++)
        free((void *)(uintptr_t)q->labels[i].value);
    free(q->labels);
    free(q);
}
