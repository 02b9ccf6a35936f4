/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values: reading attributes, the table of comparisons, lists and maps. See value.h.
 *
 * Nesting is bounded: by the walk for what came in, by the parser and the JSON reader for the rest.
 * Threads: any; no state.
 */
#include "ottl/value.h"

#include <math.h>

#define NS_PER_S 1000000000

struct ottl_value ottl_time_ns(uint64_t unix_ns)
{
    int64_t ns = (int64_t)unix_ns, s = ns / NS_PER_S, rest = ns % NS_PER_S;

    if (rest < 0) {
        rest += NS_PER_S;
        s--;
    }
    return (struct ottl_value){.type = OTTL_TIME, .aux = (uint32_t)rest, .at = {.s = s}};
}

struct ottl_value ottl_of_any(struct slice any_value_body)
{
    struct any a = any_parse(any_value_body);

    switch (a.type) {
    case ANY_STR:
        return ottl_str(a.bytes);
    case ANY_BOOL:
        return ottl_bool(a.i != 0);
    case ANY_INT:
        return ottl_int(a.i);
    case ANY_DOUBLE:
        return ottl_double(a.d);
    case ANY_ARRAY:
        return ottl_of(OTTL_LIST, a.bytes);
    case ANY_MAP:
        return ottl_map(a.bytes, OTTL_MAP_FIELD);
    case ANY_BYTES:
        return ottl_of(OTTL_BYTES, a.bytes);
    case ANY_EMPTY:
        break;
    }
    return ottl_nil();
}

bool ottl_to_any(const struct ottl_value *v, struct any *out)
{
    *out = (struct any){.type = ANY_EMPTY};
    switch (v->type) {
    case OTTL_NIL:
        return true;
    case OTTL_BOOL:
    case OTTL_INT:
        out->type = v->type == OTTL_BOOL ? ANY_BOOL : ANY_INT;
        out->i = v->i;
        return true;
    case OTTL_DOUBLE:
        out->type = ANY_DOUBLE;
        out->d = v->d;
        return true;
    case OTTL_STR:
    case OTTL_BYTES:
    case OTTL_LIST:
        out->type = v->type == OTTL_STR ? ANY_STR : v->type == OTTL_BYTES ? ANY_BYTES : ANY_ARRAY;
        out->bytes = v->s;
        return true;
    case OTTL_MAP:
        out->type = ANY_MAP;
        out->bytes = v->s;
        return v->aux == OTTL_MAP_FIELD;
    default:
        return false;
    }
}

const char *ottl_type_name(const struct ottl_value *v)
{
    static const char *const names[OTTL_TYPES] = {
        [OTTL_NIL] = "nil",
        [OTTL_BOOL] = "bool",
        [OTTL_INT] = "int64",
        [OTTL_DOUBLE] = "float64",
        [OTTL_STR] = "string",
        [OTTL_BYTES] = "[]uint8",
        [OTTL_TIME] = "time.Time",
        [OTTL_DURATION] = "time.Duration",
        [OTTL_MAP] = "pcommon.Map",
        [OTTL_LIST] = "pcommon.Slice",
        [OTTL_ITEMS] = "[]interface {}",
        [OTTL_TRACE_ID] = "pcommon.TraceID",
        [OTTL_SPAN_ID] = "pcommon.SpanID",
        [OTTL_STATUS] = "ptrace.Status",
        [OTTL_EVENTS] = "ptrace.SpanEventSlice",
        [OTTL_LINKS] = "ptrace.SpanLinkSlice",
        [OTTL_ABSENT] = "nothing",
    };

    return names[v->type];
}

/* ---- lists and maps ---- */

static bool ottl_only_strings(const struct ottl_value *v)
{
    return v->type == OTTL_ITEMS && v->aux;
}

int ottl_put_item(struct buf *out, struct slice text)
{
    struct any a = {.type = ANY_STR, .bytes = text};
    struct buf one = {.max = out->max};
    int rc = any_put(&one, &a);

    if (rc == 0)
        rc = wire_put_bytes(out, 1, slice_of(one.p, one.len));
    buf_free(&one);
    return rc;
}

bool ottl_is_list(const struct ottl_value *v)
{
    return v->type == OTTL_LIST || v->type == OTTL_ITEMS;
}

bool ottl_is_scalar(const struct ottl_value *v)
{
    return v->type <= OTTL_BYTES;
}

const struct ottl_value *ottl_not_plain(const struct ottl_value *v)
{
    const struct ottl_value *bad = NULL;

    if (v->type != OTTL_ITEMS || v->aux)
        return ottl_is_scalar(v) ? NULL : v;
    for (size_t i = 0; i < v->items.n && !bad; i++)
        bad = ottl_not_plain(&v->items.v[i]);
    return bad;
}

struct ottl_list_iter ottl_list_iter(const struct ottl_value *list)
{
    if (list->type == OTTL_ITEMS)
        return (struct ottl_list_iter){.items = &list->items};
    return (struct ottl_list_iter){.fields = field_iter(list->s)};
}

bool ottl_list_next(struct ottl_list_iter *it, struct ottl_value *v)
{
    struct field f;

    if (it->items) {
        if (it->i == it->items->n)
            return false;
        *v = it->items->v[it->i++];
        return true;
    }
    while (field_next(&it->fields, &f))
        if (f.number == 1 && f.wire == 2) {
            *v = ottl_of_any(f.bytes);
            return true;
        }
    return false;
}

