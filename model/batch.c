/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch: lists of parts, and the three duties (ledger, references, answer) discharged once each.
 * Every way out goes through finish(): book, release, free, and only then answer, so that whoever
 * is answered finds the memory given back. See batch.h.
 *
 * Order: request info, life, answers, append and split, edits, moving.
 */
#include "model/batch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- request info ---- */

struct request_info *request_info_new(const char *client_address, size_t n_headers)
{
    struct request_info *i = mem_alloc(sizeof(*i));

    atomic_init(&i->refs, 1);
    i->client_address = mem_dup(client_address ? client_address : "");
    i->n_headers = n_headers;
    if (n_headers)
        i->headers = mem_alloc_array(n_headers, sizeof(*i->headers));
    return i;
}

struct request_info *request_info_ref(struct request_info *i)
{
    if (i)
        atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    return i;
}

void request_info_unref(struct request_info **ip)
{
    struct request_info *i = *ip;

    *ip = NULL;
    if (!i || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t k = 0; k < i->n_headers; k++) {
        free(i->headers[k].name);
        free(i->headers[k].value);
    }
    free(i->headers);
    free(i->client_address);
    free(i->grpc_peer);
    auth_data_unref(&i->auth);
    if (i->budget)
        budget_release(i->budget, MEM_CONN, i->charged_bytes);
    free(i);
}

const char *request_info_auth(const struct request_info *i, const char *name)
{
    for (size_t k = 0; i && i->auth && k < i->auth->n; k++)
        if (strcmp(i->auth->v[k].name, name) == 0)
            return i->auth->v[k].value;
    return NULL;
}

struct auth_data *auth_data_new(size_t n)
{
    struct auth_data *d = mem_alloc(sizeof(*d));

    atomic_init(&d->refs, 1);
    d->n = n;
    d->v = mem_alloc_array(n, sizeof(*d->v));
    return d;
}

struct auth_data *auth_data_ref(struct auth_data *d)
{
    if (d)
        atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    return d;
}

void auth_data_unref(struct auth_data **dp)
{
    struct auth_data *d = *dp;

    *dp = NULL;
    if (!d || atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t k = 0; k < d->n; k++) {
        if (d->v[k].value)
            explicit_bzero(d->v[k].value, strlen(d->v[k].value));
        free(d->v[k].name);
        free(d->v[k].value);
    }
    free(d->v);
    free(d);
}

const char *request_info_get(const struct request_info *i, const char *name, size_t k)
{
    for (size_t h = 0; i && h < i->n_headers; h++) {
        const struct request_header *header = &i->headers[h];

        if (header->name && strcasecmp(header->name, name) == 0 && k-- == 0)
            return header->value;
    }
    return NULL;
}

/* ---- life ---- */

/* Bytes of the spans [first, first + n) with the envelopes that are whole. */
static uint64_t part_bytes(const struct part *part)
{
    const struct payload *p = part->payload;
    uint64_t bytes = 0;
    uint32_t at = part->first, end = part->first + part->n;

    if (part->n == p->n_spans && p->intact)
        return p->len;
    while (at < end) {
        const struct scope *s = &p->scopes[p->spans[at].scope];

        if (s->intact && at == s->first_span && s->n_spans <= end - at) {
            bytes += s->rec_len;
            at += s->n_spans;
            continue;
        }
        bytes += p->spans[at++].rec_len;
    }
    return bytes;
}

static void recount(struct batch *b)
{
    b->n_spans = b->n_bytes = 0;
    for (uint32_t i = 0; i < b->n_parts; i++) {
        b->n_spans += b->parts[i].n;
        b->n_bytes += part_bytes(&b->parts[i]);
    }
}

/* Takes the first n parts out of the sums; a split must not look at all the others. */
static void uncount(struct batch *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        b->n_spans -= b->parts[i].n;
        b->n_bytes -= part_bytes(&b->parts[i]);
    }
}

/* Room for n parts in all. */
static void fit_parts(struct batch *b, uint32_t n)
{
    uint32_t cap = b->cap_parts * 2;

    if (n <= b->cap_parts)
        return;
    if (cap < n)
        cap = n;
    if (b->parts == &b->inline_part) {
        b->parts = mem_alloc_array(cap, sizeof(*b->parts));
        b->parts[0] = b->inline_part;
    } else {
        b->parts = mem_grow(b->parts, cap * sizeof(*b->parts));
    }
    b->cap_parts = cap;
}

struct batch *batch_empty(struct ledger *l)
{
    struct batch *b = mem_alloc(sizeof(*b));

    b->ledger = l;
    b->parts = &b->inline_part;
    b->cap_parts = 1;
    return b;
}

