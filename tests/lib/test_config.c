/* SPDX-License-Identifier: Apache-2.0 */
/* See test_config.h. */
#include "tests/lib/test_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "component/storage.h"

static const char *const colors[] = {"red", "green", "blue", NULL};

static const struct key deep_keys[] = {
    {.name = "level",
     .type = KEY_T_UINT,
     .offset = 0,
     .dflt = "3",
     .min = 0,
     .max = 9,
     .doc = "How deep."},
    KEY_END,
};
static const struct key inner_keys[] = {
    KEY_STR(struct probe_inner, endpoint, "localhost:1", "Where to listen."),
    KEY_DURATION(struct probe_inner, wait, "2s", 0, 60, "How long to wait."),
    KEY_UINT(struct probe_inner, size, "4", 0, 1e9, "How many."),
    KEY_OPTIONAL(struct probe_inner, deep, SECTION_DEFAULT_OFF, deep_keys, "Deeper still."),
    KEY_END,
};
static const struct key latency_keys[] = {
    {.name = "threshold_ms",
     .type = KEY_T_INT,
     .offset = 0,
     .dflt = "0",
     KEY_ANY,
     .doc = "The longest trace that is not kept."},
    KEY_END,
};
static const struct key item_keys[] = {
    {.name = "name",
     .type = KEY_T_STR,
     .offset = offsetof(struct probe_item, name),
     .dflt = "",
     .required = true,
     KEY_ANY,
     .doc = "Its name."},
    KEY_STR(struct probe_item, type, "plain", "Its type."),
    KEY_UINT(struct probe_item, limit, "7", 1, 100, "Its limit."),
    KEY_SECTION(struct probe_item, latency, latency_keys, "For slow ones."),
    KEY_END,
};
static const struct key probe_keys[] = {
    KEY_BOOL(struct probe, flag, "true", "A switch."),
    KEY_INT(struct probe, count, "-1", -100, 100, "A number."),
    KEY_UINT(struct probe, size, "10", 0, 1e15, "A size."),
    KEY_DOUBLE(struct probe, ratio, "0.5", 0, 100, "A share."),
    KEY_DURATION(struct probe, timeout, "200ms", 0, 3600, "How long."),
    {.name = "text",
     .type = KEY_T_STR,
     .offset = offsetof(struct probe, text),
     .dflt = "hello",
     KEY_ANY,
     .set_offset_valid = true,
     .set_offset = offsetof(struct probe, text_given),
     .old_name = "label",
     .doc = "Some text."},
    KEY_ENUM(struct probe, color, "green", colors, "A colour."),
    KEY_SECRET(struct probe, token, NULL, "A secret."),
    KEY_STRS(struct probe, names, "[a, b]", "Some names."),
    KEY_PAIRS(struct probe, headers, "Some headers."),
    KEY_LIST(struct probe, items, struct probe_item, item_keys, "Some items."),
    KEY_VALUE(struct probe, any, "Anything."),
    KEY_EXTENSION(struct probe, storage, EXT_STORAGE, "Where to store."),
    KEY_SECTION(struct probe, plain, inner_keys, "Always there."),
    KEY_OPTIONAL(struct probe, off, SECTION_OFF, inner_keys, "Off."),
    KEY_OPTIONAL(struct probe, lazy, SECTION_DEFAULT_OFF, inner_keys, "Off unless named."),
    KEY_OPTIONAL(struct probe, on, SECTION_ON, inner_keys, "On."),
    KEY_IGNORED("silent", false, "Nothing."),
    KEY_IGNORED("loud", true, "Nothing either."),
    KEY_NOT_YET("future", "Something to come."),
    KEY_END,
};

/* Two rules between keys: a position inside a list, and a warning. */
static void probe_check(const void *settings, struct check *c)
{
    const struct probe *s = settings;
    const struct probe_item *items = s->items.v;
    for (size_t i = 0; i < s->items.n; i++) {
        char path[64];
        snprintf(path, sizeof(path), "items[%zu].latency.threshold_ms", i);
        if (items[i].latency.threshold_ms < 0)
            check_error(c, path, "must not be negative");
    }
    if (s->ratio > 1)
        check_warn(c, "ratio", "over 1");
}

