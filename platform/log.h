/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines with the Collector's keys, as console text or JSON. Lines that repeat are sampled per
 * (level, message): the first `initial` in each `tick`, then every `thereafter`-th.
 *
 * A struct log is a value: the sink plus the fields every line of one component carries.
 * Threads: the sink is shared and locked around one write(2); writing never blocks the caller for
 * long: a full pipe loses lines, and the loss is counted.
 */
#ifndef TAILRACE_PLATFORM_LOG_H
#define TAILRACE_PLATFORM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buf.h"
#include "platform/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_FATAL };

struct log_settings {
    enum log_level level;
    bool json;
    bool disable_caller;
    bool sampling;
    uint64_t sampling_tick_ms;
    uint32_t sampling_initial, sampling_thereafter;
    const char *const *output_paths; /* stderr, stdout, a path or file:// URL */
    size_t n_output_paths;
    const char *const *initial_keys, *const *initial_values; /* parallel, n_initial long */
    size_t n_initial;
    const char *service_name, *service_version, *service_instance_id; /* the resource field */
    bool disable_resource;
    bool bare; /* message and the line's own fields only: no time, level, caller, component */
};

struct log_sink;
struct log_sink *log_sink_new(const struct log_settings *s, struct err *err) MUST_USE; /* copies */
struct log_sink *log_sink_stderr(enum log_level level); /* console defaults, for tests and early start */
void log_sink_free(struct log_sink **s);
/* From now on s writes as *other does, to its outputs. Takes other. Any thread; lines go on. */
void log_sink_become(struct log_sink *s, struct log_sink **other);
uint64_t log_lines_lost(const struct log_sink *s);

struct log {
    struct log_sink *sink;    /* NULL: silent */
    const char *kind;         /* "receiver", "processor", ...; NULL: none */
    const char *id;           /* "otlp/eu"; NULL: none */
    const char *pipeline;     /* "traces/a"; NULL: none */
    const char *signal;       /* "traces"; NULL: none */
};

struct log_field {
    const char *key;
    enum { LOG_F_STR, LOG_F_INT, LOG_F_UINT, LOG_F_DOUBLE, LOG_F_BOOL } type;
    union {
        const char *s;
        int64_t i;
        uint64_t u;
        double d;
        bool b;
    } v;
};

#define LOG_STR(k, x) ((struct log_field){(k), LOG_F_STR, {.s = (x)}})
#define LOG_INT(k, x) ((struct log_field){(k), LOG_F_INT, {.i = (int64_t)(x)}})
#define LOG_UINT(k, x) ((struct log_field){(k), LOG_F_UINT, {.u = (uint64_t)(x)}})
#define LOG_DBL(k, x) ((struct log_field){(k), LOG_F_DOUBLE, {.d = (x)}})
#define LOG_BOOL(k, x) ((struct log_field){(k), LOG_F_BOOL, {.b = (x)}})

bool log_wants(const struct log *l, enum log_level level);
void log_write(const struct log *l, enum log_level level, const char *caller, const char *msg,
               const struct log_field *fields, size_t n);

#define LOG_STR_(x) #x
#define LOG_LINE_(x) LOG_STR_(x)
/* log_at(&log, LOG_INFO, "Starting GRPC server", LOG_STR("endpoint", ep)); fields are optional. */
#define log_at(l, level, msg, ...) \
    log_write((l), (level), __FILE__ ":" LOG_LINE_(__LINE__), (msg), \
              (struct log_field[]){{0}, ##__VA_ARGS__} + 1, \
              sizeof((struct log_field[]){{0}, ##__VA_ARGS__}) / sizeof(struct log_field) - 1)
#define log_debug(l, ...) log_at((l), LOG_DEBUG, __VA_ARGS__)
#define log_info(l, ...) log_at((l), LOG_INFO, __VA_ARGS__)
#define log_warn(l, ...) log_at((l), LOG_WARN, __VA_ARGS__)
#define log_error(l, ...) log_at((l), LOG_ERROR, __VA_ARGS__)

#endif
