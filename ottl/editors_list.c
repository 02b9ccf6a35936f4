/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Editors of lists, and flatten, which makes one map of maps and lists in each other.
 * Each is a row in the table at the end.
 */
#include <stdio.h>

#include "model/otlp_walk.h"
#include "model/wire_checked.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/key_index.h"

#define EDITOR(name)                                                                               \
    static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *none)

/* ---- append ---- */

/* What the target has already: *count items at v, when v is not NULL. */
static bool had(struct ottl_eval *e, const struct ottl_value *target, struct ottl_value *v,
                size_t *count)
{
    struct ottl_list_iter it;
    struct ottl_value item;

    if (ottl_is_list(target)) {
        it = ottl_list_iter(target);
        for (*count = 0; ottl_list_next(&it, &item); (*count)++)
            if (v)
                v[*count] = item;
        return true;
    }
    if (!ottl_is_scalar(target))
        return ottl_fail(e, "unsupported type of target field: %s", ottl_type_name(target));
    *count = target->type != OTTL_NIL;
    if (v && *count)
        v[0] = *target;
    return true;
}

/* One more item; maps and lists of attributes are none, nor is what Split makes. */
static bool add_item(struct ottl_eval *e, const struct ottl_value *item, struct ottl_value *v,
                     size_t *count)
{
    const struct ottl_value *bad = ottl_not_plain(item);

    if (bad)
        return ottl_fail(e, "<Invalid value type %s>", ottl_type_name(bad));
    v[(*count)++] = *item;
    return true;
}

EDITOR(append)
{
    const struct node *path = n->args[0];
    struct ottl_value target, value, values, *v;
    size_t count = 0, more;
    bool fine;

    (void)none;
    if (!path->eval(e, path, &target) || !had(e, &target, NULL, &count) || !arg(e, n, 1, &value) ||
        !arg(e, n, 2, &values))
        return false;
    more = (value.type != OTTL_ABSENT) + (values.type == OTTL_ABSENT ? 0 : ottl_list_len(&values));
    v = ottl_room(e, (count + more) * sizeof(*v));
    if (!v || !had(e, &target, v, &count))
        return false;
    fine = value.type == OTTL_ABSENT || add_item(e, &value, v, &count);
    for (size_t i = 0; fine && values.type != OTTL_ABSENT && i < values.items.n; i++)
        fine = add_item(e, &values.items.v[i], v, &count);
    return fine &&
           path->set(e, path, &(struct ottl_value){.type = OTTL_ITEMS, .items = {v, count}});
}

static int check_append(struct compiler *k, struct node *n, struct err *err)
{
    (void)k;
    return n->args[1] || n->args[2]
               ? 0
               : err_set(err, "at least one of the optional arguments ('value' or 'values') must "
                              "be provided");
}

/* ---- delete_index ---- */

EDITOR(delete_index)
{
    const struct node *path = n->args[0];
    struct ottl_value target, start, end, item, *v;
    struct ottl_list_iter it;
    size_t len, kept = 0;

    (void)none;
    if (!path->eval(e, path, &target) || !arg(e, n, 1, &start) || !arg(e, n, 2, &end))
        return false;
    if (!ottl_is_list(&target))
        return ottl_fail(e, "expected pcommon.Slice but got %s", ottl_type_name(&target));
    len = ottl_list_len(&target);
    if (start.i < 0 || (uint64_t)start.i >= len)
        return ottl_fail(e, "startIndex %lld out of bounds for slice of length %zu",
                         (long long)start.i, len);
    if (end.type == OTTL_ABSENT)
        end = ottl_int(start.i + 1);
    if (end.i <= start.i || (uint64_t)end.i > len)
        return ottl_fail(e, "endIndex %lld out of bounds for slice of length %zu", (long long)end.i,
                         len);
    v = ottl_room(e, len * sizeof(*v));
    if (!v)
        return false;
    it = ottl_list_iter(&target);
    for (int64_t i = 0; ottl_list_next(&it, &item); i++)
        if (i < start.i || i >= end.i)
            v[kept++] = item;
    return path->set(e, path, &(struct ottl_value){.type = OTTL_ITEMS, .items = {v, kept}});
}

/* ---- flatten ---- */

struct flat {
    struct ottl_eval *e;
    struct attr_map *to;    /* empty at first; its memory holds the keys */
    struct key_index index; /* of it */
    int64_t most_depth;
    bool resolve, failed;
    struct slice latest; /* key that was in use */
    size_t next;         /* number to try next behind it */
};

static bool flat_fail(struct flat *f)
{
    f->failed = true;
    return false;
}

/* prefix + between + name, in the map's memory */
static bool flat_key(struct flat *f, struct slice prefix, const char *between, struct slice name,
                     struct slice *key)
{
    size_t len = prefix.len + strlen(between) + name.len;
    uint8_t *p = draft_room(f->e, f->to, len);

    if (!p)
        return flat_fail(f);
    *key = slice_of(p, len);
    wire_put_slice(wire_put_slice(wire_put_slice(p, prefix), slice_str(between)), name);
    return true;
}

static bool flat_numbered(struct flat *f, struct slice prefix, size_t i, struct slice *key)
{
    char number[24];

    snprintf(number, sizeof(number), "%zu", i);
    return flat_key(f, prefix, ".", slice_str(number), key);
}

/* The next key of k.0, k.1, ... that is free. */
static bool flat_free_key(struct flat *f, struct slice *key)
{
    struct slice base = *key;

    if (!slice_eq(base, f->latest)) {
        f->latest = base;
        f->next = 0;
    }
    while (key_index_find(&f->index, *key))
        if (!flat_numbered(f, base, f->next++, key))
            return false;
    return true;
}

