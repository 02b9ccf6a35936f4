/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reload: a running graph becomes that of another plan.
 *
 *   park -> make and start what is new -> connect -> go on -> what left drains -> park -> destroy it
 *
 * Whatever can fail comes before the connections change and is taken back, so a reload that fails
 * changes nothing. Unchanged nodes keep everything they have; only what they send to may be another.
 * What left sends on what it holds to what follows now (wire.c), stage by stage as in a stop.
 *
 * Workers stand still while components are made and started: milliseconds, in which the kernel keeps
 * what arrives.
 * Threads: main.
 */
#include <stdlib.h>

#include "pipeline/graph.h"
#include "pipeline/registry.h"
#include "platform/clock.h"

enum { PARK_MS = 5000 };

struct reload {
    struct graph *g;
    void (*done)(void *ctx, bool clean);
    void *ctx;
    bool over, stuck;
};

/* ---- what cannot be changed ---- */

static const struct plan_component *find_in(const struct plan *plan, const struct node *n)
{
    for (size_t i = 0; i < plan->n_components; i++) {
        const struct plan_component *pc = &plan->components[i];

        if (pc->type == n->pc->type && strcmp(pc->id, n->pc->id) == 0)
            return pc;
    }
    return NULL;
}

static bool pipeline_has(const struct plan *plan, const struct node *n,
                         const struct plan_component *pc)
{
    for (size_t i = 0; i < plan->n_pipelines; i++) {
        const struct plan_pipeline *p = &plan->pipelines[i];

        if (strcmp(p->id, n->line->id) != 0)
            continue;
        for (size_t k = 0; k < p->n_processors; k++)
            if (p->processors[k] == pc)
                return true;
    }
    return false;
}

/* What must not be taken out: its drain would end what has to go on. */
static int check_node(const struct node *n, const struct plan *plan, graph_same same,
                      struct err *err)
{
    const struct plan_component *pc = find_in(plan, n);

    if (n->leaving)
        return 0;
    if (n->pc->type->clashes && pc && pc->used && !same(n->pc, pc) && n->pc->type->clashes(n->pc->settings, pc->settings))
        return err_set(err, "\"%s\" %s cannot be changed while running: the old and the new one would be in each "
                            "other's way", n->pc->id,
                       component_kind_name(n->pc->type->kind));
    if (!n->pc->type->drains_early || (pc && (same(n->pc, pc) || takes_over(n->pc, pc, same)) && pipeline_has(plan, n, pc)))
        return 0;
    if (n->pc->type->may_leave && n->pc->type->may_leave(n->pc->settings))
        return 0;
    if (pc && pipeline_has(plan, n, pc) && !uses_go_on(n->pc, pc, same))
        return err_set(err, "\"%s\" %s cannot move to another storage while running: what it holds is in the files of the "
                            "old one", n->pc->id, component_kind_name(n->pc->type->kind));
    return err_set(err, "\"%s\" %s cannot be changed or removed while running: it holds what is not decided yet",
                   n->pc->id, component_kind_name(n->pc->type->kind));
}

static int check_changes(const struct graph *g, const struct plan *plan, graph_same same,
                         struct err *err)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (check_node(g->nodes[i], plan, same, err) < 0)
            return -1;
    return 0;
}

/* ---- what left ---- */

static void free_closed(struct graph *g)
{
    for (size_t i = 0; i < g->n_closed; i++)
        node_free(g, g->closed[i]);
    free(g->closed);
    g->closed = NULL;
    g->n_closed = 0;
}

/* What used them has been closed. Last ones first. */
static void close_extensions(struct graph *g)
{
    size_t kept = 0;

    for (size_t i = g->n_extensions; i-- > 0;)
        if (g->extensions[i]->leaving)
            node_close(g, g->extensions[i]);
    for (size_t i = 0; i < g->n_extensions; i++) {
        if (g->extensions[i]->leaving)
            g->closed[g->n_closed++] = g->extensions[i];
        else
            g->extensions[kept++] = g->extensions[i];
    }
    g->n_extensions = kept;
}

