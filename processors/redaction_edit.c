/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction of messages: see redaction_edit.h. Order: statements and URLs, one map, spans, resources
 * and scopes.
 *
 * The scratch buffers hold one value or one span and are given back when they were large. A value
 * whose mask cannot be built for want of memory fails the whole batch: it never goes on unmasked.
 */
#include "processors/redaction_edit.h"

#include <stdlib.h>

#include "model/wire_checked.h"
#include "processors/redaction_look.h"
#include "processors/redaction_summary.h"

void redactor_init(struct redactor *rd, const struct rules *r, struct budget *b)
{
    *rd = (struct redactor){.rules = r, .keys = verdicts_new()};
    value_redactor_init(&rd->values, r);
    attr_map_init(&rd->map, b);
    attr_map_init(&rd->inner, b);
    rd->statement.max = rd->url.max = rd->values.scratch[0].max;
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
    buf_free(&rd->statement);
    buf_free(&rd->url);
    *rd = (struct redactor){0};
}

/* ---- statements of databases, and URLs ---- */

/* Which the map names; the first key that has a text counts. */
static enum db_system system_in(const struct redactor *rd, const struct attr_map *m)
{
    for (size_t i = 0; rules_db(rd->rules) && i < ARRAY_LEN(db_system_keys); i++) {
        const struct attr_entry *e = attr_map_find(m, slice_str(db_system_keys[i]));
        struct any v = {0};

        if (e)
            v = wire_any(e->value);
        if (v.type == ANY_STR && v.bytes.len)
            return db_system_of(v.bytes);
    }
    return DB_UNKNOWN;
}

