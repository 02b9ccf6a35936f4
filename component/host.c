/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a component may ask of its surroundings, as calls through the host's function pointers.
 *
 * The pointers are the graph's (pipeline/) or a test's: this file knows neither, so a component can
 * be linked and tested without a graph. Here stand the rules that hold in both worlds: what is
 * handed over is gone afterwards.
 * Threads: the instance's worker.
 */
#include "component/host.h"

void host_emit(struct host *h, struct batch **take)
{
    CHECK(h->emit_fn && *take);
    h->emit_fn(h, take);
    CHECK(*take == NULL);
}

void host_accept(struct host *h, struct payload **p, struct request_info *info, struct waiter w)
{
    CHECK(h->accept_fn && *p && (*p)->n_spans > 0);
    h->accept_fn(h, p, info, w);
    CHECK(*p == NULL);
}

enum room host_room(struct host *h, uint64_t n_spans, uint64_t n_bytes)
{
    return h->room_fn ? h->room_fn(h, n_spans, n_bytes) : ROOM_YES;
}

void host_room_again(struct host *h)
{
    if (h->room_again_fn)
        h->room_again_fn(h);
}

struct component *host_successor(const struct host *h)
{
    return h->successor_fn ? h->successor_fn(h) : NULL;
}

void host_drained(struct host *h)
{
    CHECK(h->drained_fn);
    h->drained_fn(h);
}

bool host_deadline_passed(const struct host *h)
{
    return h->deadline_fn && h->deadline_fn(h);
}

bool host_send(struct host *h, unsigned to_worker, void *msg)
{
    CHECK(h->send_fn && to_worker < h->n_workers && to_worker != h->worker);
    return h->send_fn(h, to_worker, msg);
}

void host_send_flush(struct host *h)
{
    if (h->send_flush_fn)
        h->send_flush_fn(h);
}

void host_failed(struct host *h, const char *text)
{
    CHECK(h->failed_fn);
    h->failed_fn(h, text);
}

struct component *host_extension(const struct host *h, const char *id)
{
    struct component *c;

    if (!id)
        return NULL;
    CHECK(h->extension_fn);
    c = h->extension_fn(h, id);
    CHECK(c);
    return c;
}

bool host_ready(const struct host *h, uint64_t *since_wall_ns)
{
    *since_wall_ns = 0;
    return h->ready_fn && h->ready_fn(h, since_wall_ns);
}
