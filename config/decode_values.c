/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single values: strict, as the Collector is. A string is not a number, a number is not a string, 0
 * is not false. A null becomes the zero value, which is rarely meant, hence a warning when the
 * default is another one. A wrong value leaves the field as it was.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "config/decode_priv.h"
#include "config/describe.h"
#include "config/ids.h"
#include "config/scalar.h"
#include "platform/nearest.h"

void slot_complain(const struct slot *s, enum severity severity, const struct node *n,
                   const char *fmt, ...)
{
    struct buf hint = {0};
    va_list ap;
    key_put_line(&hint, s->key);
    buf_putc(&hint, 0);
    va_start(ap, fmt);
    diag_addv(s->d->diags, severity, n->at, path_text(s->d->diags->arena, s->path),
              (const char *)hint.p, fmt, ap);
    va_end(ap);
    buf_free(&hint);
}

void slot_wrong_type(const struct slot *s, const struct node *n, const char *wanted)
{
    bool secret = s->key->type == KEY_T_SECRET || s->key->secret;
    if (n->type == NODE_STR && strlen(n->text) > 60)
        slot_complain(s, DIAG_ERROR, n, "expected %s, this is a string", wanted);
    else if (n->text && n->type != NODE_NULL && !secret)
        slot_complain(s, DIAG_ERROR, n, "expected %s, \"%s\" is %s", wanted, n->text,
                      node_type_name(n));
    else
        slot_complain(s, DIAG_ERROR, n, "expected %s, this is %s", wanted, node_type_name(n));
}

static const char *keep(const struct slot *s, const char *text)
{
    return arena_dup_n(s->d->arena, text, strlen(text));
}

bool decode_string(const struct node *n, const char **s)
{
    if (n->raw)
        *s = n->raw;
    else if (n->type == NODE_STR)
        *s = n->text;
    else if (n->type == NODE_NULL)
        *s = "";
    else
        return false;
    return true;
}

/* ---- scalars ---- */

static bool in_range(const struct slot *s, double v)
{
    const struct key *k = s->key;
    if (s->is_default || k->min > k->max || (v >= k->min && v <= k->max))
        return true;
    struct buf range = {0}, value = {0};
    key_put_range(&range, k);
    key_put_number(&value, k, v);
    slot_complain(s, DIAG_ERROR, s->n, "%.*s is out of range: %.*s", (int)value.len,
                  (char *)value.p, (int)range.len, (char *)range.p);
    buf_free(&range);
    buf_free(&value);
    return false;
}

static void set_bool(const struct slot *s)
{
    if (s->n->type == NODE_BOOL)
        *(bool *)s->field = s->n->i;
    else if (s->n->type == NODE_NULL)
        *(bool *)s->field = false;
    else
        slot_wrong_type(s, s->n, "true or false");
}

/* The number as the Collector cuts it; false (and a complaint) when it is none or does not fit. */
static bool integer_of(const struct slot *s, int64_t *i, uint64_t *u)
{
    const struct node *n = s->n;
    *i = n->type == NODE_INT ? n->i : 0;
    *u = n->type == NODE_INT ? n->u : 0;
    if (n->type == NODE_FLOAT) {
        if (!(n->d > -9.2e18 && n->d < 1.8e19)) {
            slot_complain(s, DIAG_ERROR, n, "%s is too large for an integer", n->text);
            return false;
        }
        *i = n->d < 9.2e18 ? (int64_t)n->d : INT64_MAX;
        *u = n->d > 0 ? (uint64_t)n->d : 0;
        if (!s->is_default && floor(n->d) != n->d)
            slot_complain(s, DIAG_WARNING, n, "%s is cut to %lld", n->text, (long long)*i);
    } else if (n->type != NODE_INT && n->type != NODE_NULL) {
        slot_wrong_type(s, n, "an integer");
        return false;
    }
    return true;
}

