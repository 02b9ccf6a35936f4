/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as text that gathers context on its way up. Three return shapes exist in the whole tree:
 * a pointer or NULL; 0 or -1; a count, negative on error. Functions that fill an err do not log.
 */
#ifndef TAILRACE_PLATFORM_ERR_H
#define TAILRACE_PLATFORM_ERR_H

#include "platform/check.h"

struct err {
    char text[1024]; /* NUL-terminated, cut at the end; empty while nothing failed */
};

/* Sets the text. Returns -1, so that `return err_set(...)` reads well. err may be NULL. */
int err_set(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Puts "context: " before the text. Returns -1. err may be NULL. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
