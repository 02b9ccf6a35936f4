/* SPDX-License-Identifier: Apache-2.0 */
/* The feature gate recordpolicy: kept spans say which policy kept them (the reference, 2.10). */
#ifndef TAILRACE_PROCESSORS_TAIL_RECORD_H
#define TAILRACE_PROCESSORS_TAIL_RECORD_H

#include "processors/tail_intern.h"
#include "processors/tail_policy.h"
#include "processors/tail_segment.h"

struct tail_stamp {
    uint32_t policy;        /* + 1; 0: not known */
    uint32_t composite_sub; /* + 1; 0: no composite voted for it */
    bool cached;            /* a decision cache said so */
};

/* The records from `first` on, to the end of their chain, get a scope that says so. */
void tail_record(struct seg_log *l, struct intern *in, uint32_t first, const struct tail_policies *p, struct tail_stamp stamp);

#endif
