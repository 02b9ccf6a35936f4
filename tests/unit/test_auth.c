/* SPDX-License-Identifier: Apache-2.0 */
/* Password files, and the server side of basicauth and bearertokenauth: doors as a receiver uses them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "component/auth.h"
#include "extensions/extensions.h"
#include "extensions/htpasswd.h"
#include "net/grpc.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

/* ---- password files ---- */

static const struct {
    const char *hash, *password;
    bool slow;
} hashes[] = {
    {"$2b$04$abcdefghijklmnopqrstuuC5VMwYwbzdFgvTXUffgXF6mHCmfegLa", "pa:ss w\u00f6rd", true},
    {"$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret", true},
    {"$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a", "secret", true},
    {"$1$saltsalt$9xy1btjgzLYfb7hivXtC//", "secret", true},
    {"$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2", "secret", true},
    {"$6$rounds=1000$saltsalt$LAV5VE5Y7w1d73x1mFNspYWUpazfmwv2SoepNXNKJ/otop/"
     "Zok96Hr8Q13LEv0DRY/x8v0/crpIjl8NJSAqXV/",
     "secret", true},
    {"$apr1$r31.....$iQoXxeL5pW.kaXVrniDCU0", "", true},
    {"$apr1$r31.....$3twvWbQRCoEFYiCXsqjDQ0", "x", true},
    {"$apr1$r31.....$G/cElGhD0cboYkZN5h5Ne/", "secret", true},
    {"$apr1$r31.....$ywLUvpuGbBdasP07b96WS/", "sixteen bytes ok", true},
    {"$apr1$r31.....$UOrSQjz3oJUnHI8zHudUi/", "a password that is longer than thirty-two bytes", true},
    {"$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/", "secret", true},
    {"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret", false},
    {"{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0", "secret", false},
    {"plain text", "plain text", false},
};

START_TEST(each_kind_of_hash)
{
    const char *hash = hashes[_i].hash, *password = hashes[_i].password;
    char *line = mem_printf("u:%s\n", hash), *other = mem_printf("%s.", password);
    struct err err = {""};
    struct htpasswd *h = htpasswd_parse(line, &err);
    bool known;

    ck_assert_msg(h != NULL, "%s", err.text);
    ck_assert_str_eq(htpasswd_find(h, "u", &known), hash);
    ck_assert(known);
    ck_assert_int_eq(htpasswd_is_slow(hash), hashes[_i].slow);
    ck_assert(htpasswd_matches(hash, password));
    ck_assert(!htpasswd_matches(hash, other));
    ck_assert(!password[0] || !htpasswd_matches(hash, ""));
    htpasswd_free(&h);
    free(line);
    free(other);
}
END_TEST

START_TEST(broken_hashes_match_nothing)
{
    static const char *const broken[] = {"$apr1$", "$apr1$salt", "{SHA}", "{SHA}!!!", "{SSHA}AAAA", "$2y$04$short",
                                         "$2y$99$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"};
    struct err err = {""};

    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        char *line = mem_printf("u:%s", broken[i]);
        struct htpasswd *h = htpasswd_parse(line, &err);

        ck_assert_msg(h != NULL, "%s", err.text);
        ck_assert_msg(!htpasswd_matches(broken[i], "secret"), "%s", broken[i]);
        ck_assert_msg(!htpasswd_matches(broken[i], ""), "%s", broken[i]);
        htpasswd_free(&h);
        free(line);
    }
}
END_TEST

START_TEST(the_file)
{
    struct err err = {""};
    struct htpasswd *h = htpasswd_parse("# comment\r\n\r\na:first\r\nb:x:y\n  a:last  \n", &err);
    bool known;

    ck_assert_msg(h != NULL, "%s", err.text);
    ck_assert_str_eq(htpasswd_find(h, "a", &known), "last");
    ck_assert_str_eq(htpasswd_find(h, "b", &known), "x:y");
    ck_assert(known);
    ck_assert_str_eq(htpasswd_find(h, "nobody", &known), "last");
    ck_assert(!known);
    htpasswd_free(&h);
}
END_TEST

