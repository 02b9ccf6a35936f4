/* SPDX-License-Identifier: Apache-2.0 */
/* nghttp2's server session over net/conn; see fake_grpc.h. One thread, test use only. */
#include "tests/lib/fake_grpc.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/mem.h"

struct fake_conn {
    struct fake_grpc *f;
    struct list node;
    struct conn *conn;
    nghttp2_session *session;
    struct deferred flush;
    bool closing;
};

struct fake_stream {
    struct buf body, fields;
    struct slice answer; /* left to send */
    bool ended, answered;
    int grpc_status;
    const char *message, *details;
};

static void fake_close(struct fake_conn *c)
{
    if (!c->closing)
        conn_close(c->conn, "");
    c->closing = true;
}

struct copy {
    size_t n;
    uint8_t bytes[];
};

static void copy_done(void *ctx, bool written)
{
    (void)written;
    free(ctx);
}

static void fake_write(struct fake_conn *c, const uint8_t *p, size_t n)
{
    struct copy *w = mem_alloc(sizeof(*w) + n);
    struct iovec iov = {w->bytes, n};

    memcpy(w->bytes, p, n);
    conn_write(c->conn, &iov, 1, copy_done, w);
}

static void fake_flush(void *ctx)
{
    struct fake_conn *c = ctx;
    const uint8_t *p;
    ssize_t n;

    while (!c->closing && c->session != NULL && (n = nghttp2_session_mem_send(c->session, &p)) > 0)
        fake_write(c, p, (size_t)n);
}

static void flush_soon(struct fake_conn *c)
{
    loop_defer(c->f->loop, &c->flush);
}

/* ---- answers ---- */

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

static size_t add_status(const struct fake_stream *s, nghttp2_nv *out, char code[static 16])
{
    size_t n = 0;

    if (s->grpc_status < 0)
        return 0;
    snprintf(code, 16, "%d", s->grpc_status);
    out[n++] = nv("grpc-status", code);
    if (s->message != NULL)
        out[n++] = nv("grpc-message", s->message);
    if (s->details != NULL)
        out[n++] = nv("grpc-status-details-bin", s->details);
    return n;
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
                           nghttp2_data_source *source, void *ctx)
{
    struct fake_stream *s = source->ptr;
    size_t n = s->answer.len < len ? s->answer.len : len;
    nghttp2_nv trailers[4];
    char code[16];
    size_t n_trailers;

    (void)ctx;
    if (n > 0)
        memcpy(buf, s->answer.p, n);
    s->answer = slice_of(s->answer.p + n, s->answer.len - n);
    if (s->answer.len > 0)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    n_trailers = add_status(s, trailers, code);
    if (n_trailers > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, id, trailers, n_trailers);
    }
    return (ssize_t)n;
}

static void submit_answer(struct fake_conn *c, int32_t id, struct fake_stream *s)
{
    const struct fake_answer *a = &c->f->answer;
    nghttp2_nv h[8];
    char status[16], code[16];
    size_t n = 0;
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_answer};

    snprintf(status, sizeof(status), "%d", a->http_status != 0 ? a->http_status : 200);
    h[n++] = nv(":status", status);
    h[n++] = nv("content-type", a->content_type != NULL ? a->content_type : "application/grpc");
    if (a->encoding != NULL)
        h[n++] = nv("grpc-encoding", a->encoding);
    s->grpc_status = a->grpc_status;
    s->message = a->message;
    s->details = a->details;
    s->answer = a->body;
    if (s->answer.len == 0 && a->grpc_status == 0)
        s->answer = slice_of("\0\0\0\0\0", 5);
    if (s->answer.len == 0)
        n += add_status(s, h + n, code);
    nghttp2_submit_response(c->session, id, h, n, s->answer.len > 0 ? &body : NULL);
    c->f->n_answered++;
}

static void answer(struct fake_conn *c, int32_t id, struct fake_stream *s)
{
    const struct fake_answer *a = &c->f->answer;

    if (s->answered)
        return;
    s->answered = true;
    switch (a->action) {
    case FAKE_ANSWER:
        submit_answer(c, id, s);
        break;
    case FAKE_HANG:
        break;
    case FAKE_RESET:
        nghttp2_submit_rst_stream(c->session, 0, id, a->rst_code);
        break;
    case FAKE_DROP:
        fake_close(c);
        break;
    case FAKE_GOAWAY_BELOW:
        nghttp2_submit_goaway(c->session, 0, id - 2 > 0 ? id - 2 : 0, 0, NULL, 0);
        break;
    case FAKE_GOAWAY_AFTER:
        submit_answer(c, id, s);
        nghttp2_submit_goaway(c->session, 0, id, 0, NULL, 0);
        break;
    }
    flush_soon(c);
}

