/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for one evaluation. See scratch.h. One block is enough nearly always; what is larger gets
 * memory of its own for as long as it is needed. */
#include "ottl/scratch.h"

#include <stdlib.h>

#include "platform/mem.h"

#define ALIGN 8

struct scratch_more {
    struct scratch_more *next;
};

void scratch_init(struct scratch *s, size_t keep_bytes, size_t most_bytes)
{
    *s = (struct scratch){
        .block = mem_alloc(keep_bytes), .cap = keep_bytes, .most_bytes = most_bytes};
}

void scratch_clear(struct scratch *s)
{
    while (s->more) {
        struct scratch_more *m = s->more;

        s->more = m->next;
        free(m);
    }
    s->more_bytes = 0;
}

void scratch_free(struct scratch *s)
{
    scratch_clear(s);
    free(s->block);
    s->block = NULL;
}

void *scratch_room(struct scratch *s, size_t n)
{
    struct scratch_more *m;

    if (n > s->most_bytes)
        return NULL;
    n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (n <= s->cap - s->used) {
        s->used += n;
        return s->block + s->used - n;
    }
    if (n + sizeof(*m) > s->most_bytes - s->more_bytes)
        return NULL;
    m = mem_try(sizeof(*m) + n);
    if (!m)
        return NULL;
    m->next = s->more;
    s->more = m;
    s->more_bytes += n + sizeof(*m);
    return m + 1;
}
