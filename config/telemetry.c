/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.telemetry: the daemon's own logs, metrics endpoint and resource. What only a Collector
 * can do with it (sending its own telemetry away) is accepted with a warning, so that a file in use
 * needs no edit.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/loader.h"
#include "config/telemetry.h"
#include "platform/hash.h"

/* ---- the tables ---- */

struct logs {
    const char *level, *encoding;
    bool disable_caller, sampling_enabled, disable_zap_resource;
    int64_t tick_ns;
    uint64_t initial, thereafter;
    struct str_list output_paths;
    struct value initial_fields;
};

struct prometheus {
    const char *host;
    int64_t port;
    bool without_scope_info, without_units, without_type_suffix, labels_given, host_given;
    struct str_list included, excluded;
};

struct reader {
    bool pull_given, periodic_given, prometheus_given;
    struct prometheus prometheus;
};

struct metrics {
    const char *level, *address;
    bool readers_given, views_given;
    struct item_list readers;
};

struct telemetry {
    struct logs logs;
    struct metrics metrics;
    struct value resource;
};

static const char *const log_levels[] = {"debug",  "info",  "warn",  "error",
                                         "dpanic", "panic", "fatal", NULL};
static const char *const encodings[] = {"console", "json", NULL};
static const char *const metric_levels[] = {"none", "basic", "normal", "detailed", NULL};

static const struct key sampling_keys[] = {
    {.name = "enabled",
     .type = KEY_T_BOOL,
     .offset = KEY_AT(bool, struct logs, sampling_enabled),
     .dflt = "true",
     KEY_ANY,
     .doc = "Whether repeated lines are thinned out."},
    {.name = "tick",
     .type = KEY_T_DURATION,
     .offset = KEY_AT(int64_t, struct logs, tick_ns),
     .dflt = "10s",
     .min = 0,
     .max = 1e18,
     .doc = "Repeats are counted per level and message over this time."},
    {.name = "initial",
     .type = KEY_T_UINT,
     .offset = KEY_AT(uint64_t, struct logs, initial),
     .dflt = "10",
     .min = 0,
     .max = UINT32_MAX,
     .unit = "lines",
     .doc = "How many of each are written in one tick before thinning begins."},
    {.name = "thereafter",
     .type = KEY_T_UINT,
     .offset = KEY_AT(uint64_t, struct logs, thereafter),
     .dflt = "100",
     .min = 0,
     .max = UINT32_MAX,
     .unit = "lines",
     .doc = "After that every so many-th is written; 0 writes none."},
    KEY_END,
};

static const struct key logs_keys[] = {
    {.name = "level",
     .type = KEY_T_ENUM,
     .offset = KEY_AT(const char *, struct logs, level),
     .dflt = "info",
     KEY_ANY,
     .choices = log_levels,
     .any_case = true,
     .doc = "The least severe lines that are written."},
    KEY_ENUM(struct logs, encoding, "console", encodings,
             "How a line looks: tab-separated text, or one JSON object."),
    KEY_IGNORED("development", false, "Stack traces from warnings on; there are none here."),
    KEY_BOOL(struct logs, disable_caller, "false", "Leaves out the source file and line."),
    KEY_IGNORED("disable_stacktrace", false, "There are no stack traces here."),
    {.name = "sampling",
     .type = KEY_T_SECTION,
     .offset = 0,
     .sub = sampling_keys,
     KEY_ANY,
     .doc = "Keeps one message from filling the log."},
    KEY_STRS(struct logs, output_paths, "[stderr]",
             "Where lines go: stderr, stdout, or files, which are appended to."),
    KEY_IGNORED("error_output_paths", false,
                "Where the logger's own failures go; here they are counted."),
    KEY_VALUE(struct logs, initial_fields, "Fields added to every line."),
    KEY_BOOL(struct logs, disable_zap_resource, "false",
             "Leaves the resource field out of each line."),
    KEY_IGNORED("processors", true, "Sending the daemon's own logs away over OTLP."),
    KEY_END,
};

static const struct key labels_keys[] = {
    KEY_STRS(struct prometheus, included, "[]",
             "Resource attributes to add as labels; * stands for any text."),
    KEY_STRS(struct prometheus, excluded, "[]", "Resource attributes to leave out again."),
    KEY_END,
};

