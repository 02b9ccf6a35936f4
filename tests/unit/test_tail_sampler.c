/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler with a clock that the test turns: late spans, bounds, caches, and a model of it all. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "component/gates.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_sampler.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

static struct test_host *host;
static struct policy_settings errors;
static struct tail_settings settings;
static struct tail_shared *shared;
static struct tail_sampler sampler;
static uint64_t rnd = 31;
static uint32_t gates;

static void setup(void)
{
    static const char *const error[] = {"ERROR"};

    hash_seed(11);
    host = th_new();
    errors = tb_status("errors", (struct str_list){error, 1});
    settings = tb_settings(&errors, 1);
}

static void begin(void)
{
    struct err err = {""};

    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, gates, &shared, &err), 0);
    tail_sampler_init(&sampler, &host->host, &settings, shared);
}

static void teardown(void)
{
    tail_sampler_fini(&sampler);
    tail_shared_free(&shared);
    th_free(&host); /* checks the books and the budget */
}

/* Files a payload as the component does. False: refused. */
static bool file_payload(struct payload *p)
{
    struct batch *b = th_batch(host, p);
    bool ok = tail_sampler_prepare(&sampler, b->parts, b->n_parts, b->n_bytes, b->n_spans, false) == 0;

    if (ok)
        tail_sampler_file(&sampler, 0, 0, p->n_spans, NULL);
    if (!ok) {
        batch_refuse(&b, &(struct answer_detail){.answer = ANSWER_RETRY});
        return false;
    }
    tail_sampler_done(&sampler);
    b->ledger = NULL;
    batch_end(&b, FATE_FILTERED, NULL);
    return true;
}

#define FILE_SPANS(...) ck_assert(file_payload(th_payload(host, TH_SPANS(__VA_ARGS__))))

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

/* Other settings while traces are held. */
static void change(void)
{
    struct tail_shared *old = shared;
    struct err err = {""};

    ck_assert_int_eq(tail_shared_new(&settings, host->host.budget, host->host.gates, &shared, &err), 0);
    tail_sampler_change(&sampler, &settings, shared);
    tail_shared_free(&old);
}

/* ---- timing ---- */

START_TEST(decided_at_the_second_tick)
{
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2});
    ticks(1);
    ck_assert_uint_eq(host->n_out, 0);
    FILE_SPANS({.trace = 1, .id = 2, .parent = 1}); /* does not put it off */
    ticks(1);
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert_uint_eq(sampler.held_spans, 0);
}
END_TEST

START_TEST(a_root_brings_the_decision_forward)
{
    settings.decision_wait_ns = TB_S(10);
    settings.decision_wait_after_root_received_ns = TB_S(1);
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .parent = 5, .status = 2}, {.trace = 2, .id = 2, .parent = 5, .status = 2});
    ticks(3);
    FILE_SPANS({.trace = 1, .id = 5});
    ticks(1);
    ck_assert_uint_eq(host->n_out, 0);
    ticks(1);
    ck_assert_uint_eq(th_out_spans(host), 2);
    ticks(6);
    ck_assert_uint_eq(th_out_spans(host), 3);
}
END_TEST

/* ---- late spans, caches ---- */

START_TEST(late_spans_follow_the_decision)
{
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 1);
    FILE_SPANS({.trace = 1, .id = 3}, {.trace = 2, .id = 4, .status = 2}, {.trace = 2, .id = 5});
    ck_assert_uint_eq(th_out_spans(host), 2); /* at once */
    ck_assert_uint_eq(SAMPLED_OUT, 3);
    ck_assert(th_metric(host, OTEL("sampling_late_span_age_count")) == 2);
    ck_assert(th_metric(host, "tailrace_tail_sampling_late_spans{sampled=\"true\"}") == 1);
    ck_assert(th_metric(host, "tailrace_tail_sampling_late_spans{sampled=\"false\"}") == 2);
    ck_assert(th_metric(host, OTEL("new_trace_id_received")) == 2);
    ck_assert_uint_eq(sampler.table.n_traces, 2);
}
END_TEST

/* Guarantees: the spans of a late trace in one ResourceSpans are one item, however they are mixed with others. */
START_TEST(late_items_are_counted_once)
{
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(2);
    FILE_SPANS({.trace = 1, .id = 3}, {.trace = 2, .id = 4}, {.trace = 1, .id = 5}, {.trace = 2, .id = 6}, {.trace = 1, .id = 7});
    ck_assert(th_metric(host, OTEL("sampling_late_span_age_count")) == 2);
    ck_assert_uint_eq(th_out_spans(host), 4);
    FILE_SPANS({.trace = 1, .id = 8}); /* another request, another item */
    ck_assert(th_metric(host, OTEL("sampling_late_span_age_count")) == 3);
    change(); /* keeps what it has for counting */
    FILE_SPANS({.trace = 1, .id = 9}, {.trace = 2, .id = 10}, {.trace = 1, .id = 11});
    ck_assert(th_metric(host, OTEL("sampling_late_span_age_count")) == 5);
}
END_TEST

START_TEST(caches_take_the_decision_over)
{
    settings.decision_cache = (struct cache_settings){100, 100};
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(2);
    ck_assert_uint_eq(sampler.table.n_traces, 0);
    FILE_SPANS({.trace = 1, .id = 3}, {.trace = 2, .id = 4, .status = 2}, {.trace = 3, .id = 5});
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert_uint_eq(SAMPLED_OUT, 2);
    ck_assert_uint_eq(sampler.table.n_traces, 1);
    ck_assert(th_metric(host, OTEL("early_releases_from_cache_decision{sampled=\"true\"}")) == 1);
    ck_assert(th_metric(host, OTEL("early_releases_from_cache_decision{sampled=\"false\"}")) == 1);
    ck_assert(th_metric(host, OTEL("sampling_late_span_age_count")) <= 0);
    ck_assert(th_metric(host, "tailrace_tail_sampling_late_spans{sampled=\"true\"}") == 1);
    ck_assert(th_metric(host, "tailrace_tail_sampling_late_spans{sampled=\"false\"}") == 1);
}
END_TEST

