/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: opening, appending, dropping, reading back. Files are journal_segment.c, what is
 * left from before journal_replay.c, the contract journal.h.
 *
 * Why mapped files: a record costs one pass over its bytes. Measured on ext4 with 130 KiB records,
 * checksum included: 10 us into pages that are mapped and dirty (22 by pwrite). Where stores meet
 * pages that the kernel wrote out, 70 to 100 us, into fresh ones 110 to 250: each is a fault. So
 * pages are prepared in steps of 256 KiB before they are written to, which leaves 28 and 51 us, and
 * files are used again before new ones are made. A segment whose last record is dropped while it is
 * being written starts again at its front, where the pages are hot: a queue that keeps up lives in
 * one corner of one file.
 *
 * Order of stores (a kill leaves a prefix of them): bytes, checksum, length and tag, end, end
 * again. A record without its tag is not there; append() has not returned then.
 *
 * What a loop pays: one create, fallocate and two mmaps a segment when no free file is there; an
 * unlink for those the pool has no place for.
 */
#include "platform/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/dirs.h"
#include "platform/hash.h"
#include "platform/journal_priv.h"
#include "platform/mem.h"

#define RETRY_NS      (250 * NS_PER_MS) /* a disk that failed is asked again after this */
#define LOCK_ATTEMPTS 100

void journal_warn(struct journal *j, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (j->o.warn == NULL)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    j->o.warn(j->o.warn_ctx, text);
}

/* ---- directory and lock ---- */

/* 1: locked; 0: its last holder has removed it meanwhile; -1: errno, EWOULDBLOCK when somebody has
 * it. */
static int lock_once(struct journal *j)
{
    struct stat st;

    if (dir_make(j->dir, j->o.dir_mode ? j->o.dir_mode : 0750, j->o.make_parents) != 0)
        return -1;
    j->dir_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir_fd >= 0)
        j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->lock_fd < 0)
        return j->dir_fd >= 0 && errno == ENOENT ? 0 : -1;
    if (flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return -1;
    return fstat(j->lock_fd, &st) == 0 && st.st_nlink > 0 ? 1 : 0;
}

static void unlock(struct journal *j)
{
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    if (j->dir_fd >= 0)
        close(j->dir_fd);
    j->lock_fd = j->dir_fd = -1;
}

static int lock_dir(struct journal *j, bool *locked, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < LOCK_ATTEMPTS && rc == 0; i++) {
        unlock(j);
        rc = lock_once(j);
    }
    if (rc == 1)
        return 0;
    if (rc < 0 && errno == EWOULDBLOCK && j->lock_fd >= 0) {
        *locked = true;
        return err_set(err, "%s is in use by another process or component", j->dir);
    }
    return err_set(err, "%s: %s", j->dir, strerror(errno));
}

/* ---- opening ---- */

uint32_t journal_slot(struct journal *j)
{
    for (uint32_t i = 0; i < j->n_segs; i++)
        if (!j->segs[i].exists)
            return i;
    if (j->n_segs == j->cap_segs) {
        j->cap_segs = j->cap_segs ? j->cap_segs * 2 : 16;
        j->segs = mem_grow(j->segs, j->cap_segs * sizeof(*j->segs));
    }
    j->segs[j->n_segs] = (struct segment){0};
    return j->n_segs++;
}

static bool is_segment_name(const char *name)
{
    struct segment s = {.number = strtoull(name, NULL, 16)};
    char again[FILE_NAME_BYTES];

    segment_file_name(&s, again);
    return strcmp(name, again) == 0;
}

static void pool_add(struct journal *j, uint32_t slot)
{
    if (j->n_pool == j->cap_pool) {
        j->cap_pool = j->cap_pool ? j->cap_pool * 2 : 8;
        j->pool = mem_grow(j->pool, j->cap_pool * sizeof(*j->pool));
    }
    j->pool[j->n_pool++] = slot;
    j->st.free_segments++;
}

