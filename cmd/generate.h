/* SPDX-License-Identifier: Apache-2.0 */
/* `tailrace generate`: sends made-up traffic to an OTLP/HTTP endpoint, or writes it to a file. */
#ifndef TAILRACE_CMD_GENERATE_H
#define TAILRACE_CMD_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/traffic.h"
#include "platform/err.h"

/* argv[0] is the program, argv[1] the first own argument. The exit status. */
int generate_main(int argc, char **argv);

struct generate_options {
    const char *endpoint; /* HOST:PORT; used when file is NULL */
    const char *file;     /* requests, each behind its length in 4 bytes, big endian */
    uint64_t traces;
    double rate; /* traces a second; 0: as fast as they are taken */
    uint64_t seed;
    uint64_t start_ns; /* 0: now */
    unsigned services;
};
#define GENERATE_DEFAULTS \
    {.endpoint = "127.0.0.1:4318", .traces = 1000, .seed = 1, .services = TRAFFIC_MAX_SERVICES}

struct generate_result {
    struct traffic_counts made;
    uint64_t requests, refused_requests; /* refused: for good, after the repeats */
};

/* -1 with err when the endpoint or file cannot be used at all. Blocks. */
int generate_run(const struct generate_options *o, struct generate_result *r, struct err *err) MUST_USE;

#endif
