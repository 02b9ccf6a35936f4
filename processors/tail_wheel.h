/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When traces are decided. Time is counted in ticks of one second. A trace that begins after t ticks
 * is decided by tick t + wait + 1: the (wait + 1)-th it lives to see. Its root may bring that
 * forward, nothing puts it off. Slots are rings through the entries themselves, so adding, moving
 * and removing cost the same however many traces wait.
 *
 * Waits longer than the wheel come round more than once. A trace on the wheel is on nothing else, so the wheel also
 * knows how many wait, and who is next. Threads: one.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_WHEEL_H
#define TAILRACE_PROCESSORS_TAIL_WHEEL_H

#include "processors/trace_table.h"

struct wheel_slot {
    uint32_t ring; /* of traces */
    uint32_t n;
};

struct tail_wheel {
    struct wheel_slot *slots;
    uint32_t n_slots; /* a power of two */
    struct wheel_slot due; /* those whose tick has come */
    uint32_t wait_ticks, root_ticks;
    bool after_root;
    uint32_t now; /* ticks so far */
    uint32_t n;   /* traces on the wheel, due or not */
    uint32_t none_before; /* no trace waits for a tick before this one */
    uint32_t age; /* so many ticks ago came the spans that are being filed; 0 but for those of a process before */
};

/* The waits as configured; after root counts only above 0 ns. */
void tail_wheel_init(struct tail_wheel *w, int64_t wait_ns, int64_t after_root_ns);
void tail_wheel_fini(struct tail_wheel *w);

void tail_wheel_add(struct tail_wheel *w, struct trace_table *t, uint32_t index);
/* The root came: decided after root_ticks, if that is sooner. */
void tail_wheel_root(struct tail_wheel *w, struct trace_table *t, uint32_t index);
/* Older spans of a trace that waits already: its time comes when it should have. */
void tail_wheel_older(struct tail_wheel *w, struct trace_table *t, uint32_t index);
/* All of another wheel with the same clock: ticks stay, but are not later than that of a trace that begins now. */
void tail_wheel_take(struct tail_wheel *w, struct trace_table *t, struct tail_wheel *from);
void tail_wheel_del(struct tail_wheel *w, struct trace_table *t, uint32_t index);
/* The one whose tick comes first, of these the one that has waited longest; 0: none. While all wait equally long that
 * is the oldest. */
uint32_t tail_wheel_first(struct tail_wheel *w, const struct trace_table *t);
void tail_wheel_each(const struct tail_wheel *w, const struct trace_table *t, void (*fn)(void *ctx, struct trace *tr), void *ctx);

/* One tick: what is due moves to the due ring. */
void tail_wheel_tick(struct tail_wheel *w, struct trace_table *t);
/* Everything that has one of these flags becomes due, in the order of its tick; 0: everything. */
void tail_wheel_hasten(struct tail_wheel *w, struct trace_table *t, uint8_t flags);

/* How many ticks have come by now; *next_ns, when the next one is due, moves on. Ticks that a busy loop
 * missed are made up for: no decision is put off. A clock that jumped farther than an hour and some starts
 * anew from there. */
uint32_t tail_ticks_due(uint64_t *next_ns, uint64_t now_ns);

/* Bytes of a wheel for this wait. */
uint64_t tail_wheel_bytes_for(int64_t wait_ns);

#endif
