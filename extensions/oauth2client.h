/* SPDX-License-Identifier: Apache-2.0 */
/* oauth2client's settings, the request for a token, and what the answer means; for its own files. */
#ifndef TAILRACE_EXTENSIONS_OAUTH2CLIENT_H
#define TAILRACE_EXTENSIONS_OAUTH2CLIENT_H

#include "component/auth.h"
#include "component/component.h"
#include "component/tls_keys.h"
#include "net/proxy.h"

struct oauth2_settings {
    const char *client_id, *client_id_file, *client_secret, *client_secret_file;
    const char *token_url, *grant_type;
    /* the jwt-bearer grant */
    const char *client_certificate_key, *client_certificate_key_file, *client_certificate_key_id;
    const char *signature_algorithm, *iss, *audience;
    struct value claims;
    struct value endpoint_params;
    struct str_list scopes;
    int64_t timeout_ns, expiry_buffer_ns;
    struct tls_settings tls;
};

#define OAUTH2_JWT_BEARER "urn:ietf:params:oauth:grant-type:jwt-bearer"
bool oauth2_is_jwt(const struct oauth2_settings *s);
/* 256, 384, 512; 0: no such algorithm. NULL and "": the default. */
unsigned oauth2_signature_bits(const char *algorithm);
/* Appends the signed statement. id: the client's; key: PEM. -1 with err. */
int oauth2_assertion(const struct oauth2_settings *s, const char *id, struct slice key, struct buf *out, struct err *err) MUST_USE;

/* How a client says who it is: servers differ, so the first one that works is kept. */
enum oauth2_style { OAUTH2_HEADER, OAUTH2_BODY };

/* Head (without Content-Length and the empty line) and body of the request. -1 with err: a file cannot be
 * read. Wipe both. */
int oauth2_request(const struct oauth2_settings *s, const struct endpoint *e, const struct proxy *proxy,
                   enum oauth2_style style, struct buf *head, struct buf *body, struct err *err) MUST_USE;

struct oauth2_token {
    char *value;         /* "Bearer abc" */
    uint64_t expires_in_s; /* 0: never */
};
/* -1 with err, which has nothing secret in it. */
int oauth2_answer(int status, struct slice body, struct oauth2_token *out, struct err *err) MUST_USE;

void oauth2_check(const void *settings, struct check *c);

#endif
