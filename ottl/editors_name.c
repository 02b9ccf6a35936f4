/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set_semconv_span_name: names a span by the semantic conventions for HTTP, RPC, databases and
 * messaging, from its attributes, in their present and their older names.
 *
 *   server     http.route, RPC, messaging        client   url.template, RPC, database, messaging
 *   producer, consumer   messaging               others keep their name
 *
 * The first kind of convention whose leading attribute is there decides. A name that comes out
 * empty, or as it was, changes nothing.
 */
#include <stdio.h>

#include "model/attr.h"
#include "ottl/call.h"
#include "ottl/draft.h"
#include "ottl/path.h"

enum key {
    HTTP_METHOD,
    HTTP_METHOD_OLD,
    HTTP_ROUTE,
    URL_TEMPLATE,
    RPC_SYSTEM,
    RPC_SYSTEM_OLD,
    RPC_SERVICE,
    RPC_METHOD,
    DB_SYSTEM,
    DB_SYSTEM_OLD,
    DB_SUMMARY,
    DB_OPERATION,
    DB_OPERATION_OLD,
    DB_NAMESPACE,
    DB_NAMESPACE_OLD,
    DB_COLLECTION,
    DB_PROCEDURE,
    MQ_SYSTEM,
    MQ_OPERATION,
    MQ_OPERATION_OLD,
    MQ_TEMPLATE,
    MQ_DESTINATION,
    MQ_DESTINATION_OLD,
    SERVER_ADDRESS,
    SERVER_PORT,
    KEYS
};
static const char *const names[KEYS] = {
    "http.request.method",
    "http.method",
    "http.route",
    "url.template",
    "rpc.system.name",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "db.system.name",
    "db.system",
    "db.query.summary",
    "db.operation.name",
    "db.operation",
    "db.namespace",
    "db.name",
    "db.collection.name",
    "db.stored_procedure.name",
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation",
    "messaging.destination.template",
    "messaging.destination.name",
    "messaging.destination",
    "server.address",
    "server.port",
};

struct namer {
    struct ottl_eval *e;
    const int *keys; /* numbers of the keys, by enum key */
    struct buf name; /* as it grows */
    bool failed;
};

static struct slice value_of(const struct namer *m, enum key k)
{
    int number = m->keys[k];

    return number < 0 ? (struct slice){0} : m->e->views[OTTL_SPAN].found[number];
}

static bool has(const struct namer *m, enum key k)
{
    return value_of(m, k).p != NULL;
}

static bool has_either(const struct namer *m, enum key k, enum key old)
{
    return has(m, k) || has(m, old);
}

static void put(struct namer *m, const char *text)
{
    m->failed |= buf_add(&m->name, text, strlen(text)) != 0;
}

/* The attribute as text. */
static void put_value(struct namer *m, enum key k)
{
    struct slice body = value_of(m, k);
    struct any v;

    if (!body.p)
        return;
    v = any_parse(body);
    m->failed |= any_as_string(&v, &m->name) != 0;
}

static void put_either(struct namer *m, enum key k, enum key old)
{
    put_value(m, has(m, k) ? k : old);
}

/* Puts it; was it more than nothing? */
static bool put_some(struct namer *m, enum key k, enum key old)
{
    size_t before = m->name.len;

    put_either(m, k, old);
    return m->name.len > before;
}

static void put_server(struct namer *m)
{
    put_value(m, SERVER_ADDRESS);
    if (has(m, SERVER_ADDRESS) && has(m, SERVER_PORT)) {
        put(m, ":");
        put_value(m, SERVER_PORT);
    }
}

static bool http(struct namer *m, enum key target)
{
    if (!has_either(m, HTTP_METHOD, HTTP_METHOD_OLD))
        return false;
    put_either(m, HTTP_METHOD, HTTP_METHOD_OLD);
    if (has(m, target)) {
        put(m, " ");
        put_value(m, target);
    }
    return m->name.len > 0;
}

static bool rpc(struct namer *m)
{
    if (!has_either(m, RPC_SYSTEM, RPC_SYSTEM_OLD))
        return false;
    if (has(m, RPC_SERVICE)) {
        put_value(m, RPC_SERVICE);
        put(m, has(m, RPC_METHOD) ? "/" : "/*");
    }
    put_value(m, RPC_METHOD);
    if (!has(m, RPC_SERVICE) && !has(m, RPC_METHOD))
        put_either(m, RPC_SYSTEM, RPC_SYSTEM_OLD);
    return m->name.len > 0;
}

static void database_target(struct namer *m)
{
    bool in = put_some(m, DB_NAMESPACE, DB_NAMESPACE_OLD);
    enum key what = has(m, DB_COLLECTION) ? DB_COLLECTION : DB_PROCEDURE;

    if (has(m, what)) {
        put(m, in ? "." : "");
        put_value(m, what);
    } else if (!in) {
        put_server(m);
    }
}

