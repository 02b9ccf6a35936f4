/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of a pattern, and how what they need adds up. Each piece is described by the byte
 * sequences (of classes) it must begin and end with, or consists of when it is `exact`. A
 * concatenation grows the sequences across its seam; one that cannot grow any more becomes a need,
 * and the best needs are kept. An alternation needs what its branches need, one or the other.
 * Private to redaction_windows.c and redaction_pieces.c. Everything lives in the arena.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_PIECES_H
#define TAILRACE_PROCESSORS_REDACTION_PIECES_H

#include "processors/redaction_windows.h"

#define MOST_SEQS 48 /* sequences in a list */

struct seq {
    uint8_t len;
    struct byte_class c[WINDOW_MOST];
};

struct seqs {
    struct seq *v;
    size_t n;
};

/* One piece of a pattern. */
struct piece {
    bool exact;         /* first holds all texts it can match */
    struct seqs first;  /* each match begins with one of these */
    struct seqs last;   /* not exact: each match ends with one of these */
    struct needs needs; /* found so far, without first and last, which may yet grow */
};

static inline void class_add(struct byte_class *c, unsigned b)
{
    c->bits[b >> 6] |= 1ull << (b & 63);
}

struct piece piece_empty(struct arena *a);
struct piece piece_unknown(struct arena *a); /* any text at all */
struct piece piece_class(struct arena *a, const struct byte_class *c);
/* Any text that begins with one of first and ends with one of last, perhaps the same byte. */
struct piece piece_ends(struct arena *a, const struct byte_class *first,
                        const struct byte_class *last);
struct piece piece_bytes(struct arena *a, const char *bytes, size_t len);

/* x then y; x or y. */
struct piece piece_then(struct arena *a, const struct piece *x, const struct piece *y);
struct piece piece_either(struct arena *a, const struct piece *x, const struct piece *y);
/* x `min` times; once: it was x?; more: perhaps more often. */
struct piece piece_repeat(struct arena *a, const struct piece *x, unsigned min, bool once,
                          bool more);

/* p is the whole pattern: nothing grows any more. */
void piece_finish(struct arena *a, struct piece *p);

#endif
