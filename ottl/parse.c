/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser: tokens to a tree, by recursive descent with one token of look-ahead. Whether a '('
 * opens a sum or a condition is seen from what follows its ')'.
 *
 *   condition  = all { "or" all }             all = unit { "and" unit }
 *   unit       = [ "not" ] ( value cmp value | "true" | "false" | call | "(" condition ")" )
 *   value      = nil | string | bytes | bool | ENUM | list | map | sum
 *   sum        = product { ("+" | "-") product }          product = factor { ("*" | "/") factor }
 *   factor     = [ "+" | "-" ] ( call | number | path | "(" sum ")" )
 *   path       = field { "." field }          field = lower { key }     call = Name "(" args ")" {
 * key }
 *   statement  = lower "(" args ")" [ "where" condition ]
 *
 * Limits: OTTL_MOST_DEPTH. Threads: any; runs at start only.
 */
#include "ottl/ast.h"

#include <errno.h>
#include <stdlib.h>

#include "model/utf8.h"

struct parser {
    struct arena *arena;
    struct slice text;
    const struct token *all, *t;
    unsigned depth, operations;
    struct err *err;
};

static struct ast *value(struct parser *p);
static struct ast *sum(struct parser *p);
static struct ast *condition(struct parser *p);

/* ---- helpers ---- */

static struct slice token_text(const struct parser *p, const struct token *t)
{
    return slice_of(p->text.p + t->at, t->len);
}

static void *unexpected(struct parser *p, const char *wanted)
{
    struct slice s = token_text(p, p->t);

    if (p->t->type == T_END)
        s = slice_str("<EOF>");
    err_at(p->err, p->text, p->t->at, "unexpected token \"%.*s\" (expected %s)",
           (int)(s.len < 60 ? s.len : 60), s.p, wanted);
    return NULL;
}

static struct ast *new (struct parser *p, enum ast_kind kind)
{
    struct ast *n = arena_alloc(p->arena, sizeof(*n));

    n->kind = kind;
    n->at = p->t->at;
    return n;
}

static void add(struct ast *parent, struct ast *kid)
{
    if (parent->last)
        parent->last->next = kid;
    else
        parent->kids = kid;
    parent->last = kid;
    parent->n++;
}

static bool take(struct parser *p, enum token_type type)
{
    if (p->t->type != type)
        return false;
    p->t++;
    return true;
}

static bool deeper(struct parser *p)
{
    if (++p->depth <= OTTL_MOST_DEPTH)
        return true;
    err_at(p->err, p->text, p->t->at, "nested deeper than %d levels", OTTL_MOST_DEPTH);
    return false;
}

/* ---- constants ---- */

static struct ast *integer(struct parser *p)
{
    struct ast *n = new (p, AST_INT);
    struct slice s = token_text(p, p->t);
    char *text = arena_dup_n(p->arena, (const char *)s.p, s.len);

    errno = 0;
    n->i = strtoll(text, NULL, 10);
    if (errno) {
        err_at(p->err, p->text, p->t->at, "%s is out of the range of 64-bit integers", text);
        return NULL;
    }
    p->t++;
    return n;
}

static struct ast *floating(struct parser *p)
{
    struct ast *n = new (p, AST_FLOAT);
    struct slice s = token_text(p, p->t);

    errno = 0;
    n->d = strtod(arena_dup_n(p->arena, (const char *)s.p, s.len), NULL);
    if (errno == ERANGE && (n->d > 1 || n->d < -1)) {
        err_at(p->err, p->text, p->t->at, "%.*s is out of range", (int)s.len, s.p);
        return NULL;
    }
    p->t++;
    return n;
}

static struct ast *string(struct parser *p)
{
    struct ast *n = new (p, AST_STRING);

    if (unquote(p->arena, p->text, p->t, &n->text, p->err))
        return NULL;
    p->t++;
    return n;
}

