/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks: a component speaks of "policies[2].latency.threshold_ms"; the user wants line and column,
 * and the row that describes the key. Keys that were not written show the nearest part that was.
 */
#include "config/check.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/decode.h"
#include "config/describe.h"

struct step {
    const char *name; /* NULL: index */
    size_t len, index;
};

/* The next part of a path; false at its end. */
static bool next_step(const char **p, struct step *s)
{
    if (**p == '.')
        ++*p;
    if (!**p)
        return false;
    if (**p == '[') {
        char *end;
        *s = (struct step){.index = strtoull(*p + 1, &end, 10)};
        *p = *end == ']' ? end + 1 : end;
        return true;
    }
    *s = (struct step){.name = *p, .len = strcspn(*p, ".[")};
    *p += s->len;
    return true;
}

static const struct entry *entry_of(const struct node *n, const char *name, size_t len)
{
    for (size_t i = 0; n->type == NODE_MAP && i < n->n; i++)
        if (strlen(n->entries[i].key) == len && memcmp(n->entries[i].key, name, len) == 0)
            return &n->entries[i];
    return NULL;
}

static const struct key *row_of(const struct key *keys, const char *name, size_t len)
{
    for (; keys && keys->type != KEY_T_END; keys++)
        if (strlen(keys->name) == len && memcmp(keys->name, name, len) == 0)
            return keys;
    return NULL;
}

static bool is_scalar(const struct node *n)
{
    return n->type != NODE_MAP && n->type != NODE_SEQ;
}

/* *written: the last part of the path stands in the file. */
static struct pos find_place(const struct check *c, const char *path, const struct key **row,
                             bool *written)
{
    struct pos at = c->at;
    const struct node *n = c->root;
    const struct key *keys = c->keys;
    struct step s;
    *row = NULL;
    while (next_step(&path, &s)) {
        const struct node *value = NULL;
        if (s.name) {
            *row = row_of(keys, s.name, s.len);
            keys = *row ? (*row)->sub : NULL;
            const struct entry *e = n ? entry_of(n, s.name, s.len) : NULL;
            if (!e && n && *row && (*row)->old_name)
                e = entry_of(n, (*row)->old_name, strlen((*row)->old_name));
            if (e) {
                value = e->value;
                at = is_scalar(value) && (value->type != NODE_NULL || value->at.via) ? value->at
                                                                                     : e->at;
            }
        } else if (n && n->type == NODE_SEQ && s.index < n->n) {
            value = n->items[s.index];
            at = value->at;
        }
        n = value;
    }
    *written = n != NULL;
    return at;
}

struct pos check_place(const struct check *c, const char *path)
{
    const struct key *row;
    bool written;
    return find_place(c, path, &row, &written);
}

PRINTF_LIKE(4, 0)
static void report(struct check *c, enum severity severity, const char *path, const char *fmt,
                   va_list ap)
{
    const struct key *row;
    bool written;
    struct pos at = find_place(c, path, &row, &written);
    struct buf hint = {0}, whole = {0};
    if (row) {
        key_put_line(&hint, row);
        buf_putc(&hint, 0);
    }
    buf_putf(&whole, "%s%s%s", c->prefix ? c->prefix : "",
             c->prefix && path[0] && path[0] != '[' ? "." : "", path);
    buf_putc(&whole, 0);
    if (!c->written_only || (written && !diags_mention(c->diags, (const char *)whole.p)))
        diag_addv(c->diags, severity, at, (const char *)whole.p, row ? (const char *)hint.p : NULL,
                  fmt, ap);
    buf_free(&hint);
    buf_free(&whole);
}

void check_error(struct check *c, const char *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(c, DIAG_ERROR, path, fmt, ap);
    va_end(ap);
}

void check_warn(struct check *c, const char *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    report(c, DIAG_WARNING, path, fmt, ap);
    va_end(ap);
}
