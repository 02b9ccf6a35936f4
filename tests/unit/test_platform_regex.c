/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: search, replacement by Go's rules, sets, and text that is not UTF-8. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "platform/mem.h"
#include "platform/regex.h"

static struct regex *compiled(const char *pattern)
{
    struct err err = {""};
    struct regex *r = regex_new(pattern, &err);

    ck_assert_msg(r != NULL, "%s", err.text);
    return r;
}

START_TEST(search_gives_the_leftmost_first_match)
{
    struct regex *r = compiled("b+|bc");
    struct slice s = slice_str("abbcb");
    size_t start = 9, end = 9;

    ck_assert(regex_search(r, s, 0, &start, &end));
    ck_assert_uint_eq(start, 1);
    ck_assert_uint_eq(end, 3);
    ck_assert(regex_search(r, s, 3, &start, NULL));
    ck_assert_uint_eq(start, 4);
    ck_assert(!regex_search(r, s, 5, NULL, NULL));
    ck_assert(!regex_search(r, s, 6, NULL, NULL)); /* behind the end */
    ck_assert(regex_search(r, s, 0, NULL, NULL));
    regex_free(&r);
    regex_free(&r);
}
END_TEST

START_TEST(anchors_mean_the_text_not_the_start_of_the_search)
{
    struct regex *r = compiled("^b"), *word = compiled("\\bb");

    ck_assert(!regex_search(r, slice_str("ab"), 1, NULL, NULL));
    ck_assert(!regex_search(word, slice_str("ab"), 1, NULL, NULL));
    ck_assert(regex_search(word, slice_str("a b"), 1, NULL, NULL));
    regex_free(&r);
    regex_free(&word);
}
END_TEST

START_TEST(groups_have_names_and_captures)
{
    struct regex *r = compiled("(?P<a>x+)(y)?(?P<b>z*)");
    struct slice g[3];

    ck_assert_uint_eq(regex_groups(r), 3);
    ck_assert_str_eq(regex_group_name(r, 1), "a");
    ck_assert_ptr_null(regex_group_name(r, 2));
    ck_assert_str_eq(regex_group_name(r, 3), "b");
    ck_assert(regex_capture(r, slice_str("_xxzz"), g));
    ck_assert(slice_eq(g[0], slice_str("xx")));
    ck_assert_ptr_null(g[1].p);
    ck_assert(slice_eq(g[2], slice_str("zz")));
    ck_assert(!regex_capture(r, slice_str("yz"), g));
    regex_free(&r);
}
END_TEST

START_TEST(empty_text_and_empty_pattern)
{
    struct regex *r = compiled("");
    size_t start = 9, end = 9;

    ck_assert(regex_search(r, slice_of(NULL, 0), 0, &start, &end));
    ck_assert_uint_eq(start, 0);
    ck_assert_uint_eq(end, 0);
    regex_free(&r);
}
END_TEST

START_TEST(bad_patterns_explain_themselves)
{
    static const char *const bad[] = {"(", "a(?!b)", "[z-a]", "\\1", "(?P<n>a", "a**"};
    struct err err = {""};

    ck_assert_ptr_null(regex_new(bad[_i], &err));
    ck_assert_int_eq(strncmp(err.text, "error parsing regexp: ", 22), 0);
    ck_assert_uint_gt(strlen(err.text), 25);
    ck_assert_ptr_null(regex_set_new(&bad[_i], 1, &err));
}
END_TEST

static int star(void *ctx, struct slice match, struct buf *out)
{
    (void)match;
    return buf_add(out, ctx, strlen((const char *)ctx));
}

static const struct {
    const char *pattern, *text, *with, *want;
    int n;
} replaced[] = {
    {"a", "banana", "*", "b*n*n*", 3},
    {"a*", "baaac", "*", "*b*c*", 3}, /* not "*b**c*": an empty match right after a match is not taken */
    {"", "ab", "-", "-a-b-", 3},
    {"", "", "-", "-", 1},
    {"", "\xc3\xa9", "-", "-\xc3\xa9-", 2}, /* whole characters */
    {"x", "abc", "*", "abc", 0},
    {"[0-9]{4}", "1234 12 56789", "****", "**** 12 ****9", 2},
    {"^a", "aaa", "", "aa", 1},
    {"b", "a\xff" "b", "c", "a\xff" "c", 1}, /* not UTF-8 */
};

