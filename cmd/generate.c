/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generate: traffic in rounds of TRACES_A_ROUND traces; in each round every service sends what it
 * had to do with them in a request of its own, so a trace's spans arrive apart, as they do in life.
 * Refusals that ask for a repeat (429, 502, 503, 504) are repeated for a while.
 */
#include "cmd/generate.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cmd/post.h"
#include "platform/clock.h"
#include "platform/mem.h"

/* Spans are sent when they have ended: traces begin so long before they are sent. */
enum { AGE_SECONDS = 6 };
enum { TRACES_A_ROUND = 10, REPEATS = 50, REPEAT_PAUSE_MS = 100 };

struct generator {
    const struct generate_options *o;
    struct generate_result *r;
    struct traffic *traffic;
    struct post *post;
    FILE *file;
};

static void pause_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};

    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static int write_request(struct generator *g, struct slice request, struct err *err)
{
    uint8_t len[4] = {(uint8_t)(request.len >> 24), (uint8_t)(request.len >> 16), (uint8_t)(request.len >> 8), (uint8_t)request.len};

    if (fwrite(len, 1, 4, g->file) == 4 && fwrite(request.p, 1, request.len, g->file) == request.len)
        return 0;
    return err_set(err, "write %s: %s", g->o->file, strerror(errno));
}

static bool worth_repeating(int status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

static int post_request(struct generator *g, struct slice request, struct err *err)
{
    int status = 0;

    for (int i = 0; i < REPEATS; i++) {
        status = post_exchange(g->post, "/v1/traces", "application/x-protobuf", request, NULL, err);
        if (status < 0)
            return -1;
        if (!worth_repeating(status))
            break;
        pause_ns(REPEAT_PAUSE_MS * NS_PER_MS);
    }
    if (status < 200 || status > 299)
        g->r->refused_requests++;
    return 0;
}

static int send_round(struct generator *g, unsigned n, uint64_t start_ns, struct err *err)
{
    struct buf out[TRAFFIC_MAX_SERVICES] = {{0}};
    int rc = 0;

    traffic_make(g->traffic, n, start_ns, out);
    for (int i = 0; i < TRAFFIC_MAX_SERVICES; i++) {
        struct slice request = slice_of(out[i].p, out[i].len);

        if (request.len && !rc) {
            rc = g->file ? write_request(g, request, err) : post_request(g, request, err);
            g->r->requests++;
        }
        buf_free(&out[i]);
    }
    return rc;
}

static int send_all(struct generator *g, struct err *err)
{
    uint64_t began = clock_mono_ns(), wall = clock_wall_ns();

    for (uint64_t done = 0; done < g->o->traces;) {
        unsigned n = g->o->traces - done < TRACES_A_ROUND ? (unsigned)(g->o->traces - done) : TRACES_A_ROUND;
        uint64_t passed = g->file ? done * NS_PER_MS : clock_mono_ns() - began;
        uint64_t start = g->o->start_ns ? g->o->start_ns + done * NS_PER_MS : wall + passed - AGE_SECONDS * NS_PER_SEC;
        uint64_t due = g->o->rate > 0 ? (uint64_t)((double)done / g->o->rate * 1e9) : 0;

        if (!g->file && due > passed)
            pause_ns(due - passed);
        if (send_round(g, n, start, err))
            return -1;
        done += n;
    }
    return 0;
}

int generate_run(const struct generate_options *o, struct generate_result *r, struct err *err)
{
    struct generator g = {.o = o, .r = r};
    int rc = -1;

    *r = (struct generate_result){0};
    if (o->file) {
        g.file = fopen(o->file, "we");
        if (!g.file)
            return err_set(err, "open %s: %s", o->file, strerror(errno));
    } else {
        g.post = post_new(o->endpoint, err);
        if (!g.post)
            return -1;
    }
    g.traffic = traffic_new(o->seed, o->services);
    rc = send_all(&g, err);
    r->made = *traffic_counts(g.traffic);
    traffic_free(&g.traffic);
    post_free(&g.post);
    if (g.file && fclose(g.file) && !rc)
        rc = err_set(err, "write %s: %s", o->file, strerror(errno));
    return rc;
}

static const char help[] =
    "usage: tailrace generate [flags]\n"
    "\n"
    "Sends made-up traffic of a web shop: traces of 3 to 12 spans over several services, some failing, some slow,\n"
    "some with secrets in their attributes. The same seed makes the same traffic.\n"
    "\n"
    "  --endpoint HOST:PORT   OTLP/HTTP, protobuf (default 127.0.0.1:4318)\n"
    "  --file FILE            write the requests to a file instead, each behind its length (4 bytes, big endian)\n"
    "  --traces N             how many traces (default 1000)\n"
    "  --rate N               traces a second; 0: as fast as they are taken (default 0)\n"
    "  --seed N               (default 1)\n"
    "  --start NANOSECONDS    when the first trace begins, since 1970 (default: now)\n"
    "  --services N           how many services, 1 to 10 (default 10)\n";

static int take_u64(const char *name, uint64_t min, uint64_t max, uint64_t *v, struct err *err)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(optarg, &end, 10);
    if (errno || *end || end == optarg || *optarg == '-' || n < min || n > max)
        return err_set(err, "invalid argument \"%s\" for \"--%s\": a number from %llu to %llu", optarg, name,
                       (unsigned long long)min, (unsigned long long)max);
    *v = n;
    return 0;
}

