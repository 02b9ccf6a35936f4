/* SPDX-License-Identifier: Apache-2.0 */
/* See auth_keys.h. An extension's id must stand in each. */
#include "component/auth_keys.h"

#include "component/extension.h"

#define AUTHENTICATOR(T, provides_, doc_) \
    { .name = "authenticator", .type = KEY_T_EXTENSION, .offset = KEY_AT(const char *, T, authenticator), KEY_ANY, \
      .provides = provides_, .required = true, .doc = doc_ }

const struct key auth_grpc_server_keys[] = {
    AUTHENTICATOR(struct auth_server_settings, EXT_AUTH_SERVER, "The extension that looks at the clients' credentials."),
    KEY_END};

const struct key auth_http_server_keys[] = {
    AUTHENTICATOR(struct auth_server_settings, EXT_AUTH_SERVER, "The extension that looks at the clients' credentials."),
    KEY_STRS(struct auth_server_settings, request_params, NULL,
             "Parameters of the query that count as headers of the same name."),
    KEY_END};

const struct key auth_client_keys[] = {
    AUTHENTICATOR(struct auth_client_settings, EXT_AUTH_CLIENT, "The extension that adds credentials to requests."),
    KEY_END};
