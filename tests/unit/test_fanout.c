/* SPDX-License-Identifier: Apache-2.0 */
/* Fan-out: each span is booked once, answers join, branches do not see each other's changes. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/answers.h"
#include "pipeline/fanout.h"
#include "tests/lib/test_host.h"

/* An exporter that keeps what it gets, for the test to end as it likes. */
struct keeper {
    struct component base;
    struct batch *got[8];
    unsigned n;
};

static void keep(struct component *c, struct batch **take)
{
    struct keeper *k = CONTAINER_OF(c, struct keeper, base);

    k->got[k->n++] = *take;
    *take = NULL;
}

static void deliver(struct component *c, struct batch **take)
{
    (void)c;
    batch_exported(take);
}

static void refuse(struct component *c, struct batch **take)
{
    (void)c;
    batch_refuse(take, &(struct answer_detail){.answer = ANSWER_RETRY, .text = "no room", .retry_after_ms = 7});
}

static const struct component_type keeper_type = {.kind = EXPORTER, .name = "keeper", .push = keep};
static const struct component_type deliver_type = {.kind = EXPORTER, .name = "deliver", .push = deliver};
static const struct component_type refuse_type = {.kind = EXPORTER, .name = "refuse", .push = refuse};

static struct test_host *t;
static struct keeper a, b;
static struct component yes = {.type = &deliver_type}, no = {.type = &refuse_type};
static struct component *targets[3];
static struct outlet out;
static struct ledger branches[3];

static void setup(void)
{
    t = th_new();
    a = b = (struct keeper){.base = {.type = &keeper_type, .host = &t->host}};
    yes.host = no.host = &t->host;
    targets[0] = &a.base;
    targets[1] = &b.base;
    memset(branches, 0, sizeof(branches));
    out = (struct outlet){.to = targets, .n = 2, .branches = branches};
    list_init(&out.joins);
}

static void teardown(void)
{
    ck_assert(list_empty(&out.joins));
    th_free(&t);
}

static void push(size_t n_spans, bool waited)
{
    struct batch *x = th_batch(t, th_payload_n(t, 1, n_spans));

    if (waited)
        x->waiter = th_wait(t);
    outlet_push(&out, &x);
    ck_assert_ptr_null(x);
}

START_TEST(one_branch_needs_no_join)
{
    out.n = 1;
    push(3, true);
    ck_assert(list_empty(&out.joins));
    ck_assert_ptr_eq(a.got[0]->ledger, &t->ledger);
    batch_exported(&a.got[0]);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 3);
    ck_assert_uint_eq(t->n_answered, 1);
}
END_TEST

/* th_free() CHECKs that everything was given back. */
START_TEST(joins_are_charged)
{
    push(5, true);
    uint64_t one = budget_used_by(t->host.budget, MEM_QUEUE);
    ck_assert_uint_ge(one, 2 * sizeof(struct batch));
    push(5, false);
    ck_assert_uint_eq(budget_used_by(t->host.budget, MEM_QUEUE), 2 * one);
    for (int i = 0; i < 2; i++) {
        batch_exported(&a.got[i]);
        batch_exported(&b.got[i]);
    }
    ck_assert_uint_eq(budget_used_by(t->host.budget, MEM_QUEUE), 0);
}
END_TEST

START_TEST(exported_when_all_delivered)
{
    push(5, true);
    batch_exported(&a.got[0]);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 0);
    ck_assert_int_eq(t->ledger.held, 5);
    ck_assert_uint_eq(t->n_answered, 0);
    batch_exported(&b.got[0]);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 5);
    ck_assert_int_eq(t->ledger.held, 0);
    ck_assert_uint_eq(t->n_answered, 1);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_OK);
}
END_TEST

START_TEST(dropped_with_the_failing_branch_s_reason)
{
    push(5, false);
    ck_assert_ptr_null(a.got[0]->waiter.fn); /* nobody waits, and branches must know it */
    batch_exported(&a.got[0]);
    batch_drop(&b.got[0], DROP_RETRIES_ENDED, "gone");
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETRIES_ENDED], 5);
    ck_assert_uint_eq(t->ledger.fate[FATE_DROPPED], 5);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 0);
}
END_TEST

