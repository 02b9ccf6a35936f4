/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_sampling: hold a trace until all of it can be judged, then keep or drop it whole.
 *
 *   push -> runs of spans of a trace -+-> ours: the sampler files them
 *                                     +-> another worker's: the exchange sends them there -> message
 *   every second -> tick -> work in slices of a few ms -> kept spans go on, in batches
 *
 * Spans stay bytes: they are copied once, into a log of segments, and judged by facts kept up as they
 * arrive. The sender is answered when its spans are filed, or told to try again when there is no room
 * even after the oldest traces were decided.
 *
 * Reading order: tail_settings (keys), tail_policy + tail_facts (judging), tail_sampler (a trace's
 * life) and its parts: trace_table, tail_segment, tail_intern, tail_wheel, tail_cache, tail_emit.
 * This file: the component around them; clock, workers, start and stop.
 * Memory:  see tail_sampler.h; all of it is MEM_TAIL.
 * Threads: one sampler a worker; a trace lives on the worker that its id names.
 */
#include "processors/processors.h"
#include "processors/tail_exchange.h"
#include "processors/tail_restore.h"
#include "processors/tail_sampler.h"

#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"

enum {
    SLICE_MS = 5,     /* of deciding and sending, before the loop looks at its sockets again */
    RETRY_MS = 20,    /* when memory or a ring is short */
};

struct tail {
    struct component base;
    struct tail_sampler sampler;
    struct tail_exchange exchange;
    struct timer *ticker, *worker;
    uint64_t next_tick_ns;
    bool drop_pending;
    bool draining, drained;
};

static struct tail *tail_of(const struct component *c)
{
    CHECK(c->type == &tail_sampling_type);
    return CONTAINER_OF(c, struct tail, base);
}

/* ---- time ---- */

static void finish_drain(struct tail *t)
{
    if (t->drained)
        return;
    t->drained = true;
    if (t->sampler.store)
        tail_sampler_abandon(&t->sampler); /* it stays on disk */
    if (t->ticker)
        timer_stop(t->ticker);
    host_drained(t->base.host);
}

/* One slice; comes back when there is more to do. */
static void work(void *ctx)
{
    struct tail *t = ctx;
    enum tail_work back = t->draining ? TAIL_IDLE : tail_restore_work(&t->sampler, &t->exchange, SLICE_MS * NS_PER_MS);
    bool posted = tail_exchange_post(&t->exchange);

    t->sampler.waiting_spans = t->exchange.waiting_spans;
    enum tail_work w = tail_sampler_work(&t->sampler, SLICE_MS * NS_PER_MS);

    if (w == TAIL_MORE || back == TAIL_MORE)
        timer_start(t->worker, 0, 0);
    else if (w == TAIL_BLOCKED || back == TAIL_BLOCKED || !posted)
        timer_start(t->worker, RETRY_MS, 0);
    else if (t->draining)
        finish_drain(t);
}

static void arm_ticker(struct tail *t, uint64_t now_ns)
{
    timer_start(t->ticker, t->next_tick_ns > now_ns ? (t->next_tick_ns - now_ns) / NS_PER_MS + 1 : 1, 0);
}

static void on_tick(void *ctx)
{
    struct tail *t = ctx;
    uint64_t now_ns = clock_mono_ns();

    for (uint32_t n = tail_ticks_due(&t->next_tick_ns, now_ns); n; n--)
        tail_sampler_tick(&t->sampler);
    arm_ticker(t, now_ns);
    work(t);
}

static void work_soon(struct tail *t, uint64_t delay_ms)
{
    if (!timer_active(t->worker))
        timer_start(t->worker, delay_ms, 0);
}

/* ---- spans in ---- */

static void after_filing(struct tail *t)
{
    if (!tail_exchange_post(&t->exchange) || t->sampler.emit.n_items || t->sampler.sending ||
        t->sampler.passing_first || t->sampler.doomed.first)
        work_soon(t, RETRY_MS);
}

/* What the log will hold; the batch's own count leaves the envelopes open. */
static uint64_t span_bytes(const struct batch *b)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < b->n_parts; i++) {
        const struct span *sp = b->parts[i].payload->spans + b->parts[i].first;

        for (uint32_t k = 0; k < b->parts[i].n; k++)
            bytes += sp[k].rec_len;
    }
    return bytes;
}

/* What is filed now lies on disk as this request; 0: it does not. */
static void from_request(struct tail *t, uint32_t stored)
{
    t->sampler.log.stored = stored;
    tail_exchange_request(&t->exchange, t->sampler.store, stored, false, 0);
}

static void request_over(struct tail *t, uint32_t stored)
{
    if (!t->sampler.store)
        return;
    from_request(t, 0);
    tail_store_unref(t->sampler.store, stored);
}

