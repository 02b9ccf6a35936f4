/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load and sink for benchmarks: one process that sends OTLP/gRPC requests to a collector under test and
 * plays the backend behind it, and reads the collector's CPU clock before and after.
 *
 *   load ==requests==> collector under test ==batches==> sink (same process, same loop)
 *
 * Bodies are made before the clock starts. Every request gets fresh trace and span ids, patched in
 * place (tail sampling sees new traces); compressed bodies come from a pool made beforehand, since
 * compressing here would make the load the bottleneck.
 *
 * One thread, libuv + nghttp2. Written for benchmarks only: it trusts its peers.
 * Output: one line of key=value pairs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>
#include <zstd.h>

#define EXPORT_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define POOL 64 /* distinct bodies */

enum encoding { ENC_NONE, ENC_GZIP, ENC_ZSTD };

struct options {
    const char *host;
    int port, sink_port;
    int pid;
    uint32_t spans_per_request, spans_per_trace;
    uint64_t requests;
    uint32_t inflight, connections;
    enum encoding encoding;
    double error_share, slow_share;
    bool fresh_ids;
    bool wait_all; /* wait until the sink has every span that was accepted */
    uint32_t idle_ms;
    uint64_t seed;
    uint64_t deadline_s;
    bool stdin_go; /* listen, print "ready", then wait for the collector's pid on a line */
};

/* One prepared request: grpc frame, and where the ids stand in it. */
struct body {
    uint8_t *p;
    size_t len, raw_len;
    uint32_t *trace_at, *span_at, *parent_at; /* offsets per span; parent 0: none */
};

struct stats {
    uint64_t sent, ok, refused, failed;
    uint64_t spans_sent, spans_ok, wire_bytes, raw_bytes;
    uint64_t sink_requests, sink_spans, sink_bytes;
};

static struct options opt;
static struct stats st;
static struct body pool[POOL];
static uint64_t rng_state;
static uv_loop_t *loop;
static uint64_t last_sink_ns;
static struct libdeflate_decompressor *inflater;
static uint8_t *scratch;
static size_t scratch_cap;

static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

static double unit(void)
{
    return (double)(rng() >> 11) / 9007199254740992.0;
}

static uint64_t now_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- making bodies ---- */

struct wr {
    uint8_t *p;
    size_t len, cap;
};

static void wr_bytes(struct wr *w, const void *p, size_t n)
{
    if (w->len + n > w->cap) {
        w->cap = (w->len + n) * 2 + 256;
        w->p = realloc(w->p, w->cap);
        if (!w->p)
            die("out of memory");
    }
    memcpy(w->p + w->len, p, n);
    w->len += n;
}

