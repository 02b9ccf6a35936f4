/* SPDX-License-Identifier: Apache-2.0 */
/* The table of feature gates: see gates.h. */
#include "component/gates.h"

#include <string.h>

#define TAIL "processor.tailsamplingprocessor."

const struct gate_row gate_rows[GATES] = {
    [GATE_TAIL_RECORD_POLICY] = {TAIL "recordpolicy", "Alpha",
                                 "tail_sampling writes the policy that kept a trace into its scopes' attributes."},
    [GATE_TAIL_COUNT_SPANS] = {TAIL "metricstatcountspanssampled", "Alpha",
                               "tail_sampling counts each policy's votes in spans as well."},
    [GATE_TAIL_COUNT_BYTES] = {TAIL "metricstatcountbytessampled", "Alpha",
                               "tail_sampling counts each policy's votes in bytes as well."},
    [GATE_TAIL_TRACE_STATE] = {TAIL "usetracestate", "Alpha",
                               "tail_sampling's probabilistic policies go by the randomness in tracestate, where spans bring "
                               "some, and kept spans get the threshold they were kept with."},
};

enum gate gate_find(const char *id, size_t len)
{
    int g = 0;

    while (g < GATES && (strlen(gate_rows[g].id) != len || memcmp(gate_rows[g].id, id, len) != 0))
        g++;
    return (enum gate)g;
}