/* a loses 2 of 10, b loses 3 of 10: 3 count as dropped. */
START_TEST(partial_drops_count_by_the_worst_branch)
{
    struct batch *part;

    push(10, false);
    part = batch_split(a.got[0], 2);
    batch_drop(&part, DROP_TOO_LARGE, "");
    part = batch_split(b.got[0], 3);
    batch_drop(&part, DROP_PARTIAL_SUCCESS, "");
    batch_exported(&b.got[0]);
    ck_assert_int_eq(t->ledger.held, 10);
    ck_assert_uint_eq(outlet_joined_spans(&out), 10);
    ck_assert_uint_eq(outlet_branch_spans(&out), 8);
    batch_exported(&a.got[0]);
    ck_assert_uint_eq(t->ledger.dropped[DROP_PARTIAL_SUCCESS], 3);
    ck_assert_uint_eq(t->ledger.fate[FATE_DROPPED], 3);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 7);
}
END_TEST

START_TEST(split_and_merged_branches_end_once)
{
    struct batch *head;

    push(10, true);
    head = batch_split(a.got[0], 4);
    batch_append(head, &a.got[0]); /* answers OK */
    batch_exported(&head);
    batch_exported(&b.got[0]);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 10);
    ck_assert_uint_eq(t->n_answered, 1);
}
END_TEST

/* An exporter merges two batches of one branch and loses half of the merged one. */
START_TEST(merging_across_fan_outs_keeps_the_books_apart)
{
    struct batch *merged, *head;

    push(4, false);
    push(6, false);
    merged = a.got[0];
    batch_append(merged, &a.got[1]);
    head = batch_split(merged, 5);
    batch_drop(&head, DROP_NOT_RETRYABLE, ""); /* all 4 of the first, 1 of the second */
    batch_exported(&merged);
    ck_assert_int_eq(t->ledger.held, 10);
    ck_assert_uint_eq(outlet_branch_spans(&out), 10);
    batch_exported(&b.got[1]);
    ck_assert_uint_eq(t->ledger.dropped[DROP_NOT_RETRYABLE], 1);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 5);
    batch_exported(&b.got[0]);
    ck_assert_uint_eq(t->ledger.dropped[DROP_NOT_RETRYABLE], 5);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 5);
}
END_TEST

START_TEST(answers_join_before_the_end)
{
    push(4, true);
    batch_answer_ok(a.got[0]);
    ck_assert_uint_eq(t->n_answered, 0);
    batch_answer_ok(b.got[0]);
    ck_assert_uint_eq(t->n_answered, 1);
    ck_assert_int_eq(t->ledger.held, 4);
    batch_exported(&a.got[0]);
    batch_exported(&b.got[0]);
    ck_assert_int_eq(t->ledger.held, 0);
}
END_TEST

START_TEST(the_worst_answer_wins)
{
    targets[1] = &no;
    targets[2] = &yes;
    out.n = 3;
    push(4, true);
    ck_assert_uint_eq(t->n_answered, 0);
    batch_refuse(&a.got[0], &(struct answer_detail){.answer = ANSWER_EXHAUSTED, .text = "queue full"});
    ck_assert_uint_eq(t->n_answered, 1);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_EXHAUSTED);
    ck_assert_uint_eq(t->waits[0]->retry_after_ms, 7);
    ck_assert_str_eq(t->waits[0]->text, "no room; queue full");
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 4);
}
END_TEST

START_TEST(all_inside_push)
{
    targets[0] = targets[1] = &yes;
    push(4, true);
    ck_assert_uint_eq(t->n_answered, 1);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 4);
    targets[0] = &no;
    push(2, true);
    ck_assert_uint_eq(t->n_answered, 2);
    ck_assert_int_eq(t->waits[1]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 2);
}
END_TEST

