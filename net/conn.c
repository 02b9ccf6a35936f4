/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections over libuv.
 *
 *   dialling -> open -> (write side shut) -> closing -> on_closed, freed
 *
 * Reading:  one buffer of 64 KiB per thread serves all its connections: bytes are handed up at once
 *           and never kept here. 64 KiB was measured faster than more (cache).
 * Writing:  straight to the socket; only what the socket does not take becomes a uv_write request
 *           that remembers whom to tell. libuv keeps the order.
 * Closing:  conn_close() marks and asks libuv; the memory goes in libuv's close callback, after
 *           on_closed. A conn is never freed inside one of its own callbacks.
 * TLS:      conn_tls.c sits between: the _raw functions are the socket's, the others the owner's.
 * Threads:  a conn belongs to its loop's thread.
 */
#include "net/conn_priv.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "platform/mem.h"

_Static_assert(sizeof(uv_buf_t) == sizeof(struct iovec), "iovecs are handed to libuv as they are");
_Static_assert(offsetof(uv_buf_t, base) == offsetof(struct iovec, iov_base), "same order");
_Static_assert(offsetof(uv_buf_t, len) == offsetof(struct iovec, iov_len), "same order");

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

/* One conn_write whose bytes the socket did not take at once. */
struct pending_write {
    uv_write_t req;
    struct conn *conn;
    size_t bytes;
    void (*done)(void *ctx, bool ok);
    void *done_ctx;
};

void conn_ignore_sigpipe(void)
{
    struct sigaction now;

    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &now, NULL);
    }
}

const char *conn_errno_text(int err, char buf[static 96])
{
    const char *text = strerrordesc_np(err);

    snprintf(buf, 96, "%s", text ? text : "unknown error");
    buf[0] = (char)tolower((unsigned char)buf[0]);
    return buf;
}

/* ---- end ---- */

static void drop_unread(struct conn *c);

static void on_uv_close(uv_handle_t *h)
{
    struct conn *c = h->data;

    timer_free(&c->timeout);
    drop_unread(c);
    if (c->tls)
        conn_tls_free(c);
    if (c->ops)
        c->ops->on_closed(c->ctx, c->reason);
    free(c);
}

void conn_close(struct conn *c, const char *reason)
{
    if (c->closing)
        return;
    if (c->tls)
        conn_tls_farewell(c);
    if (c->closing) /* the farewell found the socket broken */
        return;
    c->closing = true;
    c->reading = false;
    snprintf(c->reason, sizeof c->reason, "%s", reason ? reason : "");
    if (c->timeout)
        timer_stop(c->timeout);
    uv_close(&c->uv.handle, on_uv_close);
}

static void close_for(struct conn *c, int uv_error)
{
    char text[96];

    conn_close(c, uv_error == UV_EOF ? "EOF" : conn_errno_text(-uv_error, text));
}

/* ---- reading ---- */

static void scratch_init(void)
{
    CHECK(pthread_key_create(&scratch_key, free) == 0);
}

struct conn_scratch *conn_scratch(void)
{
    pthread_once(&scratch_once, scratch_init);
    struct conn_scratch *s = pthread_getspecific(scratch_key);
    if (!s) {
        s = mem_alloc(sizeof *s);
        CHECK(pthread_setspecific(scratch_key, s) == 0);
    }
    return s;
}

static void on_uv_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    (void)h;
    (void)suggested;
    *out = uv_buf_init((char *)conn_scratch()->raw, CONN_READ_BYTES);
}

static void on_uv_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    char text[96];

    if (n == 0 || c->closing)
        return;
    if (n > 0 && c->tls) {
        conn_tls_on_bytes(c, (const uint8_t *)buf->base, (size_t)n);
        return;
    }
    if (n > 0) {
        c->ops->on_read(c->ctx, (const uint8_t *)buf->base, (size_t)n);
        return;
    }
    c->reading = false;
    conn_raw_read(c, false);
    if (c->tls)
        conn_tls_on_end(c, n == UV_EOF ? "EOF" : conn_errno_text((int)-n, text));
    else if (n == UV_EOF && c->ops->on_eof)
        c->ops->on_eof(c->ctx);
    else
        close_for(c, (int)n);
}

void conn_raw_read(struct conn *c, bool on)
{
    int rc = 0;

    if (c->closing)
        return;
    if (!on)
        uv_read_stop(&c->uv.stream);
    else if (!c->raw_reading)
        rc = uv_read_start(&c->uv.stream, on_uv_alloc, on_uv_read);
    c->raw_reading = on && rc == 0;
    if (rc != 0)
        close_for(c, rc);
}

/* Bytes given back by one owner for the next. */
struct conn_unread {
    struct deferred again;
    size_t n;
    uint8_t p[];
};

