/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers by printf verbs. Order: integers, floats. Threads: the eval's worker. */
#include <math.h>
#include <stdio.h>

#include "ottl/verbs_priv.h"
#include "platform/num.h"

/* ---- integers ---- */

static unsigned base_of(uint32_t verb)
{
    return verb == 'b' ? 2 : verb == 'o' || verb == 'O' ? 8 : verb == 'x' || verb == 'X' ? 16 : 10;
}

/* Digits of u, written to the end of dst. */
static struct slice digits_of(uint64_t u, uint32_t verb, char dst[static 64])
{
    const char *set = verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    unsigned base = base_of(verb);
    size_t i = 64;

    do
        dst[--i] = set[u % base];
    while (u /= base);
    return slice_of(dst + i, 64 - i);
}

static const char *prefix_of(const struct verb *f, char first_digit)
{
    if (f->rune == 'O')
        return "0o";
    if (!f->sharp)
        return "";
    switch (f->rune) {
    case 'b':
        return "0b";
    case 'o':
        return first_digit == '0' ? "" : "0";
    case 'x':
        return "0x";
    case 'X':
        return "0X";
    default:
        return "";
    }
}

int verb_integer(struct buf *out, const struct verb *f, int64_t v)
{
    const char *sign = v < 0 ? "-" : f->plus && f->rune != 'v' ? "+" : f->space ? " " : "";
    struct verb spaces = *f;
    char dst[64];
    struct slice digits = digits_of(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, f->rune, dst);
    int64_t least = 0;
    size_t from = out->len;

    spaces.zero = false;
    if (f->has_precision)
        least = f->precision;
    else if (f->zero && !f->minus && f->has_width)
        least = f->width - (int64_t)strlen(sign);
    if (f->has_precision && f->precision == 0 && v == 0)
        return verb_repeat(out, ' ', f->has_width ? f->width : 0);
    least -= (int64_t)digits.len;
    if (buf_printf(out, "%s%s", sign, prefix_of(f, least > 0 ? '0' : (char)digits.p[0])) ||
        verb_repeat(out, '0', least) || buf_add(out, digits.p, digits.len))
        return -1;
    return verb_pad_tail(out, from, &spaces);
}

struct slice verb_utf8(int64_t v, uint8_t dst[static 4])
{
    uint32_t c = v < 0 || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0xfffd : (uint32_t)v;

