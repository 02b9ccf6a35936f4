/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, addresses to connections.
 *
 * A lookup or a dial that is cancelled lives on until libuv gives its callback; then it frees itself.
 * Until that moment it holds no pointer of its owner's that it would follow.
 */
#include "net/dial.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <uv.h>

#include "platform/buf.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "platform/mem.h"

#define MAX_PROXY_HEAD ((size_t)16 << 10)

/* ---- addresses ---- */

static socklen_t address_len(const struct address *a)
{
    return a->sa.ss_family == AF_INET    ? sizeof(struct sockaddr_in)
           : a->sa.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                         : sizeof(struct sockaddr_un);
}

bool address_eq(const struct address *a, const struct address *b)
{
    return a->sa.ss_family == b->sa.ss_family && memcmp(&a->sa, &b->sa, address_len(a)) == 0;
}

void address_format(const struct address *a, char dst[static 128])
{
    char ip[INET6_ADDRSTRLEN] = "";

    if (a->sa.ss_family == AF_UNIX) {
        snprintf(dst, 128, "%s", ((const struct sockaddr_un *)(const void *)&a->sa)->sun_path);
    } else if (a->sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *s6 = (const struct sockaddr_in6 *)(const void *)&a->sa;

        inet_ntop(AF_INET6, &s6->sin6_addr, ip, sizeof(ip));
        snprintf(dst, 128, "[%s]:%u", ip, ntohs(s6->sin6_port));
    } else {
        const struct sockaddr_in *s4 = (const struct sockaddr_in *)(const void *)&a->sa;

        inet_ntop(AF_INET, &s4->sin_addr, ip, sizeof(ip));
        snprintf(dst, 128, "%s:%u", ip, ntohs(s4->sin_port));
    }
}

/* ---- lookup ---- */

struct resolve {
    uv_getaddrinfo_t req;
    struct deferred now; /* unix paths and lookups that could not start need no lookup */
    struct loop *loop;
    struct endpoint endpoint;
    bool started;
    int start_error;
    void (*done)(void *ctx, const struct address *addrs, unsigned n, const char *error);
    void *ctx;
};

static unsigned addrs_of(const struct addrinfo *ai, struct address out[static DIAL_MAX_ADDRS])
{
    unsigned n = 0;

    for (; ai != NULL && n < DIAL_MAX_ADDRS; ai = ai->ai_next) {
        if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
            continue;
        memset(&out[n], 0, sizeof(out[n]));
        memcpy(&out[n].sa, ai->ai_addr, ai->ai_addrlen);
        n++;
    }
    return n;
}

static void resolve_end(struct resolve *r, const struct address *addrs, unsigned n, const char *error)
{
    void (*done)(void *, const struct address *, unsigned, const char *) = r->done;
    void *ctx = r->ctx;

    free(r);
    if (done != NULL)
        done(ctx, addrs, n, error);
}

static void on_addrinfo(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct resolve *r = CONTAINER_OF(req, struct resolve, req);
    struct address addrs[DIAL_MAX_ADDRS];
    unsigned n = status == 0 ? addrs_of(res, addrs) : 0;
    char error[400] = "";

    uv_freeaddrinfo(res);
    if (n == 0)
        snprintf(error, sizeof(error), "lookup %s: %s", r->endpoint.host,
                 status == UV_EAI_NONAME || status == 0 ? "no such host" : uv_strerror(status));
    resolve_end(r, addrs, n, error);
}

static bool unix_address(const char *path, struct address *a)
{
    struct sockaddr_un *su = (struct sockaddr_un *)(void *)&a->sa;

    memset(a, 0, sizeof(*a));
    su->sun_family = AF_UNIX;
    return (size_t)snprintf(su->sun_path, sizeof(su->sun_path), "%s", path) < sizeof(su->sun_path);
}

static void resolve_now(void *ctx)
{
    struct resolve *r = ctx;
    struct address a;
    char error[400];

    if (r->endpoint.scheme == ENDPOINT_UNIX && unix_address(r->endpoint.host, &a)) {
        resolve_end(r, &a, 1, "");
        return;
    }
    snprintf(error, sizeof(error), "lookup %s: %s", r->endpoint.host,
             r->start_error != 0 ? uv_strerror(r->start_error) : "path too long");
    resolve_end(r, NULL, 0, error);
}

