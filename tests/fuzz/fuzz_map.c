/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes chains of map processors: whatever request the walk accepts goes through a chain, chosen
 * by the input's last bytes, joined and one by one. Both come to the same, and what comes out the
 * walk accepts. Fields that stand in no order may change places, so spans are compared field by
 * field. */
#include <stdlib.h>

#include "component/key.h"
#include "model/attr.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "processors/attributes_actions.h"
#include "processors/filter_rules.h"
#include "processors/processors.h"
#include "processors/redaction_rules.h"
#include "processors/transform_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- settings ---- */

#define ACTION(key_, action_)                                                                      \
    .key = key_, .action = action_, .from_attribute = "", .from_context = "", .pattern = "",       \
    .converted_type = ""
static const struct action_settings puts_a[] = {{ACTION("a", "upsert"),
                                                 .value = {.type = VALUE_STR, .s = "secret"}},
                                                {ACTION("k", "delete")}},
                                    hashes[] = {{ACTION("a", "hash")},
                                                {ACTION("b", "upsert"),
                                                 .value = {.type = VALUE_INT, .i = 7}}};
static const struct attributes_settings first = {.actions = {puts_a, 2}},
                                        second = {.actions = {hashes, 2}};
static const char *const words[] = {"secret"}, *const keys[] = {"token"},
                         *const allowed[] = {"a", "b", "n"};
static const struct redaction_settings masks = {.allow_all_keys = true,
                                                .nested = true,
                                                .event_names = true,
                                                .span_name_values = true,
                                                .blocked_values = {words, 1},
                                                .summary = "debug",
                                                .hash_function = "",
                                                .hmac_key = ""},
                                       keeps = {.allowed_keys = {allowed, 3},
                                                .link_attributes = true,
                                                .blocked_key_patterns = {keys, 1},
                                                .summary = "",
                                                .hash_function = "",
                                                .hmac_key = ""};
static const struct value
    names[] = {{.type = VALUE_STR, .s = "set(span.name, span.attributes[\"a\"])"},
               {.type = VALUE_STR, .s = "set(span.attributes[\"n\"], Len(span.attributes))"}},
    copies[] = {
        {.type = VALUE_STR, .s = "set(span.attributes[\"c\"], resource.attributes[\"a\"])"},
        {.type = VALUE_STR, .s = "set(spanevent.attributes[\"s\"], span.attributes[\"b\"])"}};
static const struct transform_settings renames = {.error_mode = "silent",
                                                  .trace_statements = {.type = VALUE_LIST,
                                                                       .items = names,
                                                                       .n = 2}},
                                       looks = {.error_mode = "silent",
                                                .trace_statements = {
                                                    .type = VALUE_LIST, .items = copies, .n = 2}};
static const char *const conditions[] = {"attributes[\"b\"] == 7 and kind == 2",
                                         "name == \"secret\""},
                         *const events[] = {"attributes[\"k\"] != nil"};
static const struct filter_settings drops = {.error_mode = "silent",
                                             .traces = {.span = {conditions, 2}}},
                                    drops_events = {.error_mode = "silent",
                                                    .traces = {.spanevent = {events, 1}}};

static const struct {
    const struct component_type *type;
    const void *settings;
} pool[] = {{&attributes_type, &first}, {&attributes_type, &second},  {&redaction_type, &masks},
            {&redaction_type, &keeps},  {&transform_type, &renames},  {&transform_type, &looks},
            {&filter_type, &drops},     {&filter_type, &drops_events}};

/* ---- a chain ---- */

#define MOST 4

struct stage {
    struct host host;
    struct component *c;
    struct batch **out;
    struct stage *next; /* NULL: the batch comes out */
};

static void emit(struct host *h, struct batch **take)
{
    struct stage *s = CONTAINER_OF(h, struct stage, host);

    if (s->next) {
        s->next->c->type->push(s->next->c, take);
        return;
    }
    *s->out = *take;
    *take = NULL;
}

static void drained(struct host *h)
{
    (void)h;
}

