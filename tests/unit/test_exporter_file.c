/* SPDX-License-Identifier: Apache-2.0 */
/* file exporter: its formats read back, rotation, disks that say no, and the books in each case. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exporters/exporters.h"
#include "model/otlp_json.h"
#include "net/compress.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

struct rig {
    struct test_host *t;
    struct test_settings s;
    struct component *c;
};

static char dir[64];

static void setup(void)
{
    strcpy(dir, "/tmp/tailrace-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chdir(dir), 0);
}

static void remove_tree(const char *path)
{
    char *command = mem_printf("rm -rf %s", path);

    ck_assert_int_eq(system(command), 0);
    free(command);
}

static void teardown(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    remove_tree(dir);
}

static struct rig rig_new(const char *yaml)
{
    struct rig r = {.t = th_new(), .s = ts_new(&file_exporter_type, yaml)};

    ck_assert_str_eq(ts_problems(&r.s), "");
    r.c = th_component(r.t, &file_exporter_type, r.s.settings);
    return r;
}

static void rig_free(struct rig *r)
{
    th_component_free(r->t, &r->c);
    ts_free(&r->s);
    th_free(&r->t);
}

static void push(struct rig *r, uint64_t first_trace, size_t n)
{
    struct batch *b = th_batch(r->t, th_payload_n(r->t, first_trace, n));

    b->waiter = th_wait(r->t);
    th_push(r->c, b);
}

static size_t content(const char *path, uint8_t **bytes)
{
    static uint8_t all[16 << 20];
    FILE *f = fopen(path, "r");
    size_t n;

    ck_assert_msg(f != NULL, "%s", path);
    n = fread(all, 1, sizeof(all), f);
    ck_assert_uint_lt(n, sizeof(all));
    fclose(f);
    all[n] = '\0';
    *bytes = all;
    return n;
}

/* Spans of the lines of a file; every line must decode. */
static uint32_t spans_in_lines(const char *path)
{
    uint32_t spans = 0;
    uint8_t *p, *end;
    size_t len;

    len = content(path, &p);
    end = p + len;
    while (p < end) {
        uint8_t *nl = (uint8_t *)memchr(p, '\n', (size_t)(end - p));
        struct buf wire = {.max = 64 << 20};

        ck_assert_ptr_nonnull(nl); /* no torn line at the end */
        ck_assert_int_eq(otlp_json_decode(slice_of(p, (size_t)(nl - p)), &wire, NULL), 0);
        spans += otlp_count_spans(slice_of(wire.p, wire.len));
        buf_free(&wire);
        p = nl + 1;
    }
    return spans;
}

