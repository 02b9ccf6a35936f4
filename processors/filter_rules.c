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
 * reader: both compile everything, check throws it away.
 */
#include "processors/filter_rules.h"

#include <stdio.h>
#include <stdlib.h>

#include "processors/ottl_groups.h"

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

/* ---- stages ---- */

struct builder {
    struct filter_rules *rules;
    struct ottl_reader r;
};

static void add_stage(struct builder *b, enum ottl_context context, enum ottl_error_mode mode,
                      const char *path, const struct ottl_texts *texts, bool every_prefix)
{
    struct filter_rules *rules = b->rules;

    rules->stages = mem_grow(rules->stages, (rules->n_stages + 1) * sizeof(*rules->stages));
    rules->stages[rules->n_stages++] =
        (struct filter_stage){.context = context,
                              .mode = mode,
                              .conditions = ottl_compile(&b->r, rules->program, path, texts,
                                                         ottl_program_add, context, every_prefix),
                              .n = texts->n};
}

static void list(struct builder *b, const struct str_list *l, const char *key,
                 enum ottl_context context, enum ottl_error_mode mode)
{
    struct ottl_texts texts = {arena_alloc(b->r.arena, (l->n + 1) * sizeof(*texts.v)), l->n, NULL};
    char path[64];

    if (l->n == 0)
        return;
    for (size_t i = 0; i < l->n; i++)
        texts.v[i] = l->v[i];
    snprintf(path, sizeof(path), "traces.%s", key);
    add_stage(b, context, mode, path, &texts, false);
}

/* Each has a context of its own; they work by context, from resources to events. */
static void strings(void *owner, const struct ottl_texts *all, enum ottl_error_mode mode)
{
    struct builder *b = owner;
    enum ottl_context *of = arena_alloc(b->r.arena, all->n * sizeof(*of));
    char path[64];

    for (size_t i = 0; i < all->n; i++) {
        struct err why;

        if (ottl_infer(&all->v[i], 1, &of[i], &why) == 0)
            continue;
        of[i] = OTTL_CONTEXTS; /* of none */
        snprintf(path, sizeof(path), "trace_conditions[%zu]", i);
        ottl_reader_error(&b->r, path, why.text);
    }
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++) {
        size_t *at = arena_alloc(b->r.arena, all->n * sizeof(*at));
        struct ottl_texts some = {arena_alloc(b->r.arena, all->n * sizeof(*some.v)), 0, at};

        for (size_t i = 0; i < all->n; i++)
            if (of[i] == c) {
                at[some.n] = i;
                some.v[some.n++] = all->v[i];
            }
        if (some.n)
            add_stage(b, c, mode, "trace_conditions", &some, true);
    }
}

static void group(void *owner, const struct ottl_group *g, const char *path,
                  const char *conditions_path)
{
    struct builder *b = owner;
    enum ottl_context context = OTTL_RESOURCE;

    (void)conditions_path;
    if (g->conditions.n && ottl_group_context(&b->r, g, path, &context))
        add_stage(b, context, g->mode, path, &g->conditions, !g->context);
}

/* ---- all ---- */

static bool given(const struct value *v)
{
    return v->type == VALUE_LIST && v->n;
}

/* The Collector's words for what only filter refuses so. */
static bool has_null(struct builder *b, const struct value *v)
{
    for (size_t i = 0; v->type == VALUE_LIST && i < v->n; i++)
        if (v->items[i].type == VALUE_NULL) {
            ottl_reader_error(&b->r, "trace_conditions", "condition cannot be empty");
            return true;
        }
    return false;
}

static void read_all(struct builder *b, const struct filter_settings *s)
{
    int mode = ottl_error_mode_of(s->error_mode);
    enum ottl_error_mode m = (enum ottl_error_mode)mode;

    if (mode < 0)
        return; /* the key's row has said so */
    list(b, &s->traces.resource, "resource", OTTL_RESOURCE, m);
    list(b, &s->traces.span, "span", OTTL_SPAN, m);
    list(b, &s->traces.spanevent, "spanevent", OTTL_SPANEVENT, m);
    if (!has_null(b, &s->trace_conditions))
        ottl_read(&b->r, &s->trace_conditions, m, strings, group, b);
}

/* Compiles all: check throws it away. */
static struct builder rules_read(const struct filter_settings *s, struct check *c, struct err *err)
{
    struct filter_rules *rules = mem_alloc(sizeof(*rules));
    struct builder b = {.rules = rules};

    rules->arena = arena_new();
    rules->program = ottl_program_new();
    b.r = (struct ottl_reader){.check = c,
                               .err = err,
                               .arena = rules->arena,
                               .key = "trace_conditions",
                               .things = "conditions"};
    read_all(&b, s);
    return b;
}

void filter_check(const void *settings, struct check *c)
{
    const struct filter_settings *s = settings;
    struct builder b = rules_read(s, c, NULL);
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
    filter_rules_free(&b.rules);
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
    struct builder b = rules_read(s, NULL, err);

    ottl_program_seal(b.rules->program);
    if (b.r.failed || (!given(&s->trace_conditions) && !matches(b.rules, &s->spans, err)))
        filter_rules_free(&b.rules);
    return b.rules;
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
