/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: a plan, run until a signal ends it. Main thread. */
#ifndef TAILRACE_CMD_DAEMON_H
#define TAILRACE_CMD_DAEMON_H

#include "pipeline/plan.h"

#define DAEMON_SHUTDOWN_TIMEOUT_MS 30000

struct config_args;

struct daemon_options {
    const struct config_args *config; /* where the plan came from and comes from again; NULL: no reload */
    bool watch;                       /* reload when its files change */
    unsigned workers;             /* 0: what the cgroup quota and affinity allow */
    char *const *argv; /* the process's, for a successor; NULL: there will be none */
    uint64_t shutdown_timeout_ms; /* 0: DAEMON_SHUTDOWN_TIMEOUT_MS */
};

/* The exit status: 0 after a clean stop; 1 when something could not be started (one line on stderr
 * says what), when a component did not stop, or when a second signal cut the stop short. The plan
 * must be checked and outlive the call. */
int daemon_run(const struct plan *plan, const struct daemon_options *o);

#endif
