/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of a statement. */
#ifndef TAILRACE_OTTL_LEX_H
#define TAILRACE_OTTL_LEX_H

#include "platform/buf.h"
#include "platform/err.h"
#include "platform/mem.h"

enum token_type {
    T_END,
    T_BYTES,
    T_FLOAT,
    T_INT,
    T_STRING,
    T_NIL,
    T_NOT,
    T_OR,
    T_AND,
    T_COMPARE,
    T_ARROW,
    T_ADD,
    T_MUL,
    T_BOOL,
    T_EQUALS,
    T_OPEN,
    T_CLOSE,
    T_OPEN_KEY,
    T_CLOSE_KEY,
    T_OPEN_MAP,
    T_CLOSE_MAP,
    T_COLON,
    T_COMMA,
    T_DOT,
    T_UPPER,
    T_LOWER
};

struct token {
    enum token_type type;
    uint32_t at, len; /* bytes in the text */
    uint32_t match;   /* T_OPEN: its T_CLOSE, or the last token when there is none */
};

#define OTTL_MOST_BYTES 65536 /* of one statement */

/* All tokens of the text, the last one T_END; in the arena. NULL with err "1:9: ...". */
struct token *lex(struct arena *a, struct slice text, size_t *n, struct err *err) MUST_USE;

/* err_set with the place in front, as line:column. Returns -1. */
int err_at(struct err *err, struct slice text, size_t at, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The characters of a string token, escapes resolved; in the arena. -1 with err. */
int unquote(struct arena *a, struct slice text, const struct token *t, struct slice *out,
            struct err *err) MUST_USE;

#endif
