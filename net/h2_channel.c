/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One channel has backends (an address each with its backoff), and each backend at most one link that
 * takes requests; links that were told GOAWAY finish their streams beside it.
 *
 *   step():  pending requests -> links with room
 *            still pending    -> look the name up, dial backends that are neither connected nor pausing
 *            nothing to hope for -> fail them (unless wait_for_ready)
 *
 * step() runs deferred, at the end of a turn, so nothing is freed or entered twice inside a callback.
 * A backoff is reset by the first answered request of a connection, not by connecting: a server that
 * accepts and closes, or greets with GOAWAY, is not redialled in a loop.
 */
#include "net/h2_channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/mem.h"

#define TICK_MS 100
#define STUCK_MS 1000      /* for a cancelled request's bytes to leave the socket */
#define RELOOKUP_MS 1000   /* not more often */

struct backend {
    struct h2_channel *ch;
    struct list node;
    struct address addrs[DIAL_MAX_ADDRS]; /* one, or all of them (pick first) */
    unsigned n_addrs;
    struct dialer *dialer;
    struct link *link; /* takes requests, or will */
    struct backoff backoff;
    uint64_t not_before_ns;
    bool gone; /* the name no longer gives this address */
};

struct link {
    struct h2_channel *ch;
    struct backend *backend; /* NULL: takes no more requests */
    struct backend *home;    /* whose link it is or was; NULL: the backend is gone */
    struct list node;
    struct conn *conn;
    struct h2_client *client;
    struct deferred pump;
    bool useful; /* has answered a request */
    bool closing;
    uint64_t ready_by_ns;   /* SETTINGS must have come; 0: they have */
    uint64_t ping_due_ns;
    uint64_t ping_by_ns;    /* the answer must have come; 0: none under way */
    uint64_t stuck_by_ns;   /* cancelled bytes must have left; 0: none */
};

struct h2_channel {
    struct h2_channel_config cfg;
    char target[300]; /* of a tunnel */
    struct list backends; /* in the order of their turns */
    struct list links;
    struct list pending;  /* requests no link has */
    struct resolve *resolve;
    struct backoff resolve_backoff;
    uint64_t resolve_not_before_ns;
    bool resolve_wanted;
    struct deferred step;
    struct timer *tick;
    char error[400]; /* of the latest failure to connect */
    uint64_t dials;
    bool closing, stepping;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

static void step_soon(struct h2_channel *ch)
{
    loop_defer(ch->cfg.loop, &ch->step);
}

static uint64_t now_of(const struct h2_channel *ch)
{
    return loop_now_ns(ch->cfg.loop);
}

/* ---- links ---- */

static void link_close(struct link *k, const char *reason)
{
    if (k->closing)
        return;
    k->closing = true;
    conn_close(k->conn, reason);
}

/* No new requests on it: the backend may make another. */
static void link_leave(struct link *k)
{
    struct backend *b = k->backend;

    k->backend = NULL;
    if (b == NULL)
        return;
    b->link = NULL;
    b->not_before_ns = 0;
    if (!k->useful)
        b->not_before_ns = now_of(k->ch) + backoff_next_ms(&b->backoff) * NS_PER_MS;
    k->ch->resolve_wanted = true;
}

static void link_write(void *ctx, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok), void *done_ctx)
{
    struct link *k = ctx;

    conn_write(k->conn, iov, n, done, done_ctx);
}

static void link_on_ready(void *ctx)
{
    struct link *k = ctx;

    k->ready_by_ns = 0;
    k->ping_due_ns = now_of(k->ch) + k->ch->cfg.ping_every_ms * NS_PER_MS;
    step_soon(k->ch);
}

static void link_on_goaway(void *ctx, uint32_t error_code, const char *debug)
{
    struct link *k = ctx;

    snprintf(k->ch->error, sizeof(k->ch->error), "the server sent GOAWAY (code %u%s%s)", error_code,
             debug[0] != '\0' ? ", " : "", debug);
    link_leave(k);
    step_soon(k->ch);
}

