/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending queue with a scripted exporter: admission, slots, retries, timeouts, merging, drain, and
 * after each test the books (th_free checks that they balance and that nothing is held).
 */
#include <check.h>
#include <stdlib.h>

#include "exporters/send_queue.h"
#include "exporters/send_queue_priv.h"
#include "model/otlp_encode.h"
#include "tests/lib/test_host.h"

#define MS 1000000ll

/* Answers each attempt with the next result of its script; the last one repeats. Without a script
 * attempts stay open until fake_end(). */
struct fake {
    struct test_host *t;
    struct send_queue *q;
    struct queue_settings set;
    struct retry_settings retry;
    const struct send_result *script;
    size_t n_script, at;
    struct send *open[64];
    size_t n_open, max_open;
    unsigned attempts, aborts, forgotten, done;
    bool deaf; /* abort is not answered at once */
    uint64_t sent_spans[256];
    uint64_t sent_bytes[256];
    size_t n_sent;
};

static void fake_send(void *exporter, struct send *s)
{
    struct fake *f = exporter;

    f->attempts++;
    f->sent_spans[f->n_sent % 255] = s->batch->n_spans;
    f->sent_bytes[f->n_sent++ % 255] = otlp_encoded_size(s->batch);
    if (f->script != NULL) {
        const struct send_result *r = &f->script[f->at];

        if (f->at + 1 < f->n_script)
            f->at++;
        send_done(s, r);
        return;
    }
    f->open[f->n_open++] = s;
    if (f->n_open > f->max_open)
        f->max_open = f->n_open;
}

static struct send *fake_take(struct fake *f, size_t i)
{
    struct send *s = f->open[i];

    ck_assert_uint_lt(i, f->n_open);
    memmove(&f->open[i], &f->open[i + 1], (f->n_open - i - 1) * sizeof(f->open[0]));
    f->n_open--;
    return s;
}

static void fake_end(struct fake *f, const struct send_result *r)
{
    send_done(fake_take(f, 0), r);
}

static void fake_abort(void *exporter, struct send *s)
{
    struct fake *f = exporter;
    size_t i = 0;

    f->aborts++;
    if (f->deaf)
        return;
    while (f->open[i] != s)
        i++;
    send_done(fake_take(f, i), &(struct send_result){.outcome = SEND_RETRY, .text = "cancelled"});
}

static void fake_forget(void *exporter, struct send *s)
{
    struct fake *f = exporter;

    (void)s;
    f->forgotten++;
}

static const struct send_ops fake_ops = {.send = fake_send, .abort = fake_abort, .forget = fake_forget};
static const struct send_result ok = {.outcome = SEND_OK};
static const struct send_result later = {.outcome = SEND_RETRY, .text = "busy"};
static const struct send_result never = {.outcome = SEND_PERMANENT, .grpc_code = 3, .text = "bad data"};

static void on_done(void *exporter)
{
    ((struct fake *)exporter)->done++;
}

static bool is_done(void *ctx)
{
    return ((struct fake *)ctx)->done > 0;
}

static struct fake *fake_new(void)
{
    struct fake *f = mem_alloc(sizeof(*f));

    f->t = th_new();
    f->set = (struct queue_settings){.num_consumers = 10, .queue_size = 1000, .sizer = "requests"};
    f->set.batch = (struct queue_batch_settings){.flush_timeout_ns = 60000 * MS, .min_size = 100};
    f->retry = (struct retry_settings){2 * MS, 0.0, 1.0, 2 * MS, 0};
    return f;
}

static void fake_start(struct fake *f, bool queue, bool retry, int64_t timeout_ns)
{
    f->q = send_queue_new(&f->t->host, &(struct send_config){
        .queue = queue ? &f->set : NULL, .retry = retry ? &f->retry : NULL, .timeout_ns = timeout_ns,
        .ops = &fake_ops, .exporter = f});
}

/* Drains, frees, checks the books. */
static void fake_free(struct fake *f)
{
    send_queue_drain(f->q, on_done);
    send_queue_drain(f->q, on_done);
    ck_assert(th_run_until(f->t, is_done, f));
    ck_assert_uint_eq(f->done, 1);
    ck_assert_uint_eq(send_queue_held_spans(f->q), 0);
    ck_assert_int_eq(f->t->ledger.held, 0);
    send_queue_free(&f->q);
    th_free(&f->t);
    free(f);
}

static struct test_wait *push(struct fake *f, uint64_t n_spans)
{
    struct batch *b = th_batch(f->t, th_payload_n(f->t, 1, n_spans));

    b->waiter = th_wait(f->t);
    send_queue_push(f->q, &b);
    ck_assert_ptr_null(b);
    return f->t->waits[f->t->n_waits - 1];
}

