/* SPDX-License-Identifier: Apache-2.0 */
/*
 * include and exclude: which spans a processor works on. Settings, their rules, the compiled form.
 * A compiled match is immutable and may be shared by all workers.
 */
#ifndef TAILRACE_PROCESSORS_SPAN_MATCH_H
#define TAILRACE_PROCESSORS_SPAN_MATCH_H

#include "component/key.h"
#include "processors/open_span.h"
#include "platform/err.h"

struct match_settings {
    const char *match_type;
    struct str_list services, span_names, span_kinds;
    struct item_list attributes, resources, libraries;
};
extern const struct key match_keys[];

/* section: "include" or "exclude", for paths. */
void match_check(const struct match_settings *s, const char *section, struct check *c);

struct match;
/* The settings have passed match_check. */
struct match *match_new(const struct match_settings *s, struct err *err) MUST_USE;
void match_free(struct match **m); /* fine on NULL */

/* The part that is the same for all spans of a scope, and the rest; a span matches when both do. */
bool match_scope(const struct match *m, struct slice resource, struct slice scope);
bool match_span(const struct match *m, const struct open_span *s);
/* Does match_scope() depend on what it is given? */
bool match_looks(const struct match *m);

#endif
