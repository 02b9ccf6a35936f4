/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fan-out and its joins.
 *
 *   pipeline's batch ("whole") --+-- branch view, own books --> exporter a
 *        held in the pipeline's  +-- branch view, own books --> exporter b
 *        books until the join
 *
 * A branch's books tell the join when nothing of the branch is held any more: the ends of its
 * spans, however split or merged on the way, have all been booked there. The ledger of a branch's
 * batches is the branch's for good, so an exporter may merge what comes from one pipeline. When
 * every branch of a whole is empty, the whole is booked in the pipeline's ledger by the branch that
 * lost most, so each span counts once. Answers join separately, and mostly earlier: a queue answers
 * when it takes a batch.
 *
 * Memory: one small block per fanned-out batch and a batch for each branch, charged as MEM_QUEUE by force: their size
 * is ours. The whole keeps its payloads until the slowest branch has ended, which that branch does anyway.
 * Threads: one worker; branches may end inside their push.
 */
#include "pipeline/fanout.h"

#include <stdlib.h>

#include "pipeline/answers.h"

struct branch {
    struct ledger books;
    struct join *join;
};

struct join {
    struct list link; /* outlet->joins */
    struct batch *whole;
    struct answers answers;
    bool answered;
    unsigned unfinished;
    struct budget *budget;
    size_t charged_bytes;
    uint32_t n;
    struct branch branches[];
};

static void end_if_over(struct join *j)
{
    if (!j->answered || j->unfinished)
        return;
    CHECK(j->whole->ledger == NULL && j->whole->waiter.fn == NULL);
    list_del(&j->link);
    batch_exported(&j->whole); /* books nothing: its spans have been booked */
    budget_release(j->budget, MEM_QUEUE, j->charged_bytes);
    free(j);
}

static void on_answered(struct answers *a)
{
    struct join *j = CONTAINER_OF(a, struct join, answers);

    if (j->whole->waiter.fn)
        batch_answer(j->whole, &a->worst);
    j->answered = true;
    end_if_over(j);
}

static const struct ledger *worst_branch(const struct join *j)
{
    const struct ledger *worst = &j->branches[0].books;

    for (uint32_t i = 1; i < j->n; i++)
        if (j->branches[i].books.fate[FATE_EXPORTED] < worst->fate[FATE_EXPORTED])
            worst = &j->branches[i].books;
    return worst;
}

/* Books the whole's spans in the pipeline's ledger. */
static void book(struct join *j)
{
    struct ledger *l = j->whole->ledger;
    const struct ledger *b = worst_branch(j);

    j->whole->ledger = NULL;
    if (!l)
        return;
    for (int r = DROP_NONE; r < DROP_REASONS; r++)
        ledger_end(l, b->dropped[r], FATE_DROPPED, (enum drop_reason)r);
    ledger_end(l, b->fate[FATE_FILTERED], FATE_FILTERED, DROP_NONE);
    ledger_end(l, b->fate[FATE_SAMPLED_OUT], FATE_SAMPLED_OUT, DROP_NONE);
    ledger_end(l, b->fate[FATE_STORED], FATE_STORED, DROP_NONE);
    ledger_end(l, b->fate[FATE_EXPORTED], FATE_EXPORTED, DROP_NONE);
}

static void finish_one(struct join *j)
{
    if (--j->unfinished == 0)
        book(j);
    end_if_over(j);
}

static void on_emptied(struct ledger *l)
{
    finish_one(CONTAINER_OF(l, struct branch, books)->join);
}

/* One more answer and one more finish than branches: the join cannot end while branches are still
 * being pushed. */
static struct join *join_new(struct outlet *o, struct batch **take)
{
    uint32_t n = (uint32_t)o->n;
    size_t bytes = sizeof(struct join) + n * sizeof(struct branch);
    struct join *j = mem_alloc(bytes);

    j->budget = o->to[0]->host->budget;
    j->charged_bytes = bytes + n * (sizeof(struct batch) + (*take)->n_parts * sizeof(struct part));
    budget_force(j->budget, MEM_QUEUE, j->charged_bytes);
    j->whole = *take;
    *take = NULL;
    j->n = n;
    j->unfinished = n + 1;
    answers_init(&j->answers, j->whole->waiter.fn ? n + 1 : 1, on_answered);
    for (uint32_t i = 0; i < n; i++) {
        j->branches[i].join = j;
        j->branches[i].books.emptied = on_emptied;
    }
    list_add_tail(&o->joins, &j->link);
    return j;
}

static void push_to(struct component *c, struct batch **take)
{
    c->type->push(c, take);
    CHECK(*take == NULL);
}

