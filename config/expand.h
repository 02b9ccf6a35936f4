/* SPDX-License-Identifier: Apache-2.0 */
/* ${...} in values. One thread. */
#ifndef TAILRACE_CONFIG_EXPAND_H
#define TAILRACE_CONFIG_EXPAND_H

#include "config/diag.h"
#include "config/node.h"

/* The tree with every ${...} replaced and $$ made $. Parts that fail become NODE_BAD and stand in
 * d. */
const struct node *expand_tree(struct arena *a, const struct node *root, struct diags *d);

#endif