static const struct key prometheus_keys[] = {
    {.name = "host",
     .type = KEY_T_STR,
     .offset = KEY_AT(const char *, struct prometheus, host),
     .required = true,
     .dflt = "",
     KEY_ANY,
     .set_offset_valid = true,
     .set_offset = offsetof(struct prometheus, host_given),
     .doc = "Address to listen on."},
    {.name = "port",
     .type = KEY_T_INT,
     .offset = KEY_AT(int64_t, struct prometheus, port),
     .required = true,
     .min = 0,
     .max = 65535,
     .doc = "TCP port to listen on."},
    KEY_BOOL(struct prometheus, without_scope_info, "true", "Leaves out the otel_scope labels."),
    KEY_BOOL(struct prometheus, without_units, "true", "Leaves out units at the end of names."),
    KEY_BOOL(struct prometheus, without_type_suffix, "true",
             "Leaves out _total at the end of counters."),
    {.name = "with_resource_constant_labels",
     .type = KEY_T_SECTION,
     .offset = 0,
     .sub = labels_keys,
     KEY_ANY,
     .set_offset_valid = true,
     .set_offset = offsetof(struct prometheus, labels_given),
     .doc = "Resource attributes as labels of every series."},
    KEY_END,
};

static const struct key exporter_keys[] = {
    {.name = "prometheus",
     .type = KEY_T_SECTION,
     .offset = offsetof(struct reader, prometheus),
     .sub = prometheus_keys,
     KEY_ANY,
     .set_offset_valid = true,
     .set_offset = offsetof(struct reader, prometheus_given),
     .doc = "The page that Prometheus scrapes."},
    KEY_END,
};

static const struct key pull_keys[] = {
    {.name = "exporter",
     .type = KEY_T_SECTION,
     .offset = 0,
     .sub = exporter_keys,
     KEY_ANY,
     .doc = "What is served."},
    KEY_END,
};

static const struct key reader_keys[] = {
    {.name = "pull",
     .type = KEY_T_SECTION,
     .offset = 0,
     .sub = pull_keys,
     KEY_ANY,
     .set_offset_valid = true,
     .set_offset = offsetof(struct reader, pull_given),
     .doc = "An endpoint that is scraped."},
    {.name = "periodic",
     .type = KEY_T_IGNORED,
     KEY_ANY,
     .warn = true,
     .set_offset_valid = true,
     .set_offset = offsetof(struct reader, periodic_given),
     .doc = "Sending the daemon's own metrics away over OTLP."},
    KEY_END,
};

static const struct key metrics_keys[] = {
    {.name = "level",
     .type = KEY_T_ENUM,
     .offset = KEY_AT(const char *, struct metrics, level),
     .dflt = "normal",
     KEY_ANY,
     .choices = metric_levels,
     .any_case = true,
     .doc = "How much is measured; none closes the endpoint."},
    {.name = "readers",
     .type = KEY_T_LIST,
     .offset = KEY_AT(struct item_list, struct metrics, readers),
     .sub = reader_keys,
     .sub_size = sizeof(struct reader),
     KEY_ANY,
     .set_offset_valid = true,
     .set_offset = offsetof(struct metrics, readers_given),
     .doc = "Endpoints; when absent, a Prometheus one on localhost:8888."},
    {.name = "address",
     .type = KEY_T_STR,
     .offset = KEY_AT(const char *, struct metrics, address),
     KEY_ANY,
     .doc = "The old way to say where the page is; readers is the new one."},
    {.name = "views",
     .type = KEY_T_IGNORED,
     KEY_ANY,
     .warn = true,
     .set_offset_valid = true,
     .set_offset = offsetof(struct metrics, views_given),
     .doc = "Changing the names and buckets of the daemon's own metrics."},
    KEY_END,
};

static const struct key traces_keys[] = {
    KEY_IGNORED("level", false, "How much is traced."),
    KEY_IGNORED("processors", true, "Sending the daemon's own traces away over OTLP."),
    KEY_IGNORED("propagators", false, "Headers that carry the daemon's own trace context."),
    KEY_IGNORED("sampler", false, "Sampling of the daemon's own traces."),
    KEY_IGNORED("limits", false, "Limits of the daemon's own spans."),
    KEY_END,
};

