/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ExtractGrokPatterns: a regular expression put together from named ones, %{NAME:field:type}.
 *
 * The expression is expanded and compiled at start, bounded in depth and length; groups get numbers
 * as names, and a table says which field each is and of what type. The base patterns are in
 * grok_patterns.inc. Threads: expansion on main; matching on the eval's worker.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "ottl/call.h"
#include "ottl/map_build.h"

#define MOST_DEPTH  32
#define MOST_BYTES  (1 << 16)
#define MOST_FIELDS 1000
#define PREFIX      "grok_" /* of our groups' names; a number follows */

static const struct {
    const char *name, *text;
} base[] = {
#include "ottl/grok_patterns.inc"
};

struct grok_field {
    struct slice name, type;
};

struct grok {
    struct regex *re; /* the program's */
    struct grok_field *fields;
    size_t n;
    bool named_only;
    const struct node *own; /* definitions in the condition; may be NULL */
    struct buf text;        /* while expanding */
    struct err *err;
};

/* ---- expansion ---- */

static bool defines(struct slice definition, struct slice name, struct slice *text)
{
    const uint8_t *at = definition.len ? memchr(definition.p, '=', definition.len) : NULL;
    size_t len = at ? (size_t)(at - definition.p) : 0;

    if (!at || !slice_eq(slice_of(definition.p, len), name))
        return false;
    *text = slice_of(at + 1, definition.len - len - 1);
    return true;
}

static bool find(const struct grok *g, struct slice name, struct slice *text)
{
    for (size_t i = g->own ? g->own->n_args : 0; i-- > 0;)
        if (defines(g->own->args[i]->value.s, name, text))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(base); i++)
        if (slice_eq(slice_str(base[i].name), name)) {
            *text = slice_str(base[i].text);
            return true;
        }
    return false;
}

static size_t word_length(struct slice s, bool dots)
{
    size_t n = 0;

    while (n < s.len &&
           (s.p[n] == '_' || (dots && s.p[n] == '.') || (s.p[n] < 0x80 && isalnum(s.p[n]))))
        n++;
    return n;
}

struct reference {
    struct slice name, field, type;
    size_t len; /* with %{ and } */
};

/* %{NAME}, %{NAME:field}, %{NAME:field:type} at the start of s. */
static bool reference(struct slice s, struct reference *r)
{
    struct slice *parts[] = {&r->name, &r->field, &r->type};
    size_t at = 2;

    *r = (struct reference){.len = 0};
    if (s.len < 3 || s.p[0] != '%' || s.p[1] != '{')
        return false;
    for (unsigned i = 0; i < 3; i++) {
        *parts[i] = slice_of(s.p + at, word_length(slice_of(s.p + at, s.len - at), i == 1));
        at += parts[i]->len;
        if (parts[i]->len == 0 || at == s.len)
            return false;
        if (s.p[at] == '}') {
            r->len = at + 1;
            return true;
        }
        if (s.p[at++] != ':')
            return false;
    }
    return false;
}

static int add(struct grok *g, const char *s, size_t n)
{
    if (g->text.len + n > MOST_BYTES || buf_add(&g->text, s, n))
        return err_set(g->err, "the pattern is longer than %d bytes", MOST_BYTES);
    return 0;
}

static int expand(struct grok *g, struct slice s, unsigned depth);

static int open_group(struct grok *g, const struct reference *r)
{
    struct slice name = r->field.len ? r->field : g->named_only ? (struct slice){0} : r->name;
    char text[32];

    if (!name.len)
        return add(g, "(?:", 3);
    if (g->n == MOST_FIELDS)
        return err_set(g->err, "the pattern has more than %d fields", MOST_FIELDS);
    g->fields[g->n] = (struct grok_field){name, r->type};
    return add(g, text, (size_t)snprintf(text, sizeof(text), "(?P<" PREFIX "%zu>", g->n++));
}

static int put_reference(struct grok *g, const struct reference *r, unsigned depth)
{
    struct slice text;

    if (!find(g, r->name, &text))
        return err_set(g->err, "pattern definition \"%.*s\" unknown: parsing failed",
                       (int)(r->name.len < 80 ? r->name.len : 80), r->name.p);
    if (depth == MOST_DEPTH)
        return err_set(g->err, "patterns are nested more than %d deep", MOST_DEPTH);
    return open_group(g, r) || expand(g, text, depth + 1) || add(g, ")", 1) ? -1 : 0;
}

static int expand(struct grok *g, struct slice s, unsigned depth)
{
    struct reference r;

    while (s.len) {
        bool is_reference = reference(s, &r);
        size_t n = is_reference ? r.len : 1;

        if (is_reference ? put_reference(g, &r, depth) : add(g, (const char *)s.p, 1))
            return -1;
        s = slice_of(s.p + n, s.len - n);
    }
    return 0;
}

