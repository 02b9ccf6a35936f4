/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: series kept by workers, snapshots taken on their threads, one page made of all snapshots.
 *
 * A snapshot owns copies of all text, so a set may go away (reload) while a page is being made. The
 * page is made by sorting all entries by final name and labels and folding equal neighbours.
 *
 * Threads: a set belongs to its worker; snapshots are values. Limits: finding or making a series
 * walks the set's list, as that happens when components start or at a first event.
 */
#include "platform/metric.h"

#include <stdlib.h>
#include <string.h>

#include "platform/mem.h"
#include "platform/num.h"

struct metric_set {
    struct series *first, **last;
    size_t n;
};

struct metric_set *metric_set_new(void)
{
    struct metric_set *m = (struct metric_set *)mem_alloc(sizeof(*m));

    m->last = &m->first;
    return m;
}

void metric_set_free(struct metric_set **m)
{
    struct series *s, *next;

    if (!*m)
        return;
    for (s = (*m)->first; s; s = next) {
        next = s->next;
        free(s->labels);
        free(s->buckets);
        free(s);
    }
    free(*m);
    *m = NULL;
}

static int by_label_name(const void *a, const void *b)
{
    return strcmp(((const struct metric_label *)a)->name, ((const struct metric_label *)b)->name);
}

static void put_escaped(struct buf *b, const char *s, bool quotes)
{
    for (; *s; s++) {
        if (*s == '\\')
            buf_puts(b, "\\\\");
        else if (*s == '\n')
            buf_puts(b, "\\n");
        else if (*s == '"' && quotes)
            buf_puts(b, "\\\"");
        else
            buf_putc(b, *s);
    }
}

static char *render_labels(const struct metric_label *labels, size_t n)
{
    struct metric_label *sorted = (struct metric_label *)mem_alloc_array(n, sizeof(*sorted));
    struct buf b = {0};

    if (n)
        memcpy(sorted, labels, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_label_name);
    for (size_t i = 0; i < n; i++) {
        buf_putf(&b, "%s%s=\"", i ? "," : "", sorted[i].name);
        put_escaped(&b, sorted[i].value, true);
        buf_putc(&b, '"');
    }
    buf_putc(&b, '\0');
    free(sorted);
    return (char *)b.p;
}

static struct series *find(const struct metric_set *m, const struct metric_row *row, const char *labels)
{
    struct series *s = m->first;

    while (s && (s->row != row || strcmp(s->labels, labels) != 0))
        s = s->next;
    return s;
}

struct series *metric_series(struct metric_set *m, const struct metric_row *row,
                             const struct metric_label *labels, size_t n_labels)
{
    char *text = render_labels(labels, n_labels);
    struct series *s = find(m, row, text);

    if (s) {
        free(text);
        return s;
    }
    s = (struct series *)mem_alloc(sizeof(*s));
    s->row = row;
    s->labels = text;
    if (row->type == METRIC_HISTOGRAM)
        s->buckets = (struct series_cell *)mem_alloc_array(row->n_bounds + 1, sizeof(*s->buckets));
    *m->last = s;
    m->last = &s->next;
    m->n++;
    return s;
}

static double as_double(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof(d));
    return d;
}

static uint64_t as_bits(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return bits;
}

static uint64_t load(const struct series_cell *c)
{
    return atomic_load_explicit(&c->bits, memory_order_relaxed);
}

static void store(struct series_cell *c, uint64_t bits)
{
    atomic_store_explicit(&c->bits, bits, memory_order_relaxed);
}

static void touch(struct series *s)
{
    atomic_store_explicit(&s->touched, true, memory_order_relaxed);
}

void series_set_double(struct series *s, double v)
{
    s->is_double = true;
    store(&s->value, as_bits(v));
    touch(s);
}

void series_add_double(struct series *s, double v)
{
    double before = s->is_double ? as_double(load(&s->value)) : (double)load(&s->value);

    series_set_double(s, before + v);
}

void series_observe(struct series *s, double v)
{
    size_t i = 0;

    CHECK(s->buckets);
    while (i < s->row->n_bounds && v > s->row->bounds[i])
        i++;
    store(&s->buckets[i], load(&s->buckets[i]) + 1);
    store(&s->sum, as_bits(as_double(load(&s->sum)) + v));
    touch(s);
}

/* One series in a snapshot or on the page. */
struct entry {
    const struct metric_row *row;
    const char *name; /* as printed; set when the page is made */
    const char *labels;
    double value; /* histograms: the sum */
    uint64_t *buckets;
};

struct metric_snapshot {
    struct arena *text;
    struct entry *entries;
    size_t n;
};

