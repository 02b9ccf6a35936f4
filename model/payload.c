/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload: who owns what.
 *
 *   block    one allocation: struct payload, its private half, and tables for one resource and two
 *            scopes, which is what most requests have
 *   tables   grow out of the block when there is more; spans always have their own
 *   room     a list of chunks for rewritten bytes; byte-aligned, so that neighbouring rewritten
 *            spans leave as one iovec
 *   held     references to the payloads whose bytes our slices point into
 *
 * Charges: the body as MEM_BODY (the receiver's charge, taken over), all else as MEM_INDEX before it
 * is allocated. The block is charged by force, with an allowance for the batch around it: its size
 * is ours, not the peer's, and a receiver that has the body must be able to hand it on.
 *
 * Threads: see payload.h. Order: references, tables, room, building, deriving, edits.
 */
#include "model/payload.h"

#include <stdlib.h>
#include <string.h>

#include "model/batch.h"
#include "model/payload_priv.h"

enum {
    BLOCK_RESOURCES = 1,
    BLOCK_SCOPES = 2,
    BATCH_ALLOWANCE_BYTES = sizeof(struct batch) + 2 * sizeof(struct part),
    ROOM_FIRST_BYTES = 512, /* one edited span of a small request must not cost kilobytes */
    ROOM_MOST_BYTES = 256 * 1024, /* chunks stop doubling here */
    HELD_LOOK_BACK = 4,
};

struct block {
    struct payload payload;
    struct payload_priv priv;
    struct resource resources[BLOCK_RESOURCES];
    struct scope scopes[BLOCK_SCOPES];
};

static struct block *block_of(struct payload *p)
{
    return CONTAINER_OF(p, struct block, payload);
}

static bool charge_index(struct payload_priv *priv, size_t bytes)
{
    if (priv->budget && !budget_charge(priv->budget, MEM_INDEX, bytes))
        return false;
    priv->index_charged += bytes;
    return true;
}

static void release_index(struct payload_priv *priv, size_t bytes)
{
    CHECK(priv->index_charged >= bytes);
    if (priv->budget)
        budget_release(priv->budget, MEM_INDEX, bytes);
    priv->index_charged -= bytes;
}

static struct payload *payload_alloc(struct budget *b)
{
    struct block *block = mem_alloc(sizeof(*block));
    struct payload *p = &block->payload;

    p->priv = &block->priv;
    p->resources = block->resources;
    p->scopes = block->scopes;
    atomic_init(&p->priv->refs, 1);
    p->priv->budget = b;
    p->priv->cap_resources = BLOCK_RESOURCES;
    p->priv->cap_scopes = BLOCK_SCOPES;
    p->priv->index_charged = sizeof(*block) + BATCH_ALLOWANCE_BYTES;
    if (b)
        budget_force(b, MEM_INDEX, p->priv->index_charged);
    return p;
}

/* ---- references ---- */

struct payload *payload_new(struct budget *b, uint8_t **bytes, size_t len, size_t body_charged)
{
    struct payload *p = payload_new_ext(b, *bytes, len, body_charged, NULL, NULL);

    *bytes = NULL;
    return p;
}

struct payload *payload_new_ext(struct budget *b, const uint8_t *bytes, size_t len,
                                size_t body_charged, void (*release)(void *ctx, uint8_t *bytes),
                                void *ctx)
{
    struct payload *p = payload_alloc(b);

    CHECK(len <= UINT32_MAX);
    p->bytes = bytes;
    p->len = (uint32_t)len;
    p->priv->body_charged = body_charged;
    p->priv->release = release;
    p->priv->release_ctx = ctx;
    return p;
}

struct payload *payload_ref(struct payload *p)
{
    uint32_t before = atomic_fetch_add_explicit(&p->priv->refs, 1, memory_order_relaxed);

    CHECK(before > 0 && before < UINT32_MAX);
    return p;
}

static void free_bytes(struct payload *p)
{
    struct payload_priv *priv = p->priv;

    if (priv->release)
        priv->release(priv->release_ctx, (uint8_t *)(uintptr_t)p->bytes);
    else
        free((void *)(uintptr_t)p->bytes);
    if (priv->budget && priv->body_charged)
        budget_release(priv->budget, MEM_BODY, priv->body_charged);
}

static void payload_destroy(struct payload *p)
{
    struct block *block = block_of(p);
    struct payload_priv *priv = p->priv;

    free_bytes(p);
    while (priv->room) {
        struct room_chunk *c = priv->room;

        priv->room = c->older;
        free(c);
    }
    for (uint32_t i = 0; i < priv->n_held; i++)
        payload_unref(&priv->held[i]);
    free(priv->held);
    free(p->spans);
    if (p->scopes != block->scopes)
        free(p->scopes);
    if (p->resources != block->resources)
        free(p->resources);
    release_index(priv, priv->index_charged);
    free(block);
}

void payload_unref(struct payload **pp)
{
    struct payload *p = *pp;

    *pp = NULL;
    if (!p)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&p->priv->refs, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1)
        payload_destroy(p);
}

