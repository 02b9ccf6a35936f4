/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that hash, and random ids. Not for secrets: digests of attribute values. */
#include <xxhash.h>

#include "ottl/call.h"
#include "platform/clock.h"
#include "platform/digest.h"
#include "platform/hash.h"
#include "platform/hex.h"
#include "platform/sha256.h"
#include "platform/sha512.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

static bool as_hex(struct ottl_eval *e, const uint8_t *digest, size_t len, struct ottl_value *out)
{
    uint8_t *to = ottl_room(e, 2 * len);

    if (!to)
        return false;
    hex_put(to, digest, len);
    *out = ottl_str(slice_of(to, 2 * len));
    return true;
}

#define DIGEST(name, digest_of, bytes)                                                             \
    FN(name)                                                                                       \
    {                                                                                              \
        struct ottl_value v;                                                                       \
        uint8_t digest[bytes];                                                                     \
                                                                                                   \
        if (!arg(e, n, 0, &v))                                                                     \
            return false;                                                                          \
        digest_of(v.s.p, v.s.len, digest);                                                         \
        return as_hex(e, digest, sizeof(digest), out);                                             \
    }

DIGEST(sha256_of, sha256, 32)
DIGEST(sha512_of, sha512, 64)
DIGEST(sha1_of, sha1, 20)
DIGEST(md5_of, md5, 16)

FN(fnv_of)
{
    struct ottl_value v;
    uint64_t h = 0xcbf29ce484222325u;

    if (!arg(e, n, 0, &v))
        return false;
    for (size_t i = 0; i < v.s.len; i++)
        h = (h ^ v.s.p[i]) * 0x100000001b3u;
    *out = ottl_int((int64_t)h);
    return true;
}

static bool as_hex_number(struct ottl_eval *e, const uint64_t *words, unsigned n,
                          struct ottl_value *out)
{
    uint8_t bytes[16];

    for (unsigned i = 0; i < n; i++) {
        uint64_t big = __builtin_bswap64(words[i]);

        memcpy(bytes + 8 * (size_t)i, &big, 8);
    }
    return as_hex(e, bytes, 8 * (size_t)n, out);
}

FN(xxh3_of)
{
    struct ottl_value v;
    uint64_t h;

    if (!arg(e, n, 0, &v))
        return false;
    h = XXH3_64bits(v.s.p, v.s.len);
    return as_hex_number(e, &h, 1, out);
}

FN(xxh128_of)
{
    struct ottl_value v;
    XXH128_hash_t h;

    if (!arg(e, n, 0, &v))
        return false;
    h = XXH3_128bits(v.s.p, v.s.len);
    return as_hex_number(e, (uint64_t[]){h.high64, h.low64}, 2, out);
}

/* ---- MurmurHash3 with seed 0; the bytes of the result are printed as they stand in memory ---- */

static uint32_t rotl32(uint32_t v, unsigned by)
{
    return v << by | v >> (32 - by);
}

static uint64_t rotl64(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

static uint32_t mixed32(uint32_t k)
{
    return rotl32(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static uint32_t murmur32(struct slice s)
{
    uint32_t h = 0, k;
    size_t i = 0;

    for (; i + 4 <= s.len; i += 4) {
        memcpy(&k, s.p + i, 4);
        h = rotl32(h ^ mixed32(k), 13) * 5 + 0xe6546b64u;
    }
    k = 0;
    for (size_t j = 0; i + j < s.len; j++)
        k |= (uint32_t)s.p[i + j] << (8 * j);
    h ^= mixed32(k);
    h ^= (uint32_t)s.len;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static uint64_t final64(uint64_t k)
{
    k = (k ^ k >> 33) * 0xff51afd7ed558ccdu;
    k = (k ^ k >> 33) * 0xc4ceb9fe1a85ec53u;
    return k ^ k >> 33;
}

#define MURMUR_C1 0x87c37b91114253d5u
#define MURMUR_C2 0x4cf5ad432745937fu

static void murmur128(struct slice s, uint64_t h[static 2])
{
    uint64_t a = 0, b = 0, k[2];
    uint8_t rest[16] = {0};
    size_t i = 0;

    for (; i + 16 <= s.len; i += 16) {
        memcpy(k, s.p + i, 16);
        a ^= rotl64(k[0] * MURMUR_C1, 31) * MURMUR_C2;
        a = (rotl64(a, 27) + b) * 5 + 0x52dce729u;
        b ^= rotl64(k[1] * MURMUR_C2, 33) * MURMUR_C1;
        b = (rotl64(b, 31) + a) * 5 + 0x38495ab5u;
    }
    if (i < s.len)
        memcpy(rest, s.p + i, s.len - i);
    memcpy(k, rest, 16);
    b ^= rotl64(k[1] * MURMUR_C2, 33) * MURMUR_C1;
    a ^= rotl64(k[0] * MURMUR_C1, 31) * MURMUR_C2;
    a ^= s.len;
    b ^= s.len;
    a += b;
    b += a;
    a = final64(a);
    b = final64(b);
    h[0] = a + b;
    h[1] = b + h[0];
}

FN(murmur3_of)
{
    struct ottl_value v;
    uint32_t h;

    if (!arg(e, n, 0, &v))
        return false;
    h = murmur32(v.s);
    return as_hex(e, (const uint8_t *)&h, sizeof(h), out);
}

FN(murmur3_128_of)
{
    struct ottl_value v;
    uint64_t h[2];

    if (!arg(e, n, 0, &v))
        return false;
    murmur128(v.s, h);
    return as_hex(e, (const uint8_t *)h, sizeof(h), out);
}

/* ---- UUIDs (RFC 9562) ---- */

static bool as_uuid(struct ottl_eval *e, uint8_t id[static 16], unsigned version,
                    struct ottl_value *out)
{
    struct ottl_value hex;
    uint8_t *to = ottl_room(e, 36);
    size_t at = 0;

    id[6] = (uint8_t)((id[6] & 0x0f) | version << 4);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    if (!to || !as_hex(e, id, 16, &hex))
        return false;
    for (size_t i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            to[at++] = '-';
        to[at++] = hex.s.p[i];
    }
    *out = ottl_str(slice_of(to, 36));
    return true;
}

FN(uuid)
{
    uint8_t id[16];

    (void)n;
    random_secure(id, sizeof(id));
    return as_uuid(e, id, 4, out);
}

/* Milliseconds since the epoch in front, so that ids sort by time. */
FN(uuid_v7)
{
    uint64_t ms = clock_wall_ns() / 1000000;
    uint8_t id[16];

    (void)n;
    random_secure(id, sizeof(id));
    for (unsigned i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    return as_uuid(e, id, 7, out);
}

const struct func hash_functions[] = {
    {"SHA256", sha256_of, {P("target", ARG_STR)}, NULL},
    {"SHA512", sha512_of, {P("target", ARG_STR)}, NULL},
    {"SHA1", sha1_of, {P("target", ARG_STR)}, NULL},
    {"MD5", md5_of, {P("target", ARG_STR)}, NULL},
    {"FNV", fnv_of, {P("target", ARG_STR)}, NULL},
    {"XXH3", xxh3_of, {P("target", ARG_STR)}, NULL},
    {"XXH128", xxh128_of, {P("target", ARG_STR)}, NULL},
    {"Murmur3Hash", murmur3_of, {P("target", ARG_STR)}, NULL},
    {"Murmur3Hash128", murmur3_128_of, {P("target", ARG_STR)}, NULL},
    {"UUID", uuid, {{.name = NULL}}, NULL},
    {"UUIDv7", uuid_v7, {{.name = NULL}}, NULL},
    {.name = NULL},
};
