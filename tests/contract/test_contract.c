/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What holds for every registered component type, whatever it does. A new type gets these tests by
 * being registered; if it cannot be configured with nothing, it also needs a line in `minimal`.
 */
#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/decode.h"
#include "config/load.h"
#include "pipeline/registry.h"
#include "tests/lib/test_host.h"

/* Settings that are enough to start, without a fixed port and without a peer. */
static const struct {
    enum component_kind kind;
    const char *name, *yaml;
} minimal[] = {
    {RECEIVER, "otlp", "{protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}"},
    {PROCESSOR, "memory_limiter", "{check_interval: 1s, limit_mib: 100, spike_limit_mib: 20}"},
    {PROCESSOR, "tail_sampling", "{decision_wait: 1h, policies: [{name: all, type: always_sample}]}"},
    {PROCESSOR, "attributes", "{actions: [{key: a, value: b, action: upsert}]}"},
    {PROCESSOR, "resource", "{attributes: [{key: a, value: b, action: upsert}]}"},
    {PROCESSOR, "span", "{status: {code: Ok}}"},
    {EXPORTER, "otlp_grpc", "{endpoint: '127.0.0.1:1', tls: {insecure: true}}"},
    {EXPORTER, "otlp_http", "{endpoint: 'http://127.0.0.1:1'}"},
    {EXPORTER, "file", "{path: /dev/null}"},
    {EXTENSION, "file_storage", "{directory: /tmp}"},
    {EXTENSION, "basicauth", "{htpasswd: {inline: 'a:b'}}"},
    {EXTENSION, "bearertokenauth", "{token: a}"},
    {EXTENSION, "headers_setter", "{headers: [{key: a, value: b}]}"},
    {EXTENSION, "oauth2client", "{client_id: a, client_secret: b, token_url: 'http://127.0.0.1:1'}"},
    {EXTENSION, "health_check", "{endpoint: '127.0.0.1:0'}"},
};

static const char *yaml_for(const struct component_type *type)
{
    for (size_t i = 0; i < ARRAY_LEN(minimal); i++)
        if (minimal[i].kind == type->kind && strcmp(minimal[i].name, type->name) == 0)
            return minimal[i].yaml;
    return "{}";
}

/* ---- the type under test, configured ---- */

static const struct component_type *type;
static struct test_host *t;
static struct plan *plan;
static const void *settings;
static struct arena *text; /* of the configuration's */

static void print_diags(struct diags *d)
{
    struct buf out = {0};

    diags_print(d, &out);
    fwrite(out.p, 1, out.len, stderr);
    buf_free(&out);
}

/* A whole configuration with this component in its place, through the loader that the daemon uses. */
static char *whole_yaml(void)
{
    const char *me = arena_printf(text, "%s/x", type->name);
    const char *in = type->kind == RECEIVER ? me : "nop", *out = type->kind == EXPORTER ? me : "nop";
    bool connector = type->kind == CONNECTOR;

    return arena_printf(
        text,
        "yaml:{receivers: {nop: }, exporters: {nop: }, service: {telemetry: {metrics: {level: none}}, extensions: [%s], "
        "pipelines: {traces: {receivers: [%s], processors: [%s], exporters: [%s]}%s}}}",
        type->kind == EXTENSION ? me : "", in, type->kind == PROCESSOR ? me : "", connector ? me : out,
        connector ? arena_printf(text, ", traces/2: {receivers: [%s], exporters: [nop]}", me) : "");
}

static void configure(void)
{
    const char *uris[2] = {whole_yaml(), arena_printf(text, "yaml:{%s: {%s/x: %s}}", component_kind_section(type->kind),
                                                     type->name, yaml_for(type))};
    struct load_options o = {.args = {.uris = uris, .n_uris = 2}};
    struct diags *d = diags_new();

    plan = config_load(&o, d);
    if (!plan)
        print_diags(d);
    ck_assert_msg(plan != NULL, "%s: not configurable with %s", type->name, yaml_for(type));
    for (size_t i = 0; i < plan->n_components; i++)
        if (plan->components[i].type == type && strcmp(plan->components[i].id, "nop") != 0)
            settings = plan->components[i].settings;
    diags_free(&d);
}

