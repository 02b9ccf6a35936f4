/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of map processors: joined they do to the byte what they do one by one. Random chains over
 * random requests, through two sets of the same components: in one each is told what follows it, in
 * the other the test carries batches from one to the next. Compared: what comes out, answers,
 * books, counters.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/otlp_encode.h"
#include "processors/map.h"
#include "processors/processors.h"
#include "tests/lib/otlp_random.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

#define MOST 5

static const struct config {
    const struct component_type *type;
    const char *yaml;
} pool[] = {
    {&attributes_type, "{actions: [{key: a, action: upsert, value: x}]}"},
    {&attributes_type,
     "{actions: [{key: checkout, action: delete}, {key: new, action: insert, from_attribute: a}]}"},
    {&attributes_type, "{actions: [{pattern: '^(http|Sa)', action: delete}]}"},
    {&attributes_type, "{actions: [{pattern: '.', action: delete}]}"},
    {&attributes_type,
     "{actions: [{pattern: 'e', action: hash}, {key: n, action: upsert, value: 5}]}"},
    {&attributes_type, "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: "
                       "regexp, span_names: ['a', cart]}}"},
    {&attributes_type, "{actions: [{key: hit, action: upsert, value: two}], include: {match_type: "
                       "regexp, attributes: [{key: a}]}}"},
    {&attributes_type, "{actions: [{key: s, action: upsert, value: 2}], exclude: {match_type: "
                       "regexp, services: ['a']}}"},
    {&attributes_type, "{actions: [{key: a, action: extract, pattern: '(?P<first>.)(?P<a>.*)'}, "
                       "{key: n, action: convert, converted_type: string}]}"},
    {&attributes_type, "{actions: [{key: who, action: upsert, from_context: client.address}]}"},
    {&resource_type,
     "{attributes: [{key: service.name, action: upsert, value: other}, {key: a, action: delete}]}"},
    {&resource_type, "{attributes: [{pattern: 'e', action: hash}]}"},
    {&redaction_type,
     "{allow_all_keys: true, blocked_values: ['cart[a-z]', legs], summary: debug}"},
    {&redaction_type,
     "{allow_all_keys: true, blocked_values: ['[0-9]{4}'], blocked_key_patterns: ['a$', hit]}"},
    {&redaction_type, "{allowed_keys: [a, new, hit, n, service.name, checkout], summary: info}"},
    {&redaction_type, "{allow_all_keys: true, redact_all_types: true, blocked_values: [e, '1'], "
                      "link_attributes: false}"},
    {&redaction_type, "{allow_all_keys: true, blocked_values: [x, ou], event_names: true, "
                      "span_name_values: true, status_message: true, nested: true}"},
    {&redaction_type, "{allow_all_keys: true, blocked_values: ['^x$', other], hash_function: md5}"},
    {&redaction_type, "{allow_all_keys: true, blocked_values: ['http'], url_sanitizer: {enabled: "
                      "true, attributes: [a, checkout, hit]}, db_sanitizer: {sanitize_span_name: "
                      "true, sql: {enabled: true, attributes: [a, service.name]}}}"},
    {&span_type, "{name: {from_attributes: [a, new], separator: '-'}}"},
    {&span_type, "{name: {to_attributes: {rules: ['(?P<a>[a-z]+)', '(?P<second>\\d+)']}}}"},
    {&span_type, "{name: {to_attributes: {rules: ['(?P<hit>c.)'], keep_original_name: true}}}"},
    {&span_type, "{status: {code: Error, description: because}, include: {match_type: regexp, "
                 "attributes: [{key: a}]}}"},
    {&filter_type, "{error_mode: ignore, traces: {span: ['attributes[\"a\"] == \"x\"', 'name == "
                   "\"checkout\"']}}"},
    {&filter_type,
     "{error_mode: silent, traces: {span: ['kind == 3', 'Substring(name, 4, 4) == \"cart\"']}}"},
    {&filter_type, "{error_mode: propagate, traces: {span: ['attributes[\"checkout\"] != nil and "
                   "Substring(attributes[\"checkout\"], 30, 1) == \"x\"']}}"},
    {&filter_type, "{error_mode: ignore, traces: {spanevent: ['name == \"\" or IsMatch(name, "
                   "\"a\")', 'span.attributes[\"hit\"] != nil']}}"},
    {&filter_type,
     "{error_mode: ignore, traces: {resource: ['attributes[\"service.name\"] == \"a\"']}}"},
    {&filter_type,
     "{spans: {exclude: {match_type: regexp, attributes: [{key: a, value: '^[a-z]$'}]}}}"},
    {&transform_type, "{error_mode: ignore, trace_statements: ['set(span.attributes[\"a\"], "
                      "span.name)', 'delete_key(span.attributes, \"service.name\")']}"},
    {&transform_type,
     "{error_mode: ignore, trace_statements: ['set(span.name, \"n\") where span.attributes[\"a\"] "
     "!= nil', 'replace_all_patterns(span.attributes, \"value\", \"a\", \"b\")']}"},
    {&transform_type, "{error_mode: propagate, trace_statements: ['set(span.attributes[\"c\"], "
                      "Substring(span.attributes[\"checkout\"], 12, 2)) where "
                      "span.attributes[\"checkout\"] != nil']}"},
    {&transform_type, "{error_mode: silent, trace_statements: [{context: spanevent, statements: "
                      "['set(attributes[\"of\"], span.attributes[\"a\"])', 'set(name, \"e\") where "
                      "name == \"\"']}]}"},
    {&transform_type, "{error_mode: ignore, trace_statements: [{context: resource, statements: "
                      "['set(attributes[\"new\"], attributes[\"service.name\"])', "
                      "'delete_key(attributes, \"a\")']}, {context: span, statements: "
                      "['set(status.code, 2) where kind == 2', 'truncate_all(attributes, 9)']}]}"},
    {&transform_type, "{error_mode: ignore, trace_statements: [{context: span, statements: "
                      "['set(resource.attributes[\"last\"], name)', 'set(attributes[\"r\"], "
                      "resource.attributes[\"a\"])']}]}"},
    {&transform_type,
     "{error_mode: ignore, trace_statements: [{context: span, statements: ['limit(attributes, 3, "
     "[\"a\"])', 'set(cache[\"n\"], name)', 'set(attributes[\"hit\"], cache[\"n\"]) where "
     "IsMatch(name, \"o\")']}, {context: scope, statements: ['set(name, \"s\")']}]}"},
    {&transform_type, "{error_mode: ignore, trace_statements: ['set(span.attributes[\"r\"], "
                      "resource.attributes[\"service.name\"])', 'set(span.trace_state[\"k\"], "
                      "\"v\") where span.kind == 1', 'set(span.attributes, span.attributes)']}"},
    {&transform_type, "{error_mode: ignore, trace_statements: ['set(span.attributes[\"all\"], "
                      "Len(span.attributes))', 'keep_keys(span.attributes, [\"a\", \"all\", "
                      "\"hit\"]) where span.status.code == 1']}"},
};

