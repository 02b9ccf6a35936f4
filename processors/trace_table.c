/* SPDX-License-Identifier: Apache-2.0 */
/* The trace table: see trace_table.h. */
#include "processors/trace_table.h"

#include <stdlib.h>
#include <string.h>

#include "platform/hash.h"

enum { CHUNK_TRACES = 256, MIN_SLOTS = 1024 };

static size_t chunk_bytes(const struct trace_table *t)
{
    return sizeof(struct trace_chunk) + (size_t)CHUNK_TRACES * t->entry_bytes;
}

static uint32_t entry_bytes_for(uint32_t facts_bytes)
{
    return (uint32_t)((sizeof(struct trace) + facts_bytes + 7) & ~(size_t)7);
}

void trace_table_init(struct trace_table *t, struct budget *b, uint32_t facts_bytes)
{
    *t = (struct trace_table){
        .budget = b, .entry_bytes = entry_bytes_for(facts_bytes)};
}

uint64_t trace_table_bytes_for(uint64_t n_traces, uint32_t facts_bytes)
{
    uint64_t slots = MIN_SLOTS;

    while (slots / 4 * 3 < n_traces && slots < 1ull << 62)
        slots *= 2;
    return slots * sizeof(struct trace_slot) + n_traces * entry_bytes_for(facts_bytes);
}

static void open_add(struct trace_table *t, uint32_t c)
{
    struct trace_chunk *chunk = t->chunks[c];

    chunk->open_prev = 0;
    chunk->open_next = t->open;
    if (t->open)
        t->chunks[t->open - 1]->open_prev = c + 1;
    t->open = c + 1;
}

static void open_del(struct trace_table *t, uint32_t c)
{
    struct trace_chunk *chunk = t->chunks[c];

    if (chunk->open_prev)
        t->chunks[chunk->open_prev - 1]->open_next = chunk->open_next;
    else
        t->open = chunk->open_next;
    if (chunk->open_next)
        t->chunks[chunk->open_next - 1]->open_prev = chunk->open_prev;
}

static void chunk_release(struct trace_table *t, uint32_t c)
{
    free(t->chunks[c]);
    t->chunks[c] = NULL;
    budget_release(t->budget, MEM_TAIL, chunk_bytes(t));
    t->n_free -= CHUNK_TRACES;
}

void trace_table_fini(struct trace_table *t)
{
    for (uint32_t c = 0; c < t->n_chunks; c++)
        if (t->chunks[c])
            chunk_release(t, c);
    free(t->chunks);
    free(t->slots);
    budget_release(t->budget, MEM_TAIL, t->n_slots * sizeof(*t->slots));
    *t = (struct trace_table){.budget = t->budget, .entry_bytes = t->entry_bytes};
}

/* ---- entries ---- */

static struct trace *entry_of(const struct trace_table *t, struct trace_chunk *c, uint32_t i)
{
    return (struct trace *)(void *)(c->entries + (size_t)i * t->entry_bytes);
}

/* The index of a chunk that is not there, with room for it in the array. */
static uint32_t chunk_number(struct trace_table *t)
{
    for (uint32_t c = 0; c < t->n_chunks; c++)
        if (!t->chunks[c])
            return c;
    if (t->n_chunks == t->cap_chunks) {
        t->cap_chunks = t->cap_chunks ? t->cap_chunks * 2 : 16;
        t->chunks = mem_grow(t->chunks, t->cap_chunks * sizeof(struct trace_chunk *));
    }
    t->chunks[t->n_chunks] = NULL;
    return t->n_chunks++;
}

static bool charge(struct trace_table *t, size_t bytes, bool force)
{
    if (force)
        budget_force(t->budget, MEM_TAIL, bytes);
    return force || budget_charge(t->budget, MEM_TAIL, bytes);
}

static int chunk_new(struct trace_table *t, bool force)
{
    if (!charge(t, chunk_bytes(t), force))
        return -1;
    struct trace_chunk *c = mem_try(chunk_bytes(t));
    if (!c) {
        budget_release(t->budget, MEM_TAIL, chunk_bytes(t));
        return -1;
    }
    uint32_t n = chunk_number(t);
    *c = (struct trace_chunk){0};
    /* Index 0 means "none", so the first entry of the first chunk is never handed out. */
    for (uint32_t i = CHUNK_TRACES; i-- > (n == 0 ? 1 : 0);) {
        entry_of(t, c, i)->first = c->free_head;
        c->free_head = i + 1;
    }
    t->chunks[n] = c;
    open_add(t, n);
    t->n_free += CHUNK_TRACES;
    return 0;
}

