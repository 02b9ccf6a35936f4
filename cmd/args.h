/* SPDX-License-Identifier: Apache-2.0 */
/* The command line. Main thread. */
#ifndef TAILRACE_CMD_ARGS_H
#define TAILRACE_CMD_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/resolve.h"
#include "platform/err.h"

enum command {
    CMD_RUN = 1,
    CMD_VALIDATE = 2,
    CMD_COMPONENTS = 4,
    CMD_PRINT_CONFIG = 8,
    CMD_REFERENCE = 16,
    CMD_FEATUREGATE = 32,
    CMD_GENERATE = 64,
    CMD_DEMO = 128,
    CMD_HELP = 256,
    CMD_VERSION = 512,
    CMD_REDACT_CHECK = 1024,
    CMD_EXPLAIN = 2048,
};

struct args {
    enum command command;
    struct config_args config;
    const char **gates; /* --feature-gates, as given */
    size_t n_gates;
    uint32_t gates_on; /* those of component/gates.h, once read */
    unsigned workers;             /* 0: not given */
    uint64_t shutdown_timeout_ms; /* 0: not given */
    bool unredacted, json, keep_faulty, watch;
    const char *operand; /* featuregate ID, explain TRACE_ID */
    const char *admin;   /* explain */
    const char *input;   /* redact-check */
    int rest;            /* generate, demo: where their own arguments begin in argv */
};

/* 0, or -1 with the text. Strings are argv's. */
int args_parse(struct args *a, int argc, char **argv, struct err *err) MUST_USE;
void args_free(struct args *a);

extern const char args_help[];

#endif
