/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file exporter: batches as records of a file.
 *
 *   json               lines of OTLP/JSON: one a batch, several for one of more than PIECE_BYTES
 *   proto, compressed  4 bytes of length (big endian), then the message; pieces alike
 *
 * What one turn of the loop brings is gathered and written at its end, or earlier past GATHER_BYTES;
 * only then do its batches end: as exported, or as failed when the disk said no. So nothing waits in
 * a buffer that a crash would take along, and flush_interval has nothing to do.
 *
 *   push -> send queue -> piece by piece: encode, append -> end of turn: write -> send_done for each
 *
 * Memory: a piece is so small that what it could become at most is part of the fixed write buffers,
 * so a batch gets through whatever the budget says. Only a single span larger than a piece is charged
 * (MEM_OUTPUT); one that does not fit fails its batch as DROP_MEMORY. With retry_on_failure the next
 * attempt goes on behind the spans that have been written.
 * A reload may change settings on one path: the file goes on, and is not emptied.
 * Threads: one instance per worker; the file is shared under a lock.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "exporters/exporters.h"
#include "exporters/file_writer.h"
#include "exporters/queue_store.h"
#include "exporters/send_queue.h"
#include "model/otlp_encode.h"
#include "model/otlp_json.h"
#include "net/compress.h"

enum { PIECE_BYTES = 64 << 10, GATHER_BYTES = 512 << 10, KEEP_BYTES = 1 << 20 };

/* An attribute of 9 bytes may need 40 as JSON, a control character 6 for one. A full gathering, the
 * record after it and its message before compression are within 2 * KEEP_BYTES. */
enum { JSON_GROWTH = 8, RECORD_OVERHEAD = 4096 };

struct file_settings {
    const char *path, *format, *encoding, *compression;
    bool append;
    bool rotation_enabled;
    struct file_rotation {
        uint64_t max_megabytes, max_days, max_backups;
        bool localtime;
    } rotation;
    int64_t flush_interval_ns;
    bool create_directory;
    const char *directory_permissions;
    struct file_compression {
        int64_t level;
    } compression_params;
    bool sending_queue_enabled;
    struct queue_settings sending_queue;
    bool retry_on_failure_enabled;
    struct retry_settings retry_on_failure;
};

static const struct key rotation_keys[] = {
    KEY_UINT(struct file_rotation, max_megabytes, "100", 0, 1e9, "A file larger than this is renamed and a new one begun; 0: 100."),
    KEY_UINT(struct file_rotation, max_days, "0", 0, 1e6, "Renamed files older than this are removed; 0: none for its age."),
    KEY_UINT(struct file_rotation, max_backups, "100", 0, 1e6, "Renamed files kept; 0: all."),
    KEY_BOOL(struct file_rotation, localtime, "false", "Names carry local time instead of UTC."),
    KEY_END,
};

static const struct key compression_keys[] = {
    KEY_INT(struct file_compression, level, "0", 0, 22, "zstd level; 0: a fast one."),
    KEY_END,
};

static const struct key file_keys[] = {
    {.name = "path", .type = KEY_T_STR, .offset = KEY_AT(const char *, struct file_settings, path), .dflt = "", KEY_ANY,
     .doc = "The file to write."},
    KEY_STR(struct file_settings, format, "json", "json: a line per batch; proto: length-prefixed protobuf."),
    KEY_NOT_YET("encoding", "An encoding extension instead of `format`."),
    KEY_STR(struct file_settings, compression, "", "zstd, or nothing; each message by itself, length-prefixed."),
    KEY_SECTION(struct file_settings, compression_params, compression_keys, "How hard to compress."),
    KEY_BOOL(struct file_settings, append, "false", "Keep what the file holds at the start, instead of emptying it."),
    KEY_OPTIONAL(struct file_settings, rotation, SECTION_DEFAULT_OFF, rotation_keys,
                 "Rename the file when it is large, and begin a new one."),
    KEY_DURATION(struct file_settings, flush_interval, "1s", -1e9, 1e9,
                 "Accepted; batches are written at the end of each turn of the loop, so nothing waits this long."),
    KEY_BOOL(struct file_settings, create_directory, "false", "Make the folders of `path`."),
    KEY_STR(struct file_settings, directory_permissions, "0755", "Mode of folders that are made, in octal."),
    KEY_NOT_YET("group_by", "A file per value of a resource attribute."),
    KEY_OPTIONAL(struct file_settings, sending_queue, SECTION_DEFAULT_OFF, queue_keys,
                 "Holds batches until they are written."),
    KEY_OPTIONAL(struct file_settings, retry_on_failure, SECTION_DEFAULT_OFF, retry_keys,
                 "Repeats writes that failed, with growing pauses."),
    KEY_END,
};

