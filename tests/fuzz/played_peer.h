/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend played to an exporter, without sockets: this file takes the place of net/conn.c. What the fuzzer
 * gives is what the backend sends; dialling, protocol, answers, queue and retry run as in the daemon.
 * Included once by each target that plays a backend.
 */
#ifndef TAILRACE_TESTS_FUZZ_PLAYED_PEER_H
#define TAILRACE_TESTS_FUZZ_PLAYED_PEER_H

#include <stdlib.h>

#include "exporters/exporters.h"
#include "net/conn.h"
#include "net/conn_priv.h"

/* The fuzz programs link the library only. */
#include "tests/lib/test_extension.c" /* NOLINT(bugprone-suspicious-include) */
#include "tests/lib/test_host.c"     /* NOLINT(bugprone-suspicious-include) */
#include "tests/lib/test_payload.c"  /* NOLINT(bugprone-suspicious-include) */
#include "tests/lib/test_settings.c" /* NOLINT(bugprone-suspicious-include) */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- net/conn.h ---- */

struct played {
    struct conn conn; /* first; the fields that this file uses */
    struct deferred closed;
    const char *reason;
};

static struct played *dialled; /* the last one, until it is closed */

static void on_played_closed(void *ctx)
{
    struct played *p = ctx;

    p->conn.ops->on_closed(p->conn.ctx, p->reason);
    free(p);
}

struct conn *conn_dial(struct loop *l, const struct sockaddr *addr, uint64_t timeout_ms, const struct conn_tls_client *tls,
                       const struct conn_ops *ops, void (*on_connected)(void *ctx), void *ctx)
{
    struct played *p = mem_alloc(sizeof(*p));

    (void)addr, (void)timeout_ms, (void)tls;
    p->conn.loop = l;
    p->conn.ops = ops;
    p->conn.ctx = ctx;
    p->conn.on_connected = on_connected;
    p->closed = (struct deferred){.fn = on_played_closed, .ctx = p};
    dialled = p;
    return &p->conn;
}

void conn_close(struct conn *c, const char *reason)
{
    struct played *p = CONTAINER_OF(c, struct played, conn);

    if (c->closing)
        return;
    c->closing = true;
    p->reason = *reason ? "played" : "";
    if (dialled == p)
        dialled = NULL;
    loop_defer(c->loop, &p->closed);
}

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *ctx)
{
    c->ops = ops;
    c->ctx = ctx;
}

void conn_read_start(struct conn *c)
{
    c->reading = true;
}

void conn_read_stop(struct conn *c)
{
    c->reading = false;
}

void conn_write(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok), void *done_ctx)
{
    (void)iov, (void)n;
    if (done)
        done(done_ctx, !c->closing);
}

size_t conn_unsent_bytes(const struct conn *c)
{
    (void)c;
    return 0;
}

void conn_shutdown(struct conn *c)
{
    (void)c;
}

/* These two are for ways through a proxy. */
int conn_start_tls_client(struct conn *c, const struct conn_tls_client *tls, uint64_t timeout_ms,
                          void (*on_connected)(void *ctx), struct err *err)
{
    (void)c, (void)tls, (void)timeout_ms, (void)on_connected;
    return err_set(err, "played");
}

void conn_unread(struct conn *c, const uint8_t *p, size_t n)
{
    (void)c, (void)p, (void)n;
}

const char *conn_peer_ip(const struct conn *c)
{
    (void)c;
    return "192.0.2.1";
}

const char *conn_peer(const struct conn *c)
{
    (void)c;
    return "192.0.2.1:1";
}

/* ---- one input ---- */

static struct test_host *host;

static void turns(int n)
{
    while (n-- > 0)
        th_turn(host);
}

static bool is_dialled(void *ctx)
{
    (void)ctx;
    return dialled != NULL;
}

static void say(const uint8_t *p, size_t n, size_t piece)
{
    while (n > 0 && dialled && dialled->conn.reading) {
        size_t take = n < piece ? n : piece;
        uint8_t *exact = malloc(take); /* so that reading past the end is seen */

        memcpy(exact, p, take);
        dialled->conn.ops->on_read(dialled->conn.ctx, exact, take);
        free(exact);
        th_turn(host);
        p += take;
        n -= take;
    }
}

/* An exporter sends a few batches; the backend says `opening`, then `said`, then nothing more. */
static void play(const struct component_type *type, const struct test_settings *settings, const uint8_t *opening,
                 size_t n_opening, const uint8_t *said, size_t n_said, size_t piece)
{
    struct component *c;

    if (!host) {
        host = th_new();
        host->host.log.sink = NULL;
    }
    host->deadline_passed = false;
    host->n_drained = 0;
    dialled = NULL;
    c = th_component(host, type, settings->settings);
    for (int i = 0; i < 3; i++)
        th_push(c, th_batch(host, th_payload_n(host, 1, 2)));
    CHECK(th_run_until(host, is_dialled, NULL));
    dialled->conn.on_connected(dialled->conn.ctx);
    turns(2);
    say(opening, n_opening, n_opening);
    say(said, n_said, piece);
    if (dialled && dialled->conn.ops->on_eof)
        dialled->conn.ops->on_eof(dialled->conn.ctx);
    if (dialled)
        conn_close(&dialled->conn, "EOF");
    turns(2);
    host->deadline_passed = true;
    th_component_free(host, &c);
    turns(2);
    CHECK(budget_used(host->host.budget) == 0);
    CHECK(th_balanced(host));
}

#endif
