/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drafts: writing to what is looked at. See draft.h.
 *
 * Problem: a span that several statements change must be written once, what a statement writes must
 * be seen by the next one, and a span that nothing changes must cost nothing. Design: the first
 * write opens a draft: the attributes as an ordered list of slices, other fields by their number.
 * Readers of a view with a draft look there first. ottl_new_body() writes the message from it.
 *
 * Memory: lists and new values are in the maps' memory, which is charged to the budget beyond a few
 * KiB and goes with the next thing looked at. Threads: one worker an eval.
 * Order: life, opening, values, fields, maps, events, writing.
 */
#include "ottl/draft.h"

#include <stdlib.h>

#include "model/utf8.h"
#include "model/wire.h"
#include "model/wire_checked.h"
#include "ottl/call.h"
#include "ottl/path.h"

static const uint32_t attributes_of[OTTL_CONTEXTS] = {RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES,
                                                      SPAN_ATTRIBUTES, EVENT_ATTRIBUTES};

/* ---- life ---- */

struct ottl_eval *ottl_editor_new(const struct ottl_program *p, struct budget *b)
{
    struct ottl_eval *e = ottl_eval_new(p);

    e->edits = mem_alloc(sizeof(*e->edits));
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        attr_map_init(&e->edits->drafts[c].own, b);
    attr_map_init(&e->edits->cache, b);
    attr_map_init(&e->edits->scratch_map, b);
    CHECK(attr_map_load(&e->edits->cache, (struct slice){0}, OTTL_MAP_FIELD));
    return e;
}

void edits_free(struct edits **edits)
{
    struct edits *d = *edits;

    if (!d)
        return;
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        attr_map_free(&d->drafts[c].own);
    attr_map_free(&d->cache);
    attr_map_free(&d->scratch_map);
    free(d);
    *edits = NULL;
}

void edits_forget_schema(struct ottl_eval *e, enum ottl_context c)
{
    if (e->edits)
        e->edits->schema_written[c] = false;
}

/* ---- opening ---- */

static bool no_room(struct ottl_eval *e)
{
    e->edits->no_room = true;
    return ottl_fail(e, "no memory for the change");
}

struct draft *draft_open(struct ottl_eval *e, enum ottl_context c)
{
    struct view *v = &e->views[c];
    struct draft *d = &e->edits->drafts[c];

    if (v->draft)
        return d;
    if (!v->map)
        v->map = &d->own;
    if (!v->loaded && !attr_map_load(v->map, v->message, attributes_of[c])) {
        (void)no_room(e);
        return NULL;
    }
    v->loaded = true;
    d->map = v->map;
    d->replaced = 0;
    d->events = NULL;
    v->draft = d;
    if (c == OTTL_SPAN) {
        e->edits->span = *e->span;
        e->span = &e->edits->span;
    }
    return d;
}

/* ---- values ---- */

uint8_t *draft_room(struct ottl_eval *e, struct attr_map *m, size_t n)
{
    uint8_t *p = attr_map_scratch(m, n ? n : 1);

    if (!p)
        (void)no_room(e);
    return p;
}

bool draft_text(struct ottl_eval *e, struct attr_map *m, struct slice s, struct slice *copy)
{
    size_t len = utf8_valid(s.p, s.len) ? s.len : utf8_repair(NULL, s.p, s.len);
    uint8_t *p = draft_room(e, m, len);

    if (!p)
        return false;
    if (len == s.len && s.len)
        memcpy(p, s.p, s.len);
    else if (s.len)
        utf8_repair(p, s.p, s.len);
    *copy = slice_of(p, len);
    return true;
}

static bool string_value(struct ottl_eval *e, struct attr_map *m, struct slice s,
                         struct slice *body)
{
    if (UNLIKELY(!utf8_valid(s.p, s.len)) && !draft_text(e, m, s, &s))
        return false;
    *body = attr_map_str(m, s);
    return body->p ? true : no_room(e);
}

