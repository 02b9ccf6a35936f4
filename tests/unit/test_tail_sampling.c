/* SPDX-License-Identifier: Apache-2.0 */
/* tail_sampling as a component: what goes in, what comes out, and the books. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/hash.h"
#include "processors/processors.h"
#include "processors/tail_exchange.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

/* Keeps errors. */
static struct test_host *host;
static struct component *tail;
static struct policy_settings errors;
static struct tail_settings settings;

static void setup(void)
{
    static const char *const error[] = {"ERROR"};

    hash_seed(42);
    host = th_new();
    errors = tb_status("errors", (struct str_list){error, 1});
    settings = tb_settings(&errors, 1);
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
    settings.decision_wait_ns = TB_S(1000);
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
    settings.decision_wait_ns = TB_S(1000);
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

START_TEST(a_push_after_the_drain_is_refused)
{
    start();
    tail->type->drain(tail);
    ck_assert(th_run_until_drained(host));
    struct batch *b = th_batch(host, th_payload_n(host, 1, 3));
    b->waiter = th_wait(host);
    th_push(tail, b);
    ck_assert_int_eq(host->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(host->ledger.dropped[DROP_RETURNED], 3);
    stop();
}
END_TEST

START_TEST(no_memory_is_told_to_the_sender)
{
    static char text[3 << 20];
    struct test_span span = {.trace = 1, .id = 1, .attrs = {TH_STR("text", text)}};

    memset(text, 'x', sizeof(text) - 1);
    th_budget(host, 5 << 20, 5 << 20);
    start();
    struct batch *b = th_batch(host, th_payload(host, &span, 1));
    b->waiter = th_wait(host);
    th_push(tail, b);
    ck_assert_int_eq(host->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(tail->type->held(tail), 0);
    stop();
}
END_TEST

/* ---- several workers ---- */

enum { MANY = 3, TRACES = 500, SPANS = 6000 };

static struct test_host *hosts[MANY];
static struct component *tails[MANY];

static void start_workers(unsigned n)
{
    hosts[0] = host;
    for (unsigned i = 1; i < n; i++)
        hosts[i] = th_new_worker(host);
    for (unsigned i = 0; i < n; i++)
        tails[i] = th_component(hosts[i], &tail_sampling_type, &settings);
}

static void stop_workers(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        th_component_free(hosts[i], &tails[i]);
    for (unsigned i = n; i-- > 0;)
        th_free(&hosts[i]);
}

/* The same spans whatever n is, in requests of up to 40 that go to the workers in turn. */
static void push_traffic(unsigned n)
{
    uint64_t rnd = 5;

    for (uint64_t id = 1, k = 0; id <= SPANS; k++) {
        struct test_span spans[40];
        size_t count = 1 + random_next(&rnd) % 40;

        for (size_t i = 0; i < count; i++, id++)
            spans[i] = (struct test_span){.trace = 1 + random_next(&rnd) % TRACES, .id = id,
                                          .status = random_next(&rnd) % 30 ? 0 : 2};
        th_push(tails[k % n], th_batch(hosts[k % n], th_payload(host, spans, count)));
        if (k % 5 == 0)
            th_turn(host);
    }
    th_turn(host);
}

static unsigned collect(unsigned n, uint8_t *kept)
{
    unsigned total = 0;

    for (unsigned w = 0; w < n; w++) {
        tails[w]->type->drain(tails[w]);
        ck_assert(th_run_until_drained(hosts[w]));
        for (size_t i = 0; i < hosts[w]->n_out; i++)
            for (uint64_t k = 0; k < hosts[w]->out[i]->n_spans; k++, total++) {
                const uint8_t *id = th_span(hosts[w]->out[i], k)->span_id;

                ck_assert_uint_eq(kept[id[6] << 8 | id[7]]++, 0);
                ck_assert_uint_eq(tail_owner(th_span(hosts[w]->out[i], k)->trace_id, n), w);
            }
    }
    return total;
}

START_TEST(decisions_do_not_depend_on_the_number_of_workers)
{
    static uint8_t by_one[1 << 16], by_many[1 << 16];

    settings.decision_wait_ns = TB_S(1000);
    start_workers(1);
    push_traffic(1);
    unsigned total = collect(1, by_one);
    stop_workers(1);
    ck_assert_uint_gt(total, SPANS / 10);
    host = th_new();
    start_workers(MANY);
    push_traffic(MANY);
    for (unsigned w = 0; w < MANY; w++)
        ck_assert_int_eq(hosts[w]->ledger.held, (int64_t)tails[w]->type->held(tails[w]));
    ck_assert_uint_eq(collect(MANY, by_many), total);
    ck_assert_int_eq(memcmp(by_one, by_many, sizeof(by_one)), 0);
    stop_workers(MANY);
}
END_TEST

static bool all_arrived(void *ctx)
{
    (void)ctx;
    return tails[0]->type->held(tails[0]) + tails[1]->type->held(tails[1]) == 200 && !tails[0]->type->unsent(tails[0]);
}

START_TEST(a_full_ring_delays_and_loses_nothing)
{
    settings.decision_wait_ns = TB_S(1000);
    start_workers(2);
    hosts[0]->ring_full = true;
    th_push(tails[0], th_batch(hosts[0], th_payload_n(host, 1, 200)));
    ck_assert(tails[0]->type->unsent(tails[0]));
    ck_assert_uint_eq(tails[0]->type->held(tails[0]), 200); /* those that wait count here */
    ck_assert_int_eq(hosts[0]->ledger.held, 200);
    hosts[0]->ring_full = false;
    ck_assert(th_run_until(host, all_arrived, NULL));
    ck_assert_uint_gt(tails[1]->type->held(tails[1]), 50);
    ck_assert_uint_eq(hosts[0]->ledger.moved_out, hosts[1]->ledger.moved_in);
    stop_workers(2);
}
END_TEST

/* What was taken is filed where it belongs, even when others took the memory meanwhile. */
START_TEST(spans_under_way_to_another_worker_have_their_room)
{
    static char text[3000];
    struct test_span span = {.trace = 1, .id = 1, .attrs = {TH_STR("text", text)}};
    uint64_t refused = 0, filed = 0;
    uint8_t id[16];

    memset(text, 'x', sizeof(text) - 1);
    th_budget(host, 8 << 20, 10 << 20);
    settings.num_traces = 100000;
    settings.buffer_limit_mib = 100;
    settings.decision_wait_ns = TB_S(1000);
    start_workers(2);
    while (refused < 20) {
        for (th_trace_id(span.trace, id); tail_owner(id, 2) != 1; th_trace_id(span.trace, id))
            span.trace++;
        struct batch *b = th_batch(hosts[0], th_payload(host, &span, 1));
        b->waiter = th_wait(host);
        th_push(tails[0], b);
        *(host->waits[host->n_waits - 1]->answer == ANSWER_OK ? &filed : &refused) += 1;
        span.trace++;
    }
    ck_assert_uint_gt(filed, 500);
    uint64_t rest = (10 << 20) - budget_used(host->host.budget);
    budget_force(host->host.budget, MEM_OUTPUT, rest);
    th_turn(host);
    budget_release(host->host.budget, MEM_OUTPUT, rest);
    ck_assert_uint_eq(hosts[1]->ledger.dropped[DROP_MEMORY], 0);
    ck_assert_uint_eq(tails[1]->type->held(tails[1]), filed);
    stop_workers(2);
}
END_TEST

START_TEST(owners_are_those_of_the_reference)
{
    static const struct {
        uint8_t id[16];
        unsigned of_8;
    } rows[] = {
        {{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36}, 7},
        {{0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}, 4},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 6},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_uint_eq(tail_owner(rows[i].id, 8), rows[i].of_8);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_sampling");
    TCase *t = tcase_create("component");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, keeps_errors_after_the_wait);
    tcase_add_test(t, drain_decides_what_is_held);
    tcase_add_test(t, drain_drops_pending_when_told);
    tcase_add_test(t, a_push_after_the_drain_is_refused);
    tcase_add_test(t, no_memory_is_told_to_the_sender);
    tcase_add_test(t, decisions_do_not_depend_on_the_number_of_workers);
    tcase_add_test(t, a_full_ring_delays_and_loses_nothing);
    tcase_add_test(t, spans_under_way_to_another_worker_have_their_room);
    tcase_add_test(t, owners_are_those_of_the_reference);
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
