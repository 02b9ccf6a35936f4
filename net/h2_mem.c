/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for nghttp2. See h2_mem.h. */
#include "net/h2_mem.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "platform/mem.h"

#define STEP_BYTES 64u
#define N_CLASSES  8u
#define LARGE      N_CLASSES
#define CHARGED    (N_CLASSES + 1)

struct block {
    union {
        struct block *next; /* while it is free */
        size_t capacity;    /* while it is in use */
    };
    size_t class; /* LARGE, CHARGED: not for the lists */
};

_Static_assert(sizeof(struct block) % _Alignof(max_align_t) == 0, "what follows is aligned");

struct h2_mem {
    nghttp2_mem fns;
    struct block *free[N_CLASSES];
    size_t kept_bytes, max_bytes;
    struct budget *budget;
    bool making;
};

static size_t class_of(size_t n)
{
    return n == 0 ? 0 : n > N_CLASSES * STEP_BYTES ? LARGE : (n - 1) / STEP_BYTES;
}

static size_t class_bytes(size_t class)
{
    return (class + 1) * STEP_BYTES;
}

static void *take_large(struct h2_mem *m, size_t n)
{
    bool charged = m->budget && !m->making && n > H2_MEM_FREE_BYTES;
    struct block *b;

    if (n > SIZE_MAX / 2 || (charged && !budget_admit(m->budget, MEM_CONN, n)))
        return NULL;
    b = mem_try(sizeof *b + n);
    if (!b) {
        if (charged)
            budget_release(m->budget, MEM_CONN, n);
        return NULL;
    }
    b->class = charged ? CHARGED : LARGE;
    b->capacity = n;
    return b + 1;
}

static void *take(size_t n, void *ctx)
{
    struct h2_mem *m = ctx;
    size_t class = class_of(n);
    struct block *b;

    if (class == LARGE)
        return take_large(m, n);
    b = m->free[class];
    if (b) {
        m->free[class] = b->next;
        m->kept_bytes -= class_bytes(class);
    } else {
        b = mem_try(sizeof *b + class_bytes(class));
        if (!b)
            return NULL;
        b->class = class;
    }
    b->capacity = class_bytes(class);
    return b + 1;
}

static void give(void *p, void *ctx)
{
    struct h2_mem *m = ctx;
    struct block *b = p;

    if (!p)
        return;
    b--;
    if (b->class == CHARGED)
        budget_release(m->budget, MEM_CONN, b->capacity);
    if (b->class >= LARGE || m->kept_bytes + class_bytes(b->class) > m->max_bytes) {
        free(b);
        return;
    }
    m->kept_bytes += class_bytes(b->class);
    b->next = m->free[b->class];
    m->free[b->class] = b;
}

static void *take_zeroed(size_t n, size_t size, void *ctx)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    void *p = take(n * size, ctx);
    return p ? memset(p, 0, n * size) : NULL;
}

static void *resize(void *p, size_t n, void *ctx)
{
    size_t had = p ? ((struct block *)p - 1)->capacity : 0;

    if (p && n <= had)
        return p;
    void *more = take(n, ctx);
    if (!more)
        return NULL;
    if (had)
        memcpy(more, p, had);
    give(p, ctx);
    return more;
}

struct h2_mem *h2_mem_new(size_t keep_bytes, struct budget *budget)
{
    struct h2_mem *m = mem_alloc(sizeof *m);

#ifdef TAILRACE_SANITIZED
    keep_bytes = 0;
#endif
    *m = (struct h2_mem){.max_bytes = keep_bytes, .budget = budget};
    m->fns = (nghttp2_mem){m, take, give, take_zeroed, resize};
    return m;
}

void h2_mem_free(struct h2_mem **m)
{
    struct h2_mem *old = *m;

    *m = NULL;
    for (size_t i = 0; old && i < N_CLASSES; i++)
        while (old->free[i]) {
            struct block *b = old->free[i];
            old->free[i] = b->next;
            free(b);
        }
    free(old);
}

void *h2_mem_of(struct h2_mem *m)
{
    return m ? &m->fns : NULL;
}

void h2_mem_making(struct h2_mem *m, bool on)
{
    if (m)
        m->making = on;
}

size_t h2_mem_kept_bytes(const struct h2_mem *m)
{
    return m->kept_bytes;
}
