/* SPDX-License-Identifier: Apache-2.0 */
/* Time: clock_gettime() and the two stamps that are printed. */
#include "platform/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "platform/check.h"

static uint64_t now_ns(clockid_t id)
{
    struct timespec ts;

    CHECK(clock_gettime(id, &ts) == 0);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return now_ns(CLOCK_REALTIME);
}

uint64_t clock_cpu_ns(void)
{
    return now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void clock_format_local_ms(uint64_t wall_ns, char dst[static 40])
{
    time_t sec = (time_t)(wall_ns / NS_PER_SEC);
    char day[24] = "", zone[8] = "";
    struct tm tm;

    if (localtime_r(&sec, &tm)) {
        strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
        if (tm.tm_gmtoff)
            strftime(zone, sizeof(zone), "%z", &tm);
        else
            memcpy(zone, "Z", 2);
    }
    snprintf(dst, 40, "%s.%03u%s", day, (unsigned)(wall_ns % NS_PER_SEC / NS_PER_MS), zone);
}

void clock_format_utc_ns(uint64_t wall_ns, char dst[static 40])
{
    time_t sec = (time_t)(wall_ns / NS_PER_SEC);
    char day[24] = "";
    struct tm tm;

    if (gmtime_r(&sec, &tm))
        strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(dst, 40, "%s.%09uZ", day, (unsigned)(wall_ns % NS_PER_SEC));
}
