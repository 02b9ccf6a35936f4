/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main: what the command line asks for. Every command that has a configuration gets it through
 * load_plan(), so `validate` says exactly what a start would.
 *
 * What is wrong goes to stderr, ends in one line "Error: ...", and the exit status is 1.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/args.h"
#include "cmd/components.h"
#include "cmd/daemon.h"
#include "cmd/demo.h"
#include "cmd/explain.h"
#include "cmd/gates.h"
#include "cmd/generate.h"
#include "cmd/memory.h"
#include "cmd/print_config.h"
#include "cmd/redact_check.h"
#include "cmd/reference.h"
#include "config/load.h"
#include "platform/hash.h"
#include "platform/loop.h"
#include "platform/mem.h"

static int fail(const char *text)
{
    fprintf(stderr, "Error: %s\n", text);
    return 1;
}

/* Writes all of it and frees it. The exit status: 1 when stdout did not take it. */
static int put_out(struct buf *out)
{
    size_t done = fwrite(out->p, 1, out->len, stdout);
    bool ok = done == out->len && fflush(stdout) == 0;
    buf_free(out);
    return ok ? 0 : fail("cannot write to standard output");
}

static int read_gates(struct args *a)
{
    struct buf warnings = {0};
    struct err err = {0};
    int rc = 0;
    for (size_t i = 0; i < a->n_gates && rc == 0; i++)
        rc = gates_parse(a->gates[i], &a->gates_on, &warnings, &err);
    if (warnings.len)
        fwrite(warnings.p, 1, warnings.len, stderr);
    buf_free(&warnings);
    return rc ? fail(err.text) : 0;
}

/* Warnings of a start go where the daemon's own lines will go. */
static void log_warnings(const struct plan *plan, const struct diags *d)
{
    struct log_sink *sink = log_sink_new(&plan->log, NULL);
    struct log log = {.sink = sink};
    for (size_t i = 0; i < d->n; i++) {
        const struct diag *g = &d->v[i];
        struct buf place = {0}, text = {0};
        diag_put_place(g, &place);
        diag_print(g, &text);
        buf_putc(&place, 0);
        buf_putc(&text, 0);
        log_warn(&log, "Configuration", LOG_STR("warning", (const char *)text.p), LOG_STR("at", (const char *)place.p));
        buf_free(&place);
        buf_free(&text);
    }
    log_sink_free(&sink);
}

/* The plan; NULL after saying why not. Warnings are said as well. */
static struct plan *load_plan(const struct args *a)
{
    struct load_options o = {.args = a->config, .keep_faulty = a->keep_faulty};
    if (!a->config.n_uris) {
        fail("at least one config flag must be provided");
        return NULL;
    }
    struct diags *d = diags_new();
    struct plan *plan = config_load(&o, d);
    struct buf text = {0};
    if (plan)
        plan->gates = a->gates_on;
    if (plan && a->command == CMD_RUN)
        log_warnings(plan, d);
    else
        diags_print(d, &text);
    if (!plan)
        buf_putf(&text, "Error: the configuration cannot be used: %zu error%s\n", d->n_errors, d->n_errors == 1 ? "" : "s");
    if (text.len)
        fwrite(text.p, 1, text.len, stderr);
    buf_free(&text);
    diags_free(&d);
    return plan;
}

static int run(const struct args *a, char *const *argv)
{
    struct plan *plan = load_plan(a);
    struct daemon_options o = {.config = &a->config, .watch = a->watch, .workers = a->workers,
                               .argv = argv, .shutdown_timeout_ms = a->shutdown_timeout_ms};
    if (!plan)
        return 1;
    int rc = daemon_run(plan, &o);
    plan_free(&plan);
    return rc;
}

static int validate(const struct args *a)
{
    struct buf out = {0};
    struct plan *plan = load_plan(a);
    if (!plan)
        return 1;
    memory_print(plan, a->workers ? a->workers : cpu_count(), &out);
    overflow_print(plan, &out);
    plan_free(&plan);
    return put_out(&out);
}

static int print_config(const struct args *a)
{
    struct buf out = {0};
    struct plan *plan = load_plan(a);
    if (!plan)
        return 1;
    config_print(plan, a->json, !a->unredacted, &out);
    plan_free(&plan);
    return put_out(&out);
}

static int check_redaction(const struct args *a)
{
    struct plan *plan = load_plan(a);
    struct buf out = {0};
    struct err err = {0};
    uint64_t n_left;
    if (!plan)
        return 1;
    int rc = redact_check(plan, a->input, &out, &n_left, &err);
    plan_free(&plan);
    if (rc) {
        buf_free(&out);
        return fail(err.text);
    }
    if (put_out(&out))
        return 1;
    return n_left ? fail("what looks like secrets is still there") : 0;
}

static int explain(const struct args *a)
{
    struct buf out = {0};
    struct err err = {0};
    if (explain_trace(a->admin, a->operand, &out, &err)) {
        buf_free(&out);
        return fail(err.text);
    }
    return put_out(&out);
}

static int featuregate(const struct args *a)
{
    struct buf out = {0};
    struct err err = {0};
    if (gates_print(a->operand, &out, &err))
        return fail(err.text);
    return put_out(&out);
}

static int text_command(enum command command)
{
    struct buf out = {0};
    if (command == CMD_COMPONENTS)
        components_print(&out);
    else if (command == CMD_REFERENCE)
        reference_print(&out);
    else if (command == CMD_VERSION)
        buf_puts(&out, "tailrace version " TAILRACE_VERSION "\n");
    else
        buf_puts(&out, args_help);
    return put_out(&out);
}

static int dispatch(const struct args *a, int argc, char **argv)
{
    switch (a->command) {
    case CMD_RUN: return run(a, argv);
    case CMD_VALIDATE: return validate(a);
    case CMD_PRINT_CONFIG: return print_config(a);
    case CMD_REDACT_CHECK: return check_redaction(a);
    case CMD_EXPLAIN: return explain(a);
    case CMD_FEATUREGATE: return featuregate(a);
    case CMD_DEMO: return demo_main(argc - a->rest + 1, argv + a->rest - 1);
    case CMD_GENERATE: return generate_main(argc - a->rest + 1, argv + a->rest - 1);
    default: return text_command(a->command);
    }
}

int main(int argc, char **argv)
{
    struct args a;
    struct err err = {0};
    int rc;
    signal(SIGPIPE, SIG_IGN);
    mem_setup();
    hash_seed(0);
    if (args_parse(&a, argc, argv, &err))
        rc = fail(err.text);
    else
        rc = read_gates(&a) ? 1 : dispatch(&a, argc, argv);
    args_free(&a);
    return rc;
}
