/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repair by one recursive copy, driven by a table of which fields are text and which are messages.
 * It runs twice: once to count, once to write into exactly that room.
 *
 * A message's length stands before its body, but is known only after it. As text grows at most
 * threefold, the length gets as many bytes as three times the old length would need, and is padded:
 * that is valid, every decoder takes it, and no body is ever moved or measured twice, whatever the
 * nesting. Depth is bounded by the walk (OTLP_MAX_DEPTH).
 */
#include "model/otlp_repair.h"

#include "model/attr.h"
#include "model/utf8.h"
#include "model/wire.h"

enum { GROWTH_MOST = 3, MESSAGE_FIELDS = 16 };

enum { KEEP = 0, TEXT = 1, MESSAGE = 2 /* + enum otlp_message */ };
#define SUB(type) (uint8_t)(MESSAGE + (type))

/* By field number; what is not named is kept as it is. */
static const uint8_t fields[OTLP_MESSAGES][MESSAGE_FIELDS] = {
    [OTLP_SPAN] = {[SPAN_TRACE_STATE] = TEXT, [SPAN_NAME] = TEXT,
                   [SPAN_ATTRIBUTES] = SUB(OTLP_KEYVALUE), [SPAN_EVENTS] = SUB(OTLP_EVENT),
                   [SPAN_LINKS] = SUB(OTLP_LINK), [SPAN_STATUS] = SUB(OTLP_STATUS)},
    [OTLP_EVENT] = {[EVENT_NAME] = TEXT, [EVENT_ATTRIBUTES] = SUB(OTLP_KEYVALUE)},
    [OTLP_LINK] = {[LINK_TRACE_STATE] = TEXT, [LINK_ATTRIBUTES] = SUB(OTLP_KEYVALUE)},
    [OTLP_STATUS] = {[STATUS_MESSAGE] = TEXT},
    [OTLP_RESOURCE] = {[RESOURCE_ATTRIBUTES] = SUB(OTLP_KEYVALUE), [3] = SUB(OTLP_ENTITY_REF)},
    [OTLP_ENTITY_REF] = {[1] = TEXT, [2] = TEXT, [3] = TEXT, [4] = TEXT},
    [OTLP_SCOPE] = {[SCOPE_NAME] = TEXT, [SCOPE_VERSION] = TEXT,
                    [SCOPE_ATTRIBUTES] = SUB(OTLP_KEYVALUE)},
    [OTLP_KEYVALUE] = {[KEYVALUE_KEY] = TEXT, [KEYVALUE_VALUE] = SUB(OTLP_VALUE)},
    [OTLP_VALUE] = {[1] = TEXT, [5] = SUB(OTLP_ARRAY), [6] = SUB(OTLP_MAP)},
    [OTLP_ARRAY] = {[1] = SUB(OTLP_VALUE)},
    [OTLP_MAP] = {[1] = SUB(OTLP_KEYVALUE)},
};

/* Where bytes go. p NULL: they are only counted. */
struct sink {
    uint8_t *p;
    size_t len;
};

static void sink_add(struct sink *o, const uint8_t *p, size_t n)
{
    if (o->p && n)
        memcpy(o->p + o->len, p, n);
    o->len += n;
}

static void sink_varint(struct sink *o, uint64_t v)
{
    uint8_t bytes[VARINT_MAX_BYTES];

    sink_add(o, bytes, varint_put(bytes, v));
}

static void put_padded(uint8_t *at, size_t width, size_t v)
{
    for (size_t i = 0; i + 1 < width; i++, v >>= 7)
        at[i] = (uint8_t)v | 0x80;
    at[width - 1] = (uint8_t)v;
}

static void repair_text(struct sink *o, const struct field *f)
{
    size_t len = utf8_repair(NULL, f->bytes.p, f->bytes.len);

    sink_varint(o, WIRE_TAG(f->number, f->wire));
    sink_varint(o, len);
    if (o->p)
        utf8_repair(o->p + o->len, f->bytes.p, f->bytes.len);
    o->len += len;
}

static void repair_fields(struct sink *o, enum otlp_message type, struct slice body);

static void repair_message(struct sink *o, const struct field *f, enum otlp_message type)
{
    size_t width = varint_size((uint64_t)GROWTH_MOST * f->bytes.len), at, start;

    sink_varint(o, WIRE_TAG(f->number, f->wire));
    at = o->len;
    o->len = start = at + width;
    repair_fields(o, type, f->bytes);
    if (o->p)
        put_padded(o->p + at, width, o->len - start);
}

static void repair_fields(struct sink *o, enum otlp_message type, struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;

    while (field_next(&it, &f)) {
        bool known = f.wire == WIRE_LEN && f.number < MESSAGE_FIELDS;
        uint8_t kind = known ? fields[type][f.number] : KEEP;

        if (kind == KEEP)
            sink_add(o, f.rec.p, f.rec.len);
        else if (kind == TEXT)
            repair_text(o, &f);
        else
            repair_message(o, &f, (enum otlp_message)(kind - MESSAGE));
    }
}

int otlp_repair_body(struct payload *p, enum otlp_message type, struct slice *body)
{
    struct sink o = {0};

    repair_fields(&o, type, *body);
    if (o.len > UINT32_MAX / 2)
        return -1;
    o.p = payload_room(p, o.len);
    if (!o.p)
        return -1;
    o.len = 0;
    repair_fields(&o, type, *body);
    *body = slice_of(o.p, o.len);
    return 0;
}

int otlp_repair_span(struct payload *p, struct span *s)
{
    const uint8_t span_tag = 0x12;
    struct slice body = span_body(s);
    struct sink o = {0};
    size_t len;

    repair_fields(&o, OTLP_SPAN, body);
    len = o.len;
    if (len > UINT32_MAX / 2)
        return -1;
    o.p = payload_room(p, 1 + varint_size(len) + len);
    if (!o.p)
        return -1;
    o.len = 0;
    sink_add(&o, &span_tag, 1);
    sink_varint(&o, len);
    s->hdr_len = (uint8_t)o.len;
    repair_fields(&o, OTLP_SPAN, body);
    s->rec = o.p;
    s->rec_len = (uint32_t)o.len;
    return 0;
}

int otlp_repair_text(struct payload *p, struct slice *text)
{
    size_t len = utf8_repair(NULL, text->p, text->len);
    uint8_t *room = len <= UINT32_MAX / 2 ? payload_room(p, len) : NULL;

    if (!room)
        return -1;
    utf8_repair(room, text->p, text->len);
    *text = slice_of(room, len);
    return 0;
}
