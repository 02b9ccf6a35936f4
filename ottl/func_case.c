/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that change the case of a string. Lower and upper are Unicode's; snake and camel look
 * at ASCII letters and digits, byte by byte.
 */
#include <locale.h>
#include <strings.h>
#include <wctype.h>

#include "ottl/call.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* ---- lower and upper ---- */

/* One character of valid UTF-8; returns its length. */
static size_t decode(const uint8_t *p, uint32_t *c)
{
    if (*p < 0x80) {
        *c = *p;
        return 1;
    }
    size_t n = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

    *c = *p & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        *c = *c << 6 | (p[i] & 0x3f);
    return n;
}

static size_t encode(uint8_t *dst, uint32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (n == 1) {
        dst[0] = (uint8_t)c;
        return 1;
    }
    for (size_t i = n - 1; i; i--, c >>= 6)
        dst[i] = (uint8_t)(0x80 | (c & 0x3f));
    dst[0] = (uint8_t)(0xf00u >> n | c);
    return n;
}

/* Beyond ASCII: the C library's table. Whatever is no character stays as it is. */
static bool change_rare(struct ottl_eval *e, struct slice s, bool upper, struct ottl_value *out)
{
    locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    uint8_t *to = ottl_room(e, 2 * s.len), *dst = to;

    for (size_t i = 0; to && i < s.len;) {
        uint32_t c = s.p[i];
        size_t left = s.len - i, n = c < 0xc2 || c > 0xf4 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

        if (n > left || (n == 1 && c >= 0x80)) {
            *dst++ = s.p[i++];
            continue;
        }
        i += decode(s.p + i, &c);
        if (unicode)
            c = upper ? towupper_l(c, unicode) : towlower_l(c, unicode);
        dst += encode(dst, c);
    }
    if (unicode)
        freelocale(unicode);
    if (to)
        *out = ottl_str(slice_of(to, (size_t)(dst - to)));
    return to != NULL;
}

static bool change(struct ottl_eval *e, struct slice s, bool upper, struct ottl_value *out)
{
    uint8_t *to = ottl_room(e, s.len);

    if (!to)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (c >= 0x80)
            return change_rare(e, s, upper, out);
        to[i] = upper ? (is_lower(c) ? c - 32 : c) : is_upper(c) ? c + 32 : c;
    }
    *out = ottl_str(slice_of(to, s.len));
    return true;
}

/* ---- snake and camel ---- */

static struct slice trimmed(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
        s = slice_of(s.p + 1, s.len - 1);
    while (s.len && (s.p[s.len - 1] == ' ' || (s.p[s.len - 1] >= '\t' && s.p[s.len - 1] <= '\r')))
        s.len--;
    return s;
}

static bool is_separator(uint8_t c)
{
    return c == ' ' || c == '_' || c == '-' || c == '.';
}

/* Does a word end with c, when `next` follows? */
static bool changes(uint8_t c, uint8_t next)
{
    if (is_upper(c))
        return is_lower(next) || is_digit(next);
    if (is_lower(c))
        return is_upper(next) || is_digit(next);
    return is_digit(c) && (is_upper(next) || is_lower(next));
}

static bool snake(struct ottl_eval *e, struct slice in, struct ottl_value *out)
{
    struct slice s = trimmed(in);
    uint8_t *to = ottl_room(e, 3 * s.len), *dst = to;

    if (!to)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i], next = i + 1 < s.len ? s.p[i + 1] : 0, low = is_upper(c) ? c + 32 : c;

        if (!changes(c, next)) {
            *dst++ = is_separator(c) ? '_' : low;
            continue;
        }
        if (is_upper(c) && is_lower(next) && i && is_upper(s.p[i - 1]))
            *dst++ = '_'; /* an acronym ends before the last of its capitals */
        *dst++ = low;
        if (is_lower(c) || is_digit(c) || is_digit(next))
            *dst++ = '_';
    }
    *out = ottl_str(slice_of(to, (size_t)(dst - to)));
    return true;
}

static bool camel(struct ottl_eval *e, struct slice in, struct ottl_value *out)
{
    struct slice s = trimmed(in);
    uint8_t *to = ottl_room(e, s.len), *dst = to;
    bool word_begins = true, after_capital = false;

    if (!to)
        return false;
    if (slice_eq(s, slice_str("ID")))
        s = slice_str("id");
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        bool capital = is_upper(c);

        if (word_begins && is_lower(c))
            c -= 32;
        else if (!word_begins && after_capital && capital)
            c += 32;
        after_capital = capital;
        if (is_upper(c) || is_lower(c)) {
            *dst++ = c;
            word_begins = false;
        } else if (is_digit(c)) {
            *dst++ = c;
            word_begins = true;
        } else {
            word_begins = is_separator(c);
        }
    }
    *out = ottl_str(slice_of(to, (size_t)(dst - to)));
    return true;
}

/* ---- functions ---- */

FN(to_lower)
{
    struct ottl_value v;

    return arg(e, n, 0, &v) && change(e, v.s, false, out);
}

FN(to_upper)
{
    struct ottl_value v;

    return arg(e, n, 0, &v) && change(e, v.s, true, out);
}

FN(to_snake)
{
    struct ottl_value v;

    return arg(e, n, 0, &v) && snake(e, v.s, out);
}

FN(to_camel)
{
    struct ottl_value v;

    return arg(e, n, 0, &v) && camel(e, v.s, out);
}

static const struct {
    const char *name;
    node_fn *eval;
} cases[] = {{"lower", to_lower}, {"upper", to_upper}, {"snake", to_snake}, {"camel", to_camel}};

static int prepare_case(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *c = arg_constant(n, 1);

    (void)k;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (slice_eq(c->s, slice_str(cases[i].name))) {
            n->eval = cases[i].eval;
            return 0;
        }
    return err_set(err, "invalid case: %.*s, allowed cases are: lower, upper, snake, camel",
                   (int)(c->s.len < 60 ? c->s.len : 60), c->s.p);
}

const struct func case_functions[] = {
    {"ConvertCase", to_lower, {P("target", ARG_STR), P("to_case", ARG_TEXT)}, prepare_case},
    {"ToLowerCase", to_lower, {P("target", ARG_STR)}, NULL},
    {"ToUpperCase", to_upper, {P("target", ARG_STR)}, NULL},
    {"ToSnakeCase", to_snake, {P("target", ARG_STR)}, NULL},
    {"ToCamelCase", to_camel, {P("target", ARG_STR)}, NULL},
    {.name = NULL},
};
