/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls: binding arguments to parameters at start, and handing them over, converted, at run time.
 *
 * Order: look-up, binding, checks of constants, arguments at run time. A function is one row in the
 * table of its subject. Threads: binding on main at start; arguments on the eval's worker.
 */
#include "ottl/call.h"

#include <stdlib.h>
#include <string.h>

#include "ottl/draft.h"
#include "ottl/path.h"
#include "platform/nearest.h"

/* ---- look-up ---- */

static const struct func *const tables[] = {type_functions,   text_functions,   hash_functions,
                                            time_functions,   case_functions,   parse_functions,
                                            encode_functions, list_functions,   url_functions,
                                            format_functions, record_functions, grok_functions};

/* Known to the Collector, not to us. */
static const char *const not_yet[] = {
#include "ottl/not_yet.inc"
};

static const struct func *const editor_tables[] = {map_editors, list_editors, replace_editors,
                                                   name_editors};

static const struct func *find_in(const struct func *const *all, size_t n, struct slice name)
{
    for (size_t t = 0; t < n; t++)
        for (const struct func *f = all[t]; f->name; f++)
            if (slice_eq(slice_str(f->name), name))
                return f;
    return NULL;
}

static const struct func *find(struct slice name)
{
    return find_in(tables, ARRAY_LEN(tables), name);
}

static const char *function_name(const void *ctx, size_t i)
{
    (void)ctx;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (const struct func *f = tables[t]; f->name; f++)
            if (i-- == 0)
                return f->name;
    return NULL;
}

static const char *editor_name(const void *ctx, size_t i)
{
    (void)ctx;
    for (size_t t = 0; t < ARRAY_LEN(editor_tables); t++)
        for (const struct func *f = editor_tables[t]; f->name; f++)
            if (i-- == 0)
                return f->name;
    return NULL;
}

bool call_needs_span(struct slice function)
{
    return slice_eq(function, slice_str("IsRootSpan")) ||
           slice_eq(function, slice_str("set_semconv_span_name"));
}

bool call_is_editor(struct slice name)
{
    return find_in(editor_tables, ARRAY_LEN(editor_tables), name) != NULL;
}

struct hint call_hint(struct slice name, bool editor)
{
    char text[64];

    if (name.len >= sizeof(text))
        return hint_near(NULL);
    memcpy(text, name.p, name.len);
    text[name.len] = 0;
    return hint_near(nearest_name(text, editor ? editor_name : function_name, NULL));
}

static const struct func *undefined(struct compiler *k, const struct ast *a, bool editor)
{
    char *name = arena_dup_n(k->program->arena, (const char *)a->text.p, a->text.len);

    for (size_t i = 0; i < ARRAY_LEN(not_yet); i++)
        if (strcmp(not_yet[i], name) == 0) {
            err_at(k->err, k->text, a->at, "function \"%s\" is not supported yet", name);
            return NULL;
        }
    err_at(k->err, k->text, a->at, "undefined function \"%s\"%s", name,
           call_hint(a->text, editor).text);
    return NULL;
}

static const struct func *function(struct compiler *k, const struct ast *a, bool editor)
{
    const struct func *f =
        editor ? find_in(editor_tables, ARRAY_LEN(editor_tables), a->text) : find(a->text);

    if (!f)
        return undefined(k, a, editor);
    if (call_needs_span(a->text) && k->context != OTTL_SPAN) {
        err_at(k->err, k->text, a->at,
               "undefined function \"%s\" in the %s context: it works on spans", f->name,
               context_name(k->context));
        return NULL;
    }
    return f;
}

/* ---- checks of constants ---- */

