/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing back what the process before held: see tail_restore.h. */
#include "processors/tail_restore.h"

#include <stdlib.h>
#include <string.h>

#include "model/otlp_walk.h"
#include "platform/clock.h"
#include "processors/tail_sampler_priv.h"

/* ---- decisions ---- */

static uint32_t policy_named(const struct tail_policies *p, uint16_t name)
{
    for (uint32_t i = 0; i < p->n_policies; i++)
        if (tail_note_policy(p->policies[i].name) == name)
            return i + 1;
    return 0;
}

static void recall(struct tail_sampler *s, const struct note *n, uint32_t age_ticks)
{
    struct tail_cache *cache = n->code == NOTE_SAMPLED ? &s->sampled : &s->non_sampled;

    if (cache->max) {
        if (tail_cache_put(cache, n->id))
            tail_cache_set_note(cache, policy_named(s->policies, n->policy));
        return;
    }
    if (n->code == NOTE_OVER)
        return;
    tail_recall(s, n->id,
                n->code == NOTE_SAMPLED   ? TRACE_SAMPLED
                : n->code == NOTE_DROPPED ? TRACE_DROPPED
                                          : TRACE_NOT_SAMPLED,
                n->code == NOTE_TOO_LARGE ? TRACE_TOO_LARGE : 0, age_ticks);
}

static int by_time(const void *pa, const void *pb)
{
    const struct note *a = *(const struct note *const *)pa, *b = *(const struct note *const *)pb;

    return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
}

void tail_restore_decisions(struct tail_sampler *s)
{
    const struct tail_shelf *w = s->store->shelf;
    const struct note **own = mem_alloc_array(w->n_noted + 1, sizeof(struct note *));
    uint64_t now_ns = tail_shelf_now(w);
    size_t n = 0;

    for (size_t i = 0; i < w->n_noted; i++)
        if (w->noted[i].code != NOTE_CUT && tail_shelf_last(w, &w->noted[i]) &&
            tail_owner(w->noted[i].id, w->n_workers) == s->host->worker)
            own[n++] = &w->noted[i];
    qsort(own, n, sizeof(struct note *), by_time);
    for (size_t i = 0; i < n; i++) {
        uint64_t age_s = now_ns > own[i]->time_ns ? (now_ns - own[i]->time_ns) / NS_PER_SEC : 0;

        recall(s, own[i], age_s > TAIL_MOST_AGE ? TAIL_MOST_AGE : (uint32_t)age_s);
    }
    free(own);
}

/* ---- runs ---- */

static void restore_run(struct tail_sampler *s, const struct tail_run *run, uint64_t request_ns)
{
    const uint8_t *id = s->parts[run->part].payload->spans[run->first].trace_id;
    struct tail_shelf *w = s->store->shelf;
    const struct note *n = tail_shelf_noted(w, id, request_ns);
    bool after = n && request_ns > n->time_ns; /* it came when that was decided already */

    if (n && n->code != NOTE_SAMPLED && !after)
        return;
    if (tail_shelf_ended(w, request_ns, id, run->n))
        return;
    ledger_accept(s->host->ledger, run->n);
    series_add(s->metrics.restored_spans, run->n);
    if (n && n->code == NOTE_SAMPLED)
        tail_file_kept(s, run, policy_named(s->policies, n->policy));
    else
        tail_file_restored(s, run, n != NULL, tail_shelf_was_cut(w, id));
}

void tail_restore_runs(struct tail_sampler *s, const struct tail_run *runs, uint32_t n,
                       uint64_t request_ns, uint64_t age_s)
{
    s->wheel.age = age_s > TAIL_MOST_AGE ? TAIL_MOST_AGE : (uint32_t)age_s;
    for (uint32_t i = 0; i < n; i++)
        restore_run(s, &runs[i], request_ns);
    s->wheel.age = 0;
}

/* ---- requests ---- */

/* Nothing is decided by time now, so what has no room makes some. False: later. */
static bool no_room(struct tail_sampler *s, uint64_t bytes)
{
    tail_shed(s, bytes + SEG_BYTES);
    tail_send(s, true, UINT32_MAX);
    seg_log_trim_all(&s->log);
    return false;
}

/* What would never find room comes alone, whatever the budget says. */
static bool is_alone(const struct tail_sampler *s)
{
    return !s->held_spans && tail_none_under_way(s);
}

/* b NULL: not charged. */
static struct payload *payload_of(struct budget *b, const uint8_t *p, size_t len)
{
    uint8_t *bytes = mem_try(len + 1);

    if (!bytes)
        return NULL;
    memcpy(bytes, p, len);
    if (b)
        budget_force(b, MEM_BODY, len);
    return payload_new(b, &bytes, len, b ? len : 0);
}

static void lost_record(struct tail_sampler *s, struct journal *j, const char *why)
{
    struct journal_record *r = &s->store->read;

    log_warn(&s->host->log, "A request in the storage cannot be read, its spans are lost",
             LOG_STR("error", why), LOG_UINT("bytes", r->len));
    series_add(s->metrics.storage_corrupt, 1);
    journal_drop(j, r->ref);
    r->p = NULL;
}