START_TEST(one_cache_alone_keeps_the_others_in_the_table)
{
    settings.decision_cache.sampled_cache_size = 10;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(2);
    ck_assert_uint_eq(sampler.table.n_traces, 1);
    FILE_SPANS({.trace = 1, .id = 3}, {.trace = 2, .id = 4});
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert_uint_eq(SAMPLED_OUT, 2);
}
END_TEST

/* ---- bounds ---- */

START_TEST(num_traces_decides_the_oldest_early)
{
    settings.num_traces = 2;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2});
    FILE_SPANS({.trace = 2, .id = 2});
    FILE_SPANS({.trace = 3, .id = 3}); /* 1 has to go: kept */
    ck_assert_uint_eq(th_out_spans(host), 1);
    FILE_SPANS({.trace = 4, .id = 4}); /* 2 has to go: not kept */
    ck_assert_uint_eq(SAMPLED_OUT, 1);
    ck_assert_uint_eq(sampler.table.n_traces, 2);
    ck_assert(th_metric(host, "tailrace_tail_sampling_early_decisions{reason=\"num_traces\"}") == 2);
    ck_assert(th_metric(host, OTEL("sampling_trace_dropped_too_early")) == 2);
    ticks(2);
    FILE_SPANS({.trace = 5, .id = 5}, {.trace = 6, .id = 6}, {.trace = 5, .id = 7}); /* decided ones go first */
    ck_assert(th_metric(host, "tailrace_tail_sampling_early_decisions{reason=\"num_traces\"}") == 2);
    ck_assert(th_metric(host, OTEL("sampling_trace_removal_age_count")) == 4);
    ck_assert(th_metric(host, "tailrace_tail_sampling_early_decision_age_count") == 2);
}
END_TEST

START_TEST(num_traces_zero_is_one)
{
    settings.num_traces = 0;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2, .status = 2});
    ck_assert_uint_eq(th_out_spans(host), 1);
    ck_assert_uint_eq(sampler.table.n_traces, 1);
}
END_TEST

/* 40 KB a request. */
static bool file_much(uint64_t trace, bool error)
{
    static char text[40000];
    struct test_span span = {.trace = trace, .id = trace, .status = error ? 2 : 0, .attrs = {TH_STR("text", text)}};

    memset(text, 'x', sizeof(text) - 1);
    return file_payload(th_payload(host, &span, 1));
}

START_TEST(the_byte_bound_decides_the_oldest_early)
{
    settings.buffer_limit_mib = 2;
    settings.decision_wait_ns = TB_S(1000);
    begin();
    for (uint64_t i = 1; i <= 200; i++) {
        ck_assert(file_much(i, i % 10 == 0));
        ck_assert_uint_le(seg_log_held_bytes(&sampler.log), 2 << 20);
        th_out_end(host);
    }
    ck_assert_uint_ge(host->ledger.fate[FATE_EXPORTED], 13);
    ck_assert_uint_ge(SAMPLED_OUT, 110);
    ck_assert_uint_ge(sampler.held_spans, 30); /* and not more than had to go */
    ck_assert(th_metric(host, "tailrace_tail_sampling_early_decisions{reason=\"buffer_limit\"}") >= 120);
}
END_TEST

START_TEST(a_full_budget_refuses_and_loses_nothing)
{
    th_budget(host, 4 << 20, 4 << 20);
    settings.decision_wait_ns = TB_S(1000);
    host->emit = TH_KEEP; /* what goes out stays charged */
    begin();
    unsigned filed = 0;
    while (filed < 1000 && budget_used(host->host.budget) < (4 << 20) - 200000 && file_much(filed + 1, true))
        filed++;
    ck_assert_uint_ge(filed, 30);
    ck_assert_uint_lt(filed, 1000);
    uint64_t in = sampler.held_spans + th_out_spans(host);
    ck_assert_uint_eq(in, filed);
    th_out_end(host); /* the backend lives again */
    ck_assert(file_much(5000, true));
    ticks(1);
    ck_assert_int_eq(host->ledger.held, (int64_t)(sampler.held_spans + th_out_spans(host)));
}
END_TEST

/* The next stage copies every batch, and works on it until the test takes it away. */
static unsigned copies_refused;

static void copy_and_keep(struct host *h, struct batch **take)
{
    struct batch *b = *take;
    uint64_t bytes = b->n_bytes;
    struct payload *p = batch_edit(b, 0);

    (void)h;
    copies_refused += !p || !payload_room(p, bytes);
    *take = NULL;
    host->out = mem_grow(host->out, (host->n_out + 1) * sizeof(*host->out));
    host->cap_out = (uint32_t)host->n_out + 1;
    host->out[host->n_out++] = b;
}

static uint64_t out_end_oldest(void)
{
    uint64_t n = host->out[0]->n_spans;

    batch_exported(&host->out[0]);
    host->n_out--;
    memmove(host->out, host->out + 1, host->n_out * sizeof(*host->out));
    return n;
}

START_TEST(what_is_sent_leaves_room_to_work_on_it)
{
    struct policy_settings all = tb_policy("all", "always_sample");
    uint64_t filed = 0, out = 0, blocked = 0;
    enum tail_work w;

    th_budget(host, 16 << 20, 20 << 20);
    settings = tb_settings(&all, 1);
    settings.decision_wait_ns = TB_S(1000);
    settings.buffer_limit_mib = 100; /* the budget is what bounds */
    begin();
    host->host.emit_fn = copy_and_keep;
    while (budget_used(host->host.budget) < 15 << 20 && file_much(filed + 1, false))
        filed++;
    ck_assert_uint_ge(filed, 200);
    tail_sampler_end(&sampler, false);
    while ((w = tail_sampler_work(&sampler, NS_PER_SEC)) != TAIL_IDLE) {
        ck_assert_uint_lt(blocked, 10000);
        blocked += w == TAIL_BLOCKED;
        if (w == TAIL_BLOCKED && host->n_out)
            out += out_end_oldest();
    }
    while (host->n_out)
        out += out_end_oldest();
    ck_assert_uint_eq(copies_refused, 0);
    ck_assert_uint_gt(blocked, 5);
    ck_assert_uint_eq(out, filed);
}
END_TEST

