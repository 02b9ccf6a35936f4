/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: rows (name, type, unit, help: static tables beside the component) and series (one row
 * with label values, owned by one worker). A series has one writer, its worker; the value is a
 * relaxed atomic that needs no locked instruction. The scrape copies each worker's series on that
 * worker's own loop, so one worker's numbers belong to one instant, and sums equal series.
 *
 * Names in rows carry no prefix "otelcol_" decisions: they are whole, as the Collector prints them
 * by default (no _total, no unit). The renderer adds suffixes when the reader's flags ask for them.
 */
#ifndef TAILRACE_PLATFORM_METRIC_H
#define TAILRACE_PLATFORM_METRIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum metric_level { METRIC_BASIC, METRIC_NORMAL, METRIC_DETAILED };

struct metric_row {
    const char *name; /* "otelcol_receiver_accepted_spans" */
    enum metric_type type;
    enum metric_level level;
    const char *unit; /* "{spans}", "s", "By", "ms", "1" or "" */
    const char *help; /* one sentence */
    const double *bounds; /* histograms: upper bounds, ascending */
    size_t n_bounds;
    bool from_start; /* the series shows before its first event */
};

struct metric_label {
    const char *name, *value;
};

struct series; /* opaque but for the inline writers */

struct series_cell {
    _Atomic uint64_t bits; /* counter and gauge: integer value; see is_double */
};

struct series {
    struct series *next;
    const struct metric_row *row;
    char *labels; /* rendered, sorted by name, values escaped: a="x",b="y"; "" for none */
    bool is_double;       /* bits hold a double */
    _Atomic bool touched; /* has had an event */
    struct series_cell value;
    struct series_cell *buckets; /* n_bounds + 1 */
    struct series_cell sum;      /* histograms: double */
};

struct metric_set; /* all series of one worker */
struct metric_set *metric_set_new(void) MUST_USE;
void metric_set_free(struct metric_set **m);

/* The series of this row and these labels in this set: the existing one or a new one. Labels are
 * copied. Owned by the set. Thread: the set's worker, or main before it runs. */
struct series *metric_series(struct metric_set *m, const struct metric_row *row,
                             const struct metric_label *labels, size_t n_labels);

static inline void series_add(struct series *s, uint64_t n)
{
    atomic_store_explicit(&s->value.bits,
                          atomic_load_explicit(&s->value.bits, memory_order_relaxed) + n,
                          memory_order_relaxed);
    atomic_store_explicit(&s->touched, true, memory_order_relaxed);
}

static inline void series_sub(struct series *s, uint64_t n) /* gauges */
{
    series_add(s, (uint64_t)0 - n);
}

static inline void series_set(struct series *s, uint64_t v)
{
    atomic_store_explicit(&s->value.bits, v, memory_order_relaxed);
    atomic_store_explicit(&s->touched, true, memory_order_relaxed);
}

static inline uint64_t series_get(const struct series *s)
{
    return atomic_load_explicit(&s->value.bits, memory_order_relaxed);
}

void series_set_double(struct series *s, double v);
void series_add_double(struct series *s, double v);
void series_observe(struct series *s, double v); /* histograms */

/* How the page is spelled (the Prometheus reader's flags; all true by default). */
struct metric_style {
    bool without_type_suffix, without_units, without_scope_info;
    enum metric_level level;
    const char *constant_labels; /* rendered like series.labels, added to every series; NULL: none */
};

/* A copy of one set's values, taken on the set's thread. */
struct metric_snapshot;
struct metric_snapshot *metric_snapshot_take(const struct metric_set *m) MUST_USE;
void metric_snapshot_free(struct metric_snapshot **s);

/* Sums n snapshots (any may be NULL) and appends the page in text format 0.0.4: families by name,
 * series by labels. Counters and gauges are summed, histograms added bucket by bucket. */
void metric_render(struct buf *out, const struct metric_style *style,
                   struct metric_snapshot *const *snaps, size_t n);

#endif