bool payload_is_shared(const struct payload *p)
{
    return atomic_load_explicit(&p->priv->refs, memory_order_acquire) > 1;
}

size_t payload_charged_bytes(const struct payload *p)
{
    return p->priv->index_charged + p->priv->body_charged;
}

/* ---- tables ---- */

/* A table with room for `want` entries in place of `old`, which was `own` when it is in the block. */
static void *table_resize(struct payload_priv *priv, void *old, const void *own, size_t cap,
                          size_t used, size_t want, size_t entry_bytes)
{
    void *table;

    if (!charge_index(priv, want * entry_bytes))
        return NULL;
    table = mem_try(want * entry_bytes);
    if (!table) {
        release_index(priv, want * entry_bytes);
        return NULL;
    }
    if (used)
        memcpy(table, old, used * entry_bytes);
    if (old && old != own) {
        free(old);
        release_index(priv, cap * entry_bytes);
    }
    return table;
}

bool payload_fit_resources(struct payload *p, uint32_t n)
{
    struct payload_priv *priv = p->priv;
    struct resource *t;

    if (LIKELY(n <= priv->cap_resources))
        return true;
    t = table_resize(priv, p->resources, block_of(p)->resources, priv->cap_resources,
                     p->n_resources, n, sizeof(*t));
    if (!t)
        return false;
    p->resources = t;
    priv->cap_resources = n;
    return true;
}

bool payload_fit_scopes(struct payload *p, uint32_t n)
{
    struct payload_priv *priv = p->priv;
    struct scope *t;

    if (LIKELY(n <= priv->cap_scopes))
        return true;
    t = table_resize(priv, p->scopes, block_of(p)->scopes, priv->cap_scopes, p->n_scopes, n,
                     sizeof(*t));
    if (!t)
        return false;
    p->scopes = t;
    priv->cap_scopes = n;
    return true;
}

bool payload_fit_spans(struct payload *p, uint32_t n)
{
    struct payload_priv *priv = p->priv;
    struct span *t;

    if (LIKELY(n <= priv->cap_spans))
        return true;
    t = table_resize(priv, p->spans, NULL, priv->cap_spans, p->n_spans, n, sizeof(*t));
    if (!t)
        return false;
    p->spans = t;
    priv->cap_spans = n;
    return true;
}

/* The new size of a table on the heap, or of 0 when trimming is not worth it. */
static uint32_t trimmed(uint32_t cap, uint32_t used)
{
    return cap - used > used / 8 + 4 ? (used ? used : 1) : 0;
}

static void *table_trim(struct payload_priv *priv, void *table, uint32_t *cap, uint32_t used,
                        size_t entry_bytes)
{
    uint32_t to = trimmed(*cap, used);
    void *t = to ? realloc(table, to * entry_bytes) : NULL;

    if (!t)
        return table;
    release_index(priv, (size_t)(*cap - to) * entry_bytes);
    *cap = to;
    return t;
}

