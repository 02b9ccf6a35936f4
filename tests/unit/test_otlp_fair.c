/* SPDX-License-Identifier: Apache-2.0 */
/* Fair shares: turns of the loop, the part of memory, and who is refused first when room is short. */
#include <check.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "receivers/otlp_fair.h"
#include "tests/lib/test_host.h"

#define MIB (1ull << 20)

struct job {
    struct list turn;
    struct client *of;
    uint64_t bytes;
    int number;
};

struct client {
    struct fair_share share;
    unsigned rested;
};

static struct test_host *t;
static struct fair_all all;
static struct fair_settings set;
static struct fair f, g; /* two ports */
static struct client a, b, c;
static int ran[64];
static size_t n_ran;

static void run(struct list *turn)
{
    struct job *j = CONTAINER_OF(turn, struct job, turn);

    ran[n_ran++] = j->number;
    fair_spend(&f, &j->of->share, j->bytes);
}

static void rested(struct fair_share *s)
{
    CONTAINER_OF(s, struct client, share)->rested++;
}

static void setup(void)
{
    struct client *const clients[] = {&a, &b, &c};

    t = th_new();
    th_budget(t, 100 * MIB, 120 * MIB);
    memset(&all, 0, sizeof(all));
    set.max_connection_percentage = 25;
    n_ran = 0;
    fair_init(&f, &t->host, &all, &set, run);
    fair_init(&g, &t->host, &all, &set, run);
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        memset(clients[i], 0, sizeof(*clients[i]));
        fair_join(&clients[i]->share, rested);
    }
}

static void teardown(void)
{
    fair_leave(&f, &a.share);
    fair_leave(&f, &b.share);
    fair_leave(&g, &c.share);
    fair_close(&f);
    fair_close(&g);
    ck_assert_uint_eq(atomic_load(&all.used_bytes), 0);
    ck_assert_uint_eq(atomic_load(&all.n_active), 0);
    th_free(&t);
}

/* a and b on one port, c on the other. */
static void tick(void)
{
    fair_tick_begin(&f);
    fair_tick_share(&f, &a.share);
    fair_tick_share(&f, &b.share);
    fair_tick_end(&f);
    fair_tick_begin(&g);
    fair_tick_share(&g, &c.share);
    fair_tick_end(&g);
}

static bool admits(struct fair *port, struct client *who, uint64_t n, enum room room)
{
    return fair_admit(port, &who->share, n, room);
}

static void everybody_sends(void)
{
    ck_assert(admits(&f, &a, 1, ROOM_YES));
    ck_assert(admits(&f, &b, 1, ROOM_YES));
    ck_assert(admits(&g, &c, 1, ROOM_YES));
    tick();
    ck_assert_uint_eq(atomic_load(&all.n_active), 3);
}

/* ---- turns ---- */

static bool both_rested(void *ctx)
{
    (void)ctx;
    return a.rested && b.rested;
}

static void wait_turn(struct job *j, struct client *who, uint64_t bytes, int number)
{
    *j = (struct job){.of = who, .bytes = bytes, .number = number};
    list_add_tail(&who->share.runs, &j->turn);
}

START_TEST(within_a_turn_nobody_rests)
{
    fair_spend(&f, &b.share, MIB - 1);
    fair_spend(&f, &a.share, MIB);
    ck_assert(a.share.is_resting);
    ck_assert(!b.share.is_resting);
    ck_assert(th_run_until(t, both_rested, (b.rested = 1, NULL)));
    ck_assert(!a.share.is_resting);
    ck_assert_uint_eq(a.rested, 1);
}
END_TEST

/* Who has much waiting does not keep the other's few from their turn; debts are paid in rests. */
START_TEST(turns_alternate)
{
    struct job jobs[8];

    fair_spend(&f, &a.share, MIB);
    fair_spend(&f, &b.share, MIB);
    for (int i = 0; i < 6; i++)
        wait_turn(&jobs[i], &a, 2 * MIB, i);
    wait_turn(&jobs[6], &b, 1000, 100);
    wait_turn(&jobs[7], &b, 1000, 101);
    ck_assert(th_run_until(t, both_rested, NULL));
    ck_assert_uint_eq(n_ran, 8);
    ck_assert_int_eq(ran[0], 0);
    ck_assert_int_eq(ran[1], 100);
    ck_assert_int_eq(ran[2], 101);
    for (int i = 1; i < 6; i++)
        ck_assert_int_eq(ran[2 + i], i);
    ck_assert_uint_eq(b.rested, 1);
}
END_TEST

START_TEST(a_new_turn_begins_with_nothing_spent)
{
    for (int i = 0; i < 5; i++) {
        fair_spend(&f, &a.share, MIB - 1);
        ck_assert(!a.share.is_resting);
        th_turn(t);
    }
}
END_TEST

START_TEST(a_connection_may_end_while_it_rests)
{
    fair_spend(&f, &a.share, 5 * MIB);
    fair_leave(&f, &a.share);
    th_turn(t);
    th_turn(t);
    ck_assert_uint_eq(a.rested, 0);
    fair_join(&a.share, rested);
    a.share.is_resting = false;
}
END_TEST

/* ---- memory ---- */

START_TEST(one_connection_alone_may_take_all)
{
    a.share.in_flight_bytes = 90 * MIB;
    tick();
    ck_assert(admits(&f, &a, 20 * MIB, ROOM_TIGHT));
    tick();
    ck_assert(admits(&f, &a, 20 * MIB, ROOM_TIGHT));
    a.share.in_flight_bytes = 0;
    a.share.fresh_ticks = 0;
    tick();
}
END_TEST

