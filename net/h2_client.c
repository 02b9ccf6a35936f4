/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nghttp2's client session, wired to iovecs.
 *
 *   submit -> nghttp2 -> on_send (control bytes) / on_send_data (frame header + slices of the body)
 *          -> one h2_out: control bytes in its own room, body slices where they lie -> ops->write
 *
 * An h2_out is one write. It counts a reference on every request whose body it points into, and gives
 * them back when the write is done. At most H2_WINDOW_BYTES are handed over before the first of them
 * have left, so that a cancelled request does not sit in a socket buffer of unknown depth.
 */
#include "net/h2_client.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/h2_mem.h"

#define OUT_CTL_BYTES 8192
#define OUT_IOVS 512       /* where an out is full; one frame may go past it */
#define OUT_KEEP_IOVS ((size_t)1024)
#define OUT_BYTES ((size_t)256 << 10)
#define FRAME_BYTES ((size_t)64 << 10) /* larger frames only delay what comes after them */
#define MAX_ACTIVE 1000u
#define KEEP_BYTES ((size_t)32 << 10) /* idle blocks of nghttp2's */

struct h2_out {
    struct h2_client *c;
    struct h2_out *next; /* among the spare ones */
    uint8_t ctl[OUT_CTL_BYTES];
    size_t ctl_len;
    struct iovec *iov;
    size_t n, cap;
    size_t bytes;
    struct h2_request **reqs; /* one reference each */
    size_t n_reqs, cap_reqs;
};

struct h2_client {
    const struct h2_client_ops *ops;
    void *ctx;
    nghttp2_session *session;
    struct budget *budget;
    struct h2_mem *mem;   /* the session's */
    struct h2_out *out;   /* being filled */
    struct h2_out *spare; /* at most one */
    size_t writing;       /* bytes handed to write and not done */
    unsigned n_writes;
    struct list requests; /* submitted, not over */
    uint32_t active, lingering;
    bool ready, goaway, lost, pumping, ping_pending;
    char why[128];
};

/* ---- requests ---- */

const char *h2_response_field(const struct h2_response *r, const char *name)
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

static void request_hand_over(struct h2_request *r, const struct h2_response *resp)
{
    if (r->hook != NULL)
        r->hook(r, resp);
    else
        r->on_done(r, resp);
}

/* The response is complete and no write holds our bytes: hand over. */
static void request_settle(struct h2_request *r)
{
    struct buf fields, body;
    struct budget *budget;
    size_t charged;
    char reason[sizeof(r->reason)];

    if (!r->over || r->refs > 0)
        return;
    if (r->lingers && r->client != NULL)
        r->client->lingering--;
    r->lingers = false;
    fields = r->fields;
    body = r->resp_body;
    budget = r->client != NULL ? r->client->budget : NULL;
    charged = r->charged_bytes;
    r->charged_bytes = 0;
    memcpy(reason, r->reason, sizeof(reason)); /* r may be freed before the callee is done with it */
    r->fields = r->resp_body = (struct buf){0};
    r->client = NULL;
    request_hand_over(r, &(struct h2_response){.end = r->resp.end,
                                               .error_code = r->resp.error_code,
                                               .status = r->resp.status,
                                               .body = slice_of(body.p, body.len),
                                               .fields = &fields,
                                               .reason = reason});
    buf_free(&fields);
    buf_free(&body);
    if (charged > 0)
        budget_release(budget, MEM_CONN, charged);
}

static void request_over(struct h2_request *r, enum h2_end end, uint32_t error_code, const char *reason)
{
    if (r->over)
        return;
    r->over = true;
    r->resp.end = end;
    r->resp.error_code = error_code;
    snprintf(r->reason, sizeof(r->reason), "%s", reason);
    if (r->client != NULL) {
        r->client->active--;
        list_del(&r->node);
        nghttp2_session_set_stream_user_data(r->client->session, r->id, NULL);
        r->lingers = r->refs > 0;
        r->client->lingering += r->lingers;
    }
    request_settle(r);
}

