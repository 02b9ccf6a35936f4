/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the way out costs: one otlp_grpc exporter on one thread, from pushed batches to written bytes,
 * against a sink in a child process that reads, throws away and answers. CPU time of the exporter's thread
 * over spans, kernel time included, one line per codec.
 *
 *   build/obj/bench/micro_export [spans per batch] [batches] [codec]
 */
#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/check.h"
#include "config/decode.h"
#include "config/yaml.h"
#include "exporters/exporters.h"
#include "model/attr.h"
#include "model/otlp_walk.h"
#include "platform/hash.h"

#define SPANS_PER_PAYLOAD 512u

/* ---- the sink ---- */

static ssize_t sink_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                         nghttp2_data_source *src, void *ctx)
{
    static const nghttp2_nv status = {(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0};

    (void)n;
    (void)src;
    (void)ctx;
    memset(buf, 0, 5);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(s, id, &status, 1);
    return 5;
}

static int sink_frame(nghttp2_session *s, const nghttp2_frame *f, void *ctx)
{
    static const nghttp2_nv head[] = {{(uint8_t *)":status", (uint8_t *)"200", 7, 3, 0},
                                      {(uint8_t *)"content-type", (uint8_t *)"application/grpc", 12, 16, 0}};
    nghttp2_data_provider body = {.read_callback = sink_body};

    (void)ctx;
    if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) && (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        nghttp2_submit_response(s, f->hd.stream_id, head, 2, &body);
    return 0;
}

static ssize_t sink_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *ctx)
{
    ssize_t w = write(*(int *)ctx, p, n);

    (void)s;
    (void)flags;
    return w > 0 ? w : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* One connection, blocking, windows of 1 GiB: the sink must never be what is waited for. */
static void sink(int listener)
{
    const nghttp2_settings_entry set[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1u << 30},
                                          {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100}};
    static uint8_t buf[256 * 1024];
    nghttp2_session_callbacks *cb;
    nghttp2_session *s;
    int fd = accept(listener, NULL, NULL);
    ssize_t n;

    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, sink_frame);
    nghttp2_session_callbacks_set_send_callback(cb, sink_send);
    nghttp2_session_server_new(&s, cb, &fd);
    nghttp2_submit_settings(s, 0, set, 2);
    nghttp2_session_set_local_window_size(s, 0, 0, 1 << 30);
    nghttp2_session_send(s);
    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (nghttp2_session_mem_recv(s, buf, (size_t)n) < 0 || nghttp2_session_send(s) != 0)
            break;
    }
    _exit(0);
}

static pid_t sink_start(unsigned *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    pid_t pid;

    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *port = ntohs(a.sin_port);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        sink(fd);
    close(fd);
    return pid;
}

/* ---- spans ---- */

static void put(int rc)
{
    CHECK(rc == 0);
}

static void put_span(struct buf *out, uint64_t n)
{
    static const char *const keys[] = {"http.request.method", "url.path", "server.address", "thread.name", "user.id"};
    char id[17], value[40];
    struct buf body = {0};

    snprintf(id, sizeof(id), "%016llx", (unsigned long long)(n / 8 * 0x9e3779b97f4a7c15ull + 1));
    put(wire_put_bytes(&body, SPAN_TRACE_ID, slice_of(id, 16)));
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)(n * 0x9e3779b97f4a7c15ull));
    put(wire_put_bytes(&body, SPAN_SPAN_ID, slice_of(id + 8, 8)));
    put(wire_put_bytes(&body, SPAN_PARENT_ID, slice_of(id, 8)));
    put(wire_put_bytes(&body, SPAN_NAME, slice_str("GET /api/v1/orders/{id}")));
    put(wire_put_uint(&body, SPAN_KIND, 2));
    put(wire_put_fixed64(&body, SPAN_START, 1700000000000000000ull + n * 1000));
    put(wire_put_fixed64(&body, SPAN_END, 1700000000000000000ull + n * 1000 + 12345 + n % 977));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        snprintf(value, sizeof(value), "value-%zu-%llu", i, (unsigned long long)(n * (i + 1) % 1009));
        put(attr_put_str(&body, SPAN_ATTRIBUTES, slice_str(keys[i]), slice_str(value)));
    }
    put(wire_put_bytes(out, 2, slice_of(body.p, body.len)));
    buf_free(&body);
}

static struct payload *payload(struct budget *b, uint64_t first)
{
    struct buf scope = {0}, resource = {0}, request = {0};
    struct walk_report report;
    struct payload *p;
    struct err err;
    uint8_t *bytes;

    put(wire_put_bytes(&scope, 1, slice_of("\x0a\x02io", 4)));
    for (uint64_t i = 0; i < SPANS_PER_PAYLOAD; i++)
        put_span(&scope, first + i);
    put(wire_put_bytes(&resource, 2, slice_of(scope.p, scope.len)));
    put(wire_put_bytes(&request, 1, slice_of(resource.p, resource.len)));
    bytes = malloc(request.len);
    CHECK(bytes != NULL);
    memcpy(bytes, request.p, request.len);
    p = payload_new(b, &bytes, request.len, 0);
    CHECK(otlp_walk(p, &report, &err) == WALK_OK && report.spans == SPANS_PER_PAYLOAD);
    buf_free(&scope);
    buf_free(&resource);
    buf_free(&request);
    return p;
}