const struct key telemetry_keys[] = {
    KEY_SECTION(struct telemetry, logs, logs_keys, "The daemon's own log."),
    KEY_SECTION(struct telemetry, metrics, metrics_keys, "The daemon's own metrics."),
    {.name = "traces",
     .type = KEY_T_SECTION,
     .offset = 0,
     .sub = traces_keys,
     KEY_ANY,
     .doc = "The daemon's own traces; there are none here."},
    KEY_VALUE(struct telemetry, resource, "Attributes that name this process in logs and metrics."),
    KEY_END,
};
const size_t telemetry_settings_size = sizeof(struct telemetry);

/* ---- logs ---- */

static enum log_level log_level_of(const char *name)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO,  LOG_WARN, LOG_ERROR,
                                            LOG_FATAL, LOG_FATAL, LOG_FATAL};
    size_t i = 0;
    while (strcmp(log_levels[i], name) != 0)
        i++;
    return levels[i];
}

static void set_initial_fields(struct loader *l, const struct value *v)
{
    const char **keys = arena_alloc(l->plan->arena, (v->n + 1) * sizeof(*keys));
    const char **values = arena_alloc(l->plan->arena, (v->n + 1) * sizeof(*values));
    size_t n = 0;
    for (size_t i = 0; v->type == VALUE_MAP && i < v->n; i++) {
        if (!v->items[i].s)
            continue;
        keys[n] = v->names[i];
        values[n++] = v->items[i].s;
    }
    l->plan->log.initial_keys = keys;
    l->plan->log.initial_values = values;
    l->plan->log.n_initial = n;
}

static void set_logs(struct loader *l, const struct logs *s)
{
    struct log_settings *out = &l->plan->log;
    *out = (struct log_settings){
        .level = log_level_of(s->level),
        .json = strcmp(s->encoding, "json") == 0,
        .disable_caller = s->disable_caller,
        .sampling = s->sampling_enabled && s->tick_ns > 0,
        .sampling_tick_ms = (uint64_t)s->tick_ns / 1000000,
        .sampling_initial = (uint32_t)s->initial,
        .sampling_thereafter = (uint32_t)s->thereafter,
        .output_paths = s->output_paths.v,
        .n_output_paths = s->output_paths.n,
        .disable_resource = s->disable_zap_resource,
    };
    if (out->sampling && !out->sampling_tick_ms)
        out->sampling_tick_ms = 1;
    set_initial_fields(l, &s->initial_fields);
}

/* ---- resource ---- */

struct attributes {
    struct pair *v;
    size_t n, cap;
};

static void put_attribute(struct loader *l, struct attributes *a, const char *name,
                          const char *value)
{
    for (size_t i = 0; i < a->n; i++) {
        if (strcmp(a->v[i].name, name) != 0)
            continue;
        if (value)
            a->v[i].value = value;
        else
            a->v[i] = a->v[--a->n];
        return;
    }
    if (value && a->n < a->cap)
        a->v[a->n++] = (struct pair){arena_printf(l->plan->arena, "%s", name), value};
}

static const char *new_uuid(struct arena *a)
{
    uint8_t b[16];
    random_secure(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    return arena_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
                        b[12], b[13], b[14], b[15]);
}

/* attributes: [{name, value}] */
static void put_listed(struct loader *l, struct check *c, struct attributes *a,
                       const struct value *list)
{
    for (size_t i = 0; list->type == VALUE_LIST && i < list->n; i++) {
        const struct value *item = &list->items[i];
        const char *name = NULL, *value = NULL;
        for (size_t k = 0; item->type == VALUE_MAP && k < item->n; k++) {
            if (strcmp(item->names[k], "name") == 0)
                name = item->items[k].s;
            else if (strcmp(item->names[k], "value") == 0)
                value = item->items[k].s;
        }
        if (name && value)
            put_attribute(l, a, name, value);
        else
            check_error(c, "resource",
                        "an entry of attributes needs a name and a value that is no list or map");
    }
}

static bool is_declarative(const char *key)
{
    return strcmp(key, "attributes") == 0 || strcmp(key, "schema_url") == 0 ||
           strcmp(key, "attributes_list") == 0 || strncmp(key, "detection", 9) == 0 ||
           strcmp(key, "detectors") == 0;
}

