/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values by printf verbs, as Go's fmt prints them. See verbs.h.
 *
 * Widths and precisions count characters and are bounded by the caller; the text is bounded by its
 * buffer. Which characters %q calls printable is a little coarser than Go's tables.
 * Order: padding, strings, integers, floats, the rest. Threads: the eval's worker.
 */
#include "ottl/verbs.h"

#include <math.h>
#include <stdio.h>

#include "model/utf8.h"
#include "ottl/times.h"
#include "platform/num.h"

/* ---- padding ---- */

static int put_times(struct buf *out, char c, int64_t n)
{
    if (n <= 0)
        return 0;
    if (buf_reserve(out, (size_t)n))
        return -1;
    memset(out->p + out->len, c, (size_t)n);
    out->len += (size_t)n;
    return 0;
}

static int64_t characters(struct slice s)
{
    int64_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += (s.p[i] & 0xc0) != 0x80;
    return n;
}

/* s in its width; zeros only in front. */
static int put_padded(struct buf *out, const struct verb *f, struct slice s)
{
    int64_t missing = f->has_width ? f->width - characters(s) : 0;

    if (!f->minus && put_times(out, f->zero ? '0' : ' ', missing))
        return -1;
    if (buf_add(out, s.p, s.len))
        return -1;
    return f->minus ? put_times(out, ' ', missing) : 0;
}

/* ---- strings ---- */

/* The character at s.p[*i], which moves on; 0xfffd for bytes that are none, and *i by one. */
static uint32_t next_rune(struct slice s, size_t *i, bool *valid)
{
    const uint8_t *p = s.p + *i;
    size_t left = s.len - *i, n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

    *valid = n <= left && utf8_valid(p, n);
    if (!*valid) {
        ++*i;
        return 0xfffd;
    }
    *i += n;
    switch (n) {
    case 1:
        return p[0];
    case 2:
        return (uint32_t)(p[0] & 31) << 6 | (p[1] & 63);
    case 3:
        return (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    default:
        return (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12 |
               (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
    }
}

static const struct {
    uint32_t from, to;
} unprintable[] = {
    {0x7f, 0xa0},     {0xad, 0xad},     {0x1680, 0x1680},   {0x180e, 0x180e},    {0x2000, 0x200f},
    {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3000, 0x3000},   {0xd800, 0xf8ff},    {0xfeff, 0xfeff},
    {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe00ff}, {0xe01f0, 0x10ffff},
};

static bool printable(uint32_t c)
{
    if (c < ' ')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(unprintable); i++)
        if (c >= unprintable[i].from && c <= unprintable[i].to)
            return false;
    return true;
}

static int put_quoted_rune(struct buf *out, uint32_t c, struct slice as, char quote, bool ascii)
{
    static const char escapes[] = "abtnvfr"; /* from 7 on */

    if (c == (uint8_t)quote || c == '\\')
        return buf_printf(out, "\\%c", (char)c);
    if (printable(c) && (c < 0x80 || !ascii))
        return buf_add(out, as.p, as.len);
    if (c >= 7 && c <= 13)
        return buf_printf(out, "\\%c", escapes[c - 7]);
    if (c < ' ' || c == 0x7f)
        return buf_printf(out, "\\x%02x", c);
    return c < 0x10000 ? buf_printf(out, "\\u%04x", c) : buf_printf(out, "\\U%08x", c);
}

/* Behind what is in out. */
static int put_quoted(struct buf *out, struct slice s, bool ascii)
{
    int rc = buf_add(out, "\"", 1);

    for (size_t i = 0, from = 0; rc == 0 && i < s.len; from = i) {
        bool valid;
        uint32_t c = next_rune(s, &i, &valid);

        rc = valid ? put_quoted_rune(out, c, slice_of(s.p + from, i - from), '"', ascii)
                   : buf_printf(out, "\\x%02x", s.p[from]);
    }
    return rc ? rc : buf_add(out, "\"", 1);
}

/* Go's raw strings hold neither back quotes nor control characters. */
static bool can_backquote(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] == '`' || s.p[i] == 0x7f || (s.p[i] < ' ' && s.p[i] != '\t'))
            return false;
    return utf8_valid(s.p, s.len);
}

static struct slice cut_runes(struct slice s, const struct verb *f)
{
    int64_t n = 0;

    for (size_t i = 0; f->has_precision && i < s.len; i++)
        if ((s.p[i] & 0xc0) != 0x80 && n++ == f->precision)
            return slice_of(s.p, i);
    return s;
}

/* What stands in out from `from` on, padded. */
static int pad_tail(struct buf *out, size_t from, const struct verb *f)
{
    int64_t missing =
        f->has_width ? f->width - characters(slice_of(out->p + from, out->len - from)) : 0;
    size_t len = out->len - from;

    if (missing <= 0)
        return 0;
    if (put_times(out, ' ', missing))
        return -1;
    if (!f->minus) {
        memmove(out->p + from + missing, out->p + from, len);
        memset(out->p + from, f->zero ? '0' : ' ', (size_t)missing);
    }
    return 0;
}

