/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: the page in all its spellings, and sums over workers. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "platform/mem.h"
#include "platform/metric.h"

static const double bounds[] = {10, 25, 1e6};
static const struct metric_row accepted = {"otelcol_receiver_accepted_spans", METRIC_COUNTER, METRIC_BASIC,
                                           "{spans}", "Spans taken. [Alpha]", NULL, 0, false};
static const struct metric_row uptime = {"otelcol_process_uptime", METRIC_COUNTER, METRIC_BASIC, "s",
                                         "Up\\time\nof it", NULL, 0, true};
static const struct metric_row cpu = {"otelcol_process_cpu_seconds", METRIC_COUNTER, METRIC_BASIC, "s",
                                      "CPU", NULL, 0, true};
static const struct metric_row rss = {"otelcol_process_memory_rss", METRIC_GAUGE, METRIC_BASIC, "By",
                                      "RSS", NULL, 0, true};
static const struct metric_row size = {"otelcol_batch_size", METRIC_HISTOGRAM, METRIC_NORMAL, "{units}",
                                       "Sizes", bounds, 3, false};
static const struct metric_row fine = {"otelcol_fine", METRIC_GAUGE, METRIC_DETAILED, "1", "Fine", NULL, 0, true};
static const struct metric_row target = {"target_info", METRIC_GAUGE, METRIC_BASIC, "", "Target", NULL, 0, true};

static const struct metric_style plain = {true, true, true, METRIC_NORMAL, NULL};

static void page_is(const struct metric_style *style, struct metric_set *const *sets, size_t n, const char *want)
{
    struct metric_snapshot *snaps[4] = {NULL};
    struct buf b = {0};

    for (size_t i = 0; i < n; i++)
        snaps[i] = sets[i] ? metric_snapshot_take(sets[i]) : NULL;
    metric_render(&b, style, snaps, n);
    buf_putc(&b, '\0');
    ck_assert_str_eq((char *)b.p, want);
    buf_clear(&b);
    metric_render(&b, style, snaps, n); /* leaves the snapshots as they were */
    buf_putc(&b, '\0');
    ck_assert_str_eq((char *)b.p, want);
    buf_free(&b);
    for (size_t i = 0; i < n; i++)
        metric_snapshot_free(&snaps[i]);
}

static struct series *labelled(struct metric_set *m, const struct metric_row *row, const char *receiver)
{
    struct metric_label l[] = {{"transport", "grpc"}, {"receiver", receiver}};

    return metric_series(m, row, l, 2);
}

START_TEST(page_sums_workers_and_sorts)
{
    struct metric_set *m[3] = {metric_set_new(), metric_set_new(), NULL};

    series_add(labelled(m[0], &accepted, "otlp/b"), 2);
    series_add(labelled(m[1], &accepted, "otlp/b"), 40);
    series_add(labelled(m[1], &accepted, "otlp/a\"\\\n"), 1000000);
    (void)labelled(m[1], &accepted, "never");
    ck_assert_ptr_eq(labelled(m[1], &accepted, "x"), labelled(m[1], &accepted, "x"));
    ck_assert_ptr_ne(labelled(m[1], &accepted, "x"), labelled(m[1], &accepted, "y"));
    series_add_double(metric_series(m[0], &uptime, NULL, 0), 1);
    series_add_double(metric_series(m[0], &uptime, NULL, 0), 0.5);
    series_add(metric_series(m[0], &rss, NULL, 0), 5);
    series_sub(metric_series(m[1], &rss, NULL, 0), 7); /* gauges move between workers */
    metric_series(m[0], &fine, NULL, 0);
    page_is(&plain, m, 3,
            "# HELP otelcol_process_memory_rss RSS\n# TYPE otelcol_process_memory_rss gauge\n"
            "otelcol_process_memory_rss -2\n"
            "# HELP otelcol_process_uptime Up\\\\time\\nof it\n# TYPE otelcol_process_uptime counter\n"
            "otelcol_process_uptime 1.5\n"
            "# HELP otelcol_receiver_accepted_spans Spans taken. [Alpha]\n"
            "# TYPE otelcol_receiver_accepted_spans counter\n"
            "otelcol_receiver_accepted_spans{receiver=\"otlp/a\\\"\\\\\\n\",transport=\"grpc\"} 1e+06\n"
            "otelcol_receiver_accepted_spans{receiver=\"otlp/b\",transport=\"grpc\"} 42\n");
    metric_set_free(&m[0]);
    metric_set_free(&m[1]);
    metric_set_free(&m[1]);
}
END_TEST

