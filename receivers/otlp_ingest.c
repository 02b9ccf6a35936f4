/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ingest. See otlp_ingest.h.
 *
 * Memory:  a body's buffer is charged with its whole capacity when it is opened. That lets a client
 *          reserve memory with a few bytes, so reservations are not safe: whoever makes no progress
 *          loses it as soon as somebody else needs room (ingest_evict_slow).
 *          JSON is decoded into a tree first; what that can cost is estimated from the text and
 *          charged while it lasts.
 * Threads: one worker.
 */
#include "receivers/otlp_ingest.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/otlp_json.h"
#include "model/otlp_walk.h"
#include "platform/clock.h"
#include "receivers/otlp.h"

#define FIRST_BYTES      (16u << 10)       /* of a body whose length is not known */
#define JSON_SCRATCH     8192u             /* names and numbers while decoding */
#define REQUEST_WORK     2048u             /* of a request of no size, in bytes of work */

const struct ingest_result ingest_memory_result = {.code = GRPC_UNAVAILABLE,
                                                   .text = OTLP_TEXT_MEMORY,
                                                   .has_retry = true,
                                                   .retry_after_ms = OTLP_RETRY_MS};
const struct ingest_result ingest_stopping_result = {.code = GRPC_UNAVAILABLE,
                                                     .text = "the receiver is shutting down",
                                                     .has_retry = true,
                                                     .retry_after_ms = OTLP_RETRY_MS};
const struct ingest_result ingest_slow_result = {.code = GRPC_UNAVAILABLE,
                                                 .http_status = 408,
                                                 .text = "the request body did not arrive in time",
                                                 .has_retry = true,
                                                 .retry_after_ms = OTLP_RETRY_MS};

/* ---- metrics ---- */

const struct metric_row otlp_metrics[] = {
    {.name = "otelcol_receiver_accepted_spans",
     .type = METRIC_COUNTER,
     .unit = "{spans}",
     .help = "Number of spans successfully pushed into the pipeline. [Alpha]"},
    {.name = "otelcol_receiver_refused_spans",
     .type = METRIC_COUNTER,
     .unit = "{spans}",
     .help = "Number of spans that could not be pushed into the pipeline. [Alpha]"},
    {.name = "otelcol_receiver_failed_spans",
     .type = METRIC_COUNTER,
     .unit = "{spans}",
     .help = "Number of spans that failed inside the receiver itself. [Alpha]"},
    {.name = "tailrace_receiver_refused_requests",
     .type = METRIC_COUNTER,
     .unit = "{requests}",
     .help = "Requests turned away before they reached a pipeline, by reason."},
    {.name = "tailrace_receiver_refused_bytes",
     .type = METRIC_COUNTER,
     .unit = "By",
     .help = "Size of the requests turned away, as far as it was known."},
    {.name = "tailrace_receiver_rejected_spans",
     .type = METRIC_COUNTER,
     .unit = "{spans}",
     .help =
         "Spans left out of otherwise good requests and reported as partial success, by cause."},
    {.name = "tailrace_receiver_repaired_strings",
     .type = METRIC_COUNTER,
     .unit = "{strings}",
     .help = "Strings that were not UTF-8 and got replacement characters."},
    {.name = "tailrace_receiver_connections",
     .type = METRIC_GAUGE,
     .unit = "{connections}",
     .help = "Open client connections."},
    {.name = "tailrace_receiver_tls_reloads", .type = METRIC_COUNTER, .unit = "{reloads}",
     .help = "Changed certificate files taken over, and those that could not be used."},
    {.name = NULL},
};

static const char *const refusal_names[REFUSALS] = {
    [REFUSED_MEMORY] = "memory",
    [REFUSED_TOO_LARGE] = "too_large",
    [REFUSED_MALFORMED] = "malformed",
    [REFUSED_COMPRESSION] = "compression",
    [REFUSED_SLOW] = "slow",
    [REFUSED_STOPPING] = "stopping",
    [REFUSED_CONNECTIONS] = "connections",
    [REFUSED_PROTOCOL] = "protocol",
    [REFUSED_TLS] = "tls",
    [REFUSED_QUEUE] = "queue_full",
    [REFUSED_SHARE] = "fair_share",
    [REFUSED_AUTH] = "auth",
};

