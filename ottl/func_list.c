/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions on whole lists and maps: sorting, lists into maps, maps into text.
 *
 * Everything is built in the scratch and in the eval's text, both bounded; sorting is by merging,
 * so that no order of the input makes it slow. Threads: the eval's worker.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ottl/call.h"
#include "ottl/map_build.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

/* ---- sorting ---- */

struct sortable {
    struct ottl_value v;
    struct slice text; /* when they are compared as text */
    double number;     /* otherwise */
    size_t at;         /* equal ones keep their order */
};

enum sorting { SORT_NUMBERS, SORT_TEXTS, SORT_NOT };

static enum sorting how(const struct sortable *v, size_t n)
{
    enum sorting as = SORT_NUMBERS;

    for (size_t i = 0; i < n; i++)
        switch (v[i].v.type) {
        case OTTL_INT:
        case OTTL_DOUBLE:
            break;
        case OTTL_NIL:
        case OTTL_BOOL:
        case OTTL_STR:
            as = SORT_TEXTS;
            break;
        default:
            return SORT_NOT;
        }
    return as;
}

static int by_number(const struct sortable *a, const struct sortable *b)
{
    if (a->v.type == OTTL_INT && b->v.type == OTTL_INT)
        return (a->v.i > b->v.i) - (a->v.i < b->v.i);
    if (isnan(a->number) || isnan(b->number)) /* before all others */
        return isnan(b->number) - isnan(a->number);
    return (a->number > b->number) - (a->number < b->number);
}

static int by_text(const struct sortable *a, const struct sortable *b)
{
    size_t n = a->text.len < b->text.len ? a->text.len : b->text.len;
    int order = n ? memcmp(a->text.p, b->text.p, n) : 0;

    return order ? order : (a->text.len > b->text.len) - (a->text.len < b->text.len);
}

struct order {
    enum sorting as;
    bool descending;
};

static int compare(const void *x, const void *y, void *ctx)
{
    const struct sortable *a = (const struct sortable *)x, *b = (const struct sortable *)y;
    const struct order *o = (const struct order *)ctx;
    int order = o->as == SORT_NUMBERS ? by_number(a, b) : by_text(a, b);

    if (order == 0)
        return (a->at > b->at) - (a->at < b->at);
    return o->descending ? -order : order;
}

/* Keys to sort by. */
static bool set_keys(struct ottl_eval *e, struct sortable *v, size_t n, enum sorting as)
{
    for (size_t i = 0; i < n; i++) {
        struct ottl_value text = v[i].v;

        v[i].at = i;
        v[i].number = text.type == OTTL_INT ? (double)text.i : text.d;
        if (as == SORT_NUMBERS)
            continue;
        if (text.type == OTTL_NIL)
            text = ottl_str(slice_str(""));
        if (!make_str_like(e, &text))
            return false;
        v[i].text = text.s;
    }
    return true;
}

static bool descends(const struct node *n)
{
    const struct ottl_value *order = arg_constant(n, 1);

    return order && slice_eq(order->s, slice_str("desc"));
}

/* A list of other values, or of maps, in the text of the condition is none the Collector takes. */
static bool can_sort(struct ottl_eval *e, const struct ottl_value *list)
{
    if (!ottl_is_list(list))
        return ottl_fail(e, "sort with unsupported type: '%s'. Target is not a list",
                         list->type == OTTL_NIL ? "<nil>" : ottl_type_name(list));
    for (size_t i = 0; list->type == OTTL_ITEMS && i < list->items.n; i++) {
        enum ottl_type t = list->items.v[i].type;

        if (t >= OTTL_TIME && t != OTTL_LIST && t != OTTL_ITEMS)
            return ottl_fail(e,
                             "sort with unsupported type: '[]interface {}'. Target is not a list "
                             "of primitive types; <Invalid value type %s>",
                             ottl_type_name(&list->items.v[i]));
    }
    return true;
}