static int adopt(struct journal *j, const char *name, struct err *err)
{
    uint32_t slot = journal_slot(j);
    struct segment *s = &j->segs[slot];
    int rc = segment_adopt(j, slot, name, err);

    if (s->number >= j->next_number)
        j->next_number = s->number + 1;
    if (rc <= 0)
        return rc;
    if (s->seq >= j->next_seq)
        j->next_seq = s->seq + 1;
    if (s->free)
        journal_recycle(j, slot);
    return 0;
}

static int adopt_all(struct journal *j, struct err *err)
{
    int fd = dup(j->dir_fd), rc = 0;
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (d == NULL) {
        if (fd >= 0)
            close(fd);
        return err_set(err, "%s: %s", j->dir, strerror(errno));
    }
    rewinddir(d);
    for (const struct dirent *e = readdir(d); e != NULL && rc == 0; e = readdir(d))
        if (is_segment_name(e->d_name))
            rc = adopt(j, e->d_name, err);
    closedir(d);
    return rc;
}

/* The newest segment is written on where it ends: a process that restarts often fills no disk with
 * segments of a few records. */
static void go_on_with_newest(struct journal *j)
{
    struct segment *s;
    int ignored;

    if (j->n_order == 0)
        return;
    s = &j->segs[j->order[j->n_order - 1]];
    if (s->cut || s->size != j->o.segment_bytes || s->limit + record_bytes(0) > s->size ||
        segment_map_data(j, s, &ignored) == NULL)
        return;
    s->used = s->limit;
    s->ready = s->used & ~(uint64_t)(JOURNAL_PAGE - 1);
    if (s->ready < s->data_at)
        s->ready = s->data_at;
    j->head = j->order[j->n_order - 1] + 1;
}

static void check_options(const struct journal_options *o)
{
    CHECK(o->segment_bytes >= SEGMENT_UNIT && o->segment_bytes <= 1u << 30);
    CHECK(o->segment_bytes % SEGMENT_UNIT == 0);
}

struct journal *journal_open(const struct journal_options *o, bool *locked, struct err *err)
{
    struct journal *j = mem_alloc(sizeof(*j));
    bool ignored;

    check_options(o);
    if (locked == NULL)
        locked = &ignored;
    *locked = false;
    j->o = *o;
    j->dir = mem_dup(o->dir);
    j->o.dir = j->dir;
    j->dir_fd = j->lock_fd = j->read_fd = -1;
    j->next_seq = 1;
    random_secure(&j->salts, sizeof(j->salts));
    j->salts |= 1;
    if (lock_dir(j, locked, err) != 0 || adopt_all(j, err) != 0) {
        journal_close(&j);
        return NULL;
    }
    replay_plan(j);
    go_on_with_newest(j);
    return j;
}

static void close_read_file(struct journal *j)
{
    if (j->read_fd >= 0)
        close(j->read_fd);
    j->read_fd = -1;
}

void journal_close(struct journal **jp)
{
    struct journal *j = *jp;

    *jp = NULL;
    if (j == NULL)
        return;
    CHECK(!j->syncing);
    close_read_file(j);
    replay_free(j);
    for (uint32_t i = 0; i < j->n_segs; i++)
        if (j->segs[i].exists)
            segment_close(&j->segs[i]);
    unlock(j);
    free(j->segs);
    free(j->pool);
    free(j->dir);
    free(j);
}

void journal_close_and_remove(struct journal **jp)
{
    struct journal *j = *jp;

    if (j != NULL && j->st.live_records == 0 && j->unread_bytes == 0 &&
        j->next_order == j->n_order) {
        close_read_file(j);
        for (uint32_t i = 0; i < j->n_segs; i++)
            if (j->segs[i].exists)
                segment_remove(j, &j->segs[i]);
        (void)unlinkat(j->dir_fd, "lock", 0);
        (void)rmdir(j->dir); /* what was set aside keeps it */
    }
    journal_close(jp);
}

/* ---- faults ---- */

const char *journal_fault_text(enum journal_fault f)
{
    static const char *const text[] = {"no fault", "the bound on disk space is reached",
                                       "no space on the disk", "the disk is read-only",
                                       "the disk failed"};

    return text[f];
}

enum journal_fault journal_fault(const struct journal *j)
{
    return j->fault;
}

