/* SPDX-License-Identifier: Apache-2.0 */
/* Go's dialect of regular expressions: what is taken and what is refused (as seen of the
 * Collector), and what is matched where the installed RE2 reads it differently. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "platform/mem.h"
#include "platform/regex.h"

static const char *const refused[] = {
    "(?=a)",
    "(?!a)",
    "(?<=a)",
    "(?<!a)",
    "(?>a)",
    "(?|a|b)",
    "(?#c)",
    "(a)\\1",
    "\\g{1}",
    "\\k<n>",
    "(?P=n)",
    "a++",
    "a*+",
    "a**",
    "a{2}{3}",
    "(?(1)a|b)",
    "(?R)",
    "(*FAIL)",
    "(?x)a",
    "(?J)a",
    "(?n)a",
    "(?^i)a",
    "\\C",
    "[\\C]",
    "a\\Cb",
    "\\G",
    "\\K",
    "\\N",
    "\\R",
    "\\X",
    "\\Z",
    "\\cA",
    "\\e",
    "\\h",
    "\\H",
    "\\k",
    "\\o{7}",
    "\\u0041",
    "\\y",
    "\\1",
    "\\8",
    "\\x4",
    "\\x{110000}",
    "\\x{}",
    "[\\b]",
    "[a-\\d]",
    "[z-a]",
    "[a",
    "[[:nope:]]",
    "\\p{L&}",
    "\\p{Script=Greek}",
    "\\pX",
    "\\p{}",
    "\\p",
    "*",
    "+a",
    "?a",
    "(*a)",
    "a|*",
    "a{1001}",
    "(a{100}){11}",
    "((a{10}){10}){11}",
    "a{2,1}",
    "(?P<n-m>a)",
    "(?P<>a)",
    "(?P<n\xc3\xa9>a)",
    "(?<n\xc3\xa9>a)",
    "(?P<n a",
    "(?'n'a)",
    "(?P>n)",
    ")",
    "(",
    "[",
    "\\",
};

START_TEST(is_refused)
{
    struct err err = {""};
    struct regex *r = regex_new(refused[_i], &err);

    ck_assert_msg(r == NULL, "%s", refused[_i]);
    ck_assert_msg(strncmp(err.text, "error parsing regexp: ", 22) == 0, "%s", err.text);
}
END_TEST

static char *repeated(const char *what, size_t n, const char *then, const char *behind)
{
    struct buf b = {0};

    for (size_t i = 0; i < n; i++)
        buf_puts(&b, what);
    buf_puts(&b, then);
    for (size_t i = 0; i < n; i++)
        buf_puts(&b, behind);
    buf_putc(&b, '\0');
    return (char *)b.p;
}

START_TEST(a_thousand_groups)
{
    static const struct {
        const char *open;
        size_t n;
        bool fine;
    } rows[] = {{"(", 999, true}, {"(", 1000, false}, {"(?P<n>", 1000, false}, {"(?:", 5000, true}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *pattern = repeated(rows[i].open, rows[i].n, "a", ")");
        struct err err = {""};
        struct regex *r = regex_new(pattern, &err);

        ck_assert_msg((r != NULL) == rows[i].fine, "%s x %zu: %s", rows[i].open, rows[i].n,
                      err.text);
        if (r)
            ck_assert(regex_search(r, slice_str("ba"), 0, NULL, NULL));
        regex_free(&r);
        free(pattern);
    }
}
END_TEST

static int stars(void *ctx, struct slice match, struct buf *out)
{
    (void)ctx, (void)match;
    return buf_add(out, "****", 4);
}

static const struct {
    const char *pattern, *in, *out;
} rows[] = {
    {"a$", "a\n", "a\n"},
    {"(?m)^", "a\n", "****a\n****"},
    {"\\s", "\v", "\v"},
    {"[[:space:]]", "\v", "****"},
    {"\\v", "\v", "****"},
    {"(?i)\\w", "\xc5\xbf", "****"},
    {"(?i)k", "\xe2\x84\xaa", "****"},
    {"(?i)\\p{Lu}", "a", "****"},
    {"(?U)a+", "aa", "********"},
    {"a{,3}", "a{,3}", "****"},
    {"\\Qa.b\\E+", "a.bbb", "****"},
    {"\\Qa(\\E", "a(", "****"},
    {"\\Q\\C", "\\C", "****"},
    {"[(?<n>]", "<", "****"},
    {"\\(?<n>a", "(<n>a", "****"},
    {"(?<1n>a)", "a", "****"},
    {"\\\\C", "\\C", "****"},
    /* names of classes */
    {"\\p{Letter}", "a1", "****1"},
    {"\\p{lu}", "aA", "a****"},
    {"\\p{uppercase letter}", "aA", "a****"},
    {"\\P{Uppercase_Letter}", "aA", "****A"},
    {"\\p{greek}", "\xce\xb1 a", "**** a"},
    {"\\p{^GREEK}", "\xce\xb1\xce\xb1", "\xce\xb1\xce\xb1"},
    {"[\\p{decimal-number}x]", "5x", "********"},
    {"[^\\p{letter}]", "a5", "a****"},
    {"\\p{old-italic}", "\xf0\x90\x8c\x80", "****"},
    {"\\p{ASCII}+", "ab\xc3\xa9", "****\xc3\xa9"},
    {"\\P{ascii}", "ab\xc3\xa9", "ab****"},
    {"[\\P{ASCII}b]", "ab\xc3\xa9", "a********"},
    {"\\pl", "a5", "****5"},
    /* nothing, between the bytes of a character */
    {"\\B",
     "stra\xc3\x9f"
     "e",
     "s****t****r****a\xc3\x9f"
     "e"},
    {"\\B",
     "a\xc3\xa9"
     "b",
     "a\xc3\xa9"
     "b"},
    {"\\B", "\xc3\xa9\xc3\xa9", "****\xc3\xa9****\xc3\xa9****"},
    {"\\B|x", "\xe2\x82\xac", "****\xe2\x82\xac****"},
    {"a*\\B", "\xf0\x9f\x98\x80", "****\xf0\x9f\x98\x80****"},
    {"\\B",
     "a\x82\x82"
     "b",
     "a\x82****\x82"
     "b"}, /* each of these is one character */
};

