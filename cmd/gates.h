/* SPDX-License-Identifier: Apache-2.0 */
/* --feature-gates: the Collector's switches. Main thread. */
#ifndef TAILRACE_CMD_GATES_H
#define TAILRACE_CMD_GATES_H

#include "platform/buf.h"
#include "platform/err.h"

/* "+a,-b,c". One warning line per gate goes to `warnings`. -1 when one is unknown. */
int gates_check(const char *list, struct buf *warnings, struct err *err) MUST_USE;

/* The table that `featuregate` prints; id not NULL: only that one, -1 when there is none. */
int gates_print(const char *id, struct buf *out, struct err *err) MUST_USE;

#endif
