/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: start, run, stop.
 *
 *   log, budget -> graph_new -> graph_start -> admin -> graph_run -> [main loop]
 *   first SIGINT or SIGTERM -> graph_drain -> done -> everything freed in the opposite order
 *   second one -> the end, at once; but within SAME_STOP_MS it is the first one again: some who
 *   supervise signal the process and then its group
 *
 *   SIGHUP, POST /-/reload, a changed file -> reloader (cmd/reload.c)
 *   SIGUSR2 -> a successor on the same sockets (cmd/upgrade.c)
 *
 * The main thread owns the control loop: signals, admin pages, extensions, the conduct of the
 * drain. Data never passes through it. Whatever cannot be started ends the process before anything
 * has been accepted. Signals are caught from before the first component starts, so that one that
 * comes early stops the daemon as soon as it runs.
 */
#include "cmd/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/admin.h"
#include "cmd/reload.h"
#include "cmd/trim.h"
#include "cmd/upgrade.h"
#include "net/listen_socket.h"
#include "platform/clock.h"
#include "platform/hash.h"

enum { SAME_STOP_MS = 500, LAST_BOOKS_MS = 1000 };

struct daemon {
    const struct plan *plan;
    struct daemon_options o;
    struct log_sink *sink;
    struct log log;
    struct loop *loop;
    struct budget *budget;
    struct metric_set *metrics;
    struct graph *graph;
    struct admin *admin;
    struct inheritance inherited;
    struct upgrade *upgrade;
    struct trimmer *trimmer;
    struct reloader *reloader; /* from when everything runs */
    struct timer *last_books; /* the end of waiting for them after a drain that was not clean */
    uint64_t stopping_since_ns;
    bool stopping, clean;
};

/* ---- signals ---- */

/* "queue_full 12, shutdown 3" */
static void put_drops(struct buf *out, const struct ledger *l)
{
    for (int r = 0; r < DROP_REASONS; r++)
        if (l->dropped[r])
            buf_putf(out, "%s%s %llu", out->len ? ", " : "", drop_reason_name((enum drop_reason)r),
                     (unsigned long long)l->dropped[r]);
    buf_putc(out, '\0');
}

static void log_ledger(void *ctx, const struct graph_scrape *s)
{
    struct daemon *d = ctx;
    struct buf drops = {0};

    for (size_t i = 0; i < s->n_ledgers; i++) {
        const struct ledger *l = &s->ledgers[i];

        buf_clear(&drops);
        put_drops(&drops, l);
        log_info(&d->log, "Span ledger", LOG_STR("pipeline", s->pipelines[i]),
                 LOG_UINT("accepted", l->accepted), LOG_UINT("exported", l->fate[FATE_EXPORTED]),
                 LOG_UINT("sampled_out", l->fate[FATE_SAMPLED_OUT]),
                 LOG_UINT("filtered", l->fate[FATE_FILTERED]),
                 LOG_UINT("dropped", l->fate[FATE_DROPPED]), LOG_UINT("stored", l->fate[FATE_STORED]), LOG_INT("held", ledger_held(l)),
                 LOG_STR("dropped_by_reason", (const char *)drops.p));
    }
    buf_free(&drops);
}

static void on_books(void *ctx, const struct graph_scrape *s)
{
    struct daemon *d = ctx;

    log_ledger(d, s);
    loop_stop(d->loop);
}

/* A worker does not even answer. */
static void on_no_books(void *ctx)
{
    struct daemon *d = ctx;

    log_error(&d->log, "The span ledger cannot be told, a worker does not answer");
    loop_stop(d->loop);
}

static void on_drained(void *ctx, bool clean)
{
    struct daemon *d = ctx;

    d->clean = clean;
    if (!clean) {
        d->last_books = timer_new(d->loop, __func__, on_no_books, d);
        timer_start(d->last_books, LAST_BOOKS_MS, 0);
    }
    graph_scrape(d->graph, on_books, d);
}

