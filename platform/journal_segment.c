/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment files of the journal: made, found again, used, marked, set aside, removed. See
 * journal_priv.h for what is in one.
 *
 * Every page is reserved before it is mapped (fallocate, or zeros written where a file system has
 * no such call): a store into the mapping never meets a full disk. What a kill can interrupt:
 *   - a file being made has no ident and nothing but zeros: it is removed when found;
 *   - a file changing its use says "free" from the first store to the last: it is used again when
 * found. A file that somebody shortens while it is mapped ends the process (SIGBUS): nobody else
 * may write here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/hash.h"
#include "platform/journal_priv.h"
#include "platform/mem.h"

#define STEP_BYTES (256u << 10) /* pages prepared together */

static const char magic[8] = "TRJRNL\r\n";

#define STORE(field, v) __atomic_store_n(&(field), (v), __ATOMIC_RELEASE)

uint64_t segment_data_at(uint64_t size)
{
    uint64_t marks = size / SLOT_BYTES / 8;

    return JOURNAL_PAGE + ((marks + JOURNAL_PAGE - 1) & ~(uint64_t)(JOURNAL_PAGE - 1));
}

uint64_t segment_size_for(uint64_t bytes)
{
    uint64_t size = (bytes + bytes / 64 + 4ull * JOURNAL_PAGE + SEGMENT_UNIT - 1) &
                    ~(uint64_t)(SEGMENT_UNIT - 1);

    CHECK(segment_data_at(size) + bytes <= size);
    return size;
}

void segment_file_name(const struct segment *s, char name[static FILE_NAME_BYTES])
{
    snprintf(name, FILE_NAME_BYTES, "%08llx.seg", (unsigned long long)s->number);
}

int segment_open_file(const struct journal *j, const struct segment *s, int flags)
{
    char name[FILE_NAME_BYTES];

    segment_file_name(s, name);
    return openat(j->dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW);
}

/* ---- checksums ---- */

static uint64_t place_salt(const struct segment *s, uint64_t offset)
{
    return s->salt + offset * 0x9e3779b97f4a7c15ull;
}

uint32_t record_tag(const struct segment *s, uint64_t offset, uint32_t len, uint8_t type)
{
    uint64_t h = place_salt(s, offset) ^ ((uint64_t)type << 32 | len);

    h = (h ^ h >> 31) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ h >> 29) * 0x94d049bb133111ebull;
    return (uint32_t)(h >> 40) << 8 | type;
}

/* The salt comes last: with a seed XXH3 makes itself a secret at each call. */
uint64_t record_check(const struct segment *s, uint64_t offset, uint64_t hash)
{
    uint64_t h = hash ^ place_salt(s, offset);

    return (h ^ h >> 32) * 0x9fb21c651e98df25ull;
}

static void ident_write(const struct journal *j, struct segment *s)
{
    struct ident id = {.format = JOURNAL_FORMAT,
                       .kind = j->o.kind,
                       .version = j->o.version,
                       .size = s->size,
                       .seq = s->seq,
                       .salt = s->salt};

    memcpy(id.magic, magic, sizeof(magic));
    id.check = hash_stable(&id, offsetof(struct ident, check));
    memcpy(s->head, &id, sizeof(id));
    memcpy(s->head + IDENT_COPY_AT, &id, sizeof(id));
}

static bool ident_good(const struct ident *id)
{
    return memcmp(id->magic, magic, sizeof(magic)) == 0 &&
           id->check == hash_stable(id, offsetof(struct ident, check)) && id->size != 0 &&
           id->size % SEGMENT_UNIT == 0 && id->size < 1ull << 35;
}

/* ---- mapping ---- */

static uint8_t *map(int fd, uint64_t at, uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);

    return p == MAP_FAILED ? NULL : p;
}

static void unmap_data(struct segment *s)
{
    if (s->data != NULL)
        CHECK(munmap(s->data, s->size - s->data_at) == 0);
    s->data = NULL;
}

