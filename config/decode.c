/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding a table: defaults first, then what the file says, then what is missing. A section that
 * is null keeps its defaults; what an optional section's absence means stands in its row.
 *
 * Nothing stops at the first mistake: each goes to the diags with its place, and decoding goes on.
 */
#include "config/decode.h"

#include <string.h>

#include "config/decode_priv.h"
#include "config/scalar.h"
#include "config/unknown_key.h"
#include "config/yaml.h"

const char *path_text(struct arena *a, const struct path *p)
{
    if (!p)
        return "";
    const char *up = path_text(a, p->up);
    if (!p->name)
        return arena_printf(a, "%s[%zu]", up, p->index);
    return arena_printf(a, "%s%s%s", up, up[0] ? "." : "", p->name);
}

const struct key *key_find(const struct key *keys, const char *name)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    for (const struct key *k = keys; k->type != KEY_T_END; k++)
        if (k->old_name && strcmp(k->old_name, name) == 0)
            return k;
    return NULL;
}

static void set_defaults(const struct decoder *d, const struct path *path, const struct key *keys,
                         char *to);

static void set_list(const struct slot *s)
{
    const struct node *n = s->n;
    struct item_list *out = s->field;
    *out = (struct item_list){0};
    if (n->type != NODE_SEQ) {
        if (n->type != NODE_NULL)
            slot_wrong_type(s, n, "a list");
        return;
    }
    char *v = arena_alloc(s->d->arena, (n->n + 1) * s->key->sub_size);
    for (size_t i = 0; i < n->n; i++) {
        struct path at = {s->path, NULL, i};
        struct slot item = *s;
        item.path = &at;
        if (n->items[i]->type == NODE_MAP || n->items[i]->type == NODE_NULL ||
            n->items[i]->type == NODE_BAD)
            decode_struct(s->d, &at, n->items[i]->at, s->key->sub, n->items[i],
                          v + i * s->key->sub_size);
        else {
            set_defaults(s->d, &at, s->key->sub, v + i * s->key->sub_size);
            slot_wrong_type(&item, n->items[i], "a map");
        }
    }
    *out = (struct item_list){v, n->n};
}

/* ---- sections ---- */

static void decode_keys(const struct decoder *d, const struct path *path, const struct key *keys,
                        const struct key *parent, const struct node *n, char *to);

/* `enabled:` of an optional section; true when absent. */
static bool section_enabled(const struct slot *s)
{
    const struct entry *e = node_find(s->n, "enabled");
    struct path here = {s->path, "enabled", 0};
    if (!e || e->value->type == NODE_BAD)
        return true;
    if (e->value->type == NODE_BOOL)
        return e->value->i;
    diag_error(s->d->diags, e->value->at, path_text(s->d->diags->arena, &here),
               "enabled: true or false. Turns the section on or off.",
               "expected true or false, this is %s", node_type_name(e->value));
    return true;
}

/* The defaults of the section are in place already. base is the parent's struct. */
static void set_section(const struct slot *s, char *base)
{
    const struct key *k = s->key;
    bool own_enabled = key_find(k->sub, "enabled") != NULL;
    if (s->n->type != NODE_MAP && s->n->type != NODE_NULL) {
        slot_wrong_type(s, s->n, "a map");
        return;
    }
    if (k->mode != SECTION_PLAIN) {
        bool *enabled = (bool *)(base + k->enabled_offset);
        if (s->n->type == NODE_MAP || k->mode != SECTION_OFF)
            *enabled = own_enabled || section_enabled(s);
        /* what stands in a section that is off is read all the same, as the Collector does */
    }
    if (s->n->type == NODE_MAP)
        decode_keys(s->d, s->path, k->sub, k->mode != SECTION_PLAIN && !own_enabled ? k : NULL,
                    s->n, base + k->offset);
}

/* ---- rows ---- */

/* Nothing is asked for: a null, [] or enabled: false. */
static bool turned_off(const struct node *n)
{
    const struct entry *e = node_find(n, "enabled");
    return n->type == NODE_NULL || (n->type == NODE_SEQ && n->n == 0) ||
           (e && e->value->type == NODE_BOOL && !e->value->i);
}

static void set_field(const struct slot *s, char *base)
{
    struct slot here = *s;
    here.field = base + s->key->offset;
    if (s->n->type == NODE_BAD)
        return;
    switch (s->key->type) {
    case KEY_T_SECTION:
        set_section(&here, base);
        break;
    case KEY_T_LIST:
        set_list(&here);
        break;
    case KEY_T_IGNORED:
        if (s->key->warn)
            slot_complain(s, DIAG_WARNING, s->n, "accepted, but it has no effect here");
        break;
    case KEY_T_NOT_YET:
        if (!turned_off(s->n))
            slot_complain(s, DIAG_ERROR, s->n, "not supported yet");
        break;
    default:
        decode_value(&here);
    }
}

