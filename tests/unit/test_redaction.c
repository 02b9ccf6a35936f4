/* SPDX-License-Identifier: Apache-2.0 */
/* redaction: each key, each level, the summaries, masks by Go's rules; no secret remains; spans without
 * one keep their bytes. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/otlp_encode.h"
#include "platform/hash.h"
#include "platform/regex.h"
#include "processors/processors.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

struct rig {
    struct test_settings s;
    struct test_host *t;
    struct component *c;
};

static struct rig rig_new(const char *yaml)
{
    struct rig r = {.s = ts_new(&redaction_type, yaml), .t = th_new()};

    r.c = th_component(r.t, &redaction_type, r.s.settings);
    return r;
}

static void rig_free(struct rig *r)
{
    th_component_free(r->t, &r->c);
    th_free(&r->t);
    ts_free(&r->s);
}

static const char *span_attrs(const struct rig *r, uint64_t k)
{
    return td_attrs(span_body(th_span(r->t->out[0], k)), SPAN_ATTRIBUTES);
}

/* Span attributes in, span attributes out. */
static const struct {
    const char *yaml;
    struct test_attr in[TH_ATTRS];
    const char *out;
} cases[] = {
    {"{}", {TH_STR("a", "1"), TH_INT("b", 2)}, ""},
    {"{allow_all_keys: true}", {TH_STR("a", "1"), TH_INT("b", 2)}, "a=s:1 b=i:2"},
    {"{allowed_keys: [b, d]}", {TH_STR("a", "1"), TH_INT("b", 2), TH_STR("c", "3"), TH_STR("d", "4")}, "d=s:4 b=i:2"},
    {"{allowed_keys: [a]}", {TH_STR("ab", "1"), TH_STR("a", "1"), TH_STR("redaction.masked.keys", "k")}, "redaction.masked.keys=s:k a=s:1"},
    {"{allow_all_keys: true, allowed_keys: [a]}", {TH_STR("b", "1")}, "b=s:1"},
    {"{allowed_keys: [b], ignored_keys: [a]}", {TH_STR("a", "1"), TH_STR("b", "2"), TH_STR("c", "3")}, "a=s:1 b=s:2"},
    {"{ignored_key_patterns: ['^a']}", {TH_STR("ab", "1"), TH_STR("ba", "2")}, "ab=s:1"},
    /* values */
    {"{allow_all_keys: true, blocked_values: ['4[0-9]{12}(?:[0-9]{3})?']}",
     {TH_STR("a", "card 4111111111111111 ok"), TH_INT("n", 4111111111111111), TH_STR("b", "411111111111")},
     "a=s:card **** ok n=i:4111111111111111 b=s:411111111111"},
    {"{allow_all_keys: true, redact_all_types: true, blocked_values: ['4[0-9]{12}(?:[0-9]{3})?']}",
     {TH_STR("a", "card 4111111111111111 ok"), TH_INT("n", 4111111111111111), TH_INT("m", 5)},
     "a=s:card **** ok n=s:**** m=i:5"},
    {"{allow_all_keys: true, blocked_values: [secret]}", {TH_STR("a", "secretsecret x secret")}, "a=s:******** x ****"},
    {"{allow_all_keys: true, blocked_values: ['a*']}", {TH_STR("k", "baaac"), TH_INT("n", 1)}, "k=s:****b****c**** n=s:****"},
    {"{allow_all_keys: true, blocked_values: [abc, '\\*\\*\\*\\*x']}", {TH_STR("k", "1abcx2")}, "k=s:1****2"},
    {"{allow_all_keys: true, blocked_values: ['\\*\\*\\*\\*x', abc]}", {TH_STR("k", "1abcx2")}, "k=s:1****x2"},
    {"{allow_all_keys: true, blocked_values: [secret], ignored_keys: [a]}", {TH_STR("a", "secret"), TH_STR("b", "secret")}, "a=s:secret b=s:****"},
    {"{allow_all_keys: true, blocked_values: [secret], allowed_values: ['^fine']}", {TH_STR("a", "fine secret"), TH_STR("b", "a fine secret")},
     "a=s:fine secret b=s:a fine ****"},
    {"{allow_all_keys: true, blocked_values: ['^x$']}", {TH_STR("a", "x"), TH_STR("b", "xx"), TH_STR("c", "x\n")}, "a=s:**** b=s:xx c=s:x\n"},
    {"{allow_all_keys: true, blocked_values: ['\\d']}", {TH_STR("a", "b2c3"), TH_STR("b", "none")}, "a=s:b****c**** b=s:none"},
    /* hashes */
    {"{allow_all_keys: true, blocked_values: [secret], hash_function: md5}", {TH_STR("a", "a secret b")}, "a=s:a 5ebe2294ecd0e0f08eab7690d2a6ee69 b"},
    {"{allow_all_keys: true, blocked_values: [secret], hash_function: SHA1}", {TH_STR("a", "secret")}, "a=s:e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"},
    {"{allow_all_keys: true, blocked_values: [secret], hash_function: sha3}", {TH_STR("a", "secret")},
     "a=s:f5a5207a8729b1f709cb710311751eb2fc8acad5a1fb8ac991b736e69b6529a3"},
    {"{allow_all_keys: true, blocked_key_patterns: [k], hash_function: md5}", {TH_STR("k", "secret\nabc\n"), TH_INT("kk", 5)},
     "k=s:5ebe2294ecd0e0f08eab7690d2a6ee69\n900150983cd24fb0d6963f7d28e17f72\nd41d8cd98f00b204e9800998ecf8427e "
     "kk=s:d41d8cd98f00b204e9800998ecf8427e"},
    {"{allow_all_keys: true, redact_all_types: true, blocked_key_patterns: [k], hash_function: md5}", {TH_INT("k", 7)},
     "k=s:8f14e45fceea167a5a36dedd4bea2543"},
    {"{allow_all_keys: true, blocked_values: [abc, '^9001'], hash_function: md5}", {TH_STR("a", "abc")},
     "a=s:c3daba8ba04565423e12eb8cb6237b4650983cd24fb0d6963f7d28e17f72"},
    {"{allow_all_keys: true, blocked_values: [secret], hash_function: hmac-sha256, hmac_key: '01234567890123456789012345678901'}",
     {TH_STR("a", "secret")}, "a=s:4f7575d34346e386c76bf0aa21502387fc3731600f4ad50f0ed24689c10375be"},
    {"{allow_all_keys: true, blocked_values: [secret], hash_function: hmac-sha512, hmac_key: '"
     "0123456789012345678901234567890101234567890123456789012345678901'}",
     {TH_STR("a", "secret")}, "a=s:7d0ba5ebce233e7279a7be720a6bd49acaf46825f684ecb278314bb3faef62ce1dedb9af7d86c573fea7a646c4f3aaf5b49ae9e489f9b1967b32c3ea5b49bf3d"},
    /* keys */
    {"{allow_all_keys: true, blocked_key_patterns: [token]}", {TH_STR("my.token.x", "abc"), TH_STR("b", "token")}, "my.token.x=s:**** b=s:token"},
    {"{allow_all_keys: true, blocked_key_patterns: [token]}",
     {TH_STR("token1", "a\nb"), TH_STR("token2", ""), TH_STR("token3", "a\n"), TH_STR("token4", "\n"), TH_STR("token5", "a\n\nb"), TH_INT("token6", 5),
      TH_BOOL("token7", 1)},
     "token1=s:****\n**** token2=s:**** token3=s:****\n**** token4=s:****\n**** token5=s:****\n****\n**** token6=s:**** token7=s:****"},
    {"{allow_all_keys: true, blocked_key_patterns: [token], allowed_values: ['^ok$']}", {TH_STR("token", "ok"), TH_STR("token2", "no")},
     "token=s:ok token2=s:****"},
    {"{allow_all_keys: true, blocked_key_patterns: [token], allowed_values: ['.*']}", {TH_INT("token", 5)}, "token=i:5"},
    {"{allowed_keys: [a], blocked_key_patterns: [t]}", {TH_STR("t", "ok"), TH_STR("a", "no")}, "a=s:no"},
    {"{allow_all_keys: true, blocked_key_patterns: ['.*']}", {TH_STR("a", "x"), TH_INT("b", 1)}, "a=s:**** b=s:****"},
    {"{allow_all_keys: true, blocked_key_patterns: [key], ignored_key_patterns: ['^pub']}", {TH_STR("pubkey", "x"), TH_STR("key", "x")}, "pubkey=s:x key=s:****"},
    /* summaries */
    {"{allowed_keys: [m, z, i], ignored_keys: [i], allowed_values: [fine], blocked_values: [secret], summary: debug}",
     {TH_STR("d2", "1"), TH_STR("m", "secret"), TH_STR("d1", "1"), TH_STR("z", "fine"), TH_STR("i", "secret")},
     "i=s:secret m=s:**** z=s:fine redaction.redacted.keys=s:d1,d2 redaction.redacted.count=i:2 redaction.masked.keys=s:m "
     "redaction.masked.count=i:1 redaction.allowed.keys=s:z redaction.allowed.count=i:1 redaction.ignored.count=i:1"},
    {"{allowed_keys: [m, z, i], ignored_keys: [i], allowed_values: [fine], blocked_values: [secret], summary: info}",
     {TH_STR("d2", "1"), TH_STR("m", "secret"), TH_STR("d1", "1"), TH_STR("z", "fine"), TH_STR("i", "secret")},
     "i=s:secret m=s:**** z=s:fine redaction.redacted.count=i:2 redaction.masked.count=i:1 redaction.allowed.count=i:1 redaction.ignored.count=i:1"},
    {"{allow_all_keys: true, blocked_values: [secret], summary: debug}",
     {TH_STR("m", "secret"), TH_STR("redaction.masked.keys", "z,a"), TH_INT("redaction.masked.count", 2)},
     "m=s:**** redaction.masked.keys=s:a,m,z redaction.masked.count=i:3"},
    {"{allow_all_keys: true, ignored_keys: [a], summary: info}", {TH_STR("a", "x")}, "a=s:x redaction.ignored.count=i:1"},
    {"{allow_all_keys: true, ignored_keys: [a], summary: silent}", {TH_STR("a", "x")}, "a=s:x"},
    {"{allow_all_keys: true, blocked_values: [secret], summary: debug}", {TH_STR("m", "public")}, "m=s:public"},
    /* all types */
    {"{allow_all_keys: true, redact_all_types: true, blocked_values: ['1.5', 'true', 'eHl6']}",
     {TH_DBL("d", 1.5), TH_BOOL("b", 1), TH_BYTES("y", "xyz"), TH_DBL("e", 2.5)}, "d=s:**** b=s:**** y=s:**** e=d:2.5"},
};

