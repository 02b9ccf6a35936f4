/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From trace_statements to groups and passes. See transform_rules.h.
 *
 *   strings   one group; its context is inferred from all of them
 *   maps      a group each: {context, conditions, statements, error_mode}; without a context it is
 *             inferred from the group's statements and conditions
 *
 * check and build go through the same reader: both compile everything, check throws it away.
 * Order: keys, the reader, groups, passes, life. Threads: main, at start.
 */
#include "processors/transform_rules.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- keys ---- */

#define S struct transform_settings
const struct key transform_keys[] = {
    {.name = "error_mode",
     .type = KEY_T_ENUM,
     .offset = KEY_AT(const char *, S, error_mode),
     .dflt = "ignore",
     KEY_ANY,
     .choices = ottl_error_mode_names,
     .any_case = true,
     .doc = "When a statement fails: ignore logs it and goes on with the next one, silent goes on, "
            "propagate refuses the batch."},
    KEY_VALUE(S, trace_statements,
              "Statements with the context in every path (set(span.name, \"x\") where span.kind == "
              "2), or groups {context, conditions, statements, error_mode}."),
    KEY_BOOL(S, flatten_data, "false", "For logs; must be false."),
    KEY_IGNORED("log_statements", false, "Statements for logs; there are none here."),
    KEY_IGNORED("metric_statements", false, "Statements for metrics; there are none here."),
    KEY_IGNORED("profile_statements", false, "Statements for profiles; there are none here."),
    KEY_END,
};
#undef S

/* ---- the reader ---- */

struct reader {
    struct check *c; /* NULL: err takes the first error */
    struct err *err;
    struct transform_rules *rules;
    bool failed;
};

/* A group as it is written. */
struct source {
    const char *context; /* NULL: inferred */
    enum ottl_error_mode mode;
    const char **statements, **conditions;
    size_t n_statements, n_conditions;
};

static void bad(struct reader *r, const char *path, const char *text)
{
    if (r->c)
        check_error(r->c, path, "%s", text);
    else if (!r->failed)
        err_set(r->err, "%s: %s", path, text);
    r->failed = true;
}

typedef int add_fn(struct ottl_program *p, const char *text, enum ottl_context context,
                   bool every_prefix, struct err *err);

/* Compiles texts; the path of each is path[i]. */
static const unsigned *compile(struct reader *r, const char *path, const char **texts, size_t n,
                               add_fn *add, enum ottl_context context, bool every_prefix)
{
    unsigned *numbers = arena_alloc(r->rules->arena, (n + 1) * sizeof(*numbers));
    char item[192];
    struct err why;

    for (size_t i = 0; i < n; i++) {
        int number = add(r->rules->program, texts[i], context, every_prefix, &why);

        snprintf(item, sizeof(item), "%s[%zu]", path, i);
        if (number < 0)
            bad(r, item, why.text);
        else
            numbers[i] = (unsigned)number;
    }
    return numbers;
}

/* path: of the statements; of the conditions. */
static void add_group(struct reader *r, const struct source *s, const char *path,
                      const char *conditions_path)
{
    struct transform_rules *rules = r->rules;
    enum ottl_context context = OTTL_RESOURCE;
    struct transform_group *g;
    struct err why;

    if (s->n_statements == 0 && (s->context || s->n_conditions == 0))
        return;
    if (s->context) {
        context = (enum ottl_context)ottl_context_of(s->context);
    } else if (ottl_infer_statements(s->statements, s->n_statements, s->conditions, s->n_conditions,
                                     &context, &why)) {
        bad(r, path, why.text);
        return;
    }
    rules->groups = mem_grow(rules->groups, (rules->n_groups + 1) * sizeof(*rules->groups));
    g = &rules->groups[rules->n_groups++];
    *g = (struct transform_group){.context = context,
                                  .mode = s->mode,
                                  .n_conditions = s->n_conditions,
                                  .n_statements = s->n_statements};
    g->conditions = compile(r, conditions_path, s->conditions, s->n_conditions, ottl_program_add,
                            context, !s->context);
    g->statements = compile(r, path, s->statements, s->n_statements, ottl_program_add_statement,
                            context, !s->context);
}

/* ---- groups ---- */

static void texts(struct reader *r, const struct value *v, const char *path, const char ***all,
                  size_t *n)
{
    const struct value *items = v->type == VALUE_LIST ? v->items : v;
    size_t count = v->type == VALUE_LIST ? v->n : v->type == VALUE_STR;

    if (v->type != VALUE_LIST && v->type != VALUE_STR && v->type != VALUE_NULL)
        bad(r, path, "expected a list of strings");
    *all = arena_alloc(r->rules->arena, (count + 1) * sizeof(**all));
    for (size_t i = 0; i < count; i++) {
        if (items[i].type != VALUE_STR)
            bad(r, path, "expected a list of strings");
        else
            (*all)[(*n)++] = items[i].s;
    }
}

static void group_key(struct reader *r, const char *name, const struct value *v, const char *path,
                      struct source *s)
{
    char text[160];

    if (strcmp(name, "statements") == 0) {
        texts(r, v, path, &s->statements, &s->n_statements);
    } else if (strcmp(name, "conditions") == 0) {
        texts(r, v, path, &s->conditions, &s->n_conditions);
    } else if (strcmp(name, "context") == 0) {
        s->context = v->type == VALUE_STR ? v->s : "";
        if (ottl_context_of(s->context) < 0)
            bad(r, path, "unknown context: resource, scope, span and spanevent exist");
    } else if (strcmp(name, "error_mode") == 0) {
        int mode = v->type == VALUE_STR ? ottl_error_mode_of(v->s) : -1;

        if (mode < 0)
            bad(r, path, "unknown error mode: ignore, silent and propagate exist");
        else
            s->mode = (enum ottl_error_mode)mode;
    } else {
        snprintf(text, sizeof(text),
                 "unknown key \"%.60s\"; keys here: context, conditions, statements, error_mode",
                 name);
        bad(r, path, text);
    }
}