    if (c < 0x80) {
        dst[0] = (uint8_t)c;
        return slice_of(dst, 1);
    }
    if (c < 0x800) {
        dst[0] = (uint8_t)(0xc0 | c >> 6);
        dst[1] = (uint8_t)(0x80 | (c & 63));
        return slice_of(dst, 2);
    }
    if (c < 0x10000) {
        dst[0] = (uint8_t)(0xe0 | c >> 12);
        dst[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        dst[2] = (uint8_t)(0x80 | (c & 63));
        return slice_of(dst, 3);
    }
    dst[0] = (uint8_t)(0xf0 | c >> 18);
    dst[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    dst[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    dst[3] = (uint8_t)(0x80 | (c & 63));
    return slice_of(dst, 4);
}

static int put_code_point(struct buf *out, const struct verb *f, int64_t v)
{
    int digits = f->has_precision && f->precision > 4 ? (int)f->precision : 4;
    struct verb spaces = *f;
    size_t from = out->len;
    uint8_t utf8[4];
    struct slice c = verb_utf8(v, utf8);

    spaces.zero = false;
    if (buf_printf(out, "U+%0*llX", digits, (unsigned long long)v))
        return -1;
    if (f->sharp && v >= 0 && v <= 0x10ffff && verb_printable((uint32_t)v) &&
        buf_printf(out, " '%.*s'", (int)c.len, c.p))
        return -1;
    return verb_pad_tail(out, from, &spaces);
}

static int put_char(struct buf *out, const struct verb *f, int64_t v)
{
    uint8_t utf8[4];
    struct slice c = verb_utf8(v, utf8);
    size_t from = out->len;

    if (f->rune == 'c')
        return verb_padded(out, f, c);
    if (c.len == 3 && memcmp(c.p, "\xef\xbf\xbd", 3) == 0)
        v = 0xfffd;
    if (buf_add(out, "'", 1) || verb_quoted_rune(out, (uint32_t)v, c, '\'', f->plus) ||
        buf_add(out, "'", 1))
        return -1;
    return verb_pad_tail(out, from, f);
}

enum verb_put verb_int(struct buf *out, const struct verb *f, int64_t v)
{
    switch (f->rune) {
    case 'v':
    case 'd':
    case 'b':
    case 'o':
    case 'O':
    case 'x':
    case 'X':
        return verb_done(verb_integer(out, f, v));
    case 'c':
    case 'q':
        return verb_done(put_char(out, f, v));
    case 'U':
        return verb_done(put_code_point(out, f, v));
    default:
        return VERB_BAD;
    }
}

/* ---- floats ---- */

/* C has one digit in the exponent of %a where Go has two at least. */
static size_t widen_exponent(char *s, size_t n)
{
    if (n > 3 && (s[n - 3] == 'p' || s[n - 3] == 'P')) {
        s[n] = s[n - 1];
        s[n - 1] = '0';
        n++;
    }
    return n;
}

static int add_binary_exponent(struct buf *out, double d)
{
    int exponent;
    uint64_t mantissa = (uint64_t)ldexp(frexp(fabs(d), &exponent), 53);

    exponent -= 53;
    if (mantissa == 0)
        exponent = -1074;
    return buf_printf(out, "%s%llup%+d", signbit(d) ? "-" : "+", (unsigned long long)mantissa,
                      exponent);
}

/* Into room for all of it. */
static size_t print_float(char *to, size_t room, const struct verb *f, double d)
{
    int n = f->has_precision ? (int)f->precision : 6;

    switch (f->rune) {
    case 'e':
        return (size_t)snprintf(to, room, "%+.*e", n, d);
    case 'E':
        return (size_t)snprintf(to, room, "%+.*E", n, d);
    case 'f':
    case 'F':
        return (size_t)snprintf(to, room, "%+.*f", n, d);
    case 'G':
        return (size_t)snprintf(to, room, "%+.*G", n, d);
    case 'x':
        n = f->has_precision ? snprintf(to, room, "%+.*a", n, d) : snprintf(to, room, "%+a", d);
        return widen_exponent(to, (size_t)n);
    case 'X':
        n = f->has_precision ? snprintf(to, room, "%+.*A", n, d) : snprintf(to, room, "%+A", d);
        return widen_exponent(to, (size_t)n);
    default:
        return (size_t)snprintf(to, room, "%+.*g", n, d);
    }
}

/* With its sign, also +. */
static int add_float(struct buf *out, const struct verb *f, double d)
{
    char shortest[40];
    size_t from = out->len, n, room;

    if (!isfinite(d))
        return buf_printf(out, "%s", isnan(d) ? "+NaN" : d < 0 ? "-Inf" : "+Inf");
    if (f->rune == 'b')
        return add_binary_exponent(out, d);
    if (!f->has_precision && (f->rune == 'v' || (f->rune | 0x20) == 'g')) {
        n = num_metric(shortest, fabs(d));
        for (size_t i = 0; f->rune == 'G' && i < n; i++)
            shortest[i] = shortest[i] == 'e' ? 'E' : shortest[i];
        return buf_add(out, signbit(d) ? "-" : "+", 1) || buf_add(out, shortest, n) ? -1 : 0;
    }
    room = (size_t)f->precision + 340;
    if (buf_reserve(out, room))
        return -1;
    out->len += print_float((char *)out->p + from, room, f, d);
    return 0;
}

static int put_signed_float(struct buf *out, const struct verb *f, double d)
{
    size_t from = out->len;
    bool plus = f->plus && f->rune != 'v'; /* there it means something else */
    int64_t missing;

    if (add_float(out, f, d))
        return -1;
    if (out->p[from] == '+' && f->space && !plus)
        out->p[from] = ' ';
    else if (out->p[from] == '+' && !plus)
        memmove(out->p + from, out->p + from + 1, --out->len - from);
    missing = f->has_width ? f->width - (int64_t)(out->len - from) : 0;
    if (f->zero && !f->minus && isfinite(d) && missing > 0) { /* zeros go behind the sign */
        bool sign = out->p[from] < '0' || out->p[from] > '9';
        size_t at = from + sign, len = out->len - at;

        if (verb_repeat(out, '0', missing))
            return -1;
        memmove(out->p + at + missing, out->p + at, len);
        memset(out->p + at, '0', (size_t)missing);
        return 0;
    }
    return verb_pad_tail(
        out, from, &(struct verb){.has_width = f->has_width, .width = f->width, .minus = f->minus});
}

enum verb_put verb_float(struct buf *out, const struct verb *f, double d)
{
    if (f->rune == 'v' || (f->rune < 0x80 && strchr("eEfFgGxXb", (int)f->rune)))
        return verb_done(put_signed_float(out, f, d));
    return VERB_BAD;
}
