/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, budget, buffers, errors, hashing, time, numbers. */
#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/buf.h"
#include "platform/clock.h"
#include "platform/err.h"
#include "platform/hash.h"
#include "platform/list.h"
#include "platform/mem.h"
#include "platform/num.h"

START_TEST(budget_refuses_at_its_limits)
{
    struct budget *b = budget_new(100, 150);

    ck_assert(budget_admit(b, MEM_BODY, 100));
    ck_assert(!budget_over_soft(b));
    ck_assert(!budget_admit(b, MEM_BODY, 1));
    ck_assert(budget_charge(b, MEM_OUTPUT, 50));
    ck_assert(budget_over_soft(b));
    ck_assert(!budget_charge(b, MEM_OUTPUT, 1));
    ck_assert(!budget_charge(b, MEM_OUTPUT, SIZE_MAX)); /* must not wrap round */
    ck_assert_uint_eq(budget_used(b), 150);
    budget_force(b, MEM_TAIL, 10);
    ck_assert_uint_eq(budget_used_by(b, MEM_BODY), 100);
    ck_assert_uint_eq(budget_used_by(b, MEM_OUTPUT), 50);
    ck_assert_uint_eq(budget_used_by(b, MEM_TAIL), 10);
    budget_release(b, MEM_BODY, 100);
    budget_release(b, MEM_OUTPUT, 50);
    budget_release(b, MEM_TAIL, 10);
    ck_assert_uint_eq(budget_used(b), 0);
    budget_set_limits(b, 0, 0);
    ck_assert_uint_eq(budget_limit(b), 0);
    ck_assert(budget_admit(b, MEM_BODY, (size_t)1 << 40));
    budget_free(&b);
    ck_assert_ptr_null(b);
}
END_TEST

/* A few that ask for much do not shut out the many that ask for little. */
START_TEST(large_requests_leave_room_to_small_ones)
{
    struct budget *b = budget_new(6400, 8000);

    ck_assert(budget_admit(b, MEM_BODY, 6300)); /* nobody else is there */
    budget_release(b, MEM_BODY, 6300);
    ck_assert(budget_admit(b, MEM_BODY, 2400));
    ck_assert(budget_admit(b, MEM_BODY, 2400));
    ck_assert(!budget_admit(b, MEM_BODY, 101));
    for (int i = 0; i < 16; i++)
        ck_assert(budget_admit(b, MEM_BODY, 100));
    ck_assert(!budget_admit(b, MEM_BODY, 1));
    ck_assert_uint_eq(budget_used(b), 6400);
    budget_free(&b);
}
END_TEST

START_TEST(refusals_at_the_door_are_counted)
{
    struct budget *b = budget_new(100, 200);

    ck_assert(budget_admit(b, MEM_BODY, 100));
    ck_assert_uint_eq(budget_refusals(b), 0);
    ck_assert(!budget_admit(b, MEM_BODY, 1));
    ck_assert(!budget_admit(b, MEM_BODY, SIZE_MAX));
    ck_assert(!budget_charge(b, MEM_BODY, 101)); /* not at the door */
    ck_assert_uint_eq(budget_refusals(b), 2);
    budget_free(&b);
}
END_TEST

static void *ask_for_too_much(void *arg)
{
    struct budget *b = (struct budget *)arg;

    for (int i = 0; i < 50000; i++)
        ck_assert(!budget_charge(b, MEM_BODY, 1000));
    return NULL;
}

/* What is refused is not there for a moment either: nobody else may be refused for it. */
START_TEST(a_refusal_takes_nothing_from_others)
{
    struct budget *b = budget_new(0, 100);
    pthread_t t;

    ck_assert_int_eq(pthread_create(&t, NULL, ask_for_too_much, b), 0);
    for (int i = 0; i < 50000; i++) {
        ck_assert(budget_charge(b, MEM_INDEX, 100));
        budget_release(b, MEM_INDEX, 100);
    }
    pthread_join(t, NULL);
    budget_free(&b);
}
END_TEST

START_TEST(releasing_more_than_was_charged_is_a_bug)
{
    struct budget *b = budget_new(0, 0);

    ck_assert(budget_charge(b, MEM_BODY, 10));
    budget_release(b, MEM_BODY, 11);
}
END_TEST

static void *charge_and_release(void *arg)
{
    struct budget *b = (struct budget *)arg;

    for (int i = 0; i < 20000; i++) {
        if (!budget_charge(b, MEM_BODY, 7))
            continue;
        budget_release(b, MEM_BODY, 7);
    }
    return NULL;
}

START_TEST(budget_is_exact_under_threads)
{
    struct budget *b = budget_new(0, 20); /* room for two of three */
    pthread_t t[3];

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, charge_and_release, b), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(budget_used(b), 0);
    ck_assert_uint_eq(budget_used_by(b, MEM_BODY), 0);
    budget_free(&b);
}
END_TEST

