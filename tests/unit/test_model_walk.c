/* SPDX-License-Identifier: Apache-2.0 */
/* The walk on requests made by hand: verdicts, facts, repair, legacy, nesting, memory. What random
 * input does is in test_model_oracle.c. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/attr.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"

/* The reference's example: one resource, one scope, one span. */
#define RESOURCE "0a180a160a0c736572766963652e6e616d6512060a0463617274"
#define TRACE_ID "0a100102030405060708090a0b0c0d0e0f10"
#define SPAN_ID "12081112131415161718"
static const char vector[] =
    "0a78" RESOURCE "125c0a050a036c69621253" TRACE_ID SPAN_ID
    "2a05474554202f3002390000" "2a36fe9c97174140423936fe9c97174a100a016e120b18ffffffffffffffffff01"
    "7a021802850101010000";

static struct buf from_hex(const char *hex)
{
    struct buf b = {0};
    unsigned byte;

    for (; hex[0] && hex[1]; hex += 2) {
        ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
        buf_putc(&b, (char)byte);
    }
    ck_assert_int_eq(hex[0], 0);
    return b;
}

/* {number: body} */
static struct buf wrapped(uint32_t number, struct buf body)
{
    struct buf b = {0};

    ck_assert_int_eq(wire_put_bytes(&b, number, slice_of(body.p, body.len)), 0);
    buf_free(&body);
    return b;
}

static struct buf joined(struct buf a, struct buf b)
{
    buf_put(&a, b.p, b.len);
    buf_free(&b);
    return a;
}

static struct buf times(struct buf a, size_t n)
{
    struct buf b = {0};

    while (n-- > 0)
        buf_put(&b, a.p, a.len);
    buf_free(&a);
    return b;
}

/* A request with one scope that holds these ScopeSpans fields. */
static struct buf request_of(struct buf scope_fields)
{
    return wrapped(1, wrapped(2, scope_fields));
}

/* A span record with ids and these fields. */
static struct buf span_with(struct buf fields)
{
    return wrapped(2, joined(from_hex(TRACE_ID SPAN_ID), fields));
}

static struct buf one_span(struct buf fields)
{
    return request_of(span_with(fields));
}

/* The smallest request in which the attribute's AnyValue body stands. */
static struct buf with_value(struct buf value)
{
    return one_span(wrapped(9, wrapped(2, value)));
}

/* Takes the request. */
static struct payload *payload_in(struct budget *b, struct buf *request)
{
    size_t len = request->len;
    struct payload *p;

    if (b)
        budget_force(b, MEM_BODY, len);
    p = payload_new(b, &request->p, len, b ? len : 0);
    ck_assert_ptr_null(request->p);
    return p;
}

static enum walk_result walk(struct buf request, struct payload **p, struct walk_report *report,
                             struct err *err)
{
    *p = payload_in(NULL, &request);
    err->text[0] = '\0';
    return otlp_walk(*p, report, err);
}

static struct payload *walked(struct buf request, struct walk_report *report)
{
    struct payload *p;
    struct err err;
    enum walk_result result = walk(request, &p, report, &err);

    ck_assert_msg(result == WALK_OK, "%s", err.text);
    return p;
}

static void assert_malformed(struct buf request, const char *text)
{
    struct walk_report report;
    struct payload *p;
    struct err err;

    ck_assert_int_eq(walk(request, &p, &report, &err), WALK_MALFORMED);
    ck_assert_msg(strstr(err.text, text), "\"%s\" does not say: %s", err.text, text);
    ck_assert_uint_eq(p->n_spans + p->n_scopes + p->n_resources, 0);
    payload_unref(&p);
}

/* What the payload's spans encode to. */
static struct buf encoded(struct payload *p)
{
    struct part part = {.payload = p, .n = p->n_spans};
    struct encoded e = {0};
    struct buf b = {0};

