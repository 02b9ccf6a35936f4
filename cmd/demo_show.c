/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the demo prints: the books from the metrics page, and a kept trace from the file exporter's
 * lines, read with jansson as any user's script would. Text for a terminal of 100 columns.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/demo.h"
#include "platform/mem.h"

/* ---- metrics ---- */

/* The next sample of the metric behind `at`: its labels and value. */
static const char *next_sample(const char *at, const char *name, const char **labels, size_t *labels_len, double *value)
{
    size_t n = strlen(name);

    while ((at = strstr(at, name))) {
        const char *end = at + n, *close = end;
        bool line_start = at[-1] == '\n';

        at = end;
        if (!line_start || (*end != '{' && *end != ' '))
            continue;
        if (*end == '{')
            close = strchr(end, '}');
        if (!close)
            return NULL;
        *labels = end;
        *labels_len = (size_t)(close - end);
        *value = strtod(*close == '}' ? close + 1 : close, NULL);
        return close;
    }
    return NULL;
}

double demo_metric(const char *page, const char *name, const char *labels)
{
    double sum = 0, value;
    const char *found;
    size_t len;

    for (const char *at = page; (at = next_sample(at, name, &found, &len, &value));)
        if (!*labels || memmem(found, len, labels, strlen(labels)))
            sum += value;
    return sum;
}

/* The value of a label in a sample's labels. */
static struct slice label_of(const char *labels, size_t len, const char *name)
{
    const char *at = (const char *)memmem(labels, len, name, strlen(name)), *end;

    if (!at)
        return slice_of(NULL, 0);
    at += strlen(name);
    end = (const char *)memchr(at, '"', len - (size_t)(at - labels));
    return slice_of(at, end ? (size_t)(end - at) : 0);
}

static void row(const char *text, double n, const char *unit)
{
    printf("    %-34s %8.0f %s\n", text, n, unit);
}

static void show_policies(const char *page)
{
    static const char votes[] = "otelcol_processor_tail_sampling_count_traces_sampled";
    const char *labels;
    double value;
    size_t len;

    for (const char *at = page; (at = next_sample(at, votes, &labels, &len, &value));) {
        struct slice policy = label_of(labels, len, "policy=\"");
        char text[80];

        if (!memmem(labels, len, "sampled=\"true\"", 14))
            continue;
        snprintf(text, sizeof(text), "  wanted by %.*s", (int)policy.len, (const char *)policy.p);
        row(text, value, "traces");
    }
}

static void show_drops(const char *page)
{
    const char *labels;
    double value;
    size_t len;

    for (const char *at = page; (at = next_sample(at, "tailrace_pipeline_dropped_spans", &labels, &len, &value));) {
        struct slice reason = label_of(labels, len, "reason=\"");
        char text[80];

        if (value == 0)
            continue;
        snprintf(text, sizeof(text), "  dropped: %.*s", (int)reason.len, (const char *)reason.p);
        row(text, value, "spans");
    }
}

void demo_show_ledger(const char *page)
{
    static const char decided[] = "otelcol_processor_tail_sampling_global_count_traces_sampled";
    double accepted = demo_metric(page, "tailrace_pipeline_accepted_spans", "");
    double exported = demo_metric(page, "tailrace_pipeline_exported_spans", "");
    double sampled_out = demo_metric(page, "tailrace_pipeline_sampled_out_spans", "");
    double filtered = demo_metric(page, "tailrace_pipeline_filtered_spans", "");
    double dropped = demo_metric(page, "tailrace_pipeline_dropped_spans", "");
    double held = demo_metric(page, "tailrace_pipeline_held_spans", "");
    double out = exported + sampled_out + filtered + dropped + held;

    printf("\n  The span ledger\n\n");
    row("received", accepted, "spans");
    row("exported to debug and file", exported, "spans");
    row("sampled out", sampled_out, "spans");
    row("filtered", filtered, "spans");
    row("dropped", dropped, "spans");
    show_drops(page);
    row("still held", held, "spans");
    printf("    %-34s %8s\n", "", "--------");
    printf("    %-34s %8.0f spans%s\n\n", "accounted for", out, out == accepted ? "  = received" : "  NOT what was received");
    row("traces kept", demo_metric(page, decided, "sampled=\"true\""), "traces");
    show_policies(page);
    row("traces sampled out", demo_metric(page, decided, "sampled=\"false\""), "traces");
    row("secrets masked before anything else", demo_metric(page, "tailrace_redaction_masked_values", ""), "values");
}

/* ---- a trace ---- */

struct seen {
    const char *trace, *id, *parent, *name, *service;
    double start_ms, end_ms;
    bool failed, shown;
    json_t *span; /* borrowed from the documents */
};

struct kept {
    json_t *docs; /* array: one document a line */
    struct seen *v;
    size_t n;
};

static const char *text_of(json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s ? s : "";
}

static const char *service_of(json_t *resource)
{
    json_t *attr;
    size_t i;

    json_array_foreach(json_object_get(resource, "attributes"), i, attr)
        if (strcmp(text_of(attr, "key"), "service.name") == 0)
            return text_of(json_object_get(attr, "value"), "stringValue");
    return "?";
}

static void add_span(struct kept *k, json_t *span, const char *service)
{
    struct seen s = {.trace = text_of(span, "traceId"), .id = text_of(span, "spanId"), .parent = text_of(span, "parentSpanId"),
                     .name = text_of(span, "name"), .service = service, .span = span};

    s.start_ms = (double)strtoull(text_of(span, "startTimeUnixNano"), NULL, 10) / 1e6;
    s.end_ms = (double)strtoull(text_of(span, "endTimeUnixNano"), NULL, 10) / 1e6;
    s.failed = json_integer_value(json_object_get(json_object_get(span, "status"), "code")) == 2;
    k->v = (struct seen *)mem_grow(k->v, (k->n + 1) * sizeof(*k->v));
    k->v[k->n++] = s;
}

