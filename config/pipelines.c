/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipelines: ids become pointers, and the whole is checked as a graph: every reference is
 * configured, every connector has both its ends, nothing runs in a circle. What the Collector finds
 * only when it builds or starts the graph is found here.
 */
#include <stdlib.h>
#include <string.h>

#include "config/loader.h"
#include "pipeline/registry.h"
#include "platform/nearest.h"

struct refs {
    const struct plan_component **v;
    struct pos *at;
    size_t n;
};

struct id_source {
    struct loader *l;
    enum component_kind kind, or_kind;
};

static const char *id_at(const void *ctx, size_t i)
{
    const struct id_source *s = ctx;
    for (size_t k = 0; k < s->l->plan->n_components; k++) {
        enum component_kind kind = s->l->components[k].type->kind;
        if ((kind == s->kind || kind == s->or_kind) && i-- == 0)
            return s->l->components[k].id;
    }
    return NULL;
}

/* The kind that has this id, to say "that one is an exporter"; COMPONENT_KINDS: none. */
static enum component_kind kind_of(struct loader *l, const char *id)
{
    for (size_t k = 0; k < l->plan->n_components; k++)
        if (strcmp(l->components[k].id, id) == 0)
            return l->components[k].type->kind;
    return COMPONENT_KINDS;
}

/* The id stands in the file, but its entry was wrong: that has been said, once is enough. */
static bool was_written(struct loader *l, enum component_kind kind, const char *id)
{
    const struct entry *section = node_find(l->root, component_kind_section(kind));
    for (size_t i = 0; section && section->value->type == NODE_MAP && i < section->value->n; i++) {
        const char *why;
        struct id have;
        if (id_parse(l->scratch, section->value->entries[i].key, &have, &why) &&
            strcmp(have.whole, id) == 0)
            return true;
    }
    return section && section->value->type == NODE_BAD;
}

void loader_not_configured(struct loader *l, struct pos at, const char *path,
                           enum component_kind kind, enum component_kind or_kind,
                           const char *id)
{
    struct id_source s = {l, kind, or_kind};
    const char *near = nearest_name(id, id_at, &s), *name = component_kind_name(kind);
    enum component_kind other = kind_of(l, id);
    const char *hint =
        arena_printf(l->scratch, "it would be an entry of %s:", component_kind_section(kind));
    if (was_written(l, kind, id) || was_written(l, or_kind, id))
        return;
    if (other != COMPONENT_KINDS)
        diag_error(l->diags, at, path, NULL, "\"%s\" is not %s but %s", id, kind_with_article(kind),
                   kind_with_article(other));
    else if (near)
        diag_error(l->diags, at, path, hint, "%s \"%s\" is not configured, did you mean \"%s\"?",
                   name, id, near);
    else
        diag_error(l->diags, at, path, hint, "%s \"%s\" is not configured", name, id);
}

static bool has_ref(const struct refs *r, const struct plan_component *c)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->v[i] == c)
            return true;
    return false;
}

static void add_ref(struct loader *l, struct refs *r, const struct node *n,
                    enum component_kind kind, enum component_kind or_kind, const char *path)
{
    const char *text, *why;
    struct id id;
    if (n->type == NODE_BAD)
        return;
    if (!decode_string(n, &text)) {
        diag_error(l->diags, n->at, path, NULL, "expected an id, this is %s", node_type_name(n));
        return;
    }
    if (!id_parse(l->scratch, text, &id, &why)) {
        diag_error(l->diags, n->at, path, NULL, "\"%s\" is not an id: %s", text, why);
        return;
    }
    struct plan_component *c = loader_find(l, kind, id.whole);
    if (!c && or_kind != kind)
        c = loader_find(l, or_kind, id.whole);
    if (!c) {
        loader_not_configured(l, n->at, path, kind, or_kind, id.whole);
    } else if (has_ref(r, c)) {
        diag_add(l->diags, kind == PROCESSOR ? DIAG_ERROR : DIAG_WARNING, n->at, path, NULL,
                 "\"%s\" stands here twice", id.whole);
    } else {
        c->used = true;
        r->v[r->n] = c;
        r->at[r->n++] = n->at;
    }
}

/* A list of ids. */
static struct refs read_refs(struct loader *l, const struct node *n, enum component_kind kind,
                             enum component_kind or_kind, const char *path)
{
    struct refs r = {0};
    if (!n || n->type == NODE_NULL || n->type == NODE_BAD)
        return r;
    if (n->type != NODE_SEQ) {
        diag_error(l->diags, n->at, path, "write [a, b], or one \"- a\" a line",
                   "expected a list of ids, this is %s", node_type_name(n));
        return r;
    }
    r.v = arena_alloc(l->plan->arena, (n->n + 1) * sizeof(struct plan_component *));
    r.at = arena_alloc(l->scratch, (n->n + 1) * sizeof(*r.at));
    for (size_t i = 0; i < n->n; i++)
        add_ref(l, &r, n->items[i], kind, or_kind, path);
    return r;
}

