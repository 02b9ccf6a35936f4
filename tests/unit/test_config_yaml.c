/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text to nodes: types of scalars, anchors and merges, and a clear line for each way to get it
 * wrong. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "config/resolve.h"
#include "config/scalar.h"
#include "config/yaml.h"
#include "tests/lib/test_config.h"

static struct arena *arena;
static struct diags *diags;

static void set_up(void)
{
    arena = arena_new();
    diags = diags_new();
}

static void tear_down(void)
{
    arena_free(&arena);
    diags_free(&diags);
}

static const struct node *parse_n(const char *text, size_t len)
{
    struct pos place = {"f.yaml", 0, 0, NULL};
    return yaml_parse(arena, &place, false, slice_of(text, len), diags);
}

static const struct node *parse(const char *text)
{
    return parse_n(text, strlen(text));
}

static const char *said(void)
{
    struct buf out = {0};
    diags_print(diags, &out);
    const char *text = arena_dup_n(arena, out.len ? (const char *)out.p : "", out.len);
    buf_free(&out);
    return text;
}

/* ---- scalars ---- */

static const struct {
    const char *text;
    enum node_type type;
    double value;
} scalars[] = {
    {"true", NODE_BOOL, 1},
    {"True", NODE_BOOL, 1},
    {"TRUE", NODE_BOOL, 1},
    {"false", NODE_BOOL, 0},
    {"FALSE", NODE_BOOL, 0},
    {"tRue", NODE_STR, 0},
    {"yes", NODE_STR, 0},
    {"on", NODE_STR, 0},
    {"y", NODE_STR, 0},
    {"null", NODE_NULL, 0},
    {"Null", NODE_NULL, 0},
    {"NULL", NODE_NULL, 0},
    {"~", NODE_NULL, 0},
    {"nULL", NODE_STR, 0},
    {"0", NODE_INT, 0},
    {"12", NODE_INT, 12},
    {"+12", NODE_INT, 12},
    {"-12", NODE_INT, -12},
    {"1_000", NODE_INT, 1000},
    {"_1", NODE_STR, 0},
    {"010", NODE_INT, 8},
    {"0o10", NODE_INT, 8},
    {"0x1F", NODE_INT, 31},
    {"0X1f", NODE_INT, 31},
    {"-0x10", NODE_INT, -16},
    {"0b11", NODE_INT, 3},
    {"08", NODE_FLOAT, 8},
    {"09.5", NODE_FLOAT, 9.5},
    {"0o9", NODE_STR, 0},
    {"0x", NODE_STR, 0},
    {"0xg", NODE_STR, 0},
    {"1.5", NODE_FLOAT, 1.5},
    {".5", NODE_FLOAT, .5},
    {"5.", NODE_FLOAT, 5},
    {"1e3", NODE_FLOAT, 1000},
    {"1E-3", NODE_FLOAT, .001},
    {"-.5e1", NODE_FLOAT, -5},
    {"1e", NODE_STR, 0},
    {".", NODE_STR, 0},
    {"+", NODE_STR, 0},
    {"1.2.3", NODE_STR, 0},
    {"1 2", NODE_STR, 0},
    {"5s", NODE_STR, 0},
    {".inf", NODE_FLOAT, INFINITY},
    {"-.Inf", NODE_FLOAT, -INFINITY},
    {"+.INF", NODE_FLOAT, INFINITY},
    {"inf", NODE_STR, 0},
    {"9223372036854775807", NODE_INT, 9223372036854775807.0},
    {"-9223372036854775808", NODE_INT, -9223372036854775808.0},
    {"18446744073709551615", NODE_INT, 18446744073709551615.0},
    {"18446744073709551616", NODE_FLOAT, 18446744073709551616.0},
    {"2020-01-01", NODE_TIME, 0},
    {"2020-1-1", NODE_TIME, 0},
    {"2020-13-01", NODE_STR, 0},
    {"2020-02-30", NODE_STR, 0},
    {"2024-02-29", NODE_TIME, 0},
    {"2020-01-01T10:00:00Z", NODE_TIME, 0},
    {"2020-01-01 10:00:00.5", NODE_TIME, 0},
    {"2020-01-01t1:2:3+02:00", NODE_TIME, 0},
    {"2020-01-01T25:00:00Z", NODE_STR, 0},
    {"2020-01", NODE_STR, 0},
    {"localhost:4317", NODE_STR, 0},
    {"192.168.0.1", NODE_STR, 0},
    {"0.0.0.0:4317", NODE_STR, 0},
    {"!!str 5", NODE_STR, 0},
    {"!!int '5'", NODE_INT, 5},
    {"!!float 5", NODE_FLOAT, 5},
    {"'5'", NODE_STR, 0},
    {"\"true\"", NODE_STR, 0},
    {"!custom 5", NODE_STR, 0},
};

