/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The otlp receiver: OTLP over gRPC and over HTTP.
 *
 *   otlp.c         this file: keys, checks, life
 *   otlp_conn.c    connections of both ports
 *   otlp_grpc.c    calls            otlp_http.c, otlp_exchange.c, otlp_cors.c   exchanges
 *   otlp_fair.c    what one connection may take of what all need
 *   otlp_ingest.c  from a body to the pipelines and back to an answer
 *   otlp_pool.c    body buffers
 *
 * Workers: each listens on its own socket of the same port. Whoever starts first binds, says so in
 * the log, and leaves the address in the shared state for the others; so port 0 works. A Unix
 * socket is the first worker's alone.
 */
#include "receivers/otlp.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "component/auth.h"
#include "net/tls.h"
#include "receivers/otlp_grpc.h"
#include "receivers/otlp_http.h"
#include "receivers/receivers.h"

#define MIB                (1ull << 20)
#define DEFAULT_GRPC_MIB   4
#define DEFAULT_HTTP_BYTES (20 * MIB)

/* ---- settings ---- */

static const struct key keepalive_server_keys[] = {
    KEY_DURATION(struct otlp_keepalive_server, max_connection_idle, "0s", 0, 1e9,
                 "A connection without calls for this long is told to go away; 0: never."),
    KEY_DURATION(
        struct otlp_keepalive_server, max_connection_age, "0s", 0, 1e9,
        "A connection of this age (each up to a tenth more or less) is told to go away; 0: never."),
    KEY_DURATION(struct otlp_keepalive_server, max_connection_age_grace, "0s", 0, 1e9,
                 "How long after that its calls may take; 0: as long as they need."),
    KEY_DURATION(struct otlp_keepalive_server, time, "2h", 0, 1e9,
                 "A connection silent for this long gets a ping."),
    KEY_DURATION(struct otlp_keepalive_server, timeout, "20s", 0, 1e9,
                 "How long the answer to a ping may take."),
    KEY_END};

static const struct key keepalive_policy_keys[] = {
    KEY_DURATION(struct otlp_keepalive_policy, min_time, "5m", 0, 1e9,
                 "A client that pings more often than this is told to go away."),
    KEY_BOOL(struct otlp_keepalive_policy, permit_without_stream, "false",
             "Whether clients without calls may ping."),
    KEY_END};

static const struct key keepalive_keys[] = {
    KEY_OPTIONAL(struct otlp_keepalive, server_parameters, SECTION_ON, keepalive_server_keys,
                 "Idle and age limits, pings."),
    KEY_OPTIONAL(struct otlp_keepalive, enforcement_policy, SECTION_ON, keepalive_policy_keys,
                 "What clients may do."),
    KEY_END};

static const struct key grpc_keys[] = {
    KEY_STR(struct otlp_grpc_settings, endpoint, "localhost:4317",
            "Where to listen: host:port, or the path of a Unix socket."),
    KEY_STR(struct otlp_grpc_settings, transport, "tcp", "tcp, tcp4, tcp6 or unix."),
    KEY_INT(struct otlp_grpc_settings, max_recv_msg_size_mib, "0", 1, 0,
            "Largest message, also after decompression; 0: 4."),
    KEY_UINT(struct otlp_grpc_settings, max_concurrent_streams, "0", 0, 4294967295.0,
             "Calls at once on one connection; 0: 250; at most 10000."),
    KEY_INT(struct otlp_grpc_settings, read_buffer_size, "524288", 1, 0,
            "Accepted; reads here are 64 KiB, the fastest size."),
    KEY_INT(struct otlp_grpc_settings, write_buffer_size, "0", 1, 0,
            "Accepted; answers are gathered whatever their size."),
    KEY_OPTIONAL(struct otlp_grpc_settings, keepalive, SECTION_ON, keepalive_keys,
                 "Pings, idle and age limits of connections."),
    KEY_BOOL(struct otlp_grpc_settings, include_metadata, "false",
             "Whether request headers are kept for the pipelines."),
    KEY_IGNORED("dialer", false, "A server does not dial."),
    KEY_OPTIONAL(struct otlp_grpc_settings, tls, SECTION_OFF, tls_server_keys, "TLS; without this section the port is plaintext."),
    KEY_OPTIONAL(struct otlp_grpc_settings, auth, SECTION_OFF, auth_grpc_server_keys,
                 "Asks clients for credentials."),
    KEY_NOT_YET("middlewares", "Middleware extensions."),
    KEY_END};