static struct series *series_of(struct ingest *in, size_t row, const char *transport,
                                const char *name, const char *value)
{
    struct metric_label labels[] = {
        {"receiver", in->host->id}, {"transport", transport}, {name, value}};

    return metric_series(in->host->metrics, &otlp_metrics[row], labels, name ? 3 : 2);
}

void ingest_init(struct ingest *in, struct host *host, struct body_pool *pool,
                 struct decompressor *d, const char *transport, uint64_t max_bytes)
{
    *in = (struct ingest){.host = host, .pool = pool, .decompressor = d, .max_bytes = max_bytes};
    list_init(&in->reading);
    in->accepted = series_of(in, 0, transport, NULL, NULL);
    in->refused_spans = series_of(in, 1, transport, NULL, NULL);
    in->failed = series_of(in, 2, transport, NULL, NULL);
    for (size_t i = 0; i < REFUSALS; i++) {
        in->refused[i] = series_of(in, 3, transport, "reason", refusal_names[i]);
        in->refused_bytes[i] = series_of(in, 4, transport, "reason", refusal_names[i]);
    }
    in->rejected_trace_id = series_of(in, 5, transport, "cause", "trace_id");
    in->rejected_span_id = series_of(in, 5, transport, "cause", "span_id");
    in->repaired = series_of(in, 6, transport, NULL, NULL);
    in->connections = series_of(in, 7, transport, NULL, NULL);
}

struct series *ingest_tls_reloads(struct ingest *in, const char *transport, const char *result)
{
    return series_of(in, 8, transport, "result", result);
}

void ingest_count_refused(struct ingest *in, enum refusal why, uint64_t bytes)
{
    series_add(in->refused[why], 1);
    series_add(in->refused_bytes[why], bytes);
}

static void count_spans(struct ingest *in, uint64_t accepted, uint64_t refused)
{
    series_add(in->accepted, accepted);
    series_add(in->refused_spans, refused);
    series_add(in->failed, 0);
}

/* ---- memory of requests ---- */

void *ingest_take_memory(struct ingest *in, size_t size)
{
    return in->n_spare ? memset(in->spare[--in->n_spare], 0, size) : mem_alloc(size);
}

void ingest_give_memory(struct ingest *in, void *request)
{
#ifdef TAILRACE_SANITIZED
    (void)in;
    free(request); /* reuse would hide use after free */
#else
    if (in->n_spare < INGEST_SPARES)
        in->spare[in->n_spare++] = request;
    else
        free(request);
#endif
}

void ingest_close(struct ingest *in)
{
    while (in->n_spare)
        free(in->spare[--in->n_spare]);
}

/* ---- bodies ---- */

const struct ingest_result *ingest_refusal(const struct ingest_request *r)
{
    static const struct ingest_result queue = {.code = GRPC_UNAVAILABLE,
                                               .text = OTLP_TEXT_QUEUE,
                                               .has_retry = true,
                                               .retry_after_ms = OTLP_RETRY_MS};
    static const struct ingest_result share = {.code = GRPC_RESOURCE_EXHAUSTED,
                                               .text = OTLP_TEXT_SHARE,
                                               .has_retry = true,
                                               .retry_after_ms = OTLP_RETRY_MS};

    return r->refused == REFUSED_QUEUE   ? &queue
           : r->refused == REFUSED_SHARE ? &share
                                         : &ingest_memory_result;
}

static void note_refused(struct ingest *in)
{
    if (in->fair)
        fair_refused(in->fair);
}

