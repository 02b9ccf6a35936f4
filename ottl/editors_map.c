/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Editors: set, and those that take entries out of maps, put some in, or cut their values.
 *
 * One that finds nothing to do opens no draft where that is cheap to see. Each is a row in the
 * table at the end. Order: set, removing, cutting, merging.
 */
#include "model/utf8.h"
#include "model/wire_checked.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/key_index.h"
#include "ottl/path.h"

#define EDITOR(name)                                                                               \
    static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *none)

/* ---- set ---- */

EDITOR(set)
{
    const struct node *path = n->args[0];
    struct ottl_value v;

    (void)none;
    if (!node_eval(e, n->args[1], &v))
        return false;
    return v.type == OTTL_NIL || path->set(e, path, &v);
}

/* ---- removing ---- */

/* Is there no such entry, as far as can be told without a look at all of them? */
static bool surely_absent(struct ottl_eval *e, const struct node *path, int key)
{
    struct view *v = &e->views[path->context];

    if (key < 0 || path->cache || path->n_keys)
        return false;
    if (!v->scanned)
        view_scan(e, path->context);
    return !v->found[key].p;
}

/* The attribute that readers find by this number; readers keep what else they found. */
static bool delete_found(struct ottl_eval *e, const struct node *path, int number, struct slice key)
{
    struct attr_map *m = draft_map(e, path);
    struct attr_entry *at = m ? attr_map_find(m, key) : NULL;

    if (!at)
        return m != NULL;
    attr_map_remove(m, at);
    at = attr_map_find(m, key); /* a second one comes to light */
    e->views[path->context].found[number] = !at           ? (struct slice){0}
                                            : at->value.p ? at->value
                                                          : slice_of("", 0);
    return true;
}

EDITOR(delete_key)
{
    const struct node *path = n->args[0];
    struct attr_entry *at;
    struct ottl_value key;
    struct attr_map *m;

    (void)none;
    if (surely_absent(e, path, n->key))
        return true;
    if (!arg(e, n, 1, &key))
        return false;
    if (n->key >= 0)
        return delete_found(e, path, n->key, key.s);
    m = map_open(e, path);
    if (!m)
        return false;
    at = attr_map_find(m, key.s);
    if (at)
        attr_map_remove(m, at);
    return map_close(e, path, m);
}

/* Readers are to find the key that the editor names; -1 when they cannot. */
static int note_key(struct compiler *k, struct node *n, struct err *err)
{
    const struct node *path = n->args[0];
    const struct ottl_value *key = arg_constant(n, 1);

    (void)err;
    n->key = -1;
    if (key && !path->cache && path->n_keys == 0 && path->set == set_attributes &&
        (!key->s.len || !memchr(key->s.p, 0, key->s.len)))
        n->key = program_key(k->program, path->context, key->s);
    return 0;
}

struct by_regex {
    const struct regex *re;
    bool keep;
};

static bool regex_gone(void *ctx, const struct attr_entry *a)
{
    const struct by_regex *by = ctx;

    return regex_search(by->re, a->key, 0, NULL, NULL) != by->keep;
}

static bool remove_by_regex(struct ottl_eval *e, const struct node *n, bool keep)
{
    struct by_regex by = {.keep = keep};
    struct regex *own;
    struct attr_map *m;
    bool fine = false;

    by.re = arg_regex(e, n, 1, &own);
    if (!by.re)
        return false;
    m = map_open(e, n->args[0]);
    if (m) {
        attr_map_remove_if(m, regex_gone, &by);
        fine = map_close(e, n->args[0], m);
    }
    if (own)
        regex_free(&own);
    return fine;
}

EDITOR(delete_matching_keys)
{
    (void)none;
    return remove_by_regex(e, n, false);
}

EDITOR(keep_matching_keys)
{
    (void)none;
    return remove_by_regex(e, n, true);
}

struct by_keys {
    const struct slice *keys;
    size_t n, others; /* others: how many more may stay */
};