static int hex(uint8_t c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static struct ast *bytes(struct parser *p)
{
    struct ast *n = new (p, AST_BYTES);
    struct slice s = token_text(p, p->t);
    size_t len = (s.len - 2) / 2;
    uint8_t *dst = arena_alloc(p->arena, len + 1);

    if (s.len % 2) {
        err_at(p->err, p->text, p->t->at, "bytes with an odd number of hexadecimal digits");
        return NULL;
    }
    for (size_t i = 0; i < len; i++)
        dst[i] = (uint8_t)(hex(s.p[2 + 2 * i]) << 4 | hex(s.p[3 + 2 * i]));
    n->text = slice_of(dst, len);
    p->t++;
    return n;
}

/* ---- keys, paths, calls ---- */

/* A name of UPPER and LOWER tokens that touch; 0 tokens when it does not begin with UPPER. */
static size_t name_tokens(const struct parser *p, struct slice *name)
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

static bool at_call(const struct parser *p)
{
    struct slice name;
    size_t n = name_tokens(p, &name);

    return n && p->t[n].type == T_OPEN;
}

static struct ast *key(struct parser *p)
{
    if (p->t->type == T_STRING)
        return string(p);
    if (p->t->type == T_INT && p->t[1].type == T_CLOSE_KEY)
        return integer(p);
    if (p->t->type == T_ADD || p->t->type == T_LOWER || at_call(p))
        return sum(p);
    return unexpected(p, "a string, an integer, a path or a converter");
}

/* [..][..] behind a field or call. */
static int keys(struct parser *p, struct ast *of)
{
    struct ast **last = &of->keys;

    while (take(p, T_OPEN_KEY)) {
        *last = deeper(p) ? key(p) : NULL;
        if (!*last)
            return -1;
        p->depth--;
        last = &(*last)->next;
        if (!take(p, T_CLOSE_KEY)) {
            unexpected(p, "\"]\"");
            return -1;
        }
    }
    return 0;
}

static struct ast *path(struct parser *p)
{
    struct ast *n = new (p, AST_PATH);

    do {
        struct ast *field = new (p, AST_FIELD);

        if (p->t->type != T_LOWER)
            return unexpected(p, "a field");
        field->text = token_text(p, p->t++);
        add(n, field);
        if (keys(p, field))
            return NULL;
    } while (take(p, T_DOT));
    return n;
}

static struct ast *argument(struct parser *p)
{
    struct slice name = {0}, function;
    struct ast *arg;
    size_t n;

    if (p->t->type == T_LOWER && p->t[1].type == T_EQUALS) {
        name = token_text(p, p->t);
        p->t += 2;
    }
    n = name_tokens(p, &function);
    if (n && p->t[n].type != T_OPEN && (n > 1 || p->t[n].type == T_LOWER)) {
        arg = new (p, AST_FUNCTION);
        arg->text = function;
        p->t += n;
    } else {
        arg = value(p);
    }
    if (arg)
        arg->name = name;
    return arg;
}

/* Behind the "(". */
static struct ast *arguments(struct parser *p, struct ast *n)
{
    struct ast *arg;

    if (take(p, T_CLOSE))
        return n;
    do {
        arg = argument(p);
        if (!arg)
            return NULL;
        add(n, arg);
    } while (take(p, T_COMMA));
    return take(p, T_CLOSE) ? n : unexpected(p, "\",\" or \")\"");
}

static struct ast *call(struct parser *p)
{
    struct ast *n = new (p, AST_CALL);

    p->t += name_tokens(p, &n->text);
    p->t++;
    return arguments(p, n) && keys(p, n) == 0 ? n : NULL;
}

/* ---- sums ---- */

static struct ast *primary(struct parser *p)
{
    struct ast *n;

    switch (p->t->type) {
    case T_INT:
        return integer(p);
    case T_FLOAT:
        return floating(p);
    case T_LOWER:
        if (p->t[1].type == T_OPEN) {
            err_at(p->err, p->text, p->t->at,
                   "converter names must start with an uppercase letter but got '%.*s'",
                   (int)p->t->len, p->text.p + p->t->at);
            return NULL;
        }
        return path(p);
    case T_OPEN:
        p->t++;
        n = sum(p);
        if (n && !take(p, T_CLOSE))
            return unexpected(p, "\")\"");
        return n;
    default:
        return at_call(p) ? call(p) : unexpected(p, "a value");
    }
}

static struct ast *factor(struct parser *p)
{
    struct ast *n, *inner;

    if (!deeper(p))
        return NULL;
    if (p->t->type == T_ADD) {
        bool minus = p->text.p[p->t->at] == '-';

        n = new (p, AST_MINUS);
        p->t++;
        inner = primary(p);
        if (inner && minus)
            add(n, inner);
        else
            n = inner;
    } else {
        n = primary(p);
    }
    p->depth--;
    return n;
}

static struct ast *operation(struct parser *p, struct ast *left,
                             struct ast *(*operand)(struct parser *p))
{
    struct ast *n = new (p, AST_MATH), *right;

    if (++p->operations > OTTL_MOST_OPERATIONS) {
        err_at(p->err, p->text, p->t->at, "more than %d additions and multiplications",
               OTTL_MOST_OPERATIONS);
        return NULL;
    }
    n->op = (char)p->text.p[p->t->at];
    p->t++;
    right = operand(p);
    if (!right)
        return NULL;
    add(n, left);
    add(n, right);
    return n;
}

static struct ast *product(struct parser *p)
{
    struct ast *n = factor(p);

    while (n && p->t->type == T_MUL)
        n = operation(p, n, factor);
    return n;
}

static struct ast *sum(struct parser *p)
{
    struct ast *n = product(p);

    while (n && p->t->type == T_ADD)
        n = operation(p, n, product);
    return n;
}

/* ---- values ---- */

static struct ast *list(struct parser *p)
{
    struct ast *n = new (p, AST_LIST), *item;

    p->t++;
    if (take(p, T_CLOSE_KEY))
        return n;
    do {
        item = value(p);
        if (!item)
            return NULL;
        add(n, item);
    } while (take(p, T_COMMA) || (n->n && p->t->type != T_CLOSE_KEY && p->t->type != T_END));
    return take(p, T_CLOSE_KEY) ? n : unexpected(p, "\",\" or \"]\"");
}

static struct ast *map(struct parser *p)
{
    struct ast *n = new (p, AST_MAP), *item;

    p->t++;
    while (!take(p, T_CLOSE_MAP)) {
        struct slice name;

        if (p->t->type != T_STRING)
            return unexpected(p, "a string or \"}\"");
        if (unquote(p->arena, p->text, p->t++, &name, p->err))
            return NULL;
        if (!take(p, T_COLON))
            return unexpected(p, "\":\"");
        item = value(p);
        if (!item)
            return NULL;
        item->name = name;
        add(n, item);
        take(p, T_COMMA);
    }
    return n;
}

static struct ast *boolean(struct parser *p)
{
    struct ast *n = new (p, AST_BOOL);

    n->i = p->t->len == 4; /* true */
    p->t++;
    return n;
}

static struct ast *name_of_enum(struct parser *p)
{
    struct slice name;
    struct ast *n = new (p, AST_ENUM);

    if (name_tokens(p, &name) != 1) {
        p->t += name_tokens(p, &name);
        return unexpected(p, "\"(\"");
    }
    n->text = name;
    p->t++;
    return n;
}

static struct ast *value_here(struct parser *p)
{
    struct ast *n;

    switch (p->t->type) {
    case T_NIL:
        n = new (p, AST_NIL);
        p->t++;
        return n;
    case T_STRING:
        return string(p);
    case T_BYTES:
        return bytes(p);
    case T_BOOL:
        return boolean(p);
    case T_OPEN_KEY:
        return list(p);
    case T_OPEN_MAP:
        return map(p);
    case T_UPPER:
        return at_call(p) ? sum(p) : name_of_enum(p);
    default:
        return sum(p);
    }
}

static struct ast *value(struct parser *p)
{
    struct ast *n = deeper(p) ? value_here(p) : NULL;

    p->depth--;
    return n;
}

/* ---- conditions ---- */

static enum ottl_op compare_op(const struct parser *p)
{
    struct slice s = token_text(p, p->t);

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
    struct ast *left = value(p), *n, *right;

    if (!left)
        return NULL;
    if (p->t->type != T_COMPARE) {
        if (left->kind == AST_BOOL || left->kind == AST_CALL)
            return left;
        return unexpected(p, "a comparison: ==, !=, <, <=, > or >=");
    }
    n = new (p, AST_COMPARE);
    n->compare = compare_op(p);
    p->t++;
    right = value(p);
    if (!right)
        return NULL;
    add(n, left);
    add(n, right);
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

    n = new (p, AST_NOT);
    if (p->t->type == T_NOT) {
        negated = true;
        p->t++;
    }
    if (opens_condition(p)) {
        p->t++;
        inner = condition(p);
        if (inner && !take(p, T_CLOSE))
            return unexpected(p, "\")\"");
    } else {
        inner = comparison(p);
    }
    if (!inner || !negated)
        return inner;
    add(n, inner);
    return n;
}

/* unit { "and" unit }, or the same of those with "or". */
static struct ast *chain(struct parser *p, enum token_type word, enum ast_kind kind,
                         struct ast *(*part)(struct parser *p))
{
    struct ast *first = part(p), *n;

    if (!first || p->t->type != word)
        return first;
    n = new (p, kind);
    add(n, first);
    while (take(p, word)) {
        struct ast *more = part(p);

        if (!more)
            return NULL;
        add(n, more);
    }
    return n;
}

static struct ast *all(struct parser *p)
{
    return chain(p, T_AND, AST_AND, unit);
}

static struct ast *condition(struct parser *p)
{
    struct ast *n = deeper(p) ? chain(p, T_OR, AST_OR, all) : NULL;

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
        return unexpected(&p, "the end, \"and\" or \"or\"");
    return n;
}

/* name "(" arguments ")" */
static struct ast *editor(struct parser *p)
{
    struct ast *n = new (p, AST_CALL);
    struct slice name;

    if (name_tokens(p, &name)) {
        err_at(p->err, p->text, p->t->at,
               "editor names must start with a lowercase letter but got '%.*s'",
               (int)(name.len < 60 ? name.len : 60), name.p);
        return NULL;
    }
    if (p->t->type != T_LOWER)
        return unexpected(p, "an editor: set, delete_key, ...");
    n->text = token_text(p, p->t++);
    if (!take(p, T_OPEN))
        return unexpected(p, "\"(\"");
    return arguments(p, n);
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
    if (p.t->type == T_LOWER && slice_eq(token_text(&p, p.t), slice_str("where"))) {
        p.t++;
        *where = condition(&p);
        if (!*where)
            return NULL;
        if (p.t->type != T_END)
            return unexpected(&p, "the end, \"and\" or \"or\"");
    }
    if (p.t->type == T_OPEN_KEY) {
        err_at(err, text, p.t->at, "only paths and converters may be indexed, not editors");
        return NULL;
    }
    return p.t->type == T_END ? n : unexpected(&p, "\"where\" or the end");
}
