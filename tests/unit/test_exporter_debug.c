/* SPDX-License-Identifier: Apache-2.0 */
/* debug exporter: what it prints at each verbosity (compared with what the Collector prints), how it
 * samples, and that nothing from a stranger reaches the terminal raw. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "exporters/exporters.h"
#include "model/otlp_json.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

static const char request[] =
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"cart\""
    "}},{\"key\":\"n\",\"value\":{\"intValue\":\"5\"}}],\"droppedAttributesCount\":2,\"entityRefs\":[{\"type\":\"servi"
    "ce\",\"idKeys\":[\"service.name\"],\"descriptionKeys\":[\"n\"],\"schemaUrl\":\"eu\"}]},\"schemaUrl\":\"rs-url\",\""
    "scopeSpans\":[{\"schemaUrl\":\"ss-url\",\"scope\":{\"name\":\"lib\",\"version\":\"2.1\",\"droppedAttributesCount"
    "\":1,\"attributes\":[{\"key\":\"sa\",\"value\":{\"boolValue\":true}}]},\"spans\":[{\"traceId\":\"010203040506070"
    "8090a0b0c0d0e0f10\",\"spanId\":\"1112131415161718\",\"parentSpanId\":\"2112131415161718\",\"traceState\":\"a"
    "=b\",\"name\":\"GET /\",\"kind\":2,\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":\"1700000"
    "000001000000\",\"flags\":257,\"status\":{\"code\":2,\"message\":\"timeout\"},\"droppedAttributesCount\":3,\"dr"
    "oppedEventsCount\":4,\"droppedLinksCount\":5,\"attributes\":[{\"key\":\"n\",\"value\":{\"intValue\":\"-1\"}},{\""
    "key\":\"ratio\",\"value\":{\"doubleValue\":0.5}},{\"key\":\"big\",\"value\":{\"doubleValue\":1e+30}},{\"key\":\"mi"
    "l\",\"value\":{\"doubleValue\":12345678}},{\"key\":\"raw\",\"value\":{\"bytesValue\":\"AAH/\"}},{\"key\":\"none\",\""
    "value\":{}},{\"key\":\"b\",\"value\":{\"boolValue\":false}},{\"key\":\"s\",\"value\":{\"stringValue\":\"multi\\nlin"
    "e \\\"q\\\" <x>\"}},{\"key\":\"tags\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"},{\"boolValue\":t"
    "rue},{\"intValue\":3},{\"doubleValue\":1.5},{\"bytesValue\":\"AAH/\"},{\"arrayValue\":{\"values\":[]}},{},{\""
    "kvlistValue\":{\"values\":[{\"key\":\"z\",\"value\":{\"intValue\":1}}]}}]}}},{\"key\":\"m\",\"value\":{\"kvlistVal"
    "ue\":{\"values\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}},{\"key\":\"b\",\"value\":{\"intValue\":2}},{\"key\""
    ":\"mm\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{\"stringValue\":\"y\"}}]}}}]}}}],\"events"
    "\":[{\"timeUnixNano\":1700000000000500000,\"name\":\"retry\",\"droppedAttributesCount\":1,\"attributes\":[{"
    "\"key\":\"ea\",\"value\":{\"stringValue\":\"ev\"}}]},{\"name\":\"\"}],\"links\":[{\"traceId\":\"ff02030405060708090"
    "a0b0c0d0e0f10\",\"spanId\":\"ff12131415161718\",\"traceState\":\"c=d\",\"droppedAttributesCount\":2,\"attrib"
    "utes\":[{\"key\":\"la\",\"value\":{\"stringValue\":\"lv\"}}]},{\"traceId\":\"ee02030405060708090a0b0c0d0e0f10\""
    ",\"spanId\":\"ff12131415161718\"}]},{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"31121314"
    "15161718\",\"name\":\"root\",\"kind\":9,\"startTimeUnixNano\":\"1700000000000000000\",\"status\":{\"code\":1}},"
    "{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"3112131415161719\",\"name\":\"\",\"kind\":0}]},"
    "{\"scope\":{},\"spans\":[{\"traceId\":\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"3112131415161720\",\""
    "name\":\"x\",\"kind\":3,\"status\":{\"code\":7}}]}]},{\"resource\":{},\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0"
    "102030405060708090a0b0c0d0e0f10\",\"spanId\":\"3112131415161721\",\"name\":\"y\",\"kind\":4}]}]}]}";

static const char normal[] =
    "Traces	{\"resource spans\": 2, \"spans\": 5}\n"
    "ResourceTraces #0 [rs-url] service.name=cart n=5\n"
    "ScopeTraces #0 lib@2.1 [ss-url] sa=true\n"
    "GET / 0102030405060708090a0b0c0d0e0f10 1112131415161718 n=-1 ratio=0.5 big=1e+30 mil=12345678 raw=AAH/ none= b=false s=multi\n"
    "line \"q\" <x> tags=[\"a\",true,3,1.5,\"AAH/\",[],null,{\"z\":1}] m={\"b\":2,\"k\":\"v\",\"mm\":{\"x\":\"y\"}}\n"
    "root 0102030405060708090a0b0c0d0e0f10 3112131415161718\n"
    " 0102030405060708090a0b0c0d0e0f10 3112131415161719\n"
    "ScopeTraces #1\n"
    "x 0102030405060708090a0b0c0d0e0f10 3112131415161720\n"
    "ResourceTraces #1\n"
    "ScopeTraces #0\n"
    "y 0102030405060708090a0b0c0d0e0f10 3112131415161721\n"
    "\n";

static const char detailed[] =
    "Traces	{\"resource spans\": 2, \"spans\": 5}\n"
    "ResourceSpans #0\n"
    "Resource SchemaURL: rs-url\n"
    "Resource attributes:\n"
    "     -> service.name: Str(cart)\n"
    "     -> n: Int(5)\n"
    "Resource entity refs:\n"
    "     -> Entity ref #0:\n"
    "          -> Type: service\n"
    "          -> Schema URL: eu\n"
    "          -> ID keys:\n"
    "               -> service.name\n"
    "          -> Description keys:\n"
    "               -> n\n"
    "ScopeSpans #0\n"
    "ScopeSpans SchemaURL: ss-url\n"
    "InstrumentationScope lib 2.1\n"
    "InstrumentationScope attributes:\n"
    "     -> sa: Bool(true)\n"
    "Span #0\n"
    "    Trace ID       : 0102030405060708090a0b0c0d0e0f10\n"
    "    Parent ID      : 2112131415161718\n"
    "    ID             : 1112131415161718\n"
    "    Name           : GET /\n"
    "    Kind           : Server\n"
    "    TraceState     : a=b\n"
    "    Start time     : 2023-11-14 22:13:20 +0000 UTC\n"
    "    End time       : 2023-11-14 22:13:20.001 +0000 UTC\n"
    "    Status code    : Error\n"
    "    Status message : timeout\n"
    "    DroppedAttributesCount: 3\n"
    "    DroppedEventsCount: 4\n"
    "    DroppedLinksCount: 5\n"
    "Attributes:\n"
    "     -> n: Int(-1)\n"
    "     -> ratio: Double(0.5)\n"
    "     -> big: Double(1e+30)\n"
    "     -> mil: Double(12345678)\n"
    "     -> raw: Bytes(AAH/)\n"
    "     -> none: Empty()\n"
    "     -> b: Bool(false)\n"
    "     -> s: Str(multi\n"
    "line \"q\" <x>)\n"
    "     -> tags: Slice([\"a\",true,3,1.5,\"AAH/\",[],null,{\"z\":1}])\n"
    "     -> m: Map({\"b\":2,\"k\":\"v\",\"mm\":{\"x\":\"y\"}})\n"
    "Events:\n"
    "SpanEvent #0\n"
    "     -> Name: retry\n"
    "     -> Timestamp: 2023-11-14 22:13:20.0005 +0000 UTC\n"
    "     -> DroppedAttributesCount: 1\n"
    "     -> Attributes::\n"
    "          -> ea: Str(ev)\n"
    "SpanEvent #1\n"
    "     -> Name: \n"
    "     -> Timestamp: 1970-01-01 00:00:00 +0000 UTC\n"
    "     -> DroppedAttributesCount: 0\n"
    "Links:\n"
    "SpanLink #0\n"
    "     -> Trace ID: ff02030405060708090a0b0c0d0e0f10\n"
    "     -> ID: ff12131415161718\n"
    "     -> TraceState: c=d\n"
    "     -> DroppedAttributesCount: 2\n"
    "     -> Attributes::\n"
    "          -> la: Str(lv)\n"
    "SpanLink #1\n"
    "     -> Trace ID: ee02030405060708090a0b0c0d0e0f10\n"
    "     -> ID: ff12131415161718\n"
    "     -> TraceState: \n"
    "     -> DroppedAttributesCount: 0\n"
    "Span #1\n"
    "    Trace ID       : 0102030405060708090a0b0c0d0e0f10\n"
    "    Parent ID      : \n"
    "    ID             : 3112131415161718\n"
    "    Name           : root\n"
    "    Kind           : \n"
    "    Start time     : 2023-11-14 22:13:20 +0000 UTC\n"
    "    End time       : 1970-01-01 00:00:00 +0000 UTC\n"
    "    Status code    : Ok\n"
    "    Status message : \n"
    "    DroppedAttributesCount: 0\n"
    "    DroppedEventsCount: 0\n"
    "    DroppedLinksCount: 0\n"
    "Span #2\n"
    "    Trace ID       : 0102030405060708090a0b0c0d0e0f10\n"
    "    Parent ID      : \n"
    "    ID             : 3112131415161719\n"
    "    Name           : \n"
    "    Kind           : Unspecified\n"
    "    Start time     : 1970-01-01 00:00:00 +0000 UTC\n"
    "    End time       : 1970-01-01 00:00:00 +0000 UTC\n"
    "    Status code    : Unset\n"
    "    Status message : \n"
    "    DroppedAttributesCount: 0\n"
    "    DroppedEventsCount: 0\n"
    "    DroppedLinksCount: 0\n"
    "ScopeSpans #1\n"
    "ScopeSpans SchemaURL: \n"
    "InstrumentationScope  \n"
    "Span #0\n"
    "    Trace ID       : 0102030405060708090a0b0c0d0e0f10\n"
    "    Parent ID      : \n"
    "    ID             : 3112131415161720\n"
    "    Name           : x\n"
    "    Kind           : Client\n"
    "    Start time     : 1970-01-01 00:00:00 +0000 UTC\n"
    "    End time       : 1970-01-01 00:00:00 +0000 UTC\n"
    "    Status code    : \n"
    "    Status message : \n"
    "    DroppedAttributesCount: 0\n"
    "    DroppedEventsCount: 0\n"
    "    DroppedLinksCount: 0\n"
    "ResourceSpans #1\n"
    "Resource SchemaURL: \n"
    "ScopeSpans #0\n"
    "ScopeSpans SchemaURL: \n"
    "InstrumentationScope  \n"
    "Span #0\n"
    "    Trace ID       : 0102030405060708090a0b0c0d0e0f10\n"
    "    Parent ID      : \n"
    "    ID             : 3112131415161721\n"
    "    Name           : y\n"
    "    Kind           : Producer\n"
    "    Start time     : 1970-01-01 00:00:00 +0000 UTC\n"
    "    End time       : 1970-01-01 00:00:00 +0000 UTC\n"
    "    Status code    : Unset\n"
    "    Status message : \n"
    "    DroppedAttributesCount: 0\n"
    "    DroppedEventsCount: 0\n"
    "    DroppedLinksCount: 0\n"
    "\n";

struct rig {
    struct test_host *t;
    struct test_settings s;
    struct component *c;
    char path[64];
};

/* A debug exporter that writes to a file of its own. */
static struct rig rig_new(const char *yaml)
{
    struct rig r = {.t = th_new()};
    char text[256];

