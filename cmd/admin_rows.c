/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own numbers: process, memory, loops, and the ledger of every pipeline. They are not
 * counted as things happen but set when somebody asks, from one scrape, so that on one page
 * accepted = exported + sampled_out + filtered + dropped + stored + held holds to the span.
 * Threads: main.
 */
#include "cmd/admin_rows.h"

#include <ctype.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/admin.h"
#include "platform/clock.h"

enum row {
    ACCEPTED,
    EXPORTED,
    SAMPLED_OUT,
    FILTERED,
    STORED,
    DROPPED,
    HELD,
    MEM_USED,
    MEM_SOFT,
    MEM_LIMIT,
    LINES_LOST,
    STALLS,
    UPTIME,
    CPU,
    RSS,
    HEAP,
    SYS_MEMORY,
    RELOAD_SUCCESS,
    RELOAD_TIME,
    HANDLER_ERRORS,
    TARGET_INFO,
    ROWS
};

#define ROW(name_, type_, unit_, help_)                                                            \
    {                                                                                              \
        .name = (name_), .type = (type_), .level = METRIC_BASIC, .unit = (unit_), .help = (help_), \
        .from_start = true                                                                         \
    }

const struct metric_row admin_metrics[] = {
    [ACCEPTED] = ROW("tailrace_pipeline_accepted_spans", METRIC_COUNTER, "{spans}",
                     "Spans that entered the pipeline; equals exported + sampled out + filtered + "
                     "dropped + stored + held."),
    [EXPORTED] = ROW("tailrace_pipeline_exported_spans", METRIC_COUNTER, "{spans}",
                     "Spans that every exporter of the pipeline delivered."),
    [SAMPLED_OUT] = ROW("tailrace_pipeline_sampled_out_spans", METRIC_COUNTER, "{spans}",
                        "Spans of traces that sampling decided not to keep."),
    [FILTERED] = ROW("tailrace_pipeline_filtered_spans", METRIC_COUNTER, "{spans}",
                     "Spans that a processor removed because its configuration says so."),
    [STORED] = ROW("tailrace_pipeline_stored_spans", METRIC_COUNTER, "{spans}",
                   "Spans left on disk by a component that stopped; who takes them up accepts them again."),
    [DROPPED] = {.name = "tailrace_pipeline_dropped_spans",
                 .type = METRIC_COUNTER,
                 .level = METRIC_BASIC,
                 .unit = "{spans}",
                 .help = "Spans lost or given back, by reason."},
    [HELD] = ROW("tailrace_pipeline_held_spans", METRIC_GAUGE, "{spans}",
                 "Spans now in the pipeline: in processors, queues, or on their way."),
    [MEM_USED] = ROW("tailrace_memory_used_bytes", METRIC_GAUGE, "By",
                     "Memory charged to the budget, by what holds it."),
    [MEM_SOFT] = ROW("tailrace_memory_soft_limit_bytes", METRIC_GAUGE, "By",
                     "Where receivers begin to refuse; 0: no limit."),
    [MEM_LIMIT] = ROW("tailrace_memory_limit_bytes", METRIC_GAUGE, "By",
                      "What may be charged in all; 0: no limit."),
    [LINES_LOST] = ROW("tailrace_log_lines_lost", METRIC_COUNTER, "{lines}",
                       "Log lines that the output could not take in time."),
    [STALLS] = ROW("tailrace_loop_stalls", METRIC_COUNTER, "{turns}",
                   "Turns of an event loop that took over 100 ms."),
    [UPTIME] = ROW("otelcol_process_uptime", METRIC_COUNTER, "s", "Uptime of the process. [Alpha]"),
    [CPU] = ROW("otelcol_process_cpu_seconds", METRIC_COUNTER, "s",
                "CPU time of the process, user and system. [Alpha]"),
    [RSS] = ROW("otelcol_process_memory_rss", METRIC_GAUGE, "By",
                "Resident memory of the process. [Alpha]"),
    [HEAP] = ROW("otelcol_process_runtime_heap_alloc_bytes", METRIC_GAUGE, "By",
                 "Bytes allocated and in use. [Alpha]"),
    [SYS_MEMORY] = ROW("otelcol_process_runtime_total_sys_memory_bytes", METRIC_GAUGE, "By",
                       "Bytes the allocator has obtained from the system. [Alpha]"),
    [RELOAD_SUCCESS] = ROW("otelcol_config_last_reload_success", METRIC_GAUGE, "",
                           "1 when the last reload of the configuration (or the start) worked, else 0."),
    [RELOAD_TIME] = ROW("otelcol_config_last_reload_success_timestamp", METRIC_GAUGE, "s",
                        "When the configuration was last read without errors, in seconds since 1970."),
    [HANDLER_ERRORS] = ROW("promhttp_metric_handler_errors_total", METRIC_COUNTER, "",
                           "Errors while gathering or writing this page."),
    [TARGET_INFO] = ROW("target_info", METRIC_GAUGE, "", "Attributes of the process that answers."),
    [ROWS] = {.name = NULL},
};

