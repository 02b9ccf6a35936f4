/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room: how a full queue becomes an answer at the door.
 *
 *   receiver --asks--> what holds first (batch, tail_sampling) --asks--> the queues of the exporters
 *
 * Problem: a processor that answers its clients before it sends on has nobody to tell that a queue is
 * full; what it sends then would be lost after it was acknowledged. Design: it asks before it sends,
 * and keeps what would not be taken; when it is full itself, it refuses, and receivers, who ask at the
 * door, do not even read a body. Questions go down the graph by plain calls, one or two pointers per
 * component; nothing is told upwards but "there is room again", and only to who was refused.
 *
 * Where spans go several ways, one full queue must not hold up the others: a dead backend would stop
 * what another still takes, and clients that repeat a request would send it twice to the healthy one.
 *
 *   several exporters   no room when all are full; or when one is whose queue says block_on_overflow
 *   several pipelines   of one receiver or connector: each drops for itself, as queue_full, but for
 *                       exporters with block_on_overflow
 *
 * Exporters that are never full (debug, nop) do not count as another way. A pipeline in which a full
 * queue reaches the door is said to push back.
 *
 * Between the question and the batch another worker may have taken the room. Such a batch carries
 * must_wait, and the queue keeps it above its bound: at most one per worker and sender.
 * Threads: questions on the instance's worker; room_wire on main while no worker runs.
 */
#include "pipeline/graph.h"

enum asks {
    ASK_DOOR, /* a receiver: an exporter that is reached directly answers for itself */
    ASK_HELD, /* a processor, for spans that nobody waits for */
};

static enum room outlet_room(const struct outlet *o, enum asks who, uint64_t n_spans, uint64_t n_bytes);

/* ---- questions ---- */

/* At the door every pipeline has a veto: those that do not push back never use it. */
static enum room inlet_room(const struct inlet *in, enum asks who, uint64_t n_spans, uint64_t n_bytes)
{
    enum room least = ROOM_NO, most = ROOM_YES;

    for (size_t i = 0; i < in->n; i++) {
        enum room r = outlet_room(in->heads[i].first, who, n_spans, n_bytes);

        most = r > most ? r : most;
        least = r < least ? r : least;
    }
    return who == ASK_DOOR || most == ROOM_NO_WAIT ? most : least;
}

static enum room exporter_room(const struct component *c, enum asks who, uint64_t n_spans, uint64_t n_bytes)
{
    enum room r = c->type->room ? c->type->room(c, n_spans, n_bytes) : ROOM_YES;

    return who == ASK_DOOR && r > ROOM_TIGHT ? ROOM_TIGHT : r;
}

static enum room component_room(const struct component *c, enum asks who, uint64_t n_spans, uint64_t n_bytes)
{
    const struct component_type *t = c->type;
    const struct instance *i = instance_of(c->host);

    if (t->kind == EXPORTER)
        return exporter_room(c, who, n_spans, n_bytes);
    if (t->room)
        return t->room(c, n_spans, n_bytes);
    return i->next ? outlet_room(i->next, who, n_spans, n_bytes) : inlet_room(&i->inlet, who, n_spans, n_bytes);
}

static bool may_be_full(const struct component_type *t)
{
    return t->room || t->kind == CONNECTOR;
}

/* As little as the emptiest of several says, unless a full one asks to be waited for. */
static enum room outlet_room(const struct outlet *o, enum asks who, uint64_t n_spans, uint64_t n_bytes)
{
    enum room least = ROOM_NO;
    bool asked = false;

    if (LIKELY(o->n == 1))
        return component_room(o->to[0], who, n_spans, n_bytes);
    for (size_t i = 0; i < o->n; i++) {
        enum room r;

        if (!may_be_full(o->to[i]->type))
            continue;
        r = component_room(o->to[i], who, n_spans, n_bytes);
        if (r == ROOM_NO_WAIT)
            return r;
        least = r < least ? r : least;
        asked = true;
    }
    return asked ? least : ROOM_YES;
}

