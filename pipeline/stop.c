/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The drain: one order for all workers.
 *
 *   for each stage, receivers first:
 *     settle   every worker handles the messages that lie in the stage's rings, until none are left
 *     drain    every worker drains its instances; wait for all host_drained()
 *     settle   again
 *     close    nothing may come out of the stage any more
 *   then the extensions, last one first (of a reload: those it took out).
 *
 * The main thread conducts: it posts a step to every worker and goes on when all have reported. A
 * stage begins when the one before is over on all workers, so a flushed batch always finds its
 * successors open, whichever worker it comes from.
 *
 * What a reload took out goes through the same steps, those nodes alone, while the others run on
 * (stop_leaving). A drain of everything that comes meanwhile takes over from it.
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
    unsigned messages;  /* settle: handled in this round */
    unsigned undrained; /* drain: instances asked that have not finished */
    bool unsent;       /* settle: a component could not send all it has */
};

struct stop {
    struct graph *g;
    bool all; /* else what is leaving */
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

static void send_report(struct report *r)
{
    loop_post(r->stop->g->o.main_loop, reported, r);
}

static void on_workers(struct stop *s, void (*fn)(void *ctx), void (*step)(struct stop *s))
{
    struct graph *g = s->g;

    s->messages = 0;
    s->unsent = false;
    s->step = step;
    s->outstanding = g->o.n_workers;
    for (unsigned i = 0; i < g->o.n_workers; i++)
        loop_post(g->workers[i].loop, fn, &s->reports[i]);
}

/* ---- steps, on each worker ---- */

bool stop_concerns(const struct stop *s, const struct node *n)
{
    return n->stage == s->stage && (s->all || n->leaving);
}

static bool in_stage(const struct stop *s, const struct instance *i)
{
    if (i->worker == &s->g->main)
        return s->all || i->node->leaving;
    return stop_concerns(s, i->node);
}

static void settle_worker(void *ctx)
{
    struct report *r = ctx;

    r->messages = messages_settle(r->worker, r->stop, &r->unsent);
    send_report(r);
}

void stop_instance_drained(struct instance *i)
{
    if (i->drained)
        return;
    i->drained = true;
    if (i->asker && --i->asker->undrained == 0)
        send_report(i->asker);
}

static void drain_instance(struct report *r, struct instance *i)
{
    const struct component_type *t = i->node->pc->type;

    if (i->drained)
        return;
    i->asker = r;
    r->undrained++;
    if (t->drain)
        t->drain(i->c);
    else
        stop_instance_drained(i);
}

/* Last ones first: the order of extensions matters, that of a stage's instances does not. */
static void drain_worker(void *ctx)
{
    struct report *r = ctx;

    r->undrained = 1; /* ours: no report before all were asked */
    for (size_t i = worker_instances(r->worker); i-- > 0;)
        if (in_stage(r->stop, worker_instance(r->worker, i)))
            drain_instance(r, worker_instance(r->worker, i));
    if (--r->undrained == 0)
        send_report(r);
}

static void drain_again(void *ctx)
{
    struct report *r = ctx;

    for (size_t i = 0; i < worker_instances(r->worker); i++) {
        struct instance *in = worker_instance(r->worker, i);

        if (in->asker == r && !in->drained)
            in->node->pc->type->drain(in->c);
    }
}

static void close_worker(void *ctx)
{
    struct report *r = ctx;

    for (size_t i = 0; i < worker_instances(r->worker); i++)
        if (in_stage(r->stop, worker_instance(r->worker, i)))
            worker_instance(r->worker, i)->closed = true;
    send_report(r);
}

/* ---- the order, on main ---- */

static void begin_stage(struct stop *s);

static void extensions_drained(struct stop *s)
{
    finish(s, true);
}

static void begin_extensions(struct stop *s)
{
    if (s->all && s->g->n_extensions)
        log_info(&s->g->log, "Stopping extensions...");
    s->step = extensions_drained;
    s->outstanding = 1;
    drain_worker(&s->reports[s->g->o.n_workers]);
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

static void log_unfinished(const struct stop *s, const struct worker *w)
{
    for (size_t i = 0; i < worker_instances(w); i++) {
        const struct instance *in = worker_instance(w, i);

        if (!in->drained && (s->all || in->node->leaving))
            log_error(&in->host.log, "Component did not stop in time",
                      LOG_UINT("worker", w->index));
    }
}

static void on_grace_over(void *ctx)
{
    struct stop *s = ctx;

    for (unsigned i = 0; i < s->g->o.n_workers; i++)
        log_unfinished(s, &s->g->workers[i]);
    log_unfinished(s, &s->g->main);
    finish(s, false);
}

static void tell_deadline(struct stop *s)
{
    struct graph *g = s->g;

    if (s->all) {
        log_warn(&g->log, "Shutdown deadline passed, what is still held is dropped");
        atomic_store(&g->deadline_passed, true);
        return;
    }
    log_warn(&g->log, "What the reload took out did not finish in time, what it still holds is dropped");
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->leaving)
            atomic_store(&g->nodes[i]->deadline_passed, true);
    for (size_t i = 0; i < g->n_extensions; i++)
        if (g->extensions[i]->leaving)
            atomic_store(&g->extensions[i]->deadline_passed, true);
}

static void on_deadline(void *ctx)
{
    struct stop *s = ctx;
    struct graph *g = s->g;

    tell_deadline(s);
    for (unsigned i = 0; i < g->o.n_workers; i++)
        loop_post(g->workers[i].loop, drain_again, &s->reports[i]);
    loop_post(g->main.loop, drain_again, &s->reports[g->o.n_workers]);
    timer_free(&s->timer);
    s->timer = timer_new(g->o.main_loop, __func__, on_grace_over, s);
    timer_start(s->timer, GRACE_MS, 0);
}

static struct stop *stop_new(struct graph *g, bool all, void (*done)(void *ctx, bool clean),
                             void *ctx)
{
    struct stop *s = mem_alloc(sizeof(*s));
    unsigned n = g->o.n_workers;

    *s = (struct stop){.g = g, .all = all, .done = done, .ctx = ctx};
    s->reports = mem_alloc_array(n + 1, sizeof(*s->reports));
    for (unsigned i = 0; i < n; i++)
        s->reports[i] = (struct report){.stop = s, .worker = &g->workers[i]};
    s->reports[n] = (struct report){.stop = s, .worker = &g->main};
    return s;
}

static void begin(struct stop *s, uint64_t timeout_ms)
{
    s->timer = timer_new(s->g->o.main_loop, __func__, on_deadline, s);
    timer_start(s->timer, timeout_ms, 0);
    s->pause = timer_new(s->g->o.main_loop, __func__, settle_on, s);
    begin_stage(s);
}

/* It goes no further; what is under way on workers reports to nobody. */
static void give_up(struct stop *s)
{
    s->over = true;
    timer_free(&s->timer);
    timer_free(&s->pause);
}

void graph_drain(struct graph *g, uint64_t timeout_ms, void (*done)(void *ctx, bool clean),
                 void *ctx)
{
    CHECK(!g->stop);
    if (g->leaving && !g->leaving->over)
        give_up(g->leaving);
    g->stop = stop_new(g, true, done, ctx);
    atomic_store(&g->ready_since_ns, 0);
    begin(g->stop, timeout_ms);
}

void stop_leaving(struct graph *g, uint64_t timeout_ms, void (*done)(void *ctx, bool clean),
                  void *ctx)
{
    stop_free(&g->leaving);
    g->leaving = stop_new(g, false, done, ctx);
    begin(g->leaving, timeout_ms);
}

void stop_free(struct stop **sp)
{
    struct stop *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    CHECK(s->over);
    free(s->reports);
    free(s);
}
