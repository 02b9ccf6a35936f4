/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and listeners over real sockets: there and back, much more than a socket holds, ends
 * of every kind, addresses in use, running out of descriptors. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/conn.h"
#include "platform/buf.h"
#include "platform/clock.h"
#include "platform/mem.h"

static struct loop *loop;
static struct listener *listener;
static char bound[64];

/* One end of a connection. */
struct end {
    struct conn *conn;
    struct buf got;
    size_t want; /* stop the loop at this many bytes */
    bool echo, connected, eof, flushed, closed, stop_at_close;
    bool keep_after_eof;
    char reason[96];
    unsigned n_done, n_failed;
};
static struct end server, client;
static unsigned n_accepted;

static void on_read(void *ctx, const uint8_t *p, size_t n);
static void on_eof(void *ctx);
static void on_flushed(void *ctx);
static void on_closed(void *ctx, const char *reason);
static const struct conn_ops ops = {on_read, on_eof, on_flushed, on_closed};

static void done(void *ctx, bool ok)
{
    struct end *e = ctx;
    e->n_done++;
    e->n_failed += !ok;
}

struct copy {
    struct end *e;
    uint8_t *p;
};

static void copy_done(void *ctx, bool ok)
{
    struct copy *c = ctx;
    done(c->e, ok);
    free(c->p);
    free(c);
}

static void write_copy(struct end *e, const uint8_t *p, size_t n)
{
    struct copy *c = mem_alloc(sizeof *c);
    *c = (struct copy){e, malloc(n)};
    memcpy(c->p, p, n);
    struct iovec iov[2] = {{c->p, n / 2}, {c->p + n / 2, n - n / 2}};
    conn_write(e->conn, iov, 2, copy_done, c);
}

static void on_read(void *ctx, const uint8_t *p, size_t n)
{
    struct end *e = ctx;
    ck_assert_uint_le(n, 65536);
    if (e->echo)
        write_copy(e, p, n);
    buf_put(&e->got, p, n);
    if (e->want && e->got.len >= e->want)
        loop_stop(loop);
}

static void on_eof(void *ctx)
{
    struct end *e = ctx;
    e->eof = true;
    if (!e->keep_after_eof)
        conn_close(e->conn, "");
    else
        loop_stop(loop);
}

static void on_flushed(void *ctx)
{
    ((struct end *)ctx)->flushed = true;
}

static void on_closed(void *ctx, const char *reason)
{
    struct end *e = ctx;
    ck_assert(!e->closed);
    e->closed = true;
    e->conn = NULL;
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    if (e->stop_at_close)
        loop_stop(loop);
}

static void on_accept(void *ctx, struct conn *c)
{
    (void)ctx;
    n_accepted++;
    if (server.conn) {
        conn_close(c, "one is enough");
        return;
    }
    server.conn = c;
    conn_set_ops(c, &ops, &server);
    conn_read_start(c);
}

static void on_connected(void *ctx)
{
    struct end *e = ctx;
    e->connected = true;
    conn_read_start(e->conn);
    loop_stop(loop);
}

static void setup(void)
{
    loop = loop_new("test");
    server = client = (struct end){0};
    n_accepted = 0;
}

static void teardown(void)
{
    listener_free(&listener);
    if (client.conn)
        conn_close(client.conn, "");
    if (server.conn)
        conn_close(server.conn, "");
    ck_assert_uint_eq(loop_free(&loop), 0);
    buf_free(&server.got);
    buf_free(&client.got);
}

static void listen_tcp(void)
{
    struct err err = {0};
    listener = listener_new(loop, "127.0.0.1:0", false, false, bound, on_accept, NULL, &err);
    ck_assert_msg(listener != NULL, "%s", err.text);
    ck_assert_int_eq(strncmp(bound, "127.0.0.1:", 10), 0);
}

static struct sockaddr_in address(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(strrchr(bound, ':') + 1))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void dial(void)
{
    struct sockaddr_in a = address();
    client.conn = conn_dial(loop, (struct sockaddr *)&a, 5000, NULL, &ops, on_connected, &client);
    loop_run(loop);
    ck_assert(client.connected);
}

START_TEST(echo_of_much)
{
    size_t n = 20 << 20; /* far more than socket buffers hold */
    uint8_t *data = malloc(n);
    listen_tcp();
    dial();
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 13));
    server.echo = true;
    client.want = n;
    write_copy(&client, data, n);
    ck_assert_uint_gt(conn_unsent_bytes(client.conn), 0);
    loop_run(loop);
    ck_assert_uint_eq(client.got.len, n);
    ck_assert(memcmp(client.got.p, data, n) == 0);
    ck_assert_uint_eq(client.n_done, 1);
    ck_assert_uint_eq(client.n_failed, 0);
    ck_assert(client.flushed);
    ck_assert_uint_eq(conn_unsent_bytes(client.conn), 0);
    free(data);
}
END_TEST