START_TEST(span_attributes)
{
    struct rig r = rig_new(cases[_i].yaml);
    struct test_span span = {.trace = 1, .id = 1, .name = "op", .status_message = "m", .start_ns = 5};

    memcpy(span.attrs, cases[_i].in, sizeof(span.attrs));
    th_push(r.c, th_batch(r.t, th_payload(r.t, TH_SPANS(span))));
    ck_assert_uint_eq(r.t->n_out, 1);
    ck_assert_str_eq(span_attrs(&r, 0), cases[_i].out);
    ck_assert_str_eq(th_span_name(th_span(r.t->out[0], 0)), "op");
    rig_free(&r);
}
END_TEST

/* ---- levels ---- */

static const struct test_span with_secrets = {.trace = 1,
                                              .id = 1,
                                              .name = "secret name stays",
                                              .attrs = {TH_STR("s", "a secret"), TH_STR("t", "x")},
                                              .event = "secret event name stays",
                                              .event_attrs = {TH_STR("token", "abc"), TH_STR("e", "my secret")},
                                              .link_attrs = {TH_STR("l", "secret link")}};

static const struct test_group everywhere = {.resource = {TH_STR("service.name", "secret shop")},
                                             .scope = "secret scope stays",
                                             .scope_attrs = {TH_STR("c", "secret"), TH_INT("token.n", 4)},
                                             .spans = &with_secrets,
                                             .n_spans = 1};

