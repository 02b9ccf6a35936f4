/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: ids, references, the graph, service.telemetry, memory limits, warnings. */
#include <check.h>
#include <stdlib.h>

#include "tests/lib/test_config.h"

#define TELEMETRY "  telemetry: {metrics: {level: none}}\n"
#define ENDS      "receivers: {probe: }\nexporters: {sink: }\n"
#define PIPE                                                                                       \
    "service:\n" TELEMETRY "  pipelines:\n    traces: {receivers: [probe], exporters: [sink]}\n"

static void says(struct loaded *l, const char *text)
{
    ck_assert_msg(strstr(l->text, text) != NULL, "missing: %s\nin:\n%s", text, l->text);
}

/* ---- the good case ---- */

START_TEST(test_plan)
{
    struct loaded l =
        load_text("receivers: {probe: , ' probe / b ': {size: 5}}\n"
                  "processors: {batch: , probe: }\n"
                  "exporters: {sink: , probe_grpc/x/y: }\n"
                  "connectors: {link: }\n"
                  "extensions: {watch: }\n"
                  "service:\n" TELEMETRY "  extensions: [watch]\n"
                  "  pipelines:\n"
                  "    traces: {receivers: [probe, probe/b], processors: [probe, batch], "
                  "exporters: [link, sink]}\n"
                  "    traces/two: {receivers: [link], exporters: [probe_grpc/x/y]}\n");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(l.text, "");
    const struct plan *p = l.plan;
    ck_assert_uint_eq(p->n_components, 8);
    ck_assert_uint_eq(p->n_pipelines, 2);
    ck_assert_str_eq(p->pipelines[0].id, "traces");
    ck_assert_uint_eq(p->pipelines[0].n_receivers, 2);
    ck_assert_str_eq(p->pipelines[0].receivers[1]->id, "probe/b");
    ck_assert_uint_eq(((const struct probe *)p->pipelines[0].receivers[1]->settings)->size, 5);
    ck_assert_uint_eq(p->pipelines[0].n_processors, 2);
    ck_assert_str_eq(p->pipelines[0].processors[1]->type->name, "batch");
    ck_assert_int_eq(p->pipelines[0].exporters[0]->type->kind, CONNECTOR);
    ck_assert_ptr_eq(p->pipelines[0].exporters[0], p->pipelines[1].receivers[0]);
    ck_assert_str_eq(p->pipelines[1].exporters[0]->id, "probe_grpc/x/y");
    ck_assert_uint_eq(p->n_extensions, 1);
    for (size_t i = 0; i < p->n_components; i++)
        ck_assert(p->components[i].used);
    loaded_free(&l);
}
END_TEST

/* Extensions named by settings are found, whatever the spelling, and only those of used components are
 * looked for. */
START_TEST(test_references)
{
    struct loaded l =
        load_text("receivers: {probe: {storage: }}\n"
                  "exporters: {sink: {storage: ' disk / a '}, sink/unused: {storage: nowhere}}\n"
                  "extensions: {watch: , disk/a: }\n"
                  "service:\n" TELEMETRY "  extensions: [watch, disk/a]\n"
                  "  pipelines:\n    traces: {receivers: [probe], exporters: [sink]}\n");
    const struct plan_component *sink;

    ck_assert_msg(l.plan != NULL, "%s", l.text);
    sink = l.plan->pipelines[0].exporters[0];
    ck_assert_str_eq(((const struct probe *)sink->settings)->storage, "disk/a");
    ck_assert_uint_eq(sink->n_uses, 1);
    ck_assert_ptr_eq(sink->uses[0], l.plan->extensions[1]);
    ck_assert_ptr_null(((const struct probe *)l.plan->pipelines[0].receivers[0]->settings)->storage);
    ck_assert_uint_eq(l.plan->pipelines[0].receivers[0]->n_uses, 0);
    loaded_free(&l);
}
END_TEST

