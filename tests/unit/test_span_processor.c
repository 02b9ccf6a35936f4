/* SPDX-License-Identifier: Apache-2.0 */
/* span: names from attributes, attributes from names, statuses; spans that nothing touches keep their
 * bytes; texts of every refusal. */
#include <check.h>
#include <stdlib.h>

#include "processors/processors.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

static const struct test_span before = {
    .trace = 1, .id = 1, .name = "GET /users/42/carts/7", .status = 2, .status_message = "failed", .start_ns = 5, .end_ns = 9,
    .attrs = {TH_STR("s", "abc"), TH_INT("i", -7), TH_BOOL("b", 1), TH_DBL("d", 1e21), TH_STR("e", ""), TH_BYTES("y", "xyz")},
    .event = "ev", .event_attrs = {TH_STR("a", "in the event")}};
#define NAME  "GET /users/42/carts/7"
#define ATTRS "s=s:abc i=i:-7 b=b:true d=d:1e+21 e=s: y=y:eHl6"

static const struct {
    const char *yaml, *name, *attrs, *message;
    int status;
} rows[] = {
    /* names from attributes */
    {"name: {from_attributes: [s]}", "abc", ATTRS, "failed", 2},
    {"name: {from_attributes: [s, i, b, d], separator: '::'}", "abc::-7::true::1000000000000000000000", ATTRS, "failed", 2},
    {"name: {from_attributes: [y, e, s]}", "<unknown-attribute-type>abc", ATTRS, "failed", 2},
    {"name: {from_attributes: [s, none]}", NAME, ATTRS, "failed", 2},
    {"name: {from_attributes: [e]}", "", ATTRS, "failed", 2},
    {"name: {from_attributes: [e], to_attributes: {rules: ['(?P<x>.*)']}}", "", ATTRS, "failed", 2},
    /* attributes from names */
    {"name: {to_attributes: {rules: ['^GET /users/(?P<user>[^/]+)/carts/(?P<cart>.*)$']}}", "GET /users/{user}/carts/{cart}",
     ATTRS " user=s:42 cart=s:7", "failed", 2},
    {"name: {to_attributes: {rules: ['(?P<user>[0-9]+)', '(?P<cart>[0-9]+)']}}", "GET /users/{user}/carts/{cart}", ATTRS " user=s:42 cart=s:7",
     "failed", 2},
    {"name: {to_attributes: {rules: ['(?P<user>[0-9]+)', '(?P<cart>[0-9]+)'], break_after_match: true}}", "GET /users/{user}/carts/7",
     ATTRS " user=s:42", "failed", 2},
    {"name: {to_attributes: {rules: [none, '(?P<user>[0-9]+)', '(?P<cart>[0-9]+)'], break_after_match: true}}", "GET /users/{user}/carts/7",
     ATTRS " user=s:42", "failed", 2},
    {"name: {to_attributes: {rules: ['(?P<user>[0-9]+)'], keep_original_name: true}}", NAME, ATTRS " user=s:42", "failed", 2},
    {"name: {to_attributes: {rules: ['^(?P<s>GET)']}}", "{s} /users/42/carts/7", "s=s:GET i=i:-7 b=b:true d=d:1e+21 e=s: y=y:eHl6", "failed", 2},
    {"name: {to_attributes: {rules: ['([0-9]+)']}}", "GET /users/{}/carts/7", ATTRS " =s:42", "failed", 2},
    {"name: {to_attributes: {rules: ['/(?P<none>x)?(?P<user>users)']}}", "GET /{user}/42/carts/7", ATTRS " none=s: user=s:users", "failed", 2},
    {"name: {to_attributes: {rules: ['(?P<out>users/(?P<in>[0-9]+))']}}", "GET /{out}/carts/7", ATTRS " out=s:users/42 in=s:42", "failed", 2},
    {"name: {to_attributes: {rules: ['users']}}", NAME, ATTRS, "failed", 2},
    {"name: {from_attributes: [s], to_attributes: {rules: ['(?P<first>.)(?P<at>)']}}", "{first}{at}bc", ATTRS " first=s:a at=s:", "failed", 2},
    {"name: {from_attributes: [s], to_attributes: {rules: ['(?P<x>b)', '(?P<z>.)', '(?P<all>.*)'], keep_original_name: true}}", "abc",
     ATTRS " x=s:b z=s:a all=s:abc", "failed", 2},
    /* statuses */
    {"status: {code: Ok}", NAME, ATTRS, "", 1},
    {"status: {code: Unset}", NAME, ATTRS, "", 0},
    {"status: {code: Error}", NAME, ATTRS, "", 2},
    {"status: {code: Error, description: because}", NAME, ATTRS, "because", 2},
    {"status: {code: Error, description: failed}", NAME, ATTRS, "failed", 2},
    /* together, and selected */
    {"name: {from_attributes: [s], to_attributes: {rules: ['(?P<x>b)']}}, status: {code: Ok}", "a{x}c", ATTRS " x=s:b", "", 1},
    {"status: {code: Ok}, include: {match_type: regexp, span_names: [POST]}", NAME, ATTRS, "failed", 2},
    {"status: {code: Ok}, include: {match_type: regexp, span_names: [GET]}", NAME, ATTRS, "", 1},
    {"status: {code: Ok}, exclude: {match_type: strict, attributes: [{key: i, value: -7}]}", NAME, ATTRS, "failed", 2},
};

