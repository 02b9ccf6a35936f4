/* SPDX-License-Identifier: Apache-2.0 */
/* Metric rows of tail_sampling and the series of one worker: see tail_metrics.h. */
#include "processors/tail_metrics.h"

#include <stdlib.h>
#include <string.h>

#include "component/gates.h"
#include "platform/mem.h"

static const double latency_bounds[] = {1,   2,   5,   10,  25,   50,   75,   100,  150,   200,   300,
                                        400, 500, 750, 1000, 2000, 3000, 4000, 5000, 10000, 20000,
                                        30000, 50000};
static const double age_bounds[] = {0,   5,   10,   25,   50,   75,   100, 250,
                                    500, 750, 1000, 2500, 5000, 7500, 10000};

enum {
    ROW_POLICY_VOTES,
    ROW_POLICY_SPANS,
    ROW_POLICY_BYTES,
    ROW_DECISIONS,
    ROW_CACHE_RELEASES,
    ROW_NEW_TRACES,
    ROW_TIMER_LATENCY,
    ROW_LATE_AGE,
    ROW_REMOVAL_AGE,
    ROW_ERRORS,
    ROW_EXECUTIONS,
    ROW_EXECUTION_TIME,
    ROW_DROPPED_EARLY,
    ROW_ON_MEMORY,
    ROW_TOO_LARGE,
    ROW_UNPARSEABLE,
    ROW_EARLY,
    ROW_EARLY_AGE,
    ROW_LATE_SPANS,
    ROW_HELD_BYTES,
    ROW_HELD_SPANS,
    ROW_SEGMENTS,
    ROW_STORAGE_WORKING,
    ROW_STORAGE_BYTES,
    ROW_STORAGE_FAULTS,
    ROW_STORAGE_CORRUPT,
    ROW_STORAGE_TORN,
    ROW_RESTORED_SPANS,
    ROW_RESTORED_TRACES,
    ROW_RESTORED_CUT,
    ROW_CUT,
    ROWS
};

#define OTELCOL(x)  "otelcol_processor_tail_sampling_" x
#define TAILRACE(x) "tailrace_tail_sampling_" x
#define BOUNDS(b)   .bounds = (b), .n_bounds = ARRAY_LEN(b)

