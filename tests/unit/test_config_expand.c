/* SPDX-License-Identifier: Apache-2.0 */
/* ${...}: what the Collector 0.158 makes of each of these texts, asked with print-config. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test_config.h"

static const char *const environment[][2] = {
    {"A", "aa"},
    {"N", "123"},
    {"OCT", "0123"},
    {"Q", "\"0123\""},
    {"LIST", "[a,b]"},
    {"MAP", "{k: v}"},
    {"EMPTY", ""},
    {"D", "$"},
    {"REC", "${REC}"},
    {"NAME", "A"},
    {"DUR", "5s"},
    {"INT5", "5"},
    {"BAD", "a: b: c"},
    {"L2", "a,b"},
    {"NEST", "${A}"},
    {"NESTL", "[${A}, x]"},
    {"NESTQ", "[\"${A}\", x]"},
    {"TRUE", "true"},
    {"TAB", "\tx"},
    {"LINES", "a\nb"},
    {"NL", "x\n"},
    {"DD", "$$"},
    {"DDA", "$${A}"},
    {"FLT", "1.50"},
    {"NUL", "null"},
    {"TIL", "~"},
    {"ESC", "$${N}"},
    {"DATE", "2020-01-01"},
    {"SP", "  5 "},
    {"CM", "5 # c"},
    {"HEX", "0xdeadbeef"},
    {"UND", "1_000"},
    {"ANCH", "&a b"},
    {"ALIAS", "*a"},
    {"EXCL", "!!str 5"},
    {"DASH", "- a"},
    {"COL", "a:b"},
    {"TWO", "a: b\n---\nc: d"},
    {"Q2", "'x'"},
    {"WIDE", "[${WIDE},${WIDE}]"},
    {"WIDEQ", "[\"${WIDEQ}\",\"${WIDEQ}\"]"},
    {"GROW", "${GROW}${GROW}x"},
};

static void set_environment(void)
{
    unsetenv("UNSET");
    for (size_t i = 0; i < ARRAY_LEN(environment); i++)
        setenv(environment[i][0], environment[i][1], 1);
}

/* The value in single quotes under `key`. */
static struct loaded load_value(const char *key, const char *value)
{
    char *line = mem_printf("    %s: '", key), *whole;
    struct buf text = {0};
    buf_puts(&text, line);
    for (const char *p = value; *p; p++)
        buf_puts(&text, *p == '\'' ? "''" : (char[]){*p, 0});
    buf_puts(&text, "'");
    buf_putc(&text, 0);
    whole = mem_dup((const char *)text.p);
    struct loaded l = load_probe(whole);
    buf_free(&text);
    free(line);
    free(whole);
    return l;
}

/* ---- in a string ---- */

