/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets. We accept ourselves (uv_poll + accept4) instead of through uv_listen: then
 * running out of file descriptors means pausing for a moment, with the clients waiting in the
 * kernel's backlog, where libuv would accept and cut them or spin.
 *
 * Several workers listen on one port with SO_REUSEPORT; the kernel spreads connections. Because
 * SO_REUSEPORT also lets a second daemon of the same user in silently, the first worker asks
 * listener_probe() whether the address is free.
 *
 * Limits:  ACCEPTS_PER_TURN connections per turn of the loop, so a storm of them does not starve
 *          the ones already open.
 * Threads: a listener belongs to its loop's thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "net/conn_priv.h"
#include "platform/mem.h"

#define BACKLOG          1024
#define ACCEPTS_PER_TURN 64
#define EMFILE_PAUSE_MS  100

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    struct timer *resume; /* runs while we are out of file descriptors */
    int fd;
    bool paused_by_owner, paused_by_limit;
    char *unix_path; /* removed at the end; NULL: TCP */
    void (*on_accept)(void *ctx, struct conn *c);
    void *ctx;
};

/* ---- addresses ---- */

/* Splits "host:port"; brackets around IPv6 hosts are taken off. */
static int split_endpoint(const char *endpoint, char host[static 256], char port[static 16],
                          struct err *err)
{
    const char *colon = strrchr(endpoint, ':');
    size_t n = colon ? (size_t)(colon - endpoint) : 0;

    if (!colon)
        return err_set(err, "address %s: missing port in address", endpoint);
    if (endpoint[0] == '[' && n >= 2 && endpoint[n - 1] == ']') {
        endpoint++;
        n -= 2;
    } else if (memchr(endpoint, ':', n)) {
        return err_set(err, "address %s: too many colons in address", endpoint);
    }
    if (n >= 256 || strlen(colon + 1) >= 16)
        return err_set(err, "address %s: too long", endpoint);
    memcpy(host, endpoint, n);
    host[n] = '\0';
    snprintf(port, 16, "%s", colon[1] ? colon + 1 : "0");
    if (strspn(port, "0123456789") != strlen(port) || strtol(port, NULL, 10) > 65535)
        return err_set(err, "address %s: invalid port", endpoint);
    return 0;
}

/* The first address of the host, IPv4 before IPv6, as Go picks it. */
static int resolve_tcp(const char *host, const char *port, struct sockaddr_storage *out,
                       socklen_t *len, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    struct addrinfo *pick = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);

    if (rc != 0)
        return err_set(err, "lookup %s: %s", host,
                       rc == EAI_NONAME ? "no such host" : gai_strerror(rc));
    for (struct addrinfo *a = found; a && !pick; a = a->ai_next)
        if (a->ai_family == AF_INET)
            pick = a;
    if (!pick)
        pick = found;
    CHECK(pick);
    memcpy(out, pick->ai_addr, pick->ai_addrlen);
    *len = pick->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* ":4317" means every address, IPv6 and IPv4 on one socket where the system has IPv6. */
static int any_address(const char *port, struct sockaddr_storage *out, socklen_t *len,
                       struct err *err)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return resolve_tcp("0.0.0.0", port, out, len, err);
    close(fd);
    return resolve_tcp("::", port, out, len, err);
}

static int parse_tcp(const char *endpoint, struct sockaddr_storage *out, socklen_t *len,
                     struct err *err)
{
    char host[256] = "", port[16] = "";

    if (split_endpoint(endpoint, host, port, err) != 0)
        return -1;
    return host[0] ? resolve_tcp(host, port, out, len, err) : any_address(port, out, len, err);
}

static int parse_unix(const char *path, struct sockaddr_storage *out, socklen_t *len,
                      struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof un.sun_path)
        return err_set(err, "path longer than %zu bytes", sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(out, &un, sizeof un);
    *len = sizeof un;
    return 0;
}

/* A socket file that nobody listens on any more is in the way of a restart. */
static void remove_stale_socket(const struct sockaddr_storage *addr, socklen_t len)
{
    const struct sockaddr_un *un = (const void *)addr;
    struct stat st;

    if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)addr, len) != 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
}

/* ---- the socket ---- */

