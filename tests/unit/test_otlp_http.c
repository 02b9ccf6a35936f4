/* SPDX-License-Identifier: Apache-2.0 */
/* The otlp_http exporter and its HTTP/1.1 client, from YAML to the wire, against a backend that answers
 * as told, well or badly. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/exporters.h"
#include "exporters/otlp_common.h"
#include "model/otlp_json.h"
#include "net/grpc.h"
#include "platform/clock.h"
#include "tests/lib/fake_http.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

static struct test_host *t;
static struct fake_http *f;
static struct component *c;
static struct test_settings s;

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"

static void say(const char *text)
{
    f->answer = slice_str(text);
}

static void setup(void)
{
    t = th_new();
    f = fake_http_new(t->host.loop);
    c = NULL;
    say(OK_EMPTY);
}

static void open_exporter(const char *more)
{
    char yaml[2000];

    snprintf(yaml, sizeof(yaml), "endpoint: \"http://%s\"\n%s", f->endpoint, more);
    s = ts_new(&otlp_http_exporter_type, yaml);
    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &otlp_http_exporter_type, s.settings);
}

static bool no_conns(void *ctx)
{
    (void)ctx;
    return f->n_open_conns == 0;
}

static void teardown(void)
{
    if (c != NULL) {
        th_component_free(t, &c);
        ck_assert_int_eq(t->ledger.held, 0);
        ts_free(&s);
    }
    fake_http_drop_all(f);
    ck_assert(th_run_until(t, no_conns, NULL));
    fake_http_free(&f);
    th_free(&t);
}

static struct test_wait *push(uint64_t n_spans)
{
    struct batch *b = th_batch(t, th_payload_n(t, 1, n_spans));

    b->waiter = th_wait(t);
    th_push(c, b);
    return t->waits[t->n_waits - 1];
}

static bool nothing_held(void *ctx)
{
    (void)ctx;
    return t->ledger.held == 0;
}

static struct test_wait *deliver(uint64_t n_spans)
{
    struct test_wait *w = push(n_spans);

    ck_assert(th_run_until(t, nothing_held, NULL));
    ck_assert_uint_eq(w->times, 1);
    return w;
}

#define DIRECT "sending_queue: {enabled: false}\nretry_on_failure: {enabled: false}\n"

static bool got_line(const char *line)
{
    char want[300];

    snprintf(want, sizeof(want), "%s\r\n", line);
    return strstr((const char *)f->last_head.p, want) != NULL;
}

struct codec_case {
    const char *name;
    enum codec codec;
};
static const struct codec_case codecs[] = {
    {"none", CODEC_NONE},     {"gzip", CODEC_GZIP},     {"zstd", CODEC_ZSTD},
    {"zlib", CODEC_ZLIB},     {"deflate", CODEC_ZLIB},  {"snappy", CODEC_SNAPPY},
    {"x-snappy-framed", CODEC_SNAPPY_FRAMED},           {"lz4", CODEC_LZ4},
};

static uint32_t spans_received(enum codec codec)
{
    struct decompressor *d;
    uint8_t *out;
    size_t n, charged;
    struct err err;
    uint32_t spans;

    if (codec == CODEC_NONE)
        return otlp_count_spans(slice_of(f->last_body.p, f->last_body.len));
    d = decompressor_new();
    ck_assert(decompress(d, codec, slice_of(f->last_body.p, f->last_body.len), 1 << 24, t->host.budget, &out, &n,
                         &charged, &err) == DECOMPRESS_OK);
    spans = otlp_count_spans(slice_of(out, n));
    budget_release(t->host.budget, MEM_BODY, charged);
    free(out);
    decompressor_free(&d);
    return spans;
}

START_TEST(test_delivers)
{
    char more[100], line[200];

    snprintf(more, sizeof(more), DIRECT "compression: %s\n", codecs[_i].name);
    open_exporter(more);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(deliver(1000)->answer, ANSWER_OK);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 3000);
    ck_assert_uint_eq(spans_received(codecs[_i].codec), 1000);
    ck_assert(strncmp((char *)f->last_head.p, "POST /v1/traces HTTP/1.1\r\n", 26) == 0);
    snprintf(line, sizeof(line), "Host: %s", f->endpoint);
    ck_assert(got_line(line));
    ck_assert(got_line("Content-Type: application/x-protobuf"));
    snprintf(line, sizeof(line), "Content-Encoding: %s", codecs[_i].name);
    ck_assert_int_eq(got_line(line), codecs[_i].codec != CODEC_NONE);
    ck_assert_uint_eq(f->n_conns, 1); /* kept alive */
    snprintf(line, sizeof(line), "otelcol_exporter_sent_spans{exporter=\"test\",server_address=\"127.0.0.1\","
             "server_port=\"%s\",url_path=\"/v1/traces\"}", strchr(f->endpoint, ':') + 1);
    ck_assert_double_eq(th_metric(t, line), 3000);
}
END_TEST

