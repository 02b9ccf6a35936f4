/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of spans, resources and scopes: one function per message, each a loop over fields with
 * one switch on the tag, common fields first. The hot shape, an attribute with a short key and a
 * short string or number as every encoder writes it, is recognised as a whole before that.
 *
 * Threads: none; state is in struct walk. Depth: AnyValue levels, checked in walk_value.
 * Order: helpers, values, attributes, events and links, span, resource, scope.
 */
#include "model/attr.h"
#include "model/otlp_walk_priv.h"

#define LEN(number) WIRE_TAG(number, WIRE_LEN)
#define VAR(number) WIRE_TAG(number, WIRE_VARINT)
#define F64(number) WIRE_TAG(number, WIRE_FIXED64)
#define F32(number) WIRE_TAG(number, WIRE_FIXED32)

/* Bits of the fields a message knows, for walk_other. */
#define UP_TO(n) ((2u << (n)) - 2)

#define ALWAYS_INLINE __attribute__((always_inline))

enum { STATUS_ODD = 255, KIND_ODD = 255, STATUS_MOST = 2, KIND_MOST = 5 };

/* ---- helpers ---- */

bool walk_fail(struct walk *w, const uint8_t *at, const char *text)
{
    if (!w->fail_at) {
        w->fail_at = at;
        w->fail_text = text;
    }
    return false;
}

void walk_text_long(struct walk *w, const uint8_t *p, size_t n)
{
    if (!utf8_valid(p, n))
        w->bad_strings++;
}

const uint8_t *walk_other(struct walk *w, uint32_t tag, const uint8_t *p, const uint8_t *end,
                          uint32_t known)
{
    uint32_t number = tag >> 3, wire = tag & 7;
    const uint8_t *next;

    if (number == 0)
        walk_fail(w, p, "field number 0");
    else if (wire == 3 || wire == 4)
        walk_fail(w, p, "a group");
    else if (wire > 5)
        walk_fail(w, p, "wire type 6 or 7");
    else if (number < 32 && (known >> number & 1))
        walk_fail(w, p, "wrong wire type of a known field");
    next = w->fail_at ? NULL : wire_skip(tag, p, end);
    if (!next)
        walk_fail(w, p, "a field runs past the end of its message");
    return next;
}

static inline const uint8_t *take_text(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    if (UNLIKELY(!p))
        return NULL;
    walk_text(w, p, (size_t)(body_end - p));
    return body_end;
}

static inline const uint8_t *take_varint(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    uint64_t v;

    return walk_varint(w, p, end, &v);
}

static inline const uint8_t *take_fixed(struct walk *w, const uint8_t *p, const uint8_t *end,
                                        size_t n)
{
    if (LIKELY((size_t)(end - p) >= n))
        return p + n;
    walk_fail(w, p, "a fixed-size number is cut off");
    return NULL;
}

/* An id of n bytes or none; *id points to it or is NULL. */
static inline const uint8_t *take_id(struct walk *w, const uint8_t *p, const uint8_t *end, size_t n,
                                     const uint8_t **id, const char *text)
{
    const uint8_t *body_end;

    *id = NULL; /* never one of another length from before */
    p = walk_body(w, p, end, &body_end);
    if (UNLIKELY(!p))
        return NULL;
    *id = (size_t)(body_end - p) == n ? p : NULL;
    if (UNLIKELY(!*id && body_end != p)) {
        walk_fail(w, p, text);
        return NULL;
    }
    return body_end;
}

static const char trace_id_text[] = "a trace id that has neither 16 bytes nor none";
static const char span_id_text[] = "a span id that has neither 8 bytes nor none";

/* ---- values ---- */

static bool walk_keyvalue(struct walk *w, const uint8_t *p, const uint8_t *end, unsigned depth);
static bool walk_value(struct walk *w, const uint8_t *p, const uint8_t *end, unsigned depth);

/* ArrayValue and KeyValueList: field 1, repeated. */
static bool walk_list(struct walk *w, const uint8_t *p, const uint8_t *end, unsigned depth,
                      bool (*item)(struct walk *, const uint8_t *, const uint8_t *, unsigned))
{
    while (p < end) {
        const uint8_t *body_end;
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        if (tag != LEN(1)) {
            p = walk_other(w, tag, p, end, UP_TO(1));
            if (!p)
                return false;
            continue;
        }
        p = walk_body(w, p, end, &body_end);
        if (!p || !item(w, p, body_end, depth))
            return false;
        p = body_end;
    }
    return true;
}

static const uint8_t *take_list(struct walk *w, const uint8_t *p, const uint8_t *end, unsigned depth,
                                bool map)
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    if (!p || !walk_list(w, p, body_end, depth, map ? walk_keyvalue : walk_value))
        return NULL;
    return body_end;
}

