/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_grpc: batches to an OTLP backend as unary gRPC calls.
 *
 *   queue -> call (body, header fields) -> h2_channel -> on_call_done -> what the status means -> queue
 *
 * Each worker has one channel (one connection per backend address) and runs its share of num_consumers
 * calls as streams of it. An uncompressed body is the batch's own bytes, never copied.
 *
 * Order: settings, keys, the call, what an answer means, header fields, life, registration.
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
#include "net/h2_channel.h"
#include "platform/clock.h"

#define EXPORT_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define DIAL_TIMEOUT_MS 20000
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS 10000
#define PING_MIN_NS (10 * (int64_t)NS_PER_SEC)
#define FIXED_FIELDS 10

struct keepalive_settings {
    int64_t time_ns;
    int64_t timeout_ns;
    bool permit_without_stream;
};

struct otlp_grpc_settings {
    const char *endpoint;
    const char *compression;
    struct tls_settings tls;
    bool keepalive_enabled;
    struct keepalive_settings keepalive;
    bool wait_for_ready;
    struct pair_list headers;
    const char *user_agent;
    const char *balancer_name;
    const char *authority;
    bool auth_enabled;
    struct auth_client_settings auth;
    int64_t timeout_ns;
    bool sending_queue_enabled;
    struct queue_settings sending_queue;
    bool retry_on_failure_enabled;
    struct retry_settings retry_on_failure;
};

static const char *const compressions[] = {"gzip", "snappy", "zstd", "none", "", NULL};
static const char *const balancers[] = {"round_robin", "pick_first", NULL};

static const struct key keepalive_keys[] = {
    KEY_DURATION(struct keepalive_settings, time, "0s", 0, 86400e3,
                 "A PING after this long without data from the server, at least 10s; 0: never."),
    KEY_DURATION(struct keepalive_settings, timeout, "0s", 0, 86400e3,
                 "The connection is given up when the PING is not answered within this; 0: 20s."),
    KEY_BOOL(struct keepalive_settings, permit_without_stream, "false", "PINGs also while nothing is being sent."),
    KEY_END};

static const struct key otlp_grpc_keys[] = {
    KEY_STR(struct otlp_grpc_settings, endpoint, NULL,
            "Where to send: host:port, http://host:port, dns:///host:port, passthrough:///host:port or unix:///path."),
    KEY_ENUM(struct otlp_grpc_settings, compression, "gzip", compressions, "How bodies are compressed."),
    KEY_SECTION(struct otlp_grpc_settings, tls, tls_client_keys, "TLS, on unless insecure."),
    KEY_OPTIONAL(struct otlp_grpc_settings, keepalive, SECTION_OFF, keepalive_keys,
                 "Finds out about connections that died without a word."),
    KEY_IGNORED("read_buffer_size", false, "Buffers have their own size here."),
    KEY_IGNORED("write_buffer_size", false, "Bodies are written without a buffer."),
    KEY_BOOL(struct otlp_grpc_settings, wait_for_ready, "false",
             "An attempt waits for a connection until its timeout instead of failing at once."),
    KEY_PAIRS(struct otlp_grpc_settings, headers, "Sent as metadata with every request (X-Scope-OrgID, for one)."),
    KEY_STR(struct otlp_grpc_settings, user_agent, NULL, "Default: tailrace/VERSION (linux/ARCH)."),
    KEY_ENUM(struct otlp_grpc_settings, balancer_name, "round_robin", balancers,
             "round_robin: a connection to every address of the name, in turn; pick_first: one connection."),
    KEY_STR(struct otlp_grpc_settings, authority, NULL, "The :authority field. Default: from endpoint."),
    KEY_OPTIONAL(struct otlp_grpc_settings, auth, SECTION_OFF, auth_client_keys, "Adds credentials to every request."),
    KEY_NOT_YET("middlewares", "Extensions that see every request."),
    {.name = "timeout", .type = KEY_T_DURATION, .offset = KEY_AT(int64_t, struct otlp_grpc_settings, timeout_ns),
     .dflt = "5s", KEY_ANY, .doc = "One attempt may take this long; 0: as long as it takes."},
    SEND_QUEUE_KEYS(struct otlp_grpc_settings, SECTION_ON),
    KEY_END};