START_TEST(replacement_follows_go)
{
    struct regex *r = compiled(replaced[_i].pattern);
    struct buf out = {0};
    int n = regex_replace(r, slice_str(replaced[_i].text), &out, star, (void *)replaced[_i].with);

    ck_assert_int_eq(n, replaced[_i].n);
    buf_putc(&out, '\0');
    ck_assert_str_eq((char *)out.p, replaced[_i].want);
    buf_free(&out);
    regex_free(&r);
}
END_TEST

START_TEST(full_output_ends_a_replacement)
{
    struct regex *r = compiled("a");
    struct buf out = {.max = 4};

    ck_assert_int_eq(regex_replace(r, slice_str("bbbba"), &out, star, (void *)"*"), -1);
    buf_clear(&out);
    ck_assert_int_eq(regex_replace(r, slice_str("aaa"), &out, star, (void *)"**"), -1);
    buf_free(&out);
    regex_free(&r);
}
END_TEST

START_TEST(both_ways_to_name_a_group)
{
    static const struct {
        const char *pattern, *text, *name; /* name NULL: it has no groups; text NULL: it is refused */
    } rows[] = {{"(?<user>[a-z]+)@", "bob@x", "user"},
                {"(?P<user>[a-z]+)@", "bob@x", "user"},
                {"a(?:b(?<n>c))", "abc", "n"},
                {"[(?<n>]x", "<x", NULL},
                {"[]a(?<]x", "]x", NULL},
                {"[[:alpha:](?<]x", "<x", NULL},
                {"\\(\\?<n>", "(?<n>", NULL},
                {"\\Q(?<n>\\E", "(?<n>", NULL},
                {"\\Q(?<n>", "(?<n>", NULL},
                {"(?<=a)b", NULL, NULL},
                {"a\\Cb", NULL, NULL},
                {"[\\\\]C", "\\C", NULL},
                {"\\\\C", "\\C", NULL},
                {"\\Q\\C\\E", "\\C", NULL},
                {"(?<!a)b", NULL, NULL},
                {"(?<", NULL, NULL},
                {"(?<n", NULL, NULL}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err err;
        struct regex *r = regex_new(rows[i].pattern, &err);

        ck_assert_msg(!r == !rows[i].text, "%s", rows[i].pattern);
        if (!r)
            continue;
        ck_assert_msg(regex_search(r, slice_str(rows[i].text), 0, NULL, NULL), "%s", rows[i].pattern);
        ck_assert_uint_eq(regex_groups(r), rows[i].name != NULL);
        if (rows[i].name)
            ck_assert_str_eq(regex_group_name(r, 1), rows[i].name);
        regex_free(&r);
    }
}
END_TEST

/* RE2 refuses a set of this size: each expression is asked then. */
START_TEST(sets_too_large_for_one_automaton)
{
    enum { N = 200 };
    char text[N][48];
    const char *patterns[N];
    uint64_t hits[(N + 63) / 64];
    struct regex_set *r;
    struct err err;

    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof(text[i]), "a%d(?:[a-z0-9]{1,900}x)", i);
        patterns[i] = text[i];
    }
    r = regex_set_new(patterns, N, &err);
    ck_assert_ptr_nonnull(r);
    ck_assert(regex_set_match(r, slice_str("-a70bcx"), hits));
    ck_assert(hits[0] == 1u << 7 && hits[1] == 1u << (70 - 64) && hits[2] == 0 && hits[3] == 0); /* a7 and a70 */
    ck_assert(regex_set_match(r, slice_str("a199-a5yx"), NULL));
    ck_assert(!regex_set_match(r, slice_str("a199-a5y"), hits));
    ck_assert(hits[0] == 0 && hits[3] == 0);
    regex_set_free(&r);
}
END_TEST

