/* SPDX-License-Identifier: Apache-2.0 */
/* Trace table, timer wheel, decision cache and interning, each against a plain model or a table. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/hash.h"
#include "processors/tail_cache.h"
#include "processors/tail_intern.h"
#include "processors/tail_wheel.h"
#include "tests/lib/test_host.h"

static struct budget *budget;
static uint64_t rnd = 4711;

static void setup(void)
{
    hash_seed(3);
    budget = budget_new(0, 0);
}

static void teardown(void)
{
    ck_assert_uint_eq(budget_used(budget), 0);
    budget_free(&budget);
}

/* ---- table ---- */

enum { IDS = 5000 };

static void id_of(uint32_t n, uint8_t id[static 16])
{
    memset(id, 0, 16);
    memcpy(id + 3, &n, sizeof(n));
}

static void check_listed(const struct trace_table *t, const struct trace_list *l)
{
    uint32_t n = 0, before = 0;

    for (uint32_t i = l->oldest; i; i = trace_at(t, i)->newer, n++) {
        ck_assert_uint_eq(trace_at(t, i)->older, before);
        before = i;
    }
    ck_assert_uint_eq(n, l->n);
    ck_assert_uint_eq(l->newest, before);
}

START_TEST(table_against_a_model)
{
    static uint32_t index_of[IDS];
    struct trace_table t;
    struct trace_list list = {0};
    uint32_t n = 0;

    trace_table_init(&t, budget, 24);
    for (int step = 0; step < 60000; step++) {
        uint32_t k = (uint32_t)(random_next(&rnd) % IDS);
        bool grow = step / 10000 % 2 == 0;
        uint8_t id[16];

        id_of(k, id);
        uint64_t h = hash_u128(id);
        ck_assert_uint_eq(trace_table_find(&t, id, h), index_of[k]);
        if (!index_of[k] && (grow || random_next(&rnd) % 4 == 0)) {
            ck_assert_int_eq(trace_table_reserve(&t), 0);
            index_of[k] = trace_table_add(&t, id, h);
            ck_assert_uint_ne(index_of[k], 0);
            if (k % 3) /* some have more */
                trace_more_add(&t, trace_at(&t, index_of[k]))->facts[2] = k; /* the last word is ours to use */
            trace_list_add(&t, &list, index_of[k]);
            n++;
        } else if (index_of[k] && (!grow || random_next(&rnd) % 4 == 0)) {
            ck_assert_uint_eq(trace_at(&t, index_of[k])->flags, k % 3 ? TRACE_MORE : 0);
            if (k % 3)
                ck_assert_uint_eq(trace_more(&t, trace_at(&t, index_of[k]))->facts[2], k);
            trace_list_del(&t, &list, index_of[k]);
            trace_table_remove(&t, index_of[k]);
            index_of[k] = 0;
            n--;
        }
        ck_assert_uint_eq(t.n_traces, n);
        if (step % 5000 == 0)
            check_listed(&t, &list);
    }
    check_listed(&t, &list);
    trace_table_fini(&t);
}
END_TEST

/* How far the farthest trace is from where its hash points. */
static uint32_t longest_probe(const struct trace_table *t)
{
    uint32_t longest = 0;

    for (uint32_t i = 0; i < t->n_slots; i++)
        if (t->slots[i].index) {
            uint32_t home = (uint32_t)((uint64_t)t->slots[i].tag * t->n_slots >> 32);
            uint32_t far = i >= home ? i - home : i + t->n_slots - home;

            longest = far > longest ? far : longest;
        }
    return longest;
}

static void set_half(uint8_t id[static 16], int half, uint64_t v)
{
    memset(id, 0x5a, 16);
    for (int i = 0; i < 8; i++)
        id[8 * half + i] = (uint8_t)(v >> 8 * (7 - i));
}

