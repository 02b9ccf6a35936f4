/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of tail_sampling: the Collector's, and our own. One set per worker. */
#ifndef TAILRACE_PROCESSORS_TAIL_METRICS_H
#define TAILRACE_PROCESSORS_TAIL_METRICS_H

#include "platform/metric.h"
#include "processors/tail_policy.h"

/* Why a trace was decided before its time. */
enum early_reason { EARLY_NUM_TRACES, EARLY_BUFFER, EARLY_REASONS };

struct tail_policy_series {
    struct series *votes[3]; /* by enum vote */
    struct series *spans[3], *bytes[3]; /* the same in spans, in bytes; NULL without their gates */
    struct series *executions, *execution_us;
    uint64_t executed;  /* since the last tick */
    uint64_t sampled_ns; /* estimated time, not yet counted */
};

struct tail_metrics {
    struct series *decisions[3]; /* by enum vote */
    struct series *cache_releases[2], *late_spans[2]; /* not sampled, sampled */
    struct series *new_traces, *decided_early, *evaluation_errors, *too_large, *unparseable;
    struct series *timer_latency, *late_age, *early_age, *removal_age, *on_memory;
    struct series *early[EARLY_REASONS];
    struct series *held_bytes, *held_spans, *segments;
    struct series *storage_working, *storage_bytes, *storage_faults, *storage_corrupt, *storage_torn;
    struct series *restored_spans, *restored_traces, *restored_cut, *cut_traces;
    struct tail_policy_series *policies; /* by policy of the set */
    uint32_t n_policies;
};

extern const struct metric_row tail_metric_rows[];

/* id: the processor's, as written; its instance name stands before the policies' names. */
void tail_metrics_init(struct tail_metrics *m, struct metric_set *set, const char *id,
                       const struct tail_policies *p);
/* The series of a sampler with storage. */
void tail_metrics_storage(struct tail_metrics *m, struct metric_set *set);
void tail_metrics_fini(struct tail_metrics *m);
/* Moves what was gathered since the last tick into the series. */
void tail_metrics_tick(struct tail_metrics *m);

#endif