/* A branch that removed all its spans by an edit still owes its answer. */
START_TEST(an_emptied_branch_still_answers)
{
    struct payload *p;

    targets[1] = &yes;
    push(1, true);
    p = batch_edit(a.got[0], 0);
    ck_assert_ptr_nonnull(p);
    payload_drop_span(p, 0);
    batch_settle(a.got[0], FATE_FILTERED, DROP_NONE);
    ck_assert_uint_eq(a.got[0]->n_spans, 0);
    ck_assert_int_eq(t->ledger.held, 0);
    ck_assert_uint_eq(t->ledger.fate[FATE_FILTERED], 1);
    ck_assert_uint_eq(t->n_answered, 0);
    batch_exported(&a.got[0]);
    ck_assert_uint_eq(t->n_answered, 1);
}
END_TEST

START_TEST(branches_do_not_see_each_other_s_edits)
{
    struct payload *p;

    push(3, false);
    p = batch_edit(a.got[0], 0);
    payload_drop_span(p, 1);
    batch_settle(a.got[0], FATE_FILTERED, DROP_NONE);
    ck_assert_uint_eq(a.got[0]->n_spans, 2);
    ck_assert_uint_eq(b.got[0]->n_spans, 3);
    ck_assert_str_eq(th_span_attr(th_span(b.got[0], 1), "n"), "1");
    ck_assert_str_eq(th_span_attr(th_span(a.got[0], 1), "n"), "2");
    batch_exported(&a.got[0]);
    batch_exported(&b.got[0]);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 2);
    ck_assert_uint_eq(t->ledger.fate[FATE_FILTERED], 1);
}
END_TEST

/* ---- inlets ---- */

static struct ledger books[2];
static struct outlet first[2];
static struct component *first_to[2];
static struct head heads[2];
static struct inlet in;

static void feed_two(void)
{
    for (int i = 0; i < 2; i++) {
        books[i] = (struct ledger){0};
        first_to[i] = i ? &b.base : &a.base;
        first[i] = (struct outlet){.to = &first_to[i], .n = 1};
        list_init(&first[i].joins);
        heads[i] = (struct head){&books[i], &first[i]};
    }
    in = (struct inlet){.heads = heads, .n = 2};
    list_init(&in.joins);
}

START_TEST(one_request_to_two_pipelines)
{
    struct payload *p = th_payload_n(t, 1, 3);
    struct request_info *info = request_info_new("10.0.0.1", 0);

    feed_two();
    inlet_accept(&in, &p, info, th_wait(t), 77);
    ck_assert_ptr_null(p);
    ck_assert_uint_eq(books[0].accepted, 3);
    ck_assert_uint_eq(books[1].accepted, 3);
    ck_assert_ptr_eq(a.got[0]->parts[0].payload, b.got[0]->parts[0].payload);
    ck_assert_ptr_eq(a.got[0]->info, b.got[0]->info);
    ck_assert_uint_eq(b.got[0]->received_ns, 77);
    batch_exported(&a.got[0]);
    ck_assert_uint_eq(t->n_answered, 0);
    batch_drop(&b.got[0], DROP_NOT_RETRYABLE, "bad");
    ck_assert_uint_eq(t->n_answered, 1);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_REJECTED);
    ck_assert_uint_eq(books[0].fate[FATE_EXPORTED], 3);
    ck_assert_uint_eq(books[1].dropped[DROP_NOT_RETRYABLE], 3);
}
END_TEST

START_TEST(a_connector_ends_the_first_pipeline)
{
    struct batch *x = th_batch(t, th_payload_n(t, 1, 3));

    feed_two();
    x->waiter = th_wait(t);
    inlet_push(&in, &x);
    ck_assert_ptr_null(x);
    ck_assert_int_eq(t->ledger.held, 3);
    ck_assert_uint_eq(inlet_joined_spans(&in), 3);
    batch_answer_ok(a.got[0]);
    batch_answer_ok(b.got[0]);
    ck_assert_uint_eq(t->n_answered, 1);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 3);
    ck_assert_int_eq(books[0].held + books[1].held, 6);
    batch_exported(&a.got[0]);
    batch_exported(&b.got[0]);
    ck_assert_int_eq(books[0].held + books[1].held, 0);
}
END_TEST

