/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thresholds into tracestate: see tail_state.h. Each span of a kept trace gets `th`, the threshold of the policy
 * that kept it, unless it has a higher one: then less was kept before. Only with the gate; it costs a new
 * version of each span whose header changes. When the budget refuses that, the rest of the batch goes as it is.
 */
#include "processors/tail_state.h"

#include "processors/edit.h"
#include "processors/trace_state.h"

enum { LONGEST = 1024 }; /* headers that are longer cannot be read */

static bool span_write(struct editor *ed, uint32_t i, uint64_t threshold, struct series *unparseable)
{
    const struct span *s = editor_span(ed, i);
    struct slice before = s->flags & SPAN_HAS_STATE ? field_bytes(span_body(s), SPAN_TRACE_STATE) : (struct slice){0};
    uint8_t text[LONGEST + TRACE_STATE_MORE];
    struct trace_state ts;

    if (!trace_state_parse(&ts, before)) {
        series_add(unparseable, 1);
        return true;
    }
    if (ts.has_th && ts.th > threshold)
        return true;
    trace_state_raise_threshold(&ts, threshold);
    struct slice now = slice_of(text, (size_t)(trace_state_write(&ts, text) - text));
    return slice_eq(now, before) || editor_set_trace_state(ed, i, now);
}

void tail_state_write(struct batch *b, const uint32_t *policies, const struct tail_policies *p, struct series *unparseable)
{
    bool edited = false;

    for (uint32_t part = 0; part < b->n_parts; part++) {
        struct editor ed = editor_of(b, part);

        for (uint32_t i = 0; i < ed.n_spans; i++, policies++)
            if (*policies && !span_write(&ed, i, p->policies[*policies - 1].threshold, unparseable))
                break;
        edited |= ed.edited;
    }
    if (edited)
        batch_settle(b, FATE_SAMPLED_OUT, DROP_NONE);
}
