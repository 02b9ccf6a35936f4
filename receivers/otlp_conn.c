/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the otlp receiver. See otlp_conn.h.
 *
 *   accepted -> (protocol known) -> serving -> closing -> closed
 *
 * Reading:  a connection that has had its share of a turn (otlp_fair.h) is not read until the next.
 * Writing:  the answers to everything one read brought leave in one write; an answer that comes
 * later is gathered with others of the same turn. While the socket is full nothing is read: a
 *           client that does not take its answers does not get to ask more.
 * Closing:  we shut our side and go on throwing away what comes in for a moment, so that the client
 *           reads the last answer instead of a reset.
 * Limits:   connections per worker (file descriptors), memory per connection charged as MEM_CONN;
 *           at either limit the connection silent for longest makes way, if it has no request.
 * Threads:  one worker. One timer per port looks at every connection each TICK_MS.
 */
#include "receivers/otlp_conn.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "net/h2_mem.h"
#include "net/tls.h"
#include "net/listen_socket.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "receivers/otlp_auth.h"
#include "receivers/otlp_meta.h"

#define TICK_MS                250
#define OUT_BYTES              (16u << 10)
#define CLOSE_LINGER_NS        (1 * NS_PER_SEC)
#define SETUP_NS               (20 * NS_PER_SEC) /* first bytes to a known protocol; a header */
#define WRITE_STALL_NS         (30 * NS_PER_SEC)
#define BODY_IDLE_NS           (20 * NS_PER_SEC)
#define BODY_FLOOR             256u /* bytes a second */
#define DRAIN_IDLE_NS          (1 * NS_PER_SEC)
#define HANDOVER_IDLE_NS       (5 * NS_PER_SEC) /* the same when somebody else listens on: there is no hurry */
#define DRAIN_FLOOR            (16u << 10)
#define EVICT_IDLE_NS          (1 * NS_PER_SEC)
#define TLS_TELL_NS            (10 * NS_PER_SEC)
#define CONN_BYTES             (16u << 10) /* an HTTP/2 session at rest is most of it */
#define QUEUED_FRAME_BYTES     256u /* an answer that nghttp2 keeps */
#define HELD_FREE_BYTES        (8u << 10)  /* of what a connection keeps: paid for with it */
#define PRESSURE_SILENT_NS     (1 * NS_PER_SEC)
#define PRESSURE_CLOSES        64u /* connections a tick */
#define REQUESTS_PER_BLOCK     32u
#define BLOCK_BYTES            (40u << 10) /* of so many requests: ours and nghttp2's of each stream */
#define MAX_PING_STRIKES       2u
#define MAX_AUTH_STRIKES       16u
#define PING_WITHOUT_STREAM_NS (7200 * NS_PER_SEC)

static void flush(struct otlp_conn *c);
static void on_tick(void *ctx);

static uint64_t now_of(const struct otlp_server *s)
{
    return loop_now_ns(s->host->loop);
}

/* ---- memory of requests ---- */

static struct request_info *with_peer(const struct otlp_conn *c, struct request_info *info)
{
    if (!c->server->port->http1)
        info->grpc_peer = mem_dup(conn_peer(c->conn));
    return info;
}

/* Of the connection, for requests that have nothing of their own. */
static struct request_info *otlp_conn_peer(struct otlp_conn *c)
{
    if (!c->peer)
        c->peer = with_peer(c, request_info_new(conn_peer_ip(c->conn), 0));
    return request_info_ref(c->peer);
}

struct request_info *otlp_conn_info(struct otlp_conn *c, struct otlp_meta *meta, struct otlp_auth *auth)
{
    struct request_info *info = meta ? otlp_meta_take(meta, conn_peer_ip(c->conn)) : NULL;

    if (auth)
        otlp_auth_note(auth, &info, conn_peer_ip(c->conn));
    return info ? with_peer(c, info) : otlp_conn_peer(c);
}

