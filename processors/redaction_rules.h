/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled rules of one `redaction` processor: what is to happen to a key, and to a value.
 * Immutable after the build, shared by all workers. What is remembered from call to call (verdicts
 * on keys and values) belongs to the caller, one per worker.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_RULES_H
#define TAILRACE_PROCESSORS_REDACTION_RULES_H

#include "component/key.h"
#include "platform/buf.h"
#include "platform/err.h"
#include "processors/redaction_db.h"
#include "processors/redaction_url.h"

struct redaction_settings {
    bool allow_all_keys, redact_all_types, link_attributes, nested, event_names, status_message, span_name_values;
    struct str_list allowed_keys, ignored_keys, ignored_key_patterns, blocked_key_patterns, blocked_values,
        allowed_values;
    const char *summary, *hash_function, *hmac_key;
    struct db_settings db_sanitizer;
    struct url_settings url_sanitizer;
};

enum redaction_summary { SUMMARY_NONE, SUMMARY_INFO, SUMMARY_DEBUG };

struct rules;
struct rules *rules_new(const struct redaction_settings *s, struct err *err) MUST_USE;
void rules_free(struct rules **r);
/* Compiles each list as rules_new does; errors at their list's path with the Collector's texts. */
void rules_check(const struct redaction_settings *s, struct check *c);

enum redaction_summary rules_summary(const struct rules *r);
bool rules_all_types(const struct rules *r);
bool rules_links(const struct rules *r);
bool rules_nested(const struct rules *r);
bool rules_event_names(const struct rules *r);
bool rules_status_message(const struct rules *r);
bool rules_span_names(const struct rules *r);
const struct db_rules *rules_db(const struct rules *r);   /* NULL: off */
const struct url_rules *rules_url(const struct rules *r); /* NULL: off */

/* What of a message has to be judged. Cheap, and generous: LOOK_ALL promises nothing. */
enum look {
    LOOK_SKIP, /* no rule can touch, or count, anything in it */
    LOOK_KEYS, /* keys only: no value in it can matter */
    LOOK_ALL,
};
/* message: the record of a span, or the body of a resource or scope. */
enum look rules_look(const struct rules *r, struct slice message);

enum key_verdict {
    KEY_PLAIN,   /* its value decides */
    KEY_IGNORED,
    KEY_DELETED, /* not allowed */
    KEY_BLOCKED, /* the whole value is masked */
};

/* Verdicts on short texts, found again by their bytes: keys come again and again, and so do many
 * values. One worker. */
struct verdicts;
struct verdicts *verdicts_new(void) MUST_USE;
void verdicts_free(struct verdicts **v);
size_t verdicts_bytes(void);

enum key_verdict rules_key(const struct rules *r, struct verdicts *keys, struct slice key);

/* Of a key inside a map: allowed_keys does not speak of those. */
enum key_verdict rules_nested_key(const struct rules *r, struct slice key);

/* Values. */
bool rules_allow_value(const struct rules *r, struct slice text);
/* Does any blocked pattern match? */
bool rules_block_value(const struct rules *r, struct verdicts *values, struct slice text);
/* Masks: replaces what the blocked patterns match, one after the other. The result is text itself
 * when nothing changed, else it lies in one of two buffers of the caller. -1: no memory. */
int rules_mask(const struct rules *r, struct slice text, struct buf scratch[static 2], struct slice *masked) MUST_USE;
/* The mask of a blocked key's value: of every line. */
int rules_mask_all(const struct rules *r, struct slice text, struct buf *out) MUST_USE;

#endif
