/* SPDX-License-Identifier: Apache-2.0 */
/* See otlp_random.h. A message is made as a list of records, which is shuffled when odd. */
#include "tests/lib/otlp_random.h"

#include <stdlib.h>

#include "model/attr.h"
#include "platform/hash.h"

enum { RECORDS_MOST = 48, DEPTH_MOST = 5 };

uint64_t otlp_random_below(struct otlp_random *r, uint64_t n)
{
    return (random_next(&r->state) >> 11) % n;
}

bool otlp_random_one_in(struct otlp_random *r, unsigned n)
{
    return otlp_random_below(r, n) == 0;
}

static bool oddly(struct otlp_random *r, unsigned n)
{
    return r->odd && otlp_random_one_in(r, n);
}

struct records {
    struct buf rec[RECORDS_MOST];
    size_t n;
};

static struct buf *record(struct records *m)
{
    CHECK(m->n < RECORDS_MOST);
    return &m->rec[m->n++];
}

/* A varint that is longer than it must be. */
static void put_padded(struct buf *b, uint64_t v, unsigned width)
{
    for (unsigned i = 1; i < width; i++, v >>= 7)
        buf_putc(b, (char)(v | 0x80));
    CHECK(v < 0x80);
    buf_putc(b, (char)v);
}

static void put_len(struct otlp_random *r, struct buf *b, uint32_t number, const void *p, size_t n)
{
    if (!oddly(r, 8)) {
        CHECK(wire_put_bytes(b, number, slice_of(p, n)) == 0);
        return;
    }
    put_padded(b, number << 3 | 2, 3 + (unsigned)otlp_random_below(r, 3));
    put_padded(b, n, (unsigned)(varint_size(n) + otlp_random_below(r, 6 - varint_size(n))));
    buf_put(b, p, n);
}

static void put_uint(struct otlp_random *r, struct records *m, uint32_t number, uint64_t v)
{
    if (v || oddly(r, 2))
        CHECK(wire_put_uint(record(m), number, v) == 0);
}

static void put_fixed64(struct otlp_random *r, struct records *m, uint32_t number, uint64_t v)
{
    if (v || oddly(r, 2))
        CHECK(wire_put_fixed64(record(m), number, v) == 0);
}

static void put_fixed32(struct records *m, uint32_t number, uint32_t v)
{
    struct buf *b = record(m);

    CHECK(wire_put_tag(b, number, 5) == 0);
    buf_put(b, &v, 4);
}

static const char *const words[] = {
    "",       "a",       "GET /",  "http.request.method", "service.name", "checkout",
    "gr\xc3\xbc\xc3\x9f", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", "\xf0\x9f\x90\x99 legs",
    "0123456789abcdef", "SELECT * FROM carts WHERE id = $1 AND owner = $2 ORDER BY created_at",
};
static const char *const broken[] = {"\xff", "abc\xc3", "\xc0\x80", "x\xed\xa0\x80y",
                                     "\xf0\x9f\x90", "\xe2\x82 0123456789abcdef"};

static void put_text(struct otlp_random *r, struct records *m, uint32_t number)
{
    struct buf text = {0};
    bool bad = oddly(r, 40);
    size_t n = otlp_random_below(r, 3);

    for (size_t i = 0; i <= n; i++)
        buf_puts(&text, words[otlp_random_below(r, ARRAY_LEN(words))]);
    if (bad)
        buf_puts(&text, broken[otlp_random_below(r, ARRAY_LEN(broken))]);
    if (otlp_random_one_in(r, 60))
        for (int i = 0; i < 40; i++)
            buf_puts(&text, "more than a kilobyte of text ");
    if (oddly(r, 20))
        buf_put(&text, "\0nul", 4);
    if (text.len > 0 || oddly(r, 2))
        put_len(r, record(m), number, text.p, text.len);
    buf_free(&text);
}