#define SPAN_OF_53 .name = "a", .start_ns = 1, .end_ns = 2
#define ITEM_OF_53 (61 + 24 + 6) /* with the resource and scope of th_payload() */

START_TEST(a_trace_that_grows_too_large_goes_at_once)
{
    struct policy_settings all = tb_policy("all", "always_sample");

    settings = tb_settings(&all, 1);
    settings.maximum_trace_size_bytes = 2 * ITEM_OF_53;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, SPAN_OF_53}, {.trace = 2, .id = 2, SPAN_OF_53});
    FILE_SPANS({.trace = 1, .id = 3, SPAN_OF_53}, {.trace = 2, .id = 4, SPAN_OF_53, .trace_state = "a=b"});
    ck_assert_uint_eq(host->ledger.dropped[DROP_TOO_LARGE], 2);
    ck_assert_uint_eq(sampler.held_spans, 2);
    ck_assert(th_metric(host, OTEL("traces_dropped_too_large")) == 1);
    FILE_SPANS({.trace = 2, .id = 5}); /* late */
    ck_assert_uint_eq(host->ledger.dropped[DROP_TOO_LARGE], 3);
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert(th_metric(host, OTEL("global_count_traces_sampled{decision=\"sampled\",sampled=\"true\"}")) == 1);
    ck_assert(th_metric(host, OTEL("global_count_traces_sampled{decision=\"not_sampled\",sampled=\"false\"}")) <= 0);
    FILE_SPANS({.trace = 1, .id = 6, .name = "a kept trace is never too large"});
    ck_assert_uint_eq(th_out_spans(host), 3);
}
END_TEST

START_TEST(bytes_are_those_of_the_whole_trace)
{
    struct policy_settings bytes = tb_bytes("bytes", 1, 2 * (2 + ITEM_OF_53));

    settings = tb_settings(&bytes, 1);
    begin();
    FILE_SPANS({.trace = 1, .id = 1, SPAN_OF_53}, {.trace = 2, .id = 2, SPAN_OF_53});
    FILE_SPANS({.trace = 2, .id = 3, SPAN_OF_53}, {.trace = 1, .id = 4, SPAN_OF_53, .kind = 1});
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert_uint_eq(th_span(host->out[0], 0)->trace_id[15], 2);
}
END_TEST

/* ---- span-ingest ---- */

START_TEST(items_are_judged_as_they_come)
{
    struct policy_settings ps[] = {errors, tb_count("four", 4, 0), tb_latency("slow", 100, 0)};

    settings = tb_settings(ps, 3);
    settings.sampling_strategy = "span-ingest";
    begin();
    FILE_SPANS({.trace = 1, .id = 1}, {.trace = 2, .id = 2}, {.trace = 1, .id = 3}, {.trace = 3, .id = 4, .start_ns = 1, .end_ns = 60000000});
    ck_assert_uint_eq(host->n_out, 0);
    FILE_SPANS({.trace = 1, .id = 5, .status = 2}, {.trace = 3, .id = 6, .start_ns = 90000000, .end_ns = 150000000});
    ck_assert_uint_eq(th_out_spans(host), 3); /* trace 1, at once; trace 3 is slow only as a whole */
    FILE_SPANS({.trace = 1, .id = 7}, {.trace = 2, .id = 8}, {.trace = 2, .id = 9}, {.trace = 2, .id = 10});
    ck_assert_uint_eq(th_out_spans(host), 3 + 1 + 4); /* the count is that of the trace */
    ck_assert_uint_eq(sampler.table.n_traces, 3);
    ticks(2);
    ck_assert_uint_eq(SAMPLED_OUT, 2);
    ck_assert_uint_eq(sampler.table.n_traces, 2); /* at its slot what nothing decided is forgotten */
    FILE_SPANS({.trace = 1, .id = 11}, {.trace = 3, .id = 14});
    ck_assert_uint_eq(sampler.wheel.n, 1);
    tail_sampler_end(&sampler, false);
    FILE_SPANS({.trace = 4, .id = 12, .status = 2}, {.trace = 5, .id = 13});
    ticks(1);
    ck_assert_uint_eq(th_out_spans(host), 10);
    ck_assert_uint_eq(SAMPLED_OUT, 4);
    ck_assert_uint_eq(sampler.held_spans, 0);
}
END_TEST

START_TEST(items_drop_or_wait_for_good)
{
    struct policy_settings ps[] = {tb_policy("all", "always_sample"), tb_drop("drop", &errors, 1)};

    settings = tb_settings(ps, 2);
    settings.sampling_strategy = "span-ingest";
    begin();
    FILE_SPANS({.trace = 1, .id = 1}, {.trace = 2, .id = 2});
    FILE_SPANS({.trace = 1, .id = 3, .status = 2});
    ck_assert_uint_eq(SAMPLED_OUT, 2);
    ck_assert(th_metric(host, OTEL("global_count_traces_sampled{decision=\"dropped\",sampled=\"false\"}")) == 1);
    ticks(2);
    ck_assert_uint_eq(SAMPLED_OUT, 3); /* a drop policy keeps the others from being asked */
    ck_assert_uint_eq(host->n_out, 0);
}
END_TEST

/* Many traces, few places: whatever is evicted on the way, every span has its fate. */
START_TEST(items_at_the_bounds)
{
    settings.sampling_strategy = "span-ingest";
    settings.num_traces = 20;
    settings.buffer_limit_mib = 1;
    begin();
    host->emit = TH_EXPORT;
    for (uint64_t i = 0, id = 1; i < 3000; i++) {
        struct test_span spans[12];

        for (int k = 0; k < 12; k++)
            spans[k] = (struct test_span){.trace = 1 + random_next(&rnd) % 60, .id = id++, .status = random_next(&rnd) % 40 ? 0 : 2};
        ck_assert(file_payload(th_payload(host, spans, 12)));
        if (i % 7 == 0)
            ticks(1);
    }
    tail_sampler_end(&sampler, false);
    ticks(1);
    ck_assert_uint_eq(sampler.held_spans, 0);
    ck_assert_uint_gt(host->n_emitted_spans, 500);
    ck_assert_uint_eq(host->n_emitted_spans + SAMPLED_OUT, 36000);
}
END_TEST