bool otlp_conn_add_request(struct otlp_conn *c)
{
    if (c->n_requests == c->n_charged) {
        size_t more = BLOCK_BYTES;
        if (!budget_admit(c->server->host->budget, MEM_CONN, more))
            return false;
        c->n_charged += REQUESTS_PER_BLOCK;
        c->charged_bytes += more;
    }
    c->n_requests++;
    return true;
}

void otlp_conn_remove_request(struct otlp_conn *c)
{
    c->n_requests--;
    if (c->n_requests == 0)
        c->idle_ns = now_of(c->server);
    if (c->n_requests + 2 * REQUESTS_PER_BLOCK < c->n_charged) {
        size_t less = BLOCK_BYTES;
        c->n_charged -= REQUESTS_PER_BLOCK;
        c->charged_bytes -= less;
        budget_release(c->server->host->budget, MEM_CONN, less);
    }
}

/* What peers decide the size of: charged beyond a free part. False: no room for it. */
static bool settle_held(struct otlp_conn *c)
{
    struct budget *b = c->server->host->budget;
    size_t now = c->out.cap + (c->h1 ? http1_held_bytes(c->h1) : 0);

    if (c->writing && c->h2) /* else the queue has just been emptied into `out` */
        now += h2_server_queued(c->h2) * QUEUED_FRAME_BYTES;
    now = now > HELD_FREE_BYTES ? now - HELD_FREE_BYTES : 0;
    if (LIKELY(now == c->held_bytes))
        return true;
    if (now > c->held_bytes && !budget_admit(b, MEM_CONN, now - c->held_bytes))
        return false;
    if (now < c->held_bytes)
        budget_release(b, MEM_CONN, c->held_bytes - now);
    c->held_bytes = now;
    return true;
}

/* ---- closing ---- */

static void start_close(struct otlp_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    c->close_ns = now_of(c->server);
    if (c->eof) {
        conn_close(c->conn, "");
        return;
    }
    conn_shutdown(c->conn);
    conn_read_start(c->conn);
}

/* Counted each time, told now and then: a scanner must not fill the log. */
static void tls_failed(struct otlp_conn *c, const char *reason)
{
    struct otlp_server *s = c->server;
    uint64_t now = now_of(s);

    ingest_count_refused(s->in, REFUSED_TLS, 0);
    if (s->tls_told_ns && now - s->tls_told_ns < TLS_TELL_NS)
        return;
    s->tls_told_ns = now;
    log_warn(&s->host->log, "TLS connection failed", LOG_STR("peer", conn_peer(c->conn)), LOG_STR("error", reason));
}

static void on_closed(void *ctx, const char *reason)
{
    struct otlp_conn *c = ctx;
    struct otlp_server *s = c->server;

    if (s->tls && strncmp(reason, "tls: ", 5) == 0)
        tls_failed(c, reason);
    c->conn = NULL;
    c->closing = true;
    loop_undefer(s->host->loop, &c->flush);
    h2_server_free(&c->h2);
    if (c->h1) {
        s->port->http1_gone(c);
        http1_free(&c->h1);
    }
    CHECK(c->n_requests == 0);
    fair_leave(&s->fair, &c->share);
    list_del(&c->link);
    s->n_conns--;
    series_sub(s->in->connections, 1);
    budget_release(s->host->budget, MEM_CONN, c->charged_bytes + c->held_bytes);
    buf_free(&c->out);
    request_info_unref(&c->peer);
    free(c);
    if (s->draining && s->n_conns == 0 && s->on_empty)
        s->on_empty(s->on_empty_ctx);
}

/* ---- writing ---- */

static void on_written(void *ctx, bool ok)
{
    struct otlp_conn *c = ctx;

    c->writing = false;
    buf_clear(&c->out);
    if (ok && !c->busy && c->conn)
        flush(c);
}

static void fill_out(struct otlp_conn *c)
{
    if (c->h2) {
        h2_server_pull(c->h2, &c->out, OUT_BYTES);
    } else if (c->h1) {
        struct buf *ready = http1_output(c->h1), swap = c->out;
        if (ready->len == 0)
            http1_hold(c->h1, false); /* all it had has left: requests that wait behind may begin */
        c->out = *ready;
        *ready = swap;
    }
}