    ck_assert_int_eq(otlp_encode_part(&part, &e), 0);
    ck_assert_int_eq(buf_reserve(&b, e.len + 1), 0);
    encoded_copy(&e, b.p);
    b.len = e.len;
    encoded_free(&e);
    return b;
}

/* ---- well-formed requests ---- */

START_TEST(the_reference_vector_gives_its_facts)
{
    static const uint8_t span_id[] = {0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18};
    struct buf request = from_hex(vector), copy = times(from_hex(vector), 1), out;
    struct walk_report report;
    struct payload *p = walked(request, &report);
    const struct span *s = &p->spans[0];

    ck_assert_uint_eq(report.spans, 1);
    ck_assert_uint_eq(report.rejected_trace_id + report.rejected_span_id, 0);
    ck_assert(p->intact);
    for (unsigned i = 0; i < 16; i++)
        ck_assert_uint_eq(s->trace_id[i], i + 1);
    ck_assert_mem_eq(s->span_id, span_id, 8);
    ck_assert_uint_eq(s->start_ns, 1700000000000000000u);
    ck_assert_uint_eq(s->end_ns, 1700000000001000000u);
    ck_assert_uint_eq(s->kind, 2);
    ck_assert_uint_eq(s->status, 2);
    ck_assert_uint_eq(s->w3c_flags, 0x101);
    ck_assert_uint_eq(s->flags, SPAN_ROOT);
    ck_assert(slice_eq(field_bytes(span_body(s), SPAN_NAME), slice_str("GET /")));
    ck_assert(slice_eq(field_bytes(p->scopes[0].scope, SCOPE_NAME), slice_str("lib")));
    out = encoded(p);
    ck_assert(slice_eq(slice_of(out.p, out.len), slice_of(copy.p, copy.len)));
    buf_free(&out);
    buf_free(&copy);
    payload_unref(&p);
}
END_TEST

START_TEST(twice_in_a_row_is_two_resources)
{
    struct walk_report report;
    struct payload *p = walked(times(from_hex(vector), 2), &report);

    ck_assert_uint_eq(p->n_resources, 2);
    ck_assert_uint_eq(p->n_scopes, 2);
    ck_assert_uint_eq(report.spans, 2);
    ck_assert_uint_eq(otlp_count_spans(slice_of(p->bytes, p->len)), 2);
    payload_unref(&p);
}
END_TEST

START_TEST(nothing_is_a_valid_request)
{
    static const char *const empty[] = {"", "0a00", "0a021200", "0a0412021a00", "0a020a00"};

    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        struct walk_report report;
        struct payload *p = walked(from_hex(empty[i]), &report);

        ck_assert_uint_eq(p->n_resources + p->n_scopes + p->n_spans, 0);
        payload_unref(&p);
    }
}
END_TEST

/* Fields of a span that are odd, yet fine. */
START_TEST(oddities_are_taken)
{
    static const char *const fields[] = {
        "50ffffffffffffffffff01",     /* a 64-bit counter */
        "8aff0300",                   /* a padded tag: field 8161 with no bytes */
        "ca80000512038a0200",         /* attributes, padded tag and an unknown field in the value */
        "4a8480808000120040" "00",    /* attribute with a padded length; its value is empty */
        "aa0600",                     /* unknown LEN */
        "a506ffffffff",               /* unknown fixed32 */
        "a1060000000000000000",       /* unknown fixed64 */
        "a006ffffffffffffffffff01",   /* unknown varint */
        "30ffffffffffffffffff01",     /* kind -1 */
        "2200",                       /* empty parent */
        "4a041200" "1805",            /* key_strindex */
        "4a041202" "4005",            /* string_value_strindex */
        "7a0408021801",               /* status with the deprecated field 1 */
        "7a00",
        "22080000000000000000",       /* zero parent: root */
    };

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct walk_report report;
        struct payload *p = walked(one_span(from_hex(fields[i])), &report);

        ck_assert_uint_eq(report.spans, 1);
        ck_assert_uint_eq(p->spans[0].flags, SPAN_ROOT);
        ck_assert(p->intact);
        payload_unref(&p);
    }
}
END_TEST

