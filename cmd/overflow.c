/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pipelines lose acknowledged spans when a queue is full: `validate` says it before it happens.
 *
 * A processor that holds spans answers its clients first. Where it has one way out it keeps them while
 * the queue is full and clients are refused; where there are several, one full queue must not hold up
 * the others, so it drops (pipeline/room.c). This looks at the plan for the second case.
 */
#include <string.h>

#include "cmd/memory.h"

static bool is_way(const struct plan_component *c)
{
    return c->type->room || c->type->kind == CONNECTOR;
}

static size_t ways_out(const struct plan_pipeline *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_exporters; i++)
        n += is_way(p->exporters[i]);
    return n;
}

static bool among(const struct plan_component *const *v, size_t n, const struct plan_component *c)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] == c)
            return true;
    return false;
}

/* Another pipeline of the same receiver or connector that has a way out. NULL: none. */
static const struct plan_pipeline *sibling(const struct plan *plan, const struct plan_pipeline *p,
                                           const struct plan_component **feeder)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        for (size_t k = 0; k < plan->n_pipelines; k++) {
            const struct plan_pipeline *other = &plan->pipelines[k];

            if (other == p || !ways_out(other) || !among(other->receivers, other->n_receivers, p->receivers[i]))
                continue;
            *feeder = p->receivers[i];
            return other;
        }
    return NULL;
}

static const struct plan_component *holder(const struct plan_pipeline *p)
{
    for (size_t i = 0; i < p->n_processors; i++)
        if (p->processors[i]->type->room)
            return p->processors[i];
    return NULL;
}

static const struct plan_component *other_way(const struct plan_pipeline *p, const struct plan_component *exporter)
{
    for (size_t i = 0; i < p->n_exporters; i++)
        if (p->exporters[i] != exporter && is_way(p->exporters[i]))
            return p->exporters[i];
    return NULL;
}

static void print_pipeline(const struct plan *plan, const struct plan_pipeline *p, struct buf *out)
{
    const struct plan_component *held_by = holder(p), *feeder = NULL;
    const struct plan_pipeline *other = sibling(plan, p, &feeder);

    for (size_t i = 0; held_by && i < p->n_exporters; i++) {
        const struct plan_component *e = p->exporters[i], *way = other_way(p, e);

        if (!e->type->overflows || !e->type->overflows(e->settings) || (!way && !other))
            continue;
        buf_putf(out, "  %s: while the queue of %s is full, spans that %s has acknowledged are dropped: ", p->id, e->id, held_by->id);
        if (way)
            buf_putf(out, "%s must not wait for it\n", way->id);
        else
            buf_putf(out, "%s, which %s feeds too, must not wait for it\n", other->id, feeder->id);
    }
}

void overflow_print(const struct plan *plan, struct buf *out)
{
    struct buf lines = {0};

    for (size_t i = 0; i < plan->n_pipelines; i++)
        print_pipeline(plan, &plan->pipelines[i], &lines);
    if (lines.len) {
        buf_puts(out, "Backends that are away for long cost spans here (sending_queue: {block_on_overflow: true} makes receivers refuse instead):\n");
        buf_put(out, lines.p, lines.len);
    }
    buf_free(&lines);
}
