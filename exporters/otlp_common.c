/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies. Uncompressed, a body is the batch's own bytes as iovecs. Compressed, it is made in a scratch
 * buffer that stays hot from batch to batch, and copied out at its exact size: a tenth of what went
 * in, so that what waits for a retry is small.
 *
 * Memory: MEM_OUTPUT is charged with the copy or the iovecs before they are kept, and with the
 * scratch buffer, which is given back after a body of more than SCRATCH_KEEP_BYTES.
 */
#include "exporters/otlp_common.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "model/otlp_json.h"
#include "net/grpc.h"
#include "platform/clock.h"

#define SCRATCH_KEEP_BYTES ((size_t)4 << 20)

/* ---- configuration ---- */

struct tls_context *otlp_client_tls(const struct tls_settings *set, enum tls_alpn alpn, struct host *h, struct err *err)
{
    struct tls_names names;

    tls_names_of(set, &names);
    return tls_context_new(&(struct tls_config){TLS_CONFIG_OF(set, &names), .alpn = alpn, .budget = h->budget,
                                                .log = &h->log}, err);
}

static bool name_ok(const char *s)
{
    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *s) != NULL)
            return false;
    return true;
}

bool header_value_ok(const char *s)
{
    for (; *s != '\0'; s++)
        if (((unsigned char)*s < ' ' && *s != '\t') || (unsigned char)*s == 0x7f)
            return false;
    return true;
}

void headers_check(const struct pair_list *headers, struct check *c)
{
    for (size_t i = 0; i < headers->n; i++) {
        const struct pair *h = &headers->v[i];

        if (!name_ok(h->name))
            check_error(c, "headers", "invalid header name \"%s\"", h->name);
        else if (h->value != NULL && !header_value_ok(h->value))
            check_error(c, "headers", "invalid character in the value of header \"%s\"", h->name);
    }
}

char *otlp_user_agent(void)
{
    struct utsname u;
    const char *arch = "unknown";

    if (uname(&u) == 0)
        arch = strcmp(u.machine, "x86_64") == 0    ? "amd64"
               : strcmp(u.machine, "aarch64") == 0 ? "arm64"
                                                   : u.machine;
    return mem_printf("tailrace/%s (linux/%s)", TAILRACE_VERSION, arch);
}

/* ---- bodies ---- */

struct body_maker {
    struct budget *budget;
    bool json;
    struct compressor *compressor; /* NULL: none */
    struct encoded encoded;        /* scratch, when its bytes are compressed at once */
    struct buf text;               /* JSON, likewise */
    struct buf scratch;            /* compressed */
    size_t scratch_charged;
};

struct body_maker *body_maker_new(struct budget *b, enum codec codec, int level, bool json)
{
    struct body_maker *m = mem_alloc(sizeof(*m));

    m->budget = b;
    m->json = json;
    if (codec != CODEC_NONE)
        m->compressor = compressor_new(codec, level);
    return m;
}

static void scratch_account(struct body_maker *m)
{
    size_t now = m->scratch.cap + m->text.cap;

    if (now > m->scratch_charged)
        budget_force(m->budget, MEM_OUTPUT, now - m->scratch_charged);
    else
        budget_release(m->budget, MEM_OUTPUT, m->scratch_charged - now);
    m->scratch_charged = now;
}

static void scratch_trim(struct body_maker *m)
{
    if (m->scratch.cap > SCRATCH_KEEP_BYTES)
        buf_free(&m->scratch);
    if (m->text.cap > SCRATCH_KEEP_BYTES)
        buf_free(&m->text);
    scratch_account(m);
}

void body_maker_free(struct body_maker **mp)
{
    struct body_maker *m = *mp;

    *mp = NULL;
    if (m == NULL)
        return;
    buf_free(&m->scratch);
    buf_free(&m->text);
    scratch_account(m);
    encoded_free(&m->encoded);
    compressor_free(&m->compressor);
    free(m);
}

