/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as the Collector's encoder makes them: see tail_size.h. Depth is bounded by the walk. */
#include "processors/tail_size.h"

#include <stdbool.h>

#include "model/attr.h"

enum {
    FIXED64 = 9,    /* with its tag */
    LINK_FIXED32 = 5,
    SPAN_FIXED32 = 6,
    ENTITY_REFS = 3, /* of a Resource */
    ARRAY_VALUES = 1,
    MAP_ENTRIES = 1,
};

/* Tag, length and body of a message whose tag takes one byte. */
static uint64_t record(uint64_t body)
{
    return 1 + varint_size(body) + body;
}

static uint64_t text(const struct field *f)
{
    return f->bytes.len ? record(f->bytes.len) : 0;
}

/* Counts have 32 bits. */
static uint64_t number32(const struct field *f)
{
    return (uint32_t)f->value ? 1 + varint_size((uint32_t)f->value) : 0;
}

/* An enum below 0 is written as 64 bits. */
static uint64_t enumeration(const struct field *f)
{
    return (uint32_t)f->value ? 1 + varint_size((uint64_t)(int64_t)(int32_t)f->value) : 0;
}

static uint64_t id(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i])
            return record(s.len);
    return record(0);
}

/* ---- attributes ---- */

static uint64_t any_size(struct slice value);

static uint64_t key_value(struct slice key, struct slice value)
{
    return (key.len ? record(key.len) : 0) + record(any_size(value));
}

static uint64_t attributes(struct slice message, uint32_t field)
{
    struct attr_iter it = attr_iter(message, field);
    struct attr a;
    uint64_t n = 0;

    while (attr_next(&it, &a))
        n += record(key_value(a.key, a.value));
    return n;
}

static uint64_t array(struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    uint64_t n = 0;

    while (field_next(&it, &f))
        if (f.number == ARRAY_VALUES)
            n += record(any_size(f.bytes));
    return n;
}

/* A value that is set is written, even when it is zero or empty. */
static uint64_t any_size(struct slice value)
{
    struct any v = any_parse(value);

    switch (v.type) {
    case ANY_STR:
    case ANY_BYTES:
        return record(v.bytes.len);
    case ANY_BOOL:
        return 2;
    case ANY_INT:
        return 1 + varint_size((uint64_t)v.i);
    case ANY_DOUBLE:
        return FIXED64;
    case ANY_ARRAY:
        return record(array(v.bytes));
    case ANY_MAP:
        return record(attributes(v.bytes, MAP_ENTRIES));
    default:
        return 0;
    }
}

/* ---- parts of spans ---- */

static uint64_t event(struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    uint64_t n = attributes(body, EVENT_ATTRIBUTES);

    while (field_next(&it, &f)) {
        if (f.number == EVENT_TIME)
            n += f.value ? FIXED64 : 0;
        else if (f.number == EVENT_NAME)
            n += text(&f);
        else if (f.number == EVENT_DROPPED_ATTRIBUTES)
            n += number32(&f);
    }
    return n;
}

static uint64_t link(struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    uint64_t n = attributes(body, LINK_ATTRIBUTES) + id(field_bytes(body, LINK_TRACE_ID)) +
                 id(field_bytes(body, LINK_SPAN_ID));

    while (field_next(&it, &f)) {
        if (f.number == LINK_TRACE_STATE)
            n += text(&f);
        else if (f.number == LINK_DROPPED_ATTRIBUTES)
            n += number32(&f);
        else if (f.number == LINK_FLAGS)
            n += f.value ? LINK_FIXED32 : 0;
    }
    return n;
}

static uint64_t status(struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    uint64_t n = 0;

    while (field_next(&it, &f)) {
        if (f.number == STATUS_MESSAGE)
            n += text(&f);
        else if (f.number == STATUS_CODE)
            n += enumeration(&f);
    }
    return n;
}

