/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graph: a plan, running on N workers. The life of it, all on the main thread:
 *
 *   graph_new -> graph_start -> graph_run -> graph_drain ... done() -> graph_free
 *
 * A graph that could not be started goes straight to graph_free. Between graph_run and done() the
 * main loop must run: workers report to it.
 */
#ifndef TAILRACE_PIPELINE_BUILD_H
#define TAILRACE_PIPELINE_BUILD_H

#include "pipeline/plan.h"

struct graph;

struct graph_options {
    unsigned n_workers;
    struct loop *main_loop;          /* runs the extensions; theirs and the graph's posts */
    struct metric_set *main_metrics; /* the extensions' */
    struct budget *budget;
    struct log_sink *sink; /* NULL: silent */
};

/* Creates every instance and connects them; nothing is opened. The plan must outlive the graph.
 * CHECKs what the configuration has to guarantee: no pipeline without ends, no cycle. NULL with err
 * when a component cannot be created. */
struct graph *graph_new(const struct plan *plan, const struct graph_options *o,
                        struct err *err) MUST_USE;

/* Extensions, exporters, connectors, processors (last ones first), receivers. The first error stops
 * it: -1. No worker runs yet, so nothing has been accepted by then. */
int graph_start(struct graph *g, struct err *err) MUST_USE;

/* Starts the worker threads; extensions see host_ready() from here on. -1 when the system refuses a
 * thread: graph_free() is next then. */
int graph_run(struct graph *g, struct err *err) MUST_USE;

/*
 * Stops in topological order: every worker drains a stage before any worker drains the next, so
 * what a component flushes finds its successors alive. When timeout_ms has passed hosts say
 * host_deadline_passed(), and instances that have not finished are asked to drain once more, now
 * without hope. done() comes once, on the main loop; clean is false when a component did not finish
 * even then (each logged). After clean only, graph_free may follow.
 */
void graph_drain(struct graph *g, uint64_t timeout_ms, void (*done)(void *ctx, bool clean),
                 void *ctx);

/* Stops the workers and destroys everything, extensions last. Returns the number of loop handles
 * that were left open (a bug). */
unsigned graph_free(struct graph **g);

/*
 * A running graph becomes that of another plan. What `same` calls unchanged goes on with its state,
 * listeners and connections; what is new is created and started while the workers stand still
 * between two events, and the first error there takes all of it back; what is gone drains into what
 * follows now, under the timeout, and is destroyed. done() then comes on the main loop, once, after
 * RELOAD_DONE; with clean false when something did not stop (each logged), and no further reload is
 * accepted then. A graph_drain that comes first takes over, and done() does not come.
 */
typedef bool (*graph_same)(const struct plan_component *a, const struct plan_component *b);
enum reload_result {
    RELOAD_DONE,
    RELOAD_BUSY,    /* the last one is not over: try again after its done() */
    RELOAD_REFUSED, /* err says what cannot be changed, or what failed; nothing changed */
};
/* Takes *plan, and frees it when its time has come, with RELOAD_DONE only. */
enum reload_result graph_reload(struct graph *g, struct plan **plan, graph_same same,
                                uint64_t timeout_ms, void (*done)(void *ctx, bool clean), void *ctx,
                                struct err *err) MUST_USE;

/* One look at everything, per worker taken between two of its events. */
struct graph_scrape {
    struct ledger *ledgers; /* one per pipeline, summed over workers; those of former plans stay */
    const char **pipelines; /* their ids; the graph's */
    size_t n_ledgers;
    struct metric_snapshot **snaps; /* one per worker */
    size_t n_snaps;
    uint64_t stalls; /* loop turns over 100 ms, all workers */
};
/* Asks every worker; done() comes later on the main loop and owns nothing: s is freed afterwards.
 * Any number of scrapes may be under way. With TAILRACE_AUDIT=1 in the environment each worker also
 * compares its books with what its components say they hold, and aborts on a difference. */
void graph_scrape(struct graph *g, void (*done)(void *ctx, const struct graph_scrape *s),
                  void *ctx);
/* The same after the workers have ended, at once. */
void graph_scrape_now(struct graph *g, void (*done)(void *ctx, const struct graph_scrape *s),
                      void *ctx);

/* Asks every instance whose type has debug(); done() comes later on the main loop with what they
 * wrote, in the order of workers. Nothing written: empty. */
void graph_debug(struct graph *g, const char *question, void (*done)(void *ctx, struct slice answer),
                 void *ctx);

/* Held spans of a summed ledger, those travelling between workers included. */
int64_t ledger_held(const struct ledger *l);

bool graph_failed(const struct graph *g); /* some component reported host_failed() */
unsigned graph_workers(const struct graph *g);
struct loop *graph_worker_loop(struct graph *g, unsigned worker); /* tests: to post to */

#endif
