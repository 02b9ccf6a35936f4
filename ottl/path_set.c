/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setters: what writing to a path does. One function for each kind of row of path.c.
 *
 * They write to drafts (draft.h) and to what readers ask first: the span's index entry and its
 * plain fields. A value of the wrong type is an error, as in the Collector; so is one that no
 * attribute can hold, which leaves a new attribute behind, empty.
 * Order: types, plain fields, ids, times, status, trace state, attributes.
 */
#include "model/otlp_walk.h"
#include "model/utf8.h"
#include "model/wire.h"
#include "model/wire_checked.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/path.h"

#define MOST_NEW_ITEMS 10000 /* of a list that is made by writing to one of its items */

enum { VALUE_ARRAY = 5, VALUE_MAP = 6 }; /* fields of AnyValue */

#define SET(name) bool name(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)

/* ---- types ---- */

static bool expect(struct ottl_eval *e, const struct ottl_value *v, enum ottl_type type)
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

    return d && (utf8_valid(s.p, s.len) || draft_text(e, &d->map, s, &s)) &&
           draft_set_bytes(e, c, field, s);
}

static struct slice written_text(const struct ottl_eval *e, enum ottl_context c, uint32_t field)
{
    return e->views[c].draft->fields[field].bytes;
}

SET(set_string)
{
    return expect(e, v, OTTL_STR) && text_field(e, n->context, n->field, v);
}

SET(set_uint32)
{
    return expect(e, v, OTTL_INT) &&
           draft_set_number(e, n->context, n->field, WIRE_VARINT, (uint32_t)v->i);
}

SET(set_schema_url)
{
    struct draft *d;

    if (!expect(e, v, OTTL_STR))
        return false;
    d = draft_open(e, n->context);
    if (!d || !draft_text(e, &d->map, v->s, &e->schema_url[n->context == OTTL_SCOPE]))
        return false;
    e->edits->schema_written[n->context] = true;
    return true;
}

SET(set_name)
{
    struct span_fields *f = span_fields(e);

    (void)n;
    if (!expect(e, v, OTTL_STR) || !text_field(e, OTTL_SPAN, SPAN_NAME, v))
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
    return expect(e, v, OTTL_INT) && write_kind(e, (int32_t)v->i);
}

static bool kind_by_name(struct ottl_eval *e, const char *const *names, const struct ottl_value *v)
{
    if (!expect(e, v, OTTL_STR))
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
    if (!expect(e, v, OTTL_INT) ||
        !draft_set_number(e, OTTL_SPAN, SPAN_FLAGS, WIRE_FIXED32, (uint32_t)v->i))
        return false;
    e->edits->span.w3c_flags = (uint32_t)v->i;
    return true;
}

/* Only these very events and links can be the value: there is no other way to name some. */
SET(set_events)
{
    (void)n;
    return expect(e, v, OTTL_EVENTS);
}

SET(set_links)
{
    (void)n;
    return expect(e, v, OTTL_LINKS);
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
    return expect(e, v, OTTL_TRACE_ID) && write_trace_id(e, v->s.p);
}

SET(set_span_id)
{
    (void)n;
    return expect(e, v, OTTL_SPAN_ID) && write_span_id(e, v->s.p);
}

SET(set_parent)
{
    (void)n;
    return expect(e, v, OTTL_SPAN_ID) && write_parent(e, v->s.p);
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
    if (!expect(e, v, OTTL_STR))
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
    return expect(e, v, OTTL_INT) && write_start(e, (uint64_t)v->i);
}

SET(set_end_ns)
{
    (void)n;
    return expect(e, v, OTTL_INT) && write_end(e, (uint64_t)v->i);
}

SET(set_start)
{
    (void)n;
    return expect(e, v, OTTL_TIME) && write_start(e, unix_ns(v));
}

SET(set_end)
{
    (void)n;
    return expect(e, v, OTTL_TIME) && write_end(e, unix_ns(v));
}

SET(set_event_ns)
{
    return expect(e, v, OTTL_INT) &&
           draft_set_number(e, n->context, EVENT_TIME, WIRE_FIXED64, (uint64_t)v->i);
}

SET(set_event_time)
{
    return expect(e, v, OTTL_TIME) &&
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
    return expect(e, v, OTTL_STATUS) &&
           write_status(e, field_bytes(v->s, STATUS_MESSAGE), status_code(e));
}

SET(set_status_code)
{
    (void)n;
    return expect(e, v, OTTL_INT) &&
           write_status(e, field_bytes(span_fields(e)->status, STATUS_MESSAGE), (int32_t)v->i);
}

SET(set_status_message)
{
    struct slice s = v->s;
    struct draft *d;

    (void)n;
    if (!expect(e, v, OTTL_STR))
        return false;
    d = draft_open(e, OTTL_SPAN);
    return d && (utf8_valid(s.p, s.len) || draft_text(e, &d->map, s, &s)) &&
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
    if (!expect(e, v, OTTL_STR))
        return false;
    return n->n_keys ? write_member(e, n, v) : write_trace_state(e, v);
}

