/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP requests from plain C descriptions, and looks at what came out: see test_host.h. */
#include <stdlib.h>

#include "tests/lib/test_host.h"

static void put_uint(struct buf *out, uint32_t number, uint64_t v)
{
    if (v)
        CHECK(wire_put_uint(out, number, v) == 0);
}

static void put_time(struct buf *out, uint32_t number, uint64_t v)
{
    if (v)
        CHECK(wire_put_fixed64(out, number, v) == 0);
}

static void put_text(struct buf *out, uint32_t number, const char *s)
{
    if (s)
        CHECK(wire_put_bytes(out, number, slice_str(s)) == 0);
}

static void put_message(struct buf *out, uint32_t number, struct buf *body)
{
    CHECK(wire_put_bytes(out, number, slice_of(body->p, body->len)) == 0);
    buf_free(body);
}

static void big_endian(uint64_t v, uint8_t dst[static 8])
{
    for (int i = 0; i < 8; i++)
        dst[i] = (uint8_t)(v >> (56 - 8 * i));
}

void th_trace_id(uint64_t trace, uint8_t id[static 16])
{
    memset(id, trace ? 0x11 : 0, 8);
    big_endian(trace, id + 8);
}

static void put_span_id(struct buf *out, uint32_t number, uint64_t id)
{
    uint8_t bytes[8];

    big_endian(id, bytes);
    CHECK(wire_put_bytes(out, number, slice_of(bytes, 8)) == 0);
}

static void put_attrs(struct buf *out, uint32_t number, const struct test_attr *a, size_t max)
{
    for (size_t i = 0; i < max && a[i].key; i++) {
        struct any v = {.type = a[i].type, .bytes = a[i].raw, .i = a[i].i, .d = a[i].d};

        if (v.type == ANY_STR || v.type == ANY_BYTES)
            v.bytes = slice_str(a[i].s);
        CHECK(attr_put(out, number, slice_str(a[i].key), &v) == 0);
    }
}

static void put_event(struct buf *out, const struct test_span *s)
{
    struct buf e = {0};

    if (!s->event)
        return;
    put_time(&e, EVENT_TIME, s->start_ns + 1);
    put_text(&e, EVENT_NAME, s->event);
    put_attrs(&e, EVENT_ATTRIBUTES, s->event_attrs, ARRAY_LEN(s->event_attrs));
    put_message(out, SPAN_EVENTS, &e);
}

static void put_link(struct buf *out, const struct test_span *s)
{
    struct buf l = {0};
    uint8_t id[16];

    if (!s->link_attrs[0].key)
        return;
    th_trace_id(s->trace ^ 0xff00, id);
    CHECK(wire_put_bytes(&l, LINK_TRACE_ID, slice_of(id, 16)) == 0);
    put_span_id(&l, LINK_SPAN_ID, s->id ^ 0xff00);
    put_attrs(&l, LINK_ATTRIBUTES, s->link_attrs, ARRAY_LEN(s->link_attrs));
    put_message(out, SPAN_LINKS, &l);
}

static void put_status(struct buf *out, const struct test_span *s)
{
    struct buf st = {0};

    if (!s->status && !s->status_message)
        return;
    put_text(&st, STATUS_MESSAGE, s->status_message);
    put_uint(&st, STATUS_CODE, s->status);
    put_message(out, SPAN_STATUS, &st);
}

void th_put_span(struct buf *out, const struct test_span *s)
{
    uint8_t id[16];

    th_trace_id(s->trace, id);
    CHECK(wire_put_bytes(out, SPAN_TRACE_ID, slice_of(id, 16)) == 0);
    put_span_id(out, SPAN_SPAN_ID, s->id);
    put_text(out, SPAN_TRACE_STATE, s->trace_state);
    if (s->parent)
        put_span_id(out, SPAN_PARENT_ID, s->parent);
    put_text(out, SPAN_NAME, s->name);
    put_uint(out, SPAN_KIND, s->kind);
    put_time(out, SPAN_START, s->start_ns);
    put_time(out, SPAN_END, s->end_ns);
    put_attrs(out, SPAN_ATTRIBUTES, s->attrs, TH_ATTRS);
    put_event(out, s);
    put_link(out, s);
    put_status(out, s);
    if (s->extra.len)
        CHECK(buf_add(out, s->extra.p, s->extra.len) == 0);
}

