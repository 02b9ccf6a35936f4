/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One OTLP/HTTP request and its answer. See otlp_exchange.h.
 *
 * Order of the checks: CORS preflight, credentials, encoding, path, method, content type, size, memory. Every
 * error has a google.rpc.Status as its body, in the request's own format (JSON when that is
 * unknown).
 */
#include "receivers/otlp_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "model/otlp_json.h"

#define MAX_VALUE 1024u /* of a header value that we look at */

const struct otlp_http_settings *exchange_settings(const struct exchange *x)
{
    return x->conn->server->settings;
}

/* ---- life ---- */

static void on_done(struct ingest_request *r, const struct ingest_result *res);
static void on_evict(struct ingest_request *r, const struct ingest_result *why);

struct exchange *exchange_new(struct otlp_conn *c, bool on_h1)
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
    x->ing.share = otlp_conn_share(c);
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
    free(x->query);
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

void exchange_gone(struct exchange *x)
{
    uncount(x);
    body_drop(&x->ing);
    otlp_auth_free(&x->auth);
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
    const struct otlp_http_settings *set = exchange_settings(x);

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
        bool last = x->evicted || otlp_conn_struck_out(c) || c->server->draining || !c->server->limits.keep_alives;
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

void exchange_refuse(struct exchange *x, enum refusal why, int status, int code, const char *text)
{
    struct ingest_result res = {.code = code, .http_status = status, .text = text};

    if (why != REFUSALS)
        ingest_count_refused(x->ing.in, why, x->ing.len ? x->ing.len : x->content_length);
    answer_result(x, &res);
}

static void refuse_body(struct exchange *x, enum refusal why, const struct ingest_result *res)
{
    ingest_count_refused(x->ing.in, why, x->ing.len ? x->ing.len : x->content_length);
    answer_result(x, res);
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

static void on_evict(struct ingest_request *r, const struct ingest_result *why)
{
    struct exchange *x = CONTAINER_OF(r, struct exchange, ing);

    body_drop(r);
    if (x->conn && x->state < X_RUNNING) {
        x->evicted = true;
        answer_result(x, why);
    }
}

/* ---- headers ---- */

static bool is(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp((const char *)s.p, text, s.len) == 0;
}

static struct budget *budget_of(const struct exchange *x)
{
    return x->conn->server->host->budget;
}

static void keep_text(struct exchange *x, char **dst, struct slice v)
{
    size_t n = v.len < MAX_VALUE ? v.len : MAX_VALUE;

    if (!*dst && otlp_meta_charge(&x->meta, budget_of(x), n)) /* the first line counts */
        *dst = mem_dup_n((const char *)v.p, n);
}

static void keep_for_cors(struct exchange *x, char **dst, struct slice v)
{
    if (otlp_cors_on(exchange_settings(x)))
        keep_text(x, dst, v);
}

void exchange_keep(char *dst, size_t n, struct slice v)
{
    size_t len = v.len < n ? v.len : 0;

    if (len)
        memcpy(dst, v.p, len);
    dst[len] = '\0';
}

void exchange_keep_query(struct exchange *x, struct slice query)
{
    if (!x->query && otlp_meta_charge(&x->meta, budget_of(x), query.len))
        x->query = mem_dup_n((const char *)query.p, query.len);
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

void exchange_header(struct exchange *x, struct slice name, struct slice value)
{
    switch (name.len) {
    case 6:
        if (is(name, "origin"))
            keep_for_cors(x, &x->origin, value);
        break;
    case 12:
        if (is(name, "content-type"))
            note_content_type(x, value);
        break;
    case 16:
        if (is(name, "content-encoding"))
            keep_text(x, &x->encoding, value);
        break;
    case 29:
        if (is(name, "access-control-request-method"))
            keep_for_cors(x, &x->cors_method, value);
        break;
    case 30:
        if (is(name, "access-control-request-headers"))
            keep_for_cors(x, &x->cors_headers, value);
        break;
    default:
        break;
    }
    if (x->conn->server->door)
        otlp_auth_header(x->conn->server->door, &x->auth, budget_of(x), name, value);
    if (exchange_settings(x)->include_metadata)
        otlp_meta_add(&x->meta, budget_of(x), name, value);
}

/* ---- credentials ---- */

static void refuse_client(struct exchange *x)
{
    const struct auth_door *d = x->conn->server->door;
    struct ingest_result res = otlp_auth_result(x->auth);
    struct otlp_fields f = {0};

    otlp_conn_refused(x->conn);
    ingest_count_refused(x->ing.in, REFUSED_AUTH, x->ing.len ? x->ing.len : x->content_length);
    if (!x->auth->check.busy)
        otlp_fields_add(&f, "www-authenticate", d->ops->challenge(d));
    answer_error(x, grpc_code_to_http(res.code), &res, &f);
}

static void run(struct exchange *x);

/* The verdict on a request whose connection still lives; it may have been answered for another reason. */
static void on_verdict(void *owner)
{
    struct exchange *x = owner;

    if (x->state >= X_RUNNING)
        return;
    if (x->auth->check.verdict != AUTH_OK) {
        refuse_client(x);
        return;
    }
    otlp_conn_passed(x->conn);
    if (x->auth->whole) {
        run(x);
    } else if (x->on_h1) {
        http1_continue(x->conn->h1);
        otlp_conn_flush_later(x->conn);
    }
}

/* False: answered. */
static bool ask(struct exchange *x, struct slice query)
{
    struct auth_door *d = x->conn->server->door;

    if (!d)
        return true;
    otlp_auth_query(d, &x->auth, budget_of(x), &exchange_settings(x)->auth.request_params, query);
    switch (otlp_auth_ask(d, &x->auth, on_verdict, x)) {
    case AUTH_REFUSED:
        refuse_client(x);
        return false;
    case AUTH_OK:
        otlp_conn_passed(x->conn);
        break;
    case AUTH_LATER:
        break;
    }
    return true;
}

bool exchange_trusted(const struct exchange *x)
{
    return !x->auth || !x->auth->waiting;
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
    const struct str_list *allowed = &exchange_settings(x)->compression_algorithms;
    const char *name = x->encoding ? x->encoding : "";
    char text[128];

    if (allowed->n == 0 || !*name || strcasecmp(name, "identity") == 0)
        return true;
    x->ing.codec = listed(allowed, name) ? codec_of_http(slice_str(name)) : CODEC_UNKNOWN;
    if (x->ing.codec != CODEC_UNKNOWN)
        return true;
    x->ing.codec = CODEC_NONE;
    snprintf(text, sizeof text, "unsupported Content-Encoding: %.64s", name);
    exchange_refuse(x, REFUSED_COMPRESSION, 400, GRPC_INVALID_ARGUMENT, text);
    return false;
}

static bool path_is(const struct exchange *x, const char *setting)
{
    return strcmp(x->path, setting) == 0 ||
           (setting[0] != '/' && x->path[0] == '/' && strcmp(x->path + 1, setting) == 0);
}

static void answer_not_found(struct exchange *x)
{
    const struct otlp_http_settings *set = exchange_settings(x);
    bool other = path_is(x, set->metrics_url_path) || path_is(x, set->logs_url_path) ||
                 path_is(x, "/v1development/profiles");

    exchange_refuse(x, REFUSALS, 404, GRPC_UNIMPLEMENTED,
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

    otlp_cors_preflight(&exchange_settings(x)->cors, x->origin, x->cors_method, x->cors_headers, &f,
                        arena_of(x));
    send_answer(x, 204, NULL, &f, slice_of(NULL, 0));
}

bool exchange_check(struct exchange *x, struct slice query)
{
    const struct otlp_http_settings *set = exchange_settings(x);

    if (x->meta.refused)
        refuse_body(x, REFUSED_MEMORY, &ingest_memory_result);
    else if (otlp_cors_on(set) && strcmp(x->method, "OPTIONS") == 0 && x->cors_method)
        answer_preflight(x);
    else if (!ask(x, query) || !check_encoding(x))
        return false;
    else if (!path_is(x, set->traces_url_path))
        answer_not_found(x);
    else if (strcmp(x->method, "POST") != 0)
        answer_method(x);
    else if (x->content != CONTENT_PROTOBUF && x->content != CONTENT_JSON)
        exchange_refuse(
            x, REFUSED_PROTOCOL, 415, GRPC_INVALID_ARGUMENT,
            "415 unsupported media type, supported: [application/json, application/x-protobuf]");
    else if (x->content_length > x->ing.in->max_bytes)
        exchange_refuse(x, REFUSED_TOO_LARGE, 413, GRPC_INVALID_ARGUMENT, "request body too large");
    else if (!body_open(&x->ing, (size_t)x->content_length, x->has_length))
        refuse_body(x, x->ing.refused, ingest_refusal(&x->ing));
    else
        return true;
    return false;
}

/* ---- body ---- */

void exchange_body(struct exchange *x, const uint8_t *p, size_t n)
{
    if (x->state != X_BODY)
        return;
    switch (body_add(&x->ing, p, n)) {
    case BODY_OK:
        break;
    case BODY_TOO_LARGE:
        exchange_refuse(x, REFUSED_TOO_LARGE, 413, GRPC_INVALID_ARGUMENT, "request body too large");
        break;
    case BODY_NO_MEMORY:
        refuse_body(x, REFUSED_MEMORY, &ingest_memory_result);
        break;
    }
}

static void run(struct exchange *x)
{
    x->state = X_RUNNING;
    x->ing.json = x->content == CONTENT_JSON;
    x->ing.info = otlp_conn_info(x->conn, exchange_settings(x)->include_metadata ? &x->meta : NULL, x->auth);
    ingest_run(&x->ing);
}

void exchange_run(struct exchange *x)
{
    if (exchange_trusted(x))
        run(x);
    else
        x->auth->whole = true;
}
