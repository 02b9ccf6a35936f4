/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers for request bodies, recycled while they are hot in cache: a fresh page costs a fault, and
 * faults were a third of the cost of receiving.
 *
 * Threads: one owner takes buffers; any thread may give one back (a payload ends where its last
 * span does). The pool outlives its owner until the last buffer is back.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_POOL_H
#define TAILRACE_RECEIVERS_OTLP_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "platform/check.h"

struct body_pool;

/* idle_bytes: what at most waits unused. */
struct body_pool *body_pool_new(size_t idle_bytes) MUST_USE;
/* The owner leaves. */
void body_pool_free(struct body_pool **p);

/* The capacity a buffer for n bytes would have: what to charge before taking it. */
size_t body_pool_capacity(size_t n);
/* NULL: no memory. */
uint8_t *body_pool_take(struct body_pool *p, size_t n) MUST_USE;
/* ctx is the pool: fits payload_new_ext(). */
void body_pool_give(void *ctx, uint8_t *bytes);
/* Now and then: gives half of what lies idle back to the system, unless the pool was used since. */
void body_pool_trim(struct body_pool *p);
size_t body_pool_idle_bytes(const struct body_pool *p);

#endif
