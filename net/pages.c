/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text pages over HTTP/1.1: sockets from net/conn.h, the protocol from net/http1_server.h.
 *
 *   listener -> page_conn (conn + http1) -> page_request -> handler ... page_respond -> conn
 *
 * A request knows its connection until that closes; an answer to a closed one goes nowhere. The
 * server itself stays until its last connection has closed, and can be freed at any time.
 * Memory: bounded by the number of connections; pages live until they are written.
 */
#include "net/pages.h"

#include <stdlib.h>

#include "net/compress.h"
#include "net/http1_server.h"
#include "platform/clock.h"
#include "platform/list.h"
#include "platform/mem.h"

enum {
    MAX_CONNS = 128,
    MAX_HEADER_BYTES = 16384,
    IDLE_MS = 60000,
    SWEEP_MS = 5000,
    GZIP_FROM_BYTES = 1024
};

struct pages {
    struct loop *loop;
    struct listener *listener;
    struct timer *sweep;
    struct list conns;
    unsigned n_conns;
    bool freed, any_method;
    struct tls_context *tls;
    const struct http1_field *fields;
    size_t n_fields;
    const char *post_path; /* NULL: none */
    struct compressor *gzip; /* made at the first use */
    pages_handler *handler;
    void *ctx;
};

struct page_conn {
    struct list link;
    struct pages *server;
    struct conn *conn;
    struct http1 *http;
    struct page_request *request; /* being read, or unanswered */
    uint64_t active_ns;           /* accepted, or answered: bytes alone keep no connection open */
    bool feeding, shut;
};

/* ---- requests ---- */

static struct page_request *request_new(struct page_conn *pc)
{
    struct page_request *r = mem_alloc(sizeof(*r));

    r->server = pc->server;
    r->conn = pc;
    pc->request = r;
    return r;
}

static void request_free(struct page_request *r)
{
    if (r->conn)
        r->conn->request = NULL;
    free((char *)r->path);
    free((char *)r->query);
    free(r);
}

static bool mentions(struct slice value, const char *word)
{
    return memmem(value.p, value.len, word, strlen(word)) != NULL;
}

static void on_header(void *ctx, struct slice name, struct slice value)
{
    struct page_conn *pc = ctx;

    if (!pc->request)
        (void)request_new(pc);
    if (slice_eq(name, slice_str("accept-encoding")) && mentions(value, "gzip") &&
        !mentions(value, "gzip;q=0"))
        pc->request->gzip = true;
}

static void refuse(struct page_conn *pc, int status, const char *text)
{
    static const struct http1_field allow = {"Allow", "GET, HEAD"};

    if (pc->request)
        request_free(pc->request);
    http1_respond(pc->http, status, "text/plain; charset=utf-8", status == 405 ? &allow : NULL,
                  status == 405, slice_str(text), status != 405);
}

static bool is_loopback(const char *ip)
{
    return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0 ||
           strncmp(ip, "::ffff:127.", 11) == 0;
}

static void on_request(void *ctx, const struct http1_head *head)
{
    struct page_conn *pc = ctx;
    struct page_request *r = pc->request ? pc->request : request_new(pc);

    r->post = pc->server->post_path && slice_eq(head->method, slice_str("POST")) &&
              slice_eq(head->path, slice_str(pc->server->post_path));
    if (!r->post && !pc->server->any_method && !slice_eq(head->method, slice_str("GET")) &&
        !slice_eq(head->method, slice_str("HEAD"))) {
        refuse(pc, 405, "method not allowed\n");
        return;
    }
    if (!pc->server->any_method && (head->chunked || head->content_length)) {
        refuse(pc, 413, "no body expected\n");
        return;
    }
    r->path = mem_dup_n((const char *)head->path.p, head->path.len);
    r->query = mem_dup_n((const char *)head->query.p, head->query.len);
    r->loopback = is_loopback(conn_peer_ip(pc->conn));
}

static void on_body(void *ctx, const uint8_t *p, size_t n)
{
    (void)ctx; /* refused in on_request, or of no interest */
    (void)p;
    (void)n;
}

static void on_end(void *ctx)
{
    struct page_conn *pc = ctx;

    CHECK(pc->request && pc->request->path);
    pc->server->handler(pc->server->ctx, pc->request);
}

static void on_bad(void *ctx, int status, const char *text)
{
    refuse(ctx, status, text);
}

static const struct http1_ops http_ops = {.on_header = on_header,
                                          .on_request = on_request,
                                          .on_body = on_body,
                                          .on_end = on_end,
                                          .on_bad = on_bad};

/* ---- connections ---- */

static void on_written(void *ctx, bool ok)
{
    (void)ok;
    free(ctx);
}

static void write_out(struct page_conn *pc)
{
    struct buf *out = http1_output(pc->http);

    while (out->len) {
        struct iovec iov = {out->p, out->len};

        *out = (struct buf){.max = out->max};
        conn_write(pc->conn, &iov, 1, on_written, iov.iov_base);
        pc->feeding = true;
        http1_hold(pc->http, conn_unsent_bytes(pc->conn) > 0); /* a page at a time for who does not read */
        pc->feeding = false;
    }
}

static void flush(struct page_conn *pc)
{
    write_out(pc);
    if (http1_wants_close(pc->http)) {
        if (!pc->shut)
            conn_shutdown(pc->conn);
        pc->shut = true;
        conn_read_start(pc->conn); /* to see the client's end; the sweep ends it else */
    } else if (http1_wants_read(pc->http)) {
        conn_read_start(pc->conn);
    } else {
        conn_read_stop(pc->conn);
    }
}

