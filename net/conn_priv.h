/* SPDX-License-Identifier: Apache-2.0 */
/* Between listener.c, which accepts, conn.c, which makes connections of what was accepted, and conn_tls.c,
 * which stands between a connection and its socket when it speaks TLS. */
#ifndef TAILRACE_NET_CONN_PRIV_H
#define TAILRACE_NET_CONN_PRIV_H

#include <sys/socket.h>
#include <uv.h>

#include "net/conn.h"
#include "net/tls_session.h"

struct conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct loop *loop;
    const struct conn_ops *ops; /* NULL until the owner gave them */
    void *ctx;
    size_t unsent_bytes;
    bool reading, closing, shut; /* as the owner wants it */
    bool raw_reading, raw_shut;  /* the socket; the same without TLS */
    char reason[192];
    struct sockaddr_storage peer_address;
    char peer_ip[64], peer[64]; /* formatted at first use */

    /* dialling */
    void (*on_connected)(void *ctx);
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    struct timer *timeout; /* of the dial and the TLS handshake */

    struct conn_tls *tls; /* NULL: plaintext */
    struct conn_unread *unread; /* NULL: nothing */
};

/* Takes fd (a connected, non-blocking stream socket; closed on failure). NULL: libuv said no. */
struct conn *conn_adopt(struct loop *l, int fd, const struct sockaddr_storage *peer) MUST_USE;

/* "address already in use": the system's words for errno, in lower case. buf: 96 bytes. */
const char *conn_errno_text(int err, char buf[static 96]);

/* A peer that went away is an error of write(2), not the end of the process. */
void conn_ignore_sigpipe(void);

/* "127.0.0.1:4317", "[::1]:4317" or "" into dst (64 bytes); without_port: "127.0.0.1", "::1". */
void conn_format_address(const struct sockaddr *sa, bool without_port, char dst[static 64]);

/* ---- conn.c for conn_tls.c: the socket itself ---- */

#define CONN_READ_BYTES (64u << 10)

/* Of one thread and all its connections, filled and emptied within one callback. */
struct conn_scratch {
    uint8_t raw[CONN_READ_BYTES];
    uint8_t plain[CONN_READ_BYTES];
    uint8_t piece[TLS_PIECE_BYTES];
};
/* Made at the thread's first use: as thread-local arrays they would cost their memory in every daemon,
 * also on threads without connections. */
struct conn_scratch *conn_scratch(void);

/* As conn_write, past TLS. */
void conn_write_raw(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok), void *done_ctx);
/* Reading from the socket, whatever the owner wants. */
void conn_raw_read(struct conn *c, bool on);
void conn_raw_shutdown(struct conn *c);

/* ---- conn_tls.c for conn.c ---- */

/* Makes c->tls; -1 with err: no memory. */
int conn_tls_attach(struct conn *c, struct tls_context *ctx, const char *host, struct err *err) MUST_USE;
/* What the socket gave. */
void conn_tls_on_bytes(struct conn *c, const uint8_t *p, size_t n);
void conn_tls_on_end(struct conn *c, const char *why); /* "EOF", or an error of the socket */
/* A dialled connection stands: the handshake begins. */
void conn_tls_begin(struct conn *c);
/* The owner wants to read, or no longer. */
void conn_tls_reading(struct conn *c);
void conn_tls_write(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok), void *done_ctx);
size_t conn_tls_unsent_bytes(const struct conn *c);
/* What is queued, then "no more comes", then the socket's write side. */
void conn_tls_shutdown(struct conn *c);
/* conn_close: tells the peer if that is possible at once. */
void conn_tls_farewell(struct conn *c);
/* The socket is gone: every write that waits fails. */
void conn_tls_free(struct conn *c);

#endif
