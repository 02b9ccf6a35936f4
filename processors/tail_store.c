/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, flights and notes of one worker's store: see tail_store.h. */
#include "processors/tail_store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/clock.h"

enum {
    PAUSE_TICKS = 5,             /* seconds after a fault */
    NOTES_MOST_BYTES = 32 << 10, /* of a record of notes */
    TIME_STEP_NS = 1024,         /* the low bits of a request's time name its worker */
};

static void *grow(struct tail_store *s, void *array, uint32_t *cap, size_t size)
{
    uint32_t more = *cap ? *cap : 64;

    budget_force(s->host->budget, MEM_TAIL, more * size);
    *cap += more;
    return mem_grow(array, *cap * size);
}

/* ---- how the disk does ---- */

static void say_working(struct tail_store *s, bool works, const char *detail)
{
    if (s->working == works)
        return;
    s->working = works;
    series_add(s->metrics->storage_working, works ? 1 : (uint64_t)-1);
    if (works)
        log_info(&s->host->log, "The storage takes spans again",
                 LOG_UINT("worker", s->host->worker));
    else
        log_warn(&s->host->log,
                 "The storage does not take spans, what comes now is held in memory only",
                 LOG_STR("error", detail), LOG_UINT("worker", s->host->worker));
}

static int append(struct tail_store *s, struct journal *j, uint8_t type, const struct iovec *iov,
                  unsigned n, journal_ref *ref)
{
    if (journal_append(j, type, iov, n, ref) == 0) {
        if (j == s->spans)
            say_working(s, true, NULL);
        return 0;
    }
    say_working(s, false, journal_fault_detail(j));
    s->pause_ticks = PAUSE_TICKS;
    return -1;
}

/* ---- requests ---- */

static uint32_t item_new(struct tail_store *s, struct stored item)
{
    uint32_t i = s->free_item;

    if (i) {
        s->free_item = s->items[i].next_free;
    } else {
        if (s->n_items + 1 >= s->cap_items)
            s->items = grow(s, s->items, &s->cap_items, sizeof(*s->items));
        i = ++s->n_items;
    }
    s->items[i] = item;
    s->items[i].refs = 1;
    return i;
}

