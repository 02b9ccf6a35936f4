/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON both ways: the specification's form, what real senders write instead, and what must be
 * refused. Documents are compared as trees by another parser (jansson), protobuf by another decoder
 * (protobuf-c).
 */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/attr.h"
#include "model/otlp_json.h"
#include "model/otlp_walk.h"
#include "model/proto/otlp.pb-c.h"
#include "platform/mem.h"

#define MAX (1 << 20)

static const char example[] =
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"cart\"}}]},\n"
    " \"scopeSpans\":[{\"scope\":{\"name\":\"lib\",\"version\":\"2.1\"},\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\n"
    "  \"spanId\":\"1112131415161718\",\"name\":\"GET /\",\"kind\":2,\"startTimeUnixNano\":\"1700000000000000000\",\n"
    "  \"endTimeUnixNano\":\"1700000000001000000\",\"flags\":257,\"status\":{\"code\":2,\"message\":\"timeout\"},\n"
    "  \"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":\"-1\"}},{\"key\":\"ratio\",\"value\":{\"doubleValue\":0.5}},\n"
    "   {\"key\":\"raw\",\"value\":{\"bytesValue\":\"AAH/\"}},{\"key\":\"none\",\"value\":{}},\n"
    "   {\"key\":\"tags\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"boolValue\":true}]}}},\n"
    "   {\"key\":\"m\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}}]}}}],\n"
    "  \"events\":[{\"timeUnixNano\":\"1700000000000500000\",\"name\":\"retry\"}]}]}]}]}";

struct doc {
    struct buf wire;
    struct budget *budget;
    struct batch *batch;
    struct walk_report report;
    struct ledger ledger;
};

static struct buf decode(const char *json)
{
    struct buf out = {.max = MAX};
    struct err err = {""};

    ck_assert_msg(otlp_json_decode(slice_str(json), &out, &err) == 0, "%s: %s", err.text, json);
    return out;
}

/* Decoded, walked, in a batch. */
static struct doc load(const char *json)
{
    struct doc d = {.wire = decode(json), .budget = budget_new(0, 0)};
    uint8_t *bytes = (uint8_t *)malloc(d.wire.len + 1);
    struct err err = {""};
    struct payload *p;

    memcpy(bytes, d.wire.p, d.wire.len);
    ck_assert(budget_charge(d.budget, MEM_BODY, d.wire.len));
    p = payload_new(d.budget, &bytes, d.wire.len, d.wire.len);
    ck_assert_msg(otlp_walk(p, &d.report, &err) == WALK_OK, "%s", err.text);
    d.batch = batch_new(&p, NULL);
    return d;
}

static void unload(struct doc *d)
{
    batch_exported(&d->batch);
    ck_assert_uint_eq(budget_used(d->budget), 0);
    budget_free(&d->budget);
    buf_free(&d->wire);
}

