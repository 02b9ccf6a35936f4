/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pull reader for JSON (RFC 8259): the caller asks for the value it expects, nothing is built. So
 * the memory a document needs is what the caller keeps of it, whatever the document looks like; a
 * tree of json_t would take up to 70 times the body.
 *
 * Differences from the RFC, all towards accepting: lone surrogates become U+FFFD, bytes that are not
 * UTF-8 pass through (the walk repairs them). Nesting is limited to JR_MAX_DEPTH.
 *
 * Every function returns -1 after setting the error, once; the reader is of no use afterwards.
 */
#ifndef TAILRACE_MODEL_JSON_READER_H
#define TAILRACE_MODEL_JSON_READER_H

#include "platform/buf.h"
#include "platform/err.h"

#define JR_MAX_DEPTH 256

struct json_reader {
    const uint8_t *p, *end, *start;
    unsigned depth;
    bool first; /* no member or element of the innermost object or array has been read */
    struct err *err;
};

enum jr_kind { JR_BAD, JR_END, JR_OBJECT, JR_ARRAY, JR_STRING, JR_NUMBER, JR_TRUE, JR_FALSE, JR_NULL };

void jr_init(struct json_reader *r, struct slice text, struct err *err);
/* "text at byte N". Returns -1. */
int jr_error(struct json_reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* What comes next, not taken. JR_BAD: something that begins no value (an error once it is taken). */
enum jr_kind jr_peek(struct json_reader *r);

/* Takes '{' or '['. Then 1 for each member (its name in key, whose bytes are overwritten) or
 * element, 0 at the end, which is taken. After a 1 the caller takes exactly one value. */
int jr_enter(struct json_reader *r, enum jr_kind kind) MUST_USE;
int jr_next_member(struct json_reader *r, struct buf *key) MUST_USE;
int jr_next_element(struct json_reader *r) MUST_USE;

int jr_take_string(struct json_reader *r, struct buf *out) MUST_USE; /* appends, unescaped */
int jr_take_number(struct json_reader *r, struct slice *text) MUST_USE;
int jr_take_literal(struct json_reader *r) MUST_USE; /* true, false, null */
int jr_skip(struct json_reader *r) MUST_USE;         /* any value */
int jr_finish(struct json_reader *r) MUST_USE;       /* nothing but space is left */

#endif
