/* SPDX-License-Identifier: Apache-2.0 */
/* Where configuration text comes from: file:, env:, yaml:. One thread. */
#ifndef TAILRACE_CONFIG_SOURCE_H
#define TAILRACE_CONFIG_SOURCE_H

#include <stdbool.h>

#include "platform/buf.h"
#include "platform/err.h"

enum source_result {
    SOURCE_OK,
    SOURCE_UNSET /* an environment variable without default: text is empty */,
    SOURCE_FAILED
};

/* "env:X" has a scheme; "a/b.yaml", "C:\x" and "X" have none. */
bool source_has_scheme(const char *uri);

/* Appends the text at "scheme:rest" to out. */
enum source_result source_read(const char *uri, struct buf *out, struct err *err) MUST_USE;

#endif
