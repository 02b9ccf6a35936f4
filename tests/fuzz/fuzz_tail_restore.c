/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what tail_sampling takes up from its storage. The input describes a directory of journals:
 * requests (well-formed or any bytes, any times), decisions, endings, dropped records, damaged
 * bytes and cut files. A sampler of one or two workers goes on from there: every span that comes
 * back is accounted for, everything is decided after a while, nothing stays in the journals then,
 * and another process finds nothing. Without damage and memory pressure no request of ours is lost.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "component/storage.h"
#include "model/attr.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_restore.h"
#include "tests/lib/tail_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { JOURNALS = 3, MAX_WORKERS = 2, MAX_REQUESTS = 64, MAX_RECORDS = 128, SEGMENT = 4 << 20 };

static char root[48];

/* ---- input ---- */

struct input {
    const uint8_t *p, *end;
};

static unsigned get(struct input *in)
{
    return in->p < in->end ? *in->p++ : 0;
}

static uint64_t get64(struct input *in)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | get(in);
    return v;
}

static struct slice get_bytes(struct input *in)
{
    size_t n = get(in), left = (size_t)(in->end - in->p);
    struct slice s = slice_of(in->p, n < left ? n : left);

    in->p += s.len;
    return s;
}

/* Now, a while ago, in a while, or anything. */
static uint64_t get_time(struct input *in)
{
    uint64_t now = clock_wall_ns();

    switch (get(in) % 5) {
    case 0:
        return now;
    case 1:
        return now - get(in) * NS_PER_SEC;
    case 2:
        return now + get(in) * NS_PER_SEC;
    case 3:
        return get(in);
    default:
        return get64(in);
    }
}

static void trace_id(uint8_t id[static 16], unsigned trace)
{
    memset(id, 0, 16);
    id[8] = (uint8_t)(trace * 37);
    id[15] = (uint8_t)(trace + 1);
}

/* ---- the directory ---- */

struct written {
    struct journal *j;
    journal_ref ref;
};
struct disk {
    struct journal *spans[JOURNALS], *notes[JOURNALS];
    struct written records[MAX_RECORDS];
    unsigned n_records;
    uint64_t requests[MAX_REQUESTS]; /* their times */
    unsigned n_requests;
    uint64_t spans_written; /* in requests of ours */
    bool odd;               /* damage, foreign records, drops, notes: what comes back is open */
};

static void journal_dir(char dir[static 128], const char *what, unsigned number)
{
    int n = snprintf(dir, 128, "%s/%s-%u", root, what, number);

    CHECK(n > 0 && n < 128);
}

static struct journal *open_journal(const char *what, unsigned number, uint32_t kind,
                                    uint64_t segment)
{
    char dir[128];
    struct err err;
    struct journal *j;

    journal_dir(dir, what, number);
    j = journal_open(
        &(struct journal_options){.dir = dir, .kind = kind, .version = 1, .segment_bytes = segment},
        NULL, &err);
    CHECK(j);
    return j;
}

static struct journal *spans_of(struct disk *d, unsigned n)
{
    if (!d->spans[n])
        d->spans[n] = open_journal("spans", n, 0x6c696174, SEGMENT);
    return d->spans[n];
}

static struct journal *notes_of(struct disk *d, unsigned n)
{
    if (!d->notes[n])
        d->notes[n] = open_journal("notes", n, 0x65746f6e, 256 << 10);
    return d->notes[n];
}

static void put_record(struct disk *d, struct journal *j, unsigned type, const struct iovec *iov,
                       unsigned n)
{
    if (d->n_records == MAX_RECORDS)
        return;
    d->records[d->n_records].j = j;
    CHECK(journal_append(j, (uint8_t)type, iov, n, &d->records[d->n_records].ref) == 0);
    d->n_records++;
}

static void put_message(struct buf *out, uint32_t number, struct buf *body)
{
    CHECK(wire_put_bytes(out, number, slice_of(body->p, body->len)) == 0);
    buf_clear(body);
}

/* `what`: trace in the low bits, the highest makes it an error. */
static void put_span(struct buf *out, unsigned what, uint64_t span)
{
    static const uint8_t error[] = {0x18, 2};
    struct buf body = {0}, status = {0};
    uint8_t id[16];

    trace_id(id, what % 8);
    span++;
    CHECK(wire_put_bytes(&body, SPAN_TRACE_ID, slice_of(id, 16)) == 0);
    CHECK(wire_put_bytes(&body, SPAN_SPAN_ID, slice_of(&span, 8)) == 0);
    if (what & 64)
        CHECK(wire_put_bytes(&body, SPAN_PARENT_ID, slice_of(&span, 8)) == 0);
    if (what & 128) {
        buf_put(&status, error, sizeof(error));
        put_message(&body, 15, &status);
    }
    put_message(out, 2, &body);
    buf_free(&body);
    buf_free(&status);
}

