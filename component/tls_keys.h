/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tls sections: one set of rows for servers (receivers, health check), one for clients (exporters),
 * their rules, and what the names in them mean.
 */
#ifndef TAILRACE_COMPONENT_TLS_KEYS_H
#define TAILRACE_COMPONENT_TLS_KEYS_H

#include "component/key.h"

struct tls_settings {
    const char *cert_file, *cert_pem, *key_file, *key_pem;
    const char *ca_file, *ca_pem;
    bool include_system_ca_certs_pool;
    const char *min_version, *max_version;
    struct str_list cipher_suites, curve_preferences;
    bool include_insecure_cipher_suites;
    int64_t reload_interval_ns;
    /* servers */
    const char *client_ca_file;
    bool client_ca_file_reload;
    /* clients */
    bool insecure, insecure_skip_verify;
    const char *server_name_override;
};

extern const struct key tls_server_keys[];
extern const struct key tls_client_keys[];

/* Reports what is wrong; `at` is the path of the section ("protocols.grpc.tls"). */
void tls_server_check(const struct tls_settings *s, const char *at, struct check *c);
void tls_client_check(const struct tls_settings *s, const char *at, struct check *c);

/* The section asks for plaintext: insecure, and no authority is given. */
bool tls_client_plaintext(const struct tls_settings *s);

/* What the names mean to OpenSSL, from settings that were checked. */
struct tls_names {
    int min_version, max_version; /* 0x0301 to 0x0304; 0: the library's */
    char ciphers[1200];           /* "": the usual ones */
    char groups[128];
};
void tls_names_of(const struct tls_settings *s, struct tls_names *out);

/* The members of net's struct tls_config that settings fill; here, as net knows no settings. */
#define TLS_CONFIG_OF(s, names) \
    .cert_file = (s)->cert_file, .cert_pem = (s)->cert_pem, .key_file = (s)->key_file, .key_pem = (s)->key_pem, \
    .ca_file = (s)->ca_file, .ca_pem = (s)->ca_pem, .system_cas = (s)->include_system_ca_certs_pool, \
    .client_ca_file = (s)->client_ca_file, .client_ca_file_reload = (s)->client_ca_file_reload, \
    .min_version = (names)->min_version, .max_version = (names)->max_version, \
    .ciphers = (names)->ciphers, .groups = (names)->groups, \
    .reload_interval_ns = (s)->reload_interval_ns > 0 ? (uint64_t)(s)->reload_interval_ns : 0, \
    .skip_verify = (s)->insecure_skip_verify, .server_name = (s)->server_name_override

#endif
