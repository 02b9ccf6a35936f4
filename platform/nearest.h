/* SPDX-License-Identifier: Apache-2.0 */
/* The right name for a misspelt one. Any thread. */
#ifndef TAILRACE_PLATFORM_NEAREST_H
#define TAILRACE_PLATFORM_NEAREST_H

#include <stddef.h>

/* The candidate most like `word`, or NULL when none is near. next(ctx, i) gives the i-th candidate,
 * NULL at the end. */
const char *nearest_name(const char *word, const char *(*next)(const void *ctx, size_t i),
                         const void *ctx);

#endif
