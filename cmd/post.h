/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small blocking HTTP/1.1 client for the commands that talk to a daemon from outside (generate,
 * demo). One keep-alive connection; whole bodies with Content-Length or chunked; time limits on everything.
 */
#ifndef TAILRACE_CMD_POST_H
#define TAILRACE_CMD_POST_H

#include "platform/buf.h"
#include "platform/err.h"

struct post;
struct post *post_new(const char *host_port, struct err *err) MUST_USE; /* "[::1]:4318" as well; does not connect yet */
void post_free(struct post **p);

/* One exchange; connects (again) when needed. The status, its body in *answer (may be NULL); -1 with
 * err when there was no answer. body.p NULL: GET. */
int post_exchange(struct post *p, const char *path, const char *content_type, struct slice body, struct buf *answer,
                  struct err *err) MUST_USE;

#endif
