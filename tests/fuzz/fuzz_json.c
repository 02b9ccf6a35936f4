/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as OTLP/JSON. What the decoder takes must be protobuf that the walk takes or refuses
 * cleanly; what the walk takes must come out as JSON that another parser (jansson) reads and that
 * decodes again to the same number of spans.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/otlp_json.h"
#include "model/otlp_walk.h"

enum { OUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct payload *walked(struct budget *b, const struct buf *wire, struct walk_report *report)
{
    uint8_t *bytes = (uint8_t *)malloc(wire->len + 1);
    struct payload *p;
    struct err err = {""};

    CHECK(bytes && budget_charge(b, MEM_BODY, wire->len));
    if (wire->len)
        memcpy(bytes, wire->p, wire->len);
    p = payload_new(b, &bytes, wire->len, wire->len);
    if (otlp_walk(p, report, &err) == WALK_OK)
        return p;
    CHECK(*err.text);
    payload_unref(&p);
    return NULL;
}

static void encode_again(struct budget *b, struct payload *p)
{
    struct buf json = {.max = 16 * OUT_MAX}, wire = {.max = OUT_MAX};
    struct batch *batch = batch_new(&p, NULL);
    uint64_t spans = batch->n_spans;
    struct walk_report report;
    struct err err = {""};
    json_t *tree;

    if (otlp_json_encode(batch, &json) == 0) {
        tree = json_loadb((char *)json.p, json.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
        CHECK(tree);
        json_decref(tree);
        if (otlp_json_decode(slice_of(json.p, json.len), &wire, &err) == 0) {
            p = walked(b, &wire, &report);
            CHECK(p && p->n_spans == spans);
            payload_unref(&p);
        } else {
            CHECK(strstr(err.text, "too large"));
        }
    }
    batch_exported(&batch);
    buf_free(&json);
    buf_free(&wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct budget *b = budget_new(0, 0);
    struct buf wire = {.max = OUT_MAX};
    struct walk_report report;
    struct err err = {""};
    struct payload *p;

    if (otlp_json_decode(slice_of(data, size), &wire, &err) == 0) {
        p = walked(b, &wire, &report);
        if (p && p->n_spans)
            encode_again(b, p);
        else
            payload_unref(&p);
    } else {
        CHECK(*err.text && wire.len == 0);
    }
    buf_free(&wire);
    CHECK(budget_used(b) == 0);
    budget_free(&b);
    return 0;
}
