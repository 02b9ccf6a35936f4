/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 backend that answers every request with the bytes it was given, however wrong, on the
 * test's own loop and a port of its own.
 */
#ifndef TAILRACE_TESTS_FAKE_HTTP_H
#define TAILRACE_TESTS_FAKE_HTTP_H

#include "net/conn.h"
#include "platform/buf.h"
#include "platform/list.h"
#include "platform/loop.h"

struct fake_http {
    struct loop *loop;
    struct listener *listener;
    char endpoint[64];
    struct list conns;

    struct slice answer;  /* raw; empty: none */
    bool close_after;     /* the answer, or the request when there is no answer */
    bool early;           /* at the end of the header fields; what follows is not read */
    bool drip;            /* the answer byte by byte, a turn apart */
    bool close_at_once;   /* connections, before anything is read */
    unsigned close_idle_after; /* closes a connection after this many answers, without a word; 0: never */
    bool deaf;            /* reads nothing at all */

    unsigned n_conns, n_open_conns, n_requests;
    struct buf last_head; /* NUL-terminated */
    struct buf last_body;
};

struct fake_http *fake_http_new(struct loop *l);
void fake_http_drop_all(struct fake_http *f);
void fake_http_free(struct fake_http **f); /* all connections must be gone */

#endif