static bool constant_fits(enum arg_kind kind, const struct ottl_value *v)
{
    double d;
    bool b;

    switch (kind) {
    case ARG_STR:
    case ARG_REGEX:
    case ARG_TEXT:
        return v->type == OTTL_STR;
    case ARG_INT:
    case ARG_NUMBER:
        return v->type == OTTL_INT;
    case ARG_DOUBLE:
        return v->type == OTTL_DOUBLE;
    case ARG_BOOL:
    case ARG_FLAG:
        return v->type == OTTL_BOOL;
    case ARG_MAP:
        return v->type == OTTL_MAP;
    case ARG_LIST:
    case ARG_TIME:
    case ARG_DURATION:
    case ARG_VALUES:
    case ARG_TEXTS:
    case ARG_STRS:
        return false;
    case ARG_DOUBLE_LIKE:
        return v->type < OTTL_STR || (v->type == OTTL_STR && parse_double(v->s, &d));
    case ARG_BOOL_LIKE:
        return v->type < OTTL_STR || (v->type == OTTL_STR && parse_bool(v->s, &b));
    case ARG_INT_LIKE:
        return v->type < OTTL_BYTES;
    case ARG_BYTES_LIKE:
        return v->type != OTTL_MAP;
    default:
        return true;
    }
}

static const char *kind_name(enum arg_kind kind)
{
    switch (kind) {
    case ARG_INT:
    case ARG_NUMBER:
    case ARG_INT_LIKE:
        return "int64";
    case ARG_DOUBLE:
    case ARG_DOUBLE_LIKE:
        return "float64";
    case ARG_BOOL:
    case ARG_FLAG:
    case ARG_BOOL_LIKE:
        return "bool";
    case ARG_MAP:
        return "pcommon.Map";
    case ARG_LIST:
        return "pcommon.Slice";
    case ARG_VALUES:
    case ARG_TEXTS:
    case ARG_STRS:
        return "a list in brackets: [\"a\", \"b\"]";
    case ARG_TIME:
        return "time.Time";
    case ARG_DURATION:
        return "time.Duration";
    default:
        return "string";
    }
}

static bool must_be_constant(enum arg_kind kind)
{
    return kind == ARG_TEXT || kind == ARG_NUMBER || kind == ARG_FLAG;
}

static bool is_list_literal(const struct ast *a)
{
    return a->kind == AST_LIST;
}

static bool has_map(const struct ast *list)
{
    for (const struct ast *item = list->kids; item; item = item->next)
        if (item->kind == AST_MAP || (item->kind == AST_LIST && has_map(item)))
            return true;
    return false;
}

static int check_list(struct compiler *k, const struct ast *a, bool literal, enum arg_kind kind)
{
    bool strings = kind == ARG_TEXTS || kind == ARG_STRS;

    if (kind == ARG_LIST && literal && has_map(a))
        return err_at(k->err, k->text, a->at, "a map in a list in brackets cannot be used here");

    for (const struct ast *item = a->kids; item && strings; item = item->next)
        if (item->kind != AST_STRING &&
            (kind == ARG_TEXTS || (item->kind != AST_PATH && item->kind != AST_CALL)))
            return err_at(k->err, k->text, item->at, "expected string");
    if (kind == ARG_VALUES || strings || kind == ARG_ANY || kind == ARG_LIST ||
        kind == ARG_STR_LIKE || (!literal && !must_be_constant(kind)))
        return 0;
    return err_at(k->err, k->text, a->at, "expected %s but got a list", kind_name(kind));
}

static int check_argument(struct compiler *k, const struct ast *a, const struct node *n,
                          enum arg_kind kind)
{
    if (is_list_literal(a))
        return check_list(k, a, n->literal, kind);
    if (kind == ARG_VALUES || kind == ARG_TEXTS || kind == ARG_STRS)
        return err_at(k->err, k->text, a->at, "expected %s", kind_name(kind));
    if (n->literal && !constant_fits(kind, &n->value))
        return err_at(k->err, k->text, a->at, "expected %s but got %s", kind_name(kind),
                      ottl_type_name(&n->value));
    if (must_be_constant(kind) && (!n->literal || a->kind == AST_MINUS))
        return err_at(k->err, k->text, a->at, "expected a constant %s", kind_name(kind));
    return 0;
}

