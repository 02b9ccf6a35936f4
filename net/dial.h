/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting connected: endpoints as people write them, names to addresses, one address after the
 * other, and how long to wait before the next round.
 *
 * Threads: all on the loop's thread; names are looked up in libuv's pool.
 */
#ifndef TAILRACE_NET_DIAL_H
#define TAILRACE_NET_DIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/conn.h"
#include "platform/err.h"
#include "platform/loop.h"

#define DIAL_MAX_ADDRS 16

enum endpoint_scheme {
    ENDPOINT_PLAIN, /* host:port */
    ENDPOINT_HTTP,  /* http:// */
    ENDPOINT_HTTPS, /* https:// */
    ENDPOINT_UNIX,  /* unix:///path, unix:path */
};

struct endpoint {
    enum endpoint_scheme scheme;
    bool has_scheme;     /* any of http, https, dns, passthrough, unix was written */
    bool port_given;
    bool dns_balanced;   /* every address is a backend of its own (not passthrough) */
    char host[256];      /* without brackets; unix: the path */
    uint16_t port;
    char path[512];      /* URLs: from the first slash, with the query; else "" */
    char authority[280]; /* "host:port" as it stands in :authority and Host; unix: "localhost" */
};

/* A gRPC target: "host:port", "http://host:port", "dns:///host:port", "dns://resolver/host:port"
 * (the resolver is not asked), "passthrough:///host:port", "unix:///path". -1 with err. */
int endpoint_parse_grpc(const char *s, struct endpoint *e, struct err *err) MUST_USE;
/* An http:// or https:// URL. -1 with err. */
int endpoint_parse_url(const char *s, struct endpoint *e, struct err *err) MUST_USE;

/* Whom to expect behind TLS: the host, or "localhost" behind a Unix socket. */
const char *endpoint_tls_host(const struct endpoint *e);

/* ---- names ---- */

struct address {
    struct sockaddr_storage sa;
};
bool address_eq(const struct address *a, const struct address *b);
void address_format(const struct address *a, char dst[static 128]); /* "127.0.0.1:4317", "[::1]:80", a path */

struct resolve;
/* done is called once, never before this returns, unless resolve_cancel comes first. n 0: failed, with
 * error ("lookup nosuch: ..."); the addresses are valid during the call. */
struct resolve *resolve_start(struct loop *l, const struct endpoint *e,
                              void (*done)(void *ctx, const struct address *addrs, unsigned n, const char *error),
                              void *ctx) MUST_USE;
void resolve_cancel(struct resolve **r); /* fine on NULL; NULLs */

/* ---- one connection ---- */

struct dialer;
/* By way of a proxy the addresses are the proxy's, and a tunnel to the endpoint is asked for first. */
struct dial_tunnel {
    const char *target;        /* "host:port" */
    const char *authorization; /* for the proxy; "": none */
};
/* Tries the addresses in their order, each for at most timeout_ms (tunnel NULL: none; with one that long for each
 * step). tls NULL: plaintext; what tunnel and tls point to has to live until done, which comes after the handshake. done once, never before this
 * returns, unless dialer_cancel comes first: c connected, reads not started, ops to be set by the
 * callee at once; or NULL with the error of the last address. */
struct dialer *dialer_start(struct loop *l, const struct address *addrs, unsigned n, uint64_t timeout_ms,
                            const struct dial_tunnel *tunnel, const struct conn_tls_client *tls,
                            void (*done)(void *ctx, struct conn *c, const char *error), void *ctx) MUST_USE;
void dialer_cancel(struct dialer **d); /* fine on NULL; NULLs */

/* ---- pauses ---- */

/* Pauses between failed connections: grow by 1.6 from first_ms to max_ms, each times 0.8 to 1.2. */
struct backoff {
    uint64_t first_ms, max_ms;
    uint64_t base_ms; /* of the next pause; 0: first_ms */
    uint64_t rng;
};
uint64_t backoff_next_ms(struct backoff *b);
void backoff_reset(struct backoff *b); /* after the connection proved useful */

#endif
