/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Problem: the allocator keeps what small objects leave behind. After thousands of connections the process
 * stays as large as it was with them, for good. Design: look at the budget now and then; when what is used has
 * fallen to less than half of its peak, tell the allocator to let go, once per peak.
 * Limits: holes within a page stay. A trim of 64 MiB takes some milliseconds, in which a worker that allocates
 * may have to wait; so never for less than LEAST_BYTES.
 * Threads: main.
 */
#include "cmd/trim.h"

#include <stdlib.h>

enum { LOOK_MS = 2000, LEAST_BYTES = 8 << 20 };

struct trimmer {
    struct budget *budget;
    struct timer *timer;
    uint64_t peak_bytes; /* since the last trim */
};

static void look(void *ctx)
{
    struct trimmer *t = ctx;
    uint64_t used = budget_used(t->budget);

    if (used > t->peak_bytes)
        t->peak_bytes = used;
    if (used > t->peak_bytes / 2 || t->peak_bytes - used < LEAST_BYTES)
        return;
    mem_trim();
    t->peak_bytes = used;
}

struct trimmer *trimmer_new(struct loop *l, struct budget *b)
{
    struct trimmer *t = mem_alloc(sizeof(*t));

    t->budget = b;
    t->timer = timer_new(l, __func__, look, t);
    timer_start(t->timer, LOOK_MS, LOOK_MS);
    return t;
}

void trimmer_free(struct trimmer **tp)
{
    if (*tp)
        timer_free(&(*tp)->timer);
    free(*tp);
    *tp = NULL;
}