static void begin(int i)
{
    type = registry[i];
    text = arena_new();
    configure();
    t = th_new();
    t->host.pipeline = type->kind == PROCESSOR ? "traces" : NULL;
}

static void end(void)
{
    th_free(&t);
    plan_free(&plan);
    arena_free(&text);
}

/* Created, and shared state with it; not started. */
static struct component *created(void)
{
    struct err err = {""};
    struct component *c;

    if (type->shared_create)
        ck_assert_msg(type->shared_create(settings, &t->host, &t->host.shared, &err) == 0, "%s", err.text);
    c = type->create(&t->host, settings, &err);
    ck_assert_msg(c != NULL, "%s: %s", type->name, err.text);
    ck_assert_ptr_eq(c->type, type);
    ck_assert_ptr_eq(c->host, &t->host);
    t->component = c;
    return c;
}

static struct component *started(void)
{
    struct component *c = created();
    struct err err = {""};

    if (type->start)
        ck_assert_msg(type->start(c, &err) == 0, "%s: %s", type->name, err.text);
    return c;
}

static void destroyed(struct component **c)
{
    type->destroy(c);
    ck_assert_ptr_null(*c);
    t->component = NULL;
    if (type->shared_destroy && t->host.shared)
        type->shared_destroy(&t->host.shared);
}

static void drained(struct component *c)
{
    type->drain(c);
    ck_assert_msg(th_run_until_drained(t), "%s: drain does not end", type->name);
}

static bool takes_data(void)
{
    return type->push != NULL;
}

static void push_spans(struct component *c, uint64_t first_trace, size_t n)
{
    struct batch *b = th_batch(t, th_payload_n(t, first_trace, n));

    b->waiter = th_wait(t);
    b->received_ns = loop_now_ns(t->host.loop);
    th_push(c, b);
}

/* ---- tables ---- */

static bool is_sentence(const char *s)
{
    size_t n = s ? strlen(s) : 0;

    return n > 3 && s[n - 1] == '.';
}

static void check_keys(const struct key *keys, const char *where);

static void check_key(const struct key *k, const char *where)
{
    ck_assert_msg(k->name[0] != '\0', "%s: a row without a name", where);
    ck_assert_msg(is_sentence(k->doc), "%s.%s: doc is no sentence: %s", where, k->name, k->doc ? k->doc : "(none)");
    for (const char *c = k->name; *c; c++)
        ck_assert_msg(!isspace((unsigned char)*c), "%s: bad key name '%s'", where, k->name);
    if (!(k->min > 0 && k->max == 0)) /* "any" is written like this */
        ck_assert_msg(k->min <= k->max, "%s.%s: min over max", where, k->name);
    if (k->type == KEY_T_ENUM)
        ck_assert_msg(k->choices && k->choices[0], "%s.%s: no choices", where, k->name);
    if (k->type == KEY_T_SECTION || k->type == KEY_T_LIST) {
        char *inner = mem_printf("%s.%s", where, k->name);

        ck_assert_msg(k->sub != NULL, "%s: no rows", inner);
        check_keys(k->sub, inner);
        free(inner);
    }
    if (k->type == KEY_T_LIST)
        ck_assert_uint_gt(k->sub_size, 0);
}

static void check_keys(const struct key *keys, const char *where)
{
    for (const struct key *k = keys; k->name; k++) {
        check_key(k, where);
        for (const struct key *other = keys; other != k; other++)
            ck_assert_msg(strcmp(other->name, k->name) != 0, "%s.%s: twice", where, k->name);
    }
}

