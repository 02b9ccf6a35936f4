/* SPDX-License-Identifier: Apache-2.0 */
/* Between tls.c (contexts), tls_session.c (one connection) and conn_tls.c (its socket). */
#ifndef TAILRACE_NET_TLS_PRIV_H
#define TAILRACE_NET_TLS_PRIV_H

#include "net/tls.h"
#include "net/tls_lib.h"

void tls_context_ref(struct tls_context *c); /* given back by tls_context_free */
const struct tls_config *tls_context_config(const struct tls_context *c);
/* A session of the context as it is now; looks for changed files first. NULL: no memory. */
SSL *tls_context_ssl(struct tls_context *c) MUST_USE;

/* tls_session_error() of plaintext HTTP on a TLS port. */
extern const char tls_error_is_http[];

#endif
