/* SPDX-License-Identifier: Apache-2.0 */
/* TLS sessions without sockets: handshakes fed byte by byte, plaintext of all sizes, ends of every kind,
 * names and authorities, budgets. Certificates are made by the openssl command. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/tls_session.h"

static char dir[64];
static struct budget *budget;

/* A shell line in the directory; N in it is the name. */
static void sh(const char *name, const char *text)
{
    char *line = mem_printf("cd %s && N=%s && { %s; } >/dev/null 2>&1", dir, name, text);

    ck_assert_msg(system(line) == 0, "%s", line);
    free(line);
}

#define NEW_KEY "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $N.key "

static void make_authority(const char *name)
{
    sh(name, NEW_KEY "-x509 -days 2 -out $N.pem -subj /CN=ca");
}

/* The names stand in the environment. */
static void make_leaf(const char *name, const char *names)
{
    setenv("NAMES", names, 1);
    sh(name, NEW_KEY "-out $N.csr -subj /CN=x && echo \"subjectAltName=$NAMES\" >$N.ext && "
             "openssl x509 -req -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -in $N.csr -extfile $N.ext -out $N.pem");
}

static void make_all(void)
{
    snprintf(dir, sizeof dir, "/tmp/test_tls.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    make_authority("ca");
    make_authority("other");
    make_leaf("server", "DNS:localhost,DNS:*.example.com,IP:127.0.0.1");
    make_leaf("client", "DNS:client");
}

static void remove_all(void)
{
    char *line = mem_printf("rm -rf %s", dir);

    ck_assert_int_eq(system(line), 0);
    free(line);
}

static const char *file(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *p = paths[next++ % 8];

    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

static struct tls_config server_config(void)
{
    return (struct tls_config){
        .server = true, .cert_file = file("server.pem"), .key_file = file("server.key"), .budget = budget, .alpn = TLS_ALPN_H2};
}

static struct tls_config client_config(void)
{
    return (struct tls_config){.ca_file = file("ca.pem"), .budget = budget, .alpn = TLS_ALPN_H2};
}

/* Two sessions that talk. */
struct pair {
    struct tls_context *server_ctx, *client_ctx;
    struct tls_session *server, *client;
    enum tls_result server_result, client_result;
};

static void pair_open(struct pair *p, const struct tls_config *server, const struct tls_config *client, const char *host)
{
    struct err err = {0};

    *p = (struct pair){0};
    p->server_ctx = tls_context_new(server, &err);
    ck_assert_msg(p->server_ctx != NULL, "%s", err.text);
    p->client_ctx = tls_context_new(client, &err);
    ck_assert_msg(p->client_ctx != NULL, "%s", err.text);
    p->server = tls_session_new(p->server_ctx, NULL, &err);
    p->client = tls_session_new(p->client_ctx, host, &err);
    ck_assert(p->server && p->client);
    tls_context_free(&p->server_ctx); /* the sessions hold what they need */
    tls_context_free(&p->client_ctx);
}

static void pair_close(struct pair *p)
{
    tls_session_free(&p->server);
    tls_session_free(&p->client);
    ck_assert_uint_eq(budget_used(budget), 0);
}

/* Feeds what `from` wants to send, `step` bytes at a time, to a handshake. */
static void carry(struct tls_session *from, struct tls_session *to, enum tls_result *result, size_t step)
{
    struct buf *out = tls_session_output(from);
    struct buf moved = *out;

    *out = (struct buf){.max = moved.max};
    for (size_t at = 0; at < moved.len && *result == TLS_MORE; at += step) {
        uint8_t *one = malloc(step); /* gone after the call, as a read buffer is */
        size_t n = moved.len - at < step ? moved.len - at : step;
        memcpy(one, moved.p + at, n);
        tls_session_feed(to, one, n);
        *result = tls_session_handshake(to);
        tls_session_keep(to);
        memset(one, 0xdd, step);
        free(one);
    }
    buf_free(&moved);
}

static void handshake(struct pair *p, size_t step)
{
    p->client_result = tls_session_handshake(p->client);
    p->server_result = TLS_MORE;
    for (int i = 0; i < 10; i++) {
        carry(p->client, p->server, &p->server_result, step);
        carry(p->server, p->client, &p->client_result, step);
    }
}

static void hand_over(struct tls_session *from, struct tls_session *to)
{
    struct buf *out = tls_session_output(from);

    tls_session_feed(to, out->p, out->len);
    tls_session_keep(to);
    buf_clear(out);
}

START_TEST(test_handshake_in_steps)
{
    static const size_t steps[] = {1, 2, 7, 100, 65536};
    struct tls_config s = server_config(), c = client_config();
    struct pair p;

    s.max_version = c.max_version = _i < 5 ? 0x0304 : 0x0303;
    pair_open(&p, &s, &c, "localhost");
    handshake(&p, steps[_i % 5]);
    ck_assert_int_eq(p.server_result, TLS_OK);
    ck_assert_int_eq(p.client_result, TLS_OK);
    pair_close(&p);
}
END_TEST

START_TEST(test_plaintext_of_all_sizes)
{
    static const size_t sizes[] = {1, 2, 1000, TLS_PIECE_BYTES - 1, TLS_PIECE_BYTES};
    static uint8_t sent[TLS_PIECE_BYTES], got[2 * TLS_PIECE_BYTES];
    struct tls_config s = server_config(), c = client_config();
    struct pair p;
    size_t n;

    pair_open(&p, &s, &c, "localhost");
    handshake(&p, 1000);
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 31 + 7);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        ck_assert_int_eq(tls_session_write(p.client, sent, sizes[i]), TLS_OK);
        hand_over(p.client, p.server);
        ck_assert_int_eq(tls_session_read(p.server, got, sizeof got, &n), TLS_OK);
        ck_assert_uint_eq(n, sizes[i]);
        ck_assert_mem_eq(got, sent, n);
        ck_assert_int_eq(tls_session_read(p.server, got, sizeof got, &n), TLS_MORE);
    }
    tls_session_shutdown(p.client);
    hand_over(p.client, p.server);
    ck_assert_int_eq(tls_session_read(p.server, got, sizeof got, &n), TLS_EOF);
    pair_close(&p);
}
END_TEST