static const char *const strings[][2] = {
    {"${A}", "aa"},
    {"${env:A}${N}", "aa123"},
    {"${UNSET}", ""},
    {"x${UNSET}y", "xy"},
    {"${env:UNSET:-d}", "d"},
    {"${env:EMPTY:-d}", ""},
    {"$A", "$A"},
    {"$$A", "$A"},
    {"$${A}", "${A}"},
    {"$$${A}", "$aa"},
    {"$$$${A}", "$${A}"},
    {"$${A} ${A}", "${A} ${A}"},
    {"${A} $${A} ${N}", "aa $aa 123"},
    {"${env:${NAME}}", "aa"},
    {"${D}", "$"},
    {"${D}{A}", "aa"},
    {"${LIST}", "[a,b]"},
    {"${NESTL}", "[aa, x]"},
    {"${NESTQ}", "[\"aa\", x]"},
    {"${NEST}", "aa"},
    {"${Q}", "\"0123\""},
    {"${OCT}", "0123"},
    {"${TRUE}", "true"},
    {"${MAP}", "{k: v}"},
    {"${BAD}", "a: b: c"},
    {"${TAB}", "\tx"},
    {"${yaml:1}", "1"},
    {"} ${N} {", "} 123 {"},
    {"${A", "${A"},
    {"${ ${A}", "${ aa"},
    {"${${A}}", ""},
    {"${DD}", "$"},
    {"${DDA}", "${A}"},
    {"x${DDA}", "x${A}"},
    {"${env:UNSET:-${N}}", "123"},
    {"${env:UNSET:-}", ""},
    {"a${env:UNSET:-}b", "ab"},
    {"${LINES}", "a\nb"},
    {"${NL}", "x\n"},
    {"x${NL}y", "xx\ny"},
    {"${FLT}", "1.50"},
    {"${NUL}", "null"},
    {"${TIL}", "~"},
    {"x${NUL}", "xnull"},
    {"${ESC}", "${N}"},
    {"${DATE}", "2020-01-01"},
    {"${SP}", "  5 "},
    {"x${SP}y", "x  5 y"},
    {"${CM}", "5 # c"},
    {"${HEX}", "0xdeadbeef"},
    {"${ANCH}", "&a b"},
    {"${ALIAS}", "*a"},
    {"${EXCL}", "!!str 5"},
    {"${DASH}", "- a"},
    {"${COL}", "a:b"},
    {"${TWO}", "a: b\n---\nc: d"},
    {"${Q2}", "'x'"},
    {"x${Q2}", "x'x'"},
    {"${yaml:{a: b}}", "{a: b}"},
    {"${yaml:\"q\"}", "\"q\""},
    {"$", "$"},
    {"$$", "$"},
    {"$$$", "$$"},
    {"${", "${"},
    {"}", "}"},
    {"{}", "{}"},
    {"$}", "$}"},
    {"${env:A}}", "aa}"},
    {"{${A}}", "{aa}"},
    {"$${env:A}$$${env:A}", "${env:A}$${env:A}"},
    {"${env:UNSET:-a:-b}", "a:-b"},
    {"${yaml:${A}}", "aa"},
    {"${yaml:$${A}}", "${yaml:${A}}"},
};

START_TEST(test_string)
{
    struct loaded l = load_value("text", strings[_i][0]);
    ck_assert_msg(l.plan != NULL, "%s: %s", strings[_i][0], l.text);
    ck_assert_msg(strcmp(probe_of(&l)->text, strings[_i][1]) == 0,
                  "%s gave \"%s\", expected \"%s\"", strings[_i][0], probe_of(&l)->text,
                  strings[_i][1]);
    loaded_free(&l);
}
END_TEST

/* The same inside a list of strings. */
START_TEST(test_string_in_list)
{
    struct buf text = {0};
    buf_puts(&text, "    names: ['");
    for (const char *p = strings[_i][0]; *p; p++)
        buf_puts(&text, *p == '\'' ? "''" : (char[]){*p, 0});
    buf_puts(&text, "']");
    buf_putc(&text, 0);
    struct loaded l = load_probe((const char *)text.p);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_uint_eq(probe_of(&l)->names.n, 1);
    ck_assert_str_eq(probe_of(&l)->names.v[0], strings[_i][1]);
    buf_free(&text);
    loaded_free(&l);
}
END_TEST

/* ---- in a list, a number, a duration ---- */

static const struct {
    const char *value, *joined; /* NULL: refused */
} lists[] = {
    {"${LIST}", "a|b|"},
    {"${NESTL}", "[aa| x]|"},
    {"${NESTQ}", "aa|x|"},
    {"${L2}", "a|b|"},
    {"${MAP}", NULL},
    {"${N}", NULL},
    {"${UNSET}", ""},
    {"${EMPTY}", ""},
    {"${Q}", "\"0123\"|"},
    {"${yaml:[1, 2]}", NULL},
    {"${yaml:[\"1\", \"${N}\"]}", "1|123|"},
    {"${yaml:[\"${LIST}\"]}", "[a,b]|"},
    {"${DASH}", "a|"},
    {"x${LIST}", "x[a|b]|"},
    {"${yaml:[~]}", "|"},
};

START_TEST(test_list)
{
    struct loaded l = load_value("names", lists[_i].value);
    if (!lists[_i].joined) {
        ck_assert_msg(!l.plan, "%s was accepted", lists[_i].value);
    } else {
        struct buf joined = {0};
        ck_assert_msg(l.plan != NULL, "%s: %s", lists[_i].value, l.text);
        for (size_t i = 0; i < probe_of(&l)->names.n; i++)
            buf_putf(&joined, "%s|", probe_of(&l)->names.v[i]);
        buf_putc(&joined, 0);
        ck_assert_str_eq((const char *)joined.p, lists[_i].joined);
        buf_free(&joined);
    }
    loaded_free(&l);
}
END_TEST

