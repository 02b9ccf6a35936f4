/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: timers, posts, deferred work, rings, stalls, and the report of handles left open. */
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/loop.h"

struct fixture {
    struct loop *loop;
    struct timer *timer;
    struct deferred d1, d2;
    unsigned fired, order[8], n_order;
    uint64_t stall_ms;
    const char *stall_site;
};

static void note(struct fixture *f, unsigned what)
{
    ck_assert_uint_lt(f->n_order, 8);
    f->order[f->n_order++] = what;
}

static void stop(void *ctx)
{
    loop_stop(((struct fixture *)ctx)->loop);
}

static void fire_three(void *ctx)
{
    struct fixture *f = (struct fixture *)ctx;

    ck_assert(loop_now_ns(f->loop) <= clock_mono_ns());
    if (++f->fired == 3) {
        timer_free(&f->timer); /* inside its own callback */
        loop_post(f->loop, stop, f);
    }
}

START_TEST(timer_repeats_and_dies_in_its_callback)
{
    struct fixture f = {.loop = loop_new("t")};
    uint64_t began = clock_mono_ns();

    f.timer = timer_new(f.loop, __func__, fire_three, &f);
    ck_assert(!timer_active(f.timer));
    timer_start(f.timer, 5, 1);
    ck_assert(timer_active(f.timer));
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 3);
    ck_assert_ptr_null(f.timer);
    ck_assert(clock_mono_ns() - began >= 3 * NS_PER_MS);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
    ck_assert_ptr_null(f.loop);
}
END_TEST

static void never(void *ctx)
{
    (void)ctx;
    ck_abort_msg("stopped, freed or undeferred work ran");
}

