/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf to OTLP/JSON, straight from the wire: the descriptors name the fields, the bytes are read
 * where they lie. A message is scanned once to see what is there; a field that repeats is then read
 * from its first record to its last. Nothing is unpacked, so nothing is allocated but the output.
 *
 * As the Collector writes it: zeros left out, ids in lower-case hex, 64-bit integers as strings;
 * `resource`, `scope` and `status` are there even when empty.
 *
 * Reads only what the walk has accepted. A singular message that comes in parts shows its last part
 * (senders do not write such); for resource and scope the index holds the merged bytes.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/attr.h"
#include "model/otlp_json.h"
#include "model/otlp_json_priv.h"
#include "model/proto/otlp.pb-c.h"
#include "platform/num.h"

enum { FIELDS_MAX = 24 };

static int put(struct buf *out, const char *s)
{
    return buf_add(out, s, strlen(s));
}

/* "trace_id" as "traceId", quoted, with the colon. */
static int put_name(struct buf *out, const char *name)
{
    char text[64];
    size_t n = 0;

    text[n++] = '"';
    for (; *name; name++) {
        CHECK(n + 3 < sizeof(text));
        if (*name == '_' && name[1] >= 'a' && name[1] <= 'z')
            text[n++] = (char)(*++name - ('a' - 'A'));
        else
            text[n++] = *name;
    }
    text[n++] = '"';
    text[n++] = ':';
    return buf_add(out, text, n);
}

static int put_hex(struct buf *out, struct slice s)
{
    static const char hex[] = "0123456789abcdef";

    if (buf_reserve(out, 2 * s.len + 2))
        return -1;
    out->p[out->len++] = '"';
    for (size_t i = 0; i < s.len; i++) {
        out->p[out->len++] = (uint8_t)hex[s.p[i] >> 4];
        out->p[out->len++] = (uint8_t)hex[s.p[i] & 15];
    }
    out->p[out->len++] = '"';
    return 0;
}

static int put_base64(struct buf *out, struct slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (buf_reserve(out, (s.len + 2) / 3 * 4 + 2))
        return -1;
    out->p[out->len++] = '"';
    for (size_t i = 0; i < s.len; i += 3) {
        size_t left = s.len - i;
        uint32_t bits = (uint32_t)s.p[i] << 16;

        if (left > 1)
            bits |= (uint32_t)s.p[i + 1] << 8;
        if (left > 2)
            bits |= s.p[i + 2];
        out->p[out->len++] = (uint8_t)digits[bits >> 18];
        out->p[out->len++] = (uint8_t)digits[bits >> 12 & 63];
        out->p[out->len++] = left > 1 ? (uint8_t)digits[bits >> 6 & 63] : '=';
        out->p[out->len++] = left > 2 ? (uint8_t)digits[bits & 63] : '=';
    }
    out->p[out->len++] = '"';
    return 0;
}

