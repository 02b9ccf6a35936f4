/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths: what a condition may name. One table row for each; what reads them is in path_get.c, what
 * writes them in path_set.c and path_put.c.
 * Order: table, prefixes, compiling. Threads: main, at start.
 */
#include "ottl/path.h"

#include "ottl/hint.h"
#include "platform/nearest.h"

/* ---- the table ---- */

enum path_keys { NO_KEYS, ANY_KEYS, ONE_KEY };

static const struct path_row {
    enum ottl_context context;
    const char *name, *sub; /* sub NULL: none */
    node_fn *get;
    set_fn *set;
    uint32_t field;
    enum path_keys keys;
} rows[] = {
    {OTTL_RESOURCE, "attributes", NULL, get_attributes, set_attributes, 0, ANY_KEYS},
    {OTTL_RESOURCE, "dropped_attributes_count", NULL, get_uint32, set_uint32,
     RESOURCE_DROPPED_ATTRIBUTES, NO_KEYS},
    {OTTL_RESOURCE, "schema_url", NULL, get_schema_url, set_schema_url, 0, NO_KEYS},
    {OTTL_RESOURCE, "cache", NULL, get_cache, set_attributes, 0, ANY_KEYS},
    {OTTL_SCOPE, "name", NULL, get_string, set_string, SCOPE_NAME, NO_KEYS},
    {OTTL_SCOPE, "version", NULL, get_string, set_string, SCOPE_VERSION, NO_KEYS},
    {OTTL_SCOPE, "attributes", NULL, get_attributes, set_attributes, 0, ANY_KEYS},
    {OTTL_SCOPE, "dropped_attributes_count", NULL, get_uint32, set_uint32, SCOPE_DROPPED_ATTRIBUTES,
     NO_KEYS},
    {OTTL_SCOPE, "schema_url", NULL, get_schema_url, set_schema_url, 0, NO_KEYS},
    {OTTL_SCOPE, "cache", NULL, get_cache, set_attributes, 0, ANY_KEYS},
    {OTTL_SPAN, "attributes", NULL, get_attributes, set_attributes, 0, ANY_KEYS},
    {OTTL_SPAN, "name", NULL, get_name, set_name, 0, NO_KEYS},
    {OTTL_SPAN, "kind", NULL, get_kind, set_kind, 0, NO_KEYS},
    {OTTL_SPAN, "kind", "string", get_kind_string, set_kind_string, 0, NO_KEYS},
    {OTTL_SPAN, "kind", "deprecated_string", get_kind_deprecated, set_kind_deprecated, 0, NO_KEYS},
    {OTTL_SPAN, "status", NULL, get_status, set_status, 0, NO_KEYS},
    {OTTL_SPAN, "status", "code", get_status_code, set_status_code, 0, NO_KEYS},
    {OTTL_SPAN, "status", "message", get_status_message, set_status_message, 0, NO_KEYS},
    {OTTL_SPAN, "trace_id", NULL, get_trace_id, set_trace_id, 0, NO_KEYS},
    {OTTL_SPAN, "trace_id", "string", get_trace_id_string, set_trace_id_string, 0, NO_KEYS},
    {OTTL_SPAN, "span_id", NULL, get_span_id, set_span_id, 0, NO_KEYS},
    {OTTL_SPAN, "span_id", "string", get_span_id_string, set_span_id_string, 0, NO_KEYS},
    {OTTL_SPAN, "parent_span_id", NULL, get_parent, set_parent, 0, NO_KEYS},
    {OTTL_SPAN, "parent_span_id", "string", get_parent_string, set_parent_string, 0, NO_KEYS},
    {OTTL_SPAN, "trace_state", NULL, get_trace_state, set_trace_state, 0, ONE_KEY},
    {OTTL_SPAN, "start_time_unix_nano", NULL, get_start_ns, set_start_ns, 0, NO_KEYS},
    {OTTL_SPAN, "end_time_unix_nano", NULL, get_end_ns, set_end_ns, 0, NO_KEYS},
    {OTTL_SPAN, "start_time", NULL, get_start, set_start, 0, NO_KEYS},
    {OTTL_SPAN, "end_time", NULL, get_end, set_end, 0, NO_KEYS},
    {OTTL_SPAN, "dropped_attributes_count", NULL, get_uint32, set_uint32, SPAN_DROPPED_ATTRIBUTES,
     NO_KEYS},
    {OTTL_SPAN, "events", NULL, get_events, set_events, 0, NO_KEYS},
    {OTTL_SPAN, "dropped_events_count", NULL, get_uint32, set_uint32, SPAN_DROPPED_EVENTS, NO_KEYS},
    {OTTL_SPAN, "links", NULL, get_links, set_links, 0, NO_KEYS},
    {OTTL_SPAN, "dropped_links_count", NULL, get_uint32, set_uint32, SPAN_DROPPED_LINKS, NO_KEYS},
    {OTTL_SPAN, "flags", NULL, get_flags, set_flags, 0, NO_KEYS},
    {OTTL_SPAN, "cache", NULL, get_cache, set_attributes, 0, ANY_KEYS},
    {OTTL_SPANEVENT, "attributes", NULL, get_attributes, set_attributes, 0, ANY_KEYS},
    {OTTL_SPANEVENT, "name", NULL, get_string, set_string, EVENT_NAME, NO_KEYS},
    {OTTL_SPANEVENT, "time_unix_nano", NULL, get_event_ns, set_event_ns, 0, NO_KEYS},
    {OTTL_SPANEVENT, "time", NULL, get_event_time, set_event_time, 0, NO_KEYS},
    {OTTL_SPANEVENT, "dropped_attributes_count", NULL, get_uint32, set_uint32,
     EVENT_DROPPED_ATTRIBUTES, NO_KEYS},
    {OTTL_SPANEVENT, "event_index", NULL, get_event_index, set_event_index, 0, NO_KEYS},
    {OTTL_SPANEVENT, "cache", NULL, get_cache, set_attributes, 0, ANY_KEYS},
};

