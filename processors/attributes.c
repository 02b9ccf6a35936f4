/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes and resource: put, delete, hash and convert attributes of spans, or of resources.
 *
 * Problem: actions touch few attributes of many spans. Design: a span's attributes are read as
 * slices, and the compiled actions run on that list; who writes a span that changed is told in map.h,
 * all others keep their bytes. A resource is looked at once per ResourceSpans.
 * When the budget refuses room the whole batch goes back to its sender, or is dropped and counted.
 * Threads: one worker; the compiled actions are shared.
 */
#include <stdlib.h>

#include "processors/attributes_actions.h"
#include "processors/map.h"
#include "processors/processors.h"
#include "processors/span_select.h"

struct resource_settings {
    struct item_list attributes;
};

static const struct key attributes_keys[] = {
    KEY_LIST(struct attributes_settings, actions, struct action_settings, action_keys,
             "What to do with the attributes of each span, in this order; at least one."),
    KEY_OPTIONAL(struct attributes_settings, include, SECTION_OFF, match_keys,
                 "Only spans that match; at least one of its lists."),
    KEY_OPTIONAL(struct attributes_settings, exclude, SECTION_OFF, match_keys,
                 "No spans that match, even if included; at least one of its lists."),
    KEY_END,
};

static const struct key resource_keys[] = {
    KEY_LIST(struct resource_settings, attributes, struct action_settings, action_keys,
             "What to do with the attributes of each resource, in this order; at least one."),
    KEY_END,
};

static const struct metric_row attributes_rows[] = {ITEMS_ROW_INCOMING, ITEMS_ROW_OUTGOING, {.name = NULL}};

/* Compiled settings, shared by all workers. */
struct compiled {
    struct actions *actions;
    struct selection selection;
};

struct attributes {
    struct map_processor m;
    const struct compiled *compiled;
    struct scope_look look; /* at the part at hand */
};

static struct attributes *attributes_of(struct map_processor *m)
{
    CHECK(m->c.type == &attributes_type || m->c.type == &resource_type);
    return CONTAINER_OF(m, struct attributes, m);
}

static void attributes_check(const void *settings, struct check *c)
{
    const struct attributes_settings *s = settings;

    actions_check(&s->actions, "actions", c);
    if (s->include_enabled)
        match_check(&s->include, "include", c);
    if (s->exclude_enabled)
        match_check(&s->exclude, "exclude", c);
}

static void resource_check(const void *settings, struct check *c)
{
    actions_check(&((const struct resource_settings *)settings)->attributes, "attributes", c);
}

/* ---- work ---- */

static enum map_fate attributes_part(struct map_processor *m, struct editor *ed)
{
    (void)ed;
    attributes_of(m)->look = (struct scope_look){0};
    return MAP_KEPT;
}

static enum map_fate attributes_span(struct map_processor *m, struct open_span *s)
{
    struct attributes *a = attributes_of(m);

    if (!selection_has(&a->compiled->selection, s, &a->look))
        return MAP_KEPT;
    if (!open_span_load(s) || !actions_run(a->compiled->actions, s->map, s->ed->batch->info))
        return MAP_NO_ROOM;
    return MAP_KEPT;
}

static enum map_fate resource_part(struct map_processor *m, struct editor *ed)
{
    const struct actions *actions = attributes_of(m)->compiled->actions;

    for (uint32_t r = editor_first_resource(ed); r < editor_end_resource(ed); r++) {
        if (!attr_map_load(&m->map, editor_resource(ed, r), RESOURCE_ATTRIBUTES) ||
            !actions_run(actions, &m->map, ed->batch->info))
            return MAP_NO_ROOM;
        if (m->map.changed && !editor_write_resource(ed, r, &m->map))
            return MAP_NO_ROOM;
    }
    return MAP_KEPT;
}

static const struct map_ops attributes_map = {.part = attributes_part, .span = attributes_span};
static const struct map_ops resource_map = {.part = resource_part};

/* ---- life ---- */

static void attributes_shared_destroy(void **shared)
{
    struct compiled *c = *shared;

    actions_free(&c->actions);
    selection_free(&c->selection);
    free(c);
    *shared = NULL;
}

static int attributes_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    const struct attributes_settings *s = settings;
    struct compiled *c = mem_alloc(sizeof(*c));

    (void)host;
    *shared = c;
    c->actions = actions_new(&s->actions, err);
    if (c->actions && selection_build(&c->selection, s->include_enabled ? &s->include : NULL,
                                      s->exclude_enabled ? &s->exclude : NULL, err) == 0)
        return 0;
    attributes_shared_destroy(shared);
    return -1;
}

static int resource_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    const struct resource_settings *s = settings;
    struct attributes_settings same = {.actions = s->attributes};

    return attributes_shared_create(&same, host, shared, err);
}

static struct component *new_instance(const struct component_type *type, struct host *h, unsigned traits)
{
    struct attributes *a = mem_alloc(sizeof(*a));

    a->compiled = h->shared;
    map_init(&a->m, type, h, traits);
    return &a->m.c;
}

static struct component *attributes_create(struct host *h, const void *settings, struct err *err)
{
    const struct compiled *compiled = h->shared;

    (void)settings, (void)err;
    return new_instance(&attributes_type, h, MAP_SPANS | (selection_looks(&compiled->selection) ? MAP_LOOKS : 0));
}

static struct component *resource_create(struct host *h, const void *settings, struct err *err)
{
    (void)settings, (void)err;
    return new_instance(&resource_type, h, MAP_ENVELOPE);
}

static void attributes_destroy(struct component **c)
{
    struct attributes *a;

    if (!*c)
        return;
    a = attributes_of(map_of(*c));
    map_free(&a->m);
    free(a);
    *c = NULL;
}

const struct component_type attributes_type = {
    .kind = PROCESSOR,
    .name = "attributes",
    .stability = "beta",
    .summary = "Inserts, updates, deletes, hashes, extracts and converts attributes of spans.",
    .keys = attributes_keys,
    .settings_size = sizeof(struct attributes_settings),
    .metrics = attributes_rows,
    .map = &attributes_map,
    .mutates = true,
    .check = attributes_check,
    .shared_create = attributes_shared_create,
    .shared_destroy = attributes_shared_destroy,
    .create = attributes_create,
    .push = map_push,
    .drain = map_drain,
    .destroy = attributes_destroy,
};

const struct component_type resource_type = {
    .kind = PROCESSOR,
    .name = "resource",
    .stability = "beta",
    .summary = "Inserts, updates, deletes, hashes, extracts and converts attributes of resources.",
    .keys = resource_keys,
    .settings_size = sizeof(struct resource_settings),
    .metrics = attributes_rows,
    .map = &resource_map,
    .mutates = true,
    .check = resource_check,
    .shared_create = resource_shared_create,
    .shared_destroy = attributes_shared_destroy,
    .create = resource_create,
    .push = map_push,
    .drain = map_drain,
    .destroy = attributes_destroy,
};