static bool wants_close(const struct otlp_conn *c)
{
    if (c->h2)
        return h2_server_wants_close(c->h2);
    return c->h1 && (http1_wants_close(c->h1) || (c->eof && http1_state(c->h1) != HTTP1_ANSWERING));
}

static void flush(struct otlp_conn *c)
{
    c->busy = true;
    while (!c->writing && !c->closing) {
        fill_out(c);
        if (c->out.len == 0)
            break;
        struct iovec iov = {c->out.p, c->out.len};
        c->writing = true;
        c->write_ns = now_of(c->server);
        conn_write(c->conn, &iov, 1, on_written, c);
    }
    c->busy = false;
    if (c->closing)
        return;
    if (!settle_held(c)) {
        ingest_count_refused(c->server->in, REFUSED_MEMORY, 0);
        conn_close(c->conn, "no memory for what the client sends or does not read");
        c->closing = true;
        return;
    }
    if (!c->writing && wants_close(c))
        start_close(c);
    else if (c->writing || c->share.is_resting || (c->h1 && !http1_wants_read(c->h1)))
        conn_read_stop(c->conn);
    else if (!c->eof)
        conn_read_start(c->conn);
}

static void flush_now(void *ctx)
{
    struct otlp_conn *c = ctx;

    if (c->conn)
        flush(c);
}

static void on_rested(struct fair_share *share)
{
    struct otlp_conn *c = CONTAINER_OF(share, struct otlp_conn, share);

    if (c->conn && !c->closing)
        flush(c);
}

void otlp_conn_flush_later(struct otlp_conn *c)
{
    c->ping_strikes = 0;
    c->client_ping_ns = 0;
    if (!c->busy && c->conn)
        loop_defer(c->server->host->loop, &c->flush);
}

/* ---- keepalive ---- */

static void goaway(struct otlp_conn *c, bool final, uint32_t code, const char *debug)
{
    if (c->goaway_sent)
        return;
    c->goaway_noticed = true;
    c->goaway_sent = final;
    c->goaway_ns = now_of(c->server);
    h2_server_goaway(c->h2, final, code, debug);
    otlp_conn_flush_later(c);
}

void otlp_conn_passed(struct otlp_conn *c)
{
    c->auth_strikes = 0;
}

void otlp_conn_refused(struct otlp_conn *c)
{
    c->auth_strikes++;
    if (c->h2 && otlp_conn_struck_out(c))
        goaway(c, true, H2_ENHANCE_YOUR_CALM, "too many requests without valid credentials");
}

bool otlp_conn_struck_out(const struct otlp_conn *c)
{
    return c->auth_strikes >= MAX_AUTH_STRIKES;
}

void otlp_conn_on_ping(void *ctx)
{
    struct otlp_conn *c = ctx;
    const struct otlp_conn_limits *lim = &c->server->limits;
    uint64_t now = now_of(c->server), min_ns = lim->min_ping_ns;

    if (!c->server->port->enforce_pings)
        return;
    if (c->n_requests == 0 && !lim->pings_without_stream)
        min_ns = PING_WITHOUT_STREAM_NS;
    if (c->client_ping_ns && now - c->client_ping_ns < min_ns)
        c->ping_strikes++;
    c->client_ping_ns = now;
    if (c->ping_strikes > MAX_PING_STRIKES)
        goaway(c, true, H2_ENHANCE_YOUR_CALM, "too_many_pings");
}

/* ---- reading ---- */

static const char preface[] = "PRI * HTTP/2.0\r\n";

static void begin_h2(struct otlp_conn *c)
{
    const struct h2_server_settings set = {
        .max_concurrent_streams = c->server->limits.max_streams,
        .max_header_bytes = OTLP_MAX_HEADER_BYTES,
        .stream_window = OTLP_STREAM_WINDOW,
        .connection_window = OTLP_CONNECTION_WINDOW,
        .mem = c->server->h2_mem,
    };

    c->h2 = h2_server_new(c->server->port->h2, c, &set);
}

