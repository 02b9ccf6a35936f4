/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One write(2) per call for what a turn of the loop gathered, straight to the page cache: what was
 * reported as written survives a crash of the process. The calls are on the loop; for regular files
 * that is memory speed unless the kernel throttles writers because the disk is far behind.
 *
 * Two writers of one path write to one file, so records of an exporter that a reload replaces and of its
 * successor stay whole, and the file is not emptied between them. Files are the process's, not an object's:
 * the list of open ones is the one piece of state here that is not.
 *
 * Threads: any, under the file's lock. Limits: only regular files are rotated and cut back; a FIFO or
 * device is written as it is. Two spellings of one path are two files.
 */
#include "exporters/file_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/mem.h"

/* "2022-09-14T05-02-14.173" */
enum { STAMP_LEN = 23 };

struct open_file {
    struct open_file *next;
    unsigned refs; /* under the list's lock */
    char *path;
    pthread_mutex_t lock;
    int fd; /* -1: none */
    bool regular;
    bool opened_once; /* truncation happens at the first opening only */
    uint64_t size;    /* where the next record goes */
};

struct file_writer {
    struct file_writer_settings set;
    struct open_file *f;
};

static struct {
    pthread_mutex_t lock;
    struct open_file *first;
} files = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- files ---- */

static struct open_file *file_new(const char *path)
{
    struct open_file *f = mem_alloc(sizeof(*f));

    *f = (struct open_file){.next = files.first, .path = mem_dup(path), .fd = -1};
    CHECK(pthread_mutex_init(&f->lock, NULL) == 0);
    files.first = f;
    return f;
}

static struct open_file *file_get(const char *path)
{
    struct open_file *f;

    pthread_mutex_lock(&files.lock);
    for (f = files.first; f && strcmp(f->path, path) != 0; f = f->next)
        ;
    if (!f)
        f = file_new(path);
    f->refs++;
    pthread_mutex_unlock(&files.lock);
    return f;
}

static void file_free(struct open_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    pthread_mutex_destroy(&f->lock);
    free(f->path);
    free(f);
}

static void file_put(struct open_file *f)
{
    struct open_file **at = &files.first;

    pthread_mutex_lock(&files.lock);
    if (--f->refs == 0) {
        while (*at != f)
            at = &(*at)->next;
        *at = f->next;
        file_free(f);
    }
    pthread_mutex_unlock(&files.lock);
}

struct file_writer *file_writer_new(const struct file_writer_settings *s)
{
    struct file_writer *w = (struct file_writer *)mem_alloc(sizeof(*w));

    w->set = *s;
    w->f = file_get(s->path);
    w->set.path = w->f->path;
    return w;
}

void file_writer_free(struct file_writer **w)
{
    if (!*w)
        return;
    file_put((*w)->f);
    free(*w);
    *w = NULL;
}

/* ---- opening and writing ---- */

/* The folders above the file, each made when it is missing. */
static int make_folders(struct file_writer *w, struct err *err)
{
    char *path = mem_dup(w->f->path);
    int rc = 0;

    for (char *p = strchr(path + 1, '/'); p && !rc; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(path, w->set.directory_mode) && errno != EEXIST)
            rc = err_set(err, "mkdir %s: %s", path, strerror(errno));
        *p = '/';
    }
    free(path);
    return rc;
}

static int open_file(struct file_writer *w, struct err *err)
{
    bool keep = w->set.append || w->set.rotate || w->f->opened_once;
    /* O_NONBLOCK: a FIFO without a reader is an error, not a daemon that hangs at the start. */
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (keep ? 0 : O_TRUNC);
    struct stat st;

    if (w->set.create_directory && !w->f->opened_once && make_folders(w, err))
        return -1;
    w->f->fd = open(w->f->path, flags, 0600);
    if (w->f->fd < 0)
        return err_set(err, "open %s: %s", w->f->path, strerror(errno));
    w->f->regular = fstat(w->f->fd, &st) == 0 && S_ISREG(st.st_mode);
    w->f->size = w->f->regular ? (uint64_t)st.st_size : 0;
    w->f->opened_once = true;
    return 0;
}

int file_writer_open(struct file_writer *w, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&w->f->lock);
    if (w->f->fd < 0)
        rc = open_file(w, err);
    pthread_mutex_unlock(&w->f->lock);
    return rc;
}

/* Where the extension of the path begins; its end when there is none. */
static size_t stem_len(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');

    return dot && dot != name ? (size_t)(dot - path) : strlen(path);
}

static void put_stamp(struct file_writer *w, uint64_t wall_ns, char stamp[static 32])
{
    time_t sec = (time_t)(wall_ns / NS_PER_SEC);
    struct tm tm;
    size_t n;

    if (w->set.local_time)
        localtime_r(&sec, &tm);
    else
        gmtime_r(&sec, &tm);
    n = strftime(stamp, 32, "%Y-%m-%dT%H-%M-%S", &tm);
    snprintf(stamp + n, 32 - n, ".%03u", (unsigned)(wall_ns % NS_PER_SEC / NS_PER_MS));
}

