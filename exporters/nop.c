/* SPDX-License-Identifier: Apache-2.0 */
/* nop exporter: takes everything and keeps nothing; what it takes counts as exported.
 * Threads: one instance per worker. Limits: none. */
#include <stdlib.h>

#include "exporters/exporters.h"

static const struct key nop_keys[] = {KEY_END};

static struct component *nop_create(struct host *h, const void *settings, struct err *err)
{
    struct component *c = mem_alloc(sizeof(*c));

    (void)settings;
    (void)err;
    *c = (struct component){.type = &nop_exporter_type, .host = h};
    return c;
}

static void nop_push(struct component *c, struct batch **take)
{
    CHECK(c->type == &nop_exporter_type);
    batch_exported(take);
}

static void nop_drain(struct component *c)
{
    CHECK(c->type == &nop_exporter_type);
    host_drained(c->host);
}

static void nop_destroy(struct component **c)
{
    free(*c);
    *c = NULL;
}

const struct component_type nop_exporter_type = {
    .kind = EXPORTER,
    .name = "nop",
    .stability = "beta",
    .summary = "Accepts everything and throws it away.",
    .keys = nop_keys,
    .create = nop_create,
    .push = nop_push,
    .drain = nop_drain,
    .destroy = nop_destroy,
};