static bool is_set(const char *s)
{
    return s != NULL && s[0] != '\0';
}

static void otlp_grpc_check(const void *settings, struct check *c)
{
    const struct otlp_grpc_settings *set = settings;
    struct endpoint e;
    struct err err = {0};

    if (endpoint_parse_grpc(set->endpoint, &e, &err) != 0)
        check_error(c, "endpoint", "%s", err.text);
    tls_client_check(&set->tls, "tls", c);
    if (set->timeout_ns < 0)
        check_error(c, "timeout", "'timeout' must be non-negative");
    headers_check(&set->headers, c);
    send_queue_check(&set->sending_queue, set->sending_queue_enabled, &set->retry_on_failure, c);
}

/* ---- state ---- */

struct otlp_grpc {
    struct component base;
    const struct otlp_grpc_settings *set;
    struct endpoint endpoint;
    struct proxy proxy;
    enum codec codec;
    struct send_queue *queue;
    struct tls_context *tls; /* NULL: plaintext */
    struct h2_channel *channel;
    struct body_maker *maker;
    struct decompressor *decompressor; /* made when a server first compresses its answer */
    struct arena *arena;               /* header fields */
    struct h2_header *headers;
    size_t n_headers;
    struct auth_signer *signer; /* NULL: none */
};

/* One batch as a call, kept from attempt to attempt. */
struct call {
    struct otlp_grpc *g;
    struct send *send;
    struct h2_request req;
    struct body body;
    struct signing signing;
    struct h2_header *secrets; /* of signing.fields */
};

static struct otlp_grpc *otlp_grpc_of(struct component *c)
{
    CHECK(c->type == &otlp_grpc_exporter_type);
    return CONTAINER_OF(c, struct otlp_grpc, base);
}

/* ---- what an answer means ---- */

struct verdict {
    struct send_result r;
    char text[600];
};

static void set_failed(struct verdict *v, int code, bool retry, const char *message)
{
    v->r.outcome = retry ? SEND_RETRY : SEND_PERMANENT;
    v->r.grpc_code = code;
    snprintf(v->text, sizeof(v->text), "rpc error: code = %s desc = %s", grpc_code_name(code), message);
    v->r.text = v->text;
}

static const char *field(const struct h2_response *resp, const char *name)
{
    const char *v = h2_response_field(resp, name);

    return v != NULL ? v : "";
}

/* RetryInfo of grpc-status-details-bin, when there is one. */
static bool retry_info(const struct h2_response *resp, uint64_t *retry_after_ms)
{
    struct buf details = {.max = H2_MAX_HEADERS};
    struct grpc_status st = {0};
    bool found = base64_decode(&details, slice_str(field(resp, "grpc-status-details-bin"))) == 0 &&
                 details.len > 0 && grpc_status_decode(slice_of(details.p, details.len), &st) == 0 && st.has_retry;

    *retry_after_ms = found ? st.retry_after_ms : 0;
    buf_free(&details);
    return found;
}

static void judge_status(const struct h2_response *resp, int code, struct verdict *v)
{
    struct buf message = {.max = H2_MAX_HEADERS};
    char text[400];
    uint64_t after_ms;
    bool hinted = retry_info(resp, &after_ms);

    grpc_message_decode(&message, slice_str(field(resp, "grpc-message")));
    peer_text(text, sizeof(text), slice_of(message.p, message.len));
    buf_free(&message);
    set_failed(v, code, grpc_code_retryable(code, hinted), text);
    v->r.throttled = hinted && after_ms > 0;
    v->r.hint_ns = after_ms < UINT64_MAX / NS_PER_MS ? after_ms * NS_PER_MS : UINT64_MAX;
}