void segment_close(struct segment *s)
{
    unmap_data(s);
    if (s->head != NULL)
        CHECK(munmap(s->head, s->data_at) == 0);
    s->head = NULL;
}

/* ---- marks ---- */

static uint64_t slot_index(const struct segment *s, uint64_t offset)
{
    return (offset - s->data_at) / SLOT_BYTES;
}

bool segment_marked(const struct segment *s, uint64_t offset)
{
    uint64_t i = slot_index(s, offset);

    return s->head[JOURNAL_PAGE + i / 8] >> (i % 8) & 1;
}

void segment_mark(struct segment *s, uint64_t offset)
{
    uint64_t i = slot_index(s, offset);
    struct progress *p = progress_of(s);

    STORE(p->n_marked, p->n_marked + 1);
    s->head[JOURNAL_PAGE + i / 8] |= (uint8_t)(1u << (i % 8));
}

uint64_t segment_count_marks(const struct segment *s)
{
    uint64_t n = 0, word;

    for (uint64_t i = JOURNAL_PAGE; i + 8 <= s->data_at; i += 8) {
        memcpy(&word, s->head + i, 8);
        n += (uint64_t)__builtin_popcountll(word);
    }
    return n;
}

void segment_clear_marks(struct segment *s)
{
    memset(s->head + JOURNAL_PAGE, 0, s->data_at - JOURNAL_PAGE);
    STORE(progress_of(s)->n_marked, 0);
}

/* ---- use ---- */

/* As far as the file was written, so that pages never touched stay so. */
static void clear_used_marks(struct segment *s)
{
    memset(s->head + JOURNAL_PAGE, 0, slot_index(s, s->used) / 8 + 1);
    STORE(progress_of(s)->n_marked, 0);
}

void segment_restart(struct journal *j, struct segment *s)
{
    struct progress *p = progress_of(s);

    STORE(p->state, STATE_FREE);
    clear_used_marks(s);
    s->seq = j->next_seq++;
    s->salt = random_next(&j->salts);
    s->used = s->data_at;
    s->free = false;
    ident_write(j, s);
    STORE(p->end, s->used);
    STORE(p->end_inverse, ~s->used);
    STORE(p->state, STATE_USED);
}

uint8_t *segment_map_data(struct journal *j, struct segment *s, int *sys_errno)
{
    int fd;

    if (s->data != NULL)
        return s->data;
    fd = segment_open_file(j, s, O_RDWR);
    if (fd >= 0)
        s->data = map(fd, s->data_at, s->size - s->data_at);
    *sys_errno = errno;
    s->ready = s->data_at;
    if (fd >= 0)
        close(fd);
    return s->data;
}

int segment_use(struct journal *j, struct segment *s, int *sys_errno)
{
    if (segment_map_data(j, s, sys_errno) == NULL)
        return -1;
    s->ready = s->data_at;
    segment_restart(j, s);
    return 0;
}

void segment_seal(struct journal *j, struct segment *s)
{
    if (!j->o.keep_mapped)
        unmap_data(s);
}

/* ---- pages ---- */

/* Whole pages in large pieces. */
static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[JOURNAL_PAGE];
    struct iovec iov[STEP_BYTES / JOURNAL_PAGE];

    for (size_t i = 0; i < ARRAY_LEN(iov); i++)
        iov[i] = (struct iovec){(void *)(uintptr_t)zeros, sizeof(zeros)};
    for (uint64_t at = from, len; at < to; at += len) {
        len = to - at < STEP_BYTES ? to - at : STEP_BYTES;
        ssize_t n = pwritev(fd, iov, (int)(len / JOURNAL_PAGE), (off_t)at);

        if (n != (ssize_t)len) {
            if (n >= 0)
                errno = ENOSPC;
            return -1;
        }
    }
    return 0;
}

/* Pages that come by a write are large where the file system has such, and cheaper for ever. */
static void fill_fresh(struct journal *j, const struct segment *s, uint64_t from, uint64_t to)
{
    int fd = segment_open_file(j, s, O_RDWR);

    if (fd < 0)
        return;
    (void)write_zeros(fd, from, to); /* if it fails the pages come by stores */
    close(fd);
}

