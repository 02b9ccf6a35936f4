/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that write bytes as text and read them back: base64 in four variants, and texts of
 * other character sets. The usual sets are computed here; others of single bytes come as a table of
 * their upper half from the C library, at start. Those of several bytes (Shift JIS, Big5, ...) are
 * refused. Results stand in the scratch.
 */
#include <iconv.h>
#include <strings.h>

#include "model/utf8.h"
#include "ottl/call.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

/* ---- base64 ---- */

struct variant {
    const char *name;
    bool url, raw; /* - _ for + /; no padding */
};

static const struct variant variants[] = {
    {"base64", false, false},
    {"base64-raw", false, true},
    {"base64-url", true, false},
    {"base64-raw-url", true, true},
};

static const struct variant *variant_of(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(variants); i++)
        if (slice_eq(name, slice_str(variants[i].name)))
            return &variants[i];
    return NULL;
}

static char digit64(unsigned v, bool url)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    return v < 62 ? digits[v] : v == 62 ? (url ? '-' : '+') : url ? '_' : '/';
}

/* Returns the length; to has room for all. */
static size_t encode64(struct slice s, const struct variant *as, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i += 3) {
        size_t have = s.len - i < 3 ? s.len - i : 3;
        unsigned v = (unsigned)s.p[i] << 16 | (have > 1 ? (unsigned)s.p[i + 1] << 8 : 0) |
                     (have > 2 ? s.p[i + 2] : 0);

        for (unsigned k = 0; k < 4; k++)
            if (k <= have)
                to[len++] = (uint8_t)digit64(v >> (18 - 6 * k) & 63, as->url);
            else if (!as->raw)
                to[len++] = '=';
    }
    return len;
}

size_t put_base64(struct slice s, uint8_t *to)
{
    return encode64(s, &variants[0], to);
}

FN(base64_encode)
{
    const struct variant *as = &variants[0];
    struct ottl_value v, name;
    uint8_t *to;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &name))
        return false;
    if (name.type == OTTL_STR)
        as = variant_of(name.s);
    if (!as)
        return ottl_fail(e, "unsupported base64 variant: %.*s",
                         (int)(name.s.len < 80 ? name.s.len : 80), name.s.p);
    if (v.s.len > OTTL_SCRATCH_BYTES)
        return ottl_too_long(e);
    to = ottl_room(e, (v.s.len + 2) / 3 * 4);
    if (!to)
        return false;
    *out = ottl_str(slice_of(to, encode64(v.s, as, to)));
    return true;
}

static int value64(uint8_t c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

static size_t past_newlines(struct slice s, size_t i)
{
    while (i < s.len && (s.p[i] == '\n' || s.p[i] == '\r'))
        i++;
    return i;
}

/* Behind the first '=' at i - 1, with k digits read. False: *bad is where it went wrong. */
static bool padding(struct slice s, size_t i, unsigned k, size_t *bad)
{
    *bad = i - 1;
    if (k < 2)
        return false;
    i = past_newlines(s, i);
    if (k == 2) {
        if (i == s.len)
            *bad = i;
        if (i == s.len || s.p[i] != '=')
            return false;
        i = past_newlines(s, i + 1);
    }
    *bad = i;
    return i == s.len;
}

/* Line breaks are skipped; bits left over are not looked at. Returns the length, or -1 with *bad.
 */
static ptrdiff_t decode64(struct slice s, const struct variant *as, uint8_t *to, size_t *bad)
{
    unsigned bits = 0, k = 0; /* digits of the current four */
    size_t len = 0, i = 0;
    bool padded = false;

    for (i = past_newlines(s, 0); i < s.len; i = past_newlines(s, i)) {
        int v = value64(s.p[i++], as->url);

        *bad = i - 1;
        if (v < 0 && (s.p[i - 1] != '=' || as->raw || !padding(s, i, k, bad)))
            return -1;
        if (v < 0) {
            padded = true;
            break;
        }
        bits = bits << 6 | (unsigned)v;
        if (++k == 4) {
            to[len++] = (uint8_t)(bits >> 16);
            to[len++] = (uint8_t)(bits >> 8);
            to[len++] = (uint8_t)bits;
            k = 0;
        }
    }
    *bad = i - k;
    if (k == 1 || (k && !padded && !as->raw))
        return -1;
    if (k >= 2)
        to[len++] = (uint8_t)(bits >> (k == 2 ? 4 : 10));
    if (k == 3)
        to[len++] = (uint8_t)(bits >> 2);
    return (ptrdiff_t)len;
}

static bool from_base64(struct ottl_eval *e, struct slice s, const struct variant *as,
                        const char *prefix, struct ottl_value *out)
{
    uint8_t *to = ottl_room(e, s.len / 4 * 3 + 3);
    ptrdiff_t len;
    size_t bad = 0;

    if (!to)
        return false;
    len = decode64(s, as, to, &bad);
    if (len < 0)
        return ottl_fail(e, "%sillegal base64 data at input byte %zu", prefix, bad);
    *out = ottl_str(slice_of(to, (size_t)len));
    return true;
}

FN(base64_decode)
{
    struct ottl_value v;

    return arg(e, n, 0, &v) && from_base64(e, v.s, &variants[0], "", out);
}

/* ---- character sets ---- */

/* Windows-1252 from 0x80 to 0x9f; 0: none. */
static const uint16_t windows_1252[32] = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
};

