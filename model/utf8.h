/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8. Nearly every string in a trace is ASCII and short, so that is checked inline, sixteen bytes
 * at a time; the rest goes to utf8.c.
 */
#ifndef TAILRACE_MODEL_UTF8_H
#define TAILRACE_MODEL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform/check.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* How many of the first bytes are whole, well-formed characters; n when all are. */
size_t utf8_valid_prefix(const uint8_t *p, size_t n);

/* Copies with U+FFFD in place of each maximal ill-formed part (Unicode, chapter 3, "U+FFFD
 * substitution of maximal subparts"). Returns the length; dst NULL only counts. At most 3 n. */
size_t utf8_repair(uint8_t *dst, const uint8_t *p, size_t n);

static inline bool utf8_valid(const uint8_t *p, size_t n)
{
    return utf8_valid_prefix(p, n) == n;
}

#ifdef __SSE2__
static inline __m128i utf8_load16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline bool utf8_all_ascii_16up(const uint8_t *p, size_t n)
{
    __m128i all = utf8_load16(p + n - 16);

    for (size_t i = 0; i + 16 < n; i += 16)
        all = _mm_or_si128(all, utf8_load16(p + i));
    return _mm_movemask_epi8(all) == 0;
}
#else
static inline bool utf8_all_ascii_16up(const uint8_t *p, size_t n)
{
    uint64_t all, word;

    memcpy(&all, p + n - 8, 8);
    for (size_t i = 0; i + 8 < n; i += 8) {
        memcpy(&word, p + i, 8);
        all |= word;
    }
    return !(all & 0x8080808080808080u);
}
#endif

static inline bool utf8_all_ascii_short(const uint8_t *p, size_t n)
{
    uint64_t a, b;
    uint32_t c, d;

    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        return !((a | b) & 0x8080808080808080u);
    }
    if (n >= 4) {
        memcpy(&c, p, 4);
        memcpy(&d, p + n - 4, 4);
        return !((c | d) & 0x80808080u);
    }
    return n == 0 || !((p[0] | p[n / 2] | p[n - 1]) & 0x80);
}

#ifdef __SSE2__
static inline uint64_t utf8_high_bits16(const uint8_t *p)
{
    return (uint64_t)(uint32_t)_mm_movemask_epi8(utf8_load16(p));
}

/* Less than 64 bytes with 64 to read: no branch on the length. */
static inline bool utf8_all_ascii_under64(const uint8_t *p, size_t n)
{
    uint64_t high = utf8_high_bits16(p) | utf8_high_bits16(p + 16) << 16 |
                    utf8_high_bits16(p + 32) << 32 | utf8_high_bits16(p + 48) << 48;

    return !(high & (((uint64_t)1 << n) - 1));
}
#endif

/* limit: end of the memory that may be read, at or after p + n. */
static inline bool utf8_all_ascii(const uint8_t *p, size_t n, const uint8_t *limit)
{
#ifdef __SSE2__
    if (LIKELY(n < 64 && limit - p >= 64))
        return utf8_all_ascii_under64(p, n);
#else
    (void)limit;
#endif
    return n >= 16 ? utf8_all_ascii_16up(p, n) : utf8_all_ascii_short(p, n);
}

#endif
