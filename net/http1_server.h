/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side of one HTTP/1.x connection, without the socket: bytes in, callbacks, bytes out.
 * llhttp parses; what it lets through and a server must not (ambiguous lengths, missing Host,
 * transfer codings other than chunked) is refused here.
 *
 *   feed -> on_header* -> on_request -> on_body* -> on_end -> http1_respond -> output
 *
 * One request at a time: bytes that arrive behind an unanswered request wait inside (at most what
 * one feed brought; http1_wants_read() says when to go on reading). A response before the end of
 * the request is fine: the rest of a small body is thrown away, a large one closes the connection.
 */
#ifndef TAILRACE_NET_HTTP1_SERVER_H
#define TAILRACE_NET_HTTP1_SERVER_H

#include "platform/buf.h"

struct http1;

struct http1_head {
    struct slice method;     /* "POST" */
    struct slice path;       /* without scheme, host and query */
    struct slice query;      /* behind the '?'; empty: none */
    uint64_t content_length; /* when !chunked; 0: no body */
    bool chunked;
    bool expect_continue; /* the client waits for http1_continue() or an answer */
};

struct http1_ops {
    /* Each header in order, name in lower case, value without blanks around it. May be NULL. */
    void (*on_header)(void *ctx, struct slice name, struct slice value);
    void (*on_request)(void *ctx, const struct http1_head *head);
    void (*on_body)(void *ctx, const uint8_t *p, size_t n);
    /* The request is complete; not called when it was answered before. */
    void (*on_end)(void *ctx);
    /* Not HTTP, or more than the limits: answer with this status (http1_respond; the connection is
     * closed whatever it says). NULL: an empty answer. */
    void (*on_bad)(void *ctx, int status, const char *text);
};

struct http1_field {
    const char *name, *value;
};

/* max_header_bytes: request line and header fields together. */
struct http1 *http1_new(const struct http1_ops *ops, void *ctx, size_t max_header_bytes) MUST_USE;
/* Not from inside a callback. */
void http1_free(struct http1 **h);

/* Bytes from the client. Output may be waiting afterwards. */
void http1_feed(struct http1 *h, const uint8_t *p, size_t n);

/* The answer to the current request, from any callback or later. content_type NULL: no such field.
 * Content-Length, Date and Connection are added. close: no further request on this connection. */
void http1_respond(struct http1 *h, int status, const char *content_type,
                   const struct http1_field *fields, size_t n_fields, struct slice body,
                   bool close);
/* "100 Continue", when the client waits for it. */
void http1_continue(struct http1 *h);

/* Bytes to send; take them (the buf is left empty), or write and buf_clear(). */
struct buf *http1_output(struct http1 *h);

/* While on, no further request is begun: the client does not take its answers. Off: goes on with what came meanwhile,
 * which may make output. With HTTP1_OUT_BYTES of output a connection stops by itself until it is told "off". */
#define HTTP1_OUT_BYTES ((size_t)16 << 10)
void http1_hold(struct http1 *h, bool on);

/* False while an unanswered request is complete, or no further one is begun: stop reading, start again later. */
bool http1_wants_read(const struct http1 *h);
/* What the connection keeps of what the client sent, and of answers. */
size_t http1_held_bytes(const struct http1 *h);
/* No further request will be read: send the output, then close (politely: the client may still
 * write). */
bool http1_wants_close(const struct http1 *h);

enum http1_state { HTTP1_IDLE, HTTP1_HEADER, HTTP1_BODY, HTTP1_ANSWERING, HTTP1_DONE };
enum http1_state http1_state(const struct http1 *h);

#endif