START_TEST(later_scalars_win)
{
    struct walk_report report;
    struct payload *p = walked(
        one_span(from_hex("3001" "3003" "2208aaaaaaaaaaaaaaaa" "2200" "1a0161" "1a00"
                          "39010000000000000039020000000000000012082122232425262728")),
        &report);
    const struct span *s = &p->spans[0];

    ck_assert_uint_eq(s->kind, 3);
    ck_assert_uint_eq(s->start_ns, 2);
    ck_assert_uint_eq(s->flags, SPAN_ROOT);
    ck_assert_uint_eq(s->span_id[0], 0x21);
    payload_unref(&p);
}
END_TEST

START_TEST(unknown_numbers_of_enums_are_255)
{
    struct walk_report report;
    struct payload *p = walked(one_span(from_hex("3006" "7a021803")), &report);

    ck_assert_uint_eq(p->spans[0].kind, 255);
    ck_assert_uint_eq(p->spans[0].status, 255);
    payload_unref(&p);
}
END_TEST

/* ---- malformed requests ---- */

static const struct {
    const char *span_fields, *text;
} malformed[] = {
    {"0a0f0102030405060708090a0b0c0d0e0f", "trace id"},
    {"120711121314151617", "span id"},
    {"220411121314", "span id"},
    {"6a030a0101", "trace id"},
    {"6a03120101", "span id"},
    {"0801", "wrong wire type"},       /* trace_id as varint */
    {"3200", "wrong wire type"},       /* kind as LEN */
    {"3d00000000", "wrong wire type"}, /* start as fixed32 */
    {"8001" "00", "wrong wire type"},  /* flags as varint */
    {"4801", "wrong wire type"},       /* attributes as varint */
    {"4a020801", "wrong wire type"},   /* key as varint */
    {"4a0412020801", "wrong wire type"},
    {"4a0412021200", "wrong wire type"}, /* bool as LEN */
    {"5a0208" "01", "wrong wire type"},
    {"7a021001", "wrong wire type"},
    {"0000", "field number 0"},
    {"0b0c", "group"},
    {"a306a406", "group"},
    {"0c", "group"},
    {"46", "wire type 6 or 7"},
    {"47", "wire type 6 or 7"},
    {"4a05", "length runs past"},
    {"2affffffff0f", "length runs past"},
    {"2a808080808000", "length runs past"},
    {"39000000", "cut off"},
    {"850101", "cut off"},
    {"30", "varint"},
    {"3080", "varint"},
    {"308080808080808080808001", "varint"},
    {"a00680808080808080808080" "01", "runs past"},
    {"ffffffffff01", "tag"},
    {"80", "tag"},
    {"4a040a000a00", "two keys"},
    {"4a0412001200", "two keys or two values"},
    {"4a0612041801" "1000", "two members"},
    {"4a0612042a00" "2a00", "two members"},
    {"7a007a00", "two statuses"},
};

START_TEST(malformed_spans_refuse_the_request)
{
    assert_malformed(one_span(from_hex(malformed[_i].span_fields)), malformed[_i].text);
}
END_TEST

START_TEST(malformed_envelopes_refuse_the_request)
{
    assert_malformed(from_hex("0a"), "length");
    assert_malformed(from_hex("0a05"), "length");
    assert_malformed(from_hex("0801"), "wrong wire type");
    assert_malformed(from_hex("0a021001"), "wrong wire type");
    assert_malformed(from_hex("0a0412021001"), "wrong wire type");
    assert_malformed(from_hex("0a03c03e01"), "wrong wire type"); /* field 1000 as varint */
    assert_malformed(from_hex("0a040a020801"), "wrong wire type");
    assert_malformed(from_hex("0a0612040a020801"), "wrong wire type");
    assert_malformed(from_hex("0a06" "1a0141" "1a0542"), "length");
    assert_malformed(joined(from_hex(vector), from_hex("0b")), "group");
}
END_TEST

