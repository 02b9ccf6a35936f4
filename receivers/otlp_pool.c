/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: a free list per size class, four classes to a power of two, so that at most a fifth of
 * a buffer is unused. Buffers given back by other threads go to a stack that the owner empties.
 */
#include "receivers/otlp_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "platform/mem.h"

#define SMALLEST_SHIFT 11 /* 2 KiB */
#define CLASSES        80 /* up to 2 GiB */

struct pooled {
    struct pooled *next;
    size_t cap;
    unsigned class;
    _Alignas(16) uint8_t bytes[];
};

struct body_pool {
    pthread_t owner; /* whoever took first */
    bool owned;
    struct pooled *idle[CLASSES];
    size_t idle_bytes, max_idle_bytes;
    bool used;                         /* since the last trim */
    _Atomic(struct pooled *) returned; /* by other threads */
    _Atomic size_t refs;               /* the owner and each buffer that is out */
    _Atomic bool orphaned;
};

/* Class c holds (4 + c % 4) * 2^(c / 4 + SMALLEST_SHIFT - 2) bytes. */
static size_t class_bytes(unsigned c)
{
    return (size_t)(4 + c % 4) << (c / 4 + SMALLEST_SHIFT - 2);
}

static unsigned class_of(size_t n)
{
    if (n <= (size_t)1 << SMALLEST_SHIFT)
        return 0;
    unsigned shift = 63u - (unsigned)__builtin_clzll(n - 1); /* 2^shift <= n - 1 */
    unsigned quarter =
        (unsigned)((n - 1) >> (shift - 2)) - 4; /* 0..3: which quarter n - 1 lies in */
    return (shift - SMALLEST_SHIFT) * 4 + quarter + 1;
}

size_t body_pool_capacity(size_t n)
{
    return class_bytes(class_of(n));
}

struct body_pool *body_pool_new(size_t idle_bytes)
{
    struct body_pool *p = mem_alloc(sizeof *p);

    p->max_idle_bytes = idle_bytes;
    atomic_store(&p->refs, 1);
    return p;
}

static void free_all(struct pooled *b)
{
    while (b) {
        struct pooled *next = b->next;
        free(b);
        b = next;
    }
}

static void pool_unref(struct body_pool *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    free_all(atomic_load(&p->returned));
    free(p);
}

/* Owner only. */
static void keep(struct body_pool *p, struct pooled *b)
{
    if (p->idle_bytes + b->cap > p->max_idle_bytes) {
        free(b);
        return;
    }
    b->next = p->idle[b->class];
    p->idle[b->class] = b;
    p->idle_bytes += b->cap;
}

static void collect_returned(struct body_pool *p)
{
    struct pooled *b = atomic_load_explicit(&p->returned, memory_order_relaxed);

    if (!b)
        return;
    b = atomic_exchange(&p->returned, NULL);
    while (b) {
        struct pooled *next = b->next;
        keep(p, b);
        b = next;
    }
}

void body_pool_free(struct body_pool **pp)
{
    struct body_pool *p = *pp;

    *pp = NULL;
    if (!p)
        return;
    atomic_store(&p->orphaned, true);
    for (unsigned c = 0; c < CLASSES; c++)
        free_all(p->idle[c]);
    pool_unref(p);
}

uint8_t *body_pool_take(struct body_pool *p, size_t n)
{
    unsigned class = class_of(n);
    struct pooled *b = p->idle[class];

    p->used = true;
    if (!p->owned) {
        p->owner = pthread_self();
        p->owned = true;
    }
    if (!b) {
        collect_returned(p);
        b = p->idle[class];
    }
    if (b) {
        p->idle[class] = b->next;
        p->idle_bytes -= b->cap;
    } else {
        b = mem_try(sizeof *b + class_bytes(class));
        if (!b)
            return NULL;
        b->cap = class_bytes(class);
        b->class = class;
    }
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return b->bytes;
}

void body_pool_give(void *ctx, uint8_t *bytes)
{
    struct body_pool *p = ctx;
    struct pooled *b = CONTAINER_OF(bytes, struct pooled, bytes);

    if (atomic_load(&p->orphaned)) {
        free(b);
    } else if (pthread_equal(p->owner, pthread_self())) {
        keep(p, b);
    } else {
        b->next = atomic_load(&p->returned);
        while (!atomic_compare_exchange_weak(&p->returned, &b->next, b))
            ;
    }
    pool_unref(p);
}

void body_pool_trim(struct body_pool *p)
{
    bool used = p->used;

    p->used = false;
    collect_returned(p);
    if (used)
        return;
    size_t goal = p->idle_bytes / 2;
    for (unsigned c = CLASSES; c-- > 0 && p->idle_bytes > goal;) {
        while (p->idle[c] && p->idle_bytes > goal) {
            struct pooled *b = p->idle[c];
            p->idle[c] = b->next;
            p->idle_bytes -= b->cap;
            free(b);
        }
    }
}

size_t body_pool_idle_bytes(const struct body_pool *p)
{
    return p->idle_bytes;
}
