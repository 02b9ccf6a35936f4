/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of data and of news through the graph: what stands behind the host_* calls.
 *
 *   receiver --accept--> inlet --> head of each pipeline
 *   processor --emit--> the next processor, or the pipeline's outlet
 *   connector --emit--> inlet --> head of each next pipeline
 *
 * After its stage is over (stop.c) an instance can bring nothing in any more: a batch is dropped
 * and counted, a request is refused. Threads: the instance's worker; host_failed sets one atomic.
 */
#include "pipeline/graph.h"

static void refuse_request(struct payload **p, struct request_info *info, struct waiter w)
{
    payload_unref(p);
    request_info_unref(&info);
    if (w.fn)
        w.fn(w.ctx, &(struct answer_detail){.answer = ANSWER_RETRY, .text = "shutting down"});
}

static int route_accept(struct host *h, struct payload **p, struct request_info *info,
                        struct waiter w)
{
    struct instance *i = instance_of(h);

    CHECK(i->node->pc->type->kind == RECEIVER);
    if (UNLIKELY(i->closed))
        refuse_request(p, info, w);
    else
        inlet_accept(&i->inlet, p, info, w, loop_now_ns(h->loop));
    return 0;
}

static void route_emit(struct host *h, struct batch **take)
{
    struct instance *i = instance_of(h);

    if (UNLIKELY(i->closed)) {
        batch_drop(take, DROP_SHUTDOWN, "emitted after the drain");
    } else if (i->next) {
        (*take)->must_wait = i->node->line && i->node->line->pushes_back;
        outlet_push(i->next, take);
    }
    else
        inlet_push(&i->inlet, take);
}

static void route_drained(struct host *h)
{
    stop_instance_drained(instance_of(h));
}

static bool route_deadline(const struct host *h)
{
    const struct graph *g = h->graph;

    return atomic_load_explicit(&g->deadline_passed, memory_order_relaxed) ||
           atomic_load_explicit(&CONTAINER_OF(h, const struct instance, host)->node->deadline_passed,
                                memory_order_relaxed);
}

static void route_failed(struct host *h, const char *text)
{
    struct graph *g = h->graph;

    log_error(&h->log, "Component failed, the process goes on without it", LOG_STR("error", text));
    atomic_store(&g->failed, true);
}

static bool route_ready(const struct host *h, uint64_t *since_wall_ns)
{
    struct graph *g = h->graph;

    *since_wall_ns = atomic_load(&g->ready_since_ns);
    return *since_wall_ns != 0 && !graph_failed(g);
}

struct component *route_extension(const struct host *h, const char *id)
{
    const struct graph *g = h->graph;

    /* those that leave come last */
    for (size_t i = 0; i < g->n_extensions; i++)
        if (strcmp(g->extensions[i]->pc->id, id) == 0)
            return g->extensions[i]->on[0]->c;
    return NULL;
}

static struct component *route_successor(const struct host *h)
{
    const struct instance *i = instance_of((struct host *)(uintptr_t)h);
    const struct node *n = i->node;
    const struct graph *g = h->graph;

    for (size_t k = 0; n->leaving && k < g->n_nodes; k++) {
        const struct node *m = g->nodes[k];

        if (!m->leaving && m->line == n->line && m->pc->type == n->pc->type && strcmp(m->pc->id, n->pc->id) == 0)
            return m->on[i->worker->index]->c;
    }
    return NULL;
}

void route_bind(struct instance *i)
{
    struct host *h = &i->host;

    h->emit_fn = route_emit;
    h->accept_fn = route_accept;
    h->drained_fn = route_drained;
    h->deadline_fn = route_deadline;
    h->failed_fn = route_failed;
    h->ready_fn = route_ready;
    h->successor_fn = route_successor;
}