#define REFUSED NAN
static const struct {
    const char *value;
    double size;
} sizes[] = {
    {"${INT5}", 5},         {"${INT5}${INT5}", REFUSED},
    {"${OCT}", 83},         {"${UNSET}", 0},
    {"${EMPTY}", 0},        {"${Q}", REFUSED},
    {"${A}", REFUSED},      {"${SP}", 5},
    {"${CM}", 5},           {"${HEX}", 3735928559.0},
    {"${FLT}", 1},          {"${UND}", 1000},
    {"${TRUE}", REFUSED},   {"${NUL}", 0},
    {"${LIST}", REFUSED},   {"${EXCL}", REFUSED},
    {"${env:UNSET:-7}", 7}, {"${yaml:${N}}", 123},
    {"}${INT5}", REFUSED},  {"${yaml: 5 }", 5},
};

START_TEST(test_size)
{
    struct loaded l = load_value("size", sizes[_i].value);
    if (isnan(sizes[_i].size)) {
        ck_assert_msg(!l.plan, "%s was accepted", sizes[_i].value);
    } else {
        ck_assert_msg(l.plan != NULL, "%s: %s", sizes[_i].value, l.text);
        ck_assert_double_eq((double)probe_of(&l)->size, sizes[_i].size);
    }
    loaded_free(&l);
}
END_TEST

static const struct {
    const char *value;
    double ns;
} durations[] = {
    {"${INT5}", 5},       {"${INT5}s", 5e9},  {"${DUR}", 5e9},           {"${UNSET}", 0},
    {"${EMPTY}", 0},      {"${Q}", REFUSED},  {"${FLT}s", 1.5e9},        {"${FLT}", 1},
    {"${TRUE}", REFUSED}, {"${Q2}", REFUSED}, {"${env:UNSET:-7s}", 7e9},
};

START_TEST(test_duration)
{
    struct loaded l = load_value("timeout", durations[_i].value);
    if (isnan(durations[_i].ns)) {
        ck_assert_msg(!l.plan, "%s was accepted", durations[_i].value);
    } else {
        ck_assert_msg(l.plan != NULL, "%s: %s", durations[_i].value, l.text);
        ck_assert_double_eq((double)probe_of(&l)->timeout_ns, durations[_i].ns);
    }
    loaded_free(&l);
}
END_TEST

/* ---- refusals and places ---- */

static const char *const refusals[][2] = {
    {"${REC}", "too many recursive expansions"},
    {"x${REC}", "too many recursive expansions"},
    {"${1}", "\"1\" is not a name of an environment variable; a literal ${...} is written $${...}"},
    {"${}", "\"\" is not a name of an environment variable"},
    {"${a b}", "\"a b\" is not a name of an environment variable"},
    {"${s3:x}", "scheme \"s3\" is not supported: file, env and yaml are"},
    {"${http://localhost:1/x}", "configuration is not read over HTTP"},
    {"${https://h/x}", "configuration is not read over HTTP"},
    {"${env:A$}", "unsupported characters ('$')"},
    {"${env:UNSET:-$A}", "unsupported characters ('$')"},
    {"${UNSET:-d}", "a default needs the scheme in front: ${env:UNSET:-d}"},
    {"${un_set:-d}", "a default needs the scheme in front: ${env:un_set:-d}"},
    {"${x:y}", "invalid uri \"x:y\""},
    {"${file:/nowhere/at/all}", "cannot read the file /nowhere/at/all: No such file or directory"},
    {"${WIDE}", "longer than 1 MiB"},
    {"${WIDEQ}", "too many recursive expansions"},
    {"a${GROW}", "longer than 1 MiB"},
};

START_TEST(test_refusal)
{
    struct loaded l = load_value("text", refusals[_i][0]);
    ck_assert_msg(!l.plan, "%s was accepted", refusals[_i][0]);
    ck_assert_msg(strstr(l.text, refusals[_i][1]) != NULL, "%s: %s", refusals[_i][0], l.text);
    ck_assert_msg(strncmp(l.text, "yaml::4:11: ", 12) == 0, "%s: %s", refusals[_i][0], l.text);
    loaded_free(&l);
}
END_TEST

