/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading checked wire bytes in inner loops: model/attr.h's iterators with the common
 * encodings (one-byte tags, short lengths) inline. What is rarer goes through model/attr.h.
 */
#ifndef TAILRACE_MODEL_WIRE_CHECKED_H
#define TAILRACE_MODEL_WIRE_CHECKED_H

#include "model/attr.h"

static inline const uint8_t *wire_end(struct slice s)
{
    return s.len ? s.p + s.len : s.p; /* an empty one may have no address */
}

struct wire_field {
    uint32_t number;
    uint8_t wire;
    struct slice rec;  /* tag and all */
    struct slice body; /* wire 2 */
};

static inline const uint8_t *wire_any_field(const uint8_t *p, const uint8_t *end, struct wire_field *f)
{
    struct field_iter it = {p, end};
    struct field x;

    CHECK(field_next(&it, &x));
    *f = (struct wire_field){x.number, x.wire, x.rec, x.bytes};
    return it.p;
}

/* Reads the field at p < end; returns where the next one begins. */
static inline const uint8_t *wire_next(const uint8_t *p, const uint8_t *end, struct wire_field *f)
{
    const uint8_t *q = p + 1;
    uint8_t tag = *p;

    if (UNLIKELY(tag & 0x80))
        return wire_any_field(p, end, f);
    f->number = tag >> 3;
    f->wire = tag & 7;
    f->body = (struct slice){0};
    switch (f->wire) {
    case 0:
        while (*q++ & 0x80)
            ;
        break;
    case 1:
        q += 8;
        break;
    case 2: {
        size_t len = *q++;

        if (UNLIKELY(len & 0x80)) {
            if (UNLIKELY(*q & 0x80))
                return wire_any_field(p, end, f);
            len = (len & 0x7f) | (size_t)*q++ << 7;
        }
        f->body = slice_of(q, len);
        q += len;
        break;
    }
    case 5:
        q += 4;
        break;
    default:
        return wire_any_field(p, end, f);
    }
    f->rec = slice_of(p, (size_t)(q - p));
    return q;
}

static inline void wire_any_attr(const struct wire_field *f, struct slice *key, struct slice *value)
{
    struct attr_iter it = attr_iter(f->rec, f->number);
    struct attr a;

    CHECK(attr_next(&it, &a));
    *key = a.key;
    *value = a.value;
}

/* Key and AnyValue body of an attribute's record. */
static inline void wire_attr(const struct wire_field *f, struct slice *key, struct slice *value)
{
    const uint8_t *p = f->body.p, *end = p + f->body.len, *v;
    size_t len;

    if (UNLIKELY(f->body.len < 4 || p[0] != 0x0a || p[1] & 0x80))
        goto rare;
    v = p + 2 + p[1];
    if (UNLIKELY(end - v < 2 || v[0] != 0x12))
        goto rare;
    *key = slice_of(p + 2, p[1]);
    len = v[1];
    v += 2;
    if (UNLIKELY(len & 0x80)) {
        if (v == end || *v & 0x80)
            goto rare;
        len = (len & 0x7f) | (size_t)*v++ << 7;
    }
    if (UNLIKELY(v + len != end))
        goto rare;
    *value = slice_of(v, len);
    return;
rare:
    wire_any_attr(f, key, value);
}

/* any_parse() with strings inline. */
static inline struct any wire_any(struct slice value)
{
    if (LIKELY(value.len >= 2 && value.p[0] == 0x0a && value.p[1] == value.len - 2 && value.len < 130))
        return (struct any){.type = ANY_STR, .bytes = slice_of(value.p + 2, value.len - 2)};
    return any_parse(value);
}

/* Size of {tag below 16, length, body of len bytes}. */
static inline size_t wire_rec_size(size_t len)
{
    return 1 + varint_size(len) + len;
}

static inline uint8_t *wire_put_header(uint8_t *dst, uint32_t number, size_t len)
{
    *dst++ = (uint8_t)(number << 3 | 2);
    if (LIKELY(len < 0x80)) {
        *dst++ = (uint8_t)len;
        return dst;
    }
    return dst + varint_put(dst, len);
}

static inline uint8_t *wire_put_slice(uint8_t *dst, struct slice s)
{
    if (s.len && s.p)
        memcpy(dst, s.p, s.len);
    return dst + s.len;
}

#endif
