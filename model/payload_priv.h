/* SPDX-License-Identifier: Apache-2.0 */
/* What payload.c shares with the walk: how the tables grow. Nobody else includes this. */
#ifndef TAILRACE_MODEL_PAYLOAD_PRIV_H
#define TAILRACE_MODEL_PAYLOAD_PRIV_H

#include <stdatomic.h>

#include "model/payload.h"

struct room_chunk {
    struct room_chunk *older;
    size_t cap, used;
    uint8_t bytes[];
};

struct payload_priv {
    _Atomic uint32_t refs;
    struct budget *budget; /* NULL: nothing is charged */
    size_t body_charged;
    size_t index_charged;
    void (*release)(void *ctx, uint8_t *bytes); /* NULL: free() */
    void *release_ctx;
    uint32_t cap_resources, cap_scopes, cap_spans;
    uint32_t n_dropped; /* flagged SPAN_DROPPED, still in the table */
    uint32_t n_held, cap_held;
    struct payload **held;   /* kept alive for their bytes */
    struct room_chunk *room; /* newest first */
};

/* Room in the tables for that many entries in all. False: the budget refused, nothing changed. */
bool payload_fit_resources(struct payload *p, uint32_t n) MUST_USE;
bool payload_fit_scopes(struct payload *p, uint32_t n) MUST_USE;
bool payload_fit_spans(struct payload *p, uint32_t n) MUST_USE;
/* Gives back what the tables hold beyond their entries, when that is worth it. */
void payload_trim_tables(struct payload *p);

#endif
