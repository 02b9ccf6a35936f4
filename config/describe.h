/* SPDX-License-Identifier: Apache-2.0 */
/* Key rows in words: for error texts and for the reference page. Pure. */
#ifndef TAILRACE_CONFIG_DESCRIBE_H
#define TAILRACE_CONFIG_DESCRIBE_H

#include "component/key.h"
#include "platform/buf.h"

/* "duration", "list of strings", ... */
const char *key_type_name(const struct key *k);
/* "1ms to 1h", "at least 1", "one of: a, b"; nothing when any value will do. */
void key_put_range(struct buf *out, const struct key *k);
/* "decision_wait: duration, default 30s, 1ms to 1h. How long a trace is held ..." */
void key_put_line(struct buf *out, const struct key *k);
/* The bound in the row's own notation: durations as text, whole numbers without a point. */
void key_put_number(struct buf *out, const struct key *k, double v);

#endif