START_TEST(rows_are_sane)
{
    type = registry[_i];
    ck_assert_str_ne(type->name, "");
    ck_assert(is_sentence(type->summary));
    ck_assert(strcmp(type->stability, "stable") == 0 || strcmp(type->stability, "beta") == 0 ||
              strcmp(type->stability, "alpha") == 0);
    ck_assert_ptr_nonnull(type->keys);
    check_keys(type->keys, type->name);
    for (size_t i = 0; i < registry_len; i++)
        if (i != (size_t)_i && registry[i]->kind == type->kind)
            ck_assert_str_ne(registry[i]->name, type->name);
}
END_TEST

/* Range and form of every default, checked by the decoder itself; sections by way of their parents. */
static void check_defaults(const struct key *keys, size_t size, const char *where)
{
    struct diags *d = diags_new();
    struct arena *a = arena_new();
    struct decoder dec = {.arena = a, .diags = d};
    struct path root = {.name = where};
    uint8_t *to = mem_alloc(size + 16);

    decode_struct(&dec, &root, (struct pos){0}, keys, NULL, to);
    for (size_t i = 0; i < d->n; i++)
        if (!strstr(d->v[i].text, "required"))
            ck_abort_msg("%s: %s: %s", where, d->v[i].path, d->v[i].text);
    free(to);
    arena_free(&a);
    diags_free(&d);
}

START_TEST(defaults_decode)
{
    type = registry[_i];
    check_defaults(type->keys, type->settings_size, type->name);
    for (const struct key *k = type->keys; k->name; k++)
        if (k->type == KEY_T_LIST)
            check_defaults(k->sub, k->sub_size, k->name);
}
END_TEST