static void encodes_as(const struct batch *b, const char *want)
{
    struct buf out = {.max = MAX};
    json_t *x, *y;

    ck_assert_int_eq(otlp_json_encode(b, &out), 0);
    ck_assert_ptr_null(memchr(out.p, '\n', out.len));
    buf_putc(&out, '\0');
    x = json_loads((char *)out.p, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    y = json_loads(want, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    ck_assert_ptr_nonnull(x);
    ck_assert_ptr_nonnull(y);
    ck_assert_msg(json_equal(x, y), "got  %s\nwant %s", (char *)out.p, want);
    json_decref(x);
    json_decref(y);
    buf_free(&out);
}

START_TEST(example_goes_both_ways)
{
    struct doc d = load(example);

    ck_assert_uint_eq(d.report.spans, 1);
    encodes_as(d.batch, example);
    unload(&d);
}
END_TEST

/* The reference's request as a protobuf encoder wrote it. */
START_TEST(vector_of_the_reference)
{
    static const char hex[] =
        "0a780a180a160a0c736572766963652e6e616d6512060a0463617274125c0a050a036c696212530a"
        "100102030405060708090a0b0c0d0e0f10120811121314151617182a05474554202f30023900002a"
        "36fe9c97174140423936fe9c97174a100a016e120b18ffffffffffffffffff017a02180285010101"
        "0000";
    struct buf b = decode("{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
                          "{\"stringValue\":\"cart\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[{"
                          "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\","
                          "\"parentSpanId\":\"\",\"name\":\"GET /\",\"kind\":2,\"startTimeUnixNano\":\"1700000000000000000\","
                          "\"endTimeUnixNano\":\"1700000000001000000\",\"attributes\":[{\"key\":\"n\",\"value\":"
                          "{\"intValue\":-1}}],\"status\":{\"code\":2},\"flags\":257}]}]}]}");

    ck_assert_uint_eq(b.len, (sizeof(hex) - 1) / 2);
    for (size_t i = 0; i < b.len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

        ck_assert_uint_eq(b.p[i], strtoul(two, NULL, 16));
    }
    buf_free(&b);
}
END_TEST

/* One span with valid ids and `members`. */
static char *with_span(const char *members)
{
    return mem_printf("{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":"
                      "\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\"%s%s}]}]}]}",
                      *members ? "," : "", members);
}

static char *with_value(const char *value)
{
    char *members = mem_printf("\"attributes\":[{\"key\":\"k\",\"value\":%s}]", value), *json = with_span(members);

    free(members);
    return json;
}

static Otlp__ExportRequest *unpack(const struct buf *b)
{
    Otlp__ExportRequest *r = otlp__export_request__unpack(NULL, b->len, b->p);

    ck_assert_ptr_nonnull(r);
    return r;
}

/* A span member as senders write it, and the member it means (what the encoder writes). */
static const struct {
    const char *in, *want;
} span_forms[] = {
    {"\"startTimeUnixNano\":1700000000000000001", "\"startTimeUnixNano\":\"1700000000000000001\""},
    {"\"startTimeUnixNano\":1.7e18", "\"startTimeUnixNano\":\"1700000000000000000\""},
    {"\"startTimeUnixNano\":1700000000000000123.000", "\"startTimeUnixNano\":\"1700000000000000123\""},
    {"\"startTimeUnixNano\":\"1.7E+18\"", "\"startTimeUnixNano\":\"1700000000000000000\""},
    {"\"startTimeUnixNano\":18446744073709551615", "\"startTimeUnixNano\":\"18446744073709551615\""},
    {"\"startTimeUnixNano\":{\"low\":-1013133952,\"high\":395276536}", "\"startTimeUnixNano\":\"1697699798278000000\""},
    {"\"startTimeUnixNano\":null", ""},
    {"\"startTimeUnixNano\":0", ""},
    {"\"start_time_unix_nano\":\"5\"", "\"startTimeUnixNano\":\"5\""},
    {"\"dropped_attributes_count\":\"7\"", "\"droppedAttributesCount\":7"},
    {"\"droppedEventsCount\":4294967295", "\"droppedEventsCount\":4294967295"},
    {"\"droppedLinksCount\":0,\"links\":[],\"events\":[]", ""},
    {"\"kind\":\"SPAN_KIND_SERVER\"", "\"kind\":2"},
    {"\"kind\":77", "\"kind\":77"},
    {"\"kind\":null,\"name\":null,\"attributes\":null,\"events\":null,\"parentSpanId\":null", ""},
    {"\"flags\":\"257\"", "\"flags\":257"},
    {"\"flags\":4294967295", "\"flags\":4294967295"},
    {"\"parentSpanId\":\"2122232425262728\"", "\"parentSpanId\":\"2122232425262728\""},
    {"\"parentSpanId\":\"ABCDEFabcdef0123\"", "\"parentSpanId\":\"abcdefabcdef0123\""},
    {"\"parentSpanId\":\"\"", ""},
    {"\"name\":\"a\",\"name\":\"b\"", "\"name\":\"b\""},
    {"\"links\":[{\"traceId\":\"000102030405060708090A0B0C0D0E0F\",\"spanId\":\"0102030405060708\",\"flags\":3}]",
     "\"links\":[{\"traceId\":\"000102030405060708090a0b0c0d0e0f\",\"spanId\":\"0102030405060708\",\"flags\":3}]"},
    {"\"name\":\"\\ud83d\\ude00 \\u00e9\\u0000\\/\\b\\f\\n\\r\\t\\\\\\\"\"", "\"name\":\"\\ud83d\\ude00 \\u00e9\\u0000/\\b\\f\\n\\r\\t\\\\\\\"\""},
    {"\"name\":\"\\ud83d x \\ude00\\ud83d\\u0041\"", "\"name\":\"\xef\xbf\xbd x \xef\xbf\xbd\xef\xbf\xbd" "A\""},
    {"\"unknown\":{\"a\":[1,2,{\"b\":\"}\\\"\"}],\"c\":null},\"name\":\"n\"", "\"name\":\"n\""},
    {"\"legacyScopeSpans\":[1],\"Name\":\"x\",\"nameX\":1,\"nam\":1", ""},
    {" \"name\" :\t\"s\"\r\n", "\"name\":\"s\""},
};

START_TEST(span_members_as_sent)
{
    char *in = with_span(span_forms[_i].in), *members, *want;
    struct doc d = load(in);

    members = mem_printf("%s%s\"status\":{}", span_forms[_i].want, *span_forms[_i].want ? "," : "");
    want = with_span(members);
    free(in);
    in = mem_printf("{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},%s",
                    strstr(want, "\"spans\""));
    encodes_as(d.batch, in);
    unload(&d);
    free(in);
    free(members);
    free(want);
}
END_TEST

static const struct {
    const char *in, *want;
} value_forms[] = {
    {"{}", "{}"},
    {"null", NULL},
    {"{\"stringValue\":\"\"}", "{\"stringValue\":\"\"}"},
    {"{\"stringValue\":null}", "{}"},
    {"{\"string_value\":\"x\"}", "{\"stringValue\":\"x\"}"},
    {"{\"boolValue\":false}", "{\"boolValue\":false}"},
    {"{\"intValue\":0}", "{\"intValue\":\"0\"}"},
    {"{\"intValue\":-0}", "{\"intValue\":\"0\"}"},
    {"{\"intValue\":\"9223372036854775807\"}", "{\"intValue\":\"9223372036854775807\"}"},
    {"{\"intValue\":-9223372036854775808}", "{\"intValue\":\"-9223372036854775808\"}"},
    {"{\"intValue\":5.0}", "{\"intValue\":\"5\"}"},
    {"{\"intValue\":1e3}", "{\"intValue\":\"1000\"}"},
    {"{\"intValue\":1200e-2}", "{\"intValue\":\"12\"}"},
    {"{\"intValue\":0e99}", "{\"intValue\":\"0\"}"},
    {"{\"intValue\":100000000000000000000}", "{\"doubleValue\":1e20}"},
    {"{\"intValue\":1e+21}", "{\"doubleValue\":1e21}"},
    {"{\"intValue\":{\"low\":-1,\"high\":-1}}", "{\"intValue\":\"-1\"}"},
    {"{\"intValue\":null}", "{}"},
    {"{\"doubleValue\":null}", "{}"},
    {"{\"doubleValue\":0}", "{\"doubleValue\":0}"},
    {"{\"doubleValue\":\"1.5\"}", "{\"doubleValue\":1.5}"},
    {"{\"doubleValue\":\"NaN\"}", "{\"doubleValue\":\"NaN\"}"},
    {"{\"doubleValue\": \"Infinity\"}", "{\"doubleValue\":\"Infinity\"}"},
    {"{\"doubleValue\":\"-Infinity\"}", "{\"doubleValue\":\"-Infinity\"}"},
    {"{\"doubleValue\":-1.7976931348623157e308}", "{\"doubleValue\":-1.7976931348623157e308}"},
    {"{\"bytesValue\":\"\"}", "{\"bytesValue\":\"\"}"},
    {"{\"bytesValue\":\"-_8=\"}", "{\"bytesValue\":\"+/8=\"}"},
    {"{\"bytesValue\":\"-_8\"}", "{\"bytesValue\":\"+/8=\"}"},
    {"{\"bytesValue\":\"AQ==\"}", "{\"bytesValue\":\"AQ==\"}"},
    {"{\"bytesValue\":[0,1,255]}", "{\"bytesValue\":\"AAH/\"}"},
    {"{\"bytesValue\":{\"type\":\"Buffer\",\"data\":[0,1,255]}}", "{\"bytesValue\":\"AAH/\"}"},
    {"{\"arrayValue\":{}}", "{\"arrayValue\":{}}"},
    {"{\"arrayValue\":{\"values\":[]}}", "{\"arrayValue\":{}}"},
    {"{\"arrayValue\":{\"values\":[null,{}]}}", "{\"arrayValue\":{\"values\":[{},{}]}}"},
    {"{\"kvlistValue\":{\"values\":[{\"key\":\"\",\"value\":{\"intValue\":1}},{\"key\":\"b\"}]}}",
     "{\"kvlistValue\":{\"values\":[{\"value\":{\"intValue\":\"1\"}},{\"key\":\"b\"}]}}"},
    {"{\"stringValue\":null,\"intValue\":3}", "{\"intValue\":\"3\"}"},
};

START_TEST(attribute_values_as_sent)
{
    char *in = with_value(value_forms[_i].in), *attr, *want;
    struct doc d = load(in);

    attr = value_forms[_i].want ? mem_printf("{\"key\":\"k\",\"value\":%s}", value_forms[_i].want)
                                : mem_dup("{\"key\":\"k\"}");
    want = mem_printf("{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{\"traceId\":"
                      "\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\",\"status\":{},"
                      "\"attributes\":[%s]}]}]}]}", attr);
    encodes_as(d.batch, want);
    unload(&d);
    free(in);
    free(attr);
    free(want);
}
END_TEST

static const char *const bad_values[] = {
    "{\"intValue\":1.5}", "{\"intValue\":\"9223372036854775808\"}", "{\"intValue\":\"x\"}", "{\"intValue\":\"\"}",
    "{\"intValue\":\" 1\"}", "{\"intValue\":\"1 \"}", "{\"intValue\":true}", "{\"intValue\":[1]}", "{\"intValue\":\"0x10\"}",
    "{\"intValue\":\"+1\"}", "{\"intValue\":1e-1}", "{\"doubleValue\":\"nan\"}", "{\"doubleValue\":1e999}",
    "{\"doubleValue\":\"\"}", "{\"boolValue\":\"true\"}", "{\"boolValue\":1}", "{\"stringValue\":5}", "{\"stringValue\":{}}",
    "{\"bytesValue\":\"A\"}", "{\"bytesValue\":\"A*==\"}", "{\"bytesValue\":\"=\"}", "{\"bytesValue\":\"AQID=\"}", "{\"bytesValue\":\"A===\"}", "{\"bytesValue\":[256]}",
    "{\"bytesValue\":[-1]}", "{\"bytesValue\":[\"1\"]}", "{\"bytesValue\":5}", "{\"arrayValue\":[]}",
    "{\"arrayValue\":{\"values\":{}}}", "{\"arrayValue\":{\"values\":[1]}}", "{\"kvlistValue\":{\"values\":\"x\"}}", "[]", "5", "\"x\"",
};

static void refused(const char *json)
{
    struct buf out = {.max = MAX};
    struct err err = {""};

    buf_putc(&out, 'x');
    ck_assert_msg(otlp_json_decode(slice_str(json), &out, &err) == -1, "taken: %s", json);
    ck_assert_ptr_nonnull(strstr(err.text, "at byte "));
    ck_assert_uint_eq(out.len, 1); /* as it was */
    buf_free(&out);
}

START_TEST(bad_values_are_refused)
{
    char *json = with_value(bad_values[_i]);

    refused(json);
    free(json);
}
END_TEST

static const char *const bad_spans[] = {
    "\"traceId\":\"AQIDBAUGBwgJCgsMDQ4PEA==\"", "\"spanId\":\"zz12131415161718\"", "\"spanId\":\"11\"", "\"traceId\":5",
    "\"kind\":\"2\"", "\"kind\":\"SERVER\"", "\"kind\":1.5", "\"kind\":4294967296", "\"startTimeUnixNano\":-1",
    "\"startTimeUnixNano\":18446744073709551616", "\"startTimeUnixNano\":{\"low\":4294967296}", "\"flags\":4294967296",
    "\"flags\":-1", "\"droppedLinksCount\":\"4294967296\"", "\"name\":[]", "\"attributes\":{}", "\"status\":[]", "\"events\":[5]",
};

START_TEST(bad_spans_are_refused)
{
    char *json = with_span(bad_spans[_i]);

    refused(json);
    free(json);
}
END_TEST

static const char *const bad_json[] = {
    "", " ", "[]", "1234", "\"x\"", "{", "}", "{]", "{\"resourceSpans\":}", "{\"resourceSpans\":[}", "{\"resourceSpans\":[{}}",
    "{\"resourceSpans\":[{},]}", "{\"resourceSpans\":[],}", "{,\"resourceSpans\":[]}", "{\"resourceSpans\" []}",
    "{resourceSpans:[]}", "{'resourceSpans':[]}", "{\"x\":nul}", "{\"x\":tru}", "{\"x\":01}", "{\"x\":1.}", "{\"x\":.5}",
    "{\"x\":-}", "{\"x\":1e}", "{\"x\":+1}", "{\"x\":\"a\nb\"}", "{\"x\":\"\\u12\"}", "{\"resourceSpans\":[{\"schemaUrl\":\"\\x\"}]}",
    "{\"resourceSpans\":[{\"schemaUrl\":\"\\u00g0\"}]}", "{\"resourceSpans\":[{\"schemaUrl\":\"", "{} {}", "{}x", "{\"x\":[1 2]}",
    "{\"x\":{\"a\" 1}}", "{\"x\":{1:1}}", "{\"resourceSpans\":[{\"schemaUrl\":\"\\", "nul", "{\"x\":NaN}", "/**/{}",
};

START_TEST(bad_json_is_refused)
{
    refused(bad_json[_i]);
}
END_TEST

START_TEST(empty_requests)
{
    static const char *const empty[] = {"{}", "null", " {\"resourceSpans\":[]} ", "{\"resourceSpans\":null}"};

    for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
        struct buf b = decode(empty[i]);

        ck_assert_uint_eq(b.len, 0);
        buf_free(&b);
    }
}
END_TEST

START_TEST(drafts_of_2021)
{
    struct doc d = load("{\"resourceSpans\":[{\"instrumentationLibrarySpans\":[{\"instrumentationLibrary\":{\"name\":\"old\"},"
                        "\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\"}]}]}]}");

    ck_assert_uint_eq(d.report.spans, 1);
    encodes_as(d.batch, "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{\"name\":\"old\"},\"spans\":[{"
                        "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\",\"status\":{}}]}]}]}");
    unload(&d);
}
END_TEST

/* Entities, schema URLs, several resources and scopes. */
START_TEST(envelopes_keep_their_shape)
{
    static const char json[] =
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"1\"}}],"
        "\"droppedAttributesCount\":3,\"entityRefs\":[{\"type\":\"service\",\"idKeys\":[\"a\",\"\"],\"descriptionKeys\":[\"b\"],"
        "\"schemaUrl\":\"u\"}]},\"scopeSpans\":[{\"scope\":{\"name\":\"s1\",\"attributes\":[{\"key\":\"x\",\"value\":{}}]},"
        "\"spans\":[{\"traceId\":\"01010101010101010101010101010101\",\"spanId\":\"0101010101010101\",\"status\":{}},"
        "{\"traceId\":\"01010101010101010101010101010101\",\"spanId\":\"0202020202020202\",\"status\":{\"code\":1}}],"
        "\"schemaUrl\":\"https://s/1\"},{\"scope\":{},\"spans\":[{\"traceId\":\"02020202020202020202020202020202\","
        "\"spanId\":\"0101010101010101\",\"traceState\":\"a=b\",\"status\":{}}]}],\"schemaUrl\":\"https://s/2\"},"
        "{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{\"traceId\":\"03030303030303030303030303030303\","
        "\"spanId\":\"0101010101010101\",\"status\":{}}]}]}]}";
    struct doc d = load(json);
    struct batch *tail;

    encodes_as(d.batch, json);
    tail = batch_split(d.batch, 3);
    encodes_as(d.batch, "{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},\"spans\":[{\"traceId\":"
                        "\"03030303030303030303030303030303\",\"spanId\":\"0101010101010101\",\"status\":{}}]}]}]}");
    batch_exported(&tail);
    unload(&d);
}
END_TEST

START_TEST(long_bodies_get_long_lengths)
{
    char *text = (char *)mem_alloc(70000), *members, *json;
    struct buf b;
    Otlp__ExportRequest *r;
    static const size_t sizes[] = {0, 1, 60, 100, 115, 116, 117, 127, 128, 129, 16000, 16370, 16384, 69000};

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        memset(text, 'x', sizes[i]);
        text[sizes[i]] = '\0';
        members = mem_printf("\"name\":\"%s\"", text);
        json = with_span(members);
        b = decode(json);
        r = unpack(&b);
        ck_assert_uint_eq(r->resource_spans[0]->scope_spans[0]->spans[0]->name.len, sizes[i]);
        otlp__export_request__free_unpacked(r, NULL);
        buf_free(&b);
        free(json);
        free(members);
    }
    free(text);
}
END_TEST

