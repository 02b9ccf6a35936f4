/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory. Two kinds, told apart by who sizes them:
 *
 *   small control objects (connections, timers, settings): mem_alloc(); running out of them ends
 *   the process with one clear line, as there is nothing sensible left to do;
 *   everything whose size a peer or the load decides (bodies, indexes, segments, queues, output):
 *   charged to the budget first, then mem_try(); refusal is an ordinary outcome.
 *
 * The budget is one per process and shared by all workers: relaxed atomics, one operation per
 * request or segment, never per span.
 */
#ifndef TAILRACE_PLATFORM_MEM_H
#define TAILRACE_PLATFORM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/check.h"

/* Zeroed memory; never NULL (ends the process when there is none). Free with free(). */
void *mem_alloc(size_t size) MUST_USE;
void *mem_alloc_array(size_t n, size_t size) MUST_USE;
void *mem_grow(void *p, size_t new_size) MUST_USE; /* realloc that does not return NULL */
char *mem_dup(const char *s) MUST_USE;             /* NULL gives NULL */
char *mem_dup_n(const char *s, size_t n) MUST_USE; /* adds the NUL */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2) MUST_USE;

/* Not zeroed; NULL when there is none. For memory that was charged to a budget. */
void *mem_try(size_t size) MUST_USE;
/* The same for what is written whole at once: a large block gets its pages together, not one by one. */
void *mem_try_whole(size_t size) MUST_USE;

/* Who holds budgeted bytes; the names stand in metrics and on /debug pages. */
enum mem_owner {
    MEM_BODY,   /* request bodies being read, decompressed, or waiting */
    MEM_INDEX,  /* span, scope and resource tables; rewritten spans */
    MEM_TAIL,   /* tail sampling: segments, trace tables, decision caches */
    MEM_QUEUE,  /* bookkeeping of sending queues */
    MEM_OUTPUT, /* encoded or compressed bytes on their way out */
    MEM_CONN,   /* connection state and its buffers */
    MEM_OWNERS
};

const char *mem_owner_name(enum mem_owner owner);

struct budget;

/*
 * limit_bytes: what may be charged in all. soft_bytes: where receivers begin to refuse (<= limit).
 * Both 0: unlimited. Thread: any for charge/release/read; create and free on main.
 */
struct budget *budget_new(uint64_t soft_bytes, uint64_t limit_bytes) MUST_USE;
void budget_free(struct budget **b);
void budget_set_limits(struct budget *b, uint64_t soft_bytes, uint64_t limit_bytes);

/* Tells the allocator to give large blocks back to the system as soon as they are freed: what is not
 * charged must not stay in the process either. Once, before any thread runs. */
void mem_setup(void);
/* Gives what the allocator keeps back to the system, as far as whole pages are free. Any thread; takes the
 * allocator's locks one after the other. */
void mem_trim(void);

/* True and charged, or false and nothing charged. `admit` is for new work at the door (soft limit);
 * it leaves a quarter of that to small requests, so that a few large ones do not shut everybody out;
 * `charge` for work already accepted (hard limit); `force` cannot be refused: only for bytes whose
 * size the daemon itself bounds (a segment of a table that was counted in the formula). */
bool budget_admit(struct budget *b, enum mem_owner owner, size_t bytes) MUST_USE;
bool budget_charge(struct budget *b, enum mem_owner owner, size_t bytes) MUST_USE;
void budget_force(struct budget *b, enum mem_owner owner, size_t bytes);
void budget_release(struct budget *b, enum mem_owner owner, size_t bytes);

uint64_t budget_used(const struct budget *b);
uint64_t budget_used_by(const struct budget *b, enum mem_owner owner);
uint64_t budget_soft(const struct budget *b);
uint64_t budget_limit(const struct budget *b);
/* How often budget_admit() has said no: whoever keeps room that it does not use looks whether others are short of it. */
uint64_t budget_refusals(const struct budget *b);
bool budget_over_soft(const struct budget *b);

/* Total memory this process may use: the tightest of cgroup v2 / v1 limits and MemTotal. Bytes. */
uint64_t mem_total_bytes(void);

/* An arena: objects that die together. Not zeroed beyond what _alloc says. One thread. */
struct arena;
struct arena *arena_new(void) MUST_USE;
void arena_free(struct arena **a);
void *arena_alloc(struct arena *a, size_t size) MUST_USE; /* zeroed, aligned to 16, never NULL */
char *arena_dup_n(struct arena *a, const char *s, size_t n) MUST_USE;
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;

#endif
