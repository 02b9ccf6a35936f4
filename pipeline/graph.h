/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running graph's parts, private to pipeline/. Reading order: build.c makes it, route.c moves
 * data through it, messages.c carries messages between workers, stop.c ends it, scrape.c looks at
 * it.
 *
 *   node       a component in the plan's graph: one per id (receivers, exporters, connectors) or
 * per id and pipeline (processors). Immutable after the build; shared by all workers. instance   a
 * node on one worker: host, component. worker     a thread with its loop, its instances, its
 * ledgers (one per pipeline) and metrics. Extensions are instances of a worker of their own that is
 * the main thread.
 */
#ifndef TAILRACE_PIPELINE_GRAPH_H
#define TAILRACE_PIPELINE_GRAPH_H

#include <pthread.h>
#include <stdatomic.h>

#include "pipeline/build.h"
#include "pipeline/fanout.h"

/* shared_create's product, one per component of the plan. */
struct shared {
    struct host host; /* what shared_create saw */
    void *ptr;
    bool created;
};

struct node {
    const struct plan_component *pc;
    const struct plan_pipeline *pipeline; /* processors; else NULL */
    size_t pipeline_index;
    unsigned stage; /* longest way from a receiver */
    struct shared *shared;
    struct ring **rings; /* [from * n_workers + to]; NULL: no messages */
};

struct instance {
    struct host host; /* host.graph is the graph */
    struct component *c;
    struct node *node;
    struct worker *worker;
    struct outlet *next;  /* processors: what follows */
    struct inlet *inlet;  /* receivers, connectors: the pipelines they feed */
    bool *unwoken;        /* per worker: pushed to its ring since the last wake */
    unsigned messages;    /* handled since the last settling round */
    bool asked;           /* drain was called */
    _Atomic bool drained; /* host_drained() came */
    bool closed;          /* its stage is over on all workers: nothing may come out any more */
};

/* A ring's receiving end. */
struct ring_end {
    struct instance *to;
    unsigned from;
};

struct worker {
    struct graph *g;
    unsigned index;
    struct loop *loop;
    pthread_t thread;
    struct metric_set *metrics;
    struct instance *instances; /* by node */
    struct ledger *ledgers;     /* by pipeline */
    struct outlet *outlets;     /* by pipeline: its exporters */
    struct outlet *singles;     /* by node: a processor alone, as target */
    struct inlet *inlets;       /* by node; n 0 but for receivers and connectors */
    struct ring_end *ring_ends; /* [node * n_workers + from] */
    struct arena *arena;        /* the arrays above and what hangs on them */
    unsigned undrained;         /* instances of the stage under way */
    bool running;
};

struct graph {
    const struct plan *plan;
    struct graph_options o;
    struct log log;
    struct arena *arena;
    struct node *nodes;
    size_t n_nodes;
    struct node *extension_nodes; /* the main worker's instances, in start order */
    size_t n_extensions;
    unsigned n_stages;
    bool running;
    struct shared *shared; /* by plan component */
    struct worker *workers;
    struct worker main; /* the extensions': the main loop, no thread */
    bool audit;

    _Atomic bool failed;
    _Atomic bool deadline_passed;
    _Atomic uint64_t ready_since_ns; /* wall clock; 0: not ready */
    struct stop *stop;               /* a drain under way, or over */
};

/* build.c */
size_t worker_instances(const struct worker *w); /* how many */
/* route.c: fills in an instance's host functions. */
void route_bind(struct instance *i);
/* messages.c */
void messages_build(struct graph *g);
void messages_bind(struct instance *i);
/* On the worker: how many messages have been handled since the last call; whether some are unsent.
 */
unsigned messages_settle(struct worker *w, unsigned stage, bool *unsent);
void messages_free(struct graph *g);
/* stop.c */
void stop_instance_drained(struct instance *i);
void stop_free(struct graph *g);

static inline struct instance *instance_of(const struct host *h)
{
    return CONTAINER_OF(h, struct instance, host);
}

static inline bool node_feeds(const struct node *n)
{
    return n->pc->type->kind == RECEIVER || n->pc->type->kind == CONNECTOR;
}

#endif
