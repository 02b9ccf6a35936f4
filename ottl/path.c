/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths: what a condition may name, and reading it from bytes. One table row for each.
 *
 * The first look at a resource, scope, span or event in which a program has keys walks it once, for
 * all of them (view_scan), up to the last one found; plain fields of spans come from a walk of
 * their own. Order: the walk, readers, table, compiling.
 */
#include "ottl/path.h"

#include "model/wire.h"
#include "model/wire_checked.h"
#include "ottl/draft.h"
#include "ottl/eval.h"
#include "platform/nearest.h"

static const uint32_t attributes_of[OTTL_CONTEXTS] = {RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES,
                                                      SPAN_ATTRIBUTES, EVENT_ATTRIBUTES};

/* ---- the walk ---- */

/* Notes an attribute when its key is wanted and new. */
static bool found(struct ottl_eval *e, enum ottl_context c, const struct attr *a)
{
    int key = keyset_find(e->program->keys[c], a->key);
    struct slice *at;

    if (LIKELY(key < 0))
        return false;
    at = &e->views[c].found[key];
    if (at->p)
        return false; /* the first one counts */
    *at = a->value.p ? a->value : slice_of("", 0);
    return true;
}

static void scan_draft(struct ottl_eval *e, enum ottl_context c, size_t missing)
{
    const struct attr_map *m = &e->views[c].draft->map;

    for (size_t i = 0; i < m->n && missing; i++)
        missing -= found(e, c, &(struct attr){.key = m->v[i].key, .value = m->v[i].value});
}

void view_scan(struct ottl_eval *e, enum ottl_context c)
{
    struct view *v = &e->views[c];
    const uint8_t *p = v->message.p, *end = wire_end(v->message);
    size_t missing = e->program->key_lists[c].n;

    v->scanned = true;
    memset(v->found, 0, missing * sizeof(*v->found));
    if (v->draft && v->draft->map.changed) {
        scan_draft(e, c, missing);
        return;
    }
    while (missing && p < end) {
        struct wire_field f;
        struct attr a;

        p = wire_next(p, end, &f);
        if (f.number != attributes_of[c] || f.wire != WIRE_LEN)
            continue;
        wire_attr(&f, &a.key, &a.value);
        missing -= found(e, c, &a);
    }
}

static void span_field(struct span_fields *s, uint32_t tag, struct slice body)
{
    switch (tag) {
    case WIRE_TAG(SPAN_NAME, WIRE_LEN):
        s->name = body;
        break;
    case WIRE_TAG(SPAN_TRACE_STATE, WIRE_LEN):
        s->trace_state = body;
        break;
    case WIRE_TAG(SPAN_PARENT_ID, WIRE_LEN):
        s->parent = body;
        break;
    case WIRE_TAG(SPAN_STATUS, WIRE_LEN):
        s->status = body;
        break;
    default:
        break;
    }
}

/* The field at p < end, as the walk has accepted it; returns where the next one begins. */
static inline const uint8_t *next_field(const uint8_t *p, const uint8_t *end, uint32_t *tag,
                                        struct slice *body)
{
    const uint8_t *to = NULL;
    uint64_t number;

    p = wire_u32(p, end, tag);
    CHECK(p);
    switch (*tag & 7) {
    case WIRE_LEN:
        p = wire_body(p, end, &to);
        CHECK(p);
        *body = slice_of(p, (size_t)(to - p));
        return to;
    case WIRE_VARINT:
        p = wire_varint(p, end, &number);
        CHECK(p);
        return p;
    case WIRE_FIXED64:
        return p + 8;
    default:
        return p + 4;
    }
}

/* The span's plain fields; of each the last one. */
struct span_fields *span_fields(struct ottl_eval *e)
{
    struct slice message = e->views[OTTL_SPAN].message;
    const uint8_t *p = message.p, *end = message.len ? p + message.len : p;
    struct slice body = {0};
    uint32_t tag;

    if (e->fields.known)
        return &e->fields;
    e->fields = (struct span_fields){.known = true};
    while (p < end) {
        p = next_field(p, end, &tag, &body);
        CHECK(p <= end);
        if (tag != WIRE_TAG(SPAN_ATTRIBUTES, WIRE_LEN))
            span_field(&e->fields, tag, body);
    }
    return &e->fields;
}

