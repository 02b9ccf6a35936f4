/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction of messages: see redaction_edit.h. Order: the look, one map, the summary, spans,
 * parts.
 *
 * The scratch buffers hold one value or one span and are given back when they were large. A value
 * whose mask cannot be built for want of memory fails the whole batch: it never goes on unmasked.
 */
#include "processors/redaction_edit.h"

#include <stdlib.h>

#include "model/wire_checked.h"

enum mark { MARK_NONE, MARK_DELETED, MARK_MASKED, MARK_ALLOWED, MARK_IGNORED, MARKS };

void redactor_init(struct redactor *rd, const struct rules *r, struct budget *b)
{
    *rd = (struct redactor){.rules = r, .keys = verdicts_new()};
    value_redactor_init(&rd->values, r);
    attr_map_init(&rd->map, b);
    attr_map_init(&rd->inner, b);
}

void redactor_free(struct redactor *rd)
{
    verdicts_free(&rd->keys);
    value_redactor_free(&rd->values);
    attr_map_free(&rd->map);
    attr_map_free(&rd->inner);
    buf_free(&rd->out);
    buf_free(&rd->body);
    buf_free(&rd->nested);
    *rd = (struct redactor){0};
}

/* ---- the look ---- */

/* Would redaction change, or its summary count, this attribute? */
static bool touches(struct redactor *rd, enum look look, struct slice key, struct slice value)
{
    bool counts = rules_summary(rd->rules) != SUMMARY_NONE;
    struct slice text;

    switch (rules_key(rd->rules, rd->keys, key)) {
    case KEY_IGNORED:
        return counts;
    case KEY_DELETED:
    case KEY_BLOCKED:
        return true;
    case KEY_PLAIN:
        break;
    }
    if (look == LOOK_KEYS)
        return false;
    if (!redactor_text(&rd->values, value, &text))
        return true; /* fails again, and is reported, in the rewrite */
    if (counts && rules_allow_value(rd->rules, text))
        return true;
    return value_is_nested(&rd->values, value) ? nested_touched(&rd->values, value)
                                               : rules_block_value(rd->rules, rd->values.values, text);
}

static bool text_touched(struct redactor *rd, enum look look, struct slice text)
{
    return look == LOOK_ALL && rules_block_value(rd->rules, rd->values.values, text);
}

/* Attributes of one message, and its text of number text_field (NO_FIELD: none). */
static bool message_touched(struct redactor *rd, enum look look, struct slice message, uint32_t field, uint32_t text_field)
{
    const uint8_t *p = message.p, *end = wire_end(message);

    while (p < end) {
        struct slice key, value;
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number == text_field && text_touched(rd, look, f.body))
            return true;
        if (f.number != field)
            continue;
        wire_attr(&f, &key, &value);
        if (touches(rd, look, key, value))
            return true;
    }
    return false;
}

#define NO_FIELD UINT32_MAX

static uint32_t event_text(const struct redactor *rd)
{
    return rules_event_names(rd->rules) ? EVENT_NAME : NO_FIELD;
}

static bool span_touched(struct redactor *rd, enum look look, struct slice body)
{
    const uint8_t *p = body.p, *end = wire_end(body);

    while (p < end) {
        struct slice key, value;
        struct wire_field f;
        bool hit = false;

        p = wire_next(p, end, &f);
        if (f.number == SPAN_ATTRIBUTES) {
            wire_attr(&f, &key, &value);
            hit = touches(rd, look, key, value);
        } else if (f.number == SPAN_EVENTS) {
            hit = message_touched(rd, look, f.body, EVENT_ATTRIBUTES, event_text(rd));
        } else if (f.number == SPAN_LINKS && rules_links(rd->rules)) {
            hit = message_touched(rd, look, f.body, LINK_ATTRIBUTES, NO_FIELD);
        } else if (f.number == SPAN_NAME && rules_span_names(rd->rules)) {
            hit = text_touched(rd, look, f.body);
        } else if (f.number == SPAN_STATUS && rules_status_message(rd->rules)) {
            hit = message_touched(rd, look, f.body, NO_FIELD, STATUS_MESSAGE);
        }
        if (hit)
            return true;
    }
    return false;
}

