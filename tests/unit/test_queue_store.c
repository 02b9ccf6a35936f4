/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending queue on disk, with a scripted exporter: what is acknowledged is there for the next
 * queue, what ended is not, a disk that says no costs nobody his spans, and the books balance
 * (th_free checks them).
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exporters/send_queue.h"
#include "model/otlp_encode.h"
#include "tests/lib/test_host.h"

#define MS 1000000ll

static char root[64];

/* One life of a process: a queue over the same directory. */
struct life {
    struct test_host *t;
    struct send_queue *q;
    struct queue_settings set;
    struct retry_settings retry;
    const struct send_result *answer; /* NULL: attempts stay open */
    struct send *open[64];
    size_t n_open;
    uint64_t sent_spans, delivered_spans;
    unsigned done;
    char client[32]; /* client.address of the last attempt's batch */
};

static const struct send_result ok = {.outcome = SEND_OK};
static const struct send_result later = {.outcome = SEND_RETRY, .text = "busy"};
static const struct send_result never = {
    .outcome = SEND_PERMANENT, .grpc_code = 3, .text = "bad data"};

static void life_send(void *exporter, struct send *s)
{
    struct life *l = exporter;

    l->sent_spans += s->batch->n_spans;
    ck_assert_uint_gt(otlp_encoded_size(s->batch), s->batch->n_spans);
    snprintf(l->client, sizeof(l->client), "%s",
             s->batch->info ? s->batch->info->client_address : "");
    if (l->answer == NULL) {
        ck_assert_uint_lt(l->n_open, 64);
        l->open[l->n_open++] = s;
        return;
    }
    l->delivered_spans += l->answer == &ok ? s->batch->n_spans : 0;
    send_done(s, l->answer);
}

static void life_abort(void *exporter, struct send *s)
{
    struct life *l = exporter;

    for (size_t i = 0; i < l->n_open; i++)
        if (l->open[i] == s) {
            l->open[i] = l->open[--l->n_open];
            break;
        }
    send_done(s, &later);
}

static const struct send_ops ops = {.send = life_send, .abort = life_abort};

static struct life *life_with(unsigned worker, unsigned n_workers, uint64_t max_bytes,
                              void (*change)(struct queue_settings *set))
{
    struct life *l = mem_alloc(sizeof(*l));
    struct err err = {0};

    l->t = th_new();
    l->t->host.worker = worker;
    l->t->host.n_workers = n_workers;
    th_storage(l->t, "file_storage", root, max_bytes);
    l->set = (struct queue_settings){
        .num_consumers = 2, .queue_size = 1000, .sizer = "requests", .storage = "file_storage"};
    l->set.batch = (struct queue_batch_settings){.flush_timeout_ns = 2 * MS, .min_size = 30};
    if (change != NULL)
        change(&l->set);
    l->retry = (struct retry_settings){2 * MS, 0.0, 1.0, 2 * MS, 0};
    l->q = send_queue_new(
        &l->t->host,
        &(struct send_config){.queue = &l->set, .retry = &l->retry, .ops = &ops, .exporter = l});
    ck_assert_msg(send_queue_open(l->q, &err) == 0, "%s", err.text);
    return l;
}

static struct life *life_new(void)
{
    return life_with(0, 1, 0, NULL);
}

static struct test_wait *push(struct life *l, uint64_t n_spans)
{
    struct batch *b = th_batch(l->t, th_payload_n(l->t, 1, n_spans));

    b->waiter = th_wait(l->t);
    send_queue_push(l->q, &b);
    return l->t->waits[l->t->n_waits - 1];
}

static void push_answered(struct life *l, uint64_t n_spans)
{
    struct test_wait *w = push(l, n_spans);

    ck_assert(w->times > 0);
    ck_assert_int_eq(w->answer, ANSWER_OK);
}

static void on_done(void *exporter)
{
    ((struct life *)exporter)->done++;
}

