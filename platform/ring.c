/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of pointers from one loop to another. The two indexes run freely and are masked; each side
 * keeps a copy of the other's and looks again only when the copy says full or empty, so the cache
 * line of an index moves between CPUs rarely.
 *
 * The consumer's async callback drains what was there when it began; what came meanwhile wakes it
 * again, so a busy producer does not keep the consumer from its other work.
 */
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

#include "platform/loop.h"
#include "platform/loop_priv.h"
#include "platform/mem.h"

struct ring {
    alignas(64) _Atomic uint32_t tail; /* next to write: the producer's */
    uint32_t head_seen;
    alignas(64) _Atomic uint32_t head; /* next to read: the consumer's */
    alignas(64) uint32_t mask;
    void **slots;
    struct loop *consumer;
    void (*fn)(void *ctx, void *msg);
    void *ctx;
    uv_async_t wake; /* data: this */
};

static void on_wake(uv_async_t *a)
{
    struct ring *r = (struct ring *)a->data;
    struct loop *l = r->consumer;
    uint64_t began = loop_call_begin();

    ring_drain(r);
    if (atomic_load_explicit(&r->tail, memory_order_relaxed) !=
        atomic_load_explicit(&r->head, memory_order_relaxed))
        uv_async_send(&r->wake);
    loop_call_end(l, "ring", began);
}

struct ring *ring_new(struct loop *consumer, uint32_t capacity, void (*fn)(void *ctx, void *msg), void *ctx)
{
    struct ring *r = (struct ring *)aligned_alloc(64, sizeof(*r));
    uint32_t size = 1;

    CHECK(r && capacity && capacity <= 1u << 30);
    while (size < capacity)
        size *= 2;
    *r = (struct ring){.mask = size - 1, .consumer = consumer, .fn = fn, .ctx = ctx};
    r->slots = (void **)mem_alloc_array(size, sizeof(*r->slots));
    CHECK(uv_async_init((uv_loop_t *)loop_uv(consumer), &r->wake, on_wake) == 0);
    r->wake.data = r;
    return r;
}

static void on_closed(uv_handle_t *h)
{
    struct ring *r = (struct ring *)h->data;

    free(r->slots);
    free(r);
}

void ring_free(struct ring **rp)
{
    struct ring *r = *rp;

    if (!r)
        return;
    CHECK(atomic_load(&r->tail) == atomic_load(&r->head));
    uv_close((uv_handle_t *)&r->wake, on_closed);
    *rp = NULL;
}

bool ring_push(struct ring *r, void *msg)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    if (tail - r->head_seen > r->mask) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        if (tail - r->head_seen > r->mask)
            return false;
    }
    r->slots[tail & r->mask] = msg;
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
    return true;
}

void ring_wake(struct ring *r)
{
    uv_async_send(&r->wake);
}

unsigned ring_drain(struct ring *r)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    unsigned n = 0;

    while ((int32_t)(tail - head) > 0) {
        void *msg = r->slots[head & r->mask];

        /* Given back before the call: the producer may use the slot. */
        atomic_store_explicit(&r->head, head + 1, memory_order_release);
        r->fn(r->ctx, msg);
        n++;
        head = atomic_load_explicit(&r->head, memory_order_relaxed); /* fn may drain, too */
    }
    return n;
}
