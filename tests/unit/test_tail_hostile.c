/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic that should not be: a trace of a million spans, traces without end, spans from other times.
 * What is held stays within its bounds, every span has one fate, and no slice of work is long.
 */
#include <check.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_sampler_priv.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

static struct test_host *host;
static struct policy_settings errors;
static struct tail_settings settings;
static struct tail_shared *shared;
static struct tail_sampler sampler;

static void setup(void)
{
    static const char *const error[] = {"ERROR"};

    hash_seed(17);
    host = th_new();
    host->emit = TH_EXPORT;
    errors = tb_status("errors", (struct str_list){error, 1});
    settings = tb_settings(&errors, 1);
}

static void begin(void)
{
    struct err err = {""};

    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, 0, &shared, &err), 0);
    tail_sampler_init(&sampler, &host->host, &settings, shared);
}

static void teardown(void)
{
    tail_sampler_fini(&sampler);
    tail_shared_free(&shared);
    th_free(&host); /* checks the books and the budget */
}

static void file(const struct test_span *spans, size_t n)
{
    struct payload *p = th_payload(host, spans, n);
    struct batch *b = th_batch(host, p);

    ck_assert_int_eq(tail_sampler_prepare(&sampler, b->parts, b->n_parts, b->n_bytes, b->n_spans, false), 0);
    tail_sampler_file(&sampler, 0, 0, p->n_spans, NULL);
    tail_sampler_done(&sampler);
    b->ledger = NULL;
    batch_end(&b, FATE_FILTERED, NULL);
}

static void ticks(unsigned n)
{
    while (n--) {
        tail_sampler_tick(&sampler);
        while (tail_sampler_work(&sampler, NS_PER_SEC) == TAIL_MORE)
            ;
    }
}

#define SAMPLED_OUT (host->ledger.fate[FATE_SAMPLED_OUT])
#define OTEL(x)     "otelcol_processor_tail_sampling_" x
enum { MIB = 1 << 20 };

/* ---- a trace of a million spans ---- */

enum { MILLION = 1000000, A_REQUEST = 5000 };

static void file_a_million(void)
{
    struct test_span *spans = mem_alloc_array(A_REQUEST, sizeof(*spans));

    for (uint64_t i = 0; i < A_REQUEST; i++)
        spans[i] = (struct test_span){.trace = 1, .id = i + 1, .status = i == A_REQUEST - 1 ? 2 : 0};
    for (uint32_t n = 0; n < MILLION; n += A_REQUEST) {
        file(spans, A_REQUEST);
        ck_assert_uint_le(seg_log_held_bytes(&sampler.log), settings.buffer_limit_mib ? settings.buffer_limit_mib * MIB : 64 * MIB);
    }
    free(spans);
}

START_TEST(a_million_spans_are_one_trace)
{
    begin();
    file_a_million();
    ck_assert_uint_eq(sampler.held_spans, MILLION);
    ck_assert_uint_eq(sampler.table.n_traces, 1);
    ticks(2);
    ck_assert_uint_eq(host->n_emitted_spans, MILLION);
    ck_assert_uint_eq(sampler.held_spans, 0);
}
END_TEST

/* More than may be held: decided with what is there, and the others follow. */
START_TEST(a_million_spans_do_not_pass_the_bound)
{
    settings.buffer_limit_mib = 2;
    begin();
    file_a_million();
    ck_assert(th_metric(host, "tailrace_tail_sampling_early_decisions{reason=\"buffer_limit\"}") == 1);
    ck_assert(th_metric(host, OTEL("sampling_trace_dropped_too_early")) == 1);
    ticks(2);
    ck_assert_uint_eq(host->n_emitted_spans, MILLION);
    ck_assert_uint_eq(sampler.table.n_traces, 1);
}
END_TEST

START_TEST(a_million_spans_are_too_large)
{
    settings.maximum_trace_size_bytes = 100000;
    begin();
    file_a_million();
    ck_assert(th_metric(host, OTEL("traces_dropped_too_large")) == 1);
    ck_assert_uint_eq(host->ledger.dropped[DROP_TOO_LARGE], MILLION);
    ck_assert_uint_eq(sampler.log.live_bytes, 0);
}
END_TEST

/* ---- traces without end ---- */

/* Each bound of table, caches and bytes is passed hundreds of times, as by billions in a table of usual size. */
START_TEST(one_span_traces_without_end)
{
    enum { N = 400000, A_BATCH = 500 };
    struct test_span spans[A_BATCH];

    settings.num_traces = 1000;
    settings.decision_cache = (struct cache_settings){200, 300};
    settings.explain_decisions = 50;
    begin();
    uint64_t used = 0;
    for (uint64_t i = 0; i < N; i += A_BATCH) {
        for (uint64_t k = 0; k < A_BATCH; k++)
            spans[k] = (struct test_span){.trace = i + k + 1, .id = i + k + 1, .status = (i + k) % 10 ? 0 : 2};
        file(spans, A_BATCH);
        ck_assert_uint_le(sampler.table.n_traces - sampler.n_leaving, 1000);
        if (i / A_BATCH % 7 == 0)
            ticks(1);
        uint64_t now = budget_used(host->host.budget);
        if (i < N / 10)
            used = now > used ? now : used;
        else
            ck_assert_uint_le(now, used + used / 10);
    }
    ticks(2);
    ck_assert(th_metric(host, OTEL("new_trace_id_received")) == N);
    ck_assert(th_metric(host, OTEL("global_count_traces_sampled{decision=\"sampled\",sampled=\"true\"}")) == N / 10);
    ck_assert(th_metric(host, "tailrace_tail_sampling_early_decisions{reason=\"num_traces\"}") > N / 2);
    ck_assert_uint_eq(host->n_emitted_spans, N / 10);
    ck_assert_uint_eq(SAMPLED_OUT, N - N / 10);
    ck_assert_uint_eq(sampler.table.n_traces, 0);
}
END_TEST

