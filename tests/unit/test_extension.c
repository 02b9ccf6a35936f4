/* SPDX-License-Identifier: Apache-2.0 */
/* How a component gets at an extension: with the fake host, and in a graph. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "component/storage.h"
#include "pipeline/build.h"
#include "tests/lib/test_host.h"

static char tmp[64];

static void make_tmp(void)
{
    snprintf(tmp, sizeof(tmp), "/tmp/test_extension.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(tmp));
}

static void expect_dir(const char *dir)
{
    struct stat st;

    ck_assert_msg(stat(dir, &st) == 0 && S_ISDIR(st.st_mode), "%s", dir);
    ck_assert_int_eq(rmdir(dir), 0);
}

/* Each owner gets a directory of its own, the same one each time. */
START_TEST(fake_storage)
{
    struct test_host *t = th_new();
    struct storage_place a, again, b;
    struct err err = {""};

    make_tmp();
    th_storage(t, "disk", tmp, 1000);
    t->host.log.kind = "exporter";
    t->host.id = "otlp/eu";
    ck_assert_msg(storage_open(&t->host, "disk", &a, &err) == 0, "%s", err.text);
    ck_assert_int_eq(storage_open(&t->host, "disk", &again, &err), 0);
    t->host.id = "otlp/us";
    ck_assert_int_eq(storage_open(&t->host, "disk", &b, &err), 0);
    ck_assert_str_eq(a.dir, again.dir);
    ck_assert_str_ne(a.dir, b.dir);
    ck_assert_uint_eq(a.max_bytes, 1000);
    ck_assert(!a.fsync);
    expect_dir(a.dir);
    expect_dir(b.dir);
    ck_assert_int_eq(rmdir(tmp), 0);
    ck_assert_ptr_null(host_extension(&t->host, NULL));
    th_free(&t);
}
END_TEST

/* ---- in a graph ---- */

struct plain {
    struct component base;
};
struct user_settings {
    const char *storage;
};

static bool ext_gone;
static unsigned n_users; /* created and not destroyed, over all workers */
static char said[64];    /* whose place was asked for */

extern const struct component_type ext_type, in_type, out_type;

static struct component *make(struct host *h, const struct component_type *type)
{
    struct plain *p = mem_alloc(sizeof(*p));

    p->base = (struct component){type, h};
    return &p->base;
}

static void drain(struct component *c)
{
    host_drained(c->host);
}

static struct component *ext_create(struct host *h, const void *s, struct err *err)
{
    (void)s;
    (void)err;
    ck_assert_uint_eq(n_users, 0);
    return make(h, &ext_type);
}

/* Whoever uses it has gone by then. */
static void ext_destroy(struct component **c)
{
    ck_assert_uint_eq(n_users, 0);
    ext_gone = true;
    free(*c);
    *c = NULL;
}

static int ext_place(struct component *c, const struct storage_owner *o, struct storage_place *out, struct err *err)
{
    ck_assert_ptr_eq(c->type, &ext_type);
    snprintf(said, sizeof(said), "%s %s %s", o->kind, o->id, o->pipeline ? o->pipeline : "-");
    *out = (struct storage_place){.dir = "/nowhere", .fsync = true};
    return strcmp(o->id, "refused") == 0 ? err_set(err, "no place") : 0;
}

static const struct storage_ops ext_ops = {.open = ext_place};

const struct component_type ext_type = {
    .kind = EXTENSION, .name = "ext", .create = ext_create, .drain = drain, .destroy = ext_destroy, .storage = &ext_ops};

static int user_shared(const void *settings, struct host *h, void **shared, struct err *err)
{
    const struct user_settings *s = settings;
    struct storage_place place;

    *shared = mem_alloc(1);
    if (!s)
        return 0;
    if (storage_open(h, s->storage, &place, err) == 0) {
        ck_assert(place.fsync);
        return 0;
    }
    free(*shared);
    return -1;
}

static void user_shared_free(void **shared)
{
    free(*shared);
    *shared = NULL;
}

static struct component *out_create(struct host *h, const void *settings, struct err *err)
{
    const struct user_settings *s = settings;

    (void)err;
    ck_assert(!s || host_extension(h, s->storage)->type == &ext_type);
    n_users++;
    return make(h, &out_type);
}

static void out_destroy(struct component **c)
{
    n_users--;
    free(*c);
    *c = NULL;
}

static void out_push(struct component *c, struct batch **take)
{
    (void)c;
    batch_exported(take);
}

const struct component_type out_type = {
    .kind = EXPORTER, .name = "out", .shared_create = user_shared, .shared_destroy = user_shared_free,
    .create = out_create, .push = out_push, .drain = drain, .destroy = out_destroy};

static struct component *in_create(struct host *h, const void *s, struct err *err)
{
    (void)s;
    (void)err;
    return make(h, &in_type);
}

static void in_destroy(struct component **c)
{
    free(*c);
    *c = NULL;
}

const struct component_type in_type = {
    .kind = RECEIVER, .name = "in", .create = in_create, .drain = drain, .destroy = in_destroy};

static struct user_settings use_disk = {"disk"};
static struct plan_component parts[3];
static const struct plan_component *receivers[] = {&parts[0]}, *exporters[] = {&parts[1]}, *extensions[] = {&parts[2]};
static struct plan_pipeline pipeline;
static struct plan plan;

static struct graph *make_graph(const char *exporter, struct loop *loop, struct metric_set *metrics,
                                struct budget *budget, struct err *err)
{
    struct graph_options o = {.n_workers = 2, .main_loop = loop, .main_metrics = metrics, .budget = budget};

    parts[0] = (struct plan_component){.type = &in_type, .id = "in", .used = true};
    parts[1] = (struct plan_component){.type = &out_type, .id = exporter, .settings = &use_disk, .used = true};
    parts[2] = (struct plan_component){.type = &ext_type, .id = "disk", .used = true};
    pipeline = (struct plan_pipeline){"traces", receivers, 1, NULL, 0, exporters, 1};
    plan = (struct plan){.components = parts, .n_components = 3, .pipelines = &pipeline, .n_pipelines = 1,
                         .extensions = extensions, .n_extensions = 1};
    ext_gone = false;
    n_users = 0;
    return graph_new(&plan, &o, err);
}

static const char *const ids[] = {"out", "refused"};

START_TEST(in_a_graph)
{
    struct loop *loop = loop_new("main");
    struct metric_set *metrics = metric_set_new();
    struct budget *budget = budget_new(0, 0);
    struct err err = {""};
    struct graph *g = make_graph(ids[_i], loop, metrics, budget, &err);

    if (_i == 0) {
        ck_assert_msg(g != NULL, "%s", err.text);
        ck_assert_str_eq(said, "exporter out -");
        ck_assert_uint_eq(n_users, 2);
        ck_assert_uint_eq(graph_free(&g), 0);
    } else {
        ck_assert_ptr_null(g);
        ck_assert_str_eq(err.text, "failed to create \"refused\" exporter: no place");
    }
    ck_assert(ext_gone);
    metric_set_free(&metrics);
    ck_assert_uint_eq(loop_free(&loop), 0);
    budget_free(&budget);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extension");
    TCase *tc = tcase_create("extension");
    SRunner *r;
    int failed;

    tcase_add_test(tc, fake_storage);
    tcase_add_loop_test(tc, in_a_graph, 0, 2);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
