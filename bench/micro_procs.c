/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the attribute processors cost: nanoseconds per span of about 263 bytes with 5 to 12
 * attributes, for redaction (2 key and 2 value patterns) and attributes (3 actions), alone and one
 * after the other, and for filter and transform, on requests of which one span in 64 holds a secret. Several requests are used in
 * turn, so that their bytes do not stay in the first-level caches. The walk is not counted.
 *
 *   build/obj/bench/micro_procs [spans per request] [requests] [only rows with this text]
 */
#include <stdio.h>
#include <stdlib.h>

#include "component/component.h"
#include "model/attr.h"
#include "model/otlp_walk.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/attributes_actions.h"
#include "processors/filter_rules.h"
#include "processors/processors.h"
#include "processors/redaction_rules.h"
#include "processors/transform_rules.h"

enum { ROUNDS = 15 };

static const char *wanted = "";

/* ---- requests ---- */

static void need(int rc)
{
    CHECK(rc == 0);
}

static void put_message(struct buf *out, uint32_t number, struct buf *body)
{
    need(wire_put_bytes(out, number, slice_of(body->p, body->len)));
    buf_clear(body);
}

static void put_attr(struct buf *b, const char *key, const char *value)
{
    need(attr_put_str(b, SPAN_ATTRIBUTES, slice_str(key), slice_str(value)));
}

static void put_attributes(struct buf *b, uint64_t *rng, bool secret)
{
    static const char *const keys[] = {"net.host.name", "http.target", "http.user_agent", "peer.service",
                                       "net.transport", "thread.name", "code.function",   "db.system"};
    static const char *const values[] = {"shop-7f9c", "/api/v1/carts", "curl/8.1", "checkout", "ip_tcp", "worker-3", "Cart.add", "redis"};
    size_t extra = random_next(rng) % 8;

    put_attr(b, "http.method", "GET");
    need(attr_put_int(b, SPAN_ATTRIBUTES, slice_str("http.status_code"), 200));
    put_attr(b, "http.route", "/api/v1/carts/{id}");
    need(attr_put_int(b, SPAN_ATTRIBUTES, slice_str("net.peer.port"), 8080));
    put_attr(b, "k", secret ? "card 4111111111111111 paid" : "a plain remark of no interest");
    for (size_t i = 0; i < extra; i++)
        put_attr(b, keys[i], values[i]);
}

static void put_span(struct buf *b, uint64_t *rng, bool secret)
{
    uint64_t ids[3] = {random_next(rng), random_next(rng), random_next(rng)};

    need(wire_put_bytes(b, SPAN_TRACE_ID, slice_of(ids, 16)));
    need(wire_put_bytes(b, SPAN_SPAN_ID, slice_of(ids + 2, 8)));
    need(wire_put_bytes(b, SPAN_NAME, slice_str("GET /api/v1/carts/{id}")));
    need(wire_put_uint(b, SPAN_KIND, 2));
    need(wire_put_fixed64(b, SPAN_START, 1700000000000000000ull + ids[0] % 1000000000));
    need(wire_put_fixed64(b, SPAN_END, 1700000001000000000ull + ids[0] % 1000000000));
    put_attributes(b, rng, secret);
}

/* secret_every: one span in so many holds a secret; 0: none. */
static struct payload *request(struct budget *budget, size_t n_spans, size_t secret_every, uint64_t *rng)
{
    struct buf span = {0}, scope_spans = {0}, resource = {0}, resource_spans = {0}, out = {0};
    struct walk_report report;
    struct err err;
    struct payload *p;
    uint8_t *bytes;

    for (size_t i = 0; i < n_spans; i++) {
        put_span(&span, rng, secret_every && i % secret_every == 7);
        put_message(&scope_spans, 2, &span);
    }
    need(attr_put_str(&resource, RESOURCE_ATTRIBUTES, slice_str("service.name"), slice_str("shop")));
    put_message(&resource_spans, 1, &resource);
    put_message(&resource_spans, 2, &scope_spans);
    put_message(&out, 1, &resource_spans);
    bytes = mem_alloc(out.len);
    memcpy(bytes, out.p, out.len);
    budget_force(budget, MEM_BODY, out.len);
    p = payload_new(budget, &bytes, out.len, out.len);
    CHECK(otlp_walk(p, &report, &err) == WALK_OK);
    buf_free(&span), buf_free(&scope_spans), buf_free(&resource), buf_free(&resource_spans), buf_free(&out);
    return p;
}

