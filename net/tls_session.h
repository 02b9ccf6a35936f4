/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS connection without a socket: ciphertext in, plaintext out, and back.
 *
 * The order of use: feed bytes, then handshake or read until they say TLS_MORE; whatever is in the
 * output after any call has to be sent.
 * Memory: what OpenSSL holds per session is charged as a flat sum; output as it grows.
 */
#ifndef TAILRACE_NET_TLS_SESSION_H
#define TAILRACE_NET_TLS_SESSION_H

#include "net/tls.h"
#include "platform/buf.h"

enum tls_result {
    TLS_OK,
    TLS_MORE,   /* the peer's next bytes are needed */
    TLS_EOF,    /* the peer has said that no more comes */
    TLS_FAILED, /* tls_session_error() says why; output may hold an alert */
};

struct tls_session;
/* host: a client's server, for its name in the certificate and SNI. NULL with err: no memory. */
struct tls_session *tls_session_new(struct tls_context *ctx, const char *host, struct err *err) MUST_USE;
void tls_session_free(struct tls_session **s); /* fine on NULL */

/* From the peer. The bytes are read in place: whoever calls this goes on until TLS_MORE, or keeps what
 * is left with tls_session_keep() before they vanish. */
void tls_session_feed(struct tls_session *s, const uint8_t *p, size_t n);
void tls_session_keep(struct tls_session *s);

enum tls_result tls_session_handshake(struct tls_session *s) MUST_USE;
/* Up to n bytes of plaintext to dst; *got of them with TLS_OK. */
enum tls_result tls_session_read(struct tls_session *s, uint8_t *dst, size_t n, size_t *got) MUST_USE;
/* Takes all n (at most TLS_PIECE_BYTES) or fails. */
#define TLS_PIECE_BYTES ((size_t)16 << 10)
enum tls_result tls_session_write(struct tls_session *s, const uint8_t *p, size_t n) MUST_USE;
void tls_session_shutdown(struct tls_session *s);

/* Ciphertext to be sent; the caller clears it or swaps the buffer. */
struct buf *tls_session_output(struct tls_session *s);
/* Tells the budget what out has grown to, wherever its memory is now. */
void tls_session_account(struct tls_session *s, size_t out_bytes);
const char *tls_session_error(const struct tls_session *s);

#endif
