/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON to and from protobuf (OTLP specification, "JSON Protobuf Encoding"): ids in hex, enums
 * as numbers, 64-bit integers as strings. protobuf-c's descriptors name the fields; the bytes are
 * written and read as a stream, so that memory is the output's and no tree stands between.
 */
#ifndef TAILRACE_MODEL_OTLP_JSON_H
#define TAILRACE_MODEL_OTLP_JSON_H

#include "model/batch.h"
#include "platform/err.h"

/* Appends the protobuf encoding of an ExportTraceServiceRequest in JSON to out (whose max bounds
 * it). -1 with err on anything that is not one; what is accepted: see the reference, section 5. */
int otlp_json_decode(struct slice json, struct buf *out, struct err *err) MUST_USE;

/* Appends the batch as one line of JSON (no newline inside or after). -1: out full. */
int otlp_json_encode(const struct batch *b, struct buf *out) MUST_USE;

/* google.rpc.Status and ExportTraceServiceResponse, for answers in JSON. */
int otlp_json_status(struct buf *out, int code, const char *message, uint64_t retry_after_ms) MUST_USE;
int otlp_json_response(struct buf *out, uint64_t rejected_spans, const char *message) MUST_USE;

#endif
