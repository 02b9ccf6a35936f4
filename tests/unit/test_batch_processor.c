/* SPDX-License-Identifier: Apache-2.0 */
/* batch: by size, by time, cut to a maximum, by metadata, drained; the books balance in each. */
#include <check.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "processors/processors.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

struct rig {
    struct test_settings s;
    struct test_host *t;
    struct component *c;
};

static struct rig rig_new(const char *yaml)
{
    struct rig r = {.s = ts_new(&batch_type, yaml), .t = th_new()};

    ck_assert_str_eq(ts_problems(&r.s), "");
    r.c = th_component(r.t, &batch_type, r.s.settings);
    return r;
}

static void rig_free(struct rig *r)
{
    th_component_free(r->t, &r->c);
    ck_assert_uint_eq(r->t->late_emits, 0);
    th_free(&r->t);
    ts_free(&r->s);
}

static void push(struct rig *r, uint64_t first, size_t n)
{
    struct batch *b = th_batch(r->t, th_payload_n(r->t, first, n));

    b->waiter = th_wait(r->t);
    th_push(r->c, b);
    ck_assert_int_eq(r->t->waits[r->t->n_waits - 1]->times, 1);
    ck_assert_int_eq(r->t->waits[r->t->n_waits - 1]->answer, ANSWER_OK);
}

static uint64_t trace_of(const struct batch *b, uint64_t k)
{
    const struct span *s = th_span(b, k);
    uint64_t v = 0;

    for (int i = 8; i < 16; i++)
        v = v << 8 | s->trace_id[i];
    return v;
}

START_TEST(gathers_until_the_size)
{
    struct rig r = rig_new("{send_batch_size: 10, timeout: 1h}");

    push(&r, 100, 4);
    push(&r, 200, 4);
    ck_assert_uint_eq(r.t->n_out, 0);
    ck_assert_uint_eq(r.c->type->held(r.c), 8);
    ck_assert_int_eq(r.t->ledger.held, 8);
    push(&r, 300, 4);
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_uint_eq(r.t->out[0]->n_spans, 12);
    ck_assert_uint_eq(r.t->out[0]->n_parts, 3);
    ck_assert_uint_eq(trace_of(r.t->out[0], 0), 100);
    ck_assert_uint_eq(trace_of(r.t->out[0], 11), 303);
    ck_assert_uint_eq(r.c->type->held(r.c), 0);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_batch_size_trigger_send{processor=\"test\"}") == 1);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_batch_send_size_sum{processor=\"test\"}") == 12);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_batch_send_size_bucket{processor=\"test\",le=\"10\"}") == 0);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_batch_send_size_bucket{processor=\"test\",le=\"25\"}") == 1);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_batch_send_size_bytes_count{processor=\"test\"}") == 1);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_metadata_cardinality{processor=\"test\"}") == 1);
    rig_free(&r);
}
END_TEST

START_TEST(cuts_to_the_maximum_in_order)
{
    struct rig r = rig_new("{send_batch_size: 10, send_batch_max_size: 10, timeout: 1h}");
    uint64_t at = 100;

    push(&r, 100, 34);
    ck_assert_uint_eq(r.t->n_out, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(r.t->out[i]->n_spans, 10);
        for (uint64_t k = 0; k < 10; k++)
            ck_assert_uint_eq(trace_of(r.t->out[i], k), at++);
    }
    ck_assert_uint_eq(r.c->type->held(r.c), 4);
    push(&r, 134, 5);
    ck_assert_uint_eq(r.t->n_out, 3);
    push(&r, 139, 1);
    ck_assert_uint_eq(r.t->n_out, 4);
    ck_assert_uint_eq(trace_of(r.t->out[3], 0), 130);
    ck_assert_uint_eq(trace_of(r.t->out[3], 9), 139);
    rig_free(&r);
}
END_TEST

START_TEST(the_clock_sends_what_is_there)
{
    struct rig r = rig_new("{send_batch_size: 1000, timeout: 5ms}");
    uint64_t start = clock_mono_ns();

    push(&r, 1, 3);
    push(&r, 9, 2);
    ck_assert_uint_eq(r.t->n_out, 0);
    ck_assert(th_run_until_out(r.t, 1));
    ck_assert_uint_eq(r.t->out[0]->n_spans, 5);
    push(&r, 20, 1);
    ck_assert(th_run_until_out(r.t, 2));
    ck_assert_uint_ge(clock_mono_ns() - start, 5 * NS_PER_MS);
    ck_assert_uint_eq(r.t->out[1]->n_spans, 1);
    ck_assert(th_metric(r.t, "otelcol_processor_batch_timeout_trigger_send{processor=\"test\"}") == 2);
    rig_free(&r);
}
END_TEST

