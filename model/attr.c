/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing attributes on the wire. Readers trust their input: the walk, or we, made it;
 * a record that does not parse is a bug and ends in a CHECK, never in a read past the end.
 *
 * The walk refuses an attribute with two keys or two values and an AnyValue with two members, so
 * the first of each is the only one.
 *
 * Order: fields, attributes, values, writers.
 */
#include "model/attr.h"

#include <string.h>

#include "model/wire.h"

/* ---- fields ---- */

struct field_iter field_iter(struct slice message)
{
    return (struct field_iter){message.p, message.len ? message.p + message.len : message.p};
}

static const uint8_t *field_value(struct field *f, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *body_end = p;

    switch (f->wire) {
    case WIRE_VARINT:
        return wire_varint(p, end, &f->value);
    case WIRE_FIXED64:
        CHECK(end - p >= 8);
        f->value = load_le64(p);
        return p + 8;
    case WIRE_FIXED32:
        CHECK(end - p >= 4);
        f->value = load_le32(p);
        return p + 4;
    case WIRE_LEN:
        p = wire_body(p, end, &body_end);
        f->bytes = slice_of(p, p ? (size_t)(body_end - p) : 0);
        return p ? body_end : NULL;
    default:
        return NULL;
    }
}

bool field_next(struct field_iter *it, struct field *f)
{
    const uint8_t *start = it->p, *p;
    uint32_t tag;

    if (start >= it->end)
        return false;
    p = wire_u32(start, it->end, &tag);
    CHECK(p);
    f->number = tag >> 3;
    f->wire = tag & 7;
    f->value = 0;
    f->bytes = (struct slice){0};
    p = field_value(f, p, it->end);
    CHECK(p);
    f->rec = slice_of(start, (size_t)(p - start));
    it->p = p;
    return true;
}

/* Steps over a field that is no LEN field: small varints and fixed sizes at once. */
static inline const uint8_t *skip_scalar(uint32_t tag, const uint8_t *p, const uint8_t *end)
{
    size_t left = (size_t)(end - p);

    if ((tag & 7) == WIRE_FIXED64 && left >= 8)
        return p + 8;
    if ((tag & 7) == WIRE_VARINT && left >= 1 && *p < 0x80)
        return p + 1;
    if ((tag & 7) == WIRE_FIXED32 && left >= 4)
        return p + 4;
    return wire_skip(tag, p, end);
}

/* The next LEN field `number`, skipping the rest with as little work as possible. */
static inline bool next_body(struct field_iter *it, uint32_t number, const uint8_t **rec,
                             const uint8_t **body, const uint8_t **body_end)
{
    const uint8_t *p = it->p, *end = it->end;

    while (p < end) {
        const uint8_t *start = p, *to = p;
        uint32_t tag;

        p = wire_u32(p, end, &tag);
        CHECK(p);
        if ((tag & 7) != WIRE_LEN) {
            p = skip_scalar(tag, p, end);
            CHECK(p);
            continue;
        }
        p = wire_body(p, end, &to);
        CHECK(p);
        if (tag >> 3 == number) {
            *rec = start;
            *body = p;
            *body_end = it->p = to;
            return true;
        }
        p = to;
    }
    it->p = end;
    return false;
}

struct slice field_bytes(struct slice message, uint32_t number)
{
    struct field_iter it = field_iter(message);
    const uint8_t *rec, *body = NULL, *body_end = NULL;
    struct slice last = {0};

    while (next_body(&it, number, &rec, &body, &body_end))
        last = slice_of(body, (size_t)(body_end - body));
    return last;
}

/* ---- attributes ---- */

/* A span nearly always begins with its ids, fields 1, 2 and 4 of 16, 8 and 8 bytes: over them at once. */
static inline const uint8_t *past_ids(const uint8_t *p)
{
    if (p[0] != WIRE_TAG(1, WIRE_LEN) || p[1] != 16 || p[18] != WIRE_TAG(2, WIRE_LEN) || p[19] != 8)
        return p;
    p += 28;
    return p[0] == WIRE_TAG(4, WIRE_LEN) && p[1] == 8 ? p + 10 : p;
}