/* ---- a chain ---- */

struct chain {
    size_t n;
    struct test_host *t[MOST];
    struct component *c[MOST];
    struct test_settings s[MOST];
};

/* joined: each knows what follows. */
static struct chain chain_new(const struct config *const *of, size_t n, bool joined)
{
    struct chain ch = {.n = n};

    for (size_t i = 0; i < n; i++) {
        ch.t[i] = th_new();
        ch.s[i] = ts_new(of[i]->type, of[i]->yaml);
        ck_assert_msg(!*ts_problems(&ch.s[i]), "%s: %s", of[i]->yaml, ts_problems(&ch.s[i]));
        ch.c[i] = th_component(ch.t[i], of[i]->type, ch.s[i].settings);
    }
    for (size_t i = 0; joined && i + 1 < n; i++)
        ch.t[i]->host.successor = ch.c[i + 1];
    return ch;
}

static void chain_free(struct chain *ch)
{
    for (size_t i = ch->n; i-- > 0;) {
        th_component_free(ch->t[i], &ch->c[i]);
        ts_free(&ch->s[i]);
    }
    for (size_t i = ch->n; i-- > 0;)
        th_free(&ch->t[i]);
}

/* What came of a batch. */
struct outcome {
    bool out; /* it came out */
    struct buf bytes;
    uint64_t n_spans;
    struct test_wait answer;
};

