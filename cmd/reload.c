/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reload: SIGHUP, POST /-/reload or a watched file that changed.
 *
 *   load and check as a start does -> same as what runs? -> graph_reload -> what left has gone
 *
 * Whatever is wrong changes nothing, is logged once with all errors, and shows in the metrics. A
 * trigger that comes while the last change is still under way is remembered: one more reload follows.
 *
 * Watching is a stat of each file named by --config once a second (through symbolic links, so that a
 * Kubernetes ConfigMap's swap is seen). A change counts when the file has looked the same for one
 * more second: whoever writes in place gets the time to finish.
 * Threads: main. Limits: files named by ${file:...} are read anew but not watched.
 */
#include "cmd/reload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/settings_value.h"
#include "config/load.h"
#include "config/source.h"
#include "config/telemetry.h"

enum { WATCH_MS = 1000 };

struct file_state {
    dev_t dev;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct reloader {
    struct reloader_options o;
    uint32_t gates; /* of the command line: the same for every plan */
    struct buf running, telemetry; /* exact texts of what runs */
    struct timer *timer;           /* watching; NULL: not */
    struct file_state *loaded, *seen; /* by --config argument */
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

/* logs.level is the one key that can change. */
static void leave_out_level(struct value *telemetry)
{
    for (size_t i = 0; telemetry->type == VALUE_MAP && i < telemetry->n; i++) {
        struct value logs = telemetry->items[i];

        if (strcmp(telemetry->names[i], "logs") != 0 || logs.type != VALUE_MAP)
            continue;
        for (size_t k = 0; k < logs.n; k++)
            if (strcmp(logs.names[k], "level") == 0)
                ((struct value *)(uintptr_t)logs.items)[k] = (struct value){.type = VALUE_NULL}; /* the arena's, ours */
    }
}

static void put_telemetry(struct buf *out, const struct plan *plan)
{
    struct arena *a = arena_new();
    struct value v = {.type = VALUE_NONE};

    if (plan->telemetry)
        v = settings_value(a, telemetry_keys, plan->telemetry, false);
    leave_out_level(&v);
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

static const char *file_of(const char *uri)
{
    if (strncmp(uri, "file:", 5) == 0)
        return uri + 5;
    return source_has_scheme(uri) ? NULL : uri;
}

/* False when one of them is not there. */
static bool look(const struct reloader *r, struct file_state *states)
{
    bool all = true;

    for (size_t i = 0; i < r->o.args->n_uris; i++) {
        const char *path = file_of(r->o.args->uris[i]);
        struct stat st;

        states[i] = (struct file_state){0};
        if (!path)
            continue;
        if (stat(path, &st) == 0)
            states[i] = (struct file_state){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
        else
            all = false;
    }
    return all;
}

static bool alike(const struct reloader *r, const struct file_state *a, const struct file_state *b)
{
    for (size_t i = 0; i < r->o.args->n_uris; i++)
        if (a[i].dev != b[i].dev || a[i].inode != b[i].inode || a[i].size != b[i].size ||
            a[i].changed.tv_sec != b[i].changed.tv_sec || a[i].changed.tv_nsec != b[i].changed.tv_nsec)
            return false;
    return true;
}

static void on_look(void *ctx)
{
    struct reloader *r = ctx;
    size_t bytes = r->o.args->n_uris * sizeof(struct file_state);
    struct file_state *now = mem_alloc(bytes);
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
    r->o.told(r->o.ctx, false);
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
    r->o.told(r->o.ctx, true);
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

/* ---- reload ---- */

static int follows(struct reloader *r, struct buf *text)
{
    r->again = true;
    say(text, "the last reload is still under way, this one follows it");
    return 202;
}

/* Takes the plan when it is applied. */
static int apply(struct reloader *r, struct plan **plan, const char *trigger, struct buf *exact,
                 struct buf *text)
{
    struct err err = {""};
    struct buf before = r->running;

    switch (graph_reload(r->o.graph, plan, same_settings, r->o.timeout_ms, on_over, r, &err)) {
    case RELOAD_BUSY: return follows(r, text);
    case RELOAD_REFUSED: return failed(r, trigger, 409, err.text, text);
    case RELOAD_DONE: break;
    }
    r->under_way = true;
    r->running = *exact;
    *exact = before;
    return succeeded(r, trigger, "Configuration reloaded", text);
}

static int compare_and_apply(struct reloader *r, struct plan **plan, const char *trigger,
                             struct buf *text)
{
    struct buf exact = {0}, telemetry = {0};
    enum log_level level = (*plan)->log.level;
    int status;

    put_plan(&exact, *plan);
    put_telemetry(&telemetry, *plan);
    if (!buf_eq(&telemetry, &r->telemetry))
        status = failed(r, trigger, 409, "of service.telemetry only logs.level can be changed while running", text);
    else if (buf_eq(&exact, &r->running))
        status = succeeded(r, trigger, "Configuration is unchanged", text);
    else
        status = apply(r, plan, trigger, &exact, text);
    if (status == 200)
        log_sink_set_level(r->o.log.sink, level);
    buf_free(&exact);
    buf_free(&telemetry);
    return status;
}

int reloader_reload(struct reloader *r, const char *trigger, struct buf *text)
{
    struct load_options o = {.args = *r->o.args};
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
    if (plan)
        plan->gates = r->gates;
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
    put_plan(&r->running, o->plan);
    put_telemetry(&r->telemetry, o->plan);
    r->loaded = mem_alloc_array(o->args->n_uris + 1, sizeof(*r->loaded));
    r->seen = mem_alloc_array(o->args->n_uris + 1, sizeof(*r->seen));
    (void)look(r, r->loaded);
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
    buf_free(&r->running);
    buf_free(&r->telemetry);
    free(r->loaded);
    free(r->seen);
    free(r);
}
