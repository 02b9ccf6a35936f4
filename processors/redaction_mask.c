/* SPDX-License-Identifier: Apache-2.0 */
/* Stars and hashes: see redaction_mask.h. */
#include "processors/redaction_mask.h"

#include <strings.h>

#include "platform/digest.h"
#include "platform/hex.h"

static const struct {
    const char *name;
    size_t least_key; /* bytes; 0: takes no key */
} kinds[MASK_KINDS] = {
    [MASK_STARS] = {"", 0},
    [MASK_MD5] = {"md5", 0},
    [MASK_SHA1] = {"sha1", 0},
    [MASK_SHA3] = {"sha3", 0},
    [MASK_HMAC_SHA256] = {"hmac-sha256", 32},
    [MASK_HMAC_SHA512] = {"hmac-sha512", 64},
};

/* MASK_KINDS: no such function. */
static enum mask_kind kind_of(const char *name)
{
    enum mask_kind k = MASK_STARS;

    while (k < MASK_KINDS && strcasecmp(name, kinds[k].name) != 0)
        k++;
    return k;
}

void mask_check(const char *hash_function, const char *hmac_key, struct check *c)
{
    enum mask_kind k = kind_of(hash_function);
    size_t len = hmac_key ? strlen(hmac_key) : 0;

    if (k == MASK_KINDS)
        check_error(c, "hash_function",
                    "unknown HashFunction %s, allowed functions are sha1, sha3, md5, hmac-sha256 and hmac-sha512", hash_function);
    else if (kinds[k].least_key && len == 0)
        check_error(c, "hmac_key", "hmac_key must not be empty when hash_function is \"%s\"", kinds[k].name);
    else if (len < kinds[k].least_key)
        check_error(c, "hmac_key", "hmac_key must be at least %zu bytes long for \"%s\", got %zu bytes", kinds[k].least_key,
                    kinds[k].name, len);
}

void mask_init(struct mask *m, const char *hash_function, const char *hmac_key)
{
    size_t len = hmac_key ? strlen(hmac_key) : 0;

    *m = (struct mask){.kind = kind_of(hash_function)};
    CHECK(m->kind < MASK_KINDS);
    if (m->kind == MASK_HMAC_SHA256)
        hmac_sha256_init(&m->key.sha256, hmac_key, len);
    else if (m->kind == MASK_HMAC_SHA512)
        hmac_sha512_init(&m->key.sha512, hmac_key, len);
}

static size_t digest_of(const struct mask *m, struct slice s, uint8_t digest[static 64])
{
    const void *p = s.len ? (const void *)s.p : "";

    switch (m->kind) {
    case MASK_MD5:
        md5(p, s.len, digest);
        return 16;
    case MASK_SHA1:
        sha1(p, s.len, digest);
        return 20;
    case MASK_SHA3:
        sha3_256(p, s.len, digest);
        return 32;
    case MASK_HMAC_SHA256:
        hmac_sha256(&m->key.sha256, p, s.len, digest);
        return 32;
    case MASK_HMAC_SHA512:
        hmac_sha512(&m->key.sha512, p, s.len, digest);
        return 64;
    default:
        return 0;
    }
}

int mask_put(void *ctx, struct slice match, struct buf *out)
{
    uint8_t digest[64], text[128];
    size_t n = digest_of(ctx, match, digest);

    if (n == 0)
        return buf_add(out, "****", 4);
    hex_put(text, digest, n);
    return buf_add(out, text, 2 * n);
}