static void put_id(struct otlp_random *r, struct records *m, uint32_t number, size_t n)
{
    uint64_t id[2] = {random_next(&r->state), random_next(&r->state)};

    if (oddly(r, 12))
        id[0] = id[1] = 0;
    if (oddly(r, 12))
        n = 0;
    put_len(r, record(m), number, id, n);
}

static void put_unknown(struct otlp_random *r, struct records *m)
{
    uint32_t number = 2000 + (uint32_t)otlp_random_below(r, 100000);

    switch (otlp_random_below(r, 4)) {
    case 0:
        CHECK(wire_put_uint(record(m), number, random_next(&r->state)) == 0);
        break;
    case 1:
        CHECK(wire_put_fixed64(record(m), number, 7) == 0);
        break;
    case 2:
        put_fixed32(m, number, 7);
        break;
    default:
        put_len(r, record(m), number, "\xff\xfe unknown", 10);
    }
}

/* Joins the records to one message and adds it as field `number`. Frees them. */
static void put_message(struct otlp_random *r, struct buf *out, uint32_t number, struct records *m,
                        bool wrap)
{
    struct buf body = {0};

    if (oddly(r, 10))
        put_unknown(r, m);
    for (size_t i = m->n; r->odd && i > 1; i--) {
        size_t k = otlp_random_below(r, i);
        struct buf swap = m->rec[i - 1];

        m->rec[i - 1] = m->rec[k];
        m->rec[k] = swap;
    }
    for (size_t i = 0; i < m->n; i++) {
        buf_put(&body, m->rec[i].p, m->rec[i].len);
        buf_free(&m->rec[i]);
    }
    if (wrap)
        put_len(r, out, number, body.p, body.len);
    else
        buf_put(out, body.p, body.len);
    buf_free(&body);
}

static void put_value(struct otlp_random *r, struct buf *out, uint32_t number, unsigned depth);

static void put_keyvalue(struct otlp_random *r, struct buf *out, uint32_t number, unsigned depth)
{
    struct records m = {0};

    put_text(r, &m, KEYVALUE_KEY);
    if (!oddly(r, 10))
        put_value(r, record(&m), KEYVALUE_VALUE, depth);
    put_message(r, out, number, &m, true);
}

static void put_list(struct otlp_random *r, struct records *m, uint32_t number, unsigned depth)
{
    struct records items = {0};
    size_t n = otlp_random_below(r, 4);

    for (size_t i = 0; i < n; i++) {
        if (number == 6)
            put_keyvalue(r, record(&items), 1, depth + 1);
        else
            put_value(r, record(&items), 1, depth + 1);
    }
    put_message(r, record(m), number, &items, true);
}

static void put_value(struct otlp_random *r, struct buf *out, uint32_t number, unsigned depth)
{
    struct records m = {0};
    uint64_t kind = otlp_random_below(r, depth < DEPTH_MOST ? 12 : 10), bits = random_next(&r->state);

    if (kind < 5) {
        put_text(r, &m, 1);
    } else if (kind < 7) {
        uint64_t v = otlp_random_one_in(r, 3) ? bits : bits & 0xfff;

        CHECK(wire_put_uint(record(&m), 3, v) == 0);
    } else if (kind == 7) {
        CHECK(wire_put_uint(record(&m), 2, bits & 1) == 0);
    } else if (kind == 8) {
        CHECK(wire_put_fixed64(record(&m), 4, bits) == 0);
    } else if (kind == 9) {
        if (!otlp_random_one_in(r, 3))
            put_len(r, record(&m), 7, &bits, otlp_random_below(r, 9));
    } else {
        put_list(r, &m, kind == 10 ? 5 : 6, depth);
    }
    put_message(r, out, number, &m, true);
}

static void put_attributes(struct otlp_random *r, struct records *m, uint32_t number, size_t most)
{
    size_t n = otlp_random_below(r, most + 1);

    for (size_t i = 0; i < n; i++)
        put_keyvalue(r, record(m), number, 0);
}

