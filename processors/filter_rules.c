/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three ways to say what filter drops, and what becomes of them. See filter_rules.h.
 *
 *   trace_conditions   strings, each for the context it names, or groups {context, conditions,
 *                      error_mode} that work one after the other
 *   traces             lists of conditions by context
 *   spans              include and exclude, as in attributes
 *
 * The first two become stages over one program of conditions. check and build go through the same
 * reader: check looks at every condition, build compiles them.
 */
#include "processors/filter_rules.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- keys ---- */

static const struct key traces_keys[] = {
    KEY_STRS(struct filter_traces, resource, NULL,
             "Conditions on resources; the spans of one that meets any are dropped."),
    KEY_STRS(struct filter_traces, span, NULL,
             "Conditions on spans; a span that meets any is dropped."),
    KEY_STRS(struct filter_traces, spanevent, NULL,
             "Conditions on events; an event that meets any is removed from its span."),
    KEY_END,
};

static const struct key spans_keys[] = {
    KEY_OPTIONAL(struct filter_spans, include, SECTION_OFF, match_keys,
                 "Spans that do not match are dropped."),
    KEY_OPTIONAL(struct filter_spans, exclude, SECTION_OFF, match_keys,
                 "Spans that match are dropped."),
    KEY_END,
};

#define S struct filter_settings
const struct key filter_keys[] = {
    {.name = "error_mode",
     .type = KEY_T_ENUM,
     .offset = KEY_AT(const char *, S, error_mode),
     .dflt = "ignore",
     KEY_ANY,
     .choices = ottl_error_mode_names,
     .any_case = true,
     .doc = "When a condition cannot be evaluated: ignore logs it and goes on, silent goes on, "
            "propagate refuses the batch."},
    KEY_VALUE(S, trace_conditions,
              "Conditions with the context in every path (span.name == \"x\"), or groups {context, "
              "conditions, error_mode}."),
    KEY_SECTION(S, traces, traces_keys, "Conditions by what they are on; the older style."),
    KEY_SECTION(S, spans, spans_keys, "Spans by include and exclude; the oldest style."),
    KEY_IGNORED("logs", false, "Conditions for logs; there are none here."),
    KEY_IGNORED("log_conditions", false, "Conditions for logs; there are none here."),
    KEY_IGNORED("metrics", false, "Conditions for metrics; there are none here."),
    KEY_IGNORED("metric_conditions", false, "Conditions for metrics; there are none here."),
    KEY_IGNORED("profiles", false, "Conditions for profiles; there are none here."),
    KEY_IGNORED("profile_conditions", false, "Conditions for profiles; there are none here."),
    KEY_END,
};
#undef S

/* ---- reading both styles of conditions ---- */

/* Where conditions go: c (check) or rules (build) is NULL. */
struct reader {
    struct check *c;
    struct filter_rules *rules;
    struct err *err;
    bool failed;
};

static void bad(struct reader *r, const char *path, const char *text)
{
    r->failed = true;
    if (r->c)
        check_error(r->c, path, "%s", text);
    else
        err_set(r->err, "%s: %s", path, text);
}

static struct filter_stage *stage_add(struct reader *r, enum ottl_context context,
                                      enum ottl_error_mode mode)
{
    struct filter_stage *s;

    if (!r->rules)
        return NULL;
    r->rules->stages =
        mem_grow(r->rules->stages, (r->rules->n_stages + 1) * sizeof(*r->rules->stages));
    s = &r->rules->stages[r->rules->n_stages++];
    *s = (struct filter_stage){.context = context, .mode = mode};
    return s;
}

/* One condition, into the stage when there is one. */
static void condition(struct reader *r, struct filter_stage *stage, const char *path,
                      const char *text, enum ottl_context context, bool every_prefix)
{
    struct err why;
    unsigned *all;
    int i;

    if (!stage) {
        if (ottl_check(text, context, every_prefix, &why))
            bad(r, path, why.text);
        return;
    }
    i = ottl_program_add(r->rules->program, text, context, every_prefix, &why);
    if (i < 0) {
        bad(r, path, why.text);
        return;
    }
    all = arena_alloc(r->rules->arena, (stage->n + 1) * sizeof(*all));
    if (stage->n)
        memcpy(all, stage->conditions, stage->n * sizeof(*all));
    all[stage->n++] = (unsigned)i;
    stage->conditions = all;
}

