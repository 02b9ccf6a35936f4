/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/HTTP: requests on HTTP/1.1 and on HTTP/2 with prior knowledge. */
#ifndef TAILRACE_RECEIVERS_OTLP_HTTP_H
#define TAILRACE_RECEIVERS_OTLP_HTTP_H

#include "receivers/otlp_conn.h"

/* A server for these settings; opens nothing. */
void otlp_http_init(struct otlp_server *s, struct host *host, struct ingest *in,
                    const struct otlp_http_settings *set);

#endif