static void link_wants_pump(void *ctx)
{
    struct link *k = ctx;

    loop_defer(k->ch->cfg.loop, &k->pump);
}

static const struct h2_client_ops link_client_ops = {
    .write = link_write, .on_ready = link_on_ready, .on_goaway = link_on_goaway, .wants_pump = link_wants_pump,
};

static void link_pump(void *ctx)
{
    struct link *k = ctx;
    const char *why = k->closing ? NULL : h2_client_pump(k->client);

    if (why != NULL)
        link_close(k, why);
    else if (k->backend == NULL && h2_client_active(k->client) == 0)
        link_close(k, "");
}

static void link_on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct link *k = ctx;
    const char *why = k->closing ? NULL : h2_client_feed(k->client, p, n);

    k->ping_due_ns = now_of(k->ch) + k->ch->cfg.ping_every_ms * NS_PER_MS;
    if (why != NULL)
        link_close(k, why);
}

static void link_on_closed(void *ctx, const char *reason)
{
    struct link *k = ctx;
    struct h2_channel *ch = k->ch;

    k->closing = true;
    if (k->backend != NULL)
        snprintf(ch->error, sizeof(ch->error), "the connection ended: %s", reason[0] != '\0' ? reason : "closed");
    link_leave(k);
    loop_undefer(ch->cfg.loop, &k->pump);
    h2_client_lost(k->client, reason[0] != '\0' ? reason : "connection closed");
    loop_undefer(ch->cfg.loop, &k->pump);
    h2_client_free(&k->client);
    list_del(&k->node);
    free(k);
    step_soon(ch);
}

static const struct conn_ops link_conn_ops = {.on_read = link_on_read, .on_closed = link_on_closed};

static void link_new(struct backend *b, struct conn *c)
{
    struct link *k = mem_alloc(sizeof(*k));

    k->ch = b->ch;
    k->backend = k->home = b;
    k->conn = c;
    k->pump = (struct deferred){.fn = link_pump, .ctx = k};
    k->ready_by_ns = now_of(b->ch) + b->ch->cfg.dial_timeout_ms * NS_PER_MS;
    b->link = k;
    list_add_tail(&b->ch->links, &k->node);
    k->client = h2_client_new(&link_client_ops, k, b->ch->cfg.budget);
    conn_set_ops(c, &link_conn_ops, k);
    conn_read_start(c);
    loop_defer(b->ch->cfg.loop, &k->pump);
}

/* ---- backends ---- */

static void backend_free(struct backend *b)
{
    dialer_cancel(&b->dialer);
    if (b->link != NULL)
        b->link->backend = NULL;
    for (struct list *n = b->ch->links.next; n != &b->ch->links; n = n->next) {
        struct link *k = CONTAINER_OF(n, struct link, node);

        if (k->home == b)
            k->home = NULL;
    }
    list_del(&b->node);
    free(b);
}

static void on_dialled(void *ctx, struct conn *c, const char *error)
{
    struct backend *b = ctx;

    b->dialer = NULL;
    if (c != NULL) {
        link_new(b, c);
    } else {
        snprintf(b->ch->error, sizeof(b->ch->error), "%s", error);
        b->not_before_ns = now_of(b->ch) + backoff_next_ms(&b->backoff) * NS_PER_MS;
        b->ch->resolve_wanted = true;
    }
    step_soon(b->ch);
}

static struct backend *backend_find(struct h2_channel *ch, const struct address *a)
{
    for (struct list *n = ch->backends.next; n != &ch->backends; n = n->next) {
        struct backend *b = CONTAINER_OF(n, struct backend, node);

        if (!ch->cfg.round_robin || address_eq(&b->addrs[0], a))
            return b;
    }
    return NULL;
}

