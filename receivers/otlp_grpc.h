/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/gRPC: calls on HTTP/2 streams. */
#ifndef TAILRACE_RECEIVERS_OTLP_GRPC_H
#define TAILRACE_RECEIVERS_OTLP_GRPC_H

#include "receivers/otlp_conn.h"

/* A server for these settings; opens nothing. */
void otlp_grpc_init(struct otlp_server *s, struct host *host, struct ingest *in,
                    const struct otlp_grpc_settings *set);

#endif