/* ---- feature gates ---- */

/* Value of a scope attribute of span k of what came out; "" if it has none. */
static const char *scope_attr(size_t batch, uint32_t k, const char *key)
{
    static struct buf text;
    const struct payload *p = host->out[batch]->parts[0].payload;
    struct attr a;

    buf_clear(&text);
    if (attr_find(p->scopes[p->spans[k].scope].scope, SCOPE_ATTRIBUTES, slice_str(key), &a)) {
        struct any v = any_parse(a.value);

        ck_assert_int_eq(any_as_string(&v, &text), 0);
    }
    buf_putc(&text, 0);
    return (const char *)text.p;
}

START_TEST(the_winning_policy_is_recorded)
{
    const struct policy_settings subs[] = {tb_count("many", 3, 0), tb_policy("rest", "always_sample")};
    struct policy_settings ps[] = {tb_percent("half", "", 100), tb_percent("most", "", 99.99), errors,
                                   tb_composite("comp", 1000, subs, 2, NULL, 0)};

    gates = GATE_BIT(GATE_TAIL_RECORD_POLICY);
    settings = tb_settings(&ps[1], 3);
    settings.decision_cache.sampled_cache_size = 10;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2}, {.trace = 3, .id = 3}, {.trace = 3, .id = 4}, {.trace = 1, .id = 5});
    ticks(2);
    ck_assert_uint_eq(host->n_out, 1);
    ck_assert_uint_eq(th_out_spans(host), 5);
    for (uint32_t k = 0; k < 5; k++) {
        const struct span *sp = &host->out[0]->parts[0].payload->spans[k];

        ck_assert_str_eq(scope_attr(0, k, "tailsampling.policy"), sp->trace_id[15] == 1 ? "errors" : "comp");
        ck_assert_str_eq(scope_attr(0, k, "tailsampling.composite_policy"), "rest");
        ck_assert_str_eq(scope_attr(0, k, "tailsampling.cached_decision"), "");
    }
    ck_assert_uint_eq(host->out[0]->parts[0].payload->n_scopes, 2); /* still shared */
    FILE_SPANS({.trace = 1, .id = 6});
    ck_assert_uint_eq(host->n_out, 2);
    ck_assert_str_eq(scope_attr(1, 0, "tailsampling.policy"), "errors");
    ck_assert_str_eq(scope_attr(1, 0, "tailsampling.composite_policy"), "");
    ck_assert_str_eq(scope_attr(1, 0, "tailsampling.cached_decision"), "true");
}
END_TEST

START_TEST(late_spans_are_not_stamped)
{
    struct policy_settings ps[] = {tb_percent("some", "", 99.999), tb_and("and", &ps[0], 1), tb_not("not", tb_count("", 9, 0))};

    gates = GATE_BIT(GATE_TAIL_RECORD_POLICY);
    settings = tb_settings(ps, 3);
    begin();
    FILE_SPANS({.trace = 1, .id = 1});
    ticks(2);
    FILE_SPANS({.trace = 1, .id = 2});
    ck_assert_str_eq(scope_attr(0, 0, "tailsampling.policy"), "not"); /* the smallest threshold */
    ck_assert_str_eq(scope_attr(1, 0, "tailsampling.policy"), "");
}
END_TEST

START_TEST(votes_are_counted_in_spans_and_bytes)
{
    gates = GATE_BIT(GATE_TAIL_COUNT_SPANS) | GATE_BIT(GATE_TAIL_COUNT_BYTES);
    begin();
    FILE_SPANS({.trace = 1, .id = 1, SPAN_OF_53}, {.trace = 2, .id = 2, .status = 2});
    FILE_SPANS({.trace = 1, .id = 3, SPAN_OF_53});
    ticks(2);
    ck_assert(th_metric(host, OTEL("count_spans_sampled{decision=\"not_sampled\",policy=\"errors\",sampled=\"false\"}")) == 2);
    ck_assert(th_metric(host, OTEL("count_spans_sampled{decision=\"sampled\",policy=\"errors\",sampled=\"true\"}")) == 1);
    ck_assert(th_metric(host, OTEL("count_bytes_sampled{decision=\"not_sampled\",policy=\"errors\",sampled=\"false\"}")) ==
              2 * ITEM_OF_53);
}
END_TEST

/* ---- explaining ---- */

static const char *explained(uint64_t trace)
{
    static struct buf text;
    uint8_t id[16];

    th_trace_id(trace, id);
    buf_clear(&text);
    tail_sampler_explain(&sampler, id, &text);
    buf_putc(&text, 0);
    return (const char *)text.p;
}

static void ck_says(uint64_t trace, const char *what)
{
    ck_assert_msg(strstr(explained(trace), what) != NULL, "no \"%s\" in:\n%s", what, explained(trace));
}

START_TEST(decisions_are_explained)
{
    struct policy_settings ps[] = {errors, tb_latency("slow", 100, 0)};

    settings = tb_settings(ps, 2);
    settings.explain_decisions = 3;
    begin();
    ck_assert_str_eq(explained(1), "");
    FILE_SPANS({.trace = 1, .id = 1, .status = 2, .start_ns = 1000000, .end_ns = 3500000}, {.trace = 1, .id = 2, .start_ns = 2000000, .end_ns = 3000000}, {.trace = 2, .id = 3});
    ck_says(1, "none yet: due in 2 s");
    ck_says(1, "shop");
    ck_says(1, "duration      2.500 ms");
    ck_says(1, "status_code: found");
    ticks(2);
    ck_says(1, "decision      sampled");
    ck_says(1, "its time had come");
    ck_says(1, "spans         2");
    ck_says(1, "services      shop\n");
    ck_says(1, "policy errors                   sampled       (status_code: found)");
    ck_says(1, "policy slow                     not sampled");
    ck_says(2, "decision      not sampled");
    ck_says(2, "status_code: not found");
    FILE_SPANS({.trace = 3, .id = 4}, {.trace = 4, .id = 5});
    tail_sampler_end(&sampler, false);
    ticks(1);
    ck_says(3, "early: shutdown");
    ck_says(2, "not sampled"); /* 2, 3, 4 */
    ck_says(1, "more is not remembered");
    ck_assert_str_eq(explained(9), "");
}
END_TEST

