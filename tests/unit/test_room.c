/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back-pressure through graphs of different shapes: which full queue is heard at the door, which one only
 * drops, and who is told that there is room again. Workers do not run here: questions are plain calls.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "connectors/connectors.h"
#include "pipeline/build.h"
#include "tests/lib/test_host.h"

/* ---- components: a source, a processor that passes on, one that holds, exporters with a queue ---- */

struct plain {
    struct component base;
    struct batch *held;
    unsigned resumed;
    bool saw_must_wait;
};

static struct component *sources[4], *holders[4], *sinks[4]; /* of the graph under test, in order of creation */
static size_t n_sources, n_holders, n_sinks;
static const char *full, *full_waits; /* ids of exporters, separated by spaces */

static struct plain *plain_of(const struct component *c)
{
    return CONTAINER_OF(c, struct plain, base);
}

static struct component *make(struct host *h, const struct component_type *type, struct component **kept, size_t *n)
{
    struct plain *p = mem_alloc(sizeof(*p));

    p->base = (struct component){type, h};
    if (kept)
        kept[(*n)++] = &p->base;
    return &p->base;
}

static bool among(const char *ids, const char *id)
{
    char list[64], one[32];

    snprintf(list, sizeof(list), " %s ", ids ? ids : "");
    snprintf(one, sizeof(one), " %s ", id);
    return strstr(list, one) != NULL;
}

static void plain_drain(struct component *c)
{
    host_drained(c->host);
}

static void plain_destroy(struct component **c)
{
    if (plain_of(*c)->held)
        batch_drop(&plain_of(*c)->held, DROP_SHUTDOWN, NULL);
    free(plain_of(*c));
    *c = NULL;
}

static void pass_push(struct component *c, struct batch **take)
{
    host_emit(c->host, take);
}

static void holder_push(struct component *c, struct batch **take)
{
    batch_answer_ok(*take);
    if (host_room(c->host, (*take)->n_spans, (*take)->n_bytes) == ROOM_YES) {
        host_emit(c->host, take);
    } else {
        plain_of(c)->held = *take;
        *take = NULL;
    }
}

static enum room holder_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    return host_room(c->host, n_spans, n_bytes);
}

static void holder_resume(struct component *c)
{
    struct plain *p = plain_of(c);

    p->resumed++;
    if (p->held && host_room(c->host, 1, 1) == ROOM_YES)
        host_emit(c->host, &p->held);
}

static void sink_push(struct component *c, struct batch **take)
{
    plain_of(c)->saw_must_wait = (*take)->must_wait;
    batch_exported(take);
}

static enum room sink_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    (void)n_spans, (void)n_bytes;
    return among(full_waits, c->host->id) ? ROOM_NO_WAIT : among(full, c->host->id) ? ROOM_NO : ROOM_YES;
}

extern const struct component_type source_type, pass_type, holder_type, sink_type, open_type;

static struct component *source_create(struct host *h, const void *s, struct err *err)
{
    (void)s, (void)err;
    return make(h, &source_type, sources, &n_sources);
}

static struct component *pass_create(struct host *h, const void *s, struct err *err)
{
    (void)s, (void)err;
    return make(h, &pass_type, NULL, NULL);
}

static struct component *holder_create(struct host *h, const void *s, struct err *err)
{
    (void)s, (void)err;
    return make(h, &holder_type, holders, &n_holders);
}

static struct component *sink_create(struct host *h, const void *s, struct err *err)
{
    (void)s, (void)err;
    return make(h, &sink_type, sinks, &n_sinks);
}

static struct component *open_create(struct host *h, const void *s, struct err *err)
{
    (void)s, (void)err;
    return make(h, &open_type, NULL, NULL);
}

#define PLAIN(k, n) .kind = (k), .name = (n), .drain = plain_drain, .destroy = plain_destroy
const struct component_type source_type = {PLAIN(RECEIVER, "source"), .create = source_create};
const struct component_type pass_type = {PLAIN(PROCESSOR, "pass"), .create = pass_create, .push = pass_push};
const struct component_type holder_type = {PLAIN(PROCESSOR, "holder"), .create = holder_create, .push = holder_push,
                                           .room = holder_room, .resume = holder_resume};
