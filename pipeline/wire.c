/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections. A layout becomes the running generation: who follows whom among nodes, the same for
 * the instances of each worker, and the order of stages.
 *
 * What is not in the layout any more is leaving. It may still send on what it holds:
 *
 *   a processor whose pipeline goes on   to what follows its namesake now; without one, to the first
 *                                        of its former successors that is still there, by name
 *   what fed a pipeline that goes on     to the first of that pipeline now
 *   the rest of a pipeline that is gone  as before
 *
 * so nothing that leaves ever sends to something else that leaves the same pipeline.
 * Threads: main, while no worker runs or all are parked.
 */
#include <stdlib.h>

#include "pipeline/graph.h"

/* ---- what leaves ---- */

static struct node *namesake(const struct layout_line *ll, const struct node *n, size_t *at)
{
    for (size_t i = 0; i < ll->n_processors; i++)
        if (strcmp(ll->processors[i]->pc->id, n->pc->id) == 0) {
            *at = i;
            return ll->processors[i];
        }
    return NULL;
}

/* What a leaving processor sends to; the old order still stands. */
static struct node *successor(const struct layout_line *ll, const struct node *n)
{
    struct node *found;
    size_t at = 0;

    if (namesake(ll, n, &at))
        return at + 1 < ll->n_processors ? ll->processors[at + 1] : NULL;
    for (const struct node *old = n->next; old; old = old->next) {
        found = namesake(ll, old, &at);
        if (found)
            return found;
    }
    return NULL;
}

static const struct layout_line *line_in(const struct layout *l, const struct line *line)
{
    for (size_t i = 0; i < l->n_lines; i++)
        if (l->lines[i].line == line)
            return &l->lines[i];
    return NULL;
}

static void take_leave(struct graph *g, const struct layout *l)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *n = g->nodes[i];
        const struct layout_line *ll = n->line ? line_in(l, n->line) : NULL;

        if (n->generation != g->generation)
            n->leaving = true;
        if (n->leaving)
            n->redirect = ll ? successor(ll, n) : n->next;
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->leaving)
            g->nodes[i]->next = g->nodes[i]->redirect;
}

/* ---- nodes ---- */

static void wire_line(struct graph *g, const struct layout_line *ll)
{
    struct line *line = ll->line;

    line->generation = g->generation;
    line->fresh = false;
    line->first = ll->n_processors ? ll->processors[0] : NULL;
    line->n_exporters = ll->n_exporters;
    free(line->exporters);
    line->exporters = mem_alloc_array(ll->n_exporters, sizeof(struct node *));
    memcpy(line->exporters, ll->exporters, ll->n_exporters * sizeof(struct node *));
    for (size_t i = 0; i < ll->n_processors; i++)
        ll->processors[i]->next = i + 1 < ll->n_processors ? ll->processors[i + 1] : NULL;
}

static bool feeds(const struct layout_line *ll, const struct node *n)
{
    for (size_t i = 0; i < ll->n_receivers; i++)
        if (ll->receivers[i] == n)
            return true;
    return false;
}

static void wire_feeder(struct node *n, const struct layout *l)
{
    free(n->feeds);
    n->feeds = mem_alloc_array(l->n_lines, sizeof(struct line *));
    n->n_feeds = 0;
    for (size_t i = 0; i < l->n_lines; i++)
        if (feeds(&l->lines[i], n))
            n->feeds[n->n_feeds++] = l->lines[i].line;
    CHECK(n->n_feeds > 0);
}

/* ---- stages ---- */

/* `after` is later than `before`. Returns whether it moved. */
static bool order(const struct node *before, struct node *after)
{
    if (after->stage > before->stage)
        return false;
    after->stage = before->stage + 1;
    return true;
}

static bool order_after(const struct node *before, struct node *next, const struct line *line)
{
    bool moved = false;

    if (next)
        return order(before, next);
    for (size_t i = 0; i < line->n_exporters; i++)
        moved |= order(before, line->exporters[i]);
    return moved;
}

static bool order_node(const struct node *n)
{
    bool moved = false;

    if (n->line)
        return order_after(n, n->next, n->line);
    for (size_t i = 0; i < n->n_feeds; i++)
        moved |= order_after(n, n->feeds[i]->first, n->feeds[i]);
    return moved;
}

static void order_all(struct graph *g)
{
    bool moved = true;

    for (size_t i = 0; i < g->n_nodes; i++)
        g->nodes[i]->stage = 0;
    for (size_t round = 0; moved; round++) {
        CHECK(round <= g->n_nodes); /* or the plan has a cycle */
        moved = false;
        for (size_t i = 0; i < g->n_nodes; i++)
            moved |= order_node(g->nodes[i]);
    }
    g->n_stages = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->stage + 1 > g->n_stages)
            g->n_stages = g->nodes[i]->stage + 1;
}

/* ---- instances, on one worker ---- */

static bool outlet_leads_to(const struct outlet *o, const struct line *line, unsigned w)
{
    if (!o || o->n != line->n_exporters)
        return false;
    for (size_t i = 0; i < o->n; i++)
        if (o->to[i] != line->exporters[i]->on[w]->c)
            return false;
    return true;
}

static void outlet_free(struct outlet *o)
{
    list_del(&o->link);
    free(o->to);
    free(o->branches);
    free(o);
}

