/* SPDX-License-Identifier: Apache-2.0 */
/* Reading lists of conditions and statements. See ottl_groups.h. Order: errors, groups, lists,
 * compiling. */
#include "processors/ottl_groups.h"

#include <stdio.h>

/* ---- errors ---- */

void ottl_reader_error(struct ottl_reader *r, const char *path, const char *text)
{
    if (r->check)
        check_error(r->check, path, "%s", text);
    else if (!r->failed)
        err_set(r->err, "%s: %s", path, text);
    r->failed = true;
}

static bool has_statements(const struct ottl_reader *r)
{
    return strcmp(r->things, "statements") == 0;
}

/* The keys of a group. */
static const char *keys_of(const struct ottl_reader *r)
{
    return has_statements(r) ? "context, conditions, statements, error_mode"
                             : "context, conditions, error_mode";
}

/* ---- groups ---- */

static void texts(struct ottl_reader *r, const struct value *v, const char *path,
                  struct ottl_texts *all)
{
    const struct value *items = v->type == VALUE_LIST ? v->items : v;
    size_t count = v->type == VALUE_LIST ? v->n : v->type == VALUE_STR;

    if (v->type != VALUE_LIST && v->type != VALUE_STR && v->type != VALUE_NULL)
        ottl_reader_error(r, path, "expected a list of strings");
    all->v = arena_alloc(r->arena, (count + 1) * sizeof(*all->v));
    for (size_t i = 0; i < count; i++) {
        if (items[i].type != VALUE_STR)
            ottl_reader_error(r, path, "expected a list of strings");
        else
            all->v[all->n++] = items[i].s;
    }
}

static void context(struct ottl_reader *r, const struct value *v, const char *path,
                    struct ottl_group *g)
{
    g->context = v->type == VALUE_STR ? v->s : "";
    if (ottl_context_of(g->context) < 0)
        ottl_reader_error(r, path, "unknown context: resource, scope, span and spanevent exist");
}

static void error_mode(struct ottl_reader *r, const struct value *v, const char *path,
                       struct ottl_group *g)
{
    int mode = v->type == VALUE_STR ? ottl_error_mode_of(v->s) : -1;

    if (mode < 0)
        ottl_reader_error(r, path, "unknown error mode: ignore, silent and propagate exist");
    else
        g->mode = (enum ottl_error_mode)mode;
}

static void group_key(struct ottl_reader *r, const char *name, const struct value *v,
                      const char *path, struct ottl_group *g)
{
    char text[160];

    if (strcmp(name, "statements") == 0 && has_statements(r)) {
        texts(r, v, path, &g->statements);
    } else if (strcmp(name, "conditions") == 0) {
        texts(r, v, path, &g->conditions);
    } else if (strcmp(name, "context") == 0) {
        context(r, v, path, g);
    } else if (strcmp(name, "error_mode") == 0) {
        error_mode(r, v, path, g);
    } else {
        snprintf(text, sizeof(text), "unknown key \"%.60s\"; keys here: %s", name, keys_of(r));
        ottl_reader_error(r, path, text);
    }
}

static bool read_group(struct ottl_reader *r, const struct value *v, size_t number,
                       struct ottl_group *g)
{
    bool failed = r->failed, fine;
    char path[128];

    r->failed = false;
    for (size_t i = 0; i < v->n; i++) {
        snprintf(path, sizeof(path), "%s[%zu].%.60s", r->key, number, v->names[i]);
        group_key(r, v->names[i], &v->items[i], path, g);
    }
    fine = !r->failed;
    r->failed |= failed;
    return fine;
}

/* ---- lists ---- */

/* All strings or all groups: false, and that was said, when they are neither. */
static bool is_uniform(struct ottl_reader *r, const struct value *v)
{
    size_t n_strings = 0, n_groups = 0;
    char text[200];

    for (size_t i = 0; i < v->n; i++) {
        n_strings += v->items[i].type == VALUE_STR;
        n_groups += v->items[i].type == VALUE_MAP;
    }
    if (n_strings == v->n || n_groups == v->n)
        return true;
    if (n_strings + n_groups == v->n)
        snprintf(text, sizeof(text),
                 "configuring multiple configuration styles is not supported: write all %s as "
                 "strings, or all as groups",
                 r->things);
    else
        snprintf(text, sizeof(text), "expected %s as strings, or groups {%s}", r->things,
                 keys_of(r));
    ottl_reader_error(r, r->key, text);
    return false;
}

static struct ottl_texts strings_of(struct ottl_reader *r, const struct value *v)
{
    struct ottl_texts all = {arena_alloc(r->arena, (v->n + 1) * sizeof(*all.v)), v->n, NULL};

    for (size_t i = 0; i < v->n; i++)
        all.v[i] = v->items[i].s;
    return all;
}

void ottl_read(struct ottl_reader *r, const struct value *v, enum ottl_error_mode mode,
               ottl_strings_fn *strings, ottl_group_fn *group, void *owner)
{
    char path[96], conditions[96];

    if (v->type == VALUE_NONE)
        return;
    if (v->type != VALUE_LIST) {
        ottl_reader_error(r, r->key, "expected a list");
        return;
    }
    if (v->n == 0 || !is_uniform(r, v))
        return;
    if (v->items[0].type == VALUE_STR) {
        struct ottl_texts all = strings_of(r, v);

        strings(owner, &all, mode);
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        struct ottl_group g = {.mode = mode};

        snprintf(path, sizeof(path), "%s[%zu].%s", r->key, i, r->things);
        snprintf(conditions, sizeof(conditions), "%s[%zu].conditions", r->key, i);
        if (read_group(r, &v->items[i], i, &g))
            group(owner, &g, path, conditions);
    }
}

/* ---- compiling ---- */

const unsigned *ottl_compile(struct ottl_reader *r, struct ottl_program *p, const char *path,
                             const struct ottl_texts *texts, ottl_add_fn *add,
                             enum ottl_context context, bool every_prefix)
{
    unsigned *numbers = arena_alloc(r->arena, (texts->n + 1) * sizeof(*numbers));
    char item[128];
    struct err why;

    for (size_t i = 0; i < texts->n; i++) {
        int number = add(p, texts->v[i], context, every_prefix, &why);

        snprintf(item, sizeof(item), "%s[%zu]", path, texts->at ? texts->at[i] : i);
        if (number < 0)
            ottl_reader_error(r, item, why.text);
        else
            numbers[i] = (unsigned)number;
        if (number >= 0 && r->check && ottl_program_note(p))
            check_warn(r->check, item, "%s", ottl_program_note(p));
    }
    return numbers;
}

bool ottl_group_context(struct ottl_reader *r, const struct ottl_group *g, const char *path,
                        enum ottl_context *context)
{
    struct err why;

    if (g->context) {
        *context = (enum ottl_context)ottl_context_of(g->context);
        return true;
    }
    if (ottl_infer_statements(g->statements.v, g->statements.n, g->conditions.v, g->conditions.n,
                              context, &why) == 0)
        return true;
    ottl_reader_error(r, path, why.text);
    return false;
}
