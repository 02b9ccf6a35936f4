/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running graphs on real worker threads: shapes, books, drain order, messages between workers.
 *
 * The components are the test's own: a source that the test feeds from outside, a holding
 * processor that shards by trace id over the workers, an exporter that counts.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/connectors.h"
#include "pipeline/build.h"
#include "tests/lib/test_host.h"

/* What happened, in order, over all workers. */
enum { MAX_EVENTS = 256 };
static struct {
    char what[24];
} events[MAX_EVENTS];
static _Atomic unsigned n_events;

static void event(const struct host *h, const char *what)
{
    unsigned i = atomic_fetch_add(&n_events, 1);

    ck_assert_uint_lt(i, MAX_EVENTS);
    snprintf(events[i].what, sizeof(events[i].what), "%s %s", what, h->id);
}

static int first_event(const char *what)
{
    for (unsigned i = 0; i < n_events; i++)
        if (strcmp(events[i].what, what) == 0)
            return (int)i;
    return -1;
}

static int last_event(const char *what)
{
    for (unsigned i = n_events; i-- > 0;)
        if (strcmp(events[i].what, what) == 0)
            return (int)i;
    return -1;
}

/* ---- components ---- */

struct plain {
    struct component base;
    struct batch *held;  /* holder, hoarder */
    struct timer *later; /* hoarder */
    bool never_drains, drained;
};

struct test_settings {
    bool fail_create, stuck;
};

static struct host *sources[8]; /* by worker; of the latest graph */

static struct component *make(struct host *h, const struct component_type *type, const struct test_settings *s,
                              struct err *err)
{
    struct plain *p;

    if (s && s->fail_create) {
        err_set(err, "no such thing");
        return NULL;
    }
    p = mem_alloc(sizeof(*p));
    p->base = (struct component){type, h};
    p->never_drains = s && s->stuck;
    return &p->base;
}

static struct plain *plain_of(const struct component *c)
{
    return CONTAINER_OF(c, struct plain, base);
}

static int plain_start(struct component *c, struct err *err)
{
    event(c->host, "start");
    if (strncmp(c->host->id, "bad", 3) == 0)
        return err_set(err, "port taken");
    return 0;
}

static void plain_drain(struct component *c)
{
    event(c->host, "drain");
    host_drained(c->host);
}

static void plain_destroy(struct component **c)
{
    ck_assert_ptr_null(plain_of(*c)->held);
    free(plain_of(*c));
    *c = NULL;
}

extern const struct component_type source_type, pass_type, holder_type, hoarder_type, keeper_type, sink_type;

static struct component *source_create(struct host *h, const void *s, struct err *err)
{
    sources[h->worker] = h;
    return make(h, &source_type, s, err);
}

static struct component *pass_create(struct host *h, const void *s, struct err *err)
{
    return make(h, &pass_type, s, err);
}

static void pass_push(struct component *c, struct batch **take)
{
    host_emit(c->host, take);
}

/* The holder keeps everything until the drain. Spans whose trace id is of another worker go there. */
static struct component *holder_create(struct host *h, const void *s, struct err *err)
{
    return make(h, &holder_type, s, err);
}

static void hold(struct plain *p, struct batch **take)
{
    if (!p->held)
        p->held = *take;
    else
        batch_append(p->held, take);
    *take = NULL;
}

static void holder_push(struct component *c, struct batch **take)
{
    struct host *h = c->host;
    unsigned owner = th_span(*take, 0)->trace_id[15] % h->n_workers;

    if (owner == h->worker) {
        batch_answer_ok(*take);
        hold(plain_of(c), take);
        return;
    }
    batch_answer_ok(*take);
    batch_detach(*take);
    if (!host_send(h, owner, *take)) {
        batch_attach(*take, h->ledger);
        batch_drop(take, DROP_ERROR, "ring full");
        return;
    }
    *take = NULL;
    host_send_flush(h);
}

static void holder_message(struct component *c, unsigned from, void *msg)
{
    struct batch *b = msg;

    ck_assert_uint_ne(from, c->host->worker);
    batch_attach(b, c->host->ledger);
    hold(plain_of(c), &b);
}

