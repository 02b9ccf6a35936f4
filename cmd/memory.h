/* SPDX-License-Identifier: Apache-2.0 */
/* The memory formula of a plan, in words and numbers. Pure. */
#ifndef TAILRACE_CMD_MEMORY_H
#define TAILRACE_CMD_MEMORY_H

#include "pipeline/plan.h"

void memory_print(const struct plan *plan, unsigned n_workers, struct buf *out);

#endif
