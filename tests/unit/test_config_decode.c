/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes to settings by key rows: types, defaults, ranges, sections, and the text and place of every
 * complaint. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "config/describe.h"
#include "tests/lib/test_config.h"

/* ---- what is accepted ---- */

START_TEST(test_defaults)
{
    static const char *const nothing[] = {"    ", "    {}", "    silent: 5"};
    for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
        struct loaded l = load_probe(nothing[i]);
        const struct probe *p = probe_of(&l);
        ck_assert_msg(p != NULL, "%s", l.text);
        ck_assert_str_eq(l.text, "");
        ck_assert(p->flag);
        ck_assert_int_eq(p->count, -1);
        ck_assert_uint_eq(p->size, 10);
        ck_assert_double_eq(p->ratio, 0.5);
        ck_assert_int_eq(p->timeout_ns, 200000000);
        ck_assert_str_eq(p->text, "hello");
        ck_assert(!p->text_given);
        ck_assert_str_eq(p->color, "green");
        ck_assert_ptr_null(p->token);
        ck_assert_uint_eq(p->names.n, 2);
        ck_assert_str_eq(p->names.v[1], "b");
        ck_assert_uint_eq(p->headers.n, 0);
        ck_assert_uint_eq(p->items.n, 0);
        ck_assert_int_eq(p->any.type, VALUE_NONE);
        ck_assert_str_eq(p->plain.endpoint, "localhost:1");
        ck_assert_int_eq(p->plain.wait_ns, 2000000000);
        ck_assert(!p->off_enabled);
        ck_assert(!p->lazy_enabled);
        ck_assert(p->on_enabled);
        ck_assert_str_eq(p->on.endpoint, "localhost:1");
        loaded_free(&l);
    }
}
END_TEST

static const struct probe *must_load(struct loaded *l, const char *settings)
{
    *l = load_probe(settings);
    ck_assert_msg(l->plan != NULL, "%s: %s", settings, l->text);
    return probe_of(l);
}

START_TEST(test_values)
{
    struct loaded l;
    const struct probe *p = must_load(
        &l, "    flag: false\n    count: 0x10\n    size: 1_000\n    ratio: 2\n    timeout: 1m\n"
            "    text: ''\n    color: blue\n    token: s3cret\n    names: [x]\n");
    ck_assert(!p->flag);
    ck_assert_int_eq(p->count, 16);
    ck_assert_uint_eq(p->size, 1000);
    ck_assert_double_eq(p->ratio, 2);
    ck_assert_int_eq(p->timeout_ns, 60000000000);
    ck_assert_str_eq(p->text, "");
    ck_assert(p->text_given);
    ck_assert_str_eq(p->color, "blue");
    ck_assert_str_eq(p->token, "s3cret");
    ck_assert_uint_eq(p->names.n, 1);
    loaded_free(&l);
}
END_TEST

