/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attribute's value as the text that the Collector's rules compare and its processors hash:
 * strings as they are, numbers in their shortest form, bytes in base64, lists and maps as compact
 * JSON with sorted keys. See attr.h.
 *
 * Lists and maps cost memory only for maps: four bytes an entry while they are sorted. Nesting is
 * bounded by the walk. Order: numbers, base64, JSON.
 */
#include <math.h>
#include <stdlib.h>

#include "model/attr.h"
#include "platform/mem.h"
#include "platform/num.h"

enum { FIELD_ITEMS = 1 }; /* of ArrayValue and KeyValueList */

/* ---- numbers ---- */

static int add_double(struct buf *out, double d)
{
    char text[32];

    if (isnan(d))
        return buf_add(out, "NaN", 3);
    if (isinf(d))
        return d > 0 ? buf_add(out, "Infinity", 8) : buf_add(out, "-Infinity", 9);
    return buf_add(out, text, num_json(text, d));
}

/* ---- base64 ---- */

static int add_base64(struct buf *out, struct slice s)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i < 3 ? s.len - i : 3;
        uint32_t v = (uint32_t)s.p[i] << 16 | (n > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) |
                     (n > 2 ? s.p[i + 2] : 0);
        char four[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                        n > 1 ? alphabet[v >> 6 & 63] : '=', n > 2 ? alphabet[v & 63] : '='};

        if (buf_add(out, four, 4) < 0)
            return -1;
    }
    return 0;
}

/* ---- JSON ---- */

enum { JSON_NOT_A_NUMBER = -2 }; /* JSON cannot say NaN or infinity: the whole text becomes empty */

static int add_json(struct buf *out, const struct any *v);

static const char *short_escape(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

/* U+2028 or U+2029, three bytes that JavaScript takes for line ends. */
static bool line_separator(const uint8_t *p, size_t n)
{
    return n >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] | 1) == 0xa9;
}

/* The escape for the character at p, its length in *taken; 0 when it stands for itself. */
static int add_escape(struct buf *out, const uint8_t *p, size_t n, size_t *taken)
{
    const char *escape = short_escape(*p);

    *taken = 1;
    if (escape)
        return buf_add(out, escape, 2);
    if (*p < 0x20)
        return buf_printf(out, "\\u%04x", *p);
    *taken = 0;
    if (!line_separator(p, n))
        return 0;
    *taken = 3;
    return buf_printf(out, "\\u202%d", p[2] == 0xa8 ? 8 : 9);
}

static int add_json_text(struct buf *out, struct slice s)
{
    size_t from = 0, i = 0;

    if (buf_add(out, "\"", 1) < 0)
        return -1;
    while (i < s.len) {
        size_t taken;

        if (s.p[i] >= 0x20 && s.p[i] != '"' && s.p[i] != '\\' && s.p[i] != 0xe2) {
            i++;
            continue;
        }
        if (buf_add(out, s.p + from, i - from) < 0)
            return -1;
        from = i;
        if (add_escape(out, s.p + i, s.len - i, &taken) < 0)
            return -1;
        from += taken;
        i += taken ? taken : 1;
    }
    if (i > from && buf_add(out, s.p + from, i - from) < 0)
        return -1;
    return buf_add(out, "\"", 1);
}

static int add_array(struct buf *out, struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    const char *before = "[";

    while (field_next(&it, &f)) {
        struct any v;
        int rc;

        if (f.number != FIELD_ITEMS)
            continue;
        v = any_parse(f.bytes);
        if (buf_add(out, before, 1) < 0)
            return -1;
        rc = add_json(out, &v);
        if (rc < 0)
            return rc;
        before = ",";
    }
    return *before == '[' ? buf_add(out, "[]", 2) : buf_add(out, "]", 1);
}

/* A map's entries, by where their records begin in it. */
struct entries {
    struct slice map;
    uint32_t *at;
    size_t n;
};