static int open_socket(const struct sockaddr_storage *addr, socklen_t len, bool reuse_port,
                       struct err *err)
{
    char text[96];
    int one = 1, zero = 0;
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_set(err, "socket: %s", conn_errno_text(errno, text));
    if (addr->ss_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (reuse_port)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    }
    if (addr->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, (const struct sockaddr *)addr, len) != 0) {
        err_set(err, "bind: %s", conn_errno_text(errno, text));
        close(fd);
        return -1;
    }
    if (listen(fd, BACKLOG) != 0) {
        err_set(err, "listen: %s", conn_errno_text(errno, text));
        close(fd);
        return -1;
    }
    return fd;
}

/* Address to socket; the error names the endpoint. */
static int open_endpoint(const char *endpoint, bool is_unix, bool reuse_port, struct err *err)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = 0;
    int fd = -1;

    int rc =
        is_unix ? parse_unix(endpoint, &addr, &len, err) : parse_tcp(endpoint, &addr, &len, err);
    if (rc == 0 && is_unix)
        remove_stale_socket(&addr, len);
    if (rc == 0)
        fd = open_socket(&addr, len, reuse_port, err);
    if (fd < 0) {
        char shown[64] = "";
        if (rc == 0 && !is_unix)
            conn_format_address((struct sockaddr *)&addr, false, shown);
        if (rc == 0)
            err_wrap(err, "%s", shown[0] ? shown : endpoint);
        /* "listen tcp 127.0.0.1:4317: bind: address already in use" */
        char cause[sizeof err->text];
        if (err) {
            snprintf(cause, sizeof cause, "%s", err->text);
            err_set(err, "listen %s %.900s", is_unix ? "unix" : "tcp", cause);
        }
    }
    return fd;
}

int listener_probe(const char *endpoint, struct err *err)
{
    int fd = open_endpoint(endpoint, false, false, err);

    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

/* ---- accepting ---- */

static void on_readable(uv_poll_t *poll, int status, int events);

static void update_poll(struct listener *l)
{
    if (l->paused_by_owner || l->paused_by_limit)
        uv_poll_stop(&l->poll);
    else
        uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void on_resume(void *ctx)
{
    struct listener *l = ctx;

    l->paused_by_limit = false;
    update_poll(l);
}

static void out_of_descriptors(struct listener *l)
{
    l->paused_by_limit = true;
    update_poll(l);
    timer_start(l->resume, EMFILE_PAUSE_MS, 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct listener *l = poll->data;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && !l->paused_by_owner && l->fd >= 0; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            out_of_descriptors(l);
            return;
        }
        if (fd < 0 && errno != ECONNABORTED && errno != EINTR)
            return;
        if (fd < 0)
            continue;
        if (l->unix_path)
            peer.ss_family = AF_UNIX;
        struct conn *c = conn_adopt(l->loop, fd, &peer);
        if (c)
            l->on_accept(l->ctx, c);
    }
}

void listener_pause(struct listener *l, bool paused)
{
    l->paused_by_owner = paused;
    update_poll(l);
}

/* ---- making and ending ---- */

static void bound_name(int fd, const char *endpoint, bool is_unix, char bound[static 64])
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof addr;

    if (is_unix || getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        snprintf(bound, 64, "%s", endpoint);
    else
        conn_format_address((struct sockaddr *)&addr, false, bound);
}

struct listener *listener_new(struct loop *l, const char *endpoint, bool is_unix, bool reuse_port,
                              char bound[static 64], void (*on_accept)(void *ctx, struct conn *c),
                              void *ctx, struct err *err)
{
    int fd = open_endpoint(endpoint, is_unix, reuse_port, err);

    if (fd < 0)
        return NULL;
    conn_ignore_sigpipe();
    struct listener *li = mem_alloc(sizeof *li);
    *li = (struct listener){.loop = l, .fd = fd, .on_accept = on_accept, .ctx = ctx};
    li->unix_path = is_unix ? mem_dup(endpoint) : NULL;
    bound_name(fd, endpoint, is_unix, bound);
    li->resume = timer_new(l, __func__, on_resume, li);
    CHECK(uv_poll_init(loop_uv(l), &li->poll, fd) == 0);
    li->poll.data = li;
    update_poll(li);
    return li;
}

static void on_poll_closed(uv_handle_t *h)
{
    free(h->data);
}

void listener_free(struct listener **l)
{
    struct listener *li = *l;

    *l = NULL;
    if (!li)
        return;
    uv_poll_stop(&li->poll);
    close(li->fd);
    li->fd = -1;
    if (li->unix_path)
        unlink(li->unix_path);
    free(li->unix_path);
    timer_free(&li->resume);
    uv_close((uv_handle_t *)&li->poll, on_poll_closed);
}