static void set_resource(struct loader *l, struct check *c, const struct value *v)
{
    struct attributes a = {.cap = 3 + 2 * v->n};
    for (size_t i = 0; i < v->n; i++)
        a.cap += v->items[i].n;
    a.v = arena_alloc(l->plan->arena, a.cap * sizeof(*a.v));
    l->plan->instance_id = l->instance_id ? arena_printf(l->plan->arena, "%s", l->instance_id) : new_uuid(l->plan->arena);
    put_attribute(l, &a, "service.instance.id", l->plan->instance_id);
    put_attribute(l, &a, "service.name", "tailrace");
    put_attribute(l, &a, "service.version", TAILRACE_VERSION);
    if (v->type != VALUE_NONE && v->type != VALUE_NULL && v->type != VALUE_MAP)
        check_error(c, "resource", "expected a map of attributes");
    bool listed = false, inline_ones = false;
    for (size_t i = 0; v->type == VALUE_MAP && i < v->n; i++) {
        const struct value *item = &v->items[i];
        const char *path = arena_printf(l->scratch, "resource.%s", v->names[i]);
        listed |= strcmp(v->names[i], "attributes") == 0;
        inline_ones |= !is_declarative(v->names[i]);
        if (strcmp(v->names[i], "attributes") == 0)
            put_listed(l, c, &a, item);
        else if (is_declarative(v->names[i]))
            continue;
        else if (item->type == VALUE_STR || item->type == VALUE_NULL)
            put_attribute(l, &a, v->names[i], item->type == VALUE_NULL ? NULL : item->s);
        else
            check_error(c, path, "a resource attribute is a string or null");
    }
    if (listed && inline_ones)
        check_error(c, "resource.attributes",
                    "attributes cannot be used together with attributes written beside it");
    l->plan->resource = a.v;
    l->plan->n_resource = a.n;
}

static const char *resource_value(const struct plan *p, const char *name)
{
    for (size_t i = 0; i < p->n_resource; i++)
        if (strcmp(p->resource[i].name, name) == 0)
            return p->resource[i].value;
    return NULL;
}

/* ---- metrics ---- */

static bool matches(const char *pattern, const char *text)
{
    for (; *pattern && *pattern != '*'; pattern++, text++)
        if (*pattern != '?' ? *pattern != *text : !*text)
            return false;
    if (!*pattern)
        return !*text;
    for (;; text++) {
        if (matches(pattern + 1, text))
            return true;
        if (!*text)
            return false;
    }
}

static bool matches_any(const struct str_list *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (matches(patterns->v[i], text))
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

/* service_name="x",... of the attributes that are asked for. */
static const char *constant_labels(struct loader *l, const struct prometheus *s)
{
    struct buf out = {0};
    for (size_t i = 0; i < l->plan->n_resource; i++) {
        const struct pair *p = &l->plan->resource[i];
        if (!matches_any(&s->included, p->name) || matches_any(&s->excluded, p->name))
            continue;
        if (out.len)
            buf_putc(&out, ',');
        for (const char *c = p->name; *c; c++)
            buf_putc(&out,
                     isalpha((unsigned char)*c) || (isdigit((unsigned char)*c) && c != p->name)
                         ? *c
                         : '_');
        buf_puts(&out, "=\"");
        for (const char *c = p->value; *c; c++) {
            if (*c == '\\' || *c == '"')
                buf_putc(&out, '\\');
            *c == '\n' ? buf_puts(&out, "\\n") : buf_putc(&out, *c);
        }
        buf_putc(&out, '"');
    }
    const char *labels = out.len ? arena_dup_n(l->plan->arena, (const char *)out.p, out.len) : NULL;
    buf_free(&out);
    return labels;
}

static void add_reader(struct loader *l, const struct prometheus *s)
{
    struct plan_metrics_reader *r = &l->plan->readers[l->plan->n_readers++];
    const char *host = s->host;
    size_t n = strlen(host);
    if (n > 2 && host[0] == '[' && host[n - 1] == ']')
        host = arena_dup_n(l->plan->arena, host + 1, n - 2);
    *r = (struct plan_metrics_reader){
        .host = host,
        .port = (uint16_t)s->port,
        .style = {s->without_type_suffix, s->without_units, s->without_scope_info,
                  l->plan->metrics_level, constant_labels(l, s)},
    };
    if (r->style.constant_labels)
        l->plan->resource_labels = true;
}

static void set_level(struct plan *p, const char *level)
{
    p->metrics_off = strcmp(level, "none") == 0;
    p->metrics_level = strcmp(level, "basic") == 0      ? METRIC_BASIC
                       : strcmp(level, "detailed") == 0 ? METRIC_DETAILED
                                                        : METRIC_NORMAL;
}

static void warn_open(struct check *c, const char *path, const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "[::]") == 0)
        check_warn(c, path, "the metrics page is open on every interface of the machine");
}

