/* SPDX-License-Identifier: Apache-2.0 */
/* See redact_run.h. Order: reading, the host, processing. */
#include "cmd/redact_run.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/otlp_json.h"
#include "model/otlp_walk.h"

/* ---- reading ---- */

static int read_all(const char *path, struct buf *out, struct err *err)
{
    bool standard = !path || strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    int rc = 0;

    if (!f)
        return err_set(err, "open %s: %s", path, strerror(errno));
    while (rc == 0) {
        size_t n;

        if (buf_reserve(out, 1 << 16)) {
            rc = err_set(err, "the input is too large");
            break;
        }
        n = fread(out->p + out->len, 1, 1 << 16, f);
        out->len += n;
        if (n == 0)
            break;
    }
    if (rc == 0 && ferror(f))
        rc = err_set(err, "read %s: %s", standard ? "standard input" : path, strerror(errno));
    if (!standard)
        (void)fclose(f);
    return rc;
}

static void add(struct requests *r, struct payload *p)
{
    r->v = mem_grow(r->v, (r->n + 1) * sizeof(struct payload *));
    r->v[r->n++] = p;
    r->n_spans += p->n_spans;
}

static int add_request(struct requests *r, struct slice bytes, struct budget *b, struct err *err)
{
    uint8_t *copy = mem_alloc(bytes.len + 1);
    struct walk_report report;
    struct payload *p;

    if (bytes.len)
        memcpy(copy, bytes.p, bytes.len);
    budget_force(b, MEM_BODY, bytes.len);
    p = payload_new(b, &copy, bytes.len, bytes.len);
    if (otlp_walk(p, &report, err) != WALK_OK) {
        payload_unref(&p);
        return err_wrap(err, "request %zu", r->n + 1);
    }
    add(r, p);
    return 0;
}

static int add_json(struct requests *r, struct slice text, struct budget *b, struct err *err)
{
    struct buf out = {0};
    int rc = otlp_json_decode(text, &out, err);

    if (rc == 0)
        rc = add_request(r, slice_of(out.p, out.len), b, err);
    buf_free(&out);
    return rc;
}

static int add_lines(struct requests *r, struct slice text, struct budget *b, struct err *err)
{
    for (size_t at = 0, line = 1; at < text.len; line++) {
        const uint8_t *end = memchr(text.p + at, '\n', text.len - at);
        struct slice one = slice_of(text.p + at, end ? (size_t)(end - text.p) - at : text.len - at);

        at += one.len + 1;
        while (one.len && isspace(one.p[one.len - 1]))
            one.len--;
        if (one.len && add_json(r, one, b, err))
            return err_wrap(err, "line %zu", line);
    }
    return 0;
}

static uint32_t length_at(struct slice s, size_t at)
{
    return (uint32_t)s.p[at] << 24 | (uint32_t)s.p[at + 1] << 16 | (uint32_t)s.p[at + 2] << 8 | s.p[at + 3];
}

/* Does the file consist of lengths and messages? */
static bool is_prefixed(struct slice s)
{
    size_t at = 0;

    while (s.len - at >= 4 && length_at(s, at) <= s.len - at - 4)
        at += 4 + length_at(s, at);
    return s.len > 0 && at == s.len;
}

static int add_prefixed(struct requests *r, struct slice s, struct budget *b, struct err *err)
{
    for (size_t at = 0; at < s.len; at += 4 + length_at(s, at))
        if (add_request(r, slice_of(s.p + at + 4, length_at(s, at)), b, err))
            return -1;
    return 0;
}

static int add_any(struct requests *r, struct slice s, struct budget *b, struct err *err)
{
    size_t i = 0;

    while (i < s.len && isspace(s.p[i]))
        i++;
    if (i < s.len && s.p[i] == '{') {
        struct err whole;

        if (add_json(r, s, b, &whole) == 0 || add_lines(r, s, b, err) == 0)
            return 0;
        if (r->n == 0) /* not even its first line is a request: it was meant as one document */
            *err = whole;
        return -1;
    }
    return is_prefixed(s) ? add_prefixed(r, s, b, err) : add_request(r, s, b, err);
}

int requests_read(struct requests *r, const char *path, struct budget *b, struct err *err)
{
    struct buf text = {0};
    int rc = read_all(path, &text, err);

    *r = (struct requests){0};
    if (rc == 0)
        rc = add_any(r, slice_of(text.p, text.len), b, err);
    buf_free(&text);
    if (rc)
        requests_free(r);
    return rc;
}

void requests_free(struct requests *r)
{
    for (size_t i = 0; i < r->n; i++)
        payload_unref(&r->v[i]);
    free(r->v);
    *r = (struct requests){0};
}

/* ---- the host ---- */

struct lone_host {
    struct host host;
    struct batch *out;
};

static void catch_batch(struct host *h, struct batch **take)
{
    struct lone_host *l = CONTAINER_OF(h, struct lone_host, host);

    CHECK(!l->out);
    l->out = *take;
    *take = NULL;
}

static void drained(struct host *h)
{
    (void)h;
}

/* ---- processing ---- */

/* The batch's spans as one payload more in out. */
static int take_out(struct lone_host *l, const struct payload *in, struct requests *out, struct err *err)
{
    struct batch *b = l->out;
    int rc = 0;

    l->out = NULL;
    if (!b || b->n_parts != 1 || b->n_spans != in->n_spans)
        rc = err_set(err, "it did not let all spans through");
    else
        add(out, payload_ref(b->parts[0].payload));
    if (b)
        batch_exported(&b);
    return rc;
}

static int process_one(struct lone_host *l, struct component *c, struct payload *in, struct requests *out, struct err *err)
{
    struct payload *p = payload_ref(in);
    struct batch *b;

    if (in->n_spans == 0) { /* nothing to push */
        add(out, p);
        return 0;
    }
    b = batch_new(&p, NULL);
    c->type->push(c, &b);
    return take_out(l, in, out, err);
}

int requests_process(const struct requests *in, const struct component_type *type, const void *settings, struct budget *b,
                     struct requests *out, struct err *err)
{
    struct lone_host l = {.host = {.budget = b, .metrics = metric_set_new(), .n_workers = 1, .id = type->name, .pipeline = "traces",
                                   .emit_fn = catch_batch, .drained_fn = drained}};
    struct component *c = NULL;
    int rc = -1;

    *out = (struct requests){0};
    if (!type->shared_create || type->shared_create(settings, &l.host, &l.host.shared, err) == 0) {
        c = type->create(&l.host, settings, err);
        rc = c ? 0 : -1;
        for (size_t i = 0; rc == 0 && i < in->n; i++)
            rc = process_one(&l, c, in->v[i], out, err);
        if (c) {
            c->type->drain(c);
            c->type->destroy(&c);
        }
        if (type->shared_destroy && l.host.shared)
            type->shared_destroy(&l.host.shared);
    }
    metric_set_free(&l.host.metrics);
    if (rc)
        requests_free(out);
    return rc;
}