/* What others name comes first, whatever the order in service.extensions. */
START_TEST(test_order_of_extensions)
{
    struct loaded l = load_text(ENDS "extensions: {disk/a: {storage: disk/c}, disk/b: , disk/c: {storage: disk/b}}\n" PIPE
                                     "  extensions: [disk/a, disk/b, disk/c]\n");

    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(l.plan->extensions[0]->id, "disk/b");
    ck_assert_str_eq(l.plan->extensions[1]->id, "disk/c");
    ck_assert_str_eq(l.plan->extensions[2]->id, "disk/a");
    loaded_free(&l);
}
END_TEST

START_TEST(test_old_type_name)
{
    struct loaded l =
        load_text("receivers: {probe: }\nexporters: {probe/eu: }\n"
                  "service:\n" TELEMETRY
                  "  pipelines:\n    traces: {receivers: [probe], exporters: [probe/eu]}\n");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(l.plan->pipelines[0].exporters[0]->id, "probe/eu");
    ck_assert_str_eq(l.plan->pipelines[0].exporters[0]->type->name, "probe_grpc");
    says(&l, "yaml::2:13: warning: exporters.probe/eu: \"probe\" alias is deprecated; use "
             "\"probe_grpc\" instead\n");
    loaded_free(&l);
}
END_TEST

/* ---- what is refused, each alone ---- */