static const struct key cors_keys[] = {
    KEY_STRS(struct otlp_cors, allowed_origins, NULL,
             "Origins that browsers may send from; one * each."),
    KEY_STRS(struct otlp_cors, allowed_headers, NULL,
             "Request headers allowed beyond the usual ones."),
    KEY_STRS(struct otlp_cors, exposed_headers, NULL, "Response headers that scripts may read."),
    KEY_INT(struct otlp_cors, max_age, "0", 0, 4294967295.0,
            "Seconds a preflight answer may be kept."),
    KEY_END};

static const struct key http_keys[] = {
    KEY_STR(struct otlp_http_settings, endpoint, "localhost:4318",
            "Where to listen: host:port, or the path of a Unix socket."),
    KEY_STR(struct otlp_http_settings, transport, "tcp", "tcp, tcp4, tcp6 or unix."),
    KEY_OPTIONAL(struct otlp_http_settings, cors, SECTION_OFF, cors_keys,
                 "Requests from browsers."),
    KEY_INT(struct otlp_http_settings, max_request_body_size, "20971520", 1, 0,
            "Largest body in bytes, also after decompression; 0 and less: the default."),
    KEY_BOOL(struct otlp_http_settings, include_metadata, "false",
             "Whether request headers are kept for the pipelines."),
    KEY_PAIRS(struct otlp_http_settings, response_headers, "Headers added to every answer."),
    KEY_STRS(struct otlp_http_settings, compression_algorithms,
             "[\"\", gzip, zstd, zlib, snappy, deflate, lz4, x-snappy-framed]",
             "Content encodings accepted; [] takes every body as it is."),
    KEY_DURATION(struct otlp_http_settings, read_timeout, "0s", 0, 1e9,
                 "How long a request may take to arrive; 0: as long as it makes progress."),
    KEY_DURATION(struct otlp_http_settings, read_header_timeout, "0s", 0, 1e9,
                 "The same for its header; 0: 20s."),
    KEY_DURATION(struct otlp_http_settings, write_timeout, "0s", 0, 1e9,
                 "How long a client may leave an answer unread; 0: 30s."),
    KEY_DURATION(
        struct otlp_http_settings, idle_timeout, "0s", 0, 1e9,
        "How long a connection may wait for its next request; 0: until its place is needed."),
    KEY_BOOL(struct otlp_http_settings, keep_alives_enabled, "true",
             "Whether connections serve more than one request."),
    KEY_STR(struct otlp_http_settings, traces_url_path, "/v1/traces", "Path of trace requests."),
    KEY_STR(struct otlp_http_settings, metrics_url_path, "/v1/metrics",
            "Path of metrics requests, which are refused with a clear answer."),
    KEY_STR(struct otlp_http_settings, logs_url_path, "/v1/logs",
            "Path of logs requests, which are refused with a clear answer."),
    KEY_IGNORED("dialer", false, "A server does not dial."),
    KEY_OPTIONAL(struct otlp_http_settings, tls, SECTION_OFF, tls_server_keys, "TLS; without this section the port is plaintext."),
    KEY_OPTIONAL(struct otlp_http_settings, auth, SECTION_OFF, auth_http_server_keys,
                 "Asks clients for credentials."),
    KEY_NOT_YET("middlewares", "Middleware extensions."),
    KEY_END};

