/* SPDX-License-Identifier: Apache-2.0 */
/* Growing bytes. Capacity doubles; a capped buf is never given more than its cap. */
#include "platform/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "platform/mem.h"

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

/* The capacity to ask for; 0 when size_t does not hold it. */
static size_t grown(const struct buf *b, size_t n)
{
    size_t need = b->len + n;
    size_t cap = b->cap > SIZE_MAX / 2 ? SIZE_MAX : b->cap * 2;

    if (need < n)
        return 0;
    if (cap < 64)
        cap = 64;
    return cap < need ? need : cap;
}

int buf_reserve(struct buf *b, size_t n)
{
    size_t cap;
    uint8_t *p;

    if (b->cap - b->len >= n)
        return 0;
    cap = grown(b, n);
    if (!cap)
        return -1;
    if (b->max) {
        if (b->len + n > b->max)
            return -1;
        if (cap > b->max)
            cap = b->max;
    }
    p = (uint8_t *)realloc(b->p, cap);
    if (!p)
        return -1;
    b->p = p;
    b->cap = cap;
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    if (buf_reserve(b, n))
        return -1;
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
    return 0;
}

PRINTF_LIKE(2, 0)
static int add_formatted(struct buf *b, const char *fmt, va_list ap, int (*reserve)(struct buf *, size_t))
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0 || reserve(b, (size_t)n + 1))
        return -1;
    vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int rc;

    va_start(ap, fmt);
    rc = add_formatted(b, fmt, ap, buf_reserve);
    va_end(ap);
    return rc;
}

/* Like buf_reserve, without a cap, and it does not come back without memory. */
static int reserve_or_die(struct buf *b, size_t n)
{
    size_t cap;

    if (b->cap - b->len >= n)
        return 0;
    cap = grown(b, n);
    CHECK(cap);
    b->p = (uint8_t *)mem_grow(b->p, cap);
    b->cap = cap;
    return 0;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    (void)reserve_or_die(b, n);
    if (n)
        memcpy(b->p + b->len, p, n);
    b->len += n;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_putv(struct buf *b, const char *fmt, va_list ap)
{
    (void)add_formatted(b, fmt, ap, reserve_or_die);
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_putv(b, fmt, ap);
    va_end(ap);
}

static bool continues(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return false;
    return true;
}

/* Bytes of the well-formed UTF-8 character at p; 0 when there is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
    uint8_t c = p[0];

    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        return left >= 2 && continues(p + 1, 1) ? 2 : 0;
    if (c >= 0xe0 && c <= 0xef) {
        if (left < 3 || !continues(p + 1, 2))
            return 0;
        return (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ? 0 : 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (left < 4 || !continues(p + 1, 3))
            return 0;
        return (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f) ? 0 : 4;
    }
    return 0;
}

static bool plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* One byte below 0x80 that is not plain. d: 6 bytes. */
static size_t escape(uint8_t c, char *d)
{
    static const char hex[] = "0123456789abcdef", from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *at = c ? strchr(from, c) : NULL;

    d[0] = '\\';
    if (at) {
        d[1] = to[at - from];
        return 2;
    }
    d[1] = 'u';
    d[2] = d[3] = '0';
    d[4] = hex[c >> 4];
    d[5] = hex[c & 15];
    return 6;
}

/* The next piece of s at *i as it stands in JSON: a run of plain bytes, a character, an escape. */
static struct slice json_piece(struct slice s, size_t *i, char *scratch)
{
    size_t from = *i, n;

    while (*i < s.len && plain(s.p[*i]))
        ++*i;
    if (*i > from)
        return slice_of(s.p + from, *i - from);
    if (s.p[from] < 0x80) {
        ++*i;
        return slice_of(scratch, escape(s.p[from], scratch));
    }
    n = utf8_len(s.p + from, s.len - from);
    *i += n ? n : 1;
    return n ? slice_of(s.p + from, n) : slice_str("\\ufffd");
}

int buf_add_json(struct buf *b, struct slice s)
{
    size_t before = b->len;
    char scratch[8];
    int rc = buf_add(b, "\"", 1);

    for (size_t i = 0; i < s.len && !rc;) {
        struct slice piece = json_piece(s, &i, scratch);

        rc = buf_add(b, piece.p, piece.len);
    }
    if (!rc)
        rc = buf_add(b, "\"", 1);
    if (rc)
        b->len = before;
    return rc;
}

void buf_put_json(struct buf *b, struct slice s)
{
    char scratch[8];

    buf_putc(b, '"');
    for (size_t i = 0; i < s.len;) {
        struct slice piece = json_piece(s, &i, scratch);

        buf_put(b, piece.p, piece.len);
    }
    buf_putc(b, '"');
}
