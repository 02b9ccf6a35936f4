/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The summary of redaction: attributes in the map that was redacted that say how many were deleted, masked, allowed or
 * ignored, and which. They add to those an earlier redaction left. One worker.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_SUMMARY_H
#define TAILRACE_PROCESSORS_REDACTION_SUMMARY_H

#include "model/attr_map.h"

enum mark { MARK_NONE, MARK_DELETED, MARK_MASKED, MARK_ALLOWED, MARK_IGNORED, MARKS };

/* How many have each mark, and their keys, kept from before deletions move entries. */
struct marked {
    struct slice *keys[MARKS];
    size_t n[MARKS];
};

/* The keys, by the mark of each entry; k->n is known. False without memory. */
bool summary_collect(struct attr_map *m, const uint8_t *marks, struct marked *k) MUST_USE;
/* debug: the keys as well as the counts. False without memory. */
bool summary_put(struct attr_map *m, struct marked *k, bool debug) MUST_USE;

#endif
