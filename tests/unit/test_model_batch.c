/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads, batches and the ledger: references, charges, edits, splits, answers, books. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "model/attr.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"

/* ---- requests of numbered spans ---- */

static void put(struct buf *out, uint32_t number, struct buf *body)
{
    ck_assert_int_eq(wire_put_bytes(out, number, slice_of(body->p, body->len)), 0);
    buf_clear(body);
}

/* Span k has id k + 1; its name is `fill` bytes long. */
static void put_span(struct buf *out, uint64_t k, size_t fill)
{
    uint64_t trace_id[2] = {7, 7};
    struct buf body = {0}, name = {0};

    k++;
    for (size_t i = 0; i < fill; i++)
        buf_putc(&name, 'n');
    ck_assert_int_eq(wire_put_bytes(&body, SPAN_TRACE_ID, slice_of(trace_id, 16)), 0);
    ck_assert_int_eq(wire_put_bytes(&body, SPAN_SPAN_ID, slice_of(&k, 8)), 0);
    put(&body, SPAN_NAME, &name);
    put(out, 2, &body);
    buf_free(&body);
    buf_free(&name);
}

/* resources x scopes x spans, numbered from `first`. */
static struct buf request(uint64_t first, unsigned resources, unsigned scopes, unsigned spans)
{
    struct buf out = {0}, r = {0}, s = {0}, head = {0};

    for (unsigned i = 0; i < resources; i++) {
        ck_assert_int_eq(
            attr_put_int(&head, RESOURCE_ATTRIBUTES, slice_str("resource"), (int64_t)i), 0);
        put(&r, 1, &head);
        for (unsigned k = 0; k < scopes; k++) {
            ck_assert_int_eq(wire_put_bytes(&head, SCOPE_NAME, slice_str("lib")), 0);
            put(&s, 1, &head);
            for (unsigned n = 0; n < spans; n++)
                put_span(&s, first++, 20);
            put(&r, 2, &s);
        }
        put(&out, 1, &r);
    }
    buf_free(&r);
    buf_free(&s);
    buf_free(&head);
    return out;
}

static struct payload *payload_in(struct budget *budget, struct buf b)
{
    struct payload *p;
    struct walk_report report;
    struct err err = {0};

    budget_force(budget, MEM_BODY, b.len);
    p = payload_new(budget, &b.p, b.len, b.len);
    ck_assert_msg(otlp_walk(p, &report, &err) == WALK_OK, "%s", err.text);
    return p;
}

static uint64_t number_of(const struct span *s)
{
    uint64_t k;

    memcpy(&k, s->span_id, 8);
    return k - 1;
}

/* The numbers in what the batch encodes to. */
static size_t numbers(const struct batch *b, uint64_t *out, size_t most)
{
    struct budget *budget = budget_new(0, 0);
    struct encoded e = {0};
    struct buf copy = {0};
    struct payload *p;
    size_t n;

    ck_assert_int_eq(otlp_encode(b, &e), 0);
    ck_assert_uint_eq(e.len, otlp_encoded_size(b));
    ck_assert_int_eq(buf_reserve(&copy, e.len + 1), 0);
    encoded_copy(&e, copy.p);
    copy.len = e.len;
    p = payload_in(budget, copy);
    n = p->n_spans;
    ck_assert_uint_le(n, most);
    for (size_t i = 0; i < n; i++)
        out[i] = number_of(&p->spans[i]);
    payload_unref(&p);
    encoded_free(&e);
    budget_free(&budget);
    return n;
}

