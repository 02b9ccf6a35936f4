/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: resolve -> components -> service -> graph -> limits. Each step reports what it finds and
 * goes on, so that one run tells everything.
 */
#include "config/load.h"

#include <stdlib.h>
#include <string.h>

#include "config/loader.h"
#include "pipeline/registry.h"
#include "platform/nearest.h"

static const char *const top_keys[] = {"receivers",  "processors", "exporters", "connectors",
                                       "extensions", "service",    NULL};
static const char *const service_keys[] = {"extensions", "pipelines", "telemetry", NULL};

static const char *word_at(const void *ctx, size_t i)
{
    return ((const char *const *)ctx)[i];
}

/* True when a key is a slip of `pipelines`. */
static bool check_words(struct loader *l, const struct node *n, const char *const *words,
                        const char *prefix, const char *hint)
{
    bool pipelines = false;
    for (size_t i = 0; n && n->type == NODE_MAP && i < n->n; i++) {
        const struct entry *e = &n->entries[i];
        bool known = false;
        for (const char *const *w = words; *w; w++)
            known |= strcmp(*w, e->key) == 0;
        if (known)
            continue;
        const char *path = arena_printf(l->scratch, "%s%s", prefix, e->key),
                   *near = nearest_name(e->key, word_at, words);
        pipelines |= near && strcmp(near, "pipelines") == 0;
        if (words == top_keys &&
            (strcmp(e->key, "pipelines") == 0 || strcmp(e->key, "telemetry") == 0))
            diag_error(l->diags, e->at, path, hint, "unknown key here: it belongs under service");
        else
            diag_error(l->diags, e->at, path, hint,
                       near ? "unknown key, did you mean \"%s\"?" : "unknown key", near);
    }
    return pipelines;
}

static const struct node *section(const struct node *map, const char *key, struct pos *at)
{
    const struct entry *e = node_find(map, key);
    if (!e)
        return NULL;
    *at = e->at;
    return e->value;
}

static void need_sections(struct loader *l)
{
    static const char *const needed[] = {"receivers", "exporters", NULL};
    for (const char *const *s = needed; *s; s++) {
        struct pos at = l->root->at;
        const struct node *n = section(l->root, *s, &at);
        if (!n || n->type == NODE_NULL || (n->type == NODE_MAP && n->n == 0))
            diag_error(l->diags, n ? at : (struct pos){.file = l->root->at.file}, *s, NULL,
                       "there must be at least one %.*s", (int)strlen(*s) - 1, *s);
    }
}

static void load_service(struct loader *l)
{
    struct pos at = {.file = l->root->at.file}, here;
    const struct node *service = section(l->root, "service", &at);
    if (service && service->type == NODE_BAD)
        return;
    if (service && service->type != NODE_MAP && service->type != NODE_NULL) {
        diag_error(l->diags, service->at, "service", NULL, "expected a map, this is %s",
                   node_type_name(service));
        return;
    }
    bool misspelt = check_words(l, service, service_keys, "service.",
                                "under service stand extensions, pipelines and telemetry");
    here = at;
    const struct node *telemetry = section(service, "telemetry", &here);
    load_telemetry(l, telemetry, here);
    load_extensions(l, section(service, "extensions", &here));
    here = at;
    const struct node *pipelines = section(service, "pipelines", &here);
    if (pipelines || !misspelt)
        load_pipelines(l, pipelines, here);
}

/* The tightest memory_limiter that a pipeline uses; without one a share of what there is. */
static void set_memory_limits(struct plan *p, uint64_t total)
{
    p->memory_soft_bytes = total / 100 * LOAD_SOFT_PERCENT;
    p->memory_limit_bytes = total / 100 * LOAD_LIMIT_PERCENT;
    for (size_t i = 0; i < p->n_components; i++) {
        const struct plan_component *c = &p->components[i];
        uint64_t soft, limit;
        if (!c->used || !c->type->memory_limits)
            continue;
        c->type->memory_limits(c->settings, total, &soft, &limit);
        if (!p->memory_from_limiter || limit < p->memory_limit_bytes) {
            p->memory_soft_bytes = soft;
            p->memory_limit_bytes = limit;
        }
        p->memory_from_limiter = true;
    }
}

/* The components were an array that grew; from here on they stay where they are. */
static void settle_components(struct loader *l)
{
    size_t size = l->plan->n_components * sizeof(struct plan_component);
    struct plan_component *kept = arena_alloc(l->plan->arena, size + 1);
    if (size)
        memcpy(kept, l->components, size);
    free(l->components);
    l->components = kept;
    l->plan->components = kept;
}

static void load_all(struct loader *l, uint64_t total)
{
    if (l->root->n == 0) {
        diag_error(l->diags, (struct pos){.file = l->root->at.file}, "", NULL,
                   "the configuration is empty");
        return;
    }
    check_words(
        l, l->root, top_keys, "",
        "at the top stand receivers, processors, exporters, connectors, extensions and service");
    load_components(l);
    settle_components(l);
    need_sections(l);
    size_t errors = l->diags->n_errors;
    load_service(l);
    load_references(l);
    load_warnings(l, errors == l->diags->n_errors);
    set_memory_limits(l->plan, total);
}

static void keep_files(struct plan *plan, const struct diags *d)
{
    plan->files = arena_alloc(plan->arena, (d->n_files + 1) * sizeof(*plan->files));
    for (; plan->n_files < d->n_files; plan->n_files++)
        plan->files[plan->n_files] = arena_printf(plan->arena, "%s", d->files[plan->n_files]);
}

struct plan *config_load(const struct load_options *o, struct diags *d)
{
    struct plan *plan = mem_alloc(sizeof(*plan));
    struct loader l = {.scratch = arena_new(),
                       .diags = d,
                       .plan = plan,
                       .types = o->types ? o->types : registry,
                       .n_types = o->types ? o->n_types : registry_len,
                       .instance_id = o->instance_id};
    plan->arena = arena_new();
    l.root = resolve_config(l.scratch, &o->args, d);
    bool usable = l.root && l.root->type == NODE_MAP;
    if (usable)
        load_all(&l, o->total_bytes ? o->total_bytes : mem_total_bytes());
    keep_files(plan, d);
    arena_free(&l.scratch);
    free(l.origins);
    if (!usable || (d->n_errors && !o->keep_faulty))
        plan_free(&plan);
    return plan;
}
