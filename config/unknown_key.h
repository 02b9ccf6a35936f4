/* SPDX-License-Identifier: Apache-2.0 */
/* What to say about a key that no row has. Pure but for the diags. */
#ifndef TAILRACE_CONFIG_UNKNOWN_KEY_H
#define TAILRACE_CONFIG_UNKNOWN_KEY_H

#include "component/key.h"
#include "config/diag.h"

/* keys: the rows of the level where it stands; whole: the component's whole table. */
void unknown_key(struct diags *d, const char *path, struct pos at, const struct key *keys,
                 const struct key *whole, const char *name);

#endif
