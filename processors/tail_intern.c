/* SPDX-License-Identifier: Apache-2.0 */
/* Interned resources and scopes: see tail_intern.h. */
#include "processors/tail_intern.h"

#include <stdlib.h>
#include <string.h>

#include "model/attr.h"
#include "platform/hash.h"
#include "processors/tail_size.h"

enum { MAX_IDLE = 1024, MAX_IDLE_BYTES = 1 << 20, FIRST_SLOTS = 256 };

void intern_init(struct intern *in, struct budget *b, uint32_t facts_words,
                 void (*judge)(void *ctx, struct slice resource, uint64_t *facts), void *ctx)
{
    *in = (struct intern){
        .budget = b, .n_items = 1, .facts_words = facts_words, .judge = judge, .ctx = ctx};
}

static uint32_t facts_words_of(const struct intern *in, const struct interned *x)
{
    return x->resource ? 0 : in->facts_words;
}

static size_t item_bytes(const struct intern *in, const struct interned *x)
{
    return sizeof(*x) + facts_words_of(in, x) * sizeof(uint64_t) + x->body_len + x->url_len;
}

/* What it costs: itself and its share of the tables. */
static size_t item_charge(const struct intern *in, const struct interned *x)
{
    return item_bytes(in, x) + 16;
}

static const uint8_t *item_data(const struct intern *in, const struct interned *x)
{
    return (const uint8_t *)(x->facts + facts_words_of(in, x));
}

struct slice intern_body(const struct intern *in, uint32_t i)
{
    return slice_of(item_data(in, in->items[i]), in->items[i]->body_len);
}

struct slice intern_service(const struct intern *in, uint32_t resource)
{
    const struct interned *x = in->items[resource];

    return slice_of(item_data(in, x) + x->service_at, x->service_len);
}

struct slice intern_url(const struct intern *in, uint32_t i)
{
    return slice_of(item_data(in, in->items[i]) + in->items[i]->body_len, in->items[i]->url_len);
}

/* ---- the unused ---- */

static struct interned *item_at(const struct intern *in, uint32_t i)
{
    struct interned *x = in->items[i];

    CHECK(x);
    return x;
}

static void idle_add(struct intern *in, uint32_t i)
{
    struct interned *x = in->items[i];

    x->older = in->newest_idle;
    x->newer = 0;
    if (in->newest_idle)
        item_at(in, in->newest_idle)->newer = i;
    else
        in->oldest_idle = i;
    in->newest_idle = i;
    in->n_idle++;
    in->idle_bytes += item_bytes(in, x);
}

static void idle_del(struct intern *in, uint32_t i)
{
    const struct interned *x = in->items[i];

    if (x->older)
        item_at(in, x->older)->newer = x->newer;
    else
        in->oldest_idle = x->newer;
    if (x->newer)
        item_at(in, x->newer)->older = x->older;
    else
        in->newest_idle = x->older;
    in->n_idle--;
    in->idle_bytes -= item_bytes(in, x);
}

static void item_free(struct intern *in, uint32_t i)
{
    struct interned *x = in->items[i];
    size_t bytes = item_charge(in, x);
    uint32_t *at = &in->slots[x->hash & (in->n_slots - 1)];

    while (*at != i)
        at = &in->items[*at]->chain;
    *at = x->chain;
    free(x);
    in->items[i] = NULL;
    in->free_items[in->n_free++] = i;
    in->n_live--;
    in->bytes -= bytes;
    budget_release(in->budget, MEM_TAIL, bytes);
}

static void item_ref(struct intern *in, uint32_t i)
{
    if (item_at(in, i)->refs++ == 0)
        idle_del(in, i);
}

static void forget_oldest(struct intern *in)
{
    uint32_t i = in->oldest_idle;

    CHECK(i && in->items[i]);
    uint32_t resource = in->items[i]->resource;

    idle_del(in, i);
    item_free(in, i);
    if (resource && --in->items[resource]->refs == 0)
        idle_add(in, resource);
}

void intern_trim(struct intern *in)
{
    while (in->oldest_idle)
        forget_oldest(in);
}