static void tail_push(struct component *c, struct batch **take)
{
    struct tail *t = tail_of(c);
    struct batch *b = *take;

    *take = NULL;
    if (UNLIKELY(t->drained)) {
        batch_refuse(&b, &(struct answer_detail){.answer = ANSWER_RETRY, .text = "shutting down"});
        return;
    }
    if (tail_sampler_prepare(&t->sampler, b->parts, b->n_parts, span_bytes(b), b->n_spans, false) != 0) {
        batch_refuse(&b, &(struct answer_detail){.answer = ANSWER_RETRY,
                                                 .text = "tail_sampling: no memory for more spans"});
        return;
    }
    uint32_t stored = t->sampler.store ? tail_store_append(t->sampler.store, b) : 0;
    from_request(t, stored);
    for (uint32_t i = 0; i < b->n_parts; i++)
        tail_sampler_file(&t->sampler, i, b->parts[i].first, b->parts[i].n,
                          c->host->n_workers > 1 ? &t->exchange : NULL);
    tail_sampler_done(&t->sampler);
    after_filing(t);
    request_over(t, stored);
    b->ledger = NULL; /* its spans stay booked as held: they are here */
    batch_end(&b, FATE_FILTERED, &(struct answer_detail){.answer = ANSWER_OK});
}

static void moved_in(struct ledger *l, uint64_t n_spans)
{
    l->held += (int64_t)n_spans;
    l->moved_in += n_spans;
}

static void no_memory(struct ledger *l, const struct tail_message *m)
{
    if (m->restored)
        ledger_accept(l, m->n_spans);
    ledger_end(l, m->n_spans, FATE_DROPPED, DROP_MEMORY);
}

static void tail_message(struct component *c, unsigned from_worker, void *msg)
{
    struct tail *t = tail_of(c);
    struct tail_message *m = msg;
    struct ledger *l = c->host->ledger;

    uint32_t stored = m->stored ? tail_store_foreign(t->sampler.store, m->origin, m->stored, m->request_ns) : 0;

    (void)from_worker;
    moved_in(l, m->n_booked);
    from_request(t, stored);
    if (tail_sampler_prepare(&t->sampler, m->parts, m->n_parts, m->n_bytes, m->n_spans, true) != 0) {
        no_memory(l, m);
    } else {
        if (m->restored)
            tail_restore_runs(&t->sampler, m->runs, m->n_runs, m->request_ns, m->age_s);
        else
            tail_sampler_file_runs(&t->sampler, m->runs, m->n_runs);
        tail_sampler_done(&t->sampler);
        after_filing(t);
    }
    request_over(t, stored);
    if (m->restored)
        tail_restore_done(&t->sampler);
    tail_message_free(&m);
}

/* ---- life ---- */

static int tail_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    struct tail_shared *sh;

    if (tail_shared_new(settings, host->budget, host->gates, &sh, err) != 0)
        return -1;
    *shared = sh;
    return 0;
}

static void tail_shared_destroy(void **shared)
{
    struct tail_shared *sh = *shared;

    *shared = NULL;
    tail_shared_free(&sh);
}

static void tail_destroy(struct component **c);

/* As many as table and caches remember. */
static uint64_t decisions_kept(const struct tail_settings *s, unsigned n_workers)
{
    const struct cache_settings *c = &s->decision_cache;
    int64_t ids = (c->sampled_cache_size > 0 ? c->sampled_cache_size : 0) + (c->non_sampled_cache_size > 0 ? c->non_sampled_cache_size : 0);

    return tail_share(s->num_traces + (uint64_t)ids, n_workers);
}

static struct component *tail_create(struct host *h, const void *settings, struct err *err)
{
    const struct tail_settings *s = settings;
    struct tail *t = mem_alloc(sizeof(*t));

    CHECK(h->shared);
    t->base = (struct component){&tail_sampling_type, h};
    t->drop_pending = s->drop_pending_traces_on_shutdown;
    tail_sampler_init(&t->sampler, h, s, h->shared);
    tail_exchange_init(&t->exchange, h);
    if (!s->storage)
        return &t->base;
    t->sampler.store = tail_store_new(h, s->storage, &t->sampler.shared->shelves, decisions_kept(s, h->n_workers),
                                      &t->sampler.metrics, err);
    if (t->sampler.store)
        return &t->base;
    struct component *half = &t->base;
    tail_destroy(&half);
    return NULL;
}

static int tail_start(struct component *c, struct err *err)
{
    struct tail *t = tail_of(c);

    (void)err;
    if (t->sampler.policies->randomness && t->sampler.policies->first_match && c->host->worker == 0)
        log_warn(&c->host->log, "sample_on_first_match with the feature gate usetracestate: thresholds are those of the first match");
    t->ticker = timer_new(c->host->loop, __func__, on_tick, t);
    t->worker = timer_new(c->host->loop, __func__, work, t);
    uint64_t now_ns = clock_mono_ns();

    t->next_tick_ns = now_ns + NS_PER_SEC;
    arm_ticker(t, now_ns);
    if (t->sampler.store) {
        tail_restore_decisions(&t->sampler);
        timer_start(t->worker, 0, 0);
    }
    return 0;
}

