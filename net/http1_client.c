/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of connections, each with one exchange at a time, parsed by llhttp.
 *
 *   resolving -> dialling -> busy <-> idle -> closing
 *
 * step() runs deferred: it gives pending requests to idle connections, and starts as many new ones as
 * are wanted, allowed, and not held back by the backoff after failures.
 *
 * A connection that was idle may have been closed by the server at the moment it was used again. Then no
 * byte of an answer comes, and the request is sent once more on another connection.
 */
#include "net/http1_client.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/mem.h"

#define TICK_MS 250

enum state { RESOLVING, DIALLING, IDLE, BUSY, CLOSING };

struct http1_conn {
    struct http1_pool *pool;
    struct list node;
    enum state state;
    struct resolve *resolve;
    struct dialer *dialer;
    struct conn *conn; /* from DIALLING's success on */
    llhttp_t parser;
    unsigned exchanges; /* complete ones */
    uint64_t idle_since_ns;

    /* the exchange under way */
    struct http1_request *req;
    char length[48]; /* Content-Length and the empty line */
    bool writing;    /* the request has not left yet */
    bool heard;      /* a byte of the answer has come */
    bool complete;
    bool reusable;
    bool cancelled;
    int status;
    struct buf fields, body;
    size_t charged_bytes; /* for them */
    bool no_memory;
};

struct http1_pool {
    struct http1_pool_config cfg;
    char target[300]; /* of a tunnel */
    struct list conns; /* all of them; the idle one used last stands first */
    struct list pending;
    unsigned n_conns, n_idle, n_coming;
    struct backoff backoff;
    uint64_t not_before_ns;
    struct deferred step;
    struct timer *tick;
    char error[400];
    uint64_t dials;
    bool closing, stepping;
    void (*on_closed)(void *ctx);
    void *on_closed_ctx;
};

static void step_soon(struct http1_pool *p)
{
    loop_defer(p->cfg.loop, &p->step);
}

const char *http1_response_field(const struct http1_response *r, const char *name)
{
    const char *found = NULL;
    const char *p = r->fields != NULL ? (const char *)r->fields->p : NULL;
    const char *end = p != NULL ? p + r->fields->len : NULL;

    while (p != NULL && p < end) {
        const char *value = p + strlen(p) + 1;

        if (strcmp(p, name) == 0)
            found = value;
        p = value + strlen(value) + 1;
    }
    return found;
}

/* ---- the end of a request ---- */

static void request_fail(struct http1_request *r, enum http1_end end, const char *reason)
{
    r->conn = NULL;
    r->on_done(r, &(struct http1_response){.end = end, .reason = reason});
}

/* Room for n more bytes of the answer; twice of it, as buffers double. */
static bool room_for(struct http1_conn *k, size_t n)
{
    struct budget *b = k->pool->cfg.budget;
    size_t need = 2 * (k->fields.len + k->body.len + n);

    if (LIKELY(b == NULL || need <= k->charged_bytes + HTTP1_ANSWER_FREE_BYTES))
        return true;
    if (!budget_admit(b, MEM_CONN, need - k->charged_bytes)) {
        k->no_memory = true;
        return false;
    }
    k->charged_bytes = need;
    return true;
}

static void give_back(struct http1_pool *p, size_t charged)
{
    if (charged > 0)
        budget_release(p->cfg.budget, MEM_CONN, charged);
}

/* Takes the request off the connection and hands the answer over. */
static void exchange_end(struct http1_conn *k, enum http1_end end, const char *reason)
{
    struct http1_request *r = k->req;
    struct http1_pool *p = k->pool;
    struct buf fields = k->fields, body = k->body;
    size_t charged = k->charged_bytes;

    k->charged_bytes = 0;
    k->req = NULL;
    k->fields = k->body = (struct buf){0};
    r->conn = NULL;
    if (end != HTTP1_END_RESPONSE) /* half a field may stand at their end */
        buf_clear(&fields);
    r->on_done(r, &(struct http1_response){.end = end,
                                           .status = k->status,
                                           .body = slice_of(body.p, body.len),
                                           .fields = &fields,
                                           .reason = reason});
    buf_free(&fields);
    buf_free(&body);
    give_back(p, charged);
}