static void assert_numbers(const struct batch *b, uint64_t first, size_t n)
{
    uint64_t got[512];

    ck_assert_uint_eq(numbers(b, got, ARRAY_LEN(got)), n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(got[i], first + i);
    ck_assert_uint_eq(b->n_spans, n);
}

struct answers {
    unsigned n;
    enum answer last;
    char text[64];
    uint64_t used_when_told;
    struct budget *budget;
};

static void note_answer(void *ctx, const struct answer_detail *d)
{
    struct answers *a = ctx;

    a->n++;
    a->last = d->answer;
    if (d->text)
        memcpy(a->text, d->text, strlen(d->text) + 1);
    if (a->budget)
        a->used_when_told = budget_used(a->budget);
}

struct world {
    struct budget *budget;
    struct ledger ledger;
    struct answers answers;
};

static struct world world_new(void)
{
    return (struct world){.budget = budget_new(0, 0)};
}

static struct batch *batch_in(struct world *w, struct buf b)
{
    struct payload *p = payload_in(w->budget, b);
    struct batch *batch = batch_new(&p, &w->ledger);

    ck_assert_ptr_null(p);
    batch->waiter = (struct waiter){note_answer, &w->answers};
    return batch;
}

static void world_end(struct world *w)
{
    uint64_t dropped = 0;

    for (int i = 0; i < DROP_REASONS; i++)
        dropped += w->ledger.dropped[i];
    ck_assert_int_eq(w->ledger.held, 0);
    ck_assert_uint_eq(dropped, w->ledger.fate[FATE_DROPPED]);
    ck_assert_uint_eq(w->ledger.accepted, w->ledger.fate[0] + w->ledger.fate[1] +
                                              w->ledger.fate[2] + w->ledger.fate[3]);
    ck_assert_uint_eq(budget_used(w->budget), 0);
    budget_free(&w->budget);
}

/* ---- payload ---- */

static void count_release(void *ctx, uint8_t *bytes)
{
    free(bytes);
    ++*(unsigned *)ctx;
}

START_TEST(the_last_reference_releases_everything)
{
    struct budget *budget = budget_new(0, 0);
    struct buf b = request(1, 1, 1, 3);
    unsigned released = 0;
    struct payload *p, *again, *derived;
    struct walk_report report;
    struct err err;

    budget_force(budget, MEM_BODY, 1000);
    p = payload_new_ext(budget, b.p, b.len, 1000, count_release, &released);
    ck_assert_int_eq(otlp_walk(p, &report, &err), WALK_OK);
    again = payload_ref(p);
    ck_assert(payload_is_shared(p));
    derived = payload_derive(p, 1, 2);
    ck_assert_ptr_nonnull(derived);
    payload_unref(&p);
    payload_unref(&again);
    payload_unref(&again); /* NULL: nothing */
    ck_assert_uint_eq(released, 0);
    ck_assert_uint_eq(number_of(&derived->spans[0]), 2);
    payload_unref(&derived);
    ck_assert_uint_eq(released, 1);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}
END_TEST

static void *unref_on_a_thread(void *arg)
{
    struct payload *p = arg;

    payload_unref(&p);
    return NULL;
}

START_TEST(the_last_release_may_happen_anywhere)
{
    struct budget *budget = budget_new(0, 0);
    struct payload *p = payload_in(budget, request(1, 2, 2, 5));
    pthread_t threads[4];

    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, unref_on_a_thread, payload_ref(p)), 0);
    payload_unref(&p);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}
END_TEST

START_TEST(room_is_charged_and_trimmed)
{
    struct budget *budget = budget_new(0, 0);
    struct payload *p = payload_build(budget, 1, 1, 1);
    size_t before = payload_charged_bytes(p);
    uint8_t *a = payload_room(p, 100), *b = payload_room(p, 100), *c;

    ck_assert_ptr_eq(b, a + 100);
    payload_room_trim(p, b, 30);
    ck_assert_ptr_eq(payload_room(p, 10), b + 30);
    ck_assert_uint_gt(payload_charged_bytes(p), before);
    ck_assert_uint_eq(budget_used(budget), payload_charged_bytes(p));
    c = payload_room(p, 1000000);
    memset(c, 1, 1000000);
    ck_assert_uint_lt(payload_charged_bytes(p), before + 1000000 + 10000);
    for (int i = 0; i < 10000; i++)
        memset(payload_room(p, 100), 2, 100);
    ck_assert_uint_lt(payload_charged_bytes(p), before + 3500000);
    payload_unref(&p);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}
