/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan errs on one side only: whatever RE2 finds in a text, the scan must have announced. Checked
 * for patterns people use and for random ones, on random texts and on texts made to fit.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/hash.h"
#include "platform/mem.h"
#include "platform/regex.h"
#include "processors/redaction_scan.h"
#include "processors/redaction_windows.h"

static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(random_next(&seed) % n);
}

/* Pattern, a text it matches, and whether the scan is expected to be of use for it. */
static const struct {
    const char *pattern, *text;
    bool useful;
} used[] = {
    {"4[0-9]{12}(?:[0-9]{3})?", "4111111111111111", true},
    {"\\b4\\d{3}(?:[ -]?\\d{4}){2}[ -]?\\d(?:\\d{3})?\\b", "4111-1111-1111-1111", true},
    {"\\b\\d{3}-\\d{2}-\\d{4}\\b", "078-05-1120", true},
    {"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\\.){1,8}[A-Za-z]{2,24}\\b", "a@b.example", true},
    {"\\beyJ[A-Za-z0-9_-]{5,}\\.eyJ[A-Za-z0-9_-]{5,}\\.[A-Za-z0-9_-]*", "eyJhbGci.eyJzdWIi.sig", true},
    {"(?i)\\b(?:bearer|basic|digest|negotiate)[ \\t]+[A-Za-z0-9._~+/=-]{8,}", "BaSIC abcdefgh", true},
    {"\\b(?:AKIA|ASIA|AROA)[A-Z0-9]{16}\\b", "ASIA0123456789ABCDEF", true},
    {"\\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\\b",
     "ghp_0123456789abcdefghijklmnopqrstuvwxyz", true},
    {"(?i)\\b(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key)[\"']?[ \\t]*[=:]", "Api-Key:", true},
    {"(?i)secret|authorization|cookie", "Set-Coo\xe2\x84\xaaie", true}, /* the Kelvin sign is a k */
    {"(?i)password", "pa\xc5\xbf\xc5\xbfword", true},                   /* the long s is an s */
    {"(?i)[k]ey[s]{2}", "\xe2\x84\xaa" "EYs\xc5\xbf", true},
    {".*token.*", "x token y", true},
    {"^secret$", "secret", true},
    {"\xc3\xbc" "ber", "\xc3\xbc" "ber", true},
    {"\\Qa.b*c\\E+", "a.b*ccc", false},
    {"\\Qa.b*c\\E", "xa.b*cx", true},
    {"(?:\\d{1,3}\\.){3}\\d{1,3}", "10.0.0.1", true},
    {"[[:alpha:]]{3}#\\d", "abc#1", true},
    {"[^a]+zq", "bzq", true},
    {"[^a]+zq", "\xe2\x84\xaazq", true},
    {"(?i)[^k]%%", "\xc5\xbf%%", true},
    {"[^\\D]#{2}\\S", "7##\xc3\xbc", true},
    {"\\W@\\D", "\xc3\xbc@\xe2\x84\xaa", true},
    {"[^/?#\\s]+=\\{", "\xf0\x9f\x98\x80={", true},
    {"(?:ab|a.*b|cd)[-_]{2}zz", "a b-_zz", true},
    {"-(?:[0-9a-f]{4}-){3}", "-0123-4567-89ab-", true},
    {"x{25}@{3}", "xxxxxxxxxxxxxxxxxxxxxxxxx@@@", true},
    {"a*", "", false},
    {".*", "", false},
    {"(?s).*", "x", false},
    {"\\d", "5", false},
    {"x?", "y", false},
    {"(a|)b?", "", false},
};

static bool announced(const struct scanner *sc, const char *text, size_t len)
{
    return scanner_hits(sc, slice_of(text, len)) & 1;
}

START_TEST(patterns_in_use)
{
    struct err err = {""};
    struct regex *r = regex_new(used[_i].pattern, &err);
    struct scanner *sc = scanner_new(&used[_i].pattern, 1);
    char text[512];

    ck_assert_msg(r != NULL, "%s", err.text);
    ck_assert_msg(regex_search(r, slice_str(used[_i].text), 0, NULL, NULL), "the text does not match");
    ck_assert_int_eq(scanner_blind(sc) == 0, used[_i].useful);
    for (int way = 0; way < 3; way++) {
        if (!scanner_force(sc, way))
            continue;
        /* at every place of a text around it, and flush with its end */
        for (size_t at = 0; at < 70; at++) {
            size_t n = strlen(used[_i].text);

            memset(text, ' ', sizeof(text));
            memcpy(text + at, used[_i].text, n);
            ck_assert_msg(!regex_search(r, slice_of(text, at + n), 0, NULL, NULL) || announced(sc, text, at + n), "%zu",
                          at);
            ck_assert(!regex_search(r, slice_of(text, at + n + 67), 0, NULL, NULL) || announced(sc, text, at + n + 67));
        }
        if (used[_i].useful)
            ck_assert_msg(!announced(sc, "GET /api/v1/orders", 18), "announced in any text");
    }
    regex_free(&r);
    scanner_free(&sc);
}
END_TEST

