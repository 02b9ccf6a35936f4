/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON to protobuf. The descriptors that protoc-c generates say which member is which field;
 * the bytes are written as they are read, so nothing is held but the output.
 *
 * A submessage's length is known after its body: one byte is left for it, and a body over 127 bytes
 * moves up. Members that repeat follow protobuf's own rules (arrays append, objects merge, the last
 * scalar wins), because the output says so.
 *
 * What senders write that proto3's JSON does not know, and is taken all the same: snake_case names,
 * enum names, numbers with a fraction of zero or an exponent for integers, integers beyond 64 bits
 * as attribute values (they become doubles), 64-bit integers as {"low":..,"high":..} halves, bytes
 * as arrays or Node's Buffer objects, null for anything, the names of 2021's drafts.
 *
 * Limits: nesting JR_MAX_DEPTH; the output's cap bounds memory. The result has not been walked.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/attr.h"
#include "model/json_reader.h"
#include "model/otlp_json.h"
#include "model/otlp_json_priv.h"
#include "model/proto/otlp.pb-c.h"

/* Names of members, ids, numbers; names that are longer are refused. */
enum { KEY_MAX_BYTES = 4096, NUMBER_MAX_BYTES = 1024 };

struct decoder {
    struct json_reader r;
    struct buf key, text; /* scratch */
    struct buf *out;
};

static int full(struct decoder *d)
{
    return jr_error(&d->r, "too large");
}

/* "startTimeUnixNano" or "start_time_unix_nano" is start_time_unix_nano. */
static bool same_name(struct slice key, const char *name)
{
    size_t i = 0;

    for (; *name; name++, i++) {
        if (i == key.len)
            return false;
        if (*name == '_' && key.p[i] >= 'A' && key.p[i] <= 'Z') {
            if (key.p[i] + ('a' - 'A') != name[1])
                return false;
            name++;
        } else if (key.p[i] != (uint8_t)*name) {
            return false;
        }
    }
    return i == key.len;
}

/* Members that are not named like their field. NULL: look it up. */
static const char *draft_name(const ProtobufCMessageDescriptor *m, struct slice key)
{
    if (m == &otlp__resource_spans__descriptor && slice_eq(key, slice_str("instrumentationLibrarySpans")))
        return "legacy_scope_spans";
    if (m == &otlp__scope_spans__descriptor && slice_eq(key, slice_str("instrumentationLibrary")))
        return "scope";
    return NULL;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *m, struct slice key)
{
    const char *draft = draft_name(m, key);

    if (draft)
        return protobuf_c_message_descriptor_get_field_by_name(m, draft);
    for (unsigned i = 0; i < m->n_fields; i++)
        if (same_name(key, m->fields[i].name))
            return m->fields[i].id == LEGACY_SCOPE_SPANS ? NULL : &m->fields[i];
    return NULL;
}

/* The value of a JSON number as an integer. 0; 1 when it is one but over 64 bits; -1 when it is none. */
static int integral(struct slice text, bool *negative, uint64_t *magnitude)
{
    const uint8_t *p = text.p, *end = text.p + text.len, *e;
    long exponent = 0, seen = 0, before_point;
    bool over = false;

    *magnitude = 0;
    *negative = p < end && *p == '-';
    p += *negative;
    for (e = p; e < end && (*e | 0x20) != 'e'; e++)
        ;
    if (e < end) {
        char copy[8] = "";

        if (end - e - 1 > (long)sizeof(copy) - 1)
            return -1;
        memcpy(copy, e + 1, (size_t)(end - e - 1));
        exponent = strtol(copy, NULL, 10);
    }
    before_point = exponent;
    for (const uint8_t *q = p; q < e && *q != '.'; q++)
        before_point++;
    for (; p < e; p++) {
        if (*p == '.')
            continue;
        if (seen++ >= before_point) {
            if (*p != '0')
                return -1;
            continue;
        }
        over = over || __builtin_mul_overflow(*magnitude, 10, magnitude) ||
               __builtin_add_overflow(*magnitude, (uint64_t)(*p - '0'), magnitude);
    }
    for (; seen < before_point && *magnitude && !over; seen++)
        over = __builtin_mul_overflow(*magnitude, 10, magnitude);
    return over ? 1 : 0;
}

