/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running graph's parts, private to pipeline/. Reading order: build.c makes nodes of a plan,
 * wire.c connects them, route.c moves data through, messages.c carries messages between workers,
 * reload.c changes a running graph, stop.c ends it or parts of it, scrape.c looks at it.
 *
 *   node       a component in the graph: one per id (receivers, exporters, connectors) or per id and
 *              pipeline (processors). Shared by all workers
 *   instance   a node on one worker: host, component
 *   line       a pipeline: its books and its exporters on each worker. Never freed before the graph:
 *              batches point to their books, and the numbers of one that is gone stay
 *   worker     a thread with its loop and metrics
 *
 * Extensions are instances of a worker of their own that is the main thread. What is immutable
 * while workers run is changed by a reload while all of them are parked between two events.
 */
#ifndef TAILRACE_PIPELINE_GRAPH_H
#define TAILRACE_PIPELINE_GRAPH_H

#include <pthread.h>
#include <stdatomic.h>

#include "pipeline/build.h"
#include "pipeline/fanout.h"

/* A plan that nodes come from; their settings and ids live in it. */
struct plan_use {
    const struct plan *plan;
    struct plan *owned; /* freed with the last reference; NULL: the caller's */
    unsigned refs;
};

/* A component of a plan and shared_create's product: one for all nodes of the same id and settings. */
struct shared {
    struct plan_use *use;
    const struct plan_component *pc;
    struct host host; /* what shared_create saw */
    void *ptr;
    bool created;
    unsigned refs;
};

struct node {
    const struct plan_component *pc;
    struct shared *shared;
    struct shared *next_shared; /* its new settings, when wire() makes it change; NULL: none */
    struct line *line; /* processors; else NULL */
    unsigned stage;    /* longest way from a receiver */
    struct instance **on; /* by worker; an extension has one, on main */
    unsigned n_on;
    struct ring **rings; /* [from * n_workers + to]; NULL: no messages */
    struct ring_end *ring_ends;

    struct node *next;   /* processors: what follows; NULL: the line's exporters */
    struct line **feeds; /* receivers, connectors */
    size_t n_feeds;

    unsigned generation;           /* the last one it is part of */
    bool fresh, started;           /* fresh: of a generation that does not run yet */
    struct node *redirect;         /* wire.c's */
    bool leaving;                  /* a reload took it out: it drains, then goes */
    _Atomic bool deadline_passed;  /* of its leaving */
};

struct instance {
    struct host host; /* host.graph is the graph */
    struct component *c;
    struct node *node;
    struct worker *worker;
    struct outlet *next;   /* processors: what follows */
    struct outlet single;  /* this instance alone, as target */
    struct inlet inlet;    /* receivers, connectors: the pipelines they feed */
    bool *unwoken;         /* per worker: pushed to its ring since the last wake */
    unsigned messages;     /* handled since the last settling round */
    struct report *asker;  /* drain was called for it */
    struct list waiting;   /* worker->waiting: it was told that there is no room */
    _Atomic bool drained;  /* host_drained() came */
    unsigned books_of;     /* exporters: the generation that host.ledger is of */
    bool closed;           /* its stage is over on all workers: nothing may come out any more */
};

/* A ring's receiving end. */
struct ring_end {
    struct node *node;
    unsigned to, from;
};

/* A pipeline on one worker. */
struct line_end {
    struct ledger ledger;
    struct outlet *outlet; /* its exporters */
};

struct line {
    char *id;
    struct node *first; /* processor; NULL: none */
    struct node **exporters;
    size_t n_exporters;
    bool pushes_back;     /* what its queues do not take is refused at the door: room.c */
    struct line_end **on; /* by worker */
    unsigned generation;
    bool fresh;
};

struct worker {
    struct graph *g;
    unsigned index;
    struct loop *loop;
    pthread_t thread;
    struct metric_set *metrics;
    struct list old_outlets; /* of former exporters, while branches of them are under way */
    struct list waiting;     /* instances to be told when there is room again */
    struct deferred resume;
    bool running;
};

struct graph {
    struct graph_options o;
    struct log log;
    enum metric_level metric_level;
    struct node **nodes; /* but for extensions' */
    size_t n_nodes;
    struct node **closed; /* of the reload before: to be freed */
    size_t n_closed;
    struct node **extensions; /* in start order; those that leave come last */
    size_t n_extensions;
    struct line **lines;
    size_t n_lines;
    unsigned n_stages;
    unsigned generation;
    bool running;
    struct worker *workers;
    struct worker main; /* the extensions': the main loop, no thread */
    bool audit;

