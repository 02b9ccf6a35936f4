/* SPDX-License-Identifier: Apache-2.0 */
/* What a trace costs and knows: one span alone keeps its bits and no more, and is judged as if it
 * kept everything. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_sampler.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

static struct test_host *host;
static struct tail_settings settings;
static struct tail_shared *shared;
static struct tail_sampler sampler;
static uint64_t rnd = 5;

static void setup(void)
{
    hash_seed(19);
    host = th_new();
}

static void begin(const struct policy_settings *ps, size_t n)
{
    struct err err = {""};

    settings = tb_settings(ps, n);
    settings.num_traces = 100000;
    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, 0, &shared, &err), 0);
    tail_sampler_init(&sampler, &host->host, &settings, shared);
}

static void end(void)
{
    tail_sampler_fini(&sampler);
    tail_shared_free(&shared);
}

static void teardown(void)
{
    th_free(&host); /* checks the books and the budget */
}

static void file(const struct test_span *spans, size_t n)
{
    struct batch *b = th_batch(host, th_payload(host, spans, n));

    ck_assert_int_eq(
        tail_sampler_prepare(&sampler, b->parts, b->n_parts, b->n_bytes, b->n_spans, false), 0);
    tail_sampler_file(&sampler, 0, 0, (uint32_t)n, NULL);
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

static uint64_t in_use(const struct entry_pool *p)
{
    uint64_t n = 0;

    for (uint32_t c = 0; c < p->n_chunks; c++)
        n += p->chunks[c] ? p->chunks[c]->n_used : 0;
    return n;
}

/* ---- the rest of an entry ---- */

START_TEST(only_a_second_span_needs_more)
{
    struct policy_settings p = tb_latency("slow", 1000, 0);

    begin(&p, 1);
    file(TH_SPANS({.trace = 1, .id = 1, .start_ns = 5, .end_ns = 9}, {.trace = 2, .id = 2},
                  {.trace = 3, .id = 3}, {.trace = 3, .id = 4}));
    ck_assert_uint_eq(in_use(&sampler.table.traces), 3);
    ck_assert_uint_eq(in_use(&sampler.table.more), 1);
    file(TH_SPANS({.trace = 1, .id = 5, .start_ns = 5, .end_ns = 1000 * NS_PER_MS}));
    ck_assert_uint_eq(in_use(&sampler.table.more), 2);
    ticks(2); /* decided ones are remembered without */
    ck_assert_uint_eq(in_use(&sampler.table.traces), 3);
    ck_assert_uint_eq(in_use(&sampler.table.more), 0);
    file(TH_SPANS({.trace = 1, .id = 6}, {.trace = 2, .id = 7})); /* late */
    ck_assert_uint_eq(in_use(&sampler.table.more), 0);
    end();
}
END_TEST

/* Whatever is to be known of sizes, items or more than a few bits is kept from the first span on.
 */
START_TEST(policies_that_need_more_have_it)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                        "j", "k", "l", "m", "n", "o", "p", "q"};
    struct policy_settings many[ARRAY_LEN(names)], bytes = tb_bytes("bytes", 1000, 1000);

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        many[i] = tb_numeric(names[i], names[i], 7, 7, false);
    for (int i = 0; i < 2; i++) {
        begin(i ? many : &bytes, i ? ARRAY_LEN(many) : 1);
        file(TH_SPANS({.trace = 1, .id = 1, .attrs = {TH_INT("q", 7)}}, {.trace = 2, .id = 2}));
        ck_assert_uint_eq(in_use(&sampler.table.more), 2);
        ticks(2);
        ck_assert_uint_eq(host->ledger.fate[FATE_SAMPLED_OUT], i);
        end();
    }
}
END_TEST

/* ---- the same decisions ---- */

enum { TRACES = 400, MOST_SPANS = 4 };

static struct test_span random_span(uint64_t trace, uint64_t id)
{
    static const uint64_t times[] = {0, 0, 1, 400, 999, 1000, 1001, 1400, 2000};
    uint64_t start = times[random_next(&rnd) % ARRAY_LEN(times)],
             end = times[random_next(&rnd) % ARRAY_LEN(times)];

    return (struct test_span){.trace = trace,
                              .id = id,
                              .status = random_next(&rnd) % 40 == 0 ? 2 : 0,
                              .start_ns = start * NS_PER_MS,
                              .end_ns = end * NS_PER_MS + random_next(&rnd) % 2,
                              .attrs = {TH_INT("n", (int64_t)(random_next(&rnd) % 30))}};
}

/* Spans i, i + step, ... of all traces in one request. */
static void file_some(struct test_span spans[][MOST_SPANS], const uint32_t *n, uint32_t from,
                      uint32_t to)
{
    struct test_span *all = mem_alloc_array((size_t)TRACES * MOST_SPANS, sizeof(*all));
    size_t k = 0;

    for (uint32_t t = 0; t < TRACES; t++)
        for (uint32_t i = from; i < to && i < n[t]; i++)
            all[k++] = spans[t][i];
    if (k)
        file(all, k);
    free(all);
}

/* A sum over the ids of spans that were kept since `from`. */
static uint64_t kept(size_t from)
{
    uint64_t sum = 0;

    for (size_t i = from; i < host->n_out; i++)
        for (uint64_t k = 0; k < host->out[i]->n_spans; k++)
            sum += hash_bytes(th_span(host->out[i], k)->span_id, 8);
    return sum;
}

