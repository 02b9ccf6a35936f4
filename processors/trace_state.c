/* SPDX-License-Identifier: Apache-2.0 */
/* Trace states: see trace_state.h. Sources: W3C Trace Context (tracestate header), OpenTelemetry's
 * "TraceState: Probability Sampling". Order: characters, members, the parts of `ot`, changes, text. */
#include "processors/trace_state.h"

#define MOST_BYTES    1024
#define MOST_OT_BYTES 256
#define DIGITS        14 /* of 56 bits */

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_key_char(uint8_t c)
{
    return is_lower(c) || is_digit(c) || c == '_' || c == '-' || c == '*' || c == '/';
}

static bool all(struct slice s, bool (*is)(uint8_t))
{
    for (size_t i = 0; i < s.len; i++)
        if (!is(s.p[i]))
            return false;
    return true;
}

static struct slice part_of(struct slice s, size_t from, size_t to)
{
    return slice_of(s.p + from, to - from);
}

/* Offset of c in s; s.len: none. */
static size_t find(struct slice s, uint8_t c)
{
    const uint8_t *at = s.len ? memchr(s.p, c, s.len) : NULL;

    return at ? (size_t)(at - s.p) : s.len;
}

/* The first piece of *rest up to `separator`, taken off it. */
static struct slice cut(struct slice *rest, uint8_t separator)
{
    size_t at = find(*rest, separator);
    struct slice piece = part_of(*rest, 0, at);

    *rest = part_of(*rest, at < rest->len ? at + 1 : at, rest->len);
    return piece;
}

/* ---- members ---- */

