/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: drops spans, whole resources, and events that meet a condition.
 *
 * Problem: conditions are asked of every span and hardly any meets one. Design: a span goes through
 * the stages of filter_rules.h until one drops it; what a stage said of a resource or a scope is
 * kept for its next span. Nothing is written before something is dropped: a part that loses a span
 * gets tables of its own, its bytes stay; a span that loses an event is written anew without it.
 *
 * A dropped span is FATE_FILTERED in the ledger. A condition that cannot be evaluated does not hold
 * (error_mode ignore, silent) or has the whole batch refused (propagate).
 * When the budget refuses room the whole batch goes back to its sender, or is dropped and counted.
 * Threads: one worker; the rules are shared.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model/otlp_walk.h"
#include "processors/edit.h"
#include "processors/filter_rules.h"
#include "processors/items.h"
#include "processors/processors.h"
#include "model/wire_checked.h"

enum { ROW_FILTERED, ROW_ERRORS };
static const struct metric_row filter_rows[] = {
    [ROW_FILTERED] = {.name = "otelcol_processor_filter_spans_filtered",
                      .type = METRIC_COUNTER,
                      .level = METRIC_BASIC,
                      .unit = "1",
                      .help = "Number of spans dropped by the filter processor [Alpha]"},
    [ROW_ERRORS] = {.name = "tailrace_filter_condition_errors",
                    .type = METRIC_COUNTER,
                    .level = METRIC_BASIC,
                    .unit = "{errors}",
                    .help = "How often a condition could not be evaluated."},
    ITEMS_ROW_INCOMING,
    ITEMS_ROW_OUTGOING,
    {.name = NULL},
};

/* What a stage on resources or scopes said of the latest one. */
struct stage_look {
    bool known, drop;
};

struct filter {
    struct component c;
    const struct filter_rules *rules;
    struct ottl_eval *eval;
    struct stage_look *looks; /* by stage */
    struct buf out; /* a span without some of its events */
    struct items items;
    struct series *filtered, *errors;
    char refusal[320]; /* why the batch at hand is refused; empty: it is not */
    bool drained;
};

static struct filter *filter_of(struct component *c)
{
    CHECK(c->type == &filter_type);
    return CONTAINER_OF(c, struct filter, c);
}

/* ---- conditions ---- */

static void failed(struct filter *f, const struct filter_stage *s, unsigned condition)
{
    const char *text = ottl_condition_text(f->rules->program, condition);

    series_add(f->errors, 1);
    if (s->mode == OTTL_IGNORE)
        log_warn(&f->c.host->log, "failed to eval condition", LOG_STR("error", ottl_error(f->eval)),
                 LOG_STR("condition", text));
    if (s->mode == OTTL_PROPAGATE && !f->refusal[0])
        snprintf(f->refusal, sizeof(f->refusal), "failed to eval condition: %.100s: %s", text,
                 ottl_error(f->eval));
}

/* Does any condition of the stage hold for what is set? */
static bool holds(struct filter *f, const struct filter_stage *s)
{
    for (size_t i = 0; i < s->n; i++)
        switch (ottl_condition(f->eval, s->conditions[i])) {
        case OTTL_TRUE:
            return true;
        case OTTL_ERROR:
            failed(f, s, s->conditions[i]);
            if (s->mode == OTTL_PROPAGATE)
                return false;
            break;
        case OTTL_FALSE:
            break;
        }
    return false;
}

static void forget(struct filter *f, enum ottl_context context)
{
    for (size_t i = 0; i < f->rules->n_stages; i++)
        if (f->rules->stages[i].context <= OTTL_SCOPE && f->rules->stages[i].context >= context)
            f->looks[i].known = false;
}

/* ---- events ---- */

#define KEPT_BYTES ((size_t)64 * 1024) /* of the scratch, between spans */

/* The span as it is in f->out, in the payload. */
static bool keep_rest(struct filter *f, struct editor *ed, uint32_t i)
{
    uint8_t *to = editor_span_room(ed, i, f->out.len);

    if (to)
        wire_put_slice(to, slice_of(f->out.p, f->out.len));
    return to && editor_span_facts(ed, i);
}