static void holder_drain(struct component *c)
{
    struct plain *p = plain_of(c);

    event(c->host, "drain");
    if (p->never_drains && !host_deadline_passed(c->host))
        return;
    if (p->held && host_deadline_passed(c->host))
        batch_drop(&p->held, DROP_SHUTDOWN, "");
    if (p->held)
        host_emit(c->host, &p->held);
    host_drained(c->host);
}

static uint64_t holder_held(const struct component *c)
{
    return plain_of(c)->held ? plain_of(c)->held->n_spans : 0;
}

/* The hoarder sends what it gets to the next worker, but only a while later, as with a full ring. */
static void hoarder_send(void *ctx)
{
    struct plain *p = ctx;
    struct host *h = p->base.host;

    if (!p->held)
        return;
    batch_detach(p->held);
    ck_assert(host_send(h, (h->worker + 1) % h->n_workers, p->held));
    host_send_flush(h);
    p->held = NULL;
}

static void hoarder_push(struct component *c, struct batch **take)
{
    struct plain *p = plain_of(c);

    batch_answer_ok(*take);
    hold(p, take);
    timer_start(p->later, 30, 0);
}

static void hoarder_message(struct component *c, unsigned from, void *msg)
{
    struct batch *b = msg;

    (void)from;
    ck_assert(!plain_of(c)->drained);
    batch_attach(b, c->host->ledger);
    host_emit(c->host, &b);
}

static bool hoarder_unsent(const struct component *c)
{
    return plain_of(c)->held != NULL;
}

static void hoarder_drain(struct component *c)
{
    plain_of(c)->drained = true;
    host_drained(c->host);
}

static void hoarder_destroy(struct component **c)
{
    timer_free(&plain_of(*c)->later);
    plain_destroy(c);
}

static struct component *hoarder_create(struct host *h, const void *s, struct err *err)
{
    struct component *c = make(h, &hoarder_type, s, err);

    plain_of(c)->later = timer_new(h->loop, __func__, hoarder_send, plain_of(c));
    return c;
}

static _Atomic uint64_t sunk;

static struct component *sink_create(struct host *h, const void *s, struct err *err)
{
    return make(h, &sink_type, s, err);
}

static void sink_push(struct component *c, struct batch **take)
{
    (void)c;
    atomic_fetch_add(&sunk, (*take)->n_spans);
    batch_exported(take);
}

#define PLAIN(kind_, name_, create_, push_) \
    .kind = kind_, .name = name_, .create = create_, .push = push_, .start = plain_start, .drain = plain_drain, \
    .destroy = plain_destroy

const struct component_type source_type = {PLAIN(RECEIVER, "source", source_create, NULL)};
const struct component_type pass_type = {PLAIN(PROCESSOR, "pass", pass_create, pass_push)};
const struct component_type sink_type = {PLAIN(EXPORTER, "sink", sink_create, sink_push)};
const struct component_type holder_type = {
    .kind = PROCESSOR, .name = "holder", .create = holder_create, .push = holder_push, .start = plain_start,
    .message = holder_message, .drain = holder_drain, .destroy = plain_destroy, .held = holder_held};

/* What it holds must not be ended by a reload. */
static struct component *keeper_create(struct host *h, const void *s, struct err *err)
{
    return make(h, &keeper_type, s, err);
}

const struct component_type keeper_type = {PLAIN(PROCESSOR, "keeper", keeper_create, pass_push), .drains_early = true};

const struct component_type hoarder_type = {
    .kind = PROCESSOR, .name = "hoarder", .create = hoarder_create, .push = hoarder_push, .start = plain_start,
    .message = hoarder_message, .unsent = hoarder_unsent, .drain = hoarder_drain, .destroy = hoarder_destroy,
    .held = holder_held};

/* ---- plans by hand ---- */

static struct plan_component parts[16];
static struct plan_pipeline lines[8];
static const struct plan_component *refs[64];
static size_t n_refs;
static struct plan plan;
static const struct test_settings stuck = {.stuck = true}, unmakeable = {.fail_create = true};

static void part(const struct component_type *type, const char *id, const void *settings)
{
    parts[plan.n_components++] = (struct plan_component){.type = type, .id = id, .settings = settings, .used = true};
}

