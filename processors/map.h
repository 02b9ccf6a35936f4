/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Map processors: those that look at spans one by one and may change or drop them (attributes,
 * resource, redaction, span, filter, transform).
 *
 * Problem: several of them in a row each walked the batch and wrote every span anew. Design:
 * neighbours in a pipeline work as a group. The first one's push gathers those behind it that may
 * be joined, then for each part of the batch: what each does to resources and scopes, in their
 * order; then span after span through all of them, as an open_span, written once. Behind the last
 * of the group the batch is settled once and emitted by it.
 *
 * It is as if each had worked on the whole batch before the next: spans do not know of each other,
 * and who may not be joined is told by traits, and for one batch by quiet(). Books and counters
 * stay each processor's own. When one refuses the batch, those before it finish what they would
 * have done, as they might refuse too, and the first of the pipeline that does has the word. Where
 * memory is refused all ends at once. What differs then is what those behind have logged, or
 * counted as errors, by that time.
 *
 * Limits: MAP_MOST in a group. Threads: one worker.
 */
#ifndef TAILRACE_PROCESSORS_MAP_H
#define TAILRACE_PROCESSORS_MAP_H

#include "component/component.h"
#include "processors/items.h"
#include "processors/open_span.h"

#define MAP_MOST 16

/* What an instance's settings make it do. */
enum map_trait {
    MAP_SPANS = 1,    /* span() does something */
    MAP_ENVELOPE = 2, /* part() changes, or counts, resources or scopes */
    MAP_LOOKS = 4,    /* span() looks at resources or scopes: they must be as they were */
    MAP_DROPS = 8,    /* span() may drop: resources may go that nobody behind should see */
    MAP_REFUSES = 16, /* may refuse: spans that others dropped behind it would have to come back */
    MAP_FIRST = 32,   /* part() works on spans: nobody may have pending work on them */
};

enum map_fate { MAP_KEPT, MAP_DROPPED, MAP_REFUSED, MAP_NO_ROOM };

struct map_processor;
struct map_ops {
    /* A batch comes: what was counted for an earlier one that failed is forgotten. May be NULL. */
    void (*begin)(struct map_processor *m, const struct batch *b);
    /* A part of it, before its spans. Also where what is remembered of the last part is forgotten.
     * May be NULL: MAP_KEPT. */
    enum map_fate (*part)(struct map_processor *m, struct editor *ed);
    /* With MAP_ENVELOPE: part() would do nothing here, so it need not be called. May be NULL: who
     * knows. */
    bool (*quiet)(struct map_processor *m, const struct editor *ed);
    /* With MAP_SPANS. */
    enum map_fate (*span)(struct map_processor *m, struct open_span *s);
    /* The batch has gone through it, and n spans of it were dropped: time to book. May be NULL. */
    void (*done)(struct map_processor *m, uint64_t n_dropped);
};

/* What each of them begins with; type->map is its ops. */
struct map_processor {
    struct component c;
    unsigned traits;
    struct attr_map map; /* of the spans of its group, when it is the first */
    struct items items;
    char refusal[400]; /* MAP_REFUSED: why */
    bool drained;
};

void map_init(struct map_processor *m, const struct component_type *type, struct host *h,
              unsigned traits);
void map_free(struct map_processor *m);

/* For the type. */
void map_push(struct component *c, struct batch **take);
void map_drain(struct component *c);

static inline struct map_processor *map_of(struct component *c)
{
    CHECK(c->type->map);
    return CONTAINER_OF(c, struct map_processor, c);
}

#endif
