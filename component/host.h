/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host: everything a component may ask of its surroundings. One per instance. Tests build one in ten
 * lines (tests/lib/test_host.h) and need no YAML, no socket, no threads.
 */
#ifndef TAILRACE_COMPONENT_HOST_H
#define TAILRACE_COMPONENT_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "model/batch.h"
#include "platform/log.h"
#include "platform/loop.h"
#include "platform/mem.h"
#include "platform/metric.h"

struct component;

/* Would spans that nobody waits for any more be taken now? */
enum room {
    ROOM_YES,
    ROOM_TIGHT,   /* still, but a queue is filling up */
    ROOM_NO,      /* a queue would drop them as queue_full */
    ROOM_NO_WAIT, /* the same, and its settings ask senders to wait (block_on_overflow) */
};

struct host {
    /* read by the component */
    struct loop *loop;
    struct log log; /* carries kind, id and pipeline */
    struct budget *budget;
    struct metric_set *metrics; /* this worker's */
    unsigned worker, n_workers; /* 0 .. n_workers - 1 */
    const char *id;             /* as the user wrote it: "otlp/eu" */
    const char *pipeline;       /* processors: "traces/a"; else NULL */
    void *shared;               /* from shared_create, the same on all workers; NULL: none */
    struct ledger *ledger;      /* processors: their pipeline's books on this worker; exporters: once running,
                            * those of the first pipeline that ends there, for what comes back from disk */
    enum metric_level metric_level;
    uint32_t gates; /* component/gates.h: those that are on */

    /* filled by the graph (or the test); the component calls the functions below */
    void (*emit_fn)(struct host *h, struct batch **take);
    void (*drained_fn)(struct host *h);
    bool (*send_fn)(struct host *h, unsigned to_worker, void *msg);
    void (*send_flush_fn)(struct host *h);
    bool (*deadline_fn)(const struct host *h);
    void (*failed_fn)(struct host *h, const char *text);
    int (*accept_fn)(struct host *h, struct payload **p, struct request_info *info, struct waiter w);
    bool (*ready_fn)(const struct host *h, uint64_t *since_wall_ns);
    struct component *(*extension_fn)(const struct host *h, const char *id);
    struct component *(*successor_fn)(const struct host *h); /* NULL: never one */
    enum room (*room_fn)(struct host *h, uint64_t n_spans, uint64_t n_bytes); /* NULL: always room */
    void (*room_again_fn)(struct host *h);
    struct component *successor; /* processors: what host_emit() gives to, when that is one processor; NULL: it is not */
    void *graph; /* the graph's own */
};

/* Processors, connectors: to whatever comes next. Takes the batch. */
void host_emit(struct host *h, struct batch **take);

/*
 * Receivers: the payload of one request to every pipeline that names this receiver. Takes *p.
 * One batch per pipeline is entered in that pipeline's ledger. `w` is answered exactly once, when
 * all pipelines have (the worst answer wins), possibly before this returns. The payload has at least
 * one span. info: a reference, or NULL; taken.
 */
void host_accept(struct host *h, struct payload **p, struct request_info *info, struct waiter w);

/*
 * Back-pressure. Whoever answers its sender before it sends on (batch, tail sampling) asks before it
 * emits: would a batch of about this size be taken? If not it keeps the spans, says so in its own
 * type->room(), and type->resume() comes when there may be room (on the same worker: room that another
 * worker makes is found by asking again). Where the spans have another way to go, there is always
 * room: a full queue then drops, and the others go on.
 * Receivers ask at the door, with 0 and 0: would a request be refused?
 * The enum is ordered: from ROOM_NO on nothing is taken.
 */
enum room host_room(struct host *h, uint64_t n_spans, uint64_t n_bytes);
/* Exporters: type->room() said no before, and now there is some. */
void host_room_again(struct host *h);

/* What a reload put in this component's place (same id, same worker), while this one drains; NULL: there is none. It
 * takes what its predecessor cannot finish: type->push. */
struct component *host_successor(const struct host *h);

/* Drain finished. Repeats are ignored. */
void host_drained(struct host *h);
/* The stop deadline has passed: what is still held is dropped as DROP_SHUTDOWN. */
bool host_deadline_passed(const struct host *h);

/* A message to the same component (and pipeline) on another worker, arriving there in
 * type->message(). False when that ring is full: try later or handle it some other way.
 * host_send_flush wakes the receivers; call it once after the sends of one event. */
bool host_send(struct host *h, unsigned to_worker, void *msg) MUST_USE;
void host_send_flush(struct host *h);

/* Extensions: do all pipelines run, and since when? False before all have started, from the first
 * moment of the shutdown, and after a host_failed() of any component. */
bool host_ready(const struct host *h, uint64_t *since_wall_ns);

/* The extension that a KEY_EXTENSION names: loading has checked that it runs and provides what the row
 * asks for. On main only, in shared_create, create and start; it lives until this component has been
 * destroyed. What it offers may be called from every worker at the same time. NULL: id is NULL. */
struct component *host_extension(const struct host *h, const char *id) MUST_USE;

/* A run-time failure that makes the component useless (its listener died): logged, /health goes
 * unhealthy. The process goes on. */
void host_failed(struct host *h, const char *text);

#endif