/* ---- a chain of processors ---- */

struct stage {
    struct host host;
    struct component *c;
    struct stage *next; /* NULL: the batch ends */
};

static void emit(struct host *h, struct batch **take)
{
    struct stage *s = CONTAINER_OF(h, struct stage, host);

    if (s->next)
        s->next->c->type->push(s->next->c, take);
    else
        batch_exported(take);
}

static void stage_init(struct stage *s, const struct component_type *type, const void *settings, struct budget *b)
{
    struct err err;

    s->host = (struct host){.budget = b, .metrics = metric_set_new(), .n_workers = 1, .id = "bench", .emit_fn = emit};
    need(type->shared_create(settings, &s->host, &s->host.shared, &err));
    s->c = type->create(&s->host, settings, &err);
}

static double measure(struct stage *first, struct payload **requests, size_t n)
{
    uint64_t best_ns = UINT64_MAX, spans = 0;

    for (size_t i = 0; i < n; i++)
        spans += requests[i]->n_spans;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_cpu_ns(), took;

        for (size_t i = 0; i < n; i++) {
            struct payload *p = payload_ref(requests[i]);
            struct batch *b = batch_new(&p, NULL);

            if (first)
                first->c->type->push(first->c, &b);
            else
                batch_exported(&b);
        }
        took = clock_cpu_ns() - start;
        if (took < best_ns)
            best_ns = took;
    }
    return (double)best_ns / (double)spans;
}

static void row(const char *what, struct stage *a, struct stage *b, struct payload **requests, size_t n)
{
    if (a) {
        a->next = b;
        a->host.successor = b ? b->c : NULL;
    }
    if (strstr(what, wanted))
        printf("%-44s %7.1f ns/span\n", what, measure(a, requests, n));
}

static const char *const keys[] = {"(?i)password|secret", "authorization"};
static const char *const values[] = {"4[0-9]{12}(?:[0-9]{3})?", "\\b\\d{3}-\\d{2}-\\d{4}\\b"};
static const char *const blind_values[] = {"4[0-9]{12}(?:[0-9]{3})?", "[a-z]+x$"};
/* Nothing of these is in the requests, but for one span in 64 the first. */
static const char *const many_values[] = {
    "\\b4\\d{3}(?:[ -]?\\d{4}){2}[ -]?\\d(?:\\d{3})?\\b",
    "\\b\\d{3}-\\d{2}-\\d{4}\\b",
    "\\b(?:5[1-5]\\d{2}|222[1-9]|22[3-9]\\d|2[3-6]\\d{2}|27[01]\\d|2720)(?:[ -]?\\d{4}){3}\\b",
    "\\b3[47]\\d{2}[ -]?\\d{6}[ -]?\\d{5}\\b",
    "\\b6(?:011|4[4-9]\\d|5\\d{2})(?:[ -]?\\d{4}){3}\\b",
    "[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\\.){1,8}[A-Za-z]{2,24}\\b",
    "\\+[1-9]\\d{6,14}\\b",
    "\\beyJ[A-Za-z0-9_-]{5,}\\.eyJ[A-Za-z0-9_-]{5,}\\.[A-Za-z0-9_-]*",
    "(?i)\\b(?:bearer|basic|digest|negotiate)[ \\t]+[A-Za-z0-9._~+/=-]{8,}",
    "\\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}\\b",
    "\\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\\b",
    "\\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "\\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}\\b",
    "\\bAIza[A-Za-z0-9_-]{35}",
    "-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----",
    "(?i)\\b[a-z][a-z0-9+.-]{1,15}://[^/?#\\s:@]*:[^/?#\\s@]+@",
    "(?i)\\b(?:password|passwd|pwd|secret|api[_-]?key)[\"']?[ \\t]*[=:][ \\t]*[\"']?[^\\s\"'&;,]+",
    "\\b[A-Z]{2}\\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\\b",
    "\\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\\b",
    "(?i)\\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\\b",
};
static const char *const allowed[] = {"http.method", "http.status_code", "http.route", "net.peer.port", "k", "net.host.name", "http.target",
                                      "http.user_agent", "peer.service", "net.transport", "thread.name", "code.function", "db.system"};