/* A number, or a string that holds one: its text in d->text. */
static int take_numeric(struct decoder *d, const char *name, bool *quoted)
{
    struct json_reader inner;
    struct slice text;

    *quoted = jr_peek(&d->r) == JR_STRING;
    buf_clear(&d->text);
    if (!*quoted) {
        if (jr_peek(&d->r) != JR_NUMBER)
            return jr_error(&d->r, "%s: not a number", name);
        if (jr_take_number(&d->r, &text))
            return -1;
        if (text.len > NUMBER_MAX_BYTES)
            return jr_error(&d->r, "%s: number too long", name);
        return buf_add(&d->text, text.p, text.len) ? full(d) : 0;
    }
    if (jr_take_string(&d->r, &d->text))
        return -1;
    jr_init(&inner, slice_of(d->text.p, d->text.len), NULL);
    if (d->text.len && d->text.len <= NUMBER_MAX_BYTES && d->text.p[0] >= '-' &&
        jr_take_number(&inner, &text) == 0 && inner.p == inner.end)
        return 0;
    return jr_error(&d->r, "%s: not a number", name);
}

/* Signed 32-bit half of a {"low","high"} pair. */
static int take_half(struct decoder *d, const char *name, uint32_t *half)
{
    bool negative, quoted;
    uint64_t n;

    if (take_numeric(d, name, &quoted))
        return -1;
    if (integral(slice_of(d->text.p, d->text.len), &negative, &n) || n > UINT32_MAX)
        return jr_error(&d->r, "%s: not a 32-bit integer", name);
    *half = negative ? (uint32_t)(0 - n) : (uint32_t)n;
    return 0;
}

static int take_halves(struct decoder *d, const char *name, uint64_t *v)
{
    uint32_t low = 0, high = 0;
    int rc;

    if (jr_enter(&d->r, JR_OBJECT))
        return -1;
    while ((rc = jr_next_member(&d->r, &d->key)) == 1) {
        struct slice key = slice_of(d->key.p, d->key.len);

        if (slice_eq(key, slice_str("low")))
            rc = take_half(d, name, &low);
        else if (slice_eq(key, slice_str("high")))
            rc = take_half(d, name, &high);
        else
            rc = jr_skip(&d->r);
        if (rc)
            return -1;
    }
    *v = (uint64_t)high << 32 | low;
    return rc;
}

struct int_range {
    uint64_t most_negative, most; /* magnitudes */
};

static struct int_range range_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64: return (struct int_range){1ull << 63, INT64_MAX};
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM: return (struct int_range){1ull << 31, INT32_MAX};
    case PROTOBUF_C_TYPE_FIXED64: return (struct int_range){0, UINT64_MAX};
    default: return (struct int_range){0, UINT32_MAX};
    }
}

/* 0 with *v in two's complement; 1 when it is a number out of range (text in d->text); -1. */
static int take_integer(struct decoder *d, const ProtobufCFieldDescriptor *f, uint64_t *v)
{
    struct int_range range = range_of(f->type);
    bool negative, quoted;
    int rc;

    if (jr_peek(&d->r) == JR_OBJECT &&
        (f->type == PROTOBUF_C_TYPE_INT64 || f->type == PROTOBUF_C_TYPE_FIXED64))
        return take_halves(d, f->name, v);
    if (take_numeric(d, f->name, &quoted))
        return -1;
    rc = integral(slice_of(d->text.p, d->text.len), &negative, v);
    if (rc < 0)
        return jr_error(&d->r, "%s: not an integer", f->name);
    if (rc == 0 && *v <= (negative ? range.most_negative : range.most)) {
        if (negative)
            *v = 0 - *v;
        return 0;
    }
    return quoted ? jr_error(&d->r, "%s: out of range", f->name) : 1;
}

