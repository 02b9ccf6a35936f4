/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans as text for people. Attribute values are written by any_as_string(), so they read as the
 * Collector's do. Control characters other than tab and newline are shown as escapes: a span's name
 * comes from a stranger and ends on somebody's terminal.
 *
 * Pure functions over walked batches. All writers return -1 when `out` is full and stop there.
 */
#include "exporters/debug_text.h"

#include <stdio.h>
#include <time.h>

#include "model/attr.h"
#include "platform/clock.h"


static int put(struct buf *out, const char *s)
{
    return buf_add(out, s, strlen(s));
}

/* Turns what was appended since `from` harmless. */
static int tame(struct buf *out, size_t from)
{
    size_t extra = 0, to;

    for (size_t i = from; i < out->len; i++)
        if ((out->p[i] < 0x20 && out->p[i] != '\n' && out->p[i] != '\t') || out->p[i] == 0x7f)
            extra += 3; /* \xNN for one */
    if (!extra)
        return 0;
    if (buf_reserve(out, extra))
        return -1;
    to = out->len + extra;
    for (size_t i = out->len; i-- > from;) {
        uint8_t c = out->p[i];

        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            char esc[8];

            to -= 4;
            snprintf(esc, sizeof(esc), "\\x%02x", c);
            memcpy(out->p + to, esc, 4);
        } else {
            out->p[--to] = c;
        }
    }
    out->len += extra;
    return 0;
}

static int put_text(struct buf *out, struct slice s)
{
    size_t from = out->len;

    return buf_add(out, s.p, s.len) || tame(out, from) ? -1 : 0;
}

static int put_hex(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (buf_printf(out, "%02x", s.p[i]))
            return -1;
    return 0;
}

/* "2023-11-14 22:13:20.0005 +0000 UTC": the fraction without its last zeros. */
static int put_time(struct buf *out, uint64_t ns)
{
    time_t sec = (time_t)(ns / NS_PER_SEC);
    char day[32] = "", fraction[16] = "";
    struct tm tm;
    size_t n;

    if (gmtime_r(&sec, &tm))
        strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm);
    if (ns % NS_PER_SEC) {
        n = (size_t)snprintf(fraction, sizeof(fraction), ".%09u", (unsigned)(ns % NS_PER_SEC));
        while (fraction[n - 1] == '0')
            fraction[--n] = '\0';
    }
    return buf_printf(out, "%s%s +0000 UTC", day, fraction);
}

static uint64_t uint_field(struct slice message, uint32_t number)
{
    struct field_iter it = field_iter(message);
    struct field f;
    uint64_t v = 0;

    while (field_next(&it, &f))
        if (f.number == number)
            v = f.value;
    return v;
}

/* normal: " k=v k=v" */
static int put_pairs(struct buf *out, struct slice message, uint32_t number)
{
    struct attr_iter it = attr_iter(message, number);
    struct attr a;

    while (attr_next(&it, &a)) {
        struct any v = any_parse(a.value);
        size_t from = out->len;

        if (put(out, " ") || put_text(out, a.key) || put(out, "=") || any_as_string(&v, out) || tame(out, from))
            return -1;
    }
    return 0;
}

/* detailed: "     -> k: Str(v)" */
static int put_attributes(struct buf *out, const char *indent, struct slice message, uint32_t number)
{
    static const char *const types[] = {
        [ANY_EMPTY] = "Empty", [ANY_STR] = "Str", [ANY_BOOL] = "Bool", [ANY_INT] = "Int",
        [ANY_DOUBLE] = "Double", [ANY_ARRAY] = "Slice", [ANY_MAP] = "Map", [ANY_BYTES] = "Bytes",
    };
    struct attr_iter it = attr_iter(message, number);
    struct attr a;

    while (attr_next(&it, &a)) {
        struct any v = any_parse(a.value);
        size_t from;

        if (buf_printf(out, "%s     -> ", indent) || put_text(out, a.key) || buf_printf(out, ": %s(", types[v.type]))
            return -1;
        from = out->len;
        if (any_as_string(&v, out) || tame(out, from) || put(out, ")\n"))
            return -1;
    }
    return 0;
}

