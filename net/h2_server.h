/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server side of one HTTP/2 connection on nghttp2, without the socket: bytes in, callbacks,
 * bytes out.
 *
 *   feed -> on_stream -> on_header* -> on_request -> on_data* -> on_end -> h2_respond -> pull
 *                                        ... and on_gone once for each on_stream, at any time
 *
 * Windows: the connection's is large and reopened as bytes are handed up (they are charged or
 * thrown away at once). A stream starts with `stream_window` bytes; h2_expect() opens it for a body
 * that was admitted. What is not admitted stays with the client. Streams: the owner allocates them
 * (struct h2_stream first in its own request), and frees them when it likes after on_gone; nothing
 * here touches a stream after that.
 */
#ifndef TAILRACE_NET_H2_SERVER_H
#define TAILRACE_NET_H2_SERVER_H

#include "platform/buf.h"
#include "platform/list.h"

struct h2_server;
struct h2_mem;

struct h2_field {
    struct slice name, value;
};

/* Fields are h2_server.c's. */
struct h2_stream {
    struct h2_server *server; /* NULL before on_stream and after on_gone */
    int32_t id;
    bool request_ended, answered;
    struct list all;       /* in the server's list of open streams */
    struct list lingering; /* answered while the client still sends */
    uint64_t answered_ns;
    struct slice body; /* of the answer */
    size_t body_sent;
    const struct h2_field *trailers;
    size_t n_trailers;
};

struct h2_server_ops {
    /* A new request: its memory, zeroed. NULL: refused (REFUSED_STREAM, the client may try again).
     */
    struct h2_stream *(*on_stream)(void *ctx);
    /* Pseudo headers included; valid during the call. */
    void (*on_header)(void *ctx, struct h2_stream *s, struct slice name, struct slice value);
    void (*on_request)(void *ctx, struct h2_stream *s); /* headers complete; a body may follow */
    void (*on_data)(void *ctx, struct h2_stream *s, const uint8_t *p, size_t n);
    void (*on_end)(void *ctx, struct h2_stream *s); /* not called when answered before */
    void (*on_gone)(void *ctx, struct h2_stream *s);
    void (*on_ping)(void *ctx);     /* the client asked for a sign of life; may be NULL */
    void (*on_ping_ack)(void *ctx); /* the answer to h2_server_ping(); may be NULL */
};

struct h2_server_settings {
    uint32_t max_concurrent_streams;
    uint32_t max_header_bytes;
    uint32_t stream_window; /* bytes a stream may send before h2_expect() */
    uint32_t connection_window;
    struct h2_mem *mem; /* NULL: malloc; outlives the connection */
};

struct h2_server *h2_server_new(const struct h2_server_ops *ops, void *ctx,
                                const struct h2_server_settings *set) MUST_USE;
/* Calls on_gone for every stream left. Not from inside a callback. */
void h2_server_free(struct h2_server **h);

/* now_ns: monotonic. False: the connection is beyond repair; send what pull gives, then close. */
bool h2_server_feed(struct h2_server *h, const uint8_t *p, size_t n, uint64_t now_ns) MUST_USE;

/* Appends frames to out until it holds `max` bytes or nothing is left to send. */
void h2_server_pull(struct h2_server *h, struct buf *out, size_t max);
/* Frames that wait to be pulled. */
size_t h2_server_queued(const struct h2_server *h);
bool h2_server_wants_write(const struct h2_server *h);
/* Nothing will be read or written any more. */
bool h2_server_wants_close(const struct h2_server *h);

/* The answer. Once per stream, not after on_gone. Fields (without :status), body and trailers must
 * stay until on_gone, names in lower case. No body and no trailers: one HEADERS frame ends it. */
void h2_respond(struct h2_stream *s, int status, const struct h2_field *fields, size_t n_fields,
                struct slice body, const struct h2_field *trailers, size_t n_trailers);
/* Opens the stream's window so that `bytes` more can come. */
void h2_expect(struct h2_stream *s, uint64_t bytes);
/* Resets the stream; on_gone follows. */
void h2_cancel(struct h2_stream *s, uint32_t error_code);

/* Drain: notice first (new streams still welcome), final after a round trip or a moment. */
void h2_server_goaway(struct h2_server *h, bool final, uint32_t error_code, const char *debug);
void h2_server_ping(struct h2_server *h);
/* Call about every half second: resets streams whose client goes on sending after the answer. */
void h2_server_tick(struct h2_server *h, uint64_t now_ns);
unsigned h2_server_streams(const struct h2_server *h); /* between on_stream and on_gone */

enum {
    H2_NO_ERROR = 0,
    H2_PROTOCOL_ERROR = 1,
    H2_INTERNAL_ERROR = 2,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_ENHANCE_YOUR_CALM = 11
};

#endif
