/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on types, numbers, lists and ids. Each is a row in the table at the end. */
#include <math.h>
#include <stdlib.h>

#include "ottl/call.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

/* ---- types ---- */

static bool is(struct ottl_eval *e, const struct node *n, enum ottl_type type,
               struct ottl_value *out)
{
    struct ottl_value v;

    if (!arg(e, n, 0, &v))
        return false;
    *out = ottl_bool(v.type == type);
    return true;
}

FN(is_string)
{
    return is(e, n, OTTL_STR, out);
}

FN(is_int)
{
    return is(e, n, OTTL_INT, out);
}

FN(is_double)
{
    return is(e, n, OTTL_DOUBLE, out);
}

FN(is_bool)
{
    return is(e, n, OTTL_BOOL, out);
}

FN(is_map)
{
    return is(e, n, OTTL_MAP, out);
}

FN(is_list)
{
    struct ottl_value v;

    if (!arg(e, n, 0, &v))
        return false;
    *out = ottl_bool(ottl_is_list(&v) || v.type == OTTL_EVENTS || v.type == OTTL_LINKS);
    return true;
}

FN(is_empty)
{
    struct ottl_value v;
    bool empty;

    if (!arg(e, n, 0, &v))
        return false;
    switch (v.type) {
    case OTTL_NIL:
        empty = true;
        break;
    case OTTL_STR:
    case OTTL_BYTES:
        empty = v.s.len == 0;
        break;
    case OTTL_BOOL:
    case OTTL_INT:
        empty = v.i == 0;
        break;
    case OTTL_DOUBLE:
        empty = v.d == 0;
        break;
    case OTTL_MAP:
        empty = ottl_map_len(&v) == 0;
        break;
    case OTTL_LIST:
    case OTTL_ITEMS:
        empty = ottl_list_len(&v) == 0;
        break;
    default:
        empty = false;
    }
    *out = ottl_bool(empty);
    return true;
}

FN(is_root_span)
{
    (void)n;
    *out = ottl_bool(e->span->flags & SPAN_ROOT);
    return true;
}

/* Int, Double, Bool, String: what the parameter's kind makes of it. */
FN(converted)
{
    return arg(e, n, 0, out);
}

/* ---- numbers ---- */

FN(natural_log)
{
    struct ottl_value v;

    if (!arg(e, n, 0, &v))
        return false;
    if (v.type == OTTL_NIL)
        return ottl_fail(e, "Log: a value is missing");
    if (!(v.d > 0))
        return ottl_fail(e, "Log: the value must be greater than zero");
    *out = ottl_double(log(v.d));
    return true;
}

/* ---- lists and maps ---- */

static size_t count_records(struct slice message, uint32_t number)
{
    struct field_iter it = field_iter(message);
    struct field f;
    size_t n = 0;

    while (field_next(&it, &f))
        n += f.number == number && f.wire == 2;
    return n;
}

FN(len)
{
    struct ottl_value v;
    size_t l;

    if (!arg(e, n, 0, &v))
        return false;
    switch (v.type) {
    case OTTL_STR:
    case OTTL_BYTES:
        l = v.s.len;
        break;
    case OTTL_MAP:
        l = ottl_map_len(&v);
        break;
    case OTTL_LIST:
    case OTTL_ITEMS:
        l = ottl_list_len(&v);
        break;
    case OTTL_EVENTS:
    case OTTL_LINKS:
        l = count_records(v.s, v.type == OTTL_EVENTS ? SPAN_EVENTS : SPAN_LINKS);
        break;
    default:
        return ottl_fail(e, "Len: a %s has no length", ottl_type_name(&v));
    }
    *out = ottl_int((int64_t)l);
    return true;
}

/* What stands behind the value it takes is not asked for, and so cannot fail. */
FN(coalesce)
{
    const struct node *list = n->args[0];

    *out = ottl_nil();
    for (size_t i = 0; i < list->n_args && out->type == OTTL_NIL; i++)
        if (!node_eval(e, list->args[i], out))
            return false;
    return true;
}

