/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/HTTP. An exchange is one request and its answer, the same over HTTP/1.1 and HTTP/2:
 *
 *   headers -> checks -> BODY -> ingest -> answer
 *
 * Order of the checks: CORS preflight, encoding, path, method, content type, size, memory. Every
 * error has a google.rpc.Status as its body, in the request's own format (JSON when that is
 * unknown).
 *
 * Life: an HTTP/2 exchange ends with its stream. An HTTP/1.1 connection keeps its exchange until
 * the next request begins. Either way it stays while the pipelines have not answered.
 */
#include "receivers/otlp_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "model/otlp_json.h"
#include "platform/clock.h"
#include "receivers/otlp_cors.h"
#include "receivers/otlp_meta.h"

#define MAX_VALUE 1024u /* of a header value that we look at */

enum exchange_state { X_HEADERS, X_BODY, X_RUNNING, X_ANSWERED };
enum content { CONTENT_NONE, CONTENT_PROTOBUF, CONTENT_JSON, CONTENT_OTHER };

struct exchange {
    struct h2_stream stream; /* first; unused on HTTP/1.1 */
    struct ingest_request ing;
    struct otlp_conn *conn; /* NULL: the connection or stream is gone */
    bool on_h1, counted;
    enum exchange_state state;

    char method[16], path[256]; /* cut: then they match nothing of ours */
    enum content content;
    bool has_length;
    uint64_t content_length;
    char *encoding, *origin, *cors_method, *cors_headers; /* NULL: absent */
    struct otlp_meta meta;

    struct arena *arena; /* of the answer; NULL while it is made of constants */
    struct buf body;
    struct h2_field h2_fields[OTLP_MAX_FIELDS + 2];
};

static const struct otlp_http_settings *settings_of(const struct exchange *x)
{
    return x->conn->server->settings;
}

/* ---- life ---- */

static void on_done(struct ingest_request *r, const struct ingest_result *res);
static void on_evict(struct ingest_request *r);

static struct exchange *exchange_new(struct otlp_conn *c, bool on_h1)
{
    struct exchange *x;

    if (!otlp_conn_add_request(c)) {
        ingest_count_refused(c->server->in, REFUSED_MEMORY, 0);
        return NULL;
    }
    x = ingest_take_memory(c->server->in, sizeof *x);
    x->conn = c;
    x->on_h1 = on_h1;
    x->counted = true;
    x->ing.done = on_done;
    x->ing.evict = on_evict;
    ingest_request_init(&x->ing, c->server->in);
    return x;
}

static void release_if_over(struct exchange *x)
{
    if (x->conn || x->ing.waiting)
        return;
    otlp_meta_free(&x->meta);
    arena_free(&x->arena);
    buf_free(&x->body);
    free(x->encoding);
    free(x->origin);
    free(x->cors_method);
    free(x->cors_headers);
    ingest_give_memory(x->ing.in, x);
}

/* No longer a request under way. */
static void uncount(struct exchange *x)
{
    if (x->counted)
        otlp_conn_remove_request(x->conn);
    x->counted = false;
}

static void exchange_gone(struct exchange *x)
{
    uncount(x);
    body_drop(&x->ing);
    x->conn = NULL;
    release_if_over(x);
}

/* ---- answers ---- */

static struct arena *arena_of(struct exchange *x)
{
    if (!x->arena)
        x->arena = arena_new();
    return x->arena;
}

static const char *content_name(const struct exchange *x)
{
    return x->content == CONTENT_PROTOBUF ? "application/x-protobuf" : "application/json";
}

static void common_fields(struct exchange *x, struct otlp_fields *f)
{
    const struct otlp_http_settings *set = settings_of(x);

    for (size_t i = 0; i < set->response_headers.n; i++)
        otlp_fields_add(f, set->response_headers.v[i].name, set->response_headers.v[i].value);
    if (otlp_cors_on(set) && strcmp(x->method, "OPTIONS") != 0)
        otlp_cors_actual(&set->cors, x->origin, f, arena_of(x));
}

static void send_h2(struct exchange *x, int status, const char *type, const struct otlp_fields *f,
                    struct slice body)
{
    size_t n = 0;