START_TEST(test_changed_bytes_fail)
{
    uint8_t got[64];
    struct tls_config s = server_config(), c = client_config();
    struct pair p;
    size_t n;

    pair_open(&p, &s, &c, "localhost");
    handshake(&p, 1000);
    ck_assert_int_eq(tls_session_write(p.client, (const uint8_t *)"hello", 5), TLS_OK);
    struct buf *out = tls_session_output(p.client);
    out->p[out->len - 1] ^= 1;
    hand_over(p.client, p.server);
    ck_assert_int_eq(tls_session_read(p.server, got, sizeof got, &n), TLS_FAILED);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(strncmp(tls_session_error(p.server), "tls: ", 5), 0);
    ck_assert_int_eq(tls_session_write(p.server, got, 1), TLS_FAILED);
    pair_close(&p);
}
END_TEST

static const struct {
    const char *host, *name, *problem; /* problem NULL: fine */
} hosts[] = {
    {"localhost", NULL, NULL},
    {"LOCALHOST", NULL, NULL},
    {"localhost.", NULL, NULL},
    {"a.example.com", NULL, NULL},
    {"a.b.example.com", NULL, "certificate is not valid for a.b.example.com"},
    {"example.com", NULL, "certificate is not valid for example.com"},
    {"127.0.0.1", NULL, NULL},
    {"127.0.0.2", NULL, "certificate is not valid for 127.0.0.2"},
    {"::1", NULL, "certificate is not valid for ::1"},
    {"x", NULL, "certificate is not valid for x"}, /* the subject's CN does not count */
    {"elsewhere", "localhost", NULL},
    {"localhost", "elsewhere", "certificate is not valid for elsewhere"},
};

START_TEST(test_host_names)
{
    struct tls_config s = server_config(), c = client_config();
    struct pair p;

    c.server_name = hosts[_i].name;
    pair_open(&p, &s, &c, hosts[_i].host);
    handshake(&p, 1000);
    if (hosts[_i].problem) {
        ck_assert_int_eq(p.client_result, TLS_FAILED);
        ck_assert_msg(strstr(tls_session_error(p.client), hosts[_i].problem) != NULL, "%s", tls_session_error(p.client));
    } else {
        ck_assert_msg(p.client_result == TLS_OK, "%s", tls_session_error(p.client));
    }
    pair_close(&p);
}
END_TEST

START_TEST(test_unknown_authority)
{
    struct tls_config s = server_config(), c = client_config();
    struct pair p;

    c.ca_file = file("other.pem");
    c.skip_verify = _i;
    pair_open(&p, &s, &c, "localhost");
    handshake(&p, 1000);
    ck_assert_int_eq(p.client_result, _i ? TLS_OK : TLS_FAILED);
    if (!_i)
        ck_assert_str_eq(tls_session_error(p.client),
                         "tls: failed to verify certificate: x509: certificate signed by unknown authority");
    pair_close(&p);
}
END_TEST