START_TEST(test_json)
{
    struct buf proto = {0};
    struct err err;

    say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 70\r\n\r\n"
        "{\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"one is wrong\"}}");
    open_exporter(DIRECT "encoding: json\ncompression: none\n");
    deliver(10);
    ck_assert(got_line("Content-Type: application/json"));
    ck_assert_int_eq(otlp_json_decode(slice_of(f->last_body.p, f->last_body.len), &proto, &err), 0);
    ck_assert_uint_eq(otlp_count_spans(slice_of(proto.p, proto.len)), 10);
    ck_assert_uint_eq(t->ledger.dropped[DROP_PARTIAL_SUCCESS], 1);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 9);
    buf_free(&proto);
}
END_TEST

START_TEST(test_headers)
{
    open_exporter(DIRECT "headers: {X-Scope-OrgID: tenant 1, Host: over.ride, user-agent: me/1, Content-Length: \"5\"}\n"
                  "compression: none\n");
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    ck_assert(got_line("X-Scope-OrgID: tenant 1"));
    ck_assert(got_line("Host: over.ride"));
    ck_assert(got_line("User-Agent: me/1"));
    ck_assert(!got_line("Content-Length: 5"));
}
END_TEST

START_TEST(test_urls)
{
    static const char *const cases[][2] = {
        {"endpoint: http://%s/base/", "POST /base/v1/traces "},
        {"endpoint: http://%s/base", "POST /base/v1/traces "},
        {"endpoint: http://%s/", "POST /v1/traces "},
        {"traces_endpoint: http://%s", "POST / "},
        {"traces_endpoint: http://%s/", "POST / "},
        {"traces_endpoint: http://%s/x/y?z=1", "POST /x/y?z=1 "},
        {"endpoint: http://other:1\ntraces_endpoint: http://%s/t", "POST /t "},
    };
    const char *mark = strstr(cases[_i][0], "%s");
    char yaml[300];

    snprintf(yaml, sizeof(yaml), "%.*s%s%s\n" DIRECT, (int)(mark - cases[_i][0]), cases[_i][0], f->endpoint, mark + 2);
    s = ts_new(&otlp_http_exporter_type, yaml);
    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &otlp_http_exporter_type, s.settings);
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    ck_assert_msg(strncmp((char *)f->last_head.p, cases[_i][1], strlen(cases[_i][1])) == 0, "%s", (char *)f->last_head.p);
}
END_TEST

struct status_case {
    int status;
    enum answer answer;
    int told;
};
static const struct status_case statuses[] = {
    {200, ANSWER_OK, 0},        {202, ANSWER_OK, 0},        {204, ANSWER_OK, 0},
    {301, ANSWER_REJECTED, 2},  {400, ANSWER_REJECTED, 3},  {401, ANSWER_REJECTED, 16},
    {403, ANSWER_REJECTED, 7},  {404, ANSWER_REJECTED, 12}, {408, ANSWER_REJECTED, 2},
    {413, ANSWER_REJECTED, 3},  {429, ANSWER_RETRY, 8},     {500, ANSWER_REJECTED, 2},
    {502, ANSWER_RETRY, 14},     {503, ANSWER_RETRY, 14},     {504, ANSWER_RETRY, 14},
};

START_TEST(test_statuses)
{
    const struct status_case *k = &statuses[_i];
    char answer[200], text[100];
    struct test_wait *w;

    snprintf(answer, sizeof(answer), "HTTP/1.1 %d Some Words\r\n%s\r\n", k->status,
             k->status == 204 ? "" : "Content-Length: 0\r\n");
    say(answer);
    open_exporter(DIRECT);
    w = deliver(2);
    ck_assert_int_eq(w->answer, k->answer);
    ck_assert_int_eq(w->grpc_code, k->told);
    if (k->answer == ANSWER_OK)
        return;
    snprintf(text, sizeof(text), "responded with HTTP Status Code %d", k->status);
    ck_assert_ptr_nonnull(strstr(w->text, text));
}
END_TEST