/* ---- one map ---- */

/* A list or map that is looked into. */
static bool mask_nested(struct redactor *rd, struct attr_map *m, struct attr_entry *e, enum mark *mark)
{
    bool changed = false;
    uint8_t *copy;

    buf_clear(&rd->nested);
    if (nested_put(&rd->values, e->value, &rd->nested, &changed))
        return false;
    if (!changed)
        return true;
    copy = attr_map_scratch(m, rd->nested.len);
    if (!copy)
        return false;
    wire_put_slice(copy, slice_of(rd->nested.p, rd->nested.len));
    *mark = MARK_MASKED;
    attr_map_set(m, e, slice_of(copy, rd->nested.len));
    return true;
}

static bool mask_entry(struct redactor *rd, struct attr_map *m, struct attr_entry *e, bool whole, enum mark *mark)
{
    struct slice text, masked;

    if (!redactor_text(&rd->values, e->value, &text))
        return false;
    if (!whole && value_is_nested(&rd->values, e->value) && !rules_allow_value(rd->rules, text))
        return mask_nested(rd, m, e, mark);
    switch (text_redact(&rd->values, text, whole, &masked)) {
    case TEXT_SAME:
        return true;
    case TEXT_ALLOWED:
        *mark = MARK_ALLOWED;
        return true;
    case TEXT_MASKED:
        *mark = MARK_MASKED;
        attr_map_set(m, e, attr_map_str(m, masked));
        return !m->out_of_memory;
    case TEXT_NO_MEMORY:
        break;
    }
    return false;
}

static bool judge_entry(struct redactor *rd, struct attr_map *m, struct attr_entry *e, enum mark *mark)
{
    *mark = MARK_NONE;
    switch (rules_key(rd->rules, rd->keys, e->key)) {
    case KEY_IGNORED:
        *mark = MARK_IGNORED;
        return true;
    case KEY_DELETED:
        *mark = MARK_DELETED;
        return true;
    case KEY_BLOCKED:
        return mask_entry(rd, m, e, true, mark);
    case KEY_PLAIN:
        return mask_entry(rd, m, e, false, mark);
    }
    return false;
}

#define EXACT_ORDER 256 /* attributes up to which deletions leave the Collector's order */

static bool marked_deleted(void *ctx, const struct attr_entry *e)
{
    const uint8_t **mark = ctx; /* entries come in order */

    (void)e;
    return *(*mark)++ == MARK_DELETED;
}

/* Removes what is marked. The Collector removes key by key, and the last entry moves into each hole;
 * beyond EXACT_ORDER attributes that costs too much, and the order is kept instead. */
static bool delete_marked(struct attr_map *m, const uint8_t *marks, size_t n_deleted)
{
    size_t n = 0;
    struct slice *keys;

    if (m->n > EXACT_ORDER) {
        attr_map_remove_if(m, marked_deleted, &marks);
        return true;
    }
    keys = (struct slice *)(void *)attr_map_scratch(m, n_deleted * sizeof(*keys));
    if (!keys)
        return false;
    for (size_t i = 0; i < m->n; i++)
        if (marks[i] == MARK_DELETED)
            keys[n++] = m->v[i].key;
    for (size_t i = 0; i < n; i++)
        attr_map_remove(m, attr_map_find(m, keys[i]));
    return true;
}

/* ---- the summary ---- */

static int by_bytes(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    int d = memcmp(x->p ? (const void *)x->p : "", y->p ? (const void *)y->p : "", x->len < y->len ? x->len : y->len);

    return d ? d : (x->len > y->len) - (x->len < y->len);
}

static size_t count_commas(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.p[i] == ',';
    return n;
}

/* Splits at commas into keys[]; returns how many. */
static size_t split(struct slice s, struct slice *keys)
{
    size_t n = 0, from = 0;

    for (size_t i = 0; i <= s.len; i++)
        if (i == s.len || s.p[i] == ',') {
            keys[n++] = slice_of(s.p + from, i - from);
            from = i + 1;
        }
    return n;
}