/* The statement in rd->statement instead of *text. */
static bool sanitize(struct redactor *rd, enum db_system system, struct slice *text)
{
    buf_clear(&rd->statement);
    if (db_obfuscate(system, *text, &rd->statement))
        return false;
    *text = slice_of(rd->statement.p, rd->statement.len);
    return true;
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

/* text_redact(), and behind it what url_sanitizer and db_sanitizer do with the attribute. */
static enum text_fate entry_redact(struct redactor *rd, struct slice key, struct slice text, bool whole, struct slice *masked)
{
    enum text_fate fate = text_redact(&rd->values, text, whole, masked);

    if (whole || (fate != TEXT_SAME && fate != TEXT_MASKED))
        return fate;
    if (url_attribute(rules_url(rd->rules), key)) {
        if (url_sanitize(*masked, &rd->url))
            return TEXT_NO_MEMORY;
        *masked = slice_of(rd->url.p, rd->url.len);
    }
    if (db_attribute(rules_db(rd->rules), rd->system, key) && !sanitize(rd, rd->system, masked))
        return TEXT_NO_MEMORY;
    return slice_eq(*masked, text) ? TEXT_SAME : TEXT_MASKED;
}

static bool mask_entry(struct redactor *rd, struct attr_map *m, struct attr_entry *e, bool whole, enum mark *mark)
{
    struct slice text, masked;

    if (!redactor_text(&rd->values, e->value, &text))
        return false;
    if (!whole && value_is_nested(&rd->values, e->value) && !rules_allow_value(rd->rules, text))
        return mask_nested(rd, m, e, mark);
    switch (entry_redact(rd, e->key, text, whole, &masked)) {
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

/* All rules on a loaded map. */
static bool redact_map(struct redactor *rd, struct attr_map *m, enum redaction_level level)
{
    enum redaction_summary summary = rules_summary(rd->rules);
    struct marked k = {0};
    uint8_t *marks = attr_map_scratch(m, m->n);

    if (!marks)
        return false;
    rd->system = system_in(rd, m);
    for (size_t i = 0; i < m->n; i++) {
        enum mark mark;

        if (!judge_entry(rd, m, &m->v[i], &mark))
            return false;
        marks[i] = (uint8_t)mark;
        k.n[mark]++;
    }
    rd->counts->deleted[level] += k.n[MARK_DELETED];
    rd->counts->masked[level] += k.n[MARK_MASKED];
    if (summary == SUMMARY_DEBUG && !summary_collect(m, marks, &k))
        return false;
    if (k.n[MARK_DELETED] && !delete_marked(m, marks, k.n[MARK_DELETED]))
        return false;
    return summary == SUMMARY_NONE || summary_put(m, &k, summary == SUMMARY_DEBUG);
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

/* A name that is a URL is not looked at as a statement any more. False without memory. */
static bool sanitize_name(struct redactor *rd, struct slice *name)
{
    struct slice masked = *name;

    if (url_span_names(rules_url(rd->rules), rd->kind)) {
        if (url_sanitize_name(&masked, rd->http, &rd->url))
            return false;
        if (!slice_eq(masked, *name)) {
            *name = masked;
            return true;
        }
    }
    if (!db_span_name(rules_db(rd->rules), rd->span_system, rd->kind))
        return true;
    if (!sanitize(rd, rd->span_system, &masked))
        return false;
    if (masked.len && !slice_eq(masked, slice_str("...")))
        *name = masked;
    return true;
}

/* The span's name as the rules leave it, in *name. False without memory. */
static bool redact_name(struct redactor *rd, struct slice *name)
{
    struct slice text = *name, masked;

    if (rules_span_names(rd->rules)) {
        switch (text_redact(&rd->values, text, false, &masked)) {
        case TEXT_MASKED:
            *name = masked;
            break;
        case TEXT_SAME:
            break;
        case TEXT_ALLOWED:
            return true;
        case TEXT_NO_MEMORY:
            return false;
        }
    }
    return rules_allow_value(rd->rules, text) || sanitize_name(rd, name);
}

static bool put_name(struct redactor *rd, const struct wire_field *f)
{
    struct slice name = f->body;

    if (!redact_name(rd, &name))
        return false;
    if (slice_eq(name, f->body))
        return buf_add(&rd->out, f->rec.p, f->rec.len) == 0;
    rd->inner_changed = true;
    rd->counts->masked[LEVEL_SPAN_NAME]++;
    return wire_put_bytes(&rd->out, f->number, name) == 0;
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

    if (size == 0)
        return true;
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
        if (rules_span_names(rd->rules) || rules_db(rd->rules) || rules_url(rd->rules))
            return put_name(rd, f);
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
    rd->span_system = system_in(rd, m);
    rd->http = url_span_names(rules_url(rd->rules), rd->kind) && url_is_http(m);
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

static bool rewrite_span(struct redactor *rd, struct open_span *s)
{
    bool fine;

    if (!open_span_write(s))
        return false;
    fine = build_span(rd, span_body(open_span_now(s))) && keep_span(rd, s->ed, s->i);
    open_span_rewritten(s);
    return fine;
}

/* Is more of the span touched than its attributes, or do its attributes decide about more? */
static bool goes_deep(struct redactor *rd, enum look look, struct slice body)
{
    return rules_db(rd->rules) || rules_url(rd->rules) || others_touched(rd, look, body);
}

/* deep: more than its attributes is touched, as far as is known. Attributes alone are changed where
 * they are; the span is written by whoever writes it last. */
static bool redact_looked(struct redactor *rd, enum look look, bool deep, struct open_span *s)
{
    struct slice body = span_body(open_span_now(s));
    bool touched = deep;

    if (look != LOOK_SKIP && s->loaded) {
        deep |= others_touched(rd, look, body);
        touched = deep || map_touched(rd, look, s->map);
    } else if (look != LOOK_SKIP) {
        touched |= span_touched(rd, look, body);
    }
    if (!touched)
        return true;
    if (deep || goes_deep(rd, look, body))
        return rewrite_span(rd, s);
    return open_span_load(s) && redact_map(rd, s->map, LEVEL_SPAN);
}

bool redact_span(struct redactor *rd, struct open_span *s, struct redaction_counts *counts)
{
    enum look look;
    bool fine, named;

    if (!look_at(rd, s, &look))
        return false;
    rd->kind = open_span_now(s)->kind;
    named = name_touched(rd, span_body(open_span_now(s)));
    if (LIKELY(look == LOOK_SKIP && !named))
        return true;
    rd->counts = counts;
    fine = redact_looked(rd, look, named, s);
    buf_rest(&rd->out);
    buf_rest(&rd->body);
    buf_rest(&rd->nested);
    buf_rest(&rd->statement);
    buf_rest(&rd->url);
    value_redactor_rest(&rd->values);
    return fine;
}

/* ---- resources and scopes ---- */

static bool envelope_touched(struct redactor *rd, struct slice body, uint32_t field)
{
    enum look look = rules_look(rd->rules, body);

    return look != LOOK_SKIP && message_touched(rd, look, body, field, NO_FIELD);
}

static bool redact_resources(struct redactor *rd, struct editor *ed)
{
    for (uint32_t r = editor_first_resource(ed); r < editor_end_resource(ed); r++) {
        struct slice body = editor_resource(ed, r);

        if (!envelope_touched(rd, body, RESOURCE_ATTRIBUTES))
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

        if (!envelope_touched(rd, body, SCOPE_ATTRIBUTES))
            continue;
        if (!attr_map_load(&rd->map, body, SCOPE_ATTRIBUTES) || !redact_map(rd, &rd->map, LEVEL_SCOPE))
            return false;
        if (rd->map.changed && !editor_write_scope(ed, s, &rd->map))
            return false;
    }
    return true;
}

bool redact_envelope(struct redactor *rd, struct editor *ed, struct redaction_counts *counts)
{
    rd->counts = counts;
    return redact_resources(rd, ed) && redact_scopes(rd, ed);
}

bool redact_leaves_envelope(struct redactor *rd, const struct editor *ed)
{
    for (uint32_t r = editor_first_resource(ed); r < editor_end_resource(ed); r++)
        if (envelope_touched(rd, editor_resource(ed, r), RESOURCE_ATTRIBUTES))
            return false;
    for (uint32_t s = editor_first_scope(ed); s < editor_end_scope(ed); s++)
        if (envelope_touched(rd, editor_scope(ed, s), SCOPE_ATTRIBUTES))
            return false;
    return true;
}