START_TEST(test_error_body)
{
    struct buf status = {0}, answer = {0};

    grpc_status_encode(&status, 3, slice_str("span 7 is bad"), false, 0);
    buf_putf(&answer, "HTTP/1.1 400 Bad\r\nContent-Type: application/x-protobuf\r\nContent-Length: %zu\r\n\r\n", status.len);
    buf_put(&answer, status.p, status.len);
    f->answer = slice_of(answer.p, answer.len);
    open_exporter(DIRECT);
    ck_assert_ptr_nonnull(strstr(deliver(1)->text, "Message=span 7 is bad"));
    say("HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n{\"code\":3,\"message\":\"it is bad\"}");
    ck_assert_ptr_nonnull(strstr(deliver(1)->text, "Message=it is bad"));
    buf_free(&status);
    buf_free(&answer);
}
END_TEST

START_TEST(test_retry_after)
{
    open_exporter(DIRECT);
    say("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(deliver(1)->retry_after_ms, 7000);
    say("HTTP/1.1 503 Slow\r\nretry-after: 3\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(deliver(1)->retry_after_ms, 3000);
    say("HTTP/1.1 502 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(deliver(1)->retry_after_ms, 0);
    say("HTTP/1.1 503 Slow\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n");
    ck_assert_uint_eq(deliver(1)->retry_after_ms, 0);
}
END_TEST

START_TEST(test_retry_after_texts)
{
    const uint64_t now = 784111777ull * NS_PER_SEC; /* Sun, 06 Nov 1994 08:49:37 GMT */
    uint64_t hint;

    ck_assert(retry_after_parse("Sun, 06 Nov 1994 08:50:07 GMT", now, &hint));
    ck_assert_uint_eq(hint, 30 * NS_PER_SEC);
    ck_assert(!retry_after_parse("Sun, 06 Nov 1994 08:49:37 GMT", now, &hint));
    ck_assert(!retry_after_parse("Sun, 06 Nov 1994 08:50:07", now, &hint));
    ck_assert(!retry_after_parse("-5", now, &hint));
    ck_assert(!retry_after_parse("5x", now, &hint));
    ck_assert(!retry_after_parse("", now, &hint));
    ck_assert(!retry_after_parse(NULL, now, &hint));
    ck_assert(!retry_after_parse("99999999999999999999", now, &hint));
    ck_assert_uint_eq(hint, 0);
}
END_TEST

struct framing {
    const char *answer;
    bool close;
    enum answer expect;
    bool reusable;
};
static const struct framing framings[] = {
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", false, ANSWER_OK, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nRetry-After: x\r\nEmpty:\r\n\r\n", false, ANSWER_OK, true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, ANSWER_OK, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, ANSWER_OK, true},
    {"HTTP/1.1 200 OK\r\nEmpty:\r\nContent-Length: 0\r\n\r\n", false, ANSWER_OK, true},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", true, ANSWER_OK, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, ANSWER_OK, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore than was asked for", false, ANSWER_OK, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", true, ANSWER_RETRY, false}, /* it lied */
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, ANSWER_RETRY, false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", false, ANSWER_RETRY, false},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false, ANSWER_RETRY, false},
    {"\x01\x02\x12\x04 not HTTP/1 at all", false, ANSWER_RETRY, false},
    {"HTTP/1.1 2", true, ANSWER_RETRY, false},
    {"", true, ANSWER_RETRY, false},
};

START_TEST(test_framings)
{
    const struct framing *k = &framings[_i / 2];

    f->answer = slice_str(k->answer);
    f->close_after = k->close;
    f->drip = _i % 2 == 1 && f->answer.len > 0;
    open_exporter(DIRECT);
    ck_assert_int_eq(deliver(1)->answer, k->expect);
    if (k->expect != ANSWER_OK)
        return;
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    ck_assert_uint_eq(f->n_conns, k->reusable ? 1 : 2);
}
END_TEST

START_TEST(test_huge_answers)
{
    struct buf answer = {0};

    buf_puts(&answer, "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n");
    while (answer.len < 200000)
        buf_puts(&answer, "0123456789");
    f->answer = slice_of(answer.p, answer.len);
    open_exporter(DIRECT);
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK); /* the status stands; the rest is not waited for */
    buf_clear(&answer);
    buf_puts(&answer, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; answer.len < 200000; i++)
        buf_putf(&answer, "X-%d: 0123456789\r\n", i);
    f->answer = slice_of(answer.p, answer.len);
    ck_assert_int_eq(deliver(1)->answer, ANSWER_RETRY);
    buf_free(&answer);
}
END_TEST

/* Memory is short: of a long answer only what counts is kept, and what cannot be kept comes again. */
START_TEST(test_long_answers_without_memory)
{
    struct buf answer = {0};

    buf_puts(&answer, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
    for (size_t head = answer.len; answer.len < head + 20000;)
        buf_puts(&answer, "0123456789");
    f->answer = slice_of(answer.p, answer.len);
    open_exporter(DIRECT);
    budget_set_limits(t->host.budget, 1, 64 << 20);
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    buf_clear(&answer);
    buf_puts(&answer, "HTTP/1.1 200 OK\r\n");
    while (answer.len < 10000)
        buf_puts(&answer, "X-More: 0123456789\r\n");
    buf_puts(&answer, "Content-Length: 0\r\n\r\n");
    f->answer = slice_of(answer.p, answer.len);
    budget_set_limits(t->host.budget, 64 << 20, 64 << 20);
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    budget_set_limits(t->host.budget, 1, 64 << 20);
    ck_assert_int_eq(deliver(1)->answer, ANSWER_RETRY);
    ck_assert_uint_eq(budget_used_by(t->host.budget, MEM_CONN), 0);
    buf_free(&answer);
}
END_TEST

START_TEST(test_stale_connection_is_not_a_failure)
{
    f->close_idle_after = 1;
    open_exporter(DIRECT);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 20);
}
END_TEST

START_TEST(test_no_keep_alive)
{
    open_exporter(DIRECT "disable_keep_alives: true\n");
    deliver(1);
    ck_assert(got_line("Connection: close"));
    deliver(1);
    ck_assert_uint_eq(f->n_conns, 2);
}
END_TEST

START_TEST(test_early_answer)
{
    f->early = true;
    say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    open_exporter(DIRECT "compression: none\n");
    ck_assert_int_eq(deliver(100000)->answer, ANSWER_REJECTED);
}
END_TEST

START_TEST(test_timeouts)
{
    say("");
    open_exporter(DIRECT "timeout: 50ms\ncompression: none\n");
    ck_assert_ptr_nonnull(strstr(deliver(1)->text, "deadline exceeded"));
    f->deaf = true;
    ck_assert_ptr_nonnull(strstr(deliver(100000)->text, "deadline exceeded"));
}
END_TEST

static bool after(void *ctx)
{
    return clock_mono_ns() > *(uint64_t *)ctx;
}

START_TEST(test_useless_backend_is_not_redialled_in_a_loop)
{
    uint64_t until = clock_mono_ns() + 500 * NS_PER_MS;
    unsigned n = 0;

    f->close_at_once = true;
    open_exporter(DIRECT);
    for (; clock_mono_ns() < until; n++) {
        uint64_t soon = clock_mono_ns() + 5 * NS_PER_MS;

        ck_assert_int_eq(deliver(1)->answer, ANSWER_RETRY);
        ck_assert(th_run_until(t, after, &soon));
    }
    ck_assert_uint_gt(n, 10);
    ck_assert_uint_le(f->n_conns, 6);
    f->close_at_once = false;
    while (deliver(1)->answer != ANSWER_OK) {
        uint64_t soon = clock_mono_ns() + 20 * NS_PER_MS;

        ck_assert(th_run_until(t, after, &soon));
    }
}
END_TEST

START_TEST(test_nobody_there)
{
    struct test_wait *w;

    listener_free(&f->listener);
    open_exporter(DIRECT);
    w = deliver(1);
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_ptr_nonnull(strstr(w->text, "failed to make an HTTP request: Post \"http://127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(w->text, "connection refused"));
}
END_TEST

START_TEST(test_many_in_parallel)
{
    open_exporter("sending_queue: {num_consumers: 4}\n");
    for (int i = 0; i < 100; i++)
        push(10);
    ck_assert(th_run_until(t, nothing_held, NULL));
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 1000);
    ck_assert_uint_le(f->n_conns, 4);
}
END_TEST

START_TEST(test_max_conns)
{
    open_exporter("max_conns_per_host: 2\n");
    for (int i = 0; i < 50; i++)
        push(10);
    ck_assert(th_run_until(t, nothing_held, NULL));
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 500);
    ck_assert_uint_le(f->n_conns, 2);
}
END_TEST

START_TEST(test_idle_connections_are_closed)
{
    open_exporter("idle_conn_timeout: 10ms\n");
    deliver(1);
    ck_assert(th_run_until(t, no_conns, NULL));
    ck_assert_int_eq(deliver(1)->answer, ANSWER_OK);
    ck_assert_uint_eq(f->n_conns, 2);
}
END_TEST

START_TEST(test_drain)
{
    open_exporter("sending_queue: {num_consumers: 2}\n");
    for (int i = 0; i < 50; i++)
        push(2);
    th_component_free(t, &c);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 100);
    ts_free(&s);
}
END_TEST