static void good_request(struct disk *d, struct input *in, unsigned number)
{
    struct request_head h = {
        .time_ns = get_time(in), .boot_ns = get64(in) >> 16, .boot = get(in) % 2};
    struct buf scope = {0}, resource = {0}, whole = {0};
    unsigned n = 1 + get(in) % 12;

    for (unsigned i = 0; i < n; i++)
        put_span(&scope, get(in), d->spans_written + i);
    put_message(&resource, 2, &scope);
    put_message(&whole, 1, &resource);
    if (d->n_records < MAX_RECORDS && d->n_requests < MAX_REQUESTS) {
        d->requests[d->n_requests++] = h.time_ns;
        d->spans_written += n;
        put_record(d, spans_of(d, number), STORE_REQUEST,
                   (struct iovec[]){{&h, sizeof(h)}, {whole.p, whole.len}}, 2);
    }
    buf_free(&scope);
    buf_free(&resource);
    buf_free(&whole);
}

static void decisions(struct disk *d, struct input *in, unsigned number)
{
    struct note notes[8];
    unsigned n = 1 + get(in) % ARRAY_LEN(notes);

    for (unsigned i = 0; i < n; i++) {
        notes[i] =
            (struct note){.time_ns = get_time(in),
                          .code = (uint8_t)(get(in) % 7),
                          .cut = (uint8_t)(get(in) % 2),
                          .policy = get(in) % 2 ? tail_note_policy("errors") : (uint16_t)get(in)};
        trace_id(notes[i].id, get(in) % 8);
    }
    put_record(d, notes_of(d, number), NOTES_DECIDED, &(struct iovec){notes, n * sizeof(notes[0])},
               1);
}

static void endings(struct disk *d, struct input *in, unsigned number)
{
    struct ended e[8];
    unsigned n = 1 + get(in) % ARRAY_LEN(e);
    uint8_t id[16];

    for (unsigned i = 0; i < n; i++) {
        trace_id(id, get(in) % 8);
        e[i] = (struct ended){d->n_requests ? d->requests[get(in) % d->n_requests] : get64(in),
                              tail_store_key(id), get(in)};
    }
    put_record(d, notes_of(d, number), NOTES_ENDED, &(struct iovec){e, n * sizeof(e[0])}, 1);
}

static void any_record(struct disk *d, struct input *in, struct journal *j)
{
    unsigned type = get(in);
    struct slice s = get_bytes(in);

    put_record(d, j, type, &(struct iovec){(void *)(uintptr_t)s.p, s.len}, 1);
}

static void drop_record(struct disk *d, unsigned which)
{
    struct written *w = d->n_records ? &d->records[which % d->n_records] : NULL;

    if (w && w->ref) {
        journal_drop(w->j, w->ref);
        w->ref = 0;
    }
}

static void close_all(struct disk *d)
{
    for (unsigned i = 0; i < JOURNALS; i++) {
        journal_close(&d->spans[i]);
        journal_close(&d->notes[i]);
    }
    d->n_records = 0;
}

/* A byte is changed, or the file cut. */
static void damage(struct disk *d, struct input *in, unsigned number)
{
    unsigned what = get(in), where = get(in);
    uint64_t at = where < 64 ? where * 40ull : (what & 1 ? 36864 : 4096) + (where - 64) * 61ull;
    char dir[128], path[160];
    uint8_t b;
    int fd;

    close_all(d);
    journal_dir(dir, what & 1 ? "spans" : "notes", number);
    snprintf(path, sizeof(path), "%s/00000000.seg", dir);
    fd = open(path, O_RDWR);
    if (fd < 0)
        return;
    if (what & 2)
        CHECK(ftruncate(fd, (off_t)at) == 0);
    else if (pread(fd, &b, 1, (off_t)at) == 1) {
        b ^= (uint8_t)(what | 4);
        CHECK(pwrite(fd, &b, 1, (off_t)at) == 1);
    }
    close(fd);
}

