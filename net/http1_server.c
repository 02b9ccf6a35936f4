/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.x server over llhttp, strict.
 *
 *   IDLE -> HEADER -> BODY -> ANSWERING -> IDLE ...   and from anywhere -> DONE
 *
 * Memory:  the header field being read, the request line, the output and the bytes behind an
 *          unanswered request; each bounded (max_header_bytes, one feed). Pipelined requests are not
 *          begun while HTTP1_OUT_BYTES of answers wait. The owner charges http1_held_bytes().
 * Refused: Content-Length beside Transfer-Encoding, codings other than one "chunked", no or several
 *          Host, bare CR in the header, chunk framing that is nearly all overhead.
 */
#include "net/http1_server.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "platform/clock.h"
#include "platform/mem.h"

#define MAX_FIELDS       256
#define DISCARD_BYTES    (256u << 10) /* of an answered request's body, before we rather close */
#define CHUNK_FREE_BYTES (64u << 10)  /* framing overhead that is always fine */

struct http1 {
    llhttp_t parser;
    const struct http1_ops *ops;
    void *ctx;
    size_t max_header_bytes;

    enum http1_state state;
    bool answered;  /* http1_respond came for the request being read */
    bool last;      /* no request after this one */
    bool in_parser; /* llhttp is on the stack: it must not be entered again */
    bool failed;    /* llhttp gave up */
    bool held;      /* http1_hold */

    /* line structure of the header, which llhttp reads too kindly */
    bool after_cr, lines_ended;
    size_t line_bytes, n_lines;

    /* the request being read */
    struct buf target, line; /* line: header name, then value */
    size_t name_len;
    size_t header_bytes;
    unsigned n_fields, n_hosts, n_codings;
    bool coding_bad, expect_continue, expect_bad, headers_done;
    uint64_t body_bytes, raw_bytes; /* of the body: without and with chunk framing */

    struct buf behind; /* came in after an unanswered request */
    struct buf out;
    time_t date_at;
    char date[40];
};

static void reset_request(struct http1 *h)
{
    buf_clear(&h->target);
    buf_clear(&h->line);
    h->name_len = 0;
    h->header_bytes = 0;
    h->n_fields = h->n_hosts = h->n_codings = 0;
    h->coding_bad = h->expect_continue = h->expect_bad = h->headers_done = false;
    h->body_bytes = h->raw_bytes = 0;
    h->answered = false;
}

/* ---- refusing ---- */

static void bad(struct http1 *h, int status, const char *text)
{
    h->failed = true;
    h->last = true;
    if (!h->answered) {
        if (h->ops->on_bad)
            h->ops->on_bad(h->ctx, status, text);
        if (!h->answered)
            http1_respond(h, status, NULL, NULL, 0, slice_of(NULL, 0), true);
    }
    h->state = HTTP1_DONE;
}

/* From a callback of llhttp: stops the parser with the status in its reason. */
static int stop(struct http1 *h, int status, const char *text)
{
    bad(h, status, text);
    llhttp_set_error_reason(&h->parser, "refused");
    return HPE_USER;
}

/* ---- llhttp's callbacks ---- */

static int count_header(struct http1 *h, size_t n)
{
    h->header_bytes += n;
    if (h->header_bytes > h->max_header_bytes)
        return stop(h, 431, "request header too large");
    return 0;
}

static int on_begin(llhttp_t *p)
{
    struct http1 *h = p->data;

    reset_request(h);
    h->state = HTTP1_HEADER;
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;

    buf_put(&h->target, at, n);
    return count_header(h, n);
}

