/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests from a file, and one processor run over them outside of any pipeline: what `redact-check`
 * works with. Main thread; everything in memory.
 */
#ifndef TAILRACE_CMD_REDACT_RUN_H
#define TAILRACE_CMD_REDACT_RUN_H

#include "component/component.h"

/* Checked requests. */
struct requests {
    struct payload **v;
    size_t n;
    uint64_t n_spans;
};

/* path NULL or "-": standard input. OTLP/JSON, one document or one a line; or protobuf, one request or
 * each behind four bytes of its length, as the file exporter writes. -1 with err. */
int requests_read(struct requests *r, const char *path, struct budget *b, struct err *err) MUST_USE;
void requests_free(struct requests *r);

/* What the processor makes of them: in and out have the same spans. -1 with err when it does not start
 * or does not let all through. */
int requests_process(const struct requests *in, const struct component_type *type, const void *settings, struct budget *b,
                     struct requests *out, struct err *err) MUST_USE;

#endif
