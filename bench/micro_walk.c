/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the walk costs: nanoseconds per span for walk and index of a request of 512 spans of about
 * 260 bytes, beside memcpy of the same bytes and protobuf-c's unpack. Several requests are used in
 * turn, so that the bodies do not stay in the first-level caches.
 *
 *   build/obj/bench/micro_walk [spans per request] [requests]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model/attr.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "model/proto/otlp.pb-c.h"
#include "platform/hash.h"

enum { ROUNDS = 7, PARTS_MOST = 4096 };

static const char *const keys[] = {
    "http.request.method", "url.path",      "http.response.status_code", "server.address",
    "net.peer.port",       "user.id",       "thread.name",               "db.system",
    "code.function",       "messaging.key", "retry",                     "enduser.id",
};
static const char *const values[] = {"GET", "/api/carts/items", "", "checkout-7", "", "u-81723",
                                     "worker-3", "postgresql", "Cart.add", "k1", "", "none"};

static void need(int rc)
{
    if (rc < 0)
        abort();
}

static void put_id(struct buf *b, uint32_t number, size_t n, uint64_t *rng)
{
    uint64_t id[2] = {random_next(rng) | 1, random_next(rng) | 1};

    need(wire_put_bytes(b, number, slice_of(id, n)));
}

static void put_status(struct buf *b, uint32_t code)
{
    uint8_t body[2] = {0x18, (uint8_t)code};

    need(wire_put_bytes(b, SPAN_STATUS, slice_of(body, code ? 2 : 0)));
}

static void make_span(struct buf *b, uint64_t *rng)
{
    uint64_t at_ns = 1700000000000000000u + (random_next(rng) & 0xffffffff);
    size_t n_attributes = 5 + random_next(rng) % 4;
    uint8_t flags[] = {0x85, 0x01, 1, 1, 0, 0};

    put_id(b, SPAN_TRACE_ID, 16, rng);
    put_id(b, SPAN_SPAN_ID, 8, rng);
    put_id(b, SPAN_PARENT_ID, 8, rng);
    need(buf_add(b, flags, sizeof(flags)));
    need(wire_put_bytes(b, SPAN_NAME, slice_str("GET /api/carts/{id}")));
    need(wire_put_uint(b, SPAN_KIND, 2));
    need(wire_put_fixed64(b, SPAN_START, at_ns));
    need(wire_put_fixed64(b, SPAN_END, at_ns + 1000000));
    for (size_t i = 0; i < n_attributes; i++) {
        size_t k = (i + random_next(rng) % 5) % ARRAY_LEN(keys);

        if (*values[k])
            need(attr_put_str(b, SPAN_ATTRIBUTES, slice_str(keys[k]), slice_str(values[k])));
        else
            need(attr_put_int(b, SPAN_ATTRIBUTES, slice_str(keys[k]), 200));
    }
    put_status(b, random_next(rng) % 20 == 0 ? 2 : 0);
}

static struct buf make_request(size_t n_spans, uint64_t *rng)
{
    struct buf span = {0}, scope = {0}, resource = {0}, body = {0}, out = {0};

    need(wire_put_bytes(&body, SCOPE_NAME, slice_str("bench")));
    need(wire_put_bytes(&scope, 1, slice_of(body.p, body.len)));
    for (size_t i = 0; i < n_spans; i++) {
        buf_clear(&span);
        make_span(&span, rng);
        need(wire_put_bytes(&scope, 2, slice_of(span.p, span.len)));
    }
    buf_clear(&body);
    need(attr_put_str(&body, RESOURCE_ATTRIBUTES, slice_str("service.name"), slice_str("cart")));
    need(wire_put_bytes(&resource, 1, slice_of(body.p, body.len)));
    need(wire_put_bytes(&resource, 2, slice_of(scope.p, scope.len)));
    need(wire_put_bytes(&out, 1, slice_of(resource.p, resource.len)));
    buf_free(&span);
    buf_free(&scope);
    buf_free(&resource);
    buf_free(&body);
    return out;
}

static void keep(void *ctx, uint8_t *bytes)
{
    (void)ctx;
    (void)bytes;
}

