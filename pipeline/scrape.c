/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrape: each worker copies its books and metrics between two of its events, the last one
 * hands the sums to the main loop. Nobody waits for anybody: a worker that is slow delays the page,
 * not the data.
 *
 * Why sums are exact although workers are copied at different instants: every worker's books
 * balance by themselves, spans on their way between two workers included (moved_out - moved_in).
 *
 * The audit (TAILRACE_AUDIT=1) holds the books against what the components say they hold.
 */
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/graph.h"

struct scrape {
    struct graph_scrape pub;
    struct loop *main_loop;
    _Atomic unsigned outstanding;
    struct ledger *books; /* [worker * n_ledgers + pipeline] */
    uint64_t *stalls;     /* by worker */
    struct task {
        struct scrape *s;
        struct worker *w;
    } * tasks;
    void (*done)(void *ctx, const struct graph_scrape *s);
    void *ctx;
};

int64_t ledger_held(const struct ledger *l)
{
    return l->held + (int64_t)(l->moved_out - l->moved_in);
}

/* ---- audit ---- */

static void report_instance(const struct instance *i)
{
    const struct component_type *t = i->node->pc->type;

    fprintf(stderr, "  %s %s%s%s: %llu\n", i->host.log.kind, i->host.id,
            i->host.pipeline ? " in " : "", i->host.pipeline ? i->host.pipeline : "",
            t->held ? (unsigned long long)t->held(i->c) : 0ULL);
}

static void audit_failed(struct worker *w, int64_t books, uint64_t held)
{
    fprintf(stderr, "audit: worker %u: the books say %lld spans held, its components say %llu\n",
            w->index, (long long)books, (unsigned long long)held);
    for (size_t i = 0; i < w->g->n_lines; i++)
        fprintf(stderr, "  books of %s: %lld\n", w->g->lines[i]->id,
                (long long)w->g->lines[i]->on[w->index]->ledger.held);
    for (size_t i = 0; i < w->g->n_nodes; i++)
        report_instance(worker_instance(w, i));
    CHECK(!"books and components agree");
}

/* What a fan-out's branches hold is the components'; what its wholes hold are the books'. */
static int64_t outlet_balance(const struct outlet *o)
{
    return (int64_t)outlet_branch_spans(o) - (int64_t)outlet_joined_spans(o);
}

static void audit(struct worker *w)
{
    int64_t books = 0;
    uint64_t held = 0;

    for (size_t i = 0; i < w->g->n_lines; i++) {
        const struct line_end *end = w->g->lines[i]->on[w->index];

        books += end->ledger.held;
        if (end->outlet)
            books += outlet_balance(end->outlet);
    }
    for (const struct list *l = w->old_outlets.next; l != &w->old_outlets; l = l->next)
        books += outlet_balance(CONTAINER_OF(l, const struct outlet, link));
    for (size_t i = 0; i < w->g->n_nodes; i++) {
        const struct instance *in = worker_instance(w, i);
        const struct component_type *t = in->node->pc->type;

        books -= (int64_t)inlet_joined_spans(&in->inlet);
        if (t->held)
            held += t->held(in->c);
    }
    if (books != (int64_t)held)
        audit_failed(w, books, held);
}

/* ---- copies ---- */

static void copy_worker(struct scrape *s, struct worker *w)
{
    if (w->g->audit)
        audit(w);
    s->pub.snaps[w->index] = metric_snapshot_take(w->metrics);
    for (size_t i = 0; i < s->pub.n_ledgers; i++) /* more may have come meanwhile, none goes */
        s->books[w->index * s->pub.n_ledgers + i] = w->g->lines[i]->on[w->index]->ledger;
    s->stalls[w->index] = loop_stalls(w->loop);
}

static void deliver(void *ctx)
{
    struct scrape *s = ctx;

    for (size_t i = 0; i < s->pub.n_snaps; i++) {
        for (size_t p = 0; p < s->pub.n_ledgers; p++)
            ledger_sum(&s->pub.ledgers[p], &s->books[i * s->pub.n_ledgers + p]);
        s->pub.stalls += s->stalls[i];
    }
    s->done(s->ctx, &s->pub);
    for (size_t i = 0; i < s->pub.n_snaps; i++)
        metric_snapshot_free(&s->pub.snaps[i]);
    free(s->pub.snaps);
    free(s->pub.ledgers);
    free(s->pub.pipelines);
    free(s->books);
    free(s->stalls);
    free(s->tasks);
    free(s);
}

static void on_worker(void *ctx)
{
    struct task *t = ctx;
    struct scrape *s = t->s;

    copy_worker(s, t->w);
    if (atomic_fetch_sub(&s->outstanding, 1) == 1)
        loop_post(s->main_loop, deliver, s); /* it may outlive the graph: touches it no more */
}

static struct scrape *scrape_new(struct graph *g,
                                 void (*done)(void *ctx, const struct graph_scrape *s), void *ctx)
{
    struct scrape *s = mem_alloc(sizeof(*s));
    unsigned n = g->o.n_workers;
    size_t n_ledgers = g->n_lines;

    s->main_loop = g->o.main_loop;
    s->done = done;
    s->ctx = ctx;
    s->outstanding = n;
    s->pub.n_snaps = n;
    s->pub.snaps = mem_alloc_array(n, sizeof(*s->pub.snaps));
    s->pub.n_ledgers = n_ledgers;
    s->pub.ledgers = mem_alloc_array(n_ledgers + 1, sizeof(struct ledger));
    s->pub.pipelines = mem_alloc_array(n_ledgers + 1, sizeof(*s->pub.pipelines));
    for (size_t i = 0; i < n_ledgers; i++)
        s->pub.pipelines[i] = g->lines[i]->id;
    s->books = mem_alloc_array(n * n_ledgers + 1, sizeof(struct ledger));
    s->stalls = mem_alloc_array(n, sizeof(uint64_t));
    s->tasks = mem_alloc_array(n, sizeof(*s->tasks));
    return s;
}

void graph_scrape(struct graph *g, void (*done)(void *ctx, const struct graph_scrape *s), void *ctx)
{
    struct scrape *s = scrape_new(g, done, ctx);

    for (unsigned i = 0; i < g->o.n_workers; i++) {
        CHECK(g->workers[i].running);
        s->tasks[i] = (struct task){s, &g->workers[i]};
        loop_post(g->workers[i].loop, on_worker, &s->tasks[i]);
    }
}

void graph_scrape_now(struct graph *g, void (*done)(void *ctx, const struct graph_scrape *s),
                      void *ctx)
{
    struct scrape *s = scrape_new(g, done, ctx);

    for (unsigned i = 0; i < g->o.n_workers; i++) {
        CHECK(!g->workers[i].running);
        copy_worker(s, &g->workers[i]);
    }
    deliver(s);
}
