/* SPDX-License-Identifier: Apache-2.0 */
/* Reload of the configuration while the daemon runs. Main thread. */
#ifndef TAILRACE_CMD_RELOAD_H
#define TAILRACE_CMD_RELOAD_H

#include "cmd/admin.h"
#include "config/resolve.h"
#include "pipeline/build.h"

struct reloader_options {
    struct graph *graph;
    const struct plan *plan; /* that runs now; looked at during the call only */
    const struct config_args *args; /* must outlive the reloader */
    bool watch;             /* look after the files it was read from every second */
    uint64_t timeout_ms;    /* for what a change takes out */
    struct loop *loop;
    struct log log;
    struct admin *admin; /* its readers change, and its metrics tell of every attempt */
};

struct reloader;
struct reloader *reloader_new(const struct reloader_options *o) MUST_USE;
void reloader_free(struct reloader **r); /* fine on NULL */

/* Loads and applies the configuration; `trigger` says why, for the log. The HTTP status that describes
 * the outcome (200: applied or unchanged, 202: follows the one under way, 400: has errors, 409: cannot
 * be applied while running) and a text to go with it. */
int reloader_reload(struct reloader *r, const char *trigger, struct buf *text);
/* No more from now on: the daemon stops. */
void reloader_close(struct reloader *r);

#endif
