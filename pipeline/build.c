/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From plan to graph: nodes, stages, instances, connections.
 *
 *   plan    pipelines name receivers, processors, exporters
 *   nodes   one per receiver, exporter, connector id; one per processor and pipeline
 *   stage   longest way from a receiver: the order of the drain; there is none with a cycle in it
 *
 * Everything is made on the main thread before a worker runs, so it needs no locks; afterwards only
 * each worker touches its own. Limits: graphs are small, searches are linear.
 */
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/graph.h"
#include "pipeline/registry.h"

/* ---- nodes ---- */

static struct node *find_node(struct graph *g, const struct plan_component *pc,
                              const struct plan_pipeline *p)
{
    const struct plan_pipeline *key = pc->type->kind == PROCESSOR ? p : NULL;

    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].pc == pc && g->nodes[i].pipeline == key)
            return &g->nodes[i];
    return NULL;
}

static struct shared *shared_of(struct graph *g, const struct plan_component *pc)
{
    return &g->shared[pc - g->plan->components];
}

static void add_nodes(struct graph *g, const struct plan_component **pcs, size_t n, size_t pipeline)
{
    const struct plan_pipeline *p = &g->plan->pipelines[pipeline];

    for (size_t i = 0; i < n; i++) {
        CHECK(pcs[i] >= g->plan->components &&
              pcs[i] < g->plan->components + g->plan->n_components);
        if (find_node(g, pcs[i], p))
            continue;
        g->nodes[g->n_nodes++] = (struct node){
            .pc = pcs[i],
            .pipeline = pcs[i]->type->kind == PROCESSOR ? p : NULL,
            .pipeline_index = pipeline,
            .shared = shared_of(g, pcs[i]),
        };
    }
}

static void build_nodes(struct graph *g)
{
    size_t max = 0;

    for (size_t i = 0; i < g->plan->n_pipelines; i++) {
        const struct plan_pipeline *p = &g->plan->pipelines[i];

        CHECK(p->n_receivers > 0 && p->n_exporters > 0);
        max += p->n_receivers + p->n_processors + p->n_exporters;
    }
    g->nodes = arena_alloc(g->arena, (max + 1) * sizeof(*g->nodes));
    for (size_t i = 0; i < g->plan->n_pipelines; i++) {
        const struct plan_pipeline *p = &g->plan->pipelines[i];

        add_nodes(g, p->receivers, p->n_receivers, i);
        add_nodes(g, p->processors, p->n_processors, i);
        add_nodes(g, p->exporters, p->n_exporters, i);
    }
}

static void build_extension_nodes(struct graph *g)
{
    g->n_extensions = g->plan->n_extensions;
    g->extension_nodes = arena_alloc(g->arena, (g->n_extensions + 1) * sizeof(*g->extension_nodes));
    for (size_t i = 0; i < g->n_extensions; i++) {
        const struct plan_component *pc = g->plan->extensions[i];

        CHECK(pc->type->kind == EXTENSION);
        g->extension_nodes[i] = (struct node){.pc = pc, .shared = shared_of(g, pc)};
    }
}

/* ---- stages ---- */

/* The node after step k of a pipeline is later than the node at it. Returns whether anything moved.
 */
static bool order(struct node *before, struct node *after)
{
    if (after->stage > before->stage)
        return false;
    after->stage = before->stage + 1;
    return true;
}

static bool order_to_exporters(struct graph *g, const struct plan_pipeline *p, struct node *before)
{
    bool moved = false;

    for (size_t i = 0; i < p->n_exporters; i++)
        moved |= order(before, find_node(g, p->exporters[i], p));
    return moved;
}

static bool order_pipeline(struct graph *g, const struct plan_pipeline *p)
{
    bool moved = false;

    for (size_t i = 0; i < p->n_receivers; i++) {
        struct node *r = find_node(g, p->receivers[i], p);

        CHECK(node_feeds(r));
        if (p->n_processors)
            moved |= order(r, find_node(g, p->processors[0], p));
        else
            moved |= order_to_exporters(g, p, r);
    }
    for (size_t i = 0; i + 1 < p->n_processors; i++)
        moved |= order(find_node(g, p->processors[i], p), find_node(g, p->processors[i + 1], p));
    if (p->n_processors)
        moved |= order_to_exporters(g, p, find_node(g, p->processors[p->n_processors - 1], p));
    return moved;
}

static void build_stages(struct graph *g)
{
    bool moved = true;

    for (size_t round = 0; moved; round++) {
        CHECK(round <= g->n_nodes); /* or the plan has a cycle */
        moved = false;
        for (size_t i = 0; i < g->plan->n_pipelines; i++)
            moved |= order_pipeline(g, &g->plan->pipelines[i]);
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].stage + 1 > g->n_stages)
            g->n_stages = g->nodes[i].stage + 1;
}