    strcpy(r.path, "/tmp/tailrace-debug-XXXXXX");
    close(mkstemp(r.path));
    snprintf(text, sizeof(text), "{use_internal_logger: false, output_paths: [%s], %s}", r.path, yaml);
    r.s = ts_new(&debug_exporter_type, text);
    ck_assert_str_eq(ts_problems(&r.s), "");
    r.c = th_component(r.t, &debug_exporter_type, r.s.settings);
    return r;
}

static void rig_free(struct rig *r)
{
    th_component_free(r->t, &r->c);
    ts_free(&r->s);
    th_free(&r->t);
    unlink(r->path);
}

static const char *printed(const struct rig *r)
{
    static char text[16 << 20];
    FILE *f = fopen(r->path, "r");
    size_t n;

    ck_assert_ptr_nonnull(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (text = strstr(text, what); text; text = strstr(text + 1, what))
        n++;
    return n;
}

static void push_request(struct rig *r)
{
    struct buf wire = {.max = 1 << 20};

    ck_assert_int_eq(otlp_json_decode(slice_str(request), &wire, NULL), 0);
    th_push(r->c, th_batch(r->t, th_payload_bytes(r->t, slice_of(wire.p, wire.len))));
    buf_free(&wire);
}

static void push_spans(struct rig *r, size_t n)
{
    th_push(r->c, th_batch(r->t, th_payload_n(r->t, 1, n)));
}

START_TEST(layouts_are_the_collectors)
{
    static const struct {
        const char *yaml, *want;
    } rows[] = {
        {"verbosity: basic", "Traces\t{\"resource spans\": 2, \"spans\": 5}\n"},
        {"verbosity: Normal", normal},
        {"verbosity: detailed", detailed},
    };
    struct rig r = rig_new(rows[_i].yaml);
    char series[128];

    push_request(&r);
    ck_assert_str_eq(printed(&r), rows[_i].want);
    ck_assert_uint_eq(r.t->ledger.fate[FATE_EXPORTED], 5);
    snprintf(series, sizeof(series), "otelcol_exporter_sent_spans{exporter=\"%s\"}", r.t->host.id);
    ck_assert(th_metric(r.t, series) == 5);
    rig_free(&r);
}
END_TEST

static uint64_t second_of(const struct rig *r)
{
    return loop_now_ns(r->t->host.loop) / 1000000000u;
}

START_TEST(batches_are_sampled_by_the_second)
{
    static const struct {
        const char *yaml;
        size_t want; /* of 40 within a second */
    } rows[] = {
        {"verbosity: basic", 40},
        {"sampling_initial: 3, sampling_thereafter: 0", 3},
        {"sampling_initial: 3, sampling_thereafter: 10", 6},
        {"sampling_initial: 0, sampling_thereafter: 40", 1},
    };
    struct rig r = rig_new(rows[_i].yaml);
    uint64_t began;
    size_t before;

    do { /* again when the second ended meanwhile */
        for (began = second_of(&r); second_of(&r) == began;)
            usleep(2000);
        began = second_of(&r);
        before = count(printed(&r), "Traces");
        for (int i = 0; i < 40; i++)
            push_spans(&r, 1);
    } while (second_of(&r) != began);
    ck_assert_uint_eq(count(printed(&r), "Traces") - before, rows[_i].want);
    rig_free(&r);
}
END_TEST

START_TEST(control_characters_are_shown_not_sent)
{
    struct rig r = rig_new(_i ? "verbosity: normal" : "verbosity: detailed");
    struct payload *p = th_payload(r.t, TH_SPANS({.trace = 1, .id = 1, .name = "a\x1b[2Jb\r\tc",
                                                  .attrs = {TH_STR("k\x07", "v\x7f\n")}}));

    th_push(r.c, th_batch(r.t, p));
    ck_assert_ptr_null(strchr(printed(&r), 0x1b));
    ck_assert_ptr_nonnull(strstr(printed(&r), "a\\x1b[2Jb\\x0d\tc"));
    ck_assert_ptr_nonnull(strstr(printed(&r), _i ? "k\\x07=v\\x7f\n" : "k\\x07: Str(v\\x7f\n)"));
    rig_free(&r);
}
END_TEST

START_TEST(huge_batches_are_cut)
{
    struct rig r = rig_new("verbosity: detailed");

    for (int i = 0; i < 2; i++)
        push_spans(&r, 30000);
    ck_assert_uint_eq(count(printed(&r), "Traces\t"), 2);
    ck_assert_uint_eq(r.t->ledger.fate[FATE_EXPORTED], 60000);
    ck_assert_uint_eq(count(printed(&r), "(the rest of this batch is not shown)"), 2);
    ck_assert_uint_lt(strlen(printed(&r)), 9 << 20);
    rig_free(&r);
}
END_TEST

START_TEST(with_a_queue_all_is_shown_at_the_end)
{
    struct rig r = rig_new("sending_queue: {num_consumers: 1}");

    for (int i = 0; i < 20; i++)
        push_spans(&r, 2);
    th_component_free(r.t, &r.c);
    ck_assert_uint_eq(count(printed(&r), "\"spans\": 2"), 20);
    r.c = th_component(r.t, &debug_exporter_type, r.s.settings);
    rig_free(&r);
}
END_TEST

static const struct {
    const char *yaml, *problem;
} wrong[] = {
    {"{verbosity: none}", "verbosity level \"None\" is not supported"},
    {"{output_paths: [stdout]}", "output_paths is not supported when use_internal_logger is true"},
    {"{sending_queue: {queue_size: 0}}", "`queue_size` must be positive"},
};

START_TEST(wrong_settings)
{
    struct test_settings s = ts_new(&debug_exporter_type, wrong[_i].yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong[_i].problem) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
}
END_TEST

START_TEST(unwritable_output_is_an_error)
{
    struct test_host *t = th_new();
    struct test_settings s = ts_new(&debug_exporter_type, "{use_internal_logger: false, output_paths: [/nowhere/x]}");
    struct err err = {""};

    ck_assert_ptr_null(th_component_try(t, &debug_exporter_type, s.settings, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/x"));
    ts_free(&s);
    th_free(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("debug exporter");
    TCase *t = tcase_create("debug");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, layouts_are_the_collectors, 0, 3);
    tcase_add_loop_test(t, batches_are_sampled_by_the_second, 0, 4);
    tcase_add_loop_test(t, control_characters_are_shown_not_sent, 0, 2);
    tcase_add_test(t, huge_batches_are_cut);
    tcase_add_test(t, with_a_queue_all_is_shown_at_the_end);
    tcase_add_loop_test(t, wrong_settings, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(t, unwritable_output_is_an_error);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