START_TEST(invalid_utf8_reaches_the_walk)
{
    char *json = with_span("\"name\":\"a\xff\"");
    struct doc d = load(json);

    ck_assert_uint_eq(d.report.repaired_strings, 1);
    unload(&d);
    free(json);
}
END_TEST

static char *nested(unsigned levels)
{
    struct buf b = {0};
    char *json;

    for (unsigned i = 0; i < levels; i++)
        buf_puts(&b, "{\"arrayValue\":{\"values\":[");
    buf_puts(&b, "{}");
    for (unsigned i = 0; i < levels; i++)
        buf_puts(&b, "]}}");
    buf_putc(&b, '\0');
    json = with_value((char *)b.p);
    buf_free(&b);
    return json;
}

START_TEST(nesting_is_limited)
{
    char *deep = nested(60), *deeper = nested(100000), *unknown;
    struct doc d = load(deep);
    struct buf b = {0};

    unload(&d);
    refused(deeper);
    buf_puts(&b, "{\"x\":");
    for (int i = 0; i < 100000; i++)
        buf_putc(&b, '[');
    buf_putc(&b, '\0');
    unknown = (char *)b.p;
    refused(unknown);
    free(deep);
    free(deeper);
    free(unknown);
}
END_TEST

START_TEST(output_is_bounded)
{
    struct buf out = {.max = 100};
    struct err err = {""};
    struct doc d = load(example);

    ck_assert_int_eq(otlp_json_decode(slice_str(example), &out, &err), -1);
    ck_assert_uint_eq(out.len, 0);
    for (out.max = 1; out.max < 900; out.max++) {
        struct buf small = {.max = out.max};
        int rc = otlp_json_encode(d.batch, &small);

        ck_assert(rc == 0 || (rc == -1 && small.len == 0));
        ck_assert_uint_le(small.len, out.max);
        buf_free(&small);
    }
    unload(&d);
    buf_free(&out);
}
END_TEST

