/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of loading share (load.c, components.c, pipelines.c, telemetry.c). Private to
 * config/. */
#ifndef TAILRACE_CONFIG_LOADER_H
#define TAILRACE_CONFIG_LOADER_H

#include "config/decode.h"
#include "config/diag.h"
#include "config/ids.h"
#include "config/node.h"
#include "pipeline/plan.h"

/* A component's place in the file; runs parallel to plan->components. */
struct origin {
    struct pos at;                 /* of its id */
    const struct node *node;       /* its settings; may be null */
    bool as_exporter, as_receiver; /* connectors: used on that side */
    struct pos used_at;
};

struct loader {
    struct arena *scratch; /* nodes and texts that live as long as the load */
    struct diags *diags;
    struct plan *plan;
    const struct node *root;
    struct plan_component *components; /* plan->components, still writable */
    struct origin *origins;
    size_t cap_components;
    struct pos service_at; /* of the key `service`, or of nothing */
    const struct component_type *const *types;
    size_t n_types;
    const char *instance_id; /* of the process; NULL: a new one */
};

/* receivers: ... extensions: into plan->components. */
void load_components(struct loader *l);
/* The component of this kind and id; NULL: not configured. */
struct plan_component *loader_find(struct loader *l, enum component_kind kind, const char *id);
const char *kind_with_article(enum component_kind kind); /* "an exporter" */
struct origin *loader_origin(struct loader *l, const struct plan_component *c);
/* After the pipelines are known: listeners in the open; unused components, unless a faulty pipeline
 * may be why. */
void load_warnings(struct loader *l, bool unused);

/* service.extensions and service.pipelines. */
void load_extensions(struct loader *l, const struct node *list);
void load_pipelines(struct loader *l, const struct node *pipelines, struct pos at);

/* No component of this id is there: says so, unless its entry was wrong, with the nearest id. */
void loader_not_configured(struct loader *l, struct pos at, const char *path, enum component_kind kind,
                           enum component_kind or_kind, const char *id);
/* What the settings of components that are used say about extensions; fills in plan_component.uses. */
void load_references(struct loader *l);

/* service.telemetry. */
void load_telemetry(struct loader *l, const struct node *n, struct pos at);

#endif
