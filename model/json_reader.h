/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pull reader for JSON (RFC 8259): the caller asks for the value it expects, nothing is built. So
 * the memory a document needs is what the caller keeps of it, whatever the document looks like; a
 * tree of json_t would take up to 70 times the body.
 *
 * Differences from the RFC, all towards accepting: lone surrogates become U+FFFD, bytes that are not
 * UTF-8 pass through (the walk repairs them). Nesting is limited to JSON_MAX_DEPTH.
 *
 * Every function returns -1 after setting the error, once; the reader is of no use afterwards.
 */
#ifndef TAILRACE_MODEL_JSON_READER_H
#define TAILRACE_MODEL_JSON_READER_H

#include "platform/buf.h"
#include "platform/err.h"

#define JSON_MAX_DEPTH 256

struct json_reader {
    const uint8_t *p, *end, *start;
    unsigned depth;
    bool first; /* no member or element of the innermost object or array has been read */
    struct err *err;
};

enum json_kind { JSON_BAD, JSON_END, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

void json_reader_init(struct json_reader *r, struct slice text, struct err *err);
/* "text at byte N". Returns -1. */
int json_error(struct json_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* What comes next, not taken. JSON_BAD: something that begins no value (an error once it is taken). */
enum json_kind json_peek(struct json_reader *r);

/* Takes '{' or '['. Then 1 for each member (its name in key, whose bytes are overwritten) or
 * element, 0 at the end, which is taken. After a 1 the caller takes exactly one value. */
int json_enter(struct json_reader *r, enum json_kind kind) MUST_USE;
int json_next_member(struct json_reader *r, struct buf *key) MUST_USE;
int json_next_element(struct json_reader *r) MUST_USE;

int json_take_string(struct json_reader *r, struct buf *out) MUST_USE; /* appends, unescaped */
int json_take_number(struct json_reader *r, struct slice *text) MUST_USE;
int json_take_literal(struct json_reader *r) MUST_USE; /* true, false, null */
int json_skip(struct json_reader *r) MUST_USE;         /* any value */
int json_finish(struct json_reader *r) MUST_USE;       /* nothing but space is left */

#endif
