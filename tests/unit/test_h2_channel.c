/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 client and channel against a backend that serves, refuses, hangs, resets, lies and leaves. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/h2_channel.h"
#include "platform/clock.h"
#include "platform/mem.h"
#include "tests/lib/fake_grpc.h"
#include "tests/lib/test_host.h"

#define MAX_CALLS 256

struct call {
    struct h2_request req;
    struct iovec iov[64];
    bool over;
    enum h2_end end;
    uint32_t error_code;
    int status;
    size_t body_len;
    char grpc_status[16], reason[200];
};

static struct test_host *t;
static struct fake_grpc *f;
static struct h2_channel *ch;
static struct call calls[MAX_CALLS];
static unsigned n_calls, n_over;
static bool closed;
static uint8_t *blob;
#define BLOB_BYTES ((size_t)8 << 20)

static const struct h2_header headers[] = {
    {":method", "POST"}, {":scheme", "http"}, {":path", "/x"}, {":authority", "a"},
    {"content-type", "application/grpc"}, {"te", "trailers"},
};

static void on_done(struct h2_request *r, const struct h2_response *resp)
{
    struct call *c = r->ctx;
    const char *v = h2_response_field(resp, "grpc-status");

    ck_assert(!c->over);
    c->over = true;
    c->end = resp->end;
    c->error_code = resp->error_code;
    c->status = resp->status;
    c->body_len = resp->body.len;
    snprintf(c->grpc_status, sizeof(c->grpc_status), "%s", v != NULL ? v : "");
    snprintf(c->reason, sizeof(c->reason), "%s", resp->reason);
    n_over++;
}

/* A body of n bytes in pieces of odd sizes. */
static struct call *call_new(size_t n)
{
    struct call *c = &calls[n_calls++];
    size_t at = 0;

    ck_assert_uint_lt(n_calls, MAX_CALLS);
    *c = (struct call){0};
    c->req.headers = headers;
    c->req.n_headers = ARRAY_LEN(headers);
    memcpy(c->req.prefix, "12345", 5);
    c->req.prefix_len = 5;
    for (; at < n; c->req.n_body++) {
        size_t len = c->req.n_body < 60 ? 1 + (c->req.n_body * 7919) % 5000 : n - at;

        if (len > n - at)
            len = n - at;
        c->iov[c->req.n_body] = (struct iovec){blob + at, len};
        at += len;
    }
    c->req.body = c->iov;
    c->req.on_done = on_done;
    c->req.ctx = c;
    return c;
}

static struct call *start(size_t n)
{
    struct call *c = call_new(n);

    h2_channel_send(ch, &c->req);
    return c;
}

static bool all_over(void *ctx)
{
    (void)ctx;
    return n_over == n_calls;
}

static void wait_all(void)
{
    ck_assert(th_run_until(t, all_over, NULL));
}

static struct call *one(size_t n)
{
    struct call *c = start(n);

    wait_all();
    return c;
}

static struct h2_channel_config config(void)
{
    struct h2_channel_config cfg = {.loop = t->host.loop, .dial_timeout_ms = 3000, .round_robin = true,
                                    .backoff_first_ms = 100, .backoff_max_ms = 1000, .ping_timeout_ms = 100};
    struct err err;

    ck_assert_int_eq(endpoint_parse_grpc(f->endpoint, &cfg.endpoint, &err), 0);
    return cfg;
}

static void open_with(struct h2_channel_config cfg)
{
    ch = h2_channel_new(&cfg);
}

static void setup(void)
{
    t = th_new();
    f = fake_grpc_new(t->host.loop);
    n_calls = n_over = 0;
    closed = false;
    blob = mem_alloc(BLOB_BYTES);
    for (size_t i = 0; i < BLOB_BYTES; i++)
        blob[i] = (uint8_t)(i * 31 + (i >> 9));
}

static void on_closed(void *ctx)
{
    (void)ctx;
    closed = true;
}

static bool is_closed(void *ctx)
{
    (void)ctx;
    return closed && f->n_open_conns == 0;
}

static void teardown(void)
{
    h2_channel_close(&ch, on_closed, NULL);
    fake_grpc_drop_all(f);
    ck_assert(th_run_until(t, is_closed, NULL));
    ck_assert_uint_eq(n_over, n_calls);
    fake_grpc_free(&f);
    free(blob);
    th_free(&t);
}

