/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints as people write them, and the pauses between dials. */
#include <check.h>
#include <stdlib.h>

#include "net/dial.h"

struct good {
    const char *text;
    enum endpoint_scheme scheme;
    const char *host;
    unsigned port;
    const char *authority;
    bool has_scheme, balanced;
};

static const struct good grpc_good[] = {
    {"backend:4317", ENDPOINT_PLAIN, "backend", 4317, "backend:4317", false, true},
    {"127.0.0.1:1", ENDPOINT_PLAIN, "127.0.0.1", 1, "127.0.0.1:1", false, true},
    {"[::1]:4317", ENDPOINT_PLAIN, "::1", 4317, "[::1]:4317", false, true},
    {":4317", ENDPOINT_PLAIN, "localhost", 4317, ":4317", false, true},
    {"http://a.b:65535", ENDPOINT_HTTP, "a.b", 65535, "a.b:65535", true, true},
    {"HTTPS://a:2", ENDPOINT_HTTPS, "a", 2, "a:2", true, true},
    {"dns:///svc:4317", ENDPOINT_PLAIN, "svc", 4317, "svc:4317", true, true},
    {"dns://10.0.0.1:53/svc:4317", ENDPOINT_PLAIN, "svc", 4317, "svc:4317", true, true},
    {"dns:svc:4317", ENDPOINT_PLAIN, "svc", 4317, "svc:4317", true, true},
    {"passthrough:///svc:4317", ENDPOINT_PLAIN, "svc", 4317, "svc:4317", true, false},
    {"unix:///run/x.sock", ENDPOINT_UNIX, "/run/x.sock", 0, "localhost", true, false},
    {"unix:x.sock", ENDPOINT_UNIX, "x.sock", 0, "localhost", true, false},
    {"dns:4317", ENDPOINT_PLAIN, "dns", 4317, "dns:4317", false, true},
};

START_TEST(test_grpc_good)
{
    const struct good *g = &grpc_good[_i];
    struct endpoint e;
    struct err err = {0};

    ck_assert_msg(endpoint_parse_grpc(g->text, &e, &err) == 0, "%s: %s", g->text, err.text);
    ck_assert_int_eq(e.scheme, g->scheme);
    ck_assert_str_eq(e.host, g->host);
    ck_assert_uint_eq(e.port, g->port);
    ck_assert_str_eq(e.authority, g->authority);
    ck_assert_int_eq(e.has_scheme, g->has_scheme);
    if (g->scheme != ENDPOINT_UNIX)
        ck_assert_int_eq(e.dns_balanced, g->balanced);
}
END_TEST

static const char *const grpc_bad[][2] = {
    {"", "requires a non-empty \"endpoint\""},
    {"backend", "missing port in address"},
    {"backend:", "invalid port \"\""},
    {"backend:x", "invalid port \"x\""},
    {"backend:0", "invalid port \"0\""},
    {"backend:65536", "invalid port \"65536\""},
    {"backend:99999999999999999999", "invalid port"},
    {"backend:4317/path", "a path is not allowed"},
    {"http://backend", "missing port in address"},
    {"unix://", "unix socket path cannot be empty"},
    {"::1:4317", "too many colons in address"},
    {"[::1:4317", "missing ']' in address"},
    {"[::1]x:4317", "invalid character after ']'"},
    {"a b:1", "invalid character in host"},
    {"user@host:1", "invalid character in host"},
};

START_TEST(test_grpc_bad)
{
    struct endpoint e;
    struct err err = {0};

    ck_assert_int_eq(endpoint_parse_grpc(grpc_bad[_i][0], &e, &err), -1);
    ck_assert_msg(strstr(err.text, grpc_bad[_i][1]) != NULL, "%s: %s", grpc_bad[_i][0], err.text);
}
END_TEST

START_TEST(test_long_host_refused)
{
    char text[400];
    struct endpoint e;
    struct err err = {0};

    memset(text, 'a', sizeof(text));
    memcpy(text + 300, ":4317", 6);
    ck_assert_int_eq(endpoint_parse_grpc(text, &e, &err), -1);
}
END_TEST

START_TEST(test_url)
{
    struct endpoint e;
    struct err err = {0};

    ck_assert_int_eq(endpoint_parse_url("http://h:4318/base/?x=1#frag", &e, &err), 0);
    ck_assert_str_eq(e.host, "h");
    ck_assert_uint_eq(e.port, 4318);
    ck_assert_str_eq(e.path, "/base/?x=1");
    ck_assert(e.port_given);
    ck_assert_int_eq(endpoint_parse_url("http://h", &e, &err), 0);
    ck_assert_uint_eq(e.port, 80);
    ck_assert_str_eq(e.path, "");
    ck_assert_str_eq(e.authority, "h");
    ck_assert(!e.port_given);
    ck_assert_int_eq(endpoint_parse_url("https://[::1]/x", &e, &err), 0);
    ck_assert_uint_eq(e.port, 443);
    ck_assert_str_eq(e.host, "::1");
    ck_assert_int_eq(endpoint_parse_url("h:4318", &e, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "unsupported protocol scheme"));
    ck_assert_int_eq(endpoint_parse_url("http://", &e, &err), -1);
    ck_assert_int_eq(endpoint_parse_url("http:///v1/traces", &e, &err), -1);
    ck_assert_int_eq(endpoint_parse_url("http://h/a b", &e, &err), -1);
    ck_assert_int_eq(endpoint_parse_url("http://h/a\r\nX: y", &e, &err), -1);
}
END_TEST

START_TEST(test_backoff_grows_and_ends)
{
    struct backoff b = {.first_ms = 100, .max_ms = 1000, .rng = 7};
    uint64_t base = 100;

    for (int i = 0; i < 20; i++) {
        uint64_t ms = backoff_next_ms(&b);

        ck_assert_uint_ge(ms, base * 8 / 10);
        ck_assert_uint_le(ms, base * 12 / 10 + 1);
        base = base * 8 / 5 < 1000 ? base * 8 / 5 : 1000;
    }
    backoff_reset(&b);
    ck_assert_uint_le(backoff_next_ms(&b), 121);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("endpoint");
    TCase *t = tcase_create("endpoint");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, test_grpc_good, 0, (int)ARRAY_LEN(grpc_good));
    tcase_add_loop_test(t, test_grpc_bad, 0, (int)ARRAY_LEN(grpc_bad));
    tcase_add_test(t, test_long_host_refused);
    tcase_add_test(t, test_url);
    tcase_add_test(t, test_backoff_grows_and_ends);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