/* One member of an AnyValue; *known says whether it was one. */
static const uint8_t *take_member(struct walk *w, uint32_t tag, const uint8_t *p,
                                  const uint8_t *end, unsigned depth, bool *known)
{
    const uint8_t *body_end;

    *known = true;
    switch (tag) {
    case LEN(1):
        return take_text(w, p, end);
    case VAR(2):
    case VAR(3):
    case VAR(8):
        return take_varint(w, p, end);
    case F64(4):
        return take_fixed(w, p, end, 8);
    case LEN(5):
    case LEN(6):
        return take_list(w, p, end, depth, tag == LEN(6));
    case LEN(7):
        return walk_body(w, p, end, &body_end) ? body_end : NULL;
    default:
        *known = false;
        return walk_other(w, tag, p, end, UP_TO(8));
    }
}

static bool walk_value(struct walk *w, const uint8_t *p, const uint8_t *end, unsigned depth)
{
    unsigned members = 0;

    if (depth == OTLP_MAX_DEPTH)
        return walk_fail(w, p, "values nested deeper than 64 levels");
    while (p < end) {
        bool known;
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        p = take_member(w, tag, p, end, depth + 1, &known);
        if (!p)
            return false;
        members += known;
        if (members > 1)
            return walk_fail(w, p, "a value with two members");
    }
    return true;
}

/* The values that make up nearly all attributes, when one member fills [p, p + n): a string, a
 * small number, a boolean, a double. How many of the bytes are text; -1: look closer. */
static inline ptrdiff_t usual_value(const uint8_t *p, size_t n)
{
    if (LIKELY(n >= 2 && p[0] == LEN(1) && p[1] == n - 2 && n < 0x82))
        return (ptrdiff_t)n;
    if ((n == 9 && p[0] == F64(4)) || (n == 2 && (p[0] == VAR(3) || p[0] == VAR(2)) && p[1] < 0x80) ||
        (n == 3 && p[0] == VAR(3) && p[1] >= 0x80 && p[2] < 0x80))
        return 0;
    return -1;
}

/* ---- attributes ---- */

static bool walk_keyvalue_closely(struct walk *w, const uint8_t *p, const uint8_t *end,
                                  unsigned depth)
{
    unsigned keys = 0, values = 0;

    while (p < end) {
        const uint8_t *body_end;
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        if (tag == LEN(KEYVALUE_KEY)) {
            keys++;
            p = take_text(w, p, end);
        } else if (tag == LEN(KEYVALUE_VALUE)) {
            values++;
            p = walk_body(w, p, end, &body_end);
            if (!p || !walk_value(w, p, body_end, depth))
                return false;
            p = body_end;
        } else {
            p = tag == VAR(3) ? take_varint(w, p, end) : walk_other(w, tag, p, end, UP_TO(3));
        }
        if (!p)
            return false;
        if (keys > 1 || values > 1)
            return walk_fail(w, p, "an attribute with two keys or two values");
    }
    return true;
}

/* Tags and short lengths are ASCII as well: one check covers key, value and what is between. */
static inline ALWAYS_INLINE bool walk_attribute(struct walk *w, const uint8_t *p,
                                                const uint8_t *end)
{
    size_t n = (size_t)(end - p), key;

    if (LIKELY(n >= 4 && p[0] == LEN(KEYVALUE_KEY) && (key = p[1]) < 0x80 && n >= 4 + key)) {
        const uint8_t *v = p + 2 + key;
        ptrdiff_t text = usual_value(v + 2, n - 4 - key);

        if (LIKELY(v[0] == LEN(KEYVALUE_VALUE) && v[1] < 0x80 && v[1] == n - 4 - key && text >= 0 &&
                   utf8_all_ascii(p, 4 + key + (size_t)text, w->limit)))
            return true;
    }
    return walk_keyvalue_closely(w, p, end, 0);
}

static bool walk_keyvalue(struct walk *w, const uint8_t *p, const uint8_t *end, unsigned depth)
{
    return walk_keyvalue_closely(w, p, end, depth);
}

static inline const uint8_t *take_attribute(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    if (UNLIKELY(!p || !walk_attribute(w, p, body_end)))
        return NULL;
    return body_end;
}

/* ---- events and links ---- */

static bool walk_event(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    while (p && p < end) {
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        switch (tag) {
        case LEN(EVENT_ATTRIBUTES):
            p = take_attribute(w, p, end);
            break;
        case F64(EVENT_TIME):
            p = take_fixed(w, p, end, 8);
            break;
        case LEN(EVENT_NAME):
            p = take_text(w, p, end);
            break;
        case VAR(EVENT_DROPPED_ATTRIBUTES):
            p = take_varint(w, p, end);
            break;
        default:
            p = walk_other(w, tag, p, end, UP_TO(4));
        }
    }
    return p != NULL;
}

