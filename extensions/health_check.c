/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health_check: one HTTP page for probes. 200 while all pipelines run, 503 before they do, from the
 * first moment of a shutdown, and after a component has failed for good.
 *
 * Bodies are those of the Collector, so probes that look into them keep working; so are the methods (any), and which
 * paths are meant: "/" is every path.
 * Threads: main. Limits: those of net/pages.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "component/tls_keys.h"
#include "extensions/extensions.h"
#include "net/pages.h"
#include "net/tls.h"
#include "platform/clock.h"

struct health_settings {
    const char *endpoint;
    const char *transport;
    const char *path;
    bool tls_enabled;
    struct tls_settings tls;
    struct pair_list response_headers;
    bool use_v2;
    bool response_body_enabled;
    struct response_body {
        const char *healthy, *unhealthy;
    } response_body;
};

static const struct key response_body_keys[] = {
    KEY_STR(struct response_body, healthy, "\"\"", "Body of the answer while everything runs."),
    KEY_STR(struct response_body, unhealthy, "\"\"", "Body of the answer otherwise."),
    KEY_END,
};

static const struct key health_keys[] = {
    KEY_STR(struct health_settings, endpoint, "localhost:13133",
            "Address to listen on, host:port, or the path of a Unix socket."),
    KEY_STR(struct health_settings, transport, "tcp", "tcp, tcp4, tcp6 or unix."),
    KEY_STR(struct health_settings, path, "/",
            "Path of the page, and of all below it when it ends with a slash; others are 404."),
    KEY_OPTIONAL(struct health_settings, tls, SECTION_OFF, tls_server_keys,
                 "TLS; without this section the port is plaintext."),
    KEY_PAIRS(struct health_settings, response_headers, "Headers added to every answer."),
    KEY_OPTIONAL(struct health_settings, response_body, SECTION_DEFAULT_OFF, response_body_keys,
                 "Bodies to send instead of the JSON default."),
    KEY_IGNORED("check_collector_pipeline", true,
                "Broken in the Collector, too; the status follows the pipelines."),
    KEY_IGNORED("cors", true, "Probes are not browsers."),
    KEY_IGNORED("include_metadata", false, "Of no meaning for this page."),
    KEY_IGNORED("auth", true, "The page asks nobody for credentials; neither does the Collector's."),
    KEY_IGNORED("dialer", false, "A server does not dial."),
    KEY_IGNORED("max_request_body_size", false, "Bodies are thrown away."),
    KEY_IGNORED("compression_algorithms", false, "Bodies are thrown away."),
    KEY_IGNORED("keep_alives_enabled", false, "Connections are kept for 60 s."),
    KEY_IGNORED("idle_timeout", false, "Connections are kept for 60 s."),
    KEY_IGNORED("read_timeout", false, "Connections are kept for 60 s."),
    KEY_IGNORED("read_header_timeout", false, "Connections are kept for 60 s."),
    KEY_IGNORED("write_timeout", false, "Connections are kept for 60 s."),
    KEY_IGNORED("component_health", true, "Of the newer form only, and of no effect without it."),
    KEY_BOOL(struct health_settings, use_v2, "false",
             "The newer form, which the Collector has behind a feature gate that is off; there is none here."),
    KEY_NOT_YET("http", "The newer form's HTTP section; the Collector refuses it as well, unless a feature gate is on."),
    KEY_NOT_YET("grpc", "The newer form's gRPC section; the Collector refuses it as well, unless a feature gate is on."),
    KEY_NOT_YET("middlewares", "Middleware extensions."),
    KEY_END,
};

struct health {
    struct component base;
    const struct health_settings *set;
    struct tls_context *tls; /* NULL: plaintext */
    struct http1_field fields[PAGE_FIELDS];
    struct pages *pages;
};

static struct health *health_of(const struct component *c)
{
    CHECK(c->type == &health_check_extension_type);
    return CONTAINER_OF(c, struct health, base);
}

/* ---- the page ---- */

/* "2026-01-02T03:04:05.6Z": no zeros at the end of the fraction. */
static void put_instant(struct buf *out, uint64_t wall_ns)
{
    char text[40];
    size_t n;

    clock_format_utc_ns(wall_ns, text);
    n = strcspn(text, "Z");
    if (strchr(text, '.'))
        while (n && (text[n - 1] == '0' || text[n - 1] == '.'))
            if (text[--n] == '.')
                break;
    buf_put(out, text, n);
    buf_putc(out, 'Z');
}

static void put_seconds(struct buf *out, uint64_t ns, uint64_t unit_ns, const char *unit)
{
    char text[40];
    int n = snprintf(text, sizeof(text), "%.9f", (double)ns / (double)unit_ns);

    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n > 0 && text[n - 1] == '.')
        n--;
    buf_put(out, text, (size_t)n);
    buf_puts(out, unit);
}

/* "1h2m3.4s", "12.5ms" */
static void put_length(struct buf *out, uint64_t ns)
{
    uint64_t minutes = ns / (60 * NS_PER_SEC);

    if (ns < NS_PER_MS)
        put_seconds(out, ns, 1000, "\u00b5s");
    else if (ns < NS_PER_SEC)
        put_seconds(out, ns, NS_PER_MS, "ms");
    if (ns < NS_PER_SEC)
        return;
    if (minutes >= 60)
        buf_putf(out, "%lluh", (unsigned long long)(minutes / 60));
    if (minutes)
        buf_putf(out, "%llum", (unsigned long long)(minutes % 60));
    put_seconds(out, ns % (60 * NS_PER_SEC), NS_PER_SEC, "s");
}

