/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch: the unit that moves through a pipeline. A list of parts, each a range of spans of one
 * payload. Merging, splitting and sharing batches copies no span.
 *
 * A batch carries three duties, and batch_end() (or a hand-over) discharges each exactly once:
 *   its spans are in a pipeline's ledger as held: they end as exported, sampled out, filtered or
 *     dropped with a reason;
 *   its parts hold references to payloads;
 *   somebody may wait for an answer (the receiver that has the client on the line).
 * The last release of a batch that did not end is a bug and aborts.
 *
 * Threads: a batch belongs to one worker. batch_post()-like moves to another worker go through
 * batch_detach/attach, which also move its spans between the two workers' ledgers.
 */
#ifndef TAILRACE_MODEL_BATCH_H
#define TAILRACE_MODEL_BATCH_H

#include "model/ledger.h"
#include "model/payload.h"

/* What an authenticator found out about the client. Shared by its requests. */
struct auth_data {
    _Atomic uint32_t refs;
    size_t n;
    struct auth_attribute {
        char *name, *value;
    } *v;
};
struct auth_data *auth_data_new(size_t n) MUST_USE;              /* names and values to be filled in: malloc'ed */
struct auth_data *auth_data_ref(struct auth_data *d); /* NULL gives NULL */
void auth_data_unref(struct auth_data **d);           /* wipes the values */

/* What the receiver knows of the request: from whom, and its headers where include_metadata asks for
 * them. Shared, immutable once attached, atomic references. */
struct request_info {
    _Atomic uint32_t refs;
    struct auth_data *auth; /* a reference; NULL: nobody asked who it is */
    char *client_address; /* peer IP without port; "" unknown */
    char *grpc_peer;      /* where it came by gRPC: with its port, "" unknown; NULL: it did not */
    size_t n_headers;
    struct request_header {
        char *name; /* lower case */
        char *value;
    } *headers; /* repeated names are repeated entries */
    struct budget *budget; /* NULL, or where headers are charged (MEM_CONN) until the last reference goes */
    size_t charged_bytes;
};
struct request_info *request_info_new(const char *client_address, size_t n_headers) MUST_USE;
struct request_info *request_info_ref(struct request_info *i); /* NULL gives NULL */
void request_info_unref(struct request_info **i);
/* k-th value of a header (any case); NULL when there are not so many. */
const char *request_info_get(const struct request_info *i, const char *name, size_t k);
/* An attribute of the client's ("username"); NULL: there is none. */
const char *request_info_auth(const struct request_info *i, const char *name);

/* The answer the sender gets. */
enum answer {
    ANSWER_OK,        /* ours now: delivered, queued, or held by a processor */
    ANSWER_RETRY,     /* not taken, try again: UNAVAILABLE / 503 */
    ANSWER_EXHAUSTED, /* not taken, over a limit, try again: RESOURCE_EXHAUSTED / 429 */
    ANSWER_REJECTED,  /* not taken, do not repeat: INTERNAL / 500, or code below */
};

struct answer_detail {
    enum answer answer;
    int grpc_code;           /* 0: the default of `answer` */
    uint64_t retry_after_ms; /* 0: no hint */
    const char *text;        /* for the client and the log; valid during the call only */
};

/* Who waits. fn is called once, on the batch's worker, perhaps from within push(). */
struct waiter {
    void (*fn)(void *ctx, const struct answer_detail *d);
    void *ctx;
};

struct part {
    struct payload *payload; /* a reference */
    uint32_t first, n;       /* spans */
    struct ledger *books;    /* see batch_set_books(); NULL: none */
};

struct batch {
    struct part *parts;
    uint32_t n_parts, cap_parts;
    uint64_t n_spans;
    uint64_t n_bytes;          /* encoded size, to within the envelopes */
    struct ledger *ledger;     /* holds n_spans for us; NULL: none (tests) */
    struct waiter waiter;      /* fn NULL: answered, or nobody waits */
    struct request_info *info; /* a reference; NULL: none */
    uint64_t received_ns;      /* monotonic: when the oldest part came in */
    bool must_wait;            /* a full queue keeps it waiting: who sends it asks for room first (host_room) */
    struct part inline_part;   /* parts points here while there is one */
};

/* A batch of all of p's spans (takes the reference, *p = NULL). The spans are entered into the
 * ledger as accepted and held. Never NULL. */
struct batch *batch_new(struct payload **p, struct ledger *l) MUST_USE;
/* An empty batch that nobody waits for; its spans come by batch_append. */
struct batch *batch_empty(struct ledger *l) MUST_USE;

/* Ends the batch: answers the waiter (if any), books its spans in the ledger as `fate`, releases
 * everything. *b = NULL. */
void batch_end(struct batch **b, enum ledger_fate fate, const struct answer_detail *d);
/* Shorthands. reason: see ledger.h. */
void batch_exported(struct batch **b);
void batch_drop(struct batch **b, enum drop_reason reason, const char *text); /* permanent */
/* Back to the sender: DROP_RETURNED. When nobody waits any more they are lost: DROP_ERROR. batch_end
 * with FATE_DROPPED books alike. */
void batch_refuse(struct batch **b, const struct answer_detail *d);

/* Tells the waiter now (a queue or a holding processor takes over). The batch lives on. */
void batch_answer(struct batch *b, const struct answer_detail *d);
void batch_answer_ok(struct batch *b);

/* Moves all parts of *take to the end of `to` (same ledger). *take = NULL; its waiter is answered
 * OK. received_ns becomes the older one. */
void batch_append(struct batch *to, struct batch **take);
/* Takes the first n spans off b into a new batch (same ledger, same info; the waiter stays with b). 0 < n < n_spans. */
struct batch *batch_split(struct batch *b, uint64_t n) MUST_USE;
/* Another view of the same spans for a branch: parts shared; entered into ledger l as accepted and
 * held unless l is NULL (the caller keeps the books). No waiter. */
struct batch *batch_share(const struct batch *b, struct ledger *l) MUST_USE;

/* A second set of books, for whoever must know what became of exactly these spans (a fan-out): they
 * are entered there as held, stay with their parts through splits, merges and edits, and end there
 * with the same fate as in the batch's ledger. batch_share() does not pass them on. */
void batch_set_books(struct batch *b, struct ledger *books);
/* The batch is in files, which outlive the process: second books that wait for no more (until_safe) end as stored. */
void batch_safe(struct batch *b);

/* Makes part i editable: a payload of its own (derived unless already unshared and whole), range =
 * all of it. NULL when the budget refuses (the batch is unchanged). */
struct payload *batch_edit(struct batch *b, uint32_t part) MUST_USE;
/* After edits: recount, forget empty parts; spans dropped by payload_drop_span are booked as fate. */
void batch_settle(struct batch *b, enum ledger_fate fate, enum drop_reason reason);

/* A batch whose bytes are somewhere else, on disk for one: its spans stay in all books, its payloads are let go.
 * False, and nothing changed, when its parts have different second books. Until batch_load() it may only be ended. */
bool batch_unload(struct batch *b) MUST_USE;
/* The bytes are back (taken, *p = NULL): a payload of as many spans. */
void batch_load(struct batch *b, struct payload **p);
/* A batch that is unloaded from the beginning: n_spans are entered into the ledger as accepted and held. */
struct batch *batch_new_unloaded(uint64_t n_spans, uint64_t n_bytes, struct ledger *l) MUST_USE;

/* Moving to another worker: spans leave this worker's ledger as "moved" ... */
void batch_detach(struct batch *b);
/* ... and enter that worker's ledger of the same pipeline. On the other worker. */
void batch_attach(struct batch *b, struct ledger *l);

#endif
