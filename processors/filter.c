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
#include "processors/filter_rules.h"
#include "processors/map.h"
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

/* Where the part's spans stand; what was there last is remembered. */
struct place {
    uint32_t scope, resource;
    bool known, include, exclude;
};

struct filter {
    struct map_processor m;
    const struct filter_rules *rules;
    struct ottl_eval *eval;
    struct place at;
    struct stage_look *looks; /* by stage */
    struct buf out; /* a span without some of its events */
    struct series *filtered, *errors;
};

static struct filter *filter_of(struct map_processor *m)
{
    CHECK(m->c.type == &filter_type);
    return CONTAINER_OF(m, struct filter, m);
}

/* ---- conditions ---- */

static void failed(struct filter *f, const struct filter_stage *s, unsigned condition)
{
    const char *text = ottl_condition_text(f->rules->program, condition);

    series_add(f->errors, 1);
    if (s->mode == OTTL_IGNORE)
        log_warn(&f->m.c.host->log, "failed to eval condition", LOG_STR("error", ottl_error(f->eval)),
                 LOG_STR("condition", text));
    if (s->mode == OTTL_PROPAGATE && !f->m.refusal[0])
        snprintf(f->m.refusal, sizeof(f->m.refusal), "failed to eval condition: %.100s: %s", text,
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
static bool keep_rest(struct filter *f, struct open_span *s)
{
    uint8_t *to = editor_span_room(s->ed, s->i, f->out.len);

    if (to)
        wire_put_slice(to, slice_of(f->out.p, f->out.len));
    open_span_rewritten(s);
    return to && editor_span_facts(s->ed, s->i);
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

/* The span as it is on its way. */
static void set_span(struct filter *f, const struct open_span *s)
{
    ottl_set_span(f->eval, open_span_now(s));
    if (s->loaded)
        ottl_share_attributes(f->eval, s->map, true);
}

/* False: no room. */
static bool drop_events(struct filter *f, const struct filter_stage *stage, struct open_span *s)
{
    bool any, fine;

    if (!(open_span_now(s)->flags & SPAN_HAS_EVENTS))
        return true;
    if (!open_span_write(s))
        return false;
    set_span(f, s);
    fine = gather(f, stage, span_body(open_span_now(s)), &any);
    if (fine && any)
        fine = keep_rest(f, s);
    if (f->out.cap > KEPT_BYTES)
        buf_free(&f->out);
    if (fine && any)
        set_span(f, s); /* for the stages that follow */
    return fine;
}

/* ---- spans ---- */

static enum map_fate through_stages(struct filter *f, struct open_span *s)
{
    for (size_t k = 0; k < f->rules->n_stages; k++) {
        const struct filter_stage *stage = &f->rules->stages[k];
        struct stage_look *look = &f->looks[k];

        if (stage->context == OTTL_SPANEVENT) {
            if (!drop_events(f, stage, s))
                return MAP_NO_ROOM;
        } else if (stage->context == OTTL_SPAN) {
            if (holds(f, stage))
                return MAP_DROPPED;
        } else {
            if (!look->known)
                *look = (struct stage_look){true, holds(f, stage)};
            if (look->drop)
                return MAP_DROPPED;
        }
    }
    return MAP_KEPT;
}

static void enter(struct filter *f, const struct open_span *s)
{
    const struct editor *ed = s->ed;
    const struct span *now = open_span_now(s);
    struct place *at = &f->at;
    uint32_t scope = editor_scope_of(ed, now), resource = editor_resource_of(ed, now);
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

static bool matched_out(const struct filter_rules *r, const struct place *at, const struct open_span *s)
{
    return (r->include && !(at->include && match_span(r->include, s))) ||
           (r->exclude && at->exclude && match_span(r->exclude, s));
}

/* ---- as a map processor ---- */

static void filter_begin(struct map_processor *m, const struct batch *b)
{
    ottl_set_request(filter_of(m)->eval, b->info);
}

static enum map_fate filter_part(struct map_processor *m, struct editor *ed)
{
    (void)ed;
    filter_of(m)->at = (struct place){0};
    return MAP_KEPT;
}

static enum map_fate filter_span(struct map_processor *m, struct open_span *s)
{
    struct filter *f = filter_of(m);
    enum map_fate fate;

    enter(f, s);
    set_span(f, s);
    fate = matched_out(f->rules, &f->at, s) ? MAP_DROPPED : through_stages(f, s);
    return UNLIKELY(m->refusal[0]) ? MAP_REFUSED : fate;
}

static void filter_done(struct map_processor *m, uint64_t n_dropped)
{
    if (n_dropped)
        series_add(filter_of(m)->filtered, n_dropped);
}

static const struct map_ops filter_map = {
    .begin = filter_begin,
    .part = filter_part,
    .span = filter_span,
    .done = filter_done,
};

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

static unsigned filter_traits(const struct filter_rules *r)
{
    unsigned traits = MAP_SPANS;

    if ((r->include && match_looks(r->include)) || (r->exclude && match_looks(r->exclude)))
        traits |= MAP_LOOKS;
    if (r->include || r->exclude)
        traits |= MAP_DROPS;
    for (size_t i = 0; i < r->n_stages; i++) {
        if (r->stages[i].context != OTTL_SPANEVENT)
            traits |= MAP_DROPS;
        if (r->stages[i].mode == OTTL_PROPAGATE)
            traits |= MAP_REFUSES;
        for (size_t k = 0; k < r->stages[i].n; k++)
            if (ottl_condition_reads(r->program, r->stages[i].conditions[k], OTTL_RESOURCE) ||
                ottl_condition_reads(r->program, r->stages[i].conditions[k], OTTL_SCOPE))
                traits |= MAP_LOOKS;
    }
    return traits;
}

static struct component *filter_create(struct host *h, const void *settings, struct err *err)
{
    struct filter *f = mem_alloc(sizeof(*f));

    (void)settings, (void)err;
    f->rules = h->shared;
    map_init(&f->m, &filter_type, h, filter_traits(f->rules));
    f->eval = ottl_eval_new(f->rules->program);
    f->looks = mem_alloc_array(f->rules->n_stages + 1, sizeof(*f->looks));
    f->filtered = own_series(h, &filter_rows[ROW_FILTERED]);
    f->errors = own_series(h, &filter_rows[ROW_ERRORS]);
    return &f->m.c;
}

static void filter_destroy(struct component **c)
{
    struct filter *f;

    if (!*c)
        return;
    f = filter_of(map_of(*c));
    ottl_eval_free(&f->eval);
    free(f->looks);
    buf_free(&f->out);
    map_free(&f->m);
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
    .map = &filter_map,
    .mutates = true,
    .check = filter_check,
    .shared_create = filter_shared_create,
    .shared_destroy = filter_shared_destroy,
    .create = filter_create,
    .push = map_push,
    .drain = map_drain,
    .destroy = filter_destroy,
};
