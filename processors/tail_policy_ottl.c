/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ottl_condition: conditions on the spans of a trace and on their events.
 *
 * They are asked of each span as it arrives, in the order of the reference (4.13): the span list on
 * the span, then the event list on each of its events. The first that holds keeps the trace; under
 * propagate the first that cannot be evaluated makes the policy an error. Either is a bit of the
 * facts, and ends the asking for that trace. Schema URLs read as empty, as the Collector's are lost
 * on their way into its buffer.
 *
 * Threads: the conditions are shared; a tail_ottl belongs to its worker.
 */
#include "processors/tail_policy_ottl.h"

#include <stdlib.h>

#include "model/attr.h"

struct tail_ottl {
    struct ottl_eval *eval;
    const struct log *log;
};

/* ---- compiling ---- */

static int list(struct tail_policies *set, const struct str_list *texts, const char *key,
                enum ottl_context context, struct ottl_range *range, struct err *err)
{
    *range = (struct ottl_range){ottl_program_conditions(set->ottl), (uint32_t)texts->n};
    for (size_t i = 0; i < texts->n; i++)
        if (ottl_program_add(set->ottl, texts->v[i], context, false, err) < 0)
            return err_wrap(err, "%s[%zu]", key, i);
    return 0;
}

int tail_condition_ottl(struct tail_policies *set, struct condition *c,
                        const struct ottl_settings *s, struct err *err)
{
    c->type = COND_OTTL;
    if (s->span.n + s->spanevent.n == 0)
        return err_set(err, "expected at least one OTTL condition to filter on");
    c->u.ottl.mode = (enum ottl_error_mode)ottl_error_mode_of(s->error_mode); /* one of them: decoding saw to it */
    if (!set->ottl)
        set->ottl = ottl_program_new();
    return list(set, &s->span, "span", OTTL_SPAN, &c->u.ottl.span, err) ||
                   list(set, &s->spanevent, "spanevent", OTTL_SPANEVENT, &c->u.ottl.event, err)
               ? -1
               : 0;
}

/* ---- facts ---- */

struct tail_ottl *tail_ottl_new(const struct tail_policies *p, const struct log *log)
{
    struct tail_ottl *o;

    if (!p->ottl)
        return NULL;
    o = mem_alloc(sizeof(*o));
    o->eval = ottl_eval_new(p->ottl);
    o->log = log;
    return o;
}

void tail_ottl_free(struct tail_ottl **o)
{
    if (!*o)
        return;
    ottl_eval_free(&(*o)->eval);
    free(*o);
    *o = NULL;
}

void tail_ottl_scope(struct tail_ottl *o, struct slice resource, struct slice scope)
{
    ottl_set_resource(o->eval, resource, (struct slice){0});
    ottl_set_scope(o->eval, scope, (struct slice){0});
}

static enum ottl_verdict ask(const struct tail_policies *p, struct tail_ottl *o,
                             const struct ottl_range *r, enum ottl_error_mode mode)
{
    for (uint32_t i = r->first; i < r->first + r->n; i++) {
        enum ottl_verdict v = ottl_condition(o->eval, i);

        if (v == OTTL_TRUE || (v == OTTL_ERROR && mode == OTTL_PROPAGATE))
            return v;
        if (v == OTTL_ERROR && mode == OTTL_IGNORE)
            log_warn(o->log, "failed to eval condition", LOG_STR("error", ottl_error(o->eval)),
                     LOG_STR("condition", ottl_condition_text(p->ottl, i)));
    }
    return OTTL_FALSE;
}

static enum ottl_verdict ask_events(const struct tail_policies *p, struct tail_ottl *o,
                                    const struct condition *c, const struct span *s)
{
    struct field_iter it = field_iter(span_body(s));
    enum ottl_verdict v = OTTL_FALSE;
    struct field f;

    while (v == OTTL_FALSE && field_next(&it, &f)) {
        if (f.number != SPAN_EVENTS || f.wire != 2)
            continue;
        ottl_set_event(o->eval, f.bytes);
        v = ask(p, o, &c->u.ottl.event, c->u.ottl.mode);
    }
    return v;
}

static void set_bit(uint64_t *facts, uint32_t bit)
{
    facts[bit / 64] |= 1ull << (bit % 64);
}

void tail_ottl_span(const struct tail_policies *p, struct tail_ottl *o, uint64_t *facts,
                    const struct span *s)
{
    bool set = false;

    for (uint32_t i = 0; i < p->n_conditions; i++) {
        const struct condition *c = &p->conditions[i];
        enum ottl_verdict v;

        if (c->type != COND_OTTL || tail_has_bit(facts, c->bit) || tail_has_bit(facts, c->bit + 1))
            continue;
        if (!set)
            ottl_set_span(o->eval, s);
        set = true;
        v = ask(p, o, &c->u.ottl.span, c->u.ottl.mode);
        if (v == OTTL_FALSE && c->u.ottl.event.n && s->flags & SPAN_HAS_EVENTS)
            v = ask_events(p, o, c, s);
        if (v != OTTL_FALSE)
            set_bit(facts, c->bit + (v == OTTL_ERROR));
    }
}