static uint32_t entry_take(struct trace_table *t)
{
    CHECK(t->open);
    uint32_t n = t->open - 1;
    struct trace_chunk *c = t->chunks[n];
    uint32_t i = c->free_head - 1;
    struct trace *tr = entry_of(t, c, i);

    c->free_head = tr->first;
    c->n_used++;
    t->n_free--;
    if (!c->free_head)
        open_del(t, n);
    memset(tr, 0, t->entry_bytes);
    return n * CHUNK_TRACES + i;
}

static void entry_give(struct trace_table *t, uint32_t index)
{
    uint32_t n = index / CHUNK_TRACES;
    struct trace_chunk *c = t->chunks[n];
    uint32_t i = index % CHUNK_TRACES;

    if (!c->free_head)
        open_add(t, n);
    entry_of(t, c, i)->first = c->free_head;
    c->free_head = i + 1;
    t->n_free++;
    if (--c->n_used == 0 && t->n_free >= 3ull * CHUNK_TRACES) {
        open_del(t, n);
        chunk_release(t, n);
    }
}

static struct trace_chunk *chunk_refit(const struct trace_table *t, const struct trace_chunk *old,
                                       uint32_t old_entry_bytes, struct facts_carry carry)
{
    struct trace_chunk *c = mem_alloc(chunk_bytes(t));

    memcpy(c, old, offsetof(struct trace_chunk, entries));
    for (uint32_t i = 0; i < CHUNK_TRACES; i++) {
        const uint8_t *from = old->entries + (size_t)i * old_entry_bytes;
        uint8_t *to = c->entries + (size_t)i * t->entry_bytes;

        memcpy(to, from, sizeof(struct trace));
        memcpy(to + sizeof(struct trace) + carry.to, from + sizeof(struct trace) + carry.from, carry.bytes);
    }
    return c;
}

void trace_table_refit(struct trace_table *t, uint32_t facts_bytes, struct facts_carry carry)
{
    size_t bytes_before = chunk_bytes(t);
    uint32_t entry_before = t->entry_bytes;

    t->entry_bytes = entry_bytes_for(facts_bytes);
    for (uint32_t c = 0; c < t->n_chunks; c++) {
        struct trace_chunk *old = t->chunks[c];

        if (!old)
            continue;
        budget_force(t->budget, MEM_TAIL, chunk_bytes(t));
        t->chunks[c] = chunk_refit(t, old, entry_before, carry);
        free(old);
        budget_release(t->budget, MEM_TAIL, bytes_before);
    }
}

/* ---- slots ---- */

static void slot_put(struct trace_slot *slots, uint32_t mask, struct trace_slot s)
{
    uint32_t i = s.tag & mask;

    while (slots[i].index)
        i = (i + 1) & mask;
    slots[i] = s;
}

static int slots_grow(struct trace_table *t, bool force)
{
    uint32_t n = t->n_slots ? t->n_slots * 2 : MIN_SLOTS;
    size_t bytes = n * sizeof(*t->slots);

    if (n > 1u << 30 || !charge(t, bytes, force))
        return -1;
    struct trace_slot *slots = calloc(n, sizeof(*slots));
    if (!slots) {
        budget_release(t->budget, MEM_TAIL, bytes);
        return -1;
    }
    for (uint32_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].index)
            slot_put(slots, n - 1, t->slots[i]);
    free(t->slots);
    budget_release(t->budget, MEM_TAIL, t->n_slots * sizeof(*t->slots));
    t->slots = slots;
    t->n_slots = n;
    return 0;
}

static int reserve(struct trace_table *t, bool force)
{
    if (t->n_traces >= t->n_slots / 4 * 3 && slots_grow(t, force) != 0)
        return -1;
    return t->open ? 0 : chunk_new(t, force);
}

int trace_table_reserve(struct trace_table *t)
{
    return reserve(t, false);
}

int trace_table_force(struct trace_table *t)
{
    return reserve(t, true);
}

