/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The component contract: what a receiver, processor, exporter, connector or extension is.
 *
 * Life of an instance (all on its worker's loop, unless said otherwise):
 *   shared_create   once per id and process, on main, before any worker runs; may be NULL
 *   create          once per worker (processors: per worker and pipeline); opens nothing
 *   start           opens sockets, files, timers. Order: exporters first, receivers last. An error
 *                   ends the start of the daemon with one line.
 *   push            data, any number of times between start and destroy. Takes the batch.
 *   message         from the same component on another worker (host_send)
 *   drain           stop admitting, send on what is held, then call host_drained() once, perhaps
 *                   later. Safe before start and twice. After host_drained() nothing may be emitted.
 *                   The deadline is the host's: host_deadline_passed(). When it passes, drain is
 *                   called again on those that have not finished: drop what is held, and finish.
 *   destroy         frees everything; accepts half-built objects; after drain or a failed start.
 *   shared_destroy  after all workers are gone, on main.
 */
#ifndef TAILRACE_COMPONENT_COMPONENT_H
#define TAILRACE_COMPONENT_COMPONENT_H

#include "component/extension.h"
#include "component/host.h"
#include "component/key.h"
#include "model/batch.h"
#include "platform/err.h"
#include "platform/metric.h"

enum component_kind { RECEIVER, PROCESSOR, EXPORTER, CONNECTOR, EXTENSION, COMPONENT_KINDS };

struct component {
    const struct component_type *type; /* CHECKed by every narrowing */
    struct host *host;
};

/* A line of the memory formula that `validate` prints: what at most is held, and from which keys. */
struct memory_term {
    uint64_t bytes;
    char text[160]; /* "num_traces 50000 x 96 bytes of table" */
};

struct component_type {
    enum component_kind kind;
    const char *name;      /* "otlp_grpc" */
    const char *old_name;  /* "otlp": accepted with the Collector's deprecation warning; NULL: none */
    const char *stability; /* "stable", "beta", "alpha" */
    const char *summary;   /* one sentence */
    const struct key *keys; /* ends in KEY_END */
    size_t settings_size;
    const struct metric_row *metrics; /* ends with name NULL; for the reference; may be NULL */
    const struct map_ops *map; /* processors/map.h: neighbours work on a span together; NULL: works alone */
    bool mutates;
    bool drains_early; /* its drain ends early what has to go on: a reload takes it out only if may_leave() */

    /* Rules between keys: pure, opens nothing. */
    void (*check)(const void *settings, struct check *c);
    /* Fixed memory beyond what the budget charges per request; returns the number of terms. */
    size_t (*memory)(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max);
    /* What the feature gates that are on (component/gates.h) add to it; NULL: nothing. */
    size_t (*gates_memory)(const void *settings, unsigned n_workers, uint32_t gates, struct memory_term *terms, size_t max);

    /* memory_limiter only: the budget these settings ask for, when the process may use total_bytes. */
    void (*memory_limits)(const void *settings, uint64_t total_bytes, uint64_t *soft_bytes,
                          uint64_t *limit_bytes);

    int (*shared_create)(const void *settings, struct host *host, void **shared, struct err *err);
    void (*shared_destroy)(void **shared);

    struct component *(*create)(struct host *h, const void *settings, struct err *err);
    int (*start)(struct component *c, struct err *err);
    void (*push)(struct component *c, struct batch **take);
    void (*message)(struct component *c, unsigned from_worker, void *msg);
    /* Would spans be taken that nobody waits for? For exporters with a queue, and for processors that
     * hold spans nobody waits for, which speak for themselves: 0 and 0 asks for any. NULL: an exporter
     * that is never full; a processor that holds nothing, for which what follows is asked. */
    enum room (*room)(const struct component *c, uint64_t n_spans, uint64_t n_bytes);
    /* Types with room(): does a full queue drop what nobody waits for (no block_on_overflow)? For validate. */
    bool (*overflows)(const void *settings);
    /* host_room() said no, and there may be room now. Soon after it was made. May be NULL. */
    void (*resume)(struct component *c);
    /* Types with message(): does this instance keep messages that host_send() has not taken yet? No
     * instance is drained while another still has something to tell it. */
    bool (*unsent)(const struct component *c);
    /* New settings for a component that goes on with what it holds, instead of another in its place.
     * Called for all instances of a node while every worker stands still; host->shared, host->id and
     * the log's id are the new ones, the old shared state still lives. May be NULL.
     * Of extensions: before those that name it are made, and again with the old settings when the reload fails. */
    void (*change)(struct component *c, const void *settings);
    /* Can change() do it from one to the other? NULL: always. */
    bool (*may_change)(const void *from, const void *to);
    /* drains_early: may a reload take it out all the same? Then its drain ends what it holds. NULL: never. */
    bool (*may_leave)(const void *settings);
    /* Would an instance with these settings and its successor with those be in each other's way (two
     * formats in one file)? Then no reload puts one in the other's place. NULL: never. */
    bool (*clashes)(const void *from, const void *to);
    void (*drain)(struct component *c);
    void (*destroy)(struct component **c);
    /* Spans this instance holds now; NULL: never any between events. Audited against the ledger. */
    uint64_t (*held)(const struct component *c);
    /* A question of the admin's /debug pages ("traces/ID"): appends text if it can say something.
     * On the worker, between two events. May be NULL. */
    void (*debug)(struct component *c, const char *question, struct buf *out);

    /* Extensions: what other components may ask of them (component/extension.h). */
    const struct storage_ops *storage;         /* component/storage.h */
    const struct auth_server_ops *auth_server; /* component/auth.h */
    const struct auth_client_ops *auth_client;
    /* Which of them these settings bring; NULL: all. Bits of EXT_*. */
    unsigned (*provides)(const void *settings);
};

#endif
