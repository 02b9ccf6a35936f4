/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made-up but realistic traffic of a web shop: requests that run through several services, some
 * slow, some failing, some with secrets in their attributes. The same seed gives the same ids,
 * structure and values; times are relative to the start that is given.
 *
 * Pure: no clock, no I/O. One thread.
 */
#ifndef TAILRACE_CMD_TRAFFIC_H
#define TAILRACE_CMD_TRAFFIC_H

#include <stdint.h>

#include "platform/buf.h"

#define TRAFFIC_MAX_SERVICES 10

struct traffic_counts {
    uint64_t traces, spans, error_traces, slow_traces, secrets; /* secrets: attribute values that hold one */
};

struct traffic;
/* services: 1 to TRAFFIC_MAX_SERVICES, the frontend first; calls to those left out do not happen. */
struct traffic *traffic_new(uint64_t seed, unsigned services) MUST_USE;
void traffic_free(struct traffic **t);

/* Makes n traces, the first beginning at start_ns, the others a millisecond apart. Appends to out[i],
 * for each service i, what it would send: an ExportTraceServiceRequest; nothing when it had no part. */
void traffic_make(struct traffic *t, unsigned n, uint64_t start_ns, struct buf out[TRAFFIC_MAX_SERVICES]);

const struct traffic_counts *traffic_counts(const struct traffic *t);

#endif