static const struct key protocol_keys[] = {
    KEY_OPTIONAL(struct otlp_protocols, grpc, SECTION_DEFAULT_OFF, grpc_keys, "OTLP over gRPC."),
    KEY_OPTIONAL(struct otlp_protocols, http, SECTION_DEFAULT_OFF, http_keys,
                 "OTLP over HTTP: protobuf and JSON."),
    KEY_END};

static const struct key otlp_keys[] = {
    KEY_SECTION(struct otlp_settings, protocols, protocol_keys,
                "What to listen for; at least one of grpc and http."),
    KEY_OPTIONAL(struct otlp_settings, fair_share, SECTION_ON, fair_keys,
                 "Beyond the Collector: while memory or queues are short, connections that send far more than the others are refused first."),
    KEY_END};

uint64_t otlp_grpc_max_bytes(const struct otlp_grpc_settings *s)
{
    return (uint64_t)(s->max_recv_msg_size_mib > 0 ? s->max_recv_msg_size_mib : DEFAULT_GRPC_MIB) *
           MIB;
}

uint64_t otlp_http_max_bytes(const struct otlp_http_settings *s)
{
    return s->max_request_body_size > 0 ? (uint64_t)s->max_request_body_size : DEFAULT_HTTP_BYTES;
}

/* ---- rules between keys ---- */

static bool is_unix(const char *transport)
{
    return strcmp(transport, "unix") == 0;
}

static bool listens_everywhere(const char *endpoint)
{
    return endpoint[0] == ':' || strncmp(endpoint, "0.0.0.0:", 8) == 0 || strncmp(endpoint, "[::]:", 5) == 0;
}

static void check_address(struct check *c, const char *at, const char *endpoint, const char *transport, bool tls,
                          bool auth)
{
    static const char *const known[] = {"tcp", "tcp4", "tcp6", "unix"};
    bool ok = false;
    char path[64];

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        ok |= strcmp(transport, known[i]) == 0;
    snprintf(path, sizeof path, "%s.transport", at);
    if (!ok)
        check_error(c, path, "unsupported transport type \"%s\"", transport);
    snprintf(path, sizeof path, "%s.endpoint", at);
    if (!endpoint[0])
        check_error(c, path, "must not be empty");
    else if (!is_unix(transport) && !strrchr(endpoint, ':'))
        check_error(c, path, "address %s: missing port in address", endpoint);
    else if (!tls && !is_unix(transport) && listens_everywhere(endpoint))
        check_warn(c, path, auth ? "%s listens on every network interface, without TLS: credentials can be read on the way"
                                 : "%s listens on every network interface, without TLS or auth", endpoint);
}

static void check_grpc(struct check *c, const struct otlp_grpc_settings *s)
{
    const char *at = "protocols.grpc";

    check_address(c, at, s->endpoint, s->transport, s->tls_enabled, s->auth_enabled);
    if (s->tls_enabled)
        tls_server_check(&s->tls, "protocols.grpc.tls", c);
    if (s->max_recv_msg_size_mib < 0 || s->max_recv_msg_size_mib > 2047)
        check_error(c, "protocols.grpc.max_recv_msg_size_mib",
                    "invalid max_recv_msg_size_mib value, must be between 1 and 2047: %lld",
                    (long long)s->max_recv_msg_size_mib);
    if (s->read_buffer_size < 0)
        check_error(c, "protocols.grpc.read_buffer_size", "invalid read_buffer_size value: %lld",
                    (long long)s->read_buffer_size);
    if (s->write_buffer_size < 0)
        check_error(c, "protocols.grpc.write_buffer_size", "invalid write_buffer_size value: %lld",
                    (long long)s->write_buffer_size);
}

