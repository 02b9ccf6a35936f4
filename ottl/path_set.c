/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setters: what writing to a path does. One function for each kind of row of path.c.
 *
 * They write to drafts (draft.h) and to what readers ask first: the span's index entry and its
 * plain fields. A value of the wrong type is an error, as in the Collector. Attributes are in
 * path_put.c. Order: types, plain fields, ids, times, status, trace state.
 */
#include "model/utf8.h"
#include "model/wire.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/path.h"

#define SET(name) bool name(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)

/* ---- types ---- */

bool expect_type(struct ottl_eval *e, const struct ottl_value *v, enum ottl_type type)
{
    return LIKELY(v->type == type) ||
           ottl_fail(e, "expects %s but got %s", ottl_type_name(&(struct ottl_value){.type = type}),
                     ottl_type_name(v));
}

/* ---- plain fields ---- */

static bool text_field(struct ottl_eval *e, enum ottl_context c, uint32_t field,
                       const struct ottl_value *v)
{
    struct draft *d = draft_open(e, c);
    struct slice s = v->s;

    return d && (utf8_valid(s.p, s.len) || draft_text(e, d->map, s, &s)) &&
           draft_set_bytes(e, c, field, s);
}

static struct slice written_text(const struct ottl_eval *e, enum ottl_context c, uint32_t field)
{
    return e->views[c].draft->fields[field].bytes;
}

SET(set_string)
{
    return expect_type(e, v, OTTL_STR) && text_field(e, n->context, n->field, v);
}

SET(set_uint32)
{
    return expect_type(e, v, OTTL_INT) &&
           draft_set_number(e, n->context, n->field, WIRE_VARINT, (uint32_t)v->i);
}

SET(set_schema_url)
{
    struct draft *d;

    if (!expect_type(e, v, OTTL_STR))
        return false;
    d = draft_open(e, n->context);
    if (!d || !draft_text(e, d->map, v->s, &e->schema_url[n->context == OTTL_SCOPE]))
        return false;
    e->edits->schema_written[n->context] = true;
    return true;
}

SET(set_name)
{
    struct span_fields *f = span_fields(e);

    (void)n;
    if (!expect_type(e, v, OTTL_STR) || !text_field(e, OTTL_SPAN, SPAN_NAME, v))
        return false;
    f->name = written_text(e, OTTL_SPAN, SPAN_NAME);
    return true;
}

static bool write_kind(struct ottl_eval *e, int32_t kind)
{
    if (!draft_set_number(e, OTTL_SPAN, SPAN_KIND, WIRE_VARINT, (uint64_t)(int64_t)kind))
        return false;
    e->edits->span.kind = kind >= 0 && kind <= 5 ? (uint8_t)kind : 255;
    return true;
}

SET(set_kind)
{
    (void)n;
    return expect_type(e, v, OTTL_INT) && write_kind(e, (int32_t)v->i);
}

static bool kind_by_name(struct ottl_eval *e, const char *const *names, const struct ottl_value *v)
{
    if (!expect_type(e, v, OTTL_STR))
        return false;
    for (int32_t i = 0; i < SPAN_KINDS; i++)
        if (slice_eq(slice_str(names[i]), v->s))
            return write_kind(e, i);
    return ottl_fail(e, "unknown span kind, %.*s", (int)(v->s.len < 60 ? v->s.len : 60), v->s.p);
}

SET(set_kind_string)
{
    (void)n;
    return kind_by_name(e, kind_names, v);
}

SET(set_kind_deprecated)
{
    (void)n;
    return kind_by_name(e, kind_deprecated_names, v);
}

SET(set_flags)
{
    (void)n;
    if (!expect_type(e, v, OTTL_INT) ||
        !draft_set_number(e, OTTL_SPAN, SPAN_FLAGS, WIRE_FIXED32, (uint32_t)v->i))
        return false;
    e->edits->span.w3c_flags = (uint32_t)v->i;
    return true;
}

/* Only these very events and links can be the value: there is no other way to name some. */
SET(set_events)
{
    (void)n;
    return expect_type(e, v, OTTL_EVENTS);
}

SET(set_links)
{
    (void)n;
    return expect_type(e, v, OTTL_LINKS);
}

SET(set_event_index)
{
    (void)n, (void)v;
    return ottl_fail(e, "the 'event_index' path cannot be modified");
}

/* ---- ids ---- */

static bool write_id(struct ottl_eval *e, uint32_t field, const uint8_t *id, size_t len)
{
    static const uint8_t none[16];
    bool zero = memcmp(id, none, len) == 0;

    return draft_set_bytes(e, OTTL_SPAN, field, slice_of(id, zero ? 0 : len));
}

static bool write_trace_id(struct ottl_eval *e, const uint8_t *id)
{
    if (!write_id(e, SPAN_TRACE_ID, id, 16))
        return false;
    memcpy(e->edits->span.trace_id, id, 16);
    return true;
}

static bool write_span_id(struct ottl_eval *e, const uint8_t *id)
{
    if (!write_id(e, SPAN_SPAN_ID, id, 8))
        return false;
    memcpy(e->edits->span.span_id, id, 8);
    return true;
}

static bool write_parent(struct ottl_eval *e, const uint8_t *id)
{
    struct span_fields *f = span_fields(e);

    if (!write_id(e, SPAN_PARENT_ID, id, 8))
        return false;
    f->parent = written_text(e, OTTL_SPAN, SPAN_PARENT_ID);
    if (f->parent.len)
        e->edits->span.flags &= (uint8_t)~SPAN_ROOT;
    else
        e->edits->span.flags |= SPAN_ROOT;
    return true;
}

SET(set_trace_id)
{
    (void)n;
    return expect_type(e, v, OTTL_TRACE_ID) && write_trace_id(e, v->s.p);
}