void payload_trim_tables(struct payload *p)
{
    struct payload_priv *priv = p->priv;

    if (p->spans)
        p->spans = table_trim(priv, p->spans, &priv->cap_spans, p->n_spans, sizeof(*p->spans));
    if (p->scopes != block_of(p)->scopes)
        p->scopes =
            table_trim(priv, p->scopes, &priv->cap_scopes, p->n_scopes, sizeof(*p->scopes));
    if (p->resources != block_of(p)->resources)
        p->resources = table_trim(priv, p->resources, &priv->cap_resources, p->n_resources,
                                  sizeof(*p->resources));
}

/* ---- room ---- */

static struct room_chunk *room_chunk_new(struct payload_priv *priv, size_t len)
{
    size_t cap = priv->room ? priv->room->cap * 2 : ROOM_FIRST_BYTES;
    struct room_chunk *c;

    if (cap > ROOM_MOST_BYTES)
        cap = ROOM_MOST_BYTES;
    if (cap < len)
        cap = len;
    if (!charge_index(priv, sizeof(*c) + cap))
        return NULL;
    c = mem_try_whole(sizeof(*c) + cap);
    if (!c) {
        release_index(priv, sizeof(*c) + cap);
        return NULL;
    }
    c->older = priv->room;
    c->cap = cap;
    c->used = 0;
    priv->room = c;
    return c;
}

uint8_t *payload_room(struct payload *p, size_t len)
{
    struct room_chunk *c = p->priv->room;
    uint8_t *at;

    CHECK(!payload_is_shared(p));
    if (!c || c->cap - c->used < len) {
        c = room_chunk_new(p->priv, len);
        if (!c)
            return NULL;
    }
    at = c->bytes + c->used;
    c->used += len;
    return at;
}

void payload_room_trim(struct payload *p, const uint8_t *room, size_t used)
{
    struct room_chunk *c = p->priv->room;

    CHECK(c && room >= c->bytes && room + used <= c->bytes + c->used);
    c->used = (size_t)(room - c->bytes) + used;
}

static bool held_lately(const struct payload_priv *priv, const struct payload *other)
{
    uint32_t look = priv->n_held < HELD_LOOK_BACK ? priv->n_held : HELD_LOOK_BACK;

    for (uint32_t i = 1; i <= look; i++)
        if (priv->held[priv->n_held - i] == other)
            return true;
    return false;
}

void payload_hold(struct payload *p, struct payload *other)
{
    struct payload_priv *priv = p->priv;

    CHECK(p != other && !payload_is_shared(p));
    if (held_lately(priv, other))
        return;
    if (priv->n_held == priv->cap_held) {
        uint32_t cap = priv->cap_held ? priv->cap_held * 2 : 2;
        size_t more = (cap - priv->cap_held) * sizeof(struct payload *);

        /* Eight bytes for a payload of hundreds: nothing that a refusal would help. */
        if (priv->budget)
            budget_force(priv->budget, MEM_INDEX, more);
        priv->index_charged += more;
        priv->held = mem_grow(priv->held, cap * sizeof(struct payload *));
        priv->cap_held = cap;
    }
    priv->held[priv->n_held++] = payload_ref(other);
}

/* ---- building ---- */

static bool fit_all(struct payload *p, uint32_t resources, uint32_t scopes, uint32_t spans)
{
    return payload_fit_resources(p, resources) && payload_fit_scopes(p, scopes) &&
           payload_fit_spans(p, spans);
}

struct payload *payload_build(struct budget *b, uint32_t cap_resources, uint32_t cap_scopes,
                              uint32_t cap_spans)
{
    struct payload *p = payload_alloc(b);

    if (!fit_all(p, cap_resources, cap_scopes, cap_spans))
        payload_unref(&p);
    return p;
}

uint32_t payload_add_resource(struct payload *p, struct slice resource_body,
                              struct slice schema_url)
{
    CHECK(p->n_resources < p->priv->cap_resources);
    p->resources[p->n_resources] = (struct resource){
        .first_scope = p->n_scopes,
        .resource = resource_body,
        .schema_url = schema_url,
        .has_resource = true,
    };
    return p->n_resources++;
}

