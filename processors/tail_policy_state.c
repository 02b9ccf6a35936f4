/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_state: a span whose W3C tracestate header has one of the values under a key. The header is
 * read as strictly as the Collector reads it (the reference, 4.7): one wrong member, and nothing of
 * it counts.
 */
#include <stdlib.h>

#include "model/attr.h"
#include "processors/tail_policy.h"

enum { MAX_MEMBERS = 32, MAX_VALUE = 256, SIMPLE_REST = 255, TENANT_REST = 240, SYSTEM_REST = 13, TOO_LONG = 256 };

int tail_condition_state(struct condition *c, const struct state_settings *s)
{
    c->type = COND_STATE;
    c->u.string.key = slice_str(s->key);
    c->u.string.values = mem_alloc_array(s->values.n + 1, sizeof(struct slice));
    for (size_t i = 0; i < s->values.n; i++) {
        struct slice v = slice_str(s->values.v[i]);

        if (v.len && c->u.string.key.len + v.len < TOO_LONG)
            c->u.string.values[c->u.string.n++] = v;
    }
    return 0;
}

/* ---- the grammar ---- */

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_mark(uint8_t c)
{
    return c == '_' || c == '-' || c == '*' || c == '/';
}

static bool key_part(struct slice s, size_t max_rest, bool digit_first)
{
    if (!s.len || s.len - 1 > max_rest || !(is_lower(s.p[0]) || (digit_first && is_digit(s.p[0]))))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!is_lower(s.p[i]) && !is_digit(s.p[i]) && !is_mark(s.p[i]))
            return false;
    return true;
}

static bool key_valid(struct slice s)
{
    const uint8_t *at = s.len ? memchr(s.p, '@', s.len) : NULL;

    if (!at)
        return key_part(s, SIMPLE_REST, false);
    size_t tenant = (size_t)(at - s.p);
    return key_part(slice_of(s.p, tenant), TENANT_REST, true) &&
           key_part(slice_of(at + 1, s.len - tenant - 1), SYSTEM_REST, false);
}

/* Blanks at the end are trimmed before. */
static bool value_valid(struct slice s)
{
    if (!s.len || s.len > MAX_VALUE)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == ',' || s.p[i] == '=')
            return false;
    return true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool member_parse(struct slice m, struct slice *key, struct slice *value)
{
    const uint8_t *eq = memchr(m.p, '=', m.len), *end = m.p + m.len;

    if (!eq)
        return false;
    while (m.p < eq && is_blank(*m.p))
        m.p++;
    while (end > eq + 1 && is_blank(end[-1]))
        end--;
    *key = slice_of(m.p, (size_t)(eq - m.p));
    *value = slice_of(eq + 1, (size_t)(end - eq - 1));
    return key_valid(*key) && value_valid(*value);
}

/* The value under the key; p NULL: none, or the header is wrong. */
static struct slice state_get(struct slice header, struct slice key)
{
    struct slice keys[MAX_MEMBERS], found = {0};
    uint32_t n = 0;

    for (size_t at = 0, len; at < header.len; at += len + 1) {
        const uint8_t *from = header.p + at, *comma = memchr(from, ',', header.len - at);
        struct slice value;

        len = comma ? (size_t)(comma - from) : header.len - at;
        if (!len)
            continue;
        if (n == MAX_MEMBERS || !member_parse(slice_of(from, len), &keys[n], &value))
            return (struct slice){0};
        for (uint32_t i = 0; i < n; i++)
            if (slice_eq(keys[i], keys[n]))
                return (struct slice){0};
        if (slice_eq(keys[n++], key))
            found = value;
    }
    return found;
}

bool tail_state_match(const struct condition *c, struct slice header)
{
    struct slice v = state_get(header, c->u.string.key);

    for (size_t i = 0; v.p && i < c->u.string.n; i++)
        if (slice_eq(v, c->u.string.values[i]))
            return true;
    return false;
}