static void put_event(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};

    put_fixed64(r, &m, EVENT_TIME, random_next(&r->state));
    put_text(r, &m, EVENT_NAME);
    put_attributes(r, &m, EVENT_ATTRIBUTES, 3);
    put_uint(r, &m, EVENT_DROPPED_ATTRIBUTES, otlp_random_below(r, 2));
    put_message(r, out, SPAN_EVENTS, &m, true);
}

static void put_link(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};

    put_id(r, &m, LINK_TRACE_ID, 16);
    put_id(r, &m, LINK_SPAN_ID, 8);
    put_text(r, &m, LINK_TRACE_STATE);
    put_attributes(r, &m, LINK_ATTRIBUTES, 3);
    put_uint(r, &m, LINK_DROPPED_ATTRIBUTES, otlp_random_below(r, 2) << 40);
    put_fixed32(&m, LINK_FLAGS, 0x101);
    put_message(r, out, SPAN_LINKS, &m, true);
}

static void put_status(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};

    put_text(r, &m, STATUS_MESSAGE);
    put_uint(r, &m, STATUS_CODE, otlp_random_below(r, 4));
    if (oddly(r, 10))
        CHECK(wire_put_uint(record(&m), 1, 2) == 0); /* the old deprecated code */
    put_message(r, out, SPAN_STATUS, &m, true);
}

static void put_span(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};
    size_t events = otlp_random_one_in(r, 3) ? otlp_random_below(r, 4) : 0;
    size_t links = otlp_random_one_in(r, 4) ? otlp_random_below(r, 3) : 0;

    put_id(r, &m, SPAN_TRACE_ID, 16);
    put_id(r, &m, SPAN_SPAN_ID, 8);
    if (otlp_random_one_in(r, 4))
        put_text(r, &m, SPAN_TRACE_STATE);
    if (!otlp_random_one_in(r, 4))
        put_id(r, &m, SPAN_PARENT_ID, 8);
    put_text(r, &m, SPAN_NAME);
    put_uint(r, &m, SPAN_KIND, oddly(r, 9) ? random_next(&r->state) : otlp_random_below(r, 6));
    put_fixed64(r, &m, SPAN_START, random_next(&r->state));
    put_fixed64(r, &m, SPAN_END, random_next(&r->state));
    put_attributes(r, &m, SPAN_ATTRIBUTES, 10);
    put_uint(r, &m, SPAN_DROPPED_ATTRIBUTES, otlp_random_below(r, 2) * 300);
    for (size_t i = 0; i < events; i++)
        put_event(r, record(&m));
    for (size_t i = 0; i < links; i++)
        put_link(r, record(&m));
    put_uint(r, &m, SPAN_DROPPED_EVENTS, otlp_random_below(r, 2));
    put_uint(r, &m, SPAN_DROPPED_LINKS, otlp_random_below(r, 2) << 35);
    if (!otlp_random_one_in(r, 4))
        put_status(r, record(&m));
    if (!otlp_random_one_in(r, 4))
        put_fixed32(&m, SPAN_FLAGS, (uint32_t)random_next(&r->state));
    put_message(r, out, 2, &m, true);
}

static void put_scope_head(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};

    put_text(r, &m, SCOPE_NAME);
    put_text(r, &m, SCOPE_VERSION);
    put_attributes(r, &m, SCOPE_ATTRIBUTES, 2);
    put_uint(r, &m, SCOPE_DROPPED_ATTRIBUTES, otlp_random_below(r, 2));
    put_message(r, out, 1, &m, true);
}

static void put_entity_ref(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};

    for (uint32_t number = 1; number <= 4; number++)
        put_text(r, &m, number);
    put_message(r, out, 3, &m, true);
}

static void put_resource_head(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};

    put_attributes(r, &m, RESOURCE_ATTRIBUTES, 6);
    put_uint(r, &m, RESOURCE_DROPPED_ATTRIBUTES, otlp_random_below(r, 2));
    if (otlp_random_one_in(r, 5))
        put_entity_ref(r, record(&m));
    put_message(r, out, 1, &m, true);
}

