/* SPDX-License-Identifier: Apache-2.0 */
/* See redact_pieces.h. */
#include "cmd/redact_pieces.h"

#include <stdlib.h>

const char *place_name(enum place p)
{
    static const char *const names[PLACES] = {"resource", "scope", "span", "event", "link", "span name", "status message", "event name"};

    return names[p];
}

static void add(struct pieces *ps, enum place place, struct slice body, uint32_t field)
{
    if (ps->n == ps->cap) {
        ps->cap = ps->cap ? 2 * ps->cap : 64;
        ps->v = mem_grow(ps->v, ps->cap * sizeof(*ps->v));
    }
    ps->v[ps->n++] = (struct piece){place, body, field};
}

static void add_span(struct pieces *ps, struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;

    add(ps, PLACE_SPAN_NAME, field_bytes(body, SPAN_NAME), 0);
    add(ps, PLACE_STATUS_MESSAGE, field_bytes(field_bytes(body, SPAN_STATUS), STATUS_MESSAGE), 0);
    add(ps, PLACE_SPAN, body, SPAN_ATTRIBUTES);
    while (field_next(&it, &f)) {
        if (f.number == SPAN_EVENTS) {
            add(ps, PLACE_EVENT_NAME, field_bytes(f.bytes, EVENT_NAME), 0);
            add(ps, PLACE_EVENT, f.bytes, EVENT_ATTRIBUTES);
        } else if (f.number == SPAN_LINKS) {
            add(ps, PLACE_LINK, f.bytes, LINK_ATTRIBUTES);
        }
    }
}

struct pieces pieces_of(const struct payload *p)
{
    struct pieces ps = {0};

    for (uint32_t i = 0; i < p->n_resources; i++)
        add(&ps, PLACE_RESOURCE, p->resources[i].resource, RESOURCE_ATTRIBUTES);
    for (uint32_t i = 0; i < p->n_scopes; i++)
        add(&ps, PLACE_SCOPE, p->scopes[i].scope, SCOPE_ATTRIBUTES);
    for (uint32_t i = 0; i < p->n_spans; i++)
        add_span(&ps, span_body(&p->spans[i]));
    return ps;
}

void pieces_free(struct pieces *ps)
{
    free(ps->v);
    *ps = (struct pieces){0};
}

enum { ITEM = 1 }; /* of ArrayValue and KeyValueList; other fields are not ours to read */

/* Depth is what the walk allowed. */
void value_texts(struct slice value, void (*fn)(void *ctx, struct slice text), void *ctx)
{
    struct any v = any_parse(value);
    struct field_iter it;
    struct field f;
    struct buf text = {0};

    switch (v.type) {
    case ANY_STR:
    case ANY_BYTES:
        fn(ctx, v.bytes);
        return;
    case ANY_ARRAY:
        for (it = field_iter(v.bytes); field_next(&it, &f);)
            if (f.number == ITEM)
                value_texts(f.bytes, fn, ctx);
        return;
    case ANY_MAP:
        for (it = field_iter(v.bytes); field_next(&it, &f);)
            if (f.number == ITEM)
                value_texts(field_bytes(f.bytes, KEYVALUE_VALUE), fn, ctx);
        return;
    default:
        if (any_as_string(&v, &text) == 0)
            fn(ctx, slice_of(text.p, text.len));
        buf_free(&text);
    }
}
