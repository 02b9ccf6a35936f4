/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute values from one type to another, by the Collector's rules. */
#ifndef TAILRACE_PROCESSORS_ATTRIBUTES_CONVERT_H
#define TAILRACE_PROCESSORS_ATTRIBUTES_CONVERT_H

#include "platform/num_parse.h"
#include "model/attr_map.h"

enum convert_to { CONVERT_INT, CONVERT_DOUBLE, CONVERT_STRING };

bool convert_to_of(const char *name, enum convert_to *to) MUST_USE;

/* True when the value changes: *out is the new AnyValue body, in m's scratch. */
bool convert_value(struct attr_map *m, struct slice value, enum convert_to to, struct slice *out) MUST_USE;

#endif
