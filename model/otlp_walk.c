/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over the envelopes: request, ResourceSpans, ScopeSpans; it builds the index as it goes.
 *
 *   walk_request -> walk_resource_spans -> walk_scope_spans -> walk_one_span -> (otlp_walk_span.c)
 *
 * An entry is written into the next free slot of its table and committed only when it holds
 * something: a span that is rejected, a scope without spans, a resource without scopes leave no
 * trace, so a body made of empty records costs no memory.
 *
 * The span table is sized once by a guess (what is left, divided by the first span's size, never
 * more than the body's own size), grows by what the average says, and is cut at the end.
 *
 * Field 1000 of ResourceSpans is what early senders used for ScopeSpans. It is read when the message
 * has no field 2, else checked and left out; either way the record is not emitted as it stands.
 *
 * Order: tables, spans, scopes, merging, resources, request, the other entry points.
 */
#include "model/otlp_walk.h"

#include "model/attr.h"
#include "model/otlp_repair.h"
#include "model/otlp_walk_priv.h"
#include "model/payload_priv.h"

enum {
    REQUEST_RESOURCE_SPANS = 1,
    RESOURCE_SPANS_RESOURCE = 1, RESOURCE_SPANS_SCOPES = 2, RESOURCE_SPANS_SCHEMA = 3,
    RESOURCE_SPANS_LEGACY = 1000,
    SCOPE_SPANS_SCOPE = 1, SCOPE_SPANS_SPANS = 2, SCOPE_SPANS_SCHEMA = 3,
};

#define LEN(number) WIRE_TAG(number, WIRE_LEN)
#define ENVELOPE_KNOWN (1u << 1 | 1u << 2 | 1u << 3)

/* One ResourceSpans or ScopeSpans while it is walked. */
struct envelope {
    struct slice head; /* the last Resource or InstrumentationScope */
    uint32_t n_heads;
    uint32_t bad_strings; /* in heads */
    struct slice schema;
    uint32_t bad_schemas;
    bool legacy; /* field 1000 came */
    bool items;  /* field 2 came */
};

/* ---- tables ---- */

static bool no_memory(struct walk *w)
{
    w->no_memory = true;
    return false;
}

/* A free slot after the n spans there are; rec is the record that wants it. */
static bool fit_span(struct walk *w, const uint8_t *rec, size_t rec_len)
{
    struct payload *p = w->p;
    uint64_t n = p->n_spans, left = (uint64_t)(w->limit - rec), want;

    if (LIKELY(n < p->priv->cap_spans))
        return true;
    if (n == 0) {
        size_t each = rec_len > sizeof(struct span) ? rec_len : sizeof(struct span);

        want = left / each + 1;
    } else {
        want = n + left * n / (uint64_t)(rec - w->base + 1) + 1;
        if (want < n + n / 4 + 8)
            want = n + n / 4 + 8;
        if (want > 2 * n + 8)
            want = 2 * n + 8;
    }
    return payload_fit_spans(p, (uint32_t)want) || no_memory(w);
}

static uint32_t grown(uint32_t n)
{
    return n + n / 2 + 2;
}

static bool fit_scope(struct walk *w)
{
    struct payload *p = w->p;

    return p->n_scopes < p->priv->cap_scopes || payload_fit_scopes(p, grown(p->n_scopes)) ||
           no_memory(w);
}

static bool fit_resource(struct walk *w)
{
    struct payload *p = w->p;

    return p->n_resources < p->priv->cap_resources ||
           payload_fit_resources(p, grown(p->n_resources)) || no_memory(w);
}

/* ---- spans ---- */

static bool id_is_zero(const uint8_t *id, size_t n)
{
    return load_le64(id) == 0 && (n == 8 || load_le64(id + 8) == 0);
}

/* Leaves the span out when its ids are not ids. */
static bool rejected(struct walk *w, const struct span *s)
{
    if (UNLIKELY(id_is_zero(s->trace_id, 16)))
        w->report->rejected_trace_id++;
    else if (UNLIKELY(id_is_zero(s->span_id, 8)))
        w->report->rejected_span_id++;
    else
        return false;
    w->scope_broken = true;
    return true;
}

static bool walk_one_span(struct walk *w, const uint8_t *rec, const uint8_t *p, const uint8_t *end)
{
    struct span *s;

    if (UNLIKELY(!fit_span(w, rec, (size_t)(end - rec))))
        return false;
    s = &w->p->spans[w->p->n_spans];
    memset(s, 0, sizeof(*s));
    s->rec = rec;
    s->rec_len = (uint32_t)(end - rec);
    s->hdr_len = (uint8_t)(p - rec);
    s->scope = w->p->n_scopes;
    w->bad_strings = 0;
    if (UNLIKELY(!walk_span(w, p, end, s)))
        return false;
    if (UNLIKELY(rejected(w, s)))
        return true;
    if (UNLIKELY(w->bad_strings > 0)) {
        w->report->repaired_strings += w->bad_strings;
        w->scope_broken = true;
        if (otlp_repair_span(w->p, s) < 0)
            return no_memory(w);
    }
    w->p->n_spans++;
    return true;
}

/* ---- what ScopeSpans and ResourceSpans have alike ---- */

static const uint8_t *take_head(struct walk *w, struct envelope *e, const uint8_t *p,
                                const uint8_t *end,
                                bool (*walk)(struct walk *, const uint8_t *, const uint8_t *))
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    w->bad_strings = 0;
    if (!p || !walk(w, p, body_end))
        return NULL;
    e->head = slice_of(p, (size_t)(body_end - p));
    e->n_heads++;
    e->bad_strings += w->bad_strings;
    return body_end;
}