bool draft_value(struct ottl_eval *e, struct attr_map *m, const struct ottl_value *v,
                 struct slice *body)
{
    const struct ottl_value *unfit = NULL;
    struct ottl_value plain = *v;
    struct buf *text;
    struct any a;
    uint8_t *p;

    *body = (struct slice){0};
    if (LIKELY(v->type == OTTL_STR))
        return string_value(e, m, v->s, body);
    if (v->type == OTTL_ITEMS && !eval_fit_items(e, &plain, &unfit))
        return false;
    if ((v->type == OTTL_MAP && !map_plain(e, &plain)) || !eval_to_any(e, &plain, &a))
        return false;
    text = ottl_text(e);
    if (any_put(text, &a))
        return ottl_too_long(e);
    p = draft_room(e, m, text->len);
    if (!p)
        return false;
    if (text->len)
        memcpy(p, text->p, text->len);
    *body = slice_of(p, text->len);
    return !unfit || ottl_fail(e, "unsupported type %s for set operation", ottl_type_name(unfit));
}

/* ---- fields ---- */

bool draft_set_number(struct ottl_eval *e, enum ottl_context c, uint32_t field, uint8_t wire,
                      uint64_t v)
{
    struct draft *d = draft_open(e, c);

    if (!d)
        return false;
    d->fields[field] = (struct draft_field){.wire = wire, .number = v};
    d->replaced |= 1u << field;
    return true;
}

bool draft_set_bytes(struct ottl_eval *e, enum ottl_context c, uint32_t field, struct slice s)
{
    struct draft *d = draft_open(e, c);
    uint8_t *p = d ? draft_room(e, d->map, s.len) : NULL;

    if (!p)
        return false;
    if (s.len)
        memcpy(p, s.p, s.len);
    d->fields[field] = (struct draft_field){.wire = WIRE_LEN, .bytes = slice_of(p, s.len)};
    d->replaced |= 1u << field;
    return true;
}

/* ---- maps ---- */

struct attr_map *draft_map(struct ottl_eval *e, const struct node *path)
{
    struct draft *d;

    if (path->cache) {
        e->edits->cache_used = true;
        return &e->edits->cache;
    }
    d = draft_open(e, path->context);
    return d ? d->map : NULL;
}

void draft_touched(struct ottl_eval *e, const struct node *path)
{
    if (!path->cache)
        e->views[path->context].scanned = false;
}

bool draft_map_value(struct ottl_eval *e, const struct attr_map *m, struct ottl_value *out)
{
    size_t size = attr_map_entries_size(m);
    uint8_t *p = ottl_room(e, size);

    if (!p)
        return false;
    CHECK(attr_map_write_entries(m, p) == p + size);
    *out = ottl_map(slice_of(p, size), m->field);
    return true;
}

bool map_fine(struct ottl_eval *e, const struct attr_map *m)
{
    return LIKELY(!m->out_of_memory) || no_room(e);
}

static bool is_whole_map(const struct node *path)
{
    return path->set == set_attributes && path->n_keys == 0;
}

static struct attr_map *open_nested(struct ottl_eval *e, const struct node *path)
{
    struct attr_map *m = &e->edits->scratch_map;
    struct ottl_value v;

    if (path->set == set_read_only) {
        (void)path->set(e, path, NULL);
        return NULL;
    }
    if (!path->eval(e, path, &v))
        return NULL;
    if (v.type != OTTL_MAP) {
        (void)ottl_fail(e, "expected pcommon.Map but got %s", ottl_type_name(&v));
        return NULL;
    }
    if (!attr_map_load(m, v.s, v.aux)) {
        (void)no_room(e);
        return NULL;
    }
    return m;
}

struct attr_map *map_open(struct ottl_eval *e, const struct node *path)
{
    return is_whole_map(path) ? draft_map(e, path) : open_nested(e, path);
}

bool map_close(struct ottl_eval *e, const struct node *path, struct attr_map *m)
{
    struct ottl_value v;

    if (!map_fine(e, m))
        return false;
    if (!m->changed)
        return true;
    if (!is_whole_map(path))
        return draft_map_value(e, m, &v) && path->set(e, path, &v);
    draft_touched(e, path);
    return true;
}