END_TEST

START_TEST(a_refusing_budget_gives_null)
{
    struct budget *budget = budget_new(0, 4096);
    struct payload *p = payload_build(budget, 1, 1, 10), *q;

    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(payload_room(p, 100000));
    q = payload_build(budget, 1, 1, 1000);
    ck_assert_ptr_null(q);
    q = payload_build(budget, 1000, 1, 1);
    ck_assert_ptr_null(q);
    ck_assert_uint_eq(budget_used(budget), payload_charged_bytes(p));
    payload_unref(&p);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}
END_TEST

START_TEST(deriving_is_refused_without_harm)
{
    struct budget *budget = budget_new(0, 0);
    struct payload *p = payload_in(budget, request(1, 1, 1, 100));
    struct batch *b;

    budget_set_limits(budget, 0, budget_used(budget) + 2000);
    b = batch_new(&(struct payload *){payload_ref(p)}, NULL);
    ck_assert_ptr_null(batch_edit(b, 0));
    assert_numbers(b, 1, 100);
    batch_exported(&b);
    payload_unref(&p);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}
END_TEST

START_TEST(building_span_by_span)
{
    struct budget *budget = budget_new(0, 0);
    struct payload *src = payload_in(budget, request(1, 2, 2, 2)); /* spans 1..8 */
    struct payload *p = payload_build(budget, 2, 2, 8);
    struct batch *b;

    for (uint32_t i = 0; i < 2; i++) {
        payload_add_resource(p, src->resources[i].resource, slice_str("https://schema"));
        payload_add_scope(p, src->scopes[2 * i].scope, (struct slice){0});
        for (uint32_t k = 0; k < 4; k++)
            payload_add_span(p, &src->spans[4 * i + k]);
    }
    payload_hold(p, src);
    payload_hold(p, src);
    payload_unref(&src);
    b = batch_new(&p, NULL);
    assert_numbers(b, 1, 8);
    batch_exported(&b);
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}
END_TEST

START_TEST(building_over_the_capacity_is_a_bug)
{
    struct payload *p = payload_build(NULL, 1, 1, 1);

    for (int i = 0; i < 10; i++)
        payload_add_resource(p, (struct slice){0}, (struct slice){0});
}
END_TEST

/* New bytes of the same span under another name. */
static void rename_span(struct payload *p, uint32_t i, const char *name)
{
    struct buf body = {0}, rec = {0};
    uint8_t *room;

    ck_assert_int_eq(wire_put_bytes(&body, SPAN_TRACE_ID, slice_of(p->spans[i].trace_id, 16)), 0);
    ck_assert_int_eq(wire_put_bytes(&body, SPAN_SPAN_ID, slice_of(p->spans[i].span_id, 8)), 0);
    ck_assert_int_eq(wire_put_bytes(&body, SPAN_NAME, slice_str(name)), 0);
    put(&rec, 2, &body);
    room = payload_room(p, rec.len);
    memcpy(room, rec.p, rec.len);
    payload_set_span(p, i, room, (uint32_t)rec.len, 2);
    buf_free(&body);
    buf_free(&rec);
}

START_TEST(edits_break_only_what_they_touch)
{
    struct world w = world_new();
    struct batch *b = batch_in(&w, request(1, 3, 2, 4)); /* spans 1..24 */
    struct batch *other = batch_share(b, &w.ledger);
    struct payload *p = batch_edit(b, 0);
    struct encoded e = {0};

    ck_assert_ptr_ne(p, other->parts[0].payload);
    rename_span(p, 5, "renamed");
    payload_set_resource(p, 2, slice_str(""));
    ck_assert(p->resources[0].intact == false && p->resources[1].intact && !p->resources[2].intact);
    ck_assert(p->scopes[0].intact && !p->scopes[1].intact && p->scopes[4].intact);
    batch_settle(b, FATE_FILTERED, DROP_NONE);
    assert_numbers(b, 1, 24);
    ck_assert(slice_eq(field_bytes(span_body(&p->spans[5]), SPAN_NAME), slice_str("renamed")));
    ck_assert_int_eq(otlp_encode(b, &e), 0);
    ck_assert_uint_lt(e.n_iov, 10);
    encoded_free(&e);
    /* The other branch is untouched, and goes out as it came in. */
    ck_assert(other->parts[0].payload->intact);
    ck_assert_int_eq(otlp_encode(other, &e), 0);
    ck_assert_uint_eq(e.n_iov, 1);
    ck_assert_ptr_eq(e.iov[0].iov_base, other->parts[0].payload->bytes);
    encoded_free(&e);
    assert_numbers(other, 1, 24);
    batch_exported(&b);
    batch_exported(&other);
    world_end(&w);
}
END_TEST