static void put_encoded(const struct batch *b, struct buf *out)
{
    struct encoded e = {0};

    ck_assert_int_eq(otlp_encode(b, &e), 0);
    ck_assert_uint_eq(otlp_encoded_size(b), e.len);
    ck_assert_int_eq(buf_reserve(out, e.len), 0);
    encoded_copy(&e, out->p);
    out->len = e.len;
    encoded_free(&e);
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
                buf_put(out, f.rec.p, f.rec.len);
            if (f.number > number && f.number < next)
                next = f.number;
        }
        number = next;
    } while (next != UINT32_MAX);
}

/* For requests with fields in no order: whoever rewrites a message alone may choose other places
 * than who rewrites it with others. */
static void put_spans(const struct batch *b, struct buf *out)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        const struct part *part = &b->parts[i];

        for (uint32_t k = part->first; k < part->first + part->n; k++) {
            const struct span *s = &part->payload->spans[k];
            const struct scope *scope = &part->payload->scopes[s->scope];
            const struct resource *resource = &part->payload->resources[scope->resource];

            put_sorted(resource->resource, out);
            put_sorted(scope->scope, out);
            put_sorted(span_body(s), out);
            buf_putf(out, "%u %u %u %llu %llu", s->kind, s->status, s->flags,
                     (unsigned long long)s->start_ns, (unsigned long long)s->end_ns);
        }
    }
}

static struct batch *taken(struct chain *ch, size_t *at)
{
    for (; *at < ch->n; ++*at)
        if (ch->t[*at]->n_out) {
            ck_assert_uint_eq(ch->t[*at]->n_out, 1);
            ch->t[*at]->n_out = 0;
            return ch->t[*at]->out[0];
        }
    return NULL;
}

static struct batch *request(struct test_host *t, struct payload *p)
{
    struct batch *b = th_batch(t, p);

    b->waiter = th_wait(t);
    b->info = request_info_new("192.0.2.1", 0);
    return b;
}

/* Ends the batch at the chain's end, or wherever it ends. */
static struct outcome through(struct chain *ch, const struct buf *in, bool odd, unsigned *emits)
{
    struct outcome o = {.out = false};
    struct batch *b = request(ch->t[0], th_payload_bytes(ch->t[0], slice_of(in->p, in->len)));
    size_t at = 0;

    while (b && at < ch->n) {
        th_push(ch->c[at], b);
        b = taken(ch, &at);
        *emits += b != NULL;
        at++;
    }
    if (b) {
        o.out = true;
        o.n_spans = b->n_spans;
        (odd ? put_spans : put_encoded)(b, &o.bytes);
        batch_exported(&b);
    }
    o.answer = *ch->t[0]->waits[ch->t[0]->n_waits - 1];
    return o;
}

/* ---- comparing ---- */

/* The chain as text, for messages. */
static const char *named(const struct config *const *of, size_t n)
{
    static char text[4000];
    size_t len = 0;

    for (size_t i = 0; i < n && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s\n", of[i]->type->name,
                                of[i]->yaml);
    return text;
}