static int put_double(struct buf *out, uint64_t bits)
{
    char text[32];
    double v;

    memcpy(&v, &bits, sizeof(v));
    if (isfinite(v))
        return buf_add(out, text, num_json(text, v));
    return put(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static int put_integer(struct buf *out, const char *format, uint64_t v)
{
    char text[32];
    int n;

    switch (*format) {
    case 'u': n = snprintf(text, sizeof(text), "\"%llu\"", (unsigned long long)v); break;
    case 'd': n = snprintf(text, sizeof(text), "\"%lld\"", (long long)v); break;
    case 'i': n = snprintf(text, sizeof(text), "%d", (int)(int32_t)v); break;
    default: n = snprintf(text, sizeof(text), "%u", (unsigned)(uint32_t)v);
    }
    return buf_add(out, text, (size_t)n);
}

static int put_bytes(struct buf *out, const ProtobufCFieldDescriptor *d, struct slice s)
{
    switch (otlp_json_form(d)) {
    case FORM_HEX16:
    case FORM_HEX8: return put_hex(out, s);
    case FORM_BASE64: return put_base64(out, s);
    default: return buf_add_json(out, s);
    }
}

static int put_message(struct buf *out, const ProtobufCMessageDescriptor *m, struct slice body);

static int put_value(struct buf *out, const ProtobufCFieldDescriptor *d, const struct field *f)
{
    switch (d->type) {
    case PROTOBUF_C_TYPE_MESSAGE: return put_message(out, (const ProtobufCMessageDescriptor *)d->descriptor, f->bytes);
    case PROTOBUF_C_TYPE_BYTES: return put_bytes(out, d, f->bytes);
    case PROTOBUF_C_TYPE_BOOL: return put(out, f->value ? "true" : "false");
    case PROTOBUF_C_TYPE_DOUBLE: return put_double(out, f->value);
    case PROTOBUF_C_TYPE_FIXED64: return put_integer(out, "u", f->value);
    case PROTOBUF_C_TYPE_INT64: return put_integer(out, "d", f->value);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: return put_integer(out, "i", f->value);
    default: return put_integer(out, "w", f->value);
    }
}

/* What a message holds: per field of its descriptor where it begins and ends, and its last value. */
struct found {
    struct field_iter from; /* at its first record */
    const uint8_t *last;    /* its last record; NULL: absent */
    struct field value;
};

static void scan(const ProtobufCMessageDescriptor *m, struct slice body, struct found *found)
{
    struct field_iter it = field_iter(body), at = it;
    struct field f;
    int oneof = -1;

    for (; field_next(&it, &f); at = it) {
        int i = 0;

        while (i < (int)m->n_fields && m->fields[i].id != f.number)
            i++;
        if (i == (int)m->n_fields)
            continue; /* unknown */
        if (m->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            if (oneof >= 0 && oneof != i)
                found[oneof].last = NULL; /* the last member of a oneof wins */
            oneof = i;
        }
        if (!found[i].last)
            found[i].from = at;
        found[i].last = f.rec.p;
        found[i].value = f;
    }
}

static int put_array(struct buf *out, const ProtobufCFieldDescriptor *d, const struct found *found)
{
    struct field_iter it = found->from;
    struct field f;
    bool any = false;

    if (put(out, "["))
        return -1;
    while (field_next(&it, &f)) {
        if (f.number != d->id)
            continue;
        if ((any && put(out, ",")) || put_value(out, d, &f))
            return -1;
        any = true;
        if (f.rec.p == found->last)
            break;
    }
    return put(out, "]");
}

/* Zero and empty are left out where they mean absent. */
static bool shown(const ProtobufCFieldDescriptor *d, const struct found *found)
{
    if (!found->last)
        return false;
    if (d->label == PROTOBUF_C_LABEL_REPEATED || d->type == PROTOBUF_C_TYPE_MESSAGE ||
        (d->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
        return true;
    return d->type == PROTOBUF_C_TYPE_BYTES ? found->value.bytes.len > 0 : found->value.value != 0;
}

static int put_field(struct buf *out, const ProtobufCFieldDescriptor *d, const struct found *found)
{
    if (put_name(out, d->name))
        return -1;
    if (d->label == PROTOBUF_C_LABEL_REPEATED)
        return put_array(out, d, found);
    return put_value(out, d, &found->value);
}

static int put_message(struct buf *out, const ProtobufCMessageDescriptor *m, struct slice body)
{
    struct found found[FIELDS_MAX] = {{.last = NULL}};
    bool any = false;

    CHECK(m->n_fields <= FIELDS_MAX);
    scan(m, body, found);
    if (put(out, "{"))
        return -1;
    for (unsigned i = 0; i < m->n_fields; i++) {
        if (!shown(&m->fields[i], &found[i])) {
            if (m == &otlp__span__descriptor && m->fields[i].id == SPAN_STATUS) {
                if (put(out, any ? ",\"status\":{}" : "\"status\":{}"))
                    return -1;
                any = true;
            }
            continue;
        }
        if ((any && put(out, ",")) || put_field(out, &m->fields[i], &found[i]))
            return -1;
        any = true;
    }
    return put(out, "}");
}

static int put_schema(struct buf *out, struct slice url)
{
    if (!url.len)
        return 0;
    return put(out, ",\"schemaUrl\":") ? -1 : buf_add_json(out, url);
}

/* Spans [i, end) as far as they are of one scope. Returns the first that is not, or -1. */
static int64_t put_scope(struct buf *out, const struct payload *p, uint32_t i, uint32_t end)
{
    uint32_t scope = p->spans[i].scope;
    const struct scope *s = &p->scopes[scope];

    if (put(out, "{\"scope\":") || put_message(out, &otlp__scope__descriptor, s->scope) || put(out, ",\"spans\":["))
        return -1;
    for (bool any = false; i < end && p->spans[i].scope == scope; i++, any = true)
        if ((any && put(out, ",")) || put_message(out, &otlp__span__descriptor, span_body(&p->spans[i])))
            return -1;
    return put(out, "]") || put_schema(out, s->schema_url) || put(out, "}") ? -1 : (int64_t)i;
}

static int64_t put_resource(struct buf *out, const struct payload *p, uint32_t i, uint32_t end)
{
    uint32_t resource = p->scopes[p->spans[i].scope].resource;
    const struct resource *r = &p->resources[resource];

    if (put(out, "{\"resource\":") || put_message(out, &otlp__resource__descriptor, r->resource) ||
        put(out, ",\"scopeSpans\":["))
        return -1;
    for (bool any = false; i < end && p->scopes[p->spans[i].scope].resource == resource; any = true) {
        int64_t next = any && put(out, ",") ? -1 : put_scope(out, p, i, end);

        if (next < 0)
            return -1;
        i = (uint32_t)next;
    }
    return put(out, "]") || put_schema(out, r->schema_url) || put(out, "}") ? -1 : (int64_t)i;
}

static int put_parts(struct buf *out, const struct batch *b)
{
    bool any = false;

    for (uint32_t k = 0; k < b->n_parts; k++) {
        const struct part *part = &b->parts[k];
        uint32_t i = part->first, end = part->first + part->n;

        while (i < end) {
            int64_t next = any && put(out, ",") ? -1 : put_resource(out, part->payload, i, end);

            if (next < 0)
                return -1;
            i = (uint32_t)next;
            any = true;
        }
    }
    return 0;
}

int otlp_json_encode(const struct batch *b, struct buf *out)
{
    size_t before = out->len;

    if (put(out, "{\"resourceSpans\":[") || put_parts(out, b) || put(out, "]}")) {
        out->len = before;
        return -1;
    }
    return 0;
}

static int put_retry_info(struct buf *out, uint64_t after_ms)
{
    char fraction[8] = "";

    if (after_ms % 1000)
        snprintf(fraction, sizeof(fraction), ".%03u", (unsigned)(after_ms % 1000));
    return buf_printf(out, ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"%llu%ss\"}]",
                      (unsigned long long)(after_ms / 1000), fraction);
}

int otlp_json_status(struct buf *out, int code, const char *message, uint64_t retry_after_ms)
{
    size_t before = out->len;

    if (buf_printf(out, "{\"code\":%d,\"message\":", code) || buf_add_json(out, slice_str(message)))
        goto full;
    if (retry_after_ms && put_retry_info(out, retry_after_ms))
        goto full;
    if (put(out, "}") == 0)
        return 0;
full:
    out->len = before;
    return -1;
}

int otlp_json_response(struct buf *out, uint64_t rejected_spans, const char *message)
{
    size_t before = out->len;
    bool text = message && *message;

    if (put(out, "{\"partialSuccess\":{"))
        goto full;
    if (rejected_spans && (put(out, "\"rejectedSpans\":") || put_integer(out, "u", rejected_spans)))
        goto full;
    if (text && (put(out, rejected_spans ? ",\"errorMessage\":" : "\"errorMessage\":") ||
                 buf_add_json(out, slice_str(message))))
        goto full;
    if (put(out, "}}") == 0)
        return 0;
full:
    out->len = before;
    return -1;
}