static struct policy_settings only_errors_drop(void)
{
    static const char *const error[] = {"ERROR"};
    static struct policy_settings sub;
    struct policy_settings drop = tb_policy("noise", "drop");

    sub = tb_status("sub", (struct str_list){error, 1});
    drop.drop.drop_sub_policy = (struct item_list){&sub, 1};
    return drop;
}

/* Guarantees: whatever became of a trace is said, with who decided it, why then, and what becomes of late spans. */
START_TEST(every_outcome_is_explained)
{
    struct policy_settings ps[] = {only_errors_drop(), tb_count("three", 3, 0)};

    settings = tb_settings(ps, 2);
    settings.explain_decisions = 10;
    settings.num_traces = 4;
    settings.maximum_trace_size_bytes = 500;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2}, {.trace = 2, .id = 3}, {.trace = 2, .id = 4}, {.trace = 3, .id = 5});
    ticks(2);
    ck_says(1, "decision      dropped\n  decided by    noise\n");
    ck_says(1, "late spans    are not sampled either: the decision is in the table");
    ck_says(2, "decision      sampled\n  decided by    three\n");
    ck_says(2, "late spans    are sent on at once: the decision is in the table");
    ck_assert_ptr_null(strstr(explained(3), "decided by"));
    for (uint64_t i = 0; i < 12; i++)
        FILE_SPANS({.trace = 4, .id = 10 + i});
    ck_says(4, "at once: larger than maximum_trace_size_bytes; no policy was asked");
    ck_says(4, "policy three                    not asked");
    ck_says(4, "late spans    are dropped (too_large): the decision is in the table");
    for (uint64_t i = 5; i < 10; i++) /* the decided ones are forgotten, then the oldest is decided */
        FILE_SPANS({.trace = i, .id = 100 + i});
    ck_says(5, "early: num_traces was reached");
    ck_says(2, "decision      sampled\n");
    ck_says(2, "late spans    would begin a new trace");
}
END_TEST

START_TEST(items_are_explained)
{
    settings.sampling_strategy = "span-ingest";
    settings.explain_decisions = 10;
    settings.decision_cache = (struct cache_settings){10, 10};
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ck_says(1, "when          as its spans came (span-ingest)");
    ck_says(1, "late spans    are sent on at once: the decision is in the decision cache");
    ticks(2);
    ck_says(2, "when          its time had come");
    ck_says(2, "late spans    are not sampled either: the decision is in the decision cache");
}
END_TEST

/* Guarantees: asking is no use: what a cache forgets next does not depend on who was asked about. */
START_TEST(asking_changes_nothing)
{
    settings.decision_cache.sampled_cache_size = 2;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2, .status = 2});
    ticks(2);
    ck_says(1, "sampled, says the decision cache");
    ck_says(1, "decided by    errors");
    FILE_SPANS({.trace = 3, .id = 3, .status = 2});
    ticks(2);
    ck_assert_str_eq(explained(1), "");
    ck_says(2, "says the decision cache");
}
END_TEST

START_TEST(what_is_not_remembered_costs_nothing)
{
    settings.decision_cache = (struct cache_settings){100, 100};
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(2);
    ck_says(1, "sampled, says the decision cache");
    ck_says(2, "not sampled, says the decision cache");
    ck_assert_ptr_null(sampler.explain.ring);
}
END_TEST

/* A trace that never ends among many that do must not keep their memory. */
START_TEST(a_long_trace_does_not_pin_memory)
{
    settings.decision_wait_ns = TB_S(1000);
    settings.decision_wait_after_root_received_ns = TB_S(1);
    settings.num_traces = 100000;
    begin();
    uint64_t most = 0;
    for (uint64_t round = 0; round < 60; round++) {
        for (uint64_t i = 0; i < 20; i++)
            file_much(1000 + round * 20 + i, false);
        FILE_SPANS({.trace = 1, .id = round + 1, .parent = 77, .status = 2});
        ticks(1);
        most = seg_log_held_bytes(&sampler.log) > most ? seg_log_held_bytes(&sampler.log) : most;
    }
    ck_assert_uint_eq(sampler.wheel.n, 21);
    ck_assert_uint_le(most, 4 << 20);
    FILE_SPANS({.trace = 1, .id = 77});
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 61);
    for (uint64_t i = 0; i < 60; i++) { /* in the order they came */
        uint8_t id[8] = {0, 0, 0, 0, 0, 0, 0, (uint8_t)(i + 1)};
        ck_assert_int_eq(memcmp(th_span(host->out[0], i)->span_id, id, 8), 0);
    }
}
END_TEST

/* ---- output ---- */

