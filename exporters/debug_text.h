/* SPDX-License-Identifier: Apache-2.0 */
/* The debug exporter's texts of a batch, laid out as the Collector lays them out. */
#ifndef TAILRACE_EXPORTERS_DEBUG_TEXT_H
#define TAILRACE_EXPORTERS_DEBUG_TEXT_H

#include "model/batch.h"

uint64_t debug_count_resources(const struct batch *b);

/* One line a span. -1: out is full; it then holds what fitted. */
int debug_text_normal(const struct batch *b, struct buf *out) MUST_USE;
/* All there is to see of each span. -1: likewise. */
int debug_text_detailed(const struct batch *b, struct buf *out) MUST_USE;

#endif
