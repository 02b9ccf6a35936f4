/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser: tokens to a tree, by recursive descent with one token of look-ahead. Whether a '('
 * opens a sum or a condition is seen from what follows its ')'. Values are in parse_value.c.
 *
 *   condition  = all { "or" all }             all = unit { "and" unit }
 *   unit       = [ "not" ] ( value cmp value | "true" | "false" | call | "(" condition ")" )
 *   value      = nil | string | bytes | bool | ENUM | list | map | sum
 *   sum        = product { ("+" | "-") product }          product = factor { ("*" | "/") factor }
 *   factor     = [ "+" | "-" ] ( call | number | path | "(" sum ")" )
 *   path       = field { "." field }          field = lower { key }
 *   call       = Name "(" args ")" { key }
 *   statement  = lower "(" args ")" [ "where" condition ]
 *
 * Limits: OTTL_MOST_DEPTH. Threads: any; runs at start only.
 */
#include "model/utf8.h"
#include "ottl/parse_priv.h"

static struct ast *condition(struct parser *p);

/* ---- helpers ---- */

struct slice parser_text(const struct parser *p, const struct token *t)
{
    return slice_of(p->text.p + t->at, t->len);
}

void *parser_unexpected(struct parser *p, const char *wanted)
{
    struct slice s = parser_text(p, p->t);

    if (p->t->type == T_END)
        s = slice_str("<EOF>");
    err_at(p->err, p->text, p->t->at, "unexpected token \"%.*s\" (expected %s)%s",
           (int)(s.len < 60 ? s.len : 60), s.p, wanted, hint_of(s).text);
    return NULL;
}

struct ast *parser_node(struct parser *p, enum ast_kind kind)
{
    struct ast *n = arena_alloc(p->arena, sizeof(*n));

    n->kind = kind;
    n->at = p->t->at;
    return n;
}

void ast_add(struct ast *parent, struct ast *kid)
{
    if (parent->last)
        parent->last->next = kid;
    else
        parent->kids = kid;
    parent->last = kid;
    parent->n++;
}

bool parser_take(struct parser *p, enum token_type type)
{
    if (p->t->type != type)
        return false;
    p->t++;
    return true;
}

bool parser_deeper(struct parser *p)
{
    if (++p->depth <= OTTL_MOST_DEPTH)
        return true;
    err_at(p->err, p->text, p->t->at, "nested deeper than %d levels", OTTL_MOST_DEPTH);
    return false;
}

/* A name of UPPER and LOWER tokens that touch; 0 tokens when it does not begin with UPPER. */
size_t parser_name(const struct parser *p, struct slice *name)
{
    const struct token *t = p->t;
    size_t n = 0;

    if (t->type != T_UPPER)
        return 0;
    while ((t[n].type == T_UPPER || t[n].type == T_LOWER) &&
           (n == 0 || t[n].at == t[n - 1].at + t[n - 1].len))
        n++;
    *name = slice_of(p->text.p + t->at, t[n - 1].at + t[n - 1].len - t->at);
    return n;
}

/* ---- conditions ---- */

static enum ottl_op compare_op(const struct parser *p)
{
    struct slice s = parser_text(p, p->t);

    switch (s.p[0]) {
    case '=':
        return OP_EQ;
    case '!':
        return OP_NE;
    case '<':
        return s.len == 2 ? OP_LE : OP_LT;
    default:
        return s.len == 2 ? OP_GE : OP_GT;
    }
}

static struct ast *comparison(struct parser *p)
{
    struct ast *left = parse_value(p), *n, *right;

    if (!left)
        return NULL;
    if (p->t->type != T_COMPARE) {
        if (left->kind == AST_BOOL || left->kind == AST_CALL)
            return left;
        return parser_unexpected(p, "a comparison: ==, !=, <, <=, > or >=");
    }
    n = parser_node(p, AST_COMPARE);
    n->compare = compare_op(p);
    p->t++;
    right = parse_value(p);
    if (!right)
        return NULL;
    ast_add(n, left);
    ast_add(n, right);
    return n;
}

