/* SPDX-License-Identifier: Apache-2.0 */
/* What the three files of the sampler share: tail_sampler.c (time, life), tail_verdict.c (deciding,
 * sending, making room), tail_filing.c (spans in). Nobody else includes this. */
#ifndef TAILRACE_PROCESSORS_TAIL_SAMPLER_PRIV_H
#define TAILRACE_PROCESSORS_TAIL_SAMPLER_PRIV_H

#include "processors/tail_sampler.h"

static inline struct trace *tail_at(const struct tail_sampler *s, uint32_t index)
{
    return trace_at(&s->table, index);
}

/* Memory of what this worker holds, for the byte bound. */
static inline uint64_t tail_own_bytes(const struct tail_sampler *s)
{
    return seg_log_held_bytes(&s->log) + s->in.bytes;
}

/* tail_verdict.c */

/* An undecided trace. Its records may live on in s->graves until tail_bury(). */
void tail_decide(struct tail_sampler *s, uint32_t index);
/* The same for one that is not to be decided any more: dropped as DROP_SHUTDOWN. */
void tail_drop(struct tail_sampler *s, uint32_t index);
/* Frees the records of traces that were decided. Before anything moves records or asks for room. */
void tail_bury(struct tail_sampler *s);
/* A sampled trace with spans joins those to be sent; it is on no list. */
void tail_queue_add(struct tail_sampler *s, uint32_t index);
/* Sends what is queued; `all`: also what does not fill a batch. False: memory is short. */
bool tail_send(struct tail_sampler *s, bool all);
/* Drops what is queued and what the emitter has. */
void tail_unsend(struct tail_sampler *s);
/* Moves the records of segments filled less than num / den, unless the emitter knows some. */
void tail_compact(struct tail_sampler *s, uint32_t num, uint32_t den);
/* Room for more spans, by deciding the oldest traces early when it must be. */
bool tail_make_room(struct tail_sampler *s, uint64_t bytes, uint64_t n_records);
/* A place in the table, by forgetting or deciding the oldest when it must be. */
bool tail_make_place(struct tail_sampler *s);
/* Decides the oldest until so many bytes of spans are free, or will be once they are sent. */
void tail_shed(struct tail_sampler *s, uint64_t bytes);
void tail_emit_to(void *sampler, struct payload **take);

/* tail_sampler.c */
void tail_publish(struct tail_sampler *s);

#endif
