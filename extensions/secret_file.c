/* SPDX-License-Identifier: Apache-2.0 */
/* See secret_file.h. */
#include "extensions/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/mem.h"

enum { LOOK_MS = 500 };
#define MAX_BYTES (1u << 20)

/* ---- reading ---- */

static ssize_t read_all(int fd, char *to, size_t max)
{
    size_t len = 0;
    ssize_t n;

    while (len < max && (n = read(fd, to + len, max - len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

char *secret_read(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = mem_alloc(MAX_BYTES + 1);
    ssize_t n = fd < 0 ? -1 : read_all(fd, text, MAX_BYTES + 1);

    if (n < 0)
        err_set(err, "%s: %s", path, strerror(errno));
    else if (n > (ssize_t)MAX_BYTES)
        err_set(err, "%s: larger than 1 MiB", path);
    if (fd >= 0)
        close(fd);
    if (n < 0 || n > (ssize_t)MAX_BYTES) {
        explicit_bzero(text, MAX_BYTES + 1);
        free(text);
        return NULL;
    }
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    text[n] = '\0';
    return text;
}

void secret_free(char **text)
{
    if (*text) {
        explicit_bzero(*text, strlen(*text));
        free(*text);
    }
    *text = NULL;
}

/* ---- watching ---- */

struct look {
    bool there;
    dev_t dev;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct secret_file {
    char *path;
    void (*changed)(void *ctx);
    void *ctx;
    struct timer *timer;
    struct look told, seen;
};

static struct look look_at(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return (struct look){0};
    return (struct look){true, st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool alike(const struct look *a, const struct look *b)
{
    return a->there == b->there && a->dev == b->dev && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static void on_look(void *ctx)
{
    struct secret_file *f = ctx;
    struct look now = look_at(f->path);
    bool settled = now.there && alike(&now, &f->seen) && !alike(&now, &f->told);

    f->seen = now;
    if (!settled)
        return;
    f->told = now;
    f->changed(f->ctx);
}

struct secret_file *secret_watch(struct loop *l, const char *path, void (*changed)(void *ctx), void *ctx)
{
    struct secret_file *f = mem_alloc(sizeof(*f));

    *f = (struct secret_file){.path = mem_dup(path), .changed = changed, .ctx = ctx};
    f->told = f->seen = look_at(path);
    f->timer = timer_new(l, __func__, on_look, f);
    timer_start(f->timer, LOOK_MS, LOOK_MS);
    return f;
}

void secret_unwatch(struct secret_file **fp)
{
    struct secret_file *f = *fp;

    *fp = NULL;
    if (!f)
        return;
    timer_free(&f->timer);
    free(f->path);
    free(f);
}