/* ---- spans from other times ---- */

/* When a span says it was has no part in when its trace is decided. */
START_TEST(times_of_spans_do_not_move_decisions)
{
    const uint64_t now = clock_wall_ns(), day = 86400 * NS_PER_SEC;
    struct policy_settings ps[] = {tb_latency("slow", 1000, 0), errors};

    settings = tb_settings(ps, 2);
    settings.decision_wait_ns = TB_S(5);
    begin();
    const struct test_span spans[] = {
        {.trace = 1, .id = 1, .status = 2, .start_ns = now, .end_ns = now},
        {.trace = 2, .id = 2, .status = 2, .start_ns = now - 3650 * day, .end_ns = now - 3650 * day},
        {.trace = 3, .id = 3, .status = 2, .start_ns = now + day, .end_ns = now + day},
        {.trace = 4, .id = 4, .status = 2, .start_ns = 0, .end_ns = 0},
        {.trace = 5, .id = 5, .status = 2, .start_ns = UINT64_MAX, .end_ns = UINT64_MAX},
        {.trace = 6, .id = 6, .start_ns = now - 3650 * day, .end_ns = now - 3650 * day}, /* quick, long ago */
        {.trace = 7, .id = 7, .start_ns = now + day, .end_ns = now},                     /* ends before it starts */
        {.trace = 8, .id = 8, .start_ns = now - 3650 * day, .end_ns = now},              /* slow */
        {.trace = 9, .id = 9, .start_ns = now, .end_ns = now},
        {.trace = 9, .id = 10, .start_ns = now + day, .end_ns = now + day}, /* slow: a day */
    };
    file(spans, ARRAY_LEN(spans));
    ticks(5);
    ck_assert_uint_eq(host->n_emitted_spans + SAMPLED_OUT, 0);
    ticks(1);
    ck_assert_uint_eq(host->n_emitted_spans, 5 + 1 + 2);
    ck_assert_uint_eq(SAMPLED_OUT, 2);
}
END_TEST

/* ---- slices ---- */

/* A tick over 100,000 ripe traces is worked off in pieces: with no time given, each is the smallest there is. */
START_TEST(a_large_tick_is_worked_off_in_slices)
{
    enum { N = 100000, A_BATCH = 2000, A_SLICE = 64, FLUSHES = 4, RUN = 2000 /* spans in 64 KiB */ };
    struct test_span *spans = mem_alloc_array(A_BATCH, sizeof(*spans));
    uint64_t slices = 0;

    settings.num_traces = 2 * N;
    begin();
    for (uint64_t i = 0; i < N; i += A_BATCH) {
        for (uint64_t k = 0; k < A_BATCH; k++)
            spans[k] = (struct test_span){.trace = i + k + 1, .id = i + k + 1, .status = k % 2 ? 0 : 2};
        file(spans, A_BATCH);
    }
    free(spans);
    tail_sampler_tick(&sampler);
    tail_sampler_tick(&sampler);
    ck_assert_uint_eq(host->n_emitted_spans + SAMPLED_OUT, 0); /* a tick by itself decides nothing */
    for (enum tail_work w = TAIL_MORE; w == TAIL_MORE; slices++) {
        uint32_t undecided = sampler.wheel.n;
        uint64_t emitted = host->n_emitted_spans;

        w = tail_sampler_work(&sampler, 0);
        ck_assert_uint_le(undecided - sampler.wheel.n, A_SLICE);
        ck_assert_uint_le(host->n_emitted_spans - emitted, FLUSHES * (EMIT_SPANS + RUN));
    }
    ck_assert_uint_ge(slices, N / A_SLICE);
    ck_assert_uint_eq(host->n_emitted_spans, N / 2);
    ck_assert_uint_eq(SAMPLED_OUT, N / 2);
}
END_TEST

/* ---- a million records of one trace ---- */

/* Spans of two traces by turns: each is a record of its own, as from as many requests. */
static void file_by_turns(uint32_t n_records, uint8_t status)
{
    struct test_span *spans = mem_alloc_array(A_REQUEST, sizeof(*spans));

    for (uint64_t i = 0; i < A_REQUEST; i++)
        spans[i] = (struct test_span){.trace = 1 + i % 2, .id = i + 1, .status = status};
    for (uint32_t n = 0; n < 2 * n_records; n += A_REQUEST)
        file(spans, A_REQUEST);
    free(spans);
}