SET(set_span_id)
{
    (void)n;
    return expect_type(e, v, OTTL_SPAN_ID) && write_span_id(e, v->s.p);
}

SET(set_parent)
{
    (void)n;
    return expect_type(e, v, OTTL_SPAN_ID) && write_parent(e, v->s.p);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool id_of_hex(struct ottl_eval *e, const struct ottl_value *v, uint8_t *id, size_t len)
{
    if (!expect_type(e, v, OTTL_STR))
        return false;
    if (v->s.len != 2 * len)
        return ottl_fail(e, "%s ids must be %zu hex characters", len == 16 ? "trace" : "span",
                         2 * len);
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(v->s.p[2 * i]), low = hex_digit(v->s.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return ottl_fail(e, "an id must be made of hexadecimal digits");
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

SET(set_trace_id_string)
{
    uint8_t id[16];

    (void)n;
    return id_of_hex(e, v, id, 16) && write_trace_id(e, id);
}

SET(set_span_id_string)
{
    uint8_t id[8];

    (void)n;
    return id_of_hex(e, v, id, 8) && write_span_id(e, id);
}

SET(set_parent_string)
{
    uint8_t id[8];

    (void)n;
    return id_of_hex(e, v, id, 8) && write_parent(e, id);
}

/* ---- times ---- */

static uint64_t unix_ns(const struct ottl_value *time)
{
    return (uint64_t)time->at.s * 1000000000u + time->aux;
}

static bool write_start(struct ottl_eval *e, uint64_t ns)
{
    if (!draft_set_number(e, OTTL_SPAN, SPAN_START, WIRE_FIXED64, ns))
        return false;
    e->edits->span.start_ns = ns;
    return true;
}

static bool write_end(struct ottl_eval *e, uint64_t ns)
{
    if (!draft_set_number(e, OTTL_SPAN, SPAN_END, WIRE_FIXED64, ns))
        return false;
    e->edits->span.end_ns = ns;
    return true;
}

SET(set_start_ns)
{
    (void)n;
    return expect_type(e, v, OTTL_INT) && write_start(e, (uint64_t)v->i);
}

SET(set_end_ns)
{
    (void)n;
    return expect_type(e, v, OTTL_INT) && write_end(e, (uint64_t)v->i);
}

SET(set_start)
{
    (void)n;
    return expect_type(e, v, OTTL_TIME) && write_start(e, unix_ns(v));
}

SET(set_end)
{
    (void)n;
    return expect_type(e, v, OTTL_TIME) && write_end(e, unix_ns(v));
}

SET(set_event_ns)
{
    return expect_type(e, v, OTTL_INT) &&
           draft_set_number(e, n->context, EVENT_TIME, WIRE_FIXED64, (uint64_t)v->i);
}

SET(set_event_time)
{
    return expect_type(e, v, OTTL_TIME) &&
           draft_set_number(e, n->context, EVENT_TIME, WIRE_FIXED64, unix_ns(v));
}

/* ---- status ---- */

static bool write_status(struct ottl_eval *e, struct slice message, int32_t code)
{
    struct span_fields *f = span_fields(e);
    struct buf *b = ottl_text(e);

    if ((message.len && wire_put_bytes(b, STATUS_MESSAGE, message)) ||
        (code && wire_put_uint(b, STATUS_CODE, (uint64_t)(int64_t)code)))
        return ottl_too_long(e);
    if (!draft_set_bytes(e, OTTL_SPAN, SPAN_STATUS, slice_of(b->p, b->len)))
        return false;
    f->status = written_text(e, OTTL_SPAN, SPAN_STATUS);
    e->edits->span.status = code >= 0 && code <= 2 ? (uint8_t)code : 255;
    return true;
}

SET(set_status)
{
    (void)n;
    return expect_type(e, v, OTTL_STATUS) &&
           write_status(e, field_bytes(v->s, STATUS_MESSAGE), status_code(e));
}

SET(set_status_code)
{
    (void)n;
    return expect_type(e, v, OTTL_INT) &&
           write_status(e, field_bytes(span_fields(e)->status, STATUS_MESSAGE), (int32_t)v->i);
}

SET(set_status_message)
{
    struct slice s = v->s;
    struct draft *d;

    (void)n;
    if (!expect_type(e, v, OTTL_STR))
        return false;
    d = draft_open(e, OTTL_SPAN);
    return d && (utf8_valid(s.p, s.len) || draft_text(e, d->map, s, &s)) &&
           write_status(e, s, status_code(e));
}

/* ---- trace state ---- */

static bool write_trace_state(struct ottl_eval *e, const struct ottl_value *v)
{
    struct span_fields *f = span_fields(e);

    if (!text_field(e, OTTL_SPAN, SPAN_TRACE_STATE, v))
        return false;
    f->trace_state = written_text(e, OTTL_SPAN, SPAN_TRACE_STATE);
    return true;
}

static bool write_member(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    struct ottl_value key, whole;

    if (!node_eval(e, n->keys[0], &key))
        return false;
    if (key.type != OTTL_STR)
        return ottl_fail(e, "unable to set trace_state: the key is not a string but %s",
                         ottl_type_name(&key));
    switch (trace_state_put(span_fields(e)->trace_state, key.s, v->s, ottl_text(e))) {
    case 0:
        break;
    case -1:
        return ottl_too_long(e);
    default:
        return true; /* neither it nor the whole can be read: it stays as it is */
    }
    return ottl_keep_text(e, OTTL_STR, &whole) && write_trace_state(e, &whole);
}

SET(set_trace_state)
{
    if (!expect_type(e, v, OTTL_STR))
        return false;
    return n->n_keys ? write_member(e, n, v) : write_trace_state(e, v);
}