/* ---- attributes ---- */

static bool replace_all(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    struct attr_map *m = draft_map(e, n);
    struct attr_iter it;
    struct attr a;
    uint8_t *copy;

    if (!m || !expect(e, v, OTTL_MAP))
        return false;
    copy = draft_room(e, m, v->s.len);
    if (!copy)
        return false;
    if (v->s.len)
        memcpy(copy, v->s.p, v->s.len);
    m->n = 0;
    m->changed = true;
    it = attr_iter(slice_of(copy, v->s.len), v->aux);
    while (attr_next(&it, &a))
        attr_map_append(m, a.key, a.value);
    draft_touched(e, n);
    return map_fine(e, m);
}

/* The walk's bound on nesting holds for what is made here, too. */
static bool shallow(struct slice any_value, unsigned levels)
{
    struct field_iter outer = field_iter(any_value), items;
    struct field f, g;

    while (field_next(&outer, &f)) {
        if (f.number != VALUE_ARRAY && f.number != VALUE_MAP)
            continue;
        if (levels == 0)
            return false;
        items = field_iter(f.bytes);
        while (field_next(&items, &g))
            if (!shallow(f.number == VALUE_MAP ? field_bytes(g.bytes, KEYVALUE_VALUE) : g.bytes,
                         levels - 1))
                return false;
    }
    return true;
}

struct write {
    struct ottl_eval *e;
    struct attr_map *m; /* whose memory new bodies live in */
    const struct node *path;
    const struct ottl_value *v;
    bool failed;
};

static struct slice inner(struct write *w, struct slice old, size_t key);

/* {field: body} in the map's memory, as the body of an AnyValue. */
static struct slice wrapped(struct write *w, uint32_t field, const uint8_t *body, size_t len)
{
    uint8_t *p = draft_room(w->e, w->m, wire_rec_size(len));

    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    return slice_of(
        p, (size_t)(wire_put_slice(wire_put_header(p, field, len), slice_of(body, len)) - p));
}

/* A map with one more or one other entry. */
static struct slice with_entry(struct write *w, struct slice map, struct slice name, size_t key)
{
    struct attr_iter it = attr_iter(map, OTTL_MAP_FIELD);
    struct slice old = {0}, rec = {0}, value;
    size_t before, kv;
    uint8_t *body, *p;
    struct attr a;

    while (!rec.p && attr_next(&it, &a))
        if (slice_eq(a.key, name)) {
            rec = a.rec;
            old = a.value;
        }
    value = inner(w, old, key);
    kv = wire_rec_size(name.len) + wire_rec_size(value.len);
    body = p = draft_room(w->e, w->m, map.len + wire_rec_size(kv));
    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    before = rec.p ? (size_t)(rec.p - map.p) : map.len;
    p = wire_put_slice(p, slice_of(map.p, before));
    p = wire_put_header(p, OTTL_MAP_FIELD, kv);
    p = wire_put_slice(wire_put_header(p, KEYVALUE_KEY, name.len), name);
    p = wire_put_slice(wire_put_header(p, KEYVALUE_VALUE, value.len), value);
    if (rec.p)
        p = wire_put_slice(p, slice_of(rec.p + rec.len, map.len - before - rec.len));
    return wrapped(w, VALUE_MAP, body, (size_t)(p - body));
}

/* A list of so many empty items, to be written at the last one. */
static struct slice empty_list(struct write *w, int64_t items)
{
    uint8_t *p;

    if (items > MOST_NEW_ITEMS) {
        ottl_fail(w->e, "index %lld out of bounds", (long long)items - 1);
        w->failed = true;
        return (struct slice){0};
    }
    p = draft_room(w->e, w->m, (size_t)items * 2);
    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    for (int64_t i = 0; i < items; i++)
        wire_put_header(p + 2 * i, 1, 0);
    return slice_of(p, (size_t)items * 2);
}

/* A list with another item at i, which is there. */
static struct slice with_item(struct write *w, struct slice list, int64_t i, size_t key)
{
    struct field_iter it = field_iter(list);
    struct field f = {0};
    struct slice value;
    uint8_t *body, *p;
    size_t before;

    for (int64_t at = -1; at < i;) {
        CHECK(field_next(&it, &f));
        at += f.number == 1 && f.wire == WIRE_LEN;
    }
    value = inner(w, f.bytes, key);
    body = p = draft_room(w->e, w->m, list.len + wire_rec_size(value.len));
    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    before = (size_t)(f.rec.p - list.p);
    p = wire_put_slice(p, slice_of(list.p, before));
    p = wire_put_slice(wire_put_header(p, 1, value.len), value);
    p = wire_put_slice(p, slice_of(f.rec.p + f.rec.len, list.len - before - f.rec.len));
    return wrapped(w, VALUE_ARRAY, body, (size_t)(p - body));
}

static bool failed(struct write *w)
{
    w->failed = true;
    return false;
}

