/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf's wire format in a few inline readers, for the files of model/ that look into records.
 * All are checked: they return NULL instead of reading past `end`. Lengths have one or two bytes
 * nearly always, so those come first and inline; the rest is in wire.c.
 */
#ifndef TAILRACE_MODEL_WIRE_H
#define TAILRACE_MODEL_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "platform/buf.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_LEN = 2, WIRE_FIXED32 = 5 };

#define WIRE_TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))
#define VARINT_MAX_BYTES 10
#define LENGTH_MAX_BYTES 5 /* of a tag or a length, padded ones included */

static inline uint64_t load_le64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static inline uint32_t load_le32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

/* A number and where it ends; by value, so that it travels in registers. */
struct wire_number {
    const uint8_t *next; /* NULL: cut off or too long */
    uint64_t v;
};
struct wire_number wire_varint_long(const uint8_t *p, const uint8_t *end);
/* At most LENGTH_MAX_BYTES and 32 bits. */
struct wire_number wire_u32_long(const uint8_t *p, const uint8_t *end);

static inline const uint8_t *wire_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    if (LIKELY(p < end && *p < 0x80)) {
        *v = *p;
        return p + 1;
    }
    struct wire_number long_one = wire_varint_long(p, end);

    *v = long_one.v;
    return long_one.next;
}

static inline const uint8_t *wire_u32(const uint8_t *p, const uint8_t *end, uint32_t *v)
{
    if (LIKELY(p < end && *p < 0x80)) {
        *v = *p;
        return p + 1;
    }
    if (LIKELY(end - p >= 2 && p[1] < 0x80)) {
        *v = (uint32_t)(p[0] & 0x7f) | (uint32_t)p[1] << 7;
        return p + 2;
    }
    struct wire_number long_one = wire_u32_long(p, end);

    *v = (uint32_t)long_one.v;
    return long_one.next;
}

/* A length and room for as many bytes: the start of the body, its end in *body_end. */
static inline const uint8_t *wire_body(const uint8_t *p, const uint8_t *end,
                                       const uint8_t **body_end)
{
    uint32_t len;

    p = wire_u32(p, end, &len);
    if (UNLIKELY(!p || len > (size_t)(end - p)))
        return NULL;
    *body_end = p + len;
    return p;
}

/* Steps over the value of a field whose tag has been read. NULL: cut off, a group, wire type 6 or 7,
 * field number 0. */
const uint8_t *wire_skip(uint32_t tag, const uint8_t *p, const uint8_t *end);

#endif