/* Up to four bytes; what is no character becomes U+FFFD. */
static size_t put_utf8(uint8_t *to, uint32_t c)
{
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xc0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xe0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        to[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    to[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

static size_t from_ascii(struct slice s, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++)
        len += put_utf8(to + len, s.p[i] < 0x80 ? s.p[i] : 0xfffd);
    return len;
}

static size_t from_latin1(struct slice s, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++)
        len += put_utf8(to + len, s.p[i]);
    return len;
}

static size_t from_windows_1252(struct slice s, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint32_t c = s.p[i];

        if (c >= 0x80 && c < 0xa0)
            c = windows_1252[c - 0x80] ? windows_1252[c - 0x80] : 0xfffd;
        len += put_utf8(to + len, c);
    }
    return len;
}

static size_t from_utf8(struct slice s, uint8_t *to)
{
    return utf8_repair(to, s.p, s.len);
}

static uint32_t unit16(struct slice s, size_t i, bool big)
{
    return big ? (uint32_t)s.p[i] << 8 | s.p[i + 1] : (uint32_t)s.p[i + 1] << 8 | s.p[i];
}

static size_t from_utf16(struct slice s, uint8_t *to, bool big)
{
    size_t len = 0, i = 0;

    while (i + 1 < s.len) {
        uint32_t c = unit16(s, i, big), low;

        i += 2;
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < s.len) {
            low = unit16(s, i, big);
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            }
        }
        len += put_utf8(to + len, c);
    }
    return len + (i < s.len ? put_utf8(to + len, 0xfffd) : 0);
}

static size_t from_utf16_le(struct slice s, uint8_t *to)
{
    return from_utf16(s, to, false);
}

static size_t from_utf16_be(struct slice s, uint8_t *to)
{
    return from_utf16(s, to, true);
}

/* Each byte becomes at most three. No function: the bytes as they are. */
static const struct charset {
    const char *name;
    size_t (*decode)(struct slice s, uint8_t *to);
} charsets[] = {
    {"", NULL},
    {"nop", NULL},
    {"utf-8", from_utf8},
    {"utf8", from_utf8},
    {"us-ascii", from_ascii},
    {"ascii", from_ascii},
    {"iso-8859-1", from_latin1},
    {"latin1", from_latin1},
    {"windows-1252", from_windows_1252},
    {"utf-16", from_utf16_le},
    {"utf16", from_utf16_le},
    {"utf-16le", from_utf16_le},
    {"utf-16be", from_utf16_be},
};

