/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking on purpose: these commands do one thing after the other. The answer is read by a few lines
 * of our own instead of llhttp's callbacks, as the peer is a daemon of ours or an OTLP backend and what
 * it says is only printed; anything odd is an error.
 *
 * Limits: answers of ANSWER_MAX_BYTES; WAIT_SECONDS for any read or write.
 */
#include "cmd/post.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/mem.h"

enum { ANSWER_MAX_BYTES = 16 << 20, WAIT_SECONDS = 10 };

struct post {
    char *host, *port;
    int fd; /* -1: none */
    struct buf in;
};

struct post *post_new(const char *host_port, struct err *err)
{
    const char *colon = strrchr(host_port, ':');
    struct post *p;

    if (!colon || colon == host_port || !colon[1]) {
        err_set(err, "\"%s\" is not HOST:PORT", host_port);
        return NULL;
    }
    p = (struct post *)mem_alloc(sizeof(*p));
    p->fd = -1;
    p->port = mem_dup(colon + 1);
    if (*host_port == '[' && colon[-1] == ']')
        p->host = mem_dup_n(host_port + 1, (size_t)(colon - host_port) - 2);
    else
        p->host = mem_dup_n(host_port, (size_t)(colon - host_port));
    p->in.max = ANSWER_MAX_BYTES;
    return p;
}

static void hang_up(struct post *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

void post_free(struct post **p)
{
    if (!*p)
        return;
    hang_up(*p);
    free((*p)->host);
    free((*p)->port);
    buf_free(&(*p)->in);
    free(*p);
    *p = NULL;
}

static int connect_one(const struct addrinfo *a)
{
    struct timeval wait = {.tv_sec = WAIT_SECONDS};
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol), on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return fd;
    on = errno;
    close(fd);
    errno = on;
    return -1;
}

static int dial(struct post *p, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
    int rc = getaddrinfo(p->host, p->port, &hints, &all);

    if (rc)
        return err_set(err, "%s:%s: %s", p->host, p->port, gai_strerror(rc));
    for (struct addrinfo *a = all; a && p->fd < 0; a = a->ai_next)
        p->fd = connect_one(a);
    freeaddrinfo(all);
    return p->fd < 0 ? err_set(err, "connect %s:%s: %s", p->host, p->port, strerror(errno)) : 0;
}

static int send_all(struct post *p, struct slice head, struct slice body, struct err *err)
{
    size_t done = 0, all = head.len + body.len;

    while (done < all) {
        struct slice part = done < head.len ? slice_of(head.p + done, head.len - done)
                                            : slice_of(body.p + (done - head.len), all - done);
        ssize_t n = send(p->fd, part.p, part.len, MSG_NOSIGNAL | (done < head.len && body.len ? MSG_MORE : 0));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, "send: %s", strerror(errno));
        done += (size_t)n;
    }
    return 0;
}

/* More bytes into p->in. 1, 0 at the end of the stream, -1. */
static int receive(struct post *p, struct err *err)
{
    ssize_t n;

    if (buf_reserve(&p->in, 16384))
        return err_set(err, "the answer is too large");
    do
        n = recv(p->fd, p->in.p + p->in.len, 16384, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, "receive: %s", errno == EAGAIN ? "no answer in time" : strerror(errno));
    p->in.len += (size_t)n;
    return n > 0;
}

/* Receives until `text` stands in p->in at or behind `from`; where it ends, or -1. */
static ssize_t receive_until(struct post *p, size_t from, const char *text, struct err *err)
{
    for (;;) {
        const uint8_t *at = p->in.len > from ? (const uint8_t *)memmem(p->in.p + from, p->in.len - from, text, strlen(text)) : NULL;
        int rc;

        if (at)
            return at - p->in.p + (ssize_t)strlen(text);
        rc = receive(p, err);
        if (rc <= 0)
            return rc ? -1 : err_set(err, "the connection was closed before the answer was complete");
    }
}

static int receive_len(struct post *p, size_t len, struct err *err)
{
    while (p->in.len < len) {
        int rc = receive(p, err);

        if (rc <= 0)
            return rc ? -1 : err_set(err, "the connection was closed before the answer was complete");
    }
    return 0;
}

static int add_answer(struct post *p, size_t at, size_t len, struct buf *answer, struct err *err)
{
    if (len > ANSWER_MAX_BYTES || receive_len(p, at + len, err))
        return len > ANSWER_MAX_BYTES ? err_set(err, "the answer is too large") : -1;
    return answer && buf_add(answer, p->in.p + at, len) ? err_set(err, "the answer is too large") : 0;
}

static int read_chunks(struct post *p, size_t at, struct buf *answer, struct err *err)
{
    for (;;) {
        ssize_t line = receive_until(p, at, "\r\n", err);
        unsigned long len;

        if (line < 0)
            return -1;
        len = strtoul((const char *)p->in.p + at, NULL, 16);
        if (add_answer(p, (size_t)line, len, answer, err) || receive_len(p, (size_t)line + len + 2, err))
            return -1;
        at = (size_t)line + len + 2;
        if (!len)
            return 0;
    }
}

/* A header's value in the head (which ends in NUL), or NULL. */
static const char *header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);

    return at ? at + strlen(name) : NULL;
}

static int read_answer(struct post *p, struct buf *answer, struct err *err)
{
    ssize_t body;
    const char *length;
    char *head;
    int status = 0, rc;

    buf_clear(&p->in);
    body = receive_until(p, 0, "\r\n\r\n", err);
    if (body < 0)
        return -1;
    head = mem_dup_n((const char *)p->in.p, (size_t)body);
    if (strncmp(head, "HTTP/1.", 7) == 0 && strlen(head) > 12)
        status = atoi(head + 9);
    length = header(head, "\ncontent-length:");
    if (status < 200 || status > 599)
        rc = err_set(err, "the answer is not HTTP/1.1");
    else if (header(head, "\ntransfer-encoding: chunked"))
        rc = read_chunks(p, (size_t)body, answer, err);
    else
        rc = add_answer(p, (size_t)body, length ? strtoul(length, NULL, 10) : 0, answer, err);
    if (rc == 0 && header(head, "\nconnection: close"))
        hang_up(p);
    free(head);
    return rc ? -1 : status;
}

static int exchange_once(struct post *p, struct slice head, struct slice body, struct buf *answer, struct err *err)
{
    int status;

    if (p->fd < 0 && dial(p, err))
        return -1;
    if (send_all(p, head, body, err)) {
        hang_up(p);
        return -1;
    }
    status = read_answer(p, answer, err);
    if (status < 0)
        hang_up(p);
    return status;
}

int post_exchange(struct post *p, const char *path, const char *content_type, struct slice body, struct buf *answer,
                  struct err *err)
{
    bool reused = p->fd >= 0;
    struct buf head = {0};
    int status;

    buf_putf(&head, "%s %s HTTP/1.1\r\nHost: %s:%s\r\n", body.p ? "POST" : "GET", path, p->host, p->port);
    if (body.p)
        buf_putf(&head, "Content-Type: %s\r\nContent-Length: %zu\r\n", content_type, body.len);
    buf_puts(&head, "\r\n");
    status = exchange_once(p, slice_of(head.p, head.len), body, answer, err);
    if (status < 0 && reused) /* the other side had closed the idle connection */
        status = exchange_once(p, slice_of(head.p, head.len), body, answer, err);
    buf_free(&head);
    return status;
}