START_TEST(test_scalar)
{
    char *text = mem_printf("k: %s\n", scalars[_i].text);
    const struct node *n = parse(text);
    ck_assert_msg(n != NULL, "%s: %s", scalars[_i].text, said());
    const struct node *v = node_find(n, "k")->value;
    ck_assert_msg(v->type == scalars[_i].type, "%s is %s", scalars[_i].text, node_type_name(v));
    if (v->type == NODE_BOOL)
        ck_assert_int_eq(v->i, (int64_t)scalars[_i].value);
    if (v->type == NODE_INT)
        ck_assert_double_eq(v->big ? (double)v->u : (double)v->i, scalars[_i].value);
    if (v->type == NODE_FLOAT)
        ck_assert(v->d == scalars[_i].value);
    free(text);
}
END_TEST

START_TEST(test_nan)
{
    ck_assert(isnan(node_find(parse("k: .NaN"), "k")->value->d));
}
END_TEST

/* ---- places, anchors, merges ---- */

START_TEST(test_places)
{
    const struct node *n = parse("# first\na:\n  b: [1,\n    x]\n  c: 'q'\n");
    const struct entry *a = node_find(n, "a"), *b = node_find(a->value, "b"),
                       *c = node_find(a->value, "c");
    ck_assert_uint_eq(a->at.line, 2);
    ck_assert_uint_eq(b->at.line, 3);
    ck_assert_uint_eq(b->at.col, 3);
    ck_assert_uint_eq(b->value->items[1]->at.line, 4);
    ck_assert_uint_eq(b->value->items[1]->at.col, 5);
    ck_assert_uint_eq(c->value->at.col, 6);
    ck_assert_str_eq(c->at.file, "f.yaml");
}
END_TEST

START_TEST(test_anchors_and_merges)
{
    const struct node *n = parse("base: &b {x: 1, y: 2}\n"
                                 "other: &o {y: 3, z: 4}\n"
                                 "one: {<<: *b, y: 9}\n"
                                 "two: {<<: [*b, *o], w: *b}\n"
                                 "text: {\"<<\": 5}\n");
    ck_assert_msg(n != NULL, "%s", said());
    const struct node *one = node_find(n, "one")->value, *two = node_find(n, "two")->value;
    ck_assert_int_eq(node_find(one, "x")->value->i, 1);
    ck_assert_int_eq(node_find(one, "y")->value->i, 9);
    ck_assert_ptr_null(node_find(one, "<<"));
    ck_assert_int_eq(node_find(two, "y")->value->i, 2); /* the first of the list wins */
    ck_assert_int_eq(node_find(two, "z")->value->i, 4);
    ck_assert_ptr_eq(node_find(two, "w")->value, node_find(n, "base")->value);
    ck_assert_int_eq(node_find(node_find(n, "text")->value, "<<")->value->i, 5);
}
END_TEST

START_TEST(test_keys_that_are_not_strings)
{
    const struct node *n = parse("k: {1: a, 0x10: b, true: c, ~: d, 1.5: e}");
    const struct node *k = node_find(n, "k")->value;
    ck_assert_str_eq(k->entries[0].key, "1");
    ck_assert_str_eq(k->entries[1].key, "16");
    ck_assert_str_eq(k->entries[2].key, "true");
    ck_assert_str_eq(k->entries[4].key, "1.5");
}
END_TEST

START_TEST(test_empty_is_null)
{
    static const char *const texts[] = {"",      "\n\n",         "# only a comment\n",
                                        "---\n", "\xef\xbb\xbf", "---\n...\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct node *n = parse(texts[i]);
        ck_assert_msg(n && n->type == NODE_NULL, "%s", texts[i]);
    }
    ck_assert_uint_eq(diags->n, 0);
}
END_TEST