static double count(const struct rig *r, const char *what, const char *level)
{
    char name[128];

    snprintf(name, sizeof(name), "tailrace_redaction_%s{level=\"%s\",processor=\"test\"}", what, level);
    return th_metric(r->t, name);
}

START_TEST(every_level_is_redacted)
{
    struct rig r = rig_new("{allow_all_keys: true, link_attributes: true, blocked_values: [secret], blocked_key_patterns: ['^token']}");
    struct payload *p;
    struct slice body;

    th_push(r.c, th_batch(r.t, th_payload_groups(r.t, &everywhere, 1)));
    p = r.t->out[0]->parts[0].payload;
    body = span_body(&p->spans[0]);
    ck_assert_str_eq(td_attrs(p->resources[0].resource, RESOURCE_ATTRIBUTES), "service.name=s:**** shop");
    ck_assert_str_eq(td_attrs(p->scopes[0].scope, SCOPE_ATTRIBUTES), "c=s:**** token.n=s:****");
    ck_assert(slice_eq(field_bytes(p->scopes[0].scope, SCOPE_NAME), slice_str("secret scope stays")));
    ck_assert_str_eq(td_attrs(body, SPAN_ATTRIBUTES), "s=s:a **** t=s:x");
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_EVENTS), EVENT_ATTRIBUTES), "token=s:**** e=s:my ****");
    ck_assert(slice_eq(field_bytes(field_bytes(body, SPAN_EVENTS), EVENT_NAME), slice_str("secret event name stays")));
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_LINKS), LINK_ATTRIBUTES), "l=s:**** link");
    ck_assert_str_eq(th_span_name(&p->spans[0]), "secret name stays");
    ck_assert(count(&r, "masked_values", "resource") == 1 && count(&r, "masked_values", "scope") == 2 &&
              count(&r, "masked_values", "span") == 1 && count(&r, "masked_values", "event") == 2 &&
              count(&r, "masked_values", "link") == 1);
    ck_assert(th_metric(r.t, "otelcol_processor_incoming_items{otel_signal=\"traces\",processor=\"test\"}") == 1);
    ck_assert(th_metric(r.t, "otelcol_processor_outgoing_items{otel_signal=\"traces\",processor=\"test\"}") == 1);
    rig_free(&r);
}
END_TEST

