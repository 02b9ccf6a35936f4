/* SPDX-License-Identifier: Apache-2.0 */
/* redaction where the Collector does not look: lists and maps, event names, status messages, span names.
 * With all of it on, no blocked value is anywhere in what goes out. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/otlp_encode.h"
#include "platform/hash.h"
#include "platform/mem.h"
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

    ck_assert_str_eq(ts_problems(&r.s), "");
    r.c = th_component(r.t, &redaction_type, r.s.settings);
    return r;
}

static void rig_free(struct rig *r)
{
    th_component_free(r->t, &r->c);
    th_free(&r->t);
    ts_free(&r->s);
}

/* ---- values by hand ---- */

static void need(int rc)
{
    ck_assert_int_eq(rc, 0);
}

static struct slice of(const struct buf *b)
{
    return slice_of(b->p, b->len);
}

static void put_any(struct buf *out, uint32_t number, const struct any *v)
{
    struct buf body = {0};

    need(any_put(&body, v));
    need(wire_put_bytes(out, number, of(&body)));
    buf_free(&body);
}

static void put_pair(struct buf *map, const char *key, const struct any *v)
{
    struct buf entry = {0};

    need(wire_put_bytes(&entry, KEYVALUE_KEY, slice_str(key)));
    put_any(&entry, KEYVALUE_VALUE, v);
    need(wire_put_bytes(map, 1, of(&entry)));
    buf_free(&entry);
}

#define STR(s_) (&(struct any){.type = ANY_STR, .bytes = slice_str(s_)})
#define INT(i_) (&(struct any){.type = ANY_INT, .i = (i_)})
#define IN(type_, buf_) (&(struct any){.type = (type_), .bytes = of(buf_)})

/* m = {"text":"a secret","token":"abc","tokens":[7,"x"],"list":["secret",5,{"deep":"my secret"}],"id":"secret"} */
static void sample_map(struct buf *m)
{
    struct buf list = {0}, deep = {0}, tokens = {0};

    put_pair(&deep, "deep", STR("my secret"));
    put_any(&list, 1, STR("secret"));
    put_any(&list, 1, INT(5));
    put_any(&list, 1, IN(ANY_MAP, &deep));
    put_any(&tokens, 1, INT(7));
    put_any(&tokens, 1, STR("x"));
    put_pair(m, "text", STR("a secret"));
    put_pair(m, "token", STR("abc"));
    put_pair(m, "tokens", IN(ANY_ARRAY, &tokens));
    put_pair(m, "list", IN(ANY_ARRAY, &list));
    put_pair(m, "id", STR("secret"));
    buf_free(&list);
    buf_free(&deep);
    buf_free(&tokens);
}

static const struct {
    const char *yaml, *out;
} rows[] = {
    {"{allow_all_keys: true, blocked_values: [secret], blocked_key_patterns: [token]}",
     "m=m:{\"id\":\"secret\",\"list\":[\"secret\",5,{\"deep\":\"my secret\"}],\"text\":\"a secret\",\"token\":\"abc\",\"tokens\":[7,\"x\"]}"},
    {"{allow_all_keys: true, nested: true, blocked_values: [secret], blocked_key_patterns: [token]}",
     "m=m:{\"id\":\"****\",\"list\":[\"****\",5,{\"deep\":\"my ****\"}],\"text\":\"a ****\",\"token\":\"****\",\"tokens\":\"****\"}"},
    {"{allow_all_keys: true, nested: true, blocked_values: [secret], ignored_keys: [id], allowed_values: ['^my'], summary: debug}",
     "m=m:{\"id\":\"secret\",\"list\":[\"****\",5,{\"deep\":\"my secret\"}],\"text\":\"a ****\",\"token\":\"abc\",\"tokens\":[7,\"x\"]} "
     "redaction.masked.keys=s:m redaction.masked.count=i:1"},
    {"{allowed_keys: [m], nested: true, blocked_values: ['5|7|x'], redact_all_types: true}",
     "m=m:{\"id\":\"secret\",\"list\":[\"secret\",\"****\",{\"deep\":\"my secret\"}],\"text\":\"a secret\",\"token\":\"abc\",\"tokens\":[\"****\",\"****\"]}"},
    {"{allow_all_keys: true, nested: true, blocked_values: [secret], blocked_key_patterns: ['^m$']}", "m=s:****"},
    {"{allow_all_keys: true, nested: true, blocked_values: [secret], ignored_keys: [m]}",
     "m=m:{\"id\":\"secret\",\"list\":[\"secret\",5,{\"deep\":\"my secret\"}],\"text\":\"a secret\",\"token\":\"abc\",\"tokens\":[7,\"x\"]}"},
    {"{allow_all_keys: true, nested: true, blocked_values: [nothing]}",
     "m=m:{\"id\":\"secret\",\"list\":[\"secret\",5,{\"deep\":\"my secret\"}],\"text\":\"a secret\",\"token\":\"abc\",\"tokens\":[7,\"x\"]}"},
    {"{allow_all_keys: true, nested: true, blocked_values: ['^5$|^$']}",
     "m=m:{\"id\":\"secret\",\"list\":[\"secret\",\"****\",{\"deep\":\"my secret\"}],\"text\":\"a secret\",\"token\":\"abc\",\"tokens\":[\"****\",\"x\"]}"},
};

