/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend's name that has several addresses, some of them dead, and others later. The lookup is this file's:
 * its getaddrinfo() stands before the C library's.
 */
#include <arpa/inet.h>
#include <check.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/h2_channel.h"
#include "platform/mem.h"
#include "tests/lib/fake_grpc.h"
#include "tests/lib/test_host.h"

enum { SERVERS = 2, CALLS = 64 };

/* ---- the lookup; called on libuv's threads ---- */

static const char *_Atomic names[4]; /* the addresses of "backends.test"; NULL ends */
static _Atomic unsigned n_lookups;

struct found {
    struct addrinfo info; /* first */
    struct sockaddr_in sa;
};

static struct addrinfo *found_new(const char *ip, const char *service)
{
    struct found *f = mem_alloc(sizeof(*f));

    f->sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(service))};
    ck_assert_int_eq(inet_pton(AF_INET, ip, &f->sa.sin_addr), 1);
    f->info = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_addrlen = sizeof(f->sa),
                                .ai_addr = (struct sockaddr *)&f->sa};
    return &f->info;
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict res)
{
    struct addrinfo **at = res;

    (void)hints;
    *res = NULL;
    if (strcmp(name, "backends.test") != 0) {
        *res = found_new(name, service); /* an address: a server that begins to listen */
        return 0;
    }
    atomic_fetch_add(&n_lookups, 1);
    for (size_t i = 0; i < ARRAY_LEN(names) && names[i]; i++) {
        *at = found_new(names[i], service);
        at = &(*at)->ai_next;
    }
    return *res ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *res)
{
    while (res) {
        struct addrinfo *next = res->ai_next;

        free(res);
        res = next;
    }
}

/* ---- backends on 127.0.0.2 and 127.0.0.3, the same port; nobody on 127.0.0.4 ---- */

static struct test_host *t;
static struct fake_grpc *servers[SERVERS];
static struct h2_channel *ch;
static struct h2_request calls[CALLS];
static unsigned n_calls, n_over, n_good;
static bool closed;

static const struct h2_header headers[] = {
    {":method", "POST"}, {":scheme", "http"}, {":path", "/x"}, {":authority", "a"},
    {"content-type", "application/grpc"}, {"te", "trailers"},
};

static void on_done(struct h2_request *r, const struct h2_response *resp)
{
    (void)r;
    n_over++;
    n_good += resp->end == H2_END_RESPONSE;
}

static void call(void)
{
    ck_assert_uint_lt(n_calls, CALLS);
    calls[n_calls] = (struct h2_request){.headers = headers, .n_headers = ARRAY_LEN(headers), .on_done = on_done};
    h2_channel_send(ch, &calls[n_calls++]);
}

static bool all_over(void *ctx)
{
    (void)ctx;
    return n_over == n_calls;
}

static void serve_on(unsigned i, const char *ip)
{
    char at[64];

    snprintf(at, sizeof(at), "%s:%u", ip, i == 0 ? 0 : servers[0]->port);
    servers[i] = fake_grpc_new_at(t->host.loop, at);
    ck_assert_ptr_nonnull(servers[i]);
}

static void setup(void)
{
    t = th_new();
    n_calls = n_over = n_good = 0;
    closed = false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        names[i] = NULL;
    serve_on(0, "127.0.0.2");
    serve_on(1, "127.0.0.3");
}

static void on_closed(void *ctx)
{
    (void)ctx;
    closed = true;
}

static bool is_closed(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < SERVERS; i++)
        if (servers[i] && servers[i]->n_open_conns)
            return false;
    return closed;
}

static void teardown(void)
{
    h2_channel_close(&ch, on_closed, NULL);
    for (int i = 0; i < SERVERS; i++)
        fake_grpc_drop_all(servers[i]);
    ck_assert(th_run_until(t, is_closed, NULL));
    for (int i = 0; i < SERVERS; i++)
        fake_grpc_free(&servers[i]);
    th_free(&t);
}

static void open_to(bool round_robin)
{
    struct h2_channel_config cfg = {.loop = t->host.loop, .dial_timeout_ms = 3000, .round_robin = round_robin,
                                    .wait_for_ready = true, .backoff_first_ms = 10, .backoff_max_ms = 50,
                                    .ping_timeout_ms = 1000};
    char target[64];
    struct err err;

    snprintf(target, sizeof(target), "dns:///backends.test:%u", servers[0]->port);
    ck_assert_int_eq(endpoint_parse_grpc(target, &cfg.endpoint, &err), 0);
    ch = h2_channel_new(&cfg);
}

static void calls_one_by_one(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        call();
        ck_assert(th_run_until(t, all_over, NULL));
    }
    ck_assert_uint_eq(n_good, n_calls);
}

static bool both_connected(void *ctx)
{
    (void)ctx;
    return servers[0]->n_open_conns && servers[1]->n_open_conns;
}

START_TEST(round_robin_uses_every_address)
{
    names[0] = "127.0.0.2";
    names[1] = "127.0.0.3";
    open_to(true);
    calls_one_by_one(1);
    ck_assert(th_run_until(t, both_connected, NULL));
    th_turn(t);
    for (int i = 0; i < 20 && !(servers[0]->n_requests && servers[1]->n_requests); i++)
        calls_one_by_one(1);
    ck_assert_uint_gt(servers[0]->n_requests, 0);
    ck_assert_uint_gt(servers[1]->n_requests, 0);
}
END_TEST

START_TEST(dead_addresses_are_passed_over)
{
    names[0] = "127.0.0.4"; /* nobody listens there */
    names[1] = "127.0.0.3";
    open_to(_i == 0);
    calls_one_by_one(5);
    ck_assert_uint_eq(servers[1]->n_requests, 5);
}
END_TEST

START_TEST(pick_first_stays_with_one)
{
    names[0] = "127.0.0.2";
    names[1] = "127.0.0.3";
    open_to(false);
    calls_one_by_one(6);
    ck_assert_uint_eq(servers[0]->n_requests, 6);
    ck_assert_uint_eq(servers[1]->n_conns, 0);
}
END_TEST

/* The backend moves: its old address is refused, and the name is asked again. */
START_TEST(the_name_is_asked_again)
{
    unsigned lookups;

    names[0] = "127.0.0.2";
    open_to(_i == 0);
    calls_one_by_one(2);
    lookups = n_lookups;
    names[0] = "127.0.0.3";
    listener_free(&servers[0]->listener);
    fake_grpc_drop_all(servers[0]);
    while (servers[0]->n_open_conns)
        th_turn(t);
    calls_one_by_one(3);
    ck_assert_uint_gt(n_lookups, lookups);
    ck_assert_uint_eq(servers[1]->n_requests, 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("addresses");
    TCase *tc = tcase_create("addresses");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, round_robin_uses_every_address);
    tcase_add_loop_test(tc, dead_addresses_are_passed_over, 0, 2);
    tcase_add_test(tc, pick_first_stays_with_one);
    tcase_add_loop_test(tc, the_name_is_asked_again, 0, 2);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
