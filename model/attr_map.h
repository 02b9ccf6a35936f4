/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of one message (span, resource, scope, event, link) as the Collector's map: an
 * ordered list, read from the wire, edited, and written back in front of the message's other
 * fields' bytes, which are kept as they came.
 *
 * Nothing is copied until attr_map_write(): entries are slices into the message, into settings, or
 * into the map's scratch. One map per worker is loaded again and again.
 * Limits: tables and scratch grow with one message's attributes; what is more than a few KiB is
 * charged to the budget and given back with the next load.
 */
#ifndef TAILRACE_MODEL_ATTR_MAP_H
#define TAILRACE_MODEL_ATTR_MAP_H

#include "model/attr.h"
#include "platform/mem.h"

struct attr_entry {
    struct slice key;
    struct slice value; /* AnyValue body */
    struct slice rec;   /* the record as it came in; rec.p NULL: made from key and value */
};

struct attr_chunk;

struct attr_map {
    struct attr_entry *v;
    size_t n, cap;
    uint32_t field; /* number of the message's attributes field */
    bool changed;
    bool out_of_memory; /* the budget refused; the edits since load are not to be written */

    struct slice *rest; /* the message's other bytes, in runs of whole fields */
    size_t n_rest;
    size_t rest_before; /* runs in front of the first attribute */

    /* private */
    struct budget *budget;
    size_t cap_rest;
    struct attr_chunk *chunks;
    size_t charged;
};

void attr_map_init(struct attr_map *m, struct budget *b);
void attr_map_free(struct attr_map *m);

/* Reads the message's attributes. False when the budget refused room for the table. */
bool attr_map_load(struct attr_map *m, struct slice message, uint32_t field) MUST_USE;

/* First entry with the key; NULL: none. */
struct attr_entry *attr_map_find(const struct attr_map *m, struct slice key);
/* Replaces the first entry's value in place, or appends. Slices must outlive the map's load. */
void attr_map_put(struct attr_map *m, struct slice key, struct slice value);
void attr_map_set(struct attr_map *m, struct attr_entry *e, struct slice value);
void attr_map_append(struct attr_map *m, struct slice key, struct slice value);
/* As the Collector removes by key: the last entry moves into the hole. */
void attr_map_remove(struct attr_map *m, struct attr_entry *e);
/* As the Collector removes by condition: the order is kept. */
void attr_map_remove_if(struct attr_map *m, bool (*gone)(void *ctx, const struct attr_entry *e), void *ctx);

/* size bytes, aligned to 8, that live until the next load; NULL (and out_of_memory) when the budget refuses. */
uint8_t *attr_map_scratch(struct attr_map *m, size_t size);
/* The AnyValue body of a string, in scratch; an empty slice when the budget refuses. */
struct slice attr_map_str(struct attr_map *m, struct slice s);

/* The message's body with the entries as they are now. */
size_t attr_map_size(const struct attr_map *m);
uint8_t *attr_map_write(const struct attr_map *m, uint8_t *dst); /* returns the end */
/* The entries alone, for those who write the rest themselves. */
size_t attr_map_entries_size(const struct attr_map *m);
uint8_t *attr_map_write_entries(const struct attr_map *m, uint8_t *dst);

#endif