START_TEST(test_lists_of_strings)
{
    static const struct {
        const char *text;
        size_t n;
        const char *last;
    } cases[] = {
        {"    names: a, b,c", 3, "c"}, {"    names: ', '", 2, " "},
        {"    names: ''", 0, NULL},    {"    names: []", 0, NULL},
        {"    names: ", 0, NULL},      {"    names: x", 1, "x"},
        {"    names: [~]", 1, ""},     {"    names:\n    - a\n    - '5'", 2, "5"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loaded l;
        const struct probe *p = must_load(&l, cases[i].text);
        ck_assert_uint_eq(p->names.n, cases[i].n);
        if (cases[i].n)
            ck_assert_str_eq(p->names.v[p->names.n - 1], cases[i].last);
        loaded_free(&l);
    }
}
END_TEST

START_TEST(test_pairs)
{
    static const char *const cases[] = {
        "    headers: {a: '1', b: }",
        "    headers: [{name: a, value: '1'}, {name: b}]",
        "    headers:\n      a: '1'\n      b: ''",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct loaded l;
        const struct probe *p = must_load(&l, cases[i]);
        ck_assert_uint_eq(p->headers.n, 2);
        ck_assert_str_eq(p->headers.v[0].name, "a");
        ck_assert_str_eq(p->headers.v[0].value, "1");
        ck_assert_str_eq(p->headers.v[1].name, "b");
        ck_assert_str_eq(p->headers.v[1].value, "");
        loaded_free(&l);
    }
}
END_TEST

START_TEST(test_items)
{
    struct loaded l;
    const struct probe *p = must_load(&l, "    items:\n    - name: one\n      limit: 5\n    - "
                                          "{name: two, latency: {threshold_ms: 3.9}}");
    const struct probe_item *v = p->items.v;
    ck_assert_uint_eq(p->items.n, 2);
    ck_assert_str_eq(v[0].name, "one");
    ck_assert_uint_eq(v[0].limit, 5);
    ck_assert_str_eq(v[0].type, "plain");
    ck_assert_uint_eq(v[1].limit, 7);
    ck_assert_int_eq(v[1].latency.threshold_ms, 3);
    ck_assert_ptr_nonnull(
        strstr(l.text,
               "7:43: warning: processors.probe.items[1].latency.threshold_ms: 3.9 is cut to 3\n"));
    loaded_free(&l);
}
END_TEST

START_TEST(test_any_value)
{
    struct loaded l;
    const struct value *v =
        &must_load(&l, "    any: {a: [1, x, 2.5, true, ~], b: 2020-01-01}")->any;
    ck_assert_int_eq(v->type, VALUE_MAP);
    ck_assert_str_eq(v->names[0], "a");
    ck_assert_int_eq(v->items[0].type, VALUE_LIST);
    ck_assert_uint_eq(v->items[0].n, 5);
    ck_assert_int_eq(v->items[0].items[0].i, 1);
    ck_assert_str_eq(v->items[0].items[1].s, "x");
    ck_assert_double_eq(v->items[0].items[2].d, 2.5);
    ck_assert_int_eq(v->items[0].items[3].i, 1);
    ck_assert_int_eq(v->items[0].items[4].type, VALUE_NULL);
    ck_assert_str_eq(v->items[1].s, "2020-01-01");
    loaded_free(&l);
}
END_TEST

static const struct {
    const char *text;
    bool off, lazy, on;
    uint64_t size; /* of all three */
} sections[] = {
    {"    off:\n    lazy:\n    on: ", false, true, true, 4},
    {"    off: {}\n    lazy: {}\n    on: {}", true, true, true, 4},
    {"    off: {size: 9}\n    lazy: {size: 9}\n    on: {size: 9}", true, true, true, 9},
    {"    off: {enabled: false}\n    lazy: {enabled: false}\n    on: {enabled: false}", false,
     false, false, 4},
    {"    off: {enabled: true}\n    lazy: {enabled: true}\n    on: {enabled: true}", true, true,
     true, 4},
};

START_TEST(test_section)
{
    struct loaded l;
    const struct probe *p = must_load(&l, sections[_i].text);
    ck_assert(p->off_enabled == sections[_i].off);
    ck_assert(p->lazy_enabled == sections[_i].lazy);
    ck_assert(p->on_enabled == sections[_i].on);
    ck_assert_uint_eq(p->off.size, sections[_i].size);
    ck_assert_uint_eq(p->lazy.size, sections[_i].size);
    ck_assert_uint_eq(p->on.size, sections[_i].size);
    loaded_free(&l);
}
END_TEST

START_TEST(test_plain_section_keeps_defaults_when_null)
{
    struct loaded l;
    const struct probe *p = must_load(&l, "    plain:");
    ck_assert_uint_eq(p->plain.size, 4);
    ck_assert_str_eq(l.text, "");
    loaded_free(&l);
}
END_TEST

START_TEST(test_nested_optional)
{
    struct loaded l;
    ck_assert_uint_eq(must_load(&l, "    on: {deep: }")->on.deep.level, 3);
    ck_assert(probe_of(&l)->on.deep_enabled);
    loaded_free(&l);
}
END_TEST

START_TEST(test_null_scalars_are_zero_and_warned)
{
    struct loaded l;
    const struct probe *p = must_load(&l, "    timeout:\n    size: ~\n    text: null\n    token:");
    ck_assert_int_eq(p->timeout_ns, 0);
    ck_assert_uint_eq(p->size, 0);
    ck_assert_str_eq(p->text, "");
    ck_assert_uint_eq(l.n_warnings, 3); /* token has no default to lose */
    ck_assert_ptr_nonnull(strstr(l.text,
                                 "warning: processors.probe.timeout: nothing stands here, which "
                                 "means 0s and not the default 200ms\n"
                                 "  timeout: duration, default 200ms, 0s to 1h. How long.\n"));
    loaded_free(&l);
}
END_TEST

/* ---- complaints: text and place ---- */

static const struct {
    const char *settings, *said;
} errors[] = {
    {"    flag: 1",
     "yaml::4:11: processors.probe.flag: expected true or false, \"1\" is an integer\n"
     "  flag: true or false, default true. A switch.\n"},
    {"    flag: yes", "4:11: processors.probe.flag: expected true or false, \"yes\" is a string\n"},
    {"    flag: []", "4:11: processors.probe.flag: expected true or false, this is a list\n"},
    {"    count: '5'", "4:12: processors.probe.count: expected an integer, \"5\" is a string\n"},
    {"    count: 101", "4:12: processors.probe.count: 101 is out of range: -100 to 100\n"
                       "  count: integer, default -1, -100 to 100. A number.\n"},
    {"    count: 99999999999999999999",
     "4:12: processors.probe.count: 99999999999999999999 is too large for an integer\n"},
    {"    size: -1", "4:11: processors.probe.size: -1 must not be negative\n"},
    {"    size: -0.5", "4:11: processors.probe.size: -0.5 must not be negative\n"},
    {"    size: .inf", "4:11: processors.probe.size: .inf is too large for an integer\n"},
    {"    size: .nan", "4:11: processors.probe.size: .nan is too large for an integer\n"},
    {"    ratio: .nan", "4:12: processors.probe.ratio: .nan is not a number\n"},
    {"    ratio: -1", "4:12: processors.probe.ratio: -1 is out of range: 0 to 100\n"},
    {"    ratio: 5%", "4:12: processors.probe.ratio: expected a number, \"5%\" is a string\n"},
    {"    timeout: '5'",
     "4:14: processors.probe.timeout: \"5\": a unit is missing: write 30s, 1m30s or 500ms\n"},
    {"    timeout: 1d",
     "4:14: processors.probe.timeout: \"1d\": the unit is unknown: ns, us, ms, s, m and h exist\n"},
    {"    timeout: ''",
     "4:14: processors.probe.timeout: \"\": it is not a duration such as 30s, 1m30s or 500ms\n"},
    {"    timeout: 2h", "4:14: processors.probe.timeout: 2h is out of range: 0s to 1h\n"},
    {"    timeout: -5s", "4:14: processors.probe.timeout: -5s is out of range: 0s to 1h\n"},
    {"    timeout: true",
     "4:14: processors.probe.timeout: expected a duration such as 30s, \"true\" is a boolean\n"},
    {"    text: 5",
     "4:11: processors.probe.text: expected a string (put it in quotes), \"5\" is an integer\n"},
    {"    text: 2020-01-01", "4:11: processors.probe.text: expected a string (put it in quotes), "
                             "\"2020-01-01\" is a date\n"},
    {"    text: {}", "4:11: processors.probe.text: expected a string, this is a map\n"},
    {"    color: gren",
     "4:12: processors.probe.color: \"gren\" is not a choice, did you mean \"green\"?\n"
     "  color: string, default green, one of: red, green, blue. A colour.\n"},
    {"    color: Green",
     "4:12: processors.probe.color: \"Green\" is not a choice, did you mean \"green\"?\n"},
    {"    color: purple", "4:12: processors.probe.color: \"purple\" is not a choice\n"},
    {"    names: {a: b}",
     "4:12: processors.probe.names: expected a list of strings, this is a map\n"},
    {"    names: 5",
     "4:12: processors.probe.names: expected a list of strings, \"5\" is an integer\n"},
    {"    names:\n    - a\n    - 5",
     "6:7: processors.probe.names[1]: expected a string (put it in quotes), \"5\" is an integer\n"},
    {"    headers: {a: 1}", "4:18: processors.probe.headers.a: expected a string (put it in "
                            "quotes), \"1\" is an integer\n"},
    {"    headers: 5", "4:14: processors.probe.headers: expected a map, or a list of {name, "
                       "value}, \"5\" is an integer\n"},
    {"    headers: [{name: a}, {name: a}]",
     "4:27: processors.probe.headers: \"a\" is given twice\n"},
    {"    headers: [{name: a, x: y}]",
     "4:25: processors.probe.headers[0]: unknown key \"x\": an entry has name and value\n"},
    {"    headers: [{value: a}]", "4:15: processors.probe.headers[0]: an entry needs a name\n"},
    {"    headers: [5]",
     "4:15: processors.probe.headers[0]: expected a map of name and value, \"5\" is an integer\n"},
    {"    items: {name: a}", "4:12: processors.probe.items: expected a list, this is a map\n"},
    {"    items: [5]", "4:13: processors.probe.items[0]: expected a map, \"5\" is an integer\n"},
    {"    items:\n    - limit: 3\n", "5:7: processors.probe.items[0].name: this key is required\n"
                                     "  name: string, required. Its name.\n"},
    {"    items:\n    - name: a\n      limit: 0\n",
     "6:14: processors.probe.items[0].limit: 0 is out of range: 1 to 100\n"},
    {"    plain: 5", "4:12: processors.probe.plain: expected a map, \"5\" is an integer\n"},
    {"    lazy: []", "4:11: processors.probe.lazy: expected a map, this is a list\n"},
    {"    lazy: {enabled: yes}",
     "4:21: processors.probe.lazy.enabled: expected true or false, this is a string\n"
     "  enabled: true or false. Turns the section on or off.\n"},
    {"    off: {enabled: false, zzz: 1}", "4:27: processors.probe.off.zzz: unknown key\n"},
    {"    plain: {enabled: true}", "processors.probe.plain.enabled: unknown key\n"},
    {"    future: 1", "4:13: processors.probe.future: not supported yet\n  future: not supported "
                      "yet. Something to come.\n"},
    {"    timeuot: 5s", "4:5: processors.probe.timeuot: unknown key, did you mean \"timeout\"?\n"
                        "  timeout: duration, default 200ms, 0s to 1h. How long.\n"},
    {"    Timeout: 5s", "4:5: processors.probe.Timeout: unknown key, did you mean \"timeout\"?\n"},
    {"    time-out: 5s", "unknown key, did you mean \"timeout\"?\n"},
    {"    endpoint: x", "4:5: processors.probe.endpoint: unknown key here: it belongs under plain "
                        "or off or lazy or on\n"
                        "  endpoint: string, default localhost:1. Where to listen.\n"},
    {"    threshold_ms: 3",
     "4:5: processors.probe.threshold_ms: unknown key here: it belongs under items[].latency\n"},
    {"    lazy: {flag: true}", "4:12: processors.probe.lazy.flag: unknown key here: it belongs "
                               "under the top of this component\n"},
    {"    zzzzzz: 5", "4:5: processors.probe.zzzzzz: unknown key\n  keys here: flag, count, size,"},
    {"    items:\n    - name: a\n      latency: {threshold_ms: -1}",
     "6:31: processors.probe.items[0].latency.threshold_ms: must not be negative\n"
     "  threshold_ms: integer, default 0. The longest trace that is not kept.\n"},
};

START_TEST(test_error)
{
    struct loaded l = load_probe(errors[_i].settings);
    ck_assert_msg(!l.plan, "%s was accepted", errors[_i].settings);
    ck_assert_uint_eq(l.n_errors, 1);
    ck_assert_msg(strstr(l.text, errors[_i].said) != NULL, "%s:\n%s", errors[_i].settings, l.text);
    loaded_free(&l);
}
END_TEST

static const struct {
    const char *settings, *said;
} warnings[] = {
    {"    timeout: 5", "4:14: warning: processors.probe.timeout: 5 without a unit means "
                       "nanoseconds; for seconds write 5s\n"},
    {"    timeout: 5.7", "4:14: warning: processors.probe.timeout: 5.7 is cut to 5\n"},
    {"    size: 5.7", "4:11: warning: processors.probe.size: 5.7 is cut to 5\n"},
    {"    loud: 5", "4:11: warning: processors.probe.loud: accepted, but it has no effect here\n"},
    {"    label: x", "4:5: warning: processors.probe.label: this key is now called \"text\"\n"},
    {"    ratio: 2", "4:12: warning: processors.probe.ratio: over 1\n  ratio: number, default 0.5, "
                     "0 to 100. A share.\n"},
};

START_TEST(test_warning)
{
    struct loaded l = load_probe(warnings[_i].settings);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_uint_ge(l.n_warnings, 1);
    ck_assert_msg(strstr(l.text, warnings[_i].said) != NULL, "%s:\n%s", warnings[_i].settings,
                  l.text);
    loaded_free(&l);
}
END_TEST

static const char *const silent[] = {
    "    timeout: 0", "    size: 1e3",      "    size: 08",
    "    ratio: 1",   "    silent: {a: b}", "    size: 5.0",
    "    future:",    "    future: []",     "    future: {enabled: false, x: 1}"};

START_TEST(test_silent)
{
    struct loaded l = load_probe(silent[_i]);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(l.text, "");
    loaded_free(&l);
}
END_TEST

START_TEST(test_all_at_once)
{
    struct loaded l = load_probe("    zz: 1\n    count: x\n    items:\n    - limit: 500\n      zz: "
                                 "1\n    plain: {wait: 1x, zz: 3}\n    color: 5");
    ck_assert_uint_eq(l.n_errors, 8);
    static const char *const places[] = {
        "4:5:", "5:12:", "7:7:", "7:14:", "8:7:", "9:19:", "9:23:", "10:12:"};
    const char *at = l.text;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) { /* in file order */
        at = strstr(at, places[i]);
        ck_assert_msg(at != NULL, "%s is missing or late in\n%s", places[i], l.text);
    }
    loaded_free(&l);
}
END_TEST

