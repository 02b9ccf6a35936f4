/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin side.
 *
 *   GET /metrics -> job -> graph_scrape: every worker copies its numbers -> rendered on main ->
 * answer GET /debug/memory, /debug/pipelines: the same scrape as plain text, for loopback clients
 * only
 *
 *   GET /debug/traces/ID -> graph_debug: the tail samplers say what they know of that trace
 *   POST /-/reload, for loopback clients only: reads the configuration again
 *
 * Nothing here can hold up a worker for longer than the copy of its own counters, and a page is
 * never older than its request. A job keeps the admin alive until its scrape has come back, also
 * when the client or the daemon has gone meanwhile.
 * Threads: main.
 */
#include "cmd/admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "cmd/admin_rows.h"
#include "net/pages.h"

#define RELOAD_PATH "/-/reload"

struct reader {
    struct admin *admin;
    char *address; /* as configured: HOST:PORT */
    struct metric_style style; /* with labels of its own */
    struct pages *pages; /* NULL: closed */
    unsigned jobs;       /* of this reader */
};

struct readers {
    struct reader **v;
    size_t n;
};

/* What admin_prepare() found and made. */
struct admin_change {
    struct readers next;
    struct change_of_reader {
        bool is_new;
        struct metric_style style; /* with labels of its own */
    } *of; /* by next */
    struct metric_set *info;
};

struct admin {
    struct graph *graph;
    struct loop *loop;
    struct metric_set *set;
    struct budget *budget;
    struct log log;
    struct admin_rows *rows;
    struct readers readers;
    struct readers retired;     /* to be closed at the end of this turn: one of them may be answering */
    struct deferred retirement;
    int (*reload)(void *ctx, struct buf *text); /* NULL: none */
    void *reload_ctx;
    unsigned jobs; /* scrapes under way */
    bool freed;
};

struct job {
    struct reader *reader;
    struct page_request *request;
    void (*render)(struct job *j, const struct graph_scrape *s, struct buf *out);
    const char *content_type;
};

/* ---- pages ---- */

static void render_metrics(struct job *j, const struct graph_scrape *s, struct buf *out)
{
    struct admin *a = j->reader->admin;
    struct metric_snapshot **snaps = mem_alloc_array(s->n_snaps + 2, sizeof(*snaps));
    size_t n = s->n_snaps;

    admin_rows_update(a->rows, s, a->budget, a->log.sink ? log_lines_lost(a->log.sink) : 0);
    memcpy(snaps, s->snaps, s->n_snaps * sizeof(*snaps));
    snaps[n++] = metric_snapshot_take(a->set);
    snaps[n++] = admin_rows_info(a->rows);
    metric_render(out, &j->reader->style, snaps, n);
    metric_snapshot_free(&snaps[--n]);
    metric_snapshot_free(&snaps[--n]);
    free(snaps);
}

static void render_pipelines(struct job *j, const struct graph_scrape *s, struct buf *out)
{
    (void)j;
    for (size_t i = 0; i < s->n_ledgers; i++) {
        const struct ledger *l = &s->ledgers[i];

        buf_putf(out,
                 "%s\n  accepted     %12llu\n  exported     %12llu\n  sampled out  %12llu\n  "
                 "filtered     %12llu\n",
                 s->pipelines[i], (unsigned long long)l->accepted,
                 (unsigned long long)l->fate[FATE_EXPORTED],
                 (unsigned long long)l->fate[FATE_SAMPLED_OUT],
                 (unsigned long long)l->fate[FATE_FILTERED]);
        for (int r = 0; r < DROP_REASONS; r++)
            if (l->dropped[r])
                buf_putf(out, "  dropped      %12llu  %s: %s\n", (unsigned long long)l->dropped[r],
                         drop_reason_name((enum drop_reason)r),
                         drop_reason_text((enum drop_reason)r));
        if (l->fate[FATE_STORED])
            buf_putf(out, "  stored       %12llu  left on disk for the next start\n",
                     (unsigned long long)l->fate[FATE_STORED]);
        buf_putf(out, "  held         %12lld\n", (long long)ledger_held(l));
    }
}

static void render_memory(struct job *j, const struct graph_scrape *s, struct buf *out)
{
    const struct budget *b = j->reader->admin->budget;

    (void)s;
    for (int o = 0; o < MEM_OWNERS; o++)
        buf_putf(out, "%-12s %14llu\n", mem_owner_name((enum mem_owner)o),
                 (unsigned long long)budget_used_by(b, (enum mem_owner)o));
    buf_putf(out, "%-12s %14llu\n%-12s %14llu\n%-12s %14llu\n", "used",
             (unsigned long long)budget_used(b), "soft limit", (unsigned long long)budget_soft(b),
             "limit", (unsigned long long)budget_limit(b));
}

/* ---- jobs ---- */

static void admin_free_if_over(struct admin *a)
{
    if (!a->freed || a->jobs)
        return;
    admin_rows_free(&a->rows);
    free(a);
}