/* ---- random patterns ---- */

static void put_pattern(struct buf *b, unsigned depth)
{
    static const char *const atoms[] = {"a", "b", "k", "s", "-", "@", "[a-c]", "[^a]", "[ks]", "\\d", "\\w", ".", "\\.",
                                        "\\x41", "7", "\xc3\xbc", "\\b", "ab", "sk", "(?i:k)", "(?i:S)", "(?i)", "[\\d_]",
                                        "[[:digit:]b]", "\\Qa+\\E", "^", "$", "\\S", "[b-]", "(?i:[j-l]x)", "[^a@]", "[^\\D]", "\\W",
                                        "(?i:[^k])", "[^\\d\xc3\xbc]"};
    static const char *const repeats[] = {"*", "+", "?", "{2}", "{1,3}", "{0,2}", "{3,}", "*?", "{13}"};
    unsigned n = 1 + below(4);

    for (unsigned i = 0; i < n; i++) {
        if (i && below(6) == 0)
            buf_puts(b, "|");
        if (depth < 3 && below(4) == 0) {
            buf_puts(b, below(2) ? "(?:" : "(");
            put_pattern(b, depth + 1);
            buf_puts(b, ")");
        } else {
            buf_puts(b, atoms[below((unsigned)ARRAY_LEN(atoms))]);
        }
        if (below(4) == 0)
            buf_puts(b, repeats[below((unsigned)ARRAY_LEN(repeats))]);
    }
}

static size_t random_text(char *text, size_t max)
{
    static const char *const bits[] = {"a", "b", "c", "k", "K", "s", "S", "-", "@", "7", "12", "A", ".", "_", " ", "\n",
                                       "ab", "aaa", "\xc3\xbc", "\xe2\x84\xaa", "\xc5\xbf", "a+", "sk", "x", "kx", "bbbbbbbbbbbbb"};
    unsigned n = below(24);
    size_t len = 0;

    for (unsigned i = 0; i < n && len + 16 < max; i++) {
        const char *bit = bits[below((unsigned)ARRAY_LEN(bits))];

        memcpy(text + len, bit, strlen(bit));
        len += strlen(bit);
    }
    return len;
}

START_TEST(whatever_matches_was_announced)
{
    size_t compiled = 0, useful = 0, matched = 0;

    seed = 1000 + (uint64_t)_i;
    while (compiled < 1500) {
        struct buf b = {0};
        struct err err = {""};
        struct scanner *sc;
        struct regex *r;
        const char *pattern;

        put_pattern(&b, 0);
        buf_putc(&b, '\0');
        pattern = (const char *)b.p;
        r = regex_new(pattern, &err);
        if (!r) {
            buf_free(&b);
            continue;
        }
        compiled++;
        sc = scanner_new(&pattern, 1);
        useful += scanner_blind(sc) == 0;
        ck_assert(scanner_force(sc, (int)(compiled % 3)) || scanner_force(sc, 0));
        for (int i = 0; i < 60; i++) {
            char text[400];
            size_t len = random_text(text, sizeof(text));

            if (!regex_search(r, slice_of(text, len), 0, NULL, NULL))
                continue;
            matched += scanner_blind(sc) == 0;
            ck_assert_msg(announced(sc, text, len), "pattern %s, text %.*s", pattern, (int)len, text);
        }
        scanner_free(&sc);
        regex_free(&r);
        buf_free(&b);
    }
    /* The test means nothing unless both happen often. */
    ck_assert_uint_gt(useful, 100);
    ck_assert_uint_gt(matched, 300);
}
END_TEST

/* Random patterns in one scanner; more of them than bits. */
static size_t random_patterns(char **patterns, struct regex **rs, size_t most)
{
    size_t n = 0;

    while (n < most) {
        struct buf b = {0};
        struct err err = {""};

        put_pattern(&b, 0);
        patterns[n] = mem_dup_n((const char *)b.p, b.len);
        buf_free(&b);
        rs[n] = regex_new(patterns[n], &err);
        if (rs[n])
            n++;
        else
            free(patterns[n]);
    }
    return n;
}

