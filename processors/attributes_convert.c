/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between value types. See attributes_convert.h. */
#include "processors/attributes_convert.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "model/wire_checked.h"

bool convert_to_of(const char *name, enum convert_to *to)
{
    static const char *const names[] = {"int", "double", "string"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *to = (enum convert_to)i;
            return true;
        }
    return false;
}

/* ---- values ---- */

/* Go's conversion on amd64: what does not fit is the smallest number. */
static int64_t cut(double d)
{
    return d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : INT64_MIN;
}

static bool put(struct attr_map *m, const struct any *v, struct slice *out)
{
    uint8_t bytes[16];
    uint8_t *p;
    size_t len;

    if (v->type == ANY_INT) {
        bytes[0] = 3 << 3;
        len = 1 + varint_put(bytes + 1, (uint64_t)v->i);
    } else {
        bytes[0] = 4 << 3 | 1;
        memcpy(bytes + 1, &v->d, 8);
        len = 9;
    }
    p = attr_map_scratch(m, len);
    if (!p)
        return false;
    memcpy(p, bytes, len);
    *out = slice_of(p, len);
    return true;
}

static bool to_int(struct attr_map *m, const struct any *v, struct slice *out)
{
    struct any n = {.type = ANY_INT};

    switch (v->type) {
    case ANY_STR:
        return parse_int(v->bytes, &n.i) && put(m, &n, out);
    case ANY_DOUBLE:
        n.i = cut(v->d);
        return put(m, &n, out);
    case ANY_BOOL:
        n.i = v->i != 0;
        return put(m, &n, out);
    default:
        return false;
    }
}

static bool to_double(struct attr_map *m, const struct any *v, struct slice *out)
{
    struct any n = {.type = ANY_DOUBLE};

    switch (v->type) {
    case ANY_STR:
        return parse_double(v->bytes, &n.d) && put(m, &n, out);
    case ANY_INT:
        n.d = (double)v->i;
        return put(m, &n, out);
    case ANY_BOOL:
        n.d = v->i != 0;
        return put(m, &n, out);
    default:
        return false;
    }
}

static bool to_string(struct attr_map *m, const struct any *v, struct slice *out)
{
    struct buf text = {0};

    if (v->type == ANY_STR)
        return false;
    if (any_as_string(v, &text) < 0)
        m->out_of_memory = true;
    else
        *out = attr_map_str(m, slice_of(text.p, text.len));
    buf_free(&text);
    return !m->out_of_memory;
}

bool convert_value(struct attr_map *m, struct slice value, enum convert_to to, struct slice *out)
{
    struct any v = wire_any(value);

    switch (to) {
    case CONVERT_INT:
        return to_int(m, &v, out);
    case CONVERT_DOUBLE:
        return to_double(m, &v, out);
    case CONVERT_STRING:
        return to_string(m, &v, out);
    }
    return false;
}
