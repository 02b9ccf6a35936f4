/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake host for the unit tests of components: a real loop, budget, metric set and ledger, no
 * YAML, no socket, no threads. Misuse aborts with CHECK. Everything runs on the calling thread.
 *
 *   struct test_host *t = th_new();
 *   struct component *c = th_component(t, &batch_type, &settings);    create + start
 *   struct batch *b = th_batch(t, th_payload(t, TH_SPANS({.trace = 1, .id = 2, .name = "GET /"})));
 *   b->waiter = th_wait(t);
 *   c->type->push(c, &b);
 *   ck_assert(th_run_until_out(t, 1));                                n emitted batches
 *   ck_assert_uint_eq(t->out[0]->n_spans, 1);
 *   th_out_end(t);                                                    exported, all of them
 *   th_component_free(t, &c);                                         drain, destroy
 *   th_free(&t);                                  CHECKs: books balance, nothing held, no handle open
 */
#ifndef TAILRACE_TESTS_TEST_HOST_H
#define TAILRACE_TESTS_TEST_HOST_H

#include "component/component.h"
#include "model/attr.h"
#include "model/otlp_walk.h"

#define TH_MAX_WORKERS 8
#define TH_TIMEOUT_MS 10000 /* of every th_run_*: long, as it only bounds failures */

/* One waiter and what it was told. */
struct test_wait {
    unsigned times; /* 1 once answered; th_free CHECKs that it never exceeds 1 */
    enum answer answer;
    int grpc_code;
    uint64_t retry_after_ms;
    char text[256];
    struct test_host *owner;
};

struct test_message {
    unsigned from;
    void *msg;
};

/* What host_emit does with a batch. */
enum test_emit {
    TH_KEEP,   /* keeps it in out[] (default) */
    TH_EXPORT, /* counts it in n_emitted and ends it as exported */
    TH_REFUSE, /* ends it with batch_refuse(ANSWER_RETRY) */
};

struct test_extension {
    const char *id;
    struct component *c;
    struct test_storage *own; /* th_storage made it */
};

struct test_host {
    struct host host; /* what the component gets */
    struct ledger ledger;
    struct component *component; /* gets messages of other workers; th_component sets it */

    enum test_emit emit;
    struct batch **out; /* host_emit and host_accept, in order */
    size_t n_out, cap_out;
    uint64_t n_emitted, n_emitted_spans; /* all there ever were */
    unsigned late_emits;                 /* after host_drained */

    struct test_wait **waits; /* in the order of th_wait */
    size_t n_waits, cap_waits;
    unsigned n_answered;

    enum room room; /* what host_room says */
    unsigned n_room_asked, n_room_again;

    unsigned n_drained;
    bool deadline_passed; /* what host_deadline_passed says */
    char failed[256];     /* host_failed's text */

    struct test_extension extensions[8]; /* those of the first worker count for all */
    size_t n_extensions;
    bool ring_full; /* host_send says false */
    struct test_message inbox[4096];
    size_t n_inbox;
    struct test_host *peers[TH_MAX_WORKERS]; /* by worker; all on one loop */
    bool owns_world;                         /* loop, budget, shared state */
};

struct test_host *th_new(void) MUST_USE;
/* The same component's host on another worker (1, 2, ...): own ledger and metrics, same loop and
 * budget. Create all before th_component. Free before the first. */
struct test_host *th_new_worker(struct test_host *first) MUST_USE;
/* A new budget instead of the unlimited one; before anything is charged. */
void th_budget(struct test_host *t, uint64_t soft_bytes, uint64_t limit_bytes);
/* What host_extension() finds under this id, before th_component: any component, or a storage that gives
 * this directory to everyone, with fsync off and these many bytes (0: no limit). The caller keeps id
 * and c for as long as t lives. */
void th_extension(struct test_host *t, const char *id, struct component *c);
void th_storage(struct test_host *t, const char *id, const char *dir, uint64_t max_bytes);
/* For test_host.c only. */
struct component *th_find_extension(const struct host *h, const char *id);
void th_free_extensions(struct test_host *t);
void th_free(struct test_host **t);

/* shared_create (once, on worker 0), create, start; CHECKs that they succeed. */
struct component *th_component(struct test_host *t, const struct component_type *type, const void *settings) MUST_USE;
/* create and start only as far as they go: NULL with err set. */
struct component *th_component_try(struct test_host *t, const struct component_type *type, const void *settings,
                                   struct err *err) MUST_USE;
/* Drains, runs the loop until host_drained, destroys; the last one destroys the shared state. */
void th_component_free(struct test_host *t, struct component **c);