/* No grpc-status: a proxy, or something that is no gRPC server. */
static void judge_http(const struct h2_response *resp, struct verdict *v)
{
    char text[160], type[80];
    int code;

    peer_text(type, sizeof(type), slice_str(field(resp, "content-type")));
    if (resp->status == 200) {
        bool grpc = strncmp(type, "application/grpc", 16) == 0;

        snprintf(text, sizeof(text), grpc ? "server closed the stream without sending trailers%s"
                                          : "unexpected content-type of the answer: \"%s\"", grpc ? "" : type);
        set_failed(v, grpc ? GRPC_INTERNAL : GRPC_UNKNOWN, false, text);
        return;
    }
    code = grpc_code_from_http(resp->status);
    snprintf(text, sizeof(text), "unexpected HTTP status code received from server: %d", resp->status);
    set_failed(v, code, grpc_code_retryable(code, false), text);
}

static enum codec answer_codec(const struct h2_response *resp)
{
    const char *name = field(resp, "grpc-encoding");

    return strcmp(name, "gzip") == 0     ? CODEC_GZIP
           : strcmp(name, "zstd") == 0   ? CODEC_ZSTD
           : strcmp(name, "snappy") == 0 ? CODEC_SNAPPY_FRAMED
                                         : CODEC_UNKNOWN;
}

static int parse_compressed(struct otlp_grpc *g, enum codec codec, struct slice packed, struct otlp_answer *a)
{
    struct err err;
    uint8_t *bytes = NULL;
    size_t len = 0, charged = 0;
    int rc;

    if (codec == CODEC_UNKNOWN)
        return -1;
    if (g->decompressor == NULL)
        g->decompressor = decompressor_new();
    if (decompress(g->decompressor, codec, packed, H2_MAX_BODY, g->base.host->budget, &bytes, &len, &charged, &err) !=
        DECOMPRESS_OK)
        return -1;
    rc = otlp_answer_parse(slice_of(bytes, len), false, a);
    budget_release(g->base.host->budget, MEM_BODY, charged);
    free(bytes);
    return rc;
}

/* Taken. An answer that cannot be read says no less: the status is what counts. */
static void judge_ok(struct otlp_grpc *g, const struct h2_response *resp, struct verdict *v)
{
    struct grpc_prefix prefix = {0};
    const uint8_t *p = resp->body.p;
    size_t n = resp->body.len;
    struct otlp_answer a = {0};
    struct slice message;
    int rc;

    v->r.outcome = SEND_OK;
    if (!grpc_prefix_feed(&prefix, &p, &n) || grpc_prefix_length(&prefix) > n)
        return;
    message = slice_of(p, grpc_prefix_length(&prefix));
    rc = grpc_prefix_flag(&prefix) == 0 ? otlp_answer_parse(message, false, &a)
                                        : parse_compressed(g, answer_codec(resp), message, &a);
    if (rc != 0)
        return;
    v->r.rejected_spans = a.rejected_spans;
    snprintf(v->text, sizeof(v->text), "%s", a.message);
    v->r.text = v->text;
}

static void judge_response(struct otlp_grpc *g, const struct h2_response *resp, struct verdict *v)
{
    const char *status = h2_response_field(resp, "grpc-status");
    char *end = NULL;
    long code = status != NULL ? strtol(status, &end, 10) : -1;

    if (status == NULL)
        judge_http(resp, v);
    else if (end == status || *end != '\0' || code < 0)
        set_failed(v, GRPC_UNKNOWN, false, "malformed grpc-status");
    else if (code == GRPC_OK)
        judge_ok(g, resp, v);
    else
        judge_status(resp, code < GRPC_CODES ? (int)code : GRPC_UNKNOWN, v);
}