FN(sort)
{
    struct order o = {.descending = descends(n)};
    struct ottl_list_iter it;
    struct ottl_value *sorted;
    struct sortable *v;
    size_t count, i = 0;

    if (!arg(e, n, 0, out) || !can_sort(e, out))
        return false;
    count = ottl_list_len(out);
    if (count > OTTL_SCRATCH_BYTES / sizeof(*v))
        return ottl_too_long(e);
    v = ottl_room(e, count * sizeof(*v));
    sorted = v ? ottl_room(e, count * sizeof(*sorted)) : NULL;
    if (!sorted)
        return false;
    for (it = ottl_list_iter(out); i < count && ottl_list_next(&it, &v[i].v);)
        i++;
    o.as = how(v, count);
    if (o.as == SORT_NOT)
        return true;
    if (!set_keys(e, v, count, o.as))
        return false;
    qsort_r(v, count, sizeof(*v), compare, &o);
    for (i = 0; i < count; i++)
        sorted[i] = v[i].v;
    *out = (struct ottl_value){.type = OTTL_ITEMS,
                               .aux = out->type == OTTL_ITEMS ? out->aux : 0,
                               .items = {sorted, count}};
    return true;
}

static int prepare_sort(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *order = arg_constant(n, 1);

    (void)k;
    if (!order || slice_eq(order->s, slice_str("asc")) || slice_eq(order->s, slice_str("desc")))
        return 0;
    return err_set(err, "invalid arguments: %.*s. Order should be either \"asc\" or \"desc\"",
                   (int)(order->s.len < 80 ? order->s.len : 80), order->s.p);
}

/* ---- lists into maps ---- */

/* What the path (a list of constants) leads to from the map *v. */
static bool follow(struct ottl_eval *e, const struct node *path, size_t element, const char *what,
                   struct ottl_value *v)
{
    if (path->n_args == 0)
        return ottl_fail(e,
                         "could not extract %s from element %zu: must provide at least one "
                         "path item",
                         what, element);
    for (size_t i = 0; i < path->n_args; i++) {
        struct slice key = path->args[i]->value.s;
        struct ottl_value map = *v;

        if (map.type != OTTL_MAP || !ottl_map_get(&map, key, v))
            return ottl_fail(e,
                             "could not extract %s from element %zu: provided object does not "
                             "contain the path [%.*s]",
                             what, element, (int)(key.len < 60 ? key.len : 60), key.p);
    }
    return true;
}

static bool key_of(struct ottl_eval *e, const struct node *path, size_t element,
                   const struct ottl_value *item, struct slice *key, char number[static 24])
{
    struct ottl_value v = *item;

    if (!path) {
        *key = slice_of(number, (size_t)snprintf(number, 24, "%zu", element));
        return true;
    }
    if (!follow(e, path, element, "key", &v))
        return false;
    *key = v.s;
    return v.type == OTTL_STR ||
           ottl_fail(e, "element %zu: extracted key attribute is not of type string, got \"%s\"",
                     element, ottl_type_name(&v));
}

/* item: an attribute's value. */
static bool put_element(struct ottl_eval *e, const struct node *n, size_t element,
                        struct ottl_value item, struct map_build *map)
{
    const struct node *key_path = n->args[1], *value_path = n->args[2];
    struct ottl_value v = item;
    char number[24];
    struct slice key;
    struct any a;

    if ((key_path || value_path) && item.type != OTTL_MAP)
        return ottl_fail(e,
                         "slice elements must be maps when using `key_path` or `value_path`, but "
                         "could not cast element of type `%s` to a map",
                         ottl_type_name(&item));
    if (!key_of(e, key_path, element, &item, &key, number))
        return false;
    if (value_path && !follow(e, value_path, element, "value", &v))
        return false;
    (void)ottl_to_any(&v, &a);
    return map_put(map, key, &a) == 0 || ottl_too_long(e);
}

FN(slice_to_map)
{
    struct ottl_value list, v;
    struct ottl_list_iter it;
    struct map_build map;
    struct any plain;
    bool fine = true;

    if (!arg(e, n, 0, &list) || !eval_to_any(e, &list, &plain))
        return false;
    list = ottl_of(OTTL_LIST, plain.bytes); /* of attribute values only */
    map = map_build(ottl_text(e));
    it = ottl_list_iter(&list);
    for (size_t i = 0; fine && ottl_list_next(&it, &v); i++)
        fine = put_element(e, n, i, v, &map);
    map_finish(&map);
    return fine && ottl_keep_text(e, OTTL_MAP, out);
}

