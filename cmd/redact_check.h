/* SPDX-License-Identifier: Apache-2.0 */
/* redact-check: what each redaction rule of a configuration does to given spans, and what still looks
 * like a secret afterwards. Main thread. */
#ifndef TAILRACE_CMD_REDACT_CHECK_H
#define TAILRACE_CMD_REDACT_CHECK_H

#include "pipeline/plan.h"

/* input: a file of requests, NULL or "-" for standard input. The report goes to out; *n_left: how many
 * finds are left in all pipelines together. -1 with err. */
int redact_check(const struct plan *plan, const char *input, struct buf *out, uint64_t *n_left, struct err *err) MUST_USE;

#endif
