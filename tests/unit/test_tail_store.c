/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sampler with storage holds outlives it. A crash is a copy of its directory at some
 * instant: a second sampler goes on from the copy. The model: every trace whose request was
 * answered is decided exactly once over both lives, all of its spans go where the decision says,
 * none twice.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/processors.h"
#include "processors/tail_restore.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

enum { MAX_TRACES = 400 };

static char base[64];
static unsigned n_dirs;
static struct policy_settings errors;
static struct tail_settings settings;
static uint64_t rnd = 77;
static uint64_t limit_bytes; /* of the lives that begin now; 0: none */

/* One process. */
struct life {
    struct test_host *host;
    struct tail_shared *shared;
    struct tail_sampler s;
    struct tail_exchange x;
    char dir[96];
};

static void setup(void)
{
    static const char *const error[] = {"ERROR"};

    hash_seed(11);
    snprintf(base, sizeof(base), "/tmp/test_tail_store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    n_dirs = 0;
    errors = tb_status("errors", (struct str_list){error, 1});
    settings = tb_settings(&errors, 1);
    settings.storage = "store";
}

static void teardown(void)
{
    char cmd[128];

    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", base);
    ck_assert_int_eq(system(cmd), 0);
}

/* from: the directory of another life, as it is now; NULL: an empty one. */
static void begin_limited(struct life *l, const struct life *from, uint64_t max_bytes)
{
    char cmd[300];
    struct err err = {""};
    unsigned rounds = 0;
    enum tail_work w;

    snprintf(l->dir, sizeof(l->dir), "%s/%u", base, n_dirs++);
    if (from)
        snprintf(cmd, sizeof(cmd), "cp -r --sparse=always '%s' '%s'", from->dir, l->dir);
    else
        snprintf(cmd, sizeof(cmd), "mkdir '%s'", l->dir);
    ck_assert_int_eq(system(cmd), 0);
    l->host = th_new();
    if (limit_bytes)
        th_budget(l->host, limit_bytes / 5 * 4, limit_bytes);
    th_storage(l->host, "store", l->dir, max_bytes);
    l->host->host.id = "tail_sampling";
    ck_assert_int_eq(tail_shared_new(&settings, l->host->host.budget, 0, &l->shared, &err), 0);
    tail_sampler_init(&l->s, &l->host->host, &settings, l->shared);
    tail_exchange_init(&l->x, &l->host->host);
    l->s.store =
        tail_store_new(&l->host->host, "store", &l->shared->shelves, 2000, &l->s.metrics, &err);
    ck_assert_ptr_nonnull(l->s.store);
    tail_restore_decisions(&l->s);
    while ((w = tail_restore_work(&l->s, &l->x, NS_PER_MS)) != TAIL_IDLE && rounds++ < 100000)
        if (w == TAIL_BLOCKED)
            th_out_end(l->host);
    ck_assert_int_eq(w, TAIL_IDLE);
}

static void begin(struct life *l, const struct life *from)
{
    begin_limited(l, from, 0);
}

static void end(struct life *l)
{
    tail_exchange_fini(&l->x);
    tail_sampler_fini(&l->s);
    tail_shared_free(&l->shared);
    th_free(&l->host); /* checks the books and the budget */
}

static void file_payload(struct life *l, struct payload *p)
{
    struct batch *b = th_batch(l->host, p);

    ck_assert_int_eq(
        tail_sampler_prepare(&l->s, b->parts, b->n_parts, b->n_bytes, b->n_spans, false), 0);
    uint32_t stored = tail_store_append(l->s.store, b);
    l->s.log.stored = stored;
    tail_sampler_file(&l->s, 0, 0, p->n_spans, NULL);
    tail_sampler_done(&l->s);
    l->s.log.stored = 0;
    tail_store_unref(l->s.store, stored);
    b->ledger = NULL;
    batch_end(&b, FATE_FILTERED, NULL);
}

#define FILE_SPANS(l, ...) file_payload((l), th_payload((l)->host, TH_SPANS(__VA_ARGS__)))

static void ticks(struct life *l, unsigned n)
{
    while (n--) {
        tail_sampler_tick(&l->s);
        while (tail_sampler_work(&l->s, NS_PER_SEC) == TAIL_MORE)
            ;
    }
}

#define TAIL(x) "tailrace_tail_sampling_" x
#define SAMPLED "otelcol_processor_tail_sampling_global_count_traces_sampled"

static double decisions(const struct life *l)
{
    double yes = th_metric(l->host, SAMPLED "{decision=\"sampled\",sampled=\"true\"}");
    double no = th_metric(l->host, SAMPLED "{decision=\"not_sampled\",sampled=\"false\"}");

    return (yes > 0 ? yes : 0) + (no > 0 ? no : 0); /* a series that never counted is not there */
}

static uint64_t live_requests(const struct life *l)
{
    return journal_stats(l->s.store->spans)->live_records;
}

/* ---- plain ---- */

START_TEST(undecided_traces_come_back)
{
    struct life a, b;

    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    FILE_SPANS(&a, {.trace = 1, .id = 3, .parent = 1});
    begin(&b, &a);
    ck_assert_uint_eq(b.s.held_spans, 3);
    ck_assert(th_metric(b.host, TAIL("restored_spans")) == 3);
    ck_assert(th_metric(b.host, TAIL("restored_traces")) == 2);
    ck_assert(th_metric(b.host, TAIL("restored_cut_traces")) == 0);
    FILE_SPANS(&b, {.trace = 1, .id = 4, .parent = 1});
    ticks(&b, 2);
    ck_assert_uint_eq(th_out_spans(b.host), 3);
    ck_assert_uint_eq(b.host->ledger.fate[FATE_SAMPLED_OUT], 1);
    ck_assert_uint_eq(live_requests(&b), 3); /* until it is delivered */
    th_out_end(b.host);
    ck_assert_uint_eq(live_requests(&b), 0);
    end(&b);
    end(&a);
}
END_TEST

START_TEST(a_stop_leaves_what_is_undecided)
{
    struct life a, b;

    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    tail_sampler_leave(&a.s);
    while (tail_sampler_work(&a.s, NS_PER_SEC) == TAIL_MORE)
        ;
    ck_assert_uint_eq(a.host->n_out, 0);
    tail_sampler_abandon(&a.s);
    ck_assert_uint_eq(a.host->ledger.fate[FATE_STORED], 2);
    ck_assert_uint_eq(a.host->ledger.fate[FATE_DROPPED], 0);
    end(&a);
    begin(&b, &a);
    ticks(&b, 2);
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    th_out_end(b.host);
    end(&b);
}
END_TEST

static void ck_says(struct life *l, uint64_t trace, const char *what)
{
    struct buf text = {0};
    uint8_t id[16];

    th_trace_id(trace, id);
    tail_sampler_explain(&l->s, id, &text);
    buf_putc(&text, 0);
    ck_assert_msg(strstr((const char *)text.p, what) != NULL, "no \"%s\" in:\n%s", what, (const char *)text.p);
    buf_free(&text);
}

START_TEST(deadlines_stand)
{
    struct life a, b;

    settings.decision_wait_ns = TB_S(30);
    settings.explain_decisions = 10;
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2});
    a.s.store->shelf->boot =
        1; /* as if the machine had been started anew: the wall clock counts, */
    a.s.store->shelf->offset_ns -= 20 * NS_PER_SEC; /* and it says 20 s ago, */
    a.s.store->last_ns = 0;
    FILE_SPANS(&a, {.trace = 2, .id = 2, .status = 2});
    a.s.store->shelf->offset_ns -= 1000000 * NS_PER_SEC; /* long ago, */
    a.s.store->last_ns = 0;
    FILE_SPANS(&a, {.trace = 3, .id = 3, .status = 2});
    a.s.store->shelf->offset_ns += 9000000 * NS_PER_SEC; /* in the future */
    FILE_SPANS(&a, {.trace = 4, .id = 4, .status = 2});
    begin(&b, &a);
    ck_says(&b, 3, "none yet: due now\n");
    ck_says(&b, 2, "restored      spans came back from the storage: the process before held them\n");
    ticks(&b, 1);
    ck_assert_uint_eq(th_out_spans(b.host), 1); /* 3 was due */
    ck_says(&b, 3, "restored      spans came back");
    ticks(&b, 12);
    ck_assert_uint_eq(th_out_spans(b.host), 2);
    ticks(&b, 18);
    ck_assert_uint_eq(th_out_spans(b.host), 4); /* nothing waits longer than new traces */
    th_out_end(b.host);
    end(&b);
    end(&a);
}
END_TEST

