/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of expressions. A value is a view: strings, maps and lists point into a span's bytes, into
 * the program, or into the scratch of the evaluation, and live until its next reset.
 */
#ifndef TAILRACE_OTTL_VALUE_H
#define TAILRACE_OTTL_VALUE_H

#include "model/attr.h"

enum ottl_type {
    OTTL_NIL,
    OTTL_BOOL,
    OTTL_INT,
    OTTL_DOUBLE,
    OTTL_STR,
    OTTL_BYTES,
    OTTL_TIME,
    OTTL_DURATION, /* i: nanoseconds */
    OTTL_MAP,      /* s: a message; its attributes stand in records number `aux` */
    OTTL_LIST,     /* s: body of an ArrayValue */
    OTTL_ITEMS,    /* a list of values that need not be attribute values */
    OTTL_TRACE_ID, /* s: 16 bytes */
    OTTL_SPAN_ID,  /* s: 8 bytes */
    OTTL_STATUS,   /* s: body of a Status */
    OTTL_EVENTS,   /* s: body of a Span */
    OTTL_LINKS,
    OTTL_ABSENT, /* an optional argument that was not given */
    OTTL_TYPES
};

struct ottl_items {
    const struct ottl_value *v;
    size_t n;
};
struct ottl_instant {
    int64_t s;        /* since the epoch */
    int32_t offset_s; /* of its zone, for what is printed of it */
    char zone[4]; /* its name, for the same; empty: UTC or none; a single G: GMT and the hours */
};

struct ottl_value {
    enum ottl_type type;
    uint32_t aux; /* MAP: field number; TIME: nanoseconds; ITEMS: not 0 when made of strings only,
                     by Split */
    union {
        struct slice s;
        int64_t i; /* BOOL: 0 or 1 */
        double d;
        struct ottl_items items;
        struct ottl_instant at;
    };
};

#define OTTL_MAP_FIELD 1 /* of a KeyValueList */

static inline struct ottl_value ottl_nil(void)
{
    return (struct ottl_value){.type = OTTL_NIL};
}
static inline struct ottl_value ottl_bool(bool b)
{
    return (struct ottl_value){.type = OTTL_BOOL, .i = b};
}
static inline struct ottl_value ottl_int(int64_t i)
{
    return (struct ottl_value){.type = OTTL_INT, .i = i};
}
static inline struct ottl_value ottl_double(double d)
{
    return (struct ottl_value){.type = OTTL_DOUBLE, .d = d};
}
static inline struct ottl_value ottl_str(struct slice s)
{
    return (struct ottl_value){.type = OTTL_STR, .s = s};
}
static inline struct ottl_value ottl_of(enum ottl_type type, struct slice s)
{
    return (struct ottl_value){.type = type, .s = s};
}
static inline struct ottl_value ottl_map(struct slice message, uint32_t field)
{
    return (struct ottl_value){.type = OTTL_MAP, .aux = field, .s = message};
}
struct ottl_value
ottl_time_ns(uint64_t unix_ns); /* UTC; the bits of a signed count, as the Collector reads it */

/* An attribute's value. Empty gives nil. */
struct ottl_value ottl_of_any(struct slice any_value_body);
/* The other way: false for what no attribute can hold. Lists of OTTL_ITEMS are not covered. */
bool ottl_to_any(const struct ottl_value *v, struct any *out);

/* As error texts name types: the Collector's words. */
const char *ottl_type_name(const struct ottl_value *v);

enum ottl_op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };
/* Never fails: types that cannot be compared are merely not equal. */
bool ottl_compare(const struct ottl_value *a, const struct ottl_value *b, enum ottl_op op);

/* Lists of both kinds. */
struct ottl_list_iter {
    struct field_iter fields;
    const struct ottl_items *items;
    size_t i;
};
/* A text as one more item of an ArrayValue. 0; -1: out is full. */
int ottl_put_item(struct buf *out, struct slice text) MUST_USE;
bool ottl_is_list(const struct ottl_value *v);
bool ottl_is_scalar(const struct ottl_value *v); /* as an attribute can be one; nil is */
/* The first in a list in brackets, to any depth, that is neither scalar nor such a list: the
 * Collector takes maps and lists of attributes, times and ids for none of its values there. NULL:
 * all are; v itself may be the one. */
const struct ottl_value *ottl_not_plain(const struct ottl_value *v);
struct ottl_list_iter ottl_list_iter(const struct ottl_value *list);
bool ottl_list_next(struct ottl_list_iter *it, struct ottl_value *v);
size_t ottl_list_len(const struct ottl_value *list);
size_t ottl_map_len(const struct ottl_value *map);
/* First entry with the key. */
bool ottl_map_get(const struct ottl_value *map, struct slice key, struct ottl_value *v);

#endif