size_t ottl_list_len(const struct ottl_value *list)
{
    struct ottl_list_iter it = ottl_list_iter(list);
    struct ottl_value v;
    size_t n = 0;

    if (it.items)
        return it.items->n;
    while (ottl_list_next(&it, &v))
        n++;
    return n;
}

size_t ottl_map_len(const struct ottl_value *map)
{
    struct attr_iter it = attr_iter(map->s, map->aux);
    struct attr a;
    size_t n = 0;

    while (attr_next(&it, &a))
        n++;
    return n;
}

bool ottl_map_get(const struct ottl_value *map, struct slice key, struct ottl_value *v)
{
    struct attr a;

    if (!attr_find(map->s, map->aux, key, &a))
        return false;
    *v = ottl_of_any(a.value);
    return true;
}

/* ---- comparing ---- */

static bool by_order(int order, enum ottl_op op)
{
    switch (op) {
    case OP_EQ:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    case OP_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static bool by_equality(bool equal, enum ottl_op op)
{
    return op == OP_EQ ? equal : op == OP_NE && !equal;
}

static int order_of_ints(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_of_slices(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.p, b.p, n) : 0;

    return order ? order : order_of_ints((int64_t)a.len, (int64_t)b.len);
}

/* NaN is in no order with anything. */
static bool doubles(double a, double b, enum ottl_op op)
{
    if (isnan(a) || isnan(b))
        return op == OP_NE;
    return by_order((a > b) - (a < b), op);
}

static int order_of_times(const struct ottl_value *a, const struct ottl_value *b)
{
    int order = order_of_ints(a->at.s, b->at.s);

    return order ? order : order_of_ints(a->aux, b->aux);
}

/* Empty bytes are nil bytes. */
static bool is_nil(const struct ottl_value *v)
{
    return v->type == OTTL_NIL || (v->type == OTTL_BYTES && v->s.len == 0);
}

static bool deep_equal(const struct ottl_value *a, const struct ottl_value *b);

/* What Split gives is a list of strings and nothing else there, and equals no other kind of list.
 */
static bool equal_lists(const struct ottl_value *a, const struct ottl_value *b)
{
    struct ottl_list_iter i = ottl_list_iter(a), k = ottl_list_iter(b);
    struct ottl_value x, y;

    if (ottl_only_strings(a) != ottl_only_strings(b))
        return false;
    for (;;) {
        bool more = ottl_list_next(&i, &x);

        if (more != ottl_list_next(&k, &y))
            return false;
        if (!more)
            return true;
        if (!deep_equal(&x, &y))
            return false;
    }
}

/* Maps do not repeat keys as a rule; where one does its first entry counts. */
static bool equal_maps(const struct ottl_value *a, const struct ottl_value *b)
{
    struct attr_iter it = attr_iter(a->s, a->aux);
    struct ottl_value x, y;
    struct attr at;

    if (ottl_map_len(a) != ottl_map_len(b))
        return false;
    while (attr_next(&it, &at)) {
        x = ottl_of_any(at.value);
        if (!ottl_map_get(b, at.key, &y) || !deep_equal(&x, &y))
            return false;
    }
    return true;
}

/* Inside maps and lists types must be the same: 1 is not 1.0. */
static bool deep_equal(const struct ottl_value *a, const struct ottl_value *b)
{
    if (ottl_is_list(a) && ottl_is_list(b))
        return equal_lists(a, b);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case OTTL_NIL:
    case OTTL_ABSENT:
        return true;
    case OTTL_BOOL:
    case OTTL_INT:
    case OTTL_DURATION:
        return a->i == b->i;
    case OTTL_DOUBLE:
        return a->d == b->d;
    case OTTL_TIME:
        return order_of_times(a, b) == 0;
    case OTTL_MAP:
        return equal_maps(a, b);
    default:
        return slice_eq(a->s, b->s);
    }
}

bool ottl_compare(const struct ottl_value *a, const struct ottl_value *b, enum ottl_op op)
{
    if (is_nil(a) || is_nil(b))
        return is_nil(a) && is_nil(b) ? op == OP_EQ || op == OP_LE || op == OP_GE : op == OP_NE;
    if (a->type == OTTL_INT && b->type == OTTL_DOUBLE)
        return doubles((double)a->i, b->d, op);
    if (a->type == OTTL_DOUBLE && b->type == OTTL_INT)
        return doubles(a->d, (double)b->i, op);
    if (ottl_is_list(a) && ottl_is_list(b))
        return by_equality(equal_lists(a, b), op);
    if (a->type != b->type)
        return op == OP_NE;
    switch (a->type) {
    case OTTL_BOOL:
    case OTTL_INT:
    case OTTL_DURATION:
        return by_order(order_of_ints(a->i, b->i), op);
    case OTTL_DOUBLE:
        return doubles(a->d, b->d, op);
    case OTTL_STR:
    case OTTL_BYTES:
        return by_order(order_of_slices(a->s, b->s), op);
    case OTTL_TIME:
        return by_order(order_of_times(a, b), op);
    default:
        return by_equality(deep_equal(a, b), op);
    }
}
