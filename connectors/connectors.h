/* SPDX-License-Identifier: Apache-2.0 */
/* The connector types, for the registry only. */
#ifndef TAILRACE_CONNECTORS_CONNECTORS_H
#define TAILRACE_CONNECTORS_CONNECTORS_H

#include "component/component.h"

extern const struct component_type forward_connector_type;

#endif
