/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling as a component: what goes in, what comes out, and the books. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/hash.h"
#include "processors/processors.h"
#include "processors/tail_settings.h"
#include "tests/lib/test_host.h"

#define S(n) ((n) * 1000000000ll)

static struct policy_settings policy(const char *name, const char *type)
{
    struct policy_settings p = {.leaf = {.name = name, .type = type}};

    p.leaf.numeric_attribute.key = p.leaf.string_attribute.key = p.leaf.boolean_attribute.key = "";
    p.leaf.probabilistic.hash_salt = "";
    p.not.not_sub_policy.name = p.not.not_sub_policy.type = "";
    return p;
}

static struct policy_settings errors_policy(void)
{
    static const char *const error[] = {"ERROR"};
    struct policy_settings p = policy("errors", "status_code");

    p.leaf.status_code.status_codes = (struct str_list){error, 1};
    return p;
}

static struct tail_settings settings_with(const struct policy_settings *p, size_t n)
{
    return (struct tail_settings){.decision_wait_ns = S(1), .num_traces = 1000, .policies = {p, n},
                                  .sampling_strategy = "trace-complete"};
}

/* Keeps errors. */
static struct test_host *host;
static struct component *tail;
static struct policy_settings errors;
static struct tail_settings settings;

static void setup(void)
{
    hash_seed(42);
    host = th_new();
    errors = errors_policy();
    settings = settings_with(&errors, 1);
}

static void start(void)
{
    tail = th_component(host, &tail_sampling_type, &settings);
}

static void stop(void)
{
    th_component_free(host, &tail);
    th_free(&host);
}

START_TEST(keeps_errors_after_the_wait)
{
    start();
    struct batch *b = th_batch(host, th_payload(host, TH_SPANS({.trace = 1, .id = 1, .name = "a", .status = 2},
                                                              {.trace = 2, .id = 2, .name = "b"},
                                                              {.trace = 1, .id = 3, .parent = 1, .name = "c"})));
    b->waiter = th_wait(host);
    th_push(tail, b);
    ck_assert_uint_eq(host->n_answered, 1);
    ck_assert_int_eq(host->waits[0]->answer, ANSWER_OK);
    ck_assert_uint_eq(host->n_out, 0);
    ck_assert_int_eq(host->ledger.held, 3);
    ck_assert_uint_eq(tail->type->held(tail), 3);
    ck_assert(th_run_until_out(host, 1));
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert_str_eq(th_span_name(th_span(host->out[0], 0)), "a");
    ck_assert_str_eq(th_span_name(th_span(host->out[0], 1)), "c");
    ck_assert_uint_eq(host->ledger.fate[FATE_SAMPLED_OUT], 1);
    ck_assert_int_eq(host->ledger.held, 2);
    th_out_end(host);
    ck_assert_int_eq(host->ledger.held, 0);
    stop();
}
END_TEST

START_TEST(drain_decides_what_is_held)
{
    settings.decision_wait_ns = S(1000);
    start();
    th_push(tail, th_batch(host, th_payload(host, TH_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2}))));
    tail->type->drain(tail);
    ck_assert(th_run_until_drained(host));
    ck_assert_uint_eq(th_out_spans(host), 1);
    ck_assert_uint_eq(host->ledger.fate[FATE_SAMPLED_OUT], 1);
    stop();
}
END_TEST

START_TEST(drain_drops_pending_when_told)
{
    settings.decision_wait_ns = S(1000);
    settings.drop_pending_traces_on_shutdown = true;
    start();
    th_push(tail, th_batch(host, th_payload(host, TH_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2}))));
    tail->type->drain(tail);
    ck_assert(th_run_until_drained(host));
    ck_assert_uint_eq(host->n_out, 0);
    ck_assert_uint_eq(host->ledger.dropped[DROP_SHUTDOWN], 2);
    stop();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_sampling");
    TCase *t = tcase_create("component");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, keeps_errors_after_the_wait);
    tcase_add_test(t, drain_decides_what_is_held);
    tcase_add_test(t, drain_drops_pending_when_told);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());

    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