static const struct plan_component **named(const char *ids, size_t *n)
{
    const struct plan_component **first = &refs[n_refs];
    char copy[100], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", ids);
    *n = 0;
    for (char *id = strtok_r(copy, " ", &save); id; id = strtok_r(NULL, " ", &save))
        for (size_t i = 0; i < plan.n_components; i++)
            if (strcmp(parts[i].id, id) == 0) {
                refs[n_refs++] = &parts[i];
                ++*n;
            }
    return first;
}

static void line(const char *id, const char *receivers, const char *processors, const char *exporters)
{
    struct plan_pipeline *p = &lines[plan.n_pipelines++];

    p->id = id;
    p->receivers = named(receivers, &p->n_receivers);
    p->processors = named(processors, &p->n_processors);
    p->exporters = named(exporters, &p->n_exporters);
}

/* ---- running ---- */

static struct test_host *t; /* main loop, budget, waiters */
static struct graph *g;
static struct ledger books[8];
static bool drained, clean, scraped;

static void setup(void)
{
    setenv("TAILRACE_AUDIT", "1", 1);
    t = th_new();
    plan = (struct plan){.components = parts, .pipelines = lines};
    n_refs = 0;
    part(&source_type, "in", NULL);
    part(&source_type, "in/2", NULL);
    part(&pass_type, "p", NULL);
    part(&holder_type, "h", NULL);
    part(&sink_type, "out", NULL);
    part(&sink_type, "out/2", NULL);
    part(&forward_connector_type, "fwd", NULL);
    part(&source_type, "bad", NULL);
    part(&pass_type, "unmakeable", &unmakeable);
    part(&holder_type, "stuck", &stuck);
    part(&hoarder_type, "hoard", NULL);
    part(&holder_type, "h/2", NULL);
    part(&keeper_type, "keeps", NULL);
}

static void build(unsigned n_workers)
{
    struct graph_options o = {.n_workers = n_workers,
                              .main_loop = t->host.loop,
                              .main_metrics = t->host.metrics,
                              .budget = t->host.budget};
    struct err err = {""};

    g = graph_new(&plan, &o, &err);
    ck_assert_msg(g != NULL, "%s", err.text);
    ck_assert_int_eq(graph_start(g, &err), 0);
    ck_assert_int_eq(graph_run(g, &err), 0);
}

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

static void on_scrape(void *ctx, const struct graph_scrape *s)
{
    (void)ctx;
    for (size_t i = 0; i < s->n_ledgers; i++)
        books[i] = s->ledgers[i];
    ck_assert_uint_eq(s->n_snaps, graph_workers(g));
    scraped = true;
}

static void scrape(void)
{
    scraped = false;
    graph_scrape(g, on_scrape, NULL);
    ck_assert(th_run_until(t, is_true, &scraped));
}

static void on_drained(void *ctx, bool was_clean)
{
    (void)ctx;
    drained = true;
    clean = was_clean;
}

static void drain(uint64_t timeout_ms)
{
    drained = false;
    graph_drain(g, timeout_ms, on_drained, NULL);
    ck_assert(th_run_until(t, is_true, &drained));
}

static void finish(void)
{
    drain(10000);
    ck_assert(clean);
    scrape();
    ck_assert_uint_eq(graph_free(&g), 0);
    for (size_t i = 0; i < plan.n_pipelines; i++)
        ck_assert_int_eq(ledger_held(&books[i]), 0);
}

/* A request that enters on a worker's loop. Its answer comes there, too: counted atomically. */
struct request {
    struct host *in;
    struct payload *p;
};
static _Atomic unsigned n_ok, n_bad;

static void on_answer(void *ctx, const struct answer_detail *d)
{
    (void)ctx;
    atomic_fetch_add(d->answer == ANSWER_OK ? &n_ok : &n_bad, 1);
}

static void enter(void *ctx)
{
    struct request *r = ctx;

    host_accept(r->in, &r->p, NULL, (struct waiter){on_answer, NULL});
    free(r);
}

static void send_to(unsigned worker, uint64_t trace, size_t n_spans)
{
    struct request *r = mem_alloc(sizeof(*r));

    *r = (struct request){sources[worker], th_payload_n(t, trace, n_spans)};
    loop_post(graph_worker_loop(g, worker), enter, r);
}

