/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_http: batches to an OTLP backend as HTTP/1.1 POSTs, in protobuf or JSON.
 *
 *   queue -> post (body, head) -> http1_pool -> on_post_done -> what the status means -> queue
 *
 * Each worker has a pool of kept-alive connections to the one origin, at most one per consumer.
 *
 * Order: settings, keys, rules, what an answer means, the post, the head, life, registration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "exporters/exporters.h"
#include "exporters/otlp_common.h"
#include "exporters/otlp_sign.h"
#include "exporters/queue_store.h"
#include "exporters/send_queue.h"
#include "net/dial.h"
#include "net/grpc.h"
#include "net/http1_client.h"
#include "platform/clock.h"

#define DIAL_TIMEOUT_MS 10000
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 2000

struct compression_settings {
    int64_t level;
};

struct otlp_http_settings {
    const char *endpoint;
    const char *traces_endpoint;
    const char *encoding;
    const char *compression;
    struct compression_settings compression_params;
    int64_t timeout_ns;
    struct tls_settings tls;
    struct pair_list headers;
    const char *proxy_url;
    int64_t max_idle_conns;
    int64_t max_idle_conns_per_host;
    int64_t max_conns_per_host;
    int64_t idle_conn_timeout_ns;
    bool disable_keep_alives;
    bool auth_enabled;
    struct auth_client_settings auth;
    bool sending_queue_enabled;
    struct queue_settings sending_queue;
    bool retry_on_failure_enabled;
    struct retry_settings retry_on_failure;
};

static const char *const encodings[] = {"proto", "json", NULL};
static const char *const compressions[] = {"gzip", "zstd", "zlib", "deflate", "snappy", "x-snappy-framed",
                                           "lz4", "none", "", NULL};

static const struct key compression_keys[] = {
    KEY_INT(struct compression_settings, level, "0", 1, 0,
            "gzip, zlib, deflate: -2 to 9; zstd: any. 0 and below: the fast one, the default."),
    KEY_END};

static const struct key otlp_http_keys[] = {
    KEY_STR(struct otlp_http_settings, endpoint, NULL, "Base URL; /v1/traces is appended."),
    KEY_STR(struct otlp_http_settings, traces_endpoint, NULL, "Whole URL for traces, used as it is."),
    KEY_IGNORED("metrics_endpoint", false, "Only traces are sent."),
    KEY_IGNORED("logs_endpoint", false, "Only traces are sent."),
    KEY_IGNORED("profiles_endpoint", false, "Only traces are sent."),
    KEY_ENUM(struct otlp_http_settings, encoding, "proto", encodings, "How requests are encoded."),
    KEY_ENUM(struct otlp_http_settings, compression, "gzip", compressions, "How bodies are compressed."),
    KEY_SECTION(struct otlp_http_settings, compression_params, compression_keys, "How hard they are compressed."),
    {.name = "timeout", .type = KEY_T_DURATION, .offset = KEY_AT(int64_t, struct otlp_http_settings, timeout_ns),
     .dflt = "30s", KEY_ANY, .doc = "One attempt may take this long; 0: as long as it takes."},
    KEY_SECTION(struct otlp_http_settings, tls, tls_client_keys, "TLS, for https:// endpoints."),
    KEY_PAIRS(struct otlp_http_settings, headers, "Sent with every request (X-Scope-OrgID, for one)."),
    KEY_IGNORED("read_buffer_size", false, "Buffers have their own size here."),
    KEY_IGNORED("write_buffer_size", false, "Bodies are written without a buffer."),
    KEY_SECRET(struct otlp_http_settings, proxy_url, NULL,
               "The HTTP proxy that requests go through, http://user:password@host:port. Default: HTTP_PROXY, HTTPS_PROXY and NO_PROXY in "
               "the environment."),
    KEY_INT(struct otlp_http_settings, max_idle_conns, "100", 1, 0, "Connections kept open without a request; 0: no limit."),
    KEY_INT(struct otlp_http_settings, max_idle_conns_per_host, "0", 1, 0, "The same for the one host; 0: one per consumer."),
    KEY_INT(struct otlp_http_settings, max_conns_per_host, "0", 1, 0, "Connections in all; 0: no limit."),
    KEY_DURATION(struct otlp_http_settings, idle_conn_timeout, "90s", 0, 86400e3,
                 "A connection without a request is closed after this; 0: never."),
    KEY_BOOL(struct otlp_http_settings, disable_keep_alives, "false", "A connection for every request."),
    KEY_IGNORED("http2_read_idle_timeout", false, "Endpoints are spoken to in HTTP/1.1."),
    KEY_IGNORED("http2_ping_timeout", false, "Endpoints are spoken to in HTTP/1.1."),
    KEY_IGNORED("force_attempt_http2", false, "Endpoints are spoken to in HTTP/1.1."),
    KEY_NOT_YET("cookies", "Keeps the server's cookies."),
    KEY_OPTIONAL(struct otlp_http_settings, auth, SECTION_OFF, auth_client_keys, "Adds credentials to every request."),
    KEY_NOT_YET("middlewares", "Extensions that see every request."),
    SEND_QUEUE_KEYS(struct otlp_http_settings, SECTION_ON),
    KEY_END};

