/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening what the workers of one processor share on disk, and what notes say of the time before.
 *
 * The number of workers may be another than it was: worker w opens the journals of all W with W mod
 * n = w. What is in them is brought to its owners by tail_restore.c. Notes are read at once, by the
 * first worker that is made: they are few.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_exchange.h"
#include "processors/tail_store.h"

enum {
    VERSION = 1,
    SPANS_KIND = 0x6c696174, /* "tail" */
    NOTES_KIND = 0x65746f6e, /* "note" */
    SEGMENT_BYTES = 4 << 20,
    NOTES_SEGMENT_BYTES = 256 << 10,
    /* Files kept for what comes: one tick lets go of a second's traffic, and fresh files are slow
       to fill. */
    POOL_SEGMENTS = 64,
    MAX_JOURNALS = 1024, /* workers */
};

/* One worker's pair, of this process or the last. */
struct shelf_journal {
    unsigned number;
    struct journal *spans, *notes;
    struct note_queue decided, ended; /* what the notes hold */
};

static void boot_id(uint64_t *to, const char *path)
{
    char text[64] = "";
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    if (f)
        fclose(f);
    *to = 1;
    for (size_t i = 0; i < n; i++)
        *to = (*to ^ (uint8_t)text[i]) * 1099511628211u;
}

static uint64_t boot_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t tail_shelf_now(const struct tail_shelf *w)
{
    return boot_now_ns() + w->offset_ns;
}

/* On the same start of the machine the wall clock does not matter. */
uint64_t tail_shelf_age_s(const struct tail_shelf *w, const struct request_head *h)
{
    uint64_t now = h->boot == w->boot ? boot_now_ns() : clock_wall_ns();
    uint64_t then = h->boot == w->boot ? h->boot_ns : h->time_ns;

    return now > then ? (now - then) / NS_PER_SEC : 0;
}

/* ---- journals ---- */

static void on_warn(void *ctx, const char *text)
{
    const struct host *h = ctx;

    log_warn(&h->log, "The storage is not as it should be", LOG_STR("what", text));
}

static struct journal *open_one(struct tail_shelf *w, struct host *h, const char *name,
                                unsigned number, bool spans, uint64_t max_bytes)
{
    char dir[PATH_MAX + 32];
    struct err err = {""};

    snprintf(dir, sizeof(dir), "%s/%s-%u", w->place.dir, name, number);
    struct journal_options o = {.dir = dir,
                                .kind = spans ? SPANS_KIND : NOTES_KIND,
                                .version = VERSION,
                                .segment_bytes = spans ? SEGMENT_BYTES : NOTES_SEGMENT_BYTES,
                                .max_bytes = max_bytes,
                                .pool_segments = spans ? POOL_SEGMENTS : 4,
                                .keep_mapped =
                                    spans, /* mapping pages again costs more than writing them */
                                .warn = on_warn,
                                .warn_ctx = h};
    struct journal *j = journal_open(&o, NULL, &err);

    if (!j && !w->error.text[0])
        w->error = err;
    return j;
}

/* Spans get what notes leave. 0: no limit. */
static uint64_t spans_bytes(const struct tail_shelf *w)
{
    CHECK(w->n_workers > 0);
    uint64_t share = w->place.max_bytes / w->n_workers;

    if (!share)
        return 0;
    return share > w->notes_bytes_each + SEGMENT_BYTES ? share - w->notes_bytes_each : SEGMENT_BYTES;
}

static void open_pair(struct tail_shelf *w, struct host *h, unsigned number)
{
    struct shelf_journal *p;

    w->journals = mem_grow(w->journals, (w->n_journals + 1) * sizeof(*w->journals));
    p = &w->journals[w->n_journals++];
    *p = (struct shelf_journal){
        .number = number, .decided.budget = w->budget, .ended.budget = w->budget};
    p->notes = open_one(w, h, "notes", number, false, 0);
    p->spans = open_one(w, h, "spans", number, true, spans_bytes(w));
}

/* The numbers that stand in the directory. */
static void find_numbers(const struct tail_shelf *w, bool found[static MAX_JOURNALS])
{
    DIR *d = opendir(w->place.dir);
    const struct dirent *e;
    unsigned n;
    int len;

    while (d && (e = readdir(d))) {
        len = 0;
        if ((sscanf(e->d_name, "spans-%u%n", &n, &len) == 1 ||
             sscanf(e->d_name, "notes-%u%n", &n, &len) == 1) &&
            len && !e->d_name[len] && n < MAX_JOURNALS)
            found[n] = true;
    }
    if (d)
        closedir(d);
}

