/* SPDX-License-Identifier: Apache-2.0 */
/* What extensions provide: see extension.h, and for storage storage.h. */
#include "component/component.h"
#include "component/storage.h"

static const struct {
    unsigned bit;
    const char *name;
} things[] = {
    {EXT_STORAGE, "storage"},
    {EXT_AUTH_SERVER, "authentication of clients"},
    {EXT_AUTH_CLIENT, "credentials for requests"},
};

const char *extension_thing(unsigned provides)
{
    for (size_t i = 0; i < ARRAY_LEN(things); i++)
        if (things[i].bit == provides)
            return things[i].name;
    CHECK(!"one of EXT_*");
    return "";
}

unsigned extension_provides(const struct component_type *t, const void *settings)
{
    unsigned bits = (t->storage ? EXT_STORAGE : 0) | (t->auth_server ? EXT_AUTH_SERVER : 0) |
                    (t->auth_client ? EXT_AUTH_CLIENT : 0);

    return settings && t->provides ? bits & t->provides(settings) : bits;
}

static struct storage_owner owner_of(const struct host *h)
{
    return (struct storage_owner){.kind = h->log.kind ? h->log.kind : "", .id = h->id, .pipeline = h->pipeline};
}

const char *storage_former(const struct host *h, const struct component *c, size_t i)
{
    const struct storage_owner owner = owner_of(h);

    return c->type->storage->former ? c->type->storage->former(c, &owner, i) : NULL;
}

int storage_open(struct host *h, const char *id, struct storage_place *out, struct err *err)
{
    struct component *c = host_extension(h, id);
    const struct storage_owner owner = owner_of(h);

    CHECK(c && c->type->storage);
    return c->type->storage->open(c, &owner, out, err);
}