/* Does this '(' group conditions? It groups a sum when something is done with its value. */
static bool opens_condition(const struct parser *p)
{
    const struct token *close = &p->all[p->t->match];

    if (p->t->type != T_OPEN || close->type == T_END)
        return p->t->type == T_OPEN;
    return close[1].type != T_COMPARE && close[1].type != T_ADD && close[1].type != T_MUL;
}

static struct ast *unit(struct parser *p)
{
    struct ast *n, *inner;
    bool negated = false;

    n = parser_node(p, AST_NOT);
    if (p->t->type == T_NOT) {
        negated = true;
        p->t++;
    }
    if (opens_condition(p)) {
        p->t++;
        inner = condition(p);
        if (inner && !parser_take(p, T_CLOSE))
            return parser_unexpected(p, "\")\"");
    } else {
        inner = comparison(p);
    }
    if (!inner || !negated)
        return inner;
    ast_add(n, inner);
    return n;
}

/* unit { "and" unit }, or the same of those with "or". */
static struct ast *chain(struct parser *p, enum token_type word, enum ast_kind kind,
                         struct ast *(*part)(struct parser *p))
{
    struct ast *first = part(p), *n;

    if (!first || p->t->type != word)
        return first;
    n = parser_node(p, kind);
    ast_add(n, first);
    while (parser_take(p, word)) {
        struct ast *more = part(p);

        if (!more)
            return NULL;
        ast_add(n, more);
    }
    return n;
}

static struct ast *all(struct parser *p)
{
    return chain(p, T_AND, AST_AND, unit);
}

static struct ast *condition(struct parser *p)
{
    struct ast *n = parser_deeper(p) ? chain(p, T_OR, AST_OR, all) : NULL;

    p->depth--;
    return n;
}

/* ---- the whole text ---- */

static bool tokens(struct parser *p, struct arena *a, struct slice text, struct err *err)
{
    size_t n;

    *p = (struct parser){.arena = a, .text = text, .err = err};
    if (!utf8_valid(text.p, text.len)) {
        err_set(err, "1:1: the text is not UTF-8");
        return false;
    }
    p->all = p->t = lex(a, text, &n, err);
    return p->t != NULL;
}

struct ast *parse_condition(struct arena *a, struct slice text, struct err *err)
{
    struct parser p;
    struct ast *n;

    if (!tokens(&p, a, text, err))
        return NULL;
    n = condition(&p);
    if (n && p.t->type != T_END)
        return parser_unexpected(&p, "the end, \"and\" or \"or\"");
    return n;
}

/* name "(" arguments ")" */
static struct ast *editor(struct parser *p)
{
    struct ast *n = parser_node(p, AST_CALL);
    struct slice name;

    if (parser_name(p, &name)) {
        err_at(p->err, p->text, p->t->at,
               "editor names must start with a lowercase letter but got '%.*s'%s",
               (int)(name.len < 60 ? name.len : 60), name.p, call_hint(name, true).text);
        return NULL;
    }
    if (p->t->type != T_LOWER)
        return parser_unexpected(p, "an editor: set, delete_key, ...");
    n->text = parser_text(p, p->t++);
    if (!parser_take(p, T_OPEN))
        return parser_unexpected(p, "\"(\"");
    return parse_arguments(p, n);
}

struct ast *parse_statement(struct arena *a, struct slice text, struct ast **where, struct err *err)
{
    struct parser p;
    struct ast *n;

    *where = NULL;
    if (!tokens(&p, a, text, err))
        return NULL;
    n = editor(&p);
    if (!n)
        return NULL;
    if (p.t->type == T_LOWER && slice_eq(parser_text(&p, p.t), slice_str("where"))) {
        p.t++;
        *where = condition(&p);
        if (!*where)
            return NULL;
        if (p.t->type != T_END)
            return parser_unexpected(&p, "the end, \"and\" or \"or\"");
    }
    if (p.t->type == T_OPEN_KEY) {
        err_at(err, text, p.t->at, "only paths and converters may be indexed, not editors");
        return NULL;
    }
    return p.t->type == T_END ? n : parser_unexpected(&p, "\"where\" or the end");
}