START_TEST(lines_that_are_left_out)
{
    struct err err = {""};
    struct htpasswd *h = htpasswd_parse("a:b\n\nhunter2\n:x\nc:\n", &err);
    unsigned first;
    bool known;

    ck_assert_msg(h != NULL, "%s", err.text);
    ck_assert_uint_eq(htpasswd_left_out(h, &first), 3);
    ck_assert_uint_eq(first, 3);
    (void)htpasswd_find(h, "c", &known); /* an empty password lets nobody in */
    ck_assert(!known);
    htpasswd_free(&h);
    ck_assert_ptr_null(htpasswd_parse("hunter2\n", &err));
    ck_assert_str_eq(err.text, "there is no user in it");
}
END_TEST

/* ---- doors ---- */

struct visit {
    struct auth_check check;
    unsigned done;
};

static void on_done(struct auth_check *k)
{
    CONTAINER_OF(k, struct visit, check)->done++;
}

static bool is_done(void *ctx)
{
    return ((struct visit *)ctx)->done > 0;
}

static char *basic(const char *user, const char *password)
{
    char *both = mem_printf("%s:%s", user, password), *text;
    struct buf b = {0};

    buf_puts(&b, "Basic ");
    base64_encode(&b, slice_str(both));
    text = mem_dup_n((const char *)b.p, b.len);
    buf_free(&b);
    free(both);
    return text;
}

/* The verdict, waited for. */
static enum auth_verdict show(struct test_host *t, struct auth_door *d, const char *value, struct visit *v)
{
    auth_data_unref(&v->check.data);
    *v = (struct visit){.check = {.done = on_done}};
    d->ops->check(d, value ? slice_str(value) : slice_of(NULL, 0), &v->check);
    if (v->check.verdict == AUTH_LATER)
        ck_assert(th_run_until(t, is_done, v));
    return v->check.verdict;
}

static enum auth_verdict show_basic(struct test_host *t, struct auth_door *d, const char *user, const char *password,
                                    struct visit *v)
{
    char *value = basic(user, password);
    enum auth_verdict verdict = show(t, d, value, v);

    free(value);
    return verdict;
}

static const char *attribute(const struct visit *v, const char *name)
{
    struct request_info info = {.auth = v->check.data};

    return request_info_auth(&info, name);
}

struct world {
    struct test_host *ext, *user;
    struct test_settings set;
    struct component *c;
    struct auth_door *d;
};

static struct world world_new(const struct component_type *type, const char *yaml)
{
    struct world w = {.ext = th_new(), .user = th_new()};

    w.set = ts_new(type, yaml);
    ck_assert_str_eq(ts_problems(&w.set), "");
    w.c = th_component(w.ext, type, w.set.settings);
    th_extension(w.user, "x", w.c);
    w.d = auth_door_open(&w.user->host, "x");
    return w;
}

static void world_free(struct world *w, struct visit *v)
{
    auth_data_unref(&v->check.data);
    auth_door_close(&w->d);
    th_component_free(w->ext, &w->c);
    th_free(&w->ext);
    th_free(&w->user);
    ts_free(&w->set);
}

#define BCRYPT "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

START_TEST(basicauth_lets_in)
{
    struct world w = world_new(&basicauth_extension_type,
                               "htpasswd: {inline: \"quick:pw\\nslow:" BCRYPT "\\n\"}");
    struct visit v = {0};

    ck_assert_str_eq(w.d->ops->header(w.d), "authorization");
    ck_assert_int_eq(show_basic(w.user, w.d, "quick", "pw", &v), AUTH_OK);
    ck_assert_str_eq(attribute(&v, "username"), "quick");
    ck_assert_str_eq(attribute(&v, "raw"), "cXVpY2s6cHc");
    ck_assert_uint_eq(v.done, 0);
    ck_assert_int_eq(show_basic(w.user, w.d, "slow", "secret", &v), AUTH_OK);
    ck_assert_uint_eq(v.done, 1); /* looked at on the thread */
    ck_assert_str_eq(attribute(&v, "username"), "slow");
    ck_assert_int_eq(show_basic(w.user, w.d, "slow", "secret", &v), AUTH_OK);
    ck_assert_uint_eq(v.done, 0); /* remembered */
    ck_assert_int_eq(show(w.user, w.d, "bAsIc cXVpY2s6cHc=", &v), AUTH_OK);
    world_free(&w, &v);
}
END_TEST