static const struct {
    const char *yaml, *said;
} errors[] = {
    {ENDS "processors: {/x: }\n" PIPE,
     "3:14: processors./x: \"/x\" is not an id: the part before the / must not be empty\n"},
    {ENDS "processors: {probe/: }\n" PIPE, "the part after the / must not be empty\n"},
    {ENDS "processors: {'': }\n" PIPE, "an id must not be empty\n"},
    {ENDS "processors: {a-b: }\n" PIPE, "invalid character in the type"},
    {ENDS "processors: {1a: }\n" PIPE, "invalid character in the type"},
    {ENDS "processors: {probe/a b: }\n" PIPE, "invalid character in the name"},
    {ENDS "processors: {probe/a+b: }\n" PIPE, "invalid character in the name"},
    {ENDS "processors: {\"probe/\\u20ac\": }\n" PIPE, "invalid character in the name"},
    {ENDS "processors: {probe/a: , 'probe / a': }\n" PIPE,
     "3:25: processors.probe / a: the id \"probe/a\" is given twice (spaces do not count)\n"},
    {ENDS "processors: {probee: }\n" PIPE,
     "3:14: processors.probee: unknown type \"probee\", did you mean \"probe\"?\n"
     "  processors here: probe, batch, tail_sampling, memory_limiter\n"},
    {ENDS "processors: {sink: }\n" PIPE,
     "processors.sink: \"sink\" is not a processor but an exporter: it belongs under exporters\n"},
    {"receivers: {probe: }\nexporters: {sink: , logging: }\n" PIPE,
     "2:21: exporters.logging: unknown type \"logging\": the logging exporter is gone "
     "from the Collector too: use debug\n"},
    {"receivers: {probe: }\nexporters: {sink: , zzzz: }\n" PIPE,
     "exporters.zzzz: unknown type \"zzzz\"\n  exporters here: probe_grpc, sink\n"},
    {ENDS "processors: {probe: 5}\n" PIPE,
     "3:21: processors.probe: expected a map of settings, this is an integer\n"},
    {ENDS "processors: []\n" PIPE, "3:13: processors: expected a map of ids, this is a list\n"},
    {ENDS "x-anchors: 5\n" PIPE, "3:1: x-anchors: unknown key\n  at the top stand receivers,"},
    {ENDS "procesors: {}\n" PIPE, "3:1: procesors: unknown key, did you mean \"processors\"?\n"},
    {ENDS "pipelines: {}\n" PIPE, "3:1: pipelines: unknown key here: it belongs under service\n"},
    {"exporters: {sink: }\nservice:\n" TELEMETRY
     "  pipelines: {traces: {receivers: [], exporters: [sink]}}\n",
     "4:15: service.pipelines.traces: the pipeline must have at least one receiver\n"},
    {"receivers: {probe: }\nservice:\n" TELEMETRY "  pipelines: {traces: {receivers: [probe]}}\n",
     "exporters: there must be at least one exporter\n"},
    {ENDS, "service.pipelines: there must be at least one pipeline\n"},
    {ENDS "service: {pipelines: }\n",
     "3:11: service.pipelines: there must be at least one pipeline\n"},
    {ENDS "service: {pipelines: 5}\n",
     "3:22: service.pipelines: expected a map of pipelines, this is an integer\n"},
    {ENDS "service: 5\n", "3:10: service: expected a map, this is an integer\n"},
    {ENDS PIPE "  telemtry: {}\n",
     "7:3: service.telemtry: unknown key, did you mean \"telemetry\"?\n"},
    {ENDS PIPE "    traces/b: \n",
     "7:5: service.pipelines.traces/b: the pipeline must have at least one receiver\n"},
    {ENDS PIPE "    traces/b: 5\n", "7:15: service.pipelines.traces/b: expected a map of "
                                    "receivers, processors and exporters, this is an integer\n"},
    {ENDS PIPE "    traces/b: {receiver: [probe], receivers: [probe], exporters: [sink]}\n",
     "7:16: service.pipelines.traces/b.receiver: unknown key, did you mean \"receivers\"?\n"},
    {ENDS PIPE "    traces/b: {receivers: probe, exporters: [sink]}\n",
     "7:27: service.pipelines.traces/b.receivers: expected a list of ids, this is a string\n  "
     "write [a, b], or one \"- a\" a line\n"},
    {ENDS PIPE "    traces/b: {receivers: [5], exporters: [sink]}\n",
     "7:28: service.pipelines.traces/b.receivers: expected an id, this is an integer\n"},
    {ENDS PIPE "    traces/b: {receivers: [prob], exporters: [sink]}\n",
     "7:28: service.pipelines.traces/b.receivers: receiver \"prob\" is not configured, did you "
     "mean \"probe\"?\n"},
    {ENDS PIPE "    traces/b: {receivers: [probe], exporters: [sink], processors: [nothing]}\n",
     "processor \"nothing\" is not configured\n  it would be an entry of processors:\n"},
    {ENDS PIPE "    traces/b: {receivers: [sink], exporters: [sink]}\n",
     "\"sink\" is not a receiver but an exporter\n"},
    {ENDS PIPE "    ' traces ': {receivers: [probe], exporters: [sink]}\n",
     "7:5: service.pipelines. traces : the id \"traces\" is given twice"},
    {ENDS "processors: {probe: }\n" PIPE
          "    traces/b: {receivers: [probe], processors: [probe, probe], exporters: [sink]}\n",
     "8:56: service.pipelines.traces/b.processors: \"probe\" stands here twice\n"},
    {ENDS PIPE "    metrics: {receivers: [probe], exporters: [sink]}\n",
     "7:5: service.pipelines.metrics: tailrace handles traces only, not metrics\n  remove this "
     "pipeline and what only it uses, and keep a Collector for it\n"},
    {ENDS PIPE "    logs/a: {receivers: [probe], exporters: [sink]}\n",
     "tailrace handles traces only, not logs\n"},
    {ENDS PIPE "    profiles: {receivers: [probe], exporters: [sink]}\n",
     "tailrace handles traces only, not profiles\n"},
    {ENDS PIPE "    spans: {receivers: [probe], exporters: [sink]}\n",
     "\"spans\" is not a signal\n"},
    {ENDS PIPE "    traces/: {receivers: [probe], exporters: [sink]}\n",
     "\"traces/\" is not an id"},
    {"receivers: {probe: }\nexporters: {sink: {storage: dsk}}\nextensions: {disk: , watch: }\n" PIPE
     "  extensions: [disk, watch]\n",
     "2:29: exporters.sink.storage: extension \"dsk\" is not configured, did you mean \"disk\"?\n"},
    {"receivers: {probe: }\nexporters: {sink: {storage: disk}}\nextensions: {disk: }\n" PIPE,
     "2:29: exporters.sink.storage: extension \"disk\" is configured but does not run: add it to "
     "service.extensions\n"},
    {"receivers: {probe: }\nexporters: {sink: {storage: watch}}\nextensions: {watch: }\n" PIPE
     "  extensions: [watch]\n",
     "2:29: exporters.sink.storage: extension \"watch\" does not provide storage\n"
     "  storage is provided by: disk\n"},
    {"receivers: {probe: }\nexporters: {sink: {storage: disk/x}}\nextensions: {disk/x: {flag: false}}\n" PIPE
     "  extensions: [disk/x]\n",
     "2:29: exporters.sink.storage: extension \"disk/x\" does not provide storage with these settings\n"},
    {"receivers: {probe: }\nexporters: {sink: {storage: probe}}\n" PIPE,
     "2:29: exporters.sink.storage: \"probe\" is not an extension but a receiver\n"},
    {"receivers: {probe: }\nexporters: {sink: {storage: 'a b'}}\n" PIPE,
     "2:29: exporters.sink.storage: \"a b\" is not an id: invalid character"},
    {"receivers: {probe: }\nexporters: {sink: {storage: [disk]}}\n" PIPE,
     "2:29: exporters.sink.storage: expected the id of an extension, this is a list\n"},
    {ENDS "extensions: {disk/a: {storage: disk/b}, disk/b: {storage: disk/a}}\n" PIPE "  extensions: [disk/a, disk/b]\n",
     "3:14: extensions.disk/a: extension \"disk/a\" needs itself, by way of the extensions it names\n"},
    {ENDS PIPE "  extensions: [watch]\n",
     "7:16: service.extensions: extension \"watch\" is not configured\n"},
    {ENDS "connectors: {link: }\n" PIPE "    traces/b: {receivers: [probe], exporters: [link]}\n",
     "8:48: connectors.link: used as an exporter, but no pipeline has it as a receiver\n"},
    {ENDS "connectors: {link: }\n" PIPE "    traces/b: {receivers: [link], exporters: [sink]}\n",
     "8:28: connectors.link: used as a receiver, but no pipeline has it as an exporter\n"},
    {ENDS "connectors: {link: }\n" PIPE "    traces/b: {receivers: [link], exporters: [link]}\n",
     "8:5: service.pipelines.traces/b: the pipelines form a circle: traces/b -> traces/b\n"},
    {ENDS "connectors: {link/1: , link/2: }\n" PIPE
          "    traces/b: {receivers: [link/1], exporters: [link/2]}\n    traces/c: {receivers: "
          "[link/2], exporters: [link/1]}\n",
     "the pipelines form a circle: traces/b -> traces/c -> traces/b\n"},
    {ENDS PIPE "  telemetry/x: 5\n", "unknown key"},
};

