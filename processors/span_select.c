/* SPDX-License-Identifier: Apache-2.0 */
/* Include and exclude: see span_select.h. */
#include "processors/span_select.h"

int selection_build(struct selection *sel, const struct match_settings *include, const struct match_settings *exclude,
                    struct err *err)
{
    *sel = (struct selection){0};
    if (include && !(sel->include = match_new(include, err)))
        return -1;
    if (exclude && !(sel->exclude = match_new(exclude, err))) {
        selection_free(sel);
        return -1;
    }
    return 0;
}

void selection_free(struct selection *sel)
{
    match_free(&sel->include);
    match_free(&sel->exclude);
}

static void look_at(const struct selection *sel, const struct editor *ed, const struct span *s, struct scope_look *look)
{
    uint32_t scope = editor_scope_of(ed, s);
    struct slice of_resource, of_scope;

    if (look->known && look->scope == scope)
        return;
    of_resource = editor_resource(ed, editor_resource_of(ed, s));
    of_scope = editor_scope(ed, scope);
    *look = (struct scope_look){scope, true, !sel->include || match_scope(sel->include, of_resource, of_scope),
                                sel->exclude && match_scope(sel->exclude, of_resource, of_scope)};
}

bool selection_has(const struct selection *sel, const struct open_span *s, struct scope_look *look)
{
    if (!sel->include && !sel->exclude)
        return true;
    look_at(sel, s->ed, open_span_now(s), look);
    return look->include && (!sel->include || match_span(sel->include, s)) && !(look->exclude && match_span(sel->exclude, s));
}

bool selection_looks(const struct selection *sel)
{
    return (sel->include && match_looks(sel->include)) || (sel->exclude && match_looks(sel->exclude));
}
