/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter types, for the registry only. */
#ifndef TAILRACE_EXPORTERS_EXPORTERS_H
#define TAILRACE_EXPORTERS_EXPORTERS_H

#include "component/component.h"

extern const struct component_type otlp_grpc_exporter_type;
extern const struct component_type otlp_http_exporter_type;
extern const struct component_type debug_exporter_type;
extern const struct component_type file_exporter_type;
extern const struct component_type nop_exporter_type;

#endif
