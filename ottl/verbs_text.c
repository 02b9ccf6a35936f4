/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings by printf verbs: widths, quotes, hexadecimal. Which characters %q calls printable is a
 * little coarser than Go's tables. Order: padding, strings. Threads: the eval's worker.
 */
#include "model/utf8.h"
#include "ottl/verbs_priv.h"

/* ---- padding ---- */

int verb_repeat(struct buf *out, char c, int64_t n)
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
int verb_padded(struct buf *out, const struct verb *f, struct slice s)
{
    int64_t missing = f->has_width ? f->width - characters(s) : 0;

    if (!f->minus && verb_repeat(out, f->zero ? '0' : ' ', missing))
        return -1;
    if (buf_add(out, s.p, s.len))
        return -1;
    return f->minus ? verb_repeat(out, ' ', missing) : 0;
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

bool verb_printable(uint32_t c)
{
    if (c < ' ')
        return false;
    for (size_t i = 0; i < ARRAY_LEN(unprintable); i++)
        if (c >= unprintable[i].from && c <= unprintable[i].to)
            return false;
    return true;
}

int verb_quoted_rune(struct buf *out, uint32_t c, struct slice as, char quote, bool ascii)
{
    static const char escapes[] = "abtnvfr"; /* from 7 on */

    if (c == (uint8_t)quote || c == '\\')
        return buf_printf(out, "\\%c", (char)c);
    if (verb_printable(c) && (c < 0x80 || !ascii))
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

        rc = valid ? verb_quoted_rune(out, c, slice_of(s.p + from, i - from), '"', ascii)
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
int verb_pad_tail(struct buf *out, size_t from, const struct verb *f)
{
    int64_t missing =
        f->has_width ? f->width - characters(slice_of(out->p + from, out->len - from)) : 0;
    size_t len = out->len - from;

    if (missing <= 0)
        return 0;
    if (verb_repeat(out, ' ', missing))
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
    return verb_pad_tail(out, from, f);
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
    return verb_pad_tail(out, from, f);
}

enum verb_put verb_string(struct buf *out, const struct verb *f, struct slice s)
{
    switch (f->rune) {
    case 'v':
        if (f->sharp)
            return verb_done(put_q(out, &(struct verb){.rune = 'q'}, s));
        /* fallthrough */
    case 's':
        return verb_done(verb_padded(out, f, cut_runes(s, f)));
    case 'x':
    case 'X':
        return verb_done(put_hex(out, f, s));
    case 'q':
        return verb_done(put_q(out, f, s));
    default:
        return VERB_BAD;
    }
}