START_TEST(owners_have_names_and_the_machine_has_memory)
{
    for (int i = 0; i < MEM_OWNERS; i++)
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(mem_owner_name((enum mem_owner)i), mem_owner_name((enum mem_owner)k));
    ck_assert_uint_gt(mem_total_bytes(), 1 << 20);
    ck_assert_uint_lt(mem_total_bytes(), UINT64_MAX);
}
END_TEST

START_TEST(arena_aligns_and_zeroes)
{
    struct arena *a = arena_new();
    static const size_t sizes[] = {1, 3, 16, 17, 1000, 1025, 5000, 100000, 8};
    char *s = arena_printf(a, "%s-%d", "x", 7);

    for (int round = 0; round < 40; round++)
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            uint8_t *p = (uint8_t *)arena_alloc(a, sizes[i]);

            ck_assert_uint_eq((uintptr_t)p % 16, 0);
            ck_assert(p[0] == 0 && memcmp(p, p + 1, sizes[i] - 1) == 0);
            memset(p, 0xff, sizes[i]);
        }
    ck_assert_str_eq(s, "x-7");
    ck_assert_str_eq(arena_dup_n(a, "abcdef", 3), "abc");
    arena_free(&a);
    arena_free(&a);
}
END_TEST

START_TEST(buf_keeps_to_its_cap)
{
    struct buf b = {.max = 100};
    char many[101];

    memset(many, 'x', sizeof(many));
    ck_assert_int_eq(buf_add(&b, many, 60), 0);
    ck_assert_int_eq(buf_add(&b, many, 41), -1);
    ck_assert_uint_eq(b.len, 60);
    ck_assert_int_eq(buf_add(&b, many, 40), 0);
    ck_assert_uint_le(b.cap, 100);
    ck_assert_int_eq(buf_add(&b, many, 0), 0);
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -1);
    buf_clear(&b);
    ck_assert_int_eq(buf_printf(&b, "%d-%s", 5, "y"), 0);
    ck_assert(slice_eq(slice_of(b.p, b.len), slice_str("5-y")));
    buf_free(&b);
    ck_assert_uint_eq(b.max, 100);
    buf_putf(&b, "%0200d", 1); /* bounded by the program: no cap */
    ck_assert_uint_eq(b.len, 200);
    buf_free(&b);
}
END_TEST

static void json_is(const char *bytes, size_t n, const char *want)
{
    struct buf b = {0};

    buf_put_json(&b, slice_of(bytes, n));
    buf_putc(&b, '\0');
    ck_assert_str_eq((char *)b.p, want);
    buf_free(&b);
}