struct resolve *resolve_start(struct loop *l, const struct endpoint *e,
                              void (*done)(void *ctx, const struct address *addrs, unsigned n, const char *error),
                              void *ctx)
{
    struct resolve *r = mem_alloc(sizeof(*r));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    char port[8];

    *r = (struct resolve){.loop = l, .endpoint = *e, .done = done, .ctx = ctx};
    r->now = (struct deferred){.fn = resolve_now, .ctx = r};
    snprintf(port, sizeof(port), "%u", e->port);
    if (e->scheme != ENDPOINT_UNIX) {
        r->start_error = uv_getaddrinfo(loop_uv(l), &r->req, on_addrinfo, e->host, port, &hints);
        r->started = r->start_error == 0;
    }
    if (!r->started)
        loop_defer(l, &r->now);
    return r;
}

void resolve_cancel(struct resolve **r)
{
    struct resolve *x = *r;

    *r = NULL;
    if (x == NULL)
        return;
    x->done = NULL;
    if (x->started) {
        uv_cancel((uv_req_t *)&x->req); /* running ones cannot be; their callback comes either way */
        return;
    }
    loop_undefer(x->loop, &x->now);
    free(x);
}

/* ---- dialling ---- */

struct dialer {
    struct loop *loop;
    struct address addrs[DIAL_MAX_ADDRS];
    unsigned n, i; /* i: the one being tried */
    uint64_t timeout_ms;
    struct conn_tls_client tls; /* context NULL: plaintext */
    struct dial_tunnel tunnel;  /* target NULL: none */
    struct buf sent, answer;    /* of the proxy */
    struct timer *patience;     /* with the proxy */
    struct conn *conn;
    void (*done)(void *ctx, struct conn *c, const char *error); /* NULL: cancelled */
    void *ctx;
};

static void dialer_try(struct dialer *d);

static void dialer_free(struct dialer *d)
{
    timer_free(&d->patience);
    if (d->sent.cap)
        explicit_bzero(d->sent.p, d->sent.cap);
    buf_free(&d->sent);
    buf_free(&d->answer);
    free(d);
}

/* The address did not work: the next one, or the end. */
static void dial_on_closed(void *ctx, const char *reason)
{
    struct dialer *d = ctx;
    char where[128], error[300];
    void (*done)(void *, struct conn *, const char *) = d->done;

    d->conn = NULL;
    timer_free(&d->patience);
    buf_clear(&d->answer);
    if (done != NULL && ++d->i < d->n) {
        dialer_try(d);
        return;
    }
    if (done != NULL) {
        address_format(&d->addrs[d->n - 1], where);
        snprintf(error, sizeof(error), "dial %s %s: %s",
                 d->addrs[d->n - 1].sa.ss_family == AF_UNIX ? "unix" : "tcp", where,
                 reason[0] != '\0' ? reason : "closed");
        done(d->ctx, NULL, error);
    }
    dialer_free(d);
}

/* The conn changes hands: done sets its own ops. */
static void dial_on_connected(void *ctx)
{
    struct dialer *d = ctx;
    struct conn *c = d->conn;

    if (d->done == NULL)
        return; /* cancelled: the close is under way */
    d->done(d->ctx, c, "");
    dialer_free(d);
}

/* ---- tunnels ---- */

static void on_patience_over(void *ctx)
{
    struct dialer *d = ctx;

    conn_close(d->conn, "proxy: no answer in time");
}

/* The proxy's head is complete: rest is what came behind it. */
static void tunnel_answered(struct dialer *d, struct slice rest)
{
    struct err err = {""};
    char text[64];
    int status = 0;

    conn_read_stop(d->conn);
    timer_free(&d->patience);
    if (sscanf((const char *)d->answer.p, "HTTP/1.%*1d %3d", &status) != 1 || status / 100 != 2) {
        snprintf(text, sizeof(text), "proxy: HTTP status %d", status);
        conn_close(d->conn, status ? text : "proxy: what came is not HTTP");
        return;
    }
    if (d->tls.context == NULL) {
        if (rest.len)
            conn_unread(d->conn, rest.p, rest.len);
        dial_on_connected(d);
    } else if (rest.len) {
        conn_close(d->conn, "proxy: it speaks into the tunnel");
    } else if (conn_start_tls_client(d->conn, &d->tls, d->timeout_ms, dial_on_connected, &err) != 0) {
        conn_close(d->conn, err.text);
    }
}

