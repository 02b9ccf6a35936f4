/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) of one piece of memory. For fingerprints of attribute values, where a crypto
 * library would cost more memory than the whole idle daemon. Any thread. */
#ifndef TAILRACE_PLATFORM_SHA256_H
#define TAILRACE_PLATFORM_SHA256_H

#include <stddef.h>
#include <stdint.h>

void sha256(const void *p, size_t len, uint8_t digest[static 32]);

/* Its parts, for those who begin elsewhere (hmac.c). */
extern const uint32_t sha256_start[8];
void sha256_block(uint32_t h[static 8], const uint8_t p[static 64]);
/* The digest of what led to the state h, done bytes (a multiple of 64), and then p. */
void sha256_end(const uint32_t h[static 8], size_t done, const void *p, size_t len, uint8_t digest[static 32]);

/* The same without the CPU's SHA instructions, whatever the CPU; for tests. */
void sha256_plain(const void *p, size_t len, uint8_t digest[static 32]);

#endif
