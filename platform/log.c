/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines. A line is formatted and written by the caller's thread under one lock, so what it looks
 * like and where it goes can change between two lines.
 *
 *   console: time TAB level TAB caller TAB message TAB {"field": value, ...}
 *   json:    {"level":..,"ts":..,"caller":..,"msg":..,"field":value,...}
 *
 * Field order: initial fields, resource, component fields, the line's own.
 *
 * An output that cannot take bytes (a pipe nobody reads, a stopped terminal) is waited for a few
 * milliseconds once; then lines are lost, counted, until it takes bytes again. Pipes are written in
 * pieces of at most PIPE_BUF: after POLLOUT such a piece does not block.
 *
 * Threads: any. Limits: messages are told apart for sampling by hash in a table of SLOTS; two that
 * collide share a count.
 */
#include "platform/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "platform/mem.h"
#include "platform/num.h"

enum { SLOTS = 512, WAIT_MS = 20 };

struct output {
    int fd;
    bool opened; /* by us: ours to close */
    bool file;   /* a regular file: written whole */
    bool stuck;  /* did not take bytes the last time: do not wait */
    bool torn;   /* a line was cut: begin the next on a new one */
};

struct slot {
    uint64_t reset_at_ns;
    uint64_t n;
};

struct log_sink {
    _Atomic int level; /* enum log_level */
    bool json, disable_caller, sampling, bare;
    uint64_t tick_ns;
    uint32_t initial, thereafter;
    char *prefix; /* rendered initial and resource fields; "" for none */
    struct output *outputs;
    size_t n_outputs;
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
    _Atomic uint64_t lost;
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "fatal"};

/* A JSON object in the making, in the spacing of its line format. */
struct object {
    struct buf *out;
    bool json, any;
};

static void put_key(struct object *o, const char *key)
{
    if (o->any)
        buf_puts(o->out, o->json ? "," : ", ");
    o->any = true;
    buf_put_json(o->out, slice_str(key));
    buf_puts(o->out, o->json ? ":" : ": ");
}

static void put_string(struct object *o, const char *key, const char *value)
{
    if (!value)
        return;
    put_key(o, key);
    buf_put_json(o->out, slice_str(value));
}

static void put_double(struct buf *out, double d)
{
    char text[32];

    if (!isfinite(d)) {
        buf_puts(out, isnan(d) ? "\"NaN\"" : d > 0 ? "\"+Inf\"" : "\"-Inf\"");
        return;
    }
    buf_put(out, text, num_json(text, d));
}

static void put_field(struct object *o, const struct log_field *f)
{
    put_key(o, f->key);
    switch (f->type) {
    case LOG_F_STR: buf_put_json(o->out, slice_str(f->v.s ? f->v.s : "")); break;
    case LOG_F_INT: buf_putf(o->out, "%lld", (long long)f->v.i); break;
    case LOG_F_UINT: buf_putf(o->out, "%llu", (unsigned long long)f->v.u); break;
    case LOG_F_DOUBLE: put_double(o->out, f->v.d); break;
    case LOG_F_BOOL: buf_puts(o->out, f->v.b ? "true" : "false"); break;
    }
}

static char *render_prefix(const struct log_settings *s)
{
    struct buf b = {0};
    struct object o = {&b, s->json, false};

    for (size_t i = 0; i < s->n_initial; i++)
        put_string(&o, s->initial_keys[i], s->initial_values[i]);
    if (!s->disable_resource && (s->service_name || s->service_version || s->service_instance_id)) {
        struct object r = {&b, s->json, false};

        put_key(&o, "resource");
        buf_putc(&b, '{');
        put_string(&r, "service.instance.id", s->service_instance_id);
        put_string(&r, "service.name", s->service_name);
        put_string(&r, "service.version", s->service_version);
        buf_putc(&b, '}');
    }
    buf_putc(&b, '\0');
    return (char *)b.p;
}

