/* SPDX-License-Identifier: Apache-2.0 */
/* filter: what is dropped and what stays, the books, error modes, settings that are refused. The
 * conditions themselves are in test_ottl.c. */
#include <check.h>
#include <stdlib.h>

#include "processors/processors.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

#define SPANS_3(first)                                                                             \
    {.trace = 1, .id = 1, .name = first, .kind = 2},                                               \
        {.trace = 1, .id = 2, .name = "b", .attrs = {TH_INT("i", 7)}},                             \
    {                                                                                              \
        .trace = 2, .id = 3, .name = "c", .event = "exception", .event_attrs = {                   \
            TH_STR("k", "v")                                                                       \
        }                                                                                          \
    }

static struct payload *two_groups(struct test_host *t)
{
    static const struct test_span spans[] = {SPANS_3("a")};
    const struct test_group groups[] = {
        {.resource = {TH_STR("service.name", "api")}, .scope = "s1", .spans = spans, .n_spans = 3},
        {.resource = {TH_STR("service.name", "db")}, .scope = "s2", .spans = spans, .n_spans = 2},
    };

    return th_payload_groups(t, groups, 2);
}

static char *names_out(const struct test_host *t)
{
    struct buf b = {0};

    for (size_t k = 0; k < t->n_out; k++)
        for (uint64_t i = 0; i < t->out[k]->n_spans; i++) {
            const struct span *s = th_span(t->out[k], i);

            buf_putf(&b, "%s%s%s", b.len ? " " : "", th_span_name(s),
                     s->flags & SPAN_HAS_EVENTS ? "!" : "");
        }
    buf_putc(&b, 0);
    return (char *)b.p;
}

/* Settings, then the names of the spans that are left of a b c! of api and a b of db. */
static const struct {
    const char *settings, *left;
} cases[] = {
    {"error_mode: ignore", "a b c! a b"},
    {"traces: {span: ['name == \"a\"']}", "b c! b"},
    {"traces: {span: ['name == \"a\"', 'attributes[\"i\"] == 7']}", "c!"},
    {"traces: {span: ['true']}", ""},
    {"traces: {resource: ['attributes[\"service.name\"] == \"db\"']}", "a b c!"},
    {"traces: {spanevent: ['name == \"exception\"']}", "a b c a b"},
    {"traces: {spanevent: ['span.name == \"x\"'], span: ['kind == 2'], resource: "
     "['attributes[\"service.name\"] == \"api\"']}",
     "b"},
    {"trace_conditions: ['span.name == \"a\"', 'resource.attributes[\"service.name\"] == \"db\"']",
     "b c!"},
    {"trace_conditions: ['scope.name == \"s1\"']", "a b"},
    {"trace_conditions: [{context: spanevent, conditions: ['name == \"exception\"']}, {context: "
     "span, conditions: ['Len(events) == 1']}]",
     "a b c a b"},
    {"trace_conditions: [{context: span, conditions: ['Len(events) == 1']}, {context: spanevent, "
     "conditions: ['name == \"exception\"']}]",
     "a b a b"},
    {"trace_conditions: [{conditions: ['span.name == \"a\"', 'resource.schema_url == \"x\"']}]",
     "b c! b"},
    {"spans: {include: {match_type: strict, services: [db]}}", "a b"},
    {"spans: {exclude: {match_type: regexp, span_names: ['^[ab]$']}}", "c!"},
    {"spans: {include: {match_type: strict, span_names: [a, b]}, exclude: {match_type: strict, "
     "attributes: [{key: i}]}}",
     "a a"},
    /* an error does not hold; the next condition is tried */
    {"error_mode: silent, traces: {span: ['Substring(name, 5, 1) == \"\"', 'name == \"a\"']}",
     "b c! b"},
    {"traces: {span: ['Substring(name, 5, 1) == \"\"', 'name == \"a\"']}", "b c! b"},
};

