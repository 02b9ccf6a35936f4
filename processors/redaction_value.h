/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction of one value: its text, its mask, and with `nested` what lies in lists and maps. Between a
 * look that writes nothing and the rewrite, as in redaction_edit.h. One worker.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_VALUE_H
#define TAILRACE_PROCESSORS_REDACTION_VALUE_H

#include "model/attr.h"
#include "processors/redaction_rules.h"

/* What is worked with from value to value. */
struct value_redactor {
    const struct rules *rules;
    struct verdicts *values;
    struct buf text;       /* a value as text */
    struct buf scratch[2]; /* masks */
};

void value_redactor_init(struct value_redactor *vr, const struct rules *r);
void value_redactor_free(struct value_redactor *vr);
/* Between spans: buffers that grew large go. */
void value_redactor_rest(struct value_redactor *vr);
void buf_rest(struct buf *b);

/* The text the rules look at: a string's; of other types nothing, or all with redact_all_types. Valid
 * until the next call. False without memory. */
bool redactor_text(struct value_redactor *vr, struct slice value, struct slice *text) MUST_USE;

enum text_fate { TEXT_SAME, TEXT_ALLOWED, TEXT_MASKED, TEXT_NO_MEMORY };
/* whole: all of it is masked. *masked lies in vr's buffers until the next call. */
enum text_fate text_redact(struct value_redactor *vr, struct slice text, bool whole, struct slice *masked) MUST_USE;

/* Is it a list or map, and are those looked into? */
bool value_is_nested(const struct value_redactor *vr, struct slice value);
/* Would a rule change something in it? */
bool nested_touched(struct value_redactor *vr, struct slice value);
/* Appends the AnyValue body as the rules make it. -1 without memory. */
int nested_put(struct value_redactor *vr, struct slice value, struct buf *out, bool *changed) MUST_USE;

#endif
