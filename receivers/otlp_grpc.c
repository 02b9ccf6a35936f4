/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/gRPC. One call is one HTTP/2 stream:
 *
 *   headers -> PREFIX -> BODY -> WHOLE -> (END_STREAM) -> ingest -> answer
 *
 * The prefix states the message's length: it is checked and charged before a byte of the message is
 * taken, and only then does the stream's window open for it. What cannot be is answered at once.
 *
 * A call's memory lives until its stream is gone and the pipelines have answered, whichever is
 * later. The good answer is made of constants. Everything else is built into `text`, off the hot
 * path.
 */
#include "receivers/otlp_grpc.h"

#include <stdio.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "receivers/otlp_auth.h"
#include "receivers/otlp_meta.h"

#define METHOD_PATH  "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define SERVICE_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/"
#define ENCODINGS    "identity,gzip,zstd,snappy,deflate"
#define STRAY_BYTES  (64u << 10) /* behind the first message: ignored, but not without end */
#define MAX_TEXT     1024u       /* of an error, before encoding */
#define MAX_PATH_BYTES 200u      /* of a path, in an error: three times as many when encoded, for each stream */

enum call_state { CALL_PREFIX, CALL_BODY, CALL_WHOLE, CALL_RUNNING, CALL_ANSWERED };
enum call_route { ROUTE_NONE, ROUTE_EXPORT, ROUTE_OTHER };

struct grpc_call {
    struct h2_stream stream; /* first */
    struct ingest_request ing;
    struct otlp_conn *conn; /* NULL: the stream is gone */
    enum call_state state;
    struct grpc_prefix prefix;
    uint32_t message_bytes, stray_bytes;

    /* from the headers */
    bool post, grpc_content, timeout_bad;
    enum call_route route;
    enum codec codec; /* of messages whose flag is 1 */
    bool has_timeout;
    uint64_t timeout_ns, deadline_ns;
    struct list timed;
    char *path, *encoding; /* for error texts only; NULL mostly */
    struct otlp_meta meta;
    struct otlp_auth *auth; /* NULL: nothing to ask */

    struct grpc_answer *answer; /* NULL: none, or made of constants */
};

/* What an answer that is not a constant is made of. */
struct grpc_answer {
    struct buf text; /* everything that fields point to */
    struct h2_field fields[8];
    size_t n_fields;
};

#define TEXT(s)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }
static const struct h2_field content_type = {TEXT("content-type"), TEXT("application/grpc")};
static const struct h2_field status_ok = {TEXT("grpc-status"), TEXT("0")};
static const uint8_t empty_message[GRPC_PREFIX_BYTES];

static struct grpc_call *call_of(struct h2_stream *s)
{
    return CONTAINER_OF(s, struct grpc_call, stream);
}

static const struct otlp_grpc_settings *settings_of(const struct otlp_conn *c)
{
    return c->server->settings;
}

/* ---- life ---- */

static void free_answer(struct grpc_call *k)
{
    if (!k->answer)
        return;
    buf_free(&k->answer->text);
    free(k->answer);
    k->answer = NULL;
}

static void release_if_over(struct grpc_call *k)
{
    if (k->conn || k->ing.waiting)
        return;
    free_answer(k);
    otlp_meta_free(&k->meta);
    free(k->path);
    free(k->encoding);
    ingest_give_memory(k->ing.in, k);
}

static void on_done(struct ingest_request *r, const struct ingest_result *res);
static void on_evict(struct ingest_request *r, const struct ingest_result *why);

static struct h2_stream *on_stream(void *ctx)
{
    struct otlp_conn *c = ctx;

    if (!otlp_conn_add_request(c)) {
        ingest_count_refused(c->server->in, REFUSED_MEMORY, 0);
        return NULL;
    }
    struct grpc_call *k = ingest_take_memory(c->server->in, sizeof *k);
    k->conn = c;
    k->ing.done = on_done;
    k->ing.evict = on_evict;
    k->ing.share = otlp_conn_share(c);
    list_init(&k->timed);
    ingest_request_init(&k->ing, c->server->in);
    return &k->stream;
}

static void on_gone(void *ctx, struct h2_stream *s)
{
    struct grpc_call *k = call_of(s);

    otlp_conn_remove_request(ctx);
    list_del(&k->timed);
    body_drop(&k->ing);
    otlp_auth_free(&k->auth);
    k->conn = NULL;
    release_if_over(k);
}

/* ---- answers ---- */

static void answer_ok(struct grpc_call *k)
{
    k->state = CALL_ANSWERED;
    h2_respond(&k->stream, 200, &content_type, 1, slice_of(empty_message, sizeof empty_message),
               &status_ok, 1);
    otlp_conn_flush_later(k->conn);
}

