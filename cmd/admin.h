/* SPDX-License-Identifier: Apache-2.0 */
/* The admin side: /metrics on the plan's readers, and /debug pages for a loopback client. */
#ifndef TAILRACE_CMD_ADMIN_H
#define TAILRACE_CMD_ADMIN_H

#include "pipeline/build.h"

/* The daemon's own rows (process, memory, ledger), for the page and the reference. Ends with name NULL. */
extern const struct metric_row admin_metrics[];

struct admin;

/* Listens on every reader of the plan; the metrics_off plan has none. NULL with err when one cannot
 * be bound. `set` is the main loop's metric set, where the rows above get their values. */
struct admin *admin_new(struct graph *g, const struct plan *plan, struct loop *main_loop, struct metric_set *set,
                        struct budget *budget, struct log log, struct err *err) MUST_USE;
/*
 * Another plan's readers, metric spelling and resource while it runs: addresses that stay keep their sockets and
 * connections, new ones are bound by the first call, those that are gone are closed by the second, when what is
 * being answered has been.
 */
struct admin_change;
struct admin_change *admin_prepare(struct admin *a, const struct plan *plan, struct err *err) MUST_USE;
void admin_apply(struct admin *a, struct admin_change **c);
void admin_cancel(struct admin_change **c); /* fine on NULL */
/* What POST /-/reload does: an HTTP status and its text. Without it the page is not there. */
void admin_on_reload(struct admin *a, int (*fn)(void *ctx, struct buf *text), void *ctx);
/* What became of the last reload, for the metrics. */
void admin_reloaded(struct admin *a, bool success);
/* Closes listeners and connections. Fine on NULL. */
void admin_free(struct admin **a);

#endif
