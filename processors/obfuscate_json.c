/* SPDX-License-Identifier: Apache-2.0 */
/* JSON without its values. See obfuscate.h. One pass that checks as it writes; the levels that are open lie in a buffer, so that
 * no text can exhaust the stack. */
#include "processors/obfuscate.h"

#define MOST_LEVELS 10000 /* deeper texts stay as they are */

struct json {
    const uint8_t *p, *end;
    struct buf *out;
    struct buf open; /* '{' or '[' */
    bool full;
};

static void put(struct json *j, const void *p, size_t n)
{
    j->full |= buf_add(j->out, p, n) != 0;
}

static uint8_t next(struct json *j)
{
    while (j->p < j->end && *j->p && strchr(" \t\r\n", *j->p))
        j->p++;
    return j->p < j->end ? *j->p : 0;
}

/* The character that must come, copied. */
static bool take(struct json *j, uint8_t c)
{
    if (next(j) != c)
        return false;
    put(j, j->p++, 1);
    return true;
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool escape(struct json *j)
{
    if (j->p == j->end)
        return false;
    if (*j->p != 'u')
        return *j->p && strchr("\"\\/bfnrt", *j->p++);
    j->p++;
    for (int i = 0; i < 4; i++)
        if (j->p == j->end || !is_hex(*j->p++))
            return false;
    return true;
}

/* Passes over a string; next() was its quote. */
static bool string(struct json *j)
{
    for (j->p++; j->p < j->end;) {
        uint8_t c = *j->p++;

        if (c == '"')
            return true;
        if (c < ' ' || (c == '\\' && !escape(j)))
            return false;
    }
    return false;
}

static bool digits(struct json *j)
{
    const uint8_t *from = j->p;

    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > from;
}

static bool number(struct json *j)
{
    j->p += *j->p == '-';
    if (j->p < j->end && *j->p == '0')
        j->p++;
    else if (!digits(j))
        return false;
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!digits(j))
            return false;
    }
    if (j->p < j->end && (*j->p | 32) == 'e') {
        j->p++;
        j->p += j->p < j->end && (*j->p == '+' || *j->p == '-');
        return digits(j);
    }
    return true;
}

static bool word(struct json *j, const char *w)
{
    size_t n = strlen(w);

    if ((size_t)(j->end - j->p) < n || memcmp(j->p, w, n) != 0)
        return false;
    j->p += n;
    return true;
}

static bool scalar(struct json *j, uint8_t c)
{
    bool fine = c == '"'   ? string(j)
                : c == 't' ? word(j, "true")
                : c == 'f' ? word(j, "false")
                : c == 'n' ? word(j, "null")
                           : (c == '-' || (c >= '0' && c <= '9')) && number(j);

    put(j, "\"?\"", 3);
    return fine;
}

static bool key(struct json *j)
{
    const uint8_t *from;

    if (next(j) != '"')
        return false;
    from = j->p;
    if (!string(j))
        return false;
    put(j, from, (size_t)(j->p - from));
    return take(j, ':');
}

static uint8_t top(const struct json *j)
{
    return j->open.len ? j->open.p[j->open.len - 1] : 0;
}

/* Behind a value: closes what ends here, up to where the next value is. *more: there is one. */
static bool after_value(struct json *j, bool *more)
{
    while (top(j)) {
        if (next(j) == ',') {
            *more = true;
            return take(j, ',') && (top(j) == '[' || key(j));
        }
        if (!take(j, top(j) == '{' ? '}' : ']'))
            return false;
        j->open.len--;
    }
    *more = false;
    put(j, j->p, (size_t)(j->end - j->p)); /* white space behind it all stays */
    return next(j) == 0 && j->p == j->end;
}

/* A value, or the beginning of one with something in it. *begun: another must follow. */
static bool value(struct json *j, bool *begun)
{
    uint8_t c = next(j);

    *begun = false;
    if (c != '{' && c != '[')
        return scalar(j, c);
    if (j->open.len == MOST_LEVELS)
        return false;
    (void)take(j, c);
    j->full |= buf_add(&j->open, &c, 1) != 0;
    if (next(j) == (c == '{' ? '}' : ']'))
        return true; /* after_value() closes it */
    *begun = true;
    return c == '[' || key(j);
}

static bool whole(struct json *j)
{
    bool more = true;

    while (more && !j->full) {
        bool begun = true;

        while (begun && !j->full)
            if (!value(j, &begun))
                return false;
        if (j->full || !after_value(j, &more))
            return false;
    }
    return true;
}

int obfuscate_json(struct slice s, struct buf *out)
{
    struct json j = {.p = s.p, .end = s.p + s.len, .out = out};
    size_t before = out->len;
    bool fine = s.len > 0 && whole(&j);

    buf_free(&j.open);
    if (fine || j.full)
        return j.full ? -1 : 0;
    out->len = before;
    return buf_add(out, s.p, s.len);
}