struct batch *batch_new(struct payload **p, struct ledger *l)
{
    struct batch *b = batch_empty(l);

    b->parts[0] = (struct part){.payload = *p, .n = (*p)->n_spans};
    b->n_parts = 1;
    *p = NULL;
    recount(b);
    if (l)
        ledger_accept(l, b->n_spans);
    return b;
}

static void release(struct batch *b)
{
    for (uint32_t i = 0; i < b->n_parts; i++)
        payload_unref(&b->parts[i].payload);
    if (b->parts != &b->inline_part)
        free(b->parts);
    request_info_unref(&b->info);
    free(b);
}

/* The last entry in a part's books may free them. */
static void book(struct batch *b, enum ledger_fate fate, enum drop_reason reason)
{
    for (uint32_t i = 0; i < b->n_parts; i++)
        if (UNLIKELY(b->parts[i].books != NULL))
            ledger_end(b->parts[i].books, b->parts[i].n, fate, reason);
    if (b->ledger)
        ledger_end(b->ledger, b->n_spans, fate, reason);
}

static void finish(struct batch **bp, enum ledger_fate fate, enum drop_reason reason,
                   const struct answer_detail *d)
{
    static const struct answer_detail ok = {.answer = ANSWER_OK};
    struct batch *b = *bp;
    struct waiter w = b->waiter;

    *bp = NULL;
    book(b, fate, reason);
    release(b);
    if (w.fn)
        w.fn(w.ctx, d ? d : &ok);
}

static enum drop_reason reason_of(const struct batch *b, const struct answer_detail *d)
{
    return b->waiter.fn && d && d->answer != ANSWER_OK ? DROP_RETURNED : DROP_ERROR;
}

void batch_end(struct batch **b, enum ledger_fate fate, const struct answer_detail *d)
{
    finish(b, fate, fate == FATE_DROPPED ? reason_of(*b, d) : DROP_NONE, d);
}

void batch_exported(struct batch **b)
{
    finish(b, FATE_EXPORTED, DROP_NONE, NULL);
}

void batch_drop(struct batch **b, enum drop_reason reason, const char *text)
{
    struct answer_detail d = {.answer = ANSWER_REJECTED, .text = text};

    finish(b, FATE_DROPPED, reason, &d);
}

void batch_refuse(struct batch **b, const struct answer_detail *d)
{
    finish(b, FATE_DROPPED, reason_of(*b, d), d);
}

/* ---- answers ---- */

void batch_answer(struct batch *b, const struct answer_detail *d)
{
    struct waiter w = b->waiter;

    b->waiter = (struct waiter){0};
    if (w.fn)
        w.fn(w.ctx, d);
}

void batch_answer_ok(struct batch *b)
{
    struct answer_detail d = {.answer = ANSWER_OK};

    batch_answer(b, &d);
}

/* ---- append and split ---- */

static uint64_t older(uint64_t a_ns, uint64_t b_ns)
{
    if (a_ns == 0 || b_ns == 0)
        return a_ns + b_ns;
    return a_ns < b_ns ? a_ns : b_ns;
}

void batch_append(struct batch *to, struct batch **take)
{
    struct batch *b = *take;
    struct waiter w = b->waiter;

    CHECK(to != b && to->ledger == b->ledger);
    *take = NULL;
    fit_parts(to, to->n_parts + b->n_parts);
    memcpy(to->parts + to->n_parts, b->parts, b->n_parts * sizeof(*b->parts));
    to->n_parts += b->n_parts;
    to->n_spans += b->n_spans;
    to->n_bytes += b->n_bytes;
    to->received_ns = older(to->received_ns, b->received_ns);
    b->n_parts = 0;
    release(b);
    if (w.fn)
        w.fn(w.ctx, &(struct answer_detail){.answer = ANSWER_OK});
}

struct batch *batch_split(struct batch *b, uint64_t n)
{
    struct batch *head = batch_empty(b->ledger);
    uint32_t whole = 0;
    uint64_t left = n;

    CHECK(n > 0 && n < b->n_spans);
    while (left >= b->parts[whole].n)
        left -= b->parts[whole++].n;
    uncount(b, whole + (left > 0));
    fit_parts(head, whole + (left > 0));
    memcpy(head->parts, b->parts, whole * sizeof(*b->parts));
    head->n_parts = whole;
    if (left > 0) {
        struct part *cut = &b->parts[whole];

        head->parts[head->n_parts++] =
            (struct part){payload_ref(cut->payload), cut->first, (uint32_t)left, cut->books};
        cut->first += (uint32_t)left;
        cut->n -= (uint32_t)left;
        b->n_bytes += part_bytes(cut);
        b->n_spans += cut->n;
    }
    b->n_parts -= whole;
    memmove(b->parts, b->parts + whole, b->n_parts * sizeof(*b->parts));
    head->received_ns = b->received_ns;
    head->info = request_info_ref(b->info);
    recount(head);
    return head;
}

