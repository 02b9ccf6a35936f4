/* SPDX-License-Identifier: Apache-2.0 */
/* Functions: what they take, and what their implementations use. */
#ifndef TAILRACE_OTTL_CALL_H
#define TAILRACE_OTTL_CALL_H

#include "ottl/eval.h"
#include "ottl/hint.h"
#include "platform/num_parse.h"

/* What a parameter accepts; the reference for processors, 6.5. */
enum arg_kind {
    ARG_ANY,
    ARG_STR,
    ARG_STR_LIKE, /* nil, or made a string */
    ARG_INT,
    ARG_INT_LIKE, /* nil, or made an int */
    ARG_DOUBLE,
    ARG_DOUBLE_LIKE,
    ARG_BOOL,
    ARG_BOOL_LIKE,
    ARG_BYTES_LIKE,
    ARG_MAP,
    ARG_LIST,
    ARG_TIME,
    ARG_DURATION,
    ARG_REGEX,  /* a string; compiled at start when it is a constant */
    ARG_TEXT,   /* a string that must stand in the condition itself */
    ARG_NUMBER, /* an int that must */
    ARG_FLAG,   /* a bool that must */
    ARG_VALUES, /* a list that must; any values */
    ARG_TEXTS,  /* a list of strings that must */
    ARG_STRS,   /* a list in brackets of strings */
    /* of editors only */
    ARG_TARGET,   /* a path, which is written */
    ARG_FUNCTION, /* the name of a function that makes a string of one */
};

#define FUNC_MOST_PARAMS 6

struct param {
    const char *name;
    enum arg_kind kind;
    bool optional;
    bool loose; /* only constants are checked: the function asks for the type */
};

#define P(name_, kind_)                                                                            \
    {                                                                                              \
        .name = name_, .kind = kind_                                                               \
    }
#define OPTIONAL(name_, kind_)                                                                     \
    {                                                                                              \
        .name = name_, .kind = kind_, .optional = true                                             \
    }
#define TESTED(name_, kind_)                                                                       \
    {                                                                                              \
        .name = name_, .kind = kind_, .loose = true                                                \
    }

struct func {
    const char *name;
    node_fn *eval;
    struct param params[FUNC_MOST_PARAMS];
    int (*prepare)(struct compiler *k, struct node *n,
                   struct err *err); /* checks arguments at start */
};

/* Tables of functions by subject, each ends with a NULL name. */
extern const struct func type_functions[], text_functions[], hash_functions[], time_functions[],
    case_functions[], parse_functions[], encode_functions[], list_functions[], url_functions[],
    format_functions[], record_functions[], grok_functions[];

/* Tables of editors; their eval() has no result. */
extern const struct func map_editors[], list_editors[], replace_editors[], name_editors[];

bool call_needs_span(struct slice function);
bool call_is_editor(struct slice name);
/* The editor, or else the converter, that was probably meant. */
struct hint call_hint(struct slice name, bool editor);

/* Argument i as its parameter wants it; OTTL_ABSENT when it was not given. */
bool arg(struct ottl_eval *e, const struct node *n, unsigned i, struct ottl_value *v) MUST_USE;
/* The expression of an ARG_REGEX; made now unless it is constant. *own: free it when it is not
 * NULL. */
const struct regex *arg_regex(struct ottl_eval *e, const struct node *n, unsigned i,
                              struct regex **own) MUST_USE;
/* A list, and of values that the Collector takes in one. False, with the error set: it is not. */
bool arg_plain_list(struct ottl_eval *e, const struct ottl_value *v) MUST_USE;
/* Strings of an ARG_STRS or ARG_TEXTS, in scratch. */
bool arg_strings(struct ottl_eval *e, const struct node *n, unsigned i, struct slice **v,
                 size_t *count) MUST_USE;
/* What the ARG_FUNCTION makes of s. */
bool arg_apply(struct ottl_eval *e, const struct node *n, unsigned i, struct slice s,
               struct slice *out) MUST_USE;
/* A constant argument; NULL: not given, or not constant. */
const struct ottl_value *arg_constant(const struct node *n, unsigned i);

/* convert.c: values as text and numbers */
/* Appends the value as StringLike has it. 0; -1 too long; -2 no text for it. nil is not covered. */
int ottl_put_text(struct ottl_eval *e, struct buf *out, const struct ottl_value *v) MUST_USE;
bool make_str_like(struct ottl_eval *e, struct ottl_value *v);
bool make_int_like(struct ottl_eval *e, struct ottl_value *v);
bool make_double_like(struct ottl_eval *e, struct ottl_value *v);
bool make_bool_like(struct ottl_eval *e, struct ottl_value *v);
bool make_bytes_like(struct ottl_eval *e, struct ottl_value *v);
bool parse_bool(struct slice s, bool *b);
/* A map whose attributes stand in records OTTL_MAP_FIELD. */
bool map_plain(struct ottl_eval *e, struct ottl_value *map);

/* func_parse.c: checks parameters 1 and 2: what parts key and value, and what parts the pairs. */
int prepare_key_value(struct compiler *k, struct node *n, struct err *err);
/* func_parse.c: 4 or 16 bytes. False: neither form. IPv4 in IPv6's clothes is IPv4. */
bool parse_address(struct slice s, uint8_t ip[static 16], unsigned *len);
/* func_encode.c: base64 with padding; to has room for (s.len + 2) / 3 * 4. Returns the length. */
size_t put_base64(struct slice s, uint8_t *to);

#endif
