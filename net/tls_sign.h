/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures with a private key: RSA with PKCS #1 v1.5 padding, over SHA-256, SHA-384 or SHA-512 (what JSON Web
 * Tokens call RS256, RS384, RS512). OpenSSL does it; see net/tls_lib.h. Any thread; a signature takes about a
 * millisecond of CPU.
 */
#ifndef TAILRACE_NET_TLS_SIGN_H
#define TAILRACE_NET_TLS_SIGN_H

#include "platform/buf.h"
#include "platform/err.h"

/* Appends the signature. pem: the key, PKCS #1 or PKCS #8, without a passphrase. bits: 256, 384 or 512. -1 with err,
 * which has nothing of the key in it. */
int tls_sign_rsa(struct slice pem, unsigned bits, struct slice data, struct buf *out, struct err *err) MUST_USE;

#endif