static void list(struct reader *r, const struct str_list *texts, const char *key,
                 enum ottl_context context, enum ottl_error_mode mode)
{
    struct filter_stage *stage = texts->n ? stage_add(r, context, mode) : NULL;
    char path[64];

    for (size_t i = 0; i < texts->n; i++) {
        snprintf(path, sizeof(path), "traces.%s[%zu]", key, i);
        condition(r, stage, path, texts->v[i], context, false);
    }
}

/* ---- trace_conditions: strings ---- */

/* Inferred for each by itself; then by context, from resources to events. */
static void strings(struct reader *r, const struct value *v, enum ottl_error_mode mode)
{
    char path[64];

    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++) {
        struct filter_stage *stage = NULL;

        for (size_t i = 0; i < v->n; i++) {
            enum ottl_context wanted = OTTL_RESOURCE;
            struct err why;
            int rc = ottl_infer(&v->items[i].s, 1, &wanted, &why);

            snprintf(path, sizeof(path), "trace_conditions[%zu]", i);
            if (rc && c == OTTL_RESOURCE)
                bad(r, path, why.text);
            if (rc || wanted != c)
                continue;
            if (!stage)
                stage = stage_add(r, c, mode);
            condition(r, stage, path, v->items[i].s, c, true);
        }
    }
}

/* ---- trace_conditions: groups ---- */

struct group {
    const char *context; /* NULL: inferred */
    enum ottl_error_mode mode;
    const char **texts;
    size_t n;
};

static void unknown_in_group(struct reader *r, const char *path, const char *name)
{
    char text[160];

    snprintf(text, sizeof(text),
             "unknown key \"%.60s\"; keys here: context, conditions, error_mode", name);
    bad(r, path, text);
}

static void group_conditions(struct reader *r, struct arena *a, const struct value *v,
                             const char *path, struct group *g)
{
    const struct value *items = v->type == VALUE_LIST ? v->items : v;
    size_t n = v->type == VALUE_LIST ? v->n : v->type == VALUE_STR;

    if (v->type != VALUE_LIST && v->type != VALUE_STR && v->type != VALUE_NULL)
        bad(r, path, "expected a list of strings");
    g->texts = arena_alloc(a, (n + 1) * sizeof(*g->texts));
    for (size_t i = 0; i < n; i++) {
        if (items[i].type != VALUE_STR)
            bad(r, path, "expected a list of strings");
        else
            g->texts[g->n++] = items[i].s;
    }
}

static void group_key(struct reader *r, struct arena *a, const char *name, const struct value *v,
                      const char *path, struct group *g)
{
    if (strcmp(name, "conditions") == 0) {
        group_conditions(r, a, v, path, g);
    } else if (strcmp(name, "context") == 0) {
        g->context = v->type == VALUE_STR ? v->s : "";
        if (ottl_context_of(g->context) < 0)
            bad(r, path, "unknown context: resource, scope, span and spanevent exist");
    } else if (strcmp(name, "error_mode") == 0) {
        int mode = v->type == VALUE_STR ? ottl_error_mode_of(v->s) : -1;

        if (mode < 0)
            bad(r, path, "unknown error mode: ignore, silent and propagate exist");
        else
            g->mode = (enum ottl_error_mode)mode;
    } else {
        unknown_in_group(r, path, name);
    }
}

static void group(struct reader *r, const struct value *v, size_t number, enum ottl_error_mode mode)
{
    struct arena *a = arena_new();
    struct group g = {.mode = mode};
    enum ottl_context context = OTTL_RESOURCE;
    struct filter_stage *stage;
    bool failed = r->failed;
    char path[128];
    struct err why;

    r->failed = false;
    for (size_t i = 0; i < v->n; i++) {
        snprintf(path, sizeof(path), "trace_conditions[%zu].%.60s", number, v->names[i]);
        group_key(r, a, v->names[i], &v->items[i], path, &g);
    }
    if (!r->failed && g.n) {
        if (g.context) {
            context = (enum ottl_context)ottl_context_of(g.context);
        } else if (ottl_infer(g.texts, g.n, &context, &why)) {
            snprintf(path, sizeof(path), "trace_conditions[%zu].conditions", number);
            bad(r, path, why.text);
        }
    }
    stage = !r->failed && g.n ? stage_add(r, context, g.mode) : NULL;
    for (size_t i = r->failed ? g.n : 0; i < g.n; i++) {
        snprintf(path, sizeof(path), "trace_conditions[%zu].conditions[%zu]", number, i);
        condition(r, stage, path, g.texts[i], context, !g.context);
    }
    r->failed |= failed;
    arena_free(&a);
}

