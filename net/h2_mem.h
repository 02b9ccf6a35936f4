/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for nghttp2: free lists of small blocks, one set per worker and user.
 *
 * Problem:  a call of ten spans costs nghttp2 about a dozen allocations, and between allocations
 *           of very different ages (payloads wait in batches) malloc splits and merges them.
 * Design:   blocks of 64 to 512 bytes in steps of 64, each behind a head with its size; freed ones
 *           go to the list of their size. Larger ones go through to malloc.
 * Limits:   at most `keep_bytes` lie in the lists; what is in use is the user's to account for.
 *           Sanitized builds keep nothing, so that they go on seeing every mistake.
 * Threads:  one. Sessions that use it must be gone before it.
 */
#ifndef TAILRACE_NET_H2_MEM_H
#define TAILRACE_NET_H2_MEM_H

#include <stddef.h>

#include "platform/check.h"

struct h2_mem;

struct h2_mem *h2_mem_new(size_t keep_bytes) MUST_USE;
void h2_mem_free(struct h2_mem **m);
/* The nghttp2_mem * for nghttp2_session_*_new3(), without a type so that owners need no nghttp2. m
 * NULL: NULL, which is malloc. */
void *h2_mem_of(struct h2_mem *m);
size_t h2_mem_kept_bytes(const struct h2_mem *m); /* in the lists now */

#endif