static uint64_t span_field(const struct field *f)
{
    switch (f->number) {
    case SPAN_TRACE_STATE:
    case SPAN_NAME:
        return text(f);
    case SPAN_KIND:
        return enumeration(f);
    case SPAN_START:
    case SPAN_END:
        return f->value ? FIXED64 : 0;
    case SPAN_DROPPED_ATTRIBUTES:
    case SPAN_DROPPED_EVENTS:
    case SPAN_DROPPED_LINKS:
        return number32(f);
    case SPAN_EVENTS:
        return record(event(f->bytes));
    case SPAN_LINKS:
        return record(link(f->bytes));
    case SPAN_FLAGS:
        return f->value ? SPAN_FIXED32 : 0;
    default:
        return 0;
    }
}

uint64_t tail_size_span(struct slice span)
{
    struct slice trace_id = {0}, span_id = {0}, parent_id = {0}, state = {0};
    struct field_iter it = field_iter(span);
    struct field f;
    uint64_t n = attributes(span, SPAN_ATTRIBUTES);

    while (field_next(&it, &f)) {
        if (f.number == SPAN_TRACE_ID)
            trace_id = f.bytes;
        else if (f.number == SPAN_SPAN_ID)
            span_id = f.bytes;
        else if (f.number == SPAN_PARENT_ID)
            parent_id = f.bytes;
        else if (f.number == SPAN_STATUS)
            state = f.bytes;
        else
            n += span_field(&f);
    }
    return n + id(trace_id) + id(span_id) + id(parent_id) + record(status(state));
}

/* ---- envelopes ---- */

static uint64_t entity_ref(struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    uint64_t n = 0;

    while (field_next(&it, &f))
        if (f.number <= 2)
            n += text(&f); /* schema URL, type */
        else if (f.number <= 4)
            n += record(f.bytes.len); /* keys, in a list */
    return n;
}

uint64_t tail_size_resource(struct slice resource)
{
    struct field_iter it = field_iter(resource);
    struct field f;
    uint64_t n = attributes(resource, RESOURCE_ATTRIBUTES);

    while (field_next(&it, &f)) {
        if (f.number == RESOURCE_DROPPED_ATTRIBUTES)
            n += number32(&f);
        else if (f.number == ENTITY_REFS)
            n += record(entity_ref(f.bytes));
    }
    return n;
}

uint64_t tail_size_scope(struct slice scope)
{
    struct field_iter it = field_iter(scope);
    struct field f;
    uint64_t n = attributes(scope, SCOPE_ATTRIBUTES);

    while (field_next(&it, &f)) {
        if (f.number == SCOPE_NAME || f.number == SCOPE_VERSION)
            n += text(&f);
        else if (f.number == SCOPE_DROPPED_ATTRIBUTES)
            n += number32(&f);
    }
    return n;
}

/* ---- a trace ---- */

static uint64_t open_item(const struct tail_size *z)
{
    return z->item + record(z->scope);
}

static void item_open(struct tail_size *z, const struct tail_place *at)
{
    if (z->key) {
        z->items += open_item(z);
        z->items_whole += record(open_item(z));
    }
    z->key = at->key;
    z->item = record(at->resource_bytes);
}

void tail_size_add(struct tail_size *z, const struct tail_place *at, uint64_t span_bytes)
{
    bool fresh = z->key != at->key;

    if (fresh)
        item_open(z, at);
    else if (z->scope_key != at->scope_key)
        z->item += record(z->scope);
    if (fresh || z->scope_key != at->scope_key) {
        z->scope_key = at->scope_key;
        z->scope = record(at->scope_bytes);
    }
    z->scope += record(span_bytes);
}

uint64_t tail_size_bodies(const struct tail_size *z)
{
    return z->key ? z->items + open_item(z) : 0;
}

uint64_t tail_size_whole(const struct tail_size *z)
{
    return z->key ? z->items_whole + record(open_item(z)) : 0;
}
