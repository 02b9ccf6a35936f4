/* SPDX-License-Identifier: Apache-2.0 */
/* The ring of decisions and how it reads: see tail_explain.h. */
#include "processors/tail_explain.h"

#include <stdlib.h>
#include <string.h>

#include "model/attr.h"
#include "platform/clock.h"

enum { RECORDS_LOOKED_AT = 8, MAX_RECORDS = 1 << 24 };

static uint32_t record_bytes_for(const struct tail_policies *p)
{
    return (uint32_t)((sizeof(struct explained) + tail_facts_bytes(p) + p->n_policies + 7) & ~(size_t)7);
}

uint64_t tail_explain_bytes_for(const struct tail_policies *p, uint64_t n)
{
    return n * record_bytes_for(p);
}

void tail_explain_init(struct tail_explain *x, struct budget *b, const struct tail_policies *p, uint64_t n)
{
    *x = (struct tail_explain){.budget = b, .policies = p, .record_bytes = record_bytes_for(p),
                               .cap = n > MAX_RECORDS ? MAX_RECORDS : (uint32_t)n};
    x->votes = mem_alloc_array(p->n_policies + 1, 1);
}

void tail_explain_fini(struct tail_explain *x)
{
    if (x->ring)
        budget_release(x->budget, MEM_TAIL, (size_t)x->cap * x->record_bytes);
    free(x->ring);
    free(x->votes);
    *x = (struct tail_explain){.cap = 0};
}

/* ---- writing ---- */

void tail_explain_begin(struct tail_explain *x)
{
    if (x->cap && x->policies->n_policies)
        memset(x->votes, EXPLAIN_NOT_ASKED, x->policies->n_policies);
}

/* In configuration-sized memory: not asked for, so that a full budget leaves no decision unexplained. */
static struct explained *record_next(struct tail_explain *x)
{
    if (!x->ring) {
        budget_force(x->budget, MEM_TAIL, (size_t)x->cap * x->record_bytes);
        x->ring = mem_alloc_array(x->cap, x->record_bytes);
    }
    uint8_t *at = x->ring + (size_t)x->next * x->record_bytes;
    x->next = (x->next + 1) % x->cap;
    if (x->n < x->cap)
        x->n++;
    return (struct explained *)(void *)at;
}

static void service_add(struct explained *e, struct slice name)
{
    size_t len = name.len < EXPLAIN_SERVICE_BYTES - 1 ? name.len : EXPLAIN_SERVICE_BYTES - 1;

    for (int i = 0; i < e->n_services; i++)
        if (strlen(e->services[i]) == len && memcmp(e->services[i], name.p, len) == 0)
            return;
    if (e->n_services == EXPLAIN_SERVICES) {
        e->more_services = true;
        return;
    }
    memcpy(e->services[e->n_services], name.p, len);
    e->services[e->n_services++][len] = '\0';
}

void tail_explain_services(struct explained *e, const struct trace *tr, const struct seg_log *l, const struct intern *in)
{
    int n = 0;
    uint32_t ref = tr->first;

    for (; ref && n < RECORDS_LOOKED_AT; ref = seg_at(l, ref)->next, n++) {
        struct slice name = intern_service(in, intern_at(in, seg_at(l, ref)->scope)->resource);

        if (name.len)
            service_add(e, name);
    }
    e->more_services |= ref != 0;
}

void tail_explain_add(struct tail_explain *x, const struct trace *tr, const uint64_t *facts, const struct seg_log *l,
                      const struct intern *in, struct explained what)
{
    if (!x->cap)
        return;
    struct explained *e = record_next(x);
    uint32_t facts_bytes = tail_facts_bytes(x->policies);

    memcpy(e, &what, sizeof(what));
    memcpy(e->id, tr->id, sizeof(e->id));
    tail_explain_services(e, tr, l, in);
    memcpy(e->facts, facts, facts_bytes);
    memcpy((uint8_t *)e->facts + facts_bytes, x->votes, x->policies->n_policies);
}

/* ---- reading ---- */

const struct explained *tail_explain_find(const struct tail_explain *x, const uint8_t id[static 16])
{
    for (uint32_t i = 1; i <= x->n; i++) {
        const uint8_t *at = x->ring + (size_t)((x->next + x->cap - i) % x->cap) * x->record_bytes;
        const struct explained *e = (const struct explained *)(const void *)at;

        if (memcmp(e->id, id, sizeof(e->id)) == 0)
            return e;
    }
    return NULL;
}

static const char *condition_name(enum condition_type type)
{
    static const char *const names[] = {
        [COND_ALWAYS] = "always_sample", [COND_PROBABILISTIC] = "probabilistic", [COND_SPAN_COUNT] = "span_count",
        [COND_RATE_SPANS] = "rate_limiting", [COND_RATE_BYTES] = "bytes_limiting", [COND_LATENCY] = "latency",
        [COND_STATUS] = "status_code", [COND_FLAGS] = "trace_flags", [COND_STRING] = "string_attribute",
        [COND_REGEX] = "string_attribute", [COND_NUMERIC] = "numeric_attribute", [COND_BOOLEAN] = "boolean_attribute",
        [COND_STATE] = "trace_state", [COND_OTTL] = "ottl_condition",
    };
    const char *name = (size_t)type < ARRAY_LEN(names) ? names[type] : NULL;

    return name ? name : "condition";
}

