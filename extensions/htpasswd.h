/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Apache's password files: "user:hash", one a line; a user's last line counts. Hashes: bcrypt ($2a$,
 * $2b$, $2y$), MD5 ($apr1$, $1$), SHA-2 crypt ($5$, $6$), {SHA}, {SSHA}; anything else is a password
 * in plaintext. Pure; any thread.
 */
#ifndef TAILRACE_EXTENSIONS_HTPASSWD_H
#define TAILRACE_EXTENSIONS_HTPASSWD_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/err.h"

struct htpasswd;

/* Lines of another form, and users without a hash, are left out. NULL with err: there is no user, or the system lacks
 * libcrypt for a hash that needs it. */
struct htpasswd *htpasswd_parse(const char *text, struct err *err) MUST_USE;
/* How many lines were left out, and the number of the first. */
unsigned htpasswd_left_out(const struct htpasswd *h, unsigned *first);
void htpasswd_free(struct htpasswd **h); /* wipes; fine on NULL */

/* The hash of a user; of one who is not there some other's, so that looking takes as long: *known
 * tells. */
const char *htpasswd_find(const struct htpasswd *h, const char *user, bool *known);
/* Takes milliseconds and more. */
bool htpasswd_is_slow(const char *hash);
bool htpasswd_matches(const char *hash, const char *password);

#endif