/* check() runs all the same, but what it says about keys that were not written may be a
 * consequence. */
START_TEST(test_rules_beside_wrong_keys)
{
    struct loaded l =
        load_probe("    zz: 1\n    items:\n    - name: a\n      latency: {threshold_ms: -1}\n    - "
                   "name: b\n      latency: {threshold_m: -1}");
    ck_assert_uint_eq(l.n_errors, 3);
    ck_assert_ptr_nonnull(strstr(
        l.text, "7:31: processors.probe.items[0].latency.threshold_ms: must not be negative\n"));
    loaded_free(&l);
    unsetenv("UNSET");
    l = load_probe("    items: [{name: a, latency: {threshold_ms: '${env:UNSET:--1}'}}]");
    ck_assert_ptr_nonnull(
        strstr(l.text, "4:47: processors.probe.items[0].latency.threshold_ms: must not be negative "
                       "(the value comes from ${env:UNSET:--1})\n"));
    loaded_free(&l);
}
END_TEST

START_TEST(test_the_nearest_place_of_a_key)
{
    struct loaded l = load_probe("    level: 5\n    items: [{name: a, threshold_ms: 1}]");
    ck_assert_ptr_nonnull(
        strstr(l.text, "4:5: processors.probe.level: unknown key here: it belongs under plain.deep "
                       "or off.deep or lazy.deep or on.deep\n"));
    ck_assert_ptr_nonnull(strstr(l.text, "5:23: processors.probe.items[0].threshold_ms: unknown "
                                         "key here: it belongs under latency\n"));
    loaded_free(&l);
}
END_TEST