static void backend_set(struct h2_channel *ch, const struct address *addrs, unsigned n)
{
    struct backend *b = backend_find(ch, addrs);

    if (b == NULL) {
        b = mem_alloc(sizeof(*b));
        b->ch = ch;
        b->backoff = (struct backoff){.first_ms = ch->cfg.backoff_first_ms, .max_ms = ch->cfg.backoff_max_ms};
        list_add_tail(&ch->backends, &b->node);
    }
    memcpy(b->addrs, addrs, n * sizeof(*addrs));
    b->n_addrs = n;
    b->gone = false;
}

/* The name's addresses are now these. */
static void backends_sync(struct h2_channel *ch, const struct address *addrs, unsigned n)
{
    struct list *next;

    for (struct list *i = ch->backends.next; i != &ch->backends; i = i->next)
        CONTAINER_OF(i, struct backend, node)->gone = true;
    if (ch->cfg.round_robin)
        for (unsigned i = 0; i < n; i++)
            backend_set(ch, &addrs[i], 1);
    else
        backend_set(ch, addrs, n);
    for (struct list *i = ch->backends.next; i != &ch->backends; i = next) {
        struct backend *b = CONTAINER_OF(i, struct backend, node);

        next = i->next;
        if (!b->gone)
            continue;
        if (b->link != NULL)
            loop_defer(ch->cfg.loop, &b->link->pump); /* closes when its streams are done */
        backend_free(b);
    }
}

static void on_resolved(void *ctx, const struct address *addrs, unsigned n, const char *error)
{
    struct h2_channel *ch = ctx;
    uint64_t pause_ms = RELOOKUP_MS;

    ch->resolve = NULL;
    ch->resolve_wanted = false;
    if (n > 0) {
        backends_sync(ch, addrs, n);
        backoff_reset(&ch->resolve_backoff);
    } else {
        snprintf(ch->error, sizeof(ch->error), "%s", error);
        pause_ms = backoff_next_ms(&ch->resolve_backoff);
    }
    ch->resolve_not_before_ns = now_of(ch) + pause_ms * NS_PER_MS;
    step_soon(ch);
}

/* ---- requests ---- */

static void link_proved_useful(struct link *k)
{
    k->useful = true;
    if (k->home == NULL)
        return;
    backoff_reset(&k->home->backoff);
    if (k->backend == NULL && k->home->link == NULL) /* it said GOAWAY before it answered */
        k->home->not_before_ns = 0;
}

/* Between h2_client and the caller: sees every end first. */
static void on_request_end(struct h2_request *r, const struct h2_response *resp)
{
    struct link *k = r->link;
    struct h2_channel *ch = k->ch;

    if (resp->end == H2_END_RESPONSE)
        link_proved_useful(k);
    if (k->backend == NULL && !k->closing)
        loop_defer(ch->cfg.loop, &k->pump); /* it may have been the last one */
    step_soon(ch);                          /* there is room for another */
    r->link = NULL;
    if (resp->end == H2_END_REFUSED && r->refused++ == 0 && !ch->closing) {
        list_add_tail(&ch->pending, &r->node);
        return;
    }
    r->on_done(r, resp);
}

static struct link *pick(struct h2_channel *ch)
{
    for (struct list *n = ch->backends.next; n != &ch->backends; n = n->next) {
        struct backend *b = CONTAINER_OF(n, struct backend, node);

        if (b->link == NULL || b->link->closing || h2_client_room(b->link->client) == 0)
            continue;
        list_del(&b->node); /* to the back: the next one's turn */
        list_add_tail(&ch->backends, &b->node);
        return b->link;
    }
    return NULL;
}

static void submit_pending(struct h2_channel *ch)
{
    struct link *k;

    while (!list_empty(&ch->pending) && (k = pick(ch)) != NULL) {
        struct h2_request *r = CONTAINER_OF(ch->pending.next, struct h2_request, node);

        list_del(&r->node);
        r->link = k;
        h2_client_submit(k->client, r);
    }
}

static struct dialer *dial(struct h2_channel *ch, struct backend *b)
{
    const struct conn_tls_client tls = {ch->cfg.tls, endpoint_tls_host(&ch->cfg.endpoint)};
    const struct dial_tunnel tunnel = {ch->target, ch->cfg.proxy.authorization};

