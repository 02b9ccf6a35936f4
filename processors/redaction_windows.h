/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a regular expression needs of a text at least: windows of up to WINDOW_MOST byte classes,
 * one of which stands, byte after byte, in every text the expression matches; and often more than
 * one such choice of windows, all of which must be met.
 *
 * Problem: nearly no value matches a blocked pattern, and asking RE2 about each costs more than all
 * else we do with a span. Windows let one vector pass over the raw bytes of a whole span say
 * "nothing here" (redaction_scan.h). They may be too generous, never too strict: what this reader
 * does not understand has no windows, and such a pattern is asked about every text. The pass looks
 * for a window's anchor, its rarest stretch, and checks the rest where that stands:
 * `-hhh` of an UUID is common, `-hhhh-hhhh-hhhh-` is not.
 * Pure; any thread.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_WINDOWS_H
#define TAILRACE_PROCESSORS_REDACTION_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/mem.h"

#define ANCHOR_LEN  4
#define WINDOW_MOST 20
#define NEEDS_MOST  2

struct byte_class {
    uint64_t bits[4];
};

static inline bool class_has(const struct byte_class *c, uint8_t b)
{
    return c->bits[b >> 6] >> (b & 63) & 1;
}

struct window {
    uint8_t len;    /* 1 to WINDOW_MOST */
    uint8_t anchor; /* where its anchor begins */
    struct byte_class c[WINDOW_MOST];
};

static inline unsigned anchor_len(const struct window *w)
{
    return w->len < ANCHOR_LEN ? w->len : ANCHOR_LEN;
}

/* Each text that matches holds one of these windows. */
struct need {
    struct window *v; /* in the arena */
    size_t n;
    double cost; /* how bad, roughly, it tells texts apart */
};

/* Each text that matches meets all of these. */
struct needs {
    struct need v[NEEDS_MOST]; /* the best first */
    size_t n;                  /* 0: nothing is known to be needed */
};

/* The pattern compiles in RE2. Returns no needs when they would be too common to be of use. */
struct needs needs_of(const char *pattern, struct arena *arena);

/* How often, roughly, a byte, a class or the window's anchor occurs in telemetry: for choosing. */
extern const double byte_often[256];
double class_frequency(const struct byte_class *c);
double anchor_frequency(const struct window *w);

#endif