/* ---- connections: state ---- */

static void set_state(struct http1_conn *k, enum state s)
{
    struct http1_pool *p = k->pool;

    p->n_idle += (s == IDLE) - (k->state == IDLE);
    p->n_coming -= (k->state == RESOLVING || k->state == DIALLING);
    p->n_coming += (s == RESOLVING || s == DIALLING);
    k->state = s;
    list_del(&k->node);
    if (s == IDLE)
        list_add_head(&p->conns, &k->node);
    else
        list_add_tail(&p->conns, &k->node);
}

static void http1_conn_free(struct http1_conn *k)
{
    struct http1_pool *p = k->pool;

    set_state(k, CLOSING);
    list_del(&k->node);
    p->n_conns--;
    buf_free(&k->fields);
    buf_free(&k->body);
    give_back(p, k->charged_bytes);
    free(k);
    step_soon(p);
}

static void conn_end(struct http1_conn *k, const char *reason)
{
    if (k->state == CLOSING)
        return;
    set_state(k, CLOSING);
    conn_close(k->conn, reason);
}

/* The answer is complete. */
static void settle(struct http1_conn *k)
{
    struct http1_pool *p = k->pool;
    bool keep = k->reusable && p->cfg.keep_alive && p->n_idle < p->cfg.max_idle && !p->closing;

    if (k->writing) { /* an answer before all of the request had left: the rest is of no use */
        conn_end(k, "");
        return;
    }
    k->exchanges++;
    backoff_reset(&p->backoff);
    if (keep) {
        k->idle_since_ns = loop_now_ns(p->cfg.loop);
        set_state(k, IDLE);
    } else {
        conn_end(k, "");
    }
    step_soon(p);
    exchange_end(k, HTTP1_END_RESPONSE, "");
}

/* ---- llhttp ---- */

/* fields is "name NUL value NUL ...", trailers included. */
static int on_name(llhttp_t *l, const char *p, size_t n)
{
    struct http1_conn *k = l->data;
    size_t at = k->fields.len;

    if (!room_for(k, n + 1) || buf_add(&k->fields, p, n) != 0)
        return HPE_USER;
    for (; at < k->fields.len; at++)
        if (k->fields.p[at] >= 'A' && k->fields.p[at] <= 'Z')
            k->fields.p[at] += 32;
    return 0;
}

static int on_value(llhttp_t *l, const char *p, size_t n)
{
    struct http1_conn *k = l->data;

    return !room_for(k, n + 1) || buf_add(&k->fields, p, n) != 0 ? HPE_USER : 0;
}

static int on_text_end(llhttp_t *l)
{
    struct http1_conn *k = l->data;

    return buf_add(&k->fields, "", 1) != 0 ? HPE_USER : 0;
}

static int on_headers(llhttp_t *l)
{
    struct http1_conn *k = l->data;

    k->status = l->status_code;
    return k->status == 101 ? HPE_USER : 0; /* nobody asked for an upgrade */
}

static int on_body(llhttp_t *l, const char *p, size_t n)
{
    struct http1_conn *k = l->data;
    size_t room = HTTP1_MAX_BODY - k->body.len;

    if (!room_for(k, n < room ? n : room))
        room = 0;
    if (n > room) { /* enough: the answer stands, the connection goes */
        n = room;
        k->reusable = false;
        k->complete = true;
    }
    if (buf_add(&k->body, p, n) != 0)
        return HPE_USER;
    return k->complete ? HPE_PAUSED : 0;
}

