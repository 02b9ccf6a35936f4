/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See redaction_value.h. Inside lists and maps the rules are those of the top: blocked_values for what
 * is text, blocked and ignored keys for the keys of maps. allowed_keys speaks of attributes alone.
 * Depth is what the walk allowed (OTLP_MAX_DEPTH).
 */
#include "processors/redaction_value.h"

#include "model/wire_checked.h"

#define KEPT_BYTES ((size_t)64 * 1024) /* of each buffer, between spans */

/* Of one masked value: a hash of every character would be a hundred times the value. Beyond it there
 * is no memory. */
#define MOST_BYTES ((size_t)64 << 20)

enum { ANY_ARRAY_FIELD = 5, ANY_MAP_FIELD = 6, ITEM_FIELD = 1 }; /* of AnyValue; of ArrayValue and KeyValueList */

void value_redactor_init(struct value_redactor *vr, const struct rules *r)
{
    *vr = (struct value_redactor){.rules = r, .values = verdicts_new()};
    vr->scratch[0].max = vr->scratch[1].max = MOST_BYTES;
}

void value_redactor_free(struct value_redactor *vr)
{
    verdicts_free(&vr->values);
    buf_free(&vr->text);
    buf_free(&vr->scratch[0]);
    buf_free(&vr->scratch[1]);
    *vr = (struct value_redactor){0};
}

void buf_rest(struct buf *b)
{
    if (b->cap > KEPT_BYTES)
        buf_free(b);
}

void value_redactor_rest(struct value_redactor *vr)
{
    buf_rest(&vr->text);
    buf_rest(&vr->scratch[0]);
    buf_rest(&vr->scratch[1]);
}

bool redactor_text(struct value_redactor *vr, struct slice value, struct slice *text)
{
    struct any v = wire_any(value);

    if (v.type == ANY_STR) {
        *text = v.bytes;
        return true;
    }
    *text = slice_of("", 0);
    if (!rules_all_types(vr->rules))
        return true;
    buf_clear(&vr->text);
    if (any_as_string(&v, &vr->text) < 0)
        return false;
    *text = slice_of(vr->text.p, vr->text.len);
    return true;
}

enum text_fate text_redact(struct value_redactor *vr, struct slice text, bool whole, struct slice *masked)
{
    if (rules_allow_value(vr->rules, text))
        return TEXT_ALLOWED;
    if (whole) {
        if (rules_mask_all(vr->rules, text, &vr->scratch[0]) < 0)
            return TEXT_NO_MEMORY;
        *masked = slice_of(vr->scratch[0].p, vr->scratch[0].len);
        return TEXT_MASKED;
    }
    if (rules_mask(vr->rules, text, vr->scratch, masked) < 0)
        return TEXT_NO_MEMORY;
    return slice_eq(*masked, text) ? TEXT_SAME : TEXT_MASKED;
}

/* ---- lists and maps ---- */

bool value_is_nested(const struct value_redactor *vr, struct slice value)
{
    enum any_type type;

    if (!rules_nested(vr->rules))
        return false;
    type = wire_any(value).type;
    return type == ANY_ARRAY || type == ANY_MAP;
}

static bool map_touched(struct value_redactor *vr, struct slice map)
{
    struct attr_iter it = attr_iter(map, ITEM_FIELD);
    struct attr a;

    while (attr_next(&it, &a)) {
        enum key_verdict v = rules_nested_key(vr->rules, a.key);

        if (v == KEY_BLOCKED || (v == KEY_PLAIN && nested_touched(vr, a.value)))
            return true;
    }
    return false;
}

bool nested_touched(struct value_redactor *vr, struct slice value)
{
    struct any v = wire_any(value);
    struct field_iter it;
    struct slice text;
    struct field f;

    switch (v.type) {
    case ANY_ARRAY:
        for (it = field_iter(v.bytes); field_next(&it, &f);)
            if (f.number == ITEM_FIELD && nested_touched(vr, f.bytes))
                return true;
        return false;
    case ANY_MAP:
        return map_touched(vr, v.bytes);
    default:
        return !redactor_text(vr, value, &text) || rules_block_value(vr->rules, vr->values, text);
    }
}

static int put_scalar(struct value_redactor *vr, struct slice value, bool whole, struct buf *out, bool *changed)
{
    struct slice text, masked;

    if (!redactor_text(vr, value, &text))
        return -1;
    switch (text_redact(vr, text, whole, &masked)) {
    case TEXT_MASKED:
        *changed = true;
        return wire_put_bytes(out, 1, masked);
    case TEXT_NO_MEMORY:
        return -1;
    default:
        return buf_add(out, value.p, value.len);
    }
}

static int put_entry(struct value_redactor *vr, const struct attr *a, struct buf *out, bool *changed)
{
    enum key_verdict verdict = rules_nested_key(vr->rules, a->key);
    struct buf value = {0}, entry = {0};
    int rc;

    if (verdict == KEY_IGNORED)
        return buf_add(out, a->rec.p, a->rec.len);
    rc = verdict == KEY_BLOCKED ? put_scalar(vr, a->value, true, &value, changed) : nested_put(vr, a->value, &value, changed);
    if (rc == 0)
        rc = wire_put_bytes(&entry, KEYVALUE_KEY, a->key) || wire_put_bytes(&entry, KEYVALUE_VALUE, slice_of(value.p, value.len)) ||
             wire_put_bytes(out, ITEM_FIELD, slice_of(entry.p, entry.len));
    buf_free(&value);
    buf_free(&entry);
    return rc ? -1 : 0;
}

static int put_map(struct value_redactor *vr, struct slice map, struct buf *out, bool *changed)
{
    struct attr_iter it = attr_iter(map, ITEM_FIELD);
    struct attr a;

    while (attr_next(&it, &a))
        if (put_entry(vr, &a, out, changed))
            return -1;
    return 0;
}

static int put_list(struct value_redactor *vr, struct slice list, struct buf *out, bool *changed)
{
    struct field_iter it = field_iter(list);
    struct buf item = {0};
    struct field f;
    int rc = 0;

    while (rc == 0 && field_next(&it, &f)) {
        if (f.number != ITEM_FIELD)
            continue;
        buf_clear(&item);
        rc = nested_put(vr, f.bytes, &item, changed);
        if (rc == 0)
            rc = wire_put_bytes(out, ITEM_FIELD, slice_of(item.p, item.len));
    }
    buf_free(&item);
    return rc;
}

int nested_put(struct value_redactor *vr, struct slice value, struct buf *out, bool *changed)
{
    struct any v = wire_any(value);
    struct buf inner = {0};
    int rc;

    if (v.type != ANY_ARRAY && v.type != ANY_MAP)
        return put_scalar(vr, value, false, out, changed);
    rc = v.type == ANY_ARRAY ? put_list(vr, v.bytes, &inner, changed) : put_map(vr, v.bytes, &inner, changed);
    if (rc == 0)
        rc = wire_put_bytes(out, v.type == ANY_ARRAY ? ANY_ARRAY_FIELD : ANY_MAP_FIELD, slice_of(inner.p, inner.len));
    buf_free(&inner);
    return rc;
}
