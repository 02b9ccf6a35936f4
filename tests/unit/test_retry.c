/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of retries: bases, jitter, hints, the end. */
#include <check.h>
#include <stdlib.h>

#include "exporters/retry.h"

#define SEC 1000000000ll

static const struct retry_settings defaults = {5 * SEC, 0.5, 1.5, 30 * SEC, 300 * SEC};

START_TEST(test_bases_grow_to_the_cap)
{
    static const double bases_s[] = {5, 7.5, 11.25, 16.875, 25.3125, 30, 30};
    struct retry r;

    retry_begin(&r, &defaults, 1000 * SEC);
    for (size_t i = 0; i < sizeof(bases_s) / sizeof(bases_s[0]); i++)
        ck_assert_double_eq_tol((double)retry_next(&r, &defaults, 1000 * SEC, 0, 0.5) / 1e9, bases_s[i], 1e-6);
}
END_TEST

START_TEST(test_jitter_spans_the_factor)
{
    struct retry r;

    retry_begin(&r, &defaults, 0);
    ck_assert_double_eq_tol((double)retry_next(&r, &defaults, 0, 0, 0.0) / 1e9, 2.5, 1e-6);
    retry_begin(&r, &defaults, 0);
    ck_assert_double_eq_tol((double)retry_next(&r, &defaults, 0, 0, 0.999999) / 1e9, 7.5, 1e-4);
}
END_TEST

START_TEST(test_hint_is_the_lower_bound)
{
    struct retry r;

    retry_begin(&r, &defaults, 0);
    ck_assert_int_eq(retry_next(&r, &defaults, 0, 60 * SEC, 0.5), 60 * SEC);
    ck_assert_int_eq(retry_next(&r, &defaults, 0, 1 * SEC, 0.5), (int64_t)(7.5 * 1e9));
}
END_TEST

START_TEST(test_gives_up_before_a_vain_wait)
{
    struct retry r;

    retry_begin(&r, &defaults, 100 * SEC);
    ck_assert_int_ge(retry_next(&r, &defaults, 395 * SEC, 0, 0.5), 0);
    retry_begin(&r, &defaults, 100 * SEC);
    ck_assert_int_eq(retry_next(&r, &defaults, 396 * SEC, 0, 0.5), -1);
    retry_begin(&r, &defaults, 100 * SEC);
    ck_assert_int_eq(retry_next(&r, &defaults, 100 * SEC, 301 * SEC, 0.5), -1);
}
END_TEST

START_TEST(test_zero_means_for_ever)
{
    struct retry_settings s = defaults;
    struct retry r;

    s.max_elapsed_time_ns = 0;
    retry_begin(&r, &s, 0);
    ck_assert_int_ge(retry_next(&r, &s, 1000000 * SEC, 0, 0.5), 0);
    ck_assert_int_ge(retry_next(&r, &s, 1000000 * SEC, UINT64_MAX, 0.5), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("retry");
    TCase *t = tcase_create("retry");
    SRunner *r;
    int failed;

    tcase_add_test(t, test_bases_grow_to_the_cap);
    tcase_add_test(t, test_jitter_spans_the_factor);
    tcase_add_test(t, test_hint_is_the_lower_bound);
    tcase_add_test(t, test_gives_up_before_a_vain_wait);
    tcase_add_test(t, test_zero_means_for_ever);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
