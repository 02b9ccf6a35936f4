/* SPDX-License-Identifier: Apache-2.0 */
/* See sampling_math.h. Sources: OpenTelemetry's "TraceState: Probability Sampling"; FNV-1a. */
#include "processors/sampling_math.h"

#include <math.h>

#include "processors/trace_state.h"

#define DIGITS  14     /* hexadecimal, of 56 bits */
#define BUCKETS 0x4000 /* of the hash */

/* Digits to keep. Near 0 and near 1 the first digits are all f or all 0: those do not count. */
static int digits_kept(double p, int precision)
{
    int of_p, of_rest, digits;

    (void)frexp(p, &of_p);
    (void)frexp(1 - p, &of_rest);
    digits = precision + (of_p < of_rest ? of_p : of_rest) / -4;
    return digits < DIGITS ? digits : DIGITS;
}

uint64_t sampling_threshold(double p, int precision)
{
    uint64_t t;
    int bits;

    if (p >= 1)
        return 0;
    if (!(p >= SAMPLING_LEAST))
        return SAMPLING_NEVER;
    t = SAMPLING_NEVER - (uint64_t)round(ldexp(p, 56));
    bits = 4 * (DIGITS - digits_kept(p, precision));
    if (bits >= 64)
        return 0;
    if (bits > 0)
        t = (t + ((uint64_t)1 << (bits - 1))) >> bits << bits;
    return t;
}

double sampling_probability(uint64_t threshold)
{
    return ldexp((double)(SAMPLING_NEVER - threshold), -56);
}

uint64_t sampling_hash_threshold(float percentage)
{
    volatile float scaled = percentage * 163.84f; /* in 32 bits, as the Collector has it */
    uint64_t n = (uint64_t)scaled;

    return n ? (uint64_t)(BUCKETS - n) << 42 : SAMPLING_NEVER;
}

static uint32_t fnv_add(uint32_t h, const uint8_t *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x01000193u;
    return h;
}

/* The 14 bits that decide stand first, inverted, as thresholds reject what is below; the rest is
 * there so that R looks random. */
uint64_t sampling_hash_randomness(const uint8_t trace_id[static 16], uint32_t seed)
{
    const uint8_t seed_bytes[4] = {(uint8_t)seed, (uint8_t)(seed >> 8), (uint8_t)(seed >> 16), (uint8_t)(seed >> 24)};
    uint32_t h = fnv_add(fnv_add(0x811c9dc5u, seed_bytes, 4), trace_id, 16);
    uint64_t bucket = h & (BUCKETS - 1), high = h >> 18;

    return (BUCKETS - 1 - bucket) << 42 | (high ^ high << 10) << 14 | bucket;
}

uint64_t sampling_trace_randomness(const uint8_t trace_id[static 16])
{
    uint64_t r = 0;

    for (int i = 9; i < 16; i++)
        r = r << 8 | trace_id[i];
    return r;
}
