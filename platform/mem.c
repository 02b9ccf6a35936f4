/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: allocation that cannot fail, allocation that may, the shared budget, arenas.
 *
 * The budget is a total and one counter per owner, each on a cache line of its own: workers touch
 * the total once per request or segment. A charge adds first and takes back when that went over, so
 * two workers at the edge may both be refused where one would have fitted; never both admitted.
 */
#include "platform/mem.h"

#include <stdalign.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAPPED_FROM_BYTES = 1 << 20, KEPT_BYTES = 2 << 20 };

static _Noreturn void out_of_memory(size_t size)
{
    char msg[96];
    int n = snprintf(msg, sizeof(msg), "tailrace: out of memory (%zu bytes for a control object)\n", size);

    if (n > 0 && write(STDERR_FILENO, msg, (size_t)n) < 0)
        _exit(1);
    _exit(1);
}

/* glibc raises its threshold for mapping a block by itself to the largest block freed, 32 MiB at most,
 * and keeps twice that much in every thread's arena: a few large bodies and the process has doubled. */
void mem_setup(void)
{
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

void mem_trim(void)
{
    malloc_trim(0);
}

void *mem_alloc(size_t size)
{
    return mem_alloc_array(1, size);
}

void *mem_alloc_array(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);

    if (!p)
        out_of_memory(n * size);
    return p;
}

void *mem_grow(void *p, size_t new_size)
{
    void *q = realloc(p, new_size ? new_size : 1);

    if (!q)
        out_of_memory(new_size);
    return q;
}

char *mem_dup(const char *s)
{
    return s ? mem_dup_n(s, strlen(s)) : NULL;
}

char *mem_dup_n(const char *s, size_t n)
{
    char *d = (char *)mem_grow(NULL, n + 1);

    if (n)
        memcpy(d, s, n);
    d[n] = '\0';
    return d;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *s;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    return s;
}

void *mem_try(size_t size)
{
    return malloc(size ? size : 1);
}

void *mem_try_whole(size_t size)
{
    uint8_t *p = mem_try(size);
#if defined(MADV_POPULATE_WRITE) && !defined(TAILRACE_SANITIZED)
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) & ~(page - 1);

    if (p && size >= MAPPED_FROM_BYTES) /* not before Linux 5.14: then one by one */
        (void)madvise((void *)from, ((uintptr_t)p + size - from) & ~(page - 1), MADV_POPULATE_WRITE);
#endif
    return p;
}

const char *mem_owner_name(enum mem_owner owner)
{
    static const char *const names[MEM_OWNERS] = {
        [MEM_BODY] = "body", [MEM_INDEX] = "index", [MEM_TAIL] = "tail",
        [MEM_QUEUE] = "queue", [MEM_OUTPUT] = "output", [MEM_CONN] = "conn",
    };

    CHECK(owner < MEM_OWNERS);
    return names[owner];
}

struct line {
    alignas(64) _Atomic uint64_t n;
};

struct budget {
    struct line used;
    struct line by[MEM_OWNERS];
    struct line soft, limit; /* read mostly */
    struct line refusals;    /* at the door */
};

struct budget *budget_new(uint64_t soft_bytes, uint64_t limit_bytes)
{
    struct budget *b = (struct budget *)aligned_alloc(64, sizeof(*b));

    if (!b)
        out_of_memory(sizeof(*b));
    memset(b, 0, sizeof(*b));
    budget_set_limits(b, soft_bytes, limit_bytes);
    return b;
}

void budget_free(struct budget **b)
{
    free(*b);
    *b = NULL;
}

void budget_set_limits(struct budget *b, uint64_t soft_bytes, uint64_t limit_bytes)
{
    uint64_t limit = limit_bytes ? limit_bytes : UINT64_MAX;
    uint64_t soft = soft_bytes ? soft_bytes : limit;

    CHECK(soft <= limit);
    atomic_store_explicit(&b->soft.n, soft, memory_order_relaxed);
    atomic_store_explicit(&b->limit.n, limit, memory_order_relaxed);
}

static uint64_t get(const struct line *l)
{
    return atomic_load_explicit(&l->n, memory_order_relaxed);
}