START_TEST(histograms_add_up)
{
    struct metric_set *m[2] = {metric_set_new(), metric_set_new()};
    struct metric_label l = {"processor", "batch"};

    series_observe(metric_series(m[0], &size, &l, 1), 10);
    series_observe(metric_series(m[0], &size, &l, 1), 10.5);
    series_observe(metric_series(m[1], &size, &l, 1), 3e6);
    page_is(&plain, m, 2,
            "# HELP otelcol_batch_size Sizes\n# TYPE otelcol_batch_size histogram\n"
            "otelcol_batch_size_bucket{processor=\"batch\",le=\"10\"} 1\n"
            "otelcol_batch_size_bucket{processor=\"batch\",le=\"25\"} 2\n"
            "otelcol_batch_size_bucket{processor=\"batch\",le=\"1e+06\"} 2\n"
            "otelcol_batch_size_bucket{processor=\"batch\",le=\"+Inf\"} 3\n"
            "otelcol_batch_size_sum{processor=\"batch\"} 3.0000205e+06\n"
            "otelcol_batch_size_count{processor=\"batch\"} 3\n");
    metric_set_free(&m[0]);
    metric_set_free(&m[1]);
}
END_TEST

START_TEST(flags_change_the_spelling)
{
    struct metric_set *m = metric_set_new();
    struct metric_style s = {false, false, true, METRIC_DETAILED, "env=\"a,b\",zone=\"z\""};
    struct metric_label l = {"service_name", "x"}, r = {"receiver", "otlp"};

    series_add(metric_series(m, &accepted, &r, 1), 1);
    metric_series(m, &uptime, NULL, 0);
    metric_series(m, &cpu, NULL, 0);
    metric_series(m, &rss, NULL, 0);
    metric_series(m, &fine, NULL, 0);
    series_set(metric_series(m, &target, &l, 1), 1);
    page_is(&s, &m, 1,
            "# HELP otelcol_fine_ratio Fine\n# TYPE otelcol_fine_ratio gauge\n"
            "otelcol_fine_ratio{env=\"a,b\",zone=\"z\"} 0\n"
            "# HELP otelcol_process_cpu_seconds_total CPU\n# TYPE otelcol_process_cpu_seconds_total counter\n"
            "otelcol_process_cpu_seconds_total{env=\"a,b\",zone=\"z\"} 0\n"
            "# HELP otelcol_process_memory_rss_bytes RSS\n# TYPE otelcol_process_memory_rss_bytes gauge\n"
            "otelcol_process_memory_rss_bytes{env=\"a,b\",zone=\"z\"} 0\n"
            "# HELP otelcol_process_uptime_seconds_total Up\\\\time\\nof it\n"
            "# TYPE otelcol_process_uptime_seconds_total counter\n"
            "otelcol_process_uptime_seconds_total{env=\"a,b\",zone=\"z\"} 0\n"
            "# HELP otelcol_receiver_accepted_spans_total Spans taken. [Alpha]\n"
            "# TYPE otelcol_receiver_accepted_spans_total counter\n"
            "otelcol_receiver_accepted_spans_total{env=\"a,b\",receiver=\"otlp\",zone=\"z\"} 1\n"
            "# HELP target_info Target\n# TYPE target_info gauge\ntarget_info{service_name=\"x\"} 1\n");
    metric_set_free(&m);
}
END_TEST

START_TEST(scope_labels_on_request)
{
    struct metric_set *m = metric_set_new();
    struct metric_style s = {true, true, false, METRIC_BASIC, NULL};

    metric_series(m, &rss, NULL, 0);
    page_is(&s, &m, 1,
            "# HELP otelcol_process_memory_rss RSS\n# TYPE otelcol_process_memory_rss gauge\n"
            "otelcol_process_memory_rss{otel_scope_name=\"tailrace\",otel_scope_schema_url=\"\","
            "otel_scope_version=\"" TAILRACE_VERSION "\"} 0\n");
    metric_set_free(&m);
}
END_TEST

START_TEST(snapshot_outlives_its_set)
{
    struct metric_set *m = metric_set_new();
    struct metric_snapshot *s;
    struct buf b = {0};

    series_add(labelled(m, &accepted, "otlp"), 3);
    s = metric_snapshot_take(m);
    metric_set_free(&m);
    metric_render(&b, &plain, &s, 1);
    buf_putc(&b, '\0');
    ck_assert_ptr_nonnull(strstr((char *)b.p, "{receiver=\"otlp\",transport=\"grpc\"} 3\n"));
    buf_free(&b);
    metric_snapshot_free(&s);
    ck_assert_ptr_null(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("platform metric");
    TCase *t = tcase_create("metric");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, page_sums_workers_and_sorts);
    tcase_add_test(t, histograms_add_up);
    tcase_add_test(t, flags_change_the_spelling);
    tcase_add_test(t, scope_labels_on_request);
    tcase_add_test(t, snapshot_outlives_its_set);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