const char *journal_fault_detail(const struct journal *j)
{
    return j->detail;
}

static int fail(struct journal *j, enum journal_fault f, const char *detail)
{
    j->fault = f;
    snprintf(j->detail, sizeof(j->detail), "%s: %s", j->dir, detail);
    j->st.faults++;
    return -1;
}

static int fail_errno(struct journal *j, int sys_errno)
{
    enum journal_fault f = JOURNAL_IO;

    if (sys_errno == ENOSPC || sys_errno == EDQUOT || sys_errno == EFBIG)
        f = JOURNAL_NO_SPACE;
    else if (sys_errno == EROFS || sys_errno == EACCES || sys_errno == EPERM)
        f = JOURNAL_READ_ONLY;
    j->retry_at_ns = clock_mono_ns() + RETRY_NS;
    return fail(j, f, strerror(sys_errno));
}

/* ---- segments come and go ---- */

void journal_recycle(struct journal *j, uint32_t slot)
{
    struct segment *s = &j->segs[slot];

    j->retry_at_ns = 0;
    if (s->size == j->o.segment_bytes && !s->cut && j->n_pool < j->o.pool_segments) {
        __atomic_store_n(&progress_of(s)->state, STATE_FREE, __ATOMIC_RELEASE);
        s->free = true;
        s->dirty = false;
        pool_add(j, slot);
        return;
    }
    segment_remove(j, s);
}

static uint32_t pool_take(struct journal *j)
{
    j->st.free_segments--;
    return j->pool[--j->n_pool];
}

static uint64_t record_room(uint64_t size)
{
    return size - segment_data_at(size);
}

/* Free files of the usual size make room for one of another. */
static bool make_room(struct journal *j, uint64_t size)
{
    while (j->o.max_bytes > 0 && j->st.bytes + size > j->o.max_bytes) {
        if (j->n_pool == 0)
            return false;
        segment_remove(j, &j->segs[pool_take(j)]);
    }
    return true;
}

/* A free segment with room for `need`, in *slot. */
static int free_segment(struct journal *j, uint64_t need, uint32_t *slot)
{
    uint64_t size = j->o.segment_bytes;
    int sys_errno = 0;

    if (need > record_room(size)) {
        size = segment_size_for(need);
    } else if (j->n_pool > 0) {
        *slot = pool_take(j);
        return 0;
    }
    if (!make_room(j, size))
        return fail(j, JOURNAL_FULL, journal_fault_text(JOURNAL_FULL));
    if (j->retry_at_ns > 0 && clock_mono_ns() < j->retry_at_ns) {
        j->st.faults++;
        return -1; /* fault and detail are those of the last attempt */
    }
    *slot = journal_slot(j);
    return segment_create(j, *slot, size, &sys_errno) == 0 ? 0 : fail_errno(j, sys_errno);
}

/* Another segment takes the place of the one being written, which stays as it is when there is
 * none. */
static int rotate(struct journal *j, uint64_t need)
{
    uint32_t slot, old = j->head;
    int sys_errno = 0;

    if (free_segment(j, need, &slot) != 0)
        return -1;
    if (segment_use(j, &j->segs[slot], &sys_errno) != 0) {
        j->segs[slot].free = true;
        journal_recycle(j, slot);
        return fail_errno(j, sys_errno);
    }
    j->head = slot + 1;
    if (old == 0)
        return 0;
    j->segs[old - 1].fresh = false;
    if (j->segs[old - 1].live == 0 && !j->segs[old - 1].unread)
        journal_recycle(j, old - 1);
    else
        segment_seal(j, &j->segs[old - 1]);
    return 0;
}

/* ---- appending ---- */

static bool head_has_room(const struct journal *j, uint64_t need)
{
    return j->head != 0 && j->segs[j->head - 1].used + need <= j->segs[j->head - 1].size;
}

void journal_limit(struct journal *j, uint64_t max_bytes)
{
    j->o.max_bytes = max_bytes;
}

