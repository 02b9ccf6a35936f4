/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on strings. Each is a row in the table at the end. Results point into their arguments
 * where they can, else into the scratch. */
#include <errno.h>
#include <stdlib.h>

#include "ottl/call.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

/* ---- matching ---- */

FN(is_match)
{
    struct ottl_value v;
    struct regex *own;
    const struct regex *re;

    if (!arg(e, n, 0, &v))
        return false;
    re = arg_regex(e, n, 1, &own);
    if (!re)
        return false;
    *out = ottl_bool(v.type == OTTL_STR && regex_search(re, v.s, 0, NULL, NULL));
    if (own)
        regex_free(&own);
    return true;
}

static bool starts(struct slice s, struct slice with)
{
    return s.len >= with.len && slice_eq(slice_of(s.p, with.len), with);
}

static bool ends(struct slice s, struct slice with)
{
    return s.len >= with.len && slice_eq(slice_of(s.p + s.len - with.len, with.len), with);
}

static bool two(struct ottl_eval *e, const struct node *n, struct slice *a, struct slice *b)
{
    struct ottl_value x, y;

    if (!arg(e, n, 0, &x) || !arg(e, n, 1, &y))
        return false;
    *a = x.s;
    *b = y.s;
    return true;
}

FN(has_prefix)
{
    struct slice s, with;

    if (!two(e, n, &s, &with))
        return false;
    *out = ottl_bool(starts(s, with));
    return true;
}

FN(has_suffix)
{
    struct slice s, with;

    if (!two(e, n, &s, &with))
        return false;
    *out = ottl_bool(ends(s, with));
    return true;
}

/* ---- cutting ---- */

FN(trim_prefix)
{
    struct slice s, with;

    if (!two(e, n, &s, &with))
        return false;
    *out = ottl_str(starts(s, with) ? slice_of(s.p + with.len, s.len - with.len) : s);
    return true;
}

FN(trim_suffix)
{
    struct slice s, with;

    if (!two(e, n, &s, &with))
        return false;
    *out = ottl_str(ends(s, with) ? slice_of(s.p, s.len - with.len) : s);
    return true;
}

/* Length of the character at s.p; bytes that are no UTF-8 are characters of one byte. */
static size_t character(struct slice s)
{
    size_t n = 1;

    if (s.p[0] >= 0xc2 && s.p[0] <= 0xf4)
        while (n < 4 && n < s.len && (s.p[n] & 0xc0) == 0x80)
            n++;
    return n;
}

static bool in_set(struct slice c, struct slice set)
{
    while (set.len) {
        size_t n = character(set);

        if (slice_eq(c, slice_of(set.p, n)))
            return true;
        set = slice_of(set.p + n, set.len - n);
    }
    return false;
}

FN(trim)
{
    struct ottl_value v, set;
    struct slice s;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &set))
        return false;
    if (set.type == OTTL_ABSENT)
        set = ottl_str(slice_str(" "));
    s = v.s;
    while (s.len) {
        size_t c = character(s);

        if (!in_set(slice_of(s.p, c), set.s))
            break;
        s = slice_of(s.p + c, s.len - c);
    }
    while (s.len) {
        size_t c = 1;

        while (c < 4 && c < s.len && (s.p[s.len - c] & 0xc0) == 0x80)
            c++;
        if (!in_set(slice_of(s.p + s.len - c, c), set.s))
            break;
        s.len -= c;
    }
    *out = ottl_str(s);
    return true;
}

static bool boundary(struct slice s, int64_t i)
{
    return i >= (int64_t)s.len || (s.p[i] & 0xc0) != 0x80;
}

FN(substring)
{
    struct ottl_value v, start, len, safe;
    int64_t from, to;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &start) || !arg(e, n, 2, &len) || !arg(e, n, 3, &safe))
        return false;
    if (start.i < 0)
        return ottl_fail(e, "invalid start for substring function, %lld cannot be negative",
                         (long long)start.i);
    if (len.i <= 0)
        return ottl_fail(e,
                         "invalid length for substring function, %lld cannot be negative or zero",
                         (long long)len.i);
    if (start.i > (int64_t)v.s.len || len.i > (int64_t)v.s.len - start.i)
        return ottl_fail(e,
                         "invalid range for substring function, %lld cannot be greater than the "
                         "length of target string(%zu)",
                         (long long)start.i + (len.i > INT64_MAX - start.i ? 0 : (long long)len.i),
                         v.s.len);
    from = start.i;
    to = start.i + len.i;
    if (safe.type == OTTL_BOOL && safe.i) {
        while (!boundary(v.s, from))
            from++;
        while (to > from && !boundary(v.s, to))
            to--;
    }
    *out = ottl_str(slice_of(v.s.p + from, to > from ? (size_t)(to - from) : 0));
    return true;
}

static size_t parts(struct slice s, struct slice by, struct ottl_value *v)
{
    size_t n = 0;

    while (by.len == 0 ? s.len != 0 : true) {
        const uint8_t *at = by.len && s.len ? memmem(s.p, s.len, by.p, by.len) : NULL;
        size_t len = by.len == 0 ? character(s)
                     : at        ? (size_t)(at - s.p)
                                 : s.len,
               skip = len + by.len;

        if (v)
            v[n] = ottl_str(slice_of(s.p, len));
        n++;
        if (by.len && !at)
            break;
        s = slice_of(s.p + skip, s.len - skip);
    }
    return n;
}