static bool take(struct budget *b, enum mem_owner owner, size_t bytes, uint64_t limit)
{
    uint64_t before = get(&b->used);

    do { /* never more than there is, not for a moment: another thread would be refused for it */
        if (before > limit || bytes > limit - before)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used.n, &before, before + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    atomic_fetch_add_explicit(&b->by[owner].n, bytes, memory_order_relaxed);
    return true;
}

/* How far a request may fill the budget. A quarter is left to those of less than a 64th; a daemon that
 * holds nearly nothing takes one of any size. */
static uint64_t room_at_the_door(const struct budget *b, size_t bytes)
{
    uint64_t soft = get(&b->soft);

    if (soft == UINT64_MAX || bytes <= soft / 64 || get(&b->used) <= soft / 8)
        return soft;
    return soft - soft / 4;
}

bool budget_admit(struct budget *b, enum mem_owner owner, size_t bytes)
{
    if (LIKELY(take(b, owner, bytes, room_at_the_door(b, bytes))))
        return true;
    atomic_fetch_add_explicit(&b->refusals.n, 1, memory_order_relaxed);
    return false;
}

bool budget_charge(struct budget *b, enum mem_owner owner, size_t bytes)
{
    return take(b, owner, bytes, get(&b->limit));
}

void budget_force(struct budget *b, enum mem_owner owner, size_t bytes)
{
    atomic_fetch_add_explicit(&b->used.n, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&b->by[owner].n, bytes, memory_order_relaxed);
}

void budget_release(struct budget *b, enum mem_owner owner, size_t bytes)
{
    uint64_t had = atomic_fetch_sub_explicit(&b->by[owner].n, bytes, memory_order_relaxed);

    CHECK(had >= bytes);
    had = atomic_fetch_sub_explicit(&b->used.n, bytes, memory_order_relaxed);
    CHECK(had >= bytes);
}

uint64_t budget_used(const struct budget *b)
{
    return get(&b->used);
}

uint64_t budget_used_by(const struct budget *b, enum mem_owner owner)
{
    return get(&b->by[owner]);
}

/* 0 for "unlimited", as it was given. */
static uint64_t limit_of(const struct line *l)
{
    uint64_t n = get(l);

    return n == UINT64_MAX ? 0 : n;
}

uint64_t budget_soft(const struct budget *b)
{
    return limit_of(&b->soft);
}

uint64_t budget_limit(const struct budget *b)
{
    return limit_of(&b->limit);
}

uint64_t budget_refusals(const struct budget *b)
{
    return get(&b->refusals);
}

bool budget_over_soft(const struct budget *b)
{
    return get(&b->used) > get(&b->soft);
}

/* Arenas: chunks in a list, the newest first; an object too large for a chunk gets its own. */
enum { ARENA_CHUNK = 4096, ARENA_ALIGN = 16 };

struct chunk {
    alignas(16) struct chunk *next;
    size_t used, cap;
    alignas(16) uint8_t bytes[];
};

struct arena {
    struct chunk *chunks;
};

struct arena *arena_new(void)
{
    return (struct arena *)mem_alloc(sizeof(struct arena));
}

void arena_free(struct arena **a)
{
    struct chunk *c, *next;

    if (!*a)
        return;
    for (c = (*a)->chunks; c; c = next) {
        next = c->next;
        free(c);
    }
    free(*a);
    *a = NULL;
}

static struct chunk *chunk_new(size_t cap)
{
    struct chunk *c = (struct chunk *)mem_alloc(sizeof(*c) + cap);

    c->cap = cap;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t need = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct chunk *c = a->chunks;
    void *p;

    CHECK(need >= size);
    if (!c || c->cap - c->used < need) {
        bool large = need > ARENA_CHUNK / 4 && c; /* keep filling the present chunk */

        c = chunk_new(need > ARENA_CHUNK / 4 ? need : ARENA_CHUNK);
        c->next = large ? a->chunks->next : a->chunks;
        if (large)
            a->chunks->next = c;
        else
            a->chunks = c;
    }
    p = c->bytes + c->used;
    c->used += need;
    return p;
}

char *arena_dup_n(struct arena *a, const char *s, size_t n)
{
    char *d = (char *)arena_alloc(a, n + 1);

    if (n)
        memcpy(d, s, n);
    return d;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *d;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    d = (char *)arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(d, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return d;
}