/* In memory that ends with the request: the sanitizer sees a look behind it. */
START_TEST(an_id_cut_off_behind_another_is_not_read)
{
    struct buf request = request_of(wrapped(2, from_hex("1208" "4142434445464748" "0a10")));
    size_t len = request.len;
    uint8_t *exact = malloc(len);
    struct walk_report report;
    struct err err = {""};

    ck_assert_ptr_nonnull(exact);
    memcpy(exact, request.p, len);
    buf_free(&request);
    struct payload *p = payload_new(NULL, &exact, len, 0);
    ck_assert_int_eq(otlp_walk(p, &report, &err), WALK_MALFORMED);
    ck_assert_ptr_nonnull(strstr(err.text, "length runs past"));
    payload_unref(&p);
}
END_TEST

START_TEST(the_error_names_the_byte)
{
    struct walk_report report;
    struct payload *p;
    struct err err;

    ck_assert_int_eq(walk(joined(from_hex(vector), from_hex("0a0412020b0c")), &p, &report, &err),
                     WALK_MALFORMED);
    ck_assert_str_eq(err.text, "malformed OTLP request: a group at byte 127");
    payload_unref(&p);
}
END_TEST

START_TEST(every_cut_is_noticed)
{
    struct buf whole = from_hex(vector);

    for (size_t n = 1; n < whole.len; n++) {
        struct buf cut = {0};

        buf_put(&cut, whole.p, n);
        assert_malformed(cut, "malformed OTLP request");
    }
    buf_free(&whole);
}
END_TEST

/* ---- nesting ---- */

/* An AnyValue body with `levels` levels of arrays or maps around a string. */
static struct buf nested(unsigned levels, bool maps)
{
    struct buf v = from_hex("0a0178");

    for (unsigned i = 1; i < levels; i++)
        v = maps ? wrapped(6, wrapped(1, wrapped(2, v))) : wrapped(5, wrapped(1, v));
    return v;
}

START_TEST(nesting_is_bounded)
{
    for (int maps = 0; maps <= 1; maps++) {
        struct walk_report report;
        struct payload *p = walked(with_value(nested(OTLP_MAX_DEPTH, maps)), &report);

        ck_assert_uint_eq(report.spans, 1);
        payload_unref(&p);
        assert_malformed(with_value(nested(OTLP_MAX_DEPTH + 1, maps)), "nested deeper");
        assert_malformed(with_value(nested(3000, maps)), "nested deeper");
    }
}
END_TEST

START_TEST(a_bomb_of_nesting_does_not_reach_the_stack)
{
    /* 100,000 levels of arrays, all with the same padded length: it runs past the end, deep down. */
    struct buf bomb = times(from_hex("2aff7f0aff7f"), 100000);

    bomb.p[1] = 0xff;
    assert_malformed(with_value(bomb), "at byte");
}
END_TEST

/* ---- spans without ids ---- */

START_TEST(spans_without_ids_are_left_out)
{
    static const char *const zero[] = {
        "1208" "1112131415161718",                                     /* no trace id */
        "0a00" SPAN_ID,                                                /* empty */
        "0a1000000000000000000000000000000000" SPAN_ID, TRACE_ID,      /* zero; no span id */
        TRACE_ID "1200", TRACE_ID "12080000000000000000", "",
    };
    struct buf spans = from_hex("0a050a036c6962" /* scope */);
    struct walk_report report;
    struct payload *p;
    struct buf out;

    for (size_t i = 0; i < ARRAY_LEN(zero); i++) {
        spans = joined(spans, wrapped(2, from_hex(zero[i])));
        spans = joined(spans, span_with(from_hex("")));
    }
    p = walked(request_of(spans), &report);
    ck_assert_uint_eq(report.spans, ARRAY_LEN(zero));
    ck_assert_uint_eq(report.rejected_trace_id, 4);
    ck_assert_uint_eq(report.rejected_span_id, 3);
    ck_assert(!p->intact && !p->resources[0].intact && !p->scopes[0].intact);
    ck_assert_uint_eq(otlp_count_spans(slice_of(p->bytes, p->len)), 2 * ARRAY_LEN(zero));
    out = encoded(p);
    ck_assert_uint_eq(otlp_count_spans(slice_of(out.p, out.len)), ARRAY_LEN(zero));
    buf_free(&out);
    payload_unref(&p);
}
END_TEST