START_TEST(an_unshared_whole_payload_is_edited_in_place)
{
    struct world w = world_new();
    struct batch *b = batch_in(&w, request(1, 1, 1, 4));
    const struct payload *before = b->parts[0].payload;

    ck_assert_ptr_eq(batch_edit(b, 0), before);
    batch_exported(&b);
    world_end(&w);
}
END_TEST

START_TEST(editing_a_shared_payload_is_a_bug)
{
    struct budget *budget = budget_new(0, 0);
    struct payload *p = payload_in(budget, request(1, 1, 1, 2));

    payload_ref(p);
    payload_drop_span(p, 0);
}
END_TEST

START_TEST(dropped_spans_are_booked_and_gone)
{
    struct world w = world_new();
    struct batch *b = batch_in(&w, request(1, 3, 2, 4));
    struct payload *p = batch_edit(b, 0);
    uint64_t got[24];

    for (uint32_t i = 8; i < 24; i++) /* all but the first resource, and two of the last */
        if (i < 22)
            payload_drop_span(p, i);
    payload_drop_span(p, 9); /* twice is once */
    payload_drop_span(p, 0);
    batch_settle(b, FATE_FILTERED, DROP_NONE);
    ck_assert_uint_eq(w.ledger.fate[FATE_FILTERED], 15);
    ck_assert_int_eq(w.ledger.held, 9);
    ck_assert_uint_eq(p->n_resources, 2);
    ck_assert_uint_eq(p->n_scopes, 3);
    ck_assert_uint_eq(numbers(b, got, 24), 9);
    ck_assert_uint_eq(got[0], 2);
    ck_assert_uint_eq(got[7], 23);
    batch_settle(b, FATE_FILTERED, DROP_NONE);
    ck_assert_uint_eq(w.ledger.fate[FATE_FILTERED], 15);
    for (uint32_t i = 0; i < p->n_spans; i++)
        payload_drop_span(p, i);
    batch_settle(b, FATE_DROPPED, DROP_ERROR);
    ck_assert_uint_eq(b->n_parts, 0);
    ck_assert_uint_eq(b->n_spans + b->n_bytes, 0);
    batch_exported(&b);
    world_end(&w);
}
END_TEST

/* ---- batch ---- */

START_TEST(appending_merges_without_copying)
{
    struct world w = world_new();
    struct batch *b = batch_empty(&w.ledger), *more;
    uint64_t bytes = 0;
    struct encoded e = {0};

    for (uint64_t i = 0; i < 10; i++) {
        more = batch_in(&w, request(10 * i, 1, 1, 10));
        more->received_ns = 1000 - i;
        bytes += more->n_bytes;
        batch_append(b, &more);
        ck_assert_ptr_null(more);
    }
    ck_assert_uint_eq(w.answers.n, 10);
    ck_assert_int_eq(w.answers.last, ANSWER_OK);
    ck_assert_uint_eq(b->received_ns, 991);
    ck_assert_uint_eq(b->n_bytes, bytes);
    ck_assert_uint_eq(otlp_encoded_size(b), bytes);
    assert_numbers(b, 0, 100);
    ck_assert_int_eq(otlp_encode(b, &e), 0);
    ck_assert_uint_le(e.n_iov, 10);
    encoded_free(&e);
    batch_exported(&b);
    ck_assert_uint_eq(w.ledger.fate[FATE_EXPORTED], 100);
    world_end(&w);
}
END_TEST