/* ---- binding ---- */

static unsigned n_params(const struct func *f)
{
    unsigned n = 0;

    while (n < FUNC_MOST_PARAMS && f->params[n].name)
        n++;
    return n;
}

static const char *parameter_name(const void *ctx, size_t i)
{
    const struct func *f = ctx;

    return i < n_params(f) ? f->params[i].name : NULL;
}

/* The parameter an argument is for; -1 with err. */
static int parameter(struct compiler *k, const struct ast *a, const struct func *f,
                     unsigned position, bool *named)
{
    unsigned n = n_params(f);

    if (!a->name.len) {
        if (*named)
            return err_at(k->err, k->text, a->at,
                          "unnamed arguments of \"%s\" must come before named ones", f->name);
        return (int)position;
    }
    *named = true;
    for (unsigned i = 0; i < n; i++)
        if (slice_eq(a->name, slice_str(f->params[i].name)))
            return (int)i;
    return err_at(
        k->err, k->text, a->at, "\"%s\" has no parameter \"%.*s\"%s", f->name, (int)a->name.len,
        a->name.p,
        hint_near(nearest_name(arena_dup_n(k->program->arena, (const char *)a->name.p, a->name.len),
                               parameter_name, f))
            .text);
}

static bool eval_replacement(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = e->edits->replacement;
    return true;
}

/* Does it make something of one string? */
static bool takes_one_string(const struct func *f)
{
    enum arg_kind kind = f->params[0].kind;

    for (unsigned i = 1; i < FUNC_MOST_PARAMS && f->params[i].name; i++)
        if (!f->params[i].optional)
            return false;
    return f->params[0].name &&
           (kind == ARG_STR || kind == ARG_STR_LIKE || kind == ARG_ANY || kind == ARG_BYTES_LIKE);
}

/* A function named as an argument: a call whose argument is there when it is applied. */
static struct node *named_function(struct compiler *k, const struct ast *a)
{
    const struct func *f;
    struct node *n;
    struct err why;

    if (a->kind != AST_FUNCTION && a->kind != AST_ENUM) {
        err_at(k->err, k->text, a->at, "expected the name of a function");
        return NULL;
    }
    f = function(k, a, false);
    if (!f)
        return NULL;
    if (!takes_one_string(f)) {
        err_at(k->err, k->text, a->at, "%s cannot be used here: it does not take one string",
               f->name);
        return NULL;
    }
    n = expr_new(k, a, f->eval);
    n->func = f;
    n->context = k->context;
    n->n_args = FUNC_MOST_PARAMS;
    n->args = arena_alloc(k->program->arena, FUNC_MOST_PARAMS * sizeof(*n->args));
    n->args[0] = expr_new(k, a, eval_replacement);
    if (f->prepare && f->prepare(k, n, &why)) {
        err_at(k->err, k->text, a->at, "%s: %s", f->name, why.text);
        return NULL;
    }
    return n;
}

static struct node *compile_argument(struct compiler *k, const struct ast *a, enum arg_kind kind)
{
    struct node *n;

    if (kind == ARG_FUNCTION)
        return named_function(k, a);
    if (kind == ARG_TARGET && a->kind != AST_PATH) {
        err_at(k->err, k->text, a->at, "must be a path");
        return NULL;
    }
    n = compile_value(k, a);
    if (n && kind == ARG_TARGET && !n->cache)
        k->writes |= 1u << n->context;
    return n;
}

static int bind_one(struct compiler *k, struct node *n, const struct ast *a, unsigned position,
                    bool *named)
{
    const struct func *f = n->func;
    int i = parameter(k, a, f, position, named);
    struct node *value;

    if (i < 0)
        return -1;
    if (n->args[i])
        return err_at(k->err, k->text, a->at, "\"%s\" is given twice", f->params[i].name);
    value = compile_argument(k, a, f->params[i].kind);
    if (!value || check_argument(k, a, value, f->params[i].kind))
        return -1;
    n->args[i] = value;
    return 0;
}

