/* SPDX-License-Identifier: Apache-2.0 */
/* The fake host: see test_host.h. Payload builders stand in test_payload.c. */
#include "tests/lib/test_host.h"

#include <stdio.h>
#include <stdlib.h>

#include "platform/clock.h"

static struct test_host *of(const struct host *h)
{
    return CONTAINER_OF(h, struct test_host, host);
}

static void keep(struct test_host *t, struct batch **take)
{
    if (t->n_out == t->cap_out) {
        t->cap_out = t->cap_out ? t->cap_out * 2 : 16;
        t->out = mem_grow(t->out, t->cap_out * sizeof(*t->out));
    }
    t->out[t->n_out++] = *take;
    *take = NULL;
}

static void capture(struct host *h, struct batch **take)
{
    struct test_host *t = of(h);

    t->n_emitted++;
    t->n_emitted_spans += (*take)->n_spans;
    if (t->n_drained)
        t->late_emits++;
    switch (t->emit) {
    case TH_KEEP:
        keep(t, take);
        break;
    case TH_EXPORT:
        batch_exported(take);
        break;
    case TH_REFUSE:
        batch_refuse(take, &(struct answer_detail){.answer = ANSWER_RETRY, .text = "refused by the test"});
        break;
    }
}

static int accept_payload(struct host *h, struct payload **p, struct request_info *info, struct waiter w)
{
    struct test_host *t = of(h);
    struct batch *b = batch_new(p, &t->ledger);

    b->waiter = w;
    b->info = info;
    b->received_ns = loop_now_ns(h->loop);
    capture(h, &b);
    return 0;
}

static void drained(struct host *h)
{
    of(h)->n_drained++;
}

static bool deadline(const struct host *h)
{
    return of(h)->deadline_passed;
}

static enum room room(struct host *h, uint64_t n_spans, uint64_t n_bytes)
{
    (void)n_spans, (void)n_bytes;
    of(h)->n_room_asked++;
    return of(h)->room;
}

static void room_again(struct host *h)
{
    of(h)->n_room_again++;
}

static void failed(struct host *h, const char *text)
{
    snprintf(of(h)->failed, sizeof(of(h)->failed), "%s", text);
}

static bool send_message(struct host *h, unsigned to_worker, void *msg)
{
    struct test_host *t = of(h), *to = t->peers[to_worker];

    if (t->ring_full || to->n_inbox == ARRAY_LEN(to->inbox))
        return false;
    to->inbox[to->n_inbox++] = (struct test_message){t->host.worker, msg};
    return true;
}

static void deliver(void *ctx)
{
    struct test_host *t = ctx;

    for (size_t i = 0; i < t->n_inbox; i++) { /* may grow while we run */
        CHECK(t->component && t->component->type->message);
        t->component->type->message(t->component, t->inbox[i].from, t->inbox[i].msg);
    }
    t->n_inbox = 0;
}

static void send_flush(struct host *h)
{
    struct test_host *t = of(h);

    for (unsigned i = 0; i < h->n_workers; i++)
        if (t->peers[i] && t->peers[i]->n_inbox)
            loop_post(h->loop, deliver, t->peers[i]);
}

static struct test_host *bare(struct loop *loop, struct budget *b)
{
    struct test_host *t = mem_alloc(sizeof(*t));

    t->host = (struct host){
        .loop = loop,
        .budget = b,
        .metrics = metric_set_new(),
        .n_workers = 1,
        .id = "test",
        .pipeline = "traces",
        .ledger = &t->ledger,
        .metric_level = METRIC_DETAILED,
        .emit_fn = capture,
        .drained_fn = drained,
        .send_fn = send_message,
        .send_flush_fn = send_flush,
        .deadline_fn = deadline,
        .failed_fn = failed,
        .accept_fn = accept_payload,
        .extension_fn = th_find_extension,
        .room_fn = room,
        .room_again_fn = room_again,
    };
    return t;
}

struct test_host *th_new(void)
{
    struct test_host *t = bare(loop_new("test"), budget_new(0, 0));