/* To the worker that has it; any thread. */
static void give_back(struct tail_store *origin, uint32_t number)
{
    struct release *r = mem_alloc(sizeof(*r));

    r->stored = number;
    r->next = atomic_load_explicit(&origin->released, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&origin->released, &r->next, r,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

static bool in_use(const struct stored *x)
{
    return x->journal || x->origin;
}

static void item_gone(struct tail_store *s, uint32_t number)
{
    struct stored *x = &s->items[number];

    if (x->journal)
        journal_drop(x->journal, x->ref);
    else
        give_back(x->origin, (uint32_t)x->ref);
    *x = (struct stored){.next_free = s->free_item};
    s->free_item = number;
}

void tail_store_unref(struct tail_store *s, uint32_t number)
{
    struct stored *x = &s->items[number];

    if (!number)
        return;
    x->left |= s->leaving;
    if (--x->refs == 0 && !x->left)
        item_gone(s, number);
}

static void take_released(struct tail_store *s)
{
    struct release *r, *next;

    if (LIKELY(!atomic_load_explicit(&s->released, memory_order_relaxed)))
        return;
    for (r = atomic_exchange_explicit(&s->released, NULL, memory_order_acquire); r; r = next) {
        next = r->next;
        tail_store_unref(s, r->stored);
        free(r);
    }
}

/* A request's time: its worker's and nobody else's. */
static struct request_head head_now(struct tail_store *s)
{
    struct request_head h = {.boot = s->shelf->boot};
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    h.boot_ns = (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
    h.time_ns = (h.boot_ns + s->shelf->offset_ns) & ~(uint64_t)(TIME_STEP_NS - 1);
    h.time_ns |= s->host->worker & (TIME_STEP_NS - 1);
    if (h.time_ns <= s->last_ns)
        h.time_ns = s->last_ns + TIME_STEP_NS;
    s->last_ns = h.time_ns;
    return h;
}

uint32_t tail_store_append(struct tail_store *s, const struct batch *b)
{
    struct encoded *e = &s->encoded;
    journal_ref ref;

    take_released(s);
    if (!s->spans || s->pause_ticks || otlp_encode(b, e) != 0)
        return 0;
    if (e->n_iov + 1 > s->cap_iov) {
        s->cap_iov = e->n_iov * 2 + 16;
        s->iov = mem_grow(s->iov, s->cap_iov * sizeof(*s->iov));
    }
    struct request_head h = head_now(s);
    s->iov[0] = (struct iovec){&h, sizeof(h)};
    memcpy(s->iov + 1, e->iov, e->n_iov * sizeof(*e->iov));
    if (append(s, s->spans, STORE_REQUEST, s->iov, (unsigned)e->n_iov + 1, &ref) != 0)
        return 0;
    return item_new(s, (struct stored){.journal = s->spans, .ref = ref, .time_ns = h.time_ns});
}

uint32_t tail_store_take(struct tail_store *s, struct journal *j, journal_ref ref, uint64_t time_ns)
{
    return item_new(s, (struct stored){.journal = j, .ref = ref, .time_ns = time_ns});
}

uint32_t tail_store_foreign(struct tail_store *s, struct tail_store *origin, uint32_t number,
                            uint64_t time_ns)
{
    return item_new(s, (struct stored){.origin = origin, .ref = number, .time_ns = time_ns});
}

/* ---- flights ---- */

uint64_t tail_store_key(const uint8_t id[static 16])
{
    uint64_t a, b;

    memcpy(&a, id, sizeof(a));
    memcpy(&b, id + 8, sizeof(b));
    a = (a ^ b >> 29) * 0x9e3779b97f4a7c15u;
    return a ^ (b * 0xc2b2ae3d27d4eb4fu) ^ a >> 32;
}

void tail_store_leaves(struct tail_store *s, uint32_t number, uint32_t n_spans, uint64_t key)
{
    if (!number)
        return;
    if (s->n_runs == s->cap_runs)
        s->runs = grow(s, s->runs, &s->cap_runs, sizeof(*s->runs));
    s->runs[s->n_runs++] = (struct leaving_run){number, n_spans, key};
}

static void note_ended(struct tail_store *s, const struct leaving_run *r)
{
    struct ended e = {s->items[r->stored].time_ns, r->key, r->n_spans};

    buf_put(&s->ended, &e, sizeof(e));
    if (e.request_ns > s->ended_newest_ns)
        s->ended_newest_ns = e.request_ns;
}

void tail_store_over(struct tail_store *s, uint32_t number, uint32_t n_spans, uint64_t key)
{
    if (number)
        note_ended(s, &(struct leaving_run){number, n_spans, key});
}

static size_t flight_bytes(uint32_t n)
{
    return sizeof(struct flight) + n * sizeof(struct leaving_run);
}

static void flight_free(struct flight *f)
{
    struct tail_store *s = f->store;

    if (f->prev)
        f->prev->next = f->next;
    else
        s->flights = f->next;
    if (f->next)
        f->next->prev = f->prev;
    budget_release(s->host->budget, MEM_TAIL, flight_bytes(f->n));
    free(f);
}

/* Requests that were only waiting for this flight go; of the others it is noted what is over. */
static void landed(struct tail_store *s, const struct flight *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        s->items[f->runs[i].stored].refs--;
    for (uint32_t i = 0; i < f->n; i++) {
        const struct stored *x = &s->items[f->runs[i].stored];

        if (x->refs || x->left || !x->journal)
            note_ended(s, &f->runs[i]);
    }
    if (s->ended.len)
        tail_store_flush(s);
    for (uint32_t i = 0; i < f->n; i++) {
        const struct stored *x = &s->items[f->runs[i].stored];

        if (!x->refs && !x->left && in_use(x))
            item_gone(s, f->runs[i].stored);
    }
}

/* What a stop cuts short is sent by the next process. */
static void flight_over(struct ledger *l)
{
    struct flight *f = (struct flight *)(void *)l;

    if (!f->store) { /* the store went before */
        free(f);
        return;
    }
    if (!l->dropped[DROP_SHUTDOWN])
        landed(f->store, f);
    flight_free(f);
}

void tail_store_fly(struct tail_store *s, struct batch *b)
{
    struct flight *f;

    tail_store_flush(s);
    if (!s->n_runs)
        return;
    f = mem_alloc(flight_bytes(s->n_runs));
    budget_force(s->host->budget, MEM_TAIL, flight_bytes(s->n_runs));
    *f = (struct flight){.books = {.emptied = flight_over, .until_safe = true},
                         .store = s,
                         .next = s->flights,
                         .n = s->n_runs};
    memcpy(f->runs, s->runs, s->n_runs * sizeof(*s->runs));
    if (s->flights)
        s->flights->prev = f;
    s->flights = f;
    s->n_runs = 0;
    batch_set_books(b, &f->books);
}

uint64_t tail_store_ground(struct tail_store *s)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < s->n_runs; i++) {
        n += s->runs[i].n_spans;
        tail_store_unref(s, s->runs[i].stored);
    }
    s->n_runs = 0;
    return n;
}

/* ---- notes ---- */

uint16_t tail_note_policy(const char *name)
{
    uint32_t h = 2166136261u;

    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    h = (h ^ h >> 16) & 0xffff;
    return h ? (uint16_t)h : 1;
}

void tail_store_decided(struct tail_store *s, const uint8_t id[static 16], enum note_code code,
                        uint16_t policy)
{
    if (!s->decided.len) /* one look at the clock for what is decided together */
        s->decided_ns = tail_shelf_now(s->shelf);
    if (s->decided_ns <= s->last_ns) /* times of requests are rounded */
        s->decided_ns = s->last_ns + 1;
    struct note n = {.time_ns = s->decided_ns, .code = (uint8_t)code, .policy = policy};

    memcpy(n.id, id, sizeof(n.id));
    buf_put(&s->decided, &n, sizeof(n));
    if (s->decided.len >= NOTES_MOST_BYTES)
        tail_store_flush(s);
}

void tail_store_mark(struct tail_store *s, struct trace *tr, bool on_disk)
{
    tr->flags |= on_disk ? TRACE_ON_DISK : TRACE_IN_MEMORY;
    if (LIKELY((tr->flags & (TRACE_ON_DISK | TRACE_IN_MEMORY | TRACE_CUT)) !=
               (TRACE_ON_DISK | TRACE_IN_MEMORY)))
        return;
    tr->flags |= TRACE_CUT;
    tail_store_decided(s, tr->id, NOTE_CUT, 0);
    series_add(s->metrics->cut_traces, 1);
}

void tail_store_queue(struct note_queue *q, struct note_batch b)
{
    if (q->n == q->cap) {
        uint32_t cap = q->cap ? q->cap * 2 : 64;
        struct note_batch *v = mem_alloc_array(cap, sizeof(*v));

        budget_force(q->budget, MEM_TAIL, (cap - q->cap) * sizeof(*v));
        for (uint32_t i = 0; i < q->n; i++)
            v[i] = q->v[(q->first + i) & (q->cap - 1)];
        free(q->v);
        *q = (struct note_queue){
            .budget = q->budget, .v = v, .n = q->n, .cap = cap, .total = q->total};
    }
    q->v[(q->first + q->n++) & (q->cap - 1)] = b;
    q->total += b.n;
}

void tail_store_queue_free(struct note_queue *q)
{
    free(q->v);
    if (q->cap)
        budget_release(q->budget, MEM_TAIL, q->cap * sizeof(*q->v));
    *q = (struct note_queue){.budget = q->budget};
}

static void queue_pop(struct note_queue *q)
{
    const struct note_batch *b = &q->v[q->first & (q->cap - 1)];

    journal_drop(b->journal, b->ref);
    q->total -= b->n;
    q->first++;
    q->n--;
}

static void write_notes(struct tail_store *s, struct buf *notes, uint8_t type, size_t size,
                        struct note_queue *q)
{
    struct iovec iov = {notes->p, notes->len};
    journal_ref ref;

    if (!notes->len)
        return;
    if (s->notes && append(s, s->notes, type, &iov, 1, &ref) == 0)
        tail_store_queue(q,
                         (struct note_batch){s->notes, ref, notes->len / size, s->ended_newest_ns});
    buf_clear(notes);
}

void tail_store_flush(struct tail_store *s)
{
    write_notes(s, &s->decided, NOTES_DECIDED, sizeof(struct note), &s->decided_q);
    write_notes(s, &s->ended, NOTES_ENDED, sizeof(struct ended), &s->ended_q);
    s->ended_newest_ns = 0;
    while (s->decided_q.n &&
           s->decided_q.total - s->decided_q.v[s->decided_q.first & (s->decided_q.cap - 1)].n >=
               s->max_decided)
        queue_pop(&s->decided_q);
}

/* ---- once a second ---- */

static uint64_t oldest_own_ns(const struct tail_store *s)
{
    uint64_t oldest = UINT64_MAX;

    for (uint32_t i = 1; i <= s->n_items; i++)
        if (s->items[i].journal && s->items[i].time_ns < oldest)
            oldest = s->items[i].time_ns;
    return oldest;
}

static void drop_ended(struct tail_store *s)
{
    struct note_queue *q = &s->ended_q;
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < s->shelf->n_workers; i++) {
        uint64_t o = s->shelf->stores[i] ? atomic_load_explicit(&s->shelf->stores[i]->oldest_ns,
                                                                memory_order_relaxed)
                                         : 0;

        oldest = o < oldest ? o : oldest;
    }
    while (q->n && q->v[q->first & (q->cap - 1)].newest_ns < oldest)
        queue_pop(q);
}