/* RST_STREAM: its code as gRPC reads it. */
static void judge_reset(const struct h2_response *resp, struct verdict *v)
{
    enum { REFUSED_STREAM = 7, CANCEL = 8, ENHANCE_YOUR_CALM = 11, INADEQUATE_SECURITY = 12 };
    int code = resp->error_code == REFUSED_STREAM        ? GRPC_UNAVAILABLE
               : resp->error_code == CANCEL              ? GRPC_CANCELLED
               : resp->error_code == ENHANCE_YOUR_CALM   ? GRPC_RESOURCE_EXHAUSTED
               : resp->error_code == INADEQUATE_SECURITY ? GRPC_PERMISSION_DENIED
                                                         : GRPC_INTERNAL;
    char text[160];

    snprintf(text, sizeof(text), "stream terminated by RST_STREAM with error code: %s", resp->reason);
    set_failed(v, code, grpc_code_retryable(code, false), text);
}

static void judge(struct otlp_grpc *g, const struct h2_response *resp, struct verdict *v)
{
    char text[480];

    switch (resp->end) {
    case H2_END_RESPONSE:
        judge_response(g, resp, v);
        break;
    case H2_END_RESET:
        if (h2_response_field(resp, "grpc-status") != NULL) /* the status came first: it counts */
            judge_response(g, resp, v);
        else
            judge_reset(resp, v);
        break;
    case H2_END_NO_CONN:
        snprintf(text, sizeof(text), "connection error: desc = \"transport: Error while dialing: %s\"", resp->reason);
        set_failed(v, GRPC_UNAVAILABLE, true, text);
        break;
    case H2_END_REFUSED:
    case H2_END_LOST:
        snprintf(text, sizeof(text), "error reading from server: %s", resp->reason);
        set_failed(v, GRPC_UNAVAILABLE, true, text);
        break;
    case H2_END_CANCELLED:
        set_failed(v, GRPC_CANCELLED, true, "context canceled");
        break;
    case H2_END_TOO_LARGE:
        set_failed(v, GRPC_RESOURCE_EXHAUSTED, false, resp->reason);
        break;
    }
}

/* ---- the call ---- */

static void on_call_done(struct h2_request *req, const struct h2_response *resp)
{
    struct call *call = req->ctx;
    struct verdict v = {0};

    judge(call->g, resp, &v);
    send_done(call->send, &v.r); /* may free the call */
}

static struct call *call_new(struct otlp_grpc *g, struct send *s)
{
    struct call *call = mem_alloc(sizeof(*call));

    call->g = g;
    call->send = s;
    if (body_make(g->maker, s->batch, &call->body) != 0) {
        free(call);
        return NULL;
    }
    call->req.headers = g->headers;
    call->req.n_headers = g->n_headers;
    call->req.prefix_len = GRPC_PREFIX_BYTES;
    grpc_prefix_put(call->req.prefix, g->codec != CODEC_NONE, (uint32_t)call->body.len);
    call->req.body = call->body.iov;
    call->req.n_body = call->body.n_iov;
    call->req.on_done = on_call_done;
    call->req.ctx = call;
    return call;
}

static void fail_auth(struct call *call, const char *why)
{
    char text[sizeof(((struct err *)0)->text) + 64];

    snprintf(text, sizeof(text), "transport: per-RPC creds failed due to error: %s", why);
    send_done(call->send, &(struct send_result){.outcome = SEND_RETRY, .grpc_code = GRPC_UNAVAILABLE, .text = text});
}