START_TEST(output_is_regrouped)
{
    const struct test_span e1[] = {{.trace = 1, .id = 1, .status = 2, .name = "e1", .start_ns = 5, .end_ns = 9, .kind = 3,
                                    .attrs = {TH_STR("k", "v")}}};
    const struct test_span e2[] = {{.trace = 2, .id = 2, .status = 2}, {.trace = 3, .id = 3, .status = 2}};
    struct test_group g[] = {{.resource = {TH_STR("service.name", "a")}, .scope = "s", .spans = e1, .n_spans = 1},
                             {.resource = {TH_STR("service.name", "b")}, .scope = "s", .scope_schema = "u", .spans = e2, .n_spans = 2}};

    begin();
    for (int i = 0; i < 3; i++) { /* the same resources in three requests */
        ck_assert(file_payload(th_payload_groups(host, g, 2)));
        ck_assert(file_payload(th_payload_groups(host, &g[1], 1)));
    }
    ticks(2);
    ck_assert_uint_eq(host->n_out, 1);
    const struct payload *p = host->out[0]->parts[0].payload;
    ck_assert_uint_eq(p->n_spans, 3 + 6 + 6);
    ck_assert_uint_eq(p->n_resources, 2);
    ck_assert_uint_eq(p->n_scopes, 2);
    ck_assert(slice_eq(p->scopes[1].schema_url, slice_str("u")));
    const struct span *s = &p->spans[0];
    ck_assert_str_eq(th_span_name(s), "e1");
    ck_assert_str_eq(th_span_attr(s, "k"), "v");
    ck_assert_uint_eq(s->start_ns, 5);
    ck_assert_uint_eq(s->end_ns, 9);
    ck_assert_uint_eq(s->kind, 3);
    ck_assert_uint_eq(s->status, 2);
    ck_assert(s->flags & SPAN_ROOT);
}
END_TEST

START_TEST(batches_are_bounded)
{
    struct test_span *spans = mem_alloc_array(20000, sizeof(*spans));

    begin();
    for (uint32_t i = 0; i < 20000; i++)
        spans[i] = (struct test_span){.trace = 1, .id = i + 1, .status = 2, .name = "n"};
    ck_assert(file_payload(th_payload(host, spans, 20000)));
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 20000);
    ck_assert_uint_ge(host->n_out, 3);
    for (size_t i = 0; i < host->n_out; i++)
        ck_assert_uint_le(host->out[i]->n_spans, EMIT_SPANS + 2000); /* and one run of 64 KiB */
    free(spans);
}
END_TEST

/* ---- policies in the counters ---- */

START_TEST(first_match_stops)
{
    struct policy_settings ps[] = {tb_policy("all", "always_sample"), errors};

    settings = tb_settings(ps, 2);
    settings.sample_on_first_match = true;
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2});
    ticks(2);
    ck_assert(th_metric(host, OTEL("sampling_policy_execution_count{policy=\"all\"}")) == 1);
    ck_assert(th_metric(host, OTEL("sampling_policy_execution_count{policy=\"errors\"}")) == 0);
    ck_assert(th_metric(host, OTEL("count_traces_sampled{decision=\"sampled\",policy=\"all\",sampled=\"true\"}")) == 1);
}
END_TEST

START_TEST(counters_of_votes_and_decisions)
{
    struct policy_settings drop = tb_drop("d", &errors, 1);
    struct policy_settings ps[] = {tb_policy("all", "always_sample"), errors, drop};

    settings = tb_settings(ps, 3);
    host->host.id = "tail_sampling/x";
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2}, {.trace = 3, .id = 3});
    ticks(2);
    ck_assert(th_metric(host, OTEL("count_traces_sampled{decision=\"dropped\",policy=\"x.d\",sampled=\"false\"}")) == 1);
    ck_assert(th_metric(host, OTEL("count_traces_sampled{decision=\"not_sampled\",policy=\"x.d\",sampled=\"false\"}")) == 2);
    ck_assert(th_metric(host, OTEL("count_traces_sampled{decision=\"not_sampled\",policy=\"x.errors\",sampled=\"false\"}")) == 2);
    ck_assert(th_metric(host, OTEL("count_traces_sampled{decision=\"sampled\",policy=\"x.all\",sampled=\"true\"}")) == 2);
    ck_assert(th_metric(host, OTEL("global_count_traces_sampled{decision=\"sampled\",sampled=\"true\"}")) == 2);
    ck_assert(th_metric(host, OTEL("global_count_traces_sampled{decision=\"dropped\",sampled=\"false\"}")) == 1);
    ck_assert(th_metric(host, OTEL("sampling_traces_on_memory")) == 3);
    ck_assert(th_metric(host, OTEL("sampling_decision_timer_latency_count")) == 2);
    ck_assert(th_metric(host, "tailrace_tail_sampling_held_spans") == 0);
}
END_TEST

/* ---- a model ---- */

enum { TRACES = 6000, MAX_SPANS = 1 << 17 };

struct model_trace {
    bool begun, decided, kept;
    uint32_t at_tick;
    bool error;
    uint64_t min_ns, max_ns;
};
static struct model_trace model[TRACES];
static uint8_t expected[MAX_SPANS], got[MAX_SPANS]; /* by span id: comes out? */
static uint32_t n_ids, now_tick;

static void model_span(const struct test_span *s)
{
    struct model_trace *t = &model[s->trace];

    if (!t->begun)
        *t = (struct model_trace){.begun = true, .at_tick = now_tick + 4, .min_ns = UINT64_MAX};
    if (t->decided) {
        expected[s->id] = t->kept;
        return;
    }
    if (!s->parent && t->at_tick > now_tick + 2)
        t->at_tick = now_tick + 2;
    t->error |= s->status == 2;
    t->min_ns = s->start_ns < t->min_ns ? s->start_ns : t->min_ns;
    t->max_ns = s->end_ns > t->max_ns ? s->end_ns : t->max_ns;
}

/* New traces all the time, and late spans of those before. */
static uint64_t random_trace(void)
{
    uint64_t window = n_ids / 25;
    uint64_t back = random_next(&rnd) % 10 ? random_next(&rnd) % 120 : random_next(&rnd) % 1000;

    return 1 + (window > back ? window - back : random_next(&rnd) % 20) % (TRACES - 1);
}

static struct test_span random_span(void)
{
    uint64_t start_ns = 1000000000 + random_next(&rnd) % 1000000000;
    uint64_t id = ++n_ids;

    return (struct test_span){.trace = random_trace(), .id = id,
                              .parent = random_next(&rnd) % 8 ? 1 : 0, .status = random_next(&rnd) % 25 ? 0 : 2,
                              .start_ns = start_ns, .end_ns = start_ns + random_next(&rnd) % 400000000,
                              .attrs = {TH_INT("id", (int64_t)id)}};
}