static void chain_build(struct stage *v, size_t n, const uint8_t *choice, struct budget *b,
                        bool joined, struct batch **out)
{
    struct err err;

    for (size_t i = n; i-- > 0;) {
        const struct component_type *type = pool[choice[i] % ARRAY_LEN(pool)].type;
        const void *settings = pool[choice[i] % ARRAY_LEN(pool)].settings;

        v[i].host = (struct host){.budget = b,
                                  .metrics = metric_set_new(),
                                  .n_workers = 1,
                                  .id = "fuzz",
                                  .emit_fn = emit,
                                  .drained_fn = drained};
        v[i].next = i + 1 < n ? &v[i + 1] : NULL;
        v[i].host.successor = joined && v[i].next ? v[i].next->c : NULL;
        v[i].out = out;
        CHECK(type->shared_create(settings, &v[i].host, &v[i].host.shared, &err) == 0);
        v[i].c = type->create(&v[i].host, settings, &err);
        CHECK(v[i].c);
    }
}

static void chain_free(struct stage *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct component_type *type = v[i].c->type;

        type->drain(v[i].c);
        type->destroy(&v[i].c);
        type->shared_destroy(&v[i].host.shared);
        metric_set_free(&v[i].host.metrics);
    }
}

/* ---- comparing ---- */

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

/* The message's fields by their numbers. */
static void put_sorted(struct slice message, struct buf *out)
{
    uint32_t number = 0, next;

    do {
        struct field_iter it = field_iter(message);
        struct field f;

        next = UINT32_MAX;
        while (field_next(&it, &f)) {
            if (f.number == number)
                CHECK(buf_add(out, f.rec.p, f.rec.len) == 0);
            if (f.number > number && f.number < next)
                next = f.number;
        }
        number = next;
    } while (next != UINT32_MAX);
}

static void put_batch(const struct batch *b, struct buf *out)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        const struct payload *p = b->parts[i].payload;

        for (uint32_t k = b->parts[i].first; k < b->parts[i].first + b->parts[i].n; k++) {
            const struct span *s = &p->spans[k];

            put_sorted(p->resources[p->scopes[s->scope].resource].resource, out);
            put_sorted(p->scopes[s->scope].scope, out);
            put_sorted(span_body(s), out);
            CHECK(buf_add(out, &s->flags, 1) == 0 && buf_add(out, &s->kind, 1) == 0 &&
                  buf_add(out, &s->status, 1) == 0);
        }
    }
}

/* It is a request that others take. */
static void check_encoded(struct budget *b, const struct batch *batch)
{
    struct encoded e = {0};
    struct payload *back;
    uint8_t *bytes;

    CHECK(otlp_encode(batch, &e) == 0);
    bytes = mem_alloc(e.len + 1);
    encoded_copy(&e, bytes);
    back = walked(b, bytes, e.len);
    CHECK(back && back->n_spans == batch->n_spans);
    payload_unref(&back);
    encoded_free(&e);
    free(bytes);
}

static void through(const struct payload *p, const uint8_t *data, size_t size,
                    const uint8_t *choice, size_t n, struct budget *b, bool joined,
                    struct buf *text)
{
    struct stage v[MOST] = {{.next = NULL}};
    struct batch *in, *out = NULL;
    struct payload *own = walked(b, data, size);

    CHECK(own && own->n_spans == p->n_spans);
    chain_build(v, n, choice, b, joined, &out);
    in = batch_new(&own, NULL);
    v[0].c->type->push(v[0].c, &in);
    if (out) {
        put_batch(out, text);
        check_encoded(b, out);
        batch_exported(&out);
    }
    chain_free(v, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size ? 2 + data[size - 1] % (MOST - 1) : 0;
    struct buf apart = {0}, joined = {0};
    struct budget *b = budget_new(0, 0);
    struct payload *p = size > MOST ? walked(b, data, size - MOST) : NULL;

    if (p && p->n_spans) {
        through(p, data, size - MOST, data + size - MOST, n, b, false, &apart);
        through(p, data, size - MOST, data + size - MOST, n, b, true, &joined);
        CHECK(slice_eq(slice_of(apart.p, apart.len), slice_of(joined.p, joined.len)));
    }
    buf_free(&apart);
    buf_free(&joined);
    payload_unref(&p);
    CHECK(budget_used(b) == 0);
    budget_free(&b);
    return 0;
}
