/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list. A node is on at most one list; a node not on a list points to itself. */
#ifndef TAILRACE_PLATFORM_LIST_H
#define TAILRACE_PLATFORM_LIST_H

#include <stdbool.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_add_tail(struct list *l, struct list *n)
{
    n->prev = l->prev;
    n->next = l;
    l->prev->next = n;
    l->prev = n;
}

static inline void list_add_head(struct list *l, struct list *n)
{
    list_add_tail(l->next, n);
}

/* Fine on a node that is on no list. */
static inline void list_del(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* The first node, off the list, which must not be empty. */
static inline struct list *list_pop(struct list *l)
{
    struct list *n = l->next;

    l->next = n->next;
    n->next->prev = l;
    list_init(n);
    return n;
}

#endif