static double value_of(const struct series *s)
{
    uint64_t bits = load(&s->value);

    if (s->row->type == METRIC_HISTOGRAM)
        return as_double(load(&s->sum));
    if (s->is_double)
        return as_double(bits);
    return s->row->type == METRIC_GAUGE ? (double)(int64_t)bits : (double)bits;
}

static void copy_series(struct metric_snapshot *snap, const struct series *s)
{
    struct entry *e = &snap->entries[snap->n++];

    e->row = s->row;
    e->labels = arena_dup_n(snap->text, s->labels, strlen(s->labels));
    e->value = value_of(s);
    if (!s->buckets)
        return;
    e->buckets = (uint64_t *)arena_alloc(snap->text, (s->row->n_bounds + 1) * sizeof(*e->buckets));
    for (size_t i = 0; i <= s->row->n_bounds; i++)
        e->buckets[i] = load(&s->buckets[i]);
}

struct metric_snapshot *metric_snapshot_take(const struct metric_set *m)
{
    struct metric_snapshot *snap = (struct metric_snapshot *)mem_alloc(sizeof(*snap));

    snap->text = arena_new();
    snap->entries = (struct entry *)mem_alloc_array(m->n, sizeof(*snap->entries));
    for (const struct series *s = m->first; s; s = s->next)
        if (s->row->from_start || atomic_load_explicit(&s->touched, memory_order_relaxed))
            copy_series(snap, s);
    return snap;
}

void metric_snapshot_free(struct metric_snapshot **s)
{
    if (!*s)
        return;
    arena_free(&(*s)->text);
    free((*s)->entries);
    free(*s);
    *s = NULL;
}

/* The page. */

struct page {
    struct buf *out;
    const struct metric_style *style;
    struct arena *text;
    struct entry *entries;
    size_t n;
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static const char *unit_suffix(const struct metric_row *row)
{
    static const struct {
        const char *unit, *suffix;
    } units[] = {
        {"s", "_seconds"}, {"ms", "_milliseconds"}, {"us", "_microseconds"}, {"ns", "_nanoseconds"},
        {"By", "_bytes"}, {"KiBy", "_kibibytes"}, {"MiBy", "_mebibytes"}, {"%", "_percent"},
    };

    if (!row->unit)
        return "";
    if (strcmp(row->unit, "1") == 0)
        return row->type == METRIC_GAUGE ? "_ratio" : "";
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(row->unit, units[i].unit) == 0)
            return units[i].suffix;
    return ""; /* {spans} and the like */
}

static const char *printed_name(struct page *p, const struct metric_row *row)
{
    const char *name = row->name, *unit = p->style->without_units ? "" : unit_suffix(row);
    bool total = ends_with(name, "_total");
    size_t len = strlen(name) - (total ? strlen("_total") : 0);
    const char *stem = arena_dup_n(p->text, name, len);

    if (ends_with(stem, unit))
        unit = "";
    if (row->type == METRIC_COUNTER && !p->style->without_type_suffix)
        total = true;
    return arena_printf(p->text, "%s%s%s", stem, unit, total ? "_total" : "");
}

static int by_name_and_labels(const void *x, const void *y)
{
    const struct entry *a = (const struct entry *)x, *b = (const struct entry *)y;
    int c = strcmp(a->name, b->name);

    return c ? c : strcmp(a->labels, b->labels);
}

static bool same_shape(const struct metric_row *a, const struct metric_row *b)
{
    return a == b || (a->type == b->type && a->n_bounds == b->n_bounds &&
                      (!a->n_bounds || memcmp(a->bounds, b->bounds, a->n_bounds * sizeof(*a->bounds)) == 0));
}

static void fold(struct entry *into, const struct entry *e)
{
    CHECK(same_shape(into->row, e->row));
    into->value += e->value;
    for (size_t i = 0; into->buckets && i <= into->row->n_bounds; i++)
        into->buckets[i] += e->buckets[i];
}

