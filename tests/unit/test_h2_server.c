/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 server: frames made by hand, whole and byte by byte; what nghttp2 does not check; answers
 * before, at and after the end of the request; windows; drain. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/h2_server.h"
#include "platform/clock.h"
#include "platform/mem.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};

struct request {
    struct h2_stream stream;
    struct buf path, body;
    bool seen, ended, gone;
};

struct fixture {
    struct h2_server *h;
    struct request *requests[64];
    unsigned n, n_pings, n_acks;
    bool answer_at_headers, answer_never, refuse;
    struct buf out;
    uint64_t now_ns;
    bool alive;
};

static struct fixture f;

static struct request *of(struct h2_stream *s)
{
    return CONTAINER_OF(s, struct request, stream);
}

static struct h2_stream *on_stream(void *ctx)
{
    (void)ctx;
    if (f.refuse)
        return NULL;
    return &(f.requests[f.n++] = mem_alloc(sizeof(struct request)))->stream;
}

static void on_header(void *ctx, struct h2_stream *s, struct slice name, struct slice value)
{
    (void)ctx;
    if (slice_eq(name, slice_str(":path")))
        buf_put(&of(s)->path, value.p, value.len);
}

static void answer(struct h2_stream *s)
{
    static const struct h2_field head = {{(const uint8_t *)"x-a", 3}, {(const uint8_t *)"1", 1}};
    static const struct h2_field tail = {{(const uint8_t *)"x-b", 3}, {(const uint8_t *)"2", 1}};
    h2_respond(s, 200, &head, 1, slice_str("body"), &tail, 1);
}

static void on_request(void *ctx, struct h2_stream *s)
{
    (void)ctx;
    of(s)->seen = true;
    if (f.answer_at_headers)
        answer(s);
}

static void on_data(void *ctx, struct h2_stream *s, const uint8_t *p, size_t n)
{
    (void)ctx;
    buf_put(&of(s)->body, p, n);
}

static void on_end(void *ctx, struct h2_stream *s)
{
    (void)ctx;
    of(s)->ended = true;
    if (!f.answer_never)
        answer(s);
}

static void on_gone(void *ctx, struct h2_stream *s)
{
    (void)ctx;
    ck_assert(!of(s)->gone);
    of(s)->gone = true;
}

static void on_ping(void *ctx)
{
    (void)ctx;
    f.n_pings++;
}

static void on_ping_ack(void *ctx)
{
    (void)ctx;
    f.n_acks++;
}

static const struct h2_server_ops ops = {on_stream, on_header, on_request, on_data,
                                         on_end,    on_gone,   on_ping,    on_ping_ack};

static void feed(const void *p, size_t n)
{
    f.alive &= h2_server_feed(f.h, p, n, f.now_ns);
    h2_server_pull(f.h, &f.out, 1 << 20);
}

static struct buf made; /* frames to send */

