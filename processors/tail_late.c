/* SPDX-License-Identifier: Apache-2.0 */
/* Late items: see tail_late.h. */
#include "processors/tail_late.h"

#include <stdlib.h>

enum { FIRST_RUNS = 64 };

void tail_late_init(struct tail_late *l, struct budget *b)
{
    *l = (struct tail_late){.budget = b};
}

void tail_late_fini(struct tail_late *l)
{
    if (l->cap)
        budget_release(l->budget, MEM_TAIL, l->cap * sizeof(*l->runs));
    free(l->runs);
    *l = (struct tail_late){.budget = l->budget};
}

/* Runs of one item are often neighbours. */
static bool is_last(const struct tail_late *l, const struct late_run *run)
{
    return l->n && l->runs[l->n - 1].item == run->item && l->runs[l->n - 1].trace == run->trace;
}

void tail_late_add(struct tail_late *l, struct late_run run)
{
    if (is_last(l, &run))
        return;
    if (l->n == l->cap) {
        uint32_t more = l->cap ? l->cap : FIRST_RUNS;

        budget_force(l->budget, MEM_TAIL, more * sizeof(*l->runs));
        l->cap += more;
        l->runs = mem_grow(l->runs, l->cap * sizeof(*l->runs));
    }
    l->runs[l->n++] = run;
}

static int by_item(const void *ap, const void *bp)
{
    const struct late_run *a = ap, *b = bp;

    if (a->item != b->item)
        return a->item < b->item ? -1 : 1;
    return a->trace < b->trace ? -1 : a->trace > b->trace;
}

void tail_late_count(struct tail_late *l, struct series *ages)
{
    if (l->n > 1)
        qsort(l->runs, l->n, sizeof(*l->runs), by_item);
    for (uint32_t i = 0; i < l->n; i++)
        if (i == 0 || by_item(&l->runs[i], &l->runs[i - 1]) != 0)
            series_observe(ages, l->runs[i].age_s);
    l->n = 0;
}