START_TEST(names_of_peers)
{
    listen_tcp();
    dial();
    ck_assert_str_eq(conn_peer(client.conn), bound);
    ck_assert_str_eq(conn_peer_ip(client.conn), "127.0.0.1");
}
END_TEST

START_TEST(half_close)
{
    listen_tcp();
    dial();
    server.keep_after_eof = true;
    client.stop_at_close = true;
    write_copy(&client, (const uint8_t *)"question", 8);
    conn_shutdown(client.conn);
    while (!server.eof)
        loop_run(loop);
    ck_assert_uint_eq(server.got.len, 8);
    write_copy(&server, (const uint8_t *)"answer", 6);
    conn_shutdown(server.conn);
    while (!client.closed)
        loop_run(loop);
    ck_assert_uint_eq(client.got.len, 6);
    ck_assert(client.eof);
    ck_assert_str_eq(client.reason, "");
}
END_TEST

START_TEST(close_fails_what_is_unsent)
{
    size_t n = 20 << 20;
    uint8_t *data = calloc(1, n);
    listen_tcp();
    dial();
    write_copy(&client, data, n);
    write_copy(&client, data, 10);
    client.stop_at_close = true;
    conn_close(client.conn, "enough");
    conn_close(client.conn, "twice");
    write_copy(&client, data, 10);
    ck_assert_uint_eq(client.n_failed, 1); /* the one after the close, at once */
    while (!client.closed)
        loop_run(loop);
    ck_assert_uint_eq(client.n_done, 3);
    ck_assert_uint_eq(client.n_failed, 3);
    ck_assert_str_eq(client.reason, "enough");
    free(data);
}
END_TEST

START_TEST(reset_by_peer)
{
    struct linger hard = {1, 0};
    listen_tcp();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = address();
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    server.stop_at_close = true;
    ck_assert_int_eq((int)write(fd, "x", 1), 1);
    server.want = 1;
    loop_run(loop);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    while (!server.closed)
        loop_run(loop);
    ck_assert_str_eq(server.reason, "connection reset by peer");
}
END_TEST

START_TEST(refused)
{
    listen_tcp();
    struct sockaddr_in a = address();
    listener_free(&listener);
    client.stop_at_close = true;
    client.conn = conn_dial(loop, (struct sockaddr *)&a, 5000, NULL, &ops, on_connected, &client);
    loop_run(loop);
    ck_assert(client.closed && !client.connected);
    ck_assert_str_eq(client.reason, "connection refused");
}
END_TEST

START_TEST(addresses_in_use)
{
    char second[64], want[160];
    struct err err = {0};
    listen_tcp();
    ck_assert_ptr_null(listener_new(loop, bound, false, false, second, on_accept, NULL, &err));
    snprintf(want, sizeof want, "listen tcp %s: bind: address already in use", bound);
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(listener_probe(bound, NULL, &err), -1);
    ck_assert_str_eq(err.text, want);
    listener_free(&listener);
    ck_assert_int_eq(listener_probe(bound, NULL, &err), 0);
}
END_TEST

START_TEST(reuse_port_shares_and_the_probe_sees_it)
{
    char first[64], second[64];
    struct err err = {0};
    listener = listener_new(loop, "127.0.0.1:0", false, true, first, on_accept, NULL, &err);
    struct listener *other = listener_new(loop, first, false, true, second, on_accept, NULL, &err);
    ck_assert(listener && other);
    ck_assert_str_eq(first, second);
    ck_assert_int_eq(listener_probe(first, NULL, &err), -1);
    listener_free(&other);
}
END_TEST

static const struct {
    const char *endpoint, *error;
} wrong[] = {
    {"127.0.0.1", "listen tcp address 127.0.0.1: missing port in address"},
    {"::1:5", "listen tcp address ::1:5: too many colons in address"},
    {"127.0.0.1:http", "listen tcp address 127.0.0.1:http: invalid port"},
    {"no.such.host.invalid:1", "listen tcp lookup no.such.host.invalid: "},
    {"192.0.2.1:0", "listen tcp 192.0.2.1:0: bind: cannot assign requested address"},
};