static void probe_limits(const void *settings, uint64_t total, uint64_t *soft, uint64_t *limit)
{
    (void)total;
    *limit = ((const struct probe *)settings)->size << 20;
    *soft = *limit / 2;
}

static const struct storage_ops probe_storage = {.open = NULL};

static unsigned probe_provides(const void *settings)
{
    return ((const struct probe *)settings)->flag ? EXT_STORAGE : 0;
}

#define PROBE_TYPE(kind_, name_, old_, ...)                                                        \
    &(const struct component_type)                                                                 \
    {                                                                                              \
        .kind = kind_, .name = name_, .old_name = old_, .stability = "beta",                       \
        .summary = "A probe.", .keys = probe_keys, .settings_size = sizeof(struct probe),          \
        .check = probe_check, ##__VA_ARGS__                                                        \
    }

static const struct component_type forward_probe = {
    .kind = CONNECTOR,
    .name = "link",
    .stability = "beta",
    .summary = "A connector without keys.",
};

const struct component_type *const probe_types[] = {
    PROBE_TYPE(RECEIVER, "probe", NULL),
    PROBE_TYPE(PROCESSOR, "probe", NULL),
    PROBE_TYPE(PROCESSOR, "batch", NULL),
    PROBE_TYPE(PROCESSOR, "tail_sampling", NULL),
    PROBE_TYPE(PROCESSOR, "memory_limiter", NULL, .memory_limits = probe_limits),
    PROBE_TYPE(EXPORTER, "probe_grpc", "probe"),
    PROBE_TYPE(EXPORTER, "sink", NULL),
    &forward_probe,
    PROBE_TYPE(EXTENSION, "watch", NULL),
    PROBE_TYPE(EXTENSION, "disk", NULL, .storage = &probe_storage, .provides = probe_provides),
};
const size_t n_probe_types = ARRAY_LEN(probe_types);

struct loaded load_uris(const char *const *uris, size_t n_uris, const char *const *sets,
                        size_t n_sets)
{
    struct load_options o = {.args = {uris, n_uris, sets, n_sets},
                             .types = probe_types,
                             .n_types = n_probe_types,
                             .total_bytes = 1000 << 20};
    struct diags *d = diags_new();
    struct loaded l = {.plan = config_load(&o, d)};
    struct buf text = {0};
    diags_print(d, &text);
    buf_putc(&text, 0);
    l.text = mem_dup((const char *)text.p);
    l.n_errors = d->n_errors;
    l.n_warnings = d->n_warnings;
    buf_free(&text);
    diags_free(&d);
    return l;
}

struct loaded load_text(const char *yaml)
{
    char *uri = mem_printf("yaml:%s", yaml);
    const char *const uris[] = {uri};
    struct loaded l = load_uris(uris, 1, NULL, 0);
    free(uri);
    return l;
}

struct loaded load_probe(const char *settings)
{
    char *yaml =
        mem_printf("receivers: {probe: }\n"
                   "processors:\n"
                   "  probe:\n"
                   "%s\n"
                   "exporters: {sink: }\n"
                   "service:\n"
                   "  telemetry: {metrics: {level: none}}\n"
                   "  pipelines:\n"
                   "    traces: {receivers: [probe], processors: [probe], exporters: [sink]}\n",
                   settings);
    struct loaded l = load_text(yaml);
    free(yaml);
    return l;
}

void loaded_free(struct loaded *l)
{
    plan_free(&l->plan);
    free(l->text);
    *l = (struct loaded){0};
}

const struct probe *probe_of(const struct loaded *l)
{
    for (size_t i = 0; l->plan && i < l->plan->n_components; i++)
        if (l->plan->components[i].type->kind == PROCESSOR &&
            strcmp(l->plan->components[i].id, "probe") == 0)
            return l->plan->components[i].settings;
    return NULL;
}
