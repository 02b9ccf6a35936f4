/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a trace, for /debug/traces/ID: of one that is held what there is so far; of one
 * that was decided why, from the ring of decisions, and what becomes of spans that still come, from
 * the table and the caches. Asking changes nothing: not even the order in which caches forget.
 */
#include "platform/hash.h"
#include "processors/tail_sampler_priv.h"

/* Where a decision is remembered. */
struct memory_of {
    const struct trace *trace; /* in the table; NULL: not there */
    bool cached, kept;
    uint32_t policy; /* that kept it, + 1; 0: none, or not known */
};

static struct memory_of memory_of(const struct tail_sampler *s, const uint8_t id[static 16])
{
    uint32_t index = trace_table_find(&s->table, id, hash_u128(id));
    struct memory_of m = {.trace = index ? tail_at(s, index) : NULL};

    if (m.trace) {
        m.kept = m.trace->state == TRACE_SAMPLED;
        m.policy = m.trace->state == TRACE_UNDECIDED ? 0 : m.trace->policy;
    } else if (s->sampled.n && tail_cache_knows(&s->sampled, id, &m.policy)) {
        m.cached = m.kept = true;
    } else {
        m.cached = s->non_sampled.n && tail_cache_knows(&s->non_sampled, id, &m.policy);
    }
    return m;
}

static void put_late(const struct memory_of *m, struct buf *out)
{
    const char *fate = m->kept                                         ? "are sent on at once"
                       : m->trace && m->trace->flags & TRACE_TOO_LARGE ? "are dropped (too_large)"
                                                                       : "are not sampled either";

    if (m->trace || m->cached)
        buf_putf(out, "  late spans    %s: the decision is in the %s\n", fate,
                 m->trace ? "table" : "decision cache");
    else
        buf_puts(out, "  late spans    would begin a new trace: nothing remembers the decision "
                      "(num_traces, decision_cache)\n");
}

/* Ticks count from the start of the process: what came before has been restored. */
static bool is_restored(const struct trace *tr)
{
    return (int32_t)tr->born_tick < 0;
}

static void put_held(struct tail_sampler *s, const struct trace *tr, struct buf *out)
{
    struct explained e = {.n_services = 0};

    int32_t left_s = (int32_t)(tr->at_tick - s->wheel.now);

    if (left_s > 0)
        buf_putf(out, "  decision      none yet: due in %d s at the latest\n", (int)left_s);
    else
        buf_puts(out, "  decision      none yet: due now\n");
    buf_putf(out, "  spans         %u\n", (unsigned)tail_n_spans(s, tr));
    tail_explain_services(&e, tr, &s->log, &s->in);
    tail_explain_put_services(&e, out);
    tail_explain_put_restored(is_restored(tr), tr->flags & TRACE_CUT, out);
    tail_explain_facts(s->policies, tail_facts_whole(s, tr), out);
}

/* The ring does not have it any more. */
static void put_remembered(const struct tail_sampler *s, const struct memory_of *m, struct buf *out)
{
    const struct trace *tr = m->trace;

    buf_putf(out, "  decision      %s",
             m->kept                            ? "sampled"
             : tr && tr->state == TRACE_DROPPED ? "dropped"
                                                : "not sampled");
    if (tr)
        buf_putf(out, ", %u s ago%s", s->wheel.now - tr->at_tick,
                 tr->flags & TRACE_RECALLED ? ", by the process before" : "");
    else
        buf_puts(out, ", says the decision cache");
    buf_puts(out, "; more is not remembered (explain_decisions)\n");
    if (m->policy)
        buf_putf(out, "  decided by    %s\n", s->policies->policies[m->policy - 1].name);
    if (tr && tr->flags & TRACE_TOO_LARGE)
        buf_puts(out, "  when          at once: larger than maximum_trace_size_bytes\n");
    put_late(m, out);
}

void tail_sampler_explain(struct tail_sampler *s, const uint8_t id[static 16], struct buf *out)
{
    const struct explained *e = tail_explain_find(&s->explain, id);
    struct memory_of m = memory_of(s, id);

    if (m.trace && m.trace->state == TRACE_UNDECIDED) {
        put_held(s, m.trace, out);
    } else if (e) {
        tail_explain_print(&s->explain, e, out);
        put_late(&m, out);
        tail_explain_print_votes(&s->explain, e, out);
    } else if (m.trace || m.cached) {
        put_remembered(s, &m, out);
    }
}