static int bind(struct compiler *k, struct node *n, const struct ast *a)
{
    const struct func *f = n->func;
    unsigned most = n_params(f), position = 0;
    bool named = false;

    if (a->n > most)
        return err_at(k->err, k->text, a->at,
                      "incorrect number of arguments for \"%s\". Expected: %u Received: %zu",
                      f->name, most, a->n);
    n->args = arena_alloc(k->program->arena, FUNC_MOST_PARAMS * sizeof(*n->args));
    n->n_args = most;
    for (const struct ast *kid = a->kids; kid; kid = kid->next)
        if (bind_one(k, n, kid, position++, &named))
            return -1;
    for (unsigned i = 0; i < most; i++)
        if (!n->args[i] && !f->params[i].optional)
            return err_at(k->err, k->text, a->at,
                          "incorrect number of arguments for \"%s\": \"%s\" is missing", f->name,
                          f->params[i].name);
    return 0;
}

static int compile_patterns(struct compiler *k, struct node *n, const struct ast *a)
{
    struct err why;

    for (unsigned i = 0; i < n->n_args; i++) {
        const struct ottl_value *c = arg_constant(n, i);

        if (n->func->params[i].kind != ARG_REGEX || !c)
            continue;
        n->re = compile_regex(k, c->s, &why);
        if (!n->re)
            return err_at(k->err, k->text, a->at,
                          "the regex pattern supplied to %s '%.*s' is not a valid pattern: %s",
                          n->func->name, (int)(c->s.len < 200 ? c->s.len : 200), c->s.p, why.text);
    }
    return 0;
}

static bool eval_indexed(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return n->args[0]->eval(e, n->args[0], out) && index_result(e, n, out);
}

static struct node *bound(struct compiler *k, const struct ast *a, const struct func *f)
{
    struct node *n = f ? expr_new(k, a, f->eval) : NULL;
    struct err why;

    if (!n)
        return NULL;
    n->func = f;
    n->context = k->context;
    if (bind(k, n, a) || compile_patterns(k, n, a))
        return NULL;
    if (f->prepare && f->prepare(k, n, &why)) {
        err_at(k->err, k->text, a->at, "%s: %s", f->name, why.text);
        return NULL;
    }
    return n;
}

struct node *compile_editor(struct compiler *k, const struct ast *a)
{
    return bound(k, a, function(k, a, true));
}

struct node *compile_call(struct compiler *k, const struct ast *a)
{
    struct node *n = bound(k, a, function(k, a, false)), *outer;

    if (!n || !a->keys)
        return n;
    outer = expr_new(k, a, eval_indexed);
    outer->args = arena_alloc(k->program->arena, sizeof(*outer->args));
    outer->args[0] = n;
    return compile_keys(k, outer, a->keys) ? NULL : outer;
}

/* ---- arguments at run time ---- */

const struct ottl_value *arg_constant(const struct node *n, unsigned i)
{
    return n->args[i] && n->args[i]->eval == eval_constant ? &n->args[i]->value : NULL;
}

static bool wrong_type(struct ottl_eval *e, enum arg_kind kind, const struct ottl_value *v)
{
    return ottl_fail(e, "expected %s but got %s", kind_name(kind), ottl_type_name(v));
}

static bool of_type(struct ottl_eval *e, enum arg_kind kind, const struct ottl_value *v,
                    enum ottl_type type)
{
    return LIKELY(v->type == type) || wrong_type(e, kind, v);
}

bool arg_plain_list(struct ottl_eval *e, const struct ottl_value *v)
{
    const struct ottl_value *bad = v->type == OTTL_ITEMS && !v->aux ? ottl_not_plain(v) : NULL;

    if (!ottl_is_list(v))
        return wrong_type(e, ARG_LIST, v);
    return !bad || ottl_fail(e, "<Invalid value type %s>", ottl_type_name(bad));
}