static const uint8_t *take_schema(struct walk *w, struct envelope *e, const uint8_t *p,
                                  const uint8_t *end)
{
    const uint8_t *body_end;

    p = walk_body(w, p, end, &body_end);
    if (!p)
        return NULL;
    e->schema = slice_of(p, (size_t)(body_end - p));
    if (!utf8_all_ascii(p, e->schema.len, w->limit) && !utf8_valid(p, e->schema.len))
        e->bad_schemas++;
    return body_end;
}

/* A message that came in several parts means their concatenation. */
static bool merge_heads(struct walk *w, struct envelope *e, const uint8_t *p, const uint8_t *end)
{
    size_t total = 0;

    for (int write = 0; write <= 1; write++) {
        struct field_iter it = {p, end};
        struct field f;
        uint8_t *room = write && total ? payload_room(w->p, total) : NULL;

        if (write && total && !room)
            return no_memory(w);
        for (total = 0; field_next(&it, &f); total += f.number == 1 ? f.bytes.len : 0)
            if (room && f.number == 1 && f.bytes.len)
                memcpy(room + total, f.bytes.p, f.bytes.len);
        e->head = slice_of(room, total);
    }
    return true;
}

/* Brings head and schema into the shape the index keeps. *broken: the record cannot go out whole. */
static bool settle_envelope(struct walk *w, struct envelope *e, enum otlp_message type,
                            const uint8_t *p, const uint8_t *end, bool *broken)
{
    if (UNLIKELY(e->n_heads > 1) && !merge_heads(w, e, p, end))
        return false;
    if (UNLIKELY(e->bad_strings > 0)) {
        *broken = true;
        if (otlp_repair_body(w->p, type, &e->head) < 0)
            return no_memory(w);
    }
    if (UNLIKELY(e->bad_schemas > 0)) {
        *broken = true;
        if (otlp_repair_text(w->p, &e->schema) < 0)
            return no_memory(w);
    }
    w->report->repaired_strings += e->bad_strings + e->bad_schemas;
    return true;
}

/* ---- scopes ---- */

static bool walk_scope_fields(struct walk *w, struct envelope *e, const uint8_t *p,
                              const uint8_t *end)
{
    while (p < end) {
        const uint8_t *rec = p, *body_end;
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (UNLIKELY(!p))
            return false;
        if (LIKELY(tag == LEN(SCOPE_SPANS_SPANS))) {
            p = walk_body(w, p, end, &body_end);
            if (UNLIKELY(!p || !walk_one_span(w, rec, p, body_end)))
                return false;
            p = body_end;
        } else if (tag == LEN(SCOPE_SPANS_SCOPE)) {
            p = take_head(w, e, p, end, walk_scope_head);
        } else if (tag == LEN(SCOPE_SPANS_SCHEMA)) {
            p = take_schema(w, e, p, end);
        } else {
            p = walk_other(w, tag, p, end, ENVELOPE_KNOWN);
        }
        if (UNLIKELY(!p))
            return false;
    }
    return true;
}

