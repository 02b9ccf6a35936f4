/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding: strict, as the Collector is. A string is not a number, a number is not a string, 0 is
 * not false. What is a null depends on the row: a scalar becomes its zero value (which is rarely
 * meant, hence a warning when the default is another one), a list becomes empty, a section keeps
 * its defaults.
 *
 * Nothing stops at the first mistake: each goes to the diags with its place, and decoding goes on.
 */
#include "config/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/describe.h"
#include "config/scalar.h"
#include "config/unknown_key.h"
#include "config/yaml.h"

/* One value on its way into one field. */
struct slot {
    const struct decoder *d;
    const struct path *path;
    const struct key *key;
    const struct node *n;
    void *field;
    bool is_default; /* n comes from the row itself */
};

const char *path_text(struct arena *a, const struct path *p)
{
    if (!p)
        return "";
    const char *up = path_text(a, p->up);
    if (!p->name)
        return arena_printf(a, "%s[%zu]", up, p->index);
    return arena_printf(a, "%s%s%s", up, up[0] ? "." : "", p->name);
}

const struct key *key_find(const struct key *keys, const char *name)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    for (const struct key *k = keys; k->type != KEY_T_END; k++)
        if (k->old_name && strcmp(k->old_name, name) == 0)
            return k;
    return NULL;
}

static void complain(const struct slot *s, enum severity severity, const struct node *n, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void complain(const struct slot *s, enum severity severity, const struct node *n, const char *fmt, ...)
{
    struct buf hint = {0};
    va_list ap;
    key_put_line(&hint, s->key);
    buf_putc(&hint, 0);
    va_start(ap, fmt);
    diag_addv(s->d->diags, severity, n->at, path_text(s->d->arena, s->path), (const char *)hint.p, fmt, ap);
    va_end(ap);
    buf_free(&hint);
}

static void wrong_type(const struct slot *s, const struct node *n, const char *wanted)
{
    if (n->type == NODE_STR && strlen(n->text) > 60)
        complain(s, DIAG_ERROR, n, "expected %s, this is a string", wanted);
    else if (n->text && n->type != NODE_NULL)
        complain(s, DIAG_ERROR, n, "expected %s, \"%s\" is %s", wanted, n->text, node_type_name(n));
    else
        complain(s, DIAG_ERROR, n, "expected %s, this is %s", wanted, node_type_name(n));
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
    complain(s, DIAG_ERROR, s->n, "%.*s is out of range: %.*s", (int)value.len, (char *)value.p, (int)range.len, (char *)range.p);
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
        wrong_type(s, s->n, "true or false");
}

/* The number as the Collector cuts it; false (and a complaint) when it is none or does not fit. */
static bool integer_of(const struct slot *s, int64_t *i, uint64_t *u)
{
    const struct node *n = s->n;
    *i = n->type == NODE_INT ? n->i : 0;
    *u = n->type == NODE_INT ? n->u : 0;
    if (n->type == NODE_FLOAT) {
        if (!(n->d > -9.2e18 && n->d < 1.8e19)) {
            complain(s, DIAG_ERROR, n, "%s is too large for an integer", n->text);
            return false;
        }
        *i = n->d < 9.2e18 ? (int64_t)n->d : INT64_MAX;
        *u = n->d > 0 ? (uint64_t)n->d : 0;
        if (!s->is_default && floor(n->d) != n->d)
            complain(s, DIAG_WARNING, n, "%s is cut to %lld", n->text, (long long)*i);
    } else if (n->type != NODE_INT && n->type != NODE_NULL) {
        wrong_type(s, n, "an integer");
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
        complain(s, DIAG_ERROR, s->n, "%s is too large for an integer", s->n->text);
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
        complain(s, DIAG_ERROR, s->n, "%s must not be negative", s->n->text);
    else if (in_range(s, (double)u))
        *(uint64_t *)s->field = u;
}

static void set_double(const struct slot *s)
{
    const struct node *n = s->n;
    double v = n->type == NODE_FLOAT ? n->d : n->type != NODE_INT ? 0 : n->big ? (double)n->u : (double)n->i;
    if (n->type != NODE_FLOAT && n->type != NODE_INT && n->type != NODE_NULL)
        wrong_type(s, n, "a number");
    else if (isnan(v) && s->key->min <= s->key->max)
        complain(s, DIAG_ERROR, n, "%s is not a number", n->text);
    else if (in_range(s, v))
        *(double *)s->field = v;
}

/* A bare number means nanoseconds, which surprises everyone: say so. */
static void warn_bare(const struct slot *s, int64_t ns)
{
    if (ns && !s->is_default)
        complain(s, DIAG_WARNING, s->n, "%s without a unit means nanoseconds; for seconds write %ss", s->n->text, s->n->text);
}

static void set_duration(const struct slot *s)
{
    const struct node *n = s->n;
    const char *why;
    int64_t ns = 0;
    if (n->type == NODE_STR) {
        if (duration_parse(n->text, &ns, &why)) {
            complain(s, DIAG_ERROR, n, "\"%.60s\": %s", n->text, why);
            return;
        }
    } else if (n->type == NODE_INT || n->type == NODE_FLOAT) {
        uint64_t u;
        if (!integer_of(s, &ns, &u))
            return;
        warn_bare(s, ns);
    } else if (n->type != NODE_NULL) {
        wrong_type(s, n, "a duration such as 30s");
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
        wrong_type(s, s->n, s->n->type == NODE_SEQ || s->n->type == NODE_MAP ? "a string" : "a string (put it in quotes)");
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
        wrong_type(s, s->n, "a string");
        return;
    }
    for (size_t i = 0; k->choices[i]; i++)
        if ((k->any_case ? strcasecmp(k->choices[i], text) : strcmp(k->choices[i], text)) == 0) {
            *(const char **)s->field = k->choices[i];
            return;
        }
    const char *near = nearest_name(text, choice_at, k->choices);
    complain(s, DIAG_ERROR, s->n, "\"%.60s\" is not a choice%s%s%s", text, near ? ", did you mean \"" : "", near ? near : "",
             near ? "\"?" : "");
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
                wrong_type(&item, n->items[i], "a string (put it in quotes)");
        }
        out->v = v;
    } else if (n->type != NODE_NULL) {
        wrong_type(s, n, "a list of strings");
    }
}