START_TEST(a_connector_hands_refusals_back)
{
    struct batch *x = th_batch(t, th_payload_n(t, 1, 3));

    feed_two();
    x->waiter = th_wait(t);
    inlet_push(&in, &x);
    batch_refuse(&a.got[0], &(struct answer_detail){.answer = ANSWER_RETRY, .text = "busy"});
    batch_exported(&b.got[0]);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 3);
    ck_assert_uint_eq(books[0].dropped[DROP_RETURNED], 3);
}
END_TEST

START_TEST(a_connector_without_waiter_exports_at_once)
{
    struct batch *x = th_batch(t, th_payload_n(t, 1, 3));

    feed_two();
    inlet_push(&in, &x);
    ck_assert_uint_eq(t->ledger.fate[FATE_EXPORTED], 3);
    ck_assert_ptr_null(a.got[0]->waiter.fn);
    batch_drop(&a.got[0], DROP_QUEUE_FULL, "");
    batch_exported(&b.got[0]);
    ck_assert_uint_eq(books[0].dropped[DROP_QUEUE_FULL], 3);
}
END_TEST

/* ---- answers ---- */

static struct answer_detail seen;
static char seen_text[600];

static void on_done(struct answers *x)
{
    seen = x->worst;
    snprintf(seen_text, sizeof(seen_text), "%s", x->worst.text ? x->worst.text : "");
}

START_TEST(long_texts_are_cut)
{
    struct answers x;
    char text[700];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    answers_init(&x, 3, on_done);
    answers_add(&x, &(struct answer_detail){.answer = ANSWER_RETRY, .text = text});
    answers_add(&x, &(struct answer_detail){.answer = ANSWER_REJECTED, .text = "and more", .grpc_code = 3});
    answers_add(&x, NULL);
    ck_assert_uint_eq(strlen(seen_text), 511);
    ck_assert_int_eq(seen.answer, ANSWER_REJECTED);
    ck_assert_int_eq(seen.grpc_code, 3);
}
END_TEST

START_TEST(equal_texts_are_said_once)
{
    struct answers x;

    answers_init(&x, 2, on_done);
    answers_add(&x, &(struct answer_detail){.answer = ANSWER_RETRY, .text = "full"});
    answers_add(&x, &(struct answer_detail){.answer = ANSWER_RETRY, .text = "full", .retry_after_ms = 5});
    ck_assert_str_eq(seen_text, "full");
    ck_assert_uint_eq(seen.retry_after_ms, 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fanout");
    TCase *c = tcase_create("outlet"), *i = tcase_create("inlet"), *j = tcase_create("answers");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, one_branch_needs_no_join);
    tcase_add_test(c, joins_are_charged);
    tcase_add_test(c, exported_when_all_delivered);
    tcase_add_test(c, dropped_with_the_failing_branch_s_reason);
    tcase_add_test(c, partial_drops_count_by_the_worst_branch);
    tcase_add_test(c, split_and_merged_branches_end_once);
    tcase_add_test(c, merging_across_fan_outs_keeps_the_books_apart);
    tcase_add_test(c, answers_join_before_the_end);
    tcase_add_test(c, the_worst_answer_wins);
    tcase_add_test(c, all_inside_push);
    tcase_add_test(c, an_emptied_branch_still_answers);
    tcase_add_test(c, branches_do_not_see_each_other_s_edits);
    tcase_add_checked_fixture(i, setup, teardown);
    tcase_add_test(i, one_request_to_two_pipelines);
    tcase_add_test(i, a_connector_ends_the_first_pipeline);
    tcase_add_test(i, a_connector_hands_refusals_back);
    tcase_add_test(i, a_connector_without_waiter_exports_at_once);
    tcase_add_test(j, long_texts_are_cut);
    tcase_add_test(j, equal_texts_are_said_once);
    suite_add_tcase(s, c);
    suite_add_tcase(s, i);
    suite_add_tcase(s, j);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
