/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_storage: directories for components that keep something over a restart.
 *
 *   directory/tailrace_exporter_otlp_grpc/       one for each owner: kind, id and, of processors,
 * pipeline directory/tailrace_exporter_otlp_grpc/lock   held (flock) by this process from the first
 * open to its end
 *
 * What stands inside is the owner's business (platform/journal.h). Another process that uses the
 * same owner's directory is refused after `timeout`; it may share the rest. A disk that takes no
 * lock file because it is full or read-only is not an error here: the owner will notice, fall back,
 * and try again.
 *
 * New settings are taken over while it runs. With another `directory` owners that are made from then on
 * get a place there and are told of the former one, whose lock stays until the end; what is left in it by
 * then is named in the log.
 *
 * The keys are the Collector's. bbolt's compaction has nothing to do here: files of what was
 * delivered are used again or deleted at once. `recreate` is what happens always: what cannot be
 * read is set aside.
 *
 * Threads: main. Limits: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "component/storage.h"
#include "extensions/extensions.h"
#include "platform/clock.h"
#include "platform/dirs.h"

struct compaction_settings {
    int64_t max_transaction_size;
};

struct file_storage_settings {
    const char *directory;
    bool create_directory;
    const char *directory_permissions;
    int64_t timeout_ns;
    bool fsync;
    int64_t max_size;
    struct compaction_settings compaction;
};

#define NOTHING_TO_COMPACT                                                                         \
    "Accepted: files of what was delivered are used again or deleted at once."

static const struct key compaction_keys[] = {
    KEY_IGNORED("directory", false, NOTHING_TO_COMPACT),
    KEY_IGNORED("on_start", false, NOTHING_TO_COMPACT),
    KEY_IGNORED("on_rebound", false, NOTHING_TO_COMPACT),
    KEY_IGNORED("rebound_needed_threshold_mib", false, NOTHING_TO_COMPACT),
    KEY_IGNORED("rebound_trigger_threshold_mib", false, NOTHING_TO_COMPACT),
    KEY_INT(struct compaction_settings, max_transaction_size, "65536", 1, 0, NOTHING_TO_COMPACT),
    KEY_IGNORED("check_interval", false, NOTHING_TO_COMPACT),
    KEY_IGNORED("cleanup_on_start", false, NOTHING_TO_COMPACT),
    KEY_END};

static const struct key file_storage_keys[] = {
    KEY_STR(struct file_storage_settings, directory, "/var/lib/otelcol/file_storage",
            "Where the directories of the components are made."),
    KEY_BOOL(struct file_storage_settings, create_directory, "false",
             "Makes the directory if it is not there."),
    KEY_STR(struct file_storage_settings, directory_permissions, "0750",
            "Of directories that are made, as an octal number."),
    {.name = "timeout",
     .type = KEY_T_DURATION,
     .offset = KEY_AT(int64_t, struct file_storage_settings, timeout_ns),
     .dflt = "1s",
     KEY_ANY,
     .doc = "How long the start waits for another process to let go of a component's directory."},
    KEY_BOOL(struct file_storage_settings, fsync, "false",
             "What is stored counts when the disk has it: safe from power cuts, not only from the "
             "end of the process."),
    {.name = "max_size",
     .type = KEY_T_INT,
     .offset = KEY_AT(int64_t, struct file_storage_settings, max_size),
     .dflt = "0",
     KEY_ANY,
     .unit = "bytes",
     .doc = "All files of one component together; 0: as far as its own limits and the disk go."},
    KEY_IGNORED("recreate", false,
                "What cannot be read is always set aside, and a new file begun."),
    KEY_SECTION(struct file_storage_settings, compaction, compaction_keys, NOTHING_TO_COMPACT),
    KEY_END};

static bool parse_mode(const char *text, mode_t *mode)
{
    char *end;
    unsigned long v = strtoul(text, &end, 8);

    *mode = (mode_t)v;
    return end != text && *end == '\0' && v <= 07777;
}

static void file_storage_check(const void *settings, struct check *c)
{
    const struct file_storage_settings *s = settings;
    mode_t mode;

    if (s->directory[0] == '\0')
        check_error(c, "directory", "directory must be set");
    if (s->create_directory && !parse_mode(s->directory_permissions, &mode))
        check_error(c, "directory_permissions",
                    "directory_permissions value must be a valid octal representation");
    if (s->compaction.max_transaction_size < 0)
        check_error(c, "compaction.max_transaction_size",
                    "max transaction size for compaction cannot be less than 0");
    if (s->max_size < 0)
        check_error(c, "max_size", "max_size cannot be less than 0");
    else if (s->max_size > 0 && s->max_size < 1 << 20)
        check_error(c, "max_size", "max_size must be at least 1048576 (1 MiB), or 0 for no limit");
}