/* 0: a good certificate, 1: none, 2: of another authority. */
START_TEST(test_client_certificates)
{
    struct tls_config s = server_config(), c = client_config();
    struct pair p;

    s.client_ca_file = _i == 2 ? file("other.pem") : file("ca.pem");
    if (_i != 1) {
        c.cert_file = file("client.pem");
        c.key_file = file("client.key");
    }
    pair_open(&p, &s, &c, "localhost");
    handshake(&p, 1000);
    ck_assert_int_eq(p.server_result, _i == 0 ? TLS_OK : TLS_FAILED);
    if (_i == 1)
        ck_assert_str_eq(tls_session_error(p.server), "tls: client didn't provide a certificate");
    if (_i == 2)
        ck_assert(strstr(tls_session_error(p.server), "certificate signed by unknown authority") != NULL);
    pair_close(&p);
}
END_TEST

START_TEST(test_alpn)
{
    struct tls_config s = server_config(), c = client_config();
    struct pair p;

    s.alpn = _i == 1 ? TLS_ALPN_HTTP1 : TLS_ALPN_H2_HTTP1;
    c.alpn = _i == 2 ? TLS_ALPN_HTTP1 : TLS_ALPN_H2;
    pair_open(&p, &s, &c, "localhost");
    handshake(&p, 1000);
    ck_assert_int_eq(p.server_result, _i == 1 ? TLS_FAILED : TLS_OK);
    ck_assert_int_eq(p.client_result, _i == 1 ? TLS_FAILED : TLS_OK);
    pair_close(&p);
}
END_TEST

/* Whatever stands where a handshake should begin ends in an error, at any cut. */
START_TEST(test_garbage)
{
    struct tls_config s = server_config(), c = client_config();
    struct pair p;
    uint8_t junk[64];

    pair_open(&p, &s, &c, "localhost");
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)(_i * 37 + i * 11);
    tls_session_feed(p.server, junk, sizeof junk);
    p.server_result = tls_session_handshake(p.server);
    tls_session_keep(p.server);
    ck_assert(p.server_result == TLS_FAILED || p.server_result == TLS_MORE);
    if (p.server_result == TLS_FAILED)
        ck_assert_uint_ne(strlen(tls_session_error(p.server)), 0);
    pair_close(&p);
}
END_TEST

START_TEST(test_budget_refuses)
{
    struct tls_config s = server_config();
    struct budget *small = budget_new(1000, 1000);
    struct err err = {0};

    s.budget = small;
    struct tls_context *ctx = tls_context_new(&s, &err);
    ck_assert_ptr_nonnull(ctx);
    ck_assert_ptr_null(tls_session_new(ctx, NULL, &err));
    ck_assert(strstr(err.text, "no memory") != NULL);
    ck_assert_uint_eq(budget_used(small), 0);
    tls_context_free(&ctx);
    budget_free(&small);
}
END_TEST

START_TEST(test_unusable_files)
{
    struct tls_config s = server_config();
    struct err err = {0};

    s.key_file = file("client.key");
    ck_assert_ptr_null(tls_context_new(&s, &err));
    ck_assert_str_eq(err.text, "failed to load TLS config: failed to load TLS cert and key: tls: private key does not match public key");
    s.key_file = dir;
    ck_assert_ptr_null(tls_context_new(&s, &err));
    ck_assert(strstr(err.text, "not a regular file") != NULL);
    s = server_config();
    s.groups = "nonsense";
    ck_assert_ptr_null(tls_context_new(&s, &err));
    ck_assert(strstr(err.text, "curve_preferences") != NULL);
}
END_TEST

static void setup(void)
{
    budget = budget_new(0, 0);
}

static void teardown(void)
{
    budget_free(&budget);
}

int main(void)
{
    Suite *s = suite_create("tls");
    TCase *t = tcase_create("tls");

    tcase_add_unchecked_fixture(t, make_all, remove_all);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_handshake_in_steps, 0, 10);
    tcase_add_test(t, test_plaintext_of_all_sizes);
    tcase_add_test(t, test_changed_bytes_fail);
    tcase_add_loop_test(t, test_host_names, 0, (int)ARRAY_LEN(hosts));
    tcase_add_loop_test(t, test_unknown_authority, 0, 2);
    tcase_add_loop_test(t, test_client_certificates, 0, 3);
    tcase_add_loop_test(t, test_alpn, 0, 3);
    tcase_add_loop_test(t, test_garbage, 0, 20);
    tcase_add_test(t, test_budget_refuses);
    tcase_add_test(t, test_unusable_files);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
