/* SPDX-License-Identifier: Apache-2.0 */
/* Free lists for nghttp2: sizes, contents across resize, reuse, the bound on what is kept. */
#include "net/h2_mem.h"

#include <check.h>
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <string.h>

#include "platform/hash.h"

#define KEEP_BYTES 4096u

#ifdef TAILRACE_SANITIZED
#define KEEPS 0
#else
#define KEEPS 1
#endif

static struct h2_mem *owner;
static nghttp2_mem *mem;

static void setup(void)
{
    owner = h2_mem_new(KEEP_BYTES, NULL);
    mem = h2_mem_of(owner);
}

static void teardown(void)
{
    h2_mem_free(&owner);
    ck_assert_ptr_null(owner);
}

static void *take(size_t n)
{
    void *p = mem->malloc(n, mem->mem_user_data);

    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % 16, 0);
    memset(p, 0xa5, n);
    return p;
}

static void give(void *p)
{
    mem->free(p, mem->mem_user_data);
}

START_TEST(sizes)
{
    static const size_t all[] = {0, 1, 63, 64, 65, 511, 512, 513, 100000};
    void *p[ARRAY_LEN(all)];

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        p[i] = take(all[i]);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < all[i]; k++)
            ck_assert_uint_eq(((uint8_t *)p[i])[k], 0xa5);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        give(p[i]);
    give(NULL);
    if (KEEPS) /* 4 of 64, one of 128, two of 512; the large ones went back */
        ck_assert_uint_eq(h2_mem_kept_bytes(owner), 4 * 64 + 128 + 2 * 512);
}
END_TEST

START_TEST(reuse)
{
    void *p = take(200);

    give(p);
    void *q = take(250); /* the same class */
    ck_assert(!KEEPS || q == p);
    ck_assert_uint_eq(h2_mem_kept_bytes(owner), 0);
    give(q);
    uint8_t *z = mem->calloc(25, 10, mem->mem_user_data); /* from the list, and yet zero */
    for (size_t i = 0; i < 250; i++)
        ck_assert_uint_eq(z[i], 0);
    give(z);
}
END_TEST

START_TEST(bound)
{
    void *p[100];

    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        p[i] = take(512);
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        give(p[i]);
    ck_assert_uint_eq(h2_mem_kept_bytes(owner), KEEPS * KEEP_BYTES);
}
END_TEST

START_TEST(resizing)
{
    static const size_t steps[] = {1, 64, 65, 300, 512, 513, 5000, 600, 20};
    uint8_t *p = NULL;
    size_t had = 0;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        p = mem->realloc(p, steps[i], mem->mem_user_data);
        ck_assert_ptr_nonnull(p);
        size_t same = had < steps[i] ? had : steps[i];
        for (size_t k = 0; k < same; k++)
            ck_assert_uint_eq(p[k], (uint8_t)(i - 1));
        memset(p, (int)i, steps[i]);
        had = steps[i];
    }
    give(p);
}
END_TEST

START_TEST(absurd_sizes_fail)
{
    volatile size_t huge = SIZE_MAX - 8;

    ck_assert_ptr_null(mem->malloc(huge, mem->mem_user_data));
    ck_assert_ptr_null(mem->calloc(huge, 2, mem->mem_user_data));
    void *p = take(10);
    ck_assert_ptr_null(mem->realloc(p, huge, mem->mem_user_data));
    give(p); /* still ours */
}
END_TEST

START_TEST(many_at_random)
{
    uint8_t *p[64] = {0};
    size_t n[64] = {0};
    uint64_t random = 7;

    for (int i = 0; i < 20000; i++) {
        size_t at = random_next(&random) % ARRAY_LEN(p);
        if (p[at]) {
            ck_assert_uint_eq(p[at][0], (uint8_t)at);
            ck_assert_uint_eq(p[at][n[at] - 1], (uint8_t)at);
            give(p[at]);
        }
        n[at] = 1 + random_next(&random) % 700;
        p[at] = take(n[at]);
        memset(p[at], (int)at, n[at]);
        ck_assert_uint_le(h2_mem_kept_bytes(owner), KEEP_BYTES);
    }
    for (size_t i = 0; i < ARRAY_LEN(p); i++)
        give(p[i]);
}
END_TEST

/* What a peer decides the size of is charged; what a session takes to begin with is not. */
START_TEST(large_blocks_are_charged)
{
    struct budget *b = budget_new(100000, 200000);
    struct h2_mem *m = h2_mem_new(KEEP_BYTES, b);
    nghttp2_mem *of = h2_mem_of(m);

    h2_mem_making(m, true);
    void *session = of->malloc(16394, of->mem_user_data);
    h2_mem_making(m, false);
    void *small = of->malloc(H2_MEM_FREE_BYTES, of->mem_user_data);
    ck_assert_uint_eq(budget_used(b), 0);
    void *field = of->malloc(60000, of->mem_user_data);
    ck_assert_ptr_nonnull(field);
    ck_assert_uint_eq(budget_used_by(b, MEM_CONN), 60000);
    ck_assert_ptr_null(of->malloc(60000, of->mem_user_data));
    ck_assert_ptr_null(of->realloc(field, 90000, of->mem_user_data));
    ck_assert_uint_eq(budget_used(b), 60000);
    of->free(field, of->mem_user_data);
    of->free(session, of->mem_user_data);
    of->free(small, of->mem_user_data);
    ck_assert_uint_eq(budget_used(b), 0);
    h2_mem_free(&m);
    budget_free(&b);
}
END_TEST

START_TEST(none)
{
    h2_mem_making(NULL, true);
    ck_assert_ptr_null(h2_mem_of(NULL));
    struct h2_mem *m = NULL;
    h2_mem_free(&m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h2_mem");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, sizes);
    tcase_add_test(t, reuse);
    tcase_add_test(t, bound);
    tcase_add_test(t, resizing);
    tcase_add_test(t, absurd_sizes_fail);
    tcase_add_test(t, many_at_random);
    tcase_add_test(t, large_blocks_are_charged);
    tcase_add_test(t, none);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
