/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form, private to ottl/: nodes that evaluate themselves. */
#ifndef TAILRACE_OTTL_PROGRAM_H
#define TAILRACE_OTTL_PROGRAM_H

#include "model/match.h"
#include "ottl/ast.h"
#include "ottl/ottl.h"
#include "ottl/scratch.h"
#include "platform/regex.h"

struct node;
struct func;
struct draft;
/* False: it failed, and ottl_fail() has said why. */
typedef bool node_fn(struct ottl_eval *e, const struct node *n, struct ottl_value *out);
/* Writes the value to the path. */
typedef bool set_fn(struct ottl_eval *e, const struct node *path, const struct ottl_value *v);

struct node {
    node_fn *eval;
    bool literal; /* written in the text, so its type was checked at start */
    uint32_t at;
    const struct node **args; /* of functions by parameter (NULL: not given); operands; items */
    size_t n_args;
    const struct node **keys; /* [..][..] */
    size_t n_keys;
    struct ottl_value value; /* constants */
    char op;                 /* sums */
    struct slice *names;     /* maps: keys of the items */
    const struct func *func;
    enum ottl_context context; /* paths */
    set_fn *set;               /* paths */
    bool cache;                /* paths: this is the cache */
    int key; /* attributes: number of the first key in the context's set; -1: not known at start */
    uint32_t field;   /* paths to plain fields */
    struct regex *re; /* from an argument that is a constant */
    const void *data; /* what a function's prepare() made */
};

enum cond_kind { COND_CONST, COND_CALL, COND_COMPARE, COND_AND, COND_OR, COND_NOT };
struct cond {
    enum cond_kind kind;
    enum ottl_op op;
    bool value;
    const struct node *left, *right;
    const struct cond **kids;
    size_t n_kids;
};

struct ottl_condition {
    const struct cond *root;
    char *text;
    enum ottl_context context;
    unsigned reads; /* bit c: something of context c */
};

struct ottl_statement {
    const struct node *editor;
    const struct cond *where; /* NULL: always */
    char *text;
    enum ottl_context context;
    unsigned reads, writes; /* bit c: something of context c */
};

struct key_list {
    const char **v;
    size_t n, cap;
};

struct ottl_program {
    struct arena *arena;
    struct ottl_condition *conditions;
    unsigned n, cap;
    struct ottl_statement *statements;
    unsigned n_statements, cap_statements;
    const char *note; /* of the text that was added last */
    struct key_list key_lists[OTTL_CONTEXTS];
    struct keyset *keys[OTTL_CONTEXTS]; /* NULL until sealed */
    struct regex **regexes;
    size_t n_regexes, cap_regexes;
};

/* A resource, scope, span or event, and what was found in it. */
struct view {
    struct slice message;
    bool scanned;
    struct slice *found;  /* by number of the key: AnyValue body; p NULL: absent */
    struct draft *draft;  /* what statements have written; NULL: nothing */
    struct attr_map *map; /* where its attributes are read to; NULL: nobody has said */
    bool loaded;          /* they are there, as they are now */
};

struct span_fields {
    bool known;
    struct slice name, trace_state, parent, status;
};

struct edits;
struct ottl_eval {
    const struct ottl_program *program;
    struct edits *edits; /* NULL: only conditions are evaluated */
    struct view views[OTTL_CONTEXTS];
    const struct request_info *request; /* NULL: nothing is known of it */
    struct slice schema_url[2];         /* of resource and scope */
    const struct span *span;
    struct span_fields fields; /* when known */
    struct scratch scratch;
    struct buf text; /* where functions build; its content dies with the next use */
    char error[240];
};

/* Sets the error text. Returns false. */
bool ottl_fail(struct ottl_eval *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Memory until the condition is done. NULL: too much, and the error is set. */
void *ottl_room(struct ottl_eval *e, size_t n) MUST_USE;
/* e->text as a value that lives as long as ottl_room's memory. */
bool ottl_keep_text(struct ottl_eval *e, enum ottl_type type, struct ottl_value *out) MUST_USE;
/* clean.c: the body of a map (in records OTTL_MAP_FIELD) or a list with UTF-8 in all its texts. */
bool ottl_clean(struct ottl_eval *e, enum ottl_type type, struct slice *body) MUST_USE;
/* e->text, empty. */
struct buf *ottl_text(struct ottl_eval *e);
bool ottl_too_long(struct ottl_eval *e); /* sets the error; returns false */

/* draft.c */
void edits_free(struct edits **d); /* fine on NULL */
void edits_forget_schema(struct ottl_eval *e, enum ottl_context c);
/* eval.c */
enum ottl_verdict cond_eval(struct ottl_eval *e, const struct cond *c);
/* While compiling: a comparison in which nothing of a span is asked for. */
bool cond_of_literals(const struct ottl_program *p, const struct cond *c);

/* path_get.c */
void view_scan(struct ottl_eval *e, enum ottl_context c);

/* ---- while compiling ---- */

struct compiler {
    struct ottl_program *program;
    struct slice text;
    enum ottl_context context;
    bool every_prefix;
    struct err *err;
    unsigned writes; /* contexts that the statement writes to */
    unsigned reads;  /* contexts that paths name */
};

struct node *expr_new(struct compiler *k, const struct ast *a, node_fn *eval);
struct node *compile_value(struct compiler *k, const struct ast *a) MUST_USE;
struct node *compile_path(struct compiler *k, const struct ast *a) MUST_USE;
struct node *compile_call(struct compiler *k, const struct ast *a) MUST_USE;
struct node *compile_editor(struct compiler *k, const struct ast *a) MUST_USE;
struct cond *compile_condition(struct compiler *k, const struct ast *a) MUST_USE;
int compile_keys(struct compiler *k, struct node *n, const struct ast *first) MUST_USE;
/* Owned by the program. NULL with err set. */
struct regex *compile_regex(struct compiler *k, struct slice pattern, struct err *err) MUST_USE;
/* Number of a key in a context's set; -1: there are too many, look it up each time. */
int program_key(struct ottl_program *p, enum ottl_context c, struct slice key);

/* Applies the keys from number `first` on to v, as a path does (missing is nil) or as behind a
 * converter (missing is an error). */
bool index_path(struct ottl_eval *e, const struct node *n, size_t first, struct ottl_value *v);
bool index_result(struct ottl_eval *e, const struct node *n, struct ottl_value *v);

#endif
