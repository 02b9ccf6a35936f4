/* SPDX-License-Identifier: Apache-2.0 */
/* Names of contexts and of what is in them. */
#ifndef TAILRACE_OTTL_PATH_H
#define TAILRACE_OTTL_PATH_H

#include "ottl/ast.h"
#include "ottl/ottl.h"

const char *context_name(enum ottl_context c);
/* Does the path begin with a context's name? */
bool path_prefix(const struct ast *path, enum ottl_context *context);

/* A member of a W3C tracestate: nil when the whole cannot be read, "" when it is not there. */
struct ottl_value trace_state_get(struct slice trace_state, struct slice key);

#endif
