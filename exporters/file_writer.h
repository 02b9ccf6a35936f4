/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is written whole records at a time, with rotation. Shared by the workers of one
 * exporter, and by all writers of the same path: any thread, under one lock held for a write.
 *
 * A record that does not fit the disk leaves nothing behind: the file is cut back to where it ended.
 * Rotation renames PATH to NAME-<time>.EXT, begins PATH anew, and removes old ones by age and number.
 */
#ifndef TAILRACE_EXPORTERS_FILE_WRITER_H
#define TAILRACE_EXPORTERS_FILE_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/buf.h"
#include "platform/err.h"

struct file_writer_settings {
    const char *path;
    bool append;           /* keep what the file holds */
    bool create_directory;
    unsigned directory_mode;
    bool rotate;
    uint64_t max_bytes;    /* of one file; 0: no limit */
    uint64_t max_days;     /* of rotated files; 0: any */
    uint64_t max_backups;  /* rotated files kept; 0: all */
    bool local_time;       /* in the names of rotated files */
};

struct file_writer;
struct file_writer *file_writer_new(const struct file_writer_settings *s) MUST_USE; /* copies; opens nothing */
void file_writer_free(struct file_writer **w);

/* Opens the file; once is enough, again does nothing. -1 with err. */
int file_writer_open(struct file_writer *w, struct err *err) MUST_USE;

/* All of `records`, or nothing and -1 with err. Opens the file again when it has no file (a rotation
 * failed). The first record decides about rotation: it is not torn apart from its file. */
int file_writer_write(struct file_writer *w, struct slice records, struct err *err) MUST_USE;

#endif