START_TEST(test_error)
{
    struct loaded l = load_text(errors[_i].yaml);
    ck_assert_msg(!l.plan, "accepted: %s", errors[_i].yaml);
    says(&l, errors[_i].said);
    loaded_free(&l);
}
END_TEST

START_TEST(test_a_wrong_component_is_told_once)
{
    struct loaded l =
        load_text("receivers: {prob: }\nexporters: {sink: }\n"
                  "service:\n" TELEMETRY
                  "  pipelines:\n    traces: {receivers: [prob], exporters: [sink]}\n");
    ck_assert_uint_eq(l.n_errors, 1);
    says(&l, "unknown type \"prob\", did you mean \"probe\"?");
    loaded_free(&l);
}
END_TEST

START_TEST(test_connector_with_the_id_of_a_receiver)
{
    struct loaded l = load_text(
        "receivers: {probe: }\nexporters: {sink/a: }\nconnectors: {link: }\nextensions: \n"
        "service:\n" TELEMETRY
        "  pipelines:\n    traces: {receivers: [probe], exporters: [sink/a, link]}\n"
        "    traces/b: {receivers: [link], exporters: [sink/a]}\n");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    loaded_free(&l);
}
END_TEST

/* ---- warnings ---- */

static const struct {
    const char *yaml, *said;
} warnings[] = {
    {ENDS "processors: {probe: }\n" PIPE,
     "3:14: warning: processors.probe: no pipeline uses this processor\n"},
    {ENDS "extensions: {watch: }\n" PIPE,
     "3:14: warning: extensions.watch: no entry of service.extensions uses this extension\n"},
    {ENDS PIPE "    traces/b: {receivers: [probe, probe], exporters: [sink]}\n",
     "warning: service.pipelines.traces/b.receivers: \"probe\" stands here twice\n"},
    {ENDS
     "processors: {probe: , memory_limiter: }\n" PIPE
     "    traces/b: {receivers: [probe], processors: [probe, memory_limiter], exporters: [sink]}\n",
     "8:56: warning: service.pipelines.traces/b.processors: memory_limiter should be the first "
     "processor"},
    {ENDS
     "processors: {batch: , tail_sampling: }\n" PIPE
     "    traces/b: {receivers: [probe], processors: [batch, tail_sampling], exporters: [sink]}\n",
     "8:49: warning: service.pipelines.traces/b.processors: batch stands before tail_sampling"},
    {"receivers: {probe: {plain: {endpoint: '0.0.0.0:4317'}}}\nexporters: {sink: }\n" PIPE,
     "1:39: warning: receivers.probe.plain.endpoint: 0.0.0.0:4317 listens on every interface of "
     "the machine"},
    {"receivers: {probe: {lazy: {endpoint: '[::]:4317'}}}\nexporters: {sink: }\n" PIPE,
     "warning: receivers.probe.lazy.endpoint: [::]:4317 listens"},
    {"receivers: {probe: {on: {endpoint: ':4317'}}}\nexporters: {sink: }\n" PIPE,
     "warning: receivers.probe.on.endpoint: :4317 listens"},
};

