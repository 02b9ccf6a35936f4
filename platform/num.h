/* SPDX-License-Identifier: Apache-2.0 */
/* Floating point numbers in their shortest text that reads back the same. Any thread. */
#ifndef TAILRACE_PLATFORM_NUM_H
#define TAILRACE_PLATFORM_NUM_H

#include <stddef.h>

/* As metrics print them: 5, 0.25, 1e+06, 1.234567e+06, +Inf, -Inf, NaN. Returns the length. */
size_t num_metric(char dst[static 32], double v);

/* As JSON prints them: plain digits from 1e-6 up to 1e21, otherwise 1e+21, 1e-7. Not for Inf, NaN. */
size_t num_json(char dst[static 32], double v);

/* Digits alone, however many: 1000000000000000000000, 0.0000001, +Inf, -Inf, NaN. */
#define NUM_PLAIN_MAX 400
size_t num_plain(char dst[static NUM_PLAIN_MAX], double v);

#endif
