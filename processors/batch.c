/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: gathers spans of many requests into batches of a useful size.
 *
 * Problem: exporters pay per request. Design: a batch is a list of slices, so gathering moves no
 * span; what is pending costs what its payloads were already charged. The client is answered as soon
 * as its data is pending. A batch leaves when it reaches send_batch_size, or at the next tick of a
 * clock of period `timeout` that starts over at each batch sent for its size; the clock is not run
 * while nothing is pending (batch_shards.c).
 *
 * Back-pressure: nobody waits for a batch that leaves from here, so it leaves only when what follows
 * has room (host_room). Until then it stays pending, and once it has its full size further requests
 * are refused; it goes when room is made, or is found by asking again each POLL_MS.
 * Limits: what is pending is bounded by send_batch_size and by the memory budget, which refuses at
 * the door. Combinations of metadata values: see batch_shards.h.
 * Threads: one worker.
 */
#include <stdlib.h>
#include <strings.h>

#include "component/size_buckets.h"
#include "platform/clock.h"
#include "processors/batch_shards.h"
#include "processors/items.h"
#include "processors/processors.h"

#define UINT32_MAX_D 4294967295.0
#define POLL_MS      20 /* for room that another worker makes */
#define RETRY_AFTER_MS 1000

struct batch_settings {
    int64_t timeout_ns;
    uint64_t send_batch_size, send_batch_max_size;
    struct str_list metadata_keys;
    uint64_t metadata_cardinality_limit;
};

#define S struct batch_settings
static const struct key batch_keys[] = {
    KEY_DURATION(S, timeout, "200ms", 1, 0,
                 "What is pending is sent at least this often; 0 sends every request's spans at once."),
    KEY_UINT(S, send_batch_size, "8192", 0, UINT32_MAX_D,
             "Number of spans at which a batch is sent without waiting; 0 sends every request's spans at once."),
    KEY_UINT(S, send_batch_max_size, "0", 0, UINT32_MAX_D,
             "Largest number of spans in a batch sent; larger ones are split. 0: no limit."),
    KEY_STRS(S, metadata_keys, NULL,
             "Names of request headers, in any case; each combination of their values is batched on its "
             "own and keeps these headers. Needs include_metadata on the receiver."),
    KEY_UINT(S, metadata_cardinality_limit, "1000", 0, UINT32_MAX_D,
             "Most combinations of metadata values per pipeline and worker; data of further ones is refused. 0: no limit."),
    KEY_END,
};
#undef S

enum { ROW_SIZE, ROW_BYTES, ROW_BY_SIZE, ROW_BY_TIMEOUT, ROW_CARDINALITY };
static const struct metric_row batch_rows[] = {
    [ROW_SIZE] = {.name = "otelcol_processor_batch_batch_send_size",
                  .type = METRIC_HISTOGRAM,
                  .level = METRIC_NORMAL,
                  .unit = "{units}",
                  .help = "Number of units in the batch [Development]",
                  .bounds = size_buckets_spans,
                  .n_bounds = ARRAY_LEN(size_buckets_spans)},
    [ROW_BYTES] = {.name = "otelcol_processor_batch_batch_send_size_bytes",
                   .type = METRIC_HISTOGRAM,
                   .level = METRIC_DETAILED,
                   .unit = "By",
                   .help = "Number of bytes in batch that was sent. Only available on detailed level. [Development]",
                   .bounds = size_buckets_bytes,
                   .n_bounds = ARRAY_LEN(size_buckets_bytes)},
    [ROW_BY_SIZE] = {.name = "otelcol_processor_batch_batch_size_trigger_send",
                     .type = METRIC_COUNTER,
                     .level = METRIC_NORMAL,
                     .unit = "{times}",
                     .help = "Number of times the batch was sent due to a size trigger [Development]"},
    [ROW_BY_TIMEOUT] = {.name = "otelcol_processor_batch_timeout_trigger_send",
                        .type = METRIC_COUNTER,
                        .level = METRIC_NORMAL,
                        .unit = "{times}",
                        .help = "Number of times the batch was sent due to a timeout trigger [Development]"},
    [ROW_CARDINALITY] = {.name = "otelcol_processor_batch_metadata_cardinality",
                         .type = METRIC_GAUGE,
                         .level = METRIC_NORMAL,
                         .unit = "{combinations}",
                         .help = "Number of distinct metadata value combinations being processed [Development]",
                         .from_start = true},
    {.name = NULL},
};

struct batcher {
    struct component c;
    const struct batch_settings *s;
    struct shards *shards;
    uint64_t period_ms; /* 0: no clock, everything leaves at once */
    struct timer *poll; /* runs while a shard is stuck; NULL: none ever was */
    struct series *size, *bytes, *by_size, *by_timeout, *cardinality;
    bool drained;
};

