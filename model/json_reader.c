/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader keeps a position and a depth, no stack: the caller's own recursion knows whether it is
 * in an object or an array. `first` is enough to place the commas, because it is true only between
 * an opening bracket and the first thing after it.
 */
#include "model/json_reader.h"

#include <stdio.h>
#include <string.h>

void jr_init(struct json_reader *r, struct slice text, struct err *err)
{
    *r = (struct json_reader){.p = text.p, .start = text.p, .err = err};
    r->end = text.len ? text.p + text.len : text.p;
}

int jr_error(struct json_reader *r, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set(r->err, "%s at byte %zu", text, (size_t)(r->p - r->start));
}

static void skip_space(struct json_reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

enum jr_kind jr_peek(struct json_reader *r)
{
    skip_space(r);
    if (r->p == r->end)
        return JR_END;
    switch (*r->p) {
    case '{': return JR_OBJECT;
    case '[': return JR_ARRAY;
    case '"': return JR_STRING;
    case 't': return JR_TRUE;
    case 'f': return JR_FALSE;
    case 'n': return JR_NULL;
    default: return *r->p == '-' || (*r->p >= '0' && *r->p <= '9') ? JR_NUMBER : JR_BAD;
    }
}

static int unexpected(struct json_reader *r)
{
    if (r->p == r->end)
        return jr_error(r, "unexpected end of JSON");
    return jr_error(r, "unexpected character 0x%02x", *r->p);
}

int jr_enter(struct json_reader *r, enum jr_kind kind)
{
    if (jr_peek(r) != kind)
        return unexpected(r);
    if (r->depth == JR_MAX_DEPTH)
        return jr_error(r, "nested deeper than %d levels", JR_MAX_DEPTH);
    r->p++;
    r->depth++;
    r->first = true;
    return 0;
}

/* The comma before the next member or element, or the bracket that closes. 1, 0, -1. */
static int next(struct json_reader *r, uint8_t close)
{
    skip_space(r);
    if (r->p == r->end)
        return unexpected(r);
    if (*r->p == close) {
        r->p++;
        r->depth--;
        r->first = false;
        return 0;
    }
    if (!r->first) {
        if (*r->p != ',')
            return unexpected(r);
        r->p++;
    }
    r->first = false;
    return 1;
}

int jr_next_member(struct json_reader *r, struct buf *key)
{
    int rc = next(r, '}');

    if (rc <= 0)
        return rc;
    if (jr_peek(r) != JR_STRING)
        return unexpected(r);
    buf_clear(key);
    if (jr_take_string(r, key))
        return -1;
    skip_space(r);
    if (r->p == r->end || *r->p != ':')
        return unexpected(r);
    r->p++;
    return 1;
}

int jr_next_element(struct json_reader *r)
{
    return next(r, ']');
}

static int hex4(struct json_reader *r, uint32_t *v)
{
    *v = 0;
    if (r->end - r->p < 4)
        return jr_error(r, "unexpected end of JSON");
    for (int i = 0; i < 4; i++) {
        uint8_t c = r->p[i];
        uint32_t digit;

        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (c | 0x20) - 'a' + 10u;
        else
            return jr_error(r, "bad \\u escape");
        *v = *v << 4 | digit;
    }
    r->p += 4;
    return 0;
}

static size_t put_utf8(uint8_t *d, uint32_t c)
{
    if (c < 0x80) {
        d[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        d[0] = (uint8_t)(0xc0 | c >> 6);
        d[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        d[0] = (uint8_t)(0xe0 | c >> 12);
        d[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        d[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    d[0] = (uint8_t)(0xf0 | c >> 18);
    d[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    d[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    d[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* Behind "\u". A high surrogate without its low one, or a low one alone, is U+FFFD. */
static int take_unicode(struct json_reader *r, uint8_t *dst, size_t *n)
{
    uint32_t c, low;

    if (hex4(r, &c))
        return -1;
    if (c >= 0xd800 && c <= 0xdbff && r->end - r->p >= 2 && r->p[0] == '\\' && r->p[1] == 'u') {
        const uint8_t *back = r->p;

        r->p += 2;
        if (hex4(r, &low))
            return -1;
        if (low >= 0xdc00 && low <= 0xdfff)
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        else
            r->p = back; /* an escape of its own */
    }
    if (c >= 0xd800 && c <= 0xdfff)
        c = 0xfffd;
    *n = put_utf8(dst, c);
    return 0;
}

/* Behind the backslash. */
static int take_escape(struct json_reader *r, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    uint8_t dst[4];
    size_t n = 1;
    const char *at;

    if (r->p == r->end)
        return unexpected(r);
    if (*r->p == 'u') {
        r->p++;
        if (take_unicode(r, dst, &n))
            return -1;
    } else {
        at = *r->p ? strchr(from, *r->p) : NULL;
        if (!at)
            return jr_error(r, "bad escape");
        dst[0] = (uint8_t)to[at - from];
        r->p++;
    }
    return buf_add(out, dst, n) ? jr_error(r, "too large") : 0;
}

int jr_take_string(struct json_reader *r, struct buf *out)
{
    if (jr_peek(r) != JR_STRING)
        return unexpected(r);
    r->p++;
    for (;;) {
        const uint8_t *run = r->p;

        while (r->p < r->end && *r->p != '"' && *r->p != '\\' && *r->p >= 0x20)
            r->p++;
        if (buf_add(out, run, (size_t)(r->p - run)))
            return jr_error(r, "too large");
        if (r->p == r->end || *r->p < 0x20)
            return unexpected(r);
        if (*r->p++ == '"')
            return 0;
        if (take_escape(r, out))
            return -1;
    }
}

static size_t digits(struct json_reader *r)
{
    const uint8_t *from = r->p;

    while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
        r->p++;
    return (size_t)(r->p - from);
}

int jr_take_number(struct json_reader *r, struct slice *text)
{
    const uint8_t *from;

    if (jr_peek(r) != JR_NUMBER)
        return unexpected(r);
    from = r->p;
    if (*r->p == '-')
        r->p++;
    if (r->p < r->end && *r->p == '0')
        r->p++;
    else if (!digits(r))
        return unexpected(r);
    if (r->p < r->end && *r->p == '.') {
        r->p++;
        if (!digits(r))
            return unexpected(r);
    }
    if (r->p < r->end && (*r->p | 0x20) == 'e') {
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
            r->p++;
        if (!digits(r))
            return unexpected(r);
    }
    *text = slice_of(from, (size_t)(r->p - from));
    return 0;
}

int jr_take_literal(struct json_reader *r)
{
    static const char *const words[] = {"true", "false", "null"};

    skip_space(r);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);

        if ((size_t)(r->end - r->p) >= n && memcmp(r->p, words[i], n) == 0) {
            r->p += n;
            return 0;
        }
    }
    return unexpected(r);
}

static int skip_string(struct json_reader *r)
{
    uint32_t unit;

    r->p++;
    while (r->p < r->end && *r->p >= 0x20) {
        uint8_t c = *r->p++;

        if (c == '"')
            return 0;
        if (c != '\\')
            continue;
        if (r->p == r->end)
            break;
        if (!*r->p || !strchr("\"\\/bfnrtu", *r->p))
            return jr_error(r, "bad escape");
        if (*r->p++ == 'u' && hex4(r, &unit))
            return -1;
    }
    return unexpected(r);
}

static int skip_members(struct json_reader *r, enum jr_kind kind)
{
    int rc;

    if (jr_enter(r, kind))
        return -1;
    while ((rc = next(r, kind == JR_OBJECT ? '}' : ']')) == 1) {
        if (kind == JR_OBJECT) {
            if (jr_peek(r) != JR_STRING)
                return unexpected(r);
            if (skip_string(r))
                return -1;
            skip_space(r);
            if (r->p == r->end || *r->p != ':')
                return unexpected(r);
            r->p++;
        }
        if (jr_skip(r))
            return -1;
    }
    return rc;
}

int jr_skip(struct json_reader *r)
{
    enum jr_kind kind = jr_peek(r);
    struct slice text;

    switch (kind) {
    case JR_OBJECT:
    case JR_ARRAY: return skip_members(r, kind);
    case JR_STRING: return skip_string(r);
    case JR_NUMBER: return jr_take_number(r, &text);
    case JR_TRUE:
    case JR_FALSE:
    case JR_NULL: return jr_take_literal(r);
    default: return unexpected(r);
    }
}

int jr_finish(struct json_reader *r)
{
    return jr_peek(r) == JR_END ? 0 : jr_error(r, "data behind the end of the JSON value");
}