/* The row's default as a node; NULL when the zero value is it. */
static const struct node *default_node(const struct decoder *d, const struct key *k)
{
    if (!k->dflt)
        return NULL;
    struct arena *a = d->scratch ? d->scratch : d->arena;
    struct node *n = node_new(a, NODE_STR, (struct pos){0});
    n->text = k->dflt;
    bool text = k->type == KEY_T_STR || k->type == KEY_T_ENUM || k->type == KEY_T_SECRET;
    if (k->dflt[0] == '[' || k->dflt[0] == '{' || k->dflt[0] == '"') {
        struct pos nowhere = {0};
        const struct node *parsed = yaml_parse(a, &nowhere, true, slice_str(k->dflt), NULL);
        CHECK(parsed);
        return parsed;
    }
    if (!text)
        scalar_resolve(n);
    return n;
}

/* A required text is "" until it is read, not NULL: check() runs even when reading it failed. */
static void fill_text(const struct key *k, char *to)
{
    if (k->required && !k->dflt &&
        (k->type == KEY_T_STR || k->type == KEY_T_SECRET || k->type == KEY_T_ENUM))
        *(const char **)(to + k->offset) = k->choices ? k->choices[0] : "";
}

static void set_defaults(const struct decoder *d, const struct path *path, const struct key *keys,
                         char *to)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        struct path here = {path, k->name, 0};
        if (k->type == KEY_T_SECTION) {
            set_defaults(d, &here, k->sub, to + k->offset);
            if (k->mode != SECTION_PLAIN)
                *(bool *)(to + k->enabled_offset) = k->mode == SECTION_ON;
            continue;
        }
        fill_text(k, to);
        const struct node *n = default_node(d, k);
        struct slot s = {d, &here, k, n, NULL, true};
        if (n)
            set_field(&s, to);
    }
}

static void decode_entry(const struct decoder *d, const struct path *path, const struct key *keys,
                         const struct key *parent, const struct entry *e, char *to)
{
    const struct key *k = key_find(keys, e->key);
    struct path here = {path, e->key, 0};
    if (!k) {
        if (!parent || strcmp(e->key, "enabled") != 0)
            unknown_key(d->diags, path_text(d->diags->arena, &here), e->at, keys,
                        d->whole ? d->whole : keys, e->key);
        return;
    }
    struct slot s = {d, &here, k, e->value, NULL, false};
    if (strcmp(k->name, e->key) != 0)
        diag_warn(d->diags, e->at, path_text(d->diags->arena, &here), NULL,
                  "this key is now called \"%s\"", k->name);
    if (k->set_offset_valid)
        *(bool *)(to + k->set_offset) = true;
    set_field(&s, to);
}

/* parent: the row of the optional section whose keys these are (it has a key `enabled`), else NULL.
 */
static void decode_keys(const struct decoder *d, const struct path *path, const struct key *keys,
                        const struct key *parent, const struct node *n, char *to)
{
    for (size_t i = 0; i < n->n; i++)
        decode_entry(d, path, keys, parent, &n->entries[i], to);
}

static bool given(const struct node *n, const struct key *k)
{
    return n && (node_find(n, k->name) || (k->old_name && node_find(n, k->old_name)));
}

/* Required keys of this level and of the plain sections and enabled sections that were written. */
static void look_for_missing(const struct decoder *d, const struct path *path, struct pos at,
                             const struct key *keys, const struct node *n, const char *to)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        struct path here = {path, k->name, 0};
        struct slot s = {d, &here, k, &(struct node){.at = at}, NULL, false};
        const struct entry *e = node_find(n, k->name);
        if (k->required && !given(n, k))
            slot_complain(&s, DIAG_ERROR, s.n, "this key is required");
        if (k->type == KEY_T_SECTION &&
            (k->mode == SECTION_PLAIN ? e != NULL : *(const bool *)(to + k->enabled_offset)))
            look_for_missing(d, &here, e ? e->at : at, k->sub, e ? e->value : NULL, to + k->offset);
    }
}

void decode_struct(const struct decoder *d, const struct path *path, struct pos at,
                   const struct key *keys, const struct node *n, void *to)
{
    set_defaults(d, path, keys, to);
    if (n && n->type == NODE_BAD)
        return;
    if (n && n->type == NODE_MAP)
        decode_keys(d, path, keys, NULL, n, to);
    look_for_missing(d, path, at, keys, n, to);
}
