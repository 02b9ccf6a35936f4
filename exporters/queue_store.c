/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journals of a sending queue: opened, filled, emptied, taken over. See queue_store.h.
 *
 * Memory: two segments of 4 MiB mapped for each worker, one being written and one for the next.
 * Usually a fraction is touched: a queue that keeps up writes the first pages again and again. A
 * segment being read at the start is held in memory whole. An item costs 40 bytes.
 *
 * Order: journals, writing, reading back, what is left from before, safety, life.
 */
#include "exporters/queue_store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "component/storage.h"
#include "exporters/queue_batch.h"
#include "exporters/queue_info.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "platform/clock.h"
#include "platform/journal.h"

#define KIND          0x55515254u /* "TRQU" */
#define VERSION       1u
#define SEGMENT_BYTES (4ull << 20)
#define SEGMENT_UNIT  (64ull << 10)
#define POOL_SEGMENTS 1u
#define MAX_JOURNALS  4096u
#define SCAN_NS       (2 * NS_PER_SEC)
#define TYPE_BATCH    1

/* Before the OTLP request, in the machine's order as the journal itself. */
struct item_head {
    uint32_t n_spans;
    uint32_t info_len; /* bytes of client metadata that follow, queue_info.h */
};

struct store_journal {
    struct list node;
    struct queue_store *st;
    struct journal *j;
    unsigned number;
    const char *former; /* the storage's former directory where it lies; NULL: in st->place */
    bool unread;
    uint64_t seen_corrupt, seen_aside; /* of its stats, already counted */
};

struct stored_item {
    struct store_journal *of;
    journal_ref ref;
    uint32_t body_at, len; /* where the request begins in the record; length of the record */
};

struct queue_store {
    struct host *host;
    void *owner;
    struct storage_place place;
    struct component *storage; /* whose */
    struct list journals;
    struct store_journal *own; /* among them; NULL: the disk says no */
    uint64_t scan_at_ns;
    bool told; /* that the disk says no */
    struct encoded encoded;
    struct buf info;
    struct iovec *iov;
    size_t cap_iov;
    struct series *series[STORE_ROWS];

    /* fsync */
    struct journal_sync *sync; /* under way; NULL: none */
    bool sync_failed;
    struct waiter *waiting, *served; /* for the next one, for the one under way */
    size_t n_waiting, cap_waiting, n_served;
};

static void note_stats(struct queue_store *st)
{
    uint64_t bytes = 0;

    for (struct list *l = st->journals.next; l != &st->journals; l = l->next) {
        struct store_journal *sj = CONTAINER_OF(l, struct store_journal, node);
        const struct journal_stats *s = journal_stats(sj->j);

        bytes += s->bytes;
        if (s->corrupt_records > sj->seen_corrupt)
            series_add(st->series[ROW_STORE_CORRUPT], s->corrupt_records - sj->seen_corrupt);
        if (s->set_aside > sj->seen_aside)
            series_add(st->series[ROW_STORE_ASIDE], s->set_aside - sj->seen_aside);
        sj->seen_corrupt = s->corrupt_records;
        sj->seen_aside = s->set_aside;
    }
    series_set(st->series[ROW_STORE_BYTES], bytes);
}

/* ---- journals ---- */

static void on_warning(void *ctx, const char *text)
{
    const struct queue_store *st = ctx;

    log_warn(&st->host->log, "Files of the sending queue need a look", LOG_STR("detail", text));
}

/* max_size is for all workers together. */
static void size_options(const struct queue_store *st, struct journal_options *o)
{
    uint64_t n = st->host->n_workers > 0 ? st->host->n_workers : 1;
    uint64_t share = st->place.max_bytes / n;

    o->segment_bytes = SEGMENT_BYTES;
    if (st->place.max_bytes == 0)
        return;
    if (share / 4 < SEGMENT_BYTES)
        o->segment_bytes = share / 4 / SEGMENT_UNIT * SEGMENT_UNIT;
    if (o->segment_bytes == 0)
        o->segment_bytes = SEGMENT_UNIT;
    o->max_bytes = share < o->segment_bytes ? o->segment_bytes : share;
}

static struct journal *open_number(struct queue_store *st, const char *former, unsigned number, bool *locked,
                                   struct err *err)
{
    char dir[PATH_MAX + 16];
    struct journal_options o = {.dir = dir,
                                .make_parents = true, /* the extension may have been unable to */
                                .kind = KIND,
                                .version = VERSION,
                                .pool_segments = POOL_SEGMENTS,
                                .warn = on_warning,
                                .warn_ctx = st};

