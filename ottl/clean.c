/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps and lists that functions make of texts, before they go into spans: functions cut texts by
 * bytes, and what is forwarded is UTF-8. Nearly all are fine, and are found to be by one look at
 * the bytes: every text in them stands between bytes below 0x80 (its length before it, a tag behind
 * it), so where the whole is UTF-8 each text is.
 *
 * Depth: as nested as what makes them allows. Order: looking, mending. Threads: the eval's worker.
 */
#include "model/utf8.h"
#include "model/wire_checked.h"
#include "ottl/program.h"

/* ---- looking ---- */

static bool is_clean(const struct any *v);

static bool map_is_clean(struct slice map)
{
    struct attr_iter it = attr_iter(map, OTTL_MAP_FIELD);
    struct attr a;
    struct any v;

    while (attr_next(&it, &a)) {
        v = wire_any(a.value);
        if (!utf8_valid(a.key.p, a.key.len) || !is_clean(&v))
            return false;
    }
    return true;
}

static bool list_is_clean(struct slice list)
{
    struct field_iter it = field_iter(list);
    struct field f;
    struct any v;

    while (field_next(&it, &f)) {
        v = wire_any(f.bytes);
        if (!is_clean(&v))
            return false;
    }
    return true;
}

static bool is_clean(const struct any *v)
{
    switch (v->type) {
    case ANY_STR:
        return utf8_valid(v->bytes.p, v->bytes.len);
    case ANY_MAP:
        return map_is_clean(v->bytes);
    case ANY_ARRAY:
        return list_is_clean(v->bytes);
    default:
        return true;
    }
}

/* ---- mending ---- */

static int put_clean(struct buf *out, struct slice any_body);

/* Appends the text with U+FFFD for what is none. */
static int put_text(struct buf *out, struct slice s)
{
    size_t len = utf8_repair(NULL, s.p, s.len);

    if (buf_reserve(out, len))
        return -1;
    utf8_repair(out->p + out->len, s.p, s.len);
    out->len += len;
    return 0;
}

static int put_entry(struct buf *out, const struct attr *a)
{
    struct buf key = {.max = out->max}, value = {.max = out->max}, entry = {.max = out->max};
    int rc = put_text(&key, a->key) || put_clean(&value, a->value) ||
                     wire_put_bytes(&entry, KEYVALUE_KEY, slice_of(key.p, key.len)) ||
                     wire_put_bytes(&entry, KEYVALUE_VALUE, slice_of(value.p, value.len)) ||
                     wire_put_bytes(out, OTTL_MAP_FIELD, slice_of(entry.p, entry.len))
                 ? -1
                 : 0;

    buf_free(&key);
    buf_free(&value);
    buf_free(&entry);
    return rc;
}

static int put_map(struct buf *out, struct slice map)
{
    struct attr_iter it = attr_iter(map, OTTL_MAP_FIELD);
    struct attr a;
    int rc = 0;

    while (rc == 0 && attr_next(&it, &a))
        rc = put_entry(out, &a);
    return rc;
}

static int put_list(struct buf *out, struct slice list)
{
    struct field_iter it = field_iter(list);
    struct buf item = {.max = out->max};
    struct field f;
    int rc = 0;

    while (rc == 0 && field_next(&it, &f)) {
        buf_clear(&item);
        rc = put_clean(&item, f.bytes) || wire_put_bytes(out, 1, slice_of(item.p, item.len)) ? -1
                                                                                             : 0;
    }
    buf_free(&item);
    return rc;
}

/* The body of an AnyValue. */
static int put_clean(struct buf *out, struct slice any_body)
{
    struct any v = wire_any(any_body);
    struct buf inner = {.max = out->max};
    int rc = 0;

    if (v.type != ANY_STR && v.type != ANY_MAP && v.type != ANY_ARRAY)
        return any_body.len ? buf_add(out, any_body.p, any_body.len) : 0;
    rc = v.type == ANY_STR   ? put_text(&inner, v.bytes)
         : v.type == ANY_MAP ? put_map(&inner, v.bytes)
                             : put_list(&inner, v.bytes);
    v.bytes = slice_of(inner.p, inner.len);
    rc = rc ? rc : any_put(out, &v);
    buf_free(&inner);
    return rc;
}

bool ottl_clean(struct ottl_eval *e, enum ottl_type type, struct slice *body)
{
    struct buf mended = {.max = OTTL_SCRATCH_BYTES};
    uint8_t *p = NULL;
    int rc;

    if (LIKELY(utf8_valid(body->p, body->len)) ||
        (type == OTTL_MAP ? map_is_clean(*body) : list_is_clean(*body)))
        return true;
    rc = type == OTTL_MAP ? put_map(&mended, *body) : put_list(&mended, *body);
    if (rc == 0 && (p = ottl_room(e, mended.len))) {
        if (mended.len)
            memcpy(p, mended.p, mended.len);
        *body = slice_of(p, mended.len);
    }
    buf_free(&mended);
    return rc ? ottl_too_long(e) : p != NULL;
}
