/* SPDX-License-Identifier: Apache-2.0 */
/*
 * W3C tracestate, read for one member. The rules are those of the library the Collector uses: what
 * breaks one of them makes the whole text unreadable.
 *
 *   list    = member { "," member }, 32 at most; empty ones do not count
 *   key     = lower { lower | digit | _ - * / } up to 256, or tenant (241) "@" system (14)
 *   value   = 1 to 256 printable characters without , and =, not ending in a blank
 * Threads: any; no state.
 */
#include "ottl/path.h"

#define MOST_MEMBERS 32

static bool key_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/';
}

static bool lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool all_key_chars(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!key_char(s.p[i]))
            return false;
    return true;
}

static bool key_valid(struct slice k)
{
    const uint8_t *at = k.len ? memchr(k.p, '@', k.len) : NULL;
    struct slice tenant, system;

    if (!at)
        return k.len >= 1 && k.len <= 256 && lower(k.p[0]) && all_key_chars(k);
    tenant = slice_of(k.p, (size_t)(at - k.p));
    system = slice_of(at + 1, k.len - tenant.len - 1);
    return tenant.len >= 1 && tenant.len <= 241 &&
           (lower(tenant.p[0]) || (tenant.p[0] >= '0' && tenant.p[0] <= '9')) &&
           all_key_chars(tenant) && system.len >= 1 && system.len <= 14 && lower(system.p[0]) &&
           all_key_chars(system);
}

static bool value_valid(struct slice v)
{
    if (v.len == 0 || v.len > 256 || v.p[v.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < v.len; i++)
        if (v.p[i] < 0x20 || v.p[i] > 0x7e || v.p[i] == ',' || v.p[i] == '=')
            return false;
    return true;
}

static struct slice trimmed(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static struct slice next_member(struct slice *rest)
{
    const uint8_t *comma = memchr(rest->p, ',', rest->len);
    struct slice m = slice_of(rest->p, comma ? (size_t)(comma - rest->p) : rest->len);

    *rest = slice_of(rest->p + m.len + (comma != NULL), rest->len - m.len - (comma != NULL));
    return m;
}

static bool member(struct slice m, struct slice *key, struct slice *value)
{
    const uint8_t *equals = m.len ? memchr(m.p, '=', m.len) : NULL;

    if (!equals)
        return false;
    *key = slice_of(m.p, (size_t)(equals - m.p));
    *value = slice_of(equals + 1, m.len - key->len - 1);
    return key_valid(*key) && value_valid(*value);
}

/* Is the key a second time in what comes? */
static bool again(struct slice rest, struct slice key)
{
    struct slice k, v;

    while (rest.len)
        if (member(trimmed(next_member(&rest)), &k, &v) && slice_eq(k, key))
            return true;
    return false;
}

struct ottl_value trace_state_get(struct slice trace_state, struct slice key)
{
    struct slice rest = trace_state, k, v, wanted = slice_str("");
    unsigned n = 0;

    while (rest.len) {
        struct slice m = next_member(&rest);

        if (m.len == 0)
            continue;
        if (!member(trimmed(m), &k, &v) || again(rest, k) || ++n > MOST_MEMBERS)
            return ottl_nil();
        if (slice_eq(k, key))
            wanted = v;
    }
    return ottl_str(wanted);
}

static int add_member(struct buf *out, struct slice key, struct slice value)
{
    return (out->len && buf_add(out, ",", 1)) || buf_add(out, key.p, key.len) ||
                   buf_add(out, "=", 1) || buf_add(out, value.p, value.len)
               ? -1
               : 0;
}

int trace_state_put(struct slice trace_state, struct slice key, struct slice value, struct buf *out)
{
    struct slice rest = trace_state, k, v;
    unsigned n = 1;

    if (!key_valid(key) || !value_valid(value) ||
        trace_state_get(trace_state, key).type == OTTL_NIL)
        return -2;
    if (add_member(out, key, value))
        return -1;
    while (rest.len && n < MOST_MEMBERS) {
        struct slice m = next_member(&rest);

        if (m.len == 0)
            continue;
        CHECK(member(trimmed(m), &k, &v));
        if (slice_eq(k, key))
            continue;
        if (add_member(out, k, v))
            return -1;
        n++;
    }
    return 0;
}
