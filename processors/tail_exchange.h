/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans on their way to the worker that owns their trace.
 *
 *   gather runs, batch after batch -> post: one message a worker -> [ring] -> received there
 *
 * A message shares the payloads, it copies no span. A ring that is full keeps nothing from being
 * taken: the message waits in a list here, and the spans stay booked on this worker until it is on
 * its way. What waits and what is under way is charged: the payloads, and the room that the spans
 * will take where they arrive. So a sender is refused here, where it still can be, and never there.
 *
 * Threads: an exchange belongs to its worker; a message to whoever has it.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_EXCHANGE_H
#define TAILRACE_PROCESSORS_TAIL_EXCHANGE_H

#include "component/host.h"

struct tail_store;

/* Spans of one trace, neighbours in their part. */
struct tail_run {
    uint32_t part, first, n;
};

struct tail_message {
    struct tail_message *next;
    struct budget *budget;
    size_t charged_bytes;
    uint64_t n_spans, n_bytes;
    uint64_t n_booked;         /* spans that are in the sender's books; restored ones are in nobody's yet */
    struct tail_store *origin; /* where the request is on disk, and its number there; 0: it is not */
    uint32_t stored;
    uint64_t request_ns;
    bool restored; /* a request of the process before, */
    uint64_t age_s; /* so old */
    uint32_t n_parts, n_runs;
    struct part *parts;
    struct tail_run *runs;
};
void tail_message_free(struct tail_message **m);

struct tail_outbox {
    struct part *parts; /* references */
    struct tail_run *runs;
    uint32_t n_parts, cap_parts, n_runs, cap_runs;
    uint64_t n_spans, n_bytes;
    struct tail_message *waiting, **waiting_end;
};

struct tail_exchange {
    struct host *host;
    struct tail_outbox *boxes; /* by worker */
    uint64_t waiting_spans;    /* in all lists, and booked here */
    uint32_t n_waiting;        /* messages in all lists */

    /* the request whose runs are being added */
    struct tail_store *store;
    uint32_t stored;
    bool restored;
    uint64_t age_s;
};

/* The worker that owns a trace, 0 .. n - 1 (the reference, 2.12). */
unsigned tail_owner(const uint8_t id[static 16], unsigned n_workers);

void tail_exchange_init(struct tail_exchange *x, struct host *h);
void tail_exchange_fini(struct tail_exchange *x); /* drops what waits as DROP_SHUTDOWN */

/* Adds a run of spans of p for another worker. Runs of one payload come one after the other. */
void tail_exchange_add(struct tail_exchange *x, unsigned to, struct payload *p, uint32_t first, uint32_t n);
/* What is added from here on, to the next post, belongs to this request of the store; 0: to none. */
void tail_exchange_request(struct tail_exchange *x, struct tail_store *store, uint32_t stored, bool restored, uint64_t age_s);
/* Sends what was gathered and what waits. True: nothing waits any more. */
bool tail_exchange_post(struct tail_exchange *x);
/* Drops what waits. */
void tail_exchange_abandon(struct tail_exchange *x);

#endif