START_TEST(json_lines)
{
    struct rig r = rig_new("{path: a.json}");
    struct stat st;
    uint8_t *text;

    push(&r, 1, 3);
    push(&r, 100, 2);
    ck_assert(th_run_until_answered(r.t, 2));
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_OK);
    ck_assert_uint_eq(spans_in_lines("a.json"), 5);
    content("a.json", &text);
    ck_assert_int_eq(strncmp((char *)text, "{\"resourceSpans\":[{\"resource\":{", 31), 0);
    ck_assert_int_eq(stat("a.json", &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    ck_assert_uint_eq(r.t->ledger.fate[FATE_EXPORTED], 5);
    ck_assert_uint_eq(budget_used_by(r.t->host.budget, MEM_OUTPUT), 0);
    rig_free(&r);
}
END_TEST

/* Each batch of what the framed formats hold: length, then the message. */
static void check_frames(const char *path, bool zstd, bool json, const uint32_t *spans, size_t n)
{
    struct decompressor *d = decompressor_new();
    struct budget *b = budget_new(0, 0);
    uint8_t *p;
    size_t len = content(path, &p), at = 0;

    for (size_t i = 0; i < n; i++) {
        struct slice message;
        struct buf wire = {.max = 1 << 20};
        uint8_t *plain = NULL;
        size_t plain_len, charged = 0;

        ck_assert_uint_le(at + 4, len);
        message = slice_of(p + at + 4, (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 | p[at + 3]);
        at += 4 + message.len;
        ck_assert_uint_le(at, len);
        if (zstd) {
            ck_assert(decompress(d, CODEC_ZSTD, message, 1 << 20, b, &plain, &plain_len, &charged, NULL) == DECOMPRESS_OK);
            message = slice_of(plain, plain_len);
        }
        if (json) {
            ck_assert_int_eq(otlp_json_decode(message, &wire, NULL), 0);
            message = slice_of(wire.p, wire.len);
        }
        ck_assert_uint_eq(otlp_count_spans(message), spans[i]);
        buf_free(&wire);
        free(plain);
        if (charged)
            budget_release(b, MEM_BODY, charged);
    }
    ck_assert_uint_eq(at, len);
    budget_free(&b);
    decompressor_free(&d);
}

START_TEST(framed_formats)
{
    static const struct {
        const char *yaml;
        bool zstd, json;
    } rows[] = {
        {"{path: x, format: proto}", false, false},
        {"{path: x, format: proto, compression: zstd, compression_params: {level: 3}}", true, false},
        {"{path: x, compression: zstd}", true, true},
    };
    static const uint32_t spans[] = {3, 1, 400};
    struct rig r = rig_new(rows[_i].yaml);

    for (size_t i = 0; i < ARRAY_LEN(spans); i++)
        push(&r, i * 1000 + 1, spans[i]);
    ck_assert(th_run_until_answered(r.t, 3));
    check_frames("x", rows[_i].zstd, rows[_i].json, spans, ARRAY_LEN(spans));
    rig_free(&r);
}
END_TEST

START_TEST(drain_writes_what_is_gathered)
{
    struct rig r = rig_new("{path: a.json}");

    push(&r, 1, 3); /* no turn of the loop in between */
    ck_assert_uint_eq(r.c->type->held(r.c), 3);
    rig_free(&r);
    ck_assert_uint_eq(spans_in_lines("a.json"), 3);
}
END_TEST

START_TEST(much_at_once_is_written_at_once)
{
    struct rig r = rig_new("{path: a.json}");
    unsigned n = 0;

    while (!r.t->n_answered && n < 1000)
        push(&r, ++n * 1000, 100); /* without a turn of the loop */
    ck_assert_uint_eq(r.t->n_answered, n); /* all that were gathered */
    ck_assert_uint_gt(n, 1);
    rig_free(&r);
    ck_assert_uint_eq(spans_in_lines("a.json"), 100 * n);
}
END_TEST

START_TEST(append_keeps_and_default_empties)
{
    for (int i = 0; i < 3; i++) {
        struct rig r = rig_new(i == 1 ? "{path: a.json, append: true}" : "{path: a.json}");

        push(&r, 1, 2);
        rig_free(&r);
        ck_assert_uint_eq(spans_in_lines("a.json"), i == 1 ? 4 : 2);
    }
}
END_TEST

START_TEST(folders_are_made_when_asked)
{
    struct test_host *t = th_new();
    struct test_settings s = ts_new(&file_exporter_type, "{path: x/y/z.json}");
    struct err err = {""};
    struct stat st;
    struct rig r;

    ck_assert_ptr_null(th_component_try(t, &file_exporter_type, s.settings, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "x/y/z.json"));
    ts_free(&s);
    th_free(&t);
    r = rig_new("{path: x/y/z.json, create_directory: true, directory_permissions: \"0750\"}");
    push(&r, 1, 1);
    rig_free(&r);
    ck_assert_int_eq(stat("x/y", &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0750);
    ck_assert_uint_eq(spans_in_lines("x/y/z.json"), 1);
}
END_TEST

/* Spans in the current and all renamed files; how many renamed ones there are. */
static uint32_t spans_in_all(unsigned *backups)
{
    uint32_t spans = 0;
    DIR *d = opendir(".");
    struct dirent *e;

    *backups = 0;
    while ((e = readdir(d))) {
        struct stat st;

        if (e->d_name[0] == '.')
            continue;
        ck_assert_int_eq(stat(e->d_name, &st), 0);
        ck_assert_int_le(st.st_size, 1 << 20);
        spans += spans_in_lines(e->d_name);
        if (strcmp(e->d_name, "a.b.json") == 0)
            continue;
        ++*backups; /* a.b-2022-09-14T05-02-14.173.json */
        ck_assert_uint_eq(strlen(e->d_name), strlen("a.b-2022-09-14T05-02-14.173.json"));
        ck_assert_int_eq(strncmp(e->d_name, "a.b-20", 6), 0);
        ck_assert_ptr_nonnull(strstr(e->d_name, ".json"));
        ck_assert_int_eq(e->d_name[14], 'T');
    }
    closedir(d);
    return spans;
}

START_TEST(rotation_loses_nothing)
{
    struct rig r = rig_new("{path: a.b.json, rotation: {max_megabytes: 1}}");
    unsigned backups;

    for (unsigned i = 0; i < 60; i++) {
        push(&r, i * 1000 + 1, 500);
        ck_assert(th_run_until_answered(r.t, i + 1));
    }
    ck_assert_uint_eq(spans_in_all(&backups), 30000);
    ck_assert_uint_gt(backups, 2);
    rig_free(&r);
    r = rig_new("{path: a.b.json, rotation: }"); /* goes on with the file as it is */
    push(&r, 1, 1);
    rig_free(&r);
    ck_assert_uint_eq(spans_in_all(&backups), 30001);
}
END_TEST

START_TEST(old_files_go)
{
    struct rig r = rig_new("{path: a.b.json, rotation: {max_megabytes: 1, max_backups: 2, localtime: true}}");
    unsigned backups;

    for (unsigned i = 0; i < 60; i++) {
        push(&r, i * 1000 + 1, 500);
        ck_assert(th_run_until_answered(r.t, i + 1));
    }
    ck_assert_uint_gt(spans_in_all(&backups), 500);
    ck_assert_uint_eq(backups, 2);
    rig_free(&r);
}
END_TEST

START_TEST(files_past_their_days_go)
{
    static const char old[] = "a.b-2019-01-01T00-00-00.000.json", other[] = "a.b-notes-of-my-own-00.000.json";
    struct rig r = rig_new("{path: a.b.json, rotation: {max_megabytes: 1, max_days: 1}}");
    struct timespec then[2] = {{.tv_sec = 1546300800}, {.tv_sec = 1546300800}};

    fclose(fopen(old, "w"));
    fclose(fopen(other, "w"));
    ck_assert_int_eq(utimensat(AT_FDCWD, old, then, 0), 0);
    ck_assert_int_eq(utimensat(AT_FDCWD, other, then, 0), 0);
    for (unsigned i = 0; i < 30; i++) {
        push(&r, i * 1000 + 1, 500);
        ck_assert(th_run_until_answered(r.t, i + 1));
    }
    ck_assert_int_eq(access(old, F_OK), -1);
    ck_assert_int_eq(access(other, F_OK), 0); /* not ours */
    rig_free(&r);
}
END_TEST

START_TEST(full_disk_is_counted_and_tried_again)
{
    struct rig r = rig_new("{path: /dev/full}");

    push(&r, 1, 3);
    ck_assert(th_run_until_answered(r.t, 1));
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_REJECTED);
    ck_assert_ptr_nonnull(strstr(r.t->waits[0]->text, "/dev/full"));
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_WRITE_FAILED], 3);
    push(&r, 1, 2);
    ck_assert(th_run_until_answered(r.t, 2));
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_WRITE_FAILED], 5);
    ck_assert_uint_eq(budget_used_by(r.t->host.budget, MEM_OUTPUT), 0);
    rig_free(&r);
}
END_TEST

