/* SPDX-License-Identifier: Apache-2.0 */
/* nop receiver: never receives anything. For configurations under construction, and tests.
 * Threads: one instance per worker. Limits: none. */
#include <stdlib.h>

#include "receivers/receivers.h"

static const struct key nop_keys[] = {KEY_END};

static struct component *nop_create(struct host *h, const void *settings, struct err *err)
{
    struct component *c = mem_alloc(sizeof(*c));

    (void)settings;
    (void)err;
    *c = (struct component){.type = &nop_receiver_type, .host = h};
    return c;
}

static void nop_drain(struct component *c)
{
    CHECK(c->type == &nop_receiver_type);
    host_drained(c->host);
}

static void nop_destroy(struct component **c)
{
    free(*c);
    *c = NULL;
}

const struct component_type nop_receiver_type = {
    .kind = RECEIVER,
    .name = "nop",
    .stability = "beta",
    .summary = "Receives nothing.",
    .keys = nop_keys,
    .create = nop_create,
    .drain = nop_drain,
    .destroy = nop_destroy,
};
