/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event loop per thread, over libuv. Nothing here blocks, and nothing is freed inside its own
 * callback: *_free() marks, libuv's close callback frees.
 *
 * Threads: a loop belongs to the thread that runs it; only loop_post() and the producing end of a
 * ring may be called from another thread.
 */
#ifndef TAILRACE_PLATFORM_LOOP_H
#define TAILRACE_PLATFORM_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/check.h"

struct loop;
struct timer;

struct loop *loop_new(const char *name) MUST_USE;
void loop_run(struct loop *l);  /* until loop_stop() */
void loop_stop(struct loop *l); /* ends loop_run() after the current turn; own thread */
/* Runs until every handle closed, then frees. Returns the number of handles that somebody forgot
 * to close (each printed to stderr with the place that opened it): tests treat that as failure. */
unsigned loop_free(struct loop **l);

uint64_t loop_now_ns(const struct loop *l); /* monotonic, cached once per turn */
void *loop_uv(struct loop *l);              /* the uv_loop_t, for net/ only */

/* Turns that took over 100 ms, counted by the loop's own watch. `site` names the longest callback of
 * the turn as far as the loop knows it: a timer's site, "posted", "deferred", "ring", or "i/o". */
uint64_t loop_stalls(const struct loop *l);
void loop_on_stall(struct loop *l, void (*fn)(void *ctx, const char *site, uint64_t ms), void *ctx);

/* fn runs on the loop's thread, soon, in the order posted. Any thread. The loop must outlive it. */
void loop_post(struct loop *l, void (*fn)(void *ctx), void *ctx);

/* What blocks (fsync): fn runs in libuv's thread pool, then done on the loop's thread. The loop must not be freed
 * before done was called. */
void loop_work(struct loop *l, void (*fn)(void *ctx), void (*done)(void *ctx), void *ctx);

/* Work put off to the end of this turn, before the loop waits again (gathering writes, flushing).
 * The caller owns the node; deferring one already waiting does nothing. */
struct deferred {
    struct deferred *next;
    void (*fn)(void *ctx);
    void *ctx;
    bool waiting;
};
void loop_defer(struct loop *l, struct deferred *d);
void loop_undefer(struct loop *l, struct deferred *d);

/* Timers. `site` is __func__ of the owner, for the leak report. A free'd timer never fires. */
struct timer *timer_new(struct loop *l, const char *site, void (*fn)(void *ctx), void *ctx) MUST_USE;
void timer_start(struct timer *t, uint64_t delay_ms, uint64_t repeat_ms); /* restarts if running */
void timer_stop(struct timer *t);
bool timer_active(const struct timer *t);
void timer_free(struct timer **t); /* fine on NULL */

/* Signals, for the main loop. */
void loop_on_signal(struct loop *l, int signum, void (*fn)(void *ctx, int signum), void *ctx);

/* Threads and CPUs. */
unsigned cpu_count(void); /* what cgroup quota (rounded up) and affinity allow, at least 1 */

/*
 * Single-producer single-consumer ring of pointers between two loops, with a wake-up of the
 * consumer. Messages arrive in order. Create before both loops run, free after both stopped.
 */
struct ring;
struct ring *ring_new(struct loop *consumer, uint32_t capacity, void (*fn)(void *ctx, void *msg),
                      void *ctx) MUST_USE;
void ring_free(struct ring **r); /* CHECKs that it is empty */
bool ring_push(struct ring *r, void *msg) MUST_USE; /* producer; false when full */
void ring_wake(struct ring *r);                     /* producer; once after some pushes */
unsigned ring_drain(struct ring *r);                /* consumer; handles what is there now */

#endif
