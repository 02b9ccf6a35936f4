/* SPDX-License-Identifier: Apache-2.0 */
/* The otlp_grpc exporter, from YAML to the wire, against a backend that answers as told. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/exporters.h"
#include "model/otlp_walk.h"
#include "net/compress.h"
#include "net/grpc.h"
#include "tests/lib/fake_grpc.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

static struct test_host *t;
static struct fake_grpc *f;
static struct component *c;
static struct test_settings s;

static void setup(void)
{
    t = th_new();
    f = fake_grpc_new(t->host.loop);
    c = NULL;
}

/* more: further YAML lines at top level. */
static void open_exporter(const char *more)
{
    char yaml[2000];

    snprintf(yaml, sizeof(yaml), "endpoint: \"%s\"\ntls: {insecure: true}\n%s", f->endpoint, more);
    s = ts_new(&otlp_grpc_exporter_type, yaml);
    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &otlp_grpc_exporter_type, s.settings);
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
    fake_grpc_drop_all(f);
    ck_assert(th_run_until(t, no_conns, NULL));
    fake_grpc_free(&f);
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

static void settle(void)
{
    ck_assert(th_run_until(t, nothing_held, NULL));
}

/* Without queue and retry, so that the waiter hears what the backend said. */
#define DIRECT "sending_queue: {enabled: false}\nretry_on_failure: {enabled: false}\n"

static struct test_wait *say(struct fake_answer a)
{
    struct test_wait *w;

    f->answer = a;
    w = push(3);
    settle();
    ck_assert_uint_eq(w->times, 1);
    return w;
}

struct codec_case {
    const char *name;
    enum codec codec;
};
static const struct codec_case codecs[] = {
    {"none", CODEC_NONE}, {"gzip", CODEC_GZIP}, {"zstd", CODEC_ZSTD}, {"snappy", CODEC_SNAPPY_FRAMED}};

/* How many spans the body of the last request holds. */
static uint32_t spans_received(enum codec codec)
{
    const uint8_t *p = f->last_body.p;
    uint32_t len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    struct decompressor *d;
    uint8_t *out;
    size_t n, charged;
    struct err err;
    uint32_t spans;

    ck_assert_uint_eq(len + 5, f->last_body.len);
    ck_assert_uint_eq(p[0], codec != CODEC_NONE);
    if (codec == CODEC_NONE)
        return otlp_count_spans(slice_of(p + 5, len));
    d = decompressor_new();
    ck_assert(decompress(d, codec, slice_of(p + 5, len), 1 << 24, t->host.budget, &out, &n, &charged, &err) ==
              DECOMPRESS_OK);
    spans = otlp_count_spans(slice_of(out, n));
    budget_release(t->host.budget, MEM_BODY, charged);
    free(out);
    decompressor_free(&d);
    return spans;
}

static bool got_field(const char *line)
{
    char want[300];

    snprintf(want, sizeof(want), "%s\n", line);
    return strstr((const char *)f->last_fields.p, want) != NULL;
}

static uint64_t timeout_ns(void)
{
    const char *at = strstr((const char *)f->last_fields.p, "grpc-timeout: ");
    uint64_t ns = 0;

    ck_assert_ptr_nonnull(at);
    at += strlen("grpc-timeout: ");
    ck_assert_int_eq(grpc_timeout_parse(slice_of(at, strcspn(at, "\n")), &ns), 0);
    return ns;
}

START_TEST(test_delivers)
{
    char more[100], line[100];

    snprintf(more, sizeof(more), "compression: %s\n", codecs[_i].name);
    open_exporter(more);
    ck_assert_int_eq(push(1000)->answer, ANSWER_OK);
    settle();
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 1000);
    ck_assert_uint_eq(spans_received(codecs[_i].codec), 1000);
    ck_assert(got_field(":method: POST"));
    ck_assert(got_field(":path: /opentelemetry.proto.collector.trace.v1.TraceService/Export"));
    ck_assert(got_field("content-type: application/grpc"));
    ck_assert(got_field("te: trailers"));
    ck_assert_uint_eq(timeout_ns(), 5000000000u);
    snprintf(line, sizeof(line), ":authority: %s", f->endpoint);
    ck_assert(got_field(line));
    snprintf(line, sizeof(line), "grpc-encoding: %s", codecs[_i].name);
    ck_assert_int_eq(got_field(line), codecs[_i].codec != CODEC_NONE);
    snprintf(line, sizeof(line), "otelcol_exporter_sent_spans{exporter=\"test\",server_address=\"127.0.0.1\",server_port=\"%u\"}",
             f->port);
    ck_assert_double_eq(th_metric(t, line), 1000);
}
END_TEST