/* Before anything is charged: do the queues behind take it, and is it this connection's turn? */
static bool at_the_door(struct ingest_request *r, size_t n)
{
    struct ingest *in = r->in;
    enum room room = host_room(in->host, 0, 0);

    if (UNLIKELY(room >= ROOM_NO)) {
        note_refused(in);
        r->refused = REFUSED_QUEUE;
        return false;
    }
    if (r->share && !fair_admit(in->fair, r->share, n, room)) {
        r->refused = REFUSED_SHARE;
        return false;
    }
    return true;
}

static void share_bytes(struct ingest_request *r, size_t n)
{
    if (!r->share)
        return;
    r->share->in_flight_bytes += n - r->share_bytes;
    r->share_bytes = n;
}

static bool is_slow(const struct ingest_request *r, uint64_t now, uint64_t idle_ns,
                    uint64_t floor_bytes_per_s)
{
    uint64_t age_ns = now - r->started_ns;

    if (now - r->progress_ns >= idle_ns)
        return true;
    return age_ns > idle_ns && age_ns > NS_PER_SEC &&
           (double)r->len * 1e9 < (double)age_ns * (double)floor_bytes_per_s;
}

void ingest_evict_slow(struct ingest *in, uint64_t idle_ns, uint64_t floor_bytes_per_s,
                       const struct ingest_result *why)
{
    uint64_t now = loop_now_ns(in->host->loop);
    struct list *at = in->reading.next;

    while (at != &in->reading) {
        struct ingest_request *r = CONTAINER_OF(at, struct ingest_request, reading);
        at = at->next;
        if (r != in->growing && is_slow(r, now, idle_ns, floor_bytes_per_s)) {
            ingest_count_refused(in, REFUSED_SLOW, r->len);
            r->evict(r, why);
        }
    }
}

/* Charges n bytes, making room at the expense of whoever dawdles. */
static bool admit(struct ingest *in, size_t n)
{
    if (LIKELY(budget_admit(in->host->budget, MEM_BODY, n)))
        return true;
    if (in->evicting || list_empty(&in->reading)) {
        note_refused(in);
        return false;
    }
    in->evicting = true;
    ingest_evict_slow(in, INGEST_PRESSURE_IDLE_NS, INGEST_PRESSURE_FLOOR, &ingest_memory_result);
    in->evicting = false;
    if (budget_admit(in->host->budget, MEM_BODY, n))
        return true;
    note_refused(in);
    return false;
}

static bool take_buffer(struct ingest *in, size_t n, uint8_t **bytes, size_t *cap)
{
    *cap = body_pool_capacity(n);
    if (!admit(in, *cap))
        return false;
    *bytes = body_pool_take(in->pool, n);
    if (!*bytes)
        budget_release(in->host->budget, MEM_BODY, *cap);
    return *bytes != NULL;
}

void ingest_request_init(struct ingest_request *r, struct ingest *in)
{
    r->in = in;
    r->started_ns = r->progress_ns = loop_now_ns(in->host->loop);
    list_init(&r->reading);
    list_init(&r->turn);
    list_add_tail(&in->reading, &r->reading);
}

bool body_open(struct ingest_request *r, size_t n, bool known)
{
    size_t first = known ? n : FIRST_BYTES;

    if (!at_the_door(r, first))
        return false;
    r->in->growing = r; /* must not be evicted for its own sake */
    bool got = take_buffer(r->in, first, &r->body, &r->cap);
    r->in->growing = NULL;
    if (got)
        share_bytes(r, r->cap);
    else
        r->refused = REFUSED_MEMORY;
    return got;
}

static bool body_grow(struct ingest_request *r, size_t need)
{
    uint8_t *bytes;
    size_t cap;

    r->in->growing = r; /* must not be evicted for its own sake */
    bool got = take_buffer(r->in, need > 2 * r->cap ? need : 2 * r->cap, &bytes, &cap);
    r->in->growing = NULL;
    if (!got)
        return false;
    memcpy(bytes, r->body, r->len);
    body_pool_give(r->in->pool, r->body);
    budget_release(r->in->host->budget, MEM_BODY, r->cap);
    r->body = bytes;
    r->cap = cap;
    share_bytes(r, cap);
    return true;
}

