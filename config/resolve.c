/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolving: every --config in order, then every --set, merged; then substitution over the result.
 *
 * Merging: maps merge key by key; anything else, a list or a null included, replaces what was
 * there. A key "a::b" outside of lists means b inside a, which is all that --set needs.
 */
#include "config/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/source.h"
#include "config/yaml.h"

static const struct node *merge(struct arena *a, const struct node *under, const struct node *over)
{
    if (under->type != NODE_MAP || over->type != NODE_MAP)
        return over;
    struct entry *all = mem_alloc_array(under->n + over->n + 1, sizeof(*all));
    size_t n = under->n;
    memcpy(all, under->entries, n * sizeof(*all));
    for (size_t i = 0; i < over->n; i++) {
        const struct entry *e = &over->entries[i], *old = node_find(under, e->key);
        if (old)
            all[old - under->entries] =
                (struct entry){e->key, e->at, merge(a, old->value, e->value)};
        else
            all[n++] = *e;
    }
    const struct node *whole = node_map(a, under->n ? under->at : over->at, all, n);
    free(all);
    return whole ? whole : node_new(a, NODE_BAD, over->at);
}

static const struct node *split_keys(struct arena *a, const struct node *n);

/* {"b::c": v} as {b: {c: v}} */
static const struct node *split_entry(struct arena *a, const struct entry *e)
{
    struct entry one = {e->key, e->at, split_keys(a, e->value)};
    const char *sep = strstr(e->key, "::");
    if (sep) {
        struct entry rest = {sep + 2, e->at, e->value};
        one.key = arena_dup_n(a, e->key, (size_t)(sep - e->key));
        one.value = split_entry(a, &rest);
    }
    const struct node *whole = node_map(a, e->at, &one, 1);
    return whole ? whole : node_new(a, NODE_BAD, e->at);
}

static const struct node *split_keys(struct arena *a, const struct node *n)
{
    if (n->type != NODE_MAP)
        return n;
    const struct node *whole = node_map(a, n->at, NULL, 0);
    for (size_t i = 0; i < n->n; i++)
        whole = merge(a, whole, split_entry(a, &n->entries[i]));
    return whole;
}

static bool has_separator(const struct node *n)
{
    if (n->type != NODE_MAP)
        return false;
    for (size_t i = 0; i < n->n; i++)
        if (strstr(n->entries[i].key, "::") || has_separator(n->entries[i].value))
            return true;
    return false;
}

/* One document as a map; an empty one is an empty map. NULL after an error. */
static const struct node *document(struct arena *a, const struct pos *place, bool fixed,
                                   struct slice text, struct diags *d)
{
    const struct node *n = yaml_parse(a, place, fixed, text, d);
    if (!n)
        return NULL;
    if (n->type == NODE_NULL)
        return node_map(a, *place, NULL, 0);
    if (n->type != NODE_MAP) {
        diag_error(d, n->at, "",
                   "at the top stand receivers:, processors:, exporters:, connectors:, extensions: "
                   "and service:",
                   "a configuration is a map, this is %s", node_type_name(n));
        return NULL;
    }
    return has_separator(n) ? split_keys(a, n) : n;
}

static const struct node *read_uri(struct arena *a, const char *uri, struct diags *d)
{
    char *whole = source_has_scheme(uri) ? mem_dup(uri) : mem_printf("file:%s", uri);
    const char *rest = strchr(whole, ':') + 1;
    bool file = strncmp(whole, "file:", 5) == 0;
    struct pos place = {arena_printf(a, "%s",
                                     file                              ? rest
                                     : strncmp(whole, "yaml:", 5) == 0 ? "yaml:"
                                                                       : whole),
                        0, 0, NULL};
    struct buf text = {0};
    struct err err = {0};
    const struct node *n = NULL;
    enum source_result rc = source_read(whole, &text, &err);
    if (file)
        diags_note_file(d, rest);
    if (rc == SOURCE_FAILED) {
        diag_error(d, (struct pos){0}, "", NULL, "--config %s: %s", uri, err.text);
    } else {
        if (rc == SOURCE_UNSET)
            diag_warn(d, (struct pos){0}, "", NULL,
                      "--config %s: the environment variable is not set", uri);
        n = document(a, &place, false, slice_of(text.p, text.len), d);
    }
    buf_free(&text);
    free(whole);
    return n;
}

/* "a.b=value": the document "a::b: value". */
static const struct node *read_set(struct arena *a, const char *set, struct diags *d)
{
    struct pos place = {arena_printf(a, "--set %s", set), 0, 0, NULL};
    const char *eq = strchr(set, '=');
    if (!eq) {
        diag_error(d, place, "", "--set processors.batch.timeout=2s", "an equal sign is missing");
        return NULL;
    }
    struct buf text = {0};
    for (const char *p = set + strspn(set, " \t"); p < eq; p++)
        buf_puts(&text, *p == '.' ? "::" : (char[]){*p, 0});
    while (text.len && (text.p[text.len - 1] == ' ' || text.p[text.len - 1] == '\t'))
        text.len--;
    buf_putf(&text, ": %s", eq + 1);
    const struct node *n = document(a, &place, true, slice_of(text.p, text.len), d);
    buf_free(&text);
    return n;
}

const struct node *resolve_config(struct arena *a, const struct config_args *args, struct diags *d)
{
    const struct node *whole = node_map(a, (struct pos){0}, NULL, 0);
    bool failed = false;
    for (size_t i = 0; i < args->n_uris + args->n_sets; i++) {
        const struct node *part = i < args->n_uris ? read_uri(a, args->uris[i], d)
                                                   : read_set(a, args->sets[i - args->n_uris], d);
        if (part)
            whole = merge(a, whole, part);
        else
            failed = true;
    }
    if (failed)
        return NULL;
    return expand_tree(a, whole, d);
}
