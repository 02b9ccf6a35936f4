/* SPDX-License-Identifier: Apache-2.0 */
/*
 * References: settings that name an extension (KEY_EXTENSION). Each must be configured, run and
 * provide what the row asks for. The Collector finds this out when it starts, and only for
 * components that are used; so is it here, but with the place in the file.
 *
 * Found references become plan_component.uses. Extensions that others name come first in the plan; a
 * circle of them is an error.
 */
#include <string.h>

#include "config/check.h"
#include "config/loader.h"
#include "pipeline/registry.h"

struct referrer {
    struct loader *l;
    struct plan_component *c;
    struct check check;
    const char *prefix; /* "exporters.otlp" */
};

static bool runs(const struct plan *p, const struct plan_component *c)
{
    for (size_t i = 0; i < p->n_extensions; i++)
        if (p->extensions[i] == c)
            return true;
    return false;
}

/* "file_storage, other": the types that could be named here. */
static const char *types_that_provide(const struct loader *l, unsigned provides)
{
    struct buf text = {0};
    const char *kept;
    for (size_t i = 0; i < l->n_types; i++)
        if (l->types[i]->kind == EXTENSION && (extension_provides(l->types[i], NULL) & provides))
            buf_putf(&text, "%s%s", text.len ? ", " : "", l->types[i]->name);
    kept = arena_dup_n(l->scratch, (const char *)text.p, text.len);
    buf_free(&text);
    return kept;
}

static void complain_thing(struct referrer *r, struct pos at, const char *path,
                           const struct plan_component *ext, unsigned provides)
{
    const char *thing = extension_thing(provides), *names = types_that_provide(r->l, provides);
    bool could = extension_provides(ext->type, NULL) & provides;
    const char *hint = names[0] ? arena_printf(r->l->scratch, "%s is provided by: %s", thing, names) : NULL;
    if (could)
        diag_error(r->l->diags, at, path, NULL, "extension \"%s\" does not provide %s with these settings",
                   ext->id, thing);
    else
        diag_error(r->l->diags, at, path, hint, "extension \"%s\" does not provide %s", ext->id, thing);
}

static void add_use(struct referrer *r, const struct plan_component *ext)
{
    struct plan_component *c = r->c;
    const struct plan_component **grown = arena_alloc(r->l->plan->arena, (c->n_uses + 1) * sizeof(*grown));
    if (c->n_uses)
        memcpy(grown, c->uses, c->n_uses * sizeof(*grown));
    grown[c->n_uses++] = ext;
    c->uses = grown;
}

static void look_at(struct referrer *r, const struct key *k, const char *id, const char *path)
{
    struct plan_component *ext = loader_find(r->l, EXTENSION, id);
    struct pos at = check_place(&r->check, path);
    const char *whole = arena_printf(r->l->scratch, "%s.%s", r->prefix, path);
    if (!ext)
        loader_not_configured(r->l, at, whole, EXTENSION, EXTENSION, id);
    else if (!runs(r->l->plan, ext))
        diag_error(r->l->diags, at, whole, "service.extensions lists what runs",
                   "extension \"%s\" is configured but does not run: add it to service.extensions", id);
    else if (!(extension_provides(ext->type, ext->settings) & k->provides))
        complain_thing(r, at, whole, ext, k->provides);
    else
        add_use(r, ext);
}

static void walk(struct referrer *r, const struct key *keys, const char *base, const char *prefix);

static void walk_list(struct referrer *r, const struct key *k, const struct item_list *list,
                      const char *path)
{
    for (size_t i = 0; i < list->n; i++)
        walk(r, k->sub, (const char *)list->v + i * k->sub_size,
             arena_printf(r->l->scratch, "%s[%zu]", path, i));
}

static void walk(struct referrer *r, const struct key *keys, const char *base, const char *prefix)
{
    for (const struct key *k = keys; k && k->type != KEY_T_END; k++) {
        const char *path, *id;
        if (k->type != KEY_T_SECTION && k->type != KEY_T_LIST && k->type != KEY_T_EXTENSION)
            continue;
        path = arena_printf(r->l->scratch, "%s%s%s", prefix, prefix[0] ? "." : "", k->name);
        if (k->type == KEY_T_LIST)
            walk_list(r, k, (const struct item_list *)(base + k->offset), path);
        else if (k->type == KEY_T_EXTENSION && (id = *(const char *const *)(base + k->offset)))
            look_at(r, k, id, path);
        else if (k->type == KEY_T_SECTION &&
                 (k->mode == SECTION_PLAIN || *(const bool *)(base + k->enabled_offset)))
            walk(r, k->sub, base + k->offset, path);
    }
}

/* ---- order ---- */

struct order {
    struct loader *l;
    const struct plan_component **out;
    size_t n, depth;
};

static bool placed(const struct order *o, const struct plan_component *c)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->out[i] == c)
            return true;
    return false;
}

/* What it uses, then itself. False: it, or what it uses, is in a circle. */
static bool place(struct order *o, const struct plan_component *c)
{
    bool ok = o->depth++ <= o->l->plan->n_extensions;
    for (size_t i = 0; ok && i < c->n_uses && !placed(o, c); i++)
        ok = place(o, c->uses[i]);
    o->depth--;
    if (ok && !placed(o, c))
        o->out[o->n++] = c;
    return ok;
}

static void order_extensions(struct loader *l)
{
    struct plan *p = l->plan;
    struct order o = {.l = l, .out = arena_alloc(p->arena, (p->n_extensions + 1) * sizeof(*o.out))};
    for (size_t i = 0; i < p->n_extensions; i++) {
        const struct plan_component *c = p->extensions[i];
        if (place(&o, c))
            continue;
        diag_error(l->diags, loader_origin(l, c)->at, arena_printf(l->scratch, "extensions.%s", c->id), NULL,
                   "extension \"%s\" needs itself, by way of the extensions it names", c->id);
        return;
    }
    p->extensions = o.out;
}

void load_references(struct loader *l)
{
    for (size_t i = 0; i < l->plan->n_components; i++) {
        struct plan_component *c = &l->components[i];
        const struct origin *o = &l->origins[i];
        if (!c->used)
            continue;
        struct referrer r = {.l = l, .c = c};
        r.prefix = arena_printf(l->scratch, "%s.%s", component_kind_section(c->type->kind), c->id);
        r.check = (struct check){l->diags, o->node, o->at, r.prefix, c->type->keys, false};
        walk(&r, c->type->keys, c->settings, "");
    }
    order_extensions(l);
}