static bool has(struct slice message, uint32_t number)
{
    struct field_iter it = field_iter(message);
    struct field f;

    while (field_next(&it, &f))
        if (f.number == number)
            return true;
    return false;
}

static int put_attribute_block(struct buf *out, const char *title, struct slice message, uint32_t number)
{
    if (!has(message, number))
        return 0;
    return put(out, title) ? -1 : put_attributes(out, "", message, number);
}

/* ---- a walk over a batch that both layouts share ---- */

struct layout {
    int (*resource)(struct buf *out, unsigned i, const struct resource *r);
    int (*scope)(struct buf *out, unsigned i, const struct scope *s);
    int (*span)(struct buf *out, unsigned i, const struct span *s);
};

static int put_part(struct buf *out, const struct part *part, unsigned *n_resources, const struct layout *l)
{
    const struct payload *p = part->payload;
    unsigned n_scopes = 0, n_spans = 0;

    for (uint32_t i = part->first; i < part->first + part->n; i++) {
        const struct scope *scope = &p->scopes[p->spans[i].scope];
        const struct scope *before = i > part->first ? &p->scopes[p->spans[i - 1].scope] : NULL;

        if (!before || before->resource != scope->resource) {
            n_scopes = 0;
            if (l->resource(out, (*n_resources)++, &p->resources[scope->resource]))
                return -1;
        }
        if (scope != before) {
            n_spans = 0;
            if (l->scope(out, n_scopes++, scope))
                return -1;
        }
        if (l->span(out, n_spans++, &p->spans[i]))
            return -1;
    }
    return 0;
}

static int put_batch(const struct batch *b, struct buf *out, const struct layout *l)
{
    unsigned n_resources = 0;

    for (uint32_t i = 0; i < b->n_parts; i++)
        if (put_part(out, &b->parts[i], &n_resources, l))
            return -1;
    return 0;
}

uint64_t debug_count_resources(const struct batch *b)
{
    uint64_t n = 0;

    for (uint32_t k = 0; k < b->n_parts; k++) {
        const struct payload *p = b->parts[k].payload;
        uint32_t last = UINT32_MAX;

        for (uint32_t i = b->parts[k].first; i < b->parts[k].first + b->parts[k].n; i++) {
            uint32_t resource = p->scopes[p->spans[i].scope].resource;

            n += resource != last;
            last = resource;
        }
    }
    return n;
}

/* ---- normal ---- */

static int put_schema(struct buf *out, struct slice url)
{
    return url.len && (put(out, " [") || put_text(out, url) || put(out, "]")) ? -1 : 0;
}

static int normal_resource(struct buf *out, unsigned i, const struct resource *r)
{
    if (buf_printf(out, "ResourceTraces #%u", i) || put_schema(out, r->schema_url) ||
        put_pairs(out, r->resource, RESOURCE_ATTRIBUTES))
        return -1;
    return put(out, "\n");
}

static int normal_scope(struct buf *out, unsigned i, const struct scope *s)
{
    struct slice name = field_bytes(s->scope, SCOPE_NAME), version = field_bytes(s->scope, SCOPE_VERSION);

    if (buf_printf(out, "ScopeTraces #%u", i) || (name.len && (put(out, " ") || put_text(out, name))) ||
        (version.len && (put(out, "@") || put_text(out, version))) || put_schema(out, s->schema_url) ||
        put_pairs(out, s->scope, SCOPE_ATTRIBUTES))
        return -1;
    return put(out, "\n");
}

static int normal_span(struct buf *out, unsigned i, const struct span *s)
{
    struct slice body = span_body(s);

    (void)i;
    if (put_text(out, field_bytes(body, SPAN_NAME)) || put(out, " ") || put_hex(out, slice_of(s->trace_id, 16)) ||
        put(out, " ") || put_hex(out, slice_of(s->span_id, 8)) || put_pairs(out, body, SPAN_ATTRIBUTES))
        return -1;
    return put(out, "\n");
}