FN(split)
{
    struct slice s, by;
    struct ottl_value *v;
    size_t count;

    if (!two(e, n, &s, &by))
        return false;
    count = parts(s, by, NULL);
    v = ottl_room(e, count * sizeof(*v));
    if (!v)
        return false;
    parts(s, by, v);
    *out = (struct ottl_value){.type = OTTL_ITEMS, .aux = 1, .items = {v, count}};
    return true;
}

/* ---- joining ---- */

static bool as_texts(struct ottl_eval *e, struct ottl_list_iter it, struct ottl_value *v,
                     size_t *total)
{
    for (size_t i = 0; ottl_list_next(&it, &v[i]); i++) {
        if (v[i].type == OTTL_NIL)
            v[i] = ottl_str(slice_str("<nil>"));
        if (!make_str_like(e, &v[i]))
            return false;
        *total += v[i].s.len;
    }
    return true;
}

FN(concat)
{
    struct ottl_value list, by, *v;
    size_t count, total = 0;
    uint8_t *to;

    if (!arg(e, n, 0, &list) || !arg(e, n, 1, &by))
        return false;
    count = ottl_list_len(&list);
    v = ottl_room(e, (count + 1) * sizeof(*v));
    if (!v || !as_texts(e, ottl_list_iter(&list), v, &total))
        return false;
    total += count ? (count - 1) * by.s.len : 0;
    to = ottl_room(e, total);
    if (!to)
        return false;
    *out = ottl_str(slice_of(to, total));
    for (size_t i = 0; i < count; i++) {
        if (i && by.s.len)
            to = (uint8_t *)mempcpy(to, by.s.p, by.s.len);
        if (v[i].s.len)
            to = (uint8_t *)mempcpy(to, v[i].s.p, v[i].s.len);
    }
    return true;
}

FN(hex)
{
    static const char digits[] = "0123456789abcdef";
    struct ottl_value v;
    uint8_t *to;

    if (!arg(e, n, 0, &v))
        return false;
    if (v.type == OTTL_NIL)
        v.s = (struct slice){0};
    to = ottl_room(e, 2 * v.s.len);
    if (!to)
        return false;
    for (size_t i = 0; i < v.s.len; i++) {
        to[2 * i] = (uint8_t)digits[v.s.p[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[v.s.p[i] & 15];
    }
    *out = ottl_str(slice_of(to, 2 * v.s.len));
    return true;
}

/* ---- numbers from text ---- */

FN(parse_int_base)
{
    struct ottl_value v, base;
    char text[80], *end;
    long long i;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &base))
        return false;
    if (base.i < 0 || base.i == 1 || base.i > 36)
        return ottl_fail(e, "ParseInt: invalid base %lld", (long long)base.i);
    if (v.s.len == 0 || v.s.len >= sizeof(text) || memchr(v.s.p, 0, v.s.len) || v.s.p[0] <= ' ')
        return ottl_fail(e, "could not convert string to int64: invalid syntax");
    memcpy(text, v.s.p, v.s.len);
    text[v.s.len] = 0;
    errno = 0;
    i = strtoll(text, &end, (int)base.i);
    if (errno || *end || (base.i == 16 && strpbrk(text, "xX")))
        return ottl_fail(e, "could not convert string to int64: %s",
                         errno ? "value out of range" : "invalid syntax");
    *out = ottl_int(i);
    return true;
}

FN(is_valid_luhn)
{
    struct ottl_value v;
    unsigned sum = 0, digits = 0;

    if (!arg(e, n, 0, &v))
        return false;
    if (v.type == OTTL_NIL)
        return ottl_fail(e, "IsValidLuhn: invalid input type: nil");
    for (size_t i = v.s.len; i-- > 0;) {
        unsigned d = (unsigned)v.s.p[i] - '0';

        if (v.s.p[i] == ' ')
            continue;
        if (d > 9)
            return ottl_fail(e, "IsValidLuhn: %c is no digit", v.s.p[i] < 0x7f ? v.s.p[i] : '?');
        if (digits++ % 2)
            d = d > 4 ? 2 * d - 9 : 2 * d;
        sum += d;
    }
    *out = ottl_bool(digits && sum % 10 == 0);
    return true;
}

const struct func text_functions[] = {
    {"IsMatch", is_match, {P("target", ARG_STR_LIKE), P("pattern", ARG_REGEX)}, NULL},
    {"HasPrefix", has_prefix, {P("target", ARG_STR), P("prefix", ARG_STR)}, NULL},
    {"HasSuffix", has_suffix, {P("target", ARG_STR), P("suffix", ARG_STR)}, NULL},
    {"TrimPrefix", trim_prefix, {P("target", ARG_STR), P("prefix", ARG_STR)}, NULL},
    {"TrimSuffix", trim_suffix, {P("target", ARG_STR), P("suffix", ARG_STR)}, NULL},
    {"Trim", trim, {P("target", ARG_STR), OPTIONAL("replacement", ARG_TEXT)}, NULL},
    {"Substring",
     substring,
     {P("target", ARG_STR), P("start", ARG_INT), P("length", ARG_INT),
      OPTIONAL("utf8_safe", ARG_BOOL)},
     NULL},
    {"Split", split, {P("target", ARG_STR), P("delimiter", ARG_STR)}, NULL},
    {"Concat", concat, {P("vals", ARG_VALUES), P("delimiter", ARG_STR)}, NULL},
    {"Hex", hex, {P("target", ARG_BYTES_LIKE)}, NULL},
    {"ParseInt", parse_int_base, {P("target", ARG_STR), P("base", ARG_INT)}, NULL},
    {"IsValidLuhn", is_valid_luhn, {P("target", ARG_STR_LIKE)}, NULL},
    {.name = NULL},
};
