/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as hexadecimal text, four at a time: a digest for each span should not cost more than its
 * making. */
#ifndef TAILRACE_PLATFORM_HEX_H
#define TAILRACE_PLATFORM_HEX_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Writes 2 n lower-case digits. */
static inline void hex_put(uint8_t *dst, const uint8_t *src, size_t n)
{
    static const uint64_t each = 0x0101010101010101;

    for (size_t i = 0; i < n; i += 4) {
        size_t len = n - i < 4 ? n - i : 4;
        uint32_t four = 0;
        uint64_t x, letters;

        memcpy(&four, src + i, len);
        x = le32toh(four);
        x = (x | x << 16) & 0x0000ffff0000ffff;
        x = (x | x << 8) & 0x00ff00ff00ff00ff;
        x = (x >> 4 | x << 8) & each * 0x0f; /* a half in each byte, the higher one first */
        letters = (x + each * 6) >> 4 & each;
        x = htole64(x + each * '0' + letters * ('a' - '0' - 10));
        memcpy(dst + 2 * i, &x, 2 * len);
    }
}

#endif