static bool metric_name_ok(const char *s)
{
    for (const char *c = s; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            return false;
    return s[0] != '\0';
}

START_TEST(metric_rows_are_sane)
{
    const struct metric_row *m = registry[_i]->metrics;

    for (; m && m->name; m++) {
        ck_assert_msg(metric_name_ok(m->name), "%s", m->name);
        ck_assert_msg(m->help && m->help[0], "%s: no help", m->name);
        ck_assert_msg(m->unit != NULL, "%s: no unit", m->name);
        if (m->type == METRIC_HISTOGRAM)
            ck_assert_uint_gt(m->n_bounds, 0);
        for (size_t i = 1; i < m->n_bounds; i++)
            ck_assert(m->bounds[i - 1] < m->bounds[i]);
    }
}
END_TEST

START_TEST(functions_fit_the_kind)
{
    type = registry[_i];
    ck_assert(type->create && type->drain && type->destroy);
    ck_assert_int_eq(takes_data(), type->kind == PROCESSOR || type->kind == EXPORTER || type->kind == CONNECTOR);
    ck_assert_int_eq(type->shared_create != NULL, type->shared_destroy != NULL);
}
END_TEST

START_TEST(memory_terms_add_up)
{
    struct memory_term terms[16];
    size_t n1, n4;
    uint64_t sum1 = 0, sum4 = 0;

    begin(_i);
    if (type->memory) {
        n1 = type->memory(settings, 1, terms, ARRAY_LEN(terms));
        ck_assert_uint_le(n1, ARRAY_LEN(terms));
        for (size_t i = 0; i < n1; i++) {
            sum1 += terms[i].bytes;
            ck_assert_str_ne(terms[i].text, "");
        }
        n4 = type->memory(settings, 4, terms, ARRAY_LEN(terms));
        for (size_t i = 0; i < n4; i++)
            sum4 += terms[i].bytes;
        ck_assert_uint_ge(sum4, sum1);
    }
    end();
}
END_TEST

/* ---- life ---- */

START_TEST(create_and_destroy)
{
    struct component *c;

    begin(_i);
    c = created();
    destroyed(&c);
    end();
}
END_TEST

START_TEST(start_and_destroy)
{
    struct component *c;

    begin(_i);
    c = started();
    destroyed(&c); /* another component's start failed */
    end();
}
END_TEST

START_TEST(drain_without_start)
{
    struct component *c;

    begin(_i);
    c = created();
    drained(c);
    destroyed(&c);
    end();
}
END_TEST

START_TEST(drain_twice)
{
    struct component *c;

    begin(_i);
    c = started();
    drained(c);
    type->drain(c);
    th_turn(t);
    ck_assert_uint_eq(t->late_emits, 0);
    destroyed(&c);
    end();
}
END_TEST

static bool all_answered(void *ctx)
{
    (void)ctx;
    return t->n_answered == t->n_waits;
}

/* Everything pushed is answered and ends somewhere; nothing is left in the books but what was emitted. */
START_TEST(drain_lets_go_of_everything)
{
    struct component *c;

    begin(_i);
    c = started();
    for (uint64_t i = 0; takes_data() && i < 10; i++)
        push_spans(c, 1 + i * 5, 10);
    drained(c);
    if (type->held)
        ck_assert_uint_eq(type->held(c), 0);
    ck_assert_int_eq(t->ledger.held, (int64_t)th_out_spans(t));
    th_out_end(t);
    ck_assert(th_run_until(t, all_answered, NULL));
    destroyed(&c);
    ck_assert_uint_eq(t->late_emits, 0);
    ck_assert_int_eq(t->ledger.held, 0);
    ck_assert(th_balanced(t));
    end();
}
END_TEST

START_TEST(past_the_deadline_the_rest_is_dropped)
{
    struct component *c;

    begin(_i);
    c = started();
    for (uint64_t i = 0; takes_data() && i < 3; i++)
        push_spans(c, 1 + i * 5, 10);
    t->deadline_passed = true;
    drained(c);
    ck_assert_int_eq(t->ledger.held, (int64_t)th_out_spans(t));
    destroyed(&c);
    th_out_end(t);
    ck_assert_uint_eq(t->n_answered, t->n_waits);
    end();
}
END_TEST

START_TEST(push_after_drain_is_not_lost)
{
    struct component *c;

    begin(_i);
    c = started();
    drained(c);
    if (takes_data()) {
        push_spans(c, 1, 3);
        th_turn(t);
    }
    destroyed(&c);
    th_out_end(t);
    ck_assert_uint_eq(t->n_answered, t->n_waits);
    ck_assert_int_eq(t->ledger.held, 0);
    ck_assert(th_balanced(t));
    end();
}
END_TEST

/* What the next one refuses goes back to whoever waits, or is counted: never both, never neither. */
START_TEST(refusals_downstream_are_answered)
{
    struct component *c;

    begin(_i);
    t->emit = TH_REFUSE;
    c = started();
    if (takes_data())
        push_spans(c, 1, 10);
    drained(c);
    destroyed(&c);
    ck_assert_uint_eq(t->n_answered, t->n_waits);
    ck_assert_int_eq(t->ledger.held, 0);
    ck_assert(th_balanced(t));
    end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("contract");
    TCase *c = tcase_create("every type");
    SRunner *r = srunner_create(s);
    int n = (int)registry_len, failed;

    tcase_add_loop_test(c, rows_are_sane, 0, n);
    tcase_add_loop_test(c, defaults_decode, 0, n);
    tcase_add_loop_test(c, metric_rows_are_sane, 0, n);
    tcase_add_loop_test(c, functions_fit_the_kind, 0, n);
    tcase_add_loop_test(c, memory_terms_add_up, 0, n);
    tcase_add_loop_test(c, create_and_destroy, 0, n);
    tcase_add_loop_test(c, start_and_destroy, 0, n);
    tcase_add_loop_test(c, drain_without_start, 0, n);
    tcase_add_loop_test(c, drain_twice, 0, n);
    tcase_add_loop_test(c, drain_lets_go_of_everything, 0, n);
    tcase_add_loop_test(c, past_the_deadline_the_rest_is_dropped, 0, n);
    tcase_add_loop_test(c, push_after_drain_is_not_lost, 0, n);
    tcase_add_loop_test(c, refusals_downstream_are_answered, 0, n);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
