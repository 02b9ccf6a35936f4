/* SPDX-License-Identifier: Apache-2.0 */
/* See dirs.h. A directory whose name was never synced takes everything in it along when the power goes, however
 * often the files were. */
#include "platform/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/mem.h"

/* What the parent knows is synced. Best effort: a file system that cannot has other ways, or none. */
static void sync_parent(const char *path)
{
    char *parent = mem_dup(path);
    size_t n = strlen(parent);

    while (n > 1 && parent[n - 1] == '/')
        parent[--n] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent ? 1 : 0] = '\0';
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(parent);
}

static int make_one(const char *path, mode_t mode)
{
    if (mkdir(path, mode) != 0)
        return errno == EEXIST ? 0 : -1;
    sync_parent(path);
    return 0;
}

int dir_make(const char *path, mode_t mode, bool parents)
{
    char *copy = mem_dup(path);
    int rc = 0;

    for (char *p = copy + 1; parents && copy[0] && *p && rc == 0; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        rc = make_one(copy, mode);
        *p = '/';
    }
    int error = errno;
    free(copy);
    errno = error;
    return rc == 0 ? make_one(path, mode) : -1;
}
