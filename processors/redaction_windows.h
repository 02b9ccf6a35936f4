/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a regular expression needs of a text at least: windows of up to four byte classes, one of
 * which stands, byte after byte, in every text the expression matches.
 *
 * Problem: nearly no value matches a blocked pattern, and asking RE2 about each costs more than all
 * else we do with a span. Windows let one vector pass over the raw bytes of a whole span say "nothing
 * here" (redaction_scan.h). They may be too generous, never too strict: what this reader does not
 * understand has no windows, and such a pattern is asked about every text.
 * Pure; any thread.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_WINDOWS_H
#define TAILRACE_PROCESSORS_REDACTION_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/mem.h"

#define WINDOW_LEN 4

struct byte_class {
    uint64_t bits[4];
};

static inline bool class_has(const struct byte_class *c, uint8_t b)
{
    return c->bits[b >> 6] >> (b & 63) & 1;
}

struct window {
    uint8_t len; /* 1 to WINDOW_LEN */
    struct byte_class c[WINDOW_LEN];
};

struct windows {
    struct window *v; /* in the arena */
    size_t n;         /* 0: nothing is known to be needed */
};

/* The pattern compiles in RE2. Returns no windows when they would be too common to be of use. */
struct windows windows_of(const char *pattern, struct arena *arena);

/* How often, roughly, a class or window occurs at a byte of telemetry: for choosing among windows. */
double class_frequency(const struct byte_class *c);
double window_frequency(const struct window *w);

#endif
