/* SPDX-License-Identifier: Apache-2.0 */
/* SQL, token by token. See obfuscate.h. Every function is called with p in front of its token, and leaves it behind. */
#include <strings.h>

#include "platform/regex.h"
#include "processors/obfuscate.h"

struct sql {
    const uint8_t *p, *end;
    struct buf *out;
    bool mysql, full;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_octal(uint8_t c)
{
    return c >= '0' && c <= '7';
}

static bool is_word(uint8_t c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
}

static bool is_operator(uint8_t c)
{
    return c && strchr("+-=<>!~&|^%/?@#:", c);
}

/* The byte so far ahead; 0 behind the end. */
static uint8_t at(const struct sql *q, size_t ahead)
{
    return (size_t)(q->end - q->p) > ahead ? q->p[ahead] : 0;
}

/* Bytes of the character at p that may begin a name, or go on with one; 0: it may not. */
static size_t name_start(const struct sql *q, const uint8_t *p)
{
    size_t left = (size_t)(q->end - p);

    return *p < 0x80 ? is_word(*p) && !is_digit(*p) : regex_letter(slice_of(p, left < 4 ? left : 4));
}

static size_t name_part(const struct sql *q, const uint8_t *p)
{
    return is_digit(*p) || (*p && strchr(".$#@?/", *p)) ? 1 : name_start(q, p);
}

static void put(struct sql *q, const void *p, size_t n)
{
    q->full |= buf_add(q->out, p, n) != 0;
}

/* Copies up to `to`, and is there then. */
static void copy_to(struct sql *q, const uint8_t *to)
{
    put(q, q->p, (size_t)(to - q->p));
    q->p = to;
}

static void hide_to(struct sql *q, const uint8_t *to)
{
    put(q, "?", 1);
    q->p = to;
}

/* A run of digits becomes one ?. */
static void copy_without_digits(struct sql *q, const uint8_t *to)
{
    while (q->p < to) {
        const uint8_t *from = q->p, *p = from;
        bool digits = is_digit(*p);

        while (p < to && is_digit(*p) == digits)
            p++;
        if (digits)
            hide_to(q, p);
        else
            copy_to(q, p);
    }
}

/* Behind the quote that closes what begins at p; NULL: none does. */
static const uint8_t *quote_end(const struct sql *q)
{
    for (const uint8_t *p = q->p + 1; p < q->end; p++) {
        if (*p == *q->p)
            return p + 1;
        if (*p == '\\')
            p++;
    }
    return NULL;
}

static void string(struct sql *q)
{
    const uint8_t *to = quote_end(q);

    hide_to(q, to ? to : q->end);
}

static void quoted_name(struct sql *q)
{
    const uint8_t *to = quote_end(q);

    if (to)
        copy_without_digits(q, to);
    else
        copy_to(q, q->p + 1);
}

static void line_comment(struct sql *q)
{
    const uint8_t *to = memchr(q->p, '\n', (size_t)(q->end - q->p));

    copy_to(q, to ? to : q->end);
}

static void block_comment(struct sql *q)
{
    const uint8_t *to = memmem(q->p + 2, (size_t)(q->end - q->p) - 2, "*/", 2);

    copy_to(q, to ? to + 2 : q->end);
}

static const uint8_t *hex_digits_end(const struct sql *q, const uint8_t *p)
{
    while (p < q->end && (is_digit(*p) || ((*p | 32) >= 'a' && (*p | 32) <= 'f')))
        p++;
    return p;
}

/* Points and exponents may come again and again. */
static const uint8_t *decimal_end(const struct sql *q, const uint8_t *p)
{
    for (; p < q->end; p++) {
        if ((*p | 32) == 'e')
            p += p + 1 < q->end && (p[1] == '+' || p[1] == '-');
        else if (!is_digit(*p) && *p != '.')
            break;
    }
    return p;
}

static void number(struct sql *q)
{
    const uint8_t *p = q->p;

    if (*p == '0' && (at(q, 1) | 32) == 'x') {
        p = hex_digits_end(q, p + 2);
    } else if (*p == '0' && is_octal(at(q, 1))) { /* 078 is 07 and 8 */
        while (p < q->end && is_octal(*p))
            p++;
    } else {
        p = decimal_end(q, p + 1);
    }
    hide_to(q, p);
}

static bool is_literal(const uint8_t *p, size_t n)
{
    return (n == 4 && (strncasecmp((const char *)p, "true", 4) == 0 || strncasecmp((const char *)p, "null", 4) == 0)) ||
           (n == 5 && strncasecmp((const char *)p, "false", 5) == 0);
}

/* A name, perhaps of parts with points between, or TRUE, FALSE, NULL. */
static void name(struct sql *q)
{
    const uint8_t *p = q->p;
    bool plain = true;
    size_t n;

    while (p < q->end && is_word(*p))
        p++;
    if (is_literal(q->p, (size_t)(p - q->p)) && (p == q->end || is_space(*p) || (*p && strchr("()[]{},;.:", *p)))) {
        hide_to(q, p);
        return;
    }
    for (; p < q->end && (n = name_part(q, p)) > 0; p += n)
        plain &= is_word(*p) || *p == '.' || *p == '@';
    plain &= *q->p < 0x80;
    if (plain && p < q->end && *p == '(') /* a function's */
        copy_to(q, p);
    else
        copy_without_digits(q, p);
}

/* $1, $$...$$, $tag$...$tag$. */
static void dollar(struct sql *q)
{
    const uint8_t *p = q->p + 1, *tag_end, *body_end;
    size_t len;

    if (is_digit(at(q, 1))) {
        while (p < q->end && is_digit(*p))
            p++;
        hide_to(q, p);
        return;
    }
    tag_end = memchr(p, '$', (size_t)(q->end - p));
    len = tag_end ? (size_t)(tag_end + 1 - q->p) : 0;
    body_end = tag_end ? memmem(tag_end + 1, (size_t)(q->end - tag_end - 1), q->p, len) : NULL;
    if (body_end)
        hide_to(q, body_end + len);
    else
        copy_to(q, q->p + 1);
}

/* @name, @@name: of variables, kept with their digits. */
static bool variable(struct sql *q)
{
    const uint8_t *p = q->p + 1 + (at(q, 1) == '@'), *from = p;

    while (p < q->end && is_word(*p))
        p++;
    if (p == from)
        return false;
    copy_to(q, p);
    return true;
}

static bool begins_comment(const struct sql *q)
{
    return (*q->p == '-' && at(q, 1) == '-') || (*q->p == '/' && at(q, 1) == '*') || (q->mysql && *q->p == '#');
}

static void comment(struct sql *q)
{
    if (*q->p == '/')
        block_comment(q);
    else
        line_comment(q);
}

/* A run of them: a sign within belongs to it and not to the number behind, no comment begins in it, and a
 * variable only behind =. */
static void operators(struct sql *q)
{
    do
        copy_to(q, q->p + 1);
    while (q->p < q->end && is_operator(*q->p) && !(*q->p == '@' && q->p[-1] == '='));
}

static void token(struct sql *q)
{
    uint8_t c = *q->p;

    if (begins_comment(q))
        comment(q);
    else if (c == '\'' || (c == '"' && q->mysql))
        string(q);
    else if (c == '"' || c == '`')
        quoted_name(q);
    else if (is_digit(c) || ((c == '+' || c == '-') && (is_digit(at(q, 1)) || at(q, 1) == '.')))
        number(q);
    else if (name_start(q, q->p))
        name(q);
    else if (c == '$')
        dollar(q);
    else if (c == '@' && variable(q))
        return;
    else if (is_operator(c))
        operators(q);
    else
        copy_to(q, q->p + 1);
}

/* White space of Unicode that is_space() does not know: it separates no tokens. */
static const char *const wide_spaces[] = {
    "\v",           "\f",           "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80",
    "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
    "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

/* Bytes of white space at the text's begin, or at its end. */
static size_t space_bytes(struct slice s, bool at_end)
{
    if (s.len == 0)
        return 0;
    if (is_space(s.p[at_end ? s.len - 1 : 0]))
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(wide_spaces); i++) {
        size_t n = strlen(wide_spaces[i]);

        if (n <= s.len && memcmp(at_end ? s.p + s.len - n : s.p, wide_spaces[i], n) == 0)
            return n;
    }
    return 0;
}

struct slice obfuscate_trimmed(struct slice s)
{
    size_t n;

    while ((n = space_bytes(s, false)))
        s = slice_of(s.p + n, s.len - n);
    while ((n = space_bytes(s, true)))
        s.len -= n;
    return s;
}

int obfuscate_sql(struct slice s, bool mysql, struct buf *out)
{
    struct slice text = obfuscate_trimmed(s);
    size_t from = out->len, n;

    if (text.len == 0) /* it may be nowhere */
        return 0;
    /* White space at the end may belong to the last token, and goes when that has been read. */
    struct sql q = {.p = text.p, .end = s.p + s.len, .out = out, .mysql = mysql};
    while (q.p < q.end && !q.full)
        token(&q);
    while (!q.full && (n = space_bytes(slice_of(out->p + from, out->len - from), true)))
        out->len -= n;
    return q.full ? -1 : 0;
}