/* ---- decisions ---- */

START_TEST(decisions_stand)
{
    struct life a, b;

    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(&a, 2);
    th_out_end(a.host);
    FILE_SPANS(&a, {.trace = 3, .id = 3});
    begin(&b, &a);
    ck_assert_uint_eq(b.s.held_spans, 1);
    ck_says(&b, 1, "by the process before; more is not remembered");
    ck_says(&b, 1, "late spans    are sent on at once");
    FILE_SPANS(&b, {.trace = 1, .id = 4}, {.trace = 2, .id = 5, .status = 2});
    ck_assert_uint_eq(th_out_spans(b.host), 1); /* late spans follow the decision */
    ck_assert_uint_eq(b.host->ledger.fate[FATE_SAMPLED_OUT], 1);
    ck_assert(th_metric(b.host, "otelcol_processor_tail_sampling_new_trace_id_received") == 0);
    th_out_end(b.host);
    end(&b);
    end(&a);
}
END_TEST

START_TEST(caches_come_back)
{
    struct life a, b;

    settings.decision_cache = (struct cache_settings){100, 100};
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    ticks(&a, 2);
    th_out_end(a.host);
    begin(&b, &a);
    ck_assert_uint_eq(b.s.sampled.n, 1);
    ck_assert_uint_eq(b.s.non_sampled.n, 1);
    FILE_SPANS(&b, {.trace = 1, .id = 4}, {.trace = 2, .id = 5, .status = 2});
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    th_out_end(b.host);
    end(&b);
    end(&a);
}
END_TEST

