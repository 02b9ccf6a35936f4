/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions of the admin's /debug pages to the instances that answer them (type->debug): each worker
 * lets its instances write between two of its events, the last one hands the texts to the main loop,
 * in the order of workers.
 * Threads: asked and answered on main; a worker writes into its own buffer.
 */
#include <stdlib.h>

#include "pipeline/graph.h"

struct question {
    char *text;
    struct loop *main_loop;
    _Atomic unsigned outstanding;
    unsigned n;
    struct reply {
        struct question *q;
        struct worker *w;
        struct buf out;
    } *replies;
    void (*done)(void *ctx, struct slice answer);
    void *ctx;
};

static void deliver(void *ctx)
{
    struct question *q = ctx;
    struct buf all = {0};

    for (unsigned i = 0; i < q->n; i++) {
        buf_put(&all, q->replies[i].out.p, q->replies[i].out.len);
        buf_free(&q->replies[i].out);
    }
    q->done(q->ctx, slice_of(all.p, all.len));
    buf_free(&all);
    free(q->replies);
    free(q->text);
    free(q);
}

static void on_worker(void *ctx)
{
    struct reply *r = ctx;
    struct question *q = r->q;

    for (size_t i = 0; i < r->w->g->n_nodes; i++) {
        const struct instance *in = worker_instance(r->w, i);
        const struct component_type *t = in->node->pc->type;

        if (t->debug)
            t->debug(in->c, q->text, &r->out);
    }
    if (atomic_fetch_sub(&q->outstanding, 1) == 1)
        loop_post(q->main_loop, deliver, q); /* it may outlive the graph: touches it no more */
}

void graph_debug(struct graph *g, const char *text, void (*done)(void *ctx, struct slice answer), void *ctx)
{
    struct question *q = mem_alloc(sizeof(*q));

    q->text = mem_dup(text);
    q->main_loop = g->o.main_loop;
    q->done = done;
    q->ctx = ctx;
    q->n = g->o.n_workers;
    q->outstanding = q->n;
    q->replies = mem_alloc_array(q->n, sizeof(*q->replies));
    for (unsigned i = 0; i < q->n; i++) {
        q->replies[i] = (struct reply){.q = q, .w = &g->workers[i]};
        loop_post(g->workers[i].loop, on_worker, &q->replies[i]);
    }
}
