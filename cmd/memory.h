/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from a plan, in words and numbers: its memory formula, and where a full queue loses spans. Pure. */
#ifndef TAILRACE_CMD_MEMORY_H
#define TAILRACE_CMD_MEMORY_H

#include "pipeline/plan.h"

void memory_print(const struct plan *plan, unsigned n_workers, struct buf *out);
/* Nothing when there is no such place. */
void overflow_print(const struct plan *plan, struct buf *out);

#endif
