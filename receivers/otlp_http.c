/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/HTTP: what HTTP/1.1 and HTTP/2 connections bring, handed to exchanges (otlp_exchange.h).
 */
#include "receivers/otlp_http.h"

#include <string.h>

#include "receivers/otlp_exchange.h"

/* ---- HTTP/1.1 ---- */

static struct exchange *h1_exchange(struct otlp_conn *c)
{
    struct exchange *x = c->h1_request;

    if (x && x->state == X_ANSWERED) {
        exchange_gone(x);
        x = NULL;
    }
    if (!x)
        x = exchange_new(c, true);
    CHECK(x); /* the first request of a connection is paid for with the connection */
    c->h1_request = x;
    return x;
}

static void h1_header(void *ctx, struct slice name, struct slice value)
{
    exchange_header(h1_exchange(ctx), name, value);
}

static void h1_request(void *ctx, const struct http1_head *head)
{
    struct otlp_conn *c = ctx;
    struct exchange *x = h1_exchange(c);

    exchange_keep(x->method, sizeof x->method, head->method);
    exchange_keep(x->path, sizeof x->path, head->path);
    x->has_length = !head->chunked;
    x->content_length = head->content_length;
    if (!exchange_check(x, head->query))
        return;
    x->state = X_BODY;
    if (exchange_trusted(x))
        http1_continue(c->h1);
}

static void h1_body(void *ctx, const uint8_t *p, size_t n)
{
    exchange_body(((struct otlp_conn *)ctx)->h1_request, p, n);
}

static void h1_end(void *ctx)
{
    exchange_run(((struct otlp_conn *)ctx)->h1_request);
}

static void h1_bad(void *ctx, int status, const char *text)
{
    struct exchange *x = h1_exchange(ctx);

    exchange_refuse(x, REFUSED_PROTOCOL, status, grpc_status_from_http(status), text);
}

static void h1_gone(struct otlp_conn *c)
{
    struct exchange *x = c->h1_request;

    c->h1_request = NULL;
    if (x)
        exchange_gone(x);
}

static const struct http1_ops h1_ops = {h1_header, h1_request, h1_body, h1_end, h1_bad};

/* ---- HTTP/2 ---- */

static struct exchange *of_stream(struct h2_stream *s)
{
    return CONTAINER_OF(s, struct exchange, stream);
}

static struct h2_stream *h2_new(void *ctx)
{
    struct exchange *x = exchange_new(ctx, false);

    return x ? &x->stream : NULL;
}

static void note_length(struct exchange *x, struct slice v)
{
    uint64_t n = 0;

    for (size_t i = 0; i < v.len && i < 18; i++)
        n = n * 10 + (uint64_t)(v.p[i] - '0'); /* nghttp2 has checked the digits */
    x->has_length = true;
    x->content_length = v.len > 18 ? UINT64_MAX : n;
}

static void h2_header(void *ctx, struct h2_stream *s, struct slice name, struct slice value)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    if (name.len == 0 || name.p[0] != ':') {
        if (slice_eq(name, slice_str("content-length")))
            note_length(x, value);
        exchange_header(x, name, value);
    } else if (slice_eq(name, slice_str(":method"))) {
        exchange_keep(x->method, sizeof x->method, value);
    } else if (slice_eq(name, slice_str(":path"))) {
        const uint8_t *q = value.len ? memchr(value.p, '?', value.len) : NULL;
        exchange_keep(x->path, sizeof x->path,
                      slice_of(value.p, q ? (size_t)(q - value.p) : value.len));
        if (q && exchange_settings(x)->auth.request_params.n)
            exchange_keep_query(x, slice_of(q + 1, value.len - (size_t)(q - value.p) - 1));
    } else if (slice_eq(name, slice_str(":authority")) && exchange_settings(x)->include_metadata) {
        otlp_meta_add(&x->meta, x->conn->server->host->budget, slice_str("host"), value);
    }
}

static void h2_request(void *ctx, struct h2_stream *s)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    if (!exchange_check(x, x->query ? slice_str(x->query) : slice_of(NULL, 0)))
        return;
    x->state = X_BODY;
    if (x->has_length && x->content_length > OTLP_STREAM_WINDOW)
        h2_expect(s, x->content_length);
}

static void h2_data(void *ctx, struct h2_stream *s, const uint8_t *p, size_t n)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    exchange_body(x, p, n);
    if (x->state == X_BODY && !x->has_length)
        h2_expect(s, OTLP_STREAM_WINDOW);
}

static void h2_end(void *ctx, struct h2_stream *s)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    if (x->state == X_BODY)
        exchange_run(x);
}

static void h2_gone(void *ctx, struct h2_stream *s)
{
    (void)ctx;
    exchange_gone(of_stream(s));
}

static const struct h2_server_ops h2_ops = {
    .on_stream = h2_new,
    .on_header = h2_header,
    .on_request = h2_request,
    .on_data = h2_data,
    .on_end = h2_end,
    .on_gone = h2_gone,
    .on_ping = otlp_conn_on_ping,
};

/* ---- the port ---- */

static const struct otlp_port http_port = {
    .name = "HTTP", .transport = "http", .h2 = &h2_ops, .http1 = &h1_ops, .http1_gone = h1_gone};

/* read_timeout: a request must have arrived whole by then. */
static void on_tick(struct otlp_server *s, uint64_t now_ns)
{
    const struct otlp_http_settings *set = s->settings;
    struct list *at = s->in->reading.next;

    while (set->read_timeout_ns > 0 && at != &s->in->reading) {
        struct ingest_request *r = CONTAINER_OF(at, struct ingest_request, reading);
        at = at->next;
        if (now_ns - r->started_ns > (uint64_t)set->read_timeout_ns) {
            ingest_count_refused(s->in, REFUSED_SLOW, r->len);
            r->evict(r, &ingest_slow_result);
        }
    }
}

static uint64_t ns_of(int64_t ns)
{
    return ns > 0 ? (uint64_t)ns : 0;
}

void otlp_http_init(struct otlp_server *s, struct host *host, struct ingest *in,
                    const struct otlp_http_settings *set)
{
    struct otlp_conn_limits limits = {
        .max_streams = OTLP_DEFAULT_STREAMS,
        .header_ns = ns_of(set->read_header_timeout_ns),
        .write_ns = ns_of(set->write_timeout_ns),
        .idle_ns = ns_of(set->idle_timeout_ns),
        .keep_alives = set->keep_alives_enabled,
    };

    otlp_server_init(s, &http_port, host, in, set, &limits);
    s->on_tick = on_tick;
}