static uint32_t trace_of[MAX_SPANS];

static void random_request(void)
{
    struct test_span spans[60];
    size_t n = 1 + random_next(&rnd) % 60;

    for (size_t i = 0; i < n; i++) {
        spans[i] = random_span();
        if (i > 0 && random_next(&rnd) % 2)
            spans[i].trace = spans[i - 1].trace;
        trace_of[spans[i].id] = (uint32_t)spans[i].trace;
        model_span(&spans[i]);
    }
    ck_assert(file_payload(th_payload(host, spans, n)));
}

static void model_tick(void)
{
    now_tick++;
    for (uint32_t t = 1; t < TRACES; t++) {
        struct model_trace *m = &model[t];

        if (!m->begun || m->decided || m->at_tick != now_tick)
            continue;
        m->decided = true;
        m->kept = m->error || (m->max_ns - m->min_ns) / 1000000 > 1200;
        for (uint32_t id = 1; id <= n_ids; id++)
            if (trace_of[id] == t)
                expected[id] |= m->kept;
    }
}

static void note_output(void)
{
    for (size_t i = 0; i < host->n_out; i++)
        for (uint64_t k = 0; k < host->out[i]->n_spans; k++) {
            uint64_t id = (uint64_t)atoll(th_span_attr(th_span(host->out[i], k), "id"));

            ck_assert_uint_eq(got[id], 0); /* never twice */
            got[id] = 1;
        }
    th_out_end(host);
}

START_TEST(random_traffic_against_a_model)
{
    struct policy_settings ps[] = {errors, tb_latency("slow", 1200, 0)};
    uint64_t kept = 0;

    settings = tb_settings(ps, 2);
    settings.decision_wait_ns = TB_S(3);
    settings.decision_wait_after_root_received_ns = TB_S(1);
    if (_i == 1)
        settings.decision_cache = (struct cache_settings){5000, 5000};
    begin();
    for (int step = 0; step < 900 && n_ids < MAX_SPANS - 100; step++) {
        random_request();
        if (step % 20 == 0) {
            ticks(1);
            model_tick();
            note_output();
        }
    }
    for (int i = 0; i < 6; i++) {
        ticks(1);
        model_tick();
    }
    note_output();
    for (uint32_t id = 1; id <= n_ids; id++) {
        ck_assert_msg(got[id] == expected[id], "span %u of trace %u", id, trace_of[id]);
        kept += got[id];
    }
    ck_assert_uint_gt(kept, n_ids / 10);
    ck_assert_uint_lt(kept, n_ids - n_ids / 10);
    ck_assert_uint_eq(SAMPLED_OUT, n_ids - kept);
    ck_assert_uint_eq(sampler.held_spans, 0);
    ck_assert_uint_eq(sampler.log.live_bytes, 0);
}
END_TEST

/* Every bound at once, output that fails now and then: every span has one fate. */
START_TEST(random_pressure_keeps_the_books)
{
    settings.decision_wait_ns = TB_S(3);
    settings.num_traces = 90;
    settings.buffer_limit_mib = 1;
    settings.decision_cache = (struct cache_settings){30, 60};
    th_budget(host, 3 << 20, 3 << 20);
    begin();
    uint64_t filed = 0, refused = 0;
    for (int step = 0; step < 4000; step++) {
        struct test_span spans[40];
        static char text[3000];
        size_t n = 1 + random_next(&rnd) % 40;

        memset(text, 'y', sizeof(text) - 1);
        for (size_t i = 0; i < n; i++) {
            spans[i] = random_span();
            spans[i].attrs[1] = (struct test_attr)TH_STR("text", text + random_next(&rnd) % 2900);
        }
        if (budget_used(host->host.budget) > (3 << 20) - 300000 || step % 13 == 0)
            th_out_end(host);
        if (file_payload(th_payload(host, spans, n)))
            filed += n;
        else
            refused += n;
        if (step % 7 == 0)
            ticks(1);
        ck_assert_int_eq(host->ledger.held, (int64_t)(sampler.held_spans + th_out_spans(host)));
        ck_assert_uint_le(sampler.table.n_traces - sampler.n_leaving, 90);
    }
    ck_assert_uint_gt(filed, 50000);
    ck_assert_uint_eq(host->ledger.dropped[DROP_MEMORY], 0);
    ck_assert_uint_eq(host->ledger.accepted, filed + refused);
}
END_TEST

/* ---- other settings while traces are held ---- */

/* One request of several resources, some spans of it larger than a segment. */
static void file_random(void)
{
    static const char *const services[] = {"a", "b", "c"}, *const words[] = {"x", "y", "z"};
    struct test_span spans[3][8];
    struct test_group groups[3];
    char *long_text = mem_alloc(300001);

    memset(long_text, 'q', 300000);
    for (int g = 0; g < 3; g++) {
        for (int i = 0; i < 8; i++) {
            uint64_t start = random_next(&rnd) % 1000 * 1000000;

            spans[g][i] = (struct test_span){.trace = 1 + random_next(&rnd) % 60,
                                             .id = random_next(&rnd) | 1,
                                             .parent = random_next(&rnd) % 2,
                                             .status = random_next(&rnd) % 16 == 0 ? 2 : 0,
                                             .start_ns = start,
                                             .end_ns = start + random_next(&rnd) % 300 * 1000000,
                                             .attrs = {TH_STR("word", words[random_next(&rnd) % 3]),
                                                       TH_INT("n", (int64_t)(random_next(&rnd) % 100)),
                                                       TH_STR("text", random_next(&rnd) % 50 ? "" : long_text)}};
        }
        groups[g] = (struct test_group){.resource = {TH_STR("service.name", services[random_next(&rnd) % 3])},
                                        .scope = "s", .spans = spans[g], .n_spans = 8};
    }
    ck_assert(file_payload(th_payload_groups(host, groups, 3)));
    free(long_text);
}