START_TEST(test_warning)
{
    struct loaded l = load_text(warnings[_i].yaml);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_uint_eq(l.n_warnings, 1);
    says(&l, warnings[_i].said);
    loaded_free(&l);
}
END_TEST

static const char *const silent[] = {
    ENDS PIPE,
    ENDS "processors: {memory_limiter: , tail_sampling: , batch: }\n"
         "service:\n" TELEMETRY "  pipelines:\n    traces: {receivers: [probe], processors: "
                                "[memory_limiter, tail_sampling, batch], exporters: [sink]}\n",
    "receivers: {probe: {lazy: {enabled: false, endpoint: '0.0.0.0:1'}}}\nexporters: {sink: "
    "{plain: {endpoint: '0.0.0.0:1'}}}\n" PIPE,
    ENDS "connectors:\nextensions: {}\nprocessors: ~\n" PIPE,
};

START_TEST(test_silent)
{
    struct loaded l = load_text(silent[_i]);
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(l.text, "");
    loaded_free(&l);
}
END_TEST

/* ---- memory ---- */

START_TEST(test_memory_without_limiter)
{
    struct loaded l = load_text(ENDS PIPE);
    ck_assert(!l.plan->memory_from_limiter);
    ck_assert_uint_eq(l.plan->memory_soft_bytes, (1000ull << 20) / 100 * 70);
    ck_assert_uint_eq(l.plan->memory_limit_bytes, (1000ull << 20) / 100 * 80);
    loaded_free(&l);
}
END_TEST

START_TEST(test_memory_from_the_tightest_used_limiter)
{
    struct loaded l = load_text(
        ENDS
        "processors: {memory_limiter: {size: 64}, memory_limiter/b: {size: 32}, memory_limiter/c: "
        "{size: 8}}\n"
        "service:\n" TELEMETRY "  pipelines:\n"
        "    traces: {receivers: [probe], processors: [memory_limiter], exporters: [sink]}\n"
        "    traces/b: {receivers: [probe], processors: [memory_limiter/b], exporters: [sink]}\n");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert(l.plan->memory_from_limiter);
    ck_assert_uint_eq(l.plan->memory_soft_bytes, 16 << 20);
    ck_assert_uint_eq(l.plan->memory_limit_bytes, 32 << 20);
    loaded_free(&l);
}
END_TEST