/* The batch's bytes as they are: only the iovecs and broken envelopes are ours. */
static int make_plain(struct body_maker *m, const struct batch *b, struct body *out)
{
    size_t bytes;

    if (otlp_encode(b, &out->encoded) != 0)
        return -1;
    bytes = out->encoded.cap_iov * sizeof(struct iovec) + out->encoded.scratch.cap;
    if (!budget_charge(m->budget, MEM_OUTPUT, bytes))
        return -1;
    out->charged = bytes;
    out->iov = out->encoded.iov;
    out->n_iov = out->encoded.n_iov;
    out->len = out->encoded.len;
    return 0;
}

/* A copy of its exact size. */
static int keep(struct body_maker *m, const struct buf *from, struct body *out)
{
    if (!budget_charge(m->budget, MEM_OUTPUT, from->len))
        return -1;
    out->charged = from->len;
    out->bytes = mem_try(from->len > 0 ? from->len : 1);
    if (out->bytes == NULL)
        return -1;
    if (from->len > 0)
        memcpy(out->bytes, from->p, from->len);
    out->one = (struct iovec){out->bytes, from->len};
    out->iov = &out->one;
    out->n_iov = 1;
    out->len = from->len;
    return 0;
}

static int make_packed(struct body_maker *m, const struct batch *b, struct body *out)
{
    struct iovec text;
    int rc;

    buf_clear(&m->scratch);
    buf_clear(&m->text);
    if (m->json) {
        if (otlp_json_encode(b, &m->text) != 0)
            return -1;
        if (m->compressor == NULL)
            return keep(m, &m->text, out);
        text = (struct iovec){m->text.p, m->text.len};
        rc = compress_iov(m->compressor, &text, 1, &m->scratch);
    } else {
        if (otlp_encode(b, &m->encoded) != 0)
            return -1;
        rc = compress_iov(m->compressor, m->encoded.iov, m->encoded.n_iov, &m->scratch);
    }
    return rc != 0 ? -1 : keep(m, &m->scratch, out);
}

int body_make(struct body_maker *m, const struct batch *b, struct body *out)
{
    int rc;

    *out = (struct body){0};
    if (m->compressor == NULL && !m->json) {
        rc = make_plain(m, b, out);
    } else {
        rc = make_packed(m, b, out);
        scratch_trim(m);
    }
    if (rc != 0)
        body_free(m, out);
    return rc;
}

void body_free(struct body_maker *m, struct body *body)
{
    if (body->charged > 0)
        budget_release(m->budget, MEM_OUTPUT, body->charged);
    encoded_free(&body->encoded);
    free(body->bytes);
    *body = (struct body){0};
}

/* ---- answers ---- */

