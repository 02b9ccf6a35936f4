/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fair to every sender: what one connection may take of what all of them need.
 *
 *   CPU      a connection that has had TURN_BYTES of work in a turn of the loop rests until the next one:
 *            nothing more is read from it, and its complete requests wait their turn
 *   memory   while others are sending, the bodies of a connection's unanswered requests may take a part
 *            of the soft limit (max_connection_percentage)
 *   goodput  when data had to be refused lately and room is getting short again, connections that used
 *            more than an equal share are refused first: who sends little finds room
 *
 * Nothing of it costs a client that is alone, or a daemon that keeps up.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_FAIR_H
#define TAILRACE_RECEIVERS_OTLP_FAIR_H

#include <stdatomic.h>

#include "component/component.h"
#include "platform/list.h"

struct fair_settings {
    uint64_t max_connection_percentage;
};

extern const struct key fair_keys[];

/* One per receiver: all ports of all workers. Zeroed to begin with. */
struct fair_all {
    _Atomic uint64_t contended_ns;           /* when data was last refused for want of room; 0: never */
    _Atomic uint64_t used_bytes, n_active; /* sums of what the ports last published */
};

/* A connection's account. Zeroed, then fair_join(). */
struct fair_share {
    struct list resting; /* fair->resting */
    struct list runs;    /* complete requests that wait: ingest_request.turn */
    bool is_resting;
    unsigned fresh_ticks; /* it sent something lately */
    int64_t turn_bytes;
    uint64_t turn_ns;
    uint64_t in_flight_bytes; /* bodies of requests without an answer */
    uint64_t recent_bytes;    /* of its requests, unpacked, fading */
    void (*rested)(struct fair_share *s); /* may be read from again */
};

/* One per port and worker. */
struct fair {
    struct host *host;
    struct fair_all *all; /* NULL: off */
    const struct fair_settings *set;
    struct timer *turn;
    struct list resting;
    void (*run)(struct list *turn); /* a request of share->runs */
    uint64_t gone_bytes; /* recent ones of ended connections */
    uint64_t published_bytes, published_active;
    uint64_t tick_bytes, tick_active; /* being counted */
};

/* all NULL: switched off. */
void fair_init(struct fair *f, struct host *h, struct fair_all *all, const struct fair_settings *set,
               void (*run)(struct list *turn));
void fair_close(struct fair *f);

void fair_join(struct fair_share *s, void (*rested)(struct fair_share *s));
void fair_leave(struct fair *f, struct fair_share *s); /* the connection ends; its requests have gone */

/* Work was done for it: bytes read, unpacked, checked. */
void fair_spend(struct fair *f, struct fair_share *s, uint64_t bytes);

/* A body of n bytes. False: the connection has had more than its share. `room` is what the pipelines said.
 * The owner counts in_flight_bytes and recent_bytes. */
bool fair_admit(struct fair *f, struct fair_share *s, uint64_t n, enum room room) MUST_USE;
/* Data was refused for want of room. */
void fair_refused(struct fair *f);

/* Every tick: begin, each share, end. */
void fair_tick_begin(struct fair *f);
void fair_tick_share(struct fair *f, struct fair_share *s);
void fair_tick_end(struct fair *f);

#endif
