/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A graph's start and end: components are started on the main thread before any worker runs, and
 * destroyed on it after all workers have gone. Between the two the workers are on their own.
 * Threads: main; each worker's thread runs its loop and nothing else.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/graph.h"
#include "pipeline/registry.h"
#include "platform/clock.h"

/* ---- start ---- */

static int start_instance(struct instance *i, struct err *err)
{
    const struct component_type *t = i->node->pc->type;

    if (!t->start || t->start(i->c, err) == 0)
        return 0;
    return err_wrap(err, "failed to start \"%s\" %s", i->node->pc->id,
                    component_kind_name(t->kind));
}

static int start_node(struct node *n, struct err *err)
{
    for (unsigned w = 0; w < n->n_on; w++)
        if (start_instance(n->on[w], err) < 0)
            return -1;
    n->started = true;
    return 0;
}

/* Later stages first, so that what a component finds after itself has been started. */
static int start_kind(struct graph *g, enum component_kind kind, struct err *err)
{
    for (unsigned stage = g->n_stages; stage-- > 0;)
        for (size_t i = 0; i < g->n_nodes; i++) {
            struct node *n = g->nodes[i];

            if (!n->started && n->stage == stage && n->pc->type->kind == kind &&
                start_node(n, err) < 0)
                return -1;
        }
    return 0;
}

static int start_extensions(struct graph *g, struct err *err)
{
    for (size_t i = 0; i < g->n_extensions; i++) {
        struct node *n = g->extensions[i];
        const struct log *log = &n->on[0]->host.log;

        if (n->started)
            continue;
        log_info(log, "Extension is starting...");
        if (start_node(n, err) < 0)
            return -1;
        log_info(log, "Extension started.");
    }
    return 0;
}

int start_new(struct graph *g, struct err *err)
{
    static const enum component_kind order[] = {EXPORTER, CONNECTOR, PROCESSOR, RECEIVER};

    if (start_extensions(g, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (start_kind(g, order[i], err) < 0)
            return -1;
    return 0;
}

int graph_start(struct graph *g, struct err *err)
{
    if (g->n_extensions)
        log_info(&g->log, "Starting extensions...");
    return start_new(g, err);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    char name[16];

    snprintf(name, sizeof(name), "worker %u", w->index % 1000);
    pthread_setname_np(pthread_self(), name);
    loop_run(w->loop);
    return NULL;
}

static void on_stall(void *ctx, const char *site, uint64_t ms)
{
    struct worker *w = ctx;

    log_warn(&w->g->log, "Event loop was held up", LOG_UINT("worker", w->index),
             LOG_STR("callback", site), LOG_UINT("ms", ms));
}

static int start_worker(struct worker *w, struct err *err)
{
    int rc;

    loop_on_stall(w->loop, on_stall, w);
    rc = pthread_create(&w->thread, NULL, run_worker, w);
    if (rc)
        return err_set(err, "cannot start worker thread %u: %s", w->index, strerror(rc));
    w->running = true;
    return 0;
}

int graph_run(struct graph *g, struct err *err)
{
    sigset_t all, before;
    int rc = 0;

    /* Signals are the main thread's. */
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    for (unsigned i = 0; i < g->o.n_workers && rc == 0; i++)
        rc = start_worker(&g->workers[i], err);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (rc == 0)
        atomic_store(&g->ready_since_ns, clock_wall_ns());
    return rc;
}

/* ---- end ---- */

static void stop_loop(void *ctx)
{
    loop_stop(ctx);
}

static void join_workers(struct graph *g)
{
    for (unsigned i = 0; i < g->o.n_workers; i++)
        if (g->workers[i].running)
            loop_post(g->workers[i].loop, stop_loop, g->workers[i].loop);
    for (unsigned i = 0; i < g->o.n_workers; i++) {
        if (g->workers[i].running)
            CHECK(pthread_join(g->workers[i].thread, NULL) == 0);
        g->workers[i].running = false;
    }
}

/* Feeders before those they feed. */
static void close_nodes(struct graph *g)
{
    for (unsigned stage = 0; stage <= g->n_stages; stage++)
        for (size_t i = 0; i < g->n_nodes; i++)
            if (g->nodes[i]->stage == stage)
                node_close(g, g->nodes[i]);
}

static void free_nodes(struct graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++)
        node_free(g, g->nodes[i]);
    for (size_t i = g->n_extensions; i-- > 0;)
        node_free(g, g->extensions[i]);
    free(g->nodes);
    free(g->extensions);
}

static unsigned free_worker(struct worker *w)
{
    unsigned leaked = loop_free(&w->loop);

    metric_set_free(&w->metrics);
    return leaked;
}

unsigned graph_free(struct graph **gp)
{
    struct graph *g = *gp;
    unsigned leaked = 0;

    *gp = NULL;
    join_workers(g);
    close_nodes(g);
    wire_sweep(g, true);
    for (unsigned i = 0; i < g->o.n_workers; i++)
        leaked += free_worker(&g->workers[i]);
    free_nodes(g);
    reload_free(g);
    lines_free(g);
    stop_free(&g->stop);
    stop_free(&g->leaving);
    free(g->workers);
    free(g);
    return leaked;
}