START_TEST(a_scope_of_rejected_spans_leaves_no_trace)
{
    struct buf empty = request_of(times(from_hex("1200"), 3)), good = from_hex(vector);
    struct walk_report report;
    struct payload *p = walked(joined(joined(empty, good), from_hex("0a021200")), &report);
    struct buf out = encoded(p);

    ck_assert_uint_eq(report.spans, 1);
    ck_assert_uint_eq(report.rejected_trace_id, 3);
    ck_assert_uint_eq(p->n_resources, 1);
    ck_assert(p->resources[0].intact && !p->intact);
    ck_assert_uint_eq(out.len, 122);
    buf_free(&out);
    payload_unref(&p);
}
END_TEST

/* ---- text that is not UTF-8 ---- */

/* Where a string stands in a span's fields: hex around it. */
static struct buf span_field_with(const char *path, struct buf text)
{
    size_t n = strlen(path);

    for (size_t i = n; i > 0; i--) {
        uint32_t number = path[i - 1] >= 'a' ? (uint32_t)(path[i - 1] - 'a' + 10)
                                             : (uint32_t)(path[i - 1] - '0');

        text = wrapped(number, text);
    }
    return text;
}

/* Field numbers from the span down, in base 36. */
static const char *const text_paths[] = {
    "3", "5", "91", "921", "92511", "92611", "926121", "b2", "b31", "b321", "d3", "d41", "d421", "f2",
};

START_TEST(text_is_repaired_wherever_it_stands)
{
    const char *path = text_paths[_i];
    struct buf bad = {0}, good = {0};
    struct walk_report report;
    struct payload *p, *q;
    struct slice body;

    buf_puts(&bad, "caf\xe9 and then some more text");
    buf_puts(&good, "caf\xef\xbf\xbd and then some more text");
    p = walked(one_span(joined(from_hex("3002"), span_field_with(path, bad))), &report);
    ck_assert_uint_eq(report.repaired_strings, 1);
    ck_assert(!p->intact && !p->scopes[0].intact);
    ck_assert_uint_eq(p->spans[0].kind, 2);
    q = walked(one_span(joined(from_hex("3002"), span_field_with(path, good))), &report);
    ck_assert_uint_eq(report.repaired_strings, 0);
    body = span_body(&p->spans[0]);
    ck_assert(slice_eq(body, span_body(&q->spans[0])));
    payload_unref(&p);
    payload_unref(&q);
}
END_TEST

START_TEST(text_of_envelopes_is_repaired)
{
    /* ResourceSpans: resource {key}, schema; ScopeSpans: scope {name}, schema. */
    struct buf bad = {0}, scope, r;
    struct walk_report report;
    struct payload *p;

    buf_puts(&bad, "\xff");
    scope = wrapped(1, wrapped(1, times(bad, 1)));
    scope = joined(scope, span_with(from_hex("")));
    scope = joined(scope, from_hex("1a01fe"));
    r = joined(wrapped(1, wrapped(1, from_hex("0a01ff"))), wrapped(2, scope));
    r = joined(r, from_hex("1a01c0"));
    p = walked(wrapped(1, r), &report);
    ck_assert_uint_eq(report.repaired_strings, 4);
    ck_assert(slice_eq(p->scopes[0].schema_url, slice_str("\xef\xbf\xbd")));
    ck_assert(slice_eq(p->resources[0].schema_url, slice_str("\xef\xbf\xbd")));
    ck_assert(slice_eq(field_bytes(p->scopes[0].scope, SCOPE_NAME), slice_str("\xef\xbf\xbd")));
    ck_assert(!p->resources[0].intact && !p->scopes[0].intact && !p->intact);
    payload_unref(&p);
}
END_TEST

