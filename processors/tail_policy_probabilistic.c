/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probabilistic: keeps a share of the traces, chosen by a hash of the trace id, so that every process
 * with the same salt chooses the same ones.
 *
 *   h = FNV-1a-64(salt, 16 bytes of the id);  kept when h <= limit
 *   limit = trunc(P),  P = (2^64 - 1) * (percentage / 100), rounded to 64 bits of mantissa
 *
 * The Collector computes P in a float of 64 bits of mantissa; here the same value comes from 128-bit
 * integers, alike on every machine.
 * With the gate usetracestate, traces whose tracestate takes part in consistent sampling go by that: kept when
 * the threshold is not above their randomness, which is `rv` or the id's last 56 bits; the salt plays no role.
 */
#include <math.h>

#include "processors/sampling_math.h"
#include "processors/tail_policy.h"
#include "processors/trace_state.h"

#define FNV_OFFSET 14695981039346656037u
#define FNV_PRIME  1099511628211u

static uint64_t fnv_add(uint64_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * FNV_PRIME;
    return h;
}

static unsigned bit_length(unsigned __int128 v)
{
    uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;

    if (high)
        return 128 - (unsigned)__builtin_clzll(high);
    return low ? 64 - (unsigned)__builtin_clzll(low) : 0;
}

/* v rounded to 64 significant bits, ties to even; the value stays in its place. */
static unsigned __int128 round_to_64_bits(unsigned __int128 v)
{
    unsigned bits = bit_length(v);

    if (bits <= 64)
        return v;
    unsigned cut = bits - 64;
    unsigned __int128 half = (unsigned __int128)1 << (cut - 1);
    unsigned __int128 rest = v & (((unsigned __int128)1 << cut) - 1);
    unsigned __int128 kept = v >> cut;
    if (rest > half || (rest == half && (kept & 1)))
        kept++;
    return kept << cut;
}

uint64_t tail_probabilistic_limit(double percentage)
{
    double ratio = percentage / 100;
    int exponent;

    if (ratio >= 1)
        return UINT64_MAX;
    if (!(ratio > 0))
        return 0;
    /* ratio = mantissa * 2^(exponent - 53), mantissa < 2^53: the product fits into 117 bits */
    uint64_t mantissa = (uint64_t)ldexp(frexp(ratio, &exponent), 53);
    unsigned __int128 product = round_to_64_bits((unsigned __int128)UINT64_MAX * mantissa);
    int shift = 53 - exponent;
    return shift > 127 ? 0 : (uint64_t)(product >> shift);
}

/* Of 2^56 random numbers, those below are not kept. */
static uint64_t threshold(double probability)
{
    if (probability >= 1)
        return 0;
    return probability >= 0x1p-56 ? (1ull << 56) - (uint64_t)round(probability * 0x1p56) : 1ull << 56;
}

int tail_condition_probabilistic(struct condition *c, const struct probabilistic_settings *s,
                                 struct err *err)
{
    struct slice salt = slice_str(s->hash_salt && *s->hash_salt ? s->hash_salt : "default-hash-seed");

    if (isnan(s->sampling_percentage))
        return err_set(err, "sampling_percentage must be a number");
    c->type = COND_PROBABILISTIC;
    c->u.probabilistic.fnv_salted = fnv_add(FNV_OFFSET, salt.p, salt.len);
    c->u.probabilistic.limit = tail_probabilistic_limit(s->sampling_percentage);
    c->u.probabilistic.threshold = threshold(s->sampling_percentage / 100);
    return 0;
}

bool tail_probabilistic_keeps(const struct condition *c, const uint8_t id[static 16], uint64_t randomness)
{
    if (randomness & RANDOM_GIVEN)
        return c->u.probabilistic.threshold <= (randomness & (SAMPLING_NEVER - 1));
    if (randomness & RANDOM_SAID)
        return c->u.probabilistic.threshold <= sampling_trace_randomness(id);
    return fnv_add(c->u.probabilistic.fnv_salted, id, 16) <= c->u.probabilistic.limit;
}
