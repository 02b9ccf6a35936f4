/* SPDX-License-Identifier: Apache-2.0 */
/* url_sanitizer: URLs without their variable parts (what is expected here was seen of the
 * Collector), and which attributes and names of spans are concerned. */
#include <check.h>
#include <stdlib.h>

#include "platform/hash.h"
#include "processors/obfuscate.h"
#include "processors/obfuscate_words.h"
#include "processors/processors.h"
#include "processors/redaction_url.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

#define SAME NULL /* as it was */

static const struct {
    const char *in, *out;
} urls[] = {
    {"", SAME},
    {"/", SAME},
    {"//", SAME},
    {"/users/123/profile", "/users/*/profile"},
    {"GET /api/v1/payments/123", "GET /api/v1/payments/*"},
    {"/v1/products/22j", "/v1/products/*"},
    {"GET /orders/123?sql=SELECT", "GET /orders/*"},
    {"/users/fdklsd/j4elk/23993/job/2", "/users/*/j4elk/*/job/*"},
    {"/products//org/3", "/products//org/*"},
    {"123", "*"},
    {"?x", ""},
    {"https://host/a", "*//host/a"},
    /* any byte in second place, and only there */
    {"a1", SAME},
    {"a1b", SAME},
    {"-1-", SAME},
    {"a\nb", SAME},
    {"1a", "*"},
    {"ab1", "*"},
    {"a12", "*"},
    {"a\xc3\xa9", "*"}, /* these are two bytes */
    {"\xc3\xa9", "*"},
    {"\n", "*"},
    /* words */
    {"the", SAME},
    {"THE", SAME},
    {"q", SAME},
    {"qx", "*"},
    {"QX", "*"},
    {"q1x", "*"}, /* the letters are neighbours */
    {"t-x", "*"},
    {"t-he", SAME},
    {"th.e_", SAME},
    {" ", SAME},
    {"x q", "*"},
    {"--", SAME},
    /* the end: what stands before it need not be a word */
    {"/qxqx?a=1", "/qxqx"},
    {"/qxqx&a=1", "/qxqx"},
    {"/qxqx#a", "/qxqx"},
    {"/qxqx/?a", "/*/"},
    {"/qxqx/qx?a", "/*/qx"},
    {"/12?a", "/*"},
    /* ten segments, the empty first one too */
    {"/a/b/c/d/e/f/g/h/i", SAME},
    {"/a/b/c/d/e/f/g/h/i/", "/a/b/c/d/e/f/g/h/i"},
    {"/a/b/c/d/e/f/g/h/i/j/k", "/a/b/c/d/e/f/g/h/i"},
    {"a/b/c/d/e/f/g/h/i/", SAME},
    {"a/b/c/d/e/f/g/h/i/12", "a/b/c/d/e/f/g/h/i/*"},
    {"a/b/c/d/e/f/g/h/i/12?", "a/b/c/d/e/f/g/h/i/*"},
    {"a/b/c/d/e/f/g/h/i/qx?", "a/b/c/d/e/f/g/h/i/qx"},
    {"a/b/c/d/e/f/g/h/i//x", "a/b/c/d/e/f/g/h/i/"},
    {"a/b/c/d/e/f/g/h/i/12/x", "a/b/c/d/e/f/g/h/i/**"},
    {"a/b/c/d/e/f/g/h/i/1/", "a/b/c/d/e/f/g/h/i/**"},
    {"a/b/c/d/e/f/g/h/i/qxqx/", "a/b/c/d/e/f/g/h/i/**"},
    {"a/b/c/d/e/f/g/h/i/ok/", "a/b/c/d/e/f/g/h/i/*k"},
    {"a/b/c/d/e/f/g/h/i/a1e/x", "a/b/c/d/e/f/g/h/i/*1e"},
    {"a/b/c/d/e/f/g/h/i/a1/x", "a/b/c/d/e/f/g/h/i/a1"},
    {"a/b/c/d/e/f/g/h/i/x/qx?", "a/b/c/d/e/f/g/h/i/x"},
};

START_TEST(without_values)
{
    const char *want = urls[_i].out ? urls[_i].out : urls[_i].in;
    struct buf out = {0};

    ck_assert_int_eq(obfuscate_url(slice_str(urls[_i].in), &out), 0);
    buf_putc(&out, '\0');
    ck_assert_str_eq((const char *)out.p, want);
    buf_free(&out);
}
END_TEST

/* Words, and what is none, from both sides of the threshold. */
START_TEST(words)
{
    static const char *const some[] = {"users", "checkout", "Kubernetes", "order-service",
                                       "v",     "healthz",  "index.html", "shopping cart",
                                       "e",     ""};
    static const char *const none[] = {"fdklsd", "xqzjw", "ok", "aa", "GCP", "sdfgh", "qwrt"};

    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        ck_assert_msg(obfuscate_is_word(slice_str(some[i])), "%s", some[i]);
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_msg(!obfuscate_is_word(slice_str(none[i])), "%s", none[i]);
}
END_TEST

/* Any bytes: nothing beyond them is read (each text lies in a block of its size), and nothing
 * grows. */