/* NAME-<time>.EXT; a name that is taken already gets the next millisecond. */
static char *backup_name(struct file_writer *w)
{
    size_t stem = stem_len(w->f->path);
    uint64_t now = clock_wall_ns();

    for (;; now += NS_PER_MS) {
        char stamp[32], *name;

        put_stamp(w, now, stamp);
        name = mem_printf("%.*s-%s%s", (int)stem, w->f->path, stamp, w->f->path + stem);
        if (access(name, F_OK))
            return name;
        free(name);
    }
}

struct backup {
    char name[256]; /* in the folder */
    time_t written;
};

struct backups {
    struct backup *v;
    size_t n;
};

static bool is_backup(const char *entry, const char *base, size_t base_len, const char *ext)
{
    size_t n = strlen(entry);

    return n == base_len + 1 + STAMP_LEN + strlen(ext) && n < sizeof(((struct backup *)0)->name) &&
           strncmp(entry, base, base_len) == 0 && entry[base_len] == '-' && entry[base_len + 11] == 'T' &&
           strcmp(entry + base_len + 1 + STAMP_LEN, ext) == 0;
}

/* Names carry their time, so they sort by age. */
static int newest_first(const void *a, const void *b)
{
    return strcmp(((const struct backup *)b)->name, ((const struct backup *)a)->name);
}

static void collect(struct backups *all, DIR *dir, const char *base, size_t base_len, const char *ext)
{
    const struct dirent *e;
    struct stat st;

    while ((e = readdir(dir))) {
        struct backup *b;

        if (!is_backup(e->d_name, base, base_len, ext) || fstatat(dirfd(dir), e->d_name, &st, 0))
            continue;
        all->v = (struct backup *)mem_grow(all->v, (all->n + 1) * sizeof(*all->v));
        b = &all->v[all->n++];
        memcpy(b->name, e->d_name, strlen(e->d_name) + 1);
        b->written = st.st_mtime;
    }
    if (all->n)
        qsort(all->v, all->n, sizeof(*all->v), newest_first);
}

/* Removes what max_backups and max_days do not want kept. Failing to is not worth stopping for. */
static void remove_old(struct file_writer *w)
{
    const char *slash = strrchr(w->f->path, '/');
    size_t folder_len = slash ? (size_t)(slash - w->f->path) : 0, stem = stem_len(w->f->path);
    const char *base = slash ? slash + 1 : w->f->path;
    char *folder = slash ? mem_dup_n(w->f->path, folder_len ? folder_len : 1) : mem_dup(".");
    DIR *dir = opendir(folder);
    struct backups all = {NULL, 0};
    time_t oldest = w->set.max_days ? time(NULL) - (time_t)w->set.max_days * 86400 : 0;

    free(folder);
    if (!dir)
        return;
    collect(&all, dir, base, stem - (size_t)(base - w->f->path), w->f->path + stem);
    for (size_t i = 0; i < all.n; i++)
        if ((w->set.max_backups && i >= w->set.max_backups) || all.v[i].written < oldest)
            (void)unlinkat(dirfd(dir), all.v[i].name, 0);
    free(all.v);
    closedir(dir);
}

/* The file as it is becomes a backup. When the renaming fails the same file goes on growing: better
 * one too large than none. */
static int rotate(struct file_writer *w, struct err *err)
{
    char *backup = backup_name(w);
    bool renamed = rename(w->f->path, backup) == 0;

    free(backup);
    if (!renamed)
        return 0;
    close(w->f->fd);
    w->f->fd = -1;
    if (open_file(w, err))
        return -1;
    remove_old(w);
    return 0;
}

/* Returns how many bytes went out. */
static size_t write_some(int fd, struct slice s, int *error)
{
    size_t done = 0;

    *error = 0;
    while (done < s.len) {
        ssize_t n = write(fd, s.p + done, s.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *error = n ? errno : EIO;
            break;
        }
        done += (size_t)n;
    }
    return done;
}

static int write_locked(struct file_writer *w, struct slice records, struct err *err)
{
    int error;
    size_t done;

    if (w->f->fd < 0 && open_file(w, err))
        return -1;
    if (w->set.rotate && w->f->regular && w->set.max_bytes && w->f->size && w->f->size + records.len > w->set.max_bytes &&
        rotate(w, err))
        return -1;
    done = write_some(w->f->fd, records, &error);
    if (done == records.len) {
        w->f->size += done;
        return 0;
    }
    if (done && w->f->regular && ftruncate(w->f->fd, (off_t)w->f->size))
        w->f->size += done; /* a torn record stays: nothing more can be done about it */
    return err_set(err, "write %s: %s", w->f->path, strerror(error));
}

int file_writer_write(struct file_writer *w, struct slice records, struct err *err)
{
    int rc;

    if (!records.len)
        return 0;
    pthread_mutex_lock(&w->f->lock);
    rc = write_locked(w, records, err);
    pthread_mutex_unlock(&w->f->lock);
    return rc;
}
