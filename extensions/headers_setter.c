/* SPDX-License-Identifier: Apache-2.0 */
/*
 * headers_setter: header fields of an exporter's requests from fixed values, files, the headers of the
 * request that brought the data (the receiver needs include_metadata), or what its authenticator knew.
 *
 *   fields of the exporter -> each rule in order -> additional_auth -> out
 *
 * Batches lose what they knew of their request where data of several is merged, unless the batcher
 * keeps it apart (metadata_keys): a source that has nothing gives default_value, or an empty value.
 * Over gRPC rules see only what earlier ones set. Threads: files are main's, signers their workers'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "component/auth.h"
#include "extensions/box.h"
#include "extensions/extensions.h"
#include "extensions/secret_file.h"

struct rule {
    const char *key, *action;
    const char *value, *from_context, *from_attribute, *value_file, *default_value; /* NULL: not given */
};

struct setter_settings {
    struct item_list headers; /* of struct rule */
    const char *additional_auth;
};

static const struct key rule_keys[] = {
    KEY_STR(struct rule, key, "", "Name of the header."),
    KEY_STR(struct rule, action, "upsert",
            "insert (only if absent), update (only if present), upsert (anything else, too), delete."),
    KEY_SECRET(struct rule, value, NULL, "The value."),
    KEY_STR(struct rule, from_context, NULL, "The value is that of this header of the request that brought the data."),
    KEY_STR(struct rule, from_attribute, NULL, "The value is what the receiver's authenticator knew (basicauth: username, raw)."),
    KEY_STR(struct rule, value_file, NULL, "The value stands in this file; read again when it changes."),
    KEY_SECRET(struct rule, default_value, NULL, "The value when from_context or from_attribute has none; without it an empty one."),
    KEY_END,
};

static const struct key setter_keys[] = {
    KEY_LIST(struct setter_settings, headers, struct rule, rule_keys, "What to set, in this order."),
    KEY_EXTENSION(struct setter_settings, additional_auth, EXT_AUTH_CLIENT, "An extension whose credentials are added last."),
    KEY_END,
};

/* Values of the files, by rule; NULL where there is none. */
struct file_values {
    struct boxed base;
    size_t n;
    char *v[];
};

struct setter {
    struct component base;
    const struct rule *rules;
    size_t n;
    const char *additional;
    struct box box;
    struct secret_file **files; /* by rule */
};

struct setter_signer {
    struct auth_signer base;
    struct setter *s;
    struct auth_signer *inner; /* NULL: none */
    struct box_view view;
};

static struct setter *setter_of(const struct component *c)
{
    CHECK(c->type == &headers_setter_extension_type);
    return CONTAINER_OF(c, struct setter, base);
}

static struct setter_signer *signer_of(struct auth_signer *s)
{
    return CONTAINER_OF(s, struct setter_signer, base);
}

/* ---- files ---- */

static void values_free(struct boxed *base)
{
    struct file_values *v = CONTAINER_OF(base, struct file_values, base);

    for (size_t i = 0; i < v->n; i++)
        secret_free(&v->v[i]);
    free(v);
}

static int load(struct setter *s, struct err *err)
{
    struct file_values *v = mem_alloc(sizeof(*v) + s->n * sizeof(char *));

    v->n = s->n;
    for (size_t i = 0; i < s->n; i++)
        if (s->rules[i].value_file && !(v->v[i] = secret_read(s->rules[i].value_file, err))) {
            values_free(&v->base);
            return -1;
        }
    box_put(&s->box, &v->base, values_free);
    return 0;
}

static void on_file(void *ctx)
{
    struct setter *s = ctx;
    struct err err = {""};

    if (load(s, &err) == 0)
        log_info(&s->base.host->log, "Header values read again");
    else
        log_warn(&s->base.host->log, "The file of a header value cannot be used, the values stay", LOG_STR("error", err.text));
}

/* ---- rules ---- */

/* -1 with err: there is more than one. */
static int value_of(const struct rule *r, const char *from_file, const struct request_info *info, const char **value,
                    struct err *err)
{
    const char *known = NULL;

    if (r->from_context && request_info_get(info, r->from_context, 1)) {
        size_t n = 2;
        while (request_info_get(info, r->from_context, n))
            n++;
        return err_set(err, "failed to determine the source: %zu source keys found in the context, can't determine which one to use", n);
    }
    if (r->from_context)
        known = request_info_get(info, r->from_context, 0);
    else if (r->from_attribute)
        known = request_info_auth(info, r->from_attribute);
    *value = r->value          ? r->value
             : r->value_file   ? from_file
             : known           ? known
                               : r->default_value;
    if (!*value)
        *value = "";
    return 0;
}

static int apply(const struct rule *r, const char *from_file, const struct request_info *info, struct auth_fields *f,
                 struct err *err)
{
    bool there = auth_fields_get(f, r->key) != NULL;
    const char *value = NULL;