START_TEST(each_of_many_is_announced)
{
    enum { MOST = 90 };
    char *patterns[MOST];
    struct regex *rs[MOST];
    size_t n, matched = 0;
    struct scanner *sc;

    seed = 2000 + (uint64_t)_i;
    n = random_patterns(patterns, rs, 1 + below(MOST));
    sc = scanner_new((const char *const *)patterns, n);
    ck_assert(scanner_force(sc, _i % 3) || scanner_force(sc, 0));
    for (int i = 0; i < 200; i++) {
        char text[400];
        size_t len = random_text(text, sizeof(text));
        uint64_t hits = scanner_hits(sc, slice_of(text, len));

        for (size_t k = 0; k < n; k++) {
            if (!regex_search(rs[k], slice_of(text, len), 0, NULL, NULL))
                continue;
            matched += !(scanner_blind(sc) & scanner_bit(k));
            ck_assert_msg(hits & scanner_bit(k), "pattern %s, text %.*s", patterns[k], (int)len, text);
        }
    }
    ck_assert(n < 20 || matched > 20);
    scanner_free(&sc);
    for (size_t k = 0; k < n; k++) {
        regex_free(&rs[k]);
        free(patterns[k]);
    }
}
END_TEST

/* Texts with an anchor in them, but not the rest; or with one need met, but not the other. */
START_TEST(an_anchor_is_not_enough)
{
    static const struct {
        const char *pattern, *text;
    } near[] = {
        {"(?i)\\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\\b", "checkout-7f9c5d-xk2pz 0123abcd-0123"},
        {"(?i)\\b[a-z][a-z0-9+.-]{1,15}://[^/?#\\s:@]*:[^/?#\\s@]+@", "https://shop.example:8443/carts?id=7"},
        {"\\b4\\d{3}(?:[ -]?\\d{4}){2}[ -]?\\d(?:\\d{3})?\\b", "took 4021 ms, 4096 bytes, port 4317"},
        {"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----"},
        {"\\beyJ[A-Za-z0-9_-]{5,}\\.eyJ[A-Za-z0-9_-]{5,}\\.[A-Za-z0-9_-]*", "eyJhbGciOiJIUzI1NiJ9.x"},
    };
    struct scanner *sc = scanner_new(&near[_i].pattern, 1);

    for (int way = 0; way < 3; way++)
        if (scanner_force(sc, way))
            ck_assert(!announced(sc, near[_i].text, strlen(near[_i].text)));
    scanner_free(&sc);
}
END_TEST

START_TEST(many_patterns_share_buckets)
{
    const char *patterns[80];
    struct scanner *sc;

    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        patterns[i] = mem_printf("q%02zuz#", i);
    sc = scanner_new(patterns, ARRAY_LEN(patterns));
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        char text[64];

        snprintf(text, sizeof(text), "some text q%02zuz# and more", i);
        ck_assert(scanner_hits(sc, slice_str(text)) & scanner_bit(i));
    }
    ck_assert_uint_eq(scanner_hits(sc, slice_str("nothing of that kind in here")), 0);
    scanner_free(&sc);
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        free((void *)(uintptr_t)patterns[i]);
}
END_TEST

START_TEST(no_patterns_find_nothing)
{
    struct scanner *sc = scanner_new(NULL, 0);

    ck_assert_uint_eq(scanner_hits(sc, slice_str("anything")), 0);
    ck_assert_uint_eq(scanner_hits(sc, slice_of(NULL, 0)), 0);
    scanner_free(&sc);
}
END_TEST

/* A list of many words: each is found, and reading the list takes no second. */
START_TEST(long_lists)
{
    struct buf list = {0};
    const char *pattern;
    struct scanner *sc;

    for (int i = 0; i < 1500; i++)
        buf_putf(&list, "%sword%dx", i ? "|" : "", i);
    buf_putc(&list, '\0');
    pattern = (const char *)list.p;
    sc = scanner_new(&pattern, 1);
    for (int i = 0; i < 1500; i++) {
        char text[64];

        snprintf(text, sizeof(text), "a long text with word%dx in it", i);
        ck_assert_msg(scanner_hits(sc, slice_str(text)) == 1, "%s", text);
    }
    scanner_free(&sc);
    buf_free(&list);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redaction scan");
    TCase *t = tcase_create("scan");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, patterns_in_use, 0, (int)ARRAY_LEN(used));
    tcase_add_loop_test(t, whatever_matches_was_announced, 0, 4);
    tcase_add_loop_test(t, each_of_many_is_announced, 0, 12);
    tcase_add_loop_test(t, an_anchor_is_not_enough, 0, 5);
    tcase_add_test(t, many_patterns_share_buckets);
    tcase_add_test(t, no_patterns_find_nothing);
    tcase_add_test(t, long_lists);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