static int on_complete(llhttp_t *l)
{
    struct http1_conn *k = l->data;

    if (l->status_code / 100 == 1) { /* 100 Continue and the like: the answer is still to come */
        buf_clear(&k->fields);
        return 0;
    }
    k->complete = true;
    k->reusable = llhttp_should_keep_alive(l) != 0;
    return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
    .on_header_field = on_name,
    .on_header_field_complete = on_text_end,
    .on_header_value = on_value,
    .on_header_value_complete = on_text_end,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- connections: events ---- */

static void on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct http1_conn *k = ctx;
    llhttp_errno_t rc;

    if (k->state != BUSY) { /* nobody asked */
        conn_end(k, "unexpected bytes from the server");
        return;
    }
    k->heard = true;
    rc = llhttp_execute(&k->parser, (const char *)p, n);
    if (k->complete) {
        if (llhttp_get_error_pos(&k->parser) != (const char *)p + n)
            k->reusable = false; /* bytes after the answer */
        settle(k);
    } else if (rc != HPE_OK) {
        conn_end(k, k->no_memory ? "no memory for the response" : "the server's answer is not HTTP/1.1, or too large");
    }
}

static void on_eof(void *ctx)
{
    struct http1_conn *k = ctx;

    if (k->state == BUSY && k->heard && llhttp_finish(&k->parser) == HPE_PAUSED && k->complete) {
        k->reusable = false;
        settle(k);
        return;
    }
    conn_end(k, "EOF");
}

/* An idle connection had been closed by the server before it heard our request. */
static bool repeat(struct http1_conn *k)
{
    struct http1_request *r = k->req;

    if (k->exchanges == 0 || k->heard || k->cancelled || r->repeated || k->pool->closing)
        return false;
    r->repeated = true;
    r->conn = NULL;
    k->req = NULL;
    list_add_head(&k->pool->pending, &r->node);
    return true;
}

static void on_closed(void *ctx, const char *reason)
{
    struct http1_conn *k = ctx;
    struct http1_pool *p = k->pool;

    if (reason[0] == '\0')
        reason = "connection closed";
    if (k->req != NULL && k->complete) {
        exchange_end(k, HTTP1_END_RESPONSE, "");
    } else if (k->req != NULL && !repeat(k)) {
        if (k->exchanges == 0 && !k->cancelled) /* connects, but does not serve */
            p->not_before_ns = loop_now_ns(p->cfg.loop) + backoff_next_ms(&p->backoff) * NS_PER_MS;
        snprintf(p->error, sizeof(p->error), "%s", reason);
        exchange_end(k, k->cancelled ? HTTP1_END_CANCELLED : HTTP1_END_LOST, reason);
    }
    http1_conn_free(k);
}

static void on_written(void *ctx, bool ok)
{
    struct http1_conn *k = ctx;

    (void)ok;
    k->writing = false;
}

static const struct conn_ops ops = {.on_read = on_read, .on_eof = on_eof, .on_closed = on_closed};

static void exchange_begin(struct http1_conn *k, struct http1_request *r)
{
    struct iovec *iov = mem_alloc_array(r->n_body + 2, sizeof(*iov));
    int n = snprintf(k->length, sizeof(k->length), "Content-Length: %zu\r\n\r\n", r->body_len);

    set_state(k, BUSY);
    k->req = r;
    r->conn = k;
    k->heard = k->complete = k->reusable = k->cancelled = k->no_memory = false;
    k->status = 0;
    k->fields = (struct buf){.max = HTTP1_MAX_HEADERS};
    k->body = (struct buf){.max = HTTP1_MAX_BODY};
    llhttp_init(&k->parser, HTTP_RESPONSE, &parser_settings);
    k->parser.data = k;
    iov[0] = (struct iovec){(void *)(uintptr_t)r->head.p, r->head.len};
    iov[1] = (struct iovec){k->length, (size_t)n};
    if (r->n_body > 0)
        memcpy(iov + 2, r->body, r->n_body * sizeof(*iov));
    k->writing = true;
    conn_write(k->conn, iov, r->n_body + 2, on_written, k);
    free(iov);
}