START_TEST(lists_and_maps)
{
    struct rig r = rig_new(rows[_i].yaml);
    struct buf m = {0};
    struct test_span span = {.trace = 1, .id = 1, .name = "op"};

    sample_map(&m);
    span.attrs[0] = (struct test_attr)TH_RAW("m", ANY_MAP, of(&m));
    th_push(r.c, th_batch(r.t, th_payload(r.t, TH_SPANS(span))));
    ck_assert_str_eq(td_attrs(span_body(th_span(r.t->out[0], 0)), SPAN_ATTRIBUTES), rows[_i].out);
    buf_free(&m);
    rig_free(&r);
}
END_TEST

/* ---- names and messages ---- */

static const struct test_span named = {.trace = 1, .id = 1, .name = "GET secret", .status = 2, .status_message = "no secret!", .start_ns = 7,
                                       .attrs = {TH_STR("a", "x")}, .event = "secret event", .event_attrs = {TH_STR("b", "y")}};

static const struct {
    const char *keys, *name, *message, *event;
} texts[] = {
    {"", "GET secret", "no secret!", "secret event"},
    {", span_name_values: true", "GET ****", "no secret!", "secret event"},
    {", status_message: true", "GET secret", "no ****!", "secret event"},
    {", event_names: true", "GET secret", "no secret!", "**** event"},
    {", span_name_values: true, status_message: true, event_names: true", "GET ****", "no ****!", "**** event"},
    {", span_name_values: true, status_message: true, event_names: true, allowed_values: [GET, no]", "GET secret", "no secret!", "**** event"},
};

static double masked(const struct rig *r, const char *level)
{
    char name[128];

    snprintf(name, sizeof(name), "tailrace_redaction_masked_values{level=\"%s\",processor=\"test\"}", level);
    return th_metric(r->t, name) > 0 ? th_metric(r->t, name) : 0;
}

START_TEST(names_and_messages)
{
    char *yaml = mem_printf("{allow_all_keys: true, blocked_values: [secret]%s}", texts[_i].keys);
    struct rig r = rig_new(yaml);
    const struct span *s;
    struct slice body;
    struct span facts;

    th_push(r.c, th_batch(r.t, th_payload(r.t, TH_SPANS(named))));
    s = th_span(r.t->out[0], 0);
    body = span_body(s);
    ck_assert_str_eq(th_span_name(s), texts[_i].name);
    ck_assert(slice_eq(field_bytes(field_bytes(body, SPAN_STATUS), STATUS_MESSAGE), slice_str(texts[_i].message)));
    ck_assert(slice_eq(field_bytes(field_bytes(body, SPAN_EVENTS), EVENT_NAME), slice_str(texts[_i].event)));
    ck_assert_str_eq(td_attrs(body, SPAN_ATTRIBUTES), "a=s:x");
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_EVENTS), EVENT_ATTRIBUTES), "b=s:y");
    ck_assert(otlp_span_facts(body, &facts) == 0 && facts.status == 2 && facts.start_ns == 7 && s->status == 2);
    ck_assert(masked(&r, "span_name") == (strcmp(texts[_i].name, named.name) != 0));
    ck_assert(masked(&r, "status_message") == (strcmp(texts[_i].message, named.status_message) != 0));
    ck_assert(masked(&r, "event_name") == (strcmp(texts[_i].event, named.event) != 0));
    rig_free(&r);
    free(yaml);
}
END_TEST