static void push_alone(struct fake *f, uint64_t n_spans)
{
    struct batch *b = th_batch(f->t, th_payload_n(f->t, 1, n_spans));

    send_queue_push(f->q, &b);
}

static const struct ledger *books(const struct fake *f)
{
    return &f->t->ledger;
}

static bool n_attempts(void *ctx)
{
    struct fake *f = ctx;

    return f->attempts >= f->max_open;
}

static void wait_attempts(struct fake *f, unsigned n)
{
    f->max_open = n;
    ck_assert(th_run_until(f->t, n_attempts, f));
}

START_TEST(test_answered_when_queued)
{
    struct fake *f = fake_new();
    struct test_wait *w;

    fake_start(f, true, true, 0);
    w = push(f, 3);
    ck_assert_uint_eq(w->times, 1);
    ck_assert_int_eq(w->answer, ANSWER_OK);
    ck_assert_uint_eq(send_queue_held_spans(f->q), 3);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}"), 1);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_capacity{data_type=\"traces\",exporter=\"test\"}"), 1000);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_in_flight_requests{data_type=\"traces\",exporter=\"test\"}"), 1);
    fake_end(f, &ok);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 3);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}"), 0);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_in_flight_requests{data_type=\"traces\",exporter=\"test\"}"), 0);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_sent_spans{exporter=\"test\"}"), 3);
    ck_assert_uint_eq(f->forgotten, 1);
    fake_free(f);
}
END_TEST

START_TEST(test_full_queue_refuses)
{
    struct fake *f = fake_new();
    struct test_wait *w;

    f->set.queue_size = 2;
    fake_start(f, true, true, 0);
    push(f, 1);
    push(f, 1);
    w = push(f, 5);
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_str_eq(w->text, "sending queue is full");
    ck_assert_uint_eq(books(f)->dropped[DROP_RETURNED], 5);
    push_alone(f, 7);
    ck_assert_uint_eq(books(f)->dropped[DROP_QUEUE_FULL], 7);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_enqueue_failed_spans{exporter=\"test\"}"), 12);
    fake_end(f, &ok);
    ck_assert_int_eq(push(f, 1)->answer, ANSWER_OK); /* one left: room for one */
    fake_end(f, &ok);
    fake_end(f, &ok);
    fake_free(f);
}
END_TEST

START_TEST(test_block_on_overflow)
{
    struct fake *f = fake_new();
    struct test_wait *a, *b;

    f->set.queue_size = 1;
    f->set.block_on_overflow = true;
    fake_start(f, true, true, 0);
    push(f, 1);
    a = push(f, 2);
    b = push(f, 3);
    ck_assert_uint_eq(a->times + b->times, 0);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_uint_eq(send_queue_held_spans(f->q), 6);
    fake_end(f, &ok);
    ck_assert_uint_eq(a->times, 1);
    ck_assert_uint_eq(b->times, 0);
    ck_assert_uint_eq(f->sent_spans[1], 2); /* in their order */
    fake_end(f, &ok);
    ck_assert_uint_eq(b->times, 1);
    fake_end(f, &ok);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 6);
    fake_free(f);
}
END_TEST

START_TEST(test_drain_takes_blocked_ones)
{
    struct fake *f = fake_new();
    struct test_wait *a;

    f->set.queue_size = 1;
    f->set.block_on_overflow = true;
    fake_start(f, true, true, 0);
    push(f, 1);
    a = push(f, 2);
    send_queue_drain(f->q, on_done);
    ck_assert_int_eq(a->answer, ANSWER_OK);
    ck_assert_uint_eq(a->times, 1);
    fake_end(f, &ok);
    fake_end(f, &ok);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 3);
    fake_free(f);
}
END_TEST

START_TEST(test_wait_for_result)
{
    struct fake *f = fake_new();
    struct test_wait *a, *b;

    f->set.wait_for_result = true;
    fake_start(f, true, false, 0);
    a = push(f, 1);
    b = push(f, 2);
    ck_assert_uint_eq(a->times + b->times, 0);
    fake_end(f, &ok);
    ck_assert_int_eq(a->answer, ANSWER_OK);
    ck_assert_uint_eq(a->times, 1);
    fake_end(f, &never);
    ck_assert_int_eq(b->answer, ANSWER_REJECTED);
    ck_assert_int_eq(b->grpc_code, 3);
    ck_assert_str_eq(b->text, "Permanent error: bad data");
    ck_assert_uint_eq(books(f)->dropped[DROP_NOT_RETRYABLE], 2);
    fake_free(f);
}
END_TEST

