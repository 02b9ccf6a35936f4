/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span's trace state as head sampling uses it: the W3C list with OpenTelemetry's member `ot`, in it
 * `rv` (randomness) and `th` (rejection threshold), 56 bits each. Parsed into slices of the text, and
 * written back with `ot` first. Pure; any thread. Limits: those of the standards (1024 bytes, 31
 * members, 256 bytes of `ot`).
 */
#ifndef TAILRACE_PROCESSORS_TRACE_STATE_H
#define TAILRACE_PROCESSORS_TRACE_STATE_H

#include "platform/buf.h"

#define TRACE_STATE_MEMBERS 31
#define TRACE_STATE_ITEMS   128 /* of `ot`: 256 bytes hold no more */
/* What trace_state_write may need beyond the text it was parsed from: "ot=rv:...;th:...;" and ",". */
#define TRACE_STATE_MORE 48

#define SAMPLING_NEVER ((uint64_t)1 << 56) /* a threshold no randomness reaches */

struct trace_state {
    bool has_rv, has_th;
    uint64_t rv, th;
    struct slice rv_text, th_text; /* as they came */
    uint8_t th_digits[16];         /* th_text points here after trace_state_set_threshold */
    uint8_t rv_digits[16];
    struct slice items[TRACE_STATE_ITEMS]; /* of `ot`, without rv and th: "key:value" */
    size_t n_items;
    struct slice members[TRACE_STATE_MEMBERS]; /* without `ot`: "key=value" */
    size_t n_members;
};

/* False when the text does not follow the standards; ts then holds what could be read of it. */
bool trace_state_parse(struct trace_state *ts, struct slice text) MUST_USE;

void trace_state_set_randomness(struct trace_state *ts, uint64_t rv);
/* Raises the threshold; one that is higher stays. */
void trace_state_raise_threshold(struct trace_state *ts, uint64_t th);
void trace_state_forget_threshold(struct trace_state *ts);

/* To dst, which has room for the parsed text and TRACE_STATE_MORE. Returns the end. */
uint8_t *trace_state_write(const struct trace_state *ts, uint8_t *dst);

#endif