/* ---- making connections ---- */

/* Could not be made: those who wait hear of it, unless another may serve them. */
static void coming_failed(struct http1_conn *k, const char *error)
{
    struct http1_pool *p = k->pool;

    snprintf(p->error, sizeof(p->error), "%s", error);
    p->not_before_ns = loop_now_ns(p->cfg.loop) + backoff_next_ms(&p->backoff) * NS_PER_MS;
    http1_conn_free(k);
}

static void on_dialled(void *ctx, struct conn *c, const char *error)
{
    struct http1_conn *k = ctx;

    k->dialer = NULL;
    if (c == NULL) {
        coming_failed(k, error);
        return;
    }
    k->conn = c;
    k->idle_since_ns = loop_now_ns(k->pool->cfg.loop);
    conn_set_ops(c, &ops, k);
    set_state(k, IDLE);
    conn_read_start(c);
    step_soon(k->pool);
}

static void on_resolved(void *ctx, const struct address *addrs, unsigned n, const char *error)
{
    struct http1_conn *k = ctx;
    const struct http1_pool_config *cfg = &k->pool->cfg;
    const struct conn_tls_client tls = {cfg->tls, endpoint_tls_host(&cfg->endpoint)};
    const struct dial_tunnel tunnel = {k->pool->target, cfg->proxy.authorization};

    k->resolve = NULL;
    if (n == 0) {
        coming_failed(k, error);
        return;
    }
    set_state(k, DIALLING);
    k->pool->dials++;
    k->dialer = dialer_start(cfg->loop, addrs, n, cfg->dial_timeout_ms, cfg->proxy.used && cfg->tls ? &tunnel : NULL,
                             cfg->tls ? &tls : NULL, on_dialled, k);
}

static void conn_begin(struct http1_pool *p)
{
    struct http1_conn *k = mem_alloc(sizeof(*k));

    k->pool = p;
    list_init(&k->node);
    k->state = CLOSING; /* counted nowhere yet */
    set_state(k, RESOLVING);
    p->n_conns++;
    k->resolve = resolve_start(p->cfg.loop, p->cfg.proxy.used ? &p->cfg.proxy.endpoint : &p->cfg.endpoint, on_resolved, k);
}

/* ---- the pool ---- */

static struct http1_conn *first_idle(const struct http1_pool *p)
{
    struct http1_conn *k = list_empty(&p->conns) ? NULL : CONTAINER_OF(p->conns.next, struct http1_conn, node);

    return k != NULL && k->state == IDLE ? k : NULL;
}

static unsigned pending_count(const struct http1_pool *p, unsigned max)
{
    unsigned n = 0;

    for (struct list *i = p->pending.next; i != &p->pending && n < max; i = i->next)
        n++;
    return n;
}

static void connect_more(struct http1_pool *p)
{
    unsigned limit = p->cfg.max_conns > 0 ? p->cfg.max_conns : 10000;
    unsigned wanted = pending_count(p, limit);

    while (p->n_coming < wanted && p->n_conns < limit)
        conn_begin(p);
}

static void fail_pending(struct http1_pool *p, const char *error)
{
    struct list failing;

    list_init(&failing);
    while (!list_empty(&p->pending)) {
        struct list *n = p->pending.next;

        list_del(n);
        list_add_tail(&failing, n);
    }
    while (!list_empty(&failing)) {
        struct http1_request *r = CONTAINER_OF(failing.next, struct http1_request, node);

        list_del(&r->node);
        request_fail(r, HTTP1_END_NO_CONN, error);
    }
}

static void pool_free(struct http1_pool *p)
{
    void (*closed)(void *) = p->on_closed;
    void *ctx = p->on_closed_ctx;

    loop_undefer(p->cfg.loop, &p->step);
    timer_free(&p->tick);
    free(p);
    if (closed != NULL)
        closed(ctx);
}