START_TEST(basicauth_refuses)
{
    struct world w = world_new(&basicauth_extension_type,
                               "htpasswd: {inline: \"quick:pw\\nslow:" BCRYPT "\\n\"}");
    static const char *const rows[][2] = {{NULL, "no basic auth provided"},
                                          {"", "no basic auth provided"},
                                          {"Bearer abc", "invalid authorization scheme prefix"},
                                          {"Basic", "invalid authorization scheme prefix"},
                                          {"Basic !!!", "invalid authorization format"},
                                          {"Basic YWJj", "invalid authorization format"},   /* abc */
                                          {"Basic cQA6cHc=", "invalid authorization format"}, /* q\0:pw */
                                          {"Basic cXVpY2s6", "invalid credentials"}};       /* quick: */
    struct visit v = {0};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(show(w.user, w.d, rows[i][0], &v), AUTH_REFUSED);
        ck_assert_str_eq(v.check.text, rows[i][1]);
        ck_assert(!v.check.busy);
    }
    ck_assert_int_eq(show_basic(w.user, w.d, "quick", "secret", &v), AUTH_REFUSED);
    ck_assert_int_eq(show_basic(w.user, w.d, "slow", "pw", &v), AUTH_REFUSED);
    ck_assert_uint_eq(v.done, 1);
    ck_assert_int_eq(show_basic(w.user, w.d, "slow", "pw", &v), AUTH_REFUSED);
    ck_assert_uint_eq(v.done, 0); /* remembered, too */
    ck_assert_int_eq(show_basic(w.user, w.d, "nobody", "pw", &v), AUTH_REFUSED);
    ck_assert_str_eq(v.check.text, "invalid credentials");
    world_free(&w, &v);
}
END_TEST

/* One who does not exist is looked at like one who does: the time tells nothing. */
START_TEST(basicauth_unknown_users_cost_the_same)
{
    struct world w = world_new(&basicauth_extension_type, "htpasswd: {inline: 'slow:" BCRYPT "'}");
    struct visit v = {0};

    ck_assert_int_eq(show_basic(w.user, w.d, "nobody", "secret", &v), AUTH_REFUSED);
    ck_assert_uint_eq(v.done, 1);
    world_free(&w, &v);
}
END_TEST

/* Requests with the same credentials share a job; a flood of different ones is told to come again; and
 * whoever leaves before the verdict hears nothing. */
START_TEST(basicauth_flood)
{
    enum { N = 300 };
    struct world w = world_new(&basicauth_extension_type, "htpasswd: {inline: 'slow:" BCRYPT "'}");
    struct visit *v = mem_alloc_array(N, sizeof(*v)), *same = mem_alloc_array(N, sizeof(*same)), last = {0};
    unsigned busy = 0, later = 0;
    char *good = basic("slow", "secret");

    for (unsigned i = 0; i < N; i++) {
        same[i].check.done = on_done;
        w.d->ops->check(w.d, slice_str(good), &same[i].check);
        ck_assert_int_ne(same[i].check.verdict, AUTH_REFUSED);
    }
    for (unsigned i = 0; i < N; i++) {
        char password[16], *value;

        snprintf(password, sizeof(password), "guess %u", i);
        value = basic("slow", password);
        v[i].check.done = on_done;
        w.d->ops->check(w.d, slice_str(value), &v[i].check);
        busy += v[i].check.busy;
        later += v[i].check.verdict == AUTH_LATER;
        ck_assert_int_eq(v[i].check.verdict == AUTH_REFUSED, v[i].check.busy);
        free(value);
    }
    ck_assert_uint_eq(busy + later, N);
    ck_assert_uint_gt(busy, 0);
    ck_assert_uint_gt(later, 0);
    ck_assert(th_run_until(w.user, is_done, &same[0]));
    for (unsigned i = 0; i < N; i++) {
        ck_assert_uint_eq(same[i].done, 1);
        ck_assert_int_eq(same[i].check.verdict, AUTH_OK);
        auth_data_unref(&same[i].check.data);
        if (v[i].check.job)
            w.d->ops->forget(w.d, &v[i].check);
    }
    for (unsigned i = 0; i < N; i++)
        ck_assert(v[i].done == 0 || v[i].check.verdict == AUTH_REFUSED);
    free(v);
    free(same);
    free(good);
    world_free(&w, &last); /* with jobs under way */
}
END_TEST

