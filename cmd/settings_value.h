/* SPDX-License-Identifier: Apache-2.0 */
/* Settings structs as values again, guided by their key rows. Pure; all in the arena given. */
#ifndef TAILRACE_CMD_SETTINGS_VALUE_H
#define TAILRACE_CMD_SETTINGS_VALUE_H

#include "component/key.h"
#include "platform/buf.h"
#include "platform/mem.h"

/* keys NULL: an empty map. A duration is an INT with its text in .s. */
struct value settings_value(struct arena *a, const struct key *keys, const void *settings,
                            bool redact);

/* Text that is the same for the same value only: types included. For comparisons, not for people. */
void value_put_exact(struct buf *out, const struct value *v);

/* A map that is being filled; names are sorted when it is done. */
struct value_map {
    struct value *items;
    const char **names;
    size_t n, cap;
};
struct value_map value_map_new(struct arena *a, size_t cap);
void value_map_add(struct value_map *m, const char *name, struct value v);
struct value value_map_done(struct value_map *m);

#endif
