/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 server over nghttp2.
 *
 * What nghttp2 leaves to us:
 *   - frames on streams that the client has ended, and new streams with an id below the highest
 *     (RFC 9113, 5.1 and 5.1.1): nghttp2 ignores the ones, and would have to keep closed streams
 * for the others. We look at the frame headers first (scan) and keep two bits for the latest ids;
 *   - floods: frames that cost us and bring nothing (pings, settings, resets, empty data, priority,
 *     window updates) are `junk`; requests and time pay for them;
 *   - an answer before the request's end: the stream lingers, so that the client can finish and
 * read the answer; h2_server_tick() resets what still lingers after LINGER_NS.
 *
 * Speed: one nghttp2_session_consume_connection per feed, header fields without copies, no memory
 * of our own per request.
 */
#include "net/h2_server.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/h2_mem.h"
#include "platform/clock.h"
#include "platform/mem.h"

#define MAX_FRAME_BYTES         (1u << 20)
#define LINGER_NS               (1 * NS_PER_SEC)
#define JUNK_LIMIT              10000u /* frames without use, beyond what requests and time paid for */
#define JUNK_PER_SECOND         1000u
#define RESET_JUNK              10u /* an abandoned request costs as much as some pings */
#define KNOWN_IDS               1024u
#define FRAME_HEAD_BYTES        9u
#define PREFACE_BYTES           24u
#define MAX_HEADERS_FRAME_BYTES 16384u /* a longer header comes in CONTINUATION frames */
#define MAX_FIELDS              24

struct h2_server {
    nghttp2_session *session;
    const struct h2_server_ops *ops;
    void *ctx;
    struct h2_server_settings set;
    bool broken; /* the session failed: close */
    bool dead; /* GOAWAY with an error is on its way: what still comes in is ignored */
    unsigned n_streams;
    struct list all, lingering;
    size_t unconsumed_bytes; /* of the connection's window, during one feed */
    size_t header_bytes;     /* of the block being read */
    uint64_t now_ns, paid_ns;
    uint32_t junk;
    int32_t highest_id;
    uint64_t opened[KNOWN_IDS / 64]; /* by (id / 2) % KNOWN_IDS, for ids up to highest_id */
    uint64_t ended[KNOWN_IDS / 64];  /* by the client: END_STREAM or RST_STREAM */
    uint8_t scan_head[FRAME_HEAD_BYTES], scan_have;
    size_t scan_skip; /* bytes until the next frame header */
};

static struct h2_stream *stream_of(struct h2_server *h, int32_t id)
{
    return id == 0 ? NULL : nghttp2_session_get_stream_user_data(h->session, id);
}

static void die(struct h2_server *h, uint32_t code)
{
    if (h->dead)
        return;
    h->dead = true;
    nghttp2_session_terminate_session(h->session, code);
}

/* ---- floods ---- */