static const char *signal_name(int signum)
{
    return signum == SIGINT ? "interrupt" : signum == SIGHUP ? "hangup" : "terminated";
}

static void on_stop_signal(void *ctx, int signum)
{
    struct daemon *d = ctx;

    if (d->stopping && loop_now_ns(d->loop) - d->stopping_since_ns < SAME_STOP_MS * NS_PER_MS) {
        log_debug(&d->log, "The same signal again", LOG_STR("signal", signal_name(signum)));
        return;
    }
    if (d->stopping) {
        log_warn(&d->log, "Second signal, not waiting any longer",
                 LOG_STR("signal", signal_name(signum)));
        _exit(1);
    }
    d->stopping = true;
    supervisor_tell("STOPPING=1");
    d->stopping_since_ns = loop_now_ns(d->loop);
    log_info(&d->log, "Received signal from OS", LOG_STR("signal", signal_name(signum)));
    log_info(&d->log, "Starting shutdown...");
    if (d->reloader)
        reloader_close(d->reloader);
    graph_drain(d->graph, d->o.shutdown_timeout_ms, on_drained, d);
}

/* ---- reload ---- */

static int reload(struct daemon *d, const char *trigger, struct buf *text)
{
    if (d->reloader) {
        char state[64];

        snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(clock_mono_ns() / 1000));
        supervisor_tell(state);
        int status = reloader_reload(d->reloader, trigger, text);
        supervisor_tell("READY=1");
        return status;
    }
    log_warn(&d->log, "There is no configuration to reload, or the daemon is still starting",
             LOG_STR("trigger", trigger));
    return 409;
}

static void on_hangup(void *ctx, int signum)
{
    (void)reload(ctx, signal_name(signum), NULL);
}

static int on_reload_request(void *ctx, struct buf *text)
{
    return reload(ctx, "request", text);
}

static void start_reloader(struct daemon *d)
{
    struct reloader_options o = {
        .graph = d->graph,
        .plan = d->plan,
        .args = d->o.config,
        .watch = d->o.watch,
        .timeout_ms = d->o.shutdown_timeout_ms,
        .loop = d->loop,
        .log = d->log,
        .admin = d->admin,
    };

    if (!d->o.config)
        return;
    d->reloader = reloader_new(&o);
    admin_on_reload(d->admin, on_reload_request, d);
}

/* ---- upgrade ---- */

static void on_upgrade_signal(void *ctx, int signum)
{
    struct daemon *d = ctx;
    struct err err = {""};

    (void)signum;
    if (d->stopping || !d->upgrade)
        err_set(&err, d->stopping ? "shutting down" : "still starting");
    else if (upgrade_start(d->upgrade, &err) == 0)
        return;
    log_error(&d->log, "No successor can be started", LOG_STR("error", err.text));
}

static void on_idle_socket(void *ctx, const char *address)
{
    struct daemon *d = ctx;

    log_warn(&d->log, "A socket was handed to this process that nothing listens on", LOG_STR("address", address));
}

static bool has_storage(const struct plan *p)
{
    for (size_t i = 0; i < p->n_extensions; i++)
        if (p->extensions[i]->type->storage)
            return true;
    return false;
}

/* Before anything is opened. */
static void take_inheritance(struct daemon *d)
{
    inheritance_take(&d->inherited);
    if (d->inherited.n_sockets)
        log_info(&d->log, "Took over listening sockets", LOG_UINT("sockets", d->inherited.n_sockets),
                 LOG_INT("predecessor", d->inherited.predecessor));
    if (d->inherited.predecessor && has_storage(d->plan))
        inheritance_wait(&d->inherited);
}

/* Everything runs. */
static void tell_ready(struct daemon *d)
{
    char state[64];

    listen_sockets_close_idle(on_idle_socket, d);
    inheritance_dismiss(&d->inherited);
    snprintf(state, sizeof state, "READY=1\nMAINPID=%d", (int)getpid());
    supervisor_tell(state);
}

