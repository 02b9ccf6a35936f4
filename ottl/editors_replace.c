/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Editors that replace text: parts that a regular expression matches, or wholes that a glob
 * matches, in one value or in all of a map. A function named as an argument makes the new text of
 * the replacement, and a format puts something around it.
 *
 * Order: format, regular expressions, globs, editors. Limits: OTTL_SCRATCH_BYTES for one result.
 */
#include <stdlib.h>

#include "model/wire_checked.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/glob.h"
#include "ottl/key_index.h"

#define EDITOR(name)                                                                               \
    static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *none)

/* One call of an editor: its arguments, where they stand among the parameters. */
struct job {
    struct ottl_eval *e;
    const struct node *n;
    unsigned function, format; /* parameters */
    const struct regex *re;
    struct regex *own;
    struct slice replacement;
    struct buf text; /* the result as it grows */
    bool failed;
};

/* ---- function and format ---- */

/* Is there a %s, and no other use of %? */
static bool format_fine(struct slice f)
{
    size_t percents = 0, texts = 0;

    for (size_t i = 0; i < f.len; i++) {
        percents += f.p[i] == '%';
        texts += f.p[i] == '%' && i + 1 < f.len && f.p[i + 1] == 's';
    }
    return texts > 0 && texts == percents;
}

/* The value in place of the first %s, what Go prints for want of another one in place of the rest.
 */
static int add_formatted(struct buf *out, struct slice format, struct slice value)
{
    bool used = false;

    for (size_t i = 0; i < format.len; i++) {
        int rc;

        if (format.p[i] != '%')
            rc = buf_add(out, format.p + i, 1);
        else if (i++, used)
            rc = buf_add(out, "%!s(MISSING)", 12);
        else
            rc = buf_add(out, value.p, value.len);
        used |= format.p[i] == 's' && i && format.p[i - 1] == '%';
        if (rc)
            return -1;
    }
    return 0;
}

/* What the function and the format make of the replacement, in scratch. */
static bool apply(struct job *j, struct slice s, struct slice *out)
{
    struct ottl_value format, v;
    struct buf b = {.max = OTTL_SCRATCH_BYTES};
    bool fine;

    if (!arg_apply(j->e, j->n, j->function, s, out))
        return false;
    if (!arg(j->e, j->n, j->format, &format))
        return false;
    if (format.type == OTTL_ABSENT)
        return true;
    if (!format_fine(format.s))
        return ottl_fail(j->e, "replacementFormat must be format string containing a single %%s "
                               "and no other format specifiers");
    fine = add_formatted(&b, format.s, *out) == 0 && buf_add(ottl_text(j->e), b.p, b.len) == 0;
    buf_free(&b);
    if (!fine)
        return ottl_too_long(j->e);
    if (!ottl_keep_text(j->e, OTTL_STR, &v))
        return false;
    *out = v.s;
    return true;
}

/* ---- regular expressions ---- */

static bool digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool name_char(uint8_t c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || digit(c) || c == '_';
}

/* The group a name stands for: a number, or the first of that name that took part; -1: none. */
static long group_of(const struct regex *re, struct slice name, const struct slice *groups,
                     size_t n)
{
    long number = 0;

    for (size_t i = 0; i < name.len; i++) {
        if (!digit(name.p[i]) || number >= 100000000)
            number = -1;
        if (number < 0)
            break;
        number = number * 10 + (name.p[i] - '0');
    }
    if (number >= 0 && !(name.p[0] == '0' && name.len > 1))
        return (size_t)number < n ? number : -1;
    for (size_t i = 1; i < n; i++) {
        const char *own = regex_group_name(re, i);

        if (own && slice_eq(slice_str(own), name) && groups[i].p)
            return (long)i;
    }
    return -1;
}

/* $name or ${name} at the start of t: the name, and how long it all is; 0: it is none. */
static size_t reference(struct slice t, struct slice *name)
{
    bool braces = t.len > 1 && t.p[1] == '{';
    size_t from = braces ? 2 : 1, to = from;

    while (to < t.len && name_char(t.p[to]))
        to++;
    *name = slice_of(t.p + from, to - from);
    if (to == from || (braces && (to == t.len || t.p[to] != '}')))
        return 0;
    return to + braces;
}

/* Go's Expand. */
static int expand(const struct job *j, const struct slice *groups, size_t n, struct buf *out)
{
    struct slice t = j->replacement, name;

    while (t.len) {
        const uint8_t *dollar = memchr(t.p, '$', t.len);
        size_t plain = dollar ? (size_t)(dollar - t.p) : t.len, len;

        if (buf_add(out, t.p, plain))
            return -1;
        t = slice_of(t.p + plain, t.len - plain);
        if (!t.len)
            break;
        if (t.len > 1 && t.p[1] == '$') {
            len = 2;
        } else {
            len = reference(t, &name);
            if (len) {
                long g = group_of(j->re, name, groups, n);

                if (g >= 0 && groups[g].p && buf_add(out, groups[g].p, groups[g].len))
                    return -1;
                t = slice_of(t.p + len, t.len - len);
                continue;
            }
            len = 1; /* no reference: as it stands */
        }
        if (buf_add(out, "$", 1))
            return -1;
        t = slice_of(t.p + len, t.len - len);
    }
    return 0;
}