/* Two names: what a reader that takes the first would see is masked as well. */
START_TEST(repeated_fields)
{
    struct rig r = rig_new("{allow_all_keys: true, blocked_values: [secret], span_name_values: true}");
    struct test_span span = {.trace = 1, .id = 1, .name = "first secret"};
    struct buf extra = {0};
    struct slice body;

    need(wire_put_bytes(&extra, SPAN_NAME, slice_str("then secret")));
    span.extra = of(&extra);
    th_push(r.c, th_batch(r.t, th_payload(r.t, TH_SPANS(span))));
    body = span_body(th_span(r.t->out[0], 0));
    ck_assert_ptr_null(memmem(body.p, body.len, "secret", 6));
    ck_assert_str_eq(th_span_name(th_span(r.t->out[0], 0)), "then ****");
    buf_free(&extra);
    rig_free(&r);
}
END_TEST

/* ---- no blocked value anywhere ---- */

static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(random_next(&seed) % n);
}

static bool harmless; /* what is made now */

static char *random_text(void)
{
    static const char *const bits[] = {"SECRET", "4111111111111111", "SEC", "RET", "41111111", "plain", " ", "\xc3\xbc", "\n", "token", "x"};
    struct buf b = {0};

    for (unsigned n = below(5); n > 0; n--)
        buf_puts(&b, bits[harmless ? 5 + below((unsigned)ARRAY_LEN(bits) - 5) : below((unsigned)ARRAY_LEN(bits))]);
    buf_putc(&b, '\0');
    return (char *)b.p;
}

static void put_random(struct buf *out, uint32_t number, unsigned depth)
{
    struct buf inner = {0};
    char *text = random_text();

    switch (below(depth ? 6 : 3)) {
    case 0:
        put_any(out, number, INT(4111111111111111));
        break;
    case 1:
    case 2:
        put_any(out, number, STR(text));
        break;
    case 3:
    case 4:
        for (unsigned n = below(4); n > 0; n--)
            put_random(&inner, 1, depth - 1);
        put_any(out, number, IN(ANY_ARRAY, &inner));
        break;
    default:
        for (unsigned n = below(4); n > 0; n--) {
            struct buf entry = {0};

            need(wire_put_bytes(&entry, KEYVALUE_KEY, slice_str(below(3) ? "k" : "my.token")));
            put_random(&entry, KEYVALUE_VALUE, depth - 1);
            need(wire_put_bytes(&inner, 1, of(&entry)));
            buf_free(&entry);
        }
        put_any(out, number, IN(ANY_MAP, &inner));
    }
    buf_free(&inner);
    free(text);
}

static void put_attributes(struct buf *out, uint32_t field)
{
    for (unsigned n = below(5); n > 0; n--) {
        struct buf entry = {0};

        need(wire_put_bytes(&entry, KEYVALUE_KEY, slice_str(below(4) ? "k" : "token")));
        put_random(&entry, KEYVALUE_VALUE, 4);
        need(wire_put_bytes(out, field, of(&entry)));
        buf_free(&entry);
    }
}

static void put_texts(struct buf *out, uint32_t number, bool many)
{
    for (unsigned n = many ? below(3) : 1; n > 0; n--) {
        char *text = random_text();

        need(wire_put_bytes(out, number, slice_str(text)));
        free(text);
    }
}

static void put_message(struct buf *out, uint32_t number, struct buf *body)
{
    need(wire_put_bytes(out, number, of(body)));
    buf_free(body);
}

static void put_span(struct buf *out, uint64_t id)
{
    struct buf event = {0}, link = {0}, status = {0};

    need(wire_put_bytes(out, SPAN_TRACE_ID, slice_of("0123456789abcdef", 16)));
    need(wire_put_bytes(out, SPAN_SPAN_ID, slice_of(&id, 8)));
    put_texts(out, SPAN_NAME, true);
    put_attributes(out, SPAN_ATTRIBUTES);
    put_texts(&event, EVENT_NAME, true);
    put_attributes(&event, EVENT_ATTRIBUTES);
    put_texts(&event, EVENT_NAME, true);
    put_message(out, SPAN_EVENTS, &event);
    put_attributes(&link, LINK_ATTRIBUTES);
    put_message(out, SPAN_LINKS, &link);
    put_texts(&status, STATUS_MESSAGE, true);
    put_message(out, SPAN_STATUS, &status);
    put_attributes(out, SPAN_ATTRIBUTES);
}