static bool indexable(struct write *w, const struct ottl_value *at, const struct ottl_value *key)
{
    if (at->type == OTTL_LIST && key->type == OTTL_INT) {
        size_t len = ottl_list_len(at);

        if (key->i >= 0 && (uint64_t)key->i < len)
            return true;
        ottl_fail(w->e, "index %lld out of bounds", (long long)key->i);
    } else if (at->type == OTTL_MAP || at->type == OTTL_LIST) {
        ottl_fail(w->e, "%s must be indexed by %s", at->type == OTTL_MAP ? "a map" : "a list",
                  at->type == OTTL_MAP ? "a string" : "an int");
    } else {
        ottl_fail(w->e, "type %s does not support %s indexing", ottl_type_name(at),
                  key->type == OTTL_STR ? "string" : "int");
    }
    return failed(w);
}

/* The AnyValue `old` with the value written behind keys[key] and those after it; `old` itself when
 * that fails. */
static struct slice inner(struct write *w, struct slice old, size_t key)
{
    struct ottl_value at = ottl_of_any(old), k;
    struct slice body;

    if (key == w->path->n_keys) {
        if (draft_value(w->e, w->m, w->v, &body))
            return body;
        failed(w);
        return body.p ? body : old;
    }
    if (!node_eval(w->e, w->path->keys[key], &k) ||
        (k.type == OTTL_STR && !utf8_valid(k.s.p, k.s.len) && !draft_text(w->e, w->m, k.s, &k.s))) {
        failed(w);
        return old;
    }
    if (at.type == OTTL_NIL && k.type == OTTL_STR)
        at = ottl_map((struct slice){0}, OTTL_MAP_FIELD);
    if (at.type == OTTL_NIL && k.type == OTTL_INT) { /* a new list; -1 is its only item */
        k.i = k.i < 0 ? 0 : k.i;
        at = ottl_of(OTTL_LIST, empty_list(w, k.i < MOST_NEW_ITEMS ? k.i + 1 : MOST_NEW_ITEMS + 1));
        if (!at.s.p)
            return old;
    }
    if (at.type == OTTL_MAP && k.type == OTTL_STR) {
        body = with_entry(w, at.s, k.s, key + 1);
        return body.p ? body : old;
    }
    if (!indexable(w, &at, &k))
        return old;
    body = with_item(w, at.s, k.i, key + 1);
    return body.p ? body : old;
}

/* Texts and numbers begin with their own tags. */
static bool may_nest(struct slice any_value)
{
    return any_value.len && any_value.p[0] != WIRE_TAG(1, WIRE_LEN) &&
           any_value.p[0] != WIRE_TAG(2, WIRE_VARINT) && any_value.p[0] != WIRE_TAG(3, WIRE_VARINT);
}

/* First key of the path. */
static bool first_key(struct ottl_eval *e, const struct node *n, struct slice *key)
{
    struct ottl_value k;

    if (!node_eval(e, n->keys[0], &k))
        return false;
    if (k.type != OTTL_STR)
        return ottl_fail(e, "unable to resolve a string index in map: got %s", ottl_type_name(&k));
    *key = k.s;
    return true;
}

/* Puts what is new under the key and keeps what readers found up to date. */
static bool put(struct ottl_eval *e, const struct node *n, struct attr_map *m,
                struct attr_entry *at, struct slice key, struct slice body)
{
    if (UNLIKELY(may_nest(body)) && !shallow(body, OTLP_MAX_DEPTH))
        return ottl_fail(e, "the value is nested deeper than %d levels", OTLP_MAX_DEPTH);
    if (!at && n->keys[0]->eval != eval_constant && !draft_text(e, m, key, &key))
        return false;
    if (at)
        attr_map_set(m, at, body);
    else
        attr_map_append(m, key, body);
    if (n->key >= 0 && e->views[n->context].scanned)
        e->views[n->context].found[n->key] = body;
    else
        draft_touched(e, n);
    return map_fine(e, m);
}

/* Is it there already, as it would be written? */
static bool same(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    struct ottl_value old;

    if (n->n_keys != 1 || v->type != OTTL_STR || !n->eval(e, n, &old))
        return false;
    return old.type == OTTL_STR && slice_eq(old.s, v->s);
}

SET(set_attributes)
{
    struct write w = {.e = e, .path = n, .v = v};
    struct attr_entry *at;
    struct slice key, body;

    if (n->n_keys == 0)
        return replace_all(e, n, v);
    if (!first_key(e, n, &key))
        return false;
    if (same(e, n, v))
        return true;
    w.m = draft_map(e, n);
    if (!w.m)
        return false;
    at = attr_map_find(w.m, key);
    body = inner(&w, at ? at->value : slice_of("", 0), 1);
    if (w.failed && (e->edits->no_room || (at && body.p == at->value.p)))
        return false;
    return put(e, n, w.m, at, key, body.p ? body : slice_of("", 0)) && !w.failed;
}
