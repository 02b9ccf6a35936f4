/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look of redaction, which writes nothing: would a rule change something, or a summary count
 * it? Most messages are cleared by one pass over their bytes, most others by this. Between
 * redaction_rules.h and the rewrite in redaction_edit.c. Generous where memory is short: the
 * rewrite reports it. One worker.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_LOOK_H
#define TAILRACE_PROCESSORS_REDACTION_LOOK_H

#include "processors/redaction_edit.h"

#define NO_FIELD UINT32_MAX

/* The number of an event's text that is looked at. */
static inline uint32_t event_text(const struct redactor *rd)
{
    return rules_event_names(rd->rules) ? EVENT_NAME : NO_FIELD;
}

/* What has to be judged of the span, pending attributes as well. False when the budget refused
 * room. */
bool look_at(const struct redactor *rd, struct open_span *s, enum look *look) MUST_USE;

/* The attributes of one message, and its text of number text_field (NO_FIELD: none). */
bool message_touched(struct redactor *rd, enum look look, struct slice message, uint32_t field,
                     uint32_t text_field);
/* A span's body; what of it is no attribute; attributes that have been loaded. */
bool span_touched(struct redactor *rd, enum look look, struct slice body);
bool others_touched(struct redactor *rd, enum look look, struct slice body);
bool map_touched(struct redactor *rd, enum look look, const struct attr_map *m);
/* Would url_sanitizer change the name? Of any span, whatever the look says. */
bool name_touched(struct redactor *rd, struct slice body);

#endif