int debug_text_normal(const struct batch *b, struct buf *out)
{
    static const struct layout l = {normal_resource, normal_scope, normal_span};

    return put_batch(b, out, &l);
}

/* ---- detailed ---- */

static int put_labelled(struct buf *out, const char *label, struct slice s)
{
    return put(out, label) || put_text(out, s) || put(out, "\n") ? -1 : 0;
}

static int put_keys(struct buf *out, const char *title, struct slice ref, uint32_t number)
{
    struct field_iter it = field_iter(ref);
    struct field f;

    if (!has(ref, number))
        return 0;
    if (put(out, title))
        return -1;
    while (field_next(&it, &f))
        if (f.number == number && put_labelled(out, "               -> ", f.bytes))
            return -1;
    return 0;
}

enum { RESOURCE_ENTITY_REFS = 3, ENTITY_SCHEMA = 1, ENTITY_TYPE = 2, ENTITY_ID_KEYS = 3, ENTITY_DESCRIPTION_KEYS = 4 };

static int put_entities(struct buf *out, struct slice resource)
{
    struct field_iter it = field_iter(resource);
    struct field f;
    unsigned i = 0;

    while (field_next(&it, &f)) {
        if (f.number != RESOURCE_ENTITY_REFS)
            continue;
        if ((i == 0 && put(out, "Resource entity refs:\n")) || buf_printf(out, "     -> Entity ref #%u:\n", i++) ||
            put_labelled(out, "          -> Type: ", field_bytes(f.bytes, ENTITY_TYPE)) ||
            put_labelled(out, "          -> Schema URL: ", field_bytes(f.bytes, ENTITY_SCHEMA)) ||
            put_keys(out, "          -> ID keys:\n", f.bytes, ENTITY_ID_KEYS) ||
            put_keys(out, "          -> Description keys:\n", f.bytes, ENTITY_DESCRIPTION_KEYS))
            return -1;
    }
    return 0;
}

static int detailed_resource(struct buf *out, unsigned i, const struct resource *r)
{
    if (buf_printf(out, "ResourceSpans #%u\n", i) || put_labelled(out, "Resource SchemaURL: ", r->schema_url) ||
        put_attribute_block(out, "Resource attributes:\n", r->resource, RESOURCE_ATTRIBUTES))
        return -1;
    return put_entities(out, r->resource);
}

static int detailed_scope(struct buf *out, unsigned i, const struct scope *s)
{
    if (buf_printf(out, "ScopeSpans #%u\n", i) || put_labelled(out, "ScopeSpans SchemaURL: ", s->schema_url) ||
        put(out, "InstrumentationScope ") || put_text(out, field_bytes(s->scope, SCOPE_NAME)) || put(out, " ") ||
        put_text(out, field_bytes(s->scope, SCOPE_VERSION)) || put(out, "\n"))
        return -1;
    return put_attribute_block(out, "InstrumentationScope attributes:\n", s->scope, SCOPE_ATTRIBUTES);
}

static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = {"Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"};

    return kind < ARRAY_LEN(names) ? names[kind] : "";
}

static const char *status_name(uint8_t code)
{
    static const char *const names[] = {"Unset", "Ok", "Error"};

    return code < ARRAY_LEN(names) ? names[code] : "";
}