START_TEST(what_was_not_delivered_is_sent_again)
{
    struct life a, b, c;

    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2},
               {.trace = 3, .id = 3, .status = 2});
    ticks(&a, 2);
    ck_assert_uint_eq(th_out_spans(a.host), 2);
    begin(&b, &a); /* it was on its way */
    ticks(&b, 1);
    ck_assert_uint_eq(th_out_spans(b.host), 2);
    ck_assert(decisions(&b) == 0); /* no new ones */
    ck_assert_uint_eq(b.host->ledger.fate[FATE_SAMPLED_OUT], 0);
    th_out_drop(b.host, DROP_SHUTDOWN); /* a stop under way is no end */
    begin(&c, &b);
    ck_assert_uint_eq(th_out_spans(c.host), 2);
    th_out_end(c.host);
    ck_assert_uint_eq(live_requests(&c), 0);
    end(&c);
    end(&b);
    th_out_end(a.host);
    end(&a);
}
END_TEST

/* A request whose other traces still wait. */
START_TEST(what_was_delivered_is_not_sent_again)
{
    struct life a, b;

    settings.decision_wait_after_root_received_ns = 1;
    settings.decision_wait_ns = TB_S(60);
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2},
               {.trace = 2, .id = 2, .parent = 9, .status = 2});
    ticks(&a, 2);
    ck_assert_uint_eq(th_out_spans(a.host), 1);
    th_out_end(a.host);
    ck_assert_uint_eq(live_requests(&a), 1);
    begin(&b, &a);
    ck_assert_uint_eq(b.host->n_out, 0);
    ck_assert_uint_eq(b.s.held_spans, 1);
    ticks(&b, 62);
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    ck_assert_uint_eq(th_span(b.host->out[0], 0)->span_id[7], 2);
    th_out_end(b.host);
    end(&b);
    end(&a);
}
END_TEST

/* Files of a sending queue, say: from then on that copy counts, whatever becomes of the batch. */
START_TEST(what_another_has_on_disk_is_not_kept_twice)
{
    struct life a, b, c;

    settings.decision_wait_after_root_received_ns = 1;
    settings.decision_wait_ns = TB_S(60);
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2},
               {.trace = 2, .id = 2, .parent = 9, .status = 2});
    FILE_SPANS(&a, {.trace = 3, .id = 3, .status = 2});
    ticks(&a, 2);
    ck_assert_uint_eq(th_out_spans(a.host), 2);
    begin(&b, &a); /* a crash before */
    ck_assert_uint_eq(th_out_spans(b.host), 2);
    th_out_end(b.host);
    end(&b);
    ck_assert_uint_eq(live_requests(&a), 2);
    batch_safe(a.host->out[0]);
    ck_assert_uint_eq(live_requests(&a), 1);
    begin(&c, &a); /* and after */
    ck_assert_uint_eq(c.host->n_out, 0);
    ck_assert_uint_eq(c.s.held_spans, 1);
    end(&c);
    ck_assert_uint_eq(a.host->ledger.held, 3); /* it is still held, and ends once */
    th_out_end(a.host);
    ck_assert_uint_eq(a.host->ledger.fate[FATE_EXPORTED], 2);
    end(&a);
}
END_TEST

