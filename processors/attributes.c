/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attributes and resource: put, delete, hash and convert attributes of spans, or of resources.
 *
 * Problem: actions touch few attributes of many spans. Design: a span's attributes are read as
 * slices, the compiled actions run on that list, and only a span that changed is written anew, once,
 * into the room of the batch's own payload; all others keep their bytes. A resource is looked at
 * once per ResourceSpans.
 * When the budget refuses room the whole batch goes back to its sender, or is dropped and counted.
 * Threads: one worker; the compiled actions are shared.
 */
#include <stdlib.h>

#include "processors/attributes_actions.h"
#include "processors/edit.h"
#include "processors/items.h"
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
    struct component c;
    const struct compiled *compiled;
    struct attr_map map;
    struct items items;
    bool drained;
};

static struct attributes *attributes_of(struct component *c)
{
    CHECK(c->type == &attributes_type || c->type == &resource_type);
    return CONTAINER_OF(c, struct attributes, c);
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

static bool edit_spans(struct attributes *m, struct editor *ed, const struct request_info *info)
{
    struct scope_look look = {0};

    for (uint32_t i = 0; i < ed->n_spans; i++) {
        if (!selection_has(&m->compiled->selection, ed, i, &look))
            continue;
        if (!attr_map_load(&m->map, span_body(editor_span(ed, i)), SPAN_ATTRIBUTES) ||
            !actions_run(m->compiled->actions, &m->map, info))
            return false;
        if (m->map.changed && !editor_write_span(ed, i, &m->map))
            return false;
    }
    return true;
}

static bool edit_resources(struct attributes *m, struct editor *ed, const struct request_info *info)
{
    for (uint32_t r = editor_first_resource(ed); r < editor_end_resource(ed); r++) {
        if (!attr_map_load(&m->map, editor_resource(ed, r), RESOURCE_ATTRIBUTES) ||
            !actions_run(m->compiled->actions, &m->map, info))
            return false;
        if (m->map.changed && !editor_write_resource(ed, r, &m->map))
            return false;
    }
    return true;
}

static bool edit(struct attributes *m, struct batch *b)
{
    bool edited = false, fine = true;

    for (uint32_t i = 0; fine && i < b->n_parts; i++) {
        struct editor ed = editor_of(b, i);

        fine = m->c.type == &attributes_type ? edit_spans(m, &ed, b->info) : edit_resources(m, &ed, b->info);
        edited |= ed.edited;
    }
    if (fine && edited)
        batch_settle(b, FATE_FILTERED, DROP_NONE);
    return fine;
}

static void attributes_push(struct component *c, struct batch **take)
{
    struct attributes *m = attributes_of(c);
    uint64_t n = (*take)->n_spans;

    series_add(m->items.incoming, n);
    if (m->drained) {
        processor_closed(take);
        return;
    }
    if (!edit(m, *take)) {
        processor_no_memory(take);
        return;
    }
    series_add(m->items.outgoing, n);
    host_emit(c->host, take);
}

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

static struct component *new_instance(const struct component_type *type, struct host *h)
{
    struct attributes *m = mem_alloc(sizeof(*m));

    m->c = (struct component){type, h};
    m->compiled = h->shared;
    m->items = items_new(h);
    attr_map_init(&m->map, h->budget);
    return &m->c;
}

static struct component *attributes_create(struct host *h, const void *settings, struct err *err)
{
    (void)settings, (void)err;
    return new_instance(&attributes_type, h);
}

static struct component *resource_create(struct host *h, const void *settings, struct err *err)
{
    (void)settings, (void)err;
    return new_instance(&resource_type, h);
}

static void attributes_drain(struct component *c)
{
    struct attributes *m = attributes_of(c);

    if (m->drained)
        return;
    m->drained = true;
    host_drained(c->host);
}

static void attributes_destroy(struct component **c)
{
    struct attributes *m;

    if (!*c)
        return;
    m = attributes_of(*c);
    attr_map_free(&m->map);
    free(m);
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
    .mutates = true,
    .check = attributes_check,
    .shared_create = attributes_shared_create,
    .shared_destroy = attributes_shared_destroy,
    .create = attributes_create,
    .push = attributes_push,
    .drain = attributes_drain,
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
    .mutates = true,
    .check = resource_check,
    .shared_create = resource_shared_create,
    .shared_destroy = attributes_shared_destroy,
    .create = resource_create,
    .push = attributes_push,
    .drain = attributes_drain,
    .destroy = attributes_destroy,
};
