/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plan: a described daemon. What config/ makes of collector.yaml and pipeline/ turns into a running
 * graph: types, decoded settings, edges. No YAML, nothing running. Immutable once checked; all
 * workers share it; everything in it lives in its arena.
 */
#ifndef TAILRACE_PIPELINE_PLAN_H
#define TAILRACE_PIPELINE_PLAN_H

#include "component/component.h"
#include "platform/log.h"

struct plan_component {
    const struct component_type *type;
    const char *id; /* as written */
    const void *settings;
    bool used; /* named by a pipeline, or by service.extensions */
    const struct plan_component **uses; /* the extensions its settings name */
    size_t n_uses;
};

struct plan_pipeline {
    const char *id; /* "traces", "traces/eu" */
    const struct plan_component **receivers; /* receivers, or connectors that feed this pipeline */
    size_t n_receivers;
    const struct plan_component **processors;
    size_t n_processors;
    const struct plan_component **exporters; /* exporters, or connectors */
    size_t n_exporters;
};

/* One Prometheus endpoint of service.telemetry.metrics. */
struct plan_metrics_reader {
    const char *host;
    uint16_t port;
    struct metric_style style;
};

struct plan {
    struct arena *arena;
    struct plan_component *components; /* all kinds, extensions included, in file order */
    size_t n_components;
    struct plan_pipeline *pipelines;
    size_t n_pipelines;
    const struct plan_component **extensions; /* in service.extensions' order */
    size_t n_extensions;

    struct log_settings log;
    enum metric_level metrics_level;
    bool metrics_off; /* level: none */
    struct plan_metrics_reader *readers;
    size_t n_readers;
    bool resource_labels;      /* with_resource_constant_labels */
    const struct pair *resource; /* service.telemetry.resource, merged with the defaults */
    size_t n_resource;

    const char *instance_id; /* of the process; what `resource` says where the file names none */

    const char **files; /* the configuration was read from */
    size_t n_files;

    const void *telemetry; /* service.telemetry as decoded, for print-config */

    uint64_t memory_soft_bytes, memory_limit_bytes; /* from memory_limiter, or the default share */
    bool memory_from_limiter;
    uint32_t gates; /* component/gates.h: those that are on */
};

void plan_free(struct plan **p);

#endif
