/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the walk with whatever comes, and what works on its index: any request that is taken must
 * be readable to the last attribute, encode to something that is taken again without any repair,
 * and survive being split, derived, thinned out and refused memory.
 */
#include <stdlib.h>

#include "model/attr.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "platform/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MOST_BYTES = 1 << 16 };

static struct payload *payload_of(struct budget *b, const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);

    CHECK(bytes);
    if (size)
        memcpy(bytes, data, size);
    budget_force(b, MEM_BODY, size);
    return payload_new(b, &bytes, size, size);
}

static struct payload *taken_again(struct budget *b, const struct batch *batch)
{
    struct encoded e = {0};
    struct walk_report report;
    struct payload *p;
    struct err err;
    uint8_t *bytes;
    size_t len;

    CHECK(otlp_encode(batch, &e) == 0 && e.len == otlp_encoded_size(batch));
    len = e.len;
    bytes = malloc(len ? len : 1);
    CHECK(bytes);
    encoded_copy(&e, bytes);
    encoded_free(&e);
    budget_force(b, MEM_BODY, len);
    p = payload_new(b, &bytes, len, len);
    CHECK(otlp_walk(p, &report, &err) == WALK_OK);
    CHECK(report.repaired_strings + report.rejected_trace_id + report.rejected_span_id == 0);
    return p;
}

static void read_attributes(struct slice message, uint32_t number)
{
    struct attr_iter it = attr_iter(message, number);
    struct attr a, found;

    while (attr_next(&it, &a)) {
        struct buf text = {.max = TEXT_MOST_BYTES};
        struct any v = any_parse(a.value);

        CHECK(a.rec.p >= message.p && a.rec.p + a.rec.len <= message.p + message.len);
        if (any_as_string(&v, &text) < 0)
            CHECK(text.len == 0);
        buf_free(&text);
    }
    if (message.len < 512 && attr_find(message, number, slice_str("k"), &found))
        CHECK(found.key.len == 1);
}

static void read_span(const struct span *s)
{
    struct field_iter it = field_iter(span_body(s));
    struct span again = *s;
    struct field f;

    read_attributes(span_body(s), SPAN_ATTRIBUTES);
    while (field_next(&it, &f)) {
        if (f.number == SPAN_EVENTS && f.wire == 2)
            read_attributes(f.bytes, EVENT_ATTRIBUTES);
        if (f.number == SPAN_LINKS && f.wire == 2)
            read_attributes(f.bytes, LINK_ATTRIBUTES);
    }
    CHECK(otlp_span_facts(span_body(s), &again) == 0);
    CHECK(memcmp(&again, s, sizeof(again)) == 0);
}

static void read_all(const struct payload *p)
{
    for (uint32_t i = 0; i < p->n_spans; i++)
        read_span(&p->spans[i]);
    for (uint32_t i = 0; i < p->n_scopes; i++)
        read_attributes(p->scopes[i].scope, SCOPE_ATTRIBUTES);
    for (uint32_t i = 0; i < p->n_resources; i++)
        read_attributes(p->resources[i].resource, RESOURCE_ATTRIBUTES);
}

static void same_facts(const struct span *a, const struct span *b)
{
    CHECK(memcmp(a->trace_id, b->trace_id, 16) == 0 && memcmp(a->span_id, b->span_id, 8) == 0);
    CHECK(a->start_ns == b->start_ns && a->end_ns == b->end_ns && a->status == b->status);
    CHECK(slice_eq(span_body(a), span_body(b)));
}

/* What is encoded says the same, and encodes to the same bytes once more. */
static void encode_and_compare(struct budget *budget, const struct batch *b)
{
    struct payload *p = taken_again(budget, b), *q;
    uint32_t n = 0;

    for (uint32_t i = 0; i < b->n_parts; i++)
        for (uint32_t k = 0; k < b->parts[i].n; k++, n++)
            same_facts(&b->parts[i].payload->spans[b->parts[i].first + k], &p->spans[n]);
    CHECK(n == p->n_spans);
    if (n > 0 && p->intact) {
        struct batch *again = batch_new(&(struct payload *){payload_ref(p)}, NULL);

        q = taken_again(budget, again);
        CHECK(slice_eq(slice_of(p->bytes, p->len), slice_of(q->bytes, q->len)));
        payload_unref(&q);
        batch_exported(&again);
    }
    payload_unref(&p);
}

static void thin_out(struct batch *b, uint64_t *rng)
{
    struct payload *own = batch_edit(b, 0);

    CHECK(own);
    for (uint32_t i = 0; i < own->n_spans; i++)
        if (random_next(rng) & 0x100)
            payload_drop_span(own, i);
    if (random_next(rng) & 0x100)
        payload_set_resource(own, 0, slice_str("\x10\x05"));
    if (random_next(rng) & 0x100)
        payload_set_scope(own, 0, (struct slice){0});
    batch_settle(b, FATE_FILTERED, DROP_NONE);
}

static void work_on(struct budget *budget, struct payload **p, uint64_t *rng)
{
    struct batch *b = batch_new(p, NULL), *head = NULL;

    encode_and_compare(budget, b);
    if (b->n_spans > 1) {
        head = batch_split(b, 1 + random_next(rng) % (b->n_spans - 1));
        encode_and_compare(budget, head);
        encode_and_compare(budget, b);
    }
    if (b->n_spans > 0) {
        thin_out(b, rng);
        encode_and_compare(budget, b);
    }
    if (head) {
        batch_append(b, &head);
        encode_and_compare(budget, b);
    }
    batch_exported(&b);
}

static void walk_with_little_memory(const uint8_t *data, size_t size, uint64_t *rng)
{
    struct budget *budget = budget_new(0, size + random_next(rng) % (8 * size + 2048));
    struct payload *p = payload_of(budget, data, size);
    struct walk_report report;
    struct err err;

    if (otlp_walk(p, &report, &err) != WALK_OK)
        CHECK(p->n_spans == 0);
    payload_unref(&p);
    CHECK(budget_used(budget) == 0);
    budget_free(&budget);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *budget = budget_new(0, 0);
    struct payload *p = payload_of(budget, data, size);
    uint64_t rng = hash_bytes(data, size) | 1;
    struct walk_report report;
    struct err err;

    if (otlp_walk(p, &report, &err) == WALK_OK) {
        CHECK(report.spans == p->n_spans);
        read_all(p);
        work_on(budget, &p, &rng);
    } else {
        payload_unref(&p);
    }
    CHECK(budget_used(budget) == 0);
    budget_free(&budget);
    walk_with_little_memory(data, size, &rng);
    return 0;
}