START_TEST(bytes_values_are_not_text)
{
    struct walk_report report;
    struct payload *p = walked(with_value(from_hex("3a02fffe")), &report);

    ck_assert_uint_eq(report.repaired_strings, 0);
    ck_assert(p->intact);
    payload_unref(&p);
}
END_TEST

/* Repair at the depth limit, where every length on the way grows a byte. */
START_TEST(repair_of_nested_text_is_valid_again)
{
    struct buf bad = {0}, value;
    struct walk_report report;
    struct payload *p;
    struct buf out;

    for (int i = 0; i < 120; i++)
        buf_putc(&bad, (char)0xff);
    value = wrapped(1, bad);
    for (unsigned i = 1; i < OTLP_MAX_DEPTH; i++)
        value = wrapped(5, wrapped(1, value));
    p = walked(with_value(value), &report);
    ck_assert_uint_eq(report.repaired_strings, 1);
    out = encoded(p);
    payload_unref(&p);
    p = walked(out, &report);
    ck_assert_uint_eq(report.repaired_strings, 0);
    ck_assert_uint_eq(report.spans, 1);
    payload_unref(&p);
}
END_TEST

/* ---- legacy, merging ---- */

START_TEST(legacy_scopes_count_when_there_are_no_others)
{
    struct buf scope = joined(from_hex("0a050a036c6962"), span_with(from_hex("")));
    struct buf legacy = wrapped(1, wrapped(1000, times(scope, 1)));
    struct walk_report report;
    struct payload *p = walked(legacy, &report);
    struct buf out = encoded(p);

    ck_assert_uint_eq(report.spans, 1);
    ck_assert(!p->intact && !p->resources[0].intact && !p->scopes[0].intact);
    ck_assert(slice_eq(field_bytes(p->scopes[0].scope, SCOPE_NAME), slice_str("lib")));
    ck_assert_uint_eq(otlp_count_spans(slice_of(out.p, out.len)), 1); /* as field 2 now */
    buf_free(&out);
    payload_unref(&p);
}
END_TEST

START_TEST(legacy_scopes_beside_others_are_checked_and_left_out)
{
    struct buf legacy = wrapped(1000, joined(span_with(from_hex("2a01ff")), from_hex("1200")));
    struct buf both = joined(legacy, wrapped(2, span_with(from_hex("3002"))));
    struct walk_report report;
    struct payload *p = walked(wrapped(1, both), &report);

    ck_assert_uint_eq(report.spans, 1);
    ck_assert_uint_eq(report.rejected_trace_id + report.repaired_strings, 0);
    ck_assert_uint_eq(p->spans[0].kind, 2);
    ck_assert(!p->resources[0].intact && p->scopes[0].intact);
    payload_unref(&p);
    both = joined(wrapped(1000, from_hex("12020801")), wrapped(2, span_with(from_hex(""))));
    assert_malformed(wrapped(1, both), "wrong wire type");
}
END_TEST

START_TEST(parts_of_a_resource_are_merged)
{
    struct buf r = joined(from_hex(RESOURCE), wrapped(2, span_with(from_hex(""))));
    struct walk_report report;
    struct payload *p = walked(wrapped(1, joined(r, from_hex("0a021005"))), &report);
    struct slice merged = p->resources[0].resource;

    ck_assert_uint_eq(merged.len, 24 + 2);
    ck_assert_uint_eq(merged.p[24], 0x10);
    ck_assert(p->intact);
    payload_unref(&p);
}
END_TEST

/* ---- memory ---- */