/* All entries the level lets through, sorted, equal ones added up. */
static void gather(struct page *p, struct metric_snapshot *const *snaps, size_t n)
{
    size_t all = 0, kept = 0;

    for (size_t i = 0; i < n; i++)
        all += snaps[i] ? snaps[i]->n : 0;
    p->entries = (struct entry *)mem_alloc_array(all, sizeof(*p->entries));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; snaps[i] && k < snaps[i]->n; k++) {
            struct entry *e = &p->entries[p->n];

            *e = snaps[i]->entries[k];
            if (e->row->level > p->style->level)
                continue;
            e->name = printed_name(p, e->row);
            if (e->buckets) { /* folding writes here: leave the snapshot as it is */
                size_t size = (e->row->n_bounds + 1) * sizeof(*e->buckets);

                e->buckets = (uint64_t *)(void *)arena_dup_n(p->text, (const char *)e->buckets, size);
            }
            p->n++;
        }
    qsort(p->entries, p->n, sizeof(*p->entries), by_name_and_labels);
    for (size_t i = 0; i < p->n; i++) {
        if (kept && by_name_and_labels(&p->entries[kept - 1], &p->entries[i]) == 0)
            fold(&p->entries[kept - 1], &p->entries[i]);
        else
            p->entries[kept++] = p->entries[i];
    }
    p->n = kept;
}

/* The next label of a rendered list, quotes respected; *text moves behind it and its comma. */
static struct slice next_label(const char **text)
{
    const char *s = *text, *p = s;
    bool quoted = false;

    for (; *p && (quoted || *p != ','); p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
    }
    *text = *p ? p + 1 : p;
    return slice_of(s, (size_t)(p - s));
}

static int by_slice(const void *x, const void *y)
{
    const struct slice *a = (const struct slice *)x, *b = (const struct slice *)y;
    int c = memcmp(a->p, b->p, a->len < b->len ? a->len : b->len);

    return c ? c : (a->len > b->len) - (a->len < b->len);
}

/* Series labels and those every series gets, sorted: rendered without braces. */
static const char *all_labels(struct page *p, const char *labels)
{
    static const char *const scope = "otel_scope_name=\"tailrace\",otel_scope_schema_url=\"\","
                                     "otel_scope_version=\"" TAILRACE_VERSION "\"";
    const char *lists[] = {labels, p->style->constant_labels ? p->style->constant_labels : "",
                           p->style->without_scope_info ? "" : scope};
    struct slice found[64];
    struct buf b = {0};
    const char *text;
    size_t n = 0;

    if (!*lists[1] && !*lists[2])
        return labels;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        while (*lists[i] && n < ARRAY_LEN(found))
            found[n++] = next_label(&lists[i]);
    qsort(found, n, sizeof(*found), by_slice);
    for (size_t i = 0; i < n; i++)
        buf_putf(&b, "%s%.*s", i ? "," : "", (int)found[i].len, (const char *)found[i].p);
    text = arena_dup_n(p->text, (const char *)b.p, b.len);
    buf_free(&b);
    return text;
}

static void put_value(struct page *p, double v)
{
    char text[32];

    buf_put(p->out, text, num_metric(text, v));
    buf_putc(p->out, '\n');
}

static void put_sample(struct page *p, const char *name, const char *suffix, const char *labels, double v)
{
    buf_putf(p->out, "%s%s", name, suffix);
    if (*labels)
        buf_putf(p->out, "{%s}", labels);
    buf_putc(p->out, ' ');
    put_value(p, v);
}

static void put_histogram(struct page *p, const struct entry *e, const char *labels)
{
    uint64_t below = 0;

    for (size_t i = 0; i <= e->row->n_bounds; i++) {
        char le[32] = "+Inf";

        if (i < e->row->n_bounds)
            num_metric(le, e->row->bounds[i]);
        below += e->buckets[i];
        buf_putf(p->out, "%s_bucket{%s%sle=\"%s\"} ", e->name, labels, *labels ? "," : "", le);
        put_value(p, (double)below);
    }
    put_sample(p, e->name, "_sum", labels, e->value);
    put_sample(p, e->name, "_count", labels, (double)below);
}

static void put_head(struct page *p, const struct entry *e)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    buf_putf(p->out, "# HELP %s ", e->name);
    put_escaped(p->out, e->row->help ? e->row->help : "", false);
    buf_putf(p->out, "\n# TYPE %s %s\n", e->name, types[e->row->type]);
}

void metric_render(struct buf *out, const struct metric_style *style, struct metric_snapshot *const *snaps,
                   size_t n)
{
    struct page p = {.out = out, .style = style, .text = arena_new()};

    gather(&p, snaps, n);
    for (size_t i = 0; i < p.n; i++) {
        const struct entry *e = &p.entries[i];
        const char *labels;

        if (i == 0 || strcmp(p.entries[i - 1].name, e->name) != 0)
            put_head(&p, e);
        labels = strcmp(e->row->name, "target_info") == 0 ? e->labels : all_labels(&p, e->labels);
        if (e->row->type == METRIC_HISTOGRAM)
            put_histogram(&p, e, labels);
        else
            put_sample(&p, e->name, "", labels, e->value);
    }
    free(p.entries);
    arena_free(&p.text);
}