START_TEST(beside_others_a_part_of_the_soft_limit)
{
    everybody_sends();
    a.share.in_flight_bytes = 20 * MIB;
    ck_assert(admits(&f, &a, 5 * MIB, ROOM_YES));
    ck_assert(!admits(&f, &a, 5 * MIB + 1, ROOM_YES));
    ck_assert(admits(&f, &b, 90 * MIB, ROOM_YES)); /* the first one always fits */
    a.share.in_flight_bytes = 0;
}
END_TEST

/* ---- goodput ---- */

START_TEST(heavy_senders_are_refused_first_while_room_is_short)
{
    everybody_sends();
    a.share.recent_bytes = 30 * MIB;
    b.share.recent_bytes = MIB;
    c.share.recent_bytes = MIB;
    tick();
    ck_assert(admits(&f, &a, 1, ROOM_TIGHT)); /* nobody was refused */
    fair_refused(&g);
    ck_assert(!admits(&f, &a, 1, ROOM_TIGHT));
    ck_assert(admits(&f, &b, 1, ROOM_TIGHT));
    ck_assert(admits(&g, &c, 1, ROOM_TIGHT));
    atomic_fetch_add(&all.contended_ns, 1000); /* by a worker whose clock is ahead */
    ck_assert(!admits(&f, &a, 1, ROOM_TIGHT));
    ck_assert(admits(&f, &a, 1, ROOM_YES)); /* there is room */
    budget_force(t->host.budget, MEM_BODY, 76 * MIB);
    ck_assert(!admits(&f, &a, 1, ROOM_YES)); /* memory is what is short */
    ck_assert(admits(&f, &b, 1, ROOM_YES));
    budget_release(t->host.budget, MEM_BODY, 76 * MIB);
}
END_TEST

START_TEST(what_was_taken_fades)
{
    everybody_sends();
    a.share.recent_bytes = 30 * MIB;
    b.share.recent_bytes = MIB;
    c.share.recent_bytes = MIB;
    fair_refused(&f);
    tick();
    ck_assert(!admits(&f, &a, 1, ROOM_TIGHT));
    for (int i = 0; i < 60; i++) {
        b.share.recent_bytes = c.share.recent_bytes = MIB; /* they go on sending */
        b.share.fresh_ticks = c.share.fresh_ticks = 8;
        tick();
    }
    ck_assert_uint_lt(a.share.recent_bytes, MIB);
    ck_assert(admits(&f, &a, 1, ROOM_TIGHT));
}
END_TEST

/* Others only asked, and were refused: the sums are empty, and one small request is more than all of it. */
START_TEST(nobody_is_heavy_for_a_little)
{
    everybody_sends();
    tick();
    fair_refused(&f);
    a.share.recent_bytes = 2000; /* came after the tick */
    ck_assert(admits(&f, &a, 1000, ROOM_TIGHT));
    a.share.recent_bytes = 200000;
    ck_assert(!admits(&f, &a, 1000, ROOM_TIGHT));
}
END_TEST

/* Clients that were refused have had nothing, and count nevertheless. */
START_TEST(the_mean_counts_who_tries)
{
    a.share.recent_bytes = 9 * MIB;
    fair_refused(&f);
    everybody_sends();
    ck_assert(!admits(&f, &a, 1, ROOM_TIGHT));
    ck_assert(admits(&f, &b, 1, ROOM_TIGHT));
    for (int i = 0; i < 10; i++) {
        a.share.fresh_ticks = 8;
        tick();
    }
    ck_assert_uint_eq(atomic_load(&all.n_active), 1); /* the others have gone away */
    ck_assert(admits(&f, &a, 1, ROOM_TIGHT));
}
END_TEST

/* Beside very many that come and go, one that stays is not heavy for a little. */
START_TEST(a_flood_of_connections)
{
    struct client once;

    everybody_sends();
    atomic_fetch_add(&all.n_active, 1000);
    memset(&once, 0, sizeof(once));
    fair_join(&once.share, rested);
    once.share.recent_bytes = 64 * MIB;
    fair_leave(&f, &once.share);
    a.share.recent_bytes = MIB / 2;
    fair_refused(&f);
    tick();
    ck_assert(admits(&f, &a, 1, ROOM_TIGHT));
    a.share.recent_bytes = 2 * MIB;
    ck_assert(!admits(&f, &a, 1, ROOM_TIGHT));
    atomic_fetch_sub(&all.n_active, 1000);
}
END_TEST

START_TEST(switched_off_it_asks_nothing)
{
    struct fair off = {0};

    fair_refused(&off);
    fair_spend(&off, &a.share, 100 * MIB);
    ck_assert(!a.share.is_resting);
    a.share.in_flight_bytes = 99 * MIB;
    ck_assert(fair_admit(&off, &a.share, 99 * MIB, ROOM_TIGHT));
    a.share.in_flight_bytes = 0;
    fair_close(&off);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("otlp fair");
    TCase *tc = tcase_create("fair");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, within_a_turn_nobody_rests);
    tcase_add_test(tc, turns_alternate);
    tcase_add_test(tc, a_new_turn_begins_with_nothing_spent);
    tcase_add_test(tc, a_connection_may_end_while_it_rests);
    tcase_add_test(tc, one_connection_alone_may_take_all);
    tcase_add_test(tc, beside_others_a_part_of_the_soft_limit);
    tcase_add_test(tc, heavy_senders_are_refused_first_while_room_is_short);
    tcase_add_test(tc, what_was_taken_fades);
    tcase_add_test(tc, nobody_is_heavy_for_a_little);
    tcase_add_test(tc, the_mean_counts_who_tries);
    tcase_add_test(tc, a_flood_of_connections);
    tcase_add_test(tc, switched_off_it_asks_nothing);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