/* With a maximum the clock sends one batch a tick. */
START_TEST(the_clock_keeps_to_the_maximum)
{
    struct rig r = rig_new("{send_batch_size: 10, send_batch_max_size: 12, timeout: 5ms}");

    push(&r, 1, 15);
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_uint_eq(r.t->out[0]->n_spans, 12);
    ck_assert(th_run_until_out(r.t, 2));
    ck_assert_uint_eq(r.t->out[1]->n_spans, 3);
    rig_free(&r);
}
END_TEST

static const char *const at_once[] = {"{timeout: 0s, send_batch_max_size: 8192}", "{send_batch_size: 0}",
                                      "{send_batch_size: 0, timeout: 1h}"};

START_TEST(without_clock_everything_leaves_at_once)
{
    struct rig r = rig_new(at_once[_i]);

    push(&r, 1, 2);
    ck_assert_uint_eq(r.t->n_out, 1);
    push(&r, 5, 3);
    ck_assert_uint_eq(r.t->n_out, 2);
    ck_assert_uint_eq(r.t->out[1]->n_spans, 3);
    rig_free(&r);
}
END_TEST

START_TEST(without_clock_the_maximum_still_cuts)
{
    struct rig r = rig_new("{send_batch_size: 0, send_batch_max_size: 4}");

    push(&r, 1, 10);
    ck_assert_uint_eq(r.t->n_out, 3);
    ck_assert_uint_eq(r.t->out[2]->n_spans, 2);
    rig_free(&r);
}
END_TEST

/* ---- without room ---- */

static enum answer offer(struct rig *r, uint64_t first, size_t n)
{
    struct batch *b = th_batch(r->t, th_payload_n(r->t, first, n));

    b->waiter = th_wait(r->t);
    th_push(r->c, b);
    ck_assert_int_eq(r->t->waits[r->t->n_waits - 1]->times, 1);
    return r->t->waits[r->t->n_waits - 1]->answer;
}

START_TEST(without_room_it_keeps_and_then_refuses)
{
    struct rig r = rig_new("{send_batch_size: 10, timeout: 1h}");

    r.t->room = ROOM_NO;
    ck_assert_int_eq(offer(&r, 1, 6), ANSWER_OK);
    ck_assert_int_eq(r.c->type->room(r.c, 0, 0), ROOM_TIGHT);
    ck_assert_int_eq(offer(&r, 10, 6), ANSWER_OK); /* 12 are pending: full */
    ck_assert_uint_eq(r.t->n_out, 0);
    ck_assert_int_eq(r.c->type->room(r.c, 0, 0), ROOM_NO);
    ck_assert_int_eq(offer(&r, 20, 1), ANSWER_RETRY);
    ck_assert_uint_eq(r.t->waits[2]->retry_after_ms, 1000);
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_RETURNED], 1);
    ck_assert_uint_eq(r.c->type->held(r.c), 12);
    r.t->room = ROOM_YES;
    ck_assert_int_eq(offer(&r, 30, 1), ANSWER_OK); /* sends first, then takes */
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_uint_eq(r.t->out[0]->n_spans, 12);
    ck_assert_int_eq(r.c->type->room(r.c, 0, 0), ROOM_YES);
    rig_free(&r);
}
END_TEST

START_TEST(resumes_when_there_is_room)
{
    struct rig r = rig_new("{send_batch_size: 10, send_batch_max_size: 10, timeout: 1h}");

    r.t->room = ROOM_NO_WAIT;
    offer(&r, 1, 25);
    ck_assert_uint_eq(r.t->n_out, 0);
    r.c->type->resume(r.c);
    ck_assert_uint_eq(r.t->n_out, 0);
    ck_assert_int_eq(r.c->type->room(r.c, 0, 0), ROOM_NO_WAIT);
    r.t->room = ROOM_YES;
    r.c->type->resume(r.c);
    ck_assert_uint_eq(r.t->n_out, 2);
    ck_assert_uint_eq(r.c->type->held(r.c), 5);
    rig_free(&r);
}
END_TEST

