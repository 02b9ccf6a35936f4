/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets that change hands: within the process, from outside, to a successor. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/listen_socket.h"
#include "platform/check.h"

static const char one[1], two[1], three[1];
#define OWNER(instance_, name_) (&(struct listen_owner){.instance = (instance_), .name = (name_)})

static ino_t inode(int fd)
{
    struct stat st;

    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_ino;
}

static const char *name_of(int fd)
{
    static char text[64];
    struct sockaddr_in a;
    socklen_t n = sizeof a;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(a.sin_port));
    return text;
}

static int open_as(const struct listen_owner *owner, const char *endpoint, bool reuse_port)
{
    struct err err = {0};
    int fd = listen_socket_open(endpoint, false, reuse_port, owner, &err);

    ck_assert_msg(fd >= 0, "%s", err.text);
    return fd;
}

/* Opened before by somebody else: a plain socket of the system. */
static int outside(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static bool shut(int fd)
{
    bool shared;

    listen_socket_close(fd, &shared);
    return shared;
}

START_TEST(a_successor_takes_over)
{
    struct err err = {0};
    char at[64];
    int old = open_as(OWNER(one, "grpc otlp"), "127.0.0.1:0", true);
    snprintf(at, sizeof at, "%s", name_of(old));
    ck_assert_int_eq(listener_probe(at, NULL, &err), -1);
    ck_assert_int_eq(listener_probe(at, OWNER(two, "http otlp"), &err), -1);
    ck_assert_int_eq(listener_probe(at, OWNER(two, "grpc otlp"), &err), 0);
    int fresh = open_as(OWNER(two, "grpc otlp"), at, true);
    ck_assert_int_ne(fresh, old);
    ck_assert_uint_eq(inode(fresh), inode(old));
    ck_assert(listen_socket_is_shared(old) && listen_socket_is_shared(fresh));
    ck_assert(shut(old));
    ck_assert(!listen_socket_is_shared(fresh));
    /* and again, from one that took over itself */
    int third = open_as(OWNER(three, "grpc otlp"), at, true);
    ck_assert_uint_eq(inode(third), inode(fresh));
    ck_assert(shut(fresh));
    ck_assert(!shut(third));
}
END_TEST

START_TEST(another_name_does_not)
{
    struct err err = {0};
    char at[64];
    int old = open_as(OWNER(one, "grpc otlp"), "127.0.0.1:0", false);
    snprintf(at, sizeof at, "%s", name_of(old));
    ck_assert_int_eq(listen_socket_open(at, false, false, OWNER(two, "grpc otlp/b"), &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "address already in use"));
    ck_assert_int_eq(listen_socket_open(at, false, false, OWNER(two, NULL), &err), -1);
    ck_assert(!shut(old));
}
END_TEST

START_TEST(each_worker_takes_one)
{
    char at[64];
    int a = open_as(OWNER(one, "x"), "127.0.0.1:0", true);
    snprintf(at, sizeof at, "%s", name_of(a));
    int b = open_as(OWNER(one, "x"), at, true); /* its own second one is not taken over */
    ck_assert_uint_ne(inode(a), inode(b));
    int c = open_as(OWNER(two, "x"), at, true), d = open_as(OWNER(two, "x"), at, true);
    ck_assert_uint_ne(inode(c), inode(d));
    ck_assert(inode(c) == inode(a) || inode(c) == inode(b));
    ck_assert(inode(d) == inode(a) || inode(d) == inode(b));
    int e = open_as(OWNER(two, "x"), at, true); /* more workers than before */
    ck_assert(inode(e) != inode(a) && inode(e) != inode(b));
    /* the reload was refused: what they held can be taken again */
    shut(c);
    shut(d);
    shut(e);
    c = open_as(OWNER(three, "x"), at, true);
    d = open_as(OWNER(three, "x"), at, true);
    ck_assert_uint_ne(inode(c), inode(d));
    ck_assert(inode(c) == inode(a) || inode(c) == inode(b));
    int fds[] = {a, b, c, d};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        shut(fds[i]);
}
END_TEST

static unsigned n_idle;
static char idle[64];
static void on_idle(void *ctx, const char *address)
{
    (void)ctx;
    n_idle++;
    snprintf(idle, sizeof idle, "%s", address);
}

START_TEST(sockets_from_outside)
{
    struct err err = {0};
    char at[64], other[64];
    int used = outside(), unused = outside();
    ck_assert_int_eq(unused, used + 1);
    int plain = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(plain, unused + 1);
    snprintf(at, sizeof at, "%s", name_of(used));
    snprintf(other, sizeof other, "%s", name_of(unused));
    ino_t given = inode(used);
    ck_assert_uint_eq(listen_sockets_inherit(used, 3), 2);
    ck_assert_int_eq(fcntl(plain, F_GETFD), -1);
    ck_assert_int_ne(fcntl(used, F_GETFD) & FD_CLOEXEC, 0);
    ck_assert_int_ne(fcntl(used, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(listener_probe(at, NULL, &err), 0);
    int a = open_as(OWNER(one, "x"), at, true), b = open_as(OWNER(one, "x"), at, true);
    ck_assert_uint_eq(inode(a), given); /* one socket for all workers */
    ck_assert_uint_eq(inode(b), given);
    listen_sockets_close_idle(on_idle, NULL);
    ck_assert_uint_eq(n_idle, 1);
    ck_assert_str_eq(idle, other);
    ck_assert_int_eq(fcntl(unused, F_GETFD), -1);
    ck_assert(shut(a));
    ck_assert(shut(b)); /* a socket file from outside is not ours to remove */
}
END_TEST

START_TEST(for_a_successor)
{
    char at[64];
    int fds[8];
    int a = open_as(OWNER(one, "x"), "127.0.0.1:0", true);
    snprintf(at, sizeof at, "%s", name_of(a));
    int b = open_as(OWNER(one, "x"), at, true), c = open_as(OWNER(two, "x"), at, true);
    ck_assert_uint_eq(listen_sockets_dup(fds, ARRAY_LEN(fds)), 2); /* c is a's or b's */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, 0);
        ck_assert(inode(fds[i]) == inode(a) || inode(fds[i]) == inode(b));
        close(fds[i]);
    }
    ck_assert_uint_eq(listen_sockets_dup(fds, 1), 1);
    close(fds[0]);
    shut(a);
    shut(b);
    shut(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("listen_socket");
    TCase *t = tcase_create("all");
    tcase_add_test(t, a_successor_takes_over);
    tcase_add_test(t, another_name_does_not);
    tcase_add_test(t, each_worker_takes_one);
    tcase_add_test(t, sockets_from_outside);
    tcase_add_test(t, for_a_successor);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