static int on_match(void *ctx, const struct slice *groups, size_t n, struct buf *out)
{
    return expand(ctx, groups, n, out);
}

static int on_match_applied(void *ctx, const struct slice *groups, size_t n, struct buf *out)
{
    struct job *j = ctx;
    struct buf b = {.max = OTTL_SCRATCH_BYTES};
    struct slice with;
    int rc = expand(j, groups, n, &b);

    if (rc == 0)
        j->failed = !apply(j, slice_of(b.p, b.len), &with);
    buf_free(&b);
    return rc || j->failed || buf_add(out, with.p, with.len) ? -1 : 0;
}

static int on_plain_match(void *ctx, struct slice match, struct buf *out)
{
    const struct job *j = ctx;

    (void)match;
    return buf_add(out, j->replacement.p, j->replacement.len);
}

/* Appends s with its matches replaced. -1: too long, or j->failed. */
static int put_replaced(struct job *j, struct slice s, struct buf *out)
{
    if (j->n->args[j->function])
        return regex_replace_groups(j->re, s, out, on_match_applied, j);
    if (j->replacement.len && memchr(j->replacement.p, '$', j->replacement.len))
        return regex_replace_groups(j->re, s, out, on_match, j);
    return regex_replace(j->re, s, out, on_plain_match, j);
}

/* *out: s with its matches replaced; s itself, the same pointer, without any. */
static bool replaced(struct job *j, struct slice s, struct slice *out)
{
    struct ottl_value v;

    *out = s;
    if (LIKELY(!regex_search(j->re, s, 0, NULL, NULL)))
        return true;
    buf_clear(&j->text);
    if (put_replaced(j, s, &j->text) < 0)
        return j->failed ? false : ottl_too_long(j->e);
    if (buf_add(ottl_text(j->e), j->text.p, j->text.len))
        return ottl_too_long(j->e);
    if (!ottl_keep_text(j->e, OTTL_STR, &v))
        return false;
    *out = v.s;
    return true;
}

/* ---- globs ---- */

static bool matched(struct job *j, struct slice s, struct slice *out)
{
    *out = s;
    if (!regex_search(j->re, s, 0, NULL, NULL))
        return true;
    if (j->n->args[j->function])
        return apply(j, j->replacement, out);
    *out = j->replacement;
    return true;
}

static int prepare_glob(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *pattern = arg_constant(n, 1);
    struct buf b = {.max = OTTL_SCRATCH_BYTES};
    struct err why;
    int rc = 0;

    if (!pattern)
        return 0;
    rc = glob_regex(pattern->s, &b, &why);
    n->re = rc == 0 ? compile_regex(k, slice_str((char *)b.p), &why) : NULL;
    buf_free(&b);
    return n->re ? 0
                 : err_set(err, "'%.*s' is not a valid pattern: %s",
                           (int)(pattern->s.len < 200 ? pattern->s.len : 200), pattern->s.p,
                           why.text);
}

static bool glob_now(struct job *j, unsigned pattern)
{
    struct buf b = {.max = OTTL_SCRATCH_BYTES};
    struct ottl_value v;
    struct err why;

    if (!arg(j->e, j->n, pattern, &v))
        return false;
    if (glob_regex(v.s, &b, &why) == 0)
        j->re = j->own = regex_new_of_data((char *)b.p, &why);
    buf_free(&b);
    return j->re || ottl_fail(j->e, "'%.*s' is not a valid pattern: %s",
                              (int)(v.s.len < 80 ? v.s.len : 80), v.s.p, why.text);
}

/* ---- editors ---- */

typedef bool change_fn(struct job *j, struct slice s, struct slice *out);

/* Parameters from `pattern` on: pattern, replacement, function, format. */
static bool job_open(struct job *j, unsigned pattern, bool glob)
{
    struct ottl_value v;

    j->function = pattern + 2;
    j->format = pattern + 3;
    if (!glob)
        j->re = arg_regex(j->e, j->n, pattern, &j->own);
    else if (j->n->re)
        j->re = j->n->re;
    else if (!glob_now(j, pattern))
        return false;
    if (!j->re || !arg(j->e, j->n, pattern + 1, &v))
        return false;
    j->replacement = v.s;
    return true;
}

static bool in_value(struct job *j, change_fn *change)
{
    const struct node *path = j->n->args[0];
    struct ottl_value v;
    struct slice now;

    if (!path->eval(j->e, path, &v))
        return false;
    if (v.type != OTTL_STR)
        return true;
    if (!change(j, v.s, &now))
        return false;
    return now.p == v.s.p ||
           path->set(j->e, path, &(struct ottl_value){.type = OTTL_STR, .s = now});
}