static void write_disk(struct disk *d, struct input *in)
{
    while (in->p < in->end) {
        unsigned what = get(in), number = what / 16 % JOURNALS;

        d->odd |= what % 16 >= 6;
        if (what % 16 < 6)
            good_request(d, in, number);
        else if (what % 16 < 9)
            decisions(d, in, number);
        else if (what % 16 < 11)
            endings(d, in, number);
        else if (what % 16 < 12)
            any_record(d, in, spans_of(d, number));
        else if (what % 16 < 13)
            any_record(d, in, notes_of(d, number));
        else if (what % 16 < 14)
            drop_record(d, get(in));
        else
            damage(d, in, number);
    }
    close_all(d);
}

/* ---- a process ---- */

struct life;
struct worker {
    struct host host;
    struct life *life;
    struct ledger ledger;
    struct tail_sampler s;
    struct tail_exchange x;
    struct tail_message *inbox[1024];
    unsigned n_inbox;
};
struct life {
    struct worker workers[MAX_WORKERS];
    unsigned n;
    struct budget *budget;
    struct tail_shared *shared;
    struct component storage;
    unsigned fates; /* bits tell what becomes of batches */
};

static struct worker *of(const struct host *h)
{
    return CONTAINER_OF(h, struct worker, host);
}

static void emit(struct host *h, struct batch **take)
{
    struct life *l = of(h)->life;
    unsigned fate = l->fates & 3;

    l->fates = l->fates >> 2 | fate << 30;
    if (fate == 3)
        batch_drop(take, DROP_NOT_RETRYABLE, "no");
    else if (fate == 2)
        batch_safe(*take), batch_exported(take);
    else
        batch_exported(take);
}

static bool send_message(struct host *h, unsigned to, void *msg)
{
    struct worker *w = &of(h)->life->workers[to];

    if (w->n_inbox == ARRAY_LEN(w->inbox))
        return false;
    w->inbox[w->n_inbox++] = msg;
    return true;
}

static int place(struct component *c, const struct storage_owner *o, struct storage_place *out,
                 struct err *err)
{
    (void)c, (void)o, (void)err;
    *out = (struct storage_place){.dir = ""};
    snprintf(out->dir, sizeof(out->dir), "%s", root);
    return 0;
}

static const struct storage_ops storage_ops = {.open = place};
static const struct component_type storage_type = {
    .kind = EXTENSION, .name = "fuzz_storage", .storage = &storage_ops};

static struct component *find_storage(const struct host *h, const char *id)
{
    (void)id;
    return &of(h)->life->storage;
}

static void begin(struct life *l, const struct tail_settings *set, uint64_t limit_bytes)
{
    struct err err;

    l->budget = budget_new(limit_bytes / 5 * 4, limit_bytes);
    l->storage = (struct component){&storage_type, NULL};
    for (unsigned i = 0; i < l->n; i++) {
        struct worker *w = &l->workers[i];

        w->life = l;
        w->host = (struct host){.budget = l->budget,
                                .metrics = metric_set_new(),
                                .worker = i,
                                .n_workers = l->n,
                                .id = "tail_sampling",
                                .pipeline = "traces",
                                .ledger = &w->ledger,
                                .metric_level = METRIC_DETAILED,
                                .emit_fn = emit,
                                .send_fn = send_message,
                                .extension_fn = find_storage};
    }
    CHECK(tail_shared_new(set, l->budget, 0, &l->shared, &err) == 0);
    for (unsigned i = 0; i < l->n; i++) {
        struct worker *w = &l->workers[i];

        w->host.shared = l->shared;
        tail_sampler_init(&w->s, &w->host, set, l->shared);
        tail_exchange_init(&w->x, &w->host);
        w->s.store =
            tail_store_new(&w->host, "storage", &l->shared->shelves, 100, &w->s.metrics, &err);
        CHECK(w->s.store);
    }
    for (unsigned i = 0; i < l->n; i++)
        tail_restore_decisions(&l->workers[i].s);
}

/* What the component does with a message from another worker. */
static void receive(struct worker *w, struct tail_message *m)
{
    uint32_t stored =
        m->stored ? tail_store_foreign(w->s.store, m->origin, m->stored, m->request_ns) : 0;

    CHECK(m->restored && m->n_booked == 0);
    w->s.log.stored = stored;
    if (tail_sampler_prepare(&w->s, m->parts, m->n_parts, m->n_bytes, m->n_spans, true) == 0) {
        tail_restore_runs(&w->s, m->runs, m->n_runs, m->request_ns, m->age_s);
        tail_sampler_done(&w->s);
    } else {
        ledger_accept(&w->ledger, m->n_spans);
        ledger_end(&w->ledger, m->n_spans, FATE_DROPPED, DROP_MEMORY);
    }
    w->s.log.stored = 0;
    tail_store_unref(w->s.store, stored);
    tail_restore_done(&w->s);
    tail_message_free(&m);
}