/* ---- service.telemetry ---- */

static struct loaded load_telemetry_text(const char *telemetry)
{
    char *yaml = mem_printf("receivers: {probe: }\nexporters: {sink: }\nservice:\n  pipelines: "
                            "{traces: {receivers: [probe], exporters: [sink]}}\n"
                            "  telemetry:\n%s\n",
                            telemetry);
    struct loaded l = load_text(yaml);
    free(yaml);
    return l;
}

static const char *resource(const struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_resource; i++)
        if (strcmp(p->resource[i].name, name) == 0)
            return p->resource[i].value;
    return NULL;
}

START_TEST(test_telemetry_defaults)
{
    struct loaded l = load_telemetry_text("");
    const struct plan *p = l.plan;
    ck_assert_msg(p != NULL, "%s", l.text);
    ck_assert_int_eq(p->log.level, LOG_INFO);
    ck_assert(!p->log.json);
    ck_assert(p->log.sampling);
    ck_assert_uint_eq(p->log.sampling_tick_ms, 10000);
    ck_assert_uint_eq(p->log.sampling_initial, 10);
    ck_assert_uint_eq(p->log.sampling_thereafter, 100);
    ck_assert_uint_eq(p->log.n_output_paths, 1);
    ck_assert_str_eq(p->log.output_paths[0], "stderr");
    ck_assert_str_eq(p->log.service_name, "tailrace");
    ck_assert_uint_eq(strlen(p->log.service_instance_id), 36);
    ck_assert_int_eq(p->metrics_level, METRIC_NORMAL);
    ck_assert_uint_eq(p->n_readers, 1);
    ck_assert_str_eq(p->readers[0].host, "localhost");
    ck_assert_uint_eq(p->readers[0].port, 8888);
    ck_assert(p->readers[0].style.without_units && p->readers[0].style.without_type_suffix &&
              p->readers[0].style.without_scope_info);
    ck_assert(!p->resource_labels);
    loaded_free(&l);
}
END_TEST

START_TEST(test_telemetry_logs)
{
    struct loaded l =
        load_telemetry_text("    logs: {level: WARN, encoding: json, disable_caller: true, "
                            "disable_stacktrace: true, development: true,\n"
                            "      sampling: {enabled: false}, output_paths: [stdout, /x], "
                            "error_output_paths: [stderr],\n"
                            "      initial_fields: {a: b, n: 5}, disable_zap_resource: true}");
    const struct plan *p = l.plan;
    ck_assert_msg(p != NULL, "%s", l.text);
    ck_assert_str_eq(l.text, "");
    ck_assert_int_eq(p->log.level, LOG_WARN);
    ck_assert(p->log.json);
    ck_assert(p->log.disable_caller);
    ck_assert(!p->log.sampling);
    ck_assert_str_eq(p->log.output_paths[1], "/x");
    ck_assert_uint_eq(p->log.n_initial, 2);
    ck_assert_str_eq(p->log.initial_keys[1], "n");
    ck_assert_str_eq(p->log.initial_values[1], "5");
    ck_assert(p->log.disable_resource);
    loaded_free(&l);
}
END_TEST

START_TEST(test_telemetry_readers)
{
    struct loaded l = load_telemetry_text(
        "    resource: {service.name: x, team: \"a\\\"b\"}\n"
        "    metrics:\n      level: Detailed\n      readers:\n"
        "      - pull: {exporter: {prometheus: {host: '[::1]', port: 9, without_units: false,\n"
        "          with_resource_constant_labels: {included: [service.n*, team], excluded: []}}}}\n"
        "      - pull: {exporter: {prometheus: {host: 127.0.0.1, port: 10}}}\n");
    const struct plan *p = l.plan;
    ck_assert_msg(p != NULL, "%s", l.text);
    ck_assert_int_eq(p->metrics_level, METRIC_DETAILED);
    ck_assert_uint_eq(p->n_readers, 2);
    ck_assert_str_eq(p->readers[0].host, "::1");
    ck_assert(!p->readers[0].style.without_units);
    ck_assert(p->readers[0].style.without_type_suffix);
    ck_assert_str_eq(p->readers[0].style.constant_labels, "service_name=\"x\",team=\"a\\\"b\"");
    ck_assert(p->resource_labels);
    ck_assert_uint_eq(p->readers[1].port, 10);
    ck_assert_ptr_null(p->readers[1].style.constant_labels);
    loaded_free(&l);
}
END_TEST

