/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, straight from FIPS 180-4, and the same with the CPU's own SHA instructions where it has
 * them: hashing one short value costs a seventh then. See sha256.h. */
#include "platform/sha256.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#endif

static const uint32_t round_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotr(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void block_plain(uint32_t h[static 8], const uint8_t p[static 64])
{
    uint32_t w[64], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], hh = h[7];

    for (size_t i = 0; i < 16; i++)
        w[i] = load_be32(p + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10;

        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = hh + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                      round_k[i] + w[i];
        uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

        hh = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d;
    h[4] += e, h[5] += f, h[6] += g, h[7] += hh;
}

#ifdef __x86_64__
/* The instructions keep the eight words as ABEF and CDGH. */
struct sha_state {
    __m128i abef, cdgh;
};

/* Four rounds with the words in w0, which then become those of sixteen rounds later. */
__attribute__((target("sha,sse4.1,ssse3"))) static inline void four_rounds(struct sha_state *s, const uint32_t *k, __m128i *w0,
                                                                           __m128i w1, __m128i w2, __m128i w3)
{
    __m128i wk = _mm_add_epi32(*w0, _mm_loadu_si128((const __m128i *)(const void *)k));

    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0e));
    *w0 = _mm_add_epi32(_mm_sha256msg1_epu32(*w0, w1), _mm_alignr_epi8(w3, w2, 4));
    *w0 = _mm_sha256msg2_epu32(*w0, w3);
}

__attribute__((target("sha,sse4.1,ssse3"))) static inline __m128i words(const uint8_t *p)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), swap);
}

__attribute__((target("sha,sse4.1,ssse3"))) static void block_sha(uint32_t h[static 8],
                                                                  const uint8_t p[static 64])
{
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(h + 4)), 0x1b);
    struct sha_state s = {_mm_alignr_epi8(cdab, hgfe, 8), _mm_blend_epi16(hgfe, cdab, 0xf0)};
    const struct sha_state before = s;
    __m128i w0 = words(p), w1 = words(p + 16), w2 = words(p + 32), w3 = words(p + 48);

    for (size_t i = 0; i < 64; i += 16) { /* in registers: an array of words would cost as much as the rounds */
        four_rounds(&s, round_k + i, &w0, w1, w2, w3);
        four_rounds(&s, round_k + i + 4, &w1, w2, w3, w0);
        four_rounds(&s, round_k + i + 8, &w2, w3, w0, w1);
        four_rounds(&s, round_k + i + 12, &w3, w0, w1, w2);
    }
    s.abef = _mm_shuffle_epi32(_mm_add_epi32(s.abef, before.abef), 0x1b); /* FEBA */
    s.cdgh = _mm_shuffle_epi32(_mm_add_epi32(s.cdgh, before.cdgh), 0xb1); /* DCHG */
    _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(s.abef, s.cdgh, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(s.cdgh, s.abef, 8));
}

/* Asked once: the question itself is slow in virtual machines. */
static bool cpu_has_sha(void)
{
    enum { UNKNOWN, NO, YES };
    static _Atomic int known = UNKNOWN;
    int has = atomic_load_explicit(&known, memory_order_relaxed);
    unsigned a, b, c, d;

    if (has == UNKNOWN) {
        has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) ? YES : NO;
        atomic_store_explicit(&known, has, memory_order_relaxed);
    }
    return has == YES;
}
#endif

void sha256_block(uint32_t h[static 8], const uint8_t p[static 64])
{
#ifdef __x86_64__
    if (cpu_has_sha()) {
        block_sha(h, p);
        return;
    }
#endif
    block_plain(h, p);
}

const uint32_t sha256_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static void end_with(void (*block)(uint32_t *, const uint8_t *), const uint32_t start[static 8], size_t done,
                     const void *data, size_t len, uint8_t digest[static 32])
{
    const uint8_t *p = data;
    uint8_t tail[128] = {0};
    size_t left = len % 64, tail_len = left < 56 ? 64 : 128;
    uint64_t bits = ((uint64_t)done + len) * 8;
    uint32_t h[8];

    memcpy(h, start, sizeof(h));
    for (size_t i = 0; i + 64 <= len; i += 64)
        block(h, p + i);
    if (left)
        memcpy(tail, p + (len - left), left);
    tail[left] = 0x80;
    bits = htobe64(bits);
    memcpy(tail + tail_len - sizeof(bits), &bits, sizeof(bits));
    block(h, tail);
    if (tail_len == 128)
        block(h, tail + 64);
    for (size_t i = 0; i < 8; i++) {
        h[i] = htobe32(h[i]);
        memcpy(digest + 4 * i, &h[i], 4);
    }
}

void sha256_end(const uint32_t h[static 8], size_t done, const void *p, size_t len, uint8_t digest[static 32])
{
    end_with(sha256_block, h, done, p, len, digest);
}

void sha256_plain(const void *data, size_t len, uint8_t digest[static 32])
{
    end_with(block_plain, sha256_start, 0, data, len, digest);
}

void sha256(const void *data, size_t len, uint8_t digest[static 32])
{
    end_with(sha256_block, sha256_start, 0, data, len, digest);
}
