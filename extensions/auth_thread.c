/* SPDX-License-Identifier: Apache-2.0 */
/* See auth_thread.h. One mutex guards the queue and the states of jobs; work is done without it. */
#include "extensions/auth_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "platform/mem.h"

struct auth_thread {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue;
    unsigned n_queued, max_jobs;
    bool started, stop;
};

static void on_done(void *ctx)
{
    struct auth_job *j = ctx;

    j->done(j);
}

/* Under the lock. */
static void hand_back(struct auth_job *j)
{
    if (j->orphan) {
        j->free(j);
        return;
    }
    j->state = JOB_POSTED;
    loop_post(j->loop, on_done, j);
}

static void *run(void *arg)
{
    struct auth_thread *t = arg;

    pthread_setname_np(pthread_self(), "auth");
    pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        if (!t->n_queued) {
            pthread_cond_wait(&t->wake, &t->lock);
            continue;
        }
        struct auth_job *j = CONTAINER_OF(t->queue.next, struct auth_job, node);
        list_del(&j->node);
        t->n_queued--;
        j->state = JOB_RUNNING;
        pthread_mutex_unlock(&t->lock);
        j->work(j);
        pthread_mutex_lock(&t->lock);
        hand_back(j);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

struct auth_thread *auth_thread_new(unsigned max_jobs)
{
    struct auth_thread *t = mem_alloc(sizeof(*t));

    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    list_init(&t->queue);
    t->max_jobs = max_jobs;
    return t;
}

void auth_thread_free(struct auth_thread **tp)
{
    struct auth_thread *t = *tp;

    *tp = NULL;
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    if (t->started)
        CHECK(pthread_join(t->thread, NULL) == 0);
    CHECK(t->n_queued == 0);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* Signals are the main thread's. */
static bool start(struct auth_thread *t)
{
    sigset_t all, before;

    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    t->started = pthread_create(&t->thread, NULL, run, t) == 0;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return t->started;
}

bool auth_thread_submit(struct auth_thread *t, struct auth_job *j)
{
    bool room;

    pthread_mutex_lock(&t->lock);
    room = t->n_queued < t->max_jobs && (t->started || start(t));
    if (room) {
        j->state = JOB_QUEUED;
        list_add_tail(&t->queue, &j->node);
        t->n_queued++;
        pthread_cond_signal(&t->wake);
    }
    pthread_mutex_unlock(&t->lock);
    return room;
}

bool auth_thread_forget(struct auth_thread *t, struct auth_job *j)
{
    bool ours = true;

    pthread_mutex_lock(&t->lock);
    if (j->state == JOB_QUEUED) {
        list_del(&j->node);
        t->n_queued--;
        j->free(j);
    } else if (j->state == JOB_RUNNING) {
        j->orphan = true;
    } else {
        ours = false;
    }
    pthread_mutex_unlock(&t->lock);
    return ours;
}