const struct component_type sink_type = {PLAIN(EXPORTER, "sink"), .create = sink_create, .push = sink_push,
                                         .room = sink_room};
const struct component_type open_type = {PLAIN(EXPORTER, "open"), .create = open_create, .push = sink_push};

/* ---- graphs ---- */

static struct plan_component parts[16];
static struct plan_pipeline lines[4];
static const struct plan_component *refs[64];
static size_t n_refs;
static struct plan plan;
static struct test_host *t;
static struct graph *g;

static const struct plan_component **named(const char *ids, size_t *n)
{
    const struct plan_component **first = &refs[n_refs];

    *n = 0;
    for (size_t i = 0; i < plan.n_components; i++)
        if (among(ids, parts[i].id)) {
            refs[n_refs++] = &parts[i];
            ++*n;
        }
    return first;
}

struct shape {
    const char *receivers, *processors, *exporters; /* of one pipeline */
};

static void build(const struct shape *s)
{
    static const struct {
        const struct component_type *type;
        const char *id;
    } kinds[] = {{&source_type, "in"},  {&source_type, "in2"},  {&pass_type, "p"},   {&holder_type, "h"},
                 {&sink_type, "out"},   {&sink_type, "out2"},   {&open_type, "open"}, {&forward_connector_type, "fwd"}};
    static const char *const ids[] = {"traces", "traces/b", "traces/c", "traces/d"};
    struct graph_options o = {.n_workers = 1, .main_loop = t->host.loop, .main_metrics = t->host.metrics,
                              .budget = t->host.budget};
    struct err err = {""};

    n_refs = n_sources = n_holders = n_sinks = 0;
    plan = (struct plan){.components = parts, .pipelines = lines};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        parts[plan.n_components++] = (struct plan_component){.type = kinds[i].type, .id = kinds[i].id, .used = true};
    for (; s->receivers; s++) {
        struct plan_pipeline *p = &lines[plan.n_pipelines];

        p->id = ids[plan.n_pipelines++];
        p->receivers = named(s->receivers, &p->n_receivers);
        p->processors = named(s->processors, &p->n_processors);
        p->exporters = named(s->exporters, &p->n_exporters);
    }
    g = graph_new(&plan, &o, &err);
    ck_assert_msg(g != NULL, "%s", err.text);
}

static void setup(void)
{
    t = th_new();
    full = full_waits = NULL;
}

static void teardown(void)
{
    ck_assert_uint_eq(graph_free(&g), 0);
    th_free(&t);
}

static struct payload *one_span(void)
{
    return th_payload_n(t, 1, 1);
}