static unsigned goal;

static bool answered(void *ctx)
{
    (void)ctx;
    return n_ok + n_bad >= goal;
}

static void wait_answers(unsigned n)
{
    goal = n;
    ck_assert(th_run_until(t, answered, NULL));
}

static void teardown(void)
{
    th_free(&t);
}

/* ---- shapes ---- */

START_TEST(straight)
{
    line("traces", "in", "p", "out");
    build(2);
    send_to(0, 1, 5);
    send_to(1, 2, 7);
    wait_answers(2);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 12);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 12);
    ck_assert_uint_eq(sunk, 12);
    finish();
}
END_TEST

START_TEST(receiver_straight_to_exporters)
{
    line("traces", "in", "", "out out/2");
    build(1);
    send_to(0, 1, 5);
    wait_answers(1);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 5);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 5);
    ck_assert_uint_eq(sunk, 10);
    finish();
}
END_TEST

START_TEST(one_receiver_two_pipelines)
{
    line("traces/a", "in", "p", "out");
    line("traces/b", "in", "h p", "out out/2");
    build(2);
    send_to(1, 1, 5);
    wait_answers(1);
    ck_assert_uint_eq(n_ok, 1);
    scrape();
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 5);
    ck_assert_int_eq(ledger_held(&books[1]), 5);
    finish();
    ck_assert_uint_eq(books[1].fate[FATE_EXPORTED], 5);
    ck_assert_uint_eq(sunk, 15);
}
END_TEST

START_TEST(fan_in)
{
    struct host *two;

    line("traces", "in in/2", "p", "out");
    build(1);
    two = sources[0]; /* in/2 was made last */
    ck_assert_str_eq(two->id, "in/2");
    send_to(0, 1, 3);
    wait_answers(1);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 3);
    finish();
}
END_TEST

START_TEST(connector_between_pipelines)
{
    line("traces/a", "in", "p", "fwd out/2");
    line("traces/b", "fwd", "h", "out");
    build(2);
    send_to(0, 4, 3); /* stays on worker 0 */
    send_to(0, 5, 3); /* travels to worker 1 */
    wait_answers(2);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 6);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 6);
    ck_assert_uint_eq(books[1].accepted, 6);
    ck_assert_int_eq(ledger_held(&books[1]), 6);
    finish();
    ck_assert_uint_eq(books[1].fate[FATE_EXPORTED], 6);
}
END_TEST

/* ---- messages ---- */

START_TEST(messages_between_workers)
{
    line("traces", "in", "h", "out");
    build(2);
    for (uint64_t i = 0; i < 200; i++)
        send_to((unsigned)(i % 2), i * 3 + 1, 1);
    for (int i = 0; i < 5; i++) /* exact while everything is on the move */
        scrape();
    wait_answers(200);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 200);
    ck_assert_int_eq(ledger_held(&books[0]), 200);
    ck_assert_uint_gt(books[0].moved_out, 0);
    finish();
    ck_assert_uint_eq(books[0].moved_in, books[0].moved_out);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 200);
    ck_assert_uint_eq(sunk, 200);
}
END_TEST

/* Nobody waits for the messages before the drain: it has to find them itself. */
START_TEST(drain_finds_messages_on_their_way)
{
    line("traces", "in", "h", "out");
    build(4);
    for (uint64_t i = 0; i < 400; i++)
        send_to((unsigned)(i % 4), i + 1, 1);
    finish();
    ck_assert_uint_eq(n_ok, 400);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 400);
}
END_TEST

START_TEST(drain_waits_for_unsent_messages)
{
    line("traces", "in", "hoard", "out");
    build(3);
    for (unsigned w = 0; w < 3; w++)
        send_to(w, w + 1, 2);
    wait_answers(3);
    finish();
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 6);
    ck_assert_uint_eq(sunk, 6);
}
END_TEST

/* ---- life ---- */

static void break_down(void *ctx)
{
    host_failed(ctx, "the listener died");
}

static bool has_failed(void *ctx)
{
    return graph_failed(ctx);
}