/* ---- rules between keys ---- */

static bool is_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}

/* The one URL that is posted to. */
static int find_endpoint(const struct otlp_http_settings *set, struct endpoint *e, struct err *err)
{
    size_t n;

    if (is_set(set->traces_endpoint)) {
        if (endpoint_parse_url(set->traces_endpoint, e, err) != 0)
            return err_wrap(err, "traces_endpoint must be a valid URL");
        if (e->path[0] == '\0')
            snprintf(e->path, sizeof(e->path), "/");
        return 0;
    }
    if (!is_set(set->endpoint))
        return err_set(err, "either endpoint or traces_endpoint must be specified");
    if (endpoint_parse_url(set->endpoint, e, err) != 0)
        return err_wrap(err, "endpoint must be a valid URL");
    n = strlen(e->path);
    if (n > 0 && e->path[n - 1] == '/')
        n--;
    if (n + sizeof("/v1/traces") > sizeof(e->path))
        return err_set(err, "endpoint must be a valid URL: path is too long");
    memcpy(e->path + n, "/v1/traces", sizeof("/v1/traces"));
    return 0;
}

static void check_level(const struct otlp_http_settings *set, struct check *c)
{
    int64_t level = set->compression_params.level;
    const char *name = set->compression != NULL ? set->compression : "";

    if (level == 0 || strcmp(name, "zstd") == 0)
        return;
    if (strcmp(name, "gzip") == 0 || strcmp(name, "zlib") == 0 || strcmp(name, "deflate") == 0) {
        if (level < -2 || level > 9)
            check_error(c, "compression_params.level", "unsupported parameters {Level:%lld} for compression type \"%s\"",
                        (long long)level, name);
        return;
    }
    check_error(c, "compression_params.level", "unsupported parameters {Level:%lld} for compression type \"%s\"",
                (long long)level, name);
}

static void otlp_http_check(const void *settings, struct check *c)
{
    const struct otlp_http_settings *set = settings;
    const char *path = is_set(set->traces_endpoint) ? "traces_endpoint" : "endpoint";
    struct endpoint e = {0};
    struct proxy proxy;
    struct err err = {0};

    if (find_endpoint(set, &e, &err) != 0)
        check_error(c, path, "%s", err.text);
    if (is_set(set->proxy_url) && proxy_find(&e, false, set->proxy_url, &proxy, &err) != 0)
        check_error(c, "proxy_url", "%s", err.text);
    tls_client_check(&set->tls, "tls", c);
    if (set->timeout_ns < 0)
        check_error(c, "timeout", "'timeout' must be non-negative");
    if (set->max_idle_conns < 0 || set->max_idle_conns_per_host < 0 || set->max_conns_per_host < 0)
        check_error(c, "max_conns_per_host", "limits of connections must be non-negative");
    check_level(set, c);
    headers_check(&set->headers, c);
    send_queue_check(&set->sending_queue, set->sending_queue_enabled, &set->retry_on_failure, c);
}

/* ---- state ---- */

