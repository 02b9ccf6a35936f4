/* SPDX-License-Identifier: Apache-2.0 */
/* transform: every editor, every path that can be written, the order of effects, error modes, what
 * keeps its bytes, settings that are refused. Expected results are the real Collector's. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "processors/processors.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

/* AnyValue bodies: {q: "r"} and [1, "s", {q: "r"}] */
#define MAP_BODY  "\x0a\x08\x0a\x01q\x12\x03\x0a\x01r"
#define LIST_BODY "\x0a\x02\x18\x01\x0a\x03\x0a\x01s\x0a\x0c\x32\x0a" MAP_BODY

static struct payload *request(struct test_host *t)
{
    const struct test_span spans[] = {
        {.trace = 1,
         .id = 1,
         .name = "one",
         .kind = 2,
         .start_ns = 1000000000,
         .end_ns = 2000000000,
         .attrs = {TH_STR("a", "x"), TH_STR("b", "y"),
                   TH_RAW("m", ANY_MAP, slice_of(MAP_BODY, sizeof(MAP_BODY) - 1)),
                   TH_RAW("l", ANY_ARRAY, slice_of(LIST_BODY, sizeof(LIST_BODY) - 1))},
         .event = "e1",
         .event_attrs = {TH_STR("k", "v")}},
        {.trace = 1, .id = 2, .name = "two", .attrs = {TH_STR("a", "z"), TH_INT("i", 7)}},
    };
    const struct test_group groups[] = {
        {.resource = {TH_STR("service.name", "api")},
         .resource_schema = "http://r",
         .scope = "sc",
         .scope_version = "1",
         .spans = spans,
         .n_spans = 2},
        {.resource = {TH_STR("service.name", "db")},
         .scope = "s2",
         .spans = spans + 1,
         .n_spans = 1},
    };

    return th_payload_groups(t, groups, 2);
}

static uint64_t number(struct slice message, uint32_t field)
{
    struct field_iter it = field_iter(message);
    struct field f;
    uint64_t v = 0;

    while (field_next(&it, &f))
        if (f.number == field)
            v = f.value;
    return v;
}

static void put_hex(struct buf *b, const char *name, struct slice s)
{
    buf_putf(b, " %s=", name);
    for (size_t i = 0; i < s.len; i++)
        buf_putf(b, "%02x", s.p[i]);
}

static void put_number(struct buf *b, const char *name, uint64_t v)
{
    if (v)
        buf_putf(b, " %s=%llu", name, (unsigned long long)v);
}

static void put_text(struct buf *b, const char *name, struct slice s)
{
    if (s.len)
        buf_putf(b, " %s=%.*s", name, (int)s.len, s.p);
}

static void put_events(struct buf *b, struct slice span)
{
    struct field_iter it = field_iter(span);
    struct field f;

    while (field_next(&it, &f))
        if (f.number == SPAN_EVENTS) {
            struct slice name = field_bytes(f.bytes, EVENT_NAME);

            buf_putf(b, " (%.*s", (int)name.len, name.p);
            if (number(f.bytes, EVENT_TIME) != 1000000001)
                put_number(b, "time", number(f.bytes, EVENT_TIME));
            put_number(b, "dropped", number(f.bytes, EVENT_DROPPED_ATTRIBUTES));
            buf_putf(b, " %s)", td_attrs(f.bytes, EVENT_ATTRIBUTES));
        }
}