START_TEST(test_consumers_bound_what_is_in_flight)
{
    struct fake *f = fake_new();

    f->set.num_consumers = 3;
    fake_start(f, true, true, 0);
    for (int i = 0; i < 8; i++)
        push(f, 1);
    ck_assert_uint_eq(f->n_open, 3);
    while (f->n_open > 0)
        fake_end(f, &ok);
    ck_assert_uint_eq(f->max_open, 3);
    ck_assert_uint_eq(f->attempts, 8);
    fake_free(f);
}
END_TEST

START_TEST(test_permanent_failure)
{
    struct fake *f = fake_new();

    f->script = &never;
    f->n_script = 1;
    fake_start(f, true, true, 0);
    ck_assert_int_eq(push(f, 4)->answer, ANSWER_OK);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_uint_eq(books(f)->dropped[DROP_NOT_RETRYABLE], 4);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_send_failed_spans{error_permanent=\"true\",error_type="
                                        "\"InvalidArgument\",exporter=\"test\"}"), 4);
    fake_free(f);
}
END_TEST

START_TEST(test_retry_until_it_works)
{
    static const struct send_result script[] = {
        {.outcome = SEND_RETRY, .text = "busy"}, {.outcome = SEND_RETRY, .text = "busy"}, {.outcome = SEND_OK}};
    struct fake *f = fake_new();

    f->script = script;
    f->n_script = 3;
    fake_start(f, true, true, 0);
    push(f, 4);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_in_flight_requests{data_type=\"traces\",exporter=\"test\"}"), 1);
    wait_attempts(f, 3);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 4);
    ck_assert_uint_eq(f->forgotten, 1);
    fake_free(f);
}
END_TEST

START_TEST(test_retries_end)
{
    struct fake *f = fake_new();

    f->script = &later;
    f->n_script = 1;
    f->retry.max_elapsed_time_ns = 1 * MS; /* shorter than the first pause */
    fake_start(f, true, true, 0);
    push(f, 4);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_uint_eq(books(f)->dropped[DROP_RETRIES_ENDED], 4);
    fake_free(f);
}
END_TEST

START_TEST(test_hint_delays_and_may_end_it)
{
    static const struct send_result throttle = {.outcome = SEND_RETRY, .throttled = true, .hint_ns = 3600 * 1000 * (uint64_t)MS,
                                                .text = "slow down"};
    struct fake *f = fake_new();

    f->script = &throttle;
    f->n_script = 1;
    f->retry.max_elapsed_time_ns = 600 * 1000 * MS;
    f->set.wait_for_result = true;
    fake_start(f, true, true, 0);
    ck_assert_int_eq(push(f, 4)->answer, ANSWER_RETRY);
    ck_assert_uint_eq(f->t->waits[0]->retry_after_ms, 3600 * 1000);
    ck_assert_str_eq(f->t->waits[0]->text, "no more retries left: Throttle (3600s), error: slow down");
    ck_assert_uint_eq(books(f)->dropped[DROP_RETURNED], 4); /* the sender was told and has them */
    fake_free(f);
}
END_TEST

START_TEST(test_without_queue_the_sender_waits)
{
    struct fake *f = fake_new();
    struct test_wait *a, *b;

    fake_start(f, false, false, 0);
    a = push(f, 1);
    b = push(f, 2);
    ck_assert_uint_eq(f->n_open, 2); /* no limit of consumers */
    ck_assert_uint_eq(a->times + b->times, 0);
    fake_end(f, &ok);
    ck_assert_int_eq(a->answer, ANSWER_OK);
    fake_end(f, &later);
    ck_assert_int_eq(b->answer, ANSWER_RETRY);
    ck_assert_uint_eq(books(f)->dropped[DROP_RETURNED], 2);
    push_alone(f, 3);
    fake_end(f, &later);
    ck_assert_uint_eq(books(f)->dropped[DROP_RETRIES_ENDED], 3);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}"), -1);
    fake_free(f);
}
END_TEST

static bool aborted(void *ctx)
{
    return ((struct fake *)ctx)->aborts > 0;
}

START_TEST(test_attempt_times_out)
{
    struct fake *f = fake_new();
    struct test_wait *w;

    f->set.wait_for_result = true;
    fake_start(f, true, false, 20 * MS);
    w = push(f, 2);
    ck_assert(th_run_until(f->t, aborted, f));
    ck_assert_int_eq(w->answer, ANSWER_RETRY);
    ck_assert_ptr_nonnull(strstr(w->text, "context deadline exceeded"));
    ck_assert_uint_eq(f->n_open, 0);
    fake_free(f);
}
END_TEST