struct otlp_http {
    struct component base;
    const struct otlp_http_settings *set;
    struct endpoint endpoint;
    struct proxy proxy;
    char url[900];
    struct send_queue *queue;
    struct tls_context *tls; /* NULL: plaintext */
    struct http1_pool *pool;
    struct body_maker *maker;
    struct buf head;            /* with a signer: without the fields */
    struct auth_fields fields;  /* with a signer: what it gets to see */
    struct auth_signer *signer; /* NULL: none */
};

/* One batch as a POST, kept from attempt to attempt. */
struct post {
    struct otlp_http *h;
    struct send *send;
    struct http1_request req;
    struct body body;
    struct signing signing;
    struct buf head; /* with a signer: this attempt's */
};

static struct otlp_http *otlp_http_of(struct component *c)
{
    CHECK(c->type == &otlp_http_exporter_type);
    return CONTAINER_OF(c, struct otlp_http, base);
}

/* ---- what an answer means ---- */

struct verdict {
    struct send_result r;
    char text[1800];
};

static bool field_is(const struct http1_response *resp, const char *name, const char *value)
{
    const char *v = http1_response_field(resp, name);

    return v != NULL && strcmp(v, value) == 0;
}

static void judge_ok(const struct http1_response *resp, struct verdict *v)
{
    bool json = field_is(resp, "content-type", "application/json");
    struct otlp_answer a = {0};

    v->r.outcome = SEND_OK;
    if (!json && !field_is(resp, "content-type", "application/x-protobuf"))
        return;
    if (otlp_answer_parse(resp->body, json, &a) != 0)
        return; /* the status is what counts */
    v->r.rejected_spans = a.rejected_spans;
    snprintf(v->text, sizeof(v->text), "%s", a.message);
    v->r.text = v->text;
}

static void judge_status(const struct otlp_http *h, const struct http1_response *resp, struct verdict *v)
{
    int s = resp->status;
    char message[400] = "";

    if (field_is(resp, "content-type", "application/x-protobuf") || field_is(resp, "content-type", "application/json"))
        status_message_parse(resp->body, field_is(resp, "content-type", "application/json"), message, sizeof(message));
    v->r.outcome = s == 429 || s == 502 || s == 503 || s == 504 ? SEND_RETRY : SEND_PERMANENT;
    v->r.grpc_code = grpc_status_from_http(s);
    if (s == 429 || s == 503)
        v->r.throttled = retry_after_parse(http1_response_field(resp, "retry-after"), clock_wall_ns(), &v->r.hint_ns);
    snprintf(v->text, sizeof(v->text), "error exporting items, request to %s responded with HTTP Status Code %d%s%s",
             h->url, s, message[0] != '\0' ? ", Message=" : "", message);
    v->r.text = v->text;
}

static void judge(const struct otlp_http *h, const struct http1_response *resp, struct verdict *v)
{
    if (resp->end != HTTP1_END_RESPONSE) {
        v->r.outcome = SEND_RETRY;
        v->r.grpc_code = GRPC_UNAVAILABLE;
        snprintf(v->text, sizeof(v->text), "failed to make an HTTP request: Post \"%s\": %s", h->url, resp->reason);
        v->r.text = v->text;
    } else if (resp->status / 100 == 2) {
        judge_ok(resp, v);
    } else {
        judge_status(h, resp, v);
    }
}

/* ---- the post ---- */

