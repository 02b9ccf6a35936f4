/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes transform: lines up to the first zero byte are statements, each a group in the first context
 * that takes it; what follows is a request when the walk takes it (else a small one of our own).
 * Whatever they do, what comes out is a request that the walk takes, with the same spans, and the
 * same bytes the second time. */
#include <stdlib.h>

#include "cmd/redact_run.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "platform/hash.h"
#include "processors/processors.h"
#include "processors/transform_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_STATEMENTS 16
#define MOST_SPANS      64

static struct payload *walked(struct budget *b, const void *p, size_t len,
                              struct walk_report *report)
{
    uint8_t *copy = mem_alloc(len + 1);
    struct payload *payload;
    struct err err;

    if (len)
        memcpy(copy, p, len);
    budget_force(b, MEM_BODY, len);
    payload = payload_new(b, &copy, len, len);
    if (otlp_walk(payload, report, &err) != WALK_OK)
        payload_unref(&payload);
    return payload;
}

static struct payload *own(struct budget *b)
{
    /* one span with ids, a name, attributes a = "x" and b = {k: [empty]}, an event with a = "y" */
    static const uint8_t request[] = "\x0a"
                                     "O\x0a\x00\x12"
                                     "K\x12"
                                     "I\x0a\x10"
                                     "0123456789abcdef\x12\x08"
                                     "01234567*\x01nJ\x08\x0a\x01"
                                     "a\x12\x03\x0a\x01xJ\x12\x0a\x01"
                                     "b\x12\x0d"
                                     "2\x0b\x0a\x09\x0a\x01k\x12\x04*\x02\x0a\x00Z\x0a\x1a\x08\x0a\x01"
                                     "a\x12\x03\x0a\x01y";
    struct walk_report report;
    struct payload *p = walked(b, request, sizeof(request) - 1, &report);

    CHECK(p && p->n_spans == 1);
    return p;
}

/* The bytes of what comes out; checked. */
static uint8_t *encoded(struct budget *b, struct payload *p, uint32_t n_spans, size_t *len)
{
    struct payload *same = payload_ref(p), *back;
    struct batch *batch = batch_new(&same, NULL);
    struct encoded e = {0};
    struct walk_report report;
    uint8_t *bytes;

    CHECK(otlp_encode(batch, &e) == 0);
    *len = e.len;
    bytes = mem_alloc(e.len + 1);
    encoded_copy(&e, bytes);
    back = walked(b, bytes, e.len, &report);
    CHECK(back); /* ids may have been set to zero */
    CHECK(back->n_spans + report.rejected_trace_id + report.rejected_span_id == n_spans);
    CHECK(report.repaired_strings == 0);
    payload_unref(&back);
    encoded_free(&e);
    batch_exported(&batch);
    return bytes;
}

static uint8_t *run(struct budget *b, struct payload *p, const struct transform_settings *s,
                    size_t *len)
{
    struct requests in = {&p, 1, p->n_spans}, out;
    struct err err;
    uint8_t *bytes;

    CHECK(requests_process(&in, &transform_type, s, b, &out, &err) == 0);
    CHECK(out.n == 1 && out.n_spans == in.n_spans);
    bytes = encoded(b, out.v[0], p->n_spans, len);
    requests_free(&out);
    return bytes;
}

/* Does it say another thing each time? */
static bool changing(const char *text)
{
    return strstr(text, "Now") || strstr(text, "UUID");
}

static void check(struct budget *b, struct payload *p, const struct transform_settings *s,
                  bool changes)
{
    size_t len, len2;
    uint8_t *once = run(b, p, s, &len), *twice = run(b, p, s, &len2);

    CHECK(changes || (len == len2 && memcmp(once, twice, len) == 0));
    free(once);
    free(twice);
}

/* {context: c, statements: text} for the first context that takes it. */
static bool group(const char *text, struct value *items, struct value *v)
{
    static const char *const names[] = {"context", "statements"};
    static const char *const contexts[OTTL_CONTEXTS] = {"resource", "scope", "span", "spanevent"};
    struct err err;

    for (unsigned i = 0; i < OTTL_CONTEXTS; i++) {
        enum ottl_context c = (enum ottl_context)((strlen(text) + i) % OTTL_CONTEXTS);

        if (ottl_check_statement(text, c, false, &err)) {
            CHECK(err.text[0]);
            continue;
        }
        items[0] = (struct value){.type = VALUE_STR, .s = contexts[c]};
        items[1] = (struct value){.type = VALUE_STR, .s = text};
        *v = (struct value){.type = VALUE_MAP, .items = items, .names = names, .n = 2};
        return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t len = end ? (size_t)(end - data) : size, n = 0;
    char *text = mem_dup_n((const char *)data, len), *rest = text, *line;
    struct value groups[MOST_STATEMENTS], items[MOST_STATEMENTS][2];
    struct budget *b = budget_new(0, 0);
    struct transform_settings s = {.error_mode = "silent"};
    bool changes = changing(text);
    struct walk_report report;
    struct payload *p;

    hash_seed(1);
    while (n < MOST_STATEMENTS && (line = strsep(&rest, "\n")))
        n += group(line, items[n], &groups[n]);
    s.trace_statements = (struct value){.type = VALUE_LIST, .items = groups, .n = n};
    p = end ? walked(b, end + 1, size - len - 1, &report) : NULL;
    if (p && (p->n_spans == 0 || p->n_spans > MOST_SPANS))
        payload_unref(&p);
    if (!p)
        p = own(b);
    check(b, p, &s, changes);
    payload_unref(&p);
    CHECK(budget_used(b) == 0);
    budget_free(&b);
    free(text);
    return 0;
}
