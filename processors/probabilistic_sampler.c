/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probabilistic_sampler: keeps a share of the traces, decided for each span alone by its trace id.
 *
 * Problem: many processes must choose the same traces without talking. Design: each span has a
 * randomness R, the same for all spans of its trace, and the settings a threshold T; it is kept when
 * T <= R. The three modes differ in where R comes from and what an earlier sampler's threshold in the
 * trace state means; the arithmetic is in sampling_math.c, the trace state in trace_state.c. What is
 * not kept ends as "sampled out" in the ledger.
 * A span whose trace state cannot be read, or contradicts itself, is an error: dropped, or kept with
 * fail_closed: false.
 * When the budget refuses room the whole batch goes back to its sender, or is dropped and counted.
 * Threads: one worker.
 */
#include <math.h>
#include <stdlib.h>

#include "processors/attributes_convert.h"
#include "processors/edit.h"
#include "processors/items.h"
#include "processors/processors.h"
#include "processors/sampling_math.h"
#include "processors/trace_state.h"
#include "model/wire_checked.h"

struct sampler_settings {
    const char *mode, *attribute_source, *from_attribute, *sampling_priority;
    double sampling_percentage;
    int64_t hash_seed, sampling_precision;
    bool fail_closed;
};

static const char *const sources[] = {"traceID", "record", "", NULL};

#define S struct sampler_settings
static const struct key sampler_keys[] = {
    KEY_STR(S, mode, "", "Where the decision comes from: hash_seed (the default), proportional or equalizing."),
    {.name = "sampling_percentage", .type = KEY_T_DOUBLE, .offset = KEY_AT(double, S, sampling_percentage), .dflt = "0", KEY_ANY,
     .unit = "percent", .doc = "Share of the traces to keep; 0 keeps those alone whose sampling.priority says so, 100 and more all."},
    {.name = "hash_seed", .type = KEY_T_INT, .offset = KEY_AT(int64_t, S, hash_seed), .dflt = "0", .min = 0, .max = 0x1p63,
     .doc = "Mode hash_seed: samplers with the same seed choose the same traces; 32 bits of it count."},
    KEY_BOOL(S, fail_closed, "true", "Drop spans whose trace state is in error; false keeps them."),
    {.name = "sampling_precision", .type = KEY_T_INT, .offset = KEY_AT(int64_t, S, sampling_precision), .dflt = "4", KEY_ANY,
     .doc = "Hexadecimal digits to which the threshold of proportional and equalizing is cut, 1 to 14."},
    KEY_ENUM(S, attribute_source, "traceID", sources, "Of logs alone: has no effect on spans."),
    KEY_STR(S, from_attribute, "", "Of logs alone: has no effect on spans."),
    KEY_STR(S, sampling_priority, "", "Of logs alone: has no effect on spans, which have the attribute sampling.priority."),
    KEY_END,
};
#undef S

enum { ROW_SAMPLED };
static const struct metric_row sampler_rows[] = {
    [ROW_SAMPLED] = {.name = "otelcol_processor_probabilistic_sampler_count_traces_sampled",
                     .type = METRIC_COUNTER,
                     .level = METRIC_BASIC,
                     .unit = "{traces}",
                     .help = "Count of traces that were sampled or not [Development]"},
    ITEMS_ROW_INCOMING,
    ITEMS_ROW_OUTGOING,
    {.name = NULL},
};

enum mode { MODE_NEVER, MODE_HASH_SEED, MODE_PROPORTIONAL, MODE_EQUALIZING };

/* What decided. */
enum policy { POLICY_HASH, POLICY_TRACE_ID, POLICY_RANDOMNESS, POLICY_PRIORITY, POLICY_MISSING, POLICIES };
static const char *const policy_names[POLICIES] = {"trace_id_hash", "trace_id_w3c", "sampling_randomness", "sampling_priority",
                                                   "missing_randomness"};

struct sampler {
    struct component c;
    enum mode mode;
    bool fail_closed;
    uint32_t seed;
    double ratio;
    int precision;
    uint64_t threshold; /* of the settings */
    struct items items;
    struct series *sampled[POLICIES][2];
    bool drained;
    struct trace_state state; /* of the span at hand */
};

static struct sampler *sampler_of(struct component *c)
{
    CHECK(c->type == &probabilistic_sampler_type);
    return CONTAINER_OF(c, struct sampler, c);
}

/* ---- settings ---- */

static enum mode mode_of(const char *name)
{
    if (strcmp(name, "proportional") == 0)
        return MODE_PROPORTIONAL;
    return strcmp(name, "equalizing") == 0 ? MODE_EQUALIZING : MODE_HASH_SEED;
}