static void ends(const struct call *c, enum h2_end end)
{
    ck_assert(c->over);
    ck_assert_msg(c->end == end, "end %d, reason %s", c->end, c->reason);
}

START_TEST(test_bodies_arrive_whole)
{
    static const size_t sizes[] = {0, 1, 4096, 16384, 70000, 300000, 5 << 20};

    open_with(config());
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct call *c = one(sizes[i]);

        ends(c, H2_END_RESPONSE);
        ck_assert_int_eq(c->status, 200);
        ck_assert_str_eq(c->grpc_status, "0");
        ck_assert_uint_eq(c->body_len, 5);
        ck_assert_uint_eq(f->last_body.len, sizes[i] + 5);
        ck_assert(memcmp(f->last_body.p, "12345", 5) == 0);
        ck_assert(memcmp(f->last_body.p + 5, blob, sizes[i]) == 0);
    }
    ck_assert_uint_eq(f->n_conns, 1);
    ck_assert_ptr_nonnull(strstr((char *)f->last_fields.p, ":path: /x\n"));
}
END_TEST

START_TEST(test_many_streams_on_one_connection)
{
    f->max_streams = 7;
    open_with(config());
    for (int i = 0; i < 100; i++)
        start(1000 * (size_t)i);
    wait_all();
    for (unsigned i = 0; i < n_calls; i++)
        ends(&calls[i], H2_END_RESPONSE);
    ck_assert_uint_eq(f->n_conns, 1);
    ck_assert_uint_le(f->max_open, 7);
    ck_assert_uint_gt(f->max_open, 1);
}
END_TEST

START_TEST(test_refused_is_repeated_once_elsewhere)
{
    f->answer.action = FAKE_GOAWAY_BELOW;
    open_with(config());
    ends(one(10), H2_END_REFUSED);
    ck_assert_uint_eq(f->n_requests, 2);
}
END_TEST

START_TEST(test_refused_stream_is_repeated_once)
{
    f->answer = (struct fake_answer){.action = FAKE_RESET, .rst_code = 7};
    open_with(config());
    ends(one(10), H2_END_REFUSED);
    ck_assert_uint_eq(f->n_requests, 2);
}
END_TEST

START_TEST(test_reset)
{
    f->answer = (struct fake_answer){.action = FAKE_RESET, .rst_code = 11};
    open_with(config());
    ends(one(100000), H2_END_RESET);
    ck_assert_uint_eq(calls[0].error_code, 11);
}
END_TEST

START_TEST(test_lost)
{
    f->answer.action = FAKE_DROP;
    open_with(config());
    ends(one(10), H2_END_LOST);
    ck_assert_str_eq(calls[0].reason, "EOF");
}
END_TEST

static bool after(void *ctx)
{
    return clock_mono_ns() > *(uint64_t *)ctx;
}

/* A backend that does no good is dialled as the backoff allows, however often it is wanted. */
START_TEST(test_useless_backend_is_not_redialled_in_a_loop)
{
    static const enum fake_conn_mode modes[] = {FAKE_CLOSE, FAKE_CLOSE_SETTINGS, FAKE_GOAWAY, FAKE_GARBAGE};
    uint64_t until = clock_mono_ns() + 500 * NS_PER_MS;

    f->conn_mode = modes[_i];
    open_with(config());
    while (clock_mono_ns() < until && n_calls < MAX_CALLS - 1) {
        struct call *c = one(10);
        uint64_t soon = clock_mono_ns() + 5 * NS_PER_MS;

        ck_assert_int_ne(c->end, H2_END_RESPONSE);
        ck_assert(th_run_until(t, after, &soon));
    }
    ck_assert_uint_gt(n_calls, 10);
    ck_assert_uint_ge(f->n_conns, 2);
    ck_assert_uint_le(f->n_conns, 6); /* 100 + 160 + 256 ms, less 20 % */
}
END_TEST