/* What is on its way when a stop begins arrives, and others of the same request wait on disk. */
START_TEST(what_a_stop_delivers_is_not_sent_again)
{
    struct life a, b;

    settings.decision_wait_after_root_received_ns = 1;
    settings.decision_wait_ns = TB_S(60);
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2},
               {.trace = 2, .id = 2, .parent = 9, .status = 2});
    FILE_SPANS(&a, {.trace = 3, .id = 3, .status = 2});
    ticks(&a, 2);
    ck_assert_uint_eq(th_out_spans(a.host), 2);
    tail_sampler_leave(&a.s);
    tail_sampler_abandon(&a.s);
    ck_assert_uint_eq(a.host->ledger.fate[FATE_STORED], 1);
    th_out_end(a.host);
    end(&a);
    begin(&b, &a);
    ck_assert_uint_eq(b.host->n_out, 0);
    ck_assert_uint_eq(b.s.held_spans, 1);
    ticks(&b, 62);
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    ck_assert_uint_eq(th_span(b.host->out[0], 0)->span_id[7], 2);
    th_out_end(b.host);
    ck_assert_uint_eq(live_requests(&b), 0);
    end(&b);
}
END_TEST

START_TEST(changed_policies_judge_what_comes_back)
{
    struct life a, b;

    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2, .attrs = {TH_STR("k", "no")}},
               {.trace = 2, .id = 2, .attrs = {TH_STR("k", "yes")}});
    errors = tb_string("k", "k", TB_STRS("yes"), false, false);
    begin(&b, &a);
    ticks(&b, 2);
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    ck_assert_uint_eq(th_span(b.host->out[0], 0)->span_id[7], 2);
    th_out_end(b.host);
    end(&b);
    end(&a);
}
END_TEST

/* ---- odd records ---- */

/* A number that no request of ours has, in a file that is whole. */
START_TEST(a_request_of_no_time_ends_as_others_do)
{
    struct life a, b;

    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2});
    struct payload *p = th_payload(a.host, TH_SPANS({.trace = 2, .id = 2, .status = 2}));
    struct request_head h = {0};
    journal_ref ref;
    ck_assert_int_eq(
        journal_append(a.s.store->spans, STORE_REQUEST,
                       (struct iovec[]){{&h, sizeof(h)}, {(void *)(uintptr_t)p->bytes, p->len}}, 2,
                       &ref),
        0);
    payload_unref(&p);
    begin(&b, &a);
    ticks(&b, 2);
    ck_assert_uint_eq(th_out_spans(b.host), 2);
    th_out_end(b.host);
    ck_assert_uint_eq(live_requests(&b), 0);
    end(&b);
    end(&a);
}
END_TEST

/* ---- span-ingest ---- */

/* What no policy took yet comes back, may still be taken whole, and is over at its slot. */
START_TEST(items_come_back)
{
    struct life a, b, c;

    settings.sampling_strategy = "span-ingest";
    settings.decision_wait_ns = TB_S(30);
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1}, {.trace = 2, .id = 2},
               {.trace = 3, .id = 3, .status = 2});
    ck_assert_uint_eq(th_out_spans(a.host), 1);
    FILE_SPANS(&a, {.trace = 1, .id = 4});
    begin(&b, &a); /* trace 3 is on its way, 1 and 2 wait */
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    ck_assert_uint_eq(b.s.held_spans, 3);
    th_out_end(b.host);
    FILE_SPANS(&b, {.trace = 1, .id = 5, .status = 2}, {.trace = 3, .id = 6});
    ck_assert_uint_eq(th_out_spans(b.host), 4); /* late spans of 3 follow */
    begin(&c, &b);
    ck_assert_uint_eq(th_out_spans(c.host), 4);
    ck_assert(decisions(&c) == 0);
    ticks(&c, 32);
    ck_assert_uint_eq(c.host->ledger.fate[FATE_SAMPLED_OUT], 1); /* trace 2 */
    th_out_end(c.host);
    ck_assert_uint_eq(live_requests(&c), 0);
    end(&c);
    th_out_end(b.host);
    end(&b);
    th_out_end(a.host);
    end(&a);
}
END_TEST