void load_extensions(struct loader *l, const struct node *list)
{
    struct refs r = read_refs(l, list, EXTENSION, EXTENSION, "service.extensions");
    l->plan->extensions = r.v;
    l->plan->n_extensions = r.n;
}

/* ---- one pipeline ---- */

struct draft {
    struct plan_pipeline p;
    struct pos at;
    struct refs receivers, processors, exporters;
};

static bool is_type(const struct plan_component *c, const char *name)
{
    return strcmp(c->type->name, name) == 0;
}

static void warn_order(struct loader *l, const struct draft *d, const char *path)
{
    const struct refs *r = &d->processors;
    const char *where = arena_printf(l->scratch, "%s.processors", path);
    size_t batch = SIZE_MAX;
    for (size_t i = 0; i < r->n; i++) {
        if (is_type(r->v[i], "memory_limiter") && i > 0)
            diag_warn(l->diags, r->at[i], where, NULL,
                      "memory_limiter should be the first processor: what stands before it works "
                      "on data that is then refused");
        if (is_type(r->v[i], "batch") && batch == SIZE_MAX)
            batch = i;
        if (is_type(r->v[i], "tail_sampling") && batch < i)
            diag_warn(l->diags, r->at[batch], where, NULL,
                      "batch stands before tail_sampling, which takes the batches apart again: put "
                      "it after");
    }
}

static void mark_connectors(struct loader *l, const struct refs *r, bool as_exporter)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->v[i]->type->kind != CONNECTOR)
            continue;
        struct origin *o = loader_origin(l, r->v[i]);
        *(as_exporter ? &o->as_exporter : &o->as_receiver) = true;
        o->used_at = r->at[i];
    }
}

static const char *pipeline_key_at(const void *ctx, size_t i)
{
    (void)ctx;
    static const char *const names[] = {"receivers", "processors", "exporters", NULL};
    return names[i];
}

static void check_pipeline_keys(struct loader *l, const struct node *n, const char *path)
{
    for (size_t i = 0; i < n->n; i++) {
        const char *key = n->entries[i].key;
        if (strcmp(key, "receivers") == 0 || strcmp(key, "processors") == 0 ||
            strcmp(key, "exporters") == 0)
            continue;
        const char *near = nearest_name(key, pipeline_key_at, NULL);
        const char *where = arena_printf(l->scratch, "%s.%s", path, key);
        diag_error(l->diags, n->entries[i].at, where,
                   "a pipeline has receivers, processors and exporters",
                   near ? "unknown key, did you mean \"%s\"?" : "unknown key", near);
    }
}

static const struct node *value_of(const struct node *n, const char *key)
{
    const struct entry *e = node_find(n, key);
    return e ? e->value : NULL;
}

static bool nothing(const struct node *n)
{
    return !n || n->type == NODE_NULL || (n->type == NODE_SEQ && n->n == 0);
}

static void read_ends(struct loader *l, struct draft *d, const struct node *n, const char *path)
{
    const struct node *receivers = value_of(n, "receivers"), *exporters = value_of(n, "exporters");
    d->receivers = read_refs(l, receivers, RECEIVER, CONNECTOR,
                             arena_printf(l->scratch, "%s.receivers", path));
    d->processors = read_refs(l, value_of(n, "processors"), PROCESSOR, PROCESSOR,
                              arena_printf(l->scratch, "%s.processors", path));
    d->exporters = read_refs(l, exporters, EXPORTER, CONNECTOR,
                             arena_printf(l->scratch, "%s.exporters", path));
    if (nothing(receivers))
        diag_error(l->diags, d->at, path, NULL, "the pipeline must have at least one receiver");
    if (nothing(exporters))
        diag_error(l->diags, d->at, path, NULL, "the pipeline must have at least one exporter");
}

static void read_pipeline(struct loader *l, struct draft *d, const struct entry *e,
                          const char *path)
{
    const struct node *n = e->value;
    d->at = e->at;
    if (n->type == NODE_BAD)
        return;
    if (n->type != NODE_MAP && n->type != NODE_NULL) {
        diag_error(l->diags, n->at, path, NULL,
                   "expected a map of receivers, processors and exporters, this is %s",
                   node_type_name(n));
        return;
    }
    check_pipeline_keys(l, n, path);
    read_ends(l, d, n, path);
    warn_order(l, d, path);
    mark_connectors(l, &d->receivers, false);
    mark_connectors(l, &d->exporters, true);
    d->p.receivers = d->receivers.v;
    d->p.n_receivers = d->receivers.n;
    d->p.processors = d->processors.v;
    d->p.n_processors = d->processors.n;
    d->p.exporters = d->exporters.v;
    d->p.n_exporters = d->exporters.n;
}

/* Is it a pipeline of ours? Otherwise says why not. */
static bool traces_pipeline(struct loader *l, const struct entry *e, const char *path,
                            struct id *id)
{
    const char *why;
    if (!id_parse(l->plan->arena, e->key, id, &why)) {
        diag_error(l->diags, e->at, path, NULL, "\"%s\" is not an id: %s", e->key, why);
        return false;
    }
    if (strcmp(id->type, "traces") == 0)
        return true;
    if (strcmp(id->type, "metrics") == 0 || strcmp(id->type, "logs") == 0 ||
        strcmp(id->type, "profiles") == 0)
        diag_error(l->diags, e->at, path,
                   "remove this pipeline and what only it uses, and keep a Collector for it",
                   "tailrace handles traces only, not %s", id->type);
    else
        diag_error(l->diags, e->at, path, "a pipeline is called traces or traces/NAME",
                   "\"%s\" is not a signal", id->type);
    return false;
}