static void add_pair(const struct slot *s, struct pair *v, size_t *count, const char *name, struct pos at, const struct node *value)
{
    const char *text = "";
    struct path here = {s->path, name, 0};
    struct slot item = *s;
    item.path = &here;
    if (value->type == NODE_BAD)
        return;
    if (!decode_string(value, &text)) {
        wrong_type(&item, value, "a string (put it in quotes)");
        return;
    }
    for (size_t i = 0; i < *count; i++)
        if (strcmp(v[i].name, name) == 0) {
            diag_error(s->d->diags, at, path_text(s->d->arena, s->path), NULL, "\"%s\" is given twice", name);
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
        wrong_type(&item, n, "a map of name and value");
        return;
    }
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->entries[i].key, "name") != 0 && strcmp(n->entries[i].key, "value") != 0)
            diag_error(s->d->diags, n->entries[i].at, path_text(s->d->arena, &here), NULL,
                       "unknown key \"%s\": an entry has name and value", n->entries[i].key);
    const struct entry *e = node_find(n, "name"), *value = node_find(n, "value");
    struct node empty = {.type = NODE_NULL, .at = n->at};
    if (!e || !decode_string(e->value, &name) || !name[0])
        diag_error(s->d->diags, n->at, path_text(s->d->arena, &here), NULL, "an entry needs a name");
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
            wrong_type(s, n, "a map, or a list of {name, value}");
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

static void set_list(const struct slot *s)
{
    const struct node *n = s->n;
    struct item_list *out = s->field;
    *out = (struct item_list){0};
    if (n->type != NODE_SEQ) {
        if (n->type != NODE_NULL)
            wrong_type(s, n, "a list");
        return;
    }
    char *v = arena_alloc(s->d->arena, (n->n + 1) * s->key->sub_size);
    for (size_t i = 0; i < n->n; i++) {
        struct path at = {s->path, NULL, i};
        struct slot item = *s;
        item.path = &at;
        if (n->items[i]->type == NODE_MAP || n->items[i]->type == NODE_NULL || n->items[i]->type == NODE_BAD)
            decode_struct(s->d, &at, n->items[i]->at, s->key->sub, n->items[i], v + i * s->key->sub_size);
        else
            wrong_type(&item, n->items[i], "a map");
    }
    *out = (struct item_list){v, n->n};
}

