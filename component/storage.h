/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage: an extension gives a component a directory of its own, and what the user said about files
 * in it. What stands in the directory is the component's business alone.
 *
 * The same owner (kind, id, pipeline) gets the same directory in every process; two owners never do.
 * All workers' instances of an owner share it, and so do, for a moment during a reload, an instance
 * that leaves and the one that takes its place.
 *
 * Threads: open is called on main (shared_create, create, start, change) while no worker runs or all stand still; it
 * may block on the disk. former may be called from any thread while workers run.
 */
#ifndef TAILRACE_COMPONENT_STORAGE_H
#define TAILRACE_COMPONENT_STORAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/err.h"

struct component;
struct host;

struct storage_owner {
    const char *kind;     /* "exporter", "processor" */
    const char *id;       /* as the user wrote it */
    const char *pipeline; /* processors: "traces/a"; else NULL */
};

struct storage_place {
    char dir[PATH_MAX];
    bool fsync;         /* data is to be on the disk before it counts as stored */
    uint64_t max_bytes; /* of all files in dir together; 0: no limit */
};

struct storage_ops {
    /* Makes the directory if it is not there. -1 with err: it cannot be used. */
    int (*open)(struct component *c, const struct storage_owner *owner, struct storage_place *out,
                struct err *err);
    /* Where the same owner's directory was under earlier settings of this extension, for what is left there: the
     * i-th, latest first; NULL: no more. May be NULL. */
    const char *(*former)(const struct component *c, const struct storage_owner *owner, size_t i);
    /* Would an owner's files lie elsewhere under the other settings? NULL: they may. */
    bool (*moves)(const void *from, const void *to);
};

/* The place that the storage extension of this id has for this component. */
int storage_open(struct host *h, const char *id, struct storage_place *out, struct err *err) MUST_USE;
/* Former places of it; c: the extension of that id. */
const char *storage_former(const struct host *h, const struct component *c, size_t i);

#endif