START_TEST(test_telemetry_resource)
{
    struct loaded l =
        load_telemetry_text("    resource: {service.name: y, service.version: ~, extra: z}");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(resource(l.plan, "service.name"), "y");
    ck_assert_ptr_null(resource(l.plan, "service.version"));
    ck_assert_str_eq(resource(l.plan, "extra"), "z");
    ck_assert_ptr_nonnull(resource(l.plan, "service.instance.id"));
    loaded_free(&l);
    l = load_telemetry_text(
        "    resource: {schema_url: x, attributes: [{name: service.name, value: q}]}");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    ck_assert_str_eq(resource(l.plan, "service.name"), "q");
    loaded_free(&l);
}
END_TEST

START_TEST(test_telemetry_old_address)
{
    struct loaded l = load_telemetry_text("    metrics: {address: '0.0.0.0:8889'}");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    says(&l,
         "6:24: warning: service.telemetry.metrics.address: this key is gone from the Collector");
    says(&l, "6:24: warning: service.telemetry.metrics.address: the metrics page is open on every "
             "interface");
    ck_assert_uint_eq(l.plan->n_readers, 1);
    ck_assert_str_eq(l.plan->readers[0].host, "0.0.0.0");
    ck_assert_uint_eq(l.plan->readers[0].port, 8889);
    loaded_free(&l);
    l = load_telemetry_text("    metrics: {address: '8889'}");
    says(&l, "6:24: service.telemetry.metrics.address: \"8889\" is not HOST:PORT\n");
    ck_assert_ptr_null(l.plan);
    loaded_free(&l);
}
END_TEST

START_TEST(test_telemetry_without_effect)
{
    struct loaded l = load_telemetry_text(
        "    traces: {processors: [{batch: {}}]}\n"
        "    logs: {processors: [{batch: {}}]}\n"
        "    metrics: {level: detailed, views: [], readers: [{periodic: {exporter: {otlp: {}}}}]}");
    ck_assert_msg(l.plan != NULL, "%s", l.text);
    says(&l, "6:26: warning: service.telemetry.traces.processors: accepted, but it has no effect "
             "here\n");
    says(&l, "warning: service.telemetry.logs.processors: accepted, but it has no effect here\n");
    says(&l, "warning: service.telemetry.metrics.views: accepted, but it has no effect here\n");
    says(&l, "warning: service.telemetry.metrics.readers[0].periodic: accepted, but it has no "
             "effect here\n");
    ck_assert_uint_eq(l.plan->n_readers, 0);
    loaded_free(&l);
    l = load_telemetry_text("    traces: {level: none}\n    metrics: {level: none, readers: []}");
    ck_assert_str_eq(l.text, "");
    ck_assert(l.plan->metrics_off);
    loaded_free(&l);
}
END_TEST