struct pipeline_series {
    const char *id; /* the graph's */
    struct series *accepted, *fate[FATES], *held;
    struct series *dropped[DROP_REASONS]; /* made when there is something to show */
};

struct admin_rows {
    struct metric_set *set, *info; /* info: target_info alone */
    struct pipeline_series *pipelines;
    size_t n_pipelines;
    struct series *memory[MEM_OWNERS];
    struct series *plain[ROWS]; /* those without labels */
    uint64_t started_ns;
};

static struct series *labelled(struct admin_rows *r, enum row row, const char *name,
                               const char *value)
{
    return metric_series(r->set, &admin_metrics[row], &(struct metric_label){name, value}, 1);
}

/* A reload may bring more of them; none goes. */
static void make_pipeline(struct admin_rows *r, const char *id)
{
    struct pipeline_series *p;

    r->pipelines = mem_grow(r->pipelines, (r->n_pipelines + 1) * sizeof(*p));
    p = &r->pipelines[r->n_pipelines++];
    *p = (struct pipeline_series){.id = id};
    p->accepted = labelled(r, ACCEPTED, "pipeline", id);
    p->held = labelled(r, HELD, "pipeline", id);
    p->fate[FATE_EXPORTED] = labelled(r, EXPORTED, "pipeline", id);
    p->fate[FATE_SAMPLED_OUT] = labelled(r, SAMPLED_OUT, "pipeline", id);
    p->fate[FATE_FILTERED] = labelled(r, FILTERED, "pipeline", id);
    p->fate[FATE_STORED] = labelled(r, STORED, "pipeline", id);
}

/* service.name -> service_name, as Prometheus label names go. */
static char *label_name(const char *key)
{
    char *name = mem_dup(key);

    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    if (isdigit((unsigned char)name[0]))
        name[0] = '_';
    return name;
}

struct metric_set *admin_info_new(const struct plan *plan)
{
    struct metric_set *info = metric_set_new();
    size_t n = plan->n_resource;
    struct metric_label *labels = mem_alloc_array(n + 1, sizeof(*labels));

    for (size_t i = 0; i < n; i++)
        labels[i] = (struct metric_label){label_name(plan->resource[i].name), plan->resource[i].value};
    series_set(metric_series(info, &admin_metrics[TARGET_INFO], labels, n), 1);
    for (size_t i = 0; i < n; i++)
        free((char *)labels[i].name);
    free(labels);
    return info;
}

void admin_rows_set_info(struct admin_rows *r, struct metric_set **info)
{
    metric_set_free(&r->info);
    r->info = *info;
    *info = NULL;
}

static const enum row without_labels[] = {MEM_SOFT, MEM_LIMIT, LINES_LOST, STALLS,    UPTIME,
                                          CPU,      RSS,       HEAP,       SYS_MEMORY,
                                          RELOAD_SUCCESS, RELOAD_TIME};

struct metric_snapshot *admin_rows_info(const struct admin_rows *r)
{
    return metric_snapshot_take(r->info);
}