static struct batcher *batcher_of(struct component *c)
{
    CHECK(c->type == &batch_type);
    return CONTAINER_OF(c, struct batcher, c);
}

static void batch_check(const void *settings, struct check *c)
{
    const struct batch_settings *s = settings;

    if (s->timeout_ns < 0)
        check_error(c, "timeout", "timeout must be greater or equal to 0");
    if (s->send_batch_max_size > 0 && s->send_batch_max_size < s->send_batch_size)
        check_error(c, "send_batch_max_size", "send_batch_max_size must be greater or equal to send_batch_size");
    for (size_t i = 0; i < s->metadata_keys.n; i++)
        for (size_t k = 0; k < i; k++)
            if (strcasecmp(s->metadata_keys.v[i], s->metadata_keys.v[k]) == 0) {
                check_error(c, "metadata_keys", "duplicate entry in metadata_keys: \"%s\" (case-insensitive)",
                            s->metadata_keys.v[k]);
                break;
            }
}

/* ---- sending ---- */

static void send_one(struct batcher *m, struct shard *sh, struct series *trigger)
{
    uint64_t max = m->s->send_batch_max_size;
    struct batch *out;

    if (max > 0 && sh->pending->n_spans > max) {
        out = batch_split(sh->pending, max);
    } else {
        out = sh->pending;
        sh->pending = NULL;
    }
    series_add(trigger, 1);
    series_observe(m->size, (double)out->n_spans);
    series_observe(m->bytes, (double)out->n_bytes);
    host_emit(m->c.host, &out);
}

static bool is_full(const struct batcher *m, const struct shard *sh)
{
    return sh->pending && (m->period_ms == 0 || sh->pending->n_spans >= m->s->send_batch_size);
}

/* Would what follows take the next batch? */
static enum room next_room(const struct batcher *m, const struct shard *sh)
{
    uint64_t spans = sh->pending->n_spans, bytes = sh->pending->n_bytes, max = m->s->send_batch_max_size;

    if (max == 0 || spans <= max)
        return host_room(m->c.host, spans, bytes);
    return host_room(m->c.host, max, bytes / spans * max);
}

static bool may_send(struct batcher *m, struct shard *sh)
{
    sh->stuck = next_room(m, sh) >= ROOM_NO;
    if (UNLIKELY(sh->stuck) && !timer_active(m->poll))
        timer_start(m->poll, POLL_MS, 0);
    return !sh->stuck;
}

static void send_full(struct batcher *m, struct shard *sh)
{
    bool sent = false;

    while (is_full(m, sh) && may_send(m, sh)) {
        send_one(m, sh, m->by_size);
        sent = true;
    }
    if (m->period_ms > 0 && !sh->stuck)
        shard_clock(sh, loop_now_ns(m->c.host->loop), sent);
}

/* The tick sends one batch; with a maximum, what is over it stays for the next tick, as upstream.
 * Without room the clock stands still until there is some. */
static void on_tick(void *ctx, struct shard *sh)
{
    struct batcher *m = ctx;

    if (sh->pending && !may_send(m, sh))
        return;
    if (sh->pending)
        send_one(m, sh, m->by_timeout);
    shard_clock(sh, loop_now_ns(m->c.host->loop), true);
}

/* What was stuck goes on where it stopped: as a full batch, or as one whose time has come. */
static void go_on(void *ctx, struct shard *sh)
{
    struct batcher *m = ctx;

    if (!sh->stuck)
        return;
    sh->stuck = false;
    if (!is_full(m, sh) && sh->pending && m->period_ms > 0)
        on_tick(m, sh);
    else
        send_full(m, sh);
}

static void batch_resume(struct component *c)
{
    struct batcher *m = batcher_of(c);

    timer_stop(m->poll);
    if (!m->drained)
        shards_each(m->shards, go_on, m);
}

static void on_poll(void *ctx)
{
    batch_resume(ctx);
}

/* Refused, while somebody waits to hear it; what nobody waits for was asked for before. */
static bool turn_away(struct batcher *m, struct shard *sh, struct batch **take)
{
    static const struct answer_detail full = {
        .answer = ANSWER_RETRY, .retry_after_ms = RETRY_AFTER_MS, .text = "sending queue is full"};

    if (LIKELY(!is_full(m, sh)) || !(*take)->waiter.fn)
        return false;
    send_full(m, sh);
    if (!is_full(m, sh))
        return false;
    batch_refuse(take, &full);
    return true;
}

