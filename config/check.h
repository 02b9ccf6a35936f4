/* SPDX-License-Identifier: Apache-2.0 */
/* What a component's check() reports to (component/key.h): finds the place of a key in the file. */
#ifndef TAILRACE_CONFIG_CHECK_H
#define TAILRACE_CONFIG_CHECK_H

#include "component/key.h"
#include "config/diag.h"
#include "config/node.h"

struct check {
    struct diags *diags;
    const struct node *root; /* the component's settings; NULL: none were given */
    struct pos at;           /* of the component's id */
    const char *prefix;      /* "processors.tail_sampling" */
    const struct key *keys;
    bool written_only; /* some keys could not be decoded: what is said about keys that were not
                          written may come from that, and is left out */
};

/* Where "a.b[2].c" stands below the check's root: the value, else the nearest part that was
 * written. */
struct pos check_place(const struct check *c, const char *path);

#endif
