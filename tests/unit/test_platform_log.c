/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: layout, sampling, several outputs, and outputs that take nothing. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/log.h"

static char dir[64];

static void setup(void)
{
    strcpy(dir, "/tmp/tailrace-log-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
    setenv("TZ", "UTC", 1);
    tzset();
    signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
    unlink("a.log");
    unlink("b.log");
    unlink("fifo");
    ck_assert_int_eq(rmdir(dir), 0);
}

static struct log_settings to(const char *const *paths, size_t n)
{
    return (struct log_settings){.level = LOG_INFO, .output_paths = paths, .n_output_paths = n};
}

static char *content(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");
    size_t n;

    ck_assert_ptr_nonnull(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

static struct log open_log(const struct log_settings *s)
{
    struct err err = {""};
    struct log l = {.sink = log_sink_new(s, &err)};

    ck_assert_msg(l.sink != NULL, "%s", err.text);
    return l;
}

/* The line without its stamp, which is checked for its shape. */
static const char *after_stamp(const char *line)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z\t";

    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        ck_assert(shape[i] == '0' ? line[i] >= '0' && line[i] <= '9' : line[i] == shape[i]);
    return line + sizeof(shape) - 1;
}

START_TEST(console_line)
{
    static const char *const paths[] = {"a.log"}, *const keys[] = {"zone"}, *const values[] = {"z\"1"};
    struct log_settings s = to(paths, 1);
    struct log l;

    s.service_name = "tailrace";
    s.service_version = "1";
    s.service_instance_id = "u-u";
    s.initial_keys = keys;
    s.initial_values = values;
    s.n_initial = 1;
    l = open_log(&s);
    l.id = "batch";
    l.kind = "processor";
    l.pipeline = "traces/a";
    l.signal = "traces";
    ck_assert(!log_wants(&l, LOG_DEBUG));
    log_debug(&l, "not seen");
    log_write(&l, LOG_WARN, "x.c:1", "hello", (struct log_field[]){LOG_INT("i", -3), LOG_UINT("u", UINT64_MAX),
              LOG_DBL("d", 0.5), LOG_BOOL("b", true), LOG_STR("s", "a\nb"), LOG_STR("none", NULL)}, 6);
    ck_assert_str_eq(after_stamp(content("a.log")),
        "warn\tx.c:1\thello\t{\"zone\": \"z\\\"1\", \"resource\": {\"service.instance.id\": \"u-u\", "
        "\"service.name\": \"tailrace\", \"service.version\": \"1\"}, \"otelcol.component.id\": \"batch\", "
        "\"otelcol.component.kind\": \"processor\", \"otelcol.pipeline.id\": \"traces/a\", "
        "\"otelcol.signal\": \"traces\", \"i\": -3, \"u\": 18446744073709551615, \"d\": 0.5, \"b\": true, "
        "\"s\": \"a\\nb\", \"none\": \"\"}\n");
    log_sink_free(&l.sink);
    log_sink_free(&l.sink);
}
END_TEST

START_TEST(line_without_fields_or_caller)
{
    static const char *const paths[] = {"a.log"};
    struct log_settings s = to(paths, 1);
    struct log l;

    s.disable_caller = true;
    l = open_log(&s);
    log_info(&l, "bare");
    ck_assert_str_eq(after_stamp(content("a.log")), "info\tbare\n");
    log_sink_free(&l.sink);
    log_info(&l, "silent without a sink");
}
END_TEST

START_TEST(json_line_is_json)
{
    static const char *const paths[] = {"a.log"};
    struct log_settings s = to(paths, 1);
    struct log l;
    json_t *j, *r;
    char *text;

    s.json = true;
    s.service_name = "tailrace";
    l = open_log(&s);
    l.id = "otlp";
    l.kind = "receiver";
    log_error(&l, "multi\nline", LOG_DBL("took", 1e-7), LOG_STR("bad", "\xff"));
    text = content("a.log");
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    ck_assert_int_eq(strncmp(text, "{\"level\":\"error\",\"ts\":\"2", 24), 0);
    j = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(j);
    ck_assert_str_eq(json_string_value(json_object_get(j, "msg")), "multi\nline");
    ck_assert_int_eq(strncmp(json_string_value(json_object_get(j, "caller")), "tests/unit/test_platform_log.c:", 31), 0);
    ck_assert_str_eq(json_string_value(json_object_get(j, "otelcol.component.id")), "otlp");
    ck_assert_str_eq(json_string_value(json_object_get(j, "bad")), "\xef\xbf\xbd");
    ck_assert(json_real_value(json_object_get(j, "took")) == 1e-7);
    r = json_object_get(j, "resource");
    ck_assert_str_eq(json_string_value(json_object_get(r, "service.name")), "tailrace");
    ck_assert_ptr_null(json_object_get(r, "service.version"));
    json_decref(j);
    log_sink_free(&l.sink);
}
END_TEST

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (text = strstr(text, what); text; text = strstr(text + 1, what))
        n++;
    return n;
}

START_TEST(repeated_lines_are_sampled)
{
    static const char *const paths[] = {"a.log", "file://b.log"};
    struct log_settings s = to(paths, 2);
    struct log l;

    s.sampling = true;
    s.sampling_tick_ms = 3600000;
    s.sampling_initial = 3;
    s.sampling_thereafter = 10;
    l = open_log(&s);
    for (int i = 0; i < 33; i++) {
        log_info(&l, "often");
        if (i < 2)
            log_info(&l, "seldom");
    }
    ck_assert_uint_eq(count(content("a.log"), "often"), 6); /* 3, then the 10th, 20th and 30th after */
    ck_assert_uint_eq(count(content("a.log"), "seldom"), 2);
    ck_assert_uint_eq(count(content("b.log"), "often"), 6);
    log_sink_free(&l.sink);
    s.sampling_thereafter = 0;
    l = open_log(&s);
    for (int i = 0; i < 33; i++)
        log_warn(&l, "warned");
    ck_assert_uint_eq(count(content("a.log"), "warned"), 3);
    log_sink_free(&l.sink);
}
END_TEST

START_TEST(bad_output_is_an_error)
{
    static const char *const paths[] = {"a.log", "/nowhere/at/all"};
    struct log_settings s = to(paths, 2);
    struct err err = {""};

    ck_assert_ptr_null(log_sink_new(&s, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/at/all"));
    ck_assert_ptr_nonnull(strstr(err.text, strerror(ENOENT)));
}
END_TEST

/* A pipe nobody reads takes some lines and costs little time for the rest; once it is read, lines
 * come again, and none is glued to the torn one. */
START_TEST(stuck_pipe_loses_lines_not_time)
{
    static const char *const paths[] = {"stdout"};
    struct log_settings s = to(paths, 1);
    struct log l;
    int fds[2], saved = dup(STDOUT_FILENO);
    uint64_t began, lost;
    static char big[9000], text[1 << 18];
    size_t n = 0;
    ssize_t got;

    fflush(stdout);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_ge(dup2(fds[1], STDOUT_FILENO), 0);
    l = open_log(&s);
    memset(big, 'x', sizeof(big) - 1);
    began = clock_mono_ns();
    for (int i = 0; i < 500; i++)
        log_info(&l, big);
    ck_assert(clock_mono_ns() - began < 5 * NS_PER_SEC);
    lost = log_lines_lost(l.sink);
    ck_assert_uint_gt(lost, 400);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    while ((got = read(fds[0], text, sizeof(text))) > 0)
        ;
    log_info(&l, "after");
    ck_assert_uint_eq(log_lines_lost(l.sink), lost);
    while ((got = read(fds[0], text + n, sizeof(text) - n)) > 0)
        n += (size_t)got;
    dup2(saved, STDOUT_FILENO);
    close(fds[0]);
    close(fds[1]);
    close(saved);
    ck_assert_uint_gt(n, 20);
    ck_assert_ptr_nonnull(memmem(text, n, "after", 5));
    ck_assert_int_eq(text[0], '\n'); /* ends the torn line */
    log_sink_free(&l.sink);
}
END_TEST

START_TEST(reader_that_left_costs_lines_only)
{
    static const char *const paths[] = {"stdout"};
    struct log_settings s = to(paths, 1);
    struct log l;
    int fds[2], saved = dup(STDOUT_FILENO);

    fflush(stdout);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_ge(dup2(fds[1], STDOUT_FILENO), 0);
    close(fds[0]);
    l = open_log(&s);
    log_info(&l, "one");
    log_info(&l, "two");
    dup2(saved, STDOUT_FILENO);
    close(fds[1]);
    close(saved);
    ck_assert_uint_eq(log_lines_lost(l.sink), 2);
    log_sink_free(&l.sink);
}
END_TEST

START_TEST(fifo_without_reader_does_not_block)
{
    static const char *const paths[] = {"fifo"};
    struct log_settings s = to(paths, 1);
    struct err err = {""};

    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_ptr_null(log_sink_new(&s, &err)); /* ENXIO instead of waiting for a reader */
}
END_TEST

/* While other threads write. */
static void *write_lines(void *arg)
{
    const struct log *l = arg;

    for (int i = 0; i < 2000; i++)
        log_info(l, "line", LOG_INT("i", i));
    return NULL;
}

static size_t lines_in(const char *path)
{
    size_t n = 0;

    for (const char *p = content(path); (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

START_TEST(a_sink_becomes_another_while_lines_go_on)
{
    static const char *const a[] = {"a.log"}, *const b[] = {"b.log"};
    static const char *const keys[] = {"k"}, *const values[] = {"v"};
    struct log_settings first = to(a, 1), second = to(b, 1);
    struct log l = open_log(&first);
    struct log_sink *other;
    pthread_t thread;

    second.json = true;
    second.level = LOG_WARN;
    second.initial_keys = keys;
    second.initial_values = values;
    second.n_initial = 1;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_lines, &l), 0);
    other = log_sink_new(&second, NULL);
    ck_assert_ptr_nonnull(other);
    log_sink_become(l.sink, &other);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(lines_in("b.log"), 0); /* info is too little now */
    log_info(&l, "not this");
    log_warn(&l, "this");
    ck_assert_uint_eq(lines_in("b.log"), 1);
    ck_assert_ptr_nonnull(strstr(content("b.log"), "\"msg\":\"this\",\"k\":\"v\""));
    ck_assert_ptr_null(strstr(content("a.log"), "this"));
    log_sink_free(&l.sink);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("platform log");
    TCase *t = tcase_create("log");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, console_line);
    tcase_add_test(t, line_without_fields_or_caller);
    tcase_add_test(t, json_line_is_json);
    tcase_add_test(t, repeated_lines_are_sampled);
    tcase_add_test(t, bad_output_is_an_error);
    tcase_add_test(t, stuck_pipe_loses_lines_not_time);
    tcase_add_test(t, reader_that_left_costs_lines_only);
    tcase_add_test(t, fifo_without_reader_does_not_block);
    tcase_add_test(t, a_sink_becomes_another_while_lines_go_on);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
