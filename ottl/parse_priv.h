/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of the parser share. */
#ifndef TAILRACE_OTTL_PARSE_PRIV_H
#define TAILRACE_OTTL_PARSE_PRIV_H

#include "ottl/ast.h"
#include "ottl/call.h"
#include "ottl/hint.h"

struct parser {
    struct arena *arena;
    struct slice text;
    const struct token *all, *t;
    unsigned depth, operations;
    struct err *err;
};

struct slice parser_text(const struct parser *p, const struct token *t);
/* Says what was wanted in place of the token at hand. Returns NULL. */
void *parser_unexpected(struct parser *p, const char *wanted);
/* At the token at hand. */
struct ast *parser_node(struct parser *p, enum ast_kind kind) MUST_USE;
void ast_add(struct ast *parent, struct ast *kid);
/* Moves on when the token is of that type. */
bool parser_take(struct parser *p, enum token_type type);
/* One more level, which the caller takes back: p->depth--. False: too many, the error is set. */
bool parser_deeper(struct parser *p) MUST_USE;
/* A name of UPPER and LOWER tokens that touch; 0 tokens when it does not begin with UPPER. */
size_t parser_name(const struct parser *p, struct slice *name);

/* NULL: the error is set. */
struct ast *parse_value(struct parser *p) MUST_USE;
/* Behind the "(", as kids of n, which is returned. */
struct ast *parse_arguments(struct parser *p, struct ast *n) MUST_USE;

#endif
