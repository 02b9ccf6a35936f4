/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC: see hmac.h. */
#include "platform/hmac.h"

#include <string.h>

#include "platform/sha256.h"
#include "platform/sha512.h"

#define INNER 0x36
#define OUTER 0x5c

static void flip(uint8_t *p, size_t n, uint8_t with)
{
    for (size_t i = 0; i < n; i++)
        p[i] ^= with;
}

void hmac_sha256_init(struct hmac_sha256_key *k, const void *key, size_t len)
{
    uint8_t block[64] = {0};

    if (len > sizeof(block))
        sha256(key, len, block);
    else if (len)
        memcpy(block, key, len);
    memcpy(k->inner, sha256_start, sizeof(k->inner));
    memcpy(k->outer, sha256_start, sizeof(k->outer));
    flip(block, sizeof(block), INNER);
    sha256_block(k->inner, block);
    flip(block, sizeof(block), INNER ^ OUTER);
    sha256_block(k->outer, block);
    explicit_bzero(block, sizeof(block));
}

void hmac_sha256(const struct hmac_sha256_key *k, const void *p, size_t len, uint8_t digest[static 32])
{
    uint8_t inner[32];

    sha256_end(k->inner, 64, p, len, inner);
    sha256_end(k->outer, 64, inner, sizeof(inner), digest);
}

void hmac_sha512_init(struct hmac_sha512_key *k, const void *key, size_t len)
{
    uint8_t block[128] = {0};

    if (len > sizeof(block))
        sha512(key, len, block);
    else if (len)
        memcpy(block, key, len);
    memcpy(k->inner, sha512_start, sizeof(k->inner));
    memcpy(k->outer, sha512_start, sizeof(k->outer));
    flip(block, sizeof(block), INNER);
    sha512_block(k->inner, block);
    flip(block, sizeof(block), INNER ^ OUTER);
    sha512_block(k->outer, block);
    explicit_bzero(block, sizeof(block));
}

void hmac_sha512(const struct hmac_sha512_key *k, const void *p, size_t len, uint8_t digest[static 64])
{
    uint8_t inner[64];

    sha512_end(k->inner, 128, p, len, inner);
    sha512_end(k->outer, 128, inner, sizeof(inner), digest);
}