START_TEST(test_success_after_the_timeout_counts)
{
    struct fake *f = fake_new();

    f->deaf = true;
    fake_start(f, true, false, 20 * MS);
    push(f, 2);
    ck_assert(th_run_until(f->t, aborted, f));
    fake_end(f, &ok);
    ck_assert_uint_eq(f->aborts, 1);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 2);
    fake_free(f);
}
END_TEST

START_TEST(test_partial_success)
{
    static const struct send_result script[] = {{.outcome = SEND_OK, .rejected_spans = 4, .text = "four bad ones"},
                                                {.outcome = SEND_OK, .rejected_spans = 5},
                                                {.outcome = SEND_OK, .rejected_spans = 500}};
    struct fake *f = fake_new();

    f->script = script;
    f->n_script = 3;
    f->set.wait_for_result = true;
    fake_start(f, true, true, 0);
    ck_assert_int_eq(push(f, 5)->answer, ANSWER_OK);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 1);
    ck_assert_uint_eq(books(f)->dropped[DROP_PARTIAL_SUCCESS], 4);
    ck_assert_int_eq(push(f, 5)->answer, ANSWER_OK);
    ck_assert_int_eq(push(f, 5)->answer, ANSWER_OK);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 1);
    ck_assert_uint_eq(books(f)->dropped[DROP_PARTIAL_SUCCESS], 14);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_sent_spans{exporter=\"test\"}"), 15);
    fake_free(f);
}
END_TEST

START_TEST(test_drain_gives_each_one_last_attempt)
{
    struct fake *f = fake_new();

    f->set.num_consumers = 1;
    f->retry.initial_interval_ns = f->retry.max_interval_ns = 3600 * 1000 * MS;
    fake_start(f, true, true, 0);
    for (int i = 0; i < 3; i++)
        push(f, 1);
    fake_end(f, &later); /* now it waits an hour, and the others behind it */
    ck_assert_uint_eq(f->attempts, 1);
    f->script = &later;
    f->n_script = 1;
    send_queue_drain(f->q, on_done);
    ck_assert_uint_eq(f->attempts, 4);
    ck_assert_uint_eq(books(f)->dropped[DROP_SHUTDOWN], 3);
    fake_free(f);
}
END_TEST

START_TEST(test_drain_deadline)
{
    struct fake *f = fake_new();

    f->set.num_consumers = 1;
    fake_start(f, true, true, 0);
    push(f, 1);
    push(f, 2);
    send_queue_drain(f->q, on_done);
    ck_assert_uint_eq(f->n_open, 1);
    f->t->deadline_passed = true;
    ck_assert(th_run_until(f->t, is_done, f));
    ck_assert_uint_eq(f->aborts, 1);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_uint_eq(books(f)->dropped[DROP_SHUTDOWN], 3);
    fake_free(f);
}
END_TEST

/* What a reload puts in an exporter's place: here a queue on the same host. */
static struct fake *heir;

static void heir_push(struct component *c, struct batch **take)
{
    (void)c;
    send_queue_push(heir->q, take);
}

static const struct component_type heir_type = {.kind = EXPORTER, .name = "heir", .push = heir_push};
static struct component heir_component = {.type = &heir_type};

static struct component *successor(const struct host *h)
{
    (void)h;
    return heir->q ? &heir_component : NULL;
}

/* One is under way, one pauses, the rest waits. The first that fails now takes all with it; senders wait on. */
START_TEST(test_drain_hands_over_to_a_successor)
{
    struct fake *f = fake_new();
    struct test_wait *w;

    heir = fake_new();
    th_free(&heir->t);
    heir->t = f->t;
    f->set.num_consumers = 2;
    heir->set.num_consumers = 1;
    heir->set.queue_size = 2; /* what had its room has it there as well */
    f->set.wait_for_result = _i == 1;
    f->retry.initial_interval_ns = f->retry.max_interval_ns = 3600 * 1000 * MS;
    f->t->host.successor_fn = successor;
    fake_start(f, true, true, 0);
    fake_start(heir, true, true, 0);
    w = push(f, 1);
    fake_end(f, &later);
    push_alone(f, 2);
    push_alone(f, 3);
    push_alone(f, 4);
    ck_assert_uint_eq(f->n_open, 1);
    f->script = _i == 2 ? &never : &later; /* what fails for good is not for others */
    f->n_script = 1;
    send_queue_drain(f->q, on_done);
    fake_end(f, &later);
    ck_assert(th_run_until(f->t, is_done, f));
    ck_assert_uint_eq(send_queue_held_spans(f->q), 0);
    ck_assert_uint_eq(books(f)->dropped[DROP_SHUTDOWN], 0);
    ck_assert_uint_eq(send_queue_held_spans(heir->q), _i == 2 ? 2 : 10);
    ck_assert_uint_eq(books(f)->dropped[DROP_NOT_RETRYABLE], _i == 2 ? 8 : 0);
    while (heir->n_open)
        fake_end(heir, &ok);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], _i == 2 ? 2 : 10);
    ck_assert_uint_eq(w->times, 1);
    ck_assert_int_eq(w->answer, ANSWER_OK);
    send_queue_drain(heir->q, on_done);
    ck_assert(th_run_until(f->t, is_done, heir));
    send_queue_free(&heir->q);
    free(heir);
    fake_free(f);
}
END_TEST