    if (strcmp(r->action, "delete") == 0) {
        auth_fields_remove(f, r->key);
        return 0;
    }
    if ((strcmp(r->action, "insert") == 0 && there) || (strcmp(r->action, "update") == 0 && !there))
        return 0;
    if (value_of(r, from_file, info, &value, err) < 0)
        return -1;
    auth_fields_set(f, r->key, value);
    return 0;
}

static enum auth_verdict sign(struct auth_signer *base, const struct request_info *info, struct auth_fields *f,
                              struct auth_wait *w, struct err *err)
{
    struct setter_signer *g = signer_of(base);
    const struct file_values *files;

    box_look(&g->s->box, &g->view);
    files = CONTAINER_OF(g->view.seen, struct file_values, base);
    for (size_t i = 0; i < g->s->n; i++)
        if (apply(&g->s->rules[i], files->v[i], info, f, err) < 0)
            return AUTH_REFUSED;
    return g->inner ? g->inner->ops->sign(g->inner, info, f, w, err) : AUTH_OK;
}

static void cancel(struct auth_signer *base, struct auth_wait *w)
{
    struct setter_signer *g = signer_of(base);

    if (g->inner)
        g->inner->ops->cancel(g->inner, w);
}

/* ---- signers ---- */

static bool needs_tls(const struct component *c)
{
    const struct setter *s = setter_of(c);

    return auth_signer_needs_tls(c->host, s->additional);
}

static struct auth_signer *signer_open(struct component *c, struct host *user)
{
    struct setter_signer *g = mem_alloc(sizeof(*g));
    struct setter *s = setter_of(c);
    struct component *inner = host_extension(c->host, s->additional);

    *g = (struct setter_signer){.base = {c->type->auth_client}, .s = s};
    if (inner)
        g->inner = inner->type->auth_client->open(inner, user);
    return &g->base;
}

static void signer_close(struct auth_signer **sp)
{
    struct setter_signer *g = signer_of(*sp);

    *sp = NULL;
    auth_signer_close(&g->inner);
    box_view_close(&g->view);
    free(g);
}

static const struct auth_client_ops client_ops = {
    .needs_tls = needs_tls, .open = signer_open, .close = signer_close, .sign = sign, .cancel = cancel};

/* ---- life ---- */

static void check_rule(const struct rule *r, size_t i, struct check *c)
{
    size_t n = (r->value != NULL) + (r->from_context != NULL) + (r->from_attribute != NULL) + (r->value_file != NULL);
    char at[48];

    snprintf(at, sizeof(at), "headers[%zu]", i);
    if (!r->key[0])
        check_error(c, at, "missing header name");
    else if (!n && strcmp(r->action, "delete") != 0)
        check_error(c, at, "missing header source, must be 'from_context', 'from_attribute', 'value', or 'value_file'");
    else if (n > 1)
        check_error(c, at, "invalid header source, must be only one of 'from_context', 'from_attribute', 'value', or 'value_file'");
    if (r->key[strcspn(r->key, " \t\r\n:")])
        check_error(c, at, "\"%s\" is not the name of a header", r->key);
}

static void setter_check(const void *settings, struct check *c)
{
    const struct setter_settings *s = settings;
    const struct rule *rules = s->headers.v;

    if (!s->headers.n)
        check_error(c, "headers", "missing headers configuration");
    for (size_t i = 0; i < s->headers.n; i++)
        check_rule(&rules[i], i, c);
}

static struct component *setter_create(struct host *host, const void *settings, struct err *err)
{
    const struct setter_settings *set = settings;
    struct setter *s = mem_alloc(sizeof(*s));

    (void)err;
    *s = (struct setter){.base = {&headers_setter_extension_type, host}, .rules = set->headers.v, .n = set->headers.n,
                         .additional = set->additional_auth};
    s->files = mem_alloc_array(s->n + 1, sizeof(*s->files));
    box_init(&s->box);
    return &s->base;
}

static int setter_start(struct component *c, struct err *err)
{
    struct setter *s = setter_of(c);

    if (load(s, err) < 0)
        return -1;
    for (size_t i = 0; i < s->n; i++)
        if (s->rules[i].value_file)
            s->files[i] = secret_watch(c->host->loop, s->rules[i].value_file, on_file, s);
    return 0;
}

static void setter_drain(struct component *c)
{
    host_drained(c->host);
}

static void setter_destroy(struct component **cp)
{
    struct setter *s = setter_of(*cp);

    *cp = NULL;
    for (size_t i = 0; i < s->n; i++)
        secret_unwatch(&s->files[i]);
    free(s->files);
    box_close(&s->box);
    free(s);
}

const struct component_type headers_setter_extension_type = {
    .kind = EXTENSION,
    .name = "headers_setter",
    .stability = "alpha",
    .summary = "Header fields of exporters' requests, from the request that brought the data or elsewhere.",
    .keys = setter_keys,
    .settings_size = sizeof(struct setter_settings),
    .check = setter_check,
    .create = setter_create,
    .start = setter_start,
    .drain = setter_drain,
    .destroy = setter_destroy,
    .auth_client = &client_ops,
};