static const struct action_settings quiet[] = {
    {.key = "absent.one", .action = "delete", .from_attribute = "", .from_context = "", .pattern = "", .converted_type = ""},
    {.key = "absent.two", .action = "update", .value = {.type = VALUE_STR, .s = "x"}, .from_attribute = "", .from_context = "", .pattern = "", .converted_type = ""},
    {.key = "absent.three", .action = "hash", .from_attribute = "", .from_context = "", .pattern = "", .converted_type = ""},
};
static const struct action_settings busy[] = {
    {.key = "env", .action = "upsert", .value = {.type = VALUE_STR, .s = "production"}, .from_attribute = "", .from_context = "", .pattern = "", .converted_type = ""},
    {.key = "http.user_agent", .action = "delete", .from_attribute = "", .from_context = "", .pattern = "", .converted_type = ""},
    {.key = "user.id", .action = "hash", .from_attribute = "", .from_context = "", .pattern = "", .converted_type = ""},
};

/* Conditions that hold for no span. */
static const char *const conditions[] = {
    "attributes[\"http.route\"] == \"/health\"",
    "IsMatch(attributes[\"http.route\"], \"^/(health|ready|live)\")",
    "name == \"no such name\"",
    "status.code == STATUS_CODE_ERROR and end_time - start_time > Duration(\"1h\")",
    "attributes[\"http.status_code\"] >= 600",
    "resource.attributes[\"service.name\"] == \"nobody\"",
    "attributes[\"net.peer.port\"] == 9 and attributes[\"k\"] != nil",
    "HasPrefix(name, \"internal.\")",
    "attributes[\"db.system\"] == \"oracle\"",
    "kind == SPAN_KIND_PRODUCER and IsRootSpan()",
};

static void filter_row(const char *what, size_t first, size_t n_conditions, struct payload **requests, size_t n, struct budget *b)
{
    struct filter_settings s = {.error_mode = "silent", .traces.span = {conditions + first, n_conditions}};
    struct stage st = {0};

    stage_init(&st, &filter_type, &s, b);
    row(what, &st, NULL, requests, n);
}

/* Stages in a row: as one group, and each by itself. */
static void chain_row(const char *what, struct stage **v, size_t n_stages, struct payload **requests, size_t n)
{
    char text[80];

    for (int joined = 0; joined < 2; joined++) {
        for (size_t i = 0; i < n_stages; i++) {
            v[i]->next = i + 1 < n_stages ? v[i + 1] : NULL;
            v[i]->host.successor = joined && v[i]->next ? v[i]->next->c : NULL;
        }
        snprintf(text, sizeof(text), "%s, %s", what, joined ? "joined" : "one by one");
        if (strstr(text, wanted))
            printf("%-44s %7.1f ns/span\n", text, measure(v[0], requests, n));
    }
}

/* The first three change no span, the others each. */
static const struct value statements[] = {
    {.type = VALUE_STR, .s = "set(span.attributes[\"env\"], \"x\") where span.attributes[\"http.status_code\"] == 500"},
    {.type = VALUE_STR, .s = "delete_key(span.attributes, \"password\")"},
    {.type = VALUE_STR, .s = "replace_pattern(span.attributes[\"http.route\"], \"token=[^&]*\", \"token=****\")"},
    {.type = VALUE_STR, .s = "set(span.attributes[\"env\"], \"x\") where span.attributes[\"http.status_code\"] == 200"},
    {.type = VALUE_STR, .s = "delete_key(span.attributes, \"net.peer.port\")"},
    {.type = VALUE_STR, .s = "replace_pattern(span.attributes[\"http.route\"], \"carts\", \"baskets\")"},
};

static void transform_row(const char *what, size_t first, size_t n_statements, struct payload **requests, size_t n, struct budget *b)
{
    struct transform_settings s = {.error_mode = "silent", .trace_statements = {.type = VALUE_LIST, .items = statements + first, .n = n_statements}};
    struct stage st = {0};

    stage_init(&st, &transform_type, &s, b);
    row(what, &st, NULL, requests, n);
}

