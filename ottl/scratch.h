/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for one evaluation: handed out in order, taken back all at once. One thread. */
#ifndef TAILRACE_OTTL_SCRATCH_H
#define TAILRACE_OTTL_SCRATCH_H

#include <stddef.h>

#include "platform/check.h"

struct scratch_more;
struct scratch {
    char *block; /* kept from one evaluation to the next */
    size_t cap, used;
    struct scratch_more *more; /* what did not fit; freed at the reset */
    size_t more_bytes, most_bytes;
};

void scratch_init(struct scratch *s, size_t keep_bytes, size_t most_bytes);
void scratch_free(struct scratch *s);
void *scratch_room(struct scratch *s, size_t n) MUST_USE; /* NULL: past most_bytes, or no memory */
void scratch_clear(struct scratch *s);                    /* the slow half of scratch_reset */

static inline void scratch_reset(struct scratch *s)
{
    s->used = 0;
    if (UNLIKELY(s->more != NULL))
        scratch_clear(s);
}

#endif
