/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes out: spans of kept traces, copied from the log into payloads of their own, sorted by
 * resource and scope across all traces that were decided together. So the output repeats each
 * resource and scope once a batch, however many requests the spans came in.
 *
 *   tail_emit_add  record after record, until tail_emit_full
 *   tail_emit_flush  one payload: EMIT_SPANS or max_bytes at most, but for one large run
 *
 * A flush that the budget refuses changes nothing: the records stay, the caller tries again later.
 * Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_EMIT_H
#define TAILRACE_PROCESSORS_TAIL_EMIT_H

#include "processors/tail_intern.h"
#include "processors/tail_segment.h"

#define EMIT_SPANS 8192u
#define EMIT_BYTES (4u << 20) /* the most max_bytes may be, */
#define EMIT_BYTES_LEAST (64u << 10)

struct emit_item {
    uint32_t ref;
    uint32_t next;   /* of the same scope; index + 1; 0: last */
    uint32_t policy; /* that kept it, + 1; 0: not known */
};

struct tail_emit {
    struct seg_log *log;
    struct intern *in;
    struct budget *budget;
    void (*out)(void *ctx, struct payload **take);
    void *ctx;

    struct emit_item *items;
    uint32_t n_items, cap_items;
    uint32_t first_resource, last_resource; /* interned */
    uint32_t n_resources, n_scopes;
    uint64_t n_spans, n_bytes; /* of items; bytes with resources and scopes */
    uint64_t max_bytes;        /* of a payload with its index */
    bool wants_policies;       /* of who calls: while out() runs it sees, */
    uint32_t *policies;        /* for each span of the payload, the policy that kept it, + 1 */
    uint64_t cap_policies, n_policies;
};

void tail_emit_init(struct tail_emit *e, struct seg_log *l, struct intern *in, struct budget *b,
                    uint64_t max_bytes, void (*out)(void *ctx, struct payload **take), void *ctx);
void tail_emit_fini(struct tail_emit *e);

/* Takes the record and those it goes on in; returns the next in the chain. policy: that kept it, + 1. */
uint32_t tail_emit_add(struct tail_emit *e, uint32_t ref, uint32_t policy);
/* Sends what was added as one payload; 0 also when there is nothing. -1: the budget refused. */
int tail_emit_flush(struct tail_emit *e) MUST_USE;
/* Forgets what was added, its records too. Returns how many spans that were. */
uint64_t tail_emit_discard(struct tail_emit *e);

/* What a flush now would take: bytes and index. */
static inline uint64_t tail_emit_cost(const struct tail_emit *e)
{
    return e->n_bytes + e->n_spans * sizeof(struct span);
}

static inline bool tail_emit_full(const struct tail_emit *e)
{
    return e->n_spans >= EMIT_SPANS || tail_emit_cost(e) >= e->max_bytes;
}

#endif
