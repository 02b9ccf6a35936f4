/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources and scopes of held spans: equal bytes are stored once, however many requests repeat
 * them. A scope belongs to a resource and keeps it alive; records keep scopes alive. What nobody
 * uses stays a while (the next request of the same service brings it again), oldest out first.
 *
 * With a resource stands what the policies' attribute matchers say about it: computed once.
 *
 * Memory: charged as MEM_TAIL. Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_INTERN_H
#define TAILRACE_PROCESSORS_TAIL_INTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "model/payload.h"
#include "platform/mem.h"

struct interned {
    uint64_t hash;
    uint32_t refs;
    uint32_t resource; /* of a scope: its resource; 0: this is a resource */
    uint32_t chain;    /* next with the same hash slot */
    uint32_t older, newer; /* among the unused */
    uint32_t body_len, url_len;
    /* the emitter's, while a batch is built */
    uint32_t emit_first, emit_last, emit_next;
    uint32_t size;    /* as tail_size.h counts it, if asked for */
    uint32_t service_at, service_len; /* resources: service.name in the body */
    uint64_t facts[]; /* resources: bits of the matchers; then body and schema URL bytes */
};

struct intern {
    struct budget *budget;
    struct interned **items; /* [0] unused */
    uint32_t n_items, cap_items;
    uint32_t *free_items;
    uint32_t n_free;
    uint32_t *slots;
    uint32_t n_slots, n_live;
    uint32_t oldest_idle, newest_idle, n_idle;
    uint64_t bytes, idle_bytes;
    uint32_t facts_words;
    bool sized;    /* note sizes */
    bool promised; /* what comes was promised room: the budget is not asked */
    void (*judge)(void *ctx, struct slice resource, uint64_t *facts);
    void *ctx;
};

void intern_init(struct intern *in, struct budget *b, uint32_t facts_words,
                 void (*judge)(void *ctx, struct slice resource, uint64_t *facts), void *ctx);
void intern_fini(struct intern *in);

/* The scope s of payload p with its resource, with a reference; 0: the budget refuses. */
uint32_t intern_scope(struct intern *in, const struct payload *p, uint32_t scope);
/* A scope like this one with another body, with a reference; the budget is not asked. 0: no memory. */
uint32_t intern_variant(struct intern *in, uint32_t scope, struct slice body);
void intern_unref(struct intern *in, uint32_t scope);

static inline struct interned *intern_at(const struct intern *in, uint32_t i)
{
    return in->items[i];
}
static inline void intern_ref(struct intern *in, uint32_t scope)
{
    in->items[scope]->refs++;
}
struct slice intern_service(const struct intern *in, uint32_t resource); /* service.name; may be empty */
struct slice intern_body(const struct intern *in, uint32_t i);
struct slice intern_url(const struct intern *in, uint32_t i);

/* Other matchers: everything is judged anew. Numbers stay; memory is charged without asking. */
void intern_rejudge(struct intern *in, uint32_t facts_words, bool sized,
                    void (*judge)(void *ctx, struct slice resource, uint64_t *facts), void *ctx);

/* Forgets everything unused. */
void intern_trim(struct intern *in);

#endif