/* ---- nghttp2 ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct fake_conn *c = ctx;
    struct fake_grpc *f = c->f;

    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, mem_alloc(sizeof(struct fake_stream)));
    f->n_requests++;
    if (++f->n_open > f->max_open)
        f->max_open = f->n_open;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    struct fake_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)ctx;
    buf_putf(&s->fields, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len, (const char *)value);
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *ctx)
{
    struct fake_conn *c = ctx;
    struct fake_stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)flags;
    c->f->body_bytes += n;
    buf_put(&s->body, p, n);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
    struct fake_conn *c = ctx;
    struct fake_grpc *f = c->f;
    struct fake_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    if (s == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        s->ended = true;
        buf_clear(&f->last_body);
        buf_put(&f->last_body, s->body.p, s->body.len);
        buf_clear(&f->last_fields);
        buf_put(&f->last_fields, s->fields.p, s->fields.len);
        buf_putc(&f->last_fields, '\0');
    }
    if (s->ended || f->answer.early)
        answer(c, frame->hd.stream_id, s);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *ctx)
{
    struct fake_conn *c = ctx;
    struct fake_stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)error_code;
    if (s == NULL)
        return 0;
    c->f->n_open--;
    buf_free(&s->body);
    buf_free(&s->fields);
    free(s);
    nghttp2_session_set_stream_user_data(session, id, NULL);
    return 0;
}

/* ---- connections ---- */

static void on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct fake_conn *c = ctx;

    if (c->closing || c->session == NULL)
        return;
    if (nghttp2_session_mem_recv(c->session, p, n) < 0)
        fake_close(c);
    flush_soon(c);
}

static void forget_stream(struct fake_conn *c)
{
    for (int32_t id = 1; id < 20000 && c->session != NULL; id += 2)
        on_close(c->session, id, 0, c);
}

static void on_closed(void *ctx, const char *reason)
{
    struct fake_conn *c = ctx;

    (void)reason;
    loop_undefer(c->f->loop, &c->flush);
    forget_stream(c);
    nghttp2_session_del(c->session);
    c->f->n_open_conns--;
    list_del(&c->node);
    free(c);
}

static const struct conn_ops fake_ops = {.on_read = on_read, .on_closed = on_closed};

static void session_new(struct fake_conn *c)
{
    nghttp2_settings_entry max = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->f->max_streams};
    nghttp2_session_callbacks *cb;

    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    CHECK(nghttp2_session_server_new(&c->session, cb, c) == 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->session, 0, &max, c->f->max_streams > 0);
}

static void serve(struct fake_conn *c)
{
    conn_read_start(c->conn);
    switch (c->f->conn_mode) {
    case FAKE_CLOSE:
        fake_close(c);
        break;
    case FAKE_MUTE:
        break;
    case FAKE_GARBAGE:
        fake_write(c, (const uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        break;
    case FAKE_GOAWAY:
        session_new(c);
        nghttp2_submit_goaway(c->session, 0, 0, 0, (const uint8_t *)"go away", 7);
        break;
    case FAKE_CLOSE_SETTINGS:
        session_new(c);
        fake_flush(c);
        conn_shutdown(c->conn);
        break;
    case FAKE_DEAF:
        session_new(c);
        conn_read_stop(c->conn);
        break;
    case FAKE_SERVE:
        session_new(c);
        break;
    }
    flush_soon(c);
}

static void on_accept(void *ctx, struct conn *conn)
{
    struct fake_grpc *f = ctx;
    struct fake_conn *c = mem_alloc(sizeof(*c));

    f->n_conns++;
    f->n_open_conns++;
    c->f = f;
    c->conn = conn;
    c->flush = (struct deferred){.fn = fake_flush, .ctx = c};
    list_init(&c->node);
    list_add_tail(&f->conns, &c->node);
    conn_set_ops(conn, &fake_ops, c);
    serve(c);
}

struct fake_grpc *fake_grpc_new_at(struct loop *l, const char *endpoint)
{
    struct fake_grpc *f = mem_alloc(sizeof(*f));
    struct err err;

    f->loop = l;
    list_init(&f->conns);
    f->listener = listener_new(l, endpoint, false, false, f->endpoint, on_accept, f, &err);
    if (f->listener == NULL) {
        free(f);
        return NULL;
    }
    f->port = (uint16_t)atoi(strrchr(f->endpoint, ':') + 1);
    return f;
}

struct fake_grpc *fake_grpc_new(struct loop *l)
{
    struct fake_grpc *f = fake_grpc_new_at(l, "127.0.0.1:0");

    CHECK(f != NULL);
    return f;
}

void fake_grpc_drop_all(struct fake_grpc *f)
{
    for (struct list *n = f->conns.next; n != &f->conns; n = n->next)
        fake_close(CONTAINER_OF(n, struct fake_conn, node));
}

void fake_grpc_free(struct fake_grpc **fp)
{
    struct fake_grpc *f = *fp;

    *fp = NULL;
    if (f->listener != NULL)
        listener_free(&f->listener);
    CHECK(f->n_open_conns == 0); /* drop them and let the loop turn first */
    buf_free(&f->last_body);
    buf_free(&f->last_fields);
    free(f);
}
