/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Editing one part of a batch: reads go to the payload that is there; the first write makes the part
 * editable (batch_edit). Span numbers are relative to the part; resource and scope numbers are those
 * of the payload it had when the editor was made. One worker.
 */
#ifndef TAILRACE_PROCESSORS_EDIT_H
#define TAILRACE_PROCESSORS_EDIT_H

#include "model/batch.h"
#include "model/attr_map.h"

struct editor {
    struct batch *batch;
    uint32_t part, n_spans;
    bool edited;

    /* private */
    const struct payload *from; /* what the part was; valid until edited */
    struct payload *to;         /* editable; NULL until the first write */
    uint32_t first_span, first_scope, first_resource, end_scope, end_resource;
};

struct editor editor_of(struct batch *b, uint32_t part);

const struct span *editor_span(const struct editor *ed, uint32_t i);

/* Resources and scopes that the part's spans stand in: [first, end). */
static inline uint32_t editor_first_resource(const struct editor *ed)
{
    return ed->first_resource;
}
static inline uint32_t editor_end_resource(const struct editor *ed)
{
    return ed->end_resource;
}
static inline uint32_t editor_first_scope(const struct editor *ed)
{
    return ed->first_scope;
}
static inline uint32_t editor_end_scope(const struct editor *ed)
{
    return ed->end_scope;
}
struct slice editor_resource(const struct editor *ed, uint32_t resource); /* Resource body */
struct slice editor_scope(const struct editor *ed, uint32_t scope);       /* InstrumentationScope body */
struct slice editor_resource_schema(const struct editor *ed, uint32_t resource);
struct slice editor_scope_schema(const struct editor *ed, uint32_t scope);

/* Numbers for these of a span that editor_span gave. */
uint32_t editor_scope_of(const struct editor *ed, const struct span *s);
uint32_t editor_resource_of(const struct editor *ed, const struct span *s);
uint32_t editor_scope_resource(const struct editor *ed, uint32_t scope);

/* Writes the message as the map has it now. False when the budget refused room. */
bool editor_write_span(struct editor *ed, uint32_t i, const struct attr_map *m) MUST_USE;
bool editor_write_resource(struct editor *ed, uint32_t resource, const struct attr_map *m) MUST_USE;
bool editor_write_scope(struct editor *ed, uint32_t scope, const struct attr_map *m) MUST_USE;
/* The span's new body, of body_len bytes, for the caller to fill. NULL: refused. */
uint8_t *editor_span_room(struct editor *ed, uint32_t i, size_t body_len) MUST_USE;
uint8_t *editor_resource_room(struct editor *ed, uint32_t resource, size_t body_len) MUST_USE;
uint8_t *editor_scope_room(struct editor *ed, uint32_t scope, size_t body_len) MUST_USE;
/* The URL is copied. False: refused. */
bool editor_set_resource_schema(struct editor *ed, uint32_t resource, struct slice url) MUST_USE;
bool editor_set_scope_schema(struct editor *ed, uint32_t scope, struct slice url) MUST_USE;
/* Marks the span: batch_settle() takes it out. False: refused. */
bool editor_drop_span(struct editor *ed, uint32_t i) MUST_USE;
/* Replaces the span's trace state; empty: it has none. False: refused. */
bool editor_set_trace_state(struct editor *ed, uint32_t i, struct slice state) MUST_USE;
/* After a write: what its Status.code is now, 0 to 2. */
void editor_note_status(struct editor *ed, uint32_t i, uint8_t code);
/* After a write that changed more than attributes: reads the span's facts anew. True. */
bool editor_span_facts(struct editor *ed, uint32_t i);

#endif
