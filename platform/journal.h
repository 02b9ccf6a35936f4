/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal: checksummed records in a directory of segment files. What was appended survives the end of the
 * process (SIGKILL too) without a system call a record; journal_sync_* makes it survive a power cut.
 *
 *   <dir>/lock          held (flock) while somebody has the journal open
 *   <dir>/00000000.seg  | header | marks | record | record | ...     written front to back
 *   <dir>/00000001.seg  ...
 *
 *   open -> next, next, next (what is left from before, oldest first) -> append, drop, append, drop -> close
 *
 * A record is what its owner says: a type of his own and bytes. It lives until journal_drop(); the drop is
 * marked in the file, so the next process does not see the record again. A segment whose last record has gone
 * is written anew, under another salt: what was in it before never passes for a record.
 *
 * What goes wrong is an outcome: a full disk, a read-only one, a bound reached are faults of the append that
 * met them, and the next append tries again. Damage costs the records it touches: they are skipped and
 * counted. Files of another format are renamed ("*.aside"), told through `warn`, and never deleted.
 *
 * Memory: `segment_bytes` of address space for each segment being written or pooled, and for all of them
 * with keep_mapped; else a full segment keeps only its header and marks mapped (1/128 of it). All of it is page
 * cache that the kernel can write out and drop. The tables cost 100 bytes a segment.
 * Threads: one per journal, but for journal_sync_run(). Limits: 2^31 segments, records below 2 GiB.
 */
#ifndef TAILRACE_PLATFORM_JOURNAL_H
#define TAILRACE_PLATFORM_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "platform/err.h"

struct journal;

/* Names a record of an open journal: segment and offset. Never 0. Good until the record is dropped or the
 * journal closed; the same record has another ref after the next open. */
typedef uint64_t journal_ref;

struct journal_options {
    const char *dir;        /* of this journal alone; its parent must exist unless make_parents */
    bool make_parents;      /* make missing directories above as well */
    uint32_t dir_mode;      /* of directories made; 0: 0750 */
    uint32_t kind;          /* whose records these are (four letters); segments of others are set aside */
    uint32_t version;       /* of the owner's records; segments of another version are set aside */
    uint64_t segment_bytes; /* 64 KiB to 1 GiB, a multiple of 64 KiB. One record that is larger gets a file of its own */
    uint64_t max_bytes;     /* all files together; 0: unbounded */
    uint32_t pool_segments; /* empty files kept for the next segment: fresh ones cost five times as much to fill */
    bool keep_mapped;       /* full segments as well: cheaper when they are written anew within seconds */
    void (*warn)(void *ctx, const char *text); /* what somebody should read in the log; may be NULL */
    void *warn_ctx;
};

/* Locks and looks at every file; reads no record. NULL and err when the directory cannot be had: `locked` (may
 * be NULL) tells whether that is because another journal is open there. */
struct journal *journal_open(const struct journal_options *o, bool *locked, struct err *err) MUST_USE;
/* Unlocks. Records that live stay on disk. Fine on NULL. */
void journal_close(struct journal **j);
/* Closes and deletes the directory, if no record lives and nothing was set aside in it; else only closes. */
void journal_close_and_remove(struct journal **j);

/* ---- what is left from before ---- */

struct journal_record {
    journal_ref ref;
    uint8_t type;
    const uint8_t *p; /* until the next call of journal_next() */
    uint32_t len;
};
/* The next record from before the open, in the order of appending: 1, or 0 at the end. Reads one segment at a
 * time into memory (charged to nobody: segment_bytes, freed at the end). May be called between appends. */
int journal_next(struct journal *j, struct journal_record *r) MUST_USE;
/* Bytes of files that journal_next() has still to read. 0: it has said 0, or will. */
uint64_t journal_unread_bytes(const struct journal *j);

/* ---- writing ---- */

enum journal_fault {
    JOURNAL_OK,
    JOURNAL_FULL,      /* max_bytes */
    JOURNAL_NO_SPACE,  /* the disk, a quota, or a limit of file sizes */
    JOURNAL_READ_ONLY, /* file system or permissions */
    JOURNAL_IO,        /* anything else the system said */
};
const char *journal_fault_text(enum journal_fault f);

/* Appends one record of the bytes of all iovs. 0, or -1: journal_fault() tells why, nothing was written. */
int journal_append(struct journal *j, uint8_t type, const struct iovec *iov, unsigned n_iov,
                   journal_ref *ref) MUST_USE;

/* Another max_bytes. What is there stays. */
void journal_limit(struct journal *j, uint64_t max_bytes);
/* Would a record of that length find room without another file, or with one within max_bytes? Asks no disk. */
bool journal_has_room(const struct journal *j, uint64_t len);
enum journal_fault journal_fault(const struct journal *j); /* of the latest append that failed */
const char *journal_fault_detail(const struct journal *j); /* its words, for a log line */

/* The record is done with. */
void journal_drop(struct journal *j, journal_ref ref);

/* ---- reading back ---- */

/* Reads len bytes of the record from `from` on, with read(2): an unreadable disk is -1, never a signal. verify: from
 * must be 0 and len the record's: -1 as well when the checksum says no. */
int journal_read(struct journal *j, journal_ref ref, uint32_t from, void *dst, uint32_t len, bool verify) MUST_USE;

/* ---- power cuts ---- */

/*
 * What was appended so far, on its way to the disk: begin on the journal's thread, run on any (it blocks), end
 * on the journal's. 0 from run: all of it is safe. One at a time; NULL from begin: nothing to do.
 */
struct journal_sync;
struct journal_sync *journal_sync_begin(struct journal *j) MUST_USE;
int journal_sync_run(struct journal_sync *s) MUST_USE;
void journal_sync_end(struct journal *j, struct journal_sync **s);

/* ---- seeing ---- */

struct journal_stats {
    uint64_t bytes;           /* of all files, free ones included */
    uint32_t segments;        /* files */
    uint32_t free_segments;   /* of them empty */
    uint64_t live_records;    /* known to live: appended, or seen by journal_next() */
    uint64_t appended_records, appended_bytes;
    uint64_t replayed_records;
    uint64_t corrupt_records; /* pieces of files that should have been records and were not */
    uint64_t torn_bytes;      /* what those pieces measured */
    uint64_t set_aside;       /* files renamed */
    uint64_t faults;          /* appends refused */
};
const struct journal_stats *journal_stats(const struct journal *j);

#endif
