/* SPDX-License-Identifier: Apache-2.0 */
/* memory_limiter: limits from settings, every rule between keys, passing, refusing, coming back. */
#include <check.h>
#include <stdlib.h>

#include "processors/processors.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

#define MIB (1024ull * 1024)

static const struct {
    const char *yaml;
    uint64_t soft, limit; /* of 1000 MiB */
} limits[] = {
    {"{check_interval: 1s, limit_mib: 100}", 80 * MIB, 100 * MIB},
    {"{check_interval: 1s, limit_mib: 100, spike_limit_mib: 30}", 70 * MIB, 100 * MIB},
    {"{check_interval: 1s, limit_percentage: 50}", 400 * MIB, 500 * MIB},
    {"{check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 20}", 300 * MIB, 500 * MIB},
    {"{check_interval: 1s, limit_mib: 100, limit_percentage: 50}", 80 * MIB, 100 * MIB},
    {"{check_interval: 1s, limit_mib: 5000}", 4000 * MIB, 5000 * MIB},
};

START_TEST(settings_become_limits)
{
    struct test_settings s = ts_new(&memory_limiter_type, limits[_i].yaml);
    uint64_t soft = 0, limit = 0;

    ck_assert_str_eq(ts_problems(&s), "");
    memory_limiter_type.memory_limits(s.settings, 1000 * MIB, &soft, &limit);
    ck_assert_uint_eq(soft, limits[_i].soft);
    ck_assert_uint_eq(limit, limits[_i].limit);
    ts_free(&s);
}
END_TEST

static const struct {
    const char *yaml, *text;
} wrong[] = {
    {"{limit_mib: 10}", "'check_interval' must be greater than zero"},
    {"{check_interval: -1s, limit_mib: 10}", "'check_interval' must be greater than zero"},
    {"{check_interval: 1s}", "'limit_mib' or 'limit_percentage' must be greater than zero"},
    {"{check_interval: 1s, limit_mib: 10, spike_limit_mib: 10}", "'spike_limit_mib' must be smaller than 'limit_mib'"},
    {"{check_interval: 1s, limit_percentage: 101}",
     "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred"},
    {"{check_interval: 1s, limit_mib: 10, spike_limit_percentage: 101}",
     "'limit_percentage' and 'spike_limit_percentage' must be greater than zero and less than or equal to hundred"},
    {"{check_interval: 1s, limit_percentage: 10, spike_limit_percentage: 10}",
     "'spike_limit_percentage' must be smaller than 'limit_percentage'"},
    {"{check_interval: 1s, limit_mib: 10, min_gc_interval_when_soft_limited: 1s, min_gc_interval_when_hard_limited: 2s}",
     "'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'"},
    {"{check_interval: 1s, limit_mib: 10, max_gc_interval_when_soft_limited: 1s}",
     "'max_gc_interval_when_soft_limited' must be greater than or equal to 'min_gc_interval_when_soft_limited' (or 0 to disable)"},
    {"{check_interval: 1s, limit_mib: 10, max_gc_interval_when_hard_limited: 40s}",
     "'max_gc_interval_when_soft_limited' should be larger than or equal to 'max_gc_interval_when_hard_limited' (when both are set)"},
    {"{check_interval: 1s, limit_mib: 10, min_gc_interval_when_hard_limited: 9s, max_gc_interval_when_hard_limited: 5s}",
     "'max_gc_interval_when_hard_limited' must be greater than or equal to 'min_gc_interval_when_hard_limited' (or 0 to disable)"},
};

START_TEST(rules_between_keys)
{
    struct test_settings s = ts_new(&memory_limiter_type, wrong[_i].yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong[_i].text) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
}
END_TEST

START_TEST(all_errors_at_once)
{
    struct test_settings s = ts_new(&memory_limiter_type, "{spike_limit_percentage: 300}");

    ck_assert_ptr_nonnull(strstr(ts_problems(&s), "'check_interval'"));
    ck_assert_ptr_nonnull(strstr(ts_problems(&s), "'limit_mib' or"));
    ck_assert_ptr_nonnull(strstr(ts_problems(&s), "hundred"));
    ts_free(&s);
}
END_TEST

START_TEST(refuses_over_the_soft_limit_and_comes_back)
{
    struct test_settings s = ts_new(&memory_limiter_type, "{check_interval: 1s, limit_mib: 10}");
    struct test_host *t = th_new();
    struct component *c;
    struct batch *b;

    th_budget(t, 8 * MIB, 10 * MIB);
    t->emit = TH_EXPORT;
    c = th_component(t, &memory_limiter_type, s.settings);
    b = th_batch(t, th_payload_n(t, 1, 3));
    b->waiter = th_wait(t);
    th_push(c, b);
    ck_assert_uint_eq(t->n_emitted_spans, 3);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_OK);

    budget_force(t->host.budget, MEM_TAIL, 8 * MIB);
    b = th_batch(t, th_payload_n(t, 9, 2));
    b->waiter = th_wait(t);
    th_push(c, b);
    ck_assert_uint_eq(t->n_emitted_spans, 3);
    ck_assert_int_eq(t->waits[1]->answer, ANSWER_RETRY);
    ck_assert_str_eq(t->waits[1]->text, "data refused due to high memory usage");
    ck_assert_uint_eq(t->waits[1]->retry_after_ms, 1000);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 2);

    budget_release(t->host.budget, MEM_TAIL, 8 * MIB);
    th_push(c, th_batch(t, th_payload_n(t, 20, 4)));
    ck_assert_uint_eq(t->n_emitted_spans, 7);

    ck_assert(th_metric(t, "otelcol_processor_memory_limiter_accepted_spans{processor=\"test\"}") == 7);
    ck_assert(th_metric(t, "otelcol_processor_memory_limiter_refused_spans{processor=\"test\"}") == 2);
    ck_assert(th_metric(t, "otelcol_processor_incoming_items{otel_signal=\"traces\",processor=\"test\"}") == 9);
    ck_assert(th_metric(t, "otelcol_processor_outgoing_items{otel_signal=\"traces\",processor=\"test\"}") == 7);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(drain_twice_and_push_after)
{
    struct test_settings s = ts_new(&memory_limiter_type, "{check_interval: 1s, limit_mib: 10}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &memory_limiter_type, s.settings);
    struct batch *b = th_batch(t, th_payload_n(t, 1, 1));

    c->type->drain(c);
    c->type->drain(c);
    ck_assert_uint_eq(t->n_drained, 1);
    b->waiter = th_wait(t);
    th_push(c, b);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->late_emits, 0);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("memory_limiter");
    TCase *t = tcase_create("memory_limiter");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, settings_become_limits, 0, (int)ARRAY_LEN(limits));
    tcase_add_loop_test(t, rules_between_keys, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(t, all_errors_at_once);
    tcase_add_test(t, refuses_over_the_soft_limit_and_comes_back);
    tcase_add_test(t, drain_twice_and_push_after);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