START_TEST(wrong_endpoints)
{
    struct err err = {0};
    ck_assert_ptr_null(
        listener_new(loop, wrong[_i].endpoint, false, false, bound, on_accept, NULL, &err));
    ck_assert_msg(strncmp(err.text, wrong[_i].error, strlen(wrong[_i].error)) == 0, "%s", err.text);
}
END_TEST

START_TEST(every_interface)
{
    struct err err = {0};
    listener = listener_new(loop, ":0", false, false, bound, on_accept, NULL, &err);
    ck_assert_msg(listener != NULL, "%s", err.text);
    dial(); /* over IPv4 */
    ck_assert_str_eq(conn_peer_ip(server.conn), "127.0.0.1");
}
END_TEST

START_TEST(unix_sockets)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct err err = {0};
    snprintf(un.sun_path, sizeof un.sun_path, "/tmp/test_conn.%d.sock", (int)getpid());
    listener = listener_new(loop, un.sun_path, true, false, bound, on_accept, NULL, &err);
    ck_assert_msg(listener != NULL, "%s", err.text);
    server.echo = true;
    client.want = 5;
    client.conn = conn_dial(loop, (struct sockaddr *)&un, 5000, NULL, &ops, on_connected, &client);
    loop_run(loop);
    write_copy(&client, (const uint8_t *)"hello", 5);
    loop_run(loop);
    ck_assert_uint_eq(client.got.len, 5);
    ck_assert_str_eq(conn_peer_ip(server.conn), "");
    ck_assert_ptr_null(listener_new(loop, un.sun_path, true, false, bound, on_accept, NULL, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "bind: address already in use"));
    listener_free(&listener);
    ck_assert_int_eq(access(un.sun_path, F_OK), -1);
    /* A file left by a process that died is no obstacle. */
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
    listener = listener_new(loop, un.sun_path, true, false, bound, on_accept, NULL, &err);
    ck_assert_msg(listener != NULL, "%s", err.text);
}
END_TEST

static void stop_loop(void *ctx)
{
    (void)ctx;
    loop_stop(loop);
}

static void stop_when_accepted(void *ctx)
{
    (void)ctx;
    if (n_accepted > 0)
        loop_stop(loop);
}

START_TEST(out_of_descriptors_waits)
{
    struct rlimit old;
    int hoard[4096];
    size_t n = 0;
    listen_tcp();
    getrlimit(RLIMIT_NOFILE, &old);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit low = {256, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    while (n < ARRAY_LEN(hoard) && (hoard[n] = open("/dev/null", O_RDONLY)) >= 0)
        n++;
    struct sockaddr_in a = address();
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    uint64_t cpu = clock_cpu_ns();
    struct timer *t = timer_new(loop, __func__, stop_loop, NULL);
    timer_start(t, 350, 0);
    loop_run(loop);
    ck_assert_uint_eq(n_accepted, 0);
    ck_assert_uint_lt(clock_cpu_ns() - cpu, 200 * NS_PER_MS); /* it waits, it does not spin */
    timer_free(&t);
    while (n > 0)
        close(hoard[--n]);
    t = timer_new(loop, __func__, stop_when_accepted, NULL);
    timer_start(t, 10, 10);
    loop_run(loop);
    ck_assert_uint_eq(n_accepted, 1);
    timer_free(&t);
    close(fd);
}
END_TEST

START_TEST(pausing)
{
    listen_tcp();
    listener_pause(listener, true);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = address();
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    struct timer *t = timer_new(loop, __func__, stop_loop, NULL);
    timer_start(t, 50, 0);
    loop_run(loop);
    ck_assert_uint_eq(n_accepted, 0);
    listener_pause(listener, false);
    timer_free(&t);
    t = timer_new(loop, __func__, stop_when_accepted, NULL);
    timer_start(t, 5, 5);
    loop_run(loop);
    ck_assert_uint_eq(n_accepted, 1);
    timer_free(&t);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conn");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, echo_of_much);
    tcase_add_test(t, names_of_peers);
    tcase_add_test(t, half_close);
    tcase_add_test(t, close_fails_what_is_unsent);
    tcase_add_test(t, reset_by_peer);
    tcase_add_test(t, refused);
    tcase_add_test(t, addresses_in_use);
    tcase_add_test(t, reuse_port_shares_and_the_probe_sees_it);
    tcase_add_loop_test(t, wrong_endpoints, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(t, every_interface);
    tcase_add_test(t, unix_sockets);
    tcase_add_test(t, out_of_descriptors_waits);
    tcase_add_test(t, pausing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