START_TEST(links_are_left_alone)
{
    struct rig r = rig_new("{allow_all_keys: true, blocked_values: [secret]}");
    struct slice body;

    th_push(r.c, th_batch(r.t, th_payload_groups(r.t, &everywhere, 1)));
    body = span_body(th_span(r.t->out[0], 0));
    ck_assert_str_eq(td_attrs(body, SPAN_ATTRIBUTES), "s=s:a **** t=s:x");
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_LINKS), LINK_ATTRIBUTES), "l=s:secret link");
    rig_free(&r);
}
END_TEST

START_TEST(deleted_keys_on_every_level)
{
    struct rig r = rig_new("{allowed_keys: [t], link_attributes: true, summary: info}");
    struct payload *p;
    struct slice body;

    th_push(r.c, th_batch(r.t, th_payload_groups(r.t, &everywhere, 1)));
    p = r.t->out[0]->parts[0].payload;
    body = span_body(&p->spans[0]);
    ck_assert_str_eq(td_attrs(p->resources[0].resource, RESOURCE_ATTRIBUTES), "redaction.redacted.count=i:1");
    ck_assert_str_eq(td_attrs(p->scopes[0].scope, SCOPE_ATTRIBUTES), "redaction.redacted.count=i:2");
    ck_assert_str_eq(td_attrs(body, SPAN_ATTRIBUTES), "t=s:x redaction.redacted.count=i:1");
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_EVENTS), EVENT_ATTRIBUTES), "redaction.redacted.count=i:2");
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_LINKS), LINK_ATTRIBUTES), "redaction.redacted.count=i:1");
    ck_assert(count(&r, "deleted_attributes", "event") == 2 && count(&r, "deleted_attributes", "span") == 1);
    rig_free(&r);
}
END_TEST

/* ---- bytes ---- */