struct file_shared {
    struct send_shared send; /* first: what the queue takes host->shared for */
    struct file_writer *writer;
};

struct file {
    struct component base;
    struct file_writer *writer; /* shared */
    bool json, framed, retries;
    struct compressor *compressor; /* NULL: none */
    struct send_queue *queue;
    struct deferred flush;
    struct buf out;         /* gathered records */
    uint64_t out_charged;   /* what of them is charged */
    struct buf message;     /* one message before it is compressed or framed; empty between calls */
    struct encoded encoded; /* scratch */
    struct send **pending;  /* whose last records are in out */
    size_t n_pending, cap_pending;
    size_t n_safe; /* the first of them: all their records are in the file already */
    bool failing; /* the last write failed, and that was logged */
};

static struct file *file_of(struct component *c)
{
    CHECK(c->type == &file_exporter_type);
    return CONTAINER_OF(c, struct file, base);
}

static bool mode_of(const char *text, unsigned *mode)
{
    char *end;
    unsigned long n = strtoul(text, &end, 8);

    *mode = (unsigned)n;
    return isdigit((unsigned char)*text) && !*end && n <= 07777;
}

static void file_check(const void *settings, struct check *c)
{
    const struct file_settings *s = (const struct file_settings *)settings;
    unsigned mode;

    if (!*s->path)
        check_error(c, "path", "path must be non-empty");
    if (strcmp(s->format, "json") != 0 && strcmp(s->format, "proto") != 0)
        check_error(c, "format", "format type is not supported");
    if (*s->compression && strcmp(s->compression, "zstd") != 0)
        check_error(c, "compression", "compression is not supported");
    if (s->append && *s->compression)
        check_error(c, "append", "append and compression enabled at the same time is not supported");
    if (s->append && s->rotation_enabled)
        check_error(c, "append", "append and rotation enabled at the same time is not supported");
    if (s->flush_interval_ns < 0)
        check_error(c, "flush_interval", "flush_interval must be larger than zero");
    if (!mode_of(s->directory_permissions, &mode))
        check_error(c, "directory_permissions", "directory_permissions value must be a valid octal representation: \"%s\"",
                    s->directory_permissions);
    send_queue_check(&s->sending_queue, s->sending_queue_enabled,
                     s->retry_on_failure_enabled ? &s->retry_on_failure : NULL, c);
}

static size_t file_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    const struct file_settings *s = (const struct file_settings *)settings;

    if (!max)
        return 0;
    terms[0].bytes = 2ull * KEEP_BYTES * n_workers;
    snprintf(terms[0].text, sizeof(terms[0].text), "write buffers of %d MiB kept per worker", 2 * KEEP_BYTES >> 20);
    return 1 + queue_store_memory(&s->sending_queue, s->sending_queue_enabled, n_workers, terms + 1, max - 1);
}

static int file_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    const struct file_settings *s = (const struct file_settings *)settings;
    struct file_shared *f = (struct file_shared *)mem_alloc(sizeof(*f));
    struct file_writer_settings w = {
        .path = s->path,
        .append = s->append,
        .create_directory = s->create_directory,
        .rotate = s->rotation_enabled,
        .max_bytes = (s->rotation.max_megabytes ? s->rotation.max_megabytes : 100) << 20,
        .max_days = s->rotation.max_days,
        .max_backups = s->rotation.max_backups,
        .local_time = s->rotation.localtime,
    };

    (void)host;
    (void)err;
    CHECK(mode_of(s->directory_permissions, &w.directory_mode));
    f->writer = file_writer_new(&w);
    *shared = f;
    return 0;
}

