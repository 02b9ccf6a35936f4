/* SPDX-License-Identifier: Apache-2.0 */
/* Body buffers: size classes, reuse, other threads, an owner that leaves first. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "receivers/otlp_pool.h"

START_TEST(capacity_is_enough_and_not_much_more)
{
    for (size_t n = 1; n < 100000000; n += 1 + n / 37) {
        ck_assert_uint_ge(body_pool_capacity(n), n);
        if (n > 2048)
            ck_assert_uint_le(body_pool_capacity(n), n + n / 4 + 1);
        ck_assert_uint_eq(body_pool_capacity(body_pool_capacity(n)), body_pool_capacity(n));
    }
}
END_TEST

START_TEST(buffers_come_back_hot)
{
    struct body_pool *p = body_pool_new(1 << 20);
    uint8_t *a = body_pool_take(p, 100000), *b = body_pool_take(p, 100000);
    memset(a, 1, body_pool_capacity(100000));
    memset(b, 2, body_pool_capacity(100000));
    ck_assert_ptr_ne(a, b);
    body_pool_give(p, b);
    ck_assert_ptr_eq(body_pool_take(p, 99999), b);
    body_pool_give(p, a);
    body_pool_give(p, b);
    body_pool_free(&p);
    ck_assert_ptr_null(p);
}
END_TEST

static void *give(void *ctx)
{
    void **both = ctx;
    body_pool_give(both[0], both[1]);
    return NULL;
}

static void give_elsewhere(struct body_pool *p, uint8_t *b)
{
    void *both[2] = {p, b};
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, give, both), 0);
    pthread_join(t, NULL);
}

START_TEST(other_threads_give_back)
{
    struct body_pool *p = body_pool_new(1 << 20);
    uint8_t *a = body_pool_take(p, 5000);
    give_elsewhere(p, a);
    ck_assert_ptr_eq(body_pool_take(p, 5000), a);
    give_elsewhere(p, a);
    body_pool_free(&p);
}
END_TEST

START_TEST(the_last_buffer_outlives_the_owner)
{
    struct body_pool *p = body_pool_new(1 << 20), *still = p;
    uint8_t *a = body_pool_take(p, 5000), *b = body_pool_take(p, 5000);
    body_pool_free(&p);
    memset(a, 1, 5000);
    give_elsewhere(still, a);
    body_pool_give(still, b); /* frees the pool: the leak checker watches */
}
END_TEST

START_TEST(idle_memory_is_bounded_and_trimmed)
{
    struct body_pool *p = body_pool_new(100000);
    uint8_t *b[64];
    for (int i = 0; i < 64; i++)
        b[i] = body_pool_take(p, 10000);
    for (int i = 0; i < 64; i++)
        body_pool_give(p, b[i]);
    ck_assert_uint_le(body_pool_idle_bytes(p), 100000);
    ck_assert_uint_gt(body_pool_idle_bytes(p), 0);
    for (int i = 0; i < 40; i++)
        body_pool_trim(p);
    ck_assert_uint_eq(body_pool_idle_bytes(p), 0);
    body_pool_free(&p);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("otlp_pool");
    TCase *t = tcase_create("all");
    tcase_add_test(t, capacity_is_enough_and_not_much_more);
    tcase_add_test(t, buffers_come_back_hot);
    tcase_add_test(t, other_threads_give_back);
    tcase_add_test(t, the_last_buffer_outlives_the_owner);
    tcase_add_test(t, idle_memory_is_bounded_and_trimmed);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
