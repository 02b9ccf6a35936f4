/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute values from one type to another, by the Collector's rules. */
#ifndef TAILRACE_PROCESSORS_ATTRIBUTES_CONVERT_H
#define TAILRACE_PROCESSORS_ATTRIBUTES_CONVERT_H

#include "processors/attr_map.h"

enum convert_to { CONVERT_INT, CONVERT_DOUBLE, CONVERT_STRING };

bool convert_to_of(const char *name, enum convert_to *to) MUST_USE;

/* True when the value changes: *out is the new AnyValue body, in m's scratch. */
bool convert_value(struct attr_map *m, struct slice value, enum convert_to to, struct slice *out) MUST_USE;

/* "12", "+3", "-4": base 10, nothing else. False on anything else and on overflow. */
bool parse_int(struct slice s, int64_t *v) MUST_USE;
/* Go's floating-point literals, with underscores between digits, inf and nan. False on anything else
 * and on overflow. */
bool parse_double(struct slice s, double *v) MUST_USE;

#endif