uint32_t trace_table_find(const struct trace_table *t, const uint8_t id[static 16], uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;

    if (!t->n_slots)
        return 0;
    for (uint32_t i = tag & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
        struct trace_slot s = t->slots[i];

        if (!s.index)
            return 0;
        if (s.tag == tag && memcmp(trace_at(t, s.index)->id, id, 16) == 0)
            return s.index;
    }
}

uint32_t trace_table_add(struct trace_table *t, const uint8_t id[static 16], uint64_t hash)
{
    uint32_t index = entry_take(t);

    memcpy(trace_at(t, index)->id, id, 16);
    slot_put(t->slots, t->n_slots - 1, (struct trace_slot){(uint32_t)hash, index});
    t->n_traces++;
    return index;
}

/* Closes the gap at i: whatever probes over it moves back. */
static void slot_close(struct trace_table *t, uint32_t i)
{
    uint32_t mask = t->n_slots - 1;

    for (uint32_t j = (i + 1) & mask; t->slots[j].index; j = (j + 1) & mask) {
        uint32_t home = t->slots[j].tag & mask;

        if (((j - home) & mask) >= ((j - i) & mask)) {
            t->slots[i] = t->slots[j];
            i = j;
        }
    }
    t->slots[i] = (struct trace_slot){0};
}

void trace_table_remove(struct trace_table *t, uint32_t index)
{
    uint32_t tag = (uint32_t)hash_u128(trace_at(t, index)->id);
    uint32_t i = tag & (t->n_slots - 1);

    while (t->slots[i].index != index) {
        CHECK(t->slots[i].index);
        i = (i + 1) & (t->n_slots - 1);
    }
    slot_close(t, i);
    t->n_traces--;
    entry_give(t, index);
}

void trace_table_prefetch(const struct trace_table *t, uint64_t hash)
{
    if (t->n_slots)
        __builtin_prefetch(&t->slots[(uint32_t)hash & (t->n_slots - 1)]);
}

void trace_table_prefetch_entry(const struct trace_table *t, uint64_t hash)
{
    uint32_t index = trace_table_peek(t, hash);

    if (index) {
        __builtin_prefetch(trace_at(t, index));
        __builtin_prefetch((const char *)trace_at(t, index) + 64);
    }
}

/* ---- lists ---- */

void trace_list_add(struct trace_table *t, struct trace_list *l, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    tr->older = l->newest;
    tr->newer = 0;
    if (l->newest)
        trace_at(t, l->newest)->newer = index;
    else
        l->oldest = index;
    l->newest = index;
    l->n++;
}

void trace_list_del(struct trace_table *t, struct trace_list *l, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    if (tr->older)
        trace_at(t, tr->older)->newer = tr->newer;
    else
        l->oldest = tr->newer;
    if (tr->newer)
        trace_at(t, tr->newer)->older = tr->older;
    else
        l->newest = tr->older;
    l->n--;
}

/* ---- rings ---- */

void trace_ring_add(struct trace_table *t, uint32_t *first, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    if (!*first) {
        tr->ring_prev = tr->ring_next = *first = index;
        return;
    }
    struct trace *head = trace_at(t, *first);
    tr->ring_next = *first;
    tr->ring_prev = head->ring_prev;
    trace_at(t, head->ring_prev)->ring_next = index;
    head->ring_prev = index;
}

void trace_ring_del(struct trace_table *t, uint32_t *first, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    if (tr->ring_next == index) {
        *first = 0;
        return;
    }
    trace_at(t, tr->ring_prev)->ring_next = tr->ring_next;
    trace_at(t, tr->ring_next)->ring_prev = tr->ring_prev;
    if (*first == index)
        *first = tr->ring_next;
}

void trace_ring_splice(struct trace_table *t, uint32_t *to, uint32_t *from)
{
    if (*to && *from) {
        struct trace *a = trace_at(t, *to), *b = trace_at(t, *from);
        uint32_t a_last = a->ring_prev, b_last = b->ring_prev;

        trace_at(t, a_last)->ring_next = *from;
        b->ring_prev = a_last;
        trace_at(t, b_last)->ring_next = *to;
        a->ring_prev = b_last;
    } else if (*from) {
        *to = *from;
    }
    *from = 0;
}
