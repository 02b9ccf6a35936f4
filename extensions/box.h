/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A box: a value that main replaces now and then, and that workers look at for each request. Looking
 * costs one relaxed load while nothing changed; only a change takes the lock.
 *
 * Threads: box_put on any one at a time; each view belongs to one thread. A value never changes after
 * box_put, and is freed with its last view.
 */
#ifndef TAILRACE_EXTENSIONS_BOX_H
#define TAILRACE_EXTENSIONS_BOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct boxed { /* first in the value */
    _Atomic unsigned refs;
    void (*free)(struct boxed *b);
};

struct box {
    pthread_mutex_t lock;
    _Atomic uint64_t epoch; /* of now */
    struct boxed *now;      /* NULL: empty */
};

struct box_view {
    uint64_t epoch;
    struct boxed *seen;
};

void box_init(struct box *b);
void box_close(struct box *b); /* no view looks any more */
void box_put(struct box *b, struct boxed *take, void (*free)(struct boxed *b)); /* NULL empties it */
/* True when v->seen is another value than before; v->seen stays valid until the next look. */
bool box_look(struct box *b, struct box_view *v);
void box_view_close(struct box_view *v); /* fine on {0} */

#endif
