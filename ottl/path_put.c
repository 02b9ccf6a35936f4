/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to attributes and the cache: whole maps, entries, and values inside of values, which are
 * built anew around what is written. Empty values on the way become maps or lists.
 *
 * A value that no attribute can hold is an error, and leaves a new attribute behind, empty, as in
 * the Collector. Limits: the walk's nesting; MOST_NEW_ITEMS.
 */
#include "model/otlp_walk.h"
#include "model/utf8.h"
#include "model/wire.h"
#include "model/wire_checked.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/path.h"

#define MOST_NEW_ITEMS 10000 /* of a list that is made by writing to one of its items */

enum { VALUE_ARRAY = 5, VALUE_MAP = 6 }; /* fields of AnyValue */

static bool replace_all(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    struct attr_map *m = draft_map(e, n);
    struct attr_iter it;
    struct attr a;
    uint8_t *copy;

    if (!m || !expect_type(e, v, OTTL_MAP))
        return false;
    copy = draft_room(e, m, v->s.len);
    if (!copy)
        return false;
    if (v->s.len)
        memcpy(copy, v->s.p, v->s.len);
    m->n = 0;
    m->changed = true;
    it = attr_iter(slice_of(copy, v->s.len), v->aux);
    while (attr_next(&it, &a))
        attr_map_append(m, a.key, a.value);
    draft_touched(e, n);
    return map_fine(e, m);
}

/* The walk's bound on nesting holds for what is made here, too. */
static bool shallow(struct slice any_value, unsigned levels)
{
    struct field_iter outer = field_iter(any_value), items;
    struct field f, g;

    while (field_next(&outer, &f)) {
        if (f.number != VALUE_ARRAY && f.number != VALUE_MAP)
            continue;
        if (levels == 0)
            return false;
        items = field_iter(f.bytes);
        while (field_next(&items, &g))
            if (g.number == 1 && g.wire == WIRE_LEN && /* what is unknown stays as it is */
                !shallow(f.number == VALUE_MAP ? field_bytes(g.bytes, KEYVALUE_VALUE) : g.bytes,
                         levels - 1))
                return false;
    }
    return true;
}

struct write {
    struct ottl_eval *e;
    struct attr_map *m; /* whose memory new bodies live in */
    const struct node *path;
    const struct ottl_value *v;
    bool failed;
};

static struct slice inner(struct write *w, struct slice old, size_t key);

/* {field: body} in the map's memory, as the body of an AnyValue. */
static struct slice wrapped(struct write *w, uint32_t field, const uint8_t *body, size_t len)
{
    uint8_t *p = draft_room(w->e, w->m, wire_rec_size(len));

    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    return slice_of(
        p, (size_t)(wire_put_slice(wire_put_header(p, field, len), slice_of(body, len)) - p));
}

/* A map with one more or one other entry. */
static struct slice with_entry(struct write *w, struct slice map, struct slice name, size_t key)
{
    struct attr_iter it = attr_iter(map, OTTL_MAP_FIELD);
    struct slice old = {0}, rec = {0}, value;
    size_t before, kv;
    uint8_t *body, *p;
    struct attr a;

    while (!rec.p && attr_next(&it, &a))
        if (slice_eq(a.key, name)) {
            rec = a.rec;
            old = a.value;
        }
    value = inner(w, old, key);
    kv = wire_rec_size(name.len) + wire_rec_size(value.len);
    body = p = draft_room(w->e, w->m, map.len + wire_rec_size(kv));
    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    before = rec.p ? (size_t)(rec.p - map.p) : map.len;
    p = wire_put_slice(p, slice_of(map.p, before));
    p = wire_put_header(p, OTTL_MAP_FIELD, kv);
    p = wire_put_slice(wire_put_header(p, KEYVALUE_KEY, name.len), name);
    p = wire_put_slice(wire_put_header(p, KEYVALUE_VALUE, value.len), value);
    if (rec.p)
        p = wire_put_slice(p, slice_of(rec.p + rec.len, map.len - before - rec.len));
    return wrapped(w, VALUE_MAP, body, (size_t)(p - body));
}

/* A list of so many empty items, to be written at the last one. */
static struct slice empty_list(struct write *w, int64_t items)
{
    uint8_t *p;

    if (items > MOST_NEW_ITEMS) {
        ottl_fail(w->e, "index %lld out of bounds", (long long)items - 1);
        w->failed = true;
        return (struct slice){0};
    }
    p = draft_room(w->e, w->m, (size_t)items * 2);
    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    for (int64_t i = 0; i < items; i++)
        wire_put_header(p + 2 * i, 1, 0);
    return slice_of(p, (size_t)items * 2);
}

/* A list with another item at i, which is there. */
static struct slice with_item(struct write *w, struct slice list, int64_t i, size_t key)
{
    struct field_iter it = field_iter(list);
    struct field f = {0};
    struct slice value;
    uint8_t *body, *p;
    size_t before;

    for (int64_t at = -1; at < i;) {
        CHECK(field_next(&it, &f));
        at += f.number == 1 && f.wire == WIRE_LEN;
    }
    value = inner(w, f.bytes, key);
    body = p = draft_room(w->e, w->m, list.len + wire_rec_size(value.len));
    if (!p) {
        w->failed = true;
        return (struct slice){0};
    }
    before = (size_t)(f.rec.p - list.p);
    p = wire_put_slice(p, slice_of(list.p, before));
    p = wire_put_slice(wire_put_header(p, 1, value.len), value);
    p = wire_put_slice(p, slice_of(f.rec.p + f.rec.len, list.len - before - f.rec.len));
    return wrapped(w, VALUE_ARRAY, body, (size_t)(p - body));
}