START_TEST(test_bom_and_utf16)
{
    const struct node *n = parse("\xef\xbb\xbfk: v\n");
    ck_assert_str_eq(node_find(n, "k")->value->text, "v");
    ck_assert_uint_eq(node_find(n, "k")->at.col, 1);
    n = parse_n("\xff\xfek\0:\0 \0v\0\n\0", 12);
    ck_assert_str_eq(node_find(n, "k")->value->text, "v");
}
END_TEST

START_TEST(test_second_document_is_a_warning)
{
    const struct node *n = parse("k: v\n---\nk: w\n");
    ck_assert_str_eq(node_find(n, "k")->value->text, "v");
    ck_assert_str_eq(said(), "f.yaml:2:1: warning: a second document begins here: it is ignored, "
                             "as the Collector ignores it\n"
                             "  give it to another --config to merge both\n");
}
END_TEST

/* ---- what is refused ---- */

static const struct {
    const char *text, *said;
} faults[] = {
    {"a:\n\tb: 1\n", "f.yaml:2:1: a tab is used for indentation\n  YAML wants spaces\n"},
    {"a:\n  b: 1\n \tc: 2\n", "f.yaml:3:2: a tab is used for indentation"},
    {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key \"a\" is given twice, first in line 1\n"},
    {"a: {b: 1, b: 2}\n", "f.yaml:1:11: the key \"b\" is given twice, first in line 1\n"},
    {"a: *x\n", "f.yaml:1:4: the alias *x has no anchor &x before it\n"},
    {"a: &x [*x]\n", "f.yaml:1:8: the alias *x stands inside its own anchor\n"},
    {"a: b: c\n", "f.yaml:1:5: not valid YAML: a second \":\" in one value\n"},
    {"a: [1, 2\n", "f.yaml:2:1: not valid YAML: a \",\" or \"]\" is missing\n"},
    {"a: {b: 1\n", "a \",\" or \"}\" is missing\n"},
    {"a:\n    b: 1\n  c: 2\n", "f.yaml:3:3: not valid YAML: a key was expected here\n"},
    {"a: \"b\n", "not valid YAML: the text ends inside a quoted value\n"},
    {"a: \"\\d+\"\n", "f.yaml:1:5: not valid YAML: unknown escape in a \"double-quoted\" value\n"},
    {"a: @b\n", "f.yaml:1:4: not valid YAML: "},
    {"a: \xff\xfe\n", "f.yaml:1:4: the text is not UTF-8\n"},
    {"a: 1\nb: \xc3(\n", "f.yaml:2:5: the text is not UTF-8\n"},
    {"a: \x01\n", "f.yaml:1:4: a control character, which YAML does not allow\n"},
    {"a: \"\\0\"\n", "f.yaml:1:4: a value holds a NUL character\n"},
    {"<<: 5\n", "f.yaml:1:1: \"<<\" merges a map or a list of maps, not an integer\n"},
    {"a: {<<: [[]]}\n", "\"<<\" merges a map or a list of maps, not a list\n"},
    {"? [a, b]\n: c\n", "f.yaml:1:3: a key must be a plain word, not a list\n"},
    {"a: !!int x\n", "f.yaml:1:4: \"x\" is not what its tag !!int says\n"},
    {"a:b\n---", ""},
};

START_TEST(test_fault)
{
    const struct node *n = parse(faults[_i].text);
    if (!faults[_i].said[0]) {
        ck_assert_ptr_nonnull(n);
        return;
    }
    ck_assert_ptr_null(n);
    ck_assert_uint_eq(diags->n_errors, 1);
    ck_assert_msg(strstr(said(), faults[_i].said) != NULL, "%s", said());
}
END_TEST

START_TEST(test_alias_bomb)
{
    struct buf text = {0};
    buf_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 9; i++)
        buf_putf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                 i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    ck_assert_ptr_null(parse_n((const char *)text.p, text.len));
    ck_assert_msg(strstr(said(), "f.yaml:6:5: the document is too large: more than 200000 values"),
                  "%s", said());
    buf_free(&text);
}
END_TEST

START_TEST(test_too_deep)
{
    struct buf text = {0};
    for (int i = 0; i < 5000; i++)
        buf_putc(&text, '[');
    ck_assert_ptr_null(parse_n((const char *)text.p, text.len));
    ck_assert_msg(strstr(said(), "too large: more than 200000 values, 100 levels"), "%s", said());
    buf_free(&text);
}
END_TEST

