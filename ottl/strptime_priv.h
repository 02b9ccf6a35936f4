/* SPDX-License-Identifier: Apache-2.0 */
/* A compiled time format; private to strptime.c and strptime_read.c. */
#ifndef TAILRACE_OTTL_STRPTIME_PRIV_H
#define TAILRACE_OTTL_STRPTIME_PRIV_H

#include "ottl/strptime.h"

enum step_kind {
    STEP_TEXT,
    STEP_YEAR, /* four digits */
    STEP_YEAR_2,
    STEP_YEAR_ANY, /* either; written with four */
    STEP_MONTH,    /* numbers: width says how they are written */
    STEP_DAY,
    STEP_HOUR,
    STEP_HOUR_12,
    STEP_MINUTE,
    STEP_SECOND,
    STEP_MONTH_NAME,
    STEP_MONTH_SHORT,
    STEP_WEEKDAY_NAME,
    STEP_WEEKDAY_SHORT,
    STEP_AM_PM,
    STEP_AM_PM_SMALL,
    STEP_FRACTION, /* with the point before it */
    STEP_ZONE_NAME,
    STEP_ZONE_Z, /* +hhmm or Z */
    STEP_ZONE,   /* +hh, +hhmm, +hh:mm, with seconds */
};

enum width { ONE, ZERO, BLANK, UNDERSCORE }; /* 5, 05, " 5", _5 */

struct step {
    enum step_kind kind;
    enum width width;
    unsigned digits;      /* of a fraction: most; of a zone: parts */
    char separator;       /* of a fraction or zone; 0: none */
    struct slice text;    /* of STEP_TEXT */
    struct slice written; /* in the format, for errors */
};

#define MONTHS     12
#define WEEKDAYS   7
#define MOST_ZONES 11

struct time_format {
    struct slice text;
    struct step *steps;
    size_t n;
    const struct zone *zones[MOST_ZONES]; /* by name, when a step reads names */
};

extern const char *const time_zone_names[MOST_ZONES], *const time_months[MONTHS],
                                                          *const time_weekdays[WEEKDAYS];

#endif