/* The disk takes a part of a record: it is cut off again, and later records are whole. */
START_TEST(no_torn_record_stays)
{
    struct rig r = rig_new("{path: a.json}");
    struct rlimit limit = {.rlim_cur = 5000, .rlim_max = RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    push(&r, 1, 5);
    ck_assert(th_run_until_answered(r.t, 1));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    push(&r, 1000, 100);
    ck_assert(th_run_until_answered(r.t, 2));
    ck_assert_int_eq(r.t->waits[1]->answer, ANSWER_REJECTED);
    ck_assert_uint_eq(spans_in_lines("a.json"), 5);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    push(&r, 2000, 100);
    ck_assert(th_run_until_answered(r.t, 3));
    ck_assert_int_eq(r.t->waits[2]->answer, ANSWER_OK);
    ck_assert_uint_eq(spans_in_lines("a.json"), 105);
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_WRITE_FAILED], 100);
    rig_free(&r);
}
END_TEST

static struct batch *batch_of(struct rig *r, const char *attribute, size_t n)
{
    struct test_span *spans = (struct test_span *)mem_alloc_array(n, sizeof(*spans));
    struct batch *b;

    for (size_t i = 0; i < n; i++)
        spans[i] = (struct test_span){.trace = i + 1, .id = i + 1, .name = "n", .attrs = {TH_STR("a", attribute)}};
    b = th_batch(r->t, th_payload(r->t, spans, n));
    free(spans);
    return b;
}