/* ---- what the processor asks ---- */

void ottl_begin(struct ottl_eval *e)
{
    if (!e->edits->cache_used)
        return;
    e->edits->cache_used = false;
    CHECK(attr_map_load(&e->edits->cache, (struct slice){0}, OTTL_MAP_FIELD));
}

bool ottl_no_room(const struct ottl_eval *e)
{
    return e->edits->no_room;
}

void ottl_forget_no_room(struct ottl_eval *e)
{
    e->edits->no_room = false;
}

void ottl_share_attributes(struct ottl_eval *e, struct attr_map *m, bool loaded)
{
    e->views[OTTL_SPAN].map = m;
    e->views[OTTL_SPAN].loaded = loaded;
}

bool ottl_attributes_loaded(const struct ottl_eval *e)
{
    return e->views[OTTL_SPAN].loaded;
}

bool ottl_rewritten(const struct ottl_eval *e)
{
    const struct draft *d = e->views[OTTL_SPAN].draft;

    return d && (d->replaced || d->events);
}

bool ottl_changed(const struct ottl_eval *e, enum ottl_context c)
{
    const struct draft *d = e->views[c].draft;

    return d && (d->map->changed || d->replaced || d->events);
}

bool ottl_new_schema(const struct ottl_eval *e, enum ottl_context c, struct slice *url)
{
    *url = e->schema_url[c];
    return e->edits->schema_written[c];
}

/* ---- events ---- */

static size_t count_events(struct slice span)
{
    struct field_iter it = field_iter(span);
    struct field f;
    size_t n = 0;

    while (field_next(&it, &f))
        n += f.number == SPAN_EVENTS && f.wire == WIRE_LEN;
    return n;
}

static bool load_events(struct ottl_eval *e, struct draft *d)
{
    struct slice span = e->views[OTTL_SPAN].message;
    struct field_iter it = field_iter(span);
    struct field f;
    size_t n = count_events(span);
    struct slice *v = (void *)draft_room(e, d->map, n * sizeof(*v));

    if (!v)
        return false;
    d->n_events = 0;
    while (field_next(&it, &f))
        if (f.number == SPAN_EVENTS && f.wire == WIRE_LEN)
            v[d->n_events++] = f.bytes;
    d->events = v;
    return true;
}

struct ottl_event_iter ottl_event_iter(const struct ottl_eval *e)
{
    return (struct ottl_event_iter){.fields = field_iter(e->views[OTTL_SPAN].message)};
}

bool ottl_next_event(struct ottl_eval *e, struct ottl_event_iter *it)
{
    const struct draft *d = e->views[OTTL_SPAN].draft;
    struct field f;

    while (field_next(&it->fields, &f)) {
        if (f.number != SPAN_EVENTS || f.wire != WIRE_LEN)
            continue;
        ottl_set_event(e, d && d->events ? d->events[it->n] : f.bytes);
        it->n++;
        return true;
    }
    return false;
}

bool ottl_keep_event(struct ottl_eval *e, const struct ottl_event_iter *it)
{
    struct draft *d;
    size_t size;
    uint8_t *p;

    if (!ottl_changed(e, OTTL_SPANEVENT))
        return true;
    d = draft_open(e, OTTL_SPAN);
    if (!d || (!d->events && !load_events(e, d)))
        return false;
    size = ottl_new_size(e, OTTL_SPANEVENT);
    p = draft_room(e, d->map, size);
    if (!p)
        return false;
    CHECK(ottl_new_body(e, OTTL_SPANEVENT, p) == p + size);
    d->events[it->n - 1] = slice_of(p, size);
    return true;
}

/* ---- writing ---- */

static bool left_out(const struct draft *d, enum ottl_context c, uint32_t field)
{
    return (field < DRAFT_FIELDS && d->replaced >> field & 1) ||
           (c == OTTL_SPAN && field == SPAN_EVENTS && d->events);
}

