/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Monotonic for every wait and deadline, wall clock for stamps only: a jump of the wall clock
 * may change a printed time and nothing else. Any thread. */
#ifndef TAILRACE_PLATFORM_CLOCK_H
#define TAILRACE_PLATFORM_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000ull
#define NS_PER_SEC 1000000000ull

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_wall_ns(void); /* since the epoch */
uint64_t clock_cpu_ns(void);  /* CPU time of the process */

/* "2026-01-02T15:04:05.123+0100" (zone of the process; Z for UTC) and "...Z" with nanoseconds. dst: 40 bytes. */
void clock_format_local_ms(uint64_t wall_ns, char dst[static 40]);
void clock_format_utc_ns(uint64_t wall_ns, char dst[static 40]);

#endif