/* ---- notes from before ---- */

struct gathered {
    struct buf noted, ended;
};

static void read_notes(struct shelf_journal *p, struct gathered *g)
{
    struct journal_record r;

    while (p->notes && journal_next(p->notes, &r)) {
        bool decided = r.type == NOTES_DECIDED;
        struct note_batch b = {p->notes, r.ref,
                               r.len / (decided ? sizeof(struct note) : sizeof(struct ended)), 0};

        if (decided)
            buf_put(&g->noted, r.p, r.len / sizeof(struct note) * sizeof(struct note));
        else
            buf_put(&g->ended, r.p, r.len / sizeof(struct ended) * sizeof(struct ended));
        for (size_t i = 0; !decided && i < b.n; i++) {
            struct ended e;

            memcpy(&e, r.p + i * sizeof(e), sizeof(e));
            b.newest_ns = e.request_ns > b.newest_ns ? e.request_ns : b.newest_ns;
        }
        tail_store_queue(decided ? &p->decided : &p->ended, b);
    }
}

static int by_id(const void *pa, const void *pb)
{
    const struct note *a = pa, *b = pb;
    int d = memcmp(a->id, b->id, sizeof(a->id));

    return d ? d : (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
}

static int by_request(const void *pa, const void *pb)
{
    const struct ended *a = pa, *b = pb;

    if (a->request_ns != b->request_ns)
        return a->request_ns < b->request_ns ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static bool same_trace(const struct note *a, const struct note *b)
{
    return memcmp(a->id, b->id, sizeof(a->id)) == 0;
}

/* All decisions of a trace, as one that was forgotten may have begun anew; that it was cut counts
 * if it came after the last. */
static void merge_notes(struct tail_shelf *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_noted; i++) {
        struct note *last = n ? &w->noted[n - 1] : NULL, *x = &w->noted[i];
        bool cut = x->code == NOTE_CUT;

        if (last && same_trace(last, x) && cut) {
            last->cut = 1;
            continue;
        }
        if (!last || !same_trace(last, x) || last->code != NOTE_CUT)
            n++;
        w->noted[n - 1] = *x;
        w->noted[n - 1].cut = cut;
    }
    w->n_noted = n;
}

static void merge_ended(struct tail_shelf *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_ended; i++) {
        if (n && by_request(&w->ended[n - 1], &w->ended[i]) == 0)
            w->ended[n - 1].n_spans += w->ended[i].n_spans;
        else
            w->ended[n++] = w->ended[i];
    }
    w->n_ended = n;
}

static void take_notes(struct tail_shelf *w, struct gathered *g)
{
    w->noted = (struct note *)(void *)g->noted.p;
    w->n_noted = g->noted.len / sizeof(struct note);
    w->ended = (struct ended *)(void *)g->ended.p;
    w->n_ended = g->ended.len / sizeof(struct ended);
    w->notes_bytes = g->noted.len + g->ended.len;
    budget_force(w->budget, MEM_TAIL, w->notes_bytes);
    if (w->n_noted)
        qsort(w->noted, w->n_noted, sizeof(struct note), by_id);
    if (w->n_ended)
        qsort(w->ended, w->n_ended, sizeof(struct ended), by_request);
    merge_notes(w);
    merge_ended(w);
    for (size_t i = 0; i < w->n_noted; i++) /* never behind what is noted */
        if (w->noted[i].time_ns >= tail_shelf_now(w))
            w->offset_ns += w->noted[i].time_ns - tail_shelf_now(w) + 1;
}

void tail_shelf_forget(struct tail_shelf *w)
{
    free(w->noted);
    free(w->ended);
    w->noted = NULL;
    w->ended = NULL;
    w->n_noted = w->n_ended = 0;
    budget_release(w->budget, MEM_TAIL, w->notes_bytes);
    w->notes_bytes = 0;
}

bool tail_shelf_last(const struct tail_shelf *w, const struct note *n)
{
    return n + 1 == w->noted + w->n_noted || !same_trace(n, n + 1);
}

/* The first of that trace from then on, else its last. */
static const struct note *noted(const struct tail_shelf *w, const uint8_t id[static 16],
                                uint64_t from_ns)
{
    struct note want = {.time_ns = from_ns};
    size_t lo = 0, hi = w->n_noted;

    memcpy(want.id, id, sizeof(want.id));
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (by_id(&w->noted[mid], &want) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < w->n_noted && same_trace(&w->noted[lo], &want))
        return &w->noted[lo];
    return lo > 0 && same_trace(&w->noted[lo - 1], &want) ? &w->noted[lo - 1] : NULL;
}

