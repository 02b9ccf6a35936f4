/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Head sampling in numbers: probabilities, rejection thresholds T and randomness R of 56 bits; a span
 * is kept when T <= R. Pure; any thread.
 */
#ifndef TAILRACE_PROCESSORS_SAMPLING_MATH_H
#define TAILRACE_PROCESSORS_SAMPLING_MATH_H

#include <stdint.h>

#define SAMPLING_LEAST 0x1p-56 /* smaller probabilities do not exist */

/* Where a probability's threshold is cut: to about `precision` hexadecimal digits that tell something.
 * Probabilities below SAMPLING_LEAST give SAMPLING_NEVER. */
uint64_t sampling_threshold(double probability, int precision);
double sampling_probability(uint64_t threshold);

/* The older way: a hash of seed and trace id, of which 14 bits decide. */
uint64_t sampling_hash_threshold(float percentage);
uint64_t sampling_hash_randomness(const uint8_t trace_id[static 16], uint32_t seed);
/* The W3C's way: the trace id's last 56 bits. */
uint64_t sampling_trace_randomness(const uint8_t trace_id[static 16]);

#endif
