/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging and cutting. A partition holds one growing batch; partitions stand in a list in the order
 * of their flush deadlines (the order they began) and in hash chains by key.
 *
 * The queue's units travel with the pieces, so that together they give back exactly what came in:
 * spans and bytes by the size of each piece, a request with its last piece.
 */
#include "exporters/queue_batch.h"

#include <stdlib.h>
#include <string.h>

#include "model/otlp_encode.h"
#include "platform/hash.h"

#define CHAINS 256u
#define MAX_PARTITIONS 10000u

/* ---- sizes ---- */

enum queue_sizer queue_sizer_of(const char *name)
{
    if (name != NULL && strcmp(name, "bytes") == 0)
        return SIZER_BYTES;
    return name != NULL && strcmp(name, "items") == 0 ? SIZER_ITEMS : SIZER_REQUESTS;
}

const char *queue_batch_sizer(const struct queue_settings *q)
{
    if (q->batch.sizer != NULL && q->batch.sizer[0] != '\0')
        return q->batch.sizer;
    return q->sizer_set ? q->sizer : "items";
}

int64_t queue_size_of(const struct batch *b, enum queue_sizer sizer)
{
    switch (sizer) {
    case SIZER_ITEMS:
        return (int64_t)b->n_spans;
    case SIZER_BYTES:
        return (int64_t)otlp_encoded_size(b);
    case SIZER_REQUESTS:
        break;
    }
    return 1;
}

/* ---- waiters ---- */

struct queue_waiter {
    struct waiter w;
    unsigned pieces;
    struct answer_detail worst;
    char text[256];
};

struct queue_waiters {
    size_t n;
    struct queue_waiter **v;
};

struct queue_waiters *queue_waiters_new(struct waiter w)
{
    struct queue_waiters *l;

    if (w.fn == NULL)
        return NULL;
    l = mem_alloc(sizeof(*l));
    l->n = 1;
    l->v = mem_alloc(sizeof(struct queue_waiter *));
    l->v[0] = mem_alloc(sizeof(**l->v));
    l->v[0]->w = w;
    l->v[0]->pieces = 1;
    return l;
}

void queue_waiters_join(struct queue_waiters **to, struct queue_waiters **take)
{
    struct queue_waiters *a = *to, *b = *take;

    *take = NULL;
    if (a == NULL || b == NULL) {
        *to = a != NULL ? a : b;
        return;
    }
    a->v = mem_grow(a->v, (a->n + b->n) * sizeof(struct queue_waiter *));
    memcpy(a->v + a->n, b->v, b->n * sizeof(struct queue_waiter *));
    a->n += b->n;
    free(b->v);
    free(b);
}

struct queue_waiters *queue_waiters_share(struct queue_waiters *w)
{
    struct queue_waiters *l;

    if (w == NULL)
        return NULL;
    l = mem_alloc(sizeof(*l));
    l->n = w->n;
    l->v = mem_alloc_array(w->n, sizeof(struct queue_waiter *));
    memcpy(l->v, w->v, w->n * sizeof(struct queue_waiter *));
    for (size_t i = 0; i < w->n; i++)
        w->v[i]->pieces++;
    return l;
}

static void waiter_end(struct queue_waiter *w, const struct answer_detail *d)
{
    if (d->answer > w->worst.answer) {
        w->worst = *d;
        strncpy(w->text, d->text != NULL ? d->text : "", sizeof(w->text) - 1);
        w->worst.text = w->text;
    }
    if (--w->pieces > 0)
        return;
    w->w.fn(w->w.ctx, &w->worst);
    free(w);
}

void queue_waiters_end(struct queue_waiters **wp, const struct answer_detail *d)
{
    struct queue_waiters *l = *wp;

    *wp = NULL;
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->n; i++)
        waiter_end(l->v[i], d);
    free(l->v);
    free(l);
}

/* ---- partitions ---- */

struct partition {
    struct list node;
    struct partition *chain_next;
    uint64_t hash;
    struct ledger *ledger;
    struct slice key; /* behind this struct */
    struct batch *batch;
    int64_t size;  /* of batch, by the batcher's sizer */
    int64_t units; /* of the queue */
    struct queue_waiters *waiters;
    uint64_t due_ns;
};

struct queue_batcher {
    const struct queue_settings *q;
    enum queue_sizer sizer, queue_sizer;
    const struct queue_batcher_ops *ops;
    void *ctx;
    struct list partitions; /* by due_ns */
    struct partition *chains[CHAINS];
    unsigned n_partitions;
    struct buf key; /* scratch */
};