START_TEST(test_push_after_drain_is_refused)
{
    struct fake *f = fake_new();

    fake_start(f, true, true, 0);
    send_queue_drain(f->q, on_done);
    ck_assert(th_run_until(f->t, is_done, f));
    ck_assert_int_eq(push(f, 1)->answer, ANSWER_RETRY);
    push_alone(f, 2);
    ck_assert_uint_eq(books(f)->dropped[DROP_RETURNED], 1);
    ck_assert_uint_eq(books(f)->dropped[DROP_SHUTDOWN], 2);
    ck_assert_uint_eq(f->attempts, 0);
    fake_free(f);
}
END_TEST

START_TEST(test_free_without_drain_counts_what_is_left)
{
    struct fake *f = fake_new();

    f->script = &later;
    f->n_script = 1;
    f->retry.initial_interval_ns = f->retry.max_interval_ns = 3600 * 1000 * MS;
    f->set.num_consumers = 1;
    fake_start(f, true, true, 0);
    push(f, 1);
    push(f, 2);
    send_queue_free(&f->q);
    ck_assert_uint_eq(books(f)->dropped[DROP_SHUTDOWN], 3);
    th_free(&f->t);
    free(f);
}
END_TEST

START_TEST(test_sizer_items)
{
    struct fake *f = fake_new();
    struct test_wait *w;

    f->set.sizer = "items";
    f->set.queue_size = 10;
    fake_start(f, true, true, 0);
    ck_assert_int_eq(push(f, 6)->answer, ANSWER_OK);
    ck_assert_int_eq(push(f, 5)->answer, ANSWER_RETRY);
    ck_assert_int_eq(push(f, 4)->answer, ANSWER_OK);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}"), 10);
    w = push(f, 11);
    ck_assert_int_eq(w->answer, ANSWER_REJECTED);
    ck_assert_str_eq(w->text, "element size too large");
    push_alone(f, 12);
    ck_assert_uint_eq(books(f)->dropped[DROP_TOO_LARGE], 23);
    fake_end(f, &ok);
    fake_end(f, &ok);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}"), 0);
    fake_free(f);
}
END_TEST

START_TEST(test_sizer_bytes)
{
    struct fake *f = fake_new();
    struct batch *b = th_batch(f->t, th_payload_n(f->t, 1, 10));
    uint64_t size = otlp_encoded_size(b);

    f->set.sizer = "bytes";
    f->set.queue_size = (int64_t)size;
    fake_start(f, true, true, 0);
    send_queue_push(f->q, &b);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}"),
                        (double)size);
    ck_assert_int_eq(push(f, 1)->answer, ANSWER_RETRY);
    fake_end(f, &ok);
    ck_assert_int_eq(push(f, 1)->answer, ANSWER_OK);
    fake_end(f, &ok);
    fake_free(f);
}
END_TEST

START_TEST(test_workers_share_the_size)
{
    struct fake *f = fake_new();
    struct fake *g = mem_alloc(sizeof(*g));
    struct err err;

    f->set.queue_size = 2;
    g->set = f->set;
    g->retry = f->retry;
    g->t = th_new_worker(f->t);
    ck_assert_int_eq(send_shared_create(NULL, &f->t->host, &f->t->host.shared, &err), 0);
    g->t->host.shared = f->t->host.shared;
    fake_start(f, true, true, 0);
    fake_start(g, true, true, 0);
    push(f, 1);
    push(g, 1);
    ck_assert_int_eq(push(f, 1)->answer, ANSWER_RETRY);
    ck_assert_int_eq(push(g, 1)->answer, ANSWER_RETRY);
    fake_end(g, &ok);
    ck_assert_int_eq(push(f, 1)->answer, ANSWER_OK);
    /* num_consumers is shared out: 10 over two workers */
    f->set.queue_size = g->set.queue_size = 100;
    for (int i = 0; i < 20; i++)
        push(f, 1);
    ck_assert_uint_eq(f->n_open, 5);
    f->script = &ok;
    f->n_script = 1;
    while (f->n_open > 0)
        fake_end(f, &ok);
    send_queue_drain(g->q, on_done);
    ck_assert(th_run_until(g->t, is_done, g));
    send_queue_free(&g->q);
    th_free(&g->t);
    free(g);
    send_queue_drain(f->q, on_done);
    ck_assert(th_run_until(f->t, is_done, f));
    send_queue_free(&f->q);
    send_shared_destroy(&f->t->host.shared);
    th_free(&f->t);
    free(f);
}
END_TEST

