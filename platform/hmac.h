/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC (RFC 2104) with SHA-256 and SHA-512. A key is worked in once; it may then be used by all
 * threads. Clear it with explicit_bzero() when it is no longer needed. */
#ifndef TAILRACE_PLATFORM_HMAC_H
#define TAILRACE_PLATFORM_HMAC_H

#include <stddef.h>
#include <stdint.h>

struct hmac_sha256_key {
    uint32_t inner[8], outer[8]; /* states after the key's block */
};
struct hmac_sha512_key {
    uint64_t inner[8], outer[8];
};

void hmac_sha256_init(struct hmac_sha256_key *k, const void *key, size_t len);
void hmac_sha256(const struct hmac_sha256_key *k, const void *p, size_t len, uint8_t digest[static 32]);
void hmac_sha512_init(struct hmac_sha512_key *k, const void *key, size_t len);
void hmac_sha512(const struct hmac_sha512_key *k, const void *p, size_t len, uint8_t digest[static 64]);

#endif