enum body_added body_add(struct ingest_request *r, const uint8_t *p, size_t n)
{
    struct ingest *in = r->in;

    if (n > in->max_bytes - r->len)
        return BODY_TOO_LARGE;
    if (r->len + n > r->cap && !body_grow(r, r->len + n))
        return BODY_NO_MEMORY;
    memcpy(r->body + r->len, p, n);
    r->len += n;
    r->progress_ns = loop_now_ns(in->host->loop);
    if (in->reading.prev != &r->reading) {
        list_del(&r->reading);
        list_add_tail(&in->reading, &r->reading);
    }
    return BODY_OK;
}

static void body_give(struct ingest_request *r)
{
    list_del(&r->reading);
    if (!r->body)
        return;
    body_pool_give(r->in->pool, r->body);
    budget_release(r->in->host->budget, MEM_BODY, r->cap);
    r->body = NULL;
    r->len = r->cap = 0;
}

void body_drop(struct ingest_request *r)
{
    list_del(&r->turn);
    share_bytes(r, 0);
    r->share = NULL;
    request_info_unref(&r->info); /* it may have waited for its turn */
    body_give(r);
}

/* ---- from body to payload ---- */

static void finish(struct ingest_request *r, const struct ingest_result *res)
{
    body_drop(r);
    request_info_unref(&r->info);
    r->done(r, res);
}

static void refuse(struct ingest_request *r, enum refusal why, const struct ingest_result *res)
{
    uint64_t spans = r->codec == CODEC_NONE && !r->json && r->body
                         ? otlp_count_spans(slice_of(r->body, r->len))
                         : 0;

    ingest_count_refused(r->in, why, r->len);
    count_spans(r->in, 0, spans);
    finish(r, res);
}

static void refuse_bad(struct ingest_request *r, enum refusal why, const char *text)
{
    struct ingest_result res = {.code = GRPC_INVALID_ARGUMENT, .text = text};

    refuse(r, why, &res);
}

/* Puts malloc'ed bytes in the place of the body as it came. */
static struct payload *payload_of(struct ingest_request *r, uint8_t **bytes, size_t len,
                                  size_t charged)
{
    body_give(r);
    return payload_new(r->in->host->budget, bytes, len, charged);
}

static struct payload *payload_of_body(struct ingest_request *r)
{
    struct payload *p =
        payload_new_ext(r->in->host->budget, r->body, r->len, r->cap, body_pool_give, r->in->pool);

    list_del(&r->reading);
    r->body = NULL; /* buffer and charge are the payload's */
    r->len = r->cap = 0;
    return p;
}

static void decompression_failed(struct ingest_request *r, enum decompress_result how,
                                 const char *text)
{
    struct ingest_result res = {.text = text};

    switch (how) {
    case DECOMPRESS_TOO_LARGE:
        res.code = GRPC_RESOURCE_EXHAUSTED;
        res.http_status = 413;
        refuse(r, REFUSED_TOO_LARGE, &res);
        return;
    case DECOMPRESS_NO_MEMORY:
        refuse(r, REFUSED_MEMORY, &ingest_memory_result);
        return;
    default:
        refuse_bad(r, REFUSED_COMPRESSION, text);
    }
}

/* Replaces the body by its decompressed form. False: answered. */
static bool decompress_body(struct ingest_request *r, uint8_t **bytes, size_t *len, size_t *charged)
{
    struct ingest *in = r->in;
    struct err err = {0};
    enum decompress_result d =
        decompress(in->decompressor, r->codec, slice_of(r->body, r->len), in->max_bytes,
                   in->host->budget, bytes, len, charged, &err);
    if (d == DECOMPRESS_NO_MEMORY && !list_empty(&in->reading) && !in->evicting) {
        in->evicting = true;
        ingest_evict_slow(in, INGEST_PRESSURE_IDLE_NS, INGEST_PRESSURE_FLOOR, &ingest_memory_result);
        in->evicting = false;
        d = decompress(in->decompressor, r->codec, slice_of(r->body, r->len), in->max_bytes,
                       in->host->budget, bytes, len, charged, &err);
    }
    if (d == DECOMPRESS_OK)
        return true;
    if (d == DECOMPRESS_TOO_LARGE)
        err_set(&err, "received message after decompression larger than max %llu",
                (unsigned long long)in->max_bytes);
    else
        err_wrap(&err, "failed to decompress the message");
    decompression_failed(r, d, err.text);
    return false;
}