static bool convert(struct ottl_eval *e, enum arg_kind kind, struct ottl_value *v)
{
    switch (kind) {
    case ARG_ANY:
    case ARG_VALUES:
    case ARG_TEXTS:
    case ARG_STRS:
    case ARG_TARGET:
    case ARG_FUNCTION:
        return true;
    case ARG_STR:
    case ARG_REGEX:
    case ARG_TEXT:
        return of_type(e, kind, v, OTTL_STR);
    case ARG_STR_LIKE:
        return v->type == OTTL_STR || make_str_like(e, v);
    case ARG_INT:
    case ARG_NUMBER:
        return of_type(e, kind, v, OTTL_INT);
    case ARG_INT_LIKE:
        return make_int_like(e, v);
    case ARG_DOUBLE:
        return of_type(e, kind, v, OTTL_DOUBLE);
    case ARG_DOUBLE_LIKE:
        return make_double_like(e, v);
    case ARG_BOOL:
    case ARG_FLAG:
        return of_type(e, kind, v, OTTL_BOOL);
    case ARG_BOOL_LIKE:
        return make_bool_like(e, v);
    case ARG_BYTES_LIKE:
        return make_bytes_like(e, v);
    case ARG_MAP:
        return of_type(e, kind, v, OTTL_MAP);
    case ARG_LIST:
        return arg_plain_list(e, v);
    case ARG_TIME:
        return of_type(e, kind, v, OTTL_TIME);
    case ARG_DURATION:
        return of_type(e, kind, v, OTTL_DURATION);
    }
    return false;
}

bool arg(struct ottl_eval *e, const struct node *n, unsigned i, struct ottl_value *v)
{
    const struct param *p = &n->func->params[i];

    if (!n->args[i]) {
        *v = (struct ottl_value){.type = OTTL_ABSENT};
        return true;
    }
    return node_eval(e, n->args[i], v) && (p->loose || convert(e, p->kind, v));
}

const struct regex *arg_regex(struct ottl_eval *e, const struct node *n, unsigned i,
                              struct regex **own)
{
    struct ottl_value v;
    struct err why;
    char *pattern;

    *own = NULL;
    if (LIKELY(n->re != NULL))
        return n->re;
    if (!arg(e, n, i, &v))
        return NULL;
    pattern = ottl_room(e, v.s.len + 1);
    if (!pattern)
        return NULL;
    if (v.s.len)
        memcpy(pattern, v.s.p, v.s.len);
    pattern[v.s.len] = 0;
    *own = regex_new_of_data(pattern, &why);
    if (!*own)
        ottl_fail(e, "the regex pattern supplied to %s '%.80s' is not a valid pattern: %.100s",
                  n->func->name, pattern, why.text);
    return *own;
}

bool arg_strings(struct ottl_eval *e, const struct node *n, unsigned i, struct slice **v,
                 size_t *count)
{
    const struct node *list = n->args[i];
    struct ottl_value item;

    *count = list ? list->n_args : 0;
    *v = ottl_room(e, *count * sizeof(**v));
    if (!*v)
        return false;
    for (size_t k = 0; k < *count; k++) {
        if (!node_eval(e, list->args[k], &item))
            return false;
        if (item.type != OTTL_STR)
            return wrong_type(e, ARG_STR, &item);
        (*v)[k] = item.s;
    }
    return true;
}

bool arg_apply(struct ottl_eval *e, const struct node *n, unsigned i, struct slice s,
               struct slice *out)
{
    const struct node *f = n->args[i];
    struct ottl_value v;

    e->edits->replacement = ottl_str(s);
    if (!f->eval(e, f, &v))
        return false;
    if (v.type != OTTL_STR)
        return ottl_fail(e, "the replacement value must be a string");
    *out = v.s;
    return true;
}
