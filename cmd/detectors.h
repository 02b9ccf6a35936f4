/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What secrets look like: expressions and checks that find card numbers, e-mail addresses, tokens and
 * keys in text. For reports, not for the data path. Immutable after the build; one thread.
 */
#ifndef TAILRACE_CMD_DETECTORS_H
#define TAILRACE_CMD_DETECTORS_H

#include "platform/buf.h"

struct detectors;
struct detectors *detectors_new(void) MUST_USE;
void detectors_free(struct detectors **d);

size_t detectors_n(const struct detectors *d);
const char *detector_name(const struct detectors *d, size_t i);

/* The first find of detector i in text, from offset `from` on. */
bool detector_find(const struct detectors *d, size_t i, struct slice text, size_t from, struct slice *found);

/* Appends text with every find of any detector masked, cut to max_bytes, control characters as '?'. */
void detectors_put_safe(const struct detectors *d, struct buf *out, struct slice text, size_t max_bytes);
/* Appends enough of a find to recognise it, not to use it. */
void detectors_put_hint(struct buf *out, struct slice found);

#endif