static void on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct page_conn *pc = ctx;

    if (pc->shut)
        return;
    pc->feeding = true;
    http1_feed(pc->http, p, n);
    pc->feeding = false;
    flush(pc);
}

/* The client has read what it asked for. */
static void on_flushed(void *ctx)
{
    struct page_conn *pc = ctx;

    if (pc->shut)
        return;
    pc->feeding = true;
    http1_hold(pc->http, false);
    pc->feeding = false;
    flush(pc);
}

static void server_free_if_over(struct pages *s)
{
    if (!s->freed || s->n_conns)
        return;
    compressor_free(&s->gzip);
    free(s);
}

static void on_closed(void *ctx, const char *reason)
{
    struct page_conn *pc = ctx;
    struct pages *s = pc->server;
    struct page_request *r = pc->request;

    (void)reason;
    if (r)
        r->conn = NULL;
    if (r && !r->path)
        request_free(r); /* still being read: nobody else has it */
    list_del(&pc->link);
    s->n_conns--;
    http1_free(&pc->http);
    free(pc);
    server_free_if_over(s);
}

static const struct conn_ops conn_ops = {.on_read = on_read, .on_flushed = on_flushed, .on_closed = on_closed};

static void on_accept(void *ctx, struct conn *c)
{
    struct pages *s = ctx;
    struct page_conn *pc;

    if (s->n_conns == MAX_CONNS || (s->tls && conn_start_tls(c, s->tls, NULL) != 0)) {
        conn_close(c, "");
        return;
    }
    pc = mem_alloc(sizeof(*pc));
    pc->server = s;
    pc->conn = c;
    pc->http = http1_new(&http_ops, pc, MAX_HEADER_BYTES);
    pc->active_ns = loop_now_ns(s->loop);
    list_add_tail(&s->conns, &pc->link);
    s->n_conns++;
    conn_set_ops(c, &conn_ops, pc);
    conn_read_start(c);
}

static void close_all(struct pages *s, uint64_t idle_since_ns)
{
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct page_conn *pc = CONTAINER_OF(l, struct page_conn, link);

        if (pc->active_ns <= idle_since_ns)
            conn_close(pc->conn, ""); /* on_closed comes later: the list stays as it is */
    }
}

static void on_sweep(void *ctx)
{
    struct pages *s = ctx;
    uint64_t now = loop_now_ns(s->loop);

    if (now > IDLE_MS * NS_PER_MS)
        close_all(s, now - IDLE_MS * NS_PER_MS);
}

/* ---- public ---- */

/* SO_REUSEPORT lets a successor listen on another address of the same port before we are gone. */
static struct listener *listen_for(struct pages *s, const struct pages_options *o, char bound[static 64],
                                   struct err *err)
{
    const struct listen_owner owner = {.instance = s, .name = o->name};

    if (!o->is_unix && listener_probe(o->endpoint, &owner, err) != 0)
        return NULL;
    return listener_new_for(&owner, s->loop, o->endpoint, o->is_unix, !o->is_unix, bound, on_accept, s, err);
}

struct pages *pages_new(struct loop *l, const struct pages_options *o, char bound[static 64],
                        pages_handler *handler, void *ctx, struct err *err)
{
    struct pages *s = mem_alloc(sizeof(*s));

    s->loop = l;
    s->handler = handler;
    s->ctx = ctx;
    s->any_method = o->any_method;
    s->tls = o->tls;
    CHECK(o->n_fields <= PAGE_FIELDS);
    s->fields = o->fields;
    s->n_fields = o->n_fields;
    list_init(&s->conns);
    s->listener = listen_for(s, o, bound, err);
    if (!s->listener) {
        free(s);
        return NULL;
    }
    s->sweep = timer_new(l, __func__, on_sweep, s);
    timer_start(s->sweep, SWEEP_MS, SWEEP_MS);
    return s;
}

void pages_free(struct pages **sp)
{
    struct pages *s = *sp;

    if (!s)
        return;
    *sp = NULL;
    listener_free(&s->listener);
    timer_free(&s->sweep);
    s->freed = true;
    close_all(s, UINT64_MAX);
    server_free_if_over(s);
}

void pages_take_post(struct pages *s, const char *path)
{
    s->post_path = path;
}

static bool compressed(struct pages *s, struct slice body, struct buf *out)
{
    struct iovec iov = {(void *)body.p, body.len};

    if (body.len < GZIP_FROM_BYTES)
        return false;
    if (!s->gzip)
        s->gzip = compressor_new(CODEC_GZIP, 0);
    return s->gzip && compress_iov(s->gzip, &iov, 1, out) == 0;
}

void page_respond(struct page_request **rp, int status, const char *content_type, struct slice body)
{
    struct http1_field fields[PAGE_FIELDS + 2];
    size_t n = 0;
    struct page_request *r = *rp;
    struct page_conn *pc = r->conn;
    struct buf small = {0};
    bool gzip;

    *rp = NULL;
    gzip = pc && r->gzip && compressed(pc->server, body, &small);
    request_free(r);
    if (!pc)
        return;
    pc->active_ns = loop_now_ns(pc->server->loop);
    for (; n < pc->server->n_fields; n++)
        fields[n] = pc->server->fields[n];
    if (gzip) {
        fields[n++] = (struct http1_field){"Content-Encoding", "gzip"};
        fields[n++] = (struct http1_field){"Vary", "Accept-Encoding"};
    }
    http1_respond(pc->http, status, content_type, fields, n,
                  gzip ? slice_of(small.p, small.len) : body, false);
    buf_free(&small);
    if (!pc->feeding)
        flush(pc);
}
