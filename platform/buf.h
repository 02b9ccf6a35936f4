/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice: bytes that belong to somebody else. buf: bytes of one's own that grow.
 * A buf has an optional cap: growing past it fails and leaves it as it was.
 */
#ifndef TAILRACE_PLATFORM_BUF_H
#define TAILRACE_PLATFORM_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform/check.h"

struct slice {
    const uint8_t *p; /* may be NULL when len is 0 */
    size_t len;
};

static inline struct slice slice_of(const void *p, size_t len)
{
    return (struct slice){(const uint8_t *)p, len};
}

static inline struct slice slice_str(const char *s)
{
    return slice_of(s, s ? strlen(s) : 0);
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

struct buf {
    uint8_t *p;
    size_t len;
    size_t cap;
    size_t max; /* 0: no cap */
};

void buf_free(struct buf *b);  /* frees the bytes, leaves an empty buf; fine on {0} */
void buf_clear(struct buf *b); /* keeps the memory */

/* Room for n more bytes after len. 0, or -1 past max or without memory. */
int buf_reserve(struct buf *b, size_t n) MUST_USE;
int buf_add(struct buf *b, const void *p, size_t n) MUST_USE;
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;

/* For text whose size the program itself bounds (pages, tables): ends the process when out of memory. */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_putv(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Appends s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_put_json(struct buf *b, struct slice s);
int buf_add_json(struct buf *b, struct slice s) MUST_USE; /* the same within the cap */

#endif