static int put_q(struct buf *out, const struct verb *f, struct slice s)
{
    size_t from = out->len;

    s = cut_runes(s, f);
    if (f->sharp && can_backquote(s)) {
        if (buf_add(out, "`", 1) || buf_add(out, s.p, s.len) || buf_add(out, "`", 1))
            return -1;
    } else if (put_quoted(out, s, f->plus)) {
        return -1;
    }
    return pad_tail(out, from, f);
}

static int put_hex(struct buf *out, const struct verb *f, struct slice s)
{
    const char *prefix = f->rune == 'x' ? "0x" : "0X";
    size_t from = out->len;

    if (f->has_precision && (size_t)f->precision < s.len)
        s.len = (size_t)f->precision;
    for (size_t i = 0; i < s.len; i++) {
        if (f->space && i && buf_add(out, " ", 1))
            return -1;
        if (f->sharp && (i == 0 || f->space) && buf_add(out, prefix, 2))
            return -1;
        if (f->rune == 'x' ? buf_printf(out, "%02x", s.p[i]) : buf_printf(out, "%02X", s.p[i]))
            return -1;
    }
    return pad_tail(out, from, f);
}

enum put { PUT, PUT_FULL, PUT_BAD_VERB };

static enum put done(int rc)
{
    return rc ? PUT_FULL : PUT;
}

static enum put put_string(struct buf *out, const struct verb *f, struct slice s)
{
    switch (f->rune) {
    case 'v':
        if (f->sharp)
            return done(put_q(out, &(struct verb){.rune = 'q'}, s));
        /* fallthrough */
    case 's':
        return done(put_padded(out, f, cut_runes(s, f)));
    case 'x':
    case 'X':
        return done(put_hex(out, f, s));
    case 'q':
        return done(put_q(out, f, s));
    default:
        return PUT_BAD_VERB;
    }
}

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

static int put_integer(struct buf *out, const struct verb *f, int64_t v)
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
        return put_times(out, ' ', f->has_width ? f->width : 0);
    least -= (int64_t)digits.len;
    if (buf_printf(out, "%s%s", sign, prefix_of(f, least > 0 ? '0' : (char)digits.p[0])) ||
        put_times(out, '0', least) || buf_add(out, digits.p, digits.len))
        return -1;
    return pad_tail(out, from, &spaces);
}

static struct slice utf8_of(int64_t v, uint8_t dst[static 4])
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
    struct slice c = utf8_of(v, utf8);

    spaces.zero = false;
    if (buf_printf(out, "U+%0*llX", digits, (unsigned long long)v))
        return -1;
    if (f->sharp && v >= 0 && v <= 0x10ffff && printable((uint32_t)v) &&
        buf_printf(out, " '%.*s'", (int)c.len, c.p))
        return -1;
    return pad_tail(out, from, &spaces);
}

static int put_char(struct buf *out, const struct verb *f, int64_t v)
{
    uint8_t utf8[4];
    struct slice c = utf8_of(v, utf8);
    size_t from = out->len;

    if (f->rune == 'c')
        return put_padded(out, f, c);
    if (c.len == 3 && memcmp(c.p, "\xef\xbf\xbd", 3) == 0)
        v = 0xfffd;
    if (buf_add(out, "'", 1) || put_quoted_rune(out, (uint32_t)v, c, '\'', f->plus) ||
        buf_add(out, "'", 1))
        return -1;
    return pad_tail(out, from, f);
}

static enum put put_int(struct buf *out, const struct verb *f, int64_t v)
{
    switch (f->rune) {
    case 'v':
    case 'd':
    case 'b':
    case 'o':
    case 'O':
    case 'x':
    case 'X':
        return done(put_integer(out, f, v));
    case 'c':
    case 'q':
        return done(put_char(out, f, v));
    case 'U':
        return done(put_code_point(out, f, v));
    default:
        return PUT_BAD_VERB;
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

        if (put_times(out, '0', missing))
            return -1;
        memmove(out->p + at + missing, out->p + at, len);
        memset(out->p + at, '0', (size_t)missing);
        return 0;
    }
    return pad_tail(
        out, from, &(struct verb){.has_width = f->has_width, .width = f->width, .minus = f->minus});
}

static enum put put_float(struct buf *out, const struct verb *f, double d)
{
    if (f->rune == 'v' || (f->rune < 0x80 && strchr("eEfFgGxXb", (int)f->rune)))
        return done(put_signed_float(out, f, d));
    return PUT_BAD_VERB;
}

/* ---- the rest ---- */

const char *verb_type_name(const struct ottl_value *v)
{
    if (v->type == OTTL_NIL)
        return "<nil>";
    return v->type == OTTL_ITEMS && v->aux ? "[]string" : ottl_type_name(v);
}

static enum put put_byte_list(struct buf *out, const struct verb *f, struct slice s)
{
    int rc = buf_add(out, "[", 1);

    for (size_t i = 0; rc == 0 && i < s.len; i++)
        rc = (i && buf_add(out, " ", 1)) || put_integer(out, f, s.p[i]) ? -1 : 0;
    return done(rc || buf_add(out, "]", 1));
}