void intern_unref(struct intern *in, uint32_t i)
{
    if (--in->items[i]->refs != 0)
        return;
    idle_add(in, i);
    while (in->n_idle > MAX_IDLE || in->idle_bytes > MAX_IDLE_BYTES)
        forget_oldest(in);
}

void intern_fini(struct intern *in)
{
    for (uint32_t i = 1; i < in->n_items; i++)
        if (in->items[i]) {
            budget_release(in->budget, MEM_TAIL, item_charge(in, in->items[i]));
            free(in->items[i]);
        }
    free(in->items);
    free(in->free_items);
    free(in->slots);
    *in = (struct intern){.budget = in->budget, .n_items = 1};
}

/* ---- looking up ---- */

static uint64_t hash_of(uint32_t resource, struct slice body, struct slice url)
{
    uint64_t h = hash_bytes(body.p, body.len) ^ resource * 0x9e3779b97f4a7c15u;

    return url.len ? h ^ hash_bytes(url.p, url.len) * 3 : h;
}

static uint32_t find(const struct intern *in, uint64_t hash, uint32_t resource, struct slice body,
                     struct slice url)
{
    uint32_t i = in->n_slots ? in->slots[hash & (in->n_slots - 1)] : 0;

    for (; i; i = in->items[i]->chain) {
        const struct interned *x = in->items[i];

        if (x->hash == hash && x->resource == resource && slice_eq(intern_body(in, i), body) &&
            slice_eq(intern_url(in, i), url))
            return i;
    }
    return 0;
}

static void grow_slots(struct intern *in)
{
    uint32_t n = in->n_slots ? in->n_slots * 2 : FIRST_SLOTS;

    free(in->slots);
    in->slots = mem_alloc_array(n, sizeof(*in->slots));
    in->n_slots = n;
    for (uint32_t i = 1; i < in->n_items; i++)
        if (in->items[i]) {
            uint32_t *slot = &in->slots[in->items[i]->hash & (n - 1)];

            in->items[i]->chain = *slot;
            *slot = i;
        }
}

static uint32_t number_take(struct intern *in)
{
    if (in->n_free)
        return in->free_items[--in->n_free];
    if (in->n_items >= in->cap_items) {
        in->cap_items = in->cap_items ? in->cap_items * 2 : FIRST_SLOTS;
        in->items = mem_grow(in->items, in->cap_items * sizeof(struct interned *));
        in->free_items = mem_grow(in->free_items, in->cap_items * sizeof(*in->free_items));
        in->items[0] = NULL;
    }
    return in->n_items++;
}

static struct interned *item_alloc(struct intern *in, const struct interned *shape)
{
    size_t bytes = item_charge(in, shape);

    while (!budget_charge(in->budget, MEM_TAIL, bytes)) {
        if (in->oldest_idle) {
            forget_oldest(in);
            continue;
        }
        if (!in->promised)
            return NULL;
        budget_force(in->budget, MEM_TAIL, bytes);
        break;
    }
    struct interned *x = mem_try(item_bytes(in, shape));
    if (!x) {
        budget_release(in->budget, MEM_TAIL, bytes);
        return NULL;
    }
    *x = *shape;
    in->bytes += bytes;
    return x;
}

/* A new item with one reference. The caller holds its resource. */
static uint32_t add(struct intern *in, uint64_t hash, uint32_t resource, struct slice body,
                    struct slice url)
{
    struct interned shape = {.hash = hash, .refs = 1, .resource = resource,
                             .body_len = (uint32_t)body.len, .url_len = (uint32_t)url.len};

    if (in->sized)
        shape.size = (uint32_t)(resource ? tail_size_scope(body) : tail_size_resource(body));
    struct interned *x = item_alloc(in, &shape);

    if (!x)
        return 0;
    if (++in->n_live > in->n_slots)
        grow_slots(in);
    uint32_t i = number_take(in);
    in->items[i] = x;
    uint8_t *data = (uint8_t *)(x->facts + facts_words_of(in, x));
    if (body.len)
        memcpy(data, body.p, body.len);
    if (url.len)
        memcpy(data + body.len, url.p, url.len);
    x->chain = in->slots[hash & (in->n_slots - 1)];
    in->slots[hash & (in->n_slots - 1)] = i;
    return i;
}

