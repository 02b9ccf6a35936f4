/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the way of regular expressions from Go's dialect to RE2 and back: a pattern, a zero byte,
 * a text. What is taken must
 *   - hold nothing that Go refuses and RE2 takes
 *   - find in the text the same alone, in a group (which no short cut knows), in a set, and
 * compiled with little memory
 *   - never match a part of a character, and leave the text as it is when each match is replaced by
 * itself
 *   - take the same groups whether they have no names, Python's or Go's.
 * The runner bounds time and memory.
 */
#include <stdlib.h>

#include "model/utf8.h"
#include "platform/mem.h"
#include "platform/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_GROUPS 40

/* Where the pattern's escape of this letter stands, outside of quotations. */
static bool has_escape(const char *p, char letter)
{
    for (; *p; p++) {
        if (*p != '\\')
            continue;
        if (p[1] == 'Q')
            p = strstr(p, "\\E") ? strstr(p, "\\E") : p + strlen(p) - 2;
        else if (p[1] == letter)
            return true;
        if (*++p == '\0')
            break;
    }
    return false;
}

struct found {
    bool any;
    size_t start, end;
};

static struct found search(const struct regex *r, struct slice text)
{
    struct found f = {0};

    f.any = regex_search(r, text, 0, &f.start, &f.end);
    CHECK(f.any == regex_search(r, text, 0, NULL, NULL));
    CHECK(f.start <= f.end && f.end <= text.len);
    return f;
}

static bool inside_char(struct slice text, size_t at)
{
    return at < text.len && (text.p[at] & 0xc0) == 0x80;
}

struct replacing {
    struct slice text;
    const uint8_t *behind; /* the last match */
    bool whole_chars;
};

static int put_same(void *ctx, struct slice match, struct buf *out)
{
    struct replacing *r = ctx;
    size_t at = (size_t)(match.p - r->text.p);

    CHECK(!r->behind || match.p >= r->behind);
    CHECK(at + match.len <= r->text.len);
    if (r->whole_chars)
        CHECK(!inside_char(r->text, at) && !inside_char(r->text, at + match.len));
    r->behind = match.p + match.len;
    return buf_add(out, match.p, match.len);
}

static void check_replacing(const struct regex *r, struct slice text, bool any)
{
    struct replacing ctx = {.text = text, .whole_chars = utf8_valid(text.p, text.len)};
    struct buf out = {0};
    int n = regex_replace(r, text, &out, put_same, &ctx);

    CHECK(n >= 0 && (n > 0) == any);
    CHECK(slice_eq(slice_of(out.p, out.len), text));
    buf_free(&out);
}

/* As group 1 of the same in brackets. Quotations would swallow the bracket. */
static void check_grouped(const char *pattern, struct slice text, struct found f)
{
    struct slice groups[MOST_GROUPS + 1];
    struct buf b = {0};
    struct regex *r;
    struct err err;

    if (strstr(pattern, "\\Q"))
        return;
    buf_putf(&b, "(%s)", pattern);
    buf_putc(&b, '\0');
    r = regex_new((char *)b.p, &err);
    buf_free(&b);
    if (r && regex_groups(r) <= MOST_GROUPS) {
        CHECK(regex_capture(r, text, groups) == f.any);
        if (f.any && text.len)
            CHECK(groups[0].p == text.p + f.start && groups[0].len == f.end - f.start);
    }
    regex_free(&r);
}

static void check_set(const char *pattern, struct slice text, bool any)
{
    const char *const patterns[] = {"[^\\x00-\\x{10FFFF}]", pattern, ""};
    struct regex_set *set;
    uint64_t hits = 0;
    struct err err;

    set = regex_set_new(patterns, 3, &err);
    CHECK(set && regex_set_match(set, text, &hits));
    CHECK(hits == (4u | (any ? 2u : 0u)));
    regex_set_free(&set);
}

static bool is_plain(const char *p)
{
    return strspn(p, "abcdefghijklmnopqrstuvwxyz()|*+. ") == strlen(p);
}

/* Names for the groups of a plain pattern. */
static struct regex *named(const char *pattern, const char *how)
{
    struct buf b = {0};
    struct regex *r;
    struct err err;
    int n = 0;

    for (const char *p = pattern; *p; p++) {
        buf_putc(&b, *p);
        if (*p == '(')
            buf_putf(&b, "%sg%d>", how, n++);
    }
    buf_putc(&b, '\0');
    r = regex_new((char *)b.p, &err);
    buf_free(&b);
    return r;
}

static void check_names(const char *pattern, const struct regex *plain, struct slice text)
{
    static const char *const how[] = {"?P<", "?<"};
    struct slice a[MOST_GROUPS], b[MOST_GROUPS];
    size_t n = regex_groups(plain);

    for (size_t k = 0; k < 2 && n <= MOST_GROUPS; k++) {
        struct regex *r = named(pattern, how[k]);
        bool any = regex_capture(plain, text, a);

        CHECK(r && regex_groups(r) == n && regex_capture(r, text, b) == any);
        for (size_t i = 0; i < n; i++) {
            CHECK(regex_group_name(r, i + 1) && !regex_group_name(plain, i + 1));
            CHECK(!any || (a[i].p == b[i].p && a[i].len == b[i].len));
        }
        regex_free(&r);
    }
}

/* False for expressions that take long to compile: once is enough then. */
static bool check_small(const char *pattern, struct slice text, struct found f)
{
    struct err err;
    struct regex *r = regex_new_of_data(pattern, &err);
    struct found g;

    if (!r)
        return false;
    g = search(r, text);
    CHECK(g.any == f.any && g.start == f.start && g.end == f.end);
    regex_free(&r);
    return true;
}

static void check_pattern(const char *pattern, struct slice text)
{
    struct err err;
    struct regex *r = regex_new(pattern, &err);
    struct found f;

    if (!r) {
        CHECK(strncmp(err.text, "error parsing regexp: ", 22) == 0);
        return;
    }
    CHECK(!has_escape(pattern, 'C') && !has_escape(pattern, 'Z') && !has_escape(pattern, 'G') &&
          !has_escape(pattern, 'K'));
    f = search(r, text);
    check_replacing(r, text, f.any);
    if (check_small(pattern, text, f)) {
        check_grouped(pattern, text, f);
        check_set(pattern, text, f.any);
        if (is_plain(pattern))
            check_names(pattern, r, text);
    }
    regex_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = memchr(data, 0, size);
    size_t n = zero ? (size_t)(zero - data) : size;
    char *pattern = mem_dup_n((const char *)data, n);
    size_t rest = zero ? size - n - 1 : 0;
    uint8_t *exact = mem_alloc(rest + 1);

    if (rest)
        memcpy(exact, zero + 1, rest);
    check_pattern(pattern, slice_of(exact, rest));
    free(exact);
    free(pattern);
    return 0;
}