static int check_definitions(const struct node *own, struct err *err)
{
    for (size_t i = 0; own && i < own->n_args; i++) {
        struct slice d = own->args[i]->value.s;
        const uint8_t *at = d.len ? memchr(d.p, '=', d.len) : NULL;

        if (!at)
            return err_set(err,
                           "pattern \"%.*s\" supplied to ExtractGrokPatterns at index %zu has "
                           "incorrect format, expecting PATTERNNAME=pattern definition",
                           (int)(d.len < 80 ? d.len : 80), d.p, i);
        if (memchr(d.p, ':', (size_t)(at - d.p)))
            return err_set(err, "pattern ID \"%.*s\" should not contain ':'",
                           (int)(at - d.p < 80 ? at - d.p : 80), d.p);
    }
    return 0;
}

static int compile(struct compiler *k, struct grok *g, struct slice pattern)
{
    struct err why;

    g->err = &why;
    if (expand(g, pattern, 0) == 0)
        g->re = compile_regex(k, slice_of(g->text.p, g->text.len), &why);
    buf_free(&g->text);
    if (g->re)
        return 0;
    return err_set(k->err,
                   "the regex pattern supplied to ExtractGrokPatterns '\"%.*s\"' is not a valid "
                   "pattern: %.300s",
                   (int)(pattern.len < 200 ? pattern.len : 200), pattern.p, why.text);
}

static int prepare_grok(struct compiler *k, struct node *n, struct err *err)
{
    struct arena *arena = k->program->arena;
    struct grok *g = arena_alloc(arena, sizeof(*g));
    const struct ottl_value *named = arg_constant(n, 2);
    struct grok_field *fields = mem_alloc_array(MOST_FIELDS, sizeof(*fields));
    int rc = check_definitions(n->args[3], err);

    g->named_only = named && named->i;
    g->own = n->args[3];
    g->fields = fields;
    if (rc == 0 && compile(k, g, arg_constant(n, 1)->s)) {
        *err = *k->err;
        rc = -1;
    }
    g->fields = arena_alloc(arena, (g->n + 1) * sizeof(*fields));
    memcpy(g->fields, fields, g->n * sizeof(*fields));
    free(fields);
    n->data = g;
    return rc;
}

/* ---- matching ---- */

static bool is_type(struct slice type, const char *a, const char *b)
{
    return slice_eq(type, slice_str(a)) || slice_eq(type, slice_str(b));
}

static bool bad_value(struct ottl_eval *e, const char *function, struct slice s)
{
    return ottl_fail(e, "strconv.%s: parsing \"%.*s\": invalid syntax", function,
                     (int)(s.len < 80 ? s.len : 80), s.p);
}

static bool typed(struct ottl_eval *e, const struct grok_field *f, struct slice s, struct any *v)
{
    bool b = false;

    *v = (struct any){.type = ANY_STR, .bytes = s};
    if (f->type.len == 0 || is_type(f->type, "string", "string"))
        return true;
    if (is_type(f->type, "int", "long")) {
        v->type = ANY_INT;
        return parse_int(s, &v->i) || bad_value(e, "Atoi", s);
    }
    if (is_type(f->type, "float", "double")) {
        v->type = ANY_DOUBLE;
        return parse_double(s, &v->d) || bad_value(e, "ParseFloat", s);
    }
    if (!is_type(f->type, "bool", "boolean"))
        return ottl_fail(e, "invalid type for %.*s: type not specified",
                         (int)(f->name.len < 80 ? f->name.len : 80), f->name.p);
    v->type = ANY_BOOL;
    if (!parse_bool(s, &b))
        return bad_value(e, "ParseBool", s);
    v->i = b;
    return true;
}

/* The field of a group; groups with names of the user's own are fields of that name. */
static struct grok_field field_of(const struct grok *g, const char *name)
{
    size_t n = strlen(PREFIX);
    int64_t i;

    if (strncmp(name, PREFIX, n) == 0 && parse_int(slice_str(name + n), &i) && i >= 0 &&
        (uint64_t)i < g->n)
        return g->fields[i];
    return (struct grok_field){.name = slice_str(name)};
}

static bool put_found(struct ottl_eval *e, const struct grok *g, const struct slice *found,
                      struct map_build *map)
{
    for (size_t i = 1; i <= regex_groups(g->re); i++) {
        const char *name = regex_group_name(g->re, i);
        struct grok_field f;
        struct any v;

        if (!name || found[i - 1].len == 0)
            continue;
        f = field_of(g, name);
        if (!typed(e, &f, found[i - 1], &v))
            return false;
        if (map_put(map, f.name, &v))
            return ottl_too_long(e);
    }
    return true;
}

static bool extract_grok(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct grok *g = n->data;
    struct ottl_value v;
    struct slice *found;
    struct map_build map;
    bool fine;

    if (!arg(e, n, 0, &v))
        return false;
    found = ottl_room(e, (regex_groups(g->re) + 1) * sizeof(*found));
    if (!found)
        return false;
    map = map_build(ottl_text(e));
    fine = !regex_capture(g->re, v.s, found) || put_found(e, g, found, &map);
    map_finish(&map);
    return fine && ottl_keep_text(e, OTTL_MAP, out);
}

const struct func grok_functions[] = {
    {"ExtractGrokPatterns",
     extract_grok,
     {P("target", ARG_STR), P("pattern", ARG_TEXT), OPTIONAL("named_captures_only", ARG_FLAG),
      OPTIONAL("pattern_definitions", ARG_TEXTS)},
     prepare_grok},
    {.name = NULL},
};