/* Ids that share a half, or count up in one: chains stay short, and every id is itself. */
START_TEST(ids_that_share_a_half_do_not_collide)
{
    enum { N = 60000 };
    struct trace_table t;
    uint8_t id[16];

    trace_table_init(&t, budget, 0);
    for (uint32_t i = 0; i < N; i++) {
        set_half(id, _i, _i == 0 ? (uint64_t)i << 40 : i);
        ck_assert_int_eq(trace_table_reserve(&t), 0);
        ck_assert_uint_eq(trace_table_find(&t, id, hash_u128(id)), 0);
        trace_table_add(&t, id, hash_u128(id));
    }
    ck_assert_uint_eq(t.n_traces, N);
    ck_assert_uint_lt(longest_probe(&t), 400); /* some tens at this load with any good hash */
    trace_table_fini(&t);
}
END_TEST

/* Whoever finds ids that fall into one slot of one process gains nothing against another: the hash has a key. */
START_TEST(ids_made_to_collide_do_so_under_one_key_only)
{
    enum { N = 400, SLOTS = 1024 };
    static uint8_t ids[N][16];
    struct trace_table t;

    hash_seed(1001);
    for (uint64_t i = 0, n = 0; n < N; i++) {
        set_half(ids[n], 1, i);
        n += (uint32_t)hash_u128(ids[n]) / (UINT32_MAX / SLOTS + 1) == 77;
    }
    hash_seed(1002);
    trace_table_init(&t, budget, 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(trace_table_reserve(&t), 0);
        trace_table_add(&t, ids[i], hash_u128(ids[i]));
    }
    ck_assert_uint_eq(t.n_slots, SLOTS);
    ck_assert_uint_lt(longest_probe(&t), 60);
    trace_table_fini(&t);
}
END_TEST

START_TEST(table_gives_chunks_back)
{
    struct trace_table t;
    uint8_t id[16];

    trace_table_init(&t, budget, 0);
    for (uint32_t i = 0; i < 20000; i++) {
        id_of(i, id);
        ck_assert_int_eq(trace_table_reserve(&t), 0);
        trace_table_add(&t, id, hash_u128(id));
    }
    uint64_t full = budget_used(budget);
    ck_assert_uint_le(full, trace_table_bytes_for(20000, 0) + 64 * 256);
    for (uint32_t i = 0; i < 20000; i++) {
        id_of(i, id);
        trace_table_remove(&t, trace_table_find(&t, id, hash_u128(id)));
    }
    ck_assert_uint_lt(budget_used(budget), full / 3);
    trace_table_fini(&t);
}
END_TEST

START_TEST(table_respects_the_budget)
{
    struct trace_table t;
    uint8_t id[16];
    uint32_t n = 0;

    budget_set_limits(budget, 100000, 100000);
    trace_table_init(&t, budget, 0);
    while (trace_table_reserve(&t) == 0) {
        id_of(n, id);
        trace_table_add(&t, id, hash_u128(id));
        n++;
    }
    ck_assert_uint_gt(n, 500);
    id_of(7, id);
    trace_table_remove(&t, trace_table_find(&t, id, hash_u128(id)));
    ck_assert_int_eq(trace_table_reserve(&t), 0); /* a place came free */
    trace_table_fini(&t);
}
END_TEST

/* ---- wheel ---- */

/* Runs ticks until the trace is due; returns the tick. */
static uint32_t tick_of_decision(int64_t wait_ms, int64_t after_root_ms, uint32_t begin, uint32_t root)
{
    struct trace_table t;
    struct tail_wheel w;
    uint8_t id[16] = {1};
    uint32_t index = 0;

    trace_table_init(&t, budget, 0);
    ck_assert_int_eq(trace_table_reserve(&t), 0);
    tail_wheel_init(&w, wait_ms * 1000000, after_root_ms * 1000000);
    while (!w.due.ring) {
        if (w.now == begin && !index) {
            index = trace_table_add(&t, id, hash_u128(id));
            tail_wheel_add(&w, &t, index);
        }
        if (w.now == root && index)
            tail_wheel_root(&w, &t, index);
        tail_wheel_tick(&w, &t);
        ck_assert_uint_lt(w.now, 100000);
    }
    uint32_t now = w.now;
    ck_assert_uint_eq(w.due.ring, index);
    tail_wheel_del(&w, &t, index);
    ck_assert_uint_eq(w.due.ring, 0);
    tail_wheel_fini(&w);
    trace_table_fini(&t);
    return now;
}