static void counter_move(struct series *c, uint64_t *published, uint64_t now)
{
    series_add(c, now - *published);
    *published = now;
}

static void publish(struct tail_store *s)
{
    struct journal *all[] = {s->spans, s->notes};
    uint64_t bytes = 0, faults = 0, corrupt = 0, torn = 0;

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const struct journal_stats *st = all[i] ? journal_stats(all[i]) : NULL;

        if (!st)
            continue;
        bytes += st->bytes;
        faults += st->faults;
        corrupt += st->corrupt_records;
        torn += st->torn_bytes;
    }
    counter_move(s->metrics->storage_bytes, &s->published_bytes, bytes);
    counter_move(s->metrics->storage_faults, &s->published_faults, faults);
    counter_move(s->metrics->storage_corrupt, &s->published_corrupt, corrupt);
    counter_move(s->metrics->storage_torn, &s->published_torn, torn);
}

void tail_store_tick(struct tail_store *s)
{
    take_released(s);
    s->pause_ticks -= s->pause_ticks > 0;
    /* what is not read yet may be older than anything known */
    atomic_store_explicit(&s->oldest_ns, s->restored ? oldest_own_ns(s) : 0, memory_order_relaxed);
    if (s->restored)
        drop_ended(s);
    publish(s);
}

void tail_store_leave(struct tail_store *s)
{
    tail_store_flush(s);
    s->leaving = true;
}
