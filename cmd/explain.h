/* SPDX-License-Identifier: Apache-2.0 */
/* tailrace explain: why was a trace kept, or not? Asks a running daemon. */
#ifndef TAILRACE_CMD_EXPLAIN_H
#define TAILRACE_CMD_EXPLAIN_H

#include "platform/buf.h"
#include "platform/err.h"

/* admin: HOST:PORT of its metrics page; NULL: the usual one. -1 with err: no answer, or the trace is
 * not known there. */
int explain_trace(const char *admin, const char *trace_id, struct buf *out, struct err *err) MUST_USE;

#endif