/* What decoding this much JSON needs at most: the protobuf, which is hardly larger than its text
 * (the worst is ,"kind":-1), in a buffer that doubles as it grows. */
static size_t json_decode_bytes(size_t n)
{
    return n / 2 * 5 + JSON_SCRATCH;
}

static struct payload *payload_of_json(struct ingest_request *r, struct slice json)
{
    struct ingest *in = r->in;
    size_t room = json_decode_bytes(json.len);
    struct buf out = {.max = in->max_bytes};
    struct err err = {0};
    struct payload *p = NULL;

    if (!admit(in, room)) {
        refuse(r, REFUSED_MEMORY, &ingest_memory_result);
        return NULL;
    }
    if (otlp_json_decode(json, &out, &err) == 0) {
        size_t charged = out.cap ? out.cap : 1;
        if (!out.p)
            out.p = mem_alloc(1);
        if (budget_charge(in->host->budget, MEM_BODY, charged)) {
            p = payload_of(r, &out.p, out.len, charged);
        } else {
            refuse(r, REFUSED_MEMORY, &ingest_memory_result);
        }
    } else {
        refuse_bad(r, REFUSED_MALFORMED, err.text);
    }
    free(out.p);
    budget_release(in->host->budget, MEM_BODY, room);
    return p;
}

/* The payload, not yet walked; NULL: answered. */
static struct payload *make_payload(struct ingest_request *r)
{
    uint8_t *bytes = NULL;
    size_t len = 0, charged = 0;
    struct payload *p;

    if (r->codec == CODEC_NONE)
        return r->json ? payload_of_json(r, slice_of(r->body, r->len)) : payload_of_body(r);
    if (!decompress_body(r, &bytes, &len, &charged))
        return NULL;
    if (!r->json)
        return payload_of(r, &bytes, len, charged);
    p = payload_of_json(r, slice_of(bytes, len));
    free(bytes);
    budget_release(r->in->host->budget, MEM_BODY, charged);
    return p;
}

/* ---- the pipelines' answer ---- */

static int code_of(const struct answer_detail *d)
{
    static const int defaults[] = {[ANSWER_OK] = GRPC_OK,
                                   [ANSWER_RETRY] = GRPC_UNAVAILABLE,
                                   [ANSWER_EXHAUSTED] = GRPC_RESOURCE_EXHAUSTED,
                                   [ANSWER_REJECTED] = GRPC_INTERNAL};

    return d->answer != ANSWER_OK && d->grpc_code ? d->grpc_code : defaults[d->answer];
}

static void result_of_rejected(const struct ingest_request *r, struct ingest_result *res,
                               char text[static 160])
{
    res->rejected_spans = (uint64_t)r->rejected_trace_id + r->rejected_span_id;
    if (!res->rejected_spans)
        return;
    snprintf(text, 160,
             "spans left out: %u with an empty or zero trace id, %u with an empty or zero span id",
             r->rejected_trace_id, r->rejected_span_id);
    res->text = text;
}

static void on_answer(void *ctx, const struct answer_detail *d)
{
    struct ingest_request *r = ctx;
    struct ingest_result res = {.code = code_of(d), .text = d->text ? d->text : ""};
    char text[160];

    r->waiting = false;
    if (d->answer == ANSWER_OK) {
        count_spans(r->in, r->n_spans, 0);
        result_of_rejected(r, &res, text);
    } else {
        count_spans(r->in, 0, r->n_spans);
        if (d->answer != ANSWER_REJECTED)
            note_refused(r->in);
        res.has_retry = d->retry_after_ms > 0 ||
                        d->answer != ANSWER_REJECTED; /* without one, 8 would be final */
        res.retry_after_ms = d->retry_after_ms ? d->retry_after_ms : OTLP_RETRY_MS;
    }
    finish(r, &res);
}

