/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ledger: double-entry books of one pipeline on one worker. A span is entered once, as accepted and
 * held; it leaves `held` once, as exactly one fate. Sums over workers at one scrape satisfy
 *
 *   accepted = exported + sampled_out + filtered + sum(dropped) + stored + held
 *
 * (stored: left on disk by a stop; the next process accepts them again)
 * because every move changes both sides, and because a scrape copies one worker's books between two
 * events of that worker. Spans that travel between workers are held: moved_out - moved_in.
 *
 * Threads: one writer (the worker). No atomics needed: read only on the worker itself.
 */
#ifndef TAILRACE_MODEL_LEDGER_H
#define TAILRACE_MODEL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum ledger_fate { FATE_EXPORTED, FATE_SAMPLED_OUT, FATE_FILTERED, FATE_DROPPED, FATE_STORED /* on disk, for the next process */, FATES };

/* Names stand in the `reason` label; ledger.c holds the table with a sentence for each. */
enum drop_reason {
    DROP_NONE,
    DROP_RETURNED,        /* refused to the sender, who still has them */
    DROP_QUEUE_FULL,      /* sending queue full, nobody left to tell */
    DROP_NOT_RETRYABLE,   /* the backend said no */
    DROP_RETRIES_ENDED,   /* max_elapsed_time or retries switched off */
    DROP_PARTIAL_SUCCESS, /* the backend took the request without these */
    DROP_TOO_LARGE,       /* a span larger than the exporter's max_size, a trace over its limit */
    DROP_MEMORY,          /* the hard limit refused room for work in hand */
    DROP_SHUTDOWN,        /* the drain deadline passed */
    DROP_LATE,            /* late span of a trace that was not kept and is no longer known why */
    DROP_WRITE_FAILED,    /* file exporter: the disk said no */
    DROP_CARDINALITY,     /* batch metadata_keys over metadata_cardinality_limit */
    DROP_STORAGE,         /* what was stored on disk could not be read back */
    DROP_ERROR,           /* a processor failed on them */
    DROP_REASONS
};

struct ledger {
    uint64_t accepted;
    uint64_t fate[FATES]; /* FATE_DROPPED: the sum of dropped[] */
    uint64_t dropped[DROP_REASONS];
    int64_t held; /* here, on this worker */
    uint64_t moved_out, moved_in;
    /* The books of a fan-out's branch: ledger_end calls it, as its last act, when held has come to 0; it may free
     * the ledger. NULL: none. Not summed. */
    void (*emptied)(struct ledger *l);
    /* Second books of somebody who holds a copy on disk: they end when another has one, see batch_safe(). */
    bool until_safe;
};

const char *drop_reason_name(enum drop_reason r);  /* "queue_full" */
const char *drop_reason_text(enum drop_reason r);  /* one sentence for docs and help */

void ledger_accept(struct ledger *l, uint64_t n_spans);
/* n_spans 0 does nothing and does not look at l. */
void ledger_end(struct ledger *l, uint64_t n_spans, enum ledger_fate fate, enum drop_reason reason);
/* a += b, for the scrape. */
void ledger_sum(struct ledger *a, const struct ledger *b);

#endif