static bool looks_like_http1(const uint8_t *p, size_t n)
{
    static const char *const starts[] = {"GET ", "POST ", "HEAD ", "PUT ", "OPTIONS ", "DELETE "};

    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (n >= strlen(starts[i]) && memcmp(p, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

static void wrong_protocol(struct otlp_conn *c)
{
    static const char answer[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
        "This port speaks gRPC (HTTP/2); OTLP/HTTP has a port of its own.\n";
    struct iovec iov = {(void *)(uintptr_t)answer, sizeof answer - 1};

    ingest_count_refused(c->server->in, REFUSED_PROTOCOL, 0);
    if (!looks_like_http1(c->sniff, c->n_sniffed)) {
        conn_close(c->conn, "not HTTP/2");
        c->closing = true;
        return;
    }
    conn_write(c->conn, &iov, 1, NULL, NULL);
    start_close(c);
}

/* Looks at the first bytes until they tell. Hands them on through *first. */
static bool know_protocol(struct otlp_conn *c, const uint8_t *p, size_t n, struct slice *first)
{
    size_t take = sizeof c->sniff - c->n_sniffed;

    if (take > n)
        take = n;
    memcpy(c->sniff + c->n_sniffed, p, take);
    c->n_sniffed = (uint8_t)(c->n_sniffed + take);
    bool may_be_h2 = memcmp(c->sniff, preface, c->n_sniffed) == 0;
    if (may_be_h2 && c->n_sniffed < sizeof c->sniff)
        return false;
    if (may_be_h2)
        begin_h2(c);
    else if (c->server->port->http1)
        c->h1 = http1_new(c->server->port->http1, c, OTLP_MAX_HEADER_BYTES);
    else
        wrong_protocol(c);
    *first = slice_of(p + take, n - take);
    return !c->closing;
}

static void feed(struct otlp_conn *c, const uint8_t *p, size_t n)
{
    bool ok = true;

    if (c->h2)
        ok = h2_server_feed(c->h2, p, n, now_of(c->server));
    else
        http1_feed(c->h1, p, n);
    if (!ok)
        c->goaway_sent = true;
}

static void on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct otlp_conn *c = ctx;
    struct slice rest = slice_of(p, n);

    if (c->closing)
        return;
    c->heard_ns = now_of(c->server);
    c->ping_sent_ns = 0;
    if (c->server->conns.prev != &c->link) {
        list_del(&c->link);
        list_add_tail(&c->server->conns, &c->link);
    }
    c->busy = true;
    fair_spend(&c->server->fair, &c->share, n);
    if (!c->h2 && !c->h1) {
        if (!know_protocol(c, p, n, &rest)) {
            c->busy = false;
            return;
        }
        feed(c, c->sniff, c->n_sniffed);
    }
    if (rest.len)
        feed(c, rest.p, rest.len);
    flush(c);
}

static void on_eof(void *ctx)
{
    struct otlp_conn *c = ctx;

    c->eof = true;
    if (c->closing || !c->h1 || http1_state(c->h1) != HTTP1_ANSWERING)
        conn_close(c->conn, "EOF");
}

static const struct conn_ops conn_ops = {
    .on_read = on_read, .on_eof = on_eof, .on_closed = on_closed};

/* ---- accepting ---- */

/* Closes the connection that has been silent for longest, if it has nothing under way. */
static bool evict_idle(struct otlp_server *s)
{
    struct list *at = s->conns.next;

    for (int i = 0; i < 16 && at != &s->conns; i++, at = at->next) {
        struct otlp_conn *c = CONTAINER_OF(at, struct otlp_conn, link);
        if (!c->closing && c->n_requests == 0 && now_of(s) - c->heard_ns > EVICT_IDLE_NS) {
            conn_close(c->conn, "made way for another connection");
            return true;
        }
    }
    return false;
}

/* Clients that came together, after a restart say, shall not all come back together. */
static uint64_t age_limit(struct otlp_server *s)
{
    double spread = 0.9 + 0.2 * random_unit(&s->random);

    return (uint64_t)((double)s->limits.age_ns * spread);
}

static void on_accept(void *ctx, struct conn *conn)
{
    struct otlp_server *s = ctx;
    bool room = s->n_conns < s->max_conns || evict_idle(s);
    struct err err;

    if (room && !budget_charge(s->host->budget, MEM_CONN, CONN_BYTES)) {
        evict_idle(s);
        room = budget_charge(s->host->budget, MEM_CONN, CONN_BYTES);
    }
    if (room && s->tls && conn_start_tls(conn, s->tls, &err) != 0) {
        budget_release(s->host->budget, MEM_CONN, CONN_BYTES);
        room = false;
    }
    if (!room) {
        ingest_count_refused(s->in, REFUSED_CONNECTIONS, 0);
        conn_close(conn, "too many connections");
        return;
    }
    struct otlp_conn *c = mem_alloc(sizeof *c);
    *c = (struct otlp_conn){.server = s, .conn = conn, .charged_bytes = CONN_BYTES, .n_charged = 1};
    c->opened_ns = c->heard_ns = c->idle_ns = now_of(s);
    c->age_ns = age_limit(s);
    c->flush = (struct deferred){.fn = flush_now, .ctx = c};
    fair_join(&c->share, on_rested);
    list_add_tail(&s->conns, &c->link);
    s->n_conns++;
    series_add(s->in->connections, 1);
    conn_set_ops(conn, &conn_ops, c);
    conn_read_start(conn);
}

/* ---- deadlines ---- */

static bool older(uint64_t now, uint64_t since, uint64_t limit_ns)
{
    return limit_ns > 0 && now - since > limit_ns;
}

static void tick_h2(struct otlp_conn *c, uint64_t now)
{
    const struct otlp_conn_limits *lim = &c->server->limits;

    h2_server_tick(c->h2, now);
    if (c->goaway_noticed && !c->goaway_sent)
        goaway(c, true, H2_NO_ERROR, NULL);
    else if (!c->goaway_noticed && ((c->n_requests == 0 && older(now, c->idle_ns, lim->idle_ns)) ||
                                    older(now, c->opened_ns, c->age_ns)))
        goaway(c, false, H2_NO_ERROR, NULL);
    if (c->goaway_sent && older(now, c->opened_ns, c->age_ns) &&
        older(now, c->goaway_ns, lim->age_grace_ns)) {
        conn_close(c->conn, "connection age");
        return;
    }
    if (c->ping_sent_ns && older(now, c->ping_sent_ns, lim->ping_timeout_ns)) {
        conn_close(c->conn, "no answer to a ping");
        return;
    }
    if (!c->ping_sent_ns && older(now, c->heard_ns, lim->ping_ns)) {
        c->ping_sent_ns = now;
        h2_server_ping(c->h2);
    }
    if (h2_server_wants_write(c->h2) || h2_server_wants_close(c->h2))
        otlp_conn_flush_later(c);
}

static uint64_t header_limit(const struct otlp_server *s)
{
    if (s->draining)
        return DRAIN_IDLE_NS;
    return s->limits.header_ns ? s->limits.header_ns : SETUP_NS;
}

/* HTTP/1 has no goodbye that a client must wait for. While the process stays, what is silent gets a moment more:
 * a request that was on its way would meet a closed connection. */
static bool idle_in_drain(const struct otlp_conn *c, uint64_t now)
{
    const struct otlp_server *s = c->server;

    return s->draining && (!s->stays || (older(now, c->heard_ns, HANDOVER_IDLE_NS) && older(now, c->idle_ns, HANDOVER_IDLE_NS)));
}

static void tick_h1(struct otlp_conn *c, uint64_t now)
{
    const struct otlp_conn_limits *lim = &c->server->limits;
    enum http1_state st = http1_state(c->h1);

    if (st != HTTP1_HEADER)
        c->header_ns = 0;
    else if (c->header_ns == 0)
        c->header_ns = now;
    if (c->header_ns && older(now, c->header_ns, header_limit(c->server))) {
        conn_close(c->conn, "header did not arrive in time");
        return;
    }
    if (st == HTTP1_IDLE && (idle_in_drain(c, now) || (older(now, c->heard_ns, lim->idle_ns) &&
                                                     older(now, c->idle_ns, lim->idle_ns))))
        start_close(c);
}

static uint64_t write_limit(const struct otlp_server *s)
{
    if (s->draining)
        return CLOSE_LINGER_NS;
    return s->limits.write_ns ? s->limits.write_ns : WRITE_STALL_NS;
}

/* Accepted at the last moment: its request may be on its way. */
static bool fresh_in_drain(const struct otlp_conn *c, uint64_t now)
{
    return c->server->draining && (!c->server->stays || older(now, c->opened_ns, HANDOVER_IDLE_NS));
}

static void tick_conn(struct otlp_conn *c, uint64_t now)
{
    const struct otlp_conn_limits *lim = &c->server->limits;

    if (c->closing) {
        if (older(now, c->close_ns, CLOSE_LINGER_NS))
            conn_close(c->conn, "");
        return;
    }
    if (c->writing && older(now, c->write_ns, write_limit(c->server))) {
        conn_close(c->conn, "the client does not read its answers");
        return;
    }
    if (!c->h2 && !c->h1) {
        if (fresh_in_drain(c, now) || (c->n_sniffed && older(now, c->opened_ns, SETUP_NS)) ||
            older(now, c->opened_ns, lim->idle_ns))
            conn_close(c->conn, "nothing arrived in time");
        return;
    }
    if (!c->writing && c->out.cap > 0 && c->n_requests == 0) {
        buf_free(&c->out);
        if (!settle_held(c))
            CHECK(c->held_bytes > 0); /* less is never refused */
    }
    if (c->h2)
        tick_h2(c, now);
    else
        tick_h1(c, now);
}

/* The context is everybody's: the first worker reports it. */
static void count_reloads(struct otlp_server *s)
{
    struct tls_reloads r = tls_context_reloads(s->tls);

    if (!s->tls_reloads) {
        s->tls_reloads = ingest_tls_reloads(s->in, s->port->transport, "done");
        s->tls_failures = ingest_tls_reloads(s->in, s->port->transport, "failed");
    }
    series_set(s->tls_reloads, r.done);
    series_set(s->tls_failures, r.failed);
}

/* Who keeps room without using it, when others are short of it: halves of headers, answers nobody reads; and silent
 * connections while all of them together take more than a quarter. */
static bool in_the_way(const struct otlp_conn *c, uint64_t now, bool crowded)
{
    if (c->closing || now - c->heard_ns < PRESSURE_SILENT_NS)
        return false;
    if (c->writing)
        return now - c->write_ns >= PRESSURE_SILENT_NS;
    return c->held_bytes > 0 || (crowded && c->n_requests == 0);
}

static void make_room(struct otlp_server *s, uint64_t now)
{
    const struct budget *b = s->host->budget;
    bool crowded = budget_used_by(b, MEM_CONN) > budget_soft(b) / 4;
    struct list *at = s->conns.next;
    unsigned n = 0;

    ingest_evict_slow(s->in, INGEST_PRESSURE_IDLE_NS, INGEST_PRESSURE_FLOOR, &ingest_memory_result);
    for (; at != &s->conns && n < PRESSURE_CLOSES; at = at->next) {
        struct otlp_conn *c = CONTAINER_OF(at, struct otlp_conn, link);
        if (now - c->heard_ns < PRESSURE_SILENT_NS)
            break; /* the one silent for longest stands first */
        if (!in_the_way(c, now, crowded))
            continue;
        conn_close(c->conn, "made way: memory is short");
        c->closing = true;
        n++;
    }
}

/* Somebody was refused since the last tick, perhaps on another port or worker. */
static bool under_pressure(struct otlp_server *s)
{
    uint64_t refusals = budget_refusals(s->host->budget);
    bool more = refusals != s->refusals_seen;

    s->refusals_seen = refusals;
    return more;
}

static void on_tick(void *ctx)
{
    struct otlp_server *s = ctx;
    uint64_t now = now_of(s);
    struct list *at;

    if (s->tls && s->host->worker == 0)
        count_reloads(s);

    if (s->draining)
        ingest_evict_slow(s->in, DRAIN_IDLE_NS, DRAIN_FLOOR, &ingest_stopping_result);
    else
        ingest_evict_slow(s->in, BODY_IDLE_NS, BODY_FLOOR, &ingest_slow_result);
    if (s->on_tick)
        s->on_tick(s, now);
    if (under_pressure(s))
        make_room(s, now);
    fair_tick_begin(&s->fair);
    at = s->conns.next;
    while (at != &s->conns) {
        struct otlp_conn *c = CONTAINER_OF(at, struct otlp_conn, link);
        at = at->next;
        fair_tick_share(&s->fair, &c->share);
        tick_conn(c, now);
    }
    fair_tick_end(&s->fair);
    body_pool_trim(s->in->pool);
}

/* ---- the port ---- */

/* An equal share of the descriptors for each worker and port, some left for everything else. */
static unsigned connection_limit(const struct host *h)
{
    struct rlimit lim = {.rlim_cur = 1024};

    getrlimit(RLIMIT_NOFILE, &lim);
    uint64_t n = lim.rlim_cur > 1000000 ? 1000000 : lim.rlim_cur;
    uint64_t share = (n - n / 4) / (2ull * h->n_workers);
    return share < 16 ? 16 : (unsigned)share;
}

void otlp_server_init(struct otlp_server *s, const struct otlp_port *port, struct host *host,
                      struct ingest *in, const void *settings,
                      const struct otlp_conn_limits *limits)
{
    *s = (struct otlp_server){
        .port = port, .host = host, .in = in, .settings = settings, .limits = *limits};
    s->max_conns = connection_limit(host);
    random_secure(&s->random, sizeof s->random);
    s->random |= 1;
    s->h2_mem = h2_mem_new(OTLP_H2_MEM_BYTES, host->budget);
    list_init(&s->conns);
    list_init(&s->timed);
}

int otlp_server_listen(struct otlp_server *s, const struct listen_owner *owner, const char *endpoint, bool is_unix,
                       char bound[static 64], struct err *err)
{
    s->listener = listener_new_for(owner, s->host->loop, endpoint, is_unix, !is_unix, bound, on_accept, s, err);
    if (!s->listener)
        return -1;
    s->tick = timer_new(s->host->loop, __func__, on_tick, s);
    timer_start(s->tick, TICK_MS, TICK_MS);
    return 0;
}

static void drain_conn(struct otlp_conn *c)
{
    if (c->closing)
        return;
    if (c->h2)
        goaway(c, c->n_requests == 0, H2_NO_ERROR, NULL);
    else if (c->h1 && http1_state(c->h1) == HTTP1_IDLE && idle_in_drain(c, now_of(c->server)))
        start_close(c);
    /* one that has only just come has the ticks look after it */
}

void otlp_server_drain(struct otlp_server *s, void (*on_empty)(void *ctx), void *ctx)
{
    s->on_empty = on_empty;
    s->on_empty_ctx = ctx;
    if (!s->draining) {
        if (s->listener)
            listener_accept_waiting(s->listener);
        uint64_t since_ns;
        s->draining = true;
        s->stays = host_ready(s->host, &since_ns) || listen_sockets_handed_on();
        s->drain_ns = now_of(s);
        listener_free(&s->listener);
        for (struct list *at = s->conns.next; at != &s->conns; at = at->next)
            drain_conn(CONTAINER_OF(at, struct otlp_conn, link));
    }
    if (s->n_conns == 0)
        on_empty(ctx);
}

void otlp_server_cut(struct otlp_server *s)
{
    for (struct list *at = s->conns.next; at != &s->conns; at = at->next)
        conn_close(CONTAINER_OF(at, struct otlp_conn, link)->conn, "shutting down");
}

void otlp_server_close(struct otlp_server *s)
{
    if (!s->host)
        return;
    CHECK(s->n_conns == 0);
    listener_free(&s->listener);
    timer_free(&s->tick);
    fair_close(&s->fair);
    h2_mem_free(&s->h2_mem);
}