/* Runs the loop until cond is true; false when TH_TIMEOUT_MS passed first. */
bool th_run_until(struct test_host *t, bool (*cond)(void *ctx), void *ctx) MUST_USE;
bool th_run_until_out(struct test_host *t, size_t n_out) MUST_USE;        /* t->n_out >= n */
bool th_run_until_emitted(struct test_host *t, uint64_t n_spans) MUST_USE; /* t->n_emitted_spans >= n */
bool th_run_until_answered(struct test_host *t, unsigned n) MUST_USE;
bool th_run_until_drained(struct test_host *t) MUST_USE;
void th_turn(struct test_host *t); /* what is posted and ready now, then returns */

/* Ends what out[] holds. */
void th_out_end(struct test_host *t);                                             /* as exported */
void th_out_drop(struct test_host *t, enum drop_reason reason);                   /* batch_drop */
uint64_t th_out_spans(const struct test_host *t);                                 /* sum over out[] */
/* accepted == sum of fates + held */
bool th_balanced(const struct test_host *t);

/* A waiter whose answer is kept in t->waits[t->n_waits - 1]. */
struct waiter th_wait(struct test_host *t);

/* Value of a series of this host's metrics, as rendered at level detailed: "name" or
 * "name{a=\"x\",b=\"y\"}". -1: not there. */
double th_metric(struct test_host *t, const char *series);

/* ---- payloads from plain descriptions ---- */

struct test_attr {
    const char *key; /* NULL ends the list */
    enum any_type type;
    const char *s; /* STR, BYTES (text) */
    int64_t i;     /* INT, BOOL */
    double d;
    struct slice raw; /* ARRAY, MAP: encoded body */
};
#define TH_STR(k, v) {.key = (k), .type = ANY_STR, .s = (v)}
#define TH_INT(k, v) {.key = (k), .type = ANY_INT, .i = (v)}
#define TH_BOOL(k, v) {.key = (k), .type = ANY_BOOL, .i = (v)}
#define TH_DBL(k, v) {.key = (k), .type = ANY_DOUBLE, .d = (v)}
#define TH_BYTES(k, v) {.key = (k), .type = ANY_BYTES, .s = (v)}
#define TH_RAW(k, t, body) {.key = (k), .type = (t), .raw = (body)}

#define TH_ATTRS 12
struct test_span {
    uint64_t trace;    /* trace id: 8 bytes 0x11, then this, big endian; 0: all 16 bytes zero */
    uint64_t id;       /* span id, big endian; 0: zero */
    uint64_t parent;   /* 0: no parent */
    const char *name;  /* NULL: left out */
    const char *trace_state;
    uint8_t kind, status;
    const char *status_message;
    uint64_t start_ns, end_ns;
    struct test_attr attrs[TH_ATTRS];
    const char *event; /* one event of this name, with these attributes */
    struct test_attr event_attrs[4];
    struct test_attr link_attrs[4]; /* not empty: one link */
    struct slice extra;             /* raw records, appended to the span */
};

/* One ResourceSpans with one ScopeSpans. */
struct test_group {
    struct test_attr resource[TH_ATTRS];
    const char *resource_schema;
    const char *scope, *scope_version, *scope_schema; /* all NULL and no attrs: no scope message */
    struct test_attr scope_attrs[4];
    const struct test_span *spans;
    size_t n_spans;
};
#define TH_SPANS(...) (const struct test_span[]){__VA_ARGS__}, \
                      sizeof((const struct test_span[]){__VA_ARGS__}) / sizeof(struct test_span)

/* Appends the encoding; the request may have any number of groups. */
void th_put_span(struct buf *out, const struct test_span *s); /* body of a Span */
void th_put_group(struct buf *out, const struct test_group *g);

/* A walked payload, charged to the host's budget. */
struct payload *th_payload(struct test_host *t, const struct test_span *spans, size_t n) MUST_USE;
struct payload *th_payload_groups(struct test_host *t, const struct test_group *g, size_t n) MUST_USE;
/* From encoded bytes (copied). CHECKs WALK_OK. */
struct payload *th_payload_bytes(struct test_host *t, struct slice request) MUST_USE;
/* n plain spans, trace ids first_trace .. first_trace + n - 1. */
struct payload *th_payload_n(struct test_host *t, uint64_t first_trace, size_t n) MUST_USE;
/* The batch of a payload (taken), in t's ledger; nobody waits. */
struct batch *th_batch(struct test_host *t, struct payload *p) MUST_USE;
/* pushes it: c->type->push */
void th_push(struct component *c, struct batch *b);
/* The 16 bytes of test_span.trace. */
void th_trace_id(uint64_t trace, uint8_t id[static 16]);

/* Span k of a batch over all its parts. */
const struct span *th_span(const struct batch *b, uint64_t k);
/* Its attribute as text (any_as_string) in one of 8 static buffers; NULL: absent. */
const char *th_span_attr(const struct span *s, const char *key);
const char *th_span_name(const struct span *s);

#endif
