/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the otlp receiver, for both ports: accept and limits, which protocol it is,
 * reading and gathered writing, deadlines, keepalive, polite closing, drain. What a request means
 * is otlp_grpc.c's and otlp_http.c's business.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_CONN_H
#define TAILRACE_RECEIVERS_OTLP_CONN_H

#include "component/auth.h"
#include "net/conn.h"
#include "net/h2_server.h"
#include "net/http1_server.h"
#include "receivers/otlp.h"
#include "receivers/otlp_ingest.h"

struct otlp_conn;
struct otlp_meta;
struct otlp_auth;

/* What makes one port differ from the other. */
struct otlp_port {
    const char *name;                        /* "GRPC", "HTTP": for the log */
    const char *transport;                   /* "grpc", "http": for metrics */
    const struct h2_server_ops *h2;          /* ctx: struct otlp_conn */
    const struct http1_ops *http1;           /* NULL: HTTP/2 only */
    void (*http1_gone)(struct otlp_conn *c); /* the connection ends; a request may be under way */
    bool enforce_pings;
};

/* 0: no limit of that kind. */
struct otlp_conn_limits {
    uint32_t max_streams;
    uint64_t header_ns, write_ns, idle_ns; /* idle_ns: no request at all */
    uint64_t age_ns, age_grace_ns;         /* age: each connection's own is up to a tenth off */
    uint64_t ping_ns, ping_timeout_ns;     /* ours, when nothing was heard */
    uint64_t min_ping_ns;                  /* the client's */
    bool pings_without_stream;
    bool keep_alives; /* HTTP/1 */
};

/* One port on one worker. */
struct otlp_server {
    const struct otlp_port *port;
    struct host *host;
    struct ingest *in;
    const void *settings; /* the transport's */
    struct otlp_conn_limits limits;
    struct tls_context *tls; /* of all workers; NULL: plaintext */
    uint64_t tls_told_ns;    /* a failed handshake was logged */
    struct auth_door *door;  /* who may come in; NULL: everyone */
    struct series *tls_reloads, *tls_failures;
    struct fair fair;
    struct listener *listener;
    struct timer *tick;
    struct h2_mem *h2_mem; /* of all its connections */
    struct list conns;     /* the one silent for longest first */
    unsigned n_conns, max_conns;
    struct list timed; /* requests with a deadline of the client's; transport's */
    void (*on_tick)(struct otlp_server *s, uint64_t now_ns); /* may be NULL */
    void (*on_empty)(void *ctx); /* draining, and the last connection is gone */
    void *on_empty_ctx;
    bool draining, stays; /* stays: the port goes on, here or in another process */
    uint64_t drain_ns;
    uint64_t random;
    uint64_t refusals_seen; /* budget_refusals() at the last tick */
};

struct otlp_conn {
    struct otlp_server *server;
    struct conn *conn;
    struct list link;
    struct h2_server *h2; /* one of the two, once the first bytes told */
    struct http1 *h1;
    void *h1_request; /* an exchange, otlp_http.c's */
    uint8_t sniff[16];
    uint8_t n_sniffed;

    struct request_info *peer; /* NULL until asked for */

    struct buf out;
    struct deferred flush;
    bool busy;    /* inside a callback that flushes at its end */
    bool writing; /* out is with the socket */
    bool closing, eof, goaway_noticed, goaway_sent;
    uint64_t opened_ns, heard_ns, header_ns, write_ns, close_ns, idle_ns, goaway_ns;
    uint64_t age_ns; /* 0: no limit */

    uint64_t ping_sent_ns, client_ping_ns;
    unsigned ping_strikes;

    struct fair_share share;
    unsigned auth_strikes; /* refused requests since a good one */
    unsigned n_requests; /* whose memory lives */
    unsigned n_charged;  /* requests paid for */
    size_t charged_bytes;
    size_t held_bytes; /* charged beyond that: a header that comes in parts, answers that wait */
};

/* Fills in; opens nothing. */
void otlp_server_init(struct otlp_server *s, const struct otlp_port *port, struct host *host,
                      struct ingest *in, const void *settings,
                      const struct otlp_conn_limits *limits);
/* owner: the receiver, all workers of it. bound: where it listens. */
int otlp_server_listen(struct otlp_server *s, const struct listen_owner *owner, const char *endpoint, bool is_unix,
                       char bound[static 64], struct err *err) MUST_USE;
/* No new connections, no new requests; on_empty when the last connection has gone, perhaps at once.
 */
void otlp_server_drain(struct otlp_server *s, void (*on_empty)(void *ctx), void *ctx);
/* Closes what is left. */
void otlp_server_cut(struct otlp_server *s);
/* After the last connection is gone. */
void otlp_server_close(struct otlp_server *s);

/* For the transports. */
void otlp_conn_flush_later(struct otlp_conn *c); /* something was answered */
/* What is known of a request's client: a reference. meta, auth: what the request brought, emptied; or NULL. */
struct request_info *otlp_conn_info(struct otlp_conn *c, struct otlp_meta *meta, struct otlp_auth *auth) MUST_USE;
/* Counts a request's memory; false: no room. */
bool otlp_conn_add_request(struct otlp_conn *c) MUST_USE;
void otlp_conn_remove_request(struct otlp_conn *c);
/* For its requests: NULL when nothing is shared out. */
static inline struct fair_share *otlp_conn_share(struct otlp_conn *c)
{
    return c->server->in->fair ? &c->share : NULL;
}
/* A request's credentials were good, or not: after some of the latter the connection has to end. */
void otlp_conn_passed(struct otlp_conn *c);
void otlp_conn_refused(struct otlp_conn *c);
bool otlp_conn_struck_out(const struct otlp_conn *c);
void otlp_conn_on_ping(void *ctx); /* for h2_server_ops; ctx: struct otlp_conn */

#endif
