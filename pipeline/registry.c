/* SPDX-License-Identifier: Apache-2.0 */
/* Every component type there is. A new component is its file, its line in its folder's header, and
 * its line here. Threads: any; immutable. Limits: none. */
#include "pipeline/registry.h"

#include <string.h>

#include "connectors/connectors.h"
#include "exporters/exporters.h"
#include "extensions/extensions.h"
#include "processors/processors.h"
#include "receivers/receivers.h"

const struct component_type *const registry[] = {
    &otlp_receiver_type,
    &nop_receiver_type,

    &memory_limiter_type,
    &batch_type,
    &tail_sampling_type,
    &redaction_type,
    &attributes_type,
    &resource_type,
    &probabilistic_sampler_type,
    &span_type,
    &filter_type,
    &transform_type,

    &otlp_grpc_exporter_type,
    &otlp_http_exporter_type,
    &debug_exporter_type,
    &file_exporter_type,
    &nop_exporter_type,

    &forward_connector_type,

    &health_check_extension_type,
    &file_storage_extension_type,
    &basicauth_extension_type,
    &bearertokenauth_extension_type,
    &headers_setter_extension_type,
    &oauth2client_extension_type,
    &zpages_extension_type,
    &pprof_extension_type,
};
const size_t registry_len = ARRAY_LEN(registry);

static const char *const kind_names[COMPONENT_KINDS] = {"receiver", "processor", "exporter",
                                                        "connector", "extension"};
static const char *const kind_sections[COMPONENT_KINDS] = {"receivers", "processors", "exporters",
                                                           "connectors", "extensions"};

const struct component_type *registry_find(enum component_kind kind, const char *name,
                                           bool *was_old)
{
    *was_old = false;
    for (size_t i = 0; i < registry_len; i++) {
        const struct component_type *t = registry[i];

        if (t->kind != kind)
            continue;
        if (strcmp(t->name, name) == 0)
            return t;
        if (t->old_name && strcmp(t->old_name, name) == 0) {
            *was_old = true;
            return t;
        }
    }
    return NULL;
}

const char *component_kind_name(enum component_kind kind)
{
    return kind_names[kind];
}

const char *component_kind_section(enum component_kind kind)
{
    return kind_sections[kind];
}
