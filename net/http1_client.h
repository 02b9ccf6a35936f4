/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests to one origin over kept-alive connections. One request at a time on each; a
 * request takes an idle connection, makes one, or waits for one.
 *
 * Bodies leave as iovecs, uncopied. A request is over when its answer is complete and no write holds
 * its bytes any more; giving one up closes its connection.
 *
 * Threads: one loop. on_done may send and cancel, but not close the pool.
 * Limits: header fields HTTP1_MAX_HEADERS bytes; of a body the first HTTP1_MAX_BODY bytes are kept.
 * Memory: what a server answers beyond HTTP1_ANSWER_FREE_BYTES is charged as MEM_CONN as it comes. Without room no more
 * of a body is kept, and fields that do not fit end the request as lost.
 */
#ifndef TAILRACE_NET_HTTP1_CLIENT_H
#define TAILRACE_NET_HTTP1_CLIENT_H

#include <sys/uio.h>

#include "net/dial.h"
#include "net/proxy.h"
#include "platform/buf.h"
#include "platform/list.h"

#define HTTP1_ANSWER_FREE_BYTES ((size_t)4 << 10)
#define HTTP1_MAX_HEADERS ((size_t)64 << 10)
#define HTTP1_MAX_BODY ((size_t)64 << 10)

enum http1_end {
    HTTP1_END_RESPONSE,
    HTTP1_END_NO_CONN,   /* no connection could be made */
    HTTP1_END_LOST,      /* it ended, or what came was not HTTP, before the answer was complete */
    HTTP1_END_CANCELLED, /* by us */
};

struct http1_response {
    enum http1_end end;
    int status;
    struct slice body;
    const struct buf *fields;
    const char *reason; /* words for the log; "" with RESPONSE */
};

/* The last value of a header field (lower case name); NULL: absent. */
const char *http1_response_field(const struct http1_response *r, const char *name);

struct http1_request {
    /* the caller's, valid until on_done */
    struct slice head; /* request line and fields with their CRLFs, without Content-Length and the empty line */
    const struct iovec *body;
    size_t n_body;
    size_t body_len;
    void (*on_done)(struct http1_request *r, const struct http1_response *resp); /* r may be freed in it */
    void *ctx;

    /* private */
    struct list node;
    struct http1_conn *conn;
    bool repeated; /* after an idle connection had gone stale */
};

struct http1_pool_config {
    struct loop *loop;
    struct endpoint endpoint;
    struct tls_context *tls; /* NULL: plaintext */
    struct proxy proxy;      /* plaintext: requests have to name the whole URL, and their head what the proxy asks for */
    struct budget *budget; /* NULL: nothing is charged */
    unsigned max_conns; /* 0: no limit */
    unsigned max_idle;
    bool keep_alive;
    uint64_t idle_timeout_ms; /* 0: never */
    uint64_t dial_timeout_ms; /* one address */
    uint64_t backoff_first_ms, backoff_max_ms;
};

struct http1_pool;
struct http1_pool *http1_pool_new(const struct http1_pool_config *cfg) MUST_USE;
/* Exactly one on_done follows, never before this returns. */
void http1_pool_send(struct http1_pool *p, struct http1_request *r);
/* on_done follows: at once, or when the connection has closed. */
void http1_pool_cancel(struct http1_pool *p, struct http1_request *r);
/* Ends all requests, closes all connections; then on_closed (NULL: nobody cares), once, and the pool is
 * gone: at once when there is no connection. NULLs. */
void http1_pool_close(struct http1_pool **p, void (*on_closed)(void *ctx), void *ctx);

uint64_t http1_pool_dials(const struct http1_pool *p);

#endif