static uint64_t live_records(void)
{
    uint64_t n = 0;

    for (uint32_t i = 1; i < sampler.log.n_segs; i++)
        n += sampler.log.segs[i].live_records;
    return n;
}

enum { MOST_FREED = 3 * TAIL_GRAVES, MOST_SENT = (TAIL_FLUSHES + 1) * EMIT_SPANS };

/* Dropped: they are booked at once and freed a slice at a time, while others come and go. */
START_TEST(a_million_records_are_dropped_in_slices)
{
    begin();
    file_by_turns(MILLION, 0);
    ck_assert_uint_eq(live_records(), 2 * MILLION);
    tail_sampler_tick(&sampler);
    tail_sampler_tick(&sampler);
    uint64_t slices = 0, id = 0;
    for (enum tail_work w = TAIL_MORE; w == TAIL_MORE; slices++) {
        uint64_t before = live_records();

        w = tail_sampler_work(&sampler, 0);
        ck_assert_uint_le(before - live_records(), MOST_FREED);
        ck_assert_uint_ge(SAMPLED_OUT, 2 * MILLION);
        if (slices % 100 == 5) {
            id++;
            file(TH_SPANS({.trace = 7 + id % 3, .id = id}));
        }
        if (slices % 100 == 50)
            tail_sampler_tick(&sampler);
    }
    ck_assert_uint_ge(slices, 2 * MILLION / MOST_FREED);
    ck_assert_uint_gt(id, 0);
    ticks(2);
    ck_assert_uint_eq(SAMPLED_OUT, 2 * MILLION + id);
    ck_assert_uint_eq(sampler.log.live_bytes, 0);
}
END_TEST

/* Kept: sent a slice at a time, also when new spans come in between. */
START_TEST(a_million_records_are_kept_in_slices)
{
    begin();
    file_by_turns(MILLION, 2);
    tail_sampler_tick(&sampler);
    tail_sampler_tick(&sampler);
    uint64_t slices = 0, id = 0;
    for (enum tail_work w = TAIL_MORE; w == TAIL_MORE; slices++) {
        uint64_t before = host->n_emitted_spans;

        w = tail_sampler_work(&sampler, 0);
        ck_assert_uint_le(host->n_emitted_spans - before, MOST_SENT);
        before = host->n_emitted_spans;
        if (slices % 8 == 3)
            file(TH_SPANS({.trace = 7, .id = ++id, .status = 2}));
        ck_assert_uint_le(host->n_emitted_spans - before, MOST_SENT);
    }
    ck_assert_uint_ge(slices, MILLION / MOST_SENT);
    ck_assert_uint_gt(id, 0);
    ticks(2);
    ck_assert_uint_eq(host->n_emitted_spans, 2 * MILLION + id);
    ck_assert_uint_eq(sampler.log.live_bytes, 0);
}
END_TEST

/* No memory for more while many records wait to be freed: only so many are for one request, and a few requests
 * later there is room. */
START_TEST(room_is_made_in_slices)
{
    enum { N = 300000 };

    settings.maximum_trace_size_bytes = 8000000;
    begin();
    file_by_turns(N, 0);
    ck_assert_uint_eq(host->ledger.dropped[DROP_TOO_LARGE], 2 * N);
    ck_assert(sampler.doomed.first != 0);
    struct batch *b = th_batch(host, th_payload(host, TH_SPANS({.trace = 9, .id = 1})));
    budget_set_limits(host->host.budget, budget_used(host->host.budget) / 2, budget_used(host->host.budget));
    uint64_t tries = 0;
    for (int rc = -1; rc != 0; tries++) {
        uint64_t before = live_records();

        rc = tail_sampler_prepare(&sampler, b->parts, b->n_parts, 4 * MIB, 1, false);
        ck_assert_uint_le(before - live_records(), 4 * MOST_FREED);
        ck_assert_uint_lt(tries, 2 * N / TAIL_GRAVES);
    }
    ck_assert_uint_gt(tries, 1);
    tail_sampler_file(&sampler, 0, 0, 1, NULL);
    tail_sampler_done(&sampler);
    b->ledger = NULL;
    batch_end(&b, FATE_FILTERED, NULL);
    ticks(2);
    ck_assert_uint_eq(SAMPLED_OUT, 1);
    ck_assert_uint_eq(sampler.log.live_bytes, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_hostile");
    TCase *t = tcase_create("hostile");

    tcase_set_timeout(t, 240); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_million_spans_are_one_trace);
    tcase_add_test(t, a_million_spans_do_not_pass_the_bound);
    tcase_add_test(t, a_million_spans_are_too_large);
    tcase_add_test(t, one_span_traces_without_end);
    tcase_add_test(t, times_of_spans_do_not_move_decisions);
    tcase_add_test(t, a_large_tick_is_worked_off_in_slices);
    tcase_add_test(t, a_million_records_are_dropped_in_slices);
    tcase_add_test(t, a_million_records_are_kept_in_slices);
    tcase_add_test(t, room_is_made_in_slices);
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
