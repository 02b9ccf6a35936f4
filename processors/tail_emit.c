/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of kept spans: see tail_emit.h. */
#include "processors/tail_emit.h"

#include <stdlib.h>
#include <string.h>

#include "model/otlp_walk.h"
#include "model/wire.h"

void tail_emit_init(struct tail_emit *e, struct seg_log *l, struct intern *in, struct budget *b,
                    uint64_t max_bytes, void (*out)(void *ctx, struct payload **take), void *ctx)
{
    *e = (struct tail_emit){.log = l, .in = in, .budget = b, .max_bytes = max_bytes, .out = out, .ctx = ctx};
}

void tail_emit_fini(struct tail_emit *e)
{
    free(e->items);
    budget_release(e->budget, MEM_TAIL, e->cap_items * sizeof(*e->items));
    e->items = NULL;
    e->cap_items = 0;
    free(e->policies);
    budget_release(e->budget, MEM_TAIL, e->cap_policies * sizeof(*e->policies));
    e->policies = NULL;
    e->cap_policies = 0;
}

/* ---- adding ---- */

/* Bounded by EMIT_SPANS: 12 bytes a record. */
static void items_grow(struct tail_emit *e)
{
    uint32_t cap = e->cap_items ? e->cap_items * 2 : 256;

    budget_force(e->budget, MEM_TAIL, (cap - e->cap_items) * sizeof(*e->items));
    e->items = mem_grow(e->items, cap * sizeof(*e->items));
    e->cap_items = cap;
}

static void resource_add(struct tail_emit *e, uint32_t r)
{
    struct interned *x = intern_at(e->in, r);

    x->emit_next = 0;
    if (e->last_resource)
        intern_at(e->in, e->last_resource)->emit_next = r;
    else
        e->first_resource = r;
    e->last_resource = r;
    e->n_resources++;
    e->n_bytes += x->body_len + x->url_len;
}

static void scope_add(struct tail_emit *e, uint32_t s)
{
    struct interned *x = intern_at(e->in, s);
    struct interned *r = intern_at(e->in, x->resource);

    if (!r->emit_first)
        resource_add(e, x->resource);
    x->emit_next = 0;
    if (r->emit_first)
        intern_at(e->in, r->emit_last)->emit_next = s;
    else
        r->emit_first = s;
    r->emit_last = s;
    e->n_scopes++;
    e->n_bytes += x->body_len + x->url_len;
}

static void item_add(struct tail_emit *e, uint32_t scope, uint32_t ref, uint32_t policy)
{
    struct interned *x = intern_at(e->in, scope);

    if (e->n_items == e->cap_items)
        items_grow(e);
    if (!x->emit_first)
        scope_add(e, scope);
    e->items[e->n_items++] = (struct emit_item){.ref = ref, .policy = policy};
    if (x->emit_first)
        e->items[x->emit_last - 1].next = e->n_items;
    else
        x->emit_first = e->n_items;
    x->emit_last = e->n_items;
}

uint32_t tail_emit_add(struct tail_emit *e, uint32_t ref, uint32_t policy)
{
    const struct record *r = seg_at(e->log, ref);

    item_add(e, r->scope, ref, policy);
    for (;; r = seg_at(e->log, r->next)) {
        e->n_spans += r->n_spans;
        e->n_bytes += r->len;
        if (!r->more)
            return r->next;
    }
}

/* ---- building ---- */

struct builder {
    struct tail_emit *e;
    struct payload *p;
    uint8_t *at; /* in the payload's room */
};

static struct slice copy(struct builder *b, struct slice s)
{
    struct slice own = slice_of(b->at, s.len);

    if (s.len)
        memcpy(b->at, s.p, s.len);
    b->at += s.len;
    return own;
}

/* The spans from `from` to the end of what was copied. */
static void add_spans(struct builder *b, const uint8_t *from)
{
    while (from < b->at) {
        struct span s = {.rec = from};
        const uint8_t *end;
        uint32_t tag;
        const uint8_t *p = wire_u32(from, b->at, &tag);
        const uint8_t *body = p ? wire_body(p, b->at, &end) : NULL;

        CHECK(body && tag == WIRE_TAG(2, WIRE_LEN));
        CHECK(otlp_span_facts(slice_of(body, (size_t)(end - body)), &s) == 0);
        s.rec_len = (uint32_t)(end - from);
        s.hdr_len = (uint8_t)(body - from);
        payload_add_span(b->p, &s);
        from = end;
    }
}

