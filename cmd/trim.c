/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Problem: the allocator keeps what small objects leave behind. After thousands of connections the process
 * stays as large as it was with them, for good. Design: compare now and then what the process takes with what
 * the budget says is used; when the difference has grown by STEP_BYTES since the last look back, tell the
 * allocator to let go. What a trim leaves is the new measure, so one that was of no use is not repeated.
 * Limits: holes within a page stay. A trim takes some milliseconds, in which a worker that allocates may have
 * to wait.
 * Threads: main.
 */
#include "cmd/trim.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOK_MS = 2000, STEP_BYTES = 16 << 20 };

struct trimmer {
    struct budget *budget;
    struct timer *timer;
    uint64_t least_bytes; /* the smallest difference since the last trim */
};

/* Memory of our own: pages of files and of libraries do not count. 0: cannot be told. */
static uint64_t own_bytes(void)
{
    unsigned long size, resident = 0, shared = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu %lu", &size, &resident, &shared) != 3 || resident < shared)
        resident = shared = 0;
    fclose(f);
    return (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t slack(const struct trimmer *t)
{
    uint64_t own = own_bytes(), used = budget_used(t->budget);

    return own > used ? own - used : 0;
}

static void look(void *ctx)
{
    struct trimmer *t = ctx;
    uint64_t now = slack(t);

    if (now >= t->least_bytes + STEP_BYTES) {
        mem_trim();
        t->least_bytes = slack(t);
    } else if (now < t->least_bytes) {
        t->least_bytes = now;
    }
}

struct trimmer *trimmer_new(struct loop *l, struct budget *b)
{
    struct trimmer *t = mem_alloc(sizeof(*t));

    t->budget = b;
    t->least_bytes = slack(t);
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
