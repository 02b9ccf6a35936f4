/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: certificates, keys and rules, from files or text, for one server port or one client.
 *
 * Files are read when the context is made and, with the reload settings, again at a handshake: when
 * the interval has passed and a file has changed. What cannot be used keeps what was there before.
 *
 * Threads: any; the context has a lock.
 */
#ifndef TAILRACE_NET_TLS_H
#define TAILRACE_NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"
#include "platform/log.h"
#include "platform/mem.h"
#include "platform/metric.h"

enum tls_alpn {
    TLS_ALPN_H2,       /* gRPC: h2 and nothing else; a client needs the server to say so */
    TLS_ALPN_H2_HTTP1, /* server: either */
    TLS_ALPN_HTTP1,
};

/* All strings are read while the context lives; NULL and "" are the same: not set. */
struct tls_config {
    bool server;
    const char *cert_file, *cert_pem, *key_file, *key_pem;
    const char *ca_file, *ca_pem; /* client: who may sign the server's certificate */
    bool system_cas;              /* client: beside ca_file; the only ones without it */
    const char *client_ca_file;   /* server: set = clients need a certificate of these */
    bool client_ca_file_reload;
    int min_version, max_version; /* 0x0301 to 0x0304; 0: 1.2, newest */
    const char *ciphers;          /* OpenSSL's list for TLS 1.2 and before; NULL: the usual ones */
    const char *groups;           /* "X25519:P-256"; NULL: the usual ones */
    uint64_t reload_interval_ns;  /* certificate and key, a client's ca_file; 0: never */
    bool skip_verify;             /* client */
    const char *server_name;      /* client: instead of the host's name */
    enum tls_alpn alpn;
    struct budget *budget;
    const struct log *log;
};

struct tls_context;
/* NULL with err "failed to load TLS config: ...". */
struct tls_context *tls_context_new(const struct tls_config *cfg, struct err *err) MUST_USE;
/* No more sessions; those that live keep what they need (not the strings of cfg). NULLs; fine on NULL. */
void tls_context_free(struct tls_context **c);

/* Certificates taken from changed files, and attempts that failed. */
struct tls_reloads {
    uint64_t done, failed;
};
struct tls_reloads tls_context_reloads(struct tls_context *c);

#endif