/* All strings or all groups. */
static void trace_conditions(struct reader *r, const struct value *v, enum ottl_error_mode mode)
{
    size_t n_strings = 0, n_groups = 0;

    if (v->type == VALUE_NONE)
        return;
    if (v->type != VALUE_LIST) {
        bad(r, "trace_conditions", "expected a list");
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        n_strings += v->items[i].type == VALUE_STR;
        n_groups += v->items[i].type == VALUE_MAP;
        if (v->items[i].type == VALUE_NULL)
            bad(r, "trace_conditions", "condition cannot be empty");
    }
    if (n_strings + n_groups < v->n)
        bad(r, "trace_conditions",
            "expected conditions as strings, or groups {context, conditions, error_mode}");
    else if (n_strings && n_groups)
        bad(r, "trace_conditions",
            "configuring multiple configuration styles is not supported: write all conditions as "
            "strings, or all as groups");
    else if (n_strings)
        strings(r, v, mode);
    for (size_t i = 0; i < v->n && n_groups == v->n; i++)
        group(r, &v->items[i], i, mode);
}

/* ---- all ---- */

static bool given(const struct value *v)
{
    return v->type == VALUE_LIST && v->n;
}

static void read_all(struct reader *r, const struct filter_settings *s)
{
    int mode = ottl_error_mode_of(s->error_mode);

    if (mode < 0)
        return; /* the key's row has said so */
    list(r, &s->traces.resource, "resource", OTTL_RESOURCE, (enum ottl_error_mode)mode);
    list(r, &s->traces.span, "span", OTTL_SPAN, (enum ottl_error_mode)mode);
    list(r, &s->traces.spanevent, "spanevent", OTTL_SPANEVENT, (enum ottl_error_mode)mode);
    trace_conditions(r, &s->trace_conditions, (enum ottl_error_mode)mode);
}

void filter_check(const void *settings, struct check *c)
{
    const struct filter_settings *s = settings;
    struct reader r = {.c = c};
    bool traces = s->traces.resource.n || s->traces.span.n || s->traces.spanevent.n;
    bool spans = s->spans.include_enabled || s->spans.exclude_enabled;

    if (traces && spans)
        check_error(c, "traces", "cannot be used together with \"spans\"");
    if (traces && given(&s->trace_conditions))
        check_error(c, "traces", "cannot be used together with \"trace_conditions\"");
    if (spans && given(&s->trace_conditions))
        check_warn(c, "spans", "has no effect beside \"trace_conditions\"");
    if (s->spans.include_enabled)
        match_check(&s->spans.include, "spans.include", c);
    if (s->spans.exclude_enabled)
        match_check(&s->spans.exclude, "spans.exclude", c);
    read_all(&r, s);
}

static bool matches(struct filter_rules *r, const struct filter_spans *s, struct err *err)
{
    if (s->include_enabled)
        r->include = match_new(&s->include, err);
    if (s->exclude_enabled)
        r->exclude = match_new(&s->exclude, err);
    return !r->include == !s->include_enabled && !r->exclude == !s->exclude_enabled;
}

struct filter_rules *filter_rules_new(const struct filter_settings *s, struct err *err)
{
    struct filter_rules *r = mem_alloc(sizeof(*r));
    struct reader reader = {.rules = r, .err = err};

    r->arena = arena_new();
    r->program = ottl_program_new();
    read_all(&reader, s);
    ottl_program_seal(r->program);
    if (reader.failed || (!given(&s->trace_conditions) && !matches(r, &s->spans, err)))
        filter_rules_free(&r);
    return r;
}

void filter_rules_free(struct filter_rules **rules)
{
    struct filter_rules *r = *rules;

    if (!r)
        return;
    ottl_program_free(&r->program);
    match_free(&r->include);
    match_free(&r->exclude);
    free(r->stages);
    arena_free(&r->arena);
    free(r);
    *rules = NULL;
}