/* ---- room ---- */

START_TEST(test_says_when_it_is_full)
{
    struct fake *f = fake_new();

    f->set.queue_size = 2;
    fake_start(f, true, true, 0);
    push(f, 1);
    ck_assert_int_eq(send_queue_room(f->q, 1000, 100000), ROOM_YES);
    push(f, 1);
    ck_assert_int_eq(send_queue_room(f->q, 0, 0), ROOM_NO);
    ck_assert_uint_eq(f->t->n_room_again, 0);
    fake_end(f, &ok);
    ck_assert_uint_eq(f->t->n_room_again, 1);
    ck_assert_int_eq(send_queue_room(f->q, 0, 0), ROOM_YES);
    fake_end(f, &ok);
    ck_assert_uint_eq(f->t->n_room_again, 1); /* nobody had been told no */
    fake_free(f);
}
END_TEST

START_TEST(test_room_in_units_of_the_sizer)
{
    struct fake *f = fake_new();

    f->set.queue_size = 10;
    f->set.sizer = _i ? "bytes" : "items";
    f->set.block_on_overflow = _i == 1;
    fake_start(f, true, true, 0);
    ck_assert_int_eq(send_queue_room(f->q, 10, 10), ROOM_YES);
    ck_assert_int_eq(send_queue_room(f->q, 11, 11), ROOM_YES); /* too large whenever it comes */
    if (_i == 0) {
        push(f, 4);
        ck_assert_int_eq(send_queue_room(f->q, 6, 0), ROOM_YES);
        ck_assert_int_eq(send_queue_room(f->q, 7, 0), ROOM_NO);
        fake_end(f, &ok);
    }
    fake_free(f);
}
END_TEST

/* Another worker took the room between the question and the batch. */
START_TEST(test_what_must_wait_is_kept)
{
    struct fake *f = fake_new();
    struct batch *b;

    f->set.queue_size = 1;
    fake_start(f, true, true, 0);
    push(f, 1);
    b = th_batch(f->t, th_payload_n(f->t, 1, 3));
    b->must_wait = true;
    send_queue_push(f->q, &b);
    ck_assert_uint_eq(send_queue_held_spans(f->q), 4);
    ck_assert_int_eq(send_queue_room(f->q, 0, 0), ROOM_NO);
    fake_end(f, &ok);
    ck_assert_int_eq(send_queue_room(f->q, 0, 0), ROOM_NO); /* its place is taken */
    ck_assert_uint_eq(f->attempts, 2);
    b = th_batch(f->t, th_payload_n(f->t, 1, 3)); /* this one nobody asked for */
    send_queue_push(f->q, &b);
    ck_assert_uint_eq(f->t->ledger.dropped[DROP_QUEUE_FULL], 3);
    fake_end(f, &ok);
    fake_free(f);
}
END_TEST

/* ---- merging and cutting ---- */

static double queue_size(struct fake *f)
{
    return th_metric(f->t, "otelcol_exporter_queue_size{data_type=\"traces\",exporter=\"test\"}");
}

START_TEST(test_merges_up_to_min_size)
{
    struct fake *f = fake_new();

    f->set.batch_enabled = true;
    f->set.batch.min_size = 10;
    fake_start(f, true, true, 0);
    push(f, 4);
    push(f, 4);
    ck_assert_uint_eq(f->attempts, 0);
    ck_assert_uint_eq(send_queue_held_spans(f->q), 8);
    ck_assert_double_eq(queue_size(f), 2);
    push(f, 4);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_uint_eq(f->sent_spans[0], 12);
    fake_end(f, &ok);
    ck_assert_double_eq(queue_size(f), 0);
    fake_free(f);
}
END_TEST

START_TEST(test_flush_timeout)
{
    struct fake *f = fake_new();

    f->script = &ok;
    f->n_script = 1;
    f->set.batch_enabled = true;
    f->set.batch.flush_timeout_ns = 10 * MS;
    fake_start(f, true, true, 0);
    push(f, 4);
    push(f, 5);
    wait_attempts(f, 1);
    ck_assert_uint_eq(f->sent_spans[0], 9);
    fake_free(f);
}
END_TEST