/* What stands in the attribute as a string; empty for none. */
static struct slice old_keys(const struct attr_map *m, struct slice name)
{
    const struct attr_entry *e = attr_map_find(m, name);
    struct any v = {0};

    if (e)
        v = wire_any(e->value);
    return v.type == ANY_STR ? v.bytes : (struct slice){0};
}

static struct slice joined(struct attr_map *m, const struct slice *keys, size_t n)
{
    size_t len = n - 1;
    uint8_t *start, *p;

    for (size_t i = 0; i < n; i++)
        len += keys[i].len;
    start = attr_map_scratch(m, wire_rec_size(len));
    if (!start)
        return (struct slice){0};
    p = wire_put_header(start, 1, len);
    for (size_t i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        p = wire_put_slice(p, keys[i]);
    }
    return slice_of(start, (size_t)(p - start));
}

/* keys: n of them, with room for `extra` more behind; sorted, joined, put. */
static bool put_keys(struct attr_map *m, const char *name, struct slice *keys, size_t n, struct slice before)
{
    struct slice value;

    CHECK(keys);
    if (before.len)
        n += split(before, keys + n);
    qsort(keys, n, sizeof(*keys), by_bytes);
    value = joined(m, keys, n);
    if (!value.p)
        return false;
    attr_map_put(m, slice_str(name), value);
    return !m->out_of_memory;
}

static bool put_count(struct attr_map *m, const char *name, size_t n)
{
    const struct attr_entry *e = attr_map_find(m, slice_str(name));
    struct any v = {0};
    uint8_t *p;

    if (e)
        v = wire_any(e->value);
    p = attr_map_scratch(m, 11);
    if (!p)
        return false;
    p[0] = 3 << 3;
    n += v.type == ANY_INT ? (uint64_t)v.i : 0;
    attr_map_put(m, slice_str(name), slice_of(p, 1 + varint_put(p + 1, n)));
    return !m->out_of_memory;
}

static const struct {
    const char *keys, *count;
} summary_names[MARKS] = {
    [MARK_DELETED] = {"redaction.redacted.keys", "redaction.redacted.count"},
    [MARK_MASKED] = {"redaction.masked.keys", "redaction.masked.count"},
    [MARK_ALLOWED] = {"redaction.allowed.keys", "redaction.allowed.count"},
    [MARK_IGNORED] = {NULL, "redaction.ignored.count"},
};

/* The keys with each mark, kept from before deletions move entries. */
struct marked {
    struct slice *keys[MARKS];
    size_t n[MARKS];
};

static bool collect(struct attr_map *m, const uint8_t *marks, struct marked *k)
{
    for (int mark = MARK_DELETED; mark < MARKS; mark++) {
        struct slice before = {0};
        size_t n = 0;

        if (k->n[mark] == 0 || !summary_names[mark].keys)
            continue;
        before = old_keys(m, slice_str(summary_names[mark].keys));
        k->keys[mark] = (struct slice *)(void *)attr_map_scratch(
            m, (k->n[mark] + count_commas(before) + 1) * sizeof(struct slice));
        if (!k->keys[mark])
            return false;
        for (size_t i = 0; i < m->n; i++)
            if (marks[i] == mark)
                k->keys[mark][n++] = m->v[i].key;
    }
    return true;
}

static bool summarise(struct redactor *rd, struct attr_map *m, struct marked *k)
{
    bool debug = rules_summary(rd->rules) == SUMMARY_DEBUG;

    for (int mark = MARK_DELETED; mark < MARKS; mark++) {
        const char *keys = summary_names[mark].keys;

        if (k->n[mark] == 0)
            continue;
        if (debug && keys && !put_keys(m, keys, k->keys[mark], k->n[mark], old_keys(m, slice_str(keys))))
            return false;
        if (!put_count(m, summary_names[mark].count, k->n[mark]))
            return false;
    }
    return true;
}