static const struct charset *charset_of(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
        if (name.len == strlen(charsets[i].name) &&
            (name.len == 0 || strncasecmp((const char *)name.p, charsets[i].name, name.len) == 0))
            return &charsets[i];
    return NULL;
}

/* The upper half of a set of single bytes, from the C library, at start. NULL: it has none such. */
static uint16_t *upper_half(struct arena *arena, const char *name)
{
    iconv_t from = iconv_open("UTF-16LE", name);
    uint16_t *upper;

    if (from == (iconv_t)-1) // NOLINT(performance-no-int-to-ptr)
        return NULL;
    upper = arena_alloc(arena, 128 * sizeof(*upper));
    for (unsigned c = 0; c < 256 && upper; c++) {
        char in_byte = (char)c, two[8], *at = &in_byte, *to = two;
        size_t in_left = 1, out_left = sizeof(two);
        size_t rc = iconv(from, &at, &in_left, &to, &out_left);
        uint16_t unit = (uint16_t)((uint8_t)two[0] | (uint8_t)two[1] << 8);

        if (c < 128 ? rc || out_left != 6 || unit != c : rc == 0 && out_left != 6)
            upper = NULL; /* no superset of ASCII in single bytes */
        else if (c >= 128)
            upper[c - 128] = rc ? 0xfffd : unit;
        iconv(from, NULL, NULL, NULL, NULL);
    }
    iconv_close(from);
    return upper;
}

static size_t from_bytes(struct slice s, const uint16_t *upper, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++)
        len += put_utf8(to + len, s.p[i] < 128 ? s.p[i] : upper[s.p[i] - 128]);
    return len;
}

static bool unsupported(struct ottl_eval *e, struct slice name)
{
    return ottl_fail(e, "unsupported encoding '%.*s'", (int)(name.len < 80 ? name.len : 80),
                     name.p);
}

static bool from_charset(struct ottl_eval *e, struct slice s, const struct charset *from,
                         const uint16_t *upper, struct ottl_value *out)
{
    uint8_t *to;

    *out = ottl_str(s);
    if (!upper && !from->decode)
        return true;
    to = s.len > OTTL_SCRATCH_BYTES ? NULL : ottl_room(e, 3 * s.len + 3);
    if (!to)
        return ottl_too_long(e);
    out->s = slice_of(to, upper ? from_bytes(s, upper, to) : from->decode(s, to));
    return true;
}

FN(decode)
{
    const uint16_t *upper = n->data; /* of a set known at start */
    const struct variant *as;
    const struct charset *from;
    struct ottl_value v, name;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &name))
        return false;
    if (v.type != OTTL_STR && v.type != OTTL_BYTES)
        return ottl_fail(e, "unsupported type provided to Decode function: %s",
                         v.type == OTTL_NIL ? "<nil>" : ottl_type_name(&v));
    as = variant_of(name.s);
    if (as)
        return from_base64(e, v.s, as, "could not decode: ", out);
    from = charset_of(name.s);
    return from || upper ? from_charset(e, v.s, from, upper, out) : unsupported(e, name.s);
}

static int prepare_decode(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *name = arg_constant(n, 1);
    char text[64];

    if (!name || variant_of(name->s) || charset_of(name->s))
        return 0;
    if (name->s.len < sizeof(text) && !memchr(name->s.p, '/', name->s.len)) {
        memcpy(text, name->s.p, name->s.len);
        text[name->s.len] = 0;
        n->data = upper_half(k->program->arena, text);
    }
    return n->data ? 0
                   : err_set(err, "unsupported encoding '%.*s'",
                             (int)(name->s.len < 80 ? name->s.len : 80), name->s.p);
}

const struct func encode_functions[] = {
    {"Base64Encode", base64_encode, {P("target", ARG_STR), OPTIONAL("variant", ARG_STR)}, NULL},
    {"Base64Decode", base64_decode, {P("target", ARG_STR)}, NULL},
    {"Decode", decode, {P("target", ARG_ANY), P("encoding", ARG_STR)}, prepare_decode},
    {.name = NULL},
};