static struct metric_style style_dup(const struct metric_style *style)
{
    struct metric_style own = *style;

    own.constant_labels = style->constant_labels ? mem_dup(style->constant_labels) : NULL;
    return own;
}

static void style_free(struct metric_style *style)
{
    free((char *)style->constant_labels);
    style->constant_labels = NULL;
}

static void reader_free(struct reader *r)
{
    free(r->address);
    style_free(&r->style);
    free(r);
}

/* Freed with its last job. */
static void reader_close(struct reader *r)
{
    pages_free(&r->pages);
    if (!r->jobs)
        reader_free(r);
}

static struct job *job_new(struct reader *r, struct page_request *request, const char *content_type)
{
    struct job *j = mem_alloc(sizeof(*j));

    *j = (struct job){.reader = r, .request = request, .content_type = content_type};
    r->jobs++;
    r->admin->jobs++;
    return j;
}

static void job_end(struct job *j)
{
    struct reader *r = j->reader;
    struct admin *a = r->admin;

    free(j);
    a->jobs--;
    if (!--r->jobs && !r->pages)
        reader_free(r);
    admin_free_if_over(a);
}

static void on_scraped(void *ctx, const struct graph_scrape *s)
{
    struct job *j = ctx;
    struct admin *a = j->reader->admin;
    struct buf out = {0};

    if (!a->freed) /* else what the pages show may be gone */
        j->render(j, s, &out);
    page_respond(&j->request, a->freed ? 503 : 200, j->content_type, slice_of(out.p, out.len));
    buf_free(&out);
    job_end(j);
}

static const struct page {
    const char *path, *content_type;
    bool loopback_only;
    void (*render)(struct job *j, const struct graph_scrape *s, struct buf *out);
} pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", false,
     render_metrics},
    {"/debug/pipelines", "text/plain; charset=utf-8", true, render_pipelines},
    {"/debug/memory", "text/plain; charset=utf-8", true, render_memory},
};

/* ---- questions ---- */

#define DEBUG "/debug/"
#define TRACES DEBUG "traces/"

static void on_answered(void *ctx, struct slice answer)
{
    struct job *j = ctx;

    if (answer.len)
        page_respond(&j->request, 200, j->content_type, answer);
    else
        page_respond(&j->request, 404, j->content_type, slice_str("No tail_sampling processor remembers this trace.\n"));
    job_end(j);
}

static bool is_trace_id(const char *s)
{
    return strlen(s) == 32 && strspn(s, "0123456789abcdefABCDEF") == 32;
}

static void ask(struct reader *reader, struct page_request *r)
{
    struct job *j;

    if (!is_trace_id(r->path + strlen(TRACES))) {
        page_respond(&r, 400, "text/plain; charset=utf-8", slice_str("A trace id has 32 hexadecimal digits.\n"));
        return;
    }
    j = job_new(reader, r, "text/plain; charset=utf-8");
    graph_debug(reader->admin->graph, r->path + strlen(DEBUG), on_answered, j);
}

static void reload(struct admin *a, struct page_request *r)
{
    struct buf text = {0};
    int status = 405;

    if (r->post)
        status = a->reload(a->reload_ctx, &text);
    else
        buf_puts(&text, "POST reloads the configuration\n");
    page_respond(&r, status, "text/plain; charset=utf-8", slice_of(text.p, text.len));
    buf_free(&text);
}

static void on_request(void *ctx, struct page_request *r)
{
    struct reader *reader = ctx;

    if (strcmp(r->path, RELOAD_PATH) == 0 && reader->admin->reload && r->loopback) {
        reload(reader->admin, r);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        struct job *j;

        if (strcmp(r->path, pages[i].path) != 0 || (pages[i].loopback_only && !r->loopback))
            continue;
        j = job_new(reader, r, pages[i].content_type);
        j->render = pages[i].render;
        graph_scrape(reader->admin->graph, on_scraped, j);
        return;
    }
    if (r->loopback && strncmp(r->path, TRACES, strlen(TRACES)) == 0) {
        ask(reader, r);
        return;
    }
    page_respond(&r, 404, "text/plain; charset=utf-8", slice_str("404 page not found\n"));
}

/* ---- readers ---- */

static char *address_of(const struct plan_metrics_reader *set)
{
    bool v6 = strchr(set->host, ':') && set->host[0] != '[';

    return mem_printf(v6 ? "[%s]:%u" : "%s:%u", set->host, set->port);
}

static struct reader *reader_new(struct admin *a, char *address, struct err *err)
{
    struct reader *r = mem_alloc(sizeof(*r));
    const struct pages_options o = {.endpoint = address, .name = "metrics"};
    char bound[64];

    *r = (struct reader){.admin = a, .address = address};
    r->pages = pages_new(a->loop, &o, bound, on_request, r, err);
    if (!r->pages) {
        (void)err_wrap(err, "binding address %s for Prometheus exporter", address);
        reader_free(r);
        return NULL;
    }
    pages_take_post(r->pages, RELOAD_PATH);
    log_info(&a->log, "Serving metrics", LOG_STR("address", bound), LOG_STR("path", "/metrics"));
    return r;
}