static int take_rate(double *v, struct err *err)
{
    char *end;

    *v = strtod(optarg, &end);
    if (*end || end == optarg || !(*v >= 0 && *v <= 1e9))
        return err_set(err, "invalid argument \"%s\" for \"--rate\": a number from 0 to 1e9", optarg);
    return 0;
}

static const struct option flags[] = {
    {"endpoint", required_argument, NULL, 'e'}, {"file", required_argument, NULL, 'f'},
    {"traces", required_argument, NULL, 't'},   {"rate", required_argument, NULL, 'r'},
    {"seed", required_argument, NULL, 's'},     {"start", required_argument, NULL, 'b'},
    {"services", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* 1: help was asked for. */
static int parse(int argc, char **argv, struct generate_options *o, struct err *err)
{
    uint64_t services = TRAFFIC_MAX_SERVICES;
    int c;

    optind = 1;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":", flags, NULL)) != -1) {
        int rc = 0;

        switch (c) {
        case 'e': o->endpoint = optarg; break;
        case 'f': o->file = optarg; break;
        case 't': rc = take_u64("traces", 1, UINT32_MAX, &o->traces, err); break;
        case 'r': rc = take_rate(&o->rate, err); break;
        case 's': rc = take_u64("seed", 0, UINT64_MAX, &o->seed, err); break;
        case 'b': rc = take_u64("start", 1, UINT64_MAX / 2, &o->start_ns, err); break;
        case 'n':
            rc = take_u64("services", 1, TRAFFIC_MAX_SERVICES, &services, err);
            if (!rc)
                o->services = (unsigned)services;
            break;
        case 'h': return 1;
        case ':': return err_set(err, "flag needs an argument: %s", argv[optind - 1]);
        default: return err_set(err, "unknown flag: %s", argv[optind - 1]);
        }
        if (rc)
            return -1;
    }
    return optind < argc ? err_set(err, "unexpected argument \"%s\"", argv[optind]) : 0;
}

static void summarise(const struct generate_options *o, const struct generate_result *r)
{
    printf("%llu traces (%llu failed, %llu slow), %llu spans, %llu secrets, in %llu requests to %s\n",
           (unsigned long long)r->made.traces, (unsigned long long)r->made.error_traces,
           (unsigned long long)r->made.slow_traces, (unsigned long long)r->made.spans,
           (unsigned long long)r->made.secrets, (unsigned long long)r->requests, o->file ? o->file : o->endpoint);
    if (r->refused_requests)
        printf("%llu requests were refused\n", (unsigned long long)r->refused_requests);
}

int generate_main(int argc, char **argv)
{
    struct generate_options o = GENERATE_DEFAULTS;
    struct generate_result r;
    struct err err = {""};
    int rc = parse(argc, argv, &o, &err);

    if (rc == 1) {
        fputs(help, stdout);
        return 0;
    }
    if (rc == 0)
        rc = generate_run(&o, &r, &err);
    if (rc) {
        fprintf(stderr, "Error: %s\n", err.text);
        return 1;
    }
    summarise(&o, &r);
    return r.refused_requests ? 1 : 0;
}