void h2_request_fail(struct h2_request *r, enum h2_end end, const char *reason)
{
    CHECK(r->client == NULL);
    r->over = false;
    request_over(r, end, 0, reason);
}

static struct h2_request *request_of(nghttp2_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s, id);
}

/* ---- out: gathering ---- */

static struct h2_out *out_get(struct h2_client *c)
{
    struct h2_out *o = c->spare;

    if (o != NULL)
        c->spare = NULL;
    else
        o = mem_alloc(sizeof(*o));
    o->c = c;
    o->ctl_len = o->n = o->bytes = o->n_reqs = 0;
    return o;
}

static void out_free(struct h2_out *o)
{
    if (o == NULL)
        return;
    free(o->iov);
    free(o->reqs);
    free(o);
}

static void out_add(struct h2_out *o, const uint8_t *p, size_t n)
{
    struct iovec *last = o->iov != NULL && o->n > 0 ? &o->iov[o->n - 1] : NULL;

    o->bytes += n;
    if (last != NULL && (const uint8_t *)last->iov_base + last->iov_len == p) {
        last->iov_len += n;
        return;
    }
    if (o->iov == NULL || o->n == o->cap) {
        o->cap = o->cap > 0 ? o->cap * 2 : 64;
        o->iov = mem_grow(o->iov, o->cap * sizeof(*o->iov));
    }
    o->iov[o->n++] = (struct iovec){(void *)p, n};
}

/* As many of the bytes as there is room for. */
static size_t out_add_ctl(struct h2_out *o, const uint8_t *p, size_t n)
{
    size_t room = OUT_CTL_BYTES - o->ctl_len;

    if (n > room)
        n = room;
    if (n > 0) {
        memcpy(o->ctl + o->ctl_len, p, n);
        out_add(o, o->ctl + o->ctl_len, n);
        o->ctl_len += n;
    }
    return n;
}

static void out_hold(struct h2_out *o, struct h2_request *r)
{
    if (o->n_reqs > 0 && o->reqs[o->n_reqs - 1] == r)
        return;
    if (o->n_reqs == o->cap_reqs) {
        o->cap_reqs = o->cap_reqs > 0 ? o->cap_reqs * 2 : 8;
        o->reqs = mem_grow(o->reqs, o->cap_reqs * sizeof(struct h2_request *));
    }
    o->reqs[o->n_reqs++] = r;
    r->refs++;
}

static bool out_full(const struct h2_out *o)
{
    return o->n >= OUT_IOVS || o->bytes >= OUT_BYTES || o->ctl_len + 9 > OUT_CTL_BYTES;
}

static void on_written(void *ctx, bool ok)
{
    struct h2_out *o = ctx;
    struct h2_client *c = o->c;

    (void)ok; /* a failed write closes the connection, which says so itself */
    c->writing -= o->bytes;
    c->n_writes--;
    for (size_t i = 0; i < o->n_reqs; i++) {
        o->reqs[i]->refs--;
        request_settle(o->reqs[i]);
    }
    if (c->spare == NULL && o->cap <= OUT_KEEP_IOVS)
        c->spare = o;
    else
        out_free(o);
    if (!c->pumping && !c->lost)
        c->ops->wants_pump(c->ctx);
}

static void out_flush(struct h2_client *c)
{
    struct h2_out *o = c->out;

    c->out = NULL;
    if (o == NULL)
        return;
    c->n_writes++;
    c->writing += o->bytes;
    c->ops->write(c->ctx, o->iov, o->n, on_written, o);
}

/* ---- nghttp2: sending ---- */

static ssize_t on_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *ctx)
{
    struct h2_client *c = ctx;
    size_t took;

    (void)s;
    (void)flags;
    if (c->out == NULL)
        c->out = out_get(c);
    took = out_add_ctl(c->out, p, n);
    return took > 0 ? (ssize_t)took : NGHTTP2_ERR_WOULDBLOCK;
}

