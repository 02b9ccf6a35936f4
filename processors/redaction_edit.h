/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Applying redaction rules to messages: first a look that writes nothing, then, for the few messages
 * that a rule touches, the rewrite with the summary attributes. One redactor per worker.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_EDIT_H
#define TAILRACE_PROCESSORS_REDACTION_EDIT_H

#include "model/attr_map.h"
#include "processors/open_span.h"
#include "processors/redaction_value.h"

enum redaction_level {
    LEVEL_RESOURCE, LEVEL_SCOPE, LEVEL_SPAN, LEVEL_EVENT, LEVEL_LINK, /* attributes */
    LEVEL_SPAN_NAME, LEVEL_STATUS, LEVEL_EVENT_NAME,                  /* texts */
    LEVELS
};

struct redaction_counts {
    uint64_t deleted[LEVELS], masked[LEVELS]; /* attributes; texts */
};

struct redactor {
    const struct rules *rules;
    struct verdicts *keys;
    struct value_redactor values;
    struct attr_map map, inner; /* of the message, and of an event or link in it */
    struct buf out;             /* a span on its way */
    struct buf body;            /* an event, link or status of it */
    struct buf nested;          /* a list or map */
    struct buf statement, url;  /* sanitized */
    enum db_system system;      /* that the map at hand names; DB_UNKNOWN where nobody asks */
    enum db_system span_system; /* that the span at hand names, after its redaction */
    uint8_t kind;               /* of the span at hand */
    bool http;                  /* its attributes are about that, after its redaction; where names are looked at */
    bool inner_changed;         /* something of the span that is not its attributes */
    struct redaction_counts *counts;
};

void redactor_init(struct redactor *rd, const struct rules *r, struct budget *b);
void redactor_free(struct redactor *rd);

/* Redacts the part's resources and scopes; a span with its events and links. False when the budget
 * refused room; the part must not go on then. */
bool redact_envelope(struct redactor *rd, struct editor *ed, struct redaction_counts *counts) MUST_USE;
/* Would redact_envelope() do nothing? */
bool redact_leaves_envelope(struct redactor *rd, const struct editor *ed);
bool redact_span(struct redactor *rd, struct open_span *s, struct redaction_counts *counts) MUST_USE;

#endif