START_TEST(test_recovers_after_the_backoff)
{
    f->conn_mode = FAKE_CLOSE;
    open_with(config());
    ends(one(10), H2_END_NO_CONN);
    f->conn_mode = FAKE_SERVE;
    for (;;) {
        struct call *c = one(10);
        uint64_t soon = clock_mono_ns() + 10 * NS_PER_MS;

        if (c->end == H2_END_RESPONSE)
            break;
        ck_assert(th_run_until(t, after, &soon));
    }
    ck_assert_uint_eq(f->n_conns, 2);
}
END_TEST

START_TEST(test_mute_peer)
{
    struct h2_channel_config cfg = config();

    f->conn_mode = FAKE_MUTE;
    cfg.dial_timeout_ms = 50;
    open_with(cfg);
    ends(one(10), H2_END_NO_CONN);
    ck_assert_ptr_nonnull(strstr(calls[0].reason, "no HTTP/2 SETTINGS"));
}
END_TEST

START_TEST(test_nobody_listens)
{
    struct h2_channel_config cfg = config();

    listener_free(&f->listener);
    open_with(cfg);
    ends(one(10), H2_END_NO_CONN);
    ck_assert_ptr_nonnull(strstr(calls[0].reason, "connection refused"));
}
END_TEST

START_TEST(test_unknown_host)
{
    struct h2_channel_config cfg = config();

    snprintf(cfg.endpoint.host, sizeof(cfg.endpoint.host), "no-such-host.invalid");
    open_with(cfg);
    ends(one(10), H2_END_NO_CONN);
    ck_assert_ptr_nonnull(strstr(calls[0].reason, "lookup no-such-host.invalid"));
    ends(one(10), H2_END_NO_CONN);
}
END_TEST

START_TEST(test_wait_for_ready)
{
    struct h2_channel_config cfg = config();
    uint64_t soon = clock_mono_ns() + 300 * NS_PER_MS;
    struct call *c;

    f->conn_mode = FAKE_CLOSE;
    cfg.wait_for_ready = true;
    open_with(cfg);
    c = start(10);
    ck_assert(th_run_until(t, after, &soon));
    ck_assert(!c->over);
    f->conn_mode = FAKE_SERVE;
    wait_all();
    ends(c, H2_END_RESPONSE);
}
END_TEST

START_TEST(test_wait_for_ready_can_be_cancelled)
{
    struct h2_channel_config cfg = config();
    uint64_t soon = clock_mono_ns() + 50 * NS_PER_MS;
    struct call *c;

    f->conn_mode = FAKE_CLOSE;
    cfg.wait_for_ready = true;
    open_with(cfg);
    c = start(10);
    ck_assert(th_run_until(t, after, &soon));
    h2_channel_cancel(ch, &c->req);
    ends(c, H2_END_CANCELLED);
}
END_TEST

static bool request_seen(void *ctx)
{
    (void)ctx;
    return f->n_requests > 0;
}

START_TEST(test_cancel)
{
    struct call *c;

    f->answer.action = FAKE_HANG;
    open_with(config());
    c = start(10);
    ck_assert(th_run_until(t, request_seen, NULL));
    h2_channel_cancel(ch, &c->req);
    wait_all();
    ends(c, H2_END_CANCELLED);
    f->answer.action = FAKE_ANSWER;
    ends(one(10), H2_END_RESPONSE); /* the connection goes on */
    ck_assert_uint_eq(f->n_conns, 1);
}
END_TEST

static bool conn_seen(void *ctx)
{
    (void)ctx;
    return f->n_conns > 0;
}

/* The peer stops reading: the bytes of a cancelled request never leave the socket by themselves. */
START_TEST(test_deaf_peer)
{
    uint64_t soon;
    struct call *c[6];

    f->conn_mode = FAKE_DEAF;
    open_with(config());
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        c[i] = start(6 << 20);
    ck_assert(th_run_until(t, conn_seen, NULL));
    soon = clock_mono_ns() + 100 * NS_PER_MS;
    ck_assert(th_run_until(t, after, &soon));
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        h2_channel_cancel(ch, &c[i]->req);
    wait_all();
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        ends(c[i], H2_END_CANCELLED);
}
END_TEST

START_TEST(test_keepalive_finds_a_dead_peer)
{
    struct h2_channel_config cfg = config();

    cfg.ping_every_ms = 50;
    f->conn_mode = FAKE_DEAF;
    open_with(cfg);
    ends(one(10), H2_END_LOST);
    ck_assert_ptr_nonnull(strstr(calls[0].reason, "ping was not answered"));
}
END_TEST

