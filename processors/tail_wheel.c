/* SPDX-License-Identifier: Apache-2.0 */
/* The timer wheel: see tail_wheel.h. */
#include "processors/tail_wheel.h"

#include <stdlib.h>

#include "platform/clock.h"

enum { MAX_SLOTS = 4096, MAX_TICKS = 1 << 30, MOST_MISSED = 4096 };

static uint32_t whole_ticks(int64_t ns, uint32_t least)
{
    int64_t s = ns / (int64_t)NS_PER_SEC;

    if (s < (int64_t)least)
        return least;
    return s > MAX_TICKS ? MAX_TICKS : (uint32_t)s;
}

static uint32_t slots_for(uint32_t wait_ticks)
{
    uint32_t n = 4;

    while (n < wait_ticks + 2 && n < MAX_SLOTS)
        n *= 2;
    return n;
}

uint64_t tail_wheel_bytes_for(int64_t wait_ns)
{
    return slots_for(whole_ticks(wait_ns, 1)) * sizeof(struct wheel_slot);
}

void tail_wheel_init(struct tail_wheel *w, int64_t wait_ns, int64_t after_root_ns)
{
    *w = (struct tail_wheel){.wait_ticks = whole_ticks(wait_ns, 1),
                             .root_ticks = whole_ticks(after_root_ns, 0),
                             .after_root = after_root_ns > 0};
    w->n_slots = slots_for(w->wait_ticks);
    w->slots = mem_alloc_array(w->n_slots, sizeof(*w->slots));
}

void tail_wheel_fini(struct tail_wheel *w)
{
    free(w->slots);
    *w = (struct tail_wheel){0};
}

/* Ticks are compared by distance: the count may wrap. */
static bool is_due(const struct tail_wheel *w, const struct trace *tr)
{
    return (int32_t)(tr->at_tick - w->now) <= 0;
}

static struct wheel_slot *slot_of(struct tail_wheel *w, const struct trace *tr)
{
    return is_due(w, tr) ? &w->due : &w->slots[tr->at_tick & (w->n_slots - 1)];
}

static void put(struct tail_wheel *w, struct trace_table *t, uint32_t index)
{
    struct wheel_slot *slot = slot_of(w, trace_at(t, index));

    trace_ring_add(t, &slot->ring, index);
    slot->n++;
    w->n++;
    if ((int32_t)(trace_at(t, index)->at_tick - w->none_before) < 0)
        w->none_before = trace_at(t, index)->at_tick;
}

/* All of a slot, on their way to others. */
static uint32_t take_ring(struct tail_wheel *w, struct wheel_slot *slot)
{
    uint32_t ring = slot->ring;

    w->n -= slot->n;
    *slot = (struct wheel_slot){0};
    return ring;
}

/* The i-th slot from now. */
static struct wheel_slot *slot_in(const struct tail_wheel *w, uint32_t i)
{
    return &w->slots[(w->now + i) & (w->n_slots - 1)];
}

static void splice(struct trace_table *t, struct wheel_slot *to, struct wheel_slot *from)
{
    trace_ring_splice(t, &to->ring, &from->ring);
    to->n += from->n;
    from->n = 0;
}

void tail_wheel_add(struct tail_wheel *w, struct trace_table *t, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    tr->born_tick = w->now - w->age;
    tr->at_tick = w->now - w->age + w->wait_ticks + 1;
    put(w, t, index);
}

void tail_wheel_root(struct tail_wheel *w, struct trace_table *t, uint32_t index)
{
    struct trace *tr = trace_at(t, index);
    uint32_t at_tick = w->now - w->age + w->root_ticks + 1;

    if (!w->after_root || (int32_t)(at_tick - tr->at_tick) >= 0)
        return;
    tail_wheel_del(w, t, index);
    tr->at_tick = at_tick;
    put(w, t, index);
}

void tail_wheel_older(struct tail_wheel *w, struct trace_table *t, uint32_t index)
{
    struct trace *tr = trace_at(t, index);

    if ((int32_t)(w->now - w->age - tr->born_tick) >= 0)
        return;
    tail_wheel_del(w, t, index);
    tr->born_tick = w->now - w->age;
    if ((int32_t)(tr->born_tick + w->wait_ticks + 1 - tr->at_tick) < 0)
        tr->at_tick = tr->born_tick + w->wait_ticks + 1;
    put(w, t, index);
}