static void note_service(struct intern *in, uint32_t i)
{
    struct slice body = intern_body(in, i);
    struct attr a;

    if (!attr_find(body, RESOURCE_ATTRIBUTES, slice_str("service.name"), &a))
        return;
    struct any v = any_parse(a.value);
    if (v.type != ANY_STR || !v.bytes.len)
        return;
    in->items[i]->service_at = (uint32_t)(v.bytes.p - body.p);
    in->items[i]->service_len = (uint32_t)v.bytes.len;
}

/* With a reference; 0: refused. */
static uint32_t intern_resource(struct intern *in, const struct resource *r)
{
    uint64_t hash = hash_of(0, r->resource, r->schema_url);
    uint32_t i = find(in, hash, 0, r->resource, r->schema_url);

    if (i) {
        item_ref(in, i);
        return i;
    }
    i = add(in, hash, 0, r->resource, r->schema_url);
    if (i)
        note_service(in, i);
    if (i && in->facts_words) {
        memset(in->items[i]->facts, 0, in->facts_words * sizeof(uint64_t));
        in->judge(in->ctx, intern_body(in, i), in->items[i]->facts);
    }
    return i;
}

uint32_t intern_scope(struct intern *in, const struct payload *p, uint32_t scope)
{
    const struct scope *s = &p->scopes[scope];
    uint32_t resource = intern_resource(in, &p->resources[s->resource]);

    if (!resource)
        return 0;
    uint64_t hash = hash_of(resource, s->scope, s->schema_url);
    uint32_t i = find(in, hash, resource, s->scope, s->schema_url);
    if (i) {
        item_ref(in, i);
        intern_unref(in, resource); /* the scope holds it already */
        return i;
    }
    i = add(in, hash, resource, s->scope, s->schema_url);
    if (!i)
        intern_unref(in, resource);
    return i;
}

uint32_t intern_variant(struct intern *in, uint32_t scope, struct slice body)
{
    uint32_t resource = in->items[scope]->resource;
    struct slice url = intern_url(in, scope);
    uint64_t hash = hash_of(resource, body, url);
    uint32_t i = find(in, hash, resource, body, url);
    bool promised = in->promised;

    if (i) {
        item_ref(in, i);
        return i;
    }
    in->promised = true;
    i = add(in, hash, resource, body, url);
    in->promised = promised;
    if (i)
        item_ref(in, resource);
    return i;
}

/* ---- other matchers ---- */

static void item_rejudge(struct intern *in, const struct intern *before, uint32_t i)
{
    struct interned *old = in->items[i], *x = mem_alloc(item_bytes(in, old));

    memcpy(x, old, sizeof(*x));
    memcpy(x->facts + facts_words_of(in, old), item_data(before, old), (size_t)old->body_len + old->url_len);
    in->items[i] = x;
    if (facts_words_of(in, x))
        in->judge(in->ctx, intern_body(in, i), x->facts);
    if (in->sized)
        x->size = (uint32_t)(x->resource ? tail_size_scope(intern_body(in, i)) : tail_size_resource(intern_body(in, i)));
    budget_force(in->budget, MEM_TAIL, item_charge(in, x));
    budget_release(in->budget, MEM_TAIL, item_charge(before, old));
    in->bytes += item_charge(in, x);
    in->bytes -= item_charge(before, old);
    free(old);
}

void intern_rejudge(struct intern *in, uint32_t facts_words, bool sized,
                    void (*judge)(void *ctx, struct slice resource, uint64_t *facts), void *ctx)
{
    struct intern before;

    intern_trim(in); /* what nobody uses is not worth it */
    before = *in;
    in->facts_words = facts_words;
    in->sized = sized;
    in->judge = judge;
    in->ctx = ctx;
    for (uint32_t i = 1; i < in->n_items; i++)
        if (in->items[i])
            item_rejudge(in, &before, i);
}
