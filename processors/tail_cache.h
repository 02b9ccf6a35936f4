/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions that are remembered after their trace is gone: trace ids, least recently used first out.
 * A key is the last 8 bytes of the id, as in the Collector: traces that share them share a decision.
 *
 * Memory: 24 to 32 bytes an id, charged as MEM_TAIL as the cache fills; when the budget refuses to
 * let it grow it stays at the size it has. Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_CACHE_H
#define TAILRACE_PROCESSORS_TAIL_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/mem.h"

struct cached_id;

struct tail_cache {
    struct budget *budget;
    uint32_t max;      /* ids; 0: no cache */
    struct cached_id *ids; /* [0] is never used */
    uint32_t *slots;   /* first id of each chain */
    uint32_t cap, n;   /* ids there is room for, ids there are; slots: cap rounded up */
    uint32_t n_slots;
    uint32_t newest, oldest;
};

void tail_cache_init(struct tail_cache *c, struct budget *b, uint64_t max_ids);
void tail_cache_fini(struct tail_cache *c);
uint64_t tail_cache_bytes_for(uint64_t max_ids);

/* Takes over what another one remembers, as far as there is room; that one is empty then. A note n
 * becomes notes[n]. */
void tail_cache_take(struct tail_cache *c, struct tail_cache *from, const uint32_t *notes);

/* Remembers the id, forgetting the oldest when full. False: there is no memory to. */
bool tail_cache_put(struct tail_cache *c, const uint8_t id[static 16]);
/* Is it remembered? Then it is the newest again. */
bool tail_cache_hit(struct tail_cache *c, const uint8_t id[static 16]);
/* The same for somebody who only asks: the order of use stays. *note is the note on it. */
bool tail_cache_knows(const struct tail_cache *c, const uint8_t id[static 16], uint32_t *note);
/* A note on the id that was put or hit last; 0 before it is set. */
void tail_cache_set_note(struct tail_cache *c, uint32_t note);
uint32_t tail_cache_note(const struct tail_cache *c);

#endif