static void answer_partial(struct grpc_call *k, const struct ingest_result *res)
{
    struct grpc_answer *a = k->answer = mem_alloc(sizeof *a);

    buf_put(&a->text, empty_message, sizeof empty_message);
    ingest_response(&a->text, res);
    grpc_prefix_put(a->text.p, false, (uint32_t)(a->text.len - GRPC_PREFIX_BYTES));
    k->state = CALL_ANSWERED;
    h2_respond(&k->stream, 200, &content_type, 1, slice_of(a->text.p, a->text.len), &status_ok, 1);
    otlp_conn_flush_later(k->conn);
}

/* Remembers a field whose value is text[from, len); resolved when the text is complete. */
static void add_field(struct grpc_answer *a, struct slice name, size_t from)
{
    a->fields[a->n_fields++] =
        (struct h2_field){name, {(const uint8_t *)(uintptr_t)from, a->text.len - from}};
}

static void add_details(struct grpc_answer *a, const struct ingest_result *res)
{
    struct buf raw = {0};
    size_t from = a->text.len;

    grpc_status_encode(&raw, res->code, slice_str(res->text), true, res->retry_after_ms);
    base64_encode(&a->text, slice_of(raw.p, raw.len));
    add_field(a, slice_str("grpc-status-details-bin"), from);
    buf_clear(&raw);
    from = a->text.len;
    grpc_retry_info_encode(&raw, res->retry_after_ms); /* the Python SDK reads this one */
    base64_encode(&a->text, slice_of(raw.p, raw.len));
    add_field(a, slice_str("google.rpc.retryinfo-bin"), from);
    buf_free(&raw);
}

static void answer_error(struct grpc_call *k, const struct ingest_result *res)
{
    struct grpc_answer *a = k->answer = mem_alloc(sizeof *a);
    size_t n = strlen(res->text);

    a->fields[a->n_fields++] = content_type;
    buf_putf(&a->text, "%d", res->code);
    add_field(a, slice_str("grpc-status"), 0);
    size_t from = a->text.len;
    grpc_message_encode(&a->text, slice_of(res->text, n < MAX_TEXT ? n : MAX_TEXT));
    add_field(a, slice_str("grpc-message"), from);
    if (res->has_retry)
        add_details(a, res);
    if (res->code == GRPC_UNIMPLEMENTED && k->encoding) {
        from = a->text.len;
        buf_puts(&a->text, ENCODINGS);
        add_field(a, slice_str("grpc-accept-encoding"), from);
    }
    for (size_t i = 1; i < a->n_fields; i++)
        a->fields[i].value.p = a->text.p + (uintptr_t)a->fields[i].value.p;
    k->state = CALL_ANSWERED;
    h2_respond(&k->stream, 200, a->fields, a->n_fields, slice_of(NULL, 0), NULL, 0);
    otlp_conn_flush_later(k->conn);
}

/* Refused before ingest saw it. */
static void refuse(struct grpc_call *k, enum refusal why, const struct ingest_result *res)
{
    if (why != REFUSALS)
        ingest_count_refused(k->ing.in, why, k->ing.len ? k->ing.len : k->message_bytes);
    body_drop(&k->ing);
    answer_error(k, res);
}

static void fail(struct grpc_call *k, enum refusal why, int code, const char *text)
{
    struct ingest_result res = {.code = code, .text = text};

    refuse(k, why, &res);
}

static void on_done(struct ingest_request *r, const struct ingest_result *res)
{
    struct grpc_call *k = CONTAINER_OF(r, struct grpc_call, ing);

    list_del(&k->timed);
    if (!k->conn)
        release_if_over(k);
    else if (k->state == CALL_ANSWERED)
        return; /* its deadline passed first */
    else if (res->code != GRPC_OK)
        answer_error(k, res);
    else if (res->rejected_spans)
        answer_partial(k, res);
    else
        answer_ok(k);
}

static void on_evict(struct ingest_request *r, const struct ingest_result *why)
{
    struct grpc_call *k = CONTAINER_OF(r, struct grpc_call, ing);

    body_drop(r);
    if (k->conn && k->state < CALL_RUNNING)
        answer_error(k, why);
}

/* ---- headers ---- */

static bool is(struct slice s, const char *text)
{
    size_t n = strlen(text);

    return s.len == n && memcmp(s.p, text, n) == 0;
}

static bool begins(struct slice s, const char *text)
{
    size_t n = strlen(text);

    return s.len >= n && memcmp(s.p, text, n) == 0;
}

