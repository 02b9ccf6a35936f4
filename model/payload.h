/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload: the bytes of one OTLP request and the index over them. Spans stay bytes.
 *
 *   bytes   | 0a len ResourceSpans | 0a len ResourceSpans | ...
 *   index     resources[] -> scopes[] -> spans[]   (flat arrays, each a slice into the bytes)
 *
 * A payload built by the walk is immutable and shared by reference. What edits makes a payload of
 * its own (payload_derive): its tables are copied, its bytes are not; rewritten spans live in its
 * arena, and it keeps the payloads alive whose bytes its slices point into.
 *
 * Memory: everything is charged to the budget it was created with, until the last reference goes. Only
 * the payload itself (some 500 bytes, which includes an allowance for a batch around it) is
 * charged without asking.
 * Threads: reference counts are atomic, the last release may happen on any thread; a payload is
 * edited only by the thread that holds its only reference.
 * Limits: 2^32-1 bytes and spans; the walk refuses deeper nesting than OTLP_MAX_DEPTH.
 */
#ifndef TAILRACE_MODEL_PAYLOAD_H
#define TAILRACE_MODEL_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/buf.h"
#include "platform/mem.h"

enum span_flag {
    SPAN_ROOT = 1,    /* no parent: parent_span_id empty or all zero */
    SPAN_DROPPED = 2, /* marked by payload_drop_span, gone at the next payload_compact */
    SPAN_HAS_EVENTS = 4,
    SPAN_HAS_LINKS = 8,
    SPAN_HAS_STATE = 16, /* trace_state not empty */
};

/* One cache line a span. `rec` is the whole record as it stands in its ScopeSpans: tag, length,
 * body; the body is rec + hdr_len, rec_len - hdr_len bytes. */
struct span {
    const uint8_t *rec;
    uint32_t rec_len;
    uint32_t scope; /* index into payload->scopes */
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint64_t start_ns, end_ns;
    uint8_t hdr_len;
    uint8_t status;     /* Status.code; 255 for values over 2 */
    uint8_t kind;       /* SpanKind; 255 for values over 5 */
    uint8_t flags;      /* enum span_flag */
    uint32_t w3c_flags; /* Span.flags */
};
_Static_assert(sizeof(struct span) == 64, "a span's index entry is one cache line");

/* ScopeSpans. `intact`: rec may be emitted as it is (all its spans are there, unchanged, in order). */
struct scope {
    const uint8_t *rec; /* tag, length, body, in its ResourceSpans */
    uint32_t rec_len;
    uint32_t resource; /* index into payload->resources */
    uint32_t first_span, n_spans;
    struct slice scope;      /* InstrumentationScope body (merged when it came in parts) */
    struct slice schema_url; /* last one wins */
    bool has_scope;          /* the field was present, perhaps empty */
    bool intact;
};

/* ResourceSpans. */
struct resource {
    const uint8_t *rec; /* tag, length, body, in the request */
    uint32_t rec_len;
    uint32_t first_scope, n_scopes;
    struct slice resource; /* Resource body */
    struct slice schema_url;
    bool has_resource;
    bool intact;
};

struct payload {
    /* read by all */
    const uint8_t *bytes; /* the request as received, decompressed; NULL in a derived payload */
    uint32_t len;
    uint32_t n_resources, n_scopes, n_spans; /* empty envelopes are not indexed */
    struct resource *resources;
    struct scope *scopes;
    struct span *spans;
    bool intact; /* bytes may be emitted as they are: nothing missing, nothing changed */

    /* private to payload.c and otlp_walk.c */
    struct payload_priv *priv;
};

/* An empty payload that owns `bytes` (malloc'ed; taken, *bytes = NULL) which the caller has charged
 * to b under MEM_BODY as body_charged bytes: that charge moves to the payload. The index comes from
 * otlp_walk(). cap_hint: allocated size of bytes. */
struct payload *payload_new(struct budget *b, uint8_t **bytes, size_t len, size_t body_charged) MUST_USE;

/* Same, when bytes are released by a callback instead of free() (a pool). Called on the thread that
 * drops the last reference. */
struct payload *payload_new_ext(struct budget *b, const uint8_t *bytes, size_t len, size_t body_charged,
                                void (*release)(void *ctx, uint8_t *bytes), void *ctx) MUST_USE;

/* An empty payload without bytes, for those who build one span by span (tail sampling's output,
 * the generator). Tables of the given capacities; NULL when the budget refuses. */
struct payload *payload_build(struct budget *b, uint32_t cap_resources, uint32_t cap_scopes,
                              uint32_t cap_spans) MUST_USE;
/* Appending to a payload from payload_build: indexes returned; CHECKs the capacity. Slices must
 * live in the payload's room or in a payload it holds. A span needs its facts filled in. */
uint32_t payload_add_resource(struct payload *p, struct slice resource_body, struct slice schema_url);
uint32_t payload_add_scope(struct payload *p, struct slice scope_body, struct slice schema_url);
void payload_add_span(struct payload *p, const struct span *s); /* s->scope is set to the last scope */

struct payload *payload_ref(struct payload *p);
void payload_unref(struct payload **p); /* NULLs; frees with the last */
bool payload_is_shared(const struct payload *p);
size_t payload_charged_bytes(const struct payload *p); /* what it holds of the budget */

/* A payload with own tables over spans [first, first + n) of src, which it keeps alive. NULL when
 * the budget refuses. Its tables may be edited while nobody else holds it. */
struct payload *payload_derive(struct payload *src, uint32_t first, uint32_t n) MUST_USE;

/* Bytes that live as long as p; uninitialised. NULL when the budget refuses. p must be editable.
 * payload_room_trim gives back the end of the latest room. */
uint8_t *payload_room(struct payload *p, size_t len) MUST_USE;
void payload_room_trim(struct payload *p, const uint8_t *room, size_t used);
/* p keeps other alive (once is enough; twice is harmless). */
void payload_hold(struct payload *p, struct payload *other);

/* Edits. All clear `intact` up the tree. rec is a whole record (tag 0x12, length, body). The span's
 * facts stay as they were: an edit that changes ids, times, kind, status, trace state, or whether
 * there are events or links, also calls otlp_span_facts(). */
void payload_set_span(struct payload *p, uint32_t span, const uint8_t *rec, uint32_t rec_len, uint8_t hdr_len);
void payload_set_scope(struct payload *p, uint32_t scope, struct slice scope_body);
void payload_set_resource(struct payload *p, uint32_t resource, struct slice resource_body);
void payload_set_scope_schema(struct payload *p, uint32_t scope, struct slice schema_url);
void payload_set_resource_schema(struct payload *p, uint32_t resource, struct slice schema_url);
void payload_drop_span(struct payload *p, uint32_t span);
/* Removes dropped spans and the envelopes left empty. Returns how many spans went. */
uint32_t payload_compact(struct payload *p);

static inline struct slice span_body(const struct span *s)
{
    return slice_of(s->rec + s->hdr_len, s->rec_len - s->hdr_len);
}

#endif