/* No memory: the line is there because people look for the bound in the same place. */
static size_t file_storage_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    const struct file_storage_settings *s = settings;

    (void)n_workers;
    if (max == 0)
        return 0;
    if (s->max_size > 0)
        snprintf(terms[0].text, sizeof(terms[0].text),
                 "at most %.0f MiB of disk in %.80s for each component that stores there", (double)s->max_size / (1 << 20),
                 s->directory);
    else
        snprintf(terms[0].text, sizeof(terms[0].text),
                 "disk in %.80s has no bound but the components' own (max_size: 0)", s->directory);
    return 1;
}

/* ---- state ---- */

/* One owner's directory, locked until this process ends. */
struct place {
    struct place *next; /* the one before */
    char *dir;
    const char *owner; /* the last part of dir */
    int lock_fd; /* -1: the disk takes no lock */
};

struct file_storage {
    struct component base;
    const struct file_storage_settings *set;
    struct place *places;
};

static struct file_storage *file_storage_of(struct component *c)
{
    CHECK(c->type == &file_storage_extension_type);
    return CONTAINER_OF(c, struct file_storage, base);
}

/* ---- directories ---- */

/* Errors of the disk, not of the configuration: they may pass. */
static bool may_pass(int sys_errno)
{
    return sys_errno == EROFS || sys_errno == ENOSPC || sys_errno == EDQUOT ||
           sys_errno == EACCES || sys_errno == EPERM || sys_errno == EIO || sys_errno == EFBIG;
}

static mode_t dir_mode(const struct file_storage *f)
{
    mode_t mode = 0750;

    return f->set->create_directory && parse_mode(f->set->directory_permissions, &mode) ? mode
                                                                                        : 0750;
}

/* Letters, digits, dots and dashes stay; the rest becomes ~XXXX, so that two owners never share a
 * name. */
static void put_safe(struct buf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char ch = (unsigned char)*s;

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
            ch == '-' || ch == '.' || ch == '_')
            buf_putc(out, (char)ch);
        else
            buf_putf(out, "~%04X", ch);
    }
}

static void put_owner(struct buf *name, const struct storage_owner *o)
{
    buf_puts(name, "tailrace_");
    put_safe(name, o->kind);
    buf_putc(name, '_');
    put_safe(name, o->id);
    if (o->pipeline != NULL) {
        buf_putc(name, '~');
        put_safe(name, o->pipeline);
    }
}

static int owner_dir(const struct file_storage *f, const struct storage_owner *o,
                     char dir[static PATH_MAX], struct err *err)
{
    struct buf name = {0};
    int n;

    put_owner(&name, o);
    n = snprintf(dir, PATH_MAX, "%s/%.*s", f->set->directory, (int)name.len, (const char *)name.p);
    buf_free(&name);
    /* room for what owners put in it */
    return n > 0 && n < PATH_MAX - 64 ? 0 : err_set(err, "the name of the directory is too long");
}

/* ---- locks ---- */

static int try_lock(const char *dir)
{
    char path[PATH_MAX + 8];
    int fd;

    snprintf(path, sizeof(path), "%s/lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int sys_errno = errno;

        close(fd);
        errno = sys_errno;
        return -1;
    }
    return fd;
}

/* The lock, or -1 with errno. A process that just ends holds it a little longer. */
static int wait_lock(const char *dir, int64_t timeout_ns)
{
    uint64_t until = clock_mono_ns() + (timeout_ns > 0 ? (uint64_t)timeout_ns : 0);
    int fd = try_lock(dir);

    while (fd < 0 && errno == EWOULDBLOCK && clock_mono_ns() < until) {
        struct timespec pause = {.tv_nsec = 10 * (long)NS_PER_MS};

        nanosleep(&pause, NULL);
        fd = try_lock(dir);
    }
    return fd;
}

static struct place *find_place(const struct file_storage *f, const char *dir)
{
    struct place *p = f->places;

    while (p != NULL && strcmp(p->dir, dir) != 0)
        p = p->next;
    return p;
}

/* Some owners open before the extension starts: with create_directory the folders above are made here as well. */
static int make_place(const struct file_storage *f, const char *dir)
{
    return dir_make(dir, dir_mode(f), f->set->create_directory);
}

static int take_place(struct file_storage *f, const char *dir, struct err *err)
{
    struct place *p = find_place(f, dir);
    int fd = -1;

    if (p != NULL && p->lock_fd >= 0)
        return 0;
    if (make_place(f, dir) == 0 || errno == EEXIST)
        fd = wait_lock(dir, f->set->timeout_ns);
    if (fd < 0 && errno == EWOULDBLOCK)
        return err_set(err, "%s is in use by another process (waited %g s for it)", dir,
                       (double)f->set->timeout_ns / 1e9);
    if (fd < 0 && !may_pass(errno))
        return err_set(err, "%s: %s", dir, strerror(errno));
    if (fd < 0)
        log_warn(&f->base.host->log, "The directory of a component cannot be written to",
                 LOG_STR("directory", dir), LOG_STR("error", strerror(errno)));
    if (p == NULL) {
        p = mem_alloc(sizeof(*p));
        p->dir = mem_dup(dir);
        p->owner = strrchr(p->dir, '/') + 1;
        p->next = f->places;
        f->places = p;
    }
    p->lock_fd = fd;
    return 0;
}

