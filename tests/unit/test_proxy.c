/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy leads where: NO_PROXY's rules are Go's, and so is what the environment says. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy.h"
#include "platform/check.h"

static const struct {
    const char *no_proxy, *host;
    uint16_t port;
    bool bypassed;
} rows[] = {
    {"*", "anything.example", 80, true},
    {"", "a.example", 80, false},
    {" , ,", "a.example", 80, false},
    {"a.example", "a.example", 80, true},
    {"A.Example", "a.exaMPle", 80, true},
    {"a.example", "b.a.example", 80, true},
    {"a.example", "ba.example", 80, false},
    {".a.example", "a.example", 80, false},
    {".a.example", "b.a.example", 80, true},
    {"*.a.example", "b.a.example", 80, true},
    {"*.a.example", "a.example", 80, false},
    {"a.example:80", "a.example", 80, true},
    {"a.example:80", "a.example", 81, false},
    {"x, b.example ,y", "b.example", 80, true},
    {"10.1.2.3", "10.1.2.3", 80, true},
    {"10.1.2.3", "10.1.2.30", 80, false},
    {"10.1.2.3:80", "10.1.2.3", 81, false},
    {"10.0.0.0/8", "10.200.1.1", 80, true},
    {"10.0.0.0/8", "11.0.0.1", 80, false},
    {"10.0.0.0/33", "10.0.0.1", 80, false},
    {"10.0.0.0/x", "10.0.0.1", 80, false},
    {"10.0.0.0/8", "ten.example", 80, false},
    {"192.168.7.0/25", "192.168.7.127", 80, true},
    {"192.168.7.0/25", "192.168.7.128", 80, false},
    {"fd00::/8", "fd12::1", 80, true},
    {"fd00::/8", "10.0.0.1", 80, false},
    {"fd12::1", "fd12::1", 80, true},
    {"[fd12::1]:443", "fd12::1", 443, true},
    {"[fd12::1]:443", "fd12::1", 80, false},
    {"[fd12::1]", "fd12::1", 80, true},
};

START_TEST(no_proxy)
{
    ck_assert_msg(proxy_bypassed(rows[_i].no_proxy, rows[_i].host, rows[_i].port) == rows[_i].bypassed, "%s %s:%u", rows[_i].no_proxy,
                  rows[_i].host, rows[_i].port);
}
END_TEST

static struct proxy find(const char *endpoint, bool https, const char *url)
{
    struct endpoint e;
    struct proxy p;
    struct err err = {""};

    ck_assert_msg(endpoint_parse_url(endpoint, &e, &err) == 0, "%s", err.text);
    ck_assert_msg(proxy_find(&e, https, url, &p, &err) == 0, "%s", err.text);
    return p;
}

static void clean(void)
{
    static const char *const names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        unsetenv(names[i]);
}

START_TEST(environment)
{
    struct proxy p;

    clean();
    ck_assert(!find("http://a.example", false, NULL).used);
    setenv("http_proxy", "one.example", 1);
    setenv("HTTPS_PROXY", "http://two.example:3128/", 1);
    p = find("http://a.example", false, "");
    ck_assert(p.used);
    ck_assert_str_eq(p.endpoint.host, "one.example");
    ck_assert_uint_eq(p.endpoint.port, 80);
    p = find("https://a.example", true, NULL);
    ck_assert_str_eq(p.endpoint.host, "two.example");
    ck_assert_uint_eq(p.endpoint.port, 3128);
    ck_assert_str_eq(p.authorization, "");
    setenv("HTTP_PROXY", "http://three.example", 1); /* upper case wins */
    ck_assert_str_eq(find("http://a.example", false, NULL).endpoint.host, "three.example");
    ck_assert(!find("http://localhost:4318", false, NULL).used);
    ck_assert(!find("http://127.1.2.3", false, NULL).used);
    ck_assert(!find("http://[::1]", false, NULL).used);
    setenv("NO_PROXY", "a.example", 1);
    ck_assert(!find("http://a.example", false, NULL).used);
    ck_assert(find("http://b.example", false, NULL).used);
    clean();
}
END_TEST

START_TEST(own_url)
{
    struct proxy p;

    clean();
    setenv("NO_PROXY", "*", 1);
    p = find("http://localhost", false, "http://joe%20x:p%40ss@proxy.example:99");
    ck_assert(p.used);
    ck_assert_str_eq(p.endpoint.host, "proxy.example");
    ck_assert_str_eq(p.authorization, "Basic am9lIHg6cEBzcw==");
    p = find("http://a", false, "joe@proxy.example");
    ck_assert_str_eq(p.authorization, "Basic am9lOg==");
    clean();
}
END_TEST

static const char *const bad[][2] = {
    {"socks5://a:1", "proxy_url: only http:// proxies are supported, not socks5"},
    {"https://u:secret@a:1", "proxy_url: only http:// proxies are supported, not https"},
    {"http://u:secret@", "proxy_url: not the URL of a proxy"},
    {"http://u:secret@a:x", "proxy_url"},
};

START_TEST(bad_urls)
{
    struct endpoint e;
    struct proxy p;
    struct err err = {""};

    ck_assert_int_eq(endpoint_parse_url("http://a", &e, &err), 0);
    ck_assert_int_eq(proxy_find(&e, false, bad[_i][0], &p, &err), -1);
    ck_assert_msg(strncmp(err.text, bad[_i][1], strlen(bad[_i][1])) == 0, "%s", err.text);
    ck_assert_ptr_null(strstr(err.text, "secret"));
}
END_TEST

START_TEST(targets)
{
    struct endpoint e;
    struct err err = {""};
    char text[300];

    ck_assert_int_eq(endpoint_parse_url("https://a.example/x", &e, &err), 0);
    proxy_target(&e, text);
    ck_assert_str_eq(text, "a.example:443");
    ck_assert_int_eq(endpoint_parse_url("https://[fd12::1]:7/x", &e, &err), 0);
    proxy_target(&e, text);
    ck_assert_str_eq(text, "[fd12::1]:7");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proxy");
    TCase *tc = tcase_create("proxy");
    SRunner *r;
    int failed;

    tcase_add_loop_test(tc, no_proxy, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tc, environment);
    tcase_add_test(tc, own_url);
    tcase_add_loop_test(tc, bad_urls, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(tc, targets);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
