/* SPDX-License-Identifier: Apache-2.0 */
/* CORS decisions: which fields an answer to a browser gets. Pure; the fields' texts live in an
 * arena. */
#ifndef TAILRACE_RECEIVERS_OTLP_CORS_H
#define TAILRACE_RECEIVERS_OTLP_CORS_H

#include "platform/mem.h"
#include "receivers/otlp.h"

struct otlp_field {
    const char *name, *value; /* names in lower case */
};

#define OTLP_MAX_FIELDS 20
struct otlp_fields {
    struct otlp_field v[OTLP_MAX_FIELDS];
    size_t n;
};
void otlp_fields_add(struct otlp_fields *f, const char *name,
                     const char *value); /* more are left out */

/* Active only with origins. */
bool otlp_cors_on(const struct otlp_http_settings *set);
/* OPTIONS with access-control-request-method. Any of the texts may be NULL. */
void otlp_cors_preflight(const struct otlp_cors *cors, const char *origin, const char *method,
                         const char *headers, struct otlp_fields *out, struct arena *a);
void otlp_cors_actual(const struct otlp_cors *cors, const char *origin, struct otlp_fields *out,
                      struct arena *a);

#endif
