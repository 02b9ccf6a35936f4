/* SPDX-License-Identifier: Apache-2.0 */
/* probabilistic_sampler: thresholds and hashes against the Collector's figures, trace states in and
 * out, errors, priorities, metrics and books. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/hash.h"
#include "processors/processors.h"
#include "processors/sampling_math.h"
#include "processors/trace_state.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

/* ---- numbers ---- */

START_TEST(thresholds_of_percentages)
{
    static const struct {
        double percent;
        uint64_t threshold;
    } rows[] = {{100, 0},
                {99.9, 0x00418900000000},
                {75, 0x40000000000000},
                {50, 0x80000000000000},
                {33.333333, 0xaaab0000000000},
                {25, 0xc0000000000000},
                {10, 0xe6660000000000},
                {5, 0xf3333000000000},
                {1, 0xfd70a000000000},
                {0.1, 0xffbe7700000000},
                {0.01, 0xfff97240000000}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_uint_eq(sampling_threshold((double)(float)rows[i].percent / 100, 4), rows[i].threshold);
    ck_assert_uint_eq(sampling_threshold(0x1p-56, 14), SAMPLING_NEVER - 1);
    ck_assert_uint_eq(sampling_threshold(0x1p-57, 14), SAMPLING_NEVER);
    ck_assert_uint_eq(sampling_threshold(0.5, -100), 0);
    ck_assert_double_eq(sampling_probability(sampling_threshold(0.25, 4)), 0.25);
    ck_assert_double_eq(sampling_probability(SAMPLING_NEVER), 0);
}
END_TEST

START_TEST(thresholds_of_the_hash)
{
    static const struct {
        float percent;
        uint64_t n;
    } rows[] = {{0.1f, 16},    {1, 163},      {5, 819},      {10, 1638},       {15, 2457},  {25, 4096},
                {33.3f, 5455}, {50, 8192},    {75, 12288},   {99.9f, 16367},   {100, 16384}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_uint_eq(sampling_hash_threshold(rows[i].percent), (0x4000 - rows[i].n) << 42);
    ck_assert_uint_eq(sampling_hash_threshold(0.001f), SAMPLING_NEVER);
}
END_TEST

static void trace_id(const char *hex, uint8_t id[static 16])
{
    for (int i = 0; i < 16; i++)
        id[i] = (uint8_t)strtoul((char[]){hex[2 * i], hex[2 * i + 1], 0}, NULL, 16);
}

START_TEST(hashes_of_trace_ids)
{
    static const struct {
        const char *id;
        uint32_t seed;
        bool at_25, at_50;
        uint64_t r; /* 0: not given */
    } rows[] = {{"4bf92f3577b34da6a3ce929d0e0e4736", 0, true, true, 0xfdc80d0b42008d},
                {"0af7651916cd43dd8448eb211c80319c", 0, false, true, 0},
                {"00000000000000000000000000000001", 0, false, false, 0},
                {"4bf92f3577b34da6a3ce929d0e0e4736", 22, false, false, 0},
                {"0af7651916cd43dd8448eb211c80319c", 22, true, true, 0xf984040d03019e},
                {"00000000000000000000000000000001", 22, false, true, 0}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t id[16];
        uint64_t r;

        trace_id(rows[i].id, id);
        r = sampling_hash_randomness(id, rows[i].seed);
        ck_assert(rows[i].r == 0 || r == rows[i].r);
        ck_assert((sampling_hash_threshold(25) <= r) == rows[i].at_25);
        if (rows[i].seed == 0)
            ck_assert((sampling_hash_threshold(50) <= r) == rows[i].at_50);
    }
}
END_TEST

/* ---- trace states ---- */

static bool round_trip(const char *in, char *out)
{
    static struct trace_state ts;
    bool fine = trace_state_parse(&ts, slice_str(in));

    *trace_state_write(&ts, (uint8_t *)out) = '\0';
    return fine;
}

START_TEST(trace_states)
{
    static const struct {
        const char *in;
        bool fine;
        const char *out;
    } rows[] = {{"", true, ""},
                {"a=b", true, "a=b"},
                {"a=b, ot=th:8", true, "ot=th:8,a=b"},
                {"ot=x:y;th:C;rv:ABCDEF01234567;z:", true, "ot=rv:ABCDEF01234567;th:C;x:y;z:"},
                {" a=b ,\tc=d,,", true, "a=b,c=d"},
                {"a= b", true, "a= b"},
                {"1x@y=1,a=1,a=2", true, "1x@y=1,a=1,a=2"},
                {"ot=th:8;a:b,ot=rv:ffffffffffffff", true, "ot=rv:ffffffffffffff"},
                {"v=1,ot=th:zz", false, "v=1"},
                {"v=1,ot=th:123456789abcdef", false, "v=1"},
                {"v=1,ot=th:;rv:12", false, "v=1"},
                {"ot=rv:1234567890123;a:b", false, "ot=a:b"},
                {"ot=TH:8", false, ""},
                {"ot=th:8;", false, ""},
                {"ot=;th:8", false, ""},
                {"ot=", false, ""},
                {"a=b,bad", false, ""},
                {"a=b=c", false, ""},
                {"A=b", false, ""},
                {"a=\xc3\xa9", false, ""},
                {"x@y@z=1", false, ""},
                {"x@Y=1", false, ""},
                {"x@abcdefghijklmno=1", false, ""},
                {"=1", false, ""}};
    char out[2000];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(round_trip(rows[i].in, out) == rows[i].fine, "%s", rows[i].in);
        ck_assert_str_eq(out, rows[i].out);
    }
}
END_TEST

START_TEST(trace_states_have_limits)
{
    char in[3000] = "", out[3000], key[400];

    for (int i = 0; i < 31; i++)
        strcat(in, i ? ",a=1" : "a=1");
    ck_assert(round_trip(in, out) && strcmp(in, out) == 0);
    strcat(in, ",a=1");
    ck_assert(!round_trip(in, out));

    memset(in, 'x', 2000);
    memcpy(in, "a=", 2);
    in[258] = '\0';
    ck_assert(round_trip(in, out));
    in[258] = 'x', in[259] = '\0';
    ck_assert(!round_trip(in, out));

    memset(key, 'k', sizeof(key));
    snprintf(in, sizeof(in), "%.256s=1", key);
    ck_assert(round_trip(in, out));
    snprintf(in, sizeof(in), "%.257s=1", key);
    ck_assert(!round_trip(in, out));
    snprintf(in, sizeof(in), "%.241s@a=1", key);
    ck_assert(round_trip(in, out));
    snprintf(in, sizeof(in), "%.242s@a=1", key);
    ck_assert(!round_trip(in, out));
    snprintf(in, sizeof(in), "ot=a:%.254s", key);
    ck_assert(round_trip(in, out));
    snprintf(in, sizeof(in), "ot=a:%.255s", key);
    ck_assert(!round_trip(in, out));
}
END_TEST

/* Any bytes: what was taken for a trace state is one again when written. */
START_TEST(any_text_is_read_safely)
{
    static const char letters[] = "ot=rv:th;,a@ 01fF-\t\xc3";
    uint64_t rng = 7;
    char in[64], out[200], again[200];

    for (int round = 0; round < 200000; round++) {
        size_t n = random_next(&rng) % 40;

        for (size_t i = 0; i < n; i++)
            in[i] = letters[random_next(&rng) % (sizeof(letters) - 1)];
        memcpy(in + n, "", 1);
        if (round % 2)
            memcpy(in, "ot=th:8", 8);
        if (round_trip(in, out)) {
            ck_assert_msg(round_trip(out, again), "%s -> %s", in, out);
            ck_assert_str_eq(out, again);
        }
    }
}
END_TEST

/* ---- the processor ---- */

struct rig {
    struct test_settings s;
    struct test_host *t;
    struct component *c;
};

static struct rig rig_new(const char *yaml)
{
    struct rig r = {.s = ts_new(&probabilistic_sampler_type, yaml), .t = th_new()};

    ck_assert_str_eq(ts_problems(&r.s), "");
    r.c = th_component(r.t, &probabilistic_sampler_type, r.s.settings);
    return r;
}

static void rig_free(struct rig *r)
{
    th_component_free(r->t, &r->c);
    th_free(&r->t);
    ts_free(&r->s);
}

/* The trace state a span leaves with; "dropped" when it does not. */
static const char *through(const char *yaml, const struct test_span *s)
{
    static char text[1200];
    struct rig r = rig_new(yaml);

    snprintf(text, sizeof(text), "dropped");
    th_push(r.c, th_batch(r.t, th_payload(r.t, s, 1)));
    if (r.t->n_out) {
        const struct span *out = th_span(r.t->out[0], 0);
        struct slice state = field_bytes(span_body(out), SPAN_TRACE_STATE);
        struct span facts;

        ck_assert(otlp_span_facts(span_body(out), &facts) == 0);
        ck_assert_uint_eq(facts.flags, out->flags);
        ck_assert_str_eq(th_span_name(out), "op");
        snprintf(text, sizeof(text), "%.*s", (int)state.len, (const char *)state.p);
        th_out_end(r.t);
    } else {
        ck_assert_uint_eq(r.t->ledger.fate[FATE_SAMPLED_OUT], 1);
    }
    rig_free(&r);
    return text;
}

/* The test spans' trace ids end in the eight bytes of .trace: R is its last seven. */
#define HIGH 0xe00000000000ffull /* R; hashed with seed 0 it is what the rows say */
static const struct {
    const char *yaml, *state, *out;
    struct test_attr priority;
} rows[] = {
    {"{sampling_percentage: 100}", "a=b", "ot=rv:a8bc3ec4b2d5d0;th:0,a=b", {0}},
    {"{sampling_percentage: 100}", "ot=x:y", "ot=rv:a8bc3ec4b2d5d0;th:0;x:y", {0}},
    {"{sampling_percentage: 100}", "ot=th:8", "dropped", {0}},
    {"{sampling_percentage: 100, fail_closed: false}", "ot=th:8", "ot=th:8", {0}},
    {"{sampling_percentage: 100, fail_closed: false}", "ot=rv:00000000000001", "ot=rv:00000000000001", {0}},
    {"{sampling_percentage: 100}", "bad,", "dropped", {0}},
    {"{sampling_percentage: 100, fail_closed: false}", "bad,", "bad,", {0}},
    {"{sampling_percentage: 0}", "", "dropped", {0}},
    {"{sampling_percentage: 0, fail_closed: false}", "bad,", "ot=th:0", {0}},
    {"{sampling_percentage: 0.001, fail_closed: false}", "bad,", "ot=th:0", {0}}, /* no bucket */
    {"{}", "a=b", "dropped", {0}},
    {"{fail_closed: false}", "v=1,ot=th:zz", "ot=th:0,v=1", {0}},
    {"{mode: proportional, sampling_percentage: 25}", "", "ot=th:c", {0}},
    {"{mode: proportional, sampling_percentage: 10}", "", "dropped", {0}},
    {"{mode: proportional, sampling_percentage: 50}", "ot=th:8,a=b", "ot=th:c,a=b", {0}},
    {"{mode: proportional, sampling_percentage: 50}", "ot=th:c", "ot=th:e", {0}},
    {"{mode: proportional, sampling_percentage: 25}", "ot=th:c", "dropped", {0}},
    {"{mode: proportional, sampling_percentage: 10}", "ot=rv:f0000000000000", "ot=rv:f0000000000000;th:e666", {0}},
    {"{mode: proportional, sampling_percentage: 100}", "ot=th:f", "dropped", {0}},
    {"{mode: proportional, sampling_percentage: 50, fail_closed: false}", "ot=th:f;q:r", "ot=th:0;q:r", {0}},
    {"{mode: proportional, sampling_percentage: 50, fail_closed: false}", "bad,", "bad,", {0}},
    {"{mode: equalizing, sampling_percentage: 25}", "", "ot=th:c", {0}},
    {"{mode: equalizing, sampling_percentage: 25}", "ot=th:8", "ot=th:c", {0}},
    {"{mode: equalizing, sampling_percentage: 50}", "ot=th:C00", "ot=th:c", {0}},
    {"{mode: equalizing, sampling_percentage: 33.333333, sampling_precision: 2}", "", "ot=th:ab", {0}},
    {"{mode: equalizing, sampling_percentage: 33.333333, sampling_precision: 14}", "", "ot=th:aaaaaae147ae14", {0}},
    /* priorities */
    {"{sampling_percentage: 0}", "", "ot=th:0", TH_INT("sampling.priority", 1)},
    {"{sampling_percentage: 0}", "ot=th:8;rv:00000000000000", "ot=rv:00000000000000;th:8", TH_INT("sampling.priority", 1)},
    {"{sampling_percentage: 100}", "", "dropped", TH_INT("sampling.priority", 0)},
    {"{sampling_percentage: 100}", "", "dropped", TH_DBL("sampling.priority", 0)},
    {"{sampling_percentage: 100}", "", "dropped", TH_STR("sampling.priority", "0.0")},
    {"{sampling_percentage: 0}", "", "dropped", TH_INT("sampling.priority", -1)},
    {"{sampling_percentage: 0}", "", "dropped", TH_STR("sampling.priority", "high")},
    {"{sampling_percentage: 0}", "", "dropped", TH_BOOL("sampling.priority", 1)},
    {"{sampling_percentage: 0}", "", "ot=th:0", TH_STR("sampling.priority", "1_0")},
    {"{sampling_percentage: 0}", "", "ot=th:0", TH_DBL("sampling.priority", 0.1)},
    {"{sampling_percentage: 0.1}", "", "ot=rv:a8bc3ec4b2d5d0;th:0", TH_INT("sampling.priority", 1)},
    {"{sampling_percentage: 1}", "ot=th:8", "ot=th:8", TH_INT("sampling.priority", 1)},
    {"{sampling_percentage: 1}", "bad,", "bad,", TH_INT("sampling.priority", 1)},
    {"{mode: equalizing, sampling_percentage: 1}", "ot=th:C", "ot=th:C", TH_INT("sampling.priority", 1)},
    {"{mode: equalizing, sampling_percentage: 1}", "ot=th:f", "ot=th:0", TH_INT("sampling.priority", 1)},
};

START_TEST(spans_and_their_trace_states)
{
    struct test_span s = {.trace = HIGH, .id = 1, .name = "op", .trace_state = rows[_i].state, .start_ns = 5, .attrs = {rows[_i].priority}};

    ck_assert_str_eq(through(rows[_i].yaml, &s), rows[_i].out);
}
END_TEST

START_TEST(shares_books_and_metrics)
{
    struct rig r = rig_new("{mode: equalizing, sampling_percentage: 25}");
    struct payload *p = th_payload_n(r.t, 0, 1);
    struct test_span spans[64] = {{0}};

    payload_unref(&p);
    for (size_t i = 0; i < 64; i++)
        spans[i] = (struct test_span){.trace = (uint64_t)(i + 1) << 50 & 0xffffffffffffff, .id = i + 1, .name = "op", .start_ns = 5};
    th_push(r.c, th_batch(r.t, th_payload(r.t, spans, 63)));
    ck_assert_uint_eq(th_out_spans(r.t), 16);
    ck_assert_uint_eq(r.t->ledger.fate[FATE_SAMPLED_OUT], 47);
    ck_assert(th_balanced(r.t));
    ck_assert(th_metric(r.t, "otelcol_processor_probabilistic_sampler_count_traces_sampled{policy=\"trace_id_w3c\",sampled=\"true\"}") == 16);
    ck_assert(th_metric(r.t, "otelcol_processor_probabilistic_sampler_count_traces_sampled{policy=\"trace_id_w3c\",sampled=\"false\"}") == 47);
    ck_assert(th_metric(r.t, "otelcol_processor_incoming_items{otel_signal=\"traces\",processor=\"test\"}") == 63);
    ck_assert(th_metric(r.t, "otelcol_processor_outgoing_items{otel_signal=\"traces\",processor=\"test\"}") == 16);
    th_out_end(r.t);
    rig_free(&r);
}
END_TEST

START_TEST(a_batch_sampled_out_whole_is_answered)
{
    struct rig r = rig_new("{}");
    struct batch *b = th_batch(r.t, th_payload_n(r.t, 1, 5));

    b->waiter = th_wait(r.t);
    th_push(r.c, b);
    ck_assert_uint_eq(r.t->n_out, 0);
    ck_assert_uint_eq(r.t->waits[0]->times, 1);
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_OK);
    ck_assert_uint_eq(r.t->ledger.fate[FATE_SAMPLED_OUT], 5);
    rig_free(&r);
}
END_TEST