struct queue_batcher *queue_batcher_new(const struct queue_settings *q, const struct queue_batcher_ops *ops, void *ctx)
{
    struct queue_batcher *bt = mem_alloc(sizeof(*bt));

    bt->q = q;
    bt->sizer = queue_sizer_of(queue_batch_sizer(q));
    bt->queue_sizer = queue_sizer_of(q->sizer);
    bt->ops = ops;
    bt->ctx = ctx;
    list_init(&bt->partitions);
    return bt;
}

void queue_batcher_free(struct queue_batcher **b)
{
    struct queue_batcher *bt = *b;

    *b = NULL;
    if (bt == NULL)
        return;
    CHECK(list_empty(&bt->partitions));
    buf_free(&bt->key);
    free(bt);
}

/* All values of all metadata keys; counts keep "a","b" apart from "ab". */
static struct slice key_of(struct queue_batcher *bt, const struct batch *b)
{
    const struct str_list *names = &bt->q->batch.partition.metadata_keys;
    const char *value;

    buf_clear(&bt->key);
    for (size_t i = 0; i < names->n; i++) {
        for (size_t k = 0; (value = request_info_get(b->info, names->v[i], k)) != NULL; k++)
            buf_put(&bt->key, value, strlen(value) + 1);
        buf_putc(&bt->key, '\x01');
    }
    return slice_of(bt->key.p, bt->key.len);
}

static struct partition *partition_find(struct queue_batcher *bt, struct ledger *l, struct slice key, uint64_t hash)
{
    struct partition *p = bt->chains[hash % CHAINS];

    while (p != NULL && !(p->hash == hash && p->ledger == l && slice_eq(p->key, key)))
        p = p->chain_next;
    return p;
}

static struct partition *partition_new(struct queue_batcher *bt, struct ledger *l, struct slice key, uint64_t hash)
{
    struct partition *p = mem_alloc(sizeof(*p) + key.len);
    struct partition **chain = &bt->chains[hash % CHAINS];

    p->hash = hash;
    p->ledger = l;
    if (key.len > 0)
        memcpy(p + 1, key.p, key.len);
    p->key = slice_of(p + 1, key.len);
    p->chain_next = *chain;
    *chain = p;
    list_add_tail(&bt->partitions, &p->node);
    bt->n_partitions++;
    return p;
}

static void partition_free(struct queue_batcher *bt, struct partition *p)
{
    struct partition **at = &bt->chains[p->hash % CHAINS];

    while (*at != p)
        at = &(*at)->chain_next;
    *at = p->chain_next;
    list_del(&p->node);
    bt->n_partitions--;
    free(p);
}

/* All of it, and the partition is gone. */
static void partition_emit(struct queue_batcher *bt, struct partition *p)
{
    struct batch *b = p->batch;
    struct queue_waiters *w = p->waiters;
    int64_t units = p->units;

    partition_free(bt, p);
    bt->ops->ready(bt->ctx, &b, units, w);
}

/* ---- cutting ---- */

/* Bytes of the envelopes around a span that opens a new scope or resource: bodies, tags, lengths. */
static uint64_t envelope_bytes(const struct payload *p, uint32_t span, uint32_t *scope, uint32_t *resource)
{
    uint32_t at = p->spans[span].scope;
    const struct scope *s = &p->scopes[at];
    const struct resource *r = &p->resources[s->resource];
    uint64_t bytes = 0;

    if (at == *scope)
        return 0;
    bytes += s->scope.len + s->schema_url.len + 24;
    *scope = at;
    if (s->resource != *resource)
        bytes += r->resource.len + r->schema_url.len + 24;
    *resource = s->resource;
    return bytes;
}

/* How many of the first spans fit into max bytes of encoding; an estimate: unknown fields are not seen. */
static uint64_t spans_within(const struct batch *b, uint64_t max)
{
    uint64_t n = 0, bytes = 0;

    for (uint32_t i = 0; i < b->n_parts; i++) {
        const struct part *part = &b->parts[i];
        uint32_t scope = UINT32_MAX, resource = UINT32_MAX;

        for (uint32_t k = part->first; k < part->first + part->n; k++, n++) {
            bytes += part->payload->spans[k].rec_len + envelope_bytes(part->payload, k, &scope, &resource);
            if (bytes > max)
                return n;
        }
    }
    return n;
}