static void dial_on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct dialer *d = ctx;
    size_t before = d->answer.len;
    const uint8_t *end;

    if (d->done == NULL)
        return;
    buf_put(&d->answer, p, n < MAX_PROXY_HEAD ? n : MAX_PROXY_HEAD);
    end = memmem(d->answer.p, d->answer.len, "\r\n\r\n", 4);
    if (end != NULL) {
        size_t used = (size_t)(end + 4 - d->answer.p) - before;

        buf_putc(&d->answer, '\0');
        tunnel_answered(d, slice_of(p + used, n - used));
    } else if (d->answer.len >= MAX_PROXY_HEAD) {
        conn_close(d->conn, "proxy: its answer has no end");
    }
}

static void tunnel_begin(void *ctx)
{
    struct dialer *d = ctx;
    struct iovec iov;

    if (d->done == NULL)
        return;
    if (!d->sent.len) {
        buf_putf(&d->sent, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: tailrace/" TAILRACE_VERSION "\r\n", d->tunnel.target,
                 d->tunnel.target);
        if (d->tunnel.authorization[0] != '\0')
            buf_putf(&d->sent, "Proxy-Authorization: %s\r\n", d->tunnel.authorization);
        buf_puts(&d->sent, "\r\n");
    }
    d->patience = timer_new(d->loop, __func__, on_patience_over, d);
    timer_start(d->patience, d->timeout_ms, 0);
    iov = (struct iovec){d->sent.p, d->sent.len};
    conn_write(d->conn, &iov, 1, NULL, NULL);
    conn_read_start(d->conn);
}

static const struct conn_ops dial_ops = {.on_read = dial_on_read, .on_closed = dial_on_closed};

static void dialer_try(struct dialer *d)
{
    bool tunnel = d->tunnel.target != NULL;

    d->conn = conn_dial(d->loop, (const struct sockaddr *)&d->addrs[d->i].sa, d->timeout_ms,
                        d->tls.context != NULL && !tunnel ? &d->tls : NULL, &dial_ops,
                        tunnel ? tunnel_begin : dial_on_connected, d);
}

struct dialer *dialer_start(struct loop *l, const struct address *addrs, unsigned n, uint64_t timeout_ms,
                            const struct dial_tunnel *tunnel, const struct conn_tls_client *tls,
                            void (*done)(void *ctx, struct conn *c, const char *error), void *ctx)
{
    struct dialer *d = mem_alloc(sizeof(*d));

    CHECK(n > 0 && n <= DIAL_MAX_ADDRS);
    d->loop = l;
    memcpy(d->addrs, addrs, n * sizeof(*addrs));
    d->n = n;
    d->timeout_ms = timeout_ms;
    if (tls != NULL)
        d->tls = *tls;
    if (tunnel != NULL)
        d->tunnel = *tunnel;
    d->done = done;
    d->ctx = ctx;
    dialer_try(d);
    return d;
}

void dialer_cancel(struct dialer **d)
{
    struct dialer *x = *d;

    *d = NULL;
    if (x == NULL)
        return;
    x->done = NULL;
    conn_close(x->conn, "");
}

const char *endpoint_tls_host(const struct endpoint *e)
{
    return e->scheme == ENDPOINT_UNIX ? "localhost" : e->host;
}

/* ---- pauses ---- */

uint64_t backoff_next_ms(struct backoff *b)
{
    uint64_t base = b->base_ms != 0 ? b->base_ms : b->first_ms;

    if (b->rng == 0)
        b->rng = clock_mono_ns() | 1;
    b->base_ms = base * 8 / 5;
    if (b->base_ms > b->max_ms)
        b->base_ms = b->max_ms;
    return (uint64_t)((double)base * (0.8 + 0.4 * random_unit(&b->rng))) + 1;
}

void backoff_reset(struct backoff *b)
{
    b->base_ms = 0;
}