/* Does a store to the first of these pages go without a fault? One that the kernel wrote out since
 * takes one, and so does one that was never mapped. */
static bool takes_stores(uint8_t *p)
{
    struct rusage before = {.ru_minflt = 0}, after = {.ru_minflt = 0};
    volatile uint8_t *first = p;

    (void)getrusage(RUSAGE_THREAD, &before);
    *first = *first;
    (void)getrusage(RUSAGE_THREAD, &after);
    return before.ru_minflt == after.ru_minflt && before.ru_majflt == after.ru_majflt;
}

/* Pages that the kernel wrote out are to be made writable again, each for itself when stores do it.
 * To unmap them before halves the costs. What was left a few seconds ago is ready as it is. */
static void prepare_step(struct journal *j, struct segment *s)
{
    uint64_t end = s->ready + STEP_BYTES < s->size ? s->ready + STEP_BYTES : s->size;
    uint8_t *p = s->data + (s->ready - s->data_at);

    if (s->fresh || !takes_stores(p)) {
        if (s->fresh)
            fill_fresh(j, s, s->ready, end);
        else
            (void)madvise(p, end - s->ready, MADV_DONTNEED);
#ifdef MADV_POPULATE_WRITE
        (void)madvise(p, end - s->ready,
                      MADV_POPULATE_WRITE); /* not before Linux 5.14: then one by one */
#endif
    }
    s->ready = end;
}

void segment_prepare(struct journal *j, struct segment *s, uint64_t end)
{
    CHECK(end <= s->size && (!s->fresh || s->used <= s->ready)); /* zeros only where no record is */
    while (UNLIKELY(s->ready < end))
        prepare_step(j, s);
}

/* ---- making ---- */

