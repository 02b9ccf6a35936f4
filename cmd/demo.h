/* SPDX-License-Identifier: Apache-2.0 */
/* `tailrace demo` (`make run`): the whole main job with made-up traffic, and what came of it. */
#ifndef TAILRACE_CMD_DEMO_H
#define TAILRACE_CMD_DEMO_H

#include "platform/buf.h"

/* argv[0] is the program, argv[1] the first own argument. The exit status. */
int demo_main(int argc, char **argv);

/* ---- demo_show.c ---- */

/* Sum of the samples of a metric whose labels contain `labels` (as printed; "" for all). */
double demo_metric(const char *page, const char *name, const char *labels);
/* The books of the pipeline, from the metrics page. */
void demo_show_ledger(const char *page);
/* One trace of the file exporter's lines, as a tree: one that failed and has many spans, if any. */
void demo_show_trace(const char *lines);

#endif
