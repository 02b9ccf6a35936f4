/* SPDX-License-Identifier: Apache-2.0 */
/* The segment log: what is written is read back, dead segments come free, survivors move. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "platform/hash.h"
#include "processors/tail_segment.h"

enum { TRACES = 300, MAX_RUNS = 64 };

/* One trace of the model: the runs it should consist of. */
struct model_run {
    uint32_t len, n_spans, scope, stored;
    uint64_t seed;
};
struct model_trace {
    uint32_t first, last;
    uint32_t n_runs;
    struct model_run runs[MAX_RUNS];
};

static struct budget *budget;
static struct seg_log logs;
static struct model_trace *traces;
static uint64_t rnd = 12345;

static void setup(void)
{
    budget = budget_new(0, 0);
    seg_log_init(&logs, budget);
    traces = mem_alloc_array(TRACES + 1, sizeof(*traces));
}

static void teardown(void)
{
    seg_log_fini(&logs);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
    free(traces);
}

static uint8_t byte_at(uint64_t seed, uint32_t i)
{
    return (uint8_t)((seed + i) * 2654435761u >> 24);
}

static void write_run(struct model_trace *t, uint32_t owner, struct model_run run)
{
    uint8_t chunk[1000];
    struct seg_writer w;

    ck_assert_int_eq(seg_log_reserve(&logs, run.len, run.n_spans), 0);
    logs.stored = run.stored;
    seg_begin(&w, &logs, owner, run.scope, t->last);
    for (uint32_t i = 0, n; i < run.len; i += n) {
        n = run.len - i < sizeof(chunk) ? run.len - i : sizeof(chunk);
        for (uint32_t k = 0; k < n; k++)
            chunk[k] = byte_at(run.seed, i + k);
        seg_write(&w, chunk, n, i == 0 ? run.n_spans : 0);
    }
    seg_end(&w);
    if (!t->last)
        t->first = w.first;
    t->last = w.last;
    t->runs[t->n_runs++] = run;
}

/* Reads one run at ref; returns the ref behind it. */
static uint32_t verify_run(uint32_t ref, uint32_t owner, const struct model_run *run)
{
    uint32_t at = 0, n_spans = 0, stored = run->stored;

    for (;;) {
        const struct record *r = seg_at(&logs, ref);

        ck_assert_uint_eq(r->owner, owner);
        ck_assert_uint_eq(r->scope, run->scope);
        ck_assert_uint_eq(rec_stored(r), stored); /* of its first record alone */
        stored = 0;
        n_spans += r->n_spans;
        for (uint32_t i = 0; i < r->len; i++)
            if (rec_bytes(r)[i] != byte_at(run->seed, at + i))
                ck_abort_msg("byte %u of a run differs", at + i);
        at += r->len;
        if (r->next)
            ck_assert_uint_eq(rec_prev(seg_at(&logs, r->next)), ref);
        ref = r->next;
        if (!r->more)
            break;
    }
    ck_assert_uint_eq(at, run->len);
    ck_assert_uint_eq(n_spans, run->n_spans);
    return ref;
}

static void verify_trace(uint32_t i)
{
    uint32_t ref = traces[i].first;

    for (uint32_t k = 0; k < traces[i].n_runs; k++)
        ref = verify_run(ref, i, &traces[i].runs[k]);
    ck_assert_uint_eq(ref, 0);
}

static void drop_trace(uint32_t i)
{
    for (uint32_t ref = traces[i].first; ref;) {
        uint32_t next = seg_at(&logs, ref)->next;

        seg_drop(&logs, ref);
        ref = next;
    }
    traces[i] = (struct model_trace){0};
}

static void on_moved(void *ctx, uint32_t owner, uint32_t from, uint32_t to)
{
    (void)ctx;
    if (traces[owner].first == from)
        traces[owner].first = to;
    if (traces[owner].last == from)
        traces[owner].last = to;
}

static struct model_run random_run(uint32_t max_len)
{
    return (struct model_run){.len = 1 + (uint32_t)(random_next(&rnd) % max_len),
                              .n_spans = 1 + (uint32_t)(random_next(&rnd) % 50),
                              .stored = (uint32_t)(random_next(&rnd) % 3),
                              .scope = (uint32_t)(random_next(&rnd) % 9), .seed = random_next(&rnd)};
}