/* In one request, or in one for each span of a trace: what is kept is the same, times of 0 and all.
 */
START_TEST(spreading_spans_over_requests_changes_nothing)
{
    static struct test_span spans[TRACES][MOST_SPANS];
    static const char *const error[] = {"ERROR"};
    uint32_t n[TRACES];
    struct policy_settings ps[] = {
        tb_latency("slow", 999, 1500), tb_status("errors", (struct str_list){error, 1}),
        tb_numeric("n", "n", 7, 7, false), tb_count("three", 4, 0), tb_latency("very", 1999, 0)};

    for (uint64_t t = 0, id = 1; t < TRACES; t++) {
        n[t] = 1 + (uint32_t)(random_next(&rnd) % MOST_SPANS);
        for (uint32_t i = 0; i < n[t]; i++)
            spans[t][i] = random_span(t + 1, id++);
    }
    begin(ps, ARRAY_LEN(ps));
    file_some(spans, n, 0, MOST_SPANS);
    ticks(2);
    uint64_t together = kept(0), n_kept = th_out_spans(host);
    size_t seen = host->n_out;
    end();
    begin(ps, ARRAY_LEN(ps));
    for (uint32_t i = 0; i < MOST_SPANS; i++)
        file_some(spans, n, i, i + 1);
    ticks(2);
    ck_assert_uint_eq(kept(seen), together);
    ck_assert_uint_gt(n_kept, TRACES / 4);
    ck_assert_uint_gt(host->ledger.fate[FATE_SAMPLED_OUT], TRACES / 4);
    end();
}
END_TEST

/* ---- other policies ---- */

static void change(const struct policy_settings *ps, size_t n)
{
    struct tail_shared *before = shared;
    struct err err = {""};

    settings = tb_settings(ps, n);
    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, 0, &shared, &err), 0);
    tail_sampler_change(&sampler, &settings, shared);
    tail_shared_free(&before);
}

/* From policies that keep bits to some that keep more, and back: of a span alone and of two. */
START_TEST(policies_change_what_is_kept)
{
    struct policy_settings slow = tb_latency("slow", 1000, 0), count = tb_count("two", 2, 0);
    struct policy_settings both[] = {tb_bytes("bytes", 1, 1), slow};

    begin(&count, 1);
    file(TH_SPANS({.trace = 1, .id = 1, .end_ns = 2000 * NS_PER_MS, .start_ns = 1},
                  {.trace = 2, .id = 2, .start_ns = 1, .end_ns = 2},
                  {.trace = 3, .id = 3, .start_ns = 1, .end_ns = 2},
                  {.trace = 3, .id = 4, .start_ns = 1, .end_ns = 1999 * NS_PER_MS}));
    ck_assert_uint_eq(in_use(&sampler.table.more), 1);
    change(both, 2);
    ck_assert_uint_eq(in_use(&sampler.table.more), 3);
    change(&slow, 1); /* what is there is used */
    file(TH_SPANS({.trace = 2, .id = 5, .start_ns = 1, .end_ns = 3},
                  {.trace = 4, .id = 6, .start_ns = 1, .end_ns = 2}));
    ck_assert_uint_eq(in_use(&sampler.table.more), 3);
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 3);
    ck_assert_uint_eq(host->ledger.fate[FATE_SAMPLED_OUT], 3);
    end();
}
END_TEST

/* ---- memory ---- */

static uint64_t table_bytes(void)
{
    return budget_used_by(host->host.budget, MEM_TAIL) -
           (uint64_t)(sampler.log.in_use + sampler.log.n_pool) * SEG_BYTES - sampler.in.bytes;
}

/* The formula that validate prints is a bound for any traffic; a span alone takes less than two
 * thirds of it. */
START_TEST(the_formula_is_a_bound)
{
    enum { N = 60000, A_BATCH = 2000, SLACK = 64 << 10 /* begun chunks, what filing needs */ };
    struct policy_settings p = tb_latency("slow", 1000, 0);
    struct test_span *spans = mem_alloc_array(A_BATCH, sizeof(*spans));

    begin(&p, 1);
    uint64_t most = trace_table_bytes_for(N, tail_facts_bytes(sampler.policies));
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < N; i += A_BATCH) {
            for (uint64_t k = 0; k < A_BATCH; k++)
                spans[k] = (struct test_span){.trace = i + k + 1,
                                              .id = (uint64_t)round * N + i + k + 1,
                                              .start_ns = 1,
                                              .end_ns = 2};
            file(spans, A_BATCH);
        }
        ck_assert_uint_eq(sampler.table.n_traces, N);
        ck_assert_uint_le(table_bytes(), (round ? most : most / 3 * 2) + SLACK);
    }
    free(spans);
    end();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_trace");
    TCase *t = tcase_create("trace");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, only_a_second_span_needs_more);
    tcase_add_test(t, policies_that_need_more_have_it);
    tcase_add_test(t, spreading_spans_over_requests_changes_nothing);
    tcase_add_test(t, policies_change_what_is_kept);
    tcase_add_test(t, the_formula_is_a_bound);
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
