/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1 server: good requests in pieces of every size, requests that must be refused, early
 * answers. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/http1_server.h"
#include "platform/mem.h"

struct fixture {
    struct http1 *h;
    struct buf log; /* what the callbacks saw, as text */
    bool answer_at_headers, answer_later, with_continue;
    int n_requests;
};

static void on_header(void *ctx, struct slice name, struct slice value)
{
    struct fixture *f = ctx;
    buf_putf(&f->log, "%.*s=%.*s;", (int)name.len, name.p, (int)value.len, value.p);
}

static void answer(struct fixture *f)
{
    struct http1_field extra = {"X-N", "1"};
    http1_respond(f->h, 200, "text/plain", &extra, 1, slice_str("ok"), false);
}

static void on_request(void *ctx, const struct http1_head *head)
{
    struct fixture *f = ctx;
    f->n_requests++;
    buf_putf(&f->log, "[%.*s %.*s ?%.*s %s]", (int)head->method.len, head->method.p,
             (int)head->path.len, head->path.p, (int)head->query.len, head->query.p,
             head->chunked ? "chunked" : "");
    if (f->with_continue)
        http1_continue(f->h);
    if (f->answer_at_headers)
        answer(f);
}

static void on_body(void *ctx, const uint8_t *p, size_t n)
{
    struct fixture *f = ctx;
    buf_put(&f->log, p, n);
}

static void on_end(void *ctx)
{
    struct fixture *f = ctx;
    buf_puts(&f->log, "|");
    if (!f->answer_later)
        answer(f);
}

static void on_bad(void *ctx, int status, const char *text)
{
    struct fixture *f = ctx;
    buf_putf(&f->log, "BAD %d", status);
    http1_respond(f->h, status, "text/plain", NULL, 0, slice_str(text), true);
}

static const struct http1_ops ops = {on_header, on_request, on_body, on_end, on_bad};

static struct fixture *setup(void)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->h = http1_new(&ops, f, 4096);
    return f;
}

static void teardown(struct fixture *f)
{
    http1_free(&f->h);
    buf_free(&f->log);
    free(f);
}

static const char *text(struct buf *b)
{
    buf_putc(b, '\0');
    b->len--;
    return (const char *)b->p;
}

static void feed(struct fixture *f, const char *s, size_t piece)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i += piece)
        http1_feed(f->h, (const uint8_t *)s + i, n - i < piece ? n - i : piece);
}

static unsigned count(const char *hay, const char *needle)
{
    unsigned n = 0;
    for (const char *p = strstr(hay, needle); p; p = strstr(p + 1, needle))
        n++;
    return n;
}

START_TEST(pieces_of_every_size)
{
    static const char two[] =
        "POST /v1/traces?a=b HTTP/1.1\r\nHost: x\r\nContent-Type:  a/b \r\nContent-Length: "
        "5\r\n\r\nhello"
        "POST http://h/p HTTP/1.1\r\nHOST: y\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
        "GET / HTTP/1.1\r\nHost: z\r\nConnection: close\r\n\r\n";
    static const char seen[] =
        "host=x;content-type=a/b;content-length=5;[POST /v1/traces ?a=b ]hello|"
        "host=y;transfer-encoding=chunked;[POST /p ? chunked]abcde|"
        "host=z;connection=close;[GET / ? ]|";
    for (size_t piece = 1; piece <= sizeof two; piece++) {
        struct fixture *f = setup();
        feed(f, two, piece);
        ck_assert_str_eq(text(&f->log), seen);
        ck_assert_uint_eq(count(text(http1_output(f->h)), "HTTP/1.1 200 OK\r\n"), 3);
        ck_assert_uint_eq(count(text(http1_output(f->h)), "Content-Length: 2\r\n"), 3);
        ck_assert_uint_eq(count(text(http1_output(f->h)), "Connection: close"), 1);
        ck_assert(http1_wants_close(f->h));
        teardown(f);
    }
}
END_TEST

START_TEST(later_answers_keep_order)
{
    struct fixture *f = setup();
    f->answer_later = true;
    feed(f, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n", 1000);
    ck_assert_int_eq(f->n_requests, 1);
    ck_assert(!http1_wants_read(f->h));
    ck_assert_uint_eq(http1_output(f->h)->len, 0);
    answer(f);
    ck_assert_int_eq(f->n_requests, 2);
    ck_assert(!http1_wants_read(f->h));
    answer(f);
    ck_assert(http1_wants_read(f->h));
    ck_assert_uint_eq(count(text(http1_output(f->h)), "200 OK"), 2);
    teardown(f);
}
END_TEST

static const struct refused {
    const char *request;
    int status;
} refused[] = {
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\001b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n:\r3\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417},
    {"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505},
    {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
    {"\x16\x03\x01\x02", 501},
    {"GET /\r\n\r\n", 400},
};

START_TEST(refused_with_one_answer)
{
    const struct refused *r = &refused[_i];
    for (size_t piece = 1; piece <= 64; piece += 9) {
        struct fixture *f = setup();
        feed(f, r->request, piece);
        char status[32];
        snprintf(status, sizeof status, "HTTP/1.1 %d ", r->status);
        ck_assert_msg(strncmp(text(http1_output(f->h)), status, strlen(status)) == 0, "%s -> %s",
                      r->request, text(http1_output(f->h)));
        ck_assert_uint_eq(count(text(http1_output(f->h)), "HTTP/1.1 "), 1);
        ck_assert(http1_wants_close(f->h));
        size_t before = http1_output(f->h)->len;
        feed(f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 100);
        ck_assert_uint_eq(http1_output(f->h)->len, before);
        teardown(f);
    }
}
END_TEST

START_TEST(header_limits)
{
    struct fixture *f = setup();
    feed(f, "GET / HTTP/1.1\r\nHost: a\r\n", 100);
    for (int i = 0; i < 200; i++)
        feed(f, "X-Name: some value that is not short\r\n", 100);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "HTTP/1.1 431 "), 1);
    teardown(f);
}
END_TEST