START_TEST(a_run_larger_than_a_segment_is_cut_and_whole)
{
    struct model_run run = {.len = 3 * SEG_BYTES + 77, .n_spans = 1, .scope = 3, .seed = 5};

    write_run(&traces[1], 1, run);
    write_run(&traces[1], 1, (struct model_run){.len = 10, .n_spans = 2, .scope = 4, .seed = 6});
    ck_assert_uint_eq(logs.in_use, 4);
    verify_trace(1);
    drop_trace(1);
    ck_assert_uint_eq(logs.live_bytes, 0);
    ck_assert_uint_eq(logs.in_use, 1); /* the one being written */
}
END_TEST

/* Against a plain model: random runs, deaths and moves. */
START_TEST(random_life)
{
    for (int step = 0; step < 6000; step++) {
        uint32_t i = 1 + (uint32_t)(random_next(&rnd) % TRACES);

        if (random_next(&rnd) % 12 == 0)
            drop_trace(i);
        else if (traces[i].n_runs < MAX_RUNS)
            write_run(&traces[i], i, random_run(step % 50 ? 900 : 400000));
        if (step % 97 == 0)
            seg_log_compact(&logs, 1 + (uint32_t)(random_next(&rnd) % 3), 4, on_moved, NULL);
        if (step % 31 == 0)
            seg_log_trim(&logs);
        verify_trace(i);
    }
    for (uint32_t i = 1; i <= TRACES; i++) {
        verify_trace(i);
        drop_trace(i);
    }
    ck_assert_uint_eq(logs.live_bytes, 0);
    ck_assert_uint_le(logs.in_use, 2);
}
END_TEST

/* Traces that die in the order they came leave nothing behind, and the pool shrinks. */
START_TEST(segments_come_free_in_order)
{
    for (uint32_t i = 1; i <= TRACES; i++)
        write_run(&traces[i], i, (struct model_run){.len = SEG_BYTES / 4, .n_spans = 1, .seed = i});
    ck_assert_uint_ge(logs.in_use, TRACES / 4);
    for (uint32_t i = 1; i <= TRACES / 2; i++)
        drop_trace(i);
    ck_assert_uint_le(logs.in_use, TRACES / 8 + 2);
    ck_assert_uint_ge(budget_used(budget), (uint64_t)TRACES / 4 * SEG_BYTES);
    for (int i = 0; i < 40; i++)
        seg_log_trim(&logs);
    ck_assert_uint_le(budget_used(budget), (uint64_t)(TRACES / 8 + 3) * SEG_BYTES);
}
END_TEST

/* One small survivor in each of many segments: they end up in one. */
START_TEST(survivors_do_not_pin_segments)
{
    for (uint32_t i = 1; i <= 100; i++) {
        write_run(&traces[1], 1, (struct model_run){.len = 100, .n_spans = 1, .seed = i % 7});
        traces[1].n_runs = traces[1].n_runs > 60 ? 60 : traces[1].n_runs;
        if (i <= 60)
            traces[1].runs[i - 1].seed = i % 7;
        write_run(&traces[2], 2, (struct model_run){.len = SEG_BYTES - 200, .n_spans = 1, .seed = i});
        drop_trace(2);
        if (i >= 60)
            break;
    }
    ck_assert_uint_ge(logs.in_use, 55);
    ck_assert_uint_ge(seg_log_compact(&logs, 1, 4, on_moved, NULL), 55);
    ck_assert_uint_le(logs.in_use, 3);
    verify_trace(1);
}
END_TEST

START_TEST(a_refused_reserve_changes_nothing)
{
    budget_set_limits(budget, 3 * SEG_BYTES, 3 * SEG_BYTES);
    ck_assert_int_eq(seg_log_reserve(&logs, 10 * SEG_BYTES, 1), -1);
    write_run(&traces[1], 1, (struct model_run){.len = 2 * SEG_BYTES, .n_spans = 1, .seed = 1});
    ck_assert_int_eq(seg_log_reserve(&logs, 2 * SEG_BYTES, 1), -1);
    verify_trace(1);
    seg_log_trim_all(&logs);
    drop_trace(1);
    ck_assert_int_eq(seg_log_reserve(&logs, SEG_BYTES, 1), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_segment");
    TCase *t = tcase_create("log");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_run_larger_than_a_segment_is_cut_and_whole);
    tcase_add_test(t, random_life);
    tcase_add_test(t, segments_come_free_in_order);
    tcase_add_test(t, survivors_do_not_pin_segments);
    tcase_add_test(t, a_refused_reserve_changes_nothing);
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