static char path[64];

static void write_file(const char *text)
{
    char tmp[80];
    FILE *f;

    snprintf(tmp, sizeof(tmp), "%s.new", path);
    f = fopen(tmp, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(rename(tmp, path), 0);
}

/* The settings are before, the file's name, after. */
static struct world world_with_file(const struct component_type *type, const char *before, const char *after,
                                    const char *text)
{
    char settings[200];
    int fd;

    snprintf(path, sizeof(path), "/tmp/test_auth.XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    write_file(text);
    snprintf(settings, sizeof(settings), "%s%s%s", before, path, after);
    return world_new(type, settings);
}

struct swap {
    struct world *w;
    const char *value;
    struct visit v;
};

static bool lets_in(void *ctx)
{
    struct swap *s = ctx;

    return show(s->w->user, s->w->d, s->value, &s->v) == AUTH_OK;
}

/* The loops of the extension and of its user are one here only in that both have to run. */
static void wait_until_let_in(struct world *w, const char *value)
{
    struct swap s = {.w = w, .value = value};

    ck_assert(th_run_until(w->ext, lets_in, &s));
    auth_data_unref(&s.v.check.data);
}

START_TEST(bearer_tokens)
{
    struct world w = world_new(&bearertokenauth_extension_type, "{tokens: [one, two], scheme: Token, header: X-Auth}");
    struct visit v = {0};

    ck_assert_str_eq(w.d->ops->header(w.d), "x-auth");
    ck_assert_int_eq(show(w.user, w.d, "Token one", &v), AUTH_OK);
    ck_assert_int_eq(show(w.user, w.d, "Token two", &v), AUTH_OK);
    ck_assert_str_eq(attribute(&v, "raw"), "Token two");
    ck_assert_int_eq(show(w.user, w.d, "Token three", &v), AUTH_REFUSED);
    ck_assert_str_eq(v.check.text, "provided authorization does not match expected scheme or token");
    ck_assert_int_eq(show(w.user, w.d, "token one", &v), AUTH_REFUSED);
    ck_assert_int_eq(show(w.user, w.d, "one", &v), AUTH_REFUSED);
    ck_assert_int_eq(show(w.user, w.d, NULL, &v), AUTH_REFUSED);
    ck_assert_str_eq(v.check.text, "missing or empty authorization header: X-Auth");
    world_free(&w, &v);
}
END_TEST

/* A file that changes counts, one that is broken or gone does not. */
START_TEST(bearer_file)
{
    struct world w = world_with_file(&bearertokenauth_extension_type, "{filename: ", ", token: not this}", "  a\n\nb  \n");
    struct visit v = {0};

    ck_assert_int_eq(show(w.user, w.d, "Bearer a", &v), AUTH_OK);
    ck_assert_int_eq(show(w.user, w.d, "Bearer b", &v), AUTH_OK);
    ck_assert_int_eq(show(w.user, w.d, "Bearer not this", &v), AUTH_REFUSED);
    write_file("c\n");
    wait_until_let_in(&w, "Bearer c");
    ck_assert_int_eq(show(w.user, w.d, "Bearer a", &v), AUTH_REFUSED);
    ck_assert_int_eq(unlink(path), 0);
    th_turn(w.ext);
    ck_assert_int_eq(show(w.user, w.d, "Bearer c", &v), AUTH_OK);
    write_file("\n");
    th_turn(w.ext);
    write_file("d\n");
    wait_until_let_in(&w, "Bearer d");
    unlink(path);
    world_free(&w, &v);
}
END_TEST

START_TEST(basic_file)
{
    struct world w = world_with_file(&basicauth_extension_type, "htpasswd: {file: ", ", inline: 'i:n'}",
                                     "u:old\ni:file\n");
    struct visit v = {0};
    char *new = basic("u", "new");

    ck_assert_int_eq(show_basic(w.user, w.d, "u", "old", &v), AUTH_OK);
    ck_assert_int_eq(show_basic(w.user, w.d, "u", "new", &v), AUTH_REFUSED);
    ck_assert_int_eq(show_basic(w.user, w.d, "i", "n", &v), AUTH_OK); /* inline wins */
    ck_assert_int_eq(show_basic(w.user, w.d, "i", "file", &v), AUTH_REFUSED);
    write_file("u:new\n");
    wait_until_let_in(&w, new); /* what was refused is not remembered */
    ck_assert_int_eq(show_basic(w.user, w.d, "u", "old", &v), AUTH_REFUSED);
    free(new);
    unlink(path);
    world_free(&w, &v);
}
END_TEST

static const struct {
    const struct component_type *type;
    const char *yaml, *problems;
} settings[] = {
    {&basicauth_extension_type, "{}", "basicauth: no credential source provided\n"},
    {&basicauth_extension_type, "htpasswd: {}", "basicauth.htpasswd: no credential source provided\n"},
    {&basicauth_extension_type, "{htpasswd: {inline: 'a:b'}, client_auth: {username: a}}",
     "basicauth.client_auth: only one of `htpasswd` or `client_auth` can be specified\n"},
    {&basicauth_extension_type, "client_auth: {username: 'a:b'}", "basicauth.client_auth.username: a user name has no colon\n"},
    {&bearertokenauth_extension_type, "{}", "bearertokenauth: no bearer token provided\n"},
    {&bearertokenauth_extension_type, "{token: a, tokens: [b]}",
     "bearertokenauth.tokens: either tokens or token should be provided, not both\n"},
    {&bearertokenauth_extension_type, "{token: a, header: 'a b'}", "bearertokenauth.header: \"a b\" is not the name of a header\n"},
    {&bearertokenauth_extension_type, "token: \"a\\nb\"", "bearertokenauth.token: there is a control character in it\n"},
};

START_TEST(problems)
{
    struct test_settings s = ts_new(settings[_i].type, settings[_i].yaml);

    ck_assert_str_eq(ts_problems(&s), settings[_i].problems);
    ts_free(&s);
}
END_TEST

START_TEST(files_that_are_not_there)
{
    static const struct component_type *const types[] = {&basicauth_extension_type, &bearertokenauth_extension_type};
    static const char *const yaml[] = {"htpasswd: {file: /nonexistent}", "filename: /nonexistent"};
    struct test_host *t = th_new();
    struct test_settings s = ts_new(types[_i], yaml[_i]);
    struct err err = {""};

    ck_assert_ptr_null(th_component_try(t, types[_i], s.settings, &err));
    ck_assert_str_eq(err.text, "/nonexistent: No such file or directory");
    ts_free(&s);
    th_free(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("auth");
    TCase *tc = tcase_create("auth");
    SRunner *r;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, each_kind_of_hash, 0, (int)ARRAY_LEN(hashes));
    tcase_add_test(tc, broken_hashes_match_nothing);
    tcase_add_test(tc, the_file);
    tcase_add_test(tc, lines_that_are_left_out);
    tcase_add_test(tc, basicauth_lets_in);
    tcase_add_test(tc, basicauth_refuses);
    tcase_add_test(tc, basicauth_unknown_users_cost_the_same);
    tcase_add_test(tc, basicauth_flood);
    tcase_add_test(tc, bearer_tokens);
    tcase_add_test(tc, bearer_file);
    tcase_add_test(tc, basic_file);
    tcase_add_loop_test(tc, problems, 0, (int)ARRAY_LEN(settings));
    tcase_add_loop_test(tc, files_that_are_not_there, 0, 2);
    suite_add_tcase(s, tc);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