static void file_shared_destroy(void **shared)
{
    struct file_shared *f = (struct file_shared *)*shared;

    if (f)
        file_writer_free(&f->writer);
    free(f);
    *shared = NULL;
}

static void forget_output(struct file *f)
{
    budget_release(f->base.host->budget, MEM_OUTPUT, f->out_charged);
    f->out_charged = 0;
    if (f->out.cap > KEEP_BYTES)
        buf_free(&f->out);
    buf_clear(&f->out);
}

static void tell_once(struct file *f, int rc, const struct err *err)
{
    const struct log *log = &f->base.host->log;

    if (rc && !f->failing)
        log_warn(log, "Writing failed; batches are dropped until it works again", LOG_STR("error", err->text));
    else if (!rc && f->failing)
        log_info(log, "Writing works again");
    f->failing = rc != 0;
}

static struct send_result failure(const struct file *f, const char *text, enum drop_reason reason)
{
    return (struct send_result){
        .outcome = f->retries ? SEND_RETRY : SEND_PERMANENT, .text = text, .reason = reason};
}

static int write_out(struct file *f, struct err *err)
{
    int rc = file_writer_write(f->writer, slice_of(f->out.p, f->out.len), err);

    tell_once(f, rc, err);
    forget_output(f);
    return rc;
}

static void end_pending(struct file *f, const struct send_result *result)
{
    static const struct send_result ok = {.outcome = SEND_OK};
    struct send **pending = f->pending;
    size_t n = f->n_pending, n_safe = f->n_safe;

    f->pending = NULL; /* send_done may bring the next send at once */
    f->n_pending = f->cap_pending = f->n_safe = 0;
    for (size_t i = 0; i < n; i++)
        send_done(pending[i], i < n_safe ? &ok : result);
    free(pending);
}

/* Everything gathered goes to the file, and its sends end. */
static void flush(struct file *f)
{
    struct send_result result = {.outcome = SEND_OK};
    struct err err = {""};

    loop_undefer(f->base.host->loop, &f->flush);
    if (f->out.len && write_out(f, &err))
        result = failure(f, err.text, DROP_WRITE_FAILED);
    end_pending(f, &result);
}

static void on_end_of_turn(void *ctx)
{
    flush((struct file *)ctx);
}

/* What a record of so many bytes on the wire may need at most. */
static uint64_t message_bound(const struct file *f, uint64_t wire_bytes)
{
    return wire_bytes * (f->json ? JSON_GROWTH : 1) + RECORD_OVERHEAD;
}

static uint64_t record_bound(const struct file *f, uint64_t wire_bytes)
{
    uint64_t n = message_bound(f, wire_bytes);

    return f->compressor ? n + n / 64 + RECORD_OVERHEAD : n + 1;
}

/* Room for a length, and its value once the message behind it is there. */
static int begin_frame(struct buf *out)
{
    return buf_add(out, "\0\0\0", 4);
}

static void end_frame(struct buf *out, size_t at)
{
    size_t n = out->len - at - 4;

    for (size_t i = 0; i < 4; i++)
        out->p[at + i] = (uint8_t)(n >> (24 - 8 * i));
}

static int put_proto(struct file *f, const struct batch *b, struct buf *out)
{
    if (otlp_encode(b, &f->encoded) || buf_reserve(out, f->encoded.len))
        return -1;
    encoded_copy(&f->encoded, out->p + out->len);
    out->len += f->encoded.len;
    return 0;
}

static int put_message(struct file *f, const struct batch *b, struct buf *out)
{
    return f->json ? otlp_json_encode(b, out) : put_proto(f, b, out);
}

static int put_compressed(struct file *f, const struct batch *b)
{
    struct iovec iov;
    int rc;

    rc = put_message(f, b, &f->message);
    iov = (struct iovec){f->message.p, f->message.len};
    rc = rc || compress_iov(f->compressor, &iov, 1, &f->out) ? -1 : 0;
    if (f->message.cap > KEEP_BYTES)
        buf_free(&f->message);
    buf_clear(&f->message);
    return rc;
}

