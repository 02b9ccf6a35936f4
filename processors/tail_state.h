/* SPDX-License-Identifier: Apache-2.0 */
/* The feature gate usetracestate, on the way out: kept spans say in tracestate by what threshold they were
 * kept (the reference, 2.11). */
#ifndef TAILRACE_PROCESSORS_TAIL_STATE_H
#define TAILRACE_PROCESSORS_TAIL_STATE_H

#include "model/batch.h"
#include "platform/metric.h"
#include "processors/tail_policy.h"

/* policies: for each span of the batch the policy that kept it, + 1; 0: the span stays as it is. Spans whose
 * tracestate cannot be read stay as they are and are counted. */
void tail_state_write(struct batch *b, const uint32_t *policies, const struct tail_policies *p, struct series *unparseable);

#endif