static bool is_done(void *ctx)
{
    return ((struct life *)ctx)->done > 0;
}

/* A stop with a backend that answers so. Returns the spans left on disk. */
static uint64_t life_end(struct life *l, const struct send_result *answer)
{
    uint64_t stored;

    l->answer = answer;
    while (l->n_open > 0)
        send_done(l->open[--l->n_open], answer);
    send_queue_drain(l->q, on_done);
    ck_assert(th_run_until(l->t, is_done, l));
    ck_assert_uint_eq(send_queue_held_spans(l->q), 0);
    stored = l->t->ledger.fate[FATE_STORED];
    send_queue_free(&l->q);
    th_free(&l->t);
    free(l);
    return stored;
}

static bool some_delivered(void *ctx)
{
    struct life *l = ctx;

    return l->delivered_spans > 0 && send_queue_held_spans(l->q) == 0;
}

struct wanted {
    struct life *l;
    uint64_t spans;
};

static bool delivered(void *ctx)
{
    struct wanted *w = ctx;

    return w->l->delivered_spans >= w->spans && send_queue_held_spans(w->l->q) == 0;
}

static void wait_delivered(struct life *l, uint64_t spans)
{
    ck_assert(th_run_until(l->t, delivered, &(struct wanted){l, spans}));
}