/* A slot that is over is forgotten: the same id begins anew, here and in the next process, and what
 * the first slot had stays out when the second is kept. Another trace of the same request keeps
 * that on disk. */
START_TEST(slots_that_are_over_stay_over)
{
    struct life a, b, c;

    settings.sampling_strategy = "span-ingest";
    settings.decision_wait_after_root_received_ns = 1;
    settings.decision_wait_ns = TB_S(60);
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1}, {.trace = 2, .id = 2, .parent = 9});
    ticks(&a, 2);
    ck_assert_uint_eq(a.host->ledger.fate[FATE_SAMPLED_OUT], 1);
    begin(&b, &a);
    ck_assert_uint_eq(b.s.held_spans, 1);
    FILE_SPANS(&b, {.trace = 1, .id = 3});
    ck_assert_uint_eq(b.s.held_spans, 2); /* not late: it waits */
    FILE_SPANS(&b, {.trace = 1, .id = 4, .status = 2});
    ck_assert_uint_eq(th_out_spans(b.host), 2);
    begin(&c, &b);
    ck_assert_uint_eq(th_out_spans(c.host), 2);
    ck_assert_uint_eq(c.s.held_spans, 1);
    ck_assert_uint_eq(c.host->ledger.accepted, 3);
    th_out_end(c.host);
    FILE_SPANS(&c, {.trace = 1, .id = 5});
    ck_assert_uint_eq(th_out_spans(c.host), 1); /* late now */
    th_out_end(c.host);
    ticks(&c, 62);
    ck_assert_uint_eq(live_requests(&c), 0);
    end(&c);
    th_out_end(b.host);
    end(&b);
    end(&a);
}
END_TEST

/* ---- disks ---- */

/* When the bound of the disk is reached spans are held in memory, and what is partly on disk is
 * known as such. */
START_TEST(a_full_disk_costs_only_safety)
{
    struct life a, b;
    struct payload *p;
    uint64_t id = 100;

    settings.num_traces = 1000000;
    begin_limited(&a, NULL, 1); /* the least there can be */
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2, .status = 2});
    for (int i = 0; i < 400 && th_metric(a.host, TAIL("storage_working")) == 1; i++, id += 500) {
        p = th_payload_n(a.host, id, 500);
        file_payload(&a, p);
    }
    ck_assert(th_metric(a.host, TAIL("storage_working")) == 0);
    FILE_SPANS(&a, {.trace = 1, .id = 3});
    ck_assert(th_metric(a.host, TAIL("cut_traces")) == 1);
    ticks(&a, 1);
    ck_assert(th_metric(a.host, TAIL("storage_errors")) >= 1);
    begin(&b, &a);
    ck_assert(th_metric(b.host, TAIL("restored_cut_traces")) == 1);
    ticks(&b, 2);
    ck_assert_uint_eq(th_out_spans(b.host), 2);
    th_out_end(b.host);
    end(&b);

    ticks(&a, 1); /* here nothing is missing */
    ck_assert_uint_eq(th_out_spans(a.host), 3);
    th_out_end(a.host);
    ck_assert_uint_eq(live_requests(&a), 0);
    end(&a);
}
END_TEST

START_TEST(no_disk_at_all)
{
    struct life a, b;
    char cmd[300];

    begin(&a, NULL);
    end(&a);
    snprintf(cmd, sizeof(cmd), "for d in %s/*/spans-0; do rm -r $d; touch $d; done",
             a.dir); /* no directory any more */
    ck_assert_int_eq(system(cmd), 0);
    begin(&b, &a);
    ck_assert(th_metric(b.host, TAIL("storage_working")) == 0);
    FILE_SPANS(&b, {.trace = 1, .id = 1, .status = 2});
    ticks(&b, 2);
    ck_assert_uint_eq(th_out_spans(b.host), 1);
    th_out_end(b.host);
    end(&b);
}
END_TEST

START_TEST(no_place)
{
    struct test_host *t = th_new();
    struct err err = {""};
    char path[100];

    snprintf(path, sizeof(path), "%s/nowhere", base);
    th_storage(t, "store", path, 0);
    ck_assert_ptr_null(th_component_try(t, &tail_sampling_type, &settings, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "nowhere"));
    th_free(&t);
}
END_TEST

/* What is on disk does not fit into the memory there is now: the oldest are decided early, nothing
 * is lost. */