START_TEST(is_matched)
{
    struct err err = {""};
    struct regex *r = regex_new(rows[_i].pattern, &err);
    struct slice in = slice_str(rows[_i].in);
    struct buf out = {0};
    int n;

    ck_assert_msg(r != NULL, "%s", err.text);
    n = regex_replace(r, in, &out, stars, NULL);
    buf_putc(&out, '\0');
    ck_assert_str_eq((const char *)out.p, rows[_i].out);
    ck_assert(regex_search(r, in, 0, NULL, NULL) == (n > 0));
    buf_free(&out);
    regex_free(&r);
}
END_TEST

START_TEST(in_a_set)
{
    static const char *const patterns[] = {"\\B", "x"};
    struct err err = {""};
    struct regex_set *set = regex_set_new(patterns, 2, &err);
    uint64_t hits;

    ck_assert(set != NULL);
    ck_assert(!regex_set_match(set,
                               slice_str("a\xc3\xa9"
                                         "b"),
                               &hits));
    ck_assert(regex_set_match(set,
                              slice_str("x\xc3\xa9"
                                        "b"),
                              &hits));
    ck_assert_uint_eq(hits, 2);
    ck_assert(regex_set_match(set, slice_str("xx"), &hits));
    ck_assert_uint_eq(hits, 3);
    regex_set_free(&set);
}
END_TEST

/* Large expressions are taken from the configuration, not from the data. */
START_TEST(large_ones)
{
    struct err err = {""};
    struct regex *r = regex_new("[\\pL\\pN._-]{1,256}@", &err), *small;

    ck_assert_msg(r != NULL, "%s", err.text);
    ck_assert(regex_search(r, slice_str("\xc3\xa9t\xc3\xa9@"), 0, NULL, NULL));
    regex_free(&r);
    r = regex_new_of_data("[\\pL\\pN._-]{1,256}@", &err);
    ck_assert(r == NULL);
    small = regex_new_of_data(
        "(?i)\\b[a-z0-9._%+-]{1,64}@(?:[a-z0-9-]{1,63}\\.){1,8}[a-z]{2,24}\\b", &err);
    ck_assert_msg(small != NULL, "%s", err.text);
    ck_assert(regex_search(small, slice_str("to me@example.org"), 0, NULL, NULL));
    regex_free(&small);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("regex dialect");
    TCase *t = tcase_create("regex dialect");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, is_refused, 0, (int)ARRAY_LEN(refused));
    tcase_add_test(t, a_thousand_groups);
    tcase_add_loop_test(t, is_matched, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, in_a_set);
    tcase_add_test(t, large_ones);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