START_TEST(wheel_decides_when_the_collector_does)
{
    static const struct {
        int64_t wait_ms, after_root_ms;
        uint32_t begin, root; /* whole seconds; root UINT32_MAX: none */
        uint32_t tick;
    } rows[] = {
        {1000, 0, 0, UINT32_MAX, 2},      {10000, 0, 0, UINT32_MAX, 11}, {10000, 1000, 0, 5, 7},
        {10000, 500, 0, 5, 6},            {3000, 5000, 0, 0, 4},         {0, 0, 0, UINT32_MAX, 2},
        {-5000, 0, 0, UINT32_MAX, 2},     {500, 0, 7, UINT32_MAX, 9},    {1900, 0, 7, UINT32_MAX, 9},
        {10000, 0, 0, 5, 11},             {10000, 2000, 3, 13, 14},      {10000, 2000, 3, 3, 6},
        {30000, 0, 100, UINT32_MAX, 131}, {20000000, 0, 5, UINT32_MAX, 20006}, /* several rounds */
        {20000000, 9000000, 5, 6000, 15001},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(tick_of_decision(rows[i].wait_ms, rows[i].after_root_ms, rows[i].begin, rows[i].root) ==
                          rows[i].tick, "row %zu", i);
}
END_TEST

START_TEST(a_clock_that_jumps_is_made_up_for_within_bounds)
{
    const uint64_t s = 1000000000, from = 5 * s + 1;
    uint64_t next = from;

    ck_assert_uint_eq(tail_ticks_due(&next, from - 1), 0);
    ck_assert_uint_eq(next, from);
    ck_assert_uint_eq(tail_ticks_due(&next, from), 1);
    ck_assert_uint_eq(next, from + s);
    ck_assert_uint_eq(tail_ticks_due(&next, from + s / 2), 0);
    ck_assert_uint_eq(tail_ticks_due(&next, from + 7 * s + s / 2), 7); /* a stall: the beat stays */
    ck_assert_uint_eq(next, from + 8 * s);
    ck_assert_uint_eq(tail_ticks_due(&next, from + 40000000 * s + 3), 4096); /* a year: asleep */
    ck_assert_uint_eq(next, from + 40000001 * s + 3);
    ck_assert_uint_eq(tail_ticks_due(&next, 0), 0); /* back: it waits for its time */
    ck_assert_uint_eq(next, from + 40000001 * s + 3);
}
END_TEST

/* Many traces, roots, early leavers, with a wheel shorter than the wait: each is due at its own tick. */
START_TEST(wheel_against_a_model)
{
    enum { N = 3000 };
    static uint32_t due_at[N + 300];
    struct trace_table t;
    struct tail_wheel w;
    uint32_t n = 0, seen = 0, begun = 0;

    trace_table_init(&t, budget, 0);
    tail_wheel_init(&w, 6000ll * 1000000000, 2000ll * 1000000000);
    for (uint32_t tick = 0; tick < 13000; tick++) {
        if (begun < N && random_next(&rnd) % 2) {
            uint8_t id[16];

            id_of(begun++, id);
            ck_assert_int_eq(trace_table_reserve(&t), 0);
            uint32_t i = trace_table_add(&t, id, hash_u128(id));
            ck_assert_uint_lt(i, N + 300);
            tail_wheel_add(&w, &t, i);
            due_at[i] = tick + 6001;
            n++;
            if (i % 3 == 0) {
                tail_wheel_root(&w, &t, i);
                due_at[i] = tick + 2001;
            } else if (i % 7 == 0) {
                tail_wheel_del(&w, &t, i);
                due_at[i] = 0;
                n--;
            }
        }
        tail_wheel_tick(&w, &t);
        while (w.due.ring) {
            uint32_t i = w.due.ring;

            ck_assert_uint_eq(due_at[i], w.now);
            tail_wheel_del(&w, &t, i);
            seen++;
        }
        ck_assert_uint_eq(w.due.n, 0);
    }
    ck_assert_uint_eq(seen, n);
    ck_assert_uint_gt(seen, N / 2);
    tail_wheel_fini(&w);
    trace_table_fini(&t);
}
END_TEST

/* ---- cache ---- */

static bool hit(struct tail_cache *c, uint32_t n)
{
    uint8_t id[16];

    memset(id, 0xee, 16);
    memcpy(id + 8, &n, sizeof(n));
    return tail_cache_hit(c, id);
}

static void put(struct tail_cache *c, uint32_t n)
{
    uint8_t id[16];

    memset(id, 0xee, 16);
    memcpy(id + 8, &n, sizeof(n));
    tail_cache_put(c, id);
}

START_TEST(cache_forgets_the_least_recently_used)
{
    struct tail_cache c;
    uint8_t id[16] = {0};

    tail_cache_init(&c, budget, 3);
    put(&c, 1);
    put(&c, 2);
    put(&c, 3);
    ck_assert(hit(&c, 1)); /* now 2 is the oldest */
    put(&c, 4);
    ck_assert(!hit(&c, 2));
    ck_assert(hit(&c, 1) && hit(&c, 3) && hit(&c, 4));
    put(&c, 1); /* known already: nothing goes */
    ck_assert_uint_eq(c.n, 3);
    ck_assert(hit(&c, 3) && hit(&c, 4));
    /* only the last 8 bytes count */
    memset(id + 8, 0x55, 8);
    tail_cache_put(&c, id);
    memset(id, 0x99, 8);
    ck_assert(tail_cache_hit(&c, id));
    tail_cache_fini(&c);
}
END_TEST

START_TEST(cache_against_a_model)
{
    enum { MAX = 1000, KEYS = 3000 };
    static uint64_t used_at[KEYS];
    struct tail_cache c;
    uint64_t now = 0;

    tail_cache_init(&c, budget, MAX);
    for (int step = 0; step < 50000; step++) {
        uint32_t k = (uint32_t)(random_next(&rnd) % KEYS);

        if (random_next(&rnd) % 2) {
            bool known = used_at[k] != 0;

            ck_assert_int_eq(hit(&c, k), known);
            if (known)
                used_at[k] = ++now;
            continue;
        }
        uint32_t n = 0, oldest = 0;
        for (uint32_t i = 0; i < KEYS && !used_at[k]; i++) {
            n += used_at[i] != 0;
            if (used_at[i] && (!used_at[oldest] || used_at[i] < used_at[oldest]))
                oldest = i;
        }
        if (n == MAX)
            used_at[oldest] = 0;
        used_at[k] = ++now;
        put(&c, k);
    }
    ck_assert_uint_eq(c.n, MAX);
    ck_assert_uint_eq(budget_used(budget), tail_cache_bytes_for(MAX));
    tail_cache_fini(&c);
}
END_TEST

START_TEST(cache_lives_with_what_the_budget_gives)
{
    struct tail_cache c;

    budget_set_limits(budget, 30000, 30000);
    tail_cache_init(&c, budget, 1000000);
    for (uint32_t i = 0; i < 5000; i++)
        put(&c, i);
    ck_assert(hit(&c, 4999) && hit(&c, 4900));
    ck_assert(!hit(&c, 0));
    ck_assert_uint_le(budget_used(budget), 30000);
    tail_cache_fini(&c);
    budget_set_limits(budget, 10, 10);
    tail_cache_init(&c, budget, 10);
    put(&c, 1);
    ck_assert(!hit(&c, 1));
    tail_cache_fini(&c);
}
END_TEST

/* ---- interning ---- */

static unsigned judged;

static void judge(void *ctx, struct slice resource, uint64_t *facts)
{
    (void)ctx;
    judged++;
    facts[0] = resource.len;
}

static struct payload *two_groups(struct test_host *h, const char *service_a, const char *service_b)
{
    const struct test_span span[] = {{.trace = 1, .id = 1}};
    struct test_group g[] = {
        {.resource = {TH_STR("service.name", service_a)}, .resource_schema = "u", .scope = "s", .spans = span, .n_spans = 1},
        {.resource = {TH_STR("service.name", service_b)}, .scope = "s", .spans = span, .n_spans = 1}};

    return th_payload_groups(h, g, 2);
}

START_TEST(equal_bytes_are_stored_once)
{
    struct test_host *h = th_new();
    struct intern in;
    struct payload *p = two_groups(h, "a", "b"), *q = two_groups(h, "a", "a");

    judged = 0;
    intern_init(&in, budget, 1, judge, NULL);
    uint32_t a = intern_scope(&in, p, 0), b = intern_scope(&in, p, 1);
    ck_assert_uint_ne(a, b);
    ck_assert_uint_eq(judged, 2);
    ck_assert_uint_eq(intern_scope(&in, q, 0), a);
    uint32_t c = intern_scope(&in, q, 1); /* same resource bytes, no schema URL */
    ck_assert(c != a && c != b);
    ck_assert_uint_eq(judged, 3);
    uint32_t r = intern_at(&in, a)->resource;
    ck_assert(slice_eq(intern_body(&in, r), p->resources[0].resource));
    ck_assert(slice_eq(intern_url(&in, r), slice_str("u")));
    ck_assert(slice_eq(intern_body(&in, a), p->scopes[0].scope));
    ck_assert_uint_eq(intern_at(&in, r)->facts[0], p->resources[0].resource.len);
    /* unused, but still known until it is trimmed */
    intern_unref(&in, a);
    intern_unref(&in, a);
    intern_trim(&in);
    ck_assert_uint_eq(in.n_live, 4);
    a = intern_scope(&in, p, 0);
    ck_assert_uint_eq(judged, 4);
    intern_unref(&in, a);
    ck_assert_uint_eq(intern_scope(&in, p, 0), a);
    ck_assert_uint_eq(judged, 4);
    intern_fini(&in);
    payload_unref(&p);
    payload_unref(&q);
    th_free(&h);
}
END_TEST

START_TEST(interning_is_bounded)
{
    struct test_host *h = th_new();
    struct intern in;
    uint32_t held = 0;

    intern_init(&in, budget, 0, judge, NULL);
    for (int i = 0; i < 5000; i++) { /* names nobody keeps */
        char name[16];

        snprintf(name, sizeof(name), "%d", i);
        struct payload *p = two_groups(h, name, "x");
        for (uint32_t s = 0; s < 2; s++)
            intern_unref(&in, intern_scope(&in, p, s));
        payload_unref(&p);
    }
    ck_assert_uint_le(in.n_live, 2100);
    intern_trim(&in);
    ck_assert_uint_eq(in.n_live, 0);
    budget_set_limits(budget, 20000, 20000);
    for (int i = 0; i < 5000; i++) { /* names somebody keeps: until the budget says no */
        char name[16];

        snprintf(name, sizeof(name), "k%d", i);
        struct payload *p = two_groups(h, name, "x");
        uint32_t s = intern_scope(&in, p, 0);
        payload_unref(&p);
        if (!s)
            break;
        held++;
    }
    ck_assert_uint_gt(held, 20);
    ck_assert_uint_lt(held, 1000);
    ck_assert_uint_le(budget_used(budget), 20000);
    intern_fini(&in);
    th_free(&h);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_table");
    TCase *t = tcase_create("parts");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, table_against_a_model);
    tcase_add_test(t, table_gives_chunks_back);
    tcase_add_test(t, table_respects_the_budget);
    tcase_add_loop_test(t, ids_that_share_a_half_do_not_collide, 0, 2);
    tcase_add_test(t, ids_made_to_collide_do_so_under_one_key_only);
    tcase_add_test(t, a_clock_that_jumps_is_made_up_for_within_bounds);
    tcase_add_test(t, wheel_decides_when_the_collector_does);
    tcase_add_test(t, wheel_against_a_model);
    tcase_add_test(t, cache_forgets_the_least_recently_used);
    tcase_add_test(t, cache_against_a_model);
    tcase_add_test(t, cache_lives_with_what_the_budget_gives);
    tcase_add_test(t, equal_bytes_are_stored_once);
    tcase_add_test(t, interning_is_bounded);
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