/* ---- the graph ---- */

static void check_connectors(struct loader *l)
{
    for (size_t i = 0; i < l->plan->n_components; i++) {
        const struct plan_component *c = &l->components[i];
        const struct origin *o = &l->origins[i];
        if (c->type->kind != CONNECTOR)
            continue;
        const char *path = arena_printf(l->scratch, "connectors.%s", c->id);
        if (o->as_exporter && !o->as_receiver)
            diag_error(l->diags, o->used_at, path, NULL,
                       "used as an exporter, but no pipeline has it as a receiver");
        if (o->as_receiver && !o->as_exporter)
            diag_error(l->diags, o->used_at, path, NULL,
                       "used as a receiver, but no pipeline has it as an exporter");
        if (loader_find(l, RECEIVER, c->id) || loader_find(l, EXPORTER, c->id))
            diag_error(l->diags, o->at, path, NULL,
                       "%s has the same id: rename one, for example to \"%s/connector\"",
                       loader_find(l, RECEIVER, c->id) ? "a receiver" : "an exporter", c->id);
    }
}

struct walk {
    struct loader *l;
    const struct draft *drafts;
    size_t n;
    uint8_t *state; /* 0: new, 1: on the way, 2: done */
    size_t *way;
    size_t depth;
};

static void report_cycle(const struct walk *w, size_t to)
{
    struct buf text = {0};
    size_t i = 0;
    while (w->way[i] != to)
        i++;
    for (; i < w->depth; i++)
        buf_putf(&text, "%s -> ", w->drafts[w->way[i]].p.id);
    buf_putf(&text, "%s", w->drafts[to].p.id);
    diag_error(w->l->diags, w->drafts[to].at,
               arena_printf(w->l->scratch, "service.pipelines.%s", w->drafts[to].p.id), NULL,
               "the pipelines form a circle: %.*s", (int)text.len, (const char *)text.p);
    buf_free(&text);
}

static void visit(struct walk *w, size_t i)
{
    w->state[i] = 1;
    w->way[w->depth++] = i;
    for (size_t e = 0; e < w->drafts[i].exporters.n; e++) {
        const struct plan_component *c = w->drafts[i].exporters.v[e];
        for (size_t k = 0; c->type->kind == CONNECTOR && k < w->n; k++) {
            if (!has_ref(&w->drafts[k].receivers, c))
                continue;
            if (w->state[k] == 1)
                report_cycle(w, k);
            else if (w->state[k] == 0)
                visit(w, k);
        }
    }
    w->depth--;
    w->state[i] = 2;
}

static void check_cycles(struct loader *l, const struct draft *drafts, size_t n)
{
    struct walk w = {l,
                     drafts,
                     n,
                     arena_alloc(l->scratch, n + 1),
                     arena_alloc(l->scratch, (n + 1) * sizeof(size_t)),
                     0};
    for (size_t i = 0; i < n; i++)
        if (w.state[i] == 0)
            visit(&w, i);
}

static bool same_id(const struct draft *d, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(d[i].p.id, id) == 0)
            return true;
    return false;
}

void load_pipelines(struct loader *l, const struct node *n, struct pos at)
{
    if (n && n->type == NODE_BAD)
        return;
    if (n && n->type != NODE_MAP && n->type != NODE_NULL) {
        diag_error(l->diags, n->at, "service.pipelines", NULL,
                   "expected a map of pipelines, this is %s", node_type_name(n));
        return;
    }
    if (!n || n->n == 0) {
        diag_error(l->diags, at, "service.pipelines",
                   "traces: {receivers: [otlp], exporters: [otlp_grpc]}",
                   "there must be at least one pipeline");
        return;
    }
    struct draft *drafts = arena_alloc(l->scratch, n->n * sizeof(*drafts));
    struct plan_pipeline *out = arena_alloc(l->plan->arena, n->n * sizeof(*out));
    size_t count = 0;
    for (size_t i = 0; i < n->n; i++) {
        const char *path = arena_printf(l->scratch, "service.pipelines.%s", n->entries[i].key);
        struct id id;
        if (!traces_pipeline(l, &n->entries[i], path, &id))
            continue;
        if (same_id(drafts, count, id.whole)) {
            diag_error(l->diags, n->entries[i].at, path, NULL,
                       "the id \"%s\" is given twice (spaces do not count)", id.whole);
            continue;
        }
        drafts[count].p.id = id.whole;
        read_pipeline(l, &drafts[count++], &n->entries[i], path);
    }
    check_connectors(l);
    check_cycles(l, drafts, count);
    for (size_t i = 0; i < count; i++)
        out[i] = drafts[i].p;
    l->plan->pipelines = out;
    l->plan->n_pipelines = count;
}
