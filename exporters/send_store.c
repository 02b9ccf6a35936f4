/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending queue on disk: when batches go to files, when they come back, and what becomes of the
 * files.
 *
 *   push -> put -> [a slot is free soon?] -- yes --> ready, with its bytes still in memory
 *                                         -- no ---> parked: bytes let go, the books keep the spans
 *   parked -> load -> ready               as slots come free, oldest first, those of former
 * processes before all others
 *
 * So a backend that is away costs some 300 bytes of memory a batch, however large it is, and a
 * queue that keeps up reads nothing back.
 *
 * The file's record goes when every piece of the batch has ended: delivered, or dropped for good.
 * It stays when a drain ends them: as long as attempts succeed a drain sends on what there is; the
 * first that fails leaves the rest where it is (FATE_STORED), for the next process or whoever takes
 * over.
 *
 * Spans taken up are entered in host->ledger: accepted by the first pipeline that ends in this
 * exporter.
 */
#include <stdlib.h>

#include "exporters/send_queue_priv.h"
#include "platform/clock.h"

#define READY_ENOUGH   16u /* loaded ahead of free slots */
#define RESTORE_A_TURN 64u
#define RETRY_LOAD_MS  50

/* All pieces of a stored batch have ended. */
static void on_item_ended(void *ctx, const struct answer_detail *d)
{
    struct stored_item *item = ctx;
    const struct send_queue *q = queue_store_owner(item);

    if ((d->answer == ANSWER_RETRY || d->answer == ANSWER_EXHAUSTED) && q->draining)
        queue_store_leave(&item);
    else
        queue_store_done(&item);
}

static struct queue_waiters *waiters_of(struct stored_item *item)
{
    return queue_waiters_new((struct waiter){on_item_ended, item});
}

static bool enough_ready(const struct send_queue *q)
{
    uint32_t n = 0, most = q->slots < READY_ENOUGH ? q->slots : READY_ENOUGH;

    for (const struct list *l = q->ready.next; l != &q->ready && n < most; l = l->next)
        n++;
    return n >= most;
}

static void park(struct send_queue *q, struct batch *b, int64_t units, struct stored_item *item,
                 struct list *where)
{
    struct send *s = send_new(q, &b, units, waiters_of(item));

    s->item = item;
    s->stored = true;
    send_to(s, PHASE_PARKED, where);
}

bool stored_take(struct send_queue *q, struct batch *b, int64_t units)
{
    struct stored_item *item = queue_store_put(q->store, b);
    struct waiter sender = b->waiter;
    bool waits;

    if (item == NULL)
        return false;
    b->waiter = (struct waiter){0};
    batch_safe(b);
    waits = !list_empty(&q->restored) || !list_empty(&q->parked) || enough_ready(q);
    if (waits && batch_unload(b))
        park(q, b, units, item, &q->parked);
    else
        send_go_on(q, &b, units, waiters_of(item), true);
    if (sender.fn != NULL)
        queue_store_when_safe(q->store, sender);
    return true;
}

/* ---- what is left from before ---- */

static int64_t units_of(const struct send_queue *q, const struct restored *r)
{
    if (q->sizer == SIZER_REQUESTS)
        return 1;
    return (int64_t)(q->sizer == SIZER_ITEMS ? r->n_spans : r->n_bytes);
}

/* The queue may be longer than queue_size then: nothing of it is lost. */
static void take_up(struct send_queue *q)
{
    struct restored r;

    for (unsigned n = 0; n < RESTORE_A_TURN && queue_store_next(q->store, &r); n++) {
        struct batch *b = batch_new_unloaded(r.n_spans, r.n_bytes, q->host->ledger);
        int64_t units = units_of(q, &r);

        b->info = r.info;
        b->received_ns = loop_now_ns(q->host->loop);
        q->held_spans += r.n_spans;
        send_add_units(q, units);
        park(q, b, units, r.item, &q->restored);
    }
}

/* ---- back into memory ---- */

static void go_on(struct send_queue *q, struct send *s)
{
    struct queue_waiters *w = s->waiters;
    int64_t units = s->units;
    struct batch *b = send_unwrap(s);

    send_go_on(q, &b, units, w, true);
}

/* False: not now. */
static bool load_first(struct send_queue *q, struct list *from)
{
    static const struct send_result damaged = {.outcome = SEND_PERMANENT};
    struct send *s = CONTAINER_OF(from->next, struct send, node);
    struct payload *p;

    switch (queue_store_load(s->item, s->batch->n_spans, &p)) {
    case LOAD_LATER:
        q->load_later = true;
        return false;
    case LOAD_DAMAGED:
        send_end_failed(s, DROP_STORAGE, "what was stored on disk is damaged", &damaged);
        return true;
    case LOAD_OK:
        break;
    }
    batch_load(s->batch, &p);
    go_on(q, s);
    return true;
}

static void load_ready(struct send_queue *q)
{
    bool going = true;

    q->load_later = false;
    while (going && !enough_ready(q)) {
        if (!list_empty(&q->restored))
            going = load_first(q, &q->restored);
        else if (!list_empty(&q->parked))
            going = load_first(q, &q->parked);
        else
            going = false;
    }
}

void stored_step(struct send_queue *q, uint64_t now_ns)
{
    if (q->store == NULL)
        return;
    if (!q->draining) {
        queue_store_tick(q->store, now_ns);
        take_up(q);
    }
    if (!q->leave_stored && !q->deadline)
        load_ready(q);
}

uint64_t stored_due_ns(const struct send_queue *q, uint64_t now_ns)
{
    uint64_t due = q->draining ? UINT64_MAX : queue_store_due_ns(q->store);

    if (!q->draining && queue_store_more(q->store))
        return now_ns;
    if (list_empty(&q->restored) && list_empty(&q->parked))
        return due;
    if (q->load_later && now_ns + RETRY_LOAD_MS * NS_PER_MS < due)
        due = now_ns + RETRY_LOAD_MS * NS_PER_MS;
    return !q->load_later && q->n_slots_used < q->slots ? now_ns : due;
}

/* ---- leaving ---- */

static void leave_list(struct list *l)
{
    for (struct list *at = l->next, *next; at != l; at = next) {
        struct send *s = CONTAINER_OF(at, struct send, node);

        next = at->next;
        if (s->stored)
            send_end_stored(s);
    }
}

void stored_leave(struct send_queue *q)
{
    if (q->store == NULL)
        return;
    leave_list(&q->restored);
    leave_list(&q->parked);
    leave_list(&q->ready);
    leave_list(&q->pausing);
}

bool stored_idle(const struct send_queue *q)
{
    return q->store == NULL || queue_store_idle(q->store);
}
