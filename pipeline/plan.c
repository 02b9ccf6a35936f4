/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a plan: everything in it lives in its arena. Main thread. */
#include "pipeline/plan.h"

#include <stdlib.h>

void plan_free(struct plan **p)
{
    if (!*p)
        return;
    arena_free(&(*p)->arena);
    free(*p);
    *p = NULL;
}
