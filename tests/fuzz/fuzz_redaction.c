/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes redaction with everything on: whatever request the walk accepts comes out as a request it
 * accepts, with the same spans, and without the blocked word wherever redaction looks. */
#include <stdlib.h>

#include "cmd/redact_pieces.h"
#include "cmd/redact_run.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "processors/processors.h"
#include "processors/redaction_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORD "secret"

static struct payload *walked(struct budget *b, const void *p, size_t len)
{
    uint8_t *copy = mem_alloc(len + 1);
    struct walk_report report;
    struct payload *payload;
    struct err err;

    if (len)
        memcpy(copy, p, len);
    budget_force(b, MEM_BODY, len);
    payload = payload_new(b, &copy, len, len);
    if (otlp_walk(payload, &report, &err) != WALK_OK)
        payload_unref(&payload);
    return payload;
}

static void check_text(struct slice text)
{
    CHECK(!text.len || !memmem(text.p, text.len, WORD, strlen(WORD)));
}

/* Bytes are no text: they are looked at in base64. */
static void check_value(struct slice value)
{
    struct any v = any_parse(value);
    struct field_iter it;
    struct field f;

    if (v.type == ANY_STR)
        check_text(v.bytes);
    else if (v.type == ANY_ARRAY || v.type == ANY_MAP)
        for (it = field_iter(v.bytes); field_next(&it, &f);)
            if (f.number == 1)
                check_value(v.type == ANY_MAP ? field_bytes(f.bytes, KEYVALUE_VALUE) : f.bytes);
}

static void check_clean(const struct payload *p)
{
    struct pieces ps = pieces_of(p);

    for (size_t i = 0; i < ps.n; i++) {
        struct attr_iter it;
        struct attr a;

        if (!ps.v[i].field) {
            check_text(ps.v[i].body);
            continue;
        }
        for (it = attr_iter(ps.v[i].body, ps.v[i].field); attr_next(&it, &a);)
            check_value(a.value);
    }
    pieces_free(&ps);
}

static void check_encoded(struct budget *b, struct payload *p, uint32_t n_spans)
{
    struct payload *same = payload_ref(p), *back;
    struct batch *batch = batch_new(&same, NULL);
    struct encoded e = {0};
    uint8_t *bytes;

    CHECK(otlp_encode(batch, &e) == 0);
    bytes = mem_alloc(e.len + 1);
    encoded_copy(&e, bytes);
    back = walked(b, bytes, e.len);
    CHECK(back && back->n_spans == n_spans);
    payload_unref(&back);
    encoded_free(&e);
    batch_exported(&batch);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const words[] = {WORD}, *const keys[] = {"token"}, *const allowed[] = {"a", "b", "k"};
    uint8_t mode = size ? data[size - 1] : 0;
    struct redaction_settings s = {.allow_all_keys = mode & 1, .redact_all_types = true, .link_attributes = true, .nested = true,
                                   .event_names = true, .status_message = true, .span_name_values = true,
                                   .allowed_keys = {allowed, 3}, .blocked_values = {words, 1}, .blocked_key_patterns = {keys, mode >> 1 & 1},
                                   .summary = mode & 4 ? "info" : "",
                                   .url_sanitizer = {.enabled = mode & 16, .sanitize_span_name = true, .attributes = {allowed, 3}}, .hash_function = mode & 8 ? "md5" : "", .hmac_key = ""};
    struct budget *b = budget_new(0, 0);
    struct payload *p = walked(b, data, size);

    if (p && p->n_spans) {
        struct requests in = {&p, 1, p->n_spans}, out;
        struct err err;

        CHECK(requests_process(&in, &redaction_type, &s, b, &out, &err) == 0);
        CHECK(out.n == 1 && out.n_spans == in.n_spans);
        check_clean(out.v[0]);
        check_encoded(b, out.v[0], p->n_spans);
        requests_free(&out);
    }
    payload_unref(&p);
    CHECK(budget_used(b) == 0);
    budget_free(&b);
    return 0;
}