static void setup_policies(struct policy_settings *ps, unsigned which, unsigned *n)
{
    static const char *const b[] = {"b"}, *const y[] = {"y|never"};

    *n = 0;
    if (which & 1)
        ps[(*n)++] = errors;
    if (which & 2)
        ps[(*n)++] = tb_latency("slow", 1150, 0);
    if (which & 4)
        ps[(*n)++] = tb_string("service", "service.name", (struct str_list){b, 1}, false, false);
    if (which & 8)
        ps[(*n)++] = tb_string("word", "word", (struct str_list){y, 1}, true, true);
    if (which & 16)
        ps[(*n)++] = tb_numeric("n", "n", 98, 99, false);
    if (which & 32)
        ps[(*n)++] = tb_count("many", 14, 0);
    settings.policies = (struct item_list){ps, *n};
}

/* Kept spans, as a sum over their ids, when the settings become `after` half way. */
static uint64_t kept_after(unsigned before, unsigned after)
{
    struct policy_settings first[8], second[8];
    uint64_t sum = 0;
    unsigned n;

    setup();
    rnd = 77;
    settings.decision_wait_ns = TB_S(5);
    settings.maximum_trace_size_bytes = (before | after) & 64 ? 100000000 : 0;
    setup_policies(first, before, &n);
    begin();
    for (int i = 0; i < 20; i++)
        file_random();
    ticks(2);
    if (before != after) {
        setup_policies(second, after, &n);
        change();
    }
    for (int i = 0; i < 20; i++)
        file_random();
    ck_assert_uint_eq(host->n_out, 0);
    ticks(8);
    ck_assert_uint_eq(sampler.held_spans, 0);
    for (size_t i = 0; i < host->n_out; i++)
        for (uint64_t k = 0; k < host->out[i]->n_spans; k++)
            sum += hash_bytes(th_span(host->out[i], k)->span_id, 8);
    ck_assert_uint_eq(th_out_spans(host) + SAMPLED_OUT, 40ull * 24);
    teardown();
    return sum;
}

/* Decisions are those of the new policies, as if they had been there from the start. */
START_TEST(new_policies_judge_what_is_held)
{
    static const unsigned pairs[][2] = {{1, 2}, {1, 4}, {1, 8}, {1, 16}, {1, 32}, {63, 1}, {2, 61}, {60, 3}, {66, 72}, {1, 66}};

    th_free(&host); /* each run has its own */
    ck_assert_uint_eq(kept_after(pairs[_i][0], pairs[_i][1]), kept_after(pairs[_i][1], pairs[_i][1]));
    ck_assert_uint_ne(kept_after(pairs[_i][0], pairs[_i][0]), kept_after(pairs[_i][1], pairs[_i][1]));
    setup();
    begin();
}
END_TEST

START_TEST(bounds_and_caches_change)
{
    settings.decision_cache = (struct cache_settings){100, 100};
    settings.decision_wait_ns = TB_S(100);
    begin();
    FILE_SPANS({.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(3);
    settings.decision_wait_ns = TB_S(1);
    change();
    ticks(1);
    ck_assert_uint_eq(host->n_out, 0);
    ticks(1); /* as soon as one that began with the change */
    ck_assert_uint_eq(th_out_spans(host), 1);
    settings.decision_cache = (struct cache_settings){7, 7};
    settings.num_traces = 5;
    change();
    FILE_SPANS({.trace = 1, .id = 3}, {.trace = 2, .id = 4, .status = 2}); /* late, and known */
    ck_assert_uint_eq(th_out_spans(host), 2);
    ck_assert_uint_eq(SAMPLED_OUT, 2);
    for (uint64_t i = 0; i < 9; i++)
        FILE_SPANS({.trace = 10 + i, .id = 10 + i, .status = 2});
    ck_assert_uint_le(sampler.wheel.n, 5);
    settings.decision_cache = (struct cache_settings){0};
    change();
    ticks(2);
    ck_assert_uint_eq(th_out_spans(host), 11);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_sampler");
    TCase *t = tcase_create("sampler");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, decided_at_the_second_tick);
    tcase_add_test(t, a_root_brings_the_decision_forward);
    tcase_add_test(t, late_spans_follow_the_decision);
    tcase_add_test(t, late_items_are_counted_once);
    tcase_add_test(t, caches_take_the_decision_over);
    tcase_add_test(t, one_cache_alone_keeps_the_others_in_the_table);
    tcase_add_test(t, num_traces_decides_the_oldest_early);
    tcase_add_test(t, num_traces_zero_is_one);
    tcase_add_test(t, the_byte_bound_decides_the_oldest_early);
    tcase_add_test(t, a_full_budget_refuses_and_loses_nothing);
    tcase_add_test(t, what_is_sent_leaves_room_to_work_on_it);
    tcase_add_test(t, a_trace_that_grows_too_large_goes_at_once);
    tcase_add_test(t, bytes_are_those_of_the_whole_trace);
    tcase_add_test(t, items_are_judged_as_they_come);
    tcase_add_test(t, items_drop_or_wait_for_good);
    tcase_add_test(t, items_at_the_bounds);
    tcase_add_test(t, the_winning_policy_is_recorded);
    tcase_add_test(t, late_spans_are_not_stamped);
    tcase_add_test(t, votes_are_counted_in_spans_and_bytes);
    tcase_add_test(t, decisions_are_explained);
    tcase_add_test(t, every_outcome_is_explained);
    tcase_add_test(t, items_are_explained);
    tcase_add_test(t, asking_changes_nothing);
    tcase_add_test(t, what_is_not_remembered_costs_nothing);
    tcase_add_test(t, a_long_trace_does_not_pin_memory);
    tcase_add_loop_test(t, new_policies_judge_what_is_held, 0, 10);
    tcase_add_test(t, bounds_and_caches_change);
    tcase_add_test(t, output_is_regrouped);
    tcase_add_test(t, batches_are_bounded);
    tcase_add_test(t, first_match_stops);
    tcase_add_test(t, counters_of_votes_and_decisions);
    tcase_add_loop_test(t, random_traffic_against_a_model, 0, 2);
    tcase_add_test(t, random_pressure_keeps_the_books);
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
