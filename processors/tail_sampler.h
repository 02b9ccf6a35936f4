/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sampler of one worker, without loop or threads: spans in, seconds in, decided spans out.
 *
 *   prepare -> file, file, ... -> done      once for each batch or message
 *   tick, then work until it says false     once a second
 *
 * It puts the parts together: table (who is held), log (their bytes), intern (resources, scopes),
 * wheel (when), policies (what), caches (what was decided), emit (what goes on).
 *
 * A trace's life:
 *
 *   UNDECIDED --tick, or early--> SAMPLED --spans sent--> remembered --> forgotten
 *                            \--> NOT_SAMPLED, DROPPED (spans gone) --> remembered --> forgotten
 *
 * Decided traces are remembered in the table until their place is needed, or in a decision cache.
 * What happens at each bound: at num_traces the longest decided trace is forgotten, and when all are
 * undecided the oldest (whose time comes first) is decided early; at the byte bound the oldest are decided early; when even
 * that frees nothing, prepare() refuses. Nothing is lost uncounted.
 *
 * What one trace brought may be a million records. They are freed and sent in slices: between two, nothing takes
 * longer than filing a large request does.
 *
 * Spans that are held stay booked as held in the pipeline's ledger.
 */
#ifndef TAILRACE_PROCESSORS_TAIL_SAMPLER_H
#define TAILRACE_PROCESSORS_TAIL_SAMPLER_H

#include <stdatomic.h>

#include "component/component.h"
#include "processors/tail_cache.h"
#include "processors/tail_emit.h"
#include "processors/tail_explain.h"
#include "processors/tail_late.h"
#include "processors/tail_metrics.h"
#include "processors/tail_policy.h"
#include "processors/tail_policy_ottl.h"
#include "processors/tail_record.h"
#include "processors/tail_settings.h"
#include "processors/tail_store.h"
#include "processors/tail_wheel.h"

/* What the workers' samplers of one processor share. */
struct tail_shared {
    struct tail_policies *policies;
    struct tail_limits *limits;
    struct tail_shelf *shelves; /* with storage: by pipeline */
    uint64_t max_held_bytes; /* of all workers together; 0: no bound but the budget */
    _Atomic uint64_t held_bytes;
};
/* gates: those of component/gates.h that are on. */
int tail_shared_new(const struct tail_settings *s, const struct budget *b, uint32_t gates, struct tail_shared **out,
                    struct err *err) MUST_USE;
void tail_shared_free(struct tail_shared **sh);

struct tail_grave {
    uint32_t first, last; /* records; 0: none */
};

struct tail_part {
    uint32_t first_scope; /* where its scopes begin among the interned */
    uint32_t payload;     /* a number that is its payload's; not 0 */
};

struct tail_sampler {
    struct host *host;
    struct tail_shared *shared;
    const struct tail_policies *policies;
    uint64_t max_traces;

    struct seg_log log;
    struct intern in;
    struct trace_table table;
    struct tail_wheel wheel;
    struct tail_cache sampled, non_sampled;
    struct tail_emit emit;
    struct tail_metrics metrics;
    struct tail_explain explain;
    struct tail_late late; /* what came late in the batch being filed */
    enum explain_why why; /* of the decision being made */
    struct tail_stamp stamp; /* who made it */
    uint64_t tick_wall_s; /* when the last tick was */
    struct tail_ottl *ottl; /* NULL: no policy has conditions */
    struct tail_store *store; /* NULL: no storage is configured */

    struct trace_list decided;
    uint32_t sending;     /* ring of sampled traces whose spans are still here */
    uint32_t passing_first, passing_last; /* records of traces that only the sampled cache knows */
    bool blocked;         /* there was no room for the last batch to be sent */
    uint64_t waiting_spans; /* booked here, but waiting for their way to another worker */
    uint64_t n_leaving;   /* of those, how many leave the table after it */
    uint64_t held_spans;
    uint64_t decisions;   /* for the sampled clock */
    uint64_t tick_ns;     /* spent on the tick under way */
    bool tick_open;
    uint64_t *facts;      /* of a trace that keeps only its bits, while somebody looks at them */
    bool lean;            /* traces of one span do so */
    bool ended;           /* decide at once what still comes, */
    bool dropping;        /* or drop it */

    struct tail_grave graves[16]; /* chains of records to be freed at once, */
    uint32_t n_graves;
    struct tail_grave doomed; /* and what is left of them, to be freed in slices */

    uint64_t published_bytes, published_spans, published_segments, published_traces;

    /* the batch being filed */
    const struct part *parts;
    uint32_t n_parts;
    uint32_t *scopes;      /* interned, of all parts one after the other */
    struct tail_part *part_info; /* by part */
    uint32_t n_scopes, cap_scopes, cap_parts;
    uint32_t n_payloads;   /* filed so far */
    const uint8_t **touched; /* span-ingest: ids of traces with an item that is not judged yet */
    uint32_t n_touched, cap_touched;
};

void tail_sampler_init(struct tail_sampler *s, struct host *h, const struct tail_settings *set,
                       struct tail_shared *shared);
/* What is still held is dropped as DROP_SHUTDOWN. */
void tail_sampler_fini(struct tail_sampler *s);

/* Makes room for these parts and interns what they need. -1: no room, nothing was taken. The parts
 * must stay until done. n_bytes, n_spans: bounds of what will be filed. promised: room was found for
 * them when they were taken; only the system can refuse. */
int tail_sampler_prepare(struct tail_sampler *s, const struct part *parts, uint32_t n_parts,
                         uint64_t n_bytes, uint64_t n_spans, bool promised) MUST_USE;
/* Files n spans of parts[part] from `first` on (an index of the payload). They are booked as held in
 * the ledger already. Those that belong to other workers go to x; NULL: none do. */
struct tail_exchange;
void tail_sampler_file(struct tail_sampler *s, uint32_t part, uint32_t first, uint32_t n,
                       struct tail_exchange *x);
/* The same for runs that are known already. */
struct tail_run;
void tail_sampler_file_runs(struct tail_sampler *s, const struct tail_run *runs, uint32_t n);
void tail_sampler_done(struct tail_sampler *s);

/* Other settings, between two batches: what is held and remembered stays, and what the new policies must
 * know of it is computed from its spans. Traces held keep their time, but wait no longer than new ones.
 * All samplers of the processor change to the same new `shared`; the old one may go then. */
void tail_sampler_change(struct tail_sampler *s, const struct tail_settings *set,
                         struct tail_shared *shared);

/* One second has passed. */
void tail_sampler_tick(struct tail_sampler *s);
/* Decides what is due and sends what was kept, for about max_ns. */
enum tail_work { TAIL_IDLE, TAIL_MORE, TAIL_BLOCKED /* no memory to send: again in a while */ };
enum tail_work tail_sampler_work(struct tail_sampler *s, uint64_t max_ns);

/* Ends it: everything held becomes due, or is dropped. Then work until idle. */
void tail_sampler_end(struct tail_sampler *s, bool drop_pending);
/* The same with storage: what is only in memory becomes due, the rest is left for the next process. */
void tail_sampler_leave(struct tail_sampler *s);
/* What is known of a trace, as text; nothing when nothing is. */
void tail_sampler_explain(struct tail_sampler *s, const uint8_t id[static 16], struct buf *out);

/* Gives up what is still held; what is on disk stays there. */
void tail_sampler_abandon(struct tail_sampler *s);

#endif
