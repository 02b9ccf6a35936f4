/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled sets of attribute keys: one look at length and first eight bytes rejects nearly all.
 * Immutable after the build, shared by all workers.
 */
#ifndef TAILRACE_MODEL_MATCH_H
#define TAILRACE_MODEL_MATCH_H

#include "platform/buf.h"

struct keyset;
/* Keys are copied; duplicates keep the first index. n may be 0. */
struct keyset *keyset_new(const char *const *keys, size_t n) MUST_USE;
void keyset_free(struct keyset **k);
int keyset_find(const struct keyset *k, struct slice key); /* index given to keyset_new, or -1 */

#endif