static void put_frame(uint8_t type, uint8_t flags, uint32_t id, const void *p, size_t n)
{
    uint8_t head[9] = {
        (uint8_t)(n >> 16),  (uint8_t)(n >> 8),   (uint8_t)n,         type,       flags,
        (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};
    buf_put(&made, head, 9);
    buf_put(&made, p, n);
}

static const char block[] = "\x83\x86\x04\x02/a\x01\x01h";

static void put_headers(uint32_t id, bool end)
{
    put_frame(HEADERS, (uint8_t)(4 | (end ? 1 : 0)), id, block, sizeof block - 1);
}

static void send_made(void)
{
    feed(made.p, made.len);
    buf_clear(&made);
}

static void begin(const struct h2_server_settings *set)
{
    memset(&f, 0, sizeof f);
    f.alive = true;
    f.now_ns = 1000 * NS_PER_SEC;
    f.h = h2_server_new(&ops, NULL, set);
    buf_put(&made, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(SETTINGS, 0, 0, NULL, 0);
    put_frame(SETTINGS, 1, 0, NULL, 0);
}

static void setup(void)
{
    static const struct h2_server_settings set = {100, 16384, 65536, 1 << 20, NULL};
    begin(&set);
}

static void teardown(void)
{
    h2_server_free(&f.h);
    for (unsigned i = 0; i < f.n; i++) {
        ck_assert(f.requests[i]->gone);
        buf_free(&f.requests[i]->path);
        buf_free(&f.requests[i]->body);
        free(f.requests[i]);
    }
    buf_free(&f.out);
    buf_free(&made);
}

/* The k-th frame of this type (and stream, 0: any) in the output; its payload and flags. NULL:
 * none. */
static const uint8_t *find(uint8_t type, uint32_t id, unsigned k, size_t *len, uint8_t *flags)
{
    for (size_t at = 0; at + 9 <= f.out.len;) {
        const uint8_t *p = f.out.p + at;
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        uint32_t sid = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
        if (p[3] == type && (id == 0 || sid == id) && k-- == 0) {
            *len = n;
            *flags = p[4];
            return p + 9;
        }
        at += 9 + n;
    }
    return NULL;
}

static bool has(uint8_t type, uint32_t id)
{
    size_t n;
    uint8_t flags;
    return find(type, id, 0, &n, &flags) != NULL;
}

/* The error code of the last GOAWAY; -1: none. */
static int goaway_code(void)
{
    size_t n;
    uint8_t flags;
    const uint8_t *last = NULL, *p;
    for (unsigned k = 0; (p = find(GOAWAY, 0, k, &n, &flags)); k++)
        last = p;
    return last ? last[7] : -1;
}

static int reset_code(uint32_t id)
{
    size_t n;
    uint8_t flags;
    const uint8_t *p = find(RST_STREAM, id, 0, &n, &flags);
    return p ? p[3] : -1;
}

START_TEST(one_request_in_pieces_of_every_size)
{
    put_headers(1, false);
    put_frame(DATA, 0, 1, "hel", 3);
    put_frame(DATA, 1, 1, "lo", 2);
    struct buf all = made;
    made = (struct buf){0};
    for (size_t i = 0; i < all.len; i += (size_t)_i)
        feed(all.p + i, all.len - i < (size_t)_i ? all.len - i : (size_t)_i);
    buf_free(&all);
    ck_assert(f.alive);
    ck_assert_uint_eq(f.n, 1);
    ck_assert(slice_eq(slice_of(f.requests[0]->path.p, f.requests[0]->path.len), slice_str("/a")));
    ck_assert(
        slice_eq(slice_of(f.requests[0]->body.p, f.requests[0]->body.len), slice_str("hello")));
    ck_assert(f.requests[0]->ended && f.requests[0]->gone);
    size_t n;
    uint8_t flags;
    const uint8_t *body = find(DATA, 1, 0, &n, &flags);
    ck_assert(body && n == 4 && memcmp(body, "body", 4) == 0 && !(flags & 1));
    ck_assert(find(HEADERS, 1, 1, &n, &flags) && (flags & 1));
}
END_TEST

START_TEST(early_answer_lingers)
{
    f.answer_at_headers = true;
    put_headers(1, false);
    send_made();
    ck_assert(has(HEADERS, 1) && !f.requests[0]->gone);
    put_frame(DATA, 0, 1, "more", 4); /* still fine, and nobody hears of it */
    send_made();
    ck_assert(f.alive && f.requests[0]->body.len == 0);
    h2_server_tick(f.h, f.now_ns + NS_PER_SEC / 2);
    h2_server_pull(f.h, &f.out, 1 << 20);
    ck_assert(!has(RST_STREAM, 1));
    h2_server_tick(f.h, f.now_ns + 2 * NS_PER_SEC);
    h2_server_pull(f.h, &f.out, 1 << 20);
    ck_assert_int_eq(reset_code(1), 0);
    ck_assert(f.requests[0]->gone);
    put_frame(DATA, 1, 1, "late", 4); /* was on its way when we reset */
    put_headers(3, true);
    send_made();
    ck_assert(f.alive && f.n == 2);
    ck_assert_int_eq(goaway_code(), -1);
}
END_TEST

START_TEST(early_answer_and_a_client_that_finishes)
{
    f.answer_at_headers = true;
    put_headers(1, false);
    put_frame(DATA, 1, 1, "x", 1);
    send_made();
    ck_assert(f.requests[0]->gone && !f.requests[0]->ended);
    h2_server_tick(f.h, f.now_ns + 5 * NS_PER_SEC);
    h2_server_pull(f.h, &f.out, 1 << 20);
    ck_assert(!has(RST_STREAM, 1));
}
END_TEST

START_TEST(late_answer)
{
    f.answer_never = true;
    put_headers(1, true);
    send_made();
    ck_assert(f.requests[0]->ended && !f.requests[0]->gone);
    answer(&f.requests[0]->stream);
    h2_server_pull(f.h, &f.out, 1 << 20);
    ck_assert(f.requests[0]->gone && has(DATA, 1));
}
END_TEST

START_TEST(smaller_id_never_opened)
{
    put_headers(5, true);
    put_headers(3, true);
    send_made();
    ck_assert(!f.alive);
    ck_assert_int_eq(goaway_code(), 1);
    ck_assert_uint_eq(f.n, 1);
}
END_TEST

START_TEST(far_apart_ids)
{
    static const uint32_t ids[] = {1, 9, 2001, 2003, 100001, 0x7ffffff1, 0x7ffffffd};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        put_headers(ids[i], true);
    send_made();
    ck_assert(f.alive);
    ck_assert_uint_eq(f.n, ARRAY_LEN(ids));
    put_headers(0x7ffffff5, true);
    send_made();
    ck_assert_int_eq(goaway_code(), 1);
}
END_TEST

START_TEST(frames_on_streams_the_client_ended)
{
    f.answer_never = _i & 1;
    put_headers(1, true);
    if (_i < 2)
        put_frame(DATA, 0, 1, "x", 1);
    else
        put_headers(1, true);
    send_made();
    ck_assert(!f.alive);
    ck_assert_int_eq(goaway_code(), 5);
}
END_TEST

START_TEST(frames_after_the_clients_reset)
{
    put_headers(1, false);
    put_frame(RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    put_frame(WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
    put_frame(RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    send_made();
    ck_assert(f.alive && f.requests[0]->gone);
    put_frame(DATA, 0, 1, "x", 1);
    send_made();
    ck_assert_int_eq(goaway_code(), 5);
}
END_TEST

START_TEST(windows)
{
    char kib[1024] = {0};
    size_t n;
    uint8_t flags;
    f.answer_never = true;
    put_headers(1, false);
    send_made();
    buf_clear(&f.out);
    h2_expect(&f.requests[0]->stream, 200000);
    h2_server_pull(f.h, &f.out, 1 << 20);
    const uint8_t *p = find(WINDOW_UPDATE, 1, 0, &n, &flags);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3], 200000 - 65536);
    for (int i = 0; i < 195; i++)
        put_frame(DATA, 0, 1, kib, sizeof kib);
    send_made();
    ck_assert(f.alive);
    ck_assert_uint_eq(f.requests[0]->body.len, 195 * 1024);
    ck_assert(!has(RST_STREAM, 1) && goaway_code() == -1);
    put_headers(3, false); /* nobody opened this one's window */
    for (int i = 0; i < 65; i++)
        put_frame(DATA, 0, 3, kib, sizeof kib);
    send_made();
    ck_assert(reset_code(3) == 3 || goaway_code() == 3);
}
END_TEST

START_TEST(the_connection_window_reopens)
{
    char kib[16384] = {0};
    f.answer_never = true;
    for (uint32_t id = 1; id < 200;
         id += 2) { /* 100 streams of 48 KiB: more than the window of 1 MiB */
        put_headers(id, false);
        for (int i = 0; i < 3; i++)
            put_frame(DATA, i == 2, id, kib, sizeof kib);
        send_made();
        h2_cancel(&f.requests[(id - 1) / 2]->stream, H2_CANCEL);
        h2_server_pull(f.h, &f.out, 1 << 24);
        if (f.n == ARRAY_LEN(f.requests))
            break;
    }
    ck_assert(f.alive);
    ck_assert_int_eq(goaway_code(), -1);
    ck_assert(has(WINDOW_UPDATE, 0));
}
END_TEST

START_TEST(header_limit)
{
    char big[20000];
    memcpy(big, block, sizeof block - 1);
    size_t n = sizeof block - 1;
    for (int i = 0; i < 120; i++) { /* 120 fields of 150 bytes, never indexed */
        memcpy(big + n, "\x10\x02xy\x7f\x17", 6);
        memset(big + n + 6, 'v', 150);
        n += 156;
        if (n > 16000)
            break;
    }
    put_frame(HEADERS, 5, 1, big, n);
    put_frame(HEADERS, 5, 3, block, sizeof block - 1);
    send_made();
    ck_assert(f.alive);
    ck_assert_int_eq(reset_code(1), 2);
    ck_assert(!f.requests[0]->seen && f.requests[0]->gone && f.requests[1]->ended);
}
END_TEST

START_TEST(oversized_header_frame)
{
    char *big = calloc(1, 16385);
    put_frame(HEADERS, 5, 1, big, 16385);
    send_made();
    ck_assert_int_eq(goaway_code(), 6);
    free(big);
}
END_TEST

START_TEST(refused_streams)
{
    f.refuse = true;
    put_headers(1, false);
    put_frame(DATA, 1, 1, "x", 1);
    send_made();
    ck_assert(f.alive);
    ck_assert_int_eq(reset_code(1), 7);
    f.refuse = false;
    put_headers(3, true);
    send_made();
    ck_assert(f.n == 1 && f.requests[0]->ended);
}
END_TEST

START_TEST(floods)
{
    static const struct {
        uint8_t type;
        size_t len;
        uint32_t id;
    } kinds[] = {
        {PING, 8, 0}, {SETTINGS, 0, 0}, {PRIORITY, 5, 7}, {WINDOW_UPDATE, 4, 0}, {DATA, 0, 1}};
    static const char payload[8] = {0, 0, 0, 1, 0, 0, 0, 0};
    f.answer_never = true;
    put_headers(1, false);
    send_made();
    for (int i = 0; i < 30000 && f.alive; i++) {
        put_frame(kinds[_i].type, 0, kinds[_i].id, payload, kinds[_i].len);
        send_made();
        buf_clear(&f.out);
    }
    ck_assert(!f.alive);
}
END_TEST

START_TEST(useful_traffic_with_pings_is_no_flood)
{
    uint32_t id = 1;
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < 900; k++) {
            put_frame(PING, 0, 0, "12345678", 8);
            send_made();
        }
        put_headers(id, true);
        id += 2;
        send_made();
        f.now_ns += NS_PER_SEC;
        buf_clear(&f.out);
    }
    ck_assert(f.alive);
    ck_assert_uint_eq(f.n_pings, 54000);
}
END_TEST

START_TEST(bad_preface)
{
    h2_server_free(&f.h);
    buf_clear(&made);
    f.h = h2_server_new(&ops, NULL, &(struct h2_server_settings){100, 16384, 65536, 1 << 20, NULL});
    feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    ck_assert(!f.alive);
    ck_assert_int_eq(goaway_code(), 1);
}
END_TEST

START_TEST(drain)
{
    f.answer_never = true;
    put_headers(1, false);
    send_made();
    h2_server_goaway(f.h, false, H2_NO_ERROR, NULL);
    put_headers(3, true); /* was on its way: still served */
    send_made();
    ck_assert_uint_eq(f.n, 2);
    h2_server_goaway(f.h, true, H2_NO_ERROR, "bye");
    h2_server_pull(f.h, &f.out, 1 << 20);
    put_headers(5, true); /* too late: the client knows it was not processed */
    send_made();
    ck_assert_uint_eq(f.n, 2);
    ck_assert(!h2_server_wants_close(f.h));
    put_frame(DATA, 1, 1, "x", 1);
    send_made();
    answer(&f.requests[0]->stream);
    answer(&f.requests[1]->stream);
    h2_server_pull(f.h, &f.out, 1 << 20);
    ck_assert(h2_server_wants_close(f.h));
    ck_assert_uint_eq(h2_server_streams(f.h), 0);
}
END_TEST

START_TEST(pings)
{
    size_t n;
    uint8_t flags;
    put_frame(PING, 0, 0, "abcdefgh", 8);
    send_made();
    const uint8_t *p = find(PING, 0, 0, &n, &flags);
    ck_assert(p && flags == 1 && memcmp(p, "abcdefgh", 8) == 0);
    ck_assert_uint_eq(f.n_pings, 1);
    h2_server_ping(f.h);
    h2_server_pull(f.h, &f.out, 1 << 20);
    put_frame(PING, 1, 0, "\0\0\0\0\0\0\0\0", 8);
    send_made();
    ck_assert_uint_eq(f.n_acks, 1);
    ck_assert_uint_eq(f.n_pings, 1);
}
END_TEST

START_TEST(streams_left_at_the_end_are_reported)
{
    f.answer_never = true;
    put_headers(1, false);
    put_headers(3, true);
    send_made();
    ck_assert_uint_eq(h2_server_streams(f.h), 2);
    h2_server_free(&f.h); /* the teardown checks gone */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h2_server");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, one_request_in_pieces_of_every_size, 1, 100);
    tcase_add_test(t, early_answer_lingers);
    tcase_add_test(t, early_answer_and_a_client_that_finishes);
    tcase_add_test(t, late_answer);
    tcase_add_test(t, smaller_id_never_opened);
    tcase_add_test(t, far_apart_ids);
    tcase_add_loop_test(t, frames_on_streams_the_client_ended, 0, 4);
    tcase_add_test(t, frames_after_the_clients_reset);
    tcase_add_test(t, windows);
    tcase_add_test(t, the_connection_window_reopens);
    tcase_add_test(t, header_limit);
    tcase_add_test(t, oversized_header_frame);
    tcase_add_test(t, refused_streams);
    tcase_add_loop_test(t, floods, 0, 5);
    tcase_add_test(t, useful_traffic_with_pings_is_no_flood);
    tcase_add_test(t, bad_preface);
    tcase_add_test(t, drain);
    tcase_add_test(t, pings);
    tcase_add_test(t, streams_left_at_the_end_are_reported);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