static void wr_varint(struct wr *w, uint64_t v)
{
    uint8_t b[10];
    size_t n = 0;

    while (v >= 0x80) {
        b[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    b[n++] = (uint8_t)v;
    wr_bytes(w, b, n);
}

static void wr_len(struct wr *w, uint8_t tag, const void *p, size_t n)
{
    wr_bytes(w, &tag, 1);
    wr_varint(w, n);
    wr_bytes(w, p, n);
}

static void wr_fixed64(struct wr *w, uint8_t tag, uint64_t v)
{
    wr_bytes(w, &tag, 1);
    wr_bytes(w, &v, 8);
}

static void wr_attr_str(struct wr *w, uint8_t tag, const char *key, const char *value)
{
    struct wr kv = {0}, any = {0};

    wr_len(&any, 0x0a, value, strlen(value));
    wr_len(&kv, 0x0a, key, strlen(key));
    wr_len(&kv, 0x12, any.p, any.len);
    wr_len(w, tag, kv.p, kv.len);
    free(kv.p);
    free(any.p);
}

static void wr_attr_int(struct wr *w, uint8_t tag, const char *key, uint64_t value)
{
    struct wr kv = {0}, any = {0};
    uint8_t t = 0x18;

    wr_bytes(&any, &t, 1);
    wr_varint(&any, value);
    wr_len(&kv, 0x0a, key, strlen(key));
    wr_len(&kv, 0x12, any.p, any.len);
    wr_len(w, tag, kv.p, kv.len);
    free(kv.p);
    free(any.p);
}

/* 5 to 12 attributes; about 260 bytes a span with 512 of them in a request. */
static void wr_span_attributes(struct wr *w)
{
    static const char *const routes[] = {"/cart", "/checkout", "/item/{id}", "/login"};
    static const char *const methods[] = {"GET", "POST", "PUT"};
    char text[64];

    wr_attr_str(w, 0x4a, "http.request.method", methods[rng() % 3]);
    wr_attr_str(w, 0x4a, "http.route", routes[rng() % 4]);
    wr_attr_int(w, 0x4a, "http.response.status_code", rng() % 10 ? 200 : 404);
    snprintf(text, sizeof text, "u-%04x", (unsigned)(rng() & 0xffff));
    wr_attr_str(w, 0x4a, "enduser.id", text);
    wr_attr_int(w, 0x4a, "thread.id", rng() % 64);
    if (rng() % 2)
        wr_attr_str(w, 0x4a, "session.id", "0f8fad5bd9cb469f");
    if (rng() % 4 == 0) {
        wr_attr_str(w, 0x4a, "db.system.name", "postgresql");
        wr_attr_str(w, 0x4a, "server.address", "db-1.internal");
        wr_attr_int(w, 0x4a, "server.port", 5432);
    }
    if (rng() % 12 == 0) {
        wr_attr_str(w, 0x4a, "url.path", "/api/v1/things");
        wr_attr_str(w, 0x4a, "user_agent.original", "Mozilla/5.0");
        wr_attr_str(w, 0x4a, "network.protocol.version", "1.1");
        wr_attr_int(w, 0x4a, "http.request.body.size", rng() % 9000);
    }
}

static void make_span(struct wr *w, uint64_t start, bool slow, bool error, bool root, size_t at[3])
{
    static const char *const names[] = {"GET /cart", "POST /checkout", "SELECT shop.items", "render"};
    static const uint8_t ids[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    uint64_t ms = slow ? 6000 + rng() % 3000 : 1 + rng() % 400;
    const char *name = names[rng() % 4];
    uint8_t kind[2] = {0x30, (uint8_t)(1 + rng() % 3)};

    at[0] = w->len + 2;
    wr_len(w, 0x0a, ids, 16);
    at[1] = w->len + 2;
    wr_len(w, 0x12, ids, 8);
    at[2] = 0;
    if (!root) {
        at[2] = w->len + 2;
        wr_len(w, 0x22, ids, 8);
    }
    wr_len(w, 0x2a, name, strlen(name));
    wr_bytes(w, kind, 2);
    wr_fixed64(w, 0x39, start);
    wr_fixed64(w, 0x41, start + ms * 1000000u);
    wr_span_attributes(w);
    if (error)
        wr_bytes(w, "\x7a\x02\x18\x02", 4);
    wr_bytes(w, "\x85\x01\x01\x01\x00\x00", 6);
}

static void make_resource(struct wr *w, unsigned i)
{
    struct wr r = {0};
    char text[64];

    snprintf(text, sizeof text, "service-%u", i % 8);
    wr_attr_str(&r, 0x0a, "service.name", text);
    wr_attr_str(&r, 0x0a, "service.version", "1.4.2");
    snprintf(text, sizeof text, "host-%u", i % 16);
    wr_attr_str(&r, 0x0a, "host.name", text);
    wr_attr_str(&r, 0x0a, "deployment.environment.name", "production");
    wr_len(w, 0x0a, r.p, r.len);
    free(r.p);
}

static size_t varint_len(uint64_t v)
{
    size_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

/* One ResourceSpans, one ScopeSpans; ids are found again by the offsets noted on the way. */
static void make_raw(struct wr *out, struct body *b, unsigned index)
{
    uint32_t n = opt.spans_per_request;
    struct wr spans = {0}, scope = {0}, rs = {0};
    bool slow = false, error = false;

    b->trace_at = calloc(n, sizeof(uint32_t));
    b->span_at = calloc(n, sizeof(uint32_t));
    b->parent_at = calloc(n, sizeof(uint32_t));
    if (!b->trace_at || !b->span_at || !b->parent_at)
        die("out of memory");
    for (uint32_t i = 0; i < n; i++) {
        struct wr s = {0};
        size_t at[3];
        bool first = i % opt.spans_per_trace == 0;

        if (first) {
            slow = unit() < opt.slow_share;
            error = unit() < opt.error_share;
        }
        make_span(&s, 1700000000000000000u + rng() % 1000000u, slow && first, error && first, first, at);
        size_t base = spans.len + 1 + varint_len(s.len);
        b->trace_at[i] = (uint32_t)(base + at[0]);
        b->span_at[i] = (uint32_t)(base + at[1]);
        b->parent_at[i] = at[2] ? (uint32_t)(base + at[2]) : 0;
        wr_len(&spans, 0x12, s.p, s.len);
        free(s.p);
    }
    struct wr sc = {0};
    wr_len(&sc, 0x0a, "bench.library", 13);
    wr_len(&scope, 0x0a, sc.p, sc.len);
    size_t spans_at = scope.len;
    wr_bytes(&scope, spans.p, spans.len);
    make_resource(&rs, index);
    spans_at += rs.len + 1 + varint_len(scope.len);
    wr_len(&rs, 0x12, scope.p, scope.len);
    spans_at += 1 + varint_len(rs.len);
    wr_len(out, 0x0a, rs.p, rs.len);
    for (uint32_t i = 0; i < n; i++) {
        b->trace_at[i] += (uint32_t)spans_at;
        b->span_at[i] += (uint32_t)spans_at;
        if (b->parent_at[i])
            b->parent_at[i] += (uint32_t)spans_at;
    }
    free(sc.p);
    free(spans.p);
    free(scope.p);
    free(rs.p);
}

static void patch_ids(struct body *b, uint8_t *raw)
{
    uint64_t id[2] = {0, 0}, root = 0;

    for (uint32_t i = 0; i < opt.spans_per_request; i++) {
        uint64_t span = rng() | 1;

        if (i % opt.spans_per_trace == 0) {
            id[0] = rng();
            id[1] = rng() | 1;
            root = span;
        }
        memcpy(raw + b->trace_at[i], id, 16);
        memcpy(raw + b->span_at[i], &span, 8);
        if (b->parent_at[i])
            memcpy(raw + b->parent_at[i], &root, 8);
    }
}

static void frame(struct body *b, const uint8_t *p, size_t n, bool compressed)
{
    b->p = malloc(n + 5);
    if (!b->p)
        die("out of memory");
    b->p[0] = compressed;
    b->p[1] = (uint8_t)(n >> 24);
    b->p[2] = (uint8_t)(n >> 16);
    b->p[3] = (uint8_t)(n >> 8);
    b->p[4] = (uint8_t)n;
    memcpy(b->p + 5, p, n);
    b->len = n + 5;
}

static void make_body(struct body *b, unsigned index)
{
    struct wr raw = {0};

    make_raw(&raw, b, index);
    patch_ids(b, raw.p);
    b->raw_len = raw.len;
    if (opt.encoding == ENC_NONE) {
        frame(b, raw.p, raw.len, false);
    } else if (opt.encoding == ENC_GZIP) {
        struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
        size_t cap = libdeflate_gzip_compress_bound(c, raw.len);
        uint8_t *z = malloc(cap);
        size_t n = libdeflate_gzip_compress(c, raw.p, raw.len, z, cap);

        frame(b, z, n, true);
        free(z);
        libdeflate_free_compressor(c);
    } else {
        size_t cap = ZSTD_compressBound(raw.len);
        uint8_t *z = malloc(cap);
        size_t n = ZSTD_compress(z, cap, raw.p, raw.len, 1);

        frame(b, z, n, true);
        free(z);
    }
    free(raw.p);
}

/* ---- an HTTP/2 peer over libuv, either side ---- */

struct peer {
    uv_tcp_t tcp;
    nghttp2_session *h2;
    bool server;
    uint32_t open; /* client: streams in flight */
    uv_connect_t connect;
    bool writing;
};

struct stream {
    /* client */
    uint8_t *copy; /* own bytes with fresh ids; NULL: the pool's */
    const uint8_t *p;
    size_t len, at;
    int status;
    /* server */
    struct wr in;
};

static struct peer *clients;
static uint64_t next_request;
static bool done_sending;

static void peer_pump(struct peer *p);
static void submit_some(struct peer *p);

static void write_done(uv_write_t *w, int status)
{
    (void)status;
    struct peer *p = w->data;

    free(w);
    p->writing = false;
    peer_pump(p);
}

static void peer_pump(struct peer *p)
{
    static uint8_t out[1 << 20];
    size_t n = 0;

    if (p->writing || uv_is_closing((uv_handle_t *)&p->tcp))
        return;
    for (;;) {
        const uint8_t *data;
        ssize_t k = nghttp2_session_mem_send(p->h2, &data);

        if (k < 0)
            die("nghttp2 send");
        if (k == 0 && n == 0)
            return;
        if (k > 0) {
            memcpy(out + n, data, (size_t)k);
            n += (size_t)k;
            if (n + 70000 < sizeof out)
                continue;
        }
        uv_buf_t b = uv_buf_init((char *)out, (unsigned)n);
        int sent = uv_try_write((uv_stream_t *)&p->tcp, &b, 1);

        if (sent < 0 && sent != UV_EAGAIN) {
            uv_read_stop((uv_stream_t *)&p->tcp);
            return;
        }
        if (sent < 0)
            sent = 0;
        if ((size_t)sent < n) {
            size_t rest = n - (size_t)sent;
            uv_write_t *w = malloc(sizeof *w + rest);

            memcpy(w + 1, out + sent, rest);
            b = uv_buf_init((char *)(w + 1), (unsigned)rest);
            w->data = p;
            p->writing = true;
            uv_write(w, (uv_stream_t *)&p->tcp, &b, 1, write_done);
            return;
        }
        n = 0;
        if (k == 0)
            return;
    }
}

static uint8_t read_buf[256 * 1024];

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
    (void)h;
    (void)hint;
    *b = uv_buf_init((char *)read_buf, sizeof read_buf);
}

static void on_closed(uv_handle_t *h)
{
    struct peer *p = h->data;

    nghttp2_session_del(p->h2);
    if (p->server)
        free(p);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct peer *p = s->data;

    if (n < 0) {
        if (!p->server)
            die("the collector closed the connection");
        if (!uv_is_closing((uv_handle_t *)s))
            uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    if (n == 0)
        return;
    if (nghttp2_session_mem_recv(p->h2, (const uint8_t *)b->base, (size_t)n) < 0)
        die("nghttp2 receive");
    if (!p->server)
        submit_some(p);
    peer_pump(p);
}

/* ---- client side ---- */

static ssize_t body_read(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                         nghttp2_data_source *src, void *user)
{
    (void)h2;
    (void)id;
    (void)user;
    struct stream *s = src->ptr;
    size_t n = s->len - s->at < length ? s->len - s->at : length;

    memcpy(buf, s->p + s->at, n);
    s->at += n;
    if (s->at == s->len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(n, v) \
    { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, strlen(v), NGHTTP2_NV_FLAG_NONE }

static void submit_one(struct peer *p)
{
    struct body *b = &pool[next_request++ % POOL];
    struct stream *s = calloc(1, sizeof *s);
    nghttp2_nv nv[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", EXPORT_PATH), NV(":authority", "bench"),
                       NV("content-type", "application/grpc"), NV("te", "trailers"),
                       NV("grpc-encoding", opt.encoding == ENC_GZIP ? "gzip" : "zstd")};
    nghttp2_data_provider prd = {{.ptr = s}, body_read};

    s->p = b->p;
    s->len = b->len;
    s->status = -1;
    if (opt.fresh_ids && opt.encoding == ENC_NONE) {
        s->copy = malloc(b->len);
        memcpy(s->copy, b->p, b->len);
        patch_ids(b, s->copy + 5);
        s->p = s->copy;
    }
    st.sent++;
    st.spans_sent += opt.spans_per_request;
    st.wire_bytes += b->len;
    st.raw_bytes += b->raw_len;
    p->open++;
    if (nghttp2_submit_request(p->h2, NULL, nv, opt.encoding == ENC_NONE ? 6 : 7, &prd, s) < 0)
        die("nghttp2 submit");
}

static void submit_some(struct peer *p)
{
    while (p->open < opt.inflight && st.sent < opt.requests)
        submit_one(p);
    done_sending = st.sent >= opt.requests;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t nlen,
                     const uint8_t *value, size_t vlen, uint8_t flags, void *user)
{
    (void)flags;
    struct peer *p = user;

    if (!p->server && nlen == 11 && memcmp(name, "grpc-status", 11) == 0) {
        struct stream *s = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);

        if (s)
            s->status = vlen == 1 ? value[0] - '0' : 99;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
    (void)code;
    struct peer *p = user;
    struct stream *s = nghttp2_session_get_stream_user_data(h2, id);

    if (!s)
        return 0;
    if (!p->server) {
        p->open--;
        if (s->status == 0) {
            st.ok++;
            st.spans_ok += opt.spans_per_request;
        } else if (s->status > 0) {
            st.refused++;
        } else {
            st.failed++;
        }
    }
    free(s->copy);
    free(s->in.p);
    free(s);
    return 0;
}

/* ---- server side (the sink) ---- */

static size_t get_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    size_t n = 0;

    *v = 0;
    while (p + n < end && n < 10) {
        *v |= (uint64_t)(p[n] & 0x7f) << (7 * n);
        if (!(p[n++] & 0x80))
            return n;
    }
    return 0;
}

/* Counts LEN records with this tag, descending `path` deep: request 0a, ResourceSpans 12, ScopeSpans 12. */
static uint64_t count_records(const uint8_t *p, const uint8_t *end, const uint8_t *path, unsigned depth)
{
    uint64_t count = 0;

    while (p < end) {
        uint64_t tag, len = 0;
        size_t n = get_varint(p, end, &tag);

        if (n == 0)
            return count;
        p += n;
        if ((tag & 7) == 2) {
            n = get_varint(p, end, &len);
            if (n == 0 || len > (uint64_t)(end - p - (ptrdiff_t)n))
                return count;
            p += n;
            if (tag == path[0])
                count += depth == 1 ? 1 : count_records(p, p + len, path + 1, depth - 1);
            p += len;
        } else if ((tag & 7) == 0) {
            n = get_varint(p, end, &len);
            if (n == 0)
                return count;
            p += n;
        } else {
            p += (tag & 7) == 1 ? 8 : 4;
        }
    }
    return count;
}

static const uint8_t *unpack(const uint8_t *p, size_t *n)
{
    size_t cap = *n * 30 + 4096, got = 0;

    for (;;) {
        if (scratch_cap < cap) {
            scratch_cap = cap;
            scratch = realloc(scratch, cap);
        }
        if (*n > 2 && p[0] == 0x1f && p[1] == 0x8b) {
            int rc = libdeflate_gzip_decompress(inflater, p, *n, scratch, scratch_cap, &got);

            if (rc == LIBDEFLATE_INSUFFICIENT_SPACE) {
                cap *= 2;
                continue;
            }
            if (rc != LIBDEFLATE_SUCCESS)
                die("sink: bad gzip");
        } else {
            got = ZSTD_decompress(scratch, scratch_cap, p, *n);
            if (ZSTD_isError(got)) {
                cap *= 2;
                if (cap > (1u << 30))
                    die("sink: bad zstd");
                continue;
            }
        }
        *n = got;
        return scratch;
    }
}

static void sink_message(struct stream *s)
{
    static const uint8_t path[] = {0x0a, 0x12, 0x12};
    const uint8_t *p = s->in.p + 5;
    size_t n = s->in.len - 5;

    if (s->in.len < 5)
        return;
    if (s->in.p[0] == 1)
        p = unpack(p, &n);
    st.sink_requests++;
    st.sink_bytes += s->in.len;
    st.sink_spans += count_records(p, p + n, path, 3);
    last_sink_ns = uv_hrtime();
}

static ssize_t reply_read(nghttp2_session *h2, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                          nghttp2_data_source *src, void *user)
{
    static const uint8_t empty[5];
    nghttp2_nv trailer[] = {NV("grpc-status", "0")};

    (void)length;
    (void)src;
    (void)user;
    memcpy(buf, empty, 5);
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    nghttp2_submit_trailer(h2, id, trailer, 1);
    return 5;
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
    struct peer *p = user;

    if (p->server)
        nghttp2_session_set_stream_user_data(h2, f->hd.stream_id, calloc(1, sizeof(struct stream)));
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
    (void)flags;
    struct peer *p = user;

    if (p->server) {
        struct stream *s = nghttp2_session_get_stream_user_data(h2, id);

        wr_bytes(&s->in, data, len);
    }
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
    struct peer *p = user;

    if (p->server && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS)) {
        struct stream *s = nghttp2_session_get_stream_user_data(h2, f->hd.stream_id);
        nghttp2_nv nv[] = {NV(":status", "200"), NV("content-type", "application/grpc")};
        nghttp2_data_provider prd = {{0}, reply_read};

        sink_message(s);
        nghttp2_submit_response(h2, f->hd.stream_id, nv, 2, &prd);
    }
    return 0;
}

static void peer_session(struct peer *p)
{
    nghttp2_session_callbacks *cb;
    nghttp2_settings_entry iv[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (1u << 30)},
                                   {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1u << 20},
                                   {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000}};

    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    if (p->server)
        nghttp2_session_server_new(&p->h2, cb, p);
    else
        nghttp2_session_client_new(&p->h2, cb, p);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(p->h2, NGHTTP2_FLAG_NONE, iv, 3);
    nghttp2_session_set_local_window_size(p->h2, NGHTTP2_FLAG_NONE, 0, 1 << 30);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct peer *p = calloc(1, sizeof *p);

    if (status < 0)
        die("accept");
    p->server = true;
    p->tcp.data = p;
    uv_tcp_init(loop, &p->tcp);
    if (uv_accept(server, (uv_stream_t *)&p->tcp) < 0)
        die("accept");
    uv_tcp_nodelay(&p->tcp, 1);
    peer_session(p);
    uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
    peer_pump(p);
}

static void on_connect(uv_connect_t *c, int status)
{
    struct peer *p = c->data;

    if (status < 0)
        die("cannot connect to the collector under test");
    uv_tcp_nodelay(&p->tcp, 1);
    peer_session(p);
    uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read);
    submit_some(p);
    peer_pump(p);
}

/* ---- the run ---- */

static uint64_t proc_status_kib(const char *key)
{
    char path[64], line[256];
    uint64_t v = 0;

    snprintf(path, sizeof path, "/proc/%d/status", opt.pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            v = strtoull(line + strlen(key) + 1, NULL, 10);
    if (f)
        fclose(f);
    return v;
}

static uint64_t cpu_start_ns, wall_start_ns, rss_start_kib;
static clockid_t cpu_clock;

static void finish(uv_timer_t *t)
{
    uint64_t idle_ms = (uv_hrtime() - last_sink_ns) / 1000000u;
    uint64_t answered = st.ok + st.refused + st.failed;
    bool all = done_sending && answered == opt.requests;
    bool over = uv_hrtime() - wall_start_ns > opt.deadline_s * 1000000000u;

    if (!over && (!all || (opt.wait_all ? st.sink_spans < st.spans_ok : idle_ms < opt.idle_ms)))
        return;
    uint64_t cpu_ns = opt.pid ? now_ns(cpu_clock) - cpu_start_ns : 0;
    printf("requests=%" PRIu64 " ok=%" PRIu64 " refused=%" PRIu64 " failed=%" PRIu64 " spans=%" PRIu64
           " spans_ok=%" PRIu64 " sink_spans=%" PRIu64 " sink_requests=%" PRIu64 " raw_bytes=%" PRIu64
           " bytes_per_span=%.1f cpu_ns=%" PRIu64 " us_per_span=%.4f wall_s=%.2f rss_start_kib=%" PRIu64 " rss_kib=%" PRIu64 " rss_peak_kib=%" PRIu64
           "%s\n",
           st.sent, st.ok, st.refused, st.failed, st.spans_sent, st.spans_ok, st.sink_spans, st.sink_requests,
           st.raw_bytes, (double)st.raw_bytes / (double)st.spans_sent, cpu_ns,
           (double)cpu_ns / 1000.0 / (double)(st.spans_ok ? st.spans_ok : 1), (double)(uv_hrtime() - wall_start_ns) / 1e9,
           rss_start_kib, opt.pid ? proc_status_kib("VmRSS:") : 0, opt.pid ? proc_status_kib("VmHWM:") : 0, over ? " deadline=1" : "");
    fflush(stdout);
    uv_timer_stop(t);
    exit(over ? 1 : 0);
}

static void usage(void)
{
    fputs("usage: load --target HOST:PORT [--sink PORT] [--pid PID] [--requests N] [--spans N] [--trace-spans N]\n"
          "            [--inflight N] [--connections N] [--encoding none|gzip|zstd] [--errors SHARE] [--slow SHARE]\n"
          "            [--fresh-ids] [--wait-all] [--idle-ms MS] [--seed N] [--deadline S] [--stdin]\n",
          stderr);
    exit(2);
}

static void parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"target", 1, 0, 't'}, {"sink", 1, 0, 's'}, {"pid", 1, 0, 'p'}, {"requests", 1, 0, 'r'}, {"spans", 1, 0, 'n'},
        {"trace-spans", 1, 0, 'T'}, {"inflight", 1, 0, 'i'}, {"connections", 1, 0, 'c'}, {"encoding", 1, 0, 'e'},
        {"errors", 1, 0, 'E'}, {"slow", 1, 0, 'S'}, {"fresh-ids", 0, 0, 'f'}, {"wait-all", 0, 0, 'w'},
        {"idle-ms", 1, 0, 'I'}, {"seed", 1, 0, 'R'}, {"deadline", 1, 0, 'D'}, {"stdin", 0, 0, 'g'}, {0, 0, 0, 0}};
    int c;

    opt = (struct options){.spans_per_request = 512, .spans_per_trace = 8, .requests = 2000, .inflight = 8,
                           .connections = 2, .idle_ms = 1000, .seed = 42, .error_share = 0.02, .slow_share = 0.02,
                           .deadline_s = 120};
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 't': {
            char *colon = strrchr(optarg, ':');

            if (!colon)
                usage();
            *colon = 0;
            opt.host = optarg;
            opt.port = atoi(colon + 1);
            break;
        }
        case 's': opt.sink_port = atoi(optarg); break;
        case 'p': opt.pid = atoi(optarg); break;
        case 'r': opt.requests = strtoull(optarg, NULL, 10); break;
        case 'n': opt.spans_per_request = (uint32_t)atoi(optarg); break;
        case 'T': opt.spans_per_trace = (uint32_t)atoi(optarg); break;
        case 'i': opt.inflight = (uint32_t)atoi(optarg); break;
        case 'c': opt.connections = (uint32_t)atoi(optarg); break;
        case 'e':
            opt.encoding = strcmp(optarg, "gzip") == 0 ? ENC_GZIP : strcmp(optarg, "zstd") == 0 ? ENC_ZSTD : ENC_NONE;
            break;
        case 'E': opt.error_share = atof(optarg); break;
        case 'S': opt.slow_share = atof(optarg); break;
        case 'f': opt.fresh_ids = true; break;
        case 'w': opt.wait_all = true; break;
        case 'I': opt.idle_ms = (uint32_t)atoi(optarg); break;
        case 'R': opt.seed = strtoull(optarg, NULL, 10); break;
        case 'g': opt.stdin_go = true; break;
        case 'D': opt.deadline_s = strtoull(optarg, NULL, 10); break;
        default: usage();
        }
    }
    if (!opt.host || !opt.spans_per_request || !opt.spans_per_trace)
        usage();
}

