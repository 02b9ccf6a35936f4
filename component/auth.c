/* SPDX-License-Identifier: Apache-2.0 */
/* Doors and signers of the extension that a key names; header fields. See auth.h. */
#include "component/auth.h"

#include <stdlib.h>
#include <strings.h>

#include "component/component.h"

/* ---- doors and signers ---- */

struct auth_door *auth_door_open(struct host *h, const char *id)
{
    struct component *c = host_extension(h, id);

    if (!c)
        return NULL;
    CHECK(c->type->auth_server);
    return c->type->auth_server->open(c, h);
}

void auth_door_close(struct auth_door **d)
{
    if (*d)
        (*d)->ops->close(d);
}

struct auth_signer *auth_signer_open(struct host *h, const char *id)
{
    struct component *c = host_extension(h, id);

    if (!c)
        return NULL;
    CHECK(c->type->auth_client);
    return c->type->auth_client->open(c, h);
}

void auth_signer_close(struct auth_signer **s)
{
    if (*s)
        (*s)->ops->close(s);
}

bool auth_signer_needs_tls(struct host *h, const char *id)
{
    const struct component *c = host_extension(h, id);

    return c && c->type->auth_client->needs_tls(c);
}

/* ---- fields ---- */

static struct auth_field *find(const struct auth_fields *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcasecmp(f->v[i].name, name) == 0)
            return &f->v[i];
    return NULL;
}

const char *auth_fields_get(const struct auth_fields *f, const char *name)
{
    const struct auth_field *e = find(f, name);

    return e ? e->value : NULL;
}

static void wipe(struct auth_field *e)
{
    explicit_bzero(e->value, strlen(e->value));
    free(e->value);
    free(e->name);
}

void auth_fields_remove(struct auth_fields *f, const char *name)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->n; i++)
        if (strcasecmp(f->v[i].name, name) == 0)
            wipe(&f->v[i]);
        else
            f->v[kept++] = f->v[i];
    f->n = kept;
}

void auth_fields_set(struct auth_fields *f, const char *name, const char *value)
{
    struct auth_field new = {mem_dup(name), mem_dup(value)}; /* value may be one of f's */

    auth_fields_remove(f, name);
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 8;
        f->v = mem_grow(f->v, f->cap * sizeof(*f->v));
    }
    f->v[f->n++] = new;
}

void auth_fields_free(struct auth_fields *f)
{
    for (size_t i = 0; i < f->n; i++)
        wipe(&f->v[i]);
    free(f->v);
    *f = (struct auth_fields){0};
}

/* ---- secrets ---- */

bool auth_equal(struct slice a, struct slice b)
{
    volatile uint8_t differ = 0;

    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        differ |= a.p[i] ^ b.p[i];
    return differ == 0;
}
