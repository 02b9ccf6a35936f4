/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug exporter: shows what arrives, as log lines or on outputs of its own.
 *
 *   basic     one line a batch: how many resources and spans
 *   normal    and one line a span
 *   detailed  and all of each span
 *
 * Batches are sampled per second: the first `sampling_initial`, then every `sampling_thereafter`-th.
 * The verdict is one for the line and its text. A text is at most TEXT_MAX_BYTES; of a larger batch
 * the beginning is shown and said so. It cannot fail: everything counts as exported, seen or not.
 *
 * Memory: the text of one batch per worker, kept for the next; twice that while it is written.
 * Threads: one instance per worker; the outputs are shared and locked line by line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "exporters/debug_text.h"
#include "exporters/exporters.h"
#include "exporters/send_queue.h"
#include "platform/clock.h"

enum { TEXT_MAX_BYTES = 4 << 20 };

struct debug_settings {
    const char *verbosity;
    uint64_t sampling_initial, sampling_thereafter;
    bool use_internal_logger;
    struct str_list output_paths;
    bool output_paths_set;
    bool sending_queue_enabled;
    struct queue_settings sending_queue;
};

static const char *const verbosities[] = {"none", "basic", "normal", "detailed", NULL};

static const struct key debug_keys[] = {
    {.name = "verbosity", .type = KEY_T_ENUM, .offset = KEY_AT(const char *, struct debug_settings, verbosity),
     .dflt = "basic", KEY_ANY, .choices = verbosities, .any_case = true,
     .doc = "How much is shown: a line per batch (basic), also a line per span (normal), or everything (detailed)."},
    KEY_UINT(struct debug_settings, sampling_initial, "2", 0, 4294967295.0,
             "Batches shown at the start of each second."),
    KEY_UINT(struct debug_settings, sampling_thereafter, "1", 0, 4294967295.0,
             "After those, every n-th batch of the second is shown; 1 shows all, 0 none."),
    KEY_BOOL(struct debug_settings, use_internal_logger, "true",
             "Write to the daemon's log; otherwise plain text goes to output_paths."),
    {.name = "output_paths", .type = KEY_T_STRS, .offset = KEY_AT(struct str_list, struct debug_settings, output_paths),
     .dflt = "[stdout]", KEY_ANY, .set_offset_valid = true,
     .set_offset = KEY_AT(bool, struct debug_settings, output_paths_set),
     .doc = "Where plain text goes: stdout, stderr, or files that are appended to."},
    KEY_OPTIONAL(struct debug_settings, sending_queue, SECTION_DEFAULT_OFF, queue_keys,
                 "Holds batches until they are shown."),
    KEY_END,
};

struct debug_shared {
    struct send_shared send; /* first: what the queue takes host->shared for */
    struct log_sink *sink;   /* NULL: the daemon's */
};

struct debug {
    struct component base;
    const struct debug_settings *set;
    struct log log;
    struct send_queue *queue;
    struct buf text;
    uint64_t second; /* of the counting */
    uint64_t seen;   /* in that second */
};

static struct debug *debug_of(struct component *c)
{
    CHECK(c->type == &debug_exporter_type);
    return CONTAINER_OF(c, struct debug, base);
}

static void debug_check(const void *settings, struct check *c)
{
    const struct debug_settings *s = (const struct debug_settings *)settings;

    if (strcasecmp(s->verbosity, "none") == 0)
        check_error(c, "verbosity", "verbosity level \"None\" is not supported");
    if (s->use_internal_logger && s->output_paths_set)
        check_error(c, "output_paths", "output_paths is not supported when use_internal_logger is true");
    send_queue_check(&s->sending_queue, s->sending_queue_enabled, NULL, c);
}

static bool shows_spans(const struct debug_settings *s)
{
    return strcasecmp(s->verbosity, "basic") != 0;
}

static size_t debug_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    if (!max || !shows_spans((const struct debug_settings *)settings))
        return 0;
    terms[0].bytes = 3ull * TEXT_MAX_BYTES * n_workers;
    snprintf(terms[0].text, sizeof(terms[0].text), "text of a batch, up to %d MiB and its log line, per worker",
             TEXT_MAX_BYTES >> 20);
    return 1;
}

static int debug_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    const struct debug_settings *s = (const struct debug_settings *)settings;
    struct log_settings l = {.level = LOG_DEBUG, .bare = true, .disable_resource = true,
                             .output_paths = s->output_paths.v, .n_output_paths = s->output_paths.n};
    struct debug_shared *d = (struct debug_shared *)mem_alloc(sizeof(*d));

    (void)host;
    if (!s->use_internal_logger) {
        d->sink = log_sink_new(&l, err);
        if (!d->sink) {
            free(d);
            return -1;
        }
    }
    *shared = d;
    return 0;
}