/* The deadline has passed: what is held is dropped and counted. */
static void give_up(struct tail *t)
{
    tail_exchange_abandon(&t->exchange);
    tail_sampler_abandon(&t->sampler);
    if (t->worker)
        timer_stop(t->worker);
    finish_drain(t);
}

static void tail_drain(struct component *c)
{
    struct tail *t = tail_of(c);

    if (t->drained)
        return;
    if (host_deadline_passed(c->host)) {
        give_up(t);
        return;
    }
    if (!t->draining) {
        t->draining = true;
        if (t->sampler.store && t->sampler.store->spans)
            tail_sampler_leave(&t->sampler);
        else
            tail_sampler_end(&t->sampler, t->drop_pending);
    }
    if (t->worker)
        work(t);
    else
        finish_drain(t);
}

static void tail_change(struct component *c, const void *settings)
{
    struct tail *t = tail_of(c);
    const struct tail_settings *s = settings;

    t->drop_pending = s->drop_pending_traces_on_shutdown;
    tail_sampler_change(&t->sampler, s, c->host->shared);
}

/* Spans judged as they come leave nothing to judge anew. */
static bool tail_may_change(const void *from, const void *to)
{
    const struct tail_settings *a = from, *b = to;

    if ((a->storage || b->storage) && (!a->storage || !b->storage || strcmp(a->storage, b->storage) != 0))
        return false; /* its files lie elsewhere */
    return strcmp(a->sampling_strategy, "span-ingest") != 0 && strcmp(b->sampling_strategy, "span-ingest") != 0;
}

/* What it holds is decided then. What is in files is for a process that comes after this one, not for nobody. */
static bool tail_may_leave(const void *settings)
{
    const struct tail_settings *s = settings;

    return !s->storage;
}

static void tail_destroy(struct component **c)
{
    struct tail *t = tail_of(*c);

    *c = NULL;
    timer_free(&t->ticker);
    timer_free(&t->worker);
    tail_exchange_fini(&t->exchange);
    tail_sampler_fini(&t->sampler);
    free(t);
}

static uint64_t tail_held(const struct component *c)
{
    const struct tail *t = tail_of(c);

    return t->sampler.held_spans + t->exchange.waiting_spans;
}

/* The log takes more while queues are full; what it cannot take is refused when it comes. */
static enum room tail_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    (void)c, (void)n_spans, (void)n_bytes;
    return ROOM_YES;
}

static void tail_resume(struct component *c)
{
    struct tail *t = tail_of(c);

    if (t->worker && !t->drained)
        timer_start(t->worker, 0, 0);
}

static bool tail_unsent(const struct component *c)
{
    return tail_of(c)->exchange.n_waiting > 0;
}

/* 32 hexadecimal digits. */
static bool parse_id(const char *text, uint8_t id[static 16])
{
    static const char digits[] = "0123456789abcdef";

    if (strlen(text) != 32)
        return false;
    for (int i = 0; i < 32; i++) {
        const char *d = strchr(digits, text[i] | 0x20);

        if (!d || !*d)
            return false;
        id[i / 2] = (uint8_t)(id[i / 2] << 4 | (d - digits));
    }
    return true;
}

static void tail_debug(struct component *c, const char *question, struct buf *out)
{
    struct tail *t = tail_of(c);
    struct buf text = {0};
    uint8_t id[16] = {0};

    if (strncmp(question, "traces/", 7) != 0 || !parse_id(question + 7, id))
        return;
    tail_sampler_explain(&t->sampler, id, &text);
    if (text.len) {
        buf_putf(out, "trace %s\n  pipeline      %s, %s, worker %u\n", question + 7, c->host->pipeline ? c->host->pipeline : "-",
                 c->host->id, c->host->worker);
        buf_put(out, text.p, text.len);
    }
    buf_free(&text);
}

const struct component_type tail_sampling_type = {
    .kind = PROCESSOR,
    .name = "tail_sampling",
    .drains_early = true,
    .stability = "beta",
    .summary = "Holds each trace until it is whole, then keeps or drops it by policy.",
    .keys = tail_keys,
    .settings_size = sizeof(struct tail_settings),
    .metrics = tail_metric_rows,
    .check = tail_settings_check,
    .memory = tail_settings_memory,
    .gates_memory = tail_settings_gates_memory,
    .shared_create = tail_shared_create,
    .shared_destroy = tail_shared_destroy,
    .create = tail_create,
    .start = tail_start,
    .push = tail_push,
    .message = tail_message,
    .unsent = tail_unsent,
    .room = tail_room,
    .resume = tail_resume,
    .change = tail_change,
    .may_change = tail_may_change,
    .may_leave = tail_may_leave,
    .drain = tail_drain,
    .destroy = tail_destroy,
    .held = tail_held,
    .debug = tail_debug,
};
