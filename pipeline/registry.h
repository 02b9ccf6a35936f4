/* SPDX-License-Identifier: Apache-2.0 */
/* The one array of component types. A new component is one line in registry.c. Any thread. */
#ifndef TAILRACE_PIPELINE_REGISTRY_H
#define TAILRACE_PIPELINE_REGISTRY_H

#include "component/component.h"

extern const struct component_type *const registry[];
extern const size_t registry_len;

/* The type of this kind and name (or old name; *was_old tells); NULL: none. */
const struct component_type *registry_find(enum component_kind kind, const char *name, bool *was_old);
const char *component_kind_name(enum component_kind kind); /* "receiver" */
const char *component_kind_section(enum component_kind kind); /* "receivers" */

#endif