static void note_path(struct grpc_call *k, struct slice path)
{
    k->route = is(path, METHOD_PATH) ? ROUTE_EXPORT : ROUTE_OTHER;
    if (k->route == ROUTE_OTHER)
        k->path =
            mem_dup_n((const char *)path.p, path.len < MAX_PATH_BYTES ? path.len : MAX_PATH_BYTES);
}

static void note_content_type(struct grpc_call *k, struct slice v)
{
    size_t n = sizeof "application/grpc" - 1;

    k->grpc_content =
        begins(v, "application/grpc") && (v.len == n || v.p[n] == '+' || v.p[n] == ';');
}

static void note_encoding(struct grpc_call *k, struct slice v)
{
    k->codec = codec_of_grpc(v);
    if (k->codec == CODEC_UNKNOWN)
        k->encoding = mem_dup_n((const char *)v.p, v.len < 64 ? v.len : 64);
}

static void note_timeout(struct grpc_call *k, struct slice v)
{
    k->has_timeout = true;
    k->timeout_bad = grpc_timeout_parse(v, &k->timeout_ns) != 0;
}

/* gRPC's own, which its servers keep from those that read metadata. */
static bool is_reserved(struct slice name)
{
    return is(name, "te") || is(name, "grpc-timeout") || is(name, "grpc-encoding") || is(name, "grpc-status") ||
           is(name, "grpc-message") || is(name, "grpc-message-type");
}

static void note_metadata(struct grpc_call *k, struct slice name, struct slice value)
{
    struct budget *budget = k->conn->server->host->budget;

    if (is(name, ":authority"))
        otlp_meta_add(&k->meta, budget, slice_str("host"), value);
    else if (name.len == 0 || name.p[0] == ':' || is_reserved(name))
        return;
    otlp_meta_add(&k->meta, budget, name, value);
}

static void on_header(void *ctx, struct h2_stream *s, struct slice name, struct slice value)
{
    struct otlp_conn *c = ctx;
    struct grpc_call *k = call_of(s);

    switch (name.len) {
    case 5:
        if (is(name, ":path"))
            note_path(k, value);
        break;
    case 7:
        if (is(name, ":method"))
            k->post = is(value, "POST");
        break;
    case 12:
        if (is(name, "content-type"))
            note_content_type(k, value);
        else if (is(name, "grpc-timeout"))
            note_timeout(k, value);
        break;
    case 13:
        if (is(name, "grpc-encoding"))
            note_encoding(k, value);
        break;
    default:
        break;
    }
    if (c->server->door)
        otlp_auth_header(c->server->door, &k->auth, c->server->host->budget, name, value);
    if (settings_of(c)->include_metadata)
        note_metadata(k, name, value);
}

static void unknown_method(struct grpc_call *k)
{
    char text[MAX_TEXT];
    const char *path = k->path ? k->path : "";
    const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;

    if (!slash)
        snprintf(text, sizeof text, "malformed method name: \"%s\"", path);
    else if (strncmp(path, SERVICE_PATH, sizeof SERVICE_PATH - 1) == 0)
        snprintf(text, sizeof text, "unknown method %s for service %.*s", slash + 1,
                 (int)(slash - path - 1), path + 1);
    else
        snprintf(text, sizeof text, "unknown service %.*s", (int)(slash - path - 1), path + 1);
    fail(k, REFUSALS, GRPC_UNIMPLEMENTED, text);
}

/* Not a gRPC client: it gets words it can show, beside the status a gRPC client would look for. */
static void fail_http(struct grpc_call *k, int http_status, int code, const char *text)
{
    static const struct h2_field plain = {TEXT("content-type"), TEXT("text/plain")};
    struct grpc_answer *a = k->answer = mem_alloc(sizeof *a);

    ingest_count_refused(k->ing.in, REFUSED_PROTOCOL, 0);
    body_drop(&k->ing);
    buf_putf(&a->text, "%d%s", code, text);
    size_t digits = a->text.len - strlen(text);
    a->fields[0] = plain;
    a->fields[1] = (struct h2_field){slice_str("grpc-status"), slice_of(a->text.p, digits)};
    a->fields[2] = (struct h2_field){slice_str("grpc-message"),
                                     slice_of(a->text.p + digits, a->text.len - digits)};
    a->fields[3] = (struct h2_field){slice_str("allow"), slice_str("POST")};
    k->state = CALL_ANSWERED;
    h2_respond(&k->stream, http_status, a->fields, http_status == 405 ? 4 : 3, a->fields[2].value,
               NULL, 0);
    otlp_conn_flush_later(k->conn);
}

static void run(struct grpc_call *k);

