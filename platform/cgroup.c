/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine lets this process use: memory from the tightest cgroup limit on the way up from
 * our group (v2 memory.max, v1 memory.limit_in_bytes) and MemTotal.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/cgroup.h"
#include "platform/mem.h"

int cgroup_read(const char *path, char *dst, size_t cap)
{
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f)
        return -1;
    n = fread(dst, 1, cap - 1, f);
    fclose(f);
    dst[n] = '\0';
    return n ? 0 : -1;
}

/* The path behind "N:<controllers>:" in /proc/self/cgroup; controller "" means v2's "0::". */
static int own_group(const char *controller, char *dst, size_t cap)
{
    char text[4096], *save = NULL;

    if (cgroup_read("/proc/self/cgroup", text, sizeof(text)))
        return -1;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        char list[256];

        if (!path)
            continue;
        *path++ = '\0';
        snprintf(list, sizeof(list), ",%s,", names + 1);
        if (*controller ? strstr(list, controller) != NULL : names[1] == '\0')
            return snprintf(dst, cap, "%s", path) < (int)cap ? 0 : -1;
    }
    return -1;
}

void cgroup_walk(const char *root, const char *controller, void (*fn)(void *ctx, const char *dir), void *ctx)
{
    char group[1024], dir[2048];

    if (own_group(controller, group, sizeof(group)))
        return;
    for (;;) {
        char *slash;

        snprintf(dir, sizeof(dir), "%s%s", root, strcmp(group, "/") == 0 ? "" : group);
        fn(ctx, dir);
        slash = strrchr(group, '/');
        if (!slash || slash[1] == '\0')
            return;
        slash[slash == group ? 1 : 0] = '\0';
    }
}

static void take_limit(uint64_t *best, const char *dir, const char *file)
{
    char path[2304], text[64], *end;
    unsigned long long n;

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    if (cgroup_read(path, text, sizeof(text)))
        return;
    n = strtoull(text, &end, 10);
    if (end != text && n > 0 && n < *best)
        *best = n;
}

static void memory_v2(void *ctx, const char *dir)
{
    take_limit((uint64_t *)ctx, dir, "memory.max");
}

static void memory_v1(void *ctx, const char *dir)
{
    take_limit((uint64_t *)ctx, dir, "memory.limit_in_bytes");
}

uint64_t mem_total_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t best = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;

    cgroup_walk("/sys/fs/cgroup", "", memory_v2, &best);
    cgroup_walk("/sys/fs/cgroup/memory", ",memory,", memory_v1, &best);
    return best;
}