static void same_counters(struct chain *a, struct chain *b, const char *what)
{
    static const char *const series[] = {
        "otelcol_processor_incoming_items_total{otel_signal=\"traces\",processor=\"test\"}",
        "otelcol_processor_outgoing_items_total{otel_signal=\"traces\",processor=\"test\"}",
        "otelcol_processor_filter_spans_filtered_total{filter=\"test\"}",
        "tailrace_redaction_masked_values_total{processor=\"test\",level=\"span\"}",
        "tailrace_redaction_masked_values_total{processor=\"test\",level=\"event\"}",
        "tailrace_redaction_masked_values_total{processor=\"test\",level=\"resource\"}",
        "tailrace_redaction_deleted_attributes_total{processor=\"test\",level=\"span\"}",
        "tailrace_redaction_deleted_attributes_total{processor=\"test\",level=\"resource\"}",
    };

    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < ARRAY_LEN(series); k++)
            ck_assert_msg(th_metric(a->t[i], series[k]) == th_metric(b->t[i], series[k]),
                          "%s number %zu: %s is %g apart, %g joined", what, i, series[k],
                          th_metric(a->t[i], series[k]), th_metric(b->t[i], series[k]));
    ck_assert_msg(memcmp(&a->t[0]->ledger, &b->t[0]->ledger, sizeof(struct ledger)) == 0,
                  "%s: books", what);
}

static void same_outcome(const struct outcome *a, const struct outcome *b, const char *what)
{
    ck_assert_msg(a->out == b->out, "%s: out apart %d, joined %d", what, a->out, b->out);
    ck_assert_msg(a->n_spans == b->n_spans, "%s: %lu spans apart, %lu joined", what,
                  (unsigned long)a->n_spans, (unsigned long)b->n_spans);
    ck_assert_msg(slice_eq(slice_of(a->bytes.p, a->bytes.len), slice_of(b->bytes.p, b->bytes.len)),
                  "%s: bytes differ", what);
    ck_assert_msg(a->answer.times == b->answer.times && a->answer.answer == b->answer.answer,
                  "%s: answers", what);
    ck_assert_str_eq(a->answer.text, b->answer.text);
}

struct tally {
    unsigned changed, shorter, ended, refused, emits_apart, emits_joined;
};

/* One that has spans, as receivers see to. */
static void random_request(struct otlp_random *r, struct test_host *t, struct buf *in)
{
    uint32_t n_spans;

    do {
        struct payload *p;

        buf_clear(in);
        while (in->len == 0)
            otlp_random_request(r, in);
        p = th_payload_bytes(t, slice_of(in->p, in->len));
        n_spans = p->n_spans;
        payload_unref(&p);
    } while (n_spans == 0);
}

static void compare(const struct config *const *of, size_t n, struct otlp_random *r,
                    struct tally *y)
{
    struct chain apart = chain_new(of, n, false), joined = chain_new(of, n, true);
    struct buf in = {0};
    struct outcome a, b;

    random_request(r, apart.t[0], &in);
    a = through(&apart, &in, r->odd, &y->emits_apart);
    b = through(&joined, &in, r->odd, &y->emits_joined);
    same_outcome(&a, &b, named(of, n));
    same_counters(&apart, &joined, named(of, n));
    y->changed += a.out && !slice_eq(slice_of(a.bytes.p, a.bytes.len), slice_of(in.p, in.len));
    y->ended += !a.out && a.answer.answer == ANSWER_OK;
    y->refused += a.answer.answer != ANSWER_OK;
    y->shorter += apart.t[0]->ledger.fate[FATE_FILTERED] > 0;
    buf_free(&a.bytes);
    buf_free(&b.bytes);
    buf_free(&in);
    chain_free(&apart);
    chain_free(&joined);
}

START_TEST(joined_as_apart)
{
    struct otlp_random r = {.state = 7777 + (uint64_t)_i,
                            .odd = _i & 1,
                            .max_resources = 3,
                            .max_scopes = 2,
                            .max_spans = 8};
    struct tally y = {0};

    for (int round = 0; round < 120; round++) {
        size_t n = 2 + otlp_random_below(&r, MOST - 1);
        const struct config *of[MOST];

        for (size_t i = 0; i < n; i++)
            of[i] = &pool[otlp_random_below(&r, ARRAY_LEN(pool))];
        compare(of, n, &r, &y);
    }
    ck_assert_uint_gt(y.changed, 60);
    ck_assert_uint_gt(y.shorter, 0);
    ck_assert_uint_gt(y.refused, 0);
    ck_assert_uint_lt(y.emits_joined * 4, y.emits_apart * 3);
}
END_TEST

