/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: "type" or "type/name", of components and pipelines. Pure. */
#ifndef TAILRACE_CONFIG_IDS_H
#define TAILRACE_CONFIG_IDS_H

#include <stdbool.h>

#include "platform/mem.h"

struct id {
    const char *whole; /* "otlp/eu", trimmed */
    const char *type;  /* "otlp" */
    const char *name;  /* "eu"; "": none */
};

/* False with *why when the text is not an id. */
bool id_parse(struct arena *a, const char *text, struct id *id, const char **why);

#endif
