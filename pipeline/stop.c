/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drain: one order for all workers.
 *
 *   for each stage, receivers first:
 *     settle   every worker handles the messages that lie in the stage's rings, until none are left
 *     drain    every worker drains its instances; wait for all host_drained()
 *     settle   again
 *     close    nothing may come out of the stage any more
 *   then the extensions, last one first.
 *
 * The main thread conducts: it posts a step to every worker and goes on when all have reported. A
 * stage begins when the one before is over on all workers, so a flushed batch always finds its
 * successors open, whichever worker it comes from.
 *
 * The deadline is one for all of it. When it passes, hosts say so, and what has not finished is
 * drained again; what has not finished a grace time later is given up.
 */
#include <stdlib.h>

#include "pipeline/graph.h"

enum { GRACE_MS = 3000, UNSENT_PAUSE_MS = 2 };

struct report {
    struct stop *stop;
    struct worker *worker;
    unsigned messages; /* settle: handled in this round */
    bool unsent;       /* settle: a component could not send all it has */
};

struct stop {
    struct graph *g;
    unsigned stage;
    unsigned outstanding; /* workers that have not reported */
    unsigned messages;
    bool unsent;
    bool over;
    void (*step)(struct stop *s); /* when all have reported */
    struct timer *timer;          /* the deadline, then the grace */
    struct timer *pause;          /* between settling rounds while something is unsent */
    struct report *reports;       /* by worker; the main worker's last */
    void (*done)(void *ctx, bool clean);
    void *ctx;
};

static void finish(struct stop *s, bool clean)
{
    if (s->over)
        return;
    s->over = true;
    timer_free(&s->timer);
    timer_free(&s->pause);
    s->done(s->ctx, clean);
}

/* ---- reports, on main ---- */

static void reported(void *ctx)
{
    struct report *r = ctx;
    struct stop *s = r->stop;

    s->messages += r->messages;
    s->unsent |= r->unsent;
    r->messages = 0;
    r->unsent = false;
    CHECK(s->outstanding > 0);
    if (--s->outstanding == 0 && !s->over)
        s->step(s);
}

static struct report *report_of(struct worker *w)
{
    struct stop *s = w->g->stop;

    return &s->reports[w == &w->g->main ? w->g->o.n_workers : w->index];
}

static void send_report(struct worker *w)
{
    loop_post(w->g->o.main_loop, reported, report_of(w));
}

static void on_workers(struct stop *s, void (*fn)(void *ctx), void (*step)(struct stop *s))
{
    struct graph *g = s->g;

    s->messages = 0;
    s->unsent = false;
    s->step = step;
    s->outstanding = g->o.n_workers;
    for (unsigned i = 0; i < g->o.n_workers; i++)
        loop_post(g->workers[i].loop, fn, &g->workers[i]);
}

/* ---- steps, on each worker ---- */

static bool in_stage(const struct instance *i)
{
    const struct graph *g = i->worker->g;

    return i->worker == &g->main || i->node->stage == g->stop->stage;
}

static void settle_worker(void *ctx)
{
    struct worker *w = ctx;
    struct report *r = report_of(w);

    r->messages = messages_settle(w, w->g->stop->stage, &r->unsent);
    send_report(w);
}

void stop_instance_drained(struct instance *i)
{
    if (i->drained)
        return;
    i->drained = true;
    if (i->asked && --i->worker->undrained == 0)
        send_report(i->worker);
}

static void drain_instance(struct instance *i)
{
    const struct component_type *t = i->node->pc->type;

    if (i->drained)
        return;
    i->asked = true;
    i->worker->undrained++;
    if (t->drain)
        t->drain(i->c);
    else
        stop_instance_drained(i);
}

/* Last ones first: the order of extensions matters, that of a stage's instances does not. */
static void drain_worker(void *ctx)
{
    struct worker *w = ctx;

    w->undrained = 1; /* ours: no report before all were asked */
    for (size_t i = worker_instances(w); i-- > 0;)
        if (in_stage(&w->instances[i]))
            drain_instance(&w->instances[i]);
    if (--w->undrained == 0)
        send_report(w);
}

static void drain_again(void *ctx)
{
    struct worker *w = ctx;

    for (size_t i = 0; i < worker_instances(w); i++)
        if (w->instances[i].asked && !w->instances[i].drained)
            w->instances[i].node->pc->type->drain(w->instances[i].c);
}