static void set_int(const struct slot *s)
{
    int64_t i;
    uint64_t u;
    if (!integer_of(s, &i, &u))
        return;
    if (s->n->big)
        slot_complain(s, DIAG_ERROR, s->n, "%s is too large for an integer", s->n->text);
    else if (in_range(s, (double)i))
        *(int64_t *)s->field = i;
}

static void set_uint(const struct slot *s)
{
    int64_t i;
    uint64_t u;
    if (!integer_of(s, &i, &u))
        return;
    if (i < 0 || (s->n->type == NODE_FLOAT && s->n->d < 0))
        slot_complain(s, DIAG_ERROR, s->n, "%s must not be negative", s->n->text);
    else if (in_range(s, (double)u))
        *(uint64_t *)s->field = u;
}

static void set_double(const struct slot *s)
{
    const struct node *n = s->n;
    double v = n->type == NODE_FLOAT ? n->d
               : n->type != NODE_INT ? 0
               : n->big              ? (double)n->u
                                     : (double)n->i;
    if (n->type != NODE_FLOAT && n->type != NODE_INT && n->type != NODE_NULL)
        slot_wrong_type(s, n, "a number");
    else if (isnan(v) && s->key->min <= s->key->max)
        slot_complain(s, DIAG_ERROR, n, "%s is not a number", n->text);
    else if (in_range(s, v))
        *(double *)s->field = v;
}

/* A bare number means nanoseconds, which surprises everyone: say so. */
static void warn_bare(const struct slot *s, int64_t ns)
{
    if (ns && !s->is_default)
        slot_complain(s, DIAG_WARNING, s->n,
                      "%s without a unit means nanoseconds; for seconds write %ss", s->n->text,
                      s->n->text);
}

static void set_duration(const struct slot *s)
{
    const struct node *n = s->n;
    const char *why;
    int64_t ns = 0;
    if (n->type == NODE_STR) {
        if (duration_parse(n->text, &ns, &why)) {
            slot_complain(s, DIAG_ERROR, n, "\"%.60s\": %s", n->text, why);
            return;
        }
    } else if (n->type == NODE_INT || n->type == NODE_FLOAT) {
        uint64_t u;
        if (!integer_of(s, &ns, &u))
            return;
        warn_bare(s, ns);
    } else if (n->type != NODE_NULL) {
        slot_wrong_type(s, n, "a duration such as 30s");
        return;
    }
    if (in_range(s, (double)ns))
        *(int64_t *)s->field = ns;
}

static void set_str(const struct slot *s)
{
    const char *text;
    if (decode_string(s->n, &text))
        *(const char **)s->field = keep(s, text);
    else
        slot_wrong_type(s, s->n,
                        s->n->type == NODE_SEQ || s->n->type == NODE_MAP
                            ? "a string"
                            : "a string (put it in quotes)");
}

static const char *choice_at(const void *choices, size_t i)
{
    return ((const char *const *)choices)[i];
}

