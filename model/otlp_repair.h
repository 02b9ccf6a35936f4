/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repair: new bytes for a record whose strings are not UTF-8. Only the strings change: U+FFFD for
 * each bad part. The record has passed the walk otherwise. The result lives in p's room.
 */
#ifndef TAILRACE_MODEL_OTLP_REPAIR_H
#define TAILRACE_MODEL_OTLP_REPAIR_H

#include "model/payload.h"

enum otlp_message {
    OTLP_SPAN, OTLP_EVENT, OTLP_LINK, OTLP_STATUS, OTLP_RESOURCE, OTLP_ENTITY_REF, OTLP_SCOPE,
    OTLP_KEYVALUE, OTLP_VALUE, OTLP_ARRAY, OTLP_MAP, OTLP_MESSAGES
};

/* All return 0, or -1 when the budget refuses the room or the result is over 4 GiB. */
int otlp_repair_span(struct payload *p, struct span *s) MUST_USE;
int otlp_repair_body(struct payload *p, enum otlp_message type, struct slice *body) MUST_USE;
int otlp_repair_text(struct payload *p, struct slice *text) MUST_USE;

#endif