START_TEST(any_text)
{
    static const char *const bits[] = {"/",        "/",    "a",  "e",     "th", "qx", "1",
                                       "?",        "#",    "&",  "*",     "-",  ".",  " ",
                                       "\xc3\xa9", "\xff", "\n", "users", "ok"};
    uint64_t seed = 70 + (uint64_t)_i;

    for (int round = 0; round < 5000; round++) {
        struct buf text = {0}, out = {0};
        uint8_t *exact;

        for (uint64_t n = random_next(&seed) % 40; n > 0; n--)
            buf_puts(&text, bits[random_next(&seed) % ARRAY_LEN(bits)]);
        exact = mem_alloc(text.len + (text.len == 0));
        if (text.len)
            memcpy(exact, text.p, text.len);
        ck_assert_int_eq(obfuscate_url(slice_of(exact, text.len), &out), 0);
        ck_assert_uint_le(out.len, text.len);
        free(exact);
        buf_free(&text);
        buf_free(&out);
    }
}
END_TEST

/* ---- spans ---- */

#define ON        "{allow_all_keys: true, link_attributes: true, url_sanitizer: {enabled: true, attributes: [u, url.path]}}"
#define S(k_, v_) TH_STR(k_, v_)

static const struct {
    const char *yaml, *name;
    uint8_t kind;
    struct test_attr in[TH_ATTRS];
    const char *out, *name_out;
} spans[] = {
    {ON,
     "n",
     1,
     {S("u", "/a/1"), S("v", "/a/1"), S("url.path", "/b/2?c")},
     "u=s:/a/* v=s:/a/1 url.path=s:/b/*",
     "n"},
    {ON, "n", 1, {TH_INT("u", 5), S("url.path", "/a")}, "u=i:5 url.path=s:/a", "n"},
    /* names: client and server, with a slash or an attribute of HTTP */
    {ON, "/users/1", 3, {S("k", "v")}, "k=s:v", "/users/*"},
    {ON, "/users/1", 2, {S("k", "v")}, "k=s:v", "/users/*"},
    {ON, "/users/1", 1, {S("k", "v")}, "k=s:v", "/users/1"},
    {ON, "/users/1", 4, {S("k", "v")}, "k=s:v", "/users/1"},
    {ON, "/users/1", 5, {S("k", "v")}, "k=s:v", "/users/1"},
    {ON, "/users/1", 0, {S("k", "v")}, "k=s:v", "/users/1"},
    {ON, "x?y", 3, {S("k", "v")}, "k=s:v", "x?y"},
    {ON,
     "x?y",
     3,
     {TH_INT("http.response.status_code", 200)},
     "http.response.status_code=i:200",
     "x"},
    {ON, "x?y", 3, {S("http.route", "/")}, "http.route=s:/", "x"},
    /* where nothing would be left */
    {ON, "/1", 3, {S("k", "v")}, "k=s:v", "/1"},
    {ON, "/1/2/", 3, {S("k", "v")}, "k=s:v", "/1/2/"},
    {ON, "/qx/?a", 3, {S("k", "v")}, "k=s:v", "/qx/?a"},
    {ON, "123", 3, {S("http.method", "GET")}, "http.method=s:GET", "123"},
    {ON, "?x", 3, {S("http.method", "GET")}, "http.method=s:GET", "?x"},
    {ON, "/?x", 3, {S("k", "v")}, "k=s:v", "/"},
    {ON, "/1/2/3/4/5/6/7/8/9/10", 3, {S("k", "v")}, "k=s:v", "/*/*/*/*/*/*/*/*/**"},
    /* switches */
    {"{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [u], sanitize_span_name: "
     "false}}",
     "/users/1",
     3,
     {S("u", "/a/1")},
     "u=s:/a/*",
     "/users/1"},
    {"{allow_all_keys: true, url_sanitizer: {enabled: true, sanitize_span_name: }}",
     "/users/1",
     3,
     {S("u", "/a/1")},
     "u=s:/a/1",
     "/users/*"},
    {"{allow_all_keys: true, url_sanitizer: {attributes: [u]}}",
     "/users/1",
     3,
     {S("u", "/a/1")},
     "u=s:/a/1",
     "/users/1"},
    {"{allow_all_keys: true, url_sanitizer: }",
     "/users/1",
     3,
     {S("u", "/a/1")},
     "u=s:/a/1",
     "/users/1"},
    /* beside the other rules */
    {"{allow_all_keys: true, blocked_values: [secret], summary: debug, url_sanitizer: {enabled: "
     "true, attributes: [u]}}",
     "/users/1",
     3,
     {S("u", "/secret/users/1")},
     "u=s:/*/users/* redaction.masked.keys=s:u redaction.masked.count=i:1",
     "/users/*"},
    {"{allow_all_keys: true, allowed_values: [ok], url_sanitizer: {enabled: true, attributes: "
     "[u]}}",
     "/ok/1",
     3,
     {S("u", "/ok/1")},
     "u=s:/ok/1",
     "/ok/1"},
    {"{allow_all_keys: true, ignored_keys: [u], url_sanitizer: {enabled: true, attributes: [u]}}",
     "n",
     3,
     {S("u", "/a/1")},
     "u=s:/a/1",
     "n"},
    {"{allow_all_keys: true, blocked_key_patterns: [u], url_sanitizer: {enabled: true, attributes: "
     "[u]}}",
     "n",
     3,
     {S("u", "/a/1")},
     "u=s:****",
     "n"},
    {"{allow_all_keys: true, redact_all_types: true, url_sanitizer: {enabled: true, attributes: "
     "[u]}}",
     "n",
     3,
     {TH_INT("u", 5)},
     "u=s:*",
     "n"},
    {"{allowed_keys: [u], url_sanitizer: {enabled: true, attributes: [u]}}",
     "x?y",
     3,
     {S("u", "/a/1"), S("http.method", "GET")},
     "u=s:/a/*",
     "x?y"},
    {"{allow_all_keys: true, span_name_values: true, blocked_values: [users], url_sanitizer: "
     "{enabled: true}}",
     "/users/of/1",
     3,
     {S("k", "v")},
     "k=s:v",
     "/*/of/*"},
    /* db_sanitizer: behind it in attributes, and for names that did not change */
    {"{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [u]}, db_sanitizer: {sql: "
     "{enabled: true, attributes: [u]}}}",
     "/users/1",
     3,
     {S("u", "select 1 / 2"), S("db.system", "sqlite")},
     "u=s:*/ ? db.system=s:sqlite",
     "/users/*"},
    {"{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [u]}, db_sanitizer: {sql: "
     "{enabled: true, attributes: [u]}}}",
     "/1",
     3,
     {S("u", "v1/1"), S("db.system", "sqlite")},
     "u=s:v?/* db.system=s:sqlite",
     "/?"},
};

