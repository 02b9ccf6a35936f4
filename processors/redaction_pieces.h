/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of a pattern, and how what they need adds up. Each piece is described by the byte sequences
 * (of classes) it must begin and end with, or consists of when it is `exact`. A concatenation offers
 * the sequences of both sides, and those across the seam, as windows; the best offer is kept. An
 * alternation offers the windows of all its branches together.
 * Private to redaction_windows.c and redaction_pieces.c. Everything lives in the arena.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_PIECES_H
#define TAILRACE_PROCESSORS_REDACTION_PIECES_H

#include "processors/redaction_windows.h"

#define SEQ_LEN      12   /* classes in a sequence */
#define MOST_SEQS    48   /* sequences in a list */

struct seq {
    uint8_t len;
    struct byte_class c[SEQ_LEN];
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
    struct windows best;
    double cost; /* of best; HUGE when there is none */
};

#define NO_WINDOWS 1e9

static inline void class_add(struct byte_class *c, unsigned b)
{
    c->bits[b >> 6] |= 1ull << (b & 63);
}

struct piece piece_empty(struct arena *a);
struct piece piece_unknown(struct arena *a); /* any text at all */
struct piece piece_class(struct arena *a, const struct byte_class *c);
struct piece piece_bytes(struct arena *a, const char *bytes, size_t len);

/* x then y; x or y. */
struct piece piece_then(struct arena *a, const struct piece *x, const struct piece *y);
struct piece piece_either(struct arena *a, struct piece *x, struct piece *y);
/* x `min` times; once: it was x?; more: perhaps more often. */
struct piece piece_repeat(struct arena *a, struct piece *x, unsigned min, bool once, bool more);

/* p is the whole pattern: its windows and how common they are (piece.best, piece.cost). */
void piece_finish(struct arena *a, struct piece *p);

#endif