    ch->dials++;
    return dialer_start(ch->cfg.loop, b->addrs, b->n_addrs, ch->cfg.dial_timeout_ms, ch->cfg.proxy.used ? &tunnel : NULL,
                        ch->cfg.tls ? &tls : NULL,                        on_dialled, b);
}

/* Starts what may be started; true while there is something to wait for. */
static bool connect_more(struct h2_channel *ch)
{
    uint64_t now = now_of(ch);
    bool hope = false;

    if (ch->resolve == NULL && now >= ch->resolve_not_before_ns &&
        (ch->resolve_wanted || list_empty(&ch->backends)))
        ch->resolve = resolve_start(ch->cfg.loop, ch->cfg.proxy.used ? &ch->cfg.proxy.endpoint : &ch->cfg.endpoint,
                                    on_resolved, ch);
    hope = ch->resolve != NULL;
    for (struct list *n = ch->backends.next; n != &ch->backends; n = n->next) {
        struct backend *b = CONTAINER_OF(n, struct backend, node);

        if (b->link == NULL && b->dialer == NULL && now >= b->not_before_ns && ch->resolve == NULL) {
            b->dialer = dial(ch, b);
        }
        if (b->link != NULL || b->dialer != NULL)
            hope = true;
    }
    return hope;
}

/* patient: those that a peer refused unprocessed wait on; they are owed another connection. */
static void fail_pending(struct h2_channel *ch, const char *error, bool patient)
{
    struct list failing, *next;

    list_init(&failing);
    for (struct list *n = ch->pending.next; n != &ch->pending; n = next) {
        next = n->next;
        if (patient && CONTAINER_OF(n, struct h2_request, node)->refused > 0)
            continue;
        list_del(n);
        list_add_tail(&failing, n);
    }
    while (!list_empty(&failing)) {
        struct h2_request *r = CONTAINER_OF(failing.next, struct h2_request, node);

        list_del(&r->node);
        r->hook = NULL;
        h2_request_fail(r, H2_END_NO_CONN, error);
    }
}

void h2_channel_send(struct h2_channel *ch, struct h2_request *r)
{
    r->hook = on_request_end;
    r->client = NULL;
    r->link = NULL;
    r->refs = r->refused = 0;
    list_init(&r->node);
    if (ch->closing) {
        r->hook = NULL;
        h2_request_fail(r, H2_END_NO_CONN, "shutting down");
        return;
    }
    list_add_tail(&ch->pending, &r->node);
    step_soon(ch);
}

void h2_channel_cancel(struct h2_channel *ch, struct h2_request *r)
{
    struct link *k = r->link;

    if (k == NULL) {
        list_del(&r->node);
        r->hook = NULL;
        h2_request_fail(r, H2_END_CANCELLED, "cancelled");
        return;
    }
    if (r->refs > 0 && k->stuck_by_ns == 0)
        k->stuck_by_ns = now_of(ch) + STUCK_MS * NS_PER_MS;
    step_soon(ch);
    h2_client_cancel(k->client, r);
}

/* ---- time ---- */

static bool link_pings(const struct link *k)
{
    const struct h2_channel_config *cfg = &k->ch->cfg;

    return cfg->ping_every_ms > 0 && k->ready_by_ns == 0 && (cfg->ping_idle || h2_client_active(k->client) > 0);
}

static void link_tick_ping(struct link *k, uint64_t now)
{
    if (!h2_client_ping_pending(k->client))
        k->ping_by_ns = 0;
    if (k->ping_by_ns != 0 && now >= k->ping_by_ns) {
        link_close(k, "keepalive ping was not answered in time");
    } else if (k->ping_by_ns == 0 && link_pings(k) && now >= k->ping_due_ns) {
        h2_client_ping(k->client);
        k->ping_by_ns = now + k->ch->cfg.ping_timeout_ms * NS_PER_MS;
    }
}

