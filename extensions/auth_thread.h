/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread for work that is slow on purpose: password hashes. Loops hand in jobs and get them back; the
 * queue is bounded, one job is at work at a time, so that guessing costs at most one CPU and stalls
 * nothing. The thread begins with the first job.
 *
 * Threads: submit and forget on the job's loop (or while it stands still), done on the job's loop.
 */
#ifndef TAILRACE_EXTENSIONS_AUTH_THREAD_H
#define TAILRACE_EXTENSIONS_AUTH_THREAD_H

#include <stdbool.h>

#include "platform/list.h"
#include "platform/loop.h"

struct auth_thread;

enum auth_job_state { JOB_QUEUED, JOB_RUNNING, JOB_POSTED };

struct auth_job { /* first in the caller's; malloc'ed */
    struct loop *loop;
    void (*work)(struct auth_job *j); /* on the thread: touches nothing but the job */
    void (*done)(struct auth_job *j); /* on the loop; frees it */
    void (*free)(struct auth_job *j); /* any thread: nobody wants it any more */

    struct list node;
    enum auth_job_state state;
    bool orphan;
};

struct auth_thread *auth_thread_new(unsigned max_jobs) MUST_USE;
/* No job is left but orphans. */
void auth_thread_free(struct auth_thread **t); /* fine on NULL */
/* False: the queue is full. */
bool auth_thread_submit(struct auth_thread *t, struct auth_job *j) MUST_USE;
/* Gone from the queue and freed (true), or done will not come, and it frees itself (true); false: it is
 * on its way to done, which the caller has to make harmless. */
bool auth_thread_forget(struct auth_thread *t, struct auth_job *j);

#endif