static const char *const ways[] = {
    "{allow_all_keys: true, blocked_values: [secret], blocked_key_patterns: ['^token']}", /* scan */
    "{allow_all_keys: true, blocked_values: [secret, '[0-9]$'], blocked_key_patterns: ['^token']}", /* one blind pattern */
    "{allowed_keys: [s, t, e, n, http.method, service.name], blocked_values: [secret]}",           /* every key judged */
};

START_TEST(untouched_spans_keep_their_bytes)
{
    struct rig r = rig_new(ways[_i]);
    struct test_span clean = {.trace = 2, .id = 2, .attrs = {TH_STR("s", "public"), TH_INT("n", 5)}};
    struct test_span spans[3] = {clean, with_secrets, clean};
    struct payload *p = th_payload(r.t, spans, 3);
    const uint8_t *rec[3] = {p->spans[0].rec, p->spans[1].rec, p->spans[2].rec};

    th_push(r.c, th_batch(r.t, p));
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_int_eq(th_span(r.t->out[0], i)->rec == rec[i], i != 1);
    rig_free(&r);
}
END_TEST

START_TEST(a_clean_batch_is_not_edited)
{
    struct rig r = rig_new(ways[_i]);
    struct payload *p = th_payload_n(r.t, 10, 20);

    th_push(r.c, th_batch(r.t, p));
    ck_assert_ptr_eq(r.t->out[0]->parts[0].payload, p);
    ck_assert(p->intact);
    rig_free(&r);
}
END_TEST

/* What a pattern announces but an allowed value keeps is looked at, found unchanged, and not written. */
START_TEST(allowed_after_all_keeps_its_bytes)
{
    struct rig r = rig_new("{allow_all_keys: true, blocked_values: [secret], allowed_values: [public]}");
    struct test_span span = {.trace = 2, .id = 2, .attrs = {TH_STR("s", "public secret")}};
    struct payload *p = th_payload(r.t, TH_SPANS(span));

    th_push(r.c, th_batch(r.t, p));
    ck_assert_ptr_eq(r.t->out[0]->parts[0].payload, p);
    ck_assert(p->intact);
    rig_free(&r);
}
END_TEST

START_TEST(without_room_nothing_goes_on)
{
    struct rig r = rig_new("{allow_all_keys: true, blocked_values: [secret]}");
    struct batch *b = th_batch(r.t, th_payload(r.t, TH_SPANS(with_secrets)));
    struct batch *nobody = th_batch(r.t, th_payload(r.t, TH_SPANS(with_secrets)));

    b->waiter = th_wait(r.t);
    budget_set_limits(r.t->host.budget, 1, 1);
    th_push(r.c, b);
    th_push(r.c, nobody);
    ck_assert_uint_eq(r.t->n_out, 0);
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_MEMORY], 1);
    rig_free(&r);
}
END_TEST

START_TEST(many_attributes_are_deleted_in_linear_time)
{
    struct rig r = rig_new("{allowed_keys: [keep], summary: info}");
    struct test_span one = {.trace = 1, .id = 1, .attrs = {TH_STR("keep", "x")}};
    struct buf extra = {0};

    for (int i = 0; i < 100000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        ck_assert_int_eq(attr_put_int(&extra, SPAN_ATTRIBUTES, slice_str(key), i), 0);
    }
    one.extra = slice_of(extra.p, extra.len);
    th_push(r.c, th_batch(r.t, th_payload(r.t, TH_SPANS(one))));
    ck_assert_str_eq(span_attrs(&r, 0), "keep=s:x redaction.redacted.count=i:100000");
    buf_free(&extra);
    rig_free(&r);
}
END_TEST

/* ---- no secret remains ---- */

static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(random_next(&seed) % n);
}

static const char *const secret_patterns[] = {"4[0-9]{12}(?:[0-9]{3})?", "\\d{3}-\\d{2}-\\d{4}", "(?i)bearer [a-z0-9]+", "\xc3\xbc+x"};
#define SECRETS \
    "{allow_all_keys: true, link_attributes: true, summary: %s, blocked_values: ['4[0-9]{12}(?:[0-9]{3})?', '\\d{3}-\\d{2}-\\d{4}', '(?i)bearer [a-z0-9]+', '\xc3\xbc+x'], " \
    "blocked_key_patterns: ['(?i)password', 'api[_-]?key']%s}"

