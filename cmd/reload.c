/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reload: SIGHUP, POST /-/reload or a watched file that changed.
 *
 *   load and check as a start does -> same as what runs? -> graph_reload -> what left has gone
 *
 * Whatever is wrong changes nothing, is logged once with all errors, and shows in the metrics. A
 * trigger that comes while the last change is still under way is remembered: one more reload follows.
 *
 * Watching is a stat of each file named by --config or ${file:...} once a second (through symbolic links, so that
 * a swap of a Kubernetes ConfigMap or Secret is seen). A change counts when the file has looked the same for one
 * more second: whoever writes in place gets the time to finish.
 * Threads: main.
 */
#include "cmd/reload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/settings_value.h"
#include "config/load.h"
#include "config/telemetry.h"

enum { WATCH_MS = 1000 };

struct file_state {
    dev_t dev;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* What a plan says, to the byte. */
struct exact {
    struct buf graph, telemetry;
};

struct reloader {
    struct reloader_options o;
    uint32_t gates; /* of the command line: the same for every plan */
    char *instance_id; /* the process's own, for files that name none */
    struct exact running;
    struct timer *timer;           /* watching; NULL: not */
    char **files;                     /* that the configuration was read from */
    size_t n_files;
    struct file_state *loaded, *seen; /* by files */
    bool under_way, again, closed;
};

/* ---- exact texts ---- */

static void put_component(struct buf *out, const struct plan_component *pc)
{
    struct arena *a = arena_new();
    struct value v = settings_value(a, pc->type->keys, pc->settings, false);

    buf_putf(out, "%d %s %s ", (int)pc->type->kind, pc->type->name, pc->id);
    value_put_exact(out, &v);
    buf_putc(out, '\n');
    arena_free(&a);
}

/* With the extensions it names: when those change, so does what they do for it. */
static void put_with_uses(struct buf *out, const struct plan_component *pc)
{
    put_component(out, pc);
    for (size_t i = 0; i < pc->n_uses; i++)
        put_with_uses(out, pc->uses[i]);
}

static void put_ids(struct buf *out, const struct plan_component *const *pcs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_putf(out, "%d %s,", (int)pcs[i]->type->kind, pcs[i]->id);
    buf_putc(out, '\n');
}

static void put_plan(struct buf *out, const struct plan *plan)
{
    buf_putf(out, "%d\n", (int)plan->metrics_level);
    for (size_t i = 0; i < plan->n_components; i++)
        put_component(out, &plan->components[i]);
    put_ids(out, plan->extensions, plan->n_extensions);
    for (size_t i = 0; i < plan->n_pipelines; i++) {
        const struct plan_pipeline *p = &plan->pipelines[i];

        buf_putf(out, "%s\n", p->id);
        put_ids(out, p->receivers, p->n_receivers);
        put_ids(out, p->processors, p->n_processors);
        put_ids(out, p->exporters, p->n_exporters);
    }
}

static void put_telemetry(struct buf *out, const struct plan *plan)
{
    struct arena *a = arena_new();
    struct value v = {.type = VALUE_NONE};

    if (plan->telemetry)
        v = settings_value(a, telemetry_keys, plan->telemetry, false);
    value_put_exact(out, &v);
    arena_free(&a);
}

static bool buf_eq(const struct buf *a, const struct buf *b)
{
    return slice_eq(slice_of(a->p, a->len), slice_of(b->p, b->len));
}

static bool same_settings(const struct plan_component *a, const struct plan_component *b)
{
    struct buf x = {0}, y = {0};
    bool same;

    put_with_uses(&x, a);
    put_with_uses(&y, b);
    same = buf_eq(&x, &y);
    buf_free(&x);
    buf_free(&y);
    return same;
}

/* ---- files ---- */

/* False when one of them is not there. */
static bool look(const struct reloader *r, struct file_state *states)
{
    bool all = true;

    for (size_t i = 0; i < r->n_files; i++) {
        struct stat st;

        states[i] = (struct file_state){0};
        if (stat(r->files[i], &st) == 0)
            states[i] = (struct file_state){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
        else
            all = false;
    }
    return all;
}

static bool same_state(const struct file_state *a, const struct file_state *b)
{
    return a->dev == b->dev && a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool alike(const struct reloader *r, const struct file_state *a, const struct file_state *b)
{
    for (size_t i = 0; i < r->n_files; i++)
        if (!same_state(&a[i], &b[i]))
            return false;
    return true;
}

static bool same_files(const struct reloader *r, const struct plan *plan)
{
    bool same = r->n_files == plan->n_files;

    for (size_t i = 0; same && i < r->n_files; i++)
        same = strcmp(r->files[i], plan->files[i]) == 0;
    return same;
}

static void forget_files(struct reloader *r)
{
    for (size_t i = 0; i < r->n_files; i++)
        free(r->files[i]);
    free(r->files);
    free(r->loaded);
    free(r->seen);
}

/* What a configuration without errors was read from is what is watched. */
static void keep_files(struct reloader *r, const struct plan *plan)
{
    if (r->files && same_files(r, plan))
        return;
    forget_files(r);
    r->n_files = plan->n_files;
    r->files = mem_alloc_array(r->n_files + 1, sizeof(*r->files));
    for (size_t i = 0; i < r->n_files; i++)
        r->files[i] = mem_dup(plan->files[i]);
    r->loaded = mem_alloc_array(r->n_files + 1, sizeof(*r->loaded));
    r->seen = mem_alloc_array(r->n_files + 1, sizeof(*r->seen));
    (void)look(r, r->loaded);
}

static void on_look(void *ctx)
{
    struct reloader *r = ctx;
    size_t bytes = r->n_files * sizeof(struct file_state);
    struct file_state *now = mem_alloc(bytes + 1);
    bool settled = look(r, now) && alike(r, now, r->seen) && !alike(r, now, r->loaded);

    memcpy(r->seen, now, bytes);
    free(now);
    if (settled)
        (void)reloader_reload(r, "file", NULL);
}

/* ---- outcomes ---- */

static void say(struct buf *text, const char *what)
{
    if (text)
        buf_putf(text, "%s\n", what);
}

static int failed(struct reloader *r, const char *trigger, int status, const char *why,
                  struct buf *text)
{
    log_error(&r->o.log, "The configuration was not reloaded, nothing changed",
              LOG_STR("trigger", trigger), LOG_STR("error", why));
    say(text, why);
    admin_reloaded(r->o.admin, false);
    return status;
}

static int bad_configuration(struct reloader *r, const char *trigger, struct diags *d,
                             struct buf *text)
{
    struct buf errors = {0};
    int status;

    diags_print(d, &errors);
    while (errors.len && errors.p[errors.len - 1] == '\n')
        errors.len--;
    buf_putc(&errors, '\0');
    status = failed(r, trigger, 400, (const char *)errors.p, text);
    buf_free(&errors);
    return status;
}

static int succeeded(struct reloader *r, const char *trigger, const char *what, struct buf *text)
{
    log_info(&r->o.log, what, LOG_STR("trigger", trigger));
    say(text, what);
    admin_reloaded(r->o.admin, true);
    return 200;
}

static void on_over(void *ctx, bool clean)
{
    struct reloader *r = ctx;

    (void)clean; /* what did not stop has been named */
    r->under_way = false;
    log_debug(&r->o.log, "What the reload took out has gone");
    if (r->again && !r->closed)
        (void)reloader_reload(r, "repeated", NULL);
}

/* ---- service.telemetry ---- */

/* What can fail of it is done before anything changes. */
struct staged {
    struct log_sink *sink; /* NULL: the old one goes on */
    struct admin_change *admin;
};

/* Outputs are opened anew even when nothing changed: a log file that was renamed is let go of. */
static int stage(struct reloader *r, const struct plan *plan, bool changed, struct staged *st, struct err *err)
{
    *st = (struct staged){.sink = log_sink_new(&plan->log, err)};
    if (!st->sink && changed)
        return err_wrap(err, "service.telemetry.logs");
    if (!st->sink)
        log_warn(&r->o.log, "The log's outputs could not be opened again", LOG_STR("error", err->text));
    st->admin = admin_prepare(r->o.admin, plan, err);
    if (st->admin)
        return 0;
    log_sink_free(&st->sink);
    return -1;
}

static void unstage(struct staged *st)
{
    log_sink_free(&st->sink);
    admin_cancel(&st->admin);
}

static void put_on_stage(struct reloader *r, struct staged *st)
{
    if (st->sink)
        log_sink_become(r->o.log.sink, &st->sink);
    admin_apply(r->o.admin, &st->admin);
}

/* ---- reload ---- */

static void exact_free(struct exact *e)
{
    buf_free(&e->graph);
    buf_free(&e->telemetry);
}

static void put_exact(struct exact *e, const struct plan *plan)
{
    put_plan(&e->graph, plan);
    put_telemetry(&e->telemetry, plan);
}

static int follows(struct reloader *r, struct buf *text)
{
    r->again = true;
    say(text, "the last reload is still under way, this one follows it");
    return 202;
}

/* Takes the plan when the graph changes. */
static enum reload_result change_graph(struct reloader *r, struct plan **plan, const struct exact *exact, struct err *err)
{
    enum reload_result result;

    if (buf_eq(&exact->graph, &r->running.graph))
        return RELOAD_DONE;
    result = graph_reload(r->o.graph, plan, same_settings, r->o.timeout_ms, on_over, r, err);
    r->under_way = result == RELOAD_DONE;
    return result;
}

static int apply(struct reloader *r, struct plan **plan, const char *trigger, struct exact *exact, struct buf *text)
{
    bool same_telemetry = buf_eq(&exact->telemetry, &r->running.telemetry);
    bool same = same_telemetry && buf_eq(&exact->graph, &r->running.graph);
    const struct exact before = r->running;
    struct err err = {""};
    struct staged st;
    enum reload_result result;

    if (stage(r, *plan, !same_telemetry, &st, &err) < 0)
        return failed(r, trigger, 409, err.text, text);
    result = change_graph(r, plan, exact, &err);
    if (result != RELOAD_DONE)
        unstage(&st);
    if (result == RELOAD_BUSY)
        return follows(r, text);
    if (result == RELOAD_REFUSED)
        return failed(r, trigger, 409, err.text, text);
    put_on_stage(r, &st);
    r->running = *exact;
    *exact = before;
    return succeeded(r, trigger, same ? "Configuration is unchanged" : "Configuration reloaded", text);
}

static int compare_and_apply(struct reloader *r, struct plan **plan, const char *trigger,
                             struct buf *text)
{
    struct exact exact = {{0}, {0}};
    int status;

    put_exact(&exact, *plan);
    status = apply(r, plan, trigger, &exact, text);
    exact_free(&exact);
    return status;
}

int reloader_reload(struct reloader *r, const char *trigger, struct buf *text)
{
    struct load_options o = {.args = *r->o.args, .instance_id = r->instance_id};
    struct diags *d;
    struct plan *plan;
    int status;

    if (r->closed) {
        say(text, "shutting down");
        return 503;
    }
    if (r->under_way)
        return follows(r, text);
    r->again = false;
    (void)look(r, r->loaded);
    d = diags_new();
    plan = config_load(&o, d);
    if (plan) {
        plan->gates = r->gates;
        keep_files(r, plan);
    }
    if (plan)
        status = compare_and_apply(r, &plan, trigger, text);
    else
        status = bad_configuration(r, trigger, d, text);
    plan_free(&plan);
    diags_free(&d);
    return status;
}

/* ---- life ---- */

struct reloader *reloader_new(const struct reloader_options *o)
{
    struct reloader *r = mem_alloc(sizeof(*r));

    r->o = *o;
    r->gates = o->plan->gates;
    r->instance_id = o->plan->instance_id ? mem_dup(o->plan->instance_id) : NULL;
    put_exact(&r->running, o->plan);
    keep_files(r, o->plan);
    if (o->watch) {
        r->timer = timer_new(o->loop, __func__, on_look, r);
        timer_start(r->timer, WATCH_MS, WATCH_MS);
    }
    return r;
}

void reloader_close(struct reloader *r)
{
    r->closed = true;
    timer_free(&r->timer);
}

void reloader_free(struct reloader **rp)
{
    struct reloader *r = *rp;

    *rp = NULL;
    if (!r)
        return;
    timer_free(&r->timer);
    exact_free(&r->running);
    free(r->instance_id);
    forget_files(r);
    free(r);
}