void peer_text(char *dst, size_t cap, struct slice s)
{
    size_t n = s.len < cap - 1 ? s.len : cap - 1;

    for (size_t i = 0; i < n; i++)
        dst[i] = s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : (char)s.p[i];
    while (n > 0 && n < s.len && (s.p[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    dst[n] = '\0';
}

/* A checked reader: what comes here has been through no walk. */
struct reader {
    const uint8_t *p, *end;
    bool bad;
};

static uint64_t read_varint(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70 && r->p < r->end; shift += 7) {
        uint8_t byte = *r->p++;

        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    r->bad = true;
    return 0;
}

static struct slice read_bytes(struct reader *r, uint64_t n)
{
    struct slice s = {r->p, (size_t)n};

    if (r->bad || n > (uint64_t)(r->end - r->p)) {
        r->bad = true;
        return slice_of(NULL, 0);
    }
    r->p += n;
    return s;
}

/* Value of a varint field, body of a LEN field; other fields are stepped over. */
static uint64_t read_field(struct reader *r, uint64_t *number, unsigned *wire, struct slice *bytes)
{
    uint64_t tag = read_varint(r), v = 0;

    *number = tag >> 3;
    *wire = (unsigned)(tag & 7);
    *bytes = slice_of(NULL, 0);
    if (*wire == 0)
        v = read_varint(r);
    else if (*wire == 2)
        *bytes = read_bytes(r, read_varint(r));
    else if (*wire == 1 || *wire == 5)
        read_bytes(r, *wire == 1 ? 8 : 4);
    else
        r->bad = true;
    return v;
}

static int parse_partial_success(struct slice body, struct otlp_answer *out)
{
    struct reader r = {body.p, body.p + body.len, false};
    struct slice bytes;
    uint64_t number, v;
    unsigned wire;

    while (!r.bad && r.p < r.end) {
        v = read_field(&r, &number, &wire, &bytes);
        if (number == 1 && wire == 0 && !r.bad)
            out->rejected_spans = (int64_t)v > 0 ? v : 0;
        else if (number == 2 && wire == 2 && !r.bad)
            peer_text(out->message, sizeof(out->message), bytes);
    }
    return r.bad ? -1 : 0;
}

static int parse_proto(struct slice body, struct otlp_answer *out)
{
    struct reader r = {body.p, body.p + body.len, false};
    struct slice bytes;
    uint64_t number;
    unsigned wire;

    while (!r.bad && r.p < r.end) {
        read_field(&r, &number, &wire, &bytes);
        if (number == 1 && wire == 2 && !r.bad && parse_partial_success(bytes, out) != 0)
            return -1;
    }
    return r.bad ? -1 : 0;
}

static int parse_json(struct slice body, struct otlp_answer *out)
{
    json_t *root = json_loadb((const char *)body.p, body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *partial = json_object_get(root, "partialSuccess");
    const json_t *rejected = json_object_get(partial, "rejectedSpans");
    const json_t *message = json_object_get(partial, "errorMessage");
    bool ok = json_is_object(root);
    int64_t n = 0;

    if (json_is_string(rejected))
        n = strtoll(json_string_value(rejected), NULL, 10);
    else if (json_is_integer(rejected))
        n = json_integer_value(rejected);
    out->rejected_spans = n > 0 ? (uint64_t)n : 0;
    if (json_is_string(message))
        peer_text(out->message, sizeof(out->message), slice_of(json_string_value(message), json_string_length(message)));
    json_decref(root);
    return ok ? 0 : -1;
}

int otlp_answer_parse(struct slice body, bool json, struct otlp_answer *out)
{
    *out = (struct otlp_answer){0};
    if (body.len == 0)
        return 0;
    return json ? parse_json(body, out) : parse_proto(body, out);
}

static bool retry_after_date(const char *value, uint64_t wall_ns, uint64_t *hint_ns)
{
    struct tm tm = {0};
    const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    int64_t at = end != NULL && *end == '\0' ? (int64_t)timegm(&tm) : -1;

    if (at < 0 || (uint64_t)at <= wall_ns / NS_PER_SEC)
        return false;
    *hint_ns = (uint64_t)at * NS_PER_SEC - wall_ns;
    return true;
}

bool retry_after_parse(const char *value, uint64_t wall_ns, uint64_t *hint_ns)
{
    char *end;
    unsigned long long s;

    *hint_ns = 0;
    if (value == NULL)
        return false;
    if (value[0] < '0' || value[0] > '9')
        return retry_after_date(value, wall_ns, hint_ns);
    s = strtoull(value, &end, 10);
    if (*end != '\0' || s == 0 || s > 10ull * 365 * 86400)
        return false;
    *hint_ns = s * NS_PER_SEC;
    return true;
}

void status_message_parse(struct slice body, bool json, char *dst, size_t cap)
{
    struct grpc_status st = {0};
    json_t *root;
    const json_t *message;

    dst[0] = '\0';
    if (!json) {
        if (grpc_status_decode(body, &st) == 0)
            peer_text(dst, cap, st.message);
        return;
    }
    root = json_loadb((const char *)body.p, body.len, 0, NULL);
    message = json_object_get(root, "message");
    if (json_is_string(message))
        peer_text(dst, cap, slice_of(json_string_value(message), json_string_length(message)));
    json_decref(root);
}