static int take_enum(struct decoder *d, const ProtobufCFieldDescriptor *f, uint64_t *v)
{
    const ProtobufCEnumValue *found;

    if (jr_peek(&d->r) != JR_STRING)
        return take_integer(d, f, v);
    buf_clear(&d->text);
    if (jr_take_string(&d->r, &d->text) || buf_add(&d->text, "", 1))
        return -1;
    found = protobuf_c_enum_descriptor_get_value_by_name((const ProtobufCEnumDescriptor *)f->descriptor,
                                                         (const char *)d->text.p);
    if (!found)
        return jr_error(&d->r, "%s: unknown value", f->name);
    *v = (uint64_t)found->value;
    return 0;
}

/* The text in d->text, which has the form of a JSON number. */
static double text_as_double(struct decoder *d)
{
    char copy[NUMBER_MAX_BYTES + 1];

    memcpy(copy, d->text.p, d->text.len);
    copy[d->text.len] = '\0';
    return strtod(copy, NULL);
}

static int take_double(struct decoder *d, const char *name, double *v)
{
    static const struct {
        const char *text;
        double v;
    } words[] = {{"\"NaN\"", (double)NAN}, {"\"Infinity\"", (double)INFINITY}, {"\"-Infinity\"", -(double)INFINITY}};
    bool quoted;

    jr_peek(&d->r);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i].text);

        if ((size_t)(d->r.end - d->r.p) >= n && memcmp(d->r.p, words[i].text, n) == 0) {
            d->r.p += n;
            *v = words[i].v;
            return 0;
        }
    }
    if (take_numeric(d, name, &quoted))
        return -1;
    *v = text_as_double(d);
    return isinf(*v) ? jr_error(&d->r, "%s: out of range", name) : 0;
}