const struct note *tail_shelf_noted(const struct tail_shelf *w, const uint8_t id[static 16],
                                    uint64_t request_ns)
{
    const struct note *n = noted(w, id, request_ns);

    return n && n->code != NOTE_CUT ? n : NULL;
}

bool tail_shelf_was_cut(const struct tail_shelf *w, const uint8_t id[static 16])
{
    const struct note *n = noted(w, id, UINT64_MAX);

    return n && n->cut;
}

bool tail_shelf_ended(struct tail_shelf *w, uint64_t request_ns, const uint8_t id[static 16],
                      uint32_t n)
{
    struct ended want = {.request_ns = request_ns, .key = tail_store_key(id)};
    struct ended *e =
        w->n_ended ? bsearch(&want, w->ended, w->n_ended, sizeof(want), by_request) : NULL;

    if (!e || e->n_spans < n)
        return false;
    e->n_spans -= n;
    return true;
}

/* ---- the shelf ---- */

static void open_all(struct tail_shelf *w, struct host *h, uint64_t max_decided)
{
    bool found[MAX_JOURNALS] = {false};
    struct gathered g = {{0}, {0}};

    for (unsigned i = 0; i < w->n_workers && i < MAX_JOURNALS; i++)
        found[i] = true;
    w->notes_bytes_each = max_decided * sizeof(struct note) * 2 + (4 * NOTES_SEGMENT_BYTES);
    find_numbers(w, found);
    for (unsigned i = 0; i < MAX_JOURNALS; i++) {
        if (!found[i])
            continue;
        open_pair(w, h, i);
        read_notes(&w->journals[w->n_journals - 1], &g);
    }
    take_notes(w, &g);
}

static struct tail_shelf *shelf_new(struct host *h, const char *storage_id,
                                    struct tail_shelf **home, uint64_t max_decided, struct err *err)
{
    struct tail_shelf *w = mem_alloc(sizeof(*w));

    if (storage_open(h, storage_id, &w->place, err) != 0) {
        free(w);
        return NULL;
    }
    w->pipeline = mem_dup(h->pipeline ? h->pipeline : "");
    w->n_workers = h->n_workers;
    w->budget = h->budget;
    w->stores = mem_alloc_array(h->n_workers, sizeof(struct tail_store *));
    w->home = home;
    w->next = *home;
    *home = w;
    boot_id(&w->boot, "/proc/sys/kernel/random/boot_id");
    w->offset_ns = clock_wall_ns() - boot_now_ns();
    atomic_init(&w->restoring, h->n_workers);
    open_all(w, h, max_decided);
    if (w->place.fsync)
        log_warn(&h->log, "The storage's fsync does not apply to tail_sampling: what it holds "
                          "outlives the process, not a power cut");
    return w;
}

static void unlink_shelf(struct tail_shelf *w)
{
    struct tail_shelf **at = w->home;

    while (at && *at && *at != w)
        at = &(*at)->next;
    if (at && *at)
        *at = w->next;
}

static void store_destroy(struct tail_store **sp)
{
    struct tail_store *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    for (struct release *r = atomic_load(&s->released), *next; r; r = next) {
        next = r->next;
        free(r);
    }
    tail_store_queue_free(&s->decided_q);
    tail_store_queue_free(&s->ended_q);
    free(s->old);
    free(s);
}

/* Journals of workers that are not here any more go when nothing is in them. */
static void shelf_unref(struct tail_shelf *w)
{
    if (--w->refs)
        return;
    unlink_shelf(w);
    for (unsigned i = 0; i < w->n_workers; i++)
        store_destroy(&w->stores[i]);
    for (size_t i = 0; i < w->n_journals; i++) {
        struct shelf_journal *p = &w->journals[i];
        bool old = p->number >= w->n_workers;

        tail_store_queue_free(&p->decided);
        tail_store_queue_free(&p->ended);
        old ? journal_close_and_remove(&p->spans) : journal_close(&p->spans);
        old ? journal_close_and_remove(&p->notes) : journal_close(&p->notes);
    }
    free(w->journals);
    tail_shelf_forget(w);
    free(w->stores);
    free(w->pipeline);
    free(w);
}

/* ---- stores ---- */