static void connect_outlet(struct worker *w, const struct line *line)
{
    struct line_end *end = line->on[w->index];
    struct outlet *o;

    if (outlet_leads_to(end->outlet, line, w->index))
        return;
    if (end->outlet)
        list_add_tail(&w->old_outlets, &end->outlet->link);
    end->outlet = o = mem_alloc(sizeof(*o));
    list_init(&o->link);
    list_init(&o->joins);
    o->n = line->n_exporters;
    o->to = mem_alloc_array(o->n, sizeof(struct component *));
    if (o->n > 1)
        o->branches = mem_alloc_array(o->n, sizeof(struct ledger));
    for (size_t i = 0; i < o->n; i++)
        o->to[i] = line->exporters[i]->on[w->index]->c;
}

static struct outlet *outlet_to(const struct worker *w, const struct node *n,
                                const struct line *line)
{
    return n ? &n->on[w->index]->single : line->on[w->index]->outlet;
}

static void connect_inlet(struct worker *w, struct node *n)
{
    struct inlet *in = &n->on[w->index]->inlet;

    free(in->heads);
    in->heads = mem_alloc_array(n->n_feeds, sizeof(struct head));
    in->n = n->n_feeds;
    for (size_t i = 0; i < n->n_feeds; i++)
        in->heads[i] = (struct head){&n->feeds[i]->on[w->index]->ledger,
                                     outlet_to(w, n->feeds[i]->first, n->feeds[i])};
}

/* Books for what comes back from disk: those of the first pipeline that ends here. */
static void connect_exporters(struct worker *w, const struct line *line)
{
    for (size_t i = 0; i < line->n_exporters; i++) {
        struct instance *e = line->exporters[i]->on[w->index];

        if (e->books_of != w->g->generation) {
            e->books_of = w->g->generation;
            e->host.ledger = &line->on[w->index]->ledger;
        }
    }
}

static void connect_worker(struct worker *w)
{
    struct graph *g = w->g;

    for (size_t i = 0; i < g->n_lines; i++)
        if (g->lines[i]->generation == g->generation) {
            connect_outlet(w, g->lines[i]);
            connect_exporters(w, g->lines[i]);
        }
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *n = g->nodes[i];

        if (n->line) {
            n->on[w->index]->next = outlet_to(w, n->next, n->line);
            n->on[w->index]->host.successor = n->next ? n->next->on[w->index]->c : NULL;
        }
        else if (node_feeds(n))
            connect_inlet(w, n);
    }
}

/* New settings for nodes that go on. */
static void change_node(struct node *n)
{
    struct shared *old = n->shared;

    n->shared = n->next_shared;
    n->next_shared = NULL;
    n->pc = n->shared->pc;
    for (unsigned w = 0; w < n->n_on; w++) {
        struct host *h = &n->on[w]->host;

        h->shared = n->shared->ptr;
        h->id = h->log.id = n->pc->id;
        n->pc->type->change(n->on[w]->c, n->pc->settings);
    }
    shared_drop(old);
}

/* What instances that go on count is a matter of the new plan. */
static void set_metric_level(const struct graph *g, struct node *n)
{
    for (unsigned w = 0; w < n->n_on; w++)
        n->on[w]->host.metric_level = g->metric_level;
}

static void wire_extensions(struct graph *g)
{
    for (size_t i = 0; i < g->n_extensions; i++) {
        g->extensions[i]->fresh = false;
        set_metric_level(g, g->extensions[i]);
        if (g->extensions[i]->next_shared)
            change_node(g->extensions[i]);
        g->extensions[i]->leaving = g->extensions[i]->generation != g->generation;
    }
}

void wire(struct graph *g, const struct layout *l)
{
    g->generation++;
    wire_extensions(g);
    take_leave(g, l);
    for (size_t i = 0; i < l->n_lines; i++)
        wire_line(g, &l->lines[i]);
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *n = g->nodes[i];

        n->fresh = false;
        set_metric_level(g, n);
        if (n->next_shared)
            change_node(n);
        if (node_feeds(n) && !n->leaving)
            wire_feeder(n, l);
    }
    order_all(g);
    room_wire(g);
    for (unsigned i = 0; i < g->o.n_workers; i++)
        connect_worker(&g->workers[i]);
}

/* ---- former outlets ---- */

static bool is_used(const struct outlet *o)
{
    if (!list_empty(&o->joins))
        return true;
    for (size_t i = 0; o->branches && i < o->n; i++)
        if (o->branches[i].held)
            return true;
    return false;
}

static void sweep_worker(struct worker *w, bool all)
{
    struct list *next;

    for (struct list *l = w->old_outlets.next; l != &w->old_outlets; l = next) {
        struct outlet *o = CONTAINER_OF(l, struct outlet, link);

        next = l->next;
        if (all || !is_used(o))
            outlet_free(o);
    }
}

/* A pipeline that is gone leads nowhere; its books stay. */
static void close_line(struct graph *g, struct line *line)
{
    free(line->exporters);
    line->exporters = NULL;
    line->n_exporters = 0;
    line->first = NULL;
    for (unsigned w = 0; w < g->o.n_workers; w++) {
        struct line_end *end = line->on[w];

        if (end->outlet)
            list_add_tail(&g->workers[w].old_outlets, &end->outlet->link);
        end->outlet = NULL;
    }
}

void wire_sweep(struct graph *g, bool all)
{
    for (size_t i = 0; i < g->n_lines; i++)
        if (all || g->lines[i]->generation != g->generation)
            close_line(g, g->lines[i]);
    for (unsigned w = 0; w < g->o.n_workers; w++)
        sweep_worker(&g->workers[w], all);
}