START_TEST(a_failed_component_fails_the_graph)
{
    line("traces", "in", "p", "out");
    build(2);
    ck_assert(!graph_failed(g));
    loop_post(graph_worker_loop(g, 1), break_down, sources[1]);
    ck_assert(th_run_until(t, has_failed, g));
    send_to(0, 1, 5); /* the rest goes on */
    wait_answers(1);
    ck_assert_uint_eq(n_ok, 1);
    finish();
}
END_TEST

START_TEST(start_and_drain_order)
{
    line("traces/a", "in", "p", "fwd");
    line("traces/b", "fwd", "h", "out");
    build(2);
    ck_assert_int_lt(last_event("start out"), first_event("start h"));
    ck_assert_int_lt(last_event("start h"), first_event("start p"));
    ck_assert_int_lt(last_event("start p"), first_event("start in"));
    finish();
    ck_assert_int_ge(first_event("drain in"), 0);
    ck_assert_int_lt(last_event("drain in"), first_event("drain p"));
    ck_assert_int_lt(last_event("drain p"), first_event("drain h"));
    ck_assert_int_lt(last_event("drain h"), first_event("drain out"));
}
END_TEST

START_TEST(failed_start_names_the_component)
{
    struct graph_options o = {.n_workers = 2,
                              .main_loop = t->host.loop,
                              .main_metrics = t->host.metrics,
                              .budget = t->host.budget};
    struct err err = {""};

    line("traces", "in bad", "p", "out");
    g = graph_new(&plan, &o, &err);
    ck_assert_ptr_nonnull(g);
    ck_assert_int_eq(graph_start(g, &err), -1);
    ck_assert_str_eq(err.text, "failed to start \"bad\" receiver: port taken");
    ck_assert_uint_eq(graph_free(&g), 0);
}
END_TEST

START_TEST(failed_create_names_the_component)
{
    struct graph_options o = {.n_workers = 2,
                              .main_loop = t->host.loop,
                              .main_metrics = t->host.metrics,
                              .budget = t->host.budget};
    struct err err = {""};

    line("traces", "in", "unmakeable", "out");
    ck_assert_ptr_null(graph_new(&plan, &o, &err));
    ck_assert_str_eq(err.text, "failed to create \"unmakeable\" processor: no such thing");
}
END_TEST

START_TEST(deadline_drops_and_counts)
{
    line("traces", "in", "stuck", "out");
    build(2);
    send_to(0, 2, 5);
    wait_answers(1);
    drain(20);
    ck_assert(clean);
    scrape();
    ck_assert_uint_eq(books[0].dropped[DROP_SHUTDOWN], 5);
    ck_assert_int_eq(ledger_held(&books[0]), 0);
    ck_assert_uint_eq(graph_free(&g), 0);
}
END_TEST

START_TEST(after_the_drain_requests_are_refused)
{
    line("traces", "in", "p", "out");
    build(1);
    drain(10000);
    send_to(0, 1, 5);
    wait_answers(1);
    ck_assert_uint_eq(n_bad, 1);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 0);
    ck_assert_uint_eq(graph_free(&g), 0);
}
END_TEST

START_TEST(a_cycle_is_a_bug)
{
    struct graph_options o = {.n_workers = 1,
                              .main_loop = t->host.loop,
                              .main_metrics = t->host.metrics,
                              .budget = t->host.budget};
    struct err err = {""};

    line("traces", "in fwd", "p", "fwd");
    g = graph_new(&plan, &o, &err);
}
END_TEST

/* ---- reload ---- */

/* The lines made since the last one, as a plan that the graph may own. */
static size_t n_lines_before;

static struct plan *new_plan(void)
{
    struct plan *p = mem_alloc(sizeof(*p));

    *p = plan;
    p->arena = arena_new();
    p->n_pipelines = plan.n_pipelines - n_lines_before;
    p->pipelines = arena_alloc(p->arena, p->n_pipelines * sizeof(*p->pipelines));
    memcpy(p->pipelines, &lines[n_lines_before], p->n_pipelines * sizeof(*p->pipelines));
    n_lines_before = plan.n_pipelines;
    return p;
}

static bool same(const struct plan_component *a, const struct plan_component *b)
{
    return a->settings == b->settings;
}

static bool reloaded, reload_clean;