static void check_path(struct check *c, const char *key, const char *path, const char *signal)
{
    char at[64];

    snprintf(at, sizeof at, "protocols.http.%s", key);
    if (path[0] == '\0' || strpbrk(path, " ?#\r\n") || strchr(path, '%'))
        check_error(c, at, "invalid HTTP URL path set for %s: \"%s\"", signal, path);
    else if (strlen(path) > 200)
        check_error(c, at, "invalid HTTP URL path set for %s: longer than 200 bytes", signal);
}

static void check_http(struct check *c, const struct otlp_http_settings *s)
{
    static const char *const known[] = {
        "", "gzip", "zstd", "zlib", "snappy", "deflate", "lz4", "x-snappy-framed", "identity"};

    check_address(c, "protocols.http", s->endpoint, s->transport, s->tls_enabled, s->auth_enabled);
    if (s->tls_enabled)
        tls_server_check(&s->tls, "protocols.http.tls", c);
    check_path(c, "traces_url_path", s->traces_url_path, "traces");
    check_path(c, "metrics_url_path", s->metrics_url_path, "metrics");
    check_path(c, "logs_url_path", s->logs_url_path, "logs");
    if (s->max_request_body_size > (int64_t)(2047 * MIB))
        check_error(c, "protocols.http.max_request_body_size", "must not be over 2047 MiB");
    for (size_t i = 0; i < s->compression_algorithms.n; i++) {
        bool ok = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++)
            ok |= strcmp(known[k], s->compression_algorithms.v[i]) == 0;
        if (!ok)
            check_error(c, "protocols.http.compression_algorithms", "unsupported algorithm \"%s\"",
                        s->compression_algorithms.v[i]);
    }
    for (size_t i = 0; i < s->response_headers.n; i++)
        if (strpbrk(s->response_headers.v[i].value, "\r\n") ||
            strpbrk(s->response_headers.v[i].name, "\r\n: \t"))
            check_error(c, "protocols.http.response_headers", "\"%s\" is not a valid header",
                        s->response_headers.v[i].name);
    if (s->response_headers.n > 8)
        check_error(c, "protocols.http.response_headers", "at most 8 headers");
    if (s->cors_enabled && s->cors.allowed_origins.n == 0)
        check_warn(c, "protocols.http.cors", "has no effect without allowed_origins");
}

static void otlp_check(const void *settings, struct check *c)
{
    const struct otlp_protocols *p = &((const struct otlp_settings *)settings)->protocols;

    if (!p->grpc_enabled && !p->http_enabled)
        check_error(c, "protocols",
                    "must specify at least one protocol when using the OTLP receiver");
    if (p->grpc_enabled)
        check_grpc(c, &p->grpc);
    if (p->http_enabled)
        check_http(c, &p->http);
    if (p->grpc_enabled && p->http_enabled && strcmp(p->grpc.endpoint, p->http.endpoint) == 0 &&
        !(strlen(p->grpc.endpoint) >= 2 &&
          strcmp(p->grpc.endpoint + strlen(p->grpc.endpoint) - 2, ":0") == 0))
        check_error(c, "protocols.http.endpoint", "%s is also the gRPC endpoint", p->http.endpoint);
}

static size_t otlp_memory(const void *settings, unsigned n_workers, struct memory_term *terms,
                          size_t max)
{
    (void)settings;
    if (max < 1)
        return 0;
    terms[0].bytes = (uint64_t)n_workers * (OTLP_POOL_BYTES + 2 * OTLP_H2_MEM_BYTES + (64u << 10));
    snprintf(
        terms[0].text, sizeof terms[0].text,
        "%u workers x (4 MiB of body buffers and 256 KiB of HTTP/2 blocks kept for reuse + 64 KiB "
        "read buffer)",
        n_workers);
    return 1;
}

/* ---- state ---- */

/* What the workers have in common on one port. */
struct shared_port {
    bool bound;
    char endpoint[64];
    struct tls_context *tls; /* NULL: plaintext */
};