static char *random_value(void)
{
    static const char *const bits[] = {"4111111111111111", "078-05-1120", "Bearer abc9", "bEAReR x", "\xc3\xbc\xc3\xbcx", "plain", " ", "/api/v1",
                                       "4", "123", "-", "user@host", "411111111111", "\n", "\xc3\xbc", "0"};
    struct buf b = {0};

    for (unsigned n = below(6); n > 0; n--)
        buf_puts(&b, bits[below((unsigned)ARRAY_LEN(bits))]);
    buf_putc(&b, '\0');
    return (char *)b.p;
}

static void random_attrs(struct test_attr *a, size_t most, char **owned, size_t *n_owned)
{
    static const char *const keys[] = {"http.method", "user.password", "PassWord", "x-api-key", "apikey", "k", "url", "card", "note"};
    size_t n = below((unsigned)most + 1);

    for (size_t i = 0; i < n; i++) {
        char *v = random_value();

        owned[(*n_owned)++] = v;
        a[i] = below(5) ? (struct test_attr)TH_STR(keys[below(9)], v) : (struct test_attr)TH_INT(keys[below(9)], 4111111111111111);
    }
}

static void assert_clean(struct slice message, uint32_t field, struct regex *const *patterns)
{
    struct attr_iter it = attr_iter(message, field);
    struct attr a;

    while (attr_next(&it, &a)) {
        struct any v = any_parse(a.value);
        bool blocked = memmem(a.key.p, a.key.len, "assword", 7) || memmem(a.key.p, a.key.len, "assWord", 7) ||
                       memmem(a.key.p, a.key.len, "PassWord", 8) || memmem(a.key.p, a.key.len, "api-key", 7) || memmem(a.key.p, a.key.len, "apikey", 6);

        if (blocked) {
            ck_assert_int_eq(v.type, ANY_STR);
            for (size_t i = 0; i < v.bytes.len; i++)
                ck_assert(v.bytes.p[i] == '*' || v.bytes.p[i] == '\n');
        }
        for (size_t i = 0; v.type == ANY_STR && i < ARRAY_LEN(secret_patterns); i++)
            ck_assert_msg(!regex_search(patterns[i], v.bytes, 0, NULL, NULL), "%.*s", (int)v.bytes.len, v.bytes.p);
    }
}

START_TEST(no_secret_remains)
{
    static const char *const variants[][2] = {{"silent", ""}, {"debug", ""}, {"info", ", ignored_keys: [nothing]"}, {"silent", ", redact_all_types: true"}};
    char *yaml = mem_printf(SECRETS, variants[_i][0], variants[_i][1]);
    struct rig r = rig_new(yaml);
    struct regex *patterns[ARRAY_LEN(secret_patterns)];
    struct err err;

    ck_assert_str_eq(ts_problems(&r.s), "");
    for (size_t i = 0; i < ARRAY_LEN(secret_patterns); i++)
        ck_assert_ptr_nonnull(patterns[i] = regex_new(secret_patterns[i], &err));
    seed = 77 + (uint64_t)_i;
    for (int round = 0; round < 150; round++) {
        struct test_span spans[8] = {0};
        char *owned[8 * 20];
        size_t n_owned = 0;
        struct encoded e = {0};
        struct payload *back;
        uint8_t *bytes;

        for (size_t i = 0; i < 8; i++) {
            spans[i] = (struct test_span){.trace = 1 + i, .id = 1, .event = "e"};
            random_attrs(spans[i].attrs, 11, owned, &n_owned);
            random_attrs(spans[i].event_attrs, 3, owned, &n_owned);
            random_attrs(spans[i].link_attrs, 3, owned, &n_owned);
        }
        th_push(r.c, th_batch(r.t, th_payload(r.t, spans, 8)));
        ck_assert_int_eq(otlp_encode(r.t->out[0], &e), 0);
        bytes = mem_alloc(e.len);
        encoded_copy(&e, bytes);
        back = th_payload_bytes(r.t, slice_of(bytes, e.len));
        ck_assert_uint_eq(back->n_spans, 8);
        for (uint32_t i = 0; i < 8; i++) {
            struct slice body = span_body(&back->spans[i]);

            assert_clean(body, SPAN_ATTRIBUTES, patterns);
            assert_clean(field_bytes(body, SPAN_EVENTS), EVENT_ATTRIBUTES, patterns);
            assert_clean(field_bytes(body, SPAN_LINKS), LINK_ATTRIBUTES, patterns);
        }
        payload_unref(&back);
        encoded_free(&e);
        free(bytes);
        th_out_end(r.t);
        for (size_t i = 0; i < n_owned; i++)
            free(owned[i]);
    }
    ck_assert(count(&r, "masked_values", "span") > 100);
    for (size_t i = 0; i < ARRAY_LEN(secret_patterns); i++)
        regex_free(&patterns[i]);
    rig_free(&r);
    free(yaml);
}
END_TEST