/* True: it did something, or has more to do. */
static bool turn(struct worker *w)
{
    enum tail_work back = tail_restore_work(&w->s, &w->x, NS_PER_SEC);
    bool posted = tail_exchange_post(&w->x), received = w->n_inbox > 0;

    for (unsigned i = 0; i < w->n_inbox; i++)
        receive(w, w->inbox[i]);
    w->n_inbox = 0;
    enum tail_work work = tail_sampler_work(&w->s, NS_PER_SEC);
    return back != TAIL_IDLE || work != TAIL_IDLE || !posted || received;
}

static void settle(struct life *l)
{
    bool more = true;

    for (unsigned rounds = 0; more; rounds++) {
        CHECK(rounds < 10000);
        more = false;
        for (unsigned i = 0; i < l->n; i++)
            more |= turn(&l->workers[i]);
        for (unsigned i = 0; i < l->n; i++)
            more |= l->workers[i].n_inbox > 0;
    }
    CHECK(!tail_shelf_restoring(l->workers[0].s.store->shelf));
}

static uint64_t accepted(const struct life *l)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < l->n; i++)
        n += l->workers[i].ledger.accepted;
    return n;
}

/* Nothing waits longer than a new trace would; what other workers gave back is taken at a tick. */
static void decide_all(struct life *l)
{
    for (unsigned t = 0; t < 6; t++) {
        for (unsigned i = 0; i < l->n; i++)
            tail_sampler_tick(&l->workers[i].s);
        settle(l);
    }
}

static void check_done(const struct worker *w)
{
    const struct ledger *b = &w->ledger;
    uint64_t ended = 0;

    for (int i = 0; i < FATES; i++)
        ended += b->fate[i];
    CHECK(b->held == 0 && b->accepted == ended && w->s.held_spans == 0);
    for (size_t i = 0; i < w->s.store->n_old; i++)
        CHECK(journal_stats(w->s.store->old[i])->live_records == 0);
}

static void end(struct life *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        tail_exchange_fini(&l->workers[i].x);
        tail_sampler_fini(&l->workers[i].s);
    }
    tail_shared_free(&l->shared);
    for (unsigned i = 0; i < l->n; i++)
        metric_set_free(&l->workers[i].host.metrics);
    CHECK(budget_used(l->budget) == 0);
    budget_free(&l->budget);
}

static void live(const struct tail_settings *set, unsigned n_workers, uint64_t limit_bytes,
                 unsigned fates, uint64_t expect)
{
    static struct life l;

    l = (struct life){.n = n_workers, .fates = fates};
    begin(&l, set, limit_bytes);
    settle(&l);
    decide_all(&l);
    for (unsigned i = 0; i < l.n; i++)
        check_done(&l.workers[i]);
    CHECK(expect == UINT64_MAX || accepted(&l) == expect);
    end(&l);
}

/* ---- */

static void make_root(void)
{
    snprintf(root, sizeof(root), "/dev/shm/fuzz-restore-XXXXXX");
    if (!mkdtemp(root)) {
        snprintf(root, sizeof(root), "/tmp/fuzz-restore-XXXXXX");
        CHECK(mkdtemp(root));
    }
}

static void remove_dir(const char *path)
{
    DIR *d = opendir(path);

    if (!d) {
        CHECK(unlink(path) == 0);
        return;
    }
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        char inner[512];

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
        remove_dir(inner);
    }
    closedir(d);
    CHECK(rmdir(path) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    hash_seed(7);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const error[] = {"ERROR"};
    struct policy_settings errors = tb_status("errors", (struct str_list){error, 1});
    struct tail_settings set = tb_settings(&errors, 1);
    struct input in = {data, data + size};
    struct disk disk = {.n_records = 0};
    unsigned how = get(&in), fates = get(&in);
    bool tight = how & 8;

    set.storage = "storage";
    if (how & 2)
        set.decision_cache = (struct cache_settings){4, 4};
    if (how & 4)
        set.num_traces = 3;
    if (how & 16)
        set.maximum_trace_size_bytes = 300;
    if (how & 64)
        set.sampling_strategy = "span-ingest";
    make_root();
    write_disk(&disk, &in);
    fates |= fates << 8 | fates << 16 | fates << 24;
    live(&set, 1 + how % 2, tight ? 1 << 20 : 0, fates,
         disk.odd || tight ? UINT64_MAX : disk.spans_written);
    live(&set, 1 + how / 32 % 2, 0, fates, 0);
    remove_dir(root);
    return 0;
}