    snprintf(dir, sizeof(dir), "%s/%u", former ? former : st->place.dir, number);
    size_options(st, &o);
    return journal_open(&o, locked, err);
}

static struct store_journal *add_journal(struct queue_store *st, struct journal *j, const char *former, unsigned number)
{
    struct store_journal *sj = mem_alloc(sizeof(*sj));

    *sj = (struct store_journal){.st = st, .j = j, .former = former, .number = number, .unread = true};
    list_add_tail(&st->journals, &sj->node);
    note_stats(st);
    return sj;
}

static bool have_number(const struct queue_store *st, const char *former, unsigned number)
{
    for (const struct list *l = st->journals.next; l != &st->journals; l = l->next) {
        const struct store_journal *sj = CONTAINER_OF(l, const struct store_journal, node);

        if (sj->number == number && sj->former == former)
            return true;
    }
    return false;
}

/* The first that nobody has open. */
static void open_own(struct queue_store *st)
{
    struct err err = {0};
    struct journal *j = NULL;
    unsigned number = 0;
    bool locked = true;

    for (; j == NULL && locked && number < MAX_JOURNALS; number++)
        if (!have_number(st, NULL, number))
            j = open_number(st, NULL, number, &locked, &err);
    if (j != NULL) {
        st->own = add_journal(st, j, NULL, number - 1);
        if (st->told)
            log_info(&st->host->log, "The sending queue is on disk again",
                     LOG_STR("directory", st->place.dir));
        st->told = false;
        return;
    }
    if (!st->told)
        log_warn(&st->host->log,
                 "The sending queue cannot be kept on disk: senders are answered when the backend "
                 "has their spans",
                 LOG_STR("error", err.text));
    st->told = true;
}

static void drop_journal(struct store_journal *sj, bool remove)
{
    list_del(&sj->node);
    if (remove)
        journal_close_and_remove(&sj->j);
    else
        journal_close(&sj->j);
    free(sj);
}

/* One that was taken over goes when it is empty. */
static void drop_if_empty(struct store_journal *sj)
{
    struct queue_store *st = sj->st;

    if (sj != st->own && !sj->unread && journal_stats(sj->j)->live_records == 0)
        drop_journal(sj, true);
    note_stats(st);
}

static void take_over(struct queue_store *st, const char *former, const char *name)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    struct err err = {0};
    struct journal *j;

    if (end == name || *end != '\0' || number >= MAX_JOURNALS || have_number(st, former, (unsigned)number))
        return;
    j = open_number(st, former, (unsigned)number, NULL, &err); /* NULL: somebody's */
    if (j != NULL)
        (void)add_journal(st, j, former, (unsigned)number);
}

static void scan(struct queue_store *st, const char *former)
{
    DIR *d = opendir(former ? former : st->place.dir);

    if (d == NULL)
        return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        take_over(st, former, e->d_name);
    closedir(d);
}

void queue_store_tick(struct queue_store *st, uint64_t now_ns)
{
    const char *former;

    if (now_ns < st->scan_at_ns)
        return;
    st->scan_at_ns = now_ns + SCAN_NS;
    if (st->own == NULL)
        open_own(st);
    if (st->host->worker != 0)
        return;
    scan(st, NULL);
    for (size_t i = 0; (former = storage_former(st->host, st->storage, i)) != NULL; i++)
        scan(st, former);
}

uint64_t queue_store_due_ns(const struct queue_store *st)
{
    return st->own != NULL && st->host->worker != 0 ? UINT64_MAX : st->scan_at_ns;
}

/* ---- writing ---- */

static struct stored_item *item_new(struct store_journal *of, journal_ref ref, uint32_t body_at,
                                    uint32_t len)
{
    struct stored_item *i = mem_alloc(sizeof(*i));

    *i = (struct stored_item){of, ref, body_at, len};
    return i;
}

void *queue_store_owner(const struct stored_item *item)
{
    return item->of->st->owner;
}

static struct stored_item *put_failed(struct queue_store *st, const char *why)
{
    series_add(st->series[ROW_STORE_ERRORS], 1);
    log_warn(&st->host->log,
             "A batch could not be stored: its sender is answered when the backend has it",
             LOG_STR("error", why));
    return NULL;
}

static void room_for_iov(struct queue_store *st, size_t n)
{
    if (n <= st->cap_iov)
        return;
    st->cap_iov = n * 2;
    st->iov = mem_grow(st->iov, st->cap_iov * sizeof(*st->iov));
}

