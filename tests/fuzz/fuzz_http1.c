/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the HTTP/1 server: the same bytes whole and in pieces must give the same callbacks and the
 * same answers; every request is answered at most once; nothing is read after the end.
 * Input: byte 0 chooses when requests are answered, byte 1 the size of the pieces.
 */
#include <stdlib.h>

#include "net/http1_server.h"
#include "platform/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum when { AT_HEADERS, AT_END, LATER };

struct run {
    struct http1 *h;
    enum when when;
    struct buf seen; /* what the callbacks saw */
    unsigned n_requests, n_answers;
    bool open; /* a request is under way and not answered */
};

static void answer(struct run *r, int status)
{
    struct http1_field f = {"X-A", "b"};

    CHECK(r->open);
    r->open = false;
    r->n_answers++;
    http1_respond(r->h, status, "text/plain", &f, 1, slice_str("body"), false);
}

static void on_header(void *ctx, struct slice name, struct slice value)
{
    struct run *r = ctx;

    buf_put(&r->seen, name.p, name.len);
    buf_putc(&r->seen, '=');
    buf_put(&r->seen, value.p, value.len);
    buf_putc(&r->seen, ';');
}

static void on_request(void *ctx, const struct http1_head *head)
{
    struct run *r = ctx;

    CHECK(!r->open);
    CHECK(!head->chunked || head->content_length == 0);
    r->open = true;
    r->n_requests++;
    buf_put(&r->seen, head->path.p, head->path.len);
    buf_putf(&r->seen, "%s\n", head->expect_continue ? " continue" : "");
    if (r->when == AT_HEADERS)
        answer(r, 404);
    else
        http1_continue(r->h);
}

static void on_body(void *ctx, const uint8_t *p, size_t n)
{
    struct run *r = ctx;

    CHECK(r->open);
    buf_put(&r->seen, p, n);
}

static void on_end(void *ctx)
{
    struct run *r = ctx;

    CHECK(r->open);
    if (r->when == AT_END)
        answer(r, 200);
}

static void on_bad(void *ctx, int status, const char *text)
{
    struct run *r = ctx;

    CHECK(status >= 400 && text);
    r->open = true;
    answer(r, status);
}

static void go(struct run *r, const uint8_t *p, size_t n, size_t piece)
{
    static const struct http1_ops ops = {on_header, on_request, on_body, on_end, on_bad};

    r->h = http1_new(&ops, r, 2048);
    while (n > 0) {
        size_t take = n < piece ? n : piece;
        uint8_t *exact = malloc(take);
        memcpy(exact, p, take);
        http1_feed(r->h, exact, take);
        free(exact);
        while (http1_state(r->h) == HTTP1_ANSWERING)
            answer(r, 200);
        p += take;
        n -= take;
    }
    CHECK(r->n_answers <= r->n_requests + 1);
    CHECK(http1_state(r->h) != HTTP1_IDLE || !r->open);
    http1_free(&r->h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct run whole = {.when = data[0] % 3}, pieces = {.when = data[0] % 3};

    go(&whole, data + 2, size - 2, size);
    go(&pieces, data + 2, size - 2, 1 + (size_t)data[1] % 64);
    /* Bodies of answered requests may be cut at other places, nothing else may differ. */
    CHECK(whole.n_answers == pieces.n_answers && whole.n_requests == pieces.n_requests);
    CHECK(
        slice_eq(slice_of(whole.seen.p, whole.seen.len), slice_of(pieces.seen.p, pieces.seen.len)));
    buf_free(&whole.seen);
    buf_free(&pieces.seen);
    return 0;
}
