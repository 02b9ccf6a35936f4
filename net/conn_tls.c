/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS between a connection's owner and its socket.
 *
 *   socket -> on_bytes -> session -> deliver -> owner's on_read
 *   owner's conn_write -> queue -> encrypt, ENCRYPT_BYTES at a time -> flight -> socket
 *
 * Reading:  up to 64 KiB of plaintext are gathered before the owner sees them. When the owner stops
 *           reading, what has come stays in the session and the socket is read no more.
 * Writing:  a write is done when its last byte has been encrypted and has left. At most one flight is
 *           with the socket, so what waits is the owner's plaintext, not a copy.
 * Failure:  the alert is sent, then a client's connection is closed at once, a server's when the peer
 *           has closed or after LINGER_MS: an early close would destroy the alert on its way.
 * Memory:   MEM_CONN, through the session: a flat sum, and the buffers as they are.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/conn_priv.h"
#include "net/tls_priv.h"
#include "net/tls_session.h"
#include "platform/mem.h"

#define ENCRYPT_BYTES ((size_t)96 << 10) /* of ciphertext; below malloc's threshold for mapping */
#define KEEP_BYTES    ((size_t)4 << 10)  /* of buffers, while nothing is on its way */
#define HANDSHAKE_MS  10000
#define LINGER_MS     1000

struct tls_write {
    struct tls_write *next;
    size_t at, offset, n;  /* cursor, and how many pieces there are */
    size_t bytes;
    void (*done)(void *ctx, bool ok);
    void *done_ctx;
    struct iovec iov[];
};

struct conn_tls {
    struct tls_session *session;
    struct tls_write *first, *last; /* not done */
    struct tls_write *next;         /* to be encrypted; NULL: all are */
    size_t unsent_bytes;
    struct buf flight; /* with the socket while in_flight */
    struct deferred resume;
    bool server, secured, failed, eof;
    bool starved;      /* the session needs more of the peer's bytes */
    bool in_flight, pumping, delivering, waited, said_bye;
};

static void pump(struct conn *c);

/* ---- writing ---- */

static bool all_encrypted(const struct tls_write *w)
{
    return w->at == w->n;
}

/* Up to a record's worth from the writes that wait, in place when it lies in one piece. */
static struct slice next_piece(struct conn_tls *t)
{
    uint8_t *piece = conn_scratch()->piece;
    size_t n = 0;

    while (t->next && n < TLS_PIECE_BYTES) {
        struct tls_write *w = t->next;
        if (all_encrypted(w)) {
            t->next = w->next;
            continue;
        }
        const struct iovec *v = &w->iov[w->at];
        const uint8_t *p = (const uint8_t *)v->iov_base + w->offset;
        size_t left = v->iov_len - w->offset, take = left < TLS_PIECE_BYTES - n ? left : TLS_PIECE_BYTES - n;
        w->offset += take;
        if (w->offset == v->iov_len) {
            w->at++;
            w->offset = 0;
        }
        if (n == 0 && take == TLS_PIECE_BYTES)
            return slice_of(p, take);
        if (take > 0)
            memcpy(piece + n, p, take);
        n += take;
    }
    return slice_of(piece, n);
}

static bool encrypt_some(struct conn_tls *t)
{
    struct buf *out = tls_session_output(t->session);

    while (t->secured && !t->failed && out->len < ENCRYPT_BYTES) {
        struct slice piece = next_piece(t);
        if (piece.len == 0)
            break;
        if (tls_session_write(t->session, piece.p, piece.len) != TLS_OK)
            return false;
    }
    return true;
}

static struct tls_write *pop(struct conn_tls *t)
{
    struct tls_write *w = t->first;

    t->first = w->next;
    if (!t->first)
        t->last = NULL;
    if (t->next == w)
        t->next = w->next;
    t->unsent_bytes -= w->bytes;
    return w;
}

static void write_done(struct tls_write *w, bool ok)
{
    if (w->done)
        w->done(w->done_ctx, ok);
    free(w);
}

/* Nothing is on its way: the writes that were encrypted have left. pumping is set: their owners may
 * write again. */
static void complete_writes(struct conn *c)
{
    struct conn_tls *t = c->tls;

    while (!c->closing && t->first && all_encrypted(t->first))
        write_done(pop(t), true);
}

static void on_flight_done(void *ctx, bool ok)
{
    struct conn *c = ctx;
    struct conn_tls *t = c->tls;

    t->in_flight = false;
    buf_clear(&t->flight);
    if (ok)
        pump(c);
}

static void launch(struct conn *c)
{
    struct conn_tls *t = c->tls;
    struct buf *out = tls_session_output(t->session);
    struct buf swap = t->flight;

    swap.max = out->max;
    t->flight = *out;
    *out = swap;
    t->in_flight = true;
    conn_write_raw(c, &(struct iovec){t->flight.p, t->flight.len}, 1, on_flight_done, c);
}