struct batch *batch_share(const struct batch *b, struct ledger *l)
{
    struct batch *s = batch_empty(l);

    fit_parts(s, b->n_parts);
    for (uint32_t i = 0; i < b->n_parts; i++) {
        s->parts[i] = b->parts[i];
        s->parts[i].books = NULL;
        payload_ref(s->parts[i].payload);
    }
    s->n_parts = b->n_parts;
    s->n_spans = b->n_spans;
    s->n_bytes = b->n_bytes;
    s->received_ns = b->received_ns;
    s->info = request_info_ref(b->info);
    if (l)
        ledger_accept(l, s->n_spans);
    return s;
}

void batch_set_books(struct batch *b, struct ledger *books)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        CHECK(!b->parts[i].books);
        b->parts[i].books = books;
    }
    ledger_accept(books, b->n_spans);
}

void batch_safe(struct batch *b)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        struct part *p = &b->parts[i];
        struct ledger *books = p->books;

        if (LIKELY(!books || !books->until_safe))
            continue;
        p->books = NULL;
        ledger_end(books, p->n, FATE_STORED, DROP_NONE);
    }
}

/* ---- edits ---- */

struct payload *batch_edit(struct batch *b, uint32_t part)
{
    struct part *at = &b->parts[part];
    struct payload *own;

    CHECK(part < b->n_parts);
    if (at->first == 0 && at->n == at->payload->n_spans && !payload_is_shared(at->payload))
        return at->payload;
    own = payload_derive(at->payload, at->first, at->n);
    if (!own)
        return NULL;
    payload_unref(&at->payload);
    *at = (struct part){own, 0, own->n_spans, at->books};
    return own;
}

void batch_settle(struct batch *b, enum ledger_fate fate, enum drop_reason reason)
{
    uint32_t kept = 0;
    uint64_t gone = 0;

    for (uint32_t i = 0; i < b->n_parts; i++) {
        struct part at = b->parts[i];

        if (!payload_is_shared(at.payload)) {
            uint32_t n = payload_compact(at.payload);

            CHECK(n == 0 || (at.first == 0 && at.n - n == at.payload->n_spans));
            at.n -= n;
            gone += n;
            if (at.books)
                ledger_end(at.books, n, fate, reason);
        }
        if (at.n == 0)
            payload_unref(&at.payload);
        else
            b->parts[kept++] = at;
    }
    b->n_parts = kept;
    recount(b);
    if (b->ledger && gone > 0)
        ledger_end(b->ledger, gone, fate, reason);
}

/* ---- unloading ---- */

bool batch_unload(struct batch *b)
{
    if (b->n_parts == 0 || b->n_spans > UINT32_MAX)
        return false;
    for (uint32_t i = 1; i < b->n_parts; i++)
        if (b->parts[i].books != b->parts[0].books)
            return false;
    for (uint32_t i = 0; i < b->n_parts; i++)
        payload_unref(&b->parts[i].payload);
    b->n_parts = 1;
    b->parts[0] = (struct part){.n = (uint32_t)b->n_spans, .books = b->parts[0].books};
    return true;
}

void batch_load(struct batch *b, struct payload **p)
{
    CHECK(b->n_parts == 1 && !b->parts[0].payload && b->parts[0].n == (*p)->n_spans);
    b->parts[0].payload = *p;
    *p = NULL;
    recount(b);
}

struct batch *batch_new_unloaded(uint64_t n_spans, uint64_t n_bytes, struct ledger *l)
{
    struct batch *b = batch_empty(l);

    CHECK(n_spans > 0 && n_spans <= UINT32_MAX);
    b->parts[0] = (struct part){.n = (uint32_t)n_spans};
    b->n_parts = 1;
    b->n_spans = n_spans;
    b->n_bytes = n_bytes;
    if (l)
        ledger_accept(l, n_spans);
    return b;
}

/* ---- moving ---- */

void batch_detach(struct batch *b)
{
    CHECK(!b->waiter.fn && b->ledger);
    b->ledger->moved_out += b->n_spans;
    b->ledger->held -= (int64_t)b->n_spans;
    b->ledger = NULL;
}

void batch_attach(struct batch *b, struct ledger *l)
{
    CHECK(!b->ledger);
    l->moved_in += b->n_spans;
    l->held += (int64_t)b->n_spans;
    b->ledger = l;
}