/* rec: tag and all; p: the body. */
static bool walk_scope_spans(struct walk *w, const uint8_t *rec, const uint8_t *p,
                             const uint8_t *end)
{
    struct envelope e = {0};
    uint32_t first = w->p->n_spans;

    w->scope_broken = false;
    if (!walk_scope_fields(w, &e, p, end))
        return false;
    if (w->p->n_spans > first) {
        if (!fit_scope(w) || !settle_envelope(w, &e, OTLP_SCOPE, p, end, &w->scope_broken))
            return false;
        w->p->scopes[w->p->n_scopes++] = (struct scope){
            .rec = rec,
            .rec_len = (uint32_t)(end - rec),
            .resource = w->p->n_resources,
            .first_span = first,
            .n_spans = w->p->n_spans - first,
            .scope = e.head,
            .schema_url = e.schema,
            .has_scope = e.n_heads > 0,
            .intact = !w->scope_broken,
        };
    }
    w->resource_broken |= w->scope_broken || e.bad_strings > 0 || e.bad_schemas > 0;
    return true;
}

/* ---- resources ---- */

static bool walk_resource_fields(struct walk *w, struct envelope *e, const uint8_t *p,
                                 const uint8_t *end)
{
    while (p < end) {
        const uint8_t *rec = p, *body_end;
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (UNLIKELY(!p))
            return false;
        if (LIKELY(tag == LEN(RESOURCE_SPANS_SCOPES))) {
            e->items = true;
            p = walk_body(w, p, end, &body_end);
            if (UNLIKELY(!p || !walk_scope_spans(w, rec, p, body_end)))
                return false;
            p = body_end;
        } else if (tag == LEN(RESOURCE_SPANS_RESOURCE)) {
            p = take_head(w, e, p, end, walk_resource);
        } else if (tag == LEN(RESOURCE_SPANS_SCHEMA)) {
            p = take_schema(w, e, p, end);
        } else if (tag == LEN(RESOURCE_SPANS_LEGACY)) {
            e->legacy = true;
            p = walk_body(w, p, end, &body_end) ? body_end : NULL;
        } else if (tag >> 3 == RESOURCE_SPANS_LEGACY) {
            return walk_fail(w, p, "wrong wire type of a known field");
        } else {
            p = walk_other(w, tag, p, end, ENVELOPE_KNOWN);
        }
        if (UNLIKELY(!p))
            return false;
    }
    return true;
}

/* The scopes in field 1000; the other fields have been checked. */
static bool walk_legacy(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    struct field_iter it = {p, end};
    struct field f;

    while (field_next(&it, &f)) {
        uint32_t n = w->p->n_scopes;

        if (f.number != RESOURCE_SPANS_LEGACY)
            continue;
        if (!walk_scope_spans(w, f.rec.p, f.bytes.p, f.bytes.p + f.bytes.len))
            return false;
        if (w->p->n_scopes > n)
            w->p->scopes[n].intact = false;
    }
    w->resource_broken = true;
    return true;
}

/* Legacy scopes beside real ones are checked like all else, and forgotten. */
static bool settle_legacy(struct walk *w, const struct envelope *e, const uint8_t *p,
                          const uint8_t *end)
{
    struct walk_report report = *w->report;
    uint32_t n_scopes = w->p->n_scopes, n_spans = w->p->n_spans;

    if (!walk_legacy(w, p, end))
        return false;
    if (e->items) {
        w->p->n_scopes = n_scopes;
        w->p->n_spans = n_spans;
        *w->report = report;
    }
    return true;
}