/* Room that another worker made: nobody says so. What the clock would have sent goes as well. */
START_TEST(asks_again_by_itself)
{
    struct rig r = rig_new(_i ? "{send_batch_size: 10, timeout: 1ms}" : "{send_batch_size: 0}");
    unsigned asked;

    r.t->room = ROOM_NO;
    offer(&r, 1, 3);
    while (r.t->n_room_asked < 3)
        th_turn(r.t);
    ck_assert_uint_eq(r.t->n_out, 0);
    asked = r.t->n_room_asked;
    r.t->room = ROOM_YES;
    ck_assert(th_run_until_out(r.t, 1));
    ck_assert_uint_eq(r.t->n_room_asked, asked + 1);
    rig_free(&r);
}
END_TEST

START_TEST(what_nobody_waits_for_is_kept)
{
    struct rig r = rig_new("{send_batch_size: 10, timeout: 1h}");

    r.t->room = ROOM_NO;
    offer(&r, 1, 10);
    th_push(r.c, th_batch(r.t, th_payload_n(r.t, 100, 7)));
    ck_assert_uint_eq(r.c->type->held(r.c), 17);
    r.c->type->drain(r.c); /* a drain does not ask */
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_uint_eq(r.t->out[0]->n_spans, 17);
    rig_free(&r);
}
END_TEST

START_TEST(drain_sends_the_rest)
{
    struct rig r = rig_new("{send_batch_size: 5, send_batch_max_size: 6, timeout: 1h}");

    push(&r, 1, 4);
    r.c->type->drain(r.c);
    r.c->type->drain(r.c);
    ck_assert_uint_eq(r.t->n_drained, 1);
    ck_assert_uint_eq(th_out_spans(r.t), 4);
    rig_free(&r);
}
END_TEST

START_TEST(push_after_drain_is_refused)
{
    struct rig r = rig_new("{}");
    struct batch *b = th_batch(r.t, th_payload_n(r.t, 1, 1));

    r.c->type->drain(r.c);
    b->waiter = th_wait(r.t);
    th_push(r.c, b);
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_RETRY);
    th_push(r.c, th_batch(r.t, th_payload_n(r.t, 1, 1)));
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_SHUTDOWN], 1);
    rig_free(&r);
}
END_TEST

START_TEST(destroy_without_drain_drops_what_is_held)
{
    struct rig r = rig_new("{timeout: 1h}");

    push(&r, 1, 7);
    r.c->type->destroy(&r.c);
    ck_assert_ptr_null(r.c);
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_SHUTDOWN], 7);
    th_free(&r.t);
    ts_free(&r.s);
}
END_TEST

/* ---- metadata ---- */

static struct request_info *info_of(const char *tenant, const char *second, const char *other)
{
    struct request_info *i = request_info_new("10.0.0.1", 3);

    i->headers[0] = (struct request_header){mem_dup("x-tenant"), mem_dup(tenant ? tenant : "")};
    if (!tenant)
        i->headers[0].name[0] = 'y';
    i->headers[1] = (struct request_header){mem_dup(second ? "x-tenant" : "unused"), mem_dup(second ? second : "")};
    i->headers[2] = (struct request_header){mem_dup("x-other"), mem_dup(other)};
    return i;
}

static void push_as(struct rig *r, const char *tenant, const char *second, size_t n)
{
    struct batch *b = th_batch(r->t, th_payload_n(r->t, 1, n));

    b->info = info_of(tenant, second, "o");
    b->waiter = th_wait(r->t);
    th_push(r->c, b);
}

