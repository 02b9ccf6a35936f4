/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components: each id of receivers, processors, exporters, connectors and extensions becomes a
 * plan_component with decoded and checked settings, whether a pipeline uses it or not.
 */
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/loader.h"
#include "pipeline/registry.h"
#include "platform/nearest.h"

static const struct component_type *find_type(const struct loader *l, enum component_kind kind,
                                              const char *name, bool *was_old)
{
    *was_old = false;
    for (size_t i = 0; i < l->n_types; i++) {
        const struct component_type *t = l->types[i];
        if (t->kind != kind)
            continue;
        if (strcmp(t->name, name) == 0)
            return t;
        if (t->old_name && strcmp(t->old_name, name) == 0) {
            *was_old = true;
            return t;
        }
    }
    return NULL;
}

struct plan_component *loader_find(struct loader *l, enum component_kind kind, const char *id)
{
    for (size_t i = 0; i < l->plan->n_components; i++)
        if (l->components[i].type->kind == kind && strcmp(l->components[i].id, id) == 0)
            return &l->components[i];
    return NULL;
}

struct origin *loader_origin(struct loader *l, const struct plan_component *c)
{
    return &l->origins[c - l->components];
}

const char *kind_with_article(enum component_kind kind)
{
    static const char *const names[COMPONENT_KINDS] = {"a receiver", "a processor", "an exporter",
                                                       "a connector", "an extension"};
    return names[kind];
}

/* ---- types that are not here ---- */

#define BALANCE                                                                                    \
    "not in tailrace: one process uses all CPUs; to share traces between several keep a "          \
    "Collector with it before them"
#define KUBERNETES                                                                                 \
    "not in tailrace: keep a Collector with it before this one, or give the pods "                 \
    "OTEL_RESOURCE_ATTRIBUTES"
#define DETECTION "not in tailrace: give the attributes to the resource processor, from ${env:...}"
#define SPAN_METRICS                                                                               \
    "not in tailrace: Tempo's metrics-generator makes these metrics, or a Collector with it "      \
    "before the sampling"

/* Types that the Collector has, or once had, and that people look for: what to do instead. */
static const struct {
    enum component_kind kind;
    const char *name, *say;
} missing[] = {
    {EXPORTER, "logging", "the logging exporter is gone from the Collector too: use debug"},
    {EXPORTER, "jaeger", "Jaeger takes OTLP: use otlp_grpc with its port 4317"},
    {EXPORTER, "jaeger_thrift", "Jaeger takes OTLP: use otlp_grpc with its port 4317"},
    {EXPORTER, "zipkin", "not in tailrace: send OTLP, or keep a Collector that translates"},
    {EXPORTER, "kafka", "not in tailrace: keep a Collector between it and Kafka"},
    {EXPORTER, "loadbalancing", BALANCE},
    {EXPORTER, "load_balancing", BALANCE},
    {RECEIVER, "jaeger",
     "not in tailrace: let clients send OTLP, or keep a Collector that translates"},
    {RECEIVER, "zipkin",
     "not in tailrace: let clients send OTLP, or keep a Collector that translates"},
    {RECEIVER, "kafka", "not in tailrace: keep a Collector between Kafka and it"},
    {PROCESSOR, "k8sattributes", KUBERNETES},
    {PROCESSOR, "k8s_attributes", KUBERNETES},
    {PROCESSOR, "resourcedetection", DETECTION},
    {PROCESSOR, "resource_detection", DETECTION},
    {PROCESSOR, "groupbytrace", "tail_sampling gathers the spans of a trace itself: remove it"},
    {CONNECTOR, "spanmetrics", SPAN_METRICS},
    {CONNECTOR, "span_metrics", SPAN_METRICS},
    {CONNECTOR, "servicegraph", SPAN_METRICS},
    {CONNECTOR, "service_graph", SPAN_METRICS},
    {CONNECTOR, "routing", "not in tailrace: a filter in each of several pipelines selects spans"},
    {EXTENSION, "memory_ballast",
     "memory_ballast is gone from the Collector too: memory_limiter does its work"},
    {EXTENSION, "ballast",
     "memory_ballast is gone from the Collector too: memory_limiter does its work"},
};