static uint64_t sink_bytes; /* so that nothing is optimised away */

static struct payload *indexed(const struct buf *request)
{
    struct payload *p = payload_new_ext(NULL, request->p, request->len, 0, keep, NULL);
    struct walk_report report;
    struct err err;

    if (otlp_walk(p, &report, &err) != WALK_OK)
        abort();
    return p;
}

static void do_walk(const struct buf *request)
{
    struct payload *p = indexed(request);

    sink_bytes += p->n_spans;
    payload_unref(&p);
}

static void do_memcpy(const struct buf *request)
{
    static uint8_t *copy;
    static size_t cap;

    if (cap < request->len) {
        free(copy);
        copy = malloc(request->len);
        cap = request->len;
    }
    if (!copy)
        abort();
    memcpy(copy, request->p, request->len);
    sink_bytes += copy[request->len / 2];
}

static void do_unpack(const struct buf *request)
{
    Otlp__ExportRequest *m = otlp__export_request__unpack(NULL, request->len, request->p);

    if (!m)
        abort();
    sink_bytes += m->n_resource_spans;
    otlp__export_request__free_unpacked(m, NULL);
}

static void do_attributes(const struct buf *request)
{
    struct payload *p = indexed(request);
    struct attr a;

    for (uint32_t i = 0; i < p->n_spans; i++)
        for (struct attr_iter it = attr_iter(span_body(&p->spans[i]), SPAN_ATTRIBUTES);
             attr_next(&it, &a);)
            sink_bytes += a.key.len;
    payload_unref(&p);
}

/* Every second span dropped: the encoder's worst case. */
static void do_derive_encode(const struct buf *request)
{
    static struct encoded e;
    struct payload *p = indexed(request), *half = payload_derive(p, 0, p->n_spans);
    struct part part;

    for (uint32_t i = 0; i < half->n_spans; i += 2)
        payload_drop_span(half, i);
    payload_compact(half);
    part = (struct part){.payload = half, .n = half->n_spans};
    e.n_iov = 0;
    e.len = 0;
    buf_clear(&e.scratch);
    need(otlp_encode_part(&part, &e));
    sink_bytes += e.len;
    payload_unref(&half);
    payload_unref(&p);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void measure(const char *name, void (*work)(const struct buf *), const struct buf *requests,
                    size_t n, size_t n_spans, size_t turns)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start_ns = now_ns();
        double ns;

        for (size_t t = 0; t < turns; t++)
            for (size_t i = 0; i < n; i++)
                work(&requests[i]);
        ns = (double)(now_ns() - start_ns) / (double)(turns * n * n_spans);
        if (round == 0 || ns < best)
            best = ns;
    }
    printf("%-34s %8.1f ns/span\n", name, best);
}

int main(int argc, char **argv)
{
    size_t n_spans = argc > 1 ? (size_t)atol(argv[1]) : 512;
    size_t n = argc > 2 ? (size_t)atol(argv[2]) : 64;
    size_t turns = n_spans * n > 100000 ? 4 : 400000 / (n_spans * n) + 1;
    struct buf *requests = calloc(n ? n : 1, sizeof(*requests));
    uint64_t rng = 42;

    if (!requests || n_spans == 0 || n == 0)
        return 2;
    for (size_t i = 0; i < n; i++)
        requests[i] = make_request(n_spans, &rng);
    printf("%zu requests of %zu spans, %zu bytes a span\n", n, n_spans, requests[0].len / n_spans);
    measure("memcpy of the body", do_memcpy, requests, n, n_spans, turns);
    measure("walk and index", do_walk, requests, n, n_spans, turns);
    measure("walk, then look at all attributes", do_attributes, requests, n, n_spans, turns);
    measure("walk, drop every other, encode", do_derive_encode, requests, n, n_spans, turns);
    measure("protobuf-c unpack and free", do_unpack, requests, n, n_spans, turns / 8 + 1);
    for (size_t i = 0; i < n; i++)
        buf_free(&requests[i]);
    free(requests);
    return sink_bytes == 0;
}
