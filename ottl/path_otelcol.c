/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otelcol.*: what the receiver knows of the request that brought the spans. Read-only, the same in
 * every context, and of no context by itself.
 *
 *   otelcol.client.addr                      of gRPC with its port, as the Collector has it
 *   otelcol.client.metadata["X"][0]          headers, where the receiver has include_metadata
 *   otelcol.client.auth.attributes["k"]      what the receiver's authenticator found out
 *   otelcol.grpc.metadata["x"][0]            headers of gRPC alone, from the same source
 *
 * Behind a processor that merges requests of many clients, or keeps spans, there is nothing: the
 * address is nil, the maps are empty. Order: values, readers, table, compiling. Threads: compiling
 * on main at start, readers on the eval's worker.
 */
#include <strings.h>

#include "model/batch.h"
#include "model/wire_checked.h"
#include "ottl/eval.h"
#include "ottl/hint.h"
#include "ottl/path.h"
#include "platform/nearest.h"

/* ---- values ---- */

static bool is_name(const struct request_header *h, struct slice name)
{
    return strlen(h->name) == name.len && strncasecmp(h->name, (const char *)name.p, name.len) == 0;
}

/* gRPC has the host under its own name for it alone. */
static bool is_seen(const struct request_header *h, bool grpc)
{
    return h->name && !(grpc && strcmp(h->name, "host") == 0);
}

/* All values of a name as the body of an ArrayValue. */
static int put_values(struct buf *out, const struct request_info *info, struct slice name,
                      bool grpc)
{
    for (size_t i = 0; i < info->n_headers; i++)
        if (is_seen(&info->headers[i], grpc) && is_name(&info->headers[i], name) &&
            ottl_put_item(out, slice_str(info->headers[i].value)))
            return -1;
    return 0;
}

static bool is_repeated(const struct request_info *info, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (info->headers[i].name && strcmp(info->headers[i].name, info->headers[at].name) == 0)
            return true;
    return false;
}

static int put_header(struct buf *out, const struct request_info *info, size_t at, bool grpc)
{
    struct slice name = slice_str(info->headers[at].name);
    struct buf values = {.max = OTTL_SCRATCH_BYTES};
    int rc = put_values(&values, info, name, grpc);
    struct any a = {.type = ANY_ARRAY, .bytes = slice_of(values.p, values.len)};

    if (rc == 0)
        rc = attr_put(out, OTTL_MAP_FIELD, name, &a);
    buf_free(&values);
    return rc;
}

static bool all_headers(struct ottl_eval *e, bool grpc, struct ottl_value *out)
{
    const struct request_info *info = e->request;
    struct buf *b = ottl_text(e);

    for (size_t i = 0; info && i < info->n_headers; i++)
        if (is_seen(&info->headers[i], grpc) && !is_repeated(info, i) &&
            put_header(b, info, i, grpc))
            return ottl_too_long(e);
    return ottl_keep_text(e, OTTL_MAP, out);
}

/* The values of one header; nil when there are none. */
static bool one_header(struct ottl_eval *e, bool grpc, struct slice name, struct ottl_value *out)
{
    struct buf *b = ottl_text(e);

    if (e->request && put_values(b, e->request, name, grpc))
        return ottl_too_long(e);
    *out = ottl_nil();
    return b->len == 0 || ottl_keep_text(e, OTTL_LIST, out);
}

/* The path's first key, which must be a string. */
static bool name_key(struct ottl_eval *e, const struct node *n, struct slice *name)
{
    struct ottl_value key;

    if (!node_eval(e, n->keys[0], &key))
        return false;
    *name = key.s;
    return key.type == OTTL_STR ||
           ottl_fail(e, "unable to resolve a string index in map: expecting string but got %s",
                     ottl_type_name(&key));
}

/* ---- readers ---- */

static bool get_address(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct request_info *info = e->request;
    const char *address = !info ? "" : info->grpc_peer ? info->grpc_peer : info->client_address;

    (void)n;
    *out = *address ? ottl_str(slice_str(address)) : ottl_nil();
    return true;
}

static bool get_metadata(struct ottl_eval *e, const struct node *n, bool grpc,
                         struct ottl_value *out)
{
    struct slice name;

    if (n->n_keys == 0)
        return all_headers(e, grpc, out);
    if (!name_key(e, n, &name) || !one_header(e, grpc, name, out))
        return false;
    if (out->type == OTTL_NIL)
        return true;
    if (n->n_keys > 2)
        return ottl_fail(e, "cannot index into string slice more than once");
    return index_path(e, n, 1, out);
}