static void read_again(void *ctx)
{
    struct conn *c = ctx;
    struct conn_unread *u = c->unread;

    if (!c->reading || c->closing)
        return;
    c->unread = NULL;
    conn_raw_read(c, true);
    c->ops->on_read(c->ctx, u->p, u->n);
    free(u);
}

void conn_unread(struct conn *c, const uint8_t *p, size_t n)
{
    struct conn_unread *u = mem_alloc(sizeof(*u) + n);

    CHECK(!c->unread && !c->tls && !c->reading);
    u->again = (struct deferred){.fn = read_again, .ctx = c};
    u->n = n;
    memcpy(u->p, p, n);
    c->unread = u;
}

static void drop_unread(struct conn *c)
{
    if (c->unread)
        loop_undefer(c->loop, &c->unread->again);
    free(c->unread);
    c->unread = NULL;
}

void conn_read_start(struct conn *c)
{
    if (c->reading || c->closing)
        return;
    c->reading = true;
    if (c->tls)
        conn_tls_reading(c);
    else if (c->unread)
        loop_defer(c->loop, &c->unread->again);
    else
        conn_raw_read(c, true);
}

void conn_read_stop(struct conn *c)
{
    if (!c->reading)
        return;
    c->reading = false;
    if (c->tls)
        conn_tls_reading(c);
    else
        conn_raw_read(c, false);
}

/* ---- writing ---- */

static void on_uv_written(uv_write_t *req, int status)
{
    struct pending_write *w = CONTAINER_OF(req, struct pending_write, req);
    struct conn *c = w->conn;

    c->unsent_bytes -= w->bytes;
    if (w->done)
        w->done(w->done_ctx, status == 0);
    free(w);
    if (c->closing)
        return;
    if (status != 0)
        close_for(c, status);
    else if (!c->tls && c->unsent_bytes == 0 && c->ops && c->ops->on_flushed)
        c->ops->on_flushed(c->ctx);
}

static size_t iov_bytes(const struct iovec *iov, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += iov[i].iov_len;
    return sum;
}

/* Queues what is left of iov after the first `skip` bytes. */
static int write_rest(struct conn *c, const struct iovec *iov, size_t n, size_t skip, size_t left,
                      void (*done)(void *ctx, bool ok), void *done_ctx)
{
    while (n > 0 && skip >= iov->iov_len) {
        skip -= iov->iov_len;
        iov++;
        n--;
    }
    CHECK(n > 0);
    struct pending_write *w = mem_alloc(sizeof *w);
    uv_buf_t few[16];
    uv_buf_t *bufs = n <= ARRAY_LEN(few) ? few : mem_alloc_array(n, sizeof *bufs);

    for (size_t i = 0; i < n; i++)
        bufs[i] = uv_buf_init(iov[i].iov_base, (unsigned)iov[i].iov_len);
    bufs[0].base += skip;
    bufs[0].len -= skip;
    *w = (struct pending_write){.conn = c, .bytes = left, .done = done, .done_ctx = done_ctx};
    int rc = uv_write(&w->req, &c->uv.stream, bufs, (unsigned)n, on_uv_written);
    if (bufs != few)
        free(bufs);
    if (rc != 0)
        free(w);
    else
        c->unsent_bytes += left;
    return rc;
}

void conn_write_raw(struct conn *c, const struct iovec *iov, size_t n, void (*done)(void *ctx, bool ok),
                void *done_ctx)
{
    size_t total = iov_bytes(iov, n);
    ssize_t sent = 0;
    int rc = 0;

    if (c->closing || c->raw_shut) {
        rc = UV_ECANCELED;
    } else if (total > 0 && c->unsent_bytes == 0) {
        sent = uv_try_write(&c->uv.stream, (const uv_buf_t *)(const void *)iov, (unsigned)n);
        if (sent < 0 && sent != UV_EAGAIN)
            rc = (int)sent;
        if (sent < 0)
            sent = 0;
    }
    if (rc == 0 && (size_t)sent < total) {
        rc = write_rest(c, iov, n, (size_t)sent, total - (size_t)sent, done, done_ctx);
        if (rc == 0)
            return;
    }
    if (rc != 0 && !c->closing && !c->raw_shut)
        close_for(c, rc);
    if (done)
        done(done_ctx, rc == 0);
}

void conn_write(struct conn *c, const struct iovec *iov, size_t n,
                void (*done)(void *ctx, bool ok), void *done_ctx)
{
    if (!c->tls)
        conn_write_raw(c, iov, n, done, done_ctx);
    else if (!c->closing && !c->shut)
        conn_tls_write(c, iov, n, done, done_ctx);
    else if (done)
        done(done_ctx, false);
}

size_t conn_unsent_bytes(const struct conn *c)
{
    return c->tls ? conn_tls_unsent_bytes(c) : c->unsent_bytes;
}