/* ---- types ---- */

static const struct {
    node_fn *get;
    enum ottl_type type;
} types[] = {
    {get_string, OTTL_STR},
    {get_name, OTTL_STR},
    {get_schema_url, OTTL_STR},
    {get_kind_string, OTTL_STR},
    {get_kind_deprecated, OTTL_STR},
    {get_trace_id_string, OTTL_STR},
    {get_span_id_string, OTTL_STR},
    {get_parent_string, OTTL_STR},
    {get_status_message, OTTL_STR},
    {get_trace_state, OTTL_STR},
    {get_uint32, OTTL_INT},
    {get_kind, OTTL_INT},
    {get_status_code, OTTL_INT},
    {get_flags, OTTL_INT},
    {get_start_ns, OTTL_INT},
    {get_end_ns, OTTL_INT},
    {get_event_ns, OTTL_INT},
    {get_start, OTTL_TIME},
    {get_end, OTTL_TIME},
    {get_event_time, OTTL_TIME},
    {get_trace_id, OTTL_TRACE_ID},
    {get_span_id, OTTL_SPAN_ID},
    {get_parent, OTTL_SPAN_ID},
    {get_status, OTTL_STATUS},
    {get_events, OTTL_EVENTS},
    {get_links, OTTL_LINKS},
};

enum ottl_type path_type(const struct node *n)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].get == n->eval)
            return types[i].type;
    return OTTL_ABSENT;
}

/* ---- prefixes ---- */

static const struct {
    const char *name;
    enum ottl_context context;
} prefixes[] = {
    {"resource", OTTL_RESOURCE},           {"scope", OTTL_SCOPE},
    {"instrumentation_scope", OTTL_SCOPE}, {"span", OTTL_SPAN},
    {"spanevent", OTTL_SPANEVENT},
};

static const char *const context_names[OTTL_CONTEXTS] = {"resource", "scope", "span", "spanevent"};

const char *context_name(enum ottl_context c)
{
    return context_names[c];
}

bool path_prefix(const struct ast *path, enum ottl_context *context)
{
    const struct ast *first = path->kids;

    if (path->n < 2 || first->keys)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (slice_eq(first->text, slice_str(prefixes[i].name))) {
            *context = prefixes[i].context;
            return true;
        }
    return false;
}

/* ---- compiling ---- */

/* What may stand in a place of a path. */
struct names {
    const char *v[ARRAY_LEN(rows) + ARRAY_LEN(prefixes)];
    size_t n;
};

static const char *name_at(const void *ctx, size_t i)
{
    const struct names *names = ctx;

    return i < names->n ? names->v[i] : NULL;
}

/* A path's first field, behind its prefix if it has one. */
static struct hint near_field(struct compiler *k, const char *name, enum ottl_context c,
                              bool may_be_prefix)
{
    struct names all = {.n = 0};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].context == c)
            all.v[all.n++] =
                !rows[i].sub ? rows[i].name
                             : arena_printf(k->program->arena, "%s.%s", rows[i].name, rows[i].sub);
    for (size_t i = 0; may_be_prefix && i < ARRAY_LEN(prefixes); i++)
        if (prefixes[i].context <= k->context)
            all.v[all.n++] = prefixes[i].name;
    return hint_near(nearest_name(name, name_at, &all));
}

static const char *const other_signals[] = {
    "log", "body", "metric", "datapoint", "profile", "severity_text", "severity_number"};

static const char *not_of_traces(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(other_signals); i++)
        if (strcmp(other_signals[i], name) == 0)
            return ": it is of another signal than traces";
    return NULL;
}

static struct node *no_such_field(struct compiler *k, const struct ast *path,
                                  const struct ast *field, enum ottl_context c)
{
    char *name = arena_dup_n(k->program->arena, (const char *)field->text.p, field->text.len);
    struct hint meant = hint_of(field->text);
    const char *other = not_of_traces(name);

    if (!*meant.text)
        meant = near_field(k, name, c, field == path->kids && path->n > 1);
    err_at(k->err, k->text, field->at, "segment \"%s\" is not a valid path of the %s context%s",
           name, context_name(c), other ? other : meant.text);
    return NULL;
}