START_TEST(test_cuts_at_max_size)
{
    struct fake *f = fake_new();

    f->script = &ok;
    f->n_script = 1;
    f->set.batch_enabled = true;
    f->set.sizer = "items";
    f->set.batch.sizer = "items";
    f->set.batch.min_size = 4;
    f->set.batch.max_size = 5;
    fake_start(f, true, true, 0);
    push(f, 13);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_batch_send_size_sum{exporter=\"test\"}"), 10);
    ck_assert_double_eq(th_metric(f->t, "otelcol_exporter_queue_batch_send_size_bytes_count{exporter=\"test\"}"), 2);
    ck_assert_uint_eq(f->attempts, 2); /* 5, 5, and 3 wait */
    ck_assert_double_eq(queue_size(f), 3);
    push(f, 1);
    ck_assert_uint_eq(f->attempts, 3);
    ck_assert_uint_eq(f->sent_spans[0] + f->sent_spans[1], 10);
    ck_assert_uint_eq(f->sent_spans[2], 4);
    ck_assert_double_eq(queue_size(f), 0);
    fake_free(f);
}
END_TEST

START_TEST(test_cuts_by_bytes)
{
    struct fake *f = fake_new();
    struct batch *one = th_batch(f->t, th_payload_n(f->t, 1, 1));
    uint64_t size = otlp_encoded_size(one);

    batch_exported(&one);
    f->script = &ok;
    f->n_script = 1;
    f->set.batch_enabled = true;
    f->set.batch.sizer = "bytes";
    f->set.batch.min_size = 1;
    f->set.batch.max_size = (int64_t)size * 3;
    fake_start(f, true, true, 0);
    push(f, 40);
    ck_assert_uint_gt(f->attempts, 3);
    for (unsigned i = 0; i < f->attempts; i++)
        ck_assert_uint_le(f->sent_bytes[i], size * 3);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 41);
    ck_assert_double_eq(queue_size(f), 0);
    fake_free(f);
}
END_TEST

START_TEST(test_span_larger_than_max_size)
{
    struct fake *f = fake_new();

    f->script = &ok;
    f->n_script = 1;
    f->set.batch_enabled = true;
    f->set.batch.sizer = "bytes";
    f->set.batch.min_size = 1;
    f->set.batch.max_size = 10;
    fake_start(f, true, true, 0);
    push(f, 3);
    ck_assert_uint_eq(f->attempts, 0);
    ck_assert_uint_eq(books(f)->dropped[DROP_TOO_LARGE], 3);
    ck_assert_double_eq(queue_size(f), 0);
    fake_free(f);
}
END_TEST

START_TEST(test_waiters_of_merged_and_cut_batches)
{
    struct fake *f = fake_new();
    struct test_wait *a, *b;

    f->set.wait_for_result = true;
    f->set.batch_enabled = true;
    f->set.batch.min_size = f->set.batch.max_size = 10;
    fake_start(f, true, false, 0);
    a = push(f, 5);
    b = push(f, 15); /* pieces: 10 of both, 10 of b (and, for all we know, of a) */
    ck_assert_uint_eq(f->n_open, 2);
    fake_end(f, &ok);
    ck_assert_uint_eq(b->times, 0);
    fake_end(f, &never);
    ck_assert_uint_eq(a->times, 1);
    ck_assert_uint_eq(b->times, 1);
    ck_assert_int_eq(b->answer, ANSWER_REJECTED);
    fake_free(f);
}
END_TEST

START_TEST(test_pipelines_are_not_merged)
{
    struct fake *f = fake_new();
    struct ledger other = {0};
    struct payload *p;
    struct batch *b;

    f->script = &ok;
    f->n_script = 1;
    f->set.batch_enabled = true;
    f->set.batch.min_size = 8;
    fake_start(f, true, true, 0);
    push(f, 5);
    p = th_payload_n(f->t, 1, 5);
    b = batch_new(&p, &other);
    send_queue_push(f->q, &b);
    ck_assert_uint_eq(f->attempts, 0);
    send_queue_drain(f->q, on_done);
    ck_assert_uint_eq(f->attempts, 2);
    ck_assert_uint_eq(other.fate[FATE_EXPORTED], 5);
    ck_assert_uint_eq(books(f)->fate[FATE_EXPORTED], 5);
    fake_free(f);
}
END_TEST

static void push_tenant(struct fake *f, const char *tenant, uint64_t n_spans)
{
    struct batch *b = th_batch(f->t, th_payload_n(f->t, 1, n_spans));

    b->info = request_info_new("", 1);
    b->info->headers[0].name = mem_dup("x-tenant");
    b->info->headers[0].value = mem_dup(tenant);
    send_queue_push(f->q, &b);
}

