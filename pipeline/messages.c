/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the instances of one node: a ring per ordered pair of workers, for the types
 * that have message(). Memory: n * (n - 1) rings per such node, fixed by the number of workers.
 * Threads: the sender's worker pushes and wakes, the receiver's handles; made and freed on main
 * while no worker runs or all are parked.
 */
#include <stdlib.h>

#include "pipeline/graph.h"

enum { RING_SMALL = 256, RING_LARGE = 1024, MANY_WORKERS = 8 };

static void on_message(void *ctx, void *msg)
{
    struct ring_end *e = ctx;
    struct instance *to = e->node->on[e->to];
    struct component *c = to->c;

    to->messages++;
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

void messages_build(struct graph *g, struct node *node)
{
    unsigned n = g->o.n_workers;
    uint32_t capacity = n > MANY_WORKERS ? RING_SMALL : RING_LARGE;

    if (!node->pc->type->message || n == 1)
        return;
    node->rings = mem_alloc_array((size_t)n * n, sizeof(struct ring *));
    node->ring_ends = mem_alloc_array((size_t)n * n, sizeof(struct ring_end));
    for (unsigned from = 0; from < n; from++) {
        for (unsigned to = 0; to < n; to++) {
            struct ring_end *e = &node->ring_ends[from * n + to];

            if (from == to)
                continue;
            *e = (struct ring_end){node, to, from};
            node->rings[from * n + to] = ring_new(g->workers[to].loop, capacity, on_message, e);
        }
    }
}

void messages_bind(struct instance *i)
{
    i->host.send_fn = message_send;
    i->host.send_flush_fn = message_flush;
    i->unwoken = mem_alloc_array(i->worker->g->o.n_workers, sizeof(bool));
}

unsigned messages_settle(struct worker *w, const struct stop *s, bool *unsent)
{
    struct graph *g = w->g;
    unsigned n = g->o.n_workers, handled = 0;

    *unsent = false;
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct node *node = g->nodes[i];
        const struct component_type *t = node->pc->type;
        struct instance *to = node->on[w->index];

        if (!node->rings || !stop_concerns(s, node))
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

void messages_free(struct graph *g, struct node *node)
{
    unsigned n = g->o.n_workers;

    for (unsigned k = 0; node->rings && k < n * n; k++)
        if (node->rings[k])
            ring_free(&node->rings[k]);
    free(node->rings);
    free(node->ring_ends);
    node->rings = NULL;
    node->ring_ends = NULL;
}