struct stored_item *queue_store_put(struct queue_store *st, const struct batch *b)
{
    struct item_head head = {.n_spans = (uint32_t)b->n_spans};
    struct encoded *e = &st->encoded;
    journal_ref ref;

    if (st->own == NULL)
        return put_failed(st, "the directory cannot be written to");
    if (otlp_encode(b, e) != 0)
        return put_failed(st, "no memory");
    buf_clear(&st->info);
    queue_info_put(&st->info, b->info);
    head.info_len = (uint32_t)st->info.len;
    room_for_iov(st, e->n_iov + 2);
    st->iov[0] = (struct iovec){&head, sizeof(head)};
    st->iov[1] = (struct iovec){st->info.p, st->info.len};
    memcpy(st->iov + 2, e->iov, e->n_iov * sizeof(*e->iov));
    if (journal_append(st->own->j, TYPE_BATCH, st->iov, (unsigned)e->n_iov + 2, &ref) != 0)
        return put_failed(st, journal_fault_detail(st->own->j));
    note_stats(st);
    return item_new(st->own, ref, (uint32_t)(sizeof(head) + st->info.len),
                    (uint32_t)(sizeof(head) + st->info.len + e->len));
}

void queue_store_done(struct stored_item **item)
{
    struct store_journal *of = (*item)->of;

    journal_drop(of->j, (*item)->ref);
    free(*item);
    *item = NULL;
    drop_if_empty(of);
}

void queue_store_leave(struct stored_item **item)
{
    free(*item);
    *item = NULL;
}

bool queue_store_has_room(const struct queue_store *st, uint64_t n_bytes)
{
    return st->own == NULL || journal_has_room(st->own->j, n_bytes + 4096);
}

/* ---- reading back ---- */

static void release_record(void *ctx, uint8_t *bytes)
{
    (void)bytes;
    free(ctx);
}

enum load_result queue_store_load(const struct stored_item *item, uint64_t n_spans,
                                  struct payload **out)
{
    struct budget *budget = item->of->st->host->budget;
    struct walk_report report;
    struct err err = {0};
    enum walk_result walked;
    uint8_t *bytes;

    *out = NULL;
    if (!budget_charge(budget, MEM_BODY, item->len))
        return LOAD_LATER;
    bytes = mem_try(item->len);
    if (bytes == NULL || journal_read(item->of->j, item->ref, 0, bytes, item->len, true) != 0) {
        budget_release(budget, MEM_BODY, item->len);
        free(bytes);
        return bytes == NULL ? LOAD_LATER : LOAD_DAMAGED;
    }
    *out = payload_new_ext(budget, bytes + item->body_at, item->len - item->body_at, item->len,
                           release_record, bytes);
    walked = otlp_walk(*out, &report, &err);
    if (walked == WALK_OK && (*out)->n_spans == n_spans)
        return LOAD_OK;
    payload_unref(out);
    return walked == WALK_NO_MEMORY ? LOAD_LATER : LOAD_DAMAGED;
}

/* ---- what is left from before ---- */

static struct store_journal *first_unread(const struct queue_store *st)
{
    for (struct list *l = st->journals.next; l != &st->journals; l = l->next) {
        struct store_journal *sj = CONTAINER_OF(l, struct store_journal, node);

        if (sj->unread)
            return sj;
    }
    return NULL;
}

bool queue_store_more(const struct queue_store *st)
{
    return first_unread(st) != NULL;
}

/* Its checksum is right: but for another version of ours, it is what put() wrote. */
static bool restore(struct store_journal *sj, const struct journal_record *r, struct restored *out)
{
    struct item_head head;
    uint32_t body_at;

    if (r->type != TYPE_BATCH || r->len < sizeof(head))
        return false;
    memcpy(&head, r->p, sizeof(head));
    if (head.info_len > r->len - sizeof(head) || head.n_spans == 0)
        return false;
    body_at = (uint32_t)sizeof(head) + head.info_len;
    *out = (struct restored){.item = item_new(sj, r->ref, body_at, r->len),
                             .n_spans = head.n_spans,
                             .n_bytes = r->len - body_at,
                             .info = queue_info_get(slice_of(r->p + sizeof(head), head.info_len))};
    return true;
}

