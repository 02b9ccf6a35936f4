/* SPDX-License-Identifier: Apache-2.0 */
/* The rarer half of the wire format readers. See wire.h. */
#include "model/wire.h"

struct wire_number wire_varint_long(const uint8_t *p, const uint8_t *end)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < VARINT_MAX_BYTES && p < end; i++) {
        uint8_t byte = *p++;

        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return (struct wire_number){p, value};
    }
    return (struct wire_number){0};
}

struct wire_number wire_u32_long(const uint8_t *p, const uint8_t *end)
{
    struct wire_number n = wire_varint_long(p, end);

    if (!n.next || n.next - p > LENGTH_MAX_BYTES || n.v > UINT32_MAX)
        return (struct wire_number){0};
    return n;
}

const uint8_t *wire_skip(uint32_t tag, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *body_end;
    uint64_t v;

    if (tag >> 3 == 0)
        return NULL;
    switch (tag & 7) {
    case WIRE_VARINT:
        return wire_varint(p, end, &v);
    case WIRE_FIXED64:
        return end - p >= 8 ? p + 8 : NULL;
    case WIRE_LEN:
        return wire_body(p, end, &body_end) ? body_end : NULL;
    case WIRE_FIXED32:
        return end - p >= 4 ? p + 4 : NULL;
    default:
        return NULL;
    }
}