    if (type)
        x->h2_fields[n++] = (struct h2_field){slice_str("content-type"), slice_str(type)};
    for (size_t i = 0; i < f->n; i++) {
        char *name = arena_dup_n(arena_of(x), f->v[i].name, strlen(f->v[i].name));
        for (char *c = name; *c; c++)
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        x->h2_fields[n++] = (struct h2_field){slice_str(name), slice_str(f->v[i].value)};
    }
    h2_respond(&x->stream, status, x->h2_fields, n, body, NULL, 0);
}

/* The exchange may be gone when this returns. body and type must live as long as it. */
static void send_answer(struct exchange *x, int status, const char *type, struct otlp_fields *f,
                        struct slice body)
{
    struct otlp_conn *c = x->conn;
    struct http1_field fields[OTLP_MAX_FIELDS];

    common_fields(x, f);
    x->state = X_ANSWERED;
    body_drop(&x->ing);
    if (!x->on_h1) {
        send_h2(x, status, type, f, body);
    } else {
        for (size_t i = 0; i < f->n; i++)
            fields[i] = (struct http1_field){f->v[i].name, f->v[i].value};
        bool last = status == 408 || c->server->draining || !c->server->limits.keep_alives;
        uncount(x);
        http1_respond(c->h1, status, type, fields, f->n, body, last);
    }
    otlp_conn_flush_later(c);
}

static void answer_good(struct exchange *x, const struct ingest_result *res)
{
    static const char proto[] = "\x0a\x00", json[] = "{\"partialSuccess\":{}}";
    struct otlp_fields f = {0};
    struct slice body = x->content == CONTENT_JSON ? slice_of(json, sizeof json - 1)
                                                   : slice_of(proto, sizeof proto - 1);

    if (res->rejected_spans) {
        if (x->content != CONTENT_JSON)
            ingest_response(&x->body, res);
        else if (otlp_json_response(&x->body, res->rejected_spans, res->text) != 0)
            buf_clear(&x->body);
        if (x->body.len)
            body = slice_of(x->body.p, x->body.len);
    }
    send_answer(x, 200, content_name(x), &f, body);
}

static void answer_error(struct exchange *x, int status, const struct ingest_result *res,
                         struct otlp_fields *f)
{
    uint64_t retry_ms = res->has_retry ? res->retry_after_ms : 0;

    if (res->has_retry)
        otlp_fields_add(
            f, "retry-after",
            arena_printf(arena_of(x), "%llu",
                         (unsigned long long)(retry_ms <= 1000 ? 1 : (retry_ms + 999) / 1000)));
    if (x->content == CONTENT_PROTOBUF)
        grpc_status_encode(&x->body, res->code, slice_str(res->text), res->has_retry, retry_ms);
    else if (otlp_json_status(&x->body, res->code, res->text, retry_ms) != 0)
        buf_clear(&x->body);
    send_answer(x, status, content_name(x), f, slice_of(x->body.p, x->body.len));
}

static void answer_result(struct exchange *x, const struct ingest_result *res)
{
    struct otlp_fields f = {0};

    answer_error(x, res->http_status ? res->http_status : grpc_code_to_http(res->code), res, &f);
}

static void refuse(struct exchange *x, enum refusal why, int status, int code, const char *text)
{
    struct ingest_result res = {.code = code, .http_status = status, .text = text};

    if (why != REFUSALS)
        ingest_count_refused(x->ing.in, why, x->ing.len ? x->ing.len : x->content_length);
    answer_result(x, &res);
}

static void refuse_memory(struct exchange *x)
{
    ingest_count_refused(x->ing.in, REFUSED_MEMORY, x->ing.len ? x->ing.len : x->content_length);
    answer_result(x, &ingest_memory_result);
}

static void on_done(struct ingest_request *r, const struct ingest_result *res)
{
    struct exchange *x = CONTAINER_OF(r, struct exchange, ing);

    if (!x->conn)
        release_if_over(x);
    else if (res->code == GRPC_OK)
        answer_good(x, res);
    else
        answer_result(x, res);
}

static void on_evict(struct ingest_request *r)
{
    struct exchange *x = CONTAINER_OF(r, struct exchange, ing);

    body_drop(r);
    if (x->conn && x->state < X_RUNNING)
        answer_result(x, &ingest_slow_result);
}

/* ---- headers ---- */

