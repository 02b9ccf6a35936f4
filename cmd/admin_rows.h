/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's own numbers as series of the main metric set. Private to cmd/admin*.c. Main thread.
 */
#ifndef TAILRACE_CMD_ADMIN_ROWS_H
#define TAILRACE_CMD_ADMIN_ROWS_H

#include "pipeline/build.h"

struct admin_rows;
struct admin_rows *admin_rows_new(struct metric_set *set) MUST_USE;
/* The process's attributes are a set of their own, replaced as a whole: target_info. */
struct metric_set *admin_info_new(const struct plan *plan) MUST_USE;
/* What is served beside `set` from now on. Takes it. */
void admin_rows_set_info(struct admin_rows *r, struct metric_set **info);
struct metric_snapshot *admin_rows_info(const struct admin_rows *r) MUST_USE;
void admin_rows_free(struct admin_rows **r); /* the series stay the set's */

void admin_rows_reloaded(struct admin_rows *r, bool success);

/* Sets all values, for the page that is about to be rendered. */
void admin_rows_update(struct admin_rows *r, const struct graph_scrape *s, const struct budget *b,
                       uint64_t log_lines_lost);

#endif