static void add_junk(struct h2_server *h, uint32_t n)
{
    uint64_t seconds = (h->now_ns - h->paid_ns) / NS_PER_SEC;

    if (seconds > 0) {
        uint64_t paid = seconds > JUNK_LIMIT ? JUNK_LIMIT : seconds * JUNK_PER_SECOND;
        h->junk = h->junk > paid ? h->junk - (uint32_t)paid : 0;
        h->paid_ns = h->now_ns;
    }
    h->junk += n;
    if (h->junk > JUNK_LIMIT)
        die(h, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void note_frame(struct h2_server *h, const nghttp2_frame *f)
{
    switch (f->hd.type) {
    case NGHTTP2_DATA:
        if (f->hd.length == 0 && !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
            add_junk(h, 1);
        return;
    case NGHTTP2_HEADERS:
        return;
    default:
        add_junk(h, 1);
    }
}

/* ---- what the client may still send on a stream ---- */

static bool get_bit(const uint64_t *bits, int32_t id)
{
    uint32_t i = (uint32_t)(id / 2) % KNOWN_IDS;

    return bits[i / 64] >> (i % 64) & 1;
}

static void put_bit(uint64_t *bits, int32_t id, bool on)
{
    uint32_t i = (uint32_t)(id / 2) % KNOWN_IDS;

    bits[i / 64] = on ? bits[i / 64] | 1ull << (i % 64) : bits[i / 64] & ~(1ull << (i % 64));
}

static void note_opened(struct h2_server *h, int32_t id)
{
    int32_t from = h->highest_id < 0 ? 1 : h->highest_id + 2;

    if ((id - from) / 2 >= (int32_t)KNOWN_IDS)
        from = id - 2 * ((int32_t)KNOWN_IDS - 1);
    for (int32_t skipped = from; skipped < id; skipped += 2) /* can never be opened */
        put_bit(h->opened, skipped, false);
    put_bit(h->opened, id, true);
    put_bit(h->ended, id, false);
    h->highest_id = id;
}

/* What the client may not do with this frame, as an error code; 0: it may. */
static uint32_t check_frame(struct h2_server *h, uint8_t type, uint8_t flags, uint32_t len,
                            int32_t id)
{
    bool stream_frame =
        type == NGHTTP2_HEADERS || type == NGHTTP2_DATA || type == NGHTTP2_RST_STREAM;

    if (type == NGHTTP2_HEADERS && len > MAX_HEADERS_FRAME_BYTES)
        return NGHTTP2_FRAME_SIZE_ERROR;
    if (!stream_frame || !(id & 1))
        return 0;
    if (type == NGHTTP2_HEADERS && id > h->highest_id)
        note_opened(h, id);
    if (id > h->highest_id || h->highest_id - id >= 2 * (int32_t)KNOWN_IDS)
        return 0; /* idle: nghttp2 objects; too long ago: nobody knows */
    if (type == NGHTTP2_HEADERS && !get_bit(h->opened, id))
        return NGHTTP2_PROTOCOL_ERROR;
    if (type != NGHTTP2_RST_STREAM && get_bit(h->ended, id))
        return NGHTTP2_STREAM_CLOSED;
    if (type == NGHTTP2_RST_STREAM || flags & NGHTTP2_FLAG_END_STREAM)
        put_bit(h->ended, id, true);
    return 0;
}

/* Walks over the frame headers in p. Returns how many bytes nghttp2 may have; fewer than n with an
 * error code when a frame must not be there. */
static size_t scan(struct h2_server *h, const uint8_t *p, size_t n, uint32_t *error_code)
{
    size_t at = 0;

    while (at < n) {
        size_t skip = h->scan_skip < n - at ? h->scan_skip : n - at;
        h->scan_skip -= skip;
        at += skip;
        while (at < n && h->scan_have < FRAME_HEAD_BYTES && h->scan_skip == 0)
            h->scan_head[h->scan_have++] = p[at++];
        if (h->scan_have < FRAME_HEAD_BYTES)
            break;
        const uint8_t *f = h->scan_head;
        uint32_t len = (uint32_t)f[0] << 16 | (uint32_t)f[1] << 8 | f[2];
        int32_t id = (int32_t)(((uint32_t)f[5] & 0x7f) << 24 | (uint32_t)f[6] << 16 |
                               (uint32_t)f[7] << 8 | f[8]);
        *error_code = check_frame(h, f[3], f[4], len, id);
        h->scan_have = 0;
        h->scan_skip = len;
        if (*error_code)
            return at > FRAME_HEAD_BYTES ? at - FRAME_HEAD_BYTES : 0;
    }
    return at;
}

/* ---- requests ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct h2_server *h = ctx;

    h->header_bytes = 0;
    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST || h->dead)
        return 0;
    struct h2_stream *s = h->ops->on_stream(h->ctx);
    if (!s)
        return nghttp2_submit_rst_stream(session, 0, f->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    s->server = h;
    s->id = f->hd.stream_id;
    list_init(&s->lingering);
    list_add_tail(&h->all, &s->all);
    h->n_streams++;
    return nghttp2_session_set_stream_user_data(session, s->id, s);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *ctx)
{
    struct h2_server *h = ctx;
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);

    (void)session;
    (void)flags;
    h->header_bytes += n.len + v.len + 32; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts */
    if (h->header_bytes > h->set.max_header_bytes)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (f->headers.cat != NGHTTP2_HCAT_REQUEST || h->dead)
        return 0; /* trailers */
    struct h2_stream *s = stream_of(h, f->hd.stream_id);
    if (s && !s->answered)
        h->ops->on_header(h->ctx, s, slice_of(n.base, n.len), slice_of(v.base, v.len));
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *ctx)
{
    struct h2_server *h = ctx;
    struct h2_stream *s = stream_of(h, id);

    (void)session;
    (void)flags;
    h->unconsumed_bytes += n;
    if (s && !s->answered && !h->dead)
        h->ops->on_data(h->ctx, s, p, n);
    return 0;
}

static void request_ended(struct h2_server *h, struct h2_stream *s)
{
    s->request_ended = true;
    list_del(&s->lingering);
    h->junk -= h->junk < RESET_JUNK ? h->junk : RESET_JUNK;
    if (!s->answered)
        h->ops->on_end(h->ctx, s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct h2_server *h = ctx;
    struct h2_stream *s = stream_of(h, f->hd.stream_id);

    (void)session;
    note_frame(h, f);
    if (h->dead)
        return 0;
    if (f->hd.type == NGHTTP2_PING) {
        void (*tell)(void *) =
            f->hd.flags & NGHTTP2_FLAG_ACK ? h->ops->on_ping_ack : h->ops->on_ping;
        if (tell)
            tell(h->ctx);
    }
    if (!s || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
        return 0;
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST && !s->answered)
        h->ops->on_request(h->ctx, s);
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        request_ended(h, s);
    return 0;
}

static void stream_gone(struct h2_server *h, struct h2_stream *s)
{
    list_del(&s->lingering);
    list_del(&s->all);
    s->server = NULL;
    h->n_streams--;
    h->ops->on_gone(h->ctx, s);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *ctx)
{
    struct h2_server *h = ctx;
    struct h2_stream *s = stream_of(h, id);

    (void)error_code;
    if (!s)
        return 0;
    if (!s->answered)
        add_junk(h, RESET_JUNK);
    nghttp2_session_set_stream_user_data(session, id, NULL);
    stream_gone(h, s);
    return 0;
}

/* ---- answers ---- */

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
    struct h2_server *h = ctx;
    bool ends = (f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
                f->hd.flags & NGHTTP2_FLAG_END_STREAM;
    struct h2_stream *s = ends ? stream_of(h, f->hd.stream_id) : NULL;

    (void)session;
    if (s && !s->request_ended) {
        s->answered_ns = h->now_ns;
        list_add_tail(&h->lingering, &s->lingering);
    }
    return 0;
}

static void make_nv(nghttp2_nv *nv, const struct h2_field *f)
{
    *nv = (nghttp2_nv){.name = (uint8_t *)f->name.p,
                       .namelen = f->name.len,
                       .value = (uint8_t *)f->value.p,
                       .valuelen = f->value.len,
                       .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *dst, size_t max,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct h2_stream *s = source->ptr;
    size_t n = s->body.len - s->body_sent;

    (void)ctx;
    if (n > max)
        n = max;
    if (n)
        memcpy(dst, s->body.p + s->body_sent, n);
    s->body_sent += n;
    if (s->body_sent < s->body.len)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (s->n_trailers) {
        nghttp2_nv nv[MAX_FIELDS];
        for (size_t i = 0; i < s->n_trailers; i++)
            make_nv(&nv[i], &s->trailers[i]);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, nv, s->n_trailers) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

void h2_respond(struct h2_stream *s, int status, const struct h2_field *fields, size_t n_fields,
                struct slice body, const struct h2_field *trailers, size_t n_trailers)
{
    nghttp2_nv nv[MAX_FIELDS + 1];
    char code[8] = "";

    CHECK(s->server && !s->answered && n_fields <= MAX_FIELDS && n_trailers <= MAX_FIELDS);
    s->answered = true;
    s->body = body;
    s->trailers = trailers;
    s->n_trailers = n_trailers;
    if (status != 200)
        snprintf(code, sizeof code, "%03d", status);
    struct h2_field first = {slice_str(":status"),
                             status == 200 ? slice_str("200") : slice_str(code)};
    make_nv(&nv[0], &first);
    if (status != 200)
        nv[0].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    for (size_t i = 0; i < n_fields; i++)
        make_nv(&nv[i + 1], &fields[i]);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
    bool more = body.len || n_trailers;
    if (nghttp2_submit_response(s->server->session, s->id, nv, n_fields + 1,
                                more ? &provider : NULL) != 0)
        nghttp2_submit_rst_stream(s->server->session, 0, s->id, NGHTTP2_INTERNAL_ERROR);
}

void h2_expect(struct h2_stream *s, uint64_t bytes)
{
    struct h2_server *h = s->server;
    uint64_t got =
        (uint64_t)nghttp2_session_get_stream_effective_recv_data_length(h->session, s->id);
    uint64_t want = got + bytes;

    if (want > INT32_MAX)
        want = INT32_MAX;
    if (want > h->set.stream_window)
        (void)nghttp2_session_set_local_window_size(h->session, 0, s->id, (int32_t)want);
}

void h2_cancel(struct h2_stream *s, uint32_t error_code)
{
    if (s->server)
        nghttp2_submit_rst_stream(s->server->session, 0, s->id, error_code);
}

/* ---- the connection ---- */

bool h2_server_feed(struct h2_server *h, const uint8_t *p, size_t n, uint64_t now_ns)
{
    h->now_ns = now_ns;
    if (h->paid_ns == 0)
        h->paid_ns = now_ns;
    uint32_t violation = 0;
    ssize_t used = nghttp2_session_mem_recv(h->session, p, scan(h, p, n, &violation));
    if (h->unconsumed_bytes) {
        nghttp2_session_consume_connection(h->session, h->unconsumed_bytes);
        h->unconsumed_bytes = 0;
    }
    if (used < 0)
        die(h, used == NGHTTP2_ERR_FLOODED            ? NGHTTP2_ENHANCE_YOUR_CALM
               : used == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR
                                                      : NGHTTP2_INTERNAL_ERROR);
    else if (violation)
        die(h, violation);
    return used >= 0 && !h->dead;
}

void h2_server_pull(struct h2_server *h, struct buf *out, size_t max)
{
    while (out->len < max) {
        const uint8_t *p;
        ssize_t n = nghttp2_session_mem_send(h->session, &p);
        h->broken |= n < 0; /* no memory: what it owes will never come */
        if (n <= 0)
            return;
        buf_put(out, p, (size_t)n);
    }
}

bool h2_server_wants_write(const struct h2_server *h)
{
    return nghttp2_session_want_write(h->session);
}

bool h2_server_wants_close(const struct h2_server *h)
{
    return h->broken || (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session));
}

void h2_server_goaway(struct h2_server *h, bool final, uint32_t error_code, const char *debug)
{
    if (!final)
        nghttp2_submit_shutdown_notice(h->session);
    else
        nghttp2_submit_goaway(h->session, 0, nghttp2_session_get_last_proc_stream_id(h->session),
                              error_code, (const uint8_t *)debug, debug ? strlen(debug) : 0);
}

void h2_server_ping(struct h2_server *h)
{
    nghttp2_submit_ping(h->session, 0, NULL);
}

void h2_server_tick(struct h2_server *h, uint64_t now_ns)
{
    h->now_ns = now_ns;
    while (!list_empty(&h->lingering)) {
        struct h2_stream *s = CONTAINER_OF(h->lingering.next, struct h2_stream, lingering);
        if (now_ns - s->answered_ns < LINGER_NS)
            return;
        list_del(&s->lingering);
        nghttp2_submit_rst_stream(h->session, 0, s->id, NGHTTP2_NO_ERROR);
    }
}

unsigned h2_server_streams(const struct h2_server *h)
{
    return h->n_streams;
}

/* ---- making and ending ---- */

static void set_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
}

static void set_options(nghttp2_option *opt)
{
    nghttp2_option_set_no_auto_window_update(opt, 1);
    nghttp2_option_set_no_closed_streams(opt, 1);
    nghttp2_option_set_max_outbound_ack(opt, 1000);
    nghttp2_option_set_max_settings(opt, 32);
    nghttp2_option_set_max_continuations(opt, 8);
    nghttp2_option_set_stream_reset_rate_limit(opt, 1000, 100);
}

static void send_settings(struct h2_server *h)
{
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->set.max_concurrent_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h->set.stream_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, MAX_FRAME_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->set.max_header_bytes},
    };

    CHECK(nghttp2_submit_settings(h->session, 0, entries, ARRAY_LEN(entries)) == 0);
    CHECK(nghttp2_session_set_local_window_size(h->session, 0, 0,
                                                (int32_t)h->set.connection_window) == 0);
}

struct h2_server *h2_server_new(const struct h2_server_ops *ops, void *ctx,
                                const struct h2_server_settings *set)
{
    struct h2_server *h = mem_alloc(sizeof *h);
    nghttp2_session_callbacks *cb;
    nghttp2_option *opt;

    *h = (struct h2_server){
        .ops = ops, .ctx = ctx, .set = *set, .highest_id = -1, .scan_skip = PREFACE_BYTES};
    list_init(&h->all);
    list_init(&h->lingering);
    CHECK(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&opt) == 0);
    set_callbacks(cb);
    set_options(opt);
    h2_mem_making(set->mem, true);
    CHECK(nghttp2_session_server_new3(&h->session, cb, h, opt, h2_mem_of(set->mem)) == 0);
    h2_mem_making(set->mem, false);
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    send_settings(h);
    return h;
}

size_t h2_server_queued(const struct h2_server *h)
{
    return nghttp2_session_get_outbound_queue_size(h->session);
}

void h2_server_free(struct h2_server **h)
{
    struct h2_server *old = *h;

    *h = NULL;
    if (!old)
        return;
    nghttp2_session_del(old->session); /* tells nobody about its streams */
    while (!list_empty(&old->all))
        stream_gone(old, CONTAINER_OF(old->all.next, struct h2_stream, all));
    free(old);
}
