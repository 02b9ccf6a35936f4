/* SPDX-License-Identifier: Apache-2.0 */
/* Gives memory back to the system after a peak. */
#ifndef TAILRACE_CMD_TRIM_H
#define TAILRACE_CMD_TRIM_H

#include "platform/loop.h"
#include "platform/mem.h"

struct trimmer;
struct trimmer *trimmer_new(struct loop *l, struct budget *b) MUST_USE;
void trimmer_free(struct trimmer **t); /* fine on NULL */

#endif