static bool keys_gone(void *ctx, const struct attr_entry *a)
{
    struct by_keys *by = ctx;

    for (size_t i = 0; i < by->n; i++)
        if (slice_eq(by->keys[i], a->key))
            return false;
    if (by->others == 0)
        return true;
    by->others--;
    return false;
}

EDITOR(keep_keys)
{
    struct by_keys by = {0};
    struct slice *keys;
    struct attr_map *m;

    (void)none;
    if (!arg_strings(e, n, 1, &keys, &by.n))
        return false;
    by.keys = keys;
    m = map_open(e, n->args[0]);
    if (!m)
        return false;
    attr_map_remove_if(m, keys_gone, &by);
    return map_close(e, n->args[0], m);
}

EDITOR(limit)
{
    size_t most = (size_t)arg_constant(n, 1)->i;
    struct by_keys by = {.others = most};
    struct slice *keys;
    struct attr_map *m;

    (void)none;
    if (!arg_strings(e, n, 2, &keys, &by.n))
        return false;
    m = map_open(e, n->args[0]);
    if (!m)
        return false;
    if (m->n > most) {
        by.keys = keys;
        for (size_t i = 0; i < by.n; i++)
            by.others -= by.others && attr_map_find(m, keys[i]);
        attr_map_remove_if(m, keys_gone, &by);
    }
    return map_close(e, n->args[0], m);
}

/* A negative number is no constant in the real program either. */
static int check_limit(struct compiler *k, struct node *n, struct err *err)
{
    int64_t most = arg_constant(n, 1)->i;
    size_t keys = n->args[2]->n_args;

    (void)k;
    if (most < 0)
        return err_set(err, "the limit must be an int, zero or more");
    if ((uint64_t)most < keys)
        return err_set(err,
                       "invalid limit, %lld cannot be less than number of priority attributes %zu",
                       (long long)most, keys);
    return 0;
}

/* ---- cutting ---- */