struct value decode_any(const struct decoder *d, const struct node *n)
{
    static const enum value_type types[] = {
        [NODE_NULL] = VALUE_NULL, [NODE_BOOL] = VALUE_BOOL, [NODE_INT] = VALUE_INT,  [NODE_FLOAT] = VALUE_DOUBLE,
        [NODE_TIME] = VALUE_STR,  [NODE_STR] = VALUE_STR,   [NODE_SEQ] = VALUE_LIST, [NODE_MAP] = VALUE_MAP,
        [NODE_BAD] = VALUE_NULL,
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

/* ---- sections ---- */

static void decode_keys(const struct decoder *d, const struct path *path, const struct key *keys, const struct key *parent,
                        const struct node *n, char *to);

/* `enabled:` of an optional section; true when absent. */
static bool section_enabled(const struct slot *s)
{
    const struct entry *e = node_find(s->n, "enabled");
    struct path here = {s->path, "enabled", 0};
    if (!e || e->value->type == NODE_BAD)
        return true;
    if (e->value->type == NODE_BOOL)
        return e->value->i;
    diag_error(s->d->diags, e->value->at, path_text(s->d->arena, &here), "enabled: true or false. Turns the section on or off.",
               "expected true or false, this is %s", node_type_name(e->value));
    return true;
}

/* The defaults of the section are in place already. base is the parent's struct. */
static void set_section(const struct slot *s, char *base)
{
    const struct key *k = s->key;
    bool own_enabled = key_find(k->sub, "enabled") != NULL;
    if (s->n->type != NODE_MAP && s->n->type != NODE_NULL) {
        wrong_type(s, s->n, "a map");
        return;
    }
    if (k->mode != SECTION_PLAIN) {
        bool *enabled = (bool *)(base + k->enabled_offset);
        if (s->n->type == NODE_MAP || k->mode != SECTION_OFF)
            *enabled = own_enabled || section_enabled(s);
        /* what stands in a section that is off is read all the same, as the Collector does */
    }
    if (s->n->type == NODE_MAP)
        decode_keys(s->d, s->path, k->sub, k->mode != SECTION_PLAIN && !own_enabled ? k : NULL, s->n, base + k->offset);
}

/* ---- rows ---- */

/* Nothing is asked for: a null, [] or enabled: false. */
static bool turned_off(const struct node *n)
{
    const struct entry *e = node_find(n, "enabled");
    return n->type == NODE_NULL || (n->type == NODE_SEQ && n->n == 0) || (e && e->value->type == NODE_BOOL && !e->value->i);
}

static void warn_null(const struct slot *s)
{
    const char *zero = s->key->type == KEY_T_DURATION ? "0s" : s->key->type == KEY_T_BOOL ? "false" : "0";
    bool text = s->key->type == KEY_T_STR || s->key->type == KEY_T_ENUM || s->key->type == KEY_T_SECRET;
    if (s->is_default || !s->key->dflt || (text && s->n->raw) || strcmp(s->key->dflt, zero) == 0 || !s->key->dflt[0])
        return;
    complain(s, DIAG_WARNING, s->n, "nothing stands here, which means %s and not the default %s", text ? "\"\"" : zero, s->key->dflt);
}

static void set_field(const struct slot *s, char *base)
{
    struct slot here = *s;
    here.field = base + s->key->offset;
    if (s->n->type == NODE_BAD)
        return;
    if (s->n->type == NODE_NULL && s->key->type >= KEY_T_BOOL && s->key->type <= KEY_T_SECRET)
        warn_null(s);
    switch (s->key->type) {
    case KEY_T_BOOL: set_bool(&here); break;
    case KEY_T_INT: set_int(&here); break;
    case KEY_T_UINT: set_uint(&here); break;
    case KEY_T_DOUBLE: set_double(&here); break;
    case KEY_T_DURATION: set_duration(&here); break;
    case KEY_T_STR:
    case KEY_T_SECRET: set_str(&here); break;
    case KEY_T_ENUM: set_enum(&here); break;
    case KEY_T_STRS: set_strs(&here); break;
    case KEY_T_PAIRS: set_pairs(&here); break;
    case KEY_T_SECTION: set_section(&here, base); break;
    case KEY_T_LIST: set_list(&here); break;
    case KEY_T_VALUE: *(struct value *)here.field = decode_any(s->d, s->n); break;
    case KEY_T_IGNORED:
        if (s->key->warn)
            complain(s, DIAG_WARNING, s->n, "accepted, but it has no effect here");
        break;
    case KEY_T_NOT_YET:
        if (!turned_off(s->n))
            complain(s, DIAG_ERROR, s->n, "not supported yet");
        break;
    case KEY_T_END: break;
    }
}

/* The row's default as a node; NULL when the zero value is it. */
static const struct node *default_node(const struct decoder *d, const struct key *k)
{
    if (!k->dflt)
        return NULL;
    struct node *n = node_new(d->arena, NODE_STR, (struct pos){0});
    n->text = k->dflt;
    bool text = k->type == KEY_T_STR || k->type == KEY_T_ENUM || k->type == KEY_T_SECRET;
    if (k->dflt[0] == '[' || k->dflt[0] == '{' || k->dflt[0] == '"') {
        struct pos nowhere = {0};
        const struct node *parsed = yaml_parse(d->arena, &nowhere, true, slice_str(k->dflt), NULL);
        CHECK(parsed);
        return parsed;
    }
    if (!text)
        scalar_resolve(n);
    return n;
}

static void set_defaults(const struct decoder *d, const struct path *path, const struct key *keys, char *to)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        struct path here = {path, k->name, 0};
        if (k->type == KEY_T_SECTION) {
            set_defaults(d, &here, k->sub, to + k->offset);
            if (k->mode != SECTION_PLAIN)
                *(bool *)(to + k->enabled_offset) = k->mode == SECTION_ON;
            continue;
        }
        const struct node *n = default_node(d, k);
        struct slot s = {d, &here, k, n, NULL, true};
        if (n)
            set_field(&s, to);
    }
}