    t->peers[0] = t;
    t->owns_world = true;
    return t;
}

struct test_host *th_new_worker(struct test_host *first)
{
    struct test_host *t = bare(first->host.loop, first->host.budget);
    unsigned n = first->host.n_workers;

    CHECK(n < TH_MAX_WORKERS);
    t->host.worker = n;
    first->peers[n] = t;
    for (unsigned i = 0; i <= n; i++) {
        first->peers[i]->host.n_workers = n + 1;
        memcpy(first->peers[i]->peers, first->peers, sizeof(first->peers));
    }
    return t;
}

void th_budget(struct test_host *t, uint64_t soft_bytes, uint64_t limit_bytes)
{
    budget_free(&t->host.budget);
    t->host.budget = budget_new(soft_bytes, limit_bytes);
}

static void free_waits(struct test_host *t)
{
    for (size_t i = 0; i < t->n_waits; i++) {
        CHECK(t->waits[i]->times <= 1);
        free(t->waits[i]);
    }
    free(t->waits);
}

void th_free(struct test_host **tp)
{
    struct test_host *t = *tp;
    struct loop *loop = t->host.loop;

    *tp = NULL;
    th_out_end(t);
    CHECK(th_balanced(t));
    for (unsigned i = 0; i < TH_MAX_WORKERS; i++)
        if (t->peers[i] && t->peers[i] != t)
            t->peers[i]->peers[t->host.worker] = NULL;
    free_waits(t);
    free(t->out);
    th_free_extensions(t);
    metric_set_free(&t->host.metrics);
    if (t->owns_world) {
        CHECK(loop_free(&loop) == 0);
        CHECK(budget_used(t->host.budget) == 0);
        budget_free(&t->host.budget);
    }
    free(t);
}

struct component *th_component_try(struct test_host *t, const struct component_type *type, const void *settings,
                                   struct err *err)
{
    struct component *c;

    if (type->shared_create && t->host.worker == 0) {
        if (type->shared_create(settings, &t->host, &t->host.shared, err) < 0)
            return NULL;
        for (unsigned i = 0; i < t->host.n_workers; i++)
            t->peers[i]->host.shared = t->host.shared;
    }
    c = type->create(&t->host, settings, err);
    if (c && type->start && type->start(c, err) < 0)
        type->destroy(&c);
    if (!c && t->host.worker == 0 && type->shared_destroy && t->host.shared)
        type->shared_destroy(&t->host.shared);
    t->component = c;
    return c;
}

struct component *th_component(struct test_host *t, const struct component_type *type, const void *settings)
{
    struct err err = {""};
    struct component *c = th_component_try(t, type, settings, &err);

    if (!c)
        fprintf(stderr, "%s: %s\n", type->name, err.text);
    CHECK(c);
    return c;
}

void th_component_free(struct test_host *t, struct component **c)
{
    const struct component_type *type = (*c)->type;

    if (!t->n_drained && type->drain) {
        type->drain(*c);
        CHECK(th_run_until_drained(t));
    }
    type->destroy(c);
    CHECK(*c == NULL);
    t->component = NULL;
    for (unsigned i = 0; i < t->host.n_workers; i++)
        if (t->peers[i] && t->peers[i]->component)
            return;
    if (type->shared_destroy && t->host.shared)
        type->shared_destroy(&t->host.shared);
}

/* ---- running the loop ---- */

struct run {
    struct loop *loop;
    bool (*cond)(void *ctx);
    void *ctx;
    uint64_t until_ns;
    bool held;
};

static void look(void *ctx)
{
    struct run *r = ctx;

    r->held = r->cond(r->ctx);
    if (r->held || clock_mono_ns() >= r->until_ns)
        loop_stop(r->loop);
}

bool th_run_until(struct test_host *t, bool (*cond)(void *ctx), void *ctx)
{
    struct run r = {t->host.loop, cond, ctx, clock_mono_ns() + TH_TIMEOUT_MS * NS_PER_MS, false};
    struct timer *timer;

    if (cond(ctx))
        return true;
    timer = timer_new(t->host.loop, __func__, look, &r);
    timer_start(timer, 0, 1);
    loop_run(t->host.loop);
    timer_free(&timer);
    return r.held;
}

