/* SPDX-License-Identifier: Apache-2.0 */
/* The auth sections: of servers (receivers, health check) and of clients (exporters). */
#ifndef TAILRACE_COMPONENT_AUTH_KEYS_H
#define TAILRACE_COMPONENT_AUTH_KEYS_H

#include "component/key.h"

struct auth_server_settings {
    const char *authenticator; /* NULL when the section is off */
    struct str_list request_params; /* HTTP only */
};
struct auth_client_settings {
    const char *authenticator;
};

extern const struct key auth_grpc_server_keys[], auth_http_server_keys[];
extern const struct key auth_client_keys[];

#endif