static void trim(struct conn_tls *t)
{
    struct buf *out = tls_session_output(t->session);
    size_t max = out->max;

    if (!t->in_flight && t->flight.cap > KEEP_BYTES)
        buf_free(&t->flight);
    if (!t->in_flight && out->len == 0 && out->cap > KEEP_BYTES) {
        buf_free(out);
        out->max = max;
    }
}

/* Everything has left: the goodbye, then the socket's write side. */
static void finish_shutdown(struct conn *c)
{
    struct conn_tls *t = c->tls;

    if (!c->shut || t->first || t->in_flight)
        return;
    if (t->said_bye || !t->secured) {
        conn_raw_shutdown(c);
        return;
    }
    t->said_bye = true;
    tls_session_shutdown(t->session);
    pump(c);
}

static void pump(struct conn *c)
{
    struct conn_tls *t = c->tls;

    if (t->pumping)
        return;
    t->pumping = true;
    while (!c->closing && !t->in_flight) {
        if (tls_session_output(t->session)->len == 0)
            complete_writes(c);
        bool ok = !c->closing && encrypt_some(t);
        if (!c->closing && tls_session_output(t->session)->len > 0)
            launch(c);
        else if (ok && (t->failed || !t->first || !all_encrypted(t->first)))
            break;
        if (!ok)
            conn_close(c, tls_session_error(t->session));
    }
    t->pumping = false;
    if (c->closing)
        return;
    if (!t->first)
        trim(t);
    tls_session_account(t->session, tls_session_output(t->session)->cap + t->flight.cap);
    finish_shutdown(c);
    if (!c->closing && t->waited && t->unsent_bytes == 0) {
        t->waited = false;
        if (c->ops && c->ops->on_flushed)
            c->ops->on_flushed(c->ctx);
    }
}

void conn_tls_write(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok), void *done_ctx)
{
    struct conn_tls *t = c->tls;
    struct tls_write *w = mem_alloc(sizeof *w + n * sizeof *iov);

    memcpy(w->iov, iov, n * sizeof *iov);
    w->n = n;
    w->done = done;
    w->done_ctx = done_ctx;
    for (size_t i = 0; i < n; i++)
        w->bytes += iov[i].iov_len;
    if (t->last)
        t->last->next = w;
    else
        t->first = w;
    t->last = w;
    if (!t->next)
        t->next = w;
    t->unsent_bytes += w->bytes;
    if (w->bytes == 0) { /* nothing would ever leave for it */
        w->at = w->n;
        if (t->first == w) {
            write_done(pop(t), true);
            return;
        }
    }
    pump(c);
    t->waited |= t->unsent_bytes > 0;
}

size_t conn_tls_unsent_bytes(const struct conn *c)
{
    return c->tls->unsent_bytes;
}

void conn_tls_shutdown(struct conn *c)
{
    pump(c);
}

void conn_tls_farewell(struct conn *c)
{
    struct conn_tls *t = c->tls;

    if (!t->secured || t->failed || t->in_flight || t->pumping || t->said_bye || t->first)
        return;
    t->said_bye = true;
    tls_session_shutdown(t->session);
    if (tls_session_output(t->session)->len > 0)
        launch(c);
}

/* ---- failing ---- */

static void on_linger_over(void *ctx)
{
    struct conn *c = ctx;

    conn_close(c, tls_session_error(c->tls->session));
}

/* A browser or curl that came with http:// reads why. */
static void answer_http(struct conn *c)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
                                 "This port speaks TLS: use https://\n";

    buf_clear(tls_session_output(c->tls->session)); /* no alert in the middle of it */
    conn_write_raw(c, &(struct iovec){(void *)(uintptr_t)answer, sizeof answer - 1}, 1, NULL, NULL);
}

static void fail(struct conn *c)
{
    struct conn_tls *t = c->tls;
    const char *why = tls_session_error(t->session);

    t->failed = true;
    if (t->server && strcmp(why, tls_error_is_http) == 0)
        answer_http(c);
    else if (!t->in_flight && tls_session_output(t->session)->len > 0)
        launch(c);
    if (c->closing)
        return;
    if (!t->server || t->in_flight) {
        conn_close(c, why);
        return;
    }
    c->shut = true;
    conn_raw_shutdown(c);
    timer_free(&c->timeout);
    c->timeout = timer_new(c->loop, __func__, on_linger_over, c);
    timer_start(c->timeout, LINGER_MS, 0);
    conn_raw_read(c, true); /* and throw away */
}

/* ---- reading ---- */