START_TEST(test_many_batches_few_connections)
{
    open_exporter("sending_queue: {num_consumers: 4}\n");
    for (int i = 0; i < 100; i++)
        push(10);
    settle();
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 1000);
    ck_assert_uint_eq(f->n_conns, 1);
    ck_assert_uint_le(f->max_open, 4);
}
END_TEST

START_TEST(test_headers)
{
    open_exporter("headers: {X-Scope-OrgID: tenant 1, Host: over.ride, Content-Type: x, grpc-timeout: 1S, key-bin: ab}\n"
                  "user_agent: agent/1\n");
    push(1);
    settle();
    ck_assert(got_field("x-scope-orgid: tenant 1"));
    ck_assert(got_field(":authority: over.ride"));
    ck_assert(got_field("content-type: application/grpc"));
    ck_assert(!got_field("content-type: x"));
    ck_assert(!got_field("grpc-timeout: 1S"));
    ck_assert(got_field("key-bin: YWI"));
    ck_assert(got_field("user-agent: agent/1"));
}
END_TEST

struct status_case {
    int code;
    enum answer answer; /* what the waiter hears without retries */
    int told;           /* its code */
};
static const struct status_case statuses[] = {
    {1, ANSWER_RETRY, 1},  {2, ANSWER_REJECTED, 2},  {3, ANSWER_REJECTED, 3},   {4, ANSWER_RETRY, 4},
    {5, ANSWER_REJECTED, 5}, {6, ANSWER_REJECTED, 6}, {7, ANSWER_REJECTED, 7},  {8, ANSWER_REJECTED, 8},
    {9, ANSWER_REJECTED, 9}, {10, ANSWER_RETRY, 10},  {11, ANSWER_RETRY, 11},     {12, ANSWER_REJECTED, 12},
    {13, ANSWER_REJECTED, 13}, {14, ANSWER_RETRY, 14}, {15, ANSWER_RETRY, 15},    {16, ANSWER_REJECTED, 16},
    {99, ANSWER_REJECTED, 2},
};

START_TEST(test_statuses)
{
    const struct status_case *k = &statuses[_i];
    struct test_wait *w;

    open_exporter(DIRECT);
    w = say((struct fake_answer){.grpc_status = k->code, .message = "no%20%E2%82%AC"});
    ck_assert_int_eq(w->answer, k->answer);
    ck_assert_int_eq(w->grpc_code, k->told);
    ck_assert_msg(strstr(w->text, "desc = no \xE2\x82\xAC") != NULL, "%s", w->text);
    ck_assert_uint_eq(t->ledger.dropped[k->answer == ANSWER_RETRY ? DROP_RETURNED : DROP_NOT_RETRYABLE], 3);
}
END_TEST

/* base64 of a Status with RetryInfo. */
static char *details(uint64_t ms)
{
    struct buf status = {0}, b64 = {0};

    grpc_status_encode(&status, 8, slice_str("slow"), true, ms);
    base64_encode(&b64, slice_of(status.p, status.len));
    buf_putc(&b64, '\0');
    buf_free(&status);
    return (char *)b64.p;
}

START_TEST(test_retry_info)
{
    char *seven = details(7000), *zero = details(0);
    struct test_wait *w;

    open_exporter(DIRECT);
    w = say((struct fake_answer){.grpc_status = 8, .details = seven});
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_uint_eq(w->retry_after_ms, 7000);
    w = say((struct fake_answer){.grpc_status = 14, .details = seven});
    ck_assert_uint_eq(w->retry_after_ms, 7000);
    w = say((struct fake_answer){.grpc_status = 8, .details = zero}); /* retryable, no hint */
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_uint_eq(w->retry_after_ms, 0);
    w = say((struct fake_answer){.grpc_status = 8, .details = "!!!"});
    ck_assert_int_eq(w->answer, ANSWER_REJECTED);
    free(seven);
    free(zero);
}
END_TEST

START_TEST(test_not_grpc)
{
    struct test_wait *w;

    open_exporter(DIRECT);
    w = say((struct fake_answer){.http_status = 503, .grpc_status = -1, .body = slice_str("later")});
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    w = say((struct fake_answer){.http_status = 404, .grpc_status = -1, .body = slice_str("what?")});
    ck_assert_int_eq(w->answer, ANSWER_REJECTED);
    ck_assert_int_eq(w->grpc_code, GRPC_UNIMPLEMENTED);
    w = say((struct fake_answer){.grpc_status = -1, .content_type = "text/html", .body = slice_str("<html>")});
    ck_assert_int_eq(w->answer, ANSWER_REJECTED);
    w = say((struct fake_answer){.grpc_status = -1, .body = slice_str("\0\0\0\0\0")});
    ck_assert_int_eq(w->answer, ANSWER_REJECTED);
}
END_TEST