START_TEST(test_drain_deadline)
{
    say("");
    open_exporter("sending_queue: {num_consumers: 2}\ntimeout: 0s\n");
    for (int i = 0; i < 5; i++)
        push(2);
    t->deadline_passed = true;
    th_component_free(t, &c);
    ck_assert_uint_eq(t->ledger.dropped[DROP_SHUTDOWN], 10);
    ts_free(&s);
}
END_TEST

static const char *const bad_configs[][2] = {
    {"", "either endpoint or traces_endpoint must be specified"},
    {"endpoint: a:4318", "unsupported protocol scheme"},
    {"endpoint: https://a\ntls: {key_pem: a}", "must include both certificate and key (CertFile/CertPem and KeyFile/KeyPem)"},
    {"endpoint: \"http://\"", "no host"},
    {"traces_endpoint: nonsense", "traces_endpoint must be a valid URL"},
    {"endpoint: http://a:x", "invalid port \"x\""},
    {"endpoint: http://a\nencoding: xml", "xml"},
    {"endpoint: http://a\ncompression: br", "br"},
    {"endpoint: http://a\ncompression: snappy\ncompression_params: {level: 5}",
     "unsupported parameters {Level:5} for compression type \"snappy\""},
    {"endpoint: http://a\ncompression_params: {level: 10}", "unsupported parameters {Level:10} for compression type \"gzip\""},
    {"endpoint: http://a\nproxy_url: socks5://p", "only http:// proxies are supported"},
    {"endpoint: http://a\ntimeout: -1s", "'timeout' must be non-negative"},
};