/* All rules on a loaded map. */
static bool redact_map(struct redactor *rd, struct attr_map *m, enum redaction_level level)
{
    enum redaction_summary summary = rules_summary(rd->rules);
    struct marked k = {0};
    uint8_t *marks = attr_map_scratch(m, m->n);

    if (!marks)
        return false;
    for (size_t i = 0; i < m->n; i++) {
        enum mark mark;

        if (!judge_entry(rd, m, &m->v[i], &mark))
            return false;
        marks[i] = (uint8_t)mark;
        k.n[mark]++;
    }
    rd->counts->deleted[level] += k.n[MARK_DELETED];
    rd->counts->masked[level] += k.n[MARK_MASKED];
    if (summary == SUMMARY_DEBUG && !collect(m, marks, &k))
        return false;
    if (k.n[MARK_DELETED] && !delete_marked(m, marks, k.n[MARK_DELETED]))
        return false;
    return summary == SUMMARY_NONE || summarise(rd, m, &k);
}

/* ---- spans ---- */

/* Appends a text field, redacted. */
static bool put_text(struct redactor *rd, const struct wire_field *f, enum redaction_level level, struct buf *out)
{
    struct slice masked;

    switch (text_redact(&rd->values, f->body, false, &masked)) {
    case TEXT_MASKED:
        rd->inner_changed = true;
        rd->counts->masked[level]++;
        return wire_put_bytes(out, f->number, masked) == 0;
    case TEXT_NO_MEMORY:
        return false;
    default:
        return buf_add(out, f->rec.p, f->rec.len) == 0;
    }
}

/* Appends fields, those of number text_field redacted. */
static bool put_fields(struct redactor *rd, struct slice run, uint32_t text_field, enum redaction_level level, struct buf *out)
{
    const uint8_t *p = run.p, *end = wire_end(run);

    while (p < end) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number == text_field ? !put_text(rd, &f, level, out) : buf_add(out, f.rec.p, f.rec.len) != 0)
            return false;
    }
    return true;
}

static bool put_entries(const struct attr_map *m, struct buf *out)
{
    size_t size = attr_map_entries_size(m);

    if (buf_reserve(out, size))
        return false;
    CHECK(attr_map_write_entries(m, out->p + out->len) == out->p + out->len + size);
    out->len += size;
    return true;
}

/* The event or link in rd->inner as it is now. */
static bool put_inner_body(struct redactor *rd, uint32_t text_field)
{
    const struct attr_map *m = &rd->inner;

    buf_clear(&rd->body);
    for (size_t i = 0; i < m->n_rest; i++) {
        if (i == m->rest_before && !put_entries(m, &rd->body))
            return false;
        if (!put_fields(rd, m->rest[i], text_field, LEVEL_EVENT_NAME, &rd->body))
            return false;
    }
    return m->rest_before < m->n_rest || put_entries(m, &rd->body);
}

/* Appends an event or link, redacted. */
static bool put_inner(struct redactor *rd, const struct wire_field *f, uint32_t field, uint32_t text_field, enum redaction_level level)
{
    struct attr_map *m = &rd->inner;

    if (!attr_map_load(m, f->body, field) || !redact_map(rd, m, level))
        return false;
    if (!m->changed && text_field == NO_FIELD)
        return buf_add(&rd->out, f->rec.p, f->rec.len) == 0;
    rd->inner_changed |= m->changed;
    return put_inner_body(rd, text_field) && wire_put_bytes(&rd->out, f->number, slice_of(rd->body.p, rd->body.len)) == 0;
}

static bool put_status(struct redactor *rd, const struct wire_field *f)
{
    buf_clear(&rd->body);
    return put_fields(rd, f->body, STATUS_MESSAGE, LEVEL_STATUS, &rd->body) &&
           wire_put_bytes(&rd->out, f->number, slice_of(rd->body.p, rd->body.len)) == 0;
}

static bool put_field(struct redactor *rd, const struct wire_field *f)
{
    switch (f->number) {
    case SPAN_EVENTS:
        return put_inner(rd, f, EVENT_ATTRIBUTES, event_text(rd), LEVEL_EVENT);
    case SPAN_LINKS:
        if (rules_links(rd->rules))
            return put_inner(rd, f, LINK_ATTRIBUTES, NO_FIELD, LEVEL_LINK);
        break;
    case SPAN_NAME:
        if (rules_span_names(rd->rules))
            return put_text(rd, f, LEVEL_SPAN_NAME, &rd->out);
        break;
    case SPAN_STATUS:
        if (rules_status_message(rd->rules))
            return put_status(rd, f);
        break;
    default:
        break;
    }
    return buf_add(&rd->out, f->rec.p, f->rec.len) == 0;
}

