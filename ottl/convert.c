/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values into other types, by the rules for function arguments (processors reference, 6.5).
 * Order: text, numbers, bytes. Threads: the eval's worker.
 */
#include <math.h>
#include <stdio.h>

#include "ottl/call.h"
#include "ottl/times.h"
#include "platform/num.h"

/* ---- text ---- */

bool map_plain(struct ottl_eval *e, struct ottl_value *map)
{
    struct attr_iter it = attr_iter(map->s, map->aux);
    struct buf *b = ottl_text(e);
    struct attr a;

    if (map->aux == OTTL_MAP_FIELD)
        return true;
    while (attr_next(&it, &a)) {
        struct any v = any_parse(a.value);

        if (attr_put(b, OTTL_MAP_FIELD, a.key, &v))
            return ottl_too_long(e);
    }
    return ottl_keep_text(e, OTTL_MAP, map);
}

/* With two digits of the exponent at least: 1e-07. */
static size_t double_text(char dst[static 33], double d)
{
    size_t n = num_json(dst, d);

    if (n > 3 && dst[n - 3] == 'e') {
        dst[n] = dst[n - 1];
        dst[n - 1] = '0';
        n++;
    }
    return n;
}

static int put_hex(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (buf_printf(out, "%02x", s.p[i]))
            return -1;
    return 0;
}

/* A list of numbers, as JSON has an array of bytes. */
static int put_numbers(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (buf_printf(out, "%c%u", i ? ',' : '[', s.p[i]))
            return -1;
    return buf_add(out, s.len ? "]" : "[]", s.len ? 1 : 2);
}

/* JSON text as these functions write it: < > & by their numbers, exponents with two digits. */
static int put_go_json(struct buf *out, struct slice json)
{
    bool in_string = false;

    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.p[i];
        int rc;

        if (c == '"')
            in_string = !in_string;
        if (c == '\\' && i + 1 < json.len)
            rc = buf_add(out, json.p + i++, 2);
        else if (c == '<' || c == '>' || c == '&')
            rc = buf_printf(out, "\\u%04x", c);
        else if (c == '-' && !in_string && i && json.p[i - 1] == 'e' &&
                 (i + 2 == json.len || json.p[i + 2] < '0' || json.p[i + 2] > '9'))
            rc = buf_add(out, "-0", 2);
        else
            rc = buf_add(out, &c, 1);
        if (rc)
            return -1;
    }
    return 0;
}

static int put_container(struct ottl_eval *e, struct buf *out, const struct ottl_value *v)
{
    struct ottl_value plain = *v;
    struct buf json = {.max = OTTL_SCRATCH_BYTES};
    struct any a;
    int rc;

    if ((v->type == OTTL_MAP && !map_plain(e, &plain)) || !eval_to_any(e, &plain, &a))
        return -2;
    rc = any_as_string(&a, &json);
    if (rc == 0)
        rc = json.len ? put_go_json(out, slice_of(json.p, json.len)) : -2; /* NaN somewhere */
    buf_free(&json);
    return rc;
}

int ottl_put_text(struct ottl_eval *e, struct buf *out, const struct ottl_value *v)
{
    char number[33];

    switch (v->type) {
    case OTTL_STR:
        return buf_add(out, v->s.p, v->s.len);
    case OTTL_BOOL:
        return buf_add(out, v->i ? "true" : "false", v->i ? 4 : 5);
    case OTTL_INT:
    case OTTL_DURATION:
        return buf_printf(out, "%lld", (long long)v->i);
    case OTTL_DOUBLE:
        return isfinite(v->d) ? buf_add(out, number, double_text(number, v->d)) : -2;
    case OTTL_BYTES:
        return put_hex(out, v->s);
    case OTTL_TIME:
        return buf_add(out, "\"", 1) || put_rfc3339(out, v) || buf_add(out, "\"", 1) ? -1 : 0;
    case OTTL_TRACE_ID:
    case OTTL_SPAN_ID:
        return put_numbers(out, v->s);
    case OTTL_MAP:
    case OTTL_LIST:
    case OTTL_ITEMS:
        return put_container(e, out, v);
    case OTTL_STATUS:
    case OTTL_EVENTS:
    case OTTL_LINKS:
        return buf_add(out, "{}", 2);
    default:
        return -2;
    }
}

