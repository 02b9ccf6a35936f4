/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts: what was appended is in the page cache, and here it goes to the disk. Written pages
 * of a mapping are the file's like any other: fdatasync() of the files written since the last time,
 * fsync() of the directory when there are new names. The descriptors are opened for each sync, so
 * that it does not matter what becomes of the segments while it runs on another thread.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/journal_priv.h"
#include "platform/mem.h"

struct journal_sync {
    int dir_fd; /* -1: no file is new */
    bool failed;
    uint32_t n;
    int fds[];
};

struct journal_sync *journal_sync_begin(struct journal *j)
{
    struct journal_sync *s;
    uint32_t n = 0;

    CHECK(!j->syncing);
    for (uint32_t i = 0; i < j->n_segs; i++)
        n += j->segs[i].dirty;
    if (n == 0 && !j->new_files)
        return NULL;
    s = mem_alloc(sizeof(*s) + n * sizeof(s->fds[0]));
    s->dir_fd = j->new_files ? j->dir_fd : -1;
    for (uint32_t i = 0; i < j->n_segs; i++) {
        if (!j->segs[i].dirty)
            continue;
        s->fds[s->n] = segment_open_file(j, &j->segs[i], O_RDONLY);
        if (s->fds[s->n] < 0)
            s->failed = true;
        else
            s->n++;
        j->segs[i].dirty = false;
    }
    j->new_files = false;
    j->syncing = true;
    return s;
}

int journal_sync_run(struct journal_sync *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (fdatasync(s->fds[i]) != 0)
            s->failed = true;
    if (s->dir_fd >= 0 && fsync(s->dir_fd) != 0)
        s->failed = true;
    return s->failed ? -1 : 0;
}

void journal_sync_end(struct journal *j, struct journal_sync **sp)
{
    struct journal_sync *s = *sp;

    *sp = NULL;
    for (uint32_t i = 0; i < s->n; i++)
        close(s->fds[i]);
    if (s->failed) {
        j->new_files = true;
        for (uint32_t i = 0; i < j->n_segs; i++)
            j->segs[i].dirty = j->segs[i].exists && !j->segs[i].free;
    }
    j->syncing = false;
    free(s);
}