struct attr_iter attr_iter(struct slice message, uint32_t attributes_field)
{
    struct attr_iter it = {field_iter(message), attributes_field};

    if (message.len >= 38 && attributes_field > 4)
        it.fields.p = past_ids(message.p);
    return it;
}

static void keyvalue_parse(struct attr *a, const uint8_t *p, const uint8_t *end)
{
    struct field_iter it = {p, end};
    struct field f;

    a->key = a->value = (struct slice){0};
    while (field_next(&it, &f)) {
        if (f.wire != WIRE_LEN)
            continue;
        if (f.number == KEYVALUE_KEY)
            a->key = f.bytes;
        else if (f.number == KEYVALUE_VALUE)
            a->value = f.bytes;
    }
}

/* Goes on to the next record, whatever stands before it and however it is written. */
bool attr_next_any(struct attr_iter *it, struct attr *a)
{
    const uint8_t *rec, *body, *body_end;

    if (!next_body(&it->fields, it->number, &rec, &body, &body_end))
        return false;
    if (LIKELY(attr_usual(rec, (size_t)(body_end - rec), it->number, a)))
        return true;
    a->rec = slice_of(rec, (size_t)(body_end - rec));
    keyvalue_parse(a, body, body_end);
    return true;
}

bool attr_find(struct slice message, uint32_t attributes_field, struct slice key, struct attr *a)
{
    struct attr_iter it = attr_iter(message, attributes_field);

    while (attr_next(&it, a))
        if (slice_eq(a->key, key))
            return true;
    return false;
}

/* ---- values ---- */

/* Field numbers of AnyValue. */
enum {
    VALUE_STRING = 1, VALUE_BOOL = 2, VALUE_INT = 3, VALUE_DOUBLE = 4, VALUE_ARRAY = 5,
    VALUE_MAP = 6, VALUE_BYTES = 7,
};

static bool any_member(struct any *v, const struct field *f)
{
    switch (WIRE_TAG(f->number, f->wire)) {
    case WIRE_TAG(VALUE_STRING, WIRE_LEN):
        v->type = ANY_STR;
        break;
    case WIRE_TAG(VALUE_BOOL, WIRE_VARINT):
        v->type = ANY_BOOL;
        v->i = f->value != 0;
        break;
    case WIRE_TAG(VALUE_INT, WIRE_VARINT):
        v->type = ANY_INT;
        v->i = (int64_t)f->value;
        break;
    case WIRE_TAG(VALUE_DOUBLE, WIRE_FIXED64):
        v->type = ANY_DOUBLE;
        memcpy(&v->d, &f->value, sizeof(v->d));
        break;
    case WIRE_TAG(VALUE_ARRAY, WIRE_LEN):
        v->type = ANY_ARRAY;
        break;
    case WIRE_TAG(VALUE_MAP, WIRE_LEN):
        v->type = ANY_MAP;
        break;
    case WIRE_TAG(VALUE_BYTES, WIRE_LEN):
        v->type = ANY_BYTES;
        break;
    default:
        return false;
    }
    v->bytes = f->bytes;
    return true;
}

struct any any_parse(struct slice any_value_body)
{
    struct field_iter it = field_iter(any_value_body);
    struct any v = {.type = ANY_EMPTY};
    struct field f;

    while (field_next(&it, &f))
        if (any_member(&v, &f))
            break;
    return v;
}

/* ---- writers ---- */

size_t varint_size(uint64_t v)
{
    return ((size_t)(63 - __builtin_clzll(v | 1)) * 9 + 73) / 64;
}

size_t varint_put(uint8_t *dst, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        dst[n++] = (uint8_t)v | 0x80;
        v >>= 7;
    }
    dst[n++] = (uint8_t)v;
    return n;
}