START_TEST(sets_tell_which_matched)
{
    const char *patterns[70];
    struct err err = {""};
    struct regex_set *r;
    uint64_t hits[2] = {7, 7};

    for (int i = 0; i < 69; i++)
        patterns[i] = mem_printf("^k%d$", i);
    patterns[69] = "k";
    r = regex_set_new(patterns, 70, &err);
    ck_assert_msg(r != NULL, "%s", err.text);
    ck_assert(regex_set_match(r, slice_str("k3"), hits));
    ck_assert_uint_eq(hits[0], 1u << 3);
    ck_assert_uint_eq(hits[1], 1u << 5);
    ck_assert(!regex_set_match(r, slice_str("z"), hits));
    ck_assert_uint_eq(hits[0] | hits[1], 0);
    ck_assert(regex_set_match(r, slice_str("k66"), NULL));
    regex_set_free(&r);
    for (int i = 0; i < 69; i++)
        free((char *)patterns[i]);
    r = regex_set_new(NULL, 0, &err);
    ck_assert_ptr_nonnull(r);
    ck_assert(!regex_set_match(r, slice_str("k"), NULL));
    regex_set_free(&r);
}
END_TEST

/* Backtracking engines need 2^n steps here. */
START_TEST(hostile_pattern_is_linear)
{
    struct regex *r = compiled("(a|aa)+$");
    static char text[200001];
    uint64_t began = clock_cpu_ns();

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 2] = 'b';
    ck_assert(!regex_search(r, slice_str(text), 0, NULL, NULL));
    ck_assert(clock_cpu_ns() - began < 20 * NS_PER_SEC);
    regex_free(&r);
}
END_TEST

/* Searching looks for text that every match holds before it asks the automaton; capturing does not.
 * They agree on expressions and texts made of what matters to that. */
START_TEST(short_cuts_change_nothing)
{
    static const char *const bits[] = {"a",  "b",  "ab",   "ba",  "*",     "+",    "?",   "{2}", "{0,1}", "{,2}", "{a|b}", "|",
                                       "(",  ")",  "(a|b)", "[ab]", "[^a|]", "\\.", "\\|", "\\d", "\\pL", "\\p{Lu}", ".",
                                       "^",  "$",  "\xc3\xa9", "(?i)", "(?:a|)", "(?P<n>b)", "\\Qa|\\E", "\\x61", "-", "[a\\]|]", "(a[)|]b)"};
    static const char *const texts[] = {"a", "b", "|", ".", "ab", "\xc3\xa9", "A", "B", "1", "-", "", "{a", "b}", ")"};
    uint64_t rng = 11;
    unsigned n_compiled = 0, n_found = 0;

    for (int i = 0; i < 3000; i++) {
        char pattern[128] = "", text[64] = "";
        struct slice groups[40];
        struct regex *r;
        struct err err;
        bool found;

        for (uint64_t n = 1 + random_next(&rng) % 6; n; n--)
            strcat(pattern, bits[random_next(&rng) % ARRAY_LEN(bits)]);
        r = regex_new(pattern, &err);
        if (!r)
            continue;
        n_compiled++;
        for (int k = 0; k < 6; k++) {
            size_t start = 0, end = 0;

            text[0] = 0;
            for (uint64_t n = random_next(&rng) % 7; n; n--)
                strcat(text, texts[random_next(&rng) % ARRAY_LEN(texts)]);
            found = regex_capture(r, slice_str(text), groups);
            n_found += found;
            ck_assert_msg(regex_search(r, slice_str(text), 0, NULL, NULL) == found, "%s in %s", pattern, text);
            ck_assert(regex_search(r, slice_str(text), 0, &start, &end) == found && start <= end);
        }
        regex_free(&r);
    }
    ck_assert_uint_gt(n_compiled, 800);
    ck_assert_uint_gt(n_found, 800);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("platform regex");
    TCase *t = tcase_create("regex");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, search_gives_the_leftmost_first_match);
    tcase_add_test(t, anchors_mean_the_text_not_the_start_of_the_search);
    tcase_add_test(t, empty_text_and_empty_pattern);
    tcase_add_test(t, groups_have_names_and_captures);
    tcase_add_loop_test(t, bad_patterns_explain_themselves, 0, 6);
    tcase_add_loop_test(t, replacement_follows_go, 0, (int)ARRAY_LEN(replaced));
    tcase_add_test(t, full_output_ends_a_replacement);
    tcase_add_test(t, sets_tell_which_matched);
    tcase_add_test(t, sets_too_large_for_one_automaton);
    tcase_add_test(t, both_ways_to_name_a_group);
    tcase_add_test(t, hostile_pattern_is_linear);
    tcase_add_test(t, short_cuts_change_nothing);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
