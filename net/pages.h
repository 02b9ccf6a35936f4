/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP/1.1 server for text pages (/metrics, health, /debug): GET and HEAD (and POST of one
 * path) only and no bodies, unless any_method; gzip when the client accepts it and the page is worth it. Answers may
 * come later.
 *
 * Limits: 128 connections, 16 KiB of request header, closed after 60 s without a whole request.
 * Threads: one loop.
 */
#ifndef TAILRACE_NET_PAGES_H
#define TAILRACE_NET_PAGES_H

#include "net/conn.h"
#include "net/http1_server.h"
#include "platform/buf.h"

struct pages;

struct page_request {
    struct pages *server;
    const char *path; /* without query */
    const char *query;
    bool loopback; /* the client is on this machine */
    bool post;     /* only of the path given to pages_take_post */

    /* private to pages.c */
    struct page_conn *conn; /* NULL: gone */
    bool gzip;
};

/* Called for each request: answer it with page_respond(), once, now or later; also after the client
 * or the server has gone. */
typedef void pages_handler(void *ctx, struct page_request *r);

struct pages_options {
    const char *endpoint;
    const char *name; /* a successor of this name takes the socket over; see struct listen_owner */
    bool is_unix;     /* the endpoint is a path */
    bool any_method;  /* bodies are read and thrown away */
    struct tls_context *tls; /* NULL: plaintext. The caller's, and to outlive the server */
    const struct http1_field *fields; /* of every answer; to outlive the server */
    size_t n_fields;                  /* at most PAGE_FIELDS */
};
enum { PAGE_FIELDS = 16 };

/* bound: see listener_new(). NULL with err when the endpoint cannot be had. */
struct pages *pages_new(struct loop *l, const struct pages_options *o, char bound[static 64],
                        pages_handler *handler, void *ctx, struct err *err) MUST_USE;
void pages_free(struct pages **p); /* fine on NULL */
void pages_take_post(struct pages *p, const char *path); /* a literal */

/* Takes the request. */
void page_respond(struct page_request **r, int status, const char *content_type, struct slice body);

#endif
