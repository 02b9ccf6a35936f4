/* SPDX-License-Identifier: Apache-2.0 */
/* Editing parts of batches. See edit.h. */
#include "processors/edit.h"

#include "model/otlp_walk.h"
#include "model/wire_checked.h"

#define SPAN_IN_SCOPE 2 /* field number of a Span in its ScopeSpans */

struct editor editor_of(struct batch *b, uint32_t part)
{
    const struct part *p = &b->parts[part];
    const struct payload *from = p->payload;
    struct editor ed = {.batch = b, .part = part, .n_spans = p->n, .from = from, .first_span = p->first};

    ed.first_scope = from->spans[p->first].scope;
    ed.end_scope = from->spans[p->first + p->n - 1].scope + 1;
    ed.first_resource = from->scopes[ed.first_scope].resource;
    ed.end_resource = from->scopes[ed.end_scope - 1].resource + 1;
    return ed;
}

const struct span *editor_span(const struct editor *ed, uint32_t i)
{
    return ed->to ? &ed->to->spans[i] : &ed->from->spans[ed->first_span + i];
}

struct slice editor_resource(const struct editor *ed, uint32_t resource)
{
    return ed->to ? ed->to->resources[resource - ed->first_resource].resource : ed->from->resources[resource].resource;
}

struct slice editor_scope(const struct editor *ed, uint32_t scope)
{
    return ed->to ? ed->to->scopes[scope - ed->first_scope].scope : ed->from->scopes[scope].scope;
}

struct slice editor_resource_schema(const struct editor *ed, uint32_t resource)
{
    return (ed->to ? ed->to->resources + (resource - ed->first_resource) : ed->from->resources + resource)->schema_url;
}

struct slice editor_scope_schema(const struct editor *ed, uint32_t scope)
{
    return (ed->to ? ed->to->scopes + (scope - ed->first_scope) : ed->from->scopes + scope)->schema_url;
}

uint32_t editor_scope_of(const struct editor *ed, const struct span *s)
{
    return ed->to ? s->scope + ed->first_scope : s->scope;
}

uint32_t editor_resource_of(const struct editor *ed, const struct span *s)
{
    return ed->to ? ed->to->scopes[s->scope].resource + ed->first_resource : ed->from->scopes[s->scope].resource;
}

uint32_t editor_scope_resource(const struct editor *ed, uint32_t scope)
{
    return ed->to ? ed->to->scopes[scope - ed->first_scope].resource + ed->first_resource
                  : ed->from->scopes[scope].resource;
}

static struct payload *editable(struct editor *ed)
{
    if (!ed->to) {
        ed->to = batch_edit(ed->batch, ed->part);
        ed->edited = ed->to != NULL;
        if (ed->to) /* tables of exactly this part, so numbers shift by the firsts */
            CHECK(ed->to->n_spans == ed->n_spans && ed->to->n_scopes == ed->end_scope - ed->first_scope &&
                  ed->to->n_resources == ed->end_resource - ed->first_resource);
    }
    return ed->to;
}

uint8_t *editor_span_room(struct editor *ed, uint32_t i, size_t body_len)
{
    size_t rec_len = wire_rec_size(body_len), hdr_len = rec_len - body_len;
    struct payload *p = editable(ed);
    uint8_t *rec = p && rec_len <= UINT32_MAX ? payload_room(p, rec_len) : NULL;

    if (!rec)
        return NULL;
    wire_put_header(rec, SPAN_IN_SCOPE, body_len);
    payload_set_span(p, i, rec, (uint32_t)rec_len, (uint8_t)hdr_len);
    return rec + hdr_len;
}

bool editor_span_facts(struct editor *ed, uint32_t i)
{
    struct span *s = &ed->to->spans[i];

    CHECK(otlp_span_facts(span_body(s), s) == 0);
    return true;
}

bool editor_write_span(struct editor *ed, uint32_t i, const struct attr_map *m)
{
    size_t size = attr_map_size(m);
    uint8_t *body = editor_span_room(ed, i, size);

    if (!body)
        return false;
    CHECK(attr_map_write(m, body) == body + size);
    return true;
}