/* ---- hosts and instances ---- */

static struct host host_for(struct graph *g, const struct node *n, struct worker *w)
{
    const struct component_type *t = n->pc->type;
    bool otlp_like = t->kind == RECEIVER || t->kind == EXTENSION; /* not bound to one signal */

    return (struct host){
        .loop = w ? w->loop : NULL,
        .log = {.sink = g->o.sink,
                .kind = component_kind_name(t->kind),
                .id = n->pc->id,
                .pipeline = n->pipeline ? n->pipeline->id : NULL,
                .signal = otlp_like ? NULL : "traces"},
        .budget = g->o.budget,
        .metrics = w ? w->metrics : g->o.main_metrics,
        .worker = w ? w->index : 0,
        .n_workers = t->kind == EXTENSION ? 1 : g->o.n_workers,
        .id = n->pc->id,
        .pipeline = n->pipeline ? n->pipeline->id : NULL,
        .shared = n->shared->ptr,
        .ledger = n->pipeline ? &w->ledgers[n->pipeline_index] : NULL,
        .service_version = g->o.service_version,
        .service_instance_id = g->o.service_instance_id,
        .metric_level = g->plan->metrics_level,
    };
}

static int create_shared(struct graph *g, struct node *n, struct err *err)
{
    const struct component_type *t = n->pc->type;
    struct shared *s = n->shared;
    struct node plain = *n;

    if (!t->shared_create || s->created)
        return 0;
    plain.pipeline = NULL; /* one for all pipelines that name it */
    s->host = host_for(g, &plain, NULL);
    if (t->shared_create(n->pc->settings, &s->host, &s->ptr, err) < 0)
        return err_wrap(err, "failed to create \"%s\" %s", n->pc->id, component_kind_name(t->kind));
    s->created = true;
    return 0;
}

static int create_instance(struct worker *w, struct instance *i, struct node *n, struct err *err)
{
    const struct component_type *t = n->pc->type;

    i->node = n;
    i->worker = w;
    i->host = host_for(w->g, n, w);
    route_bind(i);
    if (n->rings)
        messages_bind(i);
    i->c = t->create(&i->host, n->pc->settings, err);
    if (!i->c)
        return err_wrap(err, "failed to create \"%s\" %s", n->pc->id, component_kind_name(t->kind));
    CHECK(i->c->type == t && i->c->host == &i->host);
    return 0;
}

size_t worker_instances(const struct worker *w)
{
    return w == &w->g->main ? w->g->n_extensions : w->g->n_nodes;
}

static int create_instances(struct worker *w, struct node *nodes, struct err *err)
{
    for (size_t i = 0; i < worker_instances(w); i++)
        if (create_instance(w, &w->instances[i], &nodes[i], err) < 0)
            return -1;
    return 0;
}

/* ---- connections, on one worker ---- */

static struct component *on_worker(struct worker *w, const struct plan_component *pc,
                                   const struct plan_pipeline *p)
{
    return w->instances[find_node(w->g, pc, p) - w->g->nodes].c;
}

static void connect_outlet(struct worker *w, size_t pipeline)
{
    const struct plan_pipeline *p = &w->g->plan->pipelines[pipeline];
    struct outlet *o = &w->outlets[pipeline];

    o->n = p->n_exporters;
    o->to = arena_alloc(w->arena, o->n * sizeof(struct component *));
    if (o->n > 1)
        o->branches = arena_alloc(w->arena, o->n * sizeof(struct ledger));
    for (size_t i = 0; i < o->n; i++)
        o->to[i] = on_worker(w, p->exporters[i], p);
}

static void connect_processors(struct worker *w, size_t pipeline)
{
    const struct plan_pipeline *p = &w->g->plan->pipelines[pipeline];
    struct outlet *next = &w->outlets[pipeline];

    for (size_t i = p->n_processors; i-- > 0;) {
        size_t at = (size_t)(find_node(w->g, p->processors[i], p) - w->g->nodes);
        struct outlet *single = &w->singles[at];

        w->instances[at].next = next;
        single->n = 1;
        single->to = &w->instances[at].c;
        next = single;
    }
}

static struct outlet *first_of(struct worker *w, size_t pipeline)
{
    const struct plan_pipeline *p = &w->g->plan->pipelines[pipeline];

    if (!p->n_processors)
        return &w->outlets[pipeline];
    return &w->singles[find_node(w->g, p->processors[0], p) - w->g->nodes];
}

static bool feeds(const struct node *n, const struct plan_pipeline *p)
{
    for (size_t i = 0; i < p->n_receivers; i++)
        if (p->receivers[i] == n->pc)
            return true;
    return false;
}

