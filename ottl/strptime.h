/* SPDX-License-Identifier: Apache-2.0 */
/* Times by a format of the Collector's (its strptime directives). Formats are compiled at start. */
#ifndef TAILRACE_OTTL_STRPTIME_H
#define TAILRACE_OTTL_STRPTIME_H

#include "ottl/zone.h"

struct time_format;

/* NULL with err. Everything stands in the arena. */
struct time_format *time_format_new(struct arena *arena, struct slice text,
                                    struct err *err) MUST_USE;

/* zone: of what names none. False with err. */
bool time_parse(const struct time_format *f, struct slice s, const struct zone *zone,
                struct ottl_value *out, struct err *err);
/* Appends. -1: out is full. */
int time_print(const struct time_format *f, const struct ottl_value *time,
               struct buf *out) MUST_USE;

#endif