/* metrics.address: "host:port" */
static void add_address(struct loader *l, struct check *c, const char *address)
{
    const char *colon = strrchr(address, ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || end == colon + 1 || *end || port > 65535) {
        check_error(c, "metrics.address", "\"%s\" is not HOST:PORT", address);
        return;
    }
    struct prometheus s = {
        .host = colon == address ? "0.0.0.0"
                                 : arena_dup_n(l->plan->arena, address, (size_t)(colon - address)),
        .port = (int64_t)port,
        .without_scope_info = true,
        .without_units = true,
        .without_type_suffix = true,
    };
    check_warn(c, "metrics.address",
               "this key is gone from the Collector; readers with a pull exporter is the new way");
    warn_open(c, "metrics.address", s.host);
    add_reader(l, &s);
}

static void add_listed(struct loader *l, struct check *c, const struct reader *r, size_t i)
{
    const char *path = arena_printf(l->scratch, "metrics.readers[%zu]", i);
    if (r->prometheus_given) {
        const char *host = arena_printf(l->scratch, "%s.pull.exporter.prometheus.host", path);
        warn_open(c, host, r->prometheus.host);
        if (r->prometheus.host[0])
            add_reader(l, &r->prometheus);
        else if (r->prometheus.host_given)
            check_error(c, host, "the host must not be empty");
    } else if (!r->periodic_given) {
        check_error(
            c, path,
            "a reader has pull.exporter.prometheus (or periodic, which has no effect here)");
    }
}

/* What is there when the file says nothing, written as if it had. */
static void add_default_reader(struct loader *l, struct metrics *s)
{
    struct reader *r = arena_alloc(l->plan->arena, sizeof(*r));
    *r = (struct reader){.pull_given = true,
                         .prometheus_given = true,
                         .prometheus = {.host = "localhost",
                                        .port = 8888,
                                        .without_scope_info = true,
                                        .without_units = true,
                                        .without_type_suffix = true}};
    s->readers = (struct item_list){r, 1};
}

static void set_metrics(struct loader *l, struct check *c, struct metrics *s)
{
    if (!s->readers_given && !s->address)
        add_default_reader(l, s);
    const struct reader *listed = s->readers.v;
    l->plan->readers = arena_alloc(l->plan->arena, (s->readers.n + 2) * sizeof(*l->plan->readers));
    set_level(l->plan, s->level);
    if (s->readers_given && s->readers.n == 0 && !s->address && !l->plan->metrics_off)
        check_error(c, "metrics.readers",
                    "there is no reader: say level: none when no metrics are wanted");
    if (s->views_given && l->plan->metrics_level != METRIC_DETAILED)
        check_error(c, "metrics.views", "views can only be set when level is detailed");
    for (size_t i = 0; i < s->readers.n; i++)
        add_listed(l, c, &listed[i], i);
    if (s->address && s->address[0])
        add_address(l, c, s->address);
    if (l->plan->metrics_off)
        l->plan->n_readers = 0;
}

/* ---- all of it ---- */

void load_telemetry(struct loader *l, const struct node *n, struct pos at)
{
    static const struct path service = {NULL, "service", 0};
    const struct path path = {&service, "telemetry", 0};
    struct decoder d = {l->plan->arena, l->diags, l->scratch, telemetry_keys};
    struct telemetry *t = arena_alloc(l->plan->arena, sizeof(*t));
    struct check c = {l->diags, n, at, "service.telemetry", telemetry_keys, false};
    if (n && n->type != NODE_MAP && n->type != NODE_NULL && n->type != NODE_BAD) {
        diag_error(l->diags, n->at, "service.telemetry", NULL, "expected a map, this is %s",
                   node_type_name(n));
        n = NULL;
    }
    decode_struct(&d, &path, at, telemetry_keys, n, t);
    l->plan->telemetry = t;
    set_logs(l, &t->logs);
    set_resource(l, &c, &t->resource);
    if (l->plan->n_resource)
        qsort((void *)(uintptr_t)l->plan->resource, l->plan->n_resource, sizeof(struct pair),
              by_name);
    l->plan->log.service_name = resource_value(l->plan, "service.name");
    l->plan->log.service_version = resource_value(l->plan, "service.version");
    l->plan->log.service_instance_id = resource_value(l->plan, "service.instance.id");
    set_metrics(l, &c, &t->metrics);
}