START_TEST(stopped_timer_stays_silent)
{
    struct fixture f = {.loop = loop_new("t")};
    struct timer *freed = timer_new(f.loop, __func__, never, NULL), *stopped;

    stopped = timer_new(f.loop, __func__, never, NULL);
    timer_start(freed, 0, 0);
    timer_start(stopped, 0, 0);
    timer_free(&freed);
    timer_stop(stopped);
    timer_free(&freed); /* NULL by now */
    f.timer = timer_new(f.loop, __func__, stop, &f);
    timer_start(f.timer, 5, 0);
    loop_run(f.loop);
    timer_free(&f.timer);
    timer_free(&stopped);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

static void deferred_one(void *ctx)
{
    struct fixture *f = (struct fixture *)ctx;

    note(f, 1);
    loop_defer(f->loop, &f->d2);
}

static void deferred_two(void *ctx)
{
    struct fixture *f = (struct fixture *)ctx;

    note(f, 2);
    loop_stop(f->loop);
}

static void defers(void *ctx)
{
    struct fixture *f = (struct fixture *)ctx;

    note(f, 0);
    loop_defer(f->loop, &f->d1);
    loop_defer(f->loop, &f->d1); /* once */
}

START_TEST(deferred_runs_before_the_loop_waits)
{
    struct fixture f = {.loop = loop_new("t")};

    f.d1 = (struct deferred){.fn = deferred_one, .ctx = &f};
    f.d2 = (struct deferred){.fn = deferred_two, .ctx = &f};
    loop_post(f.loop, defers, &f);
    loop_run(f.loop); /* would hang if d2 waited for an event */
    ck_assert_uint_eq(f.n_order, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(f.order[i], i);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

START_TEST(undefer_takes_out_any_of_them)
{
    struct fixture f = {.loop = loop_new("t")};
    struct deferred d[3];

    for (int i = 0; i < 3; i++)
        d[i] = (struct deferred){.fn = never};
    f.d1 = (struct deferred){.fn = deferred_two, .ctx = &f};
    loop_defer(f.loop, &d[0]);
    loop_defer(f.loop, &d[1]);
    loop_defer(f.loop, &f.d1);
    loop_defer(f.loop, &d[2]);
    for (int i = 2; i >= 0; i--)
        loop_undefer(f.loop, &d[i]);
    loop_undefer(f.loop, &d[0]); /* not waiting: nothing */
    loop_run(f.loop);
    ck_assert_uint_eq(f.n_order, 1);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

static void again(void *ctx)
{
    struct fixture *f = (struct fixture *)ctx;

    f->fired++;
    loop_defer(f->loop, &f->d1);
}

START_TEST(work_that_defers_itself_does_not_starve_timers)
{
    struct fixture f = {.loop = loop_new("t")};

    f.d1 = (struct deferred){.fn = again, .ctx = &f};
    f.timer = timer_new(f.loop, __func__, stop, &f);
    timer_start(f.timer, 10, 0);
    loop_defer(f.loop, &f.d1);
    loop_run(f.loop);
    ck_assert_uint_gt(f.fired, 8);
    loop_undefer(f.loop, &f.d1);
    timer_free(&f.timer);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

static void at_once_again(void *ctx)
{
    struct fixture *f = (struct fixture *)ctx;

    ck_assert_uint_lt(f->fired, 1000);
    if (f->fired++ == 0)
        loop_post(f->loop, stop, f);
    timer_start(f->timer, 0, 0);
    ck_assert(timer_active(f->timer));
    timer_stop(f->timer);
    ck_assert(!timer_active(f->timer));
    timer_start(f->timer, 0, 0);
}

START_TEST(a_timer_that_starts_itself_at_once_does_not_starve_posts)
{
    struct fixture f = {.loop = loop_new("t")};

    f.timer = timer_new(f.loop, __func__, at_once_again, &f);
    timer_start(f.timer, 0, 0);
    loop_run(f.loop);
    ck_assert_uint_ge(f.fired, 1);
    timer_free(&f.timer);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

enum { POSTERS = 4, POSTS = 2000 };

struct poster {
    struct fixture *f;
    struct item {
        struct poster *by;
        unsigned seq;
    } items[POSTS];
    unsigned seen;
};

static void take_post(void *ctx)
{
    struct item *it = (struct item *)ctx;

    ck_assert_uint_eq(it->seq, it->by->seen); /* in the order posted */
    it->by->seen++;
    if (++it->by->f->fired == POSTERS * POSTS)
        loop_stop(it->by->f->loop);
}

static void *post_all(void *arg)
{
    struct poster *p = (struct poster *)arg;

    for (unsigned i = 0; i < POSTS; i++) {
        p->items[i] = (struct item){p, i};
        loop_post(p->f->loop, take_post, &p->items[i]);
    }
    return NULL;
}

START_TEST(posts_of_many_threads_keep_their_order)
{
    struct fixture f = {.loop = loop_new("t")};
    struct poster *p = (struct poster *)calloc(POSTERS, sizeof(*p));
    pthread_t t[POSTERS];

    for (int i = 0; i < POSTERS; i++) {
        p[i].f = &f;
        ck_assert_int_eq(pthread_create(&t[i], NULL, post_all, &p[i]), 0);
    }
    loop_run(f.loop);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(t[i], NULL);
    ck_assert_uint_eq(f.fired, POSTERS * POSTS);
    free(p);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

START_TEST(posts_left_over_run_before_the_loop_goes)
{
    struct fixture f = {.loop = loop_new("t")};

    f.d1 = (struct deferred){.fn = deferred_two, .ctx = &f};
    loop_post(f.loop, defers, &f);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
    ck_assert_uint_eq(f.n_order, 2);
}
END_TEST

static void nothing(void *ctx)
{
    (void)ctx;
}

START_TEST(forgotten_timer_is_reported)
{
    struct loop *l = loop_new("t");
    struct timer *lost = timer_new(l, "the_owner", nothing, NULL);
    int fds[2];
    char text[512] = "";

    ck_assert_int_eq(pipe(fds), 0);
    fflush(stderr);
    ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
    ck_assert_uint_eq(loop_free(&l), 1);
    ck_assert_int_gt(read(fds[0], text, sizeof(text) - 1), 0);
    ck_assert_ptr_nonnull(strstr(text, "timer"));
    ck_assert_ptr_nonnull(strstr(text, "the_owner"));
    free(lost); /* its owner's mistake, not the loop's */
    close(fds[0]);
    close(fds[1]);
}
END_TEST

enum { MESSAGES = 20000 };

struct ring_test {
    struct loop *loop;
    struct ring *ring;
    uintptr_t seen;
};

static void take_message(void *ctx, void *msg)
{
    struct ring_test *t = (struct ring_test *)ctx;

    ck_assert_uint_eq((uintptr_t)msg, ++t->seen);
    if (t->seen == MESSAGES)
        loop_stop(t->loop);
}

static void *produce(void *arg)
{
    struct ring_test *t = (struct ring_test *)arg;

    for (uintptr_t i = 1; i <= MESSAGES; i++) {
        while (!ring_push(t->ring, (void *)i)) {
            ring_wake(t->ring);
            sched_yield();
        }
        if (i % 16 == 0)
            ring_wake(t->ring);
    }
    ring_wake(t->ring);
    return NULL;
}

START_TEST(ring_keeps_order_between_threads)
{
    struct ring_test t = {.loop = loop_new("consumer")};
    pthread_t thread;

    t.ring = ring_new(t.loop, 60, take_message, &t);
    ck_assert_int_eq(pthread_create(&thread, NULL, produce, &t), 0);
    loop_run(t.loop);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(t.seen, MESSAGES);
    ring_free(&t.ring);
    ring_free(&t.ring);
    ck_assert_uint_eq(loop_free(&t.loop), 0);
}
END_TEST

START_TEST(ring_says_when_it_is_full)
{
    struct ring_test t = {.loop = loop_new("consumer")};

    t.ring = ring_new(t.loop, 4, take_message, &t);
    for (uintptr_t i = 1; i <= 4; i++)
        ck_assert(ring_push(t.ring, (void *)i));
    ck_assert(!ring_push(t.ring, (void *)5));
    ck_assert_uint_eq(ring_drain(t.ring), 4);
    ck_assert_uint_eq(ring_drain(t.ring), 0);
    ck_assert(ring_push(t.ring, (void *)5));
    ck_assert_uint_eq(ring_drain(t.ring), 1);
    ring_free(&t.ring);
    ck_assert_uint_eq(loop_free(&t.loop), 0);
}
END_TEST

static void sleep_long(void *ctx)
{
    (void)ctx;
    nanosleep(&(struct timespec){.tv_nsec = 160 * 1000000}, NULL);
}

static void on_stall(void *ctx, const char *site, uint64_t ms)
{
    struct fixture *f = (struct fixture *)ctx;

    f->stall_site = site;
    f->stall_ms = ms;
    loop_stop(f->loop);
}

START_TEST(long_turn_is_counted_with_its_site)
{
    struct fixture f = {.loop = loop_new("t")};

    loop_on_stall(f.loop, on_stall, &f);
    f.timer = timer_new(f.loop, "sleeper", sleep_long, &f);
    timer_start(f.timer, 1, 0);
    loop_run(f.loop);
    ck_assert_uint_ge(loop_stalls(f.loop), 1);
    ck_assert_str_eq(f.stall_site, "sleeper");
    ck_assert_uint_ge(f.stall_ms, 100);
    timer_free(&f.timer);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

static void on_signal(void *ctx, int signum)
{
    struct fixture *f = (struct fixture *)ctx;

    f->fired = (unsigned)signum;
    loop_stop(f->loop);
}

static void raise_usr1(void *ctx)
{
    (void)ctx;
    raise(SIGUSR1);
}

START_TEST(signals_arrive_on_the_loop)
{
    struct fixture f = {.loop = loop_new("t")};

    loop_on_signal(f.loop, SIGUSR1, on_signal, &f);
    loop_on_signal(f.loop, SIGUSR2, on_signal, &f);
    loop_post(f.loop, raise_usr1, NULL);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, SIGUSR1);
    ck_assert_uint_eq(loop_free(&f.loop), 0);
}
END_TEST

START_TEST(there_is_at_least_one_cpu)
{
    ck_assert_uint_ge(cpu_count(), 1);
    ck_assert_uint_le(cpu_count(), (unsigned)sysconf(_SC_NPROCESSORS_CONF));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("platform loop");
    TCase *t = tcase_create("loop");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, timer_repeats_and_dies_in_its_callback);
    tcase_add_test(t, stopped_timer_stays_silent);
    tcase_add_test(t, deferred_runs_before_the_loop_waits);
    tcase_add_test(t, undefer_takes_out_any_of_them);
    tcase_add_test(t, work_that_defers_itself_does_not_starve_timers);
    tcase_add_test(t, a_timer_that_starts_itself_at_once_does_not_starve_posts);
    tcase_add_test(t, posts_of_many_threads_keep_their_order);
    tcase_add_test(t, posts_left_over_run_before_the_loop_goes);
    tcase_add_test(t, forgotten_timer_is_reported);
    tcase_add_test(t, ring_keeps_order_between_threads);
    tcase_add_test(t, ring_says_when_it_is_full);
    tcase_add_test(t, long_turn_is_counted_with_its_site);
    tcase_add_test(t, signals_arrive_on_the_loop);
    tcase_add_test(t, there_is_at_least_one_cpu);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