static void debug_shared_destroy(void **shared)
{
    struct debug_shared *d = (struct debug_shared *)*shared;

    if (d)
        log_sink_free(&d->sink);
    free(d);
    *shared = NULL;
}

/* Is this batch to be shown? */
static bool sampled_in(struct debug *d)
{
    uint64_t second = loop_now_ns(d->base.host->loop) / NS_PER_SEC, past;

    if (second != d->second) {
        d->second = second;
        d->seen = 0;
    }
    if (++d->seen <= d->set->sampling_initial)
        return true;
    past = d->seen - d->set->sampling_initial;
    return d->set->sampling_thereafter && past % d->set->sampling_thereafter == 0;
}

static void show_spans(struct debug *d, const struct batch *b)
{
    static const char cut[] = "\n(the rest of this batch is not shown)\n";
    bool detailed = strcasecmp(d->set->verbosity, "detailed") == 0;

    buf_clear(&d->text);
    if ((detailed ? debug_text_detailed : debug_text_normal)(b, &d->text)) {
        if (d->text.len > d->text.max - sizeof(cut))
            d->text.len = d->text.max - sizeof(cut);
        buf_put(&d->text, cut, sizeof(cut) - 1);
    }
    buf_putc(&d->text, '\0');
    log_write(&d->log, LOG_INFO, NULL, (const char *)d->text.p, NULL, 0);
}

static void debug_show(struct debug *d, const struct batch *b)
{
    struct log_field fields[] = {LOG_UINT("resource spans", debug_count_resources(b)), LOG_UINT("spans", b->n_spans)};

    if (!log_wants(&d->log, LOG_INFO) || !sampled_in(d))
        return;
    log_write(&d->log, LOG_INFO, NULL, "Traces", fields, ARRAY_LEN(fields));
    if (shows_spans(d->set))
        show_spans(d, b);
}

static void debug_send(void *exporter, struct send *s)
{
    struct send_result ok = {.outcome = SEND_OK};

    debug_show((struct debug *)exporter, s->batch);
    send_done(s, &ok);
}

static const struct send_ops debug_ops = {.send = debug_send};

static struct component *debug_create(struct host *h, const void *settings, struct err *err)
{
    const struct debug_settings *s = (const struct debug_settings *)settings;
    struct debug_shared *shared = (struct debug_shared *)h->shared;
    struct debug *d = (struct debug *)mem_alloc(sizeof(*d));
    struct send_config cfg = {.queue = s->sending_queue_enabled ? &s->sending_queue : NULL,
                              .ops = &debug_ops, .exporter = d};

    (void)err;
    d->base = (struct component){.type = &debug_exporter_type, .host = h};
    d->set = s;
    d->log = h->log;
    d->log.signal = "traces";
    if (shared && shared->sink)
        d->log.sink = shared->sink;
    d->text.max = TEXT_MAX_BYTES;
    d->queue = send_queue_new(h, &cfg);
    return &d->base;
}

static int debug_start(struct component *c, struct err *err)
{
    return send_queue_open(debug_of(c)->queue, err);
}

static void debug_push(struct component *c, struct batch **take)
{
    send_queue_push(debug_of(c)->queue, take);
}

static void debug_drained(void *exporter)
{
    host_drained(((struct debug *)exporter)->base.host);
}

static void debug_drain(struct component *c)
{
    send_queue_drain(debug_of(c)->queue, debug_drained);
}

static uint64_t debug_held(const struct component *c)
{
    return send_queue_held_spans(CONTAINER_OF(c, const struct debug, base)->queue);
}

static void debug_destroy(struct component **c)
{
    struct debug *d = debug_of(*c);

    send_queue_free(&d->queue);
    buf_free(&d->text);
    free(d);
    *c = NULL;
}

const struct component_type debug_exporter_type = {
    .kind = EXPORTER,
    .name = "debug",
    .stability = "alpha",
    .summary = "Shows what arrives, in the log or on stdout.",
    .keys = debug_keys,
    .settings_size = sizeof(struct debug_settings),
    .metrics = send_queue_metrics,
    .check = debug_check,
    .memory = debug_memory,
    .shared_create = debug_shared_create,
    .shared_destroy = debug_shared_destroy,
    .create = debug_create,
    .start = debug_start,
    .push = debug_push,
    .drain = debug_drain,
    .destroy = debug_destroy,
    .held = debug_held,
};