static void setup(void)
{
    snprintf(root, sizeof(root), "/dev/shm/tailrace-queue-XXXXXX");
    if (mkdtemp(root) == NULL) {
        snprintf(root, sizeof(root), "/tmp/tailrace-queue-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
    }
}

static void teardown(void)
{
    char cmd[96];

    snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
    ck_assert_int_eq(system(cmd), 0); /* NOLINT(cert-env33-c) */
}

/* ---- lives ---- */

START_TEST(what_was_acknowledged_is_there_after_a_restart)
{
    struct life *l = life_new();

    for (unsigned i = 0; i < 20; i++)
        push_answered(l, 5 + i);
    ck_assert_uint_eq(send_queue_held_spans(l->q), 290);
    ck_assert_uint_eq(life_end(l, &later), 290);

    l = life_new();
    l->answer = &ok;
    wait_delivered(l, 290);
    ck_assert_uint_eq(l->delivered_spans, 290);
    ck_assert_uint_eq(l->t->ledger.accepted, 290);
    ck_assert_uint_eq(l->t->ledger.fate[FATE_EXPORTED], 290);
    ck_assert_uint_eq(life_end(l, &ok), 0);

    l = life_new(); /* and is not there twice */
    push_answered(l, 1);
    ck_assert_uint_eq(l->t->ledger.accepted, 1);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

START_TEST(a_stop_sends_on_while_the_backend_takes)
{
    struct life *l = life_new();

    for (unsigned i = 0; i < 50; i++)
        push_answered(l, 10);
    ck_assert_uint_eq(life_end(l, &ok), 0);
    l = life_new();
    th_turn(l->t);
    ck_assert_uint_eq(l->t->ledger.accepted, 0);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

START_TEST(what_is_dropped_for_good_is_gone_from_disk)
{
    struct life *l = life_new();

    l->answer = &never;
    for (unsigned i = 0; i < 10; i++)
        push_answered(l, 10);
    ck_assert_uint_eq(l->t->ledger.dropped[DROP_NOT_RETRYABLE], 100);
    ck_assert_uint_eq(life_end(l, &ok), 0);
    l = life_new();
    th_turn(l->t);
    ck_assert_uint_eq(l->t->ledger.accepted, 0);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

START_TEST(memory_does_not_grow_with_the_queue)
{
    struct life *l = life_new();
    uint64_t early;

    for (unsigned i = 0; i < 30; i++)
        push_answered(l, 100);
    early = budget_used(l->t->host.budget);
    for (unsigned i = 0; i < 300; i++)
        push_answered(l, 100);
    ck_assert_uint_lt(budget_used(l->t->host.budget) - early, 300 * 1000);
    l->answer = &ok;
    while (l->n_open > 0)
        send_done(l->open[--l->n_open], &ok);
    wait_delivered(l, 328 * 100);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

START_TEST(batches_on_disk_wait_for_memory)
{
    struct life *l = life_new();

    for (unsigned i = 0; i < 40; i++)
        push_answered(l, 100);
    (void)life_end(l, &later);
    l = life_new();
    l->answer = &ok;
    budget_set_limits(l->t->host.budget, 1, 1); /* nothing fits */
    for (unsigned i = 0; i < 20; i++)
        th_turn(l->t);
    ck_assert_uint_eq(l->delivered_spans, 0);
    budget_set_limits(l->t->host.budget, 0, 0);
    wait_delivered(l, 4000);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

static void with_batch(struct queue_settings *set)
{
    set->batch_enabled = true;
    set->batch.max_size = 50;
    set->batch.sizer = "items";
}

START_TEST(merged_and_cut_batches_end_their_records)
{
    struct life *l = life_with(0, 1, 0, with_batch);

    for (unsigned i = 0; i < 25; i++)
        push_answered(l, 7 + i * 3);
    ck_assert_uint_eq(life_end(l, &later), 1075);
    l = life_with(0, 1, 0, with_batch);
    l->answer = &ok;
    wait_delivered(l, 1075);
    ck_assert_uint_eq(l->delivered_spans, 1075);
    ck_assert_uint_eq(life_end(l, &ok), 0);
    l = life_with(0, 1, 0, with_batch);
    th_turn(l->t);
    ck_assert_uint_eq(l->t->ledger.accepted, 0);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

START_TEST(fewer_workers_take_over_the_files_of_all)
{
    struct life *w[3];
    struct life *l;

    for (unsigned i = 0; i < 3; i++)
        w[i] = life_with(i, 3, 0, NULL);
    for (unsigned i = 0; i < 30; i++)
        push_answered(w[i % 3], 10);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(life_end(w[i], &later), 100);
    l = life_new();
    l->answer = &ok;
    wait_delivered(l, 300);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

START_TEST(a_successor_takes_over_what_its_predecessor_leaves)
{
    struct life *old = life_new(), *young;

    for (unsigned i = 0; i < 20; i++)
        push_answered(old, 10);
    young = life_new(); /* a reload: both live */
    young->answer = &ok;
    for (unsigned i = 0; i < 5; i++)
        push_answered(young, 10);
    wait_delivered(young, 50);
    ck_assert_uint_eq(life_end(old, &later), 200);
    wait_delivered(young, 250);
    ck_assert_uint_eq(life_end(young, &ok), 0);
}
END_TEST

START_TEST(client_metadata_survives)
{
    struct life *l = life_new();
    struct batch *b;

    b = th_batch(l->t, th_payload_n(l->t, 1, 3));
    b->info = request_info_new("10.1.2.3", 1);
    b->info->headers[0].name = mem_dup("x-tenant");
    b->info->headers[0].value = mem_dup("blue");
    send_queue_push(l->q, &b);
    (void)life_end(l, &later);
    l = life_new();
    l->answer = &ok;
    wait_delivered(l, 3);
    ck_assert_str_eq(l->client, "10.1.2.3");
    (void)life_end(l, &ok);
}
END_TEST

/* ---- disks ---- */

START_TEST(a_full_storage_is_a_full_queue)
{
    struct life *l = life_with(0, 1, 1 << 20, NULL);
    uint64_t taken = 0;

    while (push(l, 300)->answer == ANSWER_OK)
        taken += 300;
    ck_assert_uint_gt(taken, 3000);
    ck_assert_uint_lt(taken, 100000);
    ck_assert_int_eq((int)l->t->waits[l->t->n_waits - 1]->answer, ANSWER_RETRY);
    ck_assert_int_eq((int)send_queue_room(l->q, 300, 1 << 17), ROOM_NO);
    l->answer = &ok;
    while (l->n_open > 0)
        send_done(l->open[--l->n_open], &ok);
    ck_assert(th_run_until(l->t, some_delivered, l));
    ck_assert_int_eq((int)send_queue_room(l->q, 300, 1 << 17), ROOM_YES);
    push_answered(l, 300);
    ck_assert_uint_eq(l->t->ledger.fate[FATE_EXPORTED], taken + 300);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

static void with_overflow(struct queue_settings *set)
{
    set->block_on_overflow = true;
}

START_TEST(a_full_storage_may_let_the_sender_wait)
{
    struct life *l = life_with(0, 1, 1 << 20, with_overflow);
    struct test_wait *w;

    do
        w = push(l, 300);
    while (w->times > 0);
    l->answer = &ok;
    while (l->n_open > 0)
        send_done(l->open[--l->n_open], &ok);
    ck_assert(th_run_until(l->t, some_delivered, l));
    ck_assert_uint_eq(w->times, 1);
    ck_assert_int_eq(w->answer, ANSWER_OK);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

static void flip_bits(unsigned seed)
{
    char path[128];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "%s/_test_traces/0/00000000.seg", root);
    fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    for (unsigned i = 0; i < 40; i++) {
        uint8_t byte;
        off_t at = 40000 + (off_t)((seed * 7919u + i * 104729u) % 40000u);

        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= (uint8_t)(1u << (i % 8));
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

START_TEST(damage_costs_what_it_touches)
{
    for (unsigned seed = 0; seed < 5; seed++) {
        struct life *l = life_new();

        for (unsigned i = 0; i < 40; i++)
            push_answered(l, 100);
        ck_assert_uint_eq(life_end(l, &later), 4000);
        flip_bits(seed);
        l = life_new();
        l->answer = &ok;
        ck_assert(th_run_until(l->t, some_delivered, l));
        ck_assert_uint_lt(l->delivered_spans, 4000);
        ck_assert(th_metric(l->t, "tailrace_storage_corrupt_records{exporter=\"test\"}") >= 1);
        ck_assert_uint_eq(life_end(l, &ok), 0);
    }
}
END_TEST

/* Damaged while this process had it on disk only. */
START_TEST(a_batch_damaged_meanwhile_is_a_counted_drop)
{
    struct life *l = life_new();

    for (unsigned i = 0; i < 40; i++)
        push_answered(l, 100);
    flip_bits(3);
    l->answer = &ok;
    while (l->n_open > 0)
        send_done(l->open[--l->n_open], &ok);
    ck_assert(th_run_until(l->t, some_delivered, l));
    ck_assert_uint_gt(l->t->ledger.dropped[DROP_STORAGE], 0);
    ck_assert_uint_eq(l->t->ledger.dropped[DROP_STORAGE] + l->t->ledger.fate[FATE_EXPORTED], 4000);
    ck_assert_uint_eq(life_end(l, &ok), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("queue_store");
    TCase *t = tcase_create("lives");

    tcase_set_timeout(t, 120); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_was_acknowledged_is_there_after_a_restart);
    tcase_add_test(t, a_stop_sends_on_while_the_backend_takes);
    tcase_add_test(t, what_is_dropped_for_good_is_gone_from_disk);
    tcase_add_test(t, memory_does_not_grow_with_the_queue);
    tcase_add_test(t, batches_on_disk_wait_for_memory);
    tcase_add_test(t, merged_and_cut_batches_end_their_records);
    tcase_add_test(t, fewer_workers_take_over_the_files_of_all);
    tcase_add_test(t, a_successor_takes_over_what_its_predecessor_leaves);
    tcase_add_test(t, client_metadata_survives);
    tcase_add_test(t, a_full_storage_is_a_full_queue);
    tcase_add_test(t, a_full_storage_may_let_the_sender_wait);
    tcase_add_test(t, damage_costs_what_it_touches);
    tcase_add_test(t, a_batch_damaged_meanwhile_is_a_counted_drop);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());

    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
