/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From plan to nodes: what a plan names is found among the running nodes or made anew.
 *
 *   plan    pipelines name receivers, processors, exporters
 *   layout  the same with nodes: one per receiver, exporter, connector id; one per processor and
 *           pipeline
 *
 * Everything is made on the main thread while no worker runs or all are parked, so it needs no
 * locks; afterwards only each worker touches its own. Limits: graphs are small, searches are linear.
 */
#include <stdio.h>
#include <stdlib.h>

#include "component/storage.h"
#include "pipeline/graph.h"
#include "pipeline/registry.h"

/* ---- plans and what is shared ---- */

struct plan_use *plan_use_new(const struct plan *plan, struct plan *owned)
{
    struct plan_use *u = mem_alloc(sizeof(*u));

    *u = (struct plan_use){.plan = plan, .owned = owned, .refs = 1};
    return u;
}

void plan_use_drop(struct plan_use *u)
{
    if (--u->refs)
        return;
    plan_free(&u->owned);
    free(u);
}

static bool is_same(const struct plan_component *a, const struct plan_component *b, graph_same same)
{
    return a == b || (a->type == b->type && strcmp(a->id, b->id) == 0 && same && same(a, b));
}

static struct shared *find_shared(struct graph *g, const struct plan_component *pc, graph_same same)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (is_same(g->nodes[i]->shared->pc, pc, same))
            return g->nodes[i]->shared;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->next_shared && is_same(g->nodes[i]->next_shared->pc, pc, same))
            return g->nodes[i]->next_shared;
    return NULL;
}

static struct shared *shared_get(struct graph *g, const struct plan_component *pc,
                                 struct plan_use *use, graph_same same)
{
    struct shared *s = find_shared(g, pc, same);

    if (!s) {
        s = mem_alloc(sizeof(*s));
        s->use = use;
        s->pc = pc;
        use->refs++;
    }
    s->refs++;
    return s;
}

void shared_drop(struct shared *s)
{
    if (!s || --s->refs)
        return;
    if (s->created)
        s->pc->type->shared_destroy(&s->ptr);
    plan_use_drop(s->use);
    free(s);
}

/* ---- nodes ---- */

static struct node *node_new(struct graph *g, struct shared *s, struct line *line)
{
    struct node *n = mem_alloc(sizeof(*n));

    n->shared = s;
    n->pc = s->pc;
    n->line = s->pc->type->kind == PROCESSOR ? line : NULL;
    n->n_on = s->pc->type->kind == EXTENSION ? 1 : g->o.n_workers;
    n->on = mem_alloc_array(n->n_on, sizeof(struct instance *));
    n->fresh = true;
    return n;
}

static void instance_free(struct instance **ip)
{
    struct instance *i = *ip;

    *ip = NULL;
    if (!i)
        return;
    if (i->c) {
        i->node->pc->type->destroy(&i->c);
        CHECK(i->c == NULL);
    }
    room_forget(i);
    free(i->inlet.heads);
    free(i->unwoken);
    free(i);
}

void node_close(struct graph *g, struct node *n)
{
    for (unsigned w = 0; w < n->n_on; w++)
        instance_free(&n->on[w]);
    messages_free(g, n);
}

void node_free(struct graph *g, struct node *n)
{
    node_close(g, n);
    shared_drop(n->shared);
    free(n->feeds);
    free(n->on);
    free(n);
}

static bool changes(const struct plan_component *from, const struct plan_component *to)
{
    const struct component_type *t = from->type;

    return t == to->type && t->change && strcmp(from->id, to->id) == 0 &&
           (!t->may_change || t->may_change(from->settings, to->settings));
}

/* An extension's new settings can be of no matter to a component that is there: files that stay where they are. */
static bool use_goes_on(const struct plan_component *from, const struct plan_component *to, graph_same same)
{
    const struct storage_ops *s = from->type->storage;

    return is_same(from, to, same) || (changes(from, to) && s && s->moves && !s->moves(from->settings, to->settings));
}

bool uses_go_on(const struct plan_component *from, const struct plan_component *to, graph_same same)
{
    if (from->n_uses != to->n_uses)
        return false;
    for (size_t i = 0; i < from->n_uses; i++)
        if (!use_goes_on(from->uses[i], to->uses[i], same))
            return false;
    return true;
}

bool takes_over(const struct plan_component *from, const struct plan_component *to, graph_same same)
{
    return changes(from, to) && uses_go_on(from, to, same);
}

