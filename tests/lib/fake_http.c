/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_http.h. Requests need a Content-Length, which is what our client sends. */
#include "tests/lib/fake_http.h"

#include <stdlib.h>
#include <string.h>

#include "platform/mem.h"

struct fake_conn {
    struct fake_http *f;
    struct list node;
    struct conn *conn;
    struct buf in;
    struct timer *drip;
    struct slice left; /* of the answer, while dripping */
    unsigned answers;
    bool closing;
};

static void fake_close(struct fake_conn *c)
{
    if (!c->closing)
        conn_close(c->conn, "");
    c->closing = true;
}

static void answered(struct fake_conn *c)
{
    c->answers++;
    if (c->f->close_after)
        conn_shutdown(c->conn);
    else if (c->answers == c->f->close_idle_after)
        fake_close(c);
}

static void on_drip(void *ctx)
{
    struct fake_conn *c = ctx;
    struct iovec iov = {(void *)(uintptr_t)c->left.p, 1};

    if (c->closing)
        return;
    c->left = slice_of(c->left.p + 1, c->left.len - 1);
    conn_write(c->conn, &iov, 1, NULL, NULL);
    if (c->left.len > 0)
        timer_start(c->drip, 0, 0);
    else
        answered(c);
}

static void answer(struct fake_conn *c)
{
    struct fake_http *f = c->f;
    struct iovec iov = {(void *)(uintptr_t)f->answer.p, f->answer.len};

    if (f->answer.len == 0) {
        if (f->close_after)
            fake_close(c);
        return;
    }
    if (f->drip) {
        c->left = f->answer;
        timer_start(c->drip, 0, 0);
        return;
    }
    conn_write(c->conn, &iov, 1, NULL, NULL);
    answered(c);
}

/* A whole request in the buffer: takes it out. */
static bool take_request(struct fake_conn *c)
{
    struct fake_http *f = c->f;
    uint8_t *end = memmem(c->in.p, c->in.len, "\r\n\r\n", 4);
    size_t head, body;
    const char *cl;

    if (end == NULL)
        return false;
    head = (size_t)(end - c->in.p) + 4;
    buf_clear(&f->last_head);
    buf_put(&f->last_head, c->in.p, head);
    buf_putc(&f->last_head, '\0');
    cl = strstr((const char *)f->last_head.p, "Content-Length: ");
    body = cl != NULL ? strtoul(cl + 16, NULL, 10) : 0;
    if (f->early) {
        conn_read_stop(c->conn);
        c->in.len = 0;
        return true;
    }
    if (c->in.len - head < body)
        return false;
    buf_clear(&f->last_body);
    buf_put(&f->last_body, c->in.p + head, body);
    c->in.len -= head + body;
    memmove(c->in.p, c->in.p + head + body, c->in.len);
    return true;
}

static void on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct fake_conn *c = ctx;

    buf_put(&c->in, p, n);
    while (!c->closing && take_request(c)) {
        c->f->n_requests++;
        answer(c);
    }
}

static void on_closed(void *ctx, const char *reason)
{
    struct fake_conn *c = ctx;

    (void)reason;
    c->f->n_open_conns--;
    list_del(&c->node);
    timer_free(&c->drip);
    buf_free(&c->in);
    free(c);
}

static const struct conn_ops fake_ops = {.on_read = on_read, .on_closed = on_closed};

static void on_accept(void *ctx, struct conn *conn)
{
    struct fake_http *f = ctx;
    struct fake_conn *c = mem_alloc(sizeof(*c));

    f->n_conns++;
    f->n_open_conns++;
    c->f = f;
    c->conn = conn;
    c->drip = timer_new(f->loop, __func__, on_drip, c);
    list_init(&c->node);
    list_add_tail(&f->conns, &c->node);
    conn_set_ops(conn, &fake_ops, c);
    if (f->close_at_once)
        fake_close(c);
    else if (!f->deaf)
        conn_read_start(conn);
}

struct fake_http *fake_http_new(struct loop *l)
{
    struct fake_http *f = mem_alloc(sizeof(*f));
    struct err err;

    f->loop = l;
    list_init(&f->conns);
    f->listener = listener_new(l, "127.0.0.1:0", false, false, f->endpoint, on_accept, f, &err);
    CHECK(f->listener != NULL);
    return f;
}

void fake_http_drop_all(struct fake_http *f)
{
    for (struct list *n = f->conns.next; n != &f->conns; n = n->next)
        fake_close(CONTAINER_OF(n, struct fake_conn, node));
}

void fake_http_free(struct fake_http **fp)
{
    struct fake_http *f = *fp;

    *fp = NULL;
    if (f->listener != NULL)
        listener_free(&f->listener);
    CHECK(f->n_open_conns == 0);
    buf_free(&f->last_head);
    buf_free(&f->last_body);
    free(f);
}