static void set_enum(const struct slot *s)
{
    const struct key *k = s->key;
    const char *text;
    if (!decode_string(s->n, &text)) {
        slot_wrong_type(s, s->n, "a string");
        return;
    }
    for (size_t i = 0; k->choices[i]; i++)
        if ((k->any_case ? strcasecmp(k->choices[i], text) : strcmp(k->choices[i], text)) == 0) {
            *(const char **)s->field = k->choices[i];
            return;
        }
    const char *near = nearest_name(text, choice_at, k->choices);
    slot_complain(s, DIAG_ERROR, s->n, "\"%.60s\" is not a choice%s%s%s", text,
                  near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* ---- lists and maps ---- */

static void split_commas(const struct slot *s, const char *text, struct str_list *out)
{
    size_t n = 1;
    for (const char *p = text; *p; p++)
        n += *p == ',';
    const char **v = arena_alloc(s->d->arena, n * sizeof(*v));
    out->n = text[0] ? n : 0;
    out->v = v;
    for (size_t i = 0; i < out->n; i++) {
        size_t len = strcspn(text, ",");
        v[i] = arena_dup_n(s->d->arena, text, len);
        text += len + 1;
    }
}

static void set_strs(const struct slot *s)
{
    const struct node *n = s->n;
    struct str_list *out = s->field;
    *out = (struct str_list){0};
    if (n->type == NODE_STR) {
        split_commas(s, n->text, out);
    } else if (n->type == NODE_SEQ) {
        const char **v = arena_alloc(s->d->arena, (n->n + 1) * sizeof(*v));
        for (size_t i = 0; i < n->n; i++) {
            const char *text;
            struct path at = {s->path, NULL, i};
            struct slot item = *s;
            item.path = &at;
            if (n->items[i]->type == NODE_BAD)
                continue;
            if (decode_string(n->items[i], &text))
                v[out->n++] = keep(s, text);
            else
                slot_wrong_type(&item, n->items[i], "a string (put it in quotes)");
        }
        out->v = v;
    } else if (n->type != NODE_NULL) {
        slot_wrong_type(s, n, "a list of strings");
    }
}

static void add_pair(const struct slot *s, struct pair *v, size_t *count, const char *name,
                     struct pos at, const struct node *value)
{
    const char *text = "";
    struct path here = {s->path, name, 0};
    struct slot item = *s;
    item.path = &here;
    if (value->type == NODE_BAD)
        return;
    if (!decode_string(value, &text)) {
        slot_wrong_type(&item, value, "a string (put it in quotes)");
        return;
    }
    for (size_t i = 0; i < *count; i++)
        if (strcmp(v[i].name, name) == 0) {
            diag_error(s->d->diags, at, path_text(s->d->diags->arena, s->path), NULL,
                       "\"%s\" is given twice", name);
            return;
        }
    v[(*count)++] = (struct pair){keep(s, name), keep(s, text)};
}

/* {name: x, value: y} */
static void add_named_pair(const struct slot *s, struct pair *v, size_t *count, size_t index)
{
    const struct node *n = s->n->items[index];
    struct path here = {s->path, NULL, index};
    struct slot item = *s;
    const char *name = NULL;
    item.path = &here;
    if (n->type == NODE_BAD)
        return;
    if (n->type != NODE_MAP) {
        slot_wrong_type(&item, n, "a map of name and value");
        return;
    }
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->entries[i].key, "name") != 0 && strcmp(n->entries[i].key, "value") != 0)
            diag_error(s->d->diags, n->entries[i].at, path_text(s->d->diags->arena, &here), NULL,
                       "unknown key \"%s\": an entry has name and value", n->entries[i].key);
    const struct entry *e = node_find(n, "name"), *value = node_find(n, "value");
    struct node empty = {.type = NODE_NULL, .at = n->at};
    if (!e || !decode_string(e->value, &name) || !name[0])
        diag_error(s->d->diags, n->at, path_text(s->d->diags->arena, &here), NULL,
                   "an entry needs a name");
    else
        add_pair(s, v, count, name, e->at, value ? value->value : &empty);
}

static void set_pairs(const struct slot *s)
{
    const struct node *n = s->n;
    struct pair_list *out = s->field;
    *out = (struct pair_list){0};
    if (n->type != NODE_MAP && n->type != NODE_SEQ) {
        if (n->type != NODE_NULL)
            slot_wrong_type(s, n, "a map, or a list of {name, value}");
        return;
    }
    struct pair *v = arena_alloc(s->d->arena, (n->n + 1) * sizeof(*v));
    for (size_t i = 0; i < n->n; i++)
        if (n->type == NODE_SEQ)
            add_named_pair(s, v, &out->n, i);
        else
            add_pair(s, v, &out->n, n->entries[i].key, n->entries[i].at, n->entries[i].value);
    out->v = v;
}