/* ---- readers ---- */

/* What a statement has written to the field; NULL: nothing. */
static const struct draft_field *written(const struct ottl_eval *e, enum ottl_context c,
                                         uint32_t field)
{
    const struct draft *d = e->views[c].draft;

    return d && d->replaced >> field & 1 ? &d->fields[field] : NULL;
}

/* The last one wins, as everywhere. */
static uint64_t number_in(struct slice message, uint32_t number)
{
    struct field_iter it = field_iter(message);
    struct field f;
    uint64_t v = 0;

    while (field_next(&it, &f))
        if (f.number == number && f.wire != WIRE_LEN)
            v = f.value;
    return v;
}

static uint64_t number_of(const struct ottl_eval *e, enum ottl_context c, uint32_t field)
{
    const struct draft_field *w = written(e, c, field);

    return w ? w->number : number_in(e->views[c].message, field);
}

static bool get_attribute(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct view *v = &e->views[n->context];

    if (!v->scanned)
        view_scan(e, n->context);
    if (!v->found[n->key].p) {
        *out = ottl_nil();
        return true;
    }
    *out = ottl_of_any(v->found[n->key]);
    return n->n_keys == 1 || index_path(e, n, 1, out);
}

static bool get_attributes(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct view *v = &e->views[n->context];

    *out = ottl_map(v->message, attributes_of[n->context]);
    if (v->draft && v->draft->map.changed && !draft_map_value(e, &v->draft->map, out))
        return false;
    return n->n_keys == 0 || index_path(e, n, 0, out);
}

static bool get_cache(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    *out = ottl_map((struct slice){0}, OTTL_MAP_FIELD);
    if (e->edits && e->edits->cache.n && !draft_map_value(e, &e->edits->cache, out))
        return false;
    return n->n_keys == 0 || index_path(e, n, 0, out);
}

static bool get_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct draft_field *w = written(e, n->context, n->field);

    *out = ottl_str(w ? w->bytes : field_bytes(e->views[n->context].message, n->field));
    return true;
}

static bool get_uint32(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    *out = ottl_int((uint32_t)number_of(e, n->context, n->field));
    return true;
}

static bool get_schema_url(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    *out = ottl_str(e->schema_url[n->context == OTTL_SCOPE]);
    return true;
}

static bool get_name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(span_fields(e)->name);
    return true;
}

static bool get_trace_id(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_TRACE_ID, slice_of(e->span->trace_id, 16));
    return true;
}

static bool get_span_id(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_SPAN_ID, slice_of(e->span->span_id, 8));
    return true;
}

static bool get_parent(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    static const uint8_t none[8];
    struct slice id = span_fields(e)->parent;

    (void)n;
    *out = ottl_of(OTTL_SPAN_ID, id.len == 8 ? id : slice_of(none, 8));
    return true;
}

static bool as_hex(struct ottl_eval *e, struct ottl_value *v)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *dst = ottl_room(e, 2 * v->s.len);

    if (!dst)
        return false;
    for (size_t i = 0; i < v->s.len; i++) {
        dst[2 * i] = (uint8_t)digits[v->s.p[i] >> 4];
        dst[2 * i + 1] = (uint8_t)digits[v->s.p[i] & 15];
    }
    *v = ottl_str(slice_of(dst, 2 * v->s.len));
    return true;
}

static bool get_trace_id_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_trace_id(e, n, out) && as_hex(e, out);
}

static bool get_span_id_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_span_id(e, n, out) && as_hex(e, out);
}

static bool get_parent_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_parent(e, n, out) && as_hex(e, out);
}

/* The index knows the usual kinds and codes; others it marks with 255. */
static int64_t kind_of(const struct ottl_eval *e)
{
    return e->span->kind != 255 ? e->span->kind : (int32_t)number_of(e, OTTL_SPAN, SPAN_KIND);
}

static bool get_kind(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int(kind_of(e));
    return true;
}

const char *const kind_names[SPAN_KINDS] = {"Unspecified", "Internal", "Server",
                                            "Client",      "Producer", "Consumer"};
const char *const kind_deprecated_names[SPAN_KINDS] = {
    "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};

static bool get_kind_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(slice_str(e->span->kind < SPAN_KINDS ? kind_names[e->span->kind] : ""));
    return true;
}

