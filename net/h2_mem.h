/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for nghttp2: free lists of small blocks, one set per worker and user.
 *
 * Problem:  a call of ten spans costs nghttp2 about a dozen allocations, and between allocations
 *           of very different ages (payloads wait in batches) malloc splits and merges them.
 * Design:   blocks of 64 to 512 bytes in steps of 64, each behind a head with its size; freed ones
 *           go to the list of their size. Larger ones go through to malloc.
 * Limits:   at most `keep_bytes` lie in the lists. Blocks of more than H2_MEM_FREE_BYTES are as large as the
 *           peer wants them (a header field that comes in parts): charged as MEM_CONN, refused when there
 *           is no room. What else is in use, and what a new session takes, is the user's to account for.
 *           Sanitized builds keep nothing, so that they go on seeing every mistake.
 * Threads:  one. Sessions that use it must be gone before it.
 */
#ifndef TAILRACE_NET_H2_MEM_H
#define TAILRACE_NET_H2_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/mem.h"

#define H2_MEM_FREE_BYTES 4096u

struct h2_mem;

/* budget NULL: nothing is charged. */
struct h2_mem *h2_mem_new(size_t keep_bytes, struct budget *budget) MUST_USE;
void h2_mem_free(struct h2_mem **m);
/* The nghttp2_mem * for nghttp2_session_*_new3(), without a type so that owners need no nghttp2. m
 * NULL: NULL, which is malloc. */
void *h2_mem_of(struct h2_mem *m);
/* A session is being made: nothing of it is charged or refused. Fine on NULL. */
void h2_mem_making(struct h2_mem *m, bool on);
size_t h2_mem_kept_bytes(const struct h2_mem *m); /* in the lists now */

#endif