START_TEST(refused_memory_refuses_the_batch)
{
    struct test_settings s = ts_new(&probabilistic_sampler_type, "{sampling_percentage: 50}");
    struct test_host *t = th_new();
    struct component *c;
    struct batch *b;

    th_budget(t, 1 << 20, 1 << 20);
    c = th_component(t, &probabilistic_sampler_type, s.settings);
    b = th_batch(t, th_payload_n(t, 1, 100));
    b->waiter = th_wait(t);
    budget_set_limits(t->host.budget, budget_used(t->host.budget), budget_used(t->host.budget));
    th_push(c, b);
    ck_assert_uint_eq(t->n_out, 0);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 100);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(settings_that_are_refused)
{
    static const struct {
        const char *yaml, *problem;
    } bad[] = {{"{mode: x}", "mode"},
               {"{mode: HASH_SEED}", "mode"},
               {"{sampling_percentage: -5}", "sampling rate is negative: -5.000000%"},
               {"{sampling_percentage: .nan}", "sampling rate is invalid: NaN%"},
               {"{sampling_percentage: 1e39}", "sampling rate is invalid: +Inf%"},
               {"{sampling_percentage: 1.0e-16}", "sampling rate is too small: 1e-16%"},
               {"{sampling_precision: 0}", "invalid sampling precision: 0"},
               {"{sampling_precision: 15}", "sampling precision is too great, should be <= 14: 15"},
               {"{attribute_source: foo}", "attribute_source"},
               {"{hash_seed: -1}", "hash_seed"}};
    static const char *const good[] = {"{sampling_percentage: 200}", "{hash_seed: 4294967318}",                                        "{attribute_source: record, from_attribute: x, sampling_priority: y}", "{sampling_precision: -3}"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct test_settings s = ts_new(&probabilistic_sampler_type, bad[i].yaml);

        ck_assert_msg(strstr(ts_problems(&s), bad[i].problem) != NULL, "%s: %s", bad[i].yaml, ts_problems(&s));
        ts_free(&s);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct test_settings s = ts_new(&probabilistic_sampler_type, good[i]);

        ck_assert_str_eq(ts_problems(&s), "");
        ts_free(&s);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("probabilistic_sampler");
    TCase *numbers = tcase_create("numbers"), *states = tcase_create("trace states"), *work = tcase_create("work");

    tcase_add_test(numbers, thresholds_of_percentages);
    tcase_add_test(numbers, thresholds_of_the_hash);
    tcase_add_test(numbers, hashes_of_trace_ids);
    tcase_add_test(states, trace_states);
    tcase_add_test(states, trace_states_have_limits);
    tcase_add_test(states, any_text_is_read_safely);
    tcase_add_loop_test(work, spans_and_their_trace_states, 0, ARRAY_LEN(rows));
    tcase_add_test(work, shares_books_and_metrics);
    tcase_add_test(work, a_batch_sampled_out_whole_is_answered);
    tcase_add_test(work, refused_memory_refuses_the_batch);
    tcase_add_test(work, settings_that_are_refused);
    suite_add_tcase(s, numbers);
    suite_add_tcase(s, states);
    suite_add_tcase(s, work);
    tcase_set_timeout(states, 60);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
