/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The include and exclude sections of a processor together: which spans of a part it works on. The
 * selection is immutable and shared by all workers; the look belongs to one pass over one part.
 */
#ifndef TAILRACE_PROCESSORS_SPAN_SELECT_H
#define TAILRACE_PROCESSORS_SPAN_SELECT_H

#include "processors/open_span.h"
#include "processors/span_match.h"

struct selection {
    struct match *include, *exclude; /* NULL: none */
};

/* NULL: no such section. The settings have passed match_check. */
int selection_build(struct selection *sel, const struct match_settings *include, const struct match_settings *exclude,
                    struct err *err) MUST_USE;
void selection_free(struct selection *sel);

/* What the sections say of the scope of the latest span; starts as {0}. */
struct scope_look {
    uint32_t scope;
    bool known, include, exclude;
};

/* The look at the part is what it was for the latest span. */
bool selection_has(const struct selection *sel, const struct open_span *s, struct scope_look *look);
/* Does any section ask about resources or scopes? */
bool selection_looks(const struct selection *sel);

#endif
