/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what paths name from bytes, and from drafts where statements have written.
 *
 * The first look at a resource, scope, span or event in which a program has keys walks it once, for
 * all of them (view_scan), up to the last one found; plain fields of spans come from a walk of
 * their own. Order: the walks, readers. Threads: the eval's worker.
 */
#include "model/wire.h"
#include "model/wire_checked.h"
#include "ottl/draft.h"
#include "ottl/eval.h"
#include "ottl/path.h"

static const uint32_t attributes_of[OTTL_CONTEXTS] = {RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES,
                                                      SPAN_ATTRIBUTES, EVENT_ATTRIBUTES};

/* ---- the walks ---- */

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

static void scan_map(struct ottl_eval *e, enum ottl_context c, size_t missing)
{
    const struct attr_map *m = e->views[c].map;

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
    if (v->loaded) {
        scan_map(e, c, missing);
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

bool get_attribute(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
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

bool get_attributes(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct view *v = &e->views[n->context];

    *out = ottl_map(v->message, attributes_of[n->context]);
    if (v->loaded && v->map->changed && !draft_map_value(e, v->map, out))
        return false;
    return n->n_keys == 0 || index_path(e, n, 0, out);
}

bool get_cache(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    *out = ottl_map((struct slice){0}, OTTL_MAP_FIELD);
    if (e->edits && e->edits->cache.n && !draft_map_value(e, &e->edits->cache, out))
        return false;
    return n->n_keys == 0 || index_path(e, n, 0, out);
}

bool get_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct draft_field *w = written(e, n->context, n->field);

    *out = ottl_str(w ? w->bytes : field_bytes(e->views[n->context].message, n->field));
    return true;
}

bool get_uint32(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    *out = ottl_int((uint32_t)number_of(e, n->context, n->field));
    return true;
}

bool get_schema_url(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    *out = ottl_str(e->schema_url[n->context == OTTL_SCOPE]);
    return true;
}

bool get_name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(span_fields(e)->name);
    return true;
}

bool get_trace_id(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_TRACE_ID, slice_of(e->span->trace_id, 16));
    return true;
}

bool get_span_id(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_SPAN_ID, slice_of(e->span->span_id, 8));
    return true;
}

bool get_parent(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
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

bool get_trace_id_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_trace_id(e, n, out) && as_hex(e, out);
}

bool get_span_id_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_span_id(e, n, out) && as_hex(e, out);
}

bool get_parent_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_parent(e, n, out) && as_hex(e, out);
}

/* The index knows the usual kinds and codes; others it marks with 255. */
static int64_t kind_of(const struct ottl_eval *e)
{
    return e->span->kind != 255 ? e->span->kind : (int32_t)number_of(e, OTTL_SPAN, SPAN_KIND);
}

bool get_kind(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
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

bool get_kind_string(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(slice_str(e->span->kind < SPAN_KINDS ? kind_names[e->span->kind] : ""));
    return true;
}

bool get_kind_deprecated(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out =
        ottl_str(slice_str(e->span->kind < SPAN_KINDS ? kind_deprecated_names[e->span->kind] : ""));
    return true;
}

bool get_start_ns(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int((int64_t)e->span->start_ns);
    return true;
}

bool get_end_ns(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int((int64_t)e->span->end_ns);
    return true;
}

bool get_start(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_time_ns(e->span->start_ns);
    return true;
}

bool get_end(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_time_ns(e->span->end_ns);
    return true;
}

bool get_status(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
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

bool get_status_code(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int(status_code(e));
    return true;
}

bool get_status_message(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(field_bytes(span_fields(e)->status, STATUS_MESSAGE));
    return true;
}

bool get_events(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_EVENTS, e->views[OTTL_SPAN].message);
    return true;
}

bool get_links(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_of(OTTL_LINKS, e->views[OTTL_SPAN].message);
    return true;
}

bool get_flags(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int(e->span->w3c_flags);
    return true;
}

bool get_event_ns(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_int((int64_t)number_of(e, OTTL_SPANEVENT, EVENT_TIME));
    return true;
}

bool get_event_time(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_time_ns(number_of(e, OTTL_SPANEVENT, EVENT_TIME));
    return true;
}

/* The real program never sets it either: using it is an error each time. */
bool get_event_index(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n, (void)out;
    return ottl_fail(e, "event_index is not set");
}

bool get_trace_state(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)n;
    *out = ottl_str(span_fields(e)->trace_state);
    return true;
}

bool get_trace_state_key(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
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