START_TEST(test_too_large)
{
    size_t n = YAML_MAX_BYTES + 1;
    char *text = mem_alloc(n);
    memset(text, '#', n);
    ck_assert_ptr_null(parse_n(text, n));
    ck_assert_str_eq(said(), "f.yaml: the text is larger than 16 MiB\n");
    free(text);
}
END_TEST

/* ---- durations ---- */

static const struct {
    const char *text;
    int64_t ns;
    const char *printed; /* NULL: refused */
} durations[] = {
    {"0", 0, "0s"},
    {"30s", 30000000000, "30s"},
    {"1m30s", 90000000000, "1m30s"},
    {"1h", 3600000000000, "1h0m0s"},
    {"1h1.5m.5s", 3690500000000, "1h1m30.5s"},
    {"500ms", 500000000, "500ms"},
    {"1.5ms", 1500000, "1.5ms"},
    {"10us", 10000, "10\xc2\xb5s"},
    {"10\xc2\xb5s", 10000, "10\xc2\xb5s"},
    {"10\xce\xbcs", 10000, "10\xc2\xb5s"},
    {"7ns", 7, "7ns"},
    {"-5s", -5000000000, "-5s"},
    {"+5s", 5000000000, "5s"},
    {"1.s", 1000000000, "1s"},
    {"0.3s", 300000000, "300ms"},
    {"300000h", 1080000000000000000, "300000h0m0s"},
    {"", 0, NULL},
    {"-", 0, NULL},
    {"5", 0, NULL},
    {"5 s", 0, NULL},
    {"1d", 0, NULL},
    {".s", 0, NULL},
    {"s", 0, NULL},
    {"3000000h", 0, NULL},
    {"1h-5m", 0, NULL},
};

START_TEST(test_duration)
{
    int64_t ns;
    const char *why;
    struct buf text = {0};
    int rc = duration_parse(durations[_i].text, &ns, &why);
    ck_assert_msg((rc == 0) == (durations[_i].printed != NULL), "%s", durations[_i].text);
    if (rc == 0) {
        ck_assert_int_eq(ns, durations[_i].ns);
        duration_print(&text, ns);
        ck_assert_uint_eq(text.len, strlen(durations[_i].printed));
        ck_assert(memcmp(text.p, durations[_i].printed, text.len) == 0);
    }
    buf_free(&text);
}
END_TEST

/* ---- merging of several sources ---- */

static struct loaded load_two(const char *a, const char *b, const char *set)
{
    const char *const uris[] = {a, b};
    return load_uris(uris, b ? 2 : 1, &set, set != NULL);
}

#define BASE                                                                                       \
    "yaml:receivers: {probe: }\nprocessors: {probe: {size: 1, names: [x, y], plain: {size: "       \
    "5}}}\nexporters: {sink: }\n"                                                                  \
    "service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [probe], "     \
    "processors: [probe], exporters: [sink]}}}"

START_TEST(test_later_sources_win)
{
    struct loaded l = load_two(BASE, "yaml:processors: {probe: {names: [z], plain: {wait: 5s}}}",
                               "processors.probe.size=7");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    const struct probe *p = probe_of(&l);
    ck_assert_uint_eq(p->size, 7);
    ck_assert_uint_eq(p->names.n, 1); /* lists are replaced */
    ck_assert_str_eq(p->names.v[0], "z");
    ck_assert_uint_eq(p->plain.size, 5); /* maps are merged */
    ck_assert_int_eq(p->plain.wait_ns, 5000000000);
    loaded_free(&l);
}
END_TEST

START_TEST(test_null_replaces_a_map)
{
    struct loaded l = load_two(BASE, "yaml:processors: {probe: }", NULL);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_uint_eq(probe_of(&l)->size, 10);
    loaded_free(&l);
    l = load_two(BASE, "yaml:processors: {probe: {}}", NULL);
    ck_assert_uint_eq(probe_of(&l)->size, 1);
    loaded_free(&l);
}
END_TEST