static bool in_values(struct job *j, struct attr_map *m, change_fn *change)
{
    for (size_t i = 0; i < m->n; i++) {
        struct any v = wire_any(m->v[i].value);
        struct slice now, body;

        if (v.type != ANY_STR)
            continue;
        if (!change(j, v.bytes, &now))
            return false;
        if (now.p == v.bytes.p)
            continue;
        if (!draft_value(j->e, m, &(struct ottl_value){.type = OTTL_STR, .s = now}, &body))
            return false;
        attr_map_set(m, &m->v[i], body);
    }
    return true;
}

/* Entry i with its new key, in front of those not yet looked at. */
static bool in_key(struct job *j, struct attr_map *m, size_t i, struct key_index *x)
{
    struct attr_entry a = m->v[i], *same;
    struct slice now;

    if (!replaced(j, a.key, &now))
        return false;
    if (now.p != a.key.p) {
        if (!draft_text(j->e, m, now, &a.key))
            return false;
        a.rec = (struct slice){0};
        m->changed = true;
    }
    same = key_index_find(x, a.key);
    if (same) {
        attr_map_set(m, same, a.value);
        return true;
    }
    m->v[x->n] = a;
    return key_index_more(x);
}

/* The map anew: an entry whose new key is there already takes its place. */
static bool in_keys(struct job *j, struct attr_map *m)
{
    struct key_index x;
    size_t i = 0, kept;

    if (!key_index_of(&x, j->e, m, 0))
        return false;
    while (i < m->n && in_key(j, m, i, &x))
        i++;
    kept = x.n;
    memmove(&m->v[kept], &m->v[i], (m->n - i) * sizeof(*m->v));
    m->n -= i - kept;
    return kept == m->n;
}

static bool any_match(const struct job *j, const struct attr_map *m, bool keys)
{
    for (size_t i = 0; i < m->n; i++) {
        struct any v =
            keys ? (struct any){.type = ANY_STR, .bytes = m->v[i].key} : wire_any(m->v[i].value);

        if (v.type == ANY_STR && regex_search(j->re, v.bytes, 0, NULL, NULL))
            return true;
    }
    return false;
}

/* Is there anything to do? Keys that stand twice become one. */
static bool worth_it(struct job *j, struct attr_map *m, bool keys)
{
    struct key_index x;

    if (any_match(j, m, keys))
        return true;
    return keys && (!key_index_of(&x, j->e, m, m->n) || x.repeats);
}

static bool in_map(struct job *j, change_fn *change, bool keys)
{
    const struct node *path = j->n->args[0];
    struct attr_map *m = map_open(j->e, path);
    bool fine = true;

    if (!m)
        return false;
    if (worth_it(j, m, keys))
        fine = keys ? in_keys(j, m) : in_values(j, m, change);
    return map_close(j->e, path, m) && fine;
}

static bool run(struct ottl_eval *e, const struct node *n, unsigned pattern, bool glob, bool map,
                bool keys)
{
    struct job j = {.e = e, .n = n, .text.max = OTTL_SCRATCH_BYTES};
    change_fn *change = glob ? matched : replaced;
    bool fine = job_open(&j, pattern, glob);

    if (fine)
        fine = map ? in_map(&j, change, keys) : in_value(&j, change);
    buf_free(&j.text);
    if (j.own)
        regex_free(&j.own);
    return fine;
}

EDITOR(replace_pattern)
{
    (void)none;
    return run(e, n, 1, false, false, false);
}

EDITOR(replace_match)
{
    (void)none;
    return run(e, n, 1, true, false, false);
}

EDITOR(replace_all_matches)
{
    (void)none;
    return run(e, n, 1, true, true, false);
}

EDITOR(replace_all_patterns)
{
    (void)none;
    return run(e, n, 2, false, true, arg_constant(n, 1)->s.len == 3);
}

static int check_mode(struct compiler *k, struct node *n, struct err *err)
{
    struct slice s = arg_constant(n, 1)->s;

    (void)k;
    if (slice_eq(s, slice_str("key")) || slice_eq(s, slice_str("value")))
        return 0;
    return err_set(err, "invalid mode %.*s, must be either 'key' or 'value'",
                   (int)(s.len < 60 ? s.len : 60), s.p);
}

#define WITH                                                                                       \
    P("replacement", ARG_STR), OPTIONAL("function", ARG_FUNCTION),                                 \
        OPTIONAL("replacement_format", ARG_STR)

const struct func replace_editors[] = {
    {"replace_pattern",
     replace_pattern,
     {P("target", ARG_TARGET), P("regex_pattern", ARG_REGEX), WITH},
     NULL},
    {"replace_match",
     replace_match,
     {P("target", ARG_TARGET), P("pattern", ARG_STR), WITH},
     prepare_glob},
    {"replace_all_matches",
     replace_all_matches,
     {P("target", ARG_TARGET), P("pattern", ARG_STR), WITH},
     prepare_glob},
    {"replace_all_patterns",
     replace_all_patterns,
     {P("target", ARG_TARGET), P("mode", ARG_TEXT), P("regex_pattern", ARG_REGEX), WITH},
     check_mode},
    {.name = NULL},
};
