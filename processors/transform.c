/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transform: changes spans, events, resources and scopes by statements of the transformation
 * language.
 *
 * Problem: statements are tried on every span and change few. Design: groups of statements that
 * touch spans and events only go over a span together (a pass); what they write is kept beside the
 * span's bytes and the span is written once, when the last of them is done. A span that nothing
 * changes keeps its bytes and costs the evaluation of the conditions. Resources and scopes are
 * written when the walk leaves them. The last pass, when it is one over spans, is what joins this
 * processor's neighbours (map.h); those before it go over a part for themselves.
 *
 * A statement that fails leaves things as they are, but for what the Collector too has done by then
 * (error_mode ignore, silent), or has the whole batch refused (propagate). When the budget refuses
 * room the whole batch goes back to its sender, or is dropped and counted. Threads: one worker; the
 * rules are shared.
 */
#include <stdio.h>
#include <stdlib.h>

#include "processors/map.h"
#include "processors/processors.h"
#include "processors/transform_rules.h"

static const struct metric_row transform_rows[] = {
    {.name = "tailrace_transform_errors",
     .type = METRIC_COUNTER,
     .level = METRIC_BASIC,
     .unit = "{errors}",
     .help = "How often a statement or a condition failed."},
    ITEMS_ROW_INCOMING,
    ITEMS_ROW_OUTGOING,
    {.name = NULL},
};

/* The resource and the scope at hand. */
struct place {
    uint32_t scope, resource;
    bool in_scope, in_resource;
};

struct transform {
    struct map_processor m;
    const struct transform_rules *rules;
    const struct transform_pass *last; /* what joins others: spans go through it one by one; NULL: none */
    size_t n_before;                   /* passes over a part before that */
    struct ottl_eval *eval;
    struct place at;
    struct series *errors;
};

static struct transform *transform_of(struct map_processor *m)
{
    CHECK(m->c.type == &transform_type);
    return CONTAINER_OF(m, struct transform, m);
}

/* ---- statements ---- */

/* False: the batch is refused. */
static bool failed(struct transform *t, enum ottl_error_mode mode, const char *what,
                   const char *kind, const char *text)
{
    if (ottl_no_room(t->eval))
        return false;
    series_add(t->errors, 1);
    if (mode == OTTL_IGNORE)
        log_warn(&t->m.c.host->log, what, LOG_STR("error", ottl_error(t->eval)), LOG_STR(kind, text));
    if (mode != OTTL_PROPAGATE)
        return true;
    snprintf(t->m.refusal, sizeof(t->m.refusal), "%s: %.150s, %s", what, text, ottl_error(t->eval));
    return false;
}

/* Does any condition of the group hold? *fine: false when the batch is refused. */
static bool wanted(struct transform *t, const struct transform_group *g, bool *fine)
{
    for (size_t i = 0; i < g->n_conditions && *fine; i++) {
        enum ottl_verdict v = ottl_condition(t->eval, g->conditions[i]);

        if (v == OTTL_TRUE)
            return true;
        if (v == OTTL_ERROR)
            *fine = failed(t, g->mode, "failed to eval condition", "condition",
                           ottl_condition_text(t->rules->program, g->conditions[i]));
    }
    return g->n_conditions == 0;
}

/* The group on what is set. False: the batch is refused, or there is no room. */
static bool run(struct transform *t, const struct transform_group *g)
{
    bool fine = true;

    ottl_begin(t->eval);
    if (!wanted(t, g, &fine))
        return fine;
    for (size_t i = 0; i < g->n_statements && fine; i++)
        if (ottl_execute(t->eval, g->statements[i]) == OTTL_ERROR)
            fine = failed(t, g->mode, "failed to execute statement", "statement",
                          ottl_statement_text(t->rules->program, g->statements[i]));
    return fine;
}

static bool run_on_events(struct transform *t, const struct transform_group *g)
{
    struct ottl_event_iter it = ottl_event_iter(t->eval);

    while (ottl_next_event(t->eval, &it))
        if (!run(t, g) || !ottl_keep_event(t->eval, &it))
            return false;
    return true;
}

/* ---- places ---- */

static bool leave_scope(struct transform *t, struct editor *ed, struct place *at)
{
    struct slice url;

    if (!at->in_scope)
        return true;
    at->in_scope = false;
    if (ottl_changed(t->eval, OTTL_SCOPE)) {
        size_t size = ottl_new_size(t->eval, OTTL_SCOPE);
        uint8_t *room = editor_scope_room(ed, at->scope, size);

        if (!room)
            return false;
        CHECK(ottl_new_body(t->eval, OTTL_SCOPE, room) == room + size);
    }
    return !ottl_new_schema(t->eval, OTTL_SCOPE, &url) ||
           editor_set_scope_schema(ed, at->scope, url);
}

