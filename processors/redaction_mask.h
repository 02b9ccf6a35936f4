/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a blocked value is replaced by: ****, or a hash of it as text. Immutable after mask_init; any
 * thread.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_MASK_H
#define TAILRACE_PROCESSORS_REDACTION_MASK_H

#include "component/key.h"
#include "platform/buf.h"
#include "platform/hmac.h"

enum mask_kind { MASK_STARS, MASK_MD5, MASK_SHA1, MASK_SHA3, MASK_HMAC_SHA256, MASK_HMAC_SHA512, MASK_KINDS };

struct mask {
    enum mask_kind kind;
    union {
        struct hmac_sha256_key sha256;
        struct hmac_sha512_key sha512;
    } key;
};

/* hash_function in any case, "" for stars; both have passed mask_check. */
void mask_init(struct mask *m, const char *hash_function, const char *hmac_key);
void mask_check(const char *hash_function, const char *hmac_key, struct check *c);

/* Appends what stands for `match`. ctx: a const struct mask. 0, or -1 when out is full. */
int mask_put(void *ctx, struct slice match, struct buf *out);

#endif
