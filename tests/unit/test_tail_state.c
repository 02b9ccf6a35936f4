/* SPDX-License-Identifier: Apache-2.0 */
/* The feature gate usetracestate: probabilistic policies go by tracestate, kept spans get their threshold. */
#include <check.h>
#include <stdlib.h>

#include "component/gates.h"
#include "model/attr.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_sampler.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

static struct test_host *host;
static struct tail_settings settings;
static struct tail_shared *shared;
static struct tail_sampler sampler;

static void setup(void)
{
    hash_seed(5);
    host = th_new();
}

static void begin(const struct policy_settings *ps, size_t n, uint32_t gates)
{
    struct err err = {""};

    settings = tb_settings(ps, n);
    settings.decision_cache = (struct cache_settings){100, 100};
    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, gates, &shared, &err), 0);
    tail_sampler_init(&sampler, &host->host, &settings, shared);
}

static void teardown(void)
{
    tail_sampler_fini(&sampler);
    tail_shared_free(&shared);
    th_free(&host);
}

static void file(struct payload *p)
{
    struct batch *b = th_batch(host, p);

    ck_assert_int_eq(tail_sampler_prepare(&sampler, b->parts, b->n_parts, b->n_bytes, b->n_spans, false), 0);
    tail_sampler_file(&sampler, 0, 0, p->n_spans, NULL);
    tail_sampler_done(&sampler);
    b->ledger = NULL;
    batch_end(&b, FATE_FILTERED, NULL);
}
#define FILE_SPANS(...) file(th_payload(host, TH_SPANS(__VA_ARGS__)))

static void ticks(unsigned n)
{
    while (n--) {
        tail_sampler_tick(&sampler);
        while (tail_sampler_work(&sampler, NS_PER_SEC) == TAIL_MORE)
            ;
    }
}

/* The tracestate of the span with this id among all that came out; NULL: it did not. */
static const char *state_of(uint64_t id)
{
    static struct buf text;

    for (size_t i = 0; i < host->n_out; i++)
        for (uint64_t k = 0; k < host->out[i]->n_spans; k++) {
            const struct span *sp = th_span(host->out[i], k);

            if (sp->span_id[7] != id)
                continue;
            struct slice s = field_bytes(span_body(sp), SPAN_TRACE_STATE);

            buf_clear(&text);
            buf_put(&text, s.p, s.len);
            buf_putc(&text, 0);
            return (const char *)text.p;
        }
    return NULL;
}

#define GATE GATE_BIT(GATE_TAIL_TRACE_STATE)
#define UNPARSEABLE "otelcol_processor_tail_sampling_count_spans_with_unparseable_tracestate"

START_TEST(randomness_of_the_state_decides)
{
    struct policy_settings ps[] = {tb_percent("half", "", 50)};

    begin(ps, 1, GATE);
    FILE_SPANS({.trace = 1, .id = 1, .trace_state = "ot=rv:80000000000000"}, {.trace = 2, .id = 2, .trace_state = "ot=rv:7fffffffffffff"},
               {.trace = 0x80000000000000, .id = 3, .trace_state = "ot=th:4"}, {.trace = 0x7fffffffffffff, .id = 4, .trace_state = "ot=th:4"});
    /* The first randomness counts, and that of another member does not. */
    FILE_SPANS({.trace = 5, .id = 5, .trace_state = "ot=th:0"}, {.trace = 5, .id = 6, .trace_state = "k=v , ot=a:b;rv:ffffffffffffff"},
               {.trace = 5, .id = 7, .trace_state = "ot=rv:00000000000000"});
    ticks(2);
    ck_assert_str_eq(state_of(1), "ot=rv:80000000000000;th:8");
    ck_assert_ptr_null(state_of(2));
    ck_assert_str_eq(state_of(3), "ot=th:8");
    ck_assert_ptr_null(state_of(4));
    ck_assert_str_eq(state_of(5), "ot=th:8");
    ck_assert_str_eq(state_of(6), "ot=rv:ffffffffffffff;th:8;a:b,k=v");
    ck_assert_str_eq(state_of(7), "ot=rv:00000000000000;th:8");
}
END_TEST

