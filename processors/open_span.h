/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span on its way through processors that have been joined (map.h): its attributes are read once
 * for all of them, what they change of attributes stays pending, and is written once behind the
 * last.
 *
 *   bytes    the span in its payload; what is pending is not in them
 *   map      the attributes as they are now, once somebody has loaded them
 *
 * Whoever needs true bytes calls open_span_write() first. Whoever writes the span by itself
 * (editor_span_room) takes what is pending along, and says open_span_rewritten(). One worker.
 */
#ifndef TAILRACE_PROCESSORS_OPEN_SPAN_H
#define TAILRACE_PROCESSORS_OPEN_SPAN_H

#include "processors/edit.h"

struct open_span {
    struct editor *ed;
    uint32_t i;
    bool loaded;
    bool last; /* nobody behind will look at it: writing it now is as good as later */
    struct attr_map *map;
};

/* Its index entry; valid until something is written. */
static inline const struct span *open_span_now(const struct open_span *s)
{
    return editor_span(s->ed, s->i);
}

static inline bool open_span_pending(const struct open_span *s)
{
    return s->loaded && s->map->changed;
}

/* Attributes into the map, unless they are there. False: the budget refused room. */
static inline bool open_span_load(struct open_span *s)
{
    if (!s->loaded)
        s->loaded = attr_map_load(s->map, span_body(open_span_now(s)), SPAN_ATTRIBUTES);
    return s->loaded;
}

/* Writes what is pending, if anything; the map stays loaded. False: refused. */
bool open_span_write(struct open_span *s) MUST_USE;

static inline void open_span_rewritten(struct open_span *s)
{
    s->loaded = false;
}

/* First attribute with the key: its AnyValue body. */
bool open_span_attr(const struct open_span *s, struct slice key, struct slice *value);

#endif
