/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text to nodes. The only place that sees libyaml. One thread per call. */
#ifndef TAILRACE_CONFIG_YAML_H
#define TAILRACE_CONFIG_YAML_H

#include "config/diag.h"
#include "config/node.h"
#include "platform/buf.h"

#define YAML_MAX_BYTES (16u << 20)

/*
 * The first document of the text; an empty text is a null. NULL after an error, which stands in d
 * (d NULL: the caller only wants to know whether it parses).
 *
 * place: where the nodes say they are. fixed: all of them exactly there (the text is a value from
 * elsewhere); else at their lines and columns in place->file.
 */
const struct node *yaml_parse(struct arena *a, const struct pos *place, bool fixed,
                              struct slice text, struct diags *d) MUST_USE;

#endif