static bool put_run(struct redactor *rd, struct slice run)
{
    const uint8_t *p = run.p, *end = wire_end(run);

    while (p < end) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (!put_field(rd, &f))
            return false;
    }
    return true;
}

static bool build_span(struct redactor *rd, struct slice body)
{
    struct attr_map *m = &rd->map;

    buf_clear(&rd->out);
    rd->inner_changed = false;
    if (!attr_map_load(m, body, SPAN_ATTRIBUTES) || !redact_map(rd, m, LEVEL_SPAN))
        return false;
    for (size_t i = 0; i < m->rest_before; i++)
        if (!put_run(rd, m->rest[i]))
            return false;
    if (!put_entries(m, &rd->out))
        return false;
    for (size_t i = m->rest_before; i < m->n_rest; i++)
        if (!put_run(rd, m->rest[i]))
            return false;
    return true;
}

/* Into the payload's room, if it is not what it was. */
static bool keep_span(struct redactor *rd, struct editor *ed, uint32_t i)
{
    uint8_t *room;

    if (!rd->map.changed && !rd->inner_changed)
        return true;
    room = editor_span_room(ed, i, rd->out.len);
    if (room)
        wire_put_slice(room, slice_of(rd->out.p, rd->out.len));
    return room != NULL;
}

static bool rewrite_span(struct redactor *rd, struct editor *ed, uint32_t i)
{
    bool fine = build_span(rd, span_body(editor_span(ed, i))) && keep_span(rd, ed, i);

    buf_rest(&rd->out);
    buf_rest(&rd->body);
    buf_rest(&rd->nested);
    value_redactor_rest(&rd->values);
    return fine;
}

/* ---- parts ---- */

static bool redact_resources(struct redactor *rd, struct editor *ed)
{
    for (uint32_t r = editor_first_resource(ed); r < editor_end_resource(ed); r++) {
        struct slice body = editor_resource(ed, r);
        enum look look = rules_look(rd->rules, body);

        if (look == LOOK_SKIP || !message_touched(rd, look, body, RESOURCE_ATTRIBUTES, NO_FIELD))
            continue;
        if (!attr_map_load(&rd->map, body, RESOURCE_ATTRIBUTES) || !redact_map(rd, &rd->map, LEVEL_RESOURCE))
            return false;
        if (rd->map.changed && !editor_write_resource(ed, r, &rd->map))
            return false;
    }
    return true;
}

static bool redact_scopes(struct redactor *rd, struct editor *ed)
{
    for (uint32_t s = editor_first_scope(ed); s < editor_end_scope(ed); s++) {
        struct slice body = editor_scope(ed, s);
        enum look look = rules_look(rd->rules, body);

        if (look == LOOK_SKIP || !message_touched(rd, look, body, SCOPE_ATTRIBUTES, NO_FIELD))
            continue;
        if (!attr_map_load(&rd->map, body, SCOPE_ATTRIBUTES) || !redact_map(rd, &rd->map, LEVEL_SCOPE))
            return false;
        if (rd->map.changed && !editor_write_scope(ed, s, &rd->map))
            return false;
    }
    return true;
}

bool redact_part(struct redactor *rd, struct editor *ed, struct redaction_counts *counts)
{
    rd->counts = counts;
    if (!redact_resources(rd, ed) || !redact_scopes(rd, ed))
        return false;
    for (uint32_t i = 0; i < ed->n_spans; i++) {
        const struct span *s = editor_span(ed, i);
        enum look look = rules_look(rd->rules, slice_of(s->rec, s->rec_len));

        if (look == LOOK_SKIP || !span_touched(rd, look, span_body(s)))
            continue;
        if (!rewrite_span(rd, ed, i))
            return false;
    }
    return true;
}