int wire_put_varint(struct buf *out, uint64_t v)
{
    uint8_t bytes[VARINT_MAX_BYTES];

    return buf_add(out, bytes, varint_put(bytes, v));
}

int wire_put_tag(struct buf *out, uint32_t number, uint8_t wire)
{
    return wire_put_varint(out, WIRE_TAG(number, wire));
}

int wire_put_bytes(struct buf *out, uint32_t number, struct slice s)
{
    size_t start = out->len;

    if (wire_put_tag(out, number, WIRE_LEN) == 0 && wire_put_varint(out, s.len) == 0 &&
        buf_add(out, s.p, s.len) == 0)
        return 0;
    out->len = start;
    return -1;
}

int wire_put_uint(struct buf *out, uint32_t number, uint64_t v)
{
    size_t start = out->len;

    if (wire_put_tag(out, number, WIRE_VARINT) == 0 && wire_put_varint(out, v) == 0)
        return 0;
    out->len = start;
    return -1;
}

int wire_put_fixed64(struct buf *out, uint32_t number, uint64_t v)
{
    size_t start = out->len;
    uint64_t le = htole64(v);

    if (wire_put_tag(out, number, WIRE_FIXED64) == 0 && buf_add(out, &le, sizeof(le)) == 0)
        return 0;
    out->len = start;
    return -1;
}

static size_t any_size(const struct any *v)
{
    switch (v->type) {
    case ANY_EMPTY:
        return 0;
    case ANY_BOOL:
        return 2;
    case ANY_INT:
        return 1 + varint_size((uint64_t)v->i);
    case ANY_DOUBLE:
        return 9;
    default:
        return 1 + varint_size(v->bytes.len) + v->bytes.len;
    }
}

int any_put(struct buf *out, const struct any *v)
{
    uint64_t bits;

    switch (v->type) {
    case ANY_EMPTY:
        return 0;
    case ANY_STR:
        return wire_put_bytes(out, VALUE_STRING, v->bytes);
    case ANY_BOOL:
        return wire_put_uint(out, VALUE_BOOL, v->i != 0);
    case ANY_INT:
        return wire_put_uint(out, VALUE_INT, (uint64_t)v->i);
    case ANY_DOUBLE:
        memcpy(&bits, &v->d, sizeof(bits));
        return wire_put_fixed64(out, VALUE_DOUBLE, bits);
    case ANY_ARRAY:
        return wire_put_bytes(out, VALUE_ARRAY, v->bytes);
    case ANY_MAP:
        return wire_put_bytes(out, VALUE_MAP, v->bytes);
    case ANY_BYTES:
        return wire_put_bytes(out, VALUE_BYTES, v->bytes);
    }
    return -1;
}

int attr_put(struct buf *out, uint32_t attributes_field, struct slice key, const struct any *v)
{
    size_t start = out->len, value = any_size(v);
    size_t body = 1 + varint_size(key.len) + key.len + 1 + varint_size(value) + value;
    size_t tag = varint_size(WIRE_TAG(attributes_field, WIRE_LEN));

    if (buf_reserve(out, tag + varint_size(body) + body) == 0 &&
        wire_put_tag(out, attributes_field, WIRE_LEN) == 0 && wire_put_varint(out, body) == 0 &&
        wire_put_bytes(out, KEYVALUE_KEY, key) == 0 &&
        wire_put_tag(out, KEYVALUE_VALUE, WIRE_LEN) == 0 && wire_put_varint(out, value) == 0 &&
        any_put(out, v) == 0)
        return 0;
    out->len = start;
    return -1;
}

int attr_put_str(struct buf *out, uint32_t attributes_field, struct slice key, struct slice s)
{
    struct any v = {.type = ANY_STR, .bytes = s};

    return attr_put(out, attributes_field, key, &v);
}

int attr_put_int(struct buf *out, uint32_t attributes_field, struct slice key, int64_t i)
{
    struct any v = {.type = ANY_INT, .i = i};

    return attr_put(out, attributes_field, key, &v);
}
