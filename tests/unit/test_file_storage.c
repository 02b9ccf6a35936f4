/* SPDX-License-Identifier: Apache-2.0 */
/* file_storage: one directory for each owner, locked against other processes, and what is wrong
 * said at start. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "component/storage.h"
#include "extensions/extensions.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

static char root[64];
static struct test_settings sets[8]; /* live as long as the test */
static size_t n_sets;

/* yaml: what follows the name of the directory */
static struct component *try_start(struct test_host *t, const char *yaml, struct err *err)
{
    char text[512];

    snprintf(text, sizeof(text), "directory: %s%s", root, yaml);
    sets[n_sets] = ts_new(&file_storage_extension_type, text);
    ck_assert_str_eq(ts_problems(&sets[n_sets]), "");
    return th_component_try(t, &file_storage_extension_type, sets[n_sets++].settings, err);
}

static struct component *started(struct test_host *t, const char *yaml)
{
    struct err err = {0};
    struct component *c = try_start(t, yaml, &err);

    ck_assert_msg(c != NULL, "%s", err.text);
    return c;
}

static int open_as(struct component *c, const char *id, const char *pipeline,
                   struct storage_place *p, struct err *err)
{
    struct storage_owner owner = {
        .kind = pipeline ? "processor" : "exporter", .id = id, .pipeline = pipeline};

    return c->type->storage->open(c, &owner, p, err);
}

static void setup(void)
{
    snprintf(root, sizeof(root), "/tmp/tailrace-storage-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    n_sets = 0;
}

static void teardown(void)
{
    char cmd[96];

    while (n_sets > 0)
        ts_free(&sets[--n_sets]);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
    ck_assert_int_eq(system(cmd), 0); /* NOLINT(cert-env33-c) */
}

START_TEST(every_owner_has_its_directory)
{
    struct test_host *t = th_new();
    struct component *c = started(t, "\nmax_size: 2000000\nfsync: true");
    static const char *const ids[] = {"otlp_grpc", "otlp_grpc/a", "otlp_grpc/a_b", "otlp_grpc/a~b",
                                      "otlp_grpc_a"};
    struct storage_place places[7];
    struct err err = {0};

    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(open_as(c, ids[i], NULL, &places[i], &err), 0);
    ck_assert_int_eq(open_as(c, "tail_sampling", "traces/a", &places[5], &err), 0);
    ck_assert_int_eq(open_as(c, "tail_sampling", "traces/b", &places[6], &err), 0);
    for (size_t i = 0; i < 7; i++) {
        ck_assert_int_eq(access(places[i].dir, W_OK), 0);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(places[i].dir, places[k].dir);
    }
    ck_assert(places[0].fsync);
    ck_assert_uint_eq(places[0].max_bytes, 2000000);
    ck_assert_int_eq(open_as(c, "otlp_grpc", NULL, &places[1], &err), 0); /* again: the same */
    ck_assert_str_eq(places[0].dir, places[1].dir);
    th_component_free(t, &c);
    th_free(&t);
}
END_TEST

static bool other_process_may_open(void)
{
    pid_t pid = fork();
    int status = 0;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct test_host *t = th_new();
        struct err err = {0};
        struct storage_place p;
        struct component *c = try_start(t, "\ntimeout: 50ms", &err);

        if (c == NULL)
            _exit(2);
        if (open_as(c, "otlp_grpc", NULL, &p, &err) == 0)
            _exit(0);
        _exit(strstr(err.text, "in use by another process") ? 1 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

START_TEST(two_processes_do_not_share_an_owner)
{
    struct test_host *t = th_new();
    struct component *c = started(t, "");
    struct storage_place p;

    ck_assert(other_process_may_open());
    ck_assert_int_eq(open_as(c, "otlp_grpc", NULL, &p, NULL), 0);
    ck_assert(!other_process_may_open());
    th_component_free(t, &c);
    ck_assert(other_process_may_open());
    th_free(&t);
}
END_TEST

START_TEST(the_directory_must_be_there_or_is_made)
{
    struct test_host *t = th_new();
    struct err err = {0};
    struct stat st;
    char path[128];
    struct component *c = try_start(t, "/x/y", &err);

    ck_assert_ptr_null(c);
    ck_assert_ptr_nonnull(strstr(err.text, "directory must exist: stat "));
    ck_assert_ptr_nonnull(strstr(err.text, "create_directory option"));
    c = started(t, "/x/y\ncreate_directory: true\ndirectory_permissions: \"0700\"");
    snprintf(path, sizeof(path), "%s/x/y", root);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0700);
    th_component_free(t, &c);
    th_free(&t);
}
END_TEST

static void change_to(struct component *c, const char *dir)
{
    char text[160];

    snprintf(text, sizeof(text), "directory: %s\ncreate_directory: true", dir);
    sets[n_sets] = ts_new(&file_storage_extension_type, text);
    ck_assert_str_eq(ts_problems(&sets[n_sets]), "");
    c->type->change(c, sets[n_sets++].settings);
}

/* Owners get a place under the new directory and hear of the former ones, latest first; those stay locked. */
START_TEST(the_directory_changes)
{
    static const struct storage_owner owner = {.kind = "exporter", .id = "otlp_grpc"};
    struct test_host *t = th_new();
    struct component *c = started(t, "");
    const struct storage_ops *ops = c->type->storage;
    const void *first = sets[0].settings;
    struct storage_place a, b, other;
    char sub[80], more[80];

    snprintf(sub, sizeof(sub), "%s/sub", root);
    snprintf(more, sizeof(more), "%s/more", root);
    ck_assert_int_eq(open_as(c, "otlp_grpc", NULL, &a, NULL), 0);
    ck_assert_ptr_null(ops->former(c, &owner, 0));
    change_to(c, sub);
    ck_assert(ops->moves(first, sets[1].settings) && !ops->moves(first, first));
    ck_assert_int_eq(open_as(c, "otlp_grpc", NULL, &b, NULL), 0);
    ck_assert_int_eq(open_as(c, "otlp_grpc/b", NULL, &other, NULL), 0);
    ck_assert_str_ne(a.dir, b.dir);
    ck_assert_str_eq(ops->former(c, &owner, 0), a.dir);
    ck_assert_ptr_null(ops->former(c, &owner, 1));
    change_to(c, more);
    ck_assert_str_eq(ops->former(c, &owner, 0), b.dir);
    ck_assert_str_eq(ops->former(c, &owner, 1), a.dir);
    ck_assert(!other_process_may_open());
    th_component_free(t, &c);
    ck_assert_int_ne(access(a.dir, F_OK), 0); /* empty: gone */
    ck_assert_int_ne(access(b.dir, F_OK), 0);
    th_free(&t);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("file_storage");
    TCase *t = tcase_create("file_storage");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, every_owner_has_its_directory);
    tcase_add_test(t, two_processes_do_not_share_an_owner);
    tcase_add_test(t, the_directory_must_be_there_or_is_made);
    tcase_add_test(t, the_directory_changes);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());

    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