START_TEST(one_batch_per_combination_of_values)
{
    struct rig r = rig_new("{send_batch_size: 4, timeout: 1h, metadata_keys: [X-Tenant]}");

    push_as(&r, "a", NULL, 2);
    push_as(&r, "b", NULL, 3);
    push_as(&r, "", NULL, 3);   /* empty ... */
    push_as(&r, NULL, NULL, 3); /* ... is not absent */
    push_as(&r, "a", "b", 3);   /* two values */
    push_as(&r, "ab", NULL, 3);
    th_push(r.c, th_batch(r.t, th_payload_n(r.t, 1, 0 + 1))); /* no info at all: as absent */
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_uint_eq(r.t->out[0]->n_spans, 4);
    push_as(&r, "a", NULL, 2);
    ck_assert_uint_eq(r.t->n_out, 2);
    ck_assert_uint_eq(r.t->out[1]->n_spans, 4);
    ck_assert_str_eq(request_info_get(r.t->out[1]->info, "x-tenant", 0), "a");
    ck_assert_ptr_null(request_info_get(r.t->out[1]->info, "x-tenant", 1));
    ck_assert_ptr_null(request_info_get(r.t->out[1]->info, "x-other", 0));
    ck_assert(th_metric(r.t, "otelcol_processor_batch_metadata_cardinality{processor=\"test\"}") == 6);
    rig_free(&r);
}
END_TEST

START_TEST(too_many_combinations_are_refused)
{
    struct rig r = rig_new("{timeout: 1h, metadata_keys: [x-tenant], metadata_cardinality_limit: 2}");

    push_as(&r, "a", NULL, 1);
    push_as(&r, "b", NULL, 1);
    push_as(&r, "c", NULL, 5);
    push_as(&r, "b", NULL, 1);
    ck_assert_int_eq(r.t->waits[2]->answer, ANSWER_REJECTED);
    ck_assert_str_eq(r.t->waits[2]->text, "too many batcher metadata-value combinations");
    ck_assert_int_eq(r.t->waits[3]->answer, ANSWER_OK);
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_CARDINALITY], 5);
    ck_assert_uint_eq(r.c->type->held(r.c), 3);
    rig_free(&r);
}
END_TEST

START_TEST(without_metadata_keys_the_request_is_forgotten)
{
    struct rig r = rig_new("{send_batch_size: 1}");

    push_as(&r, "a", NULL, 1);
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_ptr_null(r.t->out[0]->info);
    rig_free(&r);
}
END_TEST

START_TEST(a_new_combination_needs_memory)
{
    struct rig r = rig_new("{timeout: 1h, metadata_keys: [x-tenant]}");
    struct batch *b = th_batch(r.t, th_payload_n(r.t, 1, 1));

    b->info = info_of("a", NULL, "o");
    b->waiter = th_wait(r.t);
    budget_set_limits(r.t->host.budget, 1, 1);
    th_push(r.c, b);
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(r.c->type->held(r.c), 0);
    rig_free(&r);
}
END_TEST

static const struct {
    const char *yaml, *text;
} wrong[] = {
    {"{timeout: -1s}", "timeout must be greater or equal to 0"},
    {"{send_batch_max_size: 10}", "send_batch_max_size must be greater or equal to send_batch_size"},
    {"{metadata_keys: [a, b, A]}", "duplicate entry in metadata_keys: \"a\" (case-insensitive)"},
};

START_TEST(rules_between_keys)
{
    struct test_settings s = ts_new(&batch_type, wrong[_i].yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong[_i].text) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("batch processor");
    TCase *t = tcase_create("batch");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, gathers_until_the_size);
    tcase_add_test(t, cuts_to_the_maximum_in_order);
    tcase_add_test(t, the_clock_sends_what_is_there);
    tcase_add_test(t, the_clock_keeps_to_the_maximum);
    tcase_add_loop_test(t, without_clock_everything_leaves_at_once, 0, (int)ARRAY_LEN(at_once));
    tcase_add_test(t, without_clock_the_maximum_still_cuts);
    tcase_add_test(t, without_room_it_keeps_and_then_refuses);
    tcase_add_test(t, resumes_when_there_is_room);
    tcase_add_loop_test(t, asks_again_by_itself, 0, 2);
    tcase_add_test(t, what_nobody_waits_for_is_kept);
    tcase_add_test(t, drain_sends_the_rest);
    tcase_add_test(t, push_after_drain_is_refused);
    tcase_add_test(t, destroy_without_drain_drops_what_is_held);
    tcase_add_test(t, one_batch_per_combination_of_values);
    tcase_add_test(t, too_many_combinations_are_refused);
    tcase_add_test(t, without_metadata_keys_the_request_is_forgotten);
    tcase_add_test(t, a_new_combination_needs_memory);
    tcase_add_loop_test(t, rules_between_keys, 0, (int)ARRAY_LEN(wrong));
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