static bool is(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp((const char *)s.p, text, s.len) == 0;
}

static void keep_text(char **dst, struct slice v)
{
    if (!*dst) /* the first line counts */
        *dst = mem_dup_n((const char *)v.p, v.len < MAX_VALUE ? v.len : MAX_VALUE);
}

/* Into a field of n bytes; too long becomes "". */
static void keep_short(char *dst, size_t n, struct slice v)
{
    size_t len = v.len < n ? v.len : 0;

    if (len)
        memcpy(dst, v.p, len);
    dst[len] = '\0';
}

static void note_content_type(struct exchange *x, struct slice v)
{
    const uint8_t *semi = v.len ? memchr(v.p, ';', v.len) : NULL;

    if (semi)
        v.len = (size_t)(semi - v.p);
    while (v.len && (v.p[v.len - 1] == ' ' || v.p[v.len - 1] == '\t'))
        v.len--;
    if (x->content == CONTENT_NONE)
        x->content = is(v, "application/x-protobuf") ? CONTENT_PROTOBUF
                     : is(v, "application/json")     ? CONTENT_JSON
                                                     : CONTENT_OTHER;
}

static void note_header(struct exchange *x, struct slice name, struct slice value)
{
    switch (name.len) {
    case 6:
        if (is(name, "origin"))
            keep_text(&x->origin, value);
        break;
    case 12:
        if (is(name, "content-type"))
            note_content_type(x, value);
        break;
    case 16:
        if (is(name, "content-encoding"))
            keep_text(&x->encoding, value);
        break;
    case 29:
        if (is(name, "access-control-request-method"))
            keep_text(&x->cors_method, value);
        break;
    case 30:
        if (is(name, "access-control-request-headers"))
            keep_text(&x->cors_headers, value);
        break;
    default:
        break;
    }
    if (settings_of(x)->include_metadata)
        otlp_meta_add(&x->meta, name, value);
}

/* ---- checks ---- */

static bool listed(const struct str_list *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcasecmp(l->v[i], s) == 0)
            return true;
    return false;
}

/* False: answered. An empty list means bodies are taken as they are. */
static bool check_encoding(struct exchange *x)
{
    const struct str_list *allowed = &settings_of(x)->compression_algorithms;
    const char *name = x->encoding ? x->encoding : "";
    char text[128];

    if (allowed->n == 0 || !*name || strcasecmp(name, "identity") == 0)
        return true;
    x->ing.codec = listed(allowed, name) ? codec_of_http(slice_str(name)) : CODEC_UNKNOWN;
    if (x->ing.codec != CODEC_UNKNOWN)
        return true;
    x->ing.codec = CODEC_NONE;
    snprintf(text, sizeof text, "unsupported Content-Encoding: %.64s", name);
    refuse(x, REFUSED_COMPRESSION, 400, GRPC_INVALID_ARGUMENT, text);
    return false;
}

static bool path_is(const struct exchange *x, const char *setting)
{
    return strcmp(x->path, setting) == 0 ||
           (setting[0] != '/' && x->path[0] == '/' && strcmp(x->path + 1, setting) == 0);
}

static void answer_not_found(struct exchange *x)
{
    const struct otlp_http_settings *set = settings_of(x);
    bool other = path_is(x, set->metrics_url_path) || path_is(x, set->logs_url_path) ||
                 path_is(x, "/v1development/profiles");

    refuse(x, REFUSALS, 404, GRPC_UNIMPLEMENTED,
           other ? "only traces are supported here" : "404 page not found");
}

static void answer_method(struct exchange *x)
{
    struct ingest_result res = {.code = GRPC_UNIMPLEMENTED,
                                .text = "405 method not allowed, supported: [POST]"};
    struct otlp_fields f = {0};

    otlp_fields_add(&f, "allow", "POST");
    answer_error(x, 405, &res, &f);
}

static void answer_preflight(struct exchange *x)
{
    struct otlp_fields f = {0};

    otlp_cors_preflight(&settings_of(x)->cors, x->origin, x->cors_method, x->cors_headers, &f,
                        arena_of(x));
    send_answer(x, 204, NULL, &f, slice_of(NULL, 0));
}