static void add_document(struct kept *k, json_t *doc)
{
    json_t *resource, *scope, *span;
    size_t a, b, c;

    json_array_foreach(json_object_get(doc, "resourceSpans"), a, resource) {
        const char *service = service_of(json_object_get(resource, "resource"));

        json_array_foreach(json_object_get(resource, "scopeSpans"), b, scope) {
            json_array_foreach(json_object_get(scope, "spans"), c, span)
                add_span(k, span, service);
        }
    }
}

static int by_trace_and_start(const void *x, const void *y)
{
    const struct seen *a = (const struct seen *)x, *b = (const struct seen *)y;
    int c = strcmp(a->trace, b->trace);

    return c ? c : (a->start_ms > b->start_ms) - (a->start_ms < b->start_ms);
}

static void load(struct kept *k, const char *lines)
{
    k->docs = json_array();
    while (*lines) {
        const char *end = strchrnul(lines, '\n');
        json_t *doc = json_loadb(lines, (size_t)(end - lines), 0, NULL);

        if (doc) {
            json_array_append_new(k->docs, doc);
            add_document(k, doc);
        }
        lines = *end ? end + 1 : end;
    }
    if (k->n)
        qsort(k->v, k->n, sizeof(*k->v), by_trace_and_start);
}

static size_t trace_len(const struct kept *k, size_t from)
{
    size_t n = 0;

    while (from + n < k->n && strcmp(k->v[from].trace, k->v[from + n].trace) == 0)
        n++;
    return n;
}

static bool masked(const struct seen *s)
{
    json_t *attr;
    size_t i;

    json_array_foreach(json_object_get(s->span, "attributes"), i, attr)
        if (strstr(text_of(json_object_get(attr, "value"), "stringValue"), "****"))
            return true;
    return false;
}

/* Many spans, a failure and a masked secret make a trace worth showing. */
static size_t worth(const struct kept *k, size_t from, size_t n)
{
    bool failed = false, secret = false;

    for (size_t i = from; i < from + n; i++) {
        failed = failed || k->v[i].failed;
        secret = secret || masked(&k->v[i]);
    }
    return n + (failed ? 100u : 0) + (secret ? 50u : 0);
}

static void show_attribute(const char *stem, json_t *attr)
{
    const char *value = text_of(json_object_get(attr, "value"), "stringValue");

    if (strstr(value, "****"))
        printf("    %s    %s = %s\n", stem, text_of(attr, "key"), value);
}

static void show_details(const struct seen *s, const char *stem)
{
    json_t *attr;
    const char *message = text_of(json_object_get(s->span, "status"), "message");
    size_t i;

    if (*message)
        printf("    %s    %s\n", stem, message);
    json_array_foreach(json_object_get(s->span, "attributes"), i, attr)
        show_attribute(stem, attr);
}

static const char *kind_name(const struct seen *s)
{
    switch (json_integer_value(json_object_get(s->span, "kind"))) {
    case 3: return "calls ";
    case 4: return "sends ";
    case 5: return "receives ";
    default: return "";
    }
}

static size_t columns(const char *utf8)
{
    size_t n = 0;

    for (; *utf8; utf8++)
        n += (*utf8 & 0xc0) != 0x80;
    return n;
}

static void show_below(struct seen *v, size_t n, const char *parent, const char *stem);

static void show_span(struct seen *v, size_t n, struct seen *s, const char *stem, bool root, bool last)
{
    char label[160], below[256];
    int pad = 82 - (int)columns(stem) - (root ? 0 : 3);

    s->shown = true; /* a cycle ends here */
    snprintf(label, sizeof(label), "%s: %s%s", s->service, kind_name(s), s->name);
    pad = pad < 10 ? 10 : pad;
    printf("    %s%s%-*.*s %9.1f ms%s\n", stem, root ? "" : last ? "└─ " : "├─ ", pad, pad, label, s->end_ms - s->start_ms,
           s->failed ? "  ERROR" : "");
    snprintf(below, sizeof(below), "%s%s", stem, root ? "" : last ? "   " : "│  ");
    show_details(s, below);
    show_below(v, n, s->id, below);
}

static void show_below(struct seen *v, size_t n, const char *parent, const char *stem)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        left += !v[i].shown && *v[i].parent && strcmp(v[i].parent, parent) == 0;
    for (size_t i = 0; i < n && left; i++)
        if (!v[i].shown && *v[i].parent && strcmp(v[i].parent, parent) == 0)
            show_span(v, n, &v[i], stem, false, --left == 0);
}

void demo_show_trace(const char *lines)
{
    struct kept k = {NULL, NULL, 0};
    size_t best = 0, best_n = 0, best_worth = 0;

    load(&k, lines);
    for (size_t from = 0, n; from < k.n; from += n) {
        n = trace_len(&k, from);
        if (worth(&k, from, n) > best_worth) {
            best_worth = worth(&k, from, n);
            best = from;
            best_n = n;
        }
    }
    if (best_n) {
        printf("\n  One of the kept traces: %s, %zu spans\n\n", k.v[best].trace, best_n);
        for (size_t i = best; i < best + best_n; i++)
            if (!*k.v[i].parent)
                show_span(&k.v[best], best_n, &k.v[i], "", true, true);
    }
    free(k.v);
    json_decref(k.docs);
}