static int coalesce_prepare(struct compiler *k, struct node *n, struct err *err)
{
    (void)k;
    return n->args[0]->n_args ? 0 : err_set(err, "at least one value is needed");
}

FN(contains_value)
{
    struct ottl_value list, item, v;
    struct ottl_list_iter it;

    if (!arg(e, n, 0, &list) || !arg(e, n, 1, &item))
        return false;
    it = ottl_list_iter(&list);
    *out = ottl_bool(false);
    while (!out->i && ottl_list_next(&it, &v))
        out->i = ottl_compare(&v, &item, OP_EQ);
    return true;
}

static int64_t index_of_text(struct slice in, struct slice what)
{
    const uint8_t *at = what.len == 0 ? in.p
                        : in.len      ? memmem(in.p, in.len, what.p, what.len)
                                      : NULL;

    return at || what.len == 0 ? at - in.p : -1;
}

FN(index_of)
{
    struct ottl_value in, what, v;
    struct ottl_list_iter it;

    if (!arg(e, n, 0, &in) || !arg(e, n, 1, &what))
        return false;
    if (in.type == OTTL_STR && what.type == OTTL_STR) {
        *out = ottl_int(index_of_text(in.s, what.s));
        return true;
    }
    if (in.type == OTTL_STR)
        return ottl_fail(e, "Index: expected string but got %s", ottl_type_name(&what));
    if (!ottl_is_list(&in))
        return ottl_fail(e, "Index: %s is neither a string nor a list", ottl_type_name(&in));
    if (!arg_plain_list(e, &in))
        return false;
    it = ottl_list_iter(&in);
    for (int64_t i = 0; ottl_list_next(&it, &v); i++)
        if (ottl_compare(&v, &what, OP_EQ)) {
            *out = ottl_int(i);
            return true;
        }
    *out = ottl_int(-1);
    return true;
}

static bool members(struct ottl_eval *e, const struct node *n, bool keys, struct ottl_value *out)
{
    struct ottl_value map, list, *v;
    struct attr_iter it;
    struct any plain;
    struct attr a;
    size_t count;

    if (!arg(e, n, 0, &map))
        return false;
    count = ottl_map_len(&map);
    v = ottl_room(e, count * sizeof(*v));
    if (!v)
        return false;
    it = attr_iter(map.s, map.aux);
    for (size_t i = 0; i < count && attr_next(&it, &a); i++)
        v[i] = keys ? ottl_str(a.key) : ottl_of_any(a.value);
    list = (struct ottl_value){.type = OTTL_ITEMS, .items = {v, count}};
    if (!eval_to_any(e, &list, &plain))
        return false;
    *out = ottl_of(OTTL_LIST, plain.bytes); /* no list in brackets, which others treat otherwise */
    return true;
}

FN(keys_of)
{
    return members(e, n, true, out);
}

FN(values_of)
{
    return members(e, n, false, out);
}

