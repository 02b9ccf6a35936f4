/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream connection over libuv, accepted or dialled: read, write, close once. Knows no protocol.
 * With TLS (net/tls.h) it is the same: what on_read gives and conn_write takes is always plaintext.
 *
 * Rules: callbacks come on the loop's thread. conn_close() may be called from any callback, any
 * number of times; exactly one on_closed follows, later, and nothing after it; only then may ctx be
 * freed. conn_free happens by itself after on_closed.
 */
#ifndef TAILRACE_NET_CONN_H
#define TAILRACE_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "platform/err.h"
#include "platform/loop.h"

struct conn;

struct conn_ops {
    /* Bytes from the peer; valid during the call. Up to 64 KiB at a time. */
    void (*on_read)(void *ctx, const uint8_t *p, size_t n);
    /* The peer half-closed; we may still write. NULL: close. */
    void (*on_eof)(void *ctx);
    /* Writes that had to wait (conn_unsent_bytes() was not 0) have all left. May be NULL. */
    void (*on_flushed)(void *ctx);
    /* The end. reason: "" for our own close, else words for the log ("connection reset by peer").
     */
    void (*on_closed)(void *ctx, const char *reason);
};

/* Dialling: ops->on_closed reports failure too; `on_connected` comes first on success. addr is one
 * resolved address (net/dial.h resolves); unix paths as sockaddr_un. timeout_ms 0: the kernel's. */
struct sockaddr;
struct tls_context;
struct conn_tls_client {
    struct tls_context *context;
    const char *host; /* expected in the certificate */
};
/* tls NULL: plaintext; else on_connected comes after the handshake, within the same timeout. */
struct conn *conn_dial(struct loop *l, const struct sockaddr *addr, uint64_t timeout_ms,
                       const struct conn_tls_client *tls, const struct conn_ops *ops,
                       void (*on_connected)(void *ctx), void *ctx) MUST_USE;

void conn_read_start(struct conn *c);
void conn_read_stop(struct conn *c); /* the kernel's window pushes back */

/* Writes the bytes after all earlier writes; tries at once. They must stay valid until done, which
 * comes exactly once, perhaps before this returns; ok false: the connection is going down. done may
 * be NULL (for bytes that outlive the connection). */
void conn_write(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok),
                void *done_ctx);
size_t conn_unsent_bytes(const struct conn *c);

/* Sends what is queued, then shuts the write side down. */
void conn_shutdown(struct conn *c);
void conn_close(struct conn *c, const char *reason);

/* "127.0.0.1" and "127.0.0.1:4317"; unix sockets: "". Valid while the conn lives. */
const char *conn_peer_ip(const struct conn *c);
const char *conn_peer(const struct conn *c);

/* Listening. endpoint: "host:port", "[::1]:0", ":4317", or a path for unix. With reuse_port several
 * workers listen on the same port. The bound address ("127.0.0.1:4317") comes back in bound[64] (a
 * port 0 is replaced by the real one). NULL with err "listen tcp 127.0.0.1:4317: bind: address
 * already in use". */
struct listener;
struct listener *listener_new(struct loop *l, const char *endpoint, bool is_unix, bool reuse_port,
                              char bound[static 64], void (*on_accept)(void *ctx, struct conn *c),
                              void *ctx, struct err *err) MUST_USE;
/* Who listens. A listener of the same name but another instance is a predecessor: its socket at the same address is
 * taken over, with the connections that wait there, so a successor can listen before it has stopped. */
struct listen_owner {
    const void *instance; /* one for all workers */
    const char *name;     /* "otlp/eu grpc"; NULL: has no predecessor */
    int family;           /* AF_INET or AF_INET6: addresses of that kind only; 0: either */
};
struct listener *listener_new_for(const struct listen_owner *owner, struct loop *l, const char *endpoint, bool is_unix,
                                  bool reuse_port, char bound[static 64], void (*on_accept)(void *ctx, struct conn *c),
                                  void *ctx, struct err *err) MUST_USE;
/* Is the TCP address free? -1 with the same err when somebody else listens there. SO_REUSEPORT alone
 * would not notice another daemon: the first of several workers asks before it listens. owner NULL: nobody's. */
int listener_probe(const char *endpoint, const struct listen_owner *owner, struct err *err) MUST_USE;
/* Before the end: accepts who waits, unless another listener here will. */
void listener_accept_waiting(struct listener *l);
/* Stops accepting; closes. NULLs. */
void listener_free(struct listener **l);
/* Accepting off and on (out of file descriptors, too many connections). */
void listener_pause(struct listener *l, bool paused);

/* An accepted conn, before conn_read_start: the client has to begin with a TLS handshake. A failure is an
 * on_closed with a reason that begins "tls: ". -1 with err: no memory. */
int conn_start_tls(struct conn *c, struct tls_context *ctx, struct err *err) MUST_USE;

/* A dialled plaintext conn that stands and does not read: a client's handshake begins; on_connected comes after it,
 * within timeout_ms. -1 with err: no memory. */
int conn_start_tls_client(struct conn *c, const struct conn_tls_client *tls, uint64_t timeout_ms,
                          void (*on_connected)(void *ctx), struct err *err) MUST_USE;
/* From on_read, of a plaintext conn: bytes that are another's to read. They come again after the next
 * conn_read_start, before all others. */
void conn_unread(struct conn *c, const uint8_t *p, size_t n);

/* An accepted conn must be given its ops inside on_accept (or be closed). */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *ctx);

#endif