int main(int argc, char **argv)
{
    size_t n_spans = argc > 1 ? strtoul(argv[1], NULL, 10) : 512, n = argc > 2 ? strtoul(argv[2], NULL, 10) : 32;
    struct payload **requests = mem_alloc_array(n, sizeof(*requests)), **clean = mem_alloc_array(n, sizeof(*clean));
    struct budget *budget = budget_new(0, 0);
    struct redaction_settings scan = {.allow_all_keys = true, .link_attributes = true, .blocked_key_patterns = {keys, 2}, .blocked_values = {values, 2}, .summary = "", .hash_function = "", .hmac_key = ""};
    struct redaction_settings blind, keyed, two, twenty;
    struct attributes_settings three = {.actions = {busy, 3}}, none = {.actions = {quiet, 3}};
    struct stage r_scan = {0}, r_blind = {0}, r_keyed = {0}, r_two = {0}, r_twenty = {0}, a_busy = {0}, a_quiet = {0};
    struct stage t_set = {0}, t_none = {0};
    struct transform_settings set_one = {.error_mode = "silent", .trace_statements = {.type = VALUE_LIST, .items = statements + 3, .n = 1}}, set_none = set_one;
    uint64_t rng = 7, bytes = 0;

    set_none.trace_statements.items = statements;
    set_none.trace_statements.n = 3;
    blind = keyed = two = twenty = scan;
    two.blocked_values = (struct str_list){many_values, 2};
    twenty.blocked_values = (struct str_list){many_values, ARRAY_LEN(many_values)};
    if (argc > 3)
        wanted = argv[3];
    hash_seed(7);
    blind.blocked_values.v = blind_values;
    keyed.allow_all_keys = false;
    keyed.allowed_keys = (struct str_list){allowed, ARRAY_LEN(allowed)};
    for (size_t i = 0; i < n; i++) {
        requests[i] = request(budget, n_spans, 64, &rng);
        clean[i] = request(budget, n_spans, 0, &rng);
        bytes += requests[i]->len;
    }
    stage_init(&r_scan, &redaction_type, &scan, budget);
    stage_init(&r_blind, &redaction_type, &blind, budget);
    stage_init(&r_keyed, &redaction_type, &keyed, budget);
    stage_init(&r_two, &redaction_type, &two, budget);
    stage_init(&r_twenty, &redaction_type, &twenty, budget);
    stage_init(&a_busy, &attributes_type, &three, budget);
    stage_init(&a_quiet, &attributes_type, &none, budget);
    printf("%zu requests of %zu spans, %.0f bytes a span\n", n, n_spans, (double)bytes / (double)(n * n_spans));
    row("a batch, nothing done", NULL, NULL, requests, n);
    row("redaction, 2 key + 2 value patterns", &r_scan, NULL, requests, n);
    row("  and 13 allowed_keys", &r_keyed, NULL, requests, n);
    row("  and a pattern the scan cannot use", &r_blind, NULL, requests, n);
    row("  2 value patterns from life", &r_two, NULL, requests, n);
    row("  20 value patterns from life", &r_twenty, NULL, requests, n);
    row("  2 of them, and nothing to find", &r_two, NULL, clean, n);
    row("  20 of them, and nothing to find", &r_twenty, NULL, clean, n);
    row("attributes, 3 actions that change nothing", &a_quiet, NULL, requests, n);
    row("attributes, 3 actions that change each span", &a_busy, NULL, requests, n);
    row("redaction + attributes (changing)", &r_scan, &a_busy, requests, n);
    filter_row("filter, 1 attribute compared", 0, 1, requests, n, budget);
    filter_row("  1 attribute by an expression", 1, 1, requests, n, budget);
    filter_row("  the name compared", 2, 1, requests, n, budget);
    filter_row("  status and duration", 3, 1, requests, n, budget);
    filter_row("  10 conditions", 0, ARRAY_LEN(conditions), requests, n, budget);
    transform_row("transform, 3 statements that change nothing", 0, 3, requests, n, budget);
    transform_row("  set an attribute of each span", 3, 1, requests, n, budget);
    transform_row("  delete one", 4, 1, requests, n, budget);
    transform_row("  replace a part of one", 5, 1, requests, n, budget);
    transform_row("  all 3", 3, 3, requests, n, budget);
    stage_init(&t_set, &transform_type, &set_one, budget);
    stage_init(&t_none, &transform_type, &set_none, budget);
    chain_row("redaction, attributes", (struct stage *[]){&r_scan, &a_busy}, 2, requests, n);
    chain_row("attributes, redaction", (struct stage *[]){&a_busy, &r_scan}, 2, requests, n);
    chain_row("transform, attributes", (struct stage *[]){&t_set, &a_busy}, 2, requests, n);
    chain_row("redaction, transform, attributes", (struct stage *[]){&r_scan, &t_set, &a_busy}, 3, requests, n);
    chain_row("the same, nothing changes", (struct stage *[]){&r_scan, &t_none, &a_quiet}, 3, clean, n);
    return 0;
}