static bool node_changes(const struct node *n, const struct plan_component *pc,
                         const struct line *line, graph_same same)
{
    return !n->leaving && !n->fresh && n->line == line && takes_over(n->pc, pc, same);
}

static bool node_serves(const struct node *n, const struct plan_component *pc,
                        const struct line *line, graph_same same)
{
    if (n->leaving || n->line != (pc->type->kind == PROCESSOR ? line : NULL))
        return false;
    return is_same(n->pc, pc, same);
}

static struct node *node_find(struct graph *g, const struct plan_component *pc, struct line *line,
                              struct plan_use *use, graph_same same)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (node_serves(g->nodes[i], pc, line, same))
            return g->nodes[i];
    for (size_t i = 0; i < g->n_nodes; i++)
        if (node_changes(g->nodes[i], pc, line, same)) {
            g->nodes[i]->next_shared = shared_get(g, pc, use, same);
            return g->nodes[i];
        }
    return NULL;
}

static struct node *node_get(struct graph *g, const struct plan_component *pc, struct line *line,
                             struct plan_use *use, graph_same same)
{
    struct node *n = node_find(g, pc, line, use, same);

    if (n) {
        n->generation = g->generation + 1;
        return n;
    }
    n = node_new(g, shared_get(g, pc, use, same), line);
    n->generation = g->generation + 1;
    g->nodes = mem_grow(g->nodes, (g->n_nodes + 1) * sizeof(*g->nodes));
    g->nodes[g->n_nodes++] = n;
    messages_build(g, n);
    return n;
}

/* ---- lines ---- */

static void line_free(struct graph *g, struct line *l)
{
    for (unsigned w = 0; w < g->o.n_workers; w++)
        free(l->on[w]);
    free(l->on);
    free(l->exporters);
    free(l->id);
    free(l);
}

static struct line *line_get(struct graph *g, const char *id)
{
    struct line *l;

    for (size_t i = 0; i < g->n_lines; i++)
        if (strcmp(g->lines[i]->id, id) == 0)
            return g->lines[i];
    l = mem_alloc(sizeof(*l));
    l->id = mem_dup(id);
    l->fresh = true;
    l->on = mem_alloc_array(g->o.n_workers, sizeof(struct line_end *));
    for (unsigned w = 0; w < g->o.n_workers; w++)
        l->on[w] = mem_alloc(sizeof(struct line_end));
    g->lines = mem_grow(g->lines, (g->n_lines + 1) * sizeof(*g->lines));
    g->lines[g->n_lines++] = l;
    return l;
}

void lines_free(struct graph *g)
{
    for (size_t i = 0; i < g->n_lines; i++)
        line_free(g, g->lines[i]);
    free(g->lines);
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
                .pipeline = n->line ? n->line->id : NULL,
                .signal = otlp_like ? NULL : "traces"},
        .budget = g->o.budget,
        .metrics = w ? w->metrics : g->o.main_metrics,
        .worker = w ? w->index : 0,
        .n_workers = t->kind == EXTENSION ? 1 : g->o.n_workers,
        .id = n->pc->id,
        .pipeline = n->line ? n->line->id : NULL,
        .shared = n->shared->ptr,
        .ledger = n->line && w ? &n->line->on[w->index]->ledger : NULL,
        .gates = n->shared->use->plan->gates,
        .metric_level = g->metric_level,
        .extension_fn = route_extension,
        .graph = g,
    };
}

static int create_shared(struct graph *g, struct shared *s, struct err *err)
{
    const struct component_type *t = s->pc->type;
    struct node plain = {.pc = s->pc, .shared = s}; /* one for all pipelines that name it */

    if (!t->shared_create || s->created)
        return 0;
    s->host = host_for(g, &plain, NULL);
    if (t->shared_create(s->pc->settings, &s->host, &s->ptr, err) < 0)
        return err_wrap(err, "failed to create \"%s\" %s", s->pc->id, component_kind_name(t->kind));
    s->created = true;
    return 0;
}

static struct instance *instance_new(struct worker *w, struct node *n)
{
    struct instance *i = mem_alloc(sizeof(*i));

    i->node = n;
    i->worker = w;
    i->host = host_for(w->g, n, w);
    list_init(&i->single.link);
    list_init(&i->single.joins);
    i->single.to = &i->c;
    i->single.n = 1;
    list_init(&i->inlet.joins);
    list_init(&i->waiting);
    route_bind(i);
    room_bind(i);
    if (n->rings)
        messages_bind(i);
    return i;
}