/* Bytes in the payload's room, which may be none but have an address. */
static uint8_t *body_room(struct editor *ed, size_t len)
{
    struct payload *p = editable(ed);

    return p ? payload_room(p, len ? len : 1) : NULL;
}

uint8_t *editor_resource_room(struct editor *ed, uint32_t resource, size_t body_len)
{
    uint8_t *room = body_room(ed, body_len);

    if (room)
        payload_set_resource(ed->to, resource - ed->first_resource, slice_of(room, body_len));
    return room;
}

uint8_t *editor_scope_room(struct editor *ed, uint32_t scope, size_t body_len)
{
    uint8_t *room = body_room(ed, body_len);

    if (room)
        payload_set_scope(ed->to, scope - ed->first_scope, slice_of(room, body_len));
    return room;
}

bool editor_write_resource(struct editor *ed, uint32_t resource, const struct attr_map *m)
{
    size_t size = attr_map_size(m);
    uint8_t *room = editor_resource_room(ed, resource, size);

    if (room)
        CHECK(attr_map_write(m, room) == room + size);
    return room != NULL;
}

bool editor_write_scope(struct editor *ed, uint32_t scope, const struct attr_map *m)
{
    size_t size = attr_map_size(m);
    uint8_t *room = editor_scope_room(ed, scope, size);

    if (room)
        CHECK(attr_map_write(m, room) == room + size);
    return room != NULL;
}

bool editor_set_resource_schema(struct editor *ed, uint32_t resource, struct slice url)
{
    uint8_t *room = body_room(ed, url.len);

    if (!room)
        return false;
    wire_put_slice(room, url);
    payload_set_resource_schema(ed->to, resource - ed->first_resource, slice_of(room, url.len));
    return true;
}

bool editor_set_scope_schema(struct editor *ed, uint32_t scope, struct slice url)
{
    uint8_t *room = body_room(ed, url.len);

    if (!room)
        return false;
    wire_put_slice(room, url);
    payload_set_scope_schema(ed->to, scope - ed->first_scope, slice_of(room, url.len));
    return true;
}

bool editor_drop_span(struct editor *ed, uint32_t i)
{
    struct payload *p = editable(ed);

    if (p)
        payload_drop_span(p, i);
    return p != NULL;
}

/* The span's fields but the trace state, with the new one behind the ids, where encoders put it. */
static uint8_t *write_with_state(uint8_t *dst, struct slice body, struct slice state)
{
    const uint8_t *p = body.p, *end = wire_end(body);
    bool written = state.len == 0;

    while (p < end) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number == SPAN_TRACE_STATE)
            continue;
        if (!written && f.number > SPAN_TRACE_STATE) {
            dst = wire_put_slice(wire_put_header(dst, SPAN_TRACE_STATE, state.len), state);
            written = true;
        }
        dst = wire_put_slice(dst, f.rec);
    }
    return written ? dst : wire_put_slice(wire_put_header(dst, SPAN_TRACE_STATE, state.len), state);
}

static size_t size_without_state(struct slice body)
{
    const uint8_t *p = body.p, *end = wire_end(body);
    size_t size = body.len;

    while (p < end) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number == SPAN_TRACE_STATE)
            size -= f.rec.len;
    }
    return size;
}

bool editor_set_trace_state(struct editor *ed, uint32_t i, struct slice state)
{
    struct slice body = span_body(editor_span(ed, i));
    size_t size = size_without_state(body) + (state.len ? wire_rec_size(state.len) : 0);
    uint8_t *room = editor_span_room(ed, i, size);

    if (!room)
        return false;
    CHECK(write_with_state(room, body, state) == room + size);
    if (state.len)
        ed->to->spans[i].flags |= SPAN_HAS_STATE;
    else
        ed->to->spans[i].flags &= (uint8_t)~SPAN_HAS_STATE;
    return true;
}

void editor_note_status(struct editor *ed, uint32_t i, uint8_t code)
{
    CHECK(ed->to);
    ed->to->spans[i].status = code;
}