static char *long_text(size_t n)
{
    char *text = (char *)mem_alloc(n + 1);

    memset(text, 'x', n);
    return text;
}

static unsigned lines_in(const char *path)
{
    unsigned n = 0;
    uint8_t *p;
    size_t len = content(path, &p);

    for (size_t i = 0; i < len; i++)
        n += p[i] == '\n';
    return n;
}

/* A batch that has taken the whole budget gets out of it nevertheless, in pieces. */
START_TEST(a_full_budget_holds_no_batch_back)
{
    static const char *const yaml[] = {"{path: a.json}", "{path: a, format: proto}", "{path: a, compression: zstd}"};
    struct rig r = rig_new(yaml[_i]);
    char *text = long_text(4000);

    for (unsigned i = 0; i < 2; i++) {
        struct batch *b = batch_of(&r, text, 220);

        budget_set_limits(r.t->host.budget, 1, budget_used(r.t->host.budget));
        th_push(r.c, b);
        th_turn(r.t);
        budget_set_limits(r.t->host.budget, 0, 0);
    }
    ck_assert_uint_eq(r.t->ledger.fate[FATE_EXPORTED], 440);
    rig_free(&r);
    if (_i == 0) {
        ck_assert_uint_eq(spans_in_lines("a.json"), 440);
        ck_assert_uint_gt(lines_in("a.json"), 20);
    }
    free(text);
}
END_TEST

/* Only a span that is larger than any piece must find room. */
START_TEST(no_memory_to_encode_is_a_drop)
{
    struct rig r = rig_new("{path: a.json}");
    char *text = long_text(200000);

    for (unsigned i = 0; i < 2; i++) {
        struct batch *b = batch_of(&r, text, 2);

        if (i == 0)
            budget_set_limits(r.t->host.budget, 0, budget_used(r.t->host.budget) + 100000);
        push(&r, 1000, 3); /* shares the turn */
        th_push(r.c, b);
        ck_assert(th_run_until_answered(r.t, i + 1));
        budget_set_limits(r.t->host.budget, 0, 0);
        ck_assert_uint_eq(budget_used_by(r.t->host.budget, MEM_OUTPUT), 0);
    }
    ck_assert_uint_eq(r.t->ledger.dropped[DROP_MEMORY], 2);
    rig_free(&r);
    free(text);
    ck_assert_uint_eq(spans_in_lines("a.json"), 8);
}
END_TEST

/* The disk fails in the middle of a batch: the next attempt goes on where this one ended. */
START_TEST(retries_write_nothing_twice)
{
    struct rig r = rig_new("{path: a.json, retry_on_failure: {initial_interval: 10ms}}");
    struct rlimit limit = {.rlim_cur = 1200000, .rlim_max = RLIM_INFINITY};
    char *text = long_text(4000);
    struct batch *b = batch_of(&r, text, 500);
    uint32_t written;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    push(&r, 5000, 3);
    b->waiter = th_wait(r.t);
    th_push(r.c, b);
    ck_assert(th_run_until_answered(r.t, 1)); /* the first one was in what could be written */
    ck_assert_int_eq(r.t->waits[0]->answer, ANSWER_OK);
    written = spans_in_lines("a.json");
    ck_assert_uint_gt(written, 3);
    ck_assert_uint_lt(written, 503);
    ck_assert_uint_eq(r.t->ledger.held, 500);
    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert(th_run_until_answered(r.t, 2));
    ck_assert_int_eq(r.t->waits[1]->answer, ANSWER_OK);
    ck_assert_uint_eq(spans_in_lines("a.json"), 503);
    rig_free(&r);
    free(text);
}
END_TEST

