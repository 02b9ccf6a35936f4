/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC's small parts. The protobuf here is five messages of at most three fields (Status, Any,
 * RetryInfo, Duration), so a writer and a reader of a few lines each do; net/ knows no model.
 */
#include "net/grpc.h"

#include <stdio.h>

#define RETRY_INFO_URL "type.googleapis.com/google.rpc.RetryInfo"

/* ---- codes ---- */

static const struct code_row {
    const char *name;
    int http;
    bool retryable;
} codes[GRPC_CODES] = {
    [GRPC_OK] = {"OK", 200, false},
    [GRPC_CANCELLED] = {"Canceled", 503, true},
    [GRPC_UNKNOWN] = {"Unknown", 500, false},
    [GRPC_INVALID_ARGUMENT] = {"InvalidArgument", 400, false},
    [GRPC_DEADLINE_EXCEEDED] = {"DeadlineExceeded", 503, true},
    [GRPC_NOT_FOUND] = {"NotFound", 500, false},
    [GRPC_ALREADY_EXISTS] = {"AlreadyExists", 500, false},
    [GRPC_PERMISSION_DENIED] = {"PermissionDenied", 403, false},
    [GRPC_RESOURCE_EXHAUSTED] = {"ResourceExhausted", 429, false},
    [GRPC_FAILED_PRECONDITION] = {"FailedPrecondition", 500, false},
    [GRPC_ABORTED] = {"Aborted", 503, true},
    [GRPC_OUT_OF_RANGE] = {"OutOfRange", 503, true},
    [GRPC_UNIMPLEMENTED] = {"Unimplemented", 404, false},
    [GRPC_INTERNAL] = {"Internal", 500, false},
    [GRPC_UNAVAILABLE] = {"Unavailable", 503, true},
    [GRPC_DATA_LOSS] = {"DataLoss", 503, true},
    [GRPC_UNAUTHENTICATED] = {"Unauthenticated", 401, false},
};

static const struct code_row *row_of(int code)
{
    return &codes[code >= 0 && code < GRPC_CODES ? code : GRPC_UNKNOWN];
}

const char *grpc_code_name(int code)
{
    return row_of(code)->name;
}

int grpc_code_to_http(int code)
{
    return row_of(code)->http;
}

bool grpc_code_retryable(int code, bool has_retry_info)
{
    return row_of(code)->retryable || (code == GRPC_RESOURCE_EXHAUSTED && has_retry_info);
}

int grpc_code_from_http(int status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

int grpc_status_from_http(int status)
{
    switch (status) {
    case 400:
    case 413:
    case 415:
        return GRPC_INVALID_ARGUMENT;
    case 429:
        return GRPC_RESOURCE_EXHAUSTED;
    default:
        return grpc_code_from_http(status);
    }
}

/* ---- framing ---- */

bool grpc_prefix_feed(struct grpc_prefix *x, const uint8_t **p, size_t *n)
{
    size_t take = GRPC_PREFIX_BYTES - (size_t)x->have;

    if (take > *n)
        take = *n;
    if (take == 0) /* an empty body has no address */
        return x->have == GRPC_PREFIX_BYTES;
    memcpy(x->bytes + x->have, *p, take);
    x->have = (uint8_t)(x->have + take);
    *p += take;
    *n -= take;
    return x->have == GRPC_PREFIX_BYTES;
}

uint8_t grpc_prefix_flag(const struct grpc_prefix *x)
{
    return x->bytes[0];
}

uint32_t grpc_prefix_length(const struct grpc_prefix *x)
{
    return (uint32_t)x->bytes[1] << 24 | (uint32_t)x->bytes[2] << 16 | (uint32_t)x->bytes[3] << 8 |
           x->bytes[4];
}

void grpc_prefix_put(uint8_t dst[static GRPC_PREFIX_BYTES], bool compressed, uint32_t len)
{
    dst[0] = compressed;
    dst[1] = (uint8_t)(len >> 24);
    dst[2] = (uint8_t)(len >> 16);
    dst[3] = (uint8_t)(len >> 8);
    dst[4] = (uint8_t)len;
}

/* ---- timeouts ---- */

static const struct unit {
    char letter;
    uint64_t ns;
} units[] = {{'n', 1},          {'u', 1000},        {'m', 1000000},
             {'S', 1000000000}, {'M', 60000000000}, {'H', 3600000000000}};

int grpc_timeout_parse(struct slice s, uint64_t *ns)
{
    uint64_t v = 0;

    if (s.len < 2 || s.len > 9)
        return -1;
    for (size_t i = 0; i + 1 < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -1;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (units[i].letter == (char)s.p[s.len - 1]) {
            *ns = v > UINT64_MAX / units[i].ns ? UINT64_MAX : v * units[i].ns;
            return 0;
        }
    }
    return -1;
}

void grpc_timeout_format(uint64_t ns, char dst[static 16])
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        uint64_t v = ns / units[i].ns + (ns % units[i].ns != 0);
        if (v <= 99999999 || i + 1 == ARRAY_LEN(units)) {
            snprintf(dst, 16, "%u%c", (unsigned)(v <= 99999999 ? v : 99999999), units[i].letter);
            return;
        }
    }
}