static int put_record(struct file *f, const struct batch *b)
{
    size_t at = f->out.len;

    if (!f->framed)
        return put_message(f, b, &f->out) || buf_add(&f->out, "\n", 1) ? -1 : 0;
    if (begin_frame(&f->out) || (f->compressor ? put_compressed(f, b) : put_message(f, b, &f->out)))
        return -1;
    end_frame(&f->out, at);
    return 0;
}

/* Appends the record of a piece; out is as before when that fails. */
static int append(struct file *f, const struct batch *b, uint64_t wire_bytes)
{
    size_t before = f->out.len;

    f->message.max = message_bound(f, wire_bytes);
    f->out.max = before + record_bound(f, wire_bytes);
    if (put_record(f, b) == 0)
        return 0;
    f->out.len = before;
    return -1;
}

/* A single span that the fixed buffers are not made for. */
static int append_large(struct file *f, const struct batch *b, uint64_t wire_bytes)
{
    struct budget *budget = f->base.host->budget;
    uint64_t bound = message_bound(f, wire_bytes) + record_bound(f, wire_bytes);
    size_t before = f->out.len;

    if (!budget_charge(budget, MEM_OUTPUT, bound))
        return -1;
    if (append(f, b, wire_bytes)) {
        budget_release(budget, MEM_OUTPUT, bound);
        return -1;
    }
    budget_release(budget, MEM_OUTPUT, bound - (f->out.len - before));
    f->out_charged += f->out.len - before;
    return 0;
}

/* A batch on its way into the file. Nobody's send ends meanwhile: that could bring the next one. */
struct writing {
    uint64_t gathered; /* spans whose records are written, or in out */
    uint64_t written;  /* of them, those in the file */
    size_t start;      /* where this batch's begin in out */
    struct send_result result; /* when it failed */
    struct err err;
    bool write_failed;
};

static int write_between(struct file *f, struct writing *w)
{
    if (write_out(f, &w->err)) {
        w->result = failure(f, w->err.text, DROP_WRITE_FAILED);
        w->write_failed = true;
        return -1;
    }
    f->n_safe = f->n_pending;
    w->written = w->gathered;
    w->start = 0;
    return 0;
}

static int put_piece(struct file *f, const struct batch *b, uint64_t wire_bytes, struct writing *w)
{
    if (f->out.len >= GATHER_BYTES && write_between(f, w))
        return -1;
    if (wire_bytes > PIECE_BYTES ? append_large(f, b, wire_bytes) : append(f, b, wire_bytes)) {
        w->result = failure(f, "no memory to encode the batch", DROP_MEMORY);
        f->out.len = w->start;
        return -1;
    }
    w->gathered += b->n_spans;
    return 0;
}

/* Halves until it fits; the depth is that of the number of spans in bits. */
static int put_range(struct file *f, struct batch *view, struct writing *w)
{
    uint64_t wire_bytes = otlp_encoded_size(view);
    struct batch *head;
    int rc;

    if (wire_bytes <= PIECE_BYTES || view->n_spans == 1)
        return put_piece(f, view, wire_bytes, w);
    head = batch_split(view, view->n_spans / 2);
    rc = put_range(f, head, w);
    batch_exported(&head); /* a view: books nothing */
    return rc ? rc : put_range(f, view, w);
}

/* All of the batch, but for what an earlier attempt has written. */
static int put_batch(struct file *f, const struct batch *b, struct writing *w)
{
    struct batch *view = batch_share(b, NULL), *skip = NULL;
    int rc;

    if (w->written) {
        skip = batch_split(view, w->written);
        batch_exported(&skip);
    }
    rc = put_range(f, view, w);
    batch_exported(&view);
    return rc;
}

static void remember(struct file *f, struct send *s)
{
    if (f->n_pending == f->cap_pending) {
        f->cap_pending = f->cap_pending ? 2 * f->cap_pending : 16;
        f->pending = (struct send **)mem_grow(f->pending, f->cap_pending * sizeof(struct send *));
    }
    f->pending[f->n_pending++] = s;
}