/* Metadata travels in lower case. */
static void on_signed(void *ctx, const struct err *err)
{
    struct call *call = ctx;
    const struct auth_fields *f = &call->signing.fields;

    if (err != NULL) {
        fail_auth(call, err->text);
        return;
    }
    call->secrets = mem_grow(call->secrets, (f->n + 1) * sizeof(*call->secrets));
    for (size_t i = 0; i < f->n; i++) {
        for (char *p = f->v[i].name; *p != '\0'; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
        call->secrets[i] = (struct h2_header){f->v[i].name, f->v[i].value};
    }
    call->req.secrets = call->secrets;
    call->req.n_secrets = f->n;
    h2_channel_send(call->g->channel, &call->req);
}

static void otlp_grpc_send(void *exporter, struct send *s)
{
    static const struct send_result no_memory = {.outcome = SEND_RETRY, .reason = DROP_MEMORY,
                                                 .text = "no memory for the request"};
    static const struct send_result too_large = {.outcome = SEND_PERMANENT, .reason = DROP_TOO_LARGE,
                                                 .text = "the request is larger than 4 GiB"};
    struct otlp_grpc *g = exporter;
    struct call *call = s->state;

    if (call == NULL)
        call = s->state = call_new(g, s);
    if (call == NULL)
        send_done(s, &no_memory);
    else if (call->body.len > UINT32_MAX)
        send_done(s, &too_large);
    else if (g->signer != NULL)
        signing_start(&call->signing, g->signer, NULL, s->batch->info, on_signed, call);
    else
        h2_channel_send(g->channel, &call->req);
}

static void otlp_grpc_abort(void *exporter, struct send *s)
{
    struct otlp_grpc *g = exporter;
    struct call *call = s->state;

    if (signing_cancel(&call->signing))
        fail_auth(call, "timed out");
    else
        h2_channel_cancel(g->channel, &call->req);
}

static void otlp_grpc_forget(void *exporter, struct send *s)
{
    struct otlp_grpc *g = exporter;
    struct call *call = s->state;

    s->state = NULL;
    if (call == NULL)
        return;
    body_free(g->maker, &call->body);
    signing_close(&call->signing);
    free(call->secrets);
    free(call);
}

static const struct send_ops otlp_grpc_send_ops = {
    .send = otlp_grpc_send, .abort = otlp_grpc_abort, .forget = otlp_grpc_forget,
};

/* ---- header fields: the same for every call ---- */

static void add_field(struct otlp_grpc *g, const char *name, const char *value)
{
    g->headers[g->n_headers++] = (struct h2_header){name, arena_printf(g->arena, "%s", value)};
}

static const char *find_header(const struct pair_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcasecmp(l->v[i].name, name) == 0)
            return l->v[i].value;
    return NULL;
}

/* Fields that gRPC keeps for itself. */
static bool reserved(const char *name)
{
    static const char *const names[] = {"content-type", "user-agent", "te", "host", "connection", "content-length",
                                        "transfer-encoding", "keep-alive", "proxy-connection", "upgrade"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "grpc-", 5) == 0;
}