START_TEST(of_a_span)
{
    struct test_settings s = ts_new(&redaction_type, spans[_i].yaml);
    struct test_host *t = th_new();
    struct component *c;
    struct test_span span = {.trace = 1, .id = 1, .name = spans[_i].name, .kind = spans[_i].kind};

    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &redaction_type, s.settings);
    memcpy(span.attrs, spans[_i].in, sizeof(span.attrs));
    th_push(c, th_batch(t, th_payload(t, TH_SPANS(span))));
    ck_assert_str_eq(td_attrs(span_body(th_span(t->out[0], 0)), SPAN_ATTRIBUTES), spans[_i].out);
    ck_assert_str_eq(th_span_name(th_span(t->out[0], 0)), spans[_i].name_out);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(other_levels)
{
    struct test_settings s = ts_new(&redaction_type, ON);
    struct test_host *t = th_new();
    struct component *c = th_component(t, &redaction_type, s.settings);
    const struct test_span span = {.trace = 1,
                                   .id = 1,
                                   .name = "n",
                                   .event = "/e/1",
                                   .event_attrs = {S("u", "/a/1")},
                                   .link_attrs = {S("u", "/a/2")}};
    const struct test_group group = {.resource = {S("u", "/a/3")},
                                     .scope = "/s/1",
                                     .scope_attrs = {S("u", "/a/4")},
                                     .spans = &span,
                                     .n_spans = 1};
    struct slice body;

    th_push(c, th_batch(t, th_payload_groups(t, &group, 1)));
    body = span_body(th_span(t->out[0], 0));
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_EVENTS), EVENT_ATTRIBUTES), "u=s:/a/*");
    ck_assert_str_eq(td_attrs(field_bytes(body, SPAN_LINKS), LINK_ATTRIBUTES), "u=s:/a/*");
    ck_assert_str_eq(
        td_attrs(t->out[0]->parts[0].payload->resources[0].resource, RESOURCE_ATTRIBUTES),
        "u=s:/a/*");
    ck_assert_str_eq(td_attrs(t->out[0]->parts[0].payload->scopes[0].scope, SCOPE_ATTRIBUTES),
                     "u=s:/a/*");
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* What has no variable parts keeps its bytes. */
START_TEST(untouched)
{
    struct test_settings s = ts_new(&redaction_type, ON);
    struct test_host *t = th_new();
    struct component *c = th_component(t, &redaction_type, s.settings);
    struct payload *p = th_payload(
        t, TH_SPANS(
               {.trace = 1,
                .id = 1,
                .name = "GET /users",
                .kind = 3,
                .attrs = {S("u", "/users"), S("w", "/a/1")}},
               {.trace = 1, .id = 2, .name = "/users/1", .kind = 1, .attrs = {S("k", "url.path")}},
               {.trace = 1, .id = 3, .name = "x?y", .kind = 2, .attrs = {S("k", "v")}}));

    th_push(c, th_batch(t, payload_ref(p)));
    ck_assert_ptr_eq(t->out[0]->parts[0].payload, p);
    payload_unref(&p);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redaction url");
    TCase *t = tcase_create("redaction url");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, without_values, 0, (int)ARRAY_LEN(urls));
    tcase_add_test(t, words);
    tcase_add_loop_test(t, any_text, 0, 4);
    tcase_add_loop_test(t, of_a_span, 0, (int)ARRAY_LEN(spans));
    tcase_add_test(t, other_levels);
    tcase_add_test(t, untouched);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