static int on_name(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;

    for (size_t i = 0; i < n; i++) {
        char ch = at[i];
        buf_putc(&h->line, ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch);
    }
    h->name_len = h->line.len;
    return count_header(h, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;

    if (memchr(at, '\r', n) || memchr(at, '\0', n))
        return stop(h, 400, "control character in header");
    buf_put(&h->line, at, n);
    return count_header(h, n);
}

static bool name_is(struct slice name, const char *s)
{
    return name.len == strlen(s) && memcmp(name.p, s, name.len) == 0;
}

static bool value_is(struct slice value, const char *s)
{
    return value.len == strlen(s) && strncasecmp((const char *)value.p, s, value.len) == 0;
}

static void note_field(struct http1 *h, struct slice name, struct slice value)
{
    if (name_is(name, "host")) {
        h->n_hosts++;
    } else if (name_is(name, "transfer-encoding")) {
        h->n_codings++;
        h->coding_bad |= !value_is(value, "chunked");
    } else if (name_is(name, "expect")) {
        h->expect_continue = value_is(value, "100-continue");
        h->expect_bad = !h->expect_continue;
    }
}

static int on_field_done(llhttp_t *p)
{
    struct http1 *h = p->data;
    struct slice name = slice_of(h->line.p, h->name_len);

    if (h->name_len == 0)
        return stop(h, 400, "header field without a name");
    struct slice value = slice_of(h->line.p + h->name_len, h->line.len - h->name_len);
    while (value.len && (value.p[value.len - 1] == ' ' || value.p[value.len - 1] == '\t'))
        value.len--;
    if (!h->headers_done) { /* trailers behind a chunked body are read and forgotten */
        if (++h->n_fields > MAX_FIELDS)
            return stop(h, 431, "too many header fields");
        note_field(h, name, value);
        if (h->ops->on_header)
            h->ops->on_header(h->ctx, name, value);
    }
    buf_clear(&h->line);
    h->name_len = 0;
    return 0;
}

/* What llhttp accepts and we do not. NULL: fine. */
static const char *ambiguous(const struct http1 *h)
{
    const llhttp_t *p = &h->parser;
    bool old = p->http_major == 1 && p->http_minor == 0;

    if (p->http_major != 1)
        return "unsupported HTTP version";
    if (h->n_hosts > 1 || (h->n_hosts == 0 && !old))
        return h->n_hosts ? "several Host fields" : "missing Host field";
    if (h->n_codings > 1 || (h->n_codings && old))
        return "unsupported transfer encoding";
    if (h->n_codings && (p->flags & F_CONTENT_LENGTH))
        return "Content-Length beside Transfer-Encoding";
    return NULL;
}

/* Path and query of origin form ("/a?b") and absolute form ("http://host/a?b"). */
static void split_target(struct slice target, struct http1_head *head)
{
    const uint8_t *colon = target.len ? memmem(target.p, target.len, "://", 3) : NULL;

    if (colon && target.p[0] != '/') {
        const uint8_t *end = target.p + target.len;
        const uint8_t *slash = memchr(colon + 3, '/', (size_t)(end - colon - 3));
        target = slash ? slice_of(slash, (size_t)(end - slash)) : slice_str("/");
    }
    const uint8_t *q = target.len ? memchr(target.p, '?', target.len) : NULL;
    head->path = slice_of(target.p, q ? (size_t)(q - target.p) : target.len);
    head->query = q ? slice_of(q + 1, target.len - head->path.len - 1) : slice_of(NULL, 0);
}

static int on_headers_complete(llhttp_t *p)
{
    struct http1 *h = p->data;
    const char *wrong = ambiguous(h);

    h->headers_done = true;
    h->line.len = 0;
    p->upgrade = 0; /* we never switch protocols on request */
    if (wrong)
        return stop(h, 400, wrong);
    if (h->coding_bad)
        return stop(h, 501, "unsupported transfer encoding");
    if (h->expect_bad)
        return stop(h, 417, "unsupported expectation");
    if (p->method == HTTP_CONNECT)
        return stop(h, 405, "method not allowed");

    struct http1_head head = {.method = slice_str(llhttp_method_name(p->method)),
                              .chunked = h->n_codings > 0,
                              .content_length = h->n_codings ? 0 : p->content_length,
                              .expect_continue = h->expect_continue};
    split_target(slice_of(h->target.p, h->target.len), &head);
    h->last |= !llhttp_should_keep_alive(p);
    h->state = HTTP1_BODY;
    h->ops->on_request(h->ctx, &head);
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http1 *h = p->data;

    h->body_bytes += n;
    if (!h->answered)
        h->ops->on_body(h->ctx, (const uint8_t *)at, n);
    else if (h->body_bytes > DISCARD_BYTES)
        return stop(h, 400, "body of an answered request");
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    struct http1 *h = p->data;

    if (h->answered) {
        h->state = h->last ? HTTP1_DONE : HTTP1_IDLE;
    } else {
        h->state = HTTP1_ANSWERING;
        h->ops->on_end(h->ctx);
        if (h->answered)
            h->state = h->last ? HTTP1_DONE : HTTP1_IDLE;
    }
    h->after_cr = h->lines_ended = false;
    h->line_bytes = h->n_lines = 0;
    return HPE_PAUSED; /* what follows belongs to the next request */
}

/* llhttp keeps the address. */
static const llhttp_settings_t callbacks = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_field_done,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- feeding ---- */

static int status_of(llhttp_errno_t e)
{
    switch (e) {
    case HPE_INVALID_VERSION:
        return 505;
    case HPE_INVALID_METHOD:
        return 501;
    default:
        return 400;
    }
}

/* Chunks of one byte each are six bytes of framing for one of content; much more is an attack. */
static bool framing_abuse(const struct http1 *h)
{
    return h->raw_bytes > CHUNK_FREE_BYTES + 8 * h->body_bytes;
}

/* A CR that is not the end of a line: llhttp ends the line there, others do not, and that is how
 * requests are smuggled. Looks at the header only. Returns how many bytes are good. */
static size_t good_lines(struct http1 *h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n && !h->lines_ended; i++) {
        if (h->after_cr && p[i] != '\n')
            return i;
        h->after_cr = p[i] == '\r';
        if (p[i] == '\n') {
            h->lines_ended = h->line_bytes == 0 && h->n_lines > 0;
            h->n_lines += h->line_bytes > 0;
            h->line_bytes = 0;
        } else {
            h->line_bytes += p[i] != '\r';
        }
    }
    return n;
}