const struct metric_row tail_metric_rows[] = {
    [ROW_POLICY_VOTES] = {.name = OTELCOL("count_traces_sampled"), .type = METRIC_COUNTER, .unit = "{traces}",
                          .help = "Traces judged by a policy, by what it said."},
    [ROW_POLICY_SPANS] = {.name = OTELCOL("count_spans_sampled"), .type = METRIC_COUNTER, .unit = "{spans}",
                          .help = "Spans of the traces judged by a policy; with the feature gate metricstatcountspanssampled."},
    [ROW_POLICY_BYTES] = {.name = OTELCOL("count_bytes_sampled"), .type = METRIC_COUNTER, .unit = "By",
                          .help = "Bytes of the traces judged by a policy; with the feature gate metricstatcountbytessampled."},
    [ROW_DECISIONS] = {.name = OTELCOL("global_count_traces_sampled"), .type = METRIC_COUNTER, .unit = "{traces}",
                       .help = "Traces decided, by the decision of all policies together."},
    [ROW_CACHE_RELEASES] = {.name = OTELCOL("early_releases_from_cache_decision"), .type = METRIC_COUNTER,
                            .unit = "{spans}", .help = "Late spans whose trace's decision was found in a decision cache."},
    [ROW_NEW_TRACES] = {.name = OTELCOL("new_trace_id_received"), .type = METRIC_COUNTER, .unit = "{traces}",
                        .from_start = true, .help = "Traces that began; one that was forgotten and comes again counts again."},
    [ROW_TIMER_LATENCY] = {.name = OTELCOL("sampling_decision_timer_latency"), .type = METRIC_HISTOGRAM, .unit = "ms",
                           BOUNDS(latency_bounds), .help = "Time that the decisions of one tick took."},
    [ROW_LATE_AGE] = {.name = OTELCOL("sampling_late_span_age"), .type = METRIC_HISTOGRAM, .unit = "s",
                      BOUNDS(age_bounds), .help = "How long after the decision late spans came, in whole seconds."},
    [ROW_REMOVAL_AGE] = {.name = OTELCOL("sampling_trace_removal_age"), .type = METRIC_HISTOGRAM, .unit = "s",
                         BOUNDS(age_bounds), .help = "Age of traces when they left the table, in whole seconds."},
    [ROW_ERRORS] = {.name = OTELCOL("sampling_policy_evaluation_error"), .type = METRIC_COUNTER, .unit = "{errors}",
                    .from_start = true, .help = "Policies that could not be evaluated."},
    [ROW_EXECUTIONS] = {.name = OTELCOL("sampling_policy_execution_count"), .type = METRIC_COUNTER,
                        .unit = "{executions}", .from_start = true, .help = "How often a policy judged."},
    [ROW_EXECUTION_TIME] = {.name = OTELCOL("sampling_policy_execution_time_sum"), .type = METRIC_COUNTER, .unit = "us",
                            .from_start = true, .help = "Time spent judging, by policy; measured on every 64th trace."},
    [ROW_DROPPED_EARLY] = {.name = OTELCOL("sampling_trace_dropped_too_early"), .type = METRIC_COUNTER,
                           .unit = "{traces}", .from_start = true,
                           .help = "Traces that had to go before their time; here they are decided early, not lost."},
    [ROW_ON_MEMORY] = {.name = OTELCOL("sampling_traces_on_memory"), .type = METRIC_GAUGE, .unit = "{traces}",
                       .from_start = true, .help = "Traces in the table, decided ones included."},
    [ROW_TOO_LARGE] = {.name = OTELCOL("traces_dropped_too_large"), .type = METRIC_COUNTER, .unit = "{traces}",
                       .from_start = true, .help = "Traces over maximum_trace_size_bytes."},
    [ROW_UNPARSEABLE] = {.name = OTELCOL("count_spans_with_unparseable_tracestate"), .type = METRIC_COUNTER, .unit = "{spans}",
                         .help = "Kept spans whose tracestate cannot be read; with the feature gate usetracestate."},
    [ROW_EARLY] = {.name = TAILRACE("early_decisions"), .type = METRIC_COUNTER, .unit = "{traces}",
                   .from_start = true, .help = "Traces decided before their time, by the bound that was reached."},
    [ROW_EARLY_AGE] = {.name = TAILRACE("early_decision_age"), .type = METRIC_HISTOGRAM, .unit = "s", BOUNDS(age_bounds),
                       .help = "How long after its first span a trace was decided before its time, in whole seconds."},
    [ROW_LATE_SPANS] = {.name = TAILRACE("late_spans"), .type = METRIC_COUNTER, .unit = "{spans}", .from_start = true,
                        .help = "Spans that came when their trace was decided and followed it; also those that a decision cache answered."},
    [ROW_HELD_BYTES] = {.name = TAILRACE("held_bytes"), .type = METRIC_GAUGE, .unit = "By", .from_start = true,
                        .help = "Memory that holds spans of undecided traces, with their resources and scopes."},
    [ROW_HELD_SPANS] = {.name = TAILRACE("held_spans"), .type = METRIC_GAUGE, .unit = "{spans}", .from_start = true,
                        .help = "Spans of undecided traces."},
    [ROW_SEGMENTS] = {.name = TAILRACE("segments"), .type = METRIC_GAUGE, .unit = "{segments}", .from_start = true,
                      .help = "Segments of 256 KiB that hold spans."},
    [ROW_STORAGE_WORKING] = {.name = TAILRACE("storage_working"), .type = METRIC_GAUGE, .unit = "{workers}", .from_start = true,
                             .help = "Workers whose storage takes what they hold; the others hold it in memory only."},
    [ROW_STORAGE_BYTES] = {.name = TAILRACE("storage_bytes"), .type = METRIC_GAUGE, .unit = "By", .from_start = true,
                           .help = "Size of the files in the storage, free room in them included."},
    [ROW_STORAGE_FAULTS] = {.name = TAILRACE("storage_errors"), .type = METRIC_COUNTER, .unit = "{errors}", .from_start = true,
                            .help = "Requests and notes that the storage did not take."},
    [ROW_STORAGE_CORRUPT] = {.name = TAILRACE("storage_corrupt_records"), .type = METRIC_COUNTER, .unit = "{records}",
                             .from_start = true, .help = "Pieces of files that were records of the process before and cannot be read; their spans are lost."},
    [ROW_STORAGE_TORN] = {.name = TAILRACE("storage_torn_bytes"), .type = METRIC_COUNTER, .unit = "By", .from_start = true,
                          .help = "What those pieces measured."},
    [ROW_RESTORED_SPANS] = {.name = TAILRACE("restored_spans"), .type = METRIC_COUNTER, .unit = "{spans}", .from_start = true,
                            .help = "Spans of the process before that came back from the storage; they count as accepted."},
    [ROW_RESTORED_TRACES] = {.name = TAILRACE("restored_traces"), .type = METRIC_COUNTER, .unit = "{traces}", .from_start = true,
                             .help = "Undecided traces of the process before that came back from the storage."},
    [ROW_RESTORED_CUT] = {.name = TAILRACE("restored_cut_traces"), .type = METRIC_COUNTER, .unit = "{traces}", .from_start = true,
                          .help = "Those of them that are not whole: the storage had not taken all of their spans."},
    [ROW_CUT] = {.name = TAILRACE("cut_traces"), .type = METRIC_COUNTER, .unit = "{traces}", .from_start = true,
                 .help = "Traces of which the storage took some spans and not others."},
    [ROWS] = {.name = NULL},
};

#define LABEL(n, v) ((struct metric_label){(n), (v)})

static struct series *plain(struct metric_set *set, int row)
{
    return metric_series(set, &tail_metric_rows[row], NULL, 0);
}

static const char *const sampled_label[3] = {"false", "true", "false"};
static const char *const decision_label[3] = {"not_sampled", "sampled", "dropped"};