uint32_t payload_add_scope(struct payload *p, struct slice scope_body, struct slice schema_url)
{
    CHECK(p->n_scopes < p->priv->cap_scopes && p->n_resources > 0);
    p->scopes[p->n_scopes] = (struct scope){
        .resource = p->n_resources - 1,
        .first_span = p->n_spans,
        .scope = scope_body,
        .schema_url = schema_url,
        .has_scope = true,
    };
    p->resources[p->n_resources - 1].n_scopes++;
    return p->n_scopes++;
}

void payload_add_span(struct payload *p, const struct span *s)
{
    CHECK(p->n_spans < p->priv->cap_spans && p->n_scopes > 0);
    p->spans[p->n_spans] = *s;
    p->spans[p->n_spans].scope = p->n_scopes - 1;
    p->scopes[p->n_scopes - 1].n_spans++;
    p->n_spans++;
}

/* ---- deriving ---- */

static void derive_spans(struct payload *p, const struct payload *src, uint32_t first, uint32_t n,
                         uint32_t first_scope)
{
    memcpy(p->spans, src->spans + first, n * sizeof(*p->spans));
    p->n_spans = n;
    for (uint32_t i = 0; i < n; i++)
        p->spans[i].scope -= first_scope;
}

/* Cuts the copied scopes to the spans we have. */
static void derive_scopes(struct payload *p, const struct payload *src, uint32_t first,
                          uint32_t first_scope, uint32_t first_resource)
{
    uint32_t end = first + p->n_spans;

    for (uint32_t i = 0; i < p->n_scopes; i++) {
        struct scope *s = &p->scopes[i];
        uint32_t from, to;

        *s = src->scopes[first_scope + i];
        from = s->first_span < first ? first : s->first_span;
        to = s->first_span + s->n_spans > end ? end : s->first_span + s->n_spans;
        s->intact = s->intact && to - from == s->n_spans;
        s->first_span = from - first;
        s->n_spans = to - from;
        s->resource -= first_resource;
    }
}

static void derive_resources(struct payload *p, const struct payload *src, uint32_t first_scope,
                             uint32_t first_resource)
{
    uint32_t end = first_scope + p->n_scopes;

    for (uint32_t i = 0; i < p->n_resources; i++) {
        struct resource *r = &p->resources[i];
        uint32_t from, to;

        *r = src->resources[first_resource + i];
        from = r->first_scope < first_scope ? first_scope : r->first_scope;
        to = r->first_scope + r->n_scopes > end ? end : r->first_scope + r->n_scopes;
        r->intact = r->intact && to - from == r->n_scopes;
        r->first_scope = from - first_scope;
        r->n_scopes = to - from;
        for (uint32_t k = r->first_scope; r->intact && k < r->first_scope + r->n_scopes; k++)
            r->intact = p->scopes[k].intact;
    }
}

struct payload *payload_derive(struct payload *src, uint32_t first, uint32_t n)
{
    struct payload *p = payload_alloc(src->priv->budget);
    uint32_t s0, s1, r0, r1;

    CHECK(n > 0 && first < src->n_spans && n <= src->n_spans - first);
    s0 = src->spans[first].scope;
    s1 = src->spans[first + n - 1].scope;
    r0 = src->scopes[s0].resource;
    r1 = src->scopes[s1].resource;
    if (!fit_all(p, r1 - r0 + 1, s1 - s0 + 1, n)) {
        payload_unref(&p);
        return NULL;
    }
    derive_spans(p, src, first, n, s0);
    p->n_scopes = s1 - s0 + 1;
    derive_scopes(p, src, first, s0, r0);
    p->n_resources = r1 - r0 + 1;
    derive_resources(p, src, s0, r0);
    for (uint32_t i = 0; src->priv->n_dropped && i < n; i++)
        p->priv->n_dropped += (p->spans[i].flags & SPAN_DROPPED) != 0;
    payload_hold(p, src);
    return p;
}

/* ---- edits ---- */

