/* SPDX-License-Identifier: Apache-2.0 */
/* What nearly every processor counts and does alike: items in and out, the refusal under memory
 * pressure, and its drain. One worker. */
#ifndef TAILRACE_PROCESSORS_ITEMS_H
#define TAILRACE_PROCESSORS_ITEMS_H

#include "component/component.h"

/* The two rows, for a type's `metrics` table; the series are made from items_rows. */
#define ITEMS_ROW_INCOMING                                                                         \
    {                                                                                              \
        .name = "otelcol_processor_incoming_items", .type = METRIC_COUNTER, .level = METRIC_BASIC, \
        .unit = "{items}", .help = "Number of items passed to the processor. [Alpha]",             \
    }
#define ITEMS_ROW_OUTGOING                                                                         \
    {                                                                                              \
        .name = "otelcol_processor_outgoing_items", .type = METRIC_COUNTER, .level = METRIC_BASIC, \
        .unit = "{items}", .help = "Number of items emitted from the processor. [Alpha]",          \
    }

struct items {
    struct series *incoming, *outgoing;
};

struct items items_new(struct host *h);

/* The series of `row` with the one label the Collector gives processors. */
struct series *processor_series(struct host *h, const struct metric_row *row);

#define MEMORY_REFUSAL "data refused due to high memory usage"

/* Ends a batch that could not be worked on because the budget refused room: back to the sender when
 * one waits, dropped as DROP_MEMORY otherwise. Takes the batch. */
void processor_no_memory(struct batch **take);
/* Ends a batch that came after drain. */
void processor_closed(struct batch **take);

#endif
