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
    const struct plan_metrics_reader *set;
    struct pages *pages;
};

struct admin {
    struct graph *graph;
    const struct plan *plan;
    struct metric_set *set;
    struct budget *budget;
    struct log log;
    struct admin_rows *rows;
    struct reader *readers;
    size_t n_readers;
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
    struct metric_snapshot **snaps = mem_alloc_array(s->n_snaps + 1, sizeof(*snaps));

    admin_rows_update(a->rows, s, a->budget, a->log.sink ? log_lines_lost(a->log.sink) : 0);
    memcpy(snaps, s->snaps, s->n_snaps * sizeof(*snaps));
    snaps[s->n_snaps] = metric_snapshot_take(a->set);
    metric_render(out, &j->reader->set->style, snaps, s->n_snaps + 1);
    metric_snapshot_free(&snaps[s->n_snaps]);
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
    free(a->readers);
    free(a);
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
    free(j);
    a->jobs--;
    admin_free_if_over(a);
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
    struct admin *a = j->reader->admin;

    if (answer.len)
        page_respond(&j->request, 200, j->content_type, answer);
    else
        page_respond(&j->request, 404, j->content_type, slice_str("No tail_sampling processor remembers this trace.\n"));
    free(j);
    a->jobs--;
    admin_free_if_over(a);
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
    j = mem_alloc(sizeof(*j));
    *j = (struct job){.reader = reader, .request = r, .content_type = "text/plain; charset=utf-8"};
    reader->admin->jobs++;
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
        j = mem_alloc(sizeof(*j));
        *j = (struct job){reader, r, pages[i].render, pages[i].content_type};
        reader->admin->jobs++;
        graph_scrape(reader->admin->graph, on_scraped, j);
        return;
    }
    if (r->loopback && strncmp(r->path, TRACES, strlen(TRACES)) == 0) {
        ask(reader, r);
        return;
    }
    page_respond(&r, 404, "text/plain; charset=utf-8", slice_str("404 page not found\n"));
}

/* ---- life ---- */

static int start_reader(struct admin *a, const struct plan_metrics_reader *set, struct loop *loop,
                        struct err *err)
{
    struct reader *r = &a->readers[a->n_readers];
    char endpoint[300], bound[64];
    bool v6 = strchr(set->host, ':') && set->host[0] != '[';

    snprintf(endpoint, sizeof(endpoint), v6 ? "[%s]:%u" : "%s:%u", set->host, set->port);
    *r = (struct reader){.admin = a, .set = set};
    r->pages = pages_new(loop, endpoint, bound, on_request, r, err);
    if (!r->pages)
        return err_wrap(err, "binding address %s for Prometheus exporter", endpoint);
    pages_take_post(r->pages, RELOAD_PATH);
    a->n_readers++;
    log_info(&a->log, "Serving metrics", LOG_STR("address", bound), LOG_STR("path", "/metrics"));
    return 0;
}

struct admin *admin_new(struct graph *g, const struct plan *plan, struct loop *main_loop,
                        struct metric_set *set, struct budget *budget, struct log log,
                        struct err *err)
{
    struct admin *a = mem_alloc(sizeof(*a));

    *a = (struct admin){.graph = g, .plan = plan, .set = set, .budget = budget, .log = log};
    a->rows = admin_rows_new(plan, set);
    a->readers = mem_alloc_array(plan->n_readers + 1, sizeof(*a->readers));
    for (size_t i = 0; !plan->metrics_off && i < plan->n_readers; i++) {
        if (start_reader(a, &plan->readers[i], main_loop, err) < 0) {
            admin_free(&a);
            return NULL;
        }
    }
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
    for (size_t i = 0; i < a->n_readers; i++)
        pages_free(&a->readers[i].pages);
    a->freed = true;
    admin_free_if_over(a);
}
