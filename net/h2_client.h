/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of one HTTP/2 connection, without a socket: bytes in, iovecs out.
 *
 * Request bodies are never copied: they leave as iovecs of many DATA frames that point into the
 * caller's memory. So a request is over only when its response has ended AND none of its bytes wait
 * in the socket any more; on_done says both at once.
 *
 * Threads: one. on_done may submit and cancel, but not free the client.
 * Limits: response header fields H2_MAX_HEADERS bytes, body H2_MAX_BODY bytes; H2_WINDOW_BYTES handed
 * to the socket at a time.
 * Memory: what a peer answers beyond H2_ANSWER_FREE_BYTES is charged as MEM_CONN as it comes. Without room the
 * body is left out (what counts is in the fields), and fields that do not fit end the request as lost.
 */
#ifndef TAILRACE_NET_H2_CLIENT_H
#define TAILRACE_NET_H2_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "platform/buf.h"
#include "platform/list.h"
#include "platform/mem.h"

#define H2_ANSWER_FREE_BYTES ((size_t)4 << 10)
#define H2_MAX_HEADERS ((size_t)64 << 10)
#define H2_MAX_BODY ((size_t)4 << 20)
#define H2_WINDOW_BYTES ((size_t)1 << 20)

enum h2_end {
    H2_END_RESPONSE,  /* the peer answered to the end */
    H2_END_REFUSED,   /* the peer did not look at it (GOAWAY, REFUSED_STREAM, never sent) */
    H2_END_RESET,     /* RST_STREAM from the peer, error_code says which */
    H2_END_LOST,      /* the connection went down after the request had begun to leave */
    H2_END_NO_CONN,   /* there is no connection (h2_channel only) */
    H2_END_CANCELLED, /* by us */
    H2_END_TOO_LARGE, /* the response broke a limit */
};

struct h2_response {
    enum h2_end end;
    uint32_t error_code; /* RESET */
    int status;          /* :status; 0: none came */
    struct slice body;
    const struct buf *fields; /* for h2_response_field */
    const char *reason;       /* words for the log; "" when end says it all */
};

/* Value of a header or trailer field (lower case name), the last one; NULL: absent. */
const char *h2_response_field(const struct h2_response *r, const char *name);

struct h2_header {
    const char *name, *value; /* valid as long as the client lives */
};

struct h2_request {
    /* the caller's, valid until on_done */
    const struct h2_header *headers; /* pseudo fields first */
    size_t n_headers;
    const struct h2_header *secrets; /* come after them; copied, and in no compression table */
    size_t n_secrets;
    uint8_t prefix[8]; /* goes before the body (the gRPC frame header) */
    size_t prefix_len;
    const struct iovec *body;
    size_t n_body;
    void (*on_done)(struct h2_request *r, const struct h2_response *resp); /* r may be freed in it */
    void *ctx;

    /* private to h2_client.c and h2_channel.c */
    struct list node;
    struct h2_client *client;
    void *link, *channel;
    void (*hook)(struct h2_request *r, const struct h2_response *resp); /* instead of on_done */
    int32_t id;
    size_t at, offset; /* cursor: at 0 is the prefix, at i + 1 is body[i] */
    uint64_t left;
    unsigned refs;     /* writes under way that hold bytes of ours */
    unsigned refused;  /* how often a peer would not look at it */
    bool sent, over, lingers;
    struct h2_response resp;
    struct buf fields, resp_body;
    size_t charged_bytes;
    size_t left_out_bytes; /* of the body, for lack of memory */
    char reason[160];
};

struct h2_client_ops {
    /* As conn_write. */
    void (*write)(void *ctx, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok), void *done_ctx);
    /* The peer's SETTINGS have come: requests may be submitted. */
    void (*on_ready)(void *ctx);
    /* The peer takes no new requests. */
    void (*on_goaway)(void *ctx, uint32_t error_code, const char *debug);
    /* Something is due: call h2_client_pump soon, but not from within this. */
    void (*wants_pump)(void *ctx);
};

struct h2_client;
/* budget NULL: nothing is charged. */
struct h2_client *h2_client_new(const struct h2_client_ops *ops, void *ctx, struct budget *budget) MUST_USE;
/* All writes must be done and h2_client_lost() called. Fine on NULL. */
void h2_client_free(struct h2_client **c);

/* Bytes from the peer. NULL, or why the connection has to be closed. */
const char *h2_client_feed(struct h2_client *c, const uint8_t *p, size_t n);
/* Writes what is due. Same result as feed. */
const char *h2_client_pump(struct h2_client *c);

bool h2_client_ready(const struct h2_client *c);
/* How many more requests the peer takes now. */
uint32_t h2_client_room(const struct h2_client *c);
uint32_t h2_client_active(const struct h2_client *c);
/* Requests that are over but for bytes of theirs in the socket. */
uint32_t h2_client_lingering(const struct h2_client *c);

/* There must be room. */
void h2_client_submit(struct h2_client *c, struct h2_request *r);
/* on_done comes with H2_END_CANCELLED: at once, or when the last write that holds its bytes is done. */
void h2_client_cancel(struct h2_client *c, struct h2_request *r);
/* The connection is down: every request ends. */
void h2_client_lost(struct h2_client *c, const char *reason);

/* One PING at a time; h2_client_ping_pending tells whether it was answered. */
void h2_client_ping(struct h2_client *c);
bool h2_client_ping_pending(const struct h2_client *c);

/* For h2_channel: ends a request that no connection has. */
void h2_request_fail(struct h2_request *r, enum h2_end end, const char *reason);

#endif
