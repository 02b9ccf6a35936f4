/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets of the process: made, taken over, inherited, handed on. net/listener.c accepts on
 * them. Any thread.
 */
#ifndef TAILRACE_NET_LISTEN_SOCKET_H
#define TAILRACE_NET_LISTEN_SOCKET_H

#include "net/conn.h"

/* A listening descriptor for the endpoint (see listener_new()), the caller's until listen_socket_close(). What is
 * taken over: a socket from outside that nobody uses yet, or that of an owner with the same name. */
int listen_socket_open(const char *endpoint, bool is_unix, bool reuse_port, const struct listen_owner *owner,
                       struct err *err) MUST_USE;
/* shared: something else still listens on that address (a Unix socket's file has to stay). */
void listen_socket_close(int fd, bool *shared);
/* Is it the last descriptor here of that socket or address? */
bool listen_socket_is_shared(int fd);

/* Descriptors first .. first + n - 1 came from outside. Those that are no listening stream sockets are
 * closed. Returns how many can be listened on. */
size_t listen_sockets_inherit(int first, size_t n);
/* Closes those that nobody has asked for; told() hears of each: "127.0.0.1:4317". */
void listen_sockets_close_idle(void (*told)(void *ctx, const char *address), void *ctx);
/* Duplicates of all that are listened on, one of each socket of this process, without close-on-exec, for a successor.
 * Returns how many, at most max. */
size_t listen_sockets_dup(int *fds, size_t max);
/* Another process listens on them too from now on (or does not any more): their files stay, and what waits is its. */
void listen_sockets_have_successor(bool yes);
bool listen_sockets_handed_on(void);

#endif
