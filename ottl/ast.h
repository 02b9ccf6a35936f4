/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax of a condition as a tree. Everything lives in the arena given to the parser. */
#ifndef TAILRACE_OTTL_AST_H
#define TAILRACE_OTTL_AST_H

#include "ottl/lex.h"
#include "ottl/value.h"

enum ast_kind {
    AST_NIL,
    AST_BOOL,
    AST_INT,
    AST_FLOAT,
    AST_STRING,
    AST_BYTES,
    AST_ENUM,     /* text */
    AST_PATH,     /* kids: AST_FIELD */
    AST_FIELD,    /* text; keys */
    AST_CALL,     /* text: name; kids: arguments; keys */
    AST_FUNCTION, /* text: a function's name as an argument */
    AST_MATH,     /* op: '+' '-' '*' '/'; two kids */
    AST_MINUS,    /* one kid */
    AST_LIST,
    AST_MAP,     /* kids: values; of a map with their key as text */
    AST_COMPARE, /* compare; two kids */
    AST_AND,
    AST_OR, /* kids: two or more */
    AST_NOT,
};

struct ast {
    enum ast_kind kind;
    uint32_t at;       /* in the statement */
    struct slice text; /* also strings and bytes, decoded */
    struct slice name; /* of a named argument; key of a map's item */
    int64_t i;
    double d;
    char op;
    enum ottl_op compare;
    size_t n; /* kids */
    struct ast *kids, *last, *next;
    struct ast *keys; /* [..][..]: linked by next */
};

struct statement {
    struct slice text;
    struct ast *root;
};

#define OTTL_MOST_DEPTH      100  /* of parentheses, lists, calls in each other */
#define OTTL_MOST_OPERATIONS 1000 /* + - * / in one condition */

/* A condition. NULL with err, which begins with the place. */
struct ast *parse_condition(struct arena *a, struct slice text, struct err *err) MUST_USE;
/* A statement: its editor's call; *where is NULL without a condition. NULL as above. */
struct ast *parse_statement(struct arena *a, struct slice text, struct ast **where,
                            struct err *err) MUST_USE;

#endif