static struct buf random_request(void)
{
    struct buf request = {0}, resource_spans = {0}, resource = {0}, scope_spans = {0}, scope = {0};

    put_attributes(&resource, RESOURCE_ATTRIBUTES);
    put_message(&resource_spans, 1, &resource);
    put_attributes(&scope, SCOPE_ATTRIBUTES);
    put_message(&scope_spans, 1, &scope);
    for (uint64_t i = 1; i <= 4; i++) {
        struct buf span = {0};

        harmless = below(3) == 0;
        put_span(&span, i);
        harmless = false;
        put_message(&scope_spans, 2, &span);
    }
    put_message(&resource_spans, 2, &scope_spans);
    put_message(&request, 1, &resource_spans);
    return request;
}

static bool holds(struct slice s, const char *what)
{
    return memmem(s.p, s.len, what, strlen(what)) != NULL;
}

/* Spans of which no rule can find anything leave with their bytes. Returns how many there were. */
static unsigned check_untouched(const struct payload *in, const struct batch *out, bool blocks_tokens)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < in->n_spans; i++) {
        struct slice was = span_body(&in->spans[i]), is = span_body(th_span(out, i));

        if (holds(was, "SECRET") || holds(was, "41111111") || (blocks_tokens && holds(was, "token")))
            continue;
        ck_assert(slice_eq(was, is));
        n++;
    }
    return n;
}

START_TEST(no_blocked_value_anywhere)
{
    static const char *const more[] = {"", ", redact_all_types: true", ", hash_function: hmac-sha256, hmac_key: 'a key that is long enough, 32 bytes'",
                                       ", summary: debug", ", ignored_keys: [nothing], blocked_key_patterns: [token]"};
    char *yaml = mem_printf("{allow_all_keys: true, nested: true, link_attributes: true, event_names: true, status_message: true, span_name_values: true, "
                            "blocked_values: [SECRET, '4[0-9]{12}(?:[0-9]{3})?']%s}", more[_i]);
    struct rig r = rig_new(yaml);
    unsigned secrets = 0, untouched = 0;

    seed = 5 + (uint64_t)_i;
    for (int round = 0; round < 300; round++) {
        struct buf request = random_request();
        struct encoded e = {0};
        struct payload *in = th_payload_bytes(r.t, of(&request)), *back;
        uint8_t *bytes;

        secrets += holds(of(&request), "SECRET") && holds(of(&request), "4111111111111111");
        th_push(r.c, th_batch(r.t, payload_ref(in)));
        if (_i == 0 || _i == 2 || _i == 4)
            untouched += check_untouched(in, r.t->out[0], _i == 4);
        payload_unref(&in);
        need(otlp_encode(r.t->out[0], &e));
        bytes = mem_alloc(e.len);
        encoded_copy(&e, bytes);
        ck_assert(!holds(slice_of(bytes, e.len), "SECRET"));
        ck_assert(!holds(slice_of(bytes, e.len), "4111111111111111"));
        back = th_payload_bytes(r.t, slice_of(bytes, e.len)); /* and it is OTLP still */
        ck_assert_uint_eq(back->n_spans, 4);
        payload_unref(&back);
        encoded_free(&e);
        free(bytes);
        buf_free(&request);
        th_out_end(r.t);
    }
    ck_assert_uint_gt(secrets, 200);
    ck_assert(untouched > (_i == 4 ? 3 : 100) || _i == 1 || _i == 3); /* those change numbers, or count */
    rig_free(&r);
    free(yaml);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redaction_nested");
    TCase *t = tcase_create("redaction_nested");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, lists_and_maps, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(t, names_and_messages, 0, (int)ARRAY_LEN(texts));
    tcase_add_test(t, repeated_fields);
    tcase_add_loop_test(t, no_blocked_value_anywhere, 0, 5);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