static enum put put_bytes(struct buf *out, const struct verb *f, struct slice s)
{
    return f->rune == 'v' || f->rune == 'd' ? put_byte_list(out, f, s) : put_string(out, f, s);
}

static bool is_text_verb(uint32_t rune)
{
    return rune == 'v' || rune == 's' || rune == 'x' || rune == 'X' || rune == 'q';
}

/* Times and durations print as text for the verbs of strings. */
static enum put put_text_of(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    struct buf text = {.max = 256};
    enum put rc;

    if (v->type == OTTL_DURATION && !is_text_verb(f->rune))
        return put_int(&e->text, f, v->i);
    if (v->type == OTTL_TIME ? put_time_text(&text, v) : put_duration(&text, v->i))
        rc = PUT_FULL;
    else
        rc = put_string(&e->text, f, slice_of(text.p, text.len));
    buf_free(&text);
    return rc;
}

static enum put put_id(struct ottl_eval *e, const struct verb *f, struct slice id)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hex[32];
    bool some = false;

    if (f->rune == 'd')
        return put_byte_list(&e->text, f, id);
    for (size_t i = 0; i < id.len && i < 16; i++) {
        hex[2 * i] = (uint8_t)digits[id.p[i] >> 4];
        hex[2 * i + 1] = (uint8_t)digits[id.p[i] & 15];
        some |= id.p[i] != 0;
    }
    return put_string(&e->text, f, slice_of(hex, some ? 2 * id.len : 0));
}

static bool put_list(struct ottl_eval *e, const struct verb *f, const struct ottl_value *list)
{
    if (buf_add(&e->text, "[", 1))
        return ottl_too_long(e);
    for (size_t i = 0; i < list->items.n; i++) {
        const struct ottl_value *v = &list->items.v[i];
        bool is_nil = v->type == OTTL_NIL; /* printed so by any verb */

        if ((i && buf_add(&e->text, " ", 1)) || (is_nil && buf_add(&e->text, "<nil>", 5)))
            return ottl_too_long(e);
        if (!is_nil && !put_verb(e, f, v))
            return false;
    }
    return buf_add(&e->text, "]", 1) == 0 || ottl_too_long(e);
}

/* Maps and lists of attributes: JSON. The conversion wants the eval's text for itself. */
static bool put_json(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    struct buf text = e->text;
    struct ottl_value json = *v;
    bool fine;

    e->text = (struct buf){.max = OTTL_SCRATCH_BYTES};
    fine = make_str_like(e, &json);
    buf_free(&e->text);
    e->text = text;
    return fine && (put_padded(&e->text, f, json.s) == 0 || ottl_too_long(e));
}

static int put_bad_verb_start(struct buf *out, const struct verb *f, const struct ottl_value *v)
{
    uint8_t utf8[4];
    struct slice c = utf8_of(f->rune, utf8);

    return buf_printf(out, "%%!%.*s(%s%s", (int)c.len, c.p, verb_type_name(v),
                      v->type == OTTL_NIL ? "" : "=");
}

static bool put_bad_verb(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    struct verb plain = *f;

    plain.rune = 'v';
    if (put_bad_verb_start(&e->text, f, v))
        return ottl_too_long(e);
    if (v->type != OTTL_NIL && !put_verb(e, &plain, v))
        return false;
    return buf_add(&e->text, ")", 1) == 0 || ottl_too_long(e);
}

static enum put put_scalar(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    switch (v->type) {
    case OTTL_NIL:
        return f->rune == 'v' ? done(put_padded(&e->text, f, slice_str("<nil>"))) : PUT_BAD_VERB;
    case OTTL_BOOL:
        return f->rune == 'v' || f->rune == 't'
                   ? done(put_padded(&e->text, f, slice_str(v->i ? "true" : "false")))
                   : PUT_BAD_VERB;
    case OTTL_INT:
        return put_int(&e->text, f, v->i);
    case OTTL_DOUBLE:
        return put_float(&e->text, f, v->d);
    case OTTL_STR:
        return put_string(&e->text, f, v->s);
    case OTTL_BYTES:
        return put_bytes(&e->text, f, v->s);
    case OTTL_TIME:
    case OTTL_DURATION:
        return put_text_of(e, f, v);
    default:
        return put_id(e, f, v->s);
    }
}

bool put_verb(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    if (f->rune == 'T')
        return put_padded(&e->text, f, slice_str(verb_type_name(v))) == 0 || ottl_too_long(e);
    switch (v->type) {
    case OTTL_ITEMS:
        return put_list(e, f, v);
    case OTTL_MAP:
    case OTTL_LIST:
    case OTTL_STATUS:
    case OTTL_EVENTS:
    case OTTL_LINKS:
        return put_json(e, f, v);
    default:
        break;
    }
    switch (put_scalar(e, f, v)) {
    case PUT:
        return true;
    case PUT_FULL:
        return ottl_too_long(e);
    default:
        return put_bad_verb(e, f, v);
    }
}