/* ---- the run ---- */

struct run {
    struct host host;
    struct ledger ledger;
    struct component *c;
    struct payload **payloads; /* of one batch, pushed again and again */
    unsigned n_payloads, left, in_flight, in_flight_max;
    bool drained;
};

static void on_drained(struct host *h)
{
    struct run *r = CONTAINER_OF(h, struct run, host);

    r->drained = true;
    loop_stop(h->loop);
}

static void push_more(void *ctx);

/* A batch has been answered by the backend: room for another. */
static void on_answer(void *ctx, const struct answer_detail *d)
{
    struct run *r = ctx;

    CHECK(d->answer == ANSWER_OK);
    r->in_flight--;
    if (r->left > 0)
        loop_post(r->host.loop, push_more, r);
    else if (r->in_flight == 0)
        r->c->type->drain(r->c);
}

static void push_one(struct run *r)
{
    struct batch *all = NULL, *b;

    for (unsigned i = 0; i < r->n_payloads; i++) {
        struct payload *p = payload_ref(r->payloads[i]);

        b = batch_new(&p, &r->ledger);
        if (all == NULL)
            all = b;
        else
            batch_append(all, &b);
    }
    all->waiter = (struct waiter){on_answer, r};
    r->left--;
    r->in_flight++;
    r->c->type->push(r->c, &all);
}

static void push_more(void *ctx)
{
    struct run *r = ctx;

    while (r->left > 0 && r->in_flight < r->in_flight_max)
        push_one(r);
}

static const void *settings_of(struct arena *arena, const char *yaml)
{
    const struct component_type *type = &otlp_grpc_exporter_type;
    struct diags *diags = diags_new();
    struct pos at = {.file = "bench.yaml", .line = 1, .col = 1};
    const struct node *n = yaml_parse(arena, &at, false, slice_str(yaml), diags);
    struct decoder d = {.arena = arena, .diags = diags, .whole = type->keys};
    struct path path = {.name = type->name};
    void *settings = arena_alloc(arena, type->settings_size);

    decode_struct(&d, &path, at, type->keys, n, settings);
    CHECK(diags->n == 0);
    diags_free(&diags);
    return settings;
}

static double thread_cpu_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void bench(const char *codec, unsigned spans, unsigned batches)
{
    struct budget *budget = budget_new(0, 0);
    struct arena *arena = arena_new();
    struct run r = {.n_payloads = (spans + SPANS_PER_PAYLOAD - 1) / SPANS_PER_PAYLOAD, .left = batches, .in_flight_max = 4};
    char yaml[200];
    struct err err;
    unsigned port;
    pid_t pid = sink_start(&port);
    double cpu;

    r.host = (struct host){.loop = loop_new("bench"), .budget = budget, .metrics = metric_set_new(), .n_workers = 1,
                           .id = "otlp_grpc", .drained_fn = on_drained};
    snprintf(yaml, sizeof(yaml), "endpoint: 127.0.0.1:%u\ntls: {insecure: true}\ncompression: %s\n"
             "sending_queue: {wait_for_result: true}\n", port, codec);
    r.payloads = mem_alloc_array(r.n_payloads, sizeof(struct payload *));
    for (unsigned i = 0; i < r.n_payloads; i++)
        r.payloads[i] = payload(budget, (uint64_t)i * SPANS_PER_PAYLOAD);
    r.c = otlp_grpc_exporter_type.create(&r.host, settings_of(arena, yaml), &err);
    CHECK(r.c != NULL && r.c->type->start(r.c, &err) == 0);
    cpu = thread_cpu_s();
    loop_post(r.host.loop, push_more, &r);
    loop_run(r.host.loop);
    cpu = thread_cpu_s() - cpu;
    CHECK(r.drained && r.ledger.fate[FATE_EXPORTED] == (uint64_t)batches * r.n_payloads * SPANS_PER_PAYLOAD);
    printf("%-7s %6u spans a batch, %4u bytes a span: %.3f us/span\n", codec, r.n_payloads * SPANS_PER_PAYLOAD,
           r.payloads[0]->len / SPANS_PER_PAYLOAD, cpu * 1e6 / (double)r.ledger.accepted);
    r.c->type->destroy(&r.c);
    for (unsigned i = 0; i < r.n_payloads; i++)
        payload_unref(&r.payloads[i]);
    free(r.payloads);
    loop_free(&r.host.loop);
    metric_set_free(&r.host.metrics);
    arena_free(&arena);
    budget_free(&budget);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    static const char *const codecs[] = {"none", "gzip", "zstd", "snappy"};
    unsigned spans = argc > 1 ? (unsigned)atoi(argv[1]) : 8192, batches = argc > 2 ? (unsigned)atoi(argv[2]) : 100;

    hash_seed(1);
    for (size_t i = 0; i < ARRAY_LEN(codecs); i++)
        if (argc <= 3 || strcmp(argv[3], codecs[i]) == 0)
            bench(codecs[i], spans, batches);
    return 0;
}
