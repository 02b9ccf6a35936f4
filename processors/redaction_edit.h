/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying redaction rules to messages: first a look that writes nothing, then, for the few messages
 * that a rule touches, the rewrite with the summary attributes. One redactor per worker.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_EDIT_H
#define TAILRACE_PROCESSORS_REDACTION_EDIT_H

#include "processors/attr_map.h"
#include "processors/edit.h"
#include "processors/redaction_rules.h"

enum redaction_level { LEVEL_RESOURCE, LEVEL_SCOPE, LEVEL_SPAN, LEVEL_EVENT, LEVEL_LINK, LEVELS };

struct redaction_counts {
    uint64_t deleted[LEVELS], masked[LEVELS]; /* attributes */
};

struct redactor {
    const struct rules *rules;
    struct verdicts *keys, *values;
    struct attr_map map, inner; /* of the message, and of an event or link in it */
    struct buf text;            /* a value as text */
    struct buf scratch[2];      /* masks */
    struct buf out;             /* a span on its way */
    bool inner_changed;         /* an event or link of it */
    struct redaction_counts *counts;
};

void redactor_init(struct redactor *rd, const struct rules *r, struct budget *b);
void redactor_free(struct redactor *rd);

/* Redacts the part: resources, scopes, spans with their events and links. False when the budget
 * refused room; the part must not go on then. */
bool redact_part(struct redactor *rd, struct editor *ed, struct redaction_counts *counts) MUST_USE;

#endif