/* Runs the parser; returns how many bytes it took. */
static size_t parse(struct http1 *h, const uint8_t *p, size_t n)
{
    bool in_body = h->state == HTTP1_BODY;
    size_t good = good_lines(h, p, n);

    h->in_parser = true;
    llhttp_errno_t e = llhttp_execute(&h->parser, (const char *)p, good);
    h->in_parser = false;
    if (e == HPE_PAUSED) {
        size_t used = (size_t)((const uint8_t *)llhttp_get_error_pos(&h->parser) - p);
        llhttp_resume(&h->parser);
        return used;
    }
    if (e != HPE_OK && !h->failed)
        bad(h, status_of(e), llhttp_get_error_reason(&h->parser));
    else if (good < n && !h->failed)
        bad(h, 400, "bare CR in the header");
    if (in_body && h->state == HTTP1_BODY) {
        h->raw_bytes += n;
        if (framing_abuse(h))
            bad(h, 400, "too many chunks");
    }
    return n;
}

/* Bytes of a next request are kept for later. */
static bool stopped(const struct http1 *h)
{
    return h->state == HTTP1_ANSWERING || (h->state == HTTP1_IDLE && (h->held || h->out.len >= HTTP1_OUT_BYTES));
}

void http1_feed(struct http1 *h, const uint8_t *p, size_t n)
{
    if (h->behind.len > 0 && h->state != HTTP1_DONE) { /* nobody asked for more; the order stays */
        buf_put(&h->behind, p, n);
        return;
    }
    while (n > 0 && !stopped(h) && h->state != HTTP1_DONE) {
        size_t used = parse(h, p, n);
        p += used;
        n -= used;
        if (h->answered && h->last) /* nothing more will be answered: do not read the rest */
            h->state = HTTP1_DONE;
    }
    if (n > 0 && h->state != HTTP1_DONE)
        buf_put(&h->behind, p, n);
}