static size_t cut_length(struct slice s, size_t most, bool at_characters)
{
    while (at_characters && most && (s.p[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static bool cut(struct ottl_eval *e, struct attr_map *m, struct attr_entry *at, struct slice start,
                struct slice marker)
{
    size_t len = start.len + marker.len;
    uint8_t *p = ottl_room(e, len);
    struct ottl_value v = ottl_str(slice_of(p, len));
    struct slice body;

    if (!p)
        return false;
    wire_put_slice(wire_put_slice(p, start), marker);
    if (!draft_value(e, m, &v, &body))
        return false;
    attr_map_set(m, at, body);
    return true;
}

EDITOR(truncate_all)
{
    size_t most = (size_t)arg_constant(n, 1)->i;
    bool safe = !n->args[2] || arg_constant(n, 2)->i;
    struct slice marker = n->args[3] ? arg_constant(n, 3)->s : slice_str("");
    struct attr_map *m = map_open(e, n->args[0]);
    bool fine = true;

    (void)none;
    for (size_t i = 0; m && fine && i < m->n; i++) {
        struct any v = wire_any(m->v[i].value);

        if (v.type == ANY_STR && v.bytes.len > most)
            fine = cut(e, m, &m->v[i],
                       slice_of(v.bytes.p, cut_length(v.bytes, most - marker.len, safe)), marker);
    }
    return m && map_close(e, n->args[0], m) && fine;
}

static int check_truncate(struct compiler *k, struct node *n, struct err *err)
{
    int64_t most = arg_constant(n, 1)->i;
    size_t marker = n->args[3] ? arg_constant(n, 3)->s.len : 0;

    (void)k;
    if (most < 0)
        return err_set(err, "the limit must be an int, zero or more");
    if (marker > (uint64_t)most)
        return err_set(err,
                       "invalid truncation marker, length of marker %zu cannot be greater than "
                       "limit %lld",
                       marker, (long long)most);
    return 0;
}

EDITOR(stringify_all)
{
    struct attr_map *m = map_open(e, n->args[0]);
    bool fine = true;

    (void)none;
    for (size_t i = 0; m && i < m->n; i++) {
        struct any v = wire_any(m->v[i].value);
        struct buf *text = ottl_text(e);
        struct slice body;

        if (v.type == ANY_STR)
            continue;
        if (any_as_string(&v, text)) {
            fine = ottl_too_long(e);
            break;
        }
        body = attr_map_str(m, slice_of(text->p, text->len));
        if (!body.p)
            break; /* map_close says so */
        attr_map_set(m, &m->v[i], body);
    }
    return m && map_close(e, n->args[0], m) && fine;
}

/* ---- merging ---- */

static const char *const strategies[] = {"insert", "update", "upsert"};

static int check_strategy(struct compiler *k, struct node *n, struct err *err)
{
    struct slice s = arg_constant(n, 2)->s;

    (void)k;
    for (size_t i = 0; i < ARRAY_LEN(strategies); i++)
        if (slice_eq(slice_str(strategies[i]), s)) {
            n->data = strategies[i];
            return 0;
        }
    return err_set(err, "invalid value for strategy, %.*s, must be 'insert', 'update' or 'upsert'",
                   (int)(s.len < 60 ? s.len : 60), s.p);
}

/* n: the editor's call. */
static bool merge(struct ottl_eval *e, const struct node *n, struct attr_map *m,
                  struct attr_iter it)
{
    bool insert = n->data != strategies[1], update = n->data != strategies[0];
    struct key_index x;
    struct attr a;

    if (!key_index_of(&x, e, m, m->n))
        return false;
    while (attr_next(&it, &a)) {
        bool there = key_index_find(&x, a.key) != NULL;

        if ((there ? update : insert) && !key_index_put(&x, a.key, a.value))
            return false;
    }
    return true;
}

EDITOR(merge_maps)
{
    const struct node *path = n->args[0];
    struct ottl_value source;
    struct attr_map *m;
    uint8_t *copy;
    bool fine;

    (void)none;
    if (!arg(e, n, 1, &source) || !(m = map_open(e, path)))
        return false;
    copy = draft_room(e, m, source.s.len);
    if (!copy)
        return false;
    if (source.s.len)
        memcpy(copy, source.s.p, source.s.len);
    fine = merge(e, n, m, attr_iter(slice_of(copy, source.s.len), source.aux));
    return map_close(e, path, m) && fine;
}

const struct func map_editors[] = {
    {"set", set, {P("target", ARG_TARGET), P("value", ARG_ANY)}, NULL},
    {"delete_key", delete_key, {P("target", ARG_TARGET), P("key", ARG_STR)}, note_key},
    {"delete_matching_keys",
     delete_matching_keys,
     {P("target", ARG_TARGET), P("pattern", ARG_REGEX)},
     NULL},
    {"keep_keys", keep_keys, {P("target", ARG_TARGET), P("keys", ARG_STRS)}, NULL},
    {"keep_matching_keys",
     keep_matching_keys,
     {P("target", ARG_TARGET), P("pattern", ARG_REGEX)},
     NULL},
    {"limit",
     limit,
     {P("target", ARG_TARGET), P("limit", ARG_NUMBER), P("priority_keys", ARG_TEXTS)},
     check_limit},
    {"truncate_all",
     truncate_all,
     {P("target", ARG_TARGET), P("limit", ARG_NUMBER), OPTIONAL("utf8_safe", ARG_FLAG),
      OPTIONAL("truncation_marker", ARG_TEXT)},
     check_truncate},
    {"merge_maps",
     merge_maps,
     {P("target", ARG_TARGET), P("source", ARG_MAP), P("strategy", ARG_TEXT)},
     check_strategy},
    {"stringify_all", stringify_all, {P("target", ARG_TARGET)}, NULL},
    {.name = NULL},
};
