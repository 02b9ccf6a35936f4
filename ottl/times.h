/* SPDX-License-Identifier: Apache-2.0 */
/* Instants and durations as text. Any thread. */
#ifndef TAILRACE_OTTL_TIMES_H
#define TAILRACE_OTTL_TIMES_H

#include "ottl/value.h"

/* A day of the proleptic Gregorian calendar. */
struct civil {
    int64_t year;
    unsigned month, day; /* from 1 */
    unsigned hour, minute, second;
    unsigned weekday, yearday; /* Sunday is 0; from 1 */
};
struct civil civil_of(const struct ottl_value *time);        /* in its zone */
int64_t days_of(int64_t year, unsigned month, unsigned day); /* since the epoch */

/* RFC 3339 with as many digits of the second as are needed. 0; -1: out is full. */
int put_rfc3339(struct buf *out, const struct ottl_value *time) MUST_USE;
/* As Go prints times: "2006-01-02 15:04:05.5 -0700 MST". */
int put_time_text(struct buf *out, const struct ottl_value *time) MUST_USE;
/* "+0100", or with seconds "+010000"; between: ":" or "". */
int put_offset(struct buf *out, int32_t offset_s, const char *between, bool seconds) MUST_USE;
/* The zone's name, or its offset when it has none. */
int put_zone(struct buf *out, const struct ottl_value *time) MUST_USE;
/* Go's durations: "1h2m3.5s". */
bool parse_duration(struct slice s, int64_t *ns);
int put_duration(struct buf *out, int64_t ns) MUST_USE;

#endif