/* ---- maps into text ---- */

struct pairs {
    struct slice by, between;
};

static bool contains(struct slice s, struct slice what)
{
    return s.len >= what.len && memmem(s.p, s.len, what.p, what.len);
}

/* Puts quotes around what stands from `from` on if it holds a delimiter, and a backslash before
 * each quote in it. -1: too long. */
static int quote_tail(struct buf *b, size_t from, const struct pairs *with)
{
    struct slice s = slice_of(b->p + from, b->len - from);
    bool quoted = contains(s, with->by) || contains(s, with->between);
    size_t extra = quoted ? 2 : 0, to;

    for (size_t i = 0; i < s.len; i++)
        extra += s.p[i] == '"';
    if (extra == 0)
        return 0;
    if (buf_reserve(b, extra))
        return -1;
    to = b->len + extra;
    if (quoted)
        b->p[--to] = '"';
    for (size_t i = b->len; i-- > from;) {
        b->p[--to] = b->p[i];
        if (b->p[i] == '"')
            b->p[--to] = '\\';
    }
    if (quoted)
        b->p[--to] = '"';
    b->len += extra;
    return 0;
}

static int put_pair_text(struct buf *b, const struct attr *a, const struct pairs *with)
{
    struct any v = any_parse(a->value);
    size_t from;

    if (b->len && buf_add(b, with->between.p, with->between.len))
        return -1;
    from = b->len;
    if (buf_add(b, a->key.p, a->key.len) || quote_tail(b, from, with) ||
        buf_add(b, with->by.p, with->by.len))
        return -1;
    from = b->len;
    return any_as_string(&v, b) || quote_tail(b, from, with) ? -1 : 0;
}

static int by_key(const void *x, const void *y)
{
    const struct attr *a = (const struct attr *)x, *b = (const struct attr *)y;
    size_t n = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = n ? memcmp(a->key.p, b->key.p, n) : 0;

    return order ? order : (a->key.len > b->key.len) - (a->key.len < b->key.len);
}

static bool put_map_text(struct ottl_eval *e, const struct ottl_value *map,
                         const struct pairs *with, bool sorted)
{
    struct attr_iter it = attr_iter(map->s, map->aux);
    size_t count = ottl_map_len(map);
    struct attr *all;

    if (count > OTTL_SCRATCH_BYTES / sizeof(*all))
        return ottl_too_long(e);
    all = ottl_room(e, count * sizeof(*all));
    if (!all)
        return false;
    for (size_t i = 0; i < count && attr_next(&it, &all[i]);)
        i++;
    if (sorted)
        qsort(all, count, sizeof(*all), by_key);
    (void)ottl_text(e);
    for (size_t i = 0; i < count; i++)
        if (put_pair_text(&e->text, &all[i], with))
            return ottl_too_long(e);
    return true;
}

FN(to_key_value)
{
    const struct ottl_value *by = arg_constant(n, 1), *between = arg_constant(n, 2),
                            *sorted = arg_constant(n, 3);
    struct pairs with = {by ? by->s : slice_str("="), between ? between->s : slice_str(" ")};
    struct ottl_value map;

    return arg(e, n, 0, &map) && put_map_text(e, &map, &with, sorted && sorted->i) &&
           ottl_keep_text(e, OTTL_STR, out);
}

const struct func list_functions[] = {
    {"Sort", sort, {P("target", ARG_ANY), OPTIONAL("order", ARG_TEXT)}, prepare_sort},
    {"SliceToMap",
     slice_to_map,
     {P("target", ARG_LIST), OPTIONAL("key_path", ARG_TEXTS), OPTIONAL("value_path", ARG_TEXTS)},
     NULL},
    {"ToKeyValueString",
     to_key_value,
     {P("target", ARG_MAP), OPTIONAL("delimiter", ARG_TEXT), OPTIONAL("pair_delimiter", ARG_TEXT),
      OPTIONAL("sort_output", ARG_FLAG)},
     prepare_key_value},
    {.name = NULL},
};