bool queue_store_next(struct queue_store *st, struct restored *out)
{
    struct store_journal *sj;
    struct journal_record r;

    while ((sj = first_unread(st)) != NULL) {
        while (journal_next(sj->j, &r) == 1) {
            if (restore(sj, &r, out)) {
                series_add(st->series[ROW_STORE_RESTORED], out->n_spans);
                return true;
            }
            series_add(st->series[ROW_STORE_CORRUPT], 1);
            journal_drop(sj->j, r.ref);
        }
        sj->unread = false;
        drop_if_empty(sj);
    }
    return false;
}

/* ---- safety ---- */

static void answer_all(struct waiter *w, size_t n, bool failed)
{
    struct answer_detail d = {.answer = failed ? ANSWER_RETRY : ANSWER_OK,
                              .text = failed ? "the storage failed to write" : NULL};

    for (size_t i = 0; i < n; i++)
        w[i].fn(w[i].ctx, &d);
}

/* In the thread pool. */
static void run_sync(void *ctx)
{
    struct queue_store *st = ctx;

    st->sync_failed = journal_sync_run(st->sync) != 0;
}

static void begin_sync(struct queue_store *st);

static void on_synced(void *ctx)
{
    struct queue_store *st = ctx;
    struct waiter *served = st->served;
    size_t n = st->n_served;

    journal_sync_end(st->own->j, &st->sync);
    st->served = NULL;
    st->n_served = 0;
    if (st->sync_failed)
        series_add(st->series[ROW_STORE_ERRORS], n);
    if (st->n_waiting > 0)
        begin_sync(st);
    answer_all(served, n, st->sync_failed);
    free(served);
}

static void begin_sync(struct queue_store *st)
{
    struct waiter *w = st->waiting;
    size_t n = st->n_waiting;

    st->waiting = NULL;
    st->n_waiting = st->cap_waiting = 0;
    st->sync = journal_sync_begin(st->own->j);
    if (st->sync != NULL) {
        st->served = w;
        st->n_served = n;
        loop_work(st->host->loop, run_sync, on_synced, st);
        return;
    }
    answer_all(w, n, false); /* the previous one covered them, or the backend has them already */
    free(w);
}

void queue_store_when_safe(struct queue_store *st, struct waiter w)
{
    if (!st->place.fsync) {
        answer_all(&w, 1, false);
        return;
    }
    if (st->n_waiting == st->cap_waiting) {
        st->cap_waiting = st->cap_waiting ? st->cap_waiting * 2 : 16;
        st->waiting = mem_grow(st->waiting, st->cap_waiting * sizeof(*st->waiting));
    }
    st->waiting[st->n_waiting++] = w;
    if (st->sync == NULL)
        begin_sync(st);
}

bool queue_store_idle(const struct queue_store *st)
{
    return st->sync == NULL;
}

/* ---- life ---- */

static const struct metric_row store_rows[] = {STORE_METRIC_ROWS};

struct queue_store *queue_store_open(struct host *h, const char *extension_id, void *owner,
                                     struct err *err)
{
    const struct metric_label label = {"exporter", h->id};
    struct queue_store *st = mem_alloc(sizeof(*st));

    if (storage_open(h, extension_id, &st->place, err) != 0) {
        free(st);
        return NULL;
    }
    st->host = h;
    st->storage = host_extension(h, extension_id);
    st->owner = owner;
    list_init(&st->journals);
    for (int i = 0; i < STORE_ROWS; i++)
        st->series[i] = metric_series(h->metrics, &store_rows[i], &label, 1);
    open_own(st);
    return st;
}

void queue_store_close(struct queue_store **sp)
{
    struct queue_store *st = *sp;

    *sp = NULL;
    if (st == NULL)
        return;
    CHECK(st->sync == NULL && st->n_waiting == 0);
    while (!list_empty(&st->journals))
        drop_journal(CONTAINER_OF(list_pop(&st->journals), struct store_journal, node),
                     true); /* if it is empty */
    encoded_free(&st->encoded);
    buf_free(&st->info);
    free(st->iov);
    free(st->waiting);
    free(st);
}

size_t queue_store_memory(const struct queue_settings *q, bool q_enabled, unsigned n_workers,
                          struct memory_term *terms, size_t max)
{
    if (!q_enabled || q->storage == NULL || max == 0)
        return 0;
    terms[0].bytes = n_workers * (1 + POOL_SEGMENTS) * SEGMENT_BYTES;
    snprintf(terms[0].text, sizeof(terms[0].text),
             "%u workers x %llu MiB of mapped files of the sending queue", n_workers,
             (1 + POOL_SEGMENTS) * SEGMENT_BYTES >> 20);
    return 1;
}
