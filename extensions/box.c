/* SPDX-License-Identifier: Apache-2.0 */
/* See box.h. */
#include "extensions/box.h"

#include <stddef.h>

static void unref(struct boxed *v)
{
    if (v && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        v->free(v);
}

void box_init(struct box *b)
{
    pthread_mutex_init(&b->lock, NULL);
    atomic_init(&b->epoch, 0);
    b->now = NULL;
}

void box_close(struct box *b)
{
    unref(b->now);
    b->now = NULL;
    pthread_mutex_destroy(&b->lock);
}

void box_put(struct box *b, struct boxed *take, void (*free)(struct boxed *b))
{
    struct boxed *old;

    if (take) {
        atomic_init(&take->refs, 1);
        take->free = free;
    }
    pthread_mutex_lock(&b->lock);
    old = b->now;
    b->now = take;
    atomic_fetch_add_explicit(&b->epoch, 1, memory_order_release);
    pthread_mutex_unlock(&b->lock);
    unref(old);
}

bool box_look(struct box *b, struct box_view *v)
{
    struct boxed *old = v->seen;

    if (atomic_load_explicit(&b->epoch, memory_order_acquire) == v->epoch)
        return false;
    pthread_mutex_lock(&b->lock);
    v->epoch = atomic_load_explicit(&b->epoch, memory_order_relaxed);
    v->seen = b->now;
    if (v->seen)
        atomic_fetch_add_explicit(&v->seen->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&b->lock);
    unref(old);
    return true;
}

void box_view_close(struct box_view *v)
{
    unref(v->seen);
    *v = (struct box_view){0};
}
