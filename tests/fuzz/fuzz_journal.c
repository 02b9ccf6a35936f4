/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the journal's recovery. The input is a script of two-byte steps: append, drop, close and
 * open again, flip a bit of a file, zero a piece of one, shorten one. Whatever the damage, every
 * record that comes back is one that was appended, byte for byte; without damage exactly those that
 * live come back, oldest first.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/journal.h"
#include "platform/journal_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_RECORDS = 512, MAX_LEN = 9000 };

struct run {
    struct journal *j;
    journal_ref refs[MAX_RECORDS]; /* 0: dropped */
    uint32_t n;
    bool damaged;
};

static char root[48], dir[64];

static void make_root(void)
{
    snprintf(root, sizeof(root), "/dev/shm/fuzz-journal-XXXXXX");
    if (mkdtemp(root) == NULL) {
        snprintf(root, sizeof(root), "/tmp/fuzz-journal-XXXXXX");
        CHECK(mkdtemp(root) != NULL);
    }
    snprintf(dir, sizeof(dir), "%s/j", root);
}

static void path_of(char path[static 96], unsigned number)
{
    snprintf(path, 96, "%s/%08x.seg", dir, number);
}

static void clean(void)
{
    DIR *d = opendir(dir);

    CHECK(d != NULL);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        (void)unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    CHECK(rmdir(dir) == 0 && rmdir(root) == 0);
}

static uint32_t fill(uint8_t *p, uint32_t i)
{
    uint32_t len = 8 + (i * 2654435761u >> 16) % (MAX_LEN - 8);

    for (uint32_t k = 0; k < len; k++)
        p[k] = (uint8_t)(i * 131 + k * 7 + (k >> 8));
    memcpy(p, &i, 4);
    return len;
}

static void append(struct run *r)
{
    uint8_t p[MAX_LEN];
    uint32_t len = fill(p, r->n);

    if (r->n < MAX_RECORDS &&
        journal_append(r->j, (uint8_t)r->n, &(struct iovec){p, len}, 1, &r->refs[r->n]) == 0)
        r->n++;
}

static uint32_t check_record(const struct run *r, const struct journal_record *rec)
{
    uint8_t p[MAX_LEN];
    uint32_t i;

    CHECK(rec->len >= 8);
    memcpy(&i, rec->p, 4);
    CHECK(i < r->n && rec->type == (uint8_t)i);
    CHECK(rec->len == fill(p, i) && memcmp(rec->p, p, rec->len) == 0);
    return i;
}

static void reopen(struct run *r)
{
    static const struct journal_options o = {.dir = dir,
                                             .kind = 1,
                                             .version = 1,
                                             .segment_bytes = SEGMENT_UNIT,
                                             .max_bytes = 40 * SEGMENT_UNIT,
                                             .pool_segments = 1};
    bool seen[MAX_RECORDS] = {false};
    struct journal_record rec;
    struct err err;
    uint32_t last = 0;

    journal_close(&r->j);
    r->j = journal_open(&o, NULL, &err);
    CHECK(r->j != NULL);
    while (journal_next(r->j, &rec) == 1) {
        uint32_t i = check_record(r, &rec);

        CHECK(!seen[i] && (r->damaged || (i >= last && r->refs[i] != 0)));
        last = i;
        seen[i] = true;
        r->refs[i] = rec.ref;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        CHECK(r->damaged || seen[i] == (r->refs[i] != 0));
        if (!seen[i])
            r->refs[i] = 0;
    }
}

static void drop(struct run *r, unsigned which)
{
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t at = (which + i) % r->n;

        if (r->refs[at] == 0)
            continue;
        journal_drop(r->j, r->refs[at]);
        r->refs[at] = 0;
        return;
    }
}

/* Damage comes while no journal is open. `what` chooses the file, `where` the place: the first page
 * often. */
static void damage(struct run *r, unsigned kind, unsigned where)
{
    uint64_t at = where < 128 ? where * 8ull % 72 + (where & 64 ? PROGRESS_AT : 0)
                              : (where - 128) * 401ull + 4096;
    uint8_t b[64] = {0};
    char path[96];
    int fd;

    journal_close(&r->j);
    path_of(path, where % 3);
    fd = open(path, O_RDWR);
    if (fd >= 0) {
        r->damaged = true;
        if (kind == 0 && pread(fd, b, 1, (off_t)at) == 1) {
            b[0] ^= (uint8_t)(1u << (where % 8));
            CHECK(pwrite(fd, b, 1, (off_t)at) == 1);
        } else if (kind == 1) {
            CHECK(pwrite(fd, b, sizeof(b), (off_t)at) == (ssize_t)sizeof(b));
        } else if (kind == 2) {
            CHECK(ftruncate(fd, (off_t)at) == 0);
        }
        close(fd);
    }
    reopen(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {0};

    make_root();
    reopen(&r);
    for (size_t i = 0; i + 2 <= size && i < 400; i += 2) {
        unsigned what = data[i] % 16, arg = data[i + 1];

        if (what < 8)
            append(&r);
        else if (what < 12)
            drop(&r, arg);
        else if (what < 13)
            reopen(&r);
        else
            damage(&r, what - 13, arg);
    }
    reopen(&r);
    journal_close(&r.j);
    clean();
    return 0;
}