START_TEST(less_memory_than_before)
{
    static char text[2000];
    struct life a, b;
    uint64_t n = 0;

    memset(text, 'x', sizeof(text) - 1);
    settings.num_traces = 100000;
    begin(&a, NULL);
    for (uint64_t t = 1; t <= 8000; t++, n += 2)
        FILE_SPANS(&a, {.trace = t, .id = t, .name = text, .status = t % 4 ? 0 : 2},
                   {.trace = t, .id = t + 100000, .name = text});
    limit_bytes = 12 << 20;
    begin(&b, &a);
    limit_bytes = 0;
    ck_assert_uint_eq(b.host->ledger.accepted, n);
    ck_assert(
        th_metric(b.host, "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early") > 0);
    ck_assert_uint_le(budget_used(b.host->host.budget), 12 << 20);
    while (b.s.held_spans) {
        ticks(&b, 1);
        th_out_end(b.host);
    }
    ck_assert_uint_eq(b.host->ledger.fate[FATE_EXPORTED] + b.host->ledger.fate[FATE_SAMPLED_OUT],
                      n);
    ck_assert_uint_eq(live_requests(&b), 0);
    end(&b);
    end(&a);
}
END_TEST

/* One request is more than there may be now. */
START_TEST(a_request_larger_than_the_memory)
{
    enum { LEN = 600000, N = 5 };
    char *text = mem_alloc(LEN + 1);
    struct life a, b;

    memset(text, 'x', LEN);
    begin(&a, NULL);
    FILE_SPANS(&a, {.trace = 1, .id = 1, .status = 2}, {.trace = 2, .id = 2});
    FILE_SPANS(&a, {.trace = 3, .id = 3, .name = text, .status = 2},
               {.trace = 4, .id = 4, .name = text}, {.trace = 5, .id = 5, .name = text},
               {.trace = 6, .id = 6, .name = text}, {.trace = 7, .id = 7, .name = text});
    FILE_SPANS(&a, {.trace = 3, .id = 8});
    limit_bytes = 4 << 20;
    begin(&b, &a);
    limit_bytes = 0;
    ck_assert_uint_eq(b.host->ledger.accepted, 2 + N + 1);
    while (b.s.held_spans) {
        ticks(&b, 1);
        th_out_end(b.host);
    }
    th_out_end(b.host);
    ck_assert_uint_eq(b.host->ledger.fate[FATE_EXPORTED], 3);
    ck_assert_uint_eq(b.host->ledger.fate[FATE_SAMPLED_OUT], N);
    ck_assert_uint_eq(live_requests(&b), 0);
    end(&b);
    end(&a);
    free(text);
}
END_TEST

START_TEST(a_torn_file_is_cut_and_counted)
{
    struct life a, b;
    char cmd[300];
    uint64_t before;

    begin(&a, NULL);
    for (uint64_t t = 1; t <= 200; t++)
        FILE_SPANS(&a, {.trace = t, .id = t, .status = 2});
    tail_sampler_abandon(&a.s);
    end(&a);
    /* some bytes in the middle of the records, and of the notes there are none yet */
    snprintf(cmd, sizeof(cmd),
             "f=$(ls %s/*/spans-0/*.seg | head -1); printf garbage | dd of=$f bs=1 seek=40000 "
             "conv=notrunc 2>/dev/null; "
             "printf garbage | dd of=$f bs=1 seek=45000 conv=notrunc 2>/dev/null",
             a.dir);
    ck_assert_int_eq(system(cmd), 0);
    begin(&b, &a);
    ticks(&b, 3);
    before = th_out_spans(b.host);
    ck_assert_uint_lt(before, 200);
    ck_assert_uint_ge(before, 100);
    ck_assert(th_metric(b.host, TAIL("storage_corrupt_records")) >= 1);
    ck_assert(th_metric(b.host, TAIL("storage_torn_bytes")) >= 1);
    th_out_end(b.host);
    end(&b);
}
END_TEST

/* ---- a model ---- */

struct seen {
    uint32_t pushed, delivered; /* spans; delivered over all lives */
    bool error;
};
static struct seen model[MAX_TRACES];
static uint64_t next_span;

static uint64_t trace_number(const uint8_t id[static 16])
{
    uint64_t n = 0;

    for (int i = 8; i < 16; i++)
        n = n << 8 | id[i];
    return n;
}