struct name_source {
    const struct loader *l;
    enum component_kind kind;
};

static const char *type_name_at(const void *ctx, size_t i)
{
    const struct name_source *s = ctx;
    for (size_t k = 0; k < s->l->n_types; k++)
        if (s->l->types[k]->kind == s->kind && i-- == 0)
            return s->l->types[k]->name;
    return NULL;
}

static const char *names_of_kind(const struct loader *l, enum component_kind kind)
{
    struct name_source s = {l, kind};
    struct buf text = {0};
    const char *name;
    for (size_t i = 0; (name = type_name_at(&s, i)) != NULL; i++)
        buf_putf(&text, "%s%s", i ? ", " : "", name);
    const char *kept = arena_dup_n(l->scratch, (const char *)text.p, text.len);
    buf_free(&text);
    return kept;
}

static void unknown_type(const struct loader *l, enum component_kind kind, const char *name,
                         struct pos at, const char *path)
{
    struct name_source s = {l, kind};
    const char *kind_name = component_kind_name(kind), *names = names_of_kind(l, kind);
    const char *near = nearest_name(name, type_name_at, &s);
    const char *hint = names[0] ? arena_printf(l->scratch, "%ss here: %s", kind_name, names)
                                : arena_printf(l->scratch, "there are no %ss here", kind_name);
    bool was_old;
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        if (missing[i].kind == kind && strcmp(missing[i].name, name) == 0) {
            diag_error(l->diags, at, path, hint, "unknown type \"%s\": %s", name, missing[i].say);
            return;
        }
    for (int other = 0; other < COMPONENT_KINDS; other++)
        if (other != (int)kind && find_type(l, (enum component_kind)other, name, &was_old)) {
            diag_error(l->diags, at, path, hint, "\"%s\" is not %s but %s: it belongs under %s",
                       name, kind_with_article(kind), kind_with_article((enum component_kind)other),
                       component_kind_section((enum component_kind)other));
            return;
        }
    if (near)
        diag_error(l->diags, at, path, hint, "unknown type \"%s\", did you mean \"%s\"?", name,
                   near);
    else
        diag_error(l->diags, at, path, hint, "unknown type \"%s\"", name);
}

/* ---- one component ---- */

static struct plan_component *new_component(struct loader *l, struct pos at, const struct node *n)
{
    if (l->plan->n_components == l->cap_components) {
        l->cap_components = l->cap_components ? l->cap_components * 2 : 16;
        l->components = mem_grow(l->components, l->cap_components * sizeof(*l->components));
        l->origins = mem_grow(l->origins, l->cap_components * sizeof(*l->origins));
    }
    size_t i = l->plan->n_components++;
    l->components[i] = (struct plan_component){0};
    l->origins[i] = (struct origin){.at = at, .node = n};
    return &l->components[i];
}

static void decode_component(struct loader *l, struct plan_component *c, const struct path *path,
                             const char *prefix)
{
    struct origin *o = loader_origin(l, c);
    struct decoder d = {l->plan->arena, l->diags, l->scratch, c->type->keys};
    size_t errors = l->diags->n_errors;
    void *settings =
        arena_alloc(l->plan->arena, c->type->settings_size ? c->type->settings_size : 1);
    static const struct key no_keys[] = {KEY_END};
    const struct key *keys = c->type->keys ? c->type->keys : no_keys;

    c->settings = settings;
    if (o->node->type != NODE_MAP && o->node->type != NODE_NULL && o->node->type != NODE_BAD) {
        diag_error(l->diags, o->node->at, prefix, NULL, "expected a map of settings, this is %s",
                   node_type_name(o->node));
        return;
    }
    decode_struct(&d, path, o->at, keys, o->node, settings);
    if (c->type->check && o->node->type != NODE_BAD) {
        struct check check = {l->diags, o->node, o->at, prefix, keys, errors < l->diags->n_errors};
        c->type->check(settings, &check);
    }
}