static int open_output(struct output *o, const char *path, struct err *err)
{
    struct stat st;

    if (strcmp(path, "stderr") == 0)
        o->fd = STDERR_FILENO;
    else if (strcmp(path, "stdout") == 0)
        o->fd = STDOUT_FILENO;
    else {
        const char *name = strncmp(path, "file://", 7) == 0 ? path + 7 : path;

        /* O_NONBLOCK: a FIFO without a reader must not hold up the start. */
        o->fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
        if (o->fd < 0)
            return err_set(err, "open log output \"%s\": %s", path, strerror(errno));
        o->opened = true;
    }
    o->file = fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode);
    return 0;
}

struct log_sink *log_sink_new(const struct log_settings *s, struct err *err)
{
    struct log_sink *k = (struct log_sink *)mem_alloc(sizeof(*k));

    k->level = (int)s->level;
    k->json = s->json;
    k->disable_caller = s->disable_caller;
    k->sampling = s->sampling;
    k->bare = s->bare;
    k->tick_ns = s->sampling_tick_ms * NS_PER_MS;
    k->initial = s->sampling_initial;
    k->thereafter = s->sampling_thereafter;
    k->prefix = render_prefix(s);
    k->outputs = (struct output *)mem_alloc_array(s->n_output_paths, sizeof(*k->outputs));
    CHECK(pthread_mutex_init(&k->lock, NULL) == 0);
    for (; k->n_outputs < s->n_output_paths; k->n_outputs++)
        if (open_output(&k->outputs[k->n_outputs], s->output_paths[k->n_outputs], err)) {
            log_sink_free(&k);
            return NULL;
        }
    return k;
}

struct log_sink *log_sink_stderr(enum log_level level)
{
    static const char *const paths[] = {"stderr"};
    struct log_settings s = {.level = level, .output_paths = paths, .n_output_paths = 1};

    return log_sink_new(&s, NULL); /* opens nothing, so it cannot fail */
}

void log_sink_free(struct log_sink **s)
{
    struct log_sink *k = *s;

    if (!k)
        return;
    for (size_t i = 0; i < k->n_outputs; i++)
        if (k->outputs[i].opened)
            close(k->outputs[i].fd);
    pthread_mutex_destroy(&k->lock);
    free(k->outputs);
    free(k->prefix);
    free(k);
    *s = NULL;
}

/* But for the lock and the counts, which go on. */
static void exchange(struct log_sink *s, struct log_sink *other)
{
    struct output *outputs = s->outputs;
    size_t n_outputs = s->n_outputs;
    char *prefix = s->prefix;

    s->json = other->json;
    s->disable_caller = other->disable_caller;
    s->sampling = other->sampling;
    s->bare = other->bare;
    s->tick_ns = other->tick_ns;
    s->initial = other->initial;
    s->thereafter = other->thereafter;
    s->prefix = other->prefix;
    s->outputs = other->outputs;
    s->n_outputs = other->n_outputs;
    other->prefix = prefix;
    other->outputs = outputs;
    other->n_outputs = n_outputs;
}

void log_sink_become(struct log_sink *s, struct log_sink **other)
{
    pthread_mutex_lock(&s->lock);
    exchange(s, *other);
    atomic_store_explicit(&s->level, (*other)->level, memory_order_relaxed);
    pthread_mutex_unlock(&s->lock);
    log_sink_free(other);
}

uint64_t log_lines_lost(const struct log_sink *s)
{
    return atomic_load_explicit(&s->lost, memory_order_relaxed);
}

bool log_wants(const struct log *l, enum log_level level)
{
    return l->sink && (int)level >= atomic_load_explicit(&l->sink->level, memory_order_relaxed);
}

/* Under the lock. */
static bool sampled_in(struct log_sink *k, enum log_level level, const char *msg)
{
    struct slot *s;
    uint64_t now;

    if (!k->sampling)
        return true;
    s = &k->slots[(hash_bytes(msg, strlen(msg)) + (uint64_t)level) % SLOTS];
    now = clock_mono_ns();
    if (now >= s->reset_at_ns) {
        s->reset_at_ns = now + k->tick_ns;
        s->n = 0;
    }
    s->n++;
    return s->n <= k->initial || (k->thereafter && (s->n - k->initial) % k->thereafter == 0);
}

