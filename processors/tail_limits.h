/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What limiting policies have left to spend: token buckets (rate_limiting, bytes_limiting) and the
 * budgets of composites. One set for all workers of a processor: a limit holds for the process,
 * whatever the number of workers.
 *
 * Threads: any; one lock, held for a few instructions when a limiting policy judges a trace.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_LIMITS_H
#define TAILRACE_PROCESSORS_TAIL_LIMITS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/check.h"

struct tail_policies;

struct tail_bucket {
    double per_second;
    int64_t burst;
    double tokens;
    uint64_t last_ns; /* when tokens were as stated */
};

struct tail_window {
    uint64_t second; /* of the wall clock */
    int64_t *used;   /* spans granted in it, by sub-policy */
    uint32_t n;
};

struct tail_limits {
    pthread_mutex_t lock;
    struct tail_bucket *buckets;  /* by limiter of the policies */
    uint32_t n_buckets;
    struct tail_window *windows;  /* by composite */
    uint32_t n_windows;
    uint64_t now_ns; /* tests: stands for both clocks; 0: the clocks */
};

struct tail_limits *tail_limits_new(const struct tail_policies *p) MUST_USE;
void tail_limits_free(struct tail_limits **l);

/* Takes n from a bucket if it has as many. */
bool tail_limits_take(struct tail_limits *l, uint32_t bucket, int64_t n);
/* Grants n spans of this second's share to a composite's sub-policy, unless that is more than either bound. */
bool tail_limits_grant(struct tail_limits *l, uint32_t composite, uint32_t sub, int64_t n, int64_t share, int64_t max);

#endif