/* What the first n spans give back of the partition's units. */
static int64_t units_share(const struct queue_batcher *bt, const struct partition *p, const struct batch *head)
{
    int64_t units = bt->queue_sizer == SIZER_REQUESTS ? 0 : queue_size_of(head, bt->queue_sizer);

    return units < p->units ? units : p->units;
}

static struct batch *cut(struct queue_batcher *bt, struct partition *p, uint64_t n, int64_t *units)
{
    struct batch *head = batch_split(p->batch, n);

    *units = units_share(bt, p, head);
    p->units -= *units;
    p->size = queue_size_of(p->batch, bt->sizer);
    return head;
}

/* A piece that the estimate took for small enough; halved where it was wrong. */
static void emit_piece(struct queue_batcher *bt, struct batch *b, int64_t units, struct queue_waiters *w)
{
    struct batch *head;
    int64_t head_units = 0;

    if (queue_size_of(b, bt->sizer) <= bt->q->batch.max_size) {
        bt->ops->ready(bt->ctx, &b, units, w);
        return;
    }
    if (b->n_spans == 1) {
        bt->ops->too_large(bt->ctx, &b, units, w);
        return;
    }
    head = batch_split(b, b->n_spans / 2);
    if (bt->queue_sizer != SIZER_REQUESTS)
        head_units = units / 2;
    emit_piece(bt, head, head_units, queue_waiters_share(w));
    emit_piece(bt, b, units - head_units, w);
}

/* Gives the first pieces of max_size away. False when nothing is left of the partition. */
static bool cut_down(struct queue_batcher *bt, struct partition *p)
{
    int64_t max = bt->q->batch.max_size, units;

    while (max > 0 && p->size > max) {
        uint64_t n = bt->sizer == SIZER_BYTES ? spans_within(p->batch, (uint64_t)max) : (uint64_t)max;
        struct batch *head;

        if (p->batch->n_spans == 1) {
            struct batch *b = p->batch;
            struct queue_waiters *w = p->waiters;

            units = p->units;
            partition_free(bt, p);
            emit_piece(bt, b, units, w);
            return false;
        }
        if (n >= p->batch->n_spans)
            n = p->batch->n_spans - 1;
        head = cut(bt, p, n > 0 ? n : 1, &units);
        emit_piece(bt, head, units, queue_waiters_share(p->waiters));
    }
    return true;
}

/* ---- work ---- */

static struct partition *partition_for(struct queue_batcher *bt, const struct batch *b, uint64_t now_ns)
{
    struct slice key = key_of(bt, b);
    uint64_t hash = hash_bytes(key.p, key.len) ^ (uint64_t)(uintptr_t)b->ledger;
    struct partition *p = partition_find(bt, b->ledger, key, hash);

    if (p != NULL)
        return p;
    if (bt->n_partitions >= MAX_PARTITIONS) /* the oldest makes room */
        partition_emit(bt, CONTAINER_OF(list_pop(&bt->partitions), struct partition, node));
    p = partition_new(bt, b->ledger, key, hash);
    p->due_ns = now_ns + (uint64_t)bt->q->batch.flush_timeout_ns;
    return p;
}

void queue_batcher_add(struct queue_batcher *bt, struct batch **take, int64_t units, struct queue_waiters *w,
                       uint64_t now_ns)
{
    struct partition *p = partition_for(bt, *take, now_ns);

    p->size += queue_size_of(*take, bt->sizer);
    p->units += units;
    queue_waiters_join(&p->waiters, &w);
    if (p->batch == NULL) {
        p->batch = *take;
        *take = NULL;
    } else {
        batch_append(p->batch, take);
    }
    if (cut_down(bt, p) && p->size >= bt->q->batch.min_size)
        partition_emit(bt, p);
}

uint64_t queue_batcher_due_ns(const struct queue_batcher *bt)
{
    if (list_empty(&bt->partitions))
        return UINT64_MAX;
    return CONTAINER_OF(bt->partitions.next, struct partition, node)->due_ns;
}

void queue_batcher_tick(struct queue_batcher *bt, uint64_t now_ns)
{
    while (queue_batcher_due_ns(bt) <= now_ns)
        partition_emit(bt, CONTAINER_OF(list_pop(&bt->partitions), struct partition, node));
}

void queue_batcher_flush(struct queue_batcher *bt)
{
    queue_batcher_tick(bt, UINT64_MAX - 1);
}
