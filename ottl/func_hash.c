/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that hash. Not for secrets: digests of attribute values. */
#include "ottl/call.h"
#include "platform/digest.h"
#include "platform/sha256.h"
#include "platform/sha512.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

static bool as_hex(struct ottl_eval *e, const uint8_t *digest, size_t len, struct ottl_value *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *to = ottl_room(e, 2 * len);

    if (!to)
        return false;
    for (size_t i = 0; i < len; i++) {
        to[2 * i] = (uint8_t)digits[digest[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[digest[i] & 15];
    }
    *out = ottl_str(slice_of(to, 2 * len));
    return true;
}

FN(sha256_of)
{
    struct ottl_value v;
    uint8_t digest[32];

    if (!arg(e, n, 0, &v))
        return false;
    sha256(v.s.p, v.s.len, digest);
    return as_hex(e, digest, sizeof(digest), out);
}

FN(sha512_of)
{
    struct ottl_value v;
    uint8_t digest[64];

    if (!arg(e, n, 0, &v))
        return false;
    sha512(v.s.p, v.s.len, digest);
    return as_hex(e, digest, sizeof(digest), out);
}

FN(sha1_of)
{
    struct ottl_value v;
    uint8_t digest[20];

    if (!arg(e, n, 0, &v))
        return false;
    sha1(v.s.p, v.s.len, digest);
    return as_hex(e, digest, sizeof(digest), out);
}

FN(md5_of)
{
    struct ottl_value v;
    uint8_t digest[16];

    if (!arg(e, n, 0, &v))
        return false;
    md5(v.s.p, v.s.len, digest);
    return as_hex(e, digest, sizeof(digest), out);
}

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

const struct func hash_functions[] = {
    {"SHA256", sha256_of, {P("target", ARG_STR)}, NULL},
    {"SHA512", sha512_of, {P("target", ARG_STR)}, NULL},
    {"SHA1", sha1_of, {P("target", ARG_STR)}, NULL},
    {"MD5", md5_of, {P("target", ARG_STR)}, NULL},
    {"FNV", fnv_of, {P("target", ARG_STR)}, NULL},
    {.name = NULL},
};
