/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace_conditions of filter and trace_statements of transform: both are lists, of strings that
 * name their context themselves, or of groups {context, conditions, error_mode}, transform's with
 * statements. Read here, once; what becomes of them is their owner's. Threads: main, at start.
 */
#ifndef TAILRACE_PROCESSORS_OTTL_GROUPS_H
#define TAILRACE_PROCESSORS_OTTL_GROUPS_H

#include "component/component.h"
#include "ottl/ottl.h"

struct ottl_texts {
    const char **v;
    size_t n;
    const size_t *at; /* their places as written; NULL: one after the other */
};

/* A group as it is written; a list of strings is one without context. */
struct ottl_group {
    const char *context; /* NULL: inferred */
    enum ottl_error_mode mode;
    struct ottl_texts statements, conditions;
};

/* What is read, for whom, and where errors go. */
struct ottl_reader {
    struct check *check; /* NULL: err takes the first error */
    struct err *err;
    struct arena *arena; /* what is read lives there */
    const char *key;     /* "trace_statements" */
    const char
        *things; /* what strings are: "statements", or "conditions" where there are no others */
    bool failed;
};

/* What the two make of it. path: of the group's things, an item's is path[i]; as in both functions
 * below. */
typedef void ottl_strings_fn(void *owner, const struct ottl_texts *all, enum ottl_error_mode mode);
typedef void ottl_group_fn(void *owner, const struct ottl_group *g, const char *path,
                           const char *conditions_path);

void ottl_reader_error(struct ottl_reader *r, const char *path, const char *text);
/* mode: of groups without one. A group with an error in it is not handed on. */
void ottl_read(struct ottl_reader *r, const struct value *v, enum ottl_error_mode mode,
               ottl_strings_fn *strings, ottl_group_fn *group, void *owner);

typedef int ottl_add_fn(struct ottl_program *p, const char *text, enum ottl_context context,
                        bool every_prefix, struct err *err);
/* Compiles the texts: their numbers in the program, in the arena. */
const unsigned *ottl_compile(struct ottl_reader *r, struct ottl_program *p, const char *path,
                             const struct ottl_texts *texts, ottl_add_fn *add,
                             enum ottl_context context, bool every_prefix) MUST_USE;
/* The group's context, given or inferred. False: there is none, and that was said. */
bool ottl_group_context(struct ottl_reader *r, const struct ottl_group *g, const char *path,
                        enum ottl_context *context) MUST_USE;

#endif
