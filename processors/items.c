/* SPDX-License-Identifier: Apache-2.0 */
/* Items in and out, and the two refusals all processors share. See items.h. */
#include "processors/items.h"

static const struct metric_row items_rows[] = {ITEMS_ROW_INCOMING, ITEMS_ROW_OUTGOING};

struct items items_new(struct host *h)
{
    const struct metric_label labels[] = {{"otel_signal", "traces"}, {"processor", h->id}};

    return (struct items){
        .incoming = metric_series(h->metrics, &items_rows[0], labels, ARRAY_LEN(labels)),
        .outgoing = metric_series(h->metrics, &items_rows[1], labels, ARRAY_LEN(labels)),
    };
}

struct series *processor_series(struct host *h, const struct metric_row *row)
{
    return metric_series(h->metrics, row, &(struct metric_label){"processor", h->id}, 1);
}

static void turn_away(struct batch **take, enum drop_reason reason, const char *text)
{
    if ((*take)->waiter.fn)
        batch_refuse(take, &(struct answer_detail){
                               .answer = ANSWER_RETRY, .retry_after_ms = 1000, .text = text});
    else
        batch_drop(take, reason, text);
}

void processor_no_memory(struct batch **take)
{
    turn_away(take, DROP_MEMORY, MEMORY_REFUSAL);
}

void processor_closed(struct batch **take)
{
    turn_away(take, DROP_SHUTDOWN, "the daemon is shutting down");
}