/* Walks under a budget; returns the most that may have been charged beyond the body. */
static uint64_t index_bytes(struct buf request, struct walk_report *report)
{
    struct budget *b = budget_new(0, 0);
    struct payload *p = payload_in(b, &request);
    struct err err;
    uint64_t used;

    ck_assert_int_eq(otlp_walk(p, report, &err), WALK_OK);
    used = budget_used_by(b, MEM_INDEX);
    ck_assert_uint_eq(used + p->len, payload_charged_bytes(p));
    payload_unref(&p);
    ck_assert_uint_eq(budget_used(b), 0);
    budget_free(&b);
    return used;
}

START_TEST(empty_records_cost_no_index)
{
    struct walk_report report;
    uint64_t one = index_bytes(from_hex("0a00"), &report);
    uint64_t used = index_bytes(request_of(times(from_hex("1200"), 1000000)), &report);

    ck_assert_uint_eq(report.rejected_trace_id, 1000000);
    ck_assert_uint_lt(used, one + 4 * sizeof(struct span)); /* 2 MB of empty spans */
    used = index_bytes(times(from_hex("0a00"), 1000000), &report);
    ck_assert_uint_eq(used, one);
    used = index_bytes(wrapped(1, times(from_hex("1200"), 1000000)), &report);
    ck_assert_uint_eq(used, one);
    used = index_bytes(wrapped(1, times(from_hex("0a00"), 1000000)), &report);
    ck_assert_uint_eq(used, one);
}
END_TEST

START_TEST(the_index_is_bounded_by_the_body)
{
    struct walk_report report;
    struct buf smallest = span_with(from_hex(""));
    size_t each = smallest.len;
    uint64_t used = index_bytes(request_of(times(smallest, 10000)), &report);

    ck_assert_uint_eq(report.spans, 10000);
    ck_assert_uint_lt(used, 10000 * sizeof(struct span) * 9 / 8 + 4096);
    /* One resource and scope for each span: the worst there is. */
    used = index_bytes(times(request_of(span_with(from_hex(""))), 10000), &report);
    ck_assert_uint_lt(used, 10000 * (each + 4) * 8);
    /* A large span first: the guess is far too low, and grows. */
    used = index_bytes(request_of(joined(span_with(wrapped(100, times(from_hex("00"), 100000))),
                                         times(span_with(from_hex("")), 5000))),
                       &report);
    ck_assert_uint_eq(report.spans, 5001);
    ck_assert_uint_lt(used, 5001 * sizeof(struct span) * 9 / 8 + 4096);
}
END_TEST

START_TEST(a_refusing_budget_ends_the_walk)
{
    struct buf many = times(request_of(times(span_with(from_hex("2a01ff")), 20)), 30);
    bool refused = false, taken = false;

    for (size_t room = 0; room < 120000; room += 499) {
        struct buf request = times((struct buf){0}, 0);
        struct walk_report report;
        struct budget *b;
        struct payload *p;
        struct err err;
        enum walk_result result;

        buf_put(&request, many.p, many.len);
        b = budget_new(0, many.len + room);
        p = payload_in(b, &request);
        result = otlp_walk(p, &report, &err);
        refused |= result == WALK_NO_MEMORY;
        taken |= result == WALK_OK;
        ck_assert(result == (taken ? WALK_OK : WALK_NO_MEMORY));
        ck_assert_uint_eq(p->n_spans, result == WALK_OK ? 600 : 0);
        ck_assert_uint_eq(budget_used(b), payload_charged_bytes(p));
        payload_unref(&p);
        ck_assert_uint_eq(budget_used(b), 0);
        budget_free(&b);
    }
    ck_assert(refused && taken);
    buf_free(&many);
}
END_TEST

START_TEST(repair_is_charged)
{
    struct walk_report report;
    struct buf name = times(from_hex("ff"), 100000);
    uint64_t used = index_bytes(one_span(wrapped(5, name)), &report);

    ck_assert_uint_eq(report.repaired_strings, 1);
    ck_assert_uint_ge(used, 300000);
    ck_assert_uint_lt(used, 310000);
}
END_TEST

