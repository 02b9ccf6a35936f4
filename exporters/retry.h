/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When to try again: exponential backoff with jitter, a server's hint as the lower bound, an end.
 * Pure arithmetic over the clock values it is given.
 */
#ifndef TAILRACE_EXPORTERS_RETRY_H
#define TAILRACE_EXPORTERS_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "component/key.h"

/* The section retry_on_failure. */
struct retry_settings {
    int64_t initial_interval_ns;
    double randomization_factor;
    double multiplier;
    int64_t max_interval_ns;
    int64_t max_elapsed_time_ns; /* 0: for ever */
};

extern const struct key retry_keys[];
/* Rules between the keys; path: where the section stands ("retry_on_failure"). */
void retry_check(const struct retry_settings *s, const char *path, struct check *c);

struct retry {
    uint64_t start_ns;
    double interval_ns; /* the next base */
};

void retry_begin(struct retry *r, const struct retry_settings *s, uint64_t now_ns);

/* How long to wait before the next attempt, or -1: no more attempts. random01: a number in [0, 1).
 * hint_ns: what the server asked for, 0 for nothing. */
int64_t retry_next(struct retry *r, const struct retry_settings *s, uint64_t now_ns, uint64_t hint_ns,
                   double random01);

#endif
