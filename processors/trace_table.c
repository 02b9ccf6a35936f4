/* SPDX-License-Identifier: Apache-2.0 */
/* The trace table: see trace_table.h. */
#include "processors/trace_table.h"

#include <stdlib.h>
#include <string.h>

#include "platform/hash.h"

enum { MIN_SLOTS = 1024, MOST_SLOTS = 1 << 30, SLOTS_PER_LINE = 8 };

/* Slots are at most this full. */
static uint32_t most_traces(uint32_t n_slots)
{
    return n_slots / 5 * 4;
}

static uint64_t slots_after(uint64_t n_slots)
{
    return n_slots ? (n_slots + n_slots / 4 + 7) & ~7ull : MIN_SLOTS;
}

void trace_table_init(struct trace_table *t, struct budget *b, uint32_t facts_bytes)
{
    *t = (struct trace_table){.budget = b};
    entry_pool_init(&t->traces, b, sizeof(struct trace));
    entry_pool_init(&t->more, b, sizeof(struct trace_more) + facts_bytes);
}

uint64_t trace_table_bytes_for(uint64_t n_traces, uint32_t facts_bytes)
{
    uint64_t slots = MIN_SLOTS;

    while (slots / 5 * 4 < n_traces && slots < 1ull << 62)
        slots = slots_after(slots);
    return slots * sizeof(struct trace_slot) +
           n_traces * (sizeof(struct trace) + sizeof(struct trace_more) + facts_bytes);
}

void trace_table_fini(struct trace_table *t)
{
    entry_pool_fini(&t->traces);
    entry_pool_fini(&t->more);
    free(t->slots);
    budget_release(t->budget, MEM_TAIL, t->n_slots * sizeof(*t->slots));
    t->slots = NULL;
    t->n_slots = t->n_traces = 0;
}

/* ---- the rest of entries ---- */

void trace_table_refit(struct trace_table *t, uint32_t facts_bytes, struct entry_carry carry)
{
    entry_pool_refit(&t->more, sizeof(struct trace_more) + facts_bytes, sizeof(struct trace_more), carry);
}

struct trace_more *trace_more_add(struct trace_table *t, struct trace *tr)
{
    entry_pool_ensure(&t->more);
    uint32_t last = tr->last_or_more;
    tr->last_or_more = entry_take(&t->more);
    tr->flags |= TRACE_MORE;
    trace_more(t, tr)->last = last;
    return trace_more(t, tr);
}

void trace_more_del(struct trace_table *t, struct trace *tr)
{
    if (!(tr->flags & TRACE_MORE))
        return;
    uint32_t index = tr->last_or_more;
    tr->last_or_more = trace_more(t, tr)->last;
    tr->flags &= (uint8_t)~TRACE_MORE;
    entry_give(&t->more, index);
}

/* ---- slots ---- */

static uint32_t home_of(uint32_t tag, uint32_t n_slots)
{
    return (uint32_t)((uint64_t)tag * n_slots >> 32);
}

static uint32_t behind(const struct trace_table *t, uint32_t i)
{
    return i + 1 == t->n_slots ? 0 : i + 1;
}

static void slot_put(struct trace_table *t, struct trace_slot s)
{
    uint32_t i = home_of(s.tag, t->n_slots);

    while (t->slots[i].index)
        i = behind(t, i);
    t->slots[i] = s;
}

static int slots_grow(struct trace_table *t, bool force)
{
    uint64_t n = slots_after(t->n_slots);
    size_t bytes = n * sizeof(*t->slots);
    struct trace_table old = *t;

    if (n > MOST_SLOTS || (!force && !budget_charge(t->budget, MEM_TAIL, bytes)))
        return -1;
    if (force)
        budget_force(t->budget, MEM_TAIL, bytes);
    struct trace_slot *slots = calloc(n, sizeof(*slots));
    if (!slots) {
        budget_release(t->budget, MEM_TAIL, bytes);
        return -1;
    }
    t->slots = slots;
    t->n_slots = (uint32_t)n;
    for (uint32_t i = 0; i < old.n_slots; i++)
        if (old.slots[i].index)
            slot_put(t, old.slots[i]);
    free(old.slots);
    budget_release(t->budget, MEM_TAIL, old.n_slots * sizeof(*old.slots));
    return 0;
}

