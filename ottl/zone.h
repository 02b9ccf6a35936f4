/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones from the system's database (TZif files, RFC 9636). Loaded at start; any thread reads.
 */
#ifndef TAILRACE_OTTL_ZONE_H
#define TAILRACE_OTTL_ZONE_H

#include "ottl/ast.h"

struct zone;

/* "" and "UTC" are UTC; "Local" is the process's. NULL with err: there is none of that name. */
const struct zone *zone_load(struct arena *arena, struct slice name, struct err *err) MUST_USE;

struct zone_span {
    const char *name;
    int32_t offset_s;
    int64_t start_s, end_s; /* from and until when: [start, end) */
};
struct zone_span zone_at(const struct zone *z, int64_t utc_s);

/* What a clock on the wall there shows, as seconds since the epoch if it were UTC, into UTC. Of two
 * instants that show the same the earlier one; in a gap the clock goes on from before it. */
int64_t zone_utc_of(const struct zone *z, int64_t wall_s);

/* An abbreviation of the zone's: the one in effect then if there are several. False: it has none.
 */
bool zone_by_abbreviation(const struct zone *z, struct slice name, int64_t wall_s,
                          int32_t *offset_s);

#endif