static bool get_kind_deprecated(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out =
        ottl_str(slice_str(e->span->kind < SPAN_KINDS ? kind_deprecated_names[e->span->kind] : ""));
    return true;
}

static bool get_start_ns(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int((int64_t)e->span->start_ns);
    return true;
}

static bool get_end_ns(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int((int64_t)e->span->end_ns);
    return true;
}

static bool get_start(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_time_ns(e->span->start_ns);
    return true;
}

static bool get_end(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_time_ns(e->span->end_ns);
    return true;
}

static bool get_status(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_STATUS, span_fields(e)->status);
    return true;
}

int32_t status_code(struct ottl_eval *e)
{
    return e->span->status != 255 ? e->span->status
                                  : (int32_t)number_in(span_fields(e)->status, STATUS_CODE);
}

static bool get_status_code(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int(status_code(e));
    return true;
}

static bool get_status_message(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(field_bytes(span_fields(e)->status, STATUS_MESSAGE));
    return true;
}

static bool get_events(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_EVENTS, e->views[OTTL_SPAN].message);
    return true;
}

static bool get_links(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_LINKS, e->views[OTTL_SPAN].message);
    return true;
}

static bool get_flags(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int(e->span->w3c_flags);
    return true;
}

static bool get_event_ns(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int((int64_t)number_of(e, OTTL_SPANEVENT, EVENT_TIME));
    return true;
}

static bool get_event_time(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_time_ns(number_of(e, OTTL_SPANEVENT, EVENT_TIME));
    return true;
}

/* The real program never sets it either: using it is an error each time. */
static bool get_event_index(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n, (void)out;
    return ottl_fail(e, "event_index is not set");
}

static bool get_trace_state(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(span_fields(e)->trace_state);
    return true;
}

static bool get_trace_state_key(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct ottl_value key;

    if (!n->keys[0]->eval(e, n->keys[0], &key))
        return false;
    if (key.type != OTTL_STR)
        return ottl_fail(e, "unable to get trace_state: the key is not a string but %s",
                         ottl_type_name(&key));
    *out = trace_state_get(span_fields(e)->trace_state, key.s);
    return true;
}

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

static const char *row_name(const void *ctx, size_t i)
{
    const enum ottl_context *c = ctx;

    for (size_t k = 0; k < ARRAY_LEN(rows); k++)
        if (rows[k].context == *c && !rows[k].sub && i-- == 0)
            return rows[k].name;
    return NULL;
}

static const char *const subs[] = {"string", "deprecated_string", "code", "message"};

static const char *sub_name(const void *ctx, size_t i)
{
    (void)ctx;
    return i < ARRAY_LEN(subs) ? subs[i] : NULL;
}

static struct node *no_such_path(struct compiler *k, const struct ast *field, enum ottl_context c,
                                 bool is_sub)
{
    char *name = arena_dup_n(k->program->arena, (const char *)field->text.p, field->text.len);
    const char *near = nearest_name(name, is_sub ? sub_name : row_name, &c);

    if (strcmp(name, "otelcol") == 0)
        err_at(k->err, k->text, field->at, "the path \"otelcol\" is not supported yet");
    else
        err_at(k->err, k->text, field->at,
               "segment \"%s\" is not a valid path of the %s context%s%s%s", name, context_name(c),
               near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
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
        no_such_path(k, a->kids, k->context, false);
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

struct node *compile_path(struct compiler *k, const struct ast *a)
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
            return no_such_path(k, name, c, false);
        if (slice_eq(name->text, slice_str("attributes")) ||
            slice_eq(name->text, slice_str("cache"))) {
            err_at(k->err, k->text, sub->at, "\"%.*s\" has no fields: write %.*s[\"%.*s\"]",
                   (int)name->text.len, name->text.p, (int)name->text.len, name->text.p,
                   (int)sub->text.len, sub->text.p);
            return NULL;
        }
        return no_such_path(k, sub, c, true);
    }
    extra = sub ? sub->next : NULL;
    if (extra || (sub && name->keys)) {
        err_at(k->err, k->text, extra ? extra->at : name->keys->at, "the path ends before this");
        return NULL;
    }
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
