/* SPDX-License-Identifier: Apache-2.0 */
/* Between listener.c, which accepts, and conn.c, which makes connections of what was accepted. */
#ifndef TAILRACE_NET_CONN_PRIV_H
#define TAILRACE_NET_CONN_PRIV_H

#include <sys/socket.h>

#include "net/conn.h"

/* Takes fd (a connected, non-blocking stream socket; closed on failure). NULL: libuv said no. */
struct conn *conn_adopt(struct loop *l, int fd, const struct sockaddr_storage *peer) MUST_USE;

/* "address already in use": the system's words for errno, in lower case. buf: 96 bytes. */
const char *conn_errno_text(int err, char buf[static 96]);

/* A peer that went away is an error of write(2), not the end of the process. */
void conn_ignore_sigpipe(void);

/* "127.0.0.1:4317", "[::1]:4317" or "" into dst (64 bytes); without_port: "127.0.0.1", "::1". */
void conn_format_address(const struct sockaddr *sa, bool without_port, char dst[static 64]);

#endif
