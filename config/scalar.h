/* SPDX-License-Identifier: Apache-2.0 */
/* What a YAML scalar means (the Collector's parser: YAML 1.2, with 0b/0o/leading-zero integers and
 * `_` in numbers), and Go's durations. Pure; any thread. */
#ifndef TAILRACE_CONFIG_SCALAR_H
#define TAILRACE_CONFIG_SCALAR_H

#include "config/node.h"
#include "platform/buf.h"

/* Sets n->type and its value from n->text, which was written without quotes. */
void scalar_resolve(struct node *n);

/* Go's ParseDuration. 0, or -1 with *why: "a unit is missing" and the like. */
int duration_parse(const char *text, int64_t *ns, const char **why);
/* Go's spelling: "1m30s", "200ms", "0s". */
void duration_print(struct buf *out, int64_t ns);

#endif