static int create_instance(struct worker *w, struct node *n, struct err *err)
{
    const struct component_type *t = n->pc->type;
    struct instance *i = n->on[w->index];

    i->host.shared = n->shared->ptr;
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

struct instance *worker_instance(const struct worker *w, size_t i)
{
    return w == &w->g->main ? w->g->extensions[i]->on[0] : w->g->nodes[i]->on[w->index];
}

static int create_fresh(struct graph *g, struct err *err)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        for (unsigned w = 0; g->nodes[i]->fresh && w < g->o.n_workers; w++)
            g->nodes[i]->on[w] = instance_new(&g->workers[w], g->nodes[i]);
    for (size_t i = 0; i < g->n_nodes; i++)
        if ((g->nodes[i]->fresh && create_shared(g, g->nodes[i]->shared, err) < 0) ||
            (g->nodes[i]->next_shared && create_shared(g, g->nodes[i]->next_shared, err) < 0))
            return -1;
    for (unsigned w = 0; w < g->o.n_workers; w++)
        for (size_t i = 0; i < g->n_nodes; i++)
            if (g->nodes[i]->fresh && create_instance(&g->workers[w], g->nodes[i], err) < 0)
                return -1;
    return 0;
}

/* ---- extensions ---- */

static struct node *extension_get(struct graph *g, const struct layout *l, const struct plan_component *pc,
                                  struct plan_use *use, graph_same same)
{
    struct node *n;

    CHECK(pc->type->kind == EXTENSION);
    for (size_t i = 0; i < l->n_old_extensions; i++)
        if (!l->old_extensions[i]->leaving && is_same(l->old_extensions[i]->pc, pc, same))
            return l->old_extensions[i];
    for (size_t i = 0; i < l->n_old_extensions; i++)
        if (!l->old_extensions[i]->leaving && takes_over(l->old_extensions[i]->pc, pc, same)) {
            l->old_extensions[i]->next_shared = shared_get(g, pc, use, NULL);
            return l->old_extensions[i];
        }
    n = node_new(g, shared_get(g, pc, use, NULL), NULL);
    n->on[0] = instance_new(&g->main, n);
    return n;
}

/* What is made after it finds the new settings. */
static int prepare_extension(struct graph *g, struct node *n, struct err *err)
{
    if (n->fresh)
        return create_shared(g, n->shared, err) < 0 || create_instance(&g->main, n, err) < 0 ? -1 : 0;
    if (n->next_shared && create_shared(g, n->next_shared, err) < 0)
        return -1;
    if (n->next_shared)
        n->pc->type->change(n->on[0]->c, n->next_shared->pc->settings);
    return 0;
}

/* In the order of the plan, what is no longer asked for behind them: created, not started. */
static int make_extensions(struct graph *g, struct layout *l, struct plan_use *use, graph_same same, struct err *err)
{
    const struct plan *plan = use->plan;

    l->old_extensions = g->extensions;
    l->n_old_extensions = g->n_extensions;
    g->extensions = mem_alloc_array(plan->n_extensions + l->n_old_extensions + 1, sizeof(*g->extensions));
    g->n_extensions = 0;
    for (size_t i = 0; i < plan->n_extensions; i++) {
        struct node *n = extension_get(g, l, plan->extensions[i], use, same);

        n->generation = g->generation + 1;
        g->extensions[g->n_extensions++] = n;
    }
    for (size_t i = 0; i < l->n_old_extensions; i++)
        if (l->old_extensions[i]->generation != g->generation + 1)
            g->extensions[g->n_extensions++] = l->old_extensions[i];
    for (size_t i = 0; i < g->n_extensions; i++)
        if (prepare_extension(g, g->extensions[i], err) < 0)
            return -1;
    return 0;
}

static void undo_extension(struct graph *g, struct node *n)
{
    if (n->generation > g->generation)
        n->generation = g->generation;
    if (n->next_shared)
        n->pc->type->change(n->on[0]->c, n->pc->settings);
    shared_drop(n->next_shared);
    n->next_shared = NULL;
}

/* Those that used them are gone. */
static void undo_extensions(struct graph *g, struct layout *l)
{
    for (size_t i = g->n_extensions; i-- > 0;)
        if (g->extensions[i]->fresh)
            node_free(g, g->extensions[i]);
        else
            undo_extension(g, g->extensions[i]);
    free(g->extensions);
    g->extensions = l->old_extensions;
    g->n_extensions = l->n_old_extensions;
    l->old_extensions = NULL;
}

