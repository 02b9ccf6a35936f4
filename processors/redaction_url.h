/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redaction's url_sanitizer: which attributes hold URLs, and which names of spans do. What becomes
 * of a URL is obfuscate.h's. Immutable after the build; any thread.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_URL_H
#define TAILRACE_PROCESSORS_REDACTION_URL_H

#include "component/key.h"
#include "model/attr_map.h"
#include "platform/buf.h"

struct url_settings {
    bool enabled, sanitize_span_name;
    struct str_list attributes;
};
extern const struct key url_keys[];

struct url_rules;
struct url_rules *url_rules_new(const struct url_settings *s) MUST_USE; /* NULL: off */
void url_rules_free(struct url_rules **r);

/* What finds messages with such attributes, one regular expression for each; they live as long as
 * r. r may be NULL: none. */
struct str_list url_patterns(const struct url_rules *r);

/* Does this attribute hold a URL? Are names of spans of that kind looked at? r may be NULL. */
bool url_attribute(const struct url_rules *r, struct slice key);
bool url_span_names(const struct url_rules *r, uint8_t kind);

/* Do its attributes say that a span is about HTTP? */
bool url_is_http(const struct attr_map *m);

/* The URL without its variable parts in out, which is cleared first. -1: no memory. */
int url_sanitize(struct slice url, struct buf *out) MUST_USE;

/* The name a span shall have: in out, or *name as it is when nothing of it would be left, nothing
 * changes, or it is no URL: it has no slash and the span is not about HTTP. -1: no memory. */
int url_sanitize_name(struct slice *name, bool http, struct buf *out) MUST_USE;

#endif