/* True: the body may come. False: answered. */
static bool check_head(struct exchange *x)
{
    const struct otlp_http_settings *set = settings_of(x);

    if (otlp_cors_on(set) && strcmp(x->method, "OPTIONS") == 0 && x->cors_method)
        answer_preflight(x);
    else if (!check_encoding(x))
        return false;
    else if (!path_is(x, set->traces_url_path))
        answer_not_found(x);
    else if (strcmp(x->method, "POST") != 0)
        answer_method(x);
    else if (x->content != CONTENT_PROTOBUF && x->content != CONTENT_JSON)
        refuse(x, REFUSED_PROTOCOL, 415, GRPC_INVALID_ARGUMENT,
               "415 unsupported media type, supported: [application/json, application/x-protobuf]");
    else if (x->content_length > x->ing.in->max_bytes)
        refuse(x, REFUSED_TOO_LARGE, 413, GRPC_INVALID_ARGUMENT, "request body too large");
    else if (!body_open(&x->ing, (size_t)x->content_length, x->has_length))
        refuse_memory(x);
    else
        return true;
    return false;
}

/* ---- body ---- */

static void take_body(struct exchange *x, const uint8_t *p, size_t n)
{
    if (x->state != X_BODY)
        return;
    switch (body_add(&x->ing, p, n)) {
    case BODY_OK:
        break;
    case BODY_TOO_LARGE:
        refuse(x, REFUSED_TOO_LARGE, 413, GRPC_INVALID_ARGUMENT, "request body too large");
        break;
    case BODY_NO_MEMORY:
        refuse_memory(x);
        break;
    }
}

static void run(struct exchange *x)
{
    x->state = X_RUNNING;
    x->ing.json = x->content == CONTENT_JSON;
    if (settings_of(x)->include_metadata)
        x->ing.info = otlp_meta_take(&x->meta, conn_peer_ip(x->conn->conn));
    ingest_run(&x->ing);
}

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
    note_header(h1_exchange(ctx), name, value);
}

static void h1_request(void *ctx, const struct http1_head *head)
{
    struct otlp_conn *c = ctx;
    struct exchange *x = h1_exchange(c);

    keep_short(x->method, sizeof x->method, head->method);
    keep_short(x->path, sizeof x->path, head->path);
    x->has_length = !head->chunked;
    x->content_length = head->content_length;
    if (!check_head(x))
        return;
    x->state = X_BODY;
    http1_continue(c->h1);
}

static void h1_body(void *ctx, const uint8_t *p, size_t n)
{
    take_body(((struct otlp_conn *)ctx)->h1_request, p, n);
}

static void h1_end(void *ctx)
{
    run(((struct otlp_conn *)ctx)->h1_request);
}

static void h1_bad(void *ctx, int status, const char *text)
{
    struct exchange *x = h1_exchange(ctx);

    refuse(x, REFUSED_PROTOCOL, status, grpc_status_from_http(status), text);
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
        if (is(name, "content-length"))
            note_length(x, value);
        note_header(x, name, value);
    } else if (is(name, ":method")) {
        keep_short(x->method, sizeof x->method, value);
    } else if (is(name, ":path")) {
        const uint8_t *q = value.len ? memchr(value.p, '?', value.len) : NULL;
        keep_short(x->path, sizeof x->path,
                   slice_of(value.p, q ? (size_t)(q - value.p) : value.len));
    } else if (is(name, ":authority") && settings_of(x)->include_metadata) {
        otlp_meta_add(&x->meta, slice_str("host"), value);
    }
}

static void h2_request(void *ctx, struct h2_stream *s)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    if (!check_head(x))
        return;
    x->state = X_BODY;
    if (x->has_length && x->content_length > OTLP_STREAM_WINDOW)
        h2_expect(s, x->content_length);
}

static void h2_data(void *ctx, struct h2_stream *s, const uint8_t *p, size_t n)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    take_body(x, p, n);
    if (x->state == X_BODY && !x->has_length)
        h2_expect(s, OTLP_STREAM_WINDOW);
}

static void h2_end(void *ctx, struct h2_stream *s)
{
    struct exchange *x = of_stream(s);

    (void)ctx;
    if (x->state == X_BODY)
        run(x);
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
    .name = "HTTP", .h2 = &h2_ops, .http1 = &h1_ops, .http1_gone = h1_gone};

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
            r->evict(r);
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