static bool leave_resource(struct transform *t, struct editor *ed, struct place *at)
{
    struct slice url;

    if (!at->in_resource)
        return true;
    at->in_resource = false;
    if (ottl_changed(t->eval, OTTL_RESOURCE)) {
        size_t size = ottl_new_size(t->eval, OTTL_RESOURCE);
        uint8_t *room = editor_resource_room(ed, at->resource, size);

        if (!room)
            return false;
        CHECK(ottl_new_body(t->eval, OTTL_RESOURCE, room) == room + size);
    }
    return !ottl_new_schema(t->eval, OTTL_RESOURCE, &url) ||
           editor_set_resource_schema(ed, at->resource, url);
}

static bool enter_resource(struct transform *t, struct editor *ed, uint32_t resource,
                           struct place *at)
{
    if (at->in_resource && at->resource == resource)
        return true;
    if (!leave_scope(t, ed, at) || !leave_resource(t, ed, at))
        return false;
    ottl_set_resource(t->eval, editor_resource(ed, resource), editor_resource_schema(ed, resource));
    at->resource = resource;
    at->in_resource = true;
    return true;
}

static bool enter_scope(struct transform *t, struct editor *ed, uint32_t scope, struct place *at)
{
    if (at->in_scope && at->scope == scope)
        return true;
    if (!leave_scope(t, ed, at) || !enter_resource(t, ed, editor_scope_resource(ed, scope), at))
        return false;
    ottl_set_scope(t->eval, editor_scope(ed, scope), editor_scope_schema(ed, scope));
    at->scope = scope;
    at->in_scope = true;
    return true;
}

/* ---- passes ---- */

static bool pass_resources(struct transform *t, const struct transform_pass *p, struct editor *ed,
                           struct place *at)
{
    for (uint32_t r = editor_first_resource(ed); r < editor_end_resource(ed); r++)
        if (!enter_resource(t, ed, r, at) || !run(t, p->groups))
            return false;
    return true;
}

static bool pass_scopes(struct transform *t, const struct transform_pass *p, struct editor *ed,
                        struct place *at)
{
    for (uint32_t s = editor_first_scope(ed); s < editor_end_scope(ed); s++)
        if (!enter_scope(t, ed, s, at) || !run(t, p->groups))
            return false;
    return true;
}

static bool write_span(struct transform *t, struct editor *ed, uint32_t i)
{
    size_t size = ottl_new_size(t->eval, OTTL_SPAN);
    bool facts = ottl_new_facts(t->eval);
    uint8_t *body = editor_span_room(ed, i, size);

    if (!body)
        return false;
    CHECK(ottl_new_body(t->eval, OTTL_SPAN, body) == body + size);
    return !facts || editor_span_facts(ed, i);
}

/* The span that is set through the groups of a pass. False: refused, or no room. */
static bool run_on_span(struct transform *t, const struct transform_pass *p, const struct span *s)
{
    for (size_t k = 0; k < p->n; k++) {
        const struct transform_group *g = &p->groups[k];

        if (g->context == OTTL_SPAN ? !run(t, g)
                                    : s->flags & SPAN_HAS_EVENTS && !run_on_events(t, g))
            return false;
    }
    return true;
}

static bool pass_spans(struct transform *t, const struct transform_pass *p, struct editor *ed,
                       struct place *at)
{
    for (uint32_t i = 0; i < ed->n_spans; i++) {
        const struct span *s = editor_span(ed, i);

        if (!enter_scope(t, ed, editor_scope_of(ed, s), at))
            return false;
        ottl_set_span(t->eval, s);
        if (!run_on_span(t, p, s) || (ottl_changed(t->eval, OTTL_SPAN) && !write_span(t, ed, i)))
            return false;
    }
    return true;
}

static bool pass(struct transform *t, const struct transform_pass *p, struct editor *ed)
{
    struct place at = {0};
    bool fine;

    if (p->context == OTTL_RESOURCE)
        fine = pass_resources(t, p, ed, &at);
    else if (p->context == OTTL_SCOPE)
        fine = pass_scopes(t, p, ed, &at);
    else
        fine = pass_spans(t, p, ed, &at);
    return fine && leave_scope(t, ed, &at) && leave_resource(t, ed, &at);
}