START_TEST(splitting_anywhere_keeps_every_span)
{
    for (uint64_t n = 1; n < 40; n++) {
        struct world w = world_new();
        struct batch *b = batch_in(&w, request(0, 2, 2, 5)), *more, *head;
        uint64_t bytes;

        more = batch_in(&w, request(20, 2, 2, 5));
        batch_append(b, &more);
        bytes = b->n_bytes;
        head = batch_split(b, n);
        assert_numbers(head, 0, n);
        assert_numbers(b, n, 40 - n);
        ck_assert_ptr_null(head->waiter.fn);
        ck_assert_ptr_nonnull(b->waiter.fn);
        ck_assert_uint_le(head->n_bytes + b->n_bytes, bytes);
        ck_assert_uint_ge(head->n_bytes + b->n_bytes + 100, bytes);
        ck_assert_uint_eq(w.ledger.accepted, 40);
        batch_append(head, &b);
        assert_numbers(head, 0, 40);
        batch_exported(&head);
        world_end(&w);
    }
}
END_TEST

START_TEST(an_end_answers_once_after_the_memory_is_back)
{
    struct world w = world_new();
    struct batch *b = batch_in(&w, request(1, 1, 1, 4));
    struct answer_detail busy = {.answer = ANSWER_RETRY, .text = "busy"};

    w.answers.budget = w.budget;
    w.answers.used_when_told = 1;
    batch_refuse(&b, &busy);
    ck_assert_ptr_null(b);
    ck_assert_uint_eq(w.answers.n, 1);
    ck_assert_int_eq(w.answers.last, ANSWER_RETRY);
    ck_assert_str_eq(w.answers.text, "busy");
    ck_assert_uint_eq(w.answers.used_when_told, 0);
    ck_assert_uint_eq(w.ledger.dropped[DROP_RETURNED], 4);

    b = batch_in(&w, request(1, 1, 1, 4));
    batch_answer_ok(b);
    batch_answer_ok(b);
    ck_assert_uint_eq(w.answers.n, 2);
    batch_drop(&b, DROP_QUEUE_FULL, "full");
    ck_assert_uint_eq(w.answers.n, 2);
    ck_assert_uint_eq(w.ledger.dropped[DROP_QUEUE_FULL], 4);

    b = batch_in(&w, request(1, 1, 1, 4));
    batch_end(&b, FATE_SAMPLED_OUT, NULL);
    ck_assert_uint_eq(w.answers.n, 3);
    ck_assert_int_eq(w.answers.last, ANSWER_OK);
    world_end(&w);
}
END_TEST

START_TEST(refusing_what_was_answered_is_not_called_returned)
{
    struct world w = world_new();
    struct batch *b = batch_in(&w, request(1, 1, 1, 4));
    struct answer_detail busy = {.answer = ANSWER_RETRY};

    batch_answer_ok(b);
    batch_refuse(&b, &busy);
    ck_assert_uint_eq(w.ledger.dropped[DROP_RETURNED], 0);
    ck_assert_uint_eq(w.ledger.dropped[DROP_ERROR], 4);
    world_end(&w);
}
END_TEST

static unsigned n_emptied;

static void on_emptied(struct ledger *l)
{
    (void)l;
    n_emptied++;
}

