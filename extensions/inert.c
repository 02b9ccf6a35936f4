/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zpages and pprof: extensions that look into a Go program. Their keys are accepted, so that a
 * configuration can stay as it is; they open nothing and say so at start.
 * Threads: main. Limits: none.
 */
#include <stdlib.h>

#include "extensions/extensions.h"

static const struct key zpages_keys[] = {
    KEY_IGNORED("endpoint", true,
                "Pages of this kind are not served; the metrics address has /debug pages instead."),
    KEY_IGNORED("expvar", true, "There are no expvars."),
    KEY_IGNORED("tls", true, "Pages of this kind are not served."),
    KEY_IGNORED("auth", true, "Pages of this kind are not served."),
    KEY_IGNORED("cors", true, "Pages of this kind are not served."),
    KEY_END,
};

static const struct key pprof_keys[] = {
    KEY_IGNORED("endpoint", true, "There is no Go runtime to profile; use perf."),
    KEY_IGNORED("block_profile_fraction", true, "There is no Go runtime to profile."),
    KEY_IGNORED("mutex_profile_fraction", true, "There is no Go runtime to profile."),
    KEY_IGNORED("save_to_file", true, "There is no Go runtime to profile."),
    KEY_IGNORED("dialer", true, "There is no Go runtime to profile."),
    KEY_END,
};

static struct component *create(struct host *h, const struct component_type *type)
{
    struct component *c = mem_alloc(sizeof(*c));

    *c = (struct component){.type = type, .host = h};
    return c;
}

static struct component *zpages_create(struct host *h, const void *settings, struct err *err)
{
    (void)settings;
    (void)err;
    return create(h, &zpages_extension_type);
}

static struct component *pprof_create(struct host *h, const void *settings, struct err *err)
{
    (void)settings;
    (void)err;
    return create(h, &pprof_extension_type);
}

static int inert_start(struct component *c, struct err *err)
{
    (void)err;
    log_warn(&c->host->log, "This extension is accepted for compatibility and does nothing",
             LOG_STR("type", c->type->name));
    return 0;
}

static void inert_drain(struct component *c)
{
    host_drained(c->host);
}

static void inert_destroy(struct component **c)
{
    free(*c);
    *c = NULL;
}

const struct component_type zpages_extension_type = {
    .kind = EXTENSION,
    .name = "zpages",
    .stability = "alpha",
    .summary = "Accepted for compatibility; does nothing.",
    .keys = zpages_keys,
    .create = zpages_create,
    .start = inert_start,
    .drain = inert_drain,
    .destroy = inert_destroy,
};

const struct component_type pprof_extension_type = {
    .kind = EXTENSION,
    .name = "pprof",
    .stability = "alpha",
    .summary = "Accepted for compatibility; does nothing.",
    .keys = pprof_keys,
    .create = pprof_create,
    .start = inert_start,
    .drain = inert_drain,
    .destroy = inert_destroy,
};