/* What is not as in request(): only fields that are set there are always printed. */
static void put_span(struct buf *b, const struct span *s)
{
    struct slice body = span_body(s), status = field_bytes(body, SPAN_STATUS);

    buf_putf(b, "%s: %s", th_span_name(s), td_attrs(body, SPAN_ATTRIBUTES));
    put_number(b, "kind", s->kind == 255 ? number(body, SPAN_KIND) : s->kind);
    put_text(b, "state", field_bytes(body, SPAN_TRACE_STATE));
    put_number(b, "code", number(status, STATUS_CODE));
    put_text(b, "message", field_bytes(status, STATUS_MESSAGE));
    put_number(b, "flags", number(body, SPAN_FLAGS));
    put_number(b, "attributes", number(body, SPAN_DROPPED_ATTRIBUTES));
    put_number(b, "events", number(body, SPAN_DROPPED_EVENTS));
    put_number(b, "links", number(body, SPAN_DROPPED_LINKS));
    if (s->start_ns != 1000000000 && s->start_ns)
        put_number(b, "start", s->start_ns);
    if (s->end_ns != 2000000000 && s->end_ns)
        put_number(b, "end", s->end_ns);
    if (s->trace_id[0] != 0x11)
        put_hex(b, "trace", slice_of(s->trace_id, 16));
    if (s->span_id[7] > 2 || s->span_id[0])
        put_hex(b, "id", slice_of(s->span_id, 8));
    if (!(s->flags & SPAN_ROOT))
        put_hex(b, "parent", field_bytes(body, SPAN_PARENT_ID));
    put_events(b, body);
}

static void put_place(struct buf *b, const struct payload *p, const struct span *s)
{
    const struct scope *scope = &p->scopes[s->scope];
    const struct resource *r = &p->resources[scope->resource];
    struct slice name = field_bytes(scope->scope, SCOPE_NAME);

    buf_putf(b, " | %s", td_attrs(r->resource, RESOURCE_ATTRIBUTES));
    put_number(b, "dropped", number(r->resource, RESOURCE_DROPPED_ATTRIBUTES));
    put_text(b, "schema", r->schema_url);
    buf_putf(b, " | %.*s", (int)name.len, name.p);
    put_text(b, "version", field_bytes(scope->scope, SCOPE_VERSION));
    put_number(b, "dropped", number(scope->scope, SCOPE_DROPPED_ATTRIBUTES));
    put_text(b, "schema", scope->schema_url);
    if (td_attrs(scope->scope, SCOPE_ATTRIBUTES)[0])
        buf_putf(b, " %s", td_attrs(scope->scope, SCOPE_ATTRIBUTES));
}

/* Settings, pushed; the output of span i and where it stands. */
static char *result(const char *settings, uint64_t i, bool place)
{
    struct test_settings s = ts_new(&transform_type, settings);
    struct test_host *t = th_new();
    struct component *c;
    struct buf b = {0};

    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &transform_type, s.settings);
    th_push(c, th_batch(t, request(t)));
    ck_assert_uint_eq(t->n_out, 1);
    ck_assert_uint_eq(t->out[0]->n_spans, 3);
    put_span(&b, th_span(t->out[0], i));
    if (place)
        put_place(&b, t->out[0]->parts[0].payload, th_span(t->out[0], i));
    buf_putc(&b, 0);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    return (char *)b.p;
}

static const struct {
    const char *statements, *span; /* what becomes of the first span */
} on_spans[] = {
#include "tests/unit/transform_spans.inc"
};

START_TEST(spans)
{
    char *yaml = mem_printf("trace_statements: [{context: span, statements: [%s]}]",
                            on_spans[_i].statements);
    char *got = result(yaml, 0, false);

    ck_assert_msg(strcmp(got, on_spans[_i].span) == 0, "%s\n  gives   %s\n  and not %s", yaml, got,
                  on_spans[_i].span);
    free(got);
    free(yaml);
}
END_TEST

static const struct {
    const char *settings;
    uint64_t span; /* its number */
    const char *becomes;
} in_groups[] = {
#include "tests/unit/transform_groups.inc"
};

START_TEST(groups)
{
    char *got = result(in_groups[_i].settings, in_groups[_i].span, true);

    ck_assert_msg(strcmp(got, in_groups[_i].becomes) == 0, "%s\n  gives   %s\n  and not %s",
                  in_groups[_i].settings, got, in_groups[_i].becomes);
    free(got);
}
END_TEST