static void link_tick(struct link *k, uint64_t now)
{
    if (k->ready_by_ns != 0 && now >= k->ready_by_ns) {
        link_close(k, "the server sent no HTTP/2 SETTINGS in time");
        return;
    }
    if (h2_client_lingering(k->client) == 0)
        k->stuck_by_ns = 0;
    if (k->stuck_by_ns != 0 && now >= k->stuck_by_ns) {
        link_close(k, "the server does not read");
        return;
    }
    link_tick_ping(k, now);
}

static bool needs_ticks(const struct h2_channel *ch)
{
    if (!list_empty(&ch->pending))
        return true;
    for (struct list *n = ch->links.next; n != &ch->links; n = n->next) {
        const struct link *k = CONTAINER_OF(n, struct link, node);

        if (!k->closing && (k->ready_by_ns != 0 || k->stuck_by_ns != 0 || k->ping_by_ns != 0 || link_pings(k)))
            return true;
    }
    return false;
}

static void on_tick(void *ctx)
{
    struct h2_channel *ch = ctx;
    uint64_t now = now_of(ch);

    for (struct list *n = ch->links.next; n != &ch->links; n = n->next) {
        struct link *k = CONTAINER_OF(n, struct link, node);

        if (!k->closing)
            link_tick(k, now); /* closing takes effect later: the list stays as it is */
    }
    step_soon(ch);
}

/* ---- life ---- */

static void channel_free(struct h2_channel *ch)
{
    void (*on_closed)(void *) = ch->on_closed;
    void *ctx = ch->on_closed_ctx;

    loop_undefer(ch->cfg.loop, &ch->step);
    timer_free(&ch->tick);
    free(ch);
    if (on_closed != NULL)
        on_closed(ctx);
}

static void step(void *ctx)
{
    struct h2_channel *ch = ctx;

    if (ch->closing) {
        if (list_empty(&ch->links))
            channel_free(ch);
        return;
    }
    ch->stepping = true;
    submit_pending(ch);
    if (!list_empty(&ch->pending) && !connect_more(ch) && !ch->cfg.wait_for_ready)
        fail_pending(ch, ch->error, true);
    ch->stepping = false;
    if (ch->closing) {
        step_soon(ch);
        return;
    }
    if (!needs_ticks(ch))
        timer_stop(ch->tick);
    else if (!timer_active(ch->tick))
        timer_start(ch->tick, TICK_MS, TICK_MS);
}

struct h2_channel *h2_channel_new(const struct h2_channel_config *cfg)
{
    struct h2_channel *ch = mem_alloc(sizeof(*ch));

    ch->cfg = *cfg;
    proxy_target(&cfg->endpoint, ch->target);
    list_init(&ch->backends);
    list_init(&ch->links);
    list_init(&ch->pending);
    ch->resolve_backoff = (struct backoff){.first_ms = cfg->backoff_first_ms, .max_ms = cfg->backoff_max_ms};
    ch->step = (struct deferred){.fn = step, .ctx = ch};
    ch->tick = timer_new(cfg->loop, __func__, on_tick, ch);
    return ch;
}

void h2_channel_close(struct h2_channel **chp, void (*on_closed)(void *ctx), void *ctx)
{
    struct h2_channel *ch = *chp;

    *chp = NULL;
    ch->closing = true;
    ch->on_closed = on_closed;
    ch->on_closed_ctx = ctx;
    resolve_cancel(&ch->resolve);
    timer_stop(ch->tick);
    while (!list_empty(&ch->backends))
        backend_free(CONTAINER_OF(list_pop(&ch->backends), struct backend, node));
    for (struct list *n = ch->links.next; n != &ch->links; n = n->next)
        link_close(CONTAINER_OF(n, struct link, node), "");
    fail_pending(ch, "shutting down", false);
    if (list_empty(&ch->links) && !ch->stepping)
        channel_free(ch);
    else
        step_soon(ch);
}

uint64_t h2_channel_dials(const struct h2_channel *ch)
{
    return ch->dials;
}