/* Gathers the span without the events the stage drops; *any: there are such. False: no room. */
static bool gather(struct filter *f, const struct filter_stage *s, struct slice body, bool *any)
{
    struct field_iter it = field_iter(body);
    struct field fd;

    *any = false;
    buf_clear(&f->out);
    while (field_next(&it, &fd)) {
        bool gone = false;

        if (fd.number == SPAN_EVENTS && fd.wire == 2) {
            ottl_set_event(f->eval, fd.bytes);
            gone = holds(f, s);
        }
        if (gone && !*any && buf_add(&f->out, body.p, (size_t)(fd.rec.p - body.p)))
            return false;
        *any |= gone;
        if (*any && !gone && buf_add(&f->out, fd.rec.p, fd.rec.len))
            return false;
    }
    return true;
}

/* False: no room. */
static bool drop_events(struct filter *f, const struct filter_stage *s, struct editor *ed,
                        uint32_t i)
{
    bool any, fine = gather(f, s, span_body(editor_span(ed, i)), &any);

    if (fine && any)
        fine = keep_rest(f, ed, i);
    if (f->out.cap > KEPT_BYTES)
        buf_free(&f->out);
    if (fine && any)
        ottl_set_span(f->eval, editor_span(ed, i)); /* for the stages that follow */
    return fine;
}

/* ---- spans ---- */

enum fate { KEPT, DROPPED, NO_ROOM };

static enum fate through_stages(struct filter *f, struct editor *ed, uint32_t i)
{
    for (size_t k = 0; k < f->rules->n_stages; k++) {
        const struct filter_stage *s = &f->rules->stages[k];
        struct stage_look *look = &f->looks[k];

        if (s->context == OTTL_SPANEVENT) {
            if (editor_span(ed, i)->flags & SPAN_HAS_EVENTS && !drop_events(f, s, ed, i))
                return NO_ROOM;
        } else if (s->context == OTTL_SPAN) {
            if (holds(f, s))
                return DROPPED;
        } else {
            if (!look->known)
                *look = (struct stage_look){true, holds(f, s)};
            if (look->drop)
                return DROPPED;
        }
    }
    return KEPT;
}

/* Where the part's spans stand; what was there last is remembered. */
struct place {
    uint32_t scope, resource;
    bool known, include, exclude;
};

static void enter(struct filter *f, const struct editor *ed, const struct span *s, struct place *at)
{
    uint32_t scope = editor_scope_of(ed, s), resource = editor_resource_of(ed, s);
    struct slice resource_body, scope_body;

    if (at->known && at->scope == scope)
        return;
    resource_body = editor_resource(ed, resource);
    scope_body = editor_scope(ed, scope);
    forget(f, at->known && at->resource == resource ? OTTL_SCOPE : OTTL_RESOURCE);
    ottl_set_resource(f->eval, resource_body, editor_resource_schema(ed, resource));
    ottl_set_scope(f->eval, scope_body, editor_scope_schema(ed, scope));
    *at = (struct place){
        scope, resource, true,
        !f->rules->include || match_scope(f->rules->include, resource_body, scope_body),
        f->rules->exclude && match_scope(f->rules->exclude, resource_body, scope_body)};
}

static bool matched_out(const struct filter_rules *r, const struct place *at, const struct span *s)
{
    return (r->include && !(at->include && match_span(r->include, s))) ||
           (r->exclude && at->exclude && match_span(r->exclude, s));
}

/* False: no room. */
static bool filter_part(struct filter *f, struct editor *ed, uint64_t *n_dropped)
{
    struct place at = {0};

    for (uint32_t i = 0; i < ed->n_spans && !f->refusal[0]; i++) {
        const struct span *s = editor_span(ed, i);
        enum fate fate;

        enter(f, ed, s, &at);
        ottl_set_span(f->eval, s);
        fate = matched_out(f->rules, &at, s) ? DROPPED : through_stages(f, ed, i);
        if (fate == NO_ROOM || (fate == DROPPED && !editor_drop_span(ed, i)))
            return false;
        *n_dropped += fate == DROPPED;
    }
    return true;
}

