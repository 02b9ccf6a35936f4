/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of one piece of memory that people still ask for: MD5 (RFC 1321) and SHA-1 (FIPS 180-4),
 * both broken for signatures, and SHA3-256 (FIPS 202). For fingerprints of values alone. Any thread. */
#ifndef TAILRACE_PLATFORM_DIGEST_H
#define TAILRACE_PLATFORM_DIGEST_H

#include <stddef.h>
#include <stdint.h>

void md5(const void *p, size_t len, uint8_t digest[static 16]);
void sha1(const void *p, size_t len, uint8_t digest[static 20]);
void sha3_256(const void *p, size_t len, uint8_t digest[static 32]);

#endif
