/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which anchors of redaction's windows share a bucket of the scan (redaction_scan.h). A bucket lets
 * through, at each position, every byte whose low half and whose high half some anchor of it
 * allows: so anchors belong together that are alike. Starting with a bucket for each anchor, the
 * two are joined whose union lets through least more, until there are few enough. Pure; for the
 * time of building.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_BUCKETS_H
#define TAILRACE_PROCESSORS_REDACTION_BUCKETS_H

#include "processors/redaction_windows.h"

#define BUCKETS 8

/* By position: which low and which high halves of a byte are let through. */
struct bucket_shape {
    uint16_t low[ANCHOR_LEN], high[ANCHOR_LEN];
};

/* Of a window's anchor; short ones let anything through behind their end. */
struct bucket_shape shape_of(const struct window *w);
struct bucket_shape shape_with(const struct bucket_shape *a, const struct bucket_shape *b);

/* of[i] becomes the bucket of w[i], and w[i]'s anchor where it fits that bucket best. */
void buckets_choose(struct window *const *w, size_t n, uint8_t *of);

#endif
