/* SPDX-License-Identifier: Apache-2.0 */
/* What decode.c (tables, sections, lists of structs) and decode_values.c (single values) share. */
#ifndef TAILRACE_CONFIG_DECODE_PRIV_H
#define TAILRACE_CONFIG_DECODE_PRIV_H

#include "config/decode.h"

/* One value on its way into one field. */
struct slot {
    const struct decoder *d;
    const struct path *path;
    const struct key *key;
    const struct node *n;
    void *field;
    bool is_default; /* n comes from the row itself */
};

/* Says it at n, with the path of the slot and the line that describes the key. */
void slot_complain(const struct slot *s, enum severity severity, const struct node *n,
                   const char *fmt, ...) PRINTF_LIKE(4, 5);
/* "expected WANTED, this is ...". */
void slot_wrong_type(const struct slot *s, const struct node *n, const char *wanted);

/* Sets the field of a row that is neither a section nor a list of structs. */
void decode_value(const struct slot *s);

#endif