START_TEST(test_resets)
{
    static const struct {
        uint32_t code;
        enum answer answer;
    } cases[] = {{0, ANSWER_REJECTED}, {2, ANSWER_REJECTED}, {7, ANSWER_RETRY}, {8, ANSWER_RETRY}, {11, ANSWER_REJECTED}};

    open_exporter(DIRECT);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_int_eq(say((struct fake_answer){.action = FAKE_RESET, .rst_code = cases[i].code})->answer,
                         cases[i].answer);
    ck_assert_int_eq(say((struct fake_answer){.action = FAKE_DROP})->answer, ANSWER_RETRY);
}
END_TEST

/* ExportTraceServiceResponse{partial_success{rejected_spans: 2, error_message: "bad"}} in a frame. */
#define PARTIAL "\0\0\0\0\x09\x0a\x07\x08\x02\x12\x03" "bad"

START_TEST(test_partial_success)
{
    open_exporter(DIRECT);
    ck_assert_int_eq(say((struct fake_answer){.body = slice_of(PARTIAL, 14)})->answer, ANSWER_OK);
    ck_assert_uint_eq(t->ledger.dropped[DROP_PARTIAL_SUCCESS], 2);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 1);
}
END_TEST

START_TEST(test_compressed_answer)
{
    struct compressor *gz = compressor_new(CODEC_GZIP, 0);
    struct iovec iov = {&PARTIAL[5], 9};
    struct buf out = {0};

    buf_put(&out, "\1\0\0\0\0", 5);
    ck_assert_int_eq(compress_iov(gz, &iov, 1, &out), 0);
    out.p[4] = (uint8_t)(out.len - 5);
    open_exporter(DIRECT);
    say((struct fake_answer){.body = slice_of(out.p, out.len), .encoding = "gzip"});
    ck_assert_uint_eq(t->ledger.dropped[DROP_PARTIAL_SUCCESS], 2);
    say((struct fake_answer){.body = slice_of(out.p, out.len), .encoding = "strange"});
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 4);
    buf_free(&out);
    compressor_free(&gz);
}
END_TEST

/* Memory is short: of a long answer only the status is kept; a status that cannot be kept means "again". */
START_TEST(test_long_answers_without_memory)
{
    static uint8_t body[100000];
    char message[10001];

    memset(message, 'm', 10000);
    message[10000] = '\0';
    open_exporter(DIRECT);
    budget_set_limits(t->host.budget, 1, 64 << 20);
    ck_assert_int_eq(say((struct fake_answer){.body = slice_of(body, sizeof(body))})->answer, ANSWER_OK);
    ck_assert_int_eq(say((struct fake_answer){.grpc_status = 3, .message = message})->answer, ANSWER_RETRY);
    budget_set_limits(t->host.budget, 64 << 20, 64 << 20);
    ck_assert_int_eq(say((struct fake_answer){.grpc_status = 3, .message = message})->answer, ANSWER_REJECTED);
    ck_assert_int_eq(say((struct fake_answer){.body = slice_of(body, sizeof(body))})->answer, ANSWER_OK);
    ck_assert_uint_eq(budget_used_by(t->host.budget, MEM_CONN), 0);
}
END_TEST

static const char *const odd_answers[] = {"\0\0\0\0", "\0\xff\xff\xff\xff", "\0\0\0\0\2\xff\xff", "\1\0\0\0\1x", ""};
static const size_t odd_lengths[] = {4, 5, 7, 6, 0};

/* grpc-status 0 is what counts; what cannot be read says nothing. */
START_TEST(test_odd_answers_to_taken_requests)
{
    open_exporter(DIRECT);
    ck_assert_int_eq(say((struct fake_answer){.body = slice_of(odd_answers[_i], odd_lengths[_i])})->answer, ANSWER_OK);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 3);
}
END_TEST

static bool seen_requests(void *ctx)
{
    return f->n_requests >= *(unsigned *)ctx;
}