bool make_str_like(struct ottl_eval *e, struct ottl_value *v)
{
    struct buf b = {.max = OTTL_SCRATCH_BYTES};
    char number[33];
    size_t len = 0;
    int rc;

    if (v->type == OTTL_NIL || v->type == OTTL_STR)
        return true;
    if (v->type == OTTL_INT ||
        (v->type == OTTL_DOUBLE && isfinite(v->d))) { /* the usual ones without a buffer */
        uint8_t *p = ottl_room(e, sizeof(number));

        if (!p)
            return false;
        len = v->type == OTTL_INT
                  ? (size_t)snprintf(number, sizeof(number), "%lld", (long long)v->i)
                  : double_text(number, v->d);
        memcpy(p, number, len);
        *v = ottl_str(slice_of(p, len));
        return true;
    }
    rc = ottl_put_text(e, &b, v);
    if (rc == 0 && buf_add(ottl_text(e), b.p, b.len))
        rc = -1;
    buf_free(&b);
    if (rc == -2)
        return ottl_fail(e, "%s cannot be made a string", ottl_type_name(v));
    return rc ? ottl_too_long(e) : ottl_keep_text(e, OTTL_STR, v);
}

/* ---- numbers ---- */

/* Go's conversion on the machines it runs on: what does not fit becomes the smallest number. */
static int64_t cut(double d)
{
    return d >= -9223372036854775808.0 && d < 9223372036854775808.0 ? (int64_t)d : INT64_MIN;
}

static bool unsupported(struct ottl_eval *e, const struct ottl_value *v)
{
    return ottl_fail(e, "unsupported type: %s", ottl_type_name(v));
}

bool make_int_like(struct ottl_eval *e, struct ottl_value *v)
{
    int64_t i;

    switch (v->type) {
    case OTTL_NIL:
    case OTTL_INT:
        return true;
    case OTTL_BOOL:
        v->type = OTTL_INT;
        return true;
    case OTTL_DOUBLE:
        *v = ottl_int(cut(v->d));
        return true;
    case OTTL_STR:
        *v = parse_int(v->s, &i) ? ottl_int(i) : ottl_nil();
        return true;
    default:
        return unsupported(e, v);
    }
}

bool make_double_like(struct ottl_eval *e, struct ottl_value *v)
{
    double d;

    switch (v->type) {
    case OTTL_NIL:
    case OTTL_DOUBLE:
        return true;
    case OTTL_INT:
    case OTTL_BOOL:
        *v = ottl_double((double)v->i);
        return true;
    case OTTL_STR:
        if (!parse_double(v->s, &d))
            return ottl_fail(e, "parsing \"%.*s\": invalid syntax",
                             (int)(v->s.len < 80 ? v->s.len : 80), v->s.p);
        *v = ottl_double(d);
        return true;
    default:
        return unsupported(e, v);
    }
}

bool parse_bool(struct slice s, bool *b)
{
    static const char *const words[] = {"1", "t", "T", "TRUE",  "true",  "True",
                                        "0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_eq(s, slice_str(words[i]))) {
            *b = i < ARRAY_LEN(words) / 2;
            return true;
        }
    return false;
}

bool make_bool_like(struct ottl_eval *e, struct ottl_value *v)
{
    bool b;

    switch (v->type) {
    case OTTL_NIL:
    case OTTL_BOOL:
        return true;
    case OTTL_INT:
        *v = ottl_bool(v->i != 0);
        return true;
    case OTTL_DOUBLE:
        *v = ottl_bool(v->d != 0);
        return true;
    case OTTL_STR:
        if (!parse_bool(v->s, &b))
            return ottl_fail(e, "parsing \"%.*s\": invalid syntax",
                             (int)(v->s.len < 80 ? v->s.len : 80), v->s.p);
        *v = ottl_bool(b);
        return true;
    default:
        return unsupported(e, v);
    }
}

/* ---- bytes ---- */

bool make_bytes_like(struct ottl_eval *e, struct ottl_value *v)
{
    uint64_t bits;
    uint8_t *p;

    switch (v->type) {
    case OTTL_NIL:
    case OTTL_BYTES:
        return true;
    case OTTL_STR:
        v->type = OTTL_BYTES;
        return true;
    case OTTL_BOOL:
    case OTTL_INT:
    case OTTL_DOUBLE:
        break;
    default:
        return unsupported(e, v);
    }
    p = ottl_room(e, 8);
    if (!p)
        return false;
    if (v->type == OTTL_BOOL) {
        p[0] = v->i != 0;
        *v = ottl_of(OTTL_BYTES, slice_of(p, 1));
        return true;
    }
    memcpy(&bits, v->type == OTTL_INT ? (const void *)&v->i : (const void *)&v->d, 8);
    bits = __builtin_bswap64(bits); /* big-endian */
    memcpy(p, &bits, 8);
    *v = ottl_of(OTTL_BYTES, slice_of(p, 8));
    return true;
}
