/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small parts of gRPC over HTTP/2, shared by server and client: message framing, timeouts,
 * grpc-message and -bin encodings, google.rpc.Status with RetryInfo, and the tables of codes.
 * Pure functions on bytes; any thread.
 */
#ifndef TAILRACE_NET_GRPC_H
#define TAILRACE_NET_GRPC_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/buf.h"

enum grpc_code {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
    GRPC_CODES
};

const char *grpc_code_name(int code);  /* "Unavailable"; "Code(77)" becomes "Unknown" */
int grpc_code_to_http(int code);       /* as the OTLP/HTTP receiver answers the same error */
int grpc_code_from_http(int status);   /* for a response without grpc-status */
int grpc_status_from_http(int status); /* Status.code of an OTLP/HTTP error (404: UNIMPLEMENTED) */
bool grpc_code_retryable(int code, bool has_retry_info); /* OTLP's table */

/* Each message: flag (1: compressed), length big endian, bytes. */
#define GRPC_PREFIX_BYTES 5
struct grpc_prefix {
    uint8_t bytes[GRPC_PREFIX_BYTES];
    uint8_t have;
};
/* Takes bytes off *p, *n. True when the prefix is complete. */
bool grpc_prefix_feed(struct grpc_prefix *x, const uint8_t **p, size_t *n);
uint8_t grpc_prefix_flag(const struct grpc_prefix *x);
uint32_t grpc_prefix_length(const struct grpc_prefix *x);
void grpc_prefix_put(uint8_t dst[static GRPC_PREFIX_BYTES], bool compressed, uint32_t len);

/* "10S", "500m": 1 to 8 digits and a unit of H M S m u n. -1: malformed. */
int grpc_timeout_parse(struct slice s, uint64_t *ns) MUST_USE;
/* The shortest spelling that is not shorter in time. dst: 16 bytes. */
void grpc_timeout_format(uint64_t ns, char dst[static 16]);

/* grpc-message: percent-encoding. Decoding never fails: bad escapes stay as they are. */
void grpc_message_encode(struct buf *out, struct slice text);
void grpc_message_decode(struct buf *out, struct slice encoded);

/* -bin headers: base64 without padding; decoding takes both, and the URL-safe alphabet too. */
void base64_encode(struct buf *out, struct slice s);
int base64_decode(struct buf *out, struct slice s) MUST_USE;

/* google.rpc.Status; retry_after_ms > 0 adds a google.rpc.RetryInfo. Appends. */
void grpc_status_encode(struct buf *out, int code, struct slice message, bool has_retry,
                        uint64_t retry_after_ms);
/* A bare google.rpc.RetryInfo. */
void grpc_retry_info_encode(struct buf *out, uint64_t retry_after_ms);

struct grpc_status {
    int code;
    struct slice message; /* into the input */
    bool has_retry;
    uint64_t retry_after_ms;
};
int grpc_status_decode(struct slice s, struct grpc_status *out) MUST_USE;
/* A bare RetryInfo; -1: malformed, or a negative delay. */
int grpc_retry_info_decode(struct slice s, uint64_t *retry_after_ms) MUST_USE;

#endif