static bool walk_resource_spans(struct walk *w, const uint8_t *rec, const uint8_t *p,
                                const uint8_t *end)
{
    struct envelope e = {0};
    uint32_t first = w->p->n_scopes;

    w->resource_broken = false;
    if (!walk_resource_fields(w, &e, p, end) || (e.legacy && !settle_legacy(w, &e, p, end)))
        return false;
    if (w->p->n_scopes > first) {
        if (!fit_resource(w) || !settle_envelope(w, &e, OTLP_RESOURCE, p, end, &w->resource_broken))
            return false;
        w->p->resources[w->p->n_resources++] = (struct resource){
            .rec = rec,
            .rec_len = (uint32_t)(end - rec),
            .first_scope = first,
            .n_scopes = w->p->n_scopes - first,
            .resource = e.head,
            .schema_url = e.schema,
            .has_resource = e.n_heads > 0,
            .intact = !w->resource_broken,
        };
    }
    if (w->resource_broken || e.bad_strings > 0 || e.bad_schemas > 0)
        w->p->intact = false;
    return true;
}

/* ---- request ---- */

static bool walk_request(struct walk *w, const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        const uint8_t *rec = p, *body_end;
        uint32_t tag;

        p = walk_tag(w, p, end, &tag);
        if (!p)
            return false;
        if (tag != LEN(REQUEST_RESOURCE_SPANS)) {
            p = walk_other(w, tag, p, end, 1u << REQUEST_RESOURCE_SPANS);
            if (!p)
                return false;
            continue;
        }
        p = walk_body(w, p, end, &body_end);
        if (!p || !walk_resource_spans(w, rec, p, body_end))
            return false;
        p = body_end;
    }
    return true;
}

/* A payload that failed has no index: its tables go with it. */
static enum walk_result walk_failed(struct walk *w, struct err *err)
{
    w->p->n_spans = w->p->n_scopes = w->p->n_resources = 0;
    w->p->intact = false;
    payload_trim_tables(w->p);
    if (w->no_memory) {
        err_set(err, "no memory for the index of a request of %u bytes", w->p->len);
        return WALK_NO_MEMORY;
    }
    err_set(err, "malformed OTLP request: %s at byte %zu", w->fail_text,
            (size_t)(w->fail_at - w->base));
    return WALK_MALFORMED;
}

enum walk_result otlp_walk(struct payload *p, struct walk_report *report, struct err *err)
{
    struct walk w = {.base = p->bytes, .p = p, .report = report};

    CHECK(p->n_resources == 0 && !payload_is_shared(p));
    *report = (struct walk_report){0};
    p->intact = true;
    if (p->len == 0)
        return WALK_OK;
    w.limit = p->bytes + p->len;
    if (!walk_request(&w, p->bytes, w.limit))
        return walk_failed(&w, err);
    payload_trim_tables(p);
    report->spans = p->n_spans;
    return WALK_OK;
}

/* ---- the other entry points ---- */

/* Calls itself for each LEN field `number` down to spans: levels 0 request, 1 resource, 2 scope. */
static bool count_level(struct slice message, unsigned level, uint32_t *n)
{
    const uint8_t *p = message.p, *end = message.p + message.len;
    uint32_t item = level == 0 ? REQUEST_RESOURCE_SPANS : SCOPE_SPANS_SPANS;

    while (p < end) {
        const uint8_t *body_end;
        uint32_t tag;

        p = wire_u32(p, end, &tag);
        if (p && tag == LEN(item)) {
            p = wire_body(p, end, &body_end);
            if (!p)
                return false;
            if (level == 2)
                ++*n;
            else if (!count_level(slice_of(p, (size_t)(body_end - p)), level + 1, n))
                return false;
            p = body_end;
        } else if (p) {
            p = wire_skip(tag, p, end);
        }
        if (!p)
            return false;
    }
    return true;
}

uint32_t otlp_count_spans(struct slice request)
{
    uint32_t n = 0;

    return request.len > 0 && count_level(request, 0, &n) ? n : 0;
}

int otlp_span_facts(struct slice body, struct span *out)
{
    struct walk w = {.limit = body.len ? body.p + body.len : body.p, .base = body.p};
    struct span s = {.rec = out->rec, .rec_len = out->rec_len, .hdr_len = out->hdr_len,
                     .scope = out->scope};

    s.flags = SPAN_ROOT;
    if (body.len > 0 && !walk_span(&w, body.p, w.limit, &s))
        return -1;
    *out = s;
    return 0;
}
