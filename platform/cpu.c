/* SPDX-License-Identifier: Apache-2.0 */
/* How many CPUs this process may use: affinity, cut by the cgroup CPU quota (rounded up). */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/cgroup.h"
#include "platform/loop.h"

static unsigned by_affinity(void)
{
    cpu_set_t set;
    long online;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    online = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than cpu_set_t holds */
    return online > 0 ? (unsigned)online : 1;
}

static void take_quota(unsigned *best, long long quota_us, long long period_us)
{
    long long cpus;

    if (quota_us <= 0 || period_us <= 0)
        return;
    cpus = (quota_us + period_us - 1) / period_us;
    if (cpus < (long long)*best)
        *best = (unsigned)cpus;
}

static void quota_v2(void *ctx, const char *dir)
{
    char path[2304], text[96];
    long long quota, period;

    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    if (cgroup_read(path, text, sizeof(text)) == 0 && sscanf(text, "%lld %lld", &quota, &period) == 2)
        take_quota((unsigned *)ctx, quota, period);
}

static void quota_v1(void *ctx, const char *dir)
{
    char path[2304], quota[32], period[32];

    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
    if (cgroup_read(path, quota, sizeof(quota)))
        return;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
    if (cgroup_read(path, period, sizeof(period)))
        return;
    take_quota((unsigned *)ctx, strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

unsigned cpu_count(void)
{
    unsigned n = by_affinity();

    cgroup_walk("/sys/fs/cgroup", "", quota_v2, &n);
    cgroup_walk("/sys/fs/cgroup/cpu", ",cpu,", quota_v1, &n);
    return n ? n : 1;
}