/* "latency: not met; not status_code: met" */
static void put_terms(const struct tail_policies *p, uint32_t first, uint32_t n, const uint64_t *facts, struct buf *out)
{
    for (uint32_t i = first; i < first + n; i++) {
        const struct condition *c = &p->conditions[p->terms[i].condition];

        buf_putf(out, "%s%s%s", i == first ? "  (" : ", ", p->terms[i].negated ? "not " : "", condition_name(c->type));
        if (c->type >= COND_LATENCY)
            buf_putf(out, ": %s%s", facts[c->bit / 64] >> (c->bit % 64) & 1 ? "found" : "not found",
                     c->invert ? ", inverted" : "");
    }
    if (n)
        buf_putc(out, ')');
}

/* sub_kept: the composite's sub-policy that kept it, + 1. */
static void put_policy(const struct tail_policies *p, uint32_t policy, const uint64_t *facts, uint8_t vote, uint32_t sub_kept,
                       struct buf *out)
{
    static const char *const votes[] = {[VOTE_NOT_SAMPLED] = "not sampled", [VOTE_SAMPLED] = "sampled",
                                        [VOTE_DROPPED] = "dropped", [VOTE_ERROR] = "failed"};
    const struct policy *pol = &p->policies[policy];

    buf_putf(out, "  policy %-24s %-12s", pol->name, vote < ARRAY_LEN(votes) ? votes[vote] : "not asked");
    put_terms(p, pol->first_term, pol->composite ? 0 : pol->n_terms, facts, out);
    buf_putc(out, '\n');
    const struct composite *c = pol->composite ? &p->composites[pol->composite - 1] : NULL;
    for (uint32_t i = 0; c && i < c->n_subs; i++) {
        const struct composite_sub *sub = &p->subs[c->first_sub + i];

        buf_putf(out, "    sub-policy %-18s up to %lld spans/s%s", sub->name, (long long)sub->share,
                 c->first_sub + i + 1 == sub_kept ? ", kept it" : "");
        put_terms(p, sub->first_term, sub->n_terms, facts, out);
        buf_putc(out, '\n');
    }
}

/* votes NULL: nobody was asked yet. */
static void put_facts(const struct tail_policies *p, const uint64_t *facts, const uint8_t *votes, uint32_t sub_kept, struct buf *out)
{
    if (p->n_latency) {
        const uint64_t *min = facts + p->n_words;

        buf_putf(out, "  duration      %.3f ms\n", (double)(int64_t)(min[1] - min[0]) / 1e6);
    }
    for (uint32_t i = 0; i < p->n_policies; i++)
        put_policy(p, i, facts, votes ? votes[i] : EXPLAIN_NOT_ASKED, sub_kept, out);
}

void tail_explain_facts(const struct tail_policies *p, const uint64_t *facts, struct buf *out)
{
    put_facts(p, facts, NULL, 0, out);
}

void tail_explain_put_services(const struct explained *e, struct buf *out)
{
    buf_puts(out, "  services     ");
    for (int i = 0; i < e->n_services; i++)
        buf_putf(out, "%s %s", i ? "," : "", e->services[i]);
    buf_puts(out, e->more_services ? " and perhaps more\n" : "\n");
}

void tail_explain_put_restored(bool restored, bool cut, struct buf *out)
{
    if (restored)
        buf_putf(out, "  restored      spans came back from the storage: the process before held them%s\n",
                 cut ? "; not all of them: the storage had not taken the others" : "");
}

static void put_time(struct buf *out, const char *what, uint64_t wall_s)
{
    char text[40];

    clock_format_utc_ns(wall_s * NS_PER_SEC, text);
    buf_putf(out, "  %-13s %.19sZ\n", what, text);
}

/* Who kept or dropped it; the first drop policy that says so ends the asking. */
static const char *decided_by(const struct tail_explain *x, const struct explained *e)
{
    const struct tail_policies *p = x->policies;
    const uint8_t *votes = (const uint8_t *)e->facts + tail_facts_bytes(p);

    if (e->result == VOTE_SAMPLED && e->policy)
        return p->policies[e->policy - 1].name;
    for (uint32_t i = 0; e->result == VOTE_DROPPED && i < p->n_policies; i++)
        if (votes[i] == VOTE_DROPPED)
            return p->policies[i].name;
    return NULL;
}

void tail_explain_print(const struct tail_explain *x, const struct explained *e, struct buf *out)
{
    static const char *const results[] = {"not sampled", "sampled", "dropped"};
    static const char *const whys[] = {
        [WHY_TIME] = "its time had come", [WHY_NUM_TRACES] = "early: num_traces was reached",
        [WHY_BUFFER] = "early: the memory bound was reached", [WHY_SHUTDOWN] = "early: shutdown",
        [WHY_TOO_LARGE] = "at once: larger than maximum_trace_size_bytes; no policy was asked",
        [WHY_ITEM] = "as its spans came (span-ingest)"};
    const char *by = decided_by(x, e);

    buf_putf(out, "  decision      %s\n", results[e->result]);
    if (by)
        buf_putf(out, "  decided by    %s\n", by);
    buf_putf(out, "  when          %s\n", whys[e->why]);
    put_time(out, "first span", e->born_s);
    put_time(out, "decided", e->decided_s);
    buf_putf(out, "  spans         %llu\n", (unsigned long long)e->n_spans);
    if (e->n_bytes)
        buf_putf(out, "  bytes         %llu\n", (unsigned long long)e->n_bytes);
    tail_explain_put_services(e, out);
    tail_explain_put_restored(e->restored, e->cut, out);
}

void tail_explain_print_votes(const struct tail_explain *x, const struct explained *e, struct buf *out)
{
    put_facts(x->policies, e->facts, (const uint8_t *)e->facts + tail_facts_bytes(x->policies), e->sub, out);
}
