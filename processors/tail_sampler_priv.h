/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sampler share: tail_sampler.c (time, life), tail_verdict.c (deciding, sending),
 * tail_room.c (room), tail_filing.c (spans in). Nobody else includes this. */
#ifndef TAILRACE_PROCESSORS_TAIL_SAMPLER_PRIV_H
#define TAILRACE_PROCESSORS_TAIL_SAMPLER_PRIV_H

#include "processors/tail_sampler.h"

/* Owners of records that only pass through: their trace was kept by this policy, + 1; 0: not known. */
#define TAIL_PASSING (UINT32_MAX - UINT16_MAX)
static inline uint32_t tail_passing(uint32_t policy)
{
    return TAIL_PASSING + (policy <= UINT16_MAX ? policy : 0);
}
/* A slice of work: batches sent, records freed. */
enum { TAIL_FLUSHES = 4, TAIL_GRAVES = 4096 };
#define TAIL_MOST_AGE (1u << 28) /* ticks: ages of what comes from before are cut there */

static inline struct trace *tail_at(const struct tail_sampler *s, uint32_t index)
{
    return trace_at(&s->table, index);
}

/* Memory of what this worker holds, for the byte bound. */
static inline uint64_t tail_own_bytes(const struct tail_sampler *s)
{
    return seg_log_held_bytes(&s->log) + s->in.bytes;
}

/* tail_trace.c: undecided traces. The facts of one that keeps only its bits are lent until the next call. */

/* Need traces of one span keep no more than their bits? */
bool tail_lean(const struct tail_policies *p);
uint64_t tail_n_spans(const struct tail_sampler *s, const struct trace *tr);
/* The facts that policies are judged by, and all of them. */
const uint64_t *tail_facts_judged(struct tail_sampler *s, const struct trace *tr);
const uint64_t *tail_facts_whole(struct tail_sampler *s, const struct trace *tr);
/* Counts n spans that are about to be appended and says where to note their facts; end when they are noted. */
uint64_t *tail_note_begin(struct tail_sampler *s, struct trace *tr, uint32_t n);
void tail_note_end(const struct tail_sampler *s, struct trace *tr);
/* The same to note all of its facts anew: they are zero, but for what a refit of the table carried over. */
uint64_t *tail_note_anew(struct tail_sampler *s, struct trace *tr);
/* The first span of a run, from the log. */
void tail_first_span(const struct tail_sampler *s, uint32_t ref, struct span *out);

/* tail_verdict.c */

/* An undecided trace. Its records may live on in s->graves until tail_bury(). */
void tail_decide(struct tail_sampler *s, uint32_t index);
/* span-ingest: judges what the item under way brought. True: that decided the trace. */
bool tail_judge_item(struct tail_sampler *s, uint32_t index);
/* A decided trace leaves its list. */
void tail_unsettle(struct tail_sampler *s, uint32_t index);
/* The same for one that is not to be decided any more: dropped as DROP_SHUTDOWN. */
void tail_drop(struct tail_sampler *s, uint32_t index);
/* An undecided trace that is larger than it may be: not sampled, its spans dropped. */
void tail_drop_too_large(struct tail_sampler *s, uint32_t index);
/* Frees the records of traces that were decided, but for those of long chains: they are doomed. Before anything moves
 * records or asks for room. */
void tail_bury(struct tail_sampler *s);
/* Frees so many doomed records. True: there are no others. While there are, no record moves. */
bool tail_bury_doomed(struct tail_sampler *s, uint32_t n);
/* A sampled trace with spans joins those to be sent; it is on no list. */
void tail_queue_add(struct tail_sampler *s, uint32_t index);
void tail_decide_early(struct tail_sampler *s, uint32_t index, enum early_reason why);
/* The trace leaves the table; it is on no list. */
void tail_forget(struct tail_sampler *s, uint32_t index);
/* Sends what is queued, in so many batches at most; `all`: also what does not fill one. False: some is
 * left; s->blocked then tells that there is no room. */
bool tail_send(struct tail_sampler *s, bool all, unsigned flushes);
/* Drops what is queued and what the emitter has. */
void tail_unsend(struct tail_sampler *s);
/* Decides the oldest until so many bytes of spans are free, or will be once they are sent. */
void tail_shed(struct tail_sampler *s, uint64_t bytes);
void tail_emit_to(void *sampler, struct payload **take);

/* tail_filing.c: spans that the process before held */

/* Of a trace that was kept: on their way at once. policy: which kept it, + 1. */
void tail_file_kept(struct tail_sampler *s, const struct tail_run *run, uint32_t policy);
/* Of one that was not decided. known: a decision about the same id is older than they are. */
void tail_file_restored(struct tail_sampler *s, const struct tail_run *run, bool known, bool cut);
/* A decision to remember, if there is room for another trace. */
void tail_recall(struct tail_sampler *s, const uint8_t id[static 16], enum trace_state state, unsigned flags, uint32_t age_ticks);

/* tail_room.c */

/* Is nothing that was sent unfinished? */
bool tail_none_under_way(const struct tail_sampler *s);
/* The size of batches to send. */
uint64_t tail_emit_bytes(const struct budget *b, unsigned n_workers);
/* Is there room for what the emitter has? */
bool tail_may_emit(const struct tail_sampler *s);
/* Receivers turn requests away while the budget is over its soft limit: then no push would ever make
 * room. When most of that memory is ours, the oldest traces go. */
void tail_relieve(struct tail_sampler *s);
/* Moves the records of segments filled less than num / den, unless the emitter knows some. */
void tail_compact(struct tail_sampler *s, uint32_t num, uint32_t den);
/* Room for more spans, by deciding the oldest traces early when it must be. */
bool tail_make_room(struct tail_sampler *s, uint64_t bytes, uint64_t n_spans);
/* A place in the table, by forgetting or deciding the oldest when it must be. */
bool tail_make_place(struct tail_sampler *s);

/* tail_sampler.c */
void tail_publish(struct tail_sampler *s);

#endif