static int reserve(struct trace_table *t, bool force)
{
    if (t->n_traces >= most_traces(t->n_slots) && slots_grow(t, force) != 0)
        return -1;
    if (entry_pool_reserve(&t->traces, force) != 0)
        return -1;
    return entry_pool_reserve(&t->more, force);
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
    for (uint32_t i = home_of(tag, t->n_slots);; i = behind(t, i)) {
        struct trace_slot s = t->slots[i];

        if (!s.index)
            return 0;
        if (s.tag == tag && memcmp(trace_at(t, s.index)->id, id, 16) == 0)
            return s.index;
    }
}

uint32_t trace_table_add(struct trace_table *t, const uint8_t id[static 16], uint64_t hash)
{
    uint32_t index = entry_take(&t->traces);

    memcpy(trace_at(t, index)->id, id, 16);
    slot_put(t, (struct trace_slot){(uint32_t)hash, index});
    t->n_traces++;
    return index;
}

static uint32_t distance(const struct trace_table *t, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + t->n_slots - from;
}

/* Closes the gap at i: whatever probes over it moves back. */
static void slot_close(struct trace_table *t, uint32_t i)
{
    for (uint32_t j = behind(t, i); t->slots[j].index; j = behind(t, j)) {
        uint32_t home = home_of(t->slots[j].tag, t->n_slots);

        if (distance(t, home, j) >= distance(t, i, j)) {
            t->slots[i] = t->slots[j];
            i = j;
        }
    }
    t->slots[i] = (struct trace_slot){0};
}

void trace_table_remove(struct trace_table *t, uint32_t index)
{
    struct trace *tr = trace_at(t, index);
    uint32_t i = home_of((uint32_t)hash_u128(tr->id), t->n_slots);

    while (t->slots[i].index != index) {
        CHECK(t->slots[i].index);
        i = behind(t, i);
    }
    slot_close(t, i);
    t->n_traces--;
    trace_more_del(t, tr);
    entry_give(&t->traces, index);
}

/* ---- fetching ahead ---- */

void trace_table_prefetch(const struct trace_table *t, uint64_t hash)
{
    if (t->n_slots)
        __builtin_prefetch(&t->slots[home_of((uint32_t)hash, t->n_slots)]);
}

uint32_t trace_table_peek(const struct trace_table *t, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;

    if (!t->n_slots)
        return 0;
    for (uint32_t n = 0, i = home_of(tag, t->n_slots); n < SLOTS_PER_LINE && t->slots[i].index; n++, i = behind(t, i))
        if (t->slots[i].tag == tag)
            return t->slots[i].index;
    return 0;
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
        tr->older = tr->newer = *first = index;
        return;
    }
    struct trace *head = trace_at(t, *first);
    tr->newer = *first;
    tr->older = head->older;
    trace_at(t, head->older)->newer = index;
    head->older = index;
}

void trace_ring_del(struct trace_table *t, uint32_t *first, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    if (tr->newer == index) {
        *first = 0;
        return;
    }
    trace_at(t, tr->older)->newer = tr->newer;
    trace_at(t, tr->newer)->older = tr->older;
    if (*first == index)
        *first = tr->newer;
}

void trace_ring_splice(struct trace_table *t, uint32_t *to, uint32_t *from)
{
    if (*to && *from) {
        struct trace *a = trace_at(t, *to), *b = trace_at(t, *from);
        uint32_t a_last = a->older, b_last = b->older;

        trace_at(t, a_last)->newer = *from;
        b->older = a_last;
        trace_at(t, b_last)->newer = *to;
        a->older = b_last;
    } else if (*from) {
        *to = *from;
    }
    *from = 0;
}