static void parse_behind(struct http1 *h)
{
    struct buf behind = h->behind;

    h->behind = (struct buf){0};
    if (behind.len)
        http1_feed(h, behind.p, behind.len);
    buf_free(&behind);
}

/* ---- answering ---- */

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Status";
    }
}

static const char *date_now(struct http1 *h)
{
    time_t now = (time_t)(clock_wall_ns() / NS_PER_SEC);
    struct tm tm;

    if (now != h->date_at || !h->date[0]) {
        h->date_at = now;
        gmtime_r(&now, &tm);
        strftime(h->date, sizeof h->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return h->date;
}

/* The rest of the body is worth reading only to keep the connection, and only if it is short. */
static bool rest_is_long(const struct http1 *h)
{
    if (h->state != HTTP1_HEADER && h->state != HTTP1_BODY)
        return false;
    if (!h->headers_done || h->expect_continue)
        return true;
    return h->parser.content_length > DISCARD_BYTES && !(h->parser.flags & F_CHUNKED);
}

void http1_respond(struct http1 *h, int status, const char *content_type,
                   const struct http1_field *fields, size_t n_fields, struct slice body, bool close)
{
    bool head = h->headers_done && h->parser.method == HTTP_HEAD;
    bool old = h->parser.http_major == 1 && h->parser.http_minor == 0;

    CHECK(!h->answered);
    h->answered = true;
    h->last |= close || rest_is_long(h);
    buf_putf(&h->out, "HTTP/1.1 %d %s\r\n", status, reason_phrase(status));
    if (content_type)
        buf_putf(&h->out, "Content-Type: %s\r\n", content_type);
    for (size_t i = 0; i < n_fields; i++)
        buf_putf(&h->out, "%s: %s\r\n", fields[i].name, fields[i].value);
    if (status != 204)
        buf_putf(&h->out, "Content-Length: %zu\r\n", body.len);
    buf_putf(&h->out, "Date: %s\r\n%s\r\n", date_now(h),
             h->last ? "Connection: close\r\n"
             : old   ? "Connection: keep-alive\r\n"
                     : "");
    if (!head && body.len)
        buf_put(&h->out, body.p, body.len);
    if (h->state == HTTP1_ANSWERING && !h->in_parser) {
        h->state = h->last ? HTTP1_DONE : HTTP1_IDLE;
        parse_behind(h);
    } else if (h->last && !h->in_parser) {
        h->state = HTTP1_DONE;
    }
}

void http1_continue(struct http1 *h)
{
    if (h->expect_continue && !h->answered && h->state == HTTP1_BODY) {
        h->expect_continue = false;
        buf_puts(&h->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

/* ---- the rest ---- */

struct http1 *http1_new(const struct http1_ops *ops, void *ctx, size_t max_header_bytes)
{
    struct http1 *h = mem_alloc(sizeof *h);

    llhttp_init(&h->parser, HTTP_REQUEST, &callbacks);
    h->parser.data = h;
    h->ops = ops;
    h->ctx = ctx;
    h->max_header_bytes = max_header_bytes;
    return h;
}

void http1_free(struct http1 **h)
{
    struct http1 *old = *h;

    *h = NULL;
    if (!old)
        return;
    CHECK(!old->in_parser);
    buf_free(&old->target);
    buf_free(&old->line);
    buf_free(&old->behind);
    buf_free(&old->out);
    free(old);
}

struct buf *http1_output(struct http1 *h)
{
    return &h->out;
}

void http1_hold(struct http1 *h, bool on)
{
    h->held = on;
    if (!stopped(h) && h->state != HTTP1_DONE)
        parse_behind(h);
}

bool http1_wants_read(const struct http1 *h)
{
    return !stopped(h) && h->state != HTTP1_DONE;
}

size_t http1_held_bytes(const struct http1 *h)
{
    return h->target.cap + h->line.cap + h->behind.cap + h->out.cap;
}

bool http1_wants_close(const struct http1 *h)
{
    return h->state == HTTP1_DONE;
}

enum http1_state http1_state(const struct http1 *h)
{
    return h->state;
}