/* ---- layouts ---- */

static struct node **nodes_of(struct graph *g, struct layout *l, struct line *line,
                              const struct plan_component **pcs, size_t n, struct plan_use *use,
                              graph_same same)
{
    struct node **nodes = arena_alloc(l->arena, (n + 1) * sizeof(struct node *));

    for (size_t i = 0; i < n; i++) {
        CHECK(pcs[i] >= use->plan->components &&
              pcs[i] < use->plan->components + use->plan->n_components);
        nodes[i] = node_get(g, pcs[i], line, use, same);
    }
    return nodes;
}

static void lay_line(struct graph *g, struct layout *l, const struct plan_pipeline *p,
                     struct plan_use *use, graph_same same)
{
    struct layout_line *ll = &l->lines[l->n_lines++];

    CHECK(p->n_receivers > 0 && p->n_exporters > 0);
    ll->line = line_get(g, p->id);
    ll->receivers = nodes_of(g, l, ll->line, p->receivers, p->n_receivers, use, same);
    ll->n_receivers = p->n_receivers;
    ll->processors = nodes_of(g, l, ll->line, p->processors, p->n_processors, use, same);
    ll->n_processors = p->n_processors;
    ll->exporters = nodes_of(g, l, ll->line, p->exporters, p->n_exporters, use, same);
    ll->n_exporters = p->n_exporters;
}

int layout_make(struct graph *g, struct layout *l, struct plan_use *use, graph_same same,
                struct err *err)
{
    const struct plan *plan = use->plan;

    *l = (struct layout){.arena = arena_new()};
    if (make_extensions(g, l, use, same, err) < 0)
        return -1;
    l->lines = arena_alloc(l->arena, (plan->n_pipelines + 1) * sizeof(*l->lines));
    for (size_t i = 0; i < plan->n_pipelines; i++)
        lay_line(g, l, &plan->pipelines[i], use, same);
    return create_fresh(g, err);
}

void layout_free(struct layout *l)
{
    free(l->old_extensions);
    l->old_extensions = NULL;
    arena_free(&l->arena);
}

void layout_undo(struct graph *g, struct layout *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *n = g->nodes[i];

        if (n->fresh) {
            node_free(g, n);
            continue;
        }
        if (n->generation > g->generation)
            n->generation = g->generation;
        shared_drop(n->next_shared);
        n->next_shared = NULL;
        g->nodes[kept++] = n;
    }
    g->n_nodes = kept;
    while (g->n_lines && g->lines[g->n_lines - 1]->fresh)
        line_free(g, g->lines[--g->n_lines]);
    undo_extensions(g, l);
    layout_free(l);
}

/* ---- the graph ---- */

static void build_worker(struct graph *g, unsigned index)
{
    struct worker *w = &g->workers[index];
    char name[32];

    snprintf(name, sizeof(name), "worker %u", index);
    w->g = g;
    w->index = index;
    w->loop = loop_new(name);
    w->metrics = metric_set_new();
    list_init(&w->old_outlets);
    room_build(w);
}

static void build_main(struct graph *g)
{
    struct worker *w = &g->main;

    w->g = g;
    w->loop = g->o.main_loop;
    w->metrics = g->o.main_metrics;
    list_init(&w->old_outlets);
    room_build(w);
}

static struct graph *bare(const struct plan *plan, const struct graph_options *o)
{
    struct graph *g = mem_alloc(sizeof(*g));
    const char *audit = getenv("TAILRACE_AUDIT");

    CHECK(o->n_workers > 0 && o->main_loop && o->main_metrics && o->budget);
    g->o = *o;
    g->log = (struct log){.sink = o->sink};
    g->metric_level = plan->metrics_level;
    g->audit = audit && *audit == '1';
    return g;
}

struct graph *graph_new(const struct plan *plan, const struct graph_options *o, struct err *err)
{
    struct graph *g = bare(plan, o);
    struct plan_use *use = plan_use_new(plan, NULL);
    struct layout l = {0};
    int rc;

    g->workers = mem_alloc_array(o->n_workers, sizeof(struct worker));
    for (unsigned i = 0; i < o->n_workers; i++)
        build_worker(g, i);
    build_main(g);
    rc = layout_make(g, &l, use, NULL, err);
    plan_use_drop(use);
    if (rc < 0) {
        layout_free(&l);
        (void)graph_free(&g);
        return NULL;
    }
    wire(g, &l);
    layout_free(&l);
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
