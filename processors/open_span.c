/* SPDX-License-Identifier: Apache-2.0 */
/* Spans on their way. See open_span.h. */
#include "processors/open_span.h"

bool open_span_write(struct open_span *s)
{
    if (!open_span_pending(s))
        return true;
    if (!editor_write_span(s->ed, s->i, s->map))
        return false;
    s->map->changed = false; /* what it holds is what the bytes say */
    return true;
}

bool open_span_attr(const struct open_span *s, struct slice key, struct slice *value)
{
    struct attr a;

    if (s->loaded) {
        const struct attr_entry *e = attr_map_find(s->map, key);

        if (e)
            *value = e->value;
        return e != NULL;
    }
    if (!attr_find(span_body(open_span_now(s)), SPAN_ATTRIBUTES, key, &a))
        return false;
    *value = a.value;
    return true;
}