/* The index of the request that was read. When there is no memory for it traces are decided early.
 */
static enum tail_work walk_request(struct tail_sampler *s, struct journal *j)
{
    struct tail_store *st = s->store;
    struct request_head h;
    struct walk_report report;
    struct err err = {""};

    memcpy(&h, st->read.p, sizeof(h));
    struct payload *p = payload_of(is_alone(s) ? NULL : s->host->budget, st->read.p + sizeof(h),
                                   st->read.len - sizeof(h));
    enum walk_result w = p ? otlp_walk(p, &report, &err) : WALK_NO_MEMORY;
    if (w != WALK_OK || !p->n_spans) {
        if (p)
            payload_unref(&p);
        if (w == WALK_NO_MEMORY) {
            no_room(s, st->read.len);
            return TAIL_BLOCKED;
        }
        lost_record(s, j, w == WALK_OK ? "no spans" : err.text);
        return TAIL_MORE;
    }
    if (h.time_ns > st->last_ns) /* the clock was set back meanwhile: order is kept */
        st->last_ns = h.time_ns;
    st->request = p;
    st->request_stored = tail_store_take(st, j, st->read.ref, h.time_ns);
    st->request_age_s = tail_shelf_age_s(st->shelf, &h);
    st->read.p = NULL;
    return TAIL_MORE;
}

/* IDLE: there are no more. */
static enum tail_work read_request(struct tail_sampler *s)
{
    struct tail_store *st = s->store;

    while (st->reading < st->n_old) {
        struct journal *j = st->old[st->reading];

        if (!st->read.p && !journal_next(j, &st->read)) {
            st->read.p = NULL;
            st->reading++;
            continue;
        }
        if (st->read.type == STORE_REQUEST && st->read.len > sizeof(struct request_head))
            return walk_request(s, j);
        lost_record(s, j, "not a request");
    }
    return TAIL_IDLE;
}

static uint32_t run_length(const struct span *sp, uint32_t n)
{
    uint32_t i = 1;

    while (i < n && memcmp(sp[i].trace_id, sp[0].trace_id, 16) == 0)
        i++;
    return i;
}

static void file_request(struct tail_sampler *s, struct tail_exchange *x, struct payload *p)
{
    struct tail_store *st = s->store;
    uint64_t time_ns = st->items[st->request_stored].time_ns;

    for (uint32_t i = 0, n; i < p->n_spans; i += n) {
        struct tail_run run = {0, i, n = run_length(&p->spans[i], p->n_spans - i)};
        unsigned owner = tail_owner(p->spans[i].trace_id, s->host->n_workers);

        if (owner == s->host->worker)
            tail_restore_runs(s, &run, 1, time_ns, st->request_age_s);
        else
            tail_exchange_add(x, owner, p, i, n);
    }
}

/* False: no room now. */
static bool restore_request(struct tail_sampler *s, struct tail_exchange *x)
{
    struct tail_store *st = s->store;
    struct part part = {.payload = st->request, .n = st->request->n_spans};

    if (tail_sampler_prepare(s, &part, 1, st->request->len, st->request->n_spans, is_alone(s)) != 0)
        return no_room(s, st->request->len);
    s->log.stored = st->request_stored;
    tail_exchange_request(x, st, st->request_stored, true, st->request_age_s);
    file_request(s, x, st->request);
    tail_sampler_done(s);
    tail_exchange_post(x);
    tail_exchange_request(x, NULL, 0, false, 0);
    s->log.stored = 0;
    tail_store_unref(st, st->request_stored);
    payload_unref(&st->request);
    return true;
}

void tail_restore_done(struct tail_sampler *s)
{
    uint32_t left = atomic_fetch_sub_explicit(&s->store->shelf->restoring, 1, memory_order_acq_rel);

    CHECK(left > 0);
    if (left == 1) /* only who brings something back can bring more */
        tail_shelf_forget(s->store->shelf);
}

static void finish(struct tail_sampler *s)
{
    struct tail_store *st = s->store;

    st->restored = true;
    tail_restore_done(s);
    if (s->held_spans || s->decided.n)
        log_info(&s->host->log, "What was held before is held again",
                 LOG_UINT("worker", s->host->worker), LOG_UINT("spans", s->held_spans),
                 LOG_UINT("traces", s->wheel.n));
}

enum tail_work tail_restore_work(struct tail_sampler *s, struct tail_exchange *x, uint64_t max_ns)
{
    uint64_t from_ns = clock_mono_ns();

    if (!s->store || s->store->restored)
        return TAIL_IDLE;
    do {
        if (x->n_waiting)
            return TAIL_BLOCKED;
        enum tail_work read = s->store->request ? TAIL_MORE : read_request(s);

        if (read == TAIL_IDLE)
            finish(s);
        if (read != TAIL_MORE)
            return read;
        if (s->store->request && !restore_request(s, x))
            return TAIL_BLOCKED;
    } while (clock_mono_ns() - from_ns < max_ns);
    return TAIL_MORE;
}