static void listen_sink(void)
{
    static uv_tcp_t sink;
    struct sockaddr_in addr;

    uv_ip4_addr("127.0.0.1", opt.sink_port, &addr);
    uv_tcp_init(loop, &sink);
    if (uv_tcp_bind(&sink, (struct sockaddr *)&addr, 0) < 0 ||
        uv_listen((uv_stream_t *)&sink, 128, on_connection) < 0)
        die("cannot listen for the sink");
}

/* The sink must be there before the collector starts, or its first connection attempt fails. */
static void wait_for_go(void)
{
    char line[64];

    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(0);
    opt.pid = atoi(line);
}

int main(int argc, char **argv)
{
    static uv_timer_t timer;
    struct sockaddr_in addr;

    parse(argc, argv);
    rng_state = opt.seed * 0x9e3779b97f4a7c15u + 1;
    inflater = libdeflate_alloc_decompressor();
    loop = uv_default_loop();
    for (unsigned i = 0; i < POOL; i++)
        make_body(&pool[i], i);
    if (opt.sink_port)
        listen_sink();
    if (opt.stdin_go)
        wait_for_go();
    if (opt.pid) {
        if (clock_getcpuclockid(opt.pid, &cpu_clock) != 0)
            die("no such process");
        cpu_start_ns = now_ns(cpu_clock);
        rss_start_kib = proc_status_kib("VmRSS:");
    }
    wall_start_ns = last_sink_ns = uv_hrtime();
    uv_ip4_addr(opt.host, opt.port, &addr);
    clients = calloc(opt.connections, sizeof *clients);
    for (uint32_t i = 0; i < opt.connections; i++) {
        struct peer *p = &clients[i];

        uv_tcp_init(loop, &p->tcp);
        p->tcp.data = p;
        p->connect.data = p;
        uv_tcp_connect(&p->connect, &p->tcp, (struct sockaddr *)&addr, on_connect);
    }
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, finish, 20, 20);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0;
}