/* Workers are parked; everything that leaves has drained. */
static void close_leaving(struct graph *g)
{
    size_t kept = 0;

    free_closed(g);
    g->closed = mem_alloc_array(g->n_nodes + g->n_extensions + 1, sizeof(*g->closed));
    for (unsigned stage = 0; stage < g->n_stages; stage++)
        for (size_t i = 0; i < g->n_nodes; i++)
            if (g->nodes[i]->leaving && g->nodes[i]->stage == stage)
                node_close(g, g->nodes[i]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i]->leaving)
            g->closed[g->n_closed++] = g->nodes[i];
        else
            g->nodes[kept++] = g->nodes[i];
    }
    g->n_nodes = kept;
    close_extensions(g);
    wire_sweep(g, false);
}

static void finish(struct reload *r, bool clean)
{
    r->over = true;
    r->stuck = !clean;
    r->done(r->ctx, clean);
}

static void on_left(void *ctx, bool clean)
{
    struct reload *r = ctx;
    struct park *park;

    clean = clean && park_workers(r->g, &park, PARK_MS);
    if (clean) {
        close_leaving(r->g);
        unpark_workers(&park);
    }
    finish(r, clean);
}

static bool any_leaving(const struct graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->leaving)
            return true;
    for (size_t i = 0; i < g->n_extensions; i++)
        if (g->extensions[i]->leaving)
            return true;
    return false;
}

static void on_nothing_left(void *ctx)
{
    finish(ctx, true);
}

/* ---- the change ---- */

static int change(struct graph *g, struct plan **plan, graph_same same, struct err *err)
{
    struct plan_use *use = plan_use_new(*plan, NULL);
    struct budget *b = g->o.budget;
    uint64_t soft = budget_soft(b), limit = budget_limit(b);
    enum metric_level level = g->metric_level;
    struct layout l;
    int rc;

    g->metric_level = (*plan)->metrics_level;
    budget_set_limits(b, (*plan)->memory_soft_bytes, (*plan)->memory_limit_bytes);
    rc = layout_make(g, &l, use, same, err);
    if (rc == 0)
        rc = start_new(g, err);
    if (rc == 0) {
        wire(g, &l);
        layout_free(&l);
        use->owned = *plan;
        *plan = NULL;
    } else {
        layout_undo(g, &l);
        budget_set_limits(b, soft, limit);
        g->metric_level = level;
    }
    plan_use_drop(use); /* nodes hold the others */
    return rc;
}

static int change_parked(struct graph *g, struct plan **plan, graph_same same, struct err *err)
{
    uint64_t began = clock_mono_ns();
    struct park *park;
    int rc;

    if (!park_workers(g, &park, PARK_MS))
        return err_set(err, "a worker does not answer");
    rc = change(g, plan, same, err);
    unpark_workers(&park);
    log_debug(&g->log, "Workers stood still for the reload",
              LOG_UINT("us", (clock_mono_ns() - began) / 1000));
    return rc;
}

static void leave(struct reload *r, uint64_t timeout_ms)
{
    if (any_leaving(r->g))
        stop_leaving(r->g, timeout_ms, on_left, r);
    else
        loop_post(r->g->o.main_loop, on_nothing_left, r);
}

enum reload_result graph_reload(struct graph *g, struct plan **plan, graph_same same,
                                uint64_t timeout_ms, void (*done)(void *ctx, bool clean), void *ctx,
                                struct err *err)
{
    if (g->stop || (g->reload && !g->reload->over))
        return RELOAD_BUSY;
    if (g->reload && g->reload->stuck) {
        err_set(err, "a component that the last reload took out has not stopped; restart to apply it");
        return RELOAD_REFUSED;
    }
    if (check_changes(g, *plan, same, err) < 0 || change_parked(g, plan, same, err) < 0)
        return RELOAD_REFUSED;
    if (!g->reload)
        g->reload = mem_alloc(sizeof(*g->reload));
    *g->reload = (struct reload){.g = g, .done = done, .ctx = ctx};
    leave(g->reload, timeout_ms);
    return RELOAD_DONE;
}

void reload_free(struct graph *g)
{
    free_closed(g);
    free(g->reload);
}
