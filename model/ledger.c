/* SPDX-License-Identifier: Apache-2.0 */
/* The books of one pipeline on one worker, and the table of reasons. See ledger.h. */
#include "model/ledger.h"

#include "platform/check.h"

static const struct {
    const char *name, *text;
} reasons[DROP_REASONS] = {
    [DROP_NONE] = {"none", "Not dropped."},
    [DROP_RETURNED] = {"returned", "Refused to the sender, who was told and still has them."},
    [DROP_QUEUE_FULL] = {"queue_full", "The exporter's sending queue was full, and the sender had "
                                       "already been answered."},
    [DROP_NOT_RETRYABLE] = {"not_retryable", "The backend refused the request for good."},
    [DROP_RETRIES_ENDED] = {"retries_ended", "The backend could not take them in the time that "
                                             "retry_on_failure allows, or retrying is off."},
    [DROP_PARTIAL_SUCCESS] = {"partial_success", "The backend took the request but said that it "
                                                 "rejected these spans."},
    [DROP_TOO_LARGE] = {"too_large", "A span larger than the exporter may send, or a trace over "
                                     "its size limit."},
    [DROP_MEMORY] = {"memory", "The memory limit left no room to go on with spans in hand."},
    [DROP_SHUTDOWN] = {"shutdown", "Still held when the deadline of the shutdown passed."},
    [DROP_LATE] = {"late", "Late spans of a trace that was not kept, and whose decision is no "
                           "longer remembered."},
    [DROP_WRITE_FAILED] = {"write_failed", "The file exporter could not write them."},
    [DROP_CARDINALITY] = {"cardinality", "More combinations of metadata_keys than "
                                         "metadata_cardinality_limit allows."},
    [DROP_STORAGE] = {"storage", "Stored on disk by a sending queue and damaged there."},
    [DROP_ERROR] = {"error", "A component failed on them."},
};

const char *drop_reason_name(enum drop_reason r)
{
    CHECK(r < DROP_REASONS);
    return reasons[r].name;
}

const char *drop_reason_text(enum drop_reason r)
{
    CHECK(r < DROP_REASONS);
    return reasons[r].text;
}

void ledger_accept(struct ledger *l, uint64_t n_spans)
{
    l->accepted += n_spans;
    l->held += (int64_t)n_spans;
}

void ledger_end(struct ledger *l, uint64_t n_spans, enum ledger_fate fate, enum drop_reason reason)
{
    if (n_spans == 0)
        return;
    CHECK(fate < FATES && reason < DROP_REASONS);
    CHECK((fate == FATE_DROPPED) == (reason != DROP_NONE));
    CHECK(l->held >= (int64_t)n_spans);
    l->held -= (int64_t)n_spans;
    l->fate[fate] += n_spans;
    if (fate == FATE_DROPPED)
        l->dropped[reason] += n_spans;
    if (UNLIKELY(l->emptied && l->held == 0))
        l->emptied(l);
}

void ledger_sum(struct ledger *a, const struct ledger *b)
{
    a->accepted += b->accepted;
    for (int i = 0; i < FATES; i++)
        a->fate[i] += b->fate[i];
    for (int i = 0; i < DROP_REASONS; i++)
        a->dropped[i] += b->dropped[i];
    a->held += b->held;
    a->moved_out += b->moved_out;
    a->moved_in += b->moved_in;
}
