/* SPDX-License-Identifier: Apache-2.0 */
/* --feature-gates: the Collector's switches. Main thread. */
#ifndef TAILRACE_CMD_GATES_H
#define TAILRACE_CMD_GATES_H

#include "platform/buf.h"
#include "platform/err.h"

/* "+a,-b,c": sets or clears bits of *on (component/gates.h). A warning line for each gate that switches
 * nothing here goes to `warnings`. -1 when one is unknown. */
int gates_parse(const char *list, uint32_t *on, struct buf *warnings, struct err *err) MUST_USE;

/* The table that `featuregate` prints; id not NULL: only that one, -1 when there is none. */
int gates_print(const char *id, struct buf *out, struct err *err) MUST_USE;

#endif
