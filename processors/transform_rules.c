/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From trace_statements to groups and passes. See transform_rules.h.
 *
 *   strings   one group; its context is inferred from all of them
 *   maps      a group each: {context, conditions, statements, error_mode}; without a context it is
 *             inferred from the group's statements and conditions
 *
 * check and build go through the same reader: both compile everything, check throws it away.
 * Order: keys, groups, passes, life. Threads: main, at start.
 */
#include "processors/transform_rules.h"

#include <stdlib.h>

#include "processors/ottl_groups.h"

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

/* ---- groups ---- */

struct builder {
    struct transform_rules *rules;
    struct ottl_reader r;
};

static void group(void *owner, const struct ottl_group *g, const char *path,
                  const char *conditions_path)
{
    struct builder *b = owner;
    struct transform_rules *rules = b->rules;
    enum ottl_context context = OTTL_RESOURCE;
    struct transform_group *made;

    if (g->statements.n == 0 && (g->context || g->conditions.n == 0))
        return;
    if (!ottl_group_context(&b->r, g, path, &context))
        return;
    rules->groups = mem_grow(rules->groups, (rules->n_groups + 1) * sizeof(*rules->groups));
    made = &rules->groups[rules->n_groups++];
    *made = (struct transform_group){.context = context,
                                     .mode = g->mode,
                                     .n_conditions = g->conditions.n,
                                     .n_statements = g->statements.n};
    made->conditions = ottl_compile(&b->r, rules->program, conditions_path, &g->conditions,
                                    ottl_program_add, context, !g->context);
    made->statements = ottl_compile(&b->r, rules->program, path, &g->statements,
                                    ottl_program_add_statement, context, !g->context);
}

/* They are one group. */
static void strings(void *owner, const struct ottl_texts *all, enum ottl_error_mode mode)
{
    group(owner, &(struct ottl_group){.mode = mode, .statements = *all}, "trace_statements", "");
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

static bool group_reads(const struct transform_rules *r, const struct transform_group *g,
                        enum ottl_context c)
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
        if (group_reads(r, &p->groups[i], OTTL_RESOURCE) ||
            group_reads(r, &p->groups[i], OTTL_SCOPE))
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

static struct builder rules_read(const struct transform_settings *s, struct check *c,
                                 struct err *err)
{
    struct transform_rules *rules = mem_alloc(sizeof(*rules));
    struct builder b = {.rules = rules};
    int mode = ottl_error_mode_of(s->error_mode);

    rules->arena = arena_new();
    rules->program = ottl_program_new();
    b.r = (struct ottl_reader){.check = c,
                               .err = err,
                               .arena = rules->arena,
                               .key = "trace_statements",
                               .things = "statements"};
    if (mode >= 0) /* else the key's row has said so */
        ottl_read(&b.r, &s->trace_statements, (enum ottl_error_mode)mode, strings, group, &b);
    return b;
}

void transform_check(const void *settings, struct check *c)
{
    const struct transform_settings *s = settings;
    struct builder b = rules_read(s, c, NULL);

    if (s->flatten_data)
        check_error(c, "flatten_data",
                    "requires the 'transform.flatten.logs' feature gate, which is for logs");
    transform_rules_free(&b.rules);
}

struct transform_rules *transform_rules_new(const struct transform_settings *s, struct err *err)
{
    struct builder b = rules_read(s, NULL, err);

    if (b.r.failed) {
        transform_rules_free(&b.rules);
        return NULL;
    }
    make_passes(b.rules);
    ottl_program_seal(b.rules->program);
    return b.rules;
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
