/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding a batch. For each part the largest records that are still whole go out as they stand:
 * the request, a ResourceSpans, a ScopeSpans, a span. Around what is not whole a new envelope is
 * written:
 *
 *   0a len [0a len Resource] { 12 len [0a len Scope] spans... [1a len schema_url] } [1a len url]
 *
 * Headers and short bodies are written to scratch, long bodies stay where they are. Scratch is
 * reserved for all parts before the first byte, since the iovecs point into it; when a caller
 * appends part by part and it has to move, they are moved along.
 *
 * A part must be settled: spans flagged as dropped are a bug here.
 */
#include "model/otlp_encode.h"

#include <stdlib.h>

#include "model/attr.h"
#include "model/wire.h"

enum {
    REQUEST_RESOURCE_SPANS = 1,
    ENVELOPE_HEAD = 1,   /* Resource in ResourceSpans, InstrumentationScope in ScopeSpans */
    ENVELOPE_ITEMS = 2,  /* ScopeSpans, Span */
    ENVELOPE_SCHEMA = 3,
    HEADER_MOST_BYTES = 1 + LENGTH_MAX_BYTES,
    COPY_MOST_BYTES = 640, /* shorter bodies are copied to scratch: cheaper than an iovec */
};

/* ---- sizes ---- */

static uint64_t record_size(uint64_t body)
{
    return 1 + varint_size(body) + body;
}

static uint64_t optional_size(bool present, size_t len)
{
    return present ? record_size(len) : 0;
}

static const struct scope *scope_at(const struct payload *p, uint32_t span)
{
    return &p->scopes[p->spans[span].scope];
}

/* Spans [at, ...) of the part that belong to the scope / the resource. */
static uint32_t scope_end(const struct scope *s, uint32_t end)
{
    return s->first_span + s->n_spans < end ? s->first_span + s->n_spans : end;
}

static uint32_t resource_end(const struct payload *p, const struct resource *r, uint32_t end)
{
    return scope_end(&p->scopes[r->first_scope + r->n_scopes - 1], end);
}

static bool scope_whole(const struct scope *s, uint32_t at, uint32_t end)
{
    return s->intact && s->first_span == at && s->n_spans <= end - at;
}

static bool resource_whole(const struct payload *p, const struct resource *r, uint32_t at,
                           uint32_t end)
{
    const struct scope *last = &p->scopes[r->first_scope + r->n_scopes - 1];

    return r->intact && p->scopes[r->first_scope].first_span == at &&
           last->first_span + last->n_spans <= end;
}

static uint64_t scope_body_size(const struct payload *p, const struct scope *s, uint32_t at,
                                uint32_t end)
{
    uint64_t n = optional_size(s->has_scope, s->scope.len) +
                 optional_size(s->schema_url.len > 0, s->schema_url.len);

    for (; at < end; at++) {
        CHECK(!(p->spans[at].flags & SPAN_DROPPED));
        n += p->spans[at].rec_len;
    }
    return n;
}

static uint64_t resource_body_size(const struct payload *p, const struct resource *r, uint32_t at,
                                   uint32_t end)
{
    uint64_t n = optional_size(r->has_resource, r->resource.len) +
                 optional_size(r->schema_url.len > 0, r->schema_url.len);

    while (at < end) {
        const struct scope *s = scope_at(p, at);
        uint32_t to = scope_end(s, end);

        n += scope_whole(s, at, end) ? s->rec_len
                                     : record_size(scope_body_size(p, s, at, to));
        at = to;
    }
    return n;
}

static uint64_t part_size(const struct part *part)
{
    const struct payload *p = part->payload;
    uint32_t at = part->first, end = part->first + part->n;
    uint64_t n = 0;

    if (p->intact && part->n == p->n_spans)
        return p->len;
    while (at < end) {
        const struct resource *r = &p->resources[scope_at(p, at)->resource];
        uint32_t to = resource_end(p, r, end);

        n += resource_whole(p, r, at, end) ? r->rec_len
                                           : record_size(resource_body_size(p, r, at, to));
        at = to;
    }
    return n;
}

uint64_t otlp_encoded_size(const struct batch *b)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < b->n_parts; i++)
        n += part_size(&b->parts[i]);
    return n;
}

/* ---- iovecs and scratch ---- */

static int put(struct encoded *e, const void *p, size_t len)
{
    struct iovec *last = e->n_iov ? &e->iov[e->n_iov - 1] : NULL;

    CHECK(e->iov || e->cap_iov == 0);
    e->len += len;
    if (last && (const uint8_t *)last->iov_base + last->iov_len == p) {
        last->iov_len += len;
        return 0;
    }
    if (e->n_iov == e->cap_iov) {
        size_t cap = e->cap_iov ? e->cap_iov * 2 : 16;
        struct iovec *iov = realloc(e->iov, cap * sizeof(*iov));

        if (!iov)
            return -1;
        e->iov = iov;
        e->cap_iov = cap;
    }
    e->iov[e->n_iov++] = (struct iovec){(void *)(uintptr_t)p, len};
    return 0;
}

/* Bytes of our own making; the room was reserved. */
static int put_scratch(struct encoded *e, const void *p, size_t len)
{
    uint8_t *at = e->scratch.p + e->scratch.len;

    CHECK(e->scratch.cap - e->scratch.len >= len);
    memcpy(at, p, len);
    e->scratch.len += len;
    return put(e, at, len);
}

static int put_header(struct encoded *e, uint32_t number, uint64_t len)
{
    uint8_t bytes[1 + VARINT_MAX_BYTES] = {(uint8_t)WIRE_TAG(number, WIRE_LEN)};

    return put_scratch(e, bytes, 1 + varint_put(bytes + 1, len));
}

