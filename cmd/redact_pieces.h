/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as a flat list of the places where text stands: lists of attributes, and names and
 * messages. A request and what redaction made of it have lists of the same length and order. Pure.
 */
#ifndef TAILRACE_CMD_REDACT_PIECES_H
#define TAILRACE_CMD_REDACT_PIECES_H

#include "model/attr.h"
#include "model/payload.h"

enum place {
    PLACE_RESOURCE, PLACE_SCOPE, PLACE_SPAN, PLACE_EVENT, PLACE_LINK, /* attributes */
    PLACE_SPAN_NAME, PLACE_STATUS_MESSAGE, PLACE_EVENT_NAME,          /* texts */
    PLACES
};
const char *place_name(enum place p);

struct piece {
    enum place place;
    struct slice body; /* the message that has the attributes, or the text */
    uint32_t field;    /* of the attributes; 0: a text */
};

struct pieces {
    struct piece *v;
    size_t n, cap;
};

struct pieces pieces_of(const struct payload *p);
void pieces_free(struct pieces *ps);

/* Calls fn for every text in an attribute's value, at any depth; numbers and the like as text. */
void value_texts(struct slice value, void (*fn)(void *ctx, struct slice text), void *ctx);

#endif
