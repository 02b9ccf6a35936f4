/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unknown keys: the right name when it is a slip of the finger, the right place when the key exists
 * elsewhere in the same component, and otherwise what could stand here.
 */
#include "config/unknown_key.h"

#include <string.h>

#include "config/describe.h"
#include "platform/nearest.h"

#define MAX_LEVELS 8

/* The sections that have the key, of which only the ones nearest to the start are told. */
struct search {
    const char *name;
    struct buf places; /* "protocols.grpc or protocols.http" */
    unsigned level;    /* of those */
    size_t n;
    const struct key *row;
};

static void found_in(struct search *s, const struct key *row, const char *prefix, unsigned level)
{
    if (s->n && level > s->level)
        return;
    if (s->n && level < s->level) {
        buf_clear(&s->places);
        s->n = 0;
    }
    buf_putf(&s->places, "%s%s", s->n ? " or " : "",
             prefix[0] ? prefix : "the top of this component");
    s->level = level;
    s->row = row;
    s->n++;
}

static void search_in(struct search *s, const struct key *keys, const char *prefix, unsigned level)
{
    if (level == MAX_LEVELS)
        return;
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        if (strcmp(k->name, s->name) == 0)
            found_in(s, k, prefix, level);
        if ((k->type != KEY_T_SECTION && k->type != KEY_T_LIST) || k->sub == keys)
            continue;
        struct buf below = {0};
        buf_putf(&below, "%s%s%s%s", prefix, prefix[0] ? "." : "", k->name,
                 k->type == KEY_T_LIST ? "[]" : "");
        buf_putc(&below, 0);
        search_in(s, k->sub, (const char *)below.p, level + 1);
        buf_free(&below);
    }
}

static const char *key_at(const void *keys, size_t i)
{
    const struct key *k = keys;
    while (i && k->type != KEY_T_END) {
        i--;
        k++;
    }
    return k->type == KEY_T_END ? NULL : k->name;
}

static const struct key *row_named(const struct key *keys, const char *name)
{
    while (strcmp(keys->name, name) != 0)
        keys++;
    return keys;
}

static void put_names(struct buf *out, const struct key *keys)
{
    buf_puts(out, "keys here:");
    for (const struct key *k = keys; k->type != KEY_T_END; k++)
        if (k->type != KEY_T_NOT_YET && k->type != KEY_T_IGNORED)
            buf_putf(out, "%s %s", k == keys ? "" : ",", k->name);
}

void unknown_key(struct diags *d, const char *path, struct pos at, const struct key *keys,
                 const struct key *whole, const char *name)
{
    struct search s = {.name = name};
    struct buf hint = {0};
    const char *near = nearest_name(name, key_at, keys);
    search_in(&s, keys, "", 0); /* below is more likely than elsewhere */
    if (!s.n)
        search_in(&s, whole, "", 0);
    const struct key *row = near ? row_named(keys, near) : s.row;
    if (!s.n && !near)
        put_names(&hint, keys);
    else
        key_put_line(&hint, row);
    buf_putc(&hint, 0);
    buf_putc(&s.places, 0);
    if (near)
        diag_error(d, at, path, (const char *)hint.p, "unknown key, did you mean \"%s\"?", near);
    else if (s.n)
        diag_error(d, at, path, (const char *)hint.p, "unknown key here: it belongs under %s",
                   (const char *)s.places.p);
    else if (keys->type == KEY_T_END)
        diag_error(d, at, path, NULL, "unknown key: no keys exist here");
    else
        diag_error(d, at, path, (const char *)hint.p, "unknown key");
    buf_free(&hint);
    buf_free(&s.places);
}
