/* SPDX-License-Identifier: Apache-2.0 */
/* The segment log: see tail_segment.h. */
#include "processors/tail_segment.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/copy.h"

enum { FRESH, SURVIVORS };

#define RECORD_BYTES (sizeof(struct record) + 2 * sizeof(uint32_t)) /* at most, without the spans */
/* A rest smaller than this is not worth a record of its own. */
#define MIN_REST (RECORD_BYTES + 64)

_Static_assert((SEG_BYTES >> 3) == (1u << SEG_OFF_BITS), "offsets cover a segment");
_Static_assert(SEG_BYTES == 1u << SEG_LEN_BITS, "a record's length fits");

static uint32_t size_of(const struct record *r)
{
    return (rec_head_bytes(r) + r->len + 7) & ~7u;
}

enum { TRIM_PART = 32 };

/* Sanitized builds take segments from malloc: a use after free is then seen.
 * Else all pages come at once: fresh memory page by page costs as much as what is written there. Huge
 * pages were measured as well: clearing them costs more than it saves. */
static uint8_t *segment_map(void)
{
#ifdef TAILRACE_SANITIZED
    return mem_try(SEG_BYTES);
#else
    void *p = mmap(NULL, SEG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
#ifdef MADV_POPULATE_WRITE
    (void)madvise(p, SEG_BYTES, MADV_POPULATE_WRITE); /* not before Linux 5.14: then one by one */
#endif
    return p;
#endif
}

static void segment_unmap(uint8_t *base)
{
#ifdef TAILRACE_SANITIZED
    free(base);
#else
    CHECK(munmap(base, SEG_BYTES) == 0);
#endif
}

void seg_log_init(struct seg_log *l, struct budget *b)
{
    *l = (struct seg_log){.budget = b, .n_segs = 1};
}

static void pool_pop(struct seg_log *l)
{
    segment_unmap(l->pool[--l->n_pool]);
    budget_release(l->budget, MEM_TAIL, SEG_BYTES);
}

void seg_log_fini(struct seg_log *l)
{
    for (uint32_t i = 1; i < l->n_segs; i++)
        if (l->segs[i].base) {
            segment_unmap(l->segs[i].base);
            budget_release(l->budget, MEM_TAIL, SEG_BYTES);
        }
    seg_log_trim_all(l);
    free(l->segs);
    free(l->free_numbers);
    free(l->pool);
    *l = (struct seg_log){.budget = l->budget, .n_segs = 1};
}

/* The books of the log itself, 16 bytes and a few for each 256 KiB, are not worth a charge. */
static void grow_tables(struct seg_log *l)
{
    if (l->n_segs < l->cap_segs)
        return;
    l->cap_segs = l->cap_segs ? l->cap_segs * 2 : 16;
    l->segs = mem_grow(l->segs, l->cap_segs * sizeof(*l->segs));
    l->free_numbers = mem_grow(l->free_numbers, l->cap_segs * sizeof(*l->free_numbers));
    l->segs[0] = (struct segment){0};
}

static int pool_fill(struct seg_log *l, uint64_t want, bool force)
{
    while (l->n_pool < want) {
        if (force)
            budget_force(l->budget, MEM_TAIL, SEG_BYTES);
        else if (!budget_charge(l->budget, MEM_TAIL, SEG_BYTES))
            return -1;
        uint8_t *base = segment_map();
        if (!base) {
            budget_release(l->budget, MEM_TAIL, SEG_BYTES);
            return -1;
        }
        if (l->n_pool == l->cap_pool) {
            l->cap_pool = l->cap_pool ? l->cap_pool * 2 : 16;
            l->pool = mem_grow(l->pool, l->cap_pool * sizeof(*l->pool));
        }
        l->pool[l->n_pool++] = base;
    }
    return 0;
}

/* A free number, or 0 when all refs are taken. */
static uint32_t number_take(struct seg_log *l)
{
    if (l->n_free_numbers)
        return l->free_numbers[--l->n_free_numbers];
    if (l->n_segs >= 1u << (32 - SEG_OFF_BITS))
        return 0;
    grow_tables(l);
    return l->n_segs++;
}

static void segment_open(struct seg_log *l, int which)
{
    uint32_t n = number_take(l);

    CHECK(n && l->n_pool);
    l->segs[n] = (struct segment){.base = l->pool[--l->n_pool]};
    if (l->n_pool < l->pool_low)
        l->pool_low = l->n_pool;
    l->head[which] = n;
    l->in_use++;
}

static void segment_close(struct seg_log *l, uint32_t n)
{
    if (l->n_pool == l->cap_pool) {
        l->cap_pool = l->cap_pool ? l->cap_pool * 2 : 16;
        l->pool = mem_grow(l->pool, l->cap_pool * sizeof(*l->pool));
    }
    l->pool[l->n_pool++] = l->segs[n].base;
    l->segs[n] = (struct segment){0};
    l->free_numbers[l->n_free_numbers++] = n;
    l->in_use--;
}

/* ---- reserving ---- */

static uint32_t head_room(const struct seg_log *l, int which)
{
    return l->head[which] ? SEG_BYTES - l->segs[l->head[which]].used : 0;
}

/* Every record costs its header and padding, every segment end a rest and one more header. */
uint64_t seg_log_segments_for(const struct seg_log *l, uint64_t bytes, uint64_t n_records)
{
    uint64_t need = bytes + n_records * (RECORD_BYTES + 8);
    uint64_t room = head_room(l, FRESH);
    uint64_t usable = SEG_BYTES - MIN_REST - RECORD_BYTES - 8;

    room = room > MIN_REST + RECORD_BYTES + 8 ? room - MIN_REST - RECORD_BYTES - 8 : 0;
    return need <= room ? 0 : (need - room + usable - 1) / usable;
}

static int reserve(struct seg_log *l, uint64_t bytes, uint64_t n_records, bool force)
{
    uint64_t want = seg_log_segments_for(l, bytes, n_records);
    uint64_t numbers = (1u << (32 - SEG_OFF_BITS)) - l->n_segs + l->n_free_numbers;

    return want > numbers ? -1 : pool_fill(l, want, force);
}

int seg_log_reserve(struct seg_log *l, uint64_t bytes, uint64_t n_records)
{
    return reserve(l, bytes, n_records, false);
}

int seg_log_force(struct seg_log *l, uint64_t bytes, uint64_t n_records)
{
    return reserve(l, bytes, n_records, true);
}

/* ---- writing ---- */

static struct record *record_open(struct seg_log *l, int which, uint32_t *ref)
{
    struct segment *s = &l->segs[l->head[which]];

    *ref = l->head[which] << SEG_OFF_BITS | s->used >> 3;
    return (struct record *)(void *)(s->base + s->used);
}

/* The record at the end of head `which` is complete. */
static void record_close(struct seg_log *l, int which, const struct record *r)
{
    struct segment *s = &l->segs[l->head[which]];
    uint32_t size = size_of(r);

    s->used += size;
    s->live_bytes += size;
    s->live_records++;
    l->live_bytes += size;
}

static void writer_open(struct seg_writer *w)
{
    struct seg_log *l = w->log;
    uint32_t prev = w->last;

    if (head_room(l, FRESH) < MIN_REST)
        segment_open(l, FRESH);
    w->rec = record_open(l, FRESH, &w->last);
    *w->rec = (struct record){
        .owner = w->owner, .scope = w->scope, .chained = prev != 0, .on_disk = !w->first && l->stored};
    rec_set_prev(w->rec, prev);
    if (w->rec->on_disk)
        w->rec->rest[w->rec->chained] = l->stored;
    w->room = head_room(l, FRESH) - rec_head_bytes(w->rec);
    w->n_records++;
    if (prev)
        seg_at(l, prev)->next = w->last;
    if (!w->first)
        w->first = w->last;
}

void seg_begin(struct seg_writer *w, struct seg_log *l, uint32_t owner, uint32_t scope, uint32_t prev)
{
    *w = (struct seg_writer){.log = l, .owner = owner, .scope = scope, .last = prev};
    writer_open(w);
}

void seg_write(struct seg_writer *w, const uint8_t *p, uint32_t len, uint32_t n_spans)
{
    w->rec->n_spans += n_spans & SEG_RUN_SPANS;
    w->n_bytes += len;
    for (;;) {
        uint32_t n = len < w->room ? len : w->room;

        copy_past_caches((uint8_t *)w->rec + rec_head_bytes(w->rec) + w->rec->len, p, n);
        w->rec->len += n & (SEG_BYTES - 1);
        w->room -= n;
        p += n;
        len -= n;
        if (len == 0)
            return;
        w->rec->more = 1;
        record_close(w->log, FRESH, w->rec);
        writer_open(w);
    }
}

void seg_end(struct seg_writer *w)
{
    record_close(w->log, FRESH, w->rec);
}

/* ---- dying ---- */

void seg_drop(struct seg_log *l, uint32_t ref)
{
    uint32_t n = ref >> SEG_OFF_BITS;
    struct segment *s = &l->segs[n];
    struct record *r = seg_at(l, ref);
    uint32_t size = size_of(r);

    r->owner = 0;
    s->live_bytes -= size;
    l->live_bytes -= size;
    if (--s->live_records)
        return;
    if (n == l->head[FRESH] || n == l->head[SURVIVORS])
        s->used = 0; /* written again from the front */
    else
        segment_close(l, n);
}

struct mover {
    struct seg_log *log;
    void (*moved)(void *ctx, uint32_t owner, uint32_t from, uint32_t to);
    void *ctx;
};

static int survivors_room(struct seg_log *l, uint32_t size)
{
    if (l->head[SURVIVORS] && head_room(l, SURVIVORS) >= size)
        return 0;
    if (pool_fill(l, 1, false) != 0 || (!l->n_free_numbers && l->n_segs >= 1u << (32 - SEG_OFF_BITS)))
        return -1;
    segment_open(l, SURVIVORS);
    return 0;
}

static void record_move(struct mover *m, uint32_t from)
{
    struct seg_log *l = m->log;
    const struct record *r = seg_at(l, from);
    uint32_t to;
    struct record *copy = record_open(l, SURVIVORS, &to);

    memcpy(copy, r, rec_head_bytes(r) + r->len);
    record_close(l, SURVIVORS, copy);
    uint32_t prev = rec_prev(copy);
    if (prev)
        seg_at(l, prev)->next = to;
    if (copy->next)
        rec_set_prev(seg_at(l, copy->next), to);
    if (!prev || !copy->next)
        m->moved(m->ctx, copy->owner, from, to);
    seg_drop(l, from);
}

/* 0 when the segment is empty now, -1 when there was no room. */
static int segment_evacuate(struct mover *m, uint32_t n)
{
    struct seg_log *l = m->log;
    uint32_t used = l->segs[n].used;

    for (uint32_t off = 0; off < used;) {
        uint32_t ref = n << SEG_OFF_BITS | off >> 3;
        const struct record *r = seg_at(l, ref);
        uint32_t size = size_of(r);

        off += size;
        if (!r->owner)
            continue;
        if (survivors_room(l, size) != 0)
            return -1;
        bool last = l->segs[n].live_records == 1;
        record_move(m, ref);
        if (last)
            return 0;
    }
    return 0;
}

uint32_t seg_log_compact(struct seg_log *l, uint32_t num, uint32_t den,
                         void (*moved)(void *ctx, uint32_t owner, uint32_t from, uint32_t to), void *ctx)
{
    struct mover m = {l, moved, ctx};
    uint64_t below = (uint64_t)SEG_BYTES * num / den;
    uint32_t freed = 0, n_segs = l->n_segs;

    for (uint32_t n = 1; n < n_segs; n++) {
        const struct segment *s = &l->segs[n];

        if (!s->base || n == l->head[FRESH] || n == l->head[SURVIVORS] || s->live_bytes >= below)
            continue;
        if (segment_evacuate(&m, n) != 0)
            break;
        freed++;
    }
    return freed;
}

void seg_log_trim(struct seg_log *l)
{
    uint32_t idle = l->pool_low < l->n_pool ? l->pool_low : l->n_pool;

    for (uint32_t i = 0; i < (idle + TRIM_PART - 1) / TRIM_PART; i++)
        pool_pop(l);
    l->pool_low = l->n_pool;
}

void seg_log_trim_all(struct seg_log *l)
{
    while (l->n_pool)
        pool_pop(l);
    l->pool_low = 0;
}
