/* SPDX-License-Identifier: Apache-2.0 */
/* What redaction would touch: see redaction_look.h. Order: one attribute, messages, spans, what to
 * look at. */
#include "processors/redaction_look.h"

#include "model/wire_checked.h"

static bool is_system_key(struct slice key)
{
    return slice_eq(key, slice_str(db_system_keys[0])) ||
           slice_eq(key, slice_str(db_system_keys[1]));
}

/* Does a URL in that text have variable parts? Without memory too: that is reported by the rewrite.
 */
static bool url_varies(struct redactor *rd, struct slice text)
{
    return url_sanitize(text, &rd->url) || !slice_eq(text, slice_of(rd->url.p, rd->url.len));
}

/* As far as the name says; it may be that the span has too little to do with HTTP. */
static bool name_varies(struct redactor *rd, struct slice name)
{
    struct slice now = name;

    return url_sanitize_name(&now, true, &rd->url) || !slice_eq(name, now);
}

/* Would redaction change, or its summary count, this attribute? */
static bool touches(struct redactor *rd, enum look look, struct slice key, struct slice value)
{
    bool counts = rules_summary(rd->rules) != SUMMARY_NONE;
    struct slice text;

    if (look == LOOK_ALL && rules_db(rd->rules) && is_system_key(key))
        return true; /* there may be statements next to it */
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
    if (url_attribute(rules_url(rd->rules), key) && url_varies(rd, text))
        return true;
    return value_is_nested(&rd->values, value)
               ? nested_touched(&rd->values, value)
               : rules_block_value(rd->rules, rd->values.values, text);
}

static bool text_touched(struct redactor *rd, enum look look, struct slice text)
{
    return look == LOOK_ALL && rules_block_value(rd->rules, rd->values.values, text);
}

/* Attributes of one message, and its text of number text_field (NO_FIELD: none). */
bool message_touched(struct redactor *rd, enum look look, struct slice message, uint32_t field,
                     uint32_t text_field)
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

/* A field of the span that is no attribute. */
static bool other_touched(struct redactor *rd, enum look look, const struct wire_field *f)
{
    switch (f->number) {
    case SPAN_EVENTS:
        return message_touched(rd, look, f->body, EVENT_ATTRIBUTES, event_text(rd));
    case SPAN_LINKS:
        return rules_links(rd->rules) &&
               message_touched(rd, look, f->body, LINK_ATTRIBUTES, NO_FIELD);
    case SPAN_NAME:
        return rules_span_names(rd->rules) && text_touched(rd, look, f->body);
    case SPAN_STATUS:
        return rules_status_message(rd->rules) &&
               message_touched(rd, look, f->body, NO_FIELD, STATUS_MESSAGE);
    default:
        return false;
    }
}

bool others_touched(struct redactor *rd, enum look look, struct slice body)
{
    const uint8_t *p = body.p, *end = wire_end(body);

    while (p < end) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number != SPAN_ATTRIBUTES && other_touched(rd, look, &f))
            return true;
    }
    return false;
}

bool span_touched(struct redactor *rd, enum look look, struct slice body)
{
    const uint8_t *p = body.p, *end = wire_end(body);

    while (p < end) {
        struct slice key, value;
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number != SPAN_ATTRIBUTES) {
            if (other_touched(rd, look, &f))
                return true;
            continue;
        }
        wire_attr(&f, &key, &value);
        if (touches(rd, look, key, value))
            return true;
    }
    return false;
}

bool map_touched(struct redactor *rd, enum look look, const struct attr_map *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (touches(rd, look, m->v[i].key, m->v[i].value))
            return true;
    return false;
}

/* Would url_sanitizer change the name? */
bool name_touched(struct redactor *rd, struct slice body)
{
    const uint8_t *p = body.p, *end = wire_end(body);

    while (p < end && url_span_names(rules_url(rd->rules), rd->kind)) {
        struct wire_field f;

        p = wire_next(p, end, &f);
        if (f.number == SPAN_NAME && name_varies(rd, f.body))
            return true;
    }
    return false;
}

#define NEW_BYTES 512

/* Attributes that are not in the span's bytes yet, one behind the other in room. False: too many.
 */
static bool gather_new(const struct attr_map *m, uint8_t room[static NEW_BYTES], size_t *len)
{
    uint8_t *p = room;

    for (size_t i = 0; i < m->n; i++) {
        const struct attr_entry *e = &m->v[i];

        if (e->rec.p)
            continue;
        if (e->key.len + e->value.len + 2 > (size_t)(room + NEW_BYTES - p))
            return false;
        p = wire_put_slice(p, e->key);
        *p++ = 0; /* nothing spans two texts */
        p = wire_put_slice(p, e->value);
        *p++ = 0;
    }
    *len = (size_t)(p - room);
    return true;
}

/* What has to be judged of the span, pending attributes as well. False when the budget refused
 * room. */
bool look_at(const struct redactor *rd, struct open_span *s, enum look *look)
{
    uint8_t room[NEW_BYTES];
    const struct span *now;
    enum look of_new = LOOK_SKIP;
    size_t len;

    if (open_span_pending(s)) {
        if (!s->last && gather_new(s->map, room, &len))
            of_new = rules_look(rd->rules, slice_of(room, len));
        else if (!open_span_write(s))
            return false;
    }
    now = open_span_now(s);
    *look = rules_look(rd->rules, slice_of(now->rec, now->rec_len));
    *look = of_new > *look ? of_new : *look;
    return true;
}
