/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size of a trace as the Collector measures it (the reference, 4.10): what its own encoder would
 * make of the spans, which differs from the bytes that came. A few messages are always written, even
 * empty; zeros and empty strings never are; unknown fields and schema URLs are gone.
 *
 * A trace is a list of items: one for each ResourceSpans of each request that had spans of it. The
 * sizes of the item under way are kept up span by span, in a few words beside the trace's facts.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_SIZE_H
#define TAILRACE_PROCESSORS_TAIL_SIZE_H

#include <stdint.h>

#include "platform/buf.h"

/* Of message bodies. */
uint64_t tail_size_span(struct slice span);
uint64_t tail_size_resource(struct slice resource);
uint64_t tail_size_scope(struct slice scope);

/* Zero before the first span. */
struct tail_size {
    uint64_t items, items_whole; /* bodies of the items before; with tag and length */
    uint64_t item, scope;        /* the open item without its open scope; that scope's body */
    uint64_t key;                /* of the open item; 0: none */
    uint64_t scope_key;
};

/* Where a span stands; equal keys name the same ResourceSpans, the same ScopeSpans. */
struct tail_place {
    uint64_t key, scope_key;
    uint64_t resource_bytes, scope_bytes;
};
void tail_size_add(struct tail_size *z, const struct tail_place *at, uint64_t span_bytes);

uint64_t tail_size_bodies(const struct tail_size *z); /* what maximum_trace_size_bytes bounds */
uint64_t tail_size_whole(const struct tail_size *z);  /* what bytes_limiting spends */

#endif