START_TEST(left)
{
    char *yaml = mem_printf("{%s}", cases[_i].settings), *names;
    struct test_settings s = ts_new(&filter_type, yaml);
    struct test_host *t = th_new();
    struct component *c;
    struct batch *b;
    size_t n_left = strlen(cases[_i].left) ? 1 : 0;

    ck_assert_str_eq(ts_problems(&s), "");
    for (const char *p = cases[_i].left; *p; p++)
        n_left += *p == ' ';
    c = th_component(t, &filter_type, s.settings);
    b = th_batch(t, two_groups(t));
    b->waiter = th_wait(t);
    th_push(c, b);
    names = names_out(t);
    ck_assert_str_eq(names, cases[_i].left);
    ck_assert_uint_eq(t->ledger.fate[FATE_FILTERED], 5 - n_left);
    ck_assert_uint_eq(t->ledger.held, n_left);
    ck_assert_int_eq((int)th_metric(t, "otelcol_processor_filter_spans_filtered{filter=\"test\"}"),
                     n_left == 5 ? -1 : (int)(5 - n_left));
    if (n_left == 0) { /* nothing goes on; the sender is content */
        ck_assert_uint_eq(t->n_out, 0);
        ck_assert_uint_eq(t->waits[0]->times, 1);
        ck_assert_int_eq(t->waits[0]->answer, ANSWER_OK);
    }
    th_out_end(t);
    free(names);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    free(yaml);
}
END_TEST