static bool can_take(struct output *o, int wait_ms)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};

    return o->file || poll(&p, 1, wait_ms) == 1;
}

/* Returns how much went out: all of it, or less when the output takes no more. */
static size_t write_some(struct output *o, const uint8_t *p, size_t n)
{
    uint64_t deadline = clock_mono_ns() + (o->stuck ? 0 : WAIT_MS) * NS_PER_MS;
    size_t done = 0;

    o->stuck = false;
    while (done < n && !o->stuck) {
        uint64_t now = clock_mono_ns();
        size_t piece = o->file || n - done < PIPE_BUF ? n - done : PIPE_BUF;
        ssize_t did;

        if (!can_take(o, now < deadline ? (int)((deadline - now) / NS_PER_MS) : 0)) {
            o->stuck = true;
            break;
        }
        did = write(o->fd, p + done, piece);
        if (did < 0 && errno != EINTR)
            o->stuck = true;
        else if (did > 0)
            done += (size_t)did;
    }
    return done;
}

/* Under the lock. */
static void write_line(struct log_sink *k, struct output *o, const struct buf *line)
{
    size_t done = 0;

    if (o->torn && write_some(o, (const uint8_t *)"\n", 1) == 1)
        o->torn = false;
    if (!o->torn)
        done = write_some(o, line->p, line->len);
    if (done < line->len) {
        o->torn = o->torn || done > 0;
        atomic_fetch_add_explicit(&k->lost, 1, memory_order_relaxed);
    }
}

static void put_fields(struct object *o, const struct log *l, const struct log_field *fields, size_t n)
{
    if (*l->sink->prefix) {
        buf_puts(o->out, l->sink->prefix);
        o->any = true;
    }
    if (!l->sink->bare) {
        put_string(o, "otelcol.component.id", l->id);
        put_string(o, "otelcol.component.kind", l->kind);
        put_string(o, "otelcol.pipeline.id", l->pipeline);
        put_string(o, "otelcol.signal", l->signal);
    }
    for (size_t i = 0; i < n; i++)
        put_field(o, &fields[i]);
}

static void format_console(struct buf *b, const struct log *l, enum log_level level, const char *caller,
                           const char *msg, const struct log_field *fields, size_t n)
{
    char stamp[40];
    struct object o = {b, false, false};
    size_t before;

    if (!l->sink->bare) {
        clock_format_local_ms(clock_wall_ns(), stamp);
        buf_putf(b, "%s\t%s\t", stamp, level_names[level]);
        if (caller && !l->sink->disable_caller)
            buf_putf(b, "%s\t", caller);
    }
    buf_puts(b, msg);
    before = b->len;
    buf_puts(b, "\t{");
    put_fields(&o, l, fields, n);
    if (o.any)
        buf_putc(b, '}');
    else
        b->len = before;
    buf_putc(b, '\n');
}

static void format_json(struct buf *b, const struct log *l, enum log_level level, const char *caller,
                        const char *msg, const struct log_field *fields, size_t n)
{
    char stamp[40];
    struct object o = {b, true, false};

    clock_format_local_ms(clock_wall_ns(), stamp);
    buf_putc(b, '{');
    put_string(&o, "level", level_names[level]);
    put_string(&o, "ts", stamp);
    if (!l->sink->disable_caller)
        put_string(&o, "caller", caller);
    put_string(&o, "msg", msg);
    if (*l->sink->prefix)
        buf_putc(b, ',');
    put_fields(&o, l, fields, n);
    buf_puts(b, "}\n");
}

void log_write(const struct log *l, enum log_level level, const char *caller, const char *msg,
               const struct log_field *fields, size_t n)
{
    struct log_sink *k = l->sink;
    struct buf line = {0};

    if (!log_wants(l, level))
        return;
    pthread_mutex_lock(&k->lock);
    if (sampled_in(k, level, msg)) {
        (k->json ? format_json : format_console)(&line, l, level, caller, msg, fields, n);
        for (size_t i = 0; i < k->n_outputs; i++)
            write_line(k, &k->outputs[i], &line);
    }
    pthread_mutex_unlock(&k->lock);
    buf_free(&line);
}
