/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature gates that change something here: switches that the Collector keeps on its command line
 * instead of in its file. All are off unless --feature-gates turns them on. The plan carries the set,
 * the host shows it to components.
 */
#ifndef TAILRACE_COMPONENT_GATES_H
#define TAILRACE_COMPONENT_GATES_H

#include <stddef.h>
#include <stdint.h>

enum gate {
    GATE_TAIL_RECORD_POLICY, /* kept spans name the policy that kept them */
    GATE_TAIL_COUNT_SPANS,   /* votes counted in spans */
    GATE_TAIL_COUNT_BYTES,   /* votes counted in bytes */
    GATE_TAIL_TRACE_STATE,   /* probabilistic policies and tracestate agree */
    GATES
};
#define GATE_BIT(g) (1u << (g))

struct gate_row {
    const char *id, *stage, *doc;
};
extern const struct gate_row gate_rows[GATES];

/* GATES when there is none of that id. */
enum gate gate_find(const char *id, size_t len);

#endif
