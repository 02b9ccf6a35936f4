/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the otlp receiver (collector.yaml: receivers.otlp), for its own files and its tests.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_H
#define TAILRACE_RECEIVERS_OTLP_H

#include "component/auth_keys.h"
#include "component/component.h"
#include "component/tls_keys.h"
#include "receivers/otlp_fair.h"

struct otlp_keepalive_server {
    int64_t max_connection_idle_ns, max_connection_age_ns,
        max_connection_age_grace_ns; /* 0: never */
    int64_t time_ns, timeout_ns;
};

struct otlp_keepalive_policy {
    int64_t min_time_ns;
    bool permit_without_stream;
};

struct otlp_keepalive {
    bool server_parameters_enabled, enforcement_policy_enabled;
    struct otlp_keepalive_server server_parameters;
    struct otlp_keepalive_policy enforcement_policy;
};

struct otlp_grpc_settings {
    const char *endpoint, *transport;
    int64_t max_recv_msg_size_mib;   /* 0: 4 */
    uint64_t max_concurrent_streams; /* 0: OTLP_DEFAULT_STREAMS */
    int64_t read_buffer_size, write_buffer_size;
    bool keepalive_enabled;
    struct otlp_keepalive keepalive;
    bool include_metadata;
    bool tls_enabled;
    struct tls_settings tls;
    bool auth_enabled;
    struct auth_server_settings auth;
};

struct otlp_cors {
    struct str_list allowed_origins, allowed_headers, exposed_headers;
    int64_t max_age; /* seconds */
};

struct otlp_http_settings {
    const char *endpoint, *transport;
    bool cors_enabled;
    struct otlp_cors cors;
    int64_t max_request_body_size; /* <= 0: 20 MiB */
    bool include_metadata;
    struct pair_list response_headers;
    struct str_list compression_algorithms;
    int64_t read_timeout_ns, read_header_timeout_ns, write_timeout_ns,
        idle_timeout_ns; /* 0: ours */
    bool keep_alives_enabled;
    const char *traces_url_path, *metrics_url_path, *logs_url_path;
    bool tls_enabled;
    struct tls_settings tls;
    bool auth_enabled;
    struct auth_server_settings auth;
};

struct otlp_protocols {
    bool grpc_enabled, http_enabled;
    struct otlp_grpc_settings grpc;
    struct otlp_http_settings http;
};

struct otlp_settings {
    struct otlp_protocols protocols;
    bool fair_share_enabled;
    struct fair_settings fair_share;
};

/* Limits that the Collector does not have; the reference page lists them. */
#define OTLP_DEFAULT_STREAMS   250u /* of one connection */
#define OTLP_MAX_STREAMS       10000u
#define OTLP_STREAM_WINDOW     (256u << 10) /* what may come before a body is admitted */
#define OTLP_CONNECTION_WINDOW (16u << 20)
#define OTLP_MAX_HEADER_BYTES  (64u << 10)
#define OTLP_POOL_BYTES        (4u << 20)   /* idle body buffers of one worker */
#define OTLP_H2_MEM_BYTES      (128u << 10) /* idle blocks of nghttp2's, for each port of a worker */

extern const struct metric_row otlp_metrics[];

uint64_t otlp_grpc_max_bytes(const struct otlp_grpc_settings *s);
uint64_t otlp_http_max_bytes(const struct otlp_http_settings *s);

#endif