static int reserve(int fd, uint64_t size)
{
    int rc;

    do
        rc = fallocate(fd, 0, 0, (off_t)size);
    while (rc != 0 && errno == EINTR);
    if (rc != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        rc = write_zeros(fd, 0, size);
    return rc;
}

/* A name that is not taken; the fd, or -1. */
static int create_file(struct journal *j, struct segment *s)
{
    int fd;

    do {
        char name[FILE_NAME_BYTES];

        s->number = j->next_number++;
        segment_file_name(s, name);
        fd = openat(j->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

int segment_create(struct journal *j, uint32_t slot, uint64_t size, int *sys_errno)
{
    struct segment *s = &j->segs[slot];
    char name[FILE_NAME_BYTES];
    int fd;

    *s = (struct segment){.size = size, .data_at = segment_data_at(size)};
    s->used = s->ready = s->data_at;
    s->fresh = true;
    fd = create_file(j, s);
    if (fd < 0) {
        *sys_errno = errno;
        return -1;
    }
    if (reserve(fd, size) == 0)
        s->head = map(fd, 0, s->data_at);
    *sys_errno = errno;
    close(fd);
    if (s->head == NULL) {
        segment_file_name(s, name);
        (void)unlinkat(j->dir_fd, name, 0);
        return -1;
    }
    s->exists = s->free = true;
    STORE(progress_of(s)->state, STATE_FREE);
    j->new_files = true;
    j->st.segments++;
    j->st.bytes += size;
    return 0;
}

void segment_remove(struct journal *j, struct segment *s)
{
    char name[FILE_NAME_BYTES];

    if (j->read_fd >= 0 && s == &j->segs[j->read_slot]) {
        close(j->read_fd);
        j->read_fd = -1;
    }
    segment_close(s);
    segment_file_name(s, name);
    (void)unlinkat(j->dir_fd, name, 0);
    j->st.segments--;
    j->st.bytes -= s->size;
    *s = (struct segment){0};
}

/* ---- finding again ---- */

static void rename_aside(struct journal *j, const char *name, const char *why)
{
    char to[64];
    int rc = -1;

    for (unsigned i = 0; i < 1000 && rc != 0; i++) {
        snprintf(to, sizeof(to), i == 0 ? "%s.aside" : "%s.aside.%u", name, i);
        rc = renameat2(j->dir_fd, name, j->dir_fd, to, RENAME_NOREPLACE);
        if (rc != 0 && errno != EEXIST)
            break;
    }
    j->st.set_aside++;
    journal_warn(j, "%s/%s is set aside%s%s: %s", j->dir, name, rc == 0 ? " as " : "",
                 rc == 0 ? to : "", why);
}

static bool all_zero(int fd, uint64_t size)
{
    uint8_t *p = mem_alloc(SEGMENT_UNIT);
    bool zero = true;

    for (uint64_t at = 0; at < size && zero;) {
        ssize_t n = pread(fd, p, SEGMENT_UNIT, (off_t)at);

        if (n <= 0)
            break;
        zero = p[0] == 0 && memcmp(p, p + 1, (size_t)n - 1) == 0;
        at += (uint64_t)n;
    }
    free(p);
    return zero;
}

/* Either copy. */
static bool ident_read(int fd, struct ident *id)
{
    static const off_t at[] = {0, IDENT_COPY_AT};

    for (size_t i = 0; i < 2; i++)
        if (pread(fd, id, sizeof(*id), at[i]) == (ssize_t)sizeof(*id) && ident_good(id))
            return true;
    return false;
}

/* NULL: it is ours. Else what is wrong with it; "" for a file that was never finished. */
static const char *foreign(const struct journal *j, int fd, uint64_t size, struct ident *id)
{
    struct progress p = {0};

    if (!ident_read(fd, id)) {
        if (pread(fd, &p, sizeof(p), PROGRESS_AT) == (ssize_t)sizeof(p) && p.state == STATE_FREE)
            return ""; /* made, or changing its use, when the process ended */
        return all_zero(fd, size) ? "" : "it is no segment of this format, or its head is damaged";
    }
    if (id->format != JOURNAL_FORMAT || id->version != j->o.version)
        return "it was written by another version";
    if (id->kind != j->o.kind)
        return "it belongs to something else";
    if (size < segment_data_at(id->size))
        return "it was cut short";
    return NULL;
}

static void adopt_state(struct journal *j, struct segment *s, uint64_t file_size)
{
    const struct progress *p = progress_of(s);

    s->exists = true;
    s->cut = file_size < s->size;
    s->used = s->limit = s->cut ? file_size & ~(uint64_t)(SLOT_BYTES - 1) : s->size;
    s->free = p->state == STATE_FREE;
    s->unread = !s->free;
    j->st.segments++;
    j->st.bytes += s->size;
}

/* `number` is in s. 1 or 0 as segment_adopt, -1 with errno. */
static int adopt_open(struct journal *j, struct segment *s, int fd, const char *name)
{
    struct ident id;
    struct stat st;
    const char *why;

    if (fstat(fd, &st) != 0)
        return -1;
    why = foreign(j, fd, (uint64_t)st.st_size, &id);
    if (why != NULL && *why == '\0')
        return unlinkat(j->dir_fd, name, 0) == 0 ? 0 : -1;
    if (why != NULL) {
        rename_aside(j, name, why);
        return 0;
    }
    s->size = id.size;
    s->data_at = segment_data_at(id.size);
    s->seq = id.seq;
    s->salt = id.salt;
    s->head = map(fd, 0, s->data_at);
    if (s->head == NULL)
        return -1;
    adopt_state(j, s, (uint64_t)st.st_size);
    return 1;
}

int segment_adopt(struct journal *j, uint32_t slot, const char *name, struct err *err)
{
    struct segment *s = &j->segs[slot];
    int fd, rc;

    *s = (struct segment){.number = strtoull(name, NULL, 16)};
    fd = segment_open_file(j, s, O_RDWR);
    rc = fd < 0 ? -1 : adopt_open(j, s, fd, name);
    if (rc < 0)
        err_set(err, "%s/%s: %s", j->dir, name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}