static void on_reloaded(void *ctx, bool was_clean)
{
    (void)ctx;
    reloaded = true;
    reload_clean = was_clean;
}

static enum reload_result reload(uint64_t timeout_ms, struct err *err)
{
    struct plan *p = new_plan();
    enum reload_result rc = graph_reload(g, &p, same, timeout_ms, on_reloaded, NULL, err);

    ck_assert((rc == RELOAD_DONE) == (p == NULL));
    plan_free(&p);
    return rc;
}

static void reload_and_wait(void)
{
    struct err err = {""};

    reloaded = false;
    ck_assert_msg(reload(10000, &err) == RELOAD_DONE, "%s", err.text);
    ck_assert(th_run_until(t, is_true, &reloaded));
    ck_assert(reload_clean);
}

static void begin_with(const char *processors, unsigned n_workers)
{
    line("traces", "in", processors, "out");
    n_lines_before = plan.n_pipelines;
    build(n_workers);
}

/* What the old processor holds, on all workers and in the rings, goes on through the new chain. */
START_TEST(reload_moves_on_what_is_held)
{
    begin_with("h", 3);
    for (uint64_t i = 0; i < 300; i++)
        send_to((unsigned)(i % 3), i + 1, 1);
    line("traces", "in", "p h/2", "out");
    reload_and_wait();
    goal = 300;
    wait_answers(300);
    ck_assert_int_ge(first_event("drain h"), 0);
    ck_assert_int_eq(first_event("drain in"), -1);
    ck_assert_int_eq(first_event("drain out"), -1);
    scrape();
    ck_assert_uint_eq(books[0].accepted, 300);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED] + (uint64_t)ledger_held(&books[0]), 300);
    send_to(0, 1, 5);
    wait_answers(301);
    finish();
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 305);
    ck_assert_uint_eq(sunk, 305);
}
END_TEST

START_TEST(reload_keeps_what_is_the_same)
{
    begin_with("p h", 2);
    send_to(0, 2, 5);
    send_to(1, 3, 5);
    wait_answers(2);
    line("traces", "in", "h", "out");
    reload_and_wait();
    ck_assert_int_eq(first_event("drain h"), -1);
    ck_assert_int_ge(first_event("drain p"), 0);
    scrape();
    ck_assert_int_eq(ledger_held(&books[0]), 10);
    line("traces", "in", "h", "out"); /* nothing new at all */
    reload_and_wait();
    finish();
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 10);
}
END_TEST

START_TEST(reload_that_fails_changes_nothing)
{
    static const char *const chain[] = {"unmakeable h", "p bad/p"};
    static const char *const text[] = {"failed to create \"unmakeable\" processor: no such thing",
                                       "failed to start \"bad/p\" processor: port taken"};
    struct err err = {""};

    begin_with("h", 2);
    send_to(0, 2, 5);
    wait_answers(1);
    part(&pass_type, "bad/p", NULL);
    line("traces", "in", chain[_i], "out");
    line("traces/new", "in", "p", "out");
    ck_assert(reload(10000, &err) == RELOAD_REFUSED);
    ck_assert_str_eq(err.text, text[_i]);
    ck_assert_int_eq(first_event("drain h"), -1);
    send_to(1, 2, 3);
    wait_answers(2);
    scrape();
    ck_assert_int_eq(ledger_held(&books[0]), 8);
    plan.n_pipelines = 1;
    finish();
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 8);
}
END_TEST

START_TEST(reload_refuses_to_end_what_has_to_go_on)
{
    struct err err = {""};

    begin_with("keeps", 2);
    line("traces", "in", "h", "out");
    ck_assert(reload(10000, &err) == RELOAD_REFUSED);
    ck_assert_ptr_nonnull(strstr(err.text, "\"keeps\" processor cannot be changed or removed"));
    line("traces", "in", "p keeps", "out");
    reload_and_wait();
    ck_assert_int_eq(first_event("drain keeps"), -1);
    finish();
}
END_TEST

