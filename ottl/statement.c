/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements: an editor's call and when to make it. Editors are in editors_*.c, what they write to
 * in draft.c and path_set.c.
 *
 * Order: compiling, executing. Threads: compiling on main at start; executing on the eval's worker.
 */
#include <stdlib.h>

#include "ottl/draft.h"
#include "ottl/program.h"

int ottl_program_add_statement(struct ottl_program *p, const char *text, enum ottl_context context,
                               bool every_prefix, struct err *err)
{
    char *copy = arena_dup_n(p->arena, text, strlen(text));
    struct compiler k = {p, slice_str(copy), context, every_prefix, err, 0, 0};
    struct ast *where = NULL;
    const struct ast *a = parse_statement(p->arena, k.text, &where, err);
    struct ottl_statement s = {.text = copy, .context = context};

    CHECK(!p->keys[OTTL_SPAN]); /* not sealed */
    p->note = NULL;
    s.editor = a ? compile_editor(&k, a) : NULL;
    if (!s.editor)
        return -1;
    if (where && !(s.where = compile_condition(&k, where)))
        return -1;
    s.writes = k.writes;
    s.reads = k.reads;
    if (p->n_statements == p->cap_statements) {
        p->cap_statements = p->cap_statements ? 2 * p->cap_statements : 8;
        p->statements = mem_grow(p->statements, p->cap_statements * sizeof(*p->statements));
    }
    p->statements[p->n_statements] = s;
    return (int)p->n_statements++;
}

const char *ottl_statement_text(const struct ottl_program *p, unsigned statement)
{
    CHECK(statement < p->n_statements);
    return p->statements[statement].text;
}

bool ottl_statement_writes(const struct ottl_program *p, unsigned statement,
                           enum ottl_context context)
{
    CHECK(statement < p->n_statements);
    return p->statements[statement].writes >> context & 1;
}

bool ottl_statement_reads(const struct ottl_program *p, unsigned statement,
                          enum ottl_context context)
{
    CHECK(statement < p->n_statements);
    return p->statements[statement].reads >> context & 1;
}

int ottl_check_statement(const char *text, enum ottl_context context, bool every_prefix,
                         struct err *err)
{
    struct ottl_program *p = ottl_program_new();
    int rc = ottl_program_add_statement(p, text, context, every_prefix, err);

    ottl_program_free(&p);
    return rc < 0 ? -1 : 0;
}

enum ottl_verdict ottl_execute(struct ottl_eval *e, unsigned statement)
{
    const struct ottl_statement *s = &e->program->statements[statement];
    struct ottl_value none;

    CHECK(statement < e->program->n_statements && e->edits);
    scratch_reset(&e->scratch);
    if (s->where) {
        enum ottl_verdict v = cond_eval(e, s->where);

        if (v != OTTL_TRUE)
            return v;
    }
    return s->editor->eval(e, s->editor, &none) ? OTTL_TRUE : OTTL_ERROR;
}