static void put_scope(struct buf *out, const struct test_group *g)
{
    struct buf sc = {0};

    if (!g->scope && !g->scope_version && !g->scope_attrs[0].key)
        return;
    put_text(&sc, SCOPE_NAME, g->scope);
    put_text(&sc, SCOPE_VERSION, g->scope_version);
    put_attrs(&sc, SCOPE_ATTRIBUTES, g->scope_attrs, ARRAY_LEN(g->scope_attrs));
    put_message(out, 1, &sc);
}

void th_put_group(struct buf *out, const struct test_group *g)
{
    struct buf resource = {0}, scope_spans = {0}, resource_spans = {0};

    put_scope(&scope_spans, g);
    for (size_t i = 0; i < g->n_spans; i++) {
        struct buf span = {0};

        th_put_span(&span, &g->spans[i]);
        put_message(&scope_spans, 2, &span);
    }
    put_text(&scope_spans, 3, g->scope_schema);

    if (g->resource[0].key) {
        put_attrs(&resource, RESOURCE_ATTRIBUTES, g->resource, TH_ATTRS);
        put_message(&resource_spans, 1, &resource);
    }
    put_message(&resource_spans, 2, &scope_spans);
    put_text(&resource_spans, 3, g->resource_schema);
    put_message(out, 1, &resource_spans);
}

struct payload *th_payload_bytes(struct test_host *t, struct slice request)
{
    uint8_t *bytes = mem_alloc(request.len + 1);
    struct walk_report report;
    struct err err = {""};
    struct payload *p;

    memcpy(bytes, request.p, request.len);
    budget_force(t->host.budget, MEM_BODY, request.len);
    p = payload_new(t->host.budget, &bytes, request.len, request.len);
    CHECK(otlp_walk(p, &report, &err) == WALK_OK);
    return p;
}

struct payload *th_payload_groups(struct test_host *t, const struct test_group *g, size_t n)
{
    struct buf request = {0};
    struct payload *p;

    for (size_t i = 0; i < n; i++)
        th_put_group(&request, &g[i]);
    p = th_payload_bytes(t, slice_of(request.p, request.len));
    buf_free(&request);
    return p;
}

struct payload *th_payload(struct test_host *t, const struct test_span *spans, size_t n)
{
    struct test_group g = {
        .resource = {TH_STR("service.name", "shop")}, .scope = "test", .spans = spans, .n_spans = n};

    return th_payload_groups(t, &g, 1);
}

struct payload *th_payload_n(struct test_host *t, uint64_t first_trace, size_t n)
{
    struct test_span *spans = mem_alloc_array(n, sizeof(*spans));
    struct payload *p;

    for (size_t i = 0; i < n; i++)
        spans[i] = (struct test_span){.trace = first_trace + i,
                                      .id = i + 1,
                                      .name = "op",
                                      .start_ns = 1000000000 + i,
                                      .end_ns = 1001000000 + i,
                                      .attrs = {TH_STR("http.method", "GET"), TH_INT("n", (int64_t)i)}};
    p = th_payload(t, spans, n);
    free(spans);
    return p;
}

struct batch *th_batch(struct test_host *t, struct payload *p)
{
    return batch_new(&p, &t->ledger);
}

void th_push(struct component *c, struct batch *b)
{
    c->type->push(c, &b);
    CHECK(b == NULL);
}

/* ---- looking ---- */

const struct span *th_span(const struct batch *b, uint64_t k)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        if (k < b->parts[i].n)
            return &b->parts[i].payload->spans[b->parts[i].first + k];
        k -= b->parts[i].n;
    }
    CHECK(!"no such span");
    return NULL;
}

static const char *text_of(struct slice s)
{
    static char text[8][1024];
    static unsigned turn;
    char *dst = text[turn++ % ARRAY_LEN(text)];
    size_t n = s.len < sizeof(text[0]) ? s.len : sizeof(text[0]) - 1;

    if (n)
        memcpy(dst, s.p, n);
    dst[n] = '\0';
    return dst;
}

const char *th_span_attr(const struct span *s, const char *key)
{
    struct buf out = {0};
    const char *text;
    struct attr a;
    struct any v;

    if (!attr_find(span_body(s), SPAN_ATTRIBUTES, slice_str(key), &a))
        return NULL;
    v = any_parse(a.value);
    CHECK(any_as_string(&v, &out) == 0);
    text = text_of(slice_of(out.p, out.len));
    buf_free(&out);
    return text;
}

const char *th_span_name(const struct span *s)
{
    return text_of(field_bytes(span_body(s), SPAN_NAME));
}