static void connect_inlet(struct worker *w, size_t node)
{
    const struct plan *plan = w->g->plan;
    struct inlet *in = &w->inlets[node];

    in->heads = arena_alloc(w->arena, plan->n_pipelines * sizeof(struct head));
    for (size_t i = 0; i < plan->n_pipelines; i++)
        if (feeds(&w->g->nodes[node], &plan->pipelines[i]))
            in->heads[in->n++] = (struct head){&w->ledgers[i], first_of(w, i)};
    CHECK(in->n > 0);
    w->instances[node].inlet = in;
}

static void connect_worker(struct worker *w)
{
    for (size_t i = 0; i < w->g->plan->n_pipelines; i++) {
        connect_outlet(w, i);
        connect_processors(w, i);
    }
    for (size_t i = 0; i < w->g->n_nodes; i++)
        if (node_feeds(&w->g->nodes[i]))
            connect_inlet(w, i);
}

/* ---- workers ---- */

static void build_worker(struct graph *g, unsigned index)
{
    struct worker *w = &g->workers[index];
    size_t n = g->n_nodes, n_pipelines = g->plan->n_pipelines;
    char name[32];

    snprintf(name, sizeof(name), "worker %u", index);
    w->g = g;
    w->index = index;
    w->loop = loop_new(name);
    w->metrics = metric_set_new();
    w->arena = arena_new();
    w->instances = arena_alloc(w->arena, n * sizeof(struct instance));
    w->ledgers = arena_alloc(w->arena, n_pipelines * sizeof(struct ledger));
    w->outlets = arena_alloc(w->arena, n_pipelines * sizeof(struct outlet));
    w->singles = arena_alloc(w->arena, n * sizeof(struct outlet));
    w->inlets = arena_alloc(w->arena, n * sizeof(struct inlet));
    w->ring_ends = arena_alloc(w->arena, n * g->o.n_workers * sizeof(struct ring_end));
    for (size_t i = 0; i < n_pipelines; i++)
        list_init(&w->outlets[i].joins);
    for (size_t i = 0; i < n; i++) {
        list_init(&w->singles[i].joins);
        list_init(&w->inlets[i].joins);
    }
}

static void build_main(struct graph *g)
{
    struct worker *w = &g->main;

    w->g = g;
    w->loop = g->o.main_loop;
    w->metrics = g->o.main_metrics;
    w->arena = arena_new();
    w->instances = arena_alloc(w->arena, (g->n_extensions + 1) * sizeof(struct instance));
}

static int create_all(struct graph *g, struct err *err)
{
    for (size_t i = 0; i < g->n_extensions; i++)
        if (create_shared(g, &g->extension_nodes[i], err) < 0)
            return -1;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (create_shared(g, &g->nodes[i], err) < 0)
            return -1;
    if (create_instances(&g->main, g->extension_nodes, err) < 0)
        return -1;
    for (unsigned i = 0; i < g->o.n_workers; i++)
        if (create_instances(&g->workers[i], g->nodes, err) < 0)
            return -1;
    return 0;
}

static struct graph *bare(const struct plan *plan, const struct graph_options *o)
{
    struct graph *g = mem_alloc(sizeof(*g));
    const char *audit = getenv("TAILRACE_AUDIT");

    CHECK(o->n_workers > 0 && o->main_loop && o->main_metrics && o->budget);
    g->plan = plan;
    g->o = *o;
    g->log = (struct log){.sink = o->sink};
    g->arena = arena_new();
    g->shared = arena_alloc(g->arena, (plan->n_components + 1) * sizeof(struct shared));
    g->audit = audit && *audit == '1';
    return g;
}

struct graph *graph_new(const struct plan *plan, const struct graph_options *o, struct err *err)
{
    struct graph *g = bare(plan, o);

    build_nodes(g);
    build_extension_nodes(g);
    build_stages(g);
    g->workers = arena_alloc(g->arena, o->n_workers * sizeof(struct worker));
    for (unsigned i = 0; i < o->n_workers; i++)
        build_worker(g, i);
    build_main(g);
    messages_build(g);
    if (create_all(g, err) < 0) {
        (void)graph_free(&g);
        return NULL;
    }
    for (unsigned i = 0; i < o->n_workers; i++)
        connect_worker(&g->workers[i]);
    return g;
}

bool graph_failed(const struct graph *g)
{
    return atomic_load(&g->failed);
}

unsigned graph_workers(const struct graph *g)
{
    return g->o.n_workers;
}

struct loop *graph_worker_loop(struct graph *g, unsigned worker)
{
    return g->workers[worker].loop;
}