/* s->state: how many spans earlier attempts have written. */
static void file_send(void *exporter, struct send *s)
{
    struct file *f = (struct file *)exporter;
    uint64_t written = (uintptr_t)s->state;
    struct writing w = {.gathered = written, .written = written, .start = f->out.len};
    int rc = put_batch(f, s->batch, &w);

    s->state = (void *)(uintptr_t)w.written; /* NOLINT(performance-no-int-to-ptr) */
    if (rc == 0)
        remember(f, s);
    if (w.write_failed)
        end_pending(f, &w.result);
    else if (f->out.len >= GATHER_BYTES)
        flush(f);
    else
        loop_defer(f->base.host->loop, &f->flush);
    if (rc)
        send_done(s, &w.result);
}

/* Giving up means finishing now: a write is over at once. */
static void file_abort(void *exporter, struct send *s)
{
    (void)s;
    flush((struct file *)exporter);
}

static const struct send_ops file_ops = {.send = file_send, .abort = file_abort};

static struct component *file_create(struct host *h, const void *settings, struct err *err)
{
    const struct file_settings *s = (const struct file_settings *)settings;
    struct file *f = (struct file *)mem_alloc(sizeof(*f));
    struct send_config cfg = {.queue = s->sending_queue_enabled ? &s->sending_queue : NULL,
                              .retry = s->retry_on_failure_enabled ? &s->retry_on_failure : NULL,
                              .ops = &file_ops,
                              .exporter = f};

    (void)err;
    f->retries = s->retry_on_failure_enabled;
    f->base = (struct component){.type = &file_exporter_type, .host = h};
    f->writer = ((struct file_shared *)h->shared)->writer;
    f->json = strcmp(s->format, "json") == 0;
    f->framed = !f->json || *s->compression;
    if (*s->compression)
        f->compressor = compressor_new(CODEC_ZSTD, (int)s->compression_params.level);
    f->flush = (struct deferred){.fn = on_end_of_turn, .ctx = f};
    f->queue = send_queue_new(h, &cfg);
    return &f->base;
}

static int file_start(struct component *c, struct err *err)
{
    struct file *f = file_of(c);

    return file_writer_open(f->writer, err) != 0 ? -1 : send_queue_open(f->queue, err);
}

static void file_push(struct component *c, struct batch **take)
{
    send_queue_push(file_of(c)->queue, take);
}

static void file_drained(void *exporter)
{
    host_drained(((struct file *)exporter)->base.host);
}

static void file_drain(struct component *c)
{
    flush(file_of(c));
    send_queue_drain(file_of(c)->queue, file_drained);
}

static uint64_t file_held(const struct component *c)
{
    return send_queue_held_spans(CONTAINER_OF(c, const struct file, base)->queue);
}

static bool file_overflows(const void *settings)
{
    const struct file_settings *s = settings;

    return s->sending_queue_enabled && !s->sending_queue.block_on_overflow;
}

static enum room file_room(const struct component *c, uint64_t n_spans, uint64_t n_bytes)
{
    return send_queue_room(CONTAINER_OF(c, const struct file, base)->queue, n_spans, n_bytes);
}

static void file_destroy(struct component **c)
{
    struct file *f = file_of(*c);

    flush(f);
    send_queue_free(&f->queue);
    compressor_free(&f->compressor);
    encoded_free(&f->encoded);
    buf_free(&f->message);
    buf_free(&f->out);
    free(f->pending);
    free(f);
    *c = NULL;
}

/* Whoever reads the file could not tell where one kind of record ends and the other begins. */
static bool file_clashes(const void *from, const void *to)
{
    const struct file_settings *a = from, *b = to;

    return strcmp(a->path, b->path) == 0 && (strcmp(a->format, b->format) != 0 || strcmp(a->compression, b->compression) != 0);
}

const struct component_type file_exporter_type = {
    .kind = EXPORTER,
    .name = "file",
    .clashes = file_clashes,
    .stability = "alpha",
    .summary = "Writes batches to a file, as lines of JSON or as protobuf.",
    .keys = file_keys,
    .settings_size = sizeof(struct file_settings),
    .metrics = send_queue_metrics,
    .check = file_check,
    .memory = file_memory,
    .shared_create = file_shared_create,
    .shared_destroy = file_shared_destroy,
    .create = file_create,
    .start = file_start,
    .push = file_push,
    .drain = file_drain,
    .destroy = file_destroy,
    .held = file_held,
    .room = file_room, .overflows = file_overflows,
};