static bool database(struct namer *m)
{
    size_t operation;

    if (!has_either(m, DB_SYSTEM, DB_SYSTEM_OLD))
        return false;
    if (has(m, DB_SUMMARY)) {
        put_value(m, DB_SUMMARY);
        return m->name.len > 0;
    }
    if (put_some(m, DB_OPERATION, DB_OPERATION_OLD))
        put(m, " ");
    operation = m->name.len;
    database_target(m);
    if (m->name.len == operation && operation)
        m->name.len--; /* the blank */
    if (m->name.len == 0)
        put_either(m, DB_SYSTEM, DB_SYSTEM_OLD);
    return m->name.len > 0;
}

static void messaging_target(struct namer *m)
{
    if (has(m, MQ_TEMPLATE))
        put_value(m, MQ_TEMPLATE);
    else if (has_either(m, MQ_DESTINATION, MQ_DESTINATION_OLD))
        put_either(m, MQ_DESTINATION, MQ_DESTINATION_OLD);
    else
        put_server(m);
}

static bool messaging(struct namer *m)
{
    bool operation = has_either(m, MQ_OPERATION, MQ_OPERATION_OLD);
    size_t before;

    if (!has(m, MQ_SYSTEM))
        return false;
    if (operation) {
        put_either(m, MQ_OPERATION, MQ_OPERATION_OLD);
        put(m, " ");
    }
    before = m->name.len;
    messaging_target(m);
    if (m->name.len == before && operation)
        m->name.len--;
    if (m->name.len == 0 && !operation)
        put_value(m, MQ_SYSTEM);
    return m->name.len > 0;
}

static void make_name(struct namer *m, uint8_t kind)
{
    switch (kind) {
    case 2: /* server */
        (void)(http(m, HTTP_ROUTE) || rpc(m) || messaging(m));
        break;
    case 3: /* client */
        (void)(http(m, URL_TEMPLATE) || rpc(m) || database(m) || messaging(m));
        break;
    case 4:
    case 5:
        (void)messaging(m);
        break;
    default:
        break;
    }
}

/* Keeps the name it had in an attribute. */
static bool keep_original(struct ottl_eval *e, struct slice key, struct slice name)
{
    struct draft *d = draft_open(e, OTTL_SPAN);
    struct ottl_value v = ottl_str(name);
    struct slice body;

    if (!d || !draft_value(e, d->map, &v, &body))
        return false;
    attr_map_put(d->map, key, body);
    e->views[OTTL_SPAN].scanned = false;
    return map_fine(e, d->map);
}

static bool set_semconv_span_name(struct ottl_eval *e, const struct node *n,
                                  struct ottl_value *none)
{
    struct namer m = {.e = e, .keys = n->data, .name.max = OTTL_SCRATCH_BYTES};
    struct slice old = span_fields(e)->name;
    struct ottl_value v;
    bool fine;

    (void)none;
    if (!e->views[OTTL_SPAN].scanned)
        view_scan(e, OTTL_SPAN);
    make_name(&m, e->span->kind);
    v = ottl_str(slice_of(m.name.p, m.name.len));
    if (m.failed)
        fine = ottl_too_long(e);
    else if (m.name.len == 0 || slice_eq(v.s, old))
        fine = true;
    else
        fine = (!n->args[1] || keep_original(e, arg_constant(n, 1)->s, old)) && set_name(e, n, &v);
    buf_free(&m.name);
    return fine;
}

/* "1.38.0", the patch may be left out; between 1.37.0 and 1.40.0. */
static bool known_version(const char *text)
{
    unsigned minor, patch = 0;
    int end = 0;

    text += text[0] == 'v';
    if (sscanf(text, "1.%3u%n", &minor, &end) < 1)
        return false;
    text += end;
    if (text[0] && (sscanf(text, ".%3u%n", &patch, &end) < 1 || text[end]))
        return false;
    return minor >= 37 && (minor < 40 || (minor == 40 && patch == 0));
}

static int prepare(struct compiler *k, struct node *n, struct err *err)
{
    struct slice version = arg_constant(n, 0)->s;
    const char *text = arena_dup_n(k->program->arena, (const char *)version.p, version.len);
    int *keys = arena_alloc(k->program->arena, KEYS * sizeof(*keys));

    if (!known_version(text))
        return err_set(
            err, "unsupported semconv version \"%.40s\": must be between 1.37.0 and 1.40.0", text);
    if (n->args[1] && arg_constant(n, 1)->s.len == 0)
        return err_set(err, "original_span_name_attribute cannot be an empty string");
    for (size_t i = 0; i < KEYS; i++)
        keys[i] = program_key(k->program, OTTL_SPAN, slice_str(names[i]));
    n->data = keys;
    k->writes |= 1u << OTTL_SPAN;
    return 0;
}

const struct func name_editors[] = {
    {"set_semconv_span_name",
     set_semconv_span_name,
     {P("semconv_version", ARG_TEXT), OPTIONAL("original_span_name_attribute", ARG_TEXT)},
     prepare},
    {.name = NULL},
};