/* A field behind one that is known. */
static struct node *no_such_sub(struct compiler *k, const struct ast *of, const struct ast *sub,
                                enum ottl_context c)
{
    char *name = arena_dup_n(k->program->arena, (const char *)sub->text.p, sub->text.len);
    struct names all = {.n = 0};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].context == c && rows[i].sub && slice_eq(slice_str(rows[i].name), of->text))
            all.v[all.n++] = rows[i].sub;
    err_at(k->err, k->text, sub->at, "segment \"%s\" is not a valid path of the %s context%s", name,
           context_name(c), hint_near(nearest_name(name, name_at, &all)).text);
    return NULL;
}

static struct node *unseen(struct compiler *k, const struct ast *prefix, enum ottl_context c)
{
    err_at(k->err, k->text, prefix->at,
           "segment \"%s\" is not a valid path of the %s context: it is seen in the context \"%s\"",
           context_name(c), context_name(k->context), context_name(c));
    return NULL;
}

static const struct path_row *row_of(enum ottl_context c, const struct ast *name,
                                     const struct ast *sub)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].context == c && slice_eq(slice_str(rows[i].name), name->text) &&
            (sub ? rows[i].sub && slice_eq(slice_str(rows[i].sub), sub->text) : !rows[i].sub))
            return &rows[i];
    return NULL;
}

/* The path's first field behind its prefix; c: the context it belongs to. NULL: err is set. */
static const struct ast *behind_prefix(struct compiler *k, const struct ast *a,
                                       enum ottl_context *c)
{
    if (path_prefix(a, c)) {
        if (*c <= k->context)
            return a->kids->next;
        (void)unseen(k, a->kids, *c);
        return NULL;
    }
    *c = k->context;
    if (!k->every_prefix)
        return a->kids;
    err_at(k->err, k->text, a->at, "missing context name for path \"%.*s\": write \"%s.%.*s\"",
           (int)a->kids->text.len, a->kids->text.p, context_name(*c), (int)a->kids->text.len,
           a->kids->text.p);
    return NULL;
}

static int set_keys(struct compiler *k, struct node *n, const struct path_row *row,
                    const struct ast *keys)
{
    if (keys && row->keys == NO_KEYS)
        return err_at(k->err, k->text, keys->at, "the path \"%s\" cannot be indexed", row->name);
    if (keys && row->keys == ONE_KEY && keys->next)
        return err_at(k->err, k->text, keys->next->at,
                      "must provide exactly 1 key when accessing %s", row->name);
    if (compile_keys(k, n, keys))
        return -1;
    if (row->get == get_trace_state && n->n_keys)
        n->eval = get_trace_state_key;
    if (row->get == get_attributes && keys && keys->kind == AST_STRING &&
        !memchr(keys->text.p, 0, keys->text.len)) {
        n->key = program_key(k->program, n->context, keys->text);
        n->eval = n->key < 0 ? get_attributes : get_attribute;
    }
    return 0;
}

static struct node *compile_own(struct compiler *k, const struct ast *a)
{
    enum ottl_context c;
    const struct ast *name = behind_prefix(k, a, &c), *sub, *extra;
    const struct path_row *row;
    struct node *n;

    if (!name)
        return NULL;
    sub = name->next;
    row = row_of(c, name, sub);
    if (!row) {
        row = row_of(c, name, NULL);
        if (!row)
            return no_such_field(k, a, name, c);
        if (slice_eq(name->text, slice_str("attributes")) ||
            slice_eq(name->text, slice_str("cache"))) {
            err_at(k->err, k->text, sub->at, "\"%.*s\" has no fields: write %.*s[\"%.*s\"]",
                   (int)name->text.len, name->text.p, (int)name->text.len, name->text.p,
                   (int)sub->text.len, sub->text.p);
            return NULL;
        }
        return no_such_sub(k, name, sub, c);
    }
    extra = sub ? sub->next : NULL;
    if (extra || (sub && name->keys)) {
        err_at(k->err, k->text, extra ? extra->at : name->keys->at, "the path ends before this");
        return NULL;
    }
    k->reads |= 1u << c;
    n = expr_new(k, a, row->get);
    if (row->get == get_cache && c != k->context) {
        err_at(k->err, k->text, a->at,
               "access to cache must be performed using the same context: write \"%s.cache\"",
               context_name(k->context));
        return NULL;
    }
    n->context = c;
    n->set = row->set;
    n->cache = row->get == get_cache;
    n->field = row->field;
    n->key = -1;
    return set_keys(k, n, row, sub ? sub->keys : name->keys) ? NULL : n;
}

bool path_is_word(const struct compiler *k, const struct ast *a)
{
    return a->kind == AST_PATH && a->n == 1 && !a->kids->keys && !row_of(k->context, a->kids, NULL);
}

struct node *compile_path(struct compiler *k, const struct ast *a)
{
    return path_is_otelcol(a) ? compile_otelcol(k, a) : compile_own(k, a);
}
