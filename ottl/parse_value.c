/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing values: constants, paths, calls, sums, lists and maps. The grammar is in parse.c.
 * Threads: any; runs at start only.
 */
#include <errno.h>
#include <stdlib.h>

#include "ottl/parse_priv.h"

static struct ast *sum(struct parser *p);

/* ---- constants ---- */

static struct ast *integer(struct parser *p)
{
    struct ast *n = parser_node(p, AST_INT);
    struct slice s = parser_text(p, p->t);
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
    struct ast *n = parser_node(p, AST_FLOAT);
    struct slice s = parser_text(p, p->t);

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
    struct ast *n = parser_node(p, AST_STRING);

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
    struct ast *n = parser_node(p, AST_BYTES);
    struct slice s = parser_text(p, p->t);
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

static bool at_call(const struct parser *p)
{
    struct slice name;
    size_t n = parser_name(p, &name);

    return n && p->t[n].type == T_OPEN;
}

static struct ast *key(struct parser *p)
{
    if (p->t->type == T_STRING)
        return string(p);
    if (p->t->type == T_INT && p->t[1].type == T_CLOSE_KEY)
        return integer(p);
    if (p->t->type == T_FLOAT && p->t[1].type == T_CLOSE_KEY)
        return floating(p); /* grammatical, though nothing has such a key */
    if (p->t->type == T_ADD || p->t->type == T_LOWER || at_call(p))
        return sum(p);
    return parser_unexpected(p, "a string, an integer, a path or a converter");
}

/* [..][..] behind a field or call. */
static int keys(struct parser *p, struct ast *of)
{
    struct ast **last = &of->keys;

    while (parser_take(p, T_OPEN_KEY)) {
        *last = parser_deeper(p) ? key(p) : NULL;
        if (!*last)
            return -1;
        p->depth--;
        last = &(*last)->next;
        if (!parser_take(p, T_CLOSE_KEY)) {
            parser_unexpected(p, "\"]\"");
            return -1;
        }
    }
    return 0;
}

static struct ast *path(struct parser *p)
{
    struct ast *n = parser_node(p, AST_PATH);

    do {
        struct ast *field = parser_node(p, AST_FIELD);

        if (p->t->type != T_LOWER)
            return parser_unexpected(p, "a field");
        field->text = parser_text(p, p->t++);
        ast_add(n, field);
        if (keys(p, field))
            return NULL;
    } while (parser_take(p, T_DOT));
    return n;
}

static struct ast *argument(struct parser *p)
{
    struct slice name = {0}, function;
    struct ast *arg;
    size_t n;

    if (p->t->type == T_LOWER && p->t[1].type == T_EQUALS) {
        name = parser_text(p, p->t);
        p->t += 2;
    }
    n = parser_name(p, &function);
    if (n && p->t[n].type != T_OPEN && (n > 1 || p->t[n].type == T_LOWER)) {
        arg = parser_node(p, AST_FUNCTION);
        arg->text = function;
        p->t += n;
    } else {
        arg = parse_value(p);
    }
    if (arg)
        arg->name = name;
    return arg;
}

/* Behind the "(". */
struct ast *parse_arguments(struct parser *p, struct ast *n)
{
    struct ast *arg;

    if (parser_take(p, T_CLOSE))
        return n;
    do {
        arg = argument(p);
        if (!arg)
            return NULL;
        ast_add(n, arg);
    } while (parser_take(p, T_COMMA));
    return parser_take(p, T_CLOSE) ? n : parser_unexpected(p, "\",\" or \")\"");
}

static struct ast *call(struct parser *p)
{
    struct ast *n = parser_node(p, AST_CALL);

    p->t += parser_name(p, &n->text);
    p->t++;
    return parse_arguments(p, n) && keys(p, n) == 0 ? n : NULL;
}

/* ---- sums ---- */

static void *no_converter(struct parser *p)
{
    struct slice name = parser_text(p, p->t);

    err_at(p->err, p->text, p->t->at,
           "converter names must start with an uppercase letter but got '%.*s'%s",
           (int)(name.len < 60 ? name.len : 60), name.p,
           call_is_editor(name) ? ", an editor, which gives no value"
                                : call_hint(name, false).text);
    return NULL;
}

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
            return no_converter(p);
        }
        return path(p);
    case T_OPEN:
        p->t++;
        n = sum(p);
        if (n && !parser_take(p, T_CLOSE))
            return parser_unexpected(p, "\")\"");
        return n;
    default:
        return at_call(p) ? call(p) : parser_unexpected(p, "a value");
    }
}

static struct ast *factor(struct parser *p)
{
    struct ast *n, *inner;

    if (!parser_deeper(p))
        return NULL;
    if (p->t->type == T_ADD) {
        bool minus = p->text.p[p->t->at] == '-';

        n = parser_node(p, AST_MINUS);
        p->t++;
        inner = primary(p);
        if (inner && minus)
            ast_add(n, inner);
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
    struct ast *n = parser_node(p, AST_MATH), *right;

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
    ast_add(n, left);
    ast_add(n, right);
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
    struct ast *n = parser_node(p, AST_LIST), *item;
    bool commas = false; /* the Collector's may be without, up to the first one */

    p->t++;
    while (p->t->type != T_CLOSE_KEY && p->t->type != T_END) {
        if (parser_take(p, T_COMMA))
            commas = true;
        else if (commas)
            break;
        item = parse_value(p);
        if (!item)
            return NULL;
        ast_add(n, item);
    }
    return parser_take(p, T_CLOSE_KEY) ? n : parser_unexpected(p, "\",\" or \"]\"");
}

static struct ast *map(struct parser *p)
{
    struct ast *n = parser_node(p, AST_MAP), *item;

    p->t++;
    while (!parser_take(p, T_CLOSE_MAP)) {
        struct slice name;

        if (p->t->type != T_STRING)
            return parser_unexpected(p, "a string or \"}\"");
        if (unquote(p->arena, p->text, p->t++, &name, p->err))
            return NULL;
        if (!parser_take(p, T_COLON))
            return parser_unexpected(p, "\":\"");
        item = parse_value(p);
        if (!item)
            return NULL;
        item->name = name;
        ast_add(n, item);
        parser_take(p, T_COMMA);
    }
    return n;
}

static struct ast *boolean(struct parser *p)
{
    struct ast *n = parser_node(p, AST_BOOL);

    n->i = p->t->len == 4; /* true */
    p->t++;
    return n;
}

static struct ast *name_of_enum(struct parser *p)
{
    struct slice name;
    struct ast *n = parser_node(p, AST_ENUM);

    if (parser_name(p, &name) != 1) {
        struct hint meant = hint_of(name);

        err_at(p->err, p->text, p->t->at, "\"%.*s\" is no value%s",
               (int)(name.len < 60 ? name.len : 60), name.p,
               *meant.text ? meant.text : ": a function has its arguments in parentheses, or ()");
        return NULL;
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
        n = parser_node(p, AST_NIL);
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

struct ast *parse_value(struct parser *p)
{
    struct ast *n = parser_deeper(p) ? value_here(p) : NULL;

    p->depth--;
    return n;
}