/* Cut anywhere, the example is refused; nothing is read past the end (ASan sees). */
START_TEST(every_prefix_is_refused)
{
    for (size_t n = 0; n < sizeof(example) - 1; n++) {
        uint8_t *copy = (uint8_t *)malloc(n + 1);
        struct buf out = {.max = MAX};

        memcpy(copy, example, n);
        copy = (uint8_t *)realloc(copy, n ? n : 1);
        ck_assert(otlp_json_decode(slice_of(copy, n), &out, NULL) == -1);
        free(copy);
        buf_free(&out);
    }
}
END_TEST

static void text_is(struct buf *b, const char *want)
{
    buf_putc(b, '\0');
    ck_assert_str_eq((char *)b->p, want);
    buf_free(b);
}

START_TEST(answers)
{
    struct buf b = {.max = MAX};

    ck_assert_int_eq(otlp_json_status(&b, 3, "bad \"x\"", 0), 0);
    text_is(&b, "{\"code\":3,\"message\":\"bad \\\"x\\\"\"}");
    ck_assert_int_eq(otlp_json_status(&b, 14, "busy", 5000), 0);
    text_is(&b, "{\"code\":14,\"message\":\"busy\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
                "\"retryDelay\":\"5s\"}]}");
    ck_assert_int_eq(otlp_json_status(&b, 8, "", 1500), 0);
    text_is(&b, "{\"code\":8,\"message\":\"\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
                "\"retryDelay\":\"1.500s\"}]}");
    ck_assert_int_eq(otlp_json_response(&b, 0, NULL), 0);
    text_is(&b, "{\"partialSuccess\":{}}");
    ck_assert_int_eq(otlp_json_response(&b, 3, "no id"), 0);
    text_is(&b, "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"no id\"}}");
    ck_assert_int_eq(otlp_json_response(&b, 0, "hm"), 0);
    text_is(&b, "{\"partialSuccess\":{\"errorMessage\":\"hm\"}}");
    b.max = 10;
    ck_assert_int_eq(otlp_json_response(&b, 0, "hm"), -1);
    ck_assert_int_eq(otlp_json_status(&b, 8, "", 1500), -1);
    ck_assert_uint_eq(b.len, 0);
    buf_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("OTLP/JSON");
    TCase *t = tcase_create("json");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, example_goes_both_ways);
    tcase_add_test(t, vector_of_the_reference);
    tcase_add_loop_test(t, span_members_as_sent, 0, (int)ARRAY_LEN(span_forms));
    tcase_add_loop_test(t, attribute_values_as_sent, 0, (int)ARRAY_LEN(value_forms));
    tcase_add_loop_test(t, bad_values_are_refused, 0, (int)ARRAY_LEN(bad_values));
    tcase_add_loop_test(t, bad_spans_are_refused, 0, (int)ARRAY_LEN(bad_spans));
    tcase_add_loop_test(t, bad_json_is_refused, 0, (int)ARRAY_LEN(bad_json));
    tcase_add_test(t, empty_requests);
    tcase_add_test(t, drafts_of_2021);
    tcase_add_test(t, envelopes_keep_their_shape);
    tcase_add_test(t, long_bodies_get_long_lengths);
    tcase_add_test(t, invalid_utf8_reaches_the_walk);
    tcase_add_test(t, nesting_is_limited);
    tcase_add_test(t, output_is_bounded);
    tcase_add_test(t, every_prefix_is_refused);
    tcase_add_test(t, answers);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
