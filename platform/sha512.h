/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-512 (FIPS 180-4) of one piece of memory, and its parts for those who begin elsewhere (hmac.c).
 * Any thread. */
#ifndef TAILRACE_PLATFORM_SHA512_H
#define TAILRACE_PLATFORM_SHA512_H

#include <stddef.h>
#include <stdint.h>

void sha512(const void *p, size_t len, uint8_t digest[static 64]);

extern const uint64_t sha512_start[8];
void sha512_block(uint64_t h[static 8], const uint8_t p[static 128]);
/* The digest of what led to the state h, done bytes (a multiple of 128), and then p. */
void sha512_end(const uint64_t h[static 8], size_t done, const void *p, size_t len, uint8_t digest[static 64]);

#endif