static int put_span_head(struct buf *out, const struct span *s, struct slice body)
{
    struct slice state = field_bytes(body, SPAN_TRACE_STATE);

    if (put(out, "    Trace ID       : ") || put_hex(out, slice_of(s->trace_id, 16)) ||
        put(out, "\n    Parent ID      : ") ||
        (!(s->flags & SPAN_ROOT) && put_hex(out, field_bytes(body, SPAN_PARENT_ID))) ||
        put(out, "\n    ID             : ") || put_hex(out, slice_of(s->span_id, 8)) ||
        put_labelled(out, "\n    Name           : ", field_bytes(body, SPAN_NAME)) ||
        buf_printf(out, "    Kind           : %s\n", kind_name(s->kind)))
        return -1;
    if (state.len && put_labelled(out, "    TraceState     : ", state))
        return -1;
    if (put(out, "    Start time     : ") || put_time(out, s->start_ns) || put(out, "\n    End time       : ") ||
        put_time(out, s->end_ns))
        return -1;
    return buf_printf(out, "\n    Status code    : %s\n", status_name(s->status)) ||
                   put_labelled(out, "    Status message : ", field_bytes(field_bytes(body, SPAN_STATUS), STATUS_MESSAGE))
               ? -1
               : 0;
}

static int put_event(struct buf *out, unsigned i, struct slice event)
{
    if (buf_printf(out, "SpanEvent #%u\n", i) || put_labelled(out, "     -> Name: ", field_bytes(event, EVENT_NAME)) ||
        put(out, "     -> Timestamp: ") || put_time(out, uint_field(event, EVENT_TIME)) ||
        buf_printf(out, "\n     -> DroppedAttributesCount: %u\n", (unsigned)uint_field(event, EVENT_DROPPED_ATTRIBUTES)))
        return -1;
    if (!has(event, EVENT_ATTRIBUTES))
        return 0;
    return put(out, "     -> Attributes::\n") ? -1 : put_attributes(out, "     ", event, EVENT_ATTRIBUTES);
}

static int put_link(struct buf *out, unsigned i, struct slice link)
{
    if (buf_printf(out, "SpanLink #%u\n     -> Trace ID: ", i) || put_hex(out, field_bytes(link, LINK_TRACE_ID)) ||
        put(out, "\n     -> ID: ") || put_hex(out, field_bytes(link, LINK_SPAN_ID)) ||
        put_labelled(out, "\n     -> TraceState: ", field_bytes(link, LINK_TRACE_STATE)) ||
        buf_printf(out, "     -> DroppedAttributesCount: %u\n", (unsigned)uint_field(link, LINK_DROPPED_ATTRIBUTES)))
        return -1;
    if (!has(link, LINK_ATTRIBUTES))
        return 0;
    return put(out, "     -> Attributes::\n") ? -1 : put_attributes(out, "     ", link, LINK_ATTRIBUTES);
}

/* Events or links, below their title. */
static int put_list(struct buf *out, const char *title, struct slice body, uint32_t number,
                    int (*one)(struct buf *out, unsigned i, struct slice message))
{
    struct field_iter it = field_iter(body);
    struct field f;
    unsigned i = 0;

    while (field_next(&it, &f)) {
        if (f.number != number)
            continue;
        if ((i == 0 && put(out, title)) || one(out, i, f.bytes))
            return -1;
        i++;
    }
    return 0;
}

static int detailed_span(struct buf *out, unsigned i, const struct span *s)
{
    struct slice body = span_body(s);

    if (buf_printf(out, "Span #%u\n", i) || put_span_head(out, s, body) ||
        buf_printf(out, "    DroppedAttributesCount: %u\n    DroppedEventsCount: %u\n    DroppedLinksCount: %u\n",
                   (unsigned)uint_field(body, SPAN_DROPPED_ATTRIBUTES), (unsigned)uint_field(body, SPAN_DROPPED_EVENTS),
                   (unsigned)uint_field(body, SPAN_DROPPED_LINKS)))
        return -1;
    if (put_attribute_block(out, "Attributes:\n", body, SPAN_ATTRIBUTES) ||
        put_list(out, "Events:\n", body, SPAN_EVENTS, put_event))
        return -1;
    return put_list(out, "Links:\n", body, SPAN_LINKS, put_link);
}

int debug_text_detailed(const struct batch *b, struct buf *out)
{
    static const struct layout l = {detailed_resource, detailed_scope, detailed_span};

    return put_batch(b, out, &l);
}