/* A copy on disk ends the books that wait for one, and no others. */
START_TEST(safe_on_disk_ends_only_the_books_that_wait_for_it)
{
    struct world w = world_new();
    struct ledger copy = {.emptied = on_emptied, .until_safe = true};
    struct ledger branch = {.emptied = on_emptied};
    struct batch *b = batch_in(&w, request(1, 1, 1, 6)), *rest;
    struct batch *other = batch_in(&w, request(11, 1, 1, 3));

    n_emptied = 0;
    batch_set_books(b, &copy);
    batch_set_books(other, &branch);
    rest = batch_split(b, 2);
    batch_append(b, &other);
    batch_safe(b);
    ck_assert_int_eq(copy.held, 2); /* of the other half */
    ck_assert_uint_eq(copy.fate[FATE_STORED], 4);
    ck_assert_int_eq(branch.held, 3);
    ck_assert_uint_eq(n_emptied, 0);
    batch_safe(rest);
    ck_assert_uint_eq(n_emptied, 1);
    ck_assert_int_eq(w.ledger.held, 9);
    batch_safe(rest);
    batch_exported(&rest);
    batch_exported(&b);
    ck_assert_uint_eq(n_emptied, 2);
    ck_assert_uint_eq(copy.fate[FATE_EXPORTED], 0);
    ck_assert_uint_eq(branch.fate[FATE_EXPORTED], 3);
    ck_assert_uint_eq(w.ledger.fate[FATE_EXPORTED], 9);
    world_end(&w);
}
END_TEST

START_TEST(moving_between_workers_balances)
{
    struct world w = world_new();
    struct ledger there = {0}, sum = {0};
    struct batch *b = batch_in(&w, request(1, 1, 1, 4));

    batch_answer_ok(b);
    batch_detach(b);
    ck_assert_int_eq(w.ledger.held, 0);
    ledger_sum(&sum, &w.ledger);
    ledger_sum(&sum, &there);
    ck_assert_uint_eq(sum.accepted, sum.moved_out - sum.moved_in);
    batch_attach(b, &there);
    ck_assert_int_eq(there.held, 4);
    batch_exported(&b);
    sum = (struct ledger){0};
    ledger_sum(&sum, &w.ledger);
    ledger_sum(&sum, &there);
    ck_assert_uint_eq(sum.accepted, 4);
    ck_assert_uint_eq(sum.fate[FATE_EXPORTED], 4);
    ck_assert_int_eq(sum.held, 0);
    ck_assert_uint_eq(sum.moved_out, sum.moved_in);
    w.ledger = sum;
    world_end(&w);
}
END_TEST

START_TEST(ending_more_than_is_held_is_a_bug)
{
    struct ledger l = {0};

    ledger_accept(&l, 3);
    ledger_end(&l, 4, FATE_EXPORTED, DROP_NONE);
}
END_TEST

START_TEST(a_drop_needs_a_reason)
{
    struct ledger l = {0};

    ledger_accept(&l, 3);
    ledger_end(&l, 3, FATE_DROPPED, DROP_NONE);
}
END_TEST

START_TEST(every_reason_has_a_name_and_a_sentence)
{
    for (int i = 0; i < DROP_REASONS; i++) {
        const char *text = drop_reason_text((enum drop_reason)i);

        ck_assert_uint_gt(strlen(drop_reason_name((enum drop_reason)i)), 2);
        ck_assert_int_eq(text[strlen(text) - 1], '.');
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(drop_reason_name((enum drop_reason)i),
                             drop_reason_name((enum drop_reason)k));
    }
}
END_TEST

START_TEST(request_info_finds_headers)
{
    struct request_info *i = request_info_new("10.0.0.1", 3), *again;

    i->headers[0] = (struct request_header){mem_dup("x-tenant"), mem_dup("a")};
    i->headers[1] = (struct request_header){mem_dup("other"), mem_dup("b")};
    i->headers[2] = (struct request_header){mem_dup("x-tenant"), mem_dup("c")};
    ck_assert_str_eq(request_info_get(i, "X-Tenant", 0), "a");
    ck_assert_str_eq(request_info_get(i, "x-tenant", 1), "c");
    ck_assert_ptr_null(request_info_get(i, "x-tenant", 2));
    ck_assert_ptr_null(request_info_get(i, "none", 0));
    ck_assert_ptr_null(request_info_get(NULL, "none", 0));
    ck_assert_ptr_null(request_info_ref(NULL));
    again = request_info_ref(i);
    request_info_unref(&i);
    ck_assert_str_eq(again->client_address, "10.0.0.1");
    request_info_unref(&again);
    request_info_unref(&again);
}
END_TEST