static int check_directory(const struct file_storage *f, struct err *err)
{
    const char *dir = f->set->directory;
    struct stat st;

    if (f->set->create_directory && dir_make(dir, dir_mode(f), true) != 0 && !may_pass(errno))
        return err_set(err, "%s: %s", dir, strerror(errno));
    if (stat(dir, &st) != 0 && !may_pass(errno))
        return err_set(
            err,
            "directory must exist: stat %s: %s. You can enable the create_directory option to "
            "automatically create it",
            dir, errno == ENOENT ? "no such file or directory" : strerror(errno));
    if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(err, "%s is not a directory", dir);
    return 0;
}

static int file_storage_open(struct component *c, const struct storage_owner *owner,
                             struct storage_place *out, struct err *err)
{
    struct file_storage *f = file_storage_of(c);

    *out = (struct storage_place){.fsync = f->set->fsync, .max_bytes = (uint64_t)f->set->max_size};
    if (check_directory(f, err) != 0 || owner_dir(f, owner, out->dir, err) != 0)
        return -1;
    return take_place(f, out->dir, err);
}

static bool is_former(const struct file_storage *f, const struct place *p)
{
    size_t n = strlen(f->set->directory);

    return strncmp(p->dir, f->set->directory, n) != 0 || p->dir + n + 1 != p->owner;
}

static const char *file_storage_former(const struct component *c, const struct storage_owner *owner, size_t i)
{
    const struct file_storage *f = CONTAINER_OF(c, const struct file_storage, base);
    struct buf name = {0};
    const struct place *p;

    put_owner(&name, owner);
    buf_putc(&name, '\0');
    for (p = f->places; p != NULL; p = p->next)
        if (is_former(f, p) && strcmp(p->owner, (const char *)name.p) == 0 && i-- == 0)
            break;
    buf_free(&name);
    return p != NULL ? p->dir : NULL;
}

static bool file_storage_moves(const void *from, const void *to)
{
    return strcmp(((const struct file_storage_settings *)from)->directory,
                  ((const struct file_storage_settings *)to)->directory) != 0;
}

/* ---- life ---- */

static struct component *file_storage_create(struct host *h, const void *settings, struct err *err)
{
    struct file_storage *f = mem_alloc(sizeof(*f));

    (void)err;
    *f = (struct file_storage){.base = {&file_storage_extension_type, h}, .set = settings};
    return &f->base;
}

static int file_storage_start(struct component *c, struct err *err)
{
    return check_directory(file_storage_of(c), err);
}

static void file_storage_change(struct component *c, const void *settings)
{
    file_storage_of(c)->set = settings;
}

/* Its users are gone. What they left there nobody will look for. */
static void give_up(const struct file_storage *f, const struct place *p)
{
    struct buf lock = {0};

    buf_putf(&lock, "%s/lock", p->dir);
    buf_putc(&lock, '\0');
    (void)unlink((const char *)lock.p);
    buf_free(&lock);
    if (rmdir(p->dir) != 0 && errno != ENOENT)
        log_warn(&f->base.host->log, "Files are left in a former directory of the storage", LOG_STR("directory", p->dir));
}

static void file_storage_drain(struct component *c)
{
    host_drained(file_storage_of(c)->base.host);
}

static void file_storage_destroy(struct component **c)
{
    struct file_storage *f = file_storage_of(*c);

    *c = NULL;
    while (f->places != NULL) {
        struct place *p = f->places;

        if (is_former(f, p))
            give_up(f, p);
        f->places = p->next;
        if (p->lock_fd >= 0)
            close(p->lock_fd);
        free(p->dir);
        free(p);
    }
    free(f);
}

static const struct storage_ops file_storage_ops = {
    .open = file_storage_open, .former = file_storage_former, .moves = file_storage_moves};

const struct component_type file_storage_extension_type = {
    .kind = EXTENSION,
    .name = "file_storage",
    .stability = "beta",
    .summary = "Directories for what outlives the process: sending queues, the traces that tail "
               "sampling holds.",
    .keys = file_storage_keys,
    .settings_size = sizeof(struct file_storage_settings),
    .check = file_storage_check,
    .memory = file_storage_memory,
    .create = file_storage_create,
    .start = file_storage_start,
    .change = file_storage_change,
    .drain = file_storage_drain,
    .destroy = file_storage_destroy,
    .storage = &file_storage_ops,
};