/* ---- other entry points ---- */

START_TEST(facts_of_a_single_span)
{
    struct span s = {.rec_len = 7, .scope = 3};
    struct buf body = joined(from_hex(TRACE_ID SPAN_ID), from_hex("3003" "22081111111111111111"));

    ck_assert_int_eq(otlp_span_facts(slice_of(body.p, body.len), &s), 0);
    ck_assert_uint_eq(s.kind, 3);
    ck_assert_uint_eq(s.flags, 0);
    ck_assert_uint_eq(s.rec_len, 7);
    ck_assert_uint_eq(s.scope, 3);
    ck_assert_int_eq(otlp_span_facts(slice_of(body.p, body.len - 1), &s), -1);
    ck_assert_uint_eq(s.kind, 3);
    ck_assert_int_eq(otlp_span_facts((struct slice){0}, &s), 0);
    ck_assert_uint_eq(s.kind, 0);
    buf_free(&body);
}
END_TEST

START_TEST(counting_takes_nothing_malformed)
{
    struct buf twice = times(from_hex(vector), 2);

    ck_assert_uint_eq(otlp_count_spans(slice_of(twice.p, twice.len)), 2);
    ck_assert_uint_eq(otlp_count_spans(slice_of(twice.p, twice.len - 1)), 0);
    ck_assert_uint_eq(otlp_count_spans((struct slice){0}), 0);
    buf_free(&twice);
}
END_TEST

static TCase *verdicts(void)
{
    TCase *t = tcase_create("verdicts");

    tcase_add_test(t, the_reference_vector_gives_its_facts);
    tcase_add_test(t, twice_in_a_row_is_two_resources);
    tcase_add_test(t, nothing_is_a_valid_request);
    tcase_add_test(t, oddities_are_taken);
    tcase_add_test(t, later_scalars_win);
    tcase_add_test(t, unknown_numbers_of_enums_are_255);
    tcase_add_loop_test(t, malformed_spans_refuse_the_request, 0, (int)ARRAY_LEN(malformed));
    tcase_add_test(t, malformed_envelopes_refuse_the_request);
    tcase_add_test(t, an_id_cut_off_behind_another_is_not_read);
    tcase_add_test(t, the_error_names_the_byte);
    tcase_add_test(t, every_cut_is_noticed);
    tcase_add_test(t, nesting_is_bounded);
    tcase_add_test(t, a_bomb_of_nesting_does_not_reach_the_stack);
    tcase_add_test(t, facts_of_a_single_span);
    tcase_add_test(t, counting_takes_nothing_malformed);
    return t;
}

static TCase *treatments(void)
{
    TCase *t = tcase_create("treatments");

    tcase_add_test(t, spans_without_ids_are_left_out);
    tcase_add_test(t, a_scope_of_rejected_spans_leaves_no_trace);
    tcase_add_loop_test(t, text_is_repaired_wherever_it_stands, 0, (int)ARRAY_LEN(text_paths));
    tcase_add_test(t, text_of_envelopes_is_repaired);
    tcase_add_test(t, bytes_values_are_not_text);
    tcase_add_test(t, repair_of_nested_text_is_valid_again);
    tcase_add_test(t, legacy_scopes_count_when_there_are_no_others);
    tcase_add_test(t, legacy_scopes_beside_others_are_checked_and_left_out);
    tcase_add_test(t, parts_of_a_resource_are_merged);
    tcase_add_test(t, empty_records_cost_no_index);
    tcase_add_test(t, the_index_is_bounded_by_the_body);
    tcase_add_test(t, a_refusing_budget_ends_the_walk);
    tcase_add_test(t, repair_is_charged);
    return t;
}

int main(void)
{
    Suite *s = suite_create("walk");
    SRunner *r;
    int failed;

    suite_add_tcase(s, verdicts());
    suite_add_tcase(s, treatments());
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