static void fan_out(struct outlet *o, struct batch **take)
{
    struct join *j = join_new(o, take);
    bool waited = j->whole->waiter.fn != NULL;

    for (uint32_t i = 0; i < j->n; i++) {
        struct batch *b = batch_share(j->whole, &o->branches[i]);

        batch_set_books(b, &j->branches[i].books);
        if (waited)
            b->waiter = answers_waiter(&j->answers);
        push_to(o->to[i], &b);
    }
    j->unfinished--;
    if (j->unfinished == 0)
        book(j);
    answers_add(&j->answers, NULL);
}

void outlet_push(struct outlet *o, struct batch **take)
{
    if (LIKELY(o->n == 1))
        push_to(o->to[0], take);
    else if ((*take)->n_spans == 0)
        batch_exported(
            take); /* nothing to book: the branches would never be told that they are empty */
    else
        fan_out(o, take);
}

/* ---- inlets ---- */

/* Several pipelines answer one request. */
struct request_join {
    struct answers answers;
    struct waiter to;
};

static void request_answered(struct answers *a)
{
    struct request_join *j = CONTAINER_OF(a, struct request_join, answers);

    j->to.fn(j->to.ctx, &a->worst);
    free(j);
}

static void enter(const struct head *h, struct payload **p, struct request_info *info,
                  struct waiter w, uint64_t received_ns)
{
    struct batch *b = batch_new(p, h->ledger);

    b->waiter = w;
    b->info = info;
    b->received_ns = received_ns;
    outlet_push(h->first, &b);
}

void inlet_accept(struct inlet *in, struct payload **p, struct request_info *info, struct waiter w,
                  uint64_t received_ns)
{
    struct request_join *j;

    if (LIKELY(in->n == 1)) {
        enter(&in->heads[0], p, info, w, received_ns);
        return;
    }
    if (w.fn) {
        j = mem_alloc(sizeof(*j));
        j->to = w;
        answers_init(&j->answers, (unsigned)in->n, request_answered);
        w = answers_waiter(&j->answers);
    }
    for (size_t i = 0; i + 1 < in->n; i++) {
        struct payload *ref = payload_ref(*p);

        enter(&in->heads[i], &ref, request_info_ref(info), w, received_ns);
    }
    enter(&in->heads[in->n - 1], p, info, w, received_ns);
}

/* A connector's batch and the pipelines that answer for it. */
struct crossing {
    struct list link; /* inlet->joins */
    struct batch *from;
    struct answers answers;
};

static void crossed(struct answers *a)
{
    struct crossing *x = CONTAINER_OF(a, struct crossing, answers);

    list_del(&x->link);
    if (a->worst.answer == ANSWER_OK)
        batch_exported(&x->from);
    else
        batch_refuse(&x->from, &a->worst);
    free(x);
}

static void cross(const struct head *h, const struct batch *from, struct waiter w)
{
    struct batch *b = batch_share(from, h->ledger);

    b->waiter = w;
    b->must_wait = from->must_wait;
    outlet_push(h->first, &b);
}

void inlet_push(struct inlet *in, struct batch **take)
{
    struct waiter w = {NULL, NULL};
    struct batch *from = *take;
    struct crossing *x = NULL;

    *take = NULL;
    if (from->waiter.fn) {
        x = mem_alloc(sizeof(*x));
        x->from = from;
        answers_init(&x->answers, (unsigned)in->n + 1, crossed);
        list_add_tail(&in->joins, &x->link);
        w = answers_waiter(&x->answers);
    }
    from->must_wait = from->must_wait && in->n == 1; /* where one of several is full, the others go on */
    for (size_t i = 0; i < in->n; i++)
        cross(&in->heads[i], from, w);
    if (x)
        answers_add(&x->answers, NULL);
    else
        batch_exported(
            &from); /* nobody waits: what becomes of it is the next pipelines' to count */
}

/* ---- audit ---- */

uint64_t outlet_joined_spans(const struct outlet *o)
{
    uint64_t n = 0;

    for (const struct list *l = o->joins.next; l != &o->joins; l = l->next) {
        const struct join *j = CONTAINER_OF(l, struct join, link);

        if (j->whole->ledger)
            n += j->whole->n_spans;
    }
    return n;
}

uint64_t outlet_branch_spans(const struct outlet *o)
{
    uint64_t n = 0;

    for (size_t i = 0; o->branches && i < o->n; i++)
        n += (uint64_t)o->branches[i].held;
    return n;
}

uint64_t inlet_joined_spans(const struct inlet *in)
{
    uint64_t n = 0;

    for (const struct list *l = in->joins.next; l != &in->joins; l = l->next)
        n += CONTAINER_OF(l, struct crossing, link)->from->n_spans;
    return n;
}
