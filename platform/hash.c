/* SPDX-License-Identifier: Apache-2.0 */
/* Keyed hashing and random numbers. The seed is the one process-wide value here: written once in
 * main before threads exist, read-only afterwards. */
#include "platform/hash.h"

#define XXH_INLINE_ALL
#include <sys/random.h>
#include <xxhash.h>

#include "platform/check.h"

static uint64_t process_seed;

void hash_seed(uint64_t seed_or_zero)
{
    if (seed_or_zero)
        process_seed = seed_or_zero;
    else
        random_secure(&process_seed, sizeof(process_seed));
}

uint64_t hash_bytes(const void *p, size_t len)
{
    return XXH3_64bits_withSeed(p, len, process_seed);
}

uint64_t hash_u128(const uint8_t id[static 16])
{
    return XXH3_64bits_withSeed(id, 16, process_seed);
}

uint64_t hash_stable(const void *p, size_t len)
{
    return XXH3_64bits(p, len);
}

uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1dull;
}

double random_unit(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

void random_secure(void *p, size_t len)
{
    uint8_t *at = (uint8_t *)p;

    while (len) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0)
            continue; /* EINTR: the only way it fails once the kernel has entropy */
        at += n;
        len -= (size_t)n;
    }
}
