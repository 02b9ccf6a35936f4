/* SPDX-License-Identifier: Apache-2.0 */
/* What redaction's summary writes into a map. See redaction_summary.h. */
#include "processors/redaction_summary.h"

#include <stdlib.h>

#include "model/wire_checked.h"

static int by_bytes(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    int d = memcmp(x->p ? (const void *)x->p : "", y->p ? (const void *)y->p : "", x->len < y->len ? x->len : y->len);

    return d ? d : (x->len > y->len) - (x->len < y->len);
}

static size_t count_commas(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.p[i] == ',';
    return n;
}

/* Splits at commas into keys[]; returns how many. */
static size_t split(struct slice s, struct slice *keys)
{
    size_t n = 0, from = 0;

    for (size_t i = 0; i <= s.len; i++)
        if (i == s.len || s.p[i] == ',') {
            keys[n++] = i > from ? slice_of(s.p + from, i - from) : slice_of(NULL, 0);
            from = i + 1;
        }
    return n;
}

/* What stands in the attribute as a string; empty for none. */
static struct slice old_keys(const struct attr_map *m, struct slice name)
{
    const struct attr_entry *e = attr_map_find(m, name);
    struct any v = {0};

    if (e)
        v = wire_any(e->value);
    return v.type == ANY_STR ? v.bytes : (struct slice){0};
}

static struct slice joined(struct attr_map *m, const struct slice *keys, size_t n)
{
    size_t len = n - 1;
    uint8_t *start, *p;

    for (size_t i = 0; i < n; i++)
        len += keys[i].len;
    start = attr_map_scratch(m, wire_rec_size(len));
    if (!start)
        return (struct slice){0};
    p = wire_put_header(start, 1, len);
    for (size_t i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        p = wire_put_slice(p, keys[i]);
    }
    return slice_of(start, (size_t)(p - start));
}

/* keys: n of them, with room for `extra` more behind; sorted, joined, put. */
static bool put_keys(struct attr_map *m, const char *name, struct slice *keys, size_t n, struct slice before)
{
    struct slice value;

    CHECK(keys);
    if (before.len)
        n += split(before, keys + n);
    qsort(keys, n, sizeof(*keys), by_bytes);
    value = joined(m, keys, n);
    if (!value.p)
        return false;
    attr_map_put(m, slice_str(name), value);
    return !m->out_of_memory;
}

static bool put_count(struct attr_map *m, const char *name, size_t n)
{
    const struct attr_entry *e = attr_map_find(m, slice_str(name));
    struct any v = {0};
    uint8_t *p;

    if (e)
        v = wire_any(e->value);
    p = attr_map_scratch(m, 11);
    if (!p)
        return false;
    p[0] = 3 << 3;
    n += v.type == ANY_INT ? (uint64_t)v.i : 0;
    attr_map_put(m, slice_str(name), slice_of(p, 1 + varint_put(p + 1, n)));
    return !m->out_of_memory;
}

static const struct {
    const char *keys, *count;
} summary_names[MARKS] = {
    [MARK_DELETED] = {"redaction.redacted.keys", "redaction.redacted.count"},
    [MARK_MASKED] = {"redaction.masked.keys", "redaction.masked.count"},
    [MARK_ALLOWED] = {"redaction.allowed.keys", "redaction.allowed.count"},
    [MARK_IGNORED] = {NULL, "redaction.ignored.count"},
};

bool summary_collect(struct attr_map *m, const uint8_t *marks, struct marked *k)
{
    for (int mark = MARK_DELETED; mark < MARKS; mark++) {
        struct slice before = {0};
        size_t n = 0;

        if (k->n[mark] == 0 || !summary_names[mark].keys)
            continue;
        before = old_keys(m, slice_str(summary_names[mark].keys));
        k->keys[mark] = (struct slice *)(void *)attr_map_scratch(
            m, (k->n[mark] + count_commas(before) + 1) * sizeof(struct slice));
        if (!k->keys[mark])
            return false;
        for (size_t i = 0; i < m->n; i++)
            if (marks[i] == mark)
                k->keys[mark][n++] = m->v[i].key;
    }
    return true;
}

bool summary_put(struct attr_map *m, struct marked *k, bool debug)
{
    for (int mark = MARK_DELETED; mark < MARKS; mark++) {
        const char *keys = summary_names[mark].keys;

        if (k->n[mark] == 0)
            continue;
        if (debug && keys && !put_keys(m, keys, k->keys[mark], k->n[mark], old_keys(m, slice_str(keys))))
            return false;
        if (!put_count(m, summary_names[mark].count, k->n[mark]))
            return false;
    }
    return true;
}