START_TEST(test_double_colon_splits_keys)
{
    struct loaded l = load_two(
        BASE, "yaml:processors::probe::plain: {size: 8}\nprocessors: {probe::count: 3}", NULL);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_uint_eq(probe_of(&l)->plain.size, 8);
    ck_assert_int_eq(probe_of(&l)->count, 3);
    ck_assert_uint_eq(probe_of(&l)->size, 1);
    loaded_free(&l);
}
END_TEST

START_TEST(test_set_takes_any_yaml)
{
    struct loaded l = load_two(BASE, NULL, "processors.probe.names=[q, '5', r]");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_uint_eq(probe_of(&l)->names.n, 3);
    loaded_free(&l);
    l = load_two(BASE, NULL, "processors.probe={count: 4}");
    ck_assert_int_eq(probe_of(&l)->count, 4);
    ck_assert_uint_eq(probe_of(&l)->size, 1);
    loaded_free(&l);
    l = load_two(BASE, NULL, "processors.probe.size=no");
    ck_assert_ptr_nonnull(strstr(l.text, "--set processors.probe.size=no: processors.probe.size: "
                                         "expected an integer, \"no\" is a string\n"));
    loaded_free(&l);
    l = load_two(BASE, NULL, "processors.probe.size");
    ck_assert_ptr_nonnull(
        strstr(l.text, "--set processors.probe.size: an equal sign is missing\n"));
    loaded_free(&l);
}
END_TEST

START_TEST(test_sources_that_cannot_be_read)
{
    static const char *const cases[][2] = {
        {"/nowhere/x.yaml", "--config /nowhere/x.yaml: cannot read the file /nowhere/x.yaml: No "
                            "such file or directory\n"},
        {"file:/nowhere/x.yaml",
         "cannot read the file /nowhere/x.yaml: No such file or directory\n"},
        {"/", "cannot read the file /: Is a directory\n"},
        {"http://x/y", "--config http://x/y: configuration is not read over HTTP (http://x/y): "
                       "fetch it to a file first"},
        {"s3:x", "--config s3:x: scheme \"s3\" is not supported: file, env and yaml are\n"},
        {"yaml:- a", "yaml::1:1: a configuration is a map, this is a list\n"},
        {"yaml:hello", "yaml::1:1: a configuration is a map, this is a string\n"},
        {"yaml:", "the configuration is empty\n"},
        {"yaml:{}", "the configuration is empty\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loaded l = load_uris(&cases[i][0], 1, NULL, 0);
        ck_assert_ptr_null(l.plan);
        ck_assert_msg(strstr(l.text, cases[i][1]) != NULL, "%s: %s", cases[i][0], l.text);
        loaded_free(&l);
    }
}
END_TEST

START_TEST(test_env_as_a_document)
{
    setenv("WHOLE", strchr(BASE, ':') + 1, 1);
    const char *uri = "env:WHOLE";
    struct loaded l = load_uris(&uri, 1, NULL, 0);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    loaded_free(&l);
    setenv("WHOLE", "receivers: {nope: }", 1);
    l = load_uris(&uri, 1, NULL, 0);
    ck_assert_ptr_nonnull(strstr(l.text, "env:WHOLE:1:13: receivers.nope: unknown type \"nope\""));
    loaded_free(&l);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("yaml");
    Suite *s = suite_create("config_yaml");
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, test_scalar, 0, ARRAY_LEN(scalars));
    tcase_add_test(tc, test_nan);
    tcase_add_test(tc, test_places);
    tcase_add_test(tc, test_anchors_and_merges);
    tcase_add_test(tc, test_keys_that_are_not_strings);
    tcase_add_test(tc, test_empty_is_null);
    tcase_add_test(tc, test_bom_and_utf16);
    tcase_add_test(tc, test_second_document_is_a_warning);
    tcase_add_loop_test(tc, test_fault, 0, ARRAY_LEN(faults));
    tcase_add_test(tc, test_alias_bomb);
    tcase_add_test(tc, test_too_deep);
    tcase_add_test(tc, test_too_large);
    tcase_add_loop_test(tc, test_duration, 0, ARRAY_LEN(durations));
    tcase_add_test(tc, test_later_sources_win);
    tcase_add_test(tc, test_null_replaces_a_map);
    tcase_add_test(tc, test_double_colon_splits_keys);
    tcase_add_test(tc, test_set_takes_any_yaml);
    tcase_add_test(tc, test_sources_that_cannot_be_read);
    tcase_add_test(tc, test_env_as_a_document);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
