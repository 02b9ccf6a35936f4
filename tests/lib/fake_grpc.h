/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC backend that misbehaves as told, on the test's own loop and a port of its own.
 *
 *   struct fake_grpc *f = fake_grpc_new(loop);     listens on 127.0.0.1, port in f->port
 *   f->conn_mode = FAKE_GOAWAY;                    for connections accepted from now on
 *   f->answer = (struct fake_answer){.grpc_status = 14};   for requests that end from now on
 *   fake_grpc_free(&f);                            closes everything; the loop must turn once more
 */
#ifndef TAILRACE_TESTS_FAKE_GRPC_H
#define TAILRACE_TESTS_FAKE_GRPC_H

#include "net/conn.h"
#include "platform/buf.h"
#include "platform/list.h"
#include "platform/loop.h"

enum fake_conn_mode {
    FAKE_SERVE,
    FAKE_CLOSE,          /* at once */
    FAKE_CLOSE_SETTINGS, /* after our SETTINGS */
    FAKE_MUTE,           /* accepts, reads, says nothing */
    FAKE_GOAWAY,         /* SETTINGS, GOAWAY with last stream 0 */
    FAKE_GARBAGE,        /* not HTTP/2 */
    FAKE_DEAF,           /* SETTINGS, then reads no more */
};

enum fake_action {
    FAKE_ANSWER,
    FAKE_HANG,         /* never answers */
    FAKE_RESET,        /* RST_STREAM rst_code */
    FAKE_DROP,         /* closes the connection */
    FAKE_GOAWAY_BELOW, /* GOAWAY that excludes this stream */
    FAKE_GOAWAY_AFTER, /* answers, then GOAWAY */
};

struct fake_answer {
    enum fake_action action;
    int http_status;     /* 0: 200 */
    int grpc_status;     /* -1: no such field */
    const char *message; /* grpc-message, encoded */
    const char *details; /* grpc-status-details-bin, encoded */
    const char *content_type; /* NULL: application/grpc */
    const char *encoding;     /* grpc-encoding of the answer */
    struct slice body;   /* whole DATA, prefix and all; empty: trailers only unless grpc_status is 0 */
    uint32_t rst_code;
    bool early;          /* at the request's header fields, the body unseen */
};

struct fake_grpc {
    struct loop *loop;
    struct listener *listener;
    char endpoint[64];
    uint16_t port;
    enum fake_conn_mode conn_mode;
    struct fake_answer answer;
    uint32_t max_streams; /* SETTINGS; 0: none sent */
    struct list conns;

    unsigned n_conns, n_open_conns, n_requests, n_open, max_open, n_answered;
    uint64_t body_bytes;
    struct buf last_body; /* DATA of the request that ended last */
    struct buf last_fields; /* "name: value\n" */
};

struct fake_grpc *fake_grpc_new(struct loop *l);
/* On another address of this machine ("127.0.0.2:4317"); NULL: it cannot listen there. */
struct fake_grpc *fake_grpc_new_at(struct loop *l, const char *endpoint);
void fake_grpc_free(struct fake_grpc **f);
/* Closes the connections that are open now. */
void fake_grpc_drop_all(struct fake_grpc *f);

#endif
