/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs: any run of characters for * and **, one for ?, one of a set for [abc], [a-z], [!a-z], one
 * of several globs for {a,b}; \ takes the next character as it is. There are no separators.
 *
 * They become regular expressions, which match in linear time whatever the glob. What ends early
 * reads as the library the Collector uses reads it: an open { ends with the glob, a \ at the end is
 * nothing, an open [ is an error, and a glob that is one ? or [!...] alone matches the empty text,
 * too. Limits: MOST_NESTED. Threads: any; no state.
 */
#include "ottl/glob.h"

#define MOST_NESTED 100

struct reader {
    struct slice rest;
    struct buf *out;
    struct err *err;
    unsigned nested;
};

static size_t character(struct slice s)
{
    size_t n = 1;

    if (s.p[0] >= 0xc2 && s.p[0] <= 0xf4)
        while (n < 4 && n < s.len && (s.p[n] & 0xc0) == 0x80)
            n++;
    return n;
}

/* The next character, which is there. */
static struct slice take(struct reader *r)
{
    struct slice c = slice_of(r->rest.p, character(r->rest));

    r->rest = slice_of(r->rest.p + c.len, r->rest.len - c.len);
    return c;
}

static bool at(const struct reader *r, char c)
{
    return r->rest.len && r->rest.p[0] == (uint8_t)c;
}

static int put(struct reader *r, const char *text)
{
    return buf_add(r->out, text, strlen(text)) ? err_set(r->err, "too long") : 0;
}

/* The character for itself. */
static int put_literal(struct reader *r, struct slice c)
{
    uint8_t low = c.p[0] | 0x20;
    bool word = c.len > 1 || (low >= 'a' && low <= 'z') || (c.p[0] >= '0' && c.p[0] <= '9');

    if (c.len == 1 && c.p[0] < ' ') {
        char hex[8] = {'\\', 'x', (char)('0' + c.p[0] / 16), "0123456789abcdef"[c.p[0] % 16], 0};

        return put(r, hex);
    }
    if (!word && put(r, "\\"))
        return -1;
    return buf_add(r->out, c.p, c.len) ? err_set(r->err, "too long") : 0;
}

/* The code point, to compare the ends of a range: UTF-8 orders as its bytes do. */
static int order(struct slice a, struct slice b)
{
    int o = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);

    return o ? o : (int)a.len - (int)b.len;
}

static int range(struct reader *r, struct slice low)
{
    struct slice high;

    take(r); /* the - */
    if (!r->rest.len)
        return err_set(r->err, "unexpected end of input");
    high = take(r);
    if (!r->rest.len)
        return err_set(r->err, "unexpected end of input");
    if (!at(r, ']'))
        return err_set(r->err, "expected close range character");
    take(r);
    if (order(high, low) < 0)
        return err_set(r->err, "hi character '%.*s' should be greater than lo '%.*s'",
                       (int)high.len, high.p, (int)low.len, low.p);
    return put_literal(r, low) || put(r, "-") || put_literal(r, high) || put(r, "]") ? -1 : 0;
}

/* Behind the [ . */
static int set(struct reader *r)
{
    struct reader ahead;
    struct slice c;
    bool any = false;

    if (put(r, "["))
        return -1;
    if (at(r, '!')) {
        take(r);
        if (put(r, "^"))
            return -1;
    }
    if (!r->rest.len)
        return err_set(r->err, "unexpected end of input");
    ahead = *r;
    c = take(&ahead);
    if (at(&ahead, '-')) {
        *r = ahead;
        return range(r, c);
    }
    for (; r->rest.len && !at(r, ']'); any = true) {
        if (at(r, '\\'))
            take(r);
        if (r->rest.len && put_literal(r, take(r)))
            return -1;
    }
    if (!r->rest.len)
        return err_set(r->err, "unexpected end of input");
    take(r);
    return any ? put(r, "]") : err_set(r->err, "could not parse range");
}

static int sequence(struct reader *r);

/* Behind the { . */
static int alternatives(struct reader *r)
{
    if (++r->nested > MOST_NESTED)
        return err_set(r->err, "nested deeper than %d levels", MOST_NESTED);
    if (put(r, "(?:"))
        return -1;
    for (;;) {
        if (sequence(r))
            return -1;
        if (!at(r, ','))
            break;
        take(r);
        if (put(r, "|"))
            return -1;
    }
    if (at(r, '}'))
        take(r);
    r->nested--;
    return put(r, ")");
}

static int element(struct reader *r)
{
    struct slice c = take(r);

    switch (c.p[0]) {
    case '*':
        while (at(r, '*'))
            take(r);
        return put(r, ".*");
    case '?':
        return put(r, ".");
    case '[':
        return set(r);
    case '{':
        return alternatives(r);
    case '\\':
        return r->rest.len ? put_literal(r, take(r)) : 0;
    default:
        return put_literal(r, c);
    }
}

static int sequence(struct reader *r)
{
    while (r->rest.len && !(r->nested && (at(r, ',') || at(r, '}'))))
        if (element(r))
            return -1;
    return 0;
}

int glob_regex(struct slice glob, struct buf *out, struct err *err)
{
    struct reader r = {.rest = glob, .out = out, .err = err};
    bool may_be_none = at(&r, '?') || (glob.len > 1 && memcmp(glob.p, "[!", 2) == 0);

    if (put(&r, "\\A(?s:") || (glob.len && element(&r)) ||
        (r.rest.len == 0 && may_be_none && put(&r, "?")) || sequence(&r) || put(&r, ")\\z"))
        return -1;
    return buf_add(out, "", 1) ? err_set(err, "too long") : 0;
}