static struct attr entry_at(struct slice map, uint32_t at)
{
    struct attr_iter it = attr_iter(slice_of(map.p + at, map.len - at), FIELD_ITEMS);
    struct attr a = {0};

    CHECK(attr_next(&it, &a));
    return a;
}

static int compare_slices(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_entries(const void *a, const void *b, void *ctx)
{
    const struct slice *map = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    int order = compare_slices(entry_at(*map, x).key, entry_at(*map, y).key);

    return order ? order : (x > y) - (x < y);
}

/* Fills the entries in key order. -1: no memory. */
static int entries_of(struct slice map, struct entries *e)
{
    struct attr_iter it = attr_iter(map, FIELD_ITEMS);
    struct attr a;

    *e = (struct entries){.map = map};
    while (attr_next(&it, &a))
        e->n++;
    if (e->n == 0)
        return 0;
    e->at = mem_try(e->n * sizeof(*e->at));
    if (!e->at)
        return -1;
    it = attr_iter(map, FIELD_ITEMS);
    for (size_t i = 0; i < e->n && attr_next(&it, &a); i++)
        e->at[i] = (uint32_t)(a.rec.p - map.p);
    qsort_r(e->at, e->n, sizeof(*e->at), compare_entries, &e->map);
    return 0;
}

static int add_entry(struct buf *out, const struct attr *a, const char *before)
{
    struct any v = any_parse(a->value);

    if (buf_add(out, before, 1) < 0 || add_json_text(out, a->key) < 0 || buf_add(out, ":", 1) < 0)
        return -1;
    return add_json(out, &v);
}

static int add_map(struct buf *out, struct slice body)
{
    struct entries e;
    const char *before = "{";
    int rc = 0;

    if (entries_of(body, &e) < 0)
        return -1;
    for (size_t i = 0; rc == 0 && i < e.n; i++) {
        struct attr a = entry_at(body, e.at[i]);

        /* Of equal keys the last counts, as in the map the Collector makes of it. */
        if (i + 1 < e.n && slice_eq(a.key, entry_at(body, e.at[i + 1]).key))
            continue;
        rc = add_entry(out, &a, before);
        before = ",";
    }
    free(e.at);
    if (rc < 0)
        return rc;
    return *before == '{' ? buf_add(out, "{}", 2) : buf_add(out, "}", 1);
}

static int add_json(struct buf *out, const struct any *v)
{
    int rc;

    switch (v->type) {
    case ANY_EMPTY:
        return buf_add(out, "null", 4);
    case ANY_STR:
        return add_json_text(out, v->bytes);
    case ANY_BOOL:
        return buf_printf(out, "%s", v->i ? "true" : "false");
    case ANY_INT:
        return buf_printf(out, "%lld", (long long)v->i);
    case ANY_DOUBLE:
        return isfinite(v->d) ? add_double(out, v->d) : JSON_NOT_A_NUMBER;
    case ANY_ARRAY:
        return add_array(out, v->bytes);
    case ANY_MAP:
        return add_map(out, v->bytes);
    case ANY_BYTES:
        if (buf_add(out, "\"", 1) < 0)
            return -1;
        rc = add_base64(out, v->bytes);
        return rc < 0 ? rc : buf_add(out, "\"", 1);
    }
    return -1;
}

static int add_value(struct buf *out, const struct any *v)
{
    switch (v->type) {
    case ANY_EMPTY:
        return 0;
    case ANY_STR:
        return buf_add(out, v->bytes.p, v->bytes.len);
    case ANY_DOUBLE:
        return add_double(out, v->d);
    case ANY_BYTES:
        return add_base64(out, v->bytes);
    default:
        return add_json(out, v);
    }
}

int any_as_string(const struct any *v, struct buf *out)
{
    size_t start = out->len;
    int rc = add_value(out, v);

    if (rc < 0)
        out->len = start;
    return rc == JSON_NOT_A_NUMBER ? 0 : rc;
}