START_TEST(json_strings_are_escaped_and_repaired)
{
    json_is("", 0, "\"\"");
    json_is(NULL, 0, "\"\"");
    json_is("a\"b\\c\n\t\r\x01\x7f", 10, "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u007f\"");
    json_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    json_is("\xc3", 1, "\"\\ufffd\"");             /* cut */
    json_is("\xc0\x80", 2, "\"\\ufffd\\ufffd\"");  /* overlong */
    json_is("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    json_is("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    json_is("\0x", 2, "\"\\u0000x\"");
}
END_TEST

START_TEST(errors_gather_context)
{
    struct err e = {""};
    char big[3000];

    ck_assert_int_eq(err_set(&e, "no %s", "luck"), -1);
    ck_assert_int_eq(err_wrap(&e, "exporters.%s", "otlp"), -1);
    ck_assert_str_eq(e.text, "exporters.otlp: no luck");
    err_set(&e, "again: %s", e.text); /* its own text as an argument */
    ck_assert_str_eq(e.text, "again: exporters.otlp: no luck");
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    err_wrap(&e, "%s", big);
    ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
    err_set(&e, "%s", "short");
    for (int i = 0; i < 300; i++)
        err_wrap(&e, "ctx%d", i);
    ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
    ck_assert_int_eq(err_set(NULL, "x"), -1);
    ck_assert_int_eq(err_wrap(NULL, "x"), -1);
}
END_TEST

START_TEST(hashes_depend_on_the_seed)
{
    uint8_t id[16] = {1, 2, 3};
    uint64_t a, state = 1;

    hash_seed(5);
    a = hash_u128(id);
    ck_assert_uint_eq(a, hash_bytes(id, 16));
    hash_seed(6);
    ck_assert_uint_ne(a, hash_u128(id));
    hash_seed(0);
    for (int i = 0; i < 1000; i++) {
        double d = random_unit(&state);

        ck_assert(d >= 0 && d < 1);
    }
    random_secure(id, sizeof(id));
    ck_assert_uint_ne(state, 1);
}
END_TEST

START_TEST(stamps)
{
    char s[40];

    setenv("TZ", "UTC", 1);
    tzset();
    clock_format_local_ms(1767366245123456789ull, s);
    ck_assert_str_eq(s, "2026-01-02T15:04:05.123Z");
    setenv("TZ", "EST5", 1);
    tzset();
    clock_format_local_ms(1767366245123456789ull, s);
    ck_assert_str_eq(s, "2026-01-02T10:04:05.123-0500");
    clock_format_utc_ns(1767366245123456789ull, s);
    ck_assert_str_eq(s, "2026-01-02T15:04:05.123456789Z");
    clock_format_utc_ns(0, s);
    ck_assert_str_eq(s, "1970-01-01T00:00:00.000000000Z");
    clock_format_utc_ns(UINT64_MAX, s);
    ck_assert_str_eq(s, "2554-07-21T23:34:33.709551615Z");
}
END_TEST

static const struct {
    double v;
    const char *metric, *json;
} numbers[] = {
    {0, "0", "0"}, {1, "1", "1"}, {-1, "-1", "-1"}, {10, "10", "10"}, {0.41, "0.41", "0.41"},
    {100000, "100000", "100000"}, {123456, "123456", "123456"}, {1000000, "1e+06", "1000000"},
    {25165824, "2.5165824e+07", "25165824"}, {123456.789, "123456.789", "123456.789"},
    {0.0001, "0.0001", "0.0001"}, {0.00001, "1e-05", "0.00001"}, {1e-6, "1e-06", "0.000001"},
    {1.5e-7, "1.5e-07", "1.5e-7"}, {1e20, "1e+20", "100000000000000000000"}, {1e21, "1e+21", "1e+21"},
    {12.5, "12.5", "12.5"}, {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"},
    {5e-324, "5e-324", "5e-324"}, {0.1 + 0.2, "0.30000000000000004", "0.30000000000000004"},
    {-2.5e-9, "-2.5e-09", "-2.5e-9"}, {9007199254740993.0, "9.007199254740992e+15", "9007199254740992"},
};

START_TEST(numbers_are_shortest)
{
    char s[32];

    ck_assert_uint_eq(num_metric(s, numbers[_i].v), strlen(numbers[_i].metric));
    ck_assert_str_eq(s, numbers[_i].metric);
    ck_assert_uint_eq(num_json(s, numbers[_i].v), strlen(numbers[_i].json));
    ck_assert_str_eq(s, numbers[_i].json);
}
END_TEST

START_TEST(every_number_reads_back)
{
    uint64_t state = 42;
    char s[32], plain[NUM_PLAIN_MAX];

    for (int i = 0; i < 20000; i++) {
        uint64_t bits = random_next(&state);
        double d;

        memcpy(&d, &bits, sizeof(d));
        if (!isfinite(d))
            continue;
        ck_assert_uint_lt(num_metric(s, d), sizeof(s));
        ck_assert(strtod(s, NULL) == d);
        ck_assert_uint_lt(num_json(s, d), sizeof(s));
        ck_assert(strtod(s, NULL) == d);
        ck_assert_uint_lt(num_plain(plain, d), sizeof(plain));
        ck_assert(strtod(plain, NULL) == d && !strpbrk(plain, "eE"));
    }
    num_metric(s, (double)NAN);
    ck_assert_str_eq(s, "NaN");
    num_metric(s, -(double)INFINITY);
    ck_assert_str_eq(s, "-Inf");
    num_plain(plain, -1e21);
    ck_assert_str_eq(plain, "-1000000000000000000000");
    num_plain(plain, (double)INFINITY);
    ck_assert_str_eq(plain, "+Inf");
}
END_TEST

START_TEST(list_moves_nodes)
{
    struct list l, a, b;

    list_init(&l);
    list_init(&a);
    list_init(&b);
    ck_assert(list_empty(&l));
    list_add_tail(&l, &b);
    list_add_head(&l, &a);
    ck_assert_ptr_eq(l.next, &a);
    ck_assert_ptr_eq(l.prev, &b);
    list_del(&a);
    list_del(&a); /* on no list: nothing */
    ck_assert_ptr_eq(l.next, &b);
    list_del(&b);
    ck_assert(list_empty(&l));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("platform basics");
    TCase *t = tcase_create("basics");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, budget_refuses_at_its_limits);
    tcase_add_test(t, large_requests_leave_room_to_small_ones);
    tcase_add_test(t, refusals_at_the_door_are_counted);
    tcase_add_test(t, a_refusal_takes_nothing_from_others);
    tcase_add_test_raise_signal(t, releasing_more_than_was_charged_is_a_bug, 6);
    tcase_add_test(t, budget_is_exact_under_threads);
    tcase_add_test(t, owners_have_names_and_the_machine_has_memory);
    tcase_add_test(t, arena_aligns_and_zeroes);
    tcase_add_test(t, buf_keeps_to_its_cap);
    tcase_add_test(t, json_strings_are_escaped_and_repaired);
    tcase_add_test(t, errors_gather_context);
    tcase_add_test(t, hashes_depend_on_the_seed);
    tcase_add_test(t, stamps);
    tcase_add_loop_test(t, numbers_are_shortest, 0, (int)ARRAY_LEN(numbers));
    tcase_add_test(t, every_number_reads_back);
    tcase_add_test(t, list_moves_nodes);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
