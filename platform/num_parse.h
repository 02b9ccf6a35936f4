/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from text, by Go's rules, which are the Collector's. Any thread. */
#ifndef TAILRACE_PLATFORM_NUM_PARSE_H
#define TAILRACE_PLATFORM_NUM_PARSE_H

#include "platform/buf.h"

/* "12", "+3", "-4": base 10, nothing else. False on anything else and on overflow. */
bool parse_int(struct slice s, int64_t *v) MUST_USE;
/* Go's floating-point literals, with underscores between digits, inf and nan. False on anything
 * else and on overflow. */
bool parse_double(struct slice s, double *v) MUST_USE;

#endif