static struct slice trimmed(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = part_of(s, 1, s.len);
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* key, or tenant@system. */
static bool key_fine(struct slice key)
{
    size_t at = find(key, '@');
    struct slice system;

    if (at == key.len)
        return key.len >= 1 && key.len <= 256 && is_lower(key.p[0]) && all(key, is_key_char);
    system = part_of(key, at + 1, key.len);
    key.len = at;
    return key.len >= 1 && key.len <= 241 && (is_lower(key.p[0]) || is_digit(key.p[0])) && all(key, is_key_char) &&
           system.len >= 1 && system.len <= 14 && is_lower(system.p[0]) && all(system, is_key_char);
}

static bool is_value_char(uint8_t c)
{
    return c >= 0x20 && c <= 0x7e && c != ',' && c != '=';
}

static bool value_fine(struct slice value)
{
    return value.len >= 1 && value.len <= 256 && all(value, is_value_char) && value.p[value.len - 1] != ' ';
}

static bool member_fine(struct slice member)
{
    size_t eq = find(member, '=');

    return eq < member.len && key_fine(part_of(member, 0, eq)) && value_fine(part_of(member, eq + 1, member.len));
}

/* Whole lists are checked before anything is taken from them. */
static bool list_fine(struct slice text)
{
    if (text.len > MOST_BYTES)
        return false;
    while (text.len) {
        struct slice member = trimmed(cut(&text, ','));

        if (member.len && !member_fine(member))
            return false;
    }
    return true;
}

/* ---- the parts of `ot` ---- */

static bool is_item_key_char(uint8_t c)
{
    return is_lower(c) || is_digit(c);
}

static bool is_item_value_char(uint8_t c)
{
    return is_digit(c) || is_lower(c | 32) || c == '.' || c == '_' || c == '-';
}

static bool item_fine(struct slice item)
{
    size_t colon = find(item, ':');

    return colon >= 1 && colon < item.len && is_lower(item.p[0]) && all(part_of(item, 0, colon), is_item_key_char) &&
           all(part_of(item, colon + 1, item.len), is_item_value_char);
}

static bool items_fine(struct slice text)
{
    bool more = text.len > 0;

    if (text.len > MOST_OT_BYTES)
        return false;
    while (more) {
        more = find(text, ';') < text.len;
        if (!item_fine(cut(&text, ';')))
            return false;
    }
    return true;
}

/* Hexadecimal digits, as the leading ones of DIGITS. */
static bool read_hex(struct slice s, uint64_t *v)
{
    uint64_t n = 0;

    if (s.len < 1 || s.len > DIGITS)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (is_digit(c))
            n = n << 4 | (uint64_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            n = n << 4 | (uint64_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *v = n << 4 * (DIGITS - s.len);
    return true;
}

static bool take_item(struct trace_state *ts, struct slice item)
{
    struct slice value = part_of(item, find(item, ':') + 1, item.len);

    if (item.len >= 3 && memcmp(item.p, "rv:", 3) == 0) {
        ts->has_rv = value.len == DIGITS && read_hex(value, &ts->rv);
        ts->rv_text = value;
        return ts->has_rv;
    }
    if (item.len >= 3 && memcmp(item.p, "th:", 3) == 0) {
        ts->has_th = read_hex(value, &ts->th);
        ts->th_text = value;
        return ts->has_th;
    }
    if (ts->n_items < TRACE_STATE_ITEMS)
        ts->items[ts->n_items++] = item;
    return true;
}

/* The value of an `ot` member; an earlier one counts no more. */
static bool take_ot(struct trace_state *ts, struct slice text)
{
    bool fine = true;

    ts->has_rv = ts->has_th = false;
    ts->n_items = 0;
    if (!items_fine(text))
        return false;
    while (text.len)
        fine &= take_item(ts, cut(&text, ';'));
    return fine;
}

bool trace_state_parse(struct trace_state *ts, struct slice text)
{
    bool fine = true;

    ts->has_rv = ts->has_th = false;
    ts->n_items = ts->n_members = 0;
    if (!list_fine(text))
        return false;
    for (size_t n = 0; text.len; n++) {
        struct slice member = trimmed(cut(&text, ','));

        if (n == TRACE_STATE_MEMBERS)
            return false;
        if (member.len >= 3 && memcmp(member.p, "ot=", 3) == 0)
            fine &= take_ot(ts, part_of(member, 3, member.len));
        else if (member.len)
            ts->members[ts->n_members++] = member;
    }
    return fine;
}

/* ---- changes ---- */

static size_t put_hex(uint8_t dst[static 16], uint64_t v)
{
    for (int i = 0; i < DIGITS; i++)
        dst[i] = (uint8_t)"0123456789abcdef"[v >> 4 * (DIGITS - 1 - i) & 15];
    return DIGITS;
}

void trace_state_set_randomness(struct trace_state *ts, uint64_t rv)
{
    ts->has_rv = true;
    ts->rv = rv;
    ts->rv_text = slice_of(ts->rv_digits, put_hex(ts->rv_digits, rv));
}

void trace_state_raise_threshold(struct trace_state *ts, uint64_t th)
{
    size_t n;

    if (ts->has_th && ts->th > th)
        return;
    ts->has_th = true;
    ts->th = th;
    n = put_hex(ts->th_digits, th);
    while (n > 1 && ts->th_digits[n - 1] == '0')
        n--;
    ts->th_text = slice_of(ts->th_digits, n);
}

void trace_state_forget_threshold(struct trace_state *ts)
{
    ts->has_th = false;
}

/* ---- text ---- */

static uint8_t *put(uint8_t *dst, struct slice s)
{
    if (s.len)
        memcpy(dst, s.p, s.len);
    return dst + s.len;
}

static uint8_t *put_item(uint8_t *dst, bool *first, const char *key, struct slice value)
{
    if (!*first)
        *dst++ = ';';
    *first = false;
    return put(put(dst, slice_str(key)), value);
}

static uint8_t *write_ot(const struct trace_state *ts, uint8_t *dst)
{
    bool first = true;

    dst = put(dst, slice_str("ot="));
    if (ts->has_rv)
        dst = put_item(dst, &first, "rv:", ts->rv_text);
    if (ts->has_th)
        dst = put_item(dst, &first, "th:", ts->th_text);
    for (size_t i = 0; i < ts->n_items; i++)
        dst = put_item(dst, &first, "", ts->items[i]);
    return dst;
}

uint8_t *trace_state_write(const struct trace_state *ts, uint8_t *dst)
{
    bool ot = ts->has_rv || ts->has_th || ts->n_items;

    if (ot)
        dst = write_ot(ts, dst);
    for (size_t i = 0; i < ts->n_members; i++) {
        if (i || ot)
            *dst++ = ',';
        dst = put(dst, ts->members[i]);
    }
    return dst;
}
