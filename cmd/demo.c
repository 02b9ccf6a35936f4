/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo: starts this program again as a daemon with the quickstart configuration, on free loopback
 * ports and in a folder of its own, sends it traffic, waits until every trace is decided, and shows
 * the books and a trace. Then it stops the daemon as an init system would.
 *
 * The configuration is deploy/quickstart.yaml when that is where we are, otherwise the copy that was
 * built in. Only what must differ for the demo is set on the daemon's command line.
 */
#include "cmd/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/generate.h"
#include "cmd/post.h"
#include "platform/clock.h"
#include "platform/mem.h"

/* The file, byte for byte. The Makefile knows that this object depends on it. */
__asm__(".pushsection .rodata\n"
        ".hidden quickstart_begin\n.globl quickstart_begin\nquickstart_begin:\n"
        ".incbin \"deploy/quickstart.yaml\"\n"
        ".hidden quickstart_end\n.globl quickstart_end\nquickstart_end:\n.byte 0\n"
        ".popsection\n");
extern const char quickstart_begin[] __attribute__((visibility("hidden")));
extern const char quickstart_end[] __attribute__((visibility("hidden")));

#define IN_TREE "deploy/quickstart.yaml"
enum { START_LIMIT_MS = 15000, DECIDE_LIMIT_MS = 40000, STOP_LIMIT_MS = 15000, POLL_MS = 50 };

struct demo {
    char folder[64];
    char *config, *log, *kept; /* paths */
    bool config_is_ours;
    pid_t daemon; /* 0: none */
    char *otlp, *metrics; /* HOST:PORT */
    struct buf page;      /* the last metrics page, with a newline before and a NUL behind */
    uint64_t traces, seed;
    bool keep;
};

static void pause_ms(uint64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * NS_PER_MS)}, NULL);
}