/* ---- settings ---- */

static const struct {
    const char *yaml, *text;
} wrong[] = {
    {"{allow_all_keys: true, blocked_values: [a, '(']}", "failed to process block list: error compiling regex in list: error parsing regexp: missing )"},
    {"{allow_all_keys: true, blocked_key_patterns: ['(']}", "failed to process block keys list: error compiling regex in list"},
    {"{allow_all_keys: true, ignored_key_patterns: ['(']}", "failed to process ignore keys list: error compiling regex in list"},
    {"{allow_all_keys: true, allowed_values: ['(']}", "failed to process allow list: error compiling regex in list"},
    {"{allow_all_keys: true, hash_function: foo}",
     "hash_function: unknown HashFunction foo, allowed functions are sha1, sha3, md5, hmac-sha256 and hmac-sha512"},
    {"{allow_all_keys: true, hash_function: hmac-sha256}", "hmac_key: hmac_key must not be empty when hash_function is \"hmac-sha256\""},
    {"{allow_all_keys: true, hash_function: HMAC-SHA512, hmac_key: abc}",
     "hmac_key: hmac_key must be at least 64 bytes long for \"hmac-sha512\", got 3 bytes"},
    {"{allow_all_keys: true, hash_function: hmac-sha256, hmac_key: '0123456789012345678901234567890'}",
     "hmac_key: hmac_key must be at least 32 bytes long for \"hmac-sha256\", got 31 bytes"},
    {"{allow_all_keys: true, url_sanitizer: {enable: true}}", "url_sanitizer"},
    {"{allow_all_keys: true, db_sanitizer: {sql: {enable: true}}}", "db_sanitizer.sql"},
    {"{}", "every attribute will be deleted"},
    {"{allow_all_key: true}", "allow_all_key"},
};

START_TEST(problems_are_told)
{
    struct test_settings s = ts_new(&redaction_type, wrong[_i].yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong[_i].text) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
}
END_TEST

START_TEST(any_summary_is_fine)
{
    struct test_settings s = ts_new(&redaction_type, "{allow_all_keys: true, summary: whatever, blocked_values: [], allowed_keys: [a, a]}");

    ck_assert_str_eq(ts_problems(&s), "");
    ts_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redaction");
    TCase *t = tcase_create("redaction");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, span_attributes, 0, (int)ARRAY_LEN(cases));
    tcase_add_test(t, every_level_is_redacted);
    tcase_add_test(t, links_are_left_alone);
    tcase_add_test(t, deleted_keys_on_every_level);
    tcase_add_loop_test(t, untouched_spans_keep_their_bytes, 0, (int)ARRAY_LEN(ways));
    tcase_add_loop_test(t, a_clean_batch_is_not_edited, 0, (int)ARRAY_LEN(ways));
    tcase_add_test(t, allowed_after_all_keeps_its_bytes);
    tcase_add_test(t, without_room_nothing_goes_on);
    tcase_add_test(t, many_attributes_are_deleted_in_linear_time);
    tcase_add_loop_test(t, no_secret_remains, 0, 4);
    tcase_add_loop_test(t, problems_are_told, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(t, any_summary_is_fine);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