/* There is room: policies_fit() saw to it. */
static void note_policies(struct builder *b, uint32_t policy)
{
    while (b->e->n_policies < b->p->n_spans)
        b->e->policies[b->e->n_policies++] = policy;
}

static void build_item(struct builder *b, const struct emit_item *item)
{
    const uint8_t *from = b->at;
    uint32_t ref = item->ref;

    for (;;) {
        const struct record *r = seg_at(b->e->log, ref);

        copy(b, slice_of(rec_bytes(r), r->len));
        if (!r->more)
            break;
        ref = r->next;
    }
    add_spans(b, from);
    if (b->e->wants_policies)
        note_policies(b, item->policy);
}

static void build_scope(struct builder *b, uint32_t s)
{
    struct tail_emit *e = b->e;

    payload_add_scope(b->p, copy(b, intern_body(e->in, s)), copy(b, intern_url(e->in, s)));
    for (uint32_t i = intern_at(e->in, s)->emit_first; i; i = e->items[i - 1].next)
        build_item(b, &e->items[i - 1]);
}

/* Bounded by EMIT_SPANS and the longest run: 4 bytes a span. */
static void policies_fit(struct tail_emit *e)
{
    e->n_policies = 0;
    if (!e->wants_policies || e->n_spans <= e->cap_policies)
        return;
    budget_force(e->budget, MEM_TAIL, (e->n_spans - e->cap_policies) * sizeof(*e->policies));
    e->policies = mem_grow(e->policies, e->n_spans * sizeof(*e->policies));
    e->cap_policies = e->n_spans;
}

static struct payload *build(struct tail_emit *e)
{
    policies_fit(e);
    struct payload *p = payload_build(e->budget, e->n_resources, e->n_scopes, (uint32_t)e->n_spans);
    uint8_t *room = p ? payload_room(p, e->n_bytes) : NULL;
    struct builder b = {e, p, room};

    if (!room) {
        if (p)
            payload_unref(&p);
        return NULL;
    }
    for (uint32_t r = e->first_resource; r; r = intern_at(e->in, r)->emit_next) {
        payload_add_resource(p, copy(&b, intern_body(e->in, r)), copy(&b, intern_url(e->in, r)));
        for (uint32_t s = intern_at(e->in, r)->emit_first; s; s = intern_at(e->in, s)->emit_next)
            build_scope(&b, s);
    }
    CHECK((size_t)(b.at - room) == e->n_bytes && p->n_spans == e->n_spans);
    return p;
}

/* ---- done ---- */

static void item_drop(struct tail_emit *e, uint32_t ref)
{
    bool more;

    do {
        const struct record *r = seg_at(e->log, ref);
        uint32_t scope = r->scope, next = r->next;

        more = r->more;
        seg_drop(e->log, ref);
        intern_unref(e->in, scope);
        ref = next;
    } while (more);
}

/* The marks go first: the last record of a scope may take the scope with it. */
static void clear(struct tail_emit *e)
{
    uint32_t next_resource, next_scope;

    for (uint32_t r = e->first_resource; r; r = next_resource) {
        struct interned *x = intern_at(e->in, r);

        for (uint32_t s = x->emit_first; s; s = next_scope) {
            struct interned *y = intern_at(e->in, s);

            next_scope = y->emit_next;
            y->emit_first = y->emit_last = y->emit_next = 0;
        }
        next_resource = x->emit_next;
        x->emit_first = x->emit_last = x->emit_next = 0;
    }
    for (uint32_t i = 0; i < e->n_items; i++)
        item_drop(e, e->items[i].ref);
    e->n_items = e->n_resources = e->n_scopes = 0;
    e->first_resource = e->last_resource = 0;
    e->n_spans = e->n_bytes = 0;
}

int tail_emit_flush(struct tail_emit *e)
{
    if (!e->n_items)
        return 0;
    struct payload *p = build(e);
    if (!p)
        return -1;
    clear(e);
    e->out(e->ctx, &p);
    return 0;
}

uint64_t tail_emit_discard(struct tail_emit *e)
{
    uint64_t n = e->n_spans;

    clear(e);
    return n;
}