/* ---- batches ---- */

static void refuse(struct filter *f, struct batch **take)
{
    if ((*take)->waiter.fn)
        batch_refuse(take, &(struct answer_detail){.answer = ANSWER_RETRY, .text = f->refusal});
    else
        batch_drop(take, DROP_ERROR, f->refusal);
    f->refusal[0] = 0;
}

static void filter_push(struct component *c, struct batch **take)
{
    struct filter *f = filter_of(c);
    struct batch *b = *take;
    uint64_t n_dropped = 0;
    bool edited = false, fine = true;

    series_add(f->items.incoming, b->n_spans);
    if (f->drained) {
        processor_closed(take);
        return;
    }
    ottl_set_request(f->eval, b->info);
    for (uint32_t i = 0; fine && !f->refusal[0] && i < b->n_parts; i++) {
        struct editor ed = editor_of(b, i);

        fine = filter_part(f, &ed, &n_dropped);
        edited |= ed.edited;
    }
    if (f->refusal[0]) {
        refuse(f, take);
        return;
    }
    if (!fine) {
        processor_no_memory(take);
        return;
    }
    if (edited)
        batch_settle(b, FATE_FILTERED, DROP_NONE);
    if (n_dropped)
        series_add(f->filtered, n_dropped);
    if (b->n_spans == 0) {
        batch_end(take, FATE_FILTERED, &(struct answer_detail){.answer = ANSWER_OK});
        return;
    }
    series_add(f->items.outgoing, b->n_spans);
    host_emit(c->host, take);
}

/* ---- life ---- */

static int filter_shared_create(const void *settings, struct host *host, void **shared,
                                struct err *err)
{
    (void)host;
    *shared = filter_rules_new(settings, err);
    return *shared ? 0 : -1;
}

static void filter_shared_destroy(void **shared)
{
    struct filter_rules *r = *shared;

    filter_rules_free(&r);
    *shared = NULL;
}

static struct series *own_series(struct host *h, const struct metric_row *row)
{
    return metric_series(h->metrics, row, &(struct metric_label){"filter", h->id}, 1);
}

static struct component *filter_create(struct host *h, const void *settings, struct err *err)
{
    struct filter *f = mem_alloc(sizeof(*f));

    (void)settings, (void)err;
    f->c = (struct component){&filter_type, h};
    f->rules = h->shared;
    f->eval = ottl_eval_new(f->rules->program);
    f->looks = mem_alloc_array(f->rules->n_stages + 1, sizeof(*f->looks));
    f->items = items_new(h);
    f->filtered = own_series(h, &filter_rows[ROW_FILTERED]);
    f->errors = own_series(h, &filter_rows[ROW_ERRORS]);
    return &f->c;
}

static void filter_drain(struct component *c)
{
    struct filter *f = filter_of(c);

    if (f->drained)
        return;
    f->drained = true;
    host_drained(c->host);
}

static void filter_destroy(struct component **c)
{
    struct filter *f;

    if (!*c)
        return;
    f = filter_of(*c);
    ottl_eval_free(&f->eval);
    free(f->looks);
    buf_free(&f->out);
    free(f);
    *c = NULL;
}

const struct component_type filter_type = {
    .kind = PROCESSOR,
    .name = "filter",
    .stability = "alpha",
    .summary = "Drops spans, resources and events that meet a condition.",
    .keys = filter_keys,
    .settings_size = sizeof(struct filter_settings),
    .metrics = filter_rows,
    .mutates = true,
    .check = filter_check,
    .shared_create = filter_shared_create,
    .shared_destroy = filter_shared_destroy,
    .create = filter_create,
    .push = filter_push,
    .drain = filter_drain,
    .destroy = filter_destroy,
};