static bool get_client_metadata(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    return get_metadata(e, n, false, out);
}

static bool get_grpc_metadata(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct request_info *info = e->request;
    bool fine;

    if (!info || !info->grpc_peer) /* nothing there, whatever the headers of HTTP */
        e->request = NULL;
    fine = get_metadata(e, n, true, out);
    e->request = info;
    return fine;
}

static bool all_auth(struct ottl_eval *e, struct ottl_value *out)
{
    const struct auth_data *d = e->request ? e->request->auth : NULL;
    struct buf *b = ottl_text(e);

    for (size_t i = 0; d && i < d->n; i++) {
        struct any a = {.type = ANY_STR, .bytes = slice_str(d->v[i].value)};

        if (attr_put(b, OTTL_MAP_FIELD, slice_str(d->v[i].name), &a))
            return ottl_too_long(e);
    }
    return ottl_keep_text(e, OTTL_MAP, out);
}

static bool get_auth(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    const struct auth_data *d = e->request ? e->request->auth : NULL;
    struct slice name;

    if (n->n_keys == 0)
        return all_auth(e, out);
    if (!name_key(e, n, &name))
        return false;
    *out = ottl_nil();
    for (size_t i = 0; d && i < d->n && out->type == OTTL_NIL; i++)
        if (slice_eq(slice_str(d->v[i].name), name))
            *out = ottl_str(slice_str(d->v[i].value));
    return n->n_keys == 1 || ottl_fail(e, "attribute \"%.*s\" value is not indexable: %s",
                                       (int)(name.len < 100 ? name.len : 100), name.p,
                                       out->type == OTTL_NIL ? "Empty" : "Str");
}

/* ---- the table ---- */

static const struct otelcol_row {
    const char *name;
    node_fn *get;
    bool keys;
} rows[] = {
    {"otelcol.client.addr", get_address, false},
    {"otelcol.client.metadata", get_client_metadata, true},
    {"otelcol.client.auth.attributes", get_auth, true},
    {"otelcol.grpc.metadata", get_grpc_metadata, true},
};

static const char *row_name(const void *ctx, size_t i)
{
    (void)ctx;
    return i < ARRAY_LEN(rows) ? rows[i].name : NULL;
}

bool set_read_only(struct ottl_eval *e, const struct node *n, const struct ottl_value *v)
{
    (void)v;
    return ottl_fail(e, "\"%s\" is read-only and cannot be modified", rows[n->field].name);
}

/* ---- compiling ---- */

bool path_is_otelcol(const struct ast *path)
{
    return path->n > 1 && !path->kids->keys && slice_eq(path->kids->text, slice_str("otelcol"));
}

/* The path's fields with dots between. */
static const char *dotted(struct arena *arena, const struct ast *path)
{
    uint8_t *name, *to;
    size_t len = 1;

    for (const struct ast *f = path->kids; f; f = f->next)
        len += f->text.len + 1;
    name = to = arena_alloc(arena, len);
    for (const struct ast *f = path->kids; f; f = f->next) {
        to = wire_put_slice(to, f->text);
        *to++ = f->next ? '.' : 0;
    }
    return (const char *)name;
}

/* Keys in the middle of the path; NULL: there are none. */
static const struct ast *early_keys(const struct ast *path)
{
    for (const struct ast *f = path->kids; f->next; f = f->next)
        if (f->keys)
            return f->keys;
    return NULL;
}

static struct node *no_such(struct compiler *k, const struct ast *a, const char *name)
{
    err_at(k->err, k->text, a->at, "\"%s\" is not a valid path%s", name,
           hint_near(nearest_name(name, row_name, NULL)).text);
    return NULL;
}

static struct node *row_node(struct compiler *k, const struct ast *a, uint32_t row)
{
    const struct ast *keys = a->last->keys;
    struct node *n;

    if (keys && !rows[row].keys) {
        err_at(k->err, k->text, keys->at, "the path \"%s\" cannot be indexed", rows[row].name);
        return NULL;
    }
    n = expr_new(k, a, rows[row].get);
    n->context = k->context;
    n->set = set_read_only;
    n->field = row;
    n->key = -1;
    return compile_keys(k, n, keys) ? NULL : n;
}

struct node *compile_otelcol(struct compiler *k, const struct ast *a)
{
    const char *name = dotted(k->program->arena, a);
    const struct ast *early = early_keys(a);

    if (early) {
        err_at(k->err, k->text, early->at, "only the last field of an otelcol path can be indexed");
        return NULL;
    }
    for (uint32_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return row_node(k, a, i);
    return no_such(k, a, name);
}
