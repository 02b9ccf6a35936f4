/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward connector: hands batches unchanged from one pipeline to others. The end of one pipeline
 * and the start of the next in the books too: a batch ends as exported in the first when all the
 * next pipelines took it (the graph does that for every connector, see pipeline/fanout.c).
 * Threads: one instance per worker. Limits: none of its own.
 */
#include <stdlib.h>

#include "connectors/connectors.h"

static const struct key forward_keys[] = {KEY_END};

static struct component *forward_create(struct host *h, const void *settings, struct err *err)
{
    struct component *c = mem_alloc(sizeof(*c));

    (void)settings;
    (void)err;
    *c = (struct component){.type = &forward_connector_type, .host = h};
    return c;
}

static void forward_push(struct component *c, struct batch **take)
{
    CHECK(c->type == &forward_connector_type);
    host_emit(c->host, take);
}

static void forward_drain(struct component *c)
{
    CHECK(c->type == &forward_connector_type);
    host_drained(c->host);
}

static void forward_destroy(struct component **c)
{
    free(*c);
    *c = NULL;
}

const struct component_type forward_connector_type = {
    .kind = CONNECTOR,
    .name = "forward",
    .stability = "beta",
    .summary = "Joins pipelines: passes traces on unchanged.",
    .keys = forward_keys,
    .create = forward_create,
    .push = forward_push,
    .drain = forward_drain,
    .destroy = forward_destroy,
};