struct goal {
    struct test_host *t;
    uint64_t n;
};

static bool has_out(void *ctx)
{
    struct goal *g = ctx;

    return g->t->n_out >= g->n;
}

static bool has_emitted(void *ctx)
{
    struct goal *g = ctx;

    return g->t->n_emitted_spans >= g->n;
}

static bool has_answered(void *ctx)
{
    struct goal *g = ctx;

    return g->t->n_answered >= g->n;
}

static bool has_drained(void *ctx)
{
    return ((struct goal *)ctx)->t->n_drained > 0;
}

bool th_run_until_out(struct test_host *t, size_t n_out)
{
    return th_run_until(t, has_out, &(struct goal){t, n_out});
}

bool th_run_until_emitted(struct test_host *t, uint64_t n_spans)
{
    return th_run_until(t, has_emitted, &(struct goal){t, n_spans});
}

bool th_run_until_answered(struct test_host *t, unsigned n)
{
    return th_run_until(t, has_answered, &(struct goal){t, n});
}

bool th_run_until_drained(struct test_host *t)
{
    return th_run_until(t, has_drained, &(struct goal){t, 0});
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

void th_turn(struct test_host *t)
{
    loop_post(t->host.loop, stop, t->host.loop);
    loop_run(t->host.loop);
}

/* ---- what came out ---- */

void th_out_end(struct test_host *t)
{
    for (size_t i = 0; i < t->n_out; i++)
        batch_exported(&t->out[i]);
    t->n_out = 0;
}

void th_out_drop(struct test_host *t, enum drop_reason reason)
{
    for (size_t i = 0; i < t->n_out; i++)
        batch_drop(&t->out[i], reason, "dropped by the test");
    t->n_out = 0;
}

uint64_t th_out_spans(const struct test_host *t)
{
    uint64_t n = 0;

    for (size_t i = 0; i < t->n_out; i++)
        n += t->out[i]->n_spans;
    return n;
}

bool th_balanced(const struct test_host *t)
{
    const struct ledger *l = &t->ledger;
    uint64_t in = l->accepted + l->moved_in, out = l->moved_out;

    for (int f = 0; f < FATES; f++)
        out += l->fate[f];
    return (int64_t)(in - out) == l->held;
}

static void answered(void *ctx, const struct answer_detail *d)
{
    struct test_wait *w = ctx;

    w->times++;
    w->answer = d->answer;
    w->grpc_code = d->grpc_code;
    w->retry_after_ms = d->retry_after_ms;
    snprintf(w->text, sizeof(w->text), "%s", d->text ? d->text : "");
    w->owner->n_answered++;
}

struct waiter th_wait(struct test_host *t)
{
    struct test_wait *w = mem_alloc(sizeof(*w));

    w->owner = t;
    if (t->n_waits == t->cap_waits) {
        t->cap_waits = t->cap_waits ? t->cap_waits * 2 : 16;
        t->waits = mem_grow(t->waits, t->cap_waits * sizeof(*t->waits));
    }
    t->waits[t->n_waits++] = w;
    return (struct waiter){answered, w};
}

static double find_series(const char *page, const char *series)
{
    size_t len = strlen(series);

    for (const char *line = page; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, series, len) == 0 && line[len] == ' ')
            return strtod(line + len, NULL);
    }
    return -1;
}

double th_metric(struct test_host *t, const char *series)
{
    struct metric_snapshot *snap = metric_snapshot_take(t->host.metrics);
    struct metric_style style = {true, true, true, METRIC_DETAILED, NULL};
    struct buf page = {0};
    double v;

    metric_render(&page, &style, &snap, 1);
    buf_putc(&page, '\0');
    v = find_series((const char *)page.p, series);
    buf_free(&page);
    metric_snapshot_free(&snap);
    return v;
}