static void begin_deadline(struct grpc_call *k)
{
    struct otlp_server *s = k->conn->server;
    uint64_t now = loop_now_ns(s->host->loop);

    k->deadline_ns = k->timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + k->timeout_ns;
    list_add_tail(&s->timed, &k->timed);
}

static void refuse_client(struct grpc_call *k)
{
    struct ingest_result res = otlp_auth_result(k->auth);

    otlp_conn_refused(k->conn);
    refuse(k, REFUSED_AUTH, &res);
}

/* The verdict on a call whose stream still lives; it may have been answered for another reason. */
static void on_verdict(void *owner)
{
    struct grpc_call *k = owner;

    if (k->state >= CALL_RUNNING)
        return;
    if (k->auth->check.verdict != AUTH_OK) {
        refuse_client(k);
        return;
    }
    otlp_conn_passed(k->conn);
    if (k->auth->whole)
        run(k);
}

static void ask(struct grpc_call *k)
{
    enum auth_verdict v = otlp_auth_ask(k->conn->server->door, &k->auth, on_verdict, k);

    if (v == AUTH_REFUSED)
        refuse_client(k);
    else if (v == AUTH_OK)
        otlp_conn_passed(k->conn);
}

static void on_request(void *ctx, struct h2_stream *s)
{
    struct otlp_conn *c = ctx;
    struct grpc_call *k = call_of(s);
    char text[128];

    if (k->meta.refused) {
        refuse(k, REFUSED_MEMORY, &ingest_memory_result);
    } else if (!k->post) {
        fail_http(k, 405, GRPC_INTERNAL, "only POST is supported");
    } else if (!k->grpc_content) {
        fail_http(k, 415, GRPC_INVALID_ARGUMENT, "invalid gRPC request content-type");
    } else if (k->timeout_bad) {
        fail_http(k, 400, GRPC_INTERNAL, "malformed grpc-timeout");
    } else if (k->route != ROUTE_EXPORT) {
        unknown_method(k);
    } else if (k->codec == CODEC_UNKNOWN) {
        snprintf(text, sizeof text, "grpc: Decompressor is not installed for grpc-encoding \"%s\"",
                 k->encoding);
        fail(k, REFUSED_COMPRESSION, GRPC_UNIMPLEMENTED, text);
    } else if (k->has_timeout && k->timeout_ns == 0) {
        fail(k, REFUSALS, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    } else if (c->server->draining && c->goaway_sent) {
        refuse(k, REFUSED_STOPPING, &ingest_stopping_result);
    } else {
        if (c->server->door)
            ask(k);
        if (k->has_timeout && k->state < CALL_RUNNING)
            begin_deadline(k);
    }
}

/* ---- message ---- */

static void begin_message(struct grpc_call *k)
{
    uint64_t max = k->ing.in->max_bytes;
    uint8_t flag = grpc_prefix_flag(&k->prefix);
    char text[128];

    k->message_bytes = grpc_prefix_length(&k->prefix);
    if (flag > 1) {
        snprintf(text, sizeof text, "grpc: received unexpected payload format %u", flag);
        fail(k, REFUSED_PROTOCOL, GRPC_INTERNAL, text);
    } else if (flag == 1 && k->codec == CODEC_NONE) {
        fail(k, REFUSED_PROTOCOL, GRPC_INTERNAL,
             "grpc: compressed flag set with identity or empty encoding");
    } else if (k->message_bytes > max) {
        snprintf(text, sizeof text, "grpc: received message larger than max (%u vs. %llu)",
                 k->message_bytes, (unsigned long long)max);
        fail(k, REFUSED_TOO_LARGE, GRPC_RESOURCE_EXHAUSTED, text);
    } else if (!body_open(&k->ing, k->message_bytes, true)) {
        refuse(k, k->ing.refused, ingest_refusal(&k->ing));
    } else {
        k->ing.codec = flag ? k->codec : CODEC_NONE;
        k->state = k->message_bytes ? CALL_BODY : CALL_WHOLE;
        if (k->message_bytes + GRPC_PREFIX_BYTES > OTLP_STREAM_WINDOW)
            h2_expect(&k->stream, (uint64_t)k->message_bytes + GRPC_PREFIX_BYTES);
    }
}

static void take_message(struct grpc_call *k, const uint8_t **p, size_t *n)
{
    size_t take = k->message_bytes - k->ing.len;

    if (take > *n)
        take = *n;
    enum body_added added = body_add(&k->ing, *p, take);
    CHECK(added == BODY_OK); /* room for all of it was made before */
    *p += take;
    *n -= take;
    if (k->ing.len == k->message_bytes)
        k->state = CALL_WHOLE;
}

static void on_data(void *ctx, struct h2_stream *s, const uint8_t *p, size_t n)
{
    struct grpc_call *k = call_of(s);

    (void)ctx;
    if (k->state == CALL_PREFIX && grpc_prefix_feed(&k->prefix, &p, &n))
        begin_message(k);
    if (k->state == CALL_BODY && n > 0)
        take_message(k, &p, &n);
    if (k->state == CALL_WHOLE && n > 0) {
        k->stray_bytes += n < STRAY_BYTES ? (uint32_t)n : STRAY_BYTES;
        if (k->stray_bytes > STRAY_BYTES)
            fail(k, REFUSED_PROTOCOL, GRPC_INTERNAL,
                 "bytes after the only message of a unary call");
    }
}

static void run(struct grpc_call *k)
{
    struct otlp_conn *c = k->conn;

    k->state = CALL_RUNNING;
    k->ing.info = otlp_conn_info(c, settings_of(c)->include_metadata ? &k->meta : NULL, k->auth);
    ingest_run(&k->ing);
}

static void on_end(void *ctx, struct h2_stream *s)
{
    struct grpc_call *k = call_of(s);

    (void)ctx;
    if (k->state != CALL_WHOLE)
        fail(k, REFUSED_MALFORMED, GRPC_UNKNOWN, k->prefix.have ? "unexpected EOF" : "EOF");
    else if (k->auth && k->auth->waiting)
        k->auth->whole = true;
    else
        run(k);
}

/* ---- the port ---- */

/* Calls whose client has stopped waiting. The pipelines may still have the data: their answer will
 * find nobody. */
static void on_tick(struct otlp_server *s, uint64_t now_ns)
{
    static const struct ingest_result late = {.code = GRPC_DEADLINE_EXCEEDED,
                                              .text = "context deadline exceeded"};
    struct list *at = s->timed.next;

    while (at != &s->timed) {
        struct grpc_call *k = CONTAINER_OF(at, struct grpc_call, timed);
        at = at->next;
        if (k->deadline_ns > now_ns)
            continue;
        list_del(&k->timed);
        if (k->state != CALL_RUNNING)
            body_drop(&k->ing);
        if (k->conn && k->state != CALL_ANSWERED)
            answer_error(k, &late);
    }
}

static const struct h2_server_ops h2_ops = {
    .on_stream = on_stream,
    .on_header = on_header,
    .on_request = on_request,
    .on_data = on_data,
    .on_end = on_end,
    .on_gone = on_gone,
    .on_ping = otlp_conn_on_ping,
};

static const struct otlp_port grpc_port = {.name = "GRPC", .transport = "grpc", .h2 = &h2_ops, .enforce_pings = true};

static uint64_t ns_of(int64_t ns)
{
    return ns > 0 ? (uint64_t)ns : 0;
}

void otlp_grpc_init(struct otlp_server *s, struct host *host, struct ingest *in,
                    const struct otlp_grpc_settings *set)
{
    /* What holds when the sections are switched off: gRPC's own defaults. */
    static const struct otlp_keepalive_server plain_server = {
        .time_ns = 7200 * (int64_t)NS_PER_SEC, .timeout_ns = 20 * (int64_t)NS_PER_SEC};
    static const struct otlp_keepalive_policy plain_policy = {.min_time_ns =
                                                                  300 * (int64_t)NS_PER_SEC};
    bool on = set->keepalive_enabled;
    const struct otlp_keepalive_server *k = on && set->keepalive.server_parameters_enabled
                                                ? &set->keepalive.server_parameters
                                                : &plain_server;
    const struct otlp_keepalive_policy *policy = on && set->keepalive.enforcement_policy_enabled
                                                     ? &set->keepalive.enforcement_policy
                                                     : &plain_policy;
    uint64_t streams = set->max_concurrent_streams;
    struct otlp_conn_limits limits = {
        .max_streams = !streams                     ? OTLP_DEFAULT_STREAMS
                       : streams < OTLP_MAX_STREAMS ? (uint32_t)streams
                                                    : OTLP_MAX_STREAMS,
        .idle_ns = ns_of(k->max_connection_idle_ns),
        .age_ns = ns_of(k->max_connection_age_ns),
        .age_grace_ns = ns_of(k->max_connection_age_grace_ns),
        .ping_ns = ns_of(k->time_ns),
        .ping_timeout_ns = ns_of(k->timeout_ns),
        .min_ping_ns = ns_of(policy->min_time_ns),
        .pings_without_stream = policy->permit_without_stream,
    };

    otlp_server_init(s, &grpc_port, host, in, set, &limits);
    s->on_tick = on_tick;
}
