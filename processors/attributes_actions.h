/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The actions of the `attributes` and `resource` processors: settings, their rules, the compiled
 * form, and what an action does to a map. Compiled actions are immutable and shared by all workers.
 */
#ifndef TAILRACE_PROCESSORS_ATTRIBUTES_ACTIONS_H
#define TAILRACE_PROCESSORS_ATTRIBUTES_ACTIONS_H

#include "component/component.h"
#include "model/attr_map.h"
#include "processors/span_match.h"

struct action_settings {
    const char *key, *action;
    struct value value, default_value;
    const char *from_attribute, *from_context, *pattern, *converted_type;
};
extern const struct key action_keys[];

/* Of the `attributes` processor. */
struct attributes_settings {
    struct item_list actions;
    bool include_enabled, exclude_enabled;
    struct match_settings include, exclude;
};

/* list_key: the name of the list, for paths and texts ("actions"). items: of struct action_settings. */
void actions_check(const struct item_list *items, const char *list_key, struct check *c);

struct actions;
/* The settings have passed actions_check. */
struct actions *actions_new(const struct item_list *items, struct err *err) MUST_USE;
void actions_free(struct actions **a);

/* Runs all actions in order. info: the request's, or NULL. False when the budget refused room. */
bool actions_run(const struct actions *a, struct attr_map *m, const struct request_info *info) MUST_USE;

#endif