static ssize_t frame_length(nghttp2_session *s, uint8_t type, int32_t id, int32_t conn_window, int32_t window,
                            uint32_t max_frame, void *ctx)
{
    size_t n = FRAME_BYTES;

    (void)s;
    (void)type;
    (void)id;
    (void)ctx;
    if (max_frame < n)
        n = max_frame;
    if ((size_t)conn_window < n)
        n = (size_t)conn_window;
    if ((size_t)window < n)
        n = (size_t)window;
    return (ssize_t)n;
}

/* How much of the body goes into the next frame; on_send_data then takes it. */
static ssize_t on_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx)
{
    struct h2_request *r = request_of(s, id);

    (void)buf;
    (void)source;
    (void)ctx;
    if (r == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n >= r->left) {
        n = (size_t)r->left;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* The next n bytes of prefix and body, as slices. */
static void add_body(struct h2_out *o, struct h2_request *r, size_t n)
{
    r->left -= n;
    while (n > 0) {
        const uint8_t *p = r->at == 0 ? r->prefix : r->body[r->at - 1].iov_base;
        size_t len = r->at == 0 ? r->prefix_len : r->body[r->at - 1].iov_len;
        size_t take = len - r->offset < n ? len - r->offset : n;

        if (take > 0)
            out_add(o, p + r->offset, take);
        r->offset += take;
        n -= take;
        if (r->offset == len) {
            r->at++;
            r->offset = 0;
        }
    }
}

static int on_send_data(nghttp2_session *s, nghttp2_frame *frame, const uint8_t *hd, size_t n,
                        nghttp2_data_source *source, void *ctx)
{
    struct h2_client *c = ctx;
    struct h2_request *r = request_of(s, frame->hd.stream_id);

    (void)source;
    if (r == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (c->out == NULL)
        c->out = out_get(c);
    if (out_full(c->out))
        return NGHTTP2_ERR_WOULDBLOCK;
    CHECK(out_add_ctl(c->out, hd, 9) == 9 && frame->data.padlen == 0);
    out_hold(c->out, r);
    add_body(c->out, r, n);
    return 0;
}

static int on_frame_sent(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct h2_request *r = frame->hd.type == NGHTTP2_HEADERS ? request_of(s, frame->hd.stream_id) : NULL;

    (void)ctx;
    if (r != NULL)
        r->sent = true;
    return 0;
}

/* ---- nghttp2: receiving ---- */

/* A response that breaks a limit: forget it, tell the peer. */
static void give_up(struct h2_client *c, struct h2_request *r, enum h2_end end, const char *what)
{
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    request_over(r, end, 0, what);
}

/* Room for n more bytes of the answer; twice of it, as buffers double. */
static bool room_for(struct h2_client *c, struct h2_request *r, size_t n)
{
    size_t need = 2 * (r->fields.len + r->resp_body.len + n);

    if (LIKELY(c->budget == NULL || need <= r->charged_bytes + H2_ANSWER_FREE_BYTES))
        return true;
    if (!budget_admit(c->budget, MEM_CONN, need - r->charged_bytes))
        return false;
    r->charged_bytes = need;
    return true;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
    struct h2_request *r = request_of(s, frame->hd.stream_id);

    (void)flags;
    if (r == NULL)
        return 0;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        r->resp.status = atoi((const char *)value);
    if (!room_for(ctx, r, name_len + value_len + 2)) {
        give_up(ctx, r, H2_END_LOST, "no memory for the response");
        return 0;
    }
    /* nghttp2's strings end in NUL, and HTTP forbids one inside */
    if (buf_add(&r->fields, name, name_len + 1) != 0 || buf_add(&r->fields, value, value_len + 1) != 0)
        give_up(ctx, r, H2_END_TOO_LARGE, "response header fields too large");
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *ctx)
{
    struct h2_request *r = request_of(s, id);

    (void)flags;
    if (r == NULL)
        return 0;
    if (r->left_out_bytes > 0 || !room_for(ctx, r, n)) {
        buf_free(&r->resp_body);
        r->left_out_bytes += n;
    }
    if (r->left_out_bytes > H2_MAX_BODY || (r->left_out_bytes == 0 && buf_add(&r->resp_body, p, n) != 0))
        give_up(ctx, r, H2_END_TOO_LARGE, "response body too large");
    return 0;
}

static void on_goaway(struct h2_client *c, const nghttp2_goaway *g)
{
    char debug[100];

    c->goaway = true;
    snprintf(debug, sizeof(debug), "%.*s", (int)(g->opaque_data_len < 99 ? g->opaque_data_len : 99),
             (const char *)g->opaque_data);
    for (char *p = debug; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?';
    c->ops->on_goaway(c->ctx, g->error_code, debug);
}

/* The whole answer before the whole request: the rest of the body is of no use to anybody. */
static void on_end_stream(struct h2_client *c, struct h2_request *r)
{
    if (r == NULL || r->left == 0 || r->resp.status < 200)
        return;
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_NO_ERROR);
    request_over(r, H2_END_RESPONSE, 0, "");
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *ctx)
{
    struct h2_client *c = ctx;
    bool data = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;

    if (data && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        on_end_stream(c, request_of(s, frame->hd.stream_id));
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !c->ready) {
        c->ready = true;
        c->ops->on_ready(c->ctx);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        on_goaway(c, &frame->goaway);
    } else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        c->ping_pending = false;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t error_code, void *ctx)
{
    struct h2_request *r = request_of(s, id);

    (void)ctx;
    if (r == NULL)
        return 0;
    if (!r->sent || error_code == NGHTTP2_REFUSED_STREAM)
        request_over(r, H2_END_REFUSED, error_code, "the server refused the stream unprocessed");
    else if (error_code == NGHTTP2_NO_ERROR && r->resp.status >= 200)
        request_over(r, H2_END_RESPONSE, error_code, "");
    else
        request_over(r, H2_END_RESET, error_code, nghttp2_http2_strerror(error_code));
    return 0;
}

/* ---- life ---- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *cb;

    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_length);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

struct h2_client *h2_client_new(const struct h2_client_ops *ops, void *ctx, struct budget *budget)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_MAX_HEADERS},
    };
    struct h2_client *c = mem_alloc(sizeof(*c));
    nghttp2_session_callbacks *cb = callbacks_new();

    c->ops = ops;
    c->ctx = ctx;
    c->budget = budget;
    c->mem = h2_mem_new(KEEP_BYTES, budget);
    list_init(&c->requests);
    h2_mem_making(c->mem, true);
    CHECK(nghttp2_session_client_new3(&c->session, cb, c, NULL, h2_mem_of(c->mem)) == 0);
    h2_mem_making(c->mem, false);
    nghttp2_session_callbacks_del(cb);
    CHECK(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) == 0);
    return c;
}

void h2_client_free(struct h2_client **c)
{
    struct h2_client *x = *c;

    *c = NULL;
    if (x == NULL)
        return;
    CHECK(list_empty(&x->requests) && x->n_writes == 0);
    nghttp2_session_del(x->session);
    h2_mem_free(&x->mem);
    out_free(x->out);
    out_free(x->spare);
    free(x);
}

static const char *failed(struct h2_client *c, const char *what, int rc)
{
    snprintf(c->why, sizeof(c->why), "%s: %s", what, nghttp2_strerror(rc));
    return c->why;
}

const char *h2_client_feed(struct h2_client *c, const uint8_t *p, size_t n)
{
    ssize_t rc = c->lost ? (ssize_t)n : nghttp2_session_mem_recv(c->session, p, n);

    c->ops->wants_pump(c->ctx);
    return rc < 0 ? failed(c, "HTTP/2 error", (int)rc) : NULL;
}

const char *h2_client_pump(struct h2_client *c)
{
    int rc = 0;

    if (c->pumping || c->lost)
        return NULL;
    c->pumping = true;
    while (rc == 0 && c->writing < H2_WINDOW_BYTES && nghttp2_session_want_write(c->session)) {
        rc = nghttp2_session_send(c->session);
        if (c->out == NULL)
            break; /* all that is due waits for the peer's windows */
        out_flush(c);
    }
    c->pumping = false;
    if (rc != 0)
        return failed(c, "HTTP/2 error", rc);
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        return c->goaway ? "the server closed the session" : "HTTP/2 protocol error by the server";
    return NULL;
}

bool h2_client_ready(const struct h2_client *c)
{
    return c->ready && !c->goaway && !c->lost && nghttp2_session_check_request_allowed(c->session);
}

uint32_t h2_client_room(const struct h2_client *c)
{
    uint32_t max = MAX_ACTIVE;
    uint32_t theirs;

    if (!h2_client_ready(c))
        return 0;
    theirs = nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (theirs < max)
        max = theirs;
    return c->active < max ? max - c->active : 0;
}

uint32_t h2_client_active(const struct h2_client *c)
{
    return c->active;
}

uint32_t h2_client_lingering(const struct h2_client *c)
{
    return c->lingering;
}

static void request_reset(struct h2_request *r, struct h2_client *c)
{
    r->client = c;
    r->id = 0;
    r->at = r->offset = 0;
    r->left = r->prefix_len;
    for (size_t i = 0; i < r->n_body; i++)
        r->left += r->body[i].iov_len;
    r->sent = r->over = false;
    r->charged_bytes = r->left_out_bytes = 0;
    r->resp = (struct h2_response){0};
    r->fields = (struct buf){.max = H2_MAX_HEADERS};
    r->resp_body = (struct buf){.max = H2_MAX_BODY};
}

static size_t make_fields(const struct h2_request *r, nghttp2_nv nv[static 64])
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_headers && n < 64; i++)
        nv[n++] = (nghttp2_nv){(uint8_t *)r->headers[i].name, (uint8_t *)r->headers[i].value,
                               strlen(r->headers[i].name), strlen(r->headers[i].value),
                               NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    for (size_t i = 0; i < r->n_secrets && n < 64; i++)
        nv[n++] = (nghttp2_nv){(uint8_t *)r->secrets[i].name, (uint8_t *)r->secrets[i].value,
                               strlen(r->secrets[i].name), strlen(r->secrets[i].value), NGHTTP2_NV_FLAG_NO_INDEX};
    return n;
}