struct admin_rows *admin_rows_new(struct metric_set *set)
{
    struct admin_rows *r = mem_alloc(sizeof(*r));

    r->set = set;
    r->info = metric_set_new();
    r->started_ns = clock_mono_ns();
    for (int o = 0; o < MEM_OWNERS; o++)
        r->memory[o] = labelled(r, MEM_USED, "owner", mem_owner_name((enum mem_owner)o));
    for (size_t i = 0; i < ARRAY_LEN(without_labels); i++)
        r->plain[without_labels[i]] =
            metric_series(set, &admin_metrics[without_labels[i]], NULL, 0);
    series_set(labelled(r, HANDLER_ERRORS, "cause", "encoding"), 0);
    series_set(labelled(r, HANDLER_ERRORS, "cause", "gathering"), 0);
    admin_rows_reloaded(r, true);
    return r;
}

void admin_rows_reloaded(struct admin_rows *r, bool success)
{
    series_set(r->plain[RELOAD_SUCCESS], success);
    if (success)
        series_set_double(r->plain[RELOAD_TIME], (double)clock_wall_ns() / 1e9);
}

void admin_rows_free(struct admin_rows **r)
{
    if (*r) {
        metric_set_free(&(*r)->info);
        free((*r)->pipelines);
    }
    free(*r);
    *r = NULL;
}

/* ---- values ---- */

static void update_dropped(struct admin_rows *r, size_t pipeline, int reason, uint64_t n)
{
    struct series **s = &r->pipelines[pipeline].dropped[reason];
    struct metric_label labels[] = {{"pipeline", r->pipelines[pipeline].id},
                                    {"reason", drop_reason_name((enum drop_reason)reason)}};

    if (!*s && n)
        *s = metric_series(r->set, &admin_metrics[DROPPED], labels, 2);
    if (*s)
        series_set(*s, n);
}

static void update_pipeline(struct admin_rows *r, size_t i, const struct ledger *l)
{
    struct pipeline_series *p = &r->pipelines[i];
    int64_t held = ledger_held(l);

    CHECK(held >= 0);
    series_set(p->accepted, l->accepted);
    series_set(p->held, (uint64_t)held);
    for (int f = 0; f < FATES; f++)
        if (p->fate[f])
            series_set(p->fate[f], l->fate[f]);
    for (int d = 0; d < DROP_REASONS; d++)
        update_dropped(r, i, d, l->dropped[d]);
}

static uint64_t resident_bytes(void)
{
    unsigned long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (!f)
        return 0;
    if (fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void update_process(struct admin_rows *r)
{
    struct mallinfo2 heap = mallinfo2();

    series_set_double(r->plain[UPTIME], (double)(clock_mono_ns() - r->started_ns) / 1e9);
    series_set_double(r->plain[CPU], (double)clock_cpu_ns() / 1e9);
    series_set(r->plain[RSS], resident_bytes());
    series_set(r->plain[HEAP], heap.uordblks + heap.hblkhd);
    series_set(r->plain[SYS_MEMORY], heap.arena + heap.hblkhd);
}

static void update_memory(struct admin_rows *r, const struct budget *b)
{
    for (int o = 0; o < MEM_OWNERS; o++)
        series_set(r->memory[o], budget_used_by(b, (enum mem_owner)o));
    series_set(r->plain[MEM_SOFT], budget_soft(b));
    series_set(r->plain[MEM_LIMIT], budget_limit(b));
}

void admin_rows_update(struct admin_rows *r, const struct graph_scrape *s, const struct budget *b,
                       uint64_t log_lines_lost)
{
    for (size_t i = 0; i < s->n_ledgers; i++) {
        if (i == r->n_pipelines)
            make_pipeline(r, s->pipelines[i]);
        update_pipeline(r, i, &s->ledgers[i]);
    }
    update_memory(r, b);
    update_process(r);
    series_set(r->plain[LINES_LOST], log_lines_lost);
    series_set(r->plain[STALLS], s->stalls);
}
