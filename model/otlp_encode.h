/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding: a batch as the bytes of an ExportTraceServiceRequest, without copying spans. Untouched
 * payloads, resources and scopes go out as the bytes that came in; only broken envelopes are made
 * anew, their few bytes in the encoder's own scratch. Neighbouring slices become one iovec.
 */
#ifndef TAILRACE_MODEL_OTLP_ENCODE_H
#define TAILRACE_MODEL_OTLP_ENCODE_H

#include <sys/uio.h>

#include "model/batch.h"

/* The iovecs point into the batch's payloads and into scratch: valid while the batch lives and until
 * the next encode. Reused from call to call. {0} is empty and ready. */
struct encoded {
    struct iovec *iov;
    size_t n_iov, cap_iov;
    uint64_t len;
    struct buf scratch;
};

/* 0, or -1 when there is no memory. e is overwritten. */
int otlp_encode(const struct batch *b, struct encoded *e) MUST_USE;
/* The same for one range of one payload (appends). */
int otlp_encode_part(const struct part *part, struct encoded *e) MUST_USE;
void encoded_free(struct encoded *e);
void encoded_copy(const struct encoded *e, uint8_t *dst); /* dst: e->len bytes */

/* Exact encoded size of the batch as otlp_encode would emit it. */
uint64_t otlp_encoded_size(const struct batch *b);

#endif