static void queues_join(struct note_queue *to, const struct note_queue *from)
{
    for (uint32_t i = 0; i < from->n; i++)
        tail_store_queue(to, from->v[(from->first + i) & (from->cap - 1)]);
}

static void take_journals(struct tail_store *s)
{
    struct tail_shelf *w = s->shelf;

    s->old = mem_alloc_array(w->n_journals + 1, sizeof(struct journal *));
    for (size_t i = 0; i < w->n_journals; i++) {
        struct shelf_journal *p = &w->journals[i];

        if (p->number % w->n_workers != s->host->worker)
            continue;
        if (p->number == s->host->worker) {
            s->spans = p->spans;
            s->notes = p->notes;
        }
        if (p->spans)
            s->old[s->n_old++] = p->spans;
        queues_join(&s->decided_q, &p->decided);
        queues_join(&s->ended_q, &p->ended);
        tail_store_queue_free(&p->decided);
        tail_store_queue_free(&p->ended);
    }
}

static struct tail_shelf *shelf_get(struct host *h, const char *storage_id,
                                    struct tail_shelf **shelves, uint64_t max_decided,
                                    struct err *err)
{
    for (struct tail_shelf *w = *shelves; w; w = w->next)
        if (strcmp(w->pipeline, h->pipeline ? h->pipeline : "") == 0)
            return w;
    return shelf_new(h, storage_id, shelves, max_decided, err);
}

struct tail_store *tail_store_new(struct host *h, const char *storage_id,
                                  struct tail_shelf **shelves, uint64_t max_decided,
                                  struct tail_metrics *m, struct err *err)
{
    struct tail_shelf *w = shelf_get(h, storage_id, shelves, max_decided, err);
    struct tail_store *s;

    if (!w)
        return NULL;
    s = mem_alloc(sizeof(*s));
    tail_metrics_storage(m, h->metrics);
    CHECK(w->n_workers == h->n_workers && !w->stores[h->worker]);
    w->refs++;
    *s = (struct tail_store){.shelf = w,
                             .host = h,
                             .metrics = m,
                             .max_decided = max_decided ? max_decided : 1,
                             .decided_q.budget = h->budget,
                             .ended_q.budget = h->budget};
    w->stores[h->worker] = s;
    take_journals(s);
    s->working = s->spans && s->notes;
    series_add(m->storage_working, s->working);
    if (!s->working)
        log_warn(&h->log, "The storage cannot be opened, spans are held in memory only",
                 LOG_STR("error", w->error.text), LOG_UINT("worker", h->worker));
    return s;
}

static void shelf_move(struct tail_shelf *w, struct tail_shelf **shelves)
{
    unlink_shelf(w);
    w->home = shelves;
    w->next = *shelves;
    *shelves = w;
}

void tail_store_change(struct tail_store *s, const char *storage_id, struct tail_shelf **shelves)
{
    struct tail_shelf *w = s->shelf;
    struct storage_place place;
    struct err err = {""};

    if (w->home != shelves) { /* the first worker */
        shelf_move(w, shelves);
        if (storage_open(s->host, storage_id, &place, &err) == 0)
            w->place.max_bytes = place.max_bytes; /* the directory is the same */
    }
    if (s->spans)
        journal_limit(s->spans, spans_bytes(w));
}

/* Flights may still be under way: they know that nobody waits any more. The store itself goes with
 * the shelf, as other workers may give something back. */
void tail_store_free(struct tail_store **sp)
{
    struct tail_store *s = *sp;
    struct flight *f, *next;

    *sp = NULL;
    if (!s)
        return;
    tail_store_leave(s);
    for (f = s->flights; f; f = next) {
        next = f->next;
        budget_release(s->host->budget, MEM_TAIL, sizeof(*f) + f->n * sizeof(*f->runs));
        f->store = NULL;
    }
    s->flights = NULL;
    if (s->request)
        payload_unref(&s->request);
    budget_release(s->host->budget, MEM_TAIL,
                   s->cap_items * sizeof(*s->items) + s->cap_runs * sizeof(*s->runs));
    free(s->items);
    free(s->runs);
    free(s->iov);
    s->items = NULL;
    s->runs = NULL;
    s->cap_items = s->cap_runs = s->n_items = 0;
    encoded_free(&s->encoded);
    buf_free(&s->decided);
    buf_free(&s->ended);
    series_add(s->metrics->storage_working, s->working ? (uint64_t)-1 : 0);
    shelf_unref(s->shelf);
}
