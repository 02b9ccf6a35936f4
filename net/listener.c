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
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "net/conn_priv.h"
#include "net/listen_socket.h"
#include "platform/mem.h"

#define BACKLOG          1024 /* no more than that wait for accept4() */
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

/* Returns when nobody waits any more, or after n of them. */
static void accept_some(struct listener *l, int n)
{
    for (int i = 0; i < n && !l->paused_by_owner && l->fd >= 0; i++) {
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

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    accept_some(poll->data, ACCEPTS_PER_TURN);
}

void listener_accept_waiting(struct listener *l)
{
    if (!listen_socket_is_shared(l->fd))
        accept_some(l, BACKLOG);
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

struct listener *listener_new_for(const struct listen_owner *owner, struct loop *l, const char *endpoint, bool is_unix,
                                  bool reuse_port, char bound[static 64], void (*on_accept)(void *ctx, struct conn *c),
                                  void *ctx, struct err *err)
{
    int fd = listen_socket_open(endpoint, is_unix, reuse_port, owner, err);

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

struct listener *listener_new(struct loop *l, const char *endpoint, bool is_unix, bool reuse_port,
                              char bound[static 64], void (*on_accept)(void *ctx, struct conn *c),
                              void *ctx, struct err *err)
{
    static const struct listen_owner anybody = {.instance = "", .name = NULL};

    return listener_new_for(&anybody, l, endpoint, is_unix, reuse_port, bound, on_accept, ctx, err);
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
    bool shared;

    uv_poll_stop(&li->poll);
    listen_socket_close(li->fd, &shared);
    li->fd = -1;
    if (li->unix_path && !shared)
        unlink(li->unix_path);
    free(li->unix_path);
    timer_free(&li->resume);
    uv_close((uv_handle_t *)&li->poll, on_poll_closed);
}