/* ---- bytes ---- */

/* What nothing changes goes on as it came: the same payload, whole. */
START_TEST(untouched)
{
    struct test_settings s = ts_new(
        &transform_type,
        "trace_statements: [{context: resource, statements: ['set(attributes[\"a\"], 1) where "
        "false', 'delete_key(attributes, \"none\")']}, {context: span, statements: ['set(name, "
        "\"x\") where kind == 5', 'delete_key(attributes, \"none\")', 'truncate_all(attributes, "
        "100)', 'keep_matching_keys(attributes, \".\")', 'set(attributes[\"a\"], \"x\") where name "
        "== \"one\"', 'replace_all_patterns(attributes, \"value\", \"nope\", \"\")', "
        "'set(attributes[\"n\"], nil)', 'set(cache[\"c\"], name)']}, {context: spanevent, "
        "statements: ['set(name, \"x\") where name == \"y\"']}]");
    struct test_host *t = th_new();
    struct component *c;
    struct payload *p = request(t);

    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &transform_type, s.settings);
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

/* A span that is changed is written once, however many statements change it; its neighbours keep
 * their bytes, and what of it is not changed keeps its own. */
START_TEST(neighbours)
{
    struct test_settings s =
        ts_new(&transform_type,
               "trace_statements: ['set(span.attributes[\"i\"], 8) where span.attributes[\"i\"] == "
               "7', 'set(span.kind, 3) where span.attributes[\"i\"] == 8', "
               "'delete_key(span.attributes, \"a\") where span.kind == 3']");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &transform_type, s.settings);
    struct payload *p = request(t);
    const struct span *changed;

    ck_assert_str_eq(ts_problems(&s), "");
    th_push(c, th_batch(t, payload_ref(p)));
    changed = th_span(t->out[0], 1);
    ck_assert_ptr_eq(th_span(t->out[0], 0)->rec, p->spans[0].rec);
    ck_assert_ptr_ne(changed->rec, p->spans[1].rec);
    ck_assert_str_eq(td_attrs(span_body(changed), SPAN_ATTRIBUTES), "i=i:8");
    ck_assert_uint_eq(changed->kind, 3);
    ck_assert_uint_eq(changed->span_id[7], 2);
    payload_unref(&p);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* ---- errors ---- */

START_TEST(propagate)
{
    struct test_settings s =
        ts_new(&transform_type, "{error_mode: propagate, trace_statements: [{context: span, "
                                "statements: ['set(name, \"x\")', 'set(name, 5) where name == "
                                "\"x\"']}]}");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &transform_type, s.settings);
    struct batch *b = th_batch(t, request(t));

    ck_assert_str_eq(ts_problems(&s), "");
    b->waiter = th_wait(t);
    th_push(c, b);
    ck_assert_uint_eq(t->n_out, 0);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_ptr_nonnull(strstr(t->waits[0]->text, "failed to execute statement: set(name, 5)"));
    ck_assert_ptr_nonnull(strstr(t->waits[0]->text, "expects string but got int64"));
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 3);
    th_push(c, th_batch(t, request(t))); /* nobody waits */
    ck_assert_uint_eq(t->ledger.dropped[DROP_ERROR], 3);
    ck_assert_int_eq((int)th_metric(t, "tailrace_transform_errors{processor=\"test\"}"), 2);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* No room for what is written: all of it goes back; the next batch is as good as any. */
START_TEST(no_memory)
{
    struct test_settings s = ts_new(
        &transform_type, "trace_statements: ['set(span.attributes[\"n\"], span.attributes)']");
    struct test_host *t = th_new();
    struct component *c;
    struct payload *p;
    struct batch *b;

    th_budget(t, 1 << 20, 1 << 20);
    c = th_component(t, &transform_type, s.settings);
    p = request(t);
    b = th_batch(t, payload_ref(p)); /* shared: it cannot be edited in place */
    b->waiter = th_wait(t);
    budget_set_limits(t->host.budget, budget_used(t->host.budget), budget_used(t->host.budget));
    th_push(c, b);
    ck_assert_uint_eq(t->n_out, 0);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 3);
    budget_set_limits(t->host.budget, 1 << 20, 1 << 20);
    th_push(c, th_batch(t, payload_ref(p)));
    ck_assert_uint_eq(t->n_out, 1);
    payload_unref(&p);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* Text that is no UTF-8 any more is repaired on its way into a span. */