/* Fields that nobody else may set: they say where a message goes and where it ends. */
static bool own_field(const char *name)
{
    static const char *const names[] = {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static void on_post_done(struct http1_request *req, const struct http1_response *resp)
{
    struct post *post = req->ctx;
    struct verdict v;

    memset(&v.r, 0, sizeof(v.r));
    v.text[0] = '\0';
    judge(post->h, resp, &v);
    send_done(post->send, &v.r); /* may free the post */
}

static struct post *post_new(struct otlp_http *h, struct send *s)
{
    struct post *post = mem_alloc(sizeof(*post));

    post->h = h;
    post->send = s;
    if (body_make(h->maker, s->batch, &post->body) != 0) {
        free(post);
        return NULL;
    }
    post->req.head = slice_of(h->head.p, h->head.len);
    post->req.body = post->body.iov;
    post->req.n_body = post->body.n_iov;
    post->req.body_len = post->body.len;
    post->req.on_done = on_post_done;
    post->req.ctx = post;
    return post;
}

static void fail_auth(struct post *post, const char *why)
{
    char text[sizeof(((struct err *)0)->text) + 1000];

    snprintf(text, sizeof(text), "failed to make an HTTP request: Post \"%s\": %s", post->h->url, why);
    send_done(post->send, &(struct send_result){.outcome = SEND_RETRY, .grpc_code = GRPC_UNAVAILABLE, .text = text});
}

static void wipe_head(struct post *post)
{
    if (post->head.cap > 0)
        explicit_bzero(post->head.p, post->head.cap);
    buf_clear(&post->head);
}

static void on_signed(void *ctx, const struct err *err)
{
    struct post *post = ctx;
    const struct auth_fields *f = &post->signing.fields;

    if (err != NULL) {
        fail_auth(post, err->text);
        return;
    }
    wipe_head(post);
    buf_put(&post->head, post->h->head.p, post->h->head.len);
    for (size_t i = 0; i < f->n; i++)
        if (!own_field(f->v[i].name))
            buf_putf(&post->head, "%s: %s\r\n", f->v[i].name, f->v[i].value);
    post->req.head = slice_of(post->head.p, post->head.len);
    http1_pool_send(post->h->pool, &post->req);
}

static void otlp_http_send(void *exporter, struct send *s)
{
    static const struct send_result no_memory = {.outcome = SEND_RETRY, .reason = DROP_MEMORY,
                                                 .text = "no memory for the request"};
    struct otlp_http *h = exporter;
    struct post *post = s->state;

    if (post == NULL)
        post = s->state = post_new(h, s);
    if (post == NULL)
        send_done(s, &no_memory);
    else if (h->signer != NULL)
        signing_start(&post->signing, h->signer, &h->fields, s->batch->info, on_signed, post);
    else
        http1_pool_send(h->pool, &post->req);
}

static void otlp_http_abort(void *exporter, struct send *s)
{
    struct otlp_http *h = exporter;
    struct post *post = s->state;

    if (signing_cancel(&post->signing))
        fail_auth(post, "timed out");
    else
        http1_pool_cancel(h->pool, &post->req);
}

static void otlp_http_forget(void *exporter, struct send *s)
{
    struct otlp_http *h = exporter;
    struct post *post = s->state;

    s->state = NULL;
    if (post == NULL)
        return;
    body_free(h->maker, &post->body);
    signing_close(&post->signing);
    wipe_head(post);
    buf_free(&post->head);
    free(post);
}

static const struct send_ops otlp_http_send_ops = {
    .send = otlp_http_send, .abort = otlp_http_abort, .forget = otlp_http_forget,
};

/* ---- the head: the same for every post ---- */

static const char *find_header(const struct pair_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcasecmp(l->v[i].name, name) == 0)
            return l->v[i].value != NULL ? l->v[i].value : "";
    return NULL;
}

/* A field of ours, unless the user has his own. */
static void put_field(struct otlp_http *h, const char *name, const char *value)
{
    const char *own = find_header(&h->set->headers, name);

    auth_fields_set(&h->fields, name, own != NULL ? own : value);
}

static void collect_fields(struct otlp_http *h, enum codec codec)
{
    const struct pair_list *headers = &h->set->headers;
    char *agent = otlp_user_agent();

    put_field(h, "User-Agent", agent);
    put_field(h, "Content-Type",
              strcmp(h->set->encoding, "json") == 0 ? "application/json" : "application/x-protobuf");
    if (codec != CODEC_NONE)
        put_field(h, "Content-Encoding", h->set->compression);
    for (size_t i = 0; i < headers->n; i++)
        if (!own_field(headers->v[i].name) && strcasecmp(headers->v[i].name, "content-encoding") != 0 &&
            auth_fields_get(&h->fields, headers->v[i].name) == NULL)
            auth_fields_set(&h->fields, headers->v[i].name, headers->v[i].value != NULL ? headers->v[i].value : "");
    free(agent);
}

static void make_head(struct otlp_http *h, enum codec codec)
{
    const char *host = find_header(&h->set->headers, "Host");

    /* a proxy is told all of the URL, unless there is a tunnel */
    bool whole = h->proxy.used && h->endpoint.scheme != ENDPOINT_HTTPS;

    buf_putf(&h->head, "POST %s%s%s%s HTTP/1.1\r\nHost: %s\r\n", whole ? "http://" : "", whole ? h->endpoint.authority : "",
             h->endpoint.path[0] == '?' ? "/" : "", h->endpoint.path, host != NULL ? host : h->endpoint.authority);
    if (whole && h->proxy.authorization[0] != '\0')
        buf_putf(&h->head, "Proxy-Authorization: %s\r\n", h->proxy.authorization);
    if (h->set->disable_keep_alives)
        buf_puts(&h->head, "Connection: close\r\n");
    collect_fields(h, codec);
    if (h->set->auth_enabled)
        return;
    for (size_t i = 0; i < h->fields.n; i++)
        buf_putf(&h->head, "%s: %s\r\n", h->fields.v[i].name, h->fields.v[i].value);
    auth_fields_free(&h->fields);
}

/* ---- life ---- */

static enum codec codec_of(const char *name)
{
    static const struct {
        const char *name;
        enum codec codec;
    } codecs[] = {
        {"gzip", CODEC_GZIP},     {"zstd", CODEC_ZSTD},
        {"zlib", CODEC_ZLIB},     {"deflate", CODEC_ZLIB},
        {"snappy", CODEC_SNAPPY}, {"x-snappy-framed", CODEC_SNAPPY_FRAMED},
        {"lz4", CODEC_LZ4},
    };

    for (size_t i = 0; i < ARRAY_LEN(codecs); i++)
        if (name != NULL && strcmp(name, codecs[i].name) == 0)
            return codecs[i].codec;
    return CODEC_NONE;
}

static void make_queue(struct otlp_http *h)
{
    const struct otlp_http_settings *set = h->set;
    struct metric_label labels[3];
    char port[8];
    size_t n = 0;

    snprintf(port, sizeof(port), "%u", h->endpoint.port);
    labels[n++] = (struct metric_label){"server_address", h->endpoint.host};
    if (h->endpoint.port_given)
        labels[n++] = (struct metric_label){"server_port", port};
    labels[n++] = (struct metric_label){"url_path", h->endpoint.path};
    h->queue = send_queue_new(h->base.host, &(struct send_config){
        .queue = set->sending_queue_enabled ? &set->sending_queue : NULL,
        .retry = set->retry_on_failure_enabled ? &set->retry_on_failure : NULL,
        .timeout_ns = set->timeout_ns,
        .labels = labels,
        .n_labels = n,
        .ops = &otlp_http_send_ops,
        .exporter = h,
    });
}

static struct component *otlp_http_create(struct host *host, const void *settings, struct err *err)
{
    const struct otlp_http_settings *set = settings;
    struct otlp_http *h = mem_alloc(sizeof(*h));
    enum codec codec = codec_of(set->compression);

    h->base = (struct component){&otlp_http_exporter_type, host};
    h->set = set;
    if (find_endpoint(set, &h->endpoint, err) != 0 ||
        proxy_find(&h->endpoint, h->endpoint.scheme == ENDPOINT_HTTPS, set->proxy_url, &h->proxy, err) != 0) {
        free(h);
        return NULL;
    }
    snprintf(h->url, sizeof(h->url), "%s://%s%s", h->endpoint.scheme == ENDPOINT_HTTPS ? "https" : "http", h->endpoint.authority, h->endpoint.path);
    h->maker = body_maker_new(host->budget, codec, (int)set->compression_params.level,
                              strcmp(set->encoding, "json") == 0);
    make_head(h, codec);
    make_queue(h);
    return &h->base;
}

static unsigned max_idle(const struct otlp_http_settings *set)
{
    int64_t n = set->max_idle_conns_per_host;

    if (n == 0)
        n = set->sending_queue_enabled ? set->sending_queue.num_consumers : 100;
    if (set->max_idle_conns > 0 && n > set->max_idle_conns)
        n = set->max_idle_conns;
    return n < 10000 ? (unsigned)n : 10000;
}

static int otlp_http_start(struct component *c, struct err *err)
{
    struct otlp_http *h = otlp_http_of(c);

    if (send_queue_open(h->queue, err) != 0)
        return -1;
    if (h->endpoint.scheme == ENDPOINT_HTTPS &&
        (h->tls = otlp_client_tls(&h->set->tls, TLS_ALPN_HTTP1, c->host, err)) == NULL)
        return -1;
    if (h->set->auth_enabled)
        h->signer = auth_signer_open(c->host, h->set->auth.authenticator);
    h->pool = http1_pool_new(&(struct http1_pool_config){
        .loop = c->host->loop,
        .endpoint = h->endpoint,
        .tls = h->tls,
        .proxy = h->proxy,
        .budget = c->host->budget,
        .max_conns = h->set->max_conns_per_host < 10000 ? (unsigned)h->set->max_conns_per_host : 10000,
        .max_idle = max_idle(h->set),
        .keep_alive = !h->set->disable_keep_alives,
        .idle_timeout_ms = (uint64_t)h->set->idle_conn_timeout_ns / NS_PER_MS,
        .dial_timeout_ms = DIAL_TIMEOUT_MS,
        .backoff_first_ms = BACKOFF_FIRST_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
    });
    return 0;
}

static void otlp_http_push(struct component *c, struct batch **take)
{
    send_queue_push(otlp_http_of(c)->queue, take);
}

static void on_pool_closed(void *ctx)
{
    struct otlp_http *h = ctx;

    host_drained(h->base.host);
}

static void on_queue_drained(void *exporter)
{
    struct otlp_http *h = exporter;

    if (h->pool != NULL)
        http1_pool_close(&h->pool, on_pool_closed, h);
    else
        host_drained(h->base.host);
}

static void otlp_http_drain(struct component *c)
{
    send_queue_drain(otlp_http_of(c)->queue, on_queue_drained);
}

static void otlp_http_destroy(struct component **c)
{
    struct otlp_http *h = otlp_http_of(*c);

    *c = NULL;
    if (h->pool != NULL)
        http1_pool_close(&h->pool, NULL, NULL);
    tls_context_free(&h->tls);
    send_queue_free(&h->queue);
    auth_signer_close(&h->signer);
    auth_fields_free(&h->fields);
    body_maker_free(&h->maker);
    buf_free(&h->head);
    free(h);
}

static uint64_t otlp_http_held(const struct component *c)
{
    return send_queue_held_spans(CONTAINER_OF(c, const struct otlp_http, base)->queue);
}

static bool otlp_http_overflows(const void *settings)
{
    const struct otlp_http_settings *s = settings;

    return s->sending_queue_enabled && !s->sending_queue.block_on_overflow;
}

static enum room otlp_http_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    return send_queue_room(CONTAINER_OF(c, const struct otlp_http, base)->queue, n_spans, n_bytes);
}

static size_t otlp_http_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    const struct otlp_http_settings *s = settings;

    return queue_store_memory(&s->sending_queue, s->sending_queue_enabled, n_workers, terms, max);
}

const struct component_type otlp_http_exporter_type = {
    .kind = EXPORTER, .name = "otlp_http", .old_name = "otlphttp", .stability = "stable",
    .summary = "Sends traces to an OTLP backend over HTTP.",
    .keys = otlp_http_keys, .settings_size = sizeof(struct otlp_http_settings),
    .metrics = send_queue_metrics, .mutates = false,
    .check = otlp_http_check, .memory = otlp_http_memory,
    .shared_create = send_shared_create, .shared_destroy = send_shared_destroy,
    .create = otlp_http_create, .start = otlp_http_start, .push = otlp_http_push,
    .drain = otlp_http_drain, .destroy = otlp_http_destroy, .held = otlp_http_held,
    .room = otlp_http_room, .overflows = otlp_http_overflows,
};