/* "tail_sampling/eu" gives "eu.name"; "tail_sampling" gives "name". */
static char *policy_label(const char *id, const char *name)
{
    const char *slash = id ? strchr(id, '/') : NULL;

    return slash ? mem_printf("%s.%s", slash + 1, name) : mem_dup(name);
}

static void policy_init(struct tail_policy_series *ps, struct metric_set *set, const char *id, const char *name,
                        uint32_t gates)
{
    char *label = policy_label(id, name);

    for (int v = 0; v < 3; v++) {
        struct metric_label labels[] = {LABEL("policy", label), LABEL("sampled", sampled_label[v]),
                                        LABEL("decision", decision_label[v])};

        ps->votes[v] = metric_series(set, &tail_metric_rows[ROW_POLICY_VOTES], labels, 3);
        if (gates & GATE_BIT(GATE_TAIL_COUNT_SPANS))
            ps->spans[v] = metric_series(set, &tail_metric_rows[ROW_POLICY_SPANS], labels, 3);
        if (gates & GATE_BIT(GATE_TAIL_COUNT_BYTES))
            ps->bytes[v] = metric_series(set, &tail_metric_rows[ROW_POLICY_BYTES], labels, 3);
    }
    ps->executions = metric_series(set, &tail_metric_rows[ROW_EXECUTIONS], &LABEL("policy", label), 1);
    ps->execution_us =
        metric_series(set, &tail_metric_rows[ROW_EXECUTION_TIME], &LABEL("policy", label), 1);
    free(label);
}

static void decisions_init(struct tail_metrics *m, struct metric_set *set)
{
    static const char *const reasons[EARLY_REASONS] = {"num_traces", "buffer_limit"};

    for (int v = 0; v < 3; v++) {
        struct metric_label labels[] = {LABEL("sampled", sampled_label[v]),
                                        LABEL("decision", decision_label[v])};

        m->decisions[v] = metric_series(set, &tail_metric_rows[ROW_DECISIONS], labels, 2);
    }
    for (int v = 0; v < 2; v++) {
        m->cache_releases[v] = metric_series(set, &tail_metric_rows[ROW_CACHE_RELEASES],
                                             &LABEL("sampled", sampled_label[v]), 1);
        m->late_spans[v] = metric_series(set, &tail_metric_rows[ROW_LATE_SPANS], &LABEL("sampled", sampled_label[v]), 1);
    }
    for (int r = 0; r < EARLY_REASONS; r++)
        m->early[r] =
            metric_series(set, &tail_metric_rows[ROW_EARLY], &LABEL("reason", reasons[r]), 1);
}

void tail_metrics_init(struct tail_metrics *m, struct metric_set *set, const char *id,
                       const struct tail_policies *p)
{
    *m = (struct tail_metrics){.n_policies = p->n_policies};
    decisions_init(m, set);
    m->new_traces = plain(set, ROW_NEW_TRACES);
    m->decided_early = plain(set, ROW_DROPPED_EARLY);
    m->evaluation_errors = plain(set, ROW_ERRORS);
    m->too_large = plain(set, ROW_TOO_LARGE);
    if (p->randomness)
        m->unparseable = plain(set, ROW_UNPARSEABLE);
    m->timer_latency = plain(set, ROW_TIMER_LATENCY);
    m->late_age = plain(set, ROW_LATE_AGE);
    m->early_age = plain(set, ROW_EARLY_AGE);
    m->removal_age = plain(set, ROW_REMOVAL_AGE);
    m->on_memory = plain(set, ROW_ON_MEMORY);
    m->held_bytes = plain(set, ROW_HELD_BYTES);
    m->held_spans = plain(set, ROW_HELD_SPANS);
    m->segments = plain(set, ROW_SEGMENTS);
    m->policies = mem_alloc_array(p->n_policies + 1, sizeof(*m->policies));
    for (uint32_t i = 0; i < p->n_policies; i++)
        policy_init(&m->policies[i], set, id, p->policies[i].name, p->gates);
}

void tail_metrics_storage(struct tail_metrics *m, struct metric_set *set)
{
    m->storage_working = plain(set, ROW_STORAGE_WORKING);
    m->storage_bytes = plain(set, ROW_STORAGE_BYTES);
    m->storage_faults = plain(set, ROW_STORAGE_FAULTS);
    m->storage_corrupt = plain(set, ROW_STORAGE_CORRUPT);
    m->storage_torn = plain(set, ROW_STORAGE_TORN);
    m->restored_spans = plain(set, ROW_RESTORED_SPANS);
    m->restored_traces = plain(set, ROW_RESTORED_TRACES);
    m->restored_cut = plain(set, ROW_RESTORED_CUT);
    m->cut_traces = plain(set, ROW_CUT);
}

void tail_metrics_fini(struct tail_metrics *m)
{
    free(m->policies);
    m->policies = NULL;
}

void tail_metrics_tick(struct tail_metrics *m)
{
    for (uint32_t i = 0; i < m->n_policies; i++) {
        struct tail_policy_series *ps = &m->policies[i];

        series_add(ps->executions, ps->executed);
        series_add(ps->execution_us, ps->sampled_ns / 1000);
        ps->executed = 0;
        ps->sampled_ns %= 1000;
    }
}