START_TEST(test_retries_until_the_backend_is_back)
{
    unsigned three = 3;

    open_exporter("retry_on_failure: {initial_interval: 1ms, max_interval: 2ms, max_elapsed_time: 0s}\n");
    f->answer.grpc_status = 14;
    ck_assert_int_eq(push(5)->answer, ANSWER_OK);
    ck_assert(th_run_until(t, seen_requests, &three));
    ck_assert_int_eq(t->ledger.held, 5);
    f->answer.grpc_status = 0;
    settle();
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 5);
}
END_TEST

START_TEST(test_timeout)
{
    struct test_wait *w;

    open_exporter(DIRECT "timeout: 50ms\n");
    w = say((struct fake_answer){.action = FAKE_HANG});
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_ptr_nonnull(strstr(w->text, "context deadline exceeded"));
    ck_assert_int_eq(say((struct fake_answer){0})->answer, ANSWER_OK); /* same connection */
    ck_assert_uint_eq(f->n_conns, 1);
}
END_TEST

START_TEST(test_deaf_backend)
{
    struct test_wait *w;

    f->conn_mode = FAKE_DEAF;
    open_exporter(DIRECT "timeout: 50ms\ncompression: none\n");
    w = push(100000);
    settle();
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
}
END_TEST

START_TEST(test_nobody_there)
{
    struct test_wait *w;

    listener_free(&f->listener);
    open_exporter(DIRECT);
    w = push(1);
    settle();
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_ptr_nonnull(strstr(w->text, "code = Unavailable desc = connection error"));
    ck_assert_ptr_nonnull(strstr(w->text, "connection refused"));
}
END_TEST

START_TEST(test_drain_sends_what_is_queued)
{
    open_exporter("sending_queue: {num_consumers: 1}\n");
    for (int i = 0; i < 50; i++)
        push(2);
    th_component_free(t, &c);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 100);
    ts_free(&s);
}
END_TEST

START_TEST(test_drain_deadline)
{
    unsigned one = 1;

    f->answer.action = FAKE_HANG;
    open_exporter("timeout: 0s\nsending_queue: {num_consumers: 1}\n");
    push(2);
    push(3);
    ck_assert(th_run_until(t, seen_requests, &one));
    t->deadline_passed = true;
    th_component_free(t, &c);
    ck_assert_uint_eq(t->ledger.dropped[DROP_SHUTDOWN], 5);
    ts_free(&s);
}
END_TEST

struct config_case {
    const char *yaml, *problem;
};
static const struct config_case bad_configs[] = {
    {"tls: {insecure: true}", "requires a non-empty \"endpoint\""},
    {"endpoint: a:1\ntls: {min_version: '1.4'}", "invalid TLS min_version: unsupported TLS version: \"1.4\""},
    {"endpoint: a:1\ntls: {max_version: old}", "invalid TLS max_version: unsupported TLS version: \"old\""},
    {"endpoint: a:1\ntls: {min_version: '1.3', max_version: '1.2'}", "min_version cannot be greater than max_version"},
    {"endpoint: a:1\ntls: {max_version: '1.1'}", "min_version cannot be greater than max_version"},
    {"endpoint: a:1\ntls: {cipher_suites: [RC4]}", "invalid TLS cipher suite: \"RC4\""},
    {"endpoint: a:1\ntls: {cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}", "include_insecure_cipher_suites"},
    {"endpoint: a:1\ntls: {cipher_suites: [TLS_RSA_WITH_RC4_128_SHA], include_insecure_cipher_suites: true}", "no longer in OpenSSL"},
    {"endpoint: a:1\ntls: {curve_preferences: [P128]}", "invalid curve type \"P128\""},
    {"endpoint: a:1\ntls: {ca_file: a, ca_pem: b}", "provide either a CA file or the PEM-encoded string, but not both"},
    {"endpoint: a:1\ntls: {cert_file: a, cert_pem: b, key_file: c}", "provide either certificate file or PEM, but not both"},
    {"endpoint: a:1\ntls: {cert_file: a, key_file: b, key_pem: c}", "provide either key file or PEM, but not both"},
    {"endpoint: a:1\ntls: {cert_file: a}", "must include both certificate and key (CertFile/CertPem and KeyFile/KeyPem)"},
    {"endpoint: a\ntls: {insecure: true}", "missing port in address"},
    {"endpoint: a:b\ntls: {insecure: true}", "invalid port \"b\""},
    {"endpoint: \"unix://\"\ntls: {insecure: true}", "unix socket path cannot be empty"},
    {"endpoint: a:1\ntls: {insecure: true}\ntimeout: -1s", "'timeout' must be non-negative"},
    {"endpoint: a:1\ntls: {insecure: true}\ncompression: lz4", "lz4"},
    {"endpoint: a:1\ntls: {insecure: true}\nbalancer_name: x", "x"},
    {"endpoint: a:1\ntls: {insecure: true}\nheaders: {\"a b\": c}", "invalid header name \"a b\""},
    {"endpoint: a:1\ntls: {insecure: true}\nheaders: {a: \"b\\nc\"}", "invalid character in the value"},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {queue_size: 0}", "`queue_size` must be positive"},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {num_consumers: -1}", "`num_consumers` must be positive"},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {sizer: x}", "x"},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {batch: {flush_timeout: 0s}}",
     "`flush_timeout` must be positive, found 0"},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {batch: {min_size: 2, max_size: 1}}",
     "`max_size` (1) must be greater or equal to `min_size` (2)"},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {sizer: requests, batch: {}}",
     "`batch` supports only `items` or `bytes` sizer, found \"requests\""},
    {"endpoint: a:1\ntls: {insecure: true}\nsending_queue: {sizer: items, queue_size: 10, batch: {min_size: 11}}",
     "`min_size` must be less than or equal to `queue_size`"},
    {"endpoint: a:1\ntls: {insecure: true}\nretry_on_failure: {max_elapsed_time: 10s}",
     "'max_elapsed_time' must not be less than 'max_interval'"},
    {"endpoint: a:1\ntls: {insecure: true}\nretry_on_failure: {enabled: false, multiplier: -1}",
     "multiplier value must be greater than or equal to 0"},
    {"endpoint: a:1\ntls: {insecure: true}\nretry_on_failure: {randomization_factor: 2}",
     "randomization_factor value must be less than or equal to 1"},
};

