/* SPDX-License-Identifier: Apache-2.0 */
/* Reading cgroup limits; private to platform/. Any thread. */
#ifndef TAILRACE_PLATFORM_CGROUP_H
#define TAILRACE_PLATFORM_CGROUP_H

#include <stddef.h>

#include "platform/check.h"

/* The start of a small file as a string. -1 when unreadable or empty. */
int cgroup_read(const char *path, char *dst, size_t cap) MUST_USE;

/* Calls fn for the directory of our own group and of each group above it, up to root itself.
 * controller: "" for v2, ",memory," style for v1. */
void cgroup_walk(const char *root, const char *controller, void (*fn)(void *ctx, const char *dir),
                 void *ctx);

#endif