START_TEST(a_queue_when_asked_for)
{
    struct rig r = rig_new("{path: a.json, sending_queue: {queue_size: 7}}");

    ck_assert_double_eq(th_metric(r.t, "otelcol_exporter_queue_capacity{data_type=\"traces\",exporter=\"test\"}"), 7);
    push(&r, 1, 3);
    ck_assert_uint_eq(r.t->n_answered, 1); /* by the queue, before it is written */
    rig_free(&r);
    ck_assert_uint_eq(spans_in_lines("a.json"), 3);
}
END_TEST

START_TEST(workers_share_the_file)
{
    struct rig r = {.t = th_new(), .s = ts_new(&file_exporter_type, "{path: a.json}")};
    struct test_host *t2 = th_new_worker(r.t);
    struct component *c2;

    r.c = th_component(r.t, &file_exporter_type, r.s.settings);
    c2 = th_component(t2, &file_exporter_type, r.s.settings);
    for (unsigned i = 0; i < 20; i++) {
        push(&r, i * 100 + 1, 2);
        th_push(c2, th_batch(t2, th_payload_n(t2, i * 100 + 50, 3)));
    }
    th_component_free(t2, &c2);
    th_component_free(r.t, &r.c);
    ck_assert_uint_eq(spans_in_lines("a.json"), 100);
    ts_free(&r.s);
    th_free(&t2);
    th_free(&r.t);
}
END_TEST

static const struct {
    const char *yaml, *problem;
} wrong[] = {
    {"{}", "path must be non-empty"},
    {"{path: x, format: xml}", "format type is not supported"},
    {"{path: x, compression: gzip}", "compression is not supported"},
    {"{path: x, append: true, compression: zstd}", "append and compression enabled at the same time is not supported"},
    {"{path: x, append: true, rotation: {}}", "append and rotation enabled at the same time is not supported"},
    {"{path: x, flush_interval: -1s}", "flush_interval must be larger than zero"},
    {"{path: x, directory_permissions: \"9\"}", "octal"},
    {"{path: x, group_by: {enabled: true}}", "group_by"},
    {"{path: x, encoding: otlp}", "encoding"},
    {"{path: x, sending_queue: {queue_size: 0}}", "`queue_size` must be positive"},
    {"{path: x, retry_on_failure: {multiplier: -1}}", "multiplier"},
};

START_TEST(wrong_settings)
{
    struct test_settings s = ts_new(&file_exporter_type, wrong[_i].yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong[_i].problem) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("file exporter");
    TCase *t = tcase_create("file");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, json_lines);
    tcase_add_loop_test(t, framed_formats, 0, 3);
    tcase_add_test(t, drain_writes_what_is_gathered);
    tcase_add_test(t, much_at_once_is_written_at_once);
    tcase_add_test(t, append_keeps_and_default_empties);
    tcase_add_test(t, folders_are_made_when_asked);
    tcase_add_test(t, rotation_loses_nothing);
    tcase_add_test(t, old_files_go);
    tcase_add_test(t, files_past_their_days_go);
    tcase_add_test(t, full_disk_is_counted_and_tried_again);
    tcase_add_test(t, no_torn_record_stays);
    tcase_add_test(t, no_memory_to_encode_is_a_drop);
    tcase_add_loop_test(t, a_full_budget_holds_no_batch_back, 0, 3);
    tcase_add_test(t, retries_write_nothing_twice);
    tcase_add_test(t, a_queue_when_asked_for);
    tcase_add_test(t, workers_share_the_file);
    tcase_add_loop_test(t, wrong_settings, 0, (int)ARRAY_LEN(wrong));
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
