/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: what was appended and not dropped is there after a reopen, a kill, and damage
 * elsewhere. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/hash.h"
#include "platform/journal.h"
#include "platform/journal_priv.h"
#include "platform/mem.h"

#define KIND 0x54534554u

static char dir[64], root[48];
static unsigned n_warnings;
static struct journal_options opts;
static uint64_t rnd = 4711;

static void on_warn(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
    n_warnings++;
}

static void setup(void)
{
    snprintf(root, sizeof(root),
             "/dev/shm/tailrace-journal-XXXXXX"); /* a slow disk proves nothing here */
    if (mkdtemp(root) == NULL) {
        snprintf(root, sizeof(root), "/tmp/tailrace-journal-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
    }
    snprintf(dir, sizeof(dir), "%s/q", root);
    n_warnings = 0;
    opts = (struct journal_options){.dir = dir,
                                    .kind = KIND,
                                    .version = 1,
                                    .segment_bytes = SEGMENT_UNIT,
                                    .pool_segments = 2,
                                    .warn = on_warn};
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void teardown(void)
{
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct journal *open_it(void)
{
    struct err err = {0};
    struct journal *j = journal_open(&opts, NULL, &err);

    ck_assert_msg(j != NULL, "%s", err.text);
    return j;
}

/* Record i: 4 bytes of i, then bytes made from it. */
static void fill(uint8_t *p, uint32_t i, uint32_t len)
{
    memcpy(p, &i, 4);
    for (uint32_t k = 4; k < len; k++)
        p[k] = (uint8_t)(i * 31 + k * 7 + (k >> 8));
}

static journal_ref put(struct journal *j, uint32_t i, uint32_t len)
{
    uint8_t *p = mem_alloc(len);
    journal_ref ref = 0;

    fill(p, i, len);
    ck_assert_int_eq(
        journal_append(j, (uint8_t)i, &(struct iovec){.iov_base = p, .iov_len = len}, 1, &ref), 0);
    ck_assert(ref != 0);
    free(p);
    return ref;
}

/* Is it byte for byte what put() wrote? Its number, or -1. */
static int64_t number_of(const struct journal_record *r)
{
    uint8_t *p = mem_alloc(r->len + 1);
    uint32_t i;
    bool same;

    ck_assert_uint_ge(r->len, 4);
    memcpy(&i, r->p, 4);
    fill(p, i, r->len);
    same = memcmp(p, r->p, r->len) == 0 && r->type == (uint8_t)i;
    free(p);
    return same ? (int64_t)i : -1;
}

/* Reads all that is left: every record must be one of ours. seen[i] counts. */
static unsigned replay(struct journal *j, unsigned *seen, unsigned n)
{
    struct journal_record r;
    unsigned count = 0;

    while (journal_next(j, &r) == 1) {
        int64_t i = number_of(&r);

        ck_assert_int_ge(i, 0);
        ck_assert_int_lt(i, (int64_t)n);
        seen[i]++;
        count++;
    }
    ck_assert_uint_eq(journal_unread_bytes(j), 0);
    return count;
}

static unsigned files_in(const char *ending)
{
    char cmd[160];
    unsigned n = 0;
    FILE *f;

    snprintf(cmd, sizeof(cmd), "ls %s | grep -c '%s$'", dir, ending);
    f = popen(cmd, "r"); /* NOLINT(cert-env33-c) */
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%u", &n), 1);
    pclose(f);
    return n;
}

static void seg_path(char path[static 96], unsigned number)
{
    snprintf(path, 96, "%s/%08x.seg", dir, number);
}

/* ---- what it is for ---- */

START_TEST(records_come_back_in_order_and_drops_are_kept)
{
    enum { N = 200 };
    unsigned seen[N] = {0};
    journal_ref refs[N];
    struct journal *j = open_it();
    struct journal_record r;

    ck_assert_int_eq(journal_next(j, &r), 0);
    for (uint32_t i = 0; i < N; i++)
        refs[i] = put(j, i, 4 + i * 37);
    for (uint32_t i = 0; i < N; i += 3)
        journal_drop(j, refs[i]);
    journal_close(&j);

    j = open_it();
    for (uint32_t i = 0; i < N; i++) {
        if (i % 3 == 0)
            continue;
        ck_assert_int_eq(journal_next(j, &r), 1);
        ck_assert_int_eq(number_of(&r), i);
        seen[i]++;
    }
    ck_assert_int_eq(journal_next(j, &r), 0);
    ck_assert_uint_eq(journal_stats(j)->corrupt_records, 0);
    ck_assert_uint_eq(journal_stats(j)->live_records, N - (N + 2) / 3);
    journal_close(&j);
    ck_assert_uint_eq(n_warnings, 0);
}
END_TEST

START_TEST(a_journal_that_keeps_up_stays_in_one_file)
{
    struct journal *j = open_it();

    for (uint32_t i = 0; i < 5000; i++)
        journal_drop(j, put(j, i, 900));
    ck_assert_uint_eq(journal_stats(j)->segments, 1);
    ck_assert_uint_eq(journal_stats(j)->live_records, 0);
    journal_close_and_remove(&j);
    ck_assert_int_eq(access(dir, F_OK), -1);
}
END_TEST

START_TEST(files_are_used_again_and_their_old_records_are_gone)
{
    enum { N = 2000 };
    unsigned *seen = mem_alloc_array(N, sizeof(*seen));
    journal_ref refs[64];
    struct journal *j = open_it();
    uint32_t most = 0;

    for (uint32_t i = 0; i < N; i++) { /* 64 live at any time, dropped oldest first */
        if (i >= 64)
            journal_drop(j, refs[i % 64]);
        refs[i % 64] = put(j, i, 2000 + i % 700);
        most = journal_stats(j)->segments > most ? journal_stats(j)->segments : most;
    }
    ck_assert_uint_le(most, 7);
    journal_close(&j);
    j = open_it();
    ck_assert_uint_eq(replay(j, seen, N), 64);
    for (uint32_t i = N - 64; i < N; i++)
        ck_assert_uint_eq(seen[i], 1);
    ck_assert_uint_eq(journal_stats(j)->corrupt_records, 0);
    journal_close(&j);
    free(seen);
}
END_TEST

START_TEST(a_large_record_has_a_file_of_its_own)
{
    unsigned seen[3] = {0};
    struct journal *j = open_it();
    journal_ref big;
    uint8_t *p = mem_alloc(1000000);

    put(j, 0, 100);
    big = put(j, 1, 1000000);
    put(j, 2, 100);
    ck_assert_int_eq(journal_read(j, big, 0, p, 1000000, true), 0);
    ck_assert_int_eq(number_of(&(struct journal_record){.type = 1, .p = p, .len = 1000000}), 1);
    ck_assert_int_eq(journal_read(j, big, 500000, p, 1000, false), 0);
    free(p);
    journal_close(&j);
    j = open_it();
    ck_assert_uint_eq(replay(j, seen, 3), 3);
    journal_close(&j);
}
END_TEST

START_TEST(a_process_that_restarts_often_fills_no_disk)
{
    unsigned seen[100] = {0};
    struct journal *j;

    for (uint32_t i = 0; i < 100; i++) {
        j = open_it();
        if (i % 2 == 0) /* read before or not */
            ck_assert_uint_eq(replay(j, seen, 100), i);
        put(j, i, 64);
        journal_close(&j);
    }
    j = open_it();
    memset(seen, 0, sizeof(seen));
    ck_assert_uint_eq(replay(j, seen, 100), 100);
    ck_assert_uint_eq(journal_stats(j)->segments, 1);
    journal_close(&j);
}
END_TEST

START_TEST(appends_and_drops_while_old_records_are_read)
{
    enum { N = 400 };
    unsigned seen[N] = {0};
    struct journal *j = open_it();
    struct journal_record r;
    uint32_t next = 200, n = 0;

    for (uint32_t i = 0; i < 200; i++)
        put(j, i, 1500);
    journal_close(&j);
    j = open_it();
    while (journal_next(j, &r) == 1) {
        ck_assert_int_eq(number_of(&r), n++);
        if (n % 2 == 0)
            journal_drop(j, r.ref);
        if (next < N)
            put(j, next++, 700);
    }
    ck_assert_uint_eq(n, 200);
    journal_close(&j);
    j = open_it();
    ck_assert_uint_eq(replay(j, seen, N), 300);
    journal_close(&j);
}
END_TEST

static const uint8_t *mapping_of(const struct journal *j, journal_ref ref)
{
    return segment_of(j, ref)->data;
}

START_TEST(full_segments_are_unmapped_unless_kept)
{
    struct journal *j = open_it();
    journal_ref first = put(j, 1, 40000), second = put(j, 2, 40000);

    ck_assert_ptr_null(mapping_of(j, first));
    ck_assert_ptr_nonnull(mapping_of(j, second));
    journal_close(&j);
    nftw(dir, remove_one, 16, FTW_DEPTH);
    opts.keep_mapped = true;
    j = open_it();
    first = put(j, 1, 40000);
    (void)put(j, 2, 40000);
    ck_assert_ptr_nonnull(mapping_of(j, first));
    journal_close(&j);
}
END_TEST

/* Pages are prepared in steps, anew when a file has rested: of a size that has several. */
START_TEST(what_was_written_survives_the_preparing_of_pages)
{
    enum { N = 400, RECORD = 40000 };
    static unsigned seen[N];
    journal_ref refs[N];
    struct journal *j;

    opts.segment_bytes = 16 * SEGMENT_UNIT;
    opts.keep_mapped = true;
    j = open_it();
    for (uint32_t i = 0; i < N; i++) {
        refs[i] = put(j, i, i % 7 ? RECORD : 700);
        if (i >= 100)
            journal_drop(j, refs[i - 100]);
        for (uint32_t k = 0; i % 50 == 49 && k < j->n_segs;
             k++) { /* as if all had rested for long */
            const struct segment *s = &j->segs[k];

            if (s->data != NULL && k + 1 != j->head)
                ck_assert_int_eq(madvise(s->data, s->size - s->data_at, MADV_DONTNEED), 0);
        }
    }
    ck_assert_uint_gt(journal_stats(j)->free_segments + journal_stats(j)->segments, 3);
    memset(seen, 0, sizeof(seen));
    journal_close(&j);
    j = open_it();
    (void)put(j, 3, 300000); /* behind what is there */
    ck_assert_uint_eq(replay(j, seen, N), 100);
    for (uint32_t i = N - 100; i < N; i++)
        ck_assert_uint_eq(seen[i], 1);
    journal_close(&j);
    j = open_it();
    ck_assert_uint_eq(replay(j, seen, N), 101);
    ck_assert_uint_eq(seen[3], 1);
    journal_close(&j);
}
END_TEST

/* The hash is that of the bytes, however they are cut and wherever they go. */
START_TEST(pieces_are_copied_and_hashed_as_one)
{
    enum { MOST = 70000 };
    uint8_t *from = mem_alloc(MOST), *to = mem_alloc(MOST + 64);

    fill(from, 1, MOST);
    for (uint32_t k = 0; k < 300; k++) {
        struct iovec iov[6];
        uint32_t len = k < 20 ? k : (uint32_t)(random_next(&rnd) % MOST), n = 0, shift = k % 64;

        for (uint32_t at = 0, piece; n < 6 && (at < len || n == 0); at += piece) {
            piece = n == 5 ? len - at : (uint32_t)(random_next(&rnd) % (len - at + 1));
            iov[n++] = (struct iovec){piece ? from + at : NULL, piece};
        }
        uint32_t whole = 0;
        for (uint32_t i = 0; i < n; i++)
            whole += (uint32_t)iov[i].iov_len;
        memset(to, 0xee, MOST + 64);
        ck_assert_uint_eq(hash_copy(to + shift, iov, n), hash_stable(from, whole));
        ck_assert_uint_eq(hash_bulk(from, whole), hash_stable(from, whole));
        ck_assert_int_eq(memcmp(to + shift, from, whole), 0);
        ck_assert_uint_eq(to[shift + whole], 0xee);
    }
    free(from);
    free(to);
}
END_TEST

START_TEST(a_sync_covers_what_was_appended)
{
    struct journal *j = open_it();
    struct journal_sync *s;

    for (uint32_t i = 0; i < 100; i++)
        put(j, i, 3000);
    s = journal_sync_begin(j);
    ck_assert_ptr_nonnull(s);
    put(j, 100, 3000);
    ck_assert_int_eq(journal_sync_run(s), 0);
    journal_sync_end(j, &s);
    s = journal_sync_begin(j);
    ck_assert_ptr_nonnull(s);
    ck_assert_int_eq(journal_sync_run(s), 0);
    journal_sync_end(j, &s);
    ck_assert_ptr_null(journal_sync_begin(j));
    journal_close(&j);
}
END_TEST

/* ---- two of them, other versions ---- */

START_TEST(a_second_journal_is_refused)
{
    struct journal *j = open_it(), *second;
    struct err err = {0};
    bool locked = false;

    second = journal_open(&opts, &locked, &err);
    ck_assert_ptr_null(second);
    ck_assert(locked);
    ck_assert_ptr_nonnull(strstr(err.text, "in use"));
    journal_close(&j);
    j = open_it();
    journal_close(&j);
}
END_TEST

START_TEST(files_of_another_version_or_owner_are_set_aside)
{
    unsigned seen[8] = {0};
    struct journal *j = open_it();

    put(j, 1, 100);
    journal_close(&j);
    opts.version = 2;
    j = open_it();
    ck_assert_uint_eq(journal_stats(j)->set_aside, 1);
    ck_assert_uint_eq(replay(j, seen, 8), 0);
    put(j, 2, 100);
    journal_close(&j);
    opts.kind++;
    j = open_it();
    ck_assert_uint_eq(journal_stats(j)->set_aside, 1);
    ck_assert_uint_eq(replay(j, seen, 8), 0);
    journal_close_and_remove(&j);
    ck_assert_uint_eq(files_in("aside"), 2); /* never deleted */
    ck_assert_uint_eq(n_warnings, 2);
}
END_TEST

START_TEST(other_files_are_left_alone)
{
    struct journal *j = open_it();
    char path[96];
    int fd;

    put(j, 1, 10);
    journal_close(&j);
    snprintf(path, sizeof(path), "%s/notes.txt", dir);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    seg_path(path, 0x77);
    fd = open(path, O_CREAT | O_WRONLY, 0600); /* as a kill leaves it: made, never written */
    ck_assert_int_ge(fd, 0);
    close(fd);
    seg_path(path, 0x78);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_eq(write(fd, "something else", 14), 14);
    close(fd);
    j = open_it();
    ck_assert_uint_eq(journal_stats(j)->set_aside, 1);
    ck_assert_uint_eq(journal_stats(j)->segments, 1);
    journal_close(&j);
    ck_assert_uint_eq(files_in("txt"), 1);
    ck_assert_uint_eq(files_in("seg"), 1);
}
END_TEST

/* ---- bounds and full disks ---- */

START_TEST(the_bound_is_a_fault_and_passes)
{
    struct journal *j;
    journal_ref refs[64], ref;
    uint8_t bytes[10000] = {0};
    struct iovec v = {bytes, sizeof(bytes)};
    unsigned n = 0;

    opts.max_bytes = 3 * opts.segment_bytes;
    j = open_it();
    while (n < 64 && journal_append(j, 1, &v, 1, &refs[n]) == 0)
        n++;
    ck_assert_uint_eq(n, 15);
    ck_assert_int_eq(journal_fault(j), JOURNAL_FULL);
    ck_assert_uint_le(journal_stats(j)->bytes, opts.max_bytes);
    ck_assert(!journal_has_room(j, sizeof(bytes)));
    ck_assert(journal_has_room(j, 100)); /* the last segment still takes a small one */
    for (unsigned i = 0; i < 5; i++)
        journal_drop(j, refs[i]);
    ck_assert(journal_has_room(j, sizeof(bytes)));
    ck_assert_int_eq(journal_append(j, 1, &v, 1, &ref), 0);
    journal_close(&j);
}
END_TEST

START_TEST(a_full_disk_is_a_fault_and_nothing_is_left_behind)
{
    struct rlimit old, small = {.rlim_cur = SEGMENT_UNIT / 2, .rlim_max = RLIM_INFINITY};
    struct journal *j = open_it();
    uint8_t bytes[100] = {0};
    struct iovec v = {bytes, sizeof(bytes)};
    journal_ref ref;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    ck_assert_int_eq(journal_append(j, 1, &v, 1, &ref), -1);
    ck_assert_int_eq(journal_fault(j), JOURNAL_NO_SPACE);
    ck_assert_int_eq(journal_append(j, 1, &v, 1, &ref), -1); /* not asked again so soon */
    ck_assert_uint_eq(files_in("seg"), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    while (journal_append(j, 1, &v, 1, &ref) != 0)
        usleep(10000);
    ck_assert_uint_ge(journal_stats(j)->faults, 2);
    journal_close(&j);
}
END_TEST

START_TEST(a_directory_that_cannot_be_made_is_an_error)
{
    struct err err = {0};
    char path[96];
    bool locked = true;
    int fd;

    snprintf(path, sizeof(path), "%s/file", root);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    snprintf(path, sizeof(path), "%s/file/q", root);
    opts.dir = path;
    opts.make_parents = true;
    ck_assert_ptr_null(journal_open(&opts, &locked, &err));
    ck_assert(!locked);
    ck_assert_ptr_nonnull(strstr(err.text, "file/q"));
}
END_TEST

/* ---- damage ---- */

static uint8_t *map_file(unsigned number, size_t *size)
{
    char path[96];
    struct stat st;
    int fd;
    uint8_t *p;

    seg_path(path, number);
    fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &st), 0);
    *size = (size_t)st.st_size;
    p = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(p != MAP_FAILED);
    close(fd);
    return p;
}

/* One segment with n records; its bytes, to damage copies of. */
static uint8_t *one_segment(unsigned n, uint32_t len, size_t *size)
{
    struct journal *j = open_it();
    uint8_t *copy;
    uint8_t *p;

    for (uint32_t i = 0; i < n; i++)
        put(j, i, len);
    journal_close(&j);
    p = map_file(0, size);
    copy = mem_alloc(*size);
    memcpy(copy, p, *size);
    munmap(p, *size);
    return copy;
}

static void write_segment(const uint8_t *bytes, size_t size)
{
    char path[96];
    int fd;

    seg_path(path, 0);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

/* A kill leaves a prefix of the stores of the last record: none of it, or all. */
START_TEST(a_torn_last_record_costs_itself_only)
{
    enum { N = 5, LEN = 100 };
    size_t size;
    uint8_t *good = one_segment(N, LEN, &size), *torn = mem_alloc(size);
    uint64_t data_at = segment_data_at(size), step = record_bytes(LEN);
    uint64_t last = data_at + (N - 1) * step;
    char path[96];

    for (uint64_t cut = 0; cut < step; cut++) {
        for (int noted = 0; noted < 3; noted++) { /* end before, half way, after the last */
            unsigned seen[N] = {0};
            struct progress *p = (struct progress *)(void *)(torn + PROGRESS_AT);
            struct journal *j;

            memcpy(torn, good, size);
            memset(torn + last + cut, 0, step - cut);
            if (noted < 2)
                p->end_inverse = ~last;
            if (noted < 1)
                p->end = last;
            write_segment(torn, size);
            j = open_it();
            ck_assert_uint_ge(replay(j, seen, N), N - 1);
            for (unsigned i = 0; i < N - 1; i++)
                ck_assert_uint_eq(seen[i], 1);
            if (noted == 2 && seen[N - 1] == 0) /* it was promised, and is damaged */
                ck_assert_uint_ge(journal_stats(j)->corrupt_records, 1);
            put(j, 0, LEN); /* goes on, here or in a new file */
            journal_close(&j);
            seg_path(path, 1);
            (void)unlink(path);
        }
    }
    free(good);
    free(torn);
}
END_TEST

/* Every bit of heads, marks in use, records: at most one record is missing, and then it is counted.
 */
START_TEST(a_flipped_bit_costs_at_most_its_record)
{
    enum { N = 4, LEN = 60 };
    size_t size;
    uint8_t *good = one_segment(N, LEN, &size);
    uint64_t data_at = segment_data_at(size), end = data_at + N * record_bytes(LEN);

    for (uint64_t at = 0; at < end; at++) {
        if (at == 200 || at == 1100 || at == 2200 || at == 4200)
            at += at < 4000 ? 800 : data_at - 4200 - 1; /* unused bytes */
        for (unsigned bit = 0; bit < 8; bit += at < data_at ? 1 : 3) {
            unsigned seen[N] = {0}, n;
            uint64_t corrupt;
            struct journal *j;

            good[at] ^= (uint8_t)(1u << bit);
            write_segment(good, size);
            good[at] ^= (uint8_t)(1u << bit);
            j = open_it();
            n = replay(j, seen, N);
            corrupt = journal_stats(j)->corrupt_records;
            ck_assert_uint_ge(n, N - 1);
            if (n < N)
                ck_assert_msg(corrupt > 0, "bit %u at %llu", bit, (unsigned long long)at);
            journal_close(&j);
        }
    }
    ck_assert_uint_eq(n_warnings, 0);
    free(good);
}
END_TEST

START_TEST(a_hole_in_the_middle_is_searched_through)
{
    enum { N = 100, LEN = 300 };
    unsigned seen[N] = {0};
    size_t size;
    uint8_t *bytes = one_segment(N, LEN, &size);
    uint64_t data_at = segment_data_at(size);
    struct journal *j;

    for (size_t i = 0; i < 5000; i++)
        bytes[data_at + 10000 + i] = (uint8_t)random_next(&rnd);
    write_segment(bytes, size);
    j = open_it();
    ck_assert_uint_ge(replay(j, seen, N), N - 18);
    ck_assert_uint_eq(seen[0], 1);
    ck_assert_uint_eq(seen[N - 1], 1);
    ck_assert_uint_ge(journal_stats(j)->corrupt_records, 1);
    ck_assert_uint_ge(journal_stats(j)->torn_bytes, 4000);
    journal_close(&j);
    free(bytes);
}
END_TEST

START_TEST(a_shortened_file_gives_what_it_has)
{
    enum { N = 100, LEN = 300 };
    unsigned seen[N] = {0};
    size_t size;
    uint8_t *bytes = one_segment(N, LEN, &size);
    struct journal *j;

    write_segment(bytes, segment_data_at(size) + 50 * record_bytes(LEN) + 7);
    j = open_it();
    put(j, 99, LEN); /* not into that file */
    ck_assert_uint_eq(replay(j, seen, N), 50);
    ck_assert_uint_eq(journal_stats(j)->segments, 2);
    journal_close(&j);
    write_segment(bytes, 5000);
    n_warnings = 0;
    j = open_it();
    ck_assert_uint_eq(journal_stats(j)->set_aside, 1);
    ck_assert_uint_eq(n_warnings, 1);
    journal_close(&j);
    free(bytes);
}
END_TEST

/* ---- kill -9 ---- */

/* No assertions here: the pipe of the test program is its parent's. */
static journal_ref child_put(struct journal *j, uint32_t i)
{
    uint8_t p[4000];
    uint32_t len = 500 + i % 3000;
    journal_ref ref;

    fill(p, i, len);
    if (journal_append(j, (uint8_t)i, &(struct iovec){.iov_base = p, .iov_len = len}, 1, &ref) != 0)
        _exit(1);
    return ref;
}

static void child_life(int out)
{
    struct journal *j = journal_open(&opts, NULL, NULL);
    struct journal_record r;
    journal_ref live[16] = {0};

    if (j == NULL)
        _exit(1);
    while (journal_next(j, &r) == 1)
        journal_drop(j, r.ref);
    for (uint32_t next = 0;; next++) {
        if (live[next % 16])
            journal_drop(j, live[next % 16]);
        live[next % 16] = child_put(j, next);
        if (write(out, &next, 4) != 4) /* acknowledged */
            _exit(1);
    }
}

START_TEST(what_was_appended_before_a_kill_is_there)
{
    for (unsigned round = 0; round < 10; round++) {
        int fds[2];
        uint32_t got = 0, last = 0, n = 0, found = 0;
        struct journal *j;
        struct journal_record r;
        pid_t pid;

        ck_assert_int_eq(pipe(fds), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
            child_life(fds[1]);
        close(fds[1]);
        while (n++ < 300 + round * 211 && read(fds[0], &got, 4) == 4)
            last = got;
        kill(pid, SIGKILL);
        while (read(fds[0], &got, 4) == 4)
            last = got;
        ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
        close(fds[0]);
        j = open_it();
        while (journal_next(j, &r) == 1) {
            int64_t i = number_of(&r);

            ck_assert_int_ge(i, 0);
            /* the next drop may have been under way, and an append that was not told of */
            ck_assert_int_ge(i + 16, last);
            ck_assert_int_le(i, last + 1);
            found += i <= last;
        }
        ck_assert_uint_ge(found, 15);
        ck_assert_uint_eq(journal_stats(j)->corrupt_records, 0);
        ck_assert_uint_eq(journal_stats(j)->set_aside, 0);
        journal_close(&j);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");

    tcase_set_timeout(t, 120); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, records_come_back_in_order_and_drops_are_kept);
    tcase_add_test(t, a_journal_that_keeps_up_stays_in_one_file);
    tcase_add_test(t, files_are_used_again_and_their_old_records_are_gone);
    tcase_add_test(t, a_large_record_has_a_file_of_its_own);
    tcase_add_test(t, a_process_that_restarts_often_fills_no_disk);
    tcase_add_test(t, appends_and_drops_while_old_records_are_read);
    tcase_add_test(t, full_segments_are_unmapped_unless_kept);
    tcase_add_test(t, what_was_written_survives_the_preparing_of_pages);
    tcase_add_test(t, pieces_are_copied_and_hashed_as_one);
    tcase_add_test(t, a_sync_covers_what_was_appended);
    tcase_add_test(t, a_second_journal_is_refused);
    tcase_add_test(t, files_of_another_version_or_owner_are_set_aside);
    tcase_add_test(t, other_files_are_left_alone);
    tcase_add_test(t, the_bound_is_a_fault_and_passes);
    tcase_add_test(t, a_full_disk_is_a_fault_and_nothing_is_left_behind);
    tcase_add_test(t, a_directory_that_cannot_be_made_is_an_error);
    tcase_add_test(t, a_torn_last_record_costs_itself_only);
    tcase_add_test(t, a_flipped_bit_costs_at_most_its_record);
    tcase_add_test(t, a_hole_in_the_middle_is_searched_through);
    tcase_add_test(t, a_shortened_file_gives_what_it_has);
    tcase_add_test(t, what_was_appended_before_a_kill_is_there);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());

    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