START_TEST(test_partitions)
{
    static const char *const keys[] = {"X-Tenant"};
    struct fake *f = fake_new();

    f->script = &ok;
    f->n_script = 1;
    f->set.batch_enabled = true;
    f->set.batch.min_size = 8;
    f->set.batch.partition.metadata_keys = (struct str_list){keys, 1};
    fake_start(f, true, true, 0);
    push_tenant(f, "a", 5);
    push_tenant(f, "b", 5);
    push_tenant(f, "", 5);
    push_alone(f, 5);
    ck_assert_uint_eq(f->attempts, 0);
    push_tenant(f, "b", 4);
    ck_assert_uint_eq(f->attempts, 1);
    ck_assert_uint_eq(f->sent_spans[0], 9);
    fake_free(f);
}
END_TEST

#define MANY 200

/* Batches that failed together do not come back together. The pauses are looked at, not waited for. Of 200 evenly drawn
 * ones 50 lie in each quarter; 10 are asked for, more than six deviations less. */
START_TEST(test_retries_of_many_batches_spread)
{
    struct fake *f = fake_new();
    unsigned quarter[4] = {0}, n = 0, alike = 0;
    uint64_t before_ns = 0;

    f->script = &later;
    f->n_script = 1;
    f->set.num_consumers = MANY;
    f->retry = (struct retry_settings){10000 * MS, 0.5, 1.0, 10000 * MS, 0};
    fake_start(f, true, true, 0);
    uint64_t now = loop_now_ns(f->t->host.loop);
    for (int i = 0; i < MANY; i++)
        push_alone(f, 1);
    for (int i = 0; i < 10 && f->attempts < MANY; i++)
        th_turn(f->t);
    for (struct list *l = f->q->pausing.next; l != &f->q->pausing; l = l->next, n++) {
        uint64_t due_ns = CONTAINER_OF(l, struct send, node)->due_ns;
        ck_assert_uint_ge(due_ns, now + 5000ull * MS);
        alike += due_ns == before_ns;
        before_ns = due_ns;
    }
    ck_assert_uint_eq(n, MANY);
    ck_assert_uint_le(alike, 2);
    uint64_t first = CONTAINER_OF(f->q->pausing.next, struct send, node)->due_ns;
    for (struct list *l = f->q->pausing.next; l != &f->q->pausing; l = l->next) {
        uint64_t at = (CONTAINER_OF(l, struct send, node)->due_ns - first) / (2500ull * MS);
        quarter[at < 4 ? at : 3]++;
    }
    for (int i = 0; i < 4; i++)
        ck_assert_uint_gt(quarter[i], MANY / 20);
    f->t->deadline_passed = true;
    fake_free(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("send_queue");
    TCase *t = tcase_create("send_queue");
    SRunner *r;
    int failed;

    tcase_add_test(t, test_answered_when_queued);
    tcase_add_test(t, test_retries_of_many_batches_spread);
    tcase_add_test(t, test_full_queue_refuses);
    tcase_add_test(t, test_block_on_overflow);
    tcase_add_test(t, test_drain_takes_blocked_ones);
    tcase_add_test(t, test_wait_for_result);
    tcase_add_test(t, test_consumers_bound_what_is_in_flight);
    tcase_add_test(t, test_permanent_failure);
    tcase_add_test(t, test_retry_until_it_works);
    tcase_add_test(t, test_retries_end);
    tcase_add_test(t, test_hint_delays_and_may_end_it);
    tcase_add_test(t, test_without_queue_the_sender_waits);
    tcase_add_test(t, test_attempt_times_out);
    tcase_add_test(t, test_success_after_the_timeout_counts);
    tcase_add_test(t, test_partial_success);
    tcase_add_test(t, test_drain_gives_each_one_last_attempt);
    tcase_add_test(t, test_drain_deadline);
    tcase_add_loop_test(t, test_drain_hands_over_to_a_successor, 0, 3);
    tcase_add_test(t, test_push_after_drain_is_refused);
    tcase_add_test(t, test_free_without_drain_counts_what_is_left);
    tcase_add_test(t, test_sizer_items);
    tcase_add_test(t, test_sizer_bytes);
    tcase_add_test(t, test_workers_share_the_size);
    tcase_add_test(t, test_says_when_it_is_full);
    tcase_add_loop_test(t, test_room_in_units_of_the_sizer, 0, 2);
    tcase_add_test(t, test_what_must_wait_is_kept);
    tcase_add_test(t, test_merges_up_to_min_size);
    tcase_add_test(t, test_flush_timeout);
    tcase_add_test(t, test_cuts_at_max_size);
    tcase_add_test(t, test_cuts_by_bytes);
    tcase_add_test(t, test_span_larger_than_max_size);
    tcase_add_test(t, test_waiters_of_merged_and_cut_batches);
    tcase_add_test(t, test_pipelines_are_not_merged);
    tcase_add_test(t, test_partitions);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