/* ---- ids ---- */

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool id_from_hex(struct slice s, uint8_t *id)
{
    for (size_t i = 0; i < s.len / 2; i++) {
        int high = digit_of(s.p[2 * i]), low = digit_of(s.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool id_of(struct ottl_eval *e, const struct node *n, size_t len, enum ottl_type type,
                  struct ottl_value *out)
{
    struct ottl_value v;
    uint8_t *id;

    if (!arg(e, n, 0, &v))
        return false;
    if (v.type == OTTL_NIL)
        v.s = (struct slice){0};
    if (v.s.len == len) {
        *out = ottl_of(type, v.s);
        return true;
    }
    if (v.s.len != 2 * len)
        return ottl_fail(e,
                         "could not decode ID: invalid length: expected %zu or %zu bytes, got %zu",
                         len, 2 * len, v.s.len);
    id = ottl_room(e, len);
    if (!id)
        return false;
    if (!id_from_hex(v.s, id))
        return ottl_fail(e, "could not decode ID: not hexadecimal");
    *out = ottl_of(type, slice_of(id, len));
    return true;
}

FN(trace_id)
{
    return id_of(e, n, 16, OTTL_TRACE_ID, out);
}

FN(span_id)
{
    return id_of(e, n, 8, OTTL_SPAN_ID, out);
}

/* A constant id is decoded here, once. */
static int prepare_id(struct compiler *k, struct node *n, size_t len, enum ottl_type type,
                      struct err *err)
{
    const struct ottl_value *c = arg_constant(n, 0);
    uint8_t *id;

    if (!c)
        return 0;
    if (c->type != OTTL_STR && c->type != OTTL_BYTES)
        return err_set(err, "could not decode ID: unsupported type %s", ottl_type_name(c));
    if (c->s.len != len && c->s.len != 2 * len)
        return err_set(err,
                       "could not decode ID: invalid length: expected %zu or %zu bytes, got %zu",
                       len, 2 * len, c->s.len);
    id = arena_alloc(k->program->arena, len);
    if (c->s.len == len)
        memcpy(id, c->s.p, len);
    else if (!id_from_hex(c->s, id))
        return err_set(err, "could not decode ID: not hexadecimal");
    n->eval = eval_constant;
    n->value = ottl_of(type, slice_of(id, len));
    return 0;
}

static int prepare_trace_id(struct compiler *k, struct node *n, struct err *err)
{
    return prepare_id(k, n, 16, OTTL_TRACE_ID, err);
}

static int prepare_span_id(struct compiler *k, struct node *n, struct err *err)
{
    return prepare_id(k, n, 8, OTTL_SPAN_ID, err);
}

const struct func type_functions[] = {
    {"IsString", is_string, {TESTED("target", ARG_STR)}, NULL},
    {"IsInt", is_int, {TESTED("target", ARG_INT)}, NULL},
    {"IsDouble", is_double, {TESTED("target", ARG_DOUBLE)}, NULL},
    {"IsBool", is_bool, {TESTED("target", ARG_BOOL)}, NULL},
    {"IsMap", is_map, {TESTED("target", ARG_MAP)}, NULL},
    {"IsList", is_list, {P("target", ARG_ANY)}, NULL},
    {"IsEmpty", is_empty, {P("target", ARG_ANY)}, NULL},
    {"IsRootSpan", is_root_span, {{.name = NULL}}, NULL},
    {"Int", converted, {P("target", ARG_INT_LIKE)}, NULL},
    {"Double", converted, {P("target", ARG_DOUBLE_LIKE)}, NULL},
    {"Bool", converted, {P("target", ARG_BOOL_LIKE)}, NULL},
    {"String", converted, {P("target", ARG_STR_LIKE)}, NULL},
    {"Log", natural_log, {P("target", ARG_DOUBLE_LIKE)}, NULL},
    {"Len", len, {P("target", ARG_ANY)}, NULL},
    {"Coalesce", coalesce, {P("values", ARG_VALUES)}, coalesce_prepare},
    {"ContainsValue", contains_value, {P("target", ARG_LIST), P("item", ARG_ANY)}, NULL},
    {"Index", index_of, {P("target", ARG_ANY), P("value", ARG_ANY)}, NULL},
    {"Keys", keys_of, {P("target", ARG_MAP)}, NULL},
    {"Values", values_of, {P("target", ARG_MAP)}, NULL},
    {"TraceID", trace_id, {P("target", ARG_BYTES_LIKE)}, prepare_trace_id},
    {"ProfileID", trace_id, {P("target", ARG_BYTES_LIKE)}, prepare_trace_id},
    {"SpanID", span_id, {P("target", ARG_BYTES_LIKE)}, prepare_span_id},
    {.name = NULL},
};
