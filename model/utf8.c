/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Well-formed UTF-8 as Unicode's table 3-7 defines it: the second byte's range depends on the first
 * (no overlong forms, no surrogates, nothing past U+10FFFF), the others are 80..BF.
 */
#include "model/utf8.h"

static const uint8_t replacement[3] = {0xef, 0xbf, 0xbd};

/* Continuation bytes that the lead asks for, and the range of the first; 0 when it is no lead. */
static unsigned lead(uint8_t c, uint8_t *low, uint8_t *high)
{
    *low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    *high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (c >= 0xc2 && c <= 0xdf)
        return 1;
    if ((c & 0xf0) == 0xe0)
        return 2;
    return c >= 0xf0 && c <= 0xf4 ? 3 : 0;
}

/* Length of the character at p, which is not ASCII. Ill-formed: 0, and *bad is the length of the
 * maximal subpart, at least 1. */
static size_t character(const uint8_t *p, size_t n, size_t *bad)
{
    uint8_t low, high;
    unsigned more = lead(p[0], &low, &high);

    for (unsigned i = 1; i <= more; i++) {
        if (i >= n || p[i] < low || p[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    *bad = 1;
    return more ? more + 1 : 0;
}

size_t utf8_valid_prefix(const uint8_t *p, size_t n)
{
    size_t i = 0, bad;

    while (i < n) {
        uint64_t word;
        size_t len;

        while (n - i >= 8 && (memcpy(&word, p + i, 8), !(word & 0x8080808080808080u)))
            i += 8;
        if (i < n && p[i] < 0x80) {
            i++;
            continue;
        }
        if (i == n)
            break;
        len = character(p + i, n - i, &bad);
        if (len == 0)
            return i;
        i += len;
    }
    return n;
}

size_t utf8_repair(uint8_t *dst, const uint8_t *p, size_t n)
{
    size_t out = 0;

    while (n > 0) {
        size_t good = utf8_valid_prefix(p, n), bad = 0;

        if (dst && good)
            memcpy(dst + out, p, good);
        out += good;
        p += good;
        n -= good;
        if (n == 0)
            break;
        character(p, n, &bad);
        if (dst)
            memcpy(dst + out, replacement, sizeof(replacement));
        out += sizeof(replacement);
        p += bad;
        n -= bad;
    }
    return out;
}