static const struct config
    named_by_attribute =
        {&transform_type,
         "{error_mode: ignore, trace_statements: ['set(span.name, span.attributes[\"s\"])']}"},
    upsert = {&attributes_type, "{actions: [{key: s, action: upsert, value: secret}]}"},
    masked = {&redaction_type, "{allow_all_keys: true, blocked_values: [secret]}"},
    errors_dropped = {&filter_type,
                      "{error_mode: ignore, traces: {span: ['attributes[\"s\"] == \"****\"']}}"};

/* What one leaves pending the next one sees. */
START_TEST(pending_is_seen)
{
    const struct config *of[] = {&upsert, &named_by_attribute, &masked, &errors_dropped};
    struct chain ch = chain_new(of, 3, true);

    th_push(ch.c[0], th_batch(ch.t[0], th_payload_n(ch.t[0], 1, 4)));
    ck_assert_uint_eq(ch.t[0]->n_out + ch.t[1]->n_out, 0);
    ck_assert_uint_eq(ch.t[2]->n_out, 1);
    ck_assert_str_eq(th_span_attr(th_span(ch.t[2]->out[0], 3), "s"), "****");
    ck_assert_str_eq(th_span_name(th_span(ch.t[2]->out[0], 3)), "secret");
    th_out_end(ch.t[2]);
    chain_free(&ch);
    ch = chain_new(of, 4, true);
    th_push(ch.c[0], th_batch(ch.t[0], th_payload_n(ch.t[0], 1, 4)));
    ck_assert_uint_eq(ch.t[0]->n_out + ch.t[1]->n_out + ch.t[2]->n_out + ch.t[3]->n_out, 0);
    ck_assert_uint_eq(ch.t[0]->ledger.fate[FATE_FILTERED], 4);
    chain_free(&ch);
}
END_TEST

START_TEST(one_that_is_drained_gets_its_own_batch)
{
    const struct config *of[] = {&upsert, &masked, &upsert};
    struct chain ch = chain_new(of, 3, true);

    ch.c[1]->type->drain(ch.c[1]);
    th_push(ch.c[0], th_batch(ch.t[0], th_payload_n(ch.t[0], 1, 4)));
    ck_assert_uint_eq(ch.t[0]->n_out, 1); /* and the graph would hand it on, to be refused there */
    th_out_end(ch.t[0]);
    chain_free(&ch);
}
END_TEST

/* However little memory there is: all of it goes on, or nothing. */
START_TEST(refused_memory_refuses_the_batch)
{
    const struct config *of[] = {&upsert, &named_by_attribute, &masked, &upsert};
    unsigned refused = 0, passed = 0;

    for (uint64_t more_bytes = 0; more_bytes < 64 * 1024; more_bytes += 2048) {
        struct chain ch = chain_new(of, 4, true);
        struct test_host *t = ch.t[0], *end = ch.t[3];
        struct batch *b = request(t, th_payload_n(t, 1, 100));

        budget_set_limits(t->host.budget, budget_used(t->host.budget) + more_bytes,
                          budget_used(t->host.budget) + more_bytes);
        th_push(ch.c[0], b);
        ck_assert_uint_eq(th_out_spans(end) + t->ledger.dropped[DROP_RETURNED], 100);
        refused += t->ledger.dropped[DROP_RETURNED] > 0;
        passed += end->n_out;
        if (end->n_out)
            ck_assert_str_eq(th_span_name(th_span(end->out[0], 99)), "secret");
        th_out_end(end);
        chain_free(&ch);
    }
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_gt(passed, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("map");
    TCase *tc = tcase_create("map");
    SRunner *sr;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, joined_as_apart, 0, 4);
    tcase_add_test(tc, pending_is_seen);
    tcase_add_test(tc, one_that_is_drained_gets_its_own_batch);
    tcase_add_test(tc, refused_memory_refuses_the_batch);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