static bool failed(struct write *w)
{
    w->failed = true;
    return false;
}

static bool indexable(struct write *w, const struct ottl_value *at, const struct ottl_value *key)
{
    if (at->type == OTTL_LIST && key->type == OTTL_INT) {
        size_t len = ottl_list_len(at);

        if (key->i >= 0 && (uint64_t)key->i < len)
            return true;
        ottl_fail(w->e, "index %lld out of bounds", (long long)key->i);
    } else if (at->type == OTTL_MAP || at->type == OTTL_LIST) {
        ottl_fail(w->e, "%s must be indexed by %s", at->type == OTTL_MAP ? "a map" : "a list",
                  at->type == OTTL_MAP ? "a string" : "an int");
    } else {
        ottl_fail(w->e, "type %s does not support %s indexing", ottl_type_name(at),
                  key->type == OTTL_STR ? "string" : "int");
    }
    return failed(w);
}

/* The AnyValue `old` with the value written behind keys[key] and those after it; `old` itself when
 * that fails. */
static struct slice inner(struct write *w, struct slice old, size_t key)
{
    struct ottl_value at = ottl_of_any(old), k;
    struct slice body;

    if (key == w->path->n_keys) {
        if (draft_value(w->e, w->m, w->v, &body))
            return body;
        failed(w);
        return body.p ? body : old;
    }
    if (!node_eval(w->e, w->path->keys[key], &k) ||
        (k.type == OTTL_STR && !utf8_valid(k.s.p, k.s.len) && !draft_text(w->e, w->m, k.s, &k.s))) {
        failed(w);
        return old;
    }
    if (at.type == OTTL_NIL && k.type == OTTL_STR)
        at = ottl_map((struct slice){0}, OTTL_MAP_FIELD);
    if (at.type == OTTL_NIL && k.type == OTTL_INT) { /* a new list; -1 is its only item */
        k.i = k.i < 0 ? 0 : k.i;
        at = ottl_of(OTTL_LIST, empty_list(w, k.i < MOST_NEW_ITEMS ? k.i + 1 : MOST_NEW_ITEMS + 1));
        if (!at.s.p)
            return old;
    }
    if (at.type == OTTL_MAP && k.type == OTTL_STR) {
        body = with_entry(w, at.s, k.s, key + 1);
        return body.p ? body : old;
    }
    if (!indexable(w, &at, &k))
        return old;
    body = with_item(w, at.s, k.i, key + 1);
    return body.p ? body : old;
}

/* Texts and numbers begin with their own tags. */
static bool may_nest(struct slice any_value)
{
    return any_value.len && any_value.p[0] != WIRE_TAG(1, WIRE_LEN) &&
           any_value.p[0] != WIRE_TAG(2, WIRE_VARINT) && any_value.p[0] != WIRE_TAG(3, WIRE_VARINT);
}

/* First key of the path. */
static bool first_key(struct ottl_eval *e, const struct node *n, struct slice *key)
{
    struct ottl_value k;

    if (!node_eval(e, n->keys[0], &k))
        return false;
    if (k.type != OTTL_STR)
        return ottl_fail(e, "unable to resolve a string index in map: got %s", ottl_type_name(&k));
    *key = k.s;
    return true;
}

/* Puts what is new under the key and keeps what readers found up to date. */
static bool put(struct ottl_eval *e, const struct node *n, struct attr_map *m,
                struct attr_entry *at, struct slice key, struct slice body)
{
    if (UNLIKELY(may_nest(body)) && !shallow(body, OTLP_MAX_DEPTH))
        return ottl_fail(e, "the value is nested deeper than %d levels", OTLP_MAX_DEPTH);
    if (!at && n->keys[0]->eval != eval_constant && !draft_text(e, m, key, &key))
        return false;
    if (at)
        attr_map_set(m, at, body);
    else
        attr_map_append(m, key, body);
    if (n->key >= 0 && e->views[n->context].scanned)
        e->views[n->context].found[n->key] = body;
    else
        draft_touched(e, n);
    return map_fine(e, m);
}

/* Is it there already, as it would be written? */
static bool same(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    struct ottl_value old;

    if (n->n_keys != 1 || v->type != OTTL_STR || !n->eval(e, n, &old))
        return false;
    return old.type == OTTL_STR && slice_eq(old.s, v->s);
}

bool set_attributes(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    struct write w = {.e = e, .path = n, .v = v};
    struct attr_entry *at;
    struct slice key = {0}, body;

    if (n->n_keys == 0)
        return replace_all(e, n, v);
    if (!first_key(e, n, &key))
        return false;
    if (same(e, n, v))
        return true;
    w.m = draft_map(e, n);
    if (!w.m)
        return false;
    at = attr_map_find(w.m, key);
    body = inner(&w, at ? at->value : slice_of("", 0), 1);
    if (w.failed && (e->edits->no_room || (at && body.p == at->value.p)))
        return false;
    return put(e, n, w.m, at, key, body.p ? body : slice_of("", 0)) && !w.failed;
}