static void close_worker(void *ctx)
{
    struct worker *w = ctx;

    for (size_t i = 0; i < w->g->n_nodes; i++)
        if (in_stage(&w->instances[i]))
            w->instances[i].closed = true;
    send_report(w);
}

/* ---- the order, on main ---- */

static void begin_stage(struct stop *s);

static void extensions_drained(struct stop *s)
{
    finish(s, true);
}

static void begin_extensions(struct stop *s)
{
    if (s->g->n_extensions)
        log_info(&s->g->log, "Stopping extensions...");
    s->step = extensions_drained;
    s->outstanding = 1;
    drain_worker(&s->g->main);
}

static void stage_closed(struct stop *s)
{
    s->stage++;
    if (s->stage < s->g->n_stages)
        begin_stage(s);
    else
        begin_extensions(s);
}

static void settle_on(void *ctx)
{
    struct stop *s = ctx;

    on_workers(s, settle_worker, s->step);
}

/* True when another round of settling has been arranged. */
static bool unsettled(struct stop *s)
{
    if (s->messages)
        settle_on(s);
    else if (s->unsent && !atomic_load(&s->g->deadline_passed))
        timer_start(s->pause, UNSENT_PAUSE_MS,
                    0); /* a full ring: its receiver and a retry must come round */
    else
        return false;
    return true;
}

static void settled_after(struct stop *s)
{
    if (!unsettled(s))
        on_workers(s, close_worker, stage_closed);
}

static void stage_drained(struct stop *s)
{
    on_workers(s, settle_worker, settled_after);
}

static void settled_before(struct stop *s)
{
    if (!unsettled(s))
        on_workers(s, drain_worker, stage_drained);
}

static void begin_stage(struct stop *s)
{
    on_workers(s, settle_worker, settled_before);
}

/* ---- the deadline ---- */

static void log_unfinished(struct worker *w)
{
    for (size_t i = 0; i < worker_instances(w); i++) {
        const struct instance *in = &w->instances[i];

        if (!in->drained)
            log_error(&in->host.log, "Component did not stop in time",
                      LOG_UINT("worker", w->index));
    }
}

static void on_grace_over(void *ctx)
{
    struct stop *s = ctx;

    for (unsigned i = 0; i < s->g->o.n_workers; i++)
        log_unfinished(&s->g->workers[i]);
    log_unfinished(&s->g->main);
    finish(s, false);
}

static void on_deadline(void *ctx)
{
    struct stop *s = ctx;
    struct graph *g = s->g;

    log_warn(&g->log, "Shutdown deadline passed, what is still held is dropped");
    atomic_store(&g->deadline_passed, true);
    for (unsigned i = 0; i < g->o.n_workers; i++)
        loop_post(g->workers[i].loop, drain_again, &g->workers[i]);
    loop_post(g->main.loop, drain_again, &g->main);
    timer_free(&s->timer);
    s->timer = timer_new(g->o.main_loop, __func__, on_grace_over, s);
    timer_start(s->timer, GRACE_MS, 0);
}

void graph_drain(struct graph *g, uint64_t timeout_ms, void (*done)(void *ctx, bool clean),
                 void *ctx)
{
    struct stop *s = mem_alloc(sizeof(*s));
    unsigned n = g->o.n_workers;

    CHECK(!g->stop);
    g->stop = s;
    atomic_store(&g->ready_since_ns, 0);
    *s = (struct stop){.g = g, .done = done, .ctx = ctx};
    s->reports = mem_alloc_array(n + 1, sizeof(*s->reports));
    for (unsigned i = 0; i < n; i++)
        s->reports[i] = (struct report){.stop = s, .worker = &g->workers[i]};
    s->reports[n] = (struct report){.stop = s, .worker = &g->main};
    s->timer = timer_new(g->o.main_loop, __func__, on_deadline, s);
    timer_start(s->timer, timeout_ms, 0);
    s->pause = timer_new(g->o.main_loop, __func__, settle_on, s);
    begin_stage(s);
}

void stop_free(struct graph *g)
{
    if (!g->stop)
        return;
    CHECK(g->stop->over);
    free(g->stop->reports);
    free(g->stop);
}
