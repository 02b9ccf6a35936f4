/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with secrets: read whole, and watched. A change counts when two looks in a row saw the same
 * file, so that one who writes in place gets the time to finish; links are followed, so that a mounted
 * Kubernetes secret's swap is seen. Threads: one loop.
 */
#ifndef TAILRACE_EXTENSIONS_SECRET_FILE_H
#define TAILRACE_EXTENSIONS_SECRET_FILE_H

#include "platform/err.h"
#include "platform/loop.h"

/* The text, NUL-terminated, without white space at its end. NULL with err: it cannot be read, or is over
 * 1 MiB. Wipe and free it with secret_free. */
char *secret_read(const char *path, struct err *err) MUST_USE;
void secret_free(char **text); /* fine on NULL */

struct secret_file;
/* changed() comes after each change; a file that is gone is none. */
struct secret_file *secret_watch(struct loop *l, const char *path, void (*changed)(void *ctx), void *ctx) MUST_USE;
void secret_unwatch(struct secret_file **f); /* fine on NULL */

#endif