static void hand_over(struct ingest_request *r, struct payload **p)
{
    struct request_info *info = r->info;

    r->info = NULL;
    r->waiting = true;
    host_accept(r->in->host, p, info, (struct waiter){.fn = on_answer, .ctx = r});
}

static void count_walk(struct ingest *in, const struct walk_report *w)
{
    if (w->rejected_trace_id)
        series_add(in->rejected_trace_id, w->rejected_trace_id);
    if (w->rejected_span_id)
        series_add(in->rejected_span_id, w->rejected_span_id);
    if (w->repaired_strings)
        series_add(in->repaired, w->repaired_strings);
}

static void nothing_to_accept(struct ingest_request *r)
{
    struct ingest_result res = {.text = ""};
    char text[160];

    result_of_rejected(r, &res, text);
    finish(r, &res);
}

/* Counts the work a body made for its connection. A bomb is as much work as it may become. */
static void spend(const struct ingest *in, struct fair_share *share, uint64_t bytes, bool packed,
                  const struct payload *p)
{
    uint64_t unpacked = p ? p->len : packed ? in->max_bytes : bytes;

    if (!share)
        return;
    share->recent_bytes += unpacked;
    fair_spend(in->fair, share, REQUEST_WORK + bytes + unpacked);
}

static void run(struct ingest_request *r)
{
    struct walk_report report = {0};
    struct err err = {0};
    uint64_t bytes = r->len;
    struct ingest *in = r->in;
    struct fair_share *share = r->share;
    bool packed = r->codec != CODEC_NONE;

    list_del(&r->reading);
    struct payload *p = make_payload(r);
    spend(in, share, bytes, packed, p);
    if (!p)
        return;
    enum walk_result w = otlp_walk(p, &report, &err);
    if (w != WALK_OK) {
        uint32_t spans = otlp_count_spans(slice_of(p->bytes, p->len));
        payload_unref(&p);
        ingest_count_refused(r->in, w == WALK_MALFORMED ? REFUSED_MALFORMED : REFUSED_MEMORY,
                             bytes);
        count_spans(r->in, 0, spans);
        struct ingest_result bad = {.code = GRPC_INVALID_ARGUMENT, .text = err.text};
        finish(r, w == WALK_MALFORMED ? &bad : &ingest_memory_result);
        return;
    }
    count_walk(r->in, &report);
    r->n_spans = report.spans;
    r->rejected_trace_id = report.rejected_trace_id;
    r->rejected_span_id = report.rejected_span_id;
    if (p->n_spans > 0) {
        hand_over(r, &p);
        return;
    }
    payload_unref(&p);
    nothing_to_accept(r);
}

void ingest_run(struct ingest_request *r)
{
    if (LIKELY(!r->share || !r->share->is_resting)) {
        run(r);
        return;
    }
    list_del(&r->reading);
    list_add_tail(&r->share->runs, &r->turn);
}

void ingest_run_turn(struct list *turn)
{
    run(CONTAINER_OF(turn, struct ingest_request, turn));
}

/* ---- the good answer ---- */

static void put_varint(struct buf *out, uint64_t v)
{
    while (v >= 0x80) {
        buf_putc(out, (char)(v | 0x80));
        v >>= 7;
    }
    buf_putc(out, (char)v);
}

void ingest_response(struct buf *out, const struct ingest_result *res)
{
    struct buf partial = {0};
    size_t n = strlen(res->text);

    if (!res->rejected_spans)
        return;
    buf_putc(&partial, 0x08);
    put_varint(&partial, res->rejected_spans);
    buf_putc(&partial, 0x12);
    put_varint(&partial, n);
    buf_put(&partial, res->text, n);
    buf_putc(out, 0x0a);
    put_varint(out, partial.len);
    buf_put(out, partial.p, partial.len);
    buf_free(&partial);
}