/* Plaintext to the owner for as long as it wants some. */
static void deliver(struct conn *c)
{
    struct conn_tls *t = c->tls;
    enum tls_result r = TLS_OK;
    uint8_t *plain = conn_scratch()->plain;
    size_t n;

    if (t->delivering || t->eof || t->failed)
        return;
    t->delivering = true;
    while (r == TLS_OK && c->reading && !c->closing) {
        r = tls_session_read(t->session, plain, CONN_READ_BYTES, &n);
        if (r == TLS_OK)
            c->ops->on_read(c->ctx, plain, n);
    }
    t->delivering = false;
    t->starved = r == TLS_MORE;
    if (c->closing)
        return;
    if (r == TLS_FAILED) {
        fail(c);
    } else if (r == TLS_EOF) {
        t->eof = true;
        if (c->ops->on_eof)
            c->ops->on_eof(c->ctx);
        else
            conn_close(c, "EOF");
    }
}

static void set_raw_reading(struct conn *c)
{
    const struct conn_tls *t = c->tls;

    if (!c->closing && !t->failed)
        conn_raw_read(c, !t->eof && (!t->secured || (c->reading && t->starved)));
}

static void on_secured(struct conn *c)
{
    c->tls->secured = true;
    timer_free(&c->timeout);
    if (c->on_connected)
        c->on_connected(c->ctx);
}

/* As far as the bytes that have come reach. */
static void advance(struct conn *c)
{
    struct conn_tls *t = c->tls;

    if (!t->secured && !t->failed) {
        enum tls_result r = tls_session_handshake(t->session);
        if (r == TLS_FAILED) {
            fail(c);
            return;
        }
        if (r == TLS_EOF) {
            conn_close(c, "tls: EOF during the handshake");
            return;
        }
        pump(c);
        if (r == TLS_OK && !c->closing)
            on_secured(c);
    }
    if (t->secured && !c->closing)
        deliver(c);
    if (c->closing)
        return;
    tls_session_keep(t->session);
    pump(c);
    set_raw_reading(c);
}

static void on_resume(void *ctx)
{
    struct conn *c = ctx;

    if (!c->closing)
        advance(c);
}

void conn_tls_on_bytes(struct conn *c, const uint8_t *p, size_t n)
{
    struct conn_tls *t = c->tls;

    if (t->failed)
        return;
    t->starved = false;
    tls_session_feed(t->session, p, n);
    advance(c);
}

void conn_tls_on_end(struct conn *c, const char *why)
{
    const struct conn_tls *t = c->tls;
    char text[128];

    snprintf(text, sizeof text, "%s%s%s", t->secured ? "" : "tls: ", why, t->secured ? "" : " during the handshake");
    conn_close(c, t->failed ? tls_session_error(t->session) : text);
}

void conn_tls_reading(struct conn *c)
{
    struct conn_tls *t = c->tls;

    if (t->failed)
        return;
    if (c->reading && t->secured && !t->starved)
        loop_defer(c->loop, &t->resume);
    set_raw_reading(c);
}

/* ---- making ---- */

static void on_handshake_timeout(void *ctx)
{
    conn_close(ctx, "tls: handshake timed out");
}

int conn_tls_attach(struct conn *c, struct tls_context *ctx, const char *host, struct err *err)
{
    struct tls_session *s = tls_session_new(ctx, host, err);

    if (!s)
        return -1;
    struct conn_tls *t = mem_alloc(sizeof *t);
    t->session = s;
    t->server = tls_context_config(ctx)->server;
    t->resume = (struct deferred){.fn = on_resume, .ctx = c};
    c->tls = t;
    return 0;
}

int conn_start_tls(struct conn *c, struct tls_context *ctx, struct err *err)
{
    CHECK(!c->tls && !c->reading);
    if (conn_tls_attach(c, ctx, NULL, err) != 0)
        return -1;
    c->timeout = timer_new(c->loop, __func__, on_handshake_timeout, c);
    timer_start(c->timeout, HANDSHAKE_MS, 0);
    return 0;
}

int conn_start_tls_client(struct conn *c, const struct conn_tls_client *tls, uint64_t timeout_ms,
                          void (*on_connected)(void *ctx), struct err *err)
{
    CHECK(!c->tls && !c->reading && !c->unread);
    if (conn_tls_attach(c, tls->context, tls->host, err) != 0)
        return -1;
    c->on_connected = on_connected;
    c->timeout = timer_new(c->loop, __func__, on_handshake_timeout, c);
    timer_start(c->timeout, timeout_ms, 0);
    conn_tls_begin(c);
    return 0;
}

void conn_tls_begin(struct conn *c)
{
    advance(c);
}

void conn_tls_free(struct conn *c)
{
    struct conn_tls *t = c->tls;

    loop_undefer(c->loop, &t->resume);
    while (t->first)
        write_done(pop(t), false);
    buf_free(&t->flight);
    tls_session_free(&t->session);
    c->tls = NULL;
    free(t);
}