bool journal_has_room(const struct journal *j, uint64_t len)
{
    uint64_t need = record_bytes(len), size = j->o.segment_bytes;

    if (head_has_room(j, need))
        return true;
    if (need > record_room(size))
        size = segment_size_for(need);
    else if (j->n_pool > 0)
        return true;
    return j->o.max_bytes == 0 ||
           j->st.bytes - j->n_pool * j->o.segment_bytes + size <= j->o.max_bytes;
}

/* The bytes and their check are there: now it is a record. */
static journal_ref publish(struct journal *j, struct segment *s, const struct record_head *h)
{
    struct progress *p = progress_of(s);
    uint64_t at = s->used, word;
    uint8_t *rec = s->data + (at - s->data_at);

    memcpy(rec + offsetof(struct record_head, check), &h->check, sizeof(h->check));
    memcpy(&word, h, sizeof(word));
    __atomic_store_n((uint64_t *)(void *)rec, word, __ATOMIC_RELEASE);
    s->used += record_bytes(h->len);
    __atomic_store_n(&p->end, s->used, __ATOMIC_RELEASE);
    __atomic_store_n(&p->end_inverse, ~s->used, __ATOMIC_RELEASE);
    s->live++;
    s->dirty = true;
    j->st.live_records++;
    j->st.appended_records++;
    j->st.appended_bytes += h->len;
    return ref_of(j->head - 1, at);
}

int journal_append(struct journal *j, uint8_t type, const struct iovec *iov, unsigned n_iov,
                   journal_ref *ref)
{
    struct record_head h = {0};
    struct segment *s;
    uint64_t len = 0;

    for (unsigned i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if (len > INT32_MAX)
        return fail(j, JOURNAL_FULL, "a record of 2 GiB or more");
    if (!head_has_room(j, record_bytes(len)) && rotate(j, record_bytes(len)) != 0)
        return -1;
    s = &j->segs[j->head - 1];
    segment_prepare(j, s, s->used + record_bytes(len));
    h.len = (uint32_t)len;
    h.tag = record_tag(s, s->used, h.len, type);
    h.check = record_check(s, s->used,
                           hash_copy(s->data + (s->used - s->data_at) + sizeof(h), iov, n_iov));
    *ref = publish(j, s, &h);
    return 0;
}

void journal_drop(struct journal *j, journal_ref ref)
{
    struct segment *s = segment_of(j, ref);
    uint32_t slot = (uint32_t)(ref >> 32) - 1;

    CHECK(slot < j->n_segs && s->live > 0);
    segment_mark(s, offset_of(ref));
    s->live--;
    j->st.live_records--;
    if (s->live > 0 || s->unread)
        return;
    if (slot + 1 == j->head)
        segment_restart(j, s);
    else
        journal_recycle(j, slot);
}

/* ---- reading back ---- */

static int open_read_file(struct journal *j, uint32_t slot)
{
    if (j->read_fd >= 0 && j->read_slot == slot)
        return 0;
    close_read_file(j);
    j->read_fd = segment_open_file(j, &j->segs[slot], O_RDONLY);
    j->read_slot = slot;
    return j->read_fd >= 0 ? 0 : -1;
}

static int read_all(int fd, void *dst, uint64_t len, uint64_t at)
{
    uint8_t *to = dst;

    while (len > 0) {
        ssize_t n = pread(fd, to, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        to += n;
        at += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

int journal_read(struct journal *j, journal_ref ref, uint32_t from, void *dst, uint32_t len,
                 bool verify)
{
    const struct segment *s = segment_of(j, ref);
    uint64_t at = offset_of(ref);
    struct record_head h;

    CHECK(from == 0 || !verify);
    if (open_read_file(j, (uint32_t)(ref >> 32) - 1) != 0 ||
        read_all(j->read_fd, dst, len, at + sizeof(h) + from) != 0)
        return -1;
    if (!verify)
        return 0;
    if (read_all(j->read_fd, &h, sizeof(h), at) != 0 || h.len != len)
        return -1;
    return h.check == record_check(s, at, hash_bulk(dst, len)) ? 0 : -1;
}

const struct journal_stats *journal_stats(const struct journal *j)
{
    return &j->st;
}