START_TEST(test_keepalive_spares_a_slow_peer)
{
    struct h2_channel_config cfg = config();
    uint64_t soon = clock_mono_ns() + 600 * NS_PER_MS;
    struct call *c;

    cfg.ping_every_ms = 50;
    f->answer.action = FAKE_HANG;
    open_with(cfg);
    c = start(10);
    ck_assert(th_run_until(t, after, &soon));
    ck_assert(!c->over);
    ck_assert_uint_eq(f->n_conns, 1);
    h2_channel_cancel(ch, &c->req);
    wait_all();
}
END_TEST

START_TEST(test_answer_before_the_whole_request)
{
    f->answer = (struct fake_answer){.early = true, .grpc_status = 8};
    open_with(config());
    ends(one(8 << 20), H2_END_RESPONSE);
    ck_assert_str_eq(calls[0].grpc_status, "8");
    f->answer = (struct fake_answer){0};
    ends(one(10), H2_END_RESPONSE);
    ck_assert_uint_eq(f->n_conns, 1);
}
END_TEST

START_TEST(test_response_too_large)
{
    f->answer.body = slice_of(blob, (5 << 20));
    open_with(config());
    ends(one(10), H2_END_TOO_LARGE);
    f->answer.body = slice_of(NULL, 0);
    ends(one(10), H2_END_RESPONSE);
}
END_TEST

START_TEST(test_goaway_after_the_answer)
{
    f->answer.action = FAKE_GOAWAY_AFTER;
    open_with(config());
    for (unsigned i = 1; i <= 5; i++) {
        ends(one(10), H2_END_RESPONSE);
        ck_assert_uint_eq(f->n_conns, i); /* a useful connection: redialled at once */
    }
}
END_TEST

START_TEST(test_close_ends_what_is_under_way)
{
    struct call *a, *b;

    f->answer.action = FAKE_HANG;
    open_with(config());
    a = start(10);
    ck_assert(th_run_until(t, request_seen, NULL));
    b = start(10);
    h2_channel_close(&ch, on_closed, NULL);
    wait_all();
    ends(a, H2_END_LOST);
    ends(b, H2_END_NO_CONN);
    ck_assert(th_run_until(t, is_closed, NULL));
    open_with(config()); /* for teardown */
}
END_TEST

START_TEST(test_unix_socket)
{
    struct h2_channel_config cfg = config();
    struct err err;

    ck_assert_int_eq(endpoint_parse_grpc("unix:///nonexistent/x.sock", &cfg.endpoint, &err), 0);
    open_with(cfg);
    ends(one(10), H2_END_NO_CONN);
    ck_assert_ptr_nonnull(strstr(calls[0].reason, "dial unix /nonexistent/x.sock: no such file"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h2_channel");
    TCase *tc = tcase_create("h2_channel");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, test_bodies_arrive_whole);
    tcase_add_test(tc, test_many_streams_on_one_connection);
    tcase_add_test(tc, test_refused_is_repeated_once_elsewhere);
    tcase_add_test(tc, test_refused_stream_is_repeated_once);
    tcase_add_test(tc, test_reset);
    tcase_add_test(tc, test_lost);
    tcase_add_loop_test(tc, test_useless_backend_is_not_redialled_in_a_loop, 0, 4);
    tcase_add_test(tc, test_recovers_after_the_backoff);
    tcase_add_test(tc, test_mute_peer);
    tcase_add_test(tc, test_nobody_listens);
    tcase_add_test(tc, test_unknown_host);
    tcase_add_test(tc, test_wait_for_ready);
    tcase_add_test(tc, test_wait_for_ready_can_be_cancelled);
    tcase_add_test(tc, test_cancel);
    tcase_add_test(tc, test_deaf_peer);
    tcase_add_test(tc, test_keepalive_finds_a_dead_peer);
    tcase_add_test(tc, test_keepalive_spares_a_slow_peer);
    tcase_add_test(tc, test_answer_before_the_whole_request);
    tcase_add_test(tc, test_response_too_large);
    tcase_add_test(tc, test_goaway_after_the_answer);
    tcase_add_test(tc, test_close_ends_what_is_under_way);
    tcase_add_test(tc, test_unix_socket);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