static void put_default(struct buf *out, bool ready, uint64_t since_ns)
{
    uint64_t now = clock_wall_ns();

    if (!ready) {
        buf_puts(out, "{\"status\":\"Server not "
                      "available\",\"upSince\":\"0001-01-01T00:00:00Z\",\"uptime\":\"\"}");
        return;
    }
    buf_puts(out, "{\"status\":\"Server available\",\"upSince\":\"");
    put_instant(out, since_ns);
    buf_puts(out, "\",\"uptime\":\"");
    put_length(out, now > since_ns ? now - since_ns : 0);
    buf_puts(out, "\"}");
}

/* "/" is every path, "/health/" all below it, "/health" itself only. */
static bool is_path(const char *set, const char *path)
{
    size_t n = strlen(set);

    if (set[n - 1] != '/')
        return strcmp(set, path) == 0;
    return strncmp(set, path, n) == 0 || (strlen(path) == n - 1 && strncmp(set, path, n - 1) == 0);
}

static void on_request(void *ctx, struct page_request *r)
{
    struct health *h = ctx;
    const struct response_body *body = &h->set->response_body;
    struct buf out = {0};
    uint64_t since_ns;
    bool ready;

    if (!is_path(h->set->path, r->path)) {
        page_respond(&r, 404, "text/plain; charset=utf-8", slice_str("404 page not found\n"));
        return;
    }
    ready = host_ready(h->base.host, &since_ns);
    if (h->set->response_body_enabled)
        buf_puts(&out, ready ? body->healthy : body->unhealthy);
    else
        put_default(&out, ready, since_ns);
    page_respond(&r, ready ? 200 : 503,
                 h->set->response_body_enabled ? "text/plain; charset=utf-8" : "application/json",
                 slice_of(out.p, out.len));
    buf_free(&out);
}

/* ---- life ---- */

static bool is_unix(const struct health_settings *s)
{
    return strcmp(s->transport, "unix") == 0;
}

static void check_headers(const struct pair_list *headers, struct check *c)
{
    for (size_t i = 0; i < headers->n; i++)
        if (!headers->v[i].value || strpbrk(headers->v[i].value, "\r\n") || !headers->v[i].name[0] ||
            strpbrk(headers->v[i].name, "\r\n: \t"))
            check_error(c, "response_headers", "\"%s\" is not a valid header", headers->v[i].name);
    if (headers->n > PAGE_FIELDS)
        check_error(c, "response_headers", "at most %d headers", PAGE_FIELDS);
}

static void health_check_settings(const void *settings, struct check *c)
{
    const struct health_settings *s = settings;

    if (s->endpoint[0] == '\0')
        check_error(c, "endpoint", "\"endpoint\" is required");
    else if (!is_unix(s) && !strchr(s->endpoint, ':'))
        check_error(c, "endpoint", "address %s: missing port in address", s->endpoint);
    if (!is_unix(s) && strcmp(s->transport, "tcp") != 0 && strcmp(s->transport, "tcp4") != 0 && strcmp(s->transport, "tcp6") != 0)
        check_error(c, "transport", "unsupported transport type \"%s\"", s->transport);
    if (s->use_v2)
        check_error(c, "use_v2", "the newer form is not available");
    if (s->tls_enabled)
        tls_server_check(&s->tls, "tls", c);
    check_headers(&s->response_headers, c);
    if (s->path[0] != '/')
        check_error(c, "path", "path must start with /");
}

static struct component *health_create(struct host *host, const void *settings, struct err *err)
{
    struct health *h = mem_alloc(sizeof(*h));

    (void)err;
    *h = (struct health){.base = {&health_check_extension_type, host}, .set = settings};
    return &h->base;
}

static int load_tls(struct health *h, struct err *err)
{
    struct tls_names names;

    tls_names_of(&h->set->tls, &names);
    const struct tls_config cfg = {TLS_CONFIG_OF(&h->set->tls, &names), .server = true, .alpn = TLS_ALPN_HTTP1,
                                   .budget = h->base.host->budget, .log = &h->base.host->log};
    h->tls = tls_context_new(&cfg, err);
    return h->tls ? 0 : -1;
}

static int health_start(struct component *c, struct err *err)
{
    struct health *h = health_of(c);
    char bound[64];

    if (h->set->tls_enabled && load_tls(h, err) < 0)
        return -1;
    for (size_t i = 0; i < h->set->response_headers.n; i++)
        h->fields[i] = (struct http1_field){h->set->response_headers.v[i].name, h->set->response_headers.v[i].value};
    const struct pages_options o = {.endpoint = h->set->endpoint,
                                    .name = c->host->id,
                                    .is_unix = is_unix(h->set),
                                    .any_method = true,
                                    .tls = h->tls,
                                    .fields = h->fields,
                                    .n_fields = h->set->response_headers.n};
    h->pages = pages_new(c->host->loop, &o, bound, on_request, h, err);
    if (!h->pages)
        return -1;
    log_info(&c->host->log, "Starting health_check extension", LOG_STR("endpoint", bound),
             LOG_STR("path", h->set->path));
    return 0;
}

/* The page stays until the end: the last answers say "not available". */
static void health_drain(struct component *c)
{
    host_drained(health_of(c)->base.host);
}

static void health_destroy(struct component **c)
{
    struct health *h = health_of(*c);

    *c = NULL;
    pages_free(&h->pages);
    tls_context_free(&h->tls);
    free(h);
}

const struct component_type health_check_extension_type = {
    .kind = EXTENSION,
    .name = "health_check",
    .stability = "beta",
    .summary = "An HTTP page that says whether the pipelines run, for probes.",
    .keys = health_keys,
    .settings_size = sizeof(struct health_settings),
    .check = health_check_settings,
    .create = health_create,
    .start = health_start,
    .drain = health_drain,
    .destroy = health_destroy,
};
