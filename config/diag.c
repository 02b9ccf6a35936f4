/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics: see diag.h. At most 200 are kept: a file with more is not read to the end by anyone,
 * and hostile input must not make the list grow without bound.
 */
#include "config/diag.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KEPT 200

struct diags *diags_new(void)
{
    struct diags *d = mem_alloc(sizeof(*d));
    d->arena = arena_new();
    return d;
}

void diags_free(struct diags **d)
{
    if (!*d)
        return;
    arena_free(&(*d)->arena);
    free((*d)->v);
    free((*d)->files);
    free(*d);
    *d = NULL;
}

static const char *keep(struct diags *d, const char *s)
{
    return s ? arena_dup_n(d->arena, s, strlen(s)) : NULL;
}

void diags_note_file(struct diags *d, const char *file)
{
    for (size_t i = 0; i < d->n_files; i++)
        if (strcmp(d->files[i], file) == 0)
            return;
    d->files = mem_grow(d->files, (d->n_files + 1) * sizeof(*d->files));
    d->files[d->n_files++] = keep(d, file);
}

void diag_addv(struct diags *d, enum severity severity, struct pos at, const char *path,
               const char *hint, const char *fmt, va_list ap)
{
    if (severity == DIAG_ERROR)
        d->n_errors++;
    else
        d->n_warnings++;
    if (d->n == MAX_KEPT)
        return;
    if (d->n == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 16;
        d->v = mem_grow(d->v, d->cap * sizeof(*d->v));
    }
    struct buf text = {0};
    buf_putv(&text, fmt, ap);
    at.file = keep(d, at.file);
    at.via = keep(d, at.via);
    d->v[d->n++] = (struct diag){
        .severity = severity,
        .at = at,
        .path = keep(d, path ? path : ""),
        .text = arena_dup_n(d->arena, (const char *)text.p, text.len),
        .hint = keep(d, hint),
    };
    buf_free(&text);
}

void diag_add(struct diags *d, enum severity severity, struct pos at, const char *path,
              const char *hint, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_addv(d, severity, at, path, hint, fmt, ap);
    va_end(ap);
}

bool diags_mention(const struct diags *d, const char *path)
{
    for (size_t i = 0; i < d->n; i++)
        if (strcmp(d->v[i].path, path) == 0)
            return true;
    return false;
}

void diag_print(const struct diag *g, struct buf *out)
{
    if (g->path[0])
        buf_putf(out, "%s: ", g->path);
    buf_puts(out, g->text);
    if (g->at.via)
        buf_putf(out, " (the value comes from %s)", g->at.via);
}

void diag_put_place(const struct diag *g, struct buf *out)
{
    if (g->at.file)
        buf_puts(out, g->at.file);
    if (g->at.file && g->at.line)
        buf_putf(out, ":%u:%u", g->at.line, g->at.col);
}

static void print_whole(const struct diag *g, struct buf *out)
{
    diag_put_place(g, out);
    if (g->at.file)
        buf_puts(out, ": ");
    if (g->severity == DIAG_WARNING)
        buf_puts(out, "warning: ");
    diag_print(g, out);
    buf_putc(out, '\n');
    if (g->hint)
        buf_putf(out, "  %s\n", g->hint);
}

/* The number of the first diagnostic of the same file: files stay in the order they were met. */
static size_t file_rank(const struct diags *d, size_t i)
{
    const char *f = d->v[i].at.file;
    for (size_t k = 0; k < i; k++) {
        const char *g = d->v[k].at.file;
        if (f == g || (f && g && strcmp(f, g) == 0))
            return k;
    }
    return i;
}

struct rank {
    size_t file, i;
    struct pos at;
};

static int by_place(const void *pa, const void *pb)
{
    const struct rank *a = pa, *b = pb;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    if (a->at.col != b->at.col)
        return a->at.col < b->at.col ? -1 : 1;
    return a->i < b->i ? -1 : a->i > b->i;
}

void diags_print(struct diags *d, struct buf *out)
{
    struct rank order[MAX_KEPT];
    for (size_t i = 0; i < d->n; i++)
        order[i] = (struct rank){file_rank(d, i), i, d->v[i].at};
    qsort(order, d->n, sizeof(order[0]), by_place);
    for (size_t i = 0; i < d->n; i++)
        print_whole(&d->v[order[i].i], out);
    if (d->n_errors + d->n_warnings > d->n)
        buf_putf(out, "and %zu more\n", d->n_errors + d->n_warnings - d->n);
}