static bool changes(size_t row)
{
    return strcmp(rows[row].name, NAME) != 0 || strcmp(rows[row].attrs, ATTRS) != 0 || strcmp(rows[row].message, "failed") != 0 ||
           rows[row].status != 2;
}

START_TEST(one_span)
{
    char *yaml = mem_printf("{%s}", rows[_i].yaml);
    struct test_settings s = ts_new(&span_type, yaml);
    struct test_host *t = th_new();
    struct component *c;
    struct payload *p = th_payload(t, TH_SPANS(before));
    const uint8_t *rec = p->spans[0].rec;
    const struct span *span;
    struct slice message, event;
    struct span facts;

    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &span_type, s.settings);
    th_push(c, th_batch(t, p));
    ck_assert_uint_eq(t->n_out, 1);
    span = th_span(t->out[0], 0);
    ck_assert_str_eq(th_span_name(span), rows[_i].name);
    ck_assert_str_eq(td_attrs(span_body(span), SPAN_ATTRIBUTES), rows[_i].attrs);
    message = field_bytes(field_bytes(span_body(span), SPAN_STATUS), STATUS_MESSAGE);
    ck_assert(slice_eq(message, slice_str(rows[_i].message)));
    ck_assert_int_eq(span->status, rows[_i].status);
    ck_assert(otlp_span_facts(span_body(span), &facts) == 0);
    ck_assert(facts.status == span->status && facts.flags == span->flags && facts.start_ns == 5 && facts.end_ns == 9);
    event = field_bytes(span_body(span), SPAN_EVENTS);
    ck_assert_str_eq(td_attrs(event, EVENT_ATTRIBUTES), "a=s:in the event");
    ck_assert((span->rec == rec) == !changes((size_t)_i));
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    free(yaml);
}
END_TEST

START_TEST(long_names_and_many_spans)
{
    struct test_settings s = ts_new(&span_type, "{name: {from_attributes: [long, i], to_attributes: {rules: ['(?P<tail>x{10})$']}}}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &span_type, s.settings);
    struct test_span spans[100] = {{0}};
    char *text = mem_alloc(200001);

    memset(text, 'x', 200000);
    for (size_t i = 0; i < ARRAY_LEN(spans); i++)
        spans[i] = (struct test_span){.trace = 1, .id = i + 1, .name = "op", .start_ns = 5,
                                      .attrs = {TH_STR("long", i == 50 ? text : "short"), TH_INT("i", (int64_t)i)}};
    th_push(c, th_batch(t, th_payload(t, spans, ARRAY_LEN(spans))));
    ck_assert_str_eq(th_span_name(th_span(t->out[0], 49)), "short49");
    ck_assert_uint_eq(field_bytes(span_body(th_span(t->out[0], 50)), SPAN_NAME).len, 200002);
    ck_assert_str_eq(th_span_name(th_span(t->out[0], 51)), "short51");
    ck_assert(th_metric(t, "otelcol_processor_outgoing_items{otel_signal=\"traces\",processor=\"test\"}") == 100);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    free(text);
}
END_TEST

START_TEST(refused_memory_refuses_the_batch)
{
    struct test_settings s = ts_new(&span_type, "{status: {code: Ok}}");
    struct test_host *t = th_new();
    struct component *c;
    struct batch *b;

    th_budget(t, 1 << 20, 1 << 20);
    c = th_component(t, &span_type, s.settings);
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

#define NOTHING "either \"from_attributes\" or \"to_attributes\" must be specified"
START_TEST(settings_that_are_refused)
{
    static const struct {
        const char *yaml, *problem;
    } bad[] = {{"{}", NOTHING},
               {"{name: {separator: x}}", NOTHING},
               {"{name: {to_attributes: {}}}", NOTHING},
               {"{include: {match_type: strict, services: [a]}}", NOTHING},
               {"{name: {to_attributes: {rules: [a, '(']}}}", "name.to_attributes.rules[1]: invalid regexp pattern ("},
               {"{name: {to_attributes: {rules: [a], foo: 1}}}", "foo"},
               {"{status: {}}", "\"status\" must have specified \"code\" as"},
               {"{status: {code: ok}}", "\"status\" must have specified \"code\" as"},
               {"{status: {code: Ok, description: x}}", "\"description\" can be specified only for \"code\" \"Error\""},
               {"{status: {code: Ok}, include: {match_type: strict}}", "at least one of"}};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct test_settings s = ts_new(&span_type, bad[i].yaml);

        ck_assert_msg(strstr(ts_problems(&s), bad[i].problem) != NULL, "%s: %s", bad[i].yaml, ts_problems(&s));
        ts_free(&s);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("span");
    TCase *tc = tcase_create("span");

    tcase_add_loop_test(tc, one_span, 0, ARRAY_LEN(rows));
    tcase_add_test(tc, long_names_and_many_spans);
    tcase_add_test(tc, refused_memory_refuses_the_batch);
    tcase_add_test(tc, settings_that_are_refused);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