struct value decode_any(const struct decoder *d, const struct node *n)
{
    static const enum value_type types[] = {
        [NODE_NULL] = VALUE_NULL,    [NODE_BOOL] = VALUE_BOOL, [NODE_INT] = VALUE_INT,
        [NODE_FLOAT] = VALUE_DOUBLE, [NODE_TIME] = VALUE_STR,  [NODE_STR] = VALUE_STR,
        [NODE_SEQ] = VALUE_LIST,     [NODE_MAP] = VALUE_MAP,   [NODE_BAD] = VALUE_NULL,
    };
    struct value v = {.type = types[n->type], .i = n->i, .d = n->d, .n = n->n};
    if (n->text)
        v.s = arena_dup_n(d->arena, n->text, strlen(n->text));
    if (n->big) { /* no 64-bit integer holds it */
        v.type = VALUE_DOUBLE;
        v.d = (double)n->u;
    }
    if (!n->n)
        return v;
    struct value *items = arena_alloc(d->arena, n->n * sizeof(*items));
    const char **names = arena_alloc(d->arena, n->n * sizeof(*names));
    for (size_t i = 0; i < n->n; i++) {
        items[i] = decode_any(d, n->type == NODE_MAP ? n->entries[i].value : n->items[i]);
        if (n->type == NODE_MAP)
            names[i] = arena_dup_n(d->arena, n->entries[i].key, strlen(n->entries[i].key));
    }
    v.items = items;
    v.names = n->type == NODE_MAP ? names : NULL;
    return v;
}

static void set_value(const struct slot *s)
{
    *(struct value *)s->field = decode_any(s->d, s->n);
}

/* An id in its one spelling; whether there is such an extension is looked at when all are known. */
static void set_extension(const struct slot *s)
{
    const char *text, *why;
    struct id id;
    if (s->n->type == NODE_NULL)
        *(const char **)s->field = NULL;
    else if (!decode_string(s->n, &text))
        slot_wrong_type(s, s->n, "the id of an extension");
    else if (!id_parse(s->d->arena, text, &id, &why))
        slot_complain(s, DIAG_ERROR, s->n, "\"%.60s\" is not an id: %s", text, why);
    else
        *(const char **)s->field = id.whole;
}

static void warn_null(const struct slot *s)
{
    const char *zero = s->key->type == KEY_T_DURATION ? "0s"
                       : s->key->type == KEY_T_BOOL   ? "false"
                                                      : "0";
    bool text =
        s->key->type == KEY_T_STR || s->key->type == KEY_T_ENUM || s->key->type == KEY_T_SECRET;
    if (s->is_default || !s->key->dflt || (text && s->n->raw) || strcmp(s->key->dflt, zero) == 0 ||
        !s->key->dflt[0])
        return;
    slot_complain(s, DIAG_WARNING, s->n,
                  "nothing stands here, which means %s and not the default %s",
                  text ? "\"\"" : zero, s->key->dflt);
}

void decode_value(const struct slot *s)
{
    static void (*const setters[])(const struct slot *s) = {
        [KEY_T_BOOL] = set_bool,     [KEY_T_INT] = set_int,           [KEY_T_UINT] = set_uint,
        [KEY_T_DOUBLE] = set_double, [KEY_T_DURATION] = set_duration, [KEY_T_STR] = set_str,
        [KEY_T_SECRET] = set_str,    [KEY_T_ENUM] = set_enum,         [KEY_T_STRS] = set_strs,
        [KEY_T_PAIRS] = set_pairs,   [KEY_T_VALUE] = set_value,
        [KEY_T_EXTENSION] = set_extension,
    };
    void (*set)(const struct slot *s) =
        s->key->type < ARRAY_LEN(setters) ? setters[s->key->type] : NULL;
    CHECK(set);
    if (s->n->type == NODE_NULL && s->key->null_is_default)
        return;
    if (s->n->type == NODE_NULL && s->key->type >= KEY_T_BOOL && s->key->type <= KEY_T_SECRET)
        warn_null(s);
    set(s);
}
