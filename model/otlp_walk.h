/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk: one pass over an ExportTraceServiceRequest that checks every field to full depth (wire
 * types, lengths, varints, nesting, UTF-8, id lengths) and builds the index. Source: OTLP 1.11,
 * opentelemetry/proto/{trace,common,resource}/v1; protobuf encoding.
 *
 * What is wrong with a request, and what happens:
 *   not protobuf, wrong wire type of a known field, truncated, groups, deeper than OTLP_MAX_DEPTH
 *   AnyValue levels, an id that is neither empty nor of its length  -> the whole request is refused;
 *   an attribute with two keys or two values, a value with two members, a span with two statuses:
 *   no encoder writes that, decoders would merge it, and what a processor sees and what a backend
 *   reads could differ                                               -> refused as well;
 *   a span whose trace id or span id is empty or all zero            -> that span is left out, counted;
 *   a string that is not UTF-8                                       -> repaired with U+FFFD, counted.
 * Unknown fields are accepted and kept while the record they stand in is emitted whole.
 */
#ifndef TAILRACE_MODEL_OTLP_WALK_H
#define TAILRACE_MODEL_OTLP_WALK_H

#include "model/payload.h"
#include "platform/err.h"

#define OTLP_MAX_DEPTH 64 /* AnyValue levels below an attribute */

struct walk_report {
    uint32_t spans;             /* indexed */
    uint32_t rejected_trace_id; /* left out: empty or zero trace id */
    uint32_t rejected_span_id;
    uint32_t repaired_strings;
};

enum walk_result {
    WALK_OK,
    WALK_MALFORMED, /* err says what and at which byte */
    WALK_NO_MEMORY, /* the budget refused the index */
};

/* Walks p->bytes and fills p's tables. On failure p has no index and can only be released. */
enum walk_result otlp_walk(struct payload *p, struct walk_report *report, struct err *err) MUST_USE;

/* Counts the spans of a request without checking or building anything (for refusals: how many
 * spans did we turn away?). 0 on anything malformed. */
uint32_t otlp_count_spans(struct slice request);

/* The facts of one span from its body, as the walk fills them; rec, scope are left alone.
 * -1 when malformed. For spans that come from elsewhere (files, JSON, edits). */
int otlp_span_facts(struct slice body, struct span *out) MUST_USE;

#endif
