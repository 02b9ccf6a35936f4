/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: requests to one HTTP/2 endpoint, over as few connections as do. Looks names up, keeps
 * one connection per backend address (round robin) or one in all (pick first), and redials when there
 * is something to send, never more often than the backoff allows.
 *
 * A request waits while a connection is being made. When none can be had it fails at once, or waits
 * on with wait_for_ready. A request that a peer refused unprocessed is tried once more by itself.
 *
 * Threads: one loop.
 */
#ifndef TAILRACE_NET_H2_CHANNEL_H
#define TAILRACE_NET_H2_CHANNEL_H

#include "net/dial.h"
#include "net/h2_client.h"
#include "net/proxy.h"

struct h2_channel_config {
    struct loop *loop;
    struct endpoint endpoint;
    struct tls_context *tls; /* NULL: plaintext */
    struct proxy proxy;
    struct budget *budget;    /* what backends make us keep; NULL: not charged */
    bool round_robin;         /* false: pick first */
    bool wait_for_ready;
    uint64_t dial_timeout_ms; /* one address; also for the peer's first SETTINGS */
    uint64_t ping_every_ms;   /* 0: never */
    uint64_t ping_timeout_ms;
    bool ping_idle;           /* also without requests */
    uint64_t backoff_first_ms, backoff_max_ms;
};

struct h2_channel;
struct h2_channel *h2_channel_new(const struct h2_channel_config *cfg) MUST_USE;

/* Exactly one on_done follows, perhaps before this returns. */
void h2_channel_send(struct h2_channel *ch, struct h2_request *r);
/* on_done follows: at once, or as soon as no write holds the body any more (a connection that will not
 * take the bytes is given up after a second). */
void h2_channel_cancel(struct h2_channel *ch, struct h2_request *r);

/* Ends all requests, closes all connections; then on_closed (NULL: nobody cares), once, and the channel is
 * gone: at once when there is no connection. NULLs. Not from within on_done. */
void h2_channel_close(struct h2_channel **ch, void (*on_closed)(void *ctx), void *ctx);

/* For tests and metrics. */
uint64_t h2_channel_dials(const struct h2_channel *ch);

#endif
