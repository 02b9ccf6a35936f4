/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the otlp receiver from the first byte of a connection to the pipelines, without sockets:
 * net/conn.h and the listener are played by this file. HTTP/2 and gRPC framing, HTTP/1,
 * decompression, the walk and the answers all run as in the daemon.
 *
 * Input: byte 0 chooses the port (bit 0), whether a preface and a good header come first (bit 1),
 * whether the pipelines answer late, after the connection is gone (bit 2), and a small memory
 * budget (bit 3); byte 1 the size of the pieces; the rest is the connection. Afterwards nothing may
 * be held: no body charged, no connection, no request.
 */
#include <stdlib.h>

#include "net/conn.h"
#include "net/listen_socket.h"
#include "receivers/otlp.h"
#include "receivers/receivers.h"

/* The fuzz programs link the library only. */
#include "tests/lib/test_extension.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/lib/test_host.c"    /* NOLINT(bugprone-suspicious-include) */
#include "tests/lib/test_payload.c" /* NOLINT(bugprone-suspicious-include) */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- net/conn.h, played ---- */

struct conn {
    const struct conn_ops *ops;
    void *ctx;
    bool closed;
    size_t written;
};
struct listener {
    void (*on_accept)(void *ctx, struct conn *c);
    void *ctx;
};

static struct listener *ports[2];
static size_t n_ports;

struct listener *listener_new_for(const struct listen_owner *owner, struct loop *l, const char *endpoint, bool is_unix,
                                  bool reuse_port, char bound[static 64], void (*on_accept)(void *ctx, struct conn *c),
                                  void *ctx, struct err *err)
{
    struct listener *li = mem_alloc(sizeof(*li));

    (void)owner;
    (void)l;
    (void)endpoint;
    (void)is_unix;
    (void)reuse_port;
    (void)err;
    snprintf(bound, 64, "fuzz:%zu", n_ports);
    *li = (struct listener){on_accept, ctx};
    ports[n_ports++] = li;
    return li;
}
void listener_free(struct listener **l)
{
    free(*l);
    *l = NULL;
}
void listener_accept_waiting(struct listener *l)
{
    (void)l;
}
int listener_probe(const char *endpoint, const struct listen_owner *owner, struct err *err)
{
    (void)endpoint;
    (void)owner;
    (void)err;
    return 0;
}
bool listen_sockets_handed_on(void)
{
    return false;
}
void listener_pause(struct listener *l, bool paused)
{
    (void)l;
    (void)paused;
}
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *ctx)
{
    c->ops = ops;
    c->ctx = ctx;
}
void conn_read_start(struct conn *c)
{
    (void)c;
}
void conn_read_stop(struct conn *c)
{
    (void)c;
}
void conn_write(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok),
                void *done_ctx)
{
    for (size_t i = 0; i < n; i++)
        c->written += iov[i].iov_len;
    if (done)
        done(done_ctx, !c->closed);
}
size_t conn_unsent_bytes(const struct conn *c)
{
    (void)c;
    return 0;
}
void conn_shutdown(struct conn *c)
{
    (void)c;
}
void conn_close(struct conn *c, const char *reason)
{
    (void)reason;
    c->closed = true;
}
int conn_start_tls(struct conn *c, struct tls_context *ctx, struct err *err)
{
    (void)c;
    (void)ctx;
    return err_set(err, "no TLS here");
}
const char *conn_peer_ip(const struct conn *c)
{
    (void)c;
    return "192.0.2.1";
}
const char *conn_peer(const struct conn *c)
{
    (void)c;
    return "192.0.2.1:1";
}

/* ---- the receiver ---- */

static struct test_host *host;
static struct otlp_settings settings = {
    .fair_share_enabled = true,
    .fair_share = {.max_connection_percentage = 25},
    .protocols = {.grpc_enabled = true,
                  .http_enabled = true,
                  .grpc = {.endpoint = "x:0", .transport = "tcp", .include_metadata = true},
                  .http = {.endpoint = "x:0",
                           .transport = "tcp",
                           .max_request_body_size = 100000,
                           .include_metadata = true,
                           .keep_alives_enabled = true,
                           .traces_url_path = "/v1/traces",
                           .metrics_url_path = "/v1/metrics",
                           .logs_url_path = "/v1/logs"}}};

static void start_receiver(void)
{
    static const char *const algorithms[] = {"",       "gzip",    "zstd", "zlib",
                                             "snappy", "deflate", "lz4",  "x-snappy-framed"};
    static const char *const origins[] = {"https://*.example.com"};

    settings.protocols.http.compression_algorithms =
        (struct str_list){algorithms, ARRAY_LEN(algorithms)};
    settings.protocols.http.cors_enabled = true;
    settings.protocols.http.cors.allowed_origins = (struct str_list){origins, 1};
    host = th_new();
    host->host.log.sink = NULL;
    host->component = th_component(host, &otlp_receiver_type, &settings);
    CHECK(n_ports == 2);
}

/* A preface, SETTINGS, and the header of an Export call on stream 1. */
static const uint8_t opening[] =
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    "\0\0\0\4\0\0\0\0\0"
    "\0\0\x69\1\4\0\0\0\1"
    "\x83\x86\x04\x3b/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    "\x01\x01x\x0f\x10\x10"
    "application/grpc"
    "\x00\x0dgrpc-encoding\x04gzip";

static void feed(struct conn *c, const uint8_t *p, size_t n, size_t piece)
{
    while (n > 0 && !c->closed) {
        size_t take = n < piece ? n : piece;
        uint8_t *exact = malloc(take); /* so that reading past the end is seen */
        memcpy(exact, p, take);
        c->ops->on_read(c->ctx, exact, take);
        free(exact);
        p += take;
        n -= take;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!host)
        start_receiver();
    if (size < 2)
        return 0;
    struct listener *port = ports[data[0] & 1];
    struct conn c = {0};

    host->emit = data[0] & 4 ? TH_KEEP : TH_EXPORT;
    budget_set_limits(host->host.budget, data[0] & 8 ? 40000 : 0, data[0] & 8 ? 60000 : 0);
    port->on_accept(port->ctx, &c);
    if (!c.ops)
        return 0;
    if (data[0] & 2)
        feed(&c, opening, sizeof(opening) - 1, sizeof(opening));
    feed(&c, data + 2, size - 2, 1 + (size_t)data[1] * 16);
    th_turn(host);
    if (!c.closed && c.ops->on_eof)
        c.ops->on_eof(c.ctx);
    c.ops->on_closed(c.ctx, "");
    th_out_end(host);
    CHECK(budget_used(host->host.budget) == 0);
    CHECK(th_balanced(host));
    return 0;
}