static void decode_entry(const struct decoder *d, const struct path *path, const struct key *keys, const struct key *parent,
                         const struct entry *e, char *to)
{
    const struct key *k = key_find(keys, e->key);
    struct path here = {path, e->key, 0};
    if (!k) {
        if (!parent || strcmp(e->key, "enabled") != 0)
            unknown_key(d->diags, path_text(d->arena, &here), e->at, keys, d->whole ? d->whole : keys, e->key);
        return;
    }
    struct slot s = {d, &here, k, e->value, NULL, false};
    if (strcmp(k->name, e->key) != 0)
        diag_warn(d->diags, e->at, path_text(d->arena, &here), NULL, "this key is now called \"%s\"", k->name);
    if (k->set_offset_valid)
        *(bool *)(to + k->set_offset) = true;
    set_field(&s, to);
}

/* parent: the row of the optional section whose keys these are (it has a key `enabled`), else NULL. */
static void decode_keys(const struct decoder *d, const struct path *path, const struct key *keys, const struct key *parent,
                        const struct node *n, char *to)
{
    for (size_t i = 0; i < n->n; i++)
        decode_entry(d, path, keys, parent, &n->entries[i], to);
}

static bool given(const struct node *n, const struct key *k)
{
    return n && (node_find(n, k->name) || (k->old_name && node_find(n, k->old_name)));
}

/* Required keys of this level and of the plain sections and enabled sections that were written. */
static void look_for_missing(const struct decoder *d, const struct path *path, struct pos at, const struct key *keys,
                             const struct node *n, const char *to)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        struct path here = {path, k->name, 0};
        struct slot s = {d, &here, k, &(struct node){.at = at}, NULL, false};
        const struct entry *e = node_find(n, k->name);
        if (k->required && !given(n, k))
            complain(&s, DIAG_ERROR, s.n, "this key is required");
        if (k->type == KEY_T_SECTION && (k->mode == SECTION_PLAIN ? e != NULL : *(const bool *)(to + k->enabled_offset)))
            look_for_missing(d, &here, e ? e->at : at, k->sub, e ? e->value : NULL, to + k->offset);
    }
}

void decode_struct(const struct decoder *d, const struct path *path, struct pos at, const struct key *keys,
                   const struct node *n, void *to)
{
    set_defaults(d, path, keys, to);
    if (n && n->type == NODE_BAD)
        return;
    if (n && n->type == NODE_MAP)
        decode_keys(d, path, keys, NULL, n, to);
    look_for_missing(d, path, at, keys, n, to);
}
