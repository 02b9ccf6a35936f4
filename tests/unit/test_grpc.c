/* SPDX-License-Identifier: Apache-2.0 */
/* gRPC's encodings against vectors computed by hand or by other implementations. */
#include <check.h>
#include <stdlib.h>

#include "net/grpc.h"

static const char *text(struct buf *b)
{
    buf_putc(b, '\0');
    b->len--;
    return (const char *)b->p;
}

START_TEST(prefix_in_pieces)
{
    uint8_t wire[5];
    grpc_prefix_put(wire, true, 0x01020304);
    for (size_t first = 0; first <= 5; first++) {
        struct grpc_prefix x = {0};
        const uint8_t *p = wire;
        size_t n = first;
        bool done = grpc_prefix_feed(&x, &p, &n);
        ck_assert_int_eq(done, first == 5);
        n = 5 - first;
        ck_assert(grpc_prefix_feed(&x, &p, &n));
        ck_assert_uint_eq(n, 0);
        ck_assert_uint_eq(grpc_prefix_length(&x), 0x01020304);
        ck_assert_uint_eq(grpc_prefix_flag(&x), 1);
    }
}
END_TEST

START_TEST(timeouts)
{
    static const struct {
        const char *s;
        uint64_t ns;
    } good[] = {{"1n", 1},
                {"10u", 10000},
                {"500m", 500000000},
                {"10S", 10000000000},
                {"2M", 120000000000},
                {"1H", 3600000000000},
                {"0S", 0},
                {"99999999H", UINT64_MAX}};
    static const char *const bad[] = {"", "S", "5", "123456789S", "-1S", "1.5S", "1s", "1 S", "S1"};
    uint64_t ns;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        ck_assert_int_eq(grpc_timeout_parse(slice_str(good[i].s), &ns), 0);
        if (good[i].ns != UINT64_MAX)
            ck_assert_uint_eq(ns, good[i].ns);
        else
            ck_assert_uint_gt(ns, 1ull << 62);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_int_eq(grpc_timeout_parse(slice_str(bad[i]), &ns), -1);
}
END_TEST

START_TEST(timeouts_round_up)
{
    static const uint64_t some[] = {
        0, 1, 99999999, 100000000, 5000000000, 123456789012345, UINT64_MAX / 2};
    for (size_t i = 0; i < ARRAY_LEN(some); i++) {
        char s[16];
        uint64_t back;
        grpc_timeout_format(some[i], s);
        ck_assert_int_eq(grpc_timeout_parse(slice_str(s), &back), 0);
        ck_assert_uint_ge(back, some[i]);
    }
}
END_TEST

START_TEST(messages)
{
    struct buf b = {0}, back = {0};
    grpc_message_encode(&b, slice_str("50% na\xc3\xafve\n"));
    ck_assert_str_eq(text(&b), "50%25 na%C3%AFve%0A");
    grpc_message_decode(&back, slice_of(b.p, b.len));
    ck_assert_str_eq(text(&back), "50% na\xc3\xafve\n");
    buf_clear(&back);
    grpc_message_decode(&back, slice_str("%zz %4 %"));
    ck_assert_str_eq(text(&back), "%zz %4 %");
    buf_free(&b);
    buf_free(&back);
}
END_TEST

START_TEST(base64)
{
    static const struct {
        const char *plain, *coded, *padded;
    } v[] = {{"", "", ""},
             {"f", "Zg", "Zg=="},
             {"fo", "Zm8", "Zm8="},
             {"foo", "Zm9v", "Zm9v"},
             {"foob", "Zm9vYg", "Zm9vYg=="},
             {"\xfb\xff", "+/8", "-_8="}};
    struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        buf_clear(&b);
        base64_encode(&b, slice_str(v[i].plain));
        ck_assert_str_eq(text(&b), v[i].coded);
        buf_clear(&b);
        ck_assert_int_eq(base64_decode(&b, slice_str(v[i].coded)), 0);
        ck_assert_str_eq(text(&b), v[i].plain);
        buf_clear(&b);
        ck_assert_int_eq(base64_decode(&b, slice_str(v[i].padded)), 0);
        ck_assert_str_eq(text(&b), v[i].plain);
    }
    static const char *const bad[] = {"Z", "Zg=", "Zm9vY", "Zm 9v", "====", "Zg==Zg=="};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(base64_decode(&b, slice_str(bad[i])) == -1, "%s", bad[i]);
    buf_free(&b);
}
END_TEST

START_TEST(status_vectors)
{
    struct buf s = {0}, b = {0};
    grpc_status_encode(&s, 3, slice_str("bad"), false, 0);
    ck_assert_mem_eq(s.p,
                     "\x08\x03\x12\x03"
                     "bad",
                     7);
    buf_clear(&s);
    grpc_status_encode(&s, 14, slice_str("busy"), true, 5000);
    base64_encode(&b, slice_of(s.p, s.len));
    ck_assert_str_eq(
        text(&b), "CA4SBGJ1c3kaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBQ");

    struct grpc_status back;
    ck_assert_int_eq(grpc_status_decode(slice_of(s.p, s.len), &back), 0);
    ck_assert_int_eq(back.code, 14);
    ck_assert(slice_eq(back.message, slice_str("busy")));
    ck_assert(back.has_retry);
    ck_assert_uint_eq(back.retry_after_ms, 5000);
    for (size_t cut = 1; cut < s.len;
         cut++) { /* every truncation: an error or fewer fields, never a crash */
        int rc = grpc_status_decode(slice_of(s.p, cut), &back);
        ck_assert(rc == -1 || cut == 2 || cut == 8);
    }
    buf_free(&s);
    buf_free(&b);
}
END_TEST

START_TEST(retry_info)
{
    struct buf s = {0};
    uint64_t ms;
    grpc_retry_info_encode(&s, 1500);
    ck_assert_int_eq(grpc_retry_info_decode(slice_of(s.p, s.len), &ms), 0);
    ck_assert_uint_eq(ms, 1500);
    /* {seconds: -1} */
    ck_assert_int_eq(grpc_retry_info_decode(
                         slice_of("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13), &ms),
                     -1);
    buf_free(&s);
}
END_TEST

START_TEST(tables)
{
    ck_assert_int_eq(grpc_code_to_http(GRPC_RESOURCE_EXHAUSTED), 429);
    ck_assert_int_eq(grpc_code_to_http(GRPC_UNIMPLEMENTED), 404);
    ck_assert_int_eq(grpc_code_to_http(77), 500);
    ck_assert_int_eq(grpc_code_from_http(429), GRPC_UNAVAILABLE);
    ck_assert_int_eq(grpc_status_from_http(429), GRPC_RESOURCE_EXHAUSTED);
    ck_assert(grpc_code_retryable(GRPC_UNAVAILABLE, false));
    ck_assert(!grpc_code_retryable(GRPC_RESOURCE_EXHAUSTED, false));
    ck_assert(grpc_code_retryable(GRPC_RESOURCE_EXHAUSTED, true));
    ck_assert(!grpc_code_retryable(GRPC_INTERNAL, true));
    ck_assert_str_eq(grpc_code_name(-5), "Unknown");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("grpc");
    TCase *t = tcase_create("all");
    tcase_add_test(t, prefix_in_pieces);
    tcase_add_test(t, timeouts);
    tcase_add_test(t, timeouts_round_up);
    tcase_add_test(t, messages);
    tcase_add_test(t, base64);
    tcase_add_test(t, status_vectors);
    tcase_add_test(t, retry_info);
    tcase_add_test(t, tables);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