static enum room at_the_door(const struct instance *i)
{
    return i->closed ? ROOM_YES : inlet_room(&i->inlet, ASK_DOOR, 0, 0);
}

/* What drains has to go, room or not. */
static enum room room_of(struct host *h, uint64_t n_spans, uint64_t n_bytes)
{
    struct instance *i = instance_of(h);
    enum room r;

    if (i->node->pc->type->kind == RECEIVER)
        return at_the_door(i);
    if (i->asker || i->closed || !i->node->line)
        return ROOM_YES;
    r = outlet_room(i->next, ASK_HELD, n_spans, n_bytes);
    if (r == ROOM_NO && !i->node->line->pushes_back)
        r = ROOM_YES;
    if (r >= ROOM_NO && list_empty(&i->waiting) && i->node->pc->type->resume)
        list_add_tail(&i->worker->waiting, &i->waiting);
    return r;
}

/* ---- room again ---- */

/* Whoever is refused again comes to the end of the list, and is not asked twice in one turn. */
static void resume_all(void *ctx)
{
    struct worker *w = ctx;
    struct list turn;

    list_init(&turn);
    while (!list_empty(&w->waiting))
        list_add_tail(&turn, list_pop(&w->waiting));
    while (!list_empty(&turn)) {
        struct instance *i = CONTAINER_OF(list_pop(&turn), struct instance, waiting);

        i->node->pc->type->resume(i->c);
    }
}

static void room_again(struct host *h)
{
    struct worker *w = instance_of(h)->worker;

    if (!list_empty(&w->waiting))
        loop_defer(w->loop, &w->resume);
}

void room_build(struct worker *w)
{
    list_init(&w->waiting);
    w->resume = (struct deferred){.fn = resume_all, .ctx = w};
}

void room_bind(struct instance *i)
{
    i->host.room_fn = room_of;
    i->host.room_again_fn = room_again;
}

void room_forget(struct instance *i)
{
    list_del(&i->waiting);
}

/* ---- which pipelines push back ---- */

static bool is_current(const struct graph *g, const struct line *l)
{
    return l->generation == g->generation;
}

/* How many ways out of it can be full. */
static size_t ways_out(const struct line *l)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n_exporters; i++)
        n += may_be_full(l->exporters[i]->pc->type);
    return n;
}

static size_t ways_from(const struct node *n)
{
    size_t ways = 0;

    for (size_t i = 0; i < n->n_feeds; i++)
        ways += ways_out(n->feeds[i]) > 0;
    return ways;
}

static bool leads_to(const struct line *l, const struct node *exporter)
{
    for (size_t i = 0; i < l->n_exporters; i++)
        if (l->exporters[i] == exporter)
            return true;
    return false;
}

/* A connector's pipeline hands its refusals on to those before it. */
static bool connector_pushes_back(const struct graph *g, const struct node *n)
{
    for (size_t i = 0; i < g->n_lines; i++) {
        const struct line *l = g->lines[i];

        if (is_current(g, l) && leads_to(l, n) && (!l->pushes_back || ways_out(l) > 1))
            return false;
    }
    return true;
}

static bool feeds_line(const struct node *n, const struct line *l)
{
    for (size_t i = 0; node_feeds(n) && i < n->n_feeds; i++)
        if (n->feeds[i] == l)
            return true;
    return false;
}

static bool line_pushes_back(const struct graph *g, const struct line *l)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct node *n = g->nodes[i];

        if (n->leaving || !feeds_line(n, l))
            continue;
        if (ways_from(n) > 1 || (n->pc->type->kind == CONNECTOR && !connector_pushes_back(g, n)))
            return false;
    }
    return true;
}

void room_wire(struct graph *g)
{
    bool changed = true;

    for (size_t i = 0; i < g->n_lines; i++)
        g->lines[i]->pushes_back = is_current(g, g->lines[i]);
    while (changed) {
        changed = false;
        for (size_t i = 0; i < g->n_lines; i++)
            if (g->lines[i]->pushes_back && !line_pushes_back(g, g->lines[i])) {
                g->lines[i]->pushes_back = false;
                changed = true;
            }
    }
}