void h2_client_submit(struct h2_client *c, struct h2_request *r)
{
    nghttp2_data_provider body = {.read_callback = on_body};
    nghttp2_nv nv[64];
    int32_t id;

    CHECK(r->refs == 0);
    request_reset(r, c);
    c->active++;
    list_add_tail(&c->requests, &r->node);
    id = nghttp2_submit_request(c->session, NULL, nv, make_fields(r, nv), &body, r);
    if (id < 0) { /* stream ids used up */
        c->goaway = true;
        request_over(r, H2_END_REFUSED, 0, nghttp2_strerror(id));
        return;
    }
    r->id = id;
    c->ops->wants_pump(c->ctx);
}

void h2_client_cancel(struct h2_client *c, struct h2_request *r)
{
    CHECK(r->client == c);
    if (r->over)
        return;
    nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    c->ops->wants_pump(c->ctx);
    request_over(r, H2_END_CANCELLED, NGHTTP2_CANCEL, "cancelled");
}

void h2_client_lost(struct h2_client *c, const char *reason)
{
    c->lost = true;
    while (!list_empty(&c->requests)) {
        struct h2_request *r = CONTAINER_OF(c->requests.next, struct h2_request, node);

        request_over(r, r->sent ? H2_END_LOST : H2_END_REFUSED, 0, reason);
    }
}

void h2_client_ping(struct h2_client *c)
{
    if (c->ping_pending)
        return;
    c->ping_pending = true;
    nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
    c->ops->wants_pump(c->ctx);
}

bool h2_client_ping_pending(const struct h2_client *c)
{
    return c->ping_pending;
}
