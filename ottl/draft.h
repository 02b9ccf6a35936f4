/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What statements have written to a resource, scope, span or event, and not yet to its payload.
 * Private to ottl/. A view has a draft from the first write on; readers ask it before the bytes.
 */
#ifndef TAILRACE_OTTL_DRAFT_H
#define TAILRACE_OTTL_DRAFT_H

#include "model/attr_map.h"
#include "ottl/program.h"

#define DRAFT_FIELDS 17 /* a message's field numbers are below this */

struct draft_field {
    uint8_t wire;
    uint64_t number;
    struct slice bytes; /* wire 2 */
};

struct draft {
    struct attr_map *map; /* the attributes, and the message's other bytes: own, or the caller's */
    struct attr_map own;
    uint32_t replaced;   /* bit n: field n of the message is what fields[n] says */
    struct draft_field fields[DRAFT_FIELDS];
    struct slice *events; /* spans: all their events, once one has been written; NULL before */
    size_t n_events;
};

/* What only editing needs. */
struct edits {
    struct draft drafts[OTTL_CONTEXTS];
    struct attr_map cache, scratch_map;
    bool cache_used;
    struct span span; /* the index entry of the span that is written */
    bool schema_written[OTTL_SCOPE + 1];
    bool no_room;                  /* the budget refused */
    struct ottl_value replacement; /* what a function named as an argument is given */
};

/* Makes the view writable. NULL: the budget refused, the error is set. */
struct draft *draft_open(struct ottl_eval *e, enum ottl_context c) MUST_USE;
/* Bytes that live as long as the drafts of c. NULL as above. */
uint8_t *draft_room(struct ottl_eval *e, struct attr_map *m, size_t n) MUST_USE;
bool draft_text(struct ottl_eval *e, struct attr_map *m, struct slice s,
                struct slice *copy) MUST_USE;
/* The value as the body of an AnyValue, in the map's memory. False: no attribute can hold it, or
 * no room; the error is set. A list of which some items cannot be held gives false and a body. */
bool draft_value(struct ottl_eval *e, struct attr_map *m, const struct ottl_value *v,
                 struct slice *body) MUST_USE;

/* Fields of the message besides attributes. */
bool draft_set_number(struct ottl_eval *e, enum ottl_context c, uint32_t field, uint8_t wire,
                      uint64_t v) MUST_USE;
/* s is copied. */
bool draft_set_bytes(struct ottl_eval *e, enum ottl_context c, uint32_t field,
                     struct slice s) MUST_USE;

/* The map that a path to attributes or the cache begins in; NULL as above. */
struct attr_map *draft_map(struct ottl_eval *e, const struct node *path) MUST_USE;
/* After it was changed. */
void draft_touched(struct ottl_eval *e, const struct node *path);
/* The map's entries as a value. */
bool draft_map_value(struct ottl_eval *e, const struct attr_map *m,
                     struct ottl_value *out) MUST_USE;

/* False, with the error set, when the map's memory was refused. */
bool map_fine(struct ottl_eval *e, const struct attr_map *m) MUST_USE;

/* Editors of maps: the map that a path leads to, nested ones as well, to be changed between open
 * and close. NULL, false: the error is set. */
struct attr_map *map_open(struct ottl_eval *e, const struct node *path) MUST_USE;
bool map_close(struct ottl_eval *e, const struct node *path, struct attr_map *m) MUST_USE;

#endif