/* A whole file as a string; empty when it is not there. */
static char *read_file(const char *path)
{
    struct buf b = {0};
    FILE *f = fopen(path, "re");
    char piece[8192];
    size_t n;

    while (f && (n = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_put(&b, piece, n);
    if (f)
        fclose(f);
    buf_putc(&b, '\0');
    return (char *)b.p;
}

static int prepare(struct demo *d, struct err *err)
{
    const char *tmp = getenv("TMPDIR");
    FILE *f;

    snprintf(d->folder, sizeof(d->folder), "%s/tailrace-demo-XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(d->folder))
        return err_set(err, "mkdir %s: %s", d->folder, strerror(errno));
    d->log = mem_printf("%s/daemon.log", d->folder);
    d->kept = mem_printf("%s/kept-traces.json", d->folder);
    if (access(IN_TREE, R_OK) == 0) {
        d->config = mem_dup(IN_TREE);
        return 0;
    }
    d->config = mem_printf("%s/quickstart.yaml", d->folder);
    d->config_is_ours = true;
    f = fopen(d->config, "we");
    if (!f || fputs(quickstart_begin, f) == EOF || fclose(f))
        return err_set(err, "write %s: %s", d->config, strerror(errno));
    return 0;
}

static void clean_up(struct demo *d)
{
    if (d->daemon)
        kill(d->daemon, SIGKILL);
    if (!d->keep && d->log) {
        unlink(d->log);
        unlink(d->kept);
        if (d->config_is_ours)
            unlink(d->config);
        rmdir(d->folder);
    }
    free(d->config);
    free(d->log);
    free(d->kept);
    free(d->otlp);
    free(d->metrics);
    buf_free(&d->page);
}

/* In the child. */
static _Noreturn void become_daemon(const struct demo *d)
{
    int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    char *file = mem_printf("exporters.file.path=%s", d->kept);
    const char *argv[] = {
        "tailrace", "run", "--config", d->config,
        "--set", "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
        "--set", "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
        "--set", "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]",
        "--set", "processors.tail_sampling.decision_wait=3s",
        "--set", file, NULL,
    };

    prctl(PR_SET_PDEATHSIG, SIGTERM); /* not left alone when somebody interrupts the demo */
    if (log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0)
        _exit(1);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

static bool is_running(struct demo *d)
{
    int status;

    if (d->daemon && waitpid(d->daemon, &status, WNOHANG) == d->daemon)
        d->daemon = 0;
    return d->daemon != 0;
}

/* The value of `field` on the log's line with this message; NULL when there is none. */
static char *log_field(const char *log, const char *message, const char *field)
{
    const char *line = strstr(log, message), *at, *end;
    char *key = mem_printf("\"%s\": \"", field);

    at = line ? strstr(line, key) : NULL;
    end = line ? strchrnul(line, '\n') : NULL;
    if (at)
        at += strlen(key);
    free(key);
    if (!at || at > end)
        return NULL;
    return mem_dup_n(at, strcspn(at, "\"\n"));
}

static int start_daemon(struct demo *d, struct err *err)
{
    uint64_t limit = clock_mono_ns() + START_LIMIT_MS * NS_PER_MS;
    char *log = NULL;

    d->daemon = fork();
    if (d->daemon < 0) {
        d->daemon = 0;
        return err_set(err, "fork: %s", strerror(errno));
    }
    if (d->daemon == 0)
        become_daemon(d);
    do {
        pause_ms(POLL_MS);
        free(log);
        log = read_file(d->log);
    } while (is_running(d) && !strstr(log, "Everything is ready") && clock_mono_ns() < limit);
    d->otlp = log_field(log, "Starting HTTP server", "endpoint");
    d->metrics = log_field(log, "Serving metrics", "address");
    if (is_running(d) && d->otlp && d->metrics) {
        free(log);
        return 0;
    }
    err_set(err, "the daemon did not start:\n%.900s", log);
    free(log);
    return -1;
}

static int scrape(struct demo *d, struct post *p, struct err *err)
{
    int status;

    buf_clear(&d->page);
    buf_putc(&d->page, '\n');
    status = post_exchange(p, "/metrics", NULL, slice_of(NULL, 0), &d->page, err);
    buf_putc(&d->page, '\0');
    if (status < 0)
        return -1;
    return status == 200 ? 0 : err_set(err, "/metrics answered %d", status);
}

static bool all_decided(const struct demo *d, const struct generate_result *r)
{
    const char *page = (const char *)d->page.p;

    return demo_metric(page, "tailrace_pipeline_accepted_spans", "") >= (double)r->made.spans &&
           demo_metric(page, "tailrace_pipeline_held_spans", "") == 0;
}

static int wait_for_decisions(struct demo *d, const struct generate_result *r, struct err *err)
{
    uint64_t limit = clock_mono_ns() + DECIDE_LIMIT_MS * NS_PER_MS;
    struct post *p = post_new(d->metrics, err);
    int rc = p ? 0 : -1;

    while (!rc) {
        rc = scrape(d, p, err);
        if (rc || all_decided(d, r))
            break;
        if (!is_running(d) || clock_mono_ns() > limit)
            rc = err_set(err, "%s", is_running(d) ? "the traces were not decided in time" : "the daemon ended");
        pause_ms(4ull * POLL_MS);
    }
    post_free(&p);
    return rc;
}

static int stop_daemon(struct demo *d, struct err *err)
{
    uint64_t limit = clock_mono_ns() + STOP_LIMIT_MS * NS_PER_MS;
    int status = 0;

    kill(d->daemon, SIGTERM);
    while (waitpid(d->daemon, &status, WNOHANG) == 0) {
        if (clock_mono_ns() > limit)
            return err_set(err, "the daemon did not stop");
        pause_ms(POLL_MS);
    }
    d->daemon = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : err_set(err, "the daemon failed while stopping");
}

/* The line of the configuration that holds `text`. */
static unsigned line_of(const char *text)
{
    const char *at = strstr(quickstart_begin, text);
    unsigned line = 1;

    for (const char *p = quickstart_begin; at && p < at; p++)
        line += *p == '\n';
    return at ? line : 0;
}

static void show_next_steps(const struct demo *d)
{
    const char *file = d->config_is_ours ? "quickstart.yaml (installed in share/tailrace)" : IN_TREE;

    printf("\n  What next\n\n"
           "    Keep more or less: change sampling_percentage, line %u of %s, and run this again.\n"
           "    See the traces in Jaeger: docker run --rm -p 14317:4317 -p 16686:16686 jaegertracing/jaeger\n"
           "      then uncomment otlp_grpc/jaeger (line %u), name it in the pipeline's exporters (line %u), and\n"
           "      tailrace --config %s     traffic: your SDK on localhost:4317, or tailrace generate\n"
           "    Coming from a Collector: tailrace validate --config collector.yaml\n\n",
           line_of("sampling_percentage:"), file, line_of("# otlp_grpc/jaeger:"), line_of("exporters: [debug, file]"),
           d->config_is_ours ? "quickstart.yaml" : IN_TREE);
}

static int show(struct demo *d, struct err *err)
{
    struct generate_options o = GENERATE_DEFAULTS;
    struct generate_result r;
    char *kept;

    o.endpoint = d->otlp;
    o.traces = d->traces;
    o.seed = d->seed;
    printf("  tailrace runs with %s: OTLP on %s, metrics on http://%s/metrics\n", d->config, d->otlp, d->metrics);
    fflush(stdout);
    if (generate_run(&o, &r, err))
        return -1;
    printf("  Sent %llu traces of a web shop (%llu with errors, %llu slow), %llu spans, %llu secrets in them.\n"
           "  Each trace is held until it is whole: 3 seconds here.\n",
           (unsigned long long)r.made.traces, (unsigned long long)r.made.error_traces, (unsigned long long)r.made.slow_traces,
           (unsigned long long)r.made.spans, (unsigned long long)r.made.secrets);
    fflush(stdout);
    if (wait_for_decisions(d, &r, err) || stop_daemon(d, err))
        return -1;
    demo_show_ledger((const char *)d->page.p);
    kept = read_file(d->kept);
    demo_show_trace(kept);
    free(kept);
    show_next_steps(d);
    return 0;
}

static const char help[] =
    "usage: tailrace demo [flags]\n"
    "\n"
    "Runs the whole main job with made-up traffic and shows what came of it: the span ledger and a kept trace.\n"
    "Uses free ports on loopback and a folder under TMPDIR, removed at the end.\n"
    "\n"
    "  --traces N   how many traces (default 500)\n"
    "  --seed N     the same seed makes the same traffic (default 1)\n"
    "  --keep       leave the folder with the daemon's log and the kept traces, and say where it is\n";

static const struct option flags[] = {
    {"traces", required_argument, NULL, 't'}, {"seed", required_argument, NULL, 's'},
    {"keep", no_argument, NULL, 'k'},         {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_number(const char *flag, uint64_t max, uint64_t *v, struct err *err)
{
    char *end;

    *v = strtoull(optarg, &end, 10);
    if (*end || end == optarg || *optarg == '-' || !*v || *v > max)
        return err_set(err, "invalid argument \"%s\" for \"--%s\": a number from 1 to %llu", optarg, flag, (unsigned long long)max);
    return 0;
}

/* 1: help was asked for. */
static int parse(int argc, char **argv, struct demo *d, struct err *err)
{
    int c, rc = 0;

    optind = 1;
    opterr = 0;
    while (!rc && (c = getopt_long(argc, argv, ":", flags, NULL)) != -1) {
        switch (c) {
        case 't': rc = take_number("traces", 20000, &d->traces, err); break;
        case 's': rc = take_number("seed", UINT64_MAX, &d->seed, err); break;
        case 'k': d->keep = true; break;
        case 'h': return 1;
        case ':': return err_set(err, "flag needs an argument: %s", argv[optind - 1]);
        default: return err_set(err, "unknown flag: %s", argv[optind - 1]);
        }
    }
    if (!rc && optind < argc)
        rc = err_set(err, "unexpected argument \"%s\"", argv[optind]);
    return rc;
}

int demo_main(int argc, char **argv)
{
    struct demo d = {.traces = 500, .seed = 1};
    struct err err = {""};
    int rc = parse(argc, argv, &d, &err);

    if (rc == 1) {
        fputs(help, stdout);
        return 0;
    }
    if (rc || prepare(&d, &err) || start_daemon(&d, &err) || show(&d, &err)) {
        fprintf(stderr, "Error: %s\n", err.text);
        rc = 1;
    }
    if (d.keep && d.log)
        printf("  Left behind: %s\n", d.folder);
    clean_up(&d);
    return rc;
}