static void send_one(void)
{
    struct payload *p = one_span();

    host_accept(sources[0]->host, &p, NULL, (struct waiter){0});
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

/* The worker's loop, on this thread. */
static void turn(void)
{
    struct loop *l = graph_worker_loop(g, 0);

    loop_post(l, stop, l);
    loop_run(l);
}

/* ---- the door ---- */

static const struct door_case {
    struct shape shape[4];
    const char *full, *full_waits;
    enum room door;
} doors[] = {
    /* one way out */
    {{{"in", "h", "out"}}, NULL, NULL, ROOM_YES},
    {{{"in", "h", "out"}}, "out", NULL, ROOM_NO},
    {{{"in", "h", "out"}}, NULL, "out", ROOM_NO_WAIT},
    {{{"in", "p h", "out"}}, "out", NULL, ROOM_NO},
    {{{"in", "h", "open"}}, NULL, NULL, ROOM_YES},
    /* nothing holds: the queue answers the client itself */
    {{{"in", "p", "out"}}, "out", NULL, ROOM_TIGHT},
    {{{"in", "", "out"}}, NULL, "out", ROOM_TIGHT},
    /* several exporters: all must be full, or one that lets senders wait */
    {{{"in", "h", "out out2"}}, "out", NULL, ROOM_YES},
    {{{"in", "h", "out out2"}}, "out out2", NULL, ROOM_NO},
    {{{"in", "h", "out out2"}}, NULL, "out2", ROOM_NO_WAIT},
    {{{"in", "h", "out open"}}, "out", NULL, ROOM_NO},
    /* several pipelines of a receiver: each for itself */
    {{{"in", "h", "out"}, {"in", "h", "out2"}}, "out", NULL, ROOM_YES},
    {{{"in", "h", "out"}, {"in", "h", "out2"}}, "out out2", NULL, ROOM_YES},
    {{{"in", "h", "out"}, {"in", "h", "out2"}}, NULL, "out", ROOM_NO_WAIT},
    {{{"in", "h", "out"}, {"in", "h", "open"}}, "out", NULL, ROOM_NO},
    {{{"in", "h", "out"}, {"in2", "h", "out"}}, "out", NULL, ROOM_NO},
    /* through connectors */
    {{{"in", "h", "fwd"}, {"fwd", "p", "out"}}, "out", NULL, ROOM_NO},
    {{{"in", "p", "fwd"}, {"fwd", "h", "out"}}, "out", NULL, ROOM_NO},
    {{{"in", "h", "fwd"}, {"fwd", "", "out"}, {"fwd", "", "out2"}}, "out", NULL, ROOM_YES},
    {{{"in", "h", "fwd"}, {"fwd", "", "out"}, {"fwd", "", "out2"}}, "out out2", NULL, ROOM_NO},
    {{{"in", "h", "fwd out2"}, {"fwd", "h", "out"}}, "out", NULL, ROOM_YES},
    {{{"in", "h", "fwd open"}, {"fwd", "h", "out"}}, "out", NULL, ROOM_NO},
};

START_TEST(the_door)
{
    const struct door_case *c = &doors[_i];
    enum room r;

    build(c->shape);
    ck_assert_int_eq(host_room(sources[0]->host, 0, 0), ROOM_YES);
    full = c->full;
    full_waits = c->full_waits;
    r = host_room(sources[0]->host, 0, 0);
    ck_assert_msg(r == c->door, "case %d: %d", _i, r);
}
END_TEST

/* ---- batches that nobody waits for ---- */

static const struct must_case {
    struct shape shape[4];
    bool must_wait; /* at the first exporter */
} musts[] = {
    {{{"in", "h", "out"}}, true},
    {{{"in", "h p", "out"}}, true},
    {{{"in", "h", "fwd"}, {"fwd", "", "out"}}, true},
    {{{"in", "h", "out out2"}}, false},
    {{{"in", "h", "out"}, {"in", "h", "out2"}}, false},
    {{{"in", "h", "fwd"}, {"fwd", "", "out"}, {"fwd", "", "out2"}}, false},
};

START_TEST(only_the_sole_way_keeps_above_its_bound)
{
    build(musts[_i].shape);
    send_one();
    ck_assert_msg(plain_of(sinks[0])->saw_must_wait == musts[_i].must_wait, "case %d", _i);
}
END_TEST

START_TEST(who_was_refused_hears_of_room_once)
{
    static const struct shape shape[] = {{"in", "h", "out"}, {0}};

    build(shape);
    full = "out";
    send_one();
    ck_assert_ptr_nonnull(plain_of(holders[0])->held);
    host_room_again(sinks[0]->host); /* still full: asked again, refused again */
    host_room_again(sinks[0]->host);
    turn();
    ck_assert_uint_eq(plain_of(holders[0])->resumed, 1);
    ck_assert_ptr_nonnull(plain_of(holders[0])->held);
    full = NULL;
    host_room_again(sinks[0]->host);
    turn();
    ck_assert_uint_eq(plain_of(holders[0])->resumed, 2);
    ck_assert_ptr_null(plain_of(holders[0])->held);
    ck_assert(plain_of(sinks[0])->saw_must_wait);
    host_room_again(sinks[0]->host); /* nobody waits any more */
    turn();
    ck_assert_uint_eq(plain_of(holders[0])->resumed, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("room");
    TCase *tc = tcase_create("room");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, the_door, 0, (int)ARRAY_LEN(doors));
    tcase_add_loop_test(tc, only_the_sole_way_keeps_above_its_bound, 0, (int)ARRAY_LEN(musts));
    tcase_add_test(tc, who_was_refused_hears_of_room_once);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
