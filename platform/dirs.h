/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that are made, and stay made after a power cut. */
#ifndef TAILRACE_PLATFORM_DIRS_H
#define TAILRACE_PLATFORM_DIRS_H

#include <stdbool.h>
#include <sys/types.h>

#include "platform/check.h"

/* Makes the directory, with parents also what is missing above it; one that exists is fine. The name of a new one is
 * synced in the directory above, once. 0, or -1 with errno. */
int dir_make(const char *path, mode_t mode, bool parents) MUST_USE;

#endif
