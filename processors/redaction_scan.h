/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vector pass over bytes that says which of a set of patterns may match somewhere in them.
 *
 * The anchors of the patterns' windows (redaction_windows.h) are put into eight buckets. For each
 * of four positions two tables of sixteen masks, one by low and one by high half of a byte, tell
 * which buckets allow the byte there; the AND over four neighbouring bytes is not zero where an
 * anchor may stand. That is some thirty instructions for 16 or 32 bytes, whatever the patterns. A
 * table with a bit for each of 64 windows then confirms the anchor, and the window's other bytes
 * are compared one by one. A pattern is reported when all it needs was found. Processors without
 * byte shuffles use one table of 256 and a shift per byte.
 *
 * Answers err on one side: a pattern that is not reported does not match; a reported one may.
 * Immutable after the build; any thread.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_SCAN_H
#define TAILRACE_PROCESSORS_REDACTION_SCAN_H

#include "platform/buf.h"

struct scanner;

/* Patterns compile in RE2. n up to any number; from the 64th on they share one bit. */
struct scanner *scanner_new(const char *const *patterns, size_t n) MUST_USE;
void scanner_free(struct scanner **s);

/* Bits of patterns that may match anywhere in s: i, or 63 for all from the 64th on. Patterns
 * without needs are always in it. */
uint64_t scanner_hits(const struct scanner *sc, struct slice s);
/* The patterns without needs. */
uint64_t scanner_blind(const struct scanner *sc);

static inline uint64_t scanner_bit(size_t pattern)
{
    return 1ull << (pattern < 63 ? pattern : 63);
}

/* The way to scan, for tests: 0 plain, 1 SSSE3, 2 AVX2; false when this processor has it not. */
bool scanner_force(struct scanner *sc, int way);

#endif