static void break_resource(struct payload *p, uint32_t resource)
{
    CHECK(!payload_is_shared(p));
    p->resources[resource].intact = false;
    p->intact = false;
}

static void break_scope(struct payload *p, uint32_t scope)
{
    p->scopes[scope].intact = false;
    break_resource(p, p->scopes[scope].resource);
}

void payload_set_span(struct payload *p, uint32_t span, const uint8_t *rec, uint32_t rec_len,
                      uint8_t hdr_len)
{
    struct span *s = &p->spans[span];

    CHECK(span < p->n_spans && hdr_len <= rec_len);
    break_scope(p, s->scope);
    s->rec = rec;
    s->rec_len = rec_len;
    s->hdr_len = hdr_len;
}

void payload_set_scope(struct payload *p, uint32_t scope, struct slice scope_body)
{
    CHECK(scope < p->n_scopes);
    break_scope(p, scope);
    p->scopes[scope].scope = scope_body;
    p->scopes[scope].has_scope = true;
}

void payload_set_resource(struct payload *p, uint32_t resource, struct slice resource_body)
{
    CHECK(resource < p->n_resources);
    break_resource(p, resource);
    p->resources[resource].resource = resource_body;
    p->resources[resource].has_resource = true;
}

void payload_set_scope_schema(struct payload *p, uint32_t scope, struct slice schema_url)
{
    CHECK(scope < p->n_scopes);
    break_scope(p, scope);
    p->scopes[scope].schema_url = schema_url;
}

void payload_set_resource_schema(struct payload *p, uint32_t resource, struct slice schema_url)
{
    CHECK(resource < p->n_resources);
    break_resource(p, resource);
    p->resources[resource].schema_url = schema_url;
}

void payload_drop_span(struct payload *p, uint32_t span)
{
    struct span *s = &p->spans[span];

    CHECK(span < p->n_spans);
    break_scope(p, s->scope);
    if (!(s->flags & SPAN_DROPPED))
        p->priv->n_dropped++;
    s->flags |= SPAN_DROPPED;
}

/* Moves what is left of one scope's spans to the end of the table so far. */
static void compact_scope(struct payload *p, struct scope *s, uint32_t n_scope, uint32_t *n_spans)
{
    uint32_t first = *n_spans;

    for (uint32_t i = s->first_span; i < s->first_span + s->n_spans; i++) {
        if (p->spans[i].flags & SPAN_DROPPED)
            continue;
        if (*n_spans != i)
            p->spans[*n_spans] = p->spans[i];
        p->spans[*n_spans].scope = n_scope;
        ++*n_spans;
    }
    s->first_span = first;
    s->n_spans = *n_spans - first;
}

static void compact_resource(struct payload *p, struct resource *r, uint32_t n_resource,
                             uint32_t *n_scopes, uint32_t *n_spans)
{
    uint32_t first = *n_scopes;

    for (uint32_t i = r->first_scope; i < r->first_scope + r->n_scopes; i++) {
        struct scope s = p->scopes[i];

        compact_scope(p, &s, *n_scopes, n_spans);
        if (s.n_spans == 0)
            continue;
        s.resource = n_resource;
        p->scopes[(*n_scopes)++] = s;
    }
    r->first_scope = first;
    r->n_scopes = *n_scopes - first;
}

uint32_t payload_compact(struct payload *p)
{
    uint32_t n_resources = 0, n_scopes = 0, n_spans = 0, gone;

    CHECK(!payload_is_shared(p));
    if (p->priv->n_dropped == 0)
        return 0;
    for (uint32_t i = 0; i < p->n_resources; i++) {
        struct resource r = p->resources[i];

        compact_resource(p, &r, n_resources, &n_scopes, &n_spans);
        if (r.n_scopes > 0)
            p->resources[n_resources++] = r;
    }
    gone = p->n_spans - n_spans;
    CHECK(gone == p->priv->n_dropped);
    p->n_resources = n_resources;
    p->n_scopes = n_scopes;
    p->n_spans = n_spans;
    p->priv->n_dropped = 0;
    return gone;
}
