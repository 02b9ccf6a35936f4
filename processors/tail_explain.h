/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last decisions, for those who ask why a trace was kept or not: a ring of records of one size,
 * written as traces are decided, read when somebody asks (/debug/traces/ID, tailrace explain).
 *
 * Memory: explain_decisions records over all workers, charged as MEM_TAIL with the first decision.
 * Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_EXPLAIN_H
#define TAILRACE_PROCESSORS_TAIL_EXPLAIN_H

#include "processors/tail_intern.h"
#include "processors/tail_policy.h"
#include "processors/tail_segment.h"
#include "processors/trace_table.h"

enum explain_why { WHY_TIME, WHY_NUM_TRACES, WHY_BUFFER, WHY_SHUTDOWN, WHY_TOO_LARGE, WHY_ITEM };

#define EXPLAIN_SERVICES 4
#define EXPLAIN_SERVICE_BYTES 40
#define EXPLAIN_NOT_ASKED 0xff

struct explained {
    uint8_t id[16];
    uint64_t born_s, decided_s; /* wall clock, to the second */
    uint64_t n_spans, n_bytes;  /* bytes 0: not counted */
    uint32_t policy, sub; /* that kept it, the sub-policy that a composite kept it for; + 1; 0: none */
    uint8_t result, why, n_services;
    bool more_services;
    bool restored, cut; /* spans came back from the storage; not all of them */
    char services[EXPLAIN_SERVICES][EXPLAIN_SERVICE_BYTES]; /* of the first records; cut */
    uint64_t facts[]; /* then a vote (uint8_t) for each policy */
};

struct tail_explain {
    struct budget *budget;
    const struct tail_policies *policies;
    uint8_t *ring;
    uint32_t cap, n, next;
    uint32_t record_bytes;
    uint8_t *votes; /* of the trace being judged */
};

void tail_explain_init(struct tail_explain *x, struct budget *b, const struct tail_policies *p, uint64_t n);
void tail_explain_fini(struct tail_explain *x);
uint64_t tail_explain_bytes_for(const struct tail_policies *p, uint64_t n);

/* Before a trace is judged: no policy was asked. */
void tail_explain_begin(struct tail_explain *x);
static inline void tail_explain_vote(struct tail_explain *x, uint32_t policy, enum vote v)
{
    if (x->cap)
        x->votes[policy] = (uint8_t)v;
}
/* Its records are still there. */
void tail_explain_add(struct tail_explain *x, const struct trace *tr, const uint64_t *facts, const struct seg_log *l,
                      const struct intern *in, struct explained what);

/* The latest decision on this trace; NULL: not among the last ones. */
const struct explained *tail_explain_find(const struct tail_explain *x, const uint8_t id[static 16]);
/* In two parts, between which there is room for more: the decision, and what each policy said. */
void tail_explain_print(const struct tail_explain *x, const struct explained *e, struct buf *out);
void tail_explain_print_votes(const struct tail_explain *x, const struct explained *e, struct buf *out);
/* What is known of a trace so far. */
void tail_explain_facts(const struct tail_policies *p, const uint64_t *facts, struct buf *out);
void tail_explain_put_services(const struct explained *e, struct buf *out);
void tail_explain_put_restored(bool restored, bool cut, struct buf *out);
void tail_explain_services(struct explained *e, const struct trace *tr, const struct seg_log *l, const struct intern *in);

#endif