    _Atomic bool failed;
    _Atomic bool deadline_passed;
    _Atomic uint64_t ready_since_ns; /* wall clock; 0: not ready */
    struct stop *stop;               /* a drain under way, or over */
    struct stop *leaving;            /* the same of what a reload took out */
    struct reload *reload;           /* the last one; over when its leaving is */
};

/* ---- build.c ---- */

/* A plan's pipelines as nodes, found or new. */
struct layout_line {
    struct line *line;
    struct node **receivers, **processors, **exporters;
    size_t n_receivers, n_processors, n_exporters;
};
struct layout {
    struct arena *arena;
    struct layout_line *lines;
    size_t n_lines;
    struct node **old_extensions; /* the graph's before */
    size_t n_old_extensions;
};
/* Nodes of this plan: those of the running generation that `same` finds unchanged, else new ones,
 * created but not started. All get the generation g->generation + 1. -1 with err: take it back with
 * layout_undo. */
int layout_make(struct graph *g, struct layout *l, struct plan_use *use, graph_same same,
                struct err *err) MUST_USE;
/* Destroys what is new. */
void layout_undo(struct graph *g, struct layout *l);
void layout_free(struct layout *l);
/* They name the same extensions, and what may have changed about those is of no matter to who uses them already. */
bool uses_go_on(const struct plan_component *from, const struct plan_component *to, graph_same same);
/* A running component goes on with these new settings (type->change). */
bool takes_over(const struct plan_component *from, const struct plan_component *to, graph_same same);
void lines_free(struct graph *g);
/* Destroys its instances and rings. What it shares goes with node_free, after the workers' loops have
 * turned once more, or have gone: closing may go on that long. */
void node_close(struct graph *g, struct node *n);
void node_free(struct graph *g, struct node *n);
void shared_drop(struct shared *s); /* fine on NULL */
struct plan_use *plan_use_new(const struct plan *plan, struct plan *owned) MUST_USE;
void plan_use_drop(struct plan_use *u);
/* The instances of one worker: how many, and the i-th. */
size_t worker_instances(const struct worker *w);
struct instance *worker_instance(const struct worker *w, size_t i);

/* ---- wire.c: connects the nodes as the layout says, and makes it the running generation ---- */
void wire(struct graph *g, const struct layout *l);
/* Frees outlets of former exporters that nothing is under way to. */
void wire_sweep(struct graph *g, bool all);

/* ---- run.c ---- */
/* Starts what has not been: extensions, then later stages first. */
int start_new(struct graph *g, struct err *err) MUST_USE;

/* ---- room.c ---- */
/* Which pipelines can push back; after the nodes have been connected. */
void room_wire(struct graph *g);
void room_build(struct worker *w);
void room_bind(struct instance *i);
void room_forget(struct instance *i);

/* ---- route.c: fills in an instance's host functions ---- */
void route_bind(struct instance *i);
/* The running extension of this id, for a component that is being made. */
struct component *route_extension(const struct host *h, const char *id);

/* ---- messages.c ---- */
void messages_build(struct graph *g, struct node *n);
void messages_bind(struct instance *i);
/* On the worker: how many messages have been handled since the last call; whether some are unsent.
 */
unsigned messages_settle(struct worker *w, const struct stop *s, bool *unsent);
void messages_free(struct graph *g, struct node *n);

/* ---- stop.c ---- */
void stop_instance_drained(struct instance *i);
bool stop_concerns(const struct stop *s, const struct node *n); /* in the stage under way */
/* Drains the nodes that are leaving; done() on main, never called when a graph_drain comes first. */
void stop_leaving(struct graph *g, uint64_t timeout_ms, void (*done)(void *ctx, bool clean),
                  void *ctx);
void stop_free(struct stop **s);

/* ---- reload.c ---- */
void reload_free(struct graph *g);

/* ---- park.c ---- */
/* All workers stand still between two events, and main may touch what is theirs. False when one does
 * not come within the time; nothing is parked then. */
struct park;
bool park_workers(struct graph *g, struct park **p, uint64_t timeout_ms) MUST_USE;
void unpark_workers(struct park **p);

static inline struct instance *instance_of(const struct host *h)
{
    return CONTAINER_OF(h, struct instance, host);
}

static inline bool node_feeds(const struct node *n)
{
    return n->pc->type->kind == RECEIVER || n->pc->type->kind == CONNECTOR;
}

#endif