static int put_body(struct encoded *e, uint32_t number, struct slice s)
{
    if (put_header(e, number, s.len) < 0)
        return -1;
    if (s.len == 0)
        return 0;
    return s.len <= COPY_MOST_BYTES ? put_scratch(e, s.p, s.len) : put(e, s.p, s.len);
}

static size_t scratch_for_body(struct slice s)
{
    return HEADER_MOST_BYTES + (s.len <= COPY_MOST_BYTES ? s.len : 0);
}

/* What the part's new envelopes take at most. */
static size_t scratch_need(const struct part *part)
{
    const struct payload *p = part->payload;
    uint32_t at = part->first, end = part->first + part->n;
    uint32_t last_resource = UINT32_MAX;
    size_t n = 0;

    if (p->intact && part->n == p->n_spans)
        return 0;
    while (at < end) {
        const struct scope *s = scope_at(p, at);
        const struct resource *r = &p->resources[s->resource];

        if (s->resource != last_resource)
            n += HEADER_MOST_BYTES + scratch_for_body(r->resource) + scratch_for_body(r->schema_url);
        last_resource = s->resource;
        if (!scope_whole(s, at, end))
            n += HEADER_MOST_BYTES + scratch_for_body(s->scope) + scratch_for_body(s->schema_url);
        at = scope_end(s, end);
    }
    return n;
}

static int scratch_reserve(struct encoded *e, size_t n)
{
    uintptr_t old = (uintptr_t)e->scratch.p, used = e->scratch.len;

    if (n == 0)
        return 0;
    if (buf_reserve(&e->scratch, n) < 0)
        return -1;
    for (size_t i = 0; used > 0 && (uintptr_t)e->scratch.p != old && i < e->n_iov; i++) {
        uintptr_t at = (uintptr_t)e->iov[i].iov_base;

        if (at - old < used)
            e->iov[i].iov_base = e->scratch.p + (at - old);
    }
    return 0;
}

/* ---- emitting ---- */

static int put_spans(struct encoded *e, const struct payload *p, uint32_t at, uint32_t end)
{
    while (at < end) {
        const uint8_t *start = p->spans[at].rec, *next = start;

        while (at < end && p->spans[at].rec == next)
            next += p->spans[at++].rec_len;
        if (put(e, start, (size_t)(next - start)) < 0)
            return -1;
    }
    return 0;
}

static int put_scope(struct encoded *e, const struct payload *p, const struct scope *s, uint32_t at,
                     uint32_t end)
{
    if (put_header(e, ENVELOPE_ITEMS, scope_body_size(p, s, at, end)) < 0 ||
        (s->has_scope && put_body(e, ENVELOPE_HEAD, s->scope) < 0))
        return -1;
    /* The schema before the spans: it joins the other scratch bytes in one iovec. */
    if (s->schema_url.len > 0 && put_body(e, ENVELOPE_SCHEMA, s->schema_url) < 0)
        return -1;
    return put_spans(e, p, at, end);
}

static int put_scopes(struct encoded *e, const struct payload *p, uint32_t at, uint32_t end)
{
    while (at < end) {
        const struct scope *s = scope_at(p, at);
        uint32_t to = scope_end(s, end);

        if ((scope_whole(s, at, end) ? put(e, s->rec, s->rec_len) : put_scope(e, p, s, at, to)) < 0)
            return -1;
        at = to;
    }
    return 0;
}

static int put_resource(struct encoded *e, const struct payload *p, const struct resource *r,
                        uint32_t at, uint32_t end)
{
    if (put_header(e, REQUEST_RESOURCE_SPANS, resource_body_size(p, r, at, end)) < 0 ||
        (r->has_resource && put_body(e, ENVELOPE_HEAD, r->resource) < 0))
        return -1;
    if (r->schema_url.len > 0 && put_body(e, ENVELOPE_SCHEMA, r->schema_url) < 0)
        return -1;
    return put_scopes(e, p, at, end);
}

static int put_part(struct encoded *e, const struct part *part)
{
    const struct payload *p = part->payload;
    uint32_t at = part->first, end = part->first + part->n;

    if (p->intact && part->n == p->n_spans)
        return put(e, p->bytes, p->len);
    while (at < end) {
        const struct resource *r = &p->resources[scope_at(p, at)->resource];
        uint32_t to = resource_end(p, r, end);

        if ((resource_whole(p, r, at, end) ? put(e, r->rec, r->rec_len)
                                           : put_resource(e, p, r, at, to)) < 0)
            return -1;
        at = to;
    }
    return 0;
}

int otlp_encode_part(const struct part *part, struct encoded *e)
{
    if (scratch_reserve(e, scratch_need(part)) < 0)
        return -1;
    return put_part(e, part);
}

int otlp_encode(const struct batch *b, struct encoded *e)
{
    size_t need = 0;

    e->n_iov = 0;
    e->len = 0;
    buf_clear(&e->scratch);
    for (uint32_t i = 0; i < b->n_parts; i++)
        need += scratch_need(&b->parts[i]);
    if (scratch_reserve(e, need) < 0)
        return -1;
    for (uint32_t i = 0; i < b->n_parts; i++)
        if (put_part(e, &b->parts[i]) < 0)
            return -1;
    return 0;
}

void encoded_free(struct encoded *e)
{
    free(e->iov);
    buf_free(&e->scratch);
    *e = (struct encoded){0};
}

void encoded_copy(const struct encoded *e, uint8_t *dst)
{
    for (size_t i = 0; i < e->n_iov; i++) {
        memcpy(dst, e->iov[i].iov_base, e->iov[i].iov_len);
        dst += e->iov[i].iov_len;
    }
}