/* The run's fields that stay; dst NULL: only their size. */
static size_t put_run(const struct draft *d, enum ottl_context c, struct slice run, uint8_t *dst)
{
    const uint8_t *p = run.p, *end = wire_end(run);
    size_t size = 0;

    while (p < end) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (left_out(d, c, f.number))
            continue;
        if (dst)
            wire_put_slice(dst + size, f.rec);
        size += f.rec.len;
    }
    return size;
}

static size_t put_runs(const struct draft *d, enum ottl_context c, size_t from, size_t to,
                       uint8_t *dst)
{
    size_t size = 0;

    for (size_t i = from; i < to; i++)
        size += put_run(d, c, d->map->rest[i], dst ? dst + size : NULL);
    return size;
}

/* As proto3 writes it: nothing for a zero or an empty text. */
static size_t put_field(const struct draft_field *f, uint32_t number, uint8_t *dst)
{
    uint8_t tag[4];
    size_t n = varint_put(tag, WIRE_TAG(number, f->wire));

    if (f->wire == WIRE_LEN) {
        if (!f->bytes.len)
            return 0;
        if (dst)
            wire_put_slice(dst + n + varint_put(mempcpy(dst, tag, n), f->bytes.len), f->bytes);
        return n + varint_size(f->bytes.len) + f->bytes.len;
    }
    if (!f->number)
        return 0;
    if (dst)
        dst = mempcpy(dst, tag, n);
    if (f->wire == WIRE_VARINT)
        return n + (dst ? varint_put(dst, f->number) : varint_size(f->number));
    for (unsigned i = 0; dst && i < (f->wire == WIRE_FIXED64 ? 8 : 4); i++)
        dst[i] = (uint8_t)(f->number >> 8 * i);
    return n + (f->wire == WIRE_FIXED64 ? 8 : 4);
}

static size_t put_fields(const struct draft *d, uint32_t from, uint32_t to, uint8_t *dst)
{
    size_t size = 0;

    for (uint32_t i = from; i < to; i++)
        if (d->replaced >> i & 1)
            size += put_field(&d->fields[i], i, dst ? dst + size : NULL);
    return size;
}

static size_t put_events(const struct draft *d, uint8_t *dst)
{
    size_t size = 0;

    for (size_t i = 0; d->events && i < d->n_events; i++) {
        if (dst)
            wire_put_slice(wire_put_header(dst + size, SPAN_EVENTS, d->events[i].len),
                           d->events[i]);
        size += wire_rec_size(d->events[i].len);
    }
    return size;
}

/* Written fields stand in front of the attributes or behind the rest, by their number. */
static size_t put_all(const struct draft *d, enum ottl_context c, uint8_t *dst)
{
    const struct attr_map *m = d->map;
    size_t size = put_fields(d, 1, m->field, dst);

    size += put_runs(d, c, 0, m->rest_before, dst ? dst + size : NULL);
    if (dst)
        attr_map_write_entries(m, dst + size);
    size += attr_map_entries_size(m);
    size += put_runs(d, c, m->rest_before, m->n_rest, dst ? dst + size : NULL);
    size += put_events(d, dst ? dst + size : NULL);
    return size + put_fields(d, m->field + 1, DRAFT_FIELDS, dst ? dst + size : NULL);
}

size_t ottl_new_size(const struct ottl_eval *e, enum ottl_context c)
{
    const struct draft *d = e->views[c].draft;

    return d->replaced || d->events ? put_all(d, c, NULL) : attr_map_size(d->map);
}

uint8_t *ottl_new_body(const struct ottl_eval *e, enum ottl_context c, uint8_t *dst)
{
    const struct draft *d = e->views[c].draft;

    if (d->replaced || d->events)
        return dst + put_all(d, c, dst);
    return attr_map_write(d->map, dst);
}

bool ottl_new_facts(const struct ottl_eval *e)
{
    return e->views[OTTL_SPAN].draft->replaced != 0;
}