static bool has_reader(const struct readers *rs, const struct reader *r)
{
    for (size_t i = 0; i < rs->n; i++)
        if (rs->v[i] == r)
            return true;
    return false;
}

static struct reader *running_at(const struct admin *a, const struct admin_change *c, const char *address)
{
    for (size_t i = 0; i < a->readers.n; i++)
        if (strcmp(a->readers.v[i]->address, address) == 0 && !has_reader(&c->next, a->readers.v[i]))
            return a->readers.v[i];
    return NULL;
}

static int prepare_reader(struct admin *a, struct admin_change *c, const struct plan_metrics_reader *set, struct err *err)
{
    char *address = address_of(set);
    struct reader *old = running_at(a, c, address), *r = old;

    if (old)
        free(address);
    else
        r = reader_new(a, address, err);
    if (!r)
        return -1;
    c->of[c->next.n] = (struct change_of_reader){.is_new = !old, .style = style_dup(&set->style)};
    c->next.v[c->next.n++] = r;
    return 0;
}

struct admin_change *admin_prepare(struct admin *a, const struct plan *plan, struct err *err)
{
    struct admin_change *c = mem_alloc(sizeof(*c));

    c->next.v = mem_alloc_array(plan->n_readers + 1, sizeof(struct reader *));
    c->of = mem_alloc_array(plan->n_readers + 1, sizeof(*c->of));
    c->info = admin_info_new(plan);
    for (size_t i = 0; i < plan->n_readers; i++)
        if (prepare_reader(a, c, &plan->readers[i], err) < 0) {
            admin_cancel(&c);
            break;
        }
    return c;
}

static void change_free(struct admin_change **cp)
{
    for (size_t i = 0; i < (*cp)->next.n; i++)
        style_free(&(*cp)->of[i].style);
    metric_set_free(&(*cp)->info);
    free((*cp)->next.v);
    free((*cp)->of);
    free(*cp);
    *cp = NULL;
}

void admin_cancel(struct admin_change **cp)
{
    struct admin_change *c = *cp;

    if (!c)
        return;
    for (size_t i = 0; i < c->next.n; i++)
        if (c->of[i].is_new)
            reader_close(c->next.v[i]);
    change_free(cp);
}

static void close_all(struct readers *rs)
{
    for (size_t i = 0; i < rs->n; i++)
        reader_close(rs->v[i]);
    free(rs->v);
    *rs = (struct readers){NULL, 0};
}

static void on_retirement(void *ctx)
{
    close_all(&((struct admin *)ctx)->retired);
}

static void retire(struct admin *a, struct reader *r)
{
    a->retired.v = mem_grow(a->retired.v, (a->retired.n + 1) * sizeof(struct reader *));
    a->retired.v[a->retired.n++] = r;
    loop_defer(a->loop, &a->retirement);
}

void admin_apply(struct admin *a, struct admin_change **cp)
{
    struct admin_change *c = *cp;
    struct readers before = a->readers;

    for (size_t i = 0; i < before.n; i++)
        if (!has_reader(&c->next, before.v[i]))
            retire(a, before.v[i]);
    free(before.v);
    a->readers = c->next;
    for (size_t i = 0; i < a->readers.n; i++) {
        style_free(&a->readers.v[i]->style);
        a->readers.v[i]->style = c->of[i].style;
    }
    c->next = (struct readers){NULL, 0};
    admin_rows_set_info(a->rows, &c->info);
    change_free(cp);
}

/* ---- life ---- */

struct admin *admin_new(struct graph *g, const struct plan *plan, struct loop *main_loop,
                        struct metric_set *set, struct budget *budget, struct log log,
                        struct err *err)
{
    struct admin *a = mem_alloc(sizeof(*a));
    struct admin_change *c;

    *a = (struct admin){.graph = g, .loop = main_loop, .set = set, .budget = budget, .log = log};
    a->retirement = (struct deferred){.fn = on_retirement, .ctx = a};
    a->rows = admin_rows_new(set);
    c = admin_prepare(a, plan, err);
    if (c)
        admin_apply(a, &c);
    else
        admin_free(&a);
    return a;
}

void admin_on_reload(struct admin *a, int (*fn)(void *ctx, struct buf *text), void *ctx)
{
    a->reload = fn;
    a->reload_ctx = ctx;
}

void admin_reloaded(struct admin *a, bool success)
{
    admin_rows_reloaded(a->rows, success);
}

void admin_free(struct admin **ap)
{
    struct admin *a = *ap;

    if (!a)
        return;
    *ap = NULL;
    loop_undefer(a->loop, &a->retirement);
    close_all(&a->retired);
    close_all(&a->readers);
    a->freed = true;
    admin_free_if_over(a);
}