START_TEST(test_place_is_where_it_is_used)
{
    struct loaded l = load_probe("    flag: true\n    count: ${env:A}\n    color: x${N}");
    ck_assert_ptr_null(l.plan);
    ck_assert_ptr_nonnull(strstr(
        l.text, "yaml::5:12: processors.probe.count: expected an integer, \"aa\" is a string "
                "(the value comes from ${env:A})\n"));
    ck_assert_ptr_nonnull(strstr(l.text,
                                 "yaml::6:12: processors.probe.color: \"x123\" is not a choice "
                                 "(the value comes from ${N})\n"));
    ck_assert_uint_eq(l.n_errors, 2);
    loaded_free(&l);
}
END_TEST

START_TEST(test_unset_is_a_warning)
{
    struct loaded l = load_probe("    text: ${UNSET}");
    ck_assert_ptr_nonnull(l.plan);
    ck_assert_ptr_nonnull(strstr(
        l.text,
        "yaml::4:11: warning: the environment variable UNSET is not set: the value is empty\n"
        "  ${env:NAME:-default} gives a default\n"));
    loaded_free(&l);
    l = load_probe("    text: ${EMPTY}${env:UNSET:-}");
    ck_assert_str_eq(l.text, "");
    loaded_free(&l);
}
END_TEST

START_TEST(test_one_bad_reference_does_not_hide_the_rest)
{
    struct loaded l = load_probe("    text: ${s3:x}\n    count: no\n    names: ['${1}', b]");
    ck_assert_uint_eq(l.n_errors, 3);
    ck_assert_ptr_nonnull(strstr(l.text, "4:11"));
    ck_assert_ptr_nonnull(strstr(l.text, "5:12"));
    ck_assert_ptr_nonnull(strstr(l.text, "6:13"));
    loaded_free(&l);
}
END_TEST

START_TEST(test_keys_are_left_alone)
{
    struct loaded l = load_probe("    headers: {'${A}': '${A}', '$$': x}");
    ck_assert_ptr_nonnull(l.plan);
    ck_assert_str_eq(probe_of(&l)->headers.v[0].name, "${A}");
    ck_assert_str_eq(probe_of(&l)->headers.v[0].value, "aa");
    ck_assert_str_eq(probe_of(&l)->headers.v[1].name, "$$");
    loaded_free(&l);
}
END_TEST

START_TEST(test_file_keeps_its_own_lines)
{
    char name[] = "/tmp/tailrace-test-XXXXXX";
    int fd = mkstemp(name);
    FILE *f = fdopen(fd, "w");
    fputs("# settings\nflag: true\ncount: many\ntext: ${A}\n", f);
    fclose(f);
    char *yaml = mem_printf("receivers: {probe: }\nprocessors: {probe: '${file:%s}'}\nexporters: "
                            "{sink: '${file:%s}'}\n",
                            name, name);
    struct loaded l = load_text(yaml);
    char *expected = mem_printf(
        "%s:3:8: processors.probe.count: expected an integer, \"many\" is a string\n", name);
    ck_assert_msg(strstr(l.text, expected) != NULL, "%s", l.text);
    free(expected);
    free(yaml);
    loaded_free(&l);
    remove(name);
}
END_TEST

int main(void)
{
    SRunner *sr;
    TCase *tc = tcase_create("expand");
    Suite *s = suite_create("config_expand");
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(tc, set_environment, NULL);
    tcase_add_loop_test(tc, test_string, 0, ARRAY_LEN(strings));
    tcase_add_loop_test(tc, test_string_in_list, 0, ARRAY_LEN(strings));
    tcase_add_loop_test(tc, test_list, 0, ARRAY_LEN(lists));
    tcase_add_loop_test(tc, test_size, 0, ARRAY_LEN(sizes));
    tcase_add_loop_test(tc, test_duration, 0, ARRAY_LEN(durations));
    tcase_add_loop_test(tc, test_refusal, 0, ARRAY_LEN(refusals));
    tcase_add_test(tc, test_place_is_where_it_is_used);
    tcase_add_test(tc, test_unset_is_a_warning);
    tcase_add_test(tc, test_one_bad_reference_does_not_hide_the_rest);
    tcase_add_test(tc, test_keys_are_left_alone);
    tcase_add_test(tc, test_file_keeps_its_own_lines);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
