/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes conditions: the text up to the first zero byte, then a request they are asked of when the
 * walk takes it (else a small one of our own). Whatever compiles must evaluate, twice alike, in
 * every context. */
#include <stdlib.h>

#include "model/attr.h"
#include "model/otlp_walk.h"
#include "ottl/ottl.h"
#include "platform/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct payload *walked(struct budget *b, const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    struct walk_report report;
    struct payload *p;
    struct err err;

    CHECK(bytes);
    if (size)
        memcpy(bytes, data, size);
    budget_force(b, MEM_BODY, size);
    p = payload_new(b, &bytes, size, size);
    if (otlp_walk(p, &report, &err) != WALK_OK || p->n_spans == 0)
        payload_unref(&p);
    return p;
}

static struct payload *own(struct budget *b)
{
    /* one span with ids, a name, attributes a = "x" and b = {k: [empty]}, an event */
    static const uint8_t request[] = "\x0a"
                                     "E\x0a\x00\x12"
                                     "A\x12"
                                     "?\x0a\x10"
                                     "0123456789abcdef\x12\x08"
                                     "01234567*\x01nJ\x08\x0a\x01"
                                     "a\x12\x03\x0a\x01xJ\x12\x0a\x01"
                                     "b\x12\x0d"
                                     "2\x0b\x0a\x09\x0a\x01k\x12\x04*\x02\x0a\x00Z\x00";
    struct payload *p = walked(b, request, sizeof(request) - 1);

    CHECK(p);
    return p;
}

static void evaluate(struct ottl_program *program, const struct payload *p)
{
    struct ottl_eval *e = ottl_eval_new(program);
    uint32_t most = p->n_spans < 16 ? p->n_spans : 16;

    for (uint32_t i = 0; i < most; i++) {
        const struct span *s = &p->spans[i];
        const struct scope *scope = &p->scopes[s->scope];

        ottl_set_resource(e, p->resources[scope->resource].resource,
                          p->resources[scope->resource].schema_url);
        ottl_set_scope(e, scope->scope, scope->schema_url);
        ottl_set_span(e, s);
        ottl_set_event(e, field_bytes(span_body(s), SPAN_EVENTS));
        for (unsigned k = 0; k < ottl_program_conditions(program); k++) {
            enum ottl_verdict v = ottl_condition(e, k);

            CHECK(v != OTTL_ERROR || ottl_error(e)[0]);
            CHECK(strstr(ottl_condition_text(program, k), "Now") ||
                  strstr(ottl_condition_text(program, k), "UUID") || ottl_condition(e, k) == v);
        }
    }
    ottl_eval_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    size_t len = end ? (size_t)(end - data) : size;
    char *text = mem_dup_n((const char *)data, len);
    struct ottl_program *program = ottl_program_new();
    struct budget *b = budget_new(0, 0);
    struct payload *p;
    enum ottl_context inferred;
    struct err err;

    hash_seed(1);
    for (int c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        if (ottl_program_add(program, text, (enum ottl_context)c, false, &err) < 0)
            CHECK(err.text[0]);
    if (ottl_infer((const char *const *)&text, 1, &inferred, &err) == 0 &&
        ottl_program_add(program, text, inferred, true, &err) < 0)
        CHECK(err.text[0]);
    ottl_program_seal(program);
    p = end ? walked(b, end + 1, size - len - 1) : NULL;
    if (!p)
        p = own(b);
    evaluate(program, p);
    payload_unref(&p);
    budget_free(&b);
    ottl_program_free(&program);
    free(text);
    return 0;
}