START_TEST(utf8)
{
    char *got = result("trace_statements: [{context: span, statements: ['set(name, "
                       "Substring(\"a\xc3\xa9\", 0, 2))', 'set(attributes, {})', "
                       "'set(attributes[name], [Substring(\"\xc3\xa9\", 1, 1)])', "
                       "'set(attributes[\"u\"], \"a\xc3\xa9\")', 'truncate_all(attributes, 2, "
                       "false)']}]",
                       0, false);

    ck_assert_str_eq(got, "a\xef\xbf\xbd: a\xef\xbf\xbd=l:[\"\xef\xbf\xbd\"] u=s:a\xef\xbf\xbd "
                          "kind=2 (e1 k=s:v)");
    free(got);
}
END_TEST

/* A name that stands twice in a map in braces is there once. */
START_TEST(repeated_names)
{
    char *got = result("trace_statements: [{context: span, statements: ['set(attributes, {\"a\": "
                       "1, \"b\": 2, \"a\": 3})']}]",
                       0, false);

    ck_assert_str_eq(got, "one: b=i:2 a=i:3 kind=2 (e1 k=s:v)");
    free(got);
}
END_TEST

/* Statements that nest a value deeper with every turn end at the walk's limit. */
START_TEST(nesting)
{
    struct buf yaml = {0};
    char *got;

    buf_puts(&yaml, "{error_mode: silent, trace_statements: [{context: span, statements: "
                    "['set(attributes, {})'");
    for (int i = 0; i < 100; i++)
        buf_puts(&yaml, ", 'set(attributes[\"a\"], [attributes[\"a\"]])'");
    buf_puts(&yaml, ", 'set(attributes[\"n\"], 1)']}]}");
    buf_putc(&yaml, 0);
    got = result((const char *)yaml.p, 0, false);
    ck_assert_ptr_nonnull(strstr(got, "n=i:1"));
    ck_assert_ptr_null(
        strstr(got, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["));
    free(got);
    buf_free(&yaml);
}
END_TEST

static struct payload *many(struct test_host *t, struct buf *attributes, int n)
{
    struct test_span span = {.trace = 1, .id = 1, .name = "many"};
    char key[16];

    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        ck_assert_int_eq(attr_put_int(attributes, SPAN_ATTRIBUTES, slice_str(key), i), 0);
    }
    span.extra = slice_of(attributes->p, attributes->len);
    return th_payload(t, &span, 1);
}

/* More keys than are compared one by one: the later of two that become the same wins, in its place. */
START_TEST(many_keys)
{
    struct test_settings s = ts_new(
        &transform_type,
        "trace_statements: [{context: span, statements: ['replace_all_patterns(attributes, "
        "\"key\", \"[0-9]$\", \"\")', 'set(attributes[\"m\"], attributes)', "
        "'flatten(attributes)', 'merge_maps(attributes, {\"m.k7\": \"x\", \"new\": 1}, "
        "\"insert\")', 'flatten(attributes, \"p\")']}]");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &transform_type, s.settings);
    struct buf attributes = {0};
    struct attr_iter it;
    struct attr a;
    size_t n = 0;

    ck_assert_str_eq(ts_problems(&s), "");
    th_push(c, th_batch(t, many(t, &attributes, 300)));
    it = attr_iter(span_body(th_span(t->out[0], 0)), SPAN_ATTRIBUTES);
    while (attr_next(&it, &a))
        n++;
    ck_assert_uint_eq(n, 30 + 30 + 1); /* k, k1 to k29; m.k, ...; new */
    ck_assert_str_eq(th_span_attr(th_span(t->out[0], 0), "p.k"), "9");
    ck_assert_str_eq(th_span_attr(th_span(t->out[0], 0), "p.k29"), "299");
    ck_assert_str_eq(th_span_attr(th_span(t->out[0], 0), "p.m.k7"), "79");
    ck_assert_str_eq(th_span_attr(th_span(t->out[0], 0), "p.new"), "1");
    buf_free(&attributes);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* ---- settings ---- */

static const struct {
    const char *settings, *problem; /* how the first line begins */
} refused[] = {
    {"error_mode: foo", "error_mode"},
    {"flatten_data: true", "flatten_data: requires"},
    {"trace_statements: x", "trace_statements: expected a list"},
    {"trace_statements: [5]", "trace_statements: expected statements"},
    {"trace_statements: [null]", "trace_statements: expected statements"},
    {"trace_statements: ['']", "trace_statements: 1:1: unexpected token \"<EOF>\""},
    {"trace_statements: ['set(span.name, \"x\")', {context: span}]",
     "trace_statements: configuring multiple configuration styles"},
    {"trace_statements: ['set(name, \"x\")']", "trace_statements: unable to infer context"},
    {"trace_statements: ['set(attributes[\"a\"], span.name)']",
     "trace_statements[0]: 1:5: missing context name for path \"attributes\": write \"span.attr"},
    {"trace_statements: ['set(span.name, \"x\")', 'set(resource.cache[\"n\"], 1)']",
     "trace_statements[1]: 1:5: access to cache must be performed using the same context: write "
     "\"span.cache\""},
    {"trace_statements: [{context: foo, statements: []}]",
     "trace_statements[0].context: unknown context"},
    {"trace_statements: [{context: log, statements: []}]",
     "trace_statements[0].context: unknown context"},
    {"trace_statements: [{context: spanevent, statements: ['set_semconv_span_name(\"1.38.0\")']}]",
     "trace_statements[0].statements[0]: 1:1: undefined function \"set_semconv_span_name\" in the "
     "spanevent context"},
    {"trace_statements: [{context: span, shared_cache: true}]",
     "trace_statements[0].shared_cache: unknown key"},
    {"trace_statements: [{context: span, statements: [5]}]",
     "trace_statements[0].statements: expected a list of strings"},
    {"trace_statements: [{context: span, error_mode: x}]",
     "trace_statements[0].error_mode: unknown error mode"},
    {"trace_statements: [{context: span, conditions: [''], statements: ['set(name, \"x\")']}]",
     "trace_statements[0].conditions[0]: 1:1: unexpected token"},
    {"trace_statements: [{context: span, statements: ['set(name, \"x\")', 'set(nme, \"x\")']}]",
     "trace_statements[0].statements[1]: 1:5: segment \"nme\" is not a valid path of the span "
     "context, did you mean \"name\"?"},
#define REFUSED(statement, text)                                                                   \
    {                                                                                              \
        "trace_statements: [{context: span, statements: ['" statement "']}]",                      \
            "trace_statements[0].statements[0]: " text                                             \
    }
    REFUSED("sett(name, \"x\")", "1:1: undefined function \"sett\", did you mean \"set\"?"),
    REFUSED("Set(name, \"x\")", "1:1: editor names must start with a lowercase letter"),
    REFUSED("name == \"x\"", "1:6: unexpected token \"==\""),
    REFUSED("true", "1:1: unexpected token \"true\""),
    REFUSED("set(name, \"x\") if true", "1:16: unexpected token \"if\""),
    REFUSED("set(name, \"x\") where", "1:21: unexpected token \"<EOF>\""),
    REFUSED("set(name, \"x\") where kind == 1 and", "1:35: unexpected token \"<EOF>\""),
    REFUSED("set(name, \"x\") set(name, \"y\")", "1:16: unexpected token \"set\""),
    REFUSED("set(name, \"x\")[\"a\"]", "1:15: only paths and converters may be indexed"),
    REFUSED("set(name)", "1:1: incorrect number of arguments for \"set\": \"value\" is missing"),
    REFUSED("set(name, \"x\", \"y\")", "1:1: incorrect number of arguments"),
    REFUSED("set(\"x\", \"y\")", "1:5: must be a path"),
    REFUSED("set(Len(name), \"y\")", "1:5: must be a path"),
    REFUSED("set(resource.cache[\"x\"], 1)", "1:5: access to cache"),
    REFUSED("set(spanevent.name, 1)", "1:5: segment \"spanevent\""),
    REFUSED("set(trace_state[\"a\"][\"b\"], \"x\")", "1:22: must provide exactly 1 key"),
    REFUSED("delete_key(attributes, 5)", "1:24: expected string but got int64"),
    REFUSED("keep_keys(attributes, \"a\")", "1:23: expected a list"),
    REFUSED("keep_keys(attributes, [5])", "1:24: expected string"),
    REFUSED("limit(attributes, 3)", "1:1: incorrect number of arguments"),
    REFUSED("limit(attributes, 0, [\"a\"])", "1:1: limit: invalid limit, 0 cannot be less"),
    REFUSED("limit(attributes, Len(name), [])", "1:19: expected a constant int64"),
    REFUSED("limit(attributes, 1, [name])", "1:23: expected string"),
    REFUSED("truncate_all(attributes, -1)", "1:26: expected a constant int64"),
    REFUSED("truncate_all(attributes, 2, truncation_marker=\"...\")",
            "1:1: truncate_all: invalid truncation marker"),
    REFUSED("replace_match(name, \"a[\", \"b\")",
            "1:1: replace_match: 'a[' is not a valid pattern: unexpected end of input"),
    REFUSED("replace_match(name, \"[]\", \"b\")",
            "1:1: replace_match: '[]' is not a valid pattern: could not parse range"),
    REFUSED("replace_match(name, \"[z-a]\", \"b\")",
            "1:1: replace_match: '[z-a]' is not a valid pattern: hi character 'a' should"),
    REFUSED("replace_pattern(name, \"(\", \"b\")", "1:1: the regex pattern supplied to"),
    REFUSED("replace_pattern(name, \"a\", \"b\", Nope)", "1:33: undefined function \"Nope\""),
    REFUSED("replace_pattern(name, \"a\", \"b\", Concat)", "1:33: Concat cannot be used here"),
    REFUSED("replace_pattern(name, \"a\", \"b\", \"c\")", "1:33: expected the name of a function"),
    REFUSED("replace_all_patterns(attributes, \"x\", \"a\", \"b\")",
            "1:1: replace_all_patterns: invalid mode x"),
    REFUSED("replace_all_patterns(attributes, name, \"a\", \"b\")", "1:34: expected a constant"),
    REFUSED("merge_maps(attributes, cache, \"x\")", "1:1: merge_maps: invalid value for strategy"),
    REFUSED("merge_maps(attributes, \"x\", \"insert\")", "1:24: expected pcommon.Map but got"),
    REFUSED("flatten(attributes, depth=0)", "1:1: flatten: invalid depth"),
    REFUSED("set_semconv_span_name(\"1.36.0\")",
            "1:1: set_semconv_span_name: unsupported semconv version \"1.36.0\""),
    REFUSED("set_semconv_span_name(\"1.40.9\")", "1:1: set_semconv_span_name: unsupported"),
    REFUSED("set_semconv_span_name(\"1.38.0-rc\")", "1:1: set_semconv_span_name: unsupported"),
    REFUSED("set_semconv_span_name(\"1.38.0\", \"\")", "1:1: set_semconv_span_name: original_"),
    REFUSED("set_semconv_span_name(name)", "1:23: expected a constant string"),
    REFUSED("append(attributes[\"a\"])", "1:1: append: at least one of the optional arguments"),
    REFUSED("append(attributes[\"a\"], values=cache)", "1:32: expected a list in brackets"),
};

START_TEST(refusals)
{
    char *yaml = mem_printf("{%s}", refused[_i].settings);
    struct test_settings s = ts_new(&transform_type, yaml);

    ck_assert_msg(strncmp(ts_problems(&s) + strlen("transform."), refused[_i].problem,
                          strlen(refused[_i].problem)) == 0,
                  "%s\n  says %s", yaml, ts_problems(&s));
    ts_free(&s);
    free(yaml);
}
END_TEST

static const char *const accepted[] = {
    "",
    "error_mode: IGNORE",
    "trace_statements: []",
    "trace_statements: [{context: span, statements: []}]",
    "trace_statements: [{context: SPAN, conditions: 'name == \"x\"', statements: 'set(name, "
    "\"y\")'}]",
    "trace_statements: ['set(span.name, \"x\") where instrumentation_scope.name == \"y\"']",
    "{flatten_data: false, log_statements: ['set(log.body, \"x\")'], metric_statements: [], "
    "profile_statements: []}",
    "trace_statements: [{context: span, statements: ['set(target=name, value=\"x\")', "
    "'delete_key(target=attributes, key=\"x\")', 'delete_matching_keys(target=attributes, "
    "pattern=\"x\")', 'keep_keys(target=attributes, keys=[name, \"x\"])', "
    "'keep_matching_keys(target=attributes, pattern=name)', 'limit(target=attributes, limit=3, "
    "priority_keys=[\"a\"])', 'truncate_all(target=attributes, limit=3, utf8_safe=false, "
    "truncation_marker=\"..\")', 'merge_maps(target=attributes, source=resource.attributes, "
    "strategy=\"insert\")', 'stringify_all(target=attributes)', 'append(target=attributes[\"x\"], "
    "value=1, values=[2])', 'delete_index(target=attributes[\"x\"], start_index=0, end_index=1)', "
    "'flatten(target=attributes, prefix=\"p\", depth=2, resolve_conflicts=true)', "
    "'replace_pattern(target=name, regex_pattern=\"x\", replacement=\"y\", function=SHA256, "
    "replacement_format=\"a%s\")', 'replace_match(target=name, pattern=\"x\", replacement=\"y\", "
    "function=SHA256, replacement_format=\"a%s\")', 'replace_all_matches(target=attributes, "
    "pattern=\"x\", replacement=\"y\", function=SHA256, replacement_format=\"a%s\")', "
    "'replace_all_patterns(target=attributes, mode=\"key\", regex_pattern=\"x\", "
    "replacement=\"y\", function=SHA256, replacement_format=\"a%s\")']}]",
};

START_TEST(acceptances)
{
    char *yaml =
        accepted[_i][0] == '{' ? mem_printf("%s", accepted[_i]) : mem_printf("{%s}", accepted[_i]);
    struct test_settings s = ts_new(&transform_type, yaml);

    ck_assert_str_eq(ts_problems(&s), "");
    ts_free(&s);
    free(yaml);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transform");
    TCase *c = tcase_create("transform");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(c, spans, 0, (int)ARRAY_LEN(on_spans));
    tcase_add_loop_test(c, groups, 0, (int)ARRAY_LEN(in_groups));
    tcase_add_test(c, untouched);
    tcase_add_test(c, neighbours);
    tcase_add_test(c, propagate);
    tcase_add_test(c, no_memory);
    tcase_add_test(c, utf8);
    tcase_add_test(c, repeated_names);
    tcase_add_test(c, nesting);
    tcase_add_test(c, many_keys);
    tcase_add_loop_test(c, refusals, 0, (int)ARRAY_LEN(refused));
    tcase_add_loop_test(c, acceptances, 0, (int)ARRAY_LEN(accepted));
    tcase_set_timeout(c, 120);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
