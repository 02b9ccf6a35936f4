/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the journal: the format of a segment file, and what is known of each.
 *
 *   0          ident            never changes while the segment is in use; checksummed
 *   1024       progress         how far it is written, how many marks are set; plain stores, no checksum
 *   2048       ident again      a flipped bit in one copy costs nothing
 *   4096       marks            one bit for each 16 bytes of records: the record that begins there is dropped
 *   data_at    records          each 16 bytes of header, then its bytes, padded to 16
 *
 * Bytes are in the machine's order: another order fails the checksum of the ident and is set aside.
 */
#ifndef TAILRACE_PLATFORM_JOURNAL_PRIV_H
#define TAILRACE_PLATFORM_JOURNAL_PRIV_H

#include "platform/journal.h"

#define JOURNAL_PAGE    4096u
#define JOURNAL_FORMAT  1u
#define SEGMENT_UNIT    (64u << 10)
#define SLOT_BYTES      16u /* records begin at multiples of it */
#define PROGRESS_AT     1024u
#define IDENT_COPY_AT   2048u
#define FILE_NAME_BYTES 24

struct ident {
    char magic[8];
    uint32_t format, kind, version, reserved;
    uint64_t size; /* of the file */
    uint64_t seq;  /* order of the segments in a journal */
    uint64_t salt; /* of this use of the file */
    uint64_t check;
};

/* Plain stores into the page cache, each visible or not after a kill, in this order. */
struct progress {
    uint64_t state;       /* enum segment_state */
    uint64_t end;         /* offset after the last record */
    uint64_t end_inverse; /* ~end; written after it */
    uint64_t n_marked;    /* raised before the mark is set: more marks than this were not set by us */
};

#define STATE_USED 0x45475355444c4c46ull
#define STATE_FREE 0x1122334466778899ull

struct record_head {
    uint32_t len;
    uint32_t tag; /* type in the low 8 bits; 24 bits of hash over len, type, place and salt */
    uint64_t check; /* XXH3 of the bytes, mixed with salt and place */
};

struct segment {
    uint64_t number; /* of the file's name */
    uint64_t size, data_at, seq, salt;
    uint64_t used;  /* offset of the end */
    uint64_t limit; /* unread: where journal_next() stops */
    uint32_t live;
    bool exists, free; /* neither free nor full: written, or left from before */
    bool unread;       /* journal_next() has not finished it */
    bool cut;          /* the file is shorter than its ident says: never written again */
    bool dirty;        /* written since the last sync */
    bool fresh;        /* made by this process and not used before */
    uint8_t *head;     /* ident, progress, marks: mapped as long as the file exists */
    uint8_t *data;     /* NULL: not mapped */
    uint64_t ready;    /* offset up to which the pages of data are there for writing */
};

struct journal {
    struct journal_options o;
    char *dir; /* also o.dir */
    int dir_fd, lock_fd;
    struct segment *segs; /* by slot; slot + 1 is the upper half of a ref */
    uint32_t n_segs, cap_segs;
    uint32_t head;                 /* slot + 1 being written; 0: none */
    uint32_t *pool;                /* slots of free files, the last one hottest */
    uint32_t n_pool, cap_pool;
    uint64_t next_seq, next_number, salts;
    struct journal_stats st;

    /* faults */
    enum journal_fault fault;
    char detail[256];
    uint64_t retry_at_ns; /* the disk is not asked again before */

    /* journal_next() */
    uint32_t *order; /* slots, oldest first */
    uint32_t n_order, next_order;
    uint8_t *buf; /* data of order[next_order], from data_at on; NULL: not read yet */
    uint64_t buf_len, at, hint; /* at, hint: offsets in the file */
    bool damaged;               /* within a piece that is no record */
    uint64_t unread_bytes;

    /* journal_read(): the file of the latest */
    int read_fd;
    uint32_t read_slot;

    bool new_files; /* since the last sync */
    bool syncing;
};

static inline struct progress *progress_of(const struct segment *s)
{
    return (struct progress *)(void *)(s->head + PROGRESS_AT);
}
static inline struct segment *segment_of(const struct journal *j, journal_ref ref)
{
    return &j->segs[(ref >> 32) - 1];
}
static inline uint64_t offset_of(journal_ref ref)
{
    return (ref & 0xffffffffu) * SLOT_BYTES;
}
static inline journal_ref ref_of(uint32_t slot, uint64_t offset)
{
    return (uint64_t)(slot + 1) << 32 | offset / SLOT_BYTES;
}
/* What a record of that length takes in its segment. */
static inline uint64_t record_bytes(uint64_t len)
{
    return sizeof(struct record_head) + ((len + SLOT_BYTES - 1) & ~(uint64_t)(SLOT_BYTES - 1));
}

/* ---- journal_segment.c: files ---- */

uint64_t segment_data_at(uint64_t size);
uint64_t segment_size_for(uint64_t record_bytes); /* the file for one large record */
void segment_file_name(const struct segment *s, char name[static FILE_NAME_BYTES]);

/* A file for slot, empty and free. -1 with *sys_errno; nothing is left behind. */
int segment_create(struct journal *j, uint32_t slot, uint64_t size, int *sys_errno) MUST_USE;
/* Looks at a file found in the directory. 1: it is in slot. 0: it was removed or set aside. -1 and err: the directory
 * cannot be worked in. */
int segment_adopt(struct journal *j, uint32_t slot, const char *name, struct err *err) MUST_USE;
/* A free segment becomes one to write to, under a new salt. -1 with *sys_errno: it cannot be mapped. */
int segment_use(struct journal *j, struct segment *s, int *sys_errno) MUST_USE;
uint8_t *segment_map_data(struct journal *j, struct segment *s, int *sys_errno) MUST_USE;
/* Its pages up to `end` are there for writing. */
void segment_prepare(struct journal *j, struct segment *s, uint64_t end);
void segment_restart(struct journal *j, struct segment *s); /* as segment_use for one in use without a live record */
void segment_seal(struct journal *j, struct segment *s);    /* full: its data unmapped, unless keep_mapped */
void segment_close(struct segment *s);
void segment_remove(struct journal *j, struct segment *s);
bool segment_marked(const struct segment *s, uint64_t offset);
void segment_mark(struct segment *s, uint64_t offset);
void segment_clear_marks(struct segment *s);
uint64_t segment_count_marks(const struct segment *s);
int segment_open_file(const struct journal *j, const struct segment *s, int flags) MUST_USE;

uint32_t record_tag(const struct segment *s, uint64_t offset, uint32_t len, uint8_t type);
uint64_t record_check(const struct segment *s, uint64_t offset, uint64_t hash); /* hash_bulk of its bytes */

/* ---- journal.c ---- */

uint32_t journal_slot(struct journal *j); /* a slot without a file */
/* No record of this segment lives: it goes to the pool, or its file goes. */
void journal_recycle(struct journal *j, uint32_t slot);
void journal_warn(struct journal *j, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- journal_replay.c ---- */

void replay_plan(struct journal *j); /* after all files were adopted */
void replay_free(struct journal *j);
/* Where the records of a file left from before surely end; its size when that cannot be told. */
uint64_t replay_hint(const struct segment *s);

#endif