START_TEST(test_a_flood_is_cut)
{
    struct buf text = {0};
    for (int i = 0; i < 300; i++)
        buf_putf(&text, "    q%d: 1\n", i);
    buf_putc(&text, 0);
    struct loaded l = load_probe((const char *)text.p);
    ck_assert_uint_eq(l.n_errors, 300);
    ck_assert_ptr_nonnull(strstr(l.text, "\nand 100 more\n"));
    buf_free(&text);
    loaded_free(&l);
}
END_TEST

START_TEST(test_row_lines)
{
    static const char *const choices[] = {"", "gzip", NULL};
    static const struct {
        struct key k;
        const char *line;
    } rows[] = {
        {{.name = "a",
          .type = KEY_T_DURATION,
          .dflt = "30s",
          .min = 1e6,
          .max = 3600e9,
          .doc = "D."},
         "a: duration, default 30s, 1ms to 1h. D."},
        {{.name = "a", .type = KEY_T_UINT, .min = 1, .max = 1e19, .unit = "MiB", .doc = "D."},
         "a: integer, MiB, at least 1. D."},
        {{.name = "a", .type = KEY_T_ENUM, KEY_ANY, .choices = choices, .doc = "D."},
         "a: string, one of: \"\", gzip. D."},
        {{.name = "a", .type = KEY_T_DOUBLE, .min = 0, .max = 0.5, .doc = "D."},
         "a: number, 0 to 0.5. D."},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = {0};
        key_put_line(&out, &rows[i].k);
        buf_putc(&out, 0);
        ck_assert_str_eq((const char *)out.p, rows[i].line);
        buf_free(&out);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("decode");
    Suite *s = suite_create("config_decode");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, test_defaults);
    tcase_add_test(tc, test_values);
    tcase_add_test(tc, test_lists_of_strings);
    tcase_add_test(tc, test_pairs);
    tcase_add_test(tc, test_items);
    tcase_add_test(tc, test_any_value);
    tcase_add_loop_test(tc, test_section, 0, ARRAY_LEN(sections));
    tcase_add_test(tc, test_plain_section_keeps_defaults_when_null);
    tcase_add_test(tc, test_nested_optional);
    tcase_add_test(tc, test_null_scalars_are_zero_and_warned);
    tcase_add_loop_test(tc, test_error, 0, ARRAY_LEN(errors));
    tcase_add_loop_test(tc, test_warning, 0, ARRAY_LEN(warnings));
    tcase_add_loop_test(tc, test_silent, 0, ARRAY_LEN(silent));
    tcase_add_test(tc, test_all_at_once);
    tcase_add_test(tc, test_rules_beside_wrong_keys);
    tcase_add_test(tc, test_the_nearest_place_of_a_key);
    tcase_add_test(tc, test_a_flood_is_cut);
    tcase_add_test(tc, test_row_lines);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