static const struct {
    const char *telemetry, *said;
} telemetry_errors[] = {
    {"    logs: {level: loud}", "6:19: service.telemetry.logs.level: \"loud\" is not a choice\n"},
    {"    logs: {encoding: xml}",
     "6:22: service.telemetry.logs.encoding: \"xml\" is not a choice\n"},
    {"    logs: {levle: x}",
     "6:12: service.telemetry.logs.levle: unknown key, did you mean \"level\"?\n"},
    {"    metrics: {level: high}",
     "6:22: service.telemetry.metrics.level: \"high\" is not a choice\n"},
    {"    metrics: {readers: []}", "6:15: service.telemetry.metrics.readers: there is no reader: "
                                   "say level: none when no metrics are wanted\n"},
    {"    metrics: {readers: [{}]}",
     "6:25: service.telemetry.metrics.readers[0]: a reader has pull.exporter.prometheus"},
    {"    metrics: {readers: [{pull: {exporter: {prometheus: {port: 5}}}}]}",
     "prometheus.host: this key is required\n"},
    {"    metrics: {readers: [{pull: {exporter: {prometheus: {host: a}}}}]}",
     "prometheus.port: this key is required\n"},
    {"    metrics: {readers: [{pull: {exporter: {prometheus: {host: a, port: '5'}}}}]}",
     "prometheus.port: expected an integer, \"5\" is a string\n"},
    {"    metrics: {readers: [{pull: {exporter: {prometheus: {host: a, port: 65536}}}}]}",
     "prometheus.port: 65536 is out of range: 0 to 65535\n"},
    {"    metrics: {readers: [{pull: {exporter: {prometheus: {host: '', port: 5}}}}]}",
     "6:63: service.telemetry.metrics.readers[0].pull.exporter.prometheus.host: the host must not "
     "be empty\n"},
    {"    resource: {a: 5}",
     "6:19: service.telemetry.resource.a: a resource attribute is a string or null\n"},
    {"    resource: [a]", "6:5: service.telemetry.resource: expected a map of attributes\n"},
    {"    resource: {a: b, attributes: [{name: c, value: d}]}",
     "6:22: service.telemetry.resource.attributes: attributes cannot be used together"},
    {"    metrics: {views: []}",
     "6:15: service.telemetry.metrics.views: views can only be set when level is detailed\n"},
    {"    traces: {foo: 5}", "6:14: service.telemetry.traces.foo: unknown key\n"},
    {"    unknown: 5", "6:5: service.telemetry.unknown: unknown key\n"},
};

START_TEST(test_telemetry_error)
{
    struct loaded l = load_telemetry_text(telemetry_errors[_i].telemetry);
    ck_assert_msg(!l.plan, "accepted: %s", telemetry_errors[_i].telemetry);
    says(&l, telemetry_errors[_i].said);
    loaded_free(&l);
}
END_TEST

START_TEST(test_faulty_plan_on_request)
{
    const char *uri = "yaml:" ENDS "processors: {probe: {zz: 5}}\n" PIPE;
    struct load_options o = {.args = {&uri, 1, NULL, 0},
                             .types = probe_types,
                             .n_types = n_probe_types,
                             .keep_faulty = true};
    struct diags *d = diags_new();
    struct plan *p = config_load(&o, d);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(d->n_errors, 1);
    plan_free(&p);
    diags_free(&d);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("load");
    Suite *s = suite_create("config_load");
    suite_add_tcase(s, tc);
    tcase_add_test(tc, test_plan);
    tcase_add_test(tc, test_references);
    tcase_add_test(tc, test_order_of_extensions);
    tcase_add_test(tc, test_old_type_name);
    tcase_add_loop_test(tc, test_error, 0, ARRAY_LEN(errors));
    tcase_add_test(tc, test_a_wrong_component_is_told_once);
    tcase_add_test(tc, test_connector_with_the_id_of_a_receiver);
    tcase_add_loop_test(tc, test_warning, 0, ARRAY_LEN(warnings));
    tcase_add_loop_test(tc, test_silent, 0, ARRAY_LEN(silent));
    tcase_add_test(tc, test_memory_without_limiter);
    tcase_add_test(tc, test_memory_from_the_tightest_used_limiter);
    tcase_add_test(tc, test_telemetry_defaults);
    tcase_add_test(tc, test_telemetry_logs);
    tcase_add_test(tc, test_telemetry_readers);
    tcase_add_test(tc, test_telemetry_resource);
    tcase_add_test(tc, test_telemetry_old_address);
    tcase_add_test(tc, test_telemetry_without_effect);
    tcase_add_loop_test(tc, test_telemetry_error, 0, ARRAY_LEN(telemetry_errors));
    tcase_add_test(tc, test_faulty_plan_on_request);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
