/* SPDX-License-Identifier: Apache-2.0 */
/* What exporters show: headers_setter's rules, and oauth2client's requests, answers and statements. */
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "component/auth.h"
#include "extensions/extensions.h"
#include "extensions/oauth2client.h"
#include "net/grpc.h"
#include "net/tls_lib.h"
#include "tests/lib/fake_http.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

/* An extension and a signer of it. */
struct world {
    struct test_host *t;
    struct test_settings set;
    struct component *c;
    struct auth_signer *signer;
};

static struct world world_new(const struct component_type *type, const char *yaml)
{
    struct world w = {.t = th_new(), .set = ts_new(type, yaml)};
    struct err err = {""};

    ck_assert_str_eq(ts_problems(&w.set), "");
    w.c = th_component_try(w.t, type, w.set.settings, &err);
    ck_assert_msg(w.c != NULL, "%s", err.text);
    w.signer = type->auth_client->open(w.c, &w.t->host);
    return w;
}

static void world_free(struct world *w)
{
    auth_signer_close(&w->signer);
    th_component_free(w->t, &w->c);
    ts_free(&w->set);
    th_free(&w->t);
}

/* "a: 1, b: 2" of what goes out when the exporter itself has `own: x`. */
static const char *fields_of(struct world *w, const struct request_info *info, enum auth_verdict want, struct err *err)
{
    static char text[512];
    struct auth_fields f = {0};
    size_t n = 0;

    auth_fields_set(&f, "own", "x");
    ck_assert_int_eq(w->signer->ops->sign(w->signer, info, &f, NULL, err), want);
    text[0] = '\0';
    for (size_t i = 0; i < f.n; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s: %s", i ? ", " : "", f.v[i].name, f.v[i].value);
    auth_fields_free(&f);
    return text;
}

static struct request_info *info_with(const char *name, const char *first, const char *second)
{
    struct request_info *info = request_info_new("127.0.0.1", 2);

    for (size_t i = 0; i < 2; i++)
        info->headers[i] = (struct request_header){mem_dup(i && !second ? "none" : name), mem_dup(i && second ? second : first)};
    return info;
}

/* ---- headers_setter ---- */

static const struct {
    const char *rules, *fields;
} rules[] = {
    {"[{key: a, value: v}]", "own: x, a: v"},
    {"[{key: own, value: v}]", "own: v"}, /* upsert is the default */
    {"[{key: own, action: insert, value: v}, {key: b, action: insert, value: w}]", "own: x, b: w"},
    {"[{key: own, action: update, value: v}, {key: b, action: update, value: w}]", "own: v"},
    {"[{key: OWN, action: delete}, {key: none, action: delete, value: v}]", ""},
    {"[{key: a, from_context: tenant}]", "own: x, a: acme"},
    {"[{key: a, from_context: TENANT, default_value: d}]", "own: x, a: acme"},
    {"[{key: a, from_context: other, default_value: d}, {key: b, from_context: other}]", "own: x, a: d, b: "},
    {"[{key: a, from_attribute: username, default_value: d}]", "own: x, a: d"},
    {"[{key: a, value: '1'}, {key: a, action: insert, value: '2'}, {key: a, action: update, value: '3'}]", "own: x, a: 3"},
};

START_TEST(rules_in_order)
{
    char yaml[512];
    struct request_info *info = info_with("tenant", "acme", NULL);
    struct err err = {""};

    snprintf(yaml, sizeof(yaml), "headers: %s", rules[_i].rules);
    struct world w = world_new(&headers_setter_extension_type, yaml);
    ck_assert_str_eq(fields_of(&w, info, AUTH_OK, &err), rules[_i].fields);
    request_info_unref(&info);
    world_free(&w);
}
END_TEST

START_TEST(which_of_two_is_meant)
{
    struct world w = world_new(&headers_setter_extension_type, "headers: [{key: a, from_context: tenant}]");
    struct request_info *info = info_with("tenant", "acme", "other");
    struct err err = {""};

    (void)fields_of(&w, info, AUTH_REFUSED, &err);
    ck_assert_str_eq(err.text, "failed to determine the source: 2 source keys found in the context, can't determine which one to use");
    ck_assert_str_eq(fields_of(&w, NULL, AUTH_OK, &err), "own: x, a: "); /* data that nobody sent just now */
    request_info_unref(&info);
    world_free(&w);
}
END_TEST

/* Another extension's credentials come last, and its needs are ours. */
START_TEST(additional_auth)
{
    struct test_host *t = th_new();
    struct test_settings inner_set = ts_new(&bearertokenauth_extension_type, "token: abc");
    struct component *inner = th_component(t, &bearertokenauth_extension_type, inner_set.settings);
    struct world w = {.t = th_new(), .set = ts_new(&headers_setter_extension_type,
                                                   "{headers: [{key: authorization, value: mine}], additional_auth: bearer}")};
    struct err err = {""};

    th_extension(w.t, "bearer", inner);
    w.c = th_component(w.t, &headers_setter_extension_type, w.set.settings);
    w.signer = w.c->type->auth_client->open(w.c, &w.t->host);
    ck_assert(w.c->type->auth_client->needs_tls(w.c));
    ck_assert_str_eq(fields_of(&w, NULL, AUTH_OK, &err), "own: x, Authorization: Bearer abc");
    world_free(&w);
    th_component_free(t, &inner);
    ts_free(&inner_set);
    th_free(&t);
}
END_TEST

/* ---- oauth2client ---- */

#define ID "client_id: 'the id', client_secret: 's3c:r', token_url: 'http://auth.example:8080/t?x=1'"

static struct oauth2_settings settings_of(const char *yaml, struct test_settings *s)
{
    *s = ts_new(&oauth2client_extension_type, yaml);
    ck_assert_str_eq(ts_problems(s), "");
    return *(const struct oauth2_settings *)s->settings;
}

/* Body and head of the request, in static buffers. */
static int request_of(const char *yaml, enum oauth2_style style, char head_text[static 4096], char body_text[static 4096], struct err *err)
{
    struct test_settings s;
    const struct oauth2_settings set = settings_of(yaml, &s);
    struct proxy proxy = {0};
    struct endpoint e;
    struct buf head = {0}, body = {0};
    int rc;

    ck_assert_int_eq(endpoint_parse_url(set.token_url, &e, err), 0);
    rc = oauth2_request(&set, &e, &proxy, style, &head, &body, err);
    snprintf(head_text, 4096, "%.*s", (int)head.len, (const char *)head.p);
    snprintf(body_text, 4096, "%.*s", (int)body.len, (const char *)body.p);
    buf_free(&head);
    buf_free(&body);
    ts_free(&s);
    return rc;
}

START_TEST(client_credentials)
{
    char head[4096], body[4096];
    struct err err = {""};

    ck_assert_int_eq(request_of("{" ID ", scopes: [a, b&c], endpoint_params: {aud: x y, r: [1a, 2b]}}", OAUTH2_HEADER, head, body, &err), 0);
    ck_assert_str_eq(body, "grant_type=client_credentials&scope=a+b%26c&aud=x+y&r=1a&r=2b");
    ck_assert_ptr_eq(strstr(head, "POST /t?x=1 HTTP/1.1\r\nHost: auth.example:8080\r\n"), head);
    ck_assert_ptr_nonnull(strstr(head, "Authorization: Basic dGhlK2lkOnMzYyUzQXI=\r\n")); /* the+id:s3c%3Ar */
    ck_assert_int_eq(request_of("{" ID "}", OAUTH2_BODY, head, body, &err), 0);
    ck_assert_str_eq(body, "grant_type=client_credentials&client_id=the+id&client_secret=s3c%3Ar");
    ck_assert_ptr_null(strstr(head, "Authorization"));
    ck_assert_int_eq(request_of("{" ID ", client_secret_file: /nonexistent}", OAUTH2_BODY, head, body, &err), -1);
    ck_assert_str_eq(err.text, "/nonexistent: No such file or directory");
}
END_TEST

static const struct {
    int status;
    const char *body, *token, *error;
    uint64_t expires_in_s;
} answers[] = {
    {200, "{\"access_token\":\"abc\",\"token_type\":\"bearer\",\"expires_in\":60}", "Bearer abc", NULL, 60},
    {201, "{\"access_token\":\"abc\",\"expires_in\":\"3600\"}", "Bearer abc", NULL, 3600},
    {200, "{\"access_token\":\"abc\",\"token_type\":\"MAC\",\"expires_in\":-5}", "MAC abc", NULL, 0},
    {200, "{\"access_token\":\"\"}", NULL, "oauth2: server response missing access_token", 0},
    {200, "[]", NULL, "oauth2: cannot parse the server's answer: it is not a JSON object", 0},
    {200, "", NULL, "oauth2: cannot parse the server's answer: it is not a JSON object", 0},
    {401, "{\"error\":\"invalid_client\",\"error_description\":\"who\\nare you\"}", NULL,
     "oauth2: cannot fetch token: HTTP status 401: invalid_client: who?are you", 0},
    {503, "<html>", NULL, "oauth2: cannot fetch token: HTTP status 503", 0},
};

START_TEST(what_the_server_says)
{
    struct oauth2_token got = {0};
    struct err err = {""};
    int rc = oauth2_answer(answers[_i].status, slice_str(answers[_i].body), &got, &err);

    if (answers[_i].token) {
        ck_assert_int_eq(rc, 0);
        ck_assert_str_eq(got.value, answers[_i].token);
        ck_assert_uint_eq(got.expires_in_s, answers[_i].expires_in_s);
    } else {
        ck_assert_int_eq(rc, -1);
        ck_assert_str_eq(err.text, answers[_i].error);
    }
    free(got.value);
}
END_TEST

/* ---- jwt-bearer ---- */

#define JWT "client_id: me, token_url: 'https://auth.example/token', grant_type: '" OAUTH2_JWT_BEARER "'"

/* An RSA key made by the openssl command. */
static const char *key_file(const char *algorithm)
{
    static char path[64];
    char cmd[256];

    snprintf(path, sizeof(path), "/tmp/tailrace-key-XXXXXX");
    ck_assert_int_ge(mkstemp(path), 0);
    snprintf(cmd, sizeof(cmd), "openssl genpkey -algorithm %s -out %s 2>/dev/null", algorithm, path);
    ck_assert_int_eq(system(cmd), 0); /* NOLINT(cert-env33-c) */
    return path;
}

static json_t *part_of(const char *jwt, int i)
{
    const char *from = jwt;
    struct buf out = {0};
    json_t *v;

    for (; i > 0; i--)
        from = strchr(from, '.') + 1;
    ck_assert_int_eq(base64_decode(&out, slice_of(from, strcspn(from, "."))), 0);
    v = json_loadb((const char *)out.p, out.len, 0, NULL);
    ck_assert_ptr_nonnull(v);
    buf_free(&out);
    return v;
}

static void expect(const json_t *o, const char *name, const char *value)
{
    ck_assert_str_eq(json_string_value(json_object_get(o, name)), value);
}

/* OpenSSL's other half says whether the signature is of that text by that key. */
static bool verifies(const char *jwt, const char *path, const char *digest)
{
    const char *dot = strrchr(jwt, '.');
    struct buf signature = {0};
    char cmd[512], text[96], sig[96];
    FILE *f;

    snprintf(text, sizeof(text), "%s.text", path);
    snprintf(sig, sizeof(sig), "%s.sig", path);
    ck_assert_int_eq(base64_decode(&signature, slice_str(dot + 1)), 0);
    f = fopen(text, "w");
    ck_assert_uint_eq(fwrite(jwt, 1, (size_t)(dot - jwt), f), (size_t)(dot - jwt));
    fclose(f);
    f = fopen(sig, "w");
    ck_assert_uint_eq(fwrite(signature.p, 1, signature.len, f), signature.len);
    fclose(f);
    snprintf(cmd, sizeof(cmd), "openssl dgst -%s -prverify %s -signature %s %s >/dev/null 2>&1; s=$?; rm -f %s %s; exit $s", digest, path, sig,
             text, sig, text);
    buf_free(&signature);
    return system(cmd) == 0; /* NOLINT(cert-env33-c) */
}

static char *assertion_in(char *body)
{
    char *at = strstr(body, "&assertion=");

    ck_assert_ptr_nonnull(at);
    at += strlen("&assertion=");
    at[strcspn(at, "&")] = '\0';
    return at;
}

START_TEST(a_signed_statement)
{
    static const char *const digests[] = {"sha256", "sha384", "sha512"}, *const names[] = {"RS256", "RS384", "RS512"};
    const char *path = key_file("RSA");
    char yaml[512], head[4096], body[4096], *jwt;
    struct err err = {""};
    json_t *h, *c;

    snprintf(yaml, sizeof(yaml),
             "{" JWT ", client_certificate_key_file: %s, signature_algorithm: %s, scopes: [a, b], client_certificate_key_id: k1, "
             "claims: {sub: other, n: 3, l: [x, true], m: {d: 1.5}}}", path, names[_i]);
    ck_assert_msg(request_of(yaml, OAUTH2_HEADER, head, body, &err) == 0, "%s", err.text);
    ck_assert_ptr_null(strstr(head, "Authorization"));
    ck_assert_ptr_eq(strstr(body, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&scope=a+b&assertion="), body);
    jwt = assertion_in(body);
    h = part_of(jwt, 0);
    c = part_of(jwt, 1);
    expect(h, "alg", names[_i]);
    expect(h, "typ", "JWT");
    expect(h, "kid", "k1");
    expect(c, "iss", "me");
    expect(c, "sub", "other");
    expect(c, "aud", "https://auth.example/token");
    expect(c, "scope", "a b");
    ck_assert_int_eq(json_integer_value(json_object_get(c, "n")), 3);
    ck_assert(json_is_true(json_array_get(json_object_get(c, "l"), 1)));
    ck_assert_double_eq(json_real_value(json_object_get(json_object_get(c, "m"), "d")), 1.5);
    ck_assert_int_eq(json_integer_value(json_object_get(c, "exp")) - json_integer_value(json_object_get(c, "iat")), 1800);
    ck_assert_uint_eq(json_string_length(json_object_get(c, "jti")), 32);
    ck_assert(verifies(jwt, path, digests[_i]));
    jwt[3] = jwt[3] == 'A' ? 'B' : 'A';
    ck_assert(!verifies(jwt, path, digests[_i]));
    json_decref(h);
    json_decref(c);
    unlink(path);
}
END_TEST

START_TEST(keys_that_cannot_sign)
{
    const char *path = key_file("ED25519");
    char yaml[256], head[4096], body[4096];
    struct err err = {""};

    snprintf(yaml, sizeof(yaml), "{" JWT ", client_certificate_key_file: %s}", path);
    ck_assert_int_eq(request_of(yaml, OAUTH2_HEADER, head, body, &err), -1);
    ck_assert_str_eq(err.text, "oauth2: cannot sign: the private key is no RSA key");
    ck_assert_int_eq(request_of("{" JWT ", client_certificate_key: hunter2}", OAUTH2_HEADER, head, body, &err), -1);
    ck_assert_str_eq(err.text, "oauth2: cannot sign: no private key in PEM form that can be read");
    unlink(path);
}
END_TEST

static const struct {
    const char *yaml, *problems;
} bad[] = {
    {"{token_url: 'http://a/'}", "oauth2client.client_id: no ClientID provided in the OAuth2 exporter configuration\n"
                                "oauth2client.client_secret: no ClientSecret provided in OAuth Client Credentials configuration\n"},
    {"{" JWT "}", "oauth2client.client_certificate_key: no ClientCertificateKey provided in the OAuth2 exporter configuration\n"},
    {"{" JWT ", client_certificate_key: x, signature_algorithm: ES256, claims: [a]}",
     "oauth2client.signature_algorithm: invalid signature algorithm\noauth2client.claims: expected a map\n"},
    {"{" ID ", grant_type: password}",
     "oauth2client.grant_type: only client_credentials and " OAUTH2_JWT_BEARER " are supported\n"},
    {"{" ID ", endpoint_params: {a: {b: c}}}", "oauth2client.endpoint_params: expected a map of strings, or of lists of strings\n"},
};

START_TEST(problems)
{
    struct test_settings s = ts_new(&oauth2client_extension_type, bad[_i].yaml);

    ck_assert_str_eq(ts_problems(&s), bad[_i].problems);
    ts_free(&s);
}
END_TEST

/* ---- a fetch ---- */

static unsigned n_ready;

static void on_ready(struct auth_wait *w)
{
    (void)w;
    n_ready++;
}

static bool both_ready(void *ctx)
{
    (void)ctx;
    return n_ready == 2;
}

/* Who needs the token waits for one fetch, then all have it. */
START_TEST(one_fetch_for_all)
{
    struct test_host *t = th_new();
    struct fake_http *server = fake_http_new(t->host.loop);
    struct auth_wait a = {.ready = on_ready}, b = {.ready = on_ready};
    struct auth_fields f = {0};
    struct err err = {""};
    char yaml[256];

    server->answer = slice_str("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{\"access_token\":\"abc\"}");
    snprintf(yaml, sizeof(yaml), "{client_id: i, client_secret: s, token_url: 'http://%s/t'}", server->endpoint);
    struct world w = {.t = t, .set = ts_new(&oauth2client_extension_type, yaml)};
    w.c = th_component(t, &oauth2client_extension_type, w.set.settings);
    w.signer = w.c->type->auth_client->open(w.c, &t->host);
    n_ready = 0;
    list_init(&a.node);
    list_init(&b.node);
    ck_assert_int_eq(w.signer->ops->sign(w.signer, NULL, &f, &a, &err), AUTH_LATER);
    ck_assert_int_eq(w.signer->ops->sign(w.signer, NULL, &f, &b, &err), AUTH_LATER);
    ck_assert(th_run_until(t, both_ready, NULL));
    ck_assert_str_eq(fields_of(&w, NULL, AUTH_OK, &err), "own: x, Authorization: Bearer abc");
    ck_assert_uint_eq(server->n_requests, 1);
    ck_assert_uint_eq(f.n, 0);
    auth_signer_close(&w.signer);
    th_component_free(t, &w.c);
    ts_free(&w.set);
    fake_http_drop_all(server);
    th_turn(t);
    fake_http_free(&server);
    th_free(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("auth client");
    TCase *tc = tcase_create("auth client");
    SRunner *r;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, rules_in_order, 0, (int)ARRAY_LEN(rules));
    tcase_add_test(tc, which_of_two_is_meant);
    tcase_add_test(tc, additional_auth);
    tcase_add_test(tc, client_credentials);
    tcase_add_loop_test(tc, what_the_server_says, 0, (int)ARRAY_LEN(answers));
    tcase_add_loop_test(tc, a_signed_statement, 0, 3);
    tcase_add_test(tc, keys_that_cannot_sign);
    tcase_add_loop_test(tc, problems, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(tc, one_fetch_for_all);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
