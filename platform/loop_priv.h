/* SPDX-License-Identifier: Apache-2.0 */
/* Between loop.c and ring.c: callbacks that the loop's watch can name. */
#ifndef TAILRACE_PLATFORM_LOOP_PRIV_H
#define TAILRACE_PLATFORM_LOOP_PRIV_H

#include <stdint.h>

struct loop;

uint64_t loop_call_begin(void);
void loop_call_end(struct loop *l, const char *site, uint64_t began_ms);

#endif