struct otlp_shared {
    pthread_mutex_t lock; /* workers start at the same time */
    struct host *host;
    struct fair_all fair;
    struct shared_port grpc, http;
};

struct otlp {
    struct component base; /* first */
    const struct otlp_settings *set;
    struct body_pool *pool;
    struct decompressor *decompressor;
    struct ingest grpc_in, http_in;
    struct otlp_server grpc, http;
    bool started, drained;
};

static struct otlp *otlp_of(struct component *c)
{
    CHECK(c->type == &otlp_receiver_type);
    return CONTAINER_OF(c, struct otlp, base);
}

static int otlp_shared_create(const void *settings, struct host *host, void **shared,
                              struct err *err)
{
    struct otlp_shared *s = mem_alloc(sizeof *s);

    (void)settings;
    (void)err;
    s->host = host;
    pthread_mutex_init(&s->lock, NULL);
    *shared = s;
    return 0;
}

static void otlp_shared_destroy(void **shared)
{
    struct otlp_shared *s = *shared;

    *shared = NULL;
    if (!s)
        return;
    tls_context_free(&s->grpc.tls);
    tls_context_free(&s->http.tls);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void share_out(struct otlp *o, struct otlp_server *s, struct ingest *in)
{
    struct otlp_shared *all = o->base.host->shared;

    if (!o->set->fair_share_enabled)
        return;
    fair_init(&s->fair, o->base.host, &all->fair, &o->set->fair_share, ingest_run_turn);
    in->fair = &s->fair;
}

static struct component *otlp_create(struct host *h, const void *settings, struct err *err)
{
    struct otlp *o = mem_alloc(sizeof *o);

    (void)err;
    o->base = (struct component){&otlp_receiver_type, h};
    o->set = settings;
    o->pool = body_pool_new(OTLP_POOL_BYTES);
    o->decompressor = decompressor_new();
    const struct otlp_protocols *p = &o->set->protocols;
    if (p->grpc_enabled) {
        ingest_init(&o->grpc_in, h, o->pool, o->decompressor, "grpc",
                    otlp_grpc_max_bytes(&p->grpc));
        otlp_grpc_init(&o->grpc, h, &o->grpc_in, &p->grpc);
        share_out(o, &o->grpc, &o->grpc_in);
        o->grpc.door = p->grpc.auth_enabled ? auth_door_open(h, p->grpc.auth.authenticator) : NULL;
    }
    if (p->http_enabled) {
        ingest_init(&o->http_in, h, o->pool, o->decompressor, "http",
                    otlp_http_max_bytes(&p->http));
        otlp_http_init(&o->http, h, &o->http_in, &p->http);
        share_out(o, &o->http, &o->http_in);
        o->http.door = p->http.auth_enabled ? auth_door_open(h, p->http.auth.authenticator) : NULL;
    }
    return &o->base;
}

/* ---- start ---- */

/* The first worker reads the files. Under the lock. */
static int load_tls(struct otlp_shared *sh, struct shared_port *sp, const struct tls_settings *set, enum tls_alpn alpn,
                    struct err *err)
{
    struct tls_names names;

    if (sp->tls)
        return 0;
    tls_names_of(set, &names);
    const struct tls_config cfg = {
        TLS_CONFIG_OF(set, &names), .server = true, .alpn = alpn, .budget = sh->host->budget, .log = &sh->host->log};
    sp->tls = tls_context_new(&cfg, err);
    return sp->tls ? 0 : -1;
}

static int family_of(const char *transport)
{
    return strcmp(transport, "tcp4") == 0 ? AF_INET : strcmp(transport, "tcp6") == 0 ? AF_INET6 : 0;
}

/* Listens; the first worker probes, names the address and logs. Under the lock. */
static int listen_on(struct otlp_server *s, const char *endpoint, const char *transport, struct shared_port *sp,
                     struct err *err)
{
    struct host *h = s->host;
    bool uds = is_unix(transport), first = !sp->bound;
    char own[64], name[160];

    snprintf(name, sizeof name, "%s %s", s->port->transport, h->id);
    const struct listen_owner owner = {.instance = sp, .name = name, .family = family_of(transport)};
    if (!first && uds)
        return 0;
    if (first && !uds && listener_probe(endpoint, &owner, err) != 0)
        return -1;
    if (otlp_server_listen(s, &owner, first ? endpoint : sp->endpoint, uds, own, err) != 0)
        return -1;
    if (!first)
        return 0;
    memcpy(sp->endpoint, own, 64);
    sp->bound = true;
    char text[64];
    snprintf(text, sizeof text, "Starting %s server", s->port->name);
    log_info(&h->log, text, LOG_STR("endpoint", sp->endpoint));
    return 0;
}

static int otlp_start(struct component *c, struct err *err)
{
    struct otlp *o = otlp_of(c);
    struct otlp_shared *sh = c->host->shared;
    const struct otlp_protocols *p = &o->set->protocols;
    int rc = 0;

    o->started = true;
    pthread_mutex_lock(&sh->lock);
    if (p->grpc_enabled && p->grpc.tls_enabled)
        rc = load_tls(sh, &sh->grpc, &p->grpc.tls, TLS_ALPN_H2, err);
    if (rc == 0 && p->http_enabled && p->http.tls_enabled)
        rc = load_tls(sh, &sh->http, &p->http.tls, TLS_ALPN_H2_HTTP1, err);
    o->grpc.tls = sh->grpc.tls;
    o->http.tls = sh->http.tls;
    if (rc == 0 && p->grpc_enabled)
        rc = listen_on(&o->grpc, p->grpc.endpoint, p->grpc.transport, &sh->grpc, err);
    if (rc == 0 && p->http_enabled)
        rc = listen_on(&o->http, p->http.endpoint, p->http.transport, &sh->http, err);
    pthread_mutex_unlock(&sh->lock);
    return rc;
}

/* ---- end ---- */

static bool is_empty(const struct otlp_server *s)
{
    return !s->host || (s->draining && s->n_conns == 0);
}

static void on_empty(void *ctx)
{
    struct otlp *o = ctx;

    if (o->drained || !is_empty(&o->grpc) || !is_empty(&o->http))
        return;
    o->drained = true;
    host_drained(o->base.host);
}

static void otlp_drain(struct component *c)
{
    struct otlp *o = otlp_of(c);
    bool cut = host_deadline_passed(c->host);

    if (o->grpc.host)
        otlp_server_drain(&o->grpc, on_empty, o);
    if (o->http.host)
        otlp_server_drain(&o->http, on_empty, o);
    if (cut && o->grpc.host)
        otlp_server_cut(&o->grpc);
    if (cut && o->http.host)
        otlp_server_cut(&o->http);
}

static void otlp_destroy(struct component **c)
{
    struct otlp *o = otlp_of(*c);

    *c = NULL;
    otlp_server_close(&o->grpc);
    otlp_server_close(&o->http);
    auth_door_close(&o->grpc.door);
    auth_door_close(&o->http.door);
    ingest_close(&o->grpc_in);
    ingest_close(&o->http_in);
    decompressor_free(&o->decompressor);
    body_pool_free(&o->pool);
    free(o);
}

const struct component_type otlp_receiver_type = {
    .kind = RECEIVER,
    .name = "otlp",
    .stability = "stable",
    .summary = "Receives traces over OTLP/gRPC and OTLP/HTTP.",
    .keys = otlp_keys,
    .settings_size = sizeof(struct otlp_settings),
    .metrics = otlp_metrics,
    .check = otlp_check,
    .memory = otlp_memory,
    .shared_create = otlp_shared_create,
    .shared_destroy = otlp_shared_destroy,
    .create = otlp_create,
    .start = otlp_start,
    .drain = otlp_drain,
    .destroy = otlp_destroy,
};