/* A batch that no condition hits goes on as it came: the same payload, whole. */
START_TEST(untouched)
{
    struct test_settings s =
        ts_new(&filter_type, "traces: {span: ['attributes[\"i\"] == 8'], spanevent: ['name == "
                             "\"x\"'], resource: ['schema_url == \"x\"']}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &filter_type, s.settings);
    struct payload *p = two_groups(t);

    th_push(c, th_batch(t, payload_ref(p)));
    ck_assert_uint_eq(t->n_out, 1);
    ck_assert_ptr_eq(t->out[0]->parts[0].payload, p);
    ck_assert(p->intact);
    payload_unref(&p);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* The span that loses an event keeps all else, and its neighbours keep their bytes. */
START_TEST(event_only)
{
    struct test_settings s =
        ts_new(&filter_type, "traces: {spanevent: ['attributes[\"k\"] == \"v\"']}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &filter_type, s.settings);
    struct payload *p = two_groups(t);
    const uint8_t *first = p->spans[0].rec;
    size_t len = p->spans[2].rec_len;

    th_push(c, th_batch(t, payload_ref(p)));
    ck_assert_ptr_eq(th_span(t->out[0], 0)->rec, first);
    ck_assert_uint_lt(th_span(t->out[0], 2)->rec_len, len);
    ck_assert_str_eq(th_span_name(th_span(t->out[0], 2)), "c");
    payload_unref(&p);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* However many events there are, all are asked about. */
START_TEST(many_events)
{
    enum { EVENTS = 9000, LEFT = EVENTS - EVENTS / 3 };
    struct test_settings s = ts_new(&filter_type, "traces: {spanevent: ['name == \"noise\"']}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &filter_type, s.settings);
    struct test_span span = {.trace = 1, .id = 2, .name = "a"};
    struct buf extra = {0}, event = {0};
    struct field_iter it;
    struct field f;
    size_t kept = 0;

    for (size_t i = 0; i < EVENTS; i++) {
        buf_clear(&event);
        ck_assert_int_eq(wire_put_bytes(&event, EVENT_NAME, slice_str(i % 3 == 2 ? "noise" : "work")), 0);
        ck_assert_int_eq(wire_put_bytes(&extra, SPAN_EVENTS, slice_of(event.p, event.len)), 0);
    }
    span.extra = slice_of(extra.p, extra.len);
    th_push(c, th_batch(t, th_payload(t, TH_SPANS(span))));
    for (it = field_iter(span_body(th_span(t->out[0], 0))); field_next(&it, &f);)
        if (f.number == SPAN_EVENTS) {
            ck_assert(slice_eq(field_bytes(f.bytes, EVENT_NAME), slice_str("work")));
            kept++;
        }
    ck_assert_uint_eq(kept, LEFT);
    buf_free(&event);
    buf_free(&extra);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(propagate)
{
    struct test_settings s =
        ts_new(&filter_type, "{error_mode: propagate, traces: {span: ['name == \"b\"', "
                             "'Len(attributes[\"i\"]) == 1', 'true']}}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &filter_type, s.settings);
    struct batch *b = th_batch(t, two_groups(t));

    ck_assert_str_eq(ts_problems(&s), "");
    b->waiter = th_wait(t);
    th_push(c, b);
    ck_assert_uint_eq(t->n_out, 0);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_ptr_nonnull(strstr(t->waits[0]->text, "Len(attributes"));
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 5);
    th_push(c, th_batch(t, two_groups(t))); /* nobody waits */
    ck_assert_uint_eq(t->ledger.dropped[DROP_ERROR], 5);
    ck_assert_uint_eq(t->ledger.fate[FATE_FILTERED], 0);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* No room for the tables of a part that loses spans: all of it goes back. */
START_TEST(no_memory)
{
    struct test_settings s = ts_new(&filter_type, "traces: {span: ['name == \"b\"']}");
    struct test_host *t = th_new();
    struct component *c;
    struct payload *p;
    struct batch *b;

    th_budget(t, 1 << 20, 1 << 20);
    c = th_component(t, &filter_type, s.settings);
    p = two_groups(t);
    b = th_batch(t, payload_ref(p)); /* shared: it cannot be edited in place */
    b->waiter = th_wait(t);
    budget_set_limits(t->host.budget, budget_used(t->host.budget), budget_used(t->host.budget));
    th_push(c, b);
    ck_assert_uint_eq(t->n_out, 0);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 5);
    payload_unref(&p);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

static const struct {
    const char *settings, *problem; /* how the first line begins */
} refused[] = {
    {"error_mode: foo", "error_mode"},
    {"traces: {span: ['nme == 1']}", "traces.span[0]: 1:1: segment \"nme\""},
    {"traces: {span: ['true'], resource: ['true', 'name == 1']}",
     "traces.resource[1]: 1:1: segment \"name\""},
    {"traces: {span: ['true']}, spans: {include: {match_type: strict, services: [a]}}",
     "traces: cannot be used together with \"spans\""},
    {"traces: {span: ['true']}, trace_conditions: ['span.name == \"x\"']",
     "traces: cannot be used together with \"trace_conditions\""},
    {"spans: {include: {match_type: strict}}", "spans.include"},
    {"trace_conditions: x", "trace_conditions: expected a list"},
    {"trace_conditions: [null]", "trace_conditions: condition cannot be empty"},
    {"trace_conditions: [5]", "trace_conditions: expected conditions"},
    {"trace_conditions: ['span.name == 1', {context: span}]",
     "trace_conditions: configuring multiple configuration styles"},
    {"trace_conditions: ['name == 1']", "trace_conditions[0]: unable to infer context"},
    {"trace_conditions: ['instrumentation_scope.name == 1']",
     "trace_conditions[0]: the context \"instrumentation_scope\""},
    {"trace_conditions: ['span.kind == 1', 'spanevent.name == 1 and IsRootSpan()']",
     "trace_conditions[1]: 1:25: undefined function"},
    {"trace_conditions: [{context: foo, conditions: ['true']}]",
     "trace_conditions[0].context: unknown context"},
    {"trace_conditions: [{context: span, condition: ['true']}]",
     "trace_conditions[0].condition: unknown key"},
    {"trace_conditions: [{context: span, conditions: [5]}]",
     "trace_conditions[0].conditions: expected a list of strings"},
    {"trace_conditions: [{context: span, error_mode: x, conditions: ['true']}]",
     "trace_conditions[0].error_mode: unknown error mode"},
    {"trace_conditions: [{context: span, conditions: ['true', 'x == 1']}]",
     "trace_conditions[0].conditions[1]: 1:1: segment \"x\""},
    {"trace_conditions: [{conditions: ['name == 1']}]",
     "trace_conditions[0].conditions: unable to infer context"},
};

START_TEST(refusals)
{
    char *yaml = mem_printf("{%s}", refused[_i].settings);
    struct test_settings s = ts_new(&filter_type, yaml);

    ck_assert_msg(strncmp(ts_problems(&s) + strlen("filter."), refused[_i].problem,
                          strlen(refused[_i].problem)) == 0,
                  "%s\n  says %s", yaml, ts_problems(&s));
    ts_free(&s);
    free(yaml);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("filter");
    TCase *c = tcase_create("filter");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(c, left, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(c, untouched);
    tcase_add_test(c, event_only);
    tcase_add_test(c, many_events);
    tcase_add_test(c, propagate);
    tcase_add_test(c, no_memory);
    tcase_add_loop_test(c, refusals, 0, (int)ARRAY_LEN(refused));
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
