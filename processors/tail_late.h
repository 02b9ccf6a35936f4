/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late items of one batch: the spans of a decided trace that stand in one ResourceSpans are one
 * item, and its age is observed once, however its spans are mixed with those of other traces. So
 * the runs of a batch are noted, and counted when the batch is filed.
 *
 * Memory: 16 bytes a run of late spans of the largest batch so far, charged as MEM_TAIL. Threads:
 * one.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_LATE_H
#define TAILRACE_PROCESSORS_TAIL_LATE_H

#include <stdint.h>

#include "platform/mem.h"
#include "platform/metric.h"

struct late_run {
    uint64_t item;  /* of the batch */
    uint32_t trace; /* its index in the table */
    uint32_t age_s; /* since it was decided */
};

struct tail_late {
    struct budget *budget;
    struct late_run *runs;
    uint32_t n, cap;
};

void tail_late_init(struct tail_late *l, struct budget *b);
void tail_late_fini(struct tail_late *l);
void tail_late_add(struct tail_late *l, struct late_run run);
/* The batch is filed: observes the age of each item once. */
void tail_late_count(struct tail_late *l, struct series *ages);

#endif
