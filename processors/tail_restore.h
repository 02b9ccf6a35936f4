/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the process before held comes back: requests are read from the journals in slices, walked,
 * and their runs of spans filed like new ones, but for their age, by the worker that owns their
 * trace.
 *
 *   decided before, not kept     nothing: it was booked then
 *   decided before, kept         on its way again, unless it is noted as delivered
 *   else                         filed; the deadline is what it was, and policies judge as they are
 * now
 *
 * Nothing is decided by time before all workers have brought back everything, so that traces are
 * whole. Decisions from before are remembered for late spans, as far as there is room.
 *
 * What comes back is entered into the ledger as accepted. Threads: the sampler's.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_RESTORE_H
#define TAILRACE_PROCESSORS_TAIL_RESTORE_H

#include "processors/tail_exchange.h"
#include "processors/tail_sampler.h"

/* Takes over the decisions of this worker's traces; at start. */
void tail_restore_decisions(struct tail_sampler *s);
/* Goes on for about max_ns. IDLE: this worker has nothing left to bring back. */
enum tail_work tail_restore_work(struct tail_sampler *s, struct tail_exchange *x, uint64_t max_ns);
/* Runs of a request from before, in another worker's message; prepared. */
void tail_restore_runs(struct tail_sampler *s, const struct tail_run *runs, uint32_t n,
                       uint64_t request_ns, uint64_t age_s);
/* A worker or a message has brought what it had. */
void tail_restore_done(struct tail_sampler *s);

#endif