static bool walk_link(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *id;

    while (p && p < end) {
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        switch (tag) {
        case LEN(LINK_TRACE_ID):
            p = take_id(w, p, end, 16, &id, trace_id_text);
            break;
        case LEN(LINK_SPAN_ID):
            p = take_id(w, p, end, 8, &id, span_id_text);
            break;
        case LEN(LINK_TRACE_STATE):
            p = take_text(w, p, end);
            break;
        case LEN(LINK_ATTRIBUTES):
            p = take_attribute(w, p, end);
            break;
        case VAR(LINK_DROPPED_ATTRIBUTES):
            p = take_varint(w, p, end);
            break;
        case F32(LINK_FLAGS):
            p = take_fixed(w, p, end, 4);
            break;
        default:
            p = walk_other(w, tag, p, end, UP_TO(6));
        }
    }
    return p != NULL;
}

static const uint8_t *take_sub(struct walk *w, const uint8_t *p, const uint8_t *end,
                               bool (*walk)(struct walk *, const uint8_t *, const uint8_t *))
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    return p && walk(w, p, body_end) ? body_end : NULL;
}

/* ---- span ---- */

static bool walk_status(struct walk *w, const uint8_t *p, const uint8_t *end, struct span *s)
{
    while (p && p < end) {
        uint32_t tag;
        uint64_t v = 0;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        switch (tag) {
        case VAR(STATUS_CODE):
            p = walk_varint(w, p, end, &v);
            s->status = (uint32_t)v > STATUS_MOST ? STATUS_ODD : (uint8_t)v;
            break;
        case LEN(STATUS_MESSAGE):
            p = take_text(w, p, end);
            break;
        default:
            p = walk_other(w, tag, p, end, 1u << STATUS_MESSAGE | 1u << STATUS_CODE);
        }
    }
    return p != NULL;
}

static inline const uint8_t *take_status(struct walk *w, const uint8_t *p, const uint8_t *end,
                                         struct span *s, bool *seen)
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    if (UNLIKELY(!p || !walk_status(w, p, body_end, s)))
        return NULL;
    if (UNLIKELY(*seen)) {
        walk_fail(w, p, "a span with two statuses");
        return NULL;
    }
    *seen = true;
    return body_end;
}

static inline void copy_id(uint8_t *dst, const uint8_t *id, size_t n)
{
    if (LIKELY(id != NULL))
        memcpy(dst, id, n);
    else
        memset(dst, 0, n);
}

static inline const uint8_t *take_parent(struct walk *w, const uint8_t *p, const uint8_t *end,
                                         struct span *s)
{
    const uint8_t *id;

    p = take_id(w, p, end, 8, &id, span_id_text);
    if (UNLIKELY(!p))
        return NULL;
    s->flags &= (uint8_t)~SPAN_ROOT;
    if (!id || load_le64(id) == 0)
        s->flags |= SPAN_ROOT;
    return p;
}

/* trace_state, whose presence is a fact. */
static const uint8_t *take_state(struct walk *w, const uint8_t *p, const uint8_t *end,
                                 struct span *s)
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    if (!p)
        return NULL;
    s->flags &= (uint8_t)~SPAN_HAS_STATE;
    if (body_end > p)
        s->flags |= SPAN_HAS_STATE;
    walk_text(w, p, (size_t)(body_end - p));
    return body_end;
}

static inline const uint8_t *take_time(struct walk *w, const uint8_t *p, const uint8_t *end,
                                       uint64_t *at_ns)
{
    if (LIKELY(end - p >= 8))
        *at_ns = load_le64(p);
    return take_fixed(w, p, end, 8);
}

static const uint8_t *take_flags(struct walk *w, const uint8_t *p, const uint8_t *end,
                                 struct span *s)
{
    if (LIKELY(end - p >= 4))
        s->w3c_flags = load_le32(p);
    return take_fixed(w, p, end, 4);
}

static const uint8_t *take_kind(struct walk *w, const uint8_t *p, const uint8_t *end,
                                struct span *s)
{
    uint64_t v = 0;

    p = walk_varint(w, p, end, &v);
    s->kind = (uint32_t)v > KIND_MOST ? KIND_ODD : (uint8_t)v;
    return p;
}