static void serve(struct http1_pool *p)
{
    struct http1_conn *k;

    while (!list_empty(&p->pending) && (k = first_idle(p)) != NULL) {
        struct http1_request *r = CONTAINER_OF(p->pending.next, struct http1_request, node);

        list_del(&r->node);
        exchange_begin(k, r);
    }
    if (list_empty(&p->pending))
        return;
    if (loop_now_ns(p->cfg.loop) >= p->not_before_ns)
        connect_more(p);
    else if (p->n_conns == 0)
        fail_pending(p, p->error);
}

static void step(void *ctx)
{
    struct http1_pool *p = ctx;

    p->stepping = true;
    if (!p->closing)
        serve(p);
    p->stepping = false;
    if (p->closing && p->n_conns == 0) {
        pool_free(p);
        return;
    }
    if (p->n_idle == 0 && list_empty(&p->pending))
        timer_stop(p->tick);
    else if (!timer_active(p->tick))
        timer_start(p->tick, TICK_MS, TICK_MS);
}

/* Idle connections grow old; the backoff may be over. */
static void on_tick(void *ctx)
{
    struct http1_pool *p = ctx;
    uint64_t now = loop_now_ns(p->cfg.loop);
    struct list *next;

    for (struct list *i = p->conns.next; i != &p->conns && p->cfg.idle_timeout_ms > 0; i = next) {
        struct http1_conn *k = CONTAINER_OF(i, struct http1_conn, node);

        next = i->next;
        if (k->state != IDLE)
            break;
        if (now - k->idle_since_ns >= p->cfg.idle_timeout_ms * NS_PER_MS)
            conn_end(k, "");
    }
    step_soon(p);
}

struct http1_pool *http1_pool_new(const struct http1_pool_config *cfg)
{
    struct http1_pool *p = mem_alloc(sizeof(*p));

    p->cfg = *cfg;
    proxy_target(&cfg->endpoint, p->target);
    list_init(&p->conns);
    list_init(&p->pending);
    p->backoff = (struct backoff){.first_ms = cfg->backoff_first_ms, .max_ms = cfg->backoff_max_ms};
    p->step = (struct deferred){.fn = step, .ctx = p};
    p->tick = timer_new(cfg->loop, __func__, on_tick, p);
    return p;
}

void http1_pool_send(struct http1_pool *p, struct http1_request *r)
{
    r->conn = NULL;
    r->repeated = false;
    list_init(&r->node);
    list_add_tail(&p->pending, &r->node);
    step_soon(p);
}

void http1_pool_cancel(struct http1_pool *p, struct http1_request *r)
{
    (void)p;
    if (r->conn == NULL) {
        list_del(&r->node);
        request_fail(r, HTTP1_END_CANCELLED, "cancelled");
        return;
    }
    r->conn->cancelled = !r->conn->complete;
    conn_end(r->conn, "cancelled");
}

void http1_pool_close(struct http1_pool **pp, void (*closed)(void *ctx), void *ctx)
{
    struct http1_pool *p = *pp;
    struct list *next;

    *pp = NULL;
    p->closing = true;
    p->on_closed = closed;
    p->on_closed_ctx = ctx;
    timer_stop(p->tick);
    fail_pending(p, "shutting down");
    for (struct list *i = p->conns.next; i != &p->conns; i = next) {
        struct http1_conn *k = CONTAINER_OF(i, struct http1_conn, node);

        next = i->next;
        if (k->state != RESOLVING && k->state != DIALLING) {
            conn_end(k, "");
            continue;
        }
        resolve_cancel(&k->resolve);
        dialer_cancel(&k->dialer);
        http1_conn_free(k);
    }
    if (p->n_conns == 0 && !p->stepping)
        pool_free(p);
    else
        step_soon(p);
}

uint64_t http1_pool_dials(const struct http1_pool *p)
{
    return p->dials;
}