static void group(struct reader *r, const struct value *v, size_t number, enum ottl_error_mode mode)
{
    struct source s = {.mode = mode};
    bool failed = r->failed;
    char path[128], conditions[128];

    r->failed = false;
    for (size_t i = 0; i < v->n; i++) {
        snprintf(path, sizeof(path), "trace_statements[%zu].%.60s", number, v->names[i]);
        group_key(r, v->names[i], &v->items[i], path, &s);
    }
    snprintf(path, sizeof(path), "trace_statements[%zu].statements", number);
    snprintf(conditions, sizeof(conditions), "trace_statements[%zu].conditions", number);
    if (!r->failed)
        add_group(r, &s, path, conditions);
    r->failed |= failed;
}

static void strings(struct reader *r, const struct value *v, enum ottl_error_mode mode)
{
    struct source s = {.mode = mode, .n_statements = v->n};

    s.statements = arena_alloc(r->rules->arena, (v->n + 1) * sizeof(*s.statements));
    for (size_t i = 0; i < v->n; i++)
        s.statements[i] = v->items[i].s;
    add_group(r, &s, "trace_statements", "");
}

/* All strings or all groups. */
static void read_all(struct reader *r, const struct transform_settings *s)
{
    const struct value *v = &s->trace_statements;
    int mode = ottl_error_mode_of(s->error_mode);
    size_t n_strings = 0, n_groups = 0;

    if (v->type == VALUE_NONE || mode < 0) /* the key's row has said so */
        return;
    if (v->type != VALUE_LIST) {
        bad(r, "trace_statements", "expected a list");
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        n_strings += v->items[i].type == VALUE_STR;
        n_groups += v->items[i].type == VALUE_MAP;
    }
    if (n_strings + n_groups < v->n)
        bad(r, "trace_statements",
            "expected statements as strings, or groups {context, conditions, statements, "
            "error_mode}");
    else if (n_strings && n_groups)
        bad(r, "trace_statements",
            "configuring multiple configuration styles is not supported: write all statements as "
            "strings, or all as groups");
    else if (n_strings)
        strings(r, v, (enum ottl_error_mode)mode);
    for (size_t i = 0; i < v->n && n_groups == v->n; i++)
        group(r, &v->items[i], i, (enum ottl_error_mode)mode);
}

/* ---- passes ---- */

static bool writes_shared(const struct transform_rules *r, const struct transform_group *g)
{
    for (size_t i = 0; i < g->n_statements; i++)
        if (ottl_statement_writes(r->program, g->statements[i], OTTL_RESOURCE) ||
            ottl_statement_writes(r->program, g->statements[i], OTTL_SCOPE))
            return true;
    return false;
}

static void make_passes(struct transform_rules *r)
{
    bool joins = false; /* the next group may join the last pass */

    r->passes = mem_alloc_array(r->n_groups + 1, sizeof(*r->passes));
    for (size_t i = 0; i < r->n_groups; i++) {
        const struct transform_group *g = &r->groups[i];
        bool alone = g->context < OTTL_SPAN || writes_shared(r, g);

        if (alone || !joins)
            r->passes[r->n_passes++] = (struct transform_pass){
                .groups = g, .context = g->context < OTTL_SPAN ? g->context : OTTL_SPAN};
        r->passes[r->n_passes - 1].n++;
        joins = !alone;
    }
}

static bool group_reads(const struct transform_rules *r, const struct transform_group *g, enum ottl_context c)
{
    for (size_t i = 0; i < g->n_conditions; i++)
        if (ottl_condition_reads(r->program, g->conditions[i], c))
            return true;
    for (size_t i = 0; i < g->n_statements; i++)
        if (ottl_statement_reads(r->program, g->statements[i], c))
            return true;
    return false;
}

bool transform_reads_shared(const struct transform_rules *r, const struct transform_pass *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (group_reads(r, &p->groups[i], OTTL_RESOURCE) || group_reads(r, &p->groups[i], OTTL_SCOPE))
            return true;
    return false;
}

bool transform_writes_shared(const struct transform_rules *r, const struct transform_pass *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (writes_shared(r, &p->groups[i]))
            return true;
    return false;
}

/* ---- life ---- */

static struct transform_rules *rules_read(struct reader *r, const struct transform_settings *s)
{
    struct transform_rules *rules = mem_alloc(sizeof(*rules));

    rules->arena = arena_new();
    rules->program = ottl_program_new();
    r->rules = rules;
    read_all(r, s);
    return rules;
}

void transform_check(const void *settings, struct check *c)
{
    const struct transform_settings *s = settings;
    struct reader r = {.c = c};
    struct transform_rules *rules = rules_read(&r, s);

    if (s->flatten_data)
        check_error(c, "flatten_data",
                    "requires the 'transform.flatten.logs' feature gate, which is for logs");
    transform_rules_free(&rules);
}

struct transform_rules *transform_rules_new(const struct transform_settings *s, struct err *err)
{
    struct reader r = {.err = err};
    struct transform_rules *rules = rules_read(&r, s);

    if (r.failed) {
        transform_rules_free(&rules);
        return NULL;
    }
    make_passes(rules);
    ottl_program_seal(rules->program);
    return rules;
}

void transform_rules_free(struct transform_rules **rules)
{
    struct transform_rules *r = *rules;

    if (!r)
        return;
    ottl_program_free(&r->program);
    free(r->groups);
    free(r->passes);
    arena_free(&r->arena);
    free(r);
    *rules = NULL;
}
