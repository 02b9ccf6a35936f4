/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed hashing (XXH3, seeded per process so that nobody can aim at one bucket) and random numbers. */
#ifndef TAILRACE_PLATFORM_HASH_H
#define TAILRACE_PLATFORM_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Draws the seed from the kernel. Call once in main before any thread; tests may pass their own. */
void hash_seed(uint64_t seed_or_zero);
uint64_t hash_bytes(const void *p, size_t len);
uint64_t hash_u128(const uint8_t id[static 16]);
/* The same in every process: for what is written to files. */
uint64_t hash_stable(const void *p, size_t len);
/* hash_stable() of long data: faster there. */
uint64_t hash_bulk(const void *p, size_t len);
/* Copies the pieces one behind the other, past the caches when they are long, and returns hash_bulk() of the whole. */
uint64_t hash_copy(uint8_t *to, const struct iovec *iov, unsigned n);

/* xorshift for jitter; not for secrets. State per caller, never 0. */
uint64_t random_next(uint64_t *state);
double random_unit(uint64_t *state); /* [0, 1) */
void random_secure(void *p, size_t len);

#endif