static void sampler_check(const void *settings, struct check *c)
{
    const struct sampler_settings *s = settings;
    double percentage = (float)s->sampling_percentage;

    if (s->mode[0] && strcmp(s->mode, "hash_seed") != 0 && mode_of(s->mode) == MODE_HASH_SEED)
        check_error(c, "mode", "unsupported sampler mode \"%s\"", s->mode);
    if (isnan(percentage) || isinf(percentage))
        check_error(c, "sampling_percentage", "sampling rate is invalid: %s%%", isnan(percentage) ? "NaN" : percentage > 0 ? "+Inf" : "-Inf");
    else if (percentage < 0)
        check_error(c, "sampling_percentage", "sampling rate is negative: %f%%", percentage);
    else if (percentage > 0 && percentage / 100 < SAMPLING_LEAST)
        check_error(c, "sampling_percentage", "sampling rate is too small: %g%%", percentage);
    if (s->sampling_precision == 0)
        check_error(c, "sampling_precision", "invalid sampling precision: 0");
    else if (s->sampling_precision > 14)
        check_error(c, "sampling_precision", "sampling precision is too great, should be <= 14: %lld", (long long)s->sampling_precision);
}

static void sampler_set(struct sampler *m, const struct sampler_settings *s)
{
    float percentage = s->sampling_percentage > 100 ? 100 : (float)s->sampling_percentage;

    m->fail_closed = s->fail_closed;
    m->seed = (uint32_t)s->hash_seed;
    m->precision = s->sampling_precision < -64 ? -64 : (int)s->sampling_precision;
    m->ratio = (double)percentage / 100;
    m->mode = percentage > 0 ? mode_of(s->mode) : MODE_NEVER;
    m->threshold = SAMPLING_NEVER;
    if (m->mode == MODE_HASH_SEED)
        m->threshold = sampling_hash_threshold(percentage);
    else if (m->mode != MODE_NEVER)
        m->threshold = sampling_threshold(m->ratio, m->precision);
    if (m->threshold == SAMPLING_NEVER)
        m->mode = MODE_NEVER; /* also a share too small for any bucket of hash_seed */
}

/* ---- the decision ---- */

/* A span's way to its fate. */
struct verdict {
    enum policy policy;
    uint64_t randomness, threshold;
    bool error;
    bool rewrites; /* the trace state is to be written when the span is kept */
};

static bool is_zero(const uint8_t id[static 16])
{
    static const uint8_t zero[16];

    return memcmp(id, zero, 16) == 0;
}

#define RANDOMNESS_MISSING (SAMPLING_NEVER - 1)

static void look_hash_seed(struct sampler *m, const struct span *s, bool parsed, struct verdict *v)
{
    bool missing = is_zero(s->trace_id);

    v->policy = missing ? POLICY_MISSING : POLICY_HASH;
    v->randomness = missing ? RANDOMNESS_MISSING : sampling_hash_randomness(s->trace_id, m->seed);
    /* Spans that take part in consistent sampling are not this mode's business. */
    v->error = !parsed || m->state.has_rv || m->state.has_th;
    v->rewrites = !v->error;
    if (!v->error)
        trace_state_set_randomness(&m->state, v->randomness);
    v->error |= missing;
}

static void look_consistent(struct sampler *m, const struct span *s, bool parsed, struct verdict *v)
{
    v->policy = POLICY_MISSING;
    v->randomness = RANDOMNESS_MISSING;
    v->error = true;
    v->rewrites = parsed;
    if (!parsed)
        return;
    if (m->state.has_rv) {
        v->policy = POLICY_RANDOMNESS;
        v->randomness = m->state.rv;
    } else if (!is_zero(s->trace_id)) {
        v->policy = POLICY_TRACE_ID;
        v->randomness = sampling_trace_randomness(s->trace_id);
    } else {
        return;
    }
    v->error = m->state.has_th && m->state.th > v->randomness;
    if (v->error) /* that threshold would have dropped it: not true */
        trace_state_forget_threshold(&m->state);
}

static uint64_t threshold_for(const struct sampler *m)
{
    const struct trace_state *ts = &m->state;

    if (m->mode == MODE_EQUALIZING)
        return ts->has_th && ts->th > m->threshold ? ts->th : m->threshold;
    if (m->mode == MODE_PROPORTIONAL && ts->has_th)
        return sampling_threshold(sampling_probability(ts->th) * m->ratio, m->precision);
    return m->threshold;
}

/* The attribute sampling.priority: below 0 never, 0 undecided, above 0 always. */
static int priority_of(struct slice body)
{
    struct attr a;
    struct any v;
    double d = 0;

    if (!attr_find(body, SPAN_ATTRIBUTES, slice_str("sampling.priority"), &a))
        return 0;
    v = any_parse(a.value);
    switch (v.type) {
    case ANY_INT:
        return v.i == 0 ? -1 : v.i > 0;
    case ANY_DOUBLE:
        d = v.d;
        break;
    case ANY_STR:
        if (!parse_double(v.bytes, &d))
            return 0;
        break;
    default:
        return 0;
    }
    return d == 0 ? -1 : d > 0;
}

