/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the instances of one node: a ring per ordered pair of workers, for the types
 * that have message(). Memory: n * (n - 1) rings per such node, fixed by the number of workers.
 * Threads: the sender's worker pushes and wakes, the receiver's handles; made and freed on main
 * while no worker runs.
 */
#include "pipeline/graph.h"

enum { RING_SMALL = 256, RING_LARGE = 1024, MANY_WORKERS = 8 };

static void on_message(void *ctx, void *msg)
{
    struct ring_end *e = ctx;
    struct component *c = e->to->c;

    e->to->messages++;
    c->type->message(c, e->from, msg);
}

static bool message_send(struct host *h, unsigned to_worker, void *msg)
{
    struct instance *i = instance_of(h);
    unsigned n = h->n_workers;

    if (!ring_push(i->node->rings[h->worker * n + to_worker], msg))
        return false;
    i->unwoken[to_worker] = true;
    return true;
}

static void message_flush(struct host *h)
{
    struct instance *i = instance_of(h);

    for (unsigned to = 0; to < h->n_workers; to++) {
        if (!i->unwoken[to])
            continue;
        i->unwoken[to] = false;
        ring_wake(i->node->rings[h->worker * h->n_workers + to]);
    }
}

static void build_node(struct graph *g, size_t node)
{
    unsigned n = g->o.n_workers;
    uint32_t capacity = n > MANY_WORKERS ? RING_SMALL : RING_LARGE;

    g->nodes[node].rings = arena_alloc(g->arena, sizeof(struct ring *) * n * n);
    for (unsigned from = 0; from < n; from++) {
        for (unsigned to = 0; to < n; to++) {
            struct worker *w = &g->workers[to];
            struct ring_end *e = &w->ring_ends[node * n + from];

            if (from == to)
                continue;
            *e = (struct ring_end){&w->instances[node], from};
            g->nodes[node].rings[from * n + to] = ring_new(w->loop, capacity, on_message, e);
        }
    }
}

void messages_build(struct graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].pc->type->message && g->o.n_workers > 1)
            build_node(g, i);
}

void messages_bind(struct instance *i)
{
    i->host.send_fn = message_send;
    i->host.send_flush_fn = message_flush;
    i->unwoken = arena_alloc(i->worker->arena, sizeof(bool) * i->worker->g->o.n_workers);
}

unsigned messages_settle(struct worker *w, unsigned stage, bool *unsent)
{
    struct graph *g = w->g;
    unsigned n = g->o.n_workers, handled = 0;

    *unsent = false;
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *node = &g->nodes[i];
        const struct component_type *t = node->pc->type;
        struct instance *to = &w->instances[i];

        if (!node->rings || node->stage != stage)
            continue;
        for (unsigned from = 0; from < n; from++)
            if (from != w->index)
                ring_drain(node->rings[from * n + w->index]);
        if (t->unsent && t->unsent(to->c))
            *unsent = true;
        handled += to->messages;
        to->messages = 0;
    }
    return handled;
}

void messages_free(struct graph *g)
{
    unsigned n = g->o.n_workers;

    for (size_t i = 0; i < g->n_nodes; i++)
        for (unsigned k = 0; g->nodes[i].rings && k < n * n; k++)
            if (g->nodes[i].rings[k])
                ring_free(&g->nodes[i].rings[k]);
}
