/* SPDX-License-Identifier: Apache-2.0 */
/* Client metadata as bytes beside a stored batch: the address, then names and values, each with its length. What
 * cannot be read back is no metadata. Pure; any thread. */
#ifndef TAILRACE_EXPORTERS_QUEUE_INFO_H
#define TAILRACE_EXPORTERS_QUEUE_INFO_H

#include "model/batch.h"

void queue_info_put(struct buf *out, const struct request_info *info); /* NULL: nothing */
struct request_info *queue_info_get(struct slice bytes) MUST_USE;      /* a reference, or NULL */

#endif
