/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left from before: journal_next() over the segments that were found, oldest first.
 *
 * Where the records of a segment end stands in its progress, twice. When both say the same, that is
 * the end: a kill between a record and its progress only loses what append() had not returned yet.
 * Else the smaller of what makes sense is believed as far as it goes, and after it whatever follows
 * without a gap.
 *
 * Before that end every byte belongs to a record. A head that does not fit its place is damage: the
 * search goes on at every next slot for a head whose bytes check as well. A record with a good head
 * and bad bytes costs itself only. More marks than were ever counted means that bits have flipped
 * there: all marks of the segment are ignored, since delivering twice is better than losing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/hash.h"
#include "platform/journal_priv.h"
#include "platform/mem.h"

static bool end_sane(const struct segment *s, uint64_t end)
{
    return end >= s->data_at && end <= s->size && end % SLOT_BYTES == 0;
}

/* Where the records surely reach; *exact: they reach no further. */
static uint64_t end_of(const struct segment *s, bool *exact)
{
    const struct progress *p = progress_of(s);
    uint64_t a = p->end, b = ~p->end_inverse;

    *exact = a == b && end_sane(s, a);
    if (!end_sane(s, a))
        a = s->size;
    if (!end_sane(s, b))
        b = s->size;
    return a < b ? a : b;
}

uint64_t replay_hint(const struct segment *s)
{
    bool exact;

    return end_of(s, &exact);
}

static int by_seq(const void *a, const void *b, void *ctx)
{
    const struct journal *j = ctx;
    const struct segment *x = &j->segs[*(const uint32_t *)a], *y = &j->segs[*(const uint32_t *)b];

    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

void replay_plan(struct journal *j)
{
    j->order = mem_alloc_array(j->n_segs + 1, sizeof(*j->order));
    for (uint32_t i = 0; i < j->n_segs; i++) {
        struct segment *s = &j->segs[i];
        bool exact;
        uint64_t end;

        if (!s->exists || !s->unread)
            continue;
        end = end_of(s, &exact);
        if (exact && end < s->limit)
            s->limit = end;
        if (!exact && s->limit > s->data_at)
            s->cut = true; /* nothing is appended where the end is not known */
        j->unread_bytes += s->limit - s->data_at;
        j->order[j->n_order++] = i;
    }
    qsort_r(j->order, j->n_order, sizeof(*j->order), by_seq, j);
}

void replay_free(struct journal *j)
{
    free(j->order);
    free(j->buf);
    j->order = NULL;
    j->buf = NULL;
    j->n_order = j->next_order = 0;
}

/* ---- one segment into memory ---- */

/* A piece that cannot be read is zeros: no record. */
static void read_or_zero(int fd, uint8_t *dst, uint64_t from, uint64_t len)
{
    while (len > 0) {
        size_t want = len < SEGMENT_UNIT ? len : SEGMENT_UNIT;
        ssize_t n = fd < 0 ? -1 : pread(fd, dst, want, (off_t)from);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            memset(dst, 0, want);
            n = (ssize_t)want;
        }
        dst += n;
        from += (uint64_t)n;
        len -= (uint64_t)n;
    }
}

static void load(struct journal *j, struct segment *s)
{
    int fd = segment_open_file(j, s, O_RDONLY);

    j->buf_len = s->limit - s->data_at;
    j->buf = mem_alloc(j->buf_len + 1);
    read_or_zero(fd, j->buf, s->data_at, j->buf_len);
    if (fd >= 0)
        close(fd);
    j->at = s->data_at;
    j->hint = replay_hint(s);
    j->damaged = false;
    if (segment_count_marks(s) > progress_of(s)->n_marked) {
        j->st.corrupt_records++;
        segment_clear_marks(s);
    }
}

/* ---- records in it ---- */

/* The head at offset `at`, when it fits its place. */
static bool head_good(const struct journal *j, const struct segment *s, struct record_head *h)
{
    uint64_t room = s->limit - j->at;

    if (room < sizeof(*h))
        return false;
    memcpy(h, j->buf + (j->at - s->data_at), sizeof(*h));
    return h->tag == record_tag(s, j->at, h->len, (uint8_t)h->tag) && record_bytes(h->len) <= room;
}

static const uint8_t *bytes_at(const struct journal *j, const struct segment *s)
{
    return j->buf + (j->at - s->data_at) + sizeof(struct record_head);
}

static bool bytes_good(const struct journal *j, const struct segment *s,
                       const struct record_head *h)
{
    return h->check == record_check(s, j->at, hash_bulk(bytes_at(j, s), h->len));
}

static void count_damage(struct journal *j, uint64_t bytes)
{
    if (!j->damaged)
        j->st.corrupt_records++;
    j->damaged = true;
    j->st.torn_bytes += bytes;
}

static void deliver(struct journal *j, struct segment *s, const struct record_head *h,
                    struct journal_record *r)
{
    uint32_t slot = j->order[j->next_order];

    *r = (struct journal_record){
        .ref = ref_of(slot, j->at), .type = (uint8_t)h->tag, .p = bytes_at(j, s), .len = h->len};
    s->live++;
    j->st.live_records++;
    j->st.replayed_records++;
}

/* The next record of this segment that lives: true; its end: false. */
static bool scan(struct journal *j, struct segment *s, struct journal_record *r)
{
    while (j->at < s->limit) {
        struct record_head h;
        bool good = head_good(j, s, &h);
        bool whole = good && (!segment_marked(s, j->at) || j->damaged) && bytes_good(j, s, &h);

        if (!good && !j->damaged && j->at >= j->hint)
            return false;
        if (j->damaged && !whole) {
            if (j->at >= j->hint)
                return false;
            count_damage(j, SLOT_BYTES);
            j->at += SLOT_BYTES;
        } else if (!good) {
            count_damage(j, SLOT_BYTES);
            j->at += SLOT_BYTES;
        } else {
            bool marked = segment_marked(s, j->at);

            j->damaged = false;
            if (!whole && !marked)
                count_damage(j, record_bytes(h.len));
            else if (!marked)
                deliver(j, s, &h, r);
            j->damaged = false; /* its head tells where the next one begins */
            j->at += record_bytes(h.len);
            if (whole && !marked)
                return true;
        }
    }
    return false;
}

static void segment_done(struct journal *j, struct segment *s)
{
    uint32_t slot = j->order[j->next_order++];

    free(j->buf);
    j->buf = NULL;
    j->unread_bytes -= s->limit - s->data_at;
    s->unread = false;
    if (s->live > 0)
        return;
    if (slot + 1 != j->head)
        journal_recycle(j, slot);
    else if (s->used > s->data_at)
        segment_restart(j, s);
}

int journal_next(struct journal *j, struct journal_record *r)
{
    while (j->next_order < j->n_order) {
        struct segment *s = &j->segs[j->order[j->next_order]];

        if (j->buf == NULL)
            load(j, s);
        if (scan(j, s, r))
            return 1;
        segment_done(j, s);
    }
    if (j->order != NULL)
        replay_free(j);
    return 0;
}

uint64_t journal_unread_bytes(const struct journal *j)
{
    return j->unread_bytes;
}