/* Attributes come one after the other: the run in a loop of its own. */
static inline const uint8_t *take_attributes(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    for (;;) {
        const uint8_t *body_end;

        p = walk_body(w, p, end, &body_end);
        if (UNLIKELY(!p || !walk_attribute(w, p, body_end)))
            return NULL;
        p = body_end;
        if (p == end || *p != LEN(SPAN_ATTRIBUTES))
            return p;
        p++;
    }
}

/* How nearly every encoder begins: both ids, then the parent's if there is one. */
static inline const uint8_t *usual_start(const uint8_t *p, const uint8_t *end, struct span *s)
{
    if (UNLIKELY(end - p < 38 || p[0] != LEN(SPAN_TRACE_ID) || p[1] != 16 ||
                 p[18] != LEN(SPAN_SPAN_ID) || p[19] != 8))
        return p;
    memcpy(s->trace_id, p + 2, 16);
    memcpy(s->span_id, p + 20, 8);
    if (p[28] != LEN(SPAN_PARENT_ID) || p[29] != 8)
        return p + 28;
    if (load_le64(p + 30) != 0)
        s->flags = 0;
    return p + 38;
}

bool walk_span(struct walk *w, const uint8_t *p, const uint8_t *end, struct span *s)
{
    bool status_seen = false;
    const uint8_t *id = NULL;

    s->flags = SPAN_ROOT;
    p = usual_start(p, end, s);
    while (p < end) {
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (UNLIKELY(!p))
            return false;
        switch (tag) {
        case LEN(SPAN_ATTRIBUTES):
            p = take_attributes(w, p, end);
            break;
        case LEN(SPAN_TRACE_ID):
            p = take_id(w, p, end, 16, &id, trace_id_text);
            copy_id(s->trace_id, id, 16);
            break;
        case LEN(SPAN_SPAN_ID):
            p = take_id(w, p, end, 8, &id, span_id_text);
            copy_id(s->span_id, id, 8);
            break;
        case LEN(SPAN_PARENT_ID):
            p = take_parent(w, p, end, s);
            break;
        case LEN(SPAN_NAME):
            p = take_text(w, p, end);
            break;
        case VAR(SPAN_KIND):
            p = take_kind(w, p, end, s);
            break;
        case F64(SPAN_START):
            p = take_time(w, p, end, &s->start_ns);
            break;
        case F64(SPAN_END):
            p = take_time(w, p, end, &s->end_ns);
            break;
        case LEN(SPAN_STATUS):
            p = take_status(w, p, end, s, &status_seen);
            break;
        case F32(SPAN_FLAGS):
            p = take_flags(w, p, end, s);
            break;
        case LEN(SPAN_EVENTS):
            s->flags |= SPAN_HAS_EVENTS;
            p = take_sub(w, p, end, walk_event);
            break;
        case LEN(SPAN_LINKS):
            s->flags |= SPAN_HAS_LINKS;
            p = take_sub(w, p, end, walk_link);
            break;
        case LEN(SPAN_TRACE_STATE):
            p = take_state(w, p, end, s);
            break;
        case VAR(SPAN_DROPPED_ATTRIBUTES):
        case VAR(SPAN_DROPPED_EVENTS):
        case VAR(SPAN_DROPPED_LINKS):
            p = take_varint(w, p, end);
            break;
        default:
            p = walk_other(w, tag, p, end, UP_TO(16));
        }
        if (UNLIKELY(!p))
            return false;
    }
    return true;
}

/* ---- resource, scope ---- */

static bool walk_entity_ref(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    while (p && p < end) {
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        if ((tag & 7) == WIRE_LEN && tag >= LEN(1) && tag <= LEN(4))
            p = take_text(w, p, end);
        else
            p = walk_other(w, tag, p, end, UP_TO(4));
    }
    return p != NULL;
}

bool walk_resource(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    while (p && p < end) {
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        switch (tag) {
        case LEN(RESOURCE_ATTRIBUTES):
            p = take_attribute(w, p, end);
            break;
        case VAR(RESOURCE_DROPPED_ATTRIBUTES):
            p = take_varint(w, p, end);
            break;
        case LEN(3):
            p = take_sub(w, p, end, walk_entity_ref);
            break;
        default:
            p = walk_other(w, tag, p, end, UP_TO(3));
        }
    }
    return p != NULL;
}

bool walk_scope_head(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    while (p && p < end) {
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        switch (tag) {
        case LEN(SCOPE_NAME):
        case LEN(SCOPE_VERSION):
            p = take_text(w, p, end);
            break;
        case LEN(SCOPE_ATTRIBUTES):
            p = take_attribute(w, p, end);
            break;
        case VAR(SCOPE_DROPPED_ATTRIBUTES):
            p = take_varint(w, p, end);
            break;
        default:
            p = walk_other(w, tag, p, end, UP_TO(4));
        }
    }
    return p != NULL;
}