/* ---- encoding ---- */

/* A batch whose envelopes all have to be written anew, part by part, so that scratch moves. */
START_TEST(scratch_may_move_while_appending)
{
    struct world w = world_new();
    struct batch *b = batch_empty(&w.ledger), *more;
    struct encoded e = {0};
    struct buf copy = {0};
    struct payload *p;

    for (uint64_t i = 0; i < 40; i++) {
        more = batch_in(&w, request(11 * i, 1, 1, 11));
        payload_drop_span(batch_edit(more, 0), 10);
        batch_settle(more, FATE_FILTERED, DROP_NONE);
        batch_append(b, &more);
    }
    for (uint32_t i = 0; i < b->n_parts; i++)
        ck_assert_int_eq(otlp_encode_part(&b->parts[i], &e), 0);
    ck_assert_uint_eq(e.len, otlp_encoded_size(b));
    ck_assert_int_eq(buf_reserve(&copy, e.len), 0);
    encoded_copy(&e, copy.p);
    copy.len = e.len;
    p = payload_in(w.budget, copy);
    ck_assert_uint_eq(p->n_spans, 400);
    for (uint32_t i = 0; i < 400; i++)
        ck_assert_uint_eq(number_of(&p->spans[i]), 11 * (i / 10) + i % 10);
    payload_unref(&p);
    encoded_free(&e);
    batch_exported(&b);
    world_end(&w);
}
END_TEST

START_TEST(encoding_an_unsettled_batch_is_a_bug)
{
    struct world w = world_new();
    struct batch *b = batch_in(&w, request(1, 1, 1, 4));
    struct encoded e = {0};

    payload_drop_span(batch_edit(b, 0), 1);
    ck_assert_int_eq(otlp_encode(b, &e), 0);
}
END_TEST

static TCase *payload_tests(void)
{
    TCase *t = tcase_create("payload");

    tcase_add_test(t, the_last_reference_releases_everything);
    tcase_add_test(t, the_last_release_may_happen_anywhere);
    tcase_add_test(t, room_is_charged_and_trimmed);
    tcase_add_test(t, a_refusing_budget_gives_null);
    tcase_add_test(t, deriving_is_refused_without_harm);
    tcase_add_test(t, building_span_by_span);
    tcase_add_test_raise_signal(t, building_over_the_capacity_is_a_bug, 6);
    tcase_add_test(t, edits_break_only_what_they_touch);
    tcase_add_test(t, an_unshared_whole_payload_is_edited_in_place);
    tcase_add_test_raise_signal(t, editing_a_shared_payload_is_a_bug, 6);
    tcase_add_test(t, dropped_spans_are_booked_and_gone);
    return t;
}

static TCase *batch_tests(void)
{
    TCase *t = tcase_create("batch");

    tcase_add_test(t, appending_merges_without_copying);
    tcase_add_test(t, splitting_anywhere_keeps_every_span);
    tcase_add_test(t, an_end_answers_once_after_the_memory_is_back);
    tcase_add_test(t, refusing_what_was_answered_is_not_called_returned);
    tcase_add_test(t, safe_on_disk_ends_only_the_books_that_wait_for_it);
    tcase_add_test(t, moving_between_workers_balances);
    tcase_add_test_raise_signal(t, ending_more_than_is_held_is_a_bug, 6);
    tcase_add_test_raise_signal(t, a_drop_needs_a_reason, 6);
    tcase_add_test(t, every_reason_has_a_name_and_a_sentence);
    tcase_add_test(t, request_info_finds_headers);
    tcase_add_test(t, scratch_may_move_while_appending);
    tcase_add_test_raise_signal(t, encoding_an_unsettled_batch_is_a_bug, 6);
    return t;
}

int main(void)
{
    Suite *s = suite_create("payloads and batches");
    SRunner *r;
    int failed;

    suite_add_tcase(s, payload_tests());
    suite_add_tcase(s, batch_tests());
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