static bool in_oneof(const ProtobufCFieldDescriptor *f)
{
    return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

static int put_double(struct decoder *d, uint32_t number, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return wire_put_fixed64(d->out, number, bits) ? full(d) : 0;
}

static int put_fixed32(struct buf *out, uint32_t number, uint64_t v)
{
    uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

    return wire_put_tag(out, number, 5) ? -1 : buf_add(out, bytes, sizeof(bytes));
}

static int decode_integer(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    uint64_t v = 0;
    int rc = f->type == PROTOBUF_C_TYPE_ENUM ? take_enum(d, f, &v) : take_integer(d, f, &v);

    if (rc == 1 && f->type == PROTOBUF_C_TYPE_INT64 && in_oneof(f)) /* JS: 1e21 is an integer, too */
        return put_double(d, ANY_DOUBLE_VALUE, text_as_double(d));
    if (rc == 1)
        return jr_error(&d->r, "%s: out of range", f->name);
    if (rc)
        return -1;
    if (!v && !in_oneof(f))
        return 0;
    switch (f->type) {
    case PROTOBUF_C_TYPE_FIXED64: rc = wire_put_fixed64(d->out, f->id, v); break;
    case PROTOBUF_C_TYPE_FIXED32: rc = put_fixed32(d->out, f->id, v); break;
    default: rc = wire_put_uint(d->out, f->id, v);
    }
    return rc ? full(d) : 0;
}

static int decode_bool(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    enum jr_kind kind = jr_peek(&d->r);

    if (kind != JR_TRUE && kind != JR_FALSE)
        return jr_error(&d->r, "%s: neither true nor false", f->name);
    if (jr_take_literal(&d->r))
        return -1;
    if (kind == JR_FALSE && !in_oneof(f))
        return 0;
    return wire_put_uint(d->out, f->id, kind == JR_TRUE) ? full(d) : 0;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_id(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t want)
{
    uint8_t id[16];

    buf_clear(&d->text);
    if (jr_peek(&d->r) != JR_STRING)
        return jr_error(&d->r, "%s: not a string", f->name);
    if (jr_take_string(&d->r, &d->text))
        return -1;
    if (!d->text.len)
        return 0;
    if (d->text.len != 2 * want)
        return jr_error(&d->r, "%s: length mismatch", f->name);
    for (size_t i = 0; i < want; i++) {
        int high = hex_digit(d->text.p[2 * i]), low = hex_digit(d->text.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return jr_error(&d->r, "%s: not hexadecimal", f->name);
        id[i] = (uint8_t)(high << 4 | low);
    }
    return wire_put_bytes(d->out, f->id, slice_of(id, want)) ? full(d) : 0;
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

/* A length-delimited field begins: tag, and a byte for the length. Returns where its body begins in
 * *at. */
static int begin_field(struct decoder *d, const ProtobufCFieldDescriptor *f, size_t *at)
{
    if (wire_put_tag(d->out, f->id, 2) || buf_add(d->out, "", 1)) {
        full(d);
        return -1;
    }
    *at = d->out->len;
    return 0;
}

/* Its body is complete: the length goes in front of it. */
static int end_field(struct decoder *d, size_t at)
{
    size_t len = d->out->len - at, size = varint_size(len);

    if (buf_reserve(d->out, size - 1))
        return full(d);
    if (size > 1)
        memmove(d->out->p + at + size - 1, d->out->p + at, len);
    varint_put(d->out->p + at - 1, len);
    d->out->len += size - 1;
    return 0;
}

/* In place: what the output holds from `at` shrinks from base64 (either alphabet, padded or not) to
 * bytes. */
static int unbase64(struct decoder *d, const char *name, size_t at)
{
    uint8_t *text = d->out->p + at;
    size_t in = 0, out = 0, all = d->out->len - at, len = all;
    uint32_t bits = 0;
    int n = 0;

    while (len && all - len < 2 && text[len - 1] == '=')
        len--;
    for (; in < len; in++) {
        int digit = base64_digit(text[in]);

        if (digit < 0)
            return jr_error(&d->r, "%s: not base64", name);
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        n += 6;
        if (n >= 8) {
            n -= 8;
            text[out++] = (uint8_t)(bits >> n);
        }
    }
    if (len % 4 == 1 || (len % 4 == 0 && len < all))
        return jr_error(&d->r, "%s: not base64", name);
    d->out->len = at + out;
    return 0;
}

static int take_byte_array(struct decoder *d, const char *name)
{
    struct slice text;
    bool negative;
    uint64_t v;
    int rc;

    if (jr_enter(&d->r, JR_ARRAY))
        return -1;
    while ((rc = jr_next_element(&d->r)) == 1) {
        uint8_t byte;

        if (jr_take_number(&d->r, &text))
            return -1;
        if (integral(text, &negative, &v) || negative || v > 255)
            return jr_error(&d->r, "%s: not a byte", name);
        byte = (uint8_t)v;
        if (buf_add(d->out, &byte, 1))
            return full(d);
    }
    return rc;
}

/* {"type":"Buffer","data":[1,2]} */
static int take_node_buffer(struct decoder *d, const char *name)
{
    int rc;

    if (jr_enter(&d->r, JR_OBJECT))
        return -1;
    while ((rc = jr_next_member(&d->r, &d->key)) == 1) {
        if (slice_eq(slice_of(d->key.p, d->key.len), slice_str("data")))
            rc = take_byte_array(d, name);
        else
            rc = jr_skip(&d->r);
        if (rc)
            return -1;
    }
    return rc;
}

static int decode_raw_bytes(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    size_t at;
    int rc;

    if (begin_field(d, f, &at))
        return -1;
    switch (jr_peek(&d->r)) {
    case JR_STRING:
        rc = jr_take_string(&d->r, d->out);
        rc = rc ? rc : unbase64(d, f->name, at);
        break;
    case JR_ARRAY: rc = take_byte_array(d, f->name); break;
    case JR_OBJECT: rc = take_node_buffer(d, f->name); break;
    default: rc = jr_error(&d->r, "%s: neither a string nor an array", f->name);
    }
    return rc ? -1 : end_field(d, at);
}

static int decode_text(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    size_t before = d->out->len, at;

    if (jr_peek(&d->r) != JR_STRING)
        return jr_error(&d->r, "%s: not a string", f->name);
    if (begin_field(d, f, &at) || jr_take_string(&d->r, d->out))
        return -1;
    if (d->out->len == at && !in_oneof(f) && f->label != PROTOBUF_C_LABEL_REPEATED) {
        d->out->len = before;
        return 0;
    }
    return end_field(d, at);
}

static int decode_members(struct decoder *d, const ProtobufCMessageDescriptor *m);

static int decode_submessage(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    size_t at;

    if (begin_field(d, f, &at))
        return -1;
    if (jr_peek(&d->r) == JR_NULL) { /* an element of an array: an empty message */
        if (jr_take_literal(&d->r))
            return -1;
    } else if (decode_members(d, (const ProtobufCMessageDescriptor *)f->descriptor)) {
        return -1;
    }
    return end_field(d, at);
}

static int decode_value(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    double v;

    switch (f->type) {
    case PROTOBUF_C_TYPE_MESSAGE: return decode_submessage(d, f);
    case PROTOBUF_C_TYPE_BOOL: return decode_bool(d, f);
    case PROTOBUF_C_TYPE_DOUBLE: return take_double(d, f->name, &v) ? -1 : put_double(d, f->id, v);
    case PROTOBUF_C_TYPE_BYTES: break;
    default: return decode_integer(d, f);
    }
    switch (otlp_json_form(f)) {
    case FORM_HEX16: return decode_id(d, f, 16);
    case FORM_HEX8: return decode_id(d, f, 8);
    case FORM_BASE64: return decode_raw_bytes(d, f);
    default: return decode_text(d, f);
    }
}

static int decode_repeated(struct decoder *d, const ProtobufCFieldDescriptor *f)
{
    int rc;

    if (jr_peek(&d->r) != JR_ARRAY)
        return jr_error(&d->r, "%s: not an array", f->name);
    if (jr_enter(&d->r, JR_ARRAY))
        return -1;
    while ((rc = jr_next_element(&d->r)) == 1)
        if (decode_value(d, f))
            return -1;
    return rc;
}

static int decode_members(struct decoder *d, const ProtobufCMessageDescriptor *m)
{
    int rc;

    if (jr_peek(&d->r) != JR_OBJECT)
        return jr_error(&d->r, "%s: not an object", m->short_name);
    if (jr_enter(&d->r, JR_OBJECT))
        return -1;
    while ((rc = jr_next_member(&d->r, &d->key)) == 1) {
        const ProtobufCFieldDescriptor *f = find_field(m, slice_of(d->key.p, d->key.len));

        if (jr_peek(&d->r) == JR_NULL)
            rc = jr_take_literal(&d->r);
        else if (!f)
            rc = jr_skip(&d->r);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED)
            rc = decode_repeated(d, f);
        else
            rc = decode_value(d, f);
        if (rc)
            return -1;
    }
    return rc;
}

int otlp_json_decode(struct slice json, struct buf *out, struct err *err)
{
    struct decoder d = {.key = {.max = KEY_MAX_BYTES}, .text = {.max = KEY_MAX_BYTES}, .out = out};
    size_t before = out->len;
    int rc;

    jr_init(&d.r, json, err);
    if (jr_peek(&d.r) == JR_NULL)
        rc = jr_take_literal(&d.r);
    else
        rc = decode_members(&d, &otlp__export_request__descriptor);
    if (!rc)
        rc = jr_finish(&d.r);
    if (rc)
        out->len = before;
    buf_free(&d.key);
    buf_free(&d.text);
    return rc ? -1 : 0;
}