START_TEST(test_bad_configs)
{
    struct test_settings bad = ts_new(&otlp_grpc_exporter_type, bad_configs[_i].yaml);

    ck_assert_msg(strstr(ts_problems(&bad), bad_configs[_i].problem) != NULL, "%s\n%s", bad_configs[_i].yaml,
                  ts_problems(&bad));
    ts_free(&bad);
}
END_TEST

static const char *const good_configs[] = {
    "", "timeout: 0s", "sending_queue: {enabled: false, queue_size: 0}", "sending_queue:", "retry_on_failure:",
    "retry_on_failure: {enabled: false}", "keepalive: {enabled: false}", "keepalive: {}", "keepalive: {time: 10s}",
    "sending_queue: {batch: }", "sending_queue: {sizer: bytes, queue_size: 1000000, batch: {min_size: 1000}}",
    "compression: none", "compression: \"\"", "balancer_name: pick_first", "wait_for_ready: true",
    "read_buffer_size: 1\nwrite_buffer_size: 2", "retry_on_failure: {max_elapsed_time: 0}",
};

START_TEST(test_good_configs)
{
    char yaml[500];
    struct test_settings good;

    snprintf(yaml, sizeof(yaml), "endpoint: a:1\ntls: {insecure: true}\n%s\n", good_configs[_i]);
    good = ts_new(&otlp_grpc_exporter_type, yaml);
    ck_assert_str_eq(ts_problems(&good), "");
    ts_free(&good);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("otlp_grpc");
    TCase *tc = tcase_create("otlp_grpc"), *config = tcase_create("config");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, test_delivers, 0, (int)ARRAY_LEN(codecs));
    tcase_add_test(tc, test_many_batches_few_connections);
    tcase_add_test(tc, test_headers);
    tcase_add_loop_test(tc, test_statuses, 0, (int)ARRAY_LEN(statuses));
    tcase_add_test(tc, test_retry_info);
    tcase_add_test(tc, test_not_grpc);
    tcase_add_test(tc, test_resets);
    tcase_add_test(tc, test_partial_success);
    tcase_add_test(tc, test_compressed_answer);
    tcase_add_test(tc, test_long_answers_without_memory);
    tcase_add_loop_test(tc, test_odd_answers_to_taken_requests, 0, (int)ARRAY_LEN(odd_answers));
    tcase_add_test(tc, test_retries_until_the_backend_is_back);
    tcase_add_test(tc, test_timeout);
    tcase_add_test(tc, test_deaf_backend);
    tcase_add_test(tc, test_nobody_there);
    tcase_add_test(tc, test_drain_sends_what_is_queued);
    tcase_add_test(tc, test_drain_deadline);
    suite_add_tcase(suite, tc);
    tcase_add_loop_test(config, test_bad_configs, 0, (int)ARRAY_LEN(bad_configs));
    tcase_add_loop_test(config, test_good_configs, 0, (int)ARRAY_LEN(good_configs));
    suite_add_tcase(suite, config);
    r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
