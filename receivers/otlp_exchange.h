/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/HTTP: one request and its answer, the same over HTTP/1.1 and HTTP/2 (otlp_http.c drives it):
 *
 *   exchange_header* -> exchange_check -> exchange_body* -> exchange_run -> answer
 *
 * An answer can be given in any step, and ends what the client may add. Life: an HTTP/2 exchange
 * ends with its stream. An HTTP/1.1 connection keeps its exchange until the next request begins.
 * Either way it stays while the pipelines have not answered.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_EXCHANGE_H
#define TAILRACE_RECEIVERS_OTLP_EXCHANGE_H

#include "receivers/otlp_auth.h"
#include "receivers/otlp_conn.h"
#include "receivers/otlp_cors.h"
#include "receivers/otlp_meta.h"

enum exchange_state { X_HEADERS, X_BODY, X_RUNNING, X_ANSWERED };
enum content { CONTENT_NONE, CONTENT_PROTOBUF, CONTENT_JSON, CONTENT_OTHER };

struct exchange {
    struct h2_stream stream; /* first; unused on HTTP/1.1 */
    struct ingest_request ing;
    struct otlp_conn *conn; /* NULL: the connection or stream is gone */
    bool on_h1, counted, evicted;
    enum exchange_state state;

    char method[16], path[256]; /* cut: then they match nothing of ours */
    enum content content;
    bool has_length;
    uint64_t content_length;
    char *query; /* HTTP/2, when parameters may stand for headers */
    char *encoding, *origin, *cors_method, *cors_headers; /* NULL: absent */
    struct otlp_meta meta;
    struct otlp_auth *auth; /* NULL: nothing to ask */

    struct arena *arena; /* of the answer; NULL while it is made of constants */
    struct buf body;
    struct h2_field h2_fields[OTLP_MAX_FIELDS + 2];
};

/* NULL: no memory, counted. */
struct exchange *exchange_new(struct otlp_conn *c, bool on_h1) MUST_USE;
/* Its stream or connection is gone, or the next request takes its place. */
void exchange_gone(struct exchange *x);

const struct otlp_http_settings *exchange_settings(const struct exchange *x);
/* Into a field of n bytes; too long becomes "". */
void exchange_keep(char *dst, size_t n, struct slice v);
void exchange_header(struct exchange *x, struct slice name, struct slice value);
void exchange_keep_query(struct exchange *x, struct slice query);
/* Method, path, query and headers are known. True: the body may come. False: answered. */
bool exchange_check(struct exchange *x, struct slice query) MUST_USE;
/* The client is known, or need not be: it may be told to go on. */
bool exchange_trusted(const struct exchange *x);
void exchange_body(struct exchange *x, const uint8_t *p, size_t n);
void exchange_run(struct exchange *x); /* the body is complete */
/* Answers with an error. why: REFUSALS counts nothing. */
void exchange_refuse(struct exchange *x, enum refusal why, int status, int code, const char *text);

#endif