static void batch_push(struct component *c, struct batch **take)
{
    struct batcher *m = batcher_of(c);
    enum shard_result why;
    struct shard *sh;

    if (m->drained) {
        processor_closed(take);
        return;
    }
    sh = shards_find(m->shards, (*take)->info, &why);
    if (!sh) {
        if (why == SHARD_NO_MEMORY)
            processor_no_memory(take);
        else
            batch_drop(take, DROP_CARDINALITY, "too many batcher metadata-value combinations");
        return;
    }
    if (m->s->metadata_keys.n)
        series_set(m->cardinality, shards_count(m->shards));
    if (turn_away(m, sh, take))
        return;
    if (!sh->pending) {
        sh->pending = batch_empty((*take)->ledger);
        sh->pending->info = request_info_ref(sh->info);
        sh->pending->received_ns = (*take)->received_ns;
    }
    batch_append(sh->pending, take);
    send_full(m, sh);
}

/* ---- life ---- */

static struct component *batch_create(struct host *h, const void *settings, struct err *err)
{
    struct batcher *m = mem_alloc(sizeof(*m));
    const struct batch_settings *s = settings;

    (void)err;
    m->c = (struct component){&batch_type, h};
    m->s = s;
    if (s->timeout_ns > 0 && s->send_batch_size > 0)
        m->period_ms = ((uint64_t)s->timeout_ns + NS_PER_MS - 1) / NS_PER_MS;
    m->shards = shards_new(h, &s->metadata_keys, s->metadata_cardinality_limit, m->period_ms, on_tick, m);
    m->poll = timer_new(h->loop, __func__, on_poll, &m->c);
    m->size = processor_series(h, &batch_rows[ROW_SIZE]);
    m->bytes = processor_series(h, &batch_rows[ROW_BYTES]);
    m->by_size = processor_series(h, &batch_rows[ROW_BY_SIZE]);
    m->by_timeout = processor_series(h, &batch_rows[ROW_BY_TIMEOUT]);
    m->cardinality = processor_series(h, &batch_rows[ROW_CARDINALITY]);
    /* Without metadata_keys there is one combination, however many workers there are. */
    if (s->metadata_keys.n == 0 && h->worker == 0)
        series_set(m->cardinality, 1);
    return &m->c;
}

static void flush(void *ctx, struct shard *sh)
{
    struct batcher *m = ctx;

    while (sh->pending)
        send_one(m, sh, m->by_timeout);
    shard_stop(sh);
}

static void batch_drain(struct component *c)
{
    struct batcher *m = batcher_of(c);

    if (m->drained)
        return;
    m->drained = true;
    timer_stop(m->poll);
    shards_each(m->shards, flush, m);
    host_drained(c->host);
}

static void drop_pending(void *ctx, struct shard *sh)
{
    (void)ctx;
    if (sh->pending)
        batch_drop(&sh->pending, DROP_SHUTDOWN, "the daemon is shutting down");
}

static void batch_destroy(struct component **c)
{
    struct batcher *m;

    if (!*c)
        return;
    m = batcher_of(*c);
    shards_each(m->shards, drop_pending, m);
    shards_free(&m->shards);
    timer_free(&m->poll);
    free(m);
    *c = NULL;
}

static void count_pending(void *ctx, struct shard *sh)
{
    uint64_t *n = ctx;

    if (sh->pending)
        *n += sh->pending->n_spans;
}

static uint64_t batch_held(const struct component *c)
{
    uint64_t n = 0;

    CHECK(c->type == &batch_type);
    shards_each(CONTAINER_OF(c, const struct batcher, c)->shards, count_pending, &n);
    return n;
}

/* By metadata each request may meet another batch: it hears when it comes. */
static enum room batch_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    const struct batcher *m;
    const struct shard *only;

    (void)n_spans, (void)n_bytes;
    CHECK(c->type == &batch_type);
    m = CONTAINER_OF(c, const struct batcher, c);
    only = m->s->metadata_keys.n ? NULL : shards_only(m->shards);
    if (only && only->stuck && is_full(m, only))
        return next_room(m, only);
    /* what it holds itself it takes in any case */
    return host_room(c->host, 0, 0) == ROOM_YES && !(only && only->stuck) ? ROOM_YES : ROOM_TIGHT;
}

const struct component_type batch_type = {
    .kind = PROCESSOR,
    .name = "batch",
    .stability = "beta",
    .summary = "Gathers spans of many requests into batches, by number and by time.",
    .keys = batch_keys,
    .settings_size = sizeof(struct batch_settings),
    .metrics = batch_rows,
    .check = batch_check,
    .create = batch_create,
    .push = batch_push,
    .drain = batch_drain,
    .destroy = batch_destroy,
    .held = batch_held,
    .room = batch_room,
    .resume = batch_resume,
};