static void on_uv_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* a failure shows up as a read or close of its own */
}

void conn_raw_shutdown(struct conn *c)
{
    if (c->closing || c->raw_shut)
        return;
    c->raw_shut = true;
    int rc = uv_shutdown(&c->shutdown, &c->uv.stream, on_uv_shutdown);
    if (rc != 0)
        close_for(c, rc);
}

void conn_shutdown(struct conn *c)
{
    if (c->closing || c->shut)
        return;
    c->shut = true;
    if (c->tls)
        conn_tls_shutdown(c);
    else
        conn_raw_shutdown(c);
}

/* ---- making ---- */

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *ctx)
{
    c->ops = ops;
    c->ctx = ctx;
}

static struct conn *conn_new(struct loop *l, int family)
{
    struct conn *c = mem_alloc(sizeof *c);
    int rc = family == AF_UNIX ? uv_pipe_init(loop_uv(l), &c->uv.pipe, 0)
                               : uv_tcp_init(loop_uv(l), &c->uv.tcp);

    CHECK(rc == 0);
    c->loop = l;
    c->uv.handle.data = c;
    return c;
}

struct conn *conn_adopt(struct loop *l, int fd, const struct sockaddr_storage *peer)
{
    struct conn *c = conn_new(l, peer->ss_family);
    int one = 1;
    int rc =
        peer->ss_family == AF_UNIX ? uv_pipe_open(&c->uv.pipe, fd) : uv_tcp_open(&c->uv.tcp, fd);

    if (rc != 0) {
        close(fd);
        conn_close(c, "");
        return NULL;
    }
    c->peer_address = *peer;
    if (peer->ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return c;
}

static void on_uv_connect(uv_connect_t *req, int status)
{
    struct conn *c = req->handle->data;

    if (c->closing)
        return;
    if (status != 0) {
        close_for(c, status);
        return;
    }
    if (c->peer_address.ss_family != AF_UNIX)
        uv_tcp_nodelay(&c->uv.tcp, 1);
    if (c->tls) {
        conn_tls_begin(c);
        return;
    }
    timer_free(&c->timeout);
    if (c->on_connected)
        c->on_connected(c->ctx);
}

static void on_dial_timeout(void *ctx)
{
    conn_close(ctx, "i/o timeout");
}

struct conn *conn_dial(struct loop *l, const struct sockaddr *addr, uint64_t timeout_ms,
                       const struct conn_tls_client *tls, const struct conn_ops *ops,
                       void (*on_connected)(void *ctx), void *ctx)
{
    struct conn *c = conn_new(l, addr->sa_family);
    struct err err = {0};
    int rc = 0;

    conn_ignore_sigpipe();
    conn_set_ops(c, ops, ctx);
    c->on_connected = on_connected;
    if (tls && conn_tls_attach(c, tls->context, tls->host, &err) != 0) {
        conn_close(c, err.text);
        return c;
    }
    if (addr->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const void *)addr;
        c->peer_address.ss_family = AF_UNIX;
        uv_pipe_connect(&c->connect, &c->uv.pipe, un->sun_path, on_uv_connect);
    } else {
        memcpy(&c->peer_address, addr,
               addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                          : sizeof(struct sockaddr_in6));
        rc = uv_tcp_connect(&c->connect, &c->uv.tcp, addr, on_uv_connect);
    }
    if (rc != 0) {
        close_for(c, rc);
        return c;
    }
    if (timeout_ms > 0) {
        c->timeout = timer_new(l, __func__, on_dial_timeout, c);
        timer_start(c->timeout, timeout_ms, 0);
    }
    return c;
}

/* ---- names ---- */

void conn_format_address(const struct sockaddr *sa, bool without_port, char dst[static 64])
{
    char ip[INET6_ADDRSTRLEN] = "";

    dst[0] = '\0';
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(dst, 64, without_port ? "%s" : "%s:%u", ip, ntohs(in->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        if (mapped)
            inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, ip, sizeof ip);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
        if (without_port)
            snprintf(dst, 64, "%s", ip);
        else
            snprintf(dst, 64, mapped ? "%s:%u" : "[%s]:%u", ip, ntohs(in6->sin6_port));
    }
}

const char *conn_peer_ip(const struct conn *c)
{
    struct conn *lazy = (struct conn *)c; /* formatting at first use changes nothing visible */

    if (!c->peer_ip[0])
        conn_format_address((const struct sockaddr *)&c->peer_address, true, lazy->peer_ip);
    return c->peer_ip;
}

const char *conn_peer(const struct conn *c)
{
    struct conn *lazy = (struct conn *)c;

    if (!c->peer[0])
        conn_format_address((const struct sockaddr *)&c->peer_address, false, lazy->peer);
    return c->peer;
}