/* ---- start ---- */

static int open_log(struct daemon *d, struct err *err)
{
    d->sink = log_sink_new(&d->plan->log, err);
    if (!d->sink)
        return -1;
    d->log = (struct log){.sink = d->sink};
    return 0;
}

static int build(struct daemon *d, struct err *err)
{
    struct graph_options o;

    d->loop = loop_new("main");
    d->metrics = metric_set_new();
    d->budget = budget_new(d->plan->memory_soft_bytes, d->plan->memory_limit_bytes);
    loop_on_signal(d->loop, SIGINT, on_stop_signal, d);
    loop_on_signal(d->loop, SIGTERM, on_stop_signal, d);
    loop_on_signal(d->loop, SIGHUP, on_hangup, d);
    loop_on_signal(d->loop, SIGUSR2, on_upgrade_signal, d);
    o = (struct graph_options){
        .n_workers = d->o.workers,
        .main_loop = d->loop,
        .main_metrics = d->metrics,
        .budget = d->budget,
        .sink = d->sink,
    };
    d->graph = graph_new(d->plan, &o, err);
    return d->graph ? 0 : -1;
}

static int start(struct daemon *d, struct err *err)
{
    if (open_log(d, err) < 0)
        return -1;
    log_info(&d->log, "Starting tailrace...", LOG_STR("Version", TAILRACE_VERSION),
             LOG_UINT("NumCPU", cpu_count()), LOG_UINT("Workers", d->o.workers));
    take_inheritance(d);
    if (build(d, err) < 0)
        return -1;
    d->admin = admin_new(d->graph, d->plan, d->loop, d->metrics, d->budget, d->log, err);
    if (!d->admin)
        return -1;
    if (graph_start(d->graph, err) < 0 || graph_run(d->graph, err) < 0)
        return -1;
    start_reloader(d);
    d->trimmer = trimmer_new(d->loop, d->budget);
    if (d->o.argv)
        d->upgrade = upgrade_new(d->loop, &d->log, d->o.argv);
    return 0;
}

/* ---- end ---- */

static unsigned dismantle(struct daemon *d)
{
    unsigned leaked = 0;

    timer_free(&d->last_books);
    trimmer_free(&d->trimmer);
    reloader_free(&d->reloader);
    upgrade_free(&d->upgrade);
    admin_free(&d->admin);
    if (d->graph)
        leaked += graph_free(&d->graph);
    if (d->loop)
        leaked += loop_free(&d->loop);
    if (d->metrics)
        metric_set_free(&d->metrics);
    if (d->budget)
        budget_free(&d->budget);
    return leaked;
}

static int run(struct daemon *d)
{
    log_info(&d->log, "Everything is ready. Begin running and processing data.");
    tell_ready(d);
    loop_run(d->loop);
    if (!d->clean)
        _exit(1); /* a component is still at it: nothing can be taken from under it */
    if (dismantle(d) > 0)
        log_warn(&d->log, "Handles were left open, see above");
    log_info(&d->log, "Shutdown complete.");
    return 0;
}

int daemon_run(const struct plan *plan, const struct daemon_options *o)
{
    struct daemon d = {.plan = plan, .o = *o};
    struct err err = {""};
    int rc = 1;

    if (!d.o.workers)
        d.o.workers = cpu_count();
    if (!d.o.shutdown_timeout_ms)
        d.o.shutdown_timeout_ms = DAEMON_SHUTDOWN_TIMEOUT_MS;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit of file sizes is an error of that write */
    signal(SIGHUP, SIG_IGN); /* until the loop watches them */
    signal(SIGUSR2, SIG_IGN);
    hash_seed(0);
    if (start(&d, &err) == 0) {
        rc = run(&d);
    } else {
        (void)dismantle(&d);
        fprintf(stderr, "Error: %s\n", err.text);
    }
    if (d.sink)
        log_sink_free(&d.sink);
    return rc;
}