static void load_one(struct loader *l, enum component_kind kind, const struct path *section,
                     const struct entry *e)
{
    struct path path = {section, e->key, 0};
    const char *prefix = path_text(l->scratch, &path), *why;
    struct id id;
    bool was_old;
    if (!id_parse(l->plan->arena, e->key, &id, &why)) {
        diag_error(l->diags, e->at, prefix, NULL, "\"%s\" is not an id: %s", e->key, why);
        return;
    }
    const struct component_type *type = find_type(l, kind, id.type, &was_old);
    if (!type) {
        unknown_type(l, kind, id.type, e->at, prefix);
        return;
    }
    if (was_old)
        diag_warn(l->diags, e->at, prefix, NULL, "\"%s\" alias is deprecated; use \"%s\" instead",
                  id.type, type->name);
    if (loader_find(l, kind, id.whole)) {
        diag_error(l->diags, e->at, prefix, NULL,
                   "the id \"%s\" is given twice (spaces do not count)", id.whole);
        return;
    }
    struct plan_component *c = new_component(l, e->at, e->value);
    c->type = type;
    c->id = id.whole;
    decode_component(l, c, &path, prefix);
}

void load_components(struct loader *l)
{
    for (int kind = 0; kind < COMPONENT_KINDS; kind++) {
        const char *section = component_kind_section((enum component_kind)kind);
        struct path path = {NULL, section, 0};
        const struct entry *e = node_find(l->root, section);
        if (!e || e->value->type == NODE_NULL || e->value->type == NODE_BAD)
            continue;
        if (e->value->type != NODE_MAP) {
            diag_error(l->diags, e->value->at, section, NULL, "expected a map of ids, this is %s",
                       node_type_name(e->value));
            continue;
        }
        for (size_t i = 0; i < e->value->n; i++)
            load_one(l, (enum component_kind)kind, &path, &e->value->entries[i]);
    }
}

/* ---- warnings about the whole ---- */

/* "0.0.0.0:4317", "[::]:4317", ":4317" */
static bool everywhere(const char *endpoint)
{
    return strncmp(endpoint, "0.0.0.0:", 8) == 0 || strncmp(endpoint, "[::]:", 5) == 0 ||
           endpoint[0] == ':';
}

/* Every `endpoint` of a listener's settings. */
static void look_for_open(struct check *c, const struct key *keys, const char *base,
                          const char *prefix, struct arena *a)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        const char *path = arena_printf(a, "%s%s%s", prefix, prefix[0] ? "." : "", k->name);
        if (k->type == KEY_T_SECTION &&
            (k->mode == SECTION_PLAIN || *(const bool *)(base + k->enabled_offset)))
            look_for_open(c, k->sub, base + k->offset, path, a);
        if (k->type != KEY_T_STR || strcmp(k->name, "endpoint") != 0)
            continue;
        const char *value = *(const char *const *)(base + k->offset);
        if (value && everywhere(value) &&
            !diags_mention(c->diags, arena_printf(a, "%s.%s", c->prefix, path)))
            check_warn(c, path,
                       "%s listens on every interface of the machine; localhost or the pod's own "
                       "address is safer",
                       value);
    }
}

void load_warnings(struct loader *l, bool unused)
{
    for (size_t i = 0; i < l->plan->n_components; i++) {
        const struct plan_component *c = &l->components[i];
        const struct origin *o = &l->origins[i];
        const char *section = component_kind_section(c->type->kind);
        const char *prefix = arena_printf(l->scratch, "%s.%s", section, c->id);
        if (!c->used && unused) {
            diag_warn(l->diags, o->at, prefix, NULL, "no %s uses this %s",
                      c->type->kind == EXTENSION ? "entry of service.extensions" : "pipeline",
                      component_kind_name(c->type->kind));
        } else if (c->used && (c->type->kind == RECEIVER || c->type->kind == EXTENSION) &&
                   c->type->keys) {
            struct check check = {l->diags, o->node, o->at, prefix, c->type->keys, false};
            look_for_open(&check, c->type->keys, c->settings, "", l->scratch);
        }
    }
}
