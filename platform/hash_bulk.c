/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing of long data, and copying it on the way. The values are those of hash_stable(); libxxhash
 * picks the widest instructions of the machine, three times as fast as what every x86-64 has.
 *
 * What is copied to a file is not read again soon, while its source is about to be: so it goes past
 * the caches. Short data is hashed where it was copied to: it is in the cache.
 */
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* the state's size */
#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h>
#endif

#include "platform/copy.h"
#include "platform/hash.h"

enum {
    SHORT_BYTES = 8 << 10,
    CHUNK_BYTES = 8 << 10, /* hashed, then copied from the nearest cache */
};

uint64_t hash_bulk(const void *p, size_t len)
{
    return XXH3_64bits(p, len);
}

static uint64_t copy_short(uint8_t *to, const struct iovec *iov, unsigned n)
{
    uint8_t *at = to;

    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > 0)
            memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return XXH3_64bits(to, (size_t)(at - to));
}

static void copy_piece(XXH3_state_t *state, uint8_t *to, const struct iovec *piece)
{
    const uint8_t *from = piece->iov_base;

    for (size_t at = 0, len; at < piece->iov_len; at += len) {
        len = piece->iov_len - at < CHUNK_BYTES ? piece->iov_len - at : CHUNK_BYTES;
        (void)XXH3_64bits_update(state, from + at, len);
        copy_past_caches(to + at, from + at, len);
    }
}

uint64_t hash_copy(uint8_t *to, const struct iovec *iov, unsigned n)
{
    XXH3_state_t state;
    size_t len = 0;

    for (unsigned i = 0; i < n; i++)
        len += iov[i].iov_len;
    if (len < SHORT_BYTES)
        return copy_short(to, iov, n);
    (void)XXH3_64bits_reset(&state);
    for (unsigned i = 0; i < n; i++) {
        copy_piece(&state, to, &iov[i]);
        to += iov[i].iov_len;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* whoever sees what is stored next sees these bytes */
    return XXH3_64bits_digest(&state);
}