static void add_user_header(struct otlp_grpc *g, const struct pair *h)
{
    char *name = arena_printf(g->arena, "%s", h->name);
    size_t n = strlen(name);
    struct buf b64 = {0};

    for (char *p = name; *p != '\0'; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
    if (reserved(name))
        return;
    if (n > 4 && strcmp(name + n - 4, "-bin") == 0) { /* binary metadata travels in base64 */
        base64_encode(&b64, slice_str(h->value));
        buf_putc(&b64, '\0');
        add_field(g, name, (const char *)b64.p);
        buf_free(&b64);
    } else {
        add_field(g, name, h->value != NULL ? h->value : "");
    }
}

static const char *authority_of(const struct otlp_grpc *g)
{
    const char *host = find_header(&g->set->headers, "host");

    if (is_set(g->set->authority))
        return g->set->authority;
    return is_set(host) ? host : g->endpoint.authority;
}

/* https:// asks for TLS, whatever the section says. */
static bool wants_tls(const struct otlp_grpc *g)
{
    return g->endpoint.scheme == ENDPOINT_HTTPS || !tls_client_plaintext(&g->set->tls);
}

static void make_headers(struct otlp_grpc *g)
{
    char timeout[16];
    char *agent = otlp_user_agent();

    g->headers = mem_alloc_array(FIXED_FIELDS + g->set->headers.n, sizeof(*g->headers));
    add_field(g, ":method", "POST");
    add_field(g, ":scheme", wants_tls(g) ? "https" : "http");
    add_field(g, ":path", EXPORT_PATH);
    add_field(g, ":authority", authority_of(g));
    add_field(g, "content-type", "application/grpc");
    add_field(g, "user-agent", is_set(g->set->user_agent) ? g->set->user_agent : agent);
    add_field(g, "te", "trailers");
    if (g->set->timeout_ns > 0) {
        grpc_timeout_format((uint64_t)g->set->timeout_ns, timeout);
        add_field(g, "grpc-timeout", timeout);
    }
    if (g->codec != CODEC_NONE)
        add_field(g, "grpc-encoding", g->set->compression);
    add_field(g, "grpc-accept-encoding", "identity,gzip,zstd,snappy");
    for (size_t i = 0; i < g->set->headers.n; i++)
        add_user_header(g, &g->set->headers.v[i]);
    free(agent);
}

/* ---- life ---- */

static enum codec codec_of(const char *name)
{
    return strcmp(name, "gzip") == 0     ? CODEC_GZIP
           : strcmp(name, "zstd") == 0   ? CODEC_ZSTD
           : strcmp(name, "snappy") == 0 ? CODEC_SNAPPY_FRAMED
                                         : CODEC_NONE;
}

static void make_queue(struct otlp_grpc *g)
{
    const struct otlp_grpc_settings *set = g->set;
    struct metric_label labels[2];
    char host[300], port[8];
    size_t n = 0;

    snprintf(host, sizeof(host), "%s", g->endpoint.has_scheme ? set->endpoint : g->endpoint.host);
    snprintf(port, sizeof(port), "%u", g->endpoint.port);
    labels[n++] = (struct metric_label){"server_address", host};
    if (!g->endpoint.has_scheme)
        labels[n++] = (struct metric_label){"server_port", port};
    g->queue = send_queue_new(g->base.host, &(struct send_config){
        .queue = set->sending_queue_enabled ? &set->sending_queue : NULL,
        .retry = set->retry_on_failure_enabled ? &set->retry_on_failure : NULL,
        .timeout_ns = set->timeout_ns,
        .labels = labels,
        .n_labels = n,
        .ops = &otlp_grpc_send_ops,
        .exporter = g,
    });
}

static struct component *otlp_grpc_create(struct host *h, const void *settings, struct err *err)
{
    const struct otlp_grpc_settings *set = settings;
    struct otlp_grpc *g = mem_alloc(sizeof(*g));

    g->base = (struct component){&otlp_grpc_exporter_type, h};
    g->set = set;
    /* as in grpc-go: the proxy for https, with TLS and without */
    if (endpoint_parse_grpc(set->endpoint, &g->endpoint, err) != 0 || proxy_find(&g->endpoint, true, NULL, &g->proxy, err) != 0) {
        free(g);
        return NULL;
    }
    g->codec = codec_of(set->compression != NULL ? set->compression : "");
    g->maker = body_maker_new(h->budget, g->codec, 0, false);
    g->arena = arena_new();
    make_headers(g);
    make_queue(g);
    return &g->base;
}

static uint64_t ping_every_ms(const struct otlp_grpc_settings *set)
{
    int64_t every = set->keepalive_enabled ? set->keepalive.time_ns : 0;

    if (every > 0 && every < PING_MIN_NS)
        every = PING_MIN_NS;
    return (uint64_t)every / NS_PER_MS;
}

static int otlp_grpc_start(struct component *c, struct err *err)
{
    struct otlp_grpc *g = otlp_grpc_of(c);
    const struct otlp_grpc_settings *set = g->set;
    int64_t ping_timeout = set->keepalive.timeout_ns > 0 ? set->keepalive.timeout_ns : 20 * (int64_t)NS_PER_SEC;

    if (set->auth_enabled && !wants_tls(g) && auth_signer_needs_tls(c->host, set->auth.authenticator))
        return err_set(err, "the credentials of \"%s\" need TLS", set->auth.authenticator);
    if (set->auth_enabled)
        g->signer = auth_signer_open(c->host, set->auth.authenticator);
    if (send_queue_open(g->queue, err) != 0)
        return -1;
    if (wants_tls(g) && (g->tls = otlp_client_tls(&set->tls, TLS_ALPN_H2, c->host, err)) == NULL)
        return -1;
    g->channel = h2_channel_new(&(struct h2_channel_config){
        .loop = c->host->loop,
        .endpoint = g->endpoint,
        .tls = g->tls,
        .proxy = g->proxy,
        .budget = c->host->budget,
        .round_robin = g->endpoint.dns_balanced && !g->proxy.used && strcmp(set->balancer_name, "pick_first") != 0,
        .wait_for_ready = set->wait_for_ready,
        .dial_timeout_ms = DIAL_TIMEOUT_MS,
        .ping_every_ms = ping_every_ms(set),
        .ping_timeout_ms = (uint64_t)ping_timeout / NS_PER_MS,
        .ping_idle = set->keepalive.permit_without_stream,
        .backoff_first_ms = BACKOFF_FIRST_MS,
        .backoff_max_ms = BACKOFF_MAX_MS,
    });
    return 0;
}

static void otlp_grpc_push(struct component *c, struct batch **take)
{
    send_queue_push(otlp_grpc_of(c)->queue, take);
}

static void on_channel_closed(void *ctx)
{
    struct otlp_grpc *g = ctx;

    host_drained(g->base.host);
}

static void on_queue_drained(void *exporter)
{
    struct otlp_grpc *g = exporter;

    if (g->channel != NULL)
        h2_channel_close(&g->channel, on_channel_closed, g);
    else
        host_drained(g->base.host);
}

static void otlp_grpc_drain(struct component *c)
{
    send_queue_drain(otlp_grpc_of(c)->queue, on_queue_drained);
}

static void otlp_grpc_destroy(struct component **c)
{
    struct otlp_grpc *g = otlp_grpc_of(*c);

    *c = NULL;
    if (g->channel != NULL)
        h2_channel_close(&g->channel, NULL, NULL);
    tls_context_free(&g->tls);
    send_queue_free(&g->queue);
    auth_signer_close(&g->signer);
    body_maker_free(&g->maker);
    if (g->decompressor != NULL)
        decompressor_free(&g->decompressor);
    free(g->headers);
    arena_free(&g->arena);
    free(g);
}

static uint64_t otlp_grpc_held(const struct component *c)
{
    return send_queue_held_spans(CONTAINER_OF(c, const struct otlp_grpc, base)->queue);
}

static bool otlp_grpc_overflows(const void *settings)
{
    const struct otlp_grpc_settings *s = settings;

    return s->sending_queue_enabled && !s->sending_queue.block_on_overflow;
}

static enum room otlp_grpc_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    return send_queue_room(CONTAINER_OF(c, const struct otlp_grpc, base)->queue, n_spans, n_bytes);
}

static size_t otlp_grpc_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    const struct otlp_grpc_settings *s = settings;

    return queue_store_memory(&s->sending_queue, s->sending_queue_enabled, n_workers, terms, max);
}

const struct component_type otlp_grpc_exporter_type = {
    .kind = EXPORTER, .name = "otlp_grpc", .old_name = "otlp", .stability = "stable",
    .summary = "Sends traces to an OTLP backend over gRPC.",
    .keys = otlp_grpc_keys, .settings_size = sizeof(struct otlp_grpc_settings),
    .metrics = send_queue_metrics, .mutates = false,
    .check = otlp_grpc_check, .memory = otlp_grpc_memory,
    .shared_create = send_shared_create, .shared_destroy = send_shared_destroy,
    .create = otlp_grpc_create, .start = otlp_grpc_start, .push = otlp_grpc_push,
    .drain = otlp_grpc_drain, .destroy = otlp_grpc_destroy, .held = otlp_grpc_held,
    .room = otlp_grpc_room, .overflows = otlp_grpc_overflows,
};
