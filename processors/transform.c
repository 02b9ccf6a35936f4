/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transform: changes spans, events, resources and scopes by statements of the transformation
 * language.
 *
 * Problem: statements are tried on every span and change few. Design: groups of statements that
 * touch spans and events only go over a span together; what they write is kept beside the span's
 * bytes and the span is written once, when the last of them is done. A span that nothing changes
 * keeps its bytes and costs the evaluation of the conditions. Resources and scopes are written when
 * the walk leaves them.
 *
 * A statement that fails leaves things as they are, but for what the Collector too has done by then
 * (error_mode ignore, silent), or has the whole batch refused (propagate). When the budget refuses
 * room the whole batch goes back to its sender, or is dropped and counted. Threads: one worker; the
 * rules are shared.
 */
#include <stdio.h>
#include <stdlib.h>

#include "processors/edit.h"
#include "processors/items.h"
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

struct transform {
    struct component c;
    const struct transform_rules *rules;
    struct ottl_eval *eval;
    struct items items;
    struct series *errors;
    char refusal[400]; /* why the batch at hand is refused; empty: it is not */
    bool drained;
};

static struct transform *transform_of(struct component *c)
{
    CHECK(c->type == &transform_type);
    return CONTAINER_OF(c, struct transform, c);
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
        log_warn(&t->c.host->log, what, LOG_STR("error", ottl_error(t->eval)), LOG_STR(kind, text));
    if (mode != OTTL_PROPAGATE)
        return true;
    snprintf(t->refusal, sizeof(t->refusal), "%s: %.150s, %s", what, text, ottl_error(t->eval));
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

/* The resource and the scope at hand. */
struct place {
    uint32_t scope, resource;
    bool in_scope, in_resource;
};

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

static bool pass_spans(struct transform *t, const struct transform_pass *p, struct editor *ed,
                       struct place *at)
{
    for (uint32_t i = 0; i < ed->n_spans; i++) {
        const struct span *s = editor_span(ed, i);

        if (!enter_scope(t, ed, editor_scope_of(ed, s), at))
            return false;
        ottl_set_span(t->eval, s);
        for (size_t k = 0; k < p->n; k++) {
            const struct transform_group *g = &p->groups[k];

            if (g->context == OTTL_SPAN ? !run(t, g)
                                        : s->flags & SPAN_HAS_EVENTS && !run_on_events(t, g))
                return false;
        }
        if (ottl_changed(t->eval, OTTL_SPAN) && !write_span(t, ed, i))
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

/* ---- batches ---- */

/* False: refused, or no room. */
static bool transform(struct transform *t, struct batch *b)
{
    bool edited = false;

    for (size_t k = 0; k < t->rules->n_passes; k++)
        for (uint32_t i = 0; i < b->n_parts; i++) {
            struct editor ed = editor_of(b, i);

            if (!pass(t, &t->rules->passes[k], &ed))
                return false;
            edited |= ed.edited;
        }
    if (edited)
        batch_settle(b, FATE_FILTERED, DROP_NONE);
    return true;
}

static void refuse(struct transform *t, struct batch **take)
{
    if ((*take)->waiter.fn)
        batch_refuse(take, &(struct answer_detail){.answer = ANSWER_RETRY, .text = t->refusal});
    else
        batch_drop(take, DROP_ERROR, t->refusal);
    t->refusal[0] = 0;
}

static void transform_push(struct component *c, struct batch **take)
{
    struct transform *t = transform_of(c);
    uint64_t n = (*take)->n_spans;

    series_add(t->items.incoming, n);
    if (t->drained) {
        processor_closed(take);
        return;
    }
    ottl_set_request(t->eval, (*take)->info);
    if (!transform(t, *take)) {
        ottl_forget_no_room(t->eval);
        if (t->refusal[0])
            refuse(t, take);
        else
            processor_no_memory(take);
        return;
    }
    series_add(t->items.outgoing, n);
    host_emit(c->host, take);
}

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

static struct component *transform_create(struct host *h, const void *settings, struct err *err)
{
    struct transform *t = mem_alloc(sizeof(*t));

    (void)settings, (void)err;
    t->c = (struct component){&transform_type, h};
    t->rules = h->shared;
    t->eval = ottl_editor_new(t->rules->program, h->budget);
    t->items = items_new(h);
    t->errors = processor_series(h, &transform_rows[0]);
    return &t->c;
}

static void transform_drain(struct component *c)
{
    struct transform *t = transform_of(c);

    if (t->drained)
        return;
    t->drained = true;
    host_drained(c->host);
}

static void transform_destroy(struct component **c)
{
    struct transform *t;

    if (!*c)
        return;
    t = transform_of(*c);
    ottl_eval_free(&t->eval);
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
    .mutates = true,
    .check = transform_check,
    .shared_create = transform_shared_create,
    .shared_destroy = transform_shared_destroy,
    .create = transform_create,
    .push = transform_push,
    .drain = transform_drain,
    .destroy = transform_destroy,
};