void tail_wheel_del(struct tail_wheel *w, struct trace_table *t, uint32_t index)
{
    struct wheel_slot *slot = slot_of(w, trace_at(t, index));

    trace_ring_del(t, &slot->ring, index);
    slot->n--;
    w->n--;
}

uint32_t tail_wheel_first(struct tail_wheel *w, const struct trace_table *t)
{
    uint32_t later = 0; /* those of a later round */

    if (w->due.ring || !w->n)
        return w->due.ring;
    if ((int32_t)(w->none_before - w->now) <= 0)
        w->none_before = w->now + 1;
    for (uint32_t tick = w->none_before, end = w->now + w->n_slots; (int32_t)(tick - end) <= 0; tick++) {
        uint32_t ring = w->slots[tick & (w->n_slots - 1)].ring;

        if (ring && trace_at(t, ring)->at_tick == tick) {
            w->none_before = tick;
            return ring;
        }
        later = later ? later : ring;
    }
    return later;
}

static void ring_each(const struct trace_table *t, uint32_t ring, void (*fn)(void *ctx, struct trace *tr), void *ctx)
{
    for (uint32_t i = ring; i; i = trace_at(t, i)->newer == ring ? 0 : trace_at(t, i)->newer)
        fn(ctx, trace_at(t, i));
}

void tail_wheel_each(const struct tail_wheel *w, const struct trace_table *t, void (*fn)(void *ctx, struct trace *tr), void *ctx)
{
    ring_each(t, w->due.ring, fn, ctx);
    for (uint32_t i = 1; i <= w->n_slots; i++)
        ring_each(t, slot_in(w, i)->ring, fn, ctx);
}

/* A slot of a wheel shorter than the wait also holds traces of later rounds: those stay. */
static void take_due(struct tail_wheel *w, struct trace_table *t, struct wheel_slot *slot)
{
    uint32_t all = take_ring(w, slot);

    while (all) {
        uint32_t index = all;

        trace_ring_del(t, &all, index);
        put(w, t, index);
    }
}

void tail_wheel_tick(struct tail_wheel *w, struct trace_table *t)
{
    struct wheel_slot *slot = &w->slots[++w->now & (w->n_slots - 1)];

    if (w->wait_ticks + 1 < w->n_slots)
        splice(t, &w->due, slot);
    else
        take_due(w, t, slot);
}

/* flags as in tail_wheel_hasten(). */
static void hasten(struct tail_wheel *w, struct trace_table *t, struct wheel_slot *slot, uint8_t flags)
{
    uint32_t all = take_ring(w, slot);

    while (all) {
        uint32_t index = all;
        struct trace *tr = trace_at(t, index);

        trace_ring_del(t, &all, index);
        if (!flags || tr->flags & flags)
            tr->at_tick = w->now;
        put(w, t, index);
    }
}

void tail_wheel_hasten(struct tail_wheel *w, struct trace_table *t, uint8_t flags)
{
    for (uint32_t i = 1; i <= w->n_slots; i++)
        hasten(w, t, slot_in(w, i), flags);
}

static void take_slot(struct tail_wheel *w, struct trace_table *t, struct tail_wheel *from, struct wheel_slot *slot)
{
    uint32_t all = take_ring(from, slot), latest = w->now + w->wait_ticks + 1;

    while (all) {
        uint32_t index = all;
        struct trace *tr = trace_at(t, index);

        trace_ring_del(t, &all, index);
        if ((int32_t)(tr->at_tick - latest) > 0)
            tr->at_tick = latest;
        put(w, t, index);
    }
}

void tail_wheel_take(struct tail_wheel *w, struct trace_table *t, struct tail_wheel *from)
{
    w->now = w->none_before = from->now;
    take_slot(w, t, from, &from->due);
    for (uint32_t i = 1; i <= from->n_slots; i++)
        take_slot(w, t, from, slot_in(from, i));
}

uint32_t tail_ticks_due(uint64_t *next_ns, uint64_t now_ns)
{
    uint64_t n = *next_ns <= now_ns ? (now_ns - *next_ns) / NS_PER_SEC + 1 : 0;

    if (n > MOST_MISSED) {
        n = MOST_MISSED;
        *next_ns = now_ns + NS_PER_SEC;
    } else {
        *next_ns += n * NS_PER_SEC;
    }
    return (uint32_t)n;
}