static bool flat_put(struct flat *f, struct slice key, struct slice value)
{
    if (f->resolve && !flat_free_key(f, &key))
        return false;
    return key_index_put(&f->index, key, value) || flat_fail(f);
}

static bool flat_map(struct flat *f, struct slice map, struct slice prefix, int64_t depth);
static bool flat_value(struct flat *f, struct slice key, struct slice value, int64_t depth);

/* A list that is an item of a list: no dot stands before the numbers of its items, as the Collector
 * has it. */
static bool flat_inner_list(struct flat *f, struct slice list, struct slice key, int64_t depth)
{
    struct field_iter it = field_iter(list);
    struct field item;
    struct slice own;
    char number[24];
    size_t i = 0;

    while (field_next(&it, &item)) {
        if (item.number != 1 || item.wire != 2)
            continue;
        snprintf(number, sizeof(number), "%zu", i++);
        if (!flat_key(f, key, "", slice_str(number), &own) ||
            !flat_value(f, own, item.bytes, depth + 1))
            return false;
    }
    return true;
}

/* An item of the list at `key`. */
static bool flat_item(struct flat *f, struct slice value, struct slice key, size_t i, int64_t depth)
{
    struct any v = wire_any(value);
    struct slice own;

    if ((v.type == ANY_MAP || v.type == ANY_ARRAY) && depth + 1 < f->most_depth) {
        if (!flat_numbered(f, key, i, &own))
            return false;
        return v.type == ANY_MAP ? flat_map(f, v.bytes, own, depth + 2)
                                 : flat_inner_list(f, v.bytes, own, depth + 2);
    }
    if (f->resolve)
        return flat_put(f, key, value);
    return flat_numbered(f, key, i, &own) && flat_put(f, own, value);
}

static bool flat_list(struct flat *f, struct slice list, struct slice key, int64_t depth)
{
    struct field_iter it = field_iter(list);
    struct field item;
    size_t i = 0;

    while (field_next(&it, &item))
        if (item.number == 1 && item.wire == 2 && !flat_item(f, item.bytes, key, i++, depth))
            return false;
    return true;
}

static bool flat_value(struct flat *f, struct slice key, struct slice value, int64_t depth)
{
    struct any v = wire_any(value);

    if (v.type == ANY_MAP && depth < f->most_depth)
        return flat_map(f, v.bytes, key, depth + 1);
    if (v.type == ANY_ARRAY && depth < f->most_depth)
        return flat_list(f, v.bytes, key, depth);
    return flat_put(f, key, value);
}

static bool flat_map(struct flat *f, struct slice map, struct slice prefix, int64_t depth)
{
    struct attr_iter it = attr_iter(map, OTTL_MAP_FIELD);
    struct attr a;

    while (attr_next(&it, &a)) {
        struct slice key = a.key;

        if (prefix.len && !flat_key(f, prefix, ".", a.key, &key))
            return false;
        if (!flat_value(f, key, a.value, depth))
            return false;
    }
    return true;
}

static bool nests(const struct attr_map *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct any v = wire_any(m->v[i].value);

        if (v.type == ANY_MAP || v.type == ANY_ARRAY)
            return true;
    }
    return false;
}

EDITOR(flatten)
{
    struct slice prefix = n->args[1] ? arg_constant(n, 1)->s : slice_str("");
    struct flat f = {.e = e, .most_depth = n->args[2] ? arg_constant(n, 2)->i : INT64_MAX};
    struct attr_map *m = map_open(e, n->args[0]);
    struct attr_entry *old;
    size_t count;

    (void)none;
    if (!m)
        return false;
    f.resolve = n->args[3] && arg_constant(n, 3)->i;
    if (!key_index_of(&f.index, e, m, m->n))
        return false;
    if (prefix.len == 0 && !f.index.repeats && !nests(m))
        return map_close(e, n->args[0], m);
    count = m->n;
    old = ottl_room(e, count * sizeof(*old));
    if (!old)
        return false;
    if (count)
        memcpy(old, m->v, count * sizeof(*old));
    f.to = m;
    m->n = 0;
    m->changed = true;
    f.failed = !key_index_of(&f.index, e, m, 0);
    for (size_t i = 0; i < count && !f.failed; i++) {
        struct slice key = old[i].key;

        if (prefix.len == 0 || flat_key(&f, prefix, ".", old[i].key, &key))
            (void)flat_value(&f, key, old[i].value, 0);
    }
    return map_close(e, n->args[0], m) && !f.failed;
}

static int check_flatten(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *depth = n->args[2] ? arg_constant(n, 2) : NULL;

    (void)k;
    return !depth || depth->i >= 1
               ? 0
               : err_set(err, "invalid depth '%lld' for flatten function, must be greater than 0",
                         (long long)depth->i);
}

const struct func list_editors[] = {
    {"append",
     append,
     {P("target", ARG_TARGET), OPTIONAL("value", ARG_ANY), OPTIONAL("values", ARG_VALUES)},
     check_append},
    {"delete_index",
     delete_index,
     {P("target", ARG_TARGET), P("start_index", ARG_INT), OPTIONAL("end_index", ARG_INT)},
     NULL},
    {"flatten",
     flatten,
     {P("target", ARG_TARGET), OPTIONAL("prefix", ARG_TEXT), OPTIONAL("depth", ARG_NUMBER),
      OPTIONAL("resolve_conflicts", ARG_FLAG)},
     check_flatten},
    {.name = NULL},
};