/* A resource or a scope in two parts, which decoders merge. Attributes only: protobuf-c loses numbers
 * and unknown fields when merging. */
static void put_split_head(struct otlp_random *r, struct records *m, uint32_t attributes)
{
    for (int i = 0; i < 2; i++) {
        struct records part = {0};
        struct otlp_random *plain = &(struct otlp_random){.state = r->state | 1};

        put_attributes(r, &part, attributes, 3);
        put_message(plain, record(m), 1, &part, true);
    }
}

static size_t count(struct otlp_random *r, unsigned most, unsigned usual)
{
    return otlp_random_below(r, (most ? most : usual) + 1) + (r->odd ? 0 : 1);
}

static void put_scope_spans(struct otlp_random *r, struct buf *out, uint32_t number)
{
    struct records m = {0};
    size_t n = count(r, r->max_spans, 6);

    if (oddly(r, 10))
        put_split_head(r, &m, SCOPE_ATTRIBUTES);
    else if (!otlp_random_one_in(r, 6))
        put_scope_head(r, record(&m));
    for (size_t i = 0; i < n && m.n + 4 < RECORDS_MOST; i++)
        put_span(r, record(&m));
    if (otlp_random_one_in(r, 3))
        put_text(r, &m, 3);
    put_message(r, out, number, &m, true);
}

static void put_resource_spans(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};
    size_t n = count(r, r->max_scopes, 3);
    bool legacy = oddly(r, 8);

    if (oddly(r, 10))
        put_split_head(r, &m, RESOURCE_ATTRIBUTES);
    else if (!otlp_random_one_in(r, 6))
        put_resource_head(r, record(&m));
    for (size_t i = 0; i < n && m.n + 5 < RECORDS_MOST; i++)
        put_scope_spans(r, record(&m), legacy ? 1000 : 2);
    if (legacy && otlp_random_one_in(r, 2))
        put_scope_spans(r, record(&m), 2);
    if (otlp_random_one_in(r, 3))
        put_text(r, &m, 3);
    put_message(r, out, 1, &m, true);
}

void otlp_random_request(struct otlp_random *r, struct buf *out)
{
    struct records m = {0};
    size_t n = count(r, r->max_resources, 3);

    for (size_t i = 0; i < n && m.n + 2 < RECORDS_MOST; i++)
        put_resource_spans(r, record(&m));
    put_message(r, out, 0, &m, false);
}

static void insert(struct buf *b, size_t at, const uint8_t *p, size_t n)
{
    CHECK(n <= 64);
    buf_put(b, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", n);
    memmove(b->p + at + n, b->p + at, b->len - n - at);
    memcpy(b->p + at, p, n);
}

static void damage_once(struct otlp_random *r, struct buf *b)
{
    static const uint8_t telling[] = {0, 1, 2, 7, 8, 0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x4a,
                                      0x5a, 0x6a, 0x7a, 0x7f, 0x80, 0x85, 0xff, 0x10, 0x0b, 0x0f};
    size_t at = otlp_random_below(r, b->len), n = otlp_random_below(r, 40) + 1;
    uint8_t copy[64];

    if (n > b->len - at)
        n = b->len - at;
    switch (otlp_random_below(r, 6)) {
    case 0:
        b->p[at] ^= (uint8_t)(1u << otlp_random_below(r, 8));
        break;
    case 1:
        b->p[at] = telling[otlp_random_below(r, sizeof(telling))];
        break;
    case 2:
        b->p[at] = (uint8_t)(b->p[at] + otlp_random_below(r, 3) - 1);
        break;
    case 3:
        memmove(b->p + at, b->p + at + n, b->len - at - n);
        b->len -= n;
        break;
    case 4:
        memcpy(copy, b->p + at, n);
        insert(b, at, copy, n);
        break;
    default:
        b->len = at;
    }
}

void otlp_random_damage(struct otlp_random *r, struct buf *b)
{
    size_t times = otlp_random_below(r, 3) + 1;

    for (size_t i = 0; i < times && b->len > 0; i++)
        damage_once(r, b);
}
