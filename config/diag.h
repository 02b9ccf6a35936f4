/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics: everything wrong with a configuration, told at once, each with its place, the path
 * of the key, one sentence, and a second line that helps. One thread.
 *
 *   collector.yaml:41:7: processors.tail_sampling.decision_wiat: unknown key, did you mean
 * "decision_wait"? decision_wait: duration, default 30s, 1ms to 1h. How long a trace is held after
 * its first span.
 */
#ifndef TAILRACE_CONFIG_DIAG_H
#define TAILRACE_CONFIG_DIAG_H

#include "config/node.h"
#include "platform/buf.h"

enum severity { DIAG_WARNING, DIAG_ERROR };

struct diag {
    enum severity severity;
    struct pos at;
    const char *path; /* "" : none */
    const char *text;
    const char *hint; /* the second line; NULL: none */
};

struct diags {
    struct arena *arena;
    struct diag *v;
    size_t n, cap;
    size_t n_errors, n_warnings; /* past the cap they are counted and not kept */
    const char **files;          /* whose text was asked for, each once */
    size_t n_files;
};

struct diags *diags_new(void) MUST_USE;
void diags_free(struct diags **d);

void diag_add(struct diags *d, enum severity severity, struct pos at, const char *path,
              const char *hint, const char *fmt, ...) PRINTF_LIKE(6, 7);
void diag_addv(struct diags *d, enum severity severity, struct pos at, const char *path,
               const char *hint, const char *fmt, va_list ap) PRINTF_LIKE(6, 0);
#define diag_error(d, at, path, hint, ...) diag_add(d, DIAG_ERROR, at, path, hint, __VA_ARGS__)
#define diag_warn(d, at, path, hint, ...)  diag_add(d, DIAG_WARNING, at, path, hint, __VA_ARGS__)

/* The text of this file is part of the configuration. */
void diags_note_file(struct diags *d, const char *file);
/* Has something been said about this path? */
bool diags_mention(const struct diags *d, const char *path);

/* All of them, files in the order they were read, each file from top to bottom. */
void diags_print(struct diags *d, struct buf *out);
/* The parts of one: "collector.yaml:41:7", and (diag_print) "path: text". */
void diag_put_place(const struct diag *g, struct buf *out);
void diag_print(const struct diag *g, struct buf *out);

#endif
