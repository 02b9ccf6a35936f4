/* SPDX-License-Identifier: Apache-2.0 */
/* Random OTLP requests from a seed, plain or with everything odd that is still valid protobuf, and
 * random damage. The same seed gives the same bytes on every machine. */
#ifndef TAILRACE_TESTS_LIB_OTLP_RANDOM_H
#define TAILRACE_TESTS_LIB_OTLP_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/buf.h"

struct otlp_random {
    uint64_t state; /* not 0 */
    /* Odd: shuffled fields, padded lengths, unknown fields, resources in two parts, field 1000,
     * missing and zero ids, text that is not UTF-8, zero counters, empty envelopes. */
    bool odd;
    unsigned max_resources, max_scopes, max_spans; /* per level; 0: 3, 3, 6 */
};

uint64_t otlp_random_below(struct otlp_random *r, uint64_t n); /* [0, n) */
bool otlp_random_one_in(struct otlp_random *r, unsigned n);
/* Appends a request. */
void otlp_random_request(struct otlp_random *r, struct buf *out);
/* Changes, inserts, removes or repeats some bytes. */
void otlp_random_damage(struct otlp_random *r, struct buf *b);

#endif