/* ---- text encodings ---- */

void grpc_message_encode(struct buf *out, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_putc(out, (char)c);
        } else {
            char esc[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_put(out, esc, sizeof esc);
        }
    }
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void grpc_message_decode(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        int hi = s.p[i] == '%' && i + 2 < s.len ? hex_value(s.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_value(s.p[i + 2]) : -1;
        if (lo >= 0) {
            buf_putc(out, (char)(hi * 16 + lo));
            i += 2;
        } else {
            buf_putc(out, (char)s.p[i]);
        }
    }
}

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i < 3 ? s.len - i : 3;
        uint32_t v = (uint32_t)s.p[i] << 16 | (n > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) |
                     (n > 2 ? s.p[i + 2] : 0);
        for (size_t k = 0; k <= n; k++)
            buf_putc(out, base64_alphabet[v >> (18 - 6 * k) & 63]);
    }
}

static int base64_value(uint8_t c)
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

int base64_decode(struct buf *out, struct slice s)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t start = out->len;

    if (s.len % 4 == 0)
        for (int i = 0; i < 2 && s.len && s.p[s.len - 1] == '='; i++)
            s.len--;
    for (size_t i = 0; i < s.len; i++) {
        int v = base64_value(s.p[i]);
        uint8_t byte = 0;
        bits = bits << 6 | (uint32_t)(v & 63);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            byte = (uint8_t)(bits >> n_bits);
        }
        if (v < 0 || (n_bits != 6 && buf_add(out, &byte, 1) != 0)) {
            out->len = start;
            return -1;
        }
    }
    if (s.len % 4 == 1) {
        out->len = start;
        return -1;
    }
    return 0;
}

/* ---- google.rpc.Status ---- */

static void put_varint(struct buf *out, uint64_t v)
{
    while (v >= 0x80) {
        buf_putc(out, (char)(v | 0x80));
        v >>= 7;
    }
    buf_putc(out, (char)v);
}

static void put_bytes(struct buf *out, uint32_t number, struct slice s)
{
    put_varint(out, number << 3 | 2);
    put_varint(out, s.len);
    buf_put(out, s.p, s.len);
}

static void put_uint(struct buf *out, uint32_t number, uint64_t v)
{
    if (v == 0)
        return;
    put_varint(out, number << 3);
    put_varint(out, v);
}

void grpc_retry_info_encode(struct buf *out, uint64_t retry_after_ms)
{
    struct buf duration = {0};

    put_uint(&duration, 1, retry_after_ms / 1000);
    put_uint(&duration, 2, retry_after_ms % 1000 * 1000000);
    put_bytes(out, 1, slice_of(duration.p, duration.len));
    buf_free(&duration);
}