/* What does not stop in time is told of the deadline; until then no other reload begins. */
START_TEST(reload_has_a_deadline)
{
    struct err err = {""};

    begin_with("stuck", 2);
    send_to(0, 2, 5);
    wait_answers(1);
    line("traces", "in", "p", "out");
    reloaded = false;
    ck_assert(reload(20, &err) == RELOAD_DONE);
    line("traces", "in", "", "out");
    ck_assert(reload(20, &err) == RELOAD_BUSY);
    ck_assert(th_run_until(t, is_true, &reloaded));
    ck_assert(reload_clean);
    scrape();
    ck_assert_uint_eq(books[0].dropped[DROP_SHUTDOWN], 5);
    line("traces", "in", "", "out");
    reload_and_wait();
    finish();
}
END_TEST

START_TEST(drain_takes_over_from_a_reload)
{
    struct err err = {""};

    begin_with("stuck", 2);
    send_to(0, 2, 5);
    wait_answers(1);
    line("traces", "in", "p", "out");
    ck_assert(reload(10000, &err) == RELOAD_DONE);
    drain(20);
    ck_assert(clean);
    ck_assert(!reloaded);
    scrape();
    ck_assert_uint_eq(books[0].dropped[DROP_SHUTDOWN], 5);
    ck_assert_uint_eq(graph_free(&g), 0);
}
END_TEST

static void keep_sending(void *ctx)
{
    unsigned *left = ctx;

    for (unsigned i = 0; i < 20 && *left; i++, --*left)
        send_to(*left % 3, *left, 1 + *left % 3);
}

START_TEST(reloads_under_load)
{
    static const char *const chains[] = {"p", "h", "h/2 p", "", "p h/2 h", "p/2 p"};
    unsigned left = 3000, sent = 0;
    struct timer *feed;
    size_t refs_before, lines_before;

    part(&pass_type, "p/2", NULL);
    begin_with("p h", 3);
    refs_before = n_refs;
    lines_before = plan.n_pipelines;
    feed = timer_new(t->host.loop, __func__, keep_sending, &left);
    timer_start(feed, 0, 1);
    for (unsigned i = 0; left || i < 12; i++) {
        plan.n_pipelines = n_lines_before = lines_before; /* a plan of before does not look at these any more */
        n_refs = refs_before + (i % 2) * 8;
        line("traces", "in", chains[i % ARRAY_LEN(chains)], i % 3 ? "out" : "out out/2");
        n_events = 0;
        reload_and_wait();
        scrape();
    }
    timer_free(&feed);
    for (unsigned i = 1; i <= 3000; i++)
        sent += 1 + i % 3;
    wait_answers(3000);
    ck_assert_uint_eq(n_ok, 3000);
    plan.n_pipelines = 1;
    finish();
    ck_assert_uint_eq(books[0].accepted, sent);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], sent);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("graph");
    TCase *c = tcase_create("graph"), *bug = tcase_create("bugs");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, straight);
    tcase_add_test(c, receiver_straight_to_exporters);
    tcase_add_test(c, one_receiver_two_pipelines);
    tcase_add_test(c, fan_in);
    tcase_add_test(c, connector_between_pipelines);
    tcase_add_test(c, messages_between_workers);
    tcase_add_test(c, drain_finds_messages_on_their_way);
    tcase_add_test(c, drain_waits_for_unsent_messages);
    tcase_add_test(c, a_failed_component_fails_the_graph);
    tcase_add_test(c, start_and_drain_order);
    tcase_add_test(c, failed_start_names_the_component);
    tcase_add_test(c, failed_create_names_the_component);
    tcase_add_test(c, deadline_drops_and_counts);
    tcase_add_test(c, after_the_drain_requests_are_refused);
    tcase_add_test(c, reload_moves_on_what_is_held);
    tcase_add_test(c, reload_keeps_what_is_the_same);
    tcase_add_loop_test(c, reload_that_fails_changes_nothing, 0, 2);
    tcase_add_test(c, reload_refuses_to_end_what_has_to_go_on);
    tcase_add_test(c, reload_has_a_deadline);
    tcase_add_test(c, drain_takes_over_from_a_reload);
    tcase_add_test(c, reloads_under_load);
    tcase_add_checked_fixture(bug, setup, NULL);
    tcase_add_test_raise_signal(bug, a_cycle_is_a_bug, 6);
    suite_add_tcase(s, c);
    suite_add_tcase(s, bug);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