/* ---- as a map processor ---- */

static enum map_fate failure(const struct transform *t)
{
    return t->m.refusal[0] ? MAP_REFUSED : MAP_NO_ROOM;
}

static void transform_begin(struct map_processor *m, const struct batch *b)
{
    ottl_forget_no_room(transform_of(m)->eval);
    ottl_set_request(transform_of(m)->eval, b->info);
}

static enum map_fate transform_part(struct map_processor *m, struct editor *ed)
{
    struct transform *t = transform_of(m);

    t->at = (struct place){0};
    for (size_t k = 0; k < t->n_before; k++)
        if (!pass(t, &t->rules->passes[k], ed))
            return failure(t);
    return MAP_KEPT;
}

static enum map_fate transform_span(struct map_processor *m, struct open_span *os)
{
    struct transform *t = transform_of(m);
    const struct span *s = open_span_now(os);

    if (!enter_scope(t, os->ed, editor_scope_of(os->ed, s), &t->at))
        return failure(t);
    ottl_set_span(t->eval, s);
    ottl_share_attributes(t->eval, os->map, os->loaded);
    if (!run_on_span(t, t->last, s))
        return failure(t);
    os->loaded = ottl_attributes_loaded(t->eval);
    if (!ottl_rewritten(t->eval))
        return MAP_KEPT;
    open_span_rewritten(os);
    return write_span(t, os->ed, os->i) ? MAP_KEPT : MAP_NO_ROOM;
}

static const struct map_ops transform_map = {
    .begin = transform_begin,
    .part = transform_part,
    .span = transform_span,
};

/* ---- life ---- */

static int transform_shared_create(const void *settings, struct host *host, void **shared,
                                   struct err *err)
{
    (void)host;
    *shared = transform_rules_new(settings, err);
    return *shared ? 0 : -1;
}

static void transform_shared_destroy(void **shared)
{
    struct transform_rules *r = *shared;

    transform_rules_free(&r);
    *shared = NULL;
}

/* The last pass joins other processors when it is one over spans that writes to them alone. */
static void choose_last(struct transform *t)
{
    const struct transform_rules *r = t->rules;
    const struct transform_pass *last = r->n_passes ? &r->passes[r->n_passes - 1] : NULL;

    t->n_before = r->n_passes;
    if (last && last->context == OTTL_SPAN && !transform_writes_shared(r, last)) {
        t->last = last;
        t->n_before--;
    }
}

static unsigned transform_traits(const struct transform *t)
{
    unsigned traits = t->last ? MAP_SPANS : 0;

    if (t->last && transform_reads_shared(t->rules, t->last))
        traits |= MAP_LOOKS;
    for (size_t i = 0; i < t->rules->n_groups; i++)
        if (t->rules->groups[i].mode == OTTL_PROPAGATE)
            traits |= MAP_REFUSES;
    for (size_t k = 0; k < t->n_before; k++)
        traits |= t->rules->passes[k].context == OTTL_SPAN ? MAP_ENVELOPE | MAP_FIRST : MAP_ENVELOPE;
    return traits;
}

static struct component *transform_create(struct host *h, const void *settings, struct err *err)
{
    struct transform *t = mem_alloc(sizeof(*t));

    (void)settings, (void)err;
    t->rules = h->shared;
    choose_last(t);
    map_init(&t->m, &transform_type, h, transform_traits(t));
    t->eval = ottl_editor_new(t->rules->program, h->budget);
    t->errors = processor_series(h, &transform_rows[0]);
    return &t->m.c;
}

static void transform_destroy(struct component **c)
{
    struct transform *t;

    if (!*c)
        return;
    t = transform_of(map_of(*c));
    ottl_eval_free(&t->eval);
    map_free(&t->m);
    free(t);
    *c = NULL;
}

const struct component_type transform_type = {
    .kind = PROCESSOR,
    .name = "transform",
    .stability = "beta",
    .summary = "Changes spans, events, resources and scopes by statements (OTTL).",
    .keys = transform_keys,
    .settings_size = sizeof(struct transform_settings),
    .metrics = transform_rows,
    .map = &transform_map,
    .mutates = true,
    .check = transform_check,
    .shared_create = transform_shared_create,
    .shared_destroy = transform_shared_destroy,
    .create = transform_create,
    .push = map_push,
    .drain = map_drain,
    .destroy = transform_destroy,
};