static struct verdict judge(struct sampler *m, const struct span *s)
{
    struct verdict v = {.policy = POLICY_PRIORITY, .randomness = RANDOMNESS_MISSING, .rewrites = true};
    struct slice body = span_body(s);
    bool parsed = trace_state_parse(&m->state, s->flags & SPAN_HAS_STATE ? field_bytes(body, SPAN_TRACE_STATE) : (struct slice){0});
    int priority = priority_of(body);

    if (m->mode == MODE_NEVER)
        v.error = !parsed;
    else if (m->mode == MODE_HASH_SEED)
        look_hash_seed(m, s, parsed, &v);
    else
        look_consistent(m, s, parsed, &v);
    v.threshold = v.error ? (m->fail_closed ? SAMPLING_NEVER : 0) : threshold_for(m);
    if (priority != 0) {
        v.policy = POLICY_PRIORITY;
        v.threshold = priority < 0 ? SAMPLING_NEVER : 0;
    }
    return v;
}

/* ---- work ---- */

struct sampler_counts {
    uint64_t n[POLICIES][2];
};

/* Writes what the trace state has become. */
static bool keep(struct sampler *m, struct editor *ed, uint32_t i, const struct verdict *v)
{
    uint8_t text[1024 + TRACE_STATE_MORE];
    struct slice now, before;

    if (!v->rewrites)
        return true;
    trace_state_raise_threshold(&m->state, v->threshold);
    now = slice_of(text, (size_t)(trace_state_write(&m->state, text) - text));
    before = field_bytes(span_body(editor_span(ed, i)), SPAN_TRACE_STATE);
    return slice_eq(now, before) || editor_set_trace_state(ed, i, now);
}

static bool sample_part(struct sampler *m, struct editor *ed, struct sampler_counts *counts)
{
    for (uint32_t i = 0; i < ed->n_spans; i++) {
        struct verdict v = judge(m, editor_span(ed, i));
        bool kept = v.threshold <= v.randomness;

        counts->n[v.policy][kept]++;
        if (kept ? !keep(m, ed, i, &v) : !editor_drop_span(ed, i))
            return false;
    }
    return true;
}

static bool sample(struct sampler *m, struct batch *b)
{
    struct sampler_counts counts = {0};
    bool fine = true, edited = false;

    for (uint32_t i = 0; fine && i < b->n_parts; i++) {
        struct editor ed = editor_of(b, i);

        fine = sample_part(m, &ed, &counts);
        edited |= ed.edited;
    }
    if (!fine)
        return false;
    if (edited)
        batch_settle(b, FATE_SAMPLED_OUT, DROP_NONE);
    for (int p = 0; p < POLICIES; p++)
        for (int kept = 0; kept < 2; kept++)
            if (counts.n[p][kept])
                series_add(m->sampled[p][kept], counts.n[p][kept]);
    return true;
}

static void sampler_push(struct component *c, struct batch **take)
{
    struct sampler *m = sampler_of(c);

    series_add(m->items.incoming, (*take)->n_spans);
    if (m->drained) {
        processor_closed(take);
        return;
    }
    if (!sample(m, *take)) {
        processor_no_memory(take);
        return;
    }
    if ((*take)->n_spans == 0) {
        batch_end(take, FATE_SAMPLED_OUT, &(struct answer_detail){.answer = ANSWER_OK});
        return;
    }
    series_add(m->items.outgoing, (*take)->n_spans);
    host_emit(c->host, take);
}

/* ---- life ---- */

static struct component *sampler_create(struct host *h, const void *settings, struct err *err)
{
    struct sampler *m = mem_alloc(sizeof(*m));

    (void)err;
    m->c = (struct component){&probabilistic_sampler_type, h};
    m->items = items_new(h);
    sampler_set(m, settings);
    for (int p = 0; p < POLICIES; p++)
        for (int kept = 0; kept < 2; kept++) {
            const struct metric_label labels[] = {{"policy", policy_names[p]}, {"sampled", kept ? "true" : "false"}};

            m->sampled[p][kept] = metric_series(h->metrics, &sampler_rows[ROW_SAMPLED], labels, ARRAY_LEN(labels));
        }
    return &m->c;
}

static void sampler_drain(struct component *c)
{
    struct sampler *m = sampler_of(c);

    if (m->drained)
        return;
    m->drained = true;
    host_drained(c->host);
}

static void sampler_destroy(struct component **c)
{
    if (*c)
        free(sampler_of(*c));
    *c = NULL;
}

const struct component_type probabilistic_sampler_type = {
    .kind = PROCESSOR,
    .name = "probabilistic_sampler",
    .stability = "beta",
    .summary = "Keeps a share of the traces, decided for each span by its trace id.",
    .keys = sampler_keys,
    .settings_size = sizeof(struct sampler_settings),
    .metrics = sampler_rows,
    .mutates = true,
    .check = sampler_check,
    .create = sampler_create,
    .push = sampler_push,
    .drain = sampler_drain,
    .destroy = sampler_destroy,
};