START_TEST(test_bad_configs)
{
    struct test_settings bad = ts_new(&otlp_http_exporter_type, bad_configs[_i][0]);

    ck_assert_msg(strstr(ts_problems(&bad), bad_configs[_i][1]) != NULL, "%s\n%s", bad_configs[_i][0], ts_problems(&bad));
    ts_free(&bad);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("otlp_http");
    TCase *tc = tcase_create("otlp_http"), *config = tcase_create("config");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, test_delivers, 0, (int)ARRAY_LEN(codecs));
    tcase_add_test(tc, test_json);
    tcase_add_test(tc, test_headers);
    tcase_add_loop_test(tc, test_urls, 0, 7);
    tcase_add_loop_test(tc, test_statuses, 0, (int)ARRAY_LEN(statuses));
    tcase_add_test(tc, test_error_body);
    tcase_add_test(tc, test_retry_after);
    tcase_add_loop_test(tc, test_framings, 0, 2 * (int)ARRAY_LEN(framings));
    tcase_add_test(tc, test_huge_answers);
    tcase_add_test(tc, test_long_answers_without_memory);
    tcase_add_test(tc, test_stale_connection_is_not_a_failure);
    tcase_add_test(tc, test_no_keep_alive);
    tcase_add_test(tc, test_early_answer);
    tcase_add_test(tc, test_timeouts);
    tcase_add_test(tc, test_useless_backend_is_not_redialled_in_a_loop);
    tcase_add_test(tc, test_nobody_there);
    tcase_add_test(tc, test_many_in_parallel);
    tcase_add_test(tc, test_max_conns);
    tcase_add_test(tc, test_idle_connections_are_closed);
    tcase_add_test(tc, test_drain);
    tcase_add_test(tc, test_drain_deadline);
    suite_add_tcase(suite, tc);
    tcase_add_test(config, test_retry_after_texts);
    tcase_add_loop_test(config, test_bad_configs, 0, (int)ARRAY_LEN(bad_configs));
    suite_add_tcase(suite, config);
    r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