/* What is out is delivered, in part. */
static void deliver(struct life *l, unsigned percent)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->host->n_out; i++) {
        struct batch *b = l->host->out[i];

        if (random_next(&rnd) % 100 >= percent) {
            l->host->out[kept++] = b;
            continue;
        }
        for (uint64_t k = 0; k < b->n_spans; k++)
            model[trace_number(th_span(b, k)->trace_id)].delivered++;
        batch_exported(&b);
    }
    l->host->n_out = kept;
}

static void push_random(struct life *l, uint32_t first, uint32_t n_traces)
{
    struct test_span spans[12];
    uint32_t n = 1 + (uint32_t)(random_next(&rnd) % ARRAY_LEN(spans));

    for (uint32_t i = 0; i < n; i++) {
        uint32_t t = first + (uint32_t)(random_next(&rnd) % n_traces);
        bool error = random_next(&rnd) % 20 == 0 &&
                     !model[t].pushed; /* the first span tells: verdicts stand */

        spans[i] = (struct test_span){
            .trace = t, .id = ++next_span, .parent = 1, .name = "n", .status = error ? 2 : 0};
        model[t].error |= error;
        model[t].pushed++;
    }
    file_payload(l, th_payload(l->host, spans, n));
}

static void check_model(uint32_t n)
{
    for (uint32_t t = 1; t < n; t++)
        ck_assert_msg(model[t].delivered == (model[t].error ? model[t].pushed : 0),
                      "trace %u: %u of %u spans, %s", t, model[t].delivered, model[t].pushed,
                      model[t].error ? "an error" : "no error");
}

/* Five lives, each from a copy of the last one's directory at a random instant. */
static void live_and_crash(void)
{
    struct life lives[5];
    uint32_t first = 1;
    double decided = 0;

    memset(model, 0, sizeof(model));
    next_span = 10;
    for (unsigned i = 0; i < ARRAY_LEN(lives); i++) {
        struct life *l = &lives[i];
        unsigned steps = 5 + (unsigned)(random_next(&rnd) % 40);

        begin(l, i ? &lives[i - 1] : NULL);
        if (i) { /* that one is dead: nobody hears of it any more */
            th_out_drop(lives[i - 1].host, DROP_SHUTDOWN);
            end(&lives[i - 1]);
        }
        for (unsigned k = 0; k < steps && first + 20 < MAX_TRACES; k++) {
            push_random(l, first, 12);
            first += random_next(&rnd) % 3;
            if (random_next(&rnd) % 4 == 0)
                ticks(l, 1);
            deliver(l, 30);
        }
        decided += i + 1 < ARRAY_LEN(lives) ? decisions(l) : 0;
    }
    struct life *l = &lives[ARRAY_LEN(lives) - 1];
    ticks(l, 4);
    decided += decisions(l);
    deliver(l, 100);
    check_model(MAX_TRACES);
    uint32_t traces = 0;
    for (uint32_t t = 0; t < MAX_TRACES; t++)
        traces += model[t].pushed != 0;
    ck_assert_uint_eq((uint32_t)decided, traces); /* each once */
    ck_assert_uint_eq(live_requests(l), 0);
    end(l);
}

START_TEST(each_trace_is_decided_once)
{
    for (int i = 0; i < 12; i++)
        live_and_crash();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tail_store");
    TCase *c = tcase_create("tail_store");
    SRunner *r = srunner_create(s);

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, undecided_traces_come_back);
    tcase_add_test(c, a_stop_leaves_what_is_undecided);
    tcase_add_test(c, deadlines_stand);
    tcase_add_test(c, decisions_stand);
    tcase_add_test(c, caches_come_back);
    tcase_add_test(c, what_was_not_delivered_is_sent_again);
    tcase_add_test(c, what_was_delivered_is_not_sent_again);
    tcase_add_test(c, what_another_has_on_disk_is_not_kept_twice);
    tcase_add_test(c, what_a_stop_delivers_is_not_sent_again);
    tcase_add_test(c, changed_policies_judge_what_comes_back);
    tcase_add_test(c, a_request_of_no_time_ends_as_others_do);
    tcase_add_test(c, items_come_back);
    tcase_add_test(c, slots_that_are_over_stay_over);
    tcase_add_test(c, a_full_disk_costs_only_safety);
    tcase_add_test(c, no_disk_at_all);
    tcase_add_test(c, no_place);
    tcase_add_test(c, less_memory_than_before);
    tcase_add_test(c, a_request_larger_than_the_memory);
    tcase_add_test(c, a_torn_file_is_cut_and_counted);
    tcase_add_test(c, each_trace_is_decided_once);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