START_TEST(without_the_gate_nothing_is_written)
{
    struct policy_settings ps[] = {tb_percent("half", "", 100)};

    begin(ps, 1, 0);
    FILE_SPANS({.trace = 1, .id = 1, .trace_state = "ot=rv:00000000000000 "}, {.trace = 2, .id = 2});
    ticks(2);
    ck_assert_str_eq(state_of(1), "ot=rv:00000000000000 ");
    ck_assert_str_eq(state_of(2), "");
}
END_TEST

/* The smallest threshold of those that keep it; one that is higher stays; what cannot be read stays. */
START_TEST(the_threshold_is_written)
{
    static const char *const error[] = {"ERROR"};
    struct policy_settings ps[] = {tb_percent("most", "", 99.99), tb_status("errors", (struct str_list){error, 1})};

    begin(ps, 2, GATE);
    FILE_SPANS({.trace = 1, .id = 1, .trace_state = "ot=rv:ffffffffffffff"}, {.trace = 2, .id = 2, .trace_state = "ot=rv:ffffffffffffff", .status = 2},
               {.trace = 2, .id = 3}, {.trace = 2, .id = 4, .trace_state = "ot=th:c , k=v"}, {.trace = 2, .id = 5, .trace_state = "K=v"});
    ticks(2);
    ck_assert_str_eq(state_of(1), "ot=rv:ffffffffffffff;th:00068db8bac718"); /* (1 - 0.9999) * 2^56, in doubles */
    ck_assert_str_eq(state_of(2), "ot=rv:ffffffffffffff;th:0");
    ck_assert_str_eq(state_of(3), "ot=th:0");
    ck_assert_str_eq(state_of(4), "ot=th:c , k=v");
    ck_assert_str_eq(state_of(5), "K=v");
    ck_assert(th_metric(host, UNPARSEABLE) == 1);
}
END_TEST

/* From the table and from a cache, also when the policies have changed places meanwhile. */
START_TEST(late_spans_get_the_threshold_of_their_trace)
{
    static const char *const error[] = {"ERROR"};
    struct policy_settings ps[] = {tb_percent("half", "", 50), tb_status("errors", (struct str_list){error, 1})};
    struct policy_settings turned[] = {ps[1], ps[0]};
    struct err err;

    begin(ps, 2, GATE);
    FILE_SPANS({.trace = 1, .id = 1, .trace_state = "ot=rv:ffffffffffffff"}, {.trace = 2, .id = 2, .status = 2});
    ticks(2);
    FILE_SPANS({.trace = 1, .id = 3}, {.trace = 2, .id = 4});
    ck_assert_str_eq(state_of(3), "ot=th:8");
    ck_assert_str_eq(state_of(4), "ot=th:0");

    struct tail_shared *old = shared;
    settings.policies.v = turned;
    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, GATE, &shared, &err), 0);
    tail_sampler_change(&sampler, &settings, shared);
    tail_shared_free(&old);
    FILE_SPANS({.trace = 1, .id = 5}, {.trace = 2, .id = 6});
    ck_assert_str_eq(state_of(5), "ot=th:8");
    ck_assert_str_eq(state_of(6), "ot=th:0");
}
END_TEST

/* span-ingest: the item that decided carries it, those before it do not. */
START_TEST(items_before_the_decision_stay)
{
    static const char *const error[] = {"ERROR"};
    struct policy_settings ps[] = {tb_status("errors", (struct str_list){error, 1})};
    struct err err;

    begin(ps, 1, GATE);
    tail_sampler_fini(&sampler);
    tail_shared_free(&shared);
    settings.sampling_strategy = "span-ingest";
    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, GATE, &shared, &err), 0);
    tail_sampler_init(&sampler, &host->host, &settings, shared);
    FILE_SPANS({.trace = 1, .id = 1});
    FILE_SPANS({.trace = 1, .id = 2, .status = 2}, {.trace = 1, .id = 3});
    ticks(1);
    ck_assert_str_eq(state_of(1), "");
    ck_assert_str_eq(state_of(2), "ot=th:0");
    ck_assert_str_eq(state_of(3), "ot=th:0");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_state");
    TCase *t = tcase_create("usetracestate");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, randomness_of_the_state_decides);
    tcase_add_test(t, without_the_gate_nothing_is_written);
    tcase_add_test(t, the_threshold_is_written);
    tcase_add_test(t, late_spans_get_the_threshold_of_their_trace);
    tcase_add_test(t, items_before_the_decision_stay);
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
