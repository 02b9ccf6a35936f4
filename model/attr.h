/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views on attributes, and writers. Everything here reads bytes the walk has accepted: no checks are
 * repeated, malformed input would be a bug.
 *
 *   for (struct attr_iter it = attr_iter(span_body(s), SPAN_ATTRIBUTES); attr_next(&it, &a);) ...
 */
#ifndef TAILRACE_MODEL_ATTR_H
#define TAILRACE_MODEL_ATTR_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/buf.h"

/* Field numbers (OTLP 1.11). */
enum {
    SPAN_TRACE_ID = 1, SPAN_SPAN_ID = 2, SPAN_TRACE_STATE = 3, SPAN_PARENT_ID = 4, SPAN_NAME = 5,
    SPAN_KIND = 6, SPAN_START = 7, SPAN_END = 8, SPAN_ATTRIBUTES = 9, SPAN_DROPPED_ATTRIBUTES = 10,
    SPAN_EVENTS = 11, SPAN_DROPPED_EVENTS = 12, SPAN_LINKS = 13, SPAN_DROPPED_LINKS = 14,
    SPAN_STATUS = 15, SPAN_FLAGS = 16,
    EVENT_TIME = 1, EVENT_NAME = 2, EVENT_ATTRIBUTES = 3, EVENT_DROPPED_ATTRIBUTES = 4,
    LINK_TRACE_ID = 1, LINK_SPAN_ID = 2, LINK_TRACE_STATE = 3, LINK_ATTRIBUTES = 4,
    LINK_DROPPED_ATTRIBUTES = 5, LINK_FLAGS = 6,
    STATUS_MESSAGE = 2, STATUS_CODE = 3,
    RESOURCE_ATTRIBUTES = 1, RESOURCE_DROPPED_ATTRIBUTES = 2,
    SCOPE_NAME = 1, SCOPE_VERSION = 2, SCOPE_ATTRIBUTES = 3, SCOPE_DROPPED_ATTRIBUTES = 4,
    KEYVALUE_KEY = 1, KEYVALUE_VALUE = 2,
};

/* Fields of any message. */
struct field {
    uint32_t number;
    uint8_t wire;       /* 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
    struct slice rec;   /* tag and all */
    struct slice bytes; /* wire 2: the body */
    uint64_t value;     /* wire 0, 1, 5 */
};
struct field_iter {
    const uint8_t *p, *end;
};
struct field_iter field_iter(struct slice message);
bool field_next(struct field_iter *it, struct field *f);
/* The last occurrence of a LEN field (proto3: last wins); empty slice when absent. */
struct slice field_bytes(struct slice message, uint32_t number);

enum any_type { ANY_EMPTY, ANY_STR, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_ARRAY, ANY_MAP, ANY_BYTES };
struct any {
    enum any_type type;
    struct slice bytes; /* STR, BYTES: content; ARRAY, MAP: body of ArrayValue / KeyValueList */
    int64_t i;          /* INT; BOOL: 0 or 1 */
    double d;
};
struct any any_parse(struct slice any_value_body);

struct attr {
    struct slice rec;   /* the whole record in its message: tag, length, KeyValue */
    struct slice key;
    struct slice value; /* AnyValue body; any_parse() reads it */
};
struct attr_iter {
    struct field_iter fields;
    uint32_t number;
};
struct attr_iter attr_iter(struct slice message, uint32_t attributes_field);

/* An attribute record right at p, as every encoder writes them: tag, length, 0a len key 12 len value,
 * all lengths of one byte. False: it may be there in another shape, or further on. */
static inline bool attr_usual(const uint8_t *p, size_t left, uint32_t number, struct attr *a)
{
    size_t n, key;

    if (left < 6 || p[0] != (number << 3 | 2) || (n = p[1]) >= 0x80 || n < 4 || n > left - 2 ||
        p[2] != (KEYVALUE_KEY << 3 | 2) || (key = p[3]) + 4 > n ||
        p[4 + key] != (KEYVALUE_VALUE << 3 | 2) || n != 4 + key + p[5 + key])
        return false;
    a->rec = slice_of(p, 2 + n);
    a->key = slice_of(p + 4, key);
    a->value = slice_of(p + 6 + key, n - 4 - key);
    return true;
}

bool attr_next_any(struct attr_iter *it, struct attr *a);

static inline bool attr_next(struct attr_iter *it, struct attr *a)
{
    if (LIKELY(attr_usual(it->fields.p, (size_t)(it->fields.end - it->fields.p), it->number, a))) {
        it->fields.p += a->rec.len;
        return true;
    }
    return attr_next_any(it, a);
}

/* First entry with the key, as the Collector looks up. */
bool attr_find(struct slice message, uint32_t attributes_field, struct slice key, struct attr *a);

/* The Collector's AsString (processors reference, section 0): appends. -1 when out is full. */
int any_as_string(const struct any *v, struct buf *out) MUST_USE;

/* Writers: append to out; -1 when out is full. */
size_t varint_size(uint64_t v);
size_t varint_put(uint8_t *dst, uint64_t v); /* dst: up to 10 bytes; returns how many */
int wire_put_tag(struct buf *out, uint32_t number, uint8_t wire) MUST_USE;
int wire_put_varint(struct buf *out, uint64_t v) MUST_USE;
int wire_put_bytes(struct buf *out, uint32_t number, struct slice s) MUST_USE; /* tag, length, bytes */
int wire_put_uint(struct buf *out, uint32_t number, uint64_t v) MUST_USE;
int wire_put_fixed64(struct buf *out, uint32_t number, uint64_t v) MUST_USE;
int any_put(struct buf *out, const struct any *v) MUST_USE; /* an AnyValue body */
/* One attribute record {attributes_field: KeyValue{key, value}}. */
int attr_put(struct buf *out, uint32_t attributes_field, struct slice key, const struct any *v) MUST_USE;
int attr_put_str(struct buf *out, uint32_t attributes_field, struct slice key, struct slice s) MUST_USE;
int attr_put_int(struct buf *out, uint32_t attributes_field, struct slice key, int64_t i) MUST_USE;

#endif
