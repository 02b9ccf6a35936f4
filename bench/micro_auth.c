/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What authentication costs a request: the look at what a client shows (server side), and the fields that an exporter's
 * request gets (client side), one line each. CPU time of the thread over requests.
 *
 *   build/obj/bench/micro_auth [requests]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "component/auth.h"
#include "config/check.h"
#include "config/decode.h"
#include "config/yaml.h"
#include "extensions/extensions.h"
#include "platform/hash.h"

#define BCRYPT "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define USER   "Basic dTpzZWNyZXQ=" /* u:secret */

static const struct row {
    const char *name;
    const struct component_type *type;
    const char *yaml;
    const char *shown; /* NULL: the client side */
} rows[] = {
    {"bearer token, the only one", &bearertokenauth_extension_type, "token: 0123456789abcdef0123456789abcdef",
     "Bearer 0123456789abcdef0123456789abcdef"},
    {"bearer token, the last of 20", &bearertokenauth_extension_type,
     "tokens: [a01, a02, a03, a04, a05, a06, a07, a08, a09, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20]", "Bearer a20"},
    {"basic, bcrypt, seen before", &basicauth_extension_type, "htpasswd: {inline: 'u:" BCRYPT "'}", USER},
    {"basic, {SHA}", &basicauth_extension_type, "htpasswd: {inline: 'u:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='}", USER},
    {"exporter: bearer token", &bearertokenauth_extension_type, "token: 0123456789abcdef0123456789abcdef", NULL},
    {"exporter: basic", &basicauth_extension_type, "client_auth: {username: u, password: secret}", NULL},
    {"exporter: 3 headers set", &headers_setter_extension_type,
     "headers: [{key: a, value: v}, {key: b, from_context: tenant, default_value: none}, {key: c, action: delete}]", NULL},
};

struct world {
    struct host host;
    struct arena *arena;
    struct component *c;
    bool drained;
};

static void on_drained(struct host *h)
{
    CONTAINER_OF(h, struct world, host)->drained = true;
    loop_stop(h->loop);
}

static const void *settings_of(struct arena *arena, const struct component_type *type, const char *yaml)
{
    struct diags *diags = diags_new();
    struct pos at = {.file = "bench.yaml", .line = 1, .col = 1};
    const struct node *n = yaml_parse(arena, &at, false, slice_str(yaml), diags);
    struct decoder d = {.arena = arena, .diags = diags, .whole = type->keys};
    struct path path = {.name = type->name};
    void *settings = arena_alloc(arena, type->settings_size);

    decode_struct(&d, &path, at, type->keys, n, settings);
    CHECK(diags->n == 0);
    diags_free(&diags);
    return settings;
}

static void world_make(struct world *w, const struct row *r)
{
    struct err err = {""};

    *w = (struct world){.arena = arena_new()};
    w->host = (struct host){.loop = loop_new("bench"), .budget = budget_new(0, 0), .metrics = metric_set_new(), .n_workers = 1,
                            .id = r->type->name, .drained_fn = on_drained};
    w->c = r->type->create(&w->host, settings_of(w->arena, r->type, r->yaml), &err);
    CHECK(w->c && r->type->start(w->c, &err) == 0);
}

static void world_end(struct world *w)
{
    w->c->type->drain(w->c);
    if (!w->drained)
        loop_run(w->host.loop);
    w->c->type->destroy(&w->c);
    (void)loop_free(&w->host.loop);
    metric_set_free(&w->host.metrics);
    budget_free(&w->host.budget);
    arena_free(&w->arena);
}

static double thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- both sides ---- */

static struct loop *looking;

static void on_verdict(struct auth_check *k)
{
    (void)k;
    loop_stop(looking);
}

static void look(struct auth_door *d, const char *shown)
{
    struct auth_check k = {.done = on_verdict};

    d->ops->check(d, slice_str(shown), &k);
    if (k.verdict == AUTH_LATER)
        loop_run(looking);
    CHECK(k.verdict == AUTH_OK);
    auth_data_unref(&k.data);
}

static double server(struct world *w, const char *shown, unsigned n)
{
    struct auth_door *d = w->c->type->auth_server->open(w->c, &w->host);
    double began;

    looking = w->host.loop;
    look(d, shown); /* the first look at a bcrypt hash is slow on purpose */
    began = thread_cpu_ns();
    for (unsigned i = 0; i < n; i++)
        look(d, shown);
    began = thread_cpu_ns() - began;
    auth_door_close(&d);
    return began;
}

static double client(struct world *w, unsigned n)
{
    struct auth_signer *s = w->c->type->auth_client->open(w->c, &w->host);
    struct err err = {""};
    double began = thread_cpu_ns();

    for (unsigned i = 0; i < n; i++) {
        struct auth_fields f = {0};

        CHECK(s->ops->sign(s, NULL, &f, NULL, &err) == AUTH_OK);
        auth_fields_free(&f);
    }
    began = thread_cpu_ns() - began;
    auth_signer_close(&s);
    return began;
}

int main(int argc, char **argv)
{
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200000;

    hash_seed(1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        double ns;

        world_make(&w, &rows[i]);
        ns = rows[i].shown ? server(&w, rows[i].shown, n) : client(&w, n);
        printf("%-30s %8.0f ns a request\n", rows[i].name, ns / n);
        world_end(&w);
    }
    return 0;
}
