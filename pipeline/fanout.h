/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fan-out, both kinds, on one worker.
 *
 *   outlet   the end of a pipeline: its exporters (and connectors). Books stay the pipeline's.
 *   inlet    the exit of a receiver or connector: the pipelines it feeds, each with books of its
 * own.
 *
 * Neither copies a span: branches get views of the same payloads, and a branch that edits derives
 * its own (model/batch.h), so no branch sees what another changes.
 */
#ifndef TAILRACE_PIPELINE_FANOUT_H
#define TAILRACE_PIPELINE_FANOUT_H

#include "component/component.h"
#include "platform/list.h"

struct outlet {
    struct list link; /* among former ones */
    struct component **to;
    size_t n;
    struct ledger *branches; /* what each holds now; n > 1 only */
    struct list joins;       /* fan-outs under way, for the audit */
};

/* Takes the batch. With several branches each span is booked in the batch's ledger once, when all
 * branches have ended: exported when all delivered it, else with the fate of the branch that lost
 * most of this batch. The waiter gets the worst of their answers. */
void outlet_push(struct outlet *o, struct batch **take);

/* One pipeline as an inlet sees it. */
struct head {
    struct ledger *ledger;
    struct outlet *first; /* its first processor alone, or its exporters */
};

struct inlet {
    struct head *heads;
    size_t n;
    struct list joins;
};

/* See host_accept(). received_ns: now, monotonic. */
void inlet_accept(struct inlet *in, struct payload **p, struct request_info *info, struct waiter w,
                  uint64_t received_ns);
/* A connector's batch: it ends as exported in its own pipeline when every next pipeline has
 * answered for it; a bad answer goes back to whoever waits, or is a drop when nobody does. Takes
 * the batch. */
void inlet_push(struct inlet *in, struct batch **take);

/* For the audit. What the pipelines' books hold on behalf of joins, and what the joins' branches
 * hold instead. */
uint64_t outlet_joined_spans(const struct outlet *o);
uint64_t outlet_branch_spans(const struct outlet *o);
uint64_t inlet_joined_spans(const struct inlet *in);

#endif
