/* SPDX-License-Identifier: Apache-2.0 */
/* MD5, SHA-1 and SHA3-256 from their standards. See digest.h. */
#include "platform/digest.h"

#include <string.h>

static uint32_t rotl(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

/* ---- what MD5 and SHA-1 share: blocks of 64 bytes, the length in bits in the last one ---- */

static void blocks_of(void (*block)(uint32_t *h, const uint8_t *p), uint32_t *h, int big_endian, const uint8_t *p, size_t len)
{
    uint8_t tail[128] = {0};
    size_t left = len % 64, tail_len = left < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)len * 8;

    for (size_t i = 0; i + 64 <= len; i += 64)
        block(h, p + i);
    if (left)
        memcpy(tail, p + (len - left), left);
    tail[left] = 0x80;
    for (size_t i = 0; i < 8; i++)
        tail[tail_len - 8 + i] = (uint8_t)(bits >> 8 * (big_endian ? 7 - i : i));
    block(h, tail);
    if (tail_len == 128)
        block(h, tail + 64);
}

/* ---- MD5 ---- */

static const uint32_t md5_k[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

static void md5_block(uint32_t *h, const uint8_t *p)
{
    static const uint8_t shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], w[16];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 | (uint32_t)p[4 * i + 3] << 24;
    for (unsigned i = 0; i < 64; i++) {
        uint32_t f, t;
        unsigned g;

        switch (i / 16) {
        case 0: f = (b & c) | (~b & d), g = i; break;
        case 1: f = (d & b) | (~d & c), g = 5 * i + 1; break;
        case 2: f = b ^ c ^ d, g = 3 * i + 5; break;
        default: f = c ^ (b | ~d), g = 7 * i; break;
        }
        t = b + rotl(a + f + md5_k[i] + w[g % 16], shifts[i / 16][i % 4]);
        a = d, d = c, c = b, b = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d;
}

void md5(const void *p, size_t len, uint8_t digest[static 16])
{
    uint32_t h[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};

    blocks_of(md5_block, h, 0, p, len);
    for (int i = 0; i < 16; i++)
        digest[i] = (uint8_t)(h[i / 4] >> 8 * (i % 4));
}

/* ---- SHA-1 ---- */

static void sha1_block(uint32_t *h, const uint8_t *p)
{
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], w[80];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f, k, t;

        switch (i / 20) {
        case 0: f = (b & c) | (~b & d), k = 0x5a827999; break;
        case 1: f = b ^ c ^ d, k = 0x6ed9eba1; break;
        case 2: f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc; break;
        default: f = b ^ c ^ d, k = 0xca62c1d6; break;
        }
        t = rotl(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotl(b, 30), b = a, a = t;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

void sha1(const void *p, size_t len, uint8_t digest[static 20])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

    blocks_of(sha1_block, h, 1, p, len);
    for (int i = 0; i < 20; i++)
        digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- SHA3-256: Keccak over 25 words, 17 of them taking input ---- */

#define SHA3_RATE 136

static uint64_t rotl64(uint64_t x, unsigned n)
{
    return n ? x << n | x >> (64 - n) : x;
}

static void keccak(uint64_t s[25])
{
    static const uint64_t round_constant[24] = {
        0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
        0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
        0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
        0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
        0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
        0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};
    static const uint8_t rotation[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};
    static const uint8_t place[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};

    for (int round = 0; round < 24; round++) {
        uint64_t c[5], t;

        for (int x = 0; x < 5; x++)
            c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
        for (int i = 0; i < 25; i++)
            s[i] ^= c[(i + 4) % 5] ^ rotl64(c[(i + 1) % 5], 1);
        t = s[1];
        for (int i = 0; i < 24; i++) {
            uint64_t next = s[place[i]];

            s[place[i]] = rotl64(t, rotation[i]);
            t = next;
        }
        for (int y = 0; y < 25; y += 5) {
            memcpy(c, s + y, sizeof(c));
            for (int x = 0; x < 5; x++)
                s[y + x] = c[x] ^ (~c[(x + 1) % 5] & c[(x + 2) % 5]);
        }
        s[0] ^= round_constant[round];
    }
}

static void absorb(uint64_t s[25], const uint8_t p[static SHA3_RATE])
{
    for (int i = 0; i < SHA3_RATE; i++)
        s[i / 8] ^= (uint64_t)p[i] << 8 * (i % 8);
    keccak(s);
}

void sha3_256(const void *data, size_t len, uint8_t digest[static 32])
{
    const uint8_t *p = data;
    uint8_t tail[SHA3_RATE] = {0};
    uint64_t s[25] = {0};
    size_t left = len % SHA3_RATE;

    for (size_t i = 0; i + SHA3_RATE <= len; i += SHA3_RATE)
        absorb(s, p + i);
    if (left)
        memcpy(tail, p + (len - left), left);
    tail[left] = 0x06;
    tail[SHA3_RATE - 1] |= 0x80;
    absorb(s, tail);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(s[i / 8] >> 8 * (i % 8));
}