START_TEST(chunk_overhead_is_bounded)
{
    struct fixture *f = setup();
    feed(f, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 100);
    feed(f, "1;", 100);
    for (int i = 0; i < 100000 && !http1_wants_close(f->h); i++)
        feed(f, "x=yyyyyyyyyyyyy;", 100);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "HTTP/1.1 400 "), 1);
    teardown(f);
}
END_TEST

START_TEST(early_answer_keeps_a_short_connection)
{
    struct fixture *f = setup();
    f->answer_at_headers = true;
    feed(f,
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789GET / "
         "HTTP/1.1\r\nHost: a\r\n\r\n",
         7);
    ck_assert_int_eq(f->n_requests, 2);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "200 OK"), 2);
    ck_assert(!http1_wants_close(f->h));
    teardown(f);
}
END_TEST

START_TEST(early_answer_closes_a_long_one)
{
    struct fixture *f = setup();
    f->answer_at_headers = true;
    feed(f, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n0123", 1000);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "Connection: close"), 1);
    ck_assert(http1_wants_close(f->h));
    teardown(f);
}
END_TEST

START_TEST(expect_continue)
{
    struct fixture *f = setup();
    f->with_continue = true;
    feed(f, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
         1000);
    ck_assert_str_eq(text(http1_output(f->h)), "HTTP/1.1 100 Continue\r\n\r\n");
    feed(f, "ab", 1);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "200 OK"), 1);
    ck_assert(!http1_wants_close(f->h));
    teardown(f);
}
END_TEST

START_TEST(head_has_no_body_and_old_clients_close)
{
    struct fixture *f = setup();
    feed(f, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 1000);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "Content-Length: 2"), 1);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "\r\n\r\nok"), 0);
    buf_clear(http1_output(f->h));
    feed(f, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1000);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "Connection: keep-alive"), 1);
    ck_assert(!http1_wants_close(f->h));
    feed(f, "GET / HTTP/1.0\r\n\r\n", 1000);
    ck_assert(http1_wants_close(f->h));
    teardown(f);
}
END_TEST

START_TEST(upgrade_is_ignored)
{
    struct fixture *f = setup();
    feed(f,
         "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
         "h2c\r\nHTTP2-Settings: \r\n\r\n"
         "GET /b HTTP/1.1\r\nHost: a\r\n\r\n",
         1000);
    ck_assert_int_eq(f->n_requests, 2);
    ck_assert_uint_eq(count(text(http1_output(f->h)), "200 OK"), 2);
    teardown(f);
}
END_TEST

/* Answers that nobody takes: no further request is begun, none is lost. */
START_TEST(pipelined_answers_are_bounded)
{
    struct fixture *f = setup();
    char requests[200 * 32] = "";

    for (int i = 0; i < 200; i++)
        strcat(requests, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    feed(f, requests, sizeof requests);
    ck_assert_int_lt(f->n_requests, 200);
    ck_assert(!http1_wants_read(f->h));
    ck_assert_uint_lt(http1_output(f->h)->len, HTTP1_OUT_BYTES + 1000);
    ck_assert_uint_gt(http1_held_bytes(f->h), HTTP1_OUT_BYTES);
    feed(f, "GET /last HTTP/1.1\r\nHost: x\r\n\r\n", 1000); /* was on its way */
    unsigned answers = 0;
    while (http1_output(f->h)->len > 0) {
        answers += count(text(http1_output(f->h)), "200 OK");
        buf_clear(http1_output(f->h));
        http1_hold(f->h, false);
    }
    ck_assert_uint_eq(answers, 201);
    ck_assert_ptr_nonnull(strstr(text(&f->log), "/last"));
    ck_assert(http1_wants_read(f->h));
    teardown(f);
}
END_TEST

START_TEST(held_between_requests_only)
{
    struct fixture *f = setup();

    feed(f, "GET /1 HTTP/1.1\r\nHo", 1000);
    http1_hold(f->h, true);
    feed(f, "st: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n", 3);
    ck_assert_int_eq(f->n_requests, 1);
    ck_assert(!http1_wants_read(f->h));
    http1_hold(f->h, false);
    ck_assert_int_eq(f->n_requests, 2);
    ck_assert(http1_wants_read(f->h));
    teardown(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http1_server");
    TCase *t = tcase_create("all");
    tcase_add_test(t, pieces_of_every_size);
    tcase_add_test(t, later_answers_keep_order);
    tcase_add_loop_test(t, refused_with_one_answer, 0, (int)ARRAY_LEN(refused));
    tcase_add_test(t, header_limits);
    tcase_add_test(t, chunk_overhead_is_bounded);
    tcase_add_test(t, early_answer_keeps_a_short_connection);
    tcase_add_test(t, early_answer_closes_a_long_one);
    tcase_add_test(t, expect_continue);
    tcase_add_test(t, head_has_no_body_and_old_clients_close);
    tcase_add_test(t, upgrade_is_ignored);
    tcase_add_test(t, pipelined_answers_are_bounded);
    tcase_add_test(t, held_between_requests_only);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