void grpc_status_encode(struct buf *out, int code, struct slice message, bool has_retry,
                        uint64_t retry_after_ms)
{
    struct buf info = {0}, any = {0};

    put_uint(out, 1, (uint64_t)code);
    if (message.len)
        put_bytes(out, 2, message);
    if (has_retry) {
        grpc_retry_info_encode(&info, retry_after_ms);
        put_bytes(&any, 1, slice_str(RETRY_INFO_URL));
        put_bytes(&any, 2, slice_of(info.p, info.len));
        put_bytes(out, 3, slice_of(any.p, any.len));
    }
    buf_free(&info);
    buf_free(&any);
}

/* One field of any message. Groups and wire types 6 and 7 are malformed. */
struct field {
    uint32_t number;
    uint64_t value;
    struct slice bytes;
};

static int get_varint(struct slice *s, uint64_t *v)
{
    *v = 0;
    for (unsigned i = 0; i < 10 && i < s->len; i++) {
        *v |= (uint64_t)(s->p[i] & 0x7f) << (7 * i);
        if (s->p[i] < 0x80) {
            *s = slice_of(s->p + i + 1, s->len - i - 1);
            return 0;
        }
    }
    return -1;
}

static int get_field(struct slice *s, struct field *f)
{
    uint64_t tag, n = 0;

    *f = (struct field){0};
    if (get_varint(s, &tag) != 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return -1;
    f->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case 0:
        return get_varint(s, &f->value);
    case 1:
        n = 8;
        break;
    case 2:
        if (get_varint(s, &n) != 0)
            return -1;
        break;
    case 5:
        n = 4;
        break;
    default:
        return -1;
    }
    if (n > s->len)
        return -1;
    f->bytes = slice_of(s->p, (size_t)n);
    *s = slice_of(s->p + n, s->len - (size_t)n);
    return 0;
}

static int duration_decode(struct slice s, uint64_t *ms)
{
    struct field f;
    int64_t seconds = 0, nanos = 0;

    while (s.len) {
        if (get_field(&s, &f) != 0)
            return -1;
        if (f.number == 1)
            seconds = (int64_t)f.value;
        if (f.number == 2)
            nanos = (int64_t)f.value;
    }
    if (seconds < 0 || nanos < 0 || nanos > 999999999 || seconds > INT64_MAX / 2000)
        return -1;
    *ms = (uint64_t)seconds * 1000 + (uint64_t)(nanos + 999999) / 1000000;
    return 0;
}

int grpc_retry_info_decode(struct slice s, uint64_t *retry_after_ms)
{
    struct field f;

    *retry_after_ms = 0;
    while (s.len) {
        if (get_field(&s, &f) != 0)
            return -1;
        if (f.number == 1 && duration_decode(f.bytes, retry_after_ms) != 0)
            return -1;
    }
    return 0;
}

static int any_decode(struct slice s, struct grpc_status *out)
{
    struct slice url = {0}, value = {0};
    struct field f;
    uint64_t ms;

    while (s.len) {
        if (get_field(&s, &f) != 0)
            return -1;
        if (f.number == 1)
            url = f.bytes;
        if (f.number == 2)
            value = f.bytes;
    }
    if (slice_eq(url, slice_str(RETRY_INFO_URL)) && grpc_retry_info_decode(value, &ms) == 0) {
        out->has_retry = true;
        out->retry_after_ms = ms;
    }
    return 0;
}

int grpc_status_decode(struct slice s, struct grpc_status *out)
{
    struct field f;

    *out = (struct grpc_status){0};
    while (s.len) {
        if (get_field(&s, &f) != 0)
            return -1;
        if (f.number == 1)
            out->code = (int)(int32_t)f.value;
        if (f.number == 2)
            out->message = f.bytes;
        if (f.number == 3 && any_decode(f.bytes, out) != 0)
            return -1;
    }
    return 0;
}
